"""A client that knows nothing of us: what Debian's kcat puts straight into Kafka counts, and what it sends wrongly says how to mend it."""

from __future__ import annotations

import json
import shutil
import subprocess
import zlib
from collections.abc import Sequence

import pytest

from phusong.events import Reason, Withdrawal, Withdrawn, encode
from phusong.topics import PARTITIONS, POSTAL, Topic, share_of
from tests.workers import Stage
from tests.worlds import POSTAL as POSTAL_INDICATOR
from tests.worlds import instant, stated

pytestmark = [
    # in CI what is marked so is never skipped
    pytest.mark.kafka,
    pytest.mark.skipif(shutil.which("kcat") is None, reason="needs the Debian package kcat"),
]

WRONG_PARTITION = (
    f"partition {zlib.crc32(b'08') % PARTITIONS}, but key '08' belongs in {share_of(b'08')}; use the murmur2 partitioner "
    "(librdkafka: partitioner=murmur2_random; Java: the default)"
)
JAVAS_PARTITIONER = ("-X", "partitioner=murmur2_random")
STRUCTURED = ("-H", "content-type=application/cloudevents+json")


def test_a_structured_and_a_binary_event_from_kcat_count(stage: Stage) -> None:
    worker = stage.start_ready()
    binary = json.loads(encode(stated("02284", event_id="kcat/2", covered=0)))
    attributes = [f"ce_{name}={binary[name]}" for name in ("specversion", "id", "source", "type", "time")]
    headers = [word for header in (*attributes, "content-type=application/json") for word in ("-H", header)]

    _kcat(stage, POSTAL, encode(stated("02275", event_id="kcat/1")), "-k", "08", *JAVAS_PARTITIONER, *STRUCTURED)
    _kcat(stage, POSTAL, json.dumps(binary["data"]).encode(), "-k", "08", *JAVAS_PARTITIONER, *headers)
    stage.wait_for_rows()

    shown = {r.name: r.row for r in stage.rows() if r.row is not None}
    assert shown[f"2020-01-01/02275/{POSTAL_INDICATOR}"].ratio == 1
    assert shown[f"2020-01-01/02284/{POSTAL_INDICATOR}"].ratio == 0
    assert worker.metric("phusong_events_total", domain="postal", outcome="admitted") == 2
    assert stage.dead_letters() == []


def test_a_withdrawal_from_kcat_counts(stage: Stage) -> None:
    stage.start_ready()
    envelope = {"specversion": "1.0", "id": "kcat/4", "source": "post-office", "time": instant("2023-07-06T09:00:00")}
    data = Withdrawal(commune="02275", indicator=POSTAL_INDICATOR, observed_at=instant("2023-06-30"))
    for event in (stated("02275", event_id="kcat/3"), Withdrawn(**envelope, data=data)):
        _kcat(stage, POSTAL, encode(event), "-k", "08", *JAVAS_PARTITIONER, *STRUCTURED)
    stage.wait_for_rows()
    row = next(r.row for r in reversed(stage.rows()) if r.name == f"2020-01-01/02275/{POSTAL_INDICATOR}" and r.row is not None)
    assert row.state == "unknown"
    assert stage.dead_letters() == []


def test_another_key_or_partitioner_is_a_dead_letter_that_names_the_remedy(stage: Stage) -> None:
    # else kcat's own partitioner would be right by chance
    assert zlib.crc32(b"08") % PARTITIONS != share_of(b"08")
    stage.start_ready()
    wrong: dict[str, Sequence[str]] = {
        "no key": (*JAVAS_PARTITIONER, *STRUCTURED),
        "the commune as key": ("-k", "02275", *JAVAS_PARTITIONER, *STRUCTURED),
        "kcat's own partitioner": ("-k", "08", *STRUCTURED),
    }
    for name, options in wrong.items():
        _kcat(stage, POSTAL, encode(stated("02275", event_id=name)), *options)
    stage.wait_for_rows()
    stage.wait_for_progress()

    told = {
        json.loads(letter.value or b"")["id"]: (letter.header("phusong-reason"), letter.header("phusong-sentence"))
        for letter in stage.dead_letters()
    }
    assert told == {
        "no key": (Reason.KEY_MISMATCH, "the key is none; use the home province's code '08' as the record key"),
        "the commune as key": (Reason.KEY_MISMATCH, "the key is b'02275'; use the home province's code '08' as the record key"),
        "kcat's own partitioner": (
            Reason.WRONG_PARTITION,
            WRONG_PARTITION,
        ),
    }


def _kcat(stage: Stage, topic: Topic, value: bytes, *options: str) -> None:
    """Send one record; kcat ends when Kafka has it."""
    command = ["kcat", "-P", "-b", stage.servers, "-t", topic.name, *options]
    done = subprocess.run(command, input=value, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
