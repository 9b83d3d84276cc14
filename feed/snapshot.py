"""The published topics in memory: per key the row of the greatest version, the history of verdicts, and the thread that reads them.

Comes in: every record of coverage.communes.v1, coverage.provinces.v1, coverage.verdicts.v1 and coverage.acknowledgements.v1 from the start
on, and what topics the broker shows now. Goes out: `Snapshot`, for metrics.py and resources.py, and each `Change` as it happens, for
stream.py. Owns no state beyond memory: no group, no commits; any number of replicas read alike.
What must not be shown (a row of another log, of a clock ahead, older than what is held, unreadable) is counted in `left_out` and dropped.
A broker outage leaves what was read served. Topics that are missing and fatal client errors end the thread with a `FeedError`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Generic, TypeVar

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient
from msgspec import Struct

from feed.groups import Group, Groups
from feed.history import Entry, History
from feed.reading import headers_of
from phusong.acknowledgements import Acknowledged, Desk, decode_acknowledged, lies_ahead
from phusong.events import Rejected
from phusong.rows import UNREADABLE, CommuneRow, ProvinceRow, Version, decode_commune, decode_province, decode_version
from phusong.settings import Kafka
from phusong.topics import ACKNOWLEDGEMENTS, COMMUNES, PROVINCES, SOURCES, VERDICTS, log_id

LOG = logging.getLogger(__name__)

R = TypeVar("R", CommuneRow, ProvinceRow)
Headers = list[tuple[str, bytes | None]]
Answers = dict[str, Future[Any]]

CLOCK_TOLERANCE = timedelta(minutes=1)
"""How far a row's as_of may lie past its append time. A worker whose clock runs ahead would otherwise stay the greatest for as long."""

OUTPUTS = (COMMUNES.name, PROVINCES.name, VERDICTS.name, ACKNOWLEDGEMENTS.name)
ASKED = (*(topic.name for topic in SOURCES.values()), *OUTPUTS)

ASK_EVERY_SECONDS = 5.0
ASK_AGAIN_SECONDS = 0.5  # until the first answer
ANSWER_SECONDS_MAX = 5.0
START_SECONDS_MAX = 30.0  # without any answer: wrong address, rather than an outage
MISSING_SECONDS_MAX = 3.0  # topics just created take a moment to reach every broker
POLL_SECONDS = 0.2
BATCH = 1000
STOP_SECONDS_MAX = 5.0


class FeedError(RuntimeError):
    """The feed cannot go on; the text names what is wrong and what to do."""


class LeftOut(StrEnum):
    """Why a record is not shown."""

    OTHER_LOG = "other_log"
    CLOCK_AHEAD = "clock_ahead"
    OLDER = "older"
    UNREADABLE = "unreadable"


class Held(Struct, Generic[R], frozen=True):
    """A row with its version and the wall time at which the broker took the last record that said so."""

    row: R
    version: Version
    published: datetime


class Judged(Struct, frozen=True):
    """A province's row with the entry that its verdict began with (None: not read yet), and who has taken that on (None: nobody)."""

    held: Held[ProvinceRow]
    entry: Entry | None
    taken: Acknowledged | None


class Gone(Struct, frozen=True):
    """A row that is no longer there."""

    row: CommuneRow | ProvinceRow


class Reset(Struct, frozen=True):
    """Everything may be different: all of it has been read anew."""


Change = Held[CommuneRow] | Judged | Entry | Gone | Reset
"""What has happened: a row says something else than before or is gone, a verdict was added or taken on, or all was read anew."""


class _Table(Generic[R]):
    """The rows of one topic by record key, and by group; `buried` remembers the version of each tombstone, so that no older row brings its
    key back.
    """

    def __init__(self) -> None:
        self.rows: dict[bytes, Held[R]] = {}
        self.groups: Groups[Held[R]] = Groups()
        self.buried: dict[bytes, Version] = {}

    def version(self, key: bytes) -> Version | None:
        held = self.rows.get(key)
        return self.buried.get(key) if held is None else held.version

    def put(self, key: bytes, row: R | None, version: Version, published: datetime) -> None:
        before = self.rows.get(key)
        if before is not None and (row is None or _group(row) != _group(before.row)):
            self.groups.remove(_group(before.row), key)
        if row is None:
            self.rows.pop(key, None)
            self.buried[key] = version
        else:
            self.rows[key] = held = Held(row, version, published)
            self.groups.put(_group(row), key, held)
            self.buried.pop(key, None)


