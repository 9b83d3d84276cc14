"""Rows of a table as statements.

Comes in: the rows of a sheet, and the `Forms` that say how they are read. Goes out: one `Item` for each row: an event, or what is wrong
with it, or why it is left out. Owns what one file has said so far: a few numbers for each row that states something, so that two rows
that contradict each other are told. A bad row is an item with problems, never an exception.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b
from typing import Any, NamedTuple, TypeVar

from phusong.admission import FUTURE_TOLERANCE
from phusong.events import MAX_COUNT, Fact, Method, Origin, Reason, Stated, Statement, Withdrawal, Withdrawn, data_bytes
from producers.sheets.cells import (
    CellError,
    Note,
    Text,
    Unread,
    Value,
    code_of,
    count_of,
    folded,
    is_empty,
    is_withdrawn,
    names_of,
    shown,
    text_of,
)
from producers.sheets.forms import CONTEXT, Forms
from producers.sheets.headings import Heading, label_of
from producers.sheets.tables import TOO_LONG, Merged, Row, Sheet

Cached = TypeVar("Cached")

_NEEDED = ("source", "indicator", "observed_at")
_KEPT_MAX = 100_000
_TITLE_ROWS_LABELLED_MAX = 200
_BLANK_ROWS_MAX = 1000


class Skipped(StrEnum):
    """Why a row is neither an event nor rejected."""

    TITLE = "title"
    HEADING = "heading"
    NUMBERING = "numbering"
    BLANK = "blank"
    TOTAL = "total"
    UNFILLED = "unfilled"
    WORDS = "words"


class Problem(NamedTuple):
    """What is wrong with a row: the column as it is headed ("": the row as a whole), what stands there, and the remedy."""

    column: str
    value: str
    reason: Reason
    text: Text


class Item(NamedTuple):
    """One row of a file: exactly one of an event, problems, or why it is left out; a heading that cannot be used is left out with problems.

    `number` is the row's as a spreadsheet shows it (CSV and JSONL: the line); 0: about the file or the sheet as a whole, only `notes`.
    `read` of `of` `unit` of the file are read with it; `cells` is the row itself, for a rejects file; `columns`: field -> (number of the
    column from 0, its heading).
    """

    sheet: str
    number: int
    event: Any = None
    problems: tuple[Problem, ...] = ()
    notes: tuple[Note, ...] = ()
    skipped: Skipped | None = None
    read: int = 0
    of: int = 0
    unit: str = "bytes"
    cells: Sequence[Value] | bytes = ()
    columns: Mapping[str, tuple[int, str]] = {}


class _Context(NamedTuple):
    """What a row says beside its commune and counts."""

    source: str
    indicator: str
    observed_at: datetime
    method: Method
    operator: str | None
    origin: Origin
    time: datetime
    vintage: str | None
    until: datetime | None
    listed: str
    """The list of communes that its code is looked up in, or ""."""
    notes: tuple[Note, ...]


class _Stated:
    """What the rows of a file have stated, as two numbers for each: a table of its own, since a million rows must fit into 100 MiB."""

    def __init__(self) -> None:
        self._size = 0
        self._keys, self._contents, self._rows = self._empty(1 << 10)

    @staticmethod
    def _empty(slots: int) -> tuple[array[int], array[int], array[int]]:
        return array("Q", bytes(8 * slots)), array("I", bytes(4 * slots)), array("Q", bytes(8 * slots))

    def first(self, key: int, content: int, row: int) -> int:
        """The row (sheet and number in one) that stated something else under that key before; 0: none did."""
        if 2 * self._size >= len(self._keys):
            self._grow()
        at = self._find(key)
        if self._keys[at]:
            return 0 if self._contents[at] == content else self._rows[at]
        self._keys[at], self._contents[at], self._rows[at] = key, content, row
        self._size += 1
        return 0

    def _find(self, key: int) -> int:
        keys, mask = self._keys, len(self._keys) - 1
        at = key & mask
        while keys[at] and keys[at] != key:
            at = (at + 1) & mask
        return at

    def _grow(self) -> None:
        old = self._keys, self._contents, self._rows
        self._keys, self._contents, self._rows = self._empty(2 * len(self._keys))
        for key, content, row in zip(*old, strict=True):
            if key:
                at = self._find(key)
                self._keys[at], self._contents[at], self._rows[at] = key, content, row


class FileForm:
    """One file's tables: `items` of one sheet after the other. `time`: when the file was saved, for rows that do not say when."""

    def __init__(self, forms: Forms, time: datetime, *, base_1904: bool = False, kind: str = "", unit: str = "rows", of: int = 0) -> None:
        self.forms = forms
        self.time = time
        self.base_1904 = base_1904
        self.kind, self.unit, self.of = kind, unit, of
        self.stated = _Stated()
        self.sheets: list[str] = []

    def items(self, sheet: Sheet) -> Iterator[Item]:
        """One item for each row of a sheet."""
        self.sheets.append(sheet.name)
        table: _Table | None = None
        labels: dict[str, tuple[str, Value]] = {}
        titles = 0
        rows = _without_trailing_blanks(sheet.rows())
        row, following = next(rows, None), next(rows, None)
        while row is not None:
            heading = None if table is not None and table.is_plain(row) else self._heading(row, following)
            if heading is not None:
                used = [row, following] if len(heading.rows) == 2 and following is not None else [row]
                table = self._begin(table, heading, labels, sheet, row.number)
                yield self._item(
                    sheet,
                    row,
                    problems=tuple(table.problems),
                    notes=tuple(table.notes),
                    skipped=Skipped.HEADING,
                    columns=table.shown,
                )
                if len(used) == 2:
                    yield self._item(sheet, used[1], skipped=Skipped.HEADING, columns=table.shown)
                    row, following = used[1], next(rows, None)
                if following is not None and _is_numbering(following):
                    row, following = following, next(rows, None)
                    yield self._item(sheet, row, skipped=Skipped.NUMBERING)
                labels, titles = {}, 0
            else:
                item = self._title(sheet, row) if table is None else table.item(row)
                if item.skipped in (Skipped.TITLE, Skipped.WORDS) and titles < _TITLE_ROWS_LABELLED_MAX:
                    found = _labels(row.cells)
                    labels.update(found)
                    titles += 1
                    if found:
                        item = item._replace(skipped=Skipped.TITLE, notes=())
                yield item
            row, following = following, next(rows, None)

    def _heading(self, row: Row, following: Row | None) -> _Found | None:
        """The heading that begins with this row, if one does: of two rows where the second adds to the first."""
        if row.broken or not any(isinstance(cell, str) and folded(cell) for cell in row.cells[:_HEADING_CELLS_MAX]):
            return None
        mapped = self.forms.mapped
        alone = Heading([row.cells], mapped)
        if following is not None and not following.broken:
            under = Heading([following.cells], mapped)
            both = Heading([row.cells, following.cells], mapped)
            adds = both.found > max(alone.found, under.found) or (alone.is_table and under.is_table and alone.texts != under.texts)
            if both.is_table and adds and _are_words(following.cells):
                return _Found(both, (row, following))
        return _Found(alone, (row,)) if alone.is_table else None

    def _begin(self, before: _Table | None, found: _Found, labels: Mapping[str, tuple[str, Value]], sheet: Sheet, number: int) -> _Table:
        if before is not None and not labels and before.heading.texts == found.heading.texts:
            return before.again()
        inherited = {} if before is None else {field: said for field, said in before.labels.items() if field != "indicator"}
        return _Table(self, sheet, found.heading, {**inherited, **labels}, number)

    def _title(self, sheet: Sheet, row: Row) -> Item:
        return self._item(sheet, row, skipped=Skipped.BLANK if all(map(is_empty, row.cells)) else Skipped.TITLE)

    def _item(self, sheet: Sheet, row: Row, **more: Any) -> Item:
        return Item(sheet.name, row.number, read=row.read, of=self.of, unit=self.unit, cells=row.cells, **more)


