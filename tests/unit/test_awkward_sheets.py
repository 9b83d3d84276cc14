"""Every awkward sheet of tests/sheets, row by row: what is sent, what is rejected for what, what is left out.

A row is one line: its number as the spreadsheet shows it (of a text file: the line it begins at), then "sent" with commune, indicator,
covered/expected and day, or "rejected" with the column as headed, the value and the reason, or why it is left out; in brackets what was
understood on the way. A row of several faults has a line for each; blank rows have none.
"""

from __future__ import annotations

import io
import os
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import xlsxwriter
from openpyxl import load_workbook

from phusong.admission import Admission
from phusong.events import Stated
from phusong.periods import VIETNAM
from producers.files import judged, read
from producers.sheets.forms import FormOptions, Forms, read_mapping
from producers.sheets.rejects import RejectsFile
from producers.sheets.statements import Item, Skipped
from producers.sheets.tables import FileError
from tests.sheets.make import FILES, HEADINGS, HERE, KHAU_TINH, SON_PHU, THREE, book, calendar_1904, lines, ods, ods_row, repacked
from tests.shipped import shipped_rules

NOW = datetime(2026, 11, 22, 5, tzinfo=UTC)
POSTAL = {"source": "assumed-postal-reporter", "indicator": "postal.staffed_point", "observed_at": "2023-06-30"}
VILLAGES = {"source": "operator-a", "indicator": "telecom.mobile_signal_villages", "observed_at": "2023-06-30"}
PEOPLE = {"source": "operator-a", "indicator": "telecom.mobile_4g_population", "observed_at": "2023-06-30"}
POSTAL_ONLY = {"source": "assumed-postal-reporter", "observed_at": "2023-06-30"}
UNDATED = {**POSTAL, "observed_at": ""}


class Case(NamedTuple):
    """A file, the options of the command, and its rows."""

    file: str
    rows: str
    options: dict[str, str] = POSTAL


ALL_THREE = """
    1 heading
    2 sent 02275 staffed_point 0/1 2023-06-30
    3 sent 02263 staffed_point 1/1 2023-06-30
    4 sent 02281 staffed_point 1/1 2023-06-30
"""

