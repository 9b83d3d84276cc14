"""`phusong explain`: why a commune counts as it does, with every statement behind it, in the terminal's words.

Comes in: a commune, an indicator, a moment. Goes out: `Explanation` (feed/evidence.py), and its lines in Vietnamese or English. Owns no
state.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from feed.evidence import Explanation, Said, hear, topics_of
from feed.evidence import explain as explain_heard
from feed.reading import Tell
from feed.text import Lang, day, number, percent, say
from feed.why import Text
from ops.table import METHODS, ORIGINS, STATES, STEPS
from phusong.indicators import Indicator
from phusong.periods import VIETNAM
from phusong.register import Unit
from phusong.rows import CommuneRow
from phusong.rules import Rules
from phusong.settings import Settings, SettingsError


def explain(
    settings: Settings, rules: Rules, unit: Unit, indicator: Indicator, as_of: datetime, tell: Tell, *, then: bool = False
) -> Explanation:
    """Read what was said of the commune, and explain. `then`: leave out what was observed after `as_of`.

    Raises SettingsError for a list of communes that is not in force yet, ReadingError when Kafka cannot be read.
    """
    start = rules.register.vintages[unit.vintage].start
    if as_of < start:
        raise SettingsError(f"the list {unit.vintage} comes into force on {start:%Y-%m-%d}: ask for a later day, or for another --vintage")
    heard = hear(settings.kafka(), rules, unit, topics_of(rules, indicator), tell)
    return explain_heard(rules, unit, indicator, heard, as_of, settings.as_of, then=then)


def describe(found: Explanation, lang: Lang) -> Iterator[str]:
    """The explanation for people."""
    row = found.row
    at = f"{found.as_of.astimezone(VIETNAM):{say(lang, '%d/%m/%Y %H:%M', '%Y-%m-%d %H:%M')}}"
    where = f", {row.district}" if row.district else ""
    yield f"{row.name} ({row.commune}){where} · {row.indicator} · {say(lang, 'danh mục', 'list')} {row.vintage} · {at}"
    yield f"  {_pick(found.definition, lang)}"
    yield from _describe_row(found, lang)
    yield say(lang, "Từng nhà cung cấp:", "Operator by operator:")
    for one in found.operators:
        figures = f"{_number(one.covered, lang)} / {_number(one.expected, lang)}"
        yield f"  {one.operator}: {figures}, {_state(one.state, lang)}: {_pick(one.rule, lang)}"
    yield from _listed(say(lang, "Gộp lại:", "Together:"), [_pick(text, lang) for text in found.union])
    yield from _listed(say(lang, "Dấu hiệu:", "Marks:"), [_pick(text, lang) for text in found.marks])
    standing = [line for one in found.statements for line in _describe_said(one, row, lang)]
    yield from _listed(say(lang, "Các báo cáo đang đứng (→ quyết định):", "Statements that stand (→ decides):"), standing)
    if found.lost:
        lost = number(len(found.lost), lang)
        yield say(lang, f"  và {lost} báo cáo đã bị thay hoặc trùng (--json)", f"  and {lost} replaced or repeated ones (--json)")
    if found.left_out:
        left = number(found.left_out, lang)
        yield say(
            lang, f"  bỏ qua {left} báo cáo quan sát sau thời điểm này", f"  {left} statements observed after this moment are left out"
        )
    followed = [*_promised(found, lang), *_challenged(found, lang)]
    yield from _listed(say(lang, "Cam kết và kiến nghị đang theo dõi:", "Promises and challenges:"), followed)
    yield from _listed(say(lang, "Điều gì sẽ làm thay đổi:", "What would change it:"), [_pick(text, lang) for text in found.changes])


def _promised(found: Explanation, lang: Lang) -> Iterator[str]:
    for one in found.promises:
        where = f"{one.operator}: {one.name or say(lang, 'cả xã', 'the whole commune')}"
        if one.by is None:
            yield f"{where}: {say(lang, 'đã rút cam kết', 'promise taken back')}"
            continue
        by, first = day(one.by, lang), one.first.data.by
        moved = "" if first in (None, one.by) else say(lang, f" (lần đầu hứa {day(first, lang)})", f" (first {day(first, lang)})")
        late = say(lang, ", đã quá hạn", ", overdue") if one.by <= found.as_of else ""
        yield f"{where}: {say(lang, f'hứa phủ trước {by}', f'promised by {by}')}{moved}{late}"


def _challenged(found: Explanation, lang: Lang) -> Iterator[str]:
    for one in found.challenges:
        step, since = say(lang, STEPS[one.step], one.step.value), day(one.steps[-1].data.observed_at, lang)
        due = "" if one.deadline is None else say(lang, f", hạn {day(one.deadline, lang)}", f", due {day(one.deadline, lang)}")
        late = say(lang, ", quá hạn", ", overdue") if one.overdue(found.as_of) else ""
        yield f"{one.operator}: {one.name}: {step} {since}{due}{late}"


def _describe_row(found: Explanation, lang: Lang) -> Iterator[str]:
    row = found.row
    ratio, low, high = (percent(share, lang) for share in (row.ratio, row.low, row.high))
    weight = say(lang, "chưa biết", "unknown") if row.weight is None else number(row.weight, lang)
    figures = f"{_number(row.covered, lang)} / {_number(row.expected, lang)} = {ratio}"
    state = _state(row.state, lang)
    yield "  " + say(
        lang,
        f"{figures}, khoảng {low} – {high}; {state}; trọng số {weight}",
        f"{figures}, between {low} and {high}; {state}; weight {weight}",
    )
    if row.uncovered:
        yield "  " + say(lang, "chưa phủ: ", "uncovered: ") + ", ".join(row.uncovered)
    for reporter, due in row.reporters.items():
        when = day(due, lang)
        if due <= found.as_of:
            yield "  " + say(lang, f"{reporter}: quá hạn báo cáo từ {when}", f"{reporter}: report overdue since {when}")
        else:
            yield "  " + say(lang, f"{reporter}: hạn báo cáo tiếp theo {when}", f"{reporter}: next report due {when}")
    if found.next_due is not None:
        when = day(found.next_due, lang)
        yield "  " + say(lang, f"riêng thời gian sẽ đổi dòng này vào {when}", f"time alone changes this row on {when}")


def _describe_said(one: Said, row: CommuneRow, lang: Lang) -> Iterator[str]:
    method = say(lang, METHODS[one.method], one.method.value)
    origin = say(lang, ORIGINS[one.origin], one.origin.value)
    counts = f"{_number(one.covered, lang)} / {_number(one.expected, lang)}"
    figures = say(lang, "rút lại", "withdrawn") if one.withdraws else counts
    names = f" ({', '.join(one.uncovered)})" if one.uncovered else ""
    about = "" if one.operator == one.reporter else say(lang, f" về {one.operator}", f" about {one.operator}")
    elsewhere = "" if (one.vintage, one.commune) == (row.vintage, row.commune) else f" [{one.commune}, {one.vintage}]"
    times = say(
        lang,
        f"quan sát {_time(one.observed_at, lang)}, báo {_time(one.said_at, lang)}, đến {_time(one.arrived_at, lang)}",
        f"observed {_time(one.observed_at, lang)}, said {_time(one.said_at, lang)}, arrived {_time(one.arrived_at, lang)}",
    )
    yield f"{'→' if one.decides else ' '} {one.reporter}{about}{elsewhere}: {method} {figures}{names}, {origin}; {times}"
    yield f"    {_pick(one.why, lang)} · {one.id} · {one.topic}[{one.partition}]@{one.offset}"


def _listed(heading: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield heading
        for line in lines:
            yield f"  {line}"


def _pick(text: Text, lang: Lang) -> str:
    return say(lang, text.vi, text.en)


def _state(state: str, lang: Lang) -> str:
    return say(lang, STATES[state], state)


def _number(value: float | None, lang: Lang) -> str:
    return "–" if value is None else number(value, lang)


def _time(moment: datetime, lang: Lang) -> str:
    return f"{moment.astimezone(VIETNAM):{say(lang, '%d/%m/%Y %H:%M', '%Y-%m-%d %H:%M')}}"
