"""Silence makes no event: what time alone changes is published when it falls due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from phusong.rows import CommuneRow, State, Verdict
from phusong.topics import COMMUNES
from tests import worlds
from tests.kafka import wait_until
from tests.workers import Stage, by_version, chain_problems
from tests.worlds import instant, stated

pytestmark = pytest.mark.kafka

KEY = f"2020-01-01/08/{worlds.POSTAL}"


def test_a_province_goes_stale_without_any_event_and_its_verdict_with_it(stage: Stage) -> None:
    # what was observed in June is fresh until 21 August, 15 days and 5 of grace after July; a day passes in a second
    stage.send(stated(commune) for commune in worlds.COMMUNES["08"])
    anchor = datetime.now(UTC) + timedelta(seconds=9)
    stage.start_ready(clock_start=instant("2023-08-19").isoformat(), clock_anchor=anchor.isoformat(), clock_rate=24 * 3600)

    def told() -> list[Verdict]:
        return [r.verdict.data.to for r in stage.verdicts() if r.name == KEY]

    wait_until(lambda: told() == [Verdict.MET], 20, "the province meets its target")
    wait_until(lambda: told() == [Verdict.MET, Verdict.UNCERTAIN], 20, "what it stated has gone stale")
    wait_until(lambda: _states(stage) == {State.STALE}, 10, "each commune's row says so")
    turn = instant("2023-08-21")
    for record in stage.topics.read(COMMUNES.name):
        row = record.row
        assert isinstance(row, CommuneRow)
        if row.province == "08" and row.indicator == worlds.POSTAL:
            assert row.state is (State.FRESH if record.version.as_of < turn else State.STALE)
    assert stage.log().wrong(stage.rows()) == []
    assert chain_problems(stage.verdicts(), by_version(stage.rows())) == []


def _states(stage: Stage) -> set[State]:
    shown = [r.row for r in by_version(stage.topics.read(COMMUNES.name)).values()]
    return {row.state for row in shown if isinstance(row, CommuneRow) and row.province == "08" and row.indicator == worlds.POSTAL}
