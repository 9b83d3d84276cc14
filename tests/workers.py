"""Workers as operators run them, on a real Kafka: processes to start, kill and stop, what they wrote, and what the core says it must be.

Comes in: a broker and a world (seed texts). Goes out: the fixture `stage` (fresh topics on a broker that the worker tests share), `Stage`
for a broker of the test's own, and `Log`, the core's answer from the source topics as the broker acknowledged them. Owns the processes that
it started: none outlives its test. A pytest plugin.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path

import pytest
from confluent_kafka import (
    Consumer,
    ConsumerGroupState,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, OffsetSpec, ResourceType
from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families

from ops.local_kafka import LocalKafka
from ops.topics import apply
from phusong import assessment, rows
from phusong.admission import Admission
from phusong.communes import Totals, commune
from phusong.events import Challenged, Event, Promised, Reason, Rejected, Stated, encode
from phusong.evidence import Cell, Outcome, Slots, fold
from phusong.follow_ups import Held, follow
from phusong.indicators import Indicator
from phusong.pace import Pace, Past, remember
from phusong.register import Unit
from phusong.rows import CommuneRow, ProvinceRow, Row, VerdictEvent, Version
from phusong.rules import Rules
from phusong.settings import PREFIX, read_settings
from phusong.topics import (
    COMMUNES,
    DEAD_LETTERS,
    PROGRESS_GROUP,
    PROVINCES,
    SOURCES,
    TOPICS,
    VERDICTS,
    Topic,
    log_id,
    share_of,
)
from tests import worlds
from tests.kafka import wait_until
from tests.worlds import instant, seed_texts

ROOT = Path(__file__).resolve().parents[1]
AS_OF = instant("2023-07-20")
"""What the clock of the workers shows unless a test says otherwise: it stands still, so that every answer is one answer."""
SESSION_SECONDS = 6.0
"""The shortest session that a Kafka allows unless told otherwise."""
DOMAIN_OF = {topic.name: domain for domain, topic in SOURCES.items()}
GROUP = "phusong"
"""Faust's group: who owns which share."""

_NOT_LED_YET = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.FENCED_LEADER_EPOCH,
}

Headers = Sequence[tuple[str, bytes | None]]


