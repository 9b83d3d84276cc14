"""phusong/assessment.py: what statements of a few communes amount to, in worked numbers."""

from __future__ import annotations

from datetime import datetime, timedelta
from fractions import Fraction
from itertools import permutations

import msgspec
import pytest

from phusong.assessment import assess
from phusong.events import Event, Method, Origin
from phusong.rows import CommuneRow, Mark, ProvinceRow, State, Verdict, encode
from phusong.rules import Rules
from tests.worlds import (
    MOBILE,
    POSTAL,
    Row,
    cells_of,
    indicator,
    instant,
    obligation,
    reporter,
    seed_texts,
    stated,
    target,
    withdrawn,
)

JULY = instant("2023-07-10")
"""What was observed in June is fresh; in May, too; in April it is stale since 21 June."""
STALE_AT = instant("2023-08-21")
"""The very instant at which what was observed in June goes stale: the end of July, 15 days and 5 of grace."""


def rules(*, obligations: tuple[Row, ...] = (obligation("post-office", POSTAL),), targets: tuple[Row, ...] = (target(POSTAL),)) -> Rules:
    """One province of three communes."""
    return Rules.from_texts(
        seed_texts(
            communes={"08": ("A", "B", "C")},
            indicators=(indicator(POSTAL), indicator(MOBILE, "quarter")),
            reporters=(
                reporter("post-office"),
                reporter("operator-a"),
                reporter("operator-b"),
                reporter("department", "operator-a operator-b post-office"),
            ),
            obligations=obligations,
            targets=targets,
        )
    )


ONE_REPORTER = rules()
TWO_OPERATORS = rules(obligations=(obligation("operator-a", MOBILE), obligation("operator-b", MOBILE)))


def province_row(*events: Event, rules: Rules = ONE_REPORTER, as_of: datetime = JULY, about: str = POSTAL) -> ProvinceRow:
    return assess(rules, "08", cells_of(rules, events), as_of)[1][f"2020-01-01/08/{about}"]


def commune_row(*events: Event, rules: Rules = ONE_REPORTER, as_of: datetime = JULY, about: str = POSTAL, code: str = "A") -> CommuneRow:
    return assess(rules, "08", cells_of(rules, events), as_of)[0][f"2020-01-01/{code}/{about}"]


def test_a_province_is_the_weighted_sum_over_all_its_units() -> None:
    """1/2 and 3/4 and one unknown of three communes: 5/4 of 3, at most 9/4 of 3."""
    row = province_row(stated("A", covered=1, expected=2), stated("B", covered=3, expected=4))
    assert (row.covered, row.expected) == (1.25, 3)
    assert row.ratio == row.low == float(Fraction(5, 12))
    assert row.high == float(Fraction(9, 12))
    assert row.units == {State.FRESH: 2, State.STALE: 0, State.UNKNOWN: 1}


def test_the_size_of_what_a_commune_counts_does_not_weigh_in_base_units() -> None:
    """One commune of 1000 covered households and two of one that is not: a third, not nearly all."""
    row = province_row(stated("A", covered=1000, expected=1000), stated("B", covered=0, expected=1), stated("C", covered=0, expected=1))
    assert row.ratio == row.low == row.high == float(Fraction(1, 3))
    assert (row.covered, row.expected) == (1, 3)


def test_with_nothing_stated_every_commune_is_unknown_and_the_interval_is_whole() -> None:
    row = province_row()
    assert (row.covered, row.expected, row.ratio, row.low, row.high, row.completeness) == (0, 3, 0, 0, 1, 0)
    assert row.units == {State.FRESH: 0, State.STALE: 0, State.UNKNOWN: 3}
    assert row.verdict is Verdict.UNCERTAIN
    assert row.origin is None
    assert row.oldest_observed_at is None
    one = commune_row()
    assert (one.state, one.covered, one.expected, one.ratio, one.low, one.high) == (State.UNKNOWN, None, None, 0, 0, 1)


def test_stale_counts_in_ratio_and_high_and_not_in_low() -> None:
    row = province_row(stated("A"), stated("B"), stated("C", covered=1, expected=2), as_of=STALE_AT)
    assert row.ratio == row.high == float(Fraction(5, 6))
    assert row.low == 0
    assert row.units == {State.FRESH: 0, State.STALE: 3, State.UNKNOWN: 0}
    one = commune_row(stated("A", covered=1, expected=2), as_of=STALE_AT)
    assert (one.state, one.covered, one.expected, one.ratio, one.low, one.high) == (State.STALE, 1, 2, 0.5, 0, 0.5)


