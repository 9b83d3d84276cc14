"""Which communes exist, by vintage; what each was made of; how many people, households and villages it has.

Comes in: rows of seeds/vintages.csv, provinces.csv, units.csv, successions.csv, bases.csv and places.csv. Goes out: `Register`. Owns no
state beyond those rows. A unit is identified by (code, vintage): codes are reused for other territories after mergers. Codes are strings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from enum import StrEnum

from msgspec import Struct

UnitId = tuple[str, str]
"""(vintage, code)."""


class Base(StrEnum):
    """A commune's weight in its province: 1, a count of the register, or the `expected` that reporters state."""

    UNITS = "units"
    VILLAGES = "villages"
    HOUSEHOLDS = "households"
    POPULATION = "population"
    REPORTED = "reported"


class Extent(StrEnum):
    """How much of a predecessor a unit was given."""

    WHOLE = "whole"
    PART = "part"


class Vintage(Struct, frozen=True, kw_only=True):
    """A dated list of units, in force from `start` until `end` (exclusive; None: still)."""

    id: str
    start: datetime
    end: datetime | None
    title: str
    source: str

    def holds(self, moment: datetime) -> bool:
        """Whether this list is in force at that moment."""
        return self.start <= moment and (self.end is None or moment < self.end)


class Province(Struct, frozen=True, kw_only=True):
    """A province of any vintage."""

    code: str
    name_vi: str
    name_en: str


class Unit(Struct, frozen=True, kw_only=True):
    """A commune-level unit (xã, phường, thị trấn) of one vintage.

    `district` is a label only; `former`: the code of the older province that its territory comes from ("": its own). Degrees, WGS 84.
    """

    vintage: str
    code: str
    name: str
    kind: str
    district: str
    province: str
    former: str = ""
    latitude: float | None = None
    longitude: float | None = None

    @property
    def id(self) -> UnitId:
        """(vintage, code)."""
        return self.vintage, self.code


class Count(Struct, frozen=True):
    """How many people, households or villages a unit has, as of a day, `cited` or `assumed`."""

    value: int
    counted_on: date
    status: str


class Place(Struct, frozen=True):
    """A village: what it is compared by, and its name."""

    key: str
    name: str


class Predecessor(Struct, frozen=True):
    """A unit of the vintage before, and how much of it went into the successor."""

    unit: Unit
    extent: Extent


class Register:
    """The units of every vintage, by (vintage, code) and by home province; their predecessors, counts and known places."""

    def __init__(
        self,
        vintages: Iterable[Vintage],
        provinces: Iterable[Province],
        units: Iterable[Unit],
        predecessors: Mapping[UnitId, tuple[Predecessor, ...]],
        counts: Mapping[UnitId, Mapping[Base, Count]],
        places: Mapping[UnitId, Mapping[str, Place]],
    ) -> None:
        self.vintages = {v.id: v for v in sorted(vintages, key=lambda v: v.start)}
        self.provinces = {p.code: p for p in provinces}
        self.units = {u.id: u for u in sorted(units, key=lambda u: u.id)}
        self.predecessors = predecessors
        self.counts = counts
        self.places: dict[UnitId, dict[str, str]] = {}
        """Unit -> key of a name or alias -> key of the place; a unit whose territory did not change has its predecessor's places too."""
        self.place_names: dict[tuple[str, str, str], str] = {}
        """(vintage, code, key of the place) -> its name."""
        self.successors: dict[UnitId, tuple[UnitId, ...]] = {}
        for later, found in predecessors.items():
            for one in found:
                self.successors[one.unit.id] = (*self.successors.get(one.unit.id, ()), later)
        known: dict[UnitId, Mapping[str, Place]] = {}
        for unit_id in sorted(self.units, key=lambda one: self.vintages[one[0]].start):
            before = predecessors.get(unit_id, ())
            inherited = known.get(before[0].unit.id, {}) if [one.extent for one in before] == [Extent.WHOLE] else {}
            if mine := {**inherited, **places.get(unit_id, {})}:
                known[unit_id] = mine
                self.places[unit_id] = {spelling: place.key for spelling, place in mine.items()}
                self.place_names.update({(*unit_id, place.key): place.name for place in mine.values()})
        self._home = {unit_id: self._find_home(unit_id) for unit_id in self.units}
        listed: dict[tuple[str, str], list[Unit]] = {}
        for unit in self.units.values():
            listed.setdefault((unit.vintage, self.home(unit)), []).append(unit)
        self._of = {key: tuple(found) for key, found in listed.items()}
        newest = next(reversed(self.vintages), None)
        self.homes = tuple(code for code in self.provinces if (newest, code) in self._of)
        """The provinces of the newest vintage: what records are keyed by."""

    def home(self, unit: Unit) -> str:
        """The code of the province, in the newest vintage, that the unit's territory belongs to; what its events are keyed by."""
        return self._home[unit.id]

    def vintage_at(self, moment: datetime) -> Vintage | None:
        """The vintage in force at that moment; None before the first."""
        for vintage in self.vintages.values():
            if vintage.holds(moment):
                return vintage
        return None

    def of(self, vintage: str, home: str) -> tuple[Unit, ...]:
        """The units of one home province in one vintage, by code."""
        return self._of.get((vintage, home), ())

    def later(self, unit_id: UnitId) -> tuple[UnitId, ...]:
        """Every unit of a later vintage that this one's territory went into: what its evidence counts for."""
        direct = self.successors.get(unit_id, ())
        return tuple(dict.fromkeys((*direct, *(one for successor in direct for one in self.later(successor)))))

    def _find_home(self, unit_id: UnitId) -> str:
        successors = self.successors.get(unit_id, ())
        return self._find_home(successors[0]) if successors else self.units[unit_id].province
