"""The description of /api/v1: OpenAPI 3.1 from the structs and the table of addresses themselves.

Comes in: `RESOURCES`, `PARAMETERS`, the rules. Goes out: the document. Owns no state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from feed.answers import CONTENT_TYPES, MEDIA_TYPES, body_of, columns_of
from feed.evidence import Explanation
from feed.examples import COMMUNE, EVIDENCE, EXAMPLES, PROVINCE, VERDICT
from feed.problems import PROBLEM, Problem, problem
from feed.query import PARAMETERS, Query
from feed.question import EVIDENCE_PARAMETERS, EVIDENCE_PATH, EVIDENCE_REQUIRED
from feed.resources import PLACE, RESOURCES, PublishedCommune, PublishedProvince, PublishedVerdict, Resource
from feed.stream import HEARTBEAT_SECONDS, STREAMS_MAX, Heartbeat, Removed
from phusong.rules import Rules

SCHEMAS = "#/components/schemas/{name}"
EVENTS_PATH = "/api/v1/events"
EVENTS_FILTERS: tuple[str, ...] = PLACE
_ENUM_MAX = 200
"""Beyond so many values they are not all named."""

Plain = dict[str, Any]

_TAG: Plain = {"description": "một câu trả lời khác có nhãn khác (another answer has another tag)", "schema": {"type": "string"}}
_NOT_MODIFIED: Plain = {"description": "không đổi (still the same)", "headers": {"ETag": _TAG}}
_LINK: Plain = {"description": '<…>; rel="next": trang sau, nếu còn (the next page, if there is one)', "schema": {"type": "string"}}
_EVIDENCE = """Mọi báo cáo đứng sau một xã và một chỉ tiêu, cái nào quyết định, theo quy tắc nào, điều gì sẽ làm thay đổi.

Every statement behind a commune and an indicator, read from the log: which of them decides (`decides`), by which rule (`why`), how the
operators' views became one value (`operators`, `union`), and what would change it (`changes`). `lost`: replaced and repeated ones.
Sentences come in both languages. What `phusong explain --json` prints."""
_KEY = "khóa phs_… do người quản trị hệ thống cấp (the administrator gives it out); a browser signs in at /sign-in instead"
_REFUSALS: Mapping[int, tuple[str, str]] = {
    400: ("a query that cannot match: `parameter` says which, `known` what it may be", "province '8' is not known; one of: 02, 08"),
    401: ("no key, or one that holds no longer", "no API key that holds; send `Authorization: Bearer phs_…`"),
    404: ("no such address", "Not Found"),
    405: ("another method than GET", "Method Not Allowed"),
    406: ("a form that is not there", "Accept 'image/png' is none of what there is: application/json, text/csv"),
    500: ("our fault", "this is our fault; the feed's log has the reason"),
    503: (
        "more clients or readings than this feed takes, or the log cannot be read now",
        "more connections than this feed takes; come back in a moment",
    ),
}
_EVENT_KINDS = (PublishedProvince, PublishedCommune, PublishedVerdict, Removed, Heartbeat)
_STREAM = f"""Một sự kiện cho mỗi thay đổi. One event for each change, as it happens; `data` is JSON:

- `province`, `commune`: a row that is new or says something else (or whose verdict is taken on), as in their tables;
- `verdict`: a change of verdict, as in /api/v1/verdicts;
- `removed`: a row that is no longer there (`kind`, `key`);
- `heartbeat`: every {HEARTBEAT_SECONDS:g} s: the feed lives; `kafka_seen` tells whether its source does;
- `reset`: read everything again: you came back too late, or all has changed.

Open the stream, then read the rows, then take over each event: so none is missed. After a break send the last `id` as Last-Event-ID (a
browser's EventSource does). A client that takes too little is dropped; {STREAMS_MAX} clients at most."""


def openapi(rules: Rules, version: str, *, named: bool = False) -> Plain:
    """The OpenAPI 3.1 document; `named`: of a feed that asks for an API key."""
    kinds = list(dict.fromkeys([*(one.kind for one in RESOURCES), *_EVENT_KINDS, Explanation, Problem]))
    schemas, components = msgspec.json.schema_components(kinds, ref_template=SCHEMAS)
    by_kind = dict(zip(kinds, schemas, strict=True))
    paths: Plain = {one.path: {"get": _listing(one, by_kind[one.kind], by_kind[Problem], rules)} for one in RESOURCES}
    paths[EVIDENCE_PATH] = {"get": _evidence(by_kind[Explanation], by_kind[Problem], rules)}
    paths[EVENTS_PATH] = {"get": _events(by_kind[Problem], rules)}
    more: Plain = {}
    if named:
        more["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer", "description": _KEY}}
        for path in paths.values():
            path["get"] |= {"security": [{"key": []}]}
            path["get"]["responses"] |= _refused((401,), by_kind[Problem])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Phủ sóng: dữ liệu cho trung tâm điều hành (IOC)",
            "version": version,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "Coverage of telecom, broadcast and postal services by commune: read only.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": components, **more},
    }


