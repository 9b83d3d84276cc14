"""Reporters and their habits: what they owe becomes sheets of rows, and these become events, some late, some wrong, some twice.

Comes in: what a reporter sees of the world on the day that a sheet is about, and its habits. Goes out: events in batches, each with the
moment at which it is sent. Owns the communes of which an operator has conceded that it claimed too much. Bad input does not come here.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Container, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from phusong.events import MAX_NAMES, Method, Origin, Stated, Statement, Withdrawal, Withdrawn
from phusong.indicators import Obligation
from phusong.periods import VIETNAM, Period, period_end
from phusong.register import Unit
from producers.simulator.chance import Chance
from producers.simulator.scenario import Habits
from producers.simulator.world import Seen

_MINUTE = timedelta(minutes=1)
# the places of a row's draws: a new habit takes the next one, so that it moves no other
_FORGOTTEN, _MISSPELT, _WHICH, _UNNAMED, _CORRECTED, _UPWARDS, _WITHDRAWN, _DRAWS = range(8)


class Row(NamedTuple):
    """What a reporter sees of one commune."""

    unit: Unit
    seen: Seen


class Sheet(NamedTuple):
    """What is owed for one indicator, province and period: seen on one day, sent on another. `vintage`: named in each event, or not."""

    obligation: Obligation
    label: str
    observed_at: datetime
    sent_at: datetime
    rows: tuple[Row, ...]
    vintage: str | None = None


class Batch(NamedTuple):
    """Events that leave together."""

    at: datetime
    events: list[Stated | Withdrawn]


def label_of(period: Period, moment: datetime) -> str:
    """The period that holds a moment, in words: 2023-06, 2023-Q2, 2023-H1, 2023."""
    local = moment.astimezone(VIETNAM)
    match period:
        case Period.MONTH:
            return f"{local:%Y-%m}"
        case Period.QUARTER:
            return f"{local.year}-Q{(local.month + 2) // 3}"
        case Period.HALF_YEAR:
            return f"{local.year}-H{(local.month + 5) // 6}"
    return str(local.year)


def misspelt(name: str) -> str:
    """A village's name as nobody knows it: without its accents, and with its last letter twice."""
    plain = unicodedata.normalize("NFD", name).replace("đ", "d").replace("Đ", "D")
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return plain + plain[-1]


