"""phusong/province.py: silence is noticed at the very moment at which it begins to mean something."""

from __future__ import annotations

from datetime import datetime, timedelta

from phusong.admission import Admission
from phusong.events import Event
from phusong.evidence import Outcome
from phusong.province import Province
from phusong.rows import CommuneRow, ProvinceRow, State, Verdict
from phusong.rules import Rules
from tests.worlds import POSTAL, Row, indicator, instant, obligation, reporter, seed_texts, stated, target, withdrawn

JULY = instant("2023-07-10")
CELL = ("2020-01-01", "A", POSTAL)
SLOT = ("post-office", "post-office", "declared", False, "")


def rules(*obligations: Row, targets: tuple[Row, ...] = ()) -> Rules:
    """One commune, one indicator."""
    return Rules.from_texts(
        seed_texts(
            communes={"08": ("A",)},
            indicators=(indicator(POSTAL),),
            reporters=(reporter("post-office"), reporter("operator-a"), reporter("inspector", "post-office")),
            obligations=obligations,
            targets=targets,
        )
    )


def fed(rules: Rules, *events: Event, as_of: datetime = JULY) -> Province:
    """A province that has assessed these events at `as_of`."""
    province, route = Province(rules, "08"), Admission(rules).route
    for event in events:
        where = route(event)
        province.apply(where.cell, where.slot, event)
    province.rows(as_of)
    return province


def due_moments(province: Province) -> list[str]:
    """The days at which something is looked at again, in order, until nothing is left; each is left behind once it has come."""
    found: list[datetime] = []
    while (due := province.next_due()) is not None:
        assert not found or due > found[-1]
        found.append(due)
        province.rows(due)
    return [due.date().isoformat() for due in found]


def test_each_reporters_deadline_is_a_due_moment_of_its_own() -> None:
    both = rules(obligation("post-office", POSTAL), obligation("operator-a", POSTAL, grace_days=30))
    province = fed(both, stated("A", observed_at="2023-06-29"), stated("A", source="operator-a"))
    assert due_moments(province) == ["2023-08-21", "2023-09-15"]
    (row,) = (row for row in province.all_rows() if isinstance(row, CommuneRow))
    assert row.state is State.STALE


def test_what_somebody_else_said_for_the_operator_goes_stale_too() -> None:
    province = fed(rules(obligation("post-office", POSTAL)), stated("A", source="inspector", operator="post-office"))
    assert due_moments(province) == ["2023-08-21"]


def test_rows_that_begin_fall_due_or_end_are_due_moments() -> None:
    turning = rules(
        obligation("post-office", POSTAL, start="2023-08-01", end="2024-03-01"),
        targets=(target(POSTAL, start="2023-07-11", end="2025-01-01"),),
    )
    overdue = "2023-09-21"
    assert due_moments(fed(turning)) == ["2023-07-11", "2023-08-01", overdue, "2024-03-01", "2025-01-01"]


def test_until_a_target_falls_due_each_period_whose_reports_are_due_is_a_due_moment() -> None:
    """It may bend the pace at which the target is reached."""
    dated = rules(obligation("post-office", POSTAL), targets=(target(POSTAL, start="2020-01-01", due="2023-11-01"),))
    assert due_moments(fed(dated)) == ["2023-07-21", "2023-08-21", "2023-09-21", "2023-10-21", "2023-11-01"]


def test_without_statements_and_turning_rows_nothing_is_ever_due() -> None:
    province = fed(rules(obligation("post-office", POSTAL)))
    assert province.next_due() is None
    assert not province.pending(instant("2999-01-01"))


def test_a_later_report_moves_the_due_moment_and_a_withdrawal_takes_it_away() -> None:
    one = rules(obligation("post-office", POSTAL))
    assert due_moments(fed(one, stated("A"), stated("A", observed_at="2023-07-01"))) == ["2023-09-21"]
    assert due_moments(fed(one, stated("A"), withdrawn("A"))) == []
    province = fed(one, stated("A"))
    province.apply(
        ("2020-01-01", "A", POSTAL), ("post-office", "post-office", "declared", False, ""), stated("A", observed_at="2023-07-01")
    )
    province.rows(JULY)
    assert province.rows(instant("2023-08-21")) == []
    assert len(province.rows(instant("2023-09-21"))) == 2


def test_a_stale_commune_turns_met_into_uncertain_at_the_due_moment_and_not_before() -> None:
    province = fed(rules(obligation("post-office", POSTAL), targets=(target(POSTAL, start="2020-01-01"),)), stated("A"))
    (before,) = province.province_rows()
    due = province.next_due()
    assert due == instant("2023-08-21")
    assert province.rows(due - timedelta(microseconds=1)) == []
    commune, after = province.rows(due)
    assert isinstance(commune, CommuneRow)
    assert isinstance(after, ProvinceRow)
    assert (before.verdict, after.verdict) == (Verdict.MET, Verdict.UNCERTAIN)


def test_what_changes_nothing_leaves_nothing_to_do() -> None:
    one = rules(obligation("post-office", POSTAL))
    province = fed(one, stated("A"))
    assert province.apply(CELL, SLOT, stated("A")) is Outcome.DUPLICATE
    assert province.apply(CELL, SLOT, stated("A", observed_at="2023-05-31")) is Outcome.SUPERSEDED
    assert not province.pending(JULY)
    assert province.apply(CELL, SLOT, stated("A", covered=0, time="2023-07-06")) is Outcome.ADMITTED
    assert province.pending(JULY)


def test_a_statement_repeated_in_other_words_changes_the_row_that_names_it_alone() -> None:
    """The figures stay, so the province row is not published again."""
    province = fed(rules(obligation("post-office", POSTAL)), stated("A"))
    again = stated("A", time="2023-07-06", event_id="again")
    province.apply(CELL, SLOT, again)
    (row,) = province.rows(JULY)
    assert isinstance(row, CommuneRow)
    assert row.statements == ("post-office again",)
