"""A new indicator is a row: from an operator's own copy of seeds/ it goes through the whole system, and no code knows its name."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ops.demo import child
from phusong.rows import Verdict
from phusong.settings import PREFIX, SEEDS, read_rules
from tests.kafka import wait_until
from tests.workers import ROOT, Stage
from tests.worlds import stated

pytestmark = pytest.mark.kafka

NEW = "telecom.public_wifi_villages"
ROWS = {
    "indicators.csv": f"{NEW},Thôn có Wi-Fi công cộng miễn phí,Villages with free public Wi-Fi,villages,latest,quarter,15,0,,"
    "Thôn có ít nhất một điểm Wi-Fi công cộng miễn phí.,Villages with at least one free public Wi-Fi point.,assumed,a test",
    "obligations.csv": f"operator-a,,{NEW},08,,,,5,2023-01-01,,assumed,a test",
    "targets.csv": f"{NEW},province,08,0.5,assumed,2023-01-01,,,phép thử,a test",
}


def phusong(seeds: Path, *arguments: str) -> str:
    """A command as an operator runs it; one that fails fails the test."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    done = subprocess.run(
        [sys.executable, "-m", "ops.cli", *arguments],
        env=env | {f"{PREFIX}SEEDS": str(seeds), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    """A copy of seeds/ with a fifteenth indicator, somebody who owes it, and a target; recorded and checked."""
    copy = tmp_path / "my-seeds"
    shutil.copytree(SEEDS, copy)
    for name, row in ROWS.items():
        with (copy / name).open("a", encoding="utf-8") as file:
            file.write(row + "\n")
    before = read_rules(SEEDS)
    assert phusong(copy, "config", "record") == f"rules {before.number + 1}\n"
    assert "0 lỗi" in phusong(copy, "register", "check")
    assert len(read_rules(copy).catalogue.indicators) == len(before.catalogue.indicators) + 1
    return copy


@contextmanager
def feed(stage: Stage, seeds: Path, directory: Path) -> Iterator[str]:
    """A feed process on any free port, and its address."""
    address = directory / "address"
    env = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    settings = {"bootstrap_servers": stage.servers, "seeds": seeds, "feed_port": 0}
    settings |= {name: value for name, value in stage.settings.items() if name.startswith("clock")}
    env |= {PREFIX + name.upper(): str(value) for name, value in settings.items()} | {"PYTHONPATH": str(ROOT)}
    log = directory / "feed.log"
    with child(["feed", "--address-file", str(address)], env, log) as process:

        def listening() -> bool:
            assert process.poll() is None, log.read_text()
            return address.exists()

        wait_until(listening, 40, "the feed listens")
        yield address.read_text()


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        body: bytes = answer.read()
        return body


def test_a_fifteenth_indicator_needs_a_row_and_no_code(stage: Stage, seeds: Path, tmp_path: Path) -> None:
    stage.rules, stage.seeds = read_rules(seeds), seeds
    units = [unit for unit in stage.rules.register.of("2020-01-01", "08") if unit.province == "08"]
    villages = {
        unit.code: count.value for unit in units for base, count in stage.rules.register.counts[unit.id].items() if base == "villages"
    }
    stage.start_ready()
    with feed(stage, seeds, tmp_path) as url:

        def row() -> dict[str, Any] | None:
            shown = json.loads(get(f"{url}/api/v1/provinces?indicator={NEW}&province=08"))
            return shown[0] if shown else None

        unreported = wait_until(row, 60, "the province has a row before anybody has reported") or {}
        assert (unreported["units"]["unknown"], unreported["low"], unreported["high"], unreported["verdict"]) == (138, 0, 1, "uncertain")

        # all villages of every commune but one, of which one village is left out
        *full, last = sorted(villages)
        events = [stated(code, NEW, villages[code], villages[code], source="operator-a") for code in full]
        events.append(stated(last, NEW, villages[last] - 1, villages[last], source="operator-a", uncovered=("Bản Bung",)))
        assert stage.send(events) == 138

        def reported() -> dict[str, Any] | None:
            found = row()
            return found if found is not None and found["units"]["fresh"] == 138 else None

        found = wait_until(reported, 60, "the API shows every report") or {}
        total = sum(villages.values())
        assert (found["covered"], found["expected"], found["verdict"], found["target"]) == (total - 1, total, "met", 0.5)
        assert found["ratio"] == found["low"] == found["high"] == (total - 1) / total
        assert found["indicator_name"] == "Thôn có Wi-Fi công cộng miễn phí"
        (gap,) = json.loads(get(f"{url}/api/v1/gaps?indicator={NEW}&province=08"))
        assert (gap["commune"], gap["uncovered"]) == (last, ["Bản Bung"])

        samples = [line for line in get(f"{url}/metrics").decode().splitlines() if f'indicator="{NEW}"' in line and 'province="08"' in line]
        (ratio,) = [line for line in samples if line.startswith("coverage_ratio{")]
        assert float(ratio.rpartition(" ")[2]) == pytest.approx((total - 1) / total)
        assert 'domain="telecom"' in ratio
        (met,) = [line for line in samples if line.startswith("coverage_verdict{") and 'verdict="met"' in line]
        assert float(met.rpartition(" ")[2]) == 1

        said = [record.verdict.data for record in stage.verdicts() if record.name == f"2020-01-01/08/{NEW}"]
        # while the reports come in one by one the target is passed before the last of them
        assert [change.to for change in said] == [Verdict.UNCERTAIN, Verdict.MET]
        assert said[-1].cause.events

        plan = phusong(seeds, "plan", NEW, "--province", "08", "--url", url)
        assert "Đã đạt: 9" in plan
    assert stage.dead_letters() == []
