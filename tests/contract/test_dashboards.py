"""The dashboards: generated files are up to date, whole, in words and units an operator can read, and every query can be run."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards import build
from dashboards.alerts import ALERTS, DASHBOARD_UID, DATASOURCE_UID
from dashboards.overview import STATES, VERDICTS
from phusong.rows import State, Verdict

ROOT = Path(__file__).resolve().parents[2]
BOARDS = sorted((ROOT / "dashboards" / "grafana" / "dashboards").glob("*.json"))
IDS = [path.stem for path in BOARDS]

# DESIGN.md §6
METRICS = {
    "coverage_ratio", "coverage_low_ratio", "coverage_high_ratio", "coverage_target_ratio", "coverage_completeness_ratio",
    "coverage_covered", "coverage_expected", "coverage_units", "coverage_marks", "coverage_verdict", "coverage_origin",
    "coverage_oldest_observed_timestamp_seconds", "coverage_as_of_timestamp_seconds", "coverage_published_timestamp_seconds",
    "coverage_reporter_due_timestamp_seconds", "coverage_commune_ratio", "coverage_commune_info",
    "phusong_dead_letters_total",
}  # fmt: skip


def _load(path: Path) -> dict[str, Any]:
    board: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return board


def _round_trip(board: dict[str, Any]) -> Any:
    # here and not above: dashboards.overview has to import it first, which silences its deprecation warning
    from grafana_foundation_sdk.models.dashboard import Dashboard

    return json.loads(json.dumps(Dashboard.from_json(board), cls=JSONEncoder))


def _queries(board: dict[str, Any]) -> list[str]:
    panels = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    variables = [re.fullmatch(r"label_values\((.+), \w+\)", v["definition"]) for v in board["templating"]["list"]]
    assert all(variables), "a variable is not label_values(series, label)"
    return [*panels, *(v[1] for v in variables if v)]


def _substitute(query: str, **variables: str) -> str:
    """The query as Grafana would send it: macros first, then variables."""
    query = re.sub(r"\$__\w+", "5m", query)
    return re.sub(r"\$(\w+)", lambda match: variables.get(match[1], "x"), query)


def test_generated_files_are_up_to_date() -> None:
    """What is committed is what `python -m dashboards.build` writes."""
    assert build.drift(build.HERE) == []
    assert build.main(["--check"]) == 0


def test_check_notices_missing_changed_and_left_over_files(tmp_path: Path) -> None:
    """Each kind of drift is named."""
    (tmp_path / "grafana" / "dashboards").mkdir(parents=True)
    (tmp_path / "grafana" / "dashboards" / "old.json").write_text("{}")
    (tmp_path / "grafana" / "dashboards" / "province-overview.json").write_text("{}")
    problems = build.drift(tmp_path)
    assert "grafana/dashboards/old.json: nothing generates it; Grafana would load it" in problems
    assert "grafana/dashboards/province-overview.json: differs from its source" in problems
    assert "prometheus/rules.yml: missing" in problems


@pytest.mark.parametrize("path", BOARDS, ids=IDS)
def test_dashboard_survives_the_schema_and_a_misspelt_key_does_not(path: Path) -> None:
    """The SDK drops keys that it does not know, so reading and writing again shows a misspelt one."""
    board = _load(path)
    assert _round_trip(board) == board
    assert _round_trip(board | {"refersh": "30s"}) != board | {"refersh": "30s"}


@pytest.mark.parametrize("path", BOARDS, ids=IDS)
def test_dashboard_can_be_provisioned_from_a_file(path: Path) -> None:
    """Classic schema 42, no id, no inputs, not editable, one literal datasource."""
    board = _load(path)
    text = path.read_text("utf-8")
    assert board["schemaVersion"] == 42
    assert board.get("id") is None
    assert board["editable"] is False
    assert "__inputs" not in board
    assert "${" not in text
    assert set(re.findall(r'"uid": "([^"]+)"', text)) == {board["uid"], DATASOURCE_UID}
    assert board["timezone"] == "Asia/Ho_Chi_Minh"


def test_dashboard_uids_are_fixed_and_unique() -> None:
    """Links, bookmarks and alerts point to them."""
    uids = [_load(path)["uid"] for path in BOARDS]
    assert DASHBOARD_UID in uids
    assert DASHBOARD_UID == "phusong-province"
    assert len(set(uids)) == len(uids)


@pytest.mark.parametrize("path", BOARDS, ids=IDS)
def test_every_panel_says_what_it_shows_in_which_unit_and_what_emptiness_means(path: Path) -> None:
    """Title, description, unit and an honest text instead of an empty box."""
    for panel in _load(path)["panels"]:
        defaults = panel["fieldConfig"]["defaults"]
        assert panel["title"], panel["id"]
        assert len(panel["description"]) > len(panel["title"]), panel["title"]
        assert defaults["unit"], panel["title"]
        assert defaults["noValue"].strip(" -0"), panel["title"]
        assert panel["targets"], panel["title"]


@pytest.mark.parametrize("path", BOARDS, ids=IDS)
def test_panels_lie_on_the_grid_without_overlap(path: Path) -> None:
    """24 columns, each place used once, each id used once."""
    panels = _load(path)["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = set(itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])))
        assert at["x"] + at["w"] <= 24, panel["title"]
        assert not taken & cells, panel["title"]
        taken |= cells
    assert len({p["id"] for p in panels}) == len(panels)


@pytest.mark.parametrize("path", BOARDS, ids=IDS)
def test_every_query_is_promql_over_metrics_that_exist(path: Path) -> None:
    """Parsed by Prometheus' grammar; a metric that nothing exports would be an empty panel for ever."""
    for query in _queries(_load(path)):
        promql_parser.parse(_substitute(query))
        assert set(re.findall(r"\b(?:coverage|phusong)_\w+", query)) <= METRICS, query


