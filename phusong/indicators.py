"""What is counted, against which target, and who owes it: indicators, targets, reporters and obligations, all read from rows.

Comes in: rows of seeds/indicators.csv, targets.csv, reporters.csv, obligations.csv. Goes out: `Catalogue`. Owns no state beyond those rows.
Adding an indicator needs a row and no code.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from fractions import Fraction

from msgspec import Struct

from phusong.periods import Period
from phusong.register import Base


class Union(StrEnum):
    """How the obliged operators' views become one value of a commune: see unions.py."""

    LATEST = "latest"
    LARGEST = "largest"
    ANY = "any"
    PLACES = "places"
    SUM = "sum"
    POOL = "pool"


class Indicator(Struct, frozen=True, kw_only=True):
    """What is counted: `covered` of `expected` per commune, as its definition says (Vietnamese and English, with its source).

    `period` and `deadline_days` hold for every obligation that names none; ratios measured and declared that differ by more than
    `tolerance` are in conflict; `at_most`: the indicator that this one can never exceed ("" none: received ≤ covered).
    """

    id: str
    domain: str
    name_vi: str
    name_en: str
    base: Base
    union: Union
    period: Period
    deadline_days: int
    tolerance: Fraction
    at_most: str
    definition_vi: str
    definition_en: str
    status: str
    source: str

    @property
    def counts_places(self) -> bool:
        """Whether `covered` and `expected` count villages, so that each name in `uncovered` is one of the gap."""
        return self.base is Base.VILLAGES or self.union is Union.PLACES


class Target(Struct, frozen=True, kw_only=True):
    """A figure to reach: of scope `national` (province empty) or `province`, `cited` or `assumed`; due at a date or standing (due None)."""

    indicator: str
    scope: str
    province: str
    value: Fraction
    status: str
    source_vi: str
    source_en: str
    start: datetime
    due: datetime | None
    end: datetime | None

    def holds(self, moment: datetime) -> bool:
        """Whether the target applies at that moment."""
        return self.start <= moment and (self.end is None or moment < self.end)


class Reporter(Struct, frozen=True, kw_only=True):
    """Who speaks, and the operators it may speak for (itself always among them)."""

    id: str
    name_vi: str
    name_en: str
    operators: frozenset[str]


class Obligation(Struct, frozen=True, kw_only=True):
    """Who must report what, about whose service, on which communes (empty: all of the province), how often, due how many days after."""

    reporter: str
    operator: str
    indicator: str
    province: str
    communes: frozenset[str]
    period: Period
    deadline_days: int
    grace_days: int
    start: datetime
    end: datetime | None

    def holds(self, moment: datetime) -> bool:
        """Whether it binds at that moment."""
        return self.start <= moment and (self.end is None or moment < self.end)


class Catalogue:
    """The four tables with the look-ups that the rest of the core needs."""

    def __init__(
        self,
        indicators: list[Indicator],
        targets: list[Target],
        reporters: list[Reporter],
        obligations: list[Obligation],
    ) -> None:
        self.indicators = {i.id: i for i in indicators}
        self.targets = tuple(targets)
        self.reporters = {r.id: r for r in reporters}
        self.obligations = tuple(sorted(obligations, key=lambda o: (o.operator, o.reporter, o.start)))
        self._obligations: dict[tuple[str, str], list[Obligation]] = {}
        for obligation in self.obligations:
            self._obligations.setdefault((obligation.indicator, obligation.province), []).append(obligation)

    def target_at(self, indicator: str, province: str, moment: datetime) -> Target | None:
        """The target that applies: the province's own before the national one, then the one that started last."""
        held = [t for t in self.targets_of(indicator, province) if t.holds(moment)]
        return max(held, key=lambda t: (t.province != "", t.start), default=None)

    def obliged(self, indicator: str, province: str, commune: str) -> tuple[Obligation, ...]:
        """Every obligation, past and future ones too, on this commune and indicator."""
        every = self._obligations.get((indicator, province), ())
        return tuple([o for o in every if not o.communes or commune in o.communes])

    def targets_of(self, indicator: str, province: str) -> tuple[Target, ...]:
        """Every target, past and future ones too, that may apply to this indicator in this province."""
        return tuple(t for t in self.targets if t.indicator == indicator and t.province in ("", province))

    def obligations_of(self, indicator: str, province: str) -> tuple[Obligation, ...]:
        """Every obligation, past and future ones too, on this indicator in this province."""
        return tuple(self._obligations.get((indicator, province), ()))
