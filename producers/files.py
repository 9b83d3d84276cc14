"""Events from files: JSONL (one CloudEvent a line, in UTF-8), and tables in CSV, XLSX or ODS.

Comes in: a path, or `-` for standard input (JSONL or CSV). Goes out: an `Item` for each row or line; `send_file` sends the good ones, tells
of the bad ones, and writes them into a rejects file beside the input. Owns nothing, and holds one row of a text file at a time, whatever
its size. A bad row is told with its number and does not stop the others; a file that cannot be read is a `FileError`.
"""

from __future__ import annotations

import errno
import io
import os
import re
import stat
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from phusong.events import Event, Reason, Rejected, decode
from phusong.periods import VIETNAM
from phusong.rules import Rules
from phusong.settings import SettingsError
from phusong.topics import MAX_VALUE_BYTES
from producers.publisher import STOP_SECONDS_MAX, Publisher
from producers.sheets.cells import Lang, Note, Text
from producers.sheets.forms import Forms
from producers.sheets.rejects import RejectsFile
from producers.sheets.remarks import Remarks
from producers.sheets.statements import FileForm, Item, Problem, Skipped, problem_of
from producers.sheets.tables import Book, FileError, open_csv
from producers.sheets.workbooks import encrypted, open_workbook

STANDARD_INPUT = "-"
INTERRUPTED, FAILED = "interrupted", "failed"
"""Why a file was not read to its end: Ctrl-C, or a delivery that failed."""
_STOPPED = {
    INTERRUPTED: Text("đã ngắt", "interrupted"),
    FAILED: Text("dừng vì Kafka không nhận", "stopped, since a delivery failed"),
}
_BOM = b"\xef\xbb\xbf"
_LINE_BYTES_MAX = MAX_VALUE_BYTES + 16  # what may stand around an event: byte order mark, indentation, end of the line
_PROGRESS_BYTES = 64 * 1024  # not at every line: drawing costs more than reading
_PROGRESS_ROWS = 500
_HEAD_BYTES = 4096
_SPOOLED_BYTES_MAX = 4 * 1024**3  # of standard input on disk
_JSONL_SUFFIXES = (".jsonl", ".ndjson", ".json")
_TEXT_SUFFIXES = (".csv", ".tsv", ".txt")
_MARKUP = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:\?xml|!doctype|html|table)", re.IGNORECASE)
_WORKBOOK_SUFFIXES = (".xlsx", ".xlsm", ".ods", ".xls")
_ZIP, _OLE = (b"PK\x03\x04", b"PK\x05\x06"), b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OLE_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_NOTES_TOLD_MAX = 3  # of one kind; the others are counted
_PROBLEMS_TOLD_MAX = 100  # of one column and reason, where the rejects file has them all


class Line(NamedTuple):
    """One line that is not blank: its number from 1, its event or why it is none, and how much of the file is read with it."""

    number: int
    outcome: Event | Rejected
    bytes_read: int


class Sent(NamedTuple):
    """What became of one file: `lines` = `acknowledged` + `rejected` + `failed`; `stopped` says why it was not read to its end, if so.

    `skipped`: why rows were left out -> how many; `rejects`: the file that holds what was rejected, or ""; `trouble`: why that file could
    not be written, or "".
    """

    lines: int
    acknowledged: int
    rejected: int
    failed: int
    stopped: str
    skipped: tuple[tuple[str, int], ...] = ()
    rejects: str = ""
    trouble: str = ""


def read_events(path: str) -> Iterator[Line]:
    """The lines of a JSONL file, blank ones left out. Raises FileError."""
    with _opened(path) as file:
        for line, _ in _lines(file):
            yield line


def read(path: str, forms: Forms | None = None) -> Iterator[Item]:
    """One item for each row (JSONL: line that is not blank) of a file, in its order; what the rules say of the events is left to `judged`.

    `forms`: how tables are read; without it a file is JSONL. Raises FileError, or SettingsError for options that do not fit the file.
    """
    with _source(path, forms) as source:
        yield from source.items()