CASES = [
    Case("utf-8.csv", f"{ALL_THREE.rstrip()} [period]", {}),
    Case(
        "utf-8-bom.csv",
        """
        1 heading
        2 sent 02275 mobile_signal_villages 9/12 2023-06-30 uncovered: Bản Lãm | Nà Cọn | Phia Chang
        5 sent 02263 mobile_signal_villages 6/7 2023-06-30 uncovered: Khau Tinh | Tát Kẻ
        6 sent 02281 mobile_signal_villages 13/15 2023-06-30 uncovered: Nà Chao | Bản Nuầy, xóm trên
        """,
        VILLAGES,
    ),
    Case("windows-1258.csv", f"0 [encoding]{ALL_THREE}"),
    Case("utf-16.csv", f"0 [encoding]{ALL_THREE}"),
    Case("tabs.csv", ALL_THREE),
    Case("old-mac.csv", ALL_THREE),
    Case("without-accents.csv", ALL_THREE),
    Case(
        "sep-line.csv",
        """
        2 heading
        3 sent 02275 staffed_point 0/1 2023-06-30
        4 sent 02263 staffed_point 1/1 2023-06-30
        5 sent 02281 staffed_point 1/1 2023-06-30
        """,
    ),
    Case("hidden.xlsx", ALL_THREE),
    Case("hidden.ods", ALL_THREE),
    Case("dressed.xlsx", ALL_THREE),
    Case(
        "semicolons.csv",
        """
        1 heading
        2 sent 02275 mobile_4g_population 2105/2310 2023-06-30 [count]
        3 rejected Dân số được phủ sóng='1980,5' schema
        4 sent 02281 mobile_4g_population 5012/5012 2023-06-30 [count]
        """,
        PEOPLE,
    ),
    Case(
        "thousands.csv",
        """
        1 heading
        2 sent 02275 mobile_4g_population 1234/1234 2023-06-30 [count]
        3 sent 02263 mobile_4g_population 1234/1234567 2023-06-30 [count]
        4 sent 02281 mobile_4g_population 1234/1234567 2023-06-30 [count]
        5 sent 02284 mobile_4g_population 1234/1234567 2023-06-30 [count]
        6 sent 02248 mobile_4g_population 1234567/1234567 2023-06-30 [count]
        7 sent 02254 mobile_4g_population 12/1234 2023-06-30 [count]
        8 rejected Đã phủ='12.34' schema
        9 rejected Đã phủ='1.23.456' schema
        10 rejected Đã phủ='1,234.567' schema
        11 rejected Đã phủ='1 23' schema
        12 rejected Đã phủ="1'234" schema
        13 rejected Đã phủ='1e3' schema
        14 rejected Đã phủ='khoảng 300' schema
        15 rejected Đã phủ='' schema
        """,
        PEOPLE,
    ),
    Case(
        "written-dates.csv",
        """
        1 heading
        2 sent 02200 staffed_point 1/1 2023-06-30
        3 sent 02203 staffed_point 1/1 2023-04-03
        4 sent 02206 staffed_point 1/1 2023-06-30
        5 sent 02209 staffed_point 1/1 2023-06-30
        6 sent 02212 staffed_point 1/1 2023-06-30
        7 sent 02215 staffed_point 1/1 2023-06-30
        8 sent 02216 staffed_point 1/1 2023-06-30 [period]
        9 sent 02218 staffed_point 1/1 2023-06-30 [period]
        10 sent 02221 staffed_point 1/1 2023-06-30 [period]
        11 sent 02227 staffed_point 1/1 2023-06-30 [period]
        12 sent 02230 staffed_point 1/1 2023-06-30 [period]
        13 sent 02233 staffed_point 1/1 2023-06-30 [period]
        14 sent 02239 staffed_point 1/1 2023-06-30 [period]
        15 sent 02242 staffed_point 1/1 2022-12-31 [period]
        16 sent 02245 staffed_point 1/1 2022-12-31 [period]
        17 sent 02248 staffed_point 1/1 2022-12-31 [period]
        18 sent 02251 staffed_point 1/1 2023-06-30
        19 sent 02254 staffed_point 1/1 2023-06-30T17:00
        20 rejected Thời điểm='31/06/2023' schema
        21 rejected Thời điểm='06/30/2023' schema
        22 rejected Thời điểm='30/06/23' schema
        23 rejected Thời điểm='hôm qua' schema
        24 rejected Thời điểm='30/06/2203' observed_in_future
        """,
        UNDATED,
    ),
    Case(
        "codes-as-text.csv",
        """
        1 heading
        2 sent 02275 staffed_point 1/1 2023-06-30 [code]
        3 sent 02263 staffed_point 1/1 2023-06-30
        4 sent 02281 staffed_point 1/1 2023-06-30 [code]
        5 sent 02284 staffed_point 1/1 2023-06-30
        6 sent 02248 staffed_point 1/1 2023-06-30
        7 rejected Mã xã='0002254' unknown_commune
        8 sent 02260 staffed_point 1/1 2023-06-30 [code]
        9 sent 02245 staffed_point 1/1 2023-06-30 [code]
        10 rejected Mã xã='22.39' unknown_commune
        11 rejected Mã xã='xã 02230' unknown_commune
        12 rejected Mã xã='' unknown_commune
        13 rejected Mã xã='99999' unknown_commune
        14 rejected Mã xã='223' unknown_commune [code]
        """,
    ),
    Case(
        "nfd.csv",
        """
        1 heading
        2 sent 02275 staffed_point 0/1 2023-06-30 uncovered: Bản Lãm
        3 sent 02263 staffed_point 1/1 2023-06-30
        """,
    ),
    Case(
        "nul.csv",
        """
        1 heading
        2 sent 02275 staffed_point 0/1 2023-06-30
        3 rejected ='' schema
        4 sent 02281 staffed_point 1/1 2023-06-30
        """,
    ),
    Case(
        "unclosed-quote.csv",
        """
        1 heading
        2 sent 02275 staffed_point 0/1 2023-06-30
        3 rejected ='' schema
        4 sent 02281 staffed_point 1/1 2023-06-30
        5 sent 02284 staffed_point 1/1 2023-06-30
        """,
    ),
    Case(
        "ragged.csv",
        """
        1 heading
        2 sent 02275 staffed_point 0/1 2023-06-30
        3 rejected Tổng số='' schema
        5 rejected ='x' schema
        6 rejected ='1' schema
        """,
    ),
    Case(
        "contradictions.csv",
        """
        1 heading
        2 rejected Mã xã='02275' unknown_commune
        3 sent 02263 staffed_point 1/1 2023-06-30
        4 sent 02281 staffed_point 1/1 2023-06-30
        5 rejected Tên xã='Xã Đà Vị' unknown_commune
        6 rejected Tên xã='Xã Tân Tiến' unknown_commune
        7 rejected Tên xã='Xã Không Có' unknown_commune
        8 sent 02374 staffed_point 1/1 2023-06-30
        """,
    ),
    Case(
        "duplicates.csv",
        """
        1 heading
        2 sent 02275 staffed_point 0/1 2023-06-30
        3 sent 02263 staffed_point 1/1 2023-06-30
        4 sent 02275 staffed_point 0/1 2023-06-30
        5 sent 02275 staffed_point 0/1 2023-06-30 [code, count]
        6 rejected Mã xã='02263' schema
        7 sent 02281 staffed_point 1/1 2023-06-30
        """,
    ),
    Case(
        "out-of-range.csv",
        """
        1 heading
        2 rejected Đã phủ='-1' counts_out_of_range
        3 rejected Đã phủ='2' counts_out_of_range
        4 rejected Đã phủ='(1)' schema
        5 rejected Tổng số='-1' counts_out_of_range
        6 rejected Đã phủ='−1' schema
        7 sent 02254 staffed_point 0/0 2023-06-30
        8 rejected Tổng số='1000000001' counts_out_of_range
        9 rejected Tổng số='111111111111111111111111111111111111111111111111111111111111…' schema
        10 unfilled
        """,
    ),
    Case(
        "mixed.csv",
        """
        1 title
        2 heading
        3 sent 02275 staffed_point 0/1 2023-06-30
        4 rejected Đã phủ='một' schema [code]
        5 rejected Mã xã='02281' unknown_commune
        6 sent 02284 staffed_point 1/1 2023-06-30
        """,
    ),
    Case(
        "english.csv",
        """
        1 heading
        2 sent 02275 staffed_point 0/1 2023-05-31
        """,
        UNDATED,
    ),
    Case(
        "two-of-one.csv",
        """
        1 rejected Đã phủ='' schema
        2 words [unread]
        """,
    ),
    Case("headings-only.csv", "1 heading"),
    Case("headings-only.xlsx", "1 heading"),
    Case(
        "serial-dates.xlsx",
        """
        1 heading
        2 sent 02275 staffed_point 0/1 2023-06-30 [serial]
        3 sent 02263 staffed_point 1/1 2023-06-30 [serial]
        4 sent 02281 staffed_point 1/1 2023-06-30
        5 sent 02284 staffed_point 1/1 2023-05-31
        6 sent 02248 staffed_point 1/1 2023-06-30T16:48 [serial]
        7 sent 02254 staffed_point 1/1 2023-12-31 [period]
        8 rejected Ngày số liệu='202306' schema
        9 rejected Ngày số liệu='3' schema
        """,
        UNDATED,
    ),
    Case(
        "calendar-1904.xlsx",
        """
        1 heading
        2 sent 02275 staffed_point 0/1 2023-06-30
        3 sent 02263 staffed_point 1/1 2023-06-30 [serial]
        """,
        UNDATED,
    ),
    Case(
        "codes-as-numbers.xlsx",
        """
        1 heading
        2 sent 02275 staffed_point 0/1 2023-06-30 [code]
        3 sent 02263 staffed_point 1/1 2023-06-30 [code]
        4 sent 02281 staffed_point 1/1 2023-06-30 [code]
        5 rejected Mã xã='2284.5' unknown_commune
        """,
    ),
    *(
        Case(
            file,
            """
            1 title
            2 title
            3 title
            4 title
            5 title
            7 heading [period]
            8 heading
            9 numbering
            10 sent 02275 mobile_signal_villages 9/12 2023-06-30
            11 sent 02263 mobile_signal_villages 7/7 2023-06-30
            """,
            {},
        )
        for file in ("merged-headings.xlsx", "merged-headings.ods")
    ),
    Case(
        "merged-districts.xlsx",
        """
        1 heading
        2 rejected Tên xã='Xã Tân Tiến' unknown_commune
        3 sent 02491 staffed_point 1/1 2023-06-30
        4 sent 02401 staffed_point 0/1 2023-06-30
        5 rejected Tên xã='Xã Tân Thành' unknown_commune
        """,
    ),
    Case(
        "merged-counts.xlsx",
        """
        1 heading
        2 sent 02275 staffed_point 0/1 2023-06-30
        3 rejected Đã phủ='1' schema
        4 rejected Đã phủ='' schema
        """,
    ),
    Case(
        "merged-indicators.xlsx",
        """
        1 heading
        2 sent 02275 staffed_point 0/1 2023-06-30
        3 sent 02263 staffed_point 1/1 2023-06-30
        4 sent 02263 points_online 1/1 2023-06-30
        """,
        {**POSTAL, "indicator": ""},
    ),
    Case(
        "totals.xlsx",
        """
        1 heading
        2 total [total]
        3 sent 02275 staffed_point 0/1 2023-06-30
        4 sent 02263 staffed_point 1/1 2023-06-30
        5 sent 02281 staffed_point 1/1 2023-06-30
        6 total [total]
        7 total [total]
        8 total [total]
        10 words [words]
        11 words [words]
        12 words [words]
        """,
    ),
    Case(
        "two-tables.xlsx",
        """
        1 title
        2 heading
        3 sent 02275 staffed_point 0/1 2023-06-30
        4 sent 02263 staffed_point 1/1 2023-06-30
        5 total [total]
        7 title
        8 heading
        9 sent 02281 points_online 2/3 2023-06-30
        """,
        {**POSTAL, "indicator": ""},
    ),
    Case(
        "cover-page.xlsx",
        """
        Bìa!1 title
        Bìa!2 title
        Bìa!0 [sheet]
        Điểm bưu chính!1 title
        Điểm bưu chính!3 heading
        Điểm bưu chính!4 sent 02275 staffed_point 0/1 2023-06-30
        Trực tuyến!1 title
        Trực tuyến!3 heading
        Trực tuyến!4 sent 02263 points_online 1/1 2023-06-30
        Trống!0 [sheet]
        """,
        {**POSTAL, "indicator": ""},
    ),
    Case(
        "quoted-name.xlsx",
        """
        1 heading
        2 sent 02275 staffed_point 0/1 2023-06-30
        3 rejected Đã phủ='một' schema
        """,
    ),
    *(
        Case(
            file,
            """
            1 heading
            2 sent 02275 staffed_point 0/1 2023-06-30
            3 sent 02263 staffed_point 1/1 2023-06-30
            4 sent 02281 staffed_point 1/1 2023-06-30
            5 total [total]
            """,
        )
        for file in ("formulas.xlsx", "formulas.ods")
    ),
    Case(
        "formulas-without-values.xlsx",
        """
        1 heading
        2 sent 02275 staffed_point 0/1 2023-06-30
        3 rejected Đã phủ='=1+0' schema
        4 rejected Tổng số='=D2' schema
        5 total [total]
        """,
    ),
    *(
        Case(
            file,
            """
            1 heading
            2 rejected Đã phủ='#N/A' schema
            3 rejected Mã xã='#REF!' schema
            4 rejected Tên xã='#NAME?' schema
            5 sent 02263 staffed_point 1/1 2023-06-30
            """,
        )
        for file in ("errors.xlsx", "errors.ods")
    ),
    Case(
        "percent.xlsx",
        """
        1 heading
        2 rejected Đã phủ='99.3 %' schema
        2 rejected Tổng số='100 %' schema
        3 rejected Đã phủ='99,3 %' schema
        3 rejected Tổng số='100 %' schema
        4 rejected Đã phủ='100%' schema
        5 rejected Đã phủ='100 %' schema
        5 rejected Tổng số='100 %' schema
        """,
    ),
    Case(
        "names-as-codes.xlsx",
        """
        1 heading
        2 rejected Mã xã='Xã Sơn Phú' unknown_commune
        3 rejected Mã xã='Khau Tinh' unknown_commune
        4 rejected Mã xã='Xã Tân Tiến' unknown_commune
        5 sent 02281 staffed_point 1/1 2023-06-30
        """,
    ),
    Case(
        "booleans.xlsx",
        """
        1 heading
        2 rejected Đã phủ='FALSE' schema
        2 rejected Tổng số='TRUE' schema
        3 rejected Đã phủ='TRUE' schema
        4 rejected Đã phủ='Có' schema
        5 rejected Đã phủ='x' schema
        6 rejected Mã xã='TRUE' unknown_commune
        7 sent 02248 staffed_point 1/1 2023-06-30
        """,
    ),
    Case(
        "invisible.xlsx",
        """
        1 heading
        2 sent 02275 staffed_point 1/1 2023-06-30
        3 sent 02263 staffed_point 1/1 2023-06-30
        4 sent 02281 staffed_point 1/1 2023-06-30
        5 sent 02284 staffed_point 1/1 2023-06-30
        6 sent 02248 staffed_point 1/1 2023-06-30
        7 sent 02254 staffed_point 1/1 2023-06-30
        """,
    ),
    Case(
        "typed-fractions.xlsx",
        """
        1 heading
        2 rejected Đã phủ='1.234' schema
        3 sent 02263 mobile_4g_population 1234/1234 2023-06-30 [count]
        4 sent 02281 mobile_4g_population 12/1000 2023-06-30
        """,
        PEOPLE,
    ),
    Case(
        "vietnamese.ods",
        """
        1 heading
        2 sent 02275 mobile_4g_population 2105/2310 2023-06-30
        3 sent 02263 mobile_4g_population 1980/2010 2023-06-30 [code, count]
        4 rejected Dân số được phủ sóng (người)='5012.5' schema
        """,
        {**PEOPLE, "observed_at": ""},
    ),
    Case(
        "offset.xlsx",
        """
        5 heading
        6 sent 02275 staffed_point 0/1 2023-06-30
        7 rejected Đã phủ='một' schema
        """,
    ),
    Case(
        "hidden-sheet.xlsx",
        """
        Biểu 1!1 heading
        Biểu 1!2 sent 02275 staffed_point 0/1 2023-06-30
        Nháp!0 [hidden]
        """,
    ),
    Case(
        "own-form.xlsx",
        """
        1 title
        2 heading [columns]
        3 sent 02275 mobile_4g_population 2105/2310 2023-06-30 [code, count]
        4 sent 02263 mobile_4g_population 1980/2010 2023-06-30 [code, count]
        """,
        {"mapping": "own-form.toml"},
    ),
    Case(
        "labels.xlsx",
        """
        1 title
        2 title
        3 heading
        4 sent 02275 staffed_point 0/1 2023-05-31
        """,
        {"indicator": "postal.staffed_point"},
    ),
    Case(
        "two-reporters.xlsx",
        """
        1 title
        2 rejected Đơn vị báo cáo='operator-a' schema
        3 words [unread]
        """,
    ),
    Case("entities.xlsx", ALL_THREE),
    Case(
        "repeated-rows.ods",
        """
        1 heading
        2 sent 02275 staffed_point 0/1 2023-06-30
        3 sent 02263 staffed_point 1/1 2023-06-30
        4 sent 02263 staffed_point 1/1 2023-06-30
        5 sent 02263 staffed_point 1/1 2023-06-30
        """,
    ),
]


