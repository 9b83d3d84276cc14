"""A scenario: how quickly the world changes, what habits its reporters have, and which named incidents happen; a TOML file.

Comes in: a TOML file, and the rules that its names are looked up in. Goes out: `Scenario`, checked. Owns no state. Every misspelt key,
wrong value and unknown reporter, district or commune is told in one `ScenarioError`, by file and incident. docs/simulator.md has the keys.
"""

from __future__ import annotations

import tomllib
from collections.abc import Container, Iterator
from datetime import date, datetime, time
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from phusong.periods import VIETNAM
from phusong.rules import Rules

FILE_BYTES_MAX = 1_000_000

Share = Annotated[float, Meta(ge=0, le=1)]
Days = Annotated[int, Meta(ge=0, le=366)]
Factor = Annotated[float, Meta(ge=0, le=100)]
Text = Annotated[str, Meta(min_length=1, max_length=200)]
Texts = Annotated[tuple[Text, ...], Meta(max_length=10_000)]


class ScenarioError(ValueError):
    """The scenario cannot be used; the text names file, place and remedy, a problem a line."""


class Habits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a reporter reports; each share is a chance for the sheet, row, name or outage that it speaks of.

    A sheet is what a reporter owes for one indicator, province and period. `on_change` is the perfect reporter: it states everything at
    the beginning, at each change and at the end of each period, at once and rightly; the other habits should then be 0 (see `PERFECT`).
    """

    late: Share = 0.08
    """sheets sent after their deadline, by 1 to `late_days_max` days"""
    late_days_max: Annotated[int, Meta(ge=1, le=366)] = 40
    reordered: Share = 0.02
    """sheets that are sent only after the next period's"""
    forgotten_sheets: Share = 0.02
    forgotten_rows: Share = 0.01
    corrected: Share = 0.01
    """rows that are wrong at first, and right some days later"""
    withdrawn: Share = 0.002
    """rows that are taken back some days later, and stated again after that"""
    duplicated: Share = 0.04
    """sheets that are sent twice, event by event the same"""
    misspelt: Share = 0.01
    """rows of which one village is misspelt"""
    unnamed: Share = 0.03
    """rows with counts only, where villages could be named"""
    optimistic: Share = 0.12
    """communes of which the reporter always claims some places more than there are"""
    interrupted: Share = 0.5
    """outages of a mast that are told while they last, as a temporary state"""
    old_forms: Share = 0.3
    """sheets about the communes of the old list, dated to its last day, in the first `old_forms_days` after a merger"""
    old_forms_days: Days = 100
    on_change: bool = False


PERFECT = Habits(
    late=0,
    reordered=0,
    forgotten_sheets=0,
    forgotten_rows=0,
    corrected=0,
    withdrawn=0,
    duplicated=0,
    misspelt=0,
    unnamed=0,
    optimistic=0,
    interrupted=0,
    old_forms=0,
    on_change=True,
)


