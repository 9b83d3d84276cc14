"""The history of verdicts: complete before a row shows it, a chain, and nothing in it twice."""

from __future__ import annotations

from itertools import groupby

import pytest

from phusong import rows
from phusong.rows import CauseKind, ProvinceRow, Verdict
from phusong.topics import PROVINCES, VERDICTS
from tests import worlds
from tests.kafka import wait_until
from tests.workers import AS_OF, Stage, by_version, chain_problems
from tests.worlds import COMMUNES, stated

pytestmark = pytest.mark.kafka

KEY = f"2020-01-01/08/{worlds.POSTAL}"


def _told(stage: Stage, key: str = KEY) -> list[Verdict]:
    return [r.verdict.data.to for r in stage.verdicts() if r.name == key]


def test_a_change_adds_one_entry_to_the_chain_and_a_restart_adds_none(stage: Stage) -> None:
    worker = stage.start_ready()
    stage.wait_for_rows()
    every = {r.name for r in stage.topics.read(PROVINCES.name)}
    assert sorted(r.name for r in stage.verdicts()) == sorted(every), "each province row has its first entry"
    assert _told(stage) == [Verdict.UNCERTAIN]

    stage.send([stated(commune, event_id="1") for commune in COMMUNES["08"]])
    wait_until(lambda: len(_told(stage)) == 2, 20, "the province meets its target")
    stage.wait_for_rows()
    assert worker.end() == 0
    worker = stage.start_ready()
    stage.wait_for_rows()
    stage.send([stated("02275", covered=0, event_id="2", time="2023-07-06T09:00:00+07:00")])
    wait_until(lambda: len(_told(stage)) == 3, 20, "the province misses its target")
    stage.wait_for_rows()
    assert worker.end() == 0
    stage.start_ready()
    stage.wait_for_rows()

    assert _told(stage) == [Verdict.UNCERTAIN, Verdict.MET, Verdict.MISSED]
    assert len(stage.verdicts()) == len(every) + 2, "no other province's verdict changed"
    assert chain_problems(stage.verdicts(), by_version(stage.rows())) == []
    _assert_ids_follow_from_the_chain(stage)
    causes = [r.verdict.data.cause for r in stage.verdicts() if r.name == KEY]
    assert [cause.kind for cause in causes] == [CauseKind.REBUILD, CauseKind.STATEMENT, CauseKind.STATEMENT]
    assert [cause.events for cause in causes] == [(), ("post-office 1",), ("post-office 2",)]


def test_no_row_shows_a_verdict_that_could_not_be_appended_to_the_history(stage: Stage) -> None:
    worker = stage.start_ready()
    stage.wait_for_rows()
    stage.alter(VERDICTS, "max.message.bytes", "100")
    stage.send([stated(commune) for commune in COMMUNES["08"]])
    assert worker.wait() == 3, "a verdict that the broker refuses is a failed delivery"
    assert "verdicts could not be written" in worker.log
    assert _told(stage) == _shown(stage) == [Verdict.UNCERTAIN]
    stage.alter(VERDICTS, "max.message.bytes", "1048588")
    stage.start_ready()
    stage.wait_for_rows()
    assert _told(stage) == _shown(stage) == [Verdict.UNCERTAIN, Verdict.MET]
    assert chain_problems(stage.verdicts(), by_version(stage.rows())) == []


def _shown(stage: Stage) -> list[Verdict]:
    """The verdicts that the rows have shown, one after the other."""
    shown = [r.row.verdict for r in stage.rows() if isinstance(r.row, ProvinceRow) and r.name == KEY]
    return [verdict for verdict, _ in groupby(shown)]


def _assert_ids_follow_from_the_chain(stage: Stage) -> None:
    """A repeat after a crash must have the same id: it is a function of key, previous id and verdict."""
    previous = None
    row = next(r.row for r in stage.rows() if r.name == KEY)
    assert isinstance(row, ProvinceRow)
    for record in (r for r in stage.verdicts() if r.name == KEY):
        like = next(
            r.row for r in stage.rows() if isinstance(r.row, ProvinceRow) and r.name == KEY and r.row.verdict is record.verdict.data.to
        )
        assert isinstance(like, ProvinceRow)
        assert record.verdict == rows.verdict_event(like, previous, record.verdict.data.cause, stage.rules.number, AS_OF)
        previous = record.verdict
