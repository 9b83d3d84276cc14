"""CloudEvents over HTTP (binding 1.0.2): from a request's headers and body to events.

Comes in: the content type, the `ce-` headers and the body. Goes out: each event, or why it is none, with its id and source where they can
be read. Owns no state. A body that holds no events at all raises `Refused` with its HTTP status: 400 not JSON, 413 too many, 415 another
format.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

import msgspec
from msgspec import Struct

from phusong.acknowledgements import decode_acknowledged, is_acknowledgement
from phusong.events import Reason, Rejected, decode
from producers.publisher import Sendable

EVENTS_MAX = 1_000
"""The most events of one batch."""
STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"
BINARY = "application/json"

_CHARSETS = ("", "utf-8", "utf8", "us-ascii")
_CHARSET = re.compile(r';\s*charset\s*=\s*"?([^";\s]*)', re.IGNORECASE)
_QUOTED_PAIR = re.compile(r"\\(.)")
_DRAWN_HEADERS_MAX = 64

_raw = msgspec.json.Decoder(msgspec.Raw).decode
_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


class Refused(Exception):  # noqa: N818 - the word of the protocol: the request is refused
    """A request that is answered with `status` and a sentence, as problem details; `reason` of the closed set where one fits."""

    def __init__(self, status: int, detail: str, *, reason: str = "", retry_after_seconds: float = 0.0) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds


class Read(NamedTuple):
    """One event of a request, or why it is none; `id` and `source` as far as they could be read."""

    id: str
    source: str
    outcome: Sendable | Rejected


class _Named(Struct):
    id: object = ""
    source: object = ""


_named = msgspec.json.Decoder(_Named).decode


def mode_of(content_type: str) -> str:
    """STRUCTURED, BATCHED or BINARY. Raises Refused."""
    if content_type in (STRUCTURED, BATCHED, BINARY):
        return content_type
    mode = content_type.partition(";")[0].strip().lower()
    if mode not in (STRUCTURED, BATCHED, BINARY):
        raise Refused(
            415, f"content-type {content_type[:100]!r} is none of ours; send {STRUCTURED}, {BATCHED}, or {BINARY} with ce- headers"
        )
    charset = _CHARSET.search(content_type)
    if charset is not None and charset[1].lower() not in _CHARSETS:
        raise Refused(415, f"charset {charset[1][:40]!r}: JSON is sent in UTF-8; leave charset out")
    return mode


def read_events(mode: str, attributes: Mapping[str, str], body: bytes) -> list[Read]:
    """The events of a body, in their order: one, or up to EVENTS_MAX of a batch. `attributes`: the `ce-` headers without `ce-`, as sent.

    Raises Refused.
    """
    if not body.isascii():
        try:
            # the decoder does not look into fields that it does not know
            body.decode()
        except UnicodeDecodeError as error:
            raise Refused(400, f"byte {error.start + 1} is not UTF-8; send JSON in UTF-8", reason=Reason.NOT_JSON) from None
    if mode == STRUCTURED:
        return [_read(body)]
    if mode == BINARY:
        return [_read(_structured(attributes, body))]
    try:
        raws = _raws(body)
    except (msgspec.MsgspecError, RecursionError, OverflowError) as error:
        raise Refused(400, f"the body is no JSON array ({error}); send an array of CloudEvents", reason=Reason.NOT_JSON) from None
    if len(raws) > EVENTS_MAX:
        raise Refused(413, f"{len(raws)} events; a batch has at most {EVENTS_MAX}: split it", reason=Reason.TOO_LARGE)
    return [_read(bytes(raw)) for raw in raws]


def _read(value: bytes) -> Read:
    try:
        event = decode_acknowledged(value) if is_acknowledgement(value) else decode(value)
    except Rejected as error:
        return Read(*_name(value), error)
    return Read(event.id, event.source, event)


def _name(value: bytes) -> tuple[str, str]:
    try:
        named = _named(value)
    except (msgspec.MsgspecError, RecursionError, OverflowError):
        return "", ""
    return (named.id[:500] if isinstance(named.id, str) else "", named.source[:200] if isinstance(named.source, str) else "")


def _structured(attributes: Mapping[str, str], data: bytes) -> bytes:
    """A binary-mode event as one JSON object; what the data would add to the attributes is not let in. Raises Refused."""
    if not attributes:
        raise Refused(
            400,
            f"{BINARY} without ce- headers is no CloudEvent; add ce-specversion, ce-id, ce-source, ce-type, ce-time, or send {STRUCTURED}",
            reason=Reason.NOT_CLOUDEVENT,
        )
    if len(attributes) > _DRAWN_HEADERS_MAX:
        raise Refused(400, f"more than {_DRAWN_HEADERS_MAX} ce- headers", reason=Reason.NOT_CLOUDEVENT)
    try:
        # one value and nothing after it: what follows could pass itself off as an attribute
        raw = _raw(data)
    except (msgspec.MsgspecError, RecursionError, OverflowError) as error:
        raise Refused(400, f"the body is not JSON ({error}); send the event's data", reason=Reason.NOT_JSON) from None
    plain: dict[str, object] = {name: _unescaped(name, value) for name, value in attributes.items() if name not in _NOT_ATTRIBUTES}
    return _encode({**plain, "datacontenttype": BINARY, "data": raw})


_NOT_ATTRIBUTES = ("data", "data_base64", "datacontenttype")


def _unescaped(name: str, value: str) -> str:
    """An attribute from its header: the quotes of older writers dropped, then one round of percent-decoding. Raises Refused."""
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = _QUOTED_PAIR.sub(r"\1", value[1:-1])
    if "%" not in value and value.isascii():
        return value
    try:
        return unquote_to_bytes(value.encode("latin-1")).decode()
    except UnicodeDecodeError:
        raise Refused(400, f"header ce-{name} is not percent-encoded UTF-8", reason=Reason.NOT_CLOUDEVENT) from None
