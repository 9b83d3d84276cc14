"""Marks and reliability: which statements bring them, and which take them away."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from phusong.events import Event, Method, Stated
from phusong.evidence import Cell, Emptied, Slots
from phusong.periods import one_after
from phusong.rows import CommuneRow, Mark, ProvinceRow
from tests.models import DESCENTS, MOBILE, SPEAKERS, STAFFED, V1, model, narrowed, rows_of
from tests.strategies import DAYS, events, evidence, moments, moments_about, several, spread
from tests.worlds import cells_of, stated, withdrawn


def standing(slots: Slots, operator: str, *methods: Method, temporary: bool = False) -> list[Stated]:
    """What stands in the operator's slots about the whole unit."""
    return [
        held
        for (about, _, method, passing, place), held in slots.items()
        if isinstance(held, Stated) and (about, passing, place) == (operator, temporary, "") and method in methods
    ]


def agreements(cells: dict[Cell, Slots], about: Cell) -> dict[str, tuple[int, int]]:
    """Who declared -> how many whole measurements, observed less than one period from what it declared, agree with it, of how many."""
    indicator = model().catalogue.indicators[about[2]]
    found: dict[str, tuple[int, int]] = {}
    for operator in {slot[0] for slot in cells.get(about, {})}:
        for said in standing(cells[about], operator, Method.DECLARED):
            for measured in standing(cells[about], operator, Method.MEASURED):
                first, last = sorted([said.data.observed_at, measured.data.observed_at])
                if last < one_after(indicator.period, first):
                    one, other = (event.data.covered / event.data.expected if event.data.expected else None for event in (said, measured))
                    agrees = one == other if one is None or other is None else abs(one - other) <= indicator.tolerance + 1e-12
                    agreed, of = found.get(said.source, (0, 0))
                    found[said.source] = (agreed + agrees, of + 1)
    return found


@settings(max_examples=80)
@given(
    st.sampled_from([STAFFED, SPEAKERS, MOBILE]).flatmap(
        lambda about: several(events(model(), communes=("00001",), indicators=(about,), days=DAYS[:3]), 10)
    ),
    moments(first="2024-10-01"),
)
def test_reliability_is_the_share_of_measurements_that_agree_with_what_was_declared_for_the_time(
    many: list[Event], as_of: datetime
) -> None:
    """Each measurement of the whole against each declaration of the same operator; own statements only, not a predecessor's."""
    whole = [one for one in many if one.data.measured is None]
    cells = cells_of(model(), whole)
    for row in rows_of(narrowed(model(), whole), whole, as_of).values():
        if isinstance(row, ProvinceRow):
            units = [one for one in model().register.of(row.vintage, "08") if one.province == row.province]
            counted: dict[str, tuple[int, int]] = {}
            for unit in units:
                for who, (agreed, of) in agreements(cells, (*unit.id, row.indicator)).items():
                    before = counted.get(who, (0, 0))
                    counted[who] = (before[0] + agreed, before[1] + of)
            assert row.reliability == counted


@settings(max_examples=60)
@given(evidence(model()), moments(), moments())
def test_reliability_is_a_share_and_time_alone_leaves_it_alone(many: list[Event], one: datetime, other: datetime) -> None:
    rules = narrowed(model(), many)
    after = rows_of(rules, many, max(one, other))
    for key, row in rows_of(rules, many, min(one, other)).items():
        if isinstance(row, ProvinceRow):
            now = after[key]
            assert isinstance(now, ProvinceRow)
            assert all(0 <= agreed <= of and of > 0 for agreed, of in row.reliability.values())
            assert now.reliability == row.reliability


