"""All the rows that decide what counts, read from seeds: register, catalogue, and the number of this set of rules.

Comes in: the texts of the seed files by file name. Goes out: `Rules`. Owns no state. Every broken row is reported at once, as
`file:line: what is wrong`, in one `SeedError`.
"""

from __future__ import annotations

import csv
import hashlib
import io
import tokenize
import tomllib
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise
from typing import TypeVar

from msgspec import Struct

from phusong.indicators import Catalogue, Indicator, Obligation, Reporter, Target, Union
from phusong.periods import VIETNAM, Period
from phusong.places import place_key
from phusong.register import Base, Count, Extent, Place, Predecessor, Province, Register, Unit, UnitId, Vintage
from phusong.topics import SOURCES

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)


class SeedError(ValueError):
    """The seeds are inconsistent; `problems` names every file, line and remedy."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Rules(Struct, frozen=True, kw_only=True):
    """The register, the catalogue, and `number`, which grows with every change of seeds or of the core's meaning."""

    number: int
    register: Register
    catalogue: Catalogue

    @staticmethod
    def from_texts(texts: Mapping[str, str]) -> Rules:
        """Rules from seed files (name -> text). Raises SeedError with every problem."""
        return _Reader(texts).rules()


def seeds_digest(texts: Mapping[str, str]) -> str:
    """What the seed tables say, as one hexadecimal digest (rules.toml, which records it, is not part of it)."""
    digest = hashlib.sha256()
    for name in sorted(texts):
        if name.endswith(".csv"):
            digest.update(f"{name}\n{texts[name]}\n".encode())
    return digest.hexdigest()


def core_digest(sources: Mapping[str, str]) -> str:
    """What the core does, as one hexadecimal digest of its modules (name -> source): comments, docstrings and layout do not count."""
    digest = hashlib.sha256()
    for name in sorted(sources):
        digest.update(f"\n{name}\n".encode())
        at_start = True
        for token in tokenize.generate_tokens(io.StringIO(sources[name]).readline):
            if token.type in (tokenize.COMMENT, tokenize.NL):
                continue
            if token.type in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT):
                at_start = True
                if token.type != tokenize.NEWLINE:  # a line moved into a block or out of it means something else
                    digest.update(b"<" if token.type == tokenize.INDENT else b">")
            elif not (at_start and token.type == tokenize.STRING):
                at_start = False
                digest.update(f" {token.string}".encode())
    return digest.hexdigest()


def _inherited_wrongly(heirs: list[tuple[Unit, Extent]]) -> Iterator[str]:
    """What is wrong with where the territory of a unit went."""
    extents = [extent for _, extent in heirs]
    if not heirs:
        yield "no row says what became of it; add one for each successor"
    if len(extents) > 1 and Extent.WHOLE in extents:
        yield "goes whole into one unit and again into another; write `part` in each row of a split unit"
    if extents == [Extent.PART]:
        yield "only a part of it goes on; add the row of the other part, or write `whole`"
    if len({unit.province for unit, _ in heirs}) > 1:
        yield "goes to two provinces, but all evidence on a unit has one home; not supported"


