"""`phusong replay`: the province table at a moment, two ways: as it was known then, and as it is now known to have been then.

Comes in: the source topics to their present ends, today's rules, and a moment. Goes out: `Replay`, and its table in Vietnamese or English.
Owns two states of every province, in memory. Records that today's rules reject count in neither.

The two questions differ by what came later: a correction, or a late report, of something observed before the moment counts in the second
alone. With a scenario clock a record came at the moment that the clock showed when Kafka took it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from confluent_kafka import Message
from msgspec import Struct
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from feed.reading import Reading, Tell, admitted
from feed.text import Lang, number, percent, say
from ops import asked
from ops.table import VERDICTS
from phusong.admission import Admission
from phusong.periods import VIETNAM
from phusong.province import Province
from phusong.rows import CommuneRow, ProvinceRow, State
from phusong.rules import Rules
from phusong.settings import Settings
from phusong.topics import SOURCES

_DOMAIN_OF = {topic.name: domain for domain, topic in SOURCES.items()}
_NAMED = 10


class Known(Struct, frozen=True, kw_only=True):
    """The table by one way of asking: how many events it rests on, and its rows."""

    events: int
    provinces: list[ProvinceRow]


class Changed(Struct, frozen=True, kw_only=True):
    """A commune that what came later shows otherwise: its two rows."""

    then: CommuneRow
    now: CommuneRow


class Replay(Struct, frozen=True, kw_only=True):
    """The table at `as_of` by the list of communes that was in force, twice, by today's rules."""

    as_of: datetime
    rules: int
    vintage: str
    as_known_then: Known
    """What was known then: events that Kafka had taken by `as_of`."""
    as_known_now: Known
    """What is now known to have been then: every event, but those observed after `as_of`."""
    first_arrival: datetime | None
    """When the first event came; None: none did."""
    changed: list[Changed]


def replay(settings: Settings, rules: Rules, as_of: datetime, tell: Tell) -> Replay:
    """Read the log once into both. Raises SettingsError where no list was in force, ReadingError when Kafka cannot be read."""
    vintage = asked.vintage_at(rules.register, as_of).id
    with Reading(settings.kafka(), list(_DOMAIN_OF)) as sources:
        both = _Both(settings, rules, as_of)
        sources.read(both.take, tell)
    then, then_communes = _rows(both.then, as_of, vintage)
    now, now_communes = _rows(both.now, as_of, vintage)
    return Replay(
        as_of=as_of,
        rules=rules.number,
        vintage=vintage,
        as_known_then=Known(events=both.arrived, provinces=then),
        as_known_now=Known(events=both.observed, provinces=now),
        first_arrival=both.first,
        changed=[
            Changed(then=then_communes[key], now=now_communes[key])
            for key in sorted(now_communes)
            if then_communes[key] != now_communes[key]
        ],
    )


class _Both:
    """Two states of every province, filled from one reading."""

    def __init__(self, settings: Settings, rules: Rules, as_of: datetime) -> None:
        self.then = {code: Province(rules, code) for code in rules.register.homes}
        self.now = {code: Province(rules, code) for code in rules.register.homes}
        self.arrived = self.observed = 0
        self.first: datetime | None = None
        self._settings, self._as_of = settings, as_of
        self._admission = Admission(rules)
        self._came: tuple[int, bool] = (-1, False)

    def take(self, topic: str, _partition: int, run: list[Message]) -> None:
        domain = _DOMAIN_OF[topic]
        for message in run:
            found = admitted(self._admission, message, domain)
            if found is None:
                continue
            event, route = found
            if self._had_come(message.timestamp()[1]):
                self.arrived += 1
                self.then[route.province].apply(route.cell, route.slot, event)
            if event.data.observed_at <= self._as_of:
                self.observed += 1
                self.now[route.province].apply(route.cell, route.slot, event)

    def _had_come(self, timestamp_ms: int) -> bool:
        # a whole batch has one timestamp
        if timestamp_ms != self._came[0]:
            came = self._settings.as_of(datetime.fromtimestamp(timestamp_ms / 1000, UTC))
            self.first = came if self.first is None else min(came, self.first)
            self._came = (timestamp_ms, came <= self._as_of)
        return self._came[1]


def _rows(provinces: dict[str, Province], as_of: datetime, vintage: str) -> tuple[list[ProvinceRow], dict[str, CommuneRow]]:
    rows = [row for province in provinces.values() for row in province.rows(as_of) if row.vintage == vintage]
    communes = {row.key: row for row in rows if isinstance(row, CommuneRow)}
    return sorted((row for row in rows if isinstance(row, ProvinceRow)), key=lambda row: row.key), communes


