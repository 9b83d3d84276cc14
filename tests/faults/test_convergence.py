"""While events pour in workers are killed, stopped, replaced, and the broker is restarted: what is published converges, and never errs."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from ops.local_kafka import LocalKafka
from phusong import rows
from phusong.events import encode
from phusong.evidence import Outcome
from phusong.rows import CommuneRow
from phusong.topics import PARTITIONS, PROVINCES, SOURCES
from tests.faults.crew import Crew
from tests.faults.history import History, back_to_unknown
from tests.faults.traffic import COMMUNES, TEXTS, WITHDRAWING, Traffic
from tests.kafka import wait_until
from tests.workers import AS_OF, SESSION_SECONDS, Record, Stage, Worker, by_version, by_write, chain_problems, clock
from tests.worlds import POSTAL, stated

pytestmark = pytest.mark.kafka

BACKLOG = 30_000
PACE = 1_500
EVENTS_MIN = 100_000


@pytest.mark.timeout(420)
def test_whatever_befalls_workers_and_broker_every_row_is_the_cores_answer_and_verdicts_form_chains(
    own_kafka: LocalKafka, tmp_path: Path
) -> None:
    stage = Stage(own_kafka.bootstrap_servers, tmp_path, TEXTS, republish_seconds=3, **clock(AS_OF, rate=1))
    traffic = Traffic(stage.servers, stage.rules, pace=PACE, backlog=BACKLOG)
    crew = Crew(stage)
    said = _Diary()
    try:
        first, second = crew.hire(), crew.hire()
        crew.wait_until_ready()
        traffic.start()
        said("two workers are ready")
        crew.hire()
        crew.wait_until_ready()
        said("a third has joined")
        crew.workers.remove(second)
        second.kill()
        crew.hire()
        crew.wait_until_ready()
        said("one was killed and replaced")
        _stand_still(crew, first)
        said("one was stopped for longer than its session and continued")
        own_kafka.kill()
        own_kafka.start()
        _wait_until_caught_up(crew, traffic)
        said(f"the broker was killed and started again, {crew.replaced} workers replaced")
        if traffic.sent < EVENTS_MIN:
            wait_until(lambda: traffic.sent >= EVENTS_MIN, 120, "enough events are sent")
        for worker in list(crew.workers):
            crew.workers.remove(worker)
            assert worker.end(10) == 0, worker.log[-3000:]
            crew.hire()
        _wait_until_caught_up(crew, traffic)
        said("all were restarted")
        traffic.stop()
        said(f"{traffic.sent} events are sent")
        control_records = _send_in_a_transaction(stage)
        stage.wait_for_rows(timeout_seconds=60)
        stage.wait_for_progress(timeout_seconds=60)
        said("the last rows are right")
        _wait_for_a_whole_round(stage)
        said("every row was published again")
        _check(stage, traffic, len(COMMUNES["08"]), control_records)
        said("checked")
        _check_fresh_event(stage)
    finally:
        stage.close()


class _Diary:
    """What happened when, for whoever reads a failure."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def __call__(self, what: str) -> None:
        print(f"{time.monotonic() - self._started:6.1f} s  {what}")  # noqa: T201 - pytest shows it with a failure


def _stand_still(crew: Crew, worker: Worker) -> None:
    others = [one for one in crew.workers if one is not worker]
    worker.suspend()
    stopped = time.monotonic()
    try:
        # its shares go to the others once its session is over
        wait_until(
            lambda: sum(one.metric("phusong_shares", state="ready") for one in others) == PARTITIONS, 60, "the others own every share"
        )
        wait_until(lambda: time.monotonic() > stopped + SESSION_SECONDS + 1, 30, "its session is over")
    finally:
        worker.resume()
    worker.wait_for_log("the fence is closed")
    crew.wait_until_ready()


def _wait_until_caught_up(crew: Crew, traffic: Traffic) -> None:
    def caught_up() -> bool:
        crew.tend()
        lag = sum(worker.metric("phusong_lag_events") for worker in crew.workers)
        return max(lag, traffic.sent - len(traffic.acknowledged)) < PACE

    crew.wait_until_ready()
    wait_until(caught_up, 60, "workers and producer have caught up")


