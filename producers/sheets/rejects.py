"""The rejects file: what of a file was refused, in the same format, with a reason in its last column, to be mended and sent again.

Comes in: the items of one file, in its order. Goes out: `NAME.rejects.EXT` beside it, with the titles and headings that its rows need; no
rejects, no file. Owns nothing once it is written: a file of that name that says anything else, which somebody may be mending, stays, and
the rejects go into `NAME.rejects-2.EXT`, and so on. Text that a spreadsheet would take for a formula is written as text. A file that cannot
be written is a `FileError`, if possible before anything is added.
"""

from __future__ import annotations

import csv
import errno
import io
import os
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from producers.sheets.cells import Lang, Percent, Text, Unread, Value, folded, shown
from producers.sheets.headings import REASON_HEADING
from producers.sheets.statements import Item, Skipped
from producers.sheets.tables import FileError

_KEPT_ROWS_MAX = 200
_CHUNK_BYTES = 1024 * 1024
_SAID_WHEN = frozenset({"docProps/core.xml", "meta.xml"})  # the parts of a workbook that hold when it was made
_WIDTH_MIN, _WIDTH_MAX, _REASON_WIDTH = 10, 40, 60  # of a column, in characters
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class _Style(NamedTuple):
    """What a file has in common with the one that it came from."""

    delimiter: str
    base_1904: bool


class _Writer(Protocol):
    """A file of one format while it is written."""

    def row(self, sheet: str, cells: Sequence[Value]) -> None:
        """Add a row to a sheet."""

    def close(self) -> None:
        """Finish the file."""


class RejectsFile:
    """The rejects of one file; `add` each of its items, then `finish`, or `discard` where the file was not read to its end."""

    def __init__(self, path: str, kind: str, delimiter: str, lang: Lang, *, base_1904: bool = False) -> None:
        source = Path(path)
        # macros are not copied
        self.path = source.with_name(f"{source.stem}.rejects{'.xlsx' if source.suffix.lower() == '.xlsm' else source.suffix}")
        self._kind, self._lang = kind, lang
        self._style = _Style(delimiter, base_1904)
        self.kept = ""
        """The file of an earlier run, or somebody's own, that stands in the place of this one and is left as it is; "": none."""
        self._writer: _Writer | None = None
        self._sheet = ""
        self._pending: list[tuple[Skipped, Sequence[Value]]] = []
        self._reason_column = 0
        self._came_back = False
        self._in_heading = False
        try:
            # before a row is sent: who finds out afterwards has rejects and nowhere to put them
            handle, name = tempfile.mkstemp(prefix=f".{self.path.stem}.", suffix=self.path.suffix, dir=self.path.parent)
            os.close(handle)
        except OSError as error:
            raise self._unwritable(error) from error
        self._part = Path(name)

    def add(self, item: Item) -> None:
        """Take notice of a row: titles and headings are kept until a rejected row needs them."""
        if isinstance(item.cells, bytes):
            if item.problems and item.cells:
                self._write("", [item.cells.decode("utf-8", "surrogateescape"), self._reason(item)])
            return
        if item.sheet != self._sheet:
            self._sheet, self._pending = item.sheet, []
        if item.skipped is Skipped.HEADING:
            self._add_heading(item)
            return
        self._in_heading = False
        if item.skipped in (Skipped.TITLE, Skipped.WORDS) and len(self._pending) < _KEPT_ROWS_MAX and item.number:
            self._pending.append((item.skipped, item.cells))
        elif item.problems:
            for _, cells in self._pending:
                self._write(item.sheet, cells)
            self._pending = []
            self._write(item.sheet, _with(item.cells, self._reason_column, self._reason(item), replaced=self._came_back))

    def _add_heading(self, item: Item) -> None:
        cells: Sequence[Value] = () if isinstance(item.cells, bytes) else item.cells
        if not self._in_heading:
            # of the table before, nothing was rejected since its heading came
            self._pending = [one for one in self._pending if one[0] is not Skipped.HEADING]
            texts = [folded(cell) if isinstance(cell, str) else "" for cell in cells]
            reason = folded(REASON_HEADING)
            self._came_back = reason in texts
            beyond = max((number + 1 for number, _ in item.columns.values()), default=0)
            filled = max((number + 1 for number, cell in enumerate(cells) if cell != ""), default=0)
            self._reason_column = texts.index(reason) if self._came_back else max(beyond, filled)
            cells = _with(cells, self._reason_column, REASON_HEADING, replaced=self._came_back)
        self._in_heading = True
        self._pending.append((Skipped.HEADING, cells))

    def _reason(self, item: Item) -> str:
        texts = []
        for problem in item.problems:
            column = f"{problem.column}: " if problem.column else ""
            texts.append(f"{column}{problem.reason}: {problem.text.of(self._lang)}")
        return "; ".join(texts)

    def _write(self, sheet: str, cells: Sequence[Value]) -> None:
        try:
            if self._writer is None:
                self._writer = _WRITERS[self._kind](self._part, self._style)
            self._writer.row(sheet, cells)
        except OSError as error:
            raise self._unwritable(error) from error

    def finish(self) -> str:
        """Put the file in its place, and return its name, or "" where nothing was rejected; `kept` then tells what was there already."""
        try:
            if self._writer is None:
                self.kept = str(self.path) if self.path.exists() else ""
                self.discard()
                return ""
            self._writer.close()
            # mkstemp's file is for its owner alone: as readable as any other that a program writes
            umask = os.umask(0)
            os.umask(umask)
            self._part.chmod(0o666 & ~umask)
            return str(self._put())
        except OSError as error:
            raise self._unwritable(error) from error

    def _put(self) -> Path:
        """The first name that is free, or whose file says the same already."""
        for number in count(1):
            wanted = self.path if number == 1 else self.path.with_name(f"{self.path.stem}-{number}{self.path.suffix}")
            try:
                # claimed before it is filled: two runs at once never write over each other
                wanted.open("xb").close()
            except FileExistsError:
                if _says_the_same(wanted, self._part):
                    self.discard()
                    return wanted
                self.kept = str(wanted)
                continue
            self._part.replace(wanted)
            return wanted
        raise AssertionError

    def discard(self) -> None:
        """Forget what was written so far; an older file stays. Harmless after `finish`."""
        self._part.unlink(missing_ok=True)

    def _unwritable(self, error: OSError) -> FileError:
        why = error.strerror or error
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            vi, en = "giải phóng chỗ trống rồi gửi lại", "make room on the disk and send again"
        else:
            vi = "cho phép ghi vào thư mục đó, hoặc chép tệp sang thư mục khác, rồi gửi lại"
            en = "make that directory writable, or copy the file into another one, and send again"
        return FileError(Text(f"{self.path}: không ghi được ({why}); {vi}", f"{self.path}: cannot be written ({why}); {en}"))


