"""feed/snapshot.py without Kafka: which of the records of a key is shown, whatever the order in which they come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.snapshot import CLOCK_TOLERANCE, Change, Gone, Headers, Judged, LeftOut, Snapshot
from phusong.assessment import assess
from phusong.rows import VERSION_HEADER, CommuneRow, Version, encode
from phusong.settings import SEEDS, read_rules
from phusong.topics import COMMUNES, PROVINCES

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
AS_OF = datetime(2023, 6, 30, tzinfo=UTC)
COMMUNE_ROWS, PROVINCE_ROWS = assess(read_rules(SEEDS), "08", {}, AS_OF)
ROW = PROVINCE_ROWS["2020-01-01/08/postal.staffed_point"]
COMMUNE = COMMUNE_ROWS["2020-01-01/02275/postal.staffed_point"]


def version(offsets: int = 1, *, rules: int = 1, log: str = "log", as_of: datetime = AS_OF) -> Version:
    return Version(rules=rules, log=log, offsets=offsets, as_of=as_of)


def headers(of: Version) -> Headers:
    return [("other", None), (VERSION_HEADER, encode(of))]


def snapshot() -> Snapshot:
    one = Snapshot()
    one.start_over("log")
    return one


def put(into: Snapshot, of: Version, covered: int | None = 0, appended: datetime = NOW) -> None:
    """A record of ROW's key: with that many covered, or (None) a tombstone."""
    value = None if covered is None else encode(msgspec.structs.replace(ROW, covered=covered))
    into.apply(PROVINCES.name, ROW.key.encode(), value, headers(of), appended)


def shown(of: Snapshot) -> list[float]:
    return [held.row.covered for held in of.provinces()]


@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.integers(0, 3), st.integers(0, 3), st.booleans()),
        unique_by=lambda one: one[:3],
        min_size=1,
        max_size=8,
    ).flatmap(lambda made: st.tuples(st.just(made), st.permutations(made)))
)
def test_the_greatest_version_is_shown_whatever_the_order(
    case: tuple[list[tuple[int, int, int, bool]], list[tuple[int, int, int, bool]]],
) -> None:
    """By rules, then offsets, then as_of; a tombstone takes part like any other record."""
    made, arriving = case
    read = snapshot()
    for rules, offsets, minutes, buries in arriving:
        as_of = AS_OF + timedelta(minutes=minutes)
        put(read, version(offsets, rules=rules, as_of=as_of), None if buries else rules * 100 + offsets * 10 + minutes)
    rules, offsets, minutes, buries = max(made)
    assert shown(read) == ([] if buries else [rules * 100 + offsets * 10 + minutes])


def test_a_row_of_another_log_is_left_out_and_a_greater_one_too() -> None:
    read = snapshot()
    put(read, version(1), 137)
    put(read, version(99, rules=9, log="zzz"), 0)
    assert shown(read) == [137]
    assert read.left_out == {LeftOut.OTHER_LOG: 1}


def test_starting_over_forgets_rows_and_tombstones() -> None:
    read = snapshot()
    put(read, version(9), None)
    read.start_over("new")
    put(read, version(1, log="new"), 5)
    assert shown(read) == [5]
    read.start_over("newest")
    assert shown(read) == []


def test_a_row_of_a_clock_ahead_is_left_out_and_one_minute_is_allowed() -> None:
    read = snapshot()
    put(read, version(1, as_of=NOW + CLOCK_TOLERANCE), 1)
    put(read, version(2, as_of=NOW + CLOCK_TOLERANCE + timedelta(milliseconds=1)), 2)
    assert shown(read) == [1]
    assert read.left_out == {LeftOut.CLOCK_AHEAD: 1}


def test_the_same_version_again_renews_the_time_of_publishing_and_an_older_one_does_not() -> None:
    read = snapshot()
    later = NOW + timedelta(seconds=60)
    put(read, version(2), 137)
    put(read, version(2), 137, appended=later)
    put(read, version(1), 0, appended=later + timedelta(seconds=60))
    assert [(held.row.covered, held.published) for held in read.provinces()] == [(137, later)]
    assert read.left_out == {LeftOut.OLDER: 1}


def test_an_older_row_does_not_bring_back_a_key_that_a_tombstone_removed() -> None:
    read = snapshot()
    put(read, version(1), 1)
    put(read, version(3), None)
    put(read, version(2), 2)
    assert shown(read) == []
    put(read, version(4), 4)
    assert shown(read) == [4]


def test_communes_and_provinces_are_kept_apart() -> None:
    read = snapshot()
    put(read, version())
    read.apply(COMMUNES.name, COMMUNE.key.encode(), encode(COMMUNE), headers(version()), NOW)
    assert [held.row for held in read.communes()] == [COMMUNE]
    assert isinstance(read.communes()[0].row, CommuneRow)
    assert len(read.provinces()) == 1


