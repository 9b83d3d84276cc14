"""An acknowledgement on a real Kafka: on the command line or through the gateway, and what everybody who watches then sees."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from ops.local_kafka import LocalKafka
from phusong.acknowledgements import Acknowledged, Acknowledgement, encode_acknowledged
from phusong.rows import Verdict
from phusong.topics import PARTITIONS, TOPICS
from tests.feed_clusters import ROW, Cluster
from tests.gateways import Door, problem
from tests.kafka import wait_until
from tests.workers import ROOT
from tests.worlds import instant

pytestmark = pytest.mark.kafka

INDICATOR = "postal.staffed_point"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    """A broker of this module's own: the topics' names are fixed, and here they are deleted and created again."""
    with LocalKafka(tmp_path_factory.mktemp("kafka")) as running:
        yield running


@pytest.fixture
def cluster(broker: LocalKafka) -> Cluster:
    """One province row whose verdict is `missed`, with its history."""
    made = Cluster(broker, partitions=PARTITIONS)  # as many as a producer insists on
    made.create(*(topic.name for topic in TOPICS))
    made.publish((msgspec.structs.replace(ROW, verdict=Verdict.MISSED), made.version(1)))
    made.decide(Verdict.UNCERTAIN, Verdict.MISSED)
    return made


def row_of(client: httpx.Client) -> dict[str, Any] | None:
    """The row, once its verdict is known."""
    if client.get("/readyz").status_code != 200:
        return None
    rows: list[dict[str, Any]] = client.get("/api/v1/provinces", params={"indicator": INDICATOR}).json()
    return rows[0] if rows and rows[0]["verdict_id"] else None


def ack(cluster: Cluster, client: httpx.Client, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ops.cli", "ack", *arguments, "--url", str(client.base_url)]
    env = {"PATH": "", "PHUSONG_BOOTSTRAP_SERVERS": cluster.servers}
    return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False)


def owner_of(client: httpx.Client) -> str | None:
    row = row_of(client)
    return None if row is None or row["acknowledged"] is None else str(row["acknowledged"]["owner"])


def test_a_verdict_that_is_taken_on_shows_who_has_it_until_it_is_given_back(cluster: Cluster) -> None:
    with cluster.feed() as client:
        before = wait_until(lambda: row_of(client), 20, "the feed shows the verdict")
        assert before is not None
        assert before["acknowledged"] is None
        tag = client.get("/api/v1/provinces").headers["etag"]
        done = ack(cluster, client, INDICATOR, "--owner", "Phòng BCVT", "--reason", "đã gọi Bưu điện huyện Na Hang")
        assert (done.returncode, done.stderr) == (0, "")
        assert "Phòng BCVT nhận xử lý" in done.stdout
        wait_until(lambda: owner_of(client) == "Phòng BCVT", 10, "the feed shows who has it")
        again = client.get("/api/v1/provinces", headers={"if-none-match": tag})
        assert again.status_code == 200, "what is known has changed, although the row has not"
        (listed,) = client.get("/api/v1/acknowledgements").json()
        assert (listed["verdict"], listed["owner"]) == (before["verdict_id"], "Phòng BCVT")
        assert listed["reason"] == "đã gọi Bưu điện huyện Na Hang"

        assert ack(cluster, client, INDICATOR, "--release", "--reason", "không thuộc phòng").returncode == 0
        wait_until(lambda: owner_of(client) is None, 10, "nobody has it any more")
        (listed,) = client.get("/api/v1/acknowledgements").json()
        assert (listed["owner"], listed["reason"]) == (None, "không thuộc phòng")


def test_whoever_follows_the_events_is_told_who_has_a_verdict(cluster: Cluster) -> None:
    with cluster.feed() as client:
        wait_until(lambda: row_of(client), 20, "the feed shows the verdict")
        with client.stream("GET", "/api/v1/events", timeout=20) as stream:
            lines = stream.iter_lines()
            next(line for line in lines if line.startswith("event: heartbeat"))
            assert ack(cluster, client, INDICATOR, "--owner", "Phòng BCVT", "--reason", "đang xem").returncode == 0
            next(line for line in lines if line == "event: province")
            told = msgspec.json.decode(next(lines).removeprefix("data: "))
            assert told["acknowledged"]["owner"] == "Phòng BCVT"


def test_a_new_verdict_of_the_indicator_is_nobodys(cluster: Cluster) -> None:
    with cluster.feed() as client:
        wait_until(lambda: row_of(client), 20, "the feed shows the verdict")
        assert ack(cluster, client, INDICATOR, "--owner", "Phòng BCVT", "--reason", "đang xem").returncode == 0
        wait_until(lambda: owner_of(client), 10, "the feed shows who has it")
        cluster.publish((msgspec.structs.replace(ROW, verdict=Verdict.MET), cluster.version(2)))
        cluster.decide(Verdict.UNCERTAIN, Verdict.MISSED, Verdict.MET)
        wait_until(lambda: (row_of(client) or {}).get("verdict") == "met", 10, "the verdict is met")
        assert owner_of(client) is None


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("postal.nothing", "--owner", "A", "--reason", "b"), "no such indicator"),
        ((INDICATOR, "--reason", "b"), "--owner NAME takes the verdict on"),
        ((INDICATOR, "--owner", "A", "--release", "--reason", "b"), "give one of the two"),
        ((INDICATOR, "--owner", "A", "--reason", "b", "--province", "99"), "no verdict is published yet"),
    ],
)
def test_what_cannot_be_taken_on_is_refused_with_the_remedy(cluster: Cluster, arguments: tuple[str, ...], says: str) -> None:
    with cluster.feed() as client:
        wait_until(lambda: row_of(client), 20, "the feed shows the verdict")
        done = ack(cluster, client, *arguments)
        assert done.returncode == 2
        assert says in done.stderr
        assert client.get("/api/v1/acknowledgements").json() == []


def test_through_the_gateway_with_a_key_it_is_shown_too_and_only_for_the_keys_own_source(cluster: Cluster, tmp_path: Path) -> None:
    door = Door(cluster.servers, tmp_path)
    key, powerless = door.key("department", acknowledges=True), door.key("department")
    with cluster.feed() as client, door.open() as served:
        row = wait_until(lambda: row_of(client), 20, "the feed shows the verdict")
        assert row is not None

        def event(source: str, indicator: str = INDICATOR) -> bytes:
            data = Acknowledgement(
                vintage="2020-01-01",
                province="08",
                indicator=indicator,
                verdict=row["verdict_id"],
                owner="Sở TT&TT",
                reason="đã mở phiếu",
            )
            at = instant("2023-07-01T08:00:00+07:00")
            return encode_acknowledged(Acknowledged(specversion="1.0", id="1", source=source, time=at, data=data))

        assert problem(served.post(event("somebody-else"), key))["status"] == 403
        assert "--acknowledges" in problem(served.post(event("department"), powerless))["detail"]
        assert problem(served.post(event("department", "postal.nothing"), key))["reason"] == "unknown_indicator"
        assert served.post(event("department"), key).status_code == 202
        wait_until(lambda: owner_of(client) == "Sở TT&TT", 10, "the feed shows who has it")
