"""What a record must satisfy to count, and what a bad one gets.

Comes in: one record (value, headers, key, topic's domain, partition, Kafka timestamp). Goes out: the event and its `Route` (which cell and
which slots it belongs to). Owns only a bounded cache of routes already worked out. Bad input raises `Rejected`: one reason of the closed
set and a sentence with the remedy. Whoever sends asks `outgoing` first, so that writer and reader never disagree.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, TypeVar

from msgspec import Struct

from phusong.events import (
    ANSWERS,
    MAX_COUNT,
    Challenge,
    Challenged,
    Event,
    Fact,
    FollowUp,
    Method,
    Promise,
    Promised,
    Reason,
    Rejected,
    Stated,
    decode,
    encode,
)
from phusong.evidence import Cell, Slot
from phusong.indicators import Indicator
from phusong.periods import one_after
from phusong.places import place_key
from phusong.register import Unit, Vintage
from phusong.rules import Rules
from phusong.topics import PARTITIONS, share_of

T = TypeVar("T")

FUTURE_TOLERANCE = timedelta(days=1)
"""How far past the record's Kafka timestamp `observed_at` or `time` may lie before it is rejected."""
_MAX_ROUTES = 200_000


class Route(Struct, frozen=True, gc=False):
    """Where an event belongs: its home province and share, its cell, and its slot there (a partial measurement has one for each place)."""

    province: str
    key: bytes
    share: int
    cell: Cell
    slot: Slot
    domain: str
    start: datetime
    end: datetime | None


class Admission:
    """Decides for every record whether it counts, by the same rules wherever it is asked."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._routes: dict[tuple[object, ...], Route] = {}
        self._shared: dict[Any, Any] = {}
        self._latest_ms = -1
        self._latest = datetime.min.replace(tzinfo=UTC)

    def record(
        self,
        value: bytes | None,
        headers: list[tuple[str, bytes | None]] | None,
        key: bytes | None,
        domain: str,
        partition: int,
        timestamp_ms: int,
    ) -> tuple[Event, Route]:
        """One record of a source topic. `timestamp_ms` is the record's Kafka timestamp. Raises Rejected."""
        event = decode(value, headers)
        return event, self.event(event, key, domain, partition, timestamp_ms)

    def event(self, event: Event, key: bytes | None, domain: str, partition: int, timestamp_ms: int) -> Route:
        """A decoded event of a source topic: `route`, and that it travelled as it should. Raises Rejected."""
        offset = event.time.tzinfo
        if timestamp_ms != self._latest_ms or offset is not self._latest.tzinfo:
            self._latest_ms = timestamp_ms
            self._latest = _at(datetime.fromtimestamp(timestamp_ms / 1000, UTC) + FUTURE_TOLERANCE, offset)
        route = self.route(event)
        if route.key != key or route.share != partition or route.domain != domain:
            raise _travelled_wrongly(route, key, domain, partition)
        if event.data.observed_at > self._latest or event.time > self._latest:
            raise Rejected(
                Reason.OBSERVED_IN_FUTURE,
                f"observed_at {event.data.observed_at} or time {event.time} lies more than a day past the moment Kafka takes the record; "
                "mend the date and send it again",
            )
        return route

    def outgoing(self, event: Event, timestamp_ms: int) -> tuple[bytes, Route]:
        """The record's value of an event about to be sent, checked as the reader will, and where it goes.

        `timestamp_ms`: the wall clock, in the place of the moment at which Kafka will take the record. Raises Rejected.
        """
        value = encode(event)
        checked = decode(value)
        route = self.route(checked)
        self.event(checked, route.key, route.domain, route.share, timestamp_ms)
        return value, route

    def route(self, event: Event) -> Route:
        """Where an event belongs. Raises Rejected where the register, the catalogue or the counts say no."""
        if isinstance(event, Promised | Challenged):
            # few, and each in a slot of its own: not worth remembering
            _check_follow_up(event)
            return self._work_out(event)
        data = event.data
        name = (
            data.commune,
            data.indicator,
            event.source,
            data.operator,
            data.vintage,
            data.method,
            data.until is None,
        )
        route = self._routes.get(name)
        # a cached route without a named vintage is right only while that vintage is in force
        if route is None or data.observed_at < route.start or (route.end is not None and data.observed_at >= route.end):
            route = self._work_out(event)
            if len(self._routes) >= _MAX_ROUTES:
                self._routes.clear()
                self._shared.clear()
            self._routes[tuple(map(self._one, name))] = route
        if type(event) is Stated:
            stated = event.data
            if not 0 <= stated.covered <= stated.expected <= MAX_COUNT:
                raise Rejected(
                    Reason.COUNTS_OUT_OF_RANGE,
                    f"covered {stated.covered} of expected {stated.expected}; needs 0 ≤ covered ≤ expected ≤ {MAX_COUNT}",
                )
        if data.measured is not None or data.until is not None:
            self._check_extent(event)
        return route

    def _work_out(self, event: Event) -> Route:
        vintage, unit = self._unit(event)
        indicator = self._indicator(event)
        operator = self._operator(event)
        home = self.rules.register.home(unit)
        key = home.encode()
        offset = event.data.observed_at.tzinfo
        return Route(
            province=home,
            key=key,
            share=share_of(key, PARTITIONS),
            cell=self._one((vintage.id, unit.code, indicator.id)),
            # the name of a challenge is anybody's: only slots of facts are few enough to be kept
            slot=self._one(_slot(event, operator)) if isinstance(event, Fact) else _slot(event, operator),
            domain=indicator.domain,
            start=_at(vintage.start, offset),
            end=vintage.end and _at(vintage.end, offset),
        )

    def _one(self, value: T) -> T:
        # one object for all that are equal: what thousands of routes have in common stays in the processor's cache
        one: T = self._shared.setdefault(value, value)
        return one

    def _unit(self, event: Event) -> tuple[Vintage, Unit]:
        register, data = self.rules.register, event.data
        if data.vintage is None:
            vintage = register.vintage_at(data.observed_at)
            if vintage is None:
                raise Rejected(
                    Reason.OUTSIDE_VINTAGE,
                    f"no list of communes was in force at {data.observed_at}; the first is {next(iter(register.vintages))}",
                )
        else:
            named = register.vintages.get(data.vintage)
            if named is None:
                raise Rejected(
                    Reason.UNKNOWN_VINTAGE,
                    f"vintage {data.vintage!r} is not in the register; one of: {', '.join(register.vintages)}",
                )
            vintage = named
            if not vintage.holds(data.observed_at):
                raise Rejected(
                    Reason.OUTSIDE_VINTAGE,
                    f"vintage {vintage.id} was not in force at {data.observed_at}; leave vintage out or mend the date",
                )
        unit = register.units.get((vintage.id, data.commune))
        if unit is None:
            padded = data.commune.strip().zfill(5)
            hint = f"; did you mean {padded!r}?" if (vintage.id, padded) in register.units else ""
            raise Rejected(Reason.UNKNOWN_COMMUNE, f"commune {data.commune!r} is not in the register of {vintage.id}{hint}")
        return vintage, unit

    def _indicator(self, event: Event) -> Indicator:
        indicator = self.rules.catalogue.indicators.get(event.data.indicator)
        if indicator is None:
            raise Rejected(
                Reason.UNKNOWN_INDICATOR,
                f"indicator {event.data.indicator!r} is not in the catalogue; add a row to indicators.csv or mend its name",
            )
        return indicator

    def _operator(self, event: Event) -> str:
        reporter = self.rules.catalogue.reporters.get(event.source)
        if reporter is None:
            raise Rejected(
                Reason.UNKNOWN_REPORTER,
                f"source {event.source!r} has no row in reporters.csv; add one or mend the name",
            )
        operator = event.data.operator or event.source
        if operator not in reporter.operators:
            raise Rejected(
                Reason.UNKNOWN_OPERATOR,
                f"{event.source} may not speak for operator {operator!r}; its row in reporters.csv lists whom it may",
            )
        return operator

    def _check_extent(self, event: Fact) -> None:
        data = event.data
        if data.measured is not None and (data.method is not Method.MEASURED or not data.measured):
            raise Rejected(
                Reason.SCHEMA,
                "`measured` names the places that a measurement visited: only with method measured, never empty",
            )
        if data.measured is not None and not all(map(place_key, data.measured)):
            raise Rejected(Reason.SCHEMA, "`measured` holds a name without a letter; write the village's name")
        if data.until is not None:
            period = self.rules.catalogue.indicators[data.indicator].period
            try:
                longest = one_after(period, data.observed_at)
            except (OverflowError, ValueError):  # the calendar ends with the year 9999
                raise Rejected(Reason.SCHEMA, f"`until` {data.until} lies beyond the calendar; mend the dates") from None
            if not data.observed_at < data.until <= longest:
                raise Rejected(
                    Reason.SCHEMA,
                    f"`until` {data.until} must lie after observed_at and at most one {period} later; state a lasting value instead",
                )


