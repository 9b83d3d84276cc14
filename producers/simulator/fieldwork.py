"""Who goes and looks: the measuring team, the office that writes down petitions, and what is done about what they find.

Comes in: the world as it is, and what operators last declared. Goes out: events of method measured and petitioned; the steps of challenges
where these contradict a declaration, and promises; of a promise that is kept, the change of the world. Owns the open challenges and the
villages that operators last declared dark. Bad input does not come here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

from phusong.events import Challenge, Challenged, Event, Method, Origin, Promise, Promised, Stated, Step
from phusong.indicators import Indicator
from phusong.register import Unit
from producers.simulator.chance import Chance
from producers.simulator.reporting import Reporting
from producers.simulator.scenario import Scenario
from producers.simulator.world import MAST, Change, Layer, Seen, World

MEASURED = (MAST, "broadcast.loudspeaker", "postal.staffed_point")
"""What the team looks at on a visit."""

_PLACES_MEASURED = 3

Later = Callable[[datetime, Callable[[datetime], Iterator[Event]]], None]
"""Have something done, and its events sent, at a moment."""


class Fieldwork:
    """One run's measurements, petitions, challenges and promises."""

    def __init__(
        self, world: World, chance: Chance, reporting: Reporting, scenario: Scenario, later: Later, change: Callable[[Change], None]
    ) -> None:
        self._world, self._reporting, self._scenario, self._change = world, reporting, scenario, change
        self.chance, self.rates, self.later = chance, scenario.follow_up, later
        self._indicators = [world.rules.catalogue.indicators[name] for name in MEASURED if name in world.rules.catalogue.indicators]
        self._declared: dict[tuple[int, str, str], tuple[datetime, frozenset[str] | None]] = {}
        self._open: set[tuple[str, str, str]] = set()

    def declared(self, event: Stated, unit: Unit) -> None:
        """Keep which villages an operator says are dark, to know what contradicts it; without names nothing does."""
        data = event.data
        if data.indicator != MAST or data.until is not None or data.method is not Method.DECLARED:
            return
        named = data.uncovered is not None and len(data.uncovered) == data.expected - data.covered
        for piece in self._world.pieces_of[unit.id]:
            key = (piece, data.indicator, data.operator or event.source)
            if key in self._declared and data.observed_at < self._declared[key][0]:
                continue  # what arrives out of order says less
            dark = frozenset(data.uncovered or ()).intersection(self._world.pieces[piece].villages) if named else None
            self._declared[key] = (data.observed_at, dark)

    def plan(self, units: Sequence[Unit], home: str, start: datetime, end: datetime) -> None:
        """The visits of a month in one home province."""
        team = self._scenario.team
        minutes = int((end - start).total_seconds()) // 60
        for number in range(team.visits):
            name = ("visit", home, start.date(), number)
            when, where, how, which = self.chance.lots(4, *name)
            unit = units[int(where * len(units))]
            at = start + timedelta(minutes=int(when * minutes))
            whole = how < team.whole
            self.later(at, lambda now, unit=unit, whole=whole, which=which: self.visit(unit, now, whole=whole, which=which))  # type: ignore[misc]

    def visit(self, unit: Unit, at: datetime, *, whole: bool, which: float) -> Iterator[Event]:
        """What the team finds in a commune is told some days later."""
        told = []
        for indicator in self._indicators:
            for operator in self._operators(indicator, unit, self._scenario.team.reporter):
                seen = self._world.seen(unit, indicator, operator)
                if seen.uncovered is None or whole:
                    told.append(self.measurement(unit, indicator, operator, seen, at))
                else:
                    told.append(self._partial(unit, indicator, operator, seen, at, which))
        days = self.chance.lot("told", unit.code, at)
        self.later(at + timedelta(minutes=24 * 60 + int(days * 4 * 24 * 60)), lambda now: self._tell(told, unit, now))
        return iter(())

    def measurement(self, unit: Unit, indicator: Indicator, operator: str, seen: Seen, at: datetime) -> Stated:
        """A whole commune, measured."""
        source = self._scenario.team.reporter
        data = self._reporting.statement(
            unit, indicator.id, seen, at, operator=operator if operator != source else None, method=Method.MEASURED
        )
        return self._reporting.event(f"{source}/{at:%Y-%m-%dT%H%M}/{operator}/{unit.code}/{indicator.id}", source, at, data)

    def petition(self, unit: Unit, name: tuple[object, ...], at: datetime) -> Iterator[Event]:
        """Somebody complains to the office that a village has no signal of an operator; where none is dark nobody does."""
        source = self._scenario.petitions.reporter
        indicator = self._world.rules.catalogue.indicators.get(MAST)
        operators = self._operators(indicator, unit, source) if indicator else []
        if indicator is None or not operators:
            return
        place, whose = self.chance.lots(2, "petition of", *name)
        operator = operators[int(whose * len(operators))]
        seen = self._world.seen(unit, indicator, operator)
        if not seen.uncovered:
            return
        village = seen.uncovered[int(place * len(seen.uncovered))]
        data = self._reporting.statement(
            unit,
            indicator.id,
            Seen(seen.expected - 1, seen.expected, (village,)),
            at,
            operator=operator if operator != source else None,
            method=Method.PETITIONED,
        )
        event = self._reporting.event(f"{source}/{at:%Y-%m-%dT%H%M}/{operator}/{unit.code}/petition", source, at, data)
        yield event
        self._contradict(event, unit, operator, (village,), at)

    def _operators(self, indicator: Indicator, unit: Unit, speaker: str) -> list[str]:
        home = self._world.pieces[self._world.pieces_of[unit.id][0]].home
        may = self._world.rules.catalogue.reporters[speaker].operators
        return [operator for operator in self._world.operators[indicator.id, home] if operator in may]

    def _partial(self, unit: Unit, indicator: Indicator, operator: str, seen: Seen, at: datetime, which: float) -> Stated:
        source = self._scenario.team.reporter
        villages = [village for piece in self._world.pieces_of[unit.id] for village in self._world.pieces[piece].villages]
        begin = int(which * len(villages))
        places = tuple(villages[begin : begin + _PLACES_MEASURED])
        dark = tuple(village for village in places if village in (seen.uncovered or ()))
        data = self._reporting.statement(
            unit,
            indicator.id,
            Seen(len(places) - len(dark), len(places), dark),
            at,
            operator=operator if operator != source else None,
            method=Method.MEASURED,
            measured=places,
        )
        return self._reporting.event(f"{source}/{at:%Y-%m-%dT%H%M}/{operator}/{unit.code}/{indicator.id}/part", source, at, data)

    def _tell(self, told: Sequence[Stated], unit: Unit, at: datetime) -> Iterator[Event]:
        for one in told:
            event = Stated(specversion="1.0", id=one.id, source=one.source, time=at, data=one.data)
            yield event
            if event.data.uncovered:
                self._contradict(event, unit, event.data.operator or event.source, event.data.uncovered, at)

    def _contradict(self, event: Stated, unit: Unit, operator: str, dark: Sequence[str], at: datetime) -> None:
        """Open a challenge where the operator declares a village covered that was found dark."""
        indicator = event.data.indicator
        office = self._scenario.petitions.reporter
        if operator == office or operator not in self._operators(self._world.rules.catalogue.indicators[indicator], unit, office):
            return
        places: list[str] = []
        piece = -1
        for number in self._world.pieces_of[unit.id]:
            _, declared = self._declared.get((number, indicator, operator), (at, None))
            here = self._world.pieces[number].villages
            wrongly = [] if declared is None else [one for one in dark if one in here and one not in declared]
            piece = number if wrongly and piece < 0 else piece
            places += wrongly
        name = f"{operator}/{unit.code}/{at:%Y-%m-%d}"
        case = (operator, self._world.pieces[piece].id, indicator)
        if not places or case in self._open or self.chance.lot("challenged", name) >= self.rates.challenged:
            return
        self._open.add(case)
        _Course(self, name, operator, indicator, piece, tuple(places), f"{event.source} {event.id}").begin(at)

    # what a challenge's course needs

    def step(self, course: _Course, step: Step, at: datetime, deadline: datetime | None) -> Iterator[Event]:
        """A step of a challenge, in the commune that the places are in by then."""
        unit = self._world.unit_of(course.piece, at)
        answers = step in (Step.CONCEDED, Step.DISPUTED)
        source = self._speaker(course.operator) if answers else self._scenario.petitions.reporter
        data = Challenge(
            commune=unit.code,
            indicator=course.indicator,
            observed_at=at,
            origin=Origin.SIMULATED,
            operator=course.operator if course.operator != source else None,
            challenge=course.name,
            step=step,
            deadline=deadline,
            statement=course.statement,
            places=course.places,
        )
        name = self._reporting.name(f"{source}/challenge/{course.name}/{step}")
        yield Challenged(specversion="1.0", id=name, source=source, time=at, data=data)

    def promise(self, course: _Course, by: datetime, at: datetime) -> Iterator[Event]:
        """The operator undertakes to cover the places."""
        unit = self._world.unit_of(course.piece, at)
        source = self._speaker(course.operator)
        data = Promise(
            commune=unit.code,
            indicator=course.indicator,
            observed_at=at,
            origin=Origin.SIMULATED,
            operator=course.operator if course.operator != source else None,
            by=by,
            places=course.places,
        )
        name = self._reporting.name(f"{source}/promise/{course.name}/{at:%Y-%m-%d}")
        yield Promised(specversion="1.0", id=name, source=source, time=at, data=data)

    def cover(self, course: _Course, at: datetime) -> None:
        """The places are covered for good."""
        items: dict[Layer, int] = {}
        for village in course.places:
            found = self._world.item(self._world.unit_of(course.piece, at), course.indicator, course.operator, village)
            if found is not None:
                items[found[0]] = items.get(found[0], 0) | found[1]
        for layer, mask in items.items():
            self._change(Change(at, layer, mask, 0))

    def close(self, course: _Course) -> None:
        """Another challenge may follow."""
        self._open.discard((course.operator, self._world.pieces[course.piece].id, course.indicator))

    def concede(self, course: _Course, at: datetime) -> None:
        """The operator claims no more than it sees there from now on."""
        unit = self._world.unit_of(course.piece, at)
        self._reporting.conceded.add((course.operator, unit.code, course.indicator))

    def _speaker(self, operator: str) -> str:
        catalogue = self._world.rules.catalogue
        if operator in catalogue.reporters:
            return operator
        return next(one.reporter for one in catalogue.obligations if one.operator == operator)


