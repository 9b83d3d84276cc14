"""Appends to the history of verdicts, only where it ends as its owner knows it: so that each key's entries form one chain.

Comes in: a share's new entries and the end that its owner knows. Goes out: the new end, or `Elsewhere`: somebody else has appended, or
nobody knows what arrived; then the owner reads the history again. Owns a producer of its own, and a consumer that only asks where it ends.

Kafka has no conditional append. In its place: the end is compared right before; who stood still meanwhile writes nothing; and no entry
waits for longer than half a session: a stopped worker's is dropped when it goes on, a revoked one's before the next owner reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from phusong.settings import Kafka
from phusong.topics import VERDICTS
from streams.delivery import Fatal
from streams.fence import uptime_seconds


class Elsewhere(Exception):  # noqa: N818 - not an error: the history went on without us
    """The history does not end, or may not end, where its owner believed."""


class Verdicts:
    """Appends for one share after the other."""

    def __init__(self, kafka: Kafka, session_seconds: float) -> None:
        self._patience_seconds = session_seconds / 2
        self._one_at_a_time = asyncio.Lock()
        self._producer = Producer(
            {
                **kafka.options(),
                "client.id": "phusong-worker-verdicts",
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": 0,  # what waits in the queue of a stopped worker may come after its successor's
                "message.timeout.ms": int(self._patience_seconds * 1000),
                "log_level": 3,
            }
        )
        self._ends = Consumer(
            {
                **kafka.options(),
                "client.id": "phusong-worker-verdicts",
                "group.id": "phusong-unused",  # required by the client; nothing is ever committed to it
                "enable.auto.commit": False,
                "log_level": 3,
            }
        )

    async def append(self, share: int, end: int, entries: Sequence[tuple[bytes, bytes]]) -> int:
        """Append (key, value) where the share's history ends at `end`, none just to ask; the new end.

        Raises Elsewhere, and Fatal where the broker refuses an entry.
        """
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._append, share, end, entries)

    async def settled(self) -> None:
        """Return when nothing is under way; that is within a session."""
        async with self._one_at_a_time:
            pass

    def _append(self, share: int, end: int, entries: Sequence[tuple[bytes, bytes]]) -> int:
        started = uptime_seconds()
        try:
            found = self._ends.get_watermark_offsets(TopicPartition(VERDICTS.name, share), timeout=self._patience_seconds)
        except KafkaException as error:
            raise Elsewhere(f"the end of share {share}'s verdicts cannot be had: {error}") from error
        if found is None or found[1] != end:
            raise Elsewhere(f"share {share}'s verdicts end at {found and found[1]}, not at {end}: another worker has appended")
        reports: list[tuple[KafkaError | None, int]] = []

        def report(error: KafkaError | None, message: Message) -> None:
            reports.append((error, message.offset()))

        if uptime_seconds() - started > self._patience_seconds:
            raise Elsewhere(f"it took too long to ask where share {share}'s verdicts end")
        for key, value in entries:
            self._producer.produce(VERDICTS.name, value, key, share, report)
        self._producer.flush(2 * self._patience_seconds)
        failures = [error for error, _ in reports if error is not None]
        refused = [failure for failure in failures if failure.code() != KafkaError._MSG_TIMED_OUT]  # noqa: SLF001 - a public code
        if refused:
            raise Fatal(f"share {share}'s verdicts could not be written: {refused[0].str()}")
        if failures or len(reports) < len(entries):
            raise Elsewhere(f"share {share}'s verdicts may not have arrived: the broker did not answer in time")
        return max((offset + 1 for _, offset in reports), default=end)
