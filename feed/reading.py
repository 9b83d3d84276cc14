"""Topics read whole: from their starts to the ends of this moment, in bulk, without a group.

Comes in: names of topics, and which of their partitions. Goes out: runs of records of one partition in the order of the log, and which ids
the broker shows for the topics. Owns a consumer that commits nothing. Bad records are the caller's matter. Topics that are missing, a
broker that does not answer, and a log that ends under the reader's hands are a `ReadingError` that names the remedy.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from itertools import groupby
from operator import methodcaller
from types import TracebackType
from typing import Any, Self

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, Message, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from phusong.admission import Admission, Route
from phusong.events import Event, Rejected
from phusong.settings import Kafka

Partition = tuple[str, int]
"""(topic, partition)."""
Take = Callable[[str, int, list[Message]], None]
"""Given a run of records of one topic and partition, in order."""
Tell = Callable[[int, int], None]
"""Told how many offsets were read, of how many, many times a second; what it raises ends the reading."""

ANSWER_SECONDS_MAX = 10.0
SILENCE_SECONDS_MAX = 30.0  # a broker that restarts is back by then
_BATCH = 2_000
_POLL_SECONDS = 0.1  # what Ctrl-C may have to wait
_topic, _partition = methodcaller("topic"), methodcaller("partition")


class Troubles:
    """What a client has met on its connections: an answer that does not come does not say why. Its `note` is the client's error_cb."""

    def __init__(self) -> None:
        self._last: KafkaError | None = None

    def note(self, error: KafkaError) -> None:
        """Remember the last one that says something."""
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - librdkafka's public error codes begin with an underscore
            self._last = error

    def behind(self, admin: AdminClient, error: KafkaException) -> str:
        """Why a question of that client was not answered."""
        admin.poll(0)
        found: str = (self._last or error.args[0]).str()
        return found


class ReadingError(RuntimeError):
    """The topics cannot be read; the text says what is wrong and what to do."""


