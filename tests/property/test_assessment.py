"""phusong/assessment.py: what holds for any evidence at any moment."""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from phusong.assessment import assess, percent
from phusong.events import Event
from phusong.rows import CommuneRow, ProvinceRow, Row, State, Verdict
from tests.strategies import events, moments
from tests.worlds import COMMUNES, cells_of, steady_world, world

_many = st.lists(events(), max_size=12)
_RANK = {State.FRESH: 0, State.STALE: 1}


def rows_of(many: list[Event], as_of: datetime, *, steady: bool = False) -> dict[str, Row]:
    rules = steady_world() if steady else world()
    communes, provinces = assess(rules, "08", cells_of(rules, many), as_of)
    return {**communes, **provinces}


@settings(max_examples=60)
@given(_many, moments())
def test_low_ratio_and_high_are_in_order_within_0_and_1_or_all_undefined(many: list[Event], as_of: datetime) -> None:
    for row in rows_of(many, as_of).values():
        if row.ratio is None or row.low is None or row.high is None:
            assert row.ratio is row.low is row.high is None
            assert row.expected == 0
        else:
            assert 0 <= row.low <= row.ratio <= row.high <= 1


@settings(max_examples=60)
@given(_many, moments())
def test_a_province_is_the_sum_of_its_communes(many: list[Event], as_of: datetime) -> None:
    rows = rows_of(many, as_of).values()
    for row in rows:
        if isinstance(row, ProvinceRow):
            mine = [one for one in rows if isinstance(one, CommuneRow) and one.indicator == row.indicator]
            assert [one.commune for one in mine] == list(COMMUNES["08"])
            applicable = [one for one in mine if one.ratio is not None]
            assert row.expected == len(applicable)
            exact = sum((Fraction(one.covered, one.expected) for one in applicable if one.covered and one.expected), Fraction(0))
            assert row.covered == float(exact)
            assert row.ratio == (float(exact / len(applicable)) if applicable else None)
            assert sum(row.units.values()) == len(mine)
            assert row.units == {state: sum(one.state is state for one in mine) for state in State}
            assert sum(row.origins.values()) == sum(one.origin is not None for one in mine)
            assert row.completeness is None or 0 <= row.completeness <= 1


@settings(max_examples=100)
@given(_many, moments(), moments())
def test_time_alone_never_adds_coverage_and_never_betters_a_verdict(many: list[Event], one: datetime, other: datetime) -> None:
    """Under rows that neither begin nor end: silence is no evidence."""
    before = rows_of(many, min(one, other), steady=True)
    for key, after in rows_of(many, max(one, other), steady=True).items():
        was = before[key]
        assert was.ratio == after.ratio
        assert was.high == after.high
        assert (was.low is None) == (after.low is None)
        assert was.low is None or after.low is None or after.low <= was.low
        if isinstance(was, ProvinceRow) and isinstance(after, ProvinceRow):
            assert after.verdict is was.verdict or (was.verdict, after.verdict) == (Verdict.MET, Verdict.UNCERTAIN)
            assert was.completeness is None or after.completeness is None or after.completeness <= was.completeness
            assert after.units[State.UNKNOWN] == was.units[State.UNKNOWN]
        elif isinstance(was, CommuneRow) and isinstance(after, CommuneRow) and after.state is not was.state:
            assert (was.state, after.state) == (State.FRESH, State.STALE)


@settings(max_examples=60)
@given(_many, events(), moments())
def test_a_first_report_from_an_unknown_commune_never_widens_the_interval(many: list[Event], first: Event, as_of: datetime) -> None:
    about = f"2020-01-01/{first.data.commune}/{first.data.indicator}"
    of_province = f"2020-01-01/08/{first.data.indicator}"
    others = [event for event in many if (event.data.commune, event.data.indicator) != (first.data.commune, first.data.indicator)]
    before, after = rows_of(others, as_of), rows_of([*others, first], as_of)
    for key in (about, of_province):
        was, now = before[key], after[key]
        assert was.low is not None
        assert was.high is not None
        if now.low is not None and now.high is not None:
            assert now.high - now.low <= was.high - was.low + 1e-12


@settings(max_examples=60)
@given(_many, moments(), st.randoms(use_true_random=False))
def test_the_answer_depends_on_the_set_of_events_alone(many: list[Event], as_of: datetime, random: object) -> None:
    shuffled = [*many, *many[:3]]
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # Hypothesis's own Random
    assert rows_of(shuffled, as_of) == rows_of(many, as_of)


@given(st.fractions(0, 1, max_denominator=10_000), st.fractions(0, 1, max_denominator=1000))
def test_what_is_printed_is_below_the_target_exactly_when_the_ratio_is_or_by_rounding_above_it(ratio: Fraction, target: Fraction) -> None:
    printed = Fraction(percent(float(ratio), float(target)).removesuffix(" %").replace(",", ".")) / 100
    assert abs(printed - ratio) <= Fraction(1, 1000)
    if ratio < target:
        assert printed < target
    if ratio < 1:
        assert printed < 1
