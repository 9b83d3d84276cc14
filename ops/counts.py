"""`phusong register import`: a real register's counts in the place of the assumed ones.

Comes in: a CSV of communes with counts from elsewhere, and a mapping (TOML, see docs/register.md) that says which of its columns is what.
Goes out: rows of bases.csv in an operator's own copy of seeds/. Owns that file while it runs. A mapping or a file that cannot be used
raises `SettingsError` and changes nothing; a bad row is told with its line, column, value and remedy, and the good ones are taken.
"""

from __future__ import annotations

import csv
import difflib
import io
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

import msgspec
from msgspec import Struct

from feed.text import Lang, number, say
from phusong.register import Register, UnitId
from phusong.rules import Rules, SeedError, seeds_digest
from phusong.settings import SEEDS, SettingsError, seed_texts

COUNTS = ("population", "households", "villages")
STATUSES = ("cited", "assumed")
_EITHER = ("vintage", "counted_on", "status", "source")
"""What is one value for the whole file, or a column of it."""

_ONE_ROW = ("vintage", "code", "counted_on", "status", "source")
"""What the counts in one row of bases.csv share."""

Cells = dict[str, str]


class Value(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is the same for every row of the file."""

    vintage: str = ""
    counted_on: date | None = None
    status: str = ""
    source: str = ""


class Column(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The heading, in the file, of what is different from row to row."""

    code: str
    population: str = ""
    households: str = ""
    villages: str = ""
    vintage: str = ""
    counted_on: str = ""
    status: str = ""
    source: str = ""


class ColumnMapping(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How to read a file of counts."""

    column: Column
    value: Value = Value()
    encoding: str = "utf-8"
    delimiter: str = ","

    @property
    def columns(self) -> dict[str, str]:
        """What is mapped to a column -> its heading."""
        return {name: heading for name in Column.__struct_fields__ if (heading := getattr(self.column, name))}

    @property
    def counts(self) -> tuple[str, ...]:
        """The counts that the file has."""
        return tuple(name for name in COUNTS if name in self.columns)


class Imported(Struct, frozen=True, kw_only=True):
    """What was taken: the units, the sum of each mapped count, and the problems of the rows that were not."""

    units: tuple[UnitId, ...]
    totals: dict[str, int]
    bad: tuple[str, ...]
    left: dict[str, int]
    """List -> how many of its units stand in no good row, and so keep what they had."""


def import_counts(file: Path, mapping: Path, into: Path, lang: Lang) -> Imported:
    """Write the counts of a file into bases.csv of a copy of seeds/. Raises SettingsError where nothing can be taken."""
    if into.resolve() == SEEDS.resolve():
        raise SettingsError(
            say(
                lang,
                f"{into}: là seeds/ của phần mềm; chép ra một bản riêng, nhập vào bản đó và đặt PHUSONG_SEEDS trỏ tới nó",
                f"{into}: is the software's own seeds/; copy it, import into the copy and let PHUSONG_SEEDS name that",
            )
        )
    register = _register(into)
    chosen = read_mapping(mapping)
    good: dict[UnitId, Cells] = {}
    bad: list[str] = []
    lines: dict[UnitId, int] = {}
    for line, cells in _rows(file, chosen):
        row = _Row(chosen, cells, lang)
        unit_id = row.unit(register)
        if unit_id is not None and lines.setdefault(unit_id, line) != line:
            first = lines[unit_id]
            row.refuse("code", say(lang, f"đã có ở dòng {first}; bỏ một dòng", f"stands already in line {first}; remove one of them"))
        read = row.read()
        bad += [f"{file}:{line}: {problem}" for problem in row.problems]
        if unit_id is not None and not row.problems:
            good[unit_id] = read
    if good:
        _write(into / "bases.csv", seed_texts(into)["bases.csv"], good, chosen.counts)
    listed = Counter(vintage for vintage, _ in register.units)
    taken = Counter(vintage for vintage, _ in good)
    return Imported(
        units=tuple(sorted(good)),
        totals={name: sum(int(cells[name]) for cells in good.values()) for name in chosen.counts},
        bad=tuple(bad),
        left={vintage: listed[vintage] - count for vintage, count in sorted(taken.items()) if listed[vintage] > count},
    )


def read_mapping(file: Path) -> ColumnMapping:
    """The mapping in a TOML file. Raises SettingsError with what is wrong and the remedy."""
    try:
        chosen = msgspec.convert(tomllib.loads(file.read_text("utf-8-sig")), ColumnMapping)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise SettingsError(f"{file}: {error}; docs/register.md shows a mapping") from error
    problems = []
    if not chosen.counts:
        problems.append(f"[column] names no count; map at least one of: {', '.join(COUNTS)}")
    for name in _EITHER:
        if bool(getattr(chosen.value, name)) == (name in chosen.columns):
            both = name in chosen.columns
            problems.append(f"{name}: {'stands in [value] and in [column]' if both else 'is missing'}; write it in exactly one of the two")
    if len(chosen.delimiter) != 1:
        problems.append(f'delimiter: {chosen.delimiter!r} is not one character; write "," or ";" or "\\t"')
    if problems:
        raise SettingsError("\n".join(f"{file}: {problem}" for problem in problems))
    return chosen


def describe(found: Imported, into: Path, lang: Lang) -> Iterator[str]:
    """What was done, and what is to be done next."""
    totals = ", ".join(f"{name} {number(total, lang)}" for name, total in found.totals.items())
    units, bad = number(len(found.units), lang), number(len(found.bad), lang)
    yield say(lang, f"{into}: đã nhận {units} xã ({totals}); {bad} lỗi", f"{into}: {units} units taken ({totals}); {bad} problems")
    for vintage, count in found.left.items():
        left = number(count, lang)
        yield say(lang, f"{vintage}: {left} xã khác giữ số cũ", f"{vintage}: {left} other units keep what they had")
    if found.units:
        commands = f"PHUSONG_SEEDS={into} phusong config record && phusong register check {into}"
        yield say(lang, f"Bây giờ chạy: {commands}", f"Now run: {commands}")


def _register(into: Path) -> Register:
    texts = seed_texts(into)
    try:
        # changed rows may wait for their number until the last import is done
        return Rules.from_texts({**texts, "rules.toml": f'rules = 1\nseeds = "{seeds_digest(texts)}"\n'}).register
    except SeedError as error:
        raise SettingsError("\n".join(f"{into}/{problem}" for problem in error.problems)) from error


def _rows(file: Path, mapping: ColumnMapping) -> Iterator[tuple[int, Cells | None]]:
    """(line, cells by heading; None: not as many as the heading has)."""
    try:
        text = file.read_bytes().decode("utf-8-sig" if mapping.encoding.lower() in ("utf-8", "utf8") else mapping.encoding)
    except LookupError as error:
        raise SettingsError(f"encoding: {error}; write one that Python knows, as utf-8, utf-16 or windows-1258") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: cannot be read: {error}; `encoding` in the mapping says how the file is written") from error
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mapping.delimiter, strict=True)
    try:
        heading = [cell.strip() for cell in next(reader, [])]
        problems = []
        for name, wanted in mapping.columns.items():
            if heading.count(wanted) != 1:
                near = difflib.get_close_matches(wanted, heading, n=1)
                hint = f"; did you mean {near[0]!r}?" if near and wanted not in heading else f"; it has: {', '.join(heading)}"
                problems.append(f"{file}:1: {name}: {'more than one' if wanted in heading else 'no'} column {wanted!r}{hint}")
        if problems:
            raise SettingsError("\n".join(problems))
        for cells in reader:
            if cells:
                yield reader.line_num, dict(zip(heading, map(str.strip, cells), strict=True)) if len(cells) == len(heading) else None
    except csv.Error as error:
        raise SettingsError(f"{file}:{reader.line_num}: {error}; mend the file, nothing was taken") from error


class _Row:
    """One row of the file while it is read; what is wrong gathers in `problems`."""

    def __init__(self, mapping: ColumnMapping, cells: Cells | None, lang: Lang) -> None:
        self.problems: list[str] = []
        self._mapping, self._cells, self._lang = mapping, cells or {}, lang
        self._broken = cells is None
        if self._broken:
            self.problems.append(
                say(lang, "số ô khác dòng tiêu đề; kiểm tra dấu phân cách", "not as many cells as the heading; check the delimiter")
            )

    def refuse(self, name: str, what: str) -> None:
        """A problem with the cell that is mapped to `name`."""
        heading = self._mapping.columns.get(name)
        where = name if heading is None else heading
        self.problems.append(f"{where}: {self._text(name)!r} {what}")

    def unit(self, register: Register) -> UnitId | None:
        """Which unit it is about."""
        vintage, code = self._text("vintage"), self._text("code")
        if self._broken:
            return None
        if vintage not in register.vintages:
            known = ", ".join(register.vintages)
            self.refuse("vintage", self._say(f"không có trong vintages.csv; có: {known}", f"is not in vintages.csv; one of: {known}"))
            return None
        if (vintage, code) in register.units:
            return vintage, code
        padded = code.zfill(5)
        hint = self._say(f"; có phải {padded}?", f"; did you mean {padded}?") if (vintage, padded) in register.units else ""
        self.refuse("code", self._say(f"không có trong danh mục {vintage}{hint}", f"is not among the units of {vintage}{hint}"))
        return None

    def read(self) -> Cells:
        """The cells of bases.csv that it fills."""
        if self._broken:
            return {}
        for name in self._mapping.counts:
            text = self._text(name)
            if not (text.isascii() and text.isdecimal()):
                digits = re.sub(r"[.,\s]", "", text)
                hint = f": {digits}" if digits.isdecimal() else ""
                self.refuse(
                    name,
                    self._say(f"không phải số nguyên; chỉ viết chữ số{hint}", f"is no whole number; write digits alone{hint}"),
                )
        try:
            counted_on = date.fromisoformat(self._text("counted_on")).isoformat()
        except ValueError:
            counted_on = ""
            self.refuse("counted_on", self._say("không phải ngày; viết 2019-04-01", "is no date; write it as 2019-04-01"))
        if self._text("status") not in STATUSES:
            known = ", ".join(STATUSES)
            self.refuse("status", self._say(f"không hợp lệ; một trong: {known}", f"is not known; one of: {known}"))
        if not self._text("source"):
            self.refuse("source", self._say("trống; ghi nguồn của số này", "is empty; write where the counts are from"))
        return {
            **{name: self._text(name).lstrip("0") or "0" for name in self._mapping.counts},
            "counted_on": counted_on,
            "status": self._text("status"),
            "source": self._text("source"),
        }

    def _text(self, name: str) -> str:
        heading = self._mapping.columns.get(name)
        if heading is not None:
            return self._cells.get(heading, "")
        value = getattr(self._mapping.value, name)
        return value.isoformat() if isinstance(value, date) else str(value).strip()

    def _say(self, vi: str, en: str) -> str:
        return say(self._lang, vi, en)


def _write(file: Path, text: str, good: Mapping[UnitId, Cells], counts: tuple[str, ...]) -> None:
    """Each good row as it is; of the units' other rows every count but the mapped ones stays."""
    reader = csv.DictReader(io.StringIO(text))
    heading = list(reader.fieldnames or ())
    kept: list[Cells] = []
    for row in reader:
        if (row["vintage"].strip(), row["code"].strip()) in good:
            row.update(dict.fromkeys(counts, ""))
            if not any(row[name].strip() for name in COUNTS):
                continue
        kept.append(row)
    # what an earlier import took from the same source becomes one row with this
    rows = {tuple(row[name].strip() for name in _ONE_ROW): row for row in kept}
    for (vintage, code), cells in good.items():
        new = dict.fromkeys(heading, "") | {"vintage": vintage, "code": code} | cells
        same = rows.get(tuple(new[name] for name in _ONE_ROW))
        if same is None:
            kept.append(new)
        else:
            same |= {name: cells[name] for name in counts}
    out = io.StringIO()
    writer = csv.DictWriter(out, heading, lineterminator="\n")
    writer.writeheader()
    writer.writerows(sorted(kept, key=lambda row: (row["vintage"], row["code"])))
    part = file.with_suffix(".part")
    part.write_text(out.getvalue(), "utf-8")
    part.replace(file)
