"""Whatever spelling a sheet uses, the same rows are the same events; rejected rows, mended, are sent whole; nothing breaks the reader."""

from __future__ import annotations

import contextlib
import csv
import io
import unicodedata
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from openpyxl import Workbook, load_workbook

from phusong.admission import Admission
from phusong.events import Stated
from phusong.periods import VIETNAM
from phusong.register import Unit
from producers.files import judged, read
from producers.sheets.forms import FormOptions, Forms
from producers.sheets.rejects import RejectsFile
from producers.sheets.statements import Item
from producers.sheets.tables import FileError
from tests.shipped import shipped_rules

NOW = datetime(2026, 11, 22, 5, tzinfo=UTC)
OPTIONS = FormOptions(source="operator-a", indicator="telecom.mobile_4g_population", time="2023-07-05T09:00:00+07:00")
UNITS = [unit for unit in shipped_rules().register.units.values() if unit.vintage == "2020-01-01" and unit.province == "08"]
HEADINGS = {
    "code": ("Mã xã", "MA XA", "Mã số xã (*)", "Mã\nđơn vị hành chính", "Commune code"),
    "name": ("Tên xã", "Xã/Phường/Thị trấn", "ten  xa", "Commune name"),
    "covered": ("Đã phủ", "Đã phủ sóng (người)", "Số người được phủ sóng", "da phu", "Covered"),
    "expected": ("Tổng số", "Tổng dân số", "Dân số (người)", "TONG SO", "Expected"),
    "day": ("Ngày số liệu", "Kỳ báo cáo", "Thời điểm", "Số liệu tính đến ngày", "observed_at"),
}
Cell = str | int | float | date


class Statement(NamedTuple):
    """One row, before anybody has spelt it."""

    unit: Unit
    covered: int
    expected: int
    day: date

    @property
    def plain(self) -> dict[str, Cell]:
        """The row in its plainest spelling."""
        return {
            "code": self.unit.code,
            "name": self.unit.name,
            "covered": str(self.covered),
            "expected": str(self.expected),
            "day": self.day.isoformat(),
        }


class Sheet(NamedTuple):
    """Some statements as a table: its rows with heading, as text cells or as a workbook's; `at`: in which row each statement stands."""

    statements: list[Statement]
    rows: list[list[Cell]]
    at: list[int]
    columns: list[str]


@st.composite
def statements(draw: DrawFn) -> list[Statement]:
    """Of one commune each, while the list of 2020 was in force."""
    units = draw(st.lists(st.sampled_from(UNITS), min_size=1, max_size=6, unique_by=lambda unit: unit.code))
    counts = st.integers(0, 999) | st.integers(1000, 2_000_000)
    pairs = [sorted(draw(st.tuples(counts, counts))) for _ in units]
    return [Statement(unit, low, high, draw(_days)) for unit, (low, high) in zip(units, pairs, strict=True)]


_any_day = st.dates(date(2023, 1, 1), date(2024, 8, 30))
_days = _any_day | _any_day.map(lambda day: day.replace(day=28) + timedelta(days=4)).map(lambda day: day.replace(day=1) - timedelta(days=1))


def codes(code: str, *, typed: bool) -> SearchStrategy[Cell]:
    """The ways in which a code arrives."""
    spelt: list[Cell] = [code, code.lstrip("0"), f" {code}\u00a0", f"{int(code)}.0", f"{int(code)},0", f"'{code}", f"\u200b{code}"]
    return st.sampled_from([*spelt, int(code), float(code)] if typed else spelt)


def counts(count: int, *, typed: bool) -> SearchStrategy[Cell]:
    """The ways in which a count arrives."""
    grouped = f"{count:,}"
    spelt: list[Cell] = [str(count), f"{count},0", f"{count}.00", f" {count} "]
    spelt += [grouped.replace(",", sign) for sign in (".", ",", " ", "\u00a0", "\u202f")]
    spelt += [f"{grouped}.0", f"{grouped.replace(',', '.')},0"]
    return st.sampled_from([*spelt, count, float(count)] if typed else spelt)


