"""A province over months of scenario time: a hidden true world, reporters who observe it with their habits, and named incidents.

Comes in: the rules, a scenario, a seed number, and from when to when. Goes out: events in the order in which they are sent, each of origin
`simulated`, and between them the truth, in the order of time; the same arguments give the same bytes on any machine. Owns the world, and an
agenda of what is to come: its size depends on the world, not on the number of events. Bad input does not come here: `scenario` has refused
it; what an incident makes wrong is marked, so that nobody takes it for admitted.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

import msgspec

from phusong.events import Event, Method, Stated
from phusong.indicators import Obligation
from phusong.periods import Period, end_of, index, one_after, period_end
from phusong.register import Unit, UnitId
from phusong.rules import Rules
from producers.simulator.chance import Chance
from producers.simulator.fieldwork import Fieldwork
from producers.simulator.incidents import Happening, Incidents
from producers.simulator.reporting import Reporting, Row, Sheet, label_of
from producers.simulator.scenario import ContradictingMeasurement, MastOutage, Scenario
from producers.simulator.truth import INSTANT, CommuneTruth, Recorder, Run, TruthRecord
from producers.simulator.world import MAST, Change, World

_DAY = timedelta(days=1)
_MINUTE = timedelta(minutes=1)


class Sending(NamedTuple):
    """An event and when it is sent. `key`: only of one that the reader will reject, the province that it travels under."""

    at: datetime
    event: Event
    key: str | None = None


Output = Sending | TruthRecord
Action = Callable[[datetime], Iterator[Output]]


class _Agenda:
    """What is to come, by moment; of one moment in the order in which it was put down."""

    def __init__(self) -> None:
        self._heap: list[tuple[datetime, int, Action]] = []
        self._serial = 0

    def put(self, moment: datetime, action: Action) -> None:
        self._serial += 1
        heapq.heappush(self._heap, (moment, self._serial, action))

    def until(self, end: datetime) -> Iterator[tuple[datetime, Action]]:
        while self._heap and self._heap[0][0] < end:
            moment, _, action = heapq.heappop(self._heap)
            yield moment, action


class Simulation:
    """One run; iterate it once. `start` and `end`: midnights in Vietnam; `homes`: home provinces (none: all)."""

    def __init__(self, rules: Rules, scenario: Scenario, seed: int, start: datetime, end: datetime, homes: Sequence[str] = ()) -> None:
        self.rules, self.scenario, self.seed, self.start, self.end = rules, scenario, seed, start, end
        self.homes = tuple(homes) or rules.register.homes
        self._chance = Chance(seed)
        self.world = World(rules, self._chance, self.homes, scenario.pace.built, scenario.pace.broken)
        self._recorder = Recorder(self.world)
        self._reporting = Reporting(self._chance, f"sim{seed}")
        self._agenda = _Agenda()
        self.incidents = Incidents(scenario.incident, self.world, start, end)
        self._fieldwork = Fieldwork(self.world, self._chance, self._reporting, scenario, self._later, self._will_change)
        self._units: dict[str, tuple[Unit, ...]] = {
            vintage: tuple(unit for home in self.homes for unit in rules.register.of(vintage, home)) for vintage in rules.register.vintages
        }
        self._listed: dict[tuple[str, str], list[Unit]] = {}
        """(list, province) -> its communes."""
        for units in self._units.values():
            for unit in units:
                self._listed.setdefault((unit.vintage, unit.province), []).append(unit)
        provinces = {province for _, province in self._listed}
        self._owed = [one for one in rules.catalogue.obligations if one.province in provinces]
        self._owed_on: dict[tuple[str, str], list[Obligation]] = {}
        for owed in self._owed:
            self._owed_on.setdefault((owed.indicator, owed.province), []).append(owed)

    def __iter__(self) -> Iterator[Output]:
        yield Run(
            seed=self.seed,
            scenario=self.scenario.name,
            rules=self.rules.number,
            start=self.start,
            end=self.end,
            provinces=self.homes,
        )
        self.world.begin(self.start, self.end)
        self._plan_incidents()
        self._agenda.put(self.start, self._open)
        for vintage in self.rules.register.vintages.values():
            if self.start < vintage.start < self.end:
                self._agenda.put(vintage.start, self._open)
        self._agenda.put(self.start, self._month)
        for moment, action in self._agenda.until(self.end):
            yield from action(moment)
        yield from (one.truth for one in self.incidents.every)

    # what happens

    def _open(self, at: datetime) -> Iterator[Output]:
        """The run begins, or a list of communes comes into force."""
        units = self._units_at(at)
        yield from self._recorder.open(units, at)
        yield from self._perfectly(units, self.world.rules.catalogue.indicators, None, at)

    def _month(self, at: datetime) -> Iterator[Output]:
        """The rest of a month is planned at its beginning."""
        end = end_of(Period.MONTH, index(Period.MONTH, at))
        self._agenda.put(end - INSTANT, self._recorder.sums)
        self._agenda.put(end, self._month)
        changes = self.world.built(end)
        year = index(Period.YEAR, at)
        if at in (self.start, end_of(Period.YEAR, year - 1)):
            changes += self.world.broken(end_of(Period.YEAR, year - 1), end_of(Period.YEAR, year), at)
        self._plan_changes(changes)
        for owed in self._owed:
            # what is owed is about the last day of its period
            observed_at = period_end(owed.period, at) - _DAY
            if at <= observed_at < end and owed.holds(observed_at):
                self._agenda.put(observed_at, partial(self._observe, owed))
        for home in self.homes:
            vintage = self.rules.register.vintage_at(at)
            if vintage is not None:
                self._fieldwork.plan(self.rules.register.of(vintage.id, home), home, at, end)
        self._plan_petitions(at, end)
        yield from ()

    def _plan_petitions(self, at: datetime, end: datetime) -> None:
        share = self.scenario.petitions.share
        minutes = int((end - at).total_seconds()) // 60
        for unit in self._units_at(at) if share else ():
            name = (*unit.id, at.date())
            lot, when = self._chance.lots(2, "petition", *name)
            if lot < share:
                self._later(at + timedelta(minutes=int(when * minutes)), partial(self._fieldwork.petition, unit, name))

    def _plan_changes(self, changes: Iterable[Change]) -> None:
        """Changes of one moment happen together, so that nobody states what was never so."""
        together: dict[datetime, list[Change]] = {}
        for change in changes:
            together.setdefault(change.at, []).append(change)
        for moment, some in sorted(together.items()):
            self._agenda.put(moment, partial(self._changes, some))

    def _will_change(self, change: Change) -> None:
        self._agenda.put(change.at, partial(self._changes, [change]))

    def _changes(self, changes: Sequence[Change], at: datetime) -> Iterator[Output]:
        concerned: dict[tuple[str, str], dict[int, None]] = {}
        for change in changes:
            self.world.apply(change)
            concerned.setdefault((change.layer.indicator, change.layer.operator), {})[change.layer.piece] = None
        for (indicator, operator), pieces in concerned.items():
            indicators = self.world.concerned(indicator)
            units = list(dict.fromkeys(self.world.unit_of(piece, at) for piece in pieces))
            for told in self._recorder.look(units, indicators, at):
                yield told
                self._count_change(told, operator, at)
            yield from self._perfectly(units, indicators, operator or None, at)
        for change in changes:
            if change.broken > 0 and change.layer.indicator == MAST and change.back is not None:
                self._interrupt(change, change.back, at)

    def _count_change(self, told: TruthRecord, operator: str, at: datetime) -> None:
        if not self.incidents or not isinstance(told, CommuneTruth):
            return
        for one in self.incidents.of(MastOutage, ContradictingMeasurement):
            about = (told.vintage, told.commune)
            if operator in ("", one.who) and at in (one.start, one.end) and one.concerns(about):
                one.changes += 1

    # what is said

    def _perfectly(self, units: Sequence[Unit], indicators: Iterable[str], operator: str | None, at: datetime) -> Iterator[Output]:
        """Perfect reporters state at once what has changed; `operator` None: of every operator."""
        for indicator in indicators:
            rows: dict[Obligation, list[Row]] = {}
            for unit in units:
                for owed in self._owed_on.get((indicator, unit.province), ()):
                    if not self.scenario.habits_of(owed.reporter).on_change or not owed.holds(at):
                        continue
                    if operator in (None, owed.operator) and (not owed.communes or unit.code in owed.communes):
                        rows.setdefault(owed, []).append(self._row(owed, unit))
            for owed, some in rows.items():
                yield from self._send(Sheet(owed, f"{at:%Y-%m-%dT%H%M}", at, at, tuple(some)))

    def _observe(self, owed: Obligation, at: datetime) -> Iterator[Output]:
        """A period's sheet is filled in, to be sent later."""
        habits = self.scenario.habits_of(owed.reporter)
        sent_at = self._reporting.sent_at(owed, habits, at)
        if sent_at is None:
            return
        label = label_of(owed.period, at)
        vintage = self.rules.register.vintage_at(at)
        if vintage is None:
            return
        observed_at, named, units = at, None, self._listed.get((vintage.id, owed.province), [])
        old = self._old_list(owed, vintage.start, at)
        if old is not None and units:
            # the old form is about the old communes, so it bears the last day that there were any
            observed_at, named = vintage.start - _DAY, old
            units = list(self.rules.register.of(old, self.rules.register.home(units[0])))
        rows = [self._row(owed, unit) for unit in units if not owed.communes or unit.code in owed.communes]
        for sheet in self._delayed(Sheet(owed, label, observed_at, sent_at, tuple(rows), named)):
            self._agenda.put(sheet.sent_at, lambda _, sheet=sheet: self._send(sheet))  # type: ignore[misc]
        yield from ()

    def _old_list(self, owed: Obligation, since: datetime, at: datetime) -> str | None:
        """The list before this one, where the reporter still fills in its form."""
        habits = self.scenario.habits_of(owed.reporter)
        ids = list(self.rules.register.vintages)
        vintage = self.rules.register.vintage_at(since)
        position = ids.index(vintage.id) if vintage else 0
        if not position or at >= since + timedelta(days=habits.old_forms_days) or not owed.holds(since - _DAY):
            return None
        lot = self._chance.lot("old form", owed.reporter, owed.operator, ids[position])
        return ids[position - 1] if lot < habits.old_forms else None

    def _delayed(self, sheet: Sheet) -> Iterator[Sheet]:
        """A late reporter's rows leave later than the rest of the sheet."""
        if not self.incidents:
            yield sheet
            return
        by: dict[timedelta, list[Row]] = {}
        for row in sheet.rows:
            found = self.incidents.delay(sheet.obligation.reporter, row.unit.id, sheet.sent_at)
            by.setdefault(found[1] if found else timedelta(), []).append(row)
            if found:
                found[0].events += 1
        for delay, rows in by.items():
            yield sheet._replace(sent_at=sheet.sent_at + delay, rows=tuple(rows))

    def _row(self, owed: Obligation, unit: Unit) -> Row:
        return Row(unit, self.world.seen(unit, self.rules.catalogue.indicators[owed.indicator], owed.operator))

    def _send(self, sheet: Sheet) -> Iterator[Output]:
        owed = sheet.obligation
        misspell: set[str] = set()
        boast: set[str] = set()
        if self.incidents:
            for row in sheet.rows:
                wrong = self.incidents.misspells(owed.reporter, row.unit.id, sheet.sent_at)
                if wrong and row.seen.uncovered:
                    misspell.add(row.unit.code)
                    wrong.events += 1
                claims = self.incidents.boasts(owed.operator, owed.indicator, row.unit.id, sheet.observed_at)
                if claims:
                    boast.add(row.unit.code)
                    claims.events += 1
        habits = self.scenario.habits_of(owed.reporter)
        first, *others = self._reporting.batches(sheet, habits, misspell=misspell, boast=boast)
        for batch in others:
            self._agenda.put(batch.at, partial(self._emit, batch.events))
        yield from self._emit(first.events, first.at)

    def _interrupt(self, change: Change, back: datetime, at: datetime) -> None:
        """An outage is told while it lasts, and that it is over."""
        layer = change.layer
        indicator = self.rules.catalogue.indicators[layer.indicator]
        province = self.world.unit_of(layer.piece, at).province
        for owed in self._owed_on.get((layer.indicator, province), ()):
            habits = self.scenario.habits_of(owed.reporter)
            lot, hours = self._chance.lots(2, "interruption", owed.reporter, self.world.pieces[layer.piece].id, change.items, at)
            told_at = at + timedelta(minutes=60 + int(hours * 20 * 60))
            longest = one_after(indicator.period, told_at)
            if owed.operator != layer.operator or lot >= habits.interrupted or not told_at < back <= longest:
                continue
            self._later(told_at, partial(self._interrupted, owed, layer.piece, back))
            self._later(back + _DAY / 2, partial(self._interrupted, owed, layer.piece, None))

    def _interrupted(self, owed: Obligation, piece: int, until: datetime | None, at: datetime) -> Iterator[Event]:
        unit = self.world.unit_of(piece, at)
        if not owed.holds(at) or (self.incidents and self.incidents.boasts(owed.operator, owed.indicator, unit.id, at)):
            return
        seen = self._row(owed, unit).seen
        operator = owed.operator if owed.operator != owed.reporter else None
        data = self._reporting.statement(unit, owed.indicator, seen, at, operator=operator, until=until)
        what = "outage" if until else "over"
        name = f"{owed.reporter}/{at:%Y-%m-%dT%H%M}/{owed.operator}/{unit.code}/{owed.indicator}/{what}"
        yield self._reporting.event(name, owed.reporter, at, data)

    # named incidents that change the world

    def _plan_incidents(self) -> None:
        for one in self.incidents.of(MastOutage, ContradictingMeasurement):
            for indicator in one.indicators:
                if indicator not in self.rules.catalogue.indicators:
                    continue
                down = [
                    Change(one.start, layer, items, 1, one.end) for layer, items in self.world.everything_of(indicator, one.who, one.pieces)
                ]
                up = [Change(one.end, change.layer, change.items, -1) for change in down]
                self._plan_changes([*down, *up])
            if isinstance(one.incident, ContradictingMeasurement):
                half_way = one.start + (one.end - one.start) / 2
                self._later(half_way, partial(self._contradict, one))

    def _contradict(self, one: Happening, at: datetime) -> Iterator[Event]:
        indicator = self.rules.catalogue.indicators[one.indicators[0]]
        for unit in dict.fromkeys(self.world.unit_of(piece, at) for piece in one.pieces):
            one.events += 1
            yield self._fieldwork.measurement(unit, indicator, one.who, self.world.seen(unit, indicator, one.who), at)

    # what leaves

    def _later(self, moment: datetime, told: Callable[[datetime], Iterator[Event]]) -> None:
        self._agenda.put(moment, lambda at: self._emit(list(told(at)), at))

    def _emit(self, events: Sequence[Event], at: datetime, *, again: bool = False) -> Iterator[Output]:
        """Send them, unless a named incident holds them back or makes them wrong."""
        repeated: dict[int, list[Event]] = {}
        for event in events:
            unit_id = self._unit_id(event)
            if not self.incidents:
                yield self._sending(event, unit_id, at)
                continue
            silenced = self.incidents.silenced(event.source, event.data.indicator, unit_id, at)
            if silenced:
                silenced.events += 1
                continue
            wrong = self.incidents.wrong_code(event.source, unit_id, at)
            if wrong:
                wrong[0].events += 1
                data = msgspec.structs.replace(event.data, commune=wrong[1])
                yield Sending(at, msgspec.structs.replace(event, data=data), self.rules.register.home(self.rules.register.units[unit_id]))
                continue
            yield self._sending(event, unit_id, at)
            storm = None if again else self.incidents.storm(event.source, unit_id, at)
            if storm:
                storm[0].events += storm[1]
                repeated.setdefault(storm[1], []).append(event)
        for copies, some in repeated.items():
            for number in range(1, copies + 1):
                self._agenda.put(at + number * _MINUTE, partial(self._emit, some, again=True))

    def _sending(self, event: Event, unit_id: UnitId, at: datetime) -> Sending:
        if isinstance(event, Stated) and event.data.indicator == MAST and event.data.method is Method.DECLARED:
            self._fieldwork.declared(event, self.rules.register.units[unit_id])
        return Sending(at, event)

    def _unit_id(self, event: Event) -> UnitId:
        vintage = event.data.vintage
        if vintage is None:
            found = self.rules.register.vintage_at(event.data.observed_at)
            assert found is not None  # we made it  # noqa: S101
            vintage = found.id
        return vintage, event.data.commune

    def _units_at(self, at: datetime) -> tuple[Unit, ...]:
        vintage = self.rules.register.vintage_at(at)
        return self._units[vintage.id] if vintage else ()
