"""Named incidents as they happen: whom and what each concerns, and how often it made a difference.

Comes in: a scenario's incidents, resolved against the world's territory. Goes out: answers to "is this one silent, late, misspelt …", and
at the end of the run each incident's truth. Owns the counts. Bad input does not come here: `scenario` has refused it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import TypeVar

from phusong.register import Unit, UnitId
from producers.simulator.scenario import (
    ContradictingMeasurement,
    DuplicateStorm,
    Incident,
    LateReporter,
    MastOutage,
    MisspeltVillages,
    NeverReports,
    ReporterOutage,
    WrongCodes,
    began,
    ended,
)
from producers.simulator.truth import IncidentTruth
from producers.simulator.world import MAST, World

I_ = TypeVar("I_", bound=Incident)


class Happening:
    """One incident within a run: where, from when to when (within the run), and its counts."""

    def __init__(self, incident: Incident, world: World, start: datetime, end: datetime) -> None:
        self.incident = incident
        self.start, self.end = max(began(incident), start), min(ended(incident), end)
        self.pieces = _pieces(incident, world, self.start)
        everywhere = len(self.pieces) == len(world.pieces)
        self.units: frozenset[UnitId] | None = (
            None if everywhere else frozenset(unit for number in self.pieces for unit in world.pieces[number].units.values())
        )
        self.listed = tuple(sorted({f"{unit.vintage}/{unit.code}" for unit in _units(self.pieces, world, self.start)}))
        self.events = self.changes = 0

    def concerns(self, unit: Unit | UnitId) -> bool:
        """Whether a commune of any list has territory there."""
        return self.units is None or (unit.id if isinstance(unit, Unit) else unit) in self.units

    def now(self, moment: datetime) -> bool:
        """Whether it is under way."""
        return self.start <= moment < self.end

    @property
    def who(self) -> str:
        """The reporter or operator."""
        one = self.incident
        return one.operator if isinstance(one, MastOutage | ContradictingMeasurement) else one.reporter

    @property
    def indicators(self) -> tuple[str, ...]:
        """The indicators it is about; none: all that its reporter reports."""
        match self.incident:
            case MastOutage():
                return (MAST,)
            case ContradictingMeasurement(indicator=indicator):
                return (indicator,)
            case ReporterOutage(indicators=some) | NeverReports(indicators=some):
                return some
        return ()

    @property
    def truth(self) -> IncidentTruth:
        """What it was, for whoever scores detection."""
        return IncidentTruth(
            name=self.incident.name,
            kind=type(self.incident).__struct_config__.tag or "",  # type: ignore[arg-type]
            start=self.start,
            end=self.end,
            who=self.who,
            indicators=self.indicators,
            communes=self.listed,
            events=self.events,
            changes=self.changes,
        )


class Incidents:
    """All of a run's incidents that happen within it."""

    def __init__(self, incidents: Iterable[Incident], world: World, start: datetime, end: datetime) -> None:
        every = [Happening(one, world, start, end) for one in incidents if began(one) < end and start < ended(one)]
        self.every = [one for one in every if one.pieces]

    def __bool__(self) -> bool:
        return bool(self.every)

    def of(self, *kinds: type) -> Iterator[Happening]:
        """Those of some kinds."""
        return (one for one in self.every if isinstance(one.incident, kinds))

    def silenced(self, source: str, indicator: str, unit: UnitId, at: datetime) -> Happening | None:
        """The incident that holds back what this reporter would send now."""
        for one in self.of(ReporterOutage, NeverReports):
            if one.who == source and one.now(at) and one.concerns(unit) and (not one.indicators or indicator in one.indicators):
                return one
        return None

    def wrong_code(self, source: str, unit: UnitId, at: datetime) -> tuple[Happening, str] | None:
        """What this reporter writes in place of a commune's code."""
        for one in self.of(WrongCodes):
            if one.who == source and one.now(at) and one.concerns(unit):
                unpadded = unit[1].lstrip("0")
                is_unpadded = isinstance(one.incident, WrongCodes) and one.incident.codes == "unpadded" and unpadded != unit[1]
                return one, unpadded if is_unpadded else f"9{unit[1]}"
        return None

    def storm(self, source: str, unit: UnitId, at: datetime) -> tuple[Happening, int] | None:
        """How many more times this reporter sends what it sends now."""
        for one in self.of(DuplicateStorm):
            if isinstance(one.incident, DuplicateStorm) and one.who == source and one.now(at) and one.concerns(unit):
                return one, one.incident.copies
        return None

    def delay(self, source: str, unit: UnitId, at: datetime) -> tuple[Happening, timedelta] | None:
        """How much later a sheet leaves."""
        for one in self.of(LateReporter):
            if isinstance(one.incident, LateReporter) and one.who == source and one.now(at) and one.concerns(unit):
                return one, timedelta(days=one.incident.days)
        return None

    def misspells(self, source: str, unit: UnitId, at: datetime) -> Happening | None:
        """Whether this reporter misspells the villages of a commune now."""
        return next((one for one in self.of(MisspeltVillages) if one.who == source and one.now(at) and one.concerns(unit)), None)

    def boasts(self, operator: str, indicator: str, unit: UnitId, at: datetime) -> Happening | None:
        """Whether this operator's service is claimed to be everywhere in a commune now."""
        for one in self.of(ContradictingMeasurement):
            if one.who == operator and indicator in one.indicators and one.now(at) and one.concerns(unit):
                return one
        return None


def _pieces(incident: Incident, world: World, at: datetime) -> tuple[int, ...]:
    if not (incident.provinces or incident.districts or incident.communes):
        return tuple(range(len(world.pieces)))
    return tuple(
        number
        for number in range(len(world.pieces))
        for unit in [world.unit_of(number, at)]
        if unit.province in incident.provinces or unit.district in incident.districts or unit.code in incident.communes
    )


def _units(pieces: Iterable[int], world: World, at: datetime) -> list[Unit]:
    return [world.unit_of(number, at) for number in pieces]
