"""The view of an operator: what its statements on one commune and indicator amount to, whoever made them and whenever.

Comes in: the slots of a cell and of its predecessors' cells, the obligations that bind, and `as_of`. Goes out: one `View` for each
operator. Owns no state. Bad input does not come here. Source of the rules: docs/rules.md, where each has a worked number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from fractions import Fraction
from typing import Protocol

import msgspec
from msgspec import Struct

from phusong.events import Method, Stated
from phusong.evidence import Cell, Emptied, Slots, order
from phusong.indicators import Indicator, Obligation
from phusong.periods import Period, fresh_until, one_after
from phusong.places import place_key
from phusong.register import Base, Extent, Register, Unit
from phusong.rows import Mark

Number = int | Fraction


class Evidence(Protocol):
    """Where the slots of a cell are looked up."""

    def get(self, cell: Cell, default: Slots, /) -> Slots:
        """The slots of that cell, or `default`."""


class View(Struct, frozen=True, kw_only=True, gc=False):
    """What one operator's service is in one commune.

    `covered` of `expected` is what is claimed, `most` the most that it can be; not `known`: nothing stands (`expected` is then the size
    last stated, `sized` whether there was one). Known but not `sized`: a part of the territory is unknown, so `expected` is too small.
    `gap`: key of a place -> its name; `named`: these are all the places behind the gap.
    """

    known: bool
    covered: Number = 0
    most: Number = 0
    expected: int = 0
    sized: bool = True
    gap: dict[str, str] = {}
    named: bool = False
    statements: tuple[Stated, ...] = ()
    """The deciding one first."""
    observed_at: datetime | None = None
    fresh_until: datetime | None = None
    marks: frozenset[Mark] = frozenset()
    turns: tuple[datetime, ...] = ()
    """When time alone changes this view (the end of a temporary state)."""
    unresolved_since: datetime | None = None
    """When the first of the temporary states that are unresolved was to be over; None: none is."""

    def fresh(self, as_of: datetime) -> bool:
        """Fresh until the deadline (plus grace) of the period after the one observed; then stale."""
        return self.fresh_until is not None and as_of < self.fresh_until


NEVER = View(known=False, sized=False)
"""The view of an operator that never stated anything."""


class Said(Struct, gc=False):
    """What stands in one operator's slots of one cell, sorted by kind."""

    declared: tuple[Stated, ...] = ()
    measured: tuple[Stated, ...] = ()
    partial: tuple[tuple[str, Stated], ...] = ()
    """(key of the place, the measurement that visited it)."""
    petitions: tuple[Stated, ...] = ()
    temporary: tuple[Stated, ...] = ()
    emptied: tuple[Stated, ...] = ()
    """The last statements of lasting, whole slots that were taken back."""


def sort_out(slots: Slots) -> dict[str, Said]:
    """Operator -> what stands in its slots."""
    found: dict[str, Said] = {}
    for (operator, _, method, temporary, place), held in slots.items():
        said = found.get(operator)
        if said is None:
            said = found[operator] = Said()
        if isinstance(held, Emptied):
            if held.last is not None and not temporary and not place and method != Method.PETITIONED:
                said.emptied += (held.last,)
        elif method == Method.PETITIONED:
            said.petitions += (held,)
        elif place:
            said.partial += ((place, held),)
        elif temporary:
            said.temporary += (held,)
        elif method == Method.MEASURED:
            said.measured += (held,)
        else:
            said.declared += (held,)
    return found


