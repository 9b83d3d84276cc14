"""The sentences behind a figure: each names the rule that the core has applied, in both languages."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import pytest

from feed import why
from feed.why import Text
from phusong.events import Event, Method
from phusong.rules import Rules
from phusong.unions import Value, unite
from phusong.views import Line, View, view
from tests import worlds
from tests.worlds import cells_of, indicator, instant, obligation, place, stated, succession, target, unit, vintage, withdrawn

AS_OF = instant("2023-07-20")
OPERATORS = ("operator-a", "operator-b")


def rules(union: str = "places", **more: object) -> Rules:
    """One indicator of villages, two operators that declare and an inspector that measures."""
    return Rules.from_texts(
        worlds.seed_texts(
            indicators=[indicator(worlds.MOBILE, "quarter", base="villages", union=union, tolerance="0")],
            reporters=[worlds.reporter(one) for one in OPERATORS] + [worlds.reporter("inspector", "operator-a operator-b operator-c")],
            obligations=[obligation(one, worlds.MOBILE, period="quarter") for one in OPERATORS],
            targets=[target(worlds.MOBILE)],
            **more,  # type: ignore[arg-type]
        )
    )


def said(covered: int, observed_at: str = "2023-06-30", *, by: str = "operator-a", event_id: str = "", **more: Any) -> Event:
    """A statement on ten villages."""
    return stated("02275", worlds.MOBILE, covered, 10, observed_at, source=by, event_id=event_id or f"{by} {observed_at}", **more)


def measured(covered: int, observed_at: str, **more: Any) -> Event:
    """A measurement of operator-a by the inspector."""
    return said(covered, observed_at, by="inspector", operator="operator-a", method=Method.MEASURED, **more)


def seen(
    world: Rules, events: Iterable[Event], as_of: datetime = AS_OF, code: str = "02275", listed: str = "2020-01-01"
) -> tuple[Line, dict[str, View], Value]:
    """The line, the views and the value that the core makes of these events."""
    about = world.catalogue.indicators[worlds.MOBILE]
    line = Line(cells_of(world, events), world.register, world.register.units[listed, code], about)
    views = {one: view(line, one, world.catalogue.obliged(about.id, "08", code)[:1], as_of) for one in OPERATORS}
    return line, views, unite(about.union, list(views.values()), line.size, line.places.values(), as_of)


def reasons(
    line: Line, views: dict[str, View], events: Iterable[Event], as_of: datetime = AS_OF, operator: str = "operator-a"
) -> list[str]:
    """What each event does, in English."""
    whys = why.of_statements(line, operator, views.get(operator), as_of)
    return [whys[id(event)].en for event in events]


def test_the_latest_observed_decides_and_the_others_came_before_it() -> None:
    events = [said(9, "2023-03-31", by="inspector", operator="operator-a", event_id="other source"), said(8)]
    line, views, _ = seen(rules(), events)
    assert reasons(line, views, events) == ["observed before the one that decides", "decides the figure of operator-a"]
    assert why.of_view(line, "operator-a", views["operator-a"]) == Text(
        "khai báo, được quan sát sau cùng", "a declaration, the latest observed"
    )
    assert why.of_view(line, "operator-b", views["operator-b"]).en == "never reported"


def test_a_measurement_that_stands_against_a_higher_declaration_says_until_when() -> None:
    events = [measured(6, "2023-05-20"), said(9)]
    line, views, _ = seen(rules(), events)
    assert reasons(line, views, events) == [
        "decides the figure of operator-a",
        "above the measurement of 2023-05-20: counts only if observed from 2023-08-20 on",
    ]
    assert why.of_view(line, "operator-a", views["operator-a"]).en == "a whole measurement stands against a higher declaration"
    told = [text.vi for text in why.changes(line, "operator-a", views["operator-a"], AS_OF)]
    assert any("quan sát từ 20/08/2023" in one for one in told)


@pytest.mark.parametrize(
    ("event", "as_of", "reason"),
    [
        (measured(0, "2023-07-01", measured=("Nà Tạng",), uncovered=("Nà Tạng",)), AS_OF, "Nà Tạng measured dark: added to the uncovered"),
        (measured(0, "2023-07-01", measured=("Bản Bung",), uncovered=("Bản Bung",)), AS_OF, "Bản Bung is among the uncovered already"),
        (measured(1, "2023-07-01", measured=("Bản Bung",), uncovered=()), AS_OF, "Bản Bung measured lit: removes nothing"),
        (
            said(5, "2023-07-01", until=instant("2023-08-01")),
            AS_OF,
            "temporary until 2023-08-01: the lasting value counts, marked interrupted",
        ),
        (said(5, "2023-07-01", until=instant("2023-07-10")), AS_OF, "temporary and over: the lesser value counts"),
        (said(5, "2023-05-01", until=instant("2023-05-10")), AS_OF, "temporary: a lasting statement came after it"),
        (said(5, "2023-07-01", method=Method.PETITIONED), AS_OF, "a petition moves nothing, it may only mark the figure as contested"),
    ],
)
def test_each_kind_of_statement_says_what_it_does_beside_a_declaration(event: Event, as_of: datetime, reason: str) -> None:
    declared = said(9, uncovered=("Bản Bung",), event_id="declared")
    line, views, _ = seen(rules(), [declared, event], as_of)
    assert reasons(line, views, [declared, event], as_of) == ["decides the figure of operator-a", reason]


def test_statements_about_an_operator_that_nobody_must_report_on_do_not_count() -> None:
    event = said(9, by="inspector", operator="operator-c")
    line, views, _ = seen(rules(), [event])
    assert reasons(line, views, [event], operator="operator-c") == ["no obligation about this operator is in force: does not count"]


def test_what_was_taken_back_still_weighs() -> None:
    event = said(9)
    line, views, value = seen(rules(), [event, withdrawn("02275", worlds.MOBILE, source="operator-a")])
    assert reasons(line, views, [event]) == ["taken back: only its size still weighs"]
    assert why.of_view(line, "operator-a", views["operator-a"]).vi == "đã rút báo cáo: chưa rõ; quy mô báo lần cuối 10"
    assert [text.en for text in why.of_union(line.indicator, views, value, AS_OF)] == [
        "operator-a, operator-b not known: the upper bound stays at 100 %"
    ]


def test_the_union_says_its_rule_whom_it_took_and_who_opens_the_interval() -> None:
    events = [said(9), said(6, "2023-01-31", by="operator-b")]
    line, views, value = seen(rules("largest"), events, instant("2023-10-22"))
    assert [text.en for text in why.of_union(line.indicator, views, value, instant("2023-10-22"))] == [
        "the operator with the largest share counts (ITU 9.c.1)",
        "that is operator-a",
        "operator-a, operator-b stale: counts in the ratio and the upper bound, not in the lower one",
    ]


def test_villages_that_are_no_rows_of_the_register_are_told() -> None:
    world = rules(places=[place("02275", "Bản Bung")])
    events = [said(9, uncovered=("Bản Bung",)), said(9, by="operator-b", uncovered=("Nà Tạng",))]
    line, views, value = seen(world, events)
    told = [text.en for text in why.of_union(line.indicator, views, value, AS_OF)]
    assert told[0] == "a village is uncovered when every operator leaves it uncovered"
    assert "Bản Bung, Nà Tạng" in told[1]
    assert [text.en for text in why.changes(line, "operator-a", views["operator-a"], AS_OF)] == [
        "operator-a: goes stale on 2023-10-21 without a newer report",
        "operator-a: to be proven covered: Bản Bung",
    ]


def test_what_came_from_the_communes_before_is_told_and_a_part_of_one_is_not_known() -> None:
    lists = [vintage("2020-01-01", end="2023-07-01"), vintage("2023-07-01")]
    old, new = ("02275", "02284", "02290"), ("02275", "02290")
    world = rules(
        vintages=lists,
        units=[unit("2020-01-01", code) for code in old] + [unit("2023-07-01", code) for code in new],
        successions=[
            succession("2023-07-01", "02275", "02275"),
            succession("2023-07-01", "02275", "02284", "part"),
            succession("2023-07-01", "02290", "02284", "part"),
            succession("2023-07-01", "02290", "02290"),
        ],
        communes={"08": ("02275", "02290")},
    )
    events = [said(9), stated("02284", worlds.MOBILE, 5, 5, source="operator-a")]
    line, views, _ = seen(world, events, listed="2023-07-01")
    assert reasons(line, views, events) == [
        "decides the figure of operator-a",
        "only a part of the former commune came here: nothing is known of it",
    ]
    told = why.of_view(line, "operator-a", views["operator-a"]).en
    assert told == "inherited from Xã 02275 (02275, 2020-01-01); a part of Xã 02284 (02284) is unknown"

    own = said(7, "2023-07-10", event_id="own")
    line, views, _ = seen(world, [*events, own], listed="2023-07-01")
    assert reasons(line, views, [events[0], own]) == ["the new commune has statements of its own", "decides the figure of operator-a"]


def test_obligations_that_begin_and_end_are_told() -> None:
    world = worlds.world()
    told = [text.en for text in why.turning(world.catalogue.obliged(worlds.POINTS, "08", "02275"), AS_OF)]
    assert told == ["2024-01-01: the obligation of post-office ends", "2023-10-01: department becomes obliged to report"]
