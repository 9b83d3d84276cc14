"""Every row says which rules, which log, how much of it and which moment it is of; a worker that meets newer rules ends."""

from __future__ import annotations

import pytest

from phusong import rows
from phusong.rows import VERSION_HEADER, Version
from phusong.topics import POSTAL, PROVINCES, share_of
from tests.workers import AS_OF, Stage, many
from tests.worlds import seed_texts

pytestmark = pytest.mark.kafka

SHARE = share_of(b"08")


def test_a_row_carries_rules_log_id_sum_of_offsets_and_as_of(stage: Stage) -> None:
    stage.send(many(100))
    stage.start_ready()
    stage.wait_for_rows()
    log, log_id = stage.log(), stage.log_id()
    versions = {r.partition: r.version for r in stage.rows()}
    assert versions == {n: Version(rules=1, log=log_id, offsets=log.offsets[n], as_of=AS_OF) for n in versions}
    assert len(versions) == 4


def test_a_worker_that_finds_rows_of_newer_rules_exits_3_and_writes_nothing(stage: Stage) -> None:
    newer = Version(rules=2, log=stage.log_id(), offsets=0, as_of=AS_OF)
    with stage.sending() as send:
        # a tombstone carries rules as well
        send(PROVINCES, None, b"2020-01-01/08/gone", [(VERSION_HEADER, rows.encode(newer))], SHARE)
    worker = stage.start()
    assert worker.wait(30) == 3
    assert "rows of rules 2 are published, these are rules 1: upgrade" in worker.log
    assert len([r for r in stage.rows() if r.version.rules < 2 and r.partition == SHARE]) == 0


def test_a_worker_that_finds_progress_of_newer_rules_exits_3(stage: Stage) -> None:
    stage.commit({(POSTAL.name, SHARE): 0}, "rules=2")
    worker = stage.start()
    assert worker.wait(30) == 3
    assert "a worker with rules 2 has been here, these are 1: upgrade" in worker.log
    assert stage.rows() == []


def test_a_worker_beside_one_with_newer_rules_exits_3_within_a_heartbeat_though_no_event_was_ever_sent(stage: Stage) -> None:
    older = stage.start_ready()
    newer = stage.start(seeds=stage.write_seeds(seed_texts(number=2)))
    assert older.wait(30) == 3
    newer.wait_until_ready()
    stage.use(seed_texts(number=2))
    stage.wait_for_rows()
    assert newer.end() == 0
