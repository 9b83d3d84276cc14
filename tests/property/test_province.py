"""phusong/province.py: one province kept up to date equals assessing it from scratch, at every step, for the work of what changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from phusong.admission import Admission
from phusong.communes import Commune
from phusong.events import Event
from phusong.evidence import Cell, Outcome
from phusong.province import Province
from phusong.rows import CommuneRow, ProvinceRow, Row, State
from phusong.rules import Rules
from tests.models import DESCENTS, HOMES, RADIO, RECEIVED, V1, as_bytes, model, narrowed, past_of, rows_of, steady_model
from tests.strategies import events, evidence, moments
from tests.worlds import instant, stated

_INSTANT = timedelta(microseconds=1)
_ROUTE = Admission(model()).route
_INDICATORS = tuple(model().catalogue.indicators)
_BOUNDED = tuple(one.id for one in model().catalogue.indicators.values() if one.at_most)


def owner(rules: Rules, many: Sequence[Event], as_of: datetime) -> Province:
    """A province that has heard these events and published its rows."""
    province = Province(rules, "08")
    for event in many:
        hear(province, event)
    province.rows(as_of)
    return province


def hear(province: Province, event: Event) -> Outcome:
    route = _ROUTE(event)
    return province.apply(route.cell, route.slot, event)


def assessed(province: Province) -> dict[Cell, Commune]:
    """What was last assessed; each assessment is an object of its own."""
    return {(*group[:1], code, group[2]): one for group, communes in province._communes.items() for code, one in communes.items()}


def reassessed(before: dict[Cell, Commune], after: dict[Cell, Commune]) -> set[Cell]:
    return {cell for cell, one in after.items() if before.get(cell) is not one}


class ProvinceOverTime(RuleBasedStateMachine):
    """An owner that applies events, lets time pass (lists of communes begin and end) and publishes, all or a few communes at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.province = Province(model(), "08")
        self.events: list[Event] = []
        self.published: dict[str, Row] = {}
        self.as_of = instant("2023-01-01")
        self.communes: tuple[str, ...] = ()
        self.indicators: tuple[str, ...] = ()

    @initialize(
        moment=moments(last="2024-03-10"),
        communes=st.sampled_from(DESCENTS),
        indicators=st.lists(st.sampled_from(_INDICATORS), min_size=1, max_size=3),
    )
    def begin(self, moment: datetime, communes: tuple[str, ...], indicators: list[str]) -> None:
        self.as_of, self.communes, self.indicators = moment, communes, tuple(indicators)

    @rule(data=st.data())
    def event(self, data: st.DataObject) -> None:
        self.hear(data.draw(events(model(), communes=self.communes, indicators=self.indicators)))

    @rule(event=events(model()))
    def event_elsewhere(self, event: Event) -> None:
        self.hear(event)

    @precondition(lambda self: self.events)
    @rule(data=st.data())
    def event_again(self, data: st.DataObject) -> None:
        self.hear(data.draw(st.sampled_from(self.events)))

    def hear(self, event: Event) -> None:
        hear(self.province, event)
        self.events.append(event)

    @rule(moment=moments())
    def time_passes(self, moment: datetime) -> None:
        self.as_of = max(self.as_of, moment)

    @rule(before=st.sampled_from([timedelta(0), _INSTANT]))
    def time_passes_to_the_next_due_moment_or_just_before_it(self, before: timedelta) -> None:
        due = self.province.next_due()
        if due is not None:
            self.as_of = max(self.as_of, due - before)

    @rule(limit=st.none() | st.integers(1, 30))
    def publish(self, limit: int | None) -> None:
        for row in self.province.rows(self.as_of, limit):
            assert self.published.get(row.key) != row, "a row that did not change was published"
            self.published[row.key] = row

    @rule()
    def publish_everything_some_at_a_time(self) -> None:
        while self.province.pending(self.as_of):
            self.publish(limit=50)

    @invariant()
    def what_is_published_is_the_truth_unless_something_is_pending(self) -> None:
        """So time that passes before `next_due` changes nothing, and at it everything that changes is published."""
        if not self.province.pending(self.as_of):
            assert self.published == rows_of(model(), self.events, self.as_of)

    def teardown(self) -> None:
        """Another owner with the same events in another order has the same bytes, and remembers the same past."""
        self.publish_everything_some_at_a_time()
        assert as_bytes(self.province.all_rows()) == as_bytes(rows_of(model(), self.events[::-1], self.as_of).values())
        assert self.province.past == past_of(model(), self.events)


TestProvinceOverTime = ProvinceOverTime.TestCase
TestProvinceOverTime.settings = settings(max_examples=40, stateful_step_count=15)


@settings(max_examples=20)
@given(evidence(model(), max_size=6), moments(first="2024-04-01", last="2025-06-01"))
def test_nothing_changes_strictly_before_the_next_due_moment(many: list[Event], as_of: datetime) -> None:
    rules = narrowed(model(), many)
    province = owner(rules, many, as_of)
    for _ in range(4):
        due = province.next_due()
        if due is None:
            assert rows_of(rules, many, instant("2999-01-01")) == rows_of(rules, many, as_of)
            return
        assert due > as_of
        now = rows_of(rules, many, as_of)
        assert rows_of(rules, many, due - _INSTANT) == now
        assert not province.pending(due - _INSTANT)
        assert province.pending(due)
        changed = {row.key: row for row in province.rows(due)}
        as_of = due
        assert now | changed == rows_of(rules, many, due)