def _listing(resource: Resource[Any], schema: Plain, refusal: Plain, rules: Rules) -> Plain:
    return {
        "operationId": f"get{resource.path.rpartition('/')[2].title()}",
        "summary": resource.summary,
        "description": resource.description,
        "parameters": [
            *(_parameter(name, resource.formats, rules) for name in resource.parameters),
            _IF_NONE_MATCH,
        ],
        "responses": {
            "200": {
                "description": "các hàng, theo thứ tự khóa (the rows, in the order of their keys)",
                "headers": {"ETag": _TAG, "Link": _LINK},
                "content": {_media_type(form): _content(form, resource, schema) for form in resource.formats},
            },
            "304": _NOT_MODIFIED,
            **_refused((400, 404, 405, 406, 500, 503), refusal),
        },
    }


def _evidence(schema: Plain, refusal: Plain, rules: Rules) -> Plain:
    return {
        "operationId": "getEvidence",
        "summary": "Vì sao một xã được tính như vậy (why a commune counts as it does)",
        "description": _EVIDENCE,
        "parameters": [*(_one(name, rules) for name in EVIDENCE_PARAMETERS), _IF_NONE_MATCH],
        "responses": {
            "200": {
                "description": "lời giải thích (the explanation)",
                "headers": {"ETag": _TAG},
                "content": {MEDIA_TYPES["json"]: {"schema": schema, "example": msgspec.to_builtins(EVIDENCE)}},
            },
            "304": _NOT_MODIFIED,
            **_refused((400, 404, 405, 406, 500, 503), refusal),
        },
    }


def _one(name: str, rules: Rules) -> Plain:
    """A parameter of an address that is about one thing."""
    found = _parameter(name, (), rules)
    if PARAMETERS[name].many:
        found["schema"] = found["schema"]["items"]
        del found["style"], found["explode"]
    if name in EVIDENCE_REQUIRED:
        found |= {"required": True, "description": found["description"].partition(";")[0]}
    return found


def _media_type(form: str) -> str:
    return CONTENT_TYPES[form] if form == "csv" else MEDIA_TYPES[form]


def _content(form: str, resource: Resource[Any], schema: Plain) -> Plain:
    example = EXAMPLES[resource.path]
    query = Query(pairs=(), provinces=frozenset(), indicators=frozenset())
    body = body_of(form, [example], resource.kind, query, lambda _: (105.4, 22.35))
    if form == "csv":
        names = ", ".join(one.name for one in columns_of(resource.kind)[0])
        return {"schema": {"type": "string", "description": f"columns: {names}"}, "example": body.decode()}
    plain = msgspec.json.decode(body)
    if form == "geojson":
        return {"schema": _collection(schema), "example": plain}
    return {"schema": {"type": "array", "items": schema}, "example": plain}


def _collection(schema: Plain) -> Plain:
    numbers = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
    point = {
        "type": "object",
        "required": ["type", "coordinates"],
        "properties": {"type": {"const": "Point"}, "coordinates": numbers},
    }
    feature = {
        "type": "object",
        "required": ["type", "id", "geometry", "properties"],
        "properties": {
            "type": {"const": "Feature"},
            "id": {"type": "string"},
            "geometry": {"anyOf": [{"type": "null"}, point]},
            "properties": schema,
        },
    }
    return {
        "type": "object",
        "required": ["type", "features"],
        "properties": {"type": {"const": "FeatureCollection"}, "features": {"type": "array", "items": feature}},
    }


def _events(refusal: Plain, rules: Rules) -> Plain:
    rows = (("province", PROVINCE), ("commune", COMMUNE), ("verdict", VERDICT))
    texts = [(name, msgspec.json.encode(row).decode()) for name, row in rows]
    example = "".join(f"id: 9f3c01ab-{number}\nevent: {name}\ndata: {text}\n\n" for number, (name, text) in enumerate(texts, 17))
    return {
        "operationId": "getEvents",
        "summary": "Luồng thay đổi (rows and verdicts as they change, as server-sent events)",
        "description": _STREAM,
        "parameters": [
            *(_parameter(name, (), rules) for name in EVENTS_FILTERS),
            _header("Last-Event-ID", "id của sự kiện cuối cùng đã nhận (the id of the last event that you have)"),
        ],
        "responses": {
            "200": {
                "description": "không kết thúc (it does not end)",
                "content": {"text/event-stream": {"schema": {"type": "string"}, "example": example}},
            },
            **_refused((400, 404, 405, 500, 503), refusal),
        },
    }


def _parameter(name: str, formats: Sequence[str], rules: Rules) -> Plain:
    one = PARAMETERS[name]
    schema = dict(one.schema)
    known = list(formats) if name == "format" else [str(value) for value in one.known(rules)] if one.known else []
    if known and len(known) <= _ENUM_MAX:
        schema["enum"] = known
    if one.many:
        schema = {"type": "array", "items": schema}
    found: Plain = {"name": name, "in": "query", "required": False, "description": one.description, "schema": schema}
    if one.many:
        found |= {"style": "form", "explode": True}
    return found


def _header(name: str, description: str) -> Plain:
    return {"name": name, "in": "header", "required": False, "description": description, "schema": {"type": "string"}}


def _refused(statuses: Sequence[int], schema: Plain) -> Plain:
    return {
        str(status): {
            "description": _REFUSALS[status][0],
            "content": {PROBLEM: {"schema": schema, "example": msgspec.to_builtins(problem(status, _REFUSALS[status][1]))}},
        }
        for status in statuses
    }


_IF_NONE_MATCH = _header(
    "If-None-Match", "nhãn ETag đã có: trả lời 304 nếu không đổi (a tag that you have: 304 where it is still the same)"
)
