"""The figures of a report, from the log: as known when it is made, about the last moment of its period.

Comes in: the partitions of the source topics that the provinces' events travel in, the rules, a period, and for each province the signed
report to compare with. Goes out: `Report`. Owns the states of the provinces asked for, at up to three moments, and what was said of the
communes that are named, all in memory. Records that today's rules reject count nowhere.

The log is read twice: once for the figures, and, where communes are missing or signed figures have changed, once more for what was said
about those alone: holding every statement of years would cost gigabytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import groupby
from typing import NamedTuple

from confluent_kafka import Message
from msgspec import Struct

from feed.evidence import lineage
from feed.metrics import program_version
from feed.reading import Partition, Reading, Tell, admitted
from feed.text import Lang
from ops.report_document import (
    INSTANT,
    Arrived,
    Base,
    Change,
    Difference,
    Dispute,
    Figure,
    Gap,
    Log,
    Moved,
    Name,
    Owed,
    Past,
    Place,
    Promise,
    Reason,
    Report,
    Sayer,
    Silent,
    Span,
    before,
    origin_of,
    period_name,
)
from phusong.admission import Admission, Route
from phusong.communes import commune, worst
from phusong.events import Challenged, Event, Fact, Origin, Promised, Stated
from phusong.evidence import Cell, Slots, fold, order
from phusong.follow_ups import cases, undertakings
from phusong.indicators import Indicator, Obligation
from phusong.periods import VIETNAM, deadline, end_of, index
from phusong.province import Province
from phusong.register import Unit, UnitId
from phusong.rows import CommuneRow, ProvinceRow, State
from phusong.rules import Rules
from phusong.settings import Settings, SettingsError
from phusong.topics import SOURCES, share_of
from phusong.views import Line, reported_at

STATEMENTS_MAX = 200
"""How many of the statements that changed an indicator's signed figures a report names."""

FIELDS = ("covered", "expected", "ratio", "low", "high", "completeness", "target", "verdict")
_DOMAIN_OF = {topic.name: domain for domain, topic in SOURCES.items()}


class Signed(NamedTuple):
    """A signed report and the SHA-256 of its JSON."""

    report: Report
    sha256: str


class Asked(Struct, frozen=True, kw_only=True):
    """What a report is to be about; `made_at`: the moment of making it, by the clock that the system goes by."""

    span: Span
    vintage: str
    made_at: datetime
    lang: Lang


class Came(NamedTuple):
    """An admitted statement or withdrawal, where it lies in the log and when Kafka took it."""

    event: Fact
    route: Route
    partition: Partition
    offset: int
    arrived_at: datetime


def asked(rules: Rules, span: Span, made_at: datetime, lang: Lang) -> Asked:
    """What is to be reported. Raises SettingsError for a period that is not over, or in which no list of communes was in force."""
    if made_at < span.end:
        over, now = (f"{one.astimezone(VIETNAM):%d/%m/%Y}" for one in (span.end, made_at))
        raise SettingsError(
            f"--period {span.name}: kỳ này đến {over} mới hết, nay là {now}; chọn kỳ trước "
            f"(it is not over before {over}, now it is {now}; ask for one before it)"
        )
    vintage = rules.register.vintage_at(span.as_of)
    if vintage is None:
        first = next(iter(rules.register.vintages))
        raise SettingsError(
            f"--period {span.name}: chưa có danh mục xã nào; danh mục đầu tiên là {first} (no list of communes was in force)"
        )
    return Asked(span=span, vintage=vintage.id, made_at=made_at, lang=lang)


def provinces(rules: Rules, vintage: str, code: str | None) -> list[str]:
    """The provinces of that list of communes, or the one asked for. Raises SettingsError."""
    known = sorted({unit.province for unit in rules.register.units.values() if unit.vintage == vintage})
    if code is not None and code not in known:
        raise SettingsError(f"--province: {code!r}: không có xã nào trong danh mục {vintage}; một trong (one of): {', '.join(known)}")
    return known if code is None else [code]


def homes(rules: Rules, vintage: str, codes: Iterable[str]) -> list[str]:
    """The provinces of today that the events of those are keyed by."""
    wanted = set(codes)
    return sorted({rules.register.home(one) for one in rules.register.units.values() if one.vintage == vintage and one.province in wanted})


