"""A bad record costs itself alone: the good ones around it count, and it is in the dead letters whole, with its reason."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from confluent_kafka import Consumer, TopicPartition

from phusong.admission import Admission
from phusong.events import MAX_COUNT, Event, Reason, encode
from phusong.evidence import Cell, Outcome, Slot
from phusong.topics import MAX_VALUE_BYTES, POSTAL, SOURCES, TELECOM, Topic, share_of
from streams.share import Share
from tests import worlds
from tests.workers import DOMAIN_OF, Headers, Record, Stage, Worker
from tests.worlds import stated

pytestmark = pytest.mark.kafka

Bad = tuple[Topic, bytes | None, bytes | None, Headers, int | None]
BINARY: Headers = [
    ("ce_specversion", b"1.0"),
    ("ce_id", b"binary"),
    ("ce_source", b"post-office"),
    ("ce_type", b"vn.phusong.coverage.stated.v1"),
    ("ce_time", b"2023-07-09T09:00:00+07:00"),
    ("content-type", b"application/json"),
]


def _bad() -> dict[Reason, list[Bad]]:
    """At least one record of each reason; `processor_error` is provoked below, where nothing else can reach it."""

    def like(event: Event | None = None, **envelope: Any) -> bytes:
        return msgspec.json.encode({**msgspec.json.decode(encode(event or stated())), **envelope})

    def postal(value: bytes | None, key: bytes | None = b"08", headers: Headers = (), partition: int | None = share_of(b"08")) -> Bad:
        return POSTAL, value, key, headers, partition

    future = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    return {
        Reason.NOT_JSON: [
            postal(b"\xff\xfe{", headers=[("x", b"\xff"), ("x", None), ("phusong-reason", b"made up")]),
            postal(None),
            postal(b""),
            postal(b"[" * 20_000),
        ],
        Reason.NOT_CLOUDEVENT: [
            postal(b'{"commune": "02275"}'),
            postal(b"1"),
            postal(like(specversion="2.0")),
            postal(b"{}", headers=BINARY[:2]),
        ],
        Reason.UNKNOWN_TYPE: [postal(like(type="vn.phusong.coverage.acknowledged.v1"))],
        Reason.SCHEMA: [
            postal(like(data={"commune": "02275"})),
            postal(like(stated(measured=("Bản Bung",)))),
            postal(like(time="yesterday")),
            postal(b"{}", headers=BINARY),
        ],
        Reason.UNKNOWN_COMMUNE: [postal(like(stated("2275")))],
        Reason.UNKNOWN_VINTAGE: [postal(like(stated(vintage="1999-01-01")))],
        Reason.OUTSIDE_VINTAGE: [postal(like(stated(observed_at="2019-06-30"))), postal(like(stated(observed_at="0001-01-02")))],
        Reason.UNKNOWN_INDICATOR: [postal(like(stated(indicator="postal.carrier_pigeons")))],
        Reason.WRONG_TOPIC: [(TELECOM, like(), b"08", (), None)],
        Reason.KEY_MISMATCH: [postal(like(), b"02"), postal(like(), None), postal(like(), b"\xff" * 100)],
        Reason.WRONG_PARTITION: [postal(like(), partition=5)],
        Reason.UNKNOWN_REPORTER: [postal(like(stated(source="nobody")))],
        Reason.UNKNOWN_OPERATOR: [postal(like(stated(operator="operator-a")))],
        Reason.COUNTS_OUT_OF_RANGE: [
            postal(like(stated(covered=2, expected=1))),
            postal(like(stated(covered=-1))),
            postal(like(stated(covered=1, expected=MAX_COUNT + 1))),
        ],
        Reason.OBSERVED_IN_FUTURE: [postal(like(stated(observed_at=future))), postal(like(time="9999-12-31T23:59:59Z"))],
        Reason.TOO_LARGE: [postal(b"x" * (MAX_VALUE_BYTES + 1)), postal(b"{" + b" " * (1024 * 1024 - 200))],
    }


def test_every_good_record_counts_and_every_bad_one_is_a_dead_letter_whole_also_after_a_restart_and_a_rebuild(stage: Stage) -> None:
    bad = _bad()
    assert bad.keys() | {Reason.PROCESSOR_ERROR} == set(Reason)
    _send_among_good_ones(stage, bad)
    log = stage.log()
    assert Counter(log.rejects.values()) == {reason: len(ones) for reason, ones in bad.items()}

    worker = stage.start_ready()
    stage.wait_for_rows()
    stage.wait_for_progress()
    assert len(stage.dead_letters()) == len(log.rejects)
    _assert_dead_letters_are_whole(stage)
    _assert_counts_add_up(stage, worker)

    worker.kill()
    stage.wait_until_left()
    stage.forget_progress()
    worker = stage.start_ready()
    stage.wait_for_rows()
    stage.wait_for_progress()
    _assert_dead_letters_are_whole(stage)
    _assert_counts_add_up(stage, worker)


def test_an_event_in_binary_mode_counts(stage: Stage) -> None:
    worker = stage.start_ready()
    with stage.sending() as send:
        send(POSTAL, msgspec.json.encode(stated("02284").data), b"08", BINARY)
    stage.wait_for_rows()
    shown = [r.row for r in stage.rows() if r.name == f"2020-01-01/02284/{worlds.POSTAL}" and r.row is not None]
    assert shown[-1].ratio == 1
    assert worker.metric("phusong_events_total", outcome="admitted") == 1
    assert stage.dead_letters() == []


def test_an_exception_nobody_foresaw_costs_the_record_that_provoked_it_alone(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    events = [stated(commune, event_id=commune) for commune in worlds.COMMUNES["08"]]
    with stage.sending() as send:
        send(POSTAL, encode(events[0]), b"08")
        send(POSTAL, encode(events[1]), b"08", [("x", b"1")])  # with headers it is looked at a second time
        send(POSTAL, encode(events[1]), b"08")
        send(POSTAL, encode(events[2]), b"08")
    share = Share(share_of(b"08"), stage.rules, Admission(stage.rules))
    province = share.provinces["08"]
    sound = province.apply

    def apply(cell: Cell, slot: Slot, event: Event) -> Outcome:
        if event.id == events[1].id:
            raise ZeroDivisionError("out of the blue")
        return sound(cell, slot, event)

    monkeypatch.setattr(province, "apply", apply)
    consumer = Consumer({"bootstrap.servers": stage.servers, "group.id": "phusong-tests", "enable.auto.commit": False, "log_level": 0})
    try:
        consumer.assign([TopicPartition(POSTAL.name, share.number, 0)])
        messages = [consumer.poll(20) for _ in range(4)]
    finally:
        consumer.close()
    seen, rejects = share.apply("postal", messages)
    assert seen[Outcome.ADMITTED] == 2
    assert [(r.message.offset(), r.reason) for r in rejects] == [(1, Reason.PROCESSOR_ERROR), (2, Reason.PROCESSOR_ERROR)]
    assert all("ZeroDivisionError: out of the blue" in r.sentence and "report it" in r.sentence for r in rejects)
    assert share.applied == {POSTAL.name: 4}
    assert {cell[1] for cell, slots in province.cells.items() if slots} == {"02263", "02284"}


def _send_among_good_ones(stage: Stage, bad: dict[Reason, list[Bad]]) -> None:
    admission = Admission(stage.rules)
    communes = [commune for codes in worlds.COMMUNES.values() for commune in codes]
    with stage.sending() as send:
        number = 0
        for ones in bad.values():
            for topic, value, key, headers, partition in ones:
                send(topic, value, key, headers, partition)
                for _ in range(3):
                    number += 1
                    good = stated(
                        communes[number % len(communes)], covered=number % 2, time=f"2023-07-05T09:{number // 60:02}:{number % 60:02}Z"
                    )
                    route = admission.route(good)
                    send(SOURCES[route.domain], encode(good), route.key)
        send(POSTAL, encode(good), route.key)  # a duplicate, and something superseded
        send(POSTAL, encode(stated(communes[0], observed_at="2023-05-31")), share_key(communes[0]))
    with stage.transaction() as producer:
        producer.produce(POSTAL.name, encode(stated("00688")), b"02")


def share_key(commune: str) -> bytes:
    """The key of a commune's events in the default world."""
    return next(province for province, codes in worlds.COMMUNES.items() if commune in codes).encode()


