"""`phusong plan`: the fewest communes, and of villages the fewest by name, that would close the gap to the target.

Comes in: the feed's JSON rows of a province and of the communes behind its gap, or the same as numbers. Goes out: `Plan`, and its lines in
Vietnamese or English. Owns no state. All sums are exact fractions. Source of the figures: docs/rules.md (ratio, low, high).

A commune that is covered in full adds w·(1 − ratio) of what is missing, so the fewest are those that add most. A commune of which nothing
is known may lack nothing but a report: it is no work to be done, and is listed apart.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import accumulate
from typing import Any, TypeVar

from msgspec import Struct

from feed.text import Lang, number, percent, say
from ops.table import ORIGINS, STATES, Json, fetch, fetch_gaps
from phusong.register import Base
from phusong.rows import State
from phusong.settings import SettingsError

T = TypeVar("T", "Commune", "Village")

_LARGEST_DENOMINATOR = 10**7
"""A double tells two fractions of smaller denominators apart: the ratio of counts up to ten million is read back exactly."""


_NAMED = 10
"""How many unknown communes are named in the terminal where fewer reports would be enough; --json names all."""


class Commune(Struct, frozen=True, kw_only=True):
    """A commune that is not known to be covered in full, its weight, and what is claimed of it (`ratio`) and possible (`high`)."""

    code: str
    name: str
    weight: Fraction
    ratio: Fraction
    high: Fraction
    known: bool
    district: str = ""
    state: str = State.FRESH
    origin: str | None = None
    expected: int | None = None
    uncovered: tuple[str, ...] = ()

    @property
    def gain(self) -> Fraction:
        """What the province gains, in units of weight, when it is covered in full."""
        return self.weight * (1 - self.ratio)


class Village(Struct, frozen=True, kw_only=True):
    """A village without coverage; its name is not always known ("")."""

    commune: str
    commune_name: str
    name: str
    gain: Fraction


class Plan(Struct, frozen=True, kw_only=True):
    """What would close the gap. `needed`: the weight that is missing (0: the target is reached); None: there is no target."""

    target: Fraction | None
    weight: Fraction
    """Of the whole province."""
    ratio: Fraction | None
    needed: Fraction | None
    communes: tuple[Commune, ...] = ()
    """The fewest to cover in full, those that add most first; all that are known, where they are not enough."""
    enough: bool = True
    """Whether those reach the target."""
    villages: tuple[Village, ...] = ()
    """The fewest villages, where villages are counted."""
    villages_enough: bool = True
    reports: tuple[Commune, ...] = ()
    """The unknown ones, those that may add most first."""
    reports_needed: int | None = None
    """If they are covered in full: how many of their reports reach the target with nothing built; None: all are not enough."""

    def after(self, gains: Iterable[Fraction]) -> Fraction:
        """The ratio once that much weight is added."""
        return (self.ratio or Fraction(0)) + sum(gains, Fraction(0)) / self.weight


def plan(communes: Sequence[Commune], weight: Fraction, target: Fraction | None, *, villages: bool = False) -> Plan:
    """The plan for a province of that weight in which all but these communes are covered in full; `villages`: they count villages."""
    ratio = 1 - sum((one.gain for one in communes), Fraction(0)) / weight if weight else None
    if target is None or ratio is None or ratio >= target:
        return Plan(target=target, weight=weight, ratio=ratio, needed=None if target is None or ratio is None else Fraction(0))
    needed = (target - ratio) * weight
    known = sorted((one for one in communes if one.known), key=lambda one: one.code)
    chosen, enough = _fewest(known, needed)
    dark, dark_enough = _fewest([one for commune in known for one in _villages(commune)], needed) if villages else ((), True)
    unknown = sorted((one for one in communes if not one.known and one.weight), key=lambda one: (-_may_add(one), one.code))
    reached = (count for count, sum_ in enumerate(accumulate(map(_may_add, unknown)), 1) if sum_ >= needed)
    return Plan(
        target=target,
        weight=weight,
        ratio=ratio,
        needed=needed,
        communes=chosen,
        enough=enough,
        villages=dark,
        villages_enough=dark_enough,
        reports=tuple(unknown),
        reports_needed=next(reached, None),
    )


def _fewest(items: Iterable[T], needed: Fraction) -> tuple[tuple[T, ...], bool]:
    """As few as possible whose gains add up to `needed`, and whether they do (else all that gain anything)."""
    chosen: list[T] = []
    for item in sorted(items, key=lambda item: -item.gain):
        if needed <= 0 or not item.gain:
            break
        chosen.append(item)
        needed -= item.gain
    return tuple(chosen), needed <= 0


def _villages(commune: Commune) -> Iterator[Village]:
    """The villages behind a commune's gap: each adds weight/expected; those that are named first."""
    if not commune.expected:
        return
    left = commune.gain
    each = commune.weight / commune.expected
    names = iter(commune.uncovered)
    while left > 0:
        yield Village(commune=commune.code, commune_name=commune.name, name=next(names, ""), gain=min(each, left))
        left -= each


