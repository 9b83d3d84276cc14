"""What changes, as server-sent events to any number of clients, out of one memory that all of them share.

Comes in: each `Change`, from the thread that reads. Goes out: `text/event-stream`, to STREAMS_MAX clients. Owns the last events, at most
EVENTS_MAX of BYTES_MAX, and of each client nothing but its place among them: one that has fallen behind, or that takes nothing for
SEND_SECONDS_MAX, is dropped. A client that comes back with a Last-Event-ID goes on where it was; where the memory does not reach back that
far, or another process remembers, it gets `reset` and reads everything again.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
from litestar.types import Receive, Scope, Send
from msgspec import Struct

from feed.history import Entry
from feed.query import Query
from feed.resources import PublishedCommune, PublishedProvince, PublishedVerdict, in_force, show_commune, show_province, show_verdict
from feed.snapshot import Change, Gone, Held, Judged
from phusong.events import Instant
from phusong.rows import CommuneRow, ProvinceRow, VerdictChange
from phusong.rules import Rules

LOG = logging.getLogger(__name__)

STREAMS_MAX = 1_000
EVENTS_MAX = 10_000
BYTES_MAX = 16 * 1024 * 1024
CHUNK_BYTES_MAX = 16 * 1024
"""What is handed over at once (a single event may be larger): with the server's own 64 KiB all that a client that stands still can hold."""
SEND_SECONDS_MAX = 20.0
HEARTBEAT_SECONDS = 5.0
GATHER_SECONDS = 0.25
"""How often at most everybody is woken: of changes in a burst all but the first wait so long for those that follow."""
SHARED_MAX = 64
"""Of how many pairs of question and place the next text is kept: clients that ask the same go side by side."""
RETRY_MS = 2_000
"""After what time a client is to come back."""

ABORT = "phusong_abort"
"""Under this name of the scope's state the server puts what closes a connection at once, without sending what waits."""

_encode = msgspec.json.Encoder().encode


class Heartbeat(Struct, frozen=True, kw_only=True):
    """That the feed lives, and what it knows: `kafka_seen`: when Kafka last answered; `ready`: whether all has been read."""

    as_of: Instant
    ready: bool
    kafka_seen: Instant | None


class Removed(Struct, frozen=True, kw_only=True):
    """A row that is no longer there, `commune` or `province`, by its key: vintage/code/indicator."""

    kind: str
    key: str


About = CommuneRow | ProvinceRow | VerdictChange


class _Kept(Struct, frozen=True):
    """An event as it is sent; `about` None: everybody gets it."""

    about: About | None
    text: bytes


class _BehindError(Exception):
    """A client wants what is no longer remembered."""


class Client:
    """One stream: what it asks for, and how far it has come."""

    def __init__(self, query: Query, place: int, first: bytes) -> None:
        self.query = query
        self.place = place
        self.first = first
        self.gone = False
        self.wake = asyncio.Event()


