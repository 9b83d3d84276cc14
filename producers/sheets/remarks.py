"""What is taken as it stands but will not count as it was typed: told to whoever sends it, rejected for nothing.

Comes in: events that the rules admit. Goes out: notes. Owns which duties were looked up already, bounded. Follow-ups get none.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from phusong.events import Event, Fact, Stated
from phusong.indicators import Indicator
from phusong.places import place_key
from phusong.register import Unit
from phusong.rules import Rules
from producers.sheets.cells import Note, Text

_KEPT_MAX = 100_000


def no_duty(operator: str, indicator: str, province: str) -> Text:
    """That what an operator states is kept and counts for nothing, since nobody owes a report on it."""
    return Text(
        f"{operator} không có nghĩa vụ báo cáo {indicator} ở tỉnh {province}: số liệu được giữ nhưng không tính",
        f"no report on {indicator} in province {province} is owed for {operator}: the figures are kept, but not counted",
    )


class Remarks:
    """The remarks on the events of one file; the lack of a duty is told once for each (source, operator, indicator, province)."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._owed: dict[tuple[str, str, str, str, datetime], bool] = {}
        self._told: set[tuple[str, str, str, str]] = set()

    def on(self, event: Event) -> Iterator[Note]:
        """The remarks on an event that was admitted."""
        if not isinstance(event, Fact):
            return
        register, data = self._rules.register, event.data
        listed = data.vintage
        if listed is None:
            vintage = register.vintage_at(data.observed_at)
            listed = "" if vintage is None else vintage.id
        unit = register.units.get((listed, data.commune))
        indicator = self._rules.catalogue.indicators.get(data.indicator)
        if unit is None or indicator is None:
            return
        yield from self._on_duty(event, unit)
        if isinstance(event, Stated) and event.data.measured is None:
            yield from _on_names(event, indicator)
            yield from self._on_count(event, indicator, unit)

    def _on_duty(self, event: Fact, unit: Unit) -> Iterator[Note]:
        data = event.data
        operator = data.operator or event.source
        key = (operator, data.indicator, unit.vintage, unit.code, data.observed_at)
        owed = self._owed.get(key)
        if owed is None:
            every = self._rules.catalogue.obliged(data.indicator, unit.province, unit.code)
            owed = any(one.operator == operator and one.holds(data.observed_at) for one in every)
            if len(self._owed) >= _KEPT_MAX:
                self._owed.clear()
            self._owed[key] = owed
        subject = (event.source, operator, data.indicator, unit.province)
        if not owed and subject not in self._told:
            self._told.add(subject)
            # a kind of its own: each is told
            yield Note(f"no duty {'/'.join(subject)}", no_duty(operator, data.indicator, unit.province))

    def _on_count(self, event: Stated, indicator: Indicator, unit: Unit) -> Iterator[Note]:
        known = self._rules.register.counts.get(unit.id, {}).get(indicator.base)
        if known is not None and known.status != "assumed" and known.value != event.data.expected:
            text = Text(
                f"{unit.code}: tổng số {event.data.expected}, danh mục có {known.value}",
                f"{unit.code}: {event.data.expected} in all, where the register has {known.value}",
            )
            yield Note("register", text)


def _on_names(event: Stated, indicator: Indicator) -> Iterator[Note]:
    data = event.data
    if data.uncovered is None or not indicator.counts_places:
        return
    gap = data.expected - data.covered
    named = len({place_key(name) for name in data.uncovered})
    # fewer names than the gap are a part of them; none at all contradict it
    if named > gap or (named == 0 < gap):
        text = Text(
            f"{data.commune}: nêu {named} nơi chưa phủ nhưng {data.expected} − {data.covered} = {gap}",
            f"{data.commune}: names {named} uncovered places, but {data.expected} − {data.covered} = {gap}",
        )
        yield Note("names", text)
