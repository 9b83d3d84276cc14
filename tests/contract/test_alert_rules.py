"""The alerts by promtool: each fires, stays quiet, ends, and does not end because its data vanished; Grafana's form is the same rule."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards.alerts import ALERTS, RETIRED_UIDS, RUNBOOKS_URL, prometheus_rules
from dashboards.names import DATASOURCE_UID, Board, Panel
from tests.contract.alert_cases import CASES, ME, OPERATOR, POSTAL, Case, Series, name_of, row
from tests.contract.promtool import check, run

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "dashboards" / "prometheus"
GRAFANA_ALERTS = ROOT / "dashboards" / "grafana" / "provisioning" / "alerting" / "phusong.yaml"

NAMES = [alert.name for alert in ALERTS]
FIXED = {alert.name: alert.labels for alert in ALERTS}


def _grafana() -> list[dict[str, Any]]:
    groups = yaml.safe_load(GRAFANA_ALERTS.read_text("utf-8"))["groups"]
    return [rule | {"every": group["interval"]} for group in groups for rule in group["rules"]]


def _prometheus() -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load((PROMETHEUS / "rules.yml").read_text("utf-8"))["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def _test(case: Case, *, texts: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "name": case.name,
        "interval": case.every,
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "alert_rule_test": [
            {
                "eval_time": when,
                "alertname": case.alert,
                "exp_alerts": [{"exp_labels": FIXED[case.alert] | labels, "exp_annotations": texts or {}} for labels in firing],
            }
            for when, firing in case.checks
        ],
    }


def _failures(directory: Path, rule: dict[str, Any], cases: Iterable[Case]) -> str:
    """One promtool for each rhythm; texts are looked at elsewhere."""
    bare = rule | {"annotations": {}}
    chosen = list(cases)
    return "".join(
        check(directory, [bare], [_test(case) for case in chosen if case.every == every], every)
        for every in dict.fromkeys(c.every for c in chosen)
    )


@pytest.mark.prometheus
def test_promtool_accepts_what_prometheus_loads() -> None:
    """Rules and configuration are well formed."""
    run("check", "rules", PROMETHEUS / "rules.yml")
    run("check", "config", PROMETHEUS / "prometheus.yml")


@pytest.mark.prometheus
@pytest.mark.parametrize("name", NAMES)
def test_an_alert_fires_stays_quiet_ends_and_survives_its_data(name: str, tmp_path: Path) -> None:
    """Every case of alert_cases.py holds for the rule as it is shipped."""
    assert _failures(tmp_path, _prometheus()[name], [case for case in CASES if case.alert == name]) == ""


def test_every_alert_has_a_case_of_every_kind() -> None:
    """A misspelt name would compare nothing with nothing and pass; what vanishes is forgotten first."""
    assert {case.alert for case in CASES} == set(NAMES)
    for name in NAMES:
        kinds = {kind for case in CASES if case.alert == name for kind in case.kinds}
        assert kinds == {"fires", "quiet", "resolves", "vanishes"}, name
        assert any(firing for case in CASES if case.alert == name for _, firing in case.checks)


def test_grafana_holds_the_very_same_rules() -> None:
    """Query, threshold, hold, labels and texts of the provisioned file, put back as Prometheus rules, are those that the cases ran over."""
    by_name = {alert.name: alert.by for alert in ALERTS}
    assert [_as_prometheus(rule, by_name[rule["title"]]) for rule in _grafana()] == list(_prometheus().values())


@pytest.mark.prometheus
@pytest.mark.parametrize(
    ("name", "written", "broken", "case"),
    [
        ("CoverageBelowTarget", " or (last_over_time(", " and (last_over_time(", "no recovery"),
        ("CoverageBelowTarget", " unless on () (max(phusong_feed_ready) == 1)", "", "origin changes"),
        ("CoverageBelowTarget", 'verdict="missed"', 'verdict=~"missed|uncertain"', "no other verdict"),
        ("CoverageBelowTarget", "group_left () max by (province)", "group_left () 0 * max by (province)", "least real"),
        ("CoverageBehindPlan", "max_over_time(", "min_over_time(", "wobbles"),
        ("CoverageReporterOverdue", "sum by (province, reporter, origin)", "sum by (province, reporter, origin, indicator)", "one alert"),
        ("TargetExpired", " or 0 * max by", " or 1 + 0 * max by", "next target"),
        ("InterruptionOverdue", "86400", "3600", "take turns"),
        ("PipelineDown", "sum by (job) (1 - up", "min by (job) (1 - up", "one worker of two"),
        ("PipelineDown", " or vector(0)", "", "nothing was ever there"),
        ("PipelineStalled", "min by (province)", "max by (province)", "left behind"),
        ("PipelineStalled", " unless on () (max(phusong_feed_ready) == 1)", "", "leaves with its list"),
        ("LagKeepsIncreasing", " >= bool 0", " >= bool -1e9", "worked off does not"),
        ("DeadLettersGrowing", "sum by (reason)", "sum", "of one reason"),
        ("DeadLettersGrowing", "increase(phusong_dead_letters_total[1h])", "phusong_dead_letters_total", "there before"),
        ("WebhookUndelivered", " or vector(0)", " or vector(1)", "quarter of an hour"),
        ("CoverageCannotTell", "+ 1)", "+ 0)", "overdue, and no longer"),
        ("CoverageDataIncomplete", " > bool 0)", " >= bool 0)", "before it they are not"),
    ],
)  # fmt: skip
def test_the_cases_notice_a_broken_expression(name: str, written: str, broken: str, case: str, tmp_path: Path) -> None:
    """Each guard in the expressions is held by a case whose name says so."""
    rule = _prometheus()[name]
    assert written in rule["expr"]
    (chosen,) = (one for one in CASES if one.alert == name and case in one.name)
    failures = _failures(tmp_path, rule | {"expr": rule["expr"].replace(written, broken)}, [chosen])
    assert "got:[" in failures, failures or "nobody noticed"


# -- texts ---------------------------------------------------------------------------------------------------------------------------------

PROVINCE: Series = {name_of("coverage_province_info", province="08", name="Tuyên Quang", job="feed"): "1x90"}
INDICATOR: Series = {
    name_of("coverage_indicator_info", indicator=POSTAL["indicator"], domain="postal", name_vi="Điểm có người", name_en="Staffed"): "1x90",
    # another replica with other rules must not break the rule
    name_of("coverage_indicator_info", indicator=POSTAL["indicator"], domain="postal", name_vi="Điểm", name_en="S", job="b"): "0.5x90",
}


TEXTS: dict[str, tuple[Case, dict[str, str]]] = {
    "the number, the target, those that lack most, the names, the origin": (
        Case(
            name="a", alert="CoverageBelowTarget", kinds=(), checks=(("20m", (ME,)),),
            series=PROVINCE | INDICATOR | row("1x90", verdict="missed")
            | row("0.9999592x90", "coverage_ratio") | row("1x90", "coverage_target_ratio")
            | row("1x90", "coverage_worst_communes_info", communes="Xã Hai, Xã Ba, Xã Bốn")
            # another replica that is a moment behind must not break the rule
            | row("1x90", "coverage_worst_communes_info", communes="Xã Ba, Xã Bốn", instance="b:8600")
            # a neighbour whose figures must not leak into the text
            | row("0.5x90", "coverage_ratio", province="02")
            | row("1x90", "coverage_worst_communes_info", province="02", communes="Xã Khác"),
        ),
        {
            "summary": "Tuyên Quang: «Điểm có người» đạt 99,99 %, dưới chỉ tiêu 100 %",
            "summary_en": "Tuyên Quang: «Staffed» is at 99.99%, below its target of 100%",
            "description": r"Thiếu nhiều nhất: Xã (Hai, Xã Ba, Xã Bốn|Ba, Xã Bốn)\. Số liệu: giả định\.",
            "description_en": r"Furthest behind: Xã (Hai, Xã Ba, Xã Bốn|Ba, Xã Bốn)\. Data: assumed\.",
        },
    ),
    "without names the codes stand, without figures a question mark, never a zero": (
        Case(
            name="b", alert="CoverageBelowTarget", kinds=(), checks=(("20m", (ME,)),), series=row("1x90", verdict="missed"),
        ),
        {
            "summary": "08: «postal.staffed_point» đạt ? %, dưới chỉ tiêu ? %",
            "description": "Thiếu nhiều nhất: –. Số liệu",
            "summary_en": "08: «postal.staffed_point» is at ?%, below its target of ?%",
        },
    ),
    "dates are those of Vietnam": (
        Case(
            name="c", alert="CoverageBehindPlan", kinds=(), checks=(("2h", (ME,)),), every="5m",
            # 2026-01-01 and 2027-03-05 at 00:00+07:00
            series=PROVINCE | INDICATOR | row("1x90", verdict="not_yet") | row("1767200400x90", "coverage_target_due_timestamp_seconds")
            | row("1804179600x90", "coverage_projected_timestamp_seconds", estimate="middle")
            | row("1804179600x90", "coverage_projected_timestamp_seconds", estimate="latest"),
        ),
        {
            "summary": "Tuyên Quang: «Điểm có người» với tốc độ hiện nay sẽ lỡ hạn 01/01/2026 (dự kiến: 05/03/2027)",
            "summary_en": "Tuyên Quang: «Staffed» will miss its due date 2026-01-01 at the present pace (projected: 2027-03-05)",
        },
    ),
    "never is a word, not a date": (
        Case(
            name="d", alert="CoverageBehindPlan", kinds=(), checks=(("2h", (ME,)),), every="5m",
            series=PROVINCE | INDICATOR | row("1x90", verdict="not_yet") | row("1767200400x90", "coverage_target_due_timestamp_seconds")
            | row("Inf " * 90, "coverage_projected_timestamp_seconds", estimate="middle"),
        ),
        {
            "summary": "Tuyên Quang: «Điểm có người» với tốc độ hiện nay sẽ lỡ hạn 01/01/2026 (dự kiến: không bao giờ)",
            "summary_en": "Tuyên Quang: «Staffed» will miss its due date 2026-01-01 at the present pace (projected: never)",
        },
    ),
    "a reporter by its name": (
        Case(
            name="e", alert="CoverageReporterOverdue", kinds=(), checks=(("20m", (OPERATOR,)),),
            series=row("137x90", "coverage_reporter_overdue_communes", reporter="operator-a")
            | {name_of("coverage_reporter_info", reporter="operator-a", name_vi="Nhà mạng A", name_en="Operator A"): "1x90"},
        ),
        {
            "summary": "Tỉnh 08: Nhà mạng A còn nợ 137 báo cáo xã đã quá hạn",
            "summary_en": "Province 08: Operator A owes 137 commune reports that are overdue",
        },
    ),
    "a province by its name, for how long": (
        Case(
            name="f", alert="PipelineStalled", kinds=(), checks=(("10m", ({"province": "08"},)),),
            series=PROVINCE | row("0+30x10 300x30", "coverage_published_timestamp_seconds"),
        ),
        {"summary": "Tuyên Quang: số liệu đứng yên đã 5m 0s", "summary_en": "Tuyên Quang: data has not moved for 5m 0s"},
    ),
    "what cannot be judged, with its bounds": (
        Case(
            name="g", alert="CoverageCannotTell", kinds=(), checks=(("2h", (ME,)),), every="5m",
            series=PROVINCE | INDICATOR | row("1x90", verdict="uncertain") | row("1x90", "coverage_completeness_ratio")
            | row("0.25x90", "coverage_low_ratio") | row("1x90", "coverage_high_ratio") | row("0.95x90", "coverage_target_ratio"),
        ),
        {
            "summary": "Tuyên Quang: chưa kết luận được «Điểm có người»: từ 25 % đến 100 %, chỉ tiêu 95 %",
            "summary_en": "Tuyên Quang: «Staffed» cannot be judged: from 25% to 100%, target 95%",
        },
    ),
}  # fmt: skip


@pytest.mark.prometheus
@pytest.mark.parametrize("says", TEXTS)
def test_texts_say(says: str, tmp_path: Path) -> None:
    """The number, the target, the worst communes, names instead of codes; promtool fills in the real templates."""
    case, expected = TEXTS[says]
    # promtool compares whole texts: what it got is read from its complaint
    complaint = check(tmp_path, [_prometheus()[case.alert]], [_test(case, texts={"summary": "-"})], case.every)
    (got,) = re.findall(r"got:\[\s*0:\s*Labels:\{[^}]*\}\s*Annotations:\{(.*)\}\s*\]", complaint)
    for name, text in expected.items():
        (told,) = re.findall(rf'(?:^|, ){name}="((?:[^"\\]|\\.)*)"', got)
        assert re.search(text, told) if name.startswith("description") else text == told
    assert f'runbook_url="{RUNBOOKS_URL}{case.alert}"' in got


def test_durations_can_be_shortened_for_a_test_against_a_real_prometheus() -> None:
    """Only the durations change."""
    short, shipped = prometheus_rules(hold_seconds=1, every_seconds=2)["groups"], prometheus_rules()["groups"]
    assert {group["interval"] for group in short} == {"2s"}
    assert {rule["for"] for group in short for rule in group["rules"]} == {"1s"}
    assert [r["expr"] for g in short for r in g["rules"]] == [r["expr"] for g in shipped for r in g["rules"]]


# -- Grafana's file ------------------------------------------------------------------------------------------------------------------------


def test_no_data_alerts_in_one_rule_only_and_errors_too() -> None:
    """Grafana's own extra alerts would otherwise come at every restart; elsewhere the last state is kept."""
    states = {r["title"]: (r["noDataState"], r["execErrState"]) for r in _grafana()}
    assert states.pop("PipelineDown") == ("Alerting", "Error")
    assert set(states.values()) == {("KeepLast", "KeepLast")}


