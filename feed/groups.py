"""Rows in groups, each group in the order of its keys: what is asked for is found without looking at all the rest.

Comes in: rows, each with its group and key. Goes out: the rows of a group, in order. Owns them. One thread writes; whoever else reads
holds the writer's lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

V = TypeVar("V")

Group = tuple[str, str, str]
"""(vintage, indicator, province)."""


class Groups(Generic[V]):
    """The rows. A group is put in order when it is next read: what is published comes in bursts."""

    def __init__(self) -> None:
        self._rows: dict[Group, dict[bytes, V]] = {}
        self._in_order: dict[Group, tuple[V, ...]] = {}

    def __iter__(self) -> Iterator[Group]:
        return iter(self._rows)

    def put(self, group: Group, key: bytes, row: V) -> None:
        """Add or replace a row."""
        self._rows.setdefault(group, {})[key] = row
        self._in_order.pop(group, None)

    def remove(self, group: Group, key: bytes) -> None:
        """Take a row out that is there."""
        rows = self._rows[group]
        del rows[key]
        if not rows:
            del self._rows[group]
        self._in_order.pop(group, None)

    def of(self, group: Group) -> tuple[V, ...]:
        """Its rows, by key; none where there is no such group."""
        found = self._in_order.get(group)
        if found is None:
            rows = self._rows.get(group, {})
            found = tuple(rows[key] for key in sorted(rows))
            if rows:
                self._in_order[group] = found
        return found
