"""The feed over HTTP: /metrics for Prometheus, /healthz and /readyz for whoever runs it, /api/v1 for the operations centre.

Comes in: GET requests. Goes out: the snapshot's rows as metrics and JSON. Owns the socket and the reading thread's life. A query that
names an unknown parameter, or a value that cannot match, is answered with 400 and problem details (RFC 9457) that name what is known; a
port that cannot be bound and a reading thread that failed end the process with exit code 3.
"""

from __future__ import annotations

import asyncio
import errno
import html
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import msgspec
import uvicorn
from litestar import Litestar, MediaType, Request, Response, get
from litestar.datastructures import MutableScopeHeaders
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig, ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.params import Parameter
from litestar.plugins.problem_details import ProblemDetailsConfig, ProblemDetailsException, ProblemDetailsPlugin
from litestar.types import Message, Scope
from msgspec import Struct
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from feed.metrics import FeedCollector, program_version
from feed.snapshot import Held, R, Reader
from phusong.rows import CommuneRow, ProvinceRow, State
from phusong.rules import Rules
from phusong.settings import Settings, address

LOG = logging.getLogger(__name__)

ANSWER_ROWS_MAX = 10_000
CONNECTIONS_MAX = 128
BODY_BYTES_MAX = 1024  # every request is a GET
STOP_SECONDS_MAX = 3  # for answers under way

HEADERS = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
}

P = TypeVar("P", "PublishedProvince", "PublishedCommune")

Wanted = list[str] | None
Provinces = Annotated[Wanted, Parameter(description="Province code, e.g. 08; repeatable. Left out: all.")]
Indicators = Annotated[Wanted, Parameter(description="Indicator, e.g. postal.staffed_point; repeatable. Left out: all.")]
Vintages = Annotated[Wanted, Parameter(description="List of communes, e.g. 2020-01-01; repeatable. Left out: the one in force.")]


class PublishedProvince(ProvinceRow, frozen=True, kw_only=True):
    """A province's row, the moment it is true for, and the wall time at which it was published."""

    as_of: datetime
    published: datetime


class PublishedCommune(CommuneRow, frozen=True, kw_only=True):
    """A commune's row, the moment it is true for, and the wall time at which it was published."""

    as_of: datetime
    published: datetime


class Problem(Struct, frozen=True, kw_only=True):
    """Problem details (RFC 9457); `known`: what `parameter` may be, or the known parameters where it is unknown itself."""

    status: int
    title: str
    detail: str
    parameter: str
    known: list[str]


REFUSED = {400: ResponseSpec(Problem, description="a query that cannot match anything", media_type="application/problem+json")}

INDEX = """<!doctype html>
<html lang="vi"><meta charset="utf-8"><title>Phủ sóng</title>
<h1>Phủ sóng</h1>
<p>Giám sát phủ sóng viễn thông, phát thanh - truyền hình, bưu chính đến từng xã.<br>
<span lang="en">Commune-level coverage of telecom, broadcast and postal services.</span></p>
<ul>{links}</ul></html>
"""
LINKS = (
    ("/api/v1/provinces", "tỷ lệ từng tỉnh (ratio of each province)"),
    ("/api/v1/communes", "từng xã (each commune)"),
    ("/api/v1/gaps", "các xã còn thiếu (the communes behind a gap)"),
    ("/api/v1/schema/openapi.json", "mô tả API (OpenAPI)"),
    ("/metrics", "số đo cho Prometheus (metrics)"),
    ("/healthz", "tiến trình còn sống (alive)"),
    ("/readyz", "đã đọc hết dữ liệu (caught up)"),
)


