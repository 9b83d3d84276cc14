"""The hidden true world of a simulation: villages, masts, stations and postal points, and what becomes of them.

Comes in: the rules' register and catalogue, a seed's `Chance`, and how quickly things change. Goes out: what is due to change
(`built`, `broken`), and what a perfect observer sees of an operator in a commune at the present moment (`seen`). Owns the present state:
for each piece of territory, indicator and operator the items that are covered. Bad input does not come here.

A piece is a territory that no list of communes cuts in two: a commune of the first list, or the part of one that a later list gave to one
successor. Its counts are the register's, so that the pieces of any commune add up to the commune. What is covered are items of a piece
(villages, blocks of households, its loudspeaker station, its postal points); each is built at a moment that depends on the seed alone, and
out of order from time to time, with its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
from msgspec import Struct

from phusong.indicators import Indicator, Union
from phusong.periods import VIETNAM
from phusong.register import Base, Register, Unit, UnitId
from phusong.rules import Rules
from producers.simulator.chance import Chance

EPOCH = datetime(2023, 1, 1, tzinfo=VIETNAM)
"""When the shares of `PROFILES` hold; the world is the same whenever a run begins."""
MAST = "telecom.mobile_signal_villages"
"""The indicator that a mast serves first: what is out here is a mast."""

_YEAR_MINUTES = 365 * 24 * 60
_BLOCKS = 40
_POINTS_MAX = 3
# for a register without counts
_VILLAGES, _PEOPLE_A_VILLAGE, _PEOPLE_A_HOUSEHOLD = 10, 480, 4


class Profile(Struct, frozen=True, kw_only=True):
    """How a service begins and goes on: the share of its items there at the epoch, and added a year.

    `within`: never where that indicator is not (as radio is received only where it is covered); `breaks`: outages a year of each cluster of
    `cluster` neighbouring items; `days_max`: the longest of them.
    """

    start: float = 0.8
    yearly: float = 0.05
    within: str = ""
    breaks: float = 0.0
    cluster: int = 3
    days_max: int = 20


PROFILES = {
    MAST: Profile(start=0.88, yearly=0.04, breaks=0.25, days_max=45),
    "telecom.mobile_full_signal_villages": Profile(start=0.86, yearly=0.05, within=MAST),
    "telecom.mobile_4g_population": Profile(start=0.92, yearly=0.03, within=MAST),
    "telecom.mobile_5g_population": Profile(start=0.02, yearly=0.08, within="telecom.mobile_4g_population"),
    "telecom.fibre_villages": Profile(start=0.62, yearly=0.08, breaks=0.1, days_max=6),
    "telecom.fibre_households": Profile(start=0.42, yearly=0.08),
    "broadcast.radio_covered": Profile(start=0.95, yearly=0.01, breaks=0.02, days_max=10),
    "broadcast.radio_received": Profile(start=0.85, yearly=0.03, within="broadcast.radio_covered"),
    "broadcast.tv_covered": Profile(start=0.97, yearly=0.01, breaks=0.02, days_max=10),
    "broadcast.tv_received": Profile(start=0.93, yearly=0.02, within="broadcast.tv_covered"),
    "broadcast.loudspeaker": Profile(start=0.92, yearly=0.03, breaks=0.15, days_max=60),
    "broadcast.smart_loudspeaker": Profile(start=0.18, yearly=0.2, within="broadcast.loudspeaker"),
    "postal.staffed_point": Profile(start=0.98, yearly=0.01, breaks=0.05, cluster=1, days_max=60),
    "postal.points_online": Profile(start=0.94, yearly=0.02, within="postal.staffed_point", breaks=0.2, cluster=1, days_max=12),
}
"""Indicator -> how it goes in this world; all of it invented. An indicator that is not here goes as `Profile()` says."""


class Seen(NamedTuple):
    """What a perfect observer sees: `covered` of `expected`, and where the indicator counts places the names of the rest."""

    covered: int
    expected: int
    uncovered: tuple[str, ...] | None


class Piece(Struct, frozen=True, kw_only=True):
    """A territory that no list cuts in two."""

    id: str
    home: str
    units: dict[str, UnitId]
    """List of communes -> the unit there that it belongs to."""
    villages: tuple[str, ...]
    people: tuple[int, ...]
    """Of each village."""
    households: int
    stations: int
    points: int


class Layer(NamedTuple):
    """One service in one piece: whose, and which. Of an indicator that one authority states (`latest`) there is one, for operator ""."""

    piece: int
    indicator: str
    operator: str


class Change(NamedTuple):
    """Items of a layer are built (`broken` 0), go out of order (1, until `back`) or come back (-1) at a moment."""

    at: datetime
    layer: Layer
    items: int
    broken: int
    back: datetime | None = None


class World:
    """The present state, and what is to come. `homes`: the home provinces to simulate."""

    def __init__(self, rules: Rules, chance: Chance, homes: Sequence[str], pace_built: float, pace_broken: float) -> None:
        self.rules = rules
        self._chance, self._built_pace, self._broken_pace = chance, pace_built, pace_broken
        self.pieces = tuple(piece for home in homes for piece in _pieces(rules.register, home))
        self.indicators = tuple(sorted(rules.catalogue.indicators.values(), key=lambda one: one.at_most != ""))
        self.pieces_of: dict[UnitId, tuple[int, ...]] = {}
        for number, piece in enumerate(self.pieces):
            for unit_id in piece.units.values():
                self.pieces_of[unit_id] = (*self.pieces_of.get(unit_id, ()), number)
        self._profiles = {one.id: _profile(one, rules.catalogue.indicators) for one in self.indicators}
        self._above = {one.id: _with_all_within(one.id, self._profiles) for one in self.indicators}
        self.operators = {(one.id, home): _operators(rules, one, home) for one in self.indicators for home in homes}
        """(indicator, home province) -> whose services there are."""
        self._within = {
            name: [(one, rules.catalogue.indicators[one].union is Union.LATEST) for one in sorted(above)]
            for name, above in self._above.items()
        }
        self._there: dict[tuple[int, str, str], int] = {}
        self._out: dict[tuple[int, str, str], list[int]] = {}
        self._coming: list[Change] = []
        self._below = {one.id: [other.id for other in self.indicators if one.id in self._above[other.id]] for one in self.indicators}
        self._remembered: dict[tuple[UnitId, str, str], Seen] = {}
        """What was seen and has not changed since: most things stay as they are from one period to the next."""

    def layers(self, piece: int, indicator: str) -> list[Layer]:
        """The services of a piece under an indicator."""
        alone = self.rules.catalogue.indicators[indicator].union is Union.LATEST
        operators = ("",) if alone else self.operators[indicator, self.pieces[piece].home]
        return [Layer(piece, indicator, operator) for operator in operators]

    def begin(self, start: datetime, end: datetime) -> None:
        """The state at `start`; what is built until `end` is known from now on."""
        for number in range(len(self.pieces)):
            for indicator in self.indicators:
                for layer in self.layers(number, indicator.id):
                    self._there[layer] = 0
                    for item, moment in enumerate(self._built(layer, indicator)):
                        if moment is None or moment >= end:
                            continue
                        if moment <= start:
                            self._there[layer] |= 1 << item
                        else:
                            self._coming.append(Change(moment, layer, 1 << item, 0))
        self._coming.sort(key=lambda change: change.at, reverse=True)

    def built(self, until: datetime) -> list[Change]:
        """What is built before that moment and was not told yet, in the order of time."""
        found = []
        while self._coming and self._coming[-1].at < until:
            found.append(self._coming.pop())
        return found

    def broken(self, start: datetime, end: datetime, since: datetime) -> Iterator[Change]:
        """What goes out of order in the year from `start` to `end`, not before `since`, and when it comes back."""
        minutes = int((end - start).total_seconds()) // 60
        for number in range(len(self.pieces)):
            for indicator in self.indicators:
                profile = self._profiles[indicator.id]
                expected = profile.breaks * self._broken_pace
                if not expected:
                    continue
                for layer in self.layers(number, indicator.id):
                    items = self._items(layer, indicator)
                    clusters = -(-items // profile.cluster)
                    name = (start.year, indicator.id, layer.operator, self.pieces[number].id)
                    for cluster, lot in enumerate(self._chance.lots(clusters, "broken", *name)):
                        times = int(expected + lot)
                        lots = self._chance.lots(2 * times, "outage", *name, cluster) if times else ()
                        mask = ((1 << profile.cluster) - 1) << (cluster * profile.cluster)
                        mask &= (1 << items) - 1
                        for begins, lasts in zip(lots[::2], lots[1::2], strict=True):
                            down = start + timedelta(minutes=int(begins * minutes))
                            if down < since:
                                continue
                            # short ones are the rule
                            back = down + timedelta(minutes=120 + int(lasts * lasts * profile.days_max * 24 * 60))
                            yield Change(down, layer, mask, 1, back)
                            yield Change(back, layer, mask, -1)

    def everything_of(self, indicator: str, operator: str, pieces: Iterable[int]) -> list[tuple[Layer, int]]:
        """All items of an operator's services there, for an outage of all of them."""
        about = self.rules.catalogue.indicators[indicator]
        return [
            (layer, (1 << self._items(layer, about)) - 1)
            for piece in pieces
            for layer in self.layers(piece, indicator)
            if layer.operator in ("", operator)
        ]

    def apply(self, change: Change) -> None:
        """Let it happen."""
        if change.broken > 0:
            self._out.setdefault(change.layer, []).append(change.items)
        elif change.broken < 0:
            out = self._out[change.layer]
            out.remove(change.items)
            if not out:
                del self._out[change.layer]
        else:
            self._there[change.layer] |= change.items
        piece = self.pieces[change.layer.piece]
        for indicator in self.concerned(change.layer.indicator):
            alone = change.layer.operator
            for operator in (alone,) if alone else self.operators[indicator, piece.home]:
                for unit_id in piece.units.values():
                    self._remembered.pop((unit_id, indicator, operator), None)

    def concerned(self, indicator: str) -> list[str]:
        """The indicators that a change of this one may change: itself, and all within it."""
        return self._below[indicator]

    def seen(self, unit: Unit, indicator: Indicator, operator: str) -> Seen:
        """What an operator's service is in a commune at present."""
        key = (unit.id, indicator.id, operator)
        seen = self._remembered.get(key)
        if seen is None:
            seen = self._remembered[key] = self._counted(unit, indicator, [operator])
        return seen

    def truth(self, unit: Unit, indicator: Indicator) -> Seen:
        """What a commune's value is at present by the definition of the indicator, all operators together."""
        operators = self.operators[indicator.id, self.pieces[self.pieces_of[unit.id][0]].home]
        if indicator.union in (Union.PLACES, Union.ANY) or len(operators) < 2:
            return self._counted(unit, indicator, operators)
        views = [self.seen(unit, indicator, operator) for operator in operators]
        match indicator.union:
            case Union.LATEST:  # one authority: they all see the same
                return views[0]
            case Union.POOL:
                return Seen(sum(one.covered for one in views), sum(one.expected for one in views), None)
            case Union.SUM:
                return Seen(min(views[0].expected, sum(one.covered for one in views)), views[0].expected, None)
        return max(views, key=lambda one: one.covered)

    def item(self, unit: Unit, indicator: str, operator: str, village: str) -> tuple[Layer, int] | None:
        """The item of an operator's service in a commune that has this name; None where there is none."""
        for piece in self.pieces_of[unit.id]:
            if village in self.pieces[piece].villages:
                for layer in self.layers(piece, indicator):
                    if layer.operator in ("", operator):
                        return layer, 1 << self.pieces[piece].villages.index(village)
        return None

    def unit_of(self, piece: int, moment: datetime) -> Unit:
        """The commune that a piece belongs to at a moment."""
        vintage = self.rules.register.vintage_at(moment)
        assert vintage is not None  # a run begins with the first list  # noqa: S101
        return self.rules.register.units[self.pieces[piece].units[vintage.id]]

    def _counted(self, unit: Unit, indicator: Indicator, operators: Sequence[str]) -> Seen:
        covered = expected = 0
        names: list[str] = []
        for number in self.pieces_of[unit.id]:
            piece = self.pieces[number]
            mask = 0
            for operator in operators:
                mask |= self._effective(number, indicator.id, operator)
            match indicator.base:
                case Base.VILLAGES:
                    covered += mask.bit_count()
                    expected += len(piece.villages)
                    if mask.bit_count() < len(piece.villages):
                        names += [name for item, name in enumerate(piece.villages) if not mask >> item & 1]
                case Base.POPULATION:
                    here = sum(piece.people)
                    expected += here
                    if mask.bit_count() < len(piece.people):
                        here -= sum([people for item, people in enumerate(piece.people) if not mask >> item & 1])
                    covered += here
                case Base.HOUSEHOLDS:
                    # operators' parts are cut down one by one: together never more than all
                    covered += piece.households * mask.bit_count() // _BLOCKS
                    expected += piece.households
                case Base.UNITS:
                    covered |= mask != 0
                    expected = 1
                case Base.REPORTED:
                    within = self._profiles[indicator.id].within
                    there = self._effective(number, within, operators[0]) if within else (1 << piece.points) - 1
                    covered += (mask & there).bit_count()
                    expected += there.bit_count()
        return Seen(covered, expected, tuple(names) if indicator.counts_places and indicator.base is Base.VILLAGES else None)

    def _effective(self, piece: int, indicator: str, operator: str) -> int:
        """What is there and in order, and that of everything it is within."""
        mask = -1
        for name, alone in self._within[indicator]:
            layer = (piece, name, "" if alone else operator)
            mask &= self._there.get(layer, 0)
            if layer in self._out:
                for out in self._out[layer]:
                    mask &= ~out
        return mask

    def _items(self, layer: Layer, indicator: Indicator) -> int:
        piece = self.pieces[layer.piece]
        match indicator.base:
            case Base.VILLAGES | Base.POPULATION:
                return len(piece.villages)
            case Base.HOUSEHOLDS:
                return _BLOCKS
            case Base.REPORTED:
                return piece.points
        return piece.points if indicator.domain == "postal" else piece.stations

    def _built(self, layer: Layer, indicator: Indicator) -> Iterator[datetime | None]:
        """When each item is there; None: never."""
        profile, piece = self._profiles[indicator.id], self.pieces[layer.piece]
        items = self._items(layer, indicator)
        own = self._chance.lots(2 * items, "built", indicator.id, layer.operator, piece.id)
        # what is remote for one operator is so for another: half of the time they have the same lot
        common = self._chance.lots(items, "remote", indicator.domain, piece.id)
        shared = self._operators_of_household(layer, indicator, items)
        for item in range(items):
            if shared is not None and shared[item] != layer.operator:
                yield None
                continue
            lot = common[item] if own[2 * item + 1] < 0.5 else own[2 * item]
            if lot < profile.start:
                yield EPOCH - timedelta(days=1)
            elif profile.yearly * self._built_pace > 0:
                years = (lot - profile.start) / (profile.yearly * self._built_pace)
                yield EPOCH + timedelta(minutes=int(years * _YEAR_MINUTES) + 1)
            else:
                yield None

    def _operators_of_household(self, layer: Layer, indicator: Indicator, items: int) -> list[str] | None:
        """Where operators' numbers add up no household has two: whose each block is."""
        if indicator.union is not Union.SUM:
            return None
        piece = self.pieces[layer.piece]
        operators = self.operators[indicator.id, piece.home]
        return [operators[int(lot * len(operators))] for lot in self._chance.lots(items, "chosen", indicator.id, piece.id)]


