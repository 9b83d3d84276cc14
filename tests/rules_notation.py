"""The short notation of docs/rules.md ("How to read the examples"): an example's world, and what is said in it.

Comes in: an `Example`. Goes out: `Rules`, events, and the rows that they amount to. Owns no state. What cannot be read raises ValueError.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from fractions import Fraction
from functools import cached_property
from typing import Any

from phusong.admission import Admission
from phusong.assessment import assess, percent
from phusong.events import Event, Method, Origin
from phusong.province import Province
from phusong.rows import CommuneRow, ProvinceRow, State
from phusong.rules import Rules
from tests.models import past_of
from tests.rules_page import Example
from tests.worlds import (
    Row,
    cells_of,
    counts,
    indicator,
    instant,
    obligation,
    place,
    reporter,
    seed_texts,
    stated,
    succession,
    unit,
    vintage,
    withdrawn,
)
from tests.worlds import target as target_row

OLD, NEW = "2020-01-01", "2024-09-01"
REPORTERS = ("A", "B", "C", "D", "M", "P")
PLAIN, BOUND = "telecom.received", "telecom.covered"
NONE = "–"

_COUNTED = re.compile(r"(?P<base>\w+)(?P<sizes>(?: (?:[U-Z]|\d+))*)(?P<assumed> assumed)?, (?P<union>\w+) of (?P<obliged>.+)")
_OBLIGED = re.compile(r"(?:(?P<reporter>[A-D]) for )?(?P<operator>[A-D])(?: from (?P<start>\S+))?(?: until (?P<end>\S+))?")
_SAID = re.compile(
    r"(?:(?P<commune>[U-Z]): )?(?:(?P<bound>covered|received): )?"
    r"(?:(?P<speaker>[A-D]) for |(?P<measures>M) measures |(?P<contests>P) contests )?(?P<operator>[A-D])(?P<withdraws> withdraws)?"
    r"(?: (?P<covered>\d+)/(?P<expected>\d+))?(?: without (?P<without>.+?))?(?: at (?P<at>.+?): (?P<dark>.+?) dark)?"
    r"(?: on (?P<on>\S+))?(?: said (?P<time>\S+))?(?: until (?P<until>\S+))?(?: (?P<origin>assumed|simulated))?"
)
_TARGET = re.compile(r"(?P<value>[\d,]+) %(?P<national> national)?(?: from (?P<start>\S+))?(?: due (?P<due>\S+))?(?: until (?P<end>\S+))?")
_MADE = re.compile(r"(?P<new>[U-Z]) = (?P<old>.+)")


def _read(pattern: re.Pattern[str], text: str) -> dict[str, str]:
    match = pattern.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not in the notation that docs/rules.md describes")
    return {name: value for name, value in match.groupdict().items() if value is not None}


def _list(text: str, separator: str = ";") -> list[str]:
    return [part.strip() for part in text.split(separator) if part.strip() not in ("", NONE)]


class Case:
    """An example worked out: its world, its events, and the rows at the moment asked."""

    def __init__(self, example: Example) -> None:
        self.example = example
        self.counted = _read(_COUNTED, example.get("counted"))
        self.said = [_read(_SAID, text) for name in ("said", "then") for text in _list(example.get(name))]
        self.as_of = instant(example.get("asked", "2023-07-10"))
        made = {one["new"]: _list(one["old"], "+") for one in (_read(_MADE, text) for text in _list(example.get("made of")))}
        self.made = {new: [(old[-1], "part" if old.startswith("part of ") else "whole") for old in parts] for new, parts in made.items()}
        sizes = re.findall(r"([U-Z])?(?: ?(\d+))?", self.counted["sizes"])
        self.sizes = {commune or "X": size for commune, size in sizes if commune or size}
        self.about = example.get("commune", "W" if self.made else "X")
        named = {*self.sizes, *(one.get("commune", "X") for one in self.said), self.about}
        gone = {old for parts in self.made.values() for old, _ in parts}
        self.old = sorted((named | gone) - self.made.keys())
        self.new = sorted((named - gone) | self.made.keys()) if self.made else []

    @cached_property
    def rules(self) -> Rules:
        """The world: one province, 08, whose communes are those that the example names."""
        lists = [vintage(OLD, end=NEW), vintage(NEW)] if self.new else [vintage(OLD)]
        units = [*(unit(OLD, code) for code in self.old), *(unit(NEW, code) for code in self.new)]
        base = self.counted["base"]
        status = "assumed" if "assumed" in self.counted else "cited"
        sized = [] if base in ("units", "reported") else [row for row in units if row["code"] in self.sizes]
        return Rules.from_texts(
            seed_texts(
                communes={"08": self.old},
                vintages=lists,
                units=units,
                successions=[succession(NEW, code, *one) for code in self.new for one in self.made.get(code, [(code, "whole")])],
                bases=[counts(row["vintage"], row["code"], status=status, **{base: self.sizes[row["code"]]}) for row in sized],
                places=self._places(),
                indicators=self._indicators(),
                reporters=[reporter(name, " ".join(REPORTERS)) for name in REPORTERS],
                obligations=self._obligations(),
                targets=[self._target(text) for text in _list(self.example.get("target"))],
            )
        )

    def _places(self) -> list[Row]:
        found = []
        for text in _list(self.example.get("places"), ","):
            name, *aliases = _list(text, "=")
            found.append(place("X", name, ";".join(aliases), OLD))
        return found

    def _indicators(self) -> list[Row]:
        period = self.example.get("period", "quarter")
        tolerance = str(Fraction(self.example.get("tolerance", "0 %").removesuffix(" %")) / 100)
        base, union = self.counted["base"], self.counted["union"]
        bound = BOUND if any("bound" in one for one in self.said) else ""
        rows = [indicator(PLAIN, period, base=base, union=union, tolerance=tolerance, at_most=bound)]
        return [*rows, indicator(BOUND, period, base=base, union=union, tolerance=tolerance)] if bound else rows

    def _obligations(self) -> list[Row]:
        period = self.example.get("period", "quarter")
        found = []
        for text in _list(self.counted["obliged"], ","):
            one = _read(_OBLIGED, text)
            for name in (row["indicator"] for row in self._indicators()):
                obliged = obligation(one.get("reporter", one["operator"]), name, operator=one["operator"], period=period)
                found.append(obliged | {"start": one.get("start", OLD), "end": one.get("end", "")})
        return found

    @staticmethod
    def _target(text: str) -> Row:
        one = _read(_TARGET, text)
        value = str(Fraction(one["value"].replace(",", ".")) / 100)
        province = "" if "national" in one else "08"
        return target_row(PLAIN, value, province, start=one.get("start", OLD), due=one.get("due", ""), end=one.get("end", ""))

    @cached_property
    def events(self) -> list[Event]:
        """What is said, in order."""
        return [self._event(str(number), one) for number, one in enumerate(self.said)]

    @staticmethod
    def _event(number: str, one: dict[str, str]) -> Event:
        operator = one["operator"]
        method = Method.MEASURED if "measures" in one else Method.PETITIONED if "contests" in one else Method.DECLARED
        source = one.get("measures") or one.get("contests") or one.get("speaker") or operator
        commune = one.get("commune", "X")
        indicator_id = BOUND if one.get("bound") == "covered" else PLAIN
        observed_at = one.get("on", "2023-06-30")
        more: dict[str, Any] = {"operator": operator, "method": method, "until": instant(one["until"]) if "until" in one else None}
        if "at" in one:
            more["measured"] = tuple(_list(one["at"], ","))
        about = {"source": source, "time": one.get("time", f"{observed_at}T17:00:00"), "event_id": number}
        if "withdraws" in one:
            return withdrawn(commune, indicator_id, observed_at, **about, **more)
        covered, expected = int(one.get("covered", 0)), int(one.get("expected", 0))
        if "without" in one:
            more["uncovered"] = tuple(_list(one["without"], ","))
        if "at" in one:
            dark = [] if one["dark"] == "none" else _list(one["dark"], ",")
            more["uncovered"] = tuple(dark)
            expected = len(_list(one["at"], ","))
            covered = expected - len(dark)
        return stated(commune, indicator_id, covered, expected, observed_at, **about, origin=Origin(one.get("origin", "real")), **more)

    @cached_property
    def rows(self) -> tuple[dict[str, CommuneRow], dict[str, ProvinceRow]]:
        """Every row of the province at the moment asked."""
        return assess(self.rules, "08", cells_of(self.rules, self.events), self.as_of, past_of(self.rules, self.events))

    def apply(self, state: Province, event: Event) -> None:
        """Fold one of the events into a province's state."""
        route = Admission(self.rules).route(event)
        state.apply(route.cell, route.slot, event)

    @cached_property
    def turn(self) -> tuple[str, str, str]:
        """The verdict `before` of what is `said`, the one at the moment asked after what is said `then`, and why it changed."""
        state = Province(self.rules, "08")
        said = len(_list(self.example.get("said")))
        found = []
        for moment, events in ((instant(self.example.get("before")), self.events[:said]), (self.as_of, self.events[said:])):
            for event in events:
                self.apply(state, event)
            state.rows(moment)
            found.append(next(row for row in state.province_rows() if row.key == f"{self._vintage}/08/{PLAIN}"))
        before, after = found
        return before.verdict, after.verdict, state.cause(after).kind

    @property
    def _vintage(self) -> str:
        asked = self.example.get("list")
        return asked or (NEW if self.new and self.as_of >= instant(NEW) else OLD)

    @property
    def commune(self) -> CommuneRow:
        """The row of the commune asked about: X, or W where units were merged, unless the example names another."""
        return self.rows[0][f"{self._vintage}/{self.about}/{PLAIN}"]

    @property
    def province(self) -> ProvinceRow:
        """The province's row."""
        return self.rows[1][f"{self._vintage}/08/{PLAIN}"]


