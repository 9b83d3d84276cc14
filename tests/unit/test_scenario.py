"""producers/simulator/scenario.py: a scenario is read whole or refused, with every problem and its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from phusong.rules import Rules
from producers.simulator.scenario import (
    FAULTLESS,
    FILE_BYTES_MAX,
    PERFECT,
    Habits,
    NeverReports,
    ReporterOutage,
    Scenario,
    ScenarioError,
    began,
    ended,
    read_scenario,
)
from tests.shipped import shipped_rules
from tests.worlds import instant

ROOT = Path(__file__).resolve().parents[2]
OUTAGE = """
[[incident]]
name = "silence"
kind = "reporter_outage"
reporter = "operator-b"
districts = ["Huyện Na Hang"]
start = 2023-04-01
end = 2023-06-01
"""


@pytest.fixture
def rules() -> Rules:
    """The shipped rules: their districts and reporters are named here."""
    return shipped_rules()


def refused(tmp_path: Path, text: str) -> str:
    file = tmp_path / "scenario.toml"
    file.write_text(text)
    with pytest.raises(ScenarioError) as caught:
        read_scenario(file, shipped_rules())
    assert str(file) in str(caught.value)
    return str(caught.value)


def read(tmp_path: Path, text: str) -> Scenario:
    file = tmp_path / "scenario.toml"
    file.write_text(text)
    return read_scenario(file, shipped_rules())


def test_the_shipped_scenario_has_one_incident_of_each_kind(rules: Rules) -> None:
    scenario = read_scenario(ROOT / "docs" / "scenario.toml", rules)
    kinds = [type(one).__name__ for one in scenario.incident]
    assert sorted(kinds) == [
        "ContradictingMeasurement",
        "DuplicateStorm",
        "LateReporter",
        "MastOutage",
        "MisspeltVillages",
        "NeverReports",
        "ReporterOutage",
        "WrongCodes",
    ]


def test_an_empty_file_is_the_default_scenario(tmp_path: Path) -> None:
    assert read(tmp_path, "") == Scenario()


def test_a_reporters_own_habits_are_everybodys_but_for_what_they_name(tmp_path: Path) -> None:
    scenario = read(tmp_path, "[habits]\nlate = 0.5\nmisspelt = 0.25\n[reporters.operator-c]\nlate = 1\n")
    assert scenario.habits_of("operator-a") == Habits(late=0.5, misspelt=0.25)
    assert scenario.habits_of("operator-c") == Habits(late=1, misspelt=0.25)


def test_an_incident_lasts_from_midnight_in_vietnam_until_midnight(tmp_path: Path) -> None:
    (one,) = read(tmp_path, OUTAGE).incident
    assert isinstance(one, ReporterOutage)
    assert (began(one), ended(one)) == (instant("2023-04-01"), instant("2023-06-01"))


def test_who_never_reports_began_with_the_calendar() -> None:
    one = NeverReports(name="never", reporter="operator-a")
    assert began(one) < instant("1900-01-01")
    assert ended(one) > instant("2900-01-01")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[habits]\nlat = 0.1\n", "unknown field `lat`"),
        ("[habits]\nlate = 1.5\n", "<= 1.0"),
        ("[reporters.operator-c]\nlate = 'often'\n", "$.reporters"),
        ("[reporters]\noperator-c = 1\n", "$.reporters"),
        ("habits = 1\n", "$.habits"),
        ("[[incident]]\nname = 'x'\nkind = 'flood'\n", "'flood'"),
        ("[[incident]]\nname = 'x'\nkind = 'mast_outage'\noperator = 'operator-a'\nstart = 2023-04-01\n", "`end`"),
        (OUTAGE.replace("2023-04-01", "'soon'"), "start"),
        ("[habits\n", "line 1"),
    ],
)
def test_what_the_file_cannot_say_is_told_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    assert said in refused(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[reporters.operator-z]\nlate = 0\n", "reporters.operator-z: no such reporter; one of: assumed-broadcast-reporter, "),
        ("[team]\nreporter = 'nobody'\n", "team.reporter: 'nobody' speaks for nobody"),
        ("[petitions]\nreporter = 'nobody'\n", "petitions.reporter: 'nobody' speaks for nobody"),
        (OUTAGE.replace("operator-b", "operator-z"), "incident 'silence': reporter 'operator-z' has no row in reporters.csv; one of: "),
        (OUTAGE + OUTAGE, "incident 'silence': the name stands twice"),
        (OUTAGE.replace("2023-06-01", "2023-04-01"), "incident 'silence': end 2023-04-01 does not lie after start 2023-04-01"),
        (OUTAGE.replace("Na Hang", "Nà Hang"), "incident 'silence': districts: 'Huyện Nà Hang' is not in the list of 2020-01-01"),
        (OUTAGE.replace("2023-", "2026-"), "incident 'silence': districts: 'Huyện Na Hang' is not in the list of 2025-07-01"),
        (OUTAGE.replace("2023-04", "2019-04"), "incident 'silence': no list of communes was in force on 2019-04-01"),
        (OUTAGE + "communes = ['2275']", "incident 'silence': communes: '2275' is not in the list"),
        (OUTAGE + "provinces = ['99']", "incident 'silence': provinces: '99' is not in the list"),
        (OUTAGE + "indicators = ['postal.stamps']", "incident 'silence': indicator 'postal.stamps' has no row in indicators.csv"),
        (
            OUTAGE.replace("reporter_outage", "mast_outage")
            .replace("reporter =", "operator =")
            .replace("operator-b", "assumed-measuring-team"),
            "incident 'silence': operator 'assumed-measuring-team' owes no report",
        ),
        (
            OUTAGE.replace("reporter_outage", "contradicting_measurement").replace("reporter =", "operator =") + "indicator = 'x'",
            "incident 'silence': indicator 'x' has no row",
        ),
    ],
)
def test_what_the_rules_do_not_have_is_told_by_incident_with_the_remedy(tmp_path: Path, text: str, said: str) -> None:
    assert said in refused(tmp_path, text)


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    said = refused(tmp_path, OUTAGE.replace("operator-b", "operator-z").replace("Na Hang", "Nowhere"))
    assert len(said.splitlines()) == 2


def test_a_file_that_is_missing_too_large_or_no_text_is_refused(tmp_path: Path, rules: Rules) -> None:
    with pytest.raises(ScenarioError, match="cannot be read"):
        read_scenario(tmp_path / "nothing.toml", rules)
    with pytest.raises(ScenarioError, match="cannot be read"):
        read_scenario(tmp_path, rules)
    large = tmp_path / "large.toml"
    large.write_bytes(b"#" * (FILE_BYTES_MAX + 1))
    with pytest.raises(ScenarioError, match="larger than"):
        read_scenario(large, rules)
    large.write_bytes(b"name = '\xff'")
    with pytest.raises(ScenarioError, match="utf-8"):
        read_scenario(large, rules)


def test_the_perfect_reporter_has_no_other_habit() -> None:
    assert {name for name in PERFECT.__struct_fields__ if not name.endswith(("_days", "_days_max")) and getattr(PERFECT, name)} == {
        "on_change"
    }
    assert (FAULTLESS.team.visits, FAULTLESS.petitions.share, FAULTLESS.incident) == (0, 0, ())
