"""Tables out of files: rows as a spreadsheet shows them; what would not fit, or is not what it says, is refused before it is opened."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import openpyxl
import pytest

from producers.sheets.cells import Percent, Unread
from producers.sheets.headings import Heading
from producers.sheets.tables import LINE_CHARS_MAX, Book, FileError, Row, open_csv
from producers.sheets.workbooks import open_workbook

HEADING = "Mã xã;Đã phủ;Tổng số"
SHEET = '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{}</sheetData></worksheet>'


def csv_rows(content: bytes) -> tuple[Book, list[Row]]:
    def recognise(rows: object) -> int:
        assert isinstance(rows, list)
        return max((Heading([row], None).found for row in rows), default=0)

    with open_csv("a.csv", io.BytesIO(content), recognise) as book:
        return book, list(book.sheets[0].rows())


def cells(content: bytes) -> list[list[object]]:
    return [list(row.cells) for row in csv_rows(content)[1]]


def workbook(path: Path, sheet: str) -> Path:
    """A workbook of one sheet, whose XML is written by hand."""
    sound = io.BytesIO()
    openpyxl.Workbook().save(sound)
    with zipfile.ZipFile(sound) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
        for name in source.namelist():
            package.writestr(name, SHEET.format(sheet) if name.endswith("sheet1.xml") else source.read(name))
    return path


def book_rows(path: Path) -> list[Row]:
    with open_workbook(str(path)) as book:
        return [row for sheet in book.sheets for row in sheet.rows()]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_csv_is_read_whatever_separates_its_columns_and_however_its_letters_are_written(delimiter: str, encoding: str) -> None:
    text = f"{HEADING}\nXã Hồng Thái;1;2\n".replace(";", delimiter)
    book, rows = csv_rows(text.encode(encoding))
    assert book.delimiter == delimiter
    assert [list(row.cells) for row in rows] == [HEADING.split(";"), ["Xã Hồng Thái", "1", "2"]]


def test_csv_that_is_not_utf_8_is_read_as_windows_1258_and_said_so() -> None:
    book, rows = csv_rows(f"{HEADING}\n".encode() + "Xa\u0303 Ho\u0302\u0300ng Tha\u0301i;1;2\n".encode("utf-8"))
    assert not book.notes
    plain = "Ma\u0303 xa\u0303;\u0110a\u0303 phu\u0309;Tôn\u0309g sô\u0301\nHô\u0300ng Tha\u0301i;1;2\n"
    book, rows = csv_rows(plain.encode("cp1258"))
    assert [note.kind for note in book.notes] == ["encoding"]
    assert rows[1].cells[0] == "Hồng Thái"


def test_one_bad_byte_in_a_utf_8_file_breaks_its_row_alone() -> None:
    _, rows = csv_rows(f"{HEADING}\nHồng Thái;1;2\n".encode() + b"H\xf4ng;1;2\n" + "Sơn Phú;1;2\n".encode())
    assert [row.broken is not None for row in rows] == [False, False, True, False]


def test_a_quoted_cell_may_hold_delimiters_quotes_and_line_breaks() -> None:
    content = f'{HEADING}\n"a;b";"c ""d""";"e\nf"\nlast;1;2\n'.encode()
    assert cells(content)[1:] == [["a;b", 'c "d"', "e\nf"], ["last", "1", "2"]]
    assert [row.number for row in csv_rows(content)[1]] == [1, 2, 4]


@pytest.mark.parametrize("rest", ["02275;1;2\n" * 300, 'x;"a";2\n' * 300, ""], ids=["plain lines", "quoted lines", "nothing"])
def test_a_quote_that_is_not_closed_breaks_its_row_and_no_other(rest: str) -> None:
    _, rows = csv_rows(f'{HEADING}\n02263;"1;2\n{rest}'.encode())
    assert [row.number for row in rows if row.broken] == [2]
    assert len(rows) == 2 + rest.count("\n")


def test_a_nul_byte_and_a_line_too_long_break_their_rows_and_no_others() -> None:
    long = "x" * (LINE_CHARS_MAX + 10)
    _, rows = csv_rows(f"{HEADING}\n02\x00263;1;2\n{long};1;2\n02275;1;2\n".encode())
    assert [(row.number, row.broken is not None) for row in rows] == [(1, False), (2, True), (3, True), (4, False)]
    assert list(rows[3].cells) == ["02275", "1", "2"]


