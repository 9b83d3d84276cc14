"""Reading JSONL: every line is an event or a reason with its number, and no line is held that could not be one."""

from __future__ import annotations

import io
import sys
import tracemalloc
from pathlib import Path

import pytest

from phusong.events import Event, Reason, Rejected, decode, encode
from phusong.settings import SEEDS
from phusong.topics import MAX_VALUE_BYTES
from producers.files import FileError, Line, read_events

GOOD = (
    '{"specversion":"1.0","id":"a/1","source":"a","type":"vn.phusong.coverage.stated.v1","time":"2023-07-05T09:00:00+07:00",'
    '"data":{"commune":"02275","indicator":"postal.staffed_point","observed_at":"2023-06-30T00:00:00+07:00",'
    '"covered":0,"expected":1,"uncovered":["Bản Lãm"]}}'
).encode()


def read(tmp_path: Path, content: bytes) -> list[Line]:
    file = tmp_path / "facts.jsonl"
    file.write_bytes(content)
    return list(read_events(str(file)))


def reasons(lines: list[Line]) -> list[tuple[int, Reason]]:
    return [(line.number, line.outcome.reason) for line in lines if isinstance(line.outcome, Rejected)]


def test_the_facts_of_2023_are_138_events() -> None:
    lines = list(read_events(str(SEEDS / "facts" / "2023-06.jsonl")))
    assert [line.number for line in lines] == list(range(1, 139))
    assert not reasons(lines)


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["unix", "windows"])
@pytest.mark.parametrize("last", [True, False], ids=["last line ended", "last line open"])
def test_utf_8_is_read_with_and_without_byte_order_mark_whatever_ends_a_line(tmp_path: Path, bom: bytes, end: bytes, last: bool) -> None:
    lines = read(tmp_path, bom + GOOD + end + GOOD + (end if last else b""))
    assert [(line.number, line.outcome) for line in lines] == [(1, decode(GOOD)), (2, decode(GOOD))]


def test_joined_files_may_each_start_with_a_byte_order_mark(tmp_path: Path) -> None:
    assert not reasons(read(tmp_path, (b"\xef\xbb\xbf" + GOOD + b"\n") * 2))


def test_blank_lines_are_skipped_and_counted_in_the_numbers(tmp_path: Path) -> None:
    lines = read(tmp_path, b"\n \t\r\n" + GOOD + b"\n\n" + b"no event\n")
    assert [line.number for line in lines] == [3, 5]
    assert reasons(lines) == [(5, Reason.NOT_JSON)]


def test_an_empty_file_has_no_lines(tmp_path: Path) -> None:
    assert read(tmp_path, b"") == []


@pytest.mark.parametrize(
    "bad",
    [
        b"\x00",
        GOOD.replace(b"02275", b"02\x00275"),
        GOOD.replace("Lãm".encode(), b"L\xe3m"),
        GOOD[:-1] + b',"note":"L\xe3m"}',
        GOOD[:-5],
        b"[" + GOOD + b"]x",
        "văn bản".encode("utf-16"),
    ],
    ids=["NUL alone", "NUL inside", "Latin-1", "Latin-1 in an unknown field", "cut off", "rubbish after it", "UTF-16"],
)
def test_a_broken_line_is_reported_with_its_number_and_does_not_stop_the_others(tmp_path: Path, bad: bytes) -> None:
    lines = read(tmp_path, GOOD + b"\n" + bad + b"\n" + GOOD + b"\n")
    assert reasons(lines) == [(2, Reason.NOT_JSON)]
    assert [line.number for line in lines] == [1, 2, 3]


def test_an_event_of_the_greatest_size_is_read_and_one_byte_more_is_too_large(tmp_path: Path) -> None:
    fits = GOOD[:-1] + b',"note":"' + b"x" * (MAX_VALUE_BYTES - len(GOOD) - 10) + b'"}'
    assert len(fits) == MAX_VALUE_BYTES
    over = fits.replace(b"xx", b"xxx", 1)
    lines = read(tmp_path, b"\xef\xbb\xbf" + fits + b"\r\n" + over + b"\n" + over)
    assert reasons(lines) == [(2, Reason.TOO_LARGE), (3, Reason.TOO_LARGE)]


def test_a_line_of_any_length_is_passed_over_in_bounded_memory_and_the_next_one_read(tmp_path: Path) -> None:
    file = tmp_path / "facts.jsonl"
    huge = 64 * 1024 * 1024
    with file.open("wb") as out:
        out.truncate(huge)  # one line of NUL bytes that takes no disk
        out.seek(huge)
        out.write(b"\n" + GOOD)
    tracemalloc.start()
    try:
        lines = list(read_events(str(file)))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert reasons(lines) == [(1, Reason.TOO_LARGE)]
    assert (lines[1].number, lines[1].outcome) == (2, decode(GOOD))
    assert peak_bytes < 1024 * 1024


def test_a_file_of_many_lines_is_read_in_bounded_memory(tmp_path: Path) -> None:
    file = tmp_path / "facts.jsonl"
    file.write_bytes((GOOD + b"\n") * 20_000)
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_events(str(file))) == 20_000
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 1024 * 1024


def test_the_bytes_read_grow_to_the_size_of_the_file(tmp_path: Path) -> None:
    content = GOOD + b"\n\n" + b"x" * 200_000 + b"\n" + GOOD
    assert [line.bytes_read for line in read(tmp_path, content)] == [len(GOOD) + 1, len(GOOD) + 2 + 200_001, len(content)]


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(GOOD + b"\n"), encoding="ascii"))
    assert [line.outcome for line in read_events("-")] == [decode(GOOD)]
    assert not sys.stdin.closed


def test_what_is_read_can_be_written_again(tmp_path: Path) -> None:
    (line,) = read(tmp_path, GOOD)
    event = line.outcome
    assert isinstance(event, Event)
    assert decode(encode(event)) == event


def test_a_file_that_cannot_be_read_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"none\.jsonl: cannot be read \(No such file or directory\); name a JSONL file, or -"):
        next(read_events(str(tmp_path / "none.jsonl")))
    with pytest.raises(FileError, match="Is a directory"):
        next(read_events(str(tmp_path)))