@settings(max_examples=80)
@given(evidence(model(), max_size=8), events(model()), moments(), st.data())
def test_a_petition_a_temporary_state_and_a_measured_place_that_are_taken_back_leave_nothing_behind(
    many: list[Event], other: Event, as_of: datetime, data: st.DataObject
) -> None:
    about = (data.draw(st.sampled_from(many)) if many else other).data
    operator = data.draw(st.sampled_from([one.operator for one in model().catalogue.obligations_of(about.indicator, "08")]))
    kind: dict[str, Any] = data.draw(
        st.sampled_from(
            [
                {"method": Method.PETITIONED},
                {"until": about.observed_at + timedelta(days=20)},
                {"method": Method.MEASURED, "measured": ("Bản Bung",)},
            ]
        )
    )
    where = (about.commune, about.indicator)
    kind = {"observed_at": about.observed_at.isoformat(), "source": "inspector", "operator": operator, **kind}
    said = stated(*where, 0, 1, time="2024-12-01", uncovered=("Bản Bung",), **kind)
    back = withdrawn(*where, time="2024-12-02", **kind)
    mine = [one for one in many if one.source != "inspector"]
    rules = narrowed(model(), [*many, said])
    assert rows_of(rules, [*mine, said, back], as_of) == rows_of(rules, mine, as_of)


@settings(max_examples=150)
@given(st.sampled_from(DESCENTS).flatmap(lambda codes: several(events(model(), communes=codes, indicators=(STAFFED,)), 8)), st.data())
def test_a_temporary_state_interrupts_until_its_end_or_a_later_lasting_statement(many: list[Event], data: st.DataObject) -> None:
    """Of the whole unit, own statements in the list of communes that is in force."""
    as_of = data.draw(moments_about(many))
    many = spread([one for one in many if one.data.measured is None])
    cells = cells_of(model(), many)
    listed = model().register.vintage_at(as_of)
    assert listed is not None
    for row in rows_of(narrowed(model(), many), many, as_of).values():
        if isinstance(row, CommuneRow) and row.vintage == listed.id and row.indicator == STAFFED:
            slots = cells.get((row.vintage, row.commune, STAFFED), {})
            lasting = standing(slots, "post-office", Method.DECLARED, Method.MEASURED)
            passing = standing(slots, "post-office", Method.DECLARED, Method.MEASURED, temporary=True)
            if not lasting:
                continue
            latest = max((one.data.observed_at, one.time) for one in lasting)
            later = [one.data.until for one in passing if one.data.until and (one.data.observed_at, one.time) > latest]
            assert (Mark.INTERRUPTED in row.marks) == any(as_of < until for until in later)
            # a later word that was taken back told all the same that it was over
            back = [held.last for slot, held in slots.items() if isinstance(held, Emptied) and held.last and slot[0] == "post-office"]
            told = max([latest, *((one.data.observed_at, one.time) for one in back if one.data.until is None)])
            open_ones = [one.data.until for one in passing if one.data.until and (one.data.observed_at, one.time) > told]
            assert (Mark.UNRESOLVED in row.marks) == any(until <= as_of for until in open_ones)
            assert row.unresolved_since == min((until for until in open_ones if until <= as_of), default=None)


@settings(max_examples=60)
@given(
    several(events(model(), communes=("00001",), indicators=(STAFFED,), days=DAYS[:3]), 6),
    st.integers(0, 1),
    moments(first="2023-04-01"),
)
def test_a_petition_contests_a_view_that_claims_more_until_the_whole_is_measured(many: list[Event], found: int, as_of: datetime) -> None:
    others = [one for one in many if one.data.method is not Method.PETITIONED]
    said: dict[str, Any] = {"source": "inspector", "operator": "post-office", "observed_at": DAYS[2].isoformat()}
    declared = stated("00001", STAFFED, 1, 1, DAYS[2].isoformat(), time="2024-11-01")
    petition = stated("00001", STAFFED, 0, 1, method=Method.PETITIONED, time="2024-11-02", **said)
    measured = stated("00001", STAFFED, found, 1, method=Method.MEASURED, time="2024-11-03", **said)

    def contested(*events: Event) -> bool:
        row = rows_of(narrowed(model(), events), events, as_of)[f"{V1}/00001/{STAFFED}"]
        return isinstance(row, CommuneRow) and Mark.CONTESTED in row.marks

    claims = [*others, declared]
    covered = rows_of(narrowed(model(), claims), claims, as_of)[f"{V1}/00001/{STAFFED}"]
    assert isinstance(covered, CommuneRow)
    assert not contested(*claims)
    assert contested(*claims, petition) == bool(covered.covered)
    assert not contested(*claims, petition, measured)
