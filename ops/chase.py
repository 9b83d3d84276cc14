"""`phusong chase`: what an operator leaves uncovered, since when, promised for when, and who asked: the list that the department sends.

Comes in: the partitions of the source topics that the provinces' events travel in, the rules, an operator and a moment. Goes out: `Chase`.
Owns what it has read, in memory: the evidence of the communes, and of this operator every statement, since how long a gap has stood is
not in the evidence. Records that are rejected do not come up here. A gap is what the operator's own view says (phusong/views.py).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby

from confluent_kafka import Message
from msgspec import Struct

from feed.evidence import lineage
from feed.reading import Reading, Tell, admitted
from phusong.admission import Admission, Route
from phusong.communes import number, worst
from phusong.events import Challenged, Event, Fact, Method, Origin, Promised, Stated, Step
from phusong.evidence import Cell, Outcome, Slot, Slots, fold, order
from phusong.follow_ups import Case, FollowUps, Undertaking, cases, follow, undertakings
from phusong.indicators import Indicator, Obligation
from phusong.periods import VIETNAM
from phusong.register import Unit, Vintage
from phusong.rules import Rules
from phusong.settings import Kafka, SettingsError
from phusong.topics import SOURCES, share_of
from phusong.views import Line, View, view

_DOMAIN_OF = {topic.name: domain for domain, topic in SOURCES.items()}
_NEAR = 5


class Asked(Struct, frozen=True, kw_only=True):
    """A petition or a measurement that names the place."""

    source: str
    method: Method
    observed_at: datetime


class Dispute(Struct, frozen=True, kw_only=True):
    """A challenge about the place: where it stands since when, when the next step is due, whether that has passed."""

    name: str
    step: Step
    since: datetime
    deadline: datetime | None
    overdue: bool


class Gap(Struct, frozen=True, kw_only=True):
    """One place that the operator leaves uncovered, or (`village` "") what of a commune's gap is not named.

    `covered` of `expected`: the commune in the operator's view; `unnamed`: how many places of the gap have no name. `since`: when the first
    statement was observed after which none said that it is covered. `promised_first`, `promised`: by when, as first said and as it stands
    (None: nothing promised, or taken back); `days_overdue`: whole days past `promised`. `covered_by`: operators that do cover it. `origin`:
    the worst of all the events behind the row.
    """

    indicator: str
    province: str
    commune: str
    name: str
    district: str
    village: str
    covered: float
    expected: int
    unnamed: int
    since: datetime | None
    promised_first: datetime | None
    promised: datetime | None
    days_overdue: int | None
    asked: tuple[Asked, ...]
    disputes: tuple[Dispute, ...]
    covered_by: tuple[str, ...]
    origin: Origin | None


class Chase(Struct, frozen=True, kw_only=True):
    """The gaps of an operator by indicator and commune; `silent`: of how many communes and indicators it owes a first statement."""

    operator: str
    as_of: datetime
    vintage: str
    rules: int
    gaps: list[Gap]
    silent: int

    @property
    def origin(self) -> Origin | None:
        """The worst origin behind the list."""
        return worst(gap.origin for gap in self.gaps if gap.origin is not None)


def operator(rules: Rules, name: str) -> str:
    """The operator of that id. Raises SettingsError with the nearest that are obliged to cover something."""
    known = sorted({one.operator for one in rules.catalogue.obligations})
    if name in known:
        return name
    near = difflib.get_close_matches(name, known, n=_NEAR) or known
    raise SettingsError(f"no obligation binds an operator {name!r}; one of: {', '.join(near)}")


def provinces(rules: Rules, vintage: Vintage, code: str | None) -> list[Unit]:
    """The communes of that province in that list, or all. Raises SettingsError."""
    units = [unit for unit in rules.register.units.values() if unit.vintage == vintage.id and code in (None, unit.province)]
    if not units:
        known = sorted({unit.province for unit in rules.register.units.values() if unit.vintage == vintage.id})
        raise SettingsError(f"--province: {code!r} has no commune in the list {vintage.id}; one of: {', '.join(known)}")
    return units


def chase(kafka: Kafka, rules: Rules, operator: str, units: Sequence[Unit], as_of: datetime, tell: Tell, *, then: bool = False) -> Chase:
    """Read what was said of these communes, and list the operator's gaps. `then`: leave out what was observed after `as_of`.

    `units`: of the list of communes in force at `as_of`, at least one. Raises ReadingError when Kafka cannot be read.
    """
    heard = Heard(rules, operator, units, as_of, then=then)
    topics = sorted({SOURCES[one.domain].name for one in heard.indicators})
    if topics:
        with Reading(kafka, topics, {share_of(rules.register.home(unit).encode()) for unit in units}) as sources:
            sources.read(heard.take, tell)
    return heard.chase()


class Heard:
    """Everything that was said of the communes, and of those that they were made of, about what the operator is obliged to cover."""

    def __init__(self, rules: Rules, operator: str, units: Sequence[Unit], as_of: datetime, *, then: bool = False) -> None:
        held = {one.indicator for one in rules.catalogue.obligations if one.operator == operator and one.holds(as_of)}
        self.indicators = [one for one in rules.catalogue.indicators.values() if one.id in held]
        self.cells: dict[Cell, Slots] = {}
        self.follow_ups: FollowUps = {}
        self.told: dict[Cell, list[tuple[Slot, Fact]]] = {}
        """What was told of the operator, what lost since then too; no petitions."""
        self._rules = rules
        self._admission = Admission(rules)
        self._operator = operator
        self._units = units
        self._as_of = as_of
        self._then = then
        self._ids = {one.id for unit in units for one in lineage(rules.register, unit)}

    def take(self, topic: str, _partition: int, run: list[Message]) -> None:
        for message in run:
            found = admitted(self._admission, message, _DOMAIN_OF[topic])
            if found is not None:
                self.add(*found)

    def add(self, event: Event, route: Route) -> None:
        """An admitted event; what is about other communes is left out."""
        if route.cell[:2] not in self._ids or (self._then and event.data.observed_at > self._as_of):
            return
        if isinstance(event, Promised | Challenged):
            follow(self.follow_ups.setdefault(route.cell, {}), route.slot, event)
            return
        outcome = fold(self.cells.setdefault(route.cell, {}), route.slot, event)
        if route.slot[0] == self._operator and event.data.method is not Method.PETITIONED and outcome is not Outcome.DUPLICATE:
            self.told.setdefault(route.cell, []).append((route.slot, event))

    def chase(self) -> Chase:
        """The gaps, from what was added."""
        gaps: list[Gap] = []
        silent = 0
        for indicator in self.indicators:
            for unit in sorted(self._units, key=lambda unit: (unit.province, unit.district, unit.code)):
                one = _Commune(self._rules, self, unit, indicator, self._operator, self._as_of)
                silent += one.silent
                gaps += one.gaps()
        return Chase(
            operator=self._operator, as_of=self._as_of, vintage=self._units[0].vintage, rules=self._rules.number, gaps=gaps, silent=silent
        )


class _Commune:
    """One commune under one indicator, in the operator's view and beside those of the others."""

    def __init__(self, rules: Rules, heard: Heard, unit: Unit, indicator: Indicator, operator: str, as_of: datetime) -> None:
        self._rules, self._heard, self._unit, self._indicator = rules, heard, unit, indicator
        self._operator, self._as_of = operator, as_of
        self._line = Line(heard.cells, rules.register, unit, indicator)
        self._binding: dict[str, list[Obligation]] = {}
        for one in rules.catalogue.obliged(indicator.id, unit.province, unit.code):
            if one.holds(as_of):
                self._binding.setdefault(one.operator, []).append(one)
        self._mine = self._seen(operator) if operator in self._binding else None
        self.silent = self._mine is not None and not self._mine.known

    def gaps(self) -> Iterator[Gap]:
        """Each named place of the gap, then what has no name."""
        mine = self._mine
        if mine is None or not mine.known or mine.covered >= mine.expected:
            return
        missing = int(mine.expected - mine.covered)
        # people and households are not places: what is missing of them is one gap, however large
        unnamed = missing - len(mine.gap) if self._indicator.counts_places else 0
        rest = unnamed > 0 if self._indicator.counts_places else not mine.gap
        keys = [*sorted(mine.gap, key=mine.gap.__getitem__), *([""] if rest else [])]
        since = self._since(keys)
        others = {one: self._seen(one) for one in self._binding if one != self._operator}
        promised = [
            one
            for one in undertakings(self._rules.register, self._unit, self._indicator.id, self._heard.follow_ups)
            if one.operator == self._operator
        ]
        challenged = [
            one
            for one in cases(self._rules.register, self._unit, self._indicator.id, self._heard.follow_ups)
            if one.operator == self._operator
        ]
        for key in keys:
            name = mine.gap.get(key, "")
            about = {key, self._line.key(name)} if key else {""}
            undertaking = self._promised(promised, about)
            first, stands = (None, None) if undertaking is None else (undertaking.first.data.by, undertaking.by)
            events = self._asking(about)
            told = [one for one in challenged if self._is_about(one, about)]
            covering = sorted(one for one, seen in others.items() if _covers(seen, key))
            behind: list[Event] = [*mine.statements, *events, *(event for one in covering for event in others[one].statements)]
            behind += [*([undertaking.first, undertaking.last] if undertaking else []), *(step for one in told for step in one.steps)]
            yield Gap(
                indicator=self._indicator.id,
                province=self._unit.province,
                commune=self._unit.code,
                name=self._unit.name,
                district=self._unit.district,
                village=name,
                covered=number(mine.covered),
                expected=mine.expected,
                unnamed=0 if key else unnamed,
                since=since.get(key),
                promised_first=first,
                promised=stands,
                days_overdue=self._days_since(stands),
                asked=tuple(
                    dict.fromkeys(Asked(source=one.source, method=one.data.method, observed_at=one.data.observed_at) for one in events)
                ),
                disputes=tuple(self._dispute(one) for one in sorted(told, key=lambda one: (not one.open, one.name))),
                covered_by=tuple(covering),
                origin=worst(event.data.origin for event in behind),
            )

    def _seen(self, operator: str) -> View:
        return view(self._line, operator, self._binding[operator], self._as_of)

    def _since(self, keys: Sequence[str]) -> dict[str, datetime]:
        """Since when each has been uncovered: the view after each moment that something was observed at, in the order of those moments.

        Only a view in which a place is covered ends its gap: to take a statement back does not.
        """
        cells = [(*one.id, self._indicator.id) for one in lineage(self._rules.register, self._unit)]
        told = [(cell, slot, event) for cell in cells for slot, event in self._heard.told.get(cell, ())]
        told.sort(key=lambda one: order(one[2]))
        held: dict[Cell, Slots] = {}
        since: dict[str, datetime] = {}
        for observed_at, some in groupby(told, key=lambda one: one[2].data.observed_at):
            for cell, slot, event in some:
                fold(held.setdefault(cell, {}), slot, event)
            line = Line(held, self._rules.register, self._unit, self._indicator)
            seen = view(line, self._operator, self._binding[self._operator], self._as_of)
            for key in keys:
                if _covers(seen, key):
                    since.pop(key, None)
                elif seen.known and (key in seen.gap or (not key and seen.covered < seen.expected)):
                    since.setdefault(key, observed_at)
        return since

    def _promised(self, promised: Iterable[Undertaking], about: set[str]) -> Undertaking | None:
        """What stands: the promise for the place itself, else that for the whole commune, else one that was taken back."""
        found = [one for one in promised if one.place in about or not one.place]
        return min(found, key=lambda one: (one.by is None, not one.place), default=None)

    def _days_since(self, promised: datetime | None) -> int | None:
        if promised is None or promised > self._as_of:
            return None
        return (self._as_of.astimezone(VIETNAM).date() - promised.astimezone(VIETNAM).date()).days

    def _asking(self, about: set[str]) -> list[Stated]:
        """Petitions and measurements that stand and name it, earliest first; where it has no name, those that find anything missing."""
        found = []
        for event in self._field(self._line):
            data = event.data
            over = data.until is not None and data.until <= self._as_of
            named = {self._line.key(name) for name in data.uncovered or ()}
            if not over and (named & about or (data.covered < data.expected and ("" in about or not named))):
                found.append(event)
        return sorted(found, key=order)

    def _field(self, line: Line) -> Iterator[Stated]:
        said = line.said.get(self._operator)
        if said is not None:
            yield from (*said.petitions, *said.measured, *(event for _, event in said.partial))
        for before, _ in line.before:
            yield from self._field(before)

    def _is_about(self, one: Case, about: set[str]) -> bool:
        """Whether a challenge names it, or no place at all."""
        named = {self._line.key(name) for step in one.steps for name in step.data.places or ()}
        return not named or "" in about or bool(named & about)

    def _dispute(self, one: Case) -> Dispute:
        since = one.steps[-1].data.observed_at
        return Dispute(name=one.name, step=one.step, since=since, deadline=one.deadline, overdue=one.overdue(self._as_of))


def _covers(seen: View, key: str) -> bool:
    """Whether a view says that the place ("": all) is covered: nothing is missing, or all that is missing is named, and it is not."""
    if not seen.known or not seen.expected:
        return False
    return seen.covered >= seen.expected or (bool(key) and seen.named and key not in seen.gap)
