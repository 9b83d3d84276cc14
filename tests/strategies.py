"""Shared Hypothesis strategies: events of any rules, drawn from pools so small that they tie, correct and withdraw one another.

A new field of an event joins the strategies here, or no property speaks of it.
"""

from __future__ import annotations

import operator
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from typing import Any, TypeVar

import msgspec
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from phusong.admission import Admission, Route
from phusong.events import (
    ANSWERS,
    MAX_COUNT,
    Challenge,
    Challenged,
    Event,
    Fact,
    FollowUp,
    Method,
    Origin,
    Promise,
    Promised,
    Stated,
    Statement,
    Step,
    Withdrawal,
    Withdrawn,
)
from phusong.register import Unit
from phusong.rules import Rules
from tests.models import DESCENTS
from tests.worlds import instant, world

T = TypeVar("T")
Routed = tuple[Event, Route]

OFFSETS = (UTC, timezone(timedelta(hours=7)), timezone(timedelta(hours=-5, minutes=-30)))
SPELLINGS = (
    "Bản Bung",
    "thôn Bản Bung",
    "BẢN BUNG",
    "Ban Bung",
    "Bản Bunk",
    "Nà Tạng",
    "Na Tang",
    "Tát Kẻ",
    "Khuổi  Phìn",
    "Bản Lãm",
)
"""Names of five villages as people write them: with and without the kind of village, the accents, the right letters."""

DAYS = tuple(instant("2023-03-31") + timedelta(days=30 * n) for n in range(19))
"""When what is stated was observed."""


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


@cache
def _speakers(rules: Rules, indicator: str, province: str) -> tuple[tuple[str, str | None], ...]:
    """Sources, and whom they speak for: each that owes it three times, and once each that may speak for one of those or for itself."""
    obliged = [(one.reporter, one.operator) for one in rules.catalogue.obligations_of(indicator, province)]
    operators = {operator for _, operator in obliged}
    others = [(one.id, about) for one in rules.catalogue.reporters.values() for about in sorted({*operators, one.id} & one.operators)]
    return tuple((source, None if source == operator else operator) for source, operator in (*obliged, *obliged, *obliged, *others))


@cache
def _places_of(rules: Rules, vintage: str, home: str, communes: Sequence[str] | None) -> tuple[Unit, ...]:
    return tuple(one for one in rules.register.of(vintage, home) if communes is None or one.code in communes)


def moments_about(many: Sequence[Event]) -> SearchStrategy[datetime]:
    """Moments, often at the edges of what was observed and of temporary states."""
    edges = [edge for one in many for edge in (one.data.observed_at + timedelta(days=1), one.data.until) if edge]
    if not edges:
        return moments()
    return st.one_of(moments(), st.builds(operator.sub, st.sampled_from(edges), st.sampled_from([timedelta(0), timedelta(microseconds=1)])))