def judged(items: Iterator[Item], take: Callable[[Event], object]) -> Iterator[Item]:
    """The same items, after `take` had each event (`Publisher.send`, or for a trial `Publisher.check`) and perhaps raised Rejected."""
    for item in items:
        if item.event is not None:
            try:
                take(item.event)
            except Rejected as error:
                yield item._replace(event=None, problems=(problem_of(error.reason, error.sentence, item),))
                continue
        yield item


def remarked(items: Iterator[Item], rules: Rules) -> Iterator[Item]:
    """The same items, with notes on what is taken but will not count as it was typed."""
    remarks = Remarks(rules)
    for item in items:
        if item.event is not None and (notes := tuple(remarks.on(item.event))):
            yield item._replace(notes=(*item.notes, *notes))
        else:
            yield item


def describe(path: str, item: Item, lang: Lang) -> Iterator[str]:
    """A sentence for each problem of a row: FILE[sheet]:ROW: column = value: reason: sentence."""
    where = f"{path}[{item.sheet}]:{item.number}" if item.sheet else f"{path}:{item.number}"
    for problem in item.problems:
        about = ""
        if problem.column:
            value = f' = "{problem.value}"' if problem.value else ""
            about = f'{"cột" if lang == "vi" else "column"} "{problem.column}"{value}: '
        yield f"{where}: {about}{problem.reason}: {problem.text.of(lang)}"


class Notes:
    """What was understood beyond the letter, by kind: the first few of each are told, the others counted."""

    def __init__(self) -> None:
        self._told: dict[str, list[str]] = {}
        self._count: Counter[str] = Counter()

    def add(self, path: str, item: Item, lang: Lang) -> None:
        """Keep the notes of a row."""
        for note in item.notes:
            self._count[note.kind] += 1
            told = self._told.setdefault(note.kind, [])
            if len(told) < _NOTES_TOLD_MAX:
                sheet = f"[{item.sheet}]" if item.sheet else ""
                number = f":{item.number}" if item.number else ""
                told.append(f"{path}{sheet}{number}: {note.text.of(lang)}")

    def tell(self, report: Callable[[str], None], lang: Lang) -> None:
        """Report them, at the end of the file."""
        for kind, told in self._told.items():
            for line in told:
                report(line)
            if (more := self._count[kind] - len(told)) > 0:
                report(f"  … và {more} chỗ nữa như vậy" if lang == "vi" else f"  … and {more} more like that")


