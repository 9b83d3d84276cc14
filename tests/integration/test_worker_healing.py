"""What compaction kept is soon the truth again: rows are published anew, and keys that the rules no longer know are struck out."""

from __future__ import annotations

from collections import Counter

import pytest
from msgspec.structs import replace

from phusong import rows
from phusong.rows import VERSION_HEADER, CommuneRow
from phusong.topics import COMMUNES, PROVINCES
from tests import worlds
from tests.kafka import wait_until
from tests.workers import Record, Stage, by_version, by_write, many
from tests.worlds import seed_texts

pytestmark = pytest.mark.kafka


def test_every_row_is_published_again_at_its_interval_so_that_the_last_write_is_the_truth(stage: Stage) -> None:
    stage.send(many(100))
    stage.start_ready(heartbeat_seconds=60)
    stage.wait_for_rows()
    seen = Counter(r.name for r in stage.rows())
    # a zombie writes what was true before, after what is true now
    row, version = stage.rows()[0].row, stage.rows()[0].version
    assert isinstance(row, CommuneRow)
    zombie = rows.encode(replace(version, offsets=0))
    with stage.sending() as send:
        send(COMMUNES, rows.encode(replace(row, name="old")), row.key.encode(), [(VERSION_HEADER, zombie)], stage.rows()[0].partition)
    wait_until(lambda: all(n >= seen[key] + 2 for key, n in Counter(r.name for r in stage.rows()).items()), 15, "each row came twice more")
    records = stage.rows()
    assert by_write(records).keys() == by_version(records).keys()
    assert {key: r.value for key, r in by_write(records).items()} == {key: r.value for key, r in by_version(records).items()}
    assert {key: r.row for key, r in by_write(records).items()} == stage.log().rows(version.as_of)


def test_province_rows_alone_are_published_again_at_every_heartbeat(stage: Stage) -> None:
    stage.start_ready(heartbeat_seconds=0.3, republish_seconds=3600)
    stage.wait_for_rows()
    provinces = stage.topics.read(PROVINCES.name)
    communes = len(stage.topics.read(COMMUNES.name))
    seen = Counter(r.name for r in provinces)
    wait_until(
        lambda: all(n >= seen[key] + 3 for key, n in Counter(r.name for r in stage.topics.read(PROVINCES.name)).items()), 10, "heartbeats"
    )
    assert len(stage.topics.read(COMMUNES.name)) == communes


def test_keys_that_newer_rules_no_longer_know_get_a_tombstone_and_no_other_key_ever_does(stage: Stage) -> None:
    stage.send(many(100))
    first, second = stage.start(), stage.start()
    wait_until(
        lambda: first.metric("phusong_shares", state="ready") == second.metric("phusong_shares", state="ready") == 6, 40, "both own six"
    )
    stage.wait_for_rows()
    assert first.end() == 0
    second.wait_until_ready()
    stage.wait_for_rows()
    assert second.end() == 0
    before = set(by_version(stage.rows()))
    assert _tombstones(stage.rows()) == [], "a share that goes elsewhere is not struck out"

    fewer = {"08": ("02263", "02275"), "02": worlds.COMMUNES["02"], "04": worlds.COMMUNES["04"], "10": worlds.COMMUNES["10"]}
    indicators = tuple(one for one in worlds.INDICATORS if one["indicator"] != worlds.SPEAKER)
    stage.use(
        seed_texts(
            communes=fewer,
            indicators=indicators,
            obligations=(worlds.obligation("post-office", worlds.POSTAL),),
            targets=(worlds.target(worlds.POSTAL),),
            number=2,
        )
    )
    stage.start_ready()
    stage.wait_for_rows()
    gone = before - set(stage.log().rows(stage.rows()[-1].version.as_of))
    assert {r.name for r in _tombstones(stage.rows())} == gone
    assert {r.name for r in _tombstones(stage.rows()) if r.topic == PROVINCES.name} == {
        f"2020-01-01/{province}/{worlds.SPEAKER}" for province in worlds.COMMUNES
    }
    assert all(r.version.rules == 2 for r in _tombstones(stage.rows()))
    assert all(by_version(stage.rows())[key].value is None for key in gone)


def _tombstones(records: list[Record]) -> list[Record]:
    return [r for r in records if r.value is None]
