"""Tables out of files, as rows of cells with the number that a spreadsheet shows beside them; and how CSV becomes such rows.

Comes in: an open CSV file. Goes out: a `Book` of sheets, each row with its number, its cells (text in NFC) and how far the file is read.
Owns the reading position: CSV is read row by row, whatever its size. A broken row (a NUL byte, an unclosed quote, bytes that are no text)
is told as such and the next one is read; what cannot be read at all is a `FileError`.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import unicodedata
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import BinaryIO, NamedTuple

from msgspec import Struct

from producers.sheets.cells import Note, Text, Value

LINE_CHARS_MAX = 256 * 1024
_JOINED_LINES_MAX = 100
_SAMPLE_BYTES = 64 * 1024
_CHUNK_BYTES = 1024 * 1024
_TELL_ROWS = 256
_DELIMITERS = ";\t,|"

Merged = tuple[tuple[int, int], tuple[int, int]]
"""First and last cell of a merged range, each (row, column) from 0."""
Recognise = Callable[[Sequence[Sequence[str]]], int]
"""How many columns of some rows' best heading are recognised: by this the delimiter of a CSV file is chosen."""


class FileError(OSError):
    """A file cannot be read; `text` names it and the remedy."""

    def __init__(self, text: Text) -> None:
        super().__init__(text.en)
        self.text = text


class Row(NamedTuple):
    """One row: its number from 1 (CSV: of the line where it begins), its cells, how much is read with it, and why it is broken, if so."""

    number: int
    cells: Sequence[Value]
    read: int
    broken: Text | None = None


class Sheet(Struct, frozen=True):
    """One sheet of a book; `rows` may be called once; `hidden`: whoever filled it in does not see it."""

    name: str
    rows: Callable[[], Iterator[Row]]
    merged: tuple[Merged, ...] = ()
    hidden: bool = False


class Book(Struct, frozen=True, kw_only=True):
    """What a file holds: its sheets, what they are measured in (`unit`: bytes or rows), and when the file itself says it was saved."""

    kind: str
    sheets: tuple[Sheet, ...]
    unit: str
    total: int
    saved_at: datetime | None
    notes: tuple[Note, ...] = ()
    delimiter: str = ","
    base_1904: bool = False


@contextmanager
def open_csv(path: str, file: BinaryIO, recognise: Recognise) -> Iterator[Book]:
    """A CSV file that can be read twice; the encoding and the delimiter are found out."""
    file.seek(0, io.SEEK_END)
    total = file.tell()
    encoding, errors, notes = _encoding(file)
    file.seek(0)
    text = io.TextIOWrapper(file, encoding=encoding, errors=errors, newline=None)
    try:
        sample = text.read(_SAMPLE_BYTES)
        delimiter, first = _delimiter(sample, recognise)
        file.seek(0)
        text = io.TextIOWrapper(text.detach(), encoding=encoding, errors=errors, newline=None)
        sheet = Sheet("", lambda: _csv_rows(text, file, delimiter, first))
        yield Book(kind="csv", sheets=(sheet,), unit="bytes", total=total, saved_at=None, notes=notes, delimiter=delimiter)
    except FileError:
        raise
    except OSError as error:
        raise FileError(Text(f"{path}: không đọc được ({error})", f"{path}: cannot be read ({error})")) from error
    finally:
        text.detach()


def _encoding(file: BinaryIO) -> tuple[str, str, tuple[Note, ...]]:
    """(codec, what it does with bad bytes, notes)."""
    file.seek(0)
    head = file.read(4)
    file.seek(0)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16", "replace", (Note("encoding", Text("tệp viết bằng UTF-16", "the file is written in UTF-16")),)
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8-sig", "surrogateescape", ()
    bad = good = 0
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    while chunk := file.read(_CHUNK_BYTES):
        text = decoder.decode(chunk)
        if not text.isascii():
            bad += len(_ESCAPED.findall(text))
            good += len(_BEYOND_ASCII.findall(text))
    # a bad byte in a file of UTF-8 spoils its row; a file of Windows-1258 has hardly a letter that UTF-8 would read
    if bad <= good:
        return "utf-8", "surrogateescape", ()
    note = Text(
        "tệp không phải UTF-8, đọc theo Windows-1258; nếu dấu sai, lưu lại dạng UTF-8",
        "the file is not UTF-8 and is read as Windows-1258; if the marks come out wrong, save it as UTF-8",
    )
    return "cp1258", "surrogateescape", (Note("encoding", note),)


_ESCAPED = re.compile("[\udc80-\udcff]")
_BEYOND_ASCII = re.compile("[^\x00-\x7f\udc80-\udcff]")
_BAD_CHARACTER = re.compile("[\udc80-\udcff\ufffd]")
_SEPARATOR_LINE = re.compile(r'\ufeff?"?sep=(.)"?\n', re.IGNORECASE)