class Reading:
    """Reads the topics up to where they end now; a later call goes on from there.

    `shares`: only these partitions; `since_ms`: from the first record of each that Kafka took then or later; `ahead_kib`: how much is
    fetched ahead at most.
    """

    def __init__(
        self,
        kafka: Kafka,
        topics: Collection[str],
        shares: Collection[int] | None = None,
        since_ms: int | None = None,
        ahead_kib: int = 32_768,
    ) -> None:
        self._kafka = kafka
        self._troubles = Troubles()
        self._admin = AdminClient({**kafka.options(), "log_level": 0, "error_cb": self._troubles.note})
        shown = self._answers(self._admin.describe_topics(TopicCollection(list(topics)), request_timeout=ANSWER_SECONDS_MAX))
        self.ids = {name: str(topic.topic_id) for name, topic in shown.items()}
        """Topic -> its id on the broker: another one is another log."""
        listed = [(name, one.id) for name, topic in shown.items() for one in topic.partitions]
        self._partitions = [one for one in sorted(listed) if shares is None or one[1] in shares]
        self.starts = self._offsets(OffsetSpec.earliest()) if since_ms is None else self._offsets_since(since_ms)
        self.ends = dict(self.starts)
        """Where each partition has been read up to."""
        self._consumer = Consumer(
            {
                **kafka.options(),
                "client.id": "phusong-reading",
                "group.id": "phusong-unused",  # required by the client; nothing is ever committed to it
                "enable.auto.commit": False,
                "auto.offset.reset": "error",  # an offset that is gone means another log: never skip silently
                "isolation.level": "read_committed",
                "fetch.queue.backoff.ms": 5,  # the default of 1000 costs a factor of four
                "fetch.wait.max.ms": 20,
                "queued.min.messages": 50_000,
                "queued.max.messages.kbytes": ahead_kib,
                "log_level": 0,
            }
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._consumer.close()

    def read(self, take: Take, tell: Tell = lambda _read, _of: None) -> None:
        """Every record that was not read yet, up to the ends of this moment: what is appended meanwhile is left for the next call."""
        ends = self._offsets(OffsetSpec.latest())
        read, every = sum(self.ends.values()) - sum(self.starts.values()), sum(ends.values()) - sum(self.starts.values())
        left = {one: end for one, end in ends.items() if end > self.ends[one]}
        # anew each time: what a call before has taken from the broker and left lies beyond its ends
        self._consumer.unassign()
        self._consumer.assign([TopicPartition(*one, self.ends[one]) for one in left])
        heard_at = time.monotonic()
        while left:
            messages = self._consumer.consume(_BATCH, _POLL_SECONDS)
            for topic, partition, run in _runs(messages):
                end = left.get((topic, partition))
                wanted = run if end is None or run[-1].offset() < end else [one for one in run if one.offset() < end]
                if end is None or not wanted:
                    continue
                take(topic, partition, wanted)
                reached = wanted[-1].offset() + 1
                read += reached - self.ends[topic, partition]
                self.ends[topic, partition] = reached
                if len(wanted) < len(run) or reached >= end:
                    self._done(left, (topic, partition))
            if messages:
                heard_at = time.monotonic()
                tell(read, every)
            elif time.monotonic() - heard_at > SILENCE_SECONDS_MAX:
                raise ReadingError(f"Kafka at {self._kafka} is silent; {len(left)} partitions are not read to their ends: try again")
            else:
                # a marker of a transaction at the end is no record: only the position goes past it
                for position in self._consumer.position([TopicPartition(*one) for one in left]):
                    if position.offset >= left[position.topic, position.partition]:
                        self._done(left, (position.topic, position.partition))
                tell(read, every)
        tell(every, every)

    def _done(self, left: dict[Partition, int], one: Partition) -> None:
        self.ends[one] = left.pop(one)

    def _offsets(self, spec: OffsetSpec) -> dict[Partition, int]:
        wanted = {TopicPartition(*one): spec for one in self._partitions}
        asked = self._admin.list_offsets(wanted, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=ANSWER_SECONDS_MAX)
        return {(one.topic, one.partition): found.offset for one, found in self._answers(asked).items()}

    def _offsets_since(self, since_ms: int) -> dict[Partition, int]:
        ends = self._offsets(OffsetSpec.latest())
        # there is none of a moment after the last record
        return {one: ends[one] if offset < 0 else offset for one, offset in self._offsets(OffsetSpec.for_timestamp(since_ms)).items()}

    def _answers(self, asked: dict[Any, Future[Any]]) -> dict[Any, Any]:
        # futures, not the calls that block: only these let Ctrl-C through
        answers = {}
        for what, future in asked.items():
            try:
                answers[what] = future.result(2 * ANSWER_SECONDS_MAX)
            except KafkaException as error:
                if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise ReadingError(f"Kafka at {self._kafka} has no topic {what}: run `phusong topics apply`") from error
                why = self._troubles.behind(self._admin, error)
                raise ReadingError(
                    f"Kafka at {self._kafka} does not answer: {why}; start it, or correct PHUSONG_BOOTSTRAP_SERVERS or PHUSONG_KAFKA_*"
                ) from error
        return answers


def _runs(messages: list[Message]) -> Iterator[tuple[str, int, list[Message]]]:
    """The records in runs of one topic and partition. Raises ReadingError on an error that is about the log itself."""
    errors = [error for one in messages if (error := one.error()) is not None]
    for error in errors:
        # others, as a connection that is lost, the client mends itself
        if error.fatal() or error.code() in _LOST_LOG:
            raise ReadingError(f"a topic is not what it was: {error.str()}; was it deleted, or cut? Start again")
    if errors:
        messages = [one for one in messages if one.error() is None]
    # both must be one: partition p of two topics may follow each other in one batch
    if messages and len(set(map(_partition, messages))) == 1 and len(set(map(_topic, messages))) == 1:
        yield messages[0].topic(), messages[0].partition(), messages
        return
    for (topic, partition), run in groupby(messages, key=lambda one: (one.topic(), one.partition())):
        yield topic, partition, list(run)


_LOST_LOG = {
    KafkaError._AUTO_OFFSET_RESET,  # noqa: SLF001 - librdkafka's public error codes begin with an underscore
    KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
    KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
    KafkaError.OFFSET_OUT_OF_RANGE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.UNKNOWN_TOPIC_ID,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
}


def admitted(admission: Admission, message: Message, domain: str) -> tuple[Event, Route] | None:
    """The record's event and where it belongs, by the same steps as a worker takes (streams/share.py); None: it is rejected."""
    value, key, partition, timestamp_ms = message.value(), message.key(), message.partition(), message.timestamp()[1]
    try:
        return admission.record(value, None, key, domain, partition, timestamp_ms)
    except Exception as error:  # noqa: BLE001 - whatever a worker would make of it, it does not count
        headers = headers_of(message) if isinstance(error, Rejected) else []
    try:
        return admission.record(value, headers, key, domain, partition, timestamp_ms) if headers else None
    except Exception:  # noqa: BLE001 - the same
        return None


def headers_of(message: Message) -> list[tuple[str, bytes | None]]:
    """The record's headers; none where their names are no text."""
    try:
        return list(message.headers() or ())
    except (UnicodeDecodeError, SystemError):  # the client raises the second, and a second try would end this process
        return []
