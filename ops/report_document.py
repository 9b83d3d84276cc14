"""What a report holds: the figures of one province at the end of a period, who has signed them, and what changed since signed ones.

Comes in: figures. Goes out: `Report`, its canonical JSON, and its chain of signatures. Owns no state. A report that is not what its
signatures say, or no report at all, is a `TamperedError` that says what does not fit.

Canonical: UTF-8, keys sorted, no blanks, as `encode` writes it. A signature names the SHA-256 of that JSON without it and without those
after it, so that nobody's figures can change under a signature. It is a record of who said so, not an electronic signature.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct

from feed.text import Lang
from phusong.communes import worst
from phusong.events import Method, Origin, Step
from phusong.periods import Period, end_of, index
from phusong.rows import CommuneRow, Mark, ProvinceRow, State, Verdict
from phusong.settings import SettingsError

INSTANT = timedelta(microseconds=1)
BYTES_MAX = 64 * 1024 * 1024
"""The largest report that is read back; 138 communes of which all 14 indicators are reported take about 3 MB."""

_PERIODS = (
    (Period.MONTH, re.compile(r"(\d{4})-(0[1-9]|1[0-2])")),
    (Period.QUARTER, re.compile(r"(\d{4})-Q([1-4])")),
    (Period.HALF_YEAR, re.compile(r"(\d{4})-H([12])")),
    (Period.YEAR, re.compile(r"(\d{4})()")),
)
_PER_YEAR = {Period.MONTH: 12, Period.QUARTER: 4, Period.HALF_YEAR: 2, Period.YEAR: 1}


class TamperedError(ValueError):
    """A report is not as it was written or signed; the text says what does not fit."""


class Span(Struct, frozen=True, kw_only=True):
    """A period by name: 2023-06, 2023-Q2, 2023-H1 or 2023; `number` as in phusong/periods.py."""

    name: str
    kind: Period
    number: int

    @property
    def start(self) -> datetime:
        """Its first moment."""
        return end_of(self.kind, self.number - 1)

    @property
    def end(self) -> datetime:
        """The first moment after it."""
        return end_of(self.kind, self.number)

    @property
    def as_of(self) -> datetime:
        """Its last moment: what the figures are about, and what `phusong replay --as-of` makes of its last day."""
        return self.end - INSTANT


def span(text: str) -> Span:
    """The period of that name. Raises SettingsError."""
    name = text.strip().upper()
    for kind, written in _PERIODS:
        found = written.fullmatch(name)
        if found and int(found[1]) > 0:
            number = int(found[1]) * _PER_YEAR[kind] + int(found[2] or 1) - 1
            try:
                end_of(kind, number)
            except ValueError:  # the year 9999
                break
            return Span(name=name, kind=kind, number=number)
    raise SettingsError(f"--period: {text!r}: viết (write) 2023-06, 2023-Q2, 2023-H1, 2023")


def before(one: Span) -> datetime:
    """The last moment of the period before."""
    return one.start - INSTANT


class Role(StrEnum):
    """Who signs, in this order: who made it, who checked it, the head."""

    MAKER = "maker"
    CHECKER = "checker"
    HEAD = "head"


ROLES = tuple(Role)


class Name(Struct, frozen=True):
    """What something is called."""

    vi: str
    en: str


class Log(Struct, frozen=True, kw_only=True):
    """How far the log was read when the figures were made: what lies beyond came later. `id` of the topic: another one is another log."""

    topic: str
    id: str
    partition: int
    end: int


class Past(Struct, frozen=True, kw_only=True):
    """The ratio at the end of the period before, as known now, in the same list of communes."""

    as_of: datetime
    ratio: float | None
    low: float | None
    high: float | None
    verdict: Verdict
    origin: Origin | None


class Figure(Struct, frozen=True, kw_only=True):
    """One indicator: the province's row, its names, and its past (None: nothing was known, or the list of communes was another)."""

    row: ProvinceRow
    name: Name
    target_source: Name | None
    previous: Past | None

    @property
    def known(self) -> int:
        """Of how many communes something is known."""
        return sum(count for state, count in self.row.units.items() if state is not State.UNKNOWN)


class Sayer(Struct, frozen=True, kw_only=True):
    """Who made a statement behind a figure, how, and when it was observed."""

    reporter: str
    method: Method
    observed_at: datetime
    origin: Origin