def test_alerts_hold_for_at_least_two_evaluations() -> None:
    """One odd evaluation after a restart must not page."""
    assert all(_seconds(rule["for"]) >= 2 * _seconds(rule["every"]) for rule in _grafana())


def test_severities_are_those_that_routing_knows_and_digests_are_never_pages() -> None:
    """Only a system that has stopped is critical: coverage changes with the months."""
    severities = {rule["title"]: rule["labels"]["severity"] for rule in _grafana()}
    assert {name for name, one in severities.items() if one == "critical"} == {"PipelineDown", "PipelineStalled"}
    assert {name for name, one in severities.items() if one == "digest"} == {"CoverageCannotTell", "CoverageDataIncomplete"}
    assert set(severities.values()) == {"critical", "warning", "digest"}
    assert {rule["labels"]["owner"] for rule in _grafana()} == {"department", "operations"}


def test_every_alert_about_figures_says_what_they_rest_on() -> None:
    """The label that keeps simulated figures from people comes with the series."""
    for rule in _grafana():
        about_figures = rule["title"].startswith("Coverage") or rule["title"] in ("TargetExpired", "InterruptionOverdue")
        assert ("group_left (origin)" in rule["data"][0]["model"]["expr"]) == about_figures, rule["title"]


def test_no_dollar_is_left_for_provisioning_to_expand() -> None:
    """Grafana expands $ in everything but annotations and queries: none is there."""
    for rule in _grafana():
        annotations = rule.pop("annotations")
        assert "$$" not in str(annotations), rule["title"]
        assert "${" not in str(annotations), rule["title"]
        assert "$" not in str(rule), rule["title"]


