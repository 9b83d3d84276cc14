"""The verdict follows from the interval, the target and its date, and from nothing else; in provinces small enough to reach a target."""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from phusong.assessment import verdict
from phusong.events import Event
from phusong.indicators import Target
from phusong.rows import Mark, ProvinceRow, Verdict
from tests.models import HOUSEHOLDS, MOBILE, POINTS, REACHED, STAFFED, V3, VILLAGES, model, narrowed, rows_of, steady_model
from tests.strategies import DAYS, events, moments
from tests.worlds import instant, stated

_GOODNESS = {Verdict.MISSED: 0, Verdict.NOT_YET: 1, Verdict.UNCERTAIN: 2, Verdict.MET: 3}


@st.composite
def full_reports(draw: st.DrawFn) -> tuple[str, list[Event]]:
    """A province of one or two communes of which nearly every operator has spoken, mostly in one sense; and what else is said."""
    home = draw(st.sampled_from(["04", "10"]))
    about = draw(st.sampled_from([STAFFED, VILLAGES, HOUSEHOLDS, MOBILE, POINTS, REACHED]))
    many: list[Event] = draw(st.lists(events(model(), home=home, indicators=(about,)), max_size=3))
    share = draw(st.sampled_from([Fraction(0), Fraction(1), Fraction(1, 2), Fraction(3, 5)]))
    for unit in model().register.of(V3, home):
        count = model().register.counts.get(unit.id, {}).get(model().catalogue.indicators[about].base)
        size = draw(st.sampled_from([count.value if count else 5, 5]))
        for one in {one.operator: one for one in model().catalogue.obligations_of(about, home) if not one.communes}.values():
            if draw(st.integers(0, 9)):
                day = draw(st.sampled_from(DAYS[11:])).isoformat()
                many.append(stated(unit.code, about, int(size * share), size, day, source=one.reporter, operator=one.operator))
    return home, many


@settings(max_examples=150)
@given(full_reports(), moments(first="2024-03-01"))
def test_a_verdict_is_the_interval_against_the_target_and_its_date(said: tuple[str, list[Event]], as_of: datetime) -> None:
    """And uncertain while any weight is imputed. A list of communes that has left force has no target."""
    home, many = said
    for row in rows_of(narrowed(model(), many), many, as_of, home).values():
        if isinstance(row, ProvinceRow):
            if row.target is None or row.low is None or row.high is None:
                expected = Verdict.NO_TARGET if row.target is None else Verdict.UNCERTAIN
            elif row.marks[Mark.IMPUTED]:
                expected = Verdict.UNCERTAIN
            elif row.low >= row.target:
                expected = Verdict.MET
            elif row.high >= row.target:
                expected = Verdict.UNCERTAIN
            else:
                expected = Verdict.NOT_YET if row.target_due and as_of < row.target_due else Verdict.MISSED
            assert row.verdict is expected
            assert (row.target is None) >= (row.vintage != V3)


@settings(max_examples=100)
@given(full_reports(), moments(first="2024-03-01"), moments(first="2024-03-01"))
def test_time_alone_never_betters_a_verdict(said: tuple[str, list[Event]], one: datetime, other: datetime) -> None:
    """Under rows that neither begin, fall due nor end."""
    home, many = said
    rules = narrowed(steady_model(), many)
    after = rows_of(rules, many, max(one, other), home)
    for key, was in rows_of(rules, many, min(one, other), home).items():
        now = after[key]
        if isinstance(was, ProvinceRow) and isinstance(now, ProvinceRow) and was.verdict is not Verdict.NO_TARGET:
            assert _GOODNESS[now.verdict] <= _GOODNESS[was.verdict]


_shares = st.fractions(0, 1, max_denominator=20)


@given(_shares, _shares, st.sampled_from([one for one in model().catalogue.targets if one.due]), st.booleans())
def test_a_miss_is_not_yet_one_before_its_date_alone(one: Fraction, other: Fraction, target: Target, imputed: bool) -> None:
    low, high = min(one, other), max(one, other)
    assert target.due is not None
    before, after = (verdict(low, high, target, moment, imputed=imputed) for moment in (instant("2023-01-01"), target.due))
    assert (before, after) in ((Verdict.NOT_YET, Verdict.MISSED), (Verdict.MET, Verdict.MET), (Verdict.UNCERTAIN, Verdict.UNCERTAIN))
    assert (after is Verdict.MISSED) == (high < target.value and not imputed)
    assert (after is Verdict.MET) == (low >= target.value and not imputed)
