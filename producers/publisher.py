"""Carries events into Kafka, and counts none as sent before the broker has acknowledged it.

Comes in: events, one `send` each. Goes out: records keyed by home province in the source topic of their domain, each checked as it was
encoded with the reader's own `phusong.admission`. Owns a bounded queue in memory and the counts of one run. A bad event raises `Rejected`
and is not sent; trouble with Kafka raises `PublishError` before the first event, and after it shows in `failed` and `failures`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple, Self

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from phusong.acknowledgements import Acknowledged, check_acknowledged, encode_acknowledged
from phusong.admission import Admission
from phusong.events import Event
from phusong.settings import Kafka
from phusong.topics import ACKNOWLEDGEMENTS, SOURCES

CONNECT_SECONDS_MAX = 10.0
DELIVERY_SECONDS_MAX = 60.0  # a broker that restarts is back in 5 s, a rolling restart in less than this
QUEUE_EVENTS_MAX = 100_000
STOP_SECONDS_MAX = 5.0  # how long an interrupted run still waits for acknowledgements
_SLICE_SECONDS_MAX = 0.2  # calls into the client do not notice Ctrl-C: none lasts longer
_METADATA_SLICE_SECONDS_MAX = 2.0  # the same, but a slow answer must fit in
_FAILURES_KEPT = 5
_HEADERS = [("content-type", b"application/cloudevents+json")]

Told = Callable[[KafkaError | None], None]
"""Called with an event's delivery report: None when every replica in sync has it."""


Sendable = Event | Acknowledged
"""What is sent: an event of a source topic, or an acknowledgement of a verdict."""


class Outgoing(NamedTuple):
    """A checked event on its way: the record's value and key, its topic, and the domain that it is about."""

    value: bytes
    key: bytes
    topic: str
    domain: str


class PublishError(RuntimeError):
    """Kafka cannot be reached, lacks a topic, or has given up on this producer; the text names what, and the remedy."""