def _may_add(commune: Commune) -> Fraction:
    return commune.weight * (commune.high - commune.ratio)


def fetch_plans(url: str, indicator: str, province: str | None) -> list[tuple[Json, Plan]]:
    """(province row, plan) of each province asked for, from a running feed.

    Raises SettingsError for an indicator or province that the feed does not show, FeedUnreachableError where it does not answer.
    """
    rows = fetch(url, "/api/v1/provinces")
    for name, wanted in (("indicator", indicator), ("province", province)):
        shown = sorted({row[name] for row in rows})
        if wanted is not None and wanted not in shown:
            near = difflib.get_close_matches(wanted, shown, n=1)
            raise SettingsError(
                f"{name} {wanted!r}: the feed shows none; " + (f"did you mean {near[0]}?" if near else f"it has: {', '.join(shown)}")
            )
    asked = [row for row in rows if row["indicator"] == indicator and province in (None, row["province"])]
    return [(row, of_rows(row, fetch_gaps(url, row))) for row in asked]


def of_rows(province: Json, gaps: Sequence[Json]) -> Plan:
    """The plan of a province row and the rows of every commune that is not known to be covered in full."""
    # a commune whose weight is not known weighs the mean, so all together weigh as many means as there are communes
    count = sum(province["units"].values())
    weight = _fraction(province["expected"], count)
    mean = weight / count if count else Fraction(0)
    communes = [
        Commune(
            code=row["commune"],
            name=row["name"],
            district=row["district"],
            weight=mean if row["weight"] is None else Fraction(row["weight"]),
            ratio=_fraction(row["ratio"] or 0),
            high=Fraction(1) if row["high"] is None else _fraction(row["high"]),
            known=row["state"] != State.UNKNOWN,
            state=row["state"],
            origin=row["origin"],
            expected=row["expected"],
            uncovered=tuple(row["uncovered"] or ()),
        )
        for row in gaps
    ]
    target = None if province["target"] is None else _fraction(province["target"])
    return plan(communes, weight, target, villages=province["base"] == Base.VILLAGES)


def _fraction(value: float, largest_denominator: int = _LARGEST_DENOMINATOR) -> Fraction:
    return Fraction(value).limit_denominator(max(1, largest_denominator))


def describe(row: Json, found: Plan, lang: Lang) -> Iterator[str]:
    """A plan as lines of text."""
    target = None if found.target is None else float(found.target)

    def shown(ratio: Fraction | None) -> str:
        return percent(None if ratio is None else float(ratio), lang, target)

    yield f"{row['province_name']} ({row['province']}) · {row['vintage']} · {row['indicator_name']} ({row['indicator']})"
    if found.target is None:
        yield say(
            lang,
            "Chưa có chỉ tiêu đang áp dụng, nên không có khoảng cách để lập kế hoạch; thêm dòng vào targets.csv.",
            "No target applies, so there is no gap to plan for; add a row to targets.csv.",
        )
        return
    goal = number(found.target * 100, lang) + " %"
    if found.ratio is None or found.needed is None:
        yield say(lang, f"Chỉ tiêu {goal}: không có gì để phủ.", f"Target {goal}: there is nothing to cover.")
        return
    if not found.needed:
        yield say(lang, f"Đã đạt: {shown(found.ratio)}, chỉ tiêu {goal}.", f"Reached: {shown(found.ratio)}, target {goal}.")
        if row["verdict"] == "uncertain":
            yield say(
                lang,
                "Kết luận vẫn là chưa đủ căn cứ (uncertain): có số liệu quá hạn hoặc trọng số chưa biết; cần báo cáo mới.",
                "The verdict is still uncertain: figures are stale, or weights not known; new reports are needed.",
            )
        return
    missing = _added(found.needed, lang)
    yield say(
        lang,
        f"Hiện {shown(found.ratio)}, chỉ tiêu {goal}: còn thiếu {missing} trên {number(found.weight, lang)}.",
        f"Now {shown(found.ratio)}, target {goal}: {missing} of {number(found.weight, lang)} missing.",
    )
    after = shown(found.after(one.gain for one in found.communes))
    count = number(len(found.communes), lang)
    if found.enough:
        yield say(lang, f"Ít nhất {count} xã cần phủ hết, sẽ đạt {after}:", f"The fewest communes to cover in full: {count}, then {after}:")
    else:
        yield say(
            lang,
            f"Phủ hết cả {count} xã đã có số liệu cũng chỉ đạt {after}; phần còn lại tùy báo cáo của các xã chưa rõ:",
            f"All {count} communes with figures reach {after} only; the rest is up to the reports of the unknown ones:",
        )
    yield from (f"  {position}. {_commune(one, one.gain, lang)}" for position, one in enumerate(found.communes, 1))
    if found.villages:
        yield from _village_lines(found, shown(found.after(one.gain for one in found.villages)), lang)
    if found.reports:
        yield from _report_lines(found, lang)


