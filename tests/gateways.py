"""Gateways for tests, on a real Kafka: in this process, or as operators run them, to be stopped and killed; and what they put into Kafka.

Comes in: a broker and a world (seed texts). Goes out: `Door`, a gateway's seeds and keys, with `Door.open` and `Door.process`, and
`events_in`, what the source topics hold. Owns the servers and processes it started: none outlives its `with`.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import msgspec
import pytest

from access.keys import create_key
from ops.topics import apply
from phusong.admission import Admission
from phusong.events import Event, decode
from phusong.rules import Rules
from phusong.settings import PREFIX, Settings, read_settings
from phusong.topics import SOURCES
from producers.gateway.server import GatewayServer
from tests.kafka import wait_until
from tests.workers import DOMAIN_OF, ROOT, Record, Topics
from tests.worlds import seed_texts

JSON = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"


class Served:
    """A gateway that takes requests: its address, a client, and what it has said on stderr so far."""

    def __init__(self, url: str, client: httpx.Client, log: io.StringIO) -> None:
        self.url = url
        self.client = client
        self._log = log

    @property
    def log(self) -> str:
        """The access log as far as it is written."""
        return self._log.getvalue()

    def post(self, body: bytes, key: str, content_type: str = JSON, **headers: str) -> httpx.Response:
        """One POST /v1/events; `headers` with _ for -."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(
            "/v1/events", content=body, headers={"content-type": content_type, "authorization": f"Bearer {key}", **more}
        )


class Process:
    """`phusong gateway` as a process."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, log_path: Path) -> None:
        self.process = process
        self.url = url
        self.log_path = log_path

    @property
    def log(self) -> str:
        """What it has said so far."""
        return self.log_path.read_text(errors="replace")

    def end(self, how: signal.Signals = signal.SIGTERM, timeout_seconds: float = 20) -> int:
        """The exit code after a signal."""
        self.process.send_signal(how)
        try:
            return self.process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the gateway has not ended within {timeout_seconds:g} s:\n{self.log[-3000:]}")


class Door:
    """What gateways of one test share: the broker, the seeds, the key file. `settings`: names of `phusong.settings.Settings`."""

    def __init__(self, servers: str, directory: Path, texts: Mapping[str, str] | None = None, **settings: object) -> None:
        texts = seed_texts() if texts is None else texts
        self.servers = servers
        self.directory = directory
        self.rules = Rules.from_texts(texts)
        self.seeds = directory / "gateway-seeds"
        self.seeds.mkdir(parents=True)
        for name, text in texts.items():
            (self.seeds / name).write_text(text)
        self.keyfile = directory / "keys" / "keys.json"
        self._settings = settings
        self._processes = 0
        said: list[str] = []
        assert apply(read_settings(bootstrap_servers=servers), said.append) == 0, said

    def settings(self, **more: object) -> Settings:
        """The settings of one gateway."""
        chosen: dict[str, object] = {
            "bootstrap_servers": self.servers,
            "seeds": self.seeds,
            "keys": self.keyfile,
            "gateway_port": 0,
            "gateway_rate": 1_000_000,
            "gateway_burst": 10_000_000,
            **self._settings,
            **more,
        }
        return read_settings(**chosen)

    def key(self, reporter: str, *indicators: str, acknowledges: bool = False) -> str:
        """A new key."""
        return create_key(self.keyfile, reporter, indicators, "", datetime.now(UTC), acknowledges=acknowledges)[1]

    @contextmanager
    def open(self, **more: object) -> Iterator[Served]:
        """A gateway in this process; it must end with 0."""
        log = io.StringIO()
        server = GatewayServer(self.settings(**more), self.rules, log)
        urls: list[str] = []
        codes: list[int] = []
        thread = threading.Thread(target=lambda: codes.append(server.serve(urls.append)))
        thread.start()
        try:
            wait_until(lambda: urls or not thread.is_alive(), 15, "the gateway listens")
            with httpx.Client(base_url=urls[0], timeout=20) as client:
                yield Served(urls[0], client, log)
        finally:
            server.stop()
            thread.join(20)
        assert codes == [0]

    @contextmanager
    def process(self, **more: object) -> Iterator[Process]:
        """`phusong gateway` as operators run it; killed at the end if it still runs."""
        self._processes += 1
        address = self.directory / f"gateway-{self._processes}.url"
        log_path = self.directory / f"gateway-{self._processes}.log"
        given = self.settings(**more)
        env = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        names = ("bootstrap_servers", "seeds", "keys", "gateway_port", "gateway_rate", "gateway_burst")
        env |= {PREFIX + name.upper(): str(getattr(given, name)) for name in names} | {"PYTHONPATH": str(ROOT)}
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "ops.cli", "gateway", "--address-file", str(address)],
                cwd=self.directory, env=env, stdout=log, stderr=log,
            )  # fmt: skip
        try:
            wait_until(lambda: address.exists() or process.poll() is not None, 30, "the gateway listens")
            assert process.poll() is None, log_path.read_text()
            yield Process(process, address.read_text(), log_path)
        finally:
            process.kill()
            process.wait(10)


def events_in(servers: str, prefix: str = "") -> list[tuple[Event, Record]]:
    """Every record of the source topics whose event's id begins so, with the event."""
    topics = Topics(servers)
    try:
        records = [record for topic in SOURCES.values() for record in topics.read(topic.name)]
    finally:
        topics.close()
    found = [(decode(record.value, record.headers), record) for record in records]
    return [(event, record) for event, record in found if event.id.startswith(prefix)]


def admitted(rules: Rules, record: Record) -> Event:
    """The event of a record as a worker takes it; one that it would refuse fails the test."""
    domain = DOMAIN_OF[record.topic]
    event, _ = Admission(rules).record(record.value, list(record.headers), record.key, domain, record.partition, record.timestamp_ms)
    return event


def batch(*events: bytes) -> bytes:
    """A JSON array of them."""
    return b"[" + b",".join(events) + b"]"


def problem(response: httpx.Response) -> dict[str, object]:
    """The problem details of an answer, which must be such."""
    assert response.headers["content-type"] == "application/problem+json"
    found: dict[str, object] = msgspec.json.decode(response.content)
    assert found["status"] == response.status_code
    assert found["title"]
    assert found["detail"]
    return found
