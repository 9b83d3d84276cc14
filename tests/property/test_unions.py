"""The six unions against their definitions in one line each: fresh counts of one to four operators, in a unit of known or unknown size."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from phusong.indicators import Union
from phusong.unions import ONE, ZERO, unite
from phusong.views import NEVER, View
from tests.worlds import instant, stated

Counts = list[tuple[int, int]]
_NOW, _LATER = instant("2023-07-01"), instant("2023-08-01")


def largest(counts: Counts, size: int) -> tuple[Fraction, Fraction, Fraction]:
    ratio = max(Fraction(c, e) for c, e in counts)
    return max(Fraction(c, max(e, size)) for c, e in counts), ratio, ratio


def any_of_them(counts: Counts, size: int) -> tuple[Fraction, Fraction, Fraction]:
    low, ratio, _ = largest(counts, size)
    return low, ratio, min(Fraction(1), sum((Fraction(c, e) for c, e in counts), Fraction(0)))


def places(counts: Counts, size: int) -> tuple[Fraction, Fraction, Fraction]:
    """By counts alone: at least the largest is covered; at most all but what so many gaps in one unit must have in common."""
    there, covered = max(e for _, e in counts), max(c for c, _ in counts)
    common = max(0, sum(e - c for c, e in counts) - (len(counts) - 1) * there)
    return Fraction(covered, max(there, size)), Fraction(covered, there), Fraction(there - common, there)


def added_up(counts: Counts, size: int) -> tuple[Fraction, Fraction, Fraction]:
    covered, there = sum(c for c, _ in counts), max(e for _, e in counts)
    one = Fraction(1)
    return (
        min(one, Fraction(covered, max(there, size))),
        min(one, Fraction(covered, there)),
        min(one, Fraction(covered, min(e for _, e in counts))),
    )


def pooled(counts: Counts, size: int) -> tuple[Fraction, Fraction, Fraction]:
    covered, there = sum(c for c, _ in counts), sum(e for _, e in counts)
    return Fraction(covered, max(there, size)), Fraction(covered, there), Fraction(covered, there)


_DEFINITIONS: dict[Union, Callable[[Counts, int], tuple[Fraction, Fraction, Fraction]]] = {
    Union.LATEST: lambda counts, size: largest(counts[-1:], size),
    Union.LARGEST: largest,
    Union.ANY: any_of_them,
    Union.PLACES: places,
    Union.SUM: added_up,
    Union.POOL: pooled,
}


def told(counts: Counts) -> list[View]:
    """The views of operators that stated these counts, one day after the other."""
    views = []
    for n, (covered, expected) in enumerate(counts):
        said = stated("00001", "telecom.any", covered, expected, f"2023-06-0{n + 1}")
        views.append(View(known=True, covered=covered, most=covered, expected=expected, statements=(said,), fresh_until=_LATER))
    return views


_counts = st.lists(st.integers(1, 9).flatmap(lambda e: st.tuples(st.integers(0, e), st.just(e))), min_size=1, max_size=4)


@settings(max_examples=300)
@given(st.sampled_from(Union), _counts, st.none() | st.integers(1, 20))
def test_every_union_is_its_definition(union: Union, counts: Counts, size: int | None) -> None:
    value = unite(union, told(counts), size, (), _NOW)
    assert (value.low, value.ratio, value.high) == _DEFINITIONS[union](counts, size or 0)


@given(st.sampled_from(Union), _counts, st.none() | st.integers(1, 20))
def test_an_operator_that_never_stated_leaves_high_at_1_and_in_a_pool_low_at_0(union: Union, counts: Counts, size: int | None) -> None:
    value = unite(union, [*told(counts), NEVER], size, (), _NOW)
    low, ratio, _ = _DEFINITIONS[union](counts, size or 0)
    assert (value.low, value.ratio, value.high) == (ZERO if union is Union.POOL else low, ratio, ONE)


@given(st.sampled_from(Union), _counts, st.none() | st.integers(1, 20))
def test_what_is_stale_counts_in_ratio_and_high_alone(union: Union, counts: Counts, size: int | None) -> None:
    now, later = (unite(union, told(counts), size, (), moment) for moment in (_NOW, _LATER))
    assert (later.low, later.ratio, later.high) == (ZERO, now.ratio, now.high)
