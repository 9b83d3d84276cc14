"""A real Prometheus for tests, on a port and in a directory of its own.

Comes in: its configuration, and the files beside it that this names. Goes out: its address, once it is ready. Owns the process while its
`with` lasts.
"""

from __future__ import annotations

import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.local_kafka import _free_port
from tests.kafka import wait_until


@contextmanager
def serving(directory: Path, config: Mapping[str, Any], beside: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The address of a Prometheus with that configuration; `beside`: the rule files, by name."""
    for name, content in {"prometheus.yml": config, **beside}.items():
        (directory / name).write_text(yaml.safe_dump(dict(content), allow_unicode=True))
    url = f"127.0.0.1:{_free_port()}"
    arguments = ["--config.file=prometheus.yml", "--storage.tsdb.path=tsdb", f"--web.listen-address={url}"]
    with (directory / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(["prometheus", *arguments], cwd=directory, stdout=log, stderr=log)
    try:

        def is_ready() -> bool:
            if process.poll() is not None:
                pytest.fail((directory / "prometheus.log").read_text())
            try:
                with urllib.request.urlopen(f"http://{url}/-/ready", timeout=1):
                    return True
            except OSError:
                return False

        wait_until(is_ready, 30, "Prometheus is ready")
        yield f"http://{url}"
    finally:
        process.terminate()
        process.wait(20)
