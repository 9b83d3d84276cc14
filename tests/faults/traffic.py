"""Events for the fault tests, sent at a steady pace by a producer that remembers what the broker acknowledged.

Comes in: a broker and a pace. Goes out: `TEXTS`, a world of seven provinces on six shares with one indicator in each source topic; and
`Traffic`, a thread that sends good events, duplicates, late ones, corrections, withdrawals and bad records, and keeps each acknowledged
one by (topic, partition, offset). Owns its producer. Withdrawals come in `WITHDRAWING` alone: elsewhere nothing may go back to unknown.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from itertools import count

from confluent_kafka import KafkaError, Message, Producer
from msgspec import Struct

from phusong.admission import Admission
from phusong.events import Event, Reason, encode
from phusong.rules import Rules
from phusong.topics import SOURCES
from tests import worlds
from tests.worlds import MOBILE, POSTAL, SPEAKER, instant, stated, withdrawn

COMMUNES_EACH = 20
WITHDRAWING = "46"
_PROVINCES = ("02", "04", "08", "10", "22", "62", WITHDRAWING)
COMMUNES = {province: tuple(f"{province}{number:03}" for number in range(COMMUNES_EACH)) for province in _PROVINCES}
"""Seven provinces on six shares: 08 and 62 meet in one."""
SOURCES_OF = {POSTAL: ("post-office",), MOBILE: ("operator-a", "operator-b"), SPEAKER: ("department",)}
TEXTS = worlds.seed_texts(
    communes=COMMUNES,
    indicators=(worlds.indicator(POSTAL), worlds.indicator(MOBILE, "quarter"), worlds.indicator(SPEAKER, "year")),
    reporters=tuple(worlds.reporter(name) for names in SOURCES_OF.values() for name in names),
    obligations=tuple(
        worlds.obligation(source, indicator, province, period=period)
        for province in COMMUNES
        for indicator, period in ((POSTAL, "month"), (MOBILE, "quarter"), (SPEAKER, "year"))
        for source in SOURCES_OF[indicator]
    ),
    # near what the events below average at, so that verdicts change all the time
    targets=(worlds.target(POSTAL, "0.5"), worlds.target(MOBILE, "0.5"), worlds.target(SPEAKER, "0.5")),
)
_FIRST = instant("2023-06-30T09:00")
_OBSERVED = "2023-06-30"
_RECENT = 3_000


class Sent(Struct, frozen=True):
    """One record to send; `reason`: what a bad one is rejected for."""

    topic: str
    key: bytes | None
    value: bytes
    reason: Reason | None = None


def records(rules: Rules, seed: int) -> Iterator[Sent]:
    """An endless mix: corrections of corrections, a tenth each of duplicates, late ones and older observations, one bad in a hundred."""
    chance = random.Random(seed)
    admission = Admission(rules)
    recent: deque[Sent] = deque(maxlen=_RECENT)
    for number in count(1):
        dice = chance.random()
        if dice < 0.01:
            yield _bad(number)
        elif dice < 0.11 and recent:
            yield chance.choice(recent)
        else:
            observed_at = f"2023-06-{chance.randrange(20, 30)}" if dice < 0.21 else _OBSERVED
            late_seconds = chance.randrange(20_000) if 0.21 < dice < 0.31 else 0
            event = _good(chance, number, observed_at, (_FIRST + timedelta(seconds=number - late_seconds)).isoformat())
            route = admission.route(event)
            sent = Sent(SOURCES[route.domain].name, route.key, encode(event))
            recent.append(sent)
            yield sent


def _good(chance: random.Random, number: int, observed_at: str, moment: str) -> Event:
    indicator = chance.choice(list(SOURCES_OF))
    province = chance.choice(_PROVINCES)
    commune = chance.choice(COMMUNES[province])
    source = chance.choice(SOURCES_OF[indicator])
    if province == WITHDRAWING and chance.random() < 0.2:
        return withdrawn(commune, indicator, observed_at, source=source, time=moment, event_id=f"w{number}")
    return stated(commune, indicator, chance.randrange(5), 4, observed_at, source=source, time=moment, event_id=f"n{number}")


def _bad(number: int) -> Sent:
    postal, telecom = SOURCES["postal"].name, SOURCES["telecom"].name
    commune = COMMUNES["08"][0]
    kinds = (
        Sent(postal, b"08", b"not json %d" % number, Reason.NOT_JSON),
        Sent(telecom, b"08", encode(stated(commune, POSTAL, event_id=f"b{number}")), Reason.WRONG_TOPIC),
        Sent(postal, b"10", encode(stated(commune, POSTAL, event_id=f"b{number}")), Reason.KEY_MISMATCH),
        Sent(postal, b"08", encode(stated("99999", POSTAL, event_id=f"b{number}")), Reason.UNKNOWN_COMMUNE),
        Sent(postal, b"08", encode(stated(commune, POSTAL, 5, 4, event_id=f"b{number}")), Reason.COUNTS_OUT_OF_RANGE),
        Sent(postal, b"08", encode(stated(commune, POSTAL, source="nobody", event_id=f"b{number}")), Reason.UNKNOWN_REPORTER),
    )
    return kinds[number % len(kinds)]


class Traffic(threading.Thread):
    """Sends `backlog` records at once and then `pace` a second until stopped."""

    def __init__(self, servers: str, rules: Rules, *, pace: int, backlog: int = 0, seed: int = 20230630) -> None:
        super().__init__(name="traffic", daemon=True)
        self.acknowledged: dict[tuple[str, int, int], Sent] = {}
        self.failures: list[KafkaError] = []
        self.sent = 0
        self._pace = pace
        self._records = records(rules, seed)
        self._end = threading.Event()
        self._producer = Producer(
            {
                "bootstrap.servers": servers,
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                "compression.type": "lz4",
                "log_level": 0,
            }
        )
        self.send(backlog)
        assert self._producer.flush(60) == 0, "Kafka did not acknowledge the backlog in time"

    def send(self, number: int) -> None:
        """Queue that many."""
        for _ in range(number):
            one = next(self._records)
            while True:
                try:
                    self._producer.produce(one.topic, one.value, one.key, on_delivery=partial(self._delivered, one))
                    break
                except BufferError:
                    self._producer.poll(0.1)
            self.sent += 1
        self._producer.poll(0)

    def run(self) -> None:
        """Keep the pace."""
        started, base = time.monotonic(), self.sent
        while not self._end.wait(0.02):
            self.send(max(0, base + int((time.monotonic() - started) * self._pace) - self.sent))

    def stop(self) -> None:
        """End, and wait until the broker has acknowledged everything."""
        self._end.set()
        self.join()
        assert self._producer.flush(60) == 0, "Kafka did not acknowledge everything in time"
        assert not self.failures, self.failures
        assert len(self.acknowledged) == self.sent

    def _delivered(self, one: Sent, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.failures.append(error)
        else:
            self.acknowledged[message.topic(), message.partition(), message.offset()] = one
