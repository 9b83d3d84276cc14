"""phusong/province.py: one province kept up to date equals assessing it from scratch, at every step."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from phusong.admission import Admission
from phusong.assessment import assess
from phusong.events import Event
from phusong.province import Province
from phusong.rows import CommuneRow, ProvinceRow, Row, State, encode
from phusong.rules import Rules
from tests.strategies import INDICATORS, Routed, moments, routed
from tests.worlds import COMMUNES, cells_of, instant, world

_INSTANT = timedelta(microseconds=1)


def from_scratch(rules: Rules, code: str, events: list[Event], as_of: datetime) -> dict[str, Row]:
    communes, provinces = assess(rules, code, cells_of(rules, events), as_of)
    return {**communes, **provinces}


class ProvinceOverTime(RuleBasedStateMachine):
    """An owner that applies events, lets time pass and publishes what changed, all of it or a few communes at a time."""

    seeds = world()
    code = "08"

    def __init__(self) -> None:
        super().__init__()
        self.province = Province(self.seeds, self.code)
        self.events: list[Event] = []
        self.published: dict[str, Row] = {}
        self.as_of = instant("2023-01-01")
        self.route = Admission(self.seeds).route

    @initialize(moment=moments(last="2023-12-01"))
    def begin(self, moment: datetime) -> None:
        self.as_of = moment

    @rule(one=routed(seeds))
    def event(self, one: Routed) -> None:
        event, route = one
        self.province.apply(route.cell, route.slot, event)
        self.events.append(event)

    @precondition(lambda self: self.events)
    @rule(data=st.data())
    def event_again(self, data: st.DataObject) -> None:
        event = data.draw(st.sampled_from(self.events))
        self.event((event, self.route(event)))

    @rule(moment=moments())
    def time_passes(self, moment: datetime) -> None:
        self.as_of = max(self.as_of, moment)

    @rule(before=st.sampled_from([timedelta(0), _INSTANT]))
    def time_passes_to_the_next_due_moment_or_just_before_it(self, before: timedelta) -> None:
        due = self.province.next_due()
        if due is not None:
            self.as_of = max(self.as_of, due - before)

    @rule(limit=st.none() | st.integers(1, 6))
    def publish(self, limit: int | None) -> None:
        for row in self.province.rows(self.as_of, limit):
            assert self.published.get(row.key) != row, "a row that did not change was published"
            self.published[row.key] = row

    @rule()
    def publish_everything_a_few_at_a_time(self) -> None:
        while self.province.pending(self.as_of):
            self.publish(limit=2)

    @invariant()
    def what_is_published_is_the_truth_unless_something_is_pending(self) -> None:
        """So time that passes before `next_due` changes nothing, and at it everything that changes is published."""
        if not self.province.pending(self.as_of):
            assert self.published == from_scratch(self.seeds, self.code, self.events, self.as_of)

    @invariant()
    def another_owner_with_the_same_events_in_another_order_has_the_same_bytes(self) -> None:
        if not self.province.pending(self.as_of):
            again = from_scratch(self.seeds, self.code, self.events[::-1], self.as_of)
            assert {row.key: encode(row) for row in self.province.all_rows()} == {key: encode(row) for key, row in again.items()}


TestProvinceOverTime = ProvinceOverTime.TestCase
TestProvinceOverTime.settings = settings(max_examples=100, stateful_step_count=25)


@settings(max_examples=60)
@given(st.sampled_from(INDICATORS).flatmap(lambda one: st.lists(routed(world(), ["02263"], [one]), max_size=8)), moments())
def test_nothing_changes_strictly_before_the_next_due_moment(many: list[Routed], as_of: datetime) -> None:
    """From one due moment to the next until time alone changes nothing any more; one commune, so that it has several."""
    events = [event for event, _ in many]
    province = Province(world(), "08")
    for event, route in many:
        province.apply(route.cell, route.slot, event)
    province.rows(as_of)
    while (due := province.next_due()) is not None:
        assert due > as_of
        now = from_scratch(world(), "08", events, as_of)
        assert from_scratch(world(), "08", events, due - _INSTANT) == now
        assert not province.pending(due - _INSTANT)
        assert province.pending(due)
        changed = {row.key: row for row in province.rows(due)}
        as_of = due
        assert now | changed == from_scratch(world(), "08", events, due)
    assert from_scratch(world(), "08", events, instant("2999-01-01")) == from_scratch(world(), "08", events, as_of)


@given(moments(), moments())
def test_a_clock_that_goes_back_is_taken_as_standing_still(one: datetime, other: datetime) -> None:
    province = Province(world(), "08")
    province.rows(max(one, other))
    assert province.rows(min(one, other)) == []
    assert province.as_of == max(one, other)


@given(st.sampled_from(list(COMMUNES)), moments(), st.none() | st.integers(1, 3))
def test_every_registered_commune_has_a_row_from_the_first_moment(code: str, as_of: datetime, limit: int | None) -> None:
    province = Province(world(), code)
    first: list[Row] = []
    while province.pending(as_of):
        first += province.rows(as_of, limit)
    keys = [row.key for row in first]
    assert sorted(keys) == sorted(f"2020-01-01/{unit}/{one}" for one in INDICATORS for unit in (*COMMUNES[code], code))
    for row in first:
        assert (row.ratio, row.low, row.high) == (0, 0, 1)
        assert (row.units[State.UNKNOWN] == len(COMMUNES[code])) if isinstance(row, ProvinceRow) else (row.state is State.UNKNOWN)


@given(st.integers(1, 4))
def test_province_rows_wait_until_no_commune_is_left_over(limit: int) -> None:
    """A province row is never published with less than the whole register behind it."""
    province = Province(world(), "08")
    while province.pending(instant("2023-07-01")):
        rows = province.rows(instant("2023-07-01"), limit)
        assert sum(isinstance(row, CommuneRow) for row in rows) <= limit
        provinces = [row for row in rows if isinstance(row, ProvinceRow)]
        assert not provinces or not province.pending(instant("2023-07-01"))
        assert all(row.expected == len(COMMUNES["08"]) for row in provinces)
    assert len(province.province_rows()) == len(INDICATORS)
