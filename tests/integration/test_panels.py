"""Every question that a dashboard or an alert asks, asked of a real Prometheus that scrapes the running system after simulated months.

Comes in: a small simulated country, half a year of its reports, and what goes wrong in it. Goes out: each panel, variable, annotation and
alert has an answer, with the labels that its columns and legends are made of, or stands in EMPTY with the reason. Owns a Kafka, the
processes of the system and a Prometheus, all of this module.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dashboards.alerts import ALERTS
from dashboards.names import Board, Panel
from dashboards.recording import recording_rules
from dashboards.scraping import PROMETHEUS
from ops.demo import child
from ops.local_kafka import LocalKafka
from phusong.acknowledgements import Acknowledged, Acknowledgement, encode_acknowledged
from phusong.events import encode
from phusong.rows import Verdict
from phusong.settings import PREFIX
from phusong.topics import ACKNOWLEDGEMENTS, POSTAL
from producers.simulator.scenario import Scenario
from tests import boards, simulated, worlds
from tests.gateways import Door
from tests.kafka import wait_until
from tests.prometheus import serving
from tests.workers import ROOT, Stage, clock
from tests.worlds import instant

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.prometheus,
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs the Debian package prometheus"),
]

PROVINCE, INDICATOR = "01", "postal.staffed_point"
AS_OF = instant("2023-07-20")

EMPTY: Mapping[tuple[str, int, str], str] = {
    (Board.PIPELINE, 57, "B"): "no share was rebuilt while Prometheus looked, so there is no mean time",
    (Board.PIPELINE, 60, "A"): "phusong notify does not run here: it is optional, and the panel says so",
}
"""(dashboard, panel, query) -> why it has no answer here. One that has an answer after all is an error."""


LATER: Mapping[str, str] = {
    "LagKeepsIncreasing": "asks how lag changed over two whole minutes, which may have passed or not",
}
"""Alert -> why it may have a value here, or not yet."""


class Prometheus:
    """A real Prometheus. Everything is asked about `now` (None: the moment of asking) and the `seconds` before it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.now: float | None = None
        self.seconds = 1

    def ask(self, query: str, *, over_time: bool = False) -> list[dict[str, Any]]:
        """The series of a query, at a moment or over the seconds before it."""
        now = datetime.now(UTC).timestamp() if self.now is None else self.now
        about = {"start": now - self.seconds, "end": now, "step": 1} if over_time else {"time": now}
        path = "query_range" if over_time else "query"
        text = re.sub(r"\$__(range|rate_interval)", f"{self.seconds}s", query)
        body = urllib.parse.urlencode({"query": text, **about}).encode()
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}", body, timeout=20) as answer:
            result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
            return result


@contextmanager
def prometheus(directory: Path, targets: Mapping[str, str]) -> Iterator[Prometheus]:
    """The shipped configuration, with addresses instead of names, and seconds instead of a minute."""
    rules = recording_rules()
    for group in rules["groups"]:
        group["interval"] = "1s"
    jobs = [job["job_name"] for job in PROMETHEUS["scrape_configs"]]
    assert targets.keys() <= set(jobs)
    config = {
        **PROMETHEUS,
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "scrape_configs": [{"job_name": job, "static_configs": [{"targets": [targets[job]]}]} for job in jobs if job in targets],
    }
    with serving(directory, config, {"recording.yml": rules}) as url:
        yield Prometheus(url)


