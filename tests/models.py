"""The full model for properties: every base, union and kind of obligation, three lists of communes, two provinces that become one.

Comes in: nothing, or evidence about it. Goes out: `model()` (rows begin, fall due and end while time passes) and `steady_model()` (only
lists of communes do); and every row, with its exact figures, that some events amount to. Numbers are small, so that random events tie.

| list | home 08 | of province 02 |
| --- | --- | --- |
| V1 | 00001 00002 00003 00004 00005 00006 | 00101 00102 |
| V2 | 00001 unchanged · 00002 of 00002 and 00003 · 00004 part of 00004 · 00005 of 00005 and part of 00004 · 00007 was 00006 | unchanged |
| V3 | 00001 00005 unchanged · 00008 of 00002 and 00004 · 00101 came from 02 · 00102 of 00102 (02) and 00007 (08) | – |
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache

import msgspec

from phusong.admission import Admission
from phusong.assessment import assess
from phusong.communes import Commune, commune
from phusong.events import Event, Fact
from phusong.evidence import Cell
from phusong.indicators import Catalogue
from phusong.pace import Past, remember
from phusong.rows import Row, encode
from phusong.rules import Rules
from tests.worlds import Row as SeedRow
from tests.worlds import (
    cells_of,
    counts,
    follow_ups_of,
    indicator,
    obligation,
    place,
    reporter,
    seed_texts,
    succession,
    target,
    unit,
    vintage,
)

V1, V2, V3 = "2020-01-01", "2023-07-01", "2024-03-01"
UNCHANGED = ("00001", "00101")
"""Codes of units that are the same in every list."""
DESCENTS = (("00001",), ("00101",), ("00002", "00003", "00008"), ("00004", "00005", "00008"), ("00006", "00007", "00102"))
"""Codes whose territories lead into one another; each has a unit in every list."""

STAFFED = "postal.staffed"
POINTS = "postal.points"
SPEAKERS = "broadcast.speakers"
STUDIOS = "broadcast.studios"
RADIO = "broadcast.radio"
RECEIVED = "broadcast.received"
MOBILE = "telecom.mobile"
FASTER = "telecom.faster"
VILLAGES = "telecom.villages"
WHOLE_VILLAGES = "telecom.whole_villages"
SCHOOLS = "telecom.schools"
HOUSEHOLDS = "telecom.households"
REACHED = "telecom.reached"

VILLAGE_NAMES = ("Bản Bung", "Nà Tạng", "Tát Kẻ", "Khuổi Phìn", "Bản Lãm")

_UNITS: Mapping[str, Mapping[str, str]] = {
    V1: {"08": "00001 00002 00003 00004 00005 00006", "02": "00101 00102", "04": "00201 00202", "10": "00301"},
    V2: {"08": "00001 00002 00004 00005 00007", "02": "00101 00102", "04": "00201 00202", "10": "00301"},
    V3: {"08": "00001 00005 00008 00101 00102", "04": "00201 00202", "10": "00301"},
}
HOMES = ("08", "04", "10")

_INDICATORS = (
    indicator(STAFFED, base="units", union="latest", tolerance="0"),
    indicator(POINTS, base="reported", union="pool"),
    indicator(SPEAKERS, "year", base="reported", union="latest"),
    indicator(STUDIOS, "half_year", base="units", union="any"),
    indicator(RADIO, "half_year", base="households", union="latest"),
    indicator(RECEIVED, "half_year", base="households", union="latest", at_most=RADIO),
    indicator(MOBILE, "quarter", base="population", union="largest"),
    indicator(FASTER, "quarter", base="population", union="largest", at_most=MOBILE),
    indicator(VILLAGES, "quarter", base="villages", union="places", tolerance="0"),
    indicator(WHOLE_VILLAGES, "quarter", base="villages", union="places", tolerance="0", at_most=VILLAGES),
    indicator(SCHOOLS, "quarter", base="reported", union="places"),
    indicator(HOUSEHOLDS, "quarter", base="households", union="sum"),
    indicator(REACHED, "quarter", base="households", union="any"),
)

_OPERATORS = ("operator-a", "operator-b", "operator-c", "operator-d")
_REPORTERS = (
    *(reporter(one) for one in (*_OPERATORS, "post-office", "post-b", "radio-office")),
    reporter("department", "operator-b post-office radio-office"),
    reporter("inspector", " ".join((*_OPERATORS, "post-office", "post-b", "radio-office", "department"))),
)

_SPEAKERS = {
    STAFFED: (("post-office", "post-office", "month"), ("department", "post-office", "quarter")),
    POINTS: (("post-office", "post-office", "month"), ("post-b", "post-b", "quarter")),
    SPEAKERS: (("department", "department", "year"), ("radio-office", "radio-office", "half_year")),
    STUDIOS: (("radio-office", "radio-office", "half_year"), ("department", "department", "half_year")),
    RADIO: (("radio-office", "radio-office", "half_year"),),
    RECEIVED: (("department", "radio-office", "half_year"),),
    MOBILE: tuple((one, one, "quarter") for one in _OPERATORS[:3]),
    FASTER: tuple((one, one, "quarter") for one in _OPERATORS[:2]),
    VILLAGES: (*((one, one, "quarter") for one in _OPERATORS), ("department", "operator-b", "month")),
    WHOLE_VILLAGES: tuple((one, one, "quarter") for one in _OPERATORS[1:3]),
    SCHOOLS: tuple((one, one, "quarter") for one in _OPERATORS[:2]),
    HOUSEHOLDS: tuple((one, one, "quarter") for one in _OPERATORS[:2]),
    REACHED: tuple((one, one, "quarter") for one in _OPERATORS[:3]),
}
"""Indicator -> who owes what about whose service, and how often."""

_TURNING = {
    ("operator-c", MOBILE): {"end": "2023-10-01"},
    ("operator-d", VILLAGES): {"start": "2023-08-15", "communes": "00001 00002 00101 00008"},
    ("operator-b", HOUSEHOLDS): {"start": "2023-05-01", "end": "2024-05-01"},
    ("department", STAFFED): {"end": "2023-12-01"},
    ("radio-office", SPEAKERS): {"start": "2023-06-10", "communes": "00002 00005"},
}
"""(reporter, indicator) -> what its obligation is like in `model()`; in `steady_model()` only the communes."""


def _units() -> Iterator[SeedRow]:
    for listed, provinces in _UNITS.items():
        for province, codes in provinces.items():
            for code in codes.split():
                moved = "02" if listed == V3 and code == "00101" else ""
                yield unit(listed, code, province) | {"former": moved}


def _successions() -> Iterator[SeedRow]:
    made: Mapping[str, Mapping[str, str]] = {
        V2: {"00002": "00002 00003", "00004": "00004/part", "00005": "00005 00004/part", "00007": "00006"},
        V3: {"00008": "00002 00004", "00102": "00102 00007"},
    }
    for listed, ones in made.items():
        for code in (code for codes in _UNITS[listed].values() for code in codes.split()):
            for one in ones.get(code, code).split():
                predecessor, _, extent = one.partition("/")
                yield succession(listed, code, predecessor, extent or "whole")


def _bases() -> Iterator[SeedRow]:
    """Sizes of most units (population, households, villages); 00003, 00005 and 00101 have none, 00004 no households."""
    small = "00201 5 3 2, 00301 4 2 1"
    sizes = {
        V1: f"00001 10 6 5, 00002 8 5 5, 00004 12 - 4, 00006 9 6 5, 00102 7 5 4, {small}",
        V2: f"00001 10 6 5, 00002 13 8 9, 00004 6 - 2, 00007 9 6 5, 00102 7 5 4, {small}",
        V3: f"00001 10 6 5, 00008 19 8 11, 00102 16 11 9, {small}",
    }
    for listed, ones in sizes.items():
        for one in ones.split(", "):
            code, population, households, villages = one.replace("-", "").split(" ")
            status = "assumed" if code == "00002" else "cited"
            yield counts(listed, code, population=population, households=households, villages=villages, status=status)


_PLACES = (
    *(place("00001", name, alias) for name, alias in zip(VILLAGE_NAMES, ("Ban Bung", "Na Tang", "Tat Ke", "Khuoi Phin", ""), strict=True)),
    *(place("00002", name) for name in VILLAGE_NAMES[:3]),
    place("00003", "Bản Bung", "Ban Bung;thôn Bản Bung"),
    place("00101", "Bản Lãm"),
    *(place("00002", name, vintage=V2) for name in VILLAGE_NAMES[:2]),
    *(place("00102", name, vintage=V3) for name in VILLAGE_NAMES),
)


def _obligations(*, turning: bool) -> Iterator[SeedRow]:
    for about, speakers in _SPEAKERS.items():
        for source, operator, period in speakers:
            more = dict(_TURNING.get((source, about), {}))
            if not turning:
                more = {name: value for name, value in more.items() if name == "communes"}
            for province in ("08", "02", "04", "10"):
                yield obligation(source, about, province, operator="" if operator == source else operator, period=period, **more)  # type: ignore[arg-type]  # fields by name


_STEADY_TARGETS = (
    target(STAFFED),
    target(VILLAGES, "0.6"),
    target(VILLAGES, "0.9", "08"),
    target(HOUSEHOLDS, "0.5", due="2030-01-01"),
    target(POINTS, "0.5"),
    target(MOBILE, "0.7", "08", due="2030-01-01"),
    target(RECEIVED, "0.3"),
)
_TURNING_TARGETS = (
    target(SPEAKERS, "0.75", due="2024-01-01"),
    target(REACHED, "0.4", start="2023-06-01", end="2024-02-01"),
    target(REACHED, "0.8", "08", start="2023-09-01", due="2024-04-01", end="2024-06-01"),
)


def _rules(*, turning: bool) -> Rules:
    return Rules.from_texts(
        seed_texts(
            communes={"08": (), "02": (), "04": (), "10": ()},
            vintages=(vintage(V1, end=V2), vintage(V2, end=V3), vintage(V3)),
            units=_units(),
            successions=_successions(),
            bases=_bases(),
            places=_PLACES,
            indicators=_INDICATORS,
            reporters=_REPORTERS,
            obligations=_obligations(turning=turning),
            targets=(*_STEADY_TARGETS, *(_TURNING_TARGETS if turning else ())),
        )
    )


@cache
def model() -> Rules:
    """The model, with rows that begin, fall due and end."""
    return _rules(turning=True)


@cache
def steady_model() -> Rules:
    """The model without them: what changes with time comes from statements, or from a list of communes that begins or ends."""
    return _rules(turning=False)


def narrowed(rules: Rules, events: Iterable[Event]) -> Rules:
    """The rules with the indicators of these events alone, those that they cannot exceed and those that cannot exceed them: less work."""
    return _narrowed(rules, frozenset(event.data.indicator for event in events))


@cache
def _narrowed(rules: Rules, indicators: frozenset[str]) -> Rules:
    every = rules.catalogue.indicators.values()
    kept = [one for one in every if {one.id, one.at_most, *(i.id for i in every if i.at_most == one.id)} & indicators]
    names = {one.id for one in kept}
    targets = [one for one in rules.catalogue.targets if one.indicator in names]
    obligations = [one for one in rules.catalogue.obligations if one.indicator in names]
    catalogue = Catalogue(kept, targets, list(rules.catalogue.reporters.values()), obligations)
    return msgspec.structs.replace(rules, catalogue=catalogue)


def past_of(rules: Rules, events: Iterable[Event]) -> Past:
    """What was stated in each period, of the indicators that have a target with a date: what a projection is made of."""
    dated = {one.indicator for one in rules.catalogue.targets if one.due}
    route = Admission(rules).route
    past: Past = {}
    for event in events:
        if isinstance(event, Fact) and event.data.indicator in dated:
            where = route(event)
            remember(past, rules.catalogue.indicators[event.data.indicator].period, where.cell, where.slot, event)
    return past


def rows_of(rules: Rules, events: Sequence[Event], as_of: datetime, home: str = "08") -> dict[str, Row]:
    """Every row of a home province from scratch, by key."""
    communes, provinces = assess(rules, home, cells_of(rules, events), as_of, past_of(rules, events), follow_ups_of(rules, events))
    return {**communes, **provinces}


def as_bytes(rows: Iterable[Row]) -> dict[str, bytes]:
    """What is published: key -> the bytes of the row."""
    return {row.key: encode(row) for row in rows}


def communes_of(rules: Rules, events: Iterable[Event], as_of: datetime, home: str = "08") -> dict[Cell, Commune]:
    """Every commune of the lists that have come into force, with its exact figures."""
    cells = cells_of(rules, events)
    found: dict[Cell, Commune] = {}
    for about in sorted(rules.catalogue.indicators.values(), key=lambda one: one.at_most != ""):
        for listed in rules.register.vintages.values():
            for one in rules.register.of(listed.id, home) if listed.start <= as_of else ():
                bound = found.get((*one.id, about.at_most))
                found[*one.id, about.id] = commune(rules, one, about, cells, bound, as_of)
    return found
