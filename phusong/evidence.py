"""What was said: the greatest event of each slot. A join-semilattice: order, duplication and replay change nothing.

Comes in: admitted events. Goes out: for each cell (vintage, commune, indicator) its slots. `fold` owns no state, its caller does.
Bad input does not come here: `admission` has rejected it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from enum import IntEnum

from phusong.events import Event, Stated, Withdrawn, data_bytes

Cell = tuple[str, str, str]
"""(vintage, commune, indicator): what has one value at a time."""

Slot = tuple[str, str, str, bool, str]
"""(operator, source, method, temporary or not, place of a partial measurement or ""): who said it, about whose service, and how."""

Slots = dict[Slot, Event]


class Outcome(IntEnum):
    """What became of an admitted event."""

    ADMITTED = 0
    DUPLICATE = 1
    SUPERSEDED = 2


_ADMITTED, _DUPLICATE, _SUPERSEDED = Outcome.ADMITTED, Outcome.DUPLICATE, Outcome.SUPERSEDED


def fold(slots: Slots, slot: Slot, event: Event) -> Outcome:
    """Keep the greater of what the slot holds and `event`, by (observed_at, time, id, bytes of data). Changes `slots` in place."""
    data = event.data
    if data.measured is None:
        return _fold_one(slots, slot, event)
    head = slot[:4]
    outcomes = {_fold_one(slots, (*head, place), event) for place in sorted(set(map(place_key, data.measured)))}
    return min(outcomes) if _ADMITTED in outcomes else max(outcomes)


def _fold_one(slots: Slots, slot: Slot, event: Event) -> Outcome:
    held = slots.get(slot)
    if held is not None:
        new_at, held_at = event.data.observed_at, held.data.observed_at
        if not new_at > held_at:
            if new_at < held_at:
                return _SUPERSEDED
            new, old = _rest(event), _rest(held)
            if not new > old:
                return _DUPLICATE if new == old else _SUPERSEDED
    slots[slot] = event
    return _ADMITTED


def _rest(event: Event) -> tuple[object, ...]:
    # the type stands in the order, too: a withdrawal and a statement may share every other word
    return (event.time, event.id, data_bytes(event), type(event) is Withdrawn)


def later(one: Event, other: Event) -> Event:
    """The greater of two events by the slot order; two slots' events may tie in all of that, and then the source decides."""
    return max(one, other, key=lambda e: (e.data.observed_at, *_rest(e), e.source))


def merge(one: dict[Cell, Slots], other: dict[Cell, Slots]) -> dict[Cell, Slots]:
    """The evidence of both: commutative, associative, idempotent."""
    merged = {cell: dict(slots) for cell, slots in one.items()}
    for cell, slots in other.items():
        mine = merged.setdefault(cell, {})
        for slot, event in slots.items():
            _fold_one(mine, slot, event)
    return merged


def stated(slots: Slots, operator: str, methods: Iterable[str]) -> list[tuple[Slot, Stated]]:
    """What the operator's lasting, whole slots of these methods hold, withdrawals left out."""
    wanted = frozenset(methods)
    return [
        (slot, event)
        for slot, event in slots.items()
        if slot[0] == operator and slot[2] in wanted and not slot[3] and not slot[4] and isinstance(event, Stated)
    ]


_KIND_WORDS = frozenset({"thôn", "xóm", "bản", "tổ"})


def place_key(name: str) -> str:
    """How villages' names are compared: NFC, case folded, spaces single, a leading kind word (thôn, xóm, bản, tổ) dropped."""
    words = unicodedata.normalize("NFC", name).casefold().split()
    return " ".join(words[1:] if len(words) > 1 and words[0] in _KIND_WORDS else words)
