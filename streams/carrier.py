"""Bulk read: whoever Faust gives share p reads partition p of the three source topics through librdkafka, from the start.

Comes in: the records of the owned partitions. Goes out: folded shares (`held`), and dead letters for the rejected. Owns the consumer and
the shares' states; a share that comes back goes on where it was, one that went elsewhere is forgotten. Bad input: see share.py. A log that
was cut, deleted or created again is fatal: what this worker knows would be a state of another log.

Nothing is awaited per record. No broker call that may block runs in the event loop.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from itertools import groupby
from operator import methodcaller

from confluent_kafka import OFFSET_BEGINNING, Consumer, IsolationLevel, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from phusong.admission import Admission
from phusong.rules import Rules
from phusong.settings import Kafka
from phusong.topics import SOURCES
from streams import dead_letters
from streams.delivery import Delivery, Fatal
from streams.metrics import Metrics
from streams.outputs import Outputs, read_outputs
from streams.ownership import Ownership
from streams.progress import Positions, Progress
from streams.share import Share

log = logging.getLogger(__name__)

CHUNK = 500
"""Records a slice: about 3 ms of work, so that Faust's own tasks (heartbeats, rebalances) are never kept waiting."""
IDLE_SECONDS = 0.005
_DOMAIN_OF = {topic.name: domain for domain, topic in SOURCES.items()}
_topic, _partition = methodcaller("topic"), methodcaller("partition")
_ADMIN_TIMEOUT_SECONDS = 5.0


class Held:
    """A share as this owner holds it: its state, and what must be reached before anything of it is published."""

    def __init__(self, share: Share) -> None:
        self.share = share
        self.ends: dict[str, int] = {}
        self.starts: dict[str, int] = {}
        self.committed: dict[str, int] = {}
        self.done: dict[str, int] = {}
        """Applied, and the dead letters sent: what may be committed once it is acknowledged."""
        self.outputs: Outputs | None = None
        self.ready = False
        self.republish = True
        """Publish every row at the next pass: after an assignment nobody knows what the owner before got out."""
        self.oldest_unpublished_ms: int | None = None
        self.since = time.monotonic()


