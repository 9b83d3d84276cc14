"""What a good dashboard keeps to, as far as a machine can see it: the rules that Grafana's, the mixins' and Prometheus' people pay for.

Each rule is one test. What is excused from a rule stands in a table with the reason; an excuse that excuses nothing is an error.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import promql_parser
import pytest

from dashboards.names import Board, Panel
from dashboards.promql import metrics_of
from dashboards.recording import recording_rules
from feed.metrics import COMMUNES, MOMENTS, PROVINCES
from tests import boards
from tests.boards import Json

OTHERS = {
    *("up", "coverage_commune_info", "coverage_province_info", "coverage_indicator_info", "coverage_reporter_info"),
    *("coverage_vintage_start_timestamp_seconds", "phusong_build_info"),
    *("phusong_events_total", "phusong_dead_letters_total", "phusong_event_to_publish_seconds_bucket", "phusong_publish_seconds_bucket"),
    *("phusong_lag_events", "phusong_rebuild_seconds_count", "phusong_rebuild_seconds_sum", "phusong_shares"),
    *("phusong_progress_failures_total", "phusong_webhook_deliveries_total"),
    *("phusong_gateway_events_total", "phusong_gateway_requests_total", "phusong_gateway_request_seconds_bucket"),
    *("phusong_gateway_kafka_up", "phusong_gateway_keys", "phusong_gateway_keys_usable", "phusong_gateway_requests_in_flight"),
    *("phusong_gateway_events_under_way", "phusong_feed_ready", "phusong_feed_rows", "phusong_feed_streams"),
    *("phusong_feed_streams_dropped_total", "phusong_feed_kafka_seen_timestamp_seconds", "phusong_feed_left_out_total"),
}
"""Metrics that are asked for beside those about rows; tests/integration/test_panels.py sees that each is exported."""

METRICS = {one.metric.name for one in PROVINCES} | {one.metric.name for one in COMMUNES} | {one.metric.name for one in MOMENTS} | OTHERS
RECORDED = {rule["record"] for group in recording_rules()["groups"] for rule in group["rules"]}

CORE_PANELS = {"bargauge", "geomap", "stat", "state-timeline", "table", "timeseries"}
"""Plugins that ship with Grafana 12."""

NOT_THE_RATE_INTERVAL: Mapping[tuple[str, int], str] = {
    (Board.REPORTING, Panel.DEAD_LETTERS): "the hour of the alert that leads here: the same figure",
    (Board.REPORTING, 48): "how many in all the time that is shown",
    (Board.PIPELINE, 57): "how many in all the time that is shown",
    (Board.PIPELINE, 65): "how many in all the time that is shown",
}
"""(dashboard, panel) -> why a counter is taken over something other than $__rate_interval."""

NOT_FOLDED: Mapping[str, str] = {
    "phusong_lag_events": "each worker tells of its own partitions: they add up",
    "phusong_shares": "each worker tells of its own shares: they add up",
}
"""Gauge -> why it is summed and not folded with max over the processes that show it."""

ALL = [pytest.param(path, panel, id=f"{path.stem}-{panel['id']}") for path, panel in boards.panels()]


def plain(query: str) -> str:
    """With everything filled in that Grafana fills in."""
    return boards.substituted(re.sub(r"\$__\w+", "5m", query), province="08", indicator="x")


def expressions(panel: Json) -> list[str]:
    return [target["expr"] for target in panel["targets"]]


@pytest.mark.parametrize(("path", "panel"), ALL)
def test_a_panel_says_what_it_shows_how_it_is_made_in_which_unit_and_what_emptiness_means(path: Path, panel: Json) -> None:
    """Title; a description that is more than the title and names the metrics; unit; a text instead of an empty box; a query."""
    defaults = panel["fieldConfig"]["defaults"]
    assert panel["title"]
    said, _, sources = panel["description"].partition("\n\nPrometheus: ")
    assert len(said) > len(panel["title"])
    assert re.findall(r"`([^`]+)`", sources) == sorted({name for expr in expressions(panel) for name in metrics_of(expr)})
    assert defaults["unit"]
    assert defaults["noValue"].strip(" -–0")
    assert panel["targets"]


@pytest.mark.parametrize(("path", "panel"), ALL)
def test_a_panel_is_of_a_kind_that_ships_with_grafana(path: Path, panel: Json) -> None:
    """Nothing has to be fetched for it."""
    assert panel["type"] in CORE_PANELS


@pytest.mark.parametrize(("path", "panel"), ALL)
def test_shares_are_shown_as_percent_and_moments_as_dates(path: Path, panel: Json) -> None:
    """The unit fits the figure: base units in Prometheus, percent and days on the screen."""
    units = {panel["fieldConfig"]["defaults"]["unit"]} | {value for _, name, value in boards.overrides(panel) if name == "unit"}
    metrics = {name for expr in expressions(panel) for name in metrics_of(expr)}
    if any(name.endswith("_ratio") for name in metrics):
        assert "percentunit" in units
    if any(expr.startswith("1000 * ") for expr in expressions(panel)):
        assert any(unit.startswith("time:") for unit in units)


@pytest.mark.parametrize("path", boards.PATHS, ids=boards.IDS)
def test_panels_lie_on_the_grid_without_overlap(path: Path) -> None:
    """24 columns, each place used once, no row left ragged."""
    taken: set[tuple[int, int]] = set()
    for panel in boards.board(path)["panels"]:
        at = panel["gridPos"]
        cells = set(itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])))
        assert at["x"] + at["w"] <= 24, panel["title"]
        assert not taken & cells, panel["title"]
        taken |= cells
    assert len(taken) == 24 * (1 + max(y for _, y in taken))


@pytest.mark.parametrize("path", boards.PATHS, ids=boards.IDS)
def test_every_query_is_promql_over_metrics_that_exist(path: Path) -> None:
    """Parsed by Prometheus' grammar; a metric that nothing exports would be an empty panel for ever."""
    for query in boards.queries(path):
        promql_parser.parse(plain(query))
        assert metrics_of(query) <= METRICS | RECORDED, query


