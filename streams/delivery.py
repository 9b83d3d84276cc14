"""What this worker writes: one idempotent producer, and the knowledge of what the broker has acknowledged.

Comes in: records with their partition. Goes out: the same on Kafka; `settle` returns when everything sent so far is there. Owns the
producer. A record that cannot be delivered is fatal: the worker ends with 3 and its successor publishes from the log.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial

from confluent_kafka import KafkaError, Message, Producer

from phusong.settings import Kafka

Headers = list[tuple[str, bytes | None]]

UNDER_WAY_MAX = 10_000
"""Records that may wait for their acknowledgement before senders wait, too: a tenth of what the client's queue takes."""


class Fatal(Exception):  # noqa: N818 - what it means for the worker
    """The worker cannot go on: the process says so and ends with 3, so that a supervisor starts another."""


class Delivery:
    """Sends to named partitions; counts what is under way."""

    def __init__(self, kafka: Kafka) -> None:
        self.failure: str | None = None
        self._sent = 0
        self._under_way: set[int] = set()
        self._producer = Producer(
            {
                **kafka.options(),
                "client.id": "phusong-worker",
                "enable.idempotence": True,  # a retry never writes a record twice or out of order
                "acks": "all",
                "linger.ms": 2,  # rows of one assessment share a batch; more would only add latency
                "compression.type": "lz4",
                "message.timeout.ms": 60_000,  # a broker's restart takes seconds; longer than a minute is fatal
                "message.max.bytes": 2 * 1024 * 1024,  # a dead letter carries a whole record of up to 1 MiB and its reason
                "log_level": 3,  # the client's own chatter on reconnects tells nothing that `failure` does not
            }
        )

    def send(self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        """Queue a record. Raises BufferError when the queue is full: `settle` first."""
        number = self._sent + 1
        self._producer.produce(topic, value, key, partition, partial(self._delivered, number), headers=headers)
        self._sent = number
        self._under_way.add(number)

    def poll(self) -> None:
        """Take in delivery reports. Raises Fatal when a record could not be delivered."""
        self._producer.poll(0)
        if self.failure is not None:
            raise Fatal(f"could not write to Kafka: {self.failure}; is the broker reachable and are its disks full?")

    async def settle(self) -> None:
        """Wait until the broker has acknowledged everything sent before this call."""
        last = self._sent
        self._producer.poll(0)
        while min(self._under_way, default=last + 1) <= last:
            await asyncio.sleep(0.002)
            self.poll()

    async def room(self) -> None:
        """Wait until fewer than `UNDER_WAY_MAX` records are under way."""
        self.poll()
        while len(self._under_way) >= UNDER_WAY_MAX:
            await asyncio.sleep(0.002)
            self.poll()

    async def flush(self, timeout_seconds: float) -> None:
        """Wait until nothing is under way, at most that long."""
        # not the client's own flush in a thread: delivery reports must come in where everything else runs
        deadline = time.monotonic() + timeout_seconds
        self._producer.poll(0)
        while self._under_way and time.monotonic() < deadline:
            await asyncio.sleep(0.005)
            self._producer.poll(0)

    def _delivered(self, number: int, error: KafkaError | None, message: Message) -> None:
        self._under_way.discard(number)
        if error is not None and self.failure is None:
            self.failure = f"{message.topic()}[{message.partition()}]: {error.str()}"