_HEADING_CELLS_MAX = 500


def _without_trailing_blanks(rows: Iterator[Row]) -> Iterator[Row]:
    """The rows up to the last one that holds something; of a long run of blank ones the first thousand."""
    blank: list[Row] = []
    for row in rows:
        # nearly every row has something in its first cells
        if row.broken is None and not any(row.cells) and all(map(is_empty, row.cells)):
            if len(blank) < _BLANK_ROWS_MAX:
                blank.append(row)
            continue
        yield from blank
        blank.clear()
        yield row


class _Found(NamedTuple):
    heading: Heading
    rows: tuple[Row, ...]


def _are_words(cells: Sequence[Value]) -> bool:
    """Whether a row may be the lower one of a heading: nothing in it but words."""
    return all(isinstance(cell, str) and not cell.strip().isdecimal() for cell in cells)


def _is_numbering(row: Row) -> bool:
    """Whether a row only numbers the columns: "A | B | 1 | 2", "(1) | (2) | (3) | (4=3/2)"."""
    texts = [shown(cell).strip() for cell in row.cells if not is_empty(cell)]
    if len(texts) < 3 or row.broken:
        return False
    plain = [text.strip("()").partition("=")[0].strip() for text in texts]
    letters = [one for one in plain if len(one) == 1 and one.isascii() and one.isalpha()]
    numbers = [int(one) for one in plain if one.isascii() and one.isdigit() and len(one) < 4]
    return len(letters) + len(numbers) == len(plain) and numbers == list(range(1, len(numbers) + 1))