class _Row:
    """One row of a seed file; reading a cell wrongly raises ValueError with the column's name."""

    def __init__(self, cells: Mapping[str, str]) -> None:
        self.cells = cells

    def text(self, column: str) -> str:
        value = self.cells[column].strip()
        if not value:
            raise ValueError(f"{column} is empty")
        return value

    def day(self, column: str) -> datetime:
        try:
            return datetime.combine(date.fromisoformat(self.text(column)), time(), VIETNAM)
        except ValueError as error:
            raise ValueError(f"{column}: {error}; write a date as 2023-06-30") from None

    def day_or_none(self, column: str) -> datetime | None:
        return self.day(column) if self.cells[column].strip() else None

    def end(self) -> datetime | None:
        """The cell `end`: empty, or a day after the one in `start`."""
        end = self.day_or_none("end")
        if end is not None and end <= self.day("start"):
            raise ValueError("end: must lie after start; leave it empty while the row still holds")
        return end

    def whole(self, column: str) -> int:
        text = self.text(column)
        if not (text.isascii() and text.isdecimal()):
            raise ValueError(f"{column}: {text!r} is no whole number")
        return int(text)

    def whole_or_none(self, column: str) -> int | None:
        return self.whole(column) if self.cells[column].strip() else None

    def degrees(self, column: str, bound: int) -> float | None:
        text = self.cells[column].strip()
        try:
            value = float(text) if text else None
        except ValueError:
            raise ValueError(f"{column}: {text!r} is no number; write degrees as 21.8252") from None
        if value is not None and not -bound <= value <= bound:
            raise ValueError(f"{column}: {text} lies outside -{bound} to {bound} degrees")
        return value

    def status(self) -> str:
        return self.word("status", ("cited", "assumed"))

    def word(self, column: str, words: tuple[str, ...]) -> str:
        value = self.text(column)
        if value not in words:
            raise ValueError(f"{column}: {value!r} is not known; one of: {', '.join(words)}")
        return value

    def fraction(self, column: str) -> Fraction:
        try:
            value = Fraction(self.text(column))
        except (ValueError, ZeroDivisionError):
            raise ValueError(f"{column}: {self.text(column)!r} is no number; write 100 % as 1, 99,5 % as 0.995") from None
        if not 0 <= value <= 1:
            raise ValueError(f"{column}: {value} lies outside 0 to 1; write 100 % as 1")
        return value

    def one_of(self, column: str, kinds: type[E]) -> E:
        try:
            return kinds(self.text(column))
        except ValueError:
            raise ValueError(f"{column}: {self.cells[column].strip()!r} is not known; one of: {', '.join(kinds)}") from None

    def unit(self, units: Mapping[UnitId, Unit], column: str = "code") -> Unit:
        found = units.get((self.text("vintage"), self.text(column)))
        if found is None:
            raise ValueError(f"{column}: {self.text(column)!r} is not among the units of {self.text('vintage')!r} in units.csv")
        return found

    def known(self, column: str, keys: Mapping[str, object], where: str) -> str:
        value = self.text(column)
        if value not in keys:
            raise ValueError(f"{column}: {value!r} is not in {where}")
        return value