class Record(Struct, frozen=True, kw_only=True):
    """One record as the broker holds it."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]

    @property
    def name(self) -> str:
        """The key as text."""
        return (self.key or b"").decode()

    @property
    def version(self) -> Version:
        """The version of a row or tombstone; a record without one fails the test."""
        version = rows.decode_version(list(self.headers))
        assert version is not None, f"{self.topic}[{self.partition}]@{self.offset} carries no version"
        return version

    @property
    def row(self) -> Row | None:
        """The row; None: a tombstone."""
        if self.value is None:
            return None
        return rows.decode_commune(self.value) if self.topic == COMMUNES.name else rows.decode_province(self.value)

    @property
    def verdict(self) -> VerdictEvent:
        """The verdict change."""
        return rows.decode_verdict(self.value or b"")

    def header(self, name: str) -> str:
        """The last header of that name as text, "" without one."""
        return next((raw.decode() for key, raw in reversed(self.headers) if key == name and raw is not None), "")


def by_write(records: Iterable[Record]) -> dict[str, Record]:
    """The last record of each key, tombstones too, as compaction would leave it."""
    return {record.name: record for record in records}


def by_version(records: Iterable[Record]) -> dict[str, Record]:
    """The record of the greatest version of each key, tombstones too, as readers see it; of equal versions the later one."""
    greatest: dict[str, tuple[Version, Record]] = {}
    for record in records:
        version = record.version
        if record.name not in greatest or not version < greatest[record.name][0]:
            greatest[record.name] = (version, record)
    return {key: record for key, (_, record) in greatest.items()}


class Topics:
    """Reads topics whole, and later only what was added: everything so far, in the order of each partition."""

    def __init__(self, servers: str) -> None:
        self._servers = servers
        self._admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
        self._consumers: dict[str, Consumer] = {}
        self._records: dict[str, list[Record]] = {}
        self._starts: dict[tuple[str, int], int] = {}

    def ends(self, *topics: str, committed: bool = False) -> dict[tuple[str, int], int]:
        """The end offset of every partition."""
        return self._offsets(topics, OffsetSpec.latest(), committed=committed)

    def starts(self, *topics: str) -> dict[tuple[str, int], int]:
        """The first offset of every partition."""
        return self._offsets(topics, OffsetSpec.earliest())

    def read(self, topic: str) -> list[Record]:
        """Every record from the start up to the end of this moment."""
        ends = self.ends(topic)
        consumer = self._consumers.get(topic)
        if consumer is None:
            consumer = self._consumers[topic] = Consumer(
                {
                    "bootstrap.servers": self._servers,
                    "group.id": "phusong-tests",  # required by the client; nothing is ever committed to it
                    "enable.auto.commit": False,
                    "auto.offset.reset": "error",
                    "isolation.level": "read_committed" if topic in DOMAIN_OF else "read_uncommitted",
                    "fetch.wait.max.ms": 20,
                    "fetch.queue.backoff.ms": 5,
                    "log_level": 0,
                }
            )
            starts = self.starts(topic)
            consumer.assign([TopicPartition(name, number, offset) for (name, number), offset in starts.items()])
            self._records[topic] = []
            self._starts |= starts
        records = self._records[topic]
        deadline = time.monotonic() + 30
        while any(self._position(consumer, tp) < end for tp, end in ends.items()):
            assert time.monotonic() < deadline, f"{topic} could not be read to its end"
            for message in consumer.consume(5000, 0.05):
                if message.error() is not None:
                    raise KafkaException(message.error())
                records.append(
                    Record(
                        topic=topic,
                        partition=message.partition(),
                        offset=message.offset(),
                        timestamp_ms=message.timestamp()[1],
                        key=message.key(),
                        value=message.value(),
                        headers=tuple(message.headers() or ()),
                    )
                )
        return list(records)

    def close(self) -> None:
        """Leave the broker."""
        for consumer in self._consumers.values():
            consumer.close()
        self._consumers = {}

    def _position(self, consumer: Consumer, tp: tuple[str, int]) -> int:
        offset: int = consumer.position([TopicPartition(*tp)])[0].offset
        return max(offset, self._starts[tp])

    def _offsets(self, topics: Sequence[str], spec: OffsetSpec, *, committed: bool = False) -> dict[tuple[str, int], int]:
        level = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED

        def found() -> dict[tuple[str, int], int] | None:
            shown = self._admin.list_topics(timeout=10).topics
            wanted = {TopicPartition(topic, number): spec for topic in topics for number in shown[topic].partitions}
            try:
                answers = self._admin.list_offsets(wanted, isolation_level=level)
                return {(tp.topic, tp.partition): future.result(10).offset for tp, future in answers.items()}
            except KafkaException as error:
                # just created, or the broker just back: shown already, but not led yet
                if error.args[0].code() not in _NOT_LED_YET:
                    raise
                return None

        return wait_until(found, 20, "the broker tells the offsets") or {}


class Worker:
    """One worker process."""

    def __init__(self, process: subprocess.Popen[bytes], log_path: Path) -> None:
        self.process = process
        self.log_path = log_path

    @property
    def log(self) -> str:
        """What it has said so far."""
        return self.log_path.read_text(errors="replace")

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def kill(self) -> None:
        """As a crash: SIGKILL."""
        self.process.kill()
        self.process.wait(10)

    def suspend(self) -> None:
        """SIGSTOP: it stands still and knows nothing of it."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def terminate(self) -> None:
        """SIGTERM, as an operator ends it."""
        self.process.terminate()

    def wait(self, timeout_seconds: float = 20) -> int:
        """The exit code; a worker that does not end in time fails the test."""
        try:
            return self.process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the worker has not ended within {timeout_seconds:g} s:\n{self.log[-3000:]}")

    def end(self, timeout_seconds: float = 20) -> int:
        """SIGTERM, and the exit code."""
        self.terminate()
        return self.wait(timeout_seconds)

    def wait_for_log(self, text: str, timeout_seconds: float = 30) -> None:
        """Until it has said so."""

        def said() -> bool:
            if text in self.log:
                return True
            assert self.running, f"the worker ended with {self.process.returncode} before it said {text!r}:\n{self.log[-3000:]}"
            return False

        wait_until(said, timeout_seconds, f"the worker says {text!r}")

    def wait_until_ready(self, shares: int = 12, timeout_seconds: float = 40) -> None:
        """Until it owns that many shares, and each of them is ready to be published."""
        wait_until(
            lambda: (
                self.running
                and self.metric("phusong_shares", state="ready") == shares
                and not self.metric("phusong_shares", state="rebuilding")
            ),
            timeout_seconds,
            f"the worker ({self.log_path}) owns {shares} ready shares",
        )

    def samples(self) -> list[tuple[str, dict[str, str], float]]:
        """Its /metrics: (name, labels, value)."""
        found = re.search(r"worker metrics on (http://\S+)", self.log)
        if found is None:
            return []
        with urllib.request.urlopen(found[1], timeout=10) as answer:
            text = answer.read().decode()
        return [(s.name, s.labels, s.value) for family in text_string_to_metric_families(text) for s in family.samples]

    def metric(self, name: str, **labels: str) -> float:
        """The sum over the samples of that name that carry these labels."""
        return sum(value for found, has, value in self.samples() if found == name and labels.items() <= has.items())