def items(path: Path, options: dict[str, str]) -> Iterator[Item]:
    """The rows of a file, after the rules were asked. Raises FileError."""
    rules = shipped_rules()
    admission = Admission(rules)
    now_ms = int(NOW.timestamp() * 1000)
    said: dict[str, Any] = {**options, "mapping": read_mapping(str(HERE / options["mapping"]))} if "mapping" in options else options
    return judged(read(str(path), Forms(rules, FormOptions(**said), NOW)), lambda event: admission.outgoing(event, now_ms))


def outcome(path: Path, options: dict[str, str]) -> Iterator[str]:
    """What becomes of each row, in the words of this module. Raises FileError."""
    found = list(items(path, options))
    several = len({item.sheet for item in found}) > 1
    for item in found:
        where = f"{item.sheet}!{item.number}" if several else str(item.number)
        understood = f" [{', '.join(sorted({note.kind for note in item.notes}))}]" if item.notes else ""
        if item.event is not None:
            yield f"{where} sent {_in_words(item.event)}{understood}"
        for problem in item.problems:
            assert problem.text.vi
            assert problem.text.en
            yield f"{where} rejected {problem.column}={problem.value!r} {problem.reason}{understood}"
        if not item.number:
            yield f"{where}{understood}"
        elif item.skipped not in {None, Skipped.BLANK} and not item.problems:
            yield f"{where} {item.skipped}{understood}"


