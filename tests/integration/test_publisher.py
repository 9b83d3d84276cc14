"""Sending to a real broker: what is acknowledged is there, once, where its reader looks for it; what is not is counted and told."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from ops import topics
from ops.local_kafka import LocalKafka
from phusong.admission import Admission
from phusong.events import Event, Reason, Rejected, Stated, Statement, Withdrawal, Withdrawn, decode, encode
from phusong.rules import Rules
from phusong.settings import Kafka, read_settings
from phusong.topics import ACKNOWLEDGEMENTS, BROADCAST, POSTAL, SOURCES, TELECOM, share_of
from producers import publisher as publisher_module
from producers.files import FAILED, Sent, send_file
from producers.publisher import QUEUE_EVENTS_MAX, Publisher, PublishError
from tests import worlds
from tests.kafka import fresh_name, wait_until

pytestmark = pytest.mark.kafka

PROVINCES = [f"{code:02}" for code in range(1, 41)]
OBSERVED_AT = datetime(2023, 6, 30, tzinfo=UTC)
REPORTER = "post-office"


@pytest.fixture(scope="module")
def admission() -> Admission:
    """One commune in each of forty provinces; commune 90008 is in province 08."""
    return Admission(Rules.from_texts(worlds.seed_texts(communes={code: (f"900{code}",) for code in PROVINCES}, obligations=())))


@pytest.fixture
def cluster(kafka: str) -> str:
    """The shared broker, with the topics."""
    return with_topics(kafka)


@pytest.fixture
def own_cluster(own_kafka: LocalKafka) -> LocalKafka:
    """A broker that may be stopped, with the topics."""
    with_topics(own_kafka.bootstrap_servers)
    return own_kafka


def with_topics(bootstrap_servers: str) -> str:
    said: list[str] = []
    assert topics.apply(read_settings(bootstrap_servers=bootstrap_servers), said.append) == 0, said
    return bootstrap_servers


def now() -> datetime:
    return datetime.now(UTC)


def stated(run: str, number: int, *, indicator: str = "postal.staffed_point", province: str = "08", at: datetime = OBSERVED_AT) -> Stated:
    data = Statement(commune=f"900{province}", indicator=indicator, observed_at=at, covered=1, expected=1)
    return Stated(specversion="1.0", id=f"{run}/{number}", source=REPORTER, time=at, data=data)


def records(bootstrap_servers: str, run: str) -> list[Message]:
    """Every record of the source topics whose event belongs to this run."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap_servers, "group.id": run, "enable.auto.commit": False, "enable.partition.eof": True}
    )
    parts = [TopicPartition(topic.name, number, OFFSET_BEGINNING) for topic in SOURCES.values() for number in range(topic.partitions)]
    consumer.assign(parts)
    found = []
    ends: set[tuple[str, int]] = set()
    try:
        while len(ends) < len(parts):
            for message in consumer.consume(1000, timeout=0.5):
                error = message.error()
                if error is None:
                    found.append(message)
                else:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    ends.add((message.topic(), message.partition()))
    finally:
        consumer.close()
    return [message for message in found if event_of(message).id.startswith(f"{run}/")]


def event_of(message: Message) -> Event:
    return decode(message.value())


def jsonl(tmp_path: Path, events: Sequence[Event | bytes]) -> str:
    file = tmp_path / "facts.jsonl"
    file.write_bytes(b"".join((one if isinstance(one, bytes) else encode(one)) + b"\n" for one in events))
    return str(file)


def test_what_is_acknowledged_is_in_the_log_once_with_its_bytes_and_the_mark_of_an_event(cluster: str, admission: Admission) -> None:
    run = fresh_name("run")
    withdrawal = Withdrawal(commune="90008", indicator="postal.staffed_point", observed_at=OBSERVED_AT)
    events: list[Event] = [stated(run, number) for number in range(500)]
    events.append(Withdrawn(specversion="1.0", id=f"{run}/500", source=REPORTER, time=OBSERVED_AT, data=withdrawal))
    with Publisher(Kafka(cluster), admission, now) as publisher:
        for event in events:
            publisher.send(event)
        assert publisher.flush() == 0
        assert (publisher.taken, publisher.acknowledged, publisher.failed, publisher.failures) == (501, 501, 0, [])
    found = records(cluster, run)
    assert [message.value() for message in found] == [encode(event) for event in events]
    assert {str(message.headers()) for message in found} == {"[('content-type', b'application/cloudevents+json')]"}


