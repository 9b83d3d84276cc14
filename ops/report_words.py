"""The words of a report, one for the page and the sheet alike.

Comes in: `Report`. Goes out: titles, notes, names and figures as text in the report's language. Owns no state. What reporters wrote comes
out as plain text without characters that are not printed; page and sheet see to their own escaping.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction
from math import floor
from typing import NamedTuple

from feed.text import Lang, day, number, say
from ops.letters import printable
from ops.report_document import Name, Report, Role, Span, span
from ops.table import ORIGINS
from phusong.events import Origin
from phusong.periods import VIETNAM, Period
from phusong.rows import ProvinceRow

DOTS = "…………………"
ROLE_NAMES = {
    Role.MAKER: ("người lập biểu", "maker"),
    Role.CHECKER: ("người kiểm tra biểu", "checker"),
    Role.HEAD: ("thủ trưởng đơn vị", "head of the office"),
}
_QUARTERS = ("I", "II", "III", "IV")


class Column(NamedTuple):
    """A column: its heading, its width in characters, and whether figures stand in it."""

    heading: str
    width: int
    figures: bool = False


class Table(NamedTuple):
    """A table of text: what it is called, what is said above it, and what is said instead where it has no rows; `name`: of its sheet."""

    name: str
    title: str
    note: str
    columns: tuple[Column, ...]
    rows: Sequence[tuple[str, ...]]
    empty: str


def title(report: Report) -> str:
    """What the report is."""
    return say(
        report.lang,
        "BÁO CÁO TÌNH HÌNH PHỦ SÓNG VIỄN THÔNG, PHÁT THANH - TRUYỀN HÌNH VÀ BƯU CHÍNH",
        "REPORT ON THE COVERAGE OF TELECOMMUNICATIONS, BROADCASTING AND POST",
    )


def province(report: Report) -> str:
    """ "Tuyên Quang (08)"."""
    return f"{pick(report.province_name, report.lang)} ({report.province})"


def period(one: Span, lang: Lang) -> str:
    """ "Tháng 6 năm 2023", "Quý II năm 2023", "6 tháng đầu năm 2023", "Năm 2023"."""
    year, part = one.name[:4], one.name[5:].lstrip("QH0")
    if one.kind is Period.MONTH:
        return say(lang, f"Tháng {part} năm {year}", f"{year}-{part.zfill(2)}")
    if one.kind is Period.QUARTER:
        return say(lang, f"Quý {_QUARTERS[int(part) - 1]} năm {year}", f"Quarter {part} of {year}")
    if one.kind is Period.HALF_YEAR:
        return say(lang, f"6 tháng {'đầu' if part == '1' else 'cuối'} năm {year}", f"{'First' if part == '1' else 'Second'} half of {year}")
    return say(lang, f"Năm {year}", f"Year {year}")


def about(report: Report) -> list[str]:
    """What the figures are: about which moment, known when, of which list of communes, by which rules."""
    lang, one = report.lang, span(report.period)
    at = f"{report.made_at.astimezone(VIETNAM):{say(lang, '%d/%m/%Y %H:%M', '%Y-%m-%d %H:%M')}}"
    events, units = number(report.events, lang), number(report.units, lang)
    return [
        say(
            lang,
            f"Kỳ báo cáo: {period(one, lang)} (từ {day(report.start, lang)} đến hết {day(report.as_of, lang)})",
            f"Period: {period(one, lang)} (from {day(report.start, lang)} to the end of {day(report.as_of, lang)})",
        ),
        say(
            lang,
            f"Số liệu về thời điểm hết ngày {day(report.as_of, lang)}, theo những gì biết được khi lập báo cáo ({at}): {events} "
            "bản tin, kể cả bản tin đến muộn và bản đính chính; không tính điều quan sát sau kỳ.",
            f"The figures are about the end of {day(report.as_of, lang)}, as known when the report was made ({at}): {events} "
            "events, late ones and corrections included; nothing that was observed after the period.",
        ),
        say(
            lang,
            f"Danh mục xã {report.vintage}: {units} xã, phường, thị trấn. Quy tắc số {report.rules}; phần mềm phusong {report.program}.",
            f"List of communes {report.vintage}: {units} communes. Rules {report.rules}; software phusong {report.program}.",
        ),
    ]


def marked(report: Report) -> str:
    """The warning that not every figure is real; "" where all are."""
    names = say(report.lang, " và ", " and ").join(origin(one, report.lang) for one in report.origins)
    if not names:
        return ""
    return say(
        report.lang,
        f"Báo cáo có số liệu {names}, ghi rõ bên từng con số: chỉ để thử nghiệm, không dùng làm căn cứ.",
        f"Some figures are {names}, as told beside each of them: for trial only, no basis for any decision.",
    )


def standing(report: Report) -> str:
    """Whether it is a draft, signed in part, or final."""
    version = say(report.lang, f"Phiên bản {report.version}", f"Version {report.version}")
    if report.frozen:
        return f"{version} · {say(report.lang, 'đã ký, đã khóa', 'signed and frozen')}"
    if report.signatures:
        count = len(report.signatures)
        return f"{version} · {say(report.lang, f'DỰ THẢO, {count}/3 chữ ký', f'DRAFT, {count} of 3 signatures')}"
    return f"{version} · {say(report.lang, 'DỰ THẢO, chưa ký', 'DRAFT, not signed')}"


def legend(lang: Lang) -> list[str]:
    """How to read the first table."""
    return [
        say(
            lang,
            "Tỷ lệ tính trên mọi xã của danh mục: xã chưa báo cáo tính là chưa phủ. Khoảng: cận dưới chỉ tính số liệu còn hạn; cận "
            "trên coi xã chưa báo cáo là đã phủ hết.",
            "The ratio is over all communes of the list: one that has not reported counts as not covered. Interval: the lower "
            "bound counts fresh figures only; the upper one takes what is unknown as covered in full.",
        ),
        say(
            lang,
            "Kết luận. Đạt: cận dưới không thấp hơn chỉ tiêu. Chưa đạt: ngay cả cận trên cũng thấp hơn chỉ tiêu. Chưa đến hạn: như "
            "trên, nhưng hạn của chỉ tiêu chưa đến. Chưa đủ căn cứ: chỉ tiêu nằm trong khoảng, hoặc có trọng số chưa biết.",
            "Verdict. Met: the lower bound is not below the target. Missed: even the upper bound is. Not yet: so it is, but the "
            "target is not due. Uncertain: the target lies within the interval, or a weight is not known.",
        ),
        say(
            lang,
            "Đủ báo cáo: phần của các đơn vị có nghĩa vụ báo cáo đã có số liệu còn hạn. Dự báo: khi nào đạt chỉ tiêu theo nhịp các "
            "kỳ đã qua (sớm nhất – muộn nhất).",
            "Completeness: the share of those obliged to report whose figures are fresh. Projection: when the target is reached at "
            "the pace of past periods (earliest – latest).",
        ),
    ]


def origin(one: Origin | None, lang: Lang) -> str:
    """ "giả định" or "assumed"; "" for none."""
    return "" if one is None else say(lang, ORIGINS[one], one.value)


def counted(value: float, row: ProvinceRow, lang: Lang) -> str:
    """Cut, not rounded: a count below its whole is never printed as the whole. People and households in whole numbers."""
    parts = 1 if row.base in ("population", "households") else 10
    return number(Fraction(floor(Fraction(value).limit_denominator(10**9) * parts), parts), lang)


def points(difference: float, lang: Lang) -> str:
    """A difference of two ratios in percentage points: "+0,7 điểm %"; what is less than a twentieth of one is "0"."""
    tenths = round(Fraction(difference).limit_denominator(10**12) * 1000)
    sign = "+" if tenths > 0 else "−" if tenths < 0 else ""
    return f"{sign}{number(Fraction(abs(tenths), 10), lang)} {say(lang, 'điểm %', 'points')}"


def moment(at: datetime, lang: Lang) -> str:
    """A day and time in Vietnam."""
    return f"{at.astimezone(VIETNAM):{say(lang, '%d/%m/%Y %H:%M', '%Y-%m-%d %H:%M')}}"


def pick(name: Name, lang: Lang) -> str:
    """The name in that language."""
    return printable(say(lang, name.vi, name.en))


def indicator_names(report: Report) -> dict[str, str]:
    """Indicator -> what it is called."""
    return {one.row.indicator: pick(one.name, report.lang) for one in report.figures}


def reporter_name(report: Report, name: str) -> str:
    """What a reporter or operator is called in seeds/reporters.csv, or its id."""
    found = report.reporters.get(name)
    return printable(name) if found is None else pick(found, report.lang)


def place(name: str, code: str, district: str) -> str:
    """A commune with its code and district."""
    return f"{name} ({code})" + (f", {district}" if district else "")


def count_of(value: float | None, lang: Lang) -> str:
    """A count; None: "–"."""
    return "–" if value is None else number(value, lang)