def test_queries_name_the_datasource_by_its_literal_uid() -> None:
    """A variable or another uid leaves the alert without data, silently."""
    datasources = yaml.safe_load((ROOT / "dashboards/grafana/provisioning/datasources/phusong.yaml").read_text("utf-8"))["datasources"]
    assert [d["uid"] for d in datasources] == [DATASOURCE_UID]
    for rule in _grafana():
        for query in rule["data"]:
            assert query["datasourceUid"] == query["model"]["datasource"]["uid"]
            assert query["datasourceUid"] == ("__expr__" if query["refId"] == rule["condition"] else DATASOURCE_UID)


def test_uids_are_the_first_ones_and_never_used_again() -> None:
    """Grafana keeps a rule under its uid for ever; a removed one is listed in RETIRED_UIDS, and so in deleteRules."""
    first = {
        "CoverageBelowTarget": "phusong-below-target",
        "CoverageBehindPlan": "phusong-behind-plan",
        "CoverageReporterOverdue": "phusong-reporter-overdue",
        "TargetExpired": "phusong-target-expired",
        "InterruptionOverdue": "phusong-interruption-overdue",
        "PipelineDown": "phusong-pipeline-down",
        "PipelineStalled": "phusong-pipeline-stalled",
        "LagKeepsIncreasing": "phusong-lag-increasing",
        "DeadLettersGrowing": "phusong-dead-letters",
        "GatewayRefusing": "phusong-gateway-refusing",
        "WebhookUndelivered": "phusong-webhook-undelivered",
        "CoverageCannotTell": "phusong-cannot-tell",
        "CoverageDataIncomplete": "phusong-data-incomplete",
    }
    gone = {"phusong-data-stalled", "phusong-data-absent"}
    here = {r["title"]: r["uid"] for r in _grafana()}
    assert {name: uid for name, uid in first.items() if uid not in RETIRED_UIDS}.items() <= here.items()
    assert gone <= set(RETIRED_UIDS)
    assert len(set(here.values())) == len(here)
    assert not set(RETIRED_UIDS) & set(here.values())
    deleted = yaml.safe_load(GRAFANA_ALERTS.read_text("utf-8"))["deleteRules"]
    assert [d["uid"] for d in deleted] == list(RETIRED_UIDS)


