"""The dead letters as an administrator asks about them: which there are, what today's rules make of each, whether it was sent back.

Comes in: the topic of the dead letters, the source topics (for `phusong-replay-of`), the rules, and files of mended events. Goes out:
`Found` (one row a letter, however often the topic holds it), the letters themselves one by one, and the lines of a file. Owns at most
`KEPT_MAX` rows in memory; a letter's bytes are held only while it is looked at. A record of the topic that is no dead letter is counted
and left out; a line that mends nothing is a `Rejected`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import Message
from msgspec import Struct

from feed.reading import Reading, Tell, headers_of
from phusong.admission import Admission
from phusong.events import Event, Reason, Rejected, decode
from phusong.settings import Kafka, SettingsError
from phusong.topics import DEAD_LETTERS, MAX_VALUE_BYTES, SOURCES
from streams.dead_letters import PREFIX

KEPT_MAX = 10_000
"""How many letters, the newest, one command looks at."""
REPLAY_OF = PREFIX + "replay-of"
"""The header of a record that was sent back: the identity of its letter."""
MENDS = "phusongreplayof"
"""The attribute of a mended event: the identity of its letter. CloudEvents takes small letters and digits only."""
WHY = "phusongreason"
"""The attribute of an exported event that says what is wrong with it."""
_IDENTITY = re.compile(r"(?:coverage\.)?([a-z]{1,20})(?:\.v1)?/([0-9]{1,6})/([0-9]{1,18})")
_DOMAIN_OF = {topic.name: domain for domain, topic in SOURCES.items()}
_LINE_BYTES_MAX = MAX_VALUE_BYTES + 8192  # an event and the two attributes above
_NO_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError)
_SHOWN_MAX = 200


class Identity(NamedTuple):
    """Which record was rejected; as text `postal/8/1234`: domain, partition, offset."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{_DOMAIN_OF.get(self.topic, self.topic)}/{self.partition}/{self.offset}"


class Today(StrEnum):
    """What today's rules make of the record of a letter."""

    SEND = "send"
    """It is admitted once it travels as it should: it can be sent back unchanged."""
    MEND = "mend"
    """It would be rejected again."""
    COUNTS = "counts"
    """It is admitted where it lies: every worker with these rules counts it, nothing is to be sent."""


class Letter(Struct, frozen=True, kw_only=True, gc=False):
    """A dead letter, whole. `headers`: the rejected record's own; `place`: partition and offset of the letter itself."""

    identity: Identity
    place: tuple[int, int]
    reason: str
    sentence: str
    rules: int
    taken_at_ms: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


class Row(Struct, frozen=True, kw_only=True, gc=False):
    """What is told of a letter. `reporter`, `commune`: "" where they cannot be read; `now`: the sentence of today's rules where `mend`."""

    identity: str
    taken_at: datetime
    reason: str
    reporter: str
    commune: str
    sentence: str
    rules: int
    today: Today
    now: str
    replayed_at: datetime | None
    place: tuple[int, int]


class Found(Struct, frozen=True, kw_only=True):
    """The newest letters, oldest first, and their number by reason; `left_out` older ones matched too; `unreadable` are no letters."""

    letters: list[Row]
    by_reason: dict[str, int]
    left_out: int
    unreadable: int


class Wanted(Struct, frozen=True, kw_only=True):
    """Which letters: each empty field lets all through. `since` and `until` bound the moment at which Kafka took the record."""

    identities: frozenset[Identity] = frozenset()
    reasons: frozenset[str] = frozenset()
    reporters: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None

    def holds(self, letter: Letter) -> bool:
        """Whether it is one of them; the reporter is asked last, since it must be read out of the value."""
        at = datetime.fromtimestamp(letter.taken_at_ms / 1000, UTC)
        return (
            (not self.identities or letter.identity in self.identities)
            and (not self.reasons or letter.reason in self.reasons)
            and (self.since is None or at >= self.since)
            and (self.until is None or at <= self.until)
            and (not self.reporters or about(letter)[0] in self.reporters)
        )


class Mended(NamedTuple):
    """A line of a file of mended events: its number from 1, the letter that it mends (None: it names none), its event or why it is none."""

    number: int
    identity: Identity | None
    outcome: Event | Rejected


def identity(text: str) -> Identity:
    """`postal/8/1234`, or with the topic's whole name. Raises SettingsError."""
    match = _IDENTITY.fullmatch(text.strip())
    if match is None or match[1] not in SOURCES:
        raise SettingsError(
            f"{text[:80]!r} names no dead letter; write domain/partition/offset as `phusong dead-letters list` shows it: postal/8/1234"
        )
    return Identity(SOURCES[match[1]].name, int(match[2]), int(match[3]))