def _delimiter(sample: str, recognise: Recognise) -> tuple[str, int]:
    """The delimiter, and how many lines at the start do nothing but name it (as Excel does: "sep=;")."""
    if match := _SEPARATOR_LINE.match(sample):
        return match[1], 1
    lines = sample.split("\n")[:200]

    def score(delimiter: str) -> tuple[int, int]:
        try:
            rows = [next(csv.reader([line], delimiter=delimiter), []) if '"' in line else line.split(delimiter) for line in lines]
        except csv.Error:
            rows = [line.split(delimiter) for line in lines]
        return recognise(rows), sum(len(row) > 1 for row in rows)

    return max(_DELIMITERS, key=score), 0


def _csv_rows(text: io.TextIOWrapper, file: BinaryIO, delimiter: str, first: int) -> Iterator[Row]:
    read = 0
    for number, cells, broken in _records(text, delimiter):
        if number <= first:
            continue
        if number % _TELL_ROWS == 0:
            read = file.tell()
        yield Row(number, cells, read, broken)


def _records(text: io.TextIOWrapper, delimiter: str) -> Iterator[tuple[int, Sequence[str], Text | None]]:
    """(number of its first line, cells, why it is broken) of each record; a quoted cell may hold line breaks."""
    lines = _Lines(text)
    while line := lines.next():
        number = lines.number
        if not line.isascii():
            if _BAD_CHARACTER.search(line):
                yield number, _roughly(line, delimiter), _BAD_BYTES
                continue
            if not unicodedata.is_normalized("NFC", line):
                line = unicodedata.normalize("NFC", line)
        if "\0" in line:
            yield number, _roughly(line, delimiter), _NUL
        elif len(line) > LINE_CHARS_MAX:
            yield number, _roughly(line[:1000], delimiter), TOO_LONG
        elif '"' not in line:
            yield number, line.rstrip("\n").split(delimiter), None
        else:
            cells = _quoted(line, lines, delimiter)
            yield number, _roughly(line, delimiter) if cells is None else cells, _UNCLOSED if cells is None else None


_NUL = Text("dòng có byte NUL; xóa đi rồi gửi lại", "the line holds a NUL byte; remove it and send the row again")
TOO_LONG = Text("dòng quá dài; tách ra", f"the line is longer than {LINE_CHARS_MAX} characters; split it")
_UNCLOSED = Text(
    'dấu " không khép; khép lại, hoặc viết "" cho một dấu trong ô',
    'a quote is not closed; close it, or write "" for a quote inside a cell',
)
_BAD_BYTES = Text("dòng có byte hỏng; lưu tệp dạng UTF-8", "the line holds bytes that are no text; save the file as UTF-8")


class _Lines:
    """Lines of a file, with a way back for those that did not belong to a quoted cell."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self.number = 0
        self._text = text
        self._back: deque[str] = deque()

    def next(self) -> str:
        self.number += 1
        if self._back:
            return self._back.popleft()
        line = self._text.readline(LINE_CHARS_MAX + 1)
        if len(line) > LINE_CHARS_MAX and not line.endswith("\n"):
            while (rest := self._text.readline(LINE_CHARS_MAX)) and not rest.endswith("\n"):
                pass
        return line

    def put_back(self, lines: Sequence[str]) -> None:
        self.number -= len(lines)
        self._back.extendleft(reversed(lines))


def _quoted(line: str, lines: _Lines, delimiter: str) -> list[str] | None:
    """The cells of a record that begins with this line and has quotes; None: a quote is not closed, and only this line is taken."""
    record = line
    more: list[str] = []
    while True:
        # what a quote opens only a quote can close
        if not more or '"' in more[-1]:
            try:
                found = list(csv.reader([record.removesuffix("\n")], delimiter=delimiter, strict=True))
            except csv.Error as error:
                if "unexpected end of data" not in str(error):
                    break
            else:
                return unicodedata.normalize("NFC", "\x1f".join(found[0])).split("\x1f") if more and found else found[0]
        following = lines.next() if len(more) < _JOINED_LINES_MAX and len(record) < LINE_CHARS_MAX else ""
        if not following:
            if len(more) < _JOINED_LINES_MAX and len(record) < LINE_CHARS_MAX:
                lines.number -= 1
            break
        more.append(following)
        if "\0" in following or _BAD_CHARACTER.search(following):
            break
        record += following
    lines.put_back(more)
    return None


def _roughly(line: str, delimiter: str) -> list[str]:
    """The cells of a broken line as far as they can be shown to somebody who mends it."""
    # what replaces a bad character keeps its cell from being read until it is mended
    plain = unicodedata.normalize("NFC", _BAD_CHARACTER.sub("\ufffd", line.replace("\0", "\ufffd").replace('"', "")))
    return plain.rstrip("\n").split(delimiter)
