"""The tables of a report, one for the page and the sheet alike, so that both show the same figures.

Comes in: `Report`. Goes out: `Table`s of text in its language, in their order. Owns no state. An indicator of which nothing is known has no
figures here, never zeros.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from feed.text import Lang, day, number, percent, say
from ops.letters import printable
from ops.report_changes import changed
from ops.report_document import INSTANT, Figure, Gap, Place, Report, Silent, origin_of, span
from ops.report_words import Column, Table, count_of, counted, indicator_names, origin, period, pick, place, points, reporter_name
from ops.table import MARKS, METHODS, ORIGINS, SCOPES, STATES, STEPS, VERDICTS
from phusong.events import Origin
from phusong.rows import CommuneRow, Mark, ProvinceRow, State

_COUNTED = {
    "units": ("xã", "communes"),
    "villages": ("thôn", "villages"),
    "households": ("hộ", "households"),
    "population": ("người", "people"),
}


def tables(report: Report) -> list[Table]:
    """Everything that the report says, in its order."""
    found = [_summary(report), _missing(report), _unknown(report), _owed(report), _promised(report), _disputed(report)]
    return [*found, *changed(report)] if report.base is not None else found


def _summary(report: Report) -> Table:
    lang = report.lang
    columns = (
        Column(say(lang, "STT", "No."), 6),
        Column(say(lang, "Nội dung", "Indicator"), 34),
        Column(say(lang, "Đã phủ / tổng", "Covered / expected"), 20, figures=True),
        Column(say(lang, "Tỷ lệ", "Ratio"), 11, figures=True),
        Column(say(lang, "Khoảng", "Interval"), 16, figures=True),
        Column(say(lang, "Chỉ tiêu (nguồn)", "Target (source)"), 26),
        Column(say(lang, "Kết luận", "Verdict"), 14),
        Column(say(lang, "Đủ báo cáo", "Fresh reports"), 10, figures=True),
        Column(say(lang, "So với kỳ trước", "Since the period before"), 15, figures=True),
        Column(say(lang, "Dự báo đạt chỉ tiêu", "Projection"), 18),
        Column(say(lang, "Nguồn gốc số liệu, lưu ý", "Origin, remarks"), 24),
    )
    return Table(
        name=say(lang, "Tổng hợp", "Summary"),
        title=say(lang, "I. Kết quả theo từng nội dung", "I. Results by indicator"),
        note="",
        columns=columns,
        rows=[(str(count), *_figure(one, lang)) for count, one in enumerate(report.figures, 1)],
        empty="",
    )


def _figure(one: Figure, lang: Lang) -> tuple[str, ...]:
    row = one.row
    target = _target(one, lang)
    verdict = say(lang, VERDICTS[row.verdict], row.verdict.replace("_", " "))
    if not one.known:
        nothing = say(lang, "chưa có báo cáo nào", "no reports")
        return (pick(one.name, lang), nothing, "–", "–", target, verdict, percent(row.completeness, lang), "–", "–", "–")
    ratio, low, high = (percent(share, lang, row.target) for share in (row.ratio, row.low, row.high))
    return (
        pick(one.name, lang),
        _with(f"{counted(row.covered, row, lang)} / {counted(row.expected, row, lang)} {_unit(row, lang)}".rstrip(), origin_of(row), lang),
        _with(ratio, origin_of(row), lang),
        _with(f"{low.removesuffix(' %')} – {high}", origin_of(row), lang),
        target,
        verdict,
        percent(row.completeness, lang),
        _trend(one, lang),
        _projection(one, lang),
        "\n".join(_remarks(row, lang)) or "–",
    )


def _unit(row: ProvinceRow, lang: Lang) -> str:
    return say(lang, *_COUNTED.get(row.base, ("", "")))


def _with(text: str, one: Origin | None, lang: Lang) -> str:
    """A figure with the mark of its origin."""
    return text if one in (None, Origin.REAL) else f"{text}\n({origin(one, lang)})"


def _target(one: Figure, lang: Lang) -> str:
    row = one.row
    if row.target is None or row.target_scope is None:
        return "–"
    whole = percent(row.target, lang).replace(say(lang, ",0 %", ".0 %"), " %")
    scope = say(lang, SCOPES[row.target_scope], row.target_scope)
    source = "" if one.target_source is None else f", {pick(one.target_source, lang)}"
    due = "" if row.target_due is None else say(lang, f"; trước {day(row.target_due, lang)}", f"; before {day(row.target_due, lang)}")
    assumed = f"\n({origin(Origin.ASSUMED, lang)})" if row.target_status == "assumed" else ""
    return f"{whole} ({scope}{source}{due}){assumed}"


def _trend(one: Figure, lang: Lang) -> str:
    then, now = one.previous, one.row.ratio
    if then is None or then.ratio is None or now is None:
        return "–"
    marked_ = max((one for one in (then.origin, origin_of(one.row)) if one is not None), key=list(Origin).index, default=None)
    return _with(points(now - then.ratio, lang), marked_, lang)


def _projection(one: Figure, lang: Lang) -> str:
    found = one.row.projection
    if found is None:
        return "–"
    if found.reached_at is None:
        return _with(say(lang, "không đạt với nhịp này", "not at this pace"), origin_of(one.row), lang)
    never = say(lang, "không đạt", "never")
    early, late = (never if moment is None else day(moment, lang) for moment in (found.earliest, found.latest))
    return _with(f"{day(found.reached_at, lang)}\n({early} – {late})", origin_of(one.row), lang)


def _remarks(row: ProvinceRow, lang: Lang) -> Iterator[str]:
    for one, count in row.origins.items():
        yield say(lang, f"{ORIGINS[one]}: {number(count, lang)} xã", f"{one.value}: {number(count, lang)} communes")
    for state in (State.STALE, State.UNKNOWN):
        if row.units.get(state):
            yield f"{say(lang, STATES[state], state.value)}: {number(row.units[state], lang)}"
    for mark, count in row.marks.items():
        # that of the figures' own origin says nothing new
        if count and mark.value != row.origin:
            yield f"{_mark(mark, row, lang)}: {number(count, lang)}"


def _missing(report: Report) -> Table:
    lang = report.lang
    columns = (
        Column(say(lang, "STT", "No."), 6),
        Column(say(lang, "Nội dung", "Indicator"), 30),
        Column(say(lang, "Xã", "Commune"), 28),
        Column(say(lang, "Đã phủ / tổng", "Covered / expected"), 13, figures=True),
        Column(say(lang, "Thôn, nơi còn thiếu", "Villages, places missing"), 34),
        Column(say(lang, "Thiếu từ", "Missing since"), 12),
        Column(say(lang, "Ai báo cáo, khi nào", "Who said so, when"), 36),
        Column(say(lang, "Hứa phủ", "Promised for"), 12),
        Column(say(lang, "Nguồn gốc số liệu, lưu ý", "Origin, remarks"), 22),
    )
    names = indicator_names(report)
    rows = [
        (
            str(count),
            names[gap.row.indicator],
            place(gap.row.name, gap.row.commune, gap.row.district),
            f"{count_of(gap.row.covered, lang)} / {count_of(gap.row.expected, lang)}",
            _villages(gap, lang),
            "–" if gap.since is None else day(gap.since, lang),
            _said(report, gap),
            "–" if gap.row.promised_for is None else day(gap.row.promised_for, lang),
            ", ".join(_marks(gap.row, lang)),
        )
        for count, gap in enumerate(report.gaps, 1)
    ]
    return Table(
        name=say(lang, "Xã còn thiếu", "Missing"),
        title=say(lang, "II. Các xã còn thiếu", "II. Communes that are missing"),
        note=say(
            lang,
            "«Thiếu từ»: ngày quan sát của báo cáo đầu tiên mà từ đó không báo cáo nào nói xã đã phủ hết.",
            "«Missing since»: when the first statement was observed after which none said that all of the commune is covered.",
        ),
        columns=columns,
        rows=rows,
        empty=say(lang, "Không xã nào được báo cáo là còn thiếu.", "No commune is reported to be missing."),
    )


def _villages(gap: Gap, lang: Lang) -> str:
    if gap.row.expected == 1:
        return say(lang, "cả xã", "the whole commune")
    names = [printable(name) for name in gap.row.uncovered or ()]
    if gap.unnamed:
        names.append(say(lang, f"{number(gap.unnamed, lang)} nơi chưa nêu tên", f"{number(gap.unnamed, lang)} not named"))
    return "; ".join(names) or say(lang, "chưa nêu tên", "not named")


def _said(report: Report, gap: Gap) -> str:
    """ "Nhà mạng A, Nhà mạng B: khai báo 30/06/2023"."""
    lang = report.lang
    told: dict[str, list[str]] = {}
    for one in gap.said:
        how = f"{say(lang, METHODS[one.method], one.method.value)} {day(one.observed_at, lang)}"
        told.setdefault(how, []).append(reporter_name(report, one.reporter))
    return "; ".join(f"{', '.join(dict.fromkeys(names))}: {how}" for how, names in told.items()) or "–"


def _marks(row: CommuneRow, lang: Lang) -> Iterator[str]:
    if row.origin is not None:
        yield origin(row.origin, lang)
    if row.state is State.STALE:
        yield say(lang, STATES[row.state], row.state.value)
    yield from (_mark(mark, row, lang) for mark in row.marks if mark.value != row.origin)


def _mark(mark: Mark, row: ProvinceRow | CommuneRow, lang: Lang) -> str:
    """A mark in words; assumed where all statements are real, it is the size of the commune."""
    if mark is Mark.ASSUMED and row.origin is Origin.REAL:
        return say(lang, "mẫu số giả định", "size assumed")
    return say(lang, MARKS[mark], mark.replace("_", " "))


def _unknown(report: Report) -> Table:
    lang, names = report.lang, indicator_names(report)
    columns = (
        Column(say(lang, "Nội dung", "Indicator"), 38),
        Column(say(lang, "Chưa có báo cáo", "Unknown"), 14, figures=True),
        Column(say(lang, "Quá hạn", "Stale"), 12, figures=True),
        Column(say(lang, "Những xã nào", "Which"), 90),
    )
    rows = [
        (
            names[one.indicator],
            f"{number(len(one.unknown), lang)} / {number(one.communes, lang)}",
            f"{number(len(one.stale), lang)} / {number(one.communes, lang)}",
            _which(report, one),
        )
        for one in report.silent
        if one.unknown or one.stale
    ]
    return Table(
        name=say(lang, "Xã chưa rõ", "Unknown"),
        title=say(lang, "III. Các xã chưa có số liệu hoặc số liệu quá hạn", "III. Communes without figures, or with stale ones"),
        note="",
        columns=columns,
        rows=rows,
        empty=say(lang, "Mọi xã đều có số liệu còn hạn.", "The figures of all communes are fresh."),
    )


def _which(report: Report, one: Silent) -> str:
    lang = report.lang
    told = []
    for words, places in (
        (say(lang, STATES["unknown"], "unknown"), one.unknown),
        (say(lang, STATES["stale"], "stale"), one.stale),
    ):
        if places:
            told.append(f"{words}: {_all_but(report, one, places) or '; '.join(f'{place.name} ({place.commune})' for place in places)}")
    return "\n".join(told)


def _all_but(report: Report, one: Silent, places: Sequence[Place]) -> str:
    """Where it is most of the province: which ones are not among them."""
    named = {place.commune for place in places}
    others = [f"{row.name} ({row.commune})" for row in report.communes if row.indicator == one.indicator and row.commune not in named]
    left = one.communes - len(places)
    if left > len(places):
        return ""
    # those of which nothing is known are no rows of the report
    others += [f"{place.name} ({place.commune})" for place in one.unknown if place.commune not in named]
    every = say(report.lang, "cả tỉnh", "the whole province")
    return f"{every}, {say(report.lang, 'trừ', 'but')} {'; '.join(others)}" if others else every


def _owed(report: Report) -> Table:
    lang, names = report.lang, indicator_names(report)
    columns = (
        Column(say(lang, "Đơn vị báo cáo", "Reporter"), 38),
        Column(say(lang, "Nội dung", "Indicator"), 38),
        Column(say(lang, "Kỳ phải báo cáo", "Period owed"), 14),
        Column(say(lang, "Hạn nộp (hết ngày)", "Deadline (end of)"), 12),
        Column(say(lang, "Số xã chưa báo cáo kỳ này", "Communes not reported for it"), 18, figures=True),
        Column(say(lang, "trong đó chưa từng báo cáo", "of these never reported"), 16, figures=True),
        Column(say(lang, "Số xã quá hạn cuối kỳ", "Overdue at the end"), 16, figures=True),
        Column(say(lang, "Khi lập báo cáo", "When this was made"), 16),
    )
    rows = [
        (
            reporter_name(report, one.reporter),
            names[one.indicator],
            period(span(one.period), lang),
            day(one.deadline - INSTANT, lang),
            f"{number(one.missing, lang)} / {number(one.communes, lang)}",
            number(one.never, lang),
            number(one.overdue, lang),
            say(lang, "đã quá hạn nộp", "past its deadline")
            if one.deadline <= report.made_at
            else say(lang, "chưa đến hạn nộp", "not due yet"),
        )
        for one in report.owed
    ]
    return Table(
        name=say(lang, "Chưa báo cáo", "Not reported"),
        title=say(lang, "IV. Đơn vị chưa báo cáo đủ", "IV. Who has not reported"),
        note="",
        columns=columns,
        rows=rows,
        empty=say(lang, "Mọi đơn vị có nghĩa vụ đã báo cáo đủ.", "Everyone who is obliged has reported."),
    )


def _promised(report: Report) -> Table:
    lang, names = report.lang, indicator_names(report)
    columns = (
        Column(say(lang, "Đơn vị cam kết", "Who promised"), 34),
        Column(say(lang, "Nội dung", "Indicator"), 34),
        Column(say(lang, "Xã", "Commune"), 28),
        Column(say(lang, "Nơi", "Place"), 20),
        Column(say(lang, "Hứa lần đầu", "First promised for"), 12),
        Column(say(lang, "Nay hứa", "Promised for"), 12),
        Column(say(lang, "Quá hạn (ngày)", "Days overdue"), 10, figures=True),
        Column(say(lang, "Nguồn gốc số liệu", "Origin"), 14),
    )
    rows = [
        (
            reporter_name(report, one.operator),
            names[one.indicator],
            place(one.name, one.commune, one.district),
            printable(one.place) or say(lang, "cả xã", "the whole commune"),
            "–" if one.by_first is None else day(one.by_first, lang),
            day(one.by, lang),
            "–" if one.days_overdue is None else number(one.days_overdue, lang),
            origin(one.origin, lang),
        )
        for one in report.promises
    ]
    return Table(
        name=say(lang, "Cam kết", "Promises"),
        title=say(lang, "V. Cam kết về những nơi còn thiếu", "V. Promises about what is missing"),
        note="",
        columns=columns,
        rows=rows,
        empty=say(lang, "Không có cam kết nào.", "There is none."),
    )


def _disputed(report: Report) -> Table:
    lang, names = report.lang, indicator_names(report)
    columns = (
        Column(say(lang, "Vụ việc", "Challenge"), 26),
        Column(say(lang, "Nội dung", "Indicator"), 34),
        Column(say(lang, "Xã", "Commune"), 28),
        Column(say(lang, "Đơn vị liên quan", "Operator"), 34),
        Column(say(lang, "Bước hiện nay", "Step"), 20),
        Column(say(lang, "Từ ngày", "Since"), 12),
        Column(say(lang, "Hạn xử lý", "Deadline"), 16),
        Column(say(lang, "Nguồn gốc số liệu", "Origin"), 14),
    )
    late = say(lang, ", quá hạn", ", overdue")
    rows = [
        (
            printable(one.challenge),
            names[one.indicator],
            place(one.name, one.commune, one.district),
            reporter_name(report, one.operator),
            say(lang, STEPS[one.step], one.step.value),
            day(one.since, lang),
            "–" if one.deadline is None else f"{day(one.deadline, lang)}{late if one.overdue else ''}",
            origin(one.origin, lang),
        )
        for one in report.disputes
    ]
    return Table(
        name=say(lang, "Kiến nghị", "Challenges"),
        title=say(lang, "VI. Kiến nghị chưa giải quyết xong", "VI. Challenges that are not resolved"),
        note="",
        columns=columns,
        rows=rows,
        empty=say(lang, "Không có kiến nghị nào đang mở.", "None is open."),
    )
