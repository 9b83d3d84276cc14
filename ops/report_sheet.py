"""A report as an XLSX workbook.

Comes in: `Report` and the SHA-256 of its JSON. Goes out: the workbook's bytes, the same for the same report. Owns no state. Every text is
written as text: nothing that a reporter wrote becomes a formula or a link, and codes keep their zeros. The tables of the page are text as
printed there (a decimal comma whatever the program's language, and nothing rounded up to its target); the last sheet has the figures as
numbers, to go on calculating with. The SHA-256 stands at the foot of every printed page.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from textwrap import wrap
from typing import Any

from xlsxwriter import Workbook
from xlsxwriter.worksheet import Worksheet

from feed.text import say
from ops.report_document import ROLES, Report, origin_of
from ops.report_tables import tables
from ops.report_words import DOTS, ROLE_NAMES, Table, about, legend, marked, moment, province, standing, title

_LINE_POINTS = 14
_ROW_POINTS_MAX = 400  # Excel takes 409
_CELL_CHARACTERS_MAX = 32_000  # a cell holds 32,767; the JSON has all
_NUMBERS = ("covered", "expected", "ratio", "low", "high", "completeness", "target")


def sheet(report: Report, digest: str) -> bytes:
    """One sheet for each table, the form's head on the first and its signatures below it."""
    held = io.BytesIO()
    with Workbook(held, {"in_memory": True}) as book:
        # without it the file would hold the moment of writing, and be another each time
        book.set_properties({"title": title(report), "created": report.made_at.replace(tzinfo=None), "comments": f"SHA-256 {digest}"})
        formats = {
            "title": book.add_format({"bold": True, "font_size": 13}),
            "strong": book.add_format({"bold": True}),
            "warning": book.add_format({"bold": True, "font_color": "#9C0006"}),
            "plain": book.add_format({}),
            "heading": book.add_format(
                {"bold": True, "text_wrap": True, "valign": "vcenter", "align": "center", "border": 1, "bg_color": "#EEEEEE"}
            ),
            "text": book.add_format({"text_wrap": True, "valign": "top", "border": 1, "num_format": "@"}),
            "figure": book.add_format({"text_wrap": True, "valign": "top", "align": "right", "border": 1, "num_format": "@"}),
            "number": book.add_format({"border": 1, "num_format": "General"}),
        }
        first, *others = tables(report)
        page = _page(book, first.name, digest)
        row = _heading(page, report, formats)
        page.repeat_rows(row + 1)
        row = _table(page, row, first, formats)
        for line in legend(report.lang):
            row += 1
            page.write_string(row, 0, line, formats["plain"])
        row = _signing(page, row + 2, report, formats)
        for line in (f"{report.name}.json", f"SHA-256: {digest}"):
            row += 1
            page.write_string(row, 0, line, formats["plain"])
        for table in others:
            page = _page(book, table.name, digest)
            page.repeat_rows(1 + bool(table.note))
            _table(page, 0, table, formats)
        _numbers(_page(book, say(report.lang, "Số liệu", "Figures"), digest), report, formats)
    return held.getvalue()


def _page(book: Workbook, name: str, digest: str) -> Worksheet:
    page = book.add_worksheet(name)
    page.set_landscape()
    page.set_paper(9)  # A4
    page.fit_to_pages(1, 0)
    page.set_margins(left=0.4, right=0.4, top=0.5, bottom=0.7)
    page.set_footer(f"&L&8SHA-256 {digest}&R&P / &N")
    return page


def _heading(page: Worksheet, report: Report, formats: dict[str, Any]) -> int:
    """The form's head; the row below it."""
    lang = report.lang
    page.write_string(0, 0, title(report), formats["title"])
    page.write_string(1, 0, f"{say(lang, 'Tỉnh', 'Province of')} {province(report)} · {standing(report)}", formats["strong"])
    blanks = (
        (say(lang, "Biểu số", "Form No."), say(lang, "Ban hành theo", "Issued by"), say(lang, "Ngày nhận báo cáo", "Received on")),
        (
            say(lang, "Nơi gửi (đơn vị báo cáo)", "From (reporting office)"),
            say(lang, "Nơi nhận (đơn vị nhận báo cáo)", "To (receiving office)"),
        ),
    )
    row = 2
    for line in ("   ".join(f"{name}: {DOTS}" for name in names) for names in blanks):
        page.write_string(row, 0, line, formats["plain"])
        row += 1
    for line in about(report):
        page.write_string(row, 0, line, formats["plain"])
        row += 1
    if warning := marked(report):
        page.write_string(row, 0, warning, formats["warning"])
        row += 1
    return row


