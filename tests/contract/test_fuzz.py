"""What reads events and tables keeps its rules over inputs that a fuzzer made up (tests/fuzz.py; a million of them: `make fuzz`)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from phusong.events import Reason

ROOT = Path(__file__).parents[2]


def test_bytes_nobody_foresaw_are_admitted_as_their_writer_would_have_sent_them_or_rejected_with_a_reason() -> None:
    found = _fuzz("records", 20_000)
    # it fuzzes more than the outer wall
    assert found["admitted"] > 500
    assert set(found["rejected"]) == set(Reason) - {Reason.PROCESSOR_ERROR}


def test_a_table_of_any_bytes_is_rows_that_count_or_says_why_not() -> None:
    found = _fuzz("csv", 1000)
    assert found["admitted"] > 100


def _fuzz(target: str, runs: int) -> dict[str, Any]:
    """What came of it, in a process of its own, since the fuzzer ends the one that it is in; without what coverage does to that."""
    pytest.importorskip("atheris", reason="atheris has no release for this Python")
    env = {name: value for name, value in os.environ.items() if not name.startswith("COV")} | {"PYTHONHASHSEED": "0"}
    command = [sys.executable, "-m", "tests.fuzz", "--target", target, "--runs", str(runs), "--seed", "1"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["runs"] >= runs
    assert found["crashes"] == 0
    assert found["runs"] == found["admitted"] + sum(found["rejected"].values())
    return found
