"""The AsyncAPI 3 document: every topic, who writes and reads it, and what travels in it.

Comes in: phusong/topics.py, the schemas of ops/json_schemas.py. Goes out: one plain object, with Kafka bindings 0.5.0 and examples that the
shipped seeds admit. Owns no state.
"""

from __future__ import annotations

import json
from typing import Any

from msgspec import Struct

from ops import examples
from ops.json_schemas import Schema, components, tag_of
from phusong.acknowledgements import Acknowledged, encode_acknowledged
from phusong.admission import Admission
from phusong.events import Event, Reason, encode
from phusong.rows import VERSION_HEADER, CommuneRow, ProvinceRow, VerdictEvent
from phusong.rows import encode as encode_row
from phusong.settings import SEEDS, Settings, read_rules
from phusong.topics import (
    ACKNOWLEDGEMENTS,
    COMMUNES,
    DEAD_LETTERS,
    MAX_VALUE_BYTES,
    PROGRESS_GROUP,
    PROVINCES,
    SHARES,
    SOURCES,
    TOPICS,
    VERDICTS,
    Topic,
)

BINDING = {"bindingVersion": "0.5.0"}
STRUCTURED = "application/cloudevents+json"
BINARY = "application/json"
CONTRACT_VERSION = "1.2.0"
"""Grows with every type and field; a change that an older reader could not read would be a `v2` of the types and topics."""

_NUMBERS = frozenset({"retention.ms", "retention.bytes", "delete.retention.ms", "max.message.bytes"})
_CHANNELS = {
    **{
        topic.name: (
            domain,
            f"Sự kiện của mọi đơn vị báo cáo, không bao giờ xóa. Every reporter's {topic.holds}, kept for ever.",
        )
        for domain, topic in SOURCES.items()
    },
    COMMUNES.name: (
        "communes",
        f"Mỗi xã và chỉ tiêu một dòng. A row of each commune and indicator: the greater `{VERSION_HEADER}` counts; null removes it.",
    ),
    PROVINCES.name: (
        "provinces",
        "Tỷ lệ của tỉnh. One ratio of each province and indicator, versioned as the communes' rows.",
    ),
    VERDICTS.name: (
        "verdicts",
        "Lịch sử kết luận so với chỉ tiêu. Changes of verdict; the entries of a key form a chain, each naming the one before.",
    ),
    ACKNOWLEDGEMENTS.name: (
        "acknowledgements",
        "Ai đã nhận xử lý kết luận nào. Who has taken which verdict on: of each verdict the greatest (time, id) counts.",
    ),
    DEAD_LETTERS.name: (
        "deadLetters",
        "Bản ghi không được tính, nguyên vẹn, kèm lý do. Records that do not count, whole, with the reason and the remedy.",
    ),
    SHARES.name: (
        "shares",
        "Trống: Kafka chỉ dùng để chia tỉnh cho các worker. Empty: by it the workers divide the provinces among themselves.",
    ),
}
"""Topic -> its channel's name, and what it is for."""
_INFO = (
    "Phủ sóng: các đơn vị báo cáo gửi gì vào Kafka, hệ thống trả ra gì. Cách kết nối: docs/reporters.md; ý nghĩa từng trường: "
    "docs/events.md.\n\nWhat reporters send into Kafka, and what comes out. How to connect: docs/reporters.md; what each field means: "
    "docs/events.md.\n\n"
    "Khóa (key) = mã tỉnh nơi xã đang thuộc về (home province); partitioner murmur2 (librdkafka: `partitioner=murmur2_random`; Java: mặc "
    "định). Another key or partitioner is dead-lettered as `key_mismatch` or `wrong_partition`.\n\n"
    f"At most {MAX_VALUE_BYTES} bytes a value. The number of replicas is that of a first installation; PHUSONG_REPLICATION_FACTOR is its "
    "administrator's."
)


