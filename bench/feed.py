"""How many clients the feed holds, how many requests it answers, how long a scrape takes: `make -s bench NAME=feed`.

Comes in: nothing but the sizes (`--clients`, `--seconds`). Goes out: one JSON object on stdout, progress on stderr. Owns a broker in a
temporary directory, with every row of a made-up province, then of a made-up nation (bench/assess.py), and a real feed on it; the clients of
the changes run in a process of their own. A client that was told less than all, or was dropped, an answer other than 200 or 304, and a
scrape without every commune end the bench: then there is no figure.

All the while the rows are published as workers do: each again once a minute, and CHANGES_PER_S of them saying something else, which every
client is told. First the scrapes, with the clients; then the requests, on REQUESTERS connections as fast as they are answered, with the
clients, the scrapes going on.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import TopicCollection
from confluent_kafka.admin import AdminClient

from bench.assess import AS_OF, statements, texts
from bench.world import BenchError, child_environment, cluster, end_of, producer, say, tell
from phusong.admission import Admission
from phusong.province import Province
from phusong.rows import VERSION_HEADER, Cause, CauseKind, CommuneRow, ProvinceRow, Row, Version, encode, verdict_event
from phusong.rules import Rules
from phusong.settings import Settings
from phusong.topics import COMMUNES, PROVINCES, SOURCES, VERDICTS, log_id

CLIENTS = 1_000
SECONDS = 20.0
"""How long the requests go on."""
SCRAPES = 20
REQUESTERS = 8
CHANGES_PER_S = 5
REPUBLISH_SECONDS = 60.0
PROVINCE_COMMUNES = 138
_READY_SECONDS_MAX = 60.0
_PASS_SECONDS = 0.1
_PUBLISHED = re.compile(rb'"published":"([^"]+)"')


class World(NamedTuple):
    """What a feed is to show: the seed files, the rules and the rows."""

    texts: Mapping[str, str]
    rules: Rules
    rows: Sequence[Row]

    def write(self, directory: Path) -> None:
        """Write the seeds."""
        directory.mkdir()
        for name, text in self.texts.items():
            (directory / name).write_text(text, encoding="utf-8")


def world(provinces: int, communes: int) -> World:
    """Four operators have stated every indicator of every commune."""
    made = texts(provinces, communes)
    rules = Rules.from_texts(made)
    admission = Admission(rules)
    states = {code: Province(rules, code) for code in rules.register.homes}
    for event in statements(rules):
        route = admission.route(event)
        states[route.province].apply(route.cell, route.slot, event)
    return World(made, rules, [row for state in states.values() for row in state.rows(AS_OF)])


class Owner:
    """Publishes a world as its workers do, in a thread; `changes` counts the rows that have said something else."""

    def __init__(self, settings: Settings, made: World) -> None:
        self.changes = 0
        self._made = made
        self._producer = producer(settings)
        admin = AdminClient({**settings.kafka().options(), "log_level": 0})
        names = [topic.name for topic in SOURCES.values()]
        shown = {name: future.result(10) for name, future in admin.describe_topics(TopicCollection(names)).items()}
        self._log = log_id({name: str(topic.topic_id) for name, topic in shown.items()})
        self._offsets = 1
        self._stop = threading.Event()
        self._changing = threading.Event()
        self._thread = threading.Thread(target=self._republish, daemon=True)

    def publish(self) -> None:
        """Every verdict and every row, once."""
        for row in self._made.rows:
            if isinstance(row, ProvinceRow):
                event = verdict_event(row, None, Cause(kind=CauseKind.STATEMENT), self._made.rules.number, AS_OF)
                self._producer.produce(VERDICTS.name, encode(event), row.key)
            self._put(row)
        self._flush()

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Every row again each minute."""
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()
            self._flush()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """And some that say something else; those are acknowledged at the end."""
        self._changing.set()
        try:
            yield
        finally:
            self._changing.clear()
            time.sleep(2 * _PASS_SECONDS)
            self._flush()

    def _republish(self) -> None:
        communes = cycle([row for row in self._made.rows if isinstance(row, CommuneRow)])
        waiting = cycle(self._made.rows)
        due = due_changes = 0.0
        while not self._stop.wait(_PASS_SECONDS):
            self._offsets += 1
            due += len(self._made.rows) * _PASS_SECONDS / REPUBLISH_SECONDS
            while due >= 1:
                due -= 1
                self._put(next(waiting))
            if self._changing.is_set():
                due_changes += CHANGES_PER_S * _PASS_SECONDS
            while due_changes >= 1:
                due_changes -= 1
                self.changes += 1
                self._put(msgspec.structs.replace(next(communes), challenges_open=self.changes))
            self._producer.poll(0)

    def _put(self, row: Row) -> None:
        version = Version(rules=self._made.rules.number, log=self._log, offsets=self._offsets, as_of=datetime.now(UTC))
        topic = COMMUNES if isinstance(row, CommuneRow) else PROVINCES
        self._producer.produce(topic.name, encode(row), row.key, headers={VERSION_HEADER: encode(version)})
        self._producer.poll(0)

    def _flush(self) -> None:
        if lost := self._producer.flush(60):
            raise BenchError(f"{lost} rows were not acknowledged")