def look(kafka: Kafka, admission: Admission, wanted: Wanted, now_ms: int, tell: Tell) -> Found:
    """The letters that are wanted, each with what today's rules make of it and when it was sent back. Raises ReadingError.

    `now_ms`: the wall clock. The topic is read whole, the source topics from the oldest of these letters on.
    """
    kept: dict[Identity, Row] = {}
    unreadable = left_out = 0

    def take(_topic: str, _partition: int, run: list[Message]) -> None:
        nonlocal unreadable, left_out
        for message in run:
            letter = _letter(message)
            if letter is None:
                unreadable += 1
                continue
            # a record that other rules rejected for another reason has a later letter: it is the one that holds
            kept.pop(letter.identity, None)
            if wanted.holds(letter):
                kept[letter.identity] = _row(admission, letter, now_ms)
        if len(kept) > 2 * KEPT_MAX:
            left_out += _keep_newest(kept)

    shares = {one.partition for one in wanted.identities} or None
    with Reading(kafka, [DEAD_LETTERS.name], shares) as letters:
        letters.read(take, tell)
    left_out += _keep_newest(kept)
    replayed = _replayed(kafka, kept, tell)
    rows = [
        msgspec.structs.replace(row, replayed_at=replayed.get(one))
        for one, row in sorted(kept.items(), key=lambda item: (item[1].taken_at, item[0]))
    ]
    reasons = Counter(row.reason for row in rows)
    return Found(letters=rows, by_reason=dict(reasons.most_common()), left_out=left_out, unreadable=unreadable)


def each(kafka: Kafka, rows: Collection[Row], take: Callable[[Letter], None], tell: Tell) -> None:
    """The letters of these rows, whole, one by one in the order of the log. Raises ReadingError."""
    if not rows:
        return
    places = {row.place for row in rows}

    def found(_topic: str, partition: int, run: list[Message]) -> None:
        for message in run:
            if (partition, message.offset()) in places and (letter := _letter(message)) is not None:
                take(letter)

    with Reading(kafka, [DEAD_LETTERS.name], {place[0] for place in places}) as letters:
        letters.read(found, tell)


def judge(admission: Admission, letter: Letter, now_ms: int) -> tuple[Today, Event | None, str]:
    """What today's rules make of the record: the event where it is one, and the sentence of its rejection where it would come to that."""
    domain = _DOMAIN_OF.get(letter.identity.topic, "")
    try:
        event = decode(letter.value, letter.headers)
        with suppress(Rejected):
            admission.event(event, letter.key, domain, letter.identity.partition, letter.taken_at_ms)
            # admitted, and yet it did not count: a worker that runs since then does not know it
            return (Today.SEND if letter.reason == Reason.PROCESSOR_ERROR else Today.COUNTS), event, ""
        admission.outgoing(event, now_ms)
    except Rejected as error:
        return Today.MEND, None, str(error)
    except Exception as error:  # noqa: BLE001 - what a worker could not foresee cannot be foreseen here: it stays where it is
        return Today.MEND, None, f"{Reason.PROCESSOR_ERROR}: {type(error).__name__}: {str(error)[:_SHOWN_MAX]}; report it"
    return Today.SEND, event, ""


def about(letter: Letter) -> tuple[str, str]:
    """The source and the commune of a record, event or not; "" where they cannot be read."""
    plain = _plain(letter)
    data = plain.get("data")
    commune = data.get("commune") if isinstance(data, dict) else None
    return _named(plain.get("source")), _named(commune)


def exported(letter: Letter, why: str) -> bytes:
    """The record as one line of JSON, to be mended in an editor: which letter, what is wrong (`why`), then the event as it came.

    Where there is no JSON object in it: what there is, as text under `unreadable`.
    """
    plain = _plain(letter) or {"unreadable": text(letter.value)}
    ours = {MENDS: str(letter.identity), WHY: why}
    return msgspec.json.encode({**ours, **{name: value for name, value in plain.items() if name not in ours}})


def text(value: bytes | None) -> str:
    """Bytes as text, or as pairs of hexadecimal digits where they are none; "" for none at all."""
    try:
        found = (value or b"").decode()
    except UnicodeDecodeError:
        return (value or b"").hex(" ")
    return printable(found)


def printable(found: str) -> str:
    """What strangers wrote, harmless in a terminal: a character that is not printed is named by its code."""
    if found.isprintable():
        return found
    return "".join(one if one.isprintable() or one in "\n\t" else one.encode("unicode_escape").decode() for one in found)


def mended(path: Path) -> Iterator[Mended]:
    """The lines of a file of mended events (JSONL in UTF-8), blank ones left out. Raises OSError."""
    try:
        with path.open("rb") as file:
            for number in count(1):
                line = piece = file.readline(_LINE_BYTES_MAX)
                if not piece:
                    return
                while not piece.endswith(b"\n") and (piece := file.readline(_LINE_BYTES_MAX)):
                    # passed over, never held whole; the rest cannot be valid JSON
                    line = line[:_LINE_BYTES_MAX] + b"\0"
                if line.strip():
                    yield _mended(number, line.removeprefix(b"\xef\xbb\xbf").strip())
    except OSError as error:
        raise OSError(f"{path}: cannot be read ({error.strerror or error}); name the file that `dead-letters export` wrote") from error


