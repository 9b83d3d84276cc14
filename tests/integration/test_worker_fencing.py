"""A worker that stood still for longer than its session writes nothing until it is assigned again."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta

import pytest

from tests.kafka import wait_until
from tests.workers import AS_OF, SESSION_SECONDS, Stage, Worker, clock, many
from tests.worlds import stated

pytestmark = pytest.mark.kafka


def test_a_worker_stopped_for_longer_than_its_session_publishes_nothing_until_it_is_assigned_again(stage: Stage) -> None:
    stage.send(many(1000))
    # who wrote a row is told by the moment that its writer's clock shows
    later = AS_OF + timedelta(hours=1)
    stopped = stage.start_ready(heartbeat_seconds=0.2)
    stage.wait_for_rows()
    stopped.suspend()
    suspended_at = time.monotonic()
    other = stage.start(**clock(later))
    stage.send([stated("02275", covered=1, time="2023-07-08T09:00:00+07:00")])
    other.wait_until_ready()
    stage.wait_for_rows(later)
    wait_until(lambda: time.monotonic() - suspended_at > SESSION_SECONDS + 1, 20, "the session is over")
    silent_since = max(r.timestamp_ms for r in stage.rows() if r.version.as_of == AS_OF)
    assigned_before = len(_assignments(stopped))
    resumed_ms = time.time() * 1000
    stopped.resume()
    wait_until(lambda: len(_assignments(stopped)) > assigned_before, 30, "the stopped worker is assigned again")
    assigned_ms = _assignments(stopped)[assigned_before]

    def rows_of_stopped() -> list[float]:
        return [r.timestamp_ms for r in stage.rows() if r.version.as_of == AS_OF and r.timestamp_ms > silent_since]

    wait_until(rows_of_stopped, 30, "the stopped worker publishes again")
    assert resumed_ms < assigned_ms <= min(rows_of_stopped())
    assert stage.log().wrong(stage.rows()) == []


def _assignments(worker: Worker) -> list[float]:
    """When the worker was assigned, in milliseconds of the wall clock."""
    found = re.findall(r"^\[(\S+ \S+)\].*assigned shares", worker.log, re.MULTILINE)
    return [datetime.strptime(text, "%Y-%m-%d %H:%M:%S,%f").astimezone().timestamp() * 1000 for text in found]
