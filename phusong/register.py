"""Which communes exist, by vintage, and which province each belongs to.

Comes in: rows of seeds/vintages.csv, provinces.csv and units.csv. Goes out: `Register`. Owns no state beyond those rows.
A unit is identified by (code, vintage): codes are reused for other territories after mergers. Codes are strings.
"""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct


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
    """A province of the newest vintage: what records are keyed by."""

    code: str
    name_vi: str
    name_en: str


class Unit(Struct, frozen=True, kw_only=True):
    """A commune-level unit (xã, phường, thị trấn) of one vintage; `district` is a label only."""

    vintage: str
    code: str
    name: str
    kind: str
    district: str
    province: str


class Register:
    """The units of every vintage, looked up by (vintage, code) and listed by (vintage, home province)."""

    def __init__(self, vintages: list[Vintage], provinces: list[Province], units: list[Unit]) -> None:
        self.vintages = {v.id: v for v in sorted(vintages, key=lambda v: v.start)}
        self.provinces = {p.code: p for p in provinces}
        self.units = {(u.vintage, u.code): u for u in units}
        self._of: dict[tuple[str, str], tuple[Unit, ...]] = {}
        listed: dict[tuple[str, str], list[Unit]] = {}
        for unit in sorted(units, key=lambda u: (u.vintage, u.code)):
            listed.setdefault((unit.vintage, self.home(unit)), []).append(unit)
        self._of = {key: tuple(found) for key, found in listed.items()}

    def home(self, unit: Unit) -> str:
        """The code of the province, in the newest vintage, that the unit's territory belongs to; what its events are keyed by."""
        return unit.province

    def vintage_at(self, moment: datetime) -> Vintage | None:
        """The vintage in force at that moment; None before the first."""
        for vintage in self.vintages.values():
            if vintage.holds(moment):
                return vintage
        return None

    def of(self, vintage: str, province: str) -> tuple[Unit, ...]:
        """The units of one home province in one vintage, by code."""
        return self._of.get((vintage, province), ())
