"""How a worker starts, ends and fails."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.local_kafka import LocalKafka
from phusong.topics import COMMUNES, SHARES
from tests.kafka import wait_until
from tests.workers import GROUP, Stage, many
from tests.worlds import stated

pytestmark = pytest.mark.kafka


@pytest.fixture
def own_stage(own_kafka: LocalKafka, tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(own_kafka.bootstrap_servers, tmp_path)
    try:
        yield stage
    finally:
        stage.close()


def test_sigterm_ends_a_worker_with_0_within_10_s_and_its_progress_is_committed(stage: Stage) -> None:
    worker = stage.start_ready()
    stage.send(many(2000))
    stage.wait_for_rows()
    started = time.monotonic()
    assert worker.end(10) == 0
    assert time.monotonic() - started < 10
    stage.wait_for_progress(timeout_seconds=0.5)
    stage.wait_until_left(timeout_seconds=1)


def test_a_worker_goes_on_when_kafka_is_back_and_sigterm_ends_it_with_0_within_10_s_while_kafka_is_down(
    own_kafka: LocalKafka, own_stage: Stage
) -> None:
    own_stage.send(many(100))
    worker = own_stage.start_ready()
    own_stage.wait_for_rows()
    own_kafka.kill()
    own_kafka.start()
    own_stage.send([stated("02275", time="2023-07-08T09:00:00+07:00")])
    own_stage.wait_for_rows()
    own_kafka.kill()
    assert worker.end(10) == 0


def test_a_missing_topic_ends_a_worker_with_3_before_it_joins_or_reads(stage: Stage) -> None:
    stage.admin.delete_topics([SHARES.name])[SHARES.name].result(20)
    wait_until(lambda: SHARES.name not in stage.admin.list_topics(timeout=10).topics, 20, "the topic is deleted")
    worker = stage.start()
    assert worker.wait() == 3
    assert worker.log.splitlines() == [
        f"{SHARES.name}: missing; run `phusong topics apply`",
        "the topics are not as they must be, see above; nothing was read",
    ]
    assert GROUP not in {group.group_id for group in stage.admin.list_consumer_groups().result(10).valid}


def test_a_row_that_cannot_be_delivered_ends_the_worker_with_3(stage: Stage) -> None:
    worker = stage.start_ready()
    stage.wait_for_rows()
    stage.alter(COMMUNES, "max.message.bytes", "100")
    stage.send([stated("02275")])
    assert worker.wait() == 3
    assert f"could not write to Kafka: {COMMUNES.name}" in worker.log
