"""The mergers of 2024 and 2025 as one story over the shipped register: what is said, and what the core answers step by step.

Comes in: the shipped seeds. Goes out: `steps()` (each a moment that is asked for, and what is said before it), `told()` (every row at every
step, and why each verdict changed), and the look-ups that the tests need. Every statement is of origin `simulated`, made by the neutral
reporters of seeds/reporters.csv. Owns no state.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from msgspec import Struct

from phusong.admission import Admission
from phusong.events import Event, Origin, Stated
from phusong.evidence import Cell, Slots
from phusong.province import Province
from phusong.register import Base, Extent, Unit
from phusong.rows import CauseKind, CommuneRow, ProvinceRow, Row, Verdict
from phusong.rules import Rules
from phusong.settings import SEEDS, seed_texts
from tests import worlds
from tests.worlds import instant

HOME = "08"
OLD, MIDDLE, NEW = "2020-01-01", "2024-09-01", "2025-07-01"
POINT, ONLINE = worlds.POSTAL, worlds.POINTS
SIGNAL, FOURTH = worlds.MOBILE, "telecom.mobile_4g_population"
INDICATORS = (POINT, ONLINE, SIGNAL, FOURTH)
POST = "assumed-postal-reporter"
OPERATORS = ("operator-a", "operator-b", "operator-c")

VAN_SON, HONG_LAC, HONG_SON = "02593", "02608", "02608"
SON_PHU, KHAU_TINH, TA_NHIU = "02275", "02263", "01132"
THAI_BINH, KIM_PHU, QUANG_TRUNG, VIET_LAM, YEN_DINH = "02494", "02497", "00688", "00967", "00988"
QUANG_NGAN, NGOC_LONG = "00964", "00859"
SPLIT = (QUANG_TRUNG, VIET_LAM, YEN_DINH, THAI_BINH, KIM_PHU)

_ONE_A_DAY = timedelta(hours=9)


class Step(Struct, frozen=True, kw_only=True):
    """A moment that is asked for, and what was said since the step before."""

    name: str
    as_of: datetime
    events: tuple[Stated, ...] = ()


class Change(Struct, frozen=True):
    """An entry of the verdict history, without its ids."""

    step: str
    verdict: Verdict
    cause: CauseKind


@cache
def texts() -> dict[str, str]:
    """The shipped seeds, with a rules.toml that fits them."""
    return worlds.recorded(seed_texts(SEEDS))


@cache
def rules() -> Rules:
    """The shipped rows."""
    return Rules.from_texts(texts())


def units(vintage: str, province: str = "") -> list[Unit]:
    """The units of a list, of one province of its time or of all."""
    return [unit for unit in rules().register.of(vintage, HOME) if province in ("", unit.province)]


def size(unit: Unit, base: Base) -> int:
    """What the register counts."""
    return rules().register.counts[unit.id][base].value


def _said(unit: Unit, indicator: str, covered: int, expected: int, observed_at: str, said: str, source: str, **more: Any) -> Stated:
    return worlds.stated(
        unit.code,
        indicator,
        covered,
        expected,
        observed_at,
        source=source,
        time=(instant(said) + _ONE_A_DAY).isoformat(),
        event_id=f"mergers/{said}/{unit.code}/{indicator}",
        origin=Origin.SIMULATED,
        **more,
    )


def _reports(vintage: str, posts_at: str, posts_said: str, operators_at: str, operators_said: str) -> Iterator[Stated]:
    """A whole round: the postal reporter's month and the operators' quarter."""
    for unit in units(vintage):
        yield from _of_the_post(unit, posts_at, posts_said)
        yield from _of_operators(unit, operators_at, operators_said)


def _of_the_post(unit: Unit, observed_at: str, said: str) -> Iterator[Stated]:
    merged = unit.id == (MIDDLE, HONG_SON)
    without = {(OLD, VAN_SON), (unit.vintage, QUANG_TRUNG), (unit.vintage, QUANG_NGAN), (unit.vintage, NGOC_LONG)}
    yield _said(unit, POINT, int(unit.id not in without), 1, observed_at, said, POST)
    if unit.code == TA_NHIU:
        return
    covered, expected = (3, 4) if unit.id == (OLD, VAN_SON) else (4, 6) if merged else (0, 0) if unit.code == SON_PHU else (1, 2)
    late = unit.id == (OLD, HONG_LAC)
    yield _said(unit, ONLINE, covered, expected, "2024-06-30" if late else observed_at, "2024-07-05" if late else said, POST)


def _of_operators(unit: Unit, observed_at: str, said: str) -> Iterator[Stated]:
    villages = size(unit, Base.VILLAGES)
    blank: tuple[str, ...] | None = {
        (OLD, VAN_SON): ("thôn 1", "thôn 2"),
        (OLD, HONG_LAC): ("thôn 1",),
        (OLD, QUANG_TRUNG): ("tổ 1", "tổ 2"),
        (MIDDLE, QUANG_TRUNG): ("tổ 1", "tổ 2"),
    }.get(unit.id, ())
    gap = 3 if unit.code == KHAU_TINH else len(blank or ())
    share = 2 if unit.id == (MIDDLE, HONG_SON) else 1
    most = 5 if unit.province == "08" else 4
    for number, operator in enumerate(OPERATORS):
        if unit.code == KHAU_TINH and number == 2:
            continue
        names = None if unit.code == KHAU_TINH else blank
        yield _said(unit, SIGNAL, villages - gap, villages, observed_at, said, operator, uncovered=names)
        if unit.code != KHAU_TINH:
            people = 1000 * share * (most - number)
            yield _said(unit, FOURTH, people, size(unit, Base.POPULATION), observed_at, said, operator)


@cache
def steps() -> tuple[Step, ...]:
    """The story, oldest first."""
    register = rules().register
    hong_lac, hong_son = register.units[OLD, HONG_LAC], register.units[MIDDLE, HONG_SON]
    quang_ngan, thai_binh = register.units[MIDDLE, QUANG_NGAN], register.units[NEW, THAI_BINH]
    second, own = instant("2024-09-02"), instant("2025-07-03")
    corrected = _said(hong_lac, SIGNAL, 11, 11, "2024-06-30", "2024-09-02", "operator-a", uncovered=())
    merged = _said(hong_son, SIGNAL, 22, 22, "2024-09-03", "2024-09-04", "operator-b", uncovered=())
    opened = _said(quang_ngan, POINT, 1, 1, "2025-06-30", "2025-07-02", POST)
    villages = size(thai_binh, Base.VILLAGES)
    stated = _said(thai_binh, SIGNAL, villages, villages, "2025-07-03", "2025-07-04", "operator-a", uncovered=())
    day = timedelta(days=1)
    before_2024 = tuple(_reports(OLD, "2024-07-31", "2024-08-05", "2024-06-30", "2024-07-10"))
    before_2025 = tuple(_reports(MIDDLE, "2025-05-31", "2025-06-05", "2025-03-31", "2025-04-10"))
    return (
        Step(name="2024-08-31", as_of=instant("2024-08-31"), events=before_2024),
        Step(name="2024-09-01", as_of=instant("2024-09-01")),
        Step(name="2024-09-03", as_of=second + day, events=(corrected,)),
        Step(name="2024-09-05", as_of=second + 3 * day, events=(merged,)),
        Step(name="2025-06-30", as_of=instant("2025-06-30"), events=before_2025),
        Step(name="2025-07-01", as_of=instant("2025-07-01")),
        Step(name="2025-07-03", as_of=own, events=(opened,)),
        Step(name="2025-07-05", as_of=own + 2 * day, events=(stated,)),
    )


class Told(Struct, frozen=True):
    """What the core answers: the rows of each step by record key, and of each province row's key how its verdict went."""

    rows: dict[str, dict[str, Row]]
    verdicts: dict[str, list[Change]]

    def province(self, step: str, vintage: str, province: str, indicator: str) -> ProvinceRow:
        """A province row."""
        row = self.rows[step][f"{vintage}/{province}/{indicator}"]
        assert isinstance(row, ProvinceRow)
        return row

    def commune(self, step: str, vintage: str, code: str, indicator: str) -> CommuneRow:
        """A commune row."""
        row = self.rows[step][f"{vintage}/{code}/{indicator}"]
        assert isinstance(row, CommuneRow)
        return row

    def communes(self, step: str, vintage: str, province: str, indicator: str) -> list[CommuneRow]:
        """The commune rows behind a province row."""
        return [self.commune(step, vintage, unit.code, indicator) for unit in units(vintage, province)]


