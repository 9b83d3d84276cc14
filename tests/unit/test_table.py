"""ops/table.py: the province table in the terminal, at the width of a pipe."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import Any

import msgspec
import pytest
from rich.console import Console

from ops.table import MARKS, Json, known, show
from phusong.assessment import assess
from phusong.rows import Mark, Projection, ProvinceRow, Verdict
from phusong.settings import SEEDS, read_rules
from tests.worlds import POSTAL, cells_of, instant, stated

WIDTH = 160
AS_OF = instant("2023-07-01T18:00")
RULES = read_rules(SEEDS)
STAFFED = stated("02275", covered=0, source="assumed-postal-reporter", origin="assumed")


def rows_after(*events: Any) -> list[ProvinceRow]:
    """Every province row of the shipped seeds in 2023: 14 of Tuyên Quang and 14 of Hà Giang."""
    return list(assess(RULES, "08", cells_of(RULES, events), AS_OF)[1].values())


def served(rows: list[ProvinceRow]) -> list[Json]:
    """The rows as the feed's JSON has them."""
    return [msgspec.to_builtins(row) | {"as_of": AS_OF.isoformat()} for row in rows]


def printed(provinces: list[Json], gaps: list[Json] | None = None) -> str:
    out = StringIO()
    show(Console(file=out, width=WIDTH, highlight=False), provinces, lambda _: gaps or [])
    return out.getvalue()


def row_with(**changes: Any) -> Json:
    """The row of the one statement, changed."""
    (row,) = (row for row in rows_after(STAFFED) if (row.province, row.indicator) == ("08", POSTAL))
    (one,) = served([msgspec.structs.replace(row, **changes)])
    return one


def test_a_province_of_which_nothing_is_known_is_one_line() -> None:
    text = printed(served(rows_after()))
    assert text.splitlines() == ["Hà Giang (02): chưa có báo cáo nào (193 xã)", "Tuyên Quang (08): chưa có báo cáo nào (138 xã)"]


def test_every_indicator_of_a_province_that_reports_has_its_row_with_its_id_in_one_piece() -> None:
    text = printed(served(rows_after(STAFFED)))
    assert all(f"│ {name} " in text for name in RULES.catalogue.indicators)
    (top,) = (line for line in text.splitlines() if line.startswith("┏"))
    assert (len(top), top[-1]) == (WIDTH, "┓"), "nothing is cut off at the right"


@pytest.mark.parametrize(
    ("base", "covered", "expected", "text"),
    [
        ("units", 137, 138, "137 / 138 xã"),
        ("units", 1.25, 3, "1,2 / 3 xã"),
        ("units", 2.3, 3, "2,3 / 3 xã"),
        ("units", 137.96, 138, "137,9 / 138 xã"),
        ("villages", 60, 1518, "60 / 1.518 thôn"),
        ("households", 196235.9, 196236, "196.235 / 196.236 hộ"),
        ("population", 784810.99, 784811, "784.810 / 784.811 người"),
        ("reported", 3, 4, "3 / 4 "),
    ],
)
def test_counts_are_in_the_unit_of_their_base_and_never_rounded_up_to_the_whole(
    base: str, covered: float, expected: float, text: str
) -> None:
    assert f" {text}" in printed([row_with(covered=covered, expected=expected) | {"base": base}])


def test_marks_are_shown_where_there_are_any_and_the_origin_is_said_once() -> None:
    marks = dict.fromkeys(Mark, 0)
    assert ": 1" not in printed([row_with(marks=marks | {Mark.ASSUMED: 1})]).replace("18:00", "")
    text = printed([row_with(marks=marks | {Mark.ASSUMED: 1, Mark.SIMULATED: 2, Mark.CONTESTED: 3})])
    assert "mô phỏng: 2" in text
    assert "có kiến nghị: 3" in text
    assert "giả định (assumed)" in text


def test_every_mark_has_words() -> None:
    assert set(MARKS) == {str(mark) for mark in Mark}


def test_a_projection_is_a_day_or_that_this_pace_does_not_lead_there() -> None:
    reached = Projection(reached_at=AS_OF + timedelta(days=1), earliest=None, latest=None, pace=0.1, points=4)
    assert "dự kiến đạt 02/07/2023" in " ".join(printed([row_with(verdict=Verdict.NOT_YET, projection=reached)]).split())
    never = msgspec.structs.replace(reached, reached_at=None)
    assert "không đạt với" in printed([row_with(verdict=Verdict.NOT_YET, projection=never)])


def test_the_communes_behind_a_missed_target_are_named() -> None:
    communes, provinces = assess(RULES, "08", cells_of(RULES, [STAFFED]), AS_OF)
    (gap,) = (msgspec.to_builtins(row) for row in communes.values() if row.state == "fresh")
    missed = row_with(verdict=Verdict.MISSED)
    assert known(missed) == 1
    assert "• Xã Sơn Phú (02275), Huyện Na Hang: 0 / 1, còn hạn, giả định" in printed([missed], [gap])
    not_missed = [row for row in served(list(provinces.values())) if row["verdict"] != "missed"]
    assert "Xã Sơn Phú" not in printed(not_missed, [gap])