def _labels(cells: Sequence[Value]) -> dict[str, tuple[str, Value]]:
    """Field -> (label, value) of the "label: value" pairs of a row: in one cell, or with the value in the next that holds something."""
    filled = [cell for cell in cells if not is_empty(cell)]
    found: dict[str, tuple[str, Value]] = {}
    for at, cell in enumerate(filled):
        if not isinstance(cell, str):
            continue
        label, colon, rest = cell.partition(":")
        field = label_of(label) if colon or len(filled) == 2 else ""
        if field and rest.strip():
            found[field] = (label.strip(), rest.strip())
        elif field and at + 1 < len(filled):
            found[field] = (label.strip(), filled[at + 1])
    return found


_TOTALS = frozenset(
    folded(text)
    for text in [
        "Tổng",
        "Tổng cộng",
        "Tổng số",
        "Cộng",
        "Total",
        "Grand total",
        "Subtotal",
        "Sum",
        "Toàn tỉnh",
        "Cả tỉnh",
        "Tổng toàn tỉnh",
        "Cộng toàn tỉnh",
        "Cả nước",
        "Tổng cộng toàn tỉnh",
        "Tổng số toàn tỉnh",
        "Toàn huyện",
        "Cộng huyện",
        "Tổng huyện",
        "Cộng toàn huyện",
        "Totals",
        "Tổng hợp",
    ]
)
_TOTAL_STARTS = tuple(
    f"{one} {other} " for one in ("tong", "cong", "tong cong", "tong so") for other in ("huyen", "tinh", "thanh pho", "thi xa")
)


def _is_total(text: str) -> bool:
    return text in _TOTALS or text.startswith(_TOTAL_STARTS)


_TOTAL = Text("hàng tổng, hàng nhóm được bỏ qua", "a row of sums or of a group is left out")
_UNREAD = Text("không đọc, vì tiêu đề của bảng có lỗi", "not read, since the heading of its table is wrong")
_EMPTY: tuple[Any, ...] = ()


