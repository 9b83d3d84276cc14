"""The feed's changes and history over HTTP on a real Kafka: what a client is told, and what becomes of too many, too slow, too silent."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, NamedTuple

import httpx
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

import feed.api
import feed.server
import feed.stream
from ops.local_kafka import LocalKafka
from phusong.rows import State, Verdict
from phusong.topics import POSTAL, TOPICS
from tests.feed_clusters import COMMUNE_ROWS, GAP, ROW, Cluster
from tests.kafka import wait_until

pytestmark = pytest.mark.kafka


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


@contextmanager
def ready(cluster: Cluster) -> Iterator[httpx.Client]:
    with cluster.feed() as client:
        wait_until(lambda: client.get("/readyz").status_code == 200, 30, "the feed is ready")
        yield client


def covering(covered: int) -> Any:
    return msgspec.structs.replace(ROW, covered=covered)


class Told(NamedTuple):
    id: str
    event: str
    data: Any


class Listener:
    """A client of the events, reading in a thread of its own."""

    def __init__(self, url: str, query: str = "", last: str = "") -> None:
        self.told: list[Told] = []
        self.open = threading.Event()
        self.ended = False
        self._stop = False
        self._thread = threading.Thread(target=self._read, args=(url, query, last), daemon=True)
        self._thread.start()
        assert self.open.wait(10)

    def _read(self, url: str, query: str, last: str) -> None:
        headers = {"last-event-id": last} if last else {}
        with httpx.Client(timeout=30) as client, client.stream("GET", f"{url}/api/v1/events?{query}", headers=headers) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.headers["cache-control"] == "no-cache"
            fields: dict[str, str] = {}
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                if line:
                    fields[name] = value
                    continue
                if "data" in fields:
                    self.told.append(Told(fields.get("id", ""), fields["event"], msgspec.json.decode(fields["data"])))
                self.open.set()
                fields = {}
                if self._stop:
                    return
        self.ended = True

    def of(self, event: str) -> list[Told]:
        return [one for one in self.told if one.event == event]

    def stop(self) -> None:
        """Go away at the next heartbeat."""
        self._stop = True
        self._thread.join(30)


def url_of(client: httpx.Client) -> str:
    return str(client.base_url).rstrip("/")


def metric(client: httpx.Client, name: str) -> float:
    return next(
        sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
        if sample.name == name
    )


def test_a_change_in_kafka_is_told_and_one_that_says_the_same_again_is_not(cluster: Cluster) -> None:
    cluster.publish((covering(1), cluster.version(1)), (GAP, cluster.version(1)))
    with ready(cluster) as client:
        everything, postal = Listener(url_of(client)), Listener(url_of(client), f"indicator={ROW.indicator}&province=02")
        cluster.publish((covering(1), cluster.version(2)), (covering(2), cluster.version(3)), (GAP, cluster.version(2)))
        (decided,) = cluster.decide(Verdict.MISSED, repeated=2)
        cluster.publish((GAP, cluster.version(4)), buries=True)
        wait_until(lambda: everything.of("removed"), 10, "the last change is told")
        assert [one.data["covered"] for one in everything.of("province")] == [2]
        assert [one.data["id"] for one in everything.of("verdict")] == [decided.id]
        assert everything.of("commune") == []
        assert everything.of("removed")[0].data == {"kind": "commune", "key": GAP.key}
        wait_until(lambda: postal.of("heartbeat"), 10, "the other one lives")
        assert {one.event for one in postal.told} == {"heartbeat"}
        assert postal.of("heartbeat")[-1].data["ready"]
        assert postal.of("heartbeat")[-1].data["kafka_seen"] is not None


def test_who_comes_back_misses_nothing_and_from_another_feed_is_to_read_again(cluster: Cluster) -> None:
    with ready(cluster) as client:
        first = Listener(url_of(client))
        cluster.publish((covering(1), cluster.version(1)))
        wait_until(lambda: first.of("province"), 10, "the change is told")
        last = first.of("province")[-1].id
        first.stop()
        cluster.publish((covering(2), cluster.version(2)), (covering(3), cluster.version(3)))
        wait_until(lambda: client.get("/api/v1/provinces").json()[0]["covered"] == 3, 10, "the feed has read on")
        again = Listener(url_of(client), last=last)
        wait_until(lambda: len(again.of("province")) == 2, 10, "what was missed is told")
        assert [one.data["covered"] for one in again.of("province")] == [2, 3]
        assert again.of("reset") == []
    wait_until(lambda: again.ended, 10, "the end of the feed ends the stream")
    with ready(cluster) as client:
        other = Listener(url_of(client), last=last)
        wait_until(lambda: other.of("reset"), 10, "another process does not remember")


def test_when_the_sources_are_created_anew_every_client_is_to_read_again(cluster: Cluster) -> None:
    cluster.publish((covering(1), cluster.version(1)))
    with ready(cluster) as client:
        listener = Listener(url_of(client), "province=02")
        cluster.create(POSTAL.name)
        wait_until(lambda: listener.of("reset"), 30, "the client is told")
        assert client.get("/api/v1/provinces").json() == []


def test_the_history_of_verdicts_is_read_from_the_start_and_each_entry_shown_once(cluster: Cluster) -> None:
    entries = cluster.decide(Verdict.UNCERTAIN, Verdict.MISSED, Verdict.MET, Verdict.MISSED, repeated=2)
    with ready(cluster) as client:
        shown = client.get("/api/v1/verdicts").json()
        assert [one["id"] for one in shown] == [one.id for one in entries]
        assert [one["to"] for one in shown] == ["uncertain", "missed", "met", "missed"]


def test_one_client_more_than_there_may_be_is_told_so(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed.api, "STREAMS_MAX", 2)
    with ready(cluster) as client:
        listeners = [Listener(url_of(client)) for _ in range(2)]
        refused = client.get("/api/v1/events")
        assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
        assert refused.headers["retry-after"] == "5"
        assert metric(client, "phusong_feed_streams") == 2
        listeners[0].stop()
        wait_until(lambda: metric(client, "phusong_feed_streams") == 1, 10, "one has gone")
        Listener(url_of(client))


def test_connections_beyond_the_bound_are_told_so_and_closed(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed.server, "CONNECTIONS_MAX", 5)
    with ready(cluster) as client, ExitStack() as stack:
        port = client.base_url.port
        kept = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(4)]
        assert kept
        more = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        more.settimeout(10)
        answer = more.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"application/problem+json" in answer
        assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nhost: x\r\n" + b"x: " + b"y" * 70_000, b"431"),
        (b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 20_000 + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\n", b"408"),
        (b"", b"408"),
    ],
)
def test_what_is_no_request_gets_problem_details_too(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, sent: bytes, status: bytes) -> None:
    monkeypatch.setattr(feed.server, "REQUEST_SECONDS_MAX", 2.0)
    with ready(cluster) as client, socket.create_connection(("127.0.0.1", client.base_url.port or 0)) as connection:
        connection.settimeout(20)
        connection.sendall(sent)
        answer = connection.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 " + status)
        assert b"application/problem+json" in answer


def test_a_client_that_reads_nothing_is_dropped_and_holds_nobody_up(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed.stream, "SEND_SECONDS_MAX", 1.0)
    rows = [msgspec.structs.replace(GAP, commune=f"{number:05}") for number in range(8_000)]
    with ready(cluster) as client, socket.socket() as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.connect(("127.0.0.1", client.base_url.port or 0))
        stuck.sendall(b"GET /api/v1/events HTTP/1.1\r\nhost: x\r\n\r\n")
        wait_until(lambda: metric(client, "phusong_feed_streams") == 1, 10, "it is there")
        listener = Listener(url_of(client))
        cluster.publish(*((row, cluster.version(1)) for row in rows))
        wait_until(lambda: len(listener.of("commune")) == len(rows), 60, "the other one is told everything")
        wait_until(lambda: metric(client, "phusong_feed_streams_dropped_total") == 1, 60, "the one that reads nothing is dropped")
        assert metric(client, "phusong_feed_streams") == 1


def test_a_client_that_takes_nothing_of_a_long_answer_is_dropped(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "feed.server")
    monkeypatch.setattr(feed.server, "STALL_SECONDS_MAX", 0.5)
    rows = [msgspec.structs.replace(GAP, commune=f"{number:05}") for number in range(10_000)]
    cluster.publish(*((row, cluster.version(1)) for row in rows))
    with ready(cluster) as client, socket.socket() as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.settimeout(30)
        stuck.connect(("127.0.0.1", client.base_url.port or 0))
        stuck.sendall(b"GET /api/v1/communes HTTP/1.1\r\nhost: x\r\n\r\n")
        assert stuck.recv(2048).startswith(b"HTTP/1.1 200 ")
        wait_until(lambda: "takes nothing of its answer" in caplog.text, 30, "it is dropped")
        taken = 0
        with suppress(ConnectionResetError):
            while some := stuck.recv(1_000_000):
                taken += len(some)
        assert taken < len(client.get("/api/v1/communes").content)


def test_head_is_answered_over_a_connection_that_stays_open_even_where_get_would_not_end(cluster: Cluster) -> None:
    with ready(cluster) as client:
        for path in ("/metrics", "/api/v1/gaps", "/api/v1/events", "/api/v1/gaps?x=1", "/none"):
            answer = client.head(path)
            assert (answer.status_code, answer.content) == ({"/api/v1/gaps?x=1": 400, "/none": 404}.get(path, 200), b""), path
        assert client.head("/api/v1/events").headers["content-type"].startswith("text/event-stream")
        assert client.head("/metrics").headers["content-length"] != "0"
        wait_until(lambda: metric(client, "phusong_feed_streams") == 0, 10, "nobody is left who listens")
        assert metric(client, "phusong_feed_streams_dropped_total") == 0


def test_a_page_at_a_time_gives_every_row_once_while_they_are_published_again(cluster: Cluster) -> None:
    rows = [msgspec.structs.replace(row, state=State.UNKNOWN) for row in COMMUNE_ROWS.values()]
    cluster.publish(*((row, cluster.version(1)) for row in rows))
    with ready(cluster) as client:
        found: list[str] = []
        url = "/api/v1/communes?limit=500"
        while url:
            answer = client.get(url)
            found += [f"{one['vintage']}/{one['commune']}/{one['indicator']}" for one in answer.json()]
            cluster.publish(*((row, cluster.version(len(found))) for row in rows[:50]))
            url = answer.links.get("next", {}).get("url", "")
        in_force = [row.key for row in rows if row.vintage == ROW.vintage]
        assert sorted(found) == sorted(in_force)
