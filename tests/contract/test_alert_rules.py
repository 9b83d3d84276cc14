"""The alerts by promtool: both forms, Prometheus' and Grafana's, fire and stay silent in the same hand-written cases."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards.alerts import ALERTS, DATASOURCE_UID, RETIRED_UIDS, prometheus_rules

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "dashboards" / "prometheus"
GRAFANA_ALERTS = ROOT / "dashboards" / "grafana" / "provisioning" / "alerting" / "phusong.yaml"


def _grafana() -> list[dict[str, Any]]:
    groups = yaml.safe_load(GRAFANA_ALERTS.read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


@pytest.fixture(scope="session")
def promtool() -> str:
    """The real promtool."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is missing: install the Debian package `prometheus`")
    return program


def _run(*command: str | Path) -> None:
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.prometheus
def test_promtool_accepts_what_prometheus_loads(promtool: str) -> None:
    """Rules and configuration are well formed."""
    _run(promtool, "check", "rules", PROMETHEUS / "rules.yml")
    _run(promtool, "check", "config", PROMETHEUS / "prometheus.yml")


@pytest.mark.prometheus
def test_prometheus_form_fires_and_stays_silent_as_written(promtool: str) -> None:
    """Every case of rules_test.yml holds for rules.yml."""
    _run(promtool, "test", "rules", PROMETHEUS / "rules_test.yml")


@pytest.mark.prometheus
def test_grafana_form_fires_and_stays_silent_in_the_same_cases(promtool: str, tmp_path: Path) -> None:
    """Query A, threshold C, hold, labels and texts of the provisioned file, put back as Prometheus rules, pass the same cases."""
    rules = {"groups": [{"name": "grafana", "interval": _interval(), "rules": [_as_prometheus(r) for r in _grafana()]}]}
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules, allow_unicode=True), "utf-8")
    shutil.copy(PROMETHEUS / "rules_test.yml", tmp_path)
    _run(promtool, "test", "rules", tmp_path / "rules_test.yml")


