"""The wire contract as CloudEvents 1.0: statements, withdrawals, promises and challenges; decode, encode, the reject reasons.

Comes in: the value (and, in binary mode, the headers) of one Kafka record. Goes out: one `Event`, the only struct for an event anywhere.
Owns no state. Bad input raises `Rejected` with a reason from the closed set and a sentence that names the remedy.

Schema evolution: readers ignore unknown fields; a new field has a default; golden files in tests/contract/golden are added, never edited.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from phusong.topics import MAX_VALUE_BYTES

MAX_NAMES = 500
"""The most villages that one event may name, in each of its lists."""
MAX_COUNT = 1_000_000_000
"""The largest `covered` or `expected` that is believed (ten times the country's population)."""

MAX_SENTENCE = 1000
"""The most characters of what a rejection says."""


class Reason(StrEnum):
    """Why a record is in the dead letters: a closed set."""

    NOT_JSON = "not_json"
    NOT_CLOUDEVENT = "not_cloudevent"
    UNKNOWN_TYPE = "unknown_type"
    SCHEMA = "schema"
    UNKNOWN_COMMUNE = "unknown_commune"
    UNKNOWN_VINTAGE = "unknown_vintage"
    OUTSIDE_VINTAGE = "outside_vintage"
    UNKNOWN_INDICATOR = "unknown_indicator"
    WRONG_TOPIC = "wrong_topic"
    KEY_MISMATCH = "key_mismatch"
    WRONG_PARTITION = "wrong_partition"
    UNKNOWN_REPORTER = "unknown_reporter"
    UNKNOWN_OPERATOR = "unknown_operator"
    COUNTS_OUT_OF_RANGE = "counts_out_of_range"
    OBSERVED_IN_FUTURE = "observed_in_future"
    TOO_LARGE = "too_large"
    PROCESSOR_ERROR = "processor_error"


class Rejected(Exception):  # noqa: N818 - the word of the domain: a rejected record
    """A record that is not counted: `reason` for machines, `sentence` (what is wrong and the remedy) for people."""

    def __init__(self, reason: Reason, sentence: str) -> None:
        if len(sentence) > MAX_SENTENCE:
            # what was sent may be quoted in it, at any length; the remedy is at its end
            sentence = f"{sentence[: MAX_SENTENCE - 400]} … {sentence[-300:]}"
        super().__init__(f"{reason}: {sentence}")
        self.reason = reason
        self.sentence = sentence


class Method(StrEnum):
    """How a fact is known."""

    DECLARED = "declared"
    MEASURED = "measured"
    PETITIONED = "petitioned"


class Origin(StrEnum):
    """Where a fact is from, worst last; it travels to every row, screen and export."""

    REAL = "real"
    ASSUMED = "assumed"
    SIMULATED = "simulated"


Name = Annotated[str, Meta(min_length=1, max_length=200)]
Names = Annotated[tuple[Name, ...], Meta(max_length=MAX_NAMES)]
Note = Annotated[str, Meta(max_length=2000)]
Instant = Annotated[datetime, Meta(tz=True)]


class _Subject(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What an event is about: a commune and an indicator at a moment, and whose service."""

    commune: Annotated[str, Meta(min_length=1, max_length=16)]
    indicator: Annotated[str, Meta(min_length=1, max_length=100)]
    observed_at: Instant
    origin: Origin = Origin.REAL
    operator: Name | None = None
    vintage: Name | None = None


class _Observation(_Subject, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """How a fact is known: with the subject and the event's source, the slot that it belongs to."""

    method: Method = Method.DECLARED
    measured: Names | None = None
    until: Instant | None = None


class Statement(_Observation, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What is said of one commune and one indicator at one moment.

    `covered` of `expected` (places, households, people, points: the indicator says which), integers from 0; `uncovered` names the places
    behind a gap (None: counts only; empty: none); `measured` the places that a measurement visited (None: the whole unit); `until`: a
    temporary state, over by then. `operator` None: the source itself. `vintage` None: the one in force at `observed_at`.
    """

    covered: int
    expected: int
    uncovered: Names | None = None


class Withdrawal(_Observation, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Empties the slot of the statement with the same slot fields: unknown until something greater is stated."""


class Promise(_Subject, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """An operator undertakes to cover `places` (None: the whole commune) by a moment; `by` None: the promise is taken back.

    `observed_at`: when it was given. A later promise for the same place postpones the earlier one, which is kept beside it.
    """

    by: Instant | None
    places: Names | None = None
    note: Note = ""


class Step(StrEnum):
    """What happens to a challenge."""

    OPENED = "opened"
    SENT = "sent"
    """To the operator, who is to answer by the deadline."""
    CONCEDED = "conceded"
    DISPUTED = "disputed"
    RESOLVED = "resolved"


ANSWERS = frozenset({Step.CONCEDED, Step.DISPUTED})
"""The steps that are the operator's."""


class Challenge(_Subject, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One step of a challenge: a petition or a measurement contradicts what an operator declares.

    `challenge` names it, once for a commune, indicator and operator; `observed_at`: when the step was taken; `deadline`: when the next one
    is due; `statement`: `source id` of the petition or measurement; `places` as it names them (None: the whole commune).
    """

    challenge: Name
    step: Step
    deadline: Instant | None = None
    statement: Annotated[str, Meta(max_length=701)] = ""
    places: Names | None = None
    note: Note = ""


class _Envelope(Struct, frozen=True, kw_only=True, gc=False, tag_field="type"):
    specversion: Annotated[str, Meta(pattern="^1\\.0$")]
    id: Annotated[str, Meta(min_length=1, max_length=500)]
    source: Name
    time: Instant
    datacontenttype: str = "application/json"


class Stated(_Envelope, frozen=True, kw_only=True, gc=False, tag="vn.phusong.coverage.stated.v1"):
    """A reporter states a fact."""

    data: Statement


class Withdrawn(_Envelope, frozen=True, kw_only=True, gc=False, tag="vn.phusong.coverage.withdrawn.v1"):
    """A reporter takes a statement back."""

    data: Withdrawal


class Promised(_Envelope, frozen=True, kw_only=True, gc=False, tag="vn.phusong.coverage.promised.v1"):
    """An operator, or who speaks for it, makes, postpones or takes back a promise."""

    data: Promise


class Challenged(_Envelope, frozen=True, kw_only=True, gc=False, tag="vn.phusong.coverage.challenged.v1"):
    """A challenge is opened, sent to the operator, conceded or disputed by it, resolved."""

    data: Challenge


Fact = Stated | Withdrawn
"""What moves a ratio."""
FollowUp = Promised | Challenged
"""What is done about a gap; it moves no ratio."""
Event = Fact | FollowUp

_decode_event = msgspec.json.Decoder(Event).decode
_encoder = msgspec.json.Encoder()
_TYPES = frozenset(str(kind.__struct_config__.tag) for kind in (Stated, Withdrawn, Promised, Challenged))
_SMALL_BYTES = MAX_VALUE_BYTES // 4
"""An event in structured mode grows at most to three times its size, and an envelope, when it is written again (a letter in NFC)."""
_BINARY_CONTENT = re.compile(r"application/(?:[a-z0-9.+-]*\+)?json(?:\s*;.*)?", re.IGNORECASE)


def encode(event: Event) -> bytes:
    """The event in structured mode, one JSON object, text in NFC; what `decode` reads back equal."""
    value = _encoder.encode(event)
    return value if value.isascii() else _encoder.encode(_in_nfc(event))


def data_bytes(event: Event) -> bytes:
    """The canonical bytes of an event's data: the last word when two events tie on everything else."""
    return _encoder.encode(event.data)


def decode(value: bytes | None, headers: Sequence[tuple[str, bytes | None]] | None = None) -> Event:
    """One event from a record's value (structured mode) or its value and `ce_*` headers (binary mode).

    Raises Rejected with not_json, not_cloudevent, unknown_type, schema or too_large.
    """
    if value is not None and len(value) <= MAX_VALUE_BYTES:
        try:
            event = _decode_event(value)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError):
            return _within_size(_in_nfc(_decode_slowly(value, headers)))
        event = event if value.isascii() and b"\\" not in value else _in_nfc(event)
        return event if len(value) <= _SMALL_BYTES else _within_size(event)
    if value is None:
        raise Rejected(Reason.NOT_JSON, "the record has no value; to take a statement back send a withdrawn event with a body")
    raise Rejected(Reason.TOO_LARGE, f"{len(value)} bytes; an event has at most {MAX_VALUE_BYTES}: split it by commune")


def _within_size(event: Event) -> Event:
    """The event, unless its writer could not send it: binary mode and other spellings are shorter than what `encode` writes."""
    size = len(_encoder.encode(event))
    if size > MAX_VALUE_BYTES:
        raise Rejected(Reason.TOO_LARGE, f"{size} bytes in structured mode; an event has at most {MAX_VALUE_BYTES}: split it by commune")
    return event


def _in_nfc(event: Event) -> Event:
    """The same event with its text in NFC (spreadsheets on a Mac write NFD)."""
    if unicodedata.is_normalized("NFC", _encoder.encode(event).decode()):
        return event
    try:
        normal: Event = msgspec.convert(normalized(msgspec.to_builtins(event)), Event)
    except msgspec.ValidationError as error:
        raise Rejected(Reason.SCHEMA, f"{error} once its text is in NFC; shorten it and send it again") from None
    return normal


def normalized(plain: Any) -> Any:
    """Every text in NFC, one by one: in the JSON text itself the `n` of an escaped line break would combine with what follows it."""
    if isinstance(plain, dict):
        return {name: normalized(value) for name, value in plain.items()}
    if isinstance(plain, list | tuple):
        return [normalized(value) for value in plain]
    return unicodedata.normalize("NFC", plain) if isinstance(plain, str) else plain


def _decode_slowly(value: bytes, headers: Sequence[tuple[str, bytes | None]] | None) -> Event:
    """Binary mode, or the reason why this is no event. Only records that did not decode at once come here."""
    try:
        plain: Any = msgspec.json.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        raise Rejected(Reason.NOT_JSON, f"the value is not JSON in UTF-8 ({error}); send one JSON object a record") from None
    attributes = {name.lower(): raw for name, raw in headers or ()}
    if not (isinstance(plain, dict) and "specversion" in plain) and "ce_specversion" in attributes:
        plain = _from_binary(plain, attributes)
    if not isinstance(plain, dict) or not all(isinstance(plain.get(k), str) for k in ("id", "source", "type")):
        raise Rejected(Reason.NOT_CLOUDEVENT, "no CloudEvents 1.0 object: specversion, id, source and type must be there as text")
    if plain.get("specversion") != "1.0":
        raise Rejected(Reason.NOT_CLOUDEVENT, f"specversion is {str(plain.get('specversion'))[:20]!r}; send CloudEvents 1.0")
    if plain["type"] not in _TYPES:
        raise Rejected(Reason.UNKNOWN_TYPE, f"type {plain['type'][:100]!r} is not known; use one of: {', '.join(sorted(_TYPES))}")
    try:
        event: Event = msgspec.convert(plain, Event)
    except (msgspec.ValidationError, OverflowError) as error:
        raise Rejected(Reason.SCHEMA, f"{error}; mend that field (docs/events.md has the fields) and send it again") from None
    return event


def _from_binary(data: Any, attributes: Mapping[str, bytes | None]) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = {name[3:]: raw.decode() for name, raw in attributes.items() if name.startswith("ce_") and raw is not None}
        content_type = (attributes.get("content-type") or b"application/json").decode()
    except UnicodeDecodeError:
        raise Rejected(Reason.NOT_CLOUDEVENT, "a ce_ header is not UTF-8; send its text in UTF-8") from None
    if not _BINARY_CONTENT.fullmatch(content_type):
        raise Rejected(Reason.NOT_CLOUDEVENT, f"content-type {content_type[:100]!r} is not JSON; send application/json")
    return {**plain, "datacontenttype": content_type, "data": data}
