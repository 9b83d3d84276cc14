"""The communes of each list by name: checks a name beside a code, and finds the code where there is only a name.

Comes in: the register, and codes and names as reporters write them. Goes out: nothing, or a `CellError` that names both and the remedy.
Owns an index of the names. Names are compared without marks and kind words, and "i" as "y": "TT. Na Hang", "Quí Quân".
"""

from __future__ import annotations

from collections.abc import Sequence

from phusong.events import Reason
from phusong.register import Register, Unit
from producers.sheets.cells import CellError, Text, folded, shown

_KINDS = ("thi tran", "phuong", "xa", "tt", "p", "x")
_KIND_OF = {"tt": "thi tran", "p": "phuong", "x": "xa"}
_DISTRICT_KINDS = ("huyen", "thanh pho", "thi xa", "quan", "tp", "tx")


def _split_kind(name: str, kinds: tuple[str, ...]) -> tuple[str, str]:
    """ "TT. Na Hang" -> ("thi tran", "na hang"); spellings of one sound are one: "Quí Quân" is "Quý Quân"."""
    key = folded(name)
    for kind in kinds:
        if key.startswith(f"{kind} "):
            rest = key[len(kind) + 1 :]
            return _KIND_OF.get(kind, kind), rest.replace("y", "i")
    return "", key.replace("y", "i")


class Units:
    """The communes of each list by name, for checking a name beside a code, and for naming the code where there is none."""

    def __init__(self, register: Register) -> None:
        self._register = register
        self._by_name: dict[tuple[str, str], list[Unit]] = {}
        self._districts: set[str] = set()
        for unit in register.units.values():
            self._by_name.setdefault((unit.vintage, _split_kind(unit.name, _KINDS)[1]), []).append(unit)
            self._districts.add(_split_kind(unit.district, _DISTRICT_KINDS)[1])
        self._districts.discard("")

    def is_district(self, name: str) -> bool:
        """Whether a name without a code is that of a district or a province: a row of sums, or one that only groups others."""
        kind, rest = _split_kind(name, (*_DISTRICT_KINDS, "tinh"))
        if kind:
            return kind == "tinh" or rest in self._districts
        return rest in self._districts and not any((vintage, rest) in self._by_name for vintage in self._register.vintages)

    def is_commune(self, name: str) -> bool:
        """Whether some list has a commune of that name."""
        rest = _split_kind(name, _KINDS)[1]
        return any((vintage, rest) in self._by_name for vintage in self._register.vintages)

    def check(self, listed: str, code: str, name: str, district: str) -> None:
        """Whether the name beside a code contradicts it. Raises CellError, naming both."""
        unit = self._register.units.get((listed, code))
        if unit is None:
            return  # the rules say so better
        kind, rest = _split_kind(name, _KINDS)
        own_kind, own = _split_kind(unit.name, _KINDS)
        if rest == own and (not kind or kind == own_kind or not self._of(listed, name, district, unit.province)):
            return
        others = [one for one in self._of(listed, name, district, unit.province) if one.code != code]
        hint_vi = f'; "{shown(name)}" có mã {_listed(others)}' if others else ""
        hint_en = f'; "{shown(name)}" has the code {_listed(others)}' if others else ""
        raise CellError(
            Text(
                f'mã {code} là "{unit.name}", không phải "{shown(name)}"; sửa mã hoặc tên{hint_vi}',
                f'code {code} is "{unit.name}", not "{shown(name)}"; mend the code or the name{hint_en}',
            ),
            Reason.UNKNOWN_COMMUNE,
        )

    def missing(self, listed: str, name: str, district: str) -> CellError:
        """A row has a name and no code: the code in the remedy, where the name tells it."""
        found = self._of(listed, name, district, "")
        if len(found) == 1:
            one = found[0]
            text = Text(
                f'thiếu mã xã; ghi mã {one.code} ("{one.name}", {one.district or one.province})',
                f'the code is missing; write {one.code} ("{one.name}", {one.district or one.province})',
            )
        elif found:
            text = Text(f"thiếu mã xã; tên này có ở: {_listed(found)}", f"the code is missing; several have this name: {_listed(found)}")
        else:
            text = Text(
                "thiếu mã xã, và tên không có trong danh mục; ghi mã năm chữ số",
                "the code is missing, and no commune of the list in force has this name; write the five-digit code",
            )
        return CellError(text, Reason.UNKNOWN_COMMUNE)

    def _of(self, listed: str, name: str, district: str, province: str) -> list[Unit]:
        kind, rest = _split_kind(name, _KINDS)
        found = [one for one in self._by_name.get((listed, rest), []) if not province or one.province == province]
        exact = [one for one in found if kind and _split_kind(one.name, _KINDS)[0] == kind]
        found = exact or ([] if kind and province else found)
        if district and len(found) > 1:
            wanted = _split_kind(district, _DISTRICT_KINDS)[1]
            found = [one for one in found if _split_kind(one.district, _DISTRICT_KINDS)[1] == wanted] or found
        return found


def _listed(units: Sequence[Unit]) -> str:
    return ", ".join(f"{one.code} ({one.district or one.province})" for one in units[:5])