class Line:
    """A unit's evidence on one indicator and, behind it, that of the units it was made of."""

    def __init__(self, cells: Evidence, register: Register, unit: Unit, indicator: Indicator) -> None:
        self._cells, self._register = cells, register
        self.unit, self.indicator = unit, indicator
        count = register.counts.get(unit.id, {}).get(indicator.base)
        self.size = None if count is None else count.value
        self.assumed_size = count is not None and count.status == "assumed"
        self.places = register.places.get(unit.id, {})
        self._rows = frozenset(self.places.values())
        self.said = sort_out(cells.get((*unit.id, indicator.id), {}))
        self._before: list[tuple[Line, Extent]] | None = None

    @property
    def before(self) -> list[tuple[Line, Extent]]:
        """The predecessors' lines, and how much of each unit came here."""
        if self._before is None:
            found = self._register.predecessors.get(self.unit.id, ())
            self._before = [(Line(self._cells, self._register, one.unit, self.indicator), one.extent) for one in found]
        return self._before

    @property
    def since(self) -> datetime:
        """From when on the territory has been one unit: a list that leaves it unchanged does not begin it anew."""
        if [extent for _, extent in self.before] == [Extent.WHOLE]:
            return self.before[0][0].since
        return self._register.vintages[self.unit.vintage].start

    def registered(self, gap: Iterable[str]) -> bool:
        """Whether every key is that of a place in seeds/places.csv."""
        return self._rows.issuperset(gap)

    def key(self, name: str) -> str:
        """What a place of this unit is compared by: the key of its row in seeds/places.csv, or of its name."""
        return self.place(place_key(name))

    def place(self, key: str) -> str:
        """The same for the key of a name."""
        return self.places.get(key, key)

    def gap(self, names: Iterable[str] | None) -> dict[str, str]:
        """Key -> name of the places behind a gap: the name of its row in seeds/places.csv, or else as it was written."""
        return {(key := self.key(name)): self._register.place_names.get((*self.unit.id, key), name) for name in names or ()}


def view(line: Line, operator: str, obligations: Sequence[Obligation], as_of: datetime) -> View:
    """The operator's own statements in this vintage, else those of the predecessors; `obligations`: of this operator, at least one."""
    said = line.said.get(operator)
    if said is None:
        return _inherited(line, operator, obligations, as_of)
    deciding = _deciding(said, line.indicator.period)
    if deciding is not None:
        base = _stated(line, deciding, obligations)
    elif said.emptied:
        base = View(known=False, expected=max(said.emptied, key=order).data.expected)
    else:
        base = _inherited(line, operator, obligations, as_of)
    return _adjusted(line, said, base, as_of)


def _deciding(said: Said, period: Period) -> Stated | None:
    """The latest observed of declared and whole measurements (ties by the slot order).

    A whole measurement, until the next one, stands against any higher declaration observed less than one period after it.
    """
    if not said.measured:
        return said.declared[0] if len(said.declared) == 1 else max(said.declared, key=order, default=None)
    candidates = list(said.measured)
    for declared in said.declared:
        before = max((m for m in said.measured if order(m) <= order(declared)), key=order, default=None)
        if before is None or _ratio(declared) <= _ratio(before) or declared.data.observed_at >= one_after(period, before.data.observed_at):
            candidates.append(declared)
    return max(candidates, key=order)


def _ratio(event: Stated) -> Fraction:
    # not applicable is above all: it claims that nothing can be missing
    return Fraction(event.data.covered, event.data.expected) if event.data.expected else Fraction(2)


def _stated(line: Line, event: Stated, obligations: Sequence[Obligation]) -> View:
    """What one lasting statement about the whole unit says, fresh by the obligation of whoever said it, or else by the operator's first."""
    data = event.data
    covered = most = data.covered
    gap = line.gap(data.uncovered) if data.uncovered else {}
    if gap and line.indicator.counts_places:
        # more names than uncovered places: never more is claimed; two spellings may be one place unless both are rows of the register
        covered = min(covered, max(0, data.expected - len(gap)))
        most = covered if line.registered(gap) else most
    obligation = obligations[0] if len(obligations) == 1 else next((o for o in obligations if o.reporter == event.source), obligations[0])
    return View(
        known=True,
        covered=covered,
        most=most,
        expected=data.expected,
        gap=gap,
        named=len(gap) == data.expected - covered,
        statements=(event,),
        observed_at=data.observed_at,
        fresh_until=fresh_until(obligation.period, obligation.deadline_days + obligation.grace_days, data.observed_at),
    )