def _in_words(event: Any) -> str:
    assert isinstance(event, Stated)
    data = event.data
    observed = data.observed_at.astimezone(VIETNAM)
    day = observed.strftime("%Y-%m-%d" if observed.hour == observed.minute == 0 else "%Y-%m-%dT%H:%M")
    named = "" if data.uncovered is None else " uncovered: " + " | ".join(data.uncovered)
    return f"{data.commune} {data.indicator.partition('.')[2]} {data.covered}/{data.expected} {day}{named}"


def rows_of(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]


@pytest.mark.parametrize("case", CASES, ids=[case.file for case in CASES])
def test_every_row_of_an_awkward_sheet_is_sent_rejected_or_left_out_as_written_here(case: Case) -> None:
    assert list(outcome(HERE / case.file, case.options)) == rows_of(case.rows)


_NO_TABLE = 'no table found; it needs a heading with "Mã xã", "Đã phủ", "Tổng số"'
REFUSED = {
    "empty.csv": _NO_TABLE,
    "blank.csv": _NO_TABLE,
    "no-counts.csv": _NO_TABLE,
    "rubbish.csv": _NO_TABLE,
    "percent-only.xlsx": _NO_TABLE,
    "empty.xlsx": _NO_TABLE,
    "vietnamese.fods": "save as .xlsx",
    "not-a-workbook.xlsx": "save it as .xlsx",
    "truncated.xlsx": "is no sound XLSX or ODS file",
    "text.xlsx": "open it in the spreadsheet program and save as .xlsx",
    "web-page.xls": "save as .xlsx",
    "codes-as-numbers.xls": "the old .xls format is not read; open it in the spreadsheet program and save as .xlsx",
    "encrypted.xlsx": "is protected with a password; remove it",
    "encrypted.ods": "is protected with a password; remove it",
}