def show(console: Console, found: Replay, lang: Lang) -> None:
    """Print both tables side by side, what each answers, and the communes that make the difference."""
    at = f"{found.as_of.astimezone(VIETNAM):{say(lang, '%d/%m/%Y %H:%M', '%Y-%m-%d %H:%M')}}"
    for line in _questions(found, at, lang):
        console.print(line)
    pairs = list(zip(found.as_known_then.provinces, found.as_known_now.provinces, strict=True))
    for code in sorted({row.province for row, _ in pairs}):
        mine = [pair for pair in pairs if pair[0].province == code]
        if all(row.units[State.UNKNOWN] == sum(row.units.values()) for pair in mine for row in pair):
            name = escape(mine[0][0].province_name)
            console.print(say(lang, f"{name} ({code}): chưa có báo cáo nào", f"{name} ({code}): no reports"))
            continue
        title = f"{escape(mine[0][0].province_name)} ({code}) · {say(lang, 'danh mục', 'list')} {found.vintage} · {at}"
        table = Table(title=title, title_justify="left")
        table.add_column(say(lang, "Nội dung", "Indicator"), overflow="fold")
        for heading in (say(lang, "(1) biết lúc đó", "(1) as known then"), say(lang, "(2) nay biết về lúc đó", "(2) as known now")):
            table.add_column(heading, justify="right")
            table.add_column(say(lang, "Kết luận", "Verdict"))
        for then, now in mine:
            differs = "[yellow]≠[/] " if then != now else ""
            table.add_row(f"{differs}{escape(then.indicator)}", *_figures(then, lang), *_figures(now, lang))
        console.print(table)
    _show_changed(console, found, lang)


def _questions(found: Replay, at: str, lang: Lang) -> Iterator[str]:
    then, now = (number(known.events, lang) for known in (found.as_known_then, found.as_known_now))
    yield say(
        lang,
        f"(1) Lúc {at} ta đã biết gì? {then} bản tin Kafka đã nhận đến lúc đó.",
        f"(1) What was known at {at}? {then} events that Kafka had taken by then.",
    )
    yield say(
        lang,
        f"(2) Nay ta biết lúc {at} tình hình ra sao? {now} bản tin quan sát đến lúc đó, kể cả bản tin đến sau và bản đính chính.",
        f"(2) What is now known of {at}? {now} events observed by then, late ones and corrections included.",
    )
    yield say(lang, f"    Cả hai theo quy tắc hôm nay (số {found.rules}).", f"    Both by today's rules (number {found.rules}).")
    if found.first_arrival is not None and not found.as_known_then.events:
        first = f"{found.first_arrival.astimezone(VIETNAM):{say(lang, '%d/%m/%Y %H:%M', '%Y-%m-%d %H:%M')}}"
        yield say(
            lang,
            f"    Lúc đó chưa có bản tin nào: bản tin đầu tiên đến {first}.",
            f"    Nothing had come by then: the first event came {first}.",
        )


def _figures(row: ProvinceRow, lang: Lang) -> tuple[str, str]:
    ratio, low, high = (percent(share, lang, row.target) for share in (row.ratio, row.low, row.high))
    return f"{ratio} ({low} – {high})", say(lang, VERDICTS[row.verdict], row.verdict.replace("_", " "))


def _show_changed(console: Console, found: Replay, lang: Lang) -> None:
    indicators = sorted({one.now.indicator for one in found.changed})
    for indicator in indicators:
        mine = [one for one in found.changed if one.now.indicator == indicator]
        console.print(
            say(lang, f"Khác nhau, {indicator}: {number(len(mine), lang)} xã", f"Differ, {indicator}: {number(len(mine), lang)} communes")
        )
        for one in mine[:_NAMED]:
            then, now = (_said(row, lang) for row in (one.then, one.now))
            console.print(f"  • {escape(one.now.name)} ({one.now.commune}): {then} → {now}")
        if len(mine) > _NAMED:
            console.print(f"  … +{number(len(mine) - _NAMED, lang)} (--json)")


def _said(row: CommuneRow, lang: Lang) -> str:
    if row.covered is None or row.expected is None:
        return say(lang, "chưa báo cáo", "unknown")
    return f"{number(row.covered, lang)} / {number(row.expected, lang)}"
