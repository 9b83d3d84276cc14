"""What is published: an assessed commune, a province's ratio, a change of verdict, and the version that each row carries.

Comes in: assessments. Goes out: the values of coverage.communes.v1, coverage.provinces.v1 and coverage.verdicts.v1 and the header that
tells which of two rows is the later truth. Owns no state. What cannot be read raises one of `UNREADABLE`.
A row's value depends on evidence, rules and as_of alone, so that two owners with the same log publish the same bytes.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from enum import StrEnum

import msgspec
from msgspec import Struct

from phusong.events import Instant, Origin
from phusong.register import Base

VERSION_HEADER = "phusong-version"
VERDICT_TYPE = "vn.phusong.coverage.verdict.v1"


class State(StrEnum):
    """What is known of a commune: each its own state, never zero, never missing."""

    FRESH = "fresh"
    STALE = "stale"
    UNKNOWN = "unknown"


class Mark(StrEnum):
    """What a reader must know of a commune's figure beside the figure."""

    CONFLICT = "conflict"
    """Measured and declared differ beyond the tolerance, or it exceeds the indicator that it cannot exceed."""
    CONTESTED = "contested"
    """A petition claims less, and no measurement has settled it."""
    INTERRUPTED = "interrupted"
    """A temporary state is under way."""
    UNRESOLVED = "unresolved"
    """A temporary state is past its end, and no lasting statement has followed."""
    BASIS = "basis"
    """A size was stated that is unlike the register's, or unlike another operator's."""
    IMPUTED = "imputed"
    """The weight is not known, or not of the whole."""
    INHERITED = "inherited"
    """It comes from the units that this one was made of."""
    ASSUMED = "assumed"
    """A statement or the weight is assumed."""
    SIMULATED = "simulated"
    """A statement is simulated."""
    NOT_APPLICABLE = "not_applicable"
    """There is nothing to cover."""


class Verdict(StrEnum):
    """How a ratio stands against its target."""

    MET = "met"
    MISSED = "missed"
    NOT_YET = "not_yet"
    UNCERTAIN = "uncertain"
    NO_TARGET = "no_target"


class CommuneRow(Struct, frozen=True, kw_only=True, gc=False):
    """One commune and indicator: `covered` of `expected` as stated (None: unknown), its ratio's interval, its weight and its marks."""

    vintage: str
    province: str
    commune: str
    name: str
    district: str
    indicator: str
    state: State
    covered: int | float | None
    expected: int | None
    weight: int | None
    """None: not known; the province then takes the mean of those that are."""
    ratio: float | None
    low: float | None
    high: float | None
    observed_at: Instant | None
    fresh_until: Instant | None
    uncovered: tuple[str, ...] | None
    marks: tuple[Mark, ...]
    reporters: dict[str, Instant]
    """Obliged reporter -> when its statement goes or went stale (never stated: when its first one was due)."""
    origin: Origin | None
    statements: tuple[str, ...]
    """`source id` of the statements that decided."""
    promised_for: Instant | None = None
    """The earliest moment by which an operator has undertaken to cover something of this gap."""
    challenges_open: int = 0
    challenge_due: Instant | None = None
    """The earliest deadline of an open challenge."""
    unresolved_since: Instant | None = None
    """When the first of the temporary states marked *unresolved* was to be over; None: none is."""

    @property
    def key(self) -> str:
        """The record key in coverage.communes.v1."""
        return f"{self.vintage}/{self.commune}/{self.indicator}"


class Projection(Struct, frozen=True, kw_only=True, gc=False):
    """When the target is reached at the pace of the last periods; None: not at that pace.

    `earliest` and `latest` by the quick and the slow quarter of the paces seen; `pace` is the share gained in a year of 365 days, from
    `points` periods.
    """

    reached_at: Instant | None
    earliest: Instant | None
    latest: Instant | None
    pace: float
    points: int


class ProvinceRow(Struct, frozen=True, kw_only=True, gc=False):
    """One province and indicator: Σ w·r of Σ w over all units of the vintage, with its interval, completeness, target and verdict."""

    vintage: str
    province: str
    province_name: str
    domain: str
    indicator: str
    indicator_name: str
    base: Base
    covered: int | float
    expected: int | float
    ratio: float | None
    low: float | None
    high: float | None
    completeness: float | None
    verdict: Verdict
    target: float | None
    target_scope: str | None
    target_source: str | None
    target_status: str | None
    target_due: Instant | None
    projection: Projection | None
    """Only for `not_yet`, and only from enough points."""
    units: dict[State, int]
    marks: dict[Mark, int]
    origin: Origin | None
    origins: dict[Origin, int]
    oldest_observed_at: Instant | None
    reporters_due: dict[str, Instant]
    reporters_overdue: dict[str, int]
    """Obliged reporter -> communes that it owes a report on."""
    reliability: dict[str, tuple[int, int]]
    """Reporter -> field measurements that agree with what it declared for the same operator and time, of how many."""
    unresolved_since: Instant | None = None
    """The earliest of the communes'."""

    @property
    def key(self) -> str:
        """The record key in coverage.provinces.v1 and coverage.verdicts.v1."""
        return f"{self.vintage}/{self.province}/{self.indicator}"