class _Course:
    """How one challenge goes."""

    def __init__(
        self, fieldwork: Fieldwork, name: str, operator: str, indicator: str, piece: int, places: tuple[str, ...], statement: str
    ) -> None:
        self._fieldwork = fieldwork
        self.name, self.operator, self.indicator, self.piece, self.places = name, operator, indicator, piece, places
        self.statement = statement

    def begin(self, at: datetime) -> None:
        """Everything to its end, as it will go."""
        work = self._fieldwork
        rates, later = work.rates, work.later
        sent, answer, how, resolved, promised, by, kept, slack = work.chance.lots(8, "course", self.name)
        opened_at = at + timedelta(hours=4)
        sent_at = opened_at + timedelta(minutes=24 * 60 + int(sent * 5 * 24 * 60))
        due = sent_at + timedelta(days=rates.answer_days)
        answered_at = sent_at + timedelta(minutes=int((0.1 + answer * 1.1) * rates.answer_days * 24 * 60))
        resolved_at = answered_at + timedelta(days=3 + int(resolved * 30))
        later(opened_at, lambda now: work.step(self, Step.OPENED, now, now + timedelta(days=7)))
        later(sent_at, lambda now: work.step(self, Step.SENT, now, due))
        if how >= rates.conceded + rates.disputed:
            return  # no answer: it stays open, overdue
        step = Step.CONCEDED if how < rates.conceded else Step.DISPUTED
        later(answered_at, lambda now: self._answer(step, now, resolved_at))
        later(resolved_at, self._resolve)
        if step is Step.CONCEDED and promised < rates.promised:
            promised_at = answered_at + timedelta(hours=2)
            day = promised_at + timedelta(days=30 + int(by * 150))
            later(promised_at, lambda now: work.promise(self, day, now))
            if kept < rates.kept:
                work.cover(self, (day - timedelta(days=1 + int(slack * 20))).replace(second=0, microsecond=0))
            else:
                again = day + timedelta(days=5 + int(slack * 25))
                later(again, lambda now: work.promise(self, now + timedelta(days=90), now))

    def _answer(self, step: Step, at: datetime, next_at: datetime) -> Iterator[Event]:
        if step is Step.CONCEDED:
            self._fieldwork.concede(self, at)
        return self._fieldwork.step(self, step, at, next_at + timedelta(days=7))

    def _resolve(self, at: datetime) -> Iterator[Event]:
        self._fieldwork.close(self)
        return self._fieldwork.step(self, Step.RESOLVED, at, None)
