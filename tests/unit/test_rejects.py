"""The rejects file: nothing that stands in its place is lost, and what cannot be written is told in time."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from phusong.events import Reason
from producers.sheets import rejects as module
from producers.sheets.cells import Text
from producers.sheets.headings import REASON_HEADING
from producers.sheets.rejects import RejectsFile
from producers.sheets.statements import Item, Problem, Skipped
from producers.sheets.tables import FileError

KINDS = ["csv", "xlsx", "ods", "jsonl"]
WHY = "x" * 200


def begun(path: Path) -> RejectsFile:
    return RejectsFile(str(path), path.suffix[1:], ",", "vi")


def rejected(path: Path, code: str = "02275") -> RejectsFile:
    problems = (Problem("Đã phủ", "x", Reason.SCHEMA, Text(WHY, WHY)),)
    file = begun(path)
    if path.suffix == ".jsonl":
        file.add(Item("", 1, problems=problems, cells=b'{"id":"%s"}' % code.encode()))
    else:
        file.add(Item("Biểu", 1, skipped=Skipped.HEADING, cells=("Mã xã", "Đã phủ", "Tổng số"), columns={"expected": (2, "Tổng số")}))
        file.add(Item("Biểu", 2, problems=problems, cells=(code, "x", 1)))
    return file


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_says_anything_else_stays_and_the_rejects_go_into_one_of_the_next_number(tmp_path: Path, kind: str) -> None:
    source = tmp_path / f"form.{kind}"
    names = [tmp_path / f"form.rejects{number}.{kind}" for number in ("", "-2", "-3")]
    assert rejected(source).finish() == str(names[0])
    mended = names[0].read_bytes()
    second = rejected(source, "02263")
    assert (second.finish(), second.kept) == (str(names[1]), str(names[0]))
    assert names[0].read_bytes() == mended
    names[1].write_text("somebody's own")
    third = rejected(source, "02263")
    assert (third.finish(), third.kept) == (str(names[2]), str(names[1]))
    assert sorted(tmp_path.iterdir()) == sorted(names)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_rejects_are_written_once(tmp_path: Path, kind: str) -> None:
    source = tmp_path / f"form.{kind}"
    first = rejected(source).finish()
    again = rejected(source)
    assert (again.finish(), again.kept) == (first, "")
    assert [str(one) for one in tmp_path.iterdir()] == [first]


def test_where_nothing_is_rejected_an_older_file_stays_and_is_told(tmp_path: Path) -> None:
    source = tmp_path / "form.csv"
    first = rejected(source).finish()
    file = begun(source)
    assert (file.finish(), file.kept) == ("", first)
    assert [str(one) for one in tmp_path.iterdir()] == [first]


def test_a_file_that_cannot_be_made_is_told_before_anything_is_added(tmp_path: Path) -> None:
    with pytest.raises(FileError) as refused:
        begun(tmp_path / f"{'x' * 245}.csv")
    assert "copy the file into another one" in refused.value.text.en


def test_on_a_full_disk_the_remedy_is_to_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setitem(module._WRITERS, "csv", full)
    with pytest.raises(FileError) as refused:
        rejected(tmp_path / "form.csv")
    assert "giải phóng chỗ trống" in refused.value.text.vi


def test_in_a_workbook_the_reason_is_wrapped_in_a_column_that_is_wide_enough_to_be_read(tmp_path: Path) -> None:
    page = openpyxl.load_workbook(rejected(tmp_path / "form.xlsx").finish()).active
    assert page["D1"].value == REASON_HEADING
    assert page["D2"].alignment.wrap_text
    assert page.column_dimensions["D"].width > 50
    assert page.column_dimensions["A"].width >= 10
