"""A share publishes nothing before its owner knows what the log and the topics hold."""

from __future__ import annotations

import pytest

from phusong.events import encode
from phusong.rows import CommuneRow, ProvinceRow
from phusong.topics import POSTAL, TELECOM, share_of
from tests import worlds
from tests.kafka import wait_until
from tests.workers import AS_OF, Stage, many
from tests.worlds import stated

pytestmark = pytest.mark.kafka

BACKLOG = 60_000


def test_no_row_of_a_backlog_is_published_before_all_of_it_is_applied(stage: Stage) -> None:
    stage.send(many(BACKLOG, (worlds.POSTAL, worlds.MOBILE)))
    log = stage.log()
    worker = stage.start_ready()
    stage.wait_for_rows()
    early = [(r.name, r.version.offsets) for r in stage.rows() if r.version.offsets < log.offsets[r.partition]]
    assert early == []
    assert log.wrong(stage.rows()) == []
    assert worker.metric("phusong_rebuild_seconds_count") == 12
    assert worker.metric("phusong_lag_events") == 0


def test_a_share_that_ends_with_a_transaction_marker_becomes_ready_and_counts_what_was_committed(stage: Stage) -> None:
    with stage.transaction() as producer:
        producer.produce(POSTAL.name, encode(stated("02275")), b"08")
    with stage.transaction(aborts=True) as producer:
        producer.produce(POSTAL.name, encode(stated("02275", covered=0, time="2023-07-06T09:00:00+07:00")), b"08")
    # the marker of an aborted transaction may come a moment after the producer hears of it
    wait_until(lambda: stage.topics.ends(POSTAL.name)[POSTAL.name, share_of(b"08")] == 4, 10, "two records and two markers are there")
    log = stage.log()
    assert [r.offset for r in log.records] == [0], "the aborted record is no record"
    stage.start_ready()
    stage.wait_for_rows()
    assert log.wrong(stage.rows()) == []
    stage.send([stated("02284")])
    stage.wait_for_rows()


def test_a_share_that_holds_nothing_but_aborted_records_becomes_ready(stage: Stage) -> None:
    for topic, indicator in ((POSTAL, worlds.POSTAL), (TELECOM, worlds.MOBILE)):
        with stage.transaction(aborts=True) as producer:
            producer.produce(topic.name, encode(stated("00688", indicator)), b"02")
    assert stage.log().records == []
    stage.start_ready()
    stage.wait_for_rows()


def test_every_registered_commune_has_a_row_from_the_first_minute_without_any_event(stage: Stage) -> None:
    stage.start_ready()
    stage.wait_for_rows()
    communes = [r.row for r in stage.rows() if isinstance(r.row, CommuneRow)]
    assert {row.key for row in communes} == {
        f"2020-01-01/{code}/{indicator['indicator']}"
        for codes in worlds.COMMUNES.values()
        for code in codes
        for indicator in worlds.INDICATORS
    }
    assert {row.state for row in communes} == {"unknown"}
    whole = {province: len(codes) for province, codes in worlds.COMMUNES.items()}
    provinces = [r.row for r in stage.rows() if isinstance(r.row, ProvinceRow)]
    assert {row.province: row.expected for row in provinces} == whole
    assert all(row.ratio == 0 and row.high == 1 for row in provinces)
    assert {r.version.as_of for r in stage.rows()} == {AS_OF}