class Gap(Struct, frozen=True, kw_only=True):
    """A commune known not to be covered in full: its row, who said so, and since when.

    `since`: when the first statement was observed after which none said that all of it is covered; None: not from statements alone.
    `unnamed`: how many places of the gap have no name (0 where people or households are counted).
    """

    row: CommuneRow
    said: tuple[Sayer, ...]
    since: datetime | None
    unnamed: int


class Place(Struct, frozen=True, kw_only=True):
    """A commune by code and name."""

    commune: str
    name: str
    district: str


class Silent(Struct, frozen=True, kw_only=True):
    """Of one indicator the communes that nothing is known of, and those whose figures are stale, of how many."""

    indicator: str
    communes: int
    unknown: tuple[Place, ...]
    stale: tuple[Place, ...]


class Owed(Struct, frozen=True, kw_only=True):
    """What a reporter owes under one indicator: on `missing` of the `communes` it is obliged for nothing about `period` has come.

    `period`: the last one of the obligation's own that was over; `deadline`: when its report was due, with grace; `never`: of how many
    communes it has never said anything; `overdue`: on how many even its report before that was stale by the end of the report's period.
    """

    indicator: str
    reporter: str
    period: str
    communes: int
    missing: int
    never: int
    overdue: int
    deadline: datetime


class Promise(Struct, frozen=True, kw_only=True):
    """An undertaking about a gap that stands: by when, first and now. `place` "": the whole commune."""

    indicator: str
    commune: str
    name: str
    district: str
    operator: str
    place: str
    by_first: datetime | None
    by: datetime
    days_overdue: int | None
    origin: Origin


class Dispute(Struct, frozen=True, kw_only=True):
    """A challenge that is not resolved: where it stands since when, when the next step is due."""

    indicator: str
    commune: str
    name: str
    district: str
    operator: str
    challenge: str
    step: Step
    since: datetime
    deadline: datetime | None
    overdue: bool
    origin: Origin


class Base(Struct, frozen=True, kw_only=True):
    """The signed report that this one is compared with."""

    report: str
    period: str
    version: int
    sha256: str
    as_of: datetime
    vintage: str
    rules: int


class Difference(Struct, frozen=True, kw_only=True):
    """One figure of a province row, before and after."""

    field: str
    before: int | float | str | None
    after: int | float | str | None


class Arrived(Struct, frozen=True, kw_only=True):
    """A statement, or (`withdraws`) a withdrawal, that Kafka took after the signed figures were made."""

    id: str
    reporter: str
    method: Method
    origin: Origin
    withdraws: bool
    commune: str
    indicator: str
    observed_at: datetime
    said_at: datetime
    arrived_at: datetime
    covered: int | None
    expected: int | None


class Moved(Struct, frozen=True, kw_only=True):
    """A commune whose figures changed; None: nothing was known."""

    commune: str
    name: str
    covered_before: int | float | None
    expected_before: int | None
    origin_before: Origin | None
    covered: int | float | None
    expected: int | None
    origin: Origin | None


class Reason(StrEnum):
    """Why signed figures are others now."""

    STATEMENTS = "statements"
    """Statements, corrections or withdrawals came after they were made."""
    RULES = "rules"
    """The rules or rows of seeds/ have another number."""
    LOG = "log"
    """The log is another one: what came since cannot be told."""


class Change(Struct, frozen=True, kw_only=True):
    """What changed of one indicator, and for the same moment why: the communes, and what arrived about them (`more`: left out)."""

    indicator: str
    differences: tuple[Difference, ...]
    origin_before: Origin | None = None
    origin: Origin | None = None
    reasons: tuple[Reason, ...] = ()
    communes: tuple[Moved, ...] = ()
    statements: tuple[Arrived, ...] = ()
    more: int = 0


class Signature(Struct, frozen=True, kw_only=True):
    """Who signed as what and when; `of`: SHA-256 of the canonical JSON before it."""

    role: Role
    name: str
    at: datetime
    of: str


