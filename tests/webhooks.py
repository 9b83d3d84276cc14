"""A webhook's receiver, and the notifier as operators run it, to be killed and started again.

Comes in: a stage (tests/workers.py). Goes out: `Receiver`, a real HTTP server that remembers each POST and answers as told; `Notifiers`,
which starts `phusong notify` with a secret of its own; `verdict`, a change to write into the topic. Owns what it started: none outlives
its test.
"""

from __future__ import annotations

import os
import re
import ssl
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition
from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families
from standardwebhooks import Webhook

from phusong import rows
from phusong.rows import VERDICT_TYPE, Verdict, VerdictChange, VerdictEvent, verdict_id
from phusong.settings import PREFIX
from phusong.topics import VERDICTS, share_of
from streams.notify import GROUP
from tests.kafka import wait_until
from tests.workers import ROOT, SESSION_SECONDS, Stage, Worker
from tests.worlds import instant

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - the specification's own example
HOME = "08"


class Post(Struct, frozen=True):
    """One POST as it came in; header names in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes
    status: int

    @property
    def id(self) -> str:
        """The id by which a receiver knows a repeat."""
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        """The CloudEvent, once its signature has been verified by the reference implementation."""
        found: dict[str, Any] = Webhook(SECRET).verify(self.body, self.headers)
        return found


class Receiver:
    """Answers each POST with `answer(number of the POST)`, a status, and remembers it before it answers."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.answer: Callable[[int], int] = lambda _: 204
        self.headers: dict[str, str] = {}
        self.tail = b""
        """Sent again and again as the body of an answer that never ends, where it is not empty."""
        self.posts: list[Post] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status = receiver.answer(len(receiver.posts))
                receiver.posts.append(Post(self.path, {name.lower(): value for name, value in self.headers.items()}, body, status))
                self.send_response(status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                if not receiver.tail:
                    self.send_header("content-length", "0")
                self.end_headers()
                while receiver.tail:
                    self.wfile.write(receiver.tail)

            def handle(self) -> None:
                try:
                    super().handle()
                except OSError:
                    # the sender was killed, or has heard enough
                    self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the standard library
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a TLS handshake that was meant to fail
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.scheme = "http" if tls is None else "https"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def url(self) -> str:
        """Where to post."""
        return f"{self.scheme}://127.0.0.1:{self._server.server_address[1]}/phusong?token=only-for-the-receiver"

    @property
    def taken(self) -> list[Post]:
        """The POSTs that it said yes to."""
        return [post for post in self.posts if post.status // 100 == 2]

    def wait_for(self, count: int, timeout_seconds: float = 40) -> list[Post]:
        """Until it has taken that many."""
        wait_until(lambda: len(self.taken) >= count, timeout_seconds, f"the receiver has taken {count}")
        return self.taken

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Notifier(Worker):
    """One `phusong notify` process."""

    def samples(self) -> list[tuple[str, dict[str, str], float]]:
        """Its /metrics: (name, labels, value)."""
        found = re.search(r"metrics on (http://\S+)", self.log)
        if found is None:
            return []
        with urllib.request.urlopen(found[1], timeout=10) as answer:
            text = answer.read().decode()
        return [(s.name, s.labels, s.value) for family in text_string_to_metric_families(text) for s in family.samples]


class Notifiers:
    """Starts notifiers for one receiver, on the broker of a stage."""

    def __init__(self, stage: Stage, receiver: Receiver) -> None:
        self.stage = stage
        self.receiver = receiver
        self.started: list[Notifier] = []
        self.secret_file = stage.directory / "webhook-secret"
        self.secret_file.write_text(SECRET)
        self.secret_file.chmod(0o600)

    def start(self) -> Notifier:
        """One more; it is not waited for."""
        given = {
            "bootstrap_servers": self.stage.servers,
            "seeds": self.stage.seeds,
            "session_seconds": SESSION_SECONDS,
            "webhook_url": self.receiver.url,
            "webhook_secret_file": self.secret_file,
            "notify_metrics_port": 0,
        }
        env = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        env |= {PREFIX + name.upper(): str(value) for name, value in given.items()} | {"PYTHONPATH": str(ROOT)}
        log_path = self.stage.directory / f"notify-{len(self.started)}.log"
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "ops.cli", "notify"], cwd=self.stage.directory, env=env, stdout=log, stderr=log
            )
        self.started.append(Notifier(process, log_path))
        return self.started[-1]

    def start_ready(self) -> Notifier:
        """One more, which has partitions."""
        notifier = self.start()
        notifier.wait_for_log("assigned partitions [")
        return notifier

    def write(self, *events: VerdictEvent) -> None:
        """Into the topic, where a worker would write them."""
        for event in events:
            self.write_raw(rows.encode(event), event.data.key.encode(), event.data.province)

    def write_raw(self, value: bytes | None, key: bytes, province: str = HOME) -> None:
        """Any record, where those of that province are."""
        # as streams/verdicts.py writes: uncompressed
        producer = Producer({"bootstrap.servers": self.stage.servers, "enable.idempotence": True, "log_level": 0})
        producer.produce(VERDICTS.name, value, key, share_of(province.encode()))
        assert producer.flush(20) == 0

    def committed(self) -> int:
        """The sum of the offsets that the group has committed."""
        consumer = Consumer({"bootstrap.servers": self.stage.servers, "group.id": GROUP, "enable.auto.commit": False, "log_level": 0})
        try:
            found = consumer.committed([TopicPartition(VERDICTS.name, number) for number in range(VERDICTS.partitions)], 10)
        finally:
            consumer.close()
        return sum(max(0, tp.offset) for tp in found)

    def close(self) -> None:
        """End what runs."""
        for one in self.started:
            one.kill()


@contextmanager
def receiver(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver while the block runs."""
    one = Receiver(tls)
    try:
        yield one
    finally:
        one.tail = b""
        one.close()


def verdicts(indicator: str, states: Sequence[Verdict], province: str = HOME, as_of: datetime | None = None) -> list[VerdictEvent]:
    """A chain of changes of one key, through these verdicts."""
    chain: list[VerdictEvent] = []
    as_of = as_of or instant("2023-07-20")
    for to in states:
        before = chain[-1] if chain else None
        change = VerdictChange(
            vintage="2020-01-01",
            province=province,
            indicator=indicator,
            from_=before and before.data.to,
            to=to,
            previous=before and before.id,
            ratio=0.5,
            low=0.5,
            high=0.5,
            target=0.9,
            as_of=as_of,
        )
        chain.append(
            VerdictEvent(
                specversion="1.0",
                id=verdict_id(change.key, before and before.id, to),
                source="phusong",
                type=VERDICT_TYPE,
                time=as_of,
                datacontenttype="application/json",
                data=change,
            )
        )
    return chain


def as_json(event: VerdictEvent) -> dict[str, Any]:
    """What the topic holds."""
    found: dict[str, Any] = msgspec.json.decode(rows.encode(event))
    return found


def self_signed(directory: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for 127.0.0.1 that nobody vouches for but itself, and a server's context that shows it."""
    made = directory / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-noenc", "-keyout", made.with_name("key.pem"), "-out", made, "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made, made.with_name("key.pem"))
    return made, context
