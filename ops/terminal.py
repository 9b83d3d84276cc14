"""What every command of `phusong` shares at the terminal: exit codes, words aside, bars, and how results are printed.

Comes in: results and progress. Goes out: results on stdout, everything else on stderr. Owns no state.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console

from feed.text import Lang, say

DONE, DIFFERENCE, WRONG_USE, TROUBLE, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit codes: done, found a difference or rejected input, wrong use, broker, set-up or I/O trouble, Ctrl-C."""


def say_aside(line: str) -> None:
    """One line on stderr: what is not the result."""
    print(line, file=sys.stderr, flush=True)


def console(*, stderr: bool = False) -> Console:
    """Where tables and bars are drawn: wide enough in a pipe, which has no width, that no figure is cut."""
    found = Console(stderr=stderr, highlight=False)
    return found if found.is_terminal else Console(stderr=stderr, highlight=False, width=160)


@contextmanager
def reading_bar(lang: Lang) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr for the reading of the log; gone when it is read."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as progress:
        task = progress.add_task(say(lang, "Đọc nhật ký", "Reading the log"), total=None)
        yield lambda read, of: progress.update(task, completed=read, total=of)


def print_found(found: object, lines: Callable[[], Iterable[str]], *, as_json: bool) -> None:
    """A result on stdout: as JSON, or in words."""
    import msgspec

    if as_json:
        print(json.dumps(msgspec.to_builtins(found, str_keys=True), ensure_ascii=False, indent=1))
    else:
        print("\n".join(lines()))


def serving(name: str, address_file: Path | None) -> Callable[[str], None]:
    """Log to stderr from now on; what is returned tells the address of a server, and writes it into a file where one is asked for."""

    def ready(url: str) -> None:
        say_aside(f"{name}: {url}")
        if address_file is not None:
            part = address_file.with_suffix(".part")
            part.write_text(url)
            part.replace(address_file)

    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    return ready


def end_on_sigterm() -> None:
    """SIGTERM ends a command as Ctrl-C does."""

    def end(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
