"""What is published, beside what it must be: rows, the chains of verdicts, dead letters.

Comes in: rows as readers hold them and as the core recomputes them; every verdict and dead letter; every record that today's rules reject.
Goes out: `Difference`s. Owns what it was told, in memory. A verdict or a dead letter that cannot be read is a difference.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct

from feed.snapshot import Held
from phusong.events import Reason
from phusong.rows import UNREADABLE, Row, Verdict, VerdictEvent, decode_verdict, verdict_id
from streams.dead_letters import PREFIX

Headers = list[tuple[str, bytes | None]]
Identity = tuple[str, int, int]
"""(topic, partition, offset) of a record of a source topic."""


class Kind(StrEnum):
    """What differs."""

    ROW = "row"
    VERDICT = "verdict"
    DEAD_LETTER = "dead_letter"
    LOG = "log"


class Difference(Struct, frozen=True, kw_only=True):
    """One thing that is not as it must be: `field` of `key` is `published`, and `recomputed` from the log. None: there is none.

    `behind`: how many records the log held beyond those that the published row has seen.
    """

    kind: Kind
    key: str
    field: str
    published: Any
    recomputed: Any
    behind: int = 0
    may_settle: bool = False
    """Whether a worker that is merely behind would look like this."""


def row_differences(held: Held[Any] | None, expected: Row | None, offsets: int, as_of: datetime) -> list[Difference]:
    """A published row beside the recomputed one, field by field; `offsets`, `as_of`: what its share's log and rows have got to."""
    if held is None:
        assert expected is not None  # noqa: S101 - there is nothing to compare otherwise
        return [Difference(kind=Kind.ROW, key=expected.key, field="row", published=None, recomputed="present", may_settle=True)]
    row, version = held.row, held.version
    if expected is None:
        return [Difference(kind=Kind.ROW, key=row.key, field="row", published="present", recomputed=None)]
    found = []
    if version.offsets > offsets:
        # whatever it says: until the log gets there no true row replaces it
        found.append(Difference(kind=Kind.ROW, key=row.key, field="version.offsets", published=version.offsets, recomputed=offsets))
    behind = max(0, offsets - version.offsets)
    plain, wanted = msgspec.to_builtins(row), msgspec.to_builtins(expected)
    found += [
        Difference(
            kind=Kind.ROW,
            key=row.key,
            field=field,
            published=plain[field],
            recomputed=wanted[field],
            behind=behind,
            may_settle=behind > 0 or version.as_of < as_of,
        )
        for field in expected.__struct_fields__
        if getattr(row, field) != getattr(expected, field)
    ]
    return found


class Chains:
    """The history of verdicts: per key, after deduplication by id, each entry must follow from the one before."""

    def __init__(self) -> None:
        self.entries = 0
        self.broken: list[Difference] = []
        self.ends: dict[str, VerdictEvent] = {}
        """Key -> its last entry."""
        self._ids: dict[str, set[str]] = {}
        self._lately: dict[str, set[Verdict]] = {}
        self._right: set[str] = set()

    def look_again(self) -> None:
        """From now on a row may show what its chain says at this moment, or any later entry: both go on while they are read."""
        self._lately = {key: {end.data.to} for key, end in self.ends.items()}

    def add(self, key: bytes | None, value: bytes | None, where: str) -> None:
        """The next entry, in the order of its partition; `where`: its topic, partition and offset in words."""
        self.entries += 1
        try:
            entry = decode_verdict(value or b"")
        except UNREADABLE as error:
            self._note(where, "value", f"unreadable: {error}", "a verdict")
            return
        data, name = entry.data, (key or b"").decode(errors="replace")
        known = self._ids.setdefault(name, set())
        if entry.id in known:
            return
        known.add(entry.id)
        before = self.ends.get(name)
        last = None if before is None else (before.id, before.data.to)
        for field, told, true in (
            ("key", name, data.key),
            ("id", entry.id, verdict_id(data.key, data.previous, data.to)),
            ("previous", data.previous, last and last[0]),
            ("from", data.from_, last and last[1]),
        ):
            if told != true:
                self._note(f"{name} {where}", field, told, true)
        if last is not None and data.to is last[1]:
            self._note(f"{name} {where}", "to", data.to, "another verdict than before")
        self.ends[name] = entry
        if name in self._lately:
            self._lately[name].add(data.to)

    def differences(self, shown: Mapping[str, Verdict]) -> list[Difference]:
        """What is broken, and where a row (key -> verdict that it shows) and the end of its chain differ."""
        found = list(self.broken)
        for key, verdict in shown.items():
            end = self.ends.get(key)
            told = None if end is None else end.data.to
            if told is verdict or verdict in self._lately.get(key, ()):
                self._right.add(key)
            elif key not in self._right:
                found.append(
                    Difference(kind=Kind.VERDICT, key=key, field="last entry", published=told, recomputed=verdict, may_settle=True)
                )
        return found

    def _note(self, key: str, field: str, published: object, recomputed: object) -> None:
        self.broken.append(Difference(kind=Kind.VERDICT, key=key, field=field, published=published, recomputed=recomputed))