class Reporting:
    """Turns what is seen into what is said."""

    def __init__(self, chance: Chance, run: str) -> None:
        self._chance, self._run = chance, run
        self.conceded: set[tuple[str, str, str]] = set()
        """(operator, commune code of its sheet, indicator): claims no more than it sees from now on."""

    def sent_at(self, owed: Obligation, habits: Habits, observed_at: datetime) -> datetime | None:
        """When the sheet on the period that holds `observed_at` leaves; None: it is forgotten."""
        name = (owed.reporter, owed.operator, owed.indicator, owed.province, label_of(owed.period, observed_at))
        forgotten, late, by, reordered, on, at = self._chance.lots(6, "sheet", *name)
        if habits.on_change:
            return observed_at
        if forgotten < habits.forgotten_sheets:
            return None
        due = max(1, owed.deadline_days)
        end = period_end(owed.period, observed_at)
        day = 1 + int(on * (due - 1))
        if reordered < habits.reordered:
            # after the next period's sheet, even where that is late
            end = period_end(owed.period, observed_at, after=1)
            day = due + habits.late_days_max + 1 + int(on * 5)
        elif late < habits.late:
            day = due + 1 + int(by * habits.late_days_max)
        return end + timedelta(days=day - 1, minutes=8 * 60 + int(at * 8 * 60))

    def batches(self, sheet: Sheet, habits: Habits, *, misspell: Container[str] = (), boast: Container[str] = ()) -> list[Batch]:
        """The events of a sheet as it is sent, and what follows: its corrections, withdrawals, and the whole once more.

        `misspell`: codes of the communes of which it misspells every village; `boast`: of those that it claims to cover wholly.
        """
        owed = sheet.obligation
        sheet_name = (owed.reporter, owed.operator, owed.indicator, owed.province, sheet.label)
        again, days, *after = self._chance.lots(6, "afterwards", *sheet_name)
        first: list[Stated | Withdrawn] = []
        mended: list[Stated | Withdrawn] = []
        taken_back: list[Stated | Withdrawn] = []
        restated: list[Stated | Withdrawn] = []
        corrected_at, withdrawn_at, restated_at = (
            sheet.sent_at + timedelta(days=1, minutes=int(total * 8 * 24 * 60)) for total in _rising(after[:3])
        )
        for unit, seen in sheet.rows:
            lots = self._chance.lots(_DRAWS, "row", *sheet_name, unit.code)
            if lots[_FORGOTTEN] < habits.forgotten_rows:
                continue
            said = self._claimed(owed, unit, seen, habits, whole=unit.code in boast)
            said = _written(said, lots, habits, misspell=unit.code in misspell)
            if lots[_CORRECTED] < habits.corrected and seen.expected:
                first.append(self._stated(sheet, unit, _wrong(said, lots[_UPWARDS]), "", sheet.sent_at))
                mended.append(self._stated(sheet, unit, said, "/corrected", corrected_at))
            else:
                first.append(self._stated(sheet, unit, said, "", sheet.sent_at))
            if lots[_WITHDRAWN] < habits.withdrawn:
                taken_back.append(self._withdrawn(sheet, unit, withdrawn_at))
                restated.append(self._stated(sheet, unit, said, "/restated", restated_at))
        batches = [Batch(sheet.sent_at, first)]
        batches += [
            Batch(at, events) for at, events in ((corrected_at, mended), (withdrawn_at, taken_back), (restated_at, restated)) if events
        ]
        if again < habits.duplicated:
            batches.append(Batch(sheet.sent_at + timedelta(minutes=30 + int(days * 3 * 24 * 60)), list(first)))
        return batches

    def statement(
        self,
        unit: Unit,
        indicator: str,
        seen: Seen,
        observed_at: datetime,
        *,
        operator: str | None = None,
        vintage: str | None = None,
        method: Method = Method.DECLARED,
        measured: tuple[str, ...] | None = None,
        until: datetime | None = None,
    ) -> Statement:
        """The data of a statement; too many names are left out."""
        names = seen.uncovered if seen.uncovered is None or len(seen.uncovered) <= MAX_NAMES else None
        return Statement(
            commune=unit.code,
            indicator=indicator,
            observed_at=observed_at,
            method=method,
            origin=Origin.SIMULATED,
            operator=operator,
            vintage=vintage,
            covered=seen.covered,
            expected=seen.expected,
            uncovered=names,
            measured=measured,
            until=until,
        )

    def name(self, name: str) -> str:
        """An id that no other run has."""
        return f"{self._run}/{name}"

    def event(self, name: str, source: str, at: datetime, data: Statement) -> Stated:
        """A statement with an id that is the run's own."""
        return Stated(specversion="1.0", id=self.name(name), source=source, time=at, data=data)

    def _claimed(self, owed: Obligation, unit: Unit, seen: Seen, habits: Habits, *, whole: bool) -> Seen:
        """What is claimed of what is seen: optimists claim some more, always in the same communes."""
        gap = seen.expected - seen.covered
        if whole:
            return Seen(seen.expected, seen.expected, () if seen.uncovered is not None else None)
        if not gap or not habits.optimistic or (owed.operator, unit.code, owed.indicator) in self.conceded:
            return seen
        lot, part = self._chance.lots(2, "optimist", owed.operator, owed.indicator, unit.code)
        if lot >= habits.optimistic:
            return seen
        more = 1 + int(part * gap)
        return Seen(seen.covered + more, seen.expected, None if seen.uncovered is None else seen.uncovered[more:])

    def _stated(self, sheet: Sheet, unit: Unit, said: Seen, suffix: str, at: datetime) -> Stated:
        owed = sheet.obligation
        data = self.statement(
            unit,
            owed.indicator,
            said,
            sheet.observed_at,
            operator=owed.operator if owed.operator != owed.reporter else None,
            vintage=sheet.vintage,
        )
        return self.event(self._name(sheet, unit) + suffix, owed.reporter, at, data)

    def _withdrawn(self, sheet: Sheet, unit: Unit, at: datetime) -> Withdrawn:
        owed = sheet.obligation
        data = Withdrawal(
            commune=unit.code,
            indicator=owed.indicator,
            observed_at=sheet.observed_at,
            origin=Origin.SIMULATED,
            operator=owed.operator if owed.operator != owed.reporter else None,
            vintage=sheet.vintage,
        )
        return Withdrawn(specversion="1.0", id=self.name(f"{self._name(sheet, unit)}/withdrawn"), source=owed.reporter, time=at, data=data)

    def _name(self, sheet: Sheet, unit: Unit) -> str:
        owed = sheet.obligation
        whose = owed.reporter if owed.operator == owed.reporter else f"{owed.reporter}/{owed.operator}"
        return f"{whose}/{sheet.label}/{unit.code}/{_what(owed.indicator)}"


def _what(indicator: str) -> str:
    return indicator.partition(".")[2]


def _written(said: Seen, lots: Sequence[float], habits: Habits, *, misspell: bool) -> Seen:
    """The names as they are written down: some not at all, some wrongly."""
    names = said.uncovered
    if not names:
        return said
    if misspell:
        return said._replace(uncovered=tuple(misspelt(name) for name in names))
    if lots[_UNNAMED] < habits.unnamed:
        return said._replace(uncovered=None)
    if lots[_MISSPELT] < habits.misspelt:
        which = int(lots[_WHICH] * len(names))
        return said._replace(uncovered=tuple(misspelt(name) if number == which else name for number, name in enumerate(names)))
    return said


def _wrong(said: Seen, upwards: float) -> Seen:
    """A slip in the count: one too many or too few, without the names."""
    up = said.covered < said.expected and (upwards < 0.5 or not said.covered)
    return Seen(said.covered + (1 if up else -1), said.expected, None)


def _rising(lots: Sequence[float]) -> list[float]:
    """Lots as moments one after the other."""
    totals = [0.0]
    for lot in lots:
        totals.append(totals[-1] + lot + 0.01)
    assert all(one < other for one, other in pairwise(totals))  # noqa: S101
    return totals[1:]
