"""How many events a second the gateway takes, single and in batches, and how long a post takes: `make -s bench NAME=gateway`.

Comes in: nothing but the sizes (`--events`, `--turns`). Goes out: one JSON object on stdout, progress on stderr. Owns a broker in a
temporary directory, a real gateway on it, and a bare uvicorn beside it. An answer other than 202, or an event that is not in Kafka, ends
the bench: then there is no figure.

The lanes take turns: uvicorn alone (same loop, same parser) answering an empty 202 to the same bodies; the gateway with one event a post;
the gateway with batches; confluent-kafka alone producing such records. The client, sockets and epoll and nothing else, runs in this
process.
"""

from __future__ import annotations

import argparse
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from confluent_kafka import Consumer, TopicPartition

from access.keys import create_key
from bench.world import PROVINCE, SHARE, SPEAKERS, BenchError, Made, child_environment, cluster, end_of, events, producer, say, tell
from phusong.settings import Settings
from phusong.topics import SOURCES
from producers.gateway.http_events import BATCHED, STRUCTURED

EVENTS = 20_000
TURNS = 5
CONNECTIONS = 64
BATCH = 500
BATCH_CONNECTIONS = 8
WARM_UP = 2_000
_READY_SECONDS_MAX = 30.0
_ANSWER_SECONDS_MAX = 30.0


class Lane(NamedTuple):
    """What a turn of one lane gave."""

    per_s: float
    p99_ms: float