def _send_in_a_transaction(stage: Stage) -> int:
    """Some events in a transaction; how many control records it leaves."""
    with stage.transaction() as producer:
        for number, commune in enumerate(COMMUNES["08"]):
            event = stated(commune, POSTAL, 4, 4, time=f"2023-07-10T09:00:{number:02}+07:00", event_id=f"t{number}")
            producer.produce(SOURCES["postal"].name, encode(event), b"08")
    return 1


def _wait_for_a_whole_round(stage: Stage) -> None:
    """Until every row was published after this moment."""
    before = stage.rows()
    keys, known = {record.name for record in before}, {(record.topic, record.partition, record.offset) for record in before}

    def again() -> bool:
        return keys == {record.name for record in stage.rows() if (record.topic, record.partition, record.offset) not in known}

    wait_until(again, 30, "every row is published again")


def _check(stage: Stage, traffic: Traffic, in_transactions: int, control_records: int) -> None:
    log, published = stage.log(), stage.rows()

    # the log is what the broker acknowledged
    held = {(r.topic, r.partition, r.offset): r for r in log.records}
    assert traffic.sent >= EVENTS_MIN
    assert len(held) == traffic.sent + in_transactions
    assert all(held[where].value == sent.value for where, sent in traffic.acknowledged.items())
    counts: Counter[str] = Counter()
    for outcomes in log.outcomes.values():
        counts.update({outcome.name: count for outcome, count in outcomes.items()})
    assert all(counts[outcome.name] for outcome in Outcome), counts
    offsets = sum(log.ends[tp] - log.starts[tp] for tp in log.ends)
    assert offsets == counts.total() + len(log.rejects) + control_records

    # the last rows: by version, and after a round of publishing again by last write
    answer = {key: rows.encode(row) for key, row in log.rows(AS_OF).items()}
    assert {key: record.value for key, record in by_version(published).items()} == answer
    assert {key: record.value for key, record in by_write(published).items()} == answer

    # every row there ever was
    history = History(log, AS_OF)
    assert (problems := history.problems(published)) == [], (len(problems), len(published))
    assert back_to_unknown(published, except_in=WITHDRAWING) == []

    verdicts = stage.verdicts()
    assert len(verdicts) > 10 * len({record.name for record in verdicts}), "hardly any verdict changed: nothing was tried"
    assert chain_problems(verdicts, by_version(published)) == []

    # the bad ones, and nothing else, are in the dead letters
    meant = {where: sent.reason for where, sent in traffic.acknowledged.items() if sent.reason is not None}
    assert log.rejects == meant
    letters: dict[tuple[str, int, int], Record] = {}
    for record in stage.dead_letters():
        where = (record.header("phusong-topic"), int(record.header("phusong-partition")), int(record.header("phusong-offset")))
        assert letters.setdefault(where, record).value == record.value
    assert {where: record.header("phusong-reason") for where, record in letters.items()} == meant
    assert all(record.value == held[where].value and record.key == held[where].key for where, record in letters.items())
    print(f"{len(published)} rows, {len(verdicts)} verdicts, {len(letters)} dead letters, {dict(counts)}")  # noqa: T201


def _check_fresh_event(stage: Stage) -> None:
    before = len(stage.topics.read(PROVINCES.name))
    key = f"2020-01-01/{COMMUNES['22'][0]}/{POSTAL}"
    event = stated(COMMUNES["22"][0], POSTAL, 7, 9, time="2023-07-15T09:00:00+07:00", event_id="fresh")
    stage.send([event])

    def shown() -> bool:
        row = by_version(record for record in stage.rows() if record.name == key)[key].row
        return isinstance(row, CommuneRow) and row.statements == ("post-office fresh",)

    wait_until(shown, 5, "a fresh event is published")
    wait_until(lambda: len(stage.topics.read(PROVINCES.name)) > before, 5, "its province is published")
    stage.wait_for_rows(timeout_seconds=10)
