"""What a page may rest on, and what must be noticed: from the truth of the simulated year, its calendar and its injections, not from rules.

Comes in: a `Played` year. Goes out: for each alert and its labels the times at which somebody had a reason to be told (`grounds`), and the
`Injection`s with what must notice them by when. Owns no state. An alert that nobody has defined a ground for raises BenchError: a new
alert is not let by unmeasured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import zip_longest

from msgspec import Struct

from bench.quality.evaluation import Episode, Rule
from bench.quality.history import STEP, Played
from bench.quality.year import BEHIND, END, EXPIRING, FALLEN, LATE, NEVER, PLAN_DUE, PROVINCE, ROLLOVER_DUE, START, rules
from bench.world import BenchError
from phusong.events import Method, Stated, Statement, Withdrawn
from phusong.indicators import Obligation, Target
from phusong.periods import end_of, index, one_after
from phusong.register import Extent, UnitId
from phusong.rows import CommuneRow, Mark, State
from producers.simulator.incidents import Happening
from producers.simulator.scenario import ContradictingMeasurement, LateReporter, MisspeltVillages
from producers.simulator.simulation import Sending

DAY = timedelta(days=1)

WORD_OWED = DAY
"""Who has told the end of an outage owes the word that it is over within a day."""
AFTER = DAY + 2 * STEP
"""How long a page may outlast its ground: a row that vanished is remembered for a day."""

_THREE = 3
"""Operators whose gaps are united."""

PIPELINE = frozenset(
    {"PipelineDown", "PipelineStalled", "LagKeepsIncreasing", "DeadLettersGrowing", "GatewayRefusing", "WebhookUndelivered"}
)
"""Nothing of the pipeline fails in the recorded year: these have no ground there."""


class Span(Struct, frozen=True):
    """A time, from `start` until `end`."""

    start: datetime
    end: datetime


class Injection(Struct, frozen=True):
    """Something that must be noticed between `onset` and `onset + bound`: by the named alert with these labels, or by what is `shown`.

    `shown`: when the figures themselves showed it, where by design no page is right; None: they did not.
    """

    kind: str
    onset: datetime
    bound: timedelta
    alert: str = ""
    labels: Mapping[str, str] = {}
    shown: datetime | None = None

    def delay(self, episodes: Iterable[Episode]) -> timedelta | None:
        """How long it took; None: it was not noticed in time."""
        if not self.alert:
            found = [self.shown] if self.shown is not None else []
        else:
            found = [
                max(one.start, self.onset)
                for one in episodes
                if one.name == self.alert
                and all(one.labels.get(name) == value for name, value in self.labels.items())
                and (one.end is None or one.end > self.onset)
            ]
        delays = [at - self.onset for at in found if at - self.onset <= self.bound]
        return min(delays, default=None)


# -- what a page may rest on ---------------------------------------------------------------------------------------------------------------


class Grounds:
    """The grounds of a year's pages."""

    def __init__(self, played: Played) -> None:
        self._played = played
        self._statements = _Statements(played)
        self._known: dict[tuple[str, str, str, str], list[Span]] = {}

    def unfounded(self, page: Episode) -> datetime | None:
        """The first moment at which a page was there without a ground; None: there was none."""
        indicator = page.labels.get("indicator", "")
        allowance = AFTER + (_reported_within(indicator) if page.name in ("CoverageBelowTarget", "CoverageBehindPlan") else timedelta())
        spans = self._of(page.name, page.labels)
        moment = page.start
        while moment < (page.end or END):
            if not any(one.start <= moment <= one.end + allowance for one in spans):
                return moment
            moment += STEP
        return None

    def _of(self, name: str, labels: Mapping[str, str]) -> list[Span]:
        province, indicator, reporter = (labels.get(one, "") for one in ("province", "indicator", "reporter"))
        key = (name, province, indicator, reporter)
        if key not in self._known:
            self._known[key] = list(self._spans(*key))
        return self._known[key]

    def _spans(self, name: str, province: str, indicator: str, reporter: str) -> Iterator[Span]:
        match name:
            case "CoverageBelowTarget":
                yield from (span for span in below(self._played, province, indicator))
            case "CoverageBehindPlan":
                yield from self._behind(province, indicator)
            case "CoverageReporterOverdue":
                yield from self._statements.overdue(province, reporter)
            case "TargetExpired":
                yield from expired(province, indicator)
            case "InterruptionOverdue":
                yield from self._statements.interrupted(province, indicator)
            case _ if name not in PIPELINE:
                raise BenchError(f"nobody has said what a page of {name} may rest on; add it to bench/quality/grounds.py")

    def _behind(self, province: str, indicator: str) -> Iterator[Span]:
        """What is promised by a date of this year is not reached on that date."""
        for target in rules().catalogue.targets_of(indicator, province):
            if target.due is not None and START < target.due < END:
                on_the_day = [truth for at, truth in _course(self._played, province, indicator) if at <= target.due]
                if on_the_day and on_the_day[-1] < target.value:
                    yield Span(target.start, target.due)


