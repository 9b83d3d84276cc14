"""phusong/evidence.py: which of two events a slot keeps."""

from __future__ import annotations

import unicodedata
from itertools import permutations

import pytest

from phusong.admission import Admission
from phusong.events import Event, Method, Origin, Stated, data_bytes
from phusong.evidence import Outcome, Slots, fold, place_key
from phusong.evidence import stated as statements_of
from tests.worlds import instant, stated, withdrawn, world


def slots_of(*events: Event) -> Slots:
    slots: Slots = {}
    route = Admission(world()).route
    for event in events:
        fold(slots, route(event).slot, event)
    return slots


def winner_of(*events: Event) -> Event:
    """What the events' one slot holds, in whatever order they come."""
    held = {repr(slots_of(*order)) for order in permutations(events)}
    assert len(held) == 1
    (kept,) = slots_of(*events).values()
    return kept


def test_the_later_observation_wins_whenever_it_was_sent() -> None:
    sent_late = stated(observed_at="2023-05-31", time="2023-08-01")
    newer = stated(observed_at="2023-06-30", time="2023-07-01")
    assert winner_of(sent_late, newer) is newer


def test_a_correction_of_the_same_observation_with_a_later_time_wins() -> None:
    wrong = stated(covered=1, time="2023-07-05", event_id="z")
    corrected = stated(covered=0, time="2023-07-06", event_id="a")
    assert winner_of(wrong, corrected) is corrected


def test_a_tie_in_time_goes_to_the_greater_id_and_then_to_the_greater_data() -> None:
    one, two = stated(covered=1, event_id="a"), stated(covered=0, event_id="b")
    assert winner_of(one, two) is two
    one, two = stated(origin=Origin.REAL), stated(origin=Origin.ASSUMED)
    assert winner_of(one, two) is (one if data_bytes(one) > data_bytes(two) else two)


def test_a_statement_and_a_withdrawal_that_tie_have_one_winner_in_any_order() -> None:
    winner_of(stated(time="2023-07-06", event_id="same"), withdrawn(time="2023-07-06", event_id="same"))


def test_times_compare_as_instants_whatever_their_offset() -> None:
    earlier = stated(observed_at="2023-06-30T00:30:00+07:00")
    later = stated(covered=0, observed_at="2023-06-29T18:00:00+00:00")
    assert winner_of(earlier, later) is later
    earlier, later = stated(time="2023-07-05T09:00:00+07:00"), stated(covered=0, time="2023-07-05T03:00:00+00:00")
    assert winner_of(earlier, later) is later


def test_after_a_withdrawal_the_slot_is_unknown_until_something_greater_is_stated() -> None:
    first, taken_back = stated(observed_at="2023-06-30"), withdrawn(observed_at="2023-06-30")
    smaller = stated(observed_at="2023-05-31", time="2023-09-01")
    assert statements_of(slots_of(first, taken_back, smaller), "post-office", ["declared"]) == []
    greater = stated(observed_at="2023-07-31")
    ((_, held),) = statements_of(slots_of(first, taken_back, smaller, greater), "post-office", ["declared"])
    assert held is greater
    corrected = stated(observed_at="2023-06-30", time="2023-07-07")
    assert winner_of(first, taken_back, corrected) is corrected


@pytest.mark.parametrize(
    ("events", "outcomes"),
    [
        ([stated(), stated()], [Outcome.ADMITTED, Outcome.DUPLICATE]),
        ([stated(observed_at="2023-07-31"), stated()], [Outcome.ADMITTED, Outcome.SUPERSEDED]),
        ([stated(time="2023-07-06"), stated(time="2023-07-05")], [Outcome.ADMITTED, Outcome.SUPERSEDED]),
        ([stated(), withdrawn(), withdrawn(), stated()], [Outcome.ADMITTED, Outcome.ADMITTED, Outcome.DUPLICATE, Outcome.SUPERSEDED]),
    ],
)
def test_what_lost_is_superseded_and_what_came_twice_is_duplicate(events: list[Event], outcomes: list[Outcome]) -> None:
    slots: Slots = {}
    slot = Admission(world()).route(events[0]).slot
    assert [fold(slots, slot, event) for event in events] == outcomes


def measured(*places: str, covered: int = 1, observed_at: str = "2023-06-30") -> Stated:
    return stated(covered=covered, expected=9, observed_at=observed_at, method=Method.MEASURED, measured=places)


def test_a_partial_measurement_is_folded_place_by_place() -> None:
    june, july = measured("Bản Bung", "Nà Tạng"), measured("nà  tạng", "Tát Kẻ", observed_at="2023-07-31")
    held = {slot[4]: event for slot, event in slots_of(july, june).items()}
    assert held == {"bung": june, "nà tạng": july, "tát kẻ": july}


def test_a_partial_measurement_is_admitted_if_any_of_its_places_is_new() -> None:
    slots: Slots = {}
    july = measured("Bản Bung", observed_at="2023-07-31")
    slot = Admission(world()).route(july).slot
    assert fold(slots, slot, july) is Outcome.ADMITTED
    june = measured("Bản Bung", "Nà Tạng")
    assert fold(slots, slot, june) is Outcome.ADMITTED
    assert fold(slots, slot, june) is Outcome.SUPERSEDED
    assert fold(slots, slot, july) is Outcome.DUPLICATE


def test_partial_and_temporary_slots_are_no_whole_lasting_statement() -> None:
    slots = slots_of(measured("Bản Bung"), stated(until=instant("2023-07-10")))
    assert len(slots) == 2
    assert statements_of(slots, "post-office", ["declared", "measured"]) == []


@pytest.mark.parametrize("name", ["Bản Bung", "bản bung", "thôn Bung", "xóm  BUNG ", "tổ\tbung", unicodedata.normalize("NFD", "Bản Bung")])
def test_names_of_one_place_compare_equal(name: str) -> None:
    assert place_key(name) == "bung"


@pytest.mark.parametrize(
    ("name", "key"), [("Bản", "bản"), ("Thôn 5", "5"), ("Nà Bản", "nà bản"), ("bản thôn Bung", "thôn bung"), (" ", "")]
)
def test_only_one_leading_kind_word_is_dropped_and_never_the_whole_name(name: str, key: str) -> None:
    assert place_key(name) == key
