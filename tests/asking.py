"""The questions as an operator asks them: `phusong explain|replay|audit` as processes of their own on a stage.

Comes in: a `Stage` and arguments. Goes out: `Answer`. Owns nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from msgspec import Struct

from phusong.settings import PREFIX
from tests.workers import ROOT, Stage

_SECONDS_MAX = 120


class Answer(Struct, frozen=True):
    """What a command has printed, and its exit code."""

    code: int
    text: str
    errors: str

    @property
    def plain(self) -> Any:
        """The JSON on stdout."""
        return json.loads(self.text)


def command(stage: Stage, *arguments: str, **settings: object) -> tuple[list[str], dict[str, str]]:
    """The process to start, and its environment; `settings` win over the stage's."""
    chosen: dict[str, object] = {"bootstrap_servers": stage.servers, "seeds": stage.seeds, **stage.settings, **settings}
    env = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    env |= {PREFIX + name.upper(): str(value) for name, value in chosen.items() if value is not None}
    return [sys.executable, "-m", "ops.cli", *arguments], {**env, "PYTHONPATH": str(ROOT)}


def ask(stage: Stage, *arguments: str, **settings: object) -> Answer:
    """Run the command to its end."""
    process, env = command(stage, *arguments, **settings)
    done = subprocess.run(process, cwd=stage.directory, env=env, capture_output=True, text=True, timeout=_SECONDS_MAX, check=False)
    return Answer(done.returncode, done.stdout, done.stderr)
