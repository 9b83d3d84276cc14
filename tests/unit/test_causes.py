"""phusong/province.py and rows.py: why a verdict changed."""

from __future__ import annotations

from typing import Any

from phusong.admission import Admission
from phusong.events import Event
from phusong.province import Province
from phusong.rows import MAX_CAUSES, Cause, CauseKind, ProvinceRow, Verdict, verdict_event
from phusong.rules import Rules
from tests.worlds import (
    POSTAL,
    indicator,
    instant,
    obligation,
    reporter,
    seed_texts,
    stated,
    succession,
    target,
    unit,
    vintage,
    withdrawn,
)

ONE = {"08": ("02275",)}


def world(**more: Any) -> Rules:
    given: dict[str, Any] = {
        "communes": ONE,
        "indicators": (indicator(POSTAL),),
        "reporters": (reporter("post-office"),),
        "obligations": (obligation("post-office", POSTAL),),
        "targets": (target(POSTAL),),
    }
    return Rules.from_texts(seed_texts(**{**given, **more}))


class Owner:
    """A province, and the verdicts and causes that it came to at each moment."""

    def __init__(self, rules: Rules) -> None:
        self.province = Province(rules, "08")
        self._route = Admission(rules).route

    def at(self, moment: str, *events: Event) -> list[tuple[str, Verdict, Cause]]:
        """The province rows that changed, with the cause of their verdict."""
        for event in events:
            route = self._route(event)
            self.province.apply(route.cell, route.slot, event)
        rows = self.province.rows(instant(moment))
        return [(row.key, row.verdict, self.province.cause(row)) for row in rows if isinstance(row, ProvinceRow)]

    def verdict(self, moment: str, *events: Event) -> tuple[Verdict, Cause]:
        """The same where one row changed."""
        ((_, verdict, cause),) = self.at(moment, *events)
        return verdict, cause


def test_the_first_assessment_after_a_start_names_no_event() -> None:
    assert Owner(world()).verdict("2023-07-01", stated()) == (Verdict.MET, Cause(kind=CauseKind.REBUILD))


def test_a_statement_is_named_by_source_and_id() -> None:
    owner = Owner(world())
    owner.at("2023-07-01", stated(covered=0, event_id="first"))
    correction = stated(covered=1, time="2023-07-06T09:00:00+07:00", event_id="second")
    assert owner.verdict("2023-07-07", correction) == (Verdict.MET, Cause(kind=CauseKind.STATEMENT, events=("post-office second",)))


def test_of_many_statements_the_first_are_named_and_the_others_counted() -> None:
    owner = Owner(world())
    owner.at("2023-07-01")
    times = [f"2023-07-0{1 + n // 24}T{n % 24:02}:00:00+07:00" for n in range(MAX_CAUSES + 5)]
    _, cause = owner.verdict("2023-07-03", *(stated(time=time, event_id=str(n)) for n, time in enumerate(times)))
    assert len(cause.events) == MAX_CAUSES
    assert cause.more == 5


def test_a_withdrawal_is_its_own_kind() -> None:
    owner = Owner(world())
    owner.at("2023-07-01", stated())
    cause = Cause(kind=CauseKind.WITHDRAWAL, events=("post-office back",))
    assert owner.verdict("2023-07-07", withdrawn(event_id="back")) == (Verdict.UNCERTAIN, cause)


def test_what_goes_stale_is_caused_by_time() -> None:
    owner = Owner(world())
    owner.at("2023-07-01", stated())
    assert owner.verdict("2023-08-21") == (Verdict.UNCERTAIN, Cause(kind=CauseKind.TIME))


def test_a_target_that_falls_due_is_caused_by_its_row() -> None:
    owner = Owner(world(targets=(target(POSTAL, due="2023-07-15"),)))
    assert owner.verdict("2023-07-01", stated(covered=0))[0] is Verdict.NOT_YET
    assert owner.verdict("2023-07-15") == (Verdict.MISSED, Cause(kind=CauseKind.TARGET))


def test_an_obligation_that_ends_is_caused_by_its_row() -> None:
    owner = Owner(world(obligations=(obligation("post-office", POSTAL, end="2023-07-15"),)))
    owner.at("2023-07-01", stated())
    assert owner.verdict("2023-07-15") == (Verdict.UNCERTAIN, Cause(kind=CauseKind.OBLIGATION))


def test_a_miss_that_ends_by_succession_says_so_in_both_lists() -> None:
    rules = world(
        communes={"08": ()},
        vintages=(vintage("2020-01-01", end="2023-07-15"), vintage("2023-07-15")),
        units=(unit("2020-01-01", "02275"), unit("2020-01-01", "02284"), unit("2023-07-15", "02284")),
        successions=(succession("2023-07-15", "02284", "02275"), succession("2023-07-15", "02284", "02284")),
    )
    owner = Owner(rules)
    owner.at("2023-07-01", stated("02275", covered=0), stated("02284", covered=1))
    succeeded = Cause(kind=CauseKind.SUCCESSION)
    assert owner.at("2023-07-15") == [
        (f"2020-01-01/08/{POSTAL}", Verdict.NO_TARGET, succeeded),
        (f"2023-07-15/08/{POSTAL}", Verdict.MET, succeeded),
    ]


def test_what_nobody_saw_happen_under_other_rules_is_put_down_to_the_rules() -> None:
    owner = Owner(world())
    owner.at("2023-07-01", stated())
    (row,) = owner.province.province_rows()
    before = verdict_event(row, None, owner.province.cause(row), 1, instant("2023-07-01"))
    unseen = Cause(kind=CauseKind.REBUILD)
    assert verdict_event(row, before, unseen, 1, instant("2023-07-02")).data.cause.kind is CauseKind.REBUILD
    assert verdict_event(row, before, unseen, 2, instant("2023-07-02")).data.cause.kind is CauseKind.RULES
