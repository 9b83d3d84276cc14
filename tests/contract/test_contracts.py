"""docs/contract/: the documents for machines say what the program does, no less, and no more than a schema can."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from hypothesis import given

from ops import contracts, examples
from ops.asyncapi import document
from phusong import rows
from phusong.acknowledgements import decode_acknowledged
from phusong.admission import Admission
from phusong.assessment import assess
from phusong.events import MAX_NAMES, Event, Reason, Rejected, decode, encode
from phusong.rows import CommuneRow, ProvinceRow, decode_commune, decode_province, decode_verdict, decode_version
from phusong.settings import SEEDS, read_rules
from phusong.topics import MAX_VALUE_BYTES, SOURCES, TOPICS
from tests import worlds
from tests.models import model
from tests.strategies import any_events, events
from tests.worlds import instant, stated

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.json"))
NOW_MS = int(instant("2023-07-20").timestamp() * 1000)

Plain = dict[str, Any]


def _validator(name: str) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(json.loads((contracts.HERE / name).read_text()), validate_formats=False)


EVENT = _validator("event.schema.json")
ASYNCAPI: Plain = json.loads((contracts.HERE / "asyncapi.json").read_text())


def test_the_committed_documents_are_what_the_program_writes() -> None:
    assert contracts.drift() == []


def test_drift_names_what_is_missing_differs_and_is_left_over(tmp_path: Path) -> None:
    for name, text in contracts.rendered().items():
        (tmp_path / name).write_text(text)
    assert contracts.drift(tmp_path) == []
    (tmp_path / "asyncapi.json").unlink()
    (tmp_path / "event.schema.json").write_text("{}")
    (tmp_path / "old.schema.json").write_text("{}")
    told = [line.removeprefix(f"{tmp_path}/") for line in contracts.drift(tmp_path)]
    assert told == ["asyncapi.json: is missing", "event.schema.json: differs", "old.schema.json: is left over"]


@pytest.mark.parametrize("path", sorted(contracts.HERE.glob("*.schema.json")), ids=lambda path: path.name)
def test_each_schema_is_a_json_schema_of_2020_12(path: Path) -> None:
    schema = json.loads(path.read_text())
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert jsonschema_rs.meta.is_valid(schema)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_every_golden_file_is_valid(path: Path) -> None:
    own = {"verdict": "verdict.schema.json", "acknowledged": "acknowledgement.schema.json"}.get(path.name.partition("-")[0])
    schema = EVENT if own is None else _validator(own)
    schema.validate(json.loads(path.read_bytes()))


@given(events(model()))
def test_whatever_is_admitted_is_valid(event: Event) -> None:
    EVENT.validate(json.loads(encode(event)))


@given(any_events())
def test_what_is_not_valid_does_not_count(event: Event) -> None:
    if not EVENT.is_valid(json.loads(encode(event))):
        with pytest.raises(Rejected):
            Admission(worlds.world()).outgoing(event, NOW_MS)


def _golden(name: str) -> Plain:
    plain: Plain = json.loads((Path(__file__).parent / f"golden/{name}.json").read_bytes())
    return plain


EVERY_FIELD = [_golden(f"{kind}-v1-every-field") for kind in ("stated", "withdrawn", "promised", "challenged")]
WRONG: list[Any] = [None, True, 1, -1, 1.5, 10**10, "", "x", "x" * 3000, [], [""], [1], ["x"] * (MAX_NAMES + 1), ["x" * 201], {}]
WRONG += ["2023-06-30", "2023-06-30T00:00:00", "2023-06-30T00:00:00+07:00"]


BY_SCHEMA = {Reason.NOT_CLOUDEVENT, Reason.UNKNOWN_TYPE, Reason.SCHEMA, Reason.COUNTS_OUT_OF_RANGE}
"""Reasons for which nobody must look into the register."""


def _mutated() -> Iterator[tuple[str, str, Plain]]:
    """(field, change, event): every event with every field left out, and with every wrong value in it."""
    for plain in EVERY_FIELD:
        for inside in (plain, plain["data"]):
            for name in inside:
                changes: list[tuple[str, Plain]] = [("left out", {}), *((repr(value), {name: value}) for value in WRONG)]
                for label, change in changes:
                    changed = {key: value for key, value in inside.items() if key != name} | change
                    yield name, label, changed if inside is plain else {**plain, "data": changed}


def _reason(plain: Plain) -> Reason | None:
    try:
        event = decode(msgspec.json.encode(plain))
        Admission(worlds.world()).outgoing(event, NOW_MS)
    except Rejected as error:
        return error.reason
    return None


def test_of_each_field_alone_the_schema_and_the_reader_say_the_same() -> None:
    differ = set()
    for field, change, plain in _mutated():
        reason, valid = _reason(plain), EVENT.is_valid(plain)
        if valid if reason in BY_SCHEMA else reason is None and not valid:
            differ.add((field, change))
    # only beside observed_at these are wrong
    assert differ == {(field, repr(plain["data"]["observed_at"])) for field in ("until", "by", "deadline") for plain in EVERY_FIELD[2:]}


CANNOT_BE_SAID: dict[str, Plain | str] = {
    "covered is at most expected": {"data": {"covered": 2, "expected": 1}},
    "until lies after observed_at, at most one period later": {"data": {"until": "2023-06-29T00:00:00+07:00"}},
    "a day of the calendar": {"data": {"observed_at": "2023-02-30T00:00:00+07:00"}},
    "dates lie at most a day ahead": {"time": "2033-01-01T00:00:00+07:00"},
    "the commune is in the list in force then": {"data": {"commune": "99999"}},
    "the indicator is in the catalogue": {"data": {"indicator": "postal.pigeons"}},
    "the reporter is known, and speaks for the operator": {"source": "nobody"},
    "a name holds a letter": {"data": {"method": "measured", "measured": [" "]}},
    "a name is at most 200 characters in NFC": {"data": {"uncovered": ["\U0001d160" * 100]}},
    "a value has at most 65,536 bytes": {"data": {"uncovered": ["ệ" * 150] * 200}},
    "a whole number is written without a point": '"covered":1.0',
}
"""Rules that a schema has no words for (docs/contract/README.md lists them): a change of a good event that only the reader refuses."""


@pytest.mark.parametrize("rule", CANNOT_BE_SAID)
def test_what_a_schema_cannot_say_is_refused_by_the_reader_alone(rule: str) -> None:
    good: Plain = json.loads(encode(stated()))
    change = CANNOT_BE_SAID[rule]
    if isinstance(change, str):
        value = encode(stated()).replace(b'"covered":1', change.encode())
    else:
        value = msgspec.json.encode({**good, **change, "data": {**good["data"], **change.get("data", {})}})
    assert value != encode(stated())
    EVENT.validate(json.loads(value))
    with pytest.raises(Rejected):
        Admission(worlds.world()).outgoing(decode(value), NOW_MS)


def test_the_readme_lists_what_a_schema_cannot_say() -> None:
    text = (contracts.HERE / "README.md").read_text()
    assert [rule for rule in CANNOT_BE_SAID if rule not in text] == []
    assert f"{MAX_VALUE_BYTES:,}" in text


def test_published_rows_and_verdicts_are_valid() -> None:
    schemas = {CommuneRow: _validator("commune-row.schema.json"), ProvinceRow: _validator("province-row.schema.json")}
    said = [stated(covered=0), stated("02284", observed_at="2023-05-31")]
    found = assess(worlds.world(), "08", worlds.cells_of(worlds.world(), said), instant("2023-07-20"), {})
    published = [row for rows_of_one in found for row in rows_of_one.values()]
    assert {type(row) for row in published} == set(schemas)
    for row in published:
        schemas[type(row)].validate(json.loads(rows.encode(row)))
    _validator("version.schema.json").validate(json.loads(rows.encode(examples.VERSION)))
    _validator("verdict.schema.json").validate(json.loads(rows.encode(examples.VERDICT)))


# AsyncAPI


def _at(reference: str) -> Any:
    found: Any = ASYNCAPI
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def _references(plain: Any) -> Iterator[str]:
    if isinstance(plain, dict):
        if "$ref" in plain:
            yield plain["$ref"]
        for value in plain.values():
            yield from _references(value)
    elif isinstance(plain, list):
        for value in plain:
            yield from _references(value)


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    for reference in set(_references(ASYNCAPI)):
        assert _at(reference) is not None


def test_every_topic_is_a_channel_as_the_table_has_it() -> None:
    bindings = {one["address"]: one["bindings"]["kafka"] for one in ASYNCAPI["channels"].values()}
    assert bindings.keys() == {topic.name for topic in TOPICS}
    for topic in TOPICS:
        found = bindings[topic.name]
        assert (found["topic"], found["partitions"], found["bindingVersion"]) == (topic.name, topic.partitions, "0.5.0")
        said = {name: ",".join(value) if isinstance(value, list) else str(value) for name, value in found["topicConfiguration"].items()}
        assert said == topic.config


def test_every_channel_with_messages_is_sent_to_and_received_from() -> None:
    used = {(one["channel"]["$ref"].rpartition("/")[2], one["action"]) for one in ASYNCAPI["operations"].values()}
    for name, channel in ASYNCAPI["channels"].items():
        if channel["messages"]:
            assert {(name, "send"), (name, "receive")} <= used
    for operation in ASYNCAPI["operations"].values():
        own = {f"{operation['channel']['$ref']}/messages/{name}" for name in _at(operation["channel"]["$ref"])["messages"]}
        assert {one["$ref"] for one in operation.get("messages", [])} == own


def test_every_type_of_event_has_an_example() -> None:
    assert {type(event) for event in examples.EVENTS} == set(Event.__args__)


@pytest.mark.parametrize("event", examples.EVENTS, ids=lambda event: type(event).__name__)
def test_the_shipped_seeds_admit_each_example(event: Event) -> None:
    Admission(read_rules(SEEDS)).outgoing(event, NOW_MS)


@pytest.mark.parametrize("name", ASYNCAPI["components"]["messages"])
def test_each_example_is_what_its_message_says_and_what_the_program_reads(name: str) -> None:
    message = ASYNCAPI["components"]["messages"][name]
    if name == "deadLetter":
        return
    (example,) = message["examples"]
    for part, schema in (("payload", message["payload"]), ("headers", message.get("headers", {}))):
        root = {"$schema": "http://json-schema.org/draft-07/schema#", "components": ASYNCAPI["components"], "allOf": [schema]}
        jsonschema_rs.Draft7Validator(root).validate(example.get(part, {}))
    value = msgspec.json.encode(example["payload"])
    match name:
        case "communeRow" | "provinceRow":
            read = {"communeRow": decode_commune, "provinceRow": decode_province}[name](value)
            assert read == {"communeRow": examples.COMMUNE, "provinceRow": examples.PROVINCE}[name]
            assert decode_version([(key, text.encode()) for key, text in example["headers"].items()]) == examples.VERSION
        case "verdictChanged":
            assert decode_verdict(value) == examples.VERDICT
        case "acknowledged":
            assert decode_acknowledged(value) == examples.ACKNOWLEDGED
        case _:
            read = decode(value, [(key, text.encode()) for key, text in example["headers"].items()])
            assert read in examples.EVENTS


def test_an_array_of_fixed_length_is_spelt_as_draft_7_does() -> None:
    assert "prefixItems" not in json.dumps(document())
    assert len(SOURCES) * 2 + 11 == len(ASYNCAPI["operations"])