def send_file(
    path: str,
    publisher: Publisher,
    report: Callable[[str], None],
    progress: Callable[[int], None],
    forms: Forms | None = None,
    opened: Callable[[int], None] = lambda _: None,
) -> Sent:
    """Send every good row, wait for the acknowledgements, write the rejects file, and return the counts.

    `report` gets a sentence for each bad row (see `describe`; of a table, after a hundred with one column and reason the rest are counted,
    since the rejects file has them all), the notes, and one when the sending stops early: after the first failed delivery, or at Ctrl-C;
    then no rejects file is written. One that cannot be begun is a FileError before a row is sent; one that fails later is told in
    `Sent.trouble`, and the good rows are sent all the same. `progress` gets the number of bytes (of a workbook: rows) read so far,
    now and then, and `opened`, once, how many there are. Without `forms` the file is JSONL, and no rejects file is written. Raises
    FileError, SettingsError or PublishError.
    """
    before = publisher.taken, publisher.acknowledged, publisher.failed
    tally = _Tally(path, "en" if forms is None else forms.lang, report)
    stopped = ""
    with _source(path, forms) as source, ExitStack() as stack:
        opened(source.total)
        rejects = _Rejects(source.rejects(tally.lang) if forms is not None else None, tally)
        stack.callback(rejects.discard)
        if rejects.file is not None and source.kind != "jsonl":  # a line of JSON that is too long is not in it
            tally.told_max = _PROBLEMS_TOLD_MAX
        items = judged(source.items(), publisher.send)
        if forms is not None:
            items = remarked(items, forms.rules)
        step = _PROGRESS_BYTES if source.unit == "bytes" else _PROGRESS_ROWS
        shown = 0
        try:
            for item in items:
                tally.add(item)
                rejects.add(item)
                if item.read - shown >= step:
                    shown = item.read
                    progress(shown)
                if publisher.failed > before[2]:
                    # the broker has been away for longer than a delivery may take, or refuses us: the next line would fare no better
                    stopped = FAILED
                    break
            else:
                progress(source.total or tally.read)
                publisher.flush()
                rejects.finish()
        except KeyboardInterrupt:
            stopped = INTERRUPTED
    tally.tell(rejects.written)
    rejects.tell(report)
    if stopped:
        report(
            Text(
                f"{path}:{tally.number}: {_STOPPED[stopped].vi}, sau dòng này; gửi lại cả tệp (gửi hai lần chỉ tính một)",
                f"{path}:{tally.number}: {_STOPPED[stopped].en}, after this line; send the file again for the rest "
                "(what arrives twice counts once)",
            ).of(tally.lang)
        )
        publisher.flush(STOP_SECONDS_MAX)
    taken, acknowledged = publisher.taken - before[0], publisher.acknowledged - before[1]
    return Sent(
        lines=taken + tally.rejected,
        acknowledged=acknowledged,
        rejected=tally.rejected,
        failed=taken - acknowledged,
        stopped=stopped,
        skipped=tuple(tally.skipped.items()),
        rejects=rejects.written,
        trouble=rejects.trouble,
    )


class _Tally:
    """What the items of one file come to; tells of the bad ones as they come."""

    def __init__(self, path: str, lang: Lang, report: Callable[[str], None]) -> None:
        self.path, self.lang = path, lang
        self.number = self.read = self.rejected = 0
        self.skipped: Counter[str] = Counter()
        self.notes = Notes()
        self.told_max: int | None = None
        self._problems: Counter[tuple[str, Reason]] = Counter()
        self._told: Counter[tuple[str, Reason]] = Counter()
        self._report = report

    def add(self, item: Item) -> None:
        self.number, self.read = item.number, item.read
        if item.problems:
            self.rejected += 1
            for problem, line in zip(item.problems, describe(self.path, item, self.lang), strict=True):
                self._problems[problem.column, problem.reason] += 1
                if self.told_max is None or self._problems[problem.column, problem.reason] <= self.told_max:
                    self._told[problem.column, problem.reason] += 1
                    self._report(line)
        elif item.skipped is not None and item.number:
            self.skipped[item.skipped] += 1
        if item.notes:
            self.notes.add(self.path, item, self.lang)

    def tell(self, rejects: str) -> None:
        """What was counted and not told, and the notes."""
        for (column, reason), found in self._problems.items():
            if more := found - self._told[column, reason]:
                where = Text(f" (đều có trong {rejects})", f" (all of them are in {rejects})") if rejects else Text("", "")
                about = Text(f'cột "{column}": ', f'column "{column}": ') if column else Text("", "")
                text = Text(f"  … và {more} lỗi nữa: {about.vi}{reason}{where.vi}", f"  … and {more} more: {about.en}{reason}{where.en}")
                self._report(text.of(self.lang))
        self.notes.tell(self._report, self.lang)


