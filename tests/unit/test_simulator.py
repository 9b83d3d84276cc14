"""producers/simulator/: the same seed gives the same bytes; each habit and each named incident does what it says, and the truth tells."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from phusong.admission import Admission
from phusong.events import Challenged, Method, Origin, Promised, Reason, Rejected, Stated, Step, Withdrawn, encode
from phusong.periods import Period, period_end
from phusong.places import place_key
from phusong.rules import Rules
from producers.simulator.chance import Chance
from producers.simulator.reporting import misspelt
from producers.simulator.scenario import (
    FAULTLESS,
    PERFECT,
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
)
from producers.simulator.simulation import Sending, Simulation
from producers.simulator.truth import CommuneTruth, IncidentTruth, ProvinceTruth, Run, Truth, TruthRecord, encode_truth, read_truth
from producers.simulator.world import MAST
from tests.simulated import END, NOW, START, assessed, country, month_ends, run, shipped_with_villages, stated
from tests.worlds import instant, millis

ROOT = Path(__file__).resolve().parents[2]
QUIET = Habits(**{**{name: 0 for name in PERFECT.__struct_fields__ if isinstance(getattr(PERFECT, name), float | int)}, "late_days_max": 1})
"""Reports once a period, in time and rightly."""
STILL = Scenario(name="still", habits=QUIET, team=Team(visits=0), petitions=Petitions(share=0))
POSTAL, SPEAKER, FIBRE = "postal.staffed_point", "broadcast.loudspeaker", "telecom.fibre_villages"
GOLDEN = ["0.013714753001", "0.469995438456", "0.868451822682"]
APRIL, JUNE = date(2023, 4, 1), date(2023, 6, 1)


def still(**changes: Any) -> Scenario:
    """The scenario in which nobody has a habit, but for these."""
    return msgspec.structs.replace(STILL, **changes)


def having(**habits: Any) -> Scenario:
    """Where everybody has these habits alone."""
    return still(habits=msgspec.structs.replace(QUIET, **habits))


def outputs(scenario: Scenario, rules: Rules | None = None, **arguments: Any) -> bytes:
    """A run as it would be written."""
    given = {"seed": 7, "start": START, "end": END, **arguments}
    lines = (
        b"%d %s" % (output.at.timestamp(), encode(output.event)) if isinstance(output, Sending) else encode_truth(output)
        for output in Simulation(rules or country(), scenario, **given)
    )
    return b"\n".join(lines)


def declared(sent: Sequence[Sending]) -> list[Stated]:
    return [event for event in stated(sent, method=Method.DECLARED) if event.data.until is None]


# the same seed


def test_the_same_seed_gives_the_same_bytes_and_another_one_another_world() -> None:
    assert outputs(Scenario()) == outputs(Scenario())
    assert outputs(Scenario()) != outputs(Scenario(), seed=8)


def test_no_hash_of_python_decides_anything() -> None:
    program = (
        "import hashlib; from tests.unit.test_simulator import outputs; from producers.simulator.scenario import Scenario;"
        "print(hashlib.sha256(outputs(Scenario())).hexdigest())"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            check=True,
        ).stdout.strip()
        for hash_seed in ("1", "2")
    }
    assert answers == {hashlib.sha256(outputs(Scenario())).hexdigest().encode()}


def test_a_draw_is_the_same_on_every_machine_and_a_longer_one_begins_with_it() -> None:
    chance = Chance(7)
    assert chance.lots(3, "late", "operator-a", 2023)[:2] == chance.lots(2, "late", "operator-a", "2023")
    assert [f"{lot:.12f}" for lot in chance.lots(3, "late", "operator-a")] == GOLDEN
    assert chance.lots(0, "late") == ()
    assert Chance(8).lot("late", "operator-a") != chance.lot("late", "operator-a")


def test_draws_are_spread_evenly() -> None:
    lots = Chance(1).lots(10_000, "spread")
    assert all(0 <= lot < 1 for lot in lots)
    assert all(900 < count < 1100 for count in Counter(int(lot * 10) for lot in lots).values())
    assert {Chance(1).between(3, 5, number) for number in range(100)} == {3, 4, 5}


def test_a_longer_run_begins_as_a_shorter_one() -> None:
    short, _ = run(Scenario(), end=instant("2023-04-15"))
    long, _ = run(Scenario())
    assert len(short) < len(long)
    assert long[: len(short)] == short


def test_the_habits_of_one_reporter_move_nothing_of_another() -> None:
    plain, _ = run(STILL)
    odd, _ = run(still(reporters={"operator-c": Habits(late=1, misspelt=1, corrected=0.5, duplicated=1, forgotten_rows=0.3)}))
    assert [one for one in plain if one.event.source != "operator-c"] == [one for one in odd if one.event.source != "operator-c"]
    assert [one for one in plain if one.event.source == "operator-c"] != [one for one in odd if one.event.source == "operator-c"]


def test_one_more_habit_leaves_the_rows_without_it_as_they_were() -> None:
    plain, _ = run(having(corrected=0.3))
    more, _ = run(having(corrected=0.3, misspelt=0.2))
    changed = {one.event.id for one in {encode(one.event): one for one in plain + more}.values()}
    differ = [(one, other) for one, other in zip(plain, more, strict=True) if one != other]
    assert differ
    assert len(differ) < 0.3 * len(changed)
    assert {type(one.event.data).__name__ for pair in differ for one in pair} == {"Statement"}
    assert all(one.event.id == other.event.id and one.at == other.at for one, other in differ)


# what every run keeps to


def test_events_come_in_the_order_of_their_sending_between_start_and_end_and_are_simulated() -> None:
    sent, _ = run(Scenario())
    assert [one.at for one in sent] == sorted(one.at for one in sent)
    assert all(START <= one.at < END and one.event.time <= one.at and one.event.data.observed_at <= one.event.time for one in sent)
    assert {one.event.data.origin for one in sent} == {Origin.SIMULATED}
    assert {one.event.id.partition("/")[0] for one in sent} == {"sim7"}


def test_what_is_sent_under_one_id_is_one_event() -> None:
    sent, _ = run(having(duplicated=0.5, corrected=0.3, withdrawn=0.3, late=0.3))
    found: dict[tuple[str, str], set[bytes]] = {}
    for one in sent:
        found.setdefault((one.event.source, one.event.id), set()).add(encode(one.event))
    assert {len(values) for values in found.values()} == {1}
    assert len(found) < len(sent)


def test_only_the_home_provinces_that_were_asked_for_are_simulated() -> None:
    sent, truth = run(STILL, homes=("02",))
    assert {country().register.units["2020-01-01", one.event.data.commune].province for one in sent} == {"02"}
    assert truth.run is not None
    assert truth.run.provinces == ("02",)
    both, _ = run(STILL)
    assert [one for one in both if one in sent] == sent


def test_every_obligation_is_met_once_a_period_and_in_time_by_who_has_no_habits() -> None:
    sent, _ = run(STILL)
    rules = country()
    periods = {Period.MONTH: 5, Period.QUARTER: 1, Period.HALF_YEAR: 0}
    for owed in rules.catalogue.obligations:
        mine = [
            one
            for one in stated(sent, source=owed.reporter, indicator=owed.indicator)
            if rules.register.units["2020-01-01", one.data.commune].province == owed.province
        ]
        units = [unit for unit in rules.register.units.values() if unit.province == owed.province]
        assert len(mine) == len(units) * periods[owed.period]
        for one in mine:
            end = period_end(owed.period, one.data.observed_at)
            assert one.data.observed_at == end - timedelta(days=1)
            assert end <= one.time < end + timedelta(days=owed.deadline_days)


# habits, one by one


def test_a_forgotten_sheet_is_never_sent() -> None:
    assert run(having(forgotten_sheets=1))[0] == []


def test_forgotten_rows_leave_gaps_in_sheets() -> None:
    all_rows, rows = len(run(STILL)[0]), len(run(having(forgotten_rows=0.2))[0])
    assert 0.6 * all_rows < rows < 0.95 * all_rows


def test_a_late_sheet_comes_after_its_deadline() -> None:
    sent, _ = run(having(late=1, late_days_max=10))
    assert sent
    for one in stated(sent):
        indicator = country().catalogue.indicators[one.data.indicator]
        late = one.time - period_end(indicator.period, one.data.observed_at) - timedelta(days=indicator.deadline_days)
        assert timedelta() <= late < timedelta(days=11)


def test_a_sheet_out_of_order_comes_after_the_next_periods() -> None:
    sent, _ = run(having(reordered=0.5, late_days_max=5), end=instant("2024-01-01"))
    observed = [one.data.observed_at for one in stated(sent, indicator=POSTAL)]
    assert observed != sorted(observed)


def test_a_correction_repeats_the_day_with_a_later_time_and_the_right_count() -> None:
    plain = {one.id: one for one in stated(run(STILL)[0])}
    sent, _ = run(having(corrected=1))
    corrections = [one for one in stated(sent) if one.id.endswith("/corrected")]
    assert len(corrections) > 100
    for one in corrections:
        wrong = next(each for each in stated(sent) if f"{each.id}/corrected" == one.id)
        right = plain[wrong.id]
        assert one.data == right.data
        assert abs(wrong.data.covered - one.data.covered) == 1
        assert (wrong.data.observed_at, wrong.time) < (one.data.observed_at, one.time)


def test_a_withdrawn_row_is_taken_back_and_stated_again() -> None:
    sent, _ = run(having(withdrawn=1))
    withdrawn = [one.event for one in sent if isinstance(one.event, Withdrawn)]
    assert len(withdrawn) > 100
    by_id = {one.id: one for one in stated(sent)}
    for one in withdrawn:
        first = by_id[one.id.removesuffix("/withdrawn")]
        again = by_id.get(f"{first.id}/restated")
        assert first.time < one.time
        assert again is None or (one.time < again.time and again.data == first.data)


def test_a_sheet_sent_twice_is_the_same_event_by_event() -> None:
    sent, _ = run(having(duplicated=1))
    times = Counter(encode(one.event) for one in sent)
    assert set(times.values()) <= {1, 2}
    assert Counter(times.values())[2] > 0.7 * len(times)


def test_a_misspelt_village_is_no_village_that_is_known() -> None:
    known = {place_key(name) for piece in Simulation(country(), STILL, 7, START, END).world.pieces for name in piece.villages}
    plain, odd = run(STILL)[0], run(having(misspelt=1))[0]
    named = [(one, other) for one, other in zip(stated(plain), stated(odd), strict=True) if one.data.uncovered]
    assert named
    for one, other in named:
        wrong = [name for name in other.data.uncovered or () if place_key(name) not in known]
        assert len(wrong) == 1
        assert len(other.data.uncovered or ()) == len(one.data.uncovered or ())
        assert other.data.covered == one.data.covered


@pytest.mark.parametrize("name", ["Thôn mô phỏng 02263-04", "Bản Lãm", "Na Tang", "Đồng Rôm"])
def test_misspelling_changes_what_a_village_is_compared_by(name: str) -> None:
    assert place_key(misspelt(name)) != place_key(name)


def test_unnamed_gaps_are_counts_only() -> None:
    sent, _ = run(having(unnamed=1))
    gaps = [one for one in stated(sent, indicator=MAST) if one.data.covered < one.data.expected]
    assert gaps
    assert {one.data.uncovered for one in gaps} == {None}


def test_optimists_claim_more_than_there_is_always_in_the_same_communes() -> None:
    sent, truth = run(having(optimistic=0.5), end=instant("2024-01-01"))
    plain, _ = run(STILL, end=instant("2024-01-01"))
    where: dict[tuple[str, str], set[bool]] = {}
    for one, other in zip(stated(plain), stated(sent), strict=True):
        assert one.data.covered <= other.data.covered <= other.data.expected
        if one.data.covered < one.data.expected and one.data.indicator == MAST:
            where.setdefault((one.source, one.data.commune), set()).add(other.data.covered > one.data.covered)
            assert other.data.uncovered is not None
            assert other.data.expected - other.data.covered == len(other.data.uncovered)
    assert {len(answers) for answers in where.values()} == {1}
    assert {next(iter(answers)) for answers in where.values()} == {True, False}
    assert truth.incidents == []


def test_an_outage_told_while_it_lasts_is_a_temporary_state_and_its_end_a_lasting_one() -> None:
    sent, _ = run(msgspec.structs.replace(having(interrupted=1), pace=Pace(broken=10)))
    told = [one for one in stated(sent) if one.data.until is not None]
    over = [one for one in stated(sent) if one.id.endswith("/over")]
    assert len(told) > 20
    assert len(over) > 20
    assert all(one.data.observed_at < (one.data.until or one.time) for one in told)
    assert {one.data.until for one in over} == {None}


def test_old_forms_after_a_merger_speak_of_the_old_communes_and_their_last_day() -> None:
    rules = shipped_with_villages()
    scenario = still(reporters={"operator-a": msgspec.structs.replace(QUIET, old_forms=1, old_forms_days=100)})
    sent, _ = run(scenario, rules, start=instant("2025-06-01"), end=instant("2025-12-01"))
    old = [one for one in stated(sent, source="operator-a") if one.data.vintage == "2024-09-01"]
    assert {one.data.observed_at for one in old} == {instant("2025-06-30")}
    assert {one.id.split("/")[2] for one in old} == {"2025-Q3"}
    assert len({one.data.commune for one in old}) == 330
    assert all(Admission(rules).route(one).cell[0] == "2024-09-01" for one in old)
    new = [one for one in stated(sent, source="operator-b") if one.data.observed_at > instant("2025-07-01")]
    assert len({one.data.commune for one in new}) == 124


# the field


def test_the_measuring_team_measures_whole_communes_and_parts_of_them_and_tells_the_truth() -> None:
    sent, truth = run(still(team=Team(visits=20, whole=0.5)))
    measured = stated(sent, method=Method.MEASURED)
    parts = [one for one in measured if one.data.measured is not None]
    assert {one.data.indicator for one in measured} == {MAST, SPEAKER, POSTAL}
    assert parts
    assert len([one for one in measured if one.data.measured is None and one.data.indicator == MAST]) > 50
    for one in parts:
        visited = set(one.data.measured or ())
        assert set(one.data.uncovered or ()) <= visited
        assert (one.data.covered, one.data.expected) == (len(visited) - len(one.data.uncovered or ()), len(visited))
    for one in stated(sent, method=Method.MEASURED, indicator=SPEAKER):
        found = truth.commune_at("2020-01-01", one.data.commune, SPEAKER, one.data.observed_at)
        assert found is not None
        assert one.data.covered == found.covered


def test_a_petition_names_one_village_that_is_dark() -> None:
    sent, truth = run(still(petitions=Petitions(share=0.5)))
    petitions = stated(sent, method=Method.PETITIONED)
    assert petitions
    for one in petitions:
        assert one.data.uncovered is not None
        assert len(one.data.uncovered) == 1
        found = truth.commune_at("2020-01-01", one.data.commune, MAST, one.data.observed_at)
        assert found is not None
        assert set(found.uncovered or ()).isdisjoint(one.data.uncovered) or one.data.uncovered[0] in (found.uncovered or ())


def test_what_contradicts_a_declaration_is_challenged_answered_promised_and_kept() -> None:
    scenario = Scenario(
        habits=msgspec.structs.replace(QUIET, optimistic=1),
        team=Team(visits=60, whole=1),
        petitions=Petitions(share=0),
        follow_up=FollowUp(challenged=1, conceded=1, disputed=0, promised=1, kept=1, answer_days=20),
    )
    sent, truth = run(scenario, end=instant("2024-06-01"))
    steps: dict[str, list[Challenged]] = {}
    for one in sent:
        if isinstance(one.event, Challenged):
            steps.setdefault(one.event.data.challenge, []).append(one.event)
    whole = [course for course in steps.values() if len(course) == 4]
    assert whole
    for course in whole:
        assert [one.data.step for one in course] == [Step.OPENED, Step.SENT, Step.CONCEDED, Step.RESOLVED]
        assert [one.source == one.data.operator or one.data.operator is None for one in course] == [False, False, True, False]
        assert all(one.data.places and one.data.statement.startswith("assumed-measuring-team sim7/") for one in course)
        assert all(one.data.deadline is None or one.data.deadline > one.time for one in course)
    promises = [
        one.event for one in sent if isinstance(one.event, Promised) and one.event.data.by and one.event.data.by < instant("2024-06-01")
    ]
    assert promises
    for one in promises:
        found = truth.commune_at("2020-01-01", one.data.commune, MAST, one.data.by or one.time)
        assert found is not None
        # outages come and go, so that most of what was kept shows and not all
    lit = [
        set(one.data.places or ()).isdisjoint(found.uncovered or ())
        for one in promises
        if (found := truth.commune_at("2020-01-01", one.data.commune, MAST, one.data.by or one.time)) is not None
    ]
    assert sum(lit) > 0.8 * len(lit)


def test_nobody_answers_where_nobody_concedes_or_disputes() -> None:
    scenario = Scenario(
        habits=msgspec.structs.replace(QUIET, optimistic=1),
        team=Team(visits=60),
        petitions=Petitions(share=0),
        follow_up=FollowUp(challenged=1, conceded=0, disputed=0),
    )
    sent, _ = run(scenario, end=instant("2024-01-01"))
    assert {one.event.data.step for one in sent if isinstance(one.event, Challenged)} == {Step.OPENED, Step.SENT}
    assert not [one for one in sent if isinstance(one.event, Promised)]


# named incidents


def incident_run(incident: Incident, **arguments: Any) -> tuple[list[Sending], list[Sending], IncidentTruth]:
    """The run without the incident, with it, and what the truth says of it."""
    scenario = arguments.pop("scenario", STILL)
    plain, _ = run(scenario, **arguments)
    sent, truth = run(msgspec.structs.replace(scenario, incident=(incident,)), **arguments)
    (found,) = truth.incidents
    assert found.name == "x"
    return plain, sent, found


def test_in_an_outage_a_reporter_sends_nothing_there_and_all_the_rest_is_as_it_was() -> None:
    one = ReporterOutage(name="x", reporter="operator-b", districts=("Huyện mô phỏng 01-1",), start=APRIL, end=JUNE)
    plain, sent, told = incident_run(one)
    lost = [each for each in plain if each not in sent]
    assert {each.event.source for each in lost} == {"operator-b"}
    assert (
        {each.event.data.commune for each in lost}
        == {code.partition("/")[2] for code in told.communes}
        == {f"0000{n}" for n in range(1, 6)}
    )
    assert all(instant("2023-04-01") <= each.at < instant("2023-06-01") for each in lost)
    assert (told.kind, told.who, told.events, told.changes) == ("reporter_outage", "operator-b", len(lost), 0)
    assert (told.start, told.end) == (instant("2023-04-01"), instant("2023-06-01"))


def test_an_outage_may_be_of_some_indicators_only() -> None:
    one = ReporterOutage(name="x", reporter="operator-b", indicators=(FIBRE,), start=APRIL, end=JUNE)
    plain, sent, told = incident_run(one)
    assert {each.event.data.indicator for each in plain if each not in sent} == {FIBRE} == set(told.indicators)


def test_who_never_reports_is_never_heard_of() -> None:
    plain, sent, told = incident_run(NeverReports(name="x", reporter="operator-c"))
    assert not stated(sent, source="operator-c")
    assert told.events == len(stated(plain, source="operator-c"))
    assert (told.start, told.end) == (START, END)


def test_a_late_reporters_sheets_leave_so_many_days_later() -> None:
    one = LateReporter(name="x", reporter="assumed-postal-reporter", communes=("00001",), start=APRIL, end=JUNE, days=20)
    plain, sent, told = incident_run(one)
    before = {each.event.id: each.at for each in plain}
    moved = {each.event.id: each.at - before[each.event.id] for each in sent if each.at != before[each.event.id]}
    assert set(moved.values()) == {timedelta(days=20)}
    assert {name.split("/")[3] for name in moved} == {"00001"}
    assert told.events >= len(moved) > 0


def test_a_storm_of_duplicates_sends_each_event_so_many_times_more() -> None:
    one = DuplicateStorm(name="x", reporter="operator-a", communes=("00001",), start=APRIL, end=JUNE, copies=7)
    plain, sent, told = incident_run(one)
    times = Counter(encode(each.event) for each in sent)
    assert set(times.values()) == {1, 8}
    assert len(sent) - len(plain) == told.events == 7 * list(times.values()).count(8)
    assert [each.at for each in sent] == sorted(each.at for each in sent)


@pytest.mark.parametrize(("codes", "written"), [("unpadded", "1"), ("unknown", "900001")])
def test_wrong_codes_are_marked_and_the_reader_rejects_them_as_unknown(codes: Any, written: str) -> None:
    one = WrongCodes(name="x", reporter="operator-a", communes=("00001",), start=APRIL, end=JUNE, codes=codes)
    plain, sent, told = incident_run(one)
    wrong = [each for each in sent if each.key is not None]
    assert {each.event.data.commune for each in wrong} == {written}
    assert {each.key for each in wrong} == {"01"}
    assert told.events == len(wrong) > 0
    admission = Admission(country())
    for each in wrong:
        with pytest.raises(Rejected) as caught:
            admission.outgoing(each.event, millis(NOW))
        assert caught.value.reason is Reason.UNKNOWN_COMMUNE
    assert len(plain) == len(sent)


def test_in_an_incident_of_misspelling_no_village_is_named_rightly() -> None:
    one = MisspeltVillages(name="x", reporter="operator-b", start=APRIL, end=JUNE)
    plain, sent, told = incident_run(one)
    changed = [(each, other) for each, other in zip(plain, sent, strict=True) if each != other]
    assert {each.event.source for each, _ in changed} == {"operator-b"}
    assert told.events == len(changed) > 0
    for each, other in changed:
        assert isinstance(each.event, Stated)
        assert isinstance(other.event, Stated)
        assert set(each.event.data.uncovered or ()).isdisjoint(other.event.data.uncovered or ())


def test_in_a_mast_outage_the_operators_villages_are_dark_and_it_says_so() -> None:
    one = MastOutage(name="x", operator="operator-a", provinces=("01",), start=date(2023, 3, 20), end=JUNE)
    _, sent, told = incident_run(one)
    mine = [each for each in stated(sent, source="operator-a", indicator=MAST) if each.data.commune < "00006"]
    assert {each.data.covered for each in mine} == {0}
    assert {
        each.data.covered
        for each in stated(sent, source="operator-a", indicator="telecom.mobile_5g_population")
        if each.data.commune < "00006"
    } == {0}
    assert any(each.data.covered for each in stated(sent, source="operator-b", indicator=MAST))
    assert told.changes > 0


def test_a_contradicting_measurement_finds_nothing_where_everything_is_declared() -> None:
    one = ContradictingMeasurement(
        name="x", operator="operator-a", communes=("00001", "00002"), start=date(2023, 3, 20), end=date(2023, 4, 20)
    )
    _, sent, told = incident_run(one)
    said = [each for each in stated(sent, source="operator-a", indicator=MAST) if each.data.commune in ("00001", "00002")]
    found = stated(sent, method=Method.MEASURED)
    assert {(each.data.covered == each.data.expected, each.data.uncovered) for each in said} == {(True, ())}
    assert {(each.data.operator, each.data.commune, each.data.covered) for each in found} == {
        ("operator-a", "00001", 0),
        ("operator-a", "00002", 0),
    }
    assert told.communes == ("2020-01-01/00001", "2020-01-01/00002")
    assert told.events == len(said) + len(found)


def test_an_incident_keeps_to_its_territory_after_a_merger() -> None:
    rules = shipped_with_villages()
    one = ReporterOutage(name="x", reporter="operator-a", districts=("Huyện Na Hang",), start=date(2025, 6, 1), end=date(2026, 1, 1))
    sent, truth = run(still(incident=(one,)), rules, start=instant("2025-06-01"), end=instant("2025-11-01"))
    after = [each for each in stated(sent, indicator=MAST) if each.data.observed_at > instant("2025-07-01")]
    codes = {source: {each.data.commune for each in after if each.source == source} for source in ("operator-a", "operator-b")}
    territory = {later[1] for code in truth.incidents[0].communes for later in rules.register.later(("2024-09-01", code.partition("/")[2]))}
    assert codes["operator-b"] - codes["operator-a"] == territory


def test_an_incident_outside_the_run_leaves_no_trace() -> None:
    one = ReporterOutage(name="x", reporter="operator-b", start=date(2024, 4, 1), end=date(2024, 5, 1))
    sent, truth = run(still(incident=(one,)))
    assert sent == run(STILL)[0]
    assert truth.incidents == []


# the truth


def test_with_perfect_reporters_the_core_knows_the_truth_at_each_months_end() -> None:
    moments = month_ends(START, END)
    sent, truth = run(msgspec.structs.replace(FAULTLESS, pace=Pace(built=3, broken=3)))
    rows = assessed(country(), sent, moments)
    values = set()
    for moment in moments:
        known = truth.at(moment)
        assert len(rows[moment]) == len(known) == 2 * 14
        for row in rows[moment]:
            told = known[row.vintage, row.province, row.indicator]
            assert (row.low, row.ratio, row.high) == (told.ratio, told.ratio, told.ratio), (moment, row, told)
            values.add(row.ratio)
    assert len(values) > 60


def test_with_perfect_reporters_the_core_knows_the_truth_across_a_merger_too() -> None:
    rules = shipped_with_villages()
    start, end = instant("2025-06-01"), instant("2025-08-01")
    moments = month_ends(start, end)
    sent, truth = run(FAULTLESS, rules, start=start, end=end)
    rows = assessed(rules, sent, moments)
    assert [{row.vintage for row in rows[moment]} for moment in moments] == [{"2024-09-01"}, {"2025-07-01"}]
    for moment in moments:
        known = truth.at(moment)
        for row in rows[moment]:
            told = known[row.vintage, row.province, row.indicator]
            assert (row.low, row.ratio, row.high) == (told.ratio, told.ratio, told.ratio), (moment, row, told)


def test_the_truth_names_the_villages_without_and_adds_up() -> None:
    _, truth = run(STILL)
    moment = END - timedelta(seconds=1)
    for (vintage, province, indicator), told in truth.at(moment).items():
        communes = [
            found
            for unit in country().register.units.values()
            if unit.province == province and (found := truth.commune_at(vintage, unit.code, indicator, moment)) is not None
        ]
        assert (told.covered, told.expected) == (sum(one.covered for one in communes), sum(one.expected for one in communes))
        for one in communes:
            if one.uncovered is not None:
                assert len(set(one.uncovered)) == one.expected - one.covered
    assert {
        one.uncovered is not None
        for (_, _, indicator) in truth.at(moment)
        for one in [truth.commune_at("2020-01-01", "00001", indicator, moment)]
        if one
    } == {
        True,
        False,
    }


def test_the_truth_reads_back_as_it_was_written_and_a_broken_file_is_refused_by_line() -> None:
    told: list[TruthRecord] = [one for one in Simulation(country(), Scenario(), 7, START, END) if not isinstance(one, Sending)]
    assert isinstance(told[0], Run)
    moments = [one.at for one in told if isinstance(one, CommuneTruth | ProvinceTruth)]
    assert moments == sorted(moments)
    written = b"".join(encode_truth(one) + b"\n" for one in told)
    truth, again = Truth(told), read_truth(io.BytesIO(written))
    assert (again.run, again.incidents) == (truth.run, truth.incidents)
    for moment in (START - timedelta(days=1), START, *month_ends(START, END)):
        assert again.at(moment) == truth.at(moment)
    assert truth.at(START - timedelta(days=1)) == {}
    with pytest.raises(ValueError, match=r"line 1: .*no file that `phusong simulate --truth` wrote"):
        read_truth(io.BytesIO(b'{"record":"weather"}\n'))


def test_villages_gain_signal_masts_return_and_loudspeakers_become_smart() -> None:
    _, truth = run(still(pace=Pace(broken=8)), end=instant("2025-01-01"))

    def course(indicator: str) -> list[int]:
        return [one.covered for one in truth.changes(("2020-01-01", "01", indicator))]

    for indicator in ("telecom.fibre_households", "broadcast.smart_loudspeaker", "telecom.mobile_5g_population"):
        assert course(indicator)[-1] > course(indicator)[0]
    steps = list(pairwise(course(MAST)))
    assert any(later < earlier for earlier, later in steps)
    assert any(later > earlier for earlier, later in steps)