def village_names(commune: str, count: int) -> list[str]:
    """Names for villages that nobody takes for real ones."""
    return [f"Thôn mô phỏng {commune}-{number:02}" for number in range(1, count + 1)]


def _profile(indicator: Indicator, known: dict[str, Indicator]) -> Profile:
    profile = PROFILES.get(indicator.id, Profile(within=indicator.at_most))
    # a seeds directory may leave an indicator out
    return profile if profile.within in {"", *known} else msgspec.structs.replace(profile, within="")


def _with_all_within(indicator: str, profiles: dict[str, Profile]) -> frozenset[str]:
    found = {indicator}
    while within := profiles[indicator].within:
        found.add(within)
        indicator = within
    return frozenset(found)


def _operators(rules: Rules, indicator: Indicator, home: str) -> tuple[str, ...]:
    register = rules.register
    provinces = {unit.province for vintage in register.vintages for unit in register.of(vintage, home)}
    owed = [one for province in sorted(provinces) for one in rules.catalogue.obligations_of(indicator.id, province)]
    return tuple(sorted({one.operator for one in owed}))


def _pieces(register: Register, home: str) -> Iterator[Piece]:
    first = next(iter(register.vintages))
    for unit in register.of(first, home):
        counts = {base: count.value for base, count in register.counts.get(unit.id, {}).items()}
        villages = max(1, counts.get(Base.VILLAGES, _VILLAGES))
        people = counts.get(Base.POPULATION, villages * _PEOPLE_A_VILLAGE)
        households = counts.get(Base.HOUSEHOLDS, people // _PEOPLE_A_HOUSEHOLD)
        known = [register.place_names[*unit.id, key] for key in dict.fromkeys(register.places.get(unit.id, {}).values())]
        names = [*known, *(name for name in village_names(unit.code, villages) if name not in known)][:villages]
        yield from _cut(register, home, {first: unit.id}, unit.code, names, people, households)


def _cut(
    register: Register, home: str, units: dict[str, UnitId], name: str, villages: list[str], people: int, households: int
) -> Iterator[Piece]:
    """The pieces of a territory that is one so far: one, or one for each unit that a later list gave a part of it."""
    successors = sorted(register.successors.get(next(reversed(units.values())), ()))
    if not successors:
        points = 1 + (len(villages) > 9) + (len(villages) > 14)  # larger ones have more
        yield Piece(
            id=name,
            home=home,
            units=units,
            villages=tuple(villages),
            people=tuple(_shares(people, len(villages))),
            households=households,
            stations=1,
            points=min(points, _POINTS_MAX),
        )
        return
    for number, successor in enumerate(successors):
        parts = [list(_shares(len(villages), len(successors))), list(_shares(people, len(successors)))]
        begin = sum(parts[0][:number])
        yield from _cut(
            register,
            home,
            {**units, successor[0]: successor},
            name if len(successors) == 1 else f"{name}/{successor[1]}",
            villages[begin : begin + parts[0][number]],
            parts[1][number],
            list(_shares(households, len(successors)))[number],
        )


def _shares(whole: int, count: int) -> Iterator[int]:
    """Equal parts; what is left over goes, one each, to the first: as seeds/README.md cuts the counts of a split commune."""
    return (whole // count + (number < whole % count) for number in range(count))