def origin_of(row: ProvinceRow | CommuneRow | None) -> Origin | None:
    """The worst origin behind a row's figures, that of a weight too; None: nothing is known."""
    if row is None or row.origin is None:
        return None
    # a province counts its communes' marks, those of none too
    marks = [mark for mark, count in row.marks.items() if count] if isinstance(row, ProvinceRow) else row.marks
    marked = {Mark.ASSUMED: Origin.ASSUMED, Mark.SIMULATED: Origin.SIMULATED}
    return worst([row.origin, *(marked[mark] for mark in marks if mark in marked)])


class Report(Struct, frozen=True, kw_only=True):
    """A whole report; `communes`: the rows of all communes of which something is known."""

    format: int = 1
    lang: Lang
    province: str
    province_name: Name
    period: str
    start: datetime
    as_of: datetime
    version: int
    made_at: datetime
    program: str
    rules: int
    vintage: str
    units: int
    """How many communes the list has."""
    events: int
    """How many events the figures rest on."""
    log: tuple[Log, ...]
    figures: tuple[Figure, ...]
    communes: tuple[CommuneRow, ...]
    gaps: tuple[Gap, ...]
    silent: tuple[Silent, ...]
    owed: tuple[Owed, ...]
    promises: tuple[Promise, ...]
    disputes: tuple[Dispute, ...]
    reporters: dict[str, Name]
    base: Base | None = None
    restated: tuple[Change, ...] = ()
    """The signed figures that are known to have been others by now, about the same moment."""
    since: tuple[Change, ...] = ()
    """What changed from the signed period to this one; empty where they are about one moment."""
    signatures: tuple[Signature, ...] = ()

    @property
    def name(self) -> str:
        """What its files are called."""
        return f"{self.province}-{self.period}-v{self.version}"

    @property
    def frozen(self) -> bool:
        """Whether the head has signed."""
        return len(self.signatures) == len(ROLES)

    @property
    def origins(self) -> list[Origin]:
        """The origins, other than real, of anything that is shown, targets too; worst last."""
        found = {origin_of(one.row) for one in self.figures} | {origin for one in self.figures for origin in one.row.origins}
        found |= {one.origin for one in self.promises} | {one.origin for one in self.disputes}
        if any(one.row.target_status == "assumed" for one in self.figures):
            found.add(Origin.ASSUMED)
        return [origin for origin in Origin if origin in found and origin is not Origin.REAL]


def encode(report: Report) -> bytes:
    """The canonical JSON."""
    return msgspec.json.encode(report, order="sorted")


def sha256(content: bytes) -> str:
    """As 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def decode(content: bytes) -> Report:
    """The report of a canonical JSON whose signatures fit. Raises TamperedError."""
    try:
        plain: dict[str, Any] = msgspec.json.decode(content)
        report = msgspec.json.decode(content, type=Report)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise TamperedError(f"không phải báo cáo của phusong (no report of phusong): {error}") from error
    # as plain values: fields that later versions add must not spoil what was signed before them
    if msgspec.json.encode(plain, order="sorted") != content:
        raise TamperedError("không còn như phusong đã ghi (not as phusong wrote it)")
    signatures = plain.get("signatures", [])
    if [one.role for one in report.signatures] != list(ROLES[: len(signatures)]):
        raise TamperedError("chữ ký không theo thứ tự người lập, người kiểm tra, thủ trưởng (signatures out of order)")
    if len({same_name(one.name) for one in report.signatures}) != len(signatures):
        raise TamperedError("một tên ký hai lần (one name has signed twice)")
    for count, signature in enumerate(report.signatures):
        plain["signatures"] = signatures[:count]
        if sha256(msgspec.json.encode(plain, order="sorted")) != signature.of:
            raise TamperedError(
                f"nội dung không còn là nội dung mà {signature.name} đã ký (not what {signature.name} has signed as {signature.role})"
            )
    return report


def same_name(name: str) -> str:
    """What two spellings of a person's name have in common: capitals, blanks and how accents are composed do not matter."""
    return unicodedata.normalize("NFC", " ".join(name.split())).casefold()


def period_name(kind: Period, moment: datetime) -> str:
    """The name of the period that holds a moment: "2023-06", "2023-Q2", "2023-H1", "2023"."""
    year, part = divmod(index(kind, moment), _PER_YEAR[kind])
    return {Period.MONTH: f"{year}-{part + 1:02}", Period.QUARTER: f"{year}-Q{part + 1}", Period.HALF_YEAR: f"{year}-H{part + 1}"}.get(
        kind, f"{year}"
    )