class Figures:
    """The states of provinces at several moments, filled from one reading."""

    def __init__(self, rules: Rules, asked: Asked, homes: Iterable[str], moments: Iterable[datetime] = ()) -> None:
        self.rules, self.asked = rules, asked
        self.events: Counter[UnitId] = Counter()
        """Commune -> how many events about it count at the period's end."""
        self.log: dict[Partition, tuple[str, int]] = {}
        """Topic and partition -> (id of the topic, how far it was read)."""
        self._states = {
            moment: {home: Province(rules, home) for home in homes} for moment in {asked.span.as_of, before(asked.span), *moments}
        }
        self._rows: dict[datetime, list[CommuneRow | ProvinceRow]] = {}

    def add(self, event: Event, route: Route) -> None:
        """An admitted event."""
        for moment, states in self._states.items():
            home = states.get(route.province)
            if home is not None and event.data.observed_at <= moment:
                home.apply(route.cell, route.slot, event)
                self.events[route.cell[:2]] += moment == self.asked.span.as_of

    def rows(self, moment: datetime, province: str) -> tuple[dict[str, ProvinceRow], dict[tuple[str, str], CommuneRow]]:
        """Indicator -> row of the province, and (indicator, commune) -> row, in the list of communes then in force."""
        if moment not in self._rows:
            self._rows[moment] = [row for home in self._states[moment].values() for row in home.rows(moment)]
        listed = self.rules.register.vintage_at(moment)
        mine = [row for row in self._rows[moment] if row.province == province and listed is not None and row.vintage == listed.id]
        communes = {(row.indicator, row.commune): row for row in mine if isinstance(row, CommuneRow)}
        # in the order of the catalogue, not of the log
        by_indicator = {row.indicator: row for row in mine if isinstance(row, ProvinceRow)}
        return {one: by_indicator[one] for one in self.rules.catalogue.indicators if one in by_indicator}, communes

    def state(self, unit: Unit) -> Province:
        """What is known at the period's end of the province that a commune belongs to today."""
        return self._states[self.asked.span.as_of][self.rules.register.home(unit)]

    def known(self, province: str) -> bool:
        """Whether anything was ever said of any of its communes."""
        _, communes = self.rows(self.asked.span.as_of, province)
        return any(row.state is not State.UNKNOWN for row in communes.values())

    def concerns(self, province: str, base: Signed | None) -> set[Cell]:
        """Every cell whose statements the report tells: of communes that are missing, and of those whose signed figures have changed."""
        _, communes = self.rows(self.asked.span.as_of, province)
        wanted = [row for row in communes.values() if _missing(row)]
        if base is not None:
            held, now = _held(base.report), self.rows(base.report.as_of, province)[1]
            wanted += [now[key] for key in _moved(held, now)]
        cells: set[Cell] = set()
        for row in wanted:
            unit = self.rules.register.units[row.vintage, row.commune]
            for one in lineage(self.rules.register, unit):
                cells |= {(*one.id, indicator) for indicator in self._with_bound(row.indicator)}
        return cells

    def report(self, province: str, version: int, base: Signed | None, told: Mapping[Cell, list[Came]]) -> Report:
        """The whole report; `told`: what was said of the cells that `concerns` names, nothing beyond where the figures were read to."""
        asked, register = self.asked, self.rules.register
        rows, communes = self.rows(asked.span.as_of, province)
        units = [one for one in register.units.values() if one.vintage == asked.vintage and one.province == province]
        restated, since = ((), ()) if base is None else (self._restated(province, base, told), self._since(province, base))
        gaps = [self._gap(row, told) for row in communes.values() if _missing(row)]
        catalogue = self.rules.catalogue
        one = register.provinces[province]
        return Report(
            lang=asked.lang,
            province=province,
            province_name=Name(one.name_vi, one.name_en),
            period=asked.span.name,
            start=asked.span.start,
            as_of=asked.span.as_of,
            version=version,
            made_at=asked.made_at.astimezone(VIETNAM).replace(microsecond=0),
            program=program_version(),
            rules=self.rules.number,
            vintage=asked.vintage,
            units=len(units),
            events=sum(self.events[unit_id] for unit_id in {one.id for unit in units for one in lineage(register, unit)}),
            log=tuple(Log(topic=topic, id=id_, partition=number, end=end) for (topic, number), (id_, end) in sorted(self.log.items())),
            figures=tuple(self._figures(province, rows)),
            communes=tuple(row for _, row in sorted(communes.items()) if row.state is not State.UNKNOWN),
            gaps=tuple(sorted(gaps, key=lambda gap: (list(rows).index(gap.row.indicator), gap.row.district, gap.row.commune))),
            silent=tuple(_silent(indicator, [row for key, row in communes.items() if key[0] == indicator]) for indicator in rows),
            owed=tuple(self._owed(units, communes)),
            promises=tuple(self._promises(units, communes)),
            disputes=tuple(self._disputes(units)),
            reporters={one.id: Name(one.name_vi, one.name_en) for one in catalogue.reporters.values()},
            base=None if base is None else _base(base),
            restated=restated,
            since=since,
        )

    def _with_bound(self, indicator: str) -> list[str]:
        bound = self.rules.catalogue.indicators[indicator].at_most
        return [indicator, bound] if bound else [indicator]

    def _figures(self, province: str, rows: Mapping[str, ProvinceRow]) -> Iterator[Figure]:
        moment = before(self.asked.span)
        listed = self.rules.register.vintage_at(moment)
        past = self.rows(moment, province)[0] if listed is not None and listed.id == self.asked.vintage else {}
        for row in rows.values():
            indicator = self.rules.catalogue.indicators[row.indicator]
            target = self.rules.catalogue.target_at(row.indicator, province, self.asked.span.as_of)
            then = past.get(row.indicator)
            if then is not None and then.units[State.UNKNOWN] == sum(then.units.values()):
                then = None
            yield Figure(
                row=row,
                name=Name(indicator.name_vi, indicator.name_en),
                target_source=None if target is None else Name(target.source_vi, target.source_en),
                previous=None
                if then is None
                else Past(as_of=moment, ratio=then.ratio, low=then.low, high=then.high, verdict=then.verdict, origin=origin_of(then)),
            )

    def _gap(self, row: CommuneRow, told: Mapping[Cell, list[Came]]) -> Gap:
        indicator = self.rules.catalogue.indicators[row.indicator]
        unit = self.rules.register.units[row.vintage, row.commune]
        mine = [came.event for came in self._told(unit, [row.indicator], told)]
        deciding = [event for event in mine if f"{event.source} {event.id}" in row.statements and isinstance(event, Stated)]
        said = [
            Sayer(reporter=one.source, method=one.data.method, observed_at=one.data.observed_at, origin=one.data.origin) for one in deciding
        ]
        missing = 0 if row.expected is None or row.covered is None else int(row.expected - row.covered)
        return Gap(
            row=row,
            said=tuple(sorted(dict.fromkeys(said), key=lambda one: (one.observed_at, one.reporter))),
            since=self._begun(unit, indicator, told),
            unnamed=max(0, missing - len(row.uncovered or ())) if indicator.counts_places else 0,
        )

    def _begun(self, unit: Unit, indicator: Indicator, told: Mapping[Cell, list[Came]]) -> datetime | None:
        """Since when it has not been covered in full: the row after each moment that something was observed at, in their order."""
        events = [(came.route, came.event) for came in self._told(unit, self._with_bound(indicator.id), told)]
        events.sort(key=lambda one: order(one[1]))
        bound = self.rules.catalogue.indicators.get(indicator.at_most)
        cells: dict[Cell, Slots] = {}
        begun = None
        for observed_at, some in groupby(events, key=lambda one: one[1].data.observed_at):
            for route, event in some:
                fold(cells.setdefault(route.cell, {}), route.slot, event)
            above = None if bound is None else commune(self.rules, unit, bound, cells, None, self.asked.span.as_of)
            row = commune(self.rules, unit, indicator, cells, above, self.asked.span.as_of).row
            if row.state is State.UNKNOWN:
                continue  # a withdrawal alone covers nothing
            begun = (begun or observed_at) if _missing(row) else None
        return begun

    def _told(self, unit: Unit, indicators: Iterable[str], told: Mapping[Cell, list[Came]], until: datetime | None = None) -> list[Came]:
        until = until or self.asked.span.as_of
        return [
            came
            for one in lineage(self.rules.register, unit)
            for indicator in indicators
            for came in told.get((*one.id, indicator), ())
            if came.event.data.observed_at <= until
        ]

    def _owed(self, units: Iterable[Unit], communes: Mapping[tuple[str, str], CommuneRow]) -> Iterator[Owed]:
        as_of = self.asked.span.as_of
        for indicator in self.rules.catalogue.indicators.values():
            of, missing, never, overdue = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
            binding: dict[str, Obligation] = {}
            for unit in units:
                held = [one for one in self.rules.catalogue.obliged(indicator.id, unit.province, unit.code) if one.holds(as_of)]
                line = Line(self.state(unit).cells, self.rules.register, unit, indicator)
                late = {who for who, due in communes[indicator.id, unit.code].reporters.items() if due <= as_of}
                for reporter in {one.reporter for one in held}:
                    mine = [one for one in held if one.reporter == reporter]
                    seen = {one: reported_at(line, one.operator, reporter) for one in mine}
                    binding[reporter] = max(mine, key=_due)
                    of[reporter] += 1
                    missing[reporter] += any(_lacks(one, moment, line, as_of) for one, moment in seen.items())
                    never[reporter] += any(moment is None for moment in seen.values())
                    overdue[reporter] += reporter in late
            for reporter in sorted(of):
                if missing[reporter] or overdue[reporter]:
                    one = binding[reporter]
                    yield Owed(
                        indicator=indicator.id,
                        reporter=reporter,
                        period=period_name(one.period, _last_moment(one, as_of)),
                        communes=of[reporter],
                        missing=missing[reporter],
                        never=never[reporter],
                        overdue=overdue[reporter],
                        deadline=deadline(one.period, one.deadline_days + one.grace_days, _last_moment(one, as_of)),
                    )

    def _promises(self, units: Iterable[Unit], communes: Mapping[tuple[str, str], CommuneRow]) -> Iterator[Promise]:
        """Those that the row's own `promised_for` is about: of a commune with a gap, for a place in it, or for all of it."""
        as_of = self.asked.span.as_of
        for indicator in self.rules.catalogue.indicators.values():
            for unit in units:
                row = communes[indicator.id, unit.code]
                state = self.state(unit)
                if not state.follow_ups or row.promised_for is None:
                    continue
                line = Line(state.cells, self.rules.register, unit, indicator)
                gap = None if row.uncovered is None else {line.key(name) for name in row.uncovered}
                for one in undertakings(self.rules.register, unit, indicator.id, state.follow_ups):
                    if one.by is None or not (gap is None or one.place in gap or not one.place):
                        continue
                    late = (as_of.astimezone(VIETNAM).date() - one.by.astimezone(VIETNAM).date()).days
                    yield Promise(
                        **_where(row),
                        operator=one.operator,
                        place=one.name,
                        by_first=one.first.data.by,
                        by=one.by,
                        days_overdue=late if one.by <= as_of else None,
                        origin=worst([one.first.data.origin, one.last.data.origin]) or Origin.REAL,
                    )

    def _disputes(self, units: Iterable[Unit]) -> Iterator[Dispute]:
        as_of = self.asked.span.as_of
        for indicator in self.rules.catalogue.indicators.values():
            for unit in units:
                follow_ups = self.state(unit).follow_ups
                for one in cases(self.rules.register, unit, indicator.id, follow_ups) if follow_ups else ():
                    if one.open:
                        yield Dispute(
                            indicator=indicator.id,
                            commune=unit.code,
                            name=unit.name,
                            district=unit.district,
                            operator=one.operator,
                            challenge=one.name,
                            step=one.step,
                            since=one.steps[-1].data.observed_at,
                            deadline=one.deadline,
                            overdue=one.overdue(as_of),
                            origin=worst(step.data.origin for step in one.steps) or Origin.REAL,
                        )

    def _restated(self, province: str, base: Signed, told: Mapping[Cell, list[Came]]) -> tuple[Change, ...]:
        """The signed figures, about their own moment, that are others by now, and why."""
        signed = base.report
        rows, communes = self.rows(signed.as_of, province)
        held = _held(signed)
        moved = _moved(held, communes)
        before_ = {one.row.indicator: one.row for one in signed.figures}
        ends = {(one.topic, one.partition): one.end for one in signed.log}
        same_log = {one.topic: one.id for one in signed.log} == {topic: id_ for (topic, _), (id_, _) in self.log.items()}
        changes = []
        for indicator in [*rows, *(one for one in before_ if one not in rows)]:
            differences = _differences(before_.get(indicator), rows.get(indicator))
            mine = [key for key in moved if key[0] == indicator]
            if not differences and not mine:
                continue
            came: list[Came] = []
            for key in mine if same_log else ():
                unit = self.rules.register.units[communes[key].vintage, key[1]]
                some = self._told(unit, self._with_bound(indicator), told, signed.as_of)
                came += [one for one in some if one.offset >= ends.get(one.partition, 0)]
            came = list({(one.partition, one.offset): one for one in came}.values())
            came.sort(key=lambda one: (one.arrived_at, one.partition, one.offset))
            reasons = {Reason.STATEMENTS: bool(came), Reason.RULES: signed.rules != self.rules.number, Reason.LOG: not same_log}
            changes.append(
                Change(
                    indicator=indicator,
                    differences=differences,
                    origin_before=origin_of(before_.get(indicator)),
                    origin=origin_of(rows.get(indicator)),
                    reasons=tuple(reason for reason, holds in reasons.items() if holds),
                    communes=tuple(_moved_row(held.get(key), communes[key]) for key in mine),
                    statements=tuple(map(_arrived, came[:STATEMENTS_MAX])),
                    more=max(0, len(came) - STATEMENTS_MAX),
                )
            )
        return tuple(changes)

    def _since(self, province: str, base: Signed) -> tuple[Change, ...]:
        if base.report.as_of == self.asked.span.as_of:
            return ()
        rows, _ = self.rows(self.asked.span.as_of, province)
        before_ = {one.row.indicator: one.row for one in base.report.figures}
        found = ((row, before_.get(indicator)) for indicator, row in rows.items())
        return tuple(
            Change(indicator=row.indicator, differences=differences, origin_before=origin_of(was), origin=origin_of(row))
            for row, was in found
            if (differences := _differences(was, row))
        )


