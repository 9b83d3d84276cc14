"""A cluster as workers leave it, filled by hand, and feeds that read it: for the feed's tests on a real Kafka.

Comes in: rows with any version, verdicts. Goes out: `Cluster`, its topics, readers and feeds. Owns what it starts, while its `with` lasts.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import httpx
import msgspec
from confluent_kafka import KafkaException, Producer, TopicCollection
from confluent_kafka.admin import AdminClient, NewTopic

from feed.server import FeedServer
from feed.snapshot import Reader
from ops.local_kafka import LocalKafka
from phusong.assessment import assess
from phusong.rows import VERSION_HEADER, Cause, CauseKind, ProvinceRow, Row, Verdict, VerdictEvent, Version, encode, verdict_event
from phusong.settings import SEEDS, Kafka, read_rules, read_settings
from phusong.topics import COMMUNES, PROVINCES, SOURCES, TOPICS, VERDICTS, log_id
from tests.kafka import wait_until

AS_OF = datetime(2023, 6, 30, tzinfo=UTC)
# the scenario clock stands still, on a day of the first list
CLOCK = {"clock_start": AS_OF, "clock_anchor": AS_OF, "clock_rate": 0}
RULES = read_rules(SEEDS)
COMMUNE_ROWS, PROVINCE_ROWS = assess(RULES, "08", {}, AS_OF)
ROW = PROVINCE_ROWS["2020-01-01/08/postal.staffed_point"]
GAP = COMMUNE_ROWS["2020-01-01/02275/postal.staffed_point"]
PARTITIONS = 2  # the feed reads as many as the broker shows; few are created quickly


class Cluster:
    """What an owner does, by hand: topics, and rows with any version."""

    def __init__(self, broker: LocalKafka, partitions: int = PARTITIONS) -> None:
        self.partitions = partitions
        self.broker = broker
        self.servers = broker.bootstrap_servers
        self.admin = AdminClient({"bootstrap.servers": self.servers, "log_level": 0})
        self.log = ""

    def create(self, *names: str) -> None:
        """Create the topics, where they exist delete them first, and learn the new log id."""
        self.delete(*names)
        by_name = {topic.name: topic for topic in TOPICS}
        new = [NewTopic(name, self.partitions, 1, config=by_name[name].config) for name in names]
        for future in self.admin.create_topics(new).values():
            future.result(10)
        self.log = wait_until(self._log, 10, "the broker shows the new topics") or ""

    def delete(self, *names: str) -> None:
        held = [name for name in names if name in self.admin.list_topics(timeout=10).topics]
        for future in self.admin.delete_topics(held).values() if held else ():
            future.result(10)
        wait_until(lambda: not set(names) & set(self.admin.list_topics(timeout=10).topics), 10, "the topics are deleted")

    def _log(self) -> str | None:
        names = [topic.name for topic in SOURCES.values()]
        try:
            shown = {name: future.result(10) for name, future in self.admin.describe_topics(TopicCollection(names)).items()}
        except KafkaException:
            return None
        return log_id({name: str(topic.topic_id) for name, topic in shown.items()})

    def version(self, offsets: int, *, rules: int = 1, log: str | None = None, as_of: datetime = AS_OF) -> Version:
        return Version(rules=rules, log=self.log if log is None else log, offsets=offsets, as_of=as_of)

    def publish(self, *records: tuple[Row, Version], buries: bool = False, transaction: str | None = None) -> None:
        """Append the rows (or tombstones for their keys), one after the other, and wait until the broker has them."""
        producer = Producer(
            {"bootstrap.servers": self.servers, "linger.ms": 5, **({"transactional.id": transaction} if transaction else {})}
        )
        if transaction:
            producer.init_transactions(10)
            producer.begin_transaction()
        for row, version in records:
            topic = PROVINCES if isinstance(row, ProvinceRow) else COMMUNES
            value = None if buries else encode(row)
            producer.produce(topic.name, value, row.key, partition=0, headers={VERSION_HEADER: encode(version)})
            producer.poll(0)
        assert producer.flush(20) == 0
        if transaction:
            producer.commit_transaction(10)

    def decide(self, *verdicts: Verdict, repeated: int = 1) -> list[VerdictEvent]:
        """Append the entries of ROW's key, each as often as it was written, from the first on."""
        producer = Producer({"bootstrap.servers": self.servers, "linger.ms": 5})
        events: list[VerdictEvent] = []
        for verdict in verdicts:
            row = msgspec.structs.replace(ROW, verdict=verdict)
            cause = Cause(kind=CauseKind.STATEMENT)
            events.append(verdict_event(row, events[-1] if events else None, cause, RULES.number, AS_OF))
            for _ in range(repeated):
                producer.produce(VERDICTS.name, encode(events[-1]), row.key, partition=0)
        assert producer.flush(20) == 0
        return events

    @contextmanager
    def reader(self) -> Iterator[Reader]:
        reader = Reader(Kafka(self.servers))
        reader.start()
        try:
            yield reader
        finally:
            reader.stop()
            assert not reader.alive

    @contextmanager
    def feed(self) -> Iterator[httpx.Client]:
        """A running feed on any free port, and a client for it."""
        server = FeedServer(read_settings(bootstrap_servers=self.servers, feed_port=0, **CLOCK), RULES)
        urls: list[str] = []
        codes: list[int] = []
        thread = threading.Thread(target=lambda: codes.append(server.serve(urls.append)))
        thread.start()
        try:
            wait_until(lambda: urls, 10, "the feed listens")
            with httpx.Client(base_url=urls[0], timeout=10) as client:
                yield client
        finally:
            server.stop()
            thread.join(10)
        assert codes == [0]
