"""phusong/events.py: what each kind of bad value gets, and the ways in which one event may be written."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import pytest

from phusong.events import MAX_NAMES, Reason, Rejected, Stated, Withdrawn, decode, encode
from phusong.topics import MAX_VALUE_BYTES
from tests.worlds import instant, stated, withdrawn


def fields(**data: Any) -> dict[str, Any]:
    """A good statement as plain JSON values; `data` replaces or adds fields of its data."""
    plain: dict[str, Any] = json.loads(encode(stated()))
    plain["data"] |= data
    return plain


def as_json(plain: object) -> bytes:
    return json.dumps(plain).encode()


def rejection(value: bytes | None, headers: list[tuple[str, bytes | None]] | None = None) -> Rejected:
    with pytest.raises(Rejected) as caught:
        decode(value, headers)
    return caught.value


def test_the_reject_reasons_are_the_closed_set_of_the_design() -> None:
    assert {reason.value for reason in Reason} == {
        "not_json",
        "not_cloudevent",
        "unknown_type",
        "schema",
        "unknown_commune",
        "unknown_vintage",
        "outside_vintage",
        "unknown_indicator",
        "wrong_topic",
        "key_mismatch",
        "wrong_partition",
        "unknown_reporter",
        "unknown_operator",
        "counts_out_of_range",
        "observed_in_future",
        "too_large",
        "processor_error",
    }


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"xa-phuong,2023", id="a line of CSV"),
        pytest.param(as_json(fields())[:-1], id="cut off"),
        pytest.param(as_json(fields()) * 2, id="two objects"),
        pytest.param(b"\xff\xfe{}", id="not UTF-8"),
        pytest.param(as_json(fields(vintage="X")).replace(b"X", b"\xc3\x28"), id="not UTF-8 inside a text"),
        pytest.param(as_json(fields(vintage="\ud800")), id="half a surrogate pair"),
        pytest.param(as_json(fields(covered=float("nan"))), id="NaN"),
        pytest.param(as_json(fields(covered=0)).replace(b'"covered": 0', b'"covered": ' + b"9" * 5000), id="a number of 5000 digits"),
        pytest.param(b"[" * 60_000, id="nested too deep"),
        pytest.param(b'{"a":' * 12_000, id="objects nested too deep"),
    ],
)
def test_what_is_not_json_in_utf8_is_rejected_as_not_json(value: bytes) -> None:
    rejected = rejection(value)
    assert rejected.reason is Reason.NOT_JSON
    assert "send one JSON object a record" in rejected.sentence


def test_a_record_without_value_is_not_json_and_the_remedy_is_a_withdrawal() -> None:
    rejected = rejection(None)
    assert rejected.reason is Reason.NOT_JSON
    assert "withdrawn event" in rejected.sentence


@pytest.mark.parametrize(
    "value",
    [
        b"null",
        b"5",
        b"[]",
        b"{}",
        as_json(fields()["data"]),
        as_json({**fields(), "specversion": "0.3"}),
        as_json({**fields(), "specversion": 1.0}),
        as_json({**fields(), "id": 7}),
        as_json({k: v for k, v in fields().items() if k != "source"}),
        as_json({k: v for k, v in fields().items() if k != "type"}),
        as_json({**fields(), "type": ["vn.phusong.coverage.stated.v1"]}),
    ],
)
def test_json_that_is_no_cloudevent_is_rejected_as_not_cloudevent(value: bytes) -> None:
    rejected = rejection(value)
    assert rejected.reason is Reason.NOT_CLOUDEVENT
    assert "CloudEvents 1.0" in rejected.sentence


def test_an_unknown_type_is_told_the_known_ones() -> None:
    rejected = rejection(as_json({**fields(), "type": "vn.phusong.coverage.acknowledged.v1"}))
    assert rejected.reason is Reason.UNKNOWN_TYPE
    assert "vn.phusong.coverage.stated.v1, vn.phusong.coverage.withdrawn.v1" in rejected.sentence


@pytest.mark.parametrize(
    ("data", "where"),
    [
        ({"covered": "5"}, "$.data.covered"),
        ({"covered": 5.5}, "$.data.covered"),
        ({"covered": True}, "$.data.covered"),
        ({"expected": None}, "$.data.expected"),
        ({"observed_at": "2023-06-30T00:00:00"}, "$.data.observed_at"),
        ({"observed_at": "30/06/2023"}, "$.data.observed_at"),
        ({"observed_at": "2023-06-31T00:00:00+07:00"}, "$.data.observed_at"),
        ({"method": "guessed"}, "$.data.method"),
        ({"origin": "unsure"}, "$.data.origin"),
        ({"commune": 2275}, "$.data.commune"),
        ({"commune": ""}, "$.data.commune"),
        ({"operator": ""}, "$.data.operator"),
        ({"uncovered": "Bản Bung"}, "$.data.uncovered"),
        ({"uncovered": [""]}, "$.data.uncovered[0]"),
        ({"uncovered": ["x"] * (MAX_NAMES + 1)}, "$.data.uncovered"),
        ({"measured": ["x" * 201]}, "$.data.measured[0]"),
        ({"until": "2023-07-01"}, "$.data.until"),
    ],
)
def test_a_field_that_breaks_the_schema_is_named_with_its_path(data: dict[str, Any], where: str) -> None:
    rejected = rejection(as_json(fields(**data)))
    assert rejected.reason is Reason.SCHEMA
    assert f"`{where}`" in rejected.sentence
    assert "mend that field" in rejected.sentence


@pytest.mark.parametrize("missing", ["commune", "indicator", "observed_at", "covered", "expected"])
def test_a_missing_field_is_named(missing: str) -> None:
    plain = fields()
    del plain["data"][missing]
    rejected = rejection(as_json(plain))
    assert rejected.reason is Reason.SCHEMA
    assert f"`{missing}`" in rejected.sentence


@pytest.mark.parametrize("missing", ["time", "data"])
def test_a_missing_attribute_is_named(missing: str) -> None:
    rejected = rejection(as_json({k: v for k, v in fields().items() if k != missing}))
    assert rejected.reason is Reason.SCHEMA
    assert f"`{missing}`" in rejected.sentence


def test_a_value_over_the_limit_is_too_large_whatever_it_holds() -> None:
    padded = as_json(fields()).ljust(MAX_VALUE_BYTES)
    assert decode(padded) == stated()
    rejected = rejection(padded + b" ")
    assert rejected.reason is Reason.TOO_LARGE
    assert str(MAX_VALUE_BYTES) in rejected.sentence
    assert rejection(b"\xff" * (MAX_VALUE_BYTES + 1)).reason is Reason.TOO_LARGE


def test_an_event_with_the_most_names_is_accepted() -> None:
    names = tuple(f"Bản {n}" for n in range(MAX_NAMES))
    event = decode(as_json(fields(uncovered=names)))
    assert isinstance(event, Stated)
    assert event.data.uncovered == names


def test_unknown_fields_are_ignored() -> None:
    plain = fields(colour="xanh", nested={"deep": [1, {"a": None}]})
    assert decode(as_json({**plain, "traceparent": "00-ab-cd-01", "subject": "02275", "big": 10**400})) == stated()


BINARY_HEADERS: list[tuple[str, bytes | None]] = [
    ("ce_specversion", b"1.0"),
    ("ce_id", b"post-office/02275/postal.staffed_point"),
    ("ce_source", b"post-office"),
    ("ce_type", b"vn.phusong.coverage.stated.v1"),
    ("ce_time", b"2023-07-05T09:00:00+07:00"),
    ("content-type", b"application/json"),
]


def test_structured_and_binary_mode_give_the_same_event() -> None:
    assert decode(as_json(fields()["data"]), BINARY_HEADERS) == decode(as_json(fields())) == stated()


def test_binary_mode_gives_withdrawals_too() -> None:
    value = as_json({"commune": "02275", "indicator": "postal.staffed_point", "observed_at": "2023-06-30T00:00:00+07:00"})
    headers = [*BINARY_HEADERS[:3], ("ce_type", b"vn.phusong.coverage.withdrawn.v1"), *BINARY_HEADERS[4:]]
    assert decode(value, headers) == withdrawn(time="2023-07-05T09:00:00+07:00", event_id="post-office/02275/postal.staffed_point")


def test_header_names_compare_without_case_and_a_missing_content_type_means_json() -> None:
    headers = [(name.upper(), raw) for name, raw in BINARY_HEADERS[:-1]]
    assert decode(as_json(fields()["data"]), headers) == stated()


def test_text_in_the_headers_of_binary_mode_becomes_nfc_too() -> None:
    headers = [*BINARY_HEADERS[:1], ("ce_id", "Sơn Phú".encode()), *BINARY_HEADERS[2:]]
    decomposed = [(name, unicodedata.normalize("NFD", raw.decode()).encode() if raw else raw) for name, raw in headers]
    assert decomposed != headers
    assert decode(as_json(fields()["data"]), decomposed).id == "Sơn Phú"


def test_a_structured_value_wins_over_ce_headers() -> None:
    headers: list[tuple[str, bytes | None]] = [(name, b"other") for name, _ in BINARY_HEADERS]
    assert decode(as_json(fields()), headers) == stated()


@pytest.mark.parametrize(
    ("name", "raw", "reason"),
    [
        ("ce_specversion", b"0.3", Reason.NOT_CLOUDEVENT),
        ("ce_specversion", None, Reason.NOT_CLOUDEVENT),
        ("ce_id", None, Reason.NOT_CLOUDEVENT),
        ("ce_source", b"\xff", Reason.NOT_CLOUDEVENT),
        ("content-type", b"application/avro", Reason.NOT_CLOUDEVENT),
        ("content-type", b"text/json", Reason.NOT_CLOUDEVENT),
        ("ce_type", b"com.example.other", Reason.UNKNOWN_TYPE),
        ("ce_time", b"yesterday", Reason.SCHEMA),
        ("ce_time", None, Reason.SCHEMA),
    ],
)
def test_broken_headers_of_binary_mode_are_told_apart(name: str, raw: bytes | None, reason: Reason) -> None:
    headers = [(found, raw if found == name else held) for found, held in BINARY_HEADERS]
    assert rejection(as_json(fields()["data"]), headers).reason is reason


@pytest.mark.parametrize("content_type", [b"application/json; charset=utf-8", b"Application/JSON", b"application/vnd.phusong+json"])
def test_every_json_content_type_is_accepted(content_type: bytes) -> None:
    event = decode(as_json(fields()["data"]), [*BINARY_HEADERS[:-1], ("content-type", content_type)])
    assert event.data == stated().data


NFC_NAME = "Bản Lãm"
NFD_NAME = unicodedata.normalize("NFD", NFC_NAME)


@pytest.mark.parametrize("ensure_ascii", [False, True], ids=["as UTF-8", "as \\u escapes"])
def test_text_becomes_nfc_however_it_was_written(ensure_ascii: bool) -> None:
    assert NFD_NAME != NFC_NAME
    plain = {**fields(uncovered=[NFD_NAME], operator=NFD_NAME), "id": NFD_NAME, "source": NFD_NAME}
    event = decode(json.dumps(plain, ensure_ascii=ensure_ascii).encode())
    assert isinstance(event, Stated)
    assert (event.id, event.source, event.data.operator, event.data.uncovered) == (NFC_NAME, NFC_NAME, NFC_NAME, (NFC_NAME,))


def test_what_is_written_is_in_nfc() -> None:
    assert NFC_NAME.encode() in encode(stated(uncovered=(NFD_NAME,)))
    assert NFD_NAME.encode() not in encode(stated(uncovered=(NFD_NAME,)))


@pytest.mark.parametrize("escaped", ["\n", "\t", "\r", "\b", "\f", "\x1f"])
def test_a_combining_mark_after_a_control_character_survives(escaped: str) -> None:
    """In the JSON text the letter of the escape stands before the mark and would combine with it."""
    event = stated(uncovered=(f"Bản{escaped}\u0303\u0307\u0308",))
    assert decode(encode(event)) == event
    assert decode(as_json(fields(uncovered=event.data.uncovered))) == event


def test_a_name_that_grows_too_long_in_nfc_is_a_schema_error() -> None:
    rejected = rejection(as_json(fields(uncovered=["\u0958" * 200])))
    assert rejected.reason is Reason.SCHEMA
    assert "NFC" in rejected.sentence


def test_a_moment_keeps_its_instant_whatever_its_offset() -> None:
    event = decode(as_json(fields(observed_at="2023-06-29T17:00:00Z")))
    assert event.data.observed_at == instant("2023-06-30")


def test_withdrawn_and_stated_are_told_apart_by_type() -> None:
    assert isinstance(decode(encode(withdrawn())), Withdrawn)
    assert isinstance(decode(encode(stated())), Stated)