class Told:
    """What was said of some cells, up to where the figures were read to."""

    def __init__(self, settings: Settings, ends: Mapping[Partition, tuple[str, int]], cells: set[Cell]) -> None:
        self.cells: dict[Cell, list[Came]] = {}
        self._settings, self._ends, self._wanted = settings, ends, cells

    def add(self, event: Event, route: Route, partition: Partition, offset: int, timestamp_ms: int) -> None:
        """An admitted event and where it lies; what is about other cells, or came after the figures, is left out."""
        if route.cell in self._wanted and offset < self._ends[partition][1] and not isinstance(event, Promised | Challenged):
            arrived_at = self._settings.as_of(datetime.fromtimestamp(timestamp_ms / 1000, UTC))
            self.cells.setdefault(route.cell, []).append(Came(event, route, partition, offset, arrived_at))


def read(settings: Settings, figures: Figures, homes: Iterable[str], tell: Tell) -> None:
    """Read the log into the figures. Raises ReadingError when Kafka cannot be read."""
    admission = Admission(figures.rules)
    shares = {share_of(home.encode()) for home in homes}

    def take(topic: str, _partition: int, run: list[Message]) -> None:
        for message in run:
            found = admitted(admission, message, _DOMAIN_OF[topic])
            if found is not None:
                figures.add(*found)

    with Reading(settings.kafka(), list(_DOMAIN_OF), shares) as sources:
        sources.read(take, tell)
        figures.log = {one: (sources.ids[one[0]], end) for one, end in sources.ends.items()}


