"""phusong/periods.py: when what was observed goes stale, to the instant, in Vietnam's calendar."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from phusong.periods import Period, deadline, fresh_until, one_after, period_end
from tests.worlds import instant


@pytest.mark.parametrize(
    ("period", "observed_at", "fresh_to"),
    [
        (Period.MONTH, "2023-06-01T00:00:00+07:00", "2023-08-01"),
        (Period.MONTH, "2023-06-30T23:59:59.999999+07:00", "2023-08-01"),
        (Period.MONTH, "2023-07-01T00:00:00+07:00", "2023-09-01"),
        (Period.MONTH, "2023-06-30T16:59:59+00:00", "2023-08-01"),
        (Period.MONTH, "2023-06-30T17:00:00+00:00", "2023-09-01"),
        (Period.MONTH, "2023-06-30T13:00:00-05:00", "2023-09-01"),
        (Period.MONTH, "2023-10-31T00:00:00+07:00", "2023-12-01"),
        (Period.MONTH, "2023-11-15T00:00:00+07:00", "2024-01-01"),
        (Period.MONTH, "2023-12-31T23:59:59+07:00", "2024-02-01"),
        (Period.MONTH, "2023-12-31T17:00:00+00:00", "2024-03-01"),
        (Period.QUARTER, "2023-03-31T23:59:59+07:00", "2023-07-01"),
        (Period.QUARTER, "2023-04-01T00:00:00+07:00", "2023-10-01"),
        (Period.QUARTER, "2023-07-01T00:00:00+07:00", "2024-01-01"),
        (Period.QUARTER, "2023-12-31T23:59:59+07:00", "2024-04-01"),
        (Period.HALF_YEAR, "2023-06-30T23:59:59+07:00", "2024-01-01"),
        (Period.HALF_YEAR, "2023-07-01T00:00:00+07:00", "2024-07-01"),
        (Period.HALF_YEAR, "2023-12-31T23:59:59+07:00", "2024-07-01"),
        (Period.YEAR, "2023-01-01T00:00:00+07:00", "2025-01-01"),
        (Period.YEAR, "2023-12-31T23:59:59+07:00", "2025-01-01"),
        (Period.YEAR, "2023-12-31T17:00:00+00:00", "2026-01-01"),
    ],
)
def test_fresh_until_the_deadline_of_the_period_after_the_one_observed(period: Period, observed_at: str, fresh_to: str) -> None:
    assert fresh_until(period, 0, instant(observed_at)) == instant(fresh_to)
    assert fresh_until(period, 20, instant(observed_at)) == instant(fresh_to) + timedelta(days=20)


def test_a_report_is_due_its_days_after_the_end_of_its_own_period() -> None:
    assert deadline(Period.MONTH, 0, instant("2023-06-30")) == instant("2023-07-01")
    assert deadline(Period.MONTH, 20, instant("2023-06-30")) == instant("2023-07-21")
    assert deadline(Period.QUARTER, 20, instant("2023-12-31")) == instant("2024-01-21")


def test_the_day_after_a_leap_day_begins_the_next_period() -> None:
    assert period_end(Period.MONTH, instant("2024-02-29T23:59:59")) == instant("2024-03-01")


@pytest.mark.parametrize(
    ("period", "moment", "after"),
    [
        (Period.MONTH, "2023-06-30T09:30:00", "2023-07-30T09:30:00"),
        (Period.MONTH, "2023-01-31", "2023-02-28"),
        (Period.MONTH, "2024-01-31", "2024-02-29"),
        (Period.MONTH, "2023-12-31", "2024-01-31"),
        (Period.MONTH, "2023-06-30T17:00:00+00:00", "2023-08-01"),
        (Period.QUARTER, "2023-11-30", "2024-02-29"),
        (Period.HALF_YEAR, "2023-08-31", "2024-02-29"),
        (Period.YEAR, "2024-02-29", "2025-02-28"),
    ],
)
def test_one_period_after_is_the_same_day_and_hour_or_the_last_of_a_shorter_month(period: Period, moment: str, after: str) -> None:
    assert one_after(period, instant(moment)) == instant(after)


def test_moments_are_given_in_vietnamese_time() -> None:
    assert fresh_until(Period.MONTH, 20, instant("2023-06-30T00:00:00+00:00")).isoformat() == "2023-08-21T00:00:00+07:00"


@pytest.mark.parametrize("period", Period)
def test_the_end_of_a_period_lies_in_the_next_one(period: Period) -> None:
    end = period_end(period, instant("2023-06-30"))
    assert period_end(period, end - timedelta(microseconds=1)) == end
    assert period_end(period, end) == period_end(period, instant("2023-06-30"), after=1) > end


def test_every_period_of_the_catalogue_has_a_length() -> None:
    lengths = [period_end(period, instant("2023-01-01"), after=1) - period_end(period, instant("2023-01-01")) for period in Period]
    assert lengths == sorted(lengths)
    assert isinstance(period_end(Period.YEAR, instant("2023-01-01")), datetime)
