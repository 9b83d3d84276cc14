"""`phusong dead-letters` on a real Kafka with a worker: what was rejected is listed, shown, sent back once, and then counts."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from phusong.events import encode
from phusong.topics import DEAD_LETTERS, POSTAL, SOURCES, TELECOM, share_of
from tests import worlds
from tests.asking import Answer, ask
from tests.kafka import wait_until
from tests.workers import Stage, Worker
from tests.worlds import stated, unit

pytestmark = pytest.mark.kafka

HOME = share_of(b"08")


def _dead_letters(stage: Stage, *arguments: str, **settings: object) -> Answer:
    return ask(stage, "dead-letters", *arguments, **settings)


def _listed(stage: Stage, *arguments: str, **settings: object) -> Any:
    answer = _dead_letters(stage, "list", "--json", *arguments, **settings)
    assert answer.code == 0, answer.errors
    return answer.plain


def _ends(stage: Stage) -> int:
    """How many records the source topics have taken."""
    return sum(stage.topics.ends(*(topic.name for topic in SOURCES.values())).values())


def _wait_for_metric(worker: Worker, count: float, name: str, **labels: str) -> None:
    wait_until(lambda: worker.metric(name, **labels) == count, 30, f"{name}{labels} is {count:g}")


def test_what_travelled_wrongly_is_listed_shown_sent_back_once_and_then_counts(stage: Stage) -> None:
    worker = stage.start_ready()
    events = [stated(code) for code in worlds.COMMUNES["08"]]
    with stage.sending() as send:
        send(POSTAL, encode(events[0]), b"02263", [("traceparent", b"00-\x1b[31m")])
        send(POSTAL, encode(events[1]), b"08", partition=5)
        send(TELECOM, encode(events[2]), b"08")
    # another key: another partition by the same partitioner
    wrong_key = f"postal/{share_of(b'02263')}/0"
    for reason in ("key_mismatch", "wrong_partition", "wrong_topic"):
        _wait_for_metric(worker, 1, "phusong_dead_letters_total", reason=reason)
    stage.wait_for_progress()

    found = _listed(stage)
    assert found["by_reason"] == {"key_mismatch": 1, "wrong_partition": 1, "wrong_topic": 1}
    assert {(one["identity"], one["reason"]) for one in found["letters"]} == {
        (wrong_key, "key_mismatch"),
        ("postal/5/0", "wrong_partition"),
        (f"telecom/{HOME}/0", "wrong_topic"),
    }
    assert all((one["today"], one["reporter"], one["replayed_at"]) == ("send", "post-office", None) for one in found["letters"])
    assert [one["reason"] for one in _listed(stage, "--reason", "wrong_topic", "--reporter", "post-office")["letters"]] == ["wrong_topic"]
    assert _listed(stage, "--reporter", "operator-a")["letters"] == _listed(stage, "--until", "2023-01-01")["letters"] == []
    text = _dead_letters(stage, "list").text
    assert wrong_key in text
    assert "use the home province's code '08'" in " ".join(text.split())
    assert "gửi lại được" in text

    whole = _dead_letters(stage, "show", wrong_key, "--lang", "en").text
    assert f"replay {wrong_key}" in whole
    assert "key: 02263" in whole
    assert "traceparent: 00-\\x1b[31m" in whole
    assert encode(events[0]).decode() in whole

    before = _ends(stage)
    dry = _dead_letters(stage, "replay", "--reason", "key_mismatch", "--reason", "wrong_topic", "--dry-run")
    assert (dry.code, len(dry.text.splitlines()), _ends(stage)) == (0, 3, before)
    sent = _dead_letters(stage, "replay", "--reason", "key_mismatch", "--reason", "wrong_topic", "--lang", "en")
    assert (sent.code, sent.text) == (0, "2 sent back\n"), sent.errors
    assert (_dead_letters(stage, "replay", "postal/5/0").code, _ends(stage)) == (0, before + 3)
    _wait_for_metric(worker, 3, "phusong_events_total", outcome="admitted")
    stage.wait_for_rows()
    record = next(one for one in stage.topics.read(POSTAL.name) if one.header("phusong-replay-of") == "coverage.postal.v1/5/0")
    assert (record.partition, record.key, record.value) == (HOME, b"08", encode(events[1]))

    again = _dead_letters(stage, "replay", "postal/5/0", wrong_key, "--lang", "en")
    assert again.code == 1
    assert again.errors.count("sent back 2") == 2
    filtered = _dead_letters(stage, "replay", "--reporter", "post-office", "--lang", "en")
    assert (filtered.code, filtered.text) == (0, "0 sent back, 3 sent back before\n")
    assert _ends(stage) == before + 3
    assert all(one["replayed_at"] for one in _listed(stage)["letters"])
    assert ask(stage, "audit").code == 0


def test_a_mended_event_is_sent_back_once_and_a_letter_goes_with_all_its_lines_or_none(stage: Stage) -> None:
    worker = stage.start_ready()
    with stage.sending() as send:
        for code in ("2263", "2275", "2284"):
            send(POSTAL, encode(stated(code)), b"08")
        send(POSTAL, b"commune;covered", b"08")
    _wait_for_metric(worker, 3, "phusong_dead_letters_total", reason="unknown_commune")
    _wait_for_metric(worker, 1, "phusong_dead_letters_total", reason="not_json")
    refused = _dead_letters(stage, "replay", "--reason", "unknown_commune", "--lang", "en")
    assert (refused.code, refused.text) == (1, "0 sent back, 3 to be mended\n")
    assert "did you mean '02275'?" in refused.errors
    assert f"phusong dead-letters export postal/{HOME}/1 > mend.jsonl" in refused.errors

    exported = _dead_letters(stage, "export")
    assert exported.code == 0
    lines = exported.text.splitlines()
    assert [json.loads(line)["phusongreplayof"] for line in lines] == [f"postal/{HOME}/{offset}" for offset in range(4)]
    assert "did you mean '02275'?" in json.loads(lines[1])["phusongreason"]
    file = stage.directory / "mend.jsonl"
    # the first is mended, of the second one line is and one not, the third lost its letter, the fourth is as it was
    mended = [line.replace('"commune":"2', '"commune":"02') for line in lines]
    file.write_text("\n".join([mended[0], mended[1], lines[1], mended[2].replace("phusongreplayof", "x"), mended[3]]))
    before = _ends(stage)
    some = _dead_letters(stage, "replay", "--repaired", str(file), "--lang", "en")
    assert some.code == 1
    assert some.text == "1 sent back, 4 to be mended\n"
    assert "mend.jsonl:3: unknown_commune" in some.errors
    assert "mend.jsonl:4: schema: phusongreplayof" in some.errors
    assert f"postal/{HOME}/1: none of its lines is sent" in some.errors
    assert _ends(stage) == before + 1

    file.write_text("\n".join(mended[:3]))
    rest = _dead_letters(stage, "replay", "--repaired", str(file), "--lang", "en")
    assert (rest.code, rest.text) == (1, "2 sent back, 1 sent back before\n")
    _wait_for_metric(worker, 3, "phusong_events_total", outcome="admitted")
    stage.wait_for_rows()
    assert _dead_letters(stage, "replay", "--repaired", str(file)).code == 1
    assert _ends(stage) == before + 3
    assert _dead_letters(stage, "export", "--reason", "unknown_commune").text == ""


def test_what_a_new_list_of_communes_admits_counts_where_it_lies_and_is_not_sent(stage: Stage) -> None:
    worker = stage.start_ready()
    with stage.sending() as send:
        send(POSTAL, encode(stated("02999")), b"08")
    _wait_for_metric(worker, 1, "phusong_dead_letters_total", reason="unknown_commune")
    units = [unit("2020-01-01", code, home) for home, codes in worlds.COMMUNES.items() for code in codes]
    stage.use(worlds.seed_texts(units=[*units, unit("2020-01-01", "02999")], number=2))
    before = _ends(stage)
    assert [one["today"] for one in _listed(stage)["letters"]] == ["counts"]
    assert _dead_letters(stage, "replay", "--reason", "unknown_commune", "--lang", "en").text == "0 sent back, 1 count where they lie\n"
    named = _dead_letters(stage, "replay", f"postal/{HOME}/0")
    assert (named.code, _ends(stage)) == (1, before)
    worker.end()
    again = stage.start_ready()
    _wait_for_metric(again, 1, "phusong_events_total", outcome="admitted")


def test_a_letter_that_is_there_several_times_is_one_and_its_latest_reason_holds(stage: Stage) -> None:
    def letter(offset: int, reason: str, rules: int) -> list[tuple[str, bytes | None]]:
        said = {"reason": reason, "sentence": "why", "topic": POSTAL.name, "partition": str(HOME), "offset": str(offset)}
        said |= {"timestamp": "1688500000000", "rules": str(rules)}
        return [("phusong-reason", b"made up by the reporter"), *((f"phusong-{name}", text.encode()) for name, text in said.items())]

    value = encode(stated("2275"))
    stage.topics.ends(*(topic.name for topic in SOURCES.values()))  # tells them once they are led
    with stage.sending() as send:
        for offset, reason, rules in ((1, "unknown_commune", 1), (1, "unknown_commune", 1), (2, "schema", 1), (1, "unknown_reporter", 2)):
            send(DEAD_LETTERS, value, b"08", letter(offset, reason, rules), HOME)
        send(DEAD_LETTERS, b"no letter", b"08", [], HOME)
    found = _listed(stage)
    assert [(one["identity"], one["reason"], one["rules"]) for one in found["letters"]] == [
        (f"postal/{HOME}/1", "unknown_reporter", 2),
        (f"postal/{HOME}/2", "schema", 1),
    ]
    assert found["unreadable"] == 1
    assert _listed(stage, "--reason", "unknown_commune")["letters"] == [], "by today's rules that is no longer its reason"
    plain = _dead_letters(stage, "show", f"postal/{HOME}/2", "--json").plain
    assert plain["headers"] == [["phusong-reason", "made up by the reporter"]]
    assert msgspec.json.decode(plain["value"]) == msgspec.json.decode(value)


def test_what_is_named_and_not_there_is_told_and_wrong_use_is_2_and_a_missing_broker_3(stage: Stage) -> None:
    stage.topics.ends(*(topic.name for topic in (*SOURCES.values(), DEAD_LETTERS)))  # tells them once they are led
    for arguments in (["show", "postal/8/1"], ["replay", "postal/8/1"], ["export", "postal/8/1"]):
        answer = _dead_letters(stage, *arguments, "--lang", "en")
        assert answer.code == 1
        assert "postal/8/1: is not among the dead letters" in answer.errors
    for arguments in (["show", "postal"], ["replay"], ["replay", "postal/8/1", "--reason", "schema"], ["list", "--reason", "x"]):
        assert _dead_letters(stage, *arguments).code == 2
    assert _dead_letters(stage, "replay", "--repaired", "nowhere.jsonl").code == 3
    assert _dead_letters(stage, "list", bootstrap_servers="127.0.0.1:1").code == 3