class _Table:
    """One table of a sheet while it is read, from its heading on."""

    def __init__(self, form: FileForm, sheet: Sheet, heading: Heading, labels: Mapping[str, tuple[str, Value]], number: int) -> None:
        self.heading, self.labels = heading, labels
        self.problems: list[Problem] = []
        self.notes: list[Note] = []
        self.shown = {field: (column, heading.texts[column][0]) for field, column in heading.columns.items()}
        self._form, self._forms, self._sheet = form, form.forms, sheet
        self._columns = heading.columns
        self._number = len(form.sheets) << 32
        self._code, self._name, self._district = (self._columns.get(name, -1) for name in ("commune", "commune_name", "district"))
        self._covered, self._expected = self._columns.get("covered", -1), self._columns.get("expected", -1)
        self._uncovered, self._measured = self._columns.get("uncovered", -1), self._columns.get("measured", -1)
        self._context = [(field, self._columns[field]) for field in CONTEXT if field in self._columns]
        self._contexts: dict[tuple[Value, ...], _Context | tuple[Problem, ...]] = {}
        self._units: dict[tuple[Value, ...], tuple[str, tuple[Note, ...]] | Problem] = {}
        self._constants = self._find_constants()
        self._check_heading(number)
        self._padding = [""] * len(heading.texts)
        self._width = max((at + 1 for at, texts in enumerate(heading.texts) if texts[0]), default=0)
        below = [one for one in sheet.merged if one[0][0] >= number]
        self._down = _Spans(below, [self._columns[one] for one in ("district", "indicator") if one in self._columns])
        counted = ("commune", "commune_name", "covered", "expected", "uncovered", "measured")
        self._merged_counts = _Spans(below, [self._columns[one] for one in counted if one in self._columns])

    def again(self) -> _Table:
        """The same table after its heading was repeated, as on a new page."""
        self.notes = []
        return self

    def is_plain(self, row: Row) -> bool:
        """Whether a row is surely none of a heading: a number stands where the counts stand."""
        return self._is_number(self._cell(row.cells, self._covered))

    @staticmethod
    def _is_number(value: Value) -> bool:
        return type(value) is float or (isinstance(value, str) and value.isdecimal()) or isinstance(value, int)

    @staticmethod
    def _cell(cells: Sequence[Value], column: int) -> Value:
        return cells[column] if 0 <= column < len(cells) else ""

    def _find_constants(self) -> dict[str, Any]:
        """Field -> what the labels above the table, or else the options, say of every row."""
        constants = dict(self._forms.given)
        for field, (label, value) in self.labels.items():
            try:
                found, note = self._forms.read(field, value, base_1904=self._form.base_1904)
            except CellError as error:
                self.problems.append(Problem(label, shown(value), error.reason, error.text))
                continue
            if note is not None:
                self.notes.append(note)
            if field in constants and constants[field] != found:
                said = _said(constants[field])
                option = f"--{field.replace('_', '-')}"
                text = Text(
                    f"trái với {option} {said}; sửa một trong hai, hoặc bỏ {option}",
                    f"contradicts {option} {said}; mend one of them, or leave {option} out",
                )
                self.problems.append(Problem(label, shown(value), Reason.SCHEMA, text))
            constants[field] = found
        return constants

    def _check_heading(self, number: int) -> None:
        del number
        self.problems += [Problem(column, "", Reason.SCHEMA, text) for column, text in self.heading.problems]
        for field, words in _NEEDED_WORDS.items():
            if field not in self._columns and (field not in self._constants or field in ("covered", "expected", "commune")):
                if field == "commune" and self._name >= 0:
                    continue  # each row is told its code
                if any(problem.column and field == label_of(problem.column) for problem in self.problems):
                    continue  # it stands there, and is already told to be wrong
                self.problems.append(Problem("", "", _NEEDED_REASON.get(field, Reason.SCHEMA), words))
        if self._forms.mapped is not None:
            found = {folded(text) for column in self.heading.texts for text in column}
            for field, heading in self._forms.mapped.items():
                if folded(heading) not in found:
                    text = Text(
                        f"không có cột này (cột {field} của tệp ánh xạ)",
                        f"there is no such column (the mapping's {field}); mend the mapping",
                    )
                    self.problems.append(Problem(heading, "", Reason.SCHEMA, text))
        if unknown := self.heading.unknown:
            names = ", ".join(f'"{shown(one)}"' for one in unknown[:20])
            self.notes.append(Note("columns", Text(f"bỏ qua các cột: {names}", f"these columns are ignored: {names}")))

    def item(self, row: Row) -> Item:
        """What a row under the heading is."""
        if row.broken is not None:
            reason = Reason.TOO_LARGE if row.broken is TOO_LONG else Reason.SCHEMA
            return self._rejected(row, (Problem("", "", reason, row.broken),))
        if self.problems:
            blank = all(map(is_empty, row.cells))
            return self._skipped(row, Skipped.BLANK) if blank else self._skipped(row, Skipped.WORDS, Note("unread", _UNREAD))
        code = self._cell(row.cells, self._code)
        # nearly every row has a code of five digits and a number
        if not (isinstance(code, str) and len(code) == 5 and code.isdecimal() and self.is_plain(row)):
            left_out = self._left_out(row, code)
            if left_out is not None:
                return left_out
        misplaced = self._misplaced(row) if len(row.cells) > self._width or self._merged_counts.columns else None
        if misplaced is not None:
            return misplaced
        return self._statement(row._replace(cells=self._down.fill(row.number - 1, row.cells)) if self._down.columns else row)

    def _misplaced(self, row: Row) -> Item | None:
        """A row with cells that stand under no heading, or are merged with those of other rows."""
        if (problem := self._beyond(row.cells)) is not None:
            return self._rejected(row, (problem,))
        merged = self._merged_counts.at(row.number - 1)
        if not merged:
            return None
        # nobody may send them unmended: the rejects file has them empty
        emptied = ["" if column in merged else cell for column, cell in enumerate(row.cells)]
        return self._rejected(row._replace(cells=emptied), tuple(self._merged(row.cells, column) for column in merged))

    def _merged(self, cells: Sequence[Value], column: int) -> Problem:
        """A code, name or count in a cell that is merged over several rows."""
        text = Text(
            "ô gộp nhiều hàng, không biết số của xã nào; bỏ gộp, ghi từng hàng",
            "one cell is merged over several rows, and nobody knows whose it is; unmerge it and fill in each row",
        )
        heading = self.heading.texts[column][0] if column < len(self.heading.texts) else ""
        return Problem(heading, shown(self._cell(cells, column)), Reason.SCHEMA, text)

    def _beyond(self, cells: Sequence[Value]) -> Problem | None:
        """In CSV, a cell that stands under no heading: "1,234" without quotes is two cells, and all that follow are shifted."""
        value = next((cell for cell in cells[self._width :] if not is_empty(cell)), "")
        if self._form.kind != "csv" or is_empty(value):
            return None
        text = Text(
            'nhiều ô hơn tiêu đề; đặt số như 1,234 trong dấu ", hoặc ngăn cột bằng dấu chấm phẩy',
            "more cells than headings; put quotes around a number such as 1,234, or separate the columns by semicolons",
        )
        return Problem("", shown(value), Reason.SCHEMA, text)

    def _left_out(self, row: Row, code: Value) -> Item | None:
        cells = row.cells
        filled = [cell for cell in cells if not is_empty(cell)]
        if not filled:
            return self._skipped(row, Skipped.BLANK)
        name = self._cell(cells, self._name)
        words = [folded(cell) for cell in (code, name, filled[0]) if isinstance(cell, str)]
        if not self._is_code(code):
            is_group = isinstance(name, str) and is_empty(code) and self._forms.units.is_district(name)
            if is_group or any(map(_is_total, words)):
                return self._skipped(row, Skipped.TOTAL, Note("total", _TOTAL))
        counts = [self._cell(cells, column) for column in (self._covered, self._expected, self._uncovered, self._measured)]
        known = self._is_code(code) or (isinstance(name, str) and self._forms.units.is_commune(name))
        if known and all(map(is_empty, counts)):
            return self._skipped(row, Skipped.UNFILLED)
        if not known and not any(self._is_number(one) or isinstance(one, Unread) for one in counts[:2]) and not _looks_stated(counts):
            text = shown(filled[0])
            return self._skipped(row, Skipped.WORDS, Note("words", Text(f'"{text}" không phải số liệu', f'"{text}" is no data')))
        return None

    @staticmethod
    def _is_code(value: Value) -> bool:
        return (isinstance(value, str) and any(map(str.isdecimal, value))) or (
            isinstance(value, int | float) and not isinstance(value, bool)
        )

    def _statement(self, row: Row) -> Item:
        # one empty cell more: what has no column (-1) is empty
        cells = [*row.cells, *self._padding[len(row.cells) :], ""]
        notes: list[Note] = []
        problems: list[Problem] = []
        key = tuple([cells[column] for _, column in self._context])
        context = self._contexts.get(key)
        if context is None:
            context = self._kept(self._contexts, key, self._read_context(key))
        if isinstance(context, _Context):
            listed = context.listed
            notes += context.notes
        else:
            listed = ""
            problems += context
        code = self._unit(cells, listed, notes, problems)
        withdrawn = is_withdrawn(cells[self._covered])
        covered = expected = 0
        uncovered = None
        if withdrawn:
            notes.append(_WITHDRAWN)
        else:
            covered = self._count("covered", cells[self._covered], notes, problems)
            expected = self._count("expected", cells[self._expected], notes, problems)
            uncovered = self._names("uncovered", cells[self._uncovered], problems)
        measured = self._names("measured", cells[self._measured], problems)
        if problems or not isinstance(context, _Context):
            return self._rejected(row, tuple(problems), tuple(notes))
        data: Statement | Withdrawal
        if withdrawn:
            data = Withdrawal(
                commune=code,
                indicator=context.indicator,
                observed_at=context.observed_at,
                method=context.method,
                origin=context.origin,
                operator=context.operator,
                vintage=context.vintage,
                measured=measured,
                until=context.until,
            )
        else:
            data = Statement(
                commune=code,
                indicator=context.indicator,
                observed_at=context.observed_at,
                method=context.method,
                origin=context.origin,
                operator=context.operator,
                vintage=context.vintage,
                measured=measured,
                until=context.until,
                covered=covered,
                expected=expected,
                uncovered=uncovered,
            )
        event = _event(context, "-", data)
        # of the content alone: the same row sent twice is one event
        content = blake2b(context.source.encode() + b"\n" + data_bytes(event), digest_size=16).hexdigest()
        event = _event(context, f"sheet/{content}", data)
        if problem := self._contradiction(row, context, data, int(content[:8], 16)):
            # nobody may send it unmended, later than the first, and so replace it: the rejects file has it without its counts
            emptied = ["" if column in (self._covered, self._expected) else cell for column, cell in enumerate(row.cells)]
            return self._rejected(row._replace(cells=emptied), (problem,), tuple(notes))
        return Item(
            self._sheet.name,
            row.number,
            event,
            notes=tuple(notes) if notes else _EMPTY,
            read=row.read,
            of=self._form.of,
            unit=self._form.unit,
            cells=row.cells,
            columns=self.shown,
        )

    def _contradiction(self, row: Row, context: _Context, data: Statement | Withdrawal, content: int) -> Problem | None:
        """Two rows of one file about the same thing and moment: nobody can tell which one is meant."""
        subject = (context.source, data.commune, context.indicator, context.observed_at, context.operator, context.method)
        # salted by Python in each run: nobody can make two subjects look like one
        key = hash((*subject, context.vintage, context.until, context.time, data.measured)) & 0xFFFF_FFFF_FFFF_FFFF or 1
        first = self._form.stated.first(key, content, self._number | row.number)
        if not first:
            return None
        sheet, number = self._form.sheets[(first >> 32) - 1], first & 0xFFFF_FFFF
        where = f"{sheet}:{number}" if sheet and len(self._form.sheets) > 1 else str(number)
        text = Text(
            f"hàng {where} nêu số khác cho cùng xã, chỉ tiêu và ngày; bỏ một hàng, hoặc ghi lại số đúng vào hàng này",
            f"row {where} states other figures for the same commune, indicator and date; remove one, or fill in the right ones here",
        )
        return self._problem("commune" if self._code >= 0 else "commune_name", data.commune, Reason.SCHEMA, text)

    def _unit(self, cells: Sequence[Value], listed: str, notes: list[Note], problems: list[Problem]) -> str:
        key = (cells[self._code], cells[self._name], cells[self._district], listed)
        found = self._units.get(key)
        if found is None:
            found = self._kept(self._units, key, self._read_unit(*key[:3], listed))
        if isinstance(found, Problem):
            problems.append(found)
            return ""
        notes += found[1]
        return found[0]

    def _read_unit(self, code: Value, name: Value, district: Value, listed: str) -> tuple[str, tuple[Note, ...]] | Problem:
        field, value = "commune_name", name
        try:
            called = "" if is_empty(name) else text_of(name)
            field, value = "district", district
            where = "" if is_empty(district) else text_of(district)
            field, value = ("commune", code) if self._name < 0 or not is_empty(code) else ("commune_name", name)
            if is_empty(code):
                raise self._forms.units.missing(listed, called, where)
            found, note = code_of(code)
            if called:
                self._forms.units.check(listed, found, called, where)
        except CellError as error:
            return self._problem(field, shown(value), error.reason, error.text)
        return found, () if note is None else (note,)

    def _read_context(self, key: Sequence[Value]) -> _Context | tuple[Problem, ...]:
        values = dict(self._constants)
        problems: list[Problem] = []
        notes: list[Note] = []
        for (field, _), value in zip(self._context, key, strict=True):
            if is_empty(value):
                continue
            try:
                found, note = self._forms.read(field, value, base_1904=self._form.base_1904)
            except CellError as error:
                problems.append(self._problem(field, shown(value), error.reason, error.text))
                continue
            if note is not None:
                notes.append(note)
            if field in self._constants and self._constants[field] != found:
                said = _said(self._constants[field])
                where = f'"{self.labels[field][0]}: {said}"' if field in self.labels else f"--{field.replace('_', '-')} {said}"
                text = Text(f"trái với {where}; sửa một trong hai", f"contradicts {where}; mend one of them")
                problems.append(self._problem(field, shown(value), Reason.SCHEMA, text))
            values[field] = found
        for field in _NEEDED:
            if field not in values and not any(problem.column == self.shown.get(field, (0, ""))[1] for problem in problems):
                text = Text("ô trống; ghi vào", "the cell is empty; fill it in")
                problems.append(self._problem(field, "", _NEEDED_REASON.get(field, Reason.SCHEMA), text))
        if problems:
            return tuple(problems)
        observed_at: datetime = values["observed_at"]
        if observed_at > self._forms.now + FUTURE_TOLERANCE:
            # before the commune is looked up in a list that is in force only then
            text = Text("ngày ở tương lai; sửa ngày", "the date lies in the future; mend it")
            value = next((shown(one) for (field, _), one in zip(self._context, key, strict=True) if field == "observed_at"), "")
            return (self._problem("observed_at", value or _said(observed_at), Reason.OBSERVED_IN_FUTURE, text),)
        vintage = self._forms.rules.register.vintage_at(observed_at)
        return _Context(
            source=values["source"],
            indicator=values["indicator"],
            observed_at=observed_at,
            method=values.get("method", Method.DECLARED),
            operator=values.get("operator"),
            origin=values.get("origin", Origin.REAL),
            time=values.get("time", self._form.time),
            vintage=values.get("vintage"),
            until=values.get("until"),
            listed=values.get("vintage") or (vintage.id if vintage else ""),
            notes=tuple(notes),
        )

    def _count(self, field: str, value: Value, notes: list[Note], problems: list[Problem]) -> int:
        """The count, or 0 beside a problem."""
        if isinstance(value, str) and len(value) < 18 and value.isascii() and value.isdecimal():
            return int(value)
        if is_empty(value):
            text = Text("ô trống; không có thì ghi 0", "the cell is empty; write 0 where there is none")
            problems.append(self._problem(field, "", Reason.SCHEMA, text))
            return 0
        try:
            found, note = count_of(value)
        except CellError as error:
            problems.append(self._problem(field, shown(value), error.reason, error.text))
            return 0
        if note is not None:
            notes.append(note)
        return found

    def _names(self, field: str, value: Value, problems: list[Problem]) -> tuple[str, ...] | None:
        if value == "" or is_empty(value):
            return None
        try:
            return names_of(value)
        except CellError as error:
            problems.append(self._problem(field, shown(value), error.reason, error.text))
            return None

    def _problem(self, field: str, value: str, reason: Reason, text: Text) -> Problem:
        return Problem(self.shown.get(field, (0, ""))[1], value, reason, text)

    def _rejected(self, row: Row, problems: tuple[Problem, ...], notes: tuple[Note, ...] = ()) -> Item:
        form = self._form
        return Item(self._sheet.name, row.number, None, problems, notes, None, row.read, form.of, form.unit, row.cells, self.shown)

    def _skipped(self, row: Row, why: Skipped, *notes: Note) -> Item:
        form = self._form
        return Item(self._sheet.name, row.number, None, (), notes, why, row.read, form.of, form.unit, row.cells, self.shown)

    @staticmethod
    def _kept(cache: dict[tuple[Value, ...], Cached], key: tuple[Value, ...], found: Cached) -> Cached:
        if len(cache) >= _KEPT_MAX:
            cache.clear()
        cache[key] = found
        return found