def shown(value: float | None) -> str:
    """A share as the page prints it: one decimal, none where it is 0."""
    return percent(value).replace(",0 %", " %")


def of(covered: float | None, expected: float | None) -> str:
    """Counts as the page prints them."""
    return NONE if covered is None or expected is None else f"{_number(covered)} of {_number(expected)}"


def _number(value: float) -> str:
    return str(value).replace(".", ",")


def shares(row: CommuneRow | ProvinceRow) -> str:
    """The three shares as the page prints them."""
    return " · ".join(shown(value) for value in (row.low, row.ratio, row.high))


def gap(row: CommuneRow) -> str:
    """The places behind a commune's gap."""
    return "not named" if row.uncovered is None else ", ".join(row.uncovered) or "none"


def projected(row: ProvinceRow) -> str:
    """The days on which the target is reached at the pace seen, the quick and the slow one."""
    one = row.projection
    return NONE if one is None else " · ".join(_day(moment) for moment in (one.reached_at, one.earliest, one.latest))


def listed(words: Iterable[str]) -> str:
    """Words with commas between them; a dash for none."""
    return ", ".join(words) or NONE


def _day(moment: datetime | None) -> str:
    return NONE if moment is None else f"{moment:%Y-%m-%d}"


GIVEN = frozenset(
    ["example", "said", "asked", "counted", "commune", "list", "made of", "places", "period", "tolerance", "target", "before", "then"]
)
"""The columns that say what is given; all others of an example must come out."""


