"""Small worlds for tests: seed texts, written here and read by the same reader as the shipped seeds, and events about them.

Comes in: what a test wants to be different. Goes out: `Rules` with several provinces, indicators of all three domains, several reporters,
obligations (some begin and end, one covers two communes only) and targets (one falls due); and events with sensible defaults.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any

from phusong.admission import Admission
from phusong.events import (
    Challenge,
    Challenged,
    Event,
    Fact,
    FollowUp,
    Promise,
    Promised,
    Stated,
    Statement,
    Step,
    Withdrawal,
    Withdrawn,
)
from phusong.evidence import Cell, Slots, fold
from phusong.follow_ups import FollowUps, follow
from phusong.periods import VIETNAM
from phusong.rules import Rules, core_digest, seeds_digest
from phusong.settings import core_sources

POSTAL = "postal.staffed_point"
POINTS = "postal.points_online"
MOBILE = "telecom.mobile_signal_villages"
SPEAKER = "broadcast.loudspeaker"

COMMUNES: Mapping[str, tuple[str, ...]] = {
    "08": ("02263", "02275", "02284"),
    "02": ("00688", "00691"),
    "04": ("01273", "01276", "01279", "01282"),
    "10": ("02635",),
}
"""Province -> its communes in the default world."""

Row = dict[str, str]

_COLUMNS = {
    "vintages.csv": "vintage start end title source",
    "provinces.csv": "code name_vi name_en source",
    "units.csv": "vintage code name kind district province former latitude longitude source",
    "successions.csv": "vintage code predecessor extent source",
    "bases.csv": "vintage code population households villages counted_on status source",
    "places.csv": "vintage commune name aliases source",
    "indicators.csv": "indicator name_vi name_en base union period deadline_days tolerance at_most definition_vi definition_en "
    "status source",
    "reporters.csv": "reporter name_vi name_en operators status source",
    "targets.csv": "indicator scope province value status start due end source_vi source_en",
    "obligations.csv": "reporter operator indicator province communes period deadline_days grace_days start end status source",
}


def vintage(name: str = "2020-01-01", start: str = "", end: str = "") -> Row:
    """A row of vintages.csv; it starts on the day that it is named after."""
    return {"vintage": name, "start": start or name, "end": end, "title": f"Danh sách {name}"}


def indicator(
    name: str, period: str = "month", *, base: str = "units", union: str = "latest", tolerance: str = "0.05", at_most: str = ""
) -> Row:
    """A row of indicators.csv."""
    row = {"indicator": name, "period": period, "base": base, "union": union, "tolerance": tolerance, "at_most": at_most}
    return row | {"deadline_days": "15"}


def succession(vintage: str, code: str, predecessor: str, extent: str = "whole") -> Row:
    """A row of successions.csv."""
    return {"vintage": vintage, "code": code, "predecessor": predecessor, "extent": extent}


def counts(vintage: str, code: str, *, population: str = "", households: str = "", villages: str = "", status: str = "cited") -> Row:
    """A row of bases.csv."""
    sizes = {"population": population, "households": households, "villages": villages}
    return {"vintage": vintage, "code": code, "counted_on": "2019-04-01", "status": status, **sizes}


def place(commune: str, name: str, aliases: str = "", vintage: str = "2020-01-01") -> Row:
    """A row of places.csv; `aliases` separated by semicolons."""
    return {"vintage": vintage, "commune": commune, "name": name, "aliases": aliases}


def unit(vintage: str, code: str, province: str = "08") -> Row:
    """A row of units.csv."""
    return {"vintage": vintage, "code": code, "province": province, "name": f"Xã {code}", "kind": "xã"}


def reporter(name: str, operators: str = "") -> Row:
    """A row of reporters.csv; `operators`: whom it may speak for besides itself, separated by spaces."""
    return {"reporter": name, "operators": operators}


def obligation(
    reporter: str,
    indicator: str,
    province: str = "08",
    *,
    operator: str = "",
    communes: str = "",
    period: str = "month",
    deadline_days: int = 15,
    grace_days: int = 5,
    start: str = "2023-01-01",
    end: str = "",
) -> Row:
    """A row of obligations.csv."""
    return {
        "reporter": reporter,
        "indicator": indicator,
        "province": province,
        "operator": operator,
        "communes": communes,
        "period": period,
        "deadline_days": str(deadline_days),
        "grace_days": str(grace_days),
        "start": start,
        "end": end,
    }


def target(indicator: str, value: str = "1", province: str = "", *, start: str = "2021-01-01", due: str = "", end: str = "") -> Row:
    """A row of targets.csv; without a province a national one."""
    scope = "province" if province else "national"
    return {"indicator": indicator, "value": value, "province": province, "scope": scope, "start": start, "due": due, "end": end}


INDICATORS = (indicator(POSTAL), indicator(POINTS, "half_year"), indicator(MOBILE, "quarter"), indicator(SPEAKER, "year"))
REPORTERS = (
    reporter("post-office"),
    reporter("operator-a"),
    reporter("operator-b"),
    reporter("department", "operator-b post-office"),
    reporter("inspector", "operator-a post-office department"),
)
STEADY_OBLIGATIONS = (
    *(obligation("post-office", POSTAL, province) for province in COMMUNES),
    obligation("department", POSTAL, operator="post-office", period="quarter"),
    *(obligation("operator-a", MOBILE, province, period="quarter") for province in ("08", "02", "04")),
    *(obligation("operator-b", MOBILE, province, period="quarter", grace_days=40) for province in ("08", "02")),
    obligation("department", MOBILE, operator="operator-b"),
    obligation("department", SPEAKER, period="year"),
    obligation("department", SPEAKER, "02", communes="00688", period="half_year", deadline_days=0, grace_days=0),
)
"""Obligations that bind throughout: they begin before anything is observed and do not end."""
TURNING_OBLIGATIONS = (
    obligation("post-office", POINTS, period="half_year", end="2024-01-01"),
    obligation("department", POINTS, communes="02263 02275", start="2023-10-01"),
    obligation("department", POINTS, "04", start="2023-07-01", end="2024-04-01"),
)
STEADY_TARGETS = (target(POSTAL), target(MOBILE, "0.6"), target(MOBILE, "0.9", "08"))
TURNING_TARGETS = (
    target(POSTAL, "0.5", "04", due="2023-12-31"),
    target(SPEAKER, "0.75", due="2024-01-01"),
    target(POINTS, "0.4", start="2023-06-01", end="2024-02-01"),
    target(POINTS, "0.8", "08", start="2023-09-01", due="2024-03-01", end="2024-06-01"),
)


def seed_texts(
    *,
    communes: Mapping[str, Iterable[str]] = COMMUNES,
    vintages: Iterable[Row] = (vintage(),),
    units: Iterable[Row] | None = None,
    successions: Iterable[Row] | None = None,
    bases: Iterable[Row] = (),
    places: Iterable[Row] = (),
    indicators: Iterable[Row] = INDICATORS,
    reporters: Iterable[Row] = REPORTERS,
    obligations: Iterable[Row] = (*STEADY_OBLIGATIONS, *TURNING_OBLIGATIONS),
    targets: Iterable[Row] = (*STEADY_TARGETS, *TURNING_TARGETS),
    number: int = 1,
) -> dict[str, str]:
    """The seed files of a world by name; unless `units` and `successions` say otherwise, every vintage lists the same communes."""
    vintages = list(vintages)
    lists = [listed["vintage"] for listed in vintages]
    if units is None:
        units = [unit(name, code, province) for name in lists for province, codes in communes.items() for code in codes]
    if successions is None:
        successions = [succession(name, code, code) for name in lists[1:] for codes in communes.values() for code in codes]
    rows: dict[str, Iterable[Row]] = {
        "vintages.csv": vintages,
        "provinces.csv": [{"code": code} for code in communes],
        "units.csv": units,
        "successions.csv": successions,
        "bases.csv": bases,
        "places.csv": places,
        "indicators.csv": indicators,
        "reporters.csv": reporters,
        "targets.csv": targets,
        "obligations.csv": obligations,
    }
    return recorded({name: _table(_COLUMNS[name].split(), table) for name, table in rows.items()}, number)


def recorded(texts: Mapping[str, str], number: int = 1) -> dict[str, str]:
    """The seed files with a rules.toml that fits them."""
    return {**texts, "rules.toml": f'rules = {number}\nseeds = "{seeds_digest(texts)}"\ncore = "{_core()}"\n'}


@cache
def world() -> Rules:
    """The default world."""
    return Rules.from_texts(seed_texts())


@cache
def steady_world() -> Rules:
    """The default world without the rows that begin, fall due or end while time passes in the tests."""
    return Rules.from_texts(seed_texts(obligations=STEADY_OBLIGATIONS, targets=STEADY_TARGETS))


def instant(text: str) -> datetime:
    """A date or date and time as a moment, of Vietnam where no offset is given."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else datetime.combine(moment.date(), moment.time(), VIETNAM)


