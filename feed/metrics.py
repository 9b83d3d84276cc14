"""The snapshot as Prometheus metrics, under the names of DESIGN §6.

Comes in: a `Reader` with its snapshot, the rules, and the moment to show. Goes out: one scrape, in pieces. Owns the lines of each row, kept
for as long as the row says the same: a scrape only strings them together, a row that vanished vanishes. Rows of a list not in force, of an
unknown indicator, and figures that are undefined are left out.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import product
from operator import is_
from typing import Generic, TypeVar

from msgspec import Struct
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from feed.exposition import Encode, Line, encoder, head
from feed.groups import Group
from feed.resources import is_gap
from feed.snapshot import Held, Judged, LeftOut, R, Reader
from feed.stream import Stream
from phusong.events import Origin
from phusong.register import Base
from phusong.rows import CommuneRow, Mark, Projection, ProvinceRow, State, Verdict
from phusong.rules import Rules

S = TypeVar("S")

Labels = tuple[str, ...]
Sample = tuple[Labels, float | None]
"""The values of the labels beyond ROW, and the figure; None: undefined, left out."""

ROW: Labels = ("province", "vintage", "domain", "indicator")
NAMES_CHARACTERS_MAX = 200
WORST = 3
"""How many communes an alert names."""
PIECE_BYTES = 256 * 1024
"""What is handed over at once, about: so much a scraper that does not read can hold."""

_COUNTED = {Base.UNITS: "xã", Base.VILLAGES: "thôn", Base.HOUSEHOLDS: "hộ", Base.POPULATION: "người", Base.REPORTED: "điểm"}


class Family(Generic[S]):
    """A family of gauges about rows: of each row `samples`, with the labels of its group and `more`."""

    def __init__(self, name: str, text: str, more: Labels, samples: Callable[[S], Iterable[Sample]]) -> None:
        self.samples = samples
        self.line = Line(name, (*ROW, *more))
        self.metric: Metric = GaugeMetricFamily(name, text, labels=(*ROW, *more))
        """Without samples."""

    def lines(self, at: Labels, rows: Iterable[S]) -> bytes:
        """The samples of the rows of a group with these labels."""
        write = self.line.at(at)
        return "".join([write(more, figure) for row in rows for more, figure in self.samples(row) if figure is not None]).encode()


def _figure(name: str, text: str, figure: Callable[[ProvinceRow], float | None]) -> Family[ProvinceRow]:
    return Family(name, text, (), lambda row: [((), figure(row))])


def _counts(name: str, text: str, label: str, counts: Callable[[ProvinceRow], Iterable[tuple[str, float | None]]]) -> Family[ProvinceRow]:
    return Family(name, text, (label,), lambda row: (((one,), count) for one, count in counts(row)))


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _projected(projection: Projection | None) -> Iterable[tuple[str, float]]:
    if projection is not None:
        moments = {"earliest": projection.earliest, "middle": projection.reached_at, "latest": projection.latest}
        for estimate, moment in moments.items():
            yield estimate, math.inf if moment is None else moment.timestamp()


PROVINCES: tuple[Family[ProvinceRow], ...] = (
    _figure("coverage_ratio", "Share covered, over all communes of the vintage; unknown ones count as not covered.", lambda r: r.ratio),
    _figure("coverage_low_ratio", "Share covered that fresh statements prove; stale and unknown count as not covered.", lambda r: r.low),
    _figure("coverage_high_ratio", "Share covered if every unknown commune were covered.", lambda r: r.high),
    _figure("coverage_target_ratio", "Target in force for the ratio; absent: none.", lambda r: r.target),
    _figure(
        "coverage_target_due_timestamp_seconds",
        "When the target in force is due; absent: it is a standing one, or there is none.",
        lambda r: _seconds(r.target_due),
    ),
    _counts(
        "coverage_projected_timestamp_seconds",
        "When the target is reached at the pace of the last periods, by its middle and its quick and slow quarters; "
        "+Inf: not at that pace; absent: no projection.",
        "estimate",
        lambda r: _projected(r.projection),
    ),
    _figure("coverage_completeness_ratio", "Share of the obliged reporters with a fresh statement, by weight.", lambda r: r.completeness),
    _figure("coverage_covered", "Numerator of coverage_ratio, in the indicator's base.", lambda r: r.covered),
    _figure("coverage_expected", "Denominator of coverage_ratio, in the indicator's base.", lambda r: r.expected),
    _figure(
        "coverage_oldest_observed_timestamp_seconds",
        "When the oldest statement that counts was observed.",
        lambda r: _seconds(r.oldest_observed_at),
    ),
    _figure(
        "coverage_unresolved_since_timestamp_seconds",
        "When the first of the temporary states that nothing followed was to be over; absent: none.",
        lambda r: _seconds(r.unresolved_since),
    ),
    _counts("coverage_units", "Communes by state.", "state", lambda r: ((s, r.units.get(s, 0)) for s in State)),
    _counts("coverage_marks", "Communes by mark.", "mark", lambda r: ((m, r.marks.get(m, 0)) for m in Mark)),
    _counts("coverage_verdict", "1 for the verdict that holds, else 0.", "verdict", lambda r: ((v, r.verdict is v) for v in Verdict)),
    _counts("coverage_origin", "1 if any figure is of that origin, else 0.", "origin", lambda r: ((o, o in r.origins) for o in Origin)),
    _counts(
        "coverage_reporter_due_timestamp_seconds",
        "When the first of the reporter's statements goes or went stale; never stated: when its first one was due.",
        "reporter",
        lambda r: ((reporter, due.timestamp()) for reporter, due in r.reporters_due.items()),
    ),
    _counts(
        "coverage_reporter_overdue_communes",
        "Communes that the reporter owes a report on.",
        "reporter",
        lambda r: ((reporter, r.reporters_overdue.get(reporter, 0)) for reporter in r.reporters_due),
    ),
    _counts(
        "coverage_reliability_ratio",
        "Share of field measurements that agree with what the reporter declared for the same operator and time; absent: none to compare.",
        "reporter",
        lambda r: ((reporter, agreed / checked if checked else None) for reporter, (agreed, checked) in r.reliability.items()),
    ),
)


def _names(names: Iterable[str]) -> str:
    """Names in one text, no longer than a label should be."""
    text = "; ".join(names)
    return text if len(text) <= NAMES_CHARACTERS_MAX else text[: NAMES_CHARACTERS_MAX - 1] + "…"


def _gap(row: CommuneRow) -> Iterable[Sample]:
    if is_gap(row):
        # a statement is named `source id`
        sources = dict.fromkeys(statement.partition(" ")[0] for statement in row.statements)
        labels = (row.commune, row.name, row.district, str(row.state), _names(row.uncovered or ()), _names(sources))
        yield labels, _seconds(row.observed_at) or 0


class _OfGroup(Family[CommuneRow]):
    """An info with one sample for each group: `names` of all of its rows; nothing where there are none."""

    def __init__(self, name: str, text: str, label: str, names: Callable[[Iterable[CommuneRow]], str]) -> None:
        super().__init__(f"{name}_info", text, (label,), lambda _: [])
        self.metric = InfoMetricFamily(name, text)
        self._names_of = names

    def lines(self, at: Labels, rows: Iterable[CommuneRow]) -> bytes:
        """The sample of a group."""
        names = self._names_of(rows)
        return self.line.at(at)((names,), 1).encode() if names else b""


def _worst(rows: Iterable[CommuneRow]) -> str:
    lacking = [(row.weight * (1 - (row.ratio or 0)), row) for row in rows if row.weight and row.ratio != 1]
    first = sorted(lacking, key=lambda one: (-one[0], one[1].commune))[:WORST]
    return ", ".join([row.name for _, row in first])


COMMUNES: tuple[Family[CommuneRow], ...] = (
    _OfGroup(
        "coverage_worst_communes",
        "The three communes that lack most of the province's weight, the worst first; an unknown one lacks all of its own.",
        "communes",
        _worst,
    ),
    Family(
        "coverage_commune_ratio",
        "Share covered of one commune; unknown and not applicable are absent, never zero.",
        ("commune",),
        lambda r: [((r.commune,), None if r.state is State.UNKNOWN else r.ratio)],
    ),
    Family(
        "coverage_commune_weight",
        "Weight of a commune in its province; absent: not known.",
        ("commune",),
        lambda r: [((r.commune,), r.weight)],
    ),
    Family(
        "coverage_gap_observed_timestamp_seconds",
        "The communes that are not known to be covered in full: when the statement that decides was observed; 0: never stated.",
        ("commune", "name", "district", "state", "villages", "sources"),
        _gap,
    ),
)


# other at each publication, or of what the row does not hold: written anew at each scrape
MOMENTS: tuple[Family[Judged], ...] = (
    Family(
        "coverage_as_of_timestamp_seconds",
        "Moment that the row is true for; of the scenario clock where there is one.",
        (),
        lambda j: [((), j.held.version.as_of.timestamp())],
    ),
    Family(
        "coverage_published_timestamp_seconds",
        "When the broker last took the row; always wall clock.",
        (),
        lambda j: [((), j.held.published.timestamp())],
    ),
    Family(
        "coverage_verdict_since_timestamp_seconds",
        "When the verdict that holds began.",
        (),
        lambda j: [((), None if j.entry is None else j.entry.event.data.as_of.timestamp())],
    ),
    Family(
        "coverage_acknowledged",
        "1 while the verdict that holds is taken by that owner; absent: by nobody.",
        ("owner",),
        lambda j: [] if j.taken is None or j.taken.data.owner is None else [((j.taken.data.owner,), 1)],
    ),
)

COMMUNE_INFO = InfoMetricFamily("coverage_commune", "Names and place of a commune.")
COMMUNE_INFO_LINE = Line("coverage_commune_info", ("vintage", "province", "commune", "name", "district", "latitude", "longitude"))
# about the commune, not about an indicator: one series each, for joins by (province, vintage, commune)


class _Kept(Struct, frozen=True):
    """The rows of a group, and the lines of each family about them."""

    rows: tuple[object, ...]
    lines: tuple[bytes, ...]


class FeedMetrics:
    """Everything that is exported; `as_of` tells the moment to show. Any thread may scrape."""

    def __init__(self, reader: Reader, stream: Stream, rules: Rules, as_of: Callable[[], datetime]) -> None:
        self._reader = reader
        self._rules = rules
        self._as_of = as_of
        self._small = _Small(reader, stream, rules)
        self._provinces: dict[Group, _Kept] = {}
        self._communes: dict[Group, _Kept] = {}
        self._info = ("", b"")
        self._lock = threading.Lock()

    def scrape(self, accept: str) -> tuple[list[bytes], str]:
        """Every family, with or without samples, in a stable order, in pieces; and the content type of the format asked for."""
        encode, content_type = encoder(accept)
        pieces, waiting, size = [], [], 0
        # one at a time: the next finds written what this one writes
        with self._lock:
            for part in self._parts(encode):
                waiting.append(part)
                size += len(part)
                if size >= PIECE_BYTES:
                    pieces.append(b"".join(waiting))
                    waiting, size = [], 0
        return [*pieces, b"".join(waiting)], content_type

    def _parts(self, encode: Encode) -> Iterator[bytes]:
        vintage = self._rules.register.vintage_at(self._as_of())
        every = product(sorted(self._rules.catalogue.indicators), sorted(self._rules.register.provinces))
        groups = [] if vintage is None else [(vintage.id, indicator, province) for indicator, province in every]
        snapshot = self._reader.snapshot
        provinces = snapshot.provinces_of(groups)
        self._provinces, blocks = self._lines(PROVINCES, groups, provinces, self._provinces)
        for family, lines in zip(PROVINCES, blocks, strict=True):
            yield from (head(family.metric, encode), *lines)
        judged = [(self._labels(group), [snapshot.judged(*held)]) for group, held in zip(groups, provinces, strict=True) if held]
        for moment in MOMENTS:
            yield from (head(moment.metric, encode), *(moment.lines(at, one) for at, one in judged))
        self._communes, blocks = self._lines(COMMUNES, groups, snapshot.communes_of(groups), self._communes)
        for about, lines in zip(COMMUNES, blocks, strict=True):
            yield from (head(about.metric, encode), *lines)
        yield head(COMMUNE_INFO, encode)
        yield self._communes_info("" if vintage is None else vintage.id)
        yield encode(self._small)

    def _lines(
        self, families: Sequence[Family[R]], groups: Iterable[Group], held: Iterable[tuple[Held[R], ...]], known: Mapping[Group, _Kept]
    ) -> tuple[dict[Group, _Kept], list[list[bytes]]]:
        """The lines of each group, those of before where its rows are the same objects; and the same by family."""
        kept: dict[Group, _Kept] = {}
        for group, some in zip(groups, held, strict=True):
            if not some:
                continue
            rows = tuple([one.row for one in some])
            before = known.get(group)
            if before is not None and len(before.rows) == len(rows) and all(map(is_, before.rows, rows)):
                kept[group] = before
            else:
                at = self._labels(group)
                kept[group] = _Kept(rows, tuple([family.lines(at, rows) for family in families]))
        return kept, [[one.lines[place] for one in kept.values()] for place in range(len(families))]

    def _labels(self, group: Group) -> Labels:
        """The values of ROW."""
        vintage, indicator, province = group
        return province, vintage, self._rules.catalogue.indicators[indicator].domain, indicator

    def _communes_info(self, vintage: str) -> bytes:
        """Of every commune of a list the names and the place: of the register, so written once."""
        if self._info[0] != vintage:
            write = COMMUNE_INFO_LINE.at((vintage,))
            lines = [
                write((one.province, one.code, one.name, one.district, _degrees(one.latitude), _degrees(one.longitude)), 1)
                for one in self._rules.register.units.values()
                if one.vintage == vintage
            ]
            self._info = vintage, "".join(lines).encode()
        return self._info[1]


class _Small(Collector):
    """The families with few samples: what the catalogue and the register are, and how the feed itself does."""

    def __init__(self, reader: Reader, stream: Stream, rules: Rules) -> None:
        self._reader = reader
        self._stream = stream
        self._rules = rules
        self._build = {"version": program_version(), "rules": str(rules.number)}

    def collect(self) -> Iterable[Metric]:
        """Every family, in a stable order."""
        yield from self._names()
        yield from self._feed()

    def _names(self) -> Iterable[Metric]:
        register, catalogue = self._rules.register, self._rules.catalogue
        starts = [((one.id,), one.start.timestamp()) for one in register.vintages.values()]
        since = "When each list of communes came or comes into force."
        yield _gauge("coverage_vintage_start_timestamp_seconds", since, ("vintage",), starts)
        provinces = [{"province": one.code, "name": one.name_vi} for one in register.provinces.values()]
        yield _info("coverage_province", "Names of the provinces.", provinces)
        yield _info(
            "coverage_indicator",
            "Names of the indicators, and what they count.",
            [
                {
                    "indicator": one.id,
                    "domain": one.domain,
                    "name_vi": one.name_vi,
                    "name_en": one.name_en,
                    "unit": _COUNTED[one.base],
                    "base": one.base,
                    "period": one.period,
                }
                for one in catalogue.indicators.values()
            ],
        )
        yield _info(
            "coverage_reporter",
            "Names of the reporters.",
            [{"reporter": one.id, "name_vi": one.name_vi, "name_en": one.name_en} for one in catalogue.reporters.values()],
        )

    def _feed(self) -> Iterable[Metric]:
        reader, snapshot = self._reader, self._reader.snapshot
        yield _gauge("phusong_feed_ready", "1 once the feed has read its topics up to their ends.", (), [((), reader.ready)])
        yield _gauge(
            "phusong_feed_rows",
            "Rows held, of every vintage.",
            ("kind",),
            [
                (("commune",), len(snapshot.communes())),
                (("province",), len(snapshot.provinces())),
                (("verdict",), len(snapshot.verdicts())),
            ],
        )
        yield _gauge("phusong_feed_streams", "Clients that read events as they happen.", (), [((), len(self._stream))])
        dropped = CounterMetricFamily("phusong_feed_streams_dropped", "Clients of events that were too slow and were dropped.")
        dropped.add_metric((), self._stream.dropped)
        yield dropped
        yield _gauge(
            "phusong_feed_kafka_seen_timestamp_seconds",
            "When Kafka last told which topics it has; 0: never.",
            (),
            [((), reader.kafka_seen)],
        )
        left_out = CounterMetricFamily("phusong_feed_left_out", "Records that are not shown, by why.", labels=("why",))
        for why in LeftOut:
            left_out.add_metric((why,), snapshot.left_out[why])
        yield left_out
        yield _info("phusong_build", "Version of the program and number of its rules.", [self._build])


def program_version() -> str:
    """The installed version; `source` where phusong runs from a checkout that is not installed."""
    try:
        return version("phusong")
    except PackageNotFoundError:
        return "source"


def _degrees(value: float | None) -> str:
    return "" if value is None else str(value)


def _gauge(name: str, text: str, labels: Labels, samples: Iterable[tuple[Labels, float]]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, figure in samples:
        family.add_metric(values, figure)
    return family


def _info(name: str, text: str, samples: Iterable[Mapping[str, str]]) -> Metric:
    family = InfoMetricFamily(name, text)
    for labels in samples:
        family.add_metric((), dict(labels))
    return family
