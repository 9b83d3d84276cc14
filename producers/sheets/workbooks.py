"""Workbooks (XLSX, ODS) as tables.

Comes in: a path. Goes out: a `Book`. Owns the open file. A workbook is looked into before it is opened, since its reader holds whole sheets
in memory and takes sizes on trust: what would not fit, is encrypted or damaged is a `FileError` that names the file and the remedy. What
the reader does not tell is found on the way: a formula without its result, an error, a number shown as a percentage, merged cells, when
the file was saved.
"""

from __future__ import annotations

import io
import re
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from xml.parsers import expat

from msgspec import Struct
from python_calamine import CalamineError, CalamineSheet, SheetVisibleEnum, load_workbook

from phusong.periods import VIETNAM
from producers.sheets.cells import Percent, Text, Unread, Value
from producers.sheets.tables import Book, FileError, Merged, Row, Sheet

UNPACKED_BYTES_MAX = 256 * 1024 * 1024
RATIO_MAX = 200
RATIO_FROM_BYTES = 16 * 1024 * 1024
"""Up to here a workbook may be packed as tightly as it likes."""
ROWS_MAX, COLUMNS_MAX = 1_048_576, 500
AREA_MAX = 16 * ROWS_MAX
"""Cells of a sheet, empty ones too: the reader holds them all."""
_ENTRIES_MAX = 10_000
_CHUNK_BYTES = 1024 * 1024


class _Odd(NamedTuple):
    """Cells of one sheet that are not what they look like to the reader: (row, column) from 0 -> what stands there."""

    cells: dict[tuple[int, int], str]
    texts: dict[tuple[int, int], str]


_FORMULA, _ERROR, _PERCENT = "formula", "error", "percent"


@contextmanager
def open_workbook(path: str) -> Iterator[Book]:
    """An XLSX or ODS file, looked into before it is opened."""
    try:
        with Path(path).open("rb") as file:
            package = _Package(path, file)
            looked = _look_into_ods(package) if package.is_ods else _look_into_xlsx(package)
        with _panics(path):
            workbook = load_workbook(path)
    except (CalamineError, zipfile.BadZipFile, zlib.error, struct.error, expat.ExpatError, EOFError, NotImplementedError) as error:
        raise _damaged(path, str(error)) from error
    with workbook:
        kinds = {one.name: one for one in workbook.sheets_metadata}
        try:
            with _panics(path):
                sheets = [workbook.get_sheet_by_name(name) for name in workbook.sheet_names]
        except CalamineError as error:
            raise _damaged(path, str(error)) from error
        found = []
        before = 0
        for sheet in sheets:
            hidden = kinds[sheet.name].visible is not SheetVisibleEnum.Visible
            found.append(_sheet(path, sheet, looked, before, hidden=hidden))
            before += sheet.total_height
        yield Book(
            kind="ods" if package.is_ods else "xlsx",
            sheets=tuple(found),
            unit="rows",
            total=before,
            saved_at=looked.saved_at,
            base_1904=looked.base_1904,
        )


