"""phusong/follow_ups.py: promises and challenges, as a department and an operator exchange them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import pytest

from phusong.admission import Admission
from phusong.assessment import assess
from phusong.events import Event, Reason, Rejected, Step
from phusong.follow_ups import Case, Undertaking, cases, undertakings
from phusong.province import Province
from phusong.rows import CommuneRow
from phusong.rules import Rules
from tests.worlds import (
    MOBILE,
    POSTAL,
    cells_of,
    challenged,
    follow_ups_of,
    instant,
    place,
    promised,
    seed_texts,
    stated,
    succession,
    unit,
    vintage,
    world,
)

NOON = instant("2023-07-10T12:00")
GAP = stated(indicator=MOBILE, covered=5, expected=8, uncovered=("Bản Lãm", "Nà Tạng", "Tát Kẻ"), source="operator-a")


def promises(*events: Event, rules: Rules | None = None, about: tuple[str, str] = ("2020-01-01", "02275")) -> list[Undertaking]:
    rules = rules or world()
    return undertakings(rules.register, rules.register.units[about], MOBILE, follow_ups_of(rules, events))


def challenges(*events: Event) -> list[Case]:
    return cases(world().register, world().register.units["2020-01-01", "02275"], POSTAL, follow_ups_of(world(), events))


def row(events: Iterable[Event], indicator: str = MOBILE, *, as_of: datetime = NOON) -> CommuneRow:
    events = list(events)
    found = assess(world(), "08", cells_of(world(), events), as_of, follow_ups=follow_ups_of(world(), events))[0]
    return found[f"2020-01-01/02275/{indicator}"]


def rejection(event: Event) -> Rejected:
    with pytest.raises(Rejected) as caught:
        Admission(world()).route(event)
    return caught.value


def test_a_promise_is_kept_place_by_place_whatever_the_spelling() -> None:
    found = promises(
        promised(indicator=MOBILE, source="operator-a", places=("Bản Lãm", "Tát Kẻ")),
        promised(indicator=MOBILE, source="operator-a", places=("bản lãm",), by="2024-06-30", observed_at="2023-07-01"),
    )
    assert [(one.place, one.by, one.first.data.by) for one in found] == [
        ("lãm", instant("2024-06-30"), instant("2023-12-31")),
        ("tát kẻ", instant("2023-12-31"), instant("2023-12-31")),
    ]


def test_a_postponed_promise_keeps_the_original_whatever_came_between_or_first() -> None:
    first, second, third = (
        promised(indicator=MOBILE, source="operator-a", observed_at=f"202{year}-01-01", by=f"202{year}-12-31") for year in (1, 2, 3)
    )
    for order in ((first, second, third), (third, first, second), (second, third, first, second)):
        (one,) = promises(*order)
        assert (one.first, one.last) == (first, third)


def test_a_correction_of_the_original_counts_as_the_original() -> None:
    mistaken = promised(indicator=MOBILE, source="operator-a", by="2032-12-31")
    corrected = promised(indicator=MOBILE, source="operator-a", by="2023-12-31", time="2023-07-06T09:00:00+07:00")
    (one,) = promises(corrected, mistaken)
    assert one.first is one.last is corrected


def test_what_the_department_notes_of_an_operator_s_promise_is_the_operator_s_promise() -> None:
    own = promised(indicator=MOBILE, source="operator-b")
    noted = promised(indicator=MOBILE, source="department", operator="operator-b", by="2024-03-31", observed_at="2023-08-01")
    (one,) = promises(noted, own)
    assert (one.operator, one.first, one.last) == ("operator-b", own, noted)


def test_a_promise_taken_back_stands_no_more() -> None:
    given = promised(indicator=MOBILE, source="operator-a")
    back = promised(indicator=MOBILE, source="operator-a", by=None, observed_at="2023-07-01")
    (one,) = promises(given, back)
    assert (one.by, one.first) == (None, given)
    assert row([GAP, given]).promised_for == instant("2023-12-31")
    assert row([GAP, given, back]).promised_for is None


def test_a_row_shows_the_earliest_promise_about_its_own_gap() -> None:
    elsewhere = promised(indicator=MOBILE, source="operator-b", places=("Nà Khá",), by="2023-08-01")
    late = promised(indicator=MOBILE, source="operator-a", places=("Tát Kẻ",), by="2024-06-30")
    early = promised(indicator=MOBILE, source="operator-a", places=("Nà Tạng",), by="2023-09-30")
    assert row([GAP, elsewhere]).promised_for is None
    assert row([GAP, elsewhere, late]).promised_for == instant("2024-06-30")
    assert row([GAP, elsewhere, late, early]).promised_for == instant("2023-09-30")


def test_a_row_without_a_gap_shows_no_promise() -> None:
    whole = promised(source="post-office")
    assert row([stated(covered=0), whole], POSTAL).promised_for == instant("2023-12-31")
    assert row([stated(covered=1), whole], POSTAL).promised_for is None


def test_a_promise_moves_no_ratio() -> None:
    said = [GAP, promised(indicator=MOBILE, source="operator-a"), challenged(indicator=MOBILE, operator="operator-a", source="inspector")]
    with_them, without = row(said), row([GAP])
    assert (with_them.ratio, with_them.low, with_them.high, with_them.marks) == (without.ratio, without.low, without.high, without.marks)


def test_a_challenge_goes_from_opened_to_resolved_and_keeps_each_step() -> None:
    life = [
        challenged("opened", "2023-03-01", statement="department 1", places=("Bản Bung",)),
        challenged("sent", "2023-03-05", deadline="2023-05-04"),
        challenged("disputed", "2023-04-20", source="post-office", operator=None, note="đã đo"),
        challenged("resolved", "2023-06-01"),
    ]
    for told in (life, life[::-1], [*life, *life]):
        (case,) = challenges(*told)
        assert [one.data.step for one in case.steps] == [Step.OPENED, Step.SENT, Step.DISPUTED, Step.RESOLVED]
        assert (case.operator, case.name, case.open) == ("post-office", "3777", False)


def test_an_open_challenge_is_overdue_from_its_deadline_on() -> None:
    opened, sent = challenged("opened", "2023-03-01"), challenged("sent", "2023-03-05", deadline="2023-05-04")
    (case,) = challenges(opened, sent)
    assert not case.overdue(instant("2023-05-03T23:59"))
    assert case.overdue(instant("2023-05-04"))
    (answered,) = challenges(opened, sent, challenged("conceded", "2023-05-10", source="post-office", operator=None))
    assert answered.open
    assert not answered.overdue(NOON)


def test_a_resolved_challenge_may_be_opened_again() -> None:
    (case,) = challenges(challenged("opened", "2023-03-01"), challenged("resolved", "2023-04-01"), challenged("opened", "2023-05-01"))
    assert case.step is Step.OPENED
    assert [one.data.observed_at for one in case.steps] == [instant(f"2023-0{month}-01") for month in (3, 4, 5)]


def test_a_row_counts_open_challenges_and_shows_the_earliest_deadline() -> None:
    life = [
        challenged("sent", "2023-03-05", deadline="2023-05-04"),
        challenged("sent", "2023-03-06", deadline="2023-05-01", challenge="3778"),
        challenged("resolved", "2023-04-06", challenge="3779"),
    ]
    found = row([stated(), *life], POSTAL)
    assert (found.challenges_open, found.challenge_due) == (2, instant("2023-05-01"))


def test_an_operator_answers_a_challenge_to_itself_and_takes_no_other_step() -> None:
    route = Admission(world()).route
    for step in Step:
        own = challenged(step.value, source="post-office", operator=None)
        if step in (Step.CONCEDED, Step.DISPUTED):
            assert route(own).slot == ("post-office", "post-office", step.value, False, "3777")
        else:
            assert rejection(own).reason is Reason.UNKNOWN_OPERATOR
        assert route(challenged(step.value)).slot[:2] == ("post-office", "department")


@pytest.mark.parametrize(
    "event",
    [
        promised(by="2023-06-30"),
        promised(places=()),
        promised(places=(" ",)),
        challenged(deadline="2023-06-01"),
        challenged(places=()),
    ],
    ids=["due when it is given", "no place", "a place without a letter", "due before it is taken", "about no place"],
)
def test_a_promise_or_step_that_says_nothing_is_rejected(event: Event) -> None:
    assert rejection(event).reason is Reason.SCHEMA


def test_a_promise_follows_its_territory_through_a_merger_and_by_its_alias() -> None:
    rules = Rules.from_texts(
        seed_texts(
            communes={"08": ("02263", "02275")},
            vintages=(vintage("2020-01-01", end="2025-07-01"), vintage("2025-07-01")),
            units=(unit("2020-01-01", "02263"), unit("2020-01-01", "02275"), unit("2025-07-01", "02263")),
            successions=(succession("2025-07-01", "02263", "02263"), succession("2025-07-01", "02263", "02275")),
            places=(place("02275", "Bản Khẻ", "Ban Khe"),),
            targets=(),
            obligations=(),
        )
    )
    given = promised(indicator=MOBILE, source="operator-a", places=("Ban Khe",))
    (one,) = promises(given, rules=rules, about=("2025-07-01", "02263"))
    assert (one.name, one.first) == ("Bản Khẻ", given)


def test_a_province_publishes_a_row_again_when_something_is_promised() -> None:
    province, route = Province(world(), "08"), Admission(world()).route
    for event in (GAP, promised(indicator=MOBILE, source="operator-a")):
        where = route(event)
        province.apply(where.cell, where.slot, event)
        changed = {one.key: one for one in province.rows(NOON)}
    assert list(changed) == [f"2020-01-01/02275/{MOBILE}"]