def _assert_dead_letters_are_whole(stage: Stage) -> None:
    log = stage.log()
    originals = {(r.topic, r.partition, r.offset): r for r in log.records}
    found: dict[tuple[str, int, int], Record] = {}
    for letter in stage.dead_letters():
        identity = (letter.header("phusong-topic"), int(letter.header("phusong-partition")), int(letter.header("phusong-offset")))
        original = originals[identity]
        assert (letter.value, letter.key) == (original.value, original.key)
        assert letter.headers[: len(original.headers)] == original.headers
        assert letter.header("phusong-reason") == log.rejects[identity]
        assert len(letter.header("phusong-sentence")) > 20
        assert int(letter.header("phusong-timestamp")) == original.timestamp_ms
        found.setdefault(identity, letter)
    assert found.keys() == log.rejects.keys()


def _assert_counts_add_up(stage: Stage, worker: Worker) -> None:
    log = stage.log()
    reasons = Counter((DOMAIN_OF[topic], reason) for (topic, _, _), reason in log.rejects.items())
    for domain, topic in SOURCES.items():
        counted = {outcome: worker.metric("phusong_events_total", domain=domain, outcome=outcome.name.lower()) for outcome in Outcome}
        assert counted == log.outcomes[domain]
        for reason in Reason:
            assert worker.metric("phusong_events_total", domain=domain, outcome="rejected", reason=reason) == reasons[domain, reason]
        markers = 1 if domain == "postal" else 0
        span = sum(end - log.starts[tp] for tp, end in log.ends.items() if tp[0] == topic.name)
        assert span == worker.metric("phusong_events_total", domain=domain) + markers