def below(played: Played, province: str, indicator: str) -> Iterator[Span]:
    """When the true ratio was below the target that held, and that was a standing one or due."""
    catalogue = rules().catalogue
    moments = {at for at, _ in _course(played, province, indicator)}
    for target in catalogue.targets_of(indicator, province):
        moments |= {at for at in (target.start, target.due, target.end) if at is not None and START <= at < END}
    course = _course(played, province, indicator)
    began: datetime | None = None
    for moment in sorted(moments):
        truth = next((ratio for at, ratio in reversed(course) if at <= moment), None)
        target_now = catalogue.target_at(indicator, province, moment)
        due = target_now is not None and (target_now.due is None or target_now.due <= moment)
        is_below = due and truth is not None and target_now is not None and truth < target_now.value
        if is_below:
            began = began or moment
        elif began is not None:
            yield Span(began, moment)
            began = None
    if began is not None:
        yield Span(began, END)


def expired(province: str, indicator: str) -> Iterator[Span]:
    """When a target was past its due date and no other had taken its place."""
    catalogue = rules().catalogue
    every = catalogue.targets_of(indicator, province)

    def stands(target: Target, moment: datetime) -> bool:
        return catalogue.target_at(indicator, province, moment) is target

    for target in every:
        if target.due is not None and target.due < END and stands(target, target.due):
            ends = [at for one in every for at in (one.start, one.end) if at is not None and at > target.due and not stands(target, at)]
            yield Span(target.due, min(ends, default=END))


def _course(played: Played, province: str, indicator: str) -> list[tuple[datetime, Fraction]]:
    """The true ratio in the list in force, whenever it changed."""
    found = [
        (one.at, Fraction(one.covered, one.expected))
        for vintage in rules().register.vintages.values()
        for one in played.truth.changes((vintage.id, province, indicator))
        if one.expected and vintage.holds(one.at)
    ]
    return sorted(found, key=lambda one: one[0])


def _reported_within(indicator: str) -> timedelta:
    """How long after something has happened the last report on it may come in time: the rest of its period, its deadline and grace."""
    owed = [one for one in rules().catalogue.obligations if one.indicator == indicator]
    return max((_length(one) + _deadline(one) for one in owed), default=timedelta())


def _length(owed: Obligation) -> timedelta:
    """The longest that a period can be."""
    return {"month": 31, "quarter": 92, "half_year": 184, "year": 366}[owed.period] * DAY


def _deadline(owed: Obligation) -> timedelta:
    return (owed.deadline_days + owed.grace_days) * DAY


class _Told(Struct, frozen=True):
    """A lasting declaration, or that it is taken back (`stated` false)."""

    at: datetime
    observed_at: datetime
    period: int
    unit: UnitId
    stated: bool


