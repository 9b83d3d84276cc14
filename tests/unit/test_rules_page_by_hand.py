"""docs/rules.md: the demo's table is what a reader computes from the shipped facts with pencil and paper."""

from __future__ import annotations

import ast
import json
import operator
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest

from phusong.rows import ProvinceRow
from phusong.settings import SEEDS
from tests.rules_notation import shown
from tests.rules_page import PAGE, tables
from tests.shipped import shipped_rows

MOBILE = "telecom.mobile_signal_villages"
ROWS = [row for _, rows in tables(PAGE.read_text("utf-8")) for row in rows]
STEPS = [row for row in ROWS if "by hand" in row]
REPORTED = [row for row in ROWS if "reported commune" in row]
_OPERATORS: dict[type[ast.operator], Any] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def worked_out(text: str) -> Fraction:
    """What an expression of whole numbers with + − × ÷ and brackets gives."""

    def value(node: ast.expr) -> Fraction:
        if isinstance(node, ast.BinOp):
            result: Fraction = _OPERATORS[type(node.op)](value(node.left), value(node.right))
            return result
        assert isinstance(node, ast.Constant)
        assert isinstance(node.value, int)
        return Fraction(node.value)

    return value(ast.parse(text.replace("×", "*").replace("÷", "/").replace("−", "-"), mode="eval").body)


def facts() -> Iterator[dict[str, Any]]:
    """Every shipped fact as plain JSON, once: read without the program."""
    seen: set[str] = set()
    for file in sorted((SEEDS / "facts").glob("*.jsonl")):
        for line in file.read_text("utf-8").splitlines():
            fact = json.loads(line)
            if fact["id"] not in seen:
                seen.add(fact["id"])
                yield fact


@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{step['row']}-{step['figure']}")
def test_a_figure_by_hand_is_the_programs(step: dict[str, str]) -> None:
    value = worked_out(step["by hand"])
    row: ProvinceRow = shipped_rows("2023-06-30T18:00:00")[1][f"2020-01-01/08/{step['row']}"]
    assert getattr(row, step["figure"]) == float(value)
    assert step["gives"] == (shown(float(value)) if "%" in step["gives"] else str(value))


def test_both_rows_have_every_figure_by_hand() -> None:
    figures = ["covered", "expected", "ratio", "low", "high", "completeness"]
    assert [(step["row"], step["figure"]) for step in STEPS] == [(name, f) for name in ("postal.staffed_point", MOBILE) for f in figures]


def test_the_reported_communes_are_those_of_the_facts_and_their_dark_villages_those_that_all_leave_out() -> None:
    said: dict[str, dict[str, dict[str, Any]]] = {}
    for event in facts():
        if event["data"]["indicator"] == MOBILE and "covered" in event["data"]:
            said.setdefault(event["data"]["commune"], {})[event["source"]] = event["data"]
    assert [row["reported commune"] for row in REPORTED] == sorted(said)
    for row in REPORTED:
        by_operator = said[row["reported commune"]]
        for column, source in (("a", "operator-a"), ("b", "operator-b"), ("c", "operator-c")):
            assert row[column] == f"{by_operator[source]['covered']}/{by_operator[source]['expected']}"
        dark = set.intersection(*(set(data["uncovered"]) for data in by_operator.values()))
        assert row["dark to all three"] == (", ".join(sorted(dark)) or "none")
        assert row["covered"] == str(11 - len(dark))


def test_the_sum_by_hand_adds_the_reported_communes() -> None:
    (step,) = (step for step in STEPS if (step["row"], step["figure"]) == (MOBILE, "covered"))
    assert step["by hand"] == " + ".join(row["covered"] for row in REPORTED)


def test_one_staffed_point_is_missing_in_the_facts() -> None:
    postal = [event["data"] for event in facts() if event["data"]["indicator"] == "postal.staffed_point"]
    assert (len(postal), sum(data["covered"] for data in postal)) == (138, 137)
    assert [data["commune"] for data in postal if not data["covered"]] == ["02275"]