def _with(cells: Sequence[Value], column: int, text: str, *, replaced: bool) -> list[Value]:
    """The cells with the reason at its column; what stands beyond the headings stays to the right of it, to be seen and rejected again."""
    padded = [*cells, *([""] * (column - len(cells)))]
    return [*padded[:column], text, *padded[column + replaced :]]


class _CsvWriter:
    def __init__(self, path: Path, style: _Style) -> None:
        self._file = path.open("w", encoding="utf-8-sig", errors="replace", newline="")
        self._writer = csv.writer(self._file, delimiter=style.delimiter)

    def row(self, sheet: str, cells: Sequence[Value]) -> None:
        del sheet
        self._writer.writerow([_as_text(cell) for cell in cells])

    def close(self) -> None:
        self._file.close()


def _as_text(cell: Value) -> str:
    text = cell if isinstance(cell, str) else shown(cell)
    # a spreadsheet would compute it; the apostrophe marks text, and `send` takes it off again
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


class _XlsxWriter:
    def __init__(self, path: Path, style: _Style) -> None:
        from xlsxwriter import Workbook

        self._path = path
        # not into the file: on a full disk its writer would leave a traceback behind
        self._whole = io.BytesIO()
        self._book = Workbook(
            self._whole,
            {
                "constant_memory": True,
                "date_1904": style.base_1904,
                "strings_to_formulas": False,
                "strings_to_urls": False,
                "strings_to_numbers": False,
            },
        )
        self._day = self._book.add_format({"num_format": "dd/mm/yyyy"})
        self._moment = self._book.add_format({"num_format": "dd/mm/yyyy hh:mm:ss"})
        self._percent = self._book.add_format({"num_format": "0.0%"})
        self._wrapped = self._book.add_format({"text_wrap": True, "valign": "top"})
        self._widths: list[int] = []
        self._reason_column = -1
        self._sheet: Any = None
        self._name: str | None = None
        self._row = 0

    def row(self, sheet: str, cells: Sequence[Value]) -> None:
        if sheet != self._name:
            self._name, self._row = sheet, 0
            self._sheet = self._add(sheet)
            self._widths, self._reason_column = [], -1
        self._widen(cells)
        for column, cell in enumerate(cells):
            self._write(column, cell)
        self._row += 1

    def _add(self, sheet: str) -> Any:
        from xlsxwriter.exceptions import XlsxWriterException

        try:
            return self._book.add_worksheet(sheet)
        except XlsxWriterException:  # a name that ODS allows and XLSX does not
            return self._book.add_worksheet()

    def _widen(self, cells: Sequence[Value]) -> None:
        """A date that does not fit shows as "####", and a long reason stands off the page."""
        filled = [column for column, cell in enumerate(cells) if cell != ""]
        for column in filled if len(filled) > 2 else ():  # a title may stand over the columns beside it
            cell = cells[column]
            self._widths += [_WIDTH_MIN] * (column + 1 - len(self._widths))
            if cell == REASON_HEADING:
                self._reason_column = column
            is_reason = column == self._reason_column
            needed = _REASON_WIDTH if is_reason else min(_WIDTH_MAX, 12 if isinstance(cell, date) else len(shown(cell)) + 2)
            if needed > self._widths[column]:
                self._widths[column] = needed
                self._sheet.set_column(column, column, needed, self._wrapped if is_reason else None)

    def _write(self, column: int, cell: Value) -> None:
        if isinstance(cell, bool):
            self._sheet.write_boolean(self._row, column, cell)
        elif isinstance(cell, Percent):
            self._sheet.write_number(self._row, column, float(cell), self._percent)
        elif isinstance(cell, int | float):
            self._sheet.write_number(self._row, column, cell)
        elif isinstance(cell, datetime):
            self._sheet.write_datetime(self._row, column, cell, self._moment)
        elif isinstance(cell, date):
            self._sheet.write_datetime(self._row, column, cell, self._day)
        elif cell != "":
            text = cell if isinstance(cell, str) else shown(cell)
            self._sheet.write_string(self._row, column, text, self._wrapped if column == self._reason_column else None)

    def close(self) -> None:
        from xlsxwriter.exceptions import XlsxWriterException

        try:
            self._book.close()
        except XlsxWriterException as error:
            raise error.args[0] if error.args and isinstance(error.args[0], OSError) else OSError(str(error)) from error
        self._path.write_bytes(self._whole.getbuffer())