def _mended(number: int, line: bytes) -> Mended:
    if line.endswith(b"\0"):
        return Mended(number, _named_in(line), Rejected(Reason.TOO_LARGE, f"more than {MAX_VALUE_BYTES} bytes; split it by commune"))
    try:
        plain: Any = msgspec.json.decode(line)
    except _NO_JSON as error:
        return Mended(number, _named_in(line), Rejected(Reason.NOT_JSON, f"{error}; one JSON object a line, in UTF-8"))
    name = plain.pop(MENDS, None) if isinstance(plain, dict) else None
    which = None
    if isinstance(name, str):
        with suppress(SettingsError):
            which = identity(name)
    if which is None:
        return Mended(number, None, Rejected(Reason.SCHEMA, f"{MENDS} does not name the letter that this line mends; write postal/8/1234"))
    plain.pop(WHY, None)
    try:
        return Mended(number, which, decode(msgspec.json.encode(plain)))
    except Rejected as error:
        return Mended(number, which, error)


def _named_in(line: bytes) -> Identity | None:
    """The letter that a line names though it is no JSON: its other lines must not be sent without it."""
    match = re.search(rb'"%s"\s*:\s*"([a-z0-9./]{1,60})"' % MENDS.encode(), line)
    with suppress(SettingsError):
        return identity(match[1].decode()) if match else None
    return None


def _letter(message: Message) -> Letter | None:
    """The letter as streams/dead_letters.py writes it: the record's own headers, then ours; None: it is none."""
    headers = headers_of(message)
    # the last one: a rejected record may carry headers of these names itself
    begins = max((number for number, (name, _) in enumerate(headers) if name == PREFIX + "reason"), default=len(headers))
    said = {name.removeprefix(PREFIX): (raw or b"").decode(errors="replace") for name, raw in headers[begins:]}
    try:
        return Letter(
            identity=Identity(said["topic"], int(said["partition"]), int(said["offset"])),
            place=(message.partition(), message.offset()),
            reason=said["reason"],
            sentence=said["sentence"],
            rules=int(said["rules"]),
            taken_at_ms=int(said["timestamp"]),
            key=message.key(),
            value=message.value(),
            headers=headers[:begins],
        )
    except (KeyError, ValueError):
        return None


def _row(admission: Admission, letter: Letter, now_ms: int) -> Row:
    reporter, commune = about(letter)
    today, _, now = judge(admission, letter, now_ms)
    return Row(
        identity=str(letter.identity),
        taken_at=datetime.fromtimestamp(letter.taken_at_ms / 1000, UTC),
        reason=letter.reason,
        reporter=reporter,
        commune=commune,
        sentence=printable(letter.sentence),
        rules=letter.rules,
        today=today,
        now=printable(now),
        replayed_at=None,
        place=letter.place,
    )


def _keep_newest(kept: dict[Identity, Row]) -> int:
    """Drop all but the newest; how many those were."""
    over = len(kept) - KEPT_MAX
    for one in sorted(kept, key=lambda one: kept[one].taken_at)[: max(0, over)]:
        del kept[one]
    return max(0, over)


def _replayed(kafka: Kafka, kept: Mapping[Identity, Row], tell: Tell) -> dict[Identity, datetime]:
    """When each was first sent back, by the headers of the source topics.

    All of their partitions are read, from the oldest letter on: a mended event may have gone to another province or domain than its letter.
    """
    if not kept:
        return {}
    names = {header_value(one): one for one in kept}
    found: dict[Identity, datetime] = {}

    def take(_topic: str, _partition: int, run: list[Message]) -> None:
        for message in run:
            for name, raw in headers_of(message):
                if name == REPLAY_OF and (one := names.get(raw or b"")) is not None:
                    at = datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)
                    found[one] = min(at, found.get(one, at))

    oldest_ms = int(min(row.taken_at for row in kept.values()).timestamp() * 1000)
    with Reading(kafka, [topic.name for topic in SOURCES.values()], since_ms=oldest_ms) as sources:
        sources.read(take, tell)
    return found


def header_value(one: Identity) -> bytes:
    """What `phusong-replay-of` holds: the topic's whole name, partition, offset."""
    return f"{one.topic}/{one.partition}/{one.offset}".encode()


def _plain(letter: Letter) -> dict[str, Any]:
    """The record as a CloudEvent that may lack anything, from structured or binary mode; empty where it is no JSON."""
    try:
        value: Any = msgspec.json.decode(letter.value or b"")
    except _NO_JSON:
        return {}
    attributes = {name.lower(): raw for name, raw in letter.headers}
    if "ce_specversion" in attributes and not (isinstance(value, dict) and "specversion" in value):
        named = {name[3:]: (raw or b"").decode(errors="replace") for name, raw in attributes.items() if name.startswith("ce_")}
        return {**named, "data": value}
    return value if isinstance(value, dict) else {}


def _named(value: object) -> str:
    return printable(value)[:_SHOWN_MAX] if isinstance(value, str) else ""