class _Rejects:
    """The rejects file of one run, if it has one; when it cannot be written on, the good rows are sent all the same."""

    def __init__(self, file: RejectsFile | None, tally: _Tally) -> None:
        self.file = file
        self.written = self.trouble = ""
        self._tally = tally

    def add(self, item: Item) -> None:
        if item.event is None:
            self._try(lambda file: file.add(item))

    def finish(self) -> None:
        self._try(self._finish)

    def _finish(self, file: RejectsFile) -> None:
        self.written = file.finish()

    def _try(self, do: Callable[[RejectsFile], None]) -> None:
        if self.file is None:
            return
        try:
            do(self.file)
        except FileError as error:
            self.discard()
            # from here on, what is told is all that there is
            self.file = self._tally.told_max = None
            self.trouble = error.text.of(self._tally.lang)

    def discard(self) -> None:
        if self.file is not None:
            self.file.discard()

    def tell(self, report: Callable[[str], None]) -> None:
        """That a file of the same name is left as it is."""
        kept = "" if self.file is None else self.file.kept
        if kept:
            text = Text(
                f"{kept}: có từ trước, để nguyên; không cần nữa thì xóa đi",
                f"{kept}: was there before and is left as it is; remove it when it is no longer needed",
            )
            report(text.of(self._tally.lang))


class _Source(NamedTuple):
    """An open file: what it is measured in, how much of that there is, and what is needed for its items and its rejects."""

    path: str
    kind: str
    unit: str
    total: int
    items: Callable[[], Iterator[Item]]
    delimiter: str = ","
    base_1904: bool = False

    def rejects(self, lang: Lang) -> RejectsFile | None:
        """The rejects file beside it; standard input has none."""
        if self.path == STANDARD_INPUT or not Path(self.path).is_file():
            return None
        return RejectsFile(self.path, self.kind, self.delimiter, lang, base_1904=self.base_1904)


_WHY = {errno.ENOENT: "không có tệp này", errno.EISDIR: "là thư mục", errno.EACCES: "không được phép đọc"}


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    try:
        with nullcontext(sys.stdin.buffer) if path == STANDARD_INPUT else Path(path).open("rb") as file:
            yield file
    except FileError:
        raise
    except OSError as error:
        why = Text(_WHY.get(error.errno or 0, str(error.strerror or error)), str(error.strerror or error))
        raise FileError(
            Text(
                f"{path}: không đọc được ({why.vi}); nêu tên một tệp CSV, XLSX, ODS hay JSONL, hoặc {STANDARD_INPUT} cho đầu vào chuẩn",
                f"{path}: cannot be read ({why.en}); name a CSV, XLSX, ODS or JSONL file, or {STANDARD_INPUT} for standard input",
            )
        ) from error


@contextmanager
def _source(path: str, forms: Forms | None) -> Iterator[_Source]:
    with ExitStack() as stack:
        file: Any = stack.enter_context(_opened(path))
        info = os.fstat(file.fileno()) if _has_number(file) else None
        is_file = info is not None and stat.S_ISREG(info.st_mode)
        head = _peek(file, _HEAD_BYTES)
        kind = "jsonl" if forms is None else _kind(path, head, file if is_file else None)
        if kind == "jsonl" or forms is None:
            if forms is not None and forms.options.given:
                given = ", ".join(forms.options.given)
                text = Text(
                    f"{path}: {given}: chỉ dùng cho bảng tính; mỗi sự kiện của tệp JSONL tự nói điều đó, bỏ tùy chọn này",
                    f"{path}: {given}: for tables; each event of a JSONL file says that itself, leave it out",
                )
                raise SettingsError(text.of(forms.lang))
            total = info.st_size if info is not None and is_file else 0
            yield _Source(path, "jsonl", "bytes", total, lambda: _jsonl(file, total))
            return
        if kind == "csv":
            if not is_file or path == STANDARD_INPUT:
                file = stack.enter_context(_spooled(path, file))
            book = stack.enter_context(open_csv(path, file, forms.recognise))
        else:
            book = stack.enter_context(open_workbook(path))
        time, how = _time(path, forms, book, info if is_file else None)
        notes = (*book.notes, *how)
        yield _Source(
            path=path,
            kind=book.kind,
            unit=book.unit,
            total=book.total,
            items=lambda: _table_items(path, forms, book, time, notes),
            delimiter=book.delimiter,
            base_1904=book.base_1904,
        )


