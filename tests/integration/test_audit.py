"""`phusong audit` on a real Kafka: clean on whatever workers do, and nothing that was tampered with gets past it."""

from __future__ import annotations

import signal
import socket
import subprocess
from contextlib import suppress

import msgspec
import pytest
from confluent_kafka import TopicPartition

from phusong import rows
from phusong.admission import Admission
from phusong.events import Reason, encode
from phusong.rows import CommuneRow, ProvinceRow, Verdict
from phusong.topics import COMMUNES, DEAD_LETTERS, POSTAL, PROVINCES, VERDICTS, share_of
from tests import worlds
from tests.asking import Answer, ask, command
from tests.kafka import wait_until
from tests.workers import Record, Stage, by_version, many
from tests.worlds import COMMUNES as LISTED
from tests.worlds import obligation, reporter, stated, withdrawn

pytestmark = pytest.mark.kafka

KEY = f"2020-01-01/02275/{worlds.POSTAL}"
PROVINCE = f"2020-01-01/08/{worlds.POSTAL}"


def _audit(stage: Stage, **settings: object) -> Answer:
    answer = ask(stage, "audit", "--json", **settings)
    assert answer.code in (0, 1), answer.errors
    return answer


def _differences(answer: Answer) -> set[tuple[str, str, str]]:
    return {(one["kind"], one["key"], one["field"]) for one in answer.plain["differences"]}


def _settled(stage: Stage) -> None:
    """One worker has published all of it, and is gone."""
    worker = stage.start_ready()
    stage.wait_for_rows()
    stage.wait_for_progress()
    assert worker.end() == 0


def _tamper(stage: Stage, record: Record, **changes: object) -> None:
    """A row like this one with other fields, or with another version."""
    row, version = record.row, record.version
    assert row is not None
    newer = {name: changes.pop(name) for name in ("offsets", "as_of", "rules") if name in changes}
    header = rows.encode(msgspec.structs.replace(version, **newer))
    topic = COMMUNES if isinstance(row, CommuneRow) else PROVINCES
    with stage.sending() as send:
        value = rows.encode(msgspec.structs.replace(row, **changes))
        send(topic, value, record.key, [(rows.VERSION_HEADER, header)], record.partition)


def _bad_record(stage: Stage) -> None:
    with stage.sending() as send:
        send(POSTAL, encode(stated("99999")), b"08")


def test_a_live_system_is_clean_also_while_events_pour_in_and_after_a_worker_is_killed(stage: Stage) -> None:
    first, second = stage.start(), stage.start()
    wait_until(lambda: first.metric("phusong_shares", state="ready") + second.metric("phusong_shares", state="ready") == 12, 60, "ready")
    stage.send(many(300, (worlds.POSTAL, worlds.MOBILE)))
    stage.send([stated("02275", event_id="w"), withdrawn("02275"), stated("02275", event_id="w")])
    _bad_record(stage)
    with stage.transaction(aborts=True) as producer:
        producer.produce(POSTAL.name, encode(stated("02284", event_id="aborted")), b"08")
    answer = _audit(stage)
    assert answer.code == 0, answer.text

    process, env = command(stage, "audit", "--json")
    with subprocess.Popen(process, env=env, stdout=subprocess.PIPE, text=True) as running, stage.sending() as send:
        number = 0
        for event in many(100_000):
            send(POSTAL, encode(event), Admission(stage.rules).route(event).key)
            number += 1
            with suppress(subprocess.TimeoutExpired):
                running.wait(0.005)
                break
        text = running.stdout.read() if running.stdout else ""
    assert running.returncode == 0, text
    assert number > 100, "events came while it ran"

    first.kill()
    stage.send(many(200))
    answer = _audit(stage)
    assert answer.code == 0, answer.text
    counts = answer.plain["records"][POSTAL.name]
    assert counts["rejected"] == 1
    assert counts["duplicate"] >= 1
    assert counts["control"] == 2, "an aborted record and its marker"
    for one in answer.plain["records"].values():
        assert one["offsets"] == sum(one[name] for name in ("admitted", "duplicate", "superseded", "rejected", "control"))