class _Temporary(Struct, frozen=True):
    """A temporary state, and the end that was told of it."""

    operator: str
    indicator: str
    unit: UnitId
    at: datetime
    observed_at: datetime
    until: datetime


class _Statements:
    """Who said what of which piece of territory, and when it was sent: pieces outlast every change of list."""

    def __init__(self, played: Played) -> None:
        self._played = played
        self._roots = _territories()
        self._lasting: dict[tuple[str, str, str], list[_Told]] = {}
        self._temporary: list[_Temporary] = []
        known: set[tuple[str, str]] = set()
        for sending in played.sent:
            # what is sent again says nothing again
            if (name := (sending.event.source, sending.event.id)) not in known:
                known.add(name)
                self._note(sending)

    def _note(self, sending: Sending) -> None:
        event = sending.event
        if not isinstance(event, Stated | Withdrawn):
            return
        data = event.data
        if data.method is not Method.DECLARED:
            return
        unit_id = (data.vintage or _list_at(data.observed_at), data.commune)
        operator = data.operator or event.source
        if isinstance(event, Stated) and event.data.until is not None:
            self._temporary.append(_Temporary(operator, data.indicator, unit_id, sending.at, data.observed_at, event.data.until))
            return
        owed = next(one for one in rules().catalogue.obligations if (one.reporter, one.indicator) == (event.source, data.indicator))
        key = (event.source, operator, data.indicator)
        told = _Told(sending.at, data.observed_at, index(owed.period, data.observed_at), unit_id, isinstance(event, Stated))
        self._lasting.setdefault(key, []).append(told)

    def overdue(self, province: str, reporter: str) -> Iterator[Span]:
        """When a report that this reporter owes on some place of the province was past its deadline and its grace."""
        for owed in rules().catalogue.obligations:
            if owed.reporter == reporter and owed.province == province:
                yield from self._owed(owed)

    def _owed(self, owed: Obligation) -> Iterator[Span]:
        told = self._lasting.get((owed.reporter, owed.operator, owed.indicator), [])
        by_piece: dict[str, list[tuple[datetime, int, bool]]] = {}
        for one in told:
            for piece in self._roots[one.unit]:
                by_piece.setdefault(piece, []).append((one.at, one.period, one.stated))
        first = index(owed.period, owed.start)
        for vintage in rules().register.vintages.values():
            begin = max(vintage.start, owed.start, START)
            end = min(vintage.end or END, owed.end or END, END)
            units = [one for one in rules().register.of(vintage.id, PROVINCE) if one.province == owed.province]
            pieces = {piece for unit in units for piece in self._roots[unit.id]}
            for number in range(first, index(owed.period, END) + 1):
                since = max(begin, end_of(owed.period, number) + _deadline(owed))
                until = min(end, end_of(owed.period, number + 1) + _deadline(owed))
                if since < until:
                    yield from _absent(since, until, number, (by_piece.get(piece, []) for piece in pieces))

    def interrupted(self, province: str, indicator: str) -> Iterator[Span]:
        """When an outage outlasted the end that was told of it, or the word was owed that it was over."""
        overran = self._overran()
        for one in self._ends():
            if one.indicator != indicator or rules().register.units[one.unit].province not in (province, *_merged_from(province)):
                continue
            if one.operator == overran.who and overran.now(one.at) and overran.concerns(one.unit) and one.until < overran.end:
                yield Span(one.until, overran.end)
            said = [
                word.at
                for (_, whose, what), told in self._lasting.items()
                if (whose, what) == (one.operator, indicator)
                for word in told
                if word.observed_at > one.observed_at and self._roots[word.unit] & self._roots[one.unit]
            ]
            if one.until + WORD_OWED < min(said, default=END):
                yield Span(one.until + WORD_OWED, min(said, default=END))

    def first_told_end(self) -> datetime:
        """When the first of the ends that the overrunning outage was told with had passed."""
        overran = self._overran()
        ends = [one.until for one in self._ends() if one.operator == overran.who and overran.now(one.at) and overran.concerns(one.unit)]
        if not ends or min(ends) >= overran.end:
            raise BenchError(f"seed {self._played.year.seed}: no outage overruns; lengthen it in bench/quality/year.py")
        return min(ends)

    def _overran(self) -> Happening:
        return next(one for one in self._played.incidents if one.incident.name == self._played.year.overrun.incident)

    def _ends(self) -> Iterator[_Temporary]:
        """What was told as temporary and not told anew before its end: of two outages in one commune the later word holds."""
        slots: dict[tuple[str, str, UnitId], list[_Temporary]] = {}
        for one in self._temporary:
            slots.setdefault((one.operator, one.indicator, one.unit), []).append(one)
        for several in slots.values():
            several.sort(key=lambda one: one.observed_at)
            for one, later in zip_longest(several, several[1:]):
                if later is None or later.at > one.until:
                    yield one


