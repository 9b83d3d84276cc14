"""Shared Hypothesis strategies: events of the default world, drawn from pools so small that they tie, correct and withdraw one another.

A new field of an event joins the strategies here, or no property speaks of it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from phusong.admission import Admission, Route
from phusong.events import MAX_COUNT, Event, Method, Origin, Stated, Statement, Withdrawal, Withdrawn
from phusong.rules import Rules
from tests.worlds import COMMUNES, MOBILE, POINTS, POSTAL, SPEAKER, instant

Routed = tuple[Event, Route]

OFFSETS = (UTC, timezone(timedelta(hours=7)), timezone(timedelta(hours=-5, minutes=-30)))
SPEAKERS = (
    ("post-office", None),
    ("department", "post-office"),
    ("inspector", "post-office"),
    ("operator-a", None),
    ("operator-b", None),
    ("department", "operator-b"),
    ("department", None),
    ("inspector", "department"),
)
"""Sources of the default world, with whom they speak for; any of them may state what no obligation asks of it (the inspector only that)."""
INDICATORS = (POSTAL, MOBILE, POINTS, SPEAKER)
PLACES = ("Bản Bung", "thôn Bản Bung", "Nà Tạng", "Tát Kẻ")

_DAYS = st.integers(min_value=0, max_value=12).map(lambda n: instant("2023-03-31") + timedelta(days=30 * n))


def same_instant_elsewhere(moments: SearchStrategy[datetime]) -> SearchStrategy[datetime]:
    """The moments, written with one offset or another."""
    return st.builds(datetime.astimezone, moments, st.sampled_from(OFFSETS))


def moments(first: str = "2023-01-01", last: str = "2025-06-01") -> SearchStrategy[datetime]:
    """Moments at the edges of Vietnamese months and a microsecond before them, or anywhere between."""
    start, end = instant(first), instant(last)
    months = [datetime(year, month, 1, tzinfo=start.tzinfo) for year in range(start.year, end.year + 1) for month in range(1, 13)]
    days = st.sampled_from([timedelta(0), timedelta(days=20), timedelta(days=15), timedelta(days=55)])
    edges = st.builds(
        lambda month, after, before: month + after - before,
        st.sampled_from([month for month in months if start < month < end]),
        days,
        st.sampled_from([timedelta(0), timedelta(microseconds=1)]),
    )
    anywhere = st.integers(0, int((end - start).total_seconds())).map(lambda seconds: start + timedelta(seconds=seconds))
    return st.one_of(edges, anywhere)


@st.composite
def events(draw: st.DrawFn, communes: Sequence[str] = COMMUNES["08"], indicators: Sequence[str] = INDICATORS) -> Event:
    """An event that the default world admits: all methods, origins and speakers, partial and temporary ones, withdrawals."""
    source, operator = draw(st.sampled_from(SPEAKERS))
    method = draw(st.sampled_from([Method.DECLARED, Method.DECLARED, *Method]))
    observed_at = draw(same_instant_elsewhere(_DAYS))
    slot: dict[str, Any] = {
        "commune": draw(st.sampled_from(communes)),
        "indicator": draw(st.sampled_from(indicators)),
        "observed_at": observed_at,
        "method": method,
        "origin": draw(st.sampled_from(Origin)),
        "operator": operator,
        "vintage": draw(st.sampled_from([None, "2020-01-01"])),
        "measured": draw(st.none() | st.lists(st.sampled_from(PLACES), min_size=1, max_size=3).map(tuple))
        if method is Method.MEASURED
        else None,
        "until": draw(st.sampled_from([None, None, None, observed_at + timedelta(days=3)])),
    }
    envelope: dict[str, Any] = {
        "specversion": "1.0",
        "id": draw(st.sampled_from("abc")),
        "source": source,
        "time": draw(same_instant_elsewhere(st.sampled_from([instant("2023-05-01"), instant("2023-05-02")]))),
    }
    if draw(st.integers(0, 4)) == 0:
        return Withdrawn(**envelope, data=Withdrawal(**slot))
    expected = draw(st.integers(0, 3))
    covered = draw(st.integers(0, expected))
    uncovered = draw(st.none() | st.just(PLACES[: expected - covered]))
    return Stated(**envelope, data=Statement(**slot, covered=covered, expected=expected, uncovered=uncovered))


def routed(rules: Rules, communes: Sequence[str] = COMMUNES["08"], indicators: Sequence[str] = INDICATORS) -> SearchStrategy[Routed]:
    """Events with where they belong."""
    route = Admission(rules).route
    return events(communes, indicators).map(lambda event: (event, route(event)))


_text = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).map(lambda text: unicodedata.normalize("NFC", text))
_any_moment = same_instant_elsewhere(
    st.datetimes(datetime(1900, 1, 1), datetime(2999, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - bounds, in that time zone
)


def any_events() -> SearchStrategy[Event]:
    """Whatever the contract can say, admitted or not; its text in NFC, as every event that was decoded."""
    slot: dict[str, Any] = {
        "commune": _text.map(lambda text: text[:5]),
        "indicator": _text,
        "observed_at": _any_moment,
        "method": st.sampled_from(Method),
        "origin": st.sampled_from(Origin),
        "operator": st.none() | _text,
        "vintage": st.none() | _text,
        "measured": st.none() | st.lists(_text, max_size=3).map(tuple),
        "until": st.none() | _any_moment,
    }
    counts = {
        "covered": st.integers(-5, 2 * MAX_COUNT),
        "expected": st.integers(-5, 2 * MAX_COUNT),
        "uncovered": st.none() | st.lists(_text, max_size=3).map(tuple),
    }
    envelope = {"specversion": st.just("1.0"), "id": _text, "source": _text, "time": _any_moment}
    return st.one_of(
        st.builds(Stated, **envelope, data=st.builds(Statement, **slot, **counts)),
        st.builds(Withdrawn, **envelope, data=st.builds(Withdrawal, **slot)),
    )


def field_names(struct: type[msgspec.Struct]) -> set[str]:
    """The names of a struct's fields."""
    return {field.name for field in msgspec.structs.fields(struct)}