class _OdsWriter:
    def __init__(self, path: Path, style: _Style) -> None:
        from odfdo import Document

        del style
        self._path = path
        self._document = Document("spreadsheet")
        self._document.body.clear()
        self._table: Any = None
        self._name: str | None = None

    def row(self, sheet: str, cells: Sequence[Value]) -> None:
        from odfdo import Cell, Row, Table

        if sheet != self._name:
            self._name = sheet
            self._table = Table(sheet)
            self._document.body.append(self._table)
        row = Row()
        for cell in cells:
            if isinstance(cell, Percent):
                row.append_cell(Cell(float(cell), cell_type="percentage"))
            else:
                row.append_cell(Cell(shown(cell) if isinstance(cell, Unread | time | timedelta) else None if cell == "" else cell))
        self._table.append_row(row)

    def close(self) -> None:
        self._document.save(str(self._path))


class _JsonlWriter:
    """The lines as they came, each that is an object with the reason as an attribute, which readers ignore."""

    def __init__(self, path: Path, style: _Style) -> None:
        del style
        self._file: io.BufferedWriter = path.open("wb")

    def row(self, sheet: str, cells: Sequence[Value]) -> None:
        del sheet
        line = str(cells[0]).encode("utf-8", "surrogateescape")
        try:
            plain = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
            line = msgspec.json.encode({**plain, "rejectreason": str(cells[1])})
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass  # not an object: as it came
        self._file.write(line + b"\n")

    def close(self) -> None:
        self._file.close()


_WRITERS: dict[str, Callable[[Path, _Style], _Writer]] = {"csv": _CsvWriter, "xlsx": _XlsxWriter, "ods": _OdsWriter, "jsonl": _JsonlWriter}


def _says_the_same(path: Path, part: Path) -> bool:
    """Whether a file that is there holds what would be written, whenever it was made."""
    try:
        if not path.is_file():
            return False
        if zipfile.is_zipfile(path) and zipfile.is_zipfile(part):
            return _parts_of(path) == _parts_of(part)
        if path.stat().st_size != part.stat().st_size:
            return False
        with path.open("rb") as one, part.open("rb") as other:
            while chunk := one.read(_CHUNK_BYTES):
                if chunk != other.read(_CHUNK_BYTES):
                    return False
        return True
    except (OSError, zipfile.BadZipFile):
        return False


def _parts_of(path: Path) -> list[tuple[str, int, int]]:
    with zipfile.ZipFile(path) as package:
        return [(one.filename, one.file_size, one.CRC) for one in package.infolist() if one.filename not in _SAID_WHEN]
