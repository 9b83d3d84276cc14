"""Acknowledgements: what is one, what is refused, and which of many counts."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import msgspec
import pytest

from phusong.acknowledgements import (
    ACKNOWLEDGED_TYPE,
    CLOCK_TOLERANCE,
    Acknowledged,
    Acknowledgement,
    Desk,
    check_acknowledged,
    decode_acknowledged,
    encode_acknowledged,
    is_acknowledgement,
)
from phusong.events import Origin, Reason, Rejected
from phusong.settings import SEEDS, read_rules
from tests.worlds import instant

RULES = read_rules(SEEDS)
VERDICT = "0123456789abcdef" * 2
KEY = "2020-01-01/08/postal.staffed_point"
NOW = instant("2023-07-31T08:00:00+07:00")


def acknowledged(number: int = 1, day: int = 1, owner: str | None = "Phòng BCVT", **data: Any) -> Acknowledged:
    about = {"vintage": "2020-01-01", "province": "08", "indicator": "postal.staffed_point", "verdict": VERDICT, **data}
    return Acknowledged(
        specversion="1.0",
        id=f"ack-{number}",
        source="operations-centre",
        time=instant(f"2023-07-{day:02}T08:00:00+07:00"),
        data=Acknowledgement(owner=owner, reason="đã gọi Bưu điện huyện", **about),
    )


def plain(**changes: Any) -> bytes:
    """An acknowledgement as JSON, with other fields."""
    event = msgspec.to_builtins(acknowledged())
    data = {**event["data"], **changes.pop("data", {})}
    return msgspec.json.encode({**event, **changes, "data": data})


def reason_of(value: bytes | None) -> Reason:
    with pytest.raises(Rejected) as caught:
        decode_acknowledged(value)
    return caught.value.reason


def test_what_is_written_is_read_back_and_is_an_event_of_its_type() -> None:
    event = acknowledged(origin=Origin.SIMULATED)
    value = encode_acknowledged(event)
    assert decode_acknowledged(value) == event
    assert is_acknowledgement(value)
    assert msgspec.json.decode(value)["type"] == ACKNOWLEDGED_TYPE


def test_its_text_is_in_nfc_written_and_read() -> None:
    assert "ệ".encode() in encode_acknowledged(acknowledged(owner="huye\u0323\u0302n"))
    assert decode_acknowledged(plain(data={"owner": "huye\u0323\u0302n"})).data.owner == "huyện"
    # in JSON text a line break ends with an n, which a mark after it must not join
    broken = msgspec.structs.replace(acknowledged().data, reason="a\n\u0303b")
    assert decode_acknowledged(encode_acknowledged(msgspec.structs.replace(acknowledged(), data=broken))).data.reason == "a\n\u0303b"


def test_fields_of_a_newer_writer_are_ignored() -> None:
    assert decode_acknowledged(plain(data={"until": "2023-08-01"}, subject="x")) == acknowledged()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, Reason.NOT_JSON),
        (b"{", Reason.NOT_JSON),
        (b"[]", Reason.NOT_CLOUDEVENT),
        (plain(specversion="0.3"), Reason.NOT_CLOUDEVENT),
        (plain(type="vn.phusong.coverage.stated.v1"), Reason.UNKNOWN_TYPE),
        (plain(data={"verdict": "x"}), Reason.SCHEMA),
        (plain(data={"reason": ""}), Reason.SCHEMA),
        (plain(data={"owner": ""}), Reason.SCHEMA),
        (plain(data={"reason": "x" * 2001}), Reason.SCHEMA),
        (plain(time="2023-07-01T08:00:00"), Reason.SCHEMA),
        (plain(subject="x" * 70_000), Reason.TOO_LARGE),
    ],
)
def test_what_is_none_is_refused_with_its_reason(value: bytes | None, reason: Reason) -> None:
    assert reason_of(value) is reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"vintage": "1999-01-01"}, Reason.UNKNOWN_VINTAGE),
        ({"indicator": "postal.nothing"}, Reason.UNKNOWN_INDICATOR),
        ({"province": "99"}, Reason.UNKNOWN_COMMUNE),
    ],
)
def test_one_about_what_has_no_row_is_refused(data: dict[str, str], reason: Reason) -> None:
    check_acknowledged(RULES, acknowledged(), NOW)
    with pytest.raises(Rejected) as caught:
        check_acknowledged(RULES, acknowledged(**data), NOW)
    assert caught.value.reason is reason


def test_the_type_only_mentioned_elsewhere_makes_no_acknowledgement() -> None:
    assert not is_acknowledgement(plain(type="x", subject=ACKNOWLEDGED_TYPE))
    assert not is_acknowledgement(ACKNOWLEDGED_TYPE.encode())


def test_the_last_by_time_counts_in_whatever_order_they_come_and_however_often() -> None:
    taken, passed_on, given_back = acknowledged(1, 1), acknowledged(2, 2, owner="Sở KH&CN"), acknowledged(3, 3, owner=None)
    for some, holder in (((taken, passed_on), passed_on), ((taken, passed_on, given_back), None)):
        for order in permutations((*some, taken)):
            desk = Desk()
            for event in order:
                desk.take(event)
            assert desk.who_has(KEY, VERDICT) == holder
            assert desk.all() == [some[-1]]


def test_only_what_changes_who_has_it_is_news() -> None:
    desk = Desk()
    assert desk.take(acknowledged(2, 2))
    assert not desk.take(acknowledged(2, 2))
    assert not desk.take(acknowledged(1, 1))


def test_another_verdict_is_nobodys_until_it_is_taken() -> None:
    desk = Desk()
    desk.take(acknowledged())
    assert desk.who_has(KEY, "f" * 32) is None


def test_whoever_may_speak_about_one_indicator_takes_on_no_verdict_of_another() -> None:
    desk = Desk()
    desk.take(acknowledged(indicator="postal.points_online"))
    assert desk.who_has(KEY, VERDICT) is None


def test_one_of_a_time_that_is_yet_to_come_is_refused_since_nobody_could_give_the_verdict_back() -> None:
    check_acknowledged(RULES, acknowledged(), acknowledged().time - CLOCK_TOLERANCE)
    with pytest.raises(Rejected) as caught:
        check_acknowledged(RULES, acknowledged(), acknowledged().time - CLOCK_TOLERANCE * 2)
    assert caught.value.reason is Reason.OBSERVED_IN_FUTURE
