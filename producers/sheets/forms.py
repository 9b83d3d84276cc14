"""A reporter's form: what is said beside a file, and how its cells are to be read.

Comes in: the rules, and the options as typed (`FormOptions`, with a mapping in TOML for a form of one's own). Goes out: `Forms`, which
reads what a cell, a label or an option says of a field. Owns no state. A mapping or an option that cannot be used is a `SettingsError`.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from phusong.events import Method, Origin, Reason
from phusong.rules import Rules
from phusong.settings import SettingsError
from producers.sheets.cells import CellError, Lang, Note, Text, Value, folded, moment_of, text_of
from producers.sheets.headings import FIELDS, Heading
from producers.sheets.units import Units

T = TypeVar("T")

GIVEN = ("source", "indicator", "observed_at", "method", "operator", "origin", "time")
"""What may be said beside the file, once for all of its rows."""
CONTEXT = (*GIVEN, "vintage", "until")
"""What a row says beside its commune and counts."""
_MAPPING_BYTES_MAX = 64 * 1024


class FormMapping(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A reporter's own form: field -> heading in the file (`column`), and what is the same for every row (`value`)."""

    column: dict[str, str]
    value: dict[str, Any] = {}


class FormOptions(Struct, frozen=True, kw_only=True):
    """What is said beside the file, as it was typed; "" where nothing was."""

    source: str = ""
    indicator: str = ""
    observed_at: str = ""
    method: str = ""
    operator: str = ""
    origin: str = ""
    time: str = ""
    sheet: str = ""
    mapping: FormMapping | None = None
    mapping_file: str = ""
    """What the mapping was read from, for what is told of its values."""

    @property
    def given(self) -> tuple[str, ...]:
        """The options that are about tables, as typed on the command line."""
        names = (*GIVEN, "sheet", "mapping")
        return tuple(f"--{name.replace('_', '-')}" for name in names if getattr(self, name))


def read_mapping(path: str, lang: Lang = "en") -> FormMapping:
    """The mapping in a TOML file. Raises SettingsError with what is wrong and the remedy."""
    try:
        with Path(path).open("rb") as file:
            raw = file.read(_MAPPING_BYTES_MAX + 1)
        if len(raw) > _MAPPING_BYTES_MAX:
            problem = Text(f"lớn hơn {_MAPPING_BYTES_MAX} byte", f"larger than {_MAPPING_BYTES_MAX} bytes; a mapping holds a few lines")
            raise SettingsError(f"{path}: {problem.of(lang)}; {_SEE.of(lang)}")
        found = msgspec.convert(tomllib.loads(raw.decode("utf-8-sig")), FormMapping)
    except FileNotFoundError as error:
        raise SettingsError(Text(f"{path}: không có tệp này", f"{path}: there is no such file").of(lang)) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        wrong = Text(f"không dùng được ({error})", str(error))
        raise SettingsError(f"{path}: {wrong.of(lang)}; {_SEE.of(lang)}") from error
    if problems := [f"{path}: {problem.of(lang)}" for problem in _problems_of(found)]:
        raise SettingsError("\n".join(problems))
    return found


_SEE = Text("xem mẫu ở docs/sheets.md", "docs/sheets.md shows a mapping")