def days(day: date, *, typed: bool) -> SearchStrategy[Cell]:
    """The ways in which a day arrives; the last one of a month, a quarter, half a year or a year also by the name of that."""
    year, month, serial = day.year, day.month, (day - date(1899, 12, 30)).days
    spelt: list[Cell] = [day.isoformat(), f"{day:%d/%m/%Y}", f"{day.day}/{month}/{year}", f"{day.day}-{month}-{year}", f"{day:%d.%m.%Y}"]
    spelt += [f"ngày {day.day} tháng {month} năm {year}", str(serial), f"{day}T00:00:00+07:00"]
    if (day + timedelta(days=1)).day == 1:
        spelt += [f"{month}/{year}", f"{year}-{month:02}", f"tháng {month}/{year}", f"Tháng {month:02} năm {year}"]
        spelt += [f"quý {month // 3}/{year}", f"Quý {'I' * (month // 3)}/{year}"] if month in (3, 6, 9) else []
        spelt += (
            [f"6 tháng đầu năm {year}"] if month == 6 else [f"6 tháng cuối năm {year}", f"năm {year}", str(year)] if month == 12 else []
        )
    return st.sampled_from([*spelt, day, datetime(year, month, day.day), serial] if typed else spelt)  # noqa: DTZ001 - a cell has no zone


def names(name: str) -> SearchStrategy[Cell]:
    """The ways in which a commune's name stands beside its code."""
    decomposed = unicodedata.normalize("NFD", name)
    bare = "".join(letter for letter in decomposed if not unicodedata.combining(letter)).replace("đ", "d").replace("Đ", "D")
    return st.sampled_from(["", name, decomposed, bare, name.upper(), name.lower(), f" {name.replace(' ', '  ')} "])


@st.composite
def sheets(draw: DrawFn, *, typed: bool) -> Sheet:
    """A table in any accepted spelling; `typed`: with numbers and dates, as a workbook has them."""
    rows = draw(statements())
    columns = draw(st.permutations(list(HEADINGS)))
    table: list[list[Cell]] = [["BIỂU TỔNG HỢP"], []] if draw(st.booleans()) else []
    table.append([draw(st.sampled_from(HEADINGS[column])) for column in columns])
    if draw(st.booleans()):
        table.append([f"({number})" for number in range(1, len(columns) + 1)])
    at = []
    for row in rows:
        at.append(len(table))
        spelt = {
            "code": draw(codes(row.unit.code, typed=typed)),
            "name": draw(names(row.unit.name)),
            "covered": draw(counts(row.covered, typed=typed)),
            "expected": draw(counts(row.expected, typed=typed)),
            "day": draw(days(row.day, typed=typed)),
        }
        table.append([spelt[column] for column in columns])
        if draw(st.booleans()):
            table.append([""] * draw(st.integers(0, 5)))
    if draw(st.booleans()):
        sums: dict[str, Cell] = {"name": "Tổng cộng", "covered": "7", "expected": "9"}
        table.append([sums.get(column, "") for column in columns])
    return Sheet(rows, table, at, columns)


def windows_1258(text: str) -> bytes:
    """Text as Windows writes Vietnamese: the letter with its circumflex, breve or horn as one byte, the tone mark as a second one."""
    out = b""
    for letter in unicodedata.normalize("NFC", text):
        try:
            out += letter.encode("cp1258")
        except UnicodeEncodeError:
            *stem, tone = sorted(unicodedata.normalize("NFD", letter), key=lambda mark: mark in "\u0300\u0301\u0303\u0309\u0323")
            out += unicodedata.normalize("NFC", "".join(stem)).encode("cp1258") + tone.encode("cp1258")
    return out


def as_csv(rows: Sequence[Sequence[Cell]], delimiter: str, *, quoted: bool = False) -> str:
    """Rows as a spreadsheet program writes them; `quoted`: quotes around every cell, not only where needed."""
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL).writerows(rows)
    return out.getvalue()


