"""low, ratio and high: their order, and what a first report does to them."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from phusong.events import Event, Method, Stated
from phusong.indicators import Union
from phusong.register import Base
from phusong.rows import ProvinceRow, State
from tests.models import V2, V3, communes_of, model, narrowed, rows_of, steady_model
from tests.strategies import DAYS, SPELLINGS, events, evidence, moments, of_one_size, several
from tests.worlds import instant, stated

_IN_V1 = tuple(day for day in DAYS if day < instant(V2))
_BOUNDED = tuple(one.id for one in model().catalogue.indicators.values() if one.at_most)
_NARROWING = tuple(
    one.id for one in model().catalogue.indicators.values() if one.base is not Base.REPORTED and one.union not in (Union.POOL, Union.LATEST)
)


@settings(max_examples=100)
@given(evidence(model()), moments())
def test_low_ratio_and_high_are_in_order_within_0_and_1_or_all_undefined(many: list[Event], as_of: datetime) -> None:
    for row in rows_of(narrowed(model(), many), many, as_of).values():
        if row.ratio is None or row.low is None or row.high is None:
            assert row.ratio is row.low is row.high is None
            assert row.expected == 0
        else:
            assert 0 <= row.low <= row.ratio <= row.high <= 1


@settings(max_examples=100)
@given(evidence(model(), indicators=_BOUNDED), moments())
def test_what_is_covered_never_exceeds_what_there_is_nor_the_indicator_that_bounds_it(many: list[Event], as_of: datetime) -> None:
    found = communes_of(narrowed(model(), many), many, as_of)
    for (vintage, code, about), one in found.items():
        assert 0 <= one.low <= one.ratio <= one.high <= 1
        assert one.row.covered is None or one.row.expected is None or 0 <= one.row.covered <= one.row.expected
        bound = found.get((vintage, code, model().catalogue.indicators[about].at_most))
        assert bound is None or bound.weight == 0 or one.high <= bound.high


@settings(max_examples=60)
@given(evidence(model()), moments(first="2023-05-01"))
def test_low_is_what_fresh_statements_prove_and_stale_and_unknown_ones_prove_nothing(many: list[Event], as_of: datetime) -> None:
    """Stale or unknown under a single operator: low is 0. When at last everything is stale, it is 0 everywhere."""
    rules = narrowed(model(), many)
    for (_, _, about), one in communes_of(rules, many, as_of).items():
        operators = {obligation.operator for obligation in rules.catalogue.obligations_of(about, "08")}
        if one.row.state is State.UNKNOWN or (one.row.state is State.STALE and len(operators) == 1):
            assert one.low == 0
        if one.row.state is State.UNKNOWN:
            assert one.ratio == 0
            assert not one.row.statements
    for row in rows_of(rules, many, instant("2099-01-01")).values():
        if row.vintage == V3:
            assert not row.low
            assert row.units[State.FRESH] == 0 if isinstance(row, ProvinceRow) else row.state is not State.FRESH


_sized = partial(of_one_size, steady_model())


@st.composite
def first_reports(draw: st.DrawFn) -> tuple[list[Event], Stated]:
    """Evidence on the first list of communes, and the first word of an obliged operator on one of them; sizes that all agree on."""
    about = draw(st.sampled_from(_NARROWING))
    bounded = [one.id for one in model().catalogue.indicators.values() if one.at_most == about]
    code = draw(st.sampled_from(["00001", "00002", "00003", "00102"]))
    others = draw(several(events(steady_model(), communes=(code,), indicators=(about, *bounded), days=_IN_V1).map(_sized), 8))
    operator = draw(st.sampled_from([one.operator for one in steady_model().catalogue.obligations_of(about, "08") if not one.communes]))
    silent = [one for one in others if (one.data.operator or one.source, one.data.indicator) != (operator, about)]
    size = draw(st.integers(0, 6))
    first = _sized(
        stated(
            code,
            about,
            size,
            20,
            draw(st.sampled_from(_IN_V1)).isoformat(),
            source=operator,
            method=draw(st.sampled_from([Method.DECLARED, Method.MEASURED])),
            uncovered=draw(st.none() | st.lists(st.sampled_from(SPELLINGS), max_size=4, unique=True).map(tuple)),
        )
    )
    assert isinstance(first, Stated)
    return silent, first


@settings(max_examples=150)
@given(first_reports(), moments())
def test_a_first_report_of_a_silent_operator_or_commune_only_narrows_the_interval(
    said: tuple[list[Event], Stated], as_of: datetime
) -> None:
    """Nested, in the commune and its province; what the indicator bounds may move down with it, but its interval does not widen.

    Excepted: base `reported` and union `pool`, where the size that a report states is the weight; an operator that states another size than
    the others (low divides by the larger); and `latest`, where a second authority takes the place of the first.
    """
    others, first = said
    rules = narrowed(steady_model(), [first])
    before, after = communes_of(rules, others, as_of), communes_of(rules, [*others, first], as_of)
    for key, was in before.items():
        now = after[key]
        if key[2] == first.data.indicator:
            assert was.low <= now.low <= now.high <= was.high
        assert now.high - now.low <= was.high - was.low
    provinces = rows_of(rules, others, as_of)
    for name, row in rows_of(rules, [*others, first], as_of).items():
        old = provinces[name]
        assert row.low is not None
        assert row.high is not None
        assert old.low is not None
        assert old.high is not None
        assert row.high - row.low <= old.high - old.low + 1e-12
        if row.indicator == first.data.indicator:
            assert old.low <= row.low
            assert row.high <= old.high
