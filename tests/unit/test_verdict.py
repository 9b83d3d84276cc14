"""phusong/assessment.py: verdict, and how a ratio is printed beside its target."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction
from itertools import product

import pytest

from phusong.assessment import percent, verdict
from phusong.indicators import Target
from phusong.rows import Verdict
from tests.worlds import instant

DUE = instant("2025-12-31")
BEFORE, AT = DUE - timedelta(microseconds=1), DUE


def target(value: Fraction | str, *, due: bool = False) -> Target:
    return Target(
        indicator="postal.staffed_point",
        scope="national",
        province="",
        value=Fraction(value),
        status="cited",
        source_vi="NQ",
        source_en="NQ",
        start=instant("2021-01-01"),
        due=DUE if due else None,
        end=None,
    )


GRID = [Fraction(n, 4) for n in range(5)]


@pytest.mark.parametrize(("low", "high", "value"), [(low, high, value) for low, high, value in product(GRID, GRID, GRID) if low <= high])
def test_the_verdict_table(low: Fraction, high: Fraction, value: Fraction) -> None:
    """Every order of low, high and target, standing or due, before the due date and at its very instant."""
    if value <= low:
        standing = before_due = Verdict.MET
    elif value <= high:
        standing = before_due = Verdict.UNCERTAIN
    else:
        standing, before_due = Verdict.MISSED, Verdict.NOT_YET
    assert verdict(low, high, target(value), BEFORE) is standing
    assert verdict(low, high, target(value, due=True), BEFORE) is before_due
    assert verdict(low, high, target(value, due=True), AT) is standing
    assert verdict(low, high, None, AT) is Verdict.NO_TARGET


def test_an_undefined_ratio_is_uncertain_against_any_target() -> None:
    assert verdict(None, None, target("0.5"), AT) is Verdict.UNCERTAIN
    assert verdict(None, None, None, AT) is Verdict.NO_TARGET


def test_figures_compare_as_exact_fractions() -> None:
    third, nearly = Fraction(1, 3), Fraction(1, 3) - Fraction(1, 10**30)
    assert float(third) == float(nearly)
    assert verdict(third, third, target(third), AT) is Verdict.MET
    assert verdict(nearly, nearly, target(third), AT) is Verdict.MISSED
    assert verdict(nearly, third, target(third), AT) is Verdict.UNCERTAIN


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (None, "–"),
        (0.0, "0,0 %"),
        (1.0, "100,0 %"),
        (137 / 138, "99,3 %"),
        (136 / 138, "98,6 %"),
        (0.5, "50,0 %"),
        (0.0005, "0,1 %"),
        (0.00049, "0,0 %"),
        (0.12345, "12,3 %"),
        (0.1235, "12,4 %"),
        (0.1245, "12,5 %"),
        (0.9995, "99,9 %"),
        (0.99949, "99,9 %"),
        (0.9996, "99,9 %"),
        (1 - 1e-9, "99,9 %"),
    ],
)
def test_one_decimal_rounded_half_up_and_never_up_to_the_whole(ratio: float | None, text: str) -> None:
    assert percent(ratio) == text


@pytest.mark.parametrize(
    ("ratio", "target", "text"),
    [
        (0.9996, 1.0, "99,9 %"),
        (1.0, 1.0, "100,0 %"),
        (137 / 138, 1.0, "99,3 %"),
        (0.94996, 0.95, "94,9 %"),
        (0.95, 0.95, "95,0 %"),
        (0.9504, 0.95, "95,0 %"),
        (0.9466, 0.9468, "94,6 %"),
        (0.9468, 0.9468, "94,7 %"),
        (0.55, 0.95, "55,0 %"),
        (None, 0.95, "–"),
    ],
)
def test_a_figure_below_its_target_is_never_printed_as_the_target(ratio: float | None, target: float, text: str) -> None:
    assert percent(ratio, target) == text


@pytest.mark.parametrize("units", [3, 7, 124, 137, 138, 1999, 10_000])
def test_what_is_printed_tells_a_miss_from_a_hit_for_every_count(units: int) -> None:
    for value in (0.5, 0.95, 0.999, 1.0):
        for covered in range(max(0, int(units * value) - 3), units + 1):
            printed = Fraction(percent(covered / units, value).removesuffix(" %").replace(",", ".")) / 100
            missed = Fraction(covered, units) < Fraction(value).limit_denominator(1000)
            assert (printed < Fraction(value).limit_denominator(1000)) == missed, (covered, units, value)