def _table(page: Worksheet, row: int, table: Table, formats: dict[str, Any]) -> int:
    """The table from that row on; the row below it."""
    page.write_string(row, 0, table.title, formats["strong"])
    if table.note:
        row += 1
        page.write_string(row, 0, table.note, formats["plain"])
    row += 1
    if not table.rows:
        page.write_string(row, 0, table.empty, formats["plain"])
        return row + 1
    page.set_row(row, _height([column.heading for column in table.columns], table))
    for number, column in enumerate(table.columns):
        page.set_column(number, number, column.width)
        page.write_string(row, number, column.heading, formats["heading"])
    for cells in table.rows:
        row += 1
        shown = [one if len(one) <= _CELL_CHARACTERS_MAX else f"{one[:_CELL_CHARACTERS_MAX]}…" for one in cells]
        page.set_row(row, _height(shown, table))
        for number, (column, cell) in enumerate(zip(table.columns, shown, strict=True)):
            page.write_string(row, number, cell, formats["figure" if column.figures else "text"])
    return row + 1


def _height(cells: Sequence[str], table: Table) -> int:
    """In points: room for the longest of the texts in a column of its width, since not every program makes it when it opens a file."""

    # a column's width is counted in digits; letters are narrower on the average
    def lines(text: str, width: int) -> int:
        return sum(len(wrap(line, max(1, int(width * 1.1)))) or 1 for line in text.splitlines()) or 1

    return min(_ROW_POINTS_MAX, _LINE_POINTS * max(lines(text, column.width) for text, column in zip(cells, table.columns, strict=True)))


def _signing(page: Worksheet, row: int, report: Report, formats: dict[str, Any]) -> int:
    signed = {one.role: one for one in report.signatures}
    for number, role in zip((1, 4, 8), ROLES, strict=True):
        vi, en = ROLE_NAMES[role]
        one = signed.get(role)
        page.write_string(row, number, say(report.lang, vi, en).upper(), formats["strong"])
        below = say(report.lang, "(Ký, họ tên)", "(Signature, name)") if one is None else one.name
        page.write_string(row + 1, number, below, formats["plain"])
        if one is not None:
            page.write_string(row + 2, number, f"{say(report.lang, 'đã ký', 'signed')} {moment(one.at, report.lang)}", formats["plain"])
    return row + 3


def _numbers(page: Worksheet, report: Report, formats: dict[str, Any]) -> None:
    """The figures unrounded; a figure of which nothing is known is empty, never zero."""
    headings = ("indicator", *_NUMBERS, "previous_ratio", "verdict", "origin")
    page.set_column(0, 0, 38)
    page.set_column(1, len(headings) - 1, 15)
    for number, heading in enumerate(headings):
        page.write_string(0, number, heading, formats["heading"])
    for row, one in enumerate(report.figures, 1):
        page.write_string(row, 0, one.row.indicator, formats["text"])
        for number, name in enumerate(_NUMBERS, 1):
            value = getattr(one.row, name)
            if value is not None and (one.known or name in ("expected", "target", "completeness")):
                page.write_number(row, number, value, formats["number"])
        if one.previous is not None and one.previous.ratio is not None:
            page.write_number(row, len(_NUMBERS) + 1, one.previous.ratio, formats["number"])
        page.write_string(row, len(_NUMBERS) + 2, one.row.verdict, formats["text"])
        if (origin := origin_of(one.row)) is not None:
            page.write_string(row, len(_NUMBERS) + 3, origin, formats["text"])
    page.freeze_panes(1, 1)
