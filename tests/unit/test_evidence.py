"""phusong/evidence.py: which of two events a slot keeps."""

from __future__ import annotations

import unicodedata
from itertools import permutations

import pytest

from phusong.admission import Admission
from phusong.events import Event, Method, Origin, Stated, data_bytes
from phusong.evidence import Emptied, Outcome, Slots, fold, merge
from phusong.places import place_key
from phusong.views import Said, sort_out
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
    return kept.by if isinstance(kept, Emptied) else kept


def said_in(*events: Event) -> Said:
    """What the one operator's slots amount to."""
    (said,) = sort_out(slots_of(*events)).values()
    return said


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
    assert not said_in(first, taken_back, smaller).declared
    greater = stated(observed_at="2023-07-31")
    assert list(said_in(first, taken_back, smaller, greater).declared) == [greater]
    corrected = stated(observed_at="2023-06-30", time="2023-07-07")
    assert winner_of(first, taken_back, corrected) is corrected


def test_under_a_withdrawal_the_greatest_statement_before_it_is_kept_in_any_order() -> None:
    """For its size: what was taken back still weighs the commune."""
    before, earlier, taken_back = stated(covered=3, expected=8), stated(covered=4, expected=9, observed_at="2023-05-31"), withdrawn()
    every: list[Event] = [before, earlier, taken_back]
    for order in permutations(every):
        (kept,) = slots_of(*order).values()
        assert kept == Emptied(taken_back, before)
        assert list(said_in(*order).emptied) == [before]


def test_a_statement_under_a_withdrawal_that_came_first_is_news_once() -> None:
    slots: Slots = {}
    slot = Admission(world()).route(stated()).slot
    events = (withdrawn(), stated(observed_at="2023-05-31"), stated(), stated(), stated(observed_at="2023-05-31"))
    assert [fold(slots, slot, event) for event in events] == [
        *(Outcome.ADMITTED, Outcome.ADMITTED, Outcome.ADMITTED),
        *(Outcome.DUPLICATE, Outcome.SUPERSEDED),
    ]


def test_two_halves_of_the_evidence_merge_into_what_a_withdrawal_took_back() -> None:
    cell = Admission(world()).route(stated()).cell
    halves = {cell: slots_of(stated())}, {cell: slots_of(withdrawn(), stated(observed_at="2023-05-31"))}
    whole = {cell: slots_of(stated(), withdrawn())}
    assert merge(*halves) == merge(*reversed(halves)) == whole


@pytest.mark.parametrize(
    ("events", "outcomes"),
    [
        ([stated(), stated()], [Outcome.ADMITTED, Outcome.DUPLICATE]),
        ([stated(observed_at="2023-07-31"), stated()], [Outcome.ADMITTED, Outcome.SUPERSEDED]),
        ([stated(time="2023-07-06"), stated(time="2023-07-05")], [Outcome.ADMITTED, Outcome.SUPERSEDED]),
        ([stated(), withdrawn(), withdrawn(), stated()], [Outcome.ADMITTED, Outcome.ADMITTED, Outcome.DUPLICATE, Outcome.DUPLICATE]),
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
    partial, temporary = measured("Bản Bung"), stated(until=instant("2023-07-10"))
    said = said_in(partial, temporary)
    assert not said.declared
    assert not said.measured
    assert list(said.partial) == [("bung", partial)]
    assert list(said.temporary) == [temporary]


@pytest.mark.parametrize("name", ["Bản Bung", "bản bung", "thôn Bung", "xóm  BUNG ", "tổ\tbung", unicodedata.normalize("NFD", "Bản Bung")])
def test_names_of_one_place_compare_equal(name: str) -> None:
    assert place_key(name) == "bung"


@pytest.mark.parametrize(
    ("name", "key"), [("Bản", "bản"), ("Thôn 5", "5"), ("Nà Bản", "nà bản"), ("bản thôn Bung", "thôn bung"), (" ", "")]
)
def test_only_one_leading_kind_word_is_dropped_and_never_the_whole_name(name: str, key: str) -> None:
    assert place_key(name) == key
