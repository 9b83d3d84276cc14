"""What this worker writes: one idempotent producer, and the knowledge of what the broker has acknowledged.

Comes in: records with their partition. Goes out: the same on Kafka; `acknowledged(n)` tells whether everything up to the n-th is there.
Owns the producer. A record that cannot be delivered is fatal: the worker ends with 3 and its successor publishes from the log.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial

from confluent_kafka import KafkaError, Message, Producer

Headers = list[tuple[str, bytes | None]]


class Fatal(Exception):  # noqa: N818 - what it means for the worker
    """The worker cannot go on: the process says so and ends with 3, so that a supervisor starts another."""


class Delivery:
    """Sends to named partitions; counts what is under way."""

    def __init__(self, bootstrap_servers: str) -> None:
        self.sent = 0
        self.failure: str | None = None
        self._under_way: set[int] = set()
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap_servers,
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

    def send(self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: Headers) -> int:
        """Queue a record; its number is for `acknowledged`. Raises BufferError when the queue is full: `settle` first."""
        number = self.sent + 1
        self._producer.produce(topic, value, key, partition, partial(self._delivered, number), headers=headers)
        self.sent = number
        self._under_way.add(number)
        return number

    def acknowledged(self, number: int) -> bool:
        """Whether the broker has acknowledged everything up to that number."""
        return number < min(self._under_way, default=number + 1)

    @property
    def under_way(self) -> int:
        """How many records wait for their acknowledgement."""
        return len(self._under_way)

    def poll(self) -> None:
        """Take in delivery reports. Raises Fatal when a record could not be delivered."""
        self._producer.poll(0)
        if self.failure is not None:
            raise Fatal(f"could not write to Kafka: {self.failure}; is the broker reachable and are its disks full?")

    async def settle(self, number: int) -> None:
        """Wait until everything up to that number is acknowledged."""
        self._producer.poll(0)
        while not self.acknowledged(number):
            await asyncio.sleep(0.002)
            self.poll()

    async def room(self, most: int = 10_000) -> None:
        """Wait until fewer than `most` records are under way."""
        self.poll()
        while self.under_way >= most:
            await asyncio.sleep(0.002)
            self.poll()

    async def flush(self, timeout_seconds: float) -> int:
        """Bounded: how many records are still under way after that time."""
        # not the client's own flush in a thread: delivery reports must come in where everything else runs
        deadline = time.monotonic() + timeout_seconds
        self._producer.poll(0)
        while self._under_way and time.monotonic() < deadline:
            await asyncio.sleep(0.005)
            self._producer.poll(0)
        return len(self._under_way)

    def _delivered(self, number: int, error: KafkaError | None, message: Message) -> None:
        self._under_way.discard(number)
        if error is not None and self.failure is None:
            self.failure = f"{message.topic()}[{message.partition()}]: {error.str()}"