def test_an_event_goes_to_its_domains_topic_keyed_by_home_province_in_the_share_of_that_key(cluster: str, admission: Admission) -> None:
    run = fresh_name("run")
    indicators = {
        POSTAL.name: "postal.staffed_point",
        BROADCAST.name: "broadcast.loudspeaker",
    }
    assert set(indicators.values()) <= set(admission.rules.catalogue.indicators)
    with Publisher(Kafka(cluster), admission, now) as publisher:
        for number, province in enumerate(PROVINCES):
            for indicator in indicators.values():
                publisher.send(stated(run, number, indicator=indicator, province=province))
    found = records(cluster, run)
    assert len(found) == 2 * len(PROVINCES)
    for message in found:
        data = event_of(message).data
        key = data.commune[-2:].encode()
        assert (indicators[message.topic()], message.key(), message.partition()) == (data.indicator, key, share_of(key))
    assert len({message.partition() for message in found}) > 6


def test_nothing_counts_as_sent_before_its_delivery_report(own_cluster: LocalKafka, admission: Admission) -> None:
    with Publisher(Kafka(own_cluster.bootstrap_servers), admission, now) as publisher:
        own_cluster.stop()
        publisher.send(stated("run", 0))
        assert publisher.flush(0.2) == 1
        assert (publisher.taken, publisher.acknowledged, publisher.failed) == (1, 0, 0)
        own_cluster.start()
        assert publisher.flush() == 0
        assert publisher.acknowledged == 1


def test_what_the_reader_would_dead_letter_is_refused_before_it_is_sent(cluster: str, admission: Admission) -> None:
    run = fresh_name("run")
    late = datetime(2026, 1, 1, tzinfo=UTC)
    good = stated(run, 0)
    bad = {
        Reason.UNKNOWN_COMMUNE: stated(run, 1, province="99"),
        Reason.UNKNOWN_INDICATOR: stated(run, 2, indicator="postal.none"),
        Reason.UNKNOWN_REPORTER: Stated(specversion="1.0", id=f"{run}/3", source="nobody", time=OBSERVED_AT, data=good.data),
        # the clock is the caller's
        Reason.OBSERVED_IN_FUTURE: stated(run, 4, at=late + timedelta(days=1, seconds=1)),
        # not even an event that this process has built itself is believed
        Reason.SCHEMA: stated(run, 5, at=OBSERVED_AT.replace(tzinfo=None)),
        Reason.TOO_LARGE: Stated(specversion="1.0", id=f"{run}/6" + "x" * 70_000, source=REPORTER, time=OBSERVED_AT, data=good.data),
    }
    with Publisher(Kafka(cluster), admission, lambda: late) as publisher:
        for reason, event in bad.items():
            with pytest.raises(Rejected) as refused:
                publisher.send(event)
            assert refused.value.reason is reason
        publisher.send(stated(run, 7, at=late + timedelta(days=1)))
        publisher.send(good)
        assert publisher.flush() == 0
        assert publisher.taken == 2
    assert {event_of(message).id for message in records(cluster, run)} == {f"{run}/7", f"{run}/0"}


def test_nothing_is_lost_or_doubled_when_the_broker_restarts_during_a_send(own_cluster: LocalKafka, admission: Admission) -> None:
    def restart() -> None:
        own_cluster.kill()
        # all that the queue holds, and one for which `send` is waiting
        wait_until(lambda: publisher.taken - publisher.acknowledged == QUEUE_EVENTS_MAX + 1, 60, "the queue was full")
        own_cluster.start()

    run = fresh_name("run")
    with Publisher(Kafka(own_cluster.bootstrap_servers), admission, now) as publisher, ThreadPoolExecutor(1) as pool:
        publisher.send(stated(run, 0))
        wait_until(lambda: publisher.flush(0.1) == 0, 10, "the first event was acknowledged")
        restarted = pool.submit(restart)
        count = 1
        while not restarted.done():
            publisher.send(stated(run, count))
            count += 1
        restarted.result()
        assert publisher.flush() == 0
        assert publisher.acknowledged == count
    assert [event_of(message).id for message in records(own_cluster.bootstrap_servers, run)] == [f"{run}/{n}" for n in range(count)]


