"""Who has taken on a verdict that is not as it should be: acknowledgements, as CloudEvents of their own topic.

Comes in: the value of one record of coverage.acknowledgements.v1, or an `Acknowledged` to be sent there. Goes out: the event, its bytes and
its record key; `Desk`, which of them counts for each verdict. They are no facts about coverage: no ratio and no verdict depends on them.
`Desk` owns the last acknowledgement of each verdict. Bad input raises `Rejected` with a reason of the closed set and the remedy.
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from phusong.events import Instant, Name, Note, Origin, Reason, Rejected, normalized
from phusong.rules import Rules
from phusong.topics import MAX_VALUE_BYTES

ACKNOWLEDGED_TYPE = "vn.phusong.verdict.acknowledged.v1"
VERDICTS_KEPT = 100_000
"""Of how many verdicts a `Desk` remembers who has taken them; the oldest are forgotten first."""

CLOCK_TOLERANCE = timedelta(minutes=1)
"""How far the sender's clock may run ahead of Kafka's."""

VerdictId = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]


class Acknowledgement(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody takes a verdict on, which is of (vintage, province, indicator)."""

    vintage: Name
    province: Name
    indicator: Name
    verdict: VerdictId
    """Id of its entry in coverage.verdicts.v1."""
    owner: Name | None
    """Who sees to it; None: it is given back, nobody does."""
    reason: Annotated[Note, Meta(min_length=1)]
    """What is being done, in a sentence."""
    origin: Origin = Origin.REAL

    @property
    def key(self) -> str:
        """The record key in coverage.acknowledgements.v1, the verdict's own."""
        return f"{self.vintage}/{self.province}/{self.indicator}"


class Acknowledged(Struct, frozen=True, kw_only=True, tag_field="type", tag=ACKNOWLEDGED_TYPE):
    """An acknowledgement of a verdict as a CloudEvent; `source`: who says so."""

    specversion: Annotated[str, Meta(pattern="^1\\.0$")]
    id: Annotated[str, Meta(min_length=1, max_length=500)]
    source: Name
    time: Instant
    datacontenttype: str = "application/json"
    data: Acknowledgement


_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(Acknowledged).decode


def encode_acknowledged(event: Acknowledged) -> bytes:
    """The event as one JSON object, text in NFC; what `decode_acknowledged` reads back equal."""
    return _encode(_in_nfc(event))


def decode_acknowledged(value: bytes | None) -> Acknowledged:
    """Raises Rejected with not_json, not_cloudevent, unknown_type, schema or too_large."""
    if value is None:
        raise Rejected(Reason.NOT_JSON, "the record has no value; to give a verdict back send an acknowledgement with owner null")
    if len(value) > MAX_VALUE_BYTES:
        raise Rejected(Reason.TOO_LARGE, f"{len(value)} bytes; an acknowledgement has at most {MAX_VALUE_BYTES}")
    try:
        return _in_nfc(_decode(value))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        raise _why_not(value, error) from None


def is_acknowledgement(value: bytes) -> bool:
    """Whether an event says of itself that it is one."""
    if ACKNOWLEDGED_TYPE.encode() not in value:
        return False
    try:
        plain: Any = msgspec.json.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError):
        return False
    return isinstance(plain, dict) and plain.get("type") == ACKNOWLEDGED_TYPE


def check_acknowledged(rules: Rules, event: Acknowledged, now: datetime) -> None:
    """Raise Rejected where it is about a list of communes, a province or an indicator that has no row, or of a time that is yet to come."""
    data = event.data
    if data.vintage not in rules.register.vintages:
        known = ", ".join(sorted(rules.register.vintages))
        raise Rejected(Reason.UNKNOWN_VINTAGE, f"vintage {data.vintage!r} is not known; use one of: {known}")
    if data.indicator not in rules.catalogue.indicators:
        raise Rejected(Reason.UNKNOWN_INDICATOR, f"indicator {data.indicator!r} is not in the catalogue; see seeds/indicators.csv")
    if not any(unit.vintage == data.vintage and unit.province == data.province for unit in rules.register.units.values()):
        raise Rejected(Reason.UNKNOWN_COMMUNE, f"province {data.province!r} has no commune in the list {data.vintage}; mend province")
    if lies_ahead(event, now):
        raise Rejected(Reason.OBSERVED_IN_FUTURE, f"time {event.time.isoformat()} lies ahead; see to the sender's clock")


def lies_ahead(event: Acknowledged, now: datetime) -> bool:
    """Whether it is of a time that is yet to come: it would stay the greatest until then, and nobody could give the verdict back."""
    return event.time - now > CLOCK_TOLERANCE


class Desk:
    """Which acknowledgement counts for each verdict: the greatest by (time, id), whatever the order in which they came.

    A verdict is one of its own key: who may speak about one indicator takes on no verdict of another.
    """

    def __init__(self) -> None:
        self._last: OrderedDict[tuple[str, str], Acknowledged] = OrderedDict()

    def take(self, event: Acknowledged) -> bool:
        """Whether that changed who has the verdict."""
        about = event.data.key, event.data.verdict
        known = self._last.get(about)
        if known is not None and (event.time, event.id) <= (known.time, known.id):
            return False
        self._last[about] = event
        if len(self._last) > VERDICTS_KEPT:
            self._last.popitem(last=False)
        return True

    def who_has(self, key: str, verdict: str) -> Acknowledged | None:
        """The acknowledgement that counts; None: nobody has taken it, or it was given back."""
        event = self._last.get((key, verdict))
        return None if event is None or event.data.owner is None else event

    def all(self) -> list[Acknowledged]:
        """The one that counts of each verdict, those that were given back too."""
        return list(self._last.values())


def _in_nfc(event: Acknowledged) -> Acknowledged:
    """The same with its text in NFC."""
    return msgspec.convert(normalized(msgspec.to_builtins(event)), Acknowledged)


def _why_not(value: bytes, error: Exception) -> Rejected:
    try:
        plain: Any = msgspec.json.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError):
        return Rejected(Reason.NOT_JSON, f"the value is not JSON in UTF-8 ({error}); send one JSON object a record")
    if not isinstance(plain, dict) or plain.get("specversion") != "1.0":
        return Rejected(Reason.NOT_CLOUDEVENT, "no CloudEvents 1.0 object: specversion, id, source and type must be there as text")
    if plain.get("type") != ACKNOWLEDGED_TYPE:
        return Rejected(Reason.UNKNOWN_TYPE, f"type {str(plain.get('type'))[:100]!r} is none of this topic; send {ACKNOWLEDGED_TYPE}")
    return Rejected(Reason.SCHEMA, f"{error}; mend that field (docs/acknowledgements.md has the fields) and send it again")