UNMENDED_SENT = {
    # the quote is gone with the line that it broke: what is left are four sound cells
    "unclosed-quote.csv": 1,
}


@pytest.mark.parametrize("case", CASES, ids=[case.file for case in CASES])
def test_the_rejects_file_holds_the_rejected_rows_and_none_is_sent_before_it_is_mended(case: Case, tmp_path: Path) -> None:
    file = tmp_path / case.file
    shutil.copyfile(HERE / case.file, file)
    rejected, rejects = _rejects_of(file, case.options)
    assert (rejects is None) == (not rejected)
    again = [] if rejects is None else list(items(rejects, case.options))
    sent = UNMENDED_SENT.get(case.file, 0)
    assert len([item for item in again if item.event]) == sent
    # the second of two contradicting rows has its counts left empty, so that it states nothing until somebody decides
    emptied = [item for item in again if item.skipped is Skipped.UNFILLED]
    assert len([item for item in again if item.problems]) + len(emptied) == len(rejected) - sent


def _rejects_of(file: Path, options: dict[str, str], *, base_1904: bool = False) -> tuple[list[Item], Path | None]:
    """The rejected rows of a file, and the file of them beside it."""
    rejects = RejectsFile(str(file), file.suffix.removeprefix("."), ",", "vi", base_1904=base_1904)
    rejected = []
    for item in items(file, options):
        if item.event is None:
            rejects.add(item)
        if item.problems and item.skipped is None:
            rejected.append(item)
    written = rejects.finish()
    return rejected, Path(written) if written else None