class Stage:
    """A broker with the topics of the table, seeds, and workers on them.

    `settings` of a stage hold for each worker that it starts, `start(**settings)` for one: names of `phusong.settings.Settings`.
    """

    def __init__(self, servers: str, directory: Path, texts: Mapping[str, str] | None = None, **settings: object) -> None:
        self.servers = servers
        self.directory = directory
        self.workers: list[Worker] = []
        self.topics = Topics(servers)
        self.admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
        self.settings: dict[str, object] = {
            "session_seconds": SESSION_SECONDS,
            "heartbeat_seconds": 1,
            "republish_seconds": 2,
            **clock(AS_OF),
            **settings,
        }
        self.use(seed_texts() if texts is None else texts)
        said: list[str] = []
        assert apply(read_settings(bootstrap_servers=servers), said.append) == 0, said

    def use(self, texts: Mapping[str, str]) -> Rules:
        """These seeds from now on, for workers, events and the core's answer."""
        self.rules = Rules.from_texts(texts)
        self.seeds = self.write_seeds(texts)
        return self.rules

    def write_seeds(self, texts: Mapping[str, str]) -> Path:
        """The seeds in a directory of their own, for `start(seeds=…)`."""
        directory = self.directory / f"seeds-{len(list(self.directory.glob('seeds-*')))}"
        directory.mkdir(parents=True)
        for name, text in texts.items():
            (directory / name).write_text(text)
        return directory

    def start(self, **settings: object) -> Worker:
        """Start one worker process; it is not waited for."""
        chosen: dict[str, object] = {
            "bootstrap_servers": self.servers,
            "seeds": self.seeds,
            "worker_metrics_port": 0,
            **self.settings,
            **settings,
        }
        env = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        env |= {PREFIX + name.upper(): str(value) for name, value in chosen.items() if value is not None}
        env["PYTHONPATH"] = str(ROOT)
        log_path = self.directory / f"worker-{len(self.workers)}.log"
        with log_path.open("wb") as log:
            process = subprocess.Popen([sys.executable, "-m", "ops.cli", "worker"], cwd=self.directory, env=env, stdout=log, stderr=log)
        worker = Worker(process, log_path)
        self.workers.append(worker)
        return worker

    def start_ready(self, **settings: object) -> Worker:
        """Start one worker, and wait until it owns every share and each is ready."""
        worker = self.start(**settings)
        worker.wait_until_ready()
        return worker

    def close(self) -> None:
        """End every worker; politely, or the next test waits for the sessions of those that are gone."""
        running = [worker for worker in self.workers if worker.running]
        for worker in running:
            worker.resume()
            worker.terminate()
        deadline = time.monotonic() + 5
        while any(worker.running for worker in running) and not self._left() and time.monotonic() < deadline:
            time.sleep(0.05)
        for worker in running:
            worker.kill()
        self.topics.close()

    # what is sent

    def send(self, events: Iterable[Event]) -> int:
        """Send the events where they belong; returns how many the broker has acknowledged, which is all."""
        admission = Admission(self.rules)
        with self.sending() as send:
            count = 0
            for event in events:
                route = admission.route(event)
                send(SOURCES[route.domain], encode(event), route.key)
                count += 1
        return count

    @contextmanager
    def sending(self) -> Iterator[Callable[..., None]]:
        """`send(topic, value, key, headers=(), partition=None)` of any record, good or bad; on leaving each is acknowledged."""
        failures: list[KafkaError] = []
        producer = Producer(
            {
                "bootstrap.servers": self.servers,
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                "compression.type": "lz4",
                "message.max.bytes": 2 * 1024 * 1024,
                "log_level": 0,
            }
        )

        def delivered(error: KafkaError | None, _: object) -> None:
            if error is not None:
                failures.append(error)

        def send(topic: Topic, value: bytes | None, key: bytes | None, headers: Headers = (), partition: int | None = None) -> None:
            while True:
                try:
                    producer.produce(
                        topic.name,
                        value,
                        key,
                        partition=-1 if partition is None else partition,
                        on_delivery=delivered,
                        headers=list(headers),
                    )
                except BufferError:
                    producer.poll(0.1)
                else:
                    producer.poll(0)
                    return

        yield send
        assert producer.flush(90) == 0, "Kafka did not acknowledge everything in time"
        assert not failures, failures

    @contextmanager
    def transaction(self, *, aborts: bool = False) -> Iterator[Producer]:
        """A producer inside a transaction, committed (or aborted) on leaving: its marker takes an offset that no record has."""
        producer = Producer(
            {
                "bootstrap.servers": self.servers,
                "transactional.id": f"tests-{time.monotonic_ns()}",
                "partitioner": "murmur2_random",
                "log_level": 0,
            }
        )
        producer.init_transactions(20)
        producer.begin_transaction()
        yield producer
        if aborts:
            producer.flush(20)
            producer.abort_transaction(20)
        else:
            producer.commit_transaction(20)

    # what was written

    def rows(self) -> list[Record]:
        """Every row and tombstone ever published, of communes and of provinces."""
        return self.topics.read(COMMUNES.name) + self.topics.read(PROVINCES.name)

    def current_rows(self) -> list[Record]:
        """Those of the log that the broker shows now: readers leave the others out."""
        log = self.log_id()
        return [record for record in self.rows() if record.version.log == log]

    def verdicts(self) -> list[Record]:
        """Every verdict change."""
        return self.topics.read(VERDICTS.name)

    def dead_letters(self) -> list[Record]:
        """Every dead letter."""
        return self.topics.read(DEAD_LETTERS.name)

    def log(self) -> Log:
        """The source topics as they are now, with the core's answer."""
        return Log(self.topics, self.rules)

    def log_id(self) -> str:
        """The ids of the source topics, as versions carry them."""
        names = [topic.name for topic in SOURCES.values()]
        shown = {name: future.result(10) for name, future in self.admin.describe_topics(TopicCollection(names)).items()}
        return log_id({name: str(topic.topic_id) for name, topic in shown.items()})

    def progress(self) -> dict[tuple[str, int], tuple[int, str]]:
        """What is committed to phusong-progress: (topic, partition) -> (offset, metadata)."""
        consumer = Consumer({"bootstrap.servers": self.servers, "group.id": PROGRESS_GROUP, "enable.auto.commit": False, "log_level": 0})
        try:
            found = consumer.committed([TopicPartition(*tp) for tp in self.topics.ends(*DOMAIN_OF)], 10)
        finally:
            consumer.close()
        return {(tp.topic, tp.partition): (tp.offset, tp.metadata or "") for tp in found if tp.offset >= 0}

    def commit(self, offsets: Mapping[tuple[str, int], int], metadata: str) -> None:
        """Commit to phusong-progress by hand."""
        consumer = Consumer({"bootstrap.servers": self.servers, "group.id": PROGRESS_GROUP, "enable.auto.commit": False, "log_level": 0})
        try:
            consumer.commit(offsets=[TopicPartition(*tp, offset, metadata) for tp, offset in offsets.items()], asynchronous=False)
        finally:
            consumer.close()

    # what is waited for

    def wait_for_rows(self, as_of: datetime = AS_OF, timeout_seconds: float = 40) -> None:
        """Until the row of the greatest version of each key is the core's answer over the whole log (the clock must stand still)."""
        expected = {key: rows.encode(row) for key, row in self.log().rows(as_of).items()}

        def wrong() -> dict[str, str]:
            shown = {key: record.value for key, record in by_version(self.current_rows()).items() if record.value is not None}
            return {
                key: "wrong" if key in shown and key in expected else "missing" if key in expected else "too many"
                for key in expected.keys() | shown.keys()
                if shown.get(key) != expected.get(key)
            }

        wait_until(lambda: not wrong(), timeout_seconds, "every row is the core's answer over the log")

    def wait_for_progress(self, timeout_seconds: float = 20) -> None:
        """Until everything is committed under these rules: each record is acknowledged."""
        ends: dict[tuple[str, int], int] = {}
        for record in self.log().records:
            ends[record.topic, record.partition] = record.offset + 1  # a marker at the end is no record, and never applied

        def reached() -> bool:
            progress = self.progress()
            return all(progress.get(tp, (0, ""))[0] >= end and progress[tp][1] == f"rules={self.rules.number}" for tp, end in ends.items())

        wait_until(reached, timeout_seconds, "progress has reached the ends")

    def wait_until_left(self, timeout_seconds: float = 30) -> None:
        """Until Faust's group has no members: after kill -9 its session must run out."""
        wait_until(self._left, timeout_seconds, "the workers have left their group")

    def _left(self) -> bool:
        described = self.admin.describe_consumer_groups([GROUP], request_timeout=2)[GROUP]
        try:
            return bool(described.result(5).state in (ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD))
        except KafkaException as error:
            return bool(error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND)

    def forget_progress(self) -> None:
        """What eight days of silence do: Kafka forgets the committed offsets."""
        self.admin.delete_consumer_groups([PROGRESS_GROUP])[PROGRESS_GROUP].result(20)

    def alter(self, topic: Topic, setting: str, value: str) -> None:
        """Set one setting of a topic on the broker."""
        entry = ConfigEntry(setting, value, incremental_operation=AlterConfigOpType.SET)
        for future in self.admin.incremental_alter_configs(
            [ConfigResource(ResourceType.TOPIC, topic.name, incremental_configs=[entry])]
        ).values():
            future.result(10)

    def recreate(self, *names: str) -> None:
        """Delete topics and create them again, as somebody does who wants them empty."""
        for future in self.admin.delete_topics(list(names)).values():
            future.result(20)
        wait_until(lambda: not set(names) & set(self.admin.list_topics(timeout=10).topics), 20, "the topics are deleted")
        said: list[str] = []
        assert apply(read_settings(bootstrap_servers=self.servers), said.append) == 0, said