def _absent(since: datetime, until: datetime, number: int, pieces: Iterable[list[tuple[datetime, int, bool]]]) -> Iterator[Span]:
    """When between these moments some piece had no statement about that period, or a later one."""
    for told in pieces:
        missing: datetime | None = since
        for at, period, stated in told:
            if period < number:
                continue
            if stated and missing is not None:
                if missing < at:
                    yield Span(missing, min(at, until))
                missing = None
            elif not stated and missing is None:
                missing = max(at, since)
            if at >= until and missing is None:
                break
        if missing is not None and missing < until:
            yield Span(missing, until)


def _territories() -> dict[UnitId, frozenset[str]]:
    """Each unit's territory as names of pieces: what was split is, for each successor, a piece that the whole says nothing about."""
    register = rules().register
    found: dict[UnitId, frozenset[str]] = {}
    for vintage in register.vintages:
        for unit_id in (one for one in register.units if one[0] == vintage):
            before = register.predecessors.get(unit_id, ())
            pieces: set[str] = set()
            for one in before:
                whole = one.extent is Extent.WHOLE
                pieces |= found[one.unit.id] if whole else {f"{'/'.join(one.unit.id)} in {'/'.join(unit_id)}"}
            found[unit_id] = frozenset(pieces or {"/".join(unit_id)})
    return found


def _merged_from(province: str) -> set[str]:
    """The provinces of earlier lists whose territory belongs to this one now."""
    register = rules().register
    return {unit.province for unit in register.units.values() if register.home(unit) == province}


def _list_at(moment: datetime) -> str:
    found = rules().register.vintage_at(moment)
    return "" if found is None else found.id


# -- what must be noticed ------------------------------------------------------------------------------------------------------------------


def injections(played: Played, shipped: Iterable[Rule]) -> Iterator[Injection]:
    """Everything that was injected, with the bound on its delay: what the calendar allows, and then the rule's `for` and one step."""
    # one step until it is seen, and one more because the time that it must last is no whole number of steps
    hold = {rule.name: rule.hold + 2 * STEP for rule in shipped}
    about = {one.incident.name: one for one in played.incidents}

    # the last report on a fall may come when its period, its deadline and grace are over
    within = _reported_within(FALLEN)
    for span in below(played, PROVINCE, FALLEN):
        if span.end - span.start >= within:
            bound = within + hold["CoverageBelowTarget"]
            yield _paged("fall_below_target", span.start, bound, "CoverageBelowTarget", province=PROVINCE, indicator=FALLEN)

    onset = _Statements(played).first_told_end()
    bound = WORD_OWED + hold["InterruptionOverdue"]
    yield _paged("outage_overruns", onset, bound, "InterruptionOverdue", province=PROVINCE, indicator=FALLEN)

    for due, indicator in ((ROLLOVER_DUE, EXPIRING), (PLAN_DUE, BEHIND)):
        yield _paged("target_rolls_over", due, hold["TargetExpired"], "TargetExpired", province=PROVINCE, indicator=indicator)

    # a pace needs four points of one list of communes, each known when the reports of its month are all due
    (monthly,) = rules().catalogue.obligations_of(BEHIND, PROVINCE)
    second = list(rules().register.vintages.values())[1]
    four_over = end_of(monthly.period, index(monthly.period, second.start) + 3)
    bound = _deadline(monthly) + hold["CoverageBehindPlan"]
    yield _paged("behind_plan", four_over, bound, "CoverageBehindPlan", province=PROVINCE, indicator=BEHIND)

    yield from _missing_reports(about, hold["CoverageReporterOverdue"])
    yield from _lists(played)
    for one in played.incidents:
        if isinstance(one.incident, MisspeltVillages):
            yield _misspelt(played, one)
        if isinstance(one.incident, ContradictingMeasurement):
            yield _contradicted(played, one)


