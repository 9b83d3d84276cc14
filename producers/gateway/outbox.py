"""What is under way to Kafka on behalf of requests: each event once, and each request told when all of its own are acknowledged.

Comes in: events, on the event loop's thread. Goes out: records, through one `Publisher`; and to each `Ticket` the moment at which Kafka has
what it waits for. Owns a thread that asks whether Kafka is there, and a bounded memory of recent (source, id) with a digest of their
content: the same again waits for the one under way or is known to be there, other content under the same name is a conflict. The memory
ends with the process; what is then sent twice, the reader's fold counts once. A bad event raises `Rejected`; a producer beyond repair is
told through `on_broken`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from enum import Enum
from hashlib import blake2b

from confluent_kafka import KafkaError

from producers.publisher import Outgoing, Publisher, PublishError, Sendable

LOG = logging.getLogger(__name__)

REMEMBERED_MAX = 200_000
"""How many acknowledged events are remembered: about 50 MB, and two minutes at full speed."""
UNDER_WAY_MAX = 50_000
"""How many events may wait for Kafka; beyond it nobody is let in."""
_POLL_SECONDS = 0.001
"""How often delivery reports are collected while something is under way: on the loop itself, since the client takes and gives back the
interpreter's lock for each report, and a thread of its own would wait for it up to 5 ms each time."""
_IDLE_POLL_SECONDS = 0.1
_PROBE_EVERY_SECONDS = 1.0
_PROBE_SECONDS_MAX = 2.0
_FLUSH_SECONDS_MAX = 3.0


class Taken(Enum):
    """What became of an event that was put."""

    UNDER_WAY = "under way"
    KNOWN = "known"
    CONFLICT = "conflict"
    FULL = "full"


class Ticket:
    """What one request waits for; for the event loop's thread."""

    __slots__ = ("_future", "failed", "left")

    def __init__(self) -> None:
        self.left = 0
        self.failed = 0
        self._future: asyncio.Future[None] | None = None

    async def wait(self, timeout_seconds: float) -> bool:
        """Whether Kafka has everything; waits for it, within the time."""
        if self.left:
            loop = asyncio.get_running_loop()
            self._future = loop.create_future()
            timer = loop.call_later(timeout_seconds, self._end)
            try:
                await self._future
            finally:
                timer.cancel()
        return not self.left and not self.failed

    def tell(self, *, failed: bool) -> None:
        """One of the events has its delivery report."""
        self.left -= 1
        self.failed += failed
        if not self.left:
            self._end()

    def _end(self) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_result(None)


class _UnderWay:
    """One event between `put` and its delivery report."""

    __slots__ = ("digest", "error", "name", "reports", "tickets")

    def __init__(self, name: bytes, digest: bytes, ticket: Ticket, reports: deque[_UnderWay]) -> None:
        self.name = name
        self.digest = digest
        self.tickets = [ticket]
        self.reports = reports
        self.error: KafkaError | None = None

    def told(self, error: KafkaError | None) -> None:
        self.error = error
        self.reports.append(self)


class Outbox:
    """Carries events for one event loop, between `start` and `stop`. `on_broken` is called once, on the loop, if the producer gives up."""

    def __init__(self, publisher: Publisher, on_broken: Callable[[], None]) -> None:
        self.kafka_up = True
        self._publisher = publisher
        self._on_broken = on_broken
        self._under_way: dict[bytes, _UnderWay] = {}
        self._remembered: OrderedDict[bytes, bytes] = OrderedDict()
        self._reports: deque[_UnderWay] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._told_broken = False
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._probe, name="probe")

    @property
    def under_way(self) -> int:
        """How many events wait for Kafka."""
        return len(self._under_way)

    @property
    def broken(self) -> bool:
        """Whether the producer has given up: nothing more will be taken."""
        return self._publisher.broken is not None

    def start(self) -> None:
        """Begin, on the running loop."""
        self._thread.start()
        self._collect()

    async def stop(self) -> None:
        """Wait a little for what is still under way, whose requests have been answered, and end the threads."""
        deadline = asyncio.get_running_loop().time() + _FLUSH_SECONDS_MAX
        # asked now and then: an event would have to be set at each report, for the sake of this one moment
        while self._under_way and self.kafka_up and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.to_thread(self.end)
        if self._under_way:
            LOG.warning("%d events were not acknowledged, and none of them was answered 202", len(self._under_way))

    def end(self) -> None:
        """End the thread, also where the loop was ended by force before `stop`."""
        self._end.set()
        if self._thread.ident is not None:
            self._thread.join()

    def put(self, event: Sendable, ticket: Ticket) -> tuple[Taken, str]:
        """Put one event on its way, and let the ticket wait for it; with what became of it comes its domain. Raises Rejected."""
        outgoing = self._publisher.check(event)
        name = blake2b(f"{event.source}\0{event.id}".encode(), digest_size=16).digest()
        digest = blake2b(outgoing.value, digest_size=16).digest()
        if waiting := self._under_way.get(name):
            if waiting.digest != digest:
                return Taken.CONFLICT, outgoing.domain
            ticket.left += 1
            waiting.tickets.append(ticket)
            return Taken.UNDER_WAY, outgoing.domain
        if known := self._remembered.get(name):
            return Taken.KNOWN if known == digest else Taken.CONFLICT, outgoing.domain
        one = _UnderWay(name, digest, ticket, self._reports)
        if len(self._under_way) >= UNDER_WAY_MAX or not self._offer(outgoing, one):
            return Taken.FULL, outgoing.domain
        if not self._under_way and self._timer is not None:
            self._timer.cancel()
            self._collect_in(_POLL_SECONDS)
        ticket.left += 1
        self._under_way[name] = one
        return Taken.UNDER_WAY, outgoing.domain

    def _offer(self, outgoing: Outgoing, one: _UnderWay) -> bool:
        try:
            return self._publisher.offer(outgoing, one.told)
        except PublishError as error:
            self._give_up(str(error))
            return False

    def _collect(self) -> None:
        """What Kafka has is remembered, what it has not is forgotten, and whoever waits is told; then again, soon."""
        self._publisher.poll(0)
        reports = self._reports
        while reports:
            one = reports.popleft()
            del self._under_way[one.name]
            if one.error is None:
                self._remembered[one.name] = one.digest
            for ticket in one.tickets:
                ticket.tell(failed=one.error is not None)
        while len(self._remembered) > REMEMBERED_MAX:
            self._remembered.popitem(last=False)
        if self._publisher.broken is not None:
            self._give_up(self._publisher.broken.str())
        self._collect_in(_POLL_SECONDS if self._under_way else _IDLE_POLL_SECONDS)

    def _collect_in(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._collect)

    def _give_up(self, why: str) -> None:
        if not self._told_broken:
            self._told_broken = True
            LOG.error("the producer gave up: %s", why)
            self._on_broken()

    def _probe(self) -> None:
        acknowledged = -1
        while not self._end.wait(_PROBE_EVERY_SECONDS):
            before, acknowledged = acknowledged, self._publisher.acknowledged
            # whoever acknowledges is there, however slow to answer a question beside it
            up = acknowledged != before or self._publisher.reaches(_PROBE_SECONDS_MAX)
            if up != self.kafka_up:
                LOG.warning("Kafka is back" if up else "Kafka does not answer: requests get 503 until it does")
            self.kafka_up = up
