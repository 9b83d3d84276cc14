"""How the obliged operators' views become one value of a commune: latest, largest, any, places, sum, pool.

Comes in: one `View` for each obliged operator, the register's count for the commune (None: none), its known places, and `as_of`. Goes out:
a `Value`. Owns no state. Bad input does not come here. Source of the rules: docs/rules.md, where each has a worked number.

In all unions 0 ≤ low ≤ ratio ≤ high ≤ 1, exact Fractions; a stale view counts in ratio and high, not in low; an operator who never stated
leaves high at 1; low divides by the larger of what was stated and what the register counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from fractions import Fraction

from msgspec import Struct

from phusong.evidence import later
from phusong.indicators import Union
from phusong.rows import State
from phusong.views import Number, View

ZERO, ONE = Fraction(0), Fraction(1)


class Value(Struct, frozen=True, kw_only=True, gc=False):
    """What is known of one commune: its ratio is `covered` of `expected` (None: nothing stands).

    `reported`: the size that its statements give it (None: none did); not `sized`: that is less than the whole. Not `applicable`: there is
    nothing to cover. `basis`: a size was stated that is unlike the register's, or unlike another operator's where they share one.
    """

    state: State
    ratio: Fraction = ZERO
    low: Fraction = ZERO
    high: Fraction = ONE
    covered: Number | None = None
    expected: int | None = None
    reported: int | None = None
    sized: bool = True
    applicable: bool = True
    basis: bool = False
    gap: tuple[str, ...] | None = None
    parts: tuple[View, ...] = ()
    """The views that decided."""


Share = tuple[Number, int]
"""(covered, of how many)."""


class _Rule(Struct, frozen=True, gc=False):
    """A union over the views that count: what is claimed, at most what, and what some of them alone prove."""

    claimed: Share
    most: Share
    gap: tuple[str, ...] | None
    basis: bool
    proven: Callable[[Sequence[View]], Share]


def unite(union: Union, views: Sequence[View], size: int | None, places: Iterable[str], as_of: datetime) -> Value:
    """One value from the views of every obliged operator. `places`: keys of the commune's places that are rows of the register."""
    known = [view for view in views if view.known]
    pooled = union is Union.POOL
    # a withdrawn operator's last size still stands in a pool; in the others it is as unknown as one who never stated
    unknown = not views or (len(known) < len(views) and not (pooled and all(view.known or view.sized for view in views)))
    sized = all(view.sized for view in known) and not (pooled and unknown)
    parts = [_latest_of(known)] if known and union is Union.LATEST else known
    sizes = [view.expected for view in (parts if known and union is Union.LATEST else views) if view.known or view.sized]
    reported = (sum(sizes) if pooled else max(sizes)) if sizes else None
    counting = [view for view in parts if view.expected]
    if not counting:
        nothing = bool(known) and not unknown and not reported
        basis = bool(known) and bool(size)
        if not nothing:
            return Value(state=State.UNKNOWN, reported=reported or None, sized=sized, basis=basis)
        return Value(
            state=State.FRESH if all(view.fresh(as_of) for view in parts) else State.STALE,
            high=ZERO,
            covered=0,
            expected=0,
            reported=0,
            applicable=False,
            basis=basis,
            gap=(),
            parts=tuple(parts),
        )
    rule = _rule(union, counting, views, size, frozenset(places))
    fresh = [view for view in counting if view.fresh(as_of)]
    ratio = Fraction(*rule.claimed)

    def exact(share: Share) -> Fraction:
        return ratio if share == rule.claimed else min(ONE, Fraction(*share))

    low = exact(rule.proven(fresh)) if fresh and sized else ZERO
    proven = len(fresh) == len(counting) or (bool(fresh) and sized and low == exact(rule.proven(counting)))
    return Value(
        state=State.FRESH if proven else State.STALE,
        ratio=ratio,
        low=low,
        high=ONE if unknown or not sized else exact(rule.most),
        covered=rule.claimed[0],
        expected=rule.claimed[1],
        reported=reported,
        sized=sized,
        basis=rule.basis,
        gap=rule.gap,
        parts=tuple(counting),
    )


def _rule(union: Union, parts: Sequence[View], views: Sequence[View], size: int | None, places: frozenset[str]) -> _Rule:
    match union:
        case Union.LATEST | Union.LARGEST:
            return _largest(parts, size)
        case Union.ANY:
            return _any(parts, size)
        case Union.PLACES:
            return _places(parts, size, places)
        case Union.SUM:
            return _sum(parts, size)
        case Union.POOL:
            return _pool(parts, size, withdrawn=sum(view.expected for view in views if not view.known))


def _latest_of(known: Sequence[View]) -> View:
    """The view whose deciding statement is the greatest: what merely lowers a view does not make it the latest."""
    best = known[0]
    for view in known[1:]:
        if later(best.statements[0], view.statements[0]) is view.statements[0]:
            best = view
    return best


