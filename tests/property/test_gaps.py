"""Admitting a gap never raises what is claimed: a correction downwards, a place found dark, a lower measurement, a petition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from math import ceil
from typing import Any

import msgspec
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from phusong.events import Event, Method, Stated
from phusong.indicators import Union
from phusong.rows import CommuneRow, ProvinceRow, Row, State
from phusong.views import Line, view
from tests.models import RADIO, SPEAKERS, V1, V2, model, narrowed, rows_of, steady_model
from tests.strategies import DAYS, SPELLINGS, events, evidence, moments, of_one_size, several, spread
from tests.worlds import cells_of, instant, stated

_MORE_NAMES = ("Khuôn Hà", "Nà Khà")
_IN_V1 = tuple(day for day in DAYS if day < instant(V2))


def sized(many: Sequence[Event]) -> list[Event]:
    """Statements that agree on every size, each said at a moment of its own."""
    return spread([of_one_size(model(), one) for one in many])


def one_less(event: Stated, name: str) -> Stated:
    """The same statement again a second later, with one more uncovered place, named if places were named."""
    data = event.data
    uncovered = None if data.uncovered is None else (*data.uncovered, name)
    data = msgspec.structs.replace(data, covered=data.covered - 1, uncovered=uncovered)
    return msgspec.structs.replace(event, id="corrected", time=event.time + timedelta(seconds=1), data=data)


def inspected(about: Event, covered: int, expected: int, observed_at: str = "", **more: Any) -> Stated:
    """What the inspector says last, of the same service, commune and day."""
    data = about.data
    return stated(
        data.commune,
        data.indicator,
        covered,
        expected,
        observed_at or data.observed_at.isoformat(),
        source="inspector",
        operator=data.operator or about.source,
        time="2024-12-01",
        **more,
    )


def assert_nothing_rose(before: Mapping[str, Row], after: Mapping[str, Row], *fields: str) -> None:
    for key, was in before.items():
        for field in fields:
            old, new = getattr(was, field), getattr(after[key], field)
            assert (old is None) == (new is None)
            assert old is None or new <= old, (key, field, old, new)


@settings(max_examples=100)
@given(evidence(model(), max_size=8).map(sized), moments(), st.data())
def test_a_correction_that_names_one_more_gap_never_raises_anything(many: list[Event], as_of: datetime, data: st.DataObject) -> None:
    """Where all statements agree on the size: of two sizes the lower share may prove more."""
    whole = [one for one in many if isinstance(one, Stated) and one.data.measured is None and one.data.covered > 0]
    assume(whole)
    corrected = one_less(data.draw(st.sampled_from(whole)), data.draw(st.sampled_from(_MORE_NAMES)))
    rules = narrowed(model(), many)
    assert_nothing_rose(rows_of(rules, many, as_of), rows_of(rules, [*many, corrected], as_of), "low", "ratio", "high")


def test_a_place_measured_dark_leaves_what_a_temporary_state_left_behind_in_a_merged_commune() -> None:
    """Found by the next property: the commune's own temporary 0, after its end, over what it has inherited."""
    whole = stated("00002", RADIO, 0, 5, "2023-03-31", source="radio-office", method=Method.MEASURED)
    passing = stated("00002", RADIO, 0, 8, "2023-07-29", source="radio-office", until=instant("2023-08-01"))
    dark = inspected(passing, 0, 1, method=Method.MEASURED, measured=("Bản Bung",), uncovered=("Bản Bung",))
    rules, as_of = narrowed(model(), [whole]), instant("2023-08-01")
    before, after = rows_of(rules, [whole, passing], as_of), rows_of(rules, [whole, passing, dark], as_of)
    assert before[f"2023-07-01/00002/{RADIO}"].high == 0
    assert_nothing_rose(before, after, "low", "ratio", "high")


@settings(max_examples=100)
@given(evidence(model(), max_size=8), moments(), st.data())
def test_a_place_measured_dark_never_raises_anything(many: list[Event], as_of: datetime, data: st.DataObject) -> None:
    assume(many)
    about = data.draw(st.sampled_from(many))
    name = data.draw(st.sampled_from([*SPELLINGS, *_MORE_NAMES]))
    dark = inspected(about, 0, 1, method=Method.MEASURED, measured=(name,), uncovered=(name,))
    rules = narrowed(model(), many)
    assert_nothing_rose(rows_of(rules, many, as_of), rows_of(rules, [*many, dark], as_of), "low", "ratio", "high")