_FIGURE = re.compile(r"\s*[-+−(<>~≈]*\s*\d")


def _looks_stated(counts: Sequence[Value]) -> bool:
    """Whether the cells of the counts, in a row without a known commune, say a figure in some other way ("5 thôn", "99 %", "12,0")."""
    return is_withdrawn(counts[0]) or any(not isinstance(one, str) or _FIGURE.match(one) for one in counts[:2] if not is_empty(one))


_WITHDRAWN = Note("withdrawn", Text("rút lại số liệu đã gửi của xã này", "takes back what was stated of this commune"))


def _event(context: _Context, name: str, data: Statement | Withdrawal) -> Fact:
    if isinstance(data, Withdrawal):
        return Withdrawn(specversion="1.0", id=name, source=context.source, time=context.time, data=data)
    return Stated(specversion="1.0", id=name, source=context.source, time=context.time, data=data)


def _said(value: object) -> str:
    return value.isoformat()[:10] if isinstance(value, datetime) else str(value)


class _Spans:
    """Cells merged over several rows of some columns; rows come in order."""

    def __init__(self, merged: Sequence[Merged], columns: Sequence[int]) -> None:
        self._starts: dict[int, list[tuple[int, int]]] = {}
        for (first, left), (last, right) in merged:
            for column in columns:
                if last > first and left <= column <= right:
                    self._starts.setdefault(first, []).append((column, last))
        self.columns = {column for spans in self._starts.values() for column, _ in spans}
        self._now: dict[int, tuple[int, int, Value]] = {}

    def at(self, row: int) -> list[int]:
        """The columns that are merged over this row (from 0)."""
        self._move(row, ())
        return [column for column, (_, last, _) in self._now.items() if row <= last]

    def fill(self, row: int, cells: Sequence[Value]) -> Sequence[Value]:
        """The row, with what a merged cell says written into it."""
        self._move(row, cells)
        filled = list(cells)
        for column, (_, last, value) in self._now.items():
            if row <= last and column < len(filled) and is_empty(filled[column]):
                filled[column] = value
        return filled

    def _move(self, row: int, cells: Sequence[Value]) -> None:
        for column, last in self._starts.get(row, ()):
            self._now[column] = (row, last, cells[column] if column < len(cells) else "")