def test_a_false_row_is_found_whatever_version_it_claims(stage: Stage) -> None:
    stage.send([stated(code, event_id="1") for code in LISTED["08"]])
    _settled(stage)
    assert _audit(stage).code == 0
    shown = by_version(stage.rows())
    _tamper(stage, shown[KEY], covered=0, ratio=0.0, offsets=shown[KEY].version.offsets + 1_000_000)
    _tamper(stage, shown[PROVINCE], verdict=Verdict.MISSED)
    answer = _audit(stage)
    assert answer.code == 1
    assert _differences(answer) >= {
        ("row", KEY, "version.offsets"),
        ("row", KEY, "covered"),
        ("row", KEY, "ratio"),
        ("row", PROVINCE, "verdict"),
        ("verdict", PROVINCE, "last entry"),
    }
    assert all(one["key"] in (KEY, PROVINCE) for one in answer.plain["differences"]), "and nobody else is blamed"
    covered = next(one for one in answer.plain["differences"] if one["field"] == "covered")
    assert (covered["published"], covered["recomputed"]) == (0, 1)

    text = ask(stage, "audit").text
    assert f"{KEY} · covered: công bố 0, tính lại 1" in text
    assert f"{KEY} · covered: published 0, recomputed 1" in ask(stage, "audit", "--lang", "en").text


def test_a_false_row_is_found_beside_a_live_worker_until_it_is_published_again(stage: Stage) -> None:
    stage.start_ready(republish_seconds=3_000)
    stage.wait_for_rows()
    row = by_version(stage.rows())[KEY]
    _tamper(stage, row, covered=0, expected=1, as_of=row.version.as_of)
    answer = _audit(stage)
    assert {("row", KEY, "covered"), ("row", KEY, "expected")} <= _differences(answer)


def test_a_row_that_is_missing_and_one_too_many_are_found(stage: Stage) -> None:
    _settled(stage)
    shown = by_version(stage.rows())
    with stage.sending() as send:
        send(COMMUNES, None, shown[KEY].key, shown[KEY].headers, shown[KEY].partition)
    strange = shown[PROVINCE].row
    assert isinstance(strange, ProvinceRow)
    other = msgspec.structs.replace(strange, province="99")
    with stage.sending() as send:
        send(PROVINCES, rows.encode(other), other.key.encode(), shown[PROVINCE].headers, 0)
    assert {found for found in _differences(_audit(stage)) if found[0] == "row"} == {("row", KEY, "row"), ("row", other.key, "row")}


def test_a_stopped_system_is_audited_for_the_moment_at_which_it_stopped_and_what_came_after_is_behind(stage: Stage) -> None:
    stage.send([stated("02275")])
    _settled(stage)
    assert _audit(stage, clock_start="2026-01-01T00:00:00+07:00").code == 0, "what is stale by now was fresh then"
    stage.send([stated("02284")])
    answer = _audit(stage)
    assert answer.code == 1
    behind = [one for one in answer.plain["differences"] if one["key"] == f"2020-01-01/02284/{worlds.POSTAL}"]
    assert behind
    assert all(one["behind"] == 1 for one in behind)


def test_a_missing_dead_letter_and_one_too_many_are_found(stage: Stage) -> None:
    _bad_record(stage)
    partition = share_of(b"08")
    # an owner before says that it has sent what lies below
    stage.commit({(POSTAL.name, partition): 1}, f"rules={stage.rules.number}")
    _settled(stage)
    assert stage.dead_letters() == []
    answer = _audit(stage)
    assert _differences(answer) == {("dead_letter", f"{POSTAL.name}[{partition}]@0", "letter")}

    stage.forget_progress()
    _settled(stage)
    assert _audit(stage).code == 0
    (letter,) = stage.dead_letters()
    stage.send([stated("02275")])
    _settled(stage)
    with stage.sending() as send:
        send(DEAD_LETTERS, b"{}", letter.key, letter.headers, letter.partition)
        headers = [(name, b"1" if name == "phusong-offset" else raw) for name, raw in letter.headers]
        send(DEAD_LETTERS, letter.value, letter.key, headers, letter.partition)
        send(DEAD_LETTERS, b"{}", b"08", [], 0)
    assert {(key.split("@")[0] + "@", field) for kind, key, field in _differences(_audit(stage)) if kind == "dead_letter"} == {
        (f"{POSTAL.name}[{partition}]@", "bytes"),
        (f"{POSTAL.name}[{partition}]@", "letter"),
        ("coverage.dead-letters.v1[0]@", "headers"),
    }


