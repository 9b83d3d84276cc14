"""What the evidence amounts to: operators' views -> communes -> province: ratio, interval, completeness, verdict; what counts as stale.

Comes in: a cell's evidence, the rules and `as_of`. Goes out: `CommuneRow` and `ProvinceRow`. Owns no state (`Totals` is the caller's).
Bad input does not come here. Every ratio is an exact Fraction until it is written into a row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from fractions import Fraction

from msgspec import Struct

from phusong import evidence
from phusong.events import Event, Origin, Stated
from phusong.evidence import Cell, Slots
from phusong.indicators import Indicator, Obligation, Target
from phusong.periods import VIETNAM, deadline, fresh_until
from phusong.register import Unit
from phusong.rows import CommuneRow, ProvinceRow, State, Verdict
from phusong.rules import Rules

ZERO, ONE = Fraction(0), Fraction(1)
_WORST = {origin: rank for rank, origin in enumerate(Origin)}


class View(Struct, frozen=True):
    """What one operator's service is in one commune: its deciding statement, and until when it is fresh."""

    event: Stated
    fresh_until: datetime

    def state(self, as_of: datetime) -> State:
        """Fresh until the deadline (plus grace) of the period after the one observed; then stale. Source: DESIGN, words and rules."""
        return State.FRESH if as_of < self.fresh_until else State.STALE


class Commune(Struct, frozen=True, kw_only=True):
    """An assessed commune: its row, the exact figures behind it, and when time alone changes it next (None: never)."""

    row: CommuneRow
    weight: Fraction
    ratio: Fraction
    low: Fraction
    high: Fraction
    completeness: Fraction
    due: datetime | None


def operator_view(slots: Slots, operator: str, obligations: Iterable[Obligation]) -> View | None:
    """The latest observed of the operator's lasting declarations and whole measurements (ties by the slot order); None: never stated.

    It is fresh by the obligation of whoever said it, or else by the operator's first one.
    """
    latest: Event | None = None
    for _, event in evidence.stated(slots, operator, ("declared", "measured")):
        latest = event if latest is None else evidence.later(latest, event)
    if not isinstance(latest, Stated):
        return None
    binding = [o for o in obligations if o.operator == operator]
    obligation = next((o for o in binding if o.reporter == latest.source), binding[0])
    days = obligation.deadline_days + obligation.grace_days
    return View(latest, fresh_until(obligation.period, days, latest.data.observed_at))


def commune(unit: Unit, home: str, indicator: Indicator, slots: Slots, obligations: tuple[Obligation, ...], as_of: datetime) -> Commune:
    """One commune and indicator under the union `latest`: of the obliged operators' views the one observed last.

    Unknown counts as not covered in ratio and low and as fully covered in high; stale counts as not covered in low alone. An obliged
    operator who never stated leaves high at 1. `expected` 0 is not applicable: weight 0.
    """
    held = tuple(o for o in obligations if o.holds(as_of))
    views = {o.operator: operator_view(slots, o.operator, held) for o in held}
    known = [view for view in views.values() if view is not None]
    view: View | None = None
    for one in known:
        view = one if view is None or evidence.later(view.event, one.event) is one.event else view
    reporters: dict[str, tuple[datetime, bool]] = {}
    for obligation in held:
        due, has_stated = _reporter_due(slots, obligation)
        before = reporters.get(obligation.reporter, (due, True))
        # who speaks for several operators has reported when it has spoken for each of them
        reporters[obligation.reporter] = (min(due, before[0]), has_stated and before[1])
    fresh_reporters = sum(as_of < due for due, has_stated in reporters.values() if has_stated)
    completeness = Fraction(fresh_reporters, len(reporters)) if reporters else ZERO
    weight, ratio, low, high, state = ONE, ZERO, ZERO, ONE, State.UNKNOWN
    if view is not None:
        data, state = view.event.data, view.state(as_of)
        if data.expected == 0:
            weight = low = high = ZERO
        else:
            ratio = Fraction(data.covered, data.expected)
            low = ratio if state is State.FRESH else ZERO
            high = ratio if len(known) == len(views) else ONE
    moments = [v.fresh_until for v in known] + [due for due, has_stated in reporters.values() if has_stated]
    applicable = weight != 0
    row = CommuneRow(
        vintage=unit.vintage,
        province=home,
        commune=unit.code,
        name=unit.name,
        district=unit.district,
        indicator=indicator.id,
        state=state,
        covered=view.event.data.covered if view else None,
        expected=view.event.data.expected if view else None,
        ratio=float(ratio) if applicable else None,
        low=float(low) if applicable else None,
        high=float(high) if applicable else None,
        observed_at=view.event.data.observed_at if view else None,
        fresh_until=view.fresh_until if view else None,
        uncovered=view.event.data.uncovered if view else None,
        reporters={reporter: due for reporter, (due, _) in sorted(reporters.items())},
        origin=view.event.data.origin if view else None,
        statements=(f"{view.event.source} {view.event.id}",) if view else (),
    )
    return Commune(
        row=row,
        weight=weight,
        ratio=ratio,
        low=low,
        high=high,
        completeness=completeness,
        due=min((moment for moment in moments if moment > as_of), default=None),
    )