def _has_number(file: Any) -> bool:
    try:
        file.fileno()
    except (OSError, AttributeError):
        return False
    return True


def _peek(file: Any, size: int) -> bytes:
    found: bytes = file.peek(size)[:size]
    return found


def _kind(path: str, head: bytes, file: BinaryIO | None) -> str:
    """jsonl, csv or workbook: by what the file begins with, then by its name. Raises FileError for what is none of them."""
    suffix = "" if path == STANDARD_INPUT else Path(path).suffix.lower()
    if head.startswith((*_ZIP, _OLE)):
        if path == STANDARD_INPUT or file is None:
            raise FileError(
                Text(f"{path}: đầu vào chuẩn chỉ nhận CSV hoặc JSONL; lưu thành tệp", f"{path}: takes CSV or JSONL; save it as a file")
            )
        if head.startswith(_OLE):
            raise encrypted(path) if _holds(file, _OLE_ENCRYPTED) else _old(path)
        return "workbook"
    if suffix in _WORKBOOK_SUFFIXES:
        if not head:
            raise _empty(path)
        raise _old(path) if suffix == ".xls" else _no_workbook(path)
    if _MARKUP.match(head):
        raise _no_workbook(path)
    if suffix in (*_JSONL_SUFFIXES, *_TEXT_SUFFIXES):
        return "jsonl" if suffix in _JSONL_SUFFIXES else "csv"
    return "jsonl" if head.removeprefix(_BOM).lstrip()[:1] == b"{" else "csv"


def _holds(file: BinaryIO, what: bytes) -> bool:
    before = b""
    file.seek(0)
    while chunk := file.read(1024 * 1024):
        if what in before + chunk:
            return True
        before = chunk[-len(what) :]
    return False


def _old(path: str) -> FileError:
    return FileError(
        Text(
            f"{path}: dạng .xls cũ không đọc được; mở bằng phần mềm bảng tính rồi lưu lại dạng .xlsx",
            f"{path}: the old .xls format is not read; open it in the spreadsheet program and save as .xlsx",
        )
    )


def _no_workbook(path: str) -> FileError:
    return FileError(
        Text(
            f"{path}: không phải bảng tính (không phải tệp zip); mở bằng phần mềm bảng tính rồi lưu lại dạng .xlsx",
            f"{path}: is no workbook (no zip file); open it in the spreadsheet program and save as .xlsx",
        )
    )


def _empty(path: str) -> FileError:
    return FileError(Text(f"{path}: tệp rỗng; xem phusong template", f"{path}: is empty; `phusong template` writes a form"))


@contextmanager
def _spooled(path: str, file: BinaryIO) -> Iterator[BinaryIO]:
    """What comes through a pipe, as a file: it is read twice, once to find out how it is written."""
    with tempfile.TemporaryFile() as spool:
        size = 0
        while chunk := file.read(1024 * 1024):
            size += len(chunk)
            if size > _SPOOLED_BYTES_MAX:
                raise FileError(Text(f"{path}: quá lớn; tách ra", f"{path}: more than {_SPOOLED_BYTES_MAX >> 30} GiB; split it"))
            spool.write(chunk)
        spool.seek(0)
        yield io.BufferedRandom(spool.raw) if isinstance(spool, io.BufferedRandom) else spool


def _time(path: str, forms: Forms, book: Book, info: os.stat_result | None) -> tuple[datetime, tuple[Note, ...]]:
    """When the file was said, for rows that do not say: --time, else when it says it was saved, else when it was written to."""
    given: datetime | None = forms.given.get("time")
    if given is not None:
        return given, ()
    if book.saved_at is not None:
        return book.saved_at.astimezone(VIETNAM), ()
    if info is not None and path != STANDARD_INPUT:
        return datetime.fromtimestamp(int(info.st_mtime), VIETNAM), ()
    now = forms.now.astimezone(VIETNAM).replace(microsecond=0)
    note = Text(f"thời điểm báo cáo lấy là bây giờ, {now:%d/%m/%Y %H:%M}", f"said now, {now:%Y-%m-%d %H:%M}; --time says otherwise")
    return now, (Note("time", note),)