@st.composite
def events(
    draw: st.DrawFn,
    rules: Rules | None = None,
    *,
    home: str = "08",
    communes: tuple[str, ...] | None = None,
    indicators: Sequence[str] | None = None,
    days: Sequence[datetime] = DAYS,
) -> Fact:
    """A statement or withdrawal that these rules (None: the default world) admit.

    All methods, origins, speakers, partial and temporary ones. `communes`, `indicators`: about these alone; `days`: observed on one of
    them.
    """
    rules = rules or world()
    observed_at = draw(same_instant_elsewhere(st.sampled_from(days)))
    vintage = rules.register.vintage_at(observed_at)
    assert vintage is not None
    unit = draw(st.sampled_from(_places_of(rules, vintage.id, home, communes)))
    about = draw(st.sampled_from(indicators or tuple(rules.catalogue.indicators)))
    source, spoken_for = draw(st.sampled_from(_speakers(rules, about, unit.province)))
    method = draw(st.sampled_from([Method.DECLARED, Method.DECLARED, Method.DECLARED, *Method]))
    measured = None
    if method is Method.MEASURED:
        measured = draw(st.none() | st.lists(st.sampled_from(SPELLINGS), min_size=1, max_size=3, unique=True).map(tuple))
    slot: dict[str, Any] = {
        "commune": unit.code,
        "indicator": about,
        "observed_at": observed_at,
        "method": method,
        "origin": draw(st.sampled_from(Origin)),
        "operator": spoken_for,
        "vintage": draw(st.sampled_from([None, vintage.id])),
        "measured": measured,
        "until": draw(st.sampled_from([None, None, None, None, observed_at + timedelta(days=3), observed_at + timedelta(days=27)])),
    }
    envelope: dict[str, Any] = {
        "specversion": "1.0",
        "id": draw(st.sampled_from("abc")),
        "source": source,
        "time": draw(same_instant_elsewhere(st.sampled_from([instant("2023-05-01"), instant("2023-05-02")]))),
    }
    if draw(st.integers(0, 5)) == 0:
        return Withdrawn(**envelope, data=Withdrawal(**slot))
    count = rules.register.counts.get(unit.id, {}).get(rules.catalogue.indicators[about].base)
    expected = draw(st.integers(0, 5) if count is None else st.sampled_from([count.value, count.value, count.value, 0, 1, 4]))
    covered = draw(st.integers(0, expected))
    if measured is not None:
        uncovered = draw(st.sampled_from([(), measured, measured[:1]]))
    else:
        named = st.sampled_from(range(5)).map(lambda first: SPELLINGS[first : first + expected - covered])
        uncovered = draw(st.one_of(st.none(), named, named, st.lists(st.sampled_from(SPELLINGS), max_size=3).map(tuple)))
    return Stated(**envelope, data=Statement(**slot, covered=covered, expected=expected, uncovered=uncovered))


@st.composite
def follow_ups(
    draw: st.DrawFn, rules: Rules, *, communes: Sequence[str] | None = None, indicators: Sequence[str] | None = None
) -> FollowUp:
    """A promise or a step of a challenge that these rules admit, in home province 08; from pools so small that they meet."""
    observed_at = draw(same_instant_elsewhere(st.sampled_from(DAYS)))
    vintage = rules.register.vintage_at(observed_at)
    assert vintage is not None
    unit = draw(st.sampled_from(_places_of(rules, vintage.id, "08", None if communes is None else tuple(communes))))
    about = draw(st.sampled_from(indicators or tuple(rules.catalogue.indicators)))
    source, spoken_for = draw(st.sampled_from(_speakers(rules, about, unit.province)))
    later = same_instant_elsewhere(st.sampled_from([observed_at + timedelta(days=30), observed_at + timedelta(days=400)]))
    subject: dict[str, Any] = {
        "commune": unit.code,
        "indicator": about,
        "observed_at": observed_at,
        "origin": draw(st.sampled_from(Origin)),
        "operator": spoken_for,
        "vintage": draw(st.sampled_from([None, vintage.id])),
        "places": draw(st.none() | st.lists(st.sampled_from(SPELLINGS), min_size=1, max_size=3).map(tuple)),
        "note": draw(st.sampled_from(["", "2024"])),
    }
    envelope: dict[str, Any] = {
        "specversion": "1.0",
        "id": draw(st.sampled_from("abc")),
        "source": source,
        "time": draw(same_instant_elsewhere(st.sampled_from([instant("2023-05-01"), instant("2023-05-02")]))),
    }
    if draw(st.booleans()):
        return Promised(**envelope, data=Promise(**subject, by=draw(st.none() | later)))
    step = draw(st.sampled_from(sorted(ANSWERS) if spoken_for is None else list(Step)))
    said = draw(st.sampled_from(["", "department 1"]))
    more = {"challenge": draw(st.sampled_from("xy")), "step": step, "deadline": draw(st.none() | later), "statement": said}
    return Challenged(**envelope, data=Challenge(**subject, **more))