class Conversation:
    """One connection: one request at a time."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.began = 0.0
        self.answer = b""

    def ask(self, request: bytes) -> None:
        self.began = time.perf_counter()
        self.answer = b""
        self.socket.sendall(request)

    def answered(self) -> bool:
        """Whether the answer is whole; anything but 202 ends the bench."""
        self.answer += self.socket.recv(65_536)
        if not self.answer.startswith(b"HTTP/1.1 202 "[: len(self.answer)]) or not self.answer:
            raise BenchError(f"not 202: {self.answer[:500]!r}")
        head, found, body = self.answer.partition(b"\r\n\r\n")
        return bool(found) and len(body) >= int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])


def drive(port: int, requests: Sequence[bytes], connections: int, events_each: int) -> Lane:
    """Send all of them, one at a time on each connection; events a second, and how long the slowest hundredth took at least."""
    waiting = iter(requests)
    took = []
    open_ones = [Conversation(port) for _ in range(connections)]
    selector = selectors.DefaultSelector()
    try:
        began = time.perf_counter()
        for one, request in zip(open_ones, waiting):  # noqa: B905 - the rest is sent below
            selector.register(one.socket, selectors.EVENT_READ, one)
            one.ask(request)
        while len(took) < len(requests):
            ready = selector.select(_ANSWER_SECONDS_MAX)
            if not ready:
                raise BenchError(f"no answer within {_ANSWER_SECONDS_MAX:g} s")
            for key, _ in ready:
                one = key.data
                if one.answered():
                    took.append(time.perf_counter() - one.began)
                    if (request := next(waiting, None)) is not None:
                        one.ask(request)
        seconds = time.perf_counter() - began
    finally:
        selector.close()
        for one in open_ones:
            one.socket.close()
    took.sort()
    return Lane(len(requests) * events_each / seconds, 1000 * took[len(took) * 99 // 100])


def post(path: str, content_type: str, key: str, body: bytes) -> bytes:
    """A whole request."""
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\ncontent-type: {content_type}\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def produce(settings: Settings, made: Sequence[Made]) -> float:
    """Events a second of a bare producer that waits for every acknowledgement at the end."""
    sending = producer(settings)
    sending.list_topics(timeout=10)
    topics = {domain: topic.name for domain, topic in SOURCES.items()}
    headers, key = [("content-type", STRUCTURED.encode())], PROVINCE.encode()
    seconds = 0.0
    # the first events wait for the producer's id, half a second and more: as the gateway's has, this one gets it before it is measured
    for some in (made[:100], made[100:]):
        began = time.perf_counter()
        for one in some:
            sending.produce(topics[one.domain], one.value, key, headers=headers)
            sending.poll(0)
        if lost := sending.flush(30):
            raise BenchError(f"{lost} events were not acknowledged")
        seconds = time.perf_counter() - began
    return (len(made) - 100) / seconds


def held(settings: Settings) -> int:
    """How many records the source topics hold."""
    consumer = Consumer({"bootstrap.servers": settings.bootstrap_servers, "group.id": "phusong-bench"})
    try:
        return sum(consumer.get_watermark_offsets(TopicPartition(topic.name, SHARE), 10)[1] for topic in SOURCES.values())
    finally:
        consumer.close()


@contextmanager
def serving(arguments: Sequence[str], environment: dict[str, str], address: Path, log: Path) -> Iterator[int]:
    """A child that writes its address; its port."""
    with log.open("wb") as out, subprocess.Popen([sys.executable, "-m", *arguments], env=environment, stdout=out, stderr=out) as child:
        try:
            deadline = time.monotonic() + _READY_SECONDS_MAX
            while not address.exists():
                if child.poll() is not None or time.monotonic() > deadline:
                    raise BenchError(f"it does not start; the end of its log:\n{end_of(log)}")
                time.sleep(0.05)
            yield int(address.read_text().rpartition(":")[2])
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait(30)


async def empty(scope: Any, receive: Any, send: Any) -> None:
    """The floor: read the body, answer an empty 202."""
    if scope["type"] != "http":
        raise NotImplementedError
    while (await receive())["more_body"]:
        pass
    await send({"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


def serve_empty(address: Path) -> None:
    """Serve `empty` as the gateway is served, in a process of its own."""
    import uvicorn

    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    part = address.with_suffix(".part")
    part.write_text(f"http://127.0.0.1:{listener.getsockname()[1]}")
    part.replace(address)
    options: dict[str, Any] = {"loop": "uvloop", "http": "httptools", "ws": "none", "lifespan": "off", "interface": "asgi3"}
    config = uvicorn.Config(empty, **options, log_level="error", access_log=False, server_header=False, proxy_headers=False)
    uvicorn.Server(config).run([listener])


def bench(count: int, turns: int) -> dict[str, Any]:
    """Start everything, warm up, take turns."""
    names = sorted({source for some in SPEAKERS.values() for source, _ in some})
    made = events(WARM_UP + 3 * turns * count, again=0)
    lanes: dict[str, list[Lane]] = {name: [] for name in ("empty", "empty_batched", "single", "batched")}
    produced: list[float] = []
    with cluster() as (directory, settings):
        keyfile = directory / "keys" / "keys.json"
        keys = {name: create_key(keyfile, name, (), "", datetime.now(UTC))[1] for name in names}
        environment = {
            **child_environment(settings),
            "PHUSONG_KEYS": str(keyfile),
            "PHUSONG_GATEWAY_PORT": "0",
            "PHUSONG_GATEWAY_RATE": "1000000",
            "PHUSONG_GATEWAY_BURST": "10000000",
        }
        address, floor = directory / "gateway.url", directory / "empty.url"
        with (
            serving(["ops.cli", "gateway", "--address-file", str(address)], environment, address, directory / "gateway.log") as port,
            serving(["bench.gateway", "--empty", str(floor)], dict(os.environ), floor, directory / "empty.log") as empty_port,
        ):
            drive(port, _singles(list(islice(made, WARM_UP)), keys), CONNECTIONS, 1)
            expected = WARM_UP
            for turn in range(turns):
                say(f"turn {turn + 1} of {turns}")
                singles, batches = _singles(list(islice(made, count)), keys), _batches(list(islice(made, count)), keys)
                lanes["empty"].append(drive(empty_port, singles, CONNECTIONS, 1))
                lanes["single"].append(drive(port, singles, CONNECTIONS, 1))
                lanes["empty_batched"].append(drive(empty_port, batches, BATCH_CONNECTIONS, BATCH))
                lanes["batched"].append(drive(port, batches, BATCH_CONNECTIONS, BATCH))
                produced.append(produce(settings, list(islice(made, count))))
                expected += len(singles) + BATCH * len(batches) + count
        if (found := held(settings)) != expected:
            raise BenchError(f"Kafka holds {found} records instead of {expected}")
    middle = {name: Lane(median(one.per_s for one in some), median(one.p99_ms for one in some)) for name, some in lanes.items()}
    return {
        "single_per_s": round(middle["single"].per_s),
        "single_p99_ms": round(middle["single"].p99_ms, 1),
        "batched_events_per_s": round(middle["batched"].per_s),
        "batched_p99_ms": round(middle["batched"].p99_ms, 1),
        "empty_per_s": round(middle["empty"].per_s),
        "empty_p99_ms": round(middle["empty"].p99_ms, 1),
        "empty_batched_events_per_s": round(middle["empty_batched"].per_s),
        "produce_events_per_s": round(median(produced)),
        "single_per_empty": round(median(a.per_s / b.per_s for a, b in zip(lanes["single"], lanes["empty"], strict=True)), 2),
        "batched_per_produce": round(median(a.per_s / b for a, b in zip(lanes["batched"], produced, strict=True)), 2),
        "runs": {
            **{name: [round(one.per_s) for one in some] for name, some in lanes.items()},
            "single_p99_ms": [round(one.p99_ms, 1) for one in lanes["single"]],
            "produce": [round(one) for one in produced],
        },
    }


def _singles(made: Sequence[Made], keys: dict[str, str]) -> list[bytes]:
    return [post("/v1/events", STRUCTURED, keys[_source(one)], one.value) for one in made]


def _batches(made: Sequence[Made], keys: dict[str, str]) -> list[bytes]:
    """Whole batches, each of one source, as a key demands."""
    by_source: dict[str, list[Made]] = {}
    for one in made:
        by_source.setdefault(_source(one), []).append(one)
    return [
        post("/v1/events", BATCHED, keys[source], b"[" + b",".join(one.value for one in some[first : first + BATCH]) + b"]")
        for source, some in by_source.items()
        for first in range(0, len(some) - BATCH + 1, BATCH)
    ]


def _source(made: Made) -> str:
    return made.statement.partition(" ")[0]


def main() -> int:
    """Returns the exit code, see `world.tell`."""
    options = argparse.ArgumentParser(prog="python -m bench.gateway", description="How many events a second the gateway takes.")
    options.add_argument("--events", type=int, default=EVENTS, help="events of a lane's turn (default: %(default)s)")
    options.add_argument("--turns", type=int, default=TURNS, help="turns of each lane (default: %(default)s)")
    options.add_argument("--empty", type=Path, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.empty is not None:
        serve_empty(given.empty)
        return 0
    return tell(lambda: bench(given.events, given.turns))


if __name__ == "__main__":
    raise SystemExit(main())