def test_alert_expressions_are_promql_over_metrics_that_exist() -> None:
    """The same for the alerts and the figures in their texts."""
    for alert in ALERTS:
        for query in (alert.expr, *(of_selector("") for of_selector in alert.figures.values())):
            promql_parser.parse(query)
            assert set(re.findall(r"\b(?:coverage|phusong)_\w+", query)) <= METRICS, query


@pytest.mark.parametrize("path", BOARDS, ids=IDS)
def test_queries_survive_a_second_replica_of_the_feed(path: Path) -> None:
    """Every series is aggregated over instance and job before it is summed, joined or shown."""
    for panel in _load(path)["panels"]:
        for target in panel["targets"]:
            series = len(re.findall(r"\bcoverage_\w+", target["expr"]))
            aggregations = len(re.findall(r"\bmax(?: by \(| without \(instance, job\)|\()", target["expr"]))
            assert aggregations >= series, target["expr"]


def test_every_verdict_and_state_has_words_and_a_colour() -> None:
    """A word that the core adds must not reach operators as a bare identifier."""
    assert set(VERDICTS) == set(Verdict)
    assert set(STATES) == set(State)


def test_alerts_point_to_panels_that_exist() -> None:
    """The link in an alert opens the panel that shows it."""
    panels = {p["id"]: p["title"] for path in BOARDS if _load(path)["uid"] == DASHBOARD_UID for p in _load(path)["panels"]}
    assert {alert.name: panels[alert.panel_id] for alert in ALERTS} == {
        "CoverageBelowTarget": "Kết quả theo chỉ tiêu",
        "CoverageDataStalled": "Tuổi dữ liệu",
        "CoverageDataAbsent": "Tuổi dữ liệu",
        "DeadLettersGrowing": "Bản ghi bị loại",
    }


@pytest.mark.prometheus
def test_missing_communes_are_the_uncovered_and_the_unknown_and_no_others(tmp_path: Path) -> None:
    """Run by promtool: partly covered and uncovered ones by their value, those without one as not-a-number, two replicas as one."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is missing: install the Debian package `prometheus`")
    (panel,) = (p for path in BOARDS for p in _load(path)["panels"] if p["title"] == "Xã còn thiếu")
    query = _substitute(panel["targets"][0]["expr"], province="08", vintage="2020-01-01", indicator="postal.staffed_point")
    unit = 'province="08",vintage="2020-01-01"'
    ratio = unit + ',domain="postal",indicator="postal.staffed_point"'
    info = [
        f'coverage_commune_info{{{unit},commune="{code}",name="Xã {code}",district="Na Hang",latitude="22",longitude="105",instance="{i}"}}'
        for code, i in itertools.product(("1", "2", "3", "4", "5"), "ab")
    ]
    ratios = {"1": "1x5", "2": "0x5", "3": "0.625x5", "4": "NaN NaN NaN NaN"}  # 5 has none
    series = [
        *({"series": one, "values": "1x5"} for one in info),
        *(
            {"series": f'coverage_commune_ratio{{{ratio},commune="{code}",instance="{i}"}}', "values": values}
            for (code, values), i in itertools.product(ratios.items(), "ab")
        ),
        # another indicator of the same commune must not count
        {"series": f'coverage_commune_ratio{{{unit},domain="x",indicator="y",commune="5",instance="a"}}', "values": "1x5"},
    ]
    named = '{{commune="{0}",district="Na Hang",name="Xã {0}",province="08",vintage="2020-01-01"}}'
    case = {
        "interval": "1m",
        "input_series": series,
        "promql_expr_test": [
            {
                "expr": f"({query}) >= 0",
                "eval_time": "3m",
                "exp_samples": [{"labels": named.format("2"), "value": 0}, {"labels": named.format("3"), "value": 0.625}],
            },
            {
                "expr": f"count by (commune) ({query})",
                "eval_time": "3m",
                "exp_samples": [{"labels": f'{{commune="{code}"}}', "value": 1} for code in "2345"],
            },
        ],
    }
    (tmp_path / "case.yml").write_text(yaml.safe_dump({"tests": [case]}, allow_unicode=True), "utf-8")
    done = subprocess.run([promtool, "test", "rules", str(tmp_path / "case.yml")], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
