"""What stands in one cell of a reporter's table: a code, a count, a day, names of places.

Comes in: a cell's value as the file holds it (text, number, date, truth value). Goes out: the value that a statement needs, with a note
where something had to be understood ("2275" read as "02275"). Owns no state. A cell that cannot be read raises `CellError` with the remedy.
"""

from __future__ import annotations

import re
import unicodedata
from calendar import monthrange
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Literal, NamedTuple

from phusong.events import Reason
from phusong.periods import VIETNAM

TEXT_CHARS_MAX = 32_767
"""The longest text of a cell that is looked at: what a spreadsheet itself allows."""
_SHOWN_CHARS = 60


Lang = Literal["vi", "en"]


class Text(NamedTuple):
    """A sentence for people, in Vietnamese and in English."""

    vi: str
    en: str

    def of(self, lang: Lang) -> str:
        """The one in that language: "vi" or "en"."""
        return self.vi if lang == "vi" else self.en


class Note(NamedTuple):
    """What was understood beyond the letter; `kind` is the same for all that are alike, so that a thousand of them make one line."""

    kind: str
    text: Text


class Percent(float):
    """A number that its cell shows as a percentage."""

    __slots__ = ()


class Unread(NamedTuple):
    """A cell without a value that could be read: what it shows, and why."""

    shown: str
    why: Text


Value = str | int | float | bool | datetime | date | time | timedelta | Unread
"""A cell; "" where it is empty."""


class CellError(ValueError):
    """A cell that says nothing usable; `text` names what is wrong with it and the remedy."""

    def __init__(self, text: Text, reason: Reason = Reason.SCHEMA) -> None:
        super().__init__(text.en)
        self.text = text
        self.reason = reason


@lru_cache(65536)
def folded(text: str) -> str:
    """How headings and names are compared: no case, no marks, no punctuation, no bracketed unit: "Đã phủ (thôn)" -> "da phu"."""
    letters = unicodedata.normalize("NFD", _BRACKETS.sub(" ", text).casefold().replace("đ", "d"))
    return " ".join(_NO_WORD.sub(" ", "".join([one for one in letters if not unicodedata.combining(one)])).split())


_BRACKETS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")
_NO_WORD = re.compile(r"[\W_]+")


def shown(value: Value) -> str:
    """The cell for a message: bounded, on one line."""
    if isinstance(value, Unread):
        text = value.shown
    elif isinstance(value, Percent):
        text = f"{float(value) * 100:g} %"
    elif isinstance(value, bool):
        text = str(value).upper()
    elif isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        text = str(int(value))
    else:
        text = str(value)
    line = " ".join(text[: 4 * _SHOWN_CHARS].split())
    return line if len(line) <= _SHOWN_CHARS else line[:_SHOWN_CHARS] + "…"


def is_empty(value: Value) -> bool:
    """Whether nothing stands in the cell."""
    return isinstance(value, str) and (not value or value.isspace())


def text_of(value: Value) -> str:
    """A cell as text: whole numbers without a decimal point, days in ISO."""
    if isinstance(value, str):
        if len(value) > TEXT_CHARS_MAX:
            raise CellError(Text("ô quá dài; viết ngắn lại", "the cell is too long; shorten it"), Reason.TOO_LARGE)
        return _unquoted(_INVISIBLE.sub("", value).strip())
    if isinstance(value, Unread):
        raise CellError(value.why)
    if isinstance(value, bool | time | timedelta):
        raise CellError(Text("không phải chữ; định dạng ô là văn bản", "is no text; format the cell as text"))
    if isinstance(value, int | float):
        return shown(float(value)) if not isinstance(value, Percent) else shown(value)
    return value.date().isoformat() if isinstance(value, datetime) and value.time() == time() else value.isoformat()


# what comes along from web pages and PDFs, and nobody can see
_INVISIBLE = re.compile("[\u200b-\u200d\u2060\ufeff\u00ad]")


def _figures(value: str) -> str:
    """The text of a code, a count or a date; full-width digits of an input method are plain ones."""
    text = text_of(value)
    return text if text.isascii() else unicodedata.normalize("NFKC", text) if _FULL_WIDTH.search(text) else text


_FULL_WIDTH = re.compile("[\uff01-\uff5e]")


def _unquoted(text: str) -> str:
    # the apostrophe that marks text in a spreadsheet; our own rejects files write it before = + - @
    return text[1:].lstrip() if text[:1] == "'" else text


_POINT_ZERO = re.compile(r"(\d+)[.,]0+")
_GROUPED_CODE = re.compile(r"(\d{1,2})[.,\s](\d{3})")


