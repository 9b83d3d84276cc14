"""Workers come, go and disagree: one joins while another rebuilds, the log is replaced under them, rules differ, the broker stays away."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from ops.local_kafka import LocalKafka
from phusong import rows
from phusong.rows import ProvinceRow, Verdict
from phusong.topics import POSTAL as POSTAL_TOPIC
from phusong.topics import VERDICTS
from tests import worlds
from tests.faults.crew import Crew
from tests.faults.traffic import TEXTS, Traffic
from tests.kafka import wait_until
from tests.workers import AS_OF, Record, Stage, by_version, chain_problems, many

pytestmark = pytest.mark.kafka

BACKLOG = 200_000
AWAY_SECONDS = 21
KEY = f"2020-01-01/08/{worlds.POSTAL}"


def test_a_third_worker_joins_while_another_rebuilds_and_every_row_ever_published_is_whole(stage: Stage) -> None:
    stage.use(TEXTS)
    traffic = Traffic(stage.servers, stage.rules, pace=0, backlog=BACKLOG)
    crew = Crew(stage)
    crew.hire().wait_for_log("assigned shares [0, ")
    second = crew.hire()
    wait_until(lambda: second.metric("phusong_shares", state="rebuilding"), 60, "the second worker rebuilds")
    crew.hire()
    crew.wait_until_ready(120)
    stage.wait_for_rows(timeout_seconds=60)

    log = stage.log()
    assert len(log.records) == traffic.sent == BACKLOG
    answer = {key: rows.encode(row) for key, row in log.rows(AS_OF).items()}
    published = stage.rows()
    # all was in the log before the first worker started: a row of anything less was published before its share was ready
    assert {record.version.offsets - log.offsets[record.partition] for record in published} == {0}
    assert all(record.value == answer[record.name] for record in published)
    assert chain_problems(stage.verdicts(), by_version(published)) == []


def test_when_a_source_topic_is_created_again_workers_leave_with_3_and_new_ones_start_on_the_new_log(stage: Stage) -> None:
    """What a worker may still read of the new log until its next heartbeat, it publishes under the old log's id: no reader takes that."""
    stage.send(many(2_000, (worlds.POSTAL, worlds.MOBILE)))
    crew = Crew(stage)
    workers = [crew.hire(), crew.hire()]
    crew.wait_until_ready()
    stage.wait_for_rows()
    old_id, old_log = stage.log_id(), stage.log()
    old = {key: rows.encode(row) for key, row in old_log.rows(AS_OF).items()}

    stage.topics.close()
    stage.recreate(POSTAL_TOPIC.name)
    # more than the old log held: whoever went on at the old offsets would find records there
    stage.send(many(6_000))
    assert [worker.wait(30) for worker in workers] == [3, 3]
    published = stage.rows()
    assert {record.version.log for record in published} == {old_id}
    of_the_old_log = [record for record in published if record.version.offsets <= old_log.offsets[record.partition]]
    assert [record for record in of_the_old_log if record.value != old[record.name]] == []

    new_id = stage.log_id()
    assert new_id != old_id
    crew = Crew(stage)
    crew.hire()
    crew.wait_until_ready()
    new = {key: rows.encode(row) for key, row in stage.log().rows(AS_OF).items()}

    def of_the_new_log() -> dict[str, Record]:
        return by_version(record for record in stage.rows() if record.version.log == new_id)

    wait_until(lambda: {key: record.value for key, record in of_the_new_log().items()} == new, 30, "the new log's rows are right")
    assert chain_problems(stage.verdicts(), of_the_new_log()) == []


def test_a_worker_with_lower_rules_leaves_with_3_beside_one_with_higher(stage: Stage) -> None:
    stage.send(many(1_000))
    newer = worlds.seed_texts(targets=(worlds.target(worlds.POSTAL, "0.25"),), number=2)
    crew = Crew(stage)
    old = crew.hire()
    crew.wait_until_ready()
    stage.wait_for_rows()

    stage.use(newer)
    new = stage.start()
    assert old.wait(40) == 3
    assert "rules 2" in old.log
    new.wait_until_ready()
    stage.wait_for_rows()
    assert chain_problems(stage.verdicts(), by_version(stage.rows())) == []

    seeds = stage.write_seeds(worlds.seed_texts())
    late = stage.start(seeds=seeds)
    assert late.wait(40) == 3
    assert "rules 2" in late.log
    new.wait_until_ready()
    assert all(record.version.rules == 2 for record in by_version(stage.rows()).values())


def test_a_verdict_that_another_worker_appended_meanwhile_is_followed_by_the_next_one(stage: Stage) -> None:
    stage.start_ready(republish_seconds=3600)
    stage.wait_for_rows()
    _append_as_a_zombie_would(stage, Verdict.NOT_YET)
    stage.send([worlds.stated(commune) for commune in worlds.COMMUNES["08"]])
    wait_until(lambda: _told(stage)[-1] is Verdict.MET, 20, "the verdict that the events brought is told")
    stage.wait_for_rows()
    assert _told(stage) == [Verdict.UNCERTAIN, Verdict.NOT_YET, Verdict.MET]
    assert chain_problems(stage.verdicts(), by_version(stage.rows())) == []


def test_when_the_history_of_verdicts_does_not_end_as_the_row_says_the_next_round_adds_what_does(stage: Stage) -> None:
    stage.start_ready()
    stage.wait_for_rows()
    _append_as_a_zombie_would(stage, Verdict.NOT_YET)
    wait_until(lambda: _told(stage)[-1] is Verdict.UNCERTAIN, 20, "the history ends as the row says")
    assert _told(stage) == [Verdict.UNCERTAIN, Verdict.NOT_YET, Verdict.UNCERTAIN]
    assert chain_problems(stage.verdicts(), by_version(stage.rows())) == []


def _told(stage: Stage) -> list[Verdict]:
    return [record.verdict.data.to for record in stage.verdicts() if record.name == KEY]


def _append_as_a_zombie_would(stage: Stage, verdict: Verdict) -> None:
    """What was in the queue of a worker that was stopped, and goes on: an entry after the last one that it knew."""
    record, before = by_version(stage.rows())[KEY], next(record.verdict for record in stage.verdicts() if record.name == KEY)
    assert isinstance(record.row, ProvinceRow)
    entry = rows.verdict_event(replace(record.row, verdict=verdict), before, before.data.cause, stage.rules.number, AS_OF)
    with stage.sending() as send:
        send(VERDICTS, rows.encode(entry), record.key, (), record.partition)


def test_workers_outlive_a_broker_that_stays_away_and_obey_sigterm_meanwhile(own_kafka: LocalKafka, tmp_path: Path) -> None:
    stage = Stage(own_kafka.bootstrap_servers, tmp_path)
    try:
        stage.send(many(1_000))
        crew = Crew(stage)
        staying, leaving = crew.hire(), crew.hire()
        crew.wait_until_ready()
        stage.wait_for_rows()
        own_kafka.kill()
        gone = time.monotonic()
        wait_until(lambda: time.monotonic() > gone + AWAY_SECONDS, AWAY_SECONDS + 1, "the broker was away for long")
        crew.workers.remove(leaving)
        started = time.monotonic()
        assert leaving.end(30) == 0, leaving.log[-3000:]
        assert time.monotonic() - started < 10
        own_kafka.start()
        crew.wait_until_ready(90)
        stage.send(many(1_200))
        stage.wait_for_rows()
        assert crew.replaced == 0, staying.log[-3000:]
        assert chain_problems(stage.verdicts(), by_version(stage.rows())) == []
    finally:
        stage.close()
