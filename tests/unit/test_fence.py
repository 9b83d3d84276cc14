"""When a worker that stood still may write again. Times are seconds; the session is ten of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.fence import Fence

SESSION = 10.0


def _stopped(generation: int = 1) -> Fence:
    """A fence after a gap longer than its session, from 0 to 11."""
    fence = Fence(SESSION)
    assert fence.beat(0, generation)
    assert not fence.beat(11, generation)
    return fence


def test_a_worker_may_write_from_its_first_beat_and_while_it_keeps_beating() -> None:
    fence = Fence(SESSION)
    assert all(fence.beat(now, 1) for now in (100, 105, 115, 125))
    assert not fence.closed


def test_a_gap_of_exactly_a_session_is_not_yet_too_long_and_the_next_moment_is() -> None:
    fence = Fence(SESSION)
    assert fence.beat(0, 1)
    assert fence.beat(10, 1)
    assert not fence.beat(20.001, 1)
    assert fence.closed


def test_it_stays_closed_until_a_further_session_has_passed_without_news() -> None:
    fence = _stopped()
    assert not fence.beat(15, 1)
    assert not fence.beat(20.9, 1)
    assert fence.beat(21, 1)
    assert not fence.closed


def test_a_new_generation_opens_it_at_once() -> None:
    fence = _stopped()
    assert not fence.beat(11.1, 1)
    assert fence.beat(11.2, 2)


def test_a_generation_from_before_the_gap_does_not_open_it() -> None:
    fence = Fence(SESSION)
    assert fence.beat(0, 1)
    # assigned again just before it was stopped: that says nothing of what happened meanwhile
    assert not fence.beat(30, 2)
    assert not fence.beat(31, 2)
    assert fence.beat(32, 3)


def test_a_second_gap_while_it_is_closed_begins_the_wait_anew() -> None:
    fence = _stopped()
    assert not fence.beat(30, 1), "longer than a session, and longer than the wait"
    assert not fence.beat(39, 1)
    assert fence.beat(40, 1)


def test_another_gap_closes_it_again() -> None:
    fence = _stopped()
    assert fence.beat(12, 2)
    assert not fence.beat(23, 2)


@given(st.lists(st.tuples(st.floats(0, 40), st.booleans()), max_size=40))
def test_after_a_gap_it_opens_only_by_news_or_after_a_further_session(beats: list[tuple[float, bool]]) -> None:
    fence = Fence(SESSION)
    assert fence.beat(0, 0)
    now, generation, gap_at = 0.0, 0, None
    for after, assigned in beats:
        now += after
        gap = after > SESSION
        generation += assigned
        is_open = fence.beat(now, generation)
        if gap:
            gap_at = now
            assert not is_open
        elif is_open and gap_at is not None:
            assert assigned or now >= gap_at + SESSION
            gap_at = None
        assert fence.closed is not is_open
