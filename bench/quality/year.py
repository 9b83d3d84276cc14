"""The simulated year that alerts are measured on: the rules of the exercise, and for each seed what is injected when.

Comes in: the shipped seeds, a seed number. Goes out: `rules()`, and a `Year` with its scenario. Owns no state. All of it is simulated: the
targets are invented for the exercise (marked `assumed`), and the two changes of the list of communes, real ones of 2024 and 2025, are moved
into 2023 with all that hangs on them, so that one year has a small one (two communes merge) and a large one (two provinces do).
"""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from functools import cache

import msgspec
from msgspec import Struct

from phusong.periods import VIETNAM
from phusong.rules import Rules, seeds_digest
from phusong.settings import SEEDS, seed_texts
from producers.simulator.chance import Chance
from producers.simulator.scenario import (
    ContradictingMeasurement,
    DuplicateStorm,
    Habits,
    Incident,
    LateReporter,
    MastOutage,
    MisspeltVillages,
    NeverReports,
    Scenario,
)
from producers.simulator.world import MAST, World

TUNING_SEEDS = (1, 2, 3, 1009, 2003, 3001, 4001, 5003)
"""Whoever writes or changes a rule, the core or this measure tries it on these; the test does."""
MEASURING_SEEDS = (6007, 7001, 8009, 9001, 10007)
"""The figures come from these alone. Once one has shown something that was then changed, it belongs to the others: take a new one."""

PROVINCE = "08"
START, END = datetime(2023, 1, 1, tzinfo=VIETNAM), datetime(2024, 1, 1, tzinfo=VIETNAM)

MOVED = {"2024-09-01": "2023-02-01", "2025-07-01": "2023-08-01"}
"""A real change of the list of communes -> the day that it has here."""

ROLLOVER_DUE = datetime(2023, 7, 1, tzinfo=VIETNAM)
PLAN_DUE = datetime(2023, 12, 15, tzinfo=VIETNAM)
FALLEN, EXPIRING, FOLLOWED, BEHIND = MAST, "telecom.fibre_villages", "broadcast.tv_covered", "postal.points_online"
"""The indicators of a fall below a standing target, of a target without a follower, of one with, and of a plan that cannot be kept."""

_TARGETS = (
    # indicator, value, start, due, end
    ("postal.staffed_point", "0.9", "2021-01-01", "", ""),
    (FALLEN, "0.9", "2021-01-01", "", ""),
    ("telecom.mobile_4g_population", "0.6", "2021-01-01", "", ""),
    (EXPIRING, "0.7", "2021-01-01", "2023-07-01", ""),
    (FOLLOWED, "0.85", "2021-01-01", "2023-07-01", "2023-07-01"),
    (FOLLOWED, "0.86", "2023-07-01", "2026-01-01", ""),
    (BEHIND, "0.995", "2021-01-01", "2023-12-15", ""),
)

NEVER = ("operator-c", "telecom.fibre_households")
LATE = "assumed-postal-reporter"
LATE_DAYS = 35

HABITS = Habits(late=0, reordered=0, forgotten_sheets=0, forgotten_rows=0, interrupted=1)
"""Nobody is late or silent but those whom an incident makes so, else what is injected could not be told from the rest. The other small
faults of reporters stay: corrections, withdrawals, duplicates, misspelt and unnamed villages, optimists, old forms after a merger."""


class Overrun(Struct, frozen=True):
    """An outage that the operator tells as temporary with an end that is too early: it lasts on until the incident's own end."""

    incident: str
    operator: str
    told_days: int


class Year(Struct, frozen=True):
    """One seed's year."""

    seed: int
    scenario: Scenario
    overrun: Overrun


def year(seed: int) -> Year:
    """What is injected in a seed's year: where and when differ from seed to seed."""
    lot = random.Random(f"alert quality {seed}")

    def day(month: int, spread: int) -> date:
        return date(2023, month, 1) + timedelta(days=lot.randrange(spread))

    districts = ["Huyện Yên Sơn", "Huyện Sơn Dương", "Huyện Chiêm Hóa"]
    others = ["Huyện Na Hang", "Huyện Hàm Yên", "Huyện Lâm Bình", "Thành phố Tuyên Quang"]
    lot.shuffle(others)
    incidents: list[Incident] = []
    fell = day(4, 40)
    incidents += [
        MastOutage(name=f"fall of {operator}", operator=operator, districts=tuple(districts), start=fell, end=fell + timedelta(days=160))
        for operator in ("operator-a", "operator-b", "operator-c")
    ]
    out = day(2, 25)
    incidents.append(
        MastOutage(name="overrun", operator="operator-a", districts=(others[0],), start=out, end=out + timedelta(days=lot.randint(40, 55)))
    )
    spelt = day(7, 2)
    incidents.append(
        MisspeltVillages(
            name="misspelt", reporter="operator-b", districts=(others[1], others[0]), start=spelt, end=spelt + timedelta(days=25)
        )
    )
    claimed = day(6, 20)
    incidents.append(
        ContradictingMeasurement(
            name="contradicts",
            operator="operator-c",
            indicator=MAST,
            districts=(others[2],),
            start=claimed,
            end=claimed + timedelta(days=60),
        )
    )
    incidents.append(NeverReports(name="never", reporter=NEVER[0], indicators=(NEVER[1],)))
    late = date(2023, lot.choice((4, 6, 9, 10)), 1)
    incidents.append(LateReporter(name="late", reporter=LATE, start=late, end=_next_month(late), days=LATE_DAYS))
    storm = day(11, 10)
    incidents.append(
        DuplicateStorm(
            name="storm", reporter="operator-b", districts=(), communes=(), start=storm, end=storm + timedelta(days=20), copies=2
        )
    )
    # of these two something is injected into one sheet, which an old form would date before it
    exact = {operator: msgspec.structs.replace(HABITS, old_forms=0) for operator in ("operator-b", "operator-c")}
    scenario = Scenario(name=f"alert quality {seed}", habits=HABITS, reporters=exact, incident=tuple(incidents))
    return Year(seed, scenario, Overrun("overrun", "operator-a", lot.randint(5, 12)))


def _next_month(first: date) -> date:
    return (first + timedelta(days=31)).replace(day=1)


@cache
def rules() -> Rules:
    """The shipped register with its changes moved into 2023, every village of the simulated world as a place, and the year's targets."""
    texts = {name: _moved(text) for name, text in seed_texts(SEEDS).items()}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("indicator", "scope", "province", "value", "status", "start", "due", "end", "source_vi", "source_en"))
    for indicator, value, start, due, end in _TARGETS:
        writer.writerow((indicator, "province", PROVINCE, value, "assumed", start, due, end, "mô phỏng", "simulated"))
    texts["targets.csv"] = out.getvalue()
    world = World(Rules.from_texts(_numbered(texts)), Chance(1), (PROVINCE,), 1, 1)
    lines = ["vintage,commune,name,aliases,source"]
    for piece in world.pieces:
        lines += [f"{vintage},{code},{name},,mô phỏng" for vintage, code in piece.units.values() for name in piece.villages]
    return Rules.from_texts(_numbered({**texts, "places.csv": "\n".join(lines) + "\n"}))


def _moved(text: str) -> str:
    for real, here in MOVED.items():
        text = text.replace(real, here)
    return text


def _numbered(texts: Mapping[str, str]) -> dict[str, str]:
    tables = {name: text for name, text in texts.items() if name.endswith(".csv")}
    return {**tables, "rules.toml": f'rules = 1\nseeds = "{seeds_digest(tables)}"\n'}
