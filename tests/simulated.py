"""Simulations for tests: small countries, runs as lists, and the core's answer to what was sent.

Comes in: a scenario, a seed, from when to when. Goes out: events and truth. Owns a cache of the small country's rules.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path

from ops import simulated_seeds
from phusong.admission import Admission
from phusong.events import Event, Stated
from phusong.periods import Period, end_of, index
from phusong.province import Province
from phusong.rows import ProvinceRow
from phusong.rules import Rules, seeds_digest
from phusong.settings import SEEDS, seed_texts
from producers.simulator.chance import Chance
from producers.simulator.scenario import Scenario
from producers.simulator.simulation import Sending, Simulation
from producers.simulator.truth import INSTANT, Truth, TruthRecord
from producers.simulator.world import World
from tests.worlds import instant

START, END = instant("2023-01-01"), instant("2023-07-01")
NOW = instant("2026-01-01")


@cache
def country_texts(provinces: int = 2, communes: int = 10) -> Mapping[str, str]:
    """The seeds of a small simulated country."""
    with tempfile.TemporaryDirectory() as directory:
        seeds = Path(directory) / "seeds"
        simulated_seeds.write(seeds, 1, provinces, communes)
        return seed_texts(seeds)


@cache
def country(provinces: int = 2, communes: int = 10) -> Rules:
    """Its rules."""
    return Rules.from_texts(country_texts(provinces, communes))


@cache
def shipped_with_villages() -> Rules:
    """The shipped register, three lists of communes with their mergers, with every village of the simulated world as a row."""
    texts = seed_texts(SEEDS)
    world = World(Rules.from_texts(_numbered(texts)), Chance(1), ("08",), 1, 1)
    lines = ["vintage,commune,name,aliases,source"]
    for piece in world.pieces:
        lines += [f"{vintage},{code},{name},,simulated" for vintage, code in piece.units.values() for name in piece.villages]
    return Rules.from_texts(_numbered({**texts, "places.csv": "\n".join(lines) + "\n"}))


def _numbered(texts: Mapping[str, str]) -> dict[str, str]:
    return {**texts, "rules.toml": f'rules = 1\nseeds = "{seeds_digest(texts)}"\n'}


def run(
    scenario: Scenario,
    rules: Rules | None = None,
    *,
    seed: int = 7,
    start: datetime = START,
    end: datetime = END,
    homes: Sequence[str] = (),
) -> tuple[list[Sending], Truth]:
    """What is sent, and the truth."""
    sent: list[Sending] = []
    told: list[TruthRecord] = []
    for output in Simulation(rules or country(), scenario, seed, start, end, homes):
        if isinstance(output, Sending):
            sent.append(output)
        else:
            told.append(output)
    return sent, Truth(told)


def stated(sent: Iterable[Sending], **fields: object) -> list[Stated]:
    """The statements whose data or envelope have these values."""
    found = []
    for sending in sent:
        event = sending.event
        if isinstance(event, Stated) and all(
            getattr(event, name, getattr(event.data, name, None)) == value for name, value in fields.items()
        ):
            found.append(event)
    return found


def month_ends(start: datetime, end: datetime) -> list[datetime]:
    """The moments just before the months that begin within a run and at its end."""
    first = index(Period.MONTH, start)
    return [end_of(Period.MONTH, number) - INSTANT for number in range(first, index(Period.MONTH, end - INSTANT) + 1)]


def assessed(rules: Rules, sent: Iterable[Sending], moments: Iterable[datetime]) -> dict[datetime, list[ProvinceRow]]:
    """What the core makes of the events that were sent by each of those moments: the rows of the lists in force."""
    admission = Admission(rules)
    provinces = {home: Province(rules, home) for home in rules.register.homes}
    coming = iter(sent)
    waiting = next(coming, None)
    found: dict[datetime, list[ProvinceRow]] = {}
    for moment in moments:
        while waiting is not None and waiting.at <= moment:
            apply(admission, provinces, waiting.event)
            waiting = next(coming, None)
        rows: list[ProvinceRow] = []
        for province in provinces.values():
            province.rows(moment)
            rows += [row for row in province.province_rows() if rules.register.vintages[row.vintage].holds(moment)]
        found[moment] = rows
    return found


def apply(admission: Admission, provinces: Mapping[str, Province], event: Event) -> None:
    """Fold one event where it belongs."""
    route = admission.route(event)
    provinces[route.province].apply(route.cell, route.slot, event)
