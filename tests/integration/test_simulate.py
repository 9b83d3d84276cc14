"""`phusong simulate` into a real Kafka: every event is there once and in order, wrong codes reach the dead letters, and rows follow."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ops import simulation as command
from ops import topics
from ops.local_kafka import LocalKafka
from ops.simulation import Asked, prepare, send
from phusong.events import Reason, encode
from phusong.rows import ProvinceRow
from phusong.settings import PREFIX, read_settings
from phusong.topics import DEAD_LETTERS, PROVINCES, SOURCES
from producers.publisher import Publisher, PublishError
from producers.simulator.scenario import DuplicateStorm, Habits, Incident, ReporterOutage, Scenario, WrongCodes
from producers.simulator.simulation import Sending, Simulation
from producers.simulator.truth import read_truth
from tests.kafka import wait_until
from tests.simulated import NOW, country, country_texts
from tests.workers import ROOT, Log, Stage, by_version, clock
from tests.worlds import instant

pytestmark = pytest.mark.kafka

START, END = instant("2023-01-01"), instant("2023-06-01")
APRIL, JUNE = date(2023, 4, 1), date(2023, 6, 1)
INCIDENTS: tuple[Incident, ...] = (
    WrongCodes(name="bad sheet", reporter="operator-a", communes=("00001",), start=APRIL, end=JUNE),
    DuplicateStorm(name="storm", reporter="operator-b", communes=("00002",), start=APRIL, end=JUNE, copies=30),
    ReporterOutage(name="silence", reporter="operator-c", start=APRIL, end=JUNE),
)


def simulation() -> Simulation:
    return Simulation(country(), Scenario(habits=Habits(late=0.2, duplicated=0.2), incident=INCIDENTS), 7, START, END)


def test_everything_is_sent_once_in_order_and_what_an_incident_spoilt_is_dead_lettered(stage: Stage, tmp_path: Path) -> None:
    stage.use(country_texts())
    settings = read_settings(bootstrap_servers=stage.servers, seeds=stage.seeds)
    expected = [output for output in simulation() if isinstance(output, Sending)]
    truth_path = tmp_path / "truth.jsonl"
    with truth_path.open("wb") as truth:
        carried = send(simulation(), settings, truth, None, "en")
    assert (carried.events.total(), carried.rejected) == (len(expected), 0)
    log = Log(stage.topics, country())
    for domain, topic in SOURCES.items():
        for home in country().register.homes:
            mine = [record.value for record in log.records if record.topic == topic.name and record.key == home.encode()]
            wanted = [
                encode(one.event)
                for one in expected
                if one.event.data.indicator.startswith(domain)
                and (one.key or country().register.units["2020-01-01", one.event.data.commune.zfill(5)].province) == home
            ]
            assert mine == wanted
    wrong = sum(one.key is not None for one in expected)
    assert carried.wrong == wrong > 0
    assert Counter(log.rejects.values()) == {Reason.UNKNOWN_COMMUNE: wrong}
    with truth_path.open("rb") as truth:
        told = {one.name: one.events for one in read_truth(truth).incidents}
    assert told["bad sheet"] == wrong
    assert told["storm"] % 30 == 0 < told["storm"]


def test_a_worker_shows_what_the_core_makes_of_it_and_the_dead_letters(stage: Stage) -> None:
    stage.use(country_texts())
    settings = read_settings(bootstrap_servers=stage.servers, seeds=stage.seeds)
    carried = send(simulation(), settings, None, None, "en")
    as_of = END - timedelta(seconds=1)
    worker = stage.start_ready(**clock(as_of))
    wait_until(lambda: len(stage.topics.read(DEAD_LETTERS.name)) >= carried.wrong, 30, "the wrong codes are in the dead letters")
    letters = stage.topics.read(DEAD_LETTERS.name)
    assert {letter.header("phusong-reason") for letter in letters} == {Reason.UNKNOWN_COMMUNE}
    answer = {key: row for key, row in Log(stage.topics, country()).rows(as_of).items() if isinstance(row, ProvinceRow)}

    def shown() -> bool:
        rows = {key: record.row for key, record in by_version(stage.topics.read(PROVINCES.name)).items() if record.row is not None}
        ratios = {key: (row.ratio, row.low, row.high) for key, row in rows.items() if isinstance(row, ProvinceRow)}
        return ratios == {key: (row.ratio, row.low, row.high) for key, row in answer.items()}

    wait_until(shown, 30, "every province row is the core's answer")
    assert worker.end() == 0


def test_the_command_sends_at_the_rate_that_was_asked_for_and_ctrl_c_stops_it(stage: Stage) -> None:
    stage.use(country_texts())
    environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    process = subprocess.Popen(
        [sys.executable, "-m", "ops.cli", "simulate", "--from", "2023-01-01", "--months", "12", "--rate", "20", "--lang", "en"],
        cwd=ROOT,
        env={**environment, "PHUSONG_BOOTSTRAP_SERVERS": stage.servers, "PHUSONG_SEEDS": str(stage.seeds)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        wait_until(lambda: stage.topics.ends(*(topic.name for topic in SOURCES.values())), 10, "the topics answer")
        wait_until(lambda: len(Log(stage.topics, country()).records) >= 10, 30, "the first events are in Kafka")
        process.send_signal(signal.SIGINT)
        written, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert written == b""
    found = [line for line in said.decode().splitlines() if line.startswith("stopped after")]
    assert len(found) == 1
    # what was made is there: nothing was under way any more, or it was waited for
    made = int(found[0].split()[2].replace(",", ""))
    assert made - 1 <= len(Log(stage.topics, country()).records) <= made


def test_without_a_broker_nothing_is_made_and_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producers.publisher.CONNECT_SECONDS_MAX", 0.5)
    settings = read_settings(bootstrap_servers="127.0.0.1:1")
    with pytest.raises(PublishError, match="Kafka does not answer"):
        send(simulation(), settings, None, None, "en")


def test_a_broker_that_goes_away_for_good_ends_the_run_with_what_was_lost(own_kafka: LocalKafka, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    settings = read_settings(bootstrap_servers=own_kafka.bootstrap_servers)
    assert topics.apply(settings, said.append) == 0, said
    monkeypatch.setattr("producers.publisher.Publisher", partial(Publisher, delivery_seconds_max=2.0))
    run = prepare(country(), Asked(7, date(2023, 1, 1), 12, None, None, "en"), NOW)
    real = command._carry

    def carry_and_stop(*arguments: Any) -> Any:
        own_kafka.stop()
        return real(*arguments)

    monkeypatch.setattr(command, "_carry", carry_and_stop)
    with pytest.raises(PublishError, match="not acknowledged"):
        send(run, settings, None, None, "en")
