"""phusong/admission.py: each reason for which a well-formed event is not counted, with the sentence that names the remedy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from phusong.admission import FUTURE_TOLERANCE, Admission, Route
from phusong.events import MAX_COUNT, Event, Method, Reason, Rejected, encode
from phusong.rules import Rules
from phusong.topics import PARTITIONS, share_of
from tests.worlds import MOBILE, POSTAL, instant, millis, seed_texts, stated, vintage, withdrawn, world

APPENDED = datetime(2023, 7, 5, 10, tzinfo=UTC)
"""When the broker took the records of these tests."""
SHARE = share_of(b"08")


def rejection(event: Event, rules: Rules | None = None) -> Rejected:
    """Why the writer and the reader do not take the event: both give the same reason and sentence."""
    admission = Admission(rules or world())
    with pytest.raises(Rejected) as asked_first:
        admission.route(event)
    with pytest.raises(Rejected) as received:
        admission.record(encode(event), None, b"08", "postal", SHARE, millis(APPENDED))
    assert (asked_first.value.reason, asked_first.value.sentence) == (received.value.reason, received.value.sentence)
    return received.value


def received(
    event: Event, *, key: bytes | None = b"08", domain: str = "postal", partition: int = SHARE, appended: datetime = APPENDED
) -> Route:
    return Admission(world()).record(encode(event), None, key, domain, partition, millis(appended))[1]


def travel_rejection(
    event: Event, *, key: bytes | None = b"08", domain: str = "postal", partition: int = SHARE, appended: datetime = APPENDED
) -> Rejected:
    with pytest.raises(Rejected) as caught:
        received(event, key=key, domain=domain, partition=partition, appended=appended)
    return caught.value


def test_a_good_record_gives_its_event_and_where_it_belongs() -> None:
    event, route = Admission(world()).record(encode(stated()), None, b"08", "postal", SHARE, millis(APPENDED))
    assert event == stated()
    assert (route.province, route.key, route.share, route.domain) == ("08", b"08", SHARE, "postal")
    assert route.cell == ("2020-01-01", "02275", POSTAL)
    assert route.slot == ("post-office", "post-office", "declared", False, "")


def test_a_withdrawal_belongs_to_the_slot_of_the_statement_that_it_takes_back() -> None:
    said: dict[str, Any] = {"source": "department", "operator": "post-office", "method": Method.MEASURED}
    assert received(withdrawn(**said)) == received(stated(**said))


def test_method_operator_source_and_temporary_make_different_slots() -> None:
    slots = {
        received(event).slot
        for event in (
            stated(),
            stated(method=Method.MEASURED),
            stated(source="department"),
            stated(source="department", operator="post-office"),
            stated(until=instant("2023-07-10")),
        )
    }
    assert len(slots) == 5


@pytest.mark.parametrize("short", ["2275", " 02275", "02275 "])
def test_an_unknown_commune_that_lost_its_zero_or_gained_a_space_is_told_the_code(short: str) -> None:
    rejected = rejection(stated(short))
    assert rejected.reason is Reason.UNKNOWN_COMMUNE
    assert "did you mean '02275'?" in rejected.sentence


def test_an_unknown_commune_with_no_likely_code_is_named_alone() -> None:
    rejected = rejection(stated("99999"))
    assert rejected.reason is Reason.UNKNOWN_COMMUNE
    assert "'99999' is not in the register of 2020-01-01" in rejected.sentence
    assert "did you mean" not in rejected.sentence


def test_an_unknown_vintage_is_told_the_known_ones() -> None:
    rejected = rejection(stated(vintage="2019"))
    assert rejected.reason is Reason.UNKNOWN_VINTAGE
    assert "one of: 2020-01-01" in rejected.sentence


def test_an_observation_before_the_first_vintage_is_outside() -> None:
    rejected = rejection(stated(observed_at="2019-12-31T23:59:59+07:00"))
    assert rejected.reason is Reason.OUTSIDE_VINTAGE
    assert "the first is 2020-01-01" in rejected.sentence
    assert received(stated(observed_at="2020-01-01")).cell[0] == "2020-01-01"


TWO_VINTAGES = Rules.from_texts(
    seed_texts(vintages=(vintage("2020-01-01", end="2023-07-01"), vintage("2023-07-01"))),
)


def test_a_named_vintage_must_have_been_in_force_when_it_was_observed() -> None:
    rejected = rejection(stated(vintage="2023-07-01"), TWO_VINTAGES)
    assert rejected.reason is Reason.OUTSIDE_VINTAGE
    assert "leave vintage out or mend the date" in rejected.sentence


@pytest.mark.parametrize(
    ("observed_at", "expected"),
    [
        ("2023-06-30T23:59:59.999999+07:00", "2020-01-01"),
        ("2023-07-01T00:00:00+07:00", "2023-07-01"),
        ("2023-06-30T17:00:00+00:00", "2023-07-01"),
    ],
)
def test_without_a_vintage_the_one_in_force_at_the_observation_counts(observed_at: str, expected: str) -> None:
    assert Admission(TWO_VINTAGES).route(stated(observed_at=observed_at)).cell[0] == expected
    used = Admission(TWO_VINTAGES)
    for before in ("2023-06-30", "2023-07-02"):
        used.route(stated(observed_at=before))
        assert used.route(stated(observed_at=observed_at)).cell[0] == expected


def test_an_unknown_indicator_is_rejected_with_the_remedy() -> None:
    rejected = rejection(stated(indicator="postal.stamps"))
    assert rejected.reason is Reason.UNKNOWN_INDICATOR
    assert "add a row to indicators.csv" in rejected.sentence


def test_an_unknown_reporter_is_rejected_with_the_remedy() -> None:
    rejected = rejection(stated(source="somebody"))
    assert rejected.reason is Reason.UNKNOWN_REPORTER
    assert "'somebody' has no row in reporters.csv" in rejected.sentence


def test_a_reporter_speaks_only_for_the_operators_of_its_row() -> None:
    rejected = rejection(stated(operator="operator-b"))
    assert rejected.reason is Reason.UNKNOWN_OPERATOR
    assert "post-office may not speak for operator 'operator-b'" in rejected.sentence
    assert received(stated(source="department", operator="post-office")).slot[0] == "post-office"


@pytest.mark.parametrize(("covered", "expected"), [(2, 1), (-1, 1), (-2, -1), (0, MAX_COUNT + 1), (10**30, 10**31)])
def test_counts_out_of_range_are_rejected_with_the_range(covered: int, expected: int) -> None:
    rejected = rejection(stated(covered=covered, expected=expected))
    assert rejected.reason is Reason.COUNTS_OUT_OF_RANGE
    assert f"covered {covered} of expected {expected}; needs 0 ≤ covered ≤ expected ≤ {MAX_COUNT}" in rejected.sentence


@pytest.mark.parametrize(("covered", "expected"), [(0, 0), (0, 1), (1, 1), (MAX_COUNT, MAX_COUNT)])
def test_counts_at_the_edges_are_admitted(covered: int, expected: int) -> None:
    received(stated(covered=covered, expected=expected))


def test_counts_are_checked_on_a_route_that_is_known_already() -> None:
    admission = Admission(world())
    admission.route(stated())
    with pytest.raises(Rejected) as caught:
        admission.route(stated(covered=2))
    assert caught.value.reason is Reason.COUNTS_OUT_OF_RANGE


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"measured": ("Bản Bung",)}, "only with method measured"),
        ({"measured": (), "method": Method.MEASURED}, "never empty"),
        ({"measured": ("Bản Bung", " \t"), "method": Method.MEASURED}, "without a letter"),
        ({"until": instant("2023-06-30")}, "must lie after observed_at and at most one month later"),
        ({"until": instant("2023-06-29")}, "must lie after observed_at"),
        ({"until": instant("2023-07-30T00:00:01")}, "at most one month later"),
        ({"observed_at": "9999-12-31", "until": instant("9999-12-31T23:00:00+00:00")}, "beyond the calendar"),
    ],
)
def test_measured_and_until_that_contradict_the_rest_break_the_schema(said: dict[str, Any], sentence: str) -> None:
    for event in (stated(**said), withdrawn(**said)):
        rejected = rejection(event)
        assert rejected.reason is Reason.SCHEMA
        assert sentence in rejected.sentence


@pytest.mark.parametrize(("commune", "until"), [("02275", "2023-07-30"), ("02263", "2023-06-30T00:00:01")])
def test_until_may_lie_up_to_a_period_ahead(commune: str, until: str) -> None:
    assert received(stated(commune, until=instant(until))).slot[3] is True


def test_the_wrong_topic_is_told_the_right_one() -> None:
    rejected = travel_rejection(stated(), domain="telecom")
    assert rejected.reason is Reason.WRONG_TOPIC
    assert "send it to coverage.postal.v1" in rejected.sentence
    mobile = stated(indicator=MOBILE, source="operator-a")
    assert travel_rejection(mobile, domain="postal").sentence.endswith("send it to coverage.telecom.v1")
    received(mobile, domain="telecom")


@pytest.mark.parametrize("key", [None, b"", b"8", b"02", b"02275", b"08 "])
def test_a_key_other_than_the_home_province_is_told_that_one(key: bytes | None) -> None:
    rejected = travel_rejection(stated(), key=key)
    assert rejected.reason is Reason.KEY_MISMATCH
    assert "'08'" in rejected.sentence


def test_a_partition_that_another_partitioner_chose_is_told_the_right_one() -> None:
    wrong = (SHARE + 1) % PARTITIONS
    rejected = travel_rejection(stated(), partition=wrong)
    assert rejected.reason is Reason.WRONG_PARTITION
    assert f"partition {wrong}, but key '08' belongs in {SHARE}" in rejected.sentence
    assert "murmur2_random" in rejected.sentence


@pytest.mark.parametrize("field", ["observed_at", "time"])
def test_the_future_begins_a_day_after_kafka_took_the_record(field: str) -> None:
    last = APPENDED + FUTURE_TOLERANCE
    at_last: dict[str, Any] = {field: last.isoformat()}
    too_late: dict[str, Any] = {field: (last + timedelta(microseconds=1)).isoformat()}
    received(stated(**at_last))
    rejected = travel_rejection(stated(**too_late))
    assert rejected.reason is Reason.OBSERVED_IN_FUTURE
    assert "mend the date" in rejected.sentence


def test_the_future_is_measured_from_the_record_and_never_from_the_readers_clock() -> None:
    """What was too early when Kafka took it stays rejected years later, and the other way round."""
    event = stated(observed_at="2999-01-01", time="2999-01-01")
    assert travel_rejection(event).reason is Reason.OBSERVED_IN_FUTURE
    received(event, appended=instant("2999-01-01"))
    past = instant("2021-01-01")
    assert travel_rejection(stated(), appended=past).reason is Reason.OBSERVED_IN_FUTURE


def test_each_record_is_judged_by_its_own_timestamp() -> None:
    admission = Admission(world())
    event = stated(observed_at="2023-06-30", time="2023-06-30")
    admission.event(event, b"08", "postal", SHARE, millis(APPENDED))
    with pytest.raises(Rejected):
        admission.event(event, b"08", "postal", SHARE, millis(instant("2023-06-28")))
    admission.event(event, b"08", "postal", SHARE, millis(APPENDED))