@settings(max_examples=100)
@given(evidence(model(), max_size=8), moments(), st.data())
def test_a_petition_moves_nothing_but_the_mark_contested(many: list[Event], as_of: datetime, data: st.DataObject) -> None:
    assume(many)
    about = data.draw(st.sampled_from(many))
    size = data.draw(st.integers(0, 5))
    names = data.draw(st.none() | st.lists(st.sampled_from(SPELLINGS), max_size=2).map(tuple))
    petition = inspected(about, data.draw(st.integers(0, size)), size, method=Method.PETITIONED, uncovered=names)
    rules = narrowed(model(), many)
    before = rows_of(rules, many, as_of)
    for key, row in rows_of(rules, [*many, petition], as_of).items():
        was = before[key]
        if isinstance(row, CommuneRow) and isinstance(was, CommuneRow):
            assert set(row.marks) ^ set(was.marks) <= {"contested"}
            assert msgspec.structs.replace(row, marks=was.marks) == was
        elif isinstance(row, ProvinceRow) and isinstance(was, ProvinceRow):
            assert msgspec.structs.replace(row, marks=was.marks) == was


@st.composite
def lower_measurements(draw: st.DrawFn) -> tuple[list[Event], Stated, datetime]:
    """Evidence on a commune, then a measurement of the whole that finds less than an operator's view; named as far as that was."""
    rules = steady_model()
    about = draw(st.sampled_from(list(rules.catalogue.indicators.values())))
    unit = rules.register.units[V1, draw(st.sampled_from(["00001", "00002", "00003", "00101"]))]
    obliged = rules.catalogue.obliged(about.id, unit.province, unit.code)
    # of two authorities the one measured last is the latest, and may well say more than the other did
    assume(about.union is not Union.LATEST or len({one.operator for one in obliged}) == 1)
    operator = draw(st.sampled_from([one.operator for one in obliged]))
    others = draw(several(events(rules, communes=(unit.code,), indicators=(about.id,), days=_IN_V1), 6))
    size = draw(st.integers(1, 5))
    names = draw(st.none() | st.lists(st.sampled_from(SPELLINGS), max_size=4, unique=True).map(tuple))
    reporter = next(one.reporter for one in obliged if one.operator == operator)
    when = draw(st.sampled_from(_IN_V1)).isoformat()
    said = stated(unit.code, about.id, max(0, size - len(names or ())), size, when, source=reporter, operator=operator, uncovered=names)
    many = sized([*others, said])
    as_of = draw(moments())
    line = Line(cells_of(rules, many), rules.register, unit, about)
    seen = view(line, operator, [one for one in obliged if one.operator == operator], as_of)
    assume(seen.known and seen.covered > 0)
    covered = ceil(seen.covered) - draw(st.integers(1, ceil(seen.covered)))
    if seen.named:
        names = (*seen.gap.values(), draw(st.sampled_from([*_MORE_NAMES, "Nà Tạng"])))
        covered = seen.expected - len(names)
    measured = inspected(
        said, covered, seen.expected, observed_at="2023-06-30", method=Method.MEASURED, uncovered=names if seen.named else None
    )
    return many, measured, as_of


@settings(max_examples=60)
@given(lower_measurements())
def test_a_whole_measurement_below_the_view_never_raises_ratio_nor_what_was_proven(said: tuple[list[Event], Stated, datetime]) -> None:
    """Low only where all of it was fresh: a measurement is fresh evidence, and proves as much as it found."""
    many, measured, as_of = said
    rules = narrowed(steady_model(), many)
    before, after = rows_of(rules, many, as_of), rows_of(rules, [*many, measured], as_of)
    assert_nothing_rose(before, after, "ratio")
    fresh = {key: row for key, row in before.items() if isinstance(row, CommuneRow) and row.state is State.FRESH}
    assert_nothing_rose(fresh, after, "low")


@settings(max_examples=40)
@given(st.lists(st.integers(0, 4), min_size=3, max_size=3), st.booleans(), st.booleans(), moments(first="2023-08-01"))
def test_what_lowers_the_earlier_of_two_authorities_does_not_make_it_the_latest(
    covered: list[int], passing: bool, first: bool, as_of: datetime
) -> None:
    """Under `latest`: a place found dark, or a temporary state that is over, is no new word on the whole."""
    early, late = ("department", "radio-office") if first else ("radio-office", "department")
    said = [stated("00002", SPEAKERS, covered[n], 4, f"2023-0{4 + n}-10", source=who) for n, who in enumerate((early, late))]
    if passing:
        lower = stated("00002", SPEAKERS, covered[2], 4, "2023-06-10", source=early, until=instant("2023-06-20"))
    else:
        lower = inspected(said[0], 0, 1, "2023-06-10", method=Method.MEASURED, measured=("Nà Tạng",), uncovered=("Nà Tạng",))
    rules = narrowed(steady_model(), said)
    before, after = (rows_of(rules, many, as_of)[f"{V1}/00002/{SPEAKERS}"] for many in (said, [*said, lower]))
    assert isinstance(before, CommuneRow)
    assert isinstance(after, CommuneRow)
    assert msgspec.structs.replace(after, marks=before.marks, unresolved_since=before.unresolved_since) == before