def millis(moment: datetime) -> int:
    """A moment as a Kafka timestamp."""
    return round(moment.timestamp() * 1000)


def stated(
    commune: str = "02275",
    indicator: str = POSTAL,
    covered: int = 1,
    expected: int = 1,
    observed_at: str = "2023-06-30",
    *,
    source: str = "post-office",
    time: str = "2023-07-05T09:00:00+07:00",
    event_id: str = "",
    **more: Any,
) -> Stated:
    """A statement; `more`: further fields of its data."""
    data = Statement(
        commune=commune,
        indicator=indicator,
        covered=covered,
        expected=expected,
        observed_at=instant(observed_at),
        **more,
    )
    return Stated(specversion="1.0", id=event_id or f"{source}/{commune}/{indicator}", source=source, time=instant(time), data=data)


def withdrawn(
    commune: str = "02275",
    indicator: str = POSTAL,
    observed_at: str = "2023-06-30",
    *,
    source: str = "post-office",
    time: str = "2023-07-06T09:00:00+07:00",
    event_id: str = "",
    **more: Any,
) -> Withdrawn:
    """A withdrawal; `more`: further fields of its data."""
    data = Withdrawal(commune=commune, indicator=indicator, observed_at=instant(observed_at), **more)
    return Withdrawn(specversion="1.0", id=event_id or f"{source}/{commune}/{indicator}/back", source=source, time=instant(time), data=data)