def several(one: SearchStrategy[T], max_size: int) -> SearchStrategy[list[T]]:
    """Lists of every length alike (Hypothesis's own are short, and few events seldom meet)."""
    return st.integers(0, max_size).flatmap(lambda size: st.lists(one, min_size=size, max_size=size))


@st.composite
def evidence(draw: st.DrawFn, /, rules: Rules, *, indicators: Sequence[str] | None = None, max_size: int = 12, **about: Any) -> list[Event]:
    """Events that meet: about one line of descent of the model, and one or two of these indicators with what they cannot exceed."""
    among = indicators or tuple(rules.catalogue.indicators)
    chosen = draw(st.lists(st.sampled_from(among), min_size=1, max_size=2, unique=True))
    bounds = [one for one in (rules.catalogue.indicators[name].at_most for name in chosen) if one]
    about = {"communes": draw(st.sampled_from(DESCENTS)), "indicators": (*chosen, *bounds), **about}
    return draw(several(events(rules, **about), max_size))


def spread(many: Sequence[Event]) -> list[Event]:
    """The same events, each said at a moment of its own, so that a correction of one is later than that one alone."""
    return [msgspec.structs.replace(one, time=instant("2024-10-01") + timedelta(minutes=n)) for n, one in enumerate(many)]


def of_one_size(rules: Rules, event: Event) -> Event:
    """The statement, about as many as the register counts in its unit (or four), so that nobody contradicts another's size."""
    if isinstance(event, Withdrawn):
        return event
    vintage = rules.register.vintage_at(event.data.observed_at)
    assert vintage is not None
    count = rules.register.counts.get((vintage.id, event.data.commune), {}).get(rules.catalogue.indicators[event.data.indicator].base)
    size = count.value if count else 4
    return msgspec.structs.replace(event, data=msgspec.structs.replace(event.data, expected=size, covered=min(event.data.covered, size)))


def routed(rules: Rules, **about: Any) -> SearchStrategy[Routed]:
    """Events with where they belong; `about`: as for `events`."""
    route = Admission(rules).route
    return events(rules, **about).map(lambda event: (event, route(event)))


_text = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).map(lambda text: unicodedata.normalize("NFC", text))
_any_moment = same_instant_elsewhere(
    st.datetimes(datetime(1900, 1, 1), datetime(2999, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - bounds, in that time zone
)


def any_events() -> SearchStrategy[Event]:
    """Whatever the contract can say, admitted or not; its text in NFC, as every event that was decoded."""
    subject: dict[str, Any] = {
        "commune": _text.map(lambda text: text[:5]),
        "indicator": _text,
        "observed_at": _any_moment,
        "origin": st.sampled_from(Origin),
        "operator": st.none() | _text,
        "vintage": st.none() | _text,
    }
    names = st.none() | st.lists(_text, max_size=3).map(tuple)
    slot: dict[str, Any] = {
        **subject,
        "method": st.sampled_from(Method),
        "measured": names,
        "until": st.none() | _any_moment,
    }
    counts = {
        "covered": st.integers(-5, 2 * MAX_COUNT),
        "expected": st.integers(-5, 2 * MAX_COUNT),
        "uncovered": names,
    }
    done: dict[str, Any] = {**subject, "places": names, "note": _text}
    dates = st.none() | _any_moment
    step = {"challenge": _text, "step": st.sampled_from(Step), "deadline": dates, "statement": _text}
    envelope = {"specversion": st.just("1.0"), "id": _text, "source": _text, "time": _any_moment}
    return st.one_of(
        st.builds(Stated, **envelope, data=st.builds(Statement, **slot, **counts)),
        st.builds(Withdrawn, **envelope, data=st.builds(Withdrawal, **slot)),
        st.builds(Promised, **envelope, data=st.builds(Promise, **done, by=dates)),
        st.builds(Challenged, **envelope, data=st.builds(Challenge, **done, **step)),
    )


def field_names(struct: type[msgspec.Struct]) -> set[str]:
    """The names of a struct's fields."""
    return {field.name for field in msgspec.structs.fields(struct)}
