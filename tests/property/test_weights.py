"""A province is the exact weighted sum of its communes, recomputed here without the core's running sums."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from phusong.communes import Commune
from phusong.events import Event
from phusong.register import Base
from phusong.rows import Mark, ProvinceRow, State, Verdict
from tests.models import POINTS, V1, communes_of, model, narrowed, rows_of
from tests.strategies import evidence, moments
from tests.worlds import stated, withdrawn


def by_province(communes: dict[tuple[str, str, str], Commune]) -> dict[str, list[Commune]]:
    """Key of a province's row -> its communes."""
    found: dict[str, list[Commune]] = {}
    for one in communes.values():
        found.setdefault(f"{one.row.vintage}/{one.row.province}/{one.row.indicator}", []).append(one)
    return found


def weights(communes: list[Commune]) -> list[Fraction]:
    """Their weights; an unknown one is the mean of the known, or 1 where those weigh nothing."""
    known = [Fraction(one.weight) for one in communes if one.weight is not None]
    mean = sum(known, Fraction(0)) / len(known) if any(known) else Fraction(1)
    return [mean if one.weight is None else Fraction(one.weight) for one in communes]


def number(value: Fraction) -> int | float:
    return int(value) if value.denominator == 1 else float(value)


@settings(max_examples=80)
@given(evidence(model()), moments())
def test_a_province_is_the_exact_weighted_sum_of_all_its_communes(many: list[Event], as_of: datetime) -> None:
    rules = narrowed(model(), many)
    rows = rows_of(rules, many, as_of)
    groups = by_province(communes_of(rules, many, as_of))
    assert groups.keys() == {key for key, row in rows.items() if isinstance(row, ProvinceRow)}
    for key, communes in groups.items():
        row = rows[key]
        assert isinstance(row, ProvinceRow)
        w = weights(communes)
        whole = sum(w, Fraction(0))
        covered = sum((weight * one.ratio for weight, one in zip(w, communes, strict=True)), Fraction(0))
        assert (row.expected, row.covered) == (number(whole), number(covered))
        assert row.ratio == (float(covered / whole) if whole else None)
        for name in ("low", "high", "completeness"):
            exact = sum((weight * getattr(one, name) for weight, one in zip(w, communes, strict=True)), Fraction(0))
            assert getattr(row, name) == (float(exact / whole) if whole else None), name


@settings(max_examples=60)
@given(evidence(model()), moments())
def test_a_province_counts_the_states_marks_origins_and_overdue_reporters_of_its_communes(many: list[Event], as_of: datetime) -> None:
    rules = narrowed(model(), many)
    rows = rows_of(rules, many, as_of)
    for key, communes in by_province(communes_of(rules, many, as_of)).items():
        row = rows[key]
        assert isinstance(row, ProvinceRow)
        assert row.units == {state: sum(one.row.state is state for one in communes) for state in State}
        assert row.marks == {mark: sum(mark in one.row.marks for one in communes) for mark in Mark}
        assert row.origins == Counter(one.row.origin for one in communes if one.row.origin)
        assert row.reporters_overdue == Counter(reporter for one in communes for reporter in one.overdue)
        assert row.oldest_observed_at == min((one.row.observed_at for one in communes if one.row.observed_at), default=None)
        checks = [check for one in communes for check in one.checks]
        assert row.reliability == {
            who: (sum(agrees for one, agrees in checks if one == who), sum(one == who for one, _ in checks)) for who, _ in checks
        }


@settings(max_examples=60)
@given(evidence(model()), moments())
def test_a_weight_is_one_or_the_registers_count_or_what_was_stated_and_0_where_there_is_nothing(many: list[Event], as_of: datetime) -> None:
    for (vintage, code, about), one in communes_of(narrowed(model(), many), many, as_of).items():
        base = model().catalogue.indicators[about].base
        if one.row.ratio is None:
            assert one.weight == 0
            assert Mark.NOT_APPLICABLE in one.row.marks
        elif base is Base.UNITS:
            assert one.weight == 1
        elif base is not Base.REPORTED:
            count = model().register.counts.get((vintage, code), {}).get(base)
            assert one.weight == (None if count is None else count.value)
        if one.weight is None:
            assert Mark.IMPUTED in one.row.marks


@settings(max_examples=40)
@given(evidence(model(), indicators=(POINTS,)), st.sampled_from(["00001", "00002"]), st.integers(1, 5), moments(), st.data())
def test_a_report_that_is_taken_back_leaves_its_weight_in_a_pool(
    many: list[Event], code: str, size: int, as_of: datetime, data: st.DataObject
) -> None:
    others = [one for one in many if (one.data.operator or one.source) != "post-b"]
    said = stated(code, POINTS, data.draw(st.integers(0, size)), size, source="post-b")
    back = withdrawn(code, POINTS, source="post-b")
    rules = narrowed(model(), [said])
    before, after = communes_of(rules, [*others, said], as_of), communes_of(rules, [*others, said, back], as_of)
    for cell, was in before.items():
        if cell[:2] == (V1, code):
            assert after[cell].weight == was.weight
            assert after[cell].low <= was.low <= was.high <= after[cell].high


@settings(max_examples=40)
@given(evidence(model()), moments())
def test_while_any_weight_is_imputed_the_verdict_is_uncertain(many: list[Event], as_of: datetime) -> None:
    for row in rows_of(narrowed(model(), many), many, as_of).values():
        if isinstance(row, ProvinceRow) and row.marks[Mark.IMPUTED]:
            assert row.verdict in (Verdict.UNCERTAIN, Verdict.NO_TARGET)
