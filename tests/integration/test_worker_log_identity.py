"""What a worker knows is of one log: when a source topic is deleted and created again, it ends and publishes nothing of the new one."""

from __future__ import annotations

import pytest

from phusong.topics import BROADCAST, POSTAL, Topic
from tests.workers import Stage, many
from tests.worlds import stated

pytestmark = pytest.mark.kafka


@pytest.mark.parametrize("topic", [POSTAL, BROADCAST], ids=["with records", "without a record"])
def test_a_worker_whose_source_topic_was_created_again_exits_3_and_publishes_nothing_of_the_new_log(stage: Stage, topic: Topic) -> None:
    stage.send(many(100))
    before = stage.log_id()
    # an interval longer than the deletion takes: it must be the ids that tell, not the moment without a topic
    worker = stage.start_ready(heartbeat_seconds=4)
    stage.wait_for_rows()
    stage.topics.close()
    stage.recreate(topic.name)
    assert stage.log_id() != before
    stage.send([stated("02275", covered=0)])
    assert worker.wait(20) == 3
    assert {r.version.log for r in stage.rows()} == {before}


def test_a_worker_started_on_the_new_log_publishes_all_of_it(stage: Stage) -> None:
    stage.send(many(100))
    worker = stage.start_ready()
    stage.wait_for_rows()
    assert worker.end() == 0
    stage.topics.close()
    stage.recreate(POSTAL.name)
    stage.send(many(3))
    stage.start_ready()
    stage.wait_for_rows()
    assert stage.log().wrong(stage.current_rows()) == []
