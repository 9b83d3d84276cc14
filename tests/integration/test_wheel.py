"""The wheel that the Dockerfile builds: from the files that it copies, and no others, comes a program that runs with its data.

It is installed away from the repository, on the libraries of this environment.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from phusong.settings import PREFIX

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")

TESTS_ALONE = (
    "pytest",
    "hypothesis",
    "httpx",
    "playwright",
    "standardwebhooks",
    "openpyxl",
    "grafana_foundation_sdk",
    "dashboards",
    "tests",
)

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `pip install .` puts into the image's environment."""
    base = tmp_path_factory.mktemp("image")
    source, target = base / "src", base / "installed"
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE):
        *names, where = line.split()
        for name in names:
            to = source / where / (name if where == "./" else "")
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, to, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, to)
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target", target, source],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return target


@pytest.fixture(scope="module")
def run(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A command of the installed program, far from the repository."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    env = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)} | {"PYTHONPATH": str(installed)}

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, *command], cwd=elsewhere, env=env, capture_output=True, text=True, check=False)

    return run


def test_the_program_runs_from_the_wheel_with_its_seeds(run: Run, installed: Path) -> None:
    """What an operator tries first."""
    assert "notify" in run("-m", "ops.cli", "--help").stdout
    checked = run("-m", "ops.cli", "config", "check")
    assert checked.returncode == 0, checked.stderr
    assert (installed / "bin" / "phusong").is_file()


def test_every_page_that_the_feed_shows_is_in_the_wheel(installed: Path) -> None:
    """Static files, runbooks and seeds, byte for byte, and every module."""
    source = installed.parent / "src"
    for room in ("feed", "docs/runbooks", "seeds", "ops", "producers", "streams"):
        shipped = [file for file in (source / room).rglob("*") if file.is_file()]
        assert shipped
        assert [file for file in shipped if not _same(file, installed / file.relative_to(source))] == []


def test_every_part_that_compose_starts_comes_from_the_wheel_and_its_libraries(run: Run, installed: Path) -> None:
    """A package that the wheel lacks, or a library that only the tests have, would end the container."""
    code = (
        "import sys\n"
        f"for name in {TESTS_ALONE!r}: sys.modules[name] = None\n"
        "import streams.app, streams.notify, feed.server, producers.gateway.server, ops.cli, ops.topics, ops.notifying, ops.keys\n"
        "print(*(one.__file__ for one in sys.modules.values() if getattr(one, '__file__', None)), sep='\\n')"
    )
    done = run("-c", code)
    assert done.returncode == 0, done.stderr
    # the repository is installed here, too: what the wheel lacks would come from there
    places = (Path(sys.prefix), Path(sys.base_prefix), installed)
    assert [one for one in done.stdout.splitlines() if not any(Path(one).is_relative_to(place) for place in places)] == []


def _same(one: Path, other: Path) -> bool:
    return other.is_file() and one.read_bytes() == other.read_bytes()