def _added(weight: Fraction, lang: Lang) -> str:
    return number(weight, lang, 1 if weight * 10 % 1 == 0 else 2)


def _commune(one: Commune, gain: Fraction, lang: Lang) -> str:
    where = f", {one.district}" if one.district else ""
    state = say(lang, STATES[one.state], one.state)
    origin = f", {say(lang, ORIGINS[one.origin], one.origin)}" if one.origin else ""
    return f"{one.name} ({one.code}){where}: +{_added(gain, lang)} ({state}{origin})"


def _village_lines(found: Plan, after: str, lang: Lang) -> Iterator[str]:
    count = number(len(found.villages), lang)
    if found.villages_enough:
        yield say(lang, f"Hoặc ít nhất {count} thôn, sẽ đạt {after}:", f"Or the fewest villages: {count}, then {after}:")
    else:
        yield say(lang, f"Đó là {count} thôn:", f"Those are {count} villages:")
    by_commune: dict[tuple[str, str], list[str]] = {}
    for one in found.villages:
        by_commune.setdefault((one.commune, one.commune_name), []).append(one.name)
    for (code, name), names in by_commune.items():
        unnamed = names.count("")
        told = [one for one in names if one]
        if unnamed:
            told.append(say(lang, f"{unnamed} thôn chưa nêu tên", f"{unnamed} not named"))
        yield f"  {name} ({code}): {', '.join(told)}"


def _report_lines(found: Plan, lang: Lang) -> Iterator[str]:
    count = number(len(found.reports), lang)
    if found.reports_needed is None:
        yield say(
            lang,
            f"Chưa rõ {count} xã; dù tất cả báo cáo là đã phủ hết, vẫn chưa đạt chỉ tiêu:",
            f"{count} communes are unknown; even if all report full coverage, the target is not reached:",
        )
    else:
        enough = number(found.reports_needed, lang)
        yield say(
            lang,
            f"Có thể chỉ cần báo cáo: chưa rõ {count} xã; nếu {enough} xã đầu báo cáo là đã phủ hết thì đạt chỉ tiêu:",
            f"A report may be enough: {count} communes are unknown; if the first {enough} report full coverage, the target is reached:",
        )
    shown = found.reports[: max(_NAMED, found.reports_needed or 0)]
    yield from (f"  {position}. {_commune(one, _may_add(one), lang)}" for position, one in enumerate(shown, 1))
    if len(shown) < len(found.reports):
        left = number(len(found.reports) - len(shown), lang)
        yield say(lang, f"  … và {left} xã khác: xem --json", f"  … and {left} others: see --json")


def as_json(row: Json, found: Plan) -> dict[str, Any]:
    """A plan for machines; figures of weight and ratio are rounded to doubles."""

    def plain(value: Fraction | None) -> float | int | None:
        return None if value is None else int(value) if value.denominator == 1 else float(value)

    def listed(communes: Iterable[Commune], *, may_add: bool = False) -> list[dict[str, Any]]:
        return [
            {
                "commune": one.code,
                "name": one.name,
                "district": one.district,
                "state": one.state,
                "origin": one.origin,
                "weight": plain(one.weight),
                "ratio": plain(one.ratio) if one.known else None,
                "gain": plain(_may_add(one) if may_add else one.gain),
            }
            for one in communes
        ]

    gap = bool(found.needed)
    return {
        **{name: row[name] for name in ("vintage", "province", "indicator", "verdict", "as_of")},
        "target": plain(found.target),
        "ratio": plain(found.ratio),
        "weight": plain(found.weight),
        "needed": plain(found.needed),
        "communes": listed(found.communes),
        "enough": found.enough,
        "ratio_after": plain(found.after(one.gain for one in found.communes)) if gap else plain(found.ratio),
        "villages": [{"commune": one.commune, "village": one.name or None, "gain": plain(one.gain)} for one in found.villages],
        "reports": listed(found.reports, may_add=True),
        "reports_needed": found.reports_needed,
    }
