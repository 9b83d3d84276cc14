"""`phusong notify`: each change of a verdict is posted to the webhook, at least once, in the order of its key. Start reading here.

    coverage.verdicts.v1 ──> Faust (group phusong-notify) ──> the agent: webhook.py posts it ──2xx──> its offset is committed

Comes in: verdict changes. Goes out: POSTs to one receiver, and offsets: a change is done with only when the receiver has taken it. Owns
nothing: what waits, waits in Kafka, and a restart goes on where the last one was. One change is under way at a time; after anything but
2xx it is tried again, later and later up to five minutes, until it is two weeks old. A record that is no verdict is logged and left out.
The receiver knows a change that comes twice by its webhook-id. 410 ends the process with 1, whatever else is broken with 3.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import Any

import faust
from confluent_kafka import Consumer, KafkaException, TopicPartition
from faust.types import TP, EventT

from phusong import rows
from phusong.rules import Rules
from phusong.settings import Kafka, Settings
from phusong.topics import DAY_MS, VERDICTS
from streams import faust_app
from streams.delivery import Fatal
from streams.notify_metrics import End, NotifyMetrics
from streams.webhook import Message, Outcome, Webhook, message

log = logging.getLogger(__name__)

GROUP = "phusong-notify"
"""The consumer group: how far the receiver has taken the changes."""
KEPT_SECONDS = 14 * DAY_MS / 1000
"""How long a change is tried: longer than the longest holiday."""
WAIT_SECONDS_MAX = 300.0
_WAIT_SECONDS = 1.0
_ANSWER_SECONDS = 30.0
_TRY_SECONDS = 10.0
_PAUSE_SECONDS = 0.5
_NEVER_SECONDS = 20 * 24 * 3600.0


def wait_seconds(tries: int, chance: float) -> float:
    """How long to wait after that many tries in vain: from 1 s on twice as long each time, at most five minutes.

    `chance` in [0, 1) takes off up to half, so that many senders do not come back at once.
    """
    return min(WAIT_SECONDS_MAX, _WAIT_SECONDS * 2.0 ** min(tries - 1, 30)) * (1 - chance / 2)


def build_app(settings: Settings, rules: Rules, webhook: Webhook) -> faust.App:
    """The Faust app with its one agent. Nothing is connected before the app is started."""
    app = faust_app.faust_app(
        GROUP,
        settings,
        # only where what was committed is gone from the log, as after the topic was made anew: rather twice than never
        consumer_auto_offset_reset="earliest",
        # a receiver that is away must not hold up a rebalance or the end of the process
        stream_wait_empty=False,
        # nor is its absence an error of Faust's
        stream_processing_timeout=_NEVER_SECONDS,
        broker_commit_livelock_soft_timeout=_NEVER_SECONDS,
        broker_commit_interval=1.0,
    )
    metrics = NotifyMetrics(rules.number)
    courier = Courier(webhook, rules, metrics)
    # raw and whatever it holds: what Faust cannot decode ends its agent, and is left out unseen
    verdicts = app.topic(
        VERDICTS.name,
        key_type=bytes, key_serializer="raw", value_type=bytes, value_serializer="raw", allow_empty=True,
        partitions=VERDICTS.partitions,
    )  # fmt: skip

    @app.service
    class Notifier(faust.Service):
        """Holds what the agent uses."""

        def on_init(self) -> None:
            self.exit_code = 0

        async def on_start(self) -> None:
            port = metrics.serve(settings.bind, settings.notify_metrics_port)
            log.info("verdict changes go to %s; metrics on http://%s:%d/metrics", webhook.name, settings.bind, port)

        @faust.Service.task
        async def _end(self) -> None:
            # not in the agent: Faust would start that anew
            await courier.over.wait()
            self.exit_code = courier.exit_code
            raise SystemExit(self.exit_code)

        async def on_stop(self) -> None:
            faust_app.leave_in_time(self.exit_code)
            courier.leave()
            metrics.close()
            await webhook.close()

    @app.on_partitions_revoked.connect  # type: ignore[arg-type]  # Faust passes the app, its signature says Any
    async def _taken(_: faust.App, _revoked: set[TP], **__: Any) -> None:
        courier.leave()

    @app.on_partitions_assigned.connect  # type: ignore[arg-type]
    async def _assigned(_: faust.App, assigned: set[TP], **__: Any) -> None:
        log.info("assigned partitions %s", sorted(tp.partition for tp in assigned))
        courier.come()

    # the app keeps only weak references to its receivers
    courier.receivers = (_taken, _assigned)

    @app.agent(verdicts)
    async def deliver(stream: faust.StreamT[bytes]) -> None:
        # acknowledged by hand: Faust itself would do so for what was under way when the process ended
        async for event in stream.noack().events():  # type: ignore[attr-defined]  # documented, and left out of its own type
            if await courier.carry(event):
                event.ack()

    return app


class Courier:
    """Carries one change after the other to the receiver; what it is called away from is left for whoever owns the partition next.

    Once `over` is set nothing more is carried, and the process is to end with `exit_code`.
    """

    def __init__(self, webhook: Webhook, rules: Rules, metrics: NotifyMetrics) -> None:
        self.receivers: tuple[object, ...] = ()
        self.over = asyncio.Event()
        self.exit_code = 0
        self._webhook = webhook
        self._rules = rules
        self._metrics = metrics
        self._generation = 0
        self._away = asyncio.Event()

    def leave(self) -> None:
        """Drop what is under way: the partitions go to others, or the process ends."""
        self._generation += 1
        self._away.set()

    def come(self) -> None:
        """Partitions were assigned."""
        if not self.over.is_set():
            self._away.clear()

    async def carry(self, event: EventT[bytes]) -> bool:
        """Whether that record is done with: taken, given up, or no verdict."""
        record = event.message
        where = f"{record.topic}[{record.partition}]@{record.offset}"
        try:
            outgoing = message(record.value, self._rules)
        except rows.UNREADABLE as error:
            log.error("%s is no verdict and is left out: %s", where, error)
            self._metrics.ended(End.UNREADABLE)
            return True
        self._metrics.under_way(record.timestamp)
        try:
            end = await self._deliver(outgoing, record.timestamp)
        except Exception as error:
            # to go on would leave this change out
            log.critical("%s could not be delivered", where, exc_info=error)
            self._end(3)
            return False
        finally:
            self._metrics.under_way(None)
        if end is None:
            return False
        self._metrics.ended(end)
        return True

    async def _deliver(self, outgoing: Message, since: float) -> End | None:
        """What became of it; None: it is left for later."""
        tries, generation = 0, self._generation
        # both: a new assignment may follow before this one has noticed that the old one went
        while generation == self._generation and not self._away.is_set():
            now = time.time()
            answer = await self._webhook.post(outgoing, int(now))
            tries += 1
            self._metrics.tried(answer.outcome)
            if answer.outcome is Outcome.DELIVERED:
                log.info("%s of %s delivered (%s, try %d)", outgoing.id, outgoing.key, answer.why, tries)
                return End.DELIVERED
            if answer.outcome is Outcome.GONE:
                log.critical(
                    "%s answers 410 Gone: it wants no more, so nothing more is sent. What waits is kept; "
                    "correct PHUSONG_WEBHOOK_URL and start again, or remove `phusong notify`",
                    self._webhook.name,
                )
                self._end(1)
                return None
            if now - since > KEPT_SECONDS:
                log.error("%s of %s is given up after %d days: %s", outgoing.id, outgoing.key, KEPT_SECONDS // 86400, answer.why)
                return End.GIVEN_UP
            wait = wait_seconds(tries, random.random())  # noqa: S311 - spreads tries, hides nothing
            log.warning("%s of %s not delivered (%s), try %d in %.0f s", outgoing.id, outgoing.key, answer.why, tries + 1, wait)
            try:
                await asyncio.wait_for(self._away.wait(), wait)
            except TimeoutError:
                continue
        return None

    def _end(self, exit_code: int) -> None:
        self.exit_code = exit_code
        self.leave()
        self.over.set()


def mark_start(kafka: Kafka) -> None:
    """At the very first start: commit the ends of the topic, so that only what changes from now on is sent, a crash before it or not.

    Where something is committed it stays. Raises Fatal where the broker does not answer.
    """
    consumer = Consumer(
        {
            **kafka.options(),
            "client.id": GROUP,
            "group.id": GROUP,  # not subscribed here: it joins nothing
            "enable.auto.commit": False,
            "log_level": 3,
        }
    )
    deadline = time.monotonic() + _ANSWER_SECONDS
    try:
        while True:
            try:
                new = _mark(consumer)
                break
            except KafkaException as error:
                # a broker that has just started does not know its groups yet
                if time.monotonic() > deadline:
                    raise Fatal(f"the broker does not tell how far {GROUP} is, or does not note it: {error}; is it reachable?") from error
                time.sleep(_PAUSE_SECONDS)
    finally:
        consumer.close()
    if new:
        log.warning("%s has sent nothing yet: what changes from now on is sent, what changed before is not", GROUP)


def _mark(consumer: Consumer) -> bool:
    """Whether there was nothing committed in some partition. Raises KafkaException."""
    every = [TopicPartition(VERDICTS.name, number) for number in range(VERDICTS.partitions)]
    found = consumer.committed(every, _TRY_SECONDS)
    _check(found)
    new = [tp for tp in found if tp.offset < 0]
    for tp in new:
        tp.offset = consumer.get_watermark_offsets(tp, _TRY_SECONDS)[1]
    if new:
        _check(consumer.commit(offsets=new, asynchronous=False))
    return bool(new)


def _check(answers: list[TopicPartition]) -> None:
    for tp in answers:
        if tp.error is not None:
            raise KafkaException(tp.error)


def run(settings: Settings, rules: Rules, webhook: Webhook) -> None:
    """Run the notifier in this process; raises SystemExit with 0 (SIGTERM, SIGINT), 1 (the receiver wants no more) or 3."""
    try:
        mark_start(settings.kafka())
    except Fatal as error:
        log.critical("%s", error)
        raise SystemExit(3) from error
    faust_app.run(build_app(settings, rules, webhook))
