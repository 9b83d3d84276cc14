"""`phusong register check`: do the rows of a seeds directory agree with each other?

Comes in: the texts of the seed files, and the files of facts beside them. Goes out: findings, each with file, line and remedy. Owns no
state. What the core's reader refuses is told in the reader's words; what it takes but cannot be meant is an error here, too; what is
unusual and may be meant is a note.
"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from enum import StrEnum
from pathlib import Path

from msgspec import Struct

from feed.text import Lang, say
from ops.counts import COUNTS
from phusong.admission import Admission
from phusong.events import Rejected, decode
from phusong.register import Base, Count, Register, Unit, UnitId
from phusong.rules import Rules, SeedError, seeds_digest
from phusong.settings import seed_texts

_NAMED = 5
"""How many units a finding names; the count tells how many there are."""


class Level(StrEnum):
    """An error makes the check fail; a note may be meant."""

    ERROR = "error"
    NOTE = "note"


class Finding(Struct, frozen=True, order=True, kw_only=True):
    """What is wrong in a row: file, line (0: of the whole file), and the sentence with the remedy in both languages."""

    file: str
    line: int
    level: Level
    vi: str
    en: str

    def text(self, lang: Lang) -> str:
        """`file:line: sentence`."""
        return f"{self.file}:{self.line}: {say(lang, self.vi, self.en)}" if self.line else f"{self.file}: {say(lang, self.vi, self.en)}"


class _Table:
    """A seed file's rows with their lines, as they stand there."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        reader = csv.DictReader(io.StringIO(text))
        self.rows = [(reader.line_num, {key: cell.strip() for key, cell in row.items() if key and cell}) for row in reader]

    def line(self, **cells: str) -> int:
        """The first row with these cells; 0 where there is none."""
        return next((line for line, row in self.rows if all(row.get(key, "") == cell for key, cell in cells.items())), 0)


def check(seeds: Path) -> list[Finding]:
    """Everything that is inconsistent in a seeds directory, errors first. Raises SettingsError where it holds no seeds."""
    texts = seed_texts(seeds)
    facts = {f"facts/{file.name}": file.read_bytes() for file in sorted(seeds.glob("facts/*.jsonl"))}
    return sorted(set(findings(texts, facts)), key=lambda one: (one.level, one.file, one.line, one.en))


def findings(texts: Mapping[str, str], facts: Mapping[str, bytes]) -> Iterator[Finding]:
    """The same, from texts: seed files by name, and files of events by name."""
    try:
        Rules.from_texts(texts)
    except SeedError as error:
        yield from map(_of_the_reader, error.problems)
    try:
        tables = {name: _Table(name, text) for name, text in texts.items() if name.endswith(".csv")}
    except csv.Error:
        return  # the reader has told where
    yield from _spelling(tables.values())
    try:
        # changed rows that have no number yet are one problem, and hide no other
        rules = Rules.from_texts({**texts, "rules.toml": f'rules = 1\nseeds = "{seeds_digest(texts)}"\n'})
    except SeedError:
        return
    checks = _Checks(rules, tables)
    yield from checks.names()
    yield from checks.former()
    yield from checks.counts()
    yield from checks.sums()
    yield from checks.targets()
    yield from checks.obligations()
    for name, data in facts.items():
        yield from checks.facts(name, data)


def _of_the_reader(problem: str) -> Finding:
    where, _, sentence = problem.partition(": ")
    file, _, line = where.partition(":")
    return Finding(file=file, line=int(line) if line.isdecimal() else 0, level=Level.ERROR, vi=sentence, en=sentence)


_CODES = (
    ("provinces.csv", "code", 2),
    ("units.csv", "code", 5),
    ("units.csv", "province", 2),
)


def _spelling(tables: Iterable[_Table]) -> Iterator[Finding]:
    """Text in NFC, codes with all their digits: what looks the same must be the same."""
    for table in tables:
        for line, row in table.rows:
            for column, cell in row.items():
                if not unicodedata.is_normalized("NFC", cell):
                    yield Finding(
                        file=table.name,
                        line=line,
                        level=Level.ERROR,
                        vi=f"{column}: {cell!r} không ở dạng NFC nên không so khớp được; lưu lại tệp theo Unicode dựng sẵn",
                        en=f"{column}: {cell!r} is not in NFC, so it equals nothing that looks like it; save the file as composed Unicode",
                    )
            for file, column, digits in _CODES:
                cell = row.get(column, "")
                if file == table.name and cell and not (len(cell) == digits and cell.isascii() and cell.isdecimal()):
                    hint_vi, hint_en = (
                        (f"; có phải {cell.zfill(digits)}?", f"; is it {cell.zfill(digits)}?") if cell.isdecimal() else ("", "")
                    )
                    yield Finding(
                        file=file,
                        line=line,
                        level=Level.ERROR,
                        vi=f"{column}: {cell!r} không đủ {digits} chữ số; mã là văn bản, bảng tính hay bỏ số 0 ở đầu{hint_vi}",
                        en=f"{column}: {cell!r} is not of {digits} digits; a code is text, and spreadsheets drop leading zeros{hint_en}",
                    )


