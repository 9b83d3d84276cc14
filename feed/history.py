"""The history of verdicts: each key's entries, every one once.

Comes in: the records of coverage.verdicts.v1 in the order of their partitions. Goes out: `Entry`s. Owns the last KEPT_OF_KEY of each key,
in memory. An entry that was written again after a crash has the id of the first and is left out; what cannot be read raises.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime
from itertools import chain

import msgspec
from msgspec import Struct

from phusong.rows import VerdictEvent, decode_verdict

KEPT_OF_KEY = 1_000
"""A key whose verdict changes daily is remembered for three years; the topic itself keeps everything."""


class Entry(Struct, frozen=True):
    """A change of verdict, the wall time at which the broker took it, and its place in its partition."""

    event: VerdictEvent
    published: datetime
    offset: int

    @property
    def order(self) -> tuple[str, str, str]:
        """Oldest first; a key stays in its partition, where the offset tells what came after what at the same moment."""
        return f"{self.event.data.as_of.timestamp():020.6f}", self.event.data.key, f"{self.offset:020}"


class History:
    """The entries by key. One thread writes; whoever else reads holds the writer's lock."""

    def __init__(self) -> None:
        self._entries: dict[bytes, deque[Entry]] = {}
        self._ids: dict[bytes, set[str]] = {}
        self._in_order: tuple[Entry, ...] | None = ()

    def add(self, key: bytes | None, value: bytes | None, published: datetime, offset: int) -> Entry | None:
        """The entry where it is new, None where its id is known. Raises one of UNREADABLE where it is none of its key."""
        event = decode_verdict(value or b"")
        if key != event.data.key.encode():
            raise msgspec.ValidationError("the record has another key")
        ids = self._ids.setdefault(key, set())
        if event.id in ids:
            return None
        entries = self._entries.setdefault(key, deque())
        if len(entries) == KEPT_OF_KEY:
            ids.discard(entries.popleft().event.id)
        entry = Entry(event, published, offset)
        ids.add(event.id)
        entries.append(entry)
        self._in_order = None
        return entry

    def entries(self) -> tuple[Entry, ...]:
        """Every entry, oldest first; they are put in order when they are next asked for."""
        if self._in_order is None:
            self._in_order = tuple(sorted(chain.from_iterable(self._entries.values()), key=lambda entry: entry.order))
        return self._in_order

    def last(self, key: bytes) -> Entry | None:
        """The last entry of a key."""
        entries = self._entries.get(key)
        return entries[-1] if entries else None
