"""What each address of /api/v1 answers with: its rows, their order, and what tells one version of them from another.

Comes in: a `Query`, the snapshot, the rules and the moment to show. Goes out: rows, one struct for each address. Owns no state. Rows of the
register and the catalogue are as the rules say; the others as the last readings of Kafka.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import chain, islice, product
from operator import attrgetter
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct

from feed.evidence import lineage
from feed.groups import Group
from feed.history import Entry
from feed.paging import Order
from feed.query import PAGED, Query
from feed.snapshot import Held, Judged, R, Snapshot
from phusong.acknowledgements import Acknowledged, Acknowledgement
from phusong.events import Instant, Origin
from phusong.indicators import Obligation, Union
from phusong.periods import Period
from phusong.register import Base, UnitId
from phusong.rows import CommuneRow, ProvinceRow, State, VerdictChange
from phusong.rules import Rules

S = TypeVar("S")

Point = tuple[float, float]
"""Longitude and latitude in degrees, WGS 84, as GeoJSON orders them."""


class Taken(Struct, frozen=True, kw_only=True):
    """Who has taken a verdict on, why and since when; `source`: who says so."""

    owner: str
    reason: str
    source: str
    origin: Origin
    time: Instant


class PublishedProvince(ProvinceRow, frozen=True, kw_only=True):
    """A province's row, the moment it is true for, and the wall time at which it was published.

    `verdict_id`, `verdict_since`: the entry that the verdict began with, and its moment (null: not read yet).
    """

    as_of: Instant
    published: Instant
    verdict_id: str | None
    verdict_since: Instant | None
    acknowledged: Taken | None
    """null: nobody has taken the verdict on."""


class PublishedCommune(CommuneRow, frozen=True, kw_only=True):
    """A commune's row, the moment it is true for, and the wall time at which it was published."""

    as_of: Instant
    published: Instant


