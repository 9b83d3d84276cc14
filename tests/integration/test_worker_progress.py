"""How far a worker has come is committed, and dead letters are sent beyond that alone."""

from __future__ import annotations

import pytest
from confluent_kafka import Consumer

from phusong.events import encode
from phusong.topics import POSTAL, PROGRESS_GROUP, share_of
from tests import worlds
from tests.kafka import wait_until
from tests.workers import Record, Stage, many
from tests.worlds import seed_texts, stated

pytestmark = pytest.mark.kafka

SHARE = share_of(b"08")


def _origin(record: Record) -> tuple[str, int]:
    return record.header("phusong-topic"), int(record.header("phusong-offset"))


def _send_bad(stage: Stage, *communes: str) -> None:
    with stage.sending() as send:
        for commune in communes:
            send(POSTAL, encode(stated(commune)), b"08")


def test_progress_reaches_the_ends_and_says_by_which_rules(stage: Stage) -> None:
    stage.send(many(500, (worlds.POSTAL, worlds.MOBILE)))
    _send_bad(stage, "99999")
    stage.start_ready()
    stage.wait_for_progress()
    ends = stage.topics.ends(*(r.topic for r in stage.log().records))
    progress = stage.progress()
    assert {tp: progress[tp] for tp, end in ends.items() if end} == {tp: (end, "rules=1") for tp, end in ends.items() if end}


def test_progress_never_goes_below_what_is_committed_there(stage: Stage) -> None:
    stage.send(many(500))
    stage.commit({(POSTAL.name, SHARE): 1000}, "rules=1")
    worker = stage.start_ready()
    others = [tp for tp, end in stage.topics.ends(POSTAL.name).items() if end and tp[1] != SHARE]
    wait_until(lambda: all(tp in stage.progress() for tp in others), 20, "the other shares are committed")
    stage.send([stated("02275", time="2023-07-08T09:00:00+07:00")])
    stage.wait_for_rows()
    assert worker.end() == 0
    assert stage.progress()[POSTAL.name, SHARE] == (1000, "rules=1")


def test_dead_letters_are_sent_once_by_ordinary_restarts_again_when_progress_is_lost_and_under_newer_rules(stage: Stage) -> None:
    _send_bad(stage, "02276", "99999")
    worker = stage.start_ready()
    stage.wait_for_progress()
    first = sorted(map(_origin, stage.dead_letters()))
    assert first == [(POSTAL.name, 0), (POSTAL.name, 1)]
    assert worker.end() == 0

    worker = stage.start_ready()
    _send_bad(stage, "99998")
    wait_until(lambda: len(stage.dead_letters()) > 2, 20, "the new one is a dead letter")
    stage.wait_for_progress()
    assert sorted(map(_origin, stage.dead_letters())) == [*first, (POSTAL.name, 2)]
    assert worker.end() == 0

    stage.forget_progress()
    worker = stage.start_ready()
    stage.wait_for_progress()
    assert sorted(map(_origin, stage.dead_letters())) == sorted([*first, (POSTAL.name, 2)] * 2), "at least once"
    assert worker.end() == 0

    # a commune that was unknown is in the register now
    stage.use(seed_texts(communes={**worlds.COMMUNES, "08": (*worlds.COMMUNES["08"], "02276")}, number=2))
    stage.start_ready()
    stage.wait_for_progress()
    stage.wait_for_rows()
    again = [r for r in stage.dead_letters() if r.header("phusong-rules") == "2"]
    assert sorted(map(_origin, again)) == [(POSTAL.name, 1), (POSTAL.name, 2)]
    assert stage.progress()[POSTAL.name, SHARE] == (3, "rules=2")


def test_a_commit_that_the_broker_refuses_is_counted_and_tried_again(stage: Stage) -> None:
    worker = stage.start_ready()
    stray = Consumer({"bootstrap.servers": stage.servers, "group.id": PROGRESS_GROUP, "enable.auto.commit": False, "log_level": 0})
    try:
        # an administrator's tool that subscribes: a group with members takes no commits from others
        stray.subscribe([POSTAL.name])
        wait_until(lambda: stray.poll(0.1) is None and stray.assignment(), 20, "the stray consumer has joined")
        stage.send(many(100))
        stage.wait_for_rows()
        wait_until(lambda: stray.poll(0) or worker.metric("phusong_progress_failures_total") > 1, 20, "commits fail")
        assert {offset for offset, _ in stage.progress().values()} <= {0}
    finally:
        stray.close()
    stage.wait_for_progress()
    assert worker.running
