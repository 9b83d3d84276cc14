"""What a query asks for: every parameter in one table, read once, and refused where it cannot match.

Comes in: the query string and the rules. Goes out: `Query`. Owns no state. A parameter that is unknown or given twice where one makes
sense, and a value that is not known, are `Refused` with 400 and what is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, cast
from urllib.parse import parse_qsl

from msgspec import Struct, field

from feed.paging import LIMIT_MAX, Order, order_of
from feed.problems import Refused, quoted
from phusong.acknowledgements import Acknowledgement
from phusong.rows import CommuneRow, Mark, ProvinceRow, State, VerdictChange
from phusong.rules import Rules

FIELDS_MAX = 200
"""The most name=value pairs of a query."""


class Parameter(Struct, frozen=True, kw_only=True):
    """One parameter: how it is described, whether it may be repeated (rows that match any of the values), and what it may be."""

    name: str
    description: str
    many: bool = True
    schema: dict[str, Any] = field(default_factory=lambda: {"type": "string"})
    known: Callable[[Rules], Iterable[str]] | None = None
    """Its values, by the rules; None: see schema."""


PARAMETERS: dict[str, Parameter] = {
    one.name: one
    for one in (
        Parameter(
            name="province",
            description="mã tỉnh, ví dụ 08; bỏ trống: tất cả (province code; left out: all)",
            known=lambda rules: rules.register.provinces,
        ),
        Parameter(
            name="indicator",
            description="chỉ tiêu, ví dụ postal.staffed_point; bỏ trống: tất cả (indicator; left out: all)",
            known=lambda rules: rules.catalogue.indicators,
        ),
        Parameter(
            name="vintage",
            description="danh sách xã, ví dụ 2020-01-01; bỏ trống: đang có hiệu lực (list of communes; left out: the one in force)",
            known=lambda rules: rules.register.vintages,
        ),
        Parameter(
            name="commune",
            description="mã xã năm chữ số, giữ số 0 đầu; bỏ trống: tất cả (commune code of five digits; left out: all)",
            schema={"type": "string", "pattern": "^[0-9]{5}$"},
            known=lambda rules: dict.fromkeys(code for _, code in rules.register.units),
        ),
        Parameter(
            name="reporter",
            description="đơn vị báo cáo; bỏ trống: tất cả (reporter; left out: all)",
            known=lambda rules: rules.catalogue.reporters,
        ),
        Parameter(name="state", description="còn hạn, quá hạn, chưa báo cáo (state of a commune)", known=lambda _: State),
        Parameter(name="mark", description="lưu ý: xã có một trong các dấu này (communes with any of these marks)", known=lambda _: Mark),
        Parameter(
            name="since",
            description="từ thời điểm này, có múi giờ; viết + thành %2B (from this moment on, with its offset; write + as %2B)",
            many=False,
            schema={"type": "string", "format": "date-time"},
        ),
        Parameter(
            name="as_of",
            description=(
                "điều nay biết về lúc này, có múi giờ; bỏ trống: dòng đang công bố "
                "(what is now known to have been at this moment, with its offset; left out: the row as it is published)"
            ),
            many=False,
            schema={"type": "string", "format": "date-time"},
        ),
        Parameter(
            name="limit",
            description=f"số hàng nhiều nhất của một trang (rows of a page at most); mặc định (default) {LIMIT_MAX}",
            many=False,
            schema={"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_MAX},
        ),
        Parameter(name="cursor", description="từ Link rel=next của trang trước (from the Link rel=next of the page before)", many=False),
        Parameter(
            name="format",
            description="thay cho tiêu đề Accept (instead of the header Accept)",
            many=False,
            known=lambda _: ("json", "csv", "geojson"),
        ),
        Parameter(
            name="lang",
            description="CSV: tiêu đề cột tiếng Việt; bỏ trống: tên trường (Vietnamese headings; left out: the names of the fields)",
            many=False,
            known=lambda _: ("vi",),
        ),
        Parameter(
            name="bom",
            description="CSV: 1 thêm dấu BOM cho bảng tính (1: with a byte order mark, for spreadsheets)",
            many=False,
            known=lambda _: ("0", "1"),
        ),
    )
}

PAGED = ("limit", "cursor", "format", "lang", "bom")
"""What every address with rows takes."""


class Query(Struct, frozen=True, kw_only=True):
    """A query that may match. Sets hold every value that is asked for; `vintages` None: the one in force; `after`: the page before."""

    pairs: tuple[tuple[str, str], ...]
    provinces: frozenset[str]
    indicators: frozenset[str]
    vintages: frozenset[str] | None = None
    communes: frozenset[str] | None = None
    reporters: frozenset[str] | None = None
    states: frozenset[str] | None = None
    marks: frozenset[str] | None = None
    since: datetime | None = None
    as_of: datetime | None = None
    limit: int = LIMIT_MAX
    after: Order | None = None
    format: str = ""
    lang: str = ""
    bom: bool = False

    def asks_for(self, row: CommuneRow | ProvinceRow | VerdictChange | Acknowledgement, vintages: frozenset[str]) -> bool:
        """Whether a row of these lists is of the provinces and indicators asked for."""
        return row.vintage in vintages and row.province in self.provinces and row.indicator in self.indicators

    def asks_for_commune(self, row: CommuneRow) -> bool:
        """Whether it is one of the communes, states and marks asked for."""
        return (
            (self.communes is None or row.commune in self.communes)
            and (self.states is None or row.state in self.states)
            and (self.marks is None or not self.marks.isdisjoint(row.marks))
        )


def read_query(
    text: str, names: Sequence[str], formats: Sequence[str], rules: Rules, order_parts: int = 0, required: Sequence[str] = ()
) -> Query:
    """The query of an address that takes the parameters `names`; a cursor has `order_parts` texts. Raises Refused.

    `required`: of an address that is about one thing: these must be there, and none may be repeated.
    """
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="replace")
    except ValueError:
        raise Refused(400, f"more than {FIELDS_MAX} parameters; ask in several requests") from None
    found = _found(pairs, names, formats, rules, required)

    def one(name: str) -> str | None:
        return found[name][0] if name in found else None

    def values(name: str) -> frozenset[str] | None:
        return frozenset(found[name]) if name in found else None

    limit, cursor, since, as_of = one("limit"), one("cursor"), one("since"), one("as_of")
    return Query(
        pairs=tuple(pairs),
        provinces=values("province") or frozenset(rules.register.provinces),
        indicators=values("indicator") or frozenset(rules.catalogue.indicators),
        vintages=values("vintage"),
        communes=values("commune"),
        reporters=values("reporter"),
        states=values("state"),
        marks=values("mark"),
        since=None if since is None else _moment("since", since),
        as_of=None if as_of is None else _moment("as_of", as_of),
        limit=LIMIT_MAX if limit is None else _limit(limit),
        after=None if cursor is None else order_of(cursor, order_parts),
        format=one("format") or "",
        lang=one("lang") or "",
        bom=one("bom") == "1",
    )


def _found(
    pairs: Sequence[tuple[str, str]], names: Sequence[str], formats: Sequence[str], rules: Rules, required: Sequence[str]
) -> dict[str, list[str]]:
    """The values of each parameter, every one known."""
    found: dict[str, list[str]] = {}
    known: dict[str, frozenset[str]] = {}
    for name, value in pairs:
        if name not in names:
            raise _unknown(f"there is no parameter {quoted(name)} here", name, names)
        parameter = PARAMETERS[name]
        if parameter.known is not None:
            if name not in known:
                # once, however often it is repeated: there are ten thousand communes
                known[name] = frozenset(formats if name == "format" else parameter.known(rules))
            if value not in known[name]:
                raise _unknown(f"{name} {quoted(value)} is not known", name, known[name])
        found.setdefault(name, []).append(value)
        if len(found[name]) > 1 and (required or not parameter.many):
            raise Refused(400, f"{name} is given twice; give it once", parameter=name)
    missing = next((name for name in required if name not in found), None)
    if missing is not None:
        raise Refused(400, f"{missing} is missing; give one of each: {', '.join(required)}", parameter=missing)
    return found


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= LIMIT_MAX):
        raise Refused(400, f"limit {quoted(text)} is no whole number from 1 to {LIMIT_MAX}", parameter="limit")
    return int(text)


def _moment(name: str, text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            raise ValueError
        # a moment at the very edge of the calendar cannot be compared with others
        return datetime.fromtimestamp(found.timestamp(), found.tzinfo)
    except (ValueError, OverflowError, OSError):
        raise Refused(
            400,
            f"{name} {quoted(text)} is no moment with an offset; write 2023-06-30T00:00:00Z, or 2023-06-30T00:00:00%2B07:00 (+ as %2B)",
            parameter=name,
        ) from None


def _unknown(detail: str, parameter: str, known: Iterable[str]) -> Refused:
    choices = sorted(known)
    named = cast("list[str]", choices if len(choices) <= 100 else [*choices[:100], "…"])
    return Refused(400, f"{detail}; one of: {', '.join(named)}", parameter=parameter[:100], known=[str(one) for one in named])