def _slot(event: Event, operator: str) -> Slot:
    match event:
        case Promised():
            return (operator, event.source, "promised", False, "")
        case Challenged():
            return (operator, event.source, event.data.step.value, False, event.data.challenge)
    return (operator, event.source, event.data.method.value, event.data.until is not None, "")


def _check_follow_up(event: FollowUp) -> None:
    data = event.data
    if data.places is not None and not (data.places and all(map(place_key, data.places))):
        raise Rejected(Reason.SCHEMA, "`places` is empty or holds a name without a letter; leave it out for the whole commune")
    ahead = data.by if isinstance(data, Promise) else data.deadline
    if ahead is not None and not data.observed_at < ahead:
        field = "by" if isinstance(data, Promise) else "deadline"
        raise Rejected(Reason.SCHEMA, f"`{field}` {ahead} must lie after observed_at {data.observed_at}; mend the dates")
    if isinstance(data, Challenge) and data.step not in ANSWERS and event.source == (data.operator or event.source):
        raise Rejected(
            Reason.UNKNOWN_OPERATOR,
            f"{event.source} may concede or dispute a challenge to its own service, but somebody else has it {data.step}; "
            "name the operator that is challenged, or leave this step to whoever challenges it",
        )


def _at(moment: datetime, offset: tzinfo | None) -> datetime:
    # the same moment: two of one offset are compared ten times faster than two of different ones
    try:
        return moment.astimezone(offset)
    except OverflowError:  # the first or the last day of the calendar
        return moment


def _travelled_wrongly(route: Route, key: bytes | None, domain: str, partition: int) -> Rejected:
    if route.domain != domain:
        return Rejected(
            Reason.WRONG_TOPIC,
            f"an event of {route.domain} came in the {domain} topic; send it to coverage.{route.domain}.v1",
        )
    if route.key != key:
        shown = "none" if key is None else repr(key[:40])
        return Rejected(
            Reason.KEY_MISMATCH,
            f"the key is {shown}; use the home province's code {route.province!r} as the record key",
        )
    return Rejected(
        Reason.WRONG_PARTITION,
        f"partition {partition}, but key {route.province!r} belongs in {route.share}; use the murmur2 partitioner "
        "(librdkafka: partitioner=murmur2_random; Java: the default)",
    )