_NEEDED_WORDS = {
    "commune": Text('không có cột mã xã; thêm cột "Mã xã"', 'there is no column for the commune\'s code; add one headed "Mã xã"'),
    "covered": Text('không có cột số đã phủ; thêm cột "Đã phủ"', 'there is no column for what is covered; add one headed "Đã phủ"'),
    "expected": Text('không có cột tổng số; thêm cột "Tổng số"', 'there is no column for the whole; add one headed "Tổng số"'),
    "source": Text(
        'không biết ai báo cáo; thêm --source, cột "Đơn vị báo cáo", hoặc dòng "Đơn vị báo cáo: …" trên bảng',
        'it is not said who reports; add --source, a column "Đơn vị báo cáo", or a line "Đơn vị báo cáo: …" above the table',
    ),
    "indicator": Text(
        'không biết chỉ tiêu nào; thêm --indicator, cột "Chỉ tiêu", hoặc dòng "Chỉ tiêu: …" trên bảng',
        'it is not said what is counted; add --indicator, a column "Chỉ tiêu", or a line "Chỉ tiêu: …" above the table',
    ),
    "observed_at": Text(
        'không biết số liệu của ngày nào; thêm --observed-at, cột "Ngày số liệu", hoặc dòng "Ngày số liệu: …" trên bảng',
        'it is not said of which day; add --observed-at, a column "Ngày số liệu", or a line "Ngày số liệu: …" above the table',
    ),
}
_NEEDED_REASON = {"source": Reason.UNKNOWN_REPORTER, "indicator": Reason.UNKNOWN_INDICATOR}


