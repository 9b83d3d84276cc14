"""The pace of a ratio: what it was at the end of each past period, as is known now, and when it will reach its target if it goes on so.

Comes in: what was stated in each period about the communes of one (vintage, province, indicator), and `as_of`. Goes out: points, and a
`Projection`. `Pace` owns the points that it has worked out; forgetting them changes nothing but the work. Bad input does not come here.

Points are period ends within one vintage (ratios of two vintages are never one line), the last MAX_POINTS whose reports are all due, and
only those at which no more than a tenth of the communes was unknown: a commune that begins to report is no progress. The pace is the median
of the slopes between all pairs of points (Theil and Sen: one odd period does not bend it), its uncertainty their quartiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import combinations

from phusong.communes import Commune, Totals, commune
from phusong.events import Fact
from phusong.evidence import Cell, Outcome, Slot, Slots, fold, merge
from phusong.indicators import Indicator
from phusong.periods import Period, deadline, end_of, index
from phusong.register import Unit
from phusong.rows import Projection, State
from phusong.rules import Rules

MIN_POINTS, MAX_POINTS = 4, 8
_UNKNOWN_AT_MOST = Fraction(1, 10)
_INSTANT = timedelta(microseconds=1)
_YEAR = Fraction(365 * 24 * 3600)

Past = dict[Cell, dict[int, Slots]]
"""Cell -> number of a period -> what was observed in it."""

Point = tuple[datetime, Fraction]
"""(end of a period, ratio then)."""


def remember(past: Past, period: Period, cell: Cell, slot: Slot, event: Fact) -> int | None:
    """Fold an event into its period's evidence; the period's number if that changed anything."""
    number = index(period, event.data.observed_at)
    slots = past.setdefault(cell, {}).setdefault(number, {})
    return number if fold(slots, slot, event) is Outcome.ADMITTED else None


class _Until:
    """The evidence up to the end of a period, as a mapping from cell to slots."""

    def __init__(self, past: Past, number: int) -> None:
        self._past, self._number = past, number

    def get(self, cell: Cell, default: Slots) -> Slots:
        slots: Slots = {}
        for number, observed in self._past.get(cell, {}).items():
            if number <= self._number:
                # a withdrawal keeps the size that an earlier period's statement gave
                slots = merge({cell: slots}, {cell: observed})[cell]
        return slots or default


class Pace:
    """The past of one (vintage, province, indicator): `units` are all of its communes."""

    def __init__(self, rules: Rules, units: Sequence[Unit], indicator: Indicator, past: Past) -> None:
        self._rules, self._units, self._indicator, self._past = rules, units, indicator, past
        self._vintage = rules.register.vintages[units[0].vintage]
        self._obligations = rules.catalogue.obligations_of(indicator.id, units[0].province)
        self._known: dict[int, dict[str, Commune]] = {}
        self._totals: dict[int, Totals] = {}

    def due(self, number: int) -> datetime:
        """When the reports on that period are all due, so that its end becomes a point."""
        days = max((o.deadline_days + o.grace_days for o in self._obligations), default=self._indicator.deadline_days)
        return deadline(self._indicator.period, days, end_of(self._indicator.period, number) - _INSTANT)

    def next_due(self, as_of: datetime) -> datetime | None:
        """When the next period's end becomes a point; None: no more in this vintage."""
        number = self._last(as_of) + 1
        end = self._vintage.end
        return None if end is not None and end_of(self._indicator.period, number) > end else self.due(number)

    def forget(self, code: str, number: int) -> None:
        """What was observed in this commune in that period has changed: its later points are worked out anew."""
        for later, known in self._known.items():
            if later >= number and code in known:
                self._totals[later].add(known.pop(code), -1)

    def points(self, as_of: datetime) -> list[Point]:
        """The period ends that count, oldest first."""
        period = self._indicator.period
        last = self._last(as_of)
        first = max(last - MAX_POINTS + 1, index(period, self._vintage.start))
        for number in [number for number in self._known if number < first]:
            del self._known[number], self._totals[number]
        found = []
        for number in range(first, last + 1):
            totals = self._assessed(number)
            weight = totals.weight(len(self._units))
            if weight and Fraction(totals.states[State.UNKNOWN], len(self._units)) <= _UNKNOWN_AT_MOST:
                found.append((end_of(period, number), totals.sum("ratio") / weight))
        return found

    def _last(self, as_of: datetime) -> int:
        """The last period, of those that end within the vintage, whose reports are all due."""
        period = self._indicator.period
        number = index(period, as_of)
        while self.due(number) > as_of:
            number -= 1
        end = self._vintage.end
        return number if end is None else min(number, index(period, end - _INSTANT) - (end_of(period, index(period, end - _INSTANT)) > end))

    def _assessed(self, number: int) -> Totals:
        known = self._known.setdefault(number, {})
        totals = self._totals.setdefault(number, Totals())
        if len(known) < len(self._units):
            evidence = _Until(self._past, number)
            moment = end_of(self._indicator.period, number) - _INSTANT
            for unit in self._units:
                if unit.code not in known:
                    # what bounds this indicator is left out: a point is what its own reports said
                    one = known[unit.code] = commune(self._rules, unit, self._indicator, evidence, None, moment)
                    totals.add(one)
        return totals


def project(points: Sequence[Point], target: Fraction) -> Projection | None:
    """When the target is reached, from the last point on; None where there are too few points or it was reached at the last one."""
    if len(points) < MIN_POINTS or points[-1][1] >= target:
        return None
    slopes = sorted((later[1] - earlier[1]) / _seconds(later[0] - earlier[0]) for earlier, later in combinations(points, 2))
    moment, ratio = points[-1]

    def reached(slope: Fraction) -> datetime | None:
        if slope <= 0:
            return None
        try:
            return moment + timedelta(seconds=round((target - ratio) / slope))
        except OverflowError:  # thousands of years: not at this pace
            return None

    middle = (slopes[(len(slopes) - 1) // 2] + slopes[len(slopes) // 2]) / 2
    return Projection(
        reached_at=reached(middle),
        earliest=reached(slopes[-1 - len(slopes) // 4]),
        latest=reached(slopes[len(slopes) // 4]),
        pace=float(middle * _YEAR),
        points=len(points),
    )


def _seconds(span: timedelta) -> Fraction:
    return Fraction(span // timedelta(seconds=1))
