"""A year as Prometheus would have recorded it: the simulated events through the real core and the real feed, scraped at every step.

Comes in: a `Year`, and the names of the metrics to keep. Goes out: an OpenMetrics file with timestamps, and `Played`: the truth, what was
sent, and every commune row that was published. Owns nothing afterwards. An event that the core does not admit raises Rejected: nothing of
this year may be.

The worker never stands still here, so `coverage_published_timestamp_seconds` is always the moment of the scrape; what a standing worker
does to it, and everything that only worker processes tell, is measured on the real thing (live.py). The events are played with the origin
`real`: those of an exercise are routed past people, and what people would get is the question. Nothing of it leaves this process.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any

import msgspec
from msgspec import Struct

from bench.quality.year import END, PROVINCE, START, Year, rules
from feed.metrics import FeedMetrics
from feed.snapshot import Reader
from feed.stream import Stream
from phusong.admission import Admission
from phusong.events import Event, Origin, Stated
from phusong.province import Province
from phusong.rows import VERSION_HEADER, CommuneRow, Row, VerdictEvent, Version, encode, verdict_event
from phusong.settings import Kafka
from phusong.topics import COMMUNES, PROVINCES, VERDICTS
from producers.simulator.incidents import Happening
from producers.simulator.simulation import Sending, Simulation
from producers.simulator.truth import Truth, TruthRecord

STEP = timedelta(hours=2)
"""From one scrape to the next: no delay is told more exactly. A year is then 4,380 points, and a range query may have 11,000."""

_LOG = "alert-quality"
_NAME = re.compile(r"^\w+")


class Published(Struct, frozen=True):
    """A commune row, and when it was published."""

    at: datetime
    row: CommuneRow


class Played(Struct, frozen=True):
    """What happened in a year. `rows`: of the communes, in the order of time; `moments`: of the scrapes."""

    year: Year
    truth: Truth
    incidents: list[Happening]
    sent: list[Sending]
    rows: list[Published]
    moments: list[datetime]


def play(year: Year, wanted: Collection[str], out: Path, tick: Callable[[], None]) -> Played:
    """Play the year, and write the wanted metrics to `out`; `tick` is called at each step."""
    simulation = Simulation(rules(), year.scenario, year.seed, START, END, (PROVINCE,))
    told: list[TruthRecord] = []
    sent: list[Sending] = []
    for output in simulation:
        if isinstance(output, Sending):
            sent.append(Sending(output.at, _as_real(_overrun(output, year, simulation.incidents.every)), output.key))
        else:
            told.append(output)
    served = _Served()
    admission, province = Admission(rules()), Province(rules(), PROVINCE)
    rows: list[Published] = []
    moments: list[datetime] = []
    coming = iter(sent)
    waiting = next(coming, None)
    # what only commune rows tell costs as much as everything else; it is served where a rule asks for it
    communes = any(name.startswith(("coverage_commune", "coverage_gap")) for name in wanted)
    with out.open("w", encoding="utf-8") as file:
        now = START
        while now < END:
            while waiting is not None and waiting.at <= now:
                route = admission.route(waiting.event)
                province.apply(route.cell, route.slot, waiting.event)
                served.offsets += 1
                waiting = next(coming, None)
            changed = province.rows(now) if province.pending(now) else []
            rows += [Published(now, row) for row in changed if isinstance(row, CommuneRow)]
            served.publish([row for row in changed if communes and isinstance(row, CommuneRow)], province, now)
            served.scrape(file, wanted)
            moments.append(now)
            now += STEP
            tick()
        file.write("# EOF\n")
    return Played(year, Truth(told), simulation.incidents.every, sent, rows, moments)


class _Served:
    """A feed with its snapshot, without the thread that reads Kafka."""

    def __init__(self) -> None:
        self._now = START
        self._reader = Reader(Kafka("127.0.0.1:0"))
        self._reader.snapshot.start_over(_LOG)
        self._reader.ready = True
        self._metrics = FeedMetrics(self._reader, Stream(rules(), lambda: self._now), rules(), lambda: self._now)
        self._verdicts: dict[str, VerdictEvent] = {}
        self.offsets = 0

    def publish(self, communes: list[CommuneRow], province: Province, now: datetime) -> None:
        """As an owner does: the verdicts that changed first, then the communes that did, and every province row again."""
        self._now = now
        for one in province.province_rows():
            before = self._verdicts.get(one.key)
            if before is None or before.data.to is not one.verdict:
                event = verdict_event(one, before, province.cause(one), rules().number, now)
                self._verdicts[one.key] = event
                self._reader.snapshot.apply(VERDICTS.name, one.key.encode(), encode(event), None, now, len(self._verdicts))
        for row in communes:
            self._put(COMMUNES.name, row, now)
        for one in province.province_rows():
            self._put(PROVINCES.name, one, now)

    def _put(self, topic: str, row: Row, now: datetime) -> None:
        version = Version(rules=rules().number, log=_LOG, offsets=self.offsets, as_of=now)
        self._reader.snapshot.apply(topic, row.key.encode(), encode(row), [(VERSION_HEADER, encode(version))], now)

    def scrape(self, file: IO[str], wanted: Collection[str]) -> None:
        """What the feed answers to Prometheus, with the labels that a scrape adds and the moment."""
        pieces, _ = self._metrics.scrape("text/plain")
        stamp = f" {self._now.timestamp():.0f}\n"
        for line in b"".join(pieces).decode().splitlines():
            name = _NAME.match(line)
            if name is not None and name[0] in wanted:
                series, _, value = line.rpartition(" ")
                file.write(f"{_scraped(series)} {value}{stamp}")


def _scraped(series: str) -> str:
    """A series with the labels of its target."""
    own = 'job="phusong-feed",instance="feed:8600"'
    return f"{series[:-1]},{own}}}" if series.endswith("}") else f"{series}{{{own}}}"


def _overrun(output: Sending, year: Year, incidents: list[Happening]) -> Event:
    """The operator of the outage that overruns promises an end that is too early."""
    event = output.event
    if isinstance(event, Stated) and event.data.until is not None and event.source == year.overrun.operator:
        where = event.data.vintage or _list_at(event.data.observed_at), event.data.commune
        for one in incidents:
            if one.incident.name == year.overrun.incident and one.now(output.at) and one.concerns(where):
                sooner: Event = _with(event, until=output.at + timedelta(days=year.overrun.told_days))
                return sooner
    return event


def _list_at(moment: datetime) -> str:
    vintage = rules().register.vintage_at(moment)
    return "" if vintage is None else vintage.id


def _as_real(event: Event) -> Event:
    real: Event = _with(event, origin=Origin.REAL) if hasattr(event.data, "origin") else event
    return real


def _with(event: Any, **fields: object) -> Any:
    return msgspec.structs.replace(event, data=msgspec.structs.replace(event.data, **fields))
