"""What a dead letter is made of, what today's rules make of it, and which lines mend it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ops import letters
from ops.letters import Identity, Letter, Today, Wanted, about, exported, identity, judge, mended, printable, text
from phusong.admission import FUTURE_TOLERANCE, Admission
from phusong.events import Event, Reason, encode
from phusong.settings import SettingsError
from phusong.topics import MAX_VALUE_BYTES, POSTAL, TELECOM, Topic, share_of
from tests import worlds
from tests.worlds import instant, millis, stated, world

NOW_MS = millis(instant("2023-07-20"))
HOME = share_of(b"08")
BINARY: list[tuple[str, bytes | None]] = [
    ("ce_specversion", b"1.0"),
    ("ce_id", b"binary"),
    ("ce_source", b"post-office"),
    ("ce_type", b"vn.phusong.coverage.stated.v1"),
    ("ce_time", b"2023-07-09T09:00:00+07:00"),
    ("content-type", b"application/json"),
]


def _letter(
    event: Event | bytes | None, *, reason: Reason = Reason.SCHEMA, topic: Topic = POSTAL, partition: int = HOME, **more: Any
) -> Letter:
    fields: dict[str, Any] = {
        "identity": Identity(topic.name, partition, 7),
        "place": (partition, 3),
        "reason": reason.value,
        "sentence": "what is wrong and the remedy",
        "rules": 1,
        "taken_at_ms": NOW_MS,
        "key": b"08",
        "value": event if isinstance(event, bytes) or event is None else encode(event),
        "headers": [],
    }
    return Letter(**{**fields, **more})


def _judged(letter: Letter, now_ms: int = NOW_MS) -> tuple[Today, str]:
    today, _, why = judge(Admission(world()), letter, now_ms)
    return today, why


def test_an_identity_is_short_to_copy_and_takes_the_whole_name_of_the_topic_too() -> None:
    assert str(Identity(POSTAL.name, 8, 1234)) == "postal/8/1234"
    assert identity("postal/8/1234") == identity(" coverage.postal.v1/8/1234") == Identity(POSTAL.name, 8, 1234)


@pytest.mark.parametrize(
    "wrong", ["", "postal", "postal/8", "postal/8/x", "postal/-1/2", "mail/8/1", "postal/8/1/2", "postal/8/" + "9" * 40]
)
def test_what_is_no_identity_is_told_with_the_form(wrong: str) -> None:
    with pytest.raises(SettingsError, match="postal/8/1234"):
        identity(wrong)


@pytest.mark.parametrize(
    "letter",
    [
        _letter(stated(), key=b"02"),
        _letter(stated(), key=None),
        _letter(stated(), partition=(HOME + 1) % 12),
        _letter(stated(), topic=TELECOM),
        _letter(msgspec.json.encode(stated().data), headers=BINARY, key=b"02"),
        _letter(stated(), reason=Reason.PROCESSOR_ERROR),
    ],
    ids=["another key", "no key", "another partition", "another topic", "binary mode", "the processor failed"],
)
def test_what_travelled_wrongly_or_made_the_processor_fail_can_be_sent_back_unchanged(letter: Letter) -> None:
    assert _judged(letter) == (Today.SEND, "")


def test_what_todays_rules_admit_where_it_lies_counts_and_is_not_sent() -> None:
    assert _judged(_letter(stated(), reason=Reason.UNKNOWN_COMMUNE)) == (Today.COUNTS, "")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"\xff{", Reason.NOT_JSON),
        (None, Reason.NOT_JSON),
        (b"1", Reason.NOT_CLOUDEVENT),
        (encode(stated("2275")), Reason.UNKNOWN_COMMUNE),
        (encode(stated(covered=2)), Reason.COUNTS_OUT_OF_RANGE),
        (b"x" * (MAX_VALUE_BYTES + 1), Reason.TOO_LARGE),
    ],
)
def test_what_would_be_rejected_again_is_to_be_mended_and_the_sentence_says_how(value: bytes | None, reason: Reason) -> None:
    today, why = _judged(_letter(value))
    assert today is Today.MEND
    assert why.startswith(f"{reason}: ")


def test_a_date_in_the_future_can_be_sent_back_once_it_has_come() -> None:
    observed = instant("2023-07-20") + FUTURE_TOLERANCE + timedelta(days=1)
    letter = _letter(stated(observed_at=observed.isoformat()), reason=Reason.OBSERVED_IN_FUTURE)
    assert _judged(letter)[0] is Today.MEND
    assert _judged(letter, millis(observed)) == (Today.SEND, "")


def test_source_and_commune_are_told_where_they_can_be_read_also_of_what_is_no_event() -> None:
    assert about(_letter(stated("2275"))) == ("post-office", "2275")
    assert about(_letter(msgspec.json.encode(stated().data), headers=BINARY)) == ("post-office", "02275")
    assert about(_letter(b'{"source": 5, "data": ["02275"]}')) == ("", "")
    assert about(_letter(b"[" * 20_000)) == ("", "")


def test_filters_narrow_together_and_the_reporter_is_read_from_the_value() -> None:
    letter = _letter(stated(), reason=Reason.KEY_MISMATCH)
    at = instant("2023-07-20")
    assert Wanted().holds(letter)
    assert Wanted(reasons=frozenset({"key_mismatch"}), reporters=frozenset({"post-office"}), since=at, until=at).holds(letter)
    for other in (
        Wanted(identities=frozenset({Identity(POSTAL.name, HOME, 8)})),
        Wanted(reasons=frozenset({"schema"})),
        Wanted(reporters=frozenset({"operator-a"})),
        Wanted(since=at + timedelta(seconds=1)),
        Wanted(until=at - timedelta(seconds=1)),
    ):
        assert not other.holds(letter)


def test_what_strangers_wrote_cannot_steer_a_terminal() -> None:
    assert printable("Xã Thượng Lâm\n") == "Xã Thượng Lâm\n"
    assert printable("\x1b[2J\u202etxt\x07") == "\\x1b[2J\\u202etxt\\x07"
    assert text(b"\xff\x00a") == "ff 00 61"
    assert text(b"{\x1b}") == "{\\x1b}"


def test_an_exported_line_once_mended_is_the_event_and_names_its_letter(tmp_path: Path) -> None:
    line = exported(_letter(stated("2275")), "unknown_commune: commune '2275'; did you mean '02275'?")
    plain = msgspec.json.decode(line)
    assert list(plain)[:2] == ["phusongreplayof", "phusongreason"]
    assert plain["phusongreplayof"] == f"postal/{HOME}/7"
    file = tmp_path / "mend.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + line.replace(b'"commune":"2275"', b'"commune":"02275"') + b"\n\n")
    (one,) = mended(file)
    assert (one.number, one.identity) == (1, Identity(POSTAL.name, HOME, 7))
    assert one.outcome == stated("02275", event_id=f"post-office/2275/{worlds.POSTAL}")


def test_an_event_in_binary_mode_is_exported_as_one_object() -> None:
    plain = msgspec.json.decode(exported(_letter(msgspec.json.encode(stated("2275").data), headers=BINARY), "why"))
    assert (plain["source"], plain["data"]["commune"], plain["type"]) == ("post-office", "2275", "vn.phusong.coverage.stated.v1")


def test_attributes_of_the_reporter_do_not_pass_for_ours() -> None:
    value = msgspec.json.encode({"phusongreplayof": "postal/0/0", "phusongreason": "none", **msgspec.json.decode(encode(stated("2275")))})
    plain = msgspec.json.decode(exported(_letter(value), "why"))
    assert (plain["phusongreplayof"], plain["phusongreason"]) == (f"postal/{HOME}/7", "why")


def test_what_is_no_json_is_exported_as_the_text_that_there_is() -> None:
    assert msgspec.json.decode(exported(_letter(b"commune;covered"), "not_json: …"))["unreadable"] == "commune;covered"


def test_a_line_that_mends_nothing_says_why_and_still_names_its_letter_where_it_can(tmp_path: Path) -> None:
    good = exported(_letter(stated()), "")
    file = tmp_path / "mend.jsonl"
    file.write_bytes(
        b"\n".join(
            [
                encode(stated()),
                good[:-2],
                good.replace(b'"1.0"', b'"0.3"'),
                b"[1]",
                good.replace(b'"data"', b'"note":"' + b"x" * (2 * MAX_VALUE_BYTES) + b'","data"'),
                good,
            ]
        )
    )
    lines = list(mended(file))
    assert [line.number for line in lines] == [1, 2, 3, 4, 5, 6]
    mine = Identity(POSTAL.name, HOME, 7)
    assert [line.identity for line in lines] == [None, mine, mine, None, mine, mine]
    reasons = [getattr(line.outcome, "reason", None) for line in lines]
    assert reasons == [Reason.SCHEMA, Reason.NOT_JSON, Reason.NOT_CLOUDEVENT, Reason.SCHEMA, Reason.TOO_LARGE, None]


def test_what_we_added_to_a_line_does_not_make_its_event_too_large(tmp_path: Path) -> None:
    plain = {**msgspec.json.decode(encode(stated())), "note": ""}
    plain["note"] = "x" * (MAX_VALUE_BYTES - len(msgspec.json.encode(plain)))
    file = tmp_path / "mend.jsonl"
    file.write_bytes(exported(_letter(msgspec.json.encode(plain)), "y" * 1000))
    (one,) = mended(file)
    assert one.outcome == stated()


def test_only_the_newest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letters, "KEPT_MAX", 2)
    admission = Admission(world())
    kept = {
        one.identity: letters._row(admission, one, NOW_MS)
        for one in (
            _letter(stated(), identity=Identity(POSTAL.name, HOME, offset), taken_at_ms=NOW_MS + ms)
            for offset, ms in ((1, 30), (2, 10), (3, 20), (4, 40))
        )
    }
    assert letters._keep_newest(kept) == 2
    assert [one.offset for one in kept] == [1, 4]
    assert letters._keep_newest(kept) == 0