class _Reader:
    def __init__(self, texts: Mapping[str, str]) -> None:
        self.texts = texts
        self.problems: list[str] = []

    def rows(self, name: str, columns: str, read: Callable[[_Row], T], key: Callable[[T], object] | None = None) -> list[T]:
        """Every good row of a file; a problem for each bad one, and for each key that stands twice."""
        text = self.texts.get(name)
        if text is None:
            self.problems.append(f"{name}: missing; copy it from the project's seeds/ and edit the copy")
            return []
        reader = csv.DictReader(io.StringIO(text), strict=True)
        missing = set(columns.split()) - set(reader.fieldnames or ())
        if missing:
            self.problems.append(f"{name}:1: no column {', '.join(sorted(missing))}")
            return []
        found: list[T] = []
        lines: dict[object, int] = {}
        try:
            for cells in reader:
                where = f"{name}:{reader.line_num}"
                if None in cells or None in cells.values():
                    self.problems.append(f"{where}: has {'more' if None in cells else 'fewer'} cells than the heading")
                    continue
                try:
                    row = read(_Row(cells))
                except ValueError as error:
                    self.problems.append(f"{where}: {error}")
                    continue
                if key is not None and lines.setdefault(key(row), reader.line_num) != reader.line_num:
                    self.problems.append(f"{where}: stands already in line {lines[key(row)]}; remove one of them")
                    continue
                found.append(row)
        except csv.Error as error:
            self.problems.append(f"{name}:{reader.line_num}: {error}")
        return found

    def rules(self) -> Rules:
        register = self.register()
        catalogue = self.catalogue(register)
        number = self.number()
        if self.problems:
            raise SeedError(self.problems)
        return Rules(number=number, register=register, catalogue=catalogue)

    def number(self) -> int:
        try:
            recorded = tomllib.loads(self.texts.get("rules.toml", ""))
        except tomllib.TOMLDecodeError as error:
            self.problems.append(f"rules.toml: {error}")
            return 0
        number = recorded.get("rules")
        if not isinstance(number, int) or number < 1:
            self.problems.append("rules.toml: needs a line `rules = N`, N from 1")
            return 0
        if recorded.get("seeds") != seeds_digest(self.texts):
            self.problems.append(
                "rules.toml: the rows have changed since rules "
                f"{number}; record the new rules with `phusong config record` so that every worker tells them apart"
            )
        return number

    def register(self) -> Register:
        vintages = self.rows(
            "vintages.csv",
            "vintage start end title source",
            lambda r: Vintage(
                id=r.text("vintage"),
                start=r.day("start"),
                end=r.end(),
                title=r.text("title"),
                source=r.text("source"),
            ),
            lambda v: v.id,
        )
        provinces = self.rows(
            "provinces.csv",
            "code name_vi name_en source",
            lambda r: Province(code=r.text("code"), name_vi=r.text("name_vi"), name_en=r.text("name_en")),
            lambda p: p.code,
        )
        vintage_ids, codes = {v.id: v for v in vintages}, {p.code: p for p in provinces}
        units = self.rows(
            "units.csv",
            "vintage code name kind district province former latitude longitude source",
            lambda r: Unit(
                vintage=r.known("vintage", vintage_ids, "vintages.csv"),
                code=r.text("code"),
                name=r.text("name"),
                kind=r.text("kind"),
                district=r.cells["district"].strip(),
                province=r.known("province", codes, "provinces.csv"),
                former=r.known("former", codes, "provinces.csv") if r.cells["former"].strip() else "",
                latitude=r.degrees("latitude", 90),
                longitude=r.degrees("longitude", 180),
            ),
            lambda u: u.id,
        )
        if not vintages and not self.problems:
            self.problems.append("vintages.csv: holds no row; at least one list of communes must be in force")
        by_start = sorted(vintages, key=lambda v: v.start)
        for earlier, later in pairwise(by_start):
            if earlier.end != later.start:
                self.problems.append(f"vintages.csv: {earlier.id} must end on the day {later.id} starts, so that every day has one list")
        by_id = {u.id: u for u in units}
        predecessors = self.predecessors(by_id, {later.id: earlier.id for earlier, later in pairwise(by_start)})
        return Register(vintages, provinces, units, predecessors, self.counts(by_id), self.places(by_id))

    def predecessors(self, units: Mapping[UnitId, Unit], before: Mapping[str, str]) -> dict[UnitId, tuple[Predecessor, ...]]:
        """Unit -> what it was made of; every unit but those of the first vintage must say, and every unit but the last's must go on."""

        def read(row: _Row) -> tuple[UnitId, Predecessor]:
            later = row.unit(units)
            if later.vintage not in before:
                raise ValueError(f"vintage: {later.vintage} is the first, so its units have no predecessor")
            earlier = (before[later.vintage], row.text("predecessor"))
            if earlier not in units:
                raise ValueError(f"predecessor: {earlier[1]!r} is not among the units of {earlier[0]} in units.csv")
            return later.id, Predecessor(units[earlier], row.one_of("extent", Extent))

        found = self.rows("successions.csv", "vintage code predecessor extent source", read, lambda one: (one[0], one[1].unit.id))
        if self.problems:
            return {}
        made: dict[UnitId, tuple[Predecessor, ...]] = {}
        gone: dict[UnitId, list[tuple[Unit, Extent]]] = {}
        for unit_id, one in found:
            made[unit_id] = (*made.get(unit_id, ()), one)
            gone.setdefault(one.unit.id, []).append((units[unit_id], one.extent))
        for unit_id in units:
            where = f"successions.csv: {unit_id[1]} of {unit_id[0]}"
            if unit_id[0] in before and unit_id not in made:
                self.problems.append(f"{where}: no row says what it was made of; add one for each predecessor")
            if unit_id[0] in before.values():
                self.problems += [f"{where}: {problem}" for problem in _inherited_wrongly(gone.get(unit_id, []))]
        return made

    def counts(self, units: Mapping[UnitId, Unit]) -> dict[UnitId, dict[Base, Count]]:
        """Unit -> its counts; a unit may have several rows, each count at most once."""
        known: dict[UnitId, dict[Base, Count]] = {}

        def read(row: _Row) -> None:
            mine = known.setdefault(row.unit(units).id, {})
            for base in (Base.POPULATION, Base.HOUSEHOLDS, Base.VILLAGES):
                value = row.whole_or_none(base)
                if value is not None:
                    if base in mine:
                        raise ValueError(f"{base}: is counted already for this commune in a line above; keep one of the two")
                    mine[base] = Count(value, row.day("counted_on").date(), row.status())

        self.rows("bases.csv", "vintage code population households villages counted_on status source", read)
        return known

    def places(self, units: Mapping[UnitId, Unit]) -> dict[UnitId, dict[str, Place]]:
        """Unit -> key of every name and alias -> the place; no key may stand for two places of a unit."""
        known: dict[UnitId, dict[str, Place]] = {}

        def read(row: _Row) -> None:
            mine = known.setdefault(row.unit(units, "commune").id, {})
            place = Place(place_key(row.text("name")), row.text("name"))
            for spelling in {place.key, *(place_key(alias) for alias in row.cells["aliases"].split(";") if alias.strip())}:
                if not spelling or spelling in mine:
                    raise ValueError(f"name, aliases: {spelling!r} already names a place of this commune; each spelling names one place")
                mine[spelling] = place

        self.rows("places.csv", "vintage commune name aliases source", read)
        return known

    def catalogue(self, register: Register) -> Catalogue:
        indicators = self.rows(
            "indicators.csv",
            "indicator name_vi name_en base union period deadline_days tolerance at_most definition_vi definition_en status source",
            self.indicator,
            lambda i: i.id,
        )
        by_id = {i.id: i for i in indicators}
        for one in indicators:
            bound = by_id.get(one.at_most)
            if one.at_most and (bound is None or bound.at_most or bound.base is not one.base or bound is one):
                self.problems.append(
                    f"indicators.csv: {one.id}: at_most: {one.at_most!r} must be another row of this file with the same base and no at_most"
                )
        reporters = self.rows(
            "reporters.csv",
            "reporter name_vi name_en operators status source",
            lambda r: Reporter(
                id=r.text("reporter"),
                name_vi=r.text("name_vi"),
                name_en=r.text("name_en"),
                operators=frozenset([r.text("reporter"), *r.cells["operators"].split()]),
            ),
            lambda r: r.id,
        )
        speakers = {r.id: r for r in reporters}
        targets = self.rows(
            "targets.csv",
            "indicator scope province value status start due end source_vi source_en",
            lambda r: self.target(r, by_id, register),
            lambda t: (t.indicator, t.province, t.start),
        )
        obligations = self.rows(
            "obligations.csv",
            "reporter operator indicator province communes period deadline_days grace_days start end status source",
            lambda r: self.obligation(r, by_id, speakers, register),
        )
        return Catalogue(indicators, targets, reporters, obligations)

    @staticmethod
    def indicator(row: _Row) -> Indicator:
        name = row.text("indicator")
        domain = name.partition(".")[0]
        if domain not in SOURCES or name == domain:
            raise ValueError(f"indicator: {name!r} must read domain.what, the domain one of: {', '.join(SOURCES)}")
        return Indicator(
            id=name,
            domain=domain,
            name_vi=row.text("name_vi"),
            name_en=row.text("name_en"),
            base=row.one_of("base", Base),
            union=row.one_of("union", Union),
            period=row.one_of("period", Period),
            deadline_days=row.whole("deadline_days"),
            tolerance=row.fraction("tolerance"),
            at_most=row.cells["at_most"].strip(),
            definition_vi=row.text("definition_vi"),
            definition_en=row.text("definition_en"),
            status=row.status(),
            source=row.text("source"),
        )

    @staticmethod
    def target(row: _Row, indicators: Mapping[str, object], register: Register) -> Target:
        scope = row.word("scope", ("national", "province"))
        if scope == "national" and row.cells["province"].strip():
            raise ValueError("province: must be empty for a national target")
        return Target(
            indicator=row.known("indicator", indicators, "indicators.csv"),
            scope=scope,
            province="" if scope == "national" else row.known("province", register.provinces, "provinces.csv"),
            value=row.fraction("value"),
            status=row.status(),
            source_vi=row.text("source_vi"),
            source_en=row.text("source_en"),
            start=row.day("start"),
            due=row.day_or_none("due"),
            end=row.end(),
        )

    @staticmethod
    def obligation(row: _Row, indicators: Mapping[str, Indicator], reporters: Mapping[str, Reporter], register: Register) -> Obligation:
        reporter = reporters[row.known("reporter", reporters, "reporters.csv")]
        operator = row.cells["operator"].strip() or reporter.id
        if operator not in reporter.operators:
            raise ValueError(f"operator: {reporter.id} may not speak for {operator!r}; see its row in reporters.csv")
        communes = frozenset(row.cells["communes"].split())
        if unknown := sorted(communes - {code for _, code in register.units}):
            raise ValueError(f"communes: {', '.join(unknown)}: in no list of units.csv; write codes of five digits, separated by spaces")
        indicator = indicators[row.known("indicator", indicators, "indicators.csv")]
        return Obligation(
            reporter=reporter.id,
            operator=operator,
            indicator=indicator.id,
            province=row.known("province", register.provinces, "provinces.csv"),
            communes=communes,
            period=row.one_of("period", Period) if row.cells["period"].strip() else indicator.period,
            deadline_days=row.whole("deadline_days") if row.cells["deadline_days"].strip() else indicator.deadline_days,
            grace_days=row.whole("grace_days"),
            start=row.day("start"),
            end=row.end(),
        )