def test_a_mended_row_keeps_what_a_merged_cell_above_said_of_it(tmp_path: Path) -> None:
    file = tmp_path / "merged.xlsx"
    rows = [("Chỉ tiêu", *HEADINGS), ("postal.points_online", *SON_PHU), ("", *KHAU_TINH[:2], "một", 1)]
    file.write_bytes(book(rows, lambda sheet: sheet.merge_cells("A2:A3")))
    _, rejects = _rejects_of(file, POSTAL_ONLY)
    assert rejects is not None
    _mend(rejects, "D2", 1)
    assert list(outcome(rejects, POSTAL_ONLY))[1:] == ["2 sent 02263 points_online 1/1 2023-06-30"]


def test_a_mended_row_of_a_workbook_that_counts_from_1904_keeps_its_date(tmp_path: Path) -> None:
    file = tmp_path / "1904.xlsx"
    file.write_bytes(calendar_1904((*KHAU_TINH[:2], "một", 1)))
    _, rejects = _rejects_of(file, UNDATED, base_1904=True)
    assert rejects is not None
    _mend(rejects, "C2", 1)
    assert list(outcome(rejects, UNDATED))[1:] == ["2 sent 02263 staffed_point 1/1 2023-06-30 [serial]"]


def _mend(file: Path, cell: str, value: int) -> None:
    workbook = load_workbook(file)
    workbook.worksheets[0][cell] = value
    workbook.save(file)


