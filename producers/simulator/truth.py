"""The truth of a simulation: what a perfect observer would know at each moment, so that detection can be scored.

Comes in: the world, as it changes; or the JSONL file that was written of it. Goes out: records, one JSON object a line, in the order of
time (docs/simulator.md has their shape); `Truth`, which answers what was so at a moment. Owns the last known value of each commune in force
and the sums of the provinces. A file that is no truth raises ValueError with its line.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import BinaryIO, TypeVar

import msgspec
from msgspec import Struct

from phusong.register import Unit
from producers.simulator.world import Seen, World

Group = tuple[str, str, str]
"""(list of communes, province, indicator)."""

INSTANT = timedelta(seconds=1)
"""A month's end is told this long before the next month."""


class Run(Struct, frozen=True, kw_only=True, tag_field="record", tag="run"):
    """What was simulated: the first line."""

    seed: int
    scenario: str
    rules: int
    start: datetime
    end: datetime
    provinces: tuple[str, ...]


class CommuneTruth(Struct, frozen=True, kw_only=True, tag_field="record", tag="commune"):
    """From this moment on a commune is so under an indicator; `uncovered`: the villages without, where the indicator counts villages."""

    at: datetime
    vintage: str
    province: str
    commune: str
    indicator: str
    covered: int
    expected: int
    uncovered: tuple[str, ...] | None


class ProvinceTruth(Struct, frozen=True, kw_only=True, tag_field="record", tag="province"):
    """From this moment on a province is so; also at each month's end. `ratio`: covered / expected; None: there is nothing to cover."""

    at: datetime
    vintage: str
    province: str
    indicator: str
    covered: int
    expected: int
    ratio: float | None


class IncidentTruth(Struct, frozen=True, kw_only=True, tag_field="record", tag="incident"):
    """A named incident, told at the end of the run.

    `start`, `end`: when it began and was over, within the run; `who`: the reporter or operator; `communes`: "list/code" of each commune
    concerned, in the list in force at its start; `events`: how many events it held back, delayed, repeated or made wrong; `changes`: how
    often it changed the true value of a commune.
    """

    name: str
    kind: str
    start: datetime
    end: datetime
    who: str
    indicators: tuple[str, ...]
    communes: tuple[str, ...]
    events: int
    changes: int


T = TypeVar("T", CommuneTruth, ProvinceTruth)
TruthRecord = Run | CommuneTruth | ProvinceTruth | IncidentTruth

_decode = msgspec.json.Decoder(TruthRecord).decode
encode_truth = msgspec.json.Encoder().encode


class Recorder:
    """Follows the world and tells what became true."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._seen: dict[tuple[str, str, str], Seen] = {}
        self._sums: dict[Group, list[int]] = {}

    def open(self, units: Iterable[Unit], at: datetime) -> Iterator[TruthRecord]:
        """A list of communes comes into force: every commune and province of it."""
        self._seen, self._sums = {}, {}
        for unit in units:
            for indicator in self._world.indicators:
                yield from self._look(unit, indicator.id, at)
        yield from self.sums(at)

    def look(self, units: Iterable[Unit], indicators: Iterable[str], at: datetime) -> Iterator[TruthRecord]:
        """What changed of these; communes first, then their provinces."""
        indicators = tuple(indicators)
        groups: dict[Group, None] = {}
        for unit in units:
            for indicator in indicators:
                for one in self._look(unit, indicator, at):
                    groups[unit.vintage, unit.province, indicator] = None
                    yield one
        for group in groups:
            yield self._province(group, at)

    def sums(self, at: datetime) -> Iterator[TruthRecord]:
        """Every province as it is."""
        for group in self._sums:
            yield self._province(group, at)

    def _look(self, unit: Unit, indicator: str, at: datetime) -> Iterator[CommuneTruth]:
        key = (*unit.id, indicator)
        before, now = self._seen.get(key), self._world.truth(unit, self._world.rules.catalogue.indicators[indicator])
        if now == before:
            return
        self._seen[key] = now
        sums = self._sums.setdefault((unit.vintage, unit.province, indicator), [0, 0])
        sums[0] += now.covered - (before.covered if before else 0)
        sums[1] += now.expected - (before.expected if before else 0)
        yield CommuneTruth(
            at=at,
            vintage=unit.vintage,
            province=unit.province,
            commune=unit.code,
            indicator=indicator,
            covered=now.covered,
            expected=now.expected,
            uncovered=now.uncovered,
        )

    def _province(self, group: Group, at: datetime) -> ProvinceTruth:
        vintage, province, indicator = group
        covered, expected = self._sums[group]
        ratio = covered / expected if expected else None
        return ProvinceTruth(
            at=at, vintage=vintage, province=province, indicator=indicator, covered=covered, expected=expected, ratio=ratio
        )


class Truth:
    """All that is true of a run, to be asked by moment."""

    def __init__(self, records: Iterable[TruthRecord]) -> None:
        self.run: Run | None = None
        self.incidents: list[IncidentTruth] = []
        self._provinces: dict[Group, list[ProvinceTruth]] = {}
        self._communes: dict[tuple[str, str, str], list[CommuneTruth]] = {}
        for one in records:
            match one:
                case Run():
                    self.run = one
                case IncidentTruth():
                    self.incidents.append(one)
                case ProvinceTruth():
                    self._provinces.setdefault((one.vintage, one.province, one.indicator), []).append(one)
                case CommuneTruth():
                    self._communes.setdefault((one.vintage, one.commune, one.indicator), []).append(one)

    def at(self, moment: datetime) -> dict[Group, ProvinceTruth]:
        """(list, province, indicator) -> what was so then; a list that was in force stays as it was at its end."""
        return {key: found for key, told in self._provinces.items() if (found := _last(told, moment)) is not None}

    def commune_at(self, vintage: str, commune: str, indicator: str, moment: datetime) -> CommuneTruth | None:
        """What a commune was then; None: before the run, or in no list."""
        return _last(self._communes.get((vintage, commune, indicator), []), moment)

    def changes(self, group: Group) -> list[ProvinceTruth]:
        """The whole course of one province and indicator, earliest first."""
        return list(self._provinces.get(group, []))


def read_truth(file: BinaryIO) -> Truth:
    """The truth as it was written. Raises ValueError that names the line."""

    def records() -> Iterator[TruthRecord]:
        for number, line in enumerate(file, 1):
            try:
                yield _decode(line)
            except msgspec.MsgspecError as error:
                raise ValueError(f"line {number}: {error}; this is no file that `phusong simulate --truth` wrote") from None

    return Truth(records())


def _last(told: list[T], moment: datetime) -> T | None:
    position = bisect_right(told, moment, key=lambda one: one.at)
    return told[position - 1] if position else None
