"""The gateway: reporters' events over HTTP into Kafka, answered 202 only once Kafka has acknowledged all of them.

Comes in: POST /v1/events, CloudEvents structured, batched or binary, with an API key. Goes out: records, through outbox.py; an answer that
tells what became of each event; one JSON line for each request on stderr. Owns no event: what was answered 202 is in Kafka, what was
answered otherwise may be sent again (the same id and content count once). Anything that cannot be taken gets problem details (RFC 9457)
with the reader's own sentence, and a status that says who must do what.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import secrets
import sys
import time
from collections import Counter as Tally
from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import count
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

import msgspec
from litestar import Litestar, MediaType, Request, Response, get
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.types import HTTPScope, Receive, Scope, Send
from msgspec import Struct
from prometheus_client.exposition import choose_encoder

from access.keys import FORM, Key, KeyRing
from phusong.acknowledgements import Acknowledged
from phusong.events import Reason, Rejected
from phusong.rules import Rules
from phusong.settings import Settings
from producers.gateway.http_events import BATCHED, BINARY, Read, Refused, mode_of, read_events
from producers.gateway.limits import Limits
from producers.gateway.metrics import GatewayMetrics, Outcome
from producers.gateway.outbox import Outbox, Taken, Ticket
from producers.gateway.pages import Problem, Result, Results, openapi, page
from producers.publisher import Publisher, Sendable

LOG = logging.getLogger(__name__)

EVENTS_PATH = "/v1/events"
BODY_BYTES_MAX = 1024 * 1024
ACKNOWLEDGE_SECONDS_MAX = 5.0
"""How long a request waits for Kafka before it is answered 503; its events may still arrive."""
DELIVERY_SECONDS_MAX = 30.0
"""How long an event may be under way: a broker that restarts is back by then, and a client that sends again finds it waiting."""
RETRY_AFTER_SECONDS = 2
KEYS_REMEMBERED_MAX = 10_000
FAILURES_RATE, FAILURES_BURST, ADDRESSES_MAX = 1.0, 20.0, 10_000
"""How many requests without a key that holds one address may make: a second, at once; and how many addresses are remembered."""
_LOG_SECONDS = 0.05
_PATH_CHARACTERS_MAX = 200

HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'"),
)
_JSON = (b"content-type", b"application/json")
_PROBLEM = (b"content-type", b"application/problem+json")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_WANTED = frozenset((b"authorization", b"content-type", b"content-length", b"content-encoding", b"x-request-id"))
_FORBIDDEN, _CONFLICT = "forbidden", "conflict"

_encode = msgspec.json.Encoder().encode


class Line(Struct):
    """One line of the access log; `key`: its id, "" without one that holds; `bytes`: of the body as far as it was read."""

    time: datetime
    request: str
    key: str
    method: str
    path: str
    status: int
    events: int
    bytes: int
    ms: float


class Exchange:
    """One request and its answer, as far as they have come."""

    __slots__ = ("began", "bytes", "events", "id", "key", "method", "path", "send", "status")

    def __init__(self, scope: HTTPScope, send: Send, request_id: str) -> None:
        self.began = time.perf_counter()
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.send = send
        self.id = request_id
        self.key = ""
        self.events = 0
        self.bytes = 0
        self.status = 0


class Head(NamedTuple):
    """What the head of a post says: what we want of it, by name, and the `ce-` attributes, without `ce-`."""

    wanted: dict[bytes, bytes]
    attributes: dict[str, str]


class Writer(Protocol):
    """Where the access log goes."""

    def write(self, text: str, /) -> object: ...
    def flush(self) -> object: ...


class AccessLog:
    """Lines are gathered for a twentieth of a second and written together: one call into the kernel, not one for each request."""

    def __init__(self, out: Writer) -> None:
        self._out = out
        self._lines: list[bytes] = []

    def add(self, line: Line) -> None:
        """One line, soon."""
        if not self._lines:
            asyncio.get_running_loop().call_later(_LOG_SECONDS, self.flush)
        self._lines.append(_encode(line))

    def flush(self) -> None:
        """Write what has gathered."""
        if self._lines:
            lines, self._lines = self._lines, []
            try:
                self._out.write(b"\n".join(lines).decode() + "\n")
                self._out.flush()
            except OSError:
                # nobody reads it any more; what is sent is still to be taken
                pass


class Gateway:
    """The ASGI application: posts of events itself, in as few steps as it can, and the documented rest through Litestar.

    `on_broken` is called when the producer has given up and the process should end.
    """

    def __init__(
        self,
        settings: Settings,
        rules: Rules,
        publisher: Publisher,
        on_broken: Callable[[], None],
        *,
        log: Writer = sys.stderr,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.outbox = Outbox(publisher, on_broken)
        self.keys = KeyRing(settings.keys, clock)
        self._rules = rules
        self._rates = Limits(settings.gateway_rate, settings.gateway_burst, KEYS_REMEMBERED_MAX, clock)
        self._failures = Limits(FAILURES_RATE, FAILURES_BURST, ADDRESSES_MAX, clock)
        self.metrics = GatewayMetrics(
            rules.number,
            kafka_up=lambda: self.outbox.kafka_up,
            under_way=lambda: self.outbox.under_way,
            keys=lambda: len(self.keys),
            usable=lambda: not self.keys.trouble,
        )
        self._log = AccessLog(log)
        self._numbers = count(1)
        self._run = secrets.token_hex(4)
        self._rest = self._documented()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the life of the process."""
        if scope["type"] != ScopeType.HTTP:
            await self._rest(scope, receive, send)
            return
        head = _head(scope)
        exchange = Exchange(scope, send, self._request_id(head))
        self.metrics.in_flight += 1
        try:
            if exchange.path == EVENTS_PATH:
                await self._events(scope, receive, head, exchange)
            else:
                await self._rest(scope, receive, _Noted(exchange, self))  # type: ignore[arg-type]
        finally:
            self.metrics.in_flight -= 1
            self._end(exchange)

    # POST /v1/events

    async def _events(self, scope: HTTPScope, receive: Receive, head: Head | None, exchange: Exchange) -> None:
        try:
            if exchange.method != "POST":
                await self._problem(exchange, 405, f"{EVENTS_PATH} takes POST", headers=((b"allow", b"POST"),))
                return
            if head is None:
                raise Refused(400, "a header that may come once came twice; send it once")
            key = self._authenticate(scope, head, exchange)
            mode = mode_of(head.wanted.get(b"content-type", b"").decode("latin-1"))
            self._check_coding(head)
            body = await _body(receive, head, exchange)
            if body is None:
                return
            self._take(key, 1)
            found = read_events(mode, head.attributes if mode == BINARY else {}, body)
            exchange.events = len(found)
            if len(found) > 1:
                self._take(key, len(found) - 1)
            await self._answer(exchange, await self._deliver(key, found), batched=mode == BATCHED)
        except Refused as error:
            await self._problem(exchange, error.status, error.detail, reason=error.reason, retry_after=error.retry_after_seconds)
        except Exception:
            LOG.exception("POST %s failed, request %s", EVENTS_PATH, exchange.id)
            if exchange.status:
                raise
            await self._problem(exchange, 500, f"this is our fault; tell the administrator the request id {exchange.id}")
        finally:
            self.metrics.took(time.perf_counter() - exchange.began)

    def _authenticate(self, scope: HTTPScope, head: Head, exchange: Exchange) -> Key:
        given = head.wanted.get(b"authorization", b"")
        key = None
        if given[:7].lower() == b"bearer ":
            key = self.keys.find(given[7:].strip().decode("latin-1"))
        if key is not None:
            exchange.key = key.id
            return key
        client = scope["client"]
        if wait := self._failures.take(client[0] if client else "", 1):
            raise Refused(429, "too many requests without a key that holds; wait, and send a key", retry_after_seconds=wait)
        if not given:
            raise Refused(401, "no API key; send `Authorization: Bearer phs_…`, as `phusong keys create` printed it")
        raise Refused(401, "this API key is unknown or revoked; ask the administrator for another")

    def _check_coding(self, head: Head) -> None:
        coding = head.wanted.get(b"content-encoding", b"identity").lower()
        if coding != b"identity":
            raise Refused(415, "a content-encoding is not supported; send the body as it is")

    def _take(self, key: Key, tokens: int) -> None:
        if wait := self._rates.take(key.id, tokens):
            raise Refused(429, f"key {key.id} sends more events than it may; wait, then send again", retry_after_seconds=wait)

    async def _deliver(self, key: Key, found: list[Read]) -> list[Result]:
        """What became of each event, once Kafka has those that it is to have. Raises Refused 503 where it has not in time."""
        if not self.outbox.kafka_up:
            self.metrics.count({("", "unavailable", ""): len(found)})
            raise Refused(503, "Kafka is away; nothing was taken: send again", retry_after_seconds=RETRY_AFTER_SECONDS)
        ticket, tally = Ticket(), Tally[Outcome]()
        results = [self._put(key, one, ticket, tally) for one in found]
        full = any(result.status == 503 for result in results)
        if full or not await ticket.wait(ACKNOWLEDGE_SECONDS_MAX):
            self.metrics.count({("", "unavailable", ""): len(found)})
            raise Refused(
                503,
                "too much is waiting for Kafka: send again"
                if full
                else "Kafka did not acknowledge everything in time; send all of it again (what has arrived, or still arrives, counts once)",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            )
        self.metrics.count(tally)
        return results

    def _put(self, key: Key, one: Read, ticket: Ticket, tally: Tally[Outcome]) -> Result:
        event = one.outcome
        if isinstance(event, Rejected):
            tally["", "rejected", event.reason.value] += 1
            return Result(id=one.id, source=one.source, status=422, reason=event.reason, detail=event.sentence)
        domain = self._domain(event)
        if detail := _not_allowed(key, event):
            tally[domain, _FORBIDDEN, ""] += 1
            return Result(id=one.id, source=one.source, status=403, reason=_FORBIDDEN, detail=detail)
        try:
            taken, domain = self.outbox.put(event, ticket)
        except Rejected as error:
            tally[domain, "rejected", error.reason.value] += 1
            return Result(id=one.id, source=one.source, status=422, reason=error.reason, detail=error.sentence)
        if taken is Taken.CONFLICT:
            tally[domain, _CONFLICT, ""] += 1
            detail = "this source has sent an event of this id with other content; give each event an id of its own"
            return Result(id=one.id, source=one.source, status=409, reason=_CONFLICT, detail=detail)
        tally[domain, "repeated" if taken is Taken.KNOWN else "accepted", ""] += 1
        return Result(id=one.id, source=one.source, status=503 if taken is Taken.FULL else 202)

    def _domain(self, event: Sendable) -> str:
        indicator = self._rules.catalogue.indicators.get(event.data.indicator)
        return indicator.domain if indicator else ""

    async def _answer(self, exchange: Exchange, results: list[Result], *, batched: bool) -> None:
        accepted = sum(result.status == 202 for result in results)
        if accepted == len(results):
            await self._send(exchange, 202, _JSON, b'{"accepted":%d}' % accepted)
        elif accepted:
            whole = Results(accepted=accepted, rejected=len(results) - accepted, results=results)
            await self._send(exchange, 207, _JSON, _encode(whole))
        elif batched:
            statuses = {result.status for result in results}
            status = statuses.pop() if len(statuses) == 1 else 422
            await self._problem(exchange, status, f"none of the {len(results)} events was taken; `results` says why", results=results)
        else:
            (result,) = results
            await self._problem(exchange, _single(result), result.detail, reason=result.reason)

    # answers

    async def _problem(
        self,
        exchange: Exchange,
        status: int,
        detail: str,
        *,
        reason: str = "",
        results: list[Result] | None = None,
        retry_after: float = 0.0,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        if status == 401:
            headers = (*headers, (b"www-authenticate", b'Bearer realm="phusong"'))
        if retry_after:
            headers = (*headers, (b"retry-after", b"%d" % max(1, math.ceil(retry_after))))
        problem = Problem(
            title=HTTPStatus(status).phrase, status=status, detail=detail, reason=reason, request=exchange.id, results=results or []
        )
        await self._send(exchange, status, _PROBLEM, _encode(problem), headers)

    async def _send(
        self, exchange: Exchange, status: int, content_type: tuple[bytes, bytes], body: bytes, headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        exchange.status = status
        await exchange.send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [
                    content_type,
                    (b"content-length", b"%d" % len(body)),
                    (b"x-request-id", exchange.id.encode()),
                    *HEADERS,
                    *headers,
                ],
            }
        )
        await exchange.send({"type": "http.response.body", "body": body, "more_body": False})

    def refusal(self, status: int, detail: str) -> bytes:
        """A whole answer as bytes, for what never became a request and ends its connection; counted and logged like the others."""
        problem_id = self._request_id(None)
        problem = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, request=problem_id)
        body = _encode(problem)
        headers = [_PROBLEM, (b"content-length", b"%d" % len(body)), (b"x-request-id", problem_id.encode()), *HEADERS]
        if status in (429, 503):
            headers.append((b"retry-after", b"%d" % RETRY_AFTER_SECONDS))
        self.metrics.answered(status)
        self._log.add(Line(datetime.now(UTC), problem_id, "", "", "", status, 0, 0, 0.0))
        lines = [b"%b: %b" % header for header in (*headers, (b"connection", b"close"))]
        return b"\r\n".join((b"HTTP/1.1 %d %b" % (status, problem.title.encode()), *lines, b"", body))

    def _request_id(self, head: Head | None) -> str:
        given = b"" if head is None else head.wanted.get(b"x-request-id", b"")
        # a key has the form of an id, too, and must not get into a log by mistake
        if given and _REQUEST_ID.fullmatch(given) and not FORM.search(given.decode()):
            return given.decode()
        return f"{self._run}-{next(self._numbers)}"

    def _end(self, exchange: Exchange) -> None:
        self.metrics.answered(exchange.status)
        path = exchange.path
        if path != EVENTS_PATH:
            path = FORM.sub("phs_…", path[: 2 * _PATH_CHARACTERS_MAX])[:_PATH_CHARACTERS_MAX]
            # what a terminal would obey, and JSON leaves as it is: U+007F, U+009B and their like
            path = path if path.isprintable() else quote(path)
        self._log.add(
            Line(
                datetime.now(UTC),
                exchange.id,
                exchange.key,
                exchange.method,
                path,
                exchange.status,
                exchange.events,
                exchange.bytes,
                round(1000 * (time.perf_counter() - exchange.began), 3),
            )
        )

    # everything else

    def _documented(self) -> Litestar:
        document = openapi()
        described, text = page(document).encode(), _encode(document)

        @get("/", include_in_schema=False, sync_to_thread=False)
        def index() -> Response[bytes]:
            return Response(described, media_type=MediaType.HTML)

        @get("/v1/schema/openapi.json", include_in_schema=False, sync_to_thread=False)
        def schema() -> Response[bytes]:
            return Response(text, media_type=MediaType.JSON)

        @get("/metrics", include_in_schema=False, sync_to_thread=True)
        def metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
            encode, content_type = choose_encoder(request.headers.get("accept", ""))
            # as a header: to a media type of text the framework would add a second charset
            return Response(encode(self.metrics.registry), headers={"content-type": content_type})

        @get("/healthz", include_in_schema=False, media_type=MediaType.TEXT, sync_to_thread=False)
        def healthz() -> Response[str]:
            return Response("the producer gave up\n", status_code=503) if self.outbox.broken else Response("alive\n", status_code=200)

        @get("/readyz", include_in_schema=False, media_type=MediaType.TEXT, sync_to_thread=False)
        def readyz() -> Response[str]:
            if self.keys.trouble:
                return Response("the key file cannot be used\n", status_code=503)
            return Response("ready\n", status_code=200) if self.outbox.kafka_up else Response("Kafka is away\n", status_code=503)

        @asynccontextmanager
        async def carrying(_: Litestar) -> AsyncIterator[None]:
            self.outbox.start()
            try:
                yield
            finally:
                await self.outbox.stop()
                self._log.flush()

        return Litestar(
            [index, schema, metrics, healthz, readyz],
            lifespan=[carrying],
            exception_handlers={HTTPException: _as_problem, Exception: _as_problem},
            request_max_body_size=1024,  # every request here is a GET
            openapi_config=None,  # written by hand in producers/gateway/pages.py: the post is no handler of Litestar's
            logging_config=None,  # what is logged, and where, is up to the process
        )


