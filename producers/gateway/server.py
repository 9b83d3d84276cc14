"""The gateway on its address: a socket, a bounded number of connections, and an end that loses nothing.

Comes in: connections. Goes out: requests to app.py, within bounds: so many connections and requests waiting on one, so large a head, so
long a request, so long until its answer is read. Owns the socket, the event loop and the producer. What exceeds a bound is answered 431,
413, 408, 429 or 503 and its connection closed; an offer to speak another protocol (h2c, WebSocket) is passed over. SIGTERM stops
accepting, waits for what is under way, and ends with 0; an address that cannot be bound and a producer that has given up end with 3.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import signal
import socket
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NoReturn

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from phusong.admission import Admission
from phusong.rules import Rules
from phusong.settings import Settings, address
from producers.gateway.app import DELIVERY_SECONDS_MAX, Gateway, Writer
from producers.publisher import Publisher

LOG = logging.getLogger(__name__)

CONNECTIONS_MAX = 512
HEAD_BYTES_MAX = 16 * 1024
FRAMING_BYTES_MAX = 256 * 1024
"""How much of a request may be neither head nor body: the sizes of its chunks and what follows the last one."""
WAITING_MAX = 16
"""How many requests may wait on one connection for the answer to the one before."""
REQUEST_SECONDS_MAX = 10.0
"""How long a request may take to come, from its first byte (or the connection's start) to its last."""
TAKEN_SECONDS_MAX = 10.0
"""How long a client may leave an answer unread."""
IDLE_SECONDS_MAX = 30
STOP_SECONDS_MAX = 9
"""For requests under way: longer than one may wait for Kafka; with the outbox's flush less than the 15 s that a supervisor gives."""


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's connection, with bounds that it does not have."""

    opened = 0.0
    _timer: asyncio.TimerHandle | None = None
    _abort_timer: asyncio.TimerHandle | None = None
    _in_head = False
    _unfinished = False
    _head_bytes = 0
    _framing_bytes = 0
    _upgrade_at = -1
    _running: RequestResponseCycle | None = None
    _bound: tuple[int, str] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.opened = self.loop.time()
        self._timer = self.loop.call_later(REQUEST_SECONDS_MAX, self._too_slow)
        if len(self.connections) > CONNECTIONS_MAX:
            # a client that means it sends its head at once: whoever has waited longest without one makes room, else the newcomer goes
            bounded: Any = self.connections
            silent = [one for one in bounded if one.cycle is None and not one.transport.is_closing()]
            oldest: BoundedProtocol = min(silent, key=lambda one: one.opened)
            oldest._refuse(503, f"more than {CONNECTIONS_MAX} connections; try again, and keep connections open")

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._framing_bytes += len(data)
        super().data_received(data)
        while self._upgrade_at >= 0 and not self.transport.is_closing():
            # the parser took what follows the head for the other protocol: parse the head again without the offer
            data = self._head_without_upgrade() + data[self._upgrade_at :]
            self._upgrade_at = -1
            self.parser = httptools.HttpRequestParser(self)
            # as uvicorn's own
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
                self._refuse(431, f"more than {HEAD_BYTES_MAX} bytes of headers")
        elif self._unfinished and self._framing_bytes > HEAD_BYTES_MAX + FRAMING_BYTES_MAX and not self.transport.is_closing():
            self._refuse(413, f"more than {FRAMING_BYTES_MAX} bytes around the chunks; send larger chunks, and nothing after the last")
        idle = self.cycle is None or self.cycle.response_complete
        if self._unfinished or idle:
            if self._timer is None:
                self._timer = self.loop.call_later(REQUEST_SECONDS_MAX, self._too_slow)
        elif self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def eof_received(self) -> None:
        super().eof_received()
        self._abort_later()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._timer, self._abort_timer):
            if timer is not None:
                timer.cancel()
        if self._running is not None:
            # uvicorn tells the request that came last, not the one that is being answered, which would then write to nobody
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_message_begin(self) -> None:
        self._in_head = self._unfinished = True
        self._head_bytes = self._framing_bytes = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        # what follows the last chunk is no header: it would come after we have looked at them
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > HEAD_BYTES_MAX:
            self._end_parsing(431, f"more than {HEAD_BYTES_MAX} bytes of headers")
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                self._end_parsing(400, "this is no proxy")
            return
        super().on_headers_complete()
        if len(self.pipeline) > WAITING_MAX:
            self._end_parsing(429, f"more than {WAITING_MAX} requests wait on one connection; wait for their answers")

    def on_body(self, body: bytes) -> None:
        self._framing_bytes -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            self._unfinished = False
            super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._timer is not None and not self._unfinished:
            self._timer.cancel()
            self._timer = None
        if self.transport.is_closing():
            self._abort_later()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._abort_later()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._abort_timer is not None and not self.transport.is_closing():
            self._abort_timer.cancel()
            self._abort_timer = None

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._abort_later()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's sentence; ours are problem details
        self._refuse(*(self._bound or (400, "this is no HTTP request that can be read")))

    def _unsupported_upgrade_warning(self) -> None:
        # uvicorn calls this while it handles the parser's HttpParserUpgrade, which says where the head ended
        upgrade = sys.exception()
        self._upgrade_at = int(upgrade.args[0]) if upgrade else -1

    def _head_without_upgrade(self) -> bytes:
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        for name, value in self.headers:
            if name == b"connection":
                lines.append(b"connection: " + b",".join(one for one in value.split(b",") if one.strip().lower() != b"upgrade"))
            elif name != b"upgrade":
                lines.append(b"%b: %b" % (name, value))
        return b"\r\n".join((*lines, b"", b""))

    def _end_parsing(self, status: int, detail: str) -> NoReturn:
        """Raises what ends the parsing; `send_400_response` then says why."""
        self._bound = status, detail
        raise ValueError(detail)

    def _too_slow(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.close()
            self._abort_later()
        else:
            self._refuse(408, f"the request did not come whole within {REQUEST_SECONDS_MAX:g} s; send it again")

    def _refuse(self, status: int, detail: str) -> None:
        gateway: Any = self.app
        # what was answered before it came whole gets no second answer: a proxy would give it to the next request
        answered = self._unfinished and not self._in_head and self.cycle is not None and self.cycle.response_complete
        if not answered:
            self.transport.write(gateway.refusal(status, detail))
        self.transport.close()
        self._abort_later()

    def _abort_later(self) -> None:
        """End a connection whose client does not read: to close it waits for that."""
        if self._abort_timer is None:
            self._abort_timer = self.loop.call_later(TAKEN_SECONDS_MAX, self.transport.abort)


class GatewayServer:
    """The gateway on its address: `serve` blocks until `stop`, which any thread or handler may call, or until the producer gives up."""

    def __init__(self, settings: Settings, rules: Rules, log: Writer = sys.stderr) -> None:
        self._settings = settings
        self._rules = rules
        self._log = log
        self._server: uvicorn.Server | None = None
        self._stopped = False
        self._broken = False

    def serve(self, on_ready: Callable[[str], None]) -> int:
        """Exit code 0 after `stop`, 3 when the address cannot be bound or the producer gave up; `on_ready` gets the address.

        Raises PublishError where Kafka does not answer at the start, KeyFileError where the key file cannot be used.
        """
        settings = self._settings
        try:
            listener = socket.create_server(
                (settings.bind, settings.gateway_port), family=socket.AF_INET6 if ":" in settings.bind else socket.AF_INET, backlog=1024
            )
        except OSError as error:
            LOG.error("%s", _cannot_listen(settings, error))
            return 3
        with listener, _publisher(settings, self._rules) as publisher:
            gateway = Gateway(settings, self._rules, publisher, self._give_up, log=self._log)
            self._server = uvicorn.Server(
                uvicorn.Config(
                    gateway,
                    loop="uvloop",
                    http=BoundedProtocol,
                    ws="none",
                    interface="asgi3",
                    lifespan="on",
                    log_config=None,
                    log_level="error",
                    access_log=False,
                    server_header=False,
                    proxy_headers=False,
                    timeout_keep_alive=IDLE_SECONDS_MAX,
                    timeout_graceful_shutdown=STOP_SECONDS_MAX,
                )
            )
            self._server.should_exit = self._stopped
            # the rules are many objects that live as long as we do: not to be looked through again and again
            gc.collect()
            gc.freeze()
            url = address(settings.bind, listener.getsockname()[1])
            LOG.info("the gateway listens on %s, %d keys", url, len(gateway.keys))
            if not len(gateway.keys):
                LOG.warning("%s holds no key: nobody is let in before `phusong keys create REPORTER`", settings.keys)
            on_ready(url)
            self._server.run(sockets=[listener])
            gateway.outbox.end()
            # what was answered 202 is acknowledged; what is left was not, and its senders send again
            publisher.flush(0)
        return 3 if self._broken else 0

    def stop(self) -> None:
        """End `serve`, once what is under way has been answered."""
        self._stopped = True
        if self._server is not None:
            self._server.should_exit = True

    def _give_up(self) -> None:
        self._broken = True
        self.stop()


def run(settings: Settings, rules: Rules, on_ready: Callable[[str], None] = lambda _: None) -> int:
    """Serve until SIGTERM or SIGINT; the exit code. `on_ready` gets the address once requests are taken."""
    server = GatewayServer(settings, rules)
    # uvicorn has handlers of its own while it serves, and raises the signal again when it is done: these are for before and after
    before = {one: signal.signal(one, lambda *_: server.stop()) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        return server.serve(on_ready)
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _publisher(settings: Settings, rules: Rules) -> Publisher:
    return Publisher(settings.kafka(), Admission(rules), lambda: datetime.now(UTC), delivery_seconds_max=DELIVERY_SECONDS_MAX)


def _cannot_listen(settings: Settings, error: OSError) -> str:
    where = f"{settings.bind}:{settings.gateway_port}"
    if error.errno == errno.EADDRINUSE:
        return f"{where} is taken: stop what listens there, or choose another PHUSONG_GATEWAY_PORT (0: any free one)"
    return f"cannot listen on {where}: {error.strerror or error}; correct PHUSONG_BIND or PHUSONG_GATEWAY_PORT"