def document() -> Schema:
    """The whole document."""
    schemas, references = components("#/components/schemas/{name}")
    admission = Admission(read_rules(SEEDS))
    messages: Schema = {}
    for event in examples.EVENTS:
        messages |= _event_messages(event, admission.route(event).province, references)
    messages |= _row_messages(references)
    messages["deadLetter"] = _dead_letter()
    of_events = [name for event in examples.EVENTS for name in _names(type(event))]
    held = dict.fromkeys((topic.name for topic in SOURCES.values()), of_events)
    held |= {COMMUNES.name: ["communeRow"], PROVINCES.name: ["provinceRow"], VERDICTS.name: ["verdictChanged"]}
    held |= {ACKNOWLEDGEMENTS.name: ["acknowledged"], DEAD_LETTERS.name: ["deadLetter"], SHARES.name: []}
    return {
        "asyncapi": "3.0.0",
        "id": "urn:phusong:contract",
        "info": {
            "title": "Phủ sóng (phusong)",
            "version": CONTRACT_VERSION,
            "description": _INFO,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": STRUCTURED,
        "servers": {
            "kafka": {
                "host": Settings.model_fields["bootstrap_servers"].default,
                "protocol": "kafka",
                "description": "PHUSONG_BOOTSTRAP_SERVERS",
            }
        },
        "channels": {_CHANNELS[topic.name][0]: _channel(topic, held[topic.name]) for topic in TOPICS},
        "operations": _operations(held),
        "components": {"schemas": {name: _draft7(schema) for name, schema in sorted(schemas.items())}, "messages": messages},
    }


def _channel(topic: Topic, messages: list[str]) -> Schema:
    settings: dict[str, object] = {name: int(value) if name in _NUMBERS else value for name, value in topic.config.items()}
    settings["cleanup.policy"] = topic.config["cleanup.policy"].split(",")
    return {
        "address": topic.name,
        "title": topic.holds,
        "description": _CHANNELS[topic.name][1],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "replicas": Settings.model_fields["replication_factor"].default,
                "topicConfiguration": settings,
                **BINDING,
            }
        },
    }