GOOD_KEY, GOOD_VALUE, GOOD_HEADERS = ROW.key.encode(), encode(ROW), headers(version(9))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        pytest.param(None, GOOD_VALUE, GOOD_HEADERS, id="no key"),
        pytest.param(b"2020-01-01/99/postal.staffed_point", GOOD_VALUE, GOOD_HEADERS, id="the key of another row"),
        pytest.param(b"\xff", GOOD_VALUE, GOOD_HEADERS, id="a key that is no text"),
        pytest.param(GOOD_KEY, GOOD_VALUE, None, id="no headers"),
        pytest.param(GOOD_KEY, GOOD_VALUE, [("content-type", b"x")], id="no version"),
        pytest.param(GOOD_KEY, GOOD_VALUE, [(VERSION_HEADER, None)], id="an empty version"),
        pytest.param(GOOD_KEY, GOOD_VALUE, [(VERSION_HEADER, b"7")], id="a version of another form"),
        pytest.param(GOOD_KEY, GOOD_VALUE, [(VERSION_HEADER, b'[1,"\xff",1,"2023-06-30T00:00:00Z"]')], id="a version that is no text"),
        pytest.param(GOOD_KEY, GOOD_VALUE, [(VERSION_HEADER, b'[9,"log",9,"2023-06-30T00:00:00"]')], id="a version without offset"),
        pytest.param(GOOD_KEY, b"{", GOOD_HEADERS, id="a value that is no JSON"),
        pytest.param(GOOD_KEY, b"{}", GOOD_HEADERS, id="a value that is no row"),
        pytest.param(GOOD_KEY, b'{"x":' + b"[" * 100_000, GOOD_HEADERS, id="brackets without end"),
        pytest.param(GOOD_KEY, GOOD_VALUE.replace(b"Tuy", b"\xff"), GOOD_HEADERS, id="a value that is no text"),
    ],
)
def test_an_unreadable_record_is_counted_and_what_was_held_stays(key: bytes | None, value: bytes, said: Headers | None) -> None:
    read = snapshot()
    put(read, version(1), 137)
    read.apply(PROVINCES.name, key, value, said, NOW)
    assert shown(read) == [137]
    assert read.left_out == {LeftOut.UNREADABLE: 1}


def test_a_change_is_told_once_and_what_says_the_same_again_is_none() -> None:
    one = snapshot()
    told: list[Change] = []
    one.on_change = told.append
    put(one, version(1), 1)
    put(one, version(2), 1)
    put(one, version(1), 5)
    put(one, version(3), 2)
    put(one, version(4), None)
    put(one, version(5), None)
    assert [type(change) for change in told] == [Judged, Judged, Gone]
    assert [change.held.row.covered for change in told if isinstance(change, Judged)] == [1, 2]


def test_a_row_that_says_the_same_again_stays_the_object_that_it_was() -> None:
    one = snapshot()
    put(one, version(1), 1)
    (before,) = one.provinces()
    put(one, version(2), 1)
    (after,) = one.provinces()
    assert after.row is before.row
    assert after.version > before.version


def test_rows_are_found_by_group_in_the_order_of_their_keys_whatever_happens_to_them() -> None:
    one = snapshot()
    rows = [row for row in COMMUNE_ROWS.values() if row.indicator == "postal.staffed_point"]

    def say(row: CommuneRow, offsets: int, *, buries: bool = False) -> None:
        value = None if buries else encode(row)
        one.apply(COMMUNES.name, row.key.encode(), value, headers(version(offsets)), NOW)

    for row in reversed(rows):
        say(row, 1)
    groups = sorted({(row.vintage, row.indicator, row.province) for row in rows})

    def found() -> list[str]:
        return [held.row.key for some in one.communes_of(groups) for held in some]

    def expected(*but: CommuneRow) -> list[str]:
        return [row.key for group in groups for row in rows if (row.vintage, row.indicator, row.province) == group and row not in but]

    assert found() == expected()
    first, last = rows[0], rows[-1]
    for row in (first, last):
        say(row, 2, buries=True)
    assert found() == expected(first, last)
    say(first, 3)
    assert found() == expected(last)
    say(msgspec.structs.replace(first, province="99"), 4)
    assert found() == expected(first, last)
    assert [held.row.key for (held,) in one.communes_of([(first.vintage, first.indicator, "99")])] == [first.key]
    assert [held.row.key for held in one.communes_at([last.key, first.key, "x"])] == [first.key]
    one.start_over("other")
    assert found() == []
