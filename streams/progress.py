"""How far rows and dead letters are acknowledged: offsets of the plain group `phusong-progress`.

Comes in: offsets per (topic, partition) that are fully acknowledged. Goes out: commits that ordinary lag tools can read, and what was
committed before. Owns nothing: the broker keeps it, for seven days of silence (then it is committed again from what is acknowledged now).
A commit never goes below what is read back. A failed commit is counted and tried again: it only costs repeated dead letters.
Its metadata carries the number of the rules, so that rejects are derived again under new rules, and older workers notice newer ones.
"""

from __future__ import annotations

import asyncio
import logging

from confluent_kafka import Consumer, KafkaException, TopicPartition

from phusong.settings import Kafka
from phusong.topics import PROGRESS_GROUP
from streams.delivery import Fatal

log = logging.getLogger(__name__)

Positions = dict[tuple[str, int], int]


class Progress:
    """Reads and writes the committed offsets; every call to the broker runs in a thread."""

    def __init__(self, kafka: Kafka, rules: int) -> None:
        # not the carrier's consumer: while one thread waits for a broker that is away, consume() of the same one waits, too
        self._consumer = Consumer(
            {
                **kafka.options(),
                "client.id": "phusong-worker-progress",
                "group.id": PROGRESS_GROUP,  # never subscribed: it joins no group, the name is for commits alone
                "enable.auto.commit": False,
                "log_level": 3,
            }
        )
        self._rules = rules
        self._tag = f"rules={rules}"

    async def read(self, partitions: list[tuple[str, int]]) -> Positions:
        """The committed offset of each partition, 0 where there is none or where it was committed under other rules.

        Raises Fatal when a partition was committed under newer rules than ours.
        """
        wanted = [TopicPartition(topic, partition) for topic, partition in partitions]
        found = await asyncio.to_thread(self._consumer.committed, wanted, 5)
        return {(tp.topic, tp.partition): self._offset(tp) for tp in found}

    def _offset(self, tp: TopicPartition) -> int:
        if tp.error is not None:
            raise KafkaException(tp.error)
        if tp.offset < 0:
            return 0
        rules = int((tp.metadata or "").removeprefix("rules=") or 0)
        if rules > self._rules:
            raise Fatal(f"a worker with rules {rules} has been here, these are {self._rules}: upgrade this worker's software or seeds")
        return tp.offset if rules == self._rules else 0

    async def close(self) -> None:
        """Leave the broker; nothing is committed here."""
        await asyncio.to_thread(self._consumer.close)

    async def write(self, applied: Positions) -> bool:
        """Commit these offsets, none below what is committed; False when the broker refused (try again later)."""
        try:
            before = await self.read(list(applied))
            wanted = [
                TopicPartition(topic, partition, offset, self._tag)
                for (topic, partition), offset in applied.items()
                if offset >= before[topic, partition]
            ]
            if wanted:
                for tp in await asyncio.to_thread(self._consumer.commit, offsets=wanted, asynchronous=False):
                    if tp.error is not None:
                        raise KafkaException(tp.error)
        except KafkaException as error:
            log.warning("progress could not be committed, will be tried again: %s", error)
            return False
        return True