@contextmanager
def _panics(path: str) -> Iterator[None]:
    """What the reader's own language calls a panic, as the damage that it met."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of a module that nobody can import
            raise
        raise _damaged(path, "the reader gave up") from error


def _sheet(path: str, sheet: CalamineSheet, looked: _Looked, before: int, *, hidden: bool) -> Sheet:
    odd = looked.odd.get(sheet.name, _Odd({}, {}))
    merged = looked.merged.get(sheet.name) if looked.merged else sheet.merged_cell_ranges

    def rows() -> Iterator[Row]:
        with _panics(path):
            yield from _sheet_rows(sheet, odd, before)

    return Sheet(sheet.name, rows, tuple(merged or ()), hidden)


def _sheet_rows(sheet: CalamineSheet, odd: _Odd, before: int) -> Iterator[Row]:
    # the reader begins at the first row, but at the first column that is not empty
    left: list[Value] = [""] * (sheet.start[1] if sheet.start else 0)
    by_row: dict[int, list[int]] = {}
    for at, column in odd.cells:
        by_row.setdefault(at, []).append(column)
    normal = unicodedata.is_normalized
    for number, found in enumerate(sheet.iter_rows(), 1):
        cells: list[Value] = [
            cell if type(cell) is not str or cell.isascii() or normal("NFC", cell) else unicodedata.normalize("NFC", cell) for cell in found
        ]
        if left:
            cells = left + cells
        for column in by_row.get(number - 1, ()):
            if column >= len(cells):
                cells += [""] * (column + 1 - len(cells))
            cells[column] = _odd_value(odd, (number - 1, column), cells[column])
        yield Row(number, cells, before + number)


def _odd_value(odd: _Odd, at: tuple[int, int], value: Value) -> Value:
    what = odd.cells[at]
    if what == _PERCENT:
        return Percent(value) if isinstance(value, int | float) else value
    shown = odd.texts.get(at, "")[:100]
    if what == _ERROR:
        return Unread(
            shown,
            Text("công thức bị lỗi; sửa công thức rồi lưu lại", "the formula gives an error; mend it in the spreadsheet program and save"),
        )
    return Unread(
        f"={shown}" if shown else "",
        Text(
            "công thức chưa có kết quả; mở tệp bằng phần mềm bảng tính rồi lưu lại",
            "a formula without its result; open the file in the spreadsheet program and save it",
        ),
    )


def _damaged(path: str, why: str) -> FileError:
    return FileError(
        Text(
            f"{path}: không phải tệp XLSX hay ODS nguyên vẹn ({why}); mở bằng phần mềm bảng tính rồi lưu lại dạng .xlsx",
            f"{path}: is no sound XLSX or ODS file ({why}); open it in the spreadsheet program and save it as .xlsx",
        )
    )


def _too_big(path: str, what: Text) -> FileError:
    return FileError(
        Text(
            f"{path}: quá lớn ({what.vi}); tách thành nhiều tệp hoặc lưu dạng CSV",
            f"{path}: is too large ({what.en}); split it, or save it as CSV",
        )
    )


# with a prefix or without: the reader looks at neither
_SHEET_DATA = re.compile(rb"[<:]sheetData[\s/>]")
_TEXT_ITEM = re.compile(rb"[<:]si[\s/>]")


class _Package:
    """The zip directory of a workbook, and its parts as they really unpack, within bounds."""

    def __init__(self, path: str, file: BinaryIO) -> None:
        self.path = path
        self._file = file
        with zipfile.ZipFile(file) as package:
            listed = package.infolist()
        self.parts = {one.filename: one for one in listed}
        if len(listed) > _ENTRIES_MAX or len(self.parts) != len(listed):
            raise _damaged(path, "its directory names a part twice" if len(self.parts) != len(listed) else "too many parts")
        if any(one.flag_bits & 1 for one in listed):
            raise encrypted(path)
        unpacked = sum(one.file_size for one in listed)
        packed = sum(one.compress_size for one in listed)
        if unpacked > UNPACKED_BYTES_MAX:
            mib = UNPACKED_BYTES_MAX >> 20
            raise _too_big(path, Text(f"giải nén hơn {mib} MiB", f"more than {mib} MiB unpacked"))
        if unpacked > RATIO_FROM_BYTES and unpacked > RATIO_MAX * packed:
            raise _too_big(path, Text("nén bất thường", f"packed more than {RATIO_MAX} times"))
        self.is_ods = "content.xml" in self.parts and "xl/workbook.xml" not in self.parts
        if self.is_ods and b"encryption-data" in b"".join(self.chunks("META-INF/manifest.xml")):
            raise encrypted(path)
        if not self.is_ods and "xl/workbook.xml" not in self.parts:
            raise FileError(
                Text(
                    f"{path}: không phải bảng tính XLSX hay ODS; lưu lại dạng .xlsx",
                    f"{path}: is no XLSX or ODS spreadsheet; save it as .xlsx",
                )
            )
        # the sizes in a directory may lie, and the reader does not stop at them: each part is unpacked once, to be sure
        self.sheets, self.texts = self._find(_SHEET_DATA), self._find(_TEXT_ITEM)

    def _find(self, element: re.Pattern[bytes]) -> list[str]:
        """The parts that hold such an element, whatever they are called."""
        found = []
        for name in self.parts:
            before, holds = b"", False
            for chunk in self.chunks(name):
                holds = holds or element.search(before + chunk) is not None
                before = chunk[-64:]
            if holds:
                found.append(name)
        return found

    def chunks(self, name: str) -> Iterator[bytes]:
        """The bytes of a part. Raises FileError when there are not as many as the directory says."""
        one = self.parts.get(name)
        if one is None:
            return
        self._file.seek(one.header_offset)
        header = struct.unpack("<4s5H3I2H", self._file.read(30))
        if header[0] != b"PK\x03\x04" or one.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _damaged(self.path, f"{name}: a part that cannot be unpacked")
        self._file.seek(header[9] + header[10], io.SEEK_CUR)
        left, size = one.compress_size, 0
        unpacker = zlib.decompressobj(-15) if one.compress_type == zipfile.ZIP_DEFLATED else None
        while left > 0:
            packed = self._file.read(min(_CHUNK_BYTES // 4, left))
            if not packed:
                break
            left -= len(packed)
            while packed:
                chunk = packed if unpacker is None else unpacker.decompress(packed, _CHUNK_BYTES)
                packed = b"" if unpacker is None else unpacker.unconsumed_tail
                size += len(chunk)
                if size > one.file_size:
                    raise _too_big(self.path, Text("lớn hơn kích thước tự khai", "it unpacks to more than it says"))
                if chunk:
                    yield chunk
        if size != one.file_size:
            raise _damaged(self.path, f"{name}: cut off")


def encrypted(path: str) -> FileError:
    """A workbook with a password."""
    return FileError(
        Text(f"{path}: có mật khẩu; bỏ mật khẩu rồi lưu lại", f"{path}: is protected with a password; remove it and save the file again")
    )


class _Looked(Struct):
    """What a look into a workbook brings to light that its reader does not tell."""

    odd: dict[str, _Odd]
    saved_at: datetime | None
    merged: dict[str, list[Merged]]
    base_1904: bool = False


Attributes = dict[str, str]


def _parse(chunks: Iterator[bytes], start: Callable[[str, Attributes], object], end: Any = None, characters: Any = None) -> None:
    """Run expat over a part: names without prefix, as the reader takes them; a document type is refused, so that nothing expands."""
    parser = expat.ParserCreate()
    parser.buffer_text = True

    def refuse(*_: object) -> None:
        raise expat.ExpatError("a document type declaration")

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = lambda name, attributes: start(name.rpartition(":")[2], attributes)
    if end is not None:
        parser.EndElementHandler = lambda name: end(name.rpartition(":")[2])
    if characters is not None:
        parser.CharacterDataHandler = characters
    for chunk in chunks:
        parser.Parse(chunk, False)
    parser.Parse(b"", True)


def _saved_at(package: _Package, part: str, element: str) -> datetime | None:
    """When the file says it was last saved; None where it does not say, or not soundly."""
    texts: list[str] = []
    inside = False

    def start(name: str, _: Attributes) -> None:
        nonlocal inside
        inside = name == element

    def end(_: str) -> None:
        nonlocal inside
        inside = False

    try:
        _parse(package.chunks(part), start, end, lambda data: texts.append(data[:40]) if inside and len(texts) < 10 else None)
        found = datetime.fromisoformat("".join(texts).strip())
        # ODS writes the local time of whoever saved it
        return (found if found.tzinfo else found.replace(tzinfo=VIETNAM)).replace(microsecond=0)
    except (expat.ExpatError, ValueError):
        return None


def _look_into_xlsx(package: _Package) -> _Looked:
    names: dict[str, str] = {}
    base_1904 = False

    def workbook(name: str, given: Attributes) -> None:
        nonlocal base_1904
        if name == "sheet":
            target = next((value for key, value in given.items() if key.rpartition(":")[2] == "id" and ":" in key), "")
            names[target] = given.get("name", "")
        elif name == "workbookPr":
            base_1904 = given.get("date1904", "") in ("1", "true")

    targets: dict[str, str] = {}
    _parse(package.chunks("xl/workbook.xml"), workbook)
    _parse(
        package.chunks("xl/_rels/workbook.xml.rels"),
        lambda name, given: targets.update({_part(given.get("Target", "")): given.get("Id", "")}) if name == "Relationship" else None,
    )
    percents = _percent_styles(package)
    texts = _Texts(package)
    odd = {}
    for part in package.sheets:
        sheet = names.get(targets.get(part, ""), part)
        odd[sheet] = _look_into_sheet(package, part, sheet, percents, texts)
    return _Looked(odd, _saved_at(package, "docProps/core.xml", "modified"), {}, base_1904)


def _part(target: str) -> str:
    return target.removeprefix("/") if target.startswith("/") else f"xl/{target}"


_PERCENT_FORMATS = {"9", "10"}
_LITERALS = re.compile(r'"[^"]*"|\\.')


def _percent_styles(package: _Package) -> set[str]:
    """The numbers of the cell styles that show a number as a percentage."""
    formats = set(_PERCENT_FORMATS)
    styles: list[str] = []
    inside = False

    def start(name: str, given: Attributes) -> None:
        nonlocal inside
        if name == "numFmt" and "%" in _LITERALS.sub("", given.get("formatCode", "")):
            formats.add(given.get("numFmtId", ""))
        elif name == "cellXfs":
            inside = True
        elif name == "xf" and inside:
            styles.append(given.get("numFmtId", ""))

    def end(name: str) -> None:
        nonlocal inside
        inside = inside and name != "cellXfs"

    _parse(package.chunks("xl/styles.xml"), start, end)
    return {str(number) for number, style in enumerate(styles) if style in formats}


class _Texts:
    """The shared texts of a workbook: what they come to when each cell has its own copy."""

    def __init__(self, package: _Package) -> None:
        self._path = package.path
        self._size = 0
        self._lengths: list[int] = []
        # one long text that a million cells share is the danger: where there is none, nobody needs to count
        longest = max((len(one) for part in package.texts for one in _TEXT_ITEM.split(b"".join(package.chunks(part)))), default=0)
        self.counted = longest > _LONG_TEXT_BYTES
        if self.counted:
            for part in package.texts:
                _parse(package.chunks(part), self._start, None, self._characters)

    def _start(self, name: str, _: Attributes) -> None:
        if name == "si":
            self._lengths.append(0)

    def _characters(self, data: str) -> None:
        if self._lengths:
            self._lengths[-1] += len(data)

    def add(self, number: str) -> None:
        """Count one cell that shows the text of that number."""
        at = int(number) if number.isascii() and number.isdigit() and len(number) < 9 else len(self._lengths)
        self._size += self._lengths[at] if at < len(self._lengths) else 0
        if self._size > UNPACKED_BYTES_MAX:
            raise _too_big(self._path, _REPEATED)


_LONG_TEXT_BYTES = 4096
_REPEATED = Text("chữ lặp lại quá nhiều", "its texts are repeated too often")

_CELL = re.compile(rb"[<:]c[\s/>]")
_CELL_COLUMN = re.compile(rb"\sr\s*=\s*[\"']([A-Z]+)[0-9]")
_CELL_ROW = re.compile(rb"\sr\s*=\s*[\"'][A-Z]*([0-9]+)")
_FORMULA_OR_ERROR = re.compile(rb"[<:]f[\s/>]|\st\s*=\s*[\"']e[\"']")


def _look_into_sheet(package: _Package, part: str, sheet: str, percents: set[str], texts: _Texts) -> _Odd:
    """How large a sheet becomes in memory, and its odd cells; parsed whole only where there may be any."""
    columns: set[bytes] = set()
    rows: set[bytes] = set()
    cells = named = 0
    suspicious = bool(percents)
    rest = b""
    for chunk in package.chunks(part):
        # a piece ends where a tag begins, so that no tag is cut in two
        piece, _, tail = (rest + chunk).rpartition(b"<")
        rest = b"<" + tail
        if len(rest) > _CHUNK_BYTES:
            raise _damaged(package.path, f"{sheet}: a tag without an end")
        found = _CELL_COLUMN.findall(piece)
        columns.update(found)
        rows.update(_CELL_ROW.findall(piece))
        named += len(found)
        cells += len(_CELL.findall(piece))
        suspicious = suspicious or _FORMULA_OR_ERROR.search(piece) is not None
    suspicious = suspicious or cells != named or texts.counted
    width = max(map(_column, columns), default=0)
    height = max((int(row[:9]) for row in rows), default=0)
    _check_size(package.path, sheet, height, width)
    if not suspicious:
        return _Odd({}, {})
    parser = _SheetParser(package, sheet, percents, texts)
    _parse(package.chunks(part), parser.start, parser.end, parser.characters)
    return parser.odd


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters[:6]:
        number = 26 * number + letter - 64
    return number


def _check_size(path: str, sheet: str, rows: int, columns: int) -> None:
    if rows > ROWS_MAX or columns > COLUMNS_MAX or rows * columns > AREA_MAX:
        raise _too_big(
            path,
            Text(
                f'trang "{sheet}" có {rows} hàng và {columns} cột; tối đa {ROWS_MAX} hàng, {COLUMNS_MAX} cột và {AREA_MAX} ô',
                f'sheet "{sheet}" has {rows} rows and {columns} columns; at most {ROWS_MAX} rows, {COLUMNS_MAX} columns, {AREA_MAX} cells',
            ),
        )


class _SheetParser:
    """Finds the odd cells of one sheet of an XLSX file, and cells that do not say where they stand."""

    def __init__(self, package: _Package, sheet: str, percents: set[str], texts: _Texts) -> None:
        self.odd = _Odd({}, {})
        self._package, self._sheet, self._percents, self._texts = package, sheet, percents, texts
        self._row = self._at = -1
        self._rows = self._columns = 0
        self._type = self._style = self._inside = ""
        self._formula = self._value = ""
        self._has_formula = self._has_value = False

    def start(self, name: str, given: Attributes) -> None:
        if name == "c":
            place = given.get("r", "")
            letters = place.rstrip("0123456789")
            self._at = _column(letters.encode("ascii", "replace")) - 1 if letters else self._at + 1
            if digits := place[len(letters) :]:
                self._row = int(digits[:9]) - 1
            self._type, self._style = given.get("t", "n"), given.get("s", "0")
            self._formula = self._value = ""
            self._has_formula = self._has_value = False
        elif name == "row":
            self._row = int(given["r"][:9]) - 1 if given.get("r", "").isdigit() else self._row + 1
            self._at = -1
        elif name in ("v", "is"):
            self._inside, self._has_value = "v", True
        elif name == "f":
            self._inside, self._has_formula = "f", True

    def characters(self, data: str) -> None:
        if self._inside == "v":
            self._value += data[:100]
        elif self._inside == "f":
            self._formula = (self._formula + data)[:100]

    def end(self, name: str) -> None:
        if name in ("v", "f", "is"):
            self._inside = ""
        elif name == "c":
            self._finish()

    def _finish(self) -> None:
        at = (self._row, self._at)
        if self._has_value or self._has_formula:
            self._rows, self._columns = max(self._rows, self._row + 1), max(self._columns, self._at + 1)
            _check_size(self._package.path, self._sheet, self._rows, self._columns)
        if self._type == "s" and self._texts.counted:
            self._texts.add(self._value.strip())
        if self._type == "e":
            self.odd.cells[at], self.odd.texts[at] = _ERROR, self._value
        elif self._has_formula and not self._value and not (self._type == "str" and self._has_value):
            self.odd.cells[at], self.odd.texts[at] = _FORMULA, self._formula
        elif self._value and self._type == "n" and self._style in self._percents:
            self.odd.cells[at] = _PERCENT


def _look_into_ods(package: _Package) -> _Looked:
    parser = _OdsParser(package.path)
    _parse(package.chunks("content.xml"), parser.start, parser.end, parser.characters)
    return _Looked(parser.odd, _saved_at(package, "meta.xml", "date"), parser.merged)


class _OdsParser:
    """Sizes, odd cells and merged ranges of the sheets of an ODS file."""

    def __init__(self, path: str) -> None:
        self.odd: dict[str, _Odd] = {}
        self.merged: dict[str, list[Merged]] = {}
        self._path = path
        self._sheet = ""
        self._row = self._column = self._repeat_rows = self._repeat = self._depth = 0
        self._rows = self._columns = self._texts = 0
        self._cell: Attributes | None = None
        self._text: list[str] = []
        self._length = 0
        self._row_odd: list[tuple[int, int, str, str]] = []
        self._row_length = 0

    def start(self, name: str, given: Attributes) -> None:
        plain = {key.rpartition(":")[2]: value for key, value in given.items()} if name in _ODS_ELEMENTS else {}
        if name == "table":
            self._depth += 1
            if self._depth == 1:
                self._sheet = plain.get("name", "")
                self.odd[self._sheet], self.merged[self._sheet] = _Odd({}, {}), []
                self._row = self._rows = self._columns = 0
        elif self._depth != 1:
            return
        elif name == "table-row":
            self._repeat_rows = _repeats(plain, "number-rows-repeated")
            self._column = self._row_length = 0
            self._row_odd = []
        elif name in _SPACES and self._cell is not None:
            # written as a number, and expanded by the reader
            self._length += _repeats(plain, "c")
        elif name in ("table-cell", "covered-table-cell"):
            self._repeat = _repeats(plain, "number-columns-repeated")
            self._cell, self._text, self._length = plain, [], 0

    def characters(self, data: str) -> None:
        if self._cell is not None:
            self._length += len(data)
            if len(self._text) < 10:
                self._text.append(data[:100])

    def end(self, name: str) -> None:
        if name == "table":
            self._depth -= 1
        elif self._depth != 1:
            return
        elif name in ("table-cell", "covered-table-cell") and self._cell is not None:
            self._end_cell(self._cell)
            self._cell = None
        elif name == "table-row":
            self._end_row()

    def _end_cell(self, cell: Attributes) -> None:
        first, last = self._column, self._column + self._repeat
        self._column = last
        if self._length > UNPACKED_BYTES_MAX // 16:
            raise _too_big(self._path, _REPEATED)
        text = "".join(self._text)
        kind = cell.get("value-type", "")
        if kind or self._length or "formula" in cell:
            self._columns = max(self._columns, last)
            self._row_length += (self._length + len(cell.get("string-value", "")) + 1) * self._repeat
            _check_size(self._path, self._sheet, 1, self._columns)
        spanned = _repeats(cell, "number-rows-spanned"), _repeats(cell, "number-columns-spanned")
        if spanned != (1, 1):
            self.merged[self._sheet].append(((self._row, first), (self._row + spanned[0] - 1, first + spanned[1] - 1)))
        what = ""
        if _is_error(cell, text):
            what = _ERROR
        elif "formula" in cell and not kind and not self._length and '""' not in cell["formula"]:
            what = _FORMULA
        elif kind == "percentage":
            what = _PERCENT
        if what:
            self._row_odd.append((first, last, what, text or cell.get("formula", "")[:100]))

    def _end_row(self) -> None:
        last = self._row + self._repeat_rows
        if self._row_length:
            self._rows = last
            _check_size(self._path, self._sheet, self._rows, self._columns)
            self._texts += self._row_length * self._repeat_rows
            if self._texts > UNPACKED_BYTES_MAX:
                raise _too_big(self._path, _REPEATED)
        odd = self.odd[self._sheet]
        for first, end, what, text in self._row_odd:
            for at in ((row, column) for row in range(self._row, last) for column in range(first, end)):
                odd.cells[at] = what
                if len(odd.cells) > ROWS_MAX:
                    raise _too_big(self._path, Text("quá nhiều ô phần trăm hoặc ô lỗi", "too many percentages or errors"))
                if what != _PERCENT:
                    odd.texts[at] = text
        self._row = last


_SPACES = frozenset({"s", "tab", "line-break"})
_ODS_ELEMENTS = frozenset({"table", "table-row", "table-cell", "covered-table-cell", *_SPACES})
_ODS_ERROR = re.compile(r"#[A-Z/0-9]+[!?]?|Err:\d+")


def _is_error(cell: Attributes, text: str) -> bool:
    # LibreOffice says so in an attribute of its own; else what the cell shows tells
    return cell.get("value-type") == "error" or ("formula" in cell and _ODS_ERROR.fullmatch(text) is not None)


def _repeats(given: Attributes, name: str) -> int:
    text = given.get(name, "1")
    return max(1, int(text[:8])) if text.isascii() and text.isdigit() else 1