def _table_items(path: str, forms: Forms, book: Book, time: datetime, notes: tuple[Note, ...]) -> Iterator[Item]:
    wanted = forms.options.sheet
    names = [sheet.name for sheet in book.sheets]
    if wanted and wanted not in names:
        known = ", ".join(names)
        text = Text(
            f"{path}: không có trang {wanted!r}; " + (f"một trong: {known}" if known else "bỏ --sheet"),
            f"{path}: there is no sheet {wanted!r}; " + (f"one of: {known}" if known else "leave it out"),
        )
        raise SettingsError(text.of(forms.lang))
    if notes:
        yield Item("", 0, notes=notes, skipped=Skipped.TITLE)
    form = FileForm(forms, time, base_1904=book.base_1904, kind=book.kind, unit=book.unit, of=book.total)
    tables = 0
    for sheet in book.sheets:
        if wanted and sheet.name != wanted:
            continue
        if sheet.hidden and sheet.name != wanted:
            # whoever filled in the file does not see what would be sent
            text = Text("trang ẩn không được đọc; muốn đọc thì nêu --sheet", "a hidden sheet is not read; --sheet names it to have it read")
            yield Item(sheet.name, 0, notes=(Note("hidden", text),), skipped=Skipped.TITLE)
            continue
        found = 0
        for item in form.items(sheet):
            found += item.skipped is Skipped.HEADING
            yield item
        tables += found
        if not found and len(book.sheets) > 1:
            text = Text("trang này không có bảng số liệu", "this sheet holds no table")
            yield Item(sheet.name, 0, notes=(Note("sheet", text),), skipped=Skipped.TITLE)
    if not tables:
        raise FileError(
            Text(
                f'{path}: không thấy bảng nào; cần một hàng tiêu đề có "Mã xã", "Đã phủ", "Tổng số" (xem docs/sheets.md, phusong template)',
                f'{path}: no table found; it needs a heading with "Mã xã", "Đã phủ", "Tổng số" (see docs/sheets.md, `phusong template`)',
            )
        )


def _jsonl(file: BinaryIO, total: int) -> Iterator[Item]:
    for (number, outcome, bytes_read), value in _lines(file):
        if isinstance(outcome, Rejected):
            problem = Problem("", "", outcome.reason, problem_of(outcome.reason, outcome.sentence, _NO_ITEM).text)
            yield Item("", number, problems=(problem,), read=bytes_read, of=total, cells=value)
        else:
            yield Item("", number, outcome, read=bytes_read, of=total, cells=value)


_NO_ITEM = Item("", 0)


def _lines(file: BinaryIO) -> Iterator[tuple[Line, bytes]]:
    """Each line with its bytes, unless it is too long to be held."""
    bytes_read = 0
    for number in count(1):
        line = piece = file.readline(_LINE_BYTES_MAX)
        if not piece:
            return
        bytes_read += len(piece)
        too_long = False
        while not piece.endswith(b"\n") and (piece := file.readline(_LINE_BYTES_MAX)):
            # passed over, never held whole
            too_long = True
            bytes_read += len(piece)
        # not only at the start: somebody may have joined files
        value = line.removeprefix(_BOM).strip()
        if too_long:
            refused = Rejected(Reason.TOO_LARGE, f"more than {MAX_VALUE_BYTES} bytes in one line; split it by commune")
            yield Line(number, refused, bytes_read), b""
        elif value:
            yield Line(number, _read(value), bytes_read), value


def _read(value: bytes) -> Event | Rejected:
    try:
        # the decoder does not look into fields that it does not know
        value.decode()
        return decode(value)
    except UnicodeDecodeError as error:
        return Rejected(Reason.NOT_JSON, f"byte {error.start + 1} is not UTF-8; save the file as UTF-8")
    except Rejected as error:
        return error
