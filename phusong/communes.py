"""One commune under one indicator, assessed; and the running sums over many.

Comes in: the evidence, the rules and `as_of`. Goes out: a `Commune` with its row and the exact figures behind it. Owns no state (`Totals`
is the caller's). Bad input does not come here. What one operator's statements amount to, and what counts as stale, stands in views.py; how
operators are united, in unions.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from fractions import Fraction
from functools import lru_cache

from msgspec import Struct

from phusong.events import Origin
from phusong.follow_ups import NONE, NOTHING, AnyFollowUps, outlook
from phusong.indicators import Indicator, Obligation
from phusong.periods import VIETNAM, deadline, fresh_until
from phusong.register import Base, Unit
from phusong.rows import CommuneRow, Mark, State
from phusong.rules import Rules
from phusong.unions import ONE, ZERO, Value, unite
from phusong.views import Evidence, Line, Number, checks, reported_at, view

_INSTANT = timedelta(microseconds=1)
_WORST = {origin: rank for rank, origin in enumerate(Origin)}


def worst(origins: Iterable[Origin]) -> Origin | None:
    """The origin that a figure made of these has; None: of nothing."""
    return max(origins, key=_WORST.__getitem__, default=None)


def number(value: Number) -> int | float:
    """An exact figure as a row holds it: an int where it is one."""
    return int(value) if value.denominator == 1 else float(value)


class Commune(Struct, frozen=True, kw_only=True, gc=False):
    """An assessed commune: its row, the exact figures behind it, and when time alone changes it next (None: never)."""

    row: CommuneRow
    weight: int | None
    ratio: Fraction
    low: Fraction
    high: Fraction
    completeness: Fraction
    overdue: tuple[str, ...]
    checks: tuple[tuple[str, bool], ...]
    due: datetime | None


def _in_force(end: datetime | None, as_of: datetime) -> datetime:
    # what the old communes were at the end of their time stays to be seen; only late statements about them change it
    return as_of if end is None or as_of < end else end - _INSTANT


def commune(
    rules: Rules, unit: Unit, indicator: Indicator, cells: Evidence, bound: Commune | None, as_of: datetime, follow_ups: AnyFollowUps = NONE
) -> Commune:
    """One commune and indicator.

    Unknown counts as not covered in ratio and low and as fully covered in high; stale counts as not covered in low alone. `bound`: the same
    commune under the indicator that this one cannot exceed, whose high caps it.
    """
    end = rules.register.vintages[unit.vintage].end
    as_of = _in_force(end, as_of)
    line = Line(cells, rules.register, unit, indicator)
    by_operator: dict[str, list[Obligation]] = {}
    held = [o for o in rules.catalogue.obliged(indicator.id, unit.province, unit.code) if o.holds(as_of)]
    for obligation in held:
        by_operator.setdefault(obligation.operator, []).append(obligation)
    views = [view(line, operator, binding, as_of) for operator, binding in by_operator.items()]
    value = unite(indicator.union, views, line.size, line.places.values(), as_of)
    weight = _weight(indicator, line.size, value)
    ratio, low, high = value.ratio, value.low, value.high
    exceeds = False
    if bound is not None and bound.weight != 0 and bound.high < high:
        exceeds = ratio > bound.high
        ratio, low, high = min(ratio, bound.high), min(low, bound.high), bound.high
    events = [event for part in value.parts for event in part.statements]
    origins = {event.data.origin for event in events}
    reporters, reported = _reporters(line, held)
    fresh = [reporter for reporter in reported if as_of < reporters[reporter]]
    moments = [seen.fresh_until for seen in views if seen.fresh_until is not None]
    marks = {mark for seen in views for mark in seen.marks}
    if exceeds:
        marks.add(Mark.CONFLICT)
    if value.basis:
        marks.add(Mark.BASIS)
    if weight is None or (indicator.base is Base.REPORTED and not value.sized):
        marks.add(Mark.IMPUTED)
    if Origin.ASSUMED in origins or line.assumed_size:
        marks.add(Mark.ASSUMED)
    if Origin.SIMULATED in origins:
        marks.add(Mark.SIMULATED)
    if not value.applicable:
        marks.add(Mark.NOT_APPLICABLE)
    done = outlook(rules.register, unit, indicator.id, value.gap, follow_ups) if follow_ups else NOTHING
    gap_left = value.applicable and ratio < 1
    row = CommuneRow(
        vintage=unit.vintage,
        province=unit.province,
        commune=unit.code,
        name=unit.name,
        district=unit.district,
        indicator=indicator.id,
        state=value.state,
        covered=None if value.covered is None else number(value.covered),
        expected=value.expected,
        weight=weight,
        ratio=_float(ratio) if value.applicable else None,
        low=_float(low) if value.applicable else None,
        high=_float(high) if value.applicable else None,
        observed_at=min([part.observed_at for part in value.parts if part.observed_at is not None], default=None),
        fresh_until=min([part.fresh_until for part in value.parts if part.fresh_until is not None], default=None),
        uncovered=value.gap,
        marks=tuple(sorted(marks)),
        reporters=dict(sorted(reporters.items())),
        origin=worst(origins),
        statements=tuple(dict.fromkeys([f"{event.source} {event.id}" for event in events])),
        promised_for=done.promised_for if gap_left else None,
        challenges_open=done.challenges_open,
        challenge_due=done.challenge_due,
        unresolved_since=_earliest(seen.unresolved_since for seen in views),
    )
    moments += [*[moment for seen in views for moment in seen.turns], *reporters.values()]
    return Commune(
        row=row,
        weight=weight,
        ratio=ratio,
        low=low,
        high=high,
        completeness=_part(len(fresh), len(reporters)),
        overdue=tuple([reporter for reporter, due in reporters.items() if due <= as_of]),
        checks=tuple(checks(line)),
        due=min([moment for moment in moments if as_of < moment and (end is None or moment < end)], default=None),
    )


def _earliest(moments: Iterable[datetime | None]) -> datetime | None:
    found = min([moment for moment in moments if moment is not None], default=None)
    # of two that are one instant, written with different offsets, either may come first
    return found and found.astimezone(VIETNAM)


def _float(share: Fraction) -> float:
    numerator, denominator = share.as_integer_ratio()
    return numerator / denominator


@lru_cache(1024)
def _part(some: int, of: int) -> Fraction:
    return Fraction(some, of) if of else ZERO


def _weight(indicator: Indicator, size: int | None, value: Value) -> int | None:
    """A commune's weight in its province: 1, the register's count, or the size that was stated; 0 where there is nothing to cover."""
    if not value.applicable:
        return 0
    if indicator.base is Base.UNITS:
        return 1
    return value.reported if indicator.base is Base.REPORTED else size


def _reporters(line: Line, held: Iterable[Obligation]) -> tuple[dict[str, datetime], set[str]]:
    """Obliged reporter -> when what it last said goes or went stale (never: when its first report was due); who said something.

    Who speaks for several operators has reported when it has spoken for each of them.
    """
    reporters: dict[str, datetime] = {}
    silent: set[str] = set()
    for obligation in held:
        days = obligation.deadline_days + obligation.grace_days
        moment = reported_at(line, obligation.operator, obligation.reporter)
        if moment is None:
            silent.add(obligation.reporter)
            start = max(obligation.start, line.since)
            due = deadline(obligation.period, days, start)
        else:
            due = fresh_until(obligation.period, days, moment)
        reporters[obligation.reporter] = min(due, reporters.get(obligation.reporter, due))
    return reporters, reporters.keys() - silent


class _Sum:
    """An exact running sum of weights times shares, one integer for each denominator."""

    def __init__(self) -> None:
        self._whole = 0
        self._by_denominator: dict[int, int] = {}

    def add(self, weight: int, share: Fraction) -> None:
        numerator, denominator = share.as_integer_ratio()
        numerator *= weight
        if numerator % denominator == 0:
            self._whole += numerator // denominator
            return
        left = self._by_denominator.get(denominator, 0) + numerator
        if left:
            self._by_denominator[denominator] = left
        else:
            del self._by_denominator[denominator]

    @property
    def value(self) -> Fraction:
        return sum((Fraction(n, d) for d, n in sorted(self._by_denominator.items())), Fraction(self._whole))


class Totals:
    """Running sums over the communes of one (vintage, province, indicator); adding and removing are exact inverses."""

    def __init__(self) -> None:
        self._weight = self._weighed = 0
        self._weighed_sums = {name: _Sum() for name in ("ratio", "low", "high", "completeness")}
        self._imputed_sums = {name: _Sum() for name in self._weighed_sums}
        self.states: Counter[State] = Counter()
        self.origins: Counter[Origin] = Counter()
        self.marks: Counter[Mark] = Counter()
        self.overdue: Counter[str] = Counter()
        self.checked: Counter[str] = Counter()
        self.agreed: Counter[str] = Counter()

    def add(self, one: Commune, sign: int = 1) -> None:
        """Count a commune in (sign 1) or out (sign -1)."""
        known = one.weight is not None
        weight = sign * (1 if one.weight is None else one.weight)
        if known:
            self._weight += weight
            self._weighed += sign
        sums = self._weighed_sums if known else self._imputed_sums
        sums["ratio"].add(weight, one.ratio)
        sums["low"].add(weight, one.low)
        sums["high"].add(weight, one.high)
        sums["completeness"].add(weight, one.completeness)
        self.states[one.row.state] += sign
        if one.row.origin is not None:
            self.origins[one.row.origin] += sign
        for mark in one.row.marks:
            self.marks[mark] += sign
        for reporter in one.overdue:
            self.overdue[reporter] += sign
        for reporter, agrees in one.checks:
            self.checked[reporter] += sign
            self.agreed[reporter] += sign * agrees

    @property
    def mean(self) -> Fraction:
        """What a commune of unknown weight weighs: the mean of those that have one; 1 where none weighs anything."""
        return Fraction(self._weight, self._weighed) if self._weight else ONE

    def weight(self, communes: int) -> Fraction:
        """Σ w over that many communes."""
        return self._weight + self.mean * (communes - self._weighed)

    def sum(self, name: str) -> Fraction:
        """Σ w·ratio, Σ w·low, Σ w·high or Σ w·completeness."""
        return self._weighed_sums[name].value + self.mean * self._imputed_sums[name].value