def _paged(kind: str, onset: datetime, bound: timedelta, alert: str, **labels: str) -> Injection:
    return Injection(kind, onset, bound, alert, labels)


def _missing_reports(about: Mapping[str, Happening], hold: timedelta) -> Iterator[Injection]:
    """From the day on which a report was due, without its grace: then the alert has the grace, and the rule's own time."""
    for owed in rules().catalogue.obligations:
        if (owed.reporter, owed.indicator) == NEVER:
            due = end_of(owed.period, index(owed.period, START)) + owed.deadline_days * DAY
            bound = owed.grace_days * DAY + hold
            yield _paged("never_reports", due, bound, "CoverageReporterOverdue", province=owed.province, reporter=owed.reporter)
    late = about["late"]
    assert isinstance(late.incident, LateReporter)
    for province in sorted({one.province for one in rules().catalogue.obligations if one.reporter == LATE and one.holds(late.start)}):
        owed = next(one for one in rules().catalogue.obligations if (one.reporter, one.province) == (LATE, province))
        due = late.start + owed.deadline_days * DAY
        bound = owed.grace_days * DAY + hold
        yield _paged("late_reporter", due, bound, "CoverageReporterOverdue", province=province, reporter=LATE)


def _lists(played: Played) -> Iterator[Injection]:
    """A change of list shows itself: every commune of the new list has a row, marked as inherited where its territory had a statement."""
    territories = _territories()
    for vintage in list(rules().register.vintages.values())[1:]:
        stated = {
            root
            for sending in played.sent
            if sending.at < vintage.start and (data := _declared(sending)) is not None and data.indicator == FALLEN
            for root in territories[data.vintage or _list_at(data.observed_at), data.commune]
        }
        wanted = {unit.code: bool(territories[unit.id] & stated) for unit in rules().register.of(vintage.id, PROVINCE)}
        shown: datetime | None = None
        for one in played.rows:
            row = one.row
            if row.vintage == vintage.id and row.indicator == FALLEN and wanted.get(row.commune) in (False, Mark.INHERITED in row.marks):
                del wanted[row.commune]
                shown = one.at
        yield Injection("list_changes", vintage.start, STEP, shown=None if wanted else shown)


def _declared(sending: Sending) -> Statement | None:
    """What is declared in an event as lasting; None: it is another."""
    event = sending.event
    lasting = isinstance(event, Stated) and event.data.method is Method.DECLARED and event.data.until is None
    return event.data if isinstance(event, Stated) and lasting else None


