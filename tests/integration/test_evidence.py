"""/api/v1/evidence on a real Kafka: what `phusong explain --json` tells, read on demand, within bounds, and not twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from feed import on_demand
from feed.server import FeedServer
from phusong.settings import read_rules, read_settings
from tests import worlds
from tests.asking import ask
from tests.kafka import wait_until
from tests.workers import Stage
from tests.worlds import stated

pytestmark = pytest.mark.kafka

ABOUT = f"/api/v1/evidence?commune=02275&indicator={worlds.POSTAL}"


@contextmanager
def feed(stage: Stage) -> Iterator[httpx.Client]:
    """A ready feed beside the stage's workers, and a client for it."""
    settings = read_settings(**{**stage.settings, "bootstrap_servers": stage.servers, "seeds": stage.seeds, "feed_port": 0})
    server = FeedServer(settings, read_rules(stage.seeds))
    urls: list[str] = []
    thread = threading.Thread(target=lambda: server.serve(urls.append))
    thread.start()
    try:
        wait_until(lambda: urls, 10, "the feed listens")
        with httpx.Client(base_url=urls[0], timeout=30) as client:
            wait_until(lambda: client.get("/readyz").status_code == 200, 30, "the feed is ready")
            yield client
    finally:
        server.stop()
        thread.join(20)


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The communes that were read from the log, in their order."""
    found: list[str] = []
    hear = on_demand.hear

    def noted(*arguments: Any, **more: Any) -> Any:
        found.append(arguments[2].code)
        return hear(*arguments, **more)

    monkeypatch.setattr(on_demand, "hear", noted)
    return found


def test_the_evidence_is_what_explain_tells_and_follows_what_is_said(stage: Stage, readings: list[str]) -> None:
    stage.send([stated("02275", covered=0, observed_at="2023-05-31", event_id="may"), stated("02275", covered=0, event_id="june")])
    stage.start_ready()
    with feed(stage) as client:
        row = f"/api/v1/communes?commune=02275&indicator={worlds.POSTAL}"
        wait_until(lambda: [one["covered"] for one in client.get(row).json()] == [0], 30, "the row is published")
        first = client.get(ABOUT)
        assert first.status_code == 200
        assert first.json() == ask(stage, "explain", "02275", worlds.POSTAL, "--json").plain
        (published,) = client.get(row).json()
        assert {name: published[name] for name in first.json()["row"]} == first.json()["row"]

        then = client.get(f"{ABOUT}&as_of=2023-06-01T00:00:00%2B07:00").json()
        assert ([one["id"] for one in then["statements"]], then["left_out"]) == (["may"], 1)
        assert then == ask(stage, "explain", "02275", worlds.POSTAL, "--json", "--as-of", "2023-06-01T00:00:00+07:00").plain
        same = client.get(ABOUT, headers={"if-none-match": first.headers["etag"]})
        assert (same.status_code, same.content) == (304, b"")
        assert readings == ["02275"], "nothing new: what was read is good for every moment"

        stage.send([stated("02275", covered=1, observed_at="2023-07-10", event_id="july")])
        wait_until(lambda: [one["covered"] for one in client.get(row).json()] == [1], 30, "the row has changed")
        later = client.get(ABOUT, headers={"if-none-match": first.headers["etag"]})
        assert [one["id"] for one in later.json()["statements"]] == ["july"]
        assert readings == ["02275", "02275"]


def test_readings_are_bounded_in_number_time_and_size_and_a_client_is_told_to_come_back(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.send([stated("02275", event_id="june")])
    with feed(stage) as client:
        assert client.get(ABOUT).json()["row"]["covered"] == 1, "without a worker there is no row, but there is evidence"
        for bound, value, told in (
            ("READINGS_MAX", 0, "0 readings of evidence are under way; come back in a moment"),
            ("SECONDS_MAX", -1.0, "the log cannot be read now, the feed's own log says why; come back in a moment"),
            ("HEARD_BYTES_MAX", 10, "more than 10 bytes were said of 02275; ask `phusong explain`, which has no such limit"),
        ):
            with monkeypatch.context() as patched:
                patched.setattr(on_demand, bound, value)
                refused = client.get(ABOUT)
                assert (refused.status_code, refused.json()["detail"]) == (503, told)
                assert refused.headers["content-type"] == "application/problem+json"
        assert client.get(ABOUT).status_code == 200


def test_who_asks_while_the_same_is_being_read_waits_for_that_reading(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.send([stated("02275", event_id="june")])
    stage.start_ready()
    hear, may_go_on, began = on_demand.hear, threading.Event(), []

    def held(*arguments: Any, **more: Any) -> Any:
        began.append(arguments[2].code)
        assert may_go_on.wait(30)
        return hear(*arguments, **more)

    monkeypatch.setattr(on_demand, "hear", held)
    with feed(stage) as client:
        wait_until(lambda: client.get("/api/v1/communes").json(), 30, "rows are published")
        codes: list[int] = []
        asking = [threading.Thread(target=lambda: codes.append(client.get(ABOUT).status_code)) for _ in range(8)]
        for one in asking:
            one.start()
        wait_until(lambda: began, 10, "the reading has begun")
        may_go_on.set()
        for one in asking:
            one.join(30)
        assert codes == [200] * 8
        assert began == ["02275"]