class Stream:
    """The events. `publish` is for the reading thread, everything else for the event loop; `as_of` tells the moment to show."""

    def __init__(self, rules: Rules, as_of: Callable[[], datetime]) -> None:
        self.dropped = 0
        self._rules = rules
        self._as_of = as_of
        self._vintages = in_force(rules, as_of())
        self._name = secrets.token_hex(4)
        self._lock = threading.Lock()
        self._kept: dict[int, _Kept] = {}
        self._bytes = 0
        self._last = 0
        self._clients: set[Client] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._heartbeat: Callable[[], Heartbeat] | None = None
        self._beats = 0
        self._beat = b""
        self._waking = False
        self._woken_at = 0.0
        self._shared: dict[tuple[Query, frozenset[str], int], tuple[bytes, int]] = {}
        self.ended = False

    def __len__(self) -> int:
        return len(self._clients)

    def publish(self, change: Change) -> None:
        """Remember what has changed, and tell everybody who asked for it."""
        about, name, data = _told(change)
        self._keep(about, name, data)

    def begin(self) -> None:
        """From now on, wake the clients of the running event loop."""
        self._loop = asyncio.get_running_loop()

    def end(self) -> None:
        """End every stream."""
        self.ended = True
        self._wake()

    async def beat(self, heartbeat: Callable[[], Heartbeat]) -> None:
        """A heartbeat now and then, until cancelled; a list of communes that comes into force changes what most clients ask for."""
        self._heartbeat = heartbeat
        while True:
            vintages = in_force(self._rules, self._as_of())
            if vintages != self._vintages:
                self._vintages = vintages
                self._keep(None, "reset", {})
            # its id moves a client on that nothing was for
            self._beat = _event("heartbeat", heartbeat())
            self._beats += 1
            self._wake()
            await asyncio.sleep(HEARTBEAT_SECONDS)

    def join(self, query: Query, last_event_id: str) -> Client:
        """A new client, from the event after that one on, from now on without one."""
        with self._lock:
            place, first = self._last, b"retry: %d\n" % RETRY_MS
            if last_event_id:
                asked = self._number(last_event_id)
                if asked is None:
                    first += b"event: reset\ndata: {}\n"
                else:
                    place = asked
            first += b"id: %s\n\n" % self._id(place)
        if self._heartbeat is not None:
            first += _event("heartbeat", self._heartbeat())
        client = Client(query, place, first)
        self._clients.add(client)
        return client

    def leave(self, client: Client) -> None:
        """A client that has gone."""
        self._clients.discard(client)

    async def texts(self, client: Client) -> AsyncIterator[bytes]:
        """What the client is sent, piece by piece, until it is gone or the end. Raises _BehindError."""
        yield client.first
        beats = self._beats
        while not (client.gone or self.ended):
            client.wake.clear()
            text, more = self._after(client)
            if not text and not more and beats != self._beats:
                beats, text = self._beats, b"id: %s\n%s" % (self._id(client.place), self._beat)
            if text:
                yield text
            elif not more:
                await client.wake.wait()

    def _after(self, client: Client) -> tuple[bytes, bool]:
        """What comes next for a client, and whether there is more."""
        query = client.query
        vintages = self._vintages if query.vintages is None else query.vintages
        with self._lock:
            if client.place < self._last - len(self._kept):
                raise _BehindError
            if client.place == self._last:
                return b"", False
            # events never change: what one client was sent from its place on is right for every other one there that asks the same
            at = query, vintages, client.place
            if at not in self._shared:
                if len(self._shared) == SHARED_MAX:
                    del self._shared[next(iter(self._shared))]
                self._shared[at] = self._next(query, vintages, client.place)
            text, client.place = self._shared[at]
            return text, client.place < self._last

    def _next(self, query: Query, vintages: frozenset[str], place: int) -> tuple[bytes, int]:
        """What comes after a place, no more than is handed over at once, and the place after that."""
        found: list[bytes] = []
        size = 0
        while place < self._last and size < CHUNK_BYTES_MAX:
            kept = self._kept[place + 1]
            if kept.about is None or query.asks_for(kept.about, vintages):
                if found and size + len(kept.text) > CHUNK_BYTES_MAX:
                    break
                found.append(kept.text)
                size += len(kept.text)
            place += 1
        return b"".join(found), place

    def _keep(self, about: About | None, name: str, data: object) -> None:
        with self._lock:
            self._last += 1
            text = b"id: %s\n%s" % (self._id(self._last), _event(name, data))
            self._kept[self._last] = _Kept(about, text)
            self._bytes += len(text)
            while len(self._kept) > EVENTS_MAX or self._bytes > BYTES_MAX:
                self._bytes -= len(self._kept.pop(self._last - len(self._kept) + 1).text)
            tell = self._loop is not None and not self._waking
            self._waking = self._waking or tell
        if tell and self._loop is not None:
            # the loop is closed a moment before this thread is told to stop
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake_soon, self._loop)

    def _wake_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_at(max(loop.time(), self._woken_at + GATHER_SECONDS), self._wake)

    def _wake(self) -> None:
        if self._loop is not None:
            self._woken_at = self._loop.time()
        with self._lock:
            self._waking = False
        for client in self._clients:
            client.wake.set()

    def _id(self, number: int) -> bytes:
        return f"{self._name}-{number}".encode()

    def _number(self, event_id: str) -> int | None:
        """The number of an event of ours that is still remembered, or the one before the first."""
        name, _, number = event_id.partition("-")
        if name != self._name or not (number.isascii() and number.isdecimal() and len(number) < 20):
            return None
        return int(number) if self._last - len(self._kept) <= int(number) <= self._last else None


class EventStream:
    """The answer to one request for events: an ASGI application."""

    def __init__(self, stream: Stream, query: Query, last_event_id: str) -> None:
        self._stream = stream
        self._query = query
        self._last_event_id = last_event_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the client has gone, is dropped, or the stream ends."""
        client = self._stream.join(self._query, self._last_event_id)
        watch = asyncio.create_task(_watch(receive, client))
        try:
            async with asyncio.timeout(SEND_SECONDS_MAX):
                await send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
            async for text in self._stream.texts(client):
                async with asyncio.timeout(SEND_SECONDS_MAX):
                    await send({"type": "http.response.body", "body": text, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except (TimeoutError, _BehindError):
            self._stream.dropped += 1
            LOG.info("a client of /api/v1/events was too slow and is dropped")
            state: dict[str, Any] = scope["state"]
            if ABORT in state:
                state[ABORT]()
                # until the server knows: an answer that ends early is else an error to it
                await watch
        finally:
            watch.cancel()
            self._stream.leave(client)


_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    # a proxy that gathers would hold events back
    (b"x-accel-buffering", b"no"),
)


async def _watch(receive: Receive, client: Client) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    client.gone = True
    client.wake.set()


def _event(name: str, data: object) -> bytes:
    # JSON as it is written here has no line break
    return b"event: %s\ndata: %s\n\n" % (name.encode(), _encode(data))


def _told(change: Change) -> tuple[About | None, str, PublishedCommune | PublishedProvince | PublishedVerdict | Removed | dict[str, str]]:
    """Whom a change is about, the name of its event, and what it tells."""
    if isinstance(change, Held):
        return change.row, "commune", show_commune(change)
    if isinstance(change, Judged):
        return change.held.row, "province", show_province(change)
    if isinstance(change, Entry):
        return change.event.data, "verdict", show_verdict(change)
    if isinstance(change, Gone):
        kind = "commune" if isinstance(change.row, CommuneRow) else "province"
        return change.row, "removed", Removed(kind=kind, key=change.row.key)
    return None, "reset", {}


def moment(seconds: float) -> datetime | None:
    """A wall time in seconds since 1970; None for 0: never."""
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
