"""`phusong explain`: why a commune counts as it does, with every statement behind it.

Comes in: the partitions of the source topics that its home province's events travel in, the rules, and a moment. Goes out: `Explanation`,
and its lines in Vietnamese or English. Owns what it has read about this commune, in memory. Records that are rejected do not come up here:
they are in the dead letters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from confluent_kafka import Message
from msgspec import Struct

from ops import why
from ops.asked import lineage
from ops.reading import Reading, Tell, admitted
from ops.table import METHODS, ORIGINS, STATES, STEPS
from ops.text import Lang, day, number, percent, say
from ops.why import Text
from phusong.admission import Admission, Route
from phusong.communes import commune
from phusong.events import Challenged, Fact, Method, Origin, Promised, Stated
from phusong.evidence import Cell, Emptied, Outcome, Slots, fold
from phusong.follow_ups import Case, FollowUps, Undertaking, cases, follow, undertakings
from phusong.indicators import Indicator, Obligation
from phusong.periods import VIETNAM
from phusong.register import Unit
from phusong.rows import CommuneRow
from phusong.rules import Rules
from phusong.settings import Settings, SettingsError
from phusong.topics import SOURCES, share_of
from phusong.unions import unite
from phusong.views import Line, View, view

_DOMAIN_OF = {topic.name: domain for domain, topic in SOURCES.items()}


class Said(Struct, frozen=True, kw_only=True):
    """A statement or withdrawal as it came, where it lies in the log, and what it does."""

    id: str
    withdraws: bool
    reporter: str
    operator: str
    method: Method
    origin: Origin
    vintage: str
    commune: str
    observed_at: datetime
    said_at: datetime
    arrived_at: datetime
    covered: int | None
    expected: int | None
    uncovered: tuple[str, ...] | None
    measured: tuple[str, ...] | None
    until: datetime | None
    topic: str
    partition: int
    offset: int
    decides: bool
    why: Text


class Operator(Struct, frozen=True, kw_only=True):
    """The view of one obliged operator."""

    operator: str
    reporters: tuple[str, ...]
    state: str
    covered: float | None
    most: float | None
    expected: int | None
    fresh_until: datetime | None
    rule: Text


class Explanation(Struct, frozen=True, kw_only=True):
    """Why the row is as it is. `statements` stand, those that decide first; `lost`: superseded and repeated ones."""

    as_of: datetime
    rules: int
    kind: str
    row: CommuneRow
    definition: Text
    operators: list[Operator]
    union: list[Text]
    marks: list[Text]
    changes: list[Text]
    next_due: datetime | None
    """When time alone changes the row next."""
    statements: list[Said]
    lost: list[Said]
    promises: list[Undertaking]
    challenges: list[Case]
    left_out: int
    """Events observed after `as_of`, where that was asked for."""


def explain(
    settings: Settings, rules: Rules, unit: Unit, indicator: Indicator, as_of: datetime, tell: Tell, *, then: bool = False
) -> Explanation:
    """Read what was said of the commune, and explain. `then`: leave out what was observed after `as_of`.

    Raises SettingsError for a list of communes that is not in force yet, ReadingError when Kafka cannot be read.
    """
    start = rules.register.vintages[unit.vintage].start
    if as_of < start:
        raise SettingsError(f"the list {unit.vintage} comes into force on {start:%Y-%m-%d}: ask for a later day, or for another --vintage")
    bound = rules.catalogue.indicators[indicator.at_most] if indicator.at_most else None
    topics = {SOURCES[one.domain].name for one in (indicator, bound) if one is not None}
    heard = _Heard(settings, rules, unit, as_of if then else None)
    with Reading(settings.bootstrap_servers, sorted(topics), [share_of(rules.register.home(unit).encode())]) as sources:
        sources.read(heard.take, tell)
    return _explained(rules, unit, indicator, bound, heard, as_of)


class _Came(NamedTuple):
    """An admitted statement or withdrawal, where it lies and when Kafka took it."""

    event: Fact
    route: Route
    topic: str
    partition: int
    offset: int
    timestamp_ms: int


class _Heard:
    """Everything that was said of a commune and of those that it was made of."""

    def __init__(self, settings: Settings, rules: Rules, unit: Unit, until: datetime | None) -> None:
        self.units = list(lineage(rules.register, unit))
        self.cells: dict[Cell, Slots] = {}
        self.follow_ups: FollowUps = {}
        self.came: list[tuple[_Came, Outcome]] = []
        self.left_out = 0
        self._settings = settings
        self._admission = Admission(rules)
        self._until = until
        self._ids = {one.id for one in self.units}
        # a record that holds none of the codes, not even escaped, is about another commune: most need no decoding
        self._codes = [*{one.code.encode() for one in self.units}, b"\\"]

    def take(self, topic: str, partition: int, run: list[Message]) -> None:
        for message in run:
            value = message.value() or b""
            if not any(code in value for code in self._codes):
                continue
            found = admitted(self._admission, message, _DOMAIN_OF[topic])
            if found is None or found[1].cell[:2] not in self._ids:
                continue
            event, route = found
            if self._until is not None and event.data.observed_at > self._until:
                self.left_out += 1
                continue
            if isinstance(event, Promised | Challenged):
                follow(self.follow_ups.setdefault(route.cell, {}), route.slot, event)
                continue
            outcome = fold(self.cells.setdefault(route.cell, {}), route.slot, event)
            self.came.append((_Came(event, route, topic, partition, message.offset(), message.timestamp()[1]), outcome))

    def arrived_at(self, one: _Came) -> datetime:
        """When Kafka took it, by the clock that the system goes by."""
        return self._settings.as_of(datetime.fromtimestamp(one.timestamp_ms / 1000, UTC))


def _explained(rules: Rules, unit: Unit, indicator: Indicator, bound: Indicator | None, heard: _Heard, as_of: datetime) -> Explanation:
    above = None if bound is None else commune(rules, unit, bound, heard.cells, None, as_of)
    assessed = commune(rules, unit, indicator, heard.cells, above, as_of, heard.follow_ups)
    vintage = rules.register.vintages[unit.vintage]
    # once its list has left force a commune stays as it was in the last moment
    at = as_of if vintage.end is None or as_of < vintage.end else vintage.end - timedelta(microseconds=1)
    line = Line(heard.cells, rules.register, unit, indicator)
    obliged = rules.catalogue.obliged(indicator.id, unit.province, unit.code)
    binding: dict[str, list[Obligation]] = {}
    for obligation in obliged:
        if obligation.holds(at):
            binding.setdefault(obligation.operator, []).append(obligation)
    views = {operator: view(line, operator, some, at) for operator, some in binding.items()}
    value = unite(indicator.union, list(views.values()), line.size, line.places.values(), at)
    union = list(why.of_union(indicator, views, value, at))
    if above is not None and above.weight != 0:
        union.append(why.of_bound(indicator, float(above.high), exceeds=value.ratio > above.high))
    changes = [text for operator, seen in views.items() for text in why.changes(line, operator, seen, at)]
    changes += why.turning(obliged, at)
    if vintage.end is not None:
        changes.append(_end_of_list(vintage.end, as_of))
    mine = [(one, outcome) for one, outcome in heard.came if one.route.cell[2] == indicator.id]
    decisive = {id(event) for part in value.parts for event in part.statements}
    stands, lost = _sort(heard, line, views, mine, decisive, at)
    return Explanation(
        as_of=as_of,
        rules=rules.number,
        kind=unit.kind,
        row=assessed.row,
        definition=Text(indicator.definition_vi, indicator.definition_en),
        operators=[_operator(line, operator, seen, binding[operator], at) for operator, seen in views.items()],
        union=union,
        marks=why.of_marks(assessed.row.marks),
        changes=changes,
        next_due=assessed.due,
        statements=stands,
        promises=undertakings(rules.register, unit, indicator.id, heard.follow_ups),
        challenges=cases(rules.register, unit, indicator.id, heard.follow_ups),
        lost=lost,
        left_out=heard.left_out,
    )


def _end_of_list(end: datetime, as_of: datetime) -> Text:
    vi, en = day(end, "vi"), day(end, "en")
    if as_of < end:
        return Text(f"danh mục xã này hết hiệu lực ngày {vi}", f"this list of communes leaves force on {en}")
    return Text(
        f"danh mục xã này hết hiệu lực từ {vi}: chỉ báo cáo muộn về thời gian trước đó còn làm thay đổi",
        f"this list of communes left force on {en}: only late statements about the time before change it",
    )


def _operator(line: Line, operator: str, seen: View, binding: Sequence[Obligation], as_of: datetime) -> Operator:
    state = "unknown" if not seen.known else "fresh" if seen.fresh(as_of) else "stale"
    return Operator(
        operator=operator,
        reporters=tuple(one.reporter for one in binding),
        state=state,
        covered=float(seen.covered) if seen.known else None,
        most=float(seen.most) if seen.known else None,
        expected=seen.expected if seen.known or seen.sized else None,
        fresh_until=seen.fresh_until,
        rule=why.of_view(line, operator, seen),
    )


def _sort(
    heard: _Heard, line: Line, views: dict[str, View], came: Iterable[tuple[_Came, Outcome]], decisive: set[int], as_of: datetime
) -> tuple[list[Said], list[Said]]:
    """What stands, and what lost, with what it does or what became of it; `decisive`: id() of the events behind the value."""
    whys: dict[int, Text] = {}
    holders: dict[int, Fact] = {}
    operators = {slot[0] for unit in heard.units for slot in heard.cells.get((*unit.id, line.indicator.id), {})}
    for operator in operators:
        whys |= why.of_statements(line, operator, views.get(operator), as_of)
    for unit in heard.units:
        for held in heard.cells.get((*unit.id, line.indicator.id), {}).values():
            for event in (held.by, held.last) if isinstance(held, Emptied) else (held,):
                if event is not None:
                    holders[id(event)] = event
    stands: list[Said] = []
    lost: list[Said] = []
    for one, outcome in came:
        if id(one.event) in holders:
            fallback = _STANDS if isinstance(one.event, Stated) else _WITHDRAWS
            does = whys.get(id(one.event), fallback)
            stands.append(_said(heard, one, does, decides=id(one.event) in decisive))
        else:
            lost.append(_said(heard, one, _LOST[outcome], decides=False))
    return sorted(stands, key=lambda said: (not said.decides, said.operator, said.observed_at)), lost


_WITHDRAWS = Text("rút báo cáo: chỗ này trống", "withdraws: the slot is empty")
_STANDS = Text("không đổi số liệu", "moves nothing")
_LOST = {
    Outcome.ADMITTED: Text("đã bị thay bằng báo cáo mới hơn của cùng người báo cáo", "replaced by a greater one of the same slot"),
    Outcome.DUPLICATE: Text("trùng: chỉ tính một lần", "a duplicate: counts once"),
    Outcome.SUPERSEDED: Text("đến khi đã có báo cáo mới hơn của cùng người báo cáo", "a greater one of the same slot was there before it"),
}


def _said(heard: _Heard, one: _Came, does: Text, *, decides: bool) -> Said:
    event = one.event
    data = event.data
    stated = event.data if isinstance(event, Stated) else None
    return Said(
        id=event.id,
        withdraws=stated is None,
        reporter=event.source,
        operator=one.route.slot[0],
        method=data.method,
        origin=data.origin,
        vintage=one.route.cell[0],
        commune=one.route.cell[1],
        observed_at=data.observed_at,
        said_at=event.time,
        arrived_at=heard.arrived_at(one),
        covered=None if stated is None else stated.covered,
        expected=None if stated is None else stated.expected,
        uncovered=None if stated is None else stated.uncovered,
        measured=data.measured,
        until=data.until,
        topic=one.topic,
        partition=one.partition,
        offset=one.offset,
        decides=decides,
        why=does,
    )


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
