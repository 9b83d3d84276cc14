"""The list of a chase as an XLSX workbook.

Comes in: `Chase` and the rules. Goes out: the workbook's bytes. Owns no state. Every text is written as text: nothing that a reporter wrote
becomes a formula or a link, and codes keep their zeros. Dates are dates, of Vietnam.
"""

from __future__ import annotations

import io
from datetime import datetime
from textwrap import wrap

from xlsxwriter import Workbook

from feed.text import Lang, day, say
from ops.chase import Chase
from ops.chase_words import columns, operator_name, origin, shown, summary
from phusong.events import Origin
from phusong.periods import VIETNAM
from phusong.rules import Rules

_HEADING_ROW = 4
_LINE_POINTS = 15


def sheet(found: Chase, rules: Rules, lang: Lang) -> bytes:
    """One sheet: a title, as of when, the figures and the origin; then the table with a filter, its heading on every printed page."""
    held = io.BytesIO()
    with Workbook(held, {"in_memory": True}) as book:
        page = book.add_worksheet(say(lang, "Chưa phủ", "Uncovered"))
        title = book.add_format({"bold": True, "font_size": 14})
        strong = book.add_format({"bold": True, "font_color": "#9C0006"})
        heading = book.add_format({"bold": True, "text_wrap": True, "valign": "top", "border": 1, "bg_color": "#DDEBF7"})
        plain = book.add_format({"text_wrap": True, "valign": "top", "border": 1})
        dated = book.add_format({"num_format": say(lang, "dd/mm/yyyy", "yyyy-mm-dd"), "valign": "top", "border": 1, "align": "left"})
        listed = columns(rules, lang)
        name = operator_name(rules, found.operator, lang)
        page.write_string(0, 0, say(lang, f"Những nơi {name} chưa phủ", f"Places that {name} leaves uncovered"), title)
        as_of, vintage = day(found.as_of, lang), found.vintage
        page.write_string(
            1,
            0,
            say(
                lang,
                f"Tính đến {as_of}; danh mục xã {vintage}; quy tắc số {found.rules}",
                f"As of {as_of}; list of communes {vintage}; rules {found.rules}",
            ),
        )
        page.write_string(2, 0, summary(found, lang))
        if found.origin not in (None, Origin.REAL):
            marked = origin(found.origin, lang)
            page.write_string(
                3, 0, say(lang, f"Có số liệu {marked}: xem cột «Nguồn số liệu»", f"Some figures are {marked}: see «Origin»"), strong
            )
        page.set_row(_HEADING_ROW, _height([(column.heading, column.width) for column in listed]))
        for number, column in enumerate(listed):
            page.set_column(number, number, column.width)
            page.write_string(_HEADING_ROW, number, column.heading, heading)
        for row, gap in enumerate(found.gaps, _HEADING_ROW + 1):
            page.set_row(row, _height([(shown(column.cell(gap), lang), column.width) for column in listed]))
            for number, column in enumerate(listed):
                cell = column.cell(gap)
                if isinstance(cell, datetime):
                    page.write_datetime(
                        row, number, cell.astimezone(VIETNAM).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None), dated
                    )
                elif isinstance(cell, int):
                    page.write_number(row, number, cell, plain)
                elif cell:
                    page.write_string(row, number, cell, plain)
                else:
                    page.write_blank(row, number, None, plain)
        page.autofilter(_HEADING_ROW, 0, _HEADING_ROW + max(1, len(found.gaps)), len(listed) - 1)
        page.freeze_panes(_HEADING_ROW + 1, 0)
        page.repeat_rows(_HEADING_ROW)
        page.set_landscape()
        page.set_paper(9)  # A4
        page.fit_to_pages(1, 0)
        page.set_footer("&P / &N")
    return held.getvalue()


def _height(cells: list[tuple[str, int]]) -> int:
    """In points: room for the longest of the texts in a column of its width, since not every program makes it when it opens a file."""
    # a column's width is counted in digits; letters are narrower on the average
    return _LINE_POINTS * max(len(wrap(text, int(width * 1.15))) or 1 for text, width in cells)
