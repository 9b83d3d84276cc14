"""`phusong register diff`: what became of which commune between two lists.

Comes in: the register and the names of two of its lists. Goes out: `Diff`, and its lines in Vietnamese or English. Owns no state. A list
that does not exist raises `SettingsError` with those that do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from msgspec import Struct

from feed.text import Lang, number, say
from phusong.register import Extent, Register, Unit, UnitId, Vintage
from phusong.settings import SettingsError


class Change(Struct, frozen=True, kw_only=True):
    """A unit of the later list and what it was made of; `extent` of each predecessor: whole or part."""

    code: str
    name: str
    predecessors: tuple[tuple[str, str, Extent], ...]
    """(code, name, extent)."""


class Split(Struct, frozen=True, kw_only=True):
    """A unit of the earlier list, parts of which went to several."""

    code: str
    name: str
    successors: tuple[tuple[str, str], ...]
    """(code, name)."""


class Reused(Struct, frozen=True, kw_only=True):
    """A code that stands in both lists, but for another territory."""

    code: str
    name: str
    before: str
    """What the code named earlier."""
    same_name: bool


class Elsewhere(Struct, frozen=True, kw_only=True):
    """A name that stands in both lists under another code."""

    name: str
    code: str
    before: tuple[str, ...]


class Moved(Struct, frozen=True, kw_only=True):
    """How many units came to another province."""

    before: str
    after: str
    units: int


class Diff(Struct, frozen=True, kw_only=True):
    """What differs between two lists of communes.

    Every unit of the later one is in exactly one of: unchanged, renamed, recoded, merged, parts.
    """

    earlier: str
    later: str
    units_before: int
    units_after: int
    unchanged: int
    """Same territory, code and name."""
    renamed: tuple[Change, ...]
    """Same territory and code, another name."""
    recoded: tuple[Change, ...]
    """Same territory, another code."""
    merged: tuple[Change, ...]
    """Made of several units."""
    parts: tuple[Change, ...]
    """Made of a part of one unit."""
    split: tuple[Split, ...]
    reused: tuple[Reused, ...]
    elsewhere: tuple[Elsewhere, ...]
    moved: tuple[Moved, ...]
    districts_gone: tuple[str, ...]
    same_code_and_name: int
    one_predecessor: int


def diff(register: Register, one: str, other: str) -> Diff:
    """What differs between two lists, from the earlier to the later. Raises SettingsError for a list that does not exist."""
    for name in (one, other):
        if name not in register.vintages:
            raise SettingsError(f"{name}: no such list of communes in vintages.csv; one of: {', '.join(register.vintages)}")
    earlier, later = sorted((one, other), key=lambda name: register.vintages[name].start)
    before = {unit.code: unit for unit in register.units.values() if unit.vintage == earlier}
    after = {unit.code: unit for unit in register.units.values() if unit.vintage == later}
    made = {code: _made_of(register, unit, earlier) for code, unit in after.items()}
    gone: dict[str, list[str]] = {}
    for code, found in made.items():
        for predecessor in found:
            gone.setdefault(predecessor, []).append(code)
    same = {code for code, found in made.items() if found == {code: Extent.WHOLE}}
    single = {code: min(found) for code, found in made.items() if list(found.values()) == [Extent.WHOLE]}

    def changes(codes: Iterable[str]) -> tuple[Change, ...]:
        return tuple(
            Change(
                code=code,
                name=after[code].name,
                predecessors=tuple((c, before[c].name, extent) for c, extent in sorted(made[code].items())),
            )
            for code in codes
        )

    both = [code for code in after if code in before]
    names: dict[tuple[str, str], list[str]] = {}
    for code, unit in before.items():
        names.setdefault((register.home(unit), unit.name), []).append(code)
    held = {code: names.get((register.home(unit), unit.name), []) for code, unit in after.items()}
    moves = Counter(
        (min(came), unit.province)
        for code, unit in after.items()
        for came in [{before[c].province for c in made[code]}]
        if came and unit.province not in came
    )
    return Diff(
        earlier=earlier,
        later=later,
        units_before=len(before),
        units_after=len(after),
        unchanged=sum(before[code].name == after[code].name for code in same),
        renamed=changes(code for code in after if code in same and before[code].name != after[code].name),
        recoded=changes(code for code, predecessor in single.items() if code != predecessor),
        merged=changes(code for code, found in made.items() if len(found) > 1),
        parts=changes(code for code, found in made.items() if list(found.values()) == [Extent.PART]),
        split=tuple(
            Split(code=code, name=unit.name, successors=tuple((c, after[c].name) for c in gone[code]))
            for code, unit in before.items()
            if len(gone.get(code, ())) > 1
        ),
        reused=tuple(
            Reused(code=code, name=after[code].name, before=before[code].name, same_name=before[code].name == after[code].name)
            for code in both
            if code not in same
        ),
        elsewhere=tuple(
            Elsewhere(name=after[code].name, code=code, before=tuple(codes)) for code, codes in held.items() if codes and code not in codes
        ),
        moved=tuple(Moved(before=a, after=b, units=count) for (a, b), count in sorted(moves.items())),
        districts_gone=tuple(sorted({unit.district for unit in before.values()} - {unit.district for unit in after.values()} - {""})),
        same_code_and_name=sum(before[code].name == after[code].name for code in both),
        one_predecessor=sum(len(found) == 1 for found in made.values()),
    )


def _made_of(register: Register, unit: Unit, earlier: str) -> dict[str, Extent]:
    """Code in the earlier list -> whether all of that unit's territory came here."""
    found = {unit.id: Extent.WHOLE}
    while found and next(iter(found))[0] != earlier:
        before: dict[UnitId, Extent] = {}
        for unit_id in found:
            for one in register.predecessors[unit_id]:
                # the parts of a split unit that come together again are the whole of it
                whole = all(found.get(heir) is Extent.WHOLE for heir in register.successors[one.unit.id])
                before[one.unit.id] = Extent.WHOLE if whole else Extent.PART
        found = before
    return {code: extent for (_, code), extent in found.items()}