def read_again(settings: Settings, figures: Figures, cells: set[Cell], tell: Tell) -> Mapping[Cell, list[Came]]:
    """What was said of these cells. Raises ReadingError when Kafka cannot be read."""
    told = Told(settings, figures.log, cells)
    if not cells:
        return told.cells
    admission = Admission(figures.rules)
    topics = sorted({SOURCES[cell[2].partition(".")[0]].name for cell in cells})

    def take(topic: str, partition: int, run: list[Message]) -> None:
        for message in run:
            found = admitted(admission, message, _DOMAIN_OF[topic])
            if found is not None:
                told.add(*found, (topic, partition), message.offset(), message.timestamp()[1])

    with Reading(settings.kafka(), topics, {number for _, number in figures.log}) as sources:
        sources.read(take, tell)
    return told.cells


def _missing(row: CommuneRow) -> bool:
    return row.state is not State.UNKNOWN and row.ratio is not None and row.ratio < 1


def _silent(indicator: str, rows: list[CommuneRow]) -> Silent:
    def of(state: State) -> tuple[Place, ...]:
        found = (Place(commune=row.commune, name=row.name, district=row.district) for row in rows if row.state is state)
        return tuple(sorted(found, key=lambda one: one.commune))

    return Silent(indicator=indicator, communes=len(rows), unknown=of(State.UNKNOWN), stale=of(State.STALE))