def _inherited(line: Line, operator: str, obligations: Sequence[Obligation], as_of: datetime) -> View:
    """From the units it was made of: one whole, as it is; several whole, counts add up and presence is any; of a part nothing is known."""
    if not line.before:
        return NEVER
    if len(line.before) == 1 and line.before[0][1] is Extent.WHOLE:
        only = view(line.before[0][0], operator, obligations, as_of)
        return _with(only, marks=only.marks | {Mark.INHERITED}) if only.known else only
    found = [(one, view(one, operator, obligations, as_of)) for one, extent in line.before if extent is Extent.WHOLE]
    known = [(one, seen) for one, seen in found if seen.known]
    complete = len(known) == len(line.before)
    # that there is nothing to cover in one part says nothing of the other
    if not known or not (complete or any(seen.expected for _, seen in known)):
        return NEVER
    views = [seen for _, seen in known]
    marks = frozenset({Mark.INHERITED}).union(*(seen.marks for seen in views))
    gap = dict(_qualified(line, one, key, name) for one, seen in known for key, name in seen.gap.items())
    if line.indicator.base is Base.UNITS:
        best = max((seen for seen in views if seen.expected), key=lambda seen: Fraction(seen.covered) / seen.expected, default=views[0])
        covered, most, expected, sized = best.covered, best.most if complete else best.expected, best.expected, True
        gap = gap if covered < expected else {}
    else:
        covered, most = sum(seen.covered for seen in views), sum(seen.most for seen in views)
        expected, sized = sum(seen.expected for seen in views), complete and all(seen.sized for seen in views)
        if not sized and line.size is not None:
            expected = max(expected, line.size)
            most, sized = expected, True
    return View(
        known=True,
        covered=covered,
        most=most,
        expected=expected,
        sized=sized,
        gap=gap,
        # two of them may each have a village by a name that is one row of the register here
        named=complete and all(seen.named for seen in views) and len(gap) == expected - covered,
        statements=tuple(event for seen in views for event in seen.statements),
        observed_at=min(seen.observed_at for seen in views if seen.observed_at),
        fresh_until=min(seen.fresh_until for seen in views if seen.fresh_until),
        marks=marks,
        turns=tuple(moment for _, seen in found for moment in seen.turns),
        unresolved_since=min([seen.unresolved_since for seen in views if seen.unresolved_since is not None], default=None),
    )


def _qualified(line: Line, before: Line, key: str, name: str) -> tuple[str, str]:
    # two communes may each have a village of one name; a row in seeds/places.csv of the new commune settles which is meant
    mine, shown = next(iter(line.gap([name]).items()))
    return (mine, shown) if line.registered([mine]) else (f"{before.unit.code}/{key}", name)


def _adjusted(line: Line, said: Said, base: View, as_of: datetime) -> View:
    """The view after the places measured one by one, the temporary states and the petitions have had their say."""
    if not (said.partial or said.temporary or said.petitions or (said.measured and said.declared)):
        return base
    adjusted = _darkened(line, said, base, as_of) if said.partial else base
    if said.temporary:
        adjusted = _interrupted(line, said, adjusted, as_of)
    marks = set(adjusted.marks)
    turns = list(adjusted.turns)
    if _in_conflict(line, said):
        marks.add(Mark.CONFLICT)
    for petition in said.petitions:
        until = petition.data.until
        if adjusted.known and _contests(line, said, petition, adjusted) and (until is None or as_of < until):
            marks.add(Mark.CONTESTED)
        if until is not None:
            turns.append(until)
    return _with(adjusted, marks=frozenset(marks), turns=tuple(turns))


def _dark(line: Line, said: Said, as_of: datetime) -> tuple[dict[str, Stated], list[datetime]]:
    """Place -> the measurement that found it dark, unless it was found lit later; and when temporary ones turn."""
    lasting: dict[str, Stated] = {}
    passing: list[tuple[str, Stated]] = []
    for place, event in said.partial:
        key = line.place(place)
        if event.data.until is not None:
            passing.append((key, event))
        elif key not in lasting or order(event) > order(lasting[key]):
            lasting[key] = event
    dark = {key: event for key, event in lasting.items() if _names(line, event, key) and not _lit(line, said, key, event)}
    turns = []
    for key, event in sorted(passing, key=lambda one: order(one[1])):
        until = event.data.until
        later = [*said.declared, *said.measured, *([lasting[key]] if key in lasting else [])]
        if until is None or not _names(line, event, key) or any(order(one) > order(event) for one in later):
            continue
        turns.append(until)
        if until <= as_of:
            dark[key] = event
    return dark, turns