class Selection:
    """Which rows a query asks for. Raises ProblemDetailsException, naming what is known, for one that cannot match anything."""

    def __init__(self, rules: Rules, as_of: datetime, query: Iterable[str], province: Wanted, indicator: Wanted, vintage: Wanted) -> None:
        register, known = rules.register, ("province", "indicator", "vintage")
        for name in query:
            if name not in known:
                raise _refusal(f"there is no parameter {name!r}", name, known)
        self._provinces = _known("province", province, register.provinces)
        self._indicators = _known("indicator", indicator, rules.catalogue.indicators)
        in_force = register.vintage_at(as_of)
        self._vintages = _known("vintage", vintage, register.vintages) if vintage else {in_force.id} if in_force else set()

    def of(self, rows: list[Held[R]]) -> list[Held[R]]:
        """The rows asked for, by vintage, indicator, then commune or province."""
        found = [
            one
            for one in rows
            if one.row.vintage in self._vintages and one.row.province in self._provinces and one.row.indicator in self._indicators
        ]
        # a key is vintage/what/indicator
        return sorted(found, key=lambda one: (one.row.vintage, one.row.indicator, one.row.key))


def build_feed(settings: Settings, rules: Rules) -> Litestar:
    """The application; its lifespan starts and stops the reading thread, `app.state.reader`."""
    reader = Reader(settings.bootstrap_servers)

    def as_of() -> datetime:
        return settings.as_of(datetime.now(UTC))

    registry = CollectorRegistry()
    registry.register(FeedCollector(reader, rules, as_of))

    @get("/", include_in_schema=False, media_type=MediaType.HTML, sync_to_thread=False)
    def index() -> str:
        links = "".join(f'<li><a href="{html.escape(path)}">{html.escape(path)}</a>: {html.escape(text)}</li>' for path, text in LINKS)
        return INDEX.format(links=links)

    @get("/metrics", include_in_schema=False, sync_to_thread=True)
    def metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        # as a header: to a media type of text the framework would add a second charset
        return Response(encode(registry), headers={"content-type": content_type})

    @get("/healthz", include_in_schema=False, media_type=MediaType.TEXT, sync_to_thread=False)
    def healthz() -> Response[str]:
        return Response("alive\n", status_code=200) if reader.alive else Response("the reading thread has ended\n", status_code=503)

    @get("/readyz", include_in_schema=False, media_type=MediaType.TEXT, sync_to_thread=False)
    def readyz() -> Response[str]:
        return Response("ready\n", status_code=200) if reader.ready else Response("still reading what Kafka holds\n", status_code=503)

    @get("/api/v1/provinces", responses=REFUSED, summary="Ratio, interval, target and verdict of each province", sync_to_thread=True)
    def provinces(
        request: Request[Any, Any, Any], province: Provinces = None, indicator: Indicators = None, vintage: Vintages = None
    ) -> list[PublishedProvince]:
        wanted = Selection(rules, as_of(), request.query_params, province, indicator, vintage)
        return _published(PublishedProvince, wanted.of(reader.snapshot.provinces()))

    @get("/api/v1/communes", responses=REFUSED, summary="Every commune: what is covered, how sure, what is promised", sync_to_thread=True)
    def communes(
        request: Request[Any, Any, Any], province: Provinces = None, indicator: Indicators = None, vintage: Vintages = None
    ) -> list[PublishedCommune]:
        wanted = Selection(rules, as_of(), request.query_params, province, indicator, vintage)
        return _published(PublishedCommune, wanted.of(reader.snapshot.communes()))

    @get("/api/v1/gaps", responses=REFUSED, summary="The communes behind a gap: unknown, stale, or not fully covered", sync_to_thread=True)
    def gaps(
        request: Request[Any, Any, Any], province: Provinces = None, indicator: Indicators = None, vintage: Vintages = None
    ) -> list[PublishedCommune]:
        wanted = Selection(rules, as_of(), request.query_params, province, indicator, vintage)
        return _published(PublishedCommune, [one for one in wanted.of(reader.snapshot.communes()) if _is_gap(one.row)])

    @asynccontextmanager
    async def reading(_: Litestar) -> AsyncIterator[None]:
        reader.start()
        try:
            yield
        finally:
            await asyncio.to_thread(reader.stop)

    app = Litestar(
        [index, metrics, healthz, readyz, provinces, communes, gaps],
        lifespan=[reading],
        plugins=[ProblemDetailsPlugin(ProblemDetailsConfig(enable_for_all_http_exceptions=True))],
        before_send=[_add_headers],
        after_exception=[_log_unexpected],
        request_max_body_size=BODY_BYTES_MAX,
        # the JSON alone: the pages that draw it load scripts from elsewhere
        openapi_config=OpenAPIConfig(
            title="Phủ sóng", version=program_version(), path="/api/v1/schema", render_plugins=[JsonRenderPlugin()]
        ),
        # what is logged, and where, is up to the process
        logging_config=None,
    )
    app.state.reader = reader
    return app


