"""The gateway on a real Kafka: what each request is answered, and that what was answered 202 is there, once."""

from __future__ import annotations

import fcntl
import json
import re
import select
import socket
import struct
import termios
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from prometheus_client.parser import text_string_to_metric_families

import producers.gateway.app
import producers.gateway.server
from access.keys import FORM, revoke_key
from ops.local_kafka import LocalKafka
from phusong.events import MAX_NAMES, Event, encode
from producers.gateway.http_events import EVENTS_MAX
from tests.gateways import BATCH, Door, Served, admitted, batch, events_in, problem
from tests.kafka import fresh_name, wait_until
from tests.worlds import MOBILE, POSTAL, challenged, instant, promised, stated, withdrawn

pytestmark = pytest.mark.kafka

BINARY = "application/json"


class House(NamedTuple):
    """What the tests of this module share: a gateway, its door, and the keys of the reporters."""

    door: Door
    served: Served
    keys: dict[str, str]

    def post(
        self, body: bytes, reporter: str = "post-office", content_type: str = "application/cloudevents+json", **more: str
    ) -> httpx.Response:
        """With that reporter's key."""
        return self.served.post(body, self.keys[reporter], content_type, **more)


@pytest.fixture(scope="module")
def house(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One gateway for the whole module: fresh ids in each test."""
    door = Door(kafka, tmp_path_factory.mktemp("gateway"))
    keys = {name: door.key(name) for name in ("post-office", "operator-a", "operator-b", "department")}
    keys["postal-only"] = door.key("department", POSTAL)
    with door.open() as served:
        yield House(door, served, keys)


def of_sdk(event: Event) -> CloudEvent:
    """The same event as the CloudEvents SDK has it."""
    plain = json.loads(encode(event))
    data = plain.pop("data")
    return CloudEvent({**plain, "time": instant(plain["time"])}, data)


def the_one(house: House, prefix: str) -> Event:
    """The only event in Kafka whose id begins so, admitted as a worker admits it."""
    ((_, record),) = events_in(house.door.servers, prefix)
    return admitted(house.door.rules, record)


# what is taken


def test_an_event_of_the_sdk_in_structured_mode_is_in_kafka_when_it_is_answered_202(house: House) -> None:
    event = stated(event_id=fresh_name("sdk"), uncovered=("Bản Lãm",), covered=0)
    message = to_structured_event(of_sdk(event))
    response = house.post(message.body, **{name.replace("-", "_"): value for name, value in message.headers.items()})
    assert (response.status_code, response.json()) == (202, {"accepted": 1})
    assert the_one(house, event.id) == event


def test_an_event_of_the_sdk_in_binary_mode_keeps_its_percent_encoded_attributes(house: House) -> None:
    event = stated(event_id=f'{fresh_name("sdk")}/thôn 100% "Bản Lãm"')
    message = to_binary_event(of_sdk(event))
    assert "%" in message.headers["ce-id"]
    response = house.post(message.body, **{name.replace("-", "_"): value for name, value in message.headers.items()})
    assert response.status_code == 202, response.text
    assert the_one(house, event.id) == event


def test_a_batch_of_the_sdk_is_answered_202_for_all_of_it(house: House) -> None:
    run = fresh_name("sdk")
    events = [stated(commune, event_id=f"{run}/{commune}") for commune in ("02263", "02275", "00688", "01273")]
    response = house.post(batch(*(JSONFormat().write(of_sdk(event)) for event in events)), content_type=BATCH)
    assert (response.status_code, response.json()) == (202, {"accepted": 4})
    assert sorted(event.id for event, _ in events_in(house.door.servers, run)) == sorted(event.id for event in events)


def test_every_type_of_event_is_taken_and_travels_as_its_reader_expects(house: House) -> None:
    run = fresh_name("types")
    by = {
        "post-office": [stated(event_id=f"{run}/1"), withdrawn(event_id=f"{run}/2"), promised(event_id=f"{run}/3")],
        "department": [challenged(event_id=f"{run}/4")],
        "operator-a": [stated("00688", MOBILE, 3, 4, source="operator-a", event_id=f"{run}/5")],
    }
    for reporter, events in by.items():
        assert house.post(batch(*map(encode, events)), reporter, BATCH).status_code == 202
    found = [admitted(house.door.rules, record) for _, record in events_in(house.door.servers, run)]
    assert sorted(found, key=lambda event: event.id) == [
        *by["post-office"],
        *by["department"],
        *by["operator-a"],
    ]


def test_an_empty_batch_is_taken(house: House) -> None:
    response = house.post(b"[]", content_type=BATCH)
    assert (response.status_code, response.json()) == (202, {"accepted": 0})


def test_the_largest_batch_is_taken(house: House) -> None:
    run = fresh_name("large")
    events = [encode(stated(event_id=f"{run}/{number}")) for number in range(EVENTS_MAX)]
    assert house.post(batch(*events), content_type=BATCH).json() == {"accepted": EVENTS_MAX}
    assert len(events_in(house.door.servers, run)) == EVENTS_MAX


# idempotence


def test_the_same_event_again_is_202_again_and_one_record(house: House) -> None:
    event = encode(stated(event_id=fresh_name("again")))
    again = json.dumps(json.loads(event), indent=2).encode()
    assert [house.post(body).status_code for body in (event, event, again)] == [202, 202, 202]
    assert house.post(batch(event, event), content_type=BATCH).json() == {"accepted": 2}
    the_one(house, json.loads(event)["id"])


def test_the_same_event_at_the_same_time_is_one_record(house: House) -> None:
    event = encode(stated(event_id=fresh_name("race")))
    with ThreadPoolExecutor(8) as pool:
        assert {one.status_code for one in pool.map(lambda _: house.post(event), range(32))} == {202}
    the_one(house, json.loads(event)["id"])


def test_other_content_under_a_known_id_is_409_also_within_a_batch(house: House) -> None:
    name, other = fresh_name("conflict"), fresh_name("conflict")
    assert house.post(encode(stated(event_id=name))).status_code == 202
    refused = house.post(encode(stated(event_id=name, expected=2)))
    assert (refused.status_code, problem(refused)["reason"]) == (409, "conflict")
    mixed = house.post(batch(encode(stated(event_id=other)), encode(stated(event_id=other, expected=2))), content_type=BATCH)
    assert mixed.status_code == 207
    assert [one["status"] for one in mixed.json()["results"]] == [202, 409]
    assert len(events_in(house.door.servers, name)) == len(events_in(house.door.servers, other)) == 1


def test_an_id_of_one_source_says_nothing_about_the_same_id_of_another(house: House) -> None:
    name = fresh_name("shared")
    assert house.post(encode(stated(event_id=name))).status_code == 202
    assert house.post(encode(stated(event_id=name, source="department", operator="post-office")), "department").status_code == 202
    assert len(events_in(house.door.servers, name)) == 2


def test_what_was_refused_is_not_remembered(house: House) -> None:
    name = fresh_name("mended")
    assert house.post(encode(stated(event_id=name, commune="99999"))).status_code == 422
    assert house.post(encode(stated(event_id=name))).status_code == 202


# what is refused

GOOD = encode(stated(event_id="good"))
PLAIN = json.loads(GOOD)


def without(name: str) -> bytes:
    return json.dumps({key: value for key, value in PLAIN.items() if key != name}).encode()


def changed(**fields: object) -> bytes:
    return json.dumps({**PLAIN, **fields}).encode()


def about(**fields: object) -> bytes:
    return changed(data={**PLAIN["data"], **fields})


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"", 400, "not_json"),
        (b"{", 400, "not_json"),
        (GOOD + b"x", 400, "not_json"),
        (b'{"a":"\xff"}', 400, "not_json"),
        (b'{"specversion":"1.0","x":"\xff"}', 400, "not_json"),
        (b"[" * 5000, 400, "not_json"),
        (b"null", 400, "not_cloudevent"),
        (batch(GOOD), 400, "not_cloudevent"),
        (without("id"), 400, "not_cloudevent"),
        (changed(specversion="0.3"), 400, "not_cloudevent"),
        (changed(type="com.example"), 422, "unknown_type"),
        (without("time"), 422, "schema"),
        (about(covered="1"), 422, "schema"),
        (about(commune="99999"), 422, "unknown_commune"),
        (about(commune="2275"), 422, "unknown_commune"),
        (about(vintage="1999"), 422, "unknown_vintage"),
        (about(indicator="postal.nothing"), 422, "unknown_indicator"),
        (about(operator="operator-a"), 422, "unknown_operator"),
        (about(covered=2), 422, "counts_out_of_range"),
        (changed(time="2999-01-01T00:00:00Z"), 422, "observed_in_future"),
        (changed(source="operator-a"), 403, "forbidden"),
        (changed(id="x" * 501), 422, "schema"),
        (about(note="x" * 70_000), 413, "too_large"),
        (about(covered=0, uncovered=["x"] * (MAX_NAMES + 1)), 422, "schema"),
    ],
)
def test_a_single_event_that_is_refused_gets_the_readers_reason_and_a_sentence(house: House, body: bytes, status: int, reason: str) -> None:
    response = house.post(body)
    assert (response.status_code, problem(response)["reason"]) == (status, reason)
    assert response.headers["x-request-id"] == problem(response)["request"]


def test_a_mixed_batch_is_207_with_a_result_for_each_in_order(house: House) -> None:
    name = fresh_name("mixed")
    bodies = (
        encode(stated(event_id=name)),
        encode(stated(event_id="lost", commune="99999")),
        encode(stated(event_id="theirs", source="operator-a")),
        b'{"id":"broken"}',
        b"7",
        about(note="x" * 70_000),
    )
    response = house.post(batch(*bodies), content_type=BATCH)
    assert response.status_code == 207
    found = response.json()
    assert (found["accepted"], found["rejected"]) == (1, 5)
    assert [(one.get("id"), one.get("source"), one["status"], one.get("reason")) for one in found["results"]] == [
        (name, "post-office", 202, None),
        ("lost", "post-office", 422, "unknown_commune"),
        ("theirs", "operator-a", 403, "forbidden"),
        ("broken", None, 422, "not_cloudevent"),
        (None, None, 422, "not_cloudevent"),
        ("good", "post-office", 422, "too_large"),
    ]
    assert all(one.get("detail") for one in found["results"][1:])
    the_one(house, name)


def test_a_batch_of_which_nothing_is_taken_is_422_with_its_results(house: House) -> None:
    bodies = (encode(stated(event_id="lost", commune="99999")), encode(stated(event_id="theirs", source="operator-a")))
    response = house.post(batch(*bodies), content_type=BATCH)
    assert response.status_code == 422
    results = problem(response)["results"]
    assert isinstance(results, list)
    assert [one["status"] for one in results] == [422, 403]


@pytest.mark.parametrize("body", [b"{}", GOOD, b"[", b"", b"[1,]"])
def test_a_batch_that_is_no_array_is_400(house: House, body: bytes) -> None:
    assert problem(house.post(body, content_type=BATCH))["status"] == 400


def test_too_many_events_or_bytes_are_413(house: House) -> None:
    assert problem(house.post(batch(*[b"1"] * (EVENTS_MAX + 1)), content_type=BATCH))["status"] == 413
    large = b" " * (producers.gateway.app.BODY_BYTES_MAX + 1)
    assert problem(house.post(large, content_type=BATCH))["status"] == 413

    def chunks() -> Iterator[bytes]:
        yield from (large[:100_000] for _ in range(12))

    headers = {"content-type": BATCH, "authorization": f"Bearer {house.keys['post-office']}"}
    assert house.served.client.post("/v1/events", content=chunks(), headers=headers).status_code == 413


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/xml", "application/cloudevents+avro", "application/cloudevents+json; charset=utf-16"]
)
def test_another_format_is_415(house: House, content_type: str) -> None:
    assert problem(house.post(GOOD, content_type=content_type))["status"] == 415


def test_a_content_encoding_is_415(house: House) -> None:
    assert problem(house.post(GOOD, content_encoding="gzip"))["status"] == 415


def test_a_charset_that_is_utf_8_is_taken(house: House) -> None:
    body = encode(stated(event_id=fresh_name("charset")))
    assert house.post(body, content_type='Application/CloudEvents+JSON; Charset="UTF-8"').status_code == 202


def test_plain_json_without_ce_headers_is_400_even_if_it_is_an_event(house: House) -> None:
    assert problem(house.post(GOOD, content_type=BINARY))["reason"] == "not_cloudevent"


def test_a_header_that_came_twice_is_400(house: House) -> None:
    headers = [
        ("content-type", "application/cloudevents+json"),
        ("authorization", f"Bearer {house.keys['post-office']}"),
        ("ce-id", "a"),
        ("ce-id", "b"),
    ]
    assert problem(house.served.client.post("/v1/events", content=GOOD, headers=headers))["status"] == 400


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_another_method_is_405_and_says_which(house: House, method: str) -> None:
    response = house.served.client.request(method, "/v1/events")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    problem(response)


def test_another_path_is_404_and_another_method_there_405_as_problem_details(house: House) -> None:
    assert problem(house.served.client.get("/v1/nothing"))["status"] == 404
    response = house.served.client.post("/readyz")
    assert problem(response)["status"] == 405
    assert response.headers["allow"] == "GET, OPTIONS"


# keys


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer x", "Basic cGh1OnNvbmc=", "Bearer phs_00000000_" + "A" * 43, "Bearer \u00e9"]
)
def test_without_a_key_that_holds_it_is_401_with_a_challenge(house: House, authorization: str | None) -> None:
    headers = [(b"content-type", b"application/cloudevents+json")]
    if authorization is not None:
        headers.append((b"authorization", authorization.encode("latin-1")))
    response = house.served.client.post("/v1/events", content=GOOD, headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")
    problem(response)


def test_a_key_with_one_character_changed_is_401(house: House) -> None:
    key = house.keys["post-office"]
    assert house.served.post(GOOD, key[:-5] + ("A" if key[-5] != "A" else "B") + key[-4:]).status_code == 401


def test_a_key_speaks_about_its_indicators_alone(house: House) -> None:
    name = fresh_name("indicators")
    said = {"source": "department", "event_id": name}
    assert house.post(encode(stated(operator="post-office", **said)), "postal-only").status_code == 202
    refused = house.post(encode(stated(indicator=MOBILE, operator="operator-b", **said)), "postal-only")
    assert (refused.status_code, problem(refused)["reason"]) == (403, "forbidden")


def test_a_new_key_and_a_revoked_one_are_noticed_without_a_restart(house: House) -> None:
    event = encode(stated(event_id=fresh_name("noticed")))
    key = house.door.key("post-office")
    wait_until(lambda: house.served.post(event, key).status_code == 202, 10, "the new key holds")
    found = FORM.fullmatch(key)
    assert found
    revoke_key(house.door.keyfile, key.split("_")[1], instant("2026-01-01"))
    wait_until(lambda: house.served.post(event, key).status_code == 401, 10, "the key no longer holds")


def test_too_many_failures_of_one_address_are_429_and_do_not_shut_out_who_has_a_key(kafka: str, tmp_path: Path) -> None:
    door = Door(kafka, tmp_path)
    key = door.key("post-office")
    with door.open() as served:
        answers = [served.post(GOOD, "wrong") for _ in range(40)]
        assert {one.status_code for one in answers} == {401, 429}
        refused = next(one for one in answers if one.status_code == 429)
        assert int(refused.headers["retry-after"]) >= 1
        assert served.post(encode(stated(event_id=fresh_name("let-in"))), key).status_code == 202


def test_more_events_than_a_key_may_send_are_429_and_other_keys_go_on(kafka: str, tmp_path: Path) -> None:
    door = Door(kafka, tmp_path, gateway_rate=1, gateway_burst=1000)
    one, other = door.key("post-office"), door.key("operator-a")
    run = fresh_name("rate")
    with door.open() as served:
        events = [encode(stated(event_id=f"{run}/{number}")) for number in range(1000)]
        assert served.post(batch(*events[:990]), one, BATCH).status_code == 202
        refused = served.post(batch(*events[900:]), one, BATCH)
        assert (refused.status_code, problem(refused)["status"]) == (429, 429)
        assert 1 <= int(refused.headers["retry-after"]) <= 100
        assert served.post(batch(*[b"1"] * 500), other, BATCH).status_code == 422


def test_a_key_file_that_others_can_read_lets_nobody_in(kafka: str, tmp_path: Path) -> None:
    door = Door(kafka, tmp_path)
    key = door.key("post-office")
    event = encode(stated(event_id=fresh_name("open-file")))
    with door.open() as served:
        assert served.post(event, key).status_code == 202
        door.keyfile.chmod(0o640)
        wait_until(lambda: served.post(event, key).status_code in (401, 429), 10, "nobody is let in")
        assert served.client.get("/readyz").status_code == 503
        door.keyfile.chmod(0o600)
        wait_until(lambda: served.post(event, key).status_code == 202, 10, "the key holds again")


# bounds of a connection


def raw(served: Served, data: bytes, more: bytes = b"") -> bytes:
    """What is answered on a connection of its own to these bytes, until it is closed."""
    host, port = served.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 20) as connection:
        connection.sendall(data)
        # what it no longer wants to read is its right
        with suppress(ConnectionError):
            connection.sendall(more)
        answer = b""
        # closed with bytes unread: the answer stands before the reset
        with suppress(ConnectionError):
            while part := connection.recv(65536):
                answer += part
        return answer


def test_headers_beyond_the_bound_are_431(house: House) -> None:
    for header in (b"x: " + b"y" * 20_000, b"\r\n".join(b"x%d: y" % number for number in range(3000))):
        answer = raw(house.served, b"POST /v1/events HTTP/1.1\r\nhost: x\r\n" + header + b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 431 "), answer
        assert b"application/problem+json" in answer
    assert raw(house.served, b"GET /" + b"x" * 20_000).startswith(b"HTTP/1.1 431 ")


def test_what_is_no_http_is_400(house: House) -> None:
    answer = raw(house.served, b"hello\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in answer


def test_a_request_that_does_not_come_whole_is_408(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producers.gateway.server, "REQUEST_SECONDS_MAX", 0.3)
    head = b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/cloudevents+json\r\n"
    key = b"authorization: Bearer " + house.keys["post-office"].encode() + b"\r\n"
    for data in (b"", b"POST /v1/ev", head, head + key + b"content-length: 9\r\n\r\n{"):
        assert raw(house.served, data).startswith(b"HTTP/1.1 408 "), data


def test_what_was_answered_before_it_came_whole_is_not_answered_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producers.gateway.server, "REQUEST_SECONDS_MAX", 0.3)
    for rest in (b"content-length: 9\r\n\r\n{", b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n"):
        answer = raw(house.served, b"POST /v1/events HTTP/1.1\r\nhost: x\r\n" + rest)
        assert re.findall(rb"HTTP/1.1 (\d+) ", answer) == [b"401"]


def test_connections_beyond_the_bound_are_503(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producers.gateway.server, "CONNECTIONS_MAX", 0)
    answer = raw(house.served, b"")
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after" in answer


def test_beyond_the_bound_whoever_sends_no_head_makes_room_for_whoever_does(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    host, port = house.served.url.removeprefix("http://").split(":")
    assert house.served.client.get("/readyz").status_code == 200  # a connection that is kept
    with ExitStack() as stack:
        monkeypatch.setattr(producers.gateway.server, "CONNECTIONS_MAX", 4)
        dripping = [stack.enter_context(socket.create_connection((host, int(port)), 20)) for _ in range(12)]
        for one in dripping:
            with suppress(ConnectionError):
                one.sendall(b"POST /v1/events HTTP/1.1\r\n")
        assert httpx.get(f"{house.served.url}/readyz").status_code == 200
        assert house.served.client.get("/readyz").status_code == 200
        assert dripping[0].recv(12) == b"HTTP/1.1 503"


def test_a_pipelined_pair_is_answered_in_order(house: House) -> None:
    key = house.keys["post-office"].encode()

    def one(body: bytes, more: bytes = b"") -> bytes:
        head = b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/cloudevents+json\r\nauthorization: Bearer " + key
        return head + b"\r\ncontent-length: %d\r\n%b\r\n%b" % (len(body), more, body)

    answer = raw(house.served, one(encode(stated(event_id=fresh_name("pipe")))) + one(b"{", b"connection: close\r\n"))
    assert re.findall(rb"HTTP/1.1 (\d+) ", answer) == [b"202", b"400"]


UPGRADE = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n"
CHUNKED = b"POST /v1/events HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n"


def test_an_offer_to_speak_http_2_is_passed_over_however_the_request_is_cut(house: House) -> None:
    """Java's own client makes it with every first request."""
    key = house.keys["post-office"].encode()
    host, port = house.served.url.removeprefix("http://").split(":")
    for cut in (0, 1, 40, -40, -1):
        body = encode(stated(event_id=fresh_name("h2c")))
        head = b"POST /v1/events HTTP/1.1\r\nhost: x\r\n" + UPGRADE + b"content-type: application/cloudevents+json\r\n"
        whole = head + b"authorization: Bearer %b\r\ncontent-length: %d\r\n\r\n%b" % (key, len(body), body)
        after = b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close, upgrade\r\nupgrade: websocket\r\n\r\n"
        with socket.create_connection((host, int(port)), 20) as connection:
            for part in (whole[:cut], whole[cut:] + after):
                connection.sendall(part)
                wait_until(lambda: not _unsent(connection), 5, "it is sent by itself")
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert re.findall(rb"HTTP/1.1 (\d+) ", answer) == [b"202", b"200"], answer


def _unsent(connection: socket.socket) -> int:
    return struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0\0\0\0"))[0]


@pytest.mark.parametrize("more", [b"".join(b"x%d: y\r\n" % number for number in range(100_000)), b"x: " + b"y" * 1_000_000])
def test_what_follows_the_last_chunk_is_bounded(house: House, more: bytes) -> None:
    before = house.served.log.count('"status":413')
    key = house.keys["post-office"].encode()
    head = CHUNKED + b"content-type: application/cloudevents+json\r\nauthorization: Bearer %b\r\n\r\n0\r\n" % key
    assert re.findall(rb"HTTP/1.1 (\d+) ", raw(house.served, head, more)) in ([], [b"413"])
    wait_until(lambda: house.served.log.count('"status":413') > before, 5, "it is refused")


def test_what_follows_the_last_chunk_is_no_header(house: House) -> None:
    body = encode(stated(event_id=fresh_name("trailer")))
    key = b"authorization: Bearer " + house.keys["post-office"].encode() + b"\r\n"
    chunk = b"%x\r\n%b\r\n0\r\n" % (len(body), body)
    head = CHUNKED + b"content-type: application/cloudevents+json\r\nconnection: close\r\n"
    assert raw(house.served, head + b"\r\n" + chunk + key + b"\r\n").startswith(b"HTTP/1.1 401 ")
    assert raw(house.served, head + key + b"\r\n" + chunk + b"content-encoding: gzip\r\n\r\n").startswith(b"HTTP/1.1 202 ")


def test_requests_that_wait_on_one_connection_are_bounded(house: House) -> None:
    answer = raw(house.served, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 5_000)
    assert b"HTTP/1.1 429 " in answer
    assert b"retry-after" in answer
    assert answer.count(b"HTTP/1.1 ") < 50


def test_whoever_does_not_read_the_answers_loses_the_connection(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(producers.gateway.server, "TAKEN_SECONDS_MAX", 0.3)
    host, port = house.served.url.removeprefix("http://").split(":")
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.connect((host, int(port)))
        connection.setblocking(False)
        wait_until(lambda: _is_ended(connection), 20, "the gateway ends the connection")
    assert caplog.text == ""


def _is_ended(connection: socket.socket) -> bool:
    """If not, a few more requests are sent, once the last ones were read."""
    asked = select.poll()
    asked.register(connection, 0)
    if asked.poll(0):
        return True
    with suppress(ConnectionError, BlockingIOError):
        if not _unsent(connection):
            connection.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 8)
    return False


# what is said beside the answer


def test_a_request_id_is_returned_and_logged_and_one_of_another_form_replaced(house: House) -> None:
    mine = fresh_name("request")
    assert house.post(GOOD, x_request_id=mine).headers["x-request-id"] == mine
    for other in ("x" * 65, "a b", "<script>", house.keys["post-office"]):
        made = house.post(GOOD, x_request_id=other).headers["x-request-id"]
        assert made not in ("", other)
    assert house.served.client.get("/readyz", headers={"x-request-id": mine}).headers["x-request-id"] == mine
    wait_until(lambda: house.served.log.count(f'"request":"{mine}"') == 2, 5, "both are logged")


def test_the_log_has_one_json_line_for_each_request_and_no_secret(house: House) -> None:
    mine, key = fresh_name("logged"), house.keys["post-office"]
    body = encode(stated(event_id=fresh_name("secret")))
    house.post(body, x_request_id=mine)
    house.served.client.get(f"/{key}?key={key}")
    house.served.post(GOOD, key + "x")
    last = fresh_name("last")
    house.served.client.get("/readyz", headers={"x-request-id": last})
    wait_until(lambda: last in house.served.log, 5, "all are logged")
    lines = [json.loads(line) for line in house.served.log.splitlines()]
    (line,) = [line for line in lines if line["request"] == mine]
    assert set(line) == {"time", "request", "key", "method", "path", "status", "events", "bytes", "ms"}
    expected = {"key": key.split("_")[1], "method": "POST", "path": "/v1/events", "status": 202, "events": 1, "bytes": len(body)}
    assert {name: line[name] for name in expected} == expected
    assert FORM.search(house.served.log) is None
    assert all(key[-20:] not in house.served.log for key in house.keys.values())
    assert "secret-" not in house.served.log


def test_a_path_in_the_log_holds_nothing_that_a_terminal_obeys(house: House) -> None:
    for path in ("/%0a%1b[31m", "/%c2%9b31m", "/%7f", "/%e2%80%ae"):
        house.served.client.get(path)
    last = fresh_name("last")
    house.served.client.get("/readyz", headers={"x-request-id": last})
    wait_until(lambda: last in house.served.log, 5, "all are logged")
    assert "%C2%9B31m" in house.served.log
    assert all(line.isprintable() for line in house.served.log.splitlines())


def test_what_is_counted_is_shown_to_prometheus_and_nothing_that_a_client_sent(house: House) -> None:
    name = fresh_name("counted")
    house.post(encode(stated(event_id=name)))
    house.post(encode(stated(event_id=name)))
    house.post(about(commune="99999"))
    text = house.served.client.get("/metrics").text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    counted = {(s.labels["domain"], s.labels["outcome"], s.labels["reason"]) for s in samples if s.name == "phusong_gateway_events_total"}
    assert {("postal", "accepted", ""), ("postal", "repeated", ""), ("postal", "rejected", "unknown_commune")} <= counted
    value = {s.name: s.value for s in samples if not s.labels}
    assert value["phusong_gateway_kafka_up"] == 1
    assert value["phusong_gateway_keys"] >= 5
    assert value["phusong_gateway_requests_in_flight"] == 1  # this one
    assert value["phusong_gateway_request_seconds_count"] > 0
    assert name not in text


def test_the_page_and_the_document_need_nothing_from_elsewhere(house: House) -> None:
    page = house.served.client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert not re.search(r"<script|<link|<img|src=|https?://", page.text)
    for status in ("202", "207", "409", "429", "503"):
        assert f"<td>{status}<td>" in page.text
    document = house.served.client.get("/v1/schema/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    post = document["paths"]["/v1/events"]["post"]
    assert set(post["requestBody"]["content"]) == {"application/cloudevents+json", BATCH, BINARY}
    assert page.headers["x-content-type-options"] == "nosniff"


def test_input_is_not_echoed_as_markup(house: House) -> None:
    response = house.post(about(commune="<script>alert(1)</script>"[:16]))
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-content-type-options"] == "nosniff"


# while Kafka is away


def test_while_kafka_is_away_it_is_503_with_retry_after_and_afterwards_202(
    own_kafka: LocalKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producers.gateway.app, "ACKNOWLEDGE_SECONDS_MAX", 1.0)
    door = Door(own_kafka.bootstrap_servers, tmp_path)
    key = door.key("post-office")
    event = encode(stated(event_id="through-it-all"))
    with door.open() as served:
        assert served.client.get("/readyz").status_code == 200
        own_kafka.kill()
        # not in time at first, then at once, without being queued
        first = served.post(event, key)
        assert (first.status_code, problem(first)["status"]) == (503, 503)
        assert int(first.headers["retry-after"]) >= 1
        wait_until(lambda: served.client.get("/readyz").status_code == 503, 20, "it knows that Kafka is away")
        assert served.client.get("/healthz").status_code == 200
        assert served.post(encode(stated(event_id="refused")), key).status_code == 503
        own_kafka.start()
        wait_until(lambda: served.post(event, key).status_code == 202, 60, "Kafka is back")
        assert served.client.get("/readyz").status_code == 200
    assert {event.id for event, _ in events_in(own_kafka.bootstrap_servers)} == {"through-it-all"}
