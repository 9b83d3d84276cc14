"""The reporting calendar: periods, and when what was observed in one of them stops being fresh.

Comes in: a period's name and a moment. Goes out: moments. Owns no state. A naive datetime is a programming error and raises.
Periods are calendar months, quarters, half-years and years of Vietnam (UTC+7 all year, no summer time).
"""

from __future__ import annotations

from calendar import monthrange
from datetime import datetime, timedelta, timezone
from enum import StrEnum
from functools import lru_cache

VIETNAM = timezone(timedelta(hours=7))


class Period(StrEnum):
    """How often something is reported."""

    MONTH = "month"
    QUARTER = "quarter"
    HALF_YEAR = "half_year"
    YEAR = "year"


_MONTHS = {Period.MONTH: 1, Period.QUARTER: 3, Period.HALF_YEAR: 6, Period.YEAR: 12}


def index(period: Period, moment: datetime) -> int:
    """The number of the period that holds `moment`: one more for each that follows."""
    local = moment.astimezone(VIETNAM)
    return (local.year * 12 + (local.month - 1)) // _MONTHS[period]


def end_of(period: Period, number: int) -> datetime:
    """The end (exclusive) of the period with that number."""
    end = (number + 1) * _MONTHS[period]
    return datetime(end // 12, end % 12 + 1, 1, tzinfo=VIETNAM)


def period_end(period: Period, moment: datetime, after: int = 0) -> datetime:
    """The end (exclusive) of the period that holds `moment`, or of the `after`-th period after that one."""
    return end_of(period, index(period, moment) + after)


def one_after(period: Period, moment: datetime) -> datetime:
    """The same day and hour one period later; the last of the month where that month is shorter."""
    local = moment.astimezone(VIETNAM)
    index = local.year * 12 + (local.month - 1) + _MONTHS[period]
    year, month = index // 12, index % 12 + 1
    return local.replace(year=year, month=month, day=min(local.day, monthrange(year, month)[1]))


@lru_cache(4096)
def deadline(period: Period, days: int, moment: datetime) -> datetime:
    """When a report on the period that holds `moment` is overdue: `days` (deadline plus grace) after that period's end."""
    return period_end(period, moment) + timedelta(days=days)


@lru_cache(4096)
def fresh_until(period: Period, days: int, observed_at: datetime) -> datetime:
    """When what was observed then goes stale: the deadline of the period after the one observed."""
    return period_end(period, observed_at, after=1) + timedelta(days=days)