def test_every_metric_of_the_list_is_asked_for() -> None:
    """The list above excuses nothing that is not there."""
    asked = {name for path in boards.PATHS for query in boards.queries(path) for name in metrics_of(query)}
    assert asked >= OTHERS


def ranges(query: str) -> list[tuple[str, str]]:
    """(function, range) of each range selector."""
    return re.findall(r"(\w+)\([^()\[\]]*\[([^\]]*)\]", query)


def test_counters_are_rated_over_the_rate_interval() -> None:
    """It spans at least four scrapes at any zoom; what takes another range is excused, and no excuse is idle."""
    used = set()
    for path, panel in boards.panels():
        for expr in expressions(panel):
            for function, over in ranges(expr):
                assert function in {"rate", "increase"}
                if over != "$__rate_interval":
                    used.add((boards.name(path), panel["id"]))
    assert used == NOT_THE_RATE_INTERVAL.keys()


@pytest.mark.parametrize(("path", "panel"), ALL)
def test_counters_are_rated_before_they_are_summed_and_gauges_never(path: Path, panel: Json) -> None:
    """A counter alone says since when a process runs; the sum of counters falls when one restarts."""
    for expr in expressions(panel):
        counters = re.findall(r"\b\w+_(?:total|bucket)\b|\bphusong_\w+_seconds_(?:count|sum)\b", expr)
        rated = re.findall(r"(?:rate|increase)\((\w+)", expr)
        assert sorted(counters) == sorted(rated), expr
        assert not re.search(r"(?:rate|increase)\((?:sum|max|min|avg)", expr)


def test_replicas_are_folded_before_anything_is_joined_or_summed() -> None:
    """Every series about rows stands in a max: a second feed shows the same once more. What adds up is excused, and no excuse is idle."""
    used = set()
    for path in boards.PATHS:
        for query in boards.queries(path):
            bare = re.sub(r"label_replace\(", "(", query)
            for found in re.finditer(r"(?:[a-z]+:)?(?:coverage|phusong)_\w+(?::\w+)?", bare):
                before = bare[: found.start()]
                if found[0].endswith(("_total", "_bucket", "_seconds_count", "_seconds_sum")) or (":" in found[0] and before.endswith('"')):
                    continue
                if re.search(r"max(?: by \([^)]*\) )?\(+$", before) or before.endswith(("on (indicator) ", "on (province) ")):
                    continue  # folded, or only asked whether it is there (`and on`)
                used.add(found[0])
    assert used == NOT_FOLDED.keys()