def test_stale_begins_at_the_very_instant_of_the_deadline() -> None:
    for as_of, state in ((STALE_AT - timedelta(microseconds=1), State.FRESH), (STALE_AT, State.STALE)):
        row = commune_row(stated("A"), as_of=as_of)
        assert (row.state, row.fresh_until) == (state, STALE_AT)


def test_unknown_counts_in_high_only() -> None:
    row = province_row(stated("A", covered=0), stated("B", covered=0))
    assert (row.ratio, row.low, row.high) == (0, 0, float(Fraction(1, 3)))


def test_expected_zero_is_not_applicable_and_has_no_weight() -> None:
    row = province_row(stated("A", covered=0, expected=0), stated("B"), stated("C", covered=0))
    assert (row.covered, row.expected, row.ratio, row.low, row.high) == (1, 2, 0.5, 0.5, 0.5)
    assert row.marks[Mark.NOT_APPLICABLE] == 1
    assert row.units[State.FRESH] == 3
    one = commune_row(stated("A", covered=0, expected=0))
    assert (one.state, one.covered, one.expected, one.ratio, one.low, one.high) == (State.FRESH, 0, 0, None, None, None)


def test_a_province_where_nothing_is_applicable_is_undefined_and_not_zero() -> None:
    row = province_row(*(stated(code, covered=0, expected=0) for code in "ABC"))
    assert (row.ratio, row.low, row.high, row.completeness) == (None, None, None, None)
    assert (row.covered, row.expected) == (0, 0)
    assert row.verdict is Verdict.UNCERTAIN


def test_after_a_withdrawal_a_commune_is_unknown() -> None:
    row = commune_row(stated("A"), withdrawn("A"))
    assert (row.state, row.low, row.high, row.statements) == (State.UNKNOWN, 0, 1, ())


@pytest.mark.parametrize(
    "said",
    [
        pytest.param({"method": Method.PETITIONED}, id="petitioned"),
        pytest.param({"method": Method.MEASURED, "measured": ("Bung",)}, id="partial measurement"),
        pytest.param({"source": "operator-a"}, id="somebody who is not obliged"),
        pytest.param({"source": "department"}, id="about another service"),
    ],
)
def test_what_is_no_lasting_statement_of_the_obliged_moves_nothing(said: dict[str, object]) -> None:
    assert province_row(stated("A", **said)) == province_row()  # type: ignore[arg-type]  # fields by name


def test_a_temporary_state_under_way_marks_its_commune_and_moves_no_figure() -> None:
    nothing, row = province_row(), province_row(stated("A", until=instant("2023-07-20")))
    assert row == msgspec.structs.replace(nothing, marks={**nothing.marks, Mark.INTERRUPTED: 1})


def test_a_temporary_state_past_its_end_is_unresolved_until_a_lasting_word_even_one_that_is_taken_back() -> None:
    shut = stated("A", covered=0, observed_at="2023-06-10", until=instant("2023-06-20"))
    before, over = stated("A", observed_at="2023-06-01"), stated("A", observed_at="2023-06-25", time="2023-06-26")
    open_one = commune_row(before, shut)
    assert (Mark.UNRESOLVED in open_one.marks, open_one.unresolved_since) == (True, instant("2023-06-20"))
    back = withdrawn("A", observed_at="2023-06-25", time="2023-06-27")
    for events in ((before, shut, over), (before, shut, over, back)):
        row = commune_row(*events)
        assert (Mark.UNRESOLVED in row.marks, row.unresolved_since) == (False, None)


def test_a_whole_measurement_counts_as_a_statement() -> None:
    declared, measured = stated("A"), stated("A", covered=0, observed_at="2023-07-01", method=Method.MEASURED)
    assert commune_row(declared, measured).covered == 0


def test_the_obliged_operator_who_was_observed_last_decides() -> None:
    first = stated("A", MOBILE, 1, 4, "2023-05-31", source="operator-a")
    last = stated("A", MOBILE, 3, 4, "2023-06-30", source="operator-b")
    for events in permutations((first, last)):
        row = commune_row(*events, rules=TWO_OPERATORS, about=MOBILE)
        assert (row.covered, row.low, row.high, row.statements) == (3, 0.75, 0.75, (f"operator-b {last.id}",))