class _Noted:
    """Litestar's `send`: every answer with our headers, its status noted."""

    def __init__(self, exchange: Exchange, gateway: Gateway) -> None:
        self._exchange = exchange
        self._gateway = gateway

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._exchange.status = message["status"]
            message["headers"] = [*message["headers"], (b"x-request-id", self._exchange.id.encode()), *HEADERS]
        await self._exchange.send(message)  # type: ignore[arg-type]


def _as_problem(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if status >= 500:
        LOG.error("%s %s failed", request.method, request.url.path, exc_info=error)
    detail = {404: "there is nothing here; / lists what there is", 405: "this takes GET"}.get(status, "see the log for the cause")
    problem = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail)
    return Response(_encode(problem), status_code=status, headers=headers, media_type="application/problem+json")


def _head(scope: HTTPScope) -> Head | None:
    """What the head says; None: something that may come once came twice."""
    wanted: dict[bytes, bytes] = {}
    attributes: dict[str, str] = {}
    for name, value in scope["headers"]:
        if name in _WANTED:
            if name in wanted:
                return None
            wanted[name] = value
        elif name[:3] == b"ce-":
            attribute = name[3:].decode("latin-1")
            if attribute in attributes:
                return None
            attributes[attribute] = value.decode("latin-1")
    return Head(wanted, attributes)


