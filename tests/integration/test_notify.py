"""streams/notify.py on a real Kafka with a real receiver: each change arrives, in the order of its key, whatever befalls either side."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException

from ops.local_kafka import LocalKafka
from phusong.rows import Verdict
from streams.notify import GROUP
from tests.kafka import wait_until
from tests.webhooks import HOME, SECRET, Notifiers, as_json, receiver, verdicts
from tests.workers import Stage
from tests.worlds import COMMUNES, MOBILE, POSTAL, stated

pytestmark = pytest.mark.kafka


@pytest.fixture
def notifiers(stage: Stage) -> Iterator[Notifiers]:
    """A receiver that says yes, a group that nobody has used, no notifier yet."""

    def group_is_gone() -> bool:
        if GROUP not in {group.group_id for group in stage.admin.list_consumer_groups().result(10).valid}:
            return True
        try:
            stage.admin.delete_consumer_groups([GROUP])[GROUP].result(10)
        except KafkaException as error:
            # the members that a test killed stay until their session is over
            if error.args[0].code() != KafkaError.NON_EMPTY_GROUP:
                raise
        return False

    wait_until(group_is_gone, 40, "the notifiers of the test before are gone")
    with receiver() as one:
        found = Notifiers(stage, one)
        try:
            yield found
        finally:
            found.close()


UP_AND_DOWN = [Verdict.UNCERTAIN, Verdict.MISSED, Verdict.MET, Verdict.UNCERTAIN]


def test_after_an_outage_and_a_restart_each_change_is_taken_once_signed_and_in_order(notifiers: Notifiers) -> None:
    """Nothing is left out, nothing overtakes, every try carries the same id and a signature that holds."""
    notifiers.receiver.answer = lambda _: 503
    notifier = notifiers.start_ready()
    postal, mobile = verdicts(POSTAL, UP_AND_DOWN), verdicts(MOBILE, UP_AND_DOWN[:2])
    written = [postal[0], mobile[0], *postal[1:3], mobile[1], postal[3]]
    before = time.time()
    notifiers.write(*written)
    wait_until(lambda: len(notifiers.receiver.posts) >= 2, 40, "it was tried again")
    assert {post.id for post in notifiers.receiver.posts} == {postal[0].id}
    assert notifier.metric("phusong_webhook_attempts_total", outcome="refused") >= 2
    assert before - 5 < notifier.metric("phusong_webhook_undelivered_timestamp_seconds") < time.time()
    assert notifiers.committed() == 0
    assert notifier.end() == 0
    assert notifiers.committed() == 0

    notifier = notifiers.start_ready()
    notifiers.receiver.answer = lambda _: 200
    taken = notifiers.receiver.wait_for(len(written))
    assert [post.id for post in taken] == [event.id for event in written]
    for post, event in zip(taken, written, strict=True):
        assert post.event.items() >= as_json(event).items()
        assert post.headers["content-type"].startswith("application/cloudevents+json")
    for post in notifiers.receiver.posts:
        assert post.event["id"] == post.id
    wait_until(lambda: notifiers.committed() == len(written), 20, "what was taken is committed")
    assert len(notifiers.receiver.taken) == len(written)
    assert notifier.metric("phusong_webhook_deliveries_total", outcome="delivered") == len(written)
    assert not [name for name, *_ in notifier.samples() if name == "phusong_webhook_undelivered_timestamp_seconds"]
    for one in notifiers.started:
        assert "only-for-the-receiver" not in one.log
        assert SECRET[8:] not in one.log
    assert notifier.end() == 0


def test_a_receiver_gets_the_names_beside_the_codes(notifiers: Notifiers) -> None:
    """A person who reads the message need not know the codes."""
    notifiers.start_ready()
    (change,) = verdicts(POSTAL, [Verdict.MISSED])
    notifiers.write(change)
    (post,) = notifiers.receiver.wait_for(1)
    rules = notifiers.stage.rules
    assert post.event["subject"] == change.data.key
    assert post.event["provincename"] == rules.register.provinces[HOME].name_vi
    assert post.event["indicatorname"] == rules.catalogue.indicators[POSTAL].name_vi
    assert post.event["indicatornameen"] == rules.catalogue.indicators[POSTAL].name_en


def test_killed_after_delivery_and_before_the_commit_it_sends_again_under_the_same_id(notifiers: Notifiers) -> None:
    """At least once, and the receiver can tell."""
    first = notifiers.start_ready()
    chain = verdicts(POSTAL, UP_AND_DOWN)

    def kill_at_the_second(number: int) -> int:
        if number == 1:
            first.process.send_signal(signal.SIGKILL)
        return 200

    notifiers.receiver.answer = kill_at_the_second
    notifiers.write(*chain)
    first.wait()
    notifiers.start()
    wait_until(lambda: notifiers.receiver.posts[-1].id == chain[-1].id, 60, "the last one has come")
    ids = [post.id for post in notifiers.receiver.posts]
    assert ids.count(chain[1].id) >= 2
    assert list(dict.fromkeys(ids)) == [event.id for event in chain]


def test_only_what_changes_from_the_first_start_on_is_sent_even_when_that_start_was_cut_short(notifiers: Notifiers) -> None:
    """Years of history do not fall on a new receiver; what comes while the new notifier is down does."""
    chain = verdicts(POSTAL, UP_AND_DOWN)
    notifiers.write(*chain[:2])
    first = notifiers.start_ready()
    first.kill()
    notifiers.write(*chain[2:])
    second = notifiers.start()
    taken = notifiers.receiver.wait_for(2, 60)
    assert [post.id for post in taken] == [event.id for event in chain[2:]]
    assert "what changed before is not" in first.log
    assert "what changed before is not" not in second.log


def test_a_receiver_that_is_gone_ends_it_with_1_and_loses_nothing(notifiers: Notifiers) -> None:
    """410: nobody is bothered any more, and the operator is told what to do."""
    notifiers.receiver.answer = lambda _: 410
    notifier = notifiers.start_ready()
    (change,) = verdicts(POSTAL, [Verdict.MISSED])
    notifiers.write(change)
    assert notifier.wait() == 1
    assert len(notifiers.receiver.posts) == 1
    assert "410 Gone" in notifier.log
    assert "PHUSONG_WEBHOOK_URL" in notifier.log

    notifiers.receiver.answer = lambda _: 204
    notifiers.start()
    (post,) = notifiers.receiver.wait_for(1, 60)
    assert post.id == change.id


def test_a_second_notifier_takes_over_its_part_and_the_order_holds(notifiers: Notifiers) -> None:
    """A rebalance during an outage: what was under way is left for whoever owns it next, and nothing is left out."""
    notifiers.receiver.answer = lambda _: 503
    first = notifiers.start_ready()
    provinces = ["08", "02", "10", "22"]
    chains = {province: verdicts(POSTAL, UP_AND_DOWN, province) for province in provinces}
    notifiers.write(*(chains[province][number] for number in range(4) for province in provinces))
    wait_until(lambda: notifiers.receiver.posts, 40, "the first is at work")
    second = notifiers.start_ready()
    notifiers.receiver.answer = lambda _: 200
    every = {event.id for chain in chains.values() for event in chain}
    wait_until(lambda: {post.id for post in notifiers.receiver.taken} == every, 60, "every change was taken")
    for province, chain in chains.items():
        ids = [post.id for post in notifiers.receiver.taken if f"/{province}/" in post.event["subject"]]
        assert list(dict.fromkeys(ids)) == [event.id for event in chain]
    assert {one.end() for one in (first, second)} == {0}


def test_a_record_that_is_no_verdict_is_told_and_holds_up_nothing(notifiers: Notifiers) -> None:
    """Somebody else wrote into the topic."""
    notifier = notifiers.start_ready()
    for value in (b"{", b"[]", None):
        notifiers.write_raw(value, b"anything")
    (change,) = verdicts(POSTAL, [Verdict.MISSED])
    notifiers.write(change)
    (post,) = notifiers.receiver.wait_for(1)
    assert post.id == change.id
    assert notifier.metric("phusong_webhook_deliveries_total", outcome="unreadable") == 3
    assert notifier.log.count("is no verdict and is left out") == 3
    wait_until(lambda: notifiers.committed() == 4, 20, "all of it is committed")


def test_a_simulated_fact_is_told_as_simulated(notifiers: Notifiers, stage: Stage) -> None:
    """From the event that was sent to the message that arrives: an exercise is never taken for the real thing."""
    notifiers.start_ready()
    stage.start_ready()
    stage.send([stated(commune, POSTAL, 0, 1, source="post-office", origin="simulated") for commune in COMMUNES[HOME]])
    simulated = wait_until(
        lambda: [post.event for post in notifiers.receiver.taken if post.event["data"].get("origin") == "simulated"],
        40, "a change that rests on simulated facts has come",
    )  # fmt: skip
    assert {event["data"]["indicator"] for event in simulated} == {POSTAL}


def test_a_broker_that_restarts_is_found_again(own_kafka: LocalKafka, tmp_path: Path) -> None:
    """What changes after it is sent as what changed before."""
    stage = Stage(own_kafka.bootstrap_servers, tmp_path)
    chain = verdicts(POSTAL, UP_AND_DOWN)
    with receiver() as one:
        notifiers = Notifiers(stage, one)
        try:
            notifiers.start_ready()
            notifiers.write(*chain[:2])
            one.wait_for(2)
            own_kafka.kill()
            own_kafka.start()
            notifiers.write(*chain[2:])
            wait_until(lambda: one.posts[-1].id == chain[-1].id, 60, "the last one has come")
            assert list(dict.fromkeys(post.id for post in one.taken)) == [event.id for event in chain]
        finally:
            notifiers.close()
            stage.close()