def promised(
    commune: str = "02275",
    indicator: str = POSTAL,
    by: str | None = "2023-12-31",
    observed_at: str = "2023-06-30",
    *,
    source: str = "post-office",
    time: str = "2023-07-05T09:00:00+07:00",
    event_id: str = "",
    **more: Any,
) -> Promised:
    """A promise; `by` None: taken back; `more`: further fields of its data."""
    due = None if by is None else instant(by)
    data = Promise(commune=commune, indicator=indicator, by=due, observed_at=instant(observed_at), **more)
    return Promised(
        specversion="1.0", id=event_id or f"{source}/{commune}/{indicator}/promise", source=source, time=instant(time), data=data
    )


def challenged(
    step: str = "opened",
    observed_at: str = "2023-06-30",
    *,
    commune: str = "02275",
    indicator: str = POSTAL,
    operator: str | None = "post-office",
    challenge: str = "3777",
    deadline: str | None = None,
    source: str = "department",
    time: str = "2023-07-05T09:00:00+07:00",
    event_id: str = "",
    **more: Any,
) -> Challenged:
    """A step of a challenge; `more`: further fields of its data."""
    data = Challenge(
        commune=commune,
        indicator=indicator,
        operator=operator,
        challenge=challenge,
        step=Step(step),
        observed_at=instant(observed_at),
        deadline=None if deadline is None else instant(deadline),
        **more,
    )
    return Challenged(specversion="1.0", id=event_id or f"{challenge}/{step}", source=source, time=instant(time), data=data)


def cells_of(rules: Rules, events: Iterable[Event]) -> dict[Cell, Slots]:
    """The evidence of these events, each statement and withdrawal folded in where it belongs."""
    route = Admission(rules).route
    cells: dict[Cell, Slots] = {}
    for event in events:
        if isinstance(event, Fact):
            where = route(event)
            fold(cells.setdefault(where.cell, {}), where.slot, event)
    return cells


def follow_ups_of(rules: Rules, events: Iterable[Event]) -> FollowUps:
    """What of these events was promised and challenged, each folded in where it belongs."""
    route = Admission(rules).route
    follow_ups: FollowUps = {}
    for event in events:
        if isinstance(event, FollowUp):
            where = route(event)
            follow(follow_ups.setdefault(where.cell, {}), where.slot, event)
    return follow_ups


@cache
def _core() -> str:
    return core_digest(core_sources())


_MAY_BE_EMPTY = frozenset(
    [
        *("end", "due", "operators", "operator", "communes", "district", "province", "former", "latitude", "longitude", "at_most"),
        *("aliases", "population", "households", "villages"),
    ]
)


def _table(columns: list[str], rows: Iterable[Row]) -> str:
    """A CSV file; a cell that a test says nothing about holds its column's name, or nothing where that is allowed."""
    default = {column: "" if column in _MAY_BE_EMPTY else "assumed" if column == "status" else column for column in columns}
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(default | row for row in rows)
    return out.getvalue()