@pytest.mark.parametrize(("file", "remedy"), REFUSED.items())
def test_a_file_that_is_no_sheet_is_refused_whole_with_its_name_and_the_remedy(file: str, remedy: str) -> None:
    with pytest.raises(FileError) as refused:
        list(outcome(HERE / file, POSTAL))
    for told in refused.value.text:
        assert told.startswith(f"{HERE / file}: ")
    assert remedy in refused.value.text.en


def test_every_file_of_the_folder_has_its_outcome_here() -> None:
    sheets = {path.name for path in HERE.iterdir() if path.is_file() and path.suffix not in {"", ".py", ".md", ".toml"}}
    assert sheets == {case.file for case in CASES} | set(REFUSED)


@pytest.mark.parametrize("file", FILES)
def test_the_files_of_the_folder_are_those_that_its_script_makes(file: str) -> None:
    # part by part: another zlib packs the same content otherwise
    assert _parts((HERE / file).read_bytes()) == _parts(FILES[file])


@pytest.mark.parametrize(
    ("file", "saved"),
    [
        ("hidden.xlsx", "2023-07-05T09:00:00+07:00"),
        ("vietnamese.ods", "2023-07-05T09:00:00+07:00"),
        ("entities.xlsx", "2024-02-01T08:00:00+07:00"),
        ("utf-16.csv", "2024-02-01T08:00:00+07:00"),
    ],
    ids=["XLSX, in UTC", "ODS, in its own clock's time", "XLSX that does not tell", "CSV"],
)
def test_a_row_was_said_when_its_file_says_it_was_saved_or_else_was_written(file: str, saved: str, tmp_path: Path) -> None:
    copy = tmp_path / file
    shutil.copyfile(HERE / file, copy)
    written = datetime.fromisoformat("2024-02-01T08:00:00+07:00").timestamp()
    os.utime(copy, (written, written))
    options = PEOPLE if file == "vietnamese.ods" else POSTAL
    assert {item.event.time.isoformat() for item in items(copy, options) if item.event} == {saved}