def _misspelt(played: Played, one: Happening) -> Injection:
    """A misspelt village raises nothing that is claimed: the commune's interval stays open, and its row has the name as it was written.

    Counted are communes with a village that is dark by the truth and by what the other operators said last.
    """
    last: dict[tuple[str, str], dict[str, tuple[str, ...] | None]] = {}
    measured: set[tuple[str, str]] = set()
    newest: dict[tuple[str, tuple[str, str]], datetime] = {}
    pending: dict[tuple[str, str], datetime] = {}
    for sending in played.sent:
        if isinstance(sending.event, Stated) and sending.event.data.method is Method.MEASURED:
            # a village that was measured dark is known by its name
            measured.add((sending.event.data.commune, sending.event.data.indicator))
        data = _declared(sending)
        about = None if data is None else rules().catalogue.indicators[data.indicator]
        # what another indicator bounds is as exact as that one
        if data is None or about is None or not about.counts_places or about.at_most:
            continue
        unit_id = (data.vintage or _list_at(data.observed_at), data.commune)
        key, who = (data.commune, data.indicator), sending.event.source
        said = last.setdefault(key, {})
        if data.observed_at < newest.get((who, key), data.observed_at):
            # what was observed later stands, so this counts for nothing
            continue
        newest[who, key] = data.observed_at
        said[who] = data.uncovered
        if (
            who == one.who
            and one.now(sending.at)
            and one.concerns(unit_id)
            and data.uncovered
            and len(said) == _THREE
            and key not in measured
        ):
            truth = played.truth.commune_at(*unit_id, data.indicator, data.observed_at)
            # only sheets are misspelt, not the word that an outage is over
            dark = set(truth.uncovered or ()) if truth and not {*(truth.uncovered or ())} & {*data.uncovered} else set()
            for other, names in said.items():
                dark &= dark if other == one.who else set(names or ())
            if dark:
                pending.setdefault(key, sending.at)
    if not pending:
        raise BenchError(f"seed {played.year.seed}: no village that is dark to all is misspelt; name other districts in year.py")
    return _shown("misspelt_village", played, pending, lambda row: row.state is State.FRESH and row.low != row.high)


def _contradicted(played: Played, one: Happening) -> Injection:
    """A measurement that contradicts is a mark on each commune: what operator and team say stands side by side."""
    declared: dict[UnitId, Statement] = {}
    measured: dict[UnitId, Statement] = {}
    pending: dict[tuple[str, str], datetime] = {}
    for sending in played.sent:
        event = sending.event
        if not isinstance(event, Stated) or event.data.indicator not in one.indicators or event.data.until is not None:
            continue
        data = event.data
        unit_id = (data.vintage or _list_at(data.observed_at), data.commune)
        if (data.operator or event.source) != one.who or not one.concerns(unit_id):
            continue
        if data.method is Method.DECLARED:
            declared[unit_id] = data
        elif data.method is Method.MEASURED and data.measured is None and one.now(sending.at):
            measured[unit_id] = data
        both = declared.get(unit_id), measured.get(unit_id)
        if both[0] and both[1] and both[1].covered < both[0].covered:
            earlier, later = sorted(statement.observed_at for statement in both if statement)
            # of two periods both may be true
            if later < one_after(rules().catalogue.indicators[data.indicator].period, earlier):
                pending.setdefault((data.commune, data.indicator), sending.at)
    if not pending:
        raise BenchError(f"seed {played.year.seed}: no measurement contradicts a declaration; see year.py")
    return _shown("measurement_contradicts", played, pending, lambda row: Mark.CONFLICT in row.marks)


def _shown(kind: str, played: Played, pending: Mapping[tuple[str, str], datetime], says: Callable[[CommuneRow], bool]) -> Injection:
    """One injection for all its communes: it is noticed when the row of each of them says so; the slowest counts."""
    before: dict[tuple[str, str], bool] = {}
    seen: dict[tuple[str, str], datetime] = {}
    for one in played.rows:
        key = (one.row.commune, one.row.indicator)
        if key not in pending or key in seen or not rules().register.vintages[one.row.vintage].holds(one.at):
            continue
        before[key] = says(one.row)
        if before[key] and one.at >= pending[key]:
            seen[key] = one.at
    for key, at in pending.items():
        # a row that says so already is not published again
        if key not in seen and before.get(key):
            seen[key] = at
    slowest = max(pending, key=lambda key: seen.get(key, END) - pending[key])
    return Injection(kind, pending[slowest], STEP, shown=seen.get(slowest))
