"""What each address of /api/v1 answers with: its rows, their order, and what tells one version of them from another.

Comes in: a `Query`, the snapshot, the rules and the moment to show. Goes out: rows, one struct for each address. Owns no state. Rows of the
register and the catalogue are as the rules say; the others as the last readings of Kafka.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct

from feed.history import Entry
from feed.paging import Order
from feed.query import PAGED, Query
from feed.snapshot import Held, R, Snapshot
from phusong.events import Instant
from phusong.indicators import Union
from phusong.periods import Period
from phusong.register import Base, UnitId
from phusong.rows import CommuneRow, ProvinceRow, State, VerdictChange
from phusong.rules import Rules

S = TypeVar("S")
P = TypeVar("P", "PublishedProvince", "PublishedCommune")

Point = tuple[float, float]
"""Longitude and latitude in degrees, WGS 84, as GeoJSON orders them."""


class PublishedProvince(ProvinceRow, frozen=True, kw_only=True):
    """A province's row, the moment it is true for, and the wall time at which it was published."""

    as_of: Instant
    published: Instant


class PublishedCommune(CommuneRow, frozen=True, kw_only=True):
    """A commune's row, the moment it is true for, and the wall time at which it was published."""

    as_of: Instant
    published: Instant


class PublishedVerdict(VerdictChange, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A change of verdict (`id`; `previous`: the entry before it), and the wall time at which it was published."""

    id: str
    published: Instant


class ListedTarget(Struct, frozen=True, kw_only=True):
    """A figure to reach, with its source; `in_force` at the moment that the feed shows."""

    scope: str
    province: str
    value: float
    status: str
    source_vi: str
    source_en: str
    start: Instant
    due: Instant | None
    end: Instant | None
    in_force: bool


class ListedIndicator(Struct, frozen=True, kw_only=True):
    """What is counted, how it is defined, and its targets, past and future ones too."""

    indicator: str
    domain: str
    name_vi: str
    name_en: str
    base: Base
    union: Union
    period: Period
    deadline_days: int
    tolerance: float
    at_most: str
    definition_vi: str
    definition_en: str
    status: str
    source: str
    targets: tuple[ListedTarget, ...]


class ListedObligation(Struct, frozen=True, kw_only=True):
    """Who must report what. `due`: when the first of the reporter's statements goes or went stale; None: it owes nothing now.

    `communes` empty: all of the province. `overdue_communes` and the two figures of agreement are those of the reporter, indicator and
    province.
    """

    province: str
    indicator: str
    operator: str
    communes: tuple[str, ...]
    period: Period
    deadline_days: int
    grace_days: int
    start: Instant
    end: Instant | None
    in_force: bool
    due: Instant | None
    overdue: bool
    overdue_communes: int
    measurements: int
    measurements_agreeing: int


class ListedReporter(Struct, frozen=True, kw_only=True):
    """Who speaks, for whom, and what it owes in the list of communes in force."""

    reporter: str
    name_vi: str
    name_en: str
    operators: tuple[str, ...]
    overdue: bool
    obligations: tuple[ListedObligation, ...]


class ListedVintage(Struct, frozen=True, kw_only=True):
    """A dated list of communes: from `start` until `end` (exclusive; None: still), and how many each province has."""

    vintage: str
    start: Instant
    end: Instant | None
    in_force: bool
    title: str
    source: str
    communes: int
    provinces: dict[str, int]


class ListedSuccession(Struct, frozen=True, kw_only=True):
    """What a commune of a list was made of: one row for each predecessor, given `whole` or in `part`."""

    vintage: str
    commune: str
    name: str
    province: str
    predecessor_vintage: str
    predecessor: str
    predecessor_name: str
    predecessor_province: str
    extent: str


class Source:
    """Where rows come from: what was read, what the rules say, and the moment to show."""

    def __init__(self, snapshot: Snapshot, rules: Rules, as_of: Callable[[], datetime]) -> None:
        self.snapshot = snapshot
        self.rules = rules
        self.as_of = as_of

    def in_force(self) -> frozenset[str]:
        """The list of communes in force; none before the first."""
        return in_force(self.rules, self.as_of())

    def vintages(self, query: Query) -> frozenset[str]:
        """The lists that a query asks for."""
        return self.in_force() if query.vintages is None else query.vintages

    def point(self, row: CommuneRow) -> Point | None:
        """Where a commune is, as far as the register knows."""
        unit = self.rules.register.units.get((row.vintage, row.commune))
        if unit is None or unit.latitude is None or unit.longitude is None:
            return None
        return unit.longitude, unit.latitude


def in_force(rules: Rules, moment: datetime) -> frozenset[str]:
    """The list of communes in force at that moment; none before the first."""
    vintage = rules.register.vintage_at(moment)
    return frozenset() if vintage is None else frozenset([vintage.id])


class Resource(Struct, Generic[S], frozen=True, kw_only=True):
    """One address: `find` what a query asks for, `order` it, `version` it without showing it, `show` it as a struct of `kind`."""

    path: str
    summary: str
    description: str
    filters: tuple[str, ...]
    kind: type[Struct]
    find: Callable[[Source, Query], Iterable[S]]
    order: Callable[[S], Order]
    version: Callable[[S], object]
    show: Callable[[S], Struct]
    order_parts: int
    placed: bool = False
    """Whether its rows are communes, with a point on the map."""
    in_force_only: bool = False
    """Whether a query that names no list of communes means the one in force."""

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of what its query may hold."""
        return (*self.filters, *PAGED)

    @property
    def formats(self) -> tuple[str, ...]:
        """What it can be had in."""
        return ("json", "csv", "geojson") if self.placed else ("json", "csv")


def show_province(held: Held[ProvinceRow]) -> PublishedProvince:
    """A province's row as it is published."""
    return _published(PublishedProvince, held)


def show_commune(held: Held[CommuneRow]) -> PublishedCommune:
    """A commune's row as it is published."""
    return _published(PublishedCommune, held)


def show_verdict(entry: Entry) -> PublishedVerdict:
    """A change of verdict as it is published."""
    return PublishedVerdict(**msgspec.structs.asdict(entry.event.data), id=entry.event.id, published=entry.published)


def is_gap(row: CommuneRow) -> bool:
    """Whether it is not known to be covered in full: unknown, stale, or less than one."""
    return row.state is not State.FRESH or (row.ratio is not None and row.ratio < 1)


def _published(kind: type[P], held: Held[R]) -> P:
    return kind(**msgspec.structs.asdict(held.row), as_of=held.version.as_of, published=held.published)


def _held_order(held: Held[R]) -> Order:
    # a key is vintage/what/indicator
    return held.row.vintage, held.row.indicator, held.row.key


def _held_version(held: Held[R]) -> object:
    return held.row.key, held.version, held.published


def _itself(row: S) -> S:
    return row


def _find_provinces(source: Source, query: Query) -> Iterator[Held[ProvinceRow]]:
    vintages = source.vintages(query)
    return (one for one in source.snapshot.provinces() if query.asks_for(one.row, vintages))


def _find_communes(source: Source, query: Query) -> Iterator[Held[CommuneRow]]:
    vintages = source.vintages(query)
    return (one for one in source.snapshot.communes() if query.asks_for(one.row, vintages) and query.asks_for_commune(one.row))


def _find_gaps(source: Source, query: Query) -> Iterator[Held[CommuneRow]]:
    return (one for one in _find_communes(source, query) if is_gap(one.row))


def _find_verdicts(source: Source, query: Query) -> Iterator[Entry]:
    vintages = frozenset(source.rules.register.vintages) if query.vintages is None else query.vintages
    for entry in source.snapshot.verdicts():
        change = entry.event.data
        if query.asks_for(change, vintages) and (query.since is None or change.as_of >= query.since):
            yield entry


def _verdict_order(entry: Entry) -> Order:
    # a key stays in its partition, where the offset tells what came after what at the same moment
    return f"{entry.event.data.as_of.timestamp():020.6f}", entry.event.data.key, f"{entry.offset:020}"


def _find_indicators(source: Source, query: Query) -> Iterator[ListedIndicator]:
    now, catalogue = source.as_of(), source.rules.catalogue
    for one in catalogue.indicators.values():
        if one.id not in query.indicators:
            continue
        targets = [
            ListedTarget(
                scope=target.scope,
                province=target.province,
                value=float(target.value),
                status=target.status,
                source_vi=target.source_vi,
                source_en=target.source_en,
                start=target.start,
                due=target.due,
                end=target.end,
                in_force=target.holds(now),
            )
            for target in catalogue.targets
            if target.indicator == one.id and (not target.province or target.province in query.provinces)
        ]
        yield ListedIndicator(
            indicator=one.id,
            domain=one.domain,
            name_vi=one.name_vi,
            name_en=one.name_en,
            base=one.base,
            union=one.union,
            period=one.period,
            deadline_days=one.deadline_days,
            tolerance=float(one.tolerance),
            at_most=one.at_most,
            definition_vi=one.definition_vi,
            definition_en=one.definition_en,
            status=one.status,
            source=one.source,
            targets=tuple(sorted(targets, key=lambda target: (target.province, target.start))),
        )


def _find_reporters(source: Source, query: Query) -> Iterator[ListedReporter]:
    now, catalogue = source.as_of(), source.rules.catalogue
    in_force = source.in_force()
    rows = {(one.row.province, one.row.indicator): one.row for one in source.snapshot.provinces() if one.row.vintage in in_force}
    narrowed = any(name in ("province", "indicator") for name, _ in query.pairs)
    for reporter in catalogue.reporters.values():
        if query.reporters is not None and reporter.id not in query.reporters:
            continue
        obligations = []
        for one in catalogue.obligations:
            if one.reporter != reporter.id or one.province not in query.provinces or one.indicator not in query.indicators:
                continue
            row = rows.get((one.province, one.indicator)) if one.holds(now) else None
            due = None if row is None else row.reporters_due.get(reporter.id)
            overdue = 0 if row is None else row.reporters_overdue.get(reporter.id, 0)
            agreeing, measurements = (0, 0) if row is None else row.reliability.get(reporter.id, (0, 0))
            obligations.append(
                ListedObligation(
                    province=one.province,
                    indicator=one.indicator,
                    operator=one.operator,
                    communes=tuple(sorted(one.communes)),
                    period=one.period,
                    deadline_days=one.deadline_days,
                    grace_days=one.grace_days,
                    start=one.start,
                    end=one.end,
                    in_force=one.holds(now),
                    due=due,
                    overdue=overdue > 0,
                    overdue_communes=overdue,
                    measurements=measurements,
                    measurements_agreeing=agreeing,
                )
            )
        if obligations or not narrowed:
            yield ListedReporter(
                reporter=reporter.id,
                name_vi=reporter.name_vi,
                name_en=reporter.name_en,
                operators=tuple(sorted(reporter.operators)),
                overdue=any(one.overdue for one in obligations),
                obligations=tuple(sorted(obligations, key=lambda one: (one.province, one.indicator, one.operator, one.start))),
            )


def _find_vintages(source: Source, query: Query) -> Iterator[ListedVintage]:
    register, in_force = source.rules.register, source.in_force()
    counts: dict[str, dict[str, int]] = {}
    for unit in register.units.values():
        if unit.province in query.provinces:
            mine = counts.setdefault(unit.vintage, {})
            mine[unit.province] = mine.get(unit.province, 0) + 1
    for vintage in register.vintages.values():
        provinces = counts.get(vintage.id, {})
        yield ListedVintage(
            vintage=vintage.id,
            start=vintage.start,
            end=vintage.end,
            in_force=vintage.id in in_force,
            title=vintage.title,
            source=vintage.source,
            communes=sum(provinces.values()),
            provinces=dict(sorted(provinces.items())),
        )


def _find_successions(source: Source, query: Query) -> Iterator[ListedSuccession]:
    """Every step of the lists asked for; of a commune the steps that its territory has taken, back and forth."""
    register = source.rules.register
    line: set[UnitId] | None = None
    if query.communes is not None:
        line = set()
        for unit_id in register.units:
            if unit_id[1] in query.communes and (query.vintages is None or unit_id[0] in query.vintages):
                line |= {unit_id, *register.later(unit_id), *_earlier(source.rules, unit_id)}
    for unit_id, predecessors in register.predecessors.items():
        unit = register.units[unit_id]
        for one in predecessors:
            before = one.unit
            if not {unit.province, before.province} & query.provinces:
                continue
            if line is None:
                if query.vintages is not None and unit.vintage not in query.vintages:
                    continue
            elif unit_id not in line or before.id not in line:
                continue
            yield ListedSuccession(
                vintage=unit.vintage,
                commune=unit.code,
                name=unit.name,
                province=unit.province,
                predecessor_vintage=before.vintage,
                predecessor=before.code,
                predecessor_name=before.name,
                predecessor_province=before.province,
                extent=one.extent,
            )


def _earlier(rules: Rules, unit_id: UnitId) -> Iterator[UnitId]:
    for one in rules.register.predecessors.get(unit_id, ()):
        yield one.unit.id
        yield from _earlier(rules, one.unit.id)


PLACE = ("province", "indicator", "vintage")
COMMUNE = (*PLACE, "commune", "state", "mark")

RESOURCES: tuple[Resource[Any], ...] = (
    Resource(
        path="/api/v1/provinces",
        summary="Tỷ lệ từng tỉnh (ratio, interval, target and verdict of each province)",
        description="One row for each province and indicator of the list of communes in force.",
        filters=PLACE,
        kind=PublishedProvince,
        find=_find_provinces,
        order=_held_order,
        version=_held_version,
        show=show_province,
        order_parts=3,
        in_force_only=True,
    ),
    Resource(
        path="/api/v1/indicators",
        summary="Danh mục chỉ tiêu (the indicators, their definitions and targets)",
        description="What is counted and how it is defined, with every target and its source. `province` narrows the targets.",
        filters=("indicator", "province"),
        kind=ListedIndicator,
        find=_find_indicators,
        order=lambda row: (row.indicator,),
        version=_itself,
        show=_itself,
        order_parts=1,
    ),
    Resource(
        path="/api/v1/communes",
        summary="Từng xã (every commune: what is covered, how sure, what is promised)",
        description="One row for each commune and indicator. As GeoJSON: a point where the register has one, else geometry null.",
        filters=COMMUNE,
        kind=PublishedCommune,
        find=_find_communes,
        order=_held_order,
        version=_held_version,
        show=show_commune,
        order_parts=3,
        placed=True,
        in_force_only=True,
    ),
    Resource(
        path="/api/v1/gaps",
        summary="Các xã còn thiếu (the communes behind a gap)",
        description="The communes that are not known to be covered in full: unknown, stale, or less than all. As GeoJSON: as communes.",
        filters=COMMUNE,
        kind=PublishedCommune,
        find=_find_gaps,
        order=_held_order,
        version=_held_version,
        show=show_commune,
        order_parts=3,
        placed=True,
        in_force_only=True,
    ),
    Resource(
        path="/api/v1/verdicts",
        summary="Lịch sử kết luận (every change of verdict, newest last)",
        description="Each change once, with what caused it. Without `vintage`: of every list. `since`: changes from that moment on.",
        filters=(*PLACE, "since"),
        kind=PublishedVerdict,
        find=_find_verdicts,
        order=_verdict_order,
        version=lambda entry: (entry.event.data.key, entry.event.id, entry.published),
        show=show_verdict,
        order_parts=3,
    ),
    Resource(
        path="/api/v1/reporters",
        summary="Đơn vị báo cáo: phải báo gì, ai đến hạn, ai quá hạn (reporters, what they owe, who is due and overdue)",
        description="Every reporter with its obligations, and what the list of communes in force says of each.",
        filters=("province", "indicator", "reporter"),
        kind=ListedReporter,
        find=_find_reporters,
        order=lambda row: (row.reporter,),
        version=_itself,
        show=_itself,
        order_parts=1,
    ),
    Resource(
        path="/api/v1/vintages",
        summary="Các danh sách xã (the lists of communes)",
        description="From when to when each list was in force, and how many communes it has. `province` narrows the counts.",
        filters=("province",),
        kind=ListedVintage,
        find=_find_vintages,
        order=lambda row: (row.vintage,),
        version=_itself,
        show=_itself,
        order_parts=1,
    ),
    Resource(
        path="/api/v1/successions",
        summary="Xã nào thành xã nào (which commune became which)",
        description=(
            "One row for each predecessor of a commune. `commune`: every step of its territory, back and forth; codes are used again for "
            "other territory, so name the list that the code is of with `vintage`. Without `commune`, `vintage` is the list that was made."
        ),
        filters=("province", "commune", "vintage"),
        kind=ListedSuccession,
        find=_find_successions,
        order=lambda row: (row.vintage, row.commune, row.predecessor_vintage, row.predecessor),
        version=_itself,
        show=_itself,
        order_parts=4,
    ),
)

BY_PATH: Mapping[str, Resource[Any]] = {one.path: one for one in RESOURCES}
