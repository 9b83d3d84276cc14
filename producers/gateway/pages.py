"""The gateway's answers, and its description: OpenAPI 3.1 from the structs themselves, and a page made of it that needs nothing else.

Comes in: the structs of phusong/events.py. Goes out: the structs of an answer, the OpenAPI document, the page. Owns no state.
"""

from __future__ import annotations

import html
import json
from typing import Any

import msgspec
from msgspec import Struct

from phusong.events import Challenge, Event, Promise, Reason, Statement, Withdrawal
from producers.gateway.http_events import BATCHED, BINARY, EVENTS_MAX, STRUCTURED
from producers.gateway.metrics import program_version

SCHEMAS = "#/components/schemas/{name}"


class Accepted(Struct, frozen=True, kw_only=True):
    """Kafka has acknowledged every event: `accepted` of them."""

    accepted: int


class Result(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one event, in the order of the batch: `status` 202 (Kafka has it), 403, 409 or 422; `reason` and `detail` unless 202.

    `id` and `source` are left out where they could not be read.
    """

    id: str = ""
    source: str = ""
    status: int
    reason: str = ""
    detail: str = ""


class Results(Struct, frozen=True, kw_only=True):
    """A batch of which some events were taken and some were not."""

    accepted: int
    rejected: int
    results: list[Result]


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Problem details (RFC 9457). `reason`: of a closed set; `request`: the request id, for the administrator; `results`: of a batch."""

    title: str
    status: int
    detail: str
    reason: str = ""
    request: str = ""
    results: list[Result] = []


EXAMPLE: dict[str, Any] = {
    "specversion": "1.0",
    "id": "operator-a/2023-06/02263/mobile_signal_villages",
    "source": "operator-a",
    "type": "vn.phusong.coverage.stated.v1",
    "time": "2023-07-05T09:00:00+07:00",
    "datacontenttype": "application/json",
    "data": {
        "commune": "02263",
        "indicator": "telecom.mobile_signal_villages",
        "observed_at": "2023-06-30T00:00:00+07:00",
        "covered": 5,
        "expected": 8,
        "uncovered": ["Bản Lãm", "Nà Tạng", "Tát Kẻ"],
    },
}

_ATTRIBUTES = (
    ("specversion", "always 1.0", "1.0"),
    ("id", "the source's own name for this event", EXAMPLE["id"]),
    ("source", "who speaks: the key's reporter", EXAMPLE["source"]),
    ("type", "as in the structured mode", EXAMPLE["type"]),
    ("time", "when it was said, with an offset", EXAMPLE["time"]),
)

_REFUSALS = {
    400: ("BadRequest", "not JSON in UTF-8, not a CloudEvent, or not a batch"),
    401: ("Unauthorized", "no API key, or one that is unknown or revoked"),
    403: ("Forbidden", "the key may not speak for this source or about this indicator"),
    408: ("RequestTimeout", "the request did not come whole in time"),
    409: ("Conflict", "this (source, id) was already taken for other content"),
    413: ("TooLarge", f"more than 1 MiB, more than {EVENTS_MAX} events, or an event of more than 64 KiB"),
    415: ("UnsupportedMediaType", "another format, charset or content-encoding"),
    422: ("Unprocessable", "a CloudEvent that the reader would refuse: `reason` and `detail` say why and what to do"),
    429: ("TooManyRequests", "more events than the key may send; wait as long as Retry-After says"),
    431: ("HeadersTooLarge", "more than 16 KiB of headers"),
    500: ("InternalError", "our fault"),
    503: ("Unavailable", "Kafka is away, or has not acknowledged in time; send all of it again: what arrives twice counts once"),
}

_HEADERS = {
    "X-Request-ID": {"description": "yours, or one that was made", "schema": {"type": "string"}},
}
_RETRY = {"Retry-After": {"description": "seconds", "schema": {"type": "integer", "minimum": 1}}}
_CHALLENGE = {"WWW-Authenticate": {"description": "Bearer", "schema": {"type": "string"}}}


def openapi() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    kinds = (Event, Statement, Withdrawal, Promise, Challenge, Accepted, Results, Problem)
    (event, *data, accepted, results, problem), components = msgspec.json.schema_components(kinds, ref_template=SCHEMAS)
    components["Event"] = event
    one = {"$ref": SCHEMAS.format(name="Event")}
    responses: dict[str, Any] = {
        "202": _response("Kafka has acknowledged every event", accepted, "application/json", {"accepted": 1}),
        "207": _response(
            "some events were taken, some were not: one result for each, in their order",
            results,
            "application/json",
            {
                "accepted": 1,
                "rejected": 1,
                "results": [
                    {"id": "a", "source": "operator-a", "status": 202},
                    {"id": "b", "source": "operator-a", "status": 422, "reason": "unknown_commune", "detail": "…"},
                ],
            },
        ),
    }
    for status, (_, text) in _REFUSALS.items():
        more = _RETRY if status in (429, 503) else _CHALLENGE if status == 401 else {}
        responses[str(status)] = _response(text, problem, "application/problem+json", None, more)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Phủ sóng: cổng nhận sự kiện",
            "version": program_version(),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "Reporters' facts about coverage, as CloudEvents 1.0 over HTTP. Sending again changes nothing.",
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}],
        "paths": {
            "/v1/events": {
                "post": {
                    "operationId": "postEvents",
                    "summary": "Gửi sự kiện (send events)",
                    "description": (
                        "Answered 202 only once Kafka has acknowledged every event. The same event (source, id, content) may be sent again "
                        "at any time. After 429 and 503 wait as long as Retry-After says, then send all of it again."
                    ),
                    "parameters": [
                        {
                            "name": "X-Request-ID",
                            "in": "header",
                            "required": False,
                            "description": "a name for this request, returned and logged: up to 64 of A-Z a-z 0-9 . _ - (else replaced)",
                            "schema": {"type": "string"},
                        },
                        *(
                            {
                                "name": f"ce-{name}",
                                "in": "header",
                                "required": False,
                                "description": f"binary mode: {text}; percent-encoded",
                                "schema": {"type": "string"},
                                "example": example,
                            }
                            for name, text, example in _ATTRIBUTES
                        ),
                    ],
                    "requestBody": {
                        "required": True,
                        "content": {
                            STRUCTURED: {"schema": one, "examples": {"stated": {"value": EXAMPLE}}},
                            BATCHED: {
                                "schema": {"type": "array", "items": one, "maxItems": EVENTS_MAX},
                                "examples": {"stated": {"value": [EXAMPLE]}},
                            },
                            BINARY: {"schema": {"anyOf": data}, "examples": {"stated": {"value": EXAMPLE["data"]}}},
                        },
                    },
                    "responses": responses,
                }
            }
        },
        "components": {
            "schemas": components,
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "an API key, phs_…, as `phusong keys create` printed it"}
            },
        },
    }