def test_an_obliged_operator_who_never_stated_leaves_high_at_one() -> None:
    row = commune_row(stated("A", MOBILE, 1, 4, source="operator-a"), rules=TWO_OPERATORS, about=MOBILE)
    assert (row.state, row.ratio, row.low, row.high) == (State.FRESH, 0.25, 0.25, 1)


def test_two_sources_that_tie_in_every_word_give_one_answer_in_any_order() -> None:
    """Each has its own deadline, so that which of them is heard shows in the row."""
    both = rules(obligations=(obligation("post-office", POSTAL), obligation("department", POSTAL, operator="post-office", period="year")))
    one = stated("A", source="post-office", operator="post-office", event_id="same")
    other = stated("A", source="department", operator="post-office", event_id="same")
    assert encode(commune_row(one, other, rules=both)) == encode(commune_row(other, one, rules=both))


def test_a_statement_is_fresh_by_the_obligation_of_whoever_said_it() -> None:
    both = rules(
        obligations=(obligation("post-office", POSTAL), obligation("department", POSTAL, operator="post-office", period="year")),
    )
    by_post = commune_row(stated("A"), rules=both)
    by_department = commune_row(stated("A", source="department", operator="post-office"), rules=both)
    assert by_post.fresh_until == instant("2023-08-21")
    assert by_department.fresh_until == instant("2025-01-21")


def test_a_statement_by_another_speaker_is_fresh_by_the_operators_own_obligation() -> None:
    row = commune_row(stated("A", source="department", operator="post-office"))
    assert (row.state, row.fresh_until) == (State.FRESH, instant("2023-08-21"))


def test_completeness_is_the_share_of_obliged_reporters_with_a_fresh_statement() -> None:
    """Of six (three communes, two operators) one is fresh and one is stale: 1/6."""
    fresh = stated("A", MOBILE, source="operator-a")
    stale = stated("B", MOBILE, observed_at="2023-03-31", source="operator-b")
    row = province_row(fresh, stale, rules=TWO_OPERATORS, about=MOBILE)
    assert row.completeness == float(Fraction(1, 6))


def test_completeness_leaves_out_what_is_not_applicable() -> None:
    assert province_row(stated("A", covered=0, expected=0), stated("B")).completeness == 0.5


def test_completeness_without_any_obligation_is_zero() -> None:
    assert province_row(about=MOBILE).completeness == 0


def test_who_speaks_for_two_operators_has_reported_when_it_spoke_for_both() -> None:
    """Also before the deadline of the first period: what was not said is not fresh."""
    speaker = rules(
        obligations=tuple(obligation("department", MOBILE, operator=one, start="2023-06-01") for one in ("operator-a", "operator-b"))
    )
    for_a = stated("A", MOBILE, source="department", operator="operator-a")
    for_b = stated("A", MOBILE, source="department", operator="operator-b", observed_at="2023-05-31")
    assert province_row(for_a, rules=speaker, about=MOBILE).completeness == 0
    row = province_row(for_a, for_b, rules=speaker, about=MOBILE)
    assert row.completeness == float(Fraction(1, 3))
    assert commune_row(for_a, for_b, rules=speaker, about=MOBILE).reporters == {"department": instant("2023-07-21")}


def test_an_obligation_on_some_communes_leaves_the_others_alone() -> None:
    some = rules(obligations=(obligation("post-office", POSTAL, communes="A C"),))
    assert commune_row(stated("B"), rules=some, code="B").state is State.UNKNOWN
    assert commune_row(stated("C"), rules=some, code="C").state is State.FRESH
    assert commune_row(rules=some, code="B").reporters == {}


def test_an_obligation_binds_from_its_start_until_its_end() -> None:
    bounded = rules(obligations=(obligation("post-office", POSTAL, start="2023-07-01", end="2023-08-01"),))
    states = {
        day: commune_row(stated("A"), rules=bounded, as_of=instant(day)).state
        for day in ("2023-06-30T23:59:59", "2023-07-01", "2023-07-31T23:59:59", "2023-08-01")
    }
    assert list(states.values()) == [State.UNKNOWN, State.FRESH, State.FRESH, State.UNKNOWN]


