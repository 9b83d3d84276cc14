"""Reading files: of JSONL every line is an event or a reason with its number, and no line is held that could not be one; what kind a file
is, when it was said, and the rejects file beside it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import openpyxl
import pytest

from phusong.events import Event, Reason, Rejected, decode, encode
from phusong.periods import VIETNAM
from phusong.settings import SEEDS, SettingsError
from phusong.topics import MAX_VALUE_BYTES
from producers.files import Line, judged, read_events
from producers.files import read as read_file
from producers.sheets.forms import FormOptions, Forms
from producers.sheets.statements import Item
from producers.sheets.tables import FileError
from tests.shipped import shipped_rules

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
    with pytest.raises(
        FileError, match=r"none\.jsonl: cannot be read \(No such file or directory\); name a CSV, XLSX, ODS or JSONL file, or -"
    ):
        next(read_events(str(tmp_path / "none.jsonl")))
    with pytest.raises(FileError, match="Is a directory"):
        next(read_events(str(tmp_path)))


NOW = datetime(2026, 11, 22, 5, tzinfo=UTC)
OPTIONS = FormOptions(source="operator-a", indicator="postal.staffed_point", observed_at="2023-06-30")
TABLE = "Mã xã,Đã phủ,Tổng số\n02275,0,1\n02263,1,1\n"


def items(path: Path | str, options: FormOptions = OPTIONS) -> list[Item]:
    return list(read_file(str(path), Forms(shipped_rules(), options, NOW)))


def events(path: Path | str, options: FormOptions = OPTIONS) -> list[Event]:
    return [item.event for item in items(path, options) if item.event is not None]


def stdin(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(content))))


def test_an_event_of_a_table_is_named_by_its_content_and_said_when_the_file_was_saved(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text(TABLE)
    os.utime(file, (1_688_500_000, 1_688_500_000))
    first = events(file)
    assert [event.time for event in first] == [datetime(2023, 7, 5, 2, 46, 40, tzinfo=VIETNAM)] * 2
    assert len({event.id for event in first}) == 2
    assert all(event.id.startswith("sheet/") for event in first)
    copy = tmp_path / "b.csv"
    copy.write_bytes(b"\xef\xbb\xbf" + TABLE.replace(",", ";").replace("\n", "\r\n").encode())
    os.utime(copy, (1_688_600_000, 1_688_600_000))
    assert [event.id for event in events(copy)] == [event.id for event in first]
    assert all(later.time > earlier.time for later, earlier in zip(events(copy), first, strict=True))
    other = FormOptions(source="operator-b", indicator="postal.staffed_point", observed_at="2023-06-30")
    assert not {event.id for event in events(file, other)} & {event.id for event in first}


def test_standard_input_takes_csv_which_is_said_now_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, TABLE.encode())
    found = items("-")
    assert [item.event.time for item in found if item.event] == [NOW] * 2
    assert [note.kind for item in found for note in item.notes] == ["time"]
    stdin(monkeypatch, TABLE.encode())
    told = FormOptions(source="operator-a", indicator="postal.staffed_point", observed_at="2023-06-30", time="2023-07-01")
    found = items("-", told)
    assert [item.event.time for item in found if item.event] == [datetime(2023, 7, 1, tzinfo=VIETNAM)] * 2
    assert not [item for item in found if item.notes]


def test_standard_input_takes_jsonl_with_the_same_forms_and_no_workbook(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, b"\n" + GOOD + b"\n")
    assert events("-", FormOptions()) == [decode(GOOD)]
    stdin(monkeypatch, b"PK\x03\x04")
    with pytest.raises(FileError, match="takes CSV or JSONL"):
        items("-")


def test_a_csv_file_through_a_pipe_is_read_like_any_other(tmp_path: Path) -> None:
    file, pipe = tmp_path / "a.csv", tmp_path / "pipe"
    file.write_text(TABLE)
    os.mkfifo(pipe)
    with subprocess.Popen(["cp", str(file), str(pipe)]):
        assert [event.data for event in events(pipe)] == [event.data for event in events(file)]


def test_options_for_tables_do_not_fit_a_jsonl_file(tmp_path: Path) -> None:
    file = tmp_path / "facts.jsonl"
    file.write_bytes(GOOD)
    with pytest.raises(SettingsError, match="--source, --indicator, --observed-at: for tables"):
        items(file)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("old.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "save as .xlsx"),
        ("page.xls", b"<html><table>", "save as .xlsx"),
        ("locked.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"), "protected with a password"),
        ("text.xlsx", TABLE.encode(), "is no workbook"),
        ("page.csv", b"<!DOCTYPE html><table>", "save as .xlsx"),
        ("empty.xlsx", b"", "is empty"),
        ("cut.xlsx", b"PK\x03\x04" + bytes(100), "is no sound XLSX or ODS file"),
        ("empty.csv", b"", "no table found"),
        ("words.csv", "không có gì ở đây\n".encode(), "no table found"),
    ],
)
def test_a_file_that_holds_no_table_is_refused_with_its_name_and_the_remedy(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(FileError) as refused:
        items(file)
    assert str(refused.value).startswith(f"{file}: ")
    assert told in str(refused.value)
    assert refused.value.text.vi.startswith(f"{file}: ")


def test_what_the_rules_refuse_is_a_problem_beside_the_cell_that_it_is_about(tmp_path: Path) -> None:
    def refuse(event: Event) -> None:
        raise Rejected(Reason.COUNTS_OUT_OF_RANGE, "too many")

    file = tmp_path / "a.csv"
    file.write_text(TABLE)
    found = [item for item in judged(read_file(str(file), Forms(shipped_rules(), OPTIONS, NOW)), refuse) if item.problems]
    assert [(item.number, item.event, *item.problems[0][:3]) for item in found] == [
        (2, None, "Đã phủ", "0", Reason.COUNTS_OUT_OF_RANGE),
        (3, None, "Đã phủ", "1", Reason.COUNTS_OUT_OF_RANGE),
    ]


def test_a_csv_file_of_many_rows_is_read_in_bounded_memory(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    with file.open("w") as out:
        out.write("Mã xã,Ngày số liệu,Đã phủ,Tổng số,Thôn chưa phủ\n")
        for number in range(5_000):
            out.write(f"02275,{number % 28 + 1:02}/{number // 28 % 12 + 1:02}/{2021 + number // 336 % 3},1,{number + 1},Bản {number}\n")
    forms = Forms(shipped_rules(), FormOptions(source="operator-a", indicator="postal.points_online"), NOW)
    tracemalloc.start()
    try:
        rows = sum(1 for _ in read_file(str(file), forms))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert rows == 5_001
    assert peak_bytes < 12 * 1024 * 1024  # most of it caches that are bounded


def test_a_hidden_sheet_is_left_out_and_said_so_unless_it_is_named(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for number, page in enumerate((book.active, book.create_sheet("ẩn"))):
        for row in (("Mã xã", "Đã phủ", "Tổng số"), ("02275", number, 1)):
            page.append(row)
    book["ẩn"].sheet_state = "hidden"
    file = tmp_path / "a.xlsx"
    book.save(file)
    found = items(file)
    assert [item.event.data.covered for item in found if item.event] == [0]
    assert [(item.sheet, note.kind) for item in found for note in item.notes] == [("ẩn", "hidden")]
    assert [event.data.covered for event in events(file, msgspec.structs.replace(OPTIONS, sheet="ẩn"))] == [1]
    with pytest.raises(SettingsError, match="there is no sheet 'x'; one of: Sheet, ẩn"):
        items(file, msgspec.structs.replace(OPTIONS, sheet="x"))
