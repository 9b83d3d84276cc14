"""phusong/rows.py: versions, verdict chains, and what a reader gets from an unreadable row."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise, product

import msgspec
import pytest

from phusong.assessment import assess
from phusong.rows import (
    VERSION_HEADER,
    Cause,
    CauseKind,
    ProvinceRow,
    Verdict,
    VerdictEvent,
    Version,
    decode_commune,
    decode_province,
    decode_verdict,
    decode_version,
    encode,
    verdict_event,
)
from tests.worlds import POSTAL, cells_of, instant, stated, world

NOON = instant("2023-07-01T12:00:00")
UNSEEN = Cause(kind=CauseKind.REBUILD)


def province_row(*, verdict: Verdict = Verdict.MISSED) -> ProvinceRow:
    row = assess(world(), "08", cells_of(world(), [stated()]), NOON)[1][f"2020-01-01/08/{POSTAL}"]
    return msgspec.structs.replace(row, verdict=verdict)


def changed(row: ProvinceRow, previous: VerdictEvent | None = None, as_of: datetime = NOON, cause: Cause = UNSEEN) -> VerdictEvent:
    return verdict_event(row, previous, cause, 7, as_of)


def test_versions_compare_by_rules_then_log_then_offsets_then_moment() -> None:
    in_order = [
        Version(rules, log, offsets, as_of)
        for rules, log, offsets, as_of in product((1, 2, 10), ("a", "b"), (0, 9, 10), (NOON, NOON + timedelta(microseconds=1)))
    ]
    for index, version in enumerate(in_order):
        assert all(version > lesser for lesser in in_order[:index])


def test_moments_of_versions_compare_as_instants() -> None:
    assert Version(1, "a", 1, instant("2023-07-01T12:00:00+07:00")) > Version(1, "a", 1, instant("2023-07-01T04:59:59+00:00"))


def test_a_version_travels_in_its_header() -> None:
    version = Version(3, "x1,x2,x3", 137, NOON)
    assert decode_version([("other", b"1"), (VERSION_HEADER, encode(version))]) == version


@pytest.mark.parametrize("headers", [None, [], [("other", b"1")], [(VERSION_HEADER, None)]])
def test_a_row_without_a_version_header_has_none(headers: list[tuple[str, bytes | None]] | None) -> None:
    assert decode_version(headers) is None


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'[1,"a"]', b'["1","a",1,"2023-07-01T00:00:00Z"]'])
def test_an_unreadable_version_raises(raw: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode_version([(VERSION_HEADER, raw)])


@pytest.mark.parametrize("decode", [decode_commune, decode_province, decode_verdict])
@pytest.mark.parametrize("value", [b"", b"null", b"{}", b"[1]", b"\xff", b'{"vintage":"2020-01-01"}'])
def test_an_unreadable_row_raises(decode: type, value: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode(value)


def test_rows_ignore_fields_that_a_newer_writer_added() -> None:
    row = province_row()
    newer = encode(row).replace(b"{", b'{"added_later":{"deep":[1]},', 1)
    assert decode_province(newer) == row


def test_verdicts_of_one_key_form_a_chain() -> None:
    chain = []
    previous = None
    for hour, verdict in enumerate((Verdict.UNCERTAIN, Verdict.MISSED, Verdict.UNCERTAIN, Verdict.MET)):
        previous = changed(province_row(verdict=verdict), previous, NOON + timedelta(hours=hour))
        chain.append(previous)
    assert (chain[0].data.from_, chain[0].data.previous) == (None, None)
    for before, after in pairwise(chain):
        assert after.data.previous == before.id
        assert after.data.from_ is before.data.to
    assert len({event.id for event in chain}) == len(chain)
    assert [event.data.to for event in chain][-1] is Verdict.MET


def test_a_verdict_repeated_after_a_crash_has_the_same_id_whenever_it_is_repeated() -> None:
    first = changed(province_row(verdict=Verdict.UNCERTAIN))
    once = changed(province_row(), first)
    again = changed(province_row(), first, NOON + timedelta(hours=1))
    assert once.id == again.id
    assert once.id != changed(province_row()).id
    assert once.id != changed(province_row(verdict=Verdict.MET), first).id
    other_key = msgspec.structs.replace(province_row(), province="02")
    assert once.id != changed(other_key, first).id


def test_the_id_of_a_verdict_never_changes() -> None:
    """Other versions of the program must find their own entries again."""
    assert changed(province_row()).id == "33d052034ef868220387c52bec636e87"


def test_a_verdict_is_a_cloudevent_with_the_figures_behind_it() -> None:
    event = changed(province_row())
    plain = msgspec.json.decode(encode(event))
    assert (plain["specversion"], plain["source"], plain["type"]) == ("1.0", "phusong", "vn.phusong.coverage.verdict.v1")
    assert datetime.fromisoformat(plain["time"]) == NOON
    assert plain["data"]["from"] is None
    assert plain["data"]["to"] == "missed"
    assert event.data.key == province_row().key == f"2020-01-01/08/{POSTAL}"
    assert (plain["data"]["rules"], plain["data"]["cause"]) == (7, {"kind": "rebuild", "events": [], "more": 0})
    assert decode_verdict(encode(event)) == event


def test_a_verdict_names_the_events_that_changed_it_and_its_id_does_not_depend_on_them() -> None:
    cause = Cause(kind=CauseKind.STATEMENT, events=("post-office 1", "post-office 2"), more=3)
    event = changed(province_row(), cause=cause)
    assert event.data.cause == cause
    assert event.id == changed(province_row()).id


def test_what_no_worker_saw_is_put_down_to_the_rules_where_others_judged_before() -> None:
    before = changed(province_row(verdict=Verdict.UNCERTAIN))
    by_older_rules = msgspec.structs.replace(before, data=msgspec.structs.replace(before.data, rules=6))
    seen = Cause(kind=CauseKind.TIME)
    assert changed(province_row(), before).data.cause == UNSEEN
    assert changed(province_row(), by_older_rules).data.cause == Cause(kind=CauseKind.RULES)
    assert changed(province_row(), by_older_rules, cause=seen).data.cause == seen
