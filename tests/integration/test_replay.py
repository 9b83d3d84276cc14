"""`phusong replay` on a real Kafka: what was known then, and what is now known to have been then, are two questions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from phusong.rows import ProvinceRow
from phusong.topics import POSTAL, PROVINCES
from tests import worlds
from tests.asking import ask
from tests.kafka import wait_until
from tests.workers import Stage, by_version
from tests.worlds import COMMUNES, stated

pytestmark = pytest.mark.kafka

_WALL: dict[str, object] = {"clock_start": None, "clock_rate": None, "clock_anchor": None}
"""No scenario clock: what came when is told by Kafka's own timestamps."""


def _replayed(stage: Stage, as_of: datetime, **settings: object) -> Any:
    answer = ask(stage, "replay", "--as-of", as_of.isoformat(), "--json", **settings)
    assert answer.code == 0, answer.errors
    return answer.plain


def _row(known: Any, indicator: str = worlds.POSTAL) -> Any:
    return next(row for row in known["provinces"] if row["province"] == "08" and row["indicator"] == indicator)


def _moment_after_the_last_record(stage: Stage) -> datetime:
    """A moment that lies after every record so far and before every later one."""
    last_ms = max(record.timestamp_ms for record in stage.topics.read(POSTAL.name))
    wait_until(lambda: datetime.now(UTC).timestamp() * 1000 > last_ms + 5, 5, "the clock goes on")
    moment = datetime.now(UTC)
    wait_until(lambda: datetime.now(UTC) > moment + timedelta(milliseconds=5), 5, "the clock goes on")
    return moment


def test_a_late_correction_changes_what_is_now_known_and_not_what_was_known_then(stage: Stage) -> None:
    yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    said = (datetime.now(UTC) - timedelta(hours=20)).isoformat()
    corrected = (datetime.now(UTC) - timedelta(hours=10)).isoformat()
    stage.send([stated(code, observed_at=yesterday, time=said, event_id=code) for code in COMMUNES["08"]])
    then = _moment_after_the_last_record(stage)
    stage.send([stated("02275", covered=0, observed_at=yesterday, time=corrected, event_id="correction")])
    later = _moment_after_the_last_record(stage)
    stage.send(
        [stated("02284", covered=0, observed_at=datetime.now(UTC).isoformat(), time=datetime.now(UTC).isoformat(), event_id="since")]
    )

    found = _replayed(stage, then, **_WALL)
    assert found["as_known_then"]["events"] == 3
    assert found["as_known_now"]["events"] == 4, "not what was observed since"
    assert (_row(found["as_known_then"])["covered"], _row(found["as_known_now"])["covered"]) == (3, 2)
    assert [one["now"]["commune"] for one in found["changed"]] == ["02275"]

    found = _replayed(stage, later, **_WALL)
    assert _row(found["as_known_then"]) == _row(found["as_known_now"])
    assert found["changed"] == []

    text = ask(stage, "replay", "--as-of", then.isoformat(), **_WALL).text
    assert "(1) Lúc" in text
    assert "(2) Nay ta biết lúc" in text
    assert "100,0 %" in text
    assert "66,7 %" in text
    assert "Xã 02275 (02275): 1 / 1 → 0 / 1" in text
    english = ask(stage, "replay", "--as-of", then.isoformat(), "--lang", "en", **_WALL).text
    assert "What was known at" in english
    assert "66.7 %" in english


def test_as_known_now_at_the_present_is_what_workers_publish(stage: Stage) -> None:
    stage.send([stated(code, event_id=code) for code in COMMUNES["08"][1:]])
    stage.start_ready()
    stage.wait_for_rows()
    published = {key: record.row for key, record in by_version(stage.topics.read(PROVINCES.name)).items()}
    as_of = datetime.fromisoformat(str(stage.settings["clock_start"]))
    found = _replayed(stage, as_of)
    for known in (found["as_known_then"], found["as_known_now"]):
        assert known["events"] == 2
        for row in known["provinces"]:
            shown = published[f"{row['vintage']}/{row['province']}/{row['indicator']}"]
            assert isinstance(shown, ProvinceRow)
            assert (row["ratio"], row["low"], row["high"], row["verdict"]) == (shown.ratio, shown.low, shown.high, shown.verdict)


def test_before_anything_came_it_says_so(stage: Stage) -> None:
    stage.send([stated("02275")])
    answer = ask(stage, "replay", "--as-of", "2023-07-01", **_WALL)
    assert answer.code == 0
    assert "chưa có bản tin nào" in answer.text
    found = _replayed(stage, datetime(2023, 7, 1, tzinfo=UTC), **_WALL)
    assert (found["as_known_then"]["events"], found["as_known_now"]["events"]) == (0, 1)


def test_a_moment_before_the_first_list_or_no_moment_at_all_is_wrong_use(stage: Stage) -> None:
    assert ask(stage, "replay", "--as-of", "2019-12-31").code == 2
    assert ask(stage, "replay", "--as-of", "soon").code == 2
    assert ask(stage, "replay").code == 2
