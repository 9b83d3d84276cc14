"""What one operator's statements amount to: declarations and measurements, places found lit, temporary states."""

from __future__ import annotations

from datetime import datetime, timedelta
from fractions import Fraction

import msgspec
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from phusong.events import Event, Method, Stated
from phusong.indicators import Indicator
from phusong.periods import one_after
from phusong.rows import CommuneRow
from phusong.views import Line, View, checks, view
from tests.models import V1, VILLAGES, model, narrowed, rows_of, steady_model
from tests.strategies import SPELLINGS, evidence, moments
from tests.worlds import cells_of, instant, stated

_PERIODS = tuple(steady_model().catalogue.indicators.values())


def line_of(*many: Stated) -> Line:
    """What was said of 00001, under the one indicator that these statements are about."""
    rules, about = steady_model(), many[0].data
    return Line(cells_of(rules, many), rules.register, rules.register.units[V1, "00001"], rules.catalogue.indicators[about.indicator])


def seen(*many: Stated, as_of: datetime) -> View:
    """The view of the one operator that these statements are about."""
    rules, about = steady_model(), many[0].data
    obliged = [one for one in rules.catalogue.obliged(about.indicator, "08", "00001") if one.operator == about.operator]
    return view(line_of(*many), obliged[0].operator, obliged, as_of)


@st.composite
def measured_then_declared(draw: st.DrawFn) -> tuple[Stated, Stated, bool]:
    """A measurement of the whole, a declaration that is not earlier, and whether it comes a period later."""
    about = draw(st.sampled_from(_PERIODS))
    operator = draw(st.sampled_from([one.operator for one in steady_model().catalogue.obliged(about.id, "08", "00001")]))
    first = instant("2022-01-31") + timedelta(days=draw(st.integers(0, 60)))
    after = one_after(about.period, first)
    then = draw(st.sampled_from([first, first + timedelta(days=1), after - timedelta(microseconds=1), after, after + timedelta(days=9)]))
    size = draw(st.integers(1, 5))
    counts = draw(st.tuples(st.integers(0, size), st.integers(0, size)))
    measured, declared = (
        stated("00001", about.id, count, size, when.isoformat(), source="inspector", operator=operator, event_id=how, method=how, time=time)
        for count, when, how, time in zip(
            counts, (first, then), (Method.MEASURED, Method.DECLARED), ("2022-12-01", "2022-12-02"), strict=True
        )
    )
    return measured, declared, then >= after


@settings(max_examples=100)
@given(measured_then_declared())
def test_a_measurement_stands_against_a_higher_declaration_for_one_period_and_a_lower_one_counts(said: tuple[Stated, Stated, bool]) -> None:
    measured, declared, a_period_later = said
    counts = declared if a_period_later or declared.data.covered <= measured.data.covered else measured
    found = seen(measured, declared, as_of=instant("2024-03-01"))
    assert (found.covered, found.statements) == (counts.data.covered, (counts,))


@settings(max_examples=100)
@given(measured_then_declared())
def test_a_measurement_checks_what_was_declared_less_than_a_period_away(said: tuple[Stated, Stated, bool]) -> None:
    """They agree where they differ by no more than the tolerance."""
    measured, declared, a_period_later = said
    tolerance = steady_model().catalogue.indicators[declared.data.indicator].tolerance
    difference = abs(Fraction(declared.data.covered - measured.data.covered, declared.data.expected))
    assert checks(line_of(measured, declared)) == ([] if a_period_later else [("inspector", difference <= tolerance)])


@settings(max_examples=30)
@given(st.integers(2, 9), st.sampled_from(["Bản Bunk", "Nà Tạn"]))
def test_more_names_than_uncovered_places_claim_less_and_leave_what_was_counted_possible(size: int, misspelt: str) -> None:
    """Two spellings may be one village; places of the register are not."""
    covered = size - 1
    for names in (("Bản Bung", misspelt), ("Bản Bung", "Tát Kẻ")):
        said = stated("00001", VILLAGES, covered, size, source="operator-a", operator="operator-a", uncovered=names)
        found = seen(said, as_of=instant("2023-07-01"))
        assert (found.covered, found.most) == (size - 2, covered if misspelt in names else size - 2)


@settings(max_examples=100)
@given(st.sampled_from(_PERIODS), st.tuples(*[st.integers(0, 6)] * 3), st.integers(1, 6), st.data())
def test_a_temporary_state_moves_nothing_until_it_is_over_and_leaves_the_lesser_share_then(
    about: Indicator, counts: tuple[int, int, int], size: int, data: st.DataObject
) -> None:
    """Of the size that the lasting statement gives; a lasting statement after it ends it."""
    operator = data.draw(st.sampled_from([one.operator for one in steady_model().catalogue.obliged(about.id, "08", "00001")]))
    lasting, passing, later = (
        stated("00001", about.id, min(count, of), of, f"2023-04-{day}", source="inspector", operator=operator, until=until)
        for count, of, day, until in zip(counts, (size, 6, size), (10, 15, 18), (None, instant("2023-04-25"), None), strict=True)
    )
    share = min(Fraction(lasting.data.covered, size), Fraction(passing.data.covered, 6))
    before, after = instant("2023-04-24"), instant("2023-04-25")
    assert seen(lasting, passing, as_of=before).covered == lasting.data.covered
    over = seen(lasting, passing, as_of=after)
    assert (over.covered, over.expected) == (share * size, size)
    assert {seen(lasting, passing, later, as_of=when).covered for when in (before, after)} == {later.data.covered}


@settings(max_examples=60)
@given(evidence(model(), max_size=8), moments(), st.data())
def test_a_place_measured_lit_for_the_first_time_moves_nothing(many: list[Event], as_of: datetime, data: st.DataObject) -> None:
    """It is not one village less in what the operator leaves uncovered: only the reliability counts it."""
    mine = [one for one in many if one.data.measured is None]
    assume(mine)
    about = data.draw(st.sampled_from(mine))
    name = data.draw(st.sampled_from(SPELLINGS))
    lit = stated(
        about.data.commune,
        about.data.indicator,
        1,
        1,
        about.data.observed_at.isoformat(),
        source="inspector",
        operator=about.data.operator or about.source,
        method=Method.MEASURED,
        measured=(name,),
        uncovered=(),
    )
    rules = narrowed(model(), mine)
    before = rows_of(rules, mine, as_of)
    for key, row in rows_of(rules, [*mine, lit], as_of).items():
        was = before[key]
        assert row == was if isinstance(row, CommuneRow) else row == msgspec.structs.replace(was, reliability=row.reliability)