def as_xlsx(rows: Sequence[Sequence[Cell]]) -> bytes:
    workbook = Workbook()
    sheet = workbook.worksheets[0]
    for number, row in enumerate(rows, 1):
        for column, cell in enumerate(row, 1):
            sheet.cell(number, column, cell)
    out = io.BytesIO()
    workbook.save(out)
    return out.getvalue()


ENCODINGS = {
    "utf-8": str.encode,
    "utf-8-sig": lambda text: text.encode("utf-8-sig"),
    "utf-16": lambda text: text.encode("utf-16"),
    "windows-1258": lambda text: windows_1258(text.replace("\u202f", "\u00a0").replace("\u200b", "")),
}


def items_of(file: Path) -> list[Item]:
    """The rows of a file, after the rules were asked."""
    rules = shipped_rules()
    admission = Admission(rules)
    now_ms = int(NOW.timestamp() * 1000)
    return list(judged(read(str(file), Forms(rules, OPTIONS, NOW)), lambda event: admission.outgoing(event, now_ms)))


def read_back(file: Path) -> list[Stated]:
    """The events of a file without one rejected row."""
    items = items_of(file)
    assert [(item.number, item.problems) for item in items if item.problems] == []
    return events_of(items)


def events_of(items: list[Item]) -> list[Stated]:
    events = [item.event for item in items if item.event is not None]
    assert all(isinstance(event, Stated) for event in events)
    return events


def said(events: list[Stated]) -> list[tuple[object, ...]]:
    return [(event.data.commune, event.data.covered, event.data.expected, event.data.observed_at) for event in events]


def meant(statements: list[Statement]) -> list[tuple[object, ...]]:
    return [
        (one.unit.code, one.covered, one.expected, datetime(one.day.year, one.day.month, one.day.day, tzinfo=VIETNAM)) for one in statements
    ]


def check(sheet: Sheet, file: Path) -> None:
    """That a file holds what the sheet means, under the ids of its plainest spelling."""
    found = read_back(file)
    assert said(found) == meant(sheet.statements)
    plain = file.with_name("plain.csv")
    plain.write_text(as_csv([[HEADINGS[column][0] for column in HEADINGS], *(list(one.plain.values()) for one in sheet.statements)], ","))
    assert [event.id for event in found] == [event.id for event in read_back(plain)]


