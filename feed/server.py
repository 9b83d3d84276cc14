"""The feed on its address: a socket, a bounded number of connections, and an end within seconds.

Comes in: connections. Goes out: requests to api.py, within bounds: so many connections, so large a head, so long a request. Owns the
socket, the event loop and the reading thread's life. What exceeds a bound gets problem details and its connection is closed; a port that
cannot be bound and a reading thread that failed end the process with exit code 3.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import signal
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from feed.api import build_feed
from feed.problems import raw
from feed.snapshot import Reader
from feed.stream import ABORT, STREAMS_MAX, Stream
from phusong.rules import Rules
from phusong.settings import Settings, address

LOG = logging.getLogger(__name__)

CONNECTIONS_MAX = STREAMS_MAX + 256
"""Every stream, and as many again as scrapers, browsers and programs need."""
FILES_MORE = 256  # Kafka's connections, the log, the program's own files
HEAD_BYTES_MAX = 16 * 1024
REQUEST_SECONDS_MAX = 10.0
"""How long a connection may take to send a request, from its start."""
STALL_SECONDS_MAX = 30.0
"""How long a client may take nothing of an answer. Longer than a stream waits, which drops its clients itself, and counts them."""
STOP_SECONDS_MAX = 3  # for answers under way
_TOO_LARGE = f"more than {HEAD_BYTES_MAX} bytes of headers"


class Connection(HttpToolsProtocol):
    """uvicorn's connection, with bounds that it does not have."""

    _timer: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _in_head = False
    _too_large = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            self._refuse(503, "more connections than this feed takes; come back in a moment")
        else:
            self._timer = self.loop.call_later(REQUEST_SECONDS_MAX, self._too_slow)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
                self._refuse(431, _TOO_LARGE)

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel()
        self._taken()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        self._taken()
        super().resume_writing()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0
        self.scope["state"][ABORT] = self.transport.abort
        if self._timer is None:
            self._timer = self.loop.call_later(REQUEST_SECONDS_MAX, self._too_slow)

    def on_headers_complete(self) -> None:
        self._in_head = False
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > HEAD_BYTES_MAX:
            self._too_large = True
            # ends the parsing; `send_400_response` then tells why
            raise ValueError("headers")
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._cancel()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's sentence; ours are problem details
        if self._too_large:
            self._refuse(431, _TOO_LARGE)
        else:
            self._refuse(400, "this is no HTTP request that can be read")

    def _watch(self) -> None:
        """Look later whether anything of what waits has been taken."""
        self._stall = self.loop.call_later(STALL_SECONDS_MAX, self._look, self.transport.get_write_buffer_size())

    def _look(self, waited: int) -> None:
        if self.transport.get_write_buffer_size() < waited:
            self._watch()
        else:
            LOG.info("a client takes nothing of its answer and is dropped")
            self.transport.abort()

    def _taken(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _too_slow(self) -> None:
        self._timer = None
        if not self.transport.is_closing():
            self._refuse(408, f"the request did not come whole within {REQUEST_SECONDS_MAX:g} s; send it again")

    def _refuse(self, status: int, detail: str) -> None:
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self.transport.write(raw(status, detail))
        self.transport.close()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Server(uvicorn.Server):
    """uvicorn's server; it ends the streams first, which would else hold it up."""

    def __init__(self, config: uvicorn.Config, stream: Stream) -> None:
        super().__init__(config)
        self._stream = stream

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stream.end()
        await super().shutdown(sockets)


class FeedServer:
    """The feed on its address: `serve` blocks until `stop`, which any thread or signal handler may call, or until reading has failed."""

    def __init__(self, settings: Settings, rules: Rules) -> None:
        self._settings = settings
        app = build_feed(settings, rules)
        self._reader: Reader = app.state.reader
        self._server = _Server(
            uvicorn.Config(
                app,
                http=Connection,
                ws="none",
                lifespan="on",
                log_config=None,
                log_level="error",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=STOP_SECONDS_MAX,
            ),
            app.state.stream,
        )
        self._reader.done.add_done_callback(lambda _: self.stop())

    def serve(self, on_ready: Callable[[str], None]) -> int:
        """Exit code 0 after `stop`, 3 when the address cannot be bound or reading failed; `on_ready` gets the address once it is bound."""
        settings = self._settings
        try:
            listener = socket.create_server(
                (settings.bind, settings.feed_port), family=socket.AF_INET6 if ":" in settings.bind else socket.AF_INET, backlog=1024
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
    _allow_files()
    server = FeedServer(settings, rules)
    # uvicorn has handlers of its own while it serves, and raises the signal again when it is done: these are for before and after
    before: dict[signal.Signals, Any] = {one: signal.signal(one, lambda *_: server.stop()) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        return server.serve(on_ready)
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _allow_files() -> None:
    """As many open files as there may be connections: the customary limit is lower."""
    wanted = CONNECTIONS_MAX + FILES_MORE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        if allowed < wanted:
            LOG.warning("only %d open files are allowed, too few for %d connections; raise ulimit -n", allowed, CONNECTIONS_MAX)


def _cannot_listen(settings: Settings, error: OSError) -> str:
    where = f"{settings.bind}:{settings.feed_port}"
    if error.errno == errno.EADDRINUSE:
        return f"{where} is taken: stop what listens there, or choose another PHUSONG_FEED_PORT (0: any free one)"
    return f"cannot listen on {where}: {error.strerror or error}; correct PHUSONG_BIND or PHUSONG_FEED_PORT"