def _reporter_due(slots: Slots, obligation: Obligation) -> tuple[datetime, bool]:
    """When what this reporter last said goes stale, and whether it said anything; never: the deadline of its obligation's first period."""
    days = obligation.deadline_days + obligation.grace_days
    found = [
        event.data.observed_at
        for slot, event in evidence.stated(slots, obligation.operator, ("declared", "measured"))
        if slot[1] == obligation.reporter
    ]
    if found:
        return fresh_until(obligation.period, days, max(found)), True
    return deadline(obligation.period, days, obligation.start), False


class Totals:
    """Running sums over the communes of one (vintage, province, indicator); adding and removing are exact inverses."""

    def __init__(self) -> None:
        self.weight = self.covered = self.low = self.high = self.complete = ZERO
        self.states: Counter[State] = Counter()
        self.origins: Counter[Origin] = Counter()
        self.not_applicable = 0

    def add(self, one: Commune, sign: int = 1) -> None:
        """Count a commune in (sign 1) or out (sign -1)."""
        weight = one.weight * sign
        self.weight += weight
        self.covered += weight * one.ratio
        self.low += weight * one.low
        self.high += weight * one.high
        self.complete += weight * one.completeness
        self.states[one.row.state] += sign
        if one.row.origin is not None:
            self.origins[one.row.origin] += sign
        self.not_applicable += sign * (one.weight == 0)


def verdict(low: Fraction | None, high: Fraction | None, target: Target | None, as_of: datetime) -> Verdict:
    """met: low ≥ target; missed: high < target and due or standing; not_yet: high < target before due; else uncertain; exact fractions."""
    if target is None:
        return Verdict.NO_TARGET
    if low is None or high is None:
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
    as_of: datetime,
) -> ProvinceRow:
    """One province and indicator from its sums; `communes` are all of them (for the oldest observation and the due dates)."""
    defined = totals.weight != 0
    ratio, low, high, complete = (
        (value / totals.weight if defined else None) for value in (totals.covered, totals.low, totals.high, totals.complete)
    )
    target = rules.catalogue.target_at(indicator.id, code, as_of)
    rows = [one.row for one in communes]
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
        covered=_number(totals.covered),
        expected=_number(totals.weight),
        ratio=_float(ratio),
        low=_float(low),
        high=_float(high),
        completeness=_float(complete),
        verdict=verdict(low, high, target, as_of),
        target=_float(target.value) if target else None,
        target_scope=target.scope if target else None,
        target_source=target.source_vi if target else None,
        target_status=target.status if target else None,
        target_due=target.due if target else None,
        units={state: totals.states[state] for state in State},
        marks={
            "assumed": totals.origins[Origin.ASSUMED],
            "simulated": totals.origins[Origin.SIMULATED],
            "not_applicable": totals.not_applicable,
        },
        origin=max(origins, key=_WORST.__getitem__, default=None),
        origins=origins,
        # one offset for all: of two communes observed at one instant, written with different offsets, either may come first here
        oldest_observed_at=oldest and oldest.astimezone(VIETNAM),
        reporters_due=dict(sorted(reporters_due.items())),
    )


def assess(rules: Rules, code: str, cells: Mapping[Cell, Slots], as_of: datetime) -> tuple[dict[str, CommuneRow], dict[str, ProvinceRow]]:
    """Every row of one home province from scratch, by record key: what `province.Province` must equal at every step."""
    commune_rows: dict[str, CommuneRow] = {}
    province_rows: dict[str, ProvinceRow] = {}
    for vintage in rules.register.vintages:
        units = rules.register.of(vintage, code)
        for indicator in rules.catalogue.indicators.values() if units else ():
            totals, communes = Totals(), []
            for unit in units:
                slots = cells.get((vintage, unit.code, indicator.id), {})
                obligations = rules.catalogue.obliged(indicator.id, code, unit.code)
                one = commune(unit, code, indicator, slots, obligations, as_of)
                totals.add(one)
                communes.append(one)
                commune_rows[one.row.key] = one.row
            row = province(rules, vintage, code, indicator, totals, communes, as_of)
            province_rows[row.key] = row
    return commune_rows, province_rows


def _float(value: Fraction | None) -> float | None:
    return None if value is None else float(value)


def _number(value: Fraction) -> int | float:
    return int(value) if value.denominator == 1 else float(value)


def percent(ratio: float | None, target: float | None = None) -> str:
    """A ratio as Vietnamese text with one decimal: "99,3 %"; never rounded up to a target (or to 100 %) that it has not reached."""
    if ratio is None:
        return "–"
    tenths = int(Fraction(ratio).limit_denominator(10**12) * 1000 + Fraction(1, 2))
    for bound in (Fraction(1), *(() if target is None else (Fraction(target).limit_denominator(10**12),))):
        if Fraction(ratio).limit_denominator(10**12) < bound <= Fraction(tenths, 1000):
            tenths -= 1
    return f"{tenths // 10},{tenths % 10} %"