def test_the_bytes_read_grow_to_the_size_of_the_file() -> None:
    content = f"{HEADING}\n".encode() + b"02275;1;2\n" * 5000
    book, rows = csv_rows(content)
    assert book.total == len(content) >= rows[-1].read > 0
    assert [row.read for row in rows] == sorted(row.read for row in rows)


def test_rows_and_cells_of_a_workbook_stand_where_the_spreadsheet_shows_them(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active["C4"] = 2275
    book.active["D6"] = "Thái"  # NFD
    book.properties.modified = datetime(2023, 7, 5, 2, 0, tzinfo=UTC).replace(tzinfo=None)
    book.active.row_dimensions[4].hidden = True
    path = tmp_path / "a.xlsx"
    book.save(path)
    rows = {row.number: list(row.cells) for row in book_rows(path) if any(row.cells)}
    assert rows == {4: ["", "", 2275.0, ""], 6: ["", "", "", "Thái"]}


def test_a_formula_without_its_result_an_error_and_a_percentage_are_told_from_values(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    page = book.active
    page.append(["=1+1", 1, "#N/A", 5])
    page["B1"].number_format = "0%"
    page["C1"].data_type = "e"
    book.save(tmp_path / "a.xlsx")
    (row,) = book_rows(tmp_path / "a.xlsx")
    formula, percent, error, five = row.cells
    assert isinstance(formula, Unread)
    assert formula.shown == "=1+1"
    assert (type(percent), percent) == (Percent, 1.0)
    assert isinstance(error, Unread)
    assert error.shown == "#N/A"
    assert five == 5


@pytest.mark.parametrize(
    ("sheet", "told"),
    [
        ('<row r="1"><c r="A1"><v>1</v></c></row><row r="1048577"><c r="A1048577"><v>1</v></c></row>', "1048577 rows"),
        ('<row r="1"><c r="A1"><v>1</v></c><c r="XFD1"><v>1</v></c></row>', "16384 columns"),
        ('<row r="1"><c r="SF1"><v>1</v></c></row><row r="1000000"><c r="A1000000"><v>1</v></c></row>', "1000000 rows and 500 columns"),
        (f'<row r="1">{"<c><v>1</v></c>" * 501}</row>', "501 columns"),
    ],
    ids=["rows", "columns", "area", "cells without a place"],
)
def test_a_sheet_that_would_not_fit_in_memory_is_refused_however_small_its_file(tmp_path: Path, sheet: str, told: str) -> None:
    with pytest.raises(FileError, match=told) as refused:
        book_rows(workbook(tmp_path / "a.xlsx", sheet))
    assert "is too large" in str(refused.value)


def test_one_long_text_that_many_cells_share_is_refused(tmp_path: Path) -> None:
    cells = "".join(f'<row r="{row}"><c r="A{row}" t="s"><v>0</v></c></row>' for row in range(1, 10_001))
    path = workbook(tmp_path / "a.xlsx", cells)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as package:
        package.writestr("xl/strings.xml", f'<sst xmlns="x"><si><t>{"x" * 32_000}</t></si></sst>')
    with pytest.raises(FileError, match="repeated too often"):
        book_rows(path)


def test_a_part_that_unpacks_to_more_than_the_directory_says_is_refused(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", f'<row r="1"><c r="A1"><v>{"1" * 100_000}</v></c></row>')
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as package:
        sizes = [one.file_size for one in package.infolist() if one.filename.endswith("sheet1.xml")]
    size = sizes[0].to_bytes(4, "little")
    while (at := content.find(size)) >= 0:
        content[at : at + 4] = (1000).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(FileError, match="unpacks to more than it says"):
        book_rows(path)


def test_a_document_type_in_a_part_is_refused_or_the_part_ignored_and_nothing_is_expanded(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    path = workbook(tmp_path / "a.xlsx", '<row r="1"><c r="A1"><v>1</v></c></row>')
    for part, refused in (("docProps/core.xml", False), ("xl/workbook.xml", True)):
        changed = tmp_path / f"{refused}.xlsx"
        with zipfile.ZipFile(path) as source, zipfile.ZipFile(changed, "w") as package:
            for name in source.namelist():
                text = source.read(name)
                package.writestr(name, bomb.encode() + text.partition(b"?>\n")[2] if name == part else text)
        if refused:
            with pytest.raises(FileError, match="document type"):
                book_rows(changed)
        else:
            with open_workbook(str(changed)) as book:
                assert book.saved_at is None