def _largest_of(parts: Sequence[View]) -> View:
    """The view with the largest share; the first of several."""
    best = parts[0]
    for view in parts[1:]:
        if view.covered * best.expected > best.covered * view.expected:
            best = view
    return best


def _most(parts: Sequence[View]) -> Share:
    """The largest share that any view leaves possible."""
    best = parts[0]
    for view in parts[1:]:
        if view.most * best.expected > best.most * view.expected:
            best = view
    return best.most, best.expected


def _unlike(size: int | None, views: Iterable[View]) -> bool:
    return size is not None and any(view.expected != size for view in views)


def _names(view: View) -> tuple[str, ...] | None:
    """The places behind a gap, in the order of their keys; None: only counted."""
    return tuple(view.gap[key] for key in sorted(view.gap)) if view.gap or view.named else None


def _proven(size: int | None) -> Callable[[Sequence[View]], Share]:
    """What the largest of some views proves, against the larger of what it says there is and what the register counts."""

    def proven(some: Sequence[View]) -> Share:
        covered: Number = 0
        against = 1
        for view in some:
            expected = max(view.expected, size or 0)
            if view.covered * against > covered * expected:
                covered, against = view.covered, expected
        return covered, against

    return proven


def _largest(parts: Sequence[View], size: int | None) -> _Rule:
    """latest: the one authority's view that was observed last. largest: the largest operator (ITU 9.c.1: the maximum is reported)."""
    best = _largest_of(parts)
    return _Rule((best.covered, best.expected), _most(parts), _names(best), _unlike(size, parts), _proven(size))


def _any(parts: Sequence[View], size: int | None) -> _Rule:
    """Covered by any operator: at least what the largest covers, at most what all of them do if nobody is covered twice."""
    best = _largest_of(parts)
    together = sum((Fraction(view.most, view.expected) for view in parts), ZERO)
    most = (together.numerator, together.denominator)
    return _Rule((best.covered, best.expected), most, _names(best), _unlike(size, parts), _proven(size))


def _sum(parts: Sequence[View], size: int | None) -> _Rule:
    """Nobody is covered twice: covered adds up, at most the expected that the operators share (the largest stated)."""
    expected = max(view.expected for view in parts)
    least = min(view.expected for view in parts)
    against = max(expected, size or 0)
    return _Rule(
        (min(expected, sum(view.covered for view in parts)), expected),
        (sum(view.most for view in parts), least),
        _names(parts[0]) if len(parts) == 1 else None,
        least != expected or _unlike(size, parts),
        lambda some: (sum(view.covered for view in some), against),
    )


def _pool(parts: Sequence[View], size: int | None, withdrawn: int) -> _Rule:
    """Each operator has its own: covered and expected both add up. A withdrawn one keeps its last expected, covered or not."""
    expected = sum(view.expected for view in parts) + withdrawn
    against = max(expected, size or 0)
    named = all(view.gap or view.named for view in parts)
    return _Rule(
        (sum(view.covered for view in parts), expected),
        (sum(view.most for view in parts) + withdrawn, expected),
        tuple(name for view in parts for name in _names(view) or ()) if named else None,
        size is not None and expected != size,
        lambda some: (sum(view.covered for view in some), against),
    )


def _places(parts: Sequence[View], size: int | None, places: frozenset[str]) -> _Rule:
    """A place is uncovered when every operator leaves it uncovered.

    Where every name is a row of the register, exactly the intersection. Otherwise low and ratio take the smallest operator's uncovered
    count, and only high takes the names in common, or with counts alone inclusion and exclusion: a misspelt or unnamed village never raises
    what is claimed.
    """
    expected = max(view.expected for view in parts)
    against = max(expected, size or 0)

    def uncovered(some: Sequence[View]) -> tuple[Number, tuple[str, ...] | None]:
        largest = max(some, key=lambda view: view.covered)
        exact = [view.gap for view in some if view.named and view.expected == expected and places.issuperset(view.gap)]
        if exact:
            together = frozenset(exact[0]).intersection(*exact[1:])
            if len(together) <= expected - largest.covered:
                return len(together), tuple(exact[0][key] for key in sorted(together))
        return expected - largest.covered, _names(largest)

    count, names = uncovered(parts)
    common = frozenset(parts[0].gap).intersection(*(view.gap for view in parts[1:]))
    gaps = [view.expected - view.most for view in parts]
    least = max(0, min(len(common), *gaps), sum(gaps) - (len(parts) - 1) * expected)
    return _Rule(
        (expected - count, expected),
        (expected - least, expected),
        names,
        any(view.expected != expected for view in parts) or _unlike(size, parts),
        lambda some: (expected - uncovered(some)[0], against),
    )
