"""phusong/follow_ups.py: order and repetition change nothing, the original stays, and no ratio moves."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from phusong.admission import Admission
from phusong.events import Event, Fact, FollowUp
from phusong.evidence import Outcome, order
from phusong.follow_ups import follow
from phusong.province import Province
from phusong.rows import CommuneRow, Row
from tests.models import DESCENTS, MOBILE, RADIO, as_bytes, model, narrowed, rows_of
from tests.strategies import events, follow_ups, moments, several
from tests.worlds import follow_ups_of

_ROUTE = Admission(model()).route
_ABOUT = {"communes": DESCENTS[0], "indicators": (MOBILE, RADIO)}
_said = several(follow_ups(model(), **_ABOUT), 10)
_everything = several(st.one_of(follow_ups(model(), **_ABOUT), events(model(), **_ABOUT)), 14)


@given(_said, st.data())
def test_order_and_repetition_change_nothing(many: list[FollowUp], data: st.DataObject) -> None:
    told = data.draw(st.permutations([*many, *data.draw(several(st.sampled_from(many), 3) if many else st.just([]))]))
    assert follow_ups_of(model(), told) == follow_ups_of(model(), many)


@given(_said)
def test_every_slot_keeps_the_earliest_and_the_greatest_that_was_said_in_it(many: list[FollowUp]) -> None:
    for cell, held in follow_ups_of(model(), many).items():
        for slot, followed in held.items():
            alone = [one for one in many if slot in follow_ups_of(model(), [one]).get(cell, {})]
            assert order(followed.last) == max(map(order, alone))
            assert followed.first in alone
            assert followed.first.data.observed_at == min(one.data.observed_at for one in alone)


@given(_said)
def test_what_was_followed_already_is_a_duplicate_or_superseded(many: list[FollowUp]) -> None:
    held = follow_ups_of(model(), many)
    for one in many:
        where = _ROUTE(one)
        assert follow(held[where.cell], where.slot, one) is not Outcome.ADMITTED


@settings(max_examples=40)
@given(_everything, moments())
def test_what_is_promised_or_challenged_moves_no_ratio_mark_or_verdict(many: list[Event], as_of: object) -> None:
    rules = narrowed(model(), many)
    facts = [one for one in many if isinstance(one, Fact)]
    assert _bare(rows_of(rules, many, as_of)) == _bare(rows_of(rules, facts, as_of))


@settings(max_examples=40)
@given(_everything, moments(), st.integers(1, 3))
def test_a_province_kept_up_to_date_equals_assessing_from_scratch(many: list[Event], as_of: object, batch: int) -> None:
    rules = narrowed(model(), many)
    province = Province(rules, "08")
    for number, one in enumerate(many):
        where = _ROUTE(one)
        province.apply(where.cell, where.slot, one)
        if number % batch == 0:
            province.rows(as_of)
    province.rows(as_of)
    assert as_bytes(province.all_rows()) == as_bytes(rows_of(rules, many, as_of).values())


def _bare(rows: dict[str, Row]) -> Sequence[Row]:
    """The rows without what is promised and challenged."""
    return [
        msgspec.structs.replace(row, promised_for=None, challenges_open=0, challenge_due=None) if isinstance(row, CommuneRow) else row
        for _, row in sorted(rows.items())
    ]