class Step(Struct, frozen=True):
    """What was known of a cell after the record before `offset`, and what had been stated of it in each period."""

    offset: int
    slots: Slots
    past: dict[int, Slots]
    held: Held


class Log:
    """The source topics as the broker acknowledged them, and the pure core's answer: after all of it, and for each published row."""

    def __init__(self, topics: Topics, rules: Rules) -> None:
        self.rules = rules
        self.records = [record for topic in DOMAIN_OF for record in topics.read(topic)]
        self.ends = topics.ends(*DOMAIN_OF)
        self.starts = topics.starts(*DOMAIN_OF)
        self.outcomes: dict[str, dict[Outcome, int]] = {domain: dict.fromkeys(Outcome, 0) for domain in SOURCES}
        self.rejects: dict[tuple[str, int, int], Reason] = {}
        """(topic, partition, offset) of each record that is not counted -> why."""
        self.steps: dict[Cell, list[Step]] = {}
        """Cell -> what it came to, step by step."""
        self._answers: dict[tuple[str, tuple[int, ...], datetime], bytes] = {}
        self._ends_by_share = {number: {t: self.ends[t, number] for t in DOMAIN_OF} for (_, number) in self.ends}
        admission = Admission(rules)
        # a pace is asked for only where a target has a date
        paced = {target.indicator: rules.catalogue.indicators[target.indicator].period for target in rules.catalogue.targets if target.due}
        for record in self.records:
            domain = DOMAIN_OF[record.topic]
            try:
                event, route = admission.record(
                    record.value, list(record.headers), record.key, domain, record.partition, record.timestamp_ms
                )
            except Rejected as error:
                self.rejects[record.topic, record.partition, record.offset] = error.reason
                continue
            steps = self.steps.setdefault(route.cell, [])
            slots = dict(steps[-1].slots) if steps else {}
            past: Past = {route.cell: {number: dict(one) for number, one in steps[-1].past.items()} if steps else {}}
            held = dict(steps[-1].held) if steps else {}
            moved = False
            if isinstance(event, Promised | Challenged):
                outcome = follow(held, route.slot, event)
            else:
                outcome = fold(slots, route.slot, event)
                period = paced.get(event.data.indicator)
                moved = period is not None and remember(past, period, route.cell, route.slot, event) is not None
            self.outcomes[domain][outcome] += 1
            if moved or outcome is Outcome.ADMITTED:
                steps.append(Step(record.offset + 1, slots, past[route.cell], held))

    @cached_property
    def offsets(self) -> dict[int, int]:
        """Share -> the sum of offsets after the last record of each of its partitions: the greatest that a version can have."""
        last: dict[tuple[str, int], int] = {}
        for record in self.records:
            last[record.topic, record.partition] = record.offset + 1
        return {number: sum(last.get((topic, number), 0) for topic in DOMAIN_OF) for (_, number) in self.ends}

    def rows(self, as_of: datetime) -> dict[str, Row]:
        """Every row that the whole log amounts to, by record key."""
        cells = {cell: steps[-1].slots for cell, steps in self.steps.items()}
        past = {cell: steps[-1].past for cell, steps in self.steps.items()}
        follow_ups = {cell: steps[-1].held for cell, steps in self.steps.items() if steps[-1].held}
        found: dict[str, Row] = {}
        for home in self.rules.register.homes:
            for answer in assessment.assess(self.rules, home, cells, as_of, past, follow_ups):
                found.update(answer)
        return found

    def explains(self, record: Record) -> bool:
        """Whether this row is the core's answer at its own version: after some prefix of the log with that sum of offsets, at its as_of.

        The sum tells the prefix of a share with one source topic exactly; of several, the row's own domain may be anywhere that the sum
        allows. A tombstone is right where the register has no such key.
        """
        version, row = record.version, record.row
        if version.rules != self.rules.number:
            raise ValueError(f"a row of rules {version.rules}, this log is read with {self.rules.number}")
        if row is None:
            return record.name not in self.rows(version.as_of)
        domain = SOURCES[row.indicator.partition(".")[0]].name
        ends = self._ends_by_share[record.partition]
        lowest = version.offsets - sum(end for topic, end in ends.items() if topic != domain)
        highest = min(version.offsets, ends[domain])
        units = self._units(row)
        if highest < max(0, lowest) or {share_of(self.rules.register.home(unit).encode()) for unit in units} != {record.partition}:
            return False
        cells = [cell for unit in units for cell in self._cells(unit, self.rules.catalogue.indicators[row.indicator])]
        changes = {step.offset for cell in cells for step in self.steps.get(cell, ()) if lowest < step.offset <= highest}
        return any(
            self._answer(row, cells, offset, version.as_of) == record.value for offset in sorted({*changes, max(0, lowest)}, reverse=True)
        )

    def wrong(self, records: Iterable[Record]) -> list[str]:
        """What `explains` does not hold for, in words."""
        return [f"{r.topic}[{r.partition}]@{r.offset} {r.name} at {r.version}: {r.value!r}" for r in records if not self.explains(r)]

    def _units(self, row: Row) -> list[Unit]:
        """The units that a row is about."""
        if isinstance(row, CommuneRow):
            return [self.rules.register.units[row.vintage, row.commune]]
        return [unit for unit in self.rules.register.units.values() if (unit.vintage, unit.province) == (row.vintage, row.province)]

    def _cells(self, unit: Unit, indicator: Indicator) -> Iterator[Cell]:
        """Every cell whose evidence counts for a unit's row: those of what it was made of, and of the indicator that bounds this one."""
        yield from ((*unit.id, one) for one in (indicator.id, indicator.at_most) if one)
        for before in self.rules.register.predecessors.get(unit.id, ()):
            yield from self._cells(before.unit, indicator)

    def _answer(self, row: Row, cells: list[Cell], offset: int, as_of: datetime) -> bytes:
        at = tuple(bisect_left(self.steps.get(cell, []), offset + 1, key=lambda step: step.offset) for cell in cells)
        name = (row.key, at, as_of)
        if name not in self._answers:
            indicator = self.rules.catalogue.indicators[row.indicator]
            bounding = self.rules.catalogue.indicators.get(indicator.at_most)
            steps = {cell: self.steps[cell][number - 1] for cell, number in zip(cells, at, strict=True) if number}
            held = {cell: step.slots for cell, step in steps.items()}
            follow_ups = {cell: step.held for cell, step in steps.items() if step.held}
            units = self._units(row)
            assessed = []
            totals = Totals()
            for unit in units:
                bound = None if bounding is None else commune(self.rules, unit, bounding, held, None, as_of, follow_ups)
                one = commune(self.rules, unit, indicator, held, bound, as_of, follow_ups)
                assessed.append(one)
                totals.add(one)
            if isinstance(row, CommuneRow):
                answer: Row = assessed[0].row
            else:
                pace = Pace(self.rules, units, indicator, {cell: step.past for cell, step in steps.items()})
                points = partial(pace.points, as_of)
                answer = assessment.province(self.rules, row.vintage, row.province, indicator, totals, assessed, points, as_of)
            self._answers[name] = rows.encode(answer)
        return self._answers[name]