def test_every_alert_links_to_a_panel_that_is_named() -> None:
    """Uid and id are those of dashboards/names.py; that the boards have them is the dashboards' own test."""
    for rule in _grafana():
        assert rule["dashboardUid"] in {board.value for board in Board}
        assert rule["panelId"] in {panel.value for panel in Panel}


def test_every_alert_speaks_vietnamese_first_and_has_a_runbook() -> None:
    """Summary and description in both languages, and a page that says what it means, what to do, when it ends and whose it is."""
    pages = ROOT / "docs" / "runbooks"
    for rule in _grafana():
        texts = rule["annotations"]
        assert list(texts) == ["summary", "description", "summary_en", "description_en", "runbook_url"]
        assert "Việc cần làm" in texts["description"]
        assert "What to do" in texts["description_en"]
        page = (pages / f"{texts['runbook_url'].removeprefix(RUNBOOKS_URL)}.md").read_text("utf-8")
        assert page.startswith(f"# {rule['title']}\n")
        vietnamese, _, english = page.partition("## English")
        for part in ("## Tiếng Việt", "**Nghĩa là gì.**", "**Xem nhanh.**", "**Cần làm.**", "**Khi nào hết.**", "**Ai chịu trách nhiệm.**"):
            assert part in vietnamese, (rule["title"], part)
        for part in ("**What it means.**", "**In a minute.**", "**What to do.**", "**When it ends.**", "**Who owns it.**"):
            assert part in english, (rule["title"], part)
    assert {page.stem for page in pages.glob("*.md")} == {rule["title"] for rule in _grafana()}