def test_a_broken_chain_of_verdicts_is_found(stage: Stage) -> None:
    _settled(stage)
    assert _audit(stage).code == 0
    last = next(one for one in stage.verdicts() if one.name == PROVINCE)
    entry = last.verdict
    forged = msgspec.structs.replace(entry, id="0" * 32, data=msgspec.structs.replace(entry.data, previous="nobody", to=Verdict.MET))
    with stage.sending() as send:
        send(VERDICTS, rows.encode(forged), last.key, (), last.partition)
        send(VERDICTS, b"not a verdict", last.key, (), last.partition)
    found = {(key.split(" ")[0], field) for kind, key, field in _differences(_audit(stage)) if kind == "verdict"}
    assert {(PROVINCE, "id"), (PROVINCE, "previous"), (PROVINCE, "from"), (PROVINCE, "last entry")} <= found
    assert any(field == "value" for _, field in found)


def test_rows_of_other_rules_are_told_apart_and_what_was_rejected_then_and_counts_now_is_listed(stage: Stage) -> None:
    stage.send([stated("02275")])
    with stage.sending() as send:
        send(POSTAL, encode(stated("02284", source="courier", operator="post-office")), b"08")
    _settled(stage)
    assert _audit(stage).code == 0

    reporters = (*worlds.REPORTERS, reporter("courier", "post-office"))
    stage.use(
        worlds.seed_texts(
            reporters=reporters,
            obligations=(*worlds.STEADY_OBLIGATIONS, obligation("courier", worlds.POSTAL, operator="post-office")),
            number=2,
        )
    )
    answer = _audit(stage)
    assert answer.code == 1
    assert answer.plain["other_rules"].keys() == {"1"}
    assert answer.plain["differences"] == []
    then = [(one["topic"], one["offset"], one["reason"], one["rules"]) for one in answer.plain["admitted_now"]]
    assert then == [(POSTAL.name, 1, Reason.UNKNOWN_REPORTER, 1)]

    _settled(stage)
    answer = _audit(stage)
    assert answer.code == 0, "the log was read again by the new rules, and the record counts"
    assert len(answer.plain["admitted_now"]) == 1
    shown = by_version(stage.rows())[f"2020-01-01/02284/{worlds.POSTAL}"].row
    assert isinstance(shown, CommuneRow)
    assert shown.statements == (f"courier courier/02284/{worlds.POSTAL}",)
    assert "NAY HỢP LỆ: 1 bản ghi" in ask(stage, "audit").text


def test_a_log_that_was_cut_is_found(stage: Stage) -> None:
    stage.send([stated("02275")])
    _settled(stage)
    (cut,) = stage.admin.delete_records([TopicPartition(POSTAL.name, share_of(b"08"), 1)]).values()
    cut.result(10)
    assert ("log", f"{POSTAL.name}[{share_of(b'08')}]", "first offset") in _differences(_audit(stage))


def test_without_topics_or_without_kafka_it_says_what_to_do(stage: Stage) -> None:
    answer = ask(stage, "audit", bootstrap_servers="127.0.0.1:1")
    assert answer.code == 3
    assert "PHUSONG_BOOTSTRAP_SERVERS" in answer.errors


def test_ctrl_c_ends_it_with_130(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        mute.settimeout(20)
        process, env = command(stage, "audit", bootstrap_servers=f"127.0.0.1:{mute.getsockname()[1]}")
        with subprocess.Popen(process, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
            mute.accept()[0].close()
            running.send_signal(signal.SIGINT)
            printed, said = running.communicate(timeout=15)
    assert running.returncode == 130
    assert printed + said == ""
