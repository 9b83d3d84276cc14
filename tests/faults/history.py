"""The core's answer at every moment of the log, to hold each published row against, not only the last.

Comes in: `Log`, the source topics as the broker acknowledged them. Goes out: `History.problems(records)`. Owns no state beyond memory.
A row of one domain depends on the offset that its own topic was applied up to. Its version tells the sum over the three topics; and none
can have been read further than it reached when the row was appended. Between these bounds the row must be the core's answer somewhere.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime
from itertools import pairwise

from phusong import rows
from phusong.admission import Admission
from phusong.events import Rejected
from phusong.province import Province
from phusong.register import Base
from phusong.rows import CommuneRow, ProvinceRow, State, Version
from phusong.topics import SOURCES
from tests.workers import DOMAIN_OF, Log, Record


class History:
    """Every answer of the core while the clock shows `as_of` and later, as long as time alone changes nothing."""

    def __init__(self, log: Log, as_of: datetime) -> None:
        rules = log.rules
        self._as_of = as_of
        self._starts = log.starts
        self._appended: dict[tuple[str, int], tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
        self._answers: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
        """Record key -> (offset from which it holds, the row), ascending."""
        self._units = Counter((unit.vintage, unit.province) for unit in rules.register.units.values())
        self._provinces = {code: Province(rules, code) for code in rules.register.homes}
        for province in self._provinces.values():
            self._note(province, 0)
        admission = Admission(rules)
        for record in log.records:
            timestamps, offsets = self._appended[record.topic, record.partition]
            timestamps.append(record.timestamp_ms)
            offsets.append(record.offset + 1)
            domain = DOMAIN_OF[record.topic]
            try:
                event, route = admission.record(
                    record.value, list(record.headers), record.key, domain, record.partition, record.timestamp_ms
                )
            except Rejected:
                continue
            province = self._provinces[route.province]
            province.apply(route.cell, route.slot, event)
            if province.pending(as_of):
                self._note(province, record.offset + 1)
        self.next_due = min((due for p in self._provinces.values() if (due := p.next_due())), default=None)
        self._log = log

    def _note(self, province: Province, offset: int) -> None:
        for row in province.rows(self._as_of):
            self._answers[row.key].append((offset, rows.encode(row)))

    def problems(self, records: Iterable[Record]) -> list[str]:
        """The rows that are not the core's answer at their version, in words; a tombstone is one, too: no key is excluded here."""
        return [f"{r.topic}[{r.partition}]@{r.offset} {r.name} at {r.version}: {why}" for r in records if (why := self._why_wrong(r))]

    def _why_wrong(self, record: Record) -> str:
        row, version = record.row, record.version
        if row is None:
            return "a tombstone"
        if version.as_of < self._as_of or (self.next_due is not None and version.as_of >= self.next_due):
            return "as_of lies where the answer is not known here"
        if isinstance(row, ProvinceRow) and row.base is Base.UNITS and row.expected != self._units[row.vintage, row.province]:
            return f"weighs {row.expected}"
        if row.ratio is None or row.low is None or row.high is None or not 0 <= row.low <= row.ratio <= row.high <= 1:
            return f"{row.low} ≤ {row.ratio} ≤ {row.high} does not hold"
        return self._why_unlike_the_core(record, SOURCES[row.indicator.partition(".")[0]].name)

    def _why_unlike_the_core(self, record: Record, own: str) -> str:
        reach = {topic: self._reach(topic, record.partition, record.timestamp_ms) for topic in DOMAIN_OF}
        offsets = record.version.offsets
        lowest = max(0, offsets - sum(end for topic, end in reach.items() if topic != own))
        highest = min(offsets, reach[own])
        if lowest > highest:
            return f"its offsets lie beyond the log's at that time, {reach}"
        answers = self._answers[record.name]
        first = max(0, bisect_right(answers, lowest, key=lambda answer: answer[0]) - 1)
        last = bisect_right(answers, highest, key=lambda answer: answer[0])
        if not any(answer == record.value for _, answer in answers[first:last]):
            return f"none of the core's {last - first} answers between {own} {lowest} and {highest}: {record.value!r}"
        return ""

    def _reach(self, topic: str, partition: int, timestamp_ms: int) -> int:
        timestamps, offsets = self._appended[topic, partition]
        count = bisect_right(timestamps, timestamp_ms)
        return offsets[count - 1] if count else 0


def back_to_unknown(records: Iterable[Record], except_in: str) -> list[str]:
    """The rows of a province, and of its communes, that know less than a row of a lesser version of the same key."""
    versions: dict[str, list[tuple[Version, int, int]]] = defaultdict(list)
    for record in records:
        row = record.row
        assert row is not None, "a tombstone"
        if row.province == except_in:
            continue
        unknown = int(row.state is State.UNKNOWN) if isinstance(row, CommuneRow) else row.units[State.UNKNOWN]
        versions[f"{record.topic} {record.name}"].append((record.version, record.offset, unknown))
    return [
        f"{key}: {before[2]} unknown at {before[0]}, {after[2]} at {after[0]}"
        for key, known in versions.items()
        for before, after in pairwise(sorted(known))
        if after[2] > before[2]
    ]