def describe(register: Register, found: Diff, lang: Lang) -> Iterator[str]:
    """A diff as lines of text."""

    def heading(count: int, vi: str, en: str) -> str:
        return f"\n{say(lang, vi, en)}: {number(count, lang)}"

    def made(change: Change) -> str:
        parts = (
            f"{name} ({code}{say(lang, ', một phần', ', a part') if extent is Extent.PART else ''})"
            for code, name, extent in change.predecessors
        )
        return f"  {change.name} ({change.code}) ← {' + '.join(parts)}"

    earlier, later = register.vintages[found.earlier], register.vintages[found.later]
    yield f"{_title(earlier, found.units_before, lang)} → {_title(later, found.units_after, lang)}"
    yield heading(found.unchanged, "Giữ nguyên địa bàn, mã và tên", "Same territory, code and name")
    for changes, vi, en in (
        (found.renamed, "Đổi tên", "Renamed"),
        (found.recoded, "Đổi mã", "Recoded"),
        (found.merged, "Hợp nhất từ nhiều xã", "Merged from several"),
        (found.parts, "Chỉ gồm một phần của một xã", "Made of a part of one"),
    ):
        yield heading(len(changes), vi, en)
        yield from map(made, changes)
    yield heading(len(found.split), "Bị chia", "Split")
    for split in found.split:
        yield f"  {split.name} ({split.code}) → {' + '.join(f'{name} ({code})' for code, name in split.successors)}"
    yield heading(len(found.reused), "Mã dùng lại cho địa bàn khác", "Codes reused for another territory")
    kept = sum(one.same_name for one in found.reused)
    yield "  " + say(
        lang,
        f"trong đó {kept} giữ cả tên; {found.same_code_and_name} xã có cùng mã và tên ở cả hai danh mục",
        f"{kept} of them under the same name; {found.same_code_and_name} units have one code and name in both lists",
    )
    for one in found.reused:
        yield f"  {one.code}: {one.before}" + (say(lang, " (cùng tên)", " (same name)") if one.same_name else f" → {one.name}")
    yield heading(len(found.elsewhere), "Cùng tên, khác mã", "Same name, another code")
    for other in found.elsewhere:
        yield f"  {other.name}: {', '.join(other.before)} → {other.code}"
    yield heading(found.one_predecessor, "Chỉ từ một xã trước đó", "With one predecessor")
    for moved in found.moved:
        names = (register.provinces[code] for code in (moved.before, moved.after))
        shown = " → ".join(say(lang, province.name_vi, province.name_en) for province in names)
        yield heading(moved.units, f"Chuyển tỉnh, {shown}", f"To another province, {shown}")
    yield heading(len(found.districts_gone), "Cấp huyện không còn", "Districts that vanished")
    yield from (f"  {district}" for district in found.districts_gone)


def _title(vintage: Vintage, units: int, lang: Lang) -> str:
    return f"{vintage.id} ({number(units, lang)} {say(lang, 'xã', 'units')})"