class Publisher:
    """One run of sending, for one thread; `with Publisher(…) as publisher:` flushes at the end.

    `now` is the wall clock that says which dates lie in the future. `acknowledged` and `failed` count delivery reports; `failures` holds
    the first few failed ones in words. Raises PublishError at once when Kafka does not answer or a source topic is missing.
    """

    def __init__(
        self,
        kafka: Kafka,
        admission: Admission,
        now: Callable[[], datetime],
        *,
        delivery_seconds_max: float = DELIVERY_SECONDS_MAX,
    ) -> None:
        self.acknowledged = 0
        self.failed = 0
        self.failures: list[str] = []
        self.delivery_seconds_max = delivery_seconds_max
        self._kafka = kafka
        self._admission = admission
        self._now = now
        self._taken = 0
        self._taken_at_flush = 0
        self._trouble: KafkaError | None = None
        self._fatal: KafkaError | None = None
        self._producer = Producer(self._options())
        try:
            self._check_topics()
        except BaseException:
            self._producer.close()
            raise

    def _options(self) -> dict[str, Any]:
        return {
            **self._kafka.options(),
            # tells our connections apart in the broker's logs and quotas
            "client.id": "phusong-publisher",
            # a retry after a lost answer is not stored twice, nor out of order
            "enable.idempotence": True,
            # sent means: on every replica that is in sync
            "acks": "all",
            # Java's partitioner: the reader refuses a province that is not in its share
            "partitioner": "murmur2_random",
            # the events of a batch are alike and shrink several times, for little work
            "compression.type": "lz4",
            # a batch fills no longer than this: an event is to be seen within 300 ms
            "linger.ms": 5,
            # what waits for a broker that is away: bounded, then `send` waits; librdkafka's own bound on bytes is 1 GiB
            "queue.buffering.max.messages": QUEUE_EVENTS_MAX,
            "queue.buffering.max.kbytes": 65_536,
            # five minutes by default; by then nobody is watching
            "message.timeout.ms": round(self.delivery_seconds_max * 1000),
            # ten seconds by default: a broker that is back is found within one
            "reconnect.backoff.max.ms": 1000,
            # what goes wrong is told by error_cb and the delivery reports, not on stderr in the middle of a progress bar
            "log_level": 0,
            "error_cb": self._on_error,
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Flush, unless that was the last thing asked (after an exception only briefly); raise PublishError when something is lost."""
        try:
            if self._taken > self._taken_at_flush and self.flush(STOP_SECONDS_MAX if kind else None) and kind is None:
                raise PublishError(f"{self._kafka}: {self.lost()}")
        finally:
            # else close would wait without a bound
            self._producer.purge()
            self._producer.close()

    @property
    def taken(self) -> int:
        """How many events `send` has let through, acknowledged or not."""
        return self._taken

    def send(self, event: Sendable, told: Told | None = None, headers: Sequence[tuple[str, bytes]] = ()) -> None:
        """Check one event and put it on its way; waits while the queue is full.

        `told` is called once with this event's delivery report (None: Kafka has it), inside a later `send`, `flush` or `poll`; `headers` go
        beside the content type. Raises Rejected (nothing was sent) or PublishError (the producer is beyond repair).
        """
        outgoing = self.check(event)
        self._taken += 1
        while not self._produce(outgoing, told, headers):
            # ends by itself: what is not delivered in time fails and makes room
            self.poll(_SLICE_SECONDS_MAX)
            self._raise_if_broken(outgoing)
        self.poll(0)
        self._raise_if_broken(outgoing)

    def check(self, event: Sendable) -> Outgoing:
        """The event as its record will be, checked as its reader will. Raises Rejected."""
        if isinstance(event, Acknowledged):
            check_acknowledged(self._admission.rules, event, self._now())
            domain = self._admission.rules.catalogue.indicators[event.data.indicator].domain
            return Outgoing(encode_acknowledged(event), event.data.key.encode(), ACKNOWLEDGEMENTS.name, domain)
        value, route = self._admission.outgoing(event, int(self._now().timestamp() * 1000))
        return Outgoing(value, route.key, SOURCES[route.domain].name, route.domain)

    def offer(self, outgoing: Outgoing, told: Told | None = None, headers: Sequence[tuple[str, bytes]] = ()) -> bool:
        """Put a checked event on its way without waiting or polling; False: the queue is full, and `poll` may make room.

        `told` and `headers` as for `send`. Raises PublishError (the producer is beyond repair).
        """
        taken = self._produce(outgoing, told, headers)
        self._taken += taken
        self._raise_if_broken(outgoing)
        return taken

    def reaches(self, timeout_seconds: float) -> bool:
        """Whether a broker answers within that time; any thread may ask."""
        try:
            self._producer.list_topics(timeout=timeout_seconds)
        except KafkaException:
            return False
        return True

    @property
    def broken(self) -> KafkaError | None:
        """Why the producer is beyond repair; None: it is not."""
        return self._fatal

    def flush(self, timeout_seconds: float | None = None) -> int:
        """Wait for the delivery reports, by default as long as a delivery may take; returns how many events are not acknowledged."""
        patience_seconds = self.delivery_seconds_max + STOP_SECONDS_MAX if timeout_seconds is None else timeout_seconds
        deadline = time.monotonic() + patience_seconds
        while len(self._producer) and (left := deadline - time.monotonic()) > 0:
            self.poll(min(left, _SLICE_SECONDS_MAX))
        self._taken_at_flush = self._taken
        return self._taken - self.acknowledged

    def lost(self) -> str:
        """What was not acknowledged, with the first reasons and the remedy; for when `flush` has returned more than 0."""
        reasons = "; ".join(self.failures) or "no delivery report came in time"
        return (
            f"{self._taken - self.acknowledged} of {self._taken} events not acknowledged ({reasons}); "
            "see that Kafka is well, then send again (what arrives twice counts once)"
        )

    def poll(self, timeout_seconds: float) -> int:
        """Let the client call `_on_error` and `_on_delivery`; returns how many calls there were."""
        try:
            return int(self._producer.poll(timeout_seconds))
        except SystemError as error:
            # the client loses what is raised inside a callback; ours raise nothing, so that it was Ctrl-C
            raise KeyboardInterrupt from error

    def _produce(self, outgoing: Outgoing, told: Told | None, headers: Sequence[tuple[str, bytes]]) -> bool:
        report = self._on_delivery if told is None else partial(self._tell, told)
        try:
            self._producer.produce(outgoing.topic, outgoing.value, outgoing.key, headers=[*_HEADERS, *headers], on_delivery=report)
        except BufferError:
            return False
        except KafkaException as error:
            self._fatal = self._fatal or error.args[0]
        return True

    def _raise_if_broken(self, outgoing: Outgoing) -> None:
        if self._fatal is not None:
            raise PublishError(
                f"{outgoing.topic}: event {msgspec.json.decode(outgoing.value)['id']}: the producer gave up: {self._fatal.str()}; "
                "look into the broker's log, then send again (what arrives twice counts once)"
            )

    def _check_topics(self) -> None:
        """Raise PublishError unless Kafka answers and has the source topics, cut into as many shares as our keys are."""
        topics = self._metadata().topics
        wrong = []
        for topic in (*SOURCES.values(), ACKNOWLEDGEMENTS):
            found = topics.get(topic.name)
            if found is None or found.error is not None:
                wrong.append(f"{topic.name} is missing")
            elif len(found.partitions) != topic.partitions:
                wrong.append(f"{topic.name} has {len(found.partitions)} partitions instead of {topic.partitions}")
        if wrong:
            raise PublishError(f"{self._kafka}: {', '.join(wrong)}; run `phusong topics apply`")

    def _metadata(self) -> Any:
        deadline = time.monotonic() + CONNECT_SECONDS_MAX
        while True:
            left = max(0.1, deadline - time.monotonic())
            try:
                # all topics: to ask for one by name would create it on a broker that is set up so
                return self._producer.list_topics(timeout=min(left, _METADATA_SLICE_SECONDS_MAX))
            except KafkaException as error:
                while self.poll(0):
                    pass
                if time.monotonic() >= deadline:
                    reason = (self._trouble or error.args[0]).str()
                    raise PublishError(
                        f"{self._kafka}: Kafka does not answer ({reason}); start it, or set PHUSONG_BOOTSTRAP_SERVERS to where it runs"
                    ) from error

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._fatal = error
        # the summary says less than what it sums up
        elif error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - librdkafka's own codes begin so
            self._trouble = error

    def _tell(self, told: Told, error: KafkaError | None, message: Message) -> None:
        self._on_delivery(error, message)
        told(error)

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self.acknowledged += 1
            return
        self.failed += 1
        if len(self.failures) < _FAILURES_KEPT:
            why = f" ({self._trouble.str()})" if error.code() == KafkaError._MSG_TIMED_OUT and self._trouble else ""  # noqa: SLF001
            self.failures.append(f"{message.topic()}: event {msgspec.json.decode(message.value())['id']}: {error.str()}{why}")