def _where(row: CommuneRow) -> dict[str, str]:
    return {"indicator": row.indicator, "commune": row.commune, "name": row.name, "district": row.district}


def _due(one: Obligation) -> int:
    return one.deadline_days + one.grace_days


def _last_moment(one: Obligation, as_of: datetime) -> datetime:
    """The end of the last of the obligation's periods that was over."""
    return end_of(one.period, index(one.period, as_of + INSTANT) - 1) - INSTANT


def _lacks(one: Obligation, reported: datetime | None, line: Line, as_of: datetime) -> bool:
    """Whether nothing has come about the last of the obligation's periods that was over, if it was bound to report on that."""
    last = index(one.period, _last_moment(one, as_of))
    if reported is None:
        return index(one.period, max(one.start, line.since)) <= last
    return index(one.period, reported) < last


def _held(report: Report) -> dict[tuple[str, str], CommuneRow]:
    return {(row.indicator, row.commune): row for row in report.communes}


def _moved(held: Mapping[tuple[str, str], CommuneRow], now: Mapping[tuple[str, str], CommuneRow]) -> list[tuple[str, str]]:
    """The communes of which something else is known by now; those of the signed report that no list has any more are the register's."""
    return [key for key, row in sorted(now.items()) if _substance(held.get(key)) != _substance(row)]