def _group(row: CommuneRow | ProvinceRow) -> Group:
    return row.vintage, row.indicator, row.province


class Snapshot:
    """The rows of one log, and the history of verdicts. One thread writes, and calls `on_change`; any thread reads."""

    def __init__(self) -> None:
        self.log = ""
        self.on_change: Callable[[Change], None] = lambda _: None
        self.left_out: Counter[LeftOut] = Counter()
        self._communes: _Table[CommuneRow] = _Table()
        self._provinces: _Table[ProvinceRow] = _Table()
        self._history = History()
        self._desk = Desk()
        self._lock = threading.Lock()

    def start_over(self, log: str) -> None:
        """Forget every row; from now on only rows of `log` count."""
        with self._lock:
            self.log = log
            self._communes, self._provinces, self._history, self._desk = _Table(), _Table(), History(), Desk()

    def communes(self) -> list[Held[CommuneRow]]:
        """Every commune row as it is now, in no order."""
        with self._lock:
            return list(self._communes.rows.values())

    def provinces(self) -> list[Held[ProvinceRow]]:
        """Every province row as it is now, in no order."""
        with self._lock:
            return list(self._provinces.rows.values())

    def communes_of(self, groups: Iterable[Group]) -> list[tuple[Held[CommuneRow], ...]]:
        """The commune rows of each of these groups, by commune."""
        with self._lock:
            return [self._communes.groups.of(group) for group in groups]

    def communes_at(self, keys: Iterable[str]) -> list[Held[CommuneRow]]:
        """The commune rows of these keys, as far as they are there."""
        with self._lock:
            return [held for key in keys if (held := self._communes.rows.get(key.encode())) is not None]

    def provinces_of(self, groups: Iterable[Group]) -> list[tuple[Held[ProvinceRow], ...]]:
        """The province row, if there is one, of each of these groups."""
        with self._lock:
            return [self._provinces.groups.of(group) for group in groups]

    def judged(self, held: Held[ProvinceRow]) -> Judged:
        """That row with its verdict's entry and who has taken it on."""
        with self._lock:
            entry = self._history.last(held.row.key.encode())
            if entry is None or entry.event.data.to is not held.row.verdict:
                return Judged(held, None, None)
            return Judged(held, entry, self._desk.who_has(held.row.key, entry.event.id))

    def acknowledgements(self) -> list[Acknowledged]:
        """The acknowledgement that counts of each verdict, those that were given back too."""
        with self._lock:
            return self._desk.all()

    def verdicts(self) -> tuple[Entry, ...]:
        """Every change of verdict, once, oldest first."""
        with self._lock:
            return self._history.entries()

    def apply(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers | None, appended: datetime, offset: int = 0
    ) -> None:
        """Take one record of an output topic, or count why it is left out."""
        if topic == VERDICTS.name:
            why = self._add(key, value, appended, offset)
        elif topic == ACKNOWLEDGEMENTS.name:
            why = self._acknowledge(key, value, appended)
        else:
            why = self._take(topic, key, value, headers, appended)
        if why is not None:
            self.left_out[why] += 1

    def _take(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers | None, appended: datetime) -> LeftOut | None:
        try:
            version = decode_version(headers)
        except UNREADABLE:
            return LeftOut.UNREADABLE
        if key is None or version is None:
            return LeftOut.UNREADABLE
        if version.log != self.log:
            return LeftOut.OTHER_LOG
        if version.as_of - appended > CLOCK_TOLERANCE:
            return LeftOut.CLOCK_AHEAD
        if topic == COMMUNES.name:
            return self._keep(self._communes, decode_commune, key, value, version, appended)
        return self._keep(self._provinces, decode_province, key, value, version, appended)

    def _keep(
        self, table: _Table[R], decode: Callable[[bytes], R], key: bytes, value: bytes | None, version: Version, appended: datetime
    ) -> LeftOut | None:
        known = table.version(key)
        # before decoding: most of what a catch-up reads is older or soon replaced. Equal is published again, which renews `published`.
        if known is not None and version < known:
            return LeftOut.OLDER
        row = None
        if value is not None:
            try:
                row = decode(value)
            except UNREADABLE:
                return LeftOut.UNREADABLE
            if row.key.encode() != key:
                return LeftOut.UNREADABLE
        before = table.rows.get(key)
        changed = before is None or before.row != row
        if before is not None and not changed:
            # what was made of the row stands as long as it is the same object
            row = before.row
        with self._lock:
            table.put(key, row, version, appended)
        held = table.rows.get(key)
        if held is not None:
            if changed:
                self.on_change(self._change(held))
        elif before is not None:
            self.on_change(Gone(before.row))
        return None

    def _add(self, key: bytes | None, value: bytes | None, appended: datetime, offset: int) -> LeftOut | None:
        try:
            with self._lock:
                entry = self._history.add(key, value, appended, offset)
        except UNREADABLE:
            return LeftOut.UNREADABLE
        if entry is not None:
            self.on_change(entry)
            self._rejudge(entry.event.data.key)
        return None

    def _acknowledge(self, key: bytes | None, value: bytes | None, appended: datetime) -> LeftOut | None:
        try:
            event = decode_acknowledged(value)
        except Rejected:
            return LeftOut.UNREADABLE
        if key != event.data.key.encode():
            return LeftOut.UNREADABLE
        if lies_ahead(event, appended):
            return LeftOut.CLOCK_AHEAD
        with self._lock:
            news = self._desk.take(event)
        if news:
            self._rejudge(event.data.key)
        return None

    def _rejudge(self, key: str) -> None:
        """Tell of the province's row anew: its verdict's entry came after it, or somebody has taken that on.

        Of an entry that comes before its row, as it should, the row will tell.
        """
        held = self._provinces.rows.get(key.encode())
        if held is not None and (judged := self.judged(held)).entry is not None:
            self.on_change(judged)

    def _change(self, held: Held[R]) -> Change:
        if isinstance(held.row, ProvinceRow):
            return self.judged(held)
        return held


