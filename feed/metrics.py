"""The snapshot as Prometheus metrics, under the names of DESIGN §6.

Comes in: a `Reader` with its snapshot, the rules, and the moment to show. Goes out: the families of one scrape. Owns no state: each scrape
looks at the snapshot anew, so a row that vanished vanishes. Rows of a vintage not in force, of an unknown indicator, and figures that are
undefined are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from feed.snapshot import Held, LeftOut, R, Reader
from feed.stream import Stream
from phusong.events import Origin
from phusong.rows import ProvinceRow, State, Verdict
from phusong.rules import Rules

Labels = tuple[str, ...]
Sample = tuple[Labels, float | None]

ROW: Labels = ("province", "vintage", "domain", "indicator")

Figure = Callable[[ProvinceRow], float | None]

FIGURES: tuple[tuple[str, str, Figure], ...] = (
    ("coverage_ratio", "Share covered, over all communes of the vintage; unknown ones count as not covered.", lambda r: r.ratio),
    ("coverage_low_ratio", "Share covered that fresh statements prove; stale and unknown count as not covered.", lambda r: r.low),
    ("coverage_high_ratio", "Share covered if every unknown commune were covered.", lambda r: r.high),
    ("coverage_target_ratio", "Target in force for the ratio; absent: none.", lambda r: r.target),
    ("coverage_completeness_ratio", "Share of the obliged reporters with a fresh statement, by weight.", lambda r: r.completeness),
    ("coverage_covered", "Numerator of coverage_ratio, in the indicator's base.", lambda r: r.covered),
    ("coverage_expected", "Denominator of coverage_ratio, in the indicator's base.", lambda r: r.expected),
    (
        "coverage_oldest_observed_timestamp_seconds",
        "When the oldest statement that counts was observed.",
        lambda r: None if r.oldest_observed_at is None else r.oldest_observed_at.timestamp(),
    ),
)

COUNTS: tuple[tuple[str, str, str, Callable[[ProvinceRow], Iterable[tuple[str, float]]]], ...] = (
    ("coverage_units", "Communes by state.", "state", lambda r: ((s, r.units.get(s, 0)) for s in State)),
    ("coverage_marks", "Communes by mark.", "mark", lambda r: r.marks.items()),
    ("coverage_verdict", "1 for the verdict that holds, else 0.", "verdict", lambda r: ((v, r.verdict is v) for v in Verdict)),
    ("coverage_origin", "1 if any figure is of that origin, else 0.", "origin", lambda r: ((o, o in r.origins) for o in Origin)),
    (
        "coverage_reporter_due_timestamp_seconds",
        "When the first of the reporter's statements goes or went stale; never stated: when its first one was due.",
        "reporter",
        lambda r: ((reporter, due.timestamp()) for reporter, due in r.reporters_due.items()),
    ),
    (
        "coverage_reporter_overdue_communes",
        "Communes that the reporter owes a report on.",
        "reporter",
        lambda r: ((reporter, r.reporters_overdue.get(reporter, 0)) for reporter in r.reporters_due),
    ),
    (
        "coverage_reliability_ratio",
        "Share of field measurements that agree with what the reporter declared for the same operator and time; absent: none to compare.",
        "reporter",
        lambda r: ((reporter, agreed / checked) for reporter, (agreed, checked) in r.reliability.items()),
    ),
)


class FeedCollector(Collector):
    """The families of one scrape; `as_of` tells the moment to show."""

    def __init__(self, reader: Reader, stream: Stream, rules: Rules, as_of: Callable[[], datetime]) -> None:
        self._reader = reader
        self._stream = stream
        self._rules = rules
        self._as_of = as_of
        self._build = {"version": program_version(), "rules": str(rules.number)}

    def collect(self) -> Iterable[Metric]:
        """Every family, with or without samples, in a stable order."""
        yield from self._coverage()
        yield from self._feed()

    def _coverage(self) -> Iterable[Metric]:
        snapshot = self._reader.snapshot
        provinces = self._current(snapshot.provinces())
        for name, text, figure in FIGURES:
            yield _gauge(name, text, ROW, ((at, figure(held.row)) for at, held in provinces))
        for name, text, label, counts in COUNTS:
            yield _gauge(name, text, (*ROW, label), (((*at, one), count) for at, held in provinces for one, count in counts(held.row)))
        yield _gauge(
            "coverage_as_of_timestamp_seconds",
            "Moment that the row is true for; of the scenario clock where there is one.",
            ROW,
            ((at, held.version.as_of.timestamp()) for at, held in provinces),
        )
        yield _gauge(
            "coverage_published_timestamp_seconds",
            "When the broker last took the row; always wall clock.",
            ROW,
            ((at, held.published.timestamp()) for at, held in provinces),
        )
        communes = self._current(snapshot.communes())
        yield _gauge(
            "coverage_commune_ratio",
            "Share covered of one commune; unknown and not applicable are absent, never zero.",
            (*ROW, "commune"),
            (((*at, held.row.commune), held.row.ratio) for at, held in communes if held.row.state is not State.UNKNOWN),
        )
        # about the commune, not about an indicator: one series each, for joins by (province, vintage, commune)
        info = InfoMetricFamily("coverage_commune", "Names and place of a commune.", labels=("province", "vintage", "commune"))
        for key, row in {(held.row.province, held.row.vintage, held.row.commune): held.row for _, held in communes}.items():
            unit = self._rules.register.units.get((row.vintage, row.commune))
            latitude, longitude = (unit.latitude, unit.longitude) if unit else (None, None)
            where = {"latitude": "" if latitude is None else str(latitude), "longitude": "" if longitude is None else str(longitude)}
            info.add_metric(key, {"name": row.name, "district": row.district, **where})
        yield info

    def _current(self, held: list[Held[R]]) -> list[tuple[Labels, Held[R]]]:
        """The rows of the vintage in force and of the catalogue's indicators, by key, each with its labels."""
        vintage = self._rules.register.vintage_at(self._as_of())
        indicators = self._rules.catalogue.indicators
        return [
            ((one.row.province, one.row.vintage, indicators[one.row.indicator].domain, one.row.indicator), one)
            for one in sorted(held, key=lambda one: one.row.key)
            if vintage is not None and one.row.vintage == vintage.id and one.row.indicator in indicators
        ]

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
        build = InfoMetricFamily("phusong_build", "Version of the program and number of its rules.")
        build.add_metric((), self._build)
        yield build


def program_version() -> str:
    """The installed version; `source` where phusong runs from a checkout that is not installed."""
    try:
        return version("phusong")
    except PackageNotFoundError:
        return "source"


def _gauge(name: str, text: str, labels: Labels, samples: Iterable[Sample]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, figure in samples:
        if figure is not None:
            family.add_metric(values, figure)
    return family