def problem_of(reason: Reason, sentence: str, item: Item) -> Problem:
    """What the rules say against an item's event, beside the column that it is about."""
    field = _FIELD_OF.get(reason, "")
    for name in ("uncovered", "measured", "until", "covered", "expected", "operator", "vintage"):
        if reason is Reason.SCHEMA and (f"$.data.{name}" in sentence or f"`{name}`" in sentence):
            field = name
            break
    if reason is Reason.COUNTS_OUT_OF_RANGE and not 0 <= item.event.data.expected <= MAX_COUNT:
        field = "expected"
    if reason is Reason.OBSERVED_IN_FUTURE and isinstance(item.event, Fact) and item.event.time > item.event.data.observed_at:
        field = "time" if "time" in item.columns or "observed_at" not in item.columns else "observed_at"
    column, heading = item.columns.get(field, (-1, ""))
    value = shown(item.cells[column]) if 0 <= column < len(item.cells) and not isinstance(item.cells, bytes) else ""
    return Problem(heading, value, reason, Text(_in_vietnamese(reason, sentence, item.event), sentence))


def _in_vietnamese(reason: Reason, sentence: str, event: Any) -> str:
    if reason is Reason.COUNTS_OUT_OF_RANGE and isinstance(event, Stated):
        return f"{_MEANINGS[reason]}: {event.data.covered} trên {event.data.expected} (0 ≤ đã phủ ≤ tổng số ≤ {MAX_COUNT})"
    if reason is Reason.UNKNOWN_COMMUNE and isinstance(event, Fact):
        _, hint, near = sentence.partition("; did you mean ")
        return f'{_MEANINGS[reason]}: "{event.data.commune}"; sửa mã' + (f", có phải là {near.rstrip('?')}?" if hint else "")
    return f"{_MEANINGS[reason]}; {sentence}"


