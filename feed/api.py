"""The feed over HTTP: /metrics for Prometheus, /healthz and /readyz for whoever runs it, /api/v1 for the operations centre.

Comes in: GET requests. Goes out: the snapshot as metrics; every address of resources.py as JSON, CSV or GeoJSON; from stream.py, changes
as they happen. Owns the reading thread's and the stream's life. What cannot be answered gets problem details (RFC 9457) with the remedy.
"""

from __future__ import annotations

import asyncio
import html
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Litestar, MediaType, Request, Response, get
from litestar.datastructures import MutableScopeHeaders
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Message, Scope
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from feed.answers import CONTENT_TYPES, body_of, form_of, is_known, tag_of
from feed.metrics import FeedCollector, program_version
from feed.openapi import EVENTS_FILTERS, EVENTS_PATH, openapi
from feed.paging import page
from feed.problems import Refused, respond
from feed.query import read_query
from feed.resources import RESOURCES, Resource, Source
from feed.snapshot import Reader
from feed.stream import STREAMS_MAX, EventStream, Heartbeat, Stream, moment
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

INDEX = """<!doctype html>
<html lang="vi"><meta charset="utf-8"><title>Phủ sóng</title>
<h1>Phủ sóng</h1>
<p>Giám sát phủ sóng viễn thông, phát thanh - truyền hình, bưu chính đến từng xã.<br>
<span lang="en">Commune-level coverage of telecom, broadcast and postal services.</span></p>
<ul>{links}</ul></html>
"""
LINKS = (
    *((one.path, one.summary) for one in RESOURCES),
    (EVENTS_PATH, "luồng thay đổi (changes as they happen, server-sent events)"),
    (SCHEMA_PATH, "mô tả API (OpenAPI)"),
    ("/metrics", "số đo cho Prometheus (metrics)"),
    ("/healthz", "tiến trình còn sống (alive)"),
    ("/readyz", "đã đọc hết dữ liệu (caught up)"),
)


def build_feed(settings: Settings, rules: Rules) -> Litestar:
    """The application; its lifespan starts and stops the reading thread, `app.state.reader`, and `app.state.stream`."""

    def as_of() -> datetime:
        return settings.as_of(datetime.now(UTC))

    stream = Stream(rules, as_of)
    reader = Reader(settings.bootstrap_servers, stream.publish)
    source = Source(reader.snapshot, rules, as_of)
    registry = CollectorRegistry()
    registry.register(FeedCollector(reader, stream, rules, as_of))

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
            await asyncio.to_thread(reader.stop)

    app = Litestar(
        [*_pages(reader, registry, rules), _events(stream, rules), *(_listing(resource, source) for resource in RESOURCES)],
        lifespan=[reading],
        exception_handlers={Refused: respond, HTTPException: respond, Exception: respond},
        before_send=[_add_headers],
        request_max_body_size=BODY_BYTES_MAX,
        # written in openapi.py: every form, and nothing that the query does not take
        openapi_config=None,
        # what is logged, and where, is up to the process
        logging_config=None,
    )
    app.state.reader = reader
    app.state.stream = stream
    return app


def _pages(reader: Reader, registry: CollectorRegistry, rules: Rules) -> list[HTTPRouteHandler]:
    """What is not of /api/v1, and the description of what is."""
    document = msgspec.json.encode(openapi(rules, program_version()))

    @get("/", media_type=MediaType.HTML, sync_to_thread=False)
    def index() -> str:
        links = "".join(f'<li><a href="{html.escape(path)}">{html.escape(path)}</a>: {html.escape(text)}</li>' for path, text in LINKS)
        return INDEX.format(links=links)

    @get("/metrics", sync_to_thread=True)
    def metrics(request: AnyRequest) -> Response[bytes]:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        # as a header: to a media type of text the framework would add a second charset
        return Response(encode(registry), headers={"content-type": content_type})

    @get("/healthz", media_type=MediaType.TEXT, sync_to_thread=False)
    def healthz() -> Response[str]:
        return Response("alive\n", status_code=200) if reader.alive else Response("the reading thread has ended\n", status_code=503)

    @get("/readyz", media_type=MediaType.TEXT, sync_to_thread=False)
    def readyz() -> Response[str]:
        return Response("ready\n", status_code=200) if reader.ready else Response("still reading what Kafka holds\n", status_code=503)

    @get(SCHEMA_PATH, sync_to_thread=False)
    def schema() -> Response[bytes]:
        return Response(document, headers={"content-type": "application/json"})

    return [index, metrics, healthz, readyz, schema]


def _events(stream: Stream, rules: Rules) -> HTTPRouteHandler:
    """The address of the changes."""

    @get(EVENTS_PATH)
    async def events(request: AnyRequest) -> ASGIApp:
        query = read_query(_query_text(request), EVENTS_FILTERS, (), rules)
        if len(stream) >= STREAMS_MAX:
            raise Refused(503, f"{STREAMS_MAX} clients read events already; come back in a moment", headers={"retry-after": "5"})
        return EventStream(stream, query, request.headers.get("last-event-id", ""))

    return events


def _listing(resource: Resource[Any], source: Source) -> HTTPRouteHandler:
    """The address of a resource."""

    @get(resource.path, sync_to_thread=True, name=resource.path)
    def listing(request: AnyRequest) -> Response[bytes]:
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
        return Response(body, headers={**headers, "content-type": CONTENT_TYPES[form]})

    return listing


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
