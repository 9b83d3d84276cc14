"""What was said: the greatest event of each slot. A join-semilattice: order, duplication and replay change nothing.

Comes in: admitted events. Goes out: for each cell (vintage, commune, indicator) its slots. `fold` owns no state, its caller does.
Bad input does not come here: `admission` has rejected it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import TypeVar

from msgspec import Struct

from phusong.events import Event, Fact, Stated, Withdrawn, data_bytes
from phusong.places import place_key

E = TypeVar("E", bound=Event)

Cell = tuple[str, str, str]
"""(vintage, commune, indicator): what has one value at a time."""

Slot = tuple[str, str, str, bool, str]
"""(operator, source, method, temporary or not, place of a partial measurement or ""): who said it, about whose service, and how.

Of a promise: its place ("" the whole commune) and "promised" for a method; of a challenge: its name and its step.
"""


class Emptied(Struct, frozen=True, gc=False):
    """A slot whose statement was taken back: unknown, but the size that was last stated in it still weighs the unit (None: none was)."""

    by: Withdrawn
    last: Stated | None


Slots = dict[Slot, Stated | Emptied]


class Outcome(IntEnum):
    """What became of an admitted event."""

    ADMITTED = 0
    DUPLICATE = 1
    SUPERSEDED = 2


_ADMITTED, _DUPLICATE, _SUPERSEDED = Outcome.ADMITTED, Outcome.DUPLICATE, Outcome.SUPERSEDED


def fold(slots: Slots, slot: Slot, event: Fact) -> Outcome:
    """Keep the greater of what the slot holds and `event`, by (observed_at, time, id, bytes of data). Changes `slots` in place.

    Under a withdrawal the greatest statement before it is kept too, for its `expected`.
    """
    data = event.data
    if data.measured is None:
        return _fold_one(slots, slot, event)
    head = slot[:4]
    outcomes = {_fold_one(slots, (*head, place), event) for place in sorted(set(map(place_key, data.measured)))}
    return min(outcomes) if _ADMITTED in outcomes else max(outcomes)


def _fold_one(slots: Slots, slot: Slot, event: Fact) -> Outcome:
    held = slots.get(slot)
    if type(held) is not Stated or type(event) is not Stated:
        return _fold_emptied(slots, slot, event)
    new_at, held_at = event.data.observed_at, held.data.observed_at
    if not new_at > held_at:
        if new_at < held_at:
            return _SUPERSEDED
        new, old = _rest(event), _rest(held)
        if not new > old:
            return _DUPLICATE if new == old else _SUPERSEDED
    slots[slot] = event
    return _ADMITTED


def _fold_emptied(slots: Slots, slot: Slot, event: Fact) -> Outcome:
    """Where the slot is empty, or one of the two is a withdrawal."""
    held = slots.get(slot)
    if held is None:
        slots[slot] = event if isinstance(event, Stated) else Emptied(event, None)
        return _ADMITTED
    standing = held.by if isinstance(held, Emptied) else held
    if order(event) == order(standing):
        return _DUPLICATE
    if order(event) > order(standing):
        last = held.last if isinstance(held, Emptied) else held
        slots[slot] = event if isinstance(event, Stated) else Emptied(event, last)
        return _ADMITTED
    if isinstance(held, Emptied) and isinstance(event, Stated) and (held.last is None or order(event) > order(held.last)):
        slots[slot] = Emptied(held.by, event)
        return _ADMITTED
    return _DUPLICATE if isinstance(held, Emptied) and event == held.last else _SUPERSEDED


def _rest(event: Event) -> tuple[object, ...]:
    # the type stands in the order, too: a withdrawal and a statement may share every other word
    return (event.time, event.id, data_bytes(event), type(event) is Withdrawn)


def order(event: Event) -> tuple[object, ...]:
    """What makes one event greater than another; events of two slots may tie in all else, and then the source decides."""
    return (event.data.observed_at, *_rest(event), event.source)


def later(one: E, other: E) -> E:
    """The greater of two events by `order`."""
    first, second = (one.data.observed_at, one.time, one.id), (other.data.observed_at, other.time, other.id)
    if first != second:  # seldom must the bytes be looked at
        return one if first > second else other
    return one if order(one) >= order(other) else other


def merge(one: Mapping[Cell, Slots], other: Mapping[Cell, Slots]) -> dict[Cell, Slots]:
    """The evidence of both: commutative, associative, idempotent."""
    merged = {cell: dict(slots) for cell, slots in one.items()}
    for cell, slots in other.items():
        mine = merged.setdefault(cell, {})
        for slot, held in slots.items():
            if isinstance(held, Emptied):
                if held.last is not None:
                    _fold_one(mine, slot, held.last)
                _fold_one(mine, slot, held.by)
            else:
                _fold_one(mine, slot, held)
    return merged