def _operations(held: dict[str, list[str]]) -> Schema:
    """Who does what: an operation is named after its role."""

    def one(topic: Topic, action: str, role: str, summary: str, **kafka: Schema) -> Schema:
        channel = _CHANNELS[topic.name][0]
        return {
            "action": action,
            "channel": {"$ref": f"#/channels/{channel}"},
            "title": f"{role} {'→' if action == 'send' else '←'} {topic.name}",
            "summary": summary,
            "tags": [{"name": role}],
            **({"messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in held[topic.name]]} if held[topic.name] else {}),
            "bindings": {"kafka": {**kafka, **BINDING}},
        }

    progress = {"groupId": {"type": "string", "const": PROGRESS_GROUP}}
    found: Schema = {}
    for domain, topic in SOURCES.items():
        found[f"reporterSends{domain.title()}"] = one(
            topic,
            "send",
            "reporter",
            f"States, withdraws, promises and challenges about {domain}: acks=all, murmur2, keyed by home province.",
        )
        found[f"workerReads{domain.title()}"] = one(
            topic, "receive", "worker", "Reads its share from the start; commits how far it has come, as any lag tool can see.", **progress
        )
    for topic, what in ((COMMUNES, "rows"), (PROVINCES, "rows"), (VERDICTS, "changes")):
        name = _CHANNELS[topic.name][0].title()
        found[f"workerPublishes{name}"] = one(topic, "send", "worker", f"Publishes {what} of the provinces that it owns.")
        found[f"readerReads{name}"] = one(topic, "receive", "reader", "Reads from the start, without a group.")
    found["operatorAcknowledges"] = one(
        ACKNOWLEDGEMENTS,
        "send",
        "operator",
        "Takes a verdict on, or gives it back: `phusong ack`, or through the gateway.",
    )
    found["readerReadsAcknowledgements"] = one(ACKNOWLEDGEMENTS, "receive", "reader", "Reads from the start, without a group.")
    found["workerRejects"] = one(DEAD_LETTERS, "send", "worker", "Puts a record that does not count here, at least once.")
    found["operatorReadsDeadLetters"] = one(DEAD_LETTERS, "receive", "reader", "Lists, shows, mends and sends again.")
    found["workerOwnsShares"] = one(
        SHARES, "receive", "worker", "Takes part in the group that divides the provinces; nothing is ever sent."
    )
    return found


def _names(kind: type[Struct]) -> tuple[str, str]:
    name = kind.__name__
    return name[0].lower() + name[1:], name[0].lower() + name[1:] + "Binary"


def _event_messages(event: Event, province: str, references: dict[type[Struct], Schema]) -> Schema:
    """The event's type in structured and in binary mode."""
    kind = type(event)
    plain = json.loads(encode(event))
    data = plain.pop("data")
    attributes = {f"ce_{name}": value for name, value in plain.items() if name != "datacontenttype"}
    binary = {**attributes, "content-type": BINARY}
    key = {"type": "string", "pattern": "^[0-9]{2}$", "description": "The home province's code.", "examples": [province]}
    common: Schema = {
        "title": _title(event),
        "bindings": {"kafka": {"key": key, **BINDING}},
        "tags": [{"name": tag_of(kind)}],
    }
    structured_name, binary_name = _names(kind)
    return {
        structured_name: {
            "name": structured_name,
            **common,
            "summary": "Structured mode: the value is the whole event.",
            "contentType": STRUCTURED,
            "headers": _headers({"content-type": {"type": "string", "const": STRUCTURED}}, required=()),
            "payload": references[kind],
            "examples": [{"name": structured_name, "headers": {"content-type": STRUCTURED}, "payload": {**plain, "data": data}}],
        },
        binary_name: {
            "name": binary_name,
            **common,
            "summary": "Binary mode: the value is the event's data, its attributes are headers.",
            "contentType": BINARY,
            "headers": _headers({name: _attribute(name, kind) for name in binary}, required=tuple(attributes)),
            "payload": {"$ref": f"#/components/schemas/{type(event.data).__name__}"},
            "examples": [{"name": binary_name, "headers": binary, "payload": data}],
        },
    }


def _attribute(header: str, kind: type[Struct]) -> Schema:
    if header == "content-type":
        return {"type": "string", "const": BINARY}
    return {"$ref": f"#/components/schemas/{kind.__name__}/properties/{header.removeprefix('ce_')}"}


def _draft7(schema: Any) -> Any:
    """AsyncAPI's schemas are of draft 7, which spells tuples differently: `items: false` would allow no item at all."""
    if isinstance(schema, list):
        return [_draft7(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {name: _draft7(value) for name, value in schema.items()}
    if "prefixItems" in plain:
        plain |= {"items": plain.pop("prefixItems"), "additionalItems": plain.get("items", True)}
    return plain


def _headers(properties: Schema, required: tuple[str, ...]) -> Schema:
    return {"type": "object", "properties": properties, **({"required": list(required)} if required else {})}


def _row_messages(references: dict[type[Struct], Schema]) -> Schema:
    version = {
        "type": "string",
        "contentMediaType": BINARY,
        "description": "The greater of two counts. JSON text of components/schemas/Version.",
    }

    def row(name: str, one: CommuneRow | ProvinceRow, topic: Topic) -> Schema:
        headers = {VERSION_HEADER: encode_row(examples.VERSION).decode()}
        return {
            "name": name,
            "title": _title(one),
            "contentType": BINARY,
            "headers": _headers({VERSION_HEADER: version}, required=(VERSION_HEADER,)),
            "payload": {"oneOf": [references[type(one)], {"type": "null", "description": "A tombstone: no such row any more."}]},
            "bindings": {"kafka": {"key": {"type": "string", "description": topic.key, "examples": [one.key]}, **BINDING}},
            "examples": [{"name": name, "headers": headers, "payload": json.loads(encode_row(one))}],
        }

    verdict, taken = examples.VERDICT, examples.ACKNOWLEDGED
    key = {"type": "string", "description": VERDICTS.key, "examples": [verdict.data.key]}
    return {
        "communeRow": row("communeRow", examples.COMMUNE, COMMUNES),
        "provinceRow": row("provinceRow", examples.PROVINCE, PROVINCES),
        "verdictChanged": {
            "name": "verdictChanged",
            "title": _title(verdict),
            "contentType": STRUCTURED,
            "payload": references[VerdictEvent],
            "bindings": {"kafka": {"key": key, **BINDING}},
            "examples": [{"name": "verdictChanged", "payload": json.loads(encode_row(verdict))}],
        },
        "acknowledged": {
            "name": "acknowledged",
            "title": _title(taken),
            "contentType": STRUCTURED,
            "payload": references[Acknowledged],
            "bindings": {"kafka": {"key": {**key, "description": ACKNOWLEDGEMENTS.key, "examples": [taken.data.key]}, **BINDING}},
            "examples": [{"name": "acknowledged", "payload": json.loads(encode_acknowledged(taken))}],
        },
    }


def _title(one: Struct) -> str:
    return (type(one).__doc__ or "").partition("\n")[0].strip()


def _dead_letter() -> Schema:
    said = {
        "reason": {"type": "string", "enum": sorted(Reason)},
        "sentence": {"type": "string", "description": "What is wrong, and the remedy."},
        "topic": {"type": "string", "enum": [topic.name for topic in SOURCES.values()]},
        "partition": {"type": "string", "pattern": "^[0-9]+$"},
        "offset": {"type": "string", "pattern": "^[0-9]+$"},
        "timestamp": {
            "type": "string",
            "pattern": "^-?[0-9]+$",
            "description": "When Kafka took the record, in milliseconds of the epoch.",
        },
        "rules": {"type": "string", "pattern": "^[0-9]+$", "description": "Number of the rules that rejected it."},
    }
    headers = {f"phusong-{name}": schema for name, schema in said.items()}
    return {
        "name": "deadLetter",
        "title": "A record that does not count.",
        "summary": "Its value, key and headers are the record's own; (topic, partition, offset) is its identity.",
        "contentType": "application/octet-stream",
        "headers": _headers(headers, required=tuple(headers)),
        "payload": {"description": "The rejected record's bytes, whatever they are."},
        "bindings": {"kafka": {"key": {"description": "The rejected record's key, whatever it is."}, **BINDING}},
    }
