"""phusong/rows.py: what is published is read back equal, and equal rows are equal bytes."""

from __future__ import annotations

from datetime import datetime

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from phusong.assessment import assess
from phusong.events import Event
from phusong.rows import (
    Cause,
    CauseKind,
    Row,
    Version,
    decode_commune,
    decode_province,
    decode_verdict,
    decode_version,
    encode,
    verdict_event,
)
from tests.strategies import events, moments
from tests.worlds import cells_of, world


@settings(max_examples=50)
@given(st.lists(events(), max_size=8), moments())
def test_rows_are_read_back_equal_and_written_again_to_the_same_bytes(many: list[Event], as_of: datetime) -> None:
    communes, provinces = assess(world(), "08", cells_of(world(), many), as_of)
    for row in communes.values():
        assert decode_commune(encode(row)) == row
        assert encode(decode_commune(encode(row))) == encode(row)
    for province in provinces.values():
        assert decode_province(encode(province)) == province
        assert encode(decode_province(encode(province))) == encode(province)
        change = verdict_event(province, None, Cause(kind=CauseKind.REBUILD), world().number, as_of)
        assert change.data.to is province.verdict
        assert decode_verdict(encode(change)) == change


@settings(max_examples=50)
@given(st.lists(events(), min_size=3, max_size=8), moments())
def test_the_bytes_of_a_row_do_not_depend_on_the_order_of_its_dicts(many: list[Event], as_of: datetime) -> None:
    communes, provinces = assess(world(), "08", cells_of(world(), many), as_of)
    rows: list[Row] = [*communes.values(), *provinces.values()]
    for row in rows:
        for name, value in msgspec.structs.asdict(row).items():
            if isinstance(value, dict):
                turned = msgspec.structs.replace(row, **{name: dict(reversed(value.items()))})
                assert encode(turned) == encode(row)


@given(st.integers(1, 10**6), st.text(max_size=20), st.integers(0, 2**60), moments())
def test_a_version_is_read_back_equal(rules: int, log: str, offsets: int, as_of: datetime) -> None:
    version = Version(rules, log, offsets, as_of)
    assert decode_version([("phusong-version", encode(version))]) == version
