"""feed/stream.py without sockets: what a client is sent, in which order, from where on, and what is remembered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import pytest

import feed.stream
from feed.query import Query, read_query
from feed.resources import PLACE
from feed.snapshot import Gone, Held, Judged, Reset
from feed.stream import ABORT, CHUNK_BYTES_MAX, Client, EventStream, Heartbeat, Stream
from phusong.rows import Verdict, Version
from tests.feeds import AS_OF, COMMUNE_ROWS, NEW, OLD, PROVINCE_ROWS, PUBLISHED, RULES, decide, filled

POSTAL = "postal.staffed_point"
VERSION = Version(rules=7, log="log", offsets=1, as_of=AS_OF)
ROW = PROVINCE_ROWS[f"{OLD}/08/{POSTAL}"]
COMMUNE = COMMUNE_ROWS[f"{OLD}/00001/{POSTAL}"]


class Told(NamedTuple):
    """One event as a browser would see it."""

    id: str
    event: str
    data: Any


def parsed(text: str) -> list[Told]:
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        if "data" in fields:
            found.append(Told(fields.get("id", ""), fields["event"], msgspec.json.decode(fields["data"])))
    return found


def asking(text: str = "") -> Query:
    return read_query(text, PLACE, (), RULES)


def stream() -> Stream:
    return Stream(RULES, lambda: AS_OF)


def province(covered: int, **more: Any) -> Judged:
    return Judged(Held(msgspec.structs.replace(ROW, covered=covered, **more), VERSION, PUBLISHED), None, None)


def commune(**more: Any) -> Held[Any]:
    return Held(msgspec.structs.replace(COMMUNE, **more), VERSION, PUBLISHED)


def take(of: Stream, client: Client) -> list[Told]:
    """What the client is sent until there is nothing for it."""
    found, more = client.first, True
    client.first = b""
    while more:
        text, more = of._after(client)
        found += text
    return parsed(found.decode())


def covered(told: list[Told]) -> list[int]:
    return [one.data["covered"] for one in told]


def test_a_client_is_told_each_change_from_its_beginning_on_in_order() -> None:
    of = stream()
    of.publish(province(1))
    client = of.join(asking(), "")
    of.publish(province(2))
    of.publish(commune())
    of.publish(Gone(COMMUNE))
    told = take(of, client)
    assert [one.event for one in told] == ["province", "commune", "removed"]
    assert (told[0].data["covered"], told[0].data["as_of"]) == (2, "2023-06-30T00:00:00Z")
    assert told[2].data == {"kind": "commune", "key": COMMUNE.key}


def test_a_verdict_is_told_as_in_the_history() -> None:
    app = filled()
    of = app.state.stream
    client = of.join(asking(), "")
    app.state.reader.snapshot.on_change = of.publish
    event = decide(app, Verdict.MISSED, 1, repeated=2)
    told, row = take(of, client)
    assert (told.event, told.data["id"], told.data["to"], told.data["from"]) == ("verdict", event.id, "missed", None)
    # the row whose verdict that is, now with its beginning
    assert (row.event, row.data["verdict_id"], row.data["verdict_since"]) == ("province", event.id, "2023-06-01T00:00:00Z")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["province", "commune"]),
        ("indicator=broadcast.loudspeaker", []),
        ("province=24", []),
        ("province=08&indicator=postal.staffed_point", ["province", "commune"]),
        (f"vintage={NEW}", ["province"]),
        (f"vintage={NEW}&vintage={OLD}", ["province", "commune", "province"]),
    ],
)
def test_a_client_is_told_what_it_asks_for_and_without_a_list_the_one_in_force(query: str, expected: list[str]) -> None:
    of = stream()
    client = of.join(asking(query), "")
    of.publish(province(1))
    of.publish(commune())
    of.publish(province(2, vintage=NEW))
    assert [one.event for one in take(of, client)] == expected


def test_who_comes_back_goes_on_after_the_last_event_that_it_has() -> None:
    of = stream()
    client = of.join(asking(), "")
    for number in range(5):
        of.publish(province(number))
    told = take(of, client)
    assert covered(told) == [0, 1, 2, 3, 4]
    assert covered(take(of, of.join(asking(), told[1].id))) == [2, 3, 4]
    assert take(of, of.join(asking(), told[4].id)) == []


@pytest.mark.parametrize("event_id", ["", "x", "x-1", "{name}-", "{name}-99", "{name}--1", "{name}-٣", "{name}-" + "9" * 5000, "{name}-0"])
def test_who_comes_back_with_what_is_not_remembered_is_to_read_again(event_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed.stream, "EVENTS_MAX", 2)
    of = stream()
    for number in range(4):
        of.publish(province(number))
    client = of.join(asking(), event_id.format(name=of._name))
    of.publish(province(9))
    told = take(of, client)
    # without an id it is new, and has read nothing yet
    assert [one.event for one in told] == (["reset", "province"] if event_id else ["province"])
    if event_id:
        # the id that comes with it leads on from here
        assert covered(take(of, of.join(asking(), told[0].id))) == [9]


def test_after_everything_was_read_anew_every_client_is_to_read_again_whatever_it_asks_for() -> None:
    of = stream()
    clients = [of.join(asking(query), "") for query in ("", "province=24", f"vintage={NEW}")]
    of.publish(Reset())
    assert [[one.event for one in take(of, client)] for client in clients] == [["reset"]] * 3


def test_the_memory_is_bounded_in_events_and_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed.stream, "EVENTS_MAX", 100)
    of = stream()
    for number in range(250):
        of.publish(province(number))
    assert len(of._kept) == 100
    one = of._bytes // 100
    monkeypatch.setattr(feed.stream, "BYTES_MAX", 10 * one)
    of.publish(province(0))
    assert len(of._kept) <= 10
    assert of._bytes == sum(len(kept.text) for kept in of._kept.values())


def test_what_is_handed_over_at_once_is_bounded_and_nothing_is_lost() -> None:
    of = stream()
    client = of.join(asking(), "")
    for number in range(200):
        of.publish(province(number))

    async def texts() -> list[bytes]:
        found = []
        async for text in of.texts(client):
            found.append(text)
            if client.place == 200:
                of.end()
        return found

    found = asyncio.run(texts())
    assert max(map(len, found)) <= CHUNK_BYTES_MAX
    assert covered(parsed(b"".join(found).decode())) == list(range(200))


def test_a_heartbeat_tells_how_the_feed_is_and_moves_a_client_on_that_nothing_was_for(monkeypatch: pytest.MonkeyPatch) -> None:
    of = stream()

    async def beaten() -> list[Told]:
        beating = asyncio.create_task(of.beat(lambda: Heartbeat(as_of=AS_OF, ready=True, kafka_seen=None)))
        await until(lambda: of._beats)
        client = of.join(asking("province=24"), "")
        of.publish(province(1))
        iterator = of.texts(client)
        found = [await asyncio.wait_for(anext(iterator), 5) for _ in range(2)]
        beating.cancel()
        return parsed(b"".join(found).decode())

    monkeypatch.setattr(feed.stream, "HEARTBEAT_SECONDS", 0.001)
    first, told = asyncio.run(beaten())
    alive = {"as_of": "2023-06-30T00:00:00Z", "ready": True, "kafka_seen": None}
    assert (first.event, first.data) == (told.event, told.data) == ("heartbeat", alive)
    assert told.id.endswith("-1")


def test_when_another_list_comes_into_force_everybody_is_to_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed.stream, "HEARTBEAT_SECONDS", 0.001)
    now: list[datetime] = [AS_OF]
    of = Stream(RULES, lambda: now[0])
    client = of.join(asking(), "")

    async def turn() -> str:
        beating = asyncio.create_task(of.beat(lambda: Heartbeat(as_of=now[0], ready=True, kafka_seen=None)))
        now[0] += timedelta(days=3 * 365)
        found = ""
        async for text in of.texts(client):
            found += text.decode()
            if "reset" in found:
                break
        beating.cancel()
        return found

    assert "reset" in [one.event for one in parsed(asyncio.run(asyncio.wait_for(turn(), 10)))]
    of.publish(province(1, vintage=NEW))
    of.publish(province(2))
    assert covered([one for one in take(of, client) if one.event == "province"]) == [1]


class Connection:
    """What a server does for one request: `stuck` it takes nothing more after the head."""

    def __init__(self, *, stuck: bool = False) -> None:
        self.sent: list[Any] = []
        self.closed = asyncio.Event()
        self.stuck = stuck

    async def receive(self) -> Any:
        await self.closed.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if self.stuck and message["type"] == "http.response.body":
            await asyncio.Event().wait()
        self.sent.append(message)

    def serve(self, of: Stream) -> Awaitable[None]:
        scope: Any = {"type": "http", "state": {ABORT: self.closed.set}}
        return EventStream(of, asking(), "")(scope, self.receive, self.send)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for knows of no test
            await asyncio.sleep(0)


def test_a_client_that_goes_away_is_forgotten_and_the_end_ends_the_others() -> None:
    async def both() -> None:
        of = stream()
        one, other = Connection(), Connection()
        serving = asyncio.gather(one.serve(of), other.serve(of))
        await until(lambda: len(of) == 2)
        one.closed.set()
        await until(lambda: len(of) == 1)
        of.end()
        await serving
        assert len(of) == of.dropped == 0
        assert other.sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}

    asyncio.run(both())


def test_a_client_that_takes_nothing_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed.stream, "SEND_SECONDS_MAX", 0.01)

    async def stuck() -> None:
        of = stream()
        connection = Connection(stuck=True)
        await asyncio.wait_for(connection.serve(of), 10)
        assert (len(of), of.dropped, connection.closed.is_set()) == (0, 1, True)

    asyncio.run(stuck())


def test_a_client_that_has_fallen_behind_what_is_remembered_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed.stream, "EVENTS_MAX", 3)

    async def behind() -> None:
        of = stream()
        connection = Connection()
        serving = asyncio.ensure_future(connection.serve(of))
        await until(lambda: len(of) == 1)
        for number in range(5):
            of.publish(province(number))
        of._wake()
        await asyncio.wait_for(serving, 10)
        assert (len(of), of.dropped, connection.closed.is_set()) == (0, 1, True)

    asyncio.run(behind())


def test_clients_that_ask_the_same_are_told_the_same_whatever_another_has_been_told_before() -> None:
    of = stream()
    first, second, other = of.join(asking(), ""), of.join(asking(), ""), of.join(asking("province=24"), "")
    of.publish(province(1))
    assert covered(take(of, first)) == [1]
    of.publish(province(2))
    assert covered(take(of, first)) == [2]
    assert covered(take(of, second)) == [1, 2]
    assert take(of, other) == []


def test_what_is_kept_for_clients_that_ask_the_same_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed.stream, "SHARED_MAX", 3)
    of = stream()
    clients = [of.join(asking(f"province=08&indicator={POSTAL}" if number % 2 else ""), "") for number in range(10)]
    for number in range(20):
        of.publish(province(number))
        if number % 3 == 0:
            assert [covered(take(of, client))[-1] for client in clients] == [number] * 10
        assert len(of._shared) <= 3
