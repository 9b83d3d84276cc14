"""The mergers of 2024 and 2025 while two workers are at work: what is published is what docs/mergers.md says, whoever dies in between."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import chain

import pytest

from phusong import assessment, rows
from phusong.evidence import Cell, Slots
from phusong.rows import CauseKind, Row, Verdict
from phusong.settings import read_settings
from phusong.topics import share_of
from tests import mergers
from tests.faults.crew import Crew
from tests.kafka import wait_until
from tests.mergers import HOME, MIDDLE, NEW, OLD, POINT, told
from tests.workers import Record, Stage, Worker, by_version, chain_problems
from tests.worlds import instant

pytestmark = pytest.mark.kafka

RATE = 3 * 3600
"""Scenario seconds a second: what was fresh on the day of a merger stays so for three weeks, more than two minutes."""
READY_SECONDS = 20
"""The clock stands still for so long that two workers are there to see the day come."""


@pytest.mark.timeout(420)
def test_both_mergers_are_published_as_the_core_tells_them_whoever_dies_in_between(stage: Stage) -> None:
    stage.use(mergers.texts())
    # a row is published when it changes and by each new owner: every one of them is held against the core below
    stage.settings |= {"heartbeat_seconds": 60, "republish_seconds": 3600}
    crew, now = _two_at_work(stage, "2024-08-31T12:00")
    _say(stage, "2024-08-31")
    assert now() < instant(MIDDLE), "this machine was too slow: the day came before the reports were published"
    _wait_for(stage, "2024-09-01")
    assert crew.replaced == 0
    assert all(worker.running for worker in crew.workers)

    owner = _owner(crew)
    crew.workers.remove(owner)
    owner.kill()
    crew.hire()
    _say(stage, "2024-09-03")
    _say(stage, "2024-09-05")
    crew.wait_until_ready()
    for worker in crew.workers:
        assert worker.end() == 0, worker.log[-3000:]

    # the exercise is taken up again on a later day
    crew, now = _two_at_work(stage, "2025-06-30T12:00")
    _say(stage, "2025-06-30")
    assert now() < instant(NEW), "this machine was too slow: the day came before the reports were published"
    _wait_for(stage, "2025-07-01")
    assert crew.replaced == 0
    assert all(worker.running for worker in crew.workers)
    _say(stage, "2025-07-03")
    _say(stage, "2025-07-05")

    published = stage.rows()
    assert [record.name for record in published if record.value is None] == []
    assert stage.log().wrong(_unlike_the_story(published)) == []
    assert chain_problems(stage.verdicts(), by_version(published)) == []
    missed, no_target, met = Verdict.MISSED, Verdict.NO_TARGET, Verdict.MET
    assert _by_succession(stage, OLD, "08") == [(missed, no_target)]
    assert _by_succession(stage, MIDDLE, "08") == [(None, met), (met, no_target)]
    assert _by_succession(stage, OLD, "02") == [(missed, no_target)]
    assert _by_succession(stage, MIDDLE, "02") == [(None, missed), (missed, no_target)]
    assert _by_succession(stage, NEW, "08") == [(None, missed)]


def _two_at_work(stage: Stage, start: str) -> tuple[Crew, Callable[[], datetime]]:
    """Two ready workers whose clock stands at `start` for READY_SECONDS, and what it shows."""
    anchor = datetime.now(UTC) + timedelta(seconds=READY_SECONDS)
    stage.settings |= {"clock_start": instant(start).isoformat(), "clock_anchor": anchor.isoformat(), "clock_rate": RATE}
    settings = read_settings(clock_start=instant(start), clock_anchor=anchor, clock_rate=RATE)
    crew = Crew(stage)
    crew.hire()
    crew.hire()
    crew.wait_until_ready()
    return crew, lambda: settings.as_of(datetime.now(UTC))


def _say(stage: Stage, name: str) -> None:
    """Send what is said before a step of the story, and wait until every row is what the core tells then."""
    (step,) = (step for step in mergers.steps() if step.name == name)
    assert stage.send(step.events) == len(step.events) > 0
    _wait_for(stage, name)


def _wait_for(stage: Stage, name: str) -> None:
    expected = {key: rows.encode(row) for key, row in told().rows[name].items()}

    def wrong() -> list[str]:
        shown = {key: record.value for key, record in by_version(stage.current_rows()).items()}
        return [key for key in expected.keys() | shown.keys() if shown.get(key) != expected.get(key)]

    wait_until(lambda: not wrong(), 60, f"every row is the core's of {name}")


def _owner(crew: Crew) -> Worker:
    """The worker that owns the share of the home province."""

    def shares(worker: Worker) -> set[str]:
        return set(re.findall(r"assigned shares \[(.*)\]", worker.log)[-1].split(", "))

    (owner,) = (worker for worker in crew.workers if str(share_of(HOME.encode())) in shares(worker))
    return owner


def _unlike_the_story(published: list[Record]) -> list[Record]:
    """The records that are none of the core's answers on their day: those published while a round of reports was being read."""
    silence = (_rows({}, "2024-08-31"), _rows(mergers.cells_until(mergers.steps()[3]), "2025-06-30"))
    answers = {
        OLD: (silence[0], told().rows["2024-08-31"]),
        MIDDLE: tuple(told().rows[name] for name in ("2024-09-01", "2024-09-03", "2024-09-05")),
        "2025-06-30": (silence[1], told().rows["2025-06-30"]),
        NEW: tuple(told().rows[name] for name in ("2025-07-01", "2025-07-03", "2025-07-05")),
    }
    starts = [instant(day) for day in answers]
    known: list[dict[str, set[bytes]]] = [{} for _ in answers]
    for held, found in zip(known, answers.values(), strict=True):
        for key, row in chain.from_iterable(one.items() for one in found):
            held.setdefault(key, set()).add(rows.encode(row))
    return [
        record for record in published if record.value not in known[bisect_right(starts, record.version.as_of) - 1].get(record.name, ())
    ]


def _rows(cells: dict[Cell, Slots], day: str) -> dict[str, Row]:
    communes, provinces = assessment.assess(mergers.rules(), HOME, cells, instant(day))
    return {**communes, **provinces}


def _by_succession(stage: Stage, vintage: str, province: str) -> list[tuple[Verdict | None, Verdict]]:
    """The changes of verdict that a merger brought, in the order of the history."""
    changes = [record.verdict.data for record in stage.verdicts() if record.name == f"{vintage}/{province}/{POINT}"]
    return [(one.from_, one.to) for one in changes if one.cause.kind is CauseKind.SUCCESSION]