def _problems_of(mapping: FormMapping) -> Iterator[Text]:
    for table, known in (("column", FIELDS), ("value", CONTEXT)):
        for field in getattr(mapping, table):
            if field not in known:
                near = difflib.get_close_matches(field, known, n=1)
                hint = (
                    Text(f"có phải là {near[0]}?", f"did you mean {near[0]}?")
                    if near
                    else Text(f"một trong: {', '.join(known)}", f"one of: {', '.join(known)}")
                )
                yield Text(f"[{table}] {field}: không có trường này; {hint.vi}", f"[{table}] {field}: there is no such field; {hint.en}")
    headings = [folded(heading) for heading in mapping.column.values()]
    for field, heading in zip(mapping.column, headings, strict=True):
        if not heading:
            yield Text(f"[column] {field}: để trống; ghi tiêu đề", f"[column] {field} is empty; write the heading")
    if len(set(headings)) < len(headings):
        yield Text(
            "[column]: một tiêu đề cho hai trường; mỗi tiêu đề là một trường",
            "[column] names one heading for two fields; each heading is one field",
        )
    for field, value in mapping.value.items():
        if not isinstance(value, str | int | date) or isinstance(value, bool) or value == "":
            yield Text(f'[value] {field}: ghi dạng chữ, như "2023-06-30"', f'[value] {field}: write it as text, as "2023-06-30"')
    for field in mapping.column.keys() & mapping.value.keys():
        yield Text(
            f"{field}: có cả trong [column] và [value]; chỉ ghi ở một nơi",
            f"{field} stands in [column] and in [value]; write it in one of them",
        )


class Forms:
    """What is needed to read any table: the rules, the options, and the moment that stands for "now" where a file has no time.

    Raises SettingsError for an option that cannot be read.
    """

    def __init__(self, rules: Rules, options: FormOptions, now: datetime, lang: Lang = "en") -> None:
        self.rules = rules
        self.options = options
        self.now = now
        self.lang = lang
        self.units = Units(rules.register)
        self._readers: dict[str, Callable[[Value, bool], tuple[Any, Note | None]]] = {
            "source": self._source,
            "indicator": self._indicator,
            "observed_at": lambda value, base: moment_of(value, base_1904=base),
            "time": lambda value, base: moment_of(value, base_1904=base),
            "until": lambda value, base: moment_of(value, base_1904=base),
            "method": lambda value, _: (_word(value, _METHODS), None),
            "origin": lambda value, _: (_word(value, _ORIGINS), None),
            "operator": self._operator,
            "vintage": self._vintage,
        }
        self.given: dict[str, Any] = {}
        problems = []
        mapped = {} if options.mapping is None else options.mapping.value
        typed = [(f"--{field.replace('_', '-')}", field, getattr(options, field)) for field in GIVEN]
        file = f"{options.mapping_file}: " if options.mapping_file else ""
        for where, field, value in [*typed, *((f"{file}[value] {field} =", field, value) for field, value in mapped.items())]:
            if value == "":
                continue
            try:
                found, _ = self.read(field, value, base_1904=False)
            except CellError as error:
                problems.append(f"{where} {value}: {error.text.of(lang)}")
                continue
            if self.given.setdefault(field, found) != found:
                both = Text(f"{file}[value] nói {value}; bỏ một trong hai", f"{file}[value] of the mapping says {value}; leave one out")
                problems.append(f"--{field.replace('_', '-')} {getattr(options, field)}: {both.of(lang)}")
        if problems:
            raise SettingsError("\n".join(problems))

    @property
    def mapped(self) -> dict[str, str] | None:
        """Field -> heading, of a reporter's own form."""
        return None if self.options.mapping is None else self.options.mapping.column

    def read(self, field: str, value: Value, *, base_1904: bool) -> tuple[Any, Note | None]:
        """What a cell, a label or an option says of a field. Raises CellError."""
        return self._readers[field](value, base_1904)

    def recognise(self, rows: Sequence[Sequence[str]]) -> int:
        """How many columns are recognised in the best heading among these rows."""
        best = 0
        for first, second in zip(rows, [*rows[1:], ()], strict=True):
            if any(first):
                one, two = Heading([first], self.mapped), Heading([first, second], self.mapped)
                best = max(best, *(heading.found for heading in (one, two) if heading.is_table), 0)
        return best

    def _source(self, value: Value, _: bool) -> tuple[str, None]:
        text = text_of(value)
        reporters = self.rules.catalogue.reporters
        if text in reporters:
            return text, None
        found = {one.id for one in reporters.values() if folded(text) in (folded(one.id), folded(one.name_vi), folded(one.name_en))}
        if len(found) == 1:
            return found.pop(), None
        near = near_of(text, list(reporters))
        raise CellError(
            Text(
                f"không có đơn vị báo cáo này trong reporters.csv; {near.vi}",
                f"is no reporter of reporters.csv; {near.en}",
            ),
            Reason.UNKNOWN_REPORTER,
        )

    def _operator(self, value: Value, _: bool) -> tuple[str, None]:
        text = text_of(value)
        catalogue = self.rules.catalogue
        known = {operator for one in catalogue.reporters.values() for operator in one.operators}
        if text in known:
            return text, None
        names = {one.id: (one.id, one.name_vi, one.name_en) for one in catalogue.reporters.values()}
        found = {one for one in known if folded(text) in map(folded, names.get(one, (one,)))}
        if len(found) == 1:
            return found.pop(), None
        near = near_of(text, sorted(known))
        raise CellError(
            Text(f"không có nhà mạng, doanh nghiệp này; {near.vi}", f"is no operator that is known; {near.en}"),
            Reason.UNKNOWN_OPERATOR,
        )

    def _indicator(self, value: Value, _: bool) -> tuple[str, None]:
        text = text_of(value)
        indicators = self.rules.catalogue.indicators
        if text in indicators:
            return text, None
        key = _whole(text)
        found = {one.id for one in indicators.values() if key in (_whole(one.id), _whole(one.name_vi), _whole(one.name_en))}
        if len(found) == 1:
            return found.pop(), None
        near = near_of(text, list(indicators), [one.name_vi for one in indicators.values()])
        raise CellError(
            Text(f"không có chỉ tiêu này; {near.vi}", f"is no indicator of indicators.csv; {near.en}"),
            Reason.UNKNOWN_INDICATOR,
        )

    def _vintage(self, value: Value, _: bool) -> tuple[str, None]:
        text = text_of(value)
        vintages = self.rules.register.vintages
        if text not in vintages:
            known = ", ".join(vintages)
            raise CellError(
                Text(f"không có danh mục xã này; một trong: {known}", f"is no list of communes; one of: {known}"), Reason.UNKNOWN_VINTAGE
            )
        return text, None