def test_what_is_never_acknowledged_is_counted_and_the_first_few_are_told_with_the_reason(
    own_cluster: LocalKafka, admission: Admission, tmp_path: Path
) -> None:
    path = jsonl(tmp_path, [stated("run", number) for number in range(10)])
    said: list[str] = []
    with Publisher(Kafka(own_cluster.bootstrap_servers), admission, now, delivery_seconds_max=1.5) as publisher:
        publisher.send(stated("run", 10))
        assert publisher.flush() == 0
        own_cluster.stop()
        assert send_file(path, publisher, said.append, lambda _: None) == Sent(10, 0, 0, 10, "")
        assert (publisher.acknowledged, publisher.failed, len(publisher.failures)) == (1, 10, 5)
        assert publisher.failures[0].startswith("coverage.postal.v1: event run/0: Local: Message timed out (")
        assert publisher.lost().startswith("10 of 11 events not acknowledged (coverage.postal.v1: event run/0: ")
    assert said == []


def test_leaving_the_block_without_a_flush_waits_and_tells_what_was_lost(own_cluster: LocalKafka, admission: Admission) -> None:
    def send() -> None:
        with Publisher(Kafka(own_cluster.bootstrap_servers), admission, now, delivery_seconds_max=1.5) as publisher:
            publisher.send(stated("run", 0))
            assert publisher.flush() == 0
            own_cluster.stop()
            publisher.send(stated("run", 1))

    with pytest.raises(PublishError, match="1 of 2 events not acknowledged"):
        send()


def test_a_file_is_given_up_after_a_failed_delivery(own_cluster: LocalKafka, admission: Admission, tmp_path: Path) -> None:
    path = jsonl(tmp_path, [*(stated("run", number) for number in range(3)), b"no event", stated("run", 4)])
    said: list[str] = []

    def report(line: str) -> None:
        said.append(line)
        wait_until(lambda: publisher.flush(0.1) == publisher.failed == 3, 20, "the events before the bad line had failed")

    with Publisher(Kafka(own_cluster.bootstrap_servers), admission, now, delivery_seconds_max=1.0) as publisher:
        own_cluster.stop()
        sent = send_file(path, publisher, report, lambda _: None)
    assert sent == Sent(lines=4, acknowledged=0, rejected=1, failed=3, stopped=FAILED)
    assert said[1].startswith(f"{path}:4: stopped, since a delivery failed, after this line; send the file again")


def test_bad_lines_are_reported_with_their_numbers_and_the_good_ones_sent(cluster: str, admission: Admission, tmp_path: Path) -> None:
    run = fresh_name("run")
    path = jsonl(
        tmp_path,
        [stated(run, 1), b"", b'{"specversion"', stated(run, 4, province="99"), stated(run, 5), b"x" * 70_000, stated(run, 7)],
    )
    said: list[str] = []
    seen: list[int] = []
    with Publisher(Kafka(cluster), admission, now) as publisher:
        assert send_file(path, publisher, said.append, seen.append) == Sent(6, 3, 3, 0, "")
    assert [line.split(": ")[:2] for line in said] == [
        [f"{path}:3", "not_json"],
        [f"{path}:4", "unknown_commune"],
        [f"{path}:6", "too_large"],
    ]
    assert [event_of(message).id for message in records(cluster, run)] == [f"{run}/1", f"{run}/5", f"{run}/7"]
    assert seen == sorted(seen)
    assert seen[-1] == Path(path).stat().st_size