def code_of(value: Value) -> tuple[str, Note | None]:
    """A commune's code, five digits where they can be told: 2275 -> "02275"."""
    if isinstance(value, Percent | bool) or (isinstance(value, float) and not value.is_integer()):
        raise CellError(
            Text(
                "không phải mã xã; mã có năm chữ số, định dạng ô là văn bản", "is no commune code; five digits, in a cell formatted as text"
            ),
            Reason.UNKNOWN_COMMUNE,
        )
    text = _figures(value) if isinstance(value, str) else text_of(value)
    match = _POINT_ZERO.fullmatch(text) or _GROUPED_CODE.fullmatch(text)
    code = "".join(match.groups()) if match else text
    if code.isascii() and code.isdigit() and len(code) < 5:
        code = code.zfill(5)
    if code == text:
        return code, None
    return code, Note("code", Text(f"{shown(value)} đọc là {code}", f"{shown(value)} read as {code}"))


_GROUPS = re.compile(r"[1-9]\d{0,2}(?:\.\d{3})+|[1-9]\d{0,2}(?:,\d{3})+|[1-9]\d{0,2}(?:[ \u00a0\u202f]\d{3})+")
_GROUPS_ZERO = re.compile(r"([1-9]\d{0,2}(?:\.\d{3})+),0+|([1-9]\d{0,2}(?:,\d{3})+)\.0+")
_SIGNED = re.compile(r"[-+]?\d{1,18}")
_NOT_DIGIT = re.compile(r"\D")


def count_of(value: Value) -> tuple[int, Note | None]:
    """A whole number: 12, "12,0", "1.234", "1 234". A negative one is left to the rules of the contract."""
    if type(value) is int:
        return value, None
    if type(value) is float:
        if value.is_integer() and abs(value) < 1e15:
            return int(value), None
        raise CellError(
            Text(
                "không phải số nguyên; ghi số đếm (số thôn, số hộ, số người), không ghi tỷ lệ",
                "is no whole number; state counts (villages, households, people), not shares",
            )
        )
    if isinstance(value, str):
        return _count_of_text(_figures(value))
    if isinstance(value, Unread):
        raise CellError(value.why)
    raise _percent() if isinstance(value, Percent) else _no_count()


def _count_of_text(text: str) -> tuple[int, Note | None]:
    if _SIGNED.fullmatch(text):
        return int(text), None
    if _GROUPS.fullmatch(text):
        digits = _NOT_DIGIT.sub("", text)
    elif match := _GROUPS_ZERO.fullmatch(text):
        digits = _NOT_DIGIT.sub("", match[1] or match[2])
    elif match := _POINT_ZERO.fullmatch(text):
        digits = match[1]
    else:
        raise _percent() if text.endswith("%") else _no_count()
    number = int(digits[:19])
    return number, Note("count", Text(f"{shown(text)} đọc là {number}", f"{shown(text)} read as {number}"))


def _percent() -> CellError:
    return CellError(Text("là phần trăm; ghi số đếm, không ghi phần trăm", "is a percentage; state counts, not percent"))


def _no_count() -> CellError:
    return CellError(
        Text(
            'không phải số nguyên; ghi số đếm, chỉ chữ số (không có thì ghi 0; rút số đã gửi thì ghi "rút" vào cột đã phủ)',
            'is no whole number; write a count in digits (0 for none; "withdraw" where it is covered takes back what was sent)',
        )
    )


_WITHDRAWN = frozenset({"rut", "withdraw", "withdrawn"})


def is_withdrawn(value: Value) -> bool:
    """Whether a cell, in the place of a count, takes back what was stated: "rút"."""
    return isinstance(value, str) and not value.isdecimal() and folded(value) in _WITHDRAWN


_ROMAN = {"i": 1, "ii": 2, "iii": 3, "iv": 4}
_DAY = re.compile(r"(?:ngày\s+)?(\d{1,2})\s*[/.\-]\s*(\d{1,2})\s*[/.\-]\s*(\d{4})(?:\s+00?:00(?::00)?)?")
_DAY_WORDS = re.compile(r"ngày\s+(\d{1,2})\s+tháng\s+(\d{1,2})\s+năm\s+(\d{4})")
_ISO_DAY = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})")
_MONTH = re.compile(r"(?:tháng\s*|t\s*)?(\d{1,2})\s*(?:[/.\-]|năm)\s*(\d{4})")
_MONTH_ISO = re.compile(r"(\d{4})[-/](\d{1,2})")
_QUARTER = re.compile(r"(?:quý|q)\s*\.?\s*(iv|i{1,3}|[1-4])\s*(?:[/.\-,]|năm)?\s*(\d{4})")
_QUARTER_ISO = re.compile(r"(\d{4})[-/]?\s*q([1-4])")
_MONTHS_OF = re.compile(r"(3|6|9|ba|sáu|chín)\s+tháng\s+(đầu|cuối)\s+năm\s+(\d{4})")
_YEAR = re.compile(r"(?:(?:cả\s+)?năm\s+)?(\d{4})")
_NUMBER = re.compile(r"\d{5}(?:[.,]\d+)?")
_MONTH_WORDS = {"ba": 3, "sáu": 6, "chín": 9, "3": 3, "6": 6, "9": 9}
_SERIALS = range(20_000, 80_001)
_YEARS = range(1990, 2101)


