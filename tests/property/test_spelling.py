"""Villages by name, under `places`: whatever operators' spelling, the truth stays in the interval and no error raises what is claimed."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from phusong.events import Event, Method, Stated
from phusong.rows import CommuneRow
from phusong.rules import Rules
from tests.models import rows_of
from tests.worlds import counts, indicator, instant, obligation, place, reporter, seed_texts, stated

VILLAGES = "telecom.villages"
NAMES = ("Bản Bung", "Nà Tạng", "Tát Kẻ", "Khuổi Phìn", "Bản Lãm", "Đồng Rôm")
ALIASES = ("Ban Bung", "Na Tang", "Tat Ke", "Khuoi Phin", "Ban Lam", "Dong Rom")
MISSPELT = ("Bản Bunk", "Nà Tạn", "Tát Ké", "Khuổi Phin", "Bàn Lãm", "Đồng Rồm")
OPERATORS = ("a", "b", "c", "d", "e")


@cache
def rules(operators: int, registered: int, *, sized: bool) -> Rules:
    """One commune of six villages, the first `registered` of them rows of the register; `sized`: it counts them."""
    return Rules.from_texts(
        seed_texts(
            communes={"08": ("00001",)},
            indicators=(indicator(VILLAGES, "quarter", base="villages", union="places"),),
            reporters=(*(reporter(one) for one in OPERATORS), reporter("inspector", " ".join(OPERATORS))),
            obligations=[obligation(one, VILLAGES, period="quarter") for one in OPERATORS[:operators]],
            targets=(),
            bases=[counts("2020-01-01", "00001", villages="6")] if sized else (),
            places=[place("00001", name, alias) for name, alias in zip(NAMES[:registered], ALIASES, strict=False)],
        )
    )


def interval(model: Rules, many: Sequence[Event]) -> tuple[float, float, float]:
    row = rows_of(model, many, instant("2023-07-10"))[f"2020-01-01/00001/{VILLAGES}"]
    assert isinstance(row, CommuneRow)
    assert row.low is not None
    assert row.ratio is not None
    assert row.high is not None
    return row.low, row.ratio, row.high


def spelt(village: int) -> st.SearchStrategy[str]:
    """A village as people write it, rightly or wrongly."""
    name = NAMES[village]
    return st.sampled_from([name, name.upper(), f" {name} ", unicodedata.normalize("NFD", name), ALIASES[village], MISSPELT[village]])


@st.composite
def said(draw: st.DrawFn, operator: str, dark: frozenset[int]) -> list[Event]:
    """What an operator leaves uncovered: counts alone, all or some names, one of them twice, one of them found by a measurement."""
    missed = draw(st.none() | st.sampled_from(sorted(dark))) if dark else None
    declared = dark - {missed}
    written = [draw(spelt(village)) for village in sorted(declared)]
    written += [draw(spelt(village)) for village in sorted(declared)[: draw(st.integers(0, 1))]]
    names = draw(st.sampled_from([None, tuple(written), tuple(dict.fromkeys(written)), tuple(written[:1])]))
    statement = stated("00001", VILLAGES, 6 - len(declared), 6, source=operator, uncovered=names)
    if missed is None:
        return [statement]
    name = draw(spelt(missed))
    more: dict[str, Any] = {"source": "inspector", "operator": operator, "event_id": name, "measured": (name,), "uncovered": (name,)}
    return [statement, stated("00001", VILLAGES, 0, 1, "2023-07-01", method=Method.MEASURED, **more)]


_dark = st.frozensets(st.integers(0, 5))
_most = st.frozensets(st.integers(0, 5), min_size=5)
_of_each = st.one_of(
    st.lists(_dark, min_size=2, max_size=5),
    st.lists(_most, min_size=2, max_size=5),
    st.tuples(_dark, st.integers(2, 5)).map(lambda same: [same[0]] * same[1]),
)
"""What each operator leaves uncovered: each something else, nearly everything, or all the same."""


@settings(max_examples=300)
@given(_of_each, st.sampled_from([0, 3, 6]), st.booleans(), st.data())
def test_the_truth_lies_between_low_and_high_however_operators_spell_what_they_leave_uncovered(
    dark: list[frozenset[int]], registered: int, sized: bool, data: st.DataObject
) -> None:
    """Two to five operators, with all, some or none of the villages in the register."""
    many = [event for operator, mine in zip(OPERATORS, dark, strict=False) for event in data.draw(said(operator, mine))]
    low, ratio, high = interval(rules(len(dark), registered, sized=sized), many)
    truth = (6 - len(frozenset.intersection(*dark))) / 6
    assert low <= truth <= high
    assert ratio <= truth


def rightly(operator: str, dark: frozenset[int], names: Sequence[str] | None) -> Stated:
    return stated("00001", VILLAGES, 6 - len(dark), 6, source=operator, uncovered=names if names is None else tuple(names))


@settings(max_examples=200)
@given(_of_each, st.sampled_from([0, 3, 6]), st.data())
def test_a_misspelt_or_unnamed_village_never_raises_what_is_claimed(
    dark: list[frozenset[int]], registered: int, data: st.DataObject
) -> None:
    """Against the same statements with every name as the register has it."""
    model = rules(len(dark), registered, sized=True)
    right = [rightly(operator, mine, [NAMES[one] for one in sorted(mine)]) for operator, mine in zip(OPERATORS, dark, strict=False)]
    wrong = []
    for operator, mine in zip(OPERATORS, dark, strict=False):
        names = [data.draw(st.sampled_from([NAMES[one], MISSPELT[one], None])) for one in sorted(mine)]
        wrong.append(rightly(operator, mine, data.draw(st.sampled_from([None, [name for name in names if name]]))))
    assert all(after <= before for before, after in zip(interval(model, right)[:2], interval(model, wrong)[:2], strict=True))


@settings(max_examples=50)
@given(_of_each, st.data())
def test_where_every_name_is_in_the_register_the_answer_is_exact(dark: list[frozenset[int]], data: st.DataObject) -> None:
    many = []
    for operator, mine in zip(OPERATORS, dark, strict=False):
        many.append(rightly(operator, mine, [data.draw(st.sampled_from([NAMES[one], ALIASES[one].upper()])) for one in sorted(mine)]))
    truth = (6 - len(frozenset.intersection(*dark))) / 6
    assert interval(rules(len(dark), 6, sized=True), many) == (truth, truth, truth)