def _names(line: Line, event: Stated, key: str) -> bool:
    return any(line.key(name) == key for name in event.data.uncovered or ())


def _lit(line: Line, said: Said, key: str, dark: Stated) -> bool:
    """Whether a whole measurement after `dark` found this place lit: it names every place behind its gap, and not this one."""
    for event in said.measured:
        data = event.data
        keys = {line.key(name) for name in data.uncovered or ()}
        if order(event) > order(dark) and key not in keys and len(keys) == data.expected - data.covered:
            return True
    return False


def _darkened(line: Line, said: Said, base: View, as_of: datetime) -> View:
    """A place measured dark is added to the uncovered; one that may be among the uncovered already leaves `most` where it is."""
    dark, turns = _dark(line, said, as_of)
    base = _timed(base, turns, as_of)
    new = {key: line.gap(event.data.uncovered)[key] for key, event in dark.items() if key not in base.gap}
    if not base.known or not new:
        return base
    gap = base.gap | new
    covered, most = base.covered, base.most
    if line.indicator.counts_places:
        covered = max(0, base.covered - len(new))
        # the same holds here; one dark place is a gap in any case
        most = min(base.most, max(0, base.expected - (len(gap) if line.registered(gap) else 1)))
    statements = dict.fromkeys((*base.statements, *(dark[key] for key in sorted(new))))
    covered = min(covered, most)
    return _with(
        base,
        covered=covered,
        most=most,
        gap=gap,
        named=base.named and len(gap) == base.expected - covered,
        statements=tuple(statements),
    )


def _timed(base: View, ends: Iterable[datetime], as_of: datetime) -> View:
    """The view, marked for temporary states that nothing followed: interrupted until their ends, unresolved from then on."""
    marks, turns, since = base.marks, base.turns, base.unresolved_since
    for until in ends:
        if as_of < until:
            marks, turns = marks | {Mark.INTERRUPTED}, (*turns, until)
        else:
            marks, since = marks | {Mark.UNRESOLVED}, until if since is None else min(since, until)
    return _with(base, marks=marks, turns=turns, unresolved_since=since)


def _interrupted(line: Line, said: Said, base: View, as_of: datetime) -> View:
    """While `until` lies ahead the lasting value counts; after it, without a later lasting statement, the lesser of the two."""
    seen = base
    # a place that was measured by itself says nothing of the rest
    inherited = [one for one in base.statements if one.data.measured is None and one.data.until is None]
    lasting = [*said.declared, *said.measured] or inherited
    for event in sorted(said.temporary, key=order):
        data = event.data
        if data.until is None or any(order(one) > order(event) for one in lasting):
            continue
        # a later word that was taken back told all the same that this was over
        followed = any(order(one) > order(event) for one in said.emptied)
        if as_of < data.until or not followed:
            seen = _timed(seen, [data.until], as_of)
        if data.until <= as_of and seen.known and seen.expected and data.expected:
            seen = _lesser(line, seen, event)
    return seen


def _lesser(line: Line, lasting: View, event: Stated) -> View:
    """Place by place where places are counted, else the smaller share; the size stays that of the lasting value."""
    data = event.data
    scaled = Fraction(data.covered * lasting.expected, data.expected)
    keys = line.gap(data.uncovered)
    gap = lasting.gap | keys
    covered = min(Fraction(lasting.covered), scaled)
    if line.indicator.counts_places:
        covered = min(covered, Fraction(max(0, lasting.expected - len(gap))))
    named = lasting.named and data.expected == lasting.expected == covered + len(gap) and len(keys) == data.expected - data.covered
    if not keys and covered == lasting.covered:
        gap, named = lasting.gap, lasting.named
    return _with(
        lasting,
        covered=_whole(covered),
        most=_whole(max(covered, min(Fraction(lasting.most), scaled))),
        gap=gap,
        named=named,
        statements=(*lasting.statements, event),
    )