class Carrier:
    """Follows the ownership, carries records into shares."""

    def __init__(self, kafka: Kafka, rules: Rules, ownership: Ownership, delivery: Delivery, metrics: Metrics) -> None:
        self.held: dict[int, Held] = {}
        self._kafka = kafka
        self._rules = rules
        self._ownership = ownership
        self._delivery = delivery
        self._metrics = metrics
        self._admission = Admission(rules)
        self._generation = 0
        self._known: dict[int, Share] = {}
        self._stop = threading.Event()
        self._reading: asyncio.Task[dict[int, Outputs]] | None = None
        self._admin = AdminClient({**kafka.options(), "log_level": 3})
        self._consumer = Consumer(
            {
                **kafka.options(),
                "client.id": "phusong-worker",
                "group.id": "phusong-unused",  # required by the client; nothing is ever committed to it
                "enable.auto.commit": False,
                "auto.offset.reset": "error",  # an offset that is gone means another log: never skip silently
                "isolation.level": "read_committed",
                "fetch.queue.backoff.ms": 5,  # the default of 1000 costs a factor of four on a backlog
                "fetch.wait.max.ms": 50,
                "queued.min.messages": 100_000,
                "queued.max.messages.kbytes": 65_536,
                "check.crcs": False,
                "log_level": 3,
            }
        )
        self.progress = Progress(kafka, rules.number)

    async def carry(self) -> None:
        """Until cancelled: adopt what Faust assigns, and fold what the broker has."""
        while True:
            if not self.follows:
                await self._adopt()
            messages = self._consumer.consume(CHUNK, 0) if self.held else []
            if messages:
                await self._take(messages)
                await asyncio.sleep(0)
            else:
                self._look_for_readiness()
                await asyncio.sleep(IDLE_SECONDS)

    @property
    def follows(self) -> bool:
        """Whether what is held is what is owned: not while a revocation or an assignment is still to be looked at."""
        return self._generation == self._ownership.generation

    def look_again(self) -> None:
        """Take the shares over once more: somebody else has written to their outputs. What was applied is kept."""
        self._generation = -1

    async def _adopt(self) -> None:
        generation, shares = self._ownership.generation, self._ownership.shares
        self.held = {}
        if self._reading is not None:
            self._reading.cancel()
        self._consumer.unassign()
        try:
            held = await self._prepare(shares)
        except KafkaException as error:
            log.warning("cannot take over shares yet, will try again: %s", error)
            await asyncio.sleep(1)
            return
        if self._ownership.generation != generation:
            return
        self._generation, self.held = generation, held
        if shares:
            # what went elsewhere is forgotten, but only now: in a rebalance shares come back to the same owner
            self._known = {number: held[number].share for number in shares}
            self._consumer.assign(
                [
                    TopicPartition(topic, number, one.share.applied.get(topic, OFFSET_BEGINNING))
                    for number, one in held.items()
                    for topic in _DOMAIN_OF
                ]
            )
            reading = asyncio.to_thread(read_outputs, self._kafka, self._rules.number, shares, self._stop)
            self._reading = asyncio.create_task(reading)

    async def _prepare(self, shares: frozenset[int]) -> dict[int, Held]:
        partitions = [(topic, number) for number in shares for topic in _DOMAIN_OF]
        committed = await self.progress.read(partitions) if partitions else {}
        starts = await self._offsets(partitions, OffsetSpec.earliest())
        ends = await self._offsets(partitions, OffsetSpec.latest())
        held = {}
        for number in sorted(shares):
            one = held[number] = Held(self._known.get(number) or Share(number, self._rules, self._admission))
            one.committed = {topic: committed[topic, number] for topic in _DOMAIN_OF}
            one.starts = {topic: starts[topic, number] for topic in _DOMAIN_OF}
            # committed even where nothing was ever sent: it is how an owner with newer rules is noticed by those beside it
            one.done = one.starts | one.share.applied
            one.ends = {topic: ends[topic, number] for topic in _DOMAIN_OF}
            await asyncio.sleep(0)
        return held

    async def _offsets(self, partitions: list[tuple[str, int]], spec: OffsetSpec) -> Positions:
        wanted = {TopicPartition(topic, partition): spec for topic, partition in partitions}
        if not wanted:
            return {}
        # it keeps the leaders it knew for a quarter of an hour, and the broker refuses the epoch of the one before its restart
        await asyncio.to_thread(self._admin.list_topics, timeout=_ADMIN_TIMEOUT_SECONDS)
        found = self._admin.list_offsets(wanted, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=_ADMIN_TIMEOUT_SECONDS)
        return {(tp.topic, tp.partition): (await asyncio.wrap_future(future)).offset for tp, future in found.items()}

    async def _take(self, messages: list[Message]) -> None:
        for run in _runs(messages):
            first = run[0]
            number, topic = first.partition(), first.topic()
            one = self.held.get(number)
            if one is None:
                continue
            if one.ready and one.oldest_unpublished_ms is None:
                one.oldest_unpublished_ms = first.timestamp()[1]
            domain = _DOMAIN_OF[topic]
            seen, rejects = one.share.apply(domain, run)
            self._metrics.applied(domain, seen)
            for reject in rejects:
                self._metrics.rejected(domain, reject.reason)
                # what lies below was acknowledged by an owner before, under the same rules
                if reject.message.offset() >= one.committed[topic]:
                    await dead_letters.send(self._delivery, reject, self._rules.number)
                    self._metrics.dead_lettered(reject.reason)
            one.done[topic] = run[-1].offset() + 1

    def _look_for_readiness(self) -> None:
        reading = self._reading
        if reading is None or not reading.done() or reading.cancelled():
            return
        waiting = [one for one in self.held.values() if not one.ready]
        if not waiting:
            return
        if (error := reading.exception()) is not None:
            if not isinstance(error, KafkaException):
                raise error
            log.warning("cannot read what was published before, will try again: %s", error)
            self.look_again()
            return
        outputs = reading.result()
        wanted = [TopicPartition(topic, one.share.number) for one in waiting for topic in _DOMAIN_OF]
        positions = {(tp.topic, tp.partition): tp.offset for tp in self._consumer.position(wanted)}
        for one in waiting:
            reached = all(
                max(positions[topic, one.share.number], one.share.applied.get(topic, 0), one.starts[topic]) >= one.ends[topic]
                for topic in _DOMAIN_OF
            )
            if reached:
                one.outputs = outputs[one.share.number]
                one.ready = True
                self._metrics.rebuilt(time.monotonic() - one.since)
                log.info("share %d is ready: %d records applied", one.share.number, one.share.offsets)

    def lag(self) -> dict[str, int]:
        """How many records each source topic holds that are not applied yet, over the owned partitions."""
        lag = dict.fromkeys(_DOMAIN_OF, 0)
        wanted = [TopicPartition(topic, number) for number in self.held for topic in _DOMAIN_OF]
        for tp in self._consumer.position(wanted) if wanted else []:
            _, high = self._consumer.get_watermark_offsets(tp, cached=True)
            lag[tp.topic] += max(0, high - max(tp.offset, 0))
        return lag

    async def close(self) -> None:
        """Leave the broker; nothing is committed here."""
        self.held = {}
        self._stop.set()
        if self._reading is not None:
            await asyncio.wait([self._reading])
        await asyncio.to_thread(self._consumer.close)
        await self.progress.close()


def _runs(messages: list[Message]) -> Iterator[list[Message]]:
    """The messages in runs of one topic and partition, in order. Raises Fatal on an error that is about the log itself."""
    errors = [m.error() for m in messages if m.error() is not None]
    if errors:
        for error in errors:
            if error.fatal() or error.code() in _LOST_LOG:
                raise Fatal(f"the source log is not what it was: {error.str()}; was a topic deleted, or its retention changed?")
            log.warning("reading: %s", error.str())
        messages = [m for m in messages if m.error() is None]
        if not messages:
            return
    # both must be one: partition p of two topics may follow each other in one batch
    if len(set(map(_partition, messages))) == 1 and len(set(map(_topic, messages))) == 1:
        yield messages
        return
    for _, run in groupby(messages, key=lambda m: (m.topic(), m.partition())):
        yield list(run)


_LOST_LOG = {
    KafkaError._AUTO_OFFSET_RESET,  # noqa: SLF001 - librdkafka's public error codes begin with an underscore
    KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
    KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
    KafkaError.OFFSET_OUT_OF_RANGE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.UNKNOWN_TOPIC_ID,
    KafkaError.INCONSISTENT_TOPIC_ID,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
}
