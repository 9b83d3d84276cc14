"""The words of a chase, for the terminal, the sheet and the letter alike.

Comes in: `Chase`, its `Gap`s, the catalogue's names, a language. Goes out: headings and cells. Owns no state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from feed.text import Lang, day, number, say
from ops.chase import Chase, Gap
from ops.letters import printable
from ops.table import METHODS, ORIGINS, STEPS
from phusong.events import Origin, Step
from phusong.rules import Rules

Cell = str | int | datetime | None


class Column(NamedTuple):
    """A column of the list: its heading, its width in characters, and its cell of a gap (a moment stays one, for the sheet)."""

    heading: str
    width: int
    cell: Callable[[Gap], Cell]


def columns(rules: Rules, lang: Lang) -> list[Column]:
    """The columns of the list, in their order: one row is whole by itself, to be sorted and filtered in a sheet."""
    names = {one.id: say(lang, one.name_vi, one.name_en) for one in rules.catalogue.indicators.values()}
    reporters = {one.id: say(lang, one.name_vi, one.name_en) for one in rules.catalogue.reporters.values()}
    return [
        Column(say(lang, "Nội dung", "Indicator"), 34, lambda gap: names[gap.indicator]),
        Column(say(lang, "Mã xã", "Code"), 8, lambda gap: gap.commune),
        Column(say(lang, "Xã", "Commune"), 20, lambda gap: gap.name),
        Column(say(lang, "Huyện", "District"), 16, lambda gap: gap.district),
        Column(say(lang, "Thôn", "Village"), 22, lambda gap: village(gap, lang)),
        Column(say(lang, "Xã đã phủ", "Covered"), 12, lambda gap: f"{number(gap.covered, lang)} / {number(gap.expected, lang)}"),
        Column(say(lang, "Chưa phủ từ", "Since"), 12, lambda gap: gap.since),
        Column(say(lang, "Hứa lần đầu", "First promised for"), 12, lambda gap: gap.promised_first),
        Column(say(lang, "Nay hứa", "Promised for"), 12, lambda gap: _promised(gap, lang)),
        Column(say(lang, "Quá hạn (ngày)", "Days overdue"), 9, lambda gap: gap.days_overdue),
        Column(
            say(lang, "Ai kiến nghị, đo kiểm", "Who asked"),
            30,
            lambda gap: "; ".join(
                f"{reporters.get(one.source, one.source)}, {say(lang, METHODS[one.method], one.method.value)} {day(one.observed_at, lang)}"
                for one in gap.asked
            ),
        ),
        Column(say(lang, "Vụ việc", "Challenge"), 30, lambda gap: _disputed(gap, lang)),
        Column(say(lang, "Hạn xử lý", "Its deadline"), 12, _due),
        Column(
            say(lang, "Đơn vị khác đã phủ", "Covered by others"),
            20,
            lambda gap: ", ".join(reporters.get(one, one) for one in gap.covered_by),
        ),
        Column(say(lang, "Nguồn số liệu", "Origin"), 10, lambda gap: origin(gap.origin, lang)),
    ]


def printed(found: Chase, rules: Rules, lang: Lang) -> tuple[list[Column], list[tuple[str, list[Gap]]]]:
    """The list to be read on a page or a screen: its columns, and the gaps under the name of each indicator.

    Place and commune share a column each with what belongs to them, and a column in which nothing is said is left out.
    """
    every = {column.heading: column for column in columns(rules, lang)}
    first = (
        Column(say(lang, "Xã", "Commune"), 24, _where),
        Column(say(lang, "Thôn", "Village"), 16, lambda gap: village(gap, lang)),
    )
    left = list(every.values())[5:]
    named = {one.id: say(lang, one.name_vi, one.name_en) for one in rules.catalogue.indicators.values()}
    groups = [(named[indicator], list(gaps)) for indicator, gaps in groupby(found.gaps, key=lambda gap: gap.indicator)]
    return [*first, *(one for one in left if any(shown(one.cell(gap), lang) for gap in found.gaps))], groups


def _where(gap: Gap) -> str:
    return f"{gap.name} ({gap.commune})" + (f", {gap.district}" if gap.district else "")


def village(gap: Gap, lang: Lang) -> str:
    """The village, or what is said in its place."""
    if gap.village:
        return gap.village
    if gap.expected == 1 or not gap.covered:
        return say(lang, "cả xã", "the whole commune")
    if not gap.unnamed:
        return say(lang, "chưa nêu tên", "not named")
    return say(lang, f"{number(gap.unnamed, lang)} chưa nêu tên", f"{number(gap.unnamed, lang)} not named")


def origin(worst: Origin | None, lang: Lang) -> str:
    """ "giả định" or "assumed"; "" for none."""
    return "" if worst is None else say(lang, ORIGINS[worst], worst.value)


def shown(cell: Cell, lang: Lang) -> str:
    """A cell as text."""
    if isinstance(cell, datetime):
        return day(cell, lang)
    return "" if cell is None else printable(str(cell))


def operator_name(rules: Rules, name: str, lang: Lang) -> str:
    """What the operator is called in seeds/reporters.csv, or its id."""
    found = rules.catalogue.reporters.get(name)
    return name if found is None else say(lang, found.name_vi, found.name_en)


def summary(found: Chase, lang: Lang) -> str:
    """The figures of a list in one sentence."""
    figures = counts(found.gaps, lang)
    return say(
        lang,
        f"{figures[0]} nơi chưa phủ, {figures[1]} quá hạn cam kết, {figures[2]} chưa có cam kết, {figures[3]} đã có đơn vị khác phủ",
        f"{figures[0]} places uncovered, {figures[1]} past their promise, {figures[2]} not promised, {figures[3]} covered by others",
    )


def counts(gaps: Sequence[Gap], lang: Lang) -> tuple[str, str, str, str]:
    """How many places: all, past their promise, without one, covered by others; what has no name counts as many as there are."""

    def of(holds: Callable[[Gap], bool]) -> str:
        return number(sum(max(1, gap.unnamed) for gap in gaps if holds(gap)), lang)

    return (
        of(lambda _: True),
        of(lambda gap: gap.days_overdue is not None),
        of(lambda gap: gap.promised is None),
        of(lambda gap: bool(gap.covered_by)),
    )


def _promised(gap: Gap, lang: Lang) -> Cell:
    if gap.promised is None and gap.promised_first is not None:
        return say(lang, "đã rút", "taken back")
    return gap.promised


def _disputed(gap: Gap, lang: Lang) -> str:
    told = []
    for one in gap.disputes:
        late = say(lang, ", quá hạn", ", overdue") if one.overdue else ""
        told.append(f"{one.name}: {say(lang, STEPS[one.step], one.step.value)} {day(one.since, lang)}{late}")
    return "; ".join(told)


def _due(gap: Gap) -> datetime | None:
    return min([one.deadline for one in gap.disputes if one.deadline is not None and one.step is not Step.RESOLVED], default=None)
