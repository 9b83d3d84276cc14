"""What the evidence amounts to in a province: ratio, interval, completeness, target, verdict and projection.

Comes in: assessed communes, the rules and `as_of`. Goes out: `CommuneRow` and `ProvinceRow`. Owns no state. Bad input does not come here.
Every ratio is an exact Fraction until it is written into a row. All rules, each with a worked number, stand in docs/rules.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from functools import partial

from phusong.communes import Commune, Totals, commune, number, worst
from phusong.events import Origin
from phusong.evidence import Cell, Slots
from phusong.follow_ups import NONE, AnyFollowUps
from phusong.indicators import Indicator, Target
from phusong.pace import Pace, Past, Point, project
from phusong.periods import VIETNAM
from phusong.rows import CommuneRow, Mark, ProvinceRow, State, Verdict
from phusong.rules import Rules


def verdict(low: Fraction | None, high: Fraction | None, target: Target | None, as_of: datetime, *, imputed: bool = False) -> Verdict:
    """met: low ≥ target; missed: high < target and due or standing; not_yet: high < target before due; else uncertain; exact fractions.

    While any weight is imputed, nothing is certain.
    """
    if target is None:
        return Verdict.NO_TARGET
    if low is None or high is None or imputed:
        return Verdict.UNCERTAIN
    if low >= target.value:
        return Verdict.MET
    if high >= target.value:
        return Verdict.UNCERTAIN
    return Verdict.NOT_YET if target.due is not None and as_of < target.due else Verdict.MISSED


def province(
    rules: Rules,
    vintage: str,
    code: str,
    indicator: Indicator,
    totals: Totals,
    communes: Iterable[Commune],
    points: Callable[[], Sequence[Point]],
    as_of: datetime,
) -> ProvinceRow:
    """One province and indicator from its sums; `communes` are all of them (for the oldest observation and due dates), `points` its past.

    Once the vintage has left force no target applies to it any more.
    """
    rows = [one.row for one in communes]
    weight = totals.weight(len(rows))
    sums = {name: totals.sum(name) for name in ("ratio", "low", "high", "completeness")}
    ratio, low, high, complete = (value / weight if weight else None for value in sums.values())
    target = rules.catalogue.target_at(indicator.id, code, as_of) if rules.register.vintages[vintage].holds(as_of) else None
    judged = verdict(low, high, target, as_of, imputed=totals.marks[Mark.IMPUTED] > 0)
    reporters_due: dict[str, datetime] = {}
    for row in rows:
        for reporter, due in row.reporters.items():
            reporters_due[reporter] = min(due, reporters_due.get(reporter, due))
    origins = {origin: totals.origins[origin] for origin in Origin if totals.origins[origin]}
    oldest = min((row.observed_at for row in rows if row.observed_at), default=None)
    return ProvinceRow(
        vintage=vintage,
        province=code,
        province_name=rules.register.provinces[code].name_vi,
        domain=indicator.domain,
        indicator=indicator.id,
        indicator_name=indicator.name_vi,
        base=indicator.base,
        covered=number(sums["ratio"]),
        expected=number(weight),
        ratio=_float(ratio),
        low=_float(low),
        high=_float(high),
        completeness=_float(complete),
        verdict=judged,
        target=_float(target.value) if target else None,
        target_scope=target.scope if target else None,
        target_source=target.source_vi if target else None,
        target_status=target.status if target else None,
        target_due=target.due if target else None,
        projection=project(points(), target.value) if target and judged is Verdict.NOT_YET else None,
        units={state: totals.states[state] for state in State},
        marks={mark: totals.marks[mark] for mark in Mark},
        origin=worst(origins),
        origins=origins,
        # one offset for all: of two communes observed at one instant, written with different offsets, either may come first here
        oldest_observed_at=oldest and oldest.astimezone(VIETNAM),
        reporters_due=dict(sorted(reporters_due.items())),
        reporters_overdue={reporter: count for reporter, count in sorted(totals.overdue.items()) if count},
        reliability={reporter: (totals.agreed[reporter], count) for reporter, count in sorted(totals.checked.items()) if count},
        unresolved_since=min((row.unresolved_since for row in rows if row.unresolved_since is not None), default=None),
    )


def assess(
    rules: Rules, home: str, cells: Mapping[Cell, Slots], as_of: datetime, past: Past | None = None, follow_ups: AnyFollowUps = NONE
) -> tuple[dict[str, CommuneRow], dict[str, ProvinceRow]]:
    """Every row of one home province from scratch, by record key: what `province.Province` must equal at every step.

    Lists of communes that have not come into force yet have no rows. Without a `past` nothing is projected.
    """
    commune_rows: dict[str, CommuneRow] = {}
    province_rows: dict[str, ProvinceRow] = {}
    for vintage in rules.register.vintages.values():
        units = rules.register.of(vintage.id, home) if vintage.start <= as_of else ()
        assessed: dict[tuple[str, str], Commune] = {}
        # those that bound others first
        for indicator in sorted(rules.catalogue.indicators.values(), key=lambda i: i.at_most != ""):
            groups: dict[str, tuple[Totals, list[Commune]]] = {}
            for unit in units:
                bound = assessed.get((indicator.at_most, unit.code))
                one = assessed[indicator.id, unit.code] = commune(rules, unit, indicator, cells, bound, as_of, follow_ups)
                totals, communes = groups.setdefault(unit.province, (Totals(), []))
                totals.add(one)
                communes.append(one)
                commune_rows[one.row.key] = one.row
            for code, (totals, communes) in groups.items():
                pace = Pace(rules, [unit for unit in units if unit.province == code], indicator, past or {})
                row = province(rules, vintage.id, code, indicator, totals, communes, partial(pace.points, as_of), as_of)
                province_rows[row.key] = row
    return commune_rows, province_rows


def _float(value: Fraction | None) -> float | None:
    return None if value is None else float(value)


def percent(ratio: float | None, target: float | None = None) -> str:
    """A ratio as Vietnamese text with one decimal: "99,3 %"; never rounded up to a target (or to 100 %) that it has not reached."""
    if ratio is None:
        return "–"
    tenths = int(Fraction(ratio).limit_denominator(10**12) * 1000 + Fraction(1, 2))
    for bound in (Fraction(1), *(() if target is None else (Fraction(target).limit_denominator(10**12),))):
        if Fraction(ratio).limit_denominator(10**12) < bound <= Fraction(tenths, 1000):
            tenths -= 1
    return f"{tenths // 10},{tenths % 10} %"