class Pace(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Factors on how quickly places are covered and how often things break (1: as the table in producers/simulator/world.py)."""

    built: Factor = 1.0
    broken: Factor = 1.0


class Team(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The measuring team: visits to communes in each home province and month, and the share of them that measure the whole commune."""

    reporter: Text = "assumed-measuring-team"
    visits: Annotated[int, Meta(ge=0, le=1000)] = 8
    whole: Share = 0.5


class Petitions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who writes down petitions, and the share of communes whose people would write one in a month if a village is dark."""

    reporter: Text = "assumed-province-office"
    share: Share = 0.03


class FollowUp(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What comes of a petition or measurement that contradicts a declaration: the shares of challenges that are opened, conceded and

    disputed (the rest get no answer), of conceded ones after which a promise is given, and of promises that are kept by their date.
    """

    challenged: Share = 0.8
    conceded: Share = 0.55
    disputed: Share = 0.25
    answer_days: Annotated[int, Meta(ge=1, le=366)] = 60
    promised: Share = 0.8
    kept: Share = 0.6


class _Somewhere(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What every incident has: a name of its own, and where: of the list in force when it starts; nothing named: everywhere."""

    name: Text
    provinces: Texts = ()
    districts: Texts = ()
    communes: Texts = ()


class _Lasting(_Somewhere, frozen=True, kw_only=True):
    """From the beginning of a day until the beginning of another."""

    start: date
    end: date


class ReporterOutage(_Lasting, frozen=True, kw_only=True, tag="reporter_outage"):
    """A reporter sends nothing; what would have been sent is lost."""

    reporter: Text
    indicators: Texts = ()


class NeverReports(_Somewhere, frozen=True, kw_only=True, tag="never_reports"):
    """A reporter never sends anything."""

    reporter: Text
    indicators: Texts = ()


class LateReporter(_Lasting, frozen=True, kw_only=True, tag="late_reporter"):
    """The sheets that a reporter would send in this time leave that many days later."""

    reporter: Text
    days: Annotated[int, Meta(ge=1, le=366)]


class DuplicateStorm(_Lasting, frozen=True, kw_only=True, tag="duplicate_storm"):
    """Each event that a reporter sends is sent again, so many times, a minute apart."""

    reporter: Text
    copies: Annotated[int, Meta(ge=1, le=1000)] = 20


class WrongCodes(_Lasting, frozen=True, kw_only=True, tag="wrong_codes"):
    """A reporter's communes are no codes of the list in force: `unpadded` without leading zeros, `unknown` in no list."""

    reporter: Text
    codes: Literal["unpadded", "unknown"] = "unpadded"


class MisspeltVillages(_Lasting, frozen=True, kw_only=True, tag="misspelt_villages"):
    """A reporter misspells every village that it names."""

    reporter: Text


class MastOutage(_Lasting, frozen=True, kw_only=True, tag="mast_outage"):
    """Every mast of an operator there is down; its declarations say so."""

    operator: Text


class ContradictingMeasurement(_Lasting, frozen=True, kw_only=True, tag="contradicting_measurement"):
    """An operator's service is out and it declares everything covered; the team measures each commune whole, half-way through."""

    operator: Text
    indicator: Text = "telecom.mobile_signal_villages"


Incident = (
    ReporterOutage | NeverReports | LateReporter | DuplicateStorm | WrongCodes | MisspeltVillages | MastOutage | ContradictingMeasurement
)


class Scenario(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One scenario. `reporters`: whole habits of those whose habits are their own."""

    name: Text = "default"
    pace: Pace = field(default_factory=Pace)
    habits: Habits = field(default_factory=Habits)
    reporters: dict[str, Habits] = {}
    team: Team = field(default_factory=Team)
    petitions: Petitions = field(default_factory=Petitions)
    follow_up: FollowUp = field(default_factory=FollowUp)
    incident: Annotated[tuple[Incident, ...], Meta(max_length=1000)] = ()

    def habits_of(self, reporter: str) -> Habits:
        """Its own, or everybody's."""
        return self.reporters.get(reporter, self.habits)


FAULTLESS = Scenario(name="faultless", habits=PERFECT, team=Team(visits=0), petitions=Petitions(share=0))
"""Every reporter perfect, nothing measured and no petition: what is reported is the truth."""


def read_scenario(path: Path, rules: Rules) -> Scenario:
    """The scenario of a TOML file. Raises ScenarioError with every problem, and where the file cannot be read."""
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise ScenarioError(f"{path}: larger than {FILE_BYTES_MAX} bytes; a scenario is a page or two of TOML")
        plain = tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise ScenarioError(f"{path}: cannot be read ({error.strerror or error}); name a TOML file, see docs/simulator.md") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path}: {error}; mend it there, see docs/simulator.md") from None
    try:
        scenario = msgspec.convert(_with_common_habits(plain), Scenario)
    except msgspec.ValidationError as error:
        raise ScenarioError(f"{path}: {error}; docs/simulator.md has every key") from None
    if problems := list(problems_of(scenario, rules)):
        raise ScenarioError("\n".join(f"{path}: {problem}" for problem in problems))
    return scenario


def _with_common_habits(plain: dict[str, Any]) -> dict[str, Any]:
    """A reporter's own habits say only what differs from `[habits]`."""
    common, own = plain.get("habits", {}), plain.get("reporters", {})
    if not (isinstance(common, dict) and isinstance(own, dict)):
        return plain
    return {**plain, "reporters": {name: {**common, **one} if isinstance(one, dict) else one for name, one in own.items()}}


def problems_of(scenario: Scenario, rules: Rules) -> Iterator[str]:
    """What names something that the rules do not have."""
    reporters, operators = rules.catalogue.reporters, {o.operator for o in rules.catalogue.obligations}
    for name in scenario.reporters:
        if name not in reporters:
            yield f"reporters.{name}: no such reporter; one of: {', '.join(reporters)}"
    measured = scenario.team.visits > 0 or any(isinstance(one, ContradictingMeasurement) for one in scenario.incident)
    for key, name, needed in (
        ("team.reporter", scenario.team.reporter, measured),
        ("petitions.reporter", scenario.petitions.reporter, measured or scenario.petitions.share > 0),
    ):
        if needed and (name not in reporters or not reporters[name].operators & operators):
            yield f"{key}: {name!r} speaks for nobody in reporters.csv who owes a report; name a reporter who does"
    named: set[str] = set()
    for one in scenario.incident:
        where = f"incident {one.name!r}"
        if one.name in named:
            yield f"{where}: the name stands twice; detection is scored by it, so each needs its own"
        named.add(one.name)
        yield from (f"{where}: {problem}" for problem in (*_nobody(one, rules, operators), *_nowhere(one, rules)))


def _nobody(one: Incident, rules: Rules, operators: Container[str]) -> Iterator[str]:
    """Whom and what an incident names that is not there."""
    if isinstance(one, MastOutage | ContradictingMeasurement):
        if one.operator not in operators:
            yield f"operator {one.operator!r} owes no report; see obligations.csv"
    elif one.reporter not in rules.catalogue.reporters:
        yield f"reporter {one.reporter!r} has no row in reporters.csv; one of: {', '.join(rules.catalogue.reporters)}"
    match one:
        case ContradictingMeasurement(indicator=indicator):
            indicators: tuple[str, ...] = (indicator,)
        case ReporterOutage(indicators=some) | NeverReports(indicators=some):
            indicators = some
        case _:
            indicators = ()
    for indicator in indicators:
        if indicator not in rules.catalogue.indicators:
            yield f"indicator {indicator!r} has no row in indicators.csv; mend its name"


def _nowhere(one: Incident, rules: Rules) -> Iterator[str]:
    """When and where an incident is that is not in any list."""
    if isinstance(one, _Lasting) and not one.start < one.end:
        yield f"end {one.end} does not lie after start {one.start}; mend the dates"
    vintage = rules.register.vintage_at(began(one)) if isinstance(one, _Lasting) else next(iter(rules.register.vintages.values()))
    if vintage is None:
        yield f"no list of communes was in force on {getattr(one, 'start', '')}; mend the date"
        return
    units = [unit for unit in rules.register.units.values() if unit.vintage == vintage.id]
    for key, wanted, known in (
        ("provinces", one.provinces, {unit.province for unit in units}),
        ("districts", one.districts, {unit.district for unit in units}),
        ("communes", one.communes, {unit.code for unit in units}),
    ):
        for name in wanted:
            if name not in known:
                yield f"{key}: {name!r} is not in the list of {vintage.id}; mend it, or name the communes by their codes"


def began(one: Incident) -> datetime:
    """When it starts: midnight in Vietnam; what always was began with the calendar."""
    return _midnight(one.start) if isinstance(one, _Lasting) else datetime.min.replace(tzinfo=VIETNAM)


def ended(one: Incident) -> datetime:
    """When it is over (exclusive)."""
    return _midnight(one.end) if isinstance(one, _Lasting) else datetime.max.replace(tzinfo=VIETNAM)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), VIETNAM)
