"""The main job, as an operator lives it: the facts, the alert, the missing commune's report, the all-clear."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from dashboards.alerts import prometheus_rules
from ops.demo import Running, demo
from phusong.settings import read_settings
from tests.kafka import wait_until
from tests.prometheus import serving

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.prometheus,
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs the Debian package prometheus"),
]

RATIO = 'coverage_ratio{province="08",indicator="postal.staffed_point"}'
ALERTS = 'ALERTS{alertname="CoverageBelowTarget",indicator="postal.staffed_point"}'
STAFFED_POINTS = {"vintage": "2020-01-01", "province": "08", "indicator": "postal.staffed_point"}


class Prometheus:
    """A real Prometheus that scrapes one feed."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, query: str) -> list[dict[str, Any]]:
        """The samples of an instant query."""
        with urllib.request.urlopen(f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': query})}", timeout=5) as answer:
            result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
            return result

    def value(self, query: str) -> float | None:
        """The value of the one sample of an instant query; None where there is none."""
        samples = self.ask(query)
        assert len(samples) <= 1, samples
        return float(samples[0]["value"][1]) if samples else None


@contextmanager
def prometheus(directory: Path, feed_url: str) -> Iterator[Prometheus]:
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [{"job_name": "phusong-feed", "static_configs": [{"targets": [feed_url.removeprefix("http://")]}]}],
    }
    with serving(directory, config, {"rules.yml": prometheus_rules(hold_seconds=1, every_seconds=1)}) as url:
        yield Prometheus(url)


@pytest.fixture(autouse=True)
def own_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """A demo that somebody has running on this machine is not disturbed, nor disturbs."""
    monkeypatch.delenv("PHUSONG_BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.setenv("PHUSONG_FEED_PORT", "0")
    monkeypatch.setenv("PHUSONG_WORKER_METRICS_PORT", "0")


@pytest.fixture
def running(tmp_path: Path, own_ports: None) -> Iterator[Running]:
    """The demo's system, on a Kafka and a port of its own."""
    with demo(read_settings(), tmp_path / "demo", print) as system:
        yield system


def phusong(running: Running, *arguments: str) -> str:
    """What a command prints on stdout."""
    env = {"PATH": "", "PHUSONG_BOOTSTRAP_SERVERS": running.bootstrap_servers}
    command = [sys.executable, "-m", "ops.cli", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout


def fill_in(form: Path, commune: str) -> None:
    """As the commune's clerk does: 1 of 1, beside what was said last."""
    book = openpyxl.load_workbook(form)
    page = book.active
    headings = next([cell.value for cell in row] for row in page.iter_rows() if row[0].value == "Mã xã")
    last = {row[0].value: row[headings.index("Kỳ trước")].value for row in page.iter_rows()}
    assert (last["02263"], last[commune]) == ("1/1 (30/06/2023)", "0/1 (30/06/2023)")
    (row,) = [row for row in page.iter_rows() if row[0].value == commune]
    row[4].value, row[5].value = 1, 1
    book.save(form)


def test_a_missing_commune_fires_the_alert_and_its_report_resolves_it(running: Running, tmp_path: Path) -> None:
    """Facts → Kafka → Faust → feed → Prometheus: 137/138 and firing; the filled-in form of Sơn Phú arrives: 1 and resolved."""
    (gap,) = running.gaps(STAFFED_POINTS)
    assert (gap["commune"], gap["name"], gap["origin"]) == ("02275", "Xã Sơn Phú", "assumed")
    with prometheus(tmp_path, running.url) as server:
        wait_until(lambda: server.value(RATIO) == pytest.approx(137 / 138), 30, "Prometheus has the ratio 137/138")
        assert server.value('coverage_verdict{province="08",indicator="postal.staffed_point",verdict="missed"}') == 1
        wait_until(lambda: server.value(ALERTS + ' and ALERTS{alertstate="firing"}'), 30, "the alert is firing")

        form = tmp_path / "form.xlsx"
        about = ["--source", "assumed-postal-reporter", "--observed-at", "30/06/2023", "--province", "08"]
        phusong(running, "template", "postal.staffed_point", *about, "--out", str(form), "--url", running.url)
        fill_in(form, "02275")
        sent = phusong(running, "send", str(form))
        assert "1 đã nhận, 0 bị từ chối" in sent

        wait_until(lambda: server.value(RATIO) == 1, 15, "Prometheus has the ratio 1")
        wait_until(lambda: not server.ask(ALERTS), 15, "the alert is resolved")
    assert running.gaps(STAFFED_POINTS) == []


def test_the_demo_prints_its_rows_as_json_on_stdout_alone() -> None:
    """`phusong demo --once --json`: a JSON array on stdout, everything else on stderr, exit code 0."""
    done = subprocess.run(
        [sys.executable, "-m", "ops.cli", "demo", "--once", "--json"], capture_output=True, text=True, check=True, timeout=120
    )
    rows = {(row["province"], row["indicator"]): row for row in json.loads(done.stdout)}
    assert Counter(province for province, _ in rows) == {"08": 14, "02": 14}
    assert {sum(row["units"].values()) for (province, _), row in rows.items() if province == "02"} == {193}
    row = rows["08", "postal.staffed_point"]
    assert (row["covered"], row["expected"], row["verdict"], row["origin"]) == (137, 138, "missed", "assumed")
    assert row["ratio"] == row["low"] == row["high"] == pytest.approx(137 / 138)
    assert (row["province"], row["vintage"], row["target"], row["completeness"]) == ("08", "2020-01-01", 1.0, 1.0)
    assert (row["target_scope"], row["target_source"]) == ("national", "NQ 01/NQ-CP 2021")
    villages = rows["08", "telecom.mobile_signal_villages"]
    assert (villages["covered"], villages["expected"], villages["units"]["fresh"]) == (58, 1518, 6), "all three operators are heard"
    assert "Kafka" in done.stderr


def test_the_demo_prints_the_table_with_the_missing_commune() -> None:
    """`phusong demo --once`: the figures as the report has them, the target with scope and source, the gap with its name and origin."""
    done = subprocess.run([sys.executable, "-m", "ops.cli", "demo", "--once"], capture_output=True, text=True, check=True, timeout=120)
    words = " ".join(done.stdout.replace("│", " ").split())
    for expected in (
        "137 / 138",
        "99,3 %",
        "100 % (quốc gia, NQ",
        "01/NQ-CP 2021)",
        "(missed)",
        "58 / 1.518 thôn",
        "có kiến nghị: 1",
        "Hà Giang (02): chưa có báo cáo nào (193 xã)",
        "giả định (assumed)",
        "Xã Sơn Phú (02275)",
    ):
        assert expected in words, done.stdout
