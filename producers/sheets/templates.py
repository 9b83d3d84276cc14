"""The form that a reporter fills in: one sheet for each indicator, one row for each commune, in XLSX.

Comes in: the rules, which indicators, communes, reporter and day, and what was published last. Goes out: a workbook that `phusong send`
reads unchanged; a row that is left empty is left out. Owns no state beyond the file it writes. What the rules do not know is a
`SettingsError`; a file that cannot be written is a `FileError`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from msgspec import Struct
from xlsxwriter import Workbook
from xlsxwriter.exceptions import XlsxWriterException
from xlsxwriter.format import Format
from xlsxwriter.utility import xl_rowcol_to_cell
from xlsxwriter.worksheet import Worksheet

from phusong.events import MAX_COUNT
from phusong.indicators import Indicator
from phusong.register import Unit
from phusong.rules import Rules
from phusong.settings import SettingsError
from producers.sheets.cells import Lang, Text
from producers.sheets.forms import near_of
from producers.sheets.remarks import no_duty
from producers.sheets.tables import FileError

_HEADINGS = (
    ("Mã xã", 16),
    ("Tên xã", 26),
    ("Huyện", 22),
    ("Kỳ trước", 20),
    ("Đã phủ", 11),
    ("Tổng số", 11),
    ("Nơi chưa phủ", 44),
    ("Ghi chú", 24),
)
"""Heading and width of each column, in characters."""
_COVERED, _EXPECTED = 4, 5
_FILLED_IN = range(4, 8)
_COUNTED = {"units": "xã (ghi 1 hoặc 0 trên 1)", "villages": "thôn", "households": "hộ", "population": "người", "reported": "điểm"}


class Form(Struct, frozen=True, kw_only=True):
    """What a form asks: one sheet for each indicator, each with its communes; `vintage` only where the list is named.

    `last`: (indicator, commune) -> what was published last, in words. `remarks`: what it asks that will not count.
    """

    source: str
    observed_at: datetime
    vintage: str = ""
    asked: tuple[tuple[Indicator, tuple[Unit, ...]], ...]
    last: Mapping[tuple[str, str], str] = {}
    remarks: tuple[Text, ...] = ()


def form_of(
    rules: Rules, indicators: Sequence[str], source: str, observed_at: datetime, province: str = "", vintage: str = "", lang: Lang = "en"
) -> Form:
    """The form for a reporter: the communes that it owes a report on at that moment; without such a duty, all of the list."""
    register, catalogue = rules.register, rules.catalogue
    listed = register.vintages.get(vintage) if vintage else register.vintage_at(observed_at)
    problems: list[Text] = []
    if listed is None or not listed.holds(observed_at):
        known = ", ".join(register.vintages)
        day = f"{observed_at:%d/%m/%Y}", f"{observed_at:%Y-%m-%d}"
        name = f"--vintage {vintage}" if vintage else "--observed-at"
        problems.append(
            Text(
                f"{name}: "
                + (f"không có hiệu lực ngày {day[0]}" if vintage else f"{day[0]}: chưa có danh mục xã")
                + f"; một trong: {known}",
                f"{name}: not in force on {day[1]}; one of: {known}",
            )
        )
    if source not in catalogue.reporters:
        near = near_of(source, list(catalogue.reporters))
        problems.append(
            Text(f"--source {source}: không có trong reporters.csv; {near.vi}", f"--source {source}: no row of reporters.csv; {near.en}")
        )
    if province and province not in register.provinces:
        known = ", ".join(f"{one.code} ({one.name_vi})" for one in register.provinces.values())
        problems.append(Text(f"--province {province}: một trong: {known}", f"--province {province}: one of: {known}"))
    for name in indicators:
        if name not in catalogue.indicators:
            near = near_of(name, list(catalogue.indicators))
            problems.append(Text(f"{name}: không có chỉ tiêu này; {near.vi}", f"{name}: there is no such indicator; {near.en}"))
    if problems or listed is None:
        raise SettingsError("\n".join(problem.of(lang) for problem in problems))
    asked = []
    remarks: list[Text] = []
    for name in dict.fromkeys(indicators):
        owed = [one for one in catalogue.obligations if (one.reporter, one.indicator) == (source, name) and one.holds(observed_at)]
        units = [unit for unit in register.units.values() if unit.vintage == listed.id and (not province or unit.province == province)]
        due = [
            unit for unit in units if any(one.province == unit.province and (not one.communes or unit.code in one.communes) for one in owed)
        ]
        asked.append((catalogue.indicators[name], tuple(due or units)))
        if not units:
            text = Text(
                f"--province {province}: không có xã nào trong danh mục {listed.id}",
                f"--province {province}: has no commune in the list {listed.id}",
            )
            raise SettingsError(text.of(lang))
        bound = {
            one.province for one in catalogue.obligations if (one.operator, one.indicator) == (source, name) and one.holds(observed_at)
        }
        asks = {unit.province for unit in (due or units)}
        # a reporter that only speaks for others has no duty of its own, and a column for the operator is not in the form
        remarks += [no_duty(source, name, code) for code in sorted(asks - bound) if not due]
    return Form(source=source, observed_at=observed_at, vintage=vintage, asked=tuple(asked), remarks=tuple(remarks))


def write_form(form: Form, rules: Rules, path: Path) -> int:
    """Write the workbook; returns how many rows there are to fill in."""
    rows = 0
    try:
        # not into the file: on a full disk the library would leave a traceback behind
        whole = io.BytesIO()
        with Workbook(whole, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}) as book:
            book.set_properties({"title": "Biểu báo cáo phủ sóng", "subject": form.source})
            formats = _Formats(book)
            names: set[str] = set()
            for indicator, units in form.asked:
                page = book.add_worksheet(_sheet_name(indicator, names))
                _write_page(page, formats, form, rules, indicator, units)
                rows += len(units)
        path.write_bytes(whole.getbuffer())
    except (OSError, XlsxWriterException) as error:
        raise FileError(Text(f"{path}: không ghi được ({error})", f"{path}: cannot be written ({error}); choose another --out")) from error
    return rows


class _Formats:
    """How cells look, and whether they may be filled in."""

    def __init__(self, book: Workbook) -> None:
        self.title: Format = book.add_format({"bold": True, "font_size": 14})
        self.wrapped: Format = book.add_format({"text_wrap": True, "valign": "top"})
        self.bold: Format = book.add_format({"bold": True})
        self.day: Format = book.add_format({"num_format": "dd/mm/yyyy", "align": "left"})
        self.heading: Format = book.add_format({"bold": True, "text_wrap": True, "valign": "top", "border": 1, "bg_color": "#DDEBF7"})
        # text, so that no program takes the zero off a code
        self.fixed: Format = book.add_format({"num_format": "@", "border": 1, "bg_color": "#F2F2F2"})
        self.number: Format = book.add_format({"num_format": "0", "border": 1, "locked": False})
        self.words: Format = book.add_format({"num_format": "@", "border": 1, "locked": False, "text_wrap": True})


def _sheet_name(indicator: Indicator, taken: set[str]) -> str:
    # a spreadsheet allows 31 characters
    name = plain = indicator.id.partition(".")[2][:31] or indicator.id[:31]
    number = 1
    while name in taken:
        number += 1
        name = f"{plain[:27]} {number}"
    taken.add(name)
    return name


def _write_page(page: Worksheet, formats: _Formats, form: Form, rules: Rules, indicator: Indicator, units: Sequence[Unit]) -> None:
    last_column = len(_HEADINGS) - 1
    page.write_string(0, 0, indicator.name_vi, formats.title)
    counted = _COUNTED[indicator.base.value]
    page.merge_range(1, 0, 1, last_column, f"Định nghĩa: {indicator.definition_vi} Đếm theo {counted}.", formats.wrapped)
    page.set_row(1, 48)
    hint = (
        'Chỉ điền các ô trắng; hàng để trống được bỏ qua. "Nơi chưa phủ": tên các nơi, ngăn bằng dấu chấm phẩy; không có thì ghi "không". '
        'Muốn rút số đã gửi của một xã: ghi "rút" vào "Đã phủ".'
    )
    page.merge_range(2, 0, 2, last_column, hint, formats.wrapped)
    page.set_row(2, 32)
    reporter = rules.catalogue.reporters[form.source]
    labels = [("Chỉ tiêu:", indicator.id), ("Đơn vị báo cáo:", form.source)]
    if form.vintage:
        labels.append(("Danh mục xã:", form.vintage))
    for row, (label, value) in enumerate(labels, 3):
        page.write_string(row, 0, label, formats.bold)
        page.write_string(row, 1, value)
    row = 3 + len(labels)
    page.write_string(row, 0, "Ngày số liệu:", formats.bold)
    page.write_datetime(row, 1, form.observed_at.replace(tzinfo=None), formats.day)
    page.write_string(row + 1, 0, reporter.name_vi)
    top = row + 3
    for column, (heading, width) in enumerate(_HEADINGS):
        page.set_column(column, column, width)
        page.write_string(top, column, heading, formats.heading)
    for number, unit in enumerate(units, top + 1):
        for column, text in enumerate((unit.code, unit.name, unit.district, form.last.get((indicator.id, unit.code), ""))):
            page.write_string(number, column, text, formats.fixed)
        for column in _FILLED_IN:
            page.write_blank(number, column, None, formats.number if column in (_COVERED, _EXPECTED) else formats.words)
    cell = xl_rowcol_to_cell(top + 1, _COVERED)
    page.data_validation(
        top + 1,
        _COVERED,
        top + len(units),
        _COVERED,
        {
            "validate": "custom",
            "value": f'=OR(LOWER({cell})="rút",AND(ISNUMBER({cell}),{cell}>=0,{cell}<={MAX_COUNT},{cell}=INT({cell})))',
            "error_title": "Số đếm",
            "error_message": 'Ghi một số nguyên từ 0 trở lên; không ghi phần trăm. Muốn rút số đã gửi: ghi "rút".',
        },
    )
    page.data_validation(
        top + 1,
        _EXPECTED,
        top + len(units),
        _EXPECTED,
        {
            "validate": "integer",
            "criteria": "between",
            "minimum": 0,
            "maximum": MAX_COUNT,
            "error_title": "Số đếm",
            "error_message": "Ghi một số nguyên từ 0 trở lên; không ghi phần trăm.",
        },
    )
    page.freeze_panes(top + 1, 2)
    page.repeat_rows(top)
    page.set_landscape()
    page.fit_to_pages(1, 0)
    # against slips only: there is no password
    page.protect("", {"format_columns": True, "format_rows": True, "sort": True, "autofilter": True})