class Letter(Struct, frozen=True, gc=False):
    """What a dead letter, or the record that it must hold, says: why, by which rules, and a digest of key, value and headers."""

    reason: str
    rules: int
    timestamp_ms: int
    digest: bytes


class Admitted(Struct, frozen=True, kw_only=True):
    """A record that was rejected by earlier rules and counts by today's."""

    topic: str
    partition: int
    offset: int
    reason: str
    rules: int


class Letters:
    """Dead letters and the records that today's rules reject: each must have the other."""

    def __init__(self) -> None:
        self.rejected: dict[Identity, Letter] = {}
        self.sent: dict[Identity, tuple[Letter, ...]] = {}
        """Sent more than once by one set of rules they are one; kept apart only where they differ."""
        self._unreadable: list[Difference] = []

    def reject(
        self, where: Identity, reason: Reason, rules: int, timestamp_ms: int, content: tuple[bytes | None, bytes | None, Headers]
    ) -> None:
        """A record that today's rules reject; `content`: key, value, headers."""
        self.rejected[where] = Letter(reason.value, rules, timestamp_ms, digest(*content))

    def letter(self, key: bytes | None, value: bytes | None, headers: Headers, where: str) -> None:
        """A dead letter, as streams/dead_letters.py writes it: the record's own headers, then ours."""
        own = [name.startswith(PREFIX) for name, _ in headers]
        count = len(_OURS)
        said = {name.removeprefix(PREFIX): (raw or b"").decode(errors="replace") for name, raw in headers[-count:]}
        try:
            if not all(own[-count:]):
                raise KeyError("headers")
            identity = (said["topic"], int(said["partition"]), int(said["offset"]))
            content = (key, value, headers[:-count])
            one = Letter(said["reason"], int(said["rules"]), int(said["timestamp"]), digest(*content))
        except (KeyError, ValueError) as error:
            told = f"unreadable: {error}"
            self._unreadable.append(
                Difference(kind=Kind.DEAD_LETTER, key=where, field="headers", published=told, recomputed=", ".join(_OURS))
            )
            return
        known = self.sent.get(identity, ())
        if one not in known:
            self.sent[identity] = (*known, one)

    def compare(
        self,
        rules: int,
        due: Mapping[tuple[str, int], int],
        ends: Mapping[tuple[str, int], int],
        begins_ms: Mapping[str, int],
        kept_since_ms: int,
    ) -> tuple[list[Difference], Counter[int], list[Admitted]]:
        """Differences; letters missing under these rules though others have sent one, by rules; what counts by now.

        `due`: up to where each reject must have its letter; `ends`: how far the log was read; `begins_ms`: when each topic's first record
        was taken (letters of earlier ones are of a log that is gone); `kept_since_ms`: letters of older records may be gone.
        """
        found = list(self._unreadable)
        others: Counter[int] = Counter()
        for identity, reject in self.rejected.items():
            letters = self._of_this_log(identity, begins_ms)
            own = [one for one in letters if one.rules == rules]
            if not own and identity[2] >= due.get(identity[:2], 0):
                continue
            if not letters and reject.timestamp_ms >= kept_since_ms:
                found.append(_letter(identity, "letter", None, reject.reason, may_settle=True))
            if letters and not own:
                others[max(one.rules for one in letters)] += 1
            found += [_letter(identity, "reason", one.reason, reject.reason) for one in own if one.reason != reject.reason]
            if any(one.digest != reject.digest for one in letters):
                found.append(_letter(identity, "bytes", "other key, value or headers", "the record's own"))
        admitted = []
        for identity in self.sent.keys() - self.rejected.keys():
            topic, partition, offset = identity
            letters = self._of_this_log(identity, begins_ms)
            if not letters:
                continue
            in_log = offset < ends.get((topic, partition), 0)
            latest = max(letters, key=lambda one: one.rules)
            if in_log and all(one.rules < rules for one in letters):
                admitted.append(Admitted(topic=topic, partition=partition, offset=offset, reason=latest.reason, rules=latest.rules))
            elif in_log and latest.rules > rules:
                others[latest.rules] += 1
            else:
                found.append(_letter(identity, "letter", latest.reason, "admitted" if in_log else None))
        return found, others, sorted(admitted, key=lambda one: (one.topic, one.partition, one.offset))

    def _of_this_log(self, identity: Identity, begins_ms: Mapping[str, int]) -> list[Letter]:
        begin = begins_ms.get(identity[0])
        return [one for one in self.sent.get(identity, ()) if begin is not None and one.timestamp_ms >= begin]


_OURS = ("reason", "sentence", "topic", "partition", "offset", "timestamp", "rules")


def _letter(identity: Identity, field: str, published: object, recomputed: object, *, may_settle: bool = False) -> Difference:
    topic, partition, offset = identity
    key = f"{topic}[{partition}]@{offset}"
    return Difference(kind=Kind.DEAD_LETTER, key=key, field=field, published=published, recomputed=recomputed, may_settle=may_settle)


def digest(key: bytes | None, value: bytes | None, headers: Headers) -> bytes:
    """What tells two records' contents apart."""
    return hashlib.blake2b(msgspec.msgpack.encode((key, value, headers)), digest_size=16).digest()
