"""The real promtool, run over rules and cases that are written into a directory of their own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml


def promtool() -> str:
    """Its path; skips where it is not installed (CI counts a skipped `prometheus` test as a failure)."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is missing: install the Debian package `prometheus`")
    return program


def run(*arguments: str | Path) -> str:
    """What it prints; fails where its exit code is not 0."""
    done = _run(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check(directory: Path, rules: Iterable[Mapping[str, Any]], tests: Iterable[Mapping[str, Any]], every: str) -> str:
    """The failures of these tests over these rules, as promtool prints them; empty: none."""
    (directory / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": list(rules)}]}, allow_unicode=True), "utf-8")
    cases = {"rule_files": ["rules.yml"], "evaluation_interval": every, "tests": list(tests)}
    (directory / "test.yml").write_text(yaml.safe_dump(cases, allow_unicode=True), "utf-8")
    done = _run("test", "rules", directory / "test.yml")
    return "" if done.returncode == 0 else done.stdout + done.stderr


def _run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([promtool(), *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False)