async def _body(receive: Receive, head: Head, exchange: Exchange) -> bytes | None:
    """The body; None: the client has gone. Raises Refused 413."""
    length = head.wanted.get(b"content-length", b"0")
    if len(length) > 12 or int(length) > BODY_BYTES_MAX:
        raise Refused(413, f"more than {BODY_BYTES_MAX} bytes; send fewer events at once", reason=Reason.TOO_LARGE)
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message["body"])
        exchange.bytes += len(message["body"])
        if exchange.bytes > BODY_BYTES_MAX:
            raise Refused(413, f"more than {BODY_BYTES_MAX} bytes; send fewer events at once", reason=Reason.TOO_LARGE)
        if not message["more_body"]:
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _not_allowed(key: Key, event: Sendable) -> str:
    """Why this key may not send this event, "" where it may."""
    if not key.may_speak_for(event.source):
        return f"key {key.id} speaks for {key.reporter!r}, not for {event.source!r}; use that reporter's key or mend source"
    if not key.may_speak_about(event.data.indicator):
        return f"key {key.id} may speak about {', '.join(key.indicators)}, not about {event.data.indicator!r}"
    if isinstance(event, Acknowledged) and not key.acknowledges:
        return f"key {key.id} may not take verdicts on; the administrator makes one that may: `phusong keys create … --acknowledges`"
    return ""


def _single(result: Result) -> int:
    """The status of a request of one event that was not taken."""
    if result.reason in (Reason.NOT_JSON, Reason.NOT_CLOUDEVENT):
        return 400
    return 413 if result.reason == Reason.TOO_LARGE else result.status
