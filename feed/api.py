"""The feed over HTTP: /metrics for Prometheus, /healthz and /readyz for whoever runs it, /api/v1 for the operations centre.

Comes in: GET requests. Goes out: the snapshot as metrics; every address of resources.py as JSON, CSV or GeoJSON; from stream.py, changes
as they happen. Owns the reading thread's and the stream's life. What cannot be answered gets problem details (RFC 9457) with the remedy.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Litestar, MediaType, Request, Response, Router, get
from litestar.datastructures import MutableScopeHeaders
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream as Streamed
from litestar.types import ASGIApp, Message, Scope

from feed.answers import CONTENT_TYPES, body_of, form_of, is_known, tag_of
from feed.heads import with_heads
from feed.long_answers import PIECE_BYTES, LongAnswers
from feed.metrics import FeedMetrics, program_version
from feed.on_demand import OnDemand
from feed.openapi import EVENTS_FILTERS, EVENTS_PATH, openapi
from feed.paging import page
from feed.problems import Refused, respond
from feed.query import read_query
from feed.question import EVIDENCE_FORMS, EVIDENCE_PATH, Asking, read_question
from feed.resources import RESOURCES, Resource, Source
from feed.runbooks import runbooks
from feed.sign_in import Readers
from feed.snapshot import Change, Reader, Reset
from feed.stream import STREAMS_MAX, EventStream, Heartbeat, Stream, moment
from feed.wallboard.pages import wallboard
from phusong.rules import Rules
from phusong.settings import Settings

BODY_BYTES_MAX = 1024  # every request is a GET
SCHEMA_PATH = "/api/v1/schema/openapi.json"

HEADERS = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
}

AnyRequest = Request[Any, Any, Any]

LINKS = (
    *((one.path, one.summary) for one in RESOURCES),
    (EVIDENCE_PATH, "vì sao một xã được tính như vậy (why a commune counts as it does)"),
    (EVENTS_PATH, "luồng thay đổi (changes as they happen, server-sent events)"),
    (SCHEMA_PATH, "mô tả API (OpenAPI)"),
    ("/runbooks", "phải làm gì khi có cảnh báo (what to do when an alert fires)"),
    ("/metrics", "số đo cho Prometheus (metrics)"),
    ("/healthz", "tiến trình còn sống (alive)"),
    ("/readyz", "đã đọc hết dữ liệu (caught up)"),
)


def build_feed(settings: Settings, rules: Rules) -> Litestar:
    """The application; its lifespan starts and stops the reading thread, `app.state.reader`, and `app.state.stream`."""

    def as_of() -> datetime:
        return settings.as_of(datetime.now(UTC))

    stream = Stream(rules, as_of)

    def tell(change: Change) -> None:
        stream.publish(change)
        if isinstance(change, Reset):
            # every line is written now for the first time: no scraper is to wait for that, and no change
            threading.Thread(target=metrics.scrape, args=("",), name="feed-metrics", daemon=True).start()

    reader = Reader(settings.kafka(), tell)
    long_answers = LongAnswers()
    source = Source(reader.snapshot, rules, as_of)
    on_demand = OnDemand(settings.kafka(), rules)
    metrics = FeedMetrics(reader, stream, rules, as_of)
    readers = Readers(settings)

    def heartbeat() -> Heartbeat:
        return Heartbeat(as_of=as_of(), ready=reader.ready, kafka_seen=moment(reader.kafka_seen))

    @asynccontextmanager
    async def reading(_: Litestar) -> AsyncIterator[None]:
        stream.begin()
        beating = asyncio.create_task(stream.beat(heartbeat))
        reader.start()
        try:
            yield
        finally:
            beating.cancel()
            on_demand.close()
            await asyncio.to_thread(reader.stop)

    app = Litestar(
        [
            *_pages(reader, metrics, rules, long_answers),
            *runbooks(),
            *readers.pages(),
            Router(
                "/",
                route_handlers=[
                    _schema(rules, readers),
                    _events(stream, rules, readers),
                    *(_listing(resource, source, long_answers) for resource in RESOURCES),
                    _evidence(source, Asking(source, on_demand, settings.as_of)),
                ],
                guards=[readers.guard] if readers.named else [],
            ),
        ],
        lifespan=[reading],
        exception_handlers={Refused: respond, HTTPException: respond, Exception: respond},
        before_send=[_add_headers],
        request_max_body_size=BODY_BYTES_MAX,
        # written in openapi.py: every form, and nothing that the query does not take
        openapi_config=None,
        # what is logged, and where, is up to the process
        logging_config=None,
    )
    app.asgi_handler = with_heads(app.asgi_handler)
    app.state.reader = reader
    app.state.stream = stream
    return app


def _pages(reader: Reader, metrics: FeedMetrics, rules: Rules, long_answers: LongAnswers) -> list[HTTPRouteHandler]:
    """The wallboard, what is for those who run the feed, and the description of /api/v1."""

    @get("/metrics", sync_to_thread=True)
    def scrape(request: AnyRequest) -> Streamed:
        if request.scope.get("raw_path", b"") not in (b"", b"/metrics"):
            # a proxy that keeps it from the world by its name is not to be got round by another way to write it
            raise Refused(404, "there is no such address; metrics are at /metrics")
        pieces, content_type = metrics.scrape(request.headers.get("accept", ""))
        # as a header: to a media type of text the framework would add a second charset
        headers = {"content-type": content_type, "content-length": str(sum(map(len, pieces)))}
        return Streamed(long_answers.each(pieces, request.scope), headers=headers)

    @get("/healthz", media_type=MediaType.TEXT, sync_to_thread=False)
    def healthz() -> Response[str]:
        return Response("alive\n", status_code=200) if reader.alive else Response("the reading thread has ended\n", status_code=503)

    @get("/readyz", media_type=MediaType.TEXT, sync_to_thread=False)
    def readyz() -> Response[str]:
        return Response("ready\n", status_code=200) if reader.ready else Response("still reading what Kafka holds\n", status_code=503)

    return [scrape, healthz, readyz, *wallboard(rules, LINKS)]


def _schema(rules: Rules, readers: Readers) -> HTTPRouteHandler:
    """The address of the description."""
    document = msgspec.json.encode(openapi(rules, program_version(), named=readers.named))

    @get(SCHEMA_PATH, sync_to_thread=False)
    def schema() -> Response[bytes]:
        return Response(document, headers={"content-type": "application/json"})

    return schema


def _events(stream: Stream, rules: Rules, readers: Readers) -> HTTPRouteHandler:
    """The address of the changes."""

    @get(EVENTS_PATH)
    async def events(request: AnyRequest) -> ASGIApp:
        query = read_query(_query_text(request), EVENTS_FILTERS, (), rules)
        if len(stream) >= STREAMS_MAX:
            raise Refused(503, f"{STREAMS_MAX} clients read events already; come back in a moment", headers={"retry-after": "5"})
        return readers.watched(EventStream(stream, query, request.headers.get("last-event-id", "")), request)

    return events


def _listing(resource: Resource[Any], source: Source, long_answers: LongAnswers) -> HTTPRouteHandler:
    """The address of a resource."""

    @get(resource.path, sync_to_thread=True, name=resource.path)
    def listing(request: AnyRequest) -> Response[Any]:
        query = read_query(_query_text(request), resource.parameters, resource.formats, source.rules, resource.order_parts)
        form = form_of(query, request.headers.get("accept", ""), resource.formats)
        found, cursor = page(resource.find(source, query), resource.order, query.limit, query.after)
        tag = tag_of(map(resource.version, found), form, query.lang, query.bom, cursor, source.rules.number, program_version())
        headers = {"etag": tag, "cache-control": "no-cache", "vary": "accept"}
        if cursor:
            headers["link"] = f'<{resource.path}?{_next(resource, source, query.pairs, cursor)}>; rel="next"'
        if is_known(tag, request.headers.get("if-none-match", "")):
            return Response(b"", status_code=304, headers=headers)
        body = body_of(form, [resource.show(one) for one in found], resource.kind, query, source.point)
        headers["content-type"] = CONTENT_TYPES[form]
        if len(body) <= PIECE_BYTES:
            return Response(body, headers=headers)
        return Streamed(long_answers.each([body], request.scope), headers={**headers, "content-length": str(len(body))})

    return listing


def _evidence(source: Source, asking: Asking) -> HTTPRouteHandler:
    """The address of the evidence."""

    @get(EVIDENCE_PATH)
    async def evidence(request: AnyRequest) -> Response[bytes]:
        question = read_question(_query_text(request), source.rules, source.as_of())
        form_of(question.query, request.headers.get("accept", ""), EVIDENCE_FORMS)
        body = await asking.answer(question)
        tag = tag_of([body])
        headers = {"etag": tag, "cache-control": "no-cache", "vary": "accept"}
        if is_known(tag, request.headers.get("if-none-match", "")):
            return Response(b"", status_code=304, headers=headers)
        return Response(body, headers={**headers, "content-type": CONTENT_TYPES["json"]})

    return evidence


def _next(resource: Resource[Any], source: Source, pairs: tuple[tuple[str, str], ...], cursor: str) -> str:
    """The query of the next page: of the same list, even if another one comes into force in between."""
    kept = [pair for pair in pairs if pair[0] != "cursor"]
    if resource.in_force_only and not any(name == "vintage" for name, _ in kept):
        kept += [("vintage", vintage) for vintage in source.in_force()]
    return urlencode([*kept, ("cursor", cursor)])


def _query_text(request: AnyRequest) -> str:
    return str(request.scope["query_string"], "latin-1")


async def _add_headers(message: Message, _: Scope) -> None:
    if message["type"] == "http.response.start":
        headers = MutableScopeHeaders.from_message(message)
        for name, value in HEADERS.items():
            headers.setdefault(name, value)
        if message["status"] == 304:
            # they would speak of the body that is not sent
            for name in ("content-length", "content-type"):
                headers.pop(name, None)