def test_two_files_through_one_publisher_are_counted_apart(cluster: str, admission: Admission, tmp_path: Path) -> None:
    run = fresh_name("run")
    path = jsonl(tmp_path, [stated(run, 1), b"no event"])
    with Publisher(Kafka(cluster), admission, now) as publisher:
        for _ in range(2):
            assert send_file(path, publisher, lambda _: None, lambda _: None) == Sent(2, 1, 1, 0, "")


def test_ctrl_c_stops_the_sending_and_what_was_acknowledged_is_told(cluster: str, admission: Admission, tmp_path: Path) -> None:
    run = fresh_name("run")
    path = jsonl(tmp_path, [*(stated(run, number) for number in range(400)), b"no event", *(stated(run, n) for n in range(401, 800))])
    said: list[str] = []

    def interrupted(line: str) -> None:
        said.append(line)
        if len(said) == 1:
            signal.raise_signal(signal.SIGINT)

    with Publisher(Kafka(cluster), admission, now) as publisher:
        sent = send_file(path, publisher, interrupted, lambda _: None)
    assert sent == Sent(lines=401, acknowledged=400, rejected=1, failed=0, stopped="interrupted")
    assert said[1].startswith(f"{path}:401: interrupted, after this line; send the file again for the rest")
    assert len(records(cluster, run)) == 400


def test_ctrl_c_while_the_broker_is_away_is_obeyed_long_before_the_deliveries_fail(
    own_cluster: LocalKafka, admission: Admission, tmp_path: Path
) -> None:
    path = jsonl(tmp_path, [stated("run", number) for number in range(10)])

    def interrupt() -> None:
        wait_until(lambda: publisher.taken == 10, 10, "every line was taken")
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    kafka = Kafka(own_cluster.bootstrap_servers)
    with Publisher(kafka, admission, now, delivery_seconds_max=600) as publisher, ThreadPoolExecutor(1) as pool:
        own_cluster.stop()
        interrupting = pool.submit(interrupt)
        sent = send_file(path, publisher, lambda _: None, lambda _: None)
        interrupting.result()
    assert sent == Sent(lines=10, acknowledged=0, rejected=0, failed=10, stopped="interrupted")


def test_a_cluster_without_the_topics_or_with_other_shares_is_refused_at_once_with_the_remedy(
    own_kafka: LocalKafka, admission: Admission
) -> None:
    admin = AdminClient({"bootstrap.servers": own_kafka.bootstrap_servers, "log_level": 0})
    admin.create_topics([NewTopic(POSTAL.name, num_partitions=6, replication_factor=1)])[POSTAL.name].result()
    wait_until(lambda: POSTAL.name in admin.list_topics(timeout=10).topics, 10, "the topic was there")
    with pytest.raises(PublishError) as refused:
        Publisher(Kafka(own_kafka.bootstrap_servers), admission, now)
    assert str(refused.value) == (
        f"{own_kafka.bootstrap_servers}: {TELECOM.name} is missing, {BROADCAST.name} is missing, {POSTAL.name} has 6 partitions instead of "
        f"12, {ACKNOWLEDGEMENTS.name} is missing; run `phusong topics apply`"
    )


@pytest.mark.parametrize(
    ("address", "reason"),
    [("127.0.0.1:9", "Connection refused"), ("no.such.host.invalid:9092", "Failed to resolve"), ("", "Broker transport failure")],
)
def test_a_broker_that_does_not_answer_is_named_in_bounded_time_with_the_remedy(
    address: str, reason: str, admission: Admission, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "CONNECT_SECONDS_MAX", 0.5)
    with pytest.raises(
        PublishError, match=rf"^{address}: Kafka does not answer \(.*{reason}.*\); start it, or set PHUSONG_BOOTSTRAP_SERVERS"
    ):
        Publisher(Kafka(address), admission, now)


def test_a_producer_beyond_repair_says_so(cluster: str, admission: Admission) -> None:
    publisher = Publisher(Kafka(cluster), admission, now)
    # librdkafka's call, by hand: no healthy broker brings it about
    publisher._on_error(KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, "sequence", fatal=True))
    with pytest.raises(PublishError, match=r"coverage\.postal\.v1: event run/1: the producer gave up: sequence"), publisher:
        publisher.send(stated("run", 1))