class Shown(Struct, frozen=True):
    """What the broker shows now: the log id of the sources, and each output topic's name, id and number of partitions."""

    log: str
    outputs: tuple[tuple[str, str, int], ...]


class Reader:
    """The thread that keeps a `Snapshot` up to date. `done` is its end: a result after `stop`, or the exception that ended it.

    `on_change` is called by that thread: once with `Reset` whenever all has been read, then with each change.
    """

    def __init__(self, kafka: Kafka, on_change: Callable[[Change], None] = lambda _: None) -> None:
        self.snapshot = Snapshot()
        self._on_change = on_change
        self.ready = False
        """Whether every partition was read up to the end seen at its start."""
        self.kafka_seen = 0.0
        """Wall time of the last complete answer of the broker, seconds since 1970; 0: never."""
        self.done: Future[None] = Future()
        self._kafka = kafka
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed-reader", daemon=True)
        self._ends: dict[tuple[str, int], int] = {}

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start reading; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Stop reading; returns when the thread has ended, after STOP_SECONDS_MAX at the latest."""
        self._stopping.set()
        self._thread.join(STOP_SECONDS_MAX)

    def _run(self) -> None:
        try:
            self._read()
        except FeedError as error:
            LOG.error("%s", error)
            self.done.set_exception(error)
        except Exception as error:
            LOG.exception("the feed's reading thread failed")
            self.done.set_exception(error)
        else:
            self.done.set_result(None)

    def _read(self) -> None:
        common: dict[str, Any] = {
            **self._kafka.options(),
            "client.id": "phusong-feed",
            "reconnect.backoff.max.ms": 1000,
        }
        # the consumer tells the same connection troubles through its logger
        admin = AdminClient({**common, "log_level": 0})
        consumer = Consumer(
            {
                **common,
                # the client insists on a name; without subscribe and commits no group comes into being
                "group.id": "phusong-feed",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
            },
            logger=LOG,
        )
        watch = _Watch(admin, self._kafka)
        wanted: Shown | None = None
        shown: Shown | None = None
        try:
            while not self._stopping.is_set():
                answer = watch.look()
                if answer is not None:
                    self.kafka_seen = time.time()
                    wanted = answer
                if wanted is not None and wanted != shown:
                    if self._start_over(consumer, wanted):
                        shown = wanted
                    else:
                        self._stopping.wait(ASK_AGAIN_SECONDS)
                elif shown is None:
                    self._stopping.wait(0.02)
                else:
                    self._take(consumer)
        finally:
            consumer.close()

    def _start_over(self, consumer: Consumer, shown: Shown) -> bool:
        """Read everything again, as rows of a new log may have been left out before we knew it; False: the broker did not answer."""
        partitions = [TopicPartition(name, number, OFFSET_BEGINNING) for name, _, count in shown.outputs for number in range(count)]
        try:
            marks = [consumer.get_watermark_offsets(partition, timeout=ANSWER_SECONDS_MAX) for partition in partitions]
        except KafkaException as error:
            LOG.warning("Kafka at %s does not tell the ends of %s: %s; asking again", self._kafka, ", ".join(OUTPUTS), error)
            return False
        self.ready = False
        # what is read until the end is reached is no news
        self.snapshot.on_change = lambda _: None
        self.snapshot.start_over(shown.log)
        # the old position first: else records of before could follow
        consumer.unassign()
        consumer.assign(partitions)
        self._ends = {(one.topic, one.partition): high for one, (low, high) in zip(partitions, marks, strict=True) if high > low}
        LOG.info("reading %d partitions of %s from the start", len(partitions), ", ".join(OUTPUTS))
        self._reached()
        return True

    def _take(self, consumer: Consumer) -> None:
        """Apply what is there: wait for one record only, so that it is shown at once."""
        first = consumer.poll(POLL_SECONDS)
        if first is None:
            return
        for message in (first, *consumer.consume(BATCH, 0)):
            where = (message.topic() or "", message.partition() or 0)
            error = message.error()
            if error is None:
                _, appended_ms = message.timestamp()
                appended = datetime.fromtimestamp(appended_ms / 1000, UTC)
                self.snapshot.apply(where[0], message.key(), message.value(), headers_of(message), appended, message.offset() or 0)
                if self._ends and (message.offset() or 0) + 1 >= self._ends.get(where, 0):
                    self._ends.pop(where, None)
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name is this one
                # the last offsets of a partition may hold no record: transaction markers, what compaction took away
                self._ends.pop(where, None)
            elif error.fatal():
                raise FeedError(f"Kafka at {self._kafka}: {error.str()}; start the feed again")
            else:
                LOG.warning("%s [%d]: %s", *where, error.str())
        self._reached()

    def _reached(self) -> None:
        if not self.ready and not self._ends:
            self.ready = True
            self.snapshot.on_change = self._on_change
            self._on_change(Reset())
            LOG.info("caught up: %d communes' and %d provinces' rows", len(self.snapshot.communes()), len(self.snapshot.provinces()))


class _Watch:
    """Asks the broker every few seconds what topics it shows, without waiting for the answer."""

    def __init__(self, admin: AdminClient, kafka: Kafka) -> None:
        self._admin = admin
        self._kafka = kafka
        self._began = self._ask_at = time.monotonic()
        self._answers: Answers | None = None
        self._answered = False
        self._silent = False

    def look(self) -> Shown | None:
        """A new complete answer, if one has come. Raises FeedError when Kafka or a topic is not there at the start."""
        now = time.monotonic()
        if self._answers is None:
            if now >= self._ask_at:
                self._ask_at = now + (ASK_EVERY_SECONDS if self._answered else ASK_AGAIN_SECONDS)
                self._answers = self._admin.describe_topics(TopicCollection(list(ASKED)), request_timeout=ANSWER_SECONDS_MAX)
            return None
        if not all(future.done() for future in self._answers.values()):
            return None
        answers, self._answers = self._answers, None
        errors = {name: future.exception() for name, future in answers.items() if future.exception()}
        if errors:
            self._trouble(errors, now - self._began)
            return None
        if self._silent:
            LOG.warning("Kafka at %s answers again", self._kafka)
        self._answered, self._silent = True, False
        found = {name: future.result() for name, future in answers.items()}
        return Shown(
            log_id({name: str(topic.topic_id) for name, topic in found.items()}),
            tuple((name, str(found[name].topic_id), len(found[name].partitions)) for name in OUTPUTS),
        )

    def _trouble(self, errors: dict[str, BaseException | None], waited_seconds: float) -> None:
        missing = [name for name, error in errors.items() if _code(error) == KafkaError.UNKNOWN_TOPIC_OR_PART]
        if not self._answered and missing and waited_seconds > MISSING_SECONDS_MAX:
            raise FeedError(f"Kafka at {self._kafka} has no topic {', '.join(missing)}: run `phusong topics apply`")
        if not self._answered and waited_seconds > START_SECONDS_MAX:
            why = next(iter(errors.values()))
            raise FeedError(f"Kafka at {self._kafka} does not answer: {why}; start it, or correct PHUSONG_BOOTSTRAP_SERVERS")
        if not self._silent and self._answered:
            # once per outage; a topic that is deleted to be created anew is missing for a moment, too
            LOG.warning("Kafka at %s: %s; what was read stays served", self._kafka, "; ".join(f"{n}: {e}" for n, e in errors.items()))
        self._silent = self._answered


def _code(error: BaseException | None) -> int | None:
    return error.args[0].code() if isinstance(error, KafkaException) else None
