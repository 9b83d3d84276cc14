"""The feed on a real Kafka: what it shows of what the topics hold, when it is ready, and how it ends."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import msgspec
import pytest
from confluent_kafka import Producer

from feed.server import FeedServer
from feed.snapshot import LeftOut, Reader
from ops.local_kafka import LocalKafka
from phusong.rows import VERSION_HEADER, ProvinceRow, Row, State, encode
from phusong.settings import read_settings
from phusong.topics import COMMUNES, POSTAL, PROVINCES, TOPICS
from tests.feed_clusters import COMMUNE_ROWS, GAP, ROW, RULES, Cluster
from tests.kafka import wait_until

pytestmark = pytest.mark.kafka

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    """A broker of this module's own: the topics' names are fixed, and here they are deleted and created again."""
    with LocalKafka(tmp_path_factory.mktemp("kafka")) as running:
        yield running


@pytest.fixture
def cluster(broker: LocalKafka) -> Cluster:
    """Every topic, empty."""
    made = Cluster(broker)
    made.create(*(topic.name for topic in TOPICS))
    return made


def covering(covered: int) -> ProvinceRow:
    return msgspec.structs.replace(ROW, covered=covered)


def shown(reader: Reader) -> list[float]:
    return [held.row.covered for held in reader.snapshot.provinces()]


def is_ready(reader: Reader) -> Callable[[], bool]:
    return lambda: reader.ready


def test_it_is_ready_only_with_everything_that_was_there_at_its_start(cluster: Cluster) -> None:
    many = [msgspec.structs.replace(GAP, commune=f"{number:05}") for number in range(20_000)]
    cluster.publish(*((row, cluster.version(1)) for row in many))
    with cluster.reader() as reader:
        deadline = datetime.now(UTC) + timedelta(seconds=30)
        while not reader.ready:  # without a pause: the first moment counts
            assert datetime.now(UTC) < deadline
        assert len(reader.snapshot.communes()) == len(many)


def test_it_is_ready_on_empty_topics_and_behind_the_marker_of_a_transaction(cluster: Cluster) -> None:
    with cluster.reader() as reader:
        wait_until(is_ready(reader), 15, "ready on empty topics")
    cluster.publish((covering(137), cluster.version(1)), transaction="feed-test")
    with cluster.reader() as reader:
        wait_until(lambda: shown(reader) == [137], 15, "the marker is written, a moment after the commit was answered")
    with cluster.reader() as reader:
        wait_until(is_ready(reader), 15, "ready though the last offset holds no record")
        assert shown(reader) == [137]


def test_the_greatest_version_is_shown_whatever_was_written_last(cluster: Cluster) -> None:
    cluster.publish(
        (covering(1), cluster.version(5, rules=1)),
        (covering(137), cluster.version(7, rules=2)),
        (covering(2), cluster.version(6, rules=2)),
        (covering(3), cluster.version(9, rules=1)),
    )
    with cluster.reader() as reader:
        wait_until(is_ready(reader), 15, "ready")
        assert shown(reader) == [137]
        cluster.publish((covering(4), cluster.version(6, rules=2)), (GAP, cluster.version(1)))
        wait_until(reader.snapshot.communes, 10, "the next row is read")
        assert shown(reader) == [137]
        assert reader.snapshot.left_out == {LeftOut.OLDER: 3}
        cluster.publish((covering(138), cluster.version(8, rules=2)))
        wait_until(lambda: shown(reader) == [138], 10, "a greater version replaces it")


def test_a_tombstone_removes_a_row_and_an_older_one_does_not_bring_it_back(cluster: Cluster) -> None:
    cluster.publish((covering(137), cluster.version(1)))
    with cluster.reader() as reader:
        wait_until(lambda: shown(reader) == [137], 15, "the row is shown")
        cluster.publish((ROW, cluster.version(3)), buries=True)
        wait_until(lambda: shown(reader) == [], 10, "the tombstone removes it")
        cluster.publish((covering(136), cluster.version(2)), (GAP, cluster.version(1)))
        wait_until(reader.snapshot.communes, 10, "the next row is read")
        assert shown(reader) == []
        cluster.publish((covering(138), cluster.version(4)))
        wait_until(lambda: shown(reader) == [138], 10, "a greater one does")


def test_a_row_of_a_clock_ahead_of_the_brokers_is_ignored(cluster: Cluster) -> None:
    now = datetime.now(UTC)
    cluster.publish(
        (covering(1), cluster.version(1, as_of=now)),
        (covering(2), cluster.version(2, as_of=now + timedelta(minutes=3))),
    )
    with cluster.reader() as reader:
        wait_until(is_ready(reader), 15, "ready")
        assert shown(reader) == [1]
        assert reader.snapshot.left_out == {LeftOut.CLOCK_AHEAD: 1}


def test_publishing_the_same_row_again_renews_when_it_was_published(cluster: Cluster) -> None:
    cluster.publish((covering(137), cluster.version(1)))
    with cluster.reader() as reader:
        wait_until(lambda: shown(reader) == [137], 15, "the row is shown")
        (first,) = reader.snapshot.provinces()
        assert abs(first.published - datetime.now(UTC)) < timedelta(seconds=60), "the broker's append time"
        cluster.publish((covering(137), cluster.version(1)))
        wait_until(lambda: reader.snapshot.provinces()[0].published > first.published, 10, "it is renewed")
        assert not reader.snapshot.left_out


def test_rows_of_another_log_are_left_out_and_of_a_recreated_source_they_vanish(cluster: Cluster) -> None:
    old = cluster.log
    cluster.publish((covering(9), cluster.version(99, log="a,b,c")), (covering(1), cluster.version(1)))
    with cluster.reader() as reader:
        wait_until(is_ready(reader), 15, "ready")
        assert shown(reader) == [1]
        assert reader.snapshot.left_out == {LeftOut.OTHER_LOG: 1}

        cluster.create(POSTAL.name)
        assert cluster.log != old
        # at once: before the reader can know of the new log
        cluster.publish((covering(2), cluster.version(1)))
        wait_until(lambda: shown(reader) == [2], 20, "the old row is gone and the new one, though written early, is shown")
        cluster.publish((covering(1), cluster.version(9, log=old)), (GAP, cluster.version(1)))
        wait_until(reader.snapshot.communes, 10, "the next row is read")
        assert shown(reader) == [2]
        assert reader.ready


def test_a_source_that_is_missing_for_a_moment_leaves_the_rows_and_recreated_empties_them(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.publish((covering(1), cluster.version(1)))
    with cluster.reader() as reader:
        wait_until(lambda: shown(reader) == [1], 15, "the row is shown")
        cluster.delete(POSTAL.name)
        wait_until(lambda: "stays served" in caplog.text, 20, "the reader notices")
        assert shown(reader) == [1]
        cluster.create(POSTAL.name)
        wait_until(lambda: shown(reader) == [], 20, "no row of the old log is left")


def test_a_recreated_output_topic_is_read_from_its_start(cluster: Cluster) -> None:
    cluster.publish((covering(1), cluster.version(1)), (covering(2), cluster.version(2)))
    with cluster.reader() as reader:
        wait_until(lambda: shown(reader) == [2], 15, "the row is shown")
        cluster.create(PROVINCES.name)
        cluster.publish((covering(1), cluster.version(1)))
        wait_until(lambda: shown(reader) == [1], 30, "what the new topic holds is shown, and nothing of the old one")


def test_an_unreadable_record_stops_nothing(cluster: Cluster) -> None:
    producer = Producer({"bootstrap.servers": cluster.servers})
    for headers in ([], [(VERSION_HEADER, b"x")], [(VERSION_HEADER, encode(cluster.version(1)))]):
        producer.produce(PROVINCES.name, b"\xff", b"\xff", partition=0, headers=headers)
    assert producer.flush(10) == 0
    cluster.publish((covering(137), cluster.version(1)))
    with cluster.reader() as reader:
        wait_until(is_ready(reader), 15, "ready")
        assert shown(reader) == [137]
        assert reader.snapshot.left_out == {LeftOut.UNREADABLE: 3}


def test_over_http_it_gets_ready_and_names_the_gap(cluster: Cluster) -> None:
    covered = [
        msgspec.structs.replace(row, state=State.FRESH, covered=1, expected=1, ratio=1.0, low=1.0)
        for row in COMMUNE_ROWS.values()
        if row.indicator == GAP.indicator and row.commune != GAP.commune
    ]
    missing = msgspec.structs.replace(GAP, state=State.FRESH, covered=0, expected=1, ratio=0.0, low=0.0, high=0.0)
    rows: list[Row] = [*covered, missing, msgspec.structs.replace(ROW, covered=137, ratio=137 / 138)]
    cluster.publish(*((row, cluster.version(1)) for row in rows))
    with cluster.feed() as client:
        assert client.get("/healthz").status_code == 200
        wait_until(lambda: client.get("/readyz").status_code == 200, 15, "the feed is ready")
        (row,) = client.get("/api/v1/provinces", params={"indicator": ROW.indicator}).json()
        assert (row["covered"], row["expected"]) == (137, 138)
        (gap,) = client.get("/api/v1/gaps", params={"province": "08"}).json()
        assert (gap["commune"], gap["name"]) == ("02275", GAP.name)
        metrics = client.get("/metrics").text
        assert "phusong_feed_ready 1.0\n" in metrics
        assert f'indicator="postal.staffed_point",province="08",vintage="2020-01-01"}} {137 / 138}\n' in metrics


def test_while_kafka_is_away_the_rows_stay_served_and_afterwards_it_goes_on(cluster: Cluster) -> None:
    cluster.publish((covering(137), cluster.version(1)))
    with cluster.feed() as client:
        wait_until(lambda: client.get("/readyz").status_code == 200, 15, "the feed is ready")
        cluster.broker.kill()
        assert client.get("/api/v1/provinces").json()[0]["covered"] == 137
        assert (client.get("/healthz").status_code, client.get("/readyz").status_code) == (200, 200)
        cluster.broker.start()
        cluster.publish((covering(138), cluster.version(2)))
        wait_until(lambda: client.get("/api/v1/provinces").json()[0]["covered"] == 138, 30, "the feed reads on")


# A process, as `phusong feed` is one: the address goes to stdout here so that the test can wait for it.
PROGRAM = """
import logging, sys
from feed.server import run
from phusong.settings import read_rules, read_settings
logging.basicConfig(stream=sys.stderr)
settings = read_settings()
sys.exit(run(settings, read_rules(settings.seeds), lambda url: print(url, flush=True)))
"""


def start(servers: str, port: int = 0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env={**os.environ, "PHUSONG_BOOTSTRAP_SERVERS": servers, "PHUSONG_FEED_PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_within_seconds_with_code_0_and_without_a_word(cluster: Cluster, how: signal.Signals) -> None:
    with start(cluster.servers) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        # both keep their connection open: that must not hold the end up
        with httpx.Client(base_url=url) as client, client.stream("GET", "/api/v1/events") as events:
            next(events.iter_raw())
            wait_until(lambda: client.get("/readyz").status_code == 200, 15, "the feed is ready")
            process.send_signal(how)
            out, errors = process.communicate(timeout=8)
    assert (process.returncode, out, errors) == (0, "", "")


def test_without_topics_it_ends_with_code_3_and_names_the_remedy(cluster: Cluster) -> None:
    cluster.delete(POSTAL.name, COMMUNES.name)
    with start(cluster.servers) as process:
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 3
    assert "coverage.postal.v1, coverage.communes.v1: run `phusong topics apply`" in errors
    assert "Traceback" not in errors


def test_on_a_taken_port_it_ends_with_code_3_and_names_the_remedy(cluster: Cluster) -> None:
    taken = int(cluster.servers.rpartition(":")[2])
    with start(cluster.servers, taken) as process:
        out, errors = process.communicate(timeout=30)
    assert (process.returncode, out) == (3, "")
    assert f"127.0.0.1:{taken} is taken" in errors
    assert "PHUSONG_FEED_PORT" in errors


def test_where_no_kafka_answers_it_ends_with_code_3_and_names_the_setting(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("feed.snapshot.START_SECONDS_MAX", 0.0)
    server = FeedServer(read_settings(bootstrap_servers="127.0.0.1:1", feed_port=0), RULES)
    with caplog.at_level(logging.ERROR, "feed"):
        assert server.serve(lambda _: None) == 3
    assert "Kafka at 127.0.0.1:1 does not answer" in caplog.text
    assert "PHUSONG_BOOTSTRAP_SERVERS" in caplog.text
