"""The state of one home province: evidence in, changed rows out, incremental and equal to assessing from scratch.

Comes in: admitted events with their routes, and `as_of`. Goes out: the rows that changed, and why. Owns the evidence of the units whose
home is this province, its assessed communes, their sums, and a heap of due dates: silence makes no event, so what time alone changes is
looked up there. Bad input does not come here. `as_of` never goes back: an earlier one is taken as the latest seen.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import partial

from msgspec import Struct

from phusong import assessment
from phusong.communes import Commune, Totals, commune
from phusong.events import Challenged, Event, Fact, Promised, Withdrawn
from phusong.evidence import Cell, Outcome, Slot, Slots, fold
from phusong.follow_ups import FollowUps, follow
from phusong.pace import Pace, Past, remember
from phusong.register import Unit, UnitId
from phusong.rows import MAX_CAUSES, Cause, CauseKind, CommuneRow, ProvinceRow, Row
from phusong.rules import Rules

Group = tuple[str, str, str]
"""(vintage, province, indicator): the communes that one province row sums up."""

_ADMITTED = Outcome.ADMITTED
_UNSEEN = Cause(kind=CauseKind.REBUILD)


class _Turn(Struct, frozen=True, order=True):
    """A moment at which a row of the seeds changes what holds, whatever was stated. Empty: every vintage, indicator, commune."""

    moment: datetime
    kind: CauseKind
    province: str
    vintage: str = ""
    indicator: str = ""
    communes: tuple[str, ...] = ()


class _Why:
    """What happened to a group since its row was last assessed."""

    def __init__(self) -> None:
        self.kinds: set[CauseKind] = set()
        self.events: dict[str, bool] = {}
        self.more = 0

    def heard(self, event: Fact) -> None:
        if len(self.events) < MAX_CAUSES:
            self.events[f"{event.source} {event.id}"] = isinstance(event, Withdrawn)
        else:
            self.more += 1

    @property
    def cause(self) -> Cause:
        """What was stated before what the rows of the seeds changed, and that before the mere passing of time."""
        if self.events:
            kind = CauseKind.WITHDRAWAL if all(self.events.values()) else CauseKind.STATEMENT
            return Cause(kind=kind, events=tuple(self.events), more=self.more)
        order = (CauseKind.SUCCESSION, CauseKind.TARGET, CauseKind.OBLIGATION)
        return Cause(kind=next((kind for kind in order if kind in self.kinds), CauseKind.TIME))


class Province:
    """One home province. From the first call of `rows` on every commune of a list that has come into force has a row, if only `unknown`."""

    def __init__(self, rules: Rules, code: str) -> None:
        self.rules = rules
        self.code = code
        self.cells: dict[Cell, Slots] = {}
        self.follow_ups: FollowUps = {}
        self.as_of = datetime.min.replace(tzinfo=UTC)
        self._units: dict[UnitId, Unit] = {}
        self._touched: set[Cell] = set()
        self._dirty: set[Cell] = set()
        self._dirty_bounded: set[Cell] = set()
        self._communes: dict[Group, dict[str, Commune]] = {}
        self._totals: dict[Group, Totals] = {}
        self._stale_groups: set[Group] = set()
        self._province_rows: dict[Group, ProvinceRow] = {}
        self._why: dict[Group, _Why] = {}
        self._causes: dict[str, Cause] = {}
        self._due: dict[datetime, set[Cell]] = {}
        self._due_moments: list[datetime] = []
        """A heap of the keys of `_due`: many communes share a deadline."""
        self.past: Past = {}
        """What was stated in each period, of the indicators that have a target to be reached by a date: only those need a pace."""
        self._paced = {t.indicator: rules.catalogue.indicators[t.indicator].period for t in rules.catalogue.targets if t.due}
        self._past_touched: set[tuple[Cell, int]] = set()
        self._paces: dict[Group, Pace] = {}
        self._bounds: dict[str, list[str]] = {}
        for indicator in rules.catalogue.indicators.values():
            if indicator.at_most:
                self._bounds.setdefault(indicator.at_most, []).append(indicator.id)
        for vintage in rules.register.vintages:
            for unit in rules.register.of(vintage, code):
                self._units[unit.id] = unit
                for indicator_id in rules.catalogue.indicators:
                    self.cells[vintage, unit.code, indicator_id] = {}
        self._turns = list(self._seed_turns())
        heapq.heapify(self._turns)

    def apply(self, cell: Cell, slot: Slot, event: Event) -> Outcome:
        """Fold one admitted event into the evidence."""
        if isinstance(event, Promised | Challenged):
            outcome = follow(self.follow_ups.setdefault(cell, {}), slot, event)
            if outcome is _ADMITTED:
                self._touched.add(cell)
            return outcome
        outcome = fold(self.cells[cell], slot, event)
        period = self._paced.get(cell[2])
        if period is not None and (number := remember(self.past, period, cell, slot, event)) is not None:
            self._past_touched.add((cell, number))
        if outcome is _ADMITTED:
            self._touched.add(cell)
            if self._why:
                self._heard(cell, event)
        return outcome

    def next_due(self) -> datetime | None:
        """The next moment at which time alone may change a row; None: never."""
        heads = self._due_moments[:1]
        if self._turns:
            heads.append(self._turns[0].moment)
        return min(heads, default=None)

    def pending(self, as_of: datetime) -> bool:
        """Whether `rows(as_of)` has anything to do."""
        if self._touched or self._past_touched or self._dirty or self._dirty_bounded or self._stale_groups:
            return True
        due = self.next_due()
        return due is not None and due <= as_of

    def rows(self, as_of: datetime, limit: int | None = None) -> list[Row]:
        """The rows that changed since the last call, communes before their province.

        At most `limit` communes are assessed in one call; while some are left over, the province rows wait (`pending` stays true).
        """
        self.as_of = as_of = max(as_of, self.as_of)
        self._turn(as_of)
        self._fall_due(as_of)
        for cell in self._touched:
            for concerned in self._concerned(cell):
                self._soil(concerned)
        self._touched.clear()
        for cell, number in self._past_touched:
            for vintage, code, indicator in self._concerned(cell):
                group = self._group((vintage, code, indicator))
                self._paces[group].forget(code, number)
                self._stale_groups.add(group)
        self._past_touched.clear()
        changed: list[Row] = []
        while (self._dirty or self._dirty_bounded) and (limit is None or limit > 0):
            # what is bounded by another indicator comes after all that may bound it, so that it is assessed once
            row = self._reassess((self._dirty or self._dirty_bounded).pop(), as_of)
            if row is not None:
                changed.append(row)
            limit = None if limit is None else limit - 1
        if not (self._dirty or self._dirty_bounded):
            changed += self._province_rows_changed(as_of)
        return changed

    def all_rows(self) -> list[Row]:
        """Every row as last assessed, province rows last."""
        communes: list[Row] = [one.row for group in self._communes.values() for one in group.values()]
        return [*communes, *self._province_rows.values()]

    def province_rows(self) -> list[ProvinceRow]:
        """Every province row as last assessed."""
        return list(self._province_rows.values())

    def row_keys(self) -> set[str]:
        """The key of every row that register and catalogue know, of lists not yet in force too."""
        return {
            f"{vintage}/{code}/{indicator}"
            for unit in self._units.values()
            for vintage, code in ((unit.vintage, unit.code), (unit.vintage, unit.province))
            for indicator in self.rules.catalogue.indicators
        }

    def cause(self, row: ProvinceRow) -> Cause:
        """Why the verdict of this row last changed."""
        return self._causes.get(row.key, _UNSEEN)

    def _seed_turns(self) -> Iterator[_Turn]:
        listed = {(unit.vintage, unit.province) for unit in self._units.values()}
        for vintage_id, province in listed:
            vintage = self.rules.register.vintages[vintage_id]
            for moment in (vintage.start, vintage.end):
                if moment is not None:
                    yield _Turn(moment, CauseKind.SUCCESSION, province, vintage_id)
        for province in {province for _, province in listed}:
            for indicator in self.rules.catalogue.indicators:
                yield from self._catalogue_turns(province, indicator)

    def _catalogue_turns(self, province: str, indicator: str) -> Iterator[_Turn]:
        for target in self.rules.catalogue.targets_of(indicator, province):
            for moment in (target.start, target.due, target.end):
                if moment is not None:
                    yield _Turn(moment, CauseKind.TARGET, province, indicator=indicator)
        for obligation in self.rules.catalogue.obligations_of(indicator, province):
            for moment in (obligation.start, obligation.end):
                if moment is not None:
                    communes = tuple(sorted(obligation.communes))
                    yield _Turn(moment, CauseKind.OBLIGATION, province, indicator=indicator, communes=communes)

    def _turn(self, as_of: datetime) -> None:
        first = not self._why
        while self._turns and self._turns[0].moment <= as_of:
            turn = heapq.heappop(self._turns)
            if turn.kind is CauseKind.SUCCESSION and turn.moment == self.rules.register.vintages[turn.vintage].start:
                self._open(turn, seen=not first)
                continue
            for group in self._totals:
                vintage, province, indicator = group
                if province != turn.province or turn.vintage not in ("", vintage) or turn.indicator not in ("", indicator):
                    continue
                if not first:
                    self._note(group, turn.kind)
                self._stale_groups.add(group)
                if turn.kind is CauseKind.TIME:
                    self._expect_point(group)
                end = self.rules.register.vintages[vintage].end
                if turn.kind is CauseKind.OBLIGATION and (end is None or turn.moment < end):
                    for code in turn.communes or self._communes[group]:
                        if (vintage, code) in self._units:
                            self._soil((vintage, code, indicator))

    def _open(self, turn: _Turn, *, seen: bool) -> None:
        """A list of communes comes into force: each of its communes has a row from now on."""
        for indicator in self.rules.catalogue.indicators:
            group = (turn.vintage, turn.province, indicator)
            self._communes[group], self._totals[group] = {}, Totals()
            if indicator in self._paced:
                self._paces[group] = self._pace(group)
                self._expect_point(group)
            if seen:
                self._note(group, turn.kind)
        for unit in self.rules.register.of(turn.vintage, self.code):
            if unit.province == turn.province:
                for indicator in self.rules.catalogue.indicators:
                    self._soil((unit.vintage, unit.code, indicator))

    def _pace(self, group: Group) -> Pace:
        vintage, province, indicator = group
        units = [unit for unit in self.rules.register.of(vintage, self.code) if unit.province == province]
        return Pace(self.rules, units, self.rules.catalogue.indicators[indicator], self.past)

    def _expect_point(self, group: Group) -> None:
        """The next period's end becomes a point, for as long as a target may still be reached by its date."""
        vintage, province, indicator = group
        due = self._paces[group].next_due(self.as_of)
        last = max((t.due for t in self.rules.catalogue.targets_of(indicator, province) if t.due), default=None)
        if due is not None and last is not None and due < last:
            heapq.heappush(self._turns, _Turn(due, CauseKind.TIME, province, vintage, indicator))

    def _fall_due(self, as_of: datetime) -> None:
        while self._due_moments and self._due_moments[0] <= as_of:
            moment = heapq.heappop(self._due_moments)
            for cell in self._due.pop(moment):
                group = self._group(cell)
                # one whose commune was assessed again since waits for another moment now
                if self._communes[group][cell[1]].due == moment:
                    self._note(group, CauseKind.TIME)
                    self._soil(cell)

    def _soil(self, cell: Cell) -> None:
        bounded = self.rules.catalogue.indicators[cell[2]].at_most
        (self._dirty_bounded if bounded else self._dirty).add(cell)

    def _concerned(self, cell: Cell) -> Iterable[Cell]:
        """Every cell with a row that this evidence counts for: its own, and those of the units that its territory went into."""
        vintage, code, indicator = cell
        every = ((vintage, code), *self.rules.register.later((vintage, code)))
        return [(*unit_id, indicator) for unit_id in every if self._group((*unit_id, indicator)) in self._totals]

    def _group(self, cell: Cell) -> Group:
        vintage, code, indicator = cell
        return (vintage, self._units[vintage, code].province, indicator)

    def _note(self, group: Group, kind: CauseKind) -> None:
        self._why.setdefault(group, _Why()).kinds.add(kind)

    def _heard(self, cell: Cell, event: Fact) -> None:
        for vintage, code, indicator in self._concerned(cell):
            for one in (indicator, *self._bounds.get(indicator, ())):
                self._why.setdefault(self._group((vintage, code, one)), _Why()).heard(event)

    def _reassess(self, cell: Cell, as_of: datetime) -> CommuneRow | None:
        vintage, code, indicator_id = cell
        group = self._group(cell)
        indicator = self.rules.catalogue.indicators[indicator_id]
        bound = self._communes[vintage, group[1], indicator.at_most][code] if indicator.at_most else None
        new = commune(self.rules, self._units[vintage, code], indicator, self.cells, bound, as_of, self.follow_ups)
        old = self._communes[group].get(code)
        if old is not None:
            self._totals[group].add(old, -1)
        self._totals[group].add(new)
        self._communes[group][code] = new
        self._stale_groups.add(group)
        for bounded in self._bounds.get(indicator_id, ()):
            if old is None or (old.high, old.weight) != (new.high, new.weight):
                self._dirty_bounded.add((vintage, code, bounded))
        if new.due is not None and (old is None or old.due != new.due):
            if new.due not in self._due:
                self._due[new.due] = set()
                heapq.heappush(self._due_moments, new.due)
            self._due[new.due].add(cell)
        return new.row if old is None or old.row != new.row else None

    def _province_rows_changed(self, as_of: datetime) -> list[ProvinceRow]:
        changed = []
        for group in sorted(self._stale_groups):
            vintage, province, indicator = group
            row = assessment.province(
                self.rules,
                vintage,
                province,
                self.rules.catalogue.indicators[indicator],
                self._totals[group],
                self._communes[group].values(),
                partial(self._paces[group].points, as_of) if group in self._paces else list,
                as_of,
            )
            old = self._province_rows.get(group)
            if old is None or old.verdict is not row.verdict:
                self._causes[row.key] = self._why[group].cause if group in self._why else _UNSEEN
            self._why[group] = _Why()
            if old != row:
                self._province_rows[group] = row
                changed.append(row)
        self._stale_groups.clear()
        return changed