_MEANINGS = {
    Reason.NOT_JSON: "không phải JSON",
    Reason.NOT_CLOUDEVENT: "không phải CloudEvent",
    Reason.UNKNOWN_TYPE: "loại sự kiện lạ",
    Reason.SCHEMA: "sai một trường",
    Reason.UNKNOWN_COMMUNE: "không có mã xã này trong danh mục",
    Reason.UNKNOWN_VINTAGE: "không có danh mục xã này",
    Reason.OUTSIDE_VINTAGE: "danh mục xã không có hiệu lực vào ngày đó",
    Reason.UNKNOWN_INDICATOR: "không có chỉ tiêu này",
    Reason.WRONG_TOPIC: "sai topic",
    Reason.KEY_MISMATCH: "sai khóa",
    Reason.WRONG_PARTITION: "sai phân vùng",
    Reason.UNKNOWN_REPORTER: "không có đơn vị báo cáo này",
    Reason.UNKNOWN_OPERATOR: "đơn vị báo cáo không được nói thay doanh nghiệp này",
    Reason.COUNTS_OUT_OF_RANGE: "số đã phủ phải từ 0 đến tổng số",
    Reason.OBSERVED_IN_FUTURE: "ngày ở tương lai",
    Reason.TOO_LARGE: "quá lớn",
    Reason.PROCESSOR_ERROR: "lỗi xử lý",
}

_FIELD_OF = {
    Reason.UNKNOWN_COMMUNE: "commune",
    Reason.UNKNOWN_INDICATOR: "indicator",
    Reason.UNKNOWN_REPORTER: "source",
    Reason.UNKNOWN_OPERATOR: "operator",
    Reason.UNKNOWN_VINTAGE: "vintage",
    Reason.OUTSIDE_VINTAGE: "observed_at",
    Reason.OBSERVED_IN_FUTURE: "observed_at",
    Reason.COUNTS_OUT_OF_RANGE: "covered",
    Reason.TOO_LARGE: "uncovered",
}