def texts() -> Mapping[str, str]:
    """A country of 24 communes in two provinces: half of them with a place, one target that is due later, one that is missed."""
    given = dict(simulated.country_texts(2, 24))
    head, *units = given["units.csv"].splitlines()
    assert head.split(",")[7:9] == ["latitude", "longitude"]
    placed = []
    for number, unit in enumerate(units):
        cells = unit.split(",")
        cells[7:9] = (f"{22 + number / 100:.2f}", f"{105 + number / 100:.2f}") if number % 2 == 0 else ("", "")
        placed.append(",".join(cells))
    given["units.csv"] = "\n".join((head, *placed)) + "\n"
    head, *_ = given["targets.csv"].splitlines()
    targets = [
        f"{INDICATOR},national,,1,assumed,2021-01-01,2024-07-01,,mô phỏng (simulated),simulated",
        "broadcast.loudspeaker,national,,1,assumed,2021-01-01,,,mô phỏng (simulated),simulated",
    ]
    given["targets.csv"] = "\n".join((head, *targets)) + "\n"
    return worlds.recorded(given)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Everything runs: half a year has been told, something was rejected, a verdict was taken on, and Prometheus has seen all of it."""
    directory = tmp_path_factory.mktemp("panels")
    with ExitStack() as stack:
        kafka = stack.enter_context(LocalKafka(directory / "kafka"))
        at = clock(AS_OF)
        stage = Stage(kafka.bootstrap_servers, directory, texts(), **at)
        stack.callback(stage.close)
        worker = stage.start_ready()
        environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)} | {
            PREFIX + name.upper(): str(value)
            for name, value in {"bootstrap_servers": kafka.bootstrap_servers, "seeds": stage.seeds, "feed_port": 0, **at}.items()
        }
        environment["PYTHONPATH"] = str(ROOT)
        address = directory / "feed.url"
        stack.enter_context(child(["feed", "--address-file", str(address)], environment, directory / "feed.log"))
        door = Door(kafka.bootstrap_servers, directory / "door", texts())
        gateway = stack.enter_context(door.process())
        wait_until(address.exists, 30, "the feed listens")
        targets = {"phusong-feed": address.read_text().strip(), "phusong-gateway": gateway.url, "phusong-worker": _metrics_of(worker.log)}
        found = stack.enter_context(prometheus(directory, {job: url.split("/")[2] for job, url in targets.items()}))
        wait_until(lambda: len(found.ask("up == 1")) == 3, 30, "Prometheus has scraped everything once")
        wait_until(lambda: found.ask("coverage_ratio"), 30, "the feed shows its rows")
        began = datetime.now(UTC).timestamp()
        _tell(stage, door, gateway.url)
        wait_until(lambda: found.ask(f'coverage_acknowledged{{province="{PROVINCE}"}}'), 30, "the acknowledgement is shown")
        # the time that is shown begins before anything was told, but after the first scrape
        found.now = datetime.now(UTC).timestamp()
        found.seconds = int(found.now - began)
        yield found


def _metrics_of(log: str) -> str:
    found = re.search(r"worker metrics on (http://\S+)", log)
    assert found is not None
    return found[1]


def _tell(stage: Stage, door: Door, gateway_url: str) -> None:
    """Half a year, an interruption that is past its end, rubbish, one event through the gateway, and somebody who takes a verdict on."""
    sent, _ = simulated.run(Scenario(), stage.rules)
    stage.send(sending.event for sending in sent)
    reporter = "assumed-postal-reporter"
    stage.send([worlds.stated("00002", INDICATOR, 0, 1, "2023-07-01", source=reporter, until=instant("2023-07-10"), event_id="mast")])
    # four communes that get their postal point one after the other, a month each: a pace
    for month, end in enumerate(("2023-01-31", "2023-02-28", "2023-03-31", "2023-04-30"), 1):
        points = ((code, int(code < month)) for code in range(4))
        stage.send(
            worlds.stated(f"0000{code + 3}", INDICATOR, there, 1, f"{end}T23:59:59", source=reporter, event_id=f"{end}-{code}")
            for code, there in points
        )
    with stage.sending() as send:
        send(POSTAL, b"rubbish", PROVINCE.encode())
    key = door.key(reporter)
    late = worlds.stated("00001", INDICATOR, 1, 1, "2023-07-02", source=reporter, event_id="late")
    request = urllib.request.Request(
        f"{gateway_url}/v1/events",
        encode(late),
        {"content-type": "application/cloudevents+json", "authorization": f"Bearer {key}"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 202

    stage.wait_for_progress()

    def verdict() -> str | None:
        changes = [one.verdict for one in stage.verdicts() if one.name == f"2020-01-01/{PROVINCE}/{INDICATOR}"]
        return changes[-1].id if changes and changes[-1].data.to is Verdict.NOT_YET else None

    taken = Acknowledgement(
        vintage="2020-01-01",
        province=PROVINCE,
        indicator=INDICATOR,
        verdict=wait_until(verdict, 40, "the verdict is not_yet") or "",
        owner="Phòng BCVT",
        reason="diễn tập",
    )
    event = Acknowledged(specversion="1.0", id="a1", source="tests", time=datetime.now(UTC), data=taken)
    with stage.sending() as send:
        send(ACKNOWLEDGEMENTS, encode_acknowledged(event), taken.key.encode())


def panels() -> list[Any]:
    """Every panel of every dashboard in every language."""
    return [pytest.param(path, panel, id=f"{path.stem}-{panel['id']}") for path, panel in boards.panels()]


def asked(query: str, **variables: str) -> str:
    """With a province and an indicator chosen."""
    return boards.substituted(query, **({"province": PROVINCE, "indicator": INDICATOR} | variables))


def answers(server: Prometheus, path: Path, panel: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """refId -> series. Where every indicator can be chosen, every one is."""
    every = {"indicator": ".+"} if boards.name(path) == Board.GAPS else {}
    return {one["refId"]: server.ask(asked(one["expr"], **every), over_time=one.get("range", False)) for one in panel["targets"]}


@pytest.mark.parametrize(("path", "panel"), panels())
def test_every_panel_has_an_answer_or_a_reason_for_none(server: Prometheus, path: Path, panel: dict[str, Any]) -> None:
    uid = boards.name(path)
    found = {ref: bool(series) for ref, series in answers(server, path, panel).items()}
    assert found == {ref: (uid, panel["id"], ref) not in EMPTY for ref in found}, panel["title"]


@pytest.mark.parametrize(("path", "panel"), panels())
def test_legends_and_columns_find_their_labels(server: Prometheus, path: Path, panel: dict[str, Any]) -> None:
    """A legend {{x}} needs the label x on each series; a table has a column for each label, and no label without a column."""
    found = answers(server, path, panel)
    for target in panel["targets"]:
        wanted = set(re.findall(r"{{(\w+)}}", target.get("legendFormat", "")))
        assert all(wanted <= series["metric"].keys() for series in found[target["refId"]]), target["expr"]
        if panel["type"] in {"stat", "bargauge", "timeseries", "state-timeline"} and not wanted:
            assert len(found[target["refId"]]) <= 1, "several series under one name"
    if panel["type"] == "table":
        labels = {label for series in itertools.chain(*found.values()) for label in series["metric"]}
        assert labels == boards.columns(panel)


@pytest.mark.parametrize(("path", "panel"), [one for one in panels() if one.values[1]["type"] == "table"])
def test_the_queries_of_a_table_merge_into_one_row_for_each_thing(server: Prometheus, path: Path, panel: dict[str, Any]) -> None:
    """Grafana merges rows by the labels that all queries have: these must tell rows apart, and no query may add a row without a name."""
    found = {ref: series for ref, series in answers(server, path, panel).items() if series}
    shared = set.intersection(*({*series[0]["metric"]} for series in found.values()))
    keys = {ref: [tuple(series["metric"].get(label, "") for label in sorted(shared)) for series in one] for ref, one in found.items()}
    for ref, rows in keys.items():
        assert len(set(rows)) == len(rows), f"query {ref}: rows that {shared} does not tell apart"
    every = set(itertools.chain(*keys.values()))
    for name in ("name", "indicator_name", "reporter_name"):
        naming = [keys[ref] for ref, series in found.items() if name in series[0]["metric"]]
        assert not naming or every == set(itertools.chain(*naming)), f"a row without {name}"


@pytest.mark.parametrize("path", boards.PATHS, ids=boards.IDS)
def test_variables_offer_what_is_there_by_name(server: Prometheus, path: Path) -> None:
    """Each choice has a value and a name, read from the answer as Grafana reads it."""
    names = {
        "province": {"01": "Tỉnh mô phỏng 01", "02": "Tỉnh mô phỏng 02"},
        "indicator": {
            INDICATOR: "Communes with a staffed postal point"
            if path.stem.endswith("-en")
            else "Xã có điểm phục vụ bưu chính có người phục vụ"
        },
    }
    for variable in boards.variables(path):
        lines = []
        for series in server.ask(asked(boards.asked_by(variable))):
            labels = ",".join(f'{label}="{value}"' for label, value in series["metric"].items())
            lines.append(f"{{{labels}}} {series['value'][1]} {series['value'][0] * 1000}")
        regex = re.sub(r"\(\?<(\w+)>", r"(?P<\1>", variable["regex"].strip("/"))
        matches = [re.search(regex, line) for line in lines]
        assert all(matches), lines
        offered = {match["value"]: match["text"] for match in matches if match}
        assert names[variable["name"]].items() <= offered.items()


def test_annotations_are_moments_in_milliseconds(server: Prometheus) -> None:
    """The list of communes came into force on 1 January 2020 in Vietnam."""
    found = [one for path in boards.PATHS for one in boards.marks(path)]
    assert len(found) == 2
    for annotation in found:
        (series,) = server.ask(annotation["expr"])
        assert series["metric"] == {"vintage": "2020-01-01"}
        assert float(series["value"][1]) == 1000 * instant("2020-01-01").timestamp()


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_every_alert_has_a_value_while_there_is_data(server: Prometheus, alert: Any) -> None:
    """0 where all is well, never nothing: Grafana takes that for «no data»."""
    assert alert.name in LATER or server.ask(alert.expr)
    for expr in alert.figures.values():
        server.ask(expr)  # refused by Prometheus, it fails; whether it has a value depends on what is wrong


def panel_of(board: Board, number: int) -> tuple[Path, dict[str, Any]]:
    """A panel in Vietnamese."""
    ((path, panel),) = ((path, panel) for path, panel in boards.panels() if path.stem == board and panel["id"] == number)
    return path, panel


def value(series: Sequence[dict[str, Any]], **labels: str) -> float:
    """The one value with these labels."""
    (found,) = (one for one in series if labels.items() <= one["metric"].items())
    return float(found["value"][1])


def test_districts_add_up_to_the_province(server: Prometheus) -> None:
    """Sums of weight × share and of weight, so that the table's total is the province's own ratio."""
    _, panel = panel_of(Board.INDICATOR, 112)
    for indicator in (INDICATOR, "telecom.mobile_4g_population"):
        series = {one["refId"]: server.ask(asked(one["expr"], indicator=indicator)) for one in panel["targets"]}
        covered, expected = (sum(float(one["value"][1]) for one in series[ref]) for ref in "BC")
        (ratio,) = server.ask(f'coverage_ratio{{province="{PROVINCE}",indicator="{indicator}"}}')
        assert covered / expected == pytest.approx(float(ratio["value"][1]))


def test_an_interruption_past_its_end_is_told_apart_from_one_under_way(server: Prometheus) -> None:
    """The alert on it leads to this panel."""
    path, panel = panel_of(Board.GAPS, Panel.INTERRUPTIONS)
    assert value(answers(server, path, panel)["A"], indicator=INDICATOR) == 1
