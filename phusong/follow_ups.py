"""What is done about a gap: promises, and the life of challenges, folded like statements.

Comes in: admitted `Promised` and `Challenged` events in any order, any of them more than once. Goes out: for each cell what was first and
what was last said of each promise and each step, and from these `Undertaking`s, `Case`s and the `Outlook` of a commune. `follow` owns no
state, its caller does. They move no ratio: only statements do. Bad input does not come here: `admission` has rejected it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from types import MappingProxyType

from msgspec import Struct

from phusong.events import Challenged, FollowUp, Promised, Step
from phusong.evidence import Cell, Outcome, Slot, order
from phusong.places import place_key
from phusong.register import Register, Unit


class Followed(Struct, frozen=True, gc=False):
    """What a slot holds: the original is never hidden by what came after it.

    `last` is the greatest by `evidence.order`; `first` the greatest of those observed first, so that a correction of the original counts.
    """

    first: FollowUp
    last: FollowUp


Held = dict[Slot, Followed]
FollowUps = dict[Cell, Held]
AnyFollowUps = Mapping[Cell, Held]
NONE: AnyFollowUps = MappingProxyType({})
"""For whoever asks about ratios alone."""


def follow(held: Held, slot: Slot, event: FollowUp) -> Outcome:
    """Fold an event into its slot, a promise place by place. Changes `held` in place; order and repetition change nothing."""
    if isinstance(event, Promised) and event.data.places is not None:
        head = slot[:4]
        outcomes = {_follow_one(held, (*head, place), event) for place in sorted(set(map(place_key, event.data.places)))}
        return min(outcomes) if Outcome.ADMITTED in outcomes else max(outcomes)
    return _follow_one(held, slot, event)


def _follow_one(held: Held, slot: Slot, event: FollowUp) -> Outcome:
    known = held.get(slot)
    if known is None:
        held[slot] = Followed(event, event)
        return Outcome.ADMITTED
    if order(event) in (order(known.first), order(known.last)):
        return Outcome.DUPLICATE
    first = event if _original(event, known.first) else known.first
    last = event if order(event) > order(known.last) else known.last
    if first is known.first and last is known.last:
        return Outcome.SUPERSEDED
    held[slot] = Followed(first, last)
    return Outcome.ADMITTED


def _original(one: FollowUp, other: FollowUp) -> bool:
    """Whether `one` was observed earlier, or corrects what was."""
    if one.data.observed_at != other.data.observed_at:
        return one.data.observed_at < other.data.observed_at
    return order(one) > order(other)


class Undertaking(Struct, frozen=True, kw_only=True):
    """What an operator has promised for one place ("" the whole commune): the first promise, and the one that stands now."""

    operator: str
    place: str
    """Its key, in the unit that was asked for."""
    name: str
    first: Promised
    last: Promised

    @property
    def by(self) -> datetime | None:
        """When it is to be covered; None: the promise was taken back."""
        return self.last.data.by


class Case(Struct, frozen=True, kw_only=True):
    """One challenge to one operator: its steps, earliest first, each as first and as last told."""

    operator: str
    name: str
    steps: tuple[Challenged, ...]

    @property
    def step(self) -> Step:
        """Where it stands."""
        return self.steps[-1].data.step

    @property
    def open(self) -> bool:
        """Until it is resolved."""
        return self.step is not Step.RESOLVED

    @property
    def deadline(self) -> datetime | None:
        """When the next step is due."""
        return self.steps[-1].data.deadline

    def overdue(self, as_of: datetime) -> bool:
        """Open beyond its deadline."""
        return self.open and self.deadline is not None and self.deadline <= as_of


class Outlook(Struct, frozen=True, gc=False):
    """What is under way about one commune and indicator: the fields of its row."""

    promised_for: datetime | None = None
    challenges_open: int = 0
    challenge_due: datetime | None = None


NOTHING = Outlook()


def outlook(register: Register, unit: Unit, indicator: str, gap: Iterable[str] | None, follow_ups: AnyFollowUps) -> Outlook:
    """`gap`: names of the uncovered places (None: not named, so that any promise may be about it)."""
    keys = None if gap is None else {_place(register, unit, unit, name)[0] for name in gap}
    promised = [
        one.by
        for one in undertakings(register, unit, indicator, follow_ups)
        if one.by is not None and (keys is None or one.place in keys or not one.place)
    ]
    open_ones = [one for one in cases(register, unit, indicator, follow_ups) if one.open]
    return Outlook(
        promised_for=min(promised, default=None),
        challenges_open=len(open_ones),
        challenge_due=min([one.deadline for one in open_ones if one.deadline is not None], default=None),
    )


def undertakings(register: Register, unit: Unit, indicator: str, follow_ups: AnyFollowUps) -> list[Undertaking]:
    """Every promise about the territory of `unit`, given to its predecessors too, one for each operator and place."""
    found: dict[tuple[str, str], Undertaking] = {}
    for about, (operator, _, _, _, place), held in _about(register, unit, indicator, follow_ups):
        if not (isinstance(held.first, Promised) and isinstance(held.last, Promised)):
            continue
        written = next((name for name in held.last.data.places or () if place_key(name) == place), "")
        key, name = _place(register, unit, about, written) if place else ("", "")
        before = found.get((operator, key))
        first = held.first if before is None or _original(held.first, before.first) else before.first
        last = held.last if before is None or order(held.last) > order(before.last) else before.last
        found[operator, key] = Undertaking(operator=operator, place=key, name=name, first=first, last=last)
    return [found[one] for one in sorted(found)]


def cases(register: Register, unit: Unit, indicator: str, follow_ups: AnyFollowUps) -> list[Case]:
    """Every challenge about the territory of `unit`, of its predecessors too."""
    steps: dict[tuple[str, str], list[Challenged]] = {}
    for _, (operator, _, _, _, name), held in _about(register, unit, indicator, follow_ups):
        steps.setdefault((operator, name), []).extend(one for one in (held.first, held.last) if isinstance(one, Challenged))
    return [
        Case(operator=operator, name=name, steps=tuple(sorted(dict.fromkeys(told), key=order)))
        for (operator, name), told in sorted(steps.items())
        if told
    ]


def _about(register: Register, unit: Unit, indicator: str, follow_ups: AnyFollowUps) -> Iterator[tuple[Unit, Slot, Followed]]:
    """The slots of a unit and of all that it was made of."""
    for slot, held in follow_ups.get((*unit.id, indicator), _EMPTY).items():
        yield unit, slot, held
    for before in register.predecessors.get(unit.id, ()):
        yield from _about(register, before.unit, indicator, follow_ups)


def _place(register: Register, unit: Unit, about: Unit, name: str) -> tuple[str, str]:
    """(key in `unit`, name as shown) of a place of `about`: aliases count in either."""
    key = place_key(name)
    known = register.places.get(about.id, {}).get(key, key)
    shown = register.place_names.get((*about.id, known), name)
    key = place_key(shown)
    return register.places.get(unit.id, {}).get(key, key), shown


_EMPTY: Mapping[Slot, Followed] = MappingProxyType({})