OUTCOMES: dict[str, Callable[[Case], str]] = {
    "covered": lambda case: of(case.commune.covered, case.commune.expected),
    "low · ratio · high": lambda case: shares(case.commune),
    "state": lambda case: case.commune.state,
    "marks": lambda case: listed(case.commune.marks),
    "not covered": lambda case: gap(case.commune),
    "fresh until": lambda case: _day(case.commune.fresh_until),
    "weight": lambda case: NONE if case.commune.weight is None else str(case.commune.weight),
    "province": lambda case: of(case.province.covered, case.province.expected),
    "province: low · ratio · high": lambda case: shares(case.province),
    "units": lambda case: listed(f"{case.province.units[state]} {state}" for state in State if case.province.units[state]),
    "fresh reports": lambda case: shown(case.province.completeness),
    "overdue": lambda case: listed(f"{name} {count}" for name, count in case.province.reporters_overdue.items()),
    "reliability": lambda case: listed(f"{name} {agreed} of {count}" for name, (agreed, count) in case.province.reliability.items()),
    "verdict": lambda case: case.province.verdict,
    "reached · earliest · latest": lambda case: projected(case.province),
    "change": lambda case: " → ".join(case.turn[:2]),
    "cause": lambda case: case.turn[2],
}
"""What the code makes of a column of the page."""