@pytest.mark.prometheus
@pytest.mark.parametrize(
    ("written", "broken", "case"),
    [
        (
            " or max without (instance, job, verdict) (last_over_time",
            " and max without (instance, job, verdict) (last_over_time",
            "no recovery",
        ),
        ('coverage_verdict{verdict="missed"}', 'coverage_verdict{verdict=~"missed|uncertain"}', "silent"),
        ("min by (province)", "max by (province)", "left behind"),
        (" or max by (province) (last_over_time(coverage_published_timestamp_seconds[1d]))", "", "a province that vanished"),
        (" or vector(0)", "", "never delivered"),
        ("sum by (reason)", "sum", "dead letters of one reason"),
        ("increase(phusong_dead_letters_total[1h])", "phusong_dead_letters_total", "dead letters that were there before"),
    ],
)
def test_the_cases_notice_a_broken_expression(promtool: str, tmp_path: Path, written: str, broken: str, case: str) -> None:
    """Each guard in the expressions is held by a case whose name says so."""
    text = yaml.safe_dump(prometheus_rules(), allow_unicode=True, width=10_000)
    assert written in text
    (tmp_path / "rules.yml").write_text(text.replace(written, broken), "utf-8")
    cases = yaml.safe_load((PROMETHEUS / "rules_test.yml").read_text("utf-8"))
    (cases["tests"],) = ([test] for test in cases["tests"] if case in test["name"])
    (tmp_path / "rules_test.yml").write_text(yaml.safe_dump(cases, allow_unicode=True), "utf-8")
    done = subprocess.run(
        [promtool, "test", "rules", str(tmp_path / "rules_test.yml")], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode != 0
    assert "got:[" in done.stdout + done.stderr, "it failed for another reason than the alerts"


def test_every_alert_has_a_firing_and_a_quiet_case() -> None:
    """A misspelt alert name would compare nothing with nothing and pass."""
    tests = yaml.safe_load((PROMETHEUS / "rules_test.yml").read_text("utf-8"))["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    for alert in ALERTS:
        assert {bool(c["exp_alerts"]) for c in cases if c["alertname"] == alert.name} == {True, False}, alert.name
    assert {c["alertname"] for c in cases} == {a.name for a in ALERTS}


def test_both_forms_hold_the_same_alerts() -> None:
    """Names, holds and severities agree, and none is missing in either."""
    prometheus = prometheus_rules()["groups"][0]["rules"]
    assert [(r["alert"], r["for"], r["labels"]) for r in prometheus] == [(r["title"], r["for"], r["labels"]) for r in _grafana()]


def test_durations_can_be_shortened_for_a_test_against_a_real_prometheus() -> None:
    """Only the durations change."""
    short = prometheus_rules(hold_seconds=1, every_seconds=2)["groups"][0]
    assert short["interval"] == "2s"
    assert {rule["for"] for rule in short["rules"]} == {"1s"}
    assert [r["expr"] for r in short["rules"]] == [r["expr"] for r in prometheus_rules()["groups"][0]["rules"]]


def test_no_data_alerts_in_one_rule_only_and_errors_too() -> None:
    """Grafana's own extra alerts would otherwise come at every restart; elsewhere the last state is kept."""
    states = {r["title"]: (r["noDataState"], r["execErrState"]) for r in _grafana()}
    assert states.pop("CoverageDataAbsent") == ("Alerting", "Error")
    assert set(states.values()) == {("KeepLast", "KeepLast")}


def test_alerts_hold_for_at_least_two_evaluations() -> None:
    """One odd evaluation after a restart must not page."""
    every = _seconds(_interval())
    assert all(_seconds(rule["for"]) >= 2 * every for rule in _grafana())


def test_dollars_are_doubled_everywhere_but_in_annotations() -> None:
    """Grafana expands $ as an environment variable in provisioned files, annotations excepted."""
    for rule in _grafana():
        annotations = rule.pop("annotations")
        assert "$$" not in str(annotations), rule["title"]
        assert not re.search(r"(?<!\$)\$(?!\$)", str(rule).replace("$$", "")), rule["title"]


def test_queries_name_the_datasource_by_its_literal_uid() -> None:
    """A variable or another uid leaves the alert without data, silently."""
    datasources = yaml.safe_load((ROOT / "dashboards/grafana/provisioning/datasources/phusong.yaml").read_text("utf-8"))["datasources"]
    assert [d["uid"] for d in datasources] == [DATASOURCE_UID]
    for rule in _grafana():
        for query in rule["data"]:
            assert query["datasourceUid"] == query["model"]["datasource"]["uid"]
            assert query["datasourceUid"] == ("__expr__" if query["refId"] == "C" else DATASOURCE_UID)


def test_uids_are_the_first_ones_and_never_used_again() -> None:
    """Grafana keeps a rule under its uid for ever; a removed one is listed in RETIRED_UIDS."""
    first = {
        "CoverageBelowTarget": "phusong-below-target",
        "CoverageDataStalled": "phusong-data-stalled",
        "CoverageDataAbsent": "phusong-data-absent",
        "DeadLettersGrowing": "phusong-dead-letters",
    }
    assert first.items() <= {r["title"]: r["uid"] for r in _grafana()}.items()
    uids = [r["uid"] for r in _grafana()]
    assert len(set(uids)) == len(uids)
    assert not set(RETIRED_UIDS) & set(uids)
    deleted = yaml.safe_load(GRAFANA_ALERTS.read_text("utf-8")).get("deleteRules", [])
    assert [d["uid"] for d in deleted] == list(RETIRED_UIDS)


def test_every_alert_speaks_vietnamese_first_and_has_a_runbook() -> None:
    """Summary and description in both languages, and a page that says what to do."""
    for rule in _grafana():
        texts = rule["annotations"]
        assert list(texts) == ["summary", "description", "summary_en", "description_en", "runbook"]
        assert "Việc cần làm" in texts["description"]
        assert "What to do" in texts["description_en"]
        page = (ROOT / texts["runbook"]).read_text("utf-8")
        assert page.startswith(f"# {rule['title']}\n")
        assert 0 < page.index("## Tiếng Việt") < page.index("## English")


def _interval() -> str:
    (group,) = yaml.safe_load(GRAFANA_ALERTS.read_text("utf-8"))["groups"]
    return str(group["interval"])


def _seconds(duration: str) -> int:
    match = re.fullmatch(r"(\d+)s", duration)
    assert match, duration
    return int(match[1])


def _as_prometheus(rule: dict[str, Any]) -> dict[str, Any]:
    models = {query["refId"]: query["model"] for query in rule["data"]}
    threshold = models.pop(rule["condition"])
    assert (threshold["type"], threshold["expression"]) == ("threshold", "A")
    (condition,) = threshold["conditions"]
    comparison = {"gt": ">", "lt": "<"}[condition["evaluator"]["type"]]
    (bound,) = condition["evaluator"]["params"]

    def value(match: re.Match[str]) -> str:
        if match[1] == "A":
            return "$value"
        # Grafana pairs the value of another query by its labels; a template of Prometheus has to select it.
        chosen = re.sub(r"(coverage_\w+)", r"\1{province=%[1]q,vintage=%[2]q,indicator=%[3]q}", models[match[1]]["expr"])
        return f"(printf `{chosen}` $labels.province $labels.vintage $labels.indicator | query | first | value)"

    return {
        "alert": rule["title"],
        "expr": f"({models['A']['expr']}) {comparison} {bound}",
        "for": rule["for"],
        "labels": {name: text.replace("$$", "$") for name, text in rule["labels"].items()},
        "annotations": {name: re.sub(r"\$values\.(\w)\.Value", value, text) for name, text in rule["annotations"].items()},
    }
