"""The answer depends on the set of events alone: not on order, repetition, replay or the number of partitions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from phusong.admission import Admission
from phusong.events import Event
from phusong.evidence import Outcome
from phusong.province import Province
from phusong.topics import share_of
from tests.models import HOMES, as_bytes, model, narrowed, rows_of
from tests.strategies import events, evidence, moments
from tests.worlds import instant

_ROUTE = Admission(model()).route


def received(province: Province, many: Sequence[Event]) -> list[Outcome]:
    """What became of these events, in this order."""
    return [province.apply(where.cell, where.slot, event) for event, where in ((one, _ROUTE(one)) for one in many)]


@settings(max_examples=60)
@given(evidence(model()), moments(), st.data())
def test_any_order_and_any_repetition_give_rows_of_the_same_bytes(many: list[Event], as_of: datetime, data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(many), max_size=4)) if many else []
    shuffled = data.draw(st.permutations([*many, *again]))
    rules = narrowed(model(), many)
    assert as_bytes(rows_of(rules, shuffled, as_of).values()) == as_bytes(rows_of(rules, many, as_of).values())


@settings(max_examples=30)
@given(evidence(model()), moments(), st.booleans())
def test_a_replay_of_the_whole_log_changes_nothing(many: list[Event], as_of: datetime, backwards: bool) -> None:
    province = Province(narrowed(model(), many), "08")
    received(province, many)
    province.rows(as_of)
    before = as_bytes(province.all_rows())
    assert Outcome.ADMITTED not in received(province, many[::-1] if backwards else many)
    assert province.rows(as_of) == []
    assert as_bytes(province.all_rows()) == before


@settings(max_examples=30)
@given(st.lists(st.sampled_from(HOMES).flatmap(lambda home: events(model(), home=home)), max_size=12), moments(), st.data())
def test_one_seven_and_twelve_partitions_give_the_same_rows(many: list[Event], as_of: datetime, data: st.DataObject) -> None:
    """A share has the provinces whose key falls in it, and reads its own records in order; between shares any order may happen."""
    published: list[dict[str, bytes]] = []
    for partitions in (1, 7, 12):
        provinces = {home: Province(model(), home) for home in HOMES}
        log = [[one for one in many if share_of(_ROUTE(one).key, partitions) == share] for share in range(partitions)]
        for share in data.draw(st.permutations(range(partitions))):
            for event in log[share]:
                received(provinces[_ROUTE(event).province], [event])
                provinces[_ROUTE(event).province].rows(data.draw(st.sampled_from([instant("2023-01-01"), as_of])), limit=3)
        published.append({})
        for province in provinces.values():
            province.rows(as_of)
            published[-1] |= as_bytes(province.all_rows())
    assert published[0] == published[1] == published[2]
    assert published[0] == {key: value for home in HOMES for key, value in as_bytes(rows_of(model(), many, as_of, home).values()).items()}