def _seconds(duration: str) -> int:
    match = re.fullmatch(r"(\d+)s", duration)
    assert match, duration
    return int(match[1])


def _as_prometheus(rule: dict[str, Any], by: tuple[str, ...]) -> dict[str, Any]:
    models = {query["refId"]: query["model"] for query in rule["data"]}
    threshold = models.pop(rule["condition"])
    assert (threshold["type"], threshold["expression"]) == ("threshold", "A")
    (condition,) = threshold["conditions"]
    assert condition["evaluator"]["type"] == "gt"
    (bound,) = condition["evaluator"]["params"]
    assert all((model["instant"], model["range"]) == (True, False) for model in models.values())

    def query(ref: str) -> str:
        # Grafana pairs the value of another query by its labels; a template of Prometheus has to select it
        one = "vector(1)"
        for place, label in enumerate(by, 1):
            one = f'label_replace({one}, "{label}", %[{place}]q, "", "")'
        labels = " ".join(f"$labels.{label}" for label in by)
        expr = re.sub(r"coverage_(gap|commune)_\w+", r"\g<0>{province=%[1]q,indicator=%[2]q}", models[ref]["expr"])
        return f"{{{{ with printf `({expr}) and on ({', '.join(by)}) {one}` {labels} | query }}}}"

    def annotation(text: str) -> str:
        text = re.sub(r"\{\{ if \$values\.(\w+)\.Labels \}\}", lambda m: query(m[1]), text)
        text = re.sub(
            r"\{\{ with \$values\.(\w+)\.Labels\.(\w+) \}\}([^{]*)\{\{ \. \}\}",
            lambda m: f'{query(m[1])}{m[3]}{{{{ . | first | label "{m[2]}" }}}}',
            text,
        )
        return re.sub(r"\$values\.(\w+)\.Value", lambda m: "$value" if m[1] == "A" else ". | first | value", text)

    return {
        "alert": rule["title"],
        "expr": f"({models['A']['expr']}) > {bound}",
        "for": rule["for"],
        "labels": rule["labels"],
        "annotations": {name: annotation(text) for name, text in rule["annotations"].items()},
    }
