"""phusong/evidence.py is a join-semilattice: order, duplication and partition change nothing, statements taken back included."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from phusong.events import Stated, data_bytes
from phusong.evidence import Cell, Emptied, Outcome, Slots, fold, merge
from phusong.places import place_key
from tests.models import STAFFED, model
from tests.strategies import DAYS, Routed, routed, several

Evidence = dict[Cell, Slots]

_many = several(routed(model(), communes=("00001",), indicators=(STAFFED,), days=DAYS[:2]), 10)


def folded(many: Iterable[Routed]) -> tuple[Evidence, Counter[Outcome]]:
    """The evidence of these events in this order, and how many came to what."""
    evidence: Evidence = {}
    outcomes: Counter[Outcome] = Counter()
    for event, route in many:
        outcomes[fold(evidence.setdefault(route.cell, {}), route.slot, event)] += 1
    return evidence, outcomes


@settings(max_examples=60)
@given(_many, st.data())
def test_any_order_and_any_duplication_give_the_same_evidence(many: list[Routed], data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(many), max_size=6)) if many else []
    shuffled = data.draw(st.permutations([*many, *again]))
    assert folded(shuffled)[0] == folded(many)[0]


@settings(max_examples=60)
@given(_many)
def test_a_slot_holds_what_was_observed_last_and_of_that_what_was_said_last(many: list[Routed]) -> None:
    """Then the greater id, then the greater bytes; under a withdrawal also the last statement before it."""
    for cell, slots in folded(many)[0].items():
        for slot, held in slots.items():
            mine = [event for event, route in many if (route.cell, route.slot[:4]) == (cell, slot[:4])]
            about = [one for one in mine if slot[4] in map(place_key, one.data.measured or [""])]
            about.sort(key=lambda one: (one.data.observed_at, one.time, one.id, data_bytes(one)))
            said = [one for one in about if isinstance(one, Stated)]
            assert (held.by if isinstance(held, Emptied) else held) == about[-1]
            if isinstance(held, Emptied):
                assert held.last == (said[-1] if said else None)


@settings(max_examples=60)
@given(_many, st.data())
def test_admitted_duplicate_and_superseded_are_what_was_received_in_any_order(many: list[Routed], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(many))
    assert folded(shuffled)[1].total() == len(many)


@settings(max_examples=50)
@given(_many)
def test_an_event_that_changed_nothing_is_not_admitted_and_one_that_did_is(many: list[Routed]) -> None:
    evidence: Evidence = {}
    for event, route in many:
        slots = evidence.setdefault(route.cell, {})
        before = {name: repr(held) for name, held in slots.items()}
        outcome = fold(slots, route.slot, event)
        # compared as written: one instant with two offsets is two texts, and the bytes have the last word
        assert (outcome is Outcome.ADMITTED) == ({name: repr(held) for name, held in slots.items()} != before)


@settings(max_examples=50)
@given(_many)
def test_what_comes_again_at_once_is_not_admitted_again(many: list[Routed]) -> None:
    evidence: Evidence = {}
    for event, route in many:
        slots = evidence.setdefault(route.cell, {})
        first, again = fold(slots, route.slot, event), fold(slots, route.slot, event)
        if event.data.measured is None:
            assert again is (Outcome.DUPLICATE if first is Outcome.ADMITTED else first)
        else:  # another measurement may have superseded it at some of its places
            assert again in (Outcome.DUPLICATE, Outcome.SUPERSEDED)


@settings(max_examples=60)
@given(_many, st.data())
def test_parts_folded_apart_and_merged_are_the_whole(many: list[Routed], data: st.DataObject) -> None:
    """An event may stand in several parts: they need not be disjoint."""
    parts: list[list[Routed]] = [[], [], []]
    for one in many:
        for part in data.draw(st.sets(st.integers(0, 2), min_size=1)):
            parts[part].append(one)
    merged: Evidence = {}
    for part_evidence in data.draw(st.permutations([folded(part)[0] for part in parts])):
        merged = merge(merged, part_evidence)
    assert merged == folded(many)[0]


@settings(max_examples=40)
@given(_many, _many, _many)
def test_merge_is_commutative_associative_and_idempotent(first: list[Routed], second: list[Routed], third: list[Routed]) -> None:
    a, b, c = (folded(many)[0] for many in (first, second, third))
    assert merge(a, b) == merge(b, a)
    assert merge(merge(a, b), c) == merge(a, merge(b, c))
    assert merge(a, a) == a
    assert merge(a, {}) == a


@settings(max_examples=30)
@given(_many, _many)
def test_merge_leaves_its_arguments_alone(first: list[Routed], second: list[Routed]) -> None:
    a, b = folded(first)[0], folded(second)[0]
    merge(a, b)
    assert a == folded(first)[0]
    assert b == folded(second)[0]