def _substance(row: CommuneRow | None) -> object:
    if row is None or row.state is State.UNKNOWN:
        return None
    return row.covered, row.expected, row.ratio, row.low, row.high, row.weight, row.state, row.observed_at, row.uncovered, row.origin


def _moved_row(was: CommuneRow | None, now: CommuneRow) -> Moved:
    return Moved(
        commune=now.commune,
        name=now.name,
        covered_before=None if was is None else was.covered,
        expected_before=None if was is None else was.expected,
        origin_before=origin_of(was),
        covered=now.covered,
        expected=now.expected,
        origin=origin_of(now),
    )


def _differences(was: ProvinceRow | None, now: ProvinceRow | None) -> tuple[Difference, ...]:
    pairs = ((field, getattr(was, field, None), getattr(now, field, None)) for field in FIELDS)
    return tuple(Difference(field=field, before=one, after=other) for field, one, other in pairs if one != other)


def _arrived(came: Came) -> Arrived:
    event = came.event
    stated = event.data if isinstance(event, Stated) else None
    return Arrived(
        id=event.id,
        reporter=event.source,
        method=event.data.method,
        origin=event.data.origin,
        withdraws=stated is None,
        commune=event.data.commune,
        indicator=event.data.indicator,
        observed_at=event.data.observed_at,
        said_at=event.time,
        arrived_at=came.arrived_at,
        covered=None if stated is None else stated.covered,
        expected=None if stated is None else stated.expected,
    )


def _base(base: Signed) -> Base:
    one = base.report
    return Base(
        report=one.name,
        period=one.period,
        version=one.version,
        sha256=base.sha256,
        as_of=one.as_of,
        vintage=one.vintage,
        rules=one.rules,
    )
