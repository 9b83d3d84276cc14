"""producers/gateway/http_events.py and producers/gateway/limits.py: from headers and bodies to events, and how much one client may ask."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phusong.events import MAX_VALUE_BYTES, Event, Reason, Rejected, encode
from producers.gateway.http_events import BATCHED, BINARY, EVENTS_MAX, STRUCTURED, Read, Refused, mode_of, read_events
from producers.gateway.limits import Limits
from tests.strategies import any_events
from tests.worlds import stated

EVENT = stated(event_id="e1", covered=0, uncovered=("Bản Lãm",))
PLAIN = json.loads(encode(EVENT))
ATTRIBUTES = {name: value for name, value in PLAIN.items() if name not in ("data", "datacontenttype")}
DATA = json.dumps(PLAIN["data"]).encode()


def one(mode: str, attributes: Mapping[str, str], body: bytes) -> Read:
    (read,) = read_events(mode, attributes, body)
    return read


def rejected(read: Read) -> Rejected:
    assert isinstance(read.outcome, Rejected)
    return read.outcome


def percent_encoded(text: str) -> str:
    """As the HTTP binding has it: printable ASCII but space, quote and percent as it is."""
    return "".join(chr(byte) if 0x21 <= byte <= 0x7E and chr(byte) not in '"%' else f"%{byte:02X}" for byte in text.encode())


@given(any_events())
def test_an_event_is_the_same_in_each_of_the_three_modes(event: Event) -> None:
    value = encode(event)
    plain = json.loads(value)
    attributes = {name: percent_encoded(text) for name, text in plain.items() if name not in ("data", "datacontenttype")}
    assert one(STRUCTURED, {}, value).outcome == event
    assert [read.outcome for read in read_events(BATCHED, {}, b"[" + value + b" , " + value + b"]")] == [event, event]
    binary = one(BINARY, attributes, json.dumps(plain["data"], ensure_ascii=False).encode()).outcome
    assert isinstance(binary, type(event))
    assert (binary.id, binary.source, binary.time, binary.data) == (event.id, event.source, event.time, event.data)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("thôn 100%", "thôn 100%".encode().decode("latin-1").replace("%", "%25")),
        ("a b", "a%20b"),
        ("a b", '"a b"'),
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("a%20b", "a%2520b"),
        ("%zz", "%zz"),
        ('"', '"'),
        ("", '""'),
    ],
)
def test_a_header_is_unquoted_and_percent_decoded_once(header: str, value: str) -> None:
    read = one(BINARY, {**ATTRIBUTES, "id": value}, DATA)
    assert read.id == header


def test_a_header_that_is_no_utf_8_is_400() -> None:
    for value in ("%ff", "\xff"):
        with pytest.raises(Refused) as refused:
            read_events(BINARY, {**ATTRIBUTES, "id": value}, DATA)
        assert (refused.value.status, refused.value.reason) == (400, Reason.NOT_CLOUDEVENT)


def test_the_data_of_a_binary_event_cannot_pass_itself_off_as_an_attribute() -> None:
    for body in (DATA + b',"source":"operator-a"', DATA + b'}{"source":"operator-a"', DATA + b" 1"):
        with pytest.raises(Refused) as refused:
            read_events(BINARY, ATTRIBUTES, body)
        assert refused.value.status == 400
    inner = json.dumps({**PLAIN, "source": "operator-a"}).encode()
    assert rejected(one(BINARY, ATTRIBUTES, inner)).reason is Reason.SCHEMA
    assert one(BINARY, {**ATTRIBUTES, "data": "{}", "datacontenttype": "text/plain"}, DATA).outcome == EVENT


@pytest.mark.parametrize("body", [b"", b"{", b"nul", b"{}x", b"\xff", b'{"a":"\xc3("}', b"[" * 10_000, b"1e999999" * 3])
@pytest.mark.parametrize("mode", [BATCHED, BINARY])
def test_a_body_that_is_no_json_is_400(mode: str, body: bytes) -> None:
    with pytest.raises(Refused) as refused:
        read_events(mode, ATTRIBUTES, body)
    assert (refused.value.status, refused.value.reason) == (400, Reason.NOT_JSON)


def test_utf_8_is_asked_of_fields_that_nobody_reads_too() -> None:
    with pytest.raises(Refused):
        read_events(STRUCTURED, {}, encode(EVENT)[:-1] + b',"x":"\xff"}')


def test_a_batch_is_bounded_and_each_of_its_events_is() -> None:
    value = encode(EVENT)
    assert len(read_events(BATCHED, {}, b"[" + b",".join([value] * EVENTS_MAX) + b"]")) == EVENTS_MAX
    with pytest.raises(Refused) as refused:
        read_events(BATCHED, {}, b"[" + b",".join([b"1"] * (EVENTS_MAX + 1)) + b"]")
    assert refused.value.status == 413
    large = value[:-1] + b',"x":"' + b"y" * MAX_VALUE_BYTES + b'"}'
    small, big = read_events(BATCHED, {}, b"[" + value + b"," + large + b"]")
    assert small.outcome == EVENT
    assert rejected(big).reason is Reason.TOO_LARGE
    assert (big.id, big.source) == (EVENT.id, EVENT.source)


@pytest.mark.parametrize("value", [b"1", b"null", b"[]", b"{}", b'{"id":7,"source":[]}', b'"x"'])
def test_what_is_no_event_has_no_name(value: bytes) -> None:
    read = one(STRUCTURED, {}, value)
    assert (read.id, read.source) == ("", "")
    assert rejected(read).reason is Reason.NOT_CLOUDEVENT


@given(st.binary(max_size=200), st.sampled_from([STRUCTURED, BATCHED, BINARY]), st.dictionaries(st.text(max_size=9), st.text(max_size=9)))
def test_whatever_is_sent_is_read_or_refused(body: bytes, mode: str, attributes: dict[str, str]) -> None:
    latin = {name: value.encode("utf-8", "replace").decode("latin-1") for name, value in attributes.items()}
    status = 0
    try:
        read_events(mode, latin, body)
    except Refused as refused:
        status = refused.status
    assert status in (0, 400, 413)


@pytest.mark.parametrize(
    ("content_type", "mode"),
    [
        (STRUCTURED, STRUCTURED),
        (f"{BATCHED}; charset=utf-8", BATCHED),
        ('APPLICATION/JSON;charset="UTF-8"', BINARY),
        (f" {STRUCTURED} ;x=y", STRUCTURED),
    ],
)
def test_a_content_type_is_known_by_its_type_whatever_its_case_and_parameters(content_type: str, mode: str) -> None:
    assert mode_of(content_type) == mode


@pytest.mark.parametrize("content_type", ["", "json", "text/json", "application/xml", f"{STRUCTURED}x", f"{BINARY}; charset=latin-1"])
def test_another_content_type_is_415(content_type: str) -> None:
    with pytest.raises(Refused) as refused:
        mode_of(content_type)
    assert refused.value.status == 415


# limits


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_is_taken_at_once_and_then_so_many_a_second() -> None:
    clock = Clock()
    limits = Limits(10, 50, 9, clock)
    assert limits.take("a", 50) == 0
    assert limits.take("a", 5) == pytest.approx(0.5)
    clock.now += 0.5
    assert limits.take("a", 5) == 0
    clock.now += 1000
    assert limits.take("a", 50) == 0
    assert limits.take("a", 1) == pytest.approx(0.1)


def test_whoever_must_wait_has_taken_nothing_and_others_do_not_wait() -> None:
    limits = Limits(10, 50, 9, Clock())
    assert limits.take("a", 40) == 0
    assert limits.take("a", 20) == pytest.approx(1.0)
    assert limits.take("a", 10) == 0
    assert limits.take("b", 50) == 0


def test_the_names_are_bounded_and_the_one_that_asked_longest_ago_is_forgotten() -> None:
    limits = Limits(1, 1, 2, Clock())
    assert [limits.take(name, 1) for name in "abac"] == [0, 0, 1, 0]
    # b was forgotten for c, a was not
    assert (limits.take("a", 1), limits.take("b", 1)) == (1, 0)