def test_a_reporter_who_never_reported_was_due_after_the_first_period_of_its_obligation() -> None:
    assert commune_row().reporters == {"post-office": instant("2023-02-21")}
    assert province_row(stated("A")).reporters_due == {"post-office": instant("2023-02-21")}
    assert province_row(*(stated(code) for code in "ABC")).reporters_due == {"post-office": STALE_AT}


def test_who_has_not_reported_yet_is_not_complete_although_nothing_is_overdue() -> None:
    row = province_row(as_of=instant("2023-01-10"))
    assert row.reporters_due["post-office"] > instant("2023-01-10")
    assert row.completeness == 0


@pytest.mark.parametrize(
    ("origins", "worst"),
    [
        ((Origin.REAL, Origin.REAL, Origin.REAL), Origin.REAL),
        ((Origin.REAL, Origin.ASSUMED, Origin.REAL), Origin.ASSUMED),
        ((Origin.SIMULATED, Origin.ASSUMED, Origin.REAL), Origin.SIMULATED),
    ],
)
def test_the_worst_origin_marks_the_province(origins: tuple[Origin, ...], worst: Origin) -> None:
    row = province_row(*(stated(code, origin=origin) for code, origin in zip("ABC", origins, strict=True)))
    assert row.origin is worst
    assert row.origins == {origin: origins.count(origin) for origin in origins}
    assert (row.marks[Mark.ASSUMED], row.marks[Mark.SIMULATED]) == (origins.count(Origin.ASSUMED), origins.count(Origin.SIMULATED))


def test_only_the_statement_that_decided_lends_its_origin() -> None:
    old = stated("A", observed_at="2023-05-31", origin=Origin.SIMULATED)
    measured = stated("A", observed_at="2023-06-30", method=Method.MEASURED, origin=Origin.REAL)
    assert province_row(old, measured).origin is Origin.REAL


def test_the_oldest_observation_is_that_of_the_communes_that_count() -> None:
    row = province_row(stated("A", observed_at="2023-05-31"), stated("A"), stated("B", observed_at="2023-06-01"))
    assert row.oldest_observed_at == instant("2023-06-01")


def test_the_same_evidence_in_any_order_gives_the_same_bytes() -> None:
    """Also where two communes were observed at one instant that is written with different offsets."""
    here, there = stated("A", observed_at="2023-06-30T00:00:00+07:00"), stated("B", observed_at="2023-06-29T17:00:00+00:00")
    assert encode(province_row(here, there)) == encode(province_row(there, here))
    swapped = (stated("A", observed_at="2023-06-29T17:00:00+00:00"), stated("B", observed_at="2023-06-30T00:00:00+07:00"))
    assert encode(province_row(*swapped)) == encode(province_row(here, there))


@pytest.mark.parametrize(
    ("as_of", "value", "scope"),
    [
        ("2022-12-31T23:59:59", 1.0, "national"),
        ("2023-01-01", 0.5, "province"),
        ("2023-05-31T23:59:59", 0.5, "province"),
        ("2023-06-01", 0.6, "province"),
        ("2023-12-31T23:59:59", 0.6, "province"),
        ("2024-01-01", 1.0, "national"),
        ("2020-12-31T23:59:59", None, None),
    ],
)
def test_the_provinces_own_target_goes_before_the_national_one_and_the_newer_before_the_older(
    as_of: str, value: float | None, scope: str | None
) -> None:
    dated = rules(
        targets=(
            target(POSTAL, "0.5", "08", start="2023-01-01", end="2024-01-01"),
            target(POSTAL, "1"),
            target(POSTAL, "0.6", "08", start="2023-06-01", end="2024-01-01"),
            target(MOBILE, "0.1", start="2023-01-02"),
        )
    )
    row = province_row(rules=dated, as_of=instant(as_of))
    assert (row.target, row.target_scope) == (value, scope)
    assert (row.verdict is Verdict.NO_TARGET) == (value is None)


def test_a_target_that_falls_due_turns_not_yet_into_missed_at_that_instant() -> None:
    due = rules(targets=(target(POSTAL, due="2023-07-10"),))
    events = [stated("A", covered=0), stated("B"), stated("C")]
    before = province_row(*events, rules=due, as_of=JULY - timedelta(microseconds=1))
    assert (before.verdict, before.target_due) == (Verdict.NOT_YET, JULY)
    assert province_row(*events, rules=due, as_of=JULY).verdict is Verdict.MISSED