def page(document: dict[str, Any]) -> str:
    """The document for people: one page of HTML, without a script or anything from elsewhere."""
    post = document["paths"]["/v1/events"]["post"]
    statuses = "".join(f"<tr><td>{status}<td>{html.escape(answer['description'])}" for status, answer in sorted(post["responses"].items()))
    modes = "".join(
        f"<h3><code>{html.escape(name)}</code></h3>{_code(next(iter(content['examples'].values()))['value'])}"
        for name, content in post["requestBody"]["content"].items()
    )
    schemas = "".join(
        f'<h3 id="{html.escape(name)}">{html.escape(name)}</h3><p>{html.escape(schema.get("description", ""))}{_fields(schema)}'
        for name, schema in document["components"]["schemas"].items()
    )
    headers = "".join(
        f"<tr><td><code>{html.escape(one['name'])}</code><td>{html.escape(one['description'])}<td>{html.escape(one.get('example', ''))}"
        for one in post["parameters"]
    )
    reasons = ", ".join(f"<code>{reason}</code>" for reason in Reason)
    links = "".join(f'<li><a href="{path}"><code>{path}</code></a>: {html.escape(text)}' for path, text in _LINKS)
    return _PAGE.format(
        title=html.escape(document["info"]["title"]),
        description=html.escape(post["description"]),
        statuses=statuses,
        modes=modes,
        schemas=schemas,
        headers=headers,
        reasons=reasons,
        links=links,
    )


_LINKS = (
    ("/v1/schema/openapi.json", "mô tả API (OpenAPI 3.1)"),
    ("/metrics", "số đo cho Prometheus (metrics)"),
    ("/healthz", "tiến trình còn sống (alive)"),
    ("/readyz", "sẵn sàng nhận (Kafka is there)"),
)

_PAGE = """<!doctype html>
<html lang="vi"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>body{{font:16px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}}
pre{{background:#f4f4f4;padding:.7rem;overflow:auto}}td,th{{text-align:left;vertical-align:top;padding:.15rem .8rem .15rem 0}}</style>
<h1>{title}</h1>
<ul>{links}</ul>
<h2><code>POST /v1/events</code></h2>
<p>Gửi sự kiện CloudEvents 1.0; trả lời 202 chỉ khi Kafka đã ghi nhận tất cả. Gửi lại không làm thay đổi gì.
<p lang="en">{description}
<p><code>Authorization: Bearer phs_…</code>: khóa API của đơn vị báo cáo (the reporter's API key).
<h2>Ba cách gửi (three content types)</h2>{modes}
<h2>Tiêu đề (headers)</h2><table>{headers}</table>
<h2>Trả lời (answers)</h2><table>{statuses}</table>
<p>Lý do (reasons): {reasons}
<h2>Cấu trúc (schemas)</h2>{schemas}
</html>
"""


def _code(value: object) -> str:
    return f"<pre>{html.escape(json.dumps(value, ensure_ascii=False, indent=1))}</pre>"


def _fields(schema: dict[str, Any]) -> str:
    required = set(schema.get("required", ()))
    rows = "".join(
        f"<tr><td><code>{html.escape(name)}</code><td>{'*' if name in required else ''}<td>{_kind(field)}"
        for name, field in schema.get("properties", {}).items()
    )
    if rows:
        return f"<table>{rows}</table>"
    return f"<p>{_kind(schema)}"


def _kind(field: dict[str, Any]) -> str:
    """A field's type in a few words, with links."""
    if "$ref" in field:
        name = html.escape(field["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in field:
        return " | ".join(_kind(one) for one in field["anyOf"])
    if "enum" in field:
        return " | ".join(f"<code>{html.escape(str(one))}</code>" for one in field["enum"])
    if field.get("type") == "array":
        return f"[{_kind(field.get('items', {}))}]"
    return html.escape(str(field.get("format") or field.get("type") or ""))


def _response(
    text: str, schema: dict[str, Any], media_type: str, example: object = None, more: dict[str, Any] | None = None
) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": schema}
    if example is not None:
        content["example"] = example
    return {"description": text, "headers": {**_HEADERS, **(more or {})}, "content": {media_type: content}}
