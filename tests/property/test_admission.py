"""phusong/admission.py: routes that were worked out before never change an answer."""

from __future__ import annotations

from datetime import timedelta

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from phusong import admission as admission_module
from phusong.admission import Admission, Route
from phusong.events import Event, Reason, Rejected
from phusong.rules import Rules
from tests.strategies import events
from tests.worlds import instant, seed_texts, vintage

RULES = Rules.from_texts(
    seed_texts(
        vintages=(
            vintage("2020-01-01", end="2023-06-01"),
            vintage("2023-06-01", end="2024-01-01"),
            vintage("2024-01-01"),
        )
    )
)

_changes: st.SearchStrategy[dict[str, object]] = st.one_of(
    st.just({}),
    st.builds(dict, commune=st.sampled_from(["02275", "2275", "00688"])),
    st.builds(dict, indicator=st.sampled_from(["postal.staffed_point", "postal.stamps"])),
    st.builds(dict, vintage=st.sampled_from(["2020-01-01", "2023-06-01", "2024-01-01", "2019"])),
    st.builds(dict, operator=st.sampled_from(["post-office", "operator-b", "nobody"])),
    st.builds(dict, observed_at=st.sampled_from([instant("2019-06-30"), instant("2023-05-31"), instant("2023-06-01")])),
)


@st.composite
def nearly_good_events(draw: st.DrawFn) -> Event:
    event = draw(events(RULES))
    event = msgspec.structs.replace(event, data=msgspec.structs.replace(event.data, **draw(_changes)))
    return msgspec.structs.replace(event, source=draw(st.sampled_from([event.source, event.source, "somebody"])))


def answer(admission: Admission, event: Event) -> Route | tuple[Reason, str]:
    try:
        return admission.route(event)
    except Rejected as rejected:
        return rejected.reason, rejected.sentence


@given(st.lists(nearly_good_events(), min_size=1, max_size=8))
def test_a_used_admission_answers_as_a_fresh_one(many: list[Event]) -> None:
    used = Admission(RULES)
    for event in [*many, *many]:
        assert answer(used, event) == answer(Admission(RULES), event)


@settings(max_examples=30)
@given(st.lists(nearly_good_events(), min_size=4, max_size=8))
def test_the_bound_of_the_cache_never_changes_an_answer(many: list[Event]) -> None:
    bound = admission_module._MAX_ROUTES
    admission_module._MAX_ROUTES = 2
    try:
        small = Admission(RULES)
        for event in many:
            assert answer(small, event) == answer(Admission(RULES), event)
            assert len(small._routes) <= 2
    finally:
        admission_module._MAX_ROUTES = bound


@given(events(RULES), st.timedeltas(min_value=timedelta(days=-400), max_value=timedelta(days=400)))
def test_a_route_without_a_named_vintage_follows_the_date(event: Event, later: timedelta) -> None:
    unnamed = msgspec.structs.replace(event, data=msgspec.structs.replace(event.data, vintage=None, until=None))
    moved = msgspec.structs.replace(unnamed, data=msgspec.structs.replace(unnamed.data, observed_at=unnamed.data.observed_at + later))
    admission = Admission(RULES)
    admission.route(unnamed)
    in_force = RULES.register.vintage_at(moved.data.observed_at)
    assert in_force is not None
    assert admission.route(moved).cell[0] == in_force.id