@pytest.mark.parametrize("told", [True, False], ids=["a bomb that tells its size", "a bomb that lies about its size"])
def test_a_zip_bomb_is_refused_before_it_unpacks(tmp_path: Path, told: bool) -> None:
    size = 320 * 1024 * 1024
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(FILES["dressed.xlsx"])) as sound,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as bomb,
    ):
        for name in sound.namelist():
            head, data, tail = sound.read(name).partition(b"<sheetData>")
            with bomb.open(name, "w") as part:
                part.write(head + data)
                for _ in range(size // 1024 // 1024 if data else 0):
                    part.write(b" " * 1024 * 1024)
                part.write(tail)
    content = out.getvalue()
    if not told:
        (stated,) = {info.file_size for info in zipfile.ZipFile(out).infolist() if info.file_size > size}
        assert content.count(struct.pack("<I", stated)) == 2  # in the directory and before the part itself
        content = content.replace(struct.pack("<I", stated), struct.pack("<I", 1000))
    file = tmp_path / "bomb.xlsx"
    file.write_bytes(content)
    refused, peak_mib = _apart(file)
    assert "FileError" in refused
    assert "bomb.xlsx" in refused
    assert peak_mib < 200


def _ods_cell(attributes: str, content: str) -> bytes:
    cell = f'<table:table-cell office:value-type="string" {attributes}><text:p>{content}</text:p></table:table-cell>'
    return ods(f'{ods_row(*HEADINGS)}<table:table-row table:number-rows-repeated="1000000">{cell}</table:table-row>')


def _one_text_everywhere() -> bytes:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as workbook:
        sheet = workbook.add_worksheet()
        for row in range(2000):
            sheet.write_row(row, 0, ["x" * 30_000] * 20)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("spaces.ods", _ods_cell("", '<text:s text:c="2000000000"/>')),
        ("columns.ods", _ods_cell('table:number-columns-repeated="2000000000"', "x")),
        ("rows.ods", _ods_cell('table:number-columns-repeated="400"', "x" * 100)),
        ("texts.xlsx", _one_text_everywhere()),
        ("far.xlsx", repacked(book([HEADINGS]), lambda _, part: part.replace(b'r="D1"', b'r="XFD1048576"').replace(b"<row", b"<row "))),
    ],
    ids=[
        "one cell of 2,000,000,000 spaces",
        "as many columns",
        "a million equal rows",
        "one text in 40,000 cells",
        "the last cell of a sheet",
    ],
)
def test_a_small_workbook_that_would_unfold_into_gigabytes_is_refused_in_bounded_memory(name: str, content: bytes, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    told, peak_mib = _apart(file)
    assert told.startswith("FileError")
    assert name in told
    assert peak_mib < 200


def test_a_csv_of_a_hundred_thousand_columns_is_read_in_bounded_memory(tmp_path: Path) -> None:
    file = tmp_path / "wide.csv"
    file.write_text(lines([(*HEADINGS, *["x"] * 100_000), SON_PHU, (*SON_PHU, *[""] * 99_999)]))
    told, peak_mib = _apart(file)
    assert "02275" in told or "FileError" in told
    assert peak_mib < 200


def test_a_cell_of_ten_megabytes_rejects_its_row_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "long.csv"
    file.write_text(
        lines([(*HEADINGS, "Thôn chưa phủ"), SON_PHU, ("02263", "x" * 10_000_000, 1, 1), THREE[2], ("02284", '"' + "x" * 10_000_000)])
    )
    told, peak_mib = _apart(file)
    assert [line.partition(" ")[0] for line in told.splitlines() if "sent" in line] == ["2", "4"]
    assert " ".join(line for line in told.splitlines() if line.startswith("3 ")).endswith("too_large")
    assert peak_mib < 200


def _apart(file: Path) -> tuple[str, float]:
    """What becomes of a file in a process of its own, and the most memory that it took, in MiB."""
    program = (
        "import resource, sys, pathlib\n"
        "resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))\n"  # the machine survives what the reader would not
        "import tests.unit.test_awkward_sheets as here\n"
        "try: print(*here.outcome(pathlib.Path(sys.argv[1]), here.POSTAL), sep='\\n')\n"
        "except here.FileError as error: print('FileError', error)\n"
        # not getrusage, which begins with the peak of the process that started this one
        "print(*[int(line.split()[1]) / 1024 for line in open('/proc/self/status') if line.startswith('VmHWM')])\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(file)], capture_output=True, text=True, check=True, cwd=HERE.parents[1])
    *told, peak_mib = done.stdout.splitlines()
    return "\n".join(told), float(peak_mib)


def _parts(content: bytes) -> object:
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return content
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        return [(name, packed.read(name)) for name in packed.namelist()]
