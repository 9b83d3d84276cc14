"""What was said of a commune, as it lies in the log, and why the commune counts as it does.

Comes in: the partition of the source topics that its home province's events travel in, the rules, and a moment. Goes out: `Heard`, what was
said; from it `Explanation`, for any moment. Owns no state. Records that are rejected do not come up here: they are in the dead letters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from confluent_kafka import Message
from msgspec import Struct

from feed import why
from feed.reading import Reading, ReadingError, Tell, admitted
from feed.text import day
from feed.why import Text
from phusong.admission import Admission, Route
from phusong.communes import commune
from phusong.events import Challenged, Event, Fact, Method, Origin, Promised, Stated
from phusong.evidence import Cell, Emptied, Outcome, Slots, fold
from phusong.follow_ups import Case, FollowUps, Undertaking, cases, follow, undertakings
from phusong.indicators import Indicator, Obligation
from phusong.register import Register, Unit
from phusong.rows import CommuneRow
from phusong.rules import Rules
from phusong.settings import Kafka
from phusong.topics import SOURCES, share_of
from phusong.unions import unite
from phusong.views import Line, View, view

_AHEAD_KIB = 4_096  # a feed reads several at a time; more makes one partition no quicker
_DOMAIN_OF = {topic.name: domain for domain, topic in SOURCES.items()}


class TooMuchError(ReadingError):
    """More was said of a commune than the reader wants to hold."""


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


class Came(NamedTuple):
    """An admitted event, where it lies and when Kafka took it."""

    event: Event
    route: Route
    topic: str
    partition: int
    offset: int
    timestamp_ms: int


class Heard(Struct, frozen=True):
    """Everything that was said of a commune and of those that it was made of, in the order of each topic; `size_bytes`: of the records."""

    units: tuple[Unit, ...]
    came: tuple[Came, ...]
    size_bytes: int


def lineage(register: Register, one: Unit) -> Iterator[Unit]:
    """A commune, and all that it was made of."""
    yield one
    for before in register.predecessors.get(one.id, ()):
        yield from lineage(register, before.unit)


def topics_of(rules: Rules, indicator: Indicator) -> tuple[str, ...]:
    """Where statements about an indicator lie, and about the one that it cannot exceed."""
    bound = _bound(rules, indicator)
    return tuple(sorted({SOURCES[one.domain].name for one in (indicator, bound) if one is not None}))


def hear(kafka: Kafka, rules: Rules, unit: Unit, topics: Sequence[str], tell: Tell, *, bytes_max: float = float("inf")) -> Heard:
    """Read what these topics hold about a commune. Raises ReadingError, also what `tell` raises; TooMuchError beyond `bytes_max`."""
    units = tuple(lineage(rules.register, unit))
    ids = {one.id for one in units}
    # a record that holds none of the codes, not even escaped, is about another commune: most need no decoding
    codes = [*{one.code.encode() for one in units}, b"\\"]
    admission = Admission(rules)
    came: list[Came] = []
    size_bytes = 0

    def take(topic: str, partition: int, run: list[Message]) -> None:
        nonlocal size_bytes
        for message in run:
            value = message.value() or b""
            if not any(code in value for code in codes):
                continue
            found = admitted(admission, message, _DOMAIN_OF[topic])
            if found is None or found[1].cell[:2] not in ids:
                continue
            size_bytes += len(value)
            if size_bytes > bytes_max:
                raise TooMuchError(
                    f"more than {bytes_max:,.0f} bytes were said of {unit.code}; ask `phusong explain`, which has no such limit"
                )
            came.append(Came(*found, topic, partition, message.offset(), message.timestamp()[1]))

    with Reading(kafka, topics, [share_of(rules.register.home(unit).encode())], ahead_kib=_AHEAD_KIB) as sources:
        sources.read(take, tell)
    return Heard(units, tuple(came), size_bytes)


class _Folded:
    """What was heard, folded; `until`: without what was observed after it."""

    def __init__(self, heard: Heard, until: datetime | None) -> None:
        self.units = heard.units
        self.cells: dict[Cell, Slots] = {}
        self.follow_ups: FollowUps = {}
        self.came: list[tuple[Came, Fact, Outcome]] = []
        self.left_out = 0
        for one in heard.came:
            event, route = one.event, one.route
            if until is not None and event.data.observed_at > until:
                self.left_out += 1
            elif isinstance(event, Promised | Challenged):
                follow(self.follow_ups.setdefault(route.cell, {}), route.slot, event)
            else:
                self.came.append((one, event, fold(self.cells.setdefault(route.cell, {}), route.slot, event)))


def explain(
    rules: Rules, unit: Unit, indicator: Indicator, heard: Heard, as_of: datetime, clock: Callable[[datetime], datetime], *, then: bool
) -> Explanation:
    """Explain what was heard: the topics must be those of `topics_of`, and the list of communes in force, or have been so, at `as_of`.

    `then`: leave out what was observed after `as_of`; `clock`: wall time -> the time that the system goes by.
    """
    bound = _bound(rules, indicator)
    folded = _Folded(heard, as_of if then else None)
    above = None if bound is None else commune(rules, unit, bound, folded.cells, None, as_of)
    assessed = commune(rules, unit, indicator, folded.cells, above, as_of, folded.follow_ups)
    vintage = rules.register.vintages[unit.vintage]
    # once its list has left force a commune stays as it was in the last moment
    at = as_of if vintage.end is None or as_of < vintage.end else vintage.end - timedelta(microseconds=1)
    line = Line(folded.cells, rules.register, unit, indicator)
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
    mine = [came for came in folded.came if came[0].route.cell[2] == indicator.id]
    decisive = {id(event) for part in value.parts for event in part.statements}
    stands, lost = _sort(folded, line, views, mine, decisive, at, clock)
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
        promises=undertakings(rules.register, unit, indicator.id, folded.follow_ups),
        challenges=cases(rules.register, unit, indicator.id, folded.follow_ups),
        lost=lost,
        left_out=folded.left_out,
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
    folded: _Folded,
    line: Line,
    views: dict[str, View],
    came: Iterable[tuple[Came, Fact, Outcome]],
    decisive: set[int],
    as_of: datetime,
    clock: Callable[[datetime], datetime],
) -> tuple[list[Said], list[Said]]:
    """What stands, and what lost, with what it does or what became of it; `decisive`: id() of the events behind the value."""
    whys: dict[int, Text] = {}
    holders: dict[int, Fact] = {}
    operators = {slot[0] for unit in folded.units for slot in folded.cells.get((*unit.id, line.indicator.id), {})}
    for operator in operators:
        whys |= why.of_statements(line, operator, views.get(operator), as_of)
    for unit in folded.units:
        for held in folded.cells.get((*unit.id, line.indicator.id), {}).values():
            for event in (held.by, held.last) if isinstance(held, Emptied) else (held,):
                if event is not None:
                    holders[id(event)] = event
    stands: list[Said] = []
    lost: list[Said] = []
    for one, event, outcome in came:
        if id(event) in holders:
            fallback = _STANDS if isinstance(event, Stated) else _WITHDRAWS
            does = whys.get(id(event), fallback)
            stands.append(_said(one, event, clock, does, decides=id(event) in decisive))
        else:
            lost.append(_said(one, event, clock, _LOST[outcome], decides=False))
    return sorted(stands, key=lambda said: (not said.decides, said.operator, said.observed_at)), lost


_WITHDRAWS = Text("rút báo cáo: chỗ này trống", "withdraws: the slot is empty")
_STANDS = Text("không đổi số liệu", "moves nothing")
_LOST = {
    Outcome.ADMITTED: Text("đã bị thay bằng báo cáo mới hơn của cùng người báo cáo", "replaced by a greater one of the same slot"),
    Outcome.DUPLICATE: Text("trùng: chỉ tính một lần", "a duplicate: counts once"),
    Outcome.SUPERSEDED: Text("đến khi đã có báo cáo mới hơn của cùng người báo cáo", "a greater one of the same slot was there before it"),
}


def _said(one: Came, event: Fact, clock: Callable[[datetime], datetime], does: Text, *, decides: bool) -> Said:
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
        arrived_at=clock(datetime.fromtimestamp(one.timestamp_ms / 1000, UTC)),
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


def _bound(rules: Rules, indicator: Indicator) -> Indicator | None:
    return rules.catalogue.indicators[indicator.at_most] if indicator.at_most else None
