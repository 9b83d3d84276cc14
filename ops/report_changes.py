"""What a report says about the signed one before it: figures that are others by now and why, and what changed since.

Comes in: `Report` with a base. Goes out: `Table`s. Owns no state. Long lists are cut, and say so: the JSON has all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

from feed.text import Lang, day, number, percent, say
from ops.letters import printable
from ops.report_document import Arrived, Change, Difference, Reason, Report, span
from ops.report_words import Column, Table, count_of, counted, indicator_names, moment, origin, period, points, reporter_name
from ops.table import METHODS, VERDICTS
from phusong.events import Origin
from phusong.rows import ProvinceRow

_FIELDS = {
    "covered": ("đã phủ", "covered"),
    "expected": ("tổng", "expected"),
    "ratio": ("tỷ lệ", "ratio"),
    "low": ("cận dưới", "lower bound"),
    "high": ("cận trên", "upper bound"),
    "completeness": ("đủ báo cáo", "completeness"),
    "target": ("chỉ tiêu", "target"),
    "verdict": ("kết luận", "verdict"),
}
_COMMUNES_TOLD = 20
_STATEMENTS_TOLD = 20


def changed(report: Report) -> Iterator[Table]:
    """The tables; none where no report was signed before."""
    base, lang = report.base, report.lang
    if base is None:
        return
    signed = period(span(base.period), lang)
    which = say(lang, f"{signed}, phiên bản {base.version}", f"{signed}, version {base.version}")
    told = say(lang, f"Báo cáo đã ký: {base.report} (SHA-256 {base.sha256}).", f"The signed report: {base.report} (SHA-256 {base.sha256}).")
    columns = (
        Column(say(lang, "Nội dung", "Indicator"), 34),
        Column(say(lang, "Số liệu", "Figure"), 14),
        Column(say(lang, "Đã ký", "Signed"), 14, figures=True),
        Column(say(lang, "Nay", "Now"), 14, figures=True),
        Column(say(lang, "Thay đổi", "Difference"), 16, figures=True),
        Column(say(lang, "Vì sao", "Why"), 70),
    )
    yield Table(
        name=say(lang, "Sửa số đã ký", "Restated"),
        title=say(lang, f"VII. Số liệu đã ký nay biết là khác ({which})", f"VII. Signed figures now known to be others ({which})"),
        note=told,
        columns=columns,
        rows=[row for change in report.restated for row in _change(report, change, _why(report, change))],
        empty=say(lang, "Không số liệu đã ký nào thay đổi.", "No signed figure has changed."),
    )
    if report.as_of != base.as_of:
        other = say(
            lang,
            f" Danh mục xã đã đổi từ {base.vintage} sang {report.vintage}: hai kỳ không so sánh trực tiếp được.",
            f" The list of communes changed from {base.vintage} to {report.vintage}: the two are not directly comparable.",
        )
        yield Table(
            name=say(lang, "So với kỳ đã ký", "Since signed"),
            title=say(lang, f"VIII. Thay đổi so với kỳ đã ký ({which})", f"VIII. Changes since the signed period ({which})"),
            note=told + (other if base.vintage != report.vintage else ""),
            columns=columns[:-1],
            rows=[row for change in report.since for row in _change(report, change)],
            empty=say(lang, "Không số liệu nào thay đổi.", "No figure has changed."),
        )


def _change(report: Report, change: Change, why: str | None = None) -> Iterator[tuple[str, ...]]:
    lang = report.lang
    name = indicator_names(report).get(change.indicator, change.indicator)
    row = next((one.row for one in report.figures if one.row.indicator == change.indicator), None)
    shown = change.differences or (Difference(field="", before=None, after=None),)
    for count, one in enumerate(shown):
        field = say(lang, *_FIELDS[one.field]) if one.field else say(lang, "số liệu của xã", "communes' figures")
        was, now = (
            _marked(_value(value, one.field, row, lang), one.field, origin_, lang)
            for value, origin_ in ((one.before, change.origin_before), (one.after, change.origin))
        )
        cells = (name, field, was, now, _difference(one, lang))
        yield cells if why is None else (*cells, why if not count else "″")


def _value(value: float | str | None, field: str, row: ProvinceRow | None, lang: Lang) -> str:
    if value is None:
        return "–"
    if isinstance(value, str):
        return say(lang, VERDICTS.get(value, value), value.replace("_", " "))
    if field in ("covered", "expected"):
        return number(value, lang) if row is None else counted(value, row, lang)
    return percent(value, lang, None if row is None or field in ("target", "completeness") else row.target)


def _marked(shown: str, field: str, one: Origin | None, lang: Lang) -> str:
    """A figure of coverage with the mark of its origin: the other figures do not rest on what was stated."""
    stated = field in ("covered", "expected", "ratio", "low", "high") and shown != "–"
    return f"{shown} ({origin(one, lang)})" if stated and one not in (None, Origin.REAL) else shown


def _difference(one: Difference, lang: Lang) -> str:
    if not isinstance(one.before, int | float) or not isinstance(one.after, int | float):
        return "–"
    if one.field not in ("covered", "expected"):
        return points(one.after - one.before, lang)
    difference = Fraction(one.after).limit_denominator(10**9) - Fraction(one.before).limit_denominator(10**9)
    return f"{'+' if difference > 0 else '−'}{number(abs(difference), lang)}"


def _why(report: Report, change: Change) -> str:
    lang = report.lang
    told = []
    if change.statements:
        count = number(len(change.statements) + change.more, lang)
        told.append(say(lang, f"{count} bản tin đến sau khi lập bản đã ký:", f"{count} events came after the signed report was made:"))
        told += _listed((_arrived(report, one) for one in change.statements), _STATEMENTS_TOLD, len(change.statements) + change.more, lang)
    if Reason.RULES in change.reasons and report.base is not None:
        told.append(
            say(
                lang,
                f"Quy tắc đã đổi từ số {report.base.rules} sang số {report.rules}.",
                f"The rules changed from {report.base.rules} to {report.rules}.",
            )
        )
    if Reason.LOG in change.reasons:
        told.append(
            say(
                lang,
                "Nhật ký Kafka là một nhật ký khác: không biết bản tin nào đến sau.",
                "The log is another one: what came since cannot be told.",
            )
        )
    if not told:
        told.append(
            say(
                lang,
                "Không có bản tin mới và quy tắc không đổi: hãy báo lỗi.",
                "Nothing came and the rules are the same: please report this.",
            )
        )
    if change.communes:
        told.append(say(lang, "Xã:", "Communes:"))
        told += _listed(
            (
                f"{one.name} ({one.commune}): "
                f"{_figure(one.covered_before, one.expected_before, one.origin_before, lang)} → "
                f"{_figure(one.covered, one.expected, one.origin, lang)}"
                for one in change.communes
            ),
            _COMMUNES_TOLD,
            len(change.communes),
            lang,
        )
    return "\n".join(told)


def _figure(covered: float | None, expected: int | None, one: Origin | None, lang: Lang) -> str:
    shown = f"{count_of(covered, lang)} / {count_of(expected, lang)}"
    return shown if one in (None, Origin.REAL) else f"{shown} ({origin(one, lang)})"


def _listed(lines: Iterable[str], most: int, count: int, lang: Lang) -> Iterator[str]:
    for position, line in enumerate(lines):
        if position < most:
            yield f"• {line}"
    if count > most:
        yield say(lang, f"… và {number(count - most, lang)} nữa (xem tệp JSON)", f"… and {number(count - most, lang)} more (see the JSON)")


def _arrived(report: Report, one: Arrived) -> str:
    lang = report.lang
    value = say(lang, "rút lại", "withdraws") if one.withdraws else f"{count_of(one.covered, lang)} / {count_of(one.expected, lang)}"
    who = f"{reporter_name(report, one.reporter)}, {say(lang, METHODS[one.method], one.method.value)}"
    observed, came = day(one.observed_at, lang), moment(one.arrived_at, lang)
    told = say(
        lang,
        f"{who}, xã {one.commune}: {value}, quan sát {observed}, đến {came}",
        f"{who}, commune {one.commune}: {value}, observed {observed}, came {came}",
    )
    return f"{told} ({printable(one.id)}) ({origin(one.origin, lang)})"
