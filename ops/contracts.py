"""Writes the contract for machines: `python -m ops.contracts [--check]`, from the repository's root.

Comes in: the structs of the core, phusong/topics.py, the tables of docs/events.md. Goes out: the files under docs/contract/ that
`rendered()` lists; they are committed. Owns no state. With `--check` nothing is written: every file that is missing, differs or is left
over is named, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ops.asyncapi import document
from ops.json_schemas import documents
from ops.terminal import DIFFERENCE, DONE, say_aside

HERE = Path(__file__).resolve().parents[1] / "docs/contract"


def rendered() -> dict[str, str]:
    """Every generated file: its name in docs/contract/ and its whole text."""
    found = {**documents(), "asyncapi.json": document()}
    return {name: json.dumps(content, ensure_ascii=False, indent=2) + "\n" for name, content in found.items()}


def drift(directory: Path = HERE) -> list[str]:
    """What `--check` tells: a line for each file that is not as it would be written now."""
    wanted = rendered()
    there = {path.name: path.read_text() for path in directory.glob("*.json")}
    return [
        f"{directory / name}: {'is missing' if name not in there else 'is left over' if name not in wanted else 'differs'}"
        for name in sorted({*wanted, *there})
        if wanted.get(name) != there.get(name)
    ]


def main(arguments: list[str] | None = None) -> None:
    """The entry point; raises SystemExit with the exit code."""
    parser = argparse.ArgumentParser(prog="python -m ops.contracts", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when a file is not as it would be written")
    if not parser.parse_args(arguments).check:
        HERE.mkdir(exist_ok=True)
        for name, text in rendered().items():
            (HERE / name).write_text(text)
    problems = drift()
    for problem in problems:
        say_aside(f"{problem}; run `python -m ops.contracts`, and delete what is left over")
    raise SystemExit(DIFFERENCE if problems else DONE)


if __name__ == "__main__":
    main()