Row = CommuneRow | ProvinceRow


class Version(Struct, frozen=True, order=True, array_like=True):
    """Which of two rows of one key is the later truth: greater wins, whatever the order in which they were written.

    `log` is the ids of the source topics: rows of another log are not compared but left out. `offsets`: sum of the offsets applied.
    """

    rules: int
    log: str
    offsets: int
    as_of: Instant


class CauseKind(StrEnum):
    """What made a verdict change."""

    STATEMENT = "statement"
    WITHDRAWAL = "withdrawal"
    TIME = "time"
    """The passing of time alone: something went stale, or a temporary state ended."""
    OBLIGATION = "obligation"
    """An obligation began or ended."""
    SUCCESSION = "succession"
    """A list of communes came into force or left it."""
    TARGET = "target"
    """A target row began, fell due or ended."""
    RULES = "rules"
    """The rows of seeds/ or the program changed."""
    REBUILD = "rebuild"
    """It changed while no worker was there to see; the events are those between the two entries."""


MAX_CAUSES = 20


class Cause(Struct, frozen=True, kw_only=True):
    """Why: `events` are `source id` of the first MAX_CAUSES events since the assessment before, `more` how many others there were."""

    kind: CauseKind
    events: tuple[str, ...] = ()
    more: int = 0


class VerdictChange(Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A verdict that changed: `previous` is the id of the key's entry before, so that the entries form a chain."""

    vintage: str
    province: str
    indicator: str
    from_: Verdict | None
    to: Verdict
    previous: str | None
    ratio: float | None
    low: float | None
    high: float | None
    target: float | None
    as_of: Instant
    rules: int = 0
    """Number of the rules that judged."""
    cause: Cause = Cause(kind=CauseKind.REBUILD)
    origin: Origin | None = None
    """The least real of what the row rests on; None: nothing is stated, or it was written before this was told."""

    @property
    def key(self) -> str:
        """The record key in coverage.verdicts.v1."""
        return f"{self.vintage}/{self.province}/{self.indicator}"


class VerdictEvent(Struct, frozen=True, kw_only=True):
    """A verdict change as a CloudEvent."""

    specversion: str
    id: str
    source: str
    type: str
    time: Instant
    datacontenttype: str
    data: VerdictChange


UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding raises: not as agreed, not text, nested without end."""

_encode = msgspec.json.Encoder(order="deterministic").encode
_decode_commune = msgspec.json.Decoder(CommuneRow).decode
_decode_province = msgspec.json.Decoder(ProvinceRow).decode
_decode_version = msgspec.json.Decoder(Version).decode
_decode_verdict = msgspec.json.Decoder(VerdictEvent).decode


def encode(row: Row | Version | VerdictEvent) -> bytes:
    """The bytes of a row, a version or a verdict event: the same for the same content."""
    return _encode(row)


def decode_commune(value: bytes) -> CommuneRow:
    """Raises one of UNREADABLE on anything else."""
    return _decode_commune(value)


def decode_province(value: bytes) -> ProvinceRow:
    """Raises one of UNREADABLE on anything else."""
    return _decode_province(value)


def decode_verdict(value: bytes) -> VerdictEvent:
    """Raises one of UNREADABLE on anything else."""
    return _decode_verdict(value)


def decode_version(headers: list[tuple[str, bytes | None]] | None) -> Version | None:
    """The version in a row's headers; None where there is none. Raises one of UNREADABLE where it cannot be read."""
    for name, raw in headers or ():
        if name == VERSION_HEADER and raw is not None:
            return _decode_version(raw)
    return None


def verdict_id(key: str, previous: str | None, to: Verdict) -> str:
    """The id of the entry that follows `previous` under this key: the same whoever writes it, so that a repeat is known as one."""
    return hashlib.sha256(f"{key}\n{previous or ''}\n{to}".encode()).hexdigest()[:32]


def verdict_event(row: ProvinceRow, previous: VerdictEvent | None, cause: Cause, rules: int, as_of: datetime) -> VerdictEvent:
    """The change from `previous` (the key's last entry) to what `row` says.

    What no worker saw happen (`cause` is a rebuild) is put down to the rules where another number of them judged before.
    """
    if cause.kind is CauseKind.REBUILD and previous is not None and previous.data.rules != rules:
        cause = Cause(kind=CauseKind.RULES)
    before = None if previous is None else previous.id
    change = VerdictChange(
        vintage=row.vintage,
        province=row.province,
        indicator=row.indicator,
        from_=None if previous is None else previous.data.to,
        to=row.verdict,
        previous=before,
        ratio=row.ratio,
        low=row.low,
        high=row.high,
        target=row.target,
        as_of=as_of,
        rules=rules,
        cause=cause,
        origin=row.origin,
    )
    return VerdictEvent(
        specversion="1.0",
        id=verdict_id(row.key, before, row.verdict),
        source="phusong",
        type=VERDICT_TYPE,
        time=as_of,
        datacontenttype="application/json",
        data=change,
    )
