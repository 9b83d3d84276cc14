"""Workers come, go and disagree: one joins while another rebuilds, the log is replaced under them, rules differ, the broker stays away."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ops.local_kafka import LocalKafka
from phusong import rows
from phusong.topics import POSTAL as POSTAL_TOPIC
from tests import worlds
from tests.faults.crew import Crew
from tests.faults.traffic import TEXTS, Traffic
from tests.kafka import wait_until
from tests.workers import AS_OF, Record, Stage, by_version, chain_problems, many

pytestmark = pytest.mark.kafka

BACKLOG = 300_000
AWAY_SECONDS = 21


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


def test_when_a_source_topic_is_created_again_workers_leave_with_3_publish_nothing_wrong_and_new_ones_start_on_the_new_log(
    stage: Stage,
) -> None:
    stage.send(many(2_000, (worlds.POSTAL, worlds.MOBILE)))
    crew = Crew(stage)
    workers = [crew.hire(), crew.hire()]
    crew.wait_until_ready()
    stage.wait_for_rows()
    old_id, old = stage.log_id(), {key: rows.encode(row) for key, row in stage.log().rows(AS_OF).items()}

    stage.topics.close()
    stage.recreate(POSTAL_TOPIC.name)
    # more than the old log held: whoever went on at the old offsets would find records there
    stage.send(many(6_000))
    assert [worker.wait(30) for worker in workers] == [3, 3]
    published = stage.rows()
    assert {record.version.log for record in published} == {old_id}
    assert [record for record in published if record.value != old[record.name]] == []

    stage.start_anew()
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
        print(f"left in {time.monotonic() - started:.1f} s")
        assert time.monotonic() - started < 10
        own_kafka.start()
        crew.wait_until_ready(90)
        stage.send(many(1_200))
        stage.wait_for_rows()
        assert crew.replaced == 0, staying.log[-3000:]
        assert chain_problems(stage.verdicts(), by_version(stage.rows())) == []
    finally:
        stage.close()