def _whole(value: Fraction) -> Number:
    return value.numerator if value.denominator == 1 else value


def _contests(line: Line, said: Said, petition: Stated, seen: View) -> bool:
    """Whether a petition claims less than the view and no measurement after it has settled that."""
    data = petition.data
    keys = {line.key(name) for name in data.uncovered or ()}
    less = data.expected > 0 and Fraction(data.covered, data.expected) * seen.expected < seen.covered
    if not less and keys <= seen.gap.keys():
        return False
    if any(order(one) > order(petition) for one in said.measured):
        return False
    visited = {line.place(place) for place, one in said.partial if order(one) > order(petition)}
    return not keys or not keys <= visited


def _near(period: Period, one: Stated, other: Stated) -> bool:
    """Observed less than one period apart: about the same time."""
    first, second = sorted((one.data.observed_at, other.data.observed_at))
    return second < one_after(period, first)


def _differ(indicator: Indicator, one: Stated, other: Stated) -> bool:
    if not one.data.expected or not other.data.expected:
        return one.data.expected != other.data.expected
    return abs(_ratio(one) - _ratio(other)) > indicator.tolerance


def _in_conflict(line: Line, said: Said) -> bool:
    """Whether measured and declared differ beyond the tolerance: whole against whole, or by the places found dark."""
    period = line.indicator.period
    declared = max(said.declared, key=order, default=None)
    if declared is None:
        return False
    measured = max(said.measured, key=order, default=None)
    if measured is not None and _near(period, declared, measured) and _differ(line.indicator, declared, measured):
        return True
    near: dict[str, Stated] = {}
    for place, one in said.partial:
        key = line.place(place)
        if one.data.until is None and _near(period, declared, one) and (key not in near or order(one) > order(near[key])):
            near[key] = one
    keys = {line.key(name) for name in declared.data.uncovered or ()}
    dark = {key for key, one in near.items() if key not in keys and _names(line, one, key) and not _lit(line, said, key, one)}
    # places that the declaration left uncovered without naming them may be these
    unnamed = max(0, declared.data.expected - declared.data.covered - len(keys)) if line.indicator.counts_places else 0
    beyond = len(dark) - unnamed
    if not line.indicator.counts_places:
        return bool(dark) and declared.data.covered == declared.data.expected
    return beyond > 0 and beyond > line.indicator.tolerance * declared.data.expected


def checks(line: Line) -> list[tuple[str, bool]]:
    """For every field measurement and every declaration of the same operator and time: who declared, and whether the two agree."""
    found: list[tuple[str, bool]] = []
    for said in line.said.values():
        if not (said.declared and (said.measured or said.partial)):
            continue
        for declared in said.declared:
            data = declared.data
            keys = {line.key(name) for name in data.uncovered or ()}
            near = [one for one in said.measured if _near(line.indicator.period, declared, one)]
            found += [(declared.source, not _differ(line.indicator, declared, one)) for one in near]
            if line.indicator.counts_places and len(keys) == data.expected - data.covered:
                for place, one in said.partial:
                    key = line.place(place)
                    if one.data.until is None and _near(line.indicator.period, declared, one):
                        found.append((declared.source, _names(line, one, key) == (key in keys)))
    return found


def reported_at(line: Line, operator: str, reporter: str) -> datetime | None:
    """When what this reporter last said of the operator was observed; None: it said nothing yet, or nothing of a part of the territory.

    Its own statements in this vintage, else the worst of the predecessors'.
    """
    said = line.said.get(operator)
    if said is not None:
        mine = [one.data.observed_at for one in said.declared if one.source == reporter]
        mine += [one.data.observed_at for one in said.measured if one.source == reporter]
        if mine:
            return max(mine)
        if said.emptied and any(one.source == reporter for one in said.emptied):
            return None
    moments: list[datetime] = []
    for before, extent in line.before:
        moment = reported_at(before, operator, reporter) if extent is Extent.WHOLE else None
        if moment is None:
            return None
        moments.append(moment)
    return min(moments, default=None)


def _with(base: View, **changes: object) -> View:
    return msgspec.structs.replace(base, **changes)
