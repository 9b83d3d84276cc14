"""Whatever the seed, the habits and the incidents: what is sent is admitted, in order, and the truth adds up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phusong.admission import Admission
from phusong.assessment import assess
from phusong.events import Promised, Reason, Rejected, Stated, Withdrawn, decode
from phusong.evidence import Cell, Slots, fold
from phusong.rules import Rules
from producers.simulator.scenario import (
    FAULTLESS,
    ContradictingMeasurement,
    DuplicateStorm,
    FollowUp,
    Habits,
    Incident,
    LateReporter,
    MastOutage,
    MisspeltVillages,
    NeverReports,
    Pace,
    Petitions,
    ReporterOutage,
    Scenario,
    Team,
    WrongCodes,
    problems_of,
)
from tests.shipped import shipped_rules
from tests.simulated import NOW, assessed, country, month_ends, run
from tests.worlds import instant, millis

shares = st.sampled_from([0.0, 0.01, 0.2, 0.7, 1.0])
days = st.integers(1, 60)


@st.composite
def habits(draw: st.DrawFn) -> Habits:
    names = [name for name in Habits.__struct_fields__ if name not in ("late_days_max", "old_forms_days", "on_change")]
    return Habits(
        **{name: draw(shares) for name in names}, late_days_max=draw(days), old_forms_days=draw(days), on_change=draw(st.booleans())
    )


@st.composite
def incidents(draw: st.DrawFn, rules: Rules, start: date, communes: Sequence[str]) -> tuple[Incident, ...]:
    """Up to five, whoever they are about."""
    reporter = {"reporter": st.sampled_from(sorted(rules.catalogue.reporters))}
    operator = {"operator": st.sampled_from(sorted({one.operator for one in rules.catalogue.obligations}))}
    found: list[Incident] = []
    for number in range(draw(st.integers(0, 5))):
        begins = start + timedelta(days=draw(st.integers(-40, 100)))
        somewhere = {
            "name": st.just(f"incident {number}"),
            "communes": st.lists(st.sampled_from(communes), max_size=3, unique=True).map(tuple),
        }
        lasting = {**somewhere, "start": st.just(begins), "end": st.just(begins + timedelta(days=draw(st.integers(1, 120))))}
        any_kind: st.SearchStrategy[Incident] = st.one_of(
            st.builds(ReporterOutage, **lasting, **reporter),
            st.builds(NeverReports, **somewhere, **reporter),
            st.builds(LateReporter, **lasting, **reporter, days=days),
            st.builds(DuplicateStorm, **lasting, **reporter, copies=st.integers(1, 3)),
            st.builds(WrongCodes, **lasting, **reporter, codes=st.sampled_from(["unpadded", "unknown"])),
            st.builds(MisspeltVillages, **lasting, **reporter),
            st.builds(MastOutage, **lasting, **operator),
            st.builds(ContradictingMeasurement, **lasting, **operator),
        )
        found.append(draw(any_kind))
    return tuple(found)


@st.composite
def scenarios(draw: st.DrawFn, rules: Rules, start: date, communes: Sequence[str]) -> Scenario:
    return Scenario(
        pace=Pace(built=draw(st.sampled_from([0, 1, 20])), broken=draw(st.sampled_from([0, 1, 20]))),
        habits=draw(habits()),
        reporters={"operator-a": draw(habits())},
        team=Team(visits=draw(st.integers(0, 20)), whole=draw(shares)),
        petitions=Petitions(share=draw(shares)),
        follow_up=FollowUp(
            challenged=draw(shares),
            conceded=draw(shares),
            disputed=draw(shares),
            answer_days=draw(days),
            promised=draw(shares),
            kept=draw(shares),
        ),
        incident=draw(incidents(rules, start, communes)),
    )


def holds_what_every_run_holds(rules: Rules, scenario: Scenario, seed: int, start: datetime, end: datetime) -> None:
    assert list(problems_of(scenario, rules)) == []
    sent, truth = run(scenario, rules, seed=seed, start=start, end=end)
    admission, now = Admission(rules), millis(NOW)
    for one in sent:
        if one.key is None:
            value, _ = admission.outgoing(one.event, now)
            assert decode(value) == one.event
            assert one.event.data.observed_at <= one.event.time <= one.at
            continue
        with pytest.raises(Rejected) as caught:
            admission.outgoing(one.event, now)
        assert caught.value.reason is Reason.UNKNOWN_COMMUNE
    assert all(start <= one.at <= other.at < end for one, other in pairwise(sent))
    wrong = [one for one in truth.incidents if one.kind == "wrong_codes"]
    assert sum(one.events for one in wrong) == sum(one.key is not None for one in sent)
    for moment in month_ends(start, end):
        for told in truth.at(moment).values():
            assert 0 <= told.covered <= told.expected
    assert {one.name for one in truth.incidents} <= {one.name for one in scenario.incident}


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**64),
    scenario=scenarios(country(), date(2023, 1, 1), sorted(code for _, code in country().register.units)),
)
def test_whatever_the_scenario_every_event_is_admitted_but_those_marked_wrong(seed: int, scenario: Scenario) -> None:
    holds_what_every_run_holds(country(), scenario, seed, instant("2023-01-01"), instant("2023-05-01"))


@settings(max_examples=4)
@given(
    seed=st.integers(0, 2**64),
    scenario=scenarios(
        shipped_rules(),
        date(2025, 6, 1),
        sorted(unit.code for unit in shipped_rules().register.of("2024-09-01", "08") if unit.former == "")[:50],
    ),
)
def test_over_the_shipped_seeds_and_the_merger_every_event_is_admitted(seed: int, scenario: Scenario) -> None:
    several = Scenario(habits=scenario.habits, reporters=scenario.reporters, team=scenario.team, petitions=scenario.petitions)
    holds_what_every_run_holds(shipped_rules(), several, seed, instant("2025-06-10"), instant("2025-08-20"))


@settings(max_examples=10)
@given(seed=st.integers(0, 2**64), built=st.sampled_from([0, 1, 10]), broken=st.sampled_from([0, 1, 20]))
def test_perfect_reporters_tell_the_core_the_truth_in_any_world(seed: int, built: float, broken: float) -> None:
    start, end = instant("2023-01-17"), instant("2023-05-01")
    scenario = Scenario(habits=FAULTLESS.habits, team=FAULTLESS.team, petitions=FAULTLESS.petitions, pace=Pace(built=built, broken=broken))
    sent, truth = run(scenario, seed=seed, start=start, end=end)
    moments = month_ends(start, end)
    for moment, rows in assessed(country(), sent, moments).items():
        for row in rows:
            told = truth.at(moment)[row.vintage, row.province, row.indicator]
            assert (row.low, row.ratio, row.high) == (told.ratio, told.ratio, told.ratio)


@settings(max_examples=5)
@given(seed=st.integers(0, 2**64))
def test_without_a_row_for_each_village_perfect_reporters_bound_the_truth_and_never_claim_more(seed: int) -> None:
    """Seeds that know no villages' names: the union over operators is then an interval, and the truth lies in it."""
    start, end = instant("2023-05-01"), instant("2023-06-01")
    rules = shipped_rules()
    sent, truth = run(FAULTLESS, rules, seed=seed, start=start, end=end)
    (moment,) = month_ends(start, end)
    for row in assessed(rules, sent, [moment])[moment]:
        told = truth.at(moment)[row.vintage, row.province, row.indicator]
        assert row.ratio is not None
        assert told.ratio is not None
        assert row.high is not None
        assert row.ratio <= told.ratio <= row.high


@settings(max_examples=5)
@given(seed=st.integers(0, 2**64), data=st.data())
def test_the_order_in_which_a_run_is_read_changes_nothing(seed: int, data: st.DataObject) -> None:
    sent, _ = run(Scenario(), seed=seed, end=instant("2023-04-25"))
    shuffled = data.draw(st.permutations(sent[:400])) + sent[400:]

    def rows(some: Sequence[object]) -> object:
        admission = Admission(country())
        cells: dict[Cell, Slots] = {}
        for one in some:
            event = one.event  # type: ignore[attr-defined]
            if isinstance(event, Stated | Withdrawn):
                route = admission.route(event)
                fold(cells.setdefault(route.cell, {}), route.slot, event)
            else:
                assert isinstance(event, Promised) or event.data.challenge
        return assess(country(), "01", cells, instant("2023-04-25"))

    assert rows(shuffled) == rows(sent)