class _Checks:
    """What rows that can be read say against each other."""

    def __init__(self, rules: Rules, tables: Mapping[str, _Table]) -> None:
        self.rules, self.register, self.catalogue = rules, rules.register, rules.catalogue
        self.tables = tables
        self.units = {(row["vintage"], row["code"]): line for line, row in tables["units.csv"].rows}
        self.bases = {
            (row["vintage"], row["code"], base): line
            for line, row in tables["bases.csv"].rows
            for base in map(Base, COUNTS)
            if row.get(base)
        }

    def names(self) -> Iterator[Finding]:
        """No two units of a district (where there are none: of a province) have one name."""
        seen: dict[tuple[str, ...], Unit] = {}
        for unit in self.register.units.values():
            first = seen.setdefault((unit.vintage, unit.province, unit.district, unit.name), unit)
            if first is not unit:
                where = unit.district or self.register.provinces[unit.province].name_vi
                yield Finding(
                    file="units.csv",
                    line=self.units[unit.id],
                    level=Level.ERROR,
                    vi=f"{unit.name} ({unit.code}) trùng tên với {first.code} trong {where}, danh mục {unit.vintage}; sửa tên ở một dòng",
                    en=f"{unit.name} ({unit.code}) has the name of {first.code} in {where}, list {unit.vintage}; mend the name in one row",
                )

    def former(self) -> Iterator[Finding]:
        """`former` is the province that all predecessors belong to."""
        for unit in self.register.units.values():
            before = {one.unit.province for one in self.register.predecessors.get(unit.id, ())}
            if before and (before != {unit.former} if unit.former else len(before) == 1 and before != {unit.province}):
                right = min(before) if len(before) == 1 else ""
                yield Finding(
                    file="units.csv",
                    line=self.units[unit.id],
                    level=Level.ERROR,
                    vi=f"former: {unit.former!r}, nhưng các xã trước đó thuộc tỉnh {', '.join(sorted(before))}; ghi {right!r}",
                    en=f"former: {unit.former!r}, but its predecessors belong to province {', '.join(sorted(before))}; write {right!r}",
                )

    def counts(self) -> Iterator[Finding]:
        """A household has a person, a village has one; every unit has the counts that an indicator weighs by."""
        for unit_id, counts in self.register.counts.items():
            people = counts.get(Base.POPULATION)
            for base in (Base.HOUSEHOLDS, Base.VILLAGES):
                count = counts.get(base)
                if people is not None and count is not None and count.value > people.value:
                    yield Finding(
                        file="bases.csv",
                        line=self.bases[*unit_id, base],
                        level=Level.ERROR,
                        vi=f"{base}: {count.value} nhiều hơn population {people.value} của {self._name(unit_id)}; sửa một trong hai số",
                        en=f"{base}: {count.value} exceeds the population {people.value} of {self._name(unit_id)}; mend one of the two",
                    )
            named, villages = len(set(self.register.places.get(unit_id, {}).values())), counts.get(Base.VILLAGES)
            if villages is not None and named > villages.value:
                yield Finding(
                    file="bases.csv",
                    line=self.bases[*unit_id, Base.VILLAGES],
                    level=Level.ERROR,
                    vi=f"villages: {villages.value}, nhưng places.csv nêu {named} thôn của {self._name(unit_id)}; sửa một trong hai",
                    en=f"villages: {villages.value}, but places.csv names {named} of {self._name(unit_id)}; mend one of the two",
                )
        weighed = {one.base for one in self.catalogue.indicators.values()}
        for vintage in self.register.vintages:
            listed = [unit for unit in self.register.units.values() if unit.vintage == vintage]
            for base in map(Base, COUNTS):
                lacking = [unit.id for unit in listed if base not in self.register.counts.get(unit.id, {})]
                if base in weighed and lacking:
                    yield Finding(
                        file="bases.csv",
                        line=0,
                        level=Level.NOTE,
                        vi=f"{base}: {len(lacking)} trong {len(listed)} xã của {vintage} chưa có số ({self._some(lacking)}); "
                        "trọng số lấy bình quân và kết luận là chưa đủ căn cứ cho đến khi điền",
                        en=f"{base}: {len(lacking)} of {len(listed)} units of {vintage} have no count ({self._some(lacking)}); "
                        "they weigh the mean, and verdicts stay uncertain until it is filled in",
                    )

    def sums(self) -> Iterator[Finding]:
        """A territory has as many people, households and villages after a succession as before it, if they were counted on one day."""
        apart: Counter[tuple[str, Base]] = Counter()
        for earlier, later in _territories(self.register):
            vintage = later[0][0]
            for base in map(Base, COUNTS):
                before, after = self._counted(earlier, base), self._counted(later, base)
                if len(before) < len(earlier) or len(after) < len(later):
                    continue
                sums = [sum(count.value for count in counts) for counts in (before, after)]
                if sums[0] == sums[1]:
                    continue
                if len({(count.counted_on, count.status) for count in (*before, *after)}) > 1:
                    apart[vintage, base] += len(later)
                    continue
                yield Finding(
                    file="bases.csv",
                    line=self.bases[*later[0], base],
                    level=Level.ERROR,
                    vi=f"{base}: {self._all(later)} có {sums[1]}, nhưng gồm {self._all(earlier)} có {sums[0]} "
                    "cùng ngày đếm; sửa số ở một trong các dòng",
                    en=f"{base}: {self._all(later)}: {sums[1]}, but made of {self._all(earlier)}: {sums[0]} "
                    "counted on the same day; mend the count in one of the rows",
                )
        for (vintage, base), count in apart.items():
            yield Finding(
                file="bases.csv",
                line=0,
                level=Level.NOTE,
                vi=f"{base}: {count} xã của {vintage} khác tổng các xã trước đó, theo ngày đếm hoặc trạng thái khác; "
                "nếu có thì nhập cùng một nguồn cho cả hai danh mục",
                en=f"{base}: {count} units of {vintage} differ from the sum of their predecessors, whose day or status is another; "
                "import one source for both lists where there is one",
            )

    def targets(self) -> Iterator[Finding]:
        """A target falls due after it starts; one that ends before it is due can never be missed."""
        for line, row in self.tables["targets.csv"].rows:
            due, start, end = (_day(row, column) for column in ("due", "start", "end"))
            if due and start and due <= start:
                yield Finding(
                    file="targets.csv",
                    line=line,
                    level=Level.ERROR,
                    vi=f"due: {due} không sau start {start}; ghi ngày đầu tiên sau hạn, hoặc để trống nếu không có hạn",
                    en=f"due: {due} does not lie after start {start}; write the first day after the last one allowed, or nothing",
                )
            elif due and end and due > end:
                yield Finding(
                    file="targets.csv",
                    line=line,
                    level=Level.NOTE,
                    vi=f"due: {due} nằm sau end {end}, nên không bao giờ bị kết luận là chưa đạt; đúng nếu có văn bản thay thế",
                    en=f"due: {due} lies after end {end}, so this target can never be missed; right where another one took its place",
                )

    def obligations(self) -> Iterator[Finding]:
        """Who must report can report: units exist; every indicator is somebody's; every reporter speaks for somebody obliged."""
        for line, row in self.tables["obligations.csv"].rows:
            yield from self._binds(line, row)
        for indicator in self.catalogue.indicators:
            bound = {obligation.province for obligation in self.catalogue.obligations if obligation.indicator == indicator}
            lacking = [code for code in self.register.homes if code not in bound]
            if not bound or lacking:
                yield Finding(
                    file="indicators.csv",
                    line=self.tables["indicators.csv"].line(indicator=indicator),
                    level=Level.NOTE if bound else Level.ERROR,
                    vi=f"{indicator}: {f'không ai ở tỉnh {_listed(lacking)}' if bound else 'không ai'} phải báo cáo, "
                    "nên mọi xã ở đó mãi là chưa báo cáo, kể cả khi có tin; thêm dòng vào obligations.csv",
                    en=f"{indicator}: nobody {f'in province {_listed(lacking)} ' if bound else ''}is obliged to report it, "
                    "so every commune there stays unknown, whatever is sent; add a row to obligations.csv",
                )
        obliged = {obligation.operator for obligation in self.catalogue.obligations}
        for reporter in self.catalogue.reporters.values():
            if not reporter.operators & obliged:
                yield Finding(
                    file="reporters.csv",
                    line=self.tables["reporters.csv"].line(reporter=reporter.id),
                    level=Level.NOTE,
                    vi=f"{reporter.id}: không phải báo cáo và không nói thay ai phải báo cáo; tin của họ được nhận nhưng không được tính",
                    en=f"{reporter.id}: owes no report and speaks for nobody who does; what it says is admitted and counts for nothing",
                )

    def facts(self, name: str, data: bytes) -> Iterator[Finding]:
        """Every event of a file is admitted by these rows, and somebody is obliged to what it is about."""
        admission = Admission(self.rules)
        for line, value in enumerate(data.splitlines(), 1):
            if not value.strip():
                continue
            try:
                event = decode(value)
                route = admission.route(event)
            except Rejected as error:
                yield Finding(
                    file=name,
                    line=line,
                    level=Level.ERROR,
                    vi=f"bị từ chối ({error.reason}): {error.sentence}",
                    en=f"rejected ({error.reason}): {error.sentence}",
                )
                continue
            unit, operator = self.register.units[route.cell[:2]], route.slot[0]
            if all(one.operator != operator for one in self.catalogue.obliged(event.data.indicator, unit.province, unit.code)):
                yield Finding(
                    file=name,
                    line=line,
                    level=Level.NOTE,
                    vi=f"{operator} không có nghĩa vụ báo cáo {event.data.indicator} ở {unit.code}, nên tin này không được tính; "
                    "thêm dòng vào obligations.csv",
                    en=f"{operator} is not obliged to {event.data.indicator} in {unit.code}, so this counts for nothing; "
                    "add a row to obligations.csv",
                )

    def _binds(self, line: int, row: Mapping[str, str]) -> Iterator[Finding]:
        """Whether there is something to report on throughout."""
        code, start, end = row["province"], _day(row, "start"), _day(row, "end")
        held = [
            (first, {unit.code for unit in self.register.units.values() if (unit.vintage, unit.province) == (vintage.id, code)})
            for vintage in self.register.vintages.values()
            for first in [vintage.start.date()]
            if (end is None or first < end) and (vintage.end is None or start is None or start < vintage.end.date())
        ]
        listed = set[str]().union(*(codes for _, codes in held))
        gone = sorted(set(row.get("communes", "").split()) - listed)
        empty = [first for first, codes in held if not codes]
        if not listed:
            yield Finding(
                file="obligations.csv",
                line=line,
                level=Level.ERROR,
                vi=f"province: {code} không có xã nào trong thời gian của dòng này; sửa tỉnh hoặc start, end",
                en=f"province: {code} has no unit while this row holds; mend the province, or start and end",
            )
        elif gone:
            yield Finding(
                file="obligations.csv",
                line=line,
                level=Level.ERROR,
                vi=f"communes: {', '.join(gone)} không thuộc tỉnh {code} trong thời gian của dòng này; sửa mã",
                en=f"communes: {', '.join(gone)} not in province {code} while this row holds; mend the codes",
            )
        elif empty:
            yield Finding(
                file="obligations.csv",
                line=line,
                level=Level.NOTE,
                vi=f"province: {code} không có xã nào trong danh mục từ {empty[0]:%d/%m/%Y}; ghi end, và dòng mới cho tỉnh nhận các xã đó",
                en=f"province: {code} has no unit in the list from {empty[0]}; write end, and a row for the province they went to",
            )

    def _counted(self, units: Iterable[UnitId], base: Base) -> list[Count]:
        """The counts of those units that have one."""
        return [counts[base] for unit_id in units if base in (counts := self.register.counts.get(unit_id, {}))]

    def _name(self, unit_id: UnitId) -> str:
        return f"{self.register.units[unit_id].name} ({unit_id[1]}, {unit_id[0]})"

    def _all(self, units: Iterable[UnitId]) -> str:
        return " + ".join(map(self._name, units))

    def _some(self, units: list[UnitId]) -> str:
        return ", ".join(code for _, code in units[:_NAMED]) + (", …" if len(units) > _NAMED else "")


def _day(row: Mapping[str, str], column: str) -> date | None:
    return date.fromisoformat(row[column]) if row.get(column) else None


def _listed(codes: list[str]) -> str:
    return ", ".join(codes[:_NAMED]) + (", …" if len(codes) > _NAMED else "")


def _territories(register: Register) -> Iterator[tuple[tuple[UnitId, ...], tuple[UnitId, ...]]]:
    """The smallest territories that units of one list, and of the next, make up exactly: (earlier units, later units)."""
    seen: set[UnitId] = set()
    for unit_id in register.predecessors:
        if unit_id in seen:
            continue
        earlier: set[UnitId] = set()
        later = {unit_id}
        while True:
            earlier = {one.unit.id for each in later for one in register.predecessors[each]}
            grown = {each for one in earlier for each in register.successors[one]}
            if grown == later:
                break
            later = grown
        seen |= later
        yield tuple(sorted(earlier)), tuple(sorted(later))