def _whole(text: str) -> str:
    # names of indicators differ in their brackets: "(không trắng sóng)" is no unit
    return folded(text.replace("(", " ").replace(")", " "))


def near_of(text: str, known: Sequence[str], names: Sequence[str] = ()) -> Text:
    """What resembles it, in ids or names; where nothing does, the ids that there are."""
    if near := difflib.get_close_matches(text, [*known, *names], n=3, cutoff=0.6):
        return Text(f"gần giống: {', '.join(near)}", f"near: {', '.join(near)}")
    more = len(known) - _LISTED_MAX
    listed = ", ".join(known[:_LISTED_MAX])
    return Text(
        f"một trong: {listed}" + (f", … ({more} nữa)" if more > 0 else ""), f"one of: {listed}" + (f", … ({more} more)" if more > 0 else "")
    )


_LISTED_MAX = 40

_METHODS = {
    Method.DECLARED: ("declared", "khai báo", "kê khai", "tự khai", "báo cáo", "khai"),
    Method.MEASURED: ("measured", "đo", "đo kiểm", "đo đạc", "đo thực tế"),
    Method.PETITIONED: ("petitioned", "kiến nghị", "kiến nghị cử tri", "cử tri kiến nghị", "phản ánh"),
}
_ORIGINS = {
    Origin.REAL: ("real", "thực", "thật", "thực tế", "số thật", "số thực"),
    Origin.ASSUMED: ("assumed", "giả định"),
    Origin.SIMULATED: ("simulated", "mô phỏng"),
}


def _word(value: Value, words: Mapping[T, tuple[str, ...]]) -> T:
    text = folded(text_of(value))
    for one, spellings in words.items():
        if text in map(folded, spellings):
            return one
    known = ", ".join(f"{spellings[0]} ({spellings[1]})" for spellings in words.values())
    raise CellError(Text(f"không nhận ra; một trong: {known}", f"is not known; one of: {known}"))