def moment_of(value: Value, *, base_1904: bool = False) -> tuple[datetime, Note | None]:
    """A moment; a day is its midnight in Viet Nam, a period its last day. "03/04/2023" is 3 April, as in Viet Nam.

    `base_1904`: whether the workbook counts its days from 1904 (old Excel on a Mac).
    """
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=VIETNAM)), None
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=VIETNAM), None
    if isinstance(value, int | float) and not isinstance(value, bool | Percent):
        return _from_number(float(value), base_1904=base_1904)
    if not isinstance(value, str):
        raise CellError(value.why) if isinstance(value, Unread) else _no_day()
    text = " ".join(_figures(value).casefold().split())
    if _NUMBER.fullmatch(text):
        return _from_number(float(text.replace(",", ".")), base_1904=base_1904)
    try:
        found = _from_words(text)
    except (ValueError, OverflowError):
        raise _no_day() from None
    if found is None:
        raise _no_day()
    return found


def _from_number(number: float, *, base_1904: bool) -> tuple[datetime, Note | None]:
    if number in _YEARS:
        return _period(Text(f"{number:g}", f"{number:g}"), int(number), 12)
    if _SERIALS.start <= number < _SERIALS.stop:
        base = datetime(1904, 1, 1, tzinfo=VIETNAM) if base_1904 else datetime(1899, 12, 30, tzinfo=VIETNAM)
        day = base + timedelta(seconds=round(number * 86_400))
        return day, Note("serial", Text(f"{number:.10g} đọc là ngày {day:%d/%m/%Y}", f"{number:.10g} read as {day:%Y-%m-%d}"))
    raise _no_day()


def _from_words(text: str) -> tuple[datetime, Note | None] | None:
    if match := _DAY.fullmatch(text) or _DAY_WORDS.fullmatch(text):
        return datetime(int(match[3]), int(match[2]), int(match[1]), tzinfo=VIETNAM), None
    if match := _ISO_DAY.fullmatch(text):
        return datetime(int(match[1]), int(match[2]), int(match[3]), tzinfo=VIETNAM), None
    for pattern, last_month in _PERIODS:
        if match := pattern.fullmatch(text):
            year, month = last_month(match)
            return _period(Text(text, text), year, month) if year in _YEARS else None
    if _ISO_DAY.match(text):
        found = datetime.fromisoformat(text.upper())
        return (found if found.tzinfo else found.replace(tzinfo=VIETNAM)), None
    return None


_PERIODS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], tuple[int, int]]], ...] = (
    (_MONTH, lambda match: (int(match[2]), int(match[1]))),
    (_QUARTER, lambda match: (int(match[2]), 3 * (_ROMAN.get(match[1]) or int(match[1])))),
    (_QUARTER_ISO, lambda match: (int(match[1]), 3 * int(match[2]))),
    (_MONTHS_OF, lambda match: (int(match[3]), _MONTH_WORDS[match[1]] if match[2] == "đầu" else 12)),
    (_YEAR, lambda match: (int(match[1]), 12)),
    (_MONTH_ISO, lambda match: (int(match[1]), int(match[2]))),
)
"""How a period is written, and the year and month that it ends with."""


def _period(said: Text, year: int, month: int) -> tuple[datetime, Note]:
    day = datetime(year, month, monthrange(year, month)[1], tzinfo=VIETNAM) if month in range(1, 13) else None
    if day is None:
        raise _no_day()
    return day, Note("period", Text(f"{said.vi} đọc là ngày cuối kỳ, {day:%d/%m/%Y}", f"{said.en} read as its last day, {day:%Y-%m-%d}"))


def _no_day() -> CellError:
    return CellError(
        Text(
            "không phải ngày; viết 30/06/2023, 06/2023, quý 2/2023 hoặc 2023",
            "is no date; write 30/06/2023 (day first) or 2023-06-30, 06/2023, quý 2/2023 or 2023",
        )
    )


_NONE = frozenset({"khong", "khong co", "none"})
_LINES = re.compile(r"[;\r\n]+")


def names_of(value: Value) -> tuple[str, ...]:
    """Names of places: one a line, or separated by ";", or by "," where there is neither; "không" (none): no place."""
    if not isinstance(value, str):
        if isinstance(value, Unread):
            raise CellError(value.why)
        raise _no_names()
    text = text_of(value)
    parts = _LINES.split(text) if _LINES.search(text) else text.split(",")
    names = tuple([name for part in parts if (name := " ".join(part.split()).removeprefix("- ").strip())])
    if len(names) == 1 and folded(names[0]) in _NONE:
        return ()
    if not names or any(not any(map(str.isalpha, name)) for name in names):
        raise _no_names()
    return names


def _no_names() -> CellError:
    return CellError(
        Text(
            'không phải tên; viết tên các nơi, ngăn bằng ";" (không có thì viết "không"), số đếm thì tính từ hai cột số',
            'holds no name; write the names of the places, separated by ";" ("không" for none); the two columns of counts hold numbers',
        )
    )
