"""Events from files: JSONL, one CloudEvent a line, in UTF-8.

Comes in: a path, or `-` for standard input. Goes out: each line's event, or why it is none; `send_file` sends the good ones and tells of
the bad ones. Owns nothing, and holds one line at a time, whatever the file's size. A bad line is reported with its number and does not stop
the others; a file that cannot be read is a `FileError`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import count
from pathlib import Path
from typing import BinaryIO, NamedTuple

from phusong.events import Event, Reason, Rejected, decode
from phusong.topics import MAX_VALUE_BYTES
from producers.publisher import STOP_SECONDS_MAX, Publisher

STANDARD_INPUT = "-"
INTERRUPTED = "interrupted"
"""Why a file was not read to its end when Ctrl-C stopped it."""
_BOM = b"\xef\xbb\xbf"
_LINE_BYTES_MAX = MAX_VALUE_BYTES + 16  # what may stand around an event: byte order mark, indentation, end of the line
_PROGRESS_BYTES = 64 * 1024  # not at every line: drawing costs more than reading


class FileError(OSError):
    """A file cannot be read; the text names it and the remedy."""


class Line(NamedTuple):
    """One line that is not blank: its number from 1, its event or why it is none, and how much of the file is read with it."""

    number: int
    outcome: Event | Rejected
    bytes_read: int


class Sent(NamedTuple):
    """What became of one file: `lines` = `acknowledged` + `rejected` + `failed`; `stopped` says why it was not read to its end, if so."""

    lines: int
    acknowledged: int
    rejected: int
    failed: int
    stopped: str


def read_events(path: str) -> Iterator[Line]:
    """The lines of a JSONL file, blank ones left out. Raises FileError."""
    try:
        with nullcontext(sys.stdin.buffer) if path == STANDARD_INPUT else Path(path).open("rb") as file:
            yield from _lines(file)
    except OSError as error:
        raise FileError(
            f"{path}: cannot be read ({error.strerror or error}); name a JSONL file, or {STANDARD_INPUT} for standard input"
        ) from error


def send_file(path: str, publisher: Publisher, report: Callable[[str], None], progress: Callable[[int], None]) -> Sent:
    """Send every good line, wait for the acknowledgements, and return the counts.

    `report` gets a sentence for each bad line, as "FILE:LINE: reason: sentence", and one when the sending stops early: after the first
    failed delivery, or at Ctrl-C. `progress` gets the number of bytes read so far, now and then. Raises FileError or PublishError.
    """
    acknowledged_before, taken_before, failed_before = publisher.acknowledged, publisher.taken, publisher.failed
    number = bytes_read = shown = rejected = 0
    stopped = ""
    try:
        for number, outcome, bytes_read in read_events(path):
            try:
                if isinstance(outcome, Rejected):
                    raise outcome
                publisher.send(outcome)
            except Rejected as error:
                rejected += 1
                report(f"{path}:{number}: {error}")
            if bytes_read - shown >= _PROGRESS_BYTES:
                shown = bytes_read
                progress(bytes_read)
            if publisher.failed > failed_before:
                # the broker has been away for longer than a delivery may take, or refuses us: the next line would fare no better
                stopped = "stopped, since a delivery failed"
                break
        else:
            progress(bytes_read)
            publisher.flush()
    except KeyboardInterrupt:
        stopped = INTERRUPTED
    if stopped:
        report(f"{path}:{number}: {stopped}, after this line; send the file again for the rest (what arrives twice counts once)")
        publisher.flush(STOP_SECONDS_MAX)
    taken = publisher.taken - taken_before
    acknowledged = publisher.acknowledged - acknowledged_before
    return Sent(lines=taken + rejected, acknowledged=acknowledged, rejected=rejected, failed=taken - acknowledged, stopped=stopped)


def _lines(file: BinaryIO) -> Iterator[Line]:
    bytes_read = 0
    for number in count(1):
        line = piece = file.readline(_LINE_BYTES_MAX)
        if not piece:
            return
        bytes_read += len(piece)
        too_long = False
        while not piece.endswith(b"\n") and (piece := file.readline(_LINE_BYTES_MAX)):
            # passed over, never held whole
            too_long = True
            bytes_read += len(piece)
        # not only at the start: somebody may have joined files
        value = line.removeprefix(_BOM).strip()
        if too_long:
            yield Line(
                number, Rejected(Reason.TOO_LARGE, f"more than {MAX_VALUE_BYTES} bytes in one line; split it by commune"), bytes_read
            )
        elif value:
            yield Line(number, _read(value), bytes_read)


def _read(value: bytes) -> Event | Rejected:
    try:
        # the decoder does not look into fields that it does not know
        value.decode()
        return decode(value)
    except UnicodeDecodeError as error:
        return Rejected(Reason.NOT_JSON, f"byte {error.start + 1} is not UTF-8; save the file as UTF-8")
    except Rejected as error:
        return error
