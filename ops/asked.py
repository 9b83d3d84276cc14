"""What a question names: a moment, a list of communes, a commune, an indicator.

Comes in: what was typed, and the rules. Goes out: the thing itself. Owns no state. What does not exist is a `SettingsError` with the
nearest that do, and the remedy.
"""

from __future__ import annotations

import difflib
import unicodedata
from datetime import date, datetime, time

from phusong.indicators import Catalogue, Indicator
from phusong.periods import VIETNAM
from phusong.register import Register, Unit, Vintage
from phusong.settings import SettingsError

_NEAR = 5


def moment(text: str) -> datetime:
    """A day (its end) or a day and time, of Vietnam where no offset is given."""
    try:
        if len(text) == len("2023-06-30"):
            return datetime.combine(day(text), time.max, VIETNAM)
        given = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(f"--as-of: {text!r} is no date; write 30/06/2023, 2023-06-30 or 2023-06-30T18:00+07:00") from None
    return given if given.tzinfo else given.replace(tzinfo=VIETNAM)


def day(text: str) -> date:
    """A day as it is written here or in ISO 8601: 30/06/2023 or 2023-06-30. Raises ValueError."""
    return datetime.strptime(text, "%d/%m/%Y").date() if "/" in text else date.fromisoformat(text)  # noqa: DTZ007 - a day has no zone


def vintage_at(register: Register, as_of: datetime) -> Vintage:
    """The list of communes that is in force."""
    found = register.vintage_at(as_of)
    if found is None:
        raise SettingsError(f"--as-of: no list of communes was in force on {as_of:%Y-%m-%d}; the first is {next(iter(register.vintages))}")
    return found


def vintage(register: Register, name: str) -> Vintage:
    """The list of communes of that name."""
    if name not in register.vintages:
        raise SettingsError(f"--vintage: there is no list {name!r}; one of: {', '.join(register.vintages)}")
    return register.vintages[name]


def unit(register: Register, listed: Vintage, code: str) -> Unit:
    """The commune of that code in that list."""
    found = register.units.get((listed.id, code))
    if found is not None:
        return found
    others = [name for name in register.vintages if (name, code) in register.units]
    if others:
        name = register.units[others[-1], code].name
        raise SettingsError(f"{code!r} is no commune of {listed.id}; {name} is one of {', '.join(others)}: add --vintage {others[-1]}")
    units = [one for one in register.units.values() if one.vintage == listed.id]
    padded, wanted = code.strip().zfill(5), _plain(code)
    near = [one for one in units if one.code == padded or (wanted and wanted in _plain(one.name))]
    near += [one for one in units if sum(a != b for a, b in zip(one.code, padded, strict=False)) == 1]
    near.sort(key=lambda one: abs(int(one.code) - int(padded)) if (one.code + padded).isdecimal() else 0)
    told = ", ".join(f"{one.code} {one.name} ({one.district})" if one.district else f"{one.code} {one.name}" for one in near[:_NEAR])
    raise SettingsError(f"{code!r} is no commune of {listed.id}; " + (f"near: {told}" if told else "codes have five digits, see units.csv"))


def indicator(catalogue: Catalogue, name: str) -> Indicator:
    """The indicator of that id."""
    found = catalogue.indicators.get(name)
    if found is not None:
        return found
    every = list(catalogue.indicators)
    near = [one for one in every if _plain(name) in one]
    near += difflib.get_close_matches(name, every, n=_NEAR)
    near += [one for one in every if difflib.get_close_matches(name, [one.partition(".")[2]], cutoff=0.7)]
    raise SettingsError(f"there is no indicator {name!r}; " + f"near: {', '.join(list(dict.fromkeys(near))[:_NEAR] or every)}")


def _plain(text: str) -> str:
    """Lower case without marks, as people type on a keyboard without Vietnamese: "Trung Thịnh" -> "trung thinh"."""
    letters = unicodedata.normalize("NFD", text.casefold().replace("đ", "d"))
    return "".join(one for one in letters if not unicodedata.combining(one)).strip()
