"""The text of a ratio: as near as one decimal comes, and never rounded up to a target or to 100 %."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from phusong.assessment import percent


@given(st.fractions(0, 1, max_denominator=10_000), st.fractions(0, 1, max_denominator=1000))
def test_what_is_printed_is_below_the_target_exactly_when_the_ratio_is_or_by_rounding_above_it(ratio: Fraction, target: Fraction) -> None:
    printed = Fraction(percent(float(ratio), float(target)).removesuffix(" %").replace(",", ".")) / 100
    assert abs(printed - ratio) <= Fraction(1, 1000)
    if ratio < target:
        assert printed < target
    if ratio < 1:
        assert printed < 1