def clock(start: datetime, rate: float = 0) -> dict[str, object]:
    """Settings of a scenario clock that shows `start` now."""
    return {"clock_start": start.isoformat(), "clock_rate": rate, "clock_anchor": datetime.now(UTC).isoformat()}


def many(
    count: int, indicators: Sequence[str] = (worlds.POSTAL,), communes: Mapping[str, Iterable[str]] = worlds.COMMUNES
) -> Iterator[Stated]:
    """That many different statements over the communes of a world; each later one supersedes the one before it in its slot."""
    codes = [code for listed in communes.values() for code in listed]
    first = instant("2023-06-30T09:00")
    sources = {worlds.POSTAL: "post-office", worlds.MOBILE: "operator-a"}
    for number in range(count):
        indicator = indicators[number % len(indicators)]
        source = sources.get(indicator, "department")
        yield worlds.stated(
            codes[number // len(indicators) % len(codes)],
            indicator,
            covered=number % 5,
            expected=4,
            source=source,
            time=(first + timedelta(seconds=number)).isoformat(),
            event_id=f"n{number}",
        )


def chain_problems(verdicts: Iterable[Record], provinces: Mapping[str, Record]) -> list[str]:
    """What is wrong with the verdict history: after deduplication by id each key's entries form a chain that ends as its row says."""
    chains: dict[str, dict[str, VerdictEvent]] = {}
    for record in verdicts:
        chains.setdefault(record.name, {}).setdefault(record.verdict.id, record.verdict)
    problems = []
    for key, record in provinces.items():
        if record.topic != PROVINCES.name or record.value is None:
            continue
        chain = list(chains.pop(key, {}).values())
        row = record.row
        assert isinstance(row, ProvinceRow)
        if not chain or chain[0].data.previous is not None or chain[0].data.from_ is not None:
            problems.append(f"{key}: no first entry")
        problems += [
            f"{key}: {one.data.to} is followed by {other.data.from_}"
            for one, other in pairwise(chain)
            if other.data.previous != one.id or other.data.from_ != one.data.to or other.data.to == one.data.to
        ]
        if chain and chain[-1].data.to != row.verdict:
            problems.append(f"{key}: the last entry says {chain[-1].data.to}, the row {row.verdict}")
    return problems + [f"{key}: verdicts without a row" for key in chains]


@pytest.fixture(scope="session")
def worker_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    """The broker that the worker tests share, one after the other: the topics' names are fixed, so nobody else may use it."""
    with LocalKafka(tmp_path_factory.mktemp("worker-kafka") / "kafka") as broker:
        yield broker


@pytest.fixture
def stage(worker_kafka: LocalKafka, tmp_path: Path) -> Iterator[Stage]:
    """Fresh topics, no groups, the default world, a clock that stands still, no worker yet."""
    _clear(worker_kafka.bootstrap_servers)
    stage = Stage(worker_kafka.bootstrap_servers, tmp_path)
    try:
        yield stage
    finally:
        stage.close()


def _clear(servers: str) -> None:
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
    names = [topic.name for topic in TOPICS]
    held = [name for name in names if name in admin.list_topics(timeout=10).topics]
    for future in admin.delete_topics(held).values() if held else ():
        future.result(20)
    wait_until(lambda: not set(names) & set(admin.list_topics(timeout=10).topics), 20, "the topics of the test before are deleted")

    def groups_are_gone() -> bool:
        # the members that a test killed stay until their session is over
        listed = {group.group_id for group in admin.list_consumer_groups().result(10).valid}
        ours = list(listed & {GROUP, PROGRESS_GROUP})
        for future in admin.delete_consumer_groups(ours).values() if ours else ():
            try:
                future.result(10)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.NON_EMPTY_GROUP:
                    raise
        return not ours

    wait_until(groups_are_gone, 40, "the groups of the test before are gone")
