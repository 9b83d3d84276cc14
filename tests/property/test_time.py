"""Time alone never adds coverage, and changes marks only at the end of a temporary state (verdicts: test_verdict.py)."""

from __future__ import annotations

from datetime import datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from phusong.events import Event
from phusong.rows import CommuneRow, Mark, ProvinceRow, Row, State
from tests.models import narrowed, rows_of, steady_model
from tests.strategies import evidence, moments_about


@st.composite
def silences(draw: st.DrawFn) -> tuple[list[Event], datetime, datetime]:
    """Evidence, and two moments between which nothing is said."""
    many = draw(evidence(steady_model()))
    first, last = sorted([draw(moments_about(many)), draw(moments_about(many))])
    return many, first, last


def before_and_after(many: list[Event], first: datetime, last: datetime) -> list[tuple[Row, Row]]:
    """The rows of two moments, by key; those of a list of communes that comes into force between them are left out."""
    rules = narrowed(steady_model(), many)
    after = rows_of(rules, many, last)
    return [(was, after[key]) for key, was in rows_of(rules, many, first).items()]


@settings(max_examples=150)
@given(silences())
def test_time_alone_never_raises_low_ratio_or_high(silence: tuple[list[Event], datetime, datetime]) -> None:
    """Under rows that neither begin nor end. Silence is no evidence; sizes and weights stay."""
    for was, now in before_and_after(*silence):
        assert (was.expected, was.ratio is None) == (now.expected, now.ratio is None)
        if was.ratio is not None and was.low is not None and was.high is not None:
            assert now.low is not None
            assert now.ratio is not None
            assert now.high is not None
            assert now.low <= was.low
            assert now.ratio <= was.ratio
            assert now.high <= was.high


@settings(max_examples=60)
@given(silences())
def test_time_alone_never_makes_anything_fresh_known_or_reported(silence: tuple[list[Event], datetime, datetime]) -> None:
    """Under rows that neither begin nor end."""
    for was, now in before_and_after(*silence):
        if isinstance(was, CommuneRow) and isinstance(now, CommuneRow):
            assert now.state is was.state or (was.state, now.state) == (State.FRESH, State.STALE)
        elif isinstance(was, ProvinceRow) and isinstance(now, ProvinceRow):
            assert now.units[State.UNKNOWN] == was.units[State.UNKNOWN]
            assert was.completeness is None or now.completeness is None or now.completeness <= was.completeness
            assert all(now.reporters_overdue.get(reporter, 0) >= count for reporter, count in was.reporters_overdue.items())


@settings(max_examples=100)
@given(silences())
def test_marks_stay_until_something_is_stated_or_a_temporary_state_is_over(silence: tuple[list[Event], datetime, datetime]) -> None:
    """A conflict, a contest and an interruption never end by themselves; and none of them begins by itself."""
    many, first, last = silence
    over = any(event.data.until is not None and first < event.data.until <= last for event in many)
    for was, now in before_and_after(*silence):
        if isinstance(was, CommuneRow) and isinstance(now, CommuneRow):
            assert was.marks == now.marks or over
            # what was said to be for a time ends at that time, and begins with its statement alone
            assert Mark.INTERRUPTED in was.marks or Mark.INTERRUPTED not in now.marks
            assert Mark.UNRESOLVED not in was.marks or Mark.UNRESOLVED in now.marks
            assert was.unresolved_since is None or now.unresolved_since == was.unresolved_since
            assert Mark.CONTESTED in was.marks or Mark.CONTESTED not in now.marks