class PublishedVerdict(VerdictChange, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A change of verdict (`id`; `previous`: the entry before it), and the wall time at which it was published."""

    id: str
    published: Instant


class ListedAcknowledgement(Acknowledgement, frozen=True, kw_only=True, omit_defaults=False):
    """Who has taken a verdict on (`owner` null: it was given back), and who says so."""

    id: str
    source: str
    time: Instant


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
        self.obligations: dict[str, list[Obligation]] = {}
        """Reporter -> what it must report."""
        for one in rules.catalogue.obligations:
            self.obligations.setdefault(one.reporter, []).append(one)

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
    """One address: `find` what a query asks for, in the `order` of each row; `version` it without showing it, `show` it as a `kind`."""

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


def show_province(judged: Judged) -> PublishedProvince:
    """A province's row as it is published."""
    held, entry = judged.held, judged.entry
    return PublishedProvince(
        **msgspec.structs.asdict(held.row),
        as_of=held.version.as_of,
        published=held.published,
        verdict_id=None if entry is None else entry.event.id,
        verdict_since=None if entry is None else entry.event.data.as_of,
        acknowledged=_taken(judged.taken),
    )


def _taken(event: Acknowledged | None) -> Taken | None:
    if event is None or event.data.owner is None:
        return None
    return Taken(owner=event.data.owner, reason=event.data.reason, source=event.source, origin=event.data.origin, time=event.time)


def show_commune(held: Held[CommuneRow]) -> PublishedCommune:
    """A commune's row as it is published."""
    return PublishedCommune(**msgspec.structs.asdict(held.row), as_of=held.version.as_of, published=held.published)


def show_verdict(entry: Entry) -> PublishedVerdict:
    """A change of verdict as it is published."""
    return PublishedVerdict(**msgspec.structs.asdict(entry.event.data), id=entry.event.id, published=entry.published)


def is_gap(row: CommuneRow) -> bool:
    """Whether it is not known to be covered in full: unknown, stale, or less than one."""
    return row.state is not State.FRESH or (row.ratio is not None and row.ratio < 1)


def _held_order(held: Held[R]) -> Order:
    # a key is vintage/what/indicator
    return held.row.vintage, held.row.indicator, held.row.key


def _held_version(held: Held[R]) -> object:
    return held.row.key, held.version, held.published


def _itself(row: S) -> S:
    return row


def _groups(source: Source, query: Query) -> Iterator[list[Group]]:
    """The groups that a query asks for, list by list and indicator by indicator, in order; none that the page before has passed."""
    passed = ("", "") if query.after is None else query.after[:2]
    provinces = sorted(query.provinces)
    for vintage, indicator in product(sorted(source.vintages(query)), sorted(query.indicators)):
        if (vintage, indicator) >= passed:
            yield [(vintage, indicator, province) for province in provinces]


def _find_provinces(source: Source, query: Query) -> Iterator[Judged]:
    for groups in _groups(source, query):
        yield from map(source.snapshot.judged, chain.from_iterable(source.snapshot.provinces_of(groups)))


def _judged_order(judged: Judged) -> Order:
    return _held_order(judged.held)


def _judged_version(judged: Judged) -> object:
    entry, taken = judged.entry, judged.taken
    return _held_version(judged.held), None if entry is None else entry.event.id, None if taken is None else (taken.id, taken.time)


def _find_acknowledgements(source: Source, query: Query) -> Iterator[Acknowledged]:
    vintages = frozenset(source.rules.register.vintages) if query.vintages is None else query.vintages
    for event in sorted(source.snapshot.acknowledgements(), key=_acknowledged_order):
        if query.asks_for(event.data, vintages):
            yield event


def _acknowledged_order(event: Acknowledged) -> Order:
    return f"{event.time.timestamp():020.6f}", event.data.verdict, event.data.key


def _show_acknowledged(event: Acknowledged) -> ListedAcknowledgement:
    return ListedAcknowledgement(**msgspec.structs.asdict(event.data), id=event.id, source=event.source, time=event.time)


def _find_communes(source: Source, query: Query) -> Iterator[Held[CommuneRow]]:
    return _communes(source, query, lambda _: True)


def _find_gaps(source: Source, query: Query) -> Iterator[Held[CommuneRow]]:
    return _communes(source, query, is_gap)


def _communes(source: Source, query: Query, wanted: Callable[[CommuneRow], bool]) -> Iterator[Held[CommuneRow]]:
    for groups in _groups(source, query):
        if query.communes is None:
            held: Iterable[Held[CommuneRow]] = chain.from_iterable(source.snapshot.communes_of(groups))
        else:
            vintage, indicator, _ = groups[0]
            some = source.snapshot.communes_at(f"{vintage}/{commune}/{indicator}" for commune in query.communes)
            held = [one for one in some if one.row.province in query.provinces]
        found = [one for one in held if query.asks_for_commune(one.row) and wanted(one.row)]
        if len(groups) > 1 or query.communes is not None:
            # each province is in order; codes of two provinces may stand mixed
            found.sort(key=_CODE)
        yield from found


_CODE = attrgetter("row.commune")


def _find_verdicts(source: Source, query: Query) -> Iterator[Entry]:
    vintages = frozenset(source.rules.register.vintages) if query.vintages is None else query.vintages
    entries = source.snapshot.verdicts()
    first = 0 if query.since is None else bisect_left(entries, query.since, key=lambda entry: entry.event.data.as_of)
    return (one for one in islice(entries, first, None) if query.asks_for(one.event.data, vintages))


def _find_indicators(source: Source, query: Query) -> Iterator[ListedIndicator]:
    now, catalogue = source.as_of(), source.rules.catalogue
    for _, one in sorted(catalogue.indicators.items()):
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
    groups = [group for vintage in in_force for group in product([vintage], query.indicators, query.provinces)]
    rows = {(one.row.province, one.row.indicator): one.row for one in chain.from_iterable(source.snapshot.provinces_of(groups))}
    narrowed = any(name in ("province", "indicator") for name, _ in query.pairs)
    for _, reporter in sorted(catalogue.reporters.items()):
        if query.reporters is not None and reporter.id not in query.reporters:
            continue
        obligations = []
        for one in source.obligations.get(reporter.id, ()):
            if one.province not in query.provinces or one.indicator not in query.indicators:
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
    for _, vintage in sorted(register.vintages.items()):
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


def _find_successions(source: Source, query: Query) -> list[ListedSuccession]:
    """Every step of the lists asked for; of a commune the steps that its territory has taken, back and forth."""
    return sorted(_successions(source, query), key=_succession_order)


def _succession_order(row: ListedSuccession) -> Order:
    return row.vintage, row.commune, row.predecessor_vintage, row.predecessor


def _successions(source: Source, query: Query) -> Iterator[ListedSuccession]:
    register = source.rules.register
    vintages = frozenset(register.vintages) if query.vintages is None else query.vintages
    line: set[UnitId] | None = None
    if query.communes is not None:
        line = set()
        for unit_id in product(vintages, query.communes):
            if unit_id in register.units:
                line |= {*register.later(unit_id), *(one.id for one in lineage(register, register.units[unit_id]))}
    for unit_id in register.predecessors if line is None else line:
        unit = register.units[unit_id]
        if line is None and unit.vintage not in vintages:
            continue
        for one in register.predecessors.get(unit_id, ()):
            before = one.unit
            if not {unit.province, before.province} & query.provinces or (line is not None and before.id not in line):
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
        order=_judged_order,
        version=_judged_version,
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
        order=lambda entry: entry.order,
        version=lambda entry: (entry.event.data.key, entry.event.id, entry.published),
        show=show_verdict,
        order_parts=3,
    ),
    Resource(
        path="/api/v1/acknowledgements",
        summary="Ai đã nhận xử lý kết luận nào (who has taken which verdict on)",
        description="Of each verdict (`verdict`: its id) the acknowledgement that counts, oldest first; `owner` null: it was given back.",
        filters=PLACE,
        kind=ListedAcknowledgement,
        find=_find_acknowledgements,
        order=_acknowledged_order,
        version=lambda event: (event.id, event.time),
        show=_show_acknowledged,
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
        order=_succession_order,
        version=_itself,
        show=_itself,
        order_parts=4,
    ),
)

BY_PATH: Mapping[str, Resource[Any]] = {one.path: one for one in RESOURCES}