class Feed(NamedTuple):
    """A running feed."""

    port: int
    pid: int

    @property
    def peak_mib(self) -> int:
        """The largest resident size so far."""
        return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{self.pid}/status").read_text())[1]) // 1024  # type: ignore[index]

    @property
    def cpu_seconds(self) -> float:
        """What it has used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def feeding(settings: Settings, directory: Path) -> Iterator[Feed]:
    """A feed in a process of its own, once it has read everything."""
    url, log = directory / "feed.url", directory / "feed.log"
    environment = {**child_environment(settings), "PHUSONG_FEED_PORT": "0"}
    arguments = [sys.executable, "-m", "ops.cli", "feed", "--address-file", str(url)]
    with log.open("wb") as out, subprocess.Popen(arguments, env=environment, stdout=out, stderr=out) as child:
        try:
            deadline = time.monotonic() + _READY_SECONDS_MAX
            while not (url.exists() and asyncio.run(_ready(int(url.read_text().rpartition(":")[2])))):
                if child.poll() is not None or time.monotonic() > deadline:
                    raise BenchError(f"the feed does not start; the end of its log:\n{end_of(log)}")
                time.sleep(0.05)
            yield Feed(int(url.read_text().rpartition(":")[2]), child.pid)
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait(30)


async def _ready(port: int) -> bool:
    async with _connected(port) as one:
        return (await one.ask("/readyz")).status == 200


class Answer(NamedTuple):
    """An answer, and how long it took until its last byte was there."""

    status: int
    head: bytes
    body: bytes
    seconds: float

    @property
    def etag(self) -> str:
        """Its entity tag."""
        found = re.search(rb"etag: (\S+)", self.head)
        return found[1].decode() if found else ""


class Conversation:
    """One connection: one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, path: str, **headers: str) -> Answer:
        """GET it."""
        more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        began = time.perf_counter()
        self._writer.write(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n{more}\r\n".encode())
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        body = await self._reader.readexactly(int(length[1])) if length else b""
        return Answer(int(head[9:12]), head, body, time.perf_counter() - began)


class _connected:  # noqa: N801 - used as a function
    """A connection, closed afterwards."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Conversation:
        reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=64 * 1024 * 1024)
        return Conversation(reader, self._writer)

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()


async def scrape(port: int, communes: int, times: int, pause_seconds: float) -> list[float]:
    """How long each scrape took, in ms; every commune must be in it."""
    took = []
    async with _connected(port) as one:
        for _ in range(times):
            answer = await one.ask("/metrics", accept="text/plain;version=0.0.4")
            if answer.status != 200 or answer.body.count(b"\ncoverage_commune_info{") != communes:
                raise BenchError(f"a scrape that is not whole: {answer.status}, {answer.body[:200]!r}")
            took.append(1000 * answer.seconds)
            await asyncio.sleep(pause_seconds)
    return took


def paths(made: World) -> list[str]:
    """What a wallboard, a map and a spreadsheet of each province ask for."""
    indicators = list(made.rules.catalogue.indicators)
    found = []
    for number, province in enumerate(made.rules.register.homes):
        indicator = indicators[number % len(indicators)]
        found += [
            f"/api/v1/provinces?province={province}",
            f"/api/v1/gaps?province={province}&indicator={indicator}",
            f"/api/v1/communes?province={province}&indicator={indicator}&format=geojson",
            f"/api/v1/communes?commune={number + 1:05}",
            f"/api/v1/gaps?province={province}&indicator={indicator}&format=csv",
            f"/api/v1/verdicts?province={province}",
            f"/api/v1/reporters?province={province}",
            "/api/v1/indicators",
        ]
    return found


async def request(port: int, asked: Sequence[str], seconds: float) -> list[Answer]:
    """Every address in turn on each connection, half of the time with the tag of the answer before, as fast as it is answered."""
    ends_at = time.perf_counter() + seconds
    found: list[Answer] = []

    async def one_after_the_other(first: int) -> None:
        tags: dict[str, str] = {}
        async with _connected(port) as one:
            for number, path in enumerate(cycle([*asked[first:], *asked[:first]])):
                if time.perf_counter() > ends_at:
                    return
                known = tags.get(path, "") if number // len(asked) % 2 else ""
                answer = await (one.ask(path, if_none_match=known) if known else one.ask(path))
                if answer.status not in (200, 304):
                    raise BenchError(f"{path}: {answer.head!r} {answer.body[:500]!r}")
                tags[path] = answer.etag
                found.append(answer._replace(head=b"", body=b""))

    async with asyncio.TaskGroup() as tasks:
        for number in range(REQUESTERS):
            tasks.create_task(one_after_the_other(number * len(asked) // REQUESTERS))
    return found


class Listener(asyncio.Protocol):
    """A client of the changes: what it was told, and how long after the broker had taken it."""

    def __init__(self, delays: list[float]) -> None:
        self.events = 0
        self.closed = False
        self.open = asyncio.Event()
        self._delays = delays
        self._rest = b""

    def connection_made(self, transport: Any) -> None:
        transport.write(b"GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n")

    def data_received(self, data: bytes) -> None:
        whole, _, self._rest = (self._rest + data).rpartition(b"\n\n")
        now = time.time()
        if b"event: heartbeat" in whole:
            self.open.set()
        for published in _PUBLISHED.findall(whole):
            self.events += 1
            self._delays.append(now - datetime.fromisoformat(published.decode()).timestamp())

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - whatever the reason, it is gone
        self.closed = True


async def listen(port: int, count: int) -> dict[str, float]:
    """Be that many clients until SIGTERM; what they were told. Says `open` on stdout once each has heard from the feed."""
    delays: list[float] = []
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    clients = [Listener(delays) for _ in range(count)]
    for client in clients:
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.gather(*(client.open.wait() for client in clients))
    print("open", flush=True)
    await stop.wait()
    delays.sort()
    return {
        "least": min(client.events for client in clients),
        "most": max(client.events for client in clients),
        "closed": sum(client.closed for client in clients),
        "p50_ms": 1000 * delays[len(delays) // 2] if delays else 0,
        "p99_ms": 1000 * delays[len(delays) * 99 // 100] if delays else 0,
        "max_ms": 1000 * delays[-1] if delays else 0,
    }


@contextmanager
def listening(port: int, count: int, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Those clients in a process of their own."""
    arguments = [sys.executable, "-m", "bench.feed", "--listen", str(port), "--clients", str(count)]
    with subprocess.Popen(arguments, env=dict(environment), stdout=subprocess.PIPE, text=True) as child:
        try:
            if child.stdout is None or child.stdout.readline() != "open\n":
                raise BenchError(f"the {count} clients did not all connect")
            yield child
        finally:
            child.send_signal(signal.SIGTERM)


def province() -> dict[str, Any]:
    """Scrapes of one province, its rows published again and again."""
    made = world(1, PROVINCE_COMMUNES)
    with cluster(made.write) as (directory, settings):
        owner = Owner(settings, made)
        owner.publish()
        with feeding(settings, directory) as feed, owner.going_on(), owner.changing():
            first, *took = asyncio.run(scrape(feed.port, PROVINCE_COMMUNES, SCRAPES + 1, 0.5))
            say(f"province: {', '.join(f'{one:.0f}' for one in (first, *took))} ms")
            return {"first": first, "took": took, "peak_mib": feed.peak_mib}


def nation(count: int, seconds: float) -> dict[str, Any]:
    """Scrapes of the nation with all the clients; then requests, too."""
    say("making a nation")
    made = world(*_NATION)
    communes = _NATION[1]
    with cluster(made.write) as (directory, settings):
        owner = Owner(settings, made)
        owner.publish()
        with feeding(settings, directory) as feed:
            first = asyncio.run(scrape(feed.port, communes, 1, 0))[0]
            empty_mib = feed.peak_mib
            say(f"nation: the first scrape took {first:.0f} ms; {empty_mib} MiB")
            with owner.going_on(), listening(feed.port, count, child_environment(settings)) as clients:
                with owner.changing():
                    say(f"{count} clients")
                    began, used = time.perf_counter(), feed.cpu_seconds
                    took = asyncio.run(scrape(feed.port, communes, SCRAPES, 1))
                    share = (feed.cpu_seconds - used) / (time.perf_counter() - began)
                    say(f"nation: {', '.join(f'{one:.0f}' for one in took)} ms")
                    used = feed.cpu_seconds
                    answers, loaded = asyncio.run(_both(feed.port, made, communes, seconds))
                    used = feed.cpu_seconds - used
                time.sleep(2)
                clients.send_signal(signal.SIGTERM)
                told = json.loads(clients.communicate(timeout=30)[0])
            if told["closed"] or not owner.changes <= told["least"] == told["most"]:
                raise BenchError(f"{owner.changes} changes, but the clients were told {told}")
            return {
                "first": first,
                "took": took,
                "loaded": loaded,
                "requests_per_s": len(answers) / seconds,
                "request_seconds": sorted(one.seconds for one in answers),
                "told": told,
                "empty_mib": empty_mib,
                "cpu_share": share,
                "request_cpu_ms": 1000 * (used - share * seconds) / len(answers),
                "peak_mib": feed.peak_mib,
            }


_NATION = (34, 3321)


async def _both(port: int, made: World, communes: int, seconds: float) -> tuple[list[Answer], list[float]]:
    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(request(port, paths(made), seconds))
        scraping = tasks.create_task(scrape(port, communes, max(1, int(seconds / 5)), 4))
    return asking.result(), scraping.result()


def bench(count: int, seconds: float) -> dict[str, Any]:
    """A province, then a nation."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count + 256:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count + 256 if hard == resource.RLIM_INFINITY else min(hard, count + 256), hard))
    small, large = province(), nation(count, seconds)
    took, told = large["request_seconds"], large["told"]
    return {
        "sse_clients": count,
        "requests_per_s": round(large["requests_per_s"]),
        "metrics_province_ms": round(median(small["took"]), 1),
        "metrics_nation_ms": round(median(large["took"]), 1),
        "peak_mib": large["peak_mib"],
        "request_p50_ms": round(1000 * took[len(took) // 2], 1),
        "request_p99_ms": round(1000 * took[len(took) * 99 // 100], 1),
        "event_p50_ms": round(told["p50_ms"]),
        "event_p99_ms": round(told["p99_ms"]),
        "event_max_ms": round(told["max_ms"]),
        "events_told": round(told["most"] * count),
        "metrics_province_max_ms": round(max(small["took"]), 1),
        "metrics_province_first_ms": round(small["first"], 1),
        "metrics_nation_max_ms": round(max(large["took"]), 1),
        "metrics_nation_first_ms": round(large["first"], 1),
        "metrics_nation_with_requests_ms": [round(one) for one in large["loaded"]],
        "cpu_share_without_requests": round(large["cpu_share"], 2),
        "request_cpu_ms": round(large["request_cpu_ms"], 2),
        "empty_mib": large["empty_mib"],
        "province_peak_mib": small["peak_mib"],
    }


def main() -> int:
    """Returns the exit code, see `world.tell`."""
    options = argparse.ArgumentParser(prog="python -m bench.feed", description="What the feed holds, answers, and takes for a scrape.")
    options.add_argument("--clients", type=int, default=CLIENTS, help="clients of the changes (default: %(default)s)")
    options.add_argument("--seconds", type=float, default=SECONDS, help="how long the requests go on (default: %(default)s)")
    options.add_argument("--listen", type=int, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.listen is not None:
        print(json.dumps(asyncio.run(listen(given.listen, given.clients))), flush=True)
        return 0
    return tell(lambda: bench(given.clients, given.seconds))


if __name__ == "__main__":
    raise SystemExit(main())
