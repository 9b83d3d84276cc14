"""What earlier owners of a share have published: read once, before the share publishes anything.

Comes in: partition p of the output topics. Goes out: `Outputs`: the keys that hold a row, and the last verdict of each key.
Owns nothing that outlives the call. A record that cannot be read is left out and logged. A row of newer rules than ours is fatal.
"""

from __future__ import annotations

import logging
import threading

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from phusong import rows
from phusong.rows import VerdictEvent
from phusong.settings import Kafka
from phusong.topics import COMMUNES, PROVINCES, VERDICTS
from streams.delivery import Fatal

log = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 30.0
_POLL_SECONDS = 0.25


class Outputs:
    """What one share's partitions of the output topics hold."""

    def __init__(self) -> None:
        self.keys: dict[str, set[str]] = {COMMUNES.name: set(), PROVINCES.name: set()}
        self.verdicts: dict[str, VerdictEvent] = {}
        self.verdicts_end = 0
        """The offset after the last verdict: whoever finds another end has missed one."""


def read_outputs(kafka: Kafka, own_rules: int, shares: frozenset[int], stop: threading.Event) -> dict[int, Outputs]:
    """Blocking (run it in a thread; `stop` ends it). Raises KafkaException when the broker cannot be read, Fatal on rows of newer rules."""
    found = {number: Outputs() for number in shares}
    consumer = Consumer(
        {
            **kafka.options(),
            "client.id": "phusong-worker-outputs",
            "group.id": "phusong-unused",  # required by the client; nothing is ever committed to it
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.queue.backoff.ms": 5,
            "fetch.wait.max.ms": 50,
            "enable.partition.eof": True,  # compaction and markers leave holes: only the broker can say that this is the end
            "log_level": 3,
        }
    )
    try:
        left = {(topic.name, number) for topic in (COMMUNES, PROVINCES, VERDICTS) for number in shares}
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for topic, number in left])
        waited_seconds = 0.0
        while left and not stop.is_set():
            messages = consumer.consume(1000, _POLL_SECONDS)
            waited_seconds = 0.0 if messages else waited_seconds + _POLL_SECONDS
            if waited_seconds >= _TIMEOUT_SECONDS:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"{len(left)} output partitions did not answer"))  # noqa: SLF001
            for message in messages:
                error = message.error()
                if error is None:
                    _note(found[message.partition()], message, own_rules)
                elif error.code() == error._PARTITION_EOF:  # noqa: SLF001 - librdkafka's public code for "the end"
                    left.discard((message.topic(), message.partition()))
                    if message.topic() == VERDICTS.name:
                        found[message.partition()].verdicts_end = message.offset()
                else:
                    raise KafkaException(error)
    finally:
        consumer.close()
    return found


def _note(outputs: Outputs, message: Message, own_rules: int) -> None:
    key = (message.key() or b"").decode(errors="replace")
    try:
        if message.topic() == VERDICTS.name:
            outputs.verdicts_end = message.offset() + 1
            outputs.verdicts[key] = rows.decode_verdict(message.value() or b"")
            return
        version = rows.decode_version(message.headers())
    except rows.UNREADABLE as error:
        log.warning("%s[%d]@%d is left out: %s", message.topic(), message.partition(), message.offset(), error)
        return
    if version is not None and version.rules > own_rules:
        raise Fatal(f"rows of rules {version.rules} are published, these are rules {own_rules}: upgrade this worker's software or seeds")
    if message.value() is None:
        outputs.keys[message.topic()].discard(key)
    else:
        outputs.keys[message.topic()].add(key)
