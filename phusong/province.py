"""The state of one province: evidence in, changed rows out, incremental and equal to assessing from scratch.

Comes in: admitted events with their routes, and `as_of`. Goes out: the rows that changed. Owns the evidence of the units whose home is this
province, its assessed communes, their sums, and a heap of due dates: silence makes no event, so what time alone changes is looked up there.
Bad input does not come here. `as_of` never goes back: an earlier one is taken as the latest seen.
"""

from __future__ import annotations

import heapq
from datetime import UTC, datetime

from phusong import assessment
from phusong.assessment import Commune, Totals
from phusong.events import Event
from phusong.evidence import Cell, Outcome, Slots, fold
from phusong.register import Unit
from phusong.rows import CommuneRow, ProvinceRow, Row
from phusong.rules import Rules

Group = tuple[str, str]
"""(vintage, indicator): the communes that one province row sums up."""

_ADMITTED = Outcome.ADMITTED


class Province:
    """One home province. Every registered commune has a row from the first call of `rows` on, `unknown` until something is stated."""

    def __init__(self, rules: Rules, code: str) -> None:
        self.rules = rules
        self.code = code
        self.cells: dict[Cell, Slots] = {}
        self.dirty: set[Cell] = set()
        self.as_of = datetime.min.replace(tzinfo=UTC)
        self._units: dict[tuple[str, str], Unit] = {}
        self._communes: dict[Group, dict[str, Commune]] = {}
        self._totals: dict[Group, Totals] = {}
        self._stale_groups: set[Group] = set()
        self._province_rows: dict[Group, ProvinceRow] = {}
        self._due: list[tuple[datetime, Cell]] = []
        self._turns: list[tuple[datetime, str]] = []
        for vintage in rules.register.vintages:
            for unit in rules.register.of(vintage, code):
                self._units[vintage, unit.code] = unit
                for indicator in rules.catalogue.indicators:
                    cell = (vintage, unit.code, indicator)
                    self.cells[cell] = {}
                    self.dirty.add(cell)
                    self._communes.setdefault((vintage, indicator), {})
                    self._totals.setdefault((vintage, indicator), Totals())
        for indicator in rules.catalogue.indicators:
            self._turns += [(moment, indicator) for moment in rules.catalogue.turning_points(indicator, code)]
        heapq.heapify(self._turns)

    def apply(self, cell: Cell, slot: tuple[str, str, str, bool, str], event: Event) -> Outcome:
        """Fold one admitted event into the evidence."""
        outcome = fold(self.cells[cell], slot, event)
        if outcome is _ADMITTED:
            self.dirty.add(cell)
        return outcome

    def next_due(self) -> datetime | None:
        """The next moment at which time alone may change a row; None: never."""
        heads = [heap[0][0] for heap in (self._due, self._turns) if heap]
        return min(heads, default=None)

    def pending(self, as_of: datetime) -> bool:
        """Whether `rows(as_of)` has anything to do."""
        if self.dirty or self._stale_groups:
            return True
        due = self.next_due()
        return due is not None and due <= as_of

    def rows(self, as_of: datetime, limit: int | None = None) -> list[Row]:
        """The rows that changed since the last call, communes before their province.

        At most `limit` communes are assessed in one call; while some are left over, the province rows wait (`pending` stays true).
        """
        self.as_of = as_of = max(as_of, self.as_of)
        self._fall_due(as_of)
        changed: list[Row] = []
        taken = self.dirty if limit is None or len(self.dirty) <= limit else {self.dirty.pop() for _ in range(limit)}
        for cell in taken:
            row = self._reassess(cell, as_of)
            if row is not None:
                changed.append(row)
        if taken is self.dirty:
            self.dirty = set()
        if not self.dirty:
            changed += self._province_rows_changed(as_of)
        return changed

    def all_rows(self) -> list[Row]:
        """Every row as last assessed, province rows last."""
        communes: list[Row] = [one.row for group in self._communes.values() for one in group.values()]
        return [*communes, *self._province_rows.values()]

    def province_rows(self) -> list[ProvinceRow]:
        """Every province row as last assessed."""
        return list(self._province_rows.values())

    def _fall_due(self, as_of: datetime) -> None:
        while self._due and self._due[0][0] <= as_of:
            moment, cell = heapq.heappop(self._due)
            held = self._communes[cell[0], cell[2]].get(cell[1])
            # an entry whose commune was assessed again since has been replaced by a later one
            if held is not None and held.due == moment:
                self.dirty.add(cell)
        while self._turns and self._turns[0][0] <= as_of:
            _, indicator = heapq.heappop(self._turns)
            for group, held_communes in self._communes.items():
                if group[1] == indicator:
                    self.dirty.update((group[0], commune, indicator) for commune in held_communes)

    def _reassess(self, cell: Cell, as_of: datetime) -> CommuneRow | None:
        vintage, code, indicator = cell
        group = (vintage, indicator)
        catalogue = self.rules.catalogue
        new = assessment.commune(
            self._units[vintage, code],
            self.code,
            catalogue.indicators[indicator],
            self.cells[cell],
            catalogue.obliged(indicator, self.code, code),
            as_of,
        )
        old = self._communes[group].get(code)
        if old is not None:
            self._totals[group].add(old, -1)
        self._totals[group].add(new)
        self._communes[group][code] = new
        self._stale_groups.add(group)
        if new.due is not None and (old is None or old.due != new.due):
            heapq.heappush(self._due, (new.due, cell))
        return new.row if old is None or old.row != new.row else None

    def _province_rows_changed(self, as_of: datetime) -> list[ProvinceRow]:
        changed = []
        for group in sorted(self._stale_groups):
            vintage, indicator = group
            row = assessment.province(
                self.rules,
                vintage,
                self.code,
                self.rules.catalogue.indicators[indicator],
                self._totals[group],
                self._communes[group].values(),
                as_of,
            )
            if self._province_rows.get(group) != row:
                self._province_rows[group] = row
                changed.append(row)
        self._stale_groups.clear()
        return changed