class FeedServer:
    """The feed on its address: `serve` blocks until `stop`, which any thread or signal handler may call, or until reading has failed."""

    def __init__(self, settings: Settings, rules: Rules) -> None:
        self._settings = settings
        app = build_feed(settings, rules)
        self._reader: Reader = app.state.reader
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                lifespan="on",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=CONNECTIONS_MAX,
                timeout_graceful_shutdown=STOP_SECONDS_MAX,
            )
        )
        self._reader.done.add_done_callback(lambda _: self.stop())

    def serve(self, on_ready: Callable[[str], None]) -> int:
        """Exit code 0 after `stop`, 3 when the address cannot be bound or reading failed; `on_ready` gets the address once it is bound."""
        settings = self._settings
        try:
            listener = socket.create_server(
                (settings.bind, settings.feed_port), family=socket.AF_INET6 if ":" in settings.bind else socket.AF_INET
            )
        except OSError as error:
            LOG.error("%s", _cannot_listen(settings, error))
            return 3
        url = address(settings.bind, listener.getsockname()[1])
        LOG.info("the feed listens on %s", url)
        on_ready(url)
        self._server.run(sockets=[listener])
        reader = self._reader
        return 3 if reader.done.done() and reader.done.exception() else 0

    def stop(self) -> None:
        """End `serve` within a few seconds."""
        self._server.should_exit = True


def run(settings: Settings, rules: Rules, on_ready: Callable[[str], None] = lambda _: None) -> int:
    """Serve until SIGTERM or SIGINT; the exit code. `on_ready` gets the address once requests are taken."""
    server = FeedServer(settings, rules)
    # uvicorn has handlers of its own while it serves, and raises the signal again when it is done: these are for before and after
    before = {one: signal.signal(one, lambda *_: server.stop()) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        return server.serve(on_ready)
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _published(kind: type[P], rows: list[Held[R]]) -> list[P]:
    if len(rows) > ANSWER_ROWS_MAX:
        detail = f"{len(rows)} rows are more than the {ANSWER_ROWS_MAX} of one answer: name a province, an indicator or a vintage"
        raise ProblemDetailsException(status_code=400, title="Too many rows", detail=detail)
    return [kind(**msgspec.structs.asdict(one.row), as_of=one.version.as_of, published=one.published) for one in rows]


def _is_gap(row: CommuneRow) -> bool:
    return row.state is not State.FRESH or (row.ratio is not None and row.ratio < 1)


def _known(parameter: str, wanted: Wanted, known: Iterable[str]) -> set[str]:
    values = set(known)
    for one in wanted or ():
        if one not in values:
            raise _refusal(f"{parameter} {one!r} is not known", parameter, known)
    return set(wanted or values)


def _refusal(detail: str, parameter: str, known: Iterable[str]) -> ProblemDetailsException:
    choices = sorted(known)
    return ProblemDetailsException(
        status_code=400,
        title="Unknown parameter or value",
        detail=f"{detail}; one of: {', '.join(choices)}",
        extra={"parameter": parameter, "known": choices},
    )


async def _add_headers(message: Message, _: Scope) -> None:
    if message["type"] == "http.response.start":
        MutableScopeHeaders.from_message(message).update(HEADERS)


async def _log_unexpected(error: Exception, scope: Scope) -> None:
    if not isinstance(error, HTTPException):
        LOG.error("GET %s failed", scope["path"], exc_info=error)


def _cannot_listen(settings: Settings, error: OSError) -> str:
    where = f"{settings.bind}:{settings.feed_port}"
    if error.errno == errno.EADDRINUSE:
        return f"{where} is taken: stop what listens there, or choose another PHUSONG_FEED_PORT (0: any free one)"
    return f"cannot listen on {where}: {error.strerror or error}; correct PHUSONG_BIND or PHUSONG_FEED_PORT"
