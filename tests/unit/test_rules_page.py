"""docs/rules.md: every example on the page is what the code does."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice, permutations

import pytest

from phusong.assessment import percent
from phusong.indicators import Union
from phusong.periods import Period
from phusong.province import Province
from phusong.register import Base
from phusong.rows import CauseKind, Mark, State, Verdict
from tests.models import rows_of
from tests.rules_notation import GIVEN, OUTCOMES, Case
from tests.rules_page import PAGE, examples, tables

EXAMPLES = examples()
TABLES = [rows for _, rows in tables(PAGE.read_text("utf-8"))]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_comes_out_as_the_page_says(name: str) -> None:
    example = EXAMPLES[name]
    case = Case(example)
    printed = {column: cell for column, cell in example.columns.items() if column not in GIVEN}
    assert printed
    assert {column: OUTCOMES[column](case) for column in printed} == printed


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_comes_out_the_same_in_any_order(name: str) -> None:
    case = Case(EXAMPLES[name])
    for events in [*islice(permutations(case.events), 24), case.events[::-1]]:
        assert rows_of(case.rules, events, case.as_of) == {**case.rows[0], **case.rows[1]}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_comes_out_the_same_event_by_event_and_with_each_event_twice(name: str) -> None:
    case = Case(EXAMPLES[name])
    state = Province(case.rules, "08")
    for event in [*case.events, *case.events]:
        case.apply(state, event)
        state.rows(min(event.time, case.as_of))
    state.rows(case.as_of)
    assert {row.key: row for row in state.all_rows()} == {**case.rows[0], **case.rows[1]}


@pytest.mark.parametrize("row", [row for rows in TABLES for row in rows if "figure" in row and "printed" in row], ids=str)
def test_a_figure_is_printed_as_the_page_says(row: dict[str, str]) -> None:
    target = None if row["target"] == "–" else float(Fraction(row["target"].removesuffix(" %")) / 100)
    assert percent(float(Fraction(row["figure"])), target) == row["printed"]


@pytest.mark.parametrize("mark", Mark)
def test_every_mark_is_explained_and_shown_by_an_example_that_has_it(mark: Mark) -> None:
    shown_by = {row["mark"]: row["shown by"] for rows in TABLES for row in rows if "mark" in row}
    for name in shown_by[mark].replace("`", "").split(", "):
        assert mark in EXAMPLES[name].columns["marks"].split(", ")


@pytest.mark.parametrize(
    ("column", "values"),
    [
        pytest.param("state", set(State), id="state"),
        pytest.param("verdict", set(Verdict), id="verdict"),
        pytest.param("period", set(Period), id="period"),
        pytest.param("cause", set(CauseKind) - {CauseKind.RULES, CauseKind.REBUILD}, id="cause"),
    ],
)
def test_the_page_has_an_example_of_each(column: str, values: set[str]) -> None:
    """What no worker saw happen (rules, rebuild) is told apart where verdicts are written: tests/unit/test_rows.py."""
    assert {example.get(column) for example in EXAMPLES.values()} >= values


def test_the_page_has_an_example_of_each_base_and_union() -> None:
    counted = [Case(example).counted for example in EXAMPLES.values()]
    assert {one["base"] for one in counted} == set(Base)
    assert {one["union"] for one in counted} == set(Union)


def test_no_example_speaks_for_a_real_organisation() -> None:
    for example in EXAMPLES.values():
        assert {event.source for event in Case(example).events} <= set("ABCDMP")