@settings(max_examples=60)
@given(evidence(model(), indicators=_BOUNDED), moments(first="2023-05-01"))
def test_what_bounds_an_indicator_and_what_it_bounds_are_kept_up_together(many: list[Event], as_of: datetime) -> None:
    """One event at a time, every commune published after each."""
    received = stated("00001", RECEIVED, 6, 6, source="department", operator="radio-office")
    covered = stated("00001", RADIO, 1, 6, source="radio-office")
    many = [received, *many, covered]
    rules = narrowed(model(), many)
    province = owner(rules, [], as_of)
    for event in many:
        hear(province, event)
        province.rows(as_of)
    assert as_bytes(province.all_rows()) == as_bytes(rows_of(rules, many, as_of).values())


@settings(max_examples=60)
@given(evidence(model()), events(model()), st.one_of(moments(first="2023-03-01"), moments(first="2024-04-01")))
def test_after_one_event_only_its_commune_and_what_became_of_it_are_assessed_again(many: list[Event], one: Event, as_of: datetime) -> None:
    """The unit of the event and those that its territory went into, under that indicator and those that it bounds; and their provinces."""
    province = owner(model(), many, as_of)
    before = assessed(province)
    outcome = hear(province, one)
    published = {row.key for row in province.rows(as_of)}
    vintage, code, indicator = _ROUTE(one).cell
    units = {(vintage, code), *model().register.later((vintage, code))}
    about = {indicator, *(i.id for i in model().catalogue.indicators.values() if i.at_most == indicator)}
    line = {(*unit, i) for unit in units for i in about}
    touched = reassessed(before, assessed(province))
    assert touched <= (line if outcome is Outcome.ADMITTED else set())
    if outcome is Outcome.ADMITTED:
        assert touched >= {(*unit, indicator) for unit in units if (*unit, indicator) in before}
    rows = {f"{v}/{c}/{i}" for v, c, i in line} | {f"{v}/{model().register.units[v, c].province}/{i}" for v, c, i in line}
    assert published <= rows


@settings(max_examples=40)
@given(evidence(steady_model()), moments(first="2023-03-01", last="2024-12-01"))
def test_when_something_falls_due_only_what_is_due_is_assessed_again(many: list[Event], as_of: datetime) -> None:
    rules = narrowed(steady_model(), many)
    province = owner(rules, many, as_of)
    turns = {turn.moment for turn in province._turns}
    moments_of = sorted({one.due for one in assessed(province).values() if one.due is not None} - turns)
    assume(moments_of)
    moment = moments_of[0]
    province.rows(moment - _INSTANT)
    before = assessed(province)
    due = {cell for cell, one in before.items() if one.due == moment}
    bounded = {(v, c, i.id) for v, c, about in due for i in rules.catalogue.indicators.values() if i.at_most == about}
    province.rows(moment)
    assert due <= reassessed(before, assessed(province)) <= due | bounded


@settings(max_examples=30)
@given(moments(), moments())
def test_a_clock_that_goes_back_is_taken_as_standing_still(one: datetime, other: datetime) -> None:
    province = owner(model(), [], max(one, other))
    assert province.rows(min(one, other)) == []
    assert province.as_of == max(one, other)


@settings(max_examples=20)
@given(st.sampled_from(HOMES), moments(), st.none() | st.integers(20, 90))
def test_every_registered_commune_has_a_row_from_the_first_moment_of_its_list(home: str, as_of: datetime, limit: int | None) -> None:
    """Province rows wait until no commune is left over: none is published with less than the whole register behind it."""
    register, province = model().register, Province(model(), home)
    first: list[Row] = []
    while province.pending(as_of):
        rows = province.rows(as_of, limit)
        assert limit is None or sum(isinstance(row, CommuneRow) for row in rows) <= limit
        assert not province.pending(as_of) or not any(isinstance(row, ProvinceRow) for row in rows)
        first += rows
    listed = [unit for vintage in register.vintages.values() if vintage.start <= as_of for unit in register.of(vintage.id, home)]
    places = {(unit.vintage, unit.code) for unit in listed} | {(unit.vintage, unit.province) for unit in listed}
    assert sorted(row.key for row in first) == sorted(f"{vintage}/{code}/{about}" for vintage, code in places for about in _INDICATORS)
    for row in first:
        assert (row.ratio, row.low, row.high) == (0, 0, 1)
        assert row.units[State.UNKNOWN] == sum(row.units.values()) if isinstance(row, ProvinceRow) else row.state is State.UNKNOWN


def test_a_list_of_communes_that_has_not_come_into_force_has_no_rows() -> None:
    assert {row.vintage for row in owner(model(), [], instant("2023-06-30")).all_rows()} == {V1}