@given(
    sheet=sheets(typed=False),
    delimiter=st.sampled_from([",", ";", "\t"]),
    encoding=st.sampled_from(sorted(ENCODINGS)),
    quoted=st.booleans(),
)
def test_a_csv_file_in_any_accepted_spelling_is_the_events_of_the_plainest_one(
    sheet: Sheet, delimiter: str, encoding: str, quoted: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("sheets") / "spelt.csv"
    file.write_bytes(ENCODINGS[encoding](as_csv(sheet.rows, delimiter, quoted=quoted)))
    check(sheet, file)


@settings(max_examples=40)  # a workbook takes a while to write
@given(sheet=sheets(typed=True))
def test_a_workbook_in_any_accepted_spelling_is_the_events_of_the_plainest_csv(
    sheet: Sheet, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("sheets") / "spelt.xlsx"
    file.write_bytes(as_xlsx(sheet.rows))
    check(sheet, file)


class Spoilt(NamedTuple):
    """A sheet some of whose counts are unreadable; `mended`: what stands there -> what was meant; the statements by whether they are."""

    rows: list[list[Cell]]
    mended: dict[str, int]
    good: list[Statement]
    bad: list[Statement]


def spoil(sheet: Sheet, which: set[int]) -> Spoilt:
    """The sheet with the counts of some statements unreadable, of the first one at least."""
    rows = [list(row) for row in sheet.rows]
    mended, good, bad = {}, [], []
    for number, (one, at) in enumerate(zip(sheet.statements, sheet.at, strict=True)):
        if number and number not in which:
            good.append(one)
            continue
        bad.append(one)
        mended[f"sai {number}"] = one.covered
        rows[at][sheet.columns.index("covered")] = f"sai {number}"
    return Spoilt(rows, mended, good, bad)


def rejects_of(file: Path, delimiter: str, spoilt: Spoilt) -> Path:
    """The rejects file of a file, once the good rows of it are seen to be sent."""
    rejects = RejectsFile(str(file), file.suffix.removeprefix("."), delimiter, "vi")
    items = items_of(file)
    assert said(events_of(items)) == meant(spoilt.good)
    for item in items:
        if item.event is None:
            rejects.add(item)
    return Path(rejects.finish())


@given(
    sheet=sheets(typed=False),
    delimiter=st.sampled_from([",", ";", "\t"]),
    encoding=st.sampled_from(sorted(ENCODINGS)),
    which=st.sets(st.integers(1, 5)),
)
def test_the_rejects_of_a_csv_file_mended_are_sent_whole(
    sheet: Sheet, delimiter: str, encoding: str, which: set[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("sheets") / "spoilt.csv"
    spoilt = spoil(sheet, which)
    file.write_bytes(ENCODINGS[encoding](as_csv(spoilt.rows, delimiter)))
    rejects = rejects_of(file, delimiter, spoilt)
    text = rejects.read_text("utf-8-sig")
    for wrong, right in spoilt.mended.items():
        text = text.replace(wrong, str(right))
    rejects.write_text(text, "utf-8-sig")
    assert said(read_back(rejects)) == meant(spoilt.bad)


@settings(max_examples=40)  # a workbook takes a while to write
@given(sheet=sheets(typed=True), which=st.sets(st.integers(1, 5)))
def test_the_rejects_of_a_workbook_mended_are_sent_whole(sheet: Sheet, which: set[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("sheets") / "spoilt.xlsx"
    spoilt = spoil(sheet, which)
    file.write_bytes(as_xlsx(spoilt.rows))
    rejects = rejects_of(file, ",", spoilt)
    workbook = load_workbook(rejects)
    for row in workbook.worksheets[0].iter_rows():
        for cell in row:
            if cell.value in spoilt.mended:
                cell.value = spoilt.mended[cell.value]
    workbook.save(rejects)
    assert said(read_back(rejects)) == meant(spoilt.bad)


_ODD = (
    (
        "",
        " ",
        "0",
        "-0",
        "1e999",
        "nan",
        "inf",
        "9" * 30,
        "٣",
        "½",
        "²",
        "Tổng",
        "Huyện",
        "#N/A",
        "=1",
        "'",
        '"',
        "\x00",
        "\ufeff",
        "\U000e0001",
    ),
    ("0/0/0", "31/12/9999", "1/1/1", "0001-01-01", "9999-12-31T23:59:59-14:00", "tháng 13/2023", "quý 5/2023", "quý IV/9999", "30/06/2023"),
    ("02275", "2275", "Xã Sơn Phú", "Chỉ tiêu: x", "Đơn vị báo cáo:", *(text for texts in HEADINGS.values() for text in texts)),
)
_texts = st.sampled_from([text for texts in _ODD for text in texts]) | st.text(max_size=12)


@given(rows=st.lists(st.lists(_texts, max_size=6), max_size=6), headed=st.booleans())
def test_whatever_stands_in_the_cells_each_row_is_sent_rejected_or_left_out(
    rows: list[list[str]], headed: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("sheets") / "odd.csv"
    table = [["Mã xã", "Tên xã", "Đã phủ", "Tổng số", "Ngày số liệu"], *rows] if headed else rows
    file.write_text(as_csv(table, ","), errors="surrogatepass")
    with contextlib.suppress(FileError):
        for item in items_of(file):
            assert (item.event is not None) + bool(item.problems) + (item.skipped is not None) >= 1
            assert item.event is None or not item.problems


@given(
    content=st.binary(max_size=200), name=st.sampled_from(["any.csv", "any.xlsx", "any.ods", "any.tsv", "any.xls"]), zipped=st.booleans()
)
def test_any_bytes_are_rows_or_a_file_that_is_refused(
    content: bytes, name: str, zipped: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("sheets") / name
    file.write_bytes(b"PK\x03\x04" * zipped + content)
    with contextlib.suppress(FileError):
        items_of(file)