@cache
def told() -> Told:
    """The story as one province sees it happen, event by event and day by day."""
    province, route = Province(rules(), HOME), Admission(rules()).route
    rows: dict[str, dict[str, Row]] = {}
    verdicts: dict[str, list[Change]] = {}
    for step in steps():
        for event in step.events:
            where = route(event)
            province.apply(where.cell, where.slot, event)
        for row in province.rows(step.as_of):
            if isinstance(row, ProvinceRow):
                changes = verdicts.setdefault(row.key, [])
                if not changes or changes[-1].verdict is not row.verdict:
                    changes.append(Change(step.name, row.verdict, province.cause(row).kind))
        rows[step.name] = {row.key: row for row in province.all_rows()}
    return Told(rows, verdicts)


def cells_until(step: Step) -> dict[Cell, Slots]:
    """The evidence at a step, from scratch."""
    return worlds.cells_of(rules(), said_until(step))


def said_until(step: Step) -> Iterable[Event]:
    """Everything that was said up to a step."""
    return [event for one in steps() if one.as_of <= step.as_of for event in one.events]


def parts_of(unit: Unit) -> list[Unit]:
    """The predecessors of which a unit has a part."""
    return [one.unit for one in rules().register.predecessors.get(unit.id, ()) if one.extent is Extent.PART]
