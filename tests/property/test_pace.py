"""phusong/pace.py: a past point is what the evidence up to then amounts to, however it was put together."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from phusong.admission import Admission
from phusong.communes import commune
from phusong.events import Event
from phusong.pace import Pace, Past, remember
from phusong.rows import State
from tests.models import HOUSEHOLDS, POINTS, STAFFED, V1, model
from tests.strategies import DAYS, events, several
from tests.worlds import cells_of, instant, stated, withdrawn

_INSTANT = timedelta(microseconds=1)


@st.composite
def reports(draw: st.DrawFn) -> tuple[str, list[Event]]:
    """An indicator, and what was said of a province of one commune: at first by every operator, and then anything, also taken back."""
    about = draw(st.sampled_from([STAFFED, POINTS, HOUSEHOLDS]))
    many: list[Event] = draw(several(events(model(), home="10", indicators=(about,), days=DAYS[:3]), 4))
    for one in model().catalogue.obligations_of(about, "10"):
        size = draw(st.integers(1, 5))
        many.append(stated("00301", about, draw(st.integers(0, size)), size, "2023-01-20", source=one.reporter, operator=one.operator))
        if draw(st.booleans()):
            many.append(withdrawn("00301", about, "2023-05-20", source=one.reporter, operator=one.operator))
    return about, many


@settings(max_examples=100)
@given(reports())
def test_a_point_is_the_ratio_of_what_was_observed_until_the_end_of_its_period(said: tuple[str, list[Event]]) -> None:
    """Of known communes alone; what bounds the indicator is left out."""
    about, many = said
    rules, route = model(), Admission(model()).route
    indicator, units = rules.catalogue.indicators[about], rules.register.of(V1, "10")
    past: Past = {}
    for event in many:
        where = route(event)
        remember(past, indicator.period, where.cell, where.slot, event)
    points = Pace(rules, units, indicator, past).points(instant("2025-01-01"))
    for end, ratio in points:
        cells = cells_of(rules, [event for event in many if event.data.observed_at < end])
        then = [commune(rules, unit, indicator, cells, None, end - _INSTANT) for unit in units]
        weights = [Fraction(1 if one.weight is None else one.weight) for one in then]
        assert all(one.row.state is not State.UNKNOWN for one in then)
        assert ratio == sum((w * one.ratio for w, one in zip(weights, then, strict=True)), Fraction(0)) / sum(weights)
    ends = [end for end, _ in points]
    assert ends == sorted(set(ends))