@pytest.mark.parametrize("path", boards.PATHS, ids=boards.IDS)
def test_shares_are_never_averaged_or_added(path: Path) -> None:
    """A ratio of ratios has no denominator: sums of numerators and of denominators have."""
    for query in boards.queries(path):
        assert not re.search(r"(?:avg|sum)[^()]*\((?:max[^()]*\()?[^()]*coverage_\w*ratio\b", re.sub(r" by \([^)]*\)", "", query)), query


@pytest.mark.parametrize("path", boards.PATHS, ids=boards.IDS)
def test_every_join_says_on_what(path: Path) -> None:
    """Vectors with other labels match nothing, silently; a code of a commune is never joined without its list and province."""
    for query in boards.queries(path):
        for found in re.finditer(r"group_(?:left|right)", query):
            assert re.search(r" on \([^)]*\) $", query[: found.start()]), query
        for labels in re.findall(r" on \(([^)]*)\)", query):
            if "commune" in labels:
                assert {"province", "vintage", "commune"} <= set(labels.split(", ")), query


@pytest.mark.parametrize("path", boards.PATHS, ids=boards.IDS)
def test_variables_reload_with_the_time_and_are_chosen_by_name(path: Path) -> None:
    """A province or indicator that comes or goes does so in the list, too."""
    for variable in boards.variables(path):
        assert variable["refresh"] == 2
        assert variable["label"]
        assert variable["name"] in {"province", "indicator"}
        assert "?<value>" in variable["regex"]
        assert "?<text>" in variable["regex"]


@pytest.mark.parametrize(("path", "panel"), ALL)
def test_only_variables_of_the_dashboard_are_asked_for(path: Path, panel: Json) -> None:
    """One that is not there stays as it is written, and matches nothing. One that may be every indicator is a pattern."""
    there = {variable["name"]: variable.get("includeAll", False) for variable in boards.variables(path)}
    for expr in expressions(panel):
        for name in re.findall(r"\$([a-z]\w*)", expr):
            assert name in there, expr
        for name, every in there.items():
            found = set(re.findall(rf'{name}(=~?)"\${name}"', expr))
            assert found <= {"=~" if every else "="}, expr


@pytest.mark.parametrize(("path", "panel"), ALL)
def test_an_override_names_something_that_is_there(path: Path, panel: Json) -> None:
    """A colour or unit for a column that was renamed is lost without a word."""
    legends = {target.get("legendFormat", "") for target in panel["targets"]}
    there = legends | {value for _, name, value in boards.overrides(panel) if name == "displayName"}
    if any(one["id"] == "organize" for one in panel.get("transformations", ())):
        there |= set(boards.organized(panel)["renameByName"].values())
    by_label = any("{{" in legend for legend in legends)
    for name, _, _ in boards.overrides(panel):
        assert name in there or (by_label and re.fullmatch(r"[a-z_]+", name)), name
    for one in panel["options"].get("sortBy", ()):
        assert one["displayName"] in there


def test_the_history_shows_the_band_the_target_and_where_the_list_changes() -> None:
    """Low to high filled, the target dashed, an annotation in milliseconds for each list of communes."""
    ((path, panel),) = ((path, panel) for path, panel in boards.panels() if path.stem == Board.INDICATOR and panel["id"] == 110)
    properties: dict[str, dict[str, Any]] = {}
    for name, key, value in boards.overrides(panel):
        properties.setdefault(name, {})[key] = value
    assert properties["Cao nhất"]["custom.fillBelowTo"] == "Thấp nhất"
    assert properties["Mức phải đạt"]["custom.lineStyle"]["fill"] == "dash"
    (annotation,) = boards.marks(path)
    assert annotation["useValueForTime"] is True
    assert annotation["expr"].startswith("1000 * ")


def test_the_map_fetches_nothing() -> None:
    """Its base layer is one pixel within the file: no foreign tiles, whose borders are not ours either."""
    maps = [panel for _, panel in boards.panels() if panel["type"] == "geomap"]
    assert len(maps) == 2
    for panel in maps:
        assert panel["options"]["basemap"]["type"] == "xyz"
        assert panel["options"]["basemap"]["config"]["url"].startswith("data:image/gif;base64,")
        (layer,) = panel["options"]["layers"]
        assert layer["type"] == "markers"
        assert layer["location"] == {"mode": "coords", "latitude": "latitude", "longitude": "longitude"}
