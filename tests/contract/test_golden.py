"""The wire contract as it was written down once: events and verdicts in golden/ that every later reader must read as here.

Both are kept for ever; rows are published anew every minute. A new field or type adds a file, with its digest and its meaning here; a file
that is there is never edited.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import pytest

from phusong.acknowledgements import Acknowledged, Acknowledgement, decode_acknowledged, encode_acknowledged
from phusong.events import (
    Challenge,
    Challenged,
    Event,
    Fact,
    Method,
    Origin,
    Promise,
    Promised,
    Stated,
    Statement,
    Step,
    Withdrawal,
    Withdrawn,
    decode,
    encode,
)
from phusong.rows import VERDICT_TYPE, Cause, CauseKind, Verdict, VerdictChange, VerdictEvent, decode_verdict
from phusong.rows import encode as encode_row
from tests.worlds import MOBILE, POSTAL, instant

GOLDEN = Path(__file__).parent / "golden"


def _stated(event_id: str, source: str, data: Statement, time: str = "2023-07-05T09:00:00+07:00") -> Stated:
    return Stated(specversion="1.0", id=event_id, source=source, time=instant(time), data=data)


def _withdrawn(event_id: str, source: str, data: Withdrawal) -> Withdrawn:
    return Withdrawn(specversion="1.0", id=event_id, source=source, time=instant("2023-07-06T09:00:00+07:00"), data=data)


def _promised(event_id: str, source: str, data: Promise) -> Promised:
    return Promised(specversion="1.0", id=event_id, source=source, time=instant("2023-07-05T09:00:00+07:00"), data=data)


def _challenged(event_id: str, source: str, data: Challenge) -> Challenged:
    return Challenged(specversion="1.0", id=event_id, source=source, time=instant("2023-07-05T09:00:00+07:00"), data=data)


EXPECTED: dict[str, tuple[str, Event]] = {
    "stated-v1-minimal": (
        "859468e8a42f1f28",
        _stated(
            "1",
            "post-office",
            Statement(commune="02275", indicator=POSTAL, observed_at=instant("2023-06-30"), covered=0, expected=1),
        ),
    ),
    "stated-v1-villages": (
        "8262894184287725",
        _stated(
            "operator-a/2023-06/02263/mobile_signal_villages",
            "operator-a",
            Statement(
                commune="02263",
                indicator=MOBILE,
                method=Method.DECLARED,
                origin=Origin.SIMULATED,
                observed_at=instant("2023-06-30"),
                covered=5,
                expected=8,
                uncovered=("Bản Lãm", "Nà Tạng", "Tát Kẻ"),
            ),
        ),
    ),
    "stated-v1-every-field": (
        "5e19eea88cebcf28",
        _stated(
            "department/2023-06/02284/measured",
            "department",
            Statement(
                vintage="2020-01-01",
                commune="02284",
                indicator=MOBILE,
                operator="operator-b",
                method=Method.MEASURED,
                origin=Origin.ASSUMED,
                observed_at=instant("2023-06-30T00:30:00+07:00"),
                covered=1,
                expected=2,
                uncovered=("Bản Bung",),
                measured=("Bản Bung", "Nà Tạng"),
                until=instant("2023-07-15"),
            ),
            "2023-07-05T09:00:00.250+07:00",
        ),
    ),
    "stated-v1-decomposed-text": (
        "969de661541fe244",
        _stated(
            "bưu điện/1",
            "bưu-điện",
            Statement(
                commune="02239",
                indicator=MOBILE,
                observed_at=instant("2023-06-30"),
                covered=0,
                expected=3,
                uncovered=("Bản Giòng", "Thôm Luông", "Bản Khẻ"),
            ),
        ),
    ),
    "stated-v1-from-a-newer-writer": (
        "1a669f8bed2abe8c",
        _stated(
            "2",
            "post-office",
            Statement(commune="02275", indicator=POSTAL, observed_at=instant("2023-06-30"), covered=1, expected=1, uncovered=()),
        ),
    ),
    "withdrawn-v1-minimal": (
        "9f7607c9ca39e4ff",
        _withdrawn("3", "post-office", Withdrawal(commune="02275", indicator=POSTAL, observed_at=instant("2023-06-30"))),
    ),
    "withdrawn-v1-every-field": (
        "aedd3ae69252c505",
        _withdrawn(
            "4",
            "department",
            Withdrawal(
                vintage="2020-01-01",
                commune="02284",
                indicator=MOBILE,
                operator="operator-b",
                method=Method.MEASURED,
                origin=Origin.SIMULATED,
                observed_at=instant("2023-06-30T00:30:00"),
                measured=("Bản Bung",),
                until=instant("2023-07-15"),
            ),
        ),
    ),
    "promised-v1-minimal": (
        "266082edbe5149c1",
        _promised("5", "operator-a", Promise(commune="02263", indicator=MOBILE, observed_at=instant("2023-06-30"), by=None)),
    ),
    "promised-v1-every-field": (
        "db5ee32a9b16f315",
        _promised(
            "operator-a/2023/02263/promise",
            "department",
            Promise(
                commune="02263",
                indicator=MOBILE,
                observed_at=instant("2023-06-30"),
                origin=Origin.ASSUMED,
                operator="operator-b",
                vintage="2020-01-01",
                by=instant("2023-12-31"),
                places=("Bản Lãm", "Nà Tạng"),
                note="công văn trả lời kiến nghị",
            ),
        ),
    ),
    "challenged-v1-minimal": (
        "916e3ea6ae7d7ddc",
        _challenged(
            "6",
            "operator-a",
            Challenge(commune="02263", indicator=MOBILE, observed_at=instant("2023-06-30"), challenge="3777", step=Step.CONCEDED),
        ),
    ),
    "challenged-v1-every-field": (
        "0f86e96b59f78233",
        _challenged(
            "3777/sent",
            "department",
            Challenge(
                commune="02263",
                indicator=MOBILE,
                observed_at=instant("2023-06-30"),
                origin=Origin.SIMULATED,
                operator="operator-b",
                vintage="2020-01-01",
                challenge="3777",
                step=Step.SENT,
                deadline=instant("2023-08-29"),
                statement="department petition/3777",
                places=("Tát Kẻ",),
                note="gửi nhà mạng trả lời trong 60 ngày",
            ),
        ),
    ),
}
"""Golden file -> the beginning of its SHA-256, and the event that it holds."""


def _verdict(event_id: str, change: VerdictChange) -> VerdictEvent:
    return VerdictEvent(
        specversion="1.0",
        id=event_id,
        source="phusong",
        type=VERDICT_TYPE,
        time=change.as_of,
        datacontenttype="application/json",
        data=change,
    )


FIRST = VerdictChange(
    vintage="2020-01-01",
    province="08",
    indicator=POSTAL,
    from_=None,
    to=Verdict.UNCERTAIN,
    previous=None,
    ratio=0.0,
    low=0.0,
    high=1.0,
    target=1.0,
    as_of=instant("2023-06-30T18:00:00"),
)
MISSED = VerdictChange(
    vintage="2020-01-01",
    province="08",
    indicator=POSTAL,
    from_=Verdict.UNCERTAIN,
    to=Verdict.MISSED,
    previous="3a3f6e9f8d0c4b5e9a7d1c2b3e4f5a6b",
    ratio=0.5,
    low=0.25,
    high=0.75,
    target=1.0,
    as_of=instant("2023-06-30T18:00:01.500"),
    rules=9,
    cause=Cause(kind=CauseKind.STATEMENT, events=("post-office 1", "operator-a operator-a/2023-06/02263"), more=116),
)
EXPECTED_VERDICTS: dict[str, tuple[str, VerdictEvent]] = {
    "verdict-v1-before-causes": ("7e1be4f7e695bf07", _verdict("3a3f6e9f8d0c4b5e9a7d1c2b3e4f5a6b", FIRST)),
    "verdict-v1-every-field": ("f3b9f2423a930e85", _verdict("b6a5f4e3b2c1d7a9e5b4c0d8f9e6f3a3", MISSED)),
    "verdict-v1-with-origin": (
        "7df473c106c612dc",
        _verdict("b6a5f4e3b2c1d7a9e5b4c0d8f9e6f3a3", msgspec.structs.replace(MISSED, origin=Origin.ASSUMED)),
    ),
}
"""Golden file -> the beginning of its SHA-256, and the verdict that it holds."""
TAKEN = Acknowledged(
    specversion="1.0",
    id="operations-centre/1",
    source="operations-centre",
    time=instant("2023-07-01T08:00:00+07:00"),
    data=Acknowledgement(
        vintage="2020-01-01",
        province="08",
        indicator=POSTAL,
        verdict="b6a5f4e3b2c1d7a9e5b4c0d8f9e6f3a3",
        owner="Phòng BCVT",
        reason="đã gọi Bưu điện huyện Na Hang",
        origin=Origin.SIMULATED,
    ),
)
EXPECTED_ACKNOWLEDGEMENTS: dict[str, tuple[str, Acknowledged]] = {
    "acknowledged-v1-every-field": ("8fd544af281b2dac", TAKEN),
    "acknowledged-v1-given-back": (
        "14a751580986e030",
        msgspec.structs.replace(TAKEN, id="operations-centre/2", data=msgspec.structs.replace(TAKEN.data, owner=None, origin=Origin.REAL)),
    ),
}
"""Golden file -> the beginning of its SHA-256, and the acknowledgement that it holds."""
DIGESTS = {name: digest for expected in (EXPECTED, EXPECTED_VERDICTS, EXPECTED_ACKNOWLEDGEMENTS) for name, (digest, _) in expected.items()}


def test_every_golden_file_is_expected_here() -> None:
    assert {file.name for file in GOLDEN.iterdir()} == {f"{name}.json" for name in DIGESTS}


@pytest.mark.parametrize("name", DIGESTS)
def test_a_golden_file_is_never_edited(name: str) -> None:
    digest = hashlib.sha256((GOLDEN / f"{name}.json").read_bytes()).hexdigest()
    assert digest.startswith(DIGESTS[name]), f"{name}.json was edited: put it back and add another file"


@pytest.mark.parametrize("name", EXPECTED_VERDICTS)
def test_todays_reader_reads_every_golden_verdict(name: str) -> None:
    verdict = decode_verdict((GOLDEN / f"{name}.json").read_bytes())
    assert verdict == EXPECTED_VERDICTS[name][1]
    assert decode_verdict(encode_row(verdict)) == verdict


@pytest.mark.parametrize("name", EXPECTED_ACKNOWLEDGEMENTS)
def test_todays_reader_reads_every_golden_acknowledgement(name: str) -> None:
    event = decode_acknowledged((GOLDEN / f"{name}.json").read_bytes())
    assert event == EXPECTED_ACKNOWLEDGEMENTS[name][1]
    assert decode_acknowledged(encode_acknowledged(event)) == event


@pytest.mark.parametrize("name", EXPECTED)
def test_todays_reader_reads_every_golden_file(name: str) -> None:
    event = decode((GOLDEN / f"{name}.json").read_bytes())
    assert event == EXPECTED[name][1]
    assert decode(encode(event)) == event


def test_the_golden_files_use_every_field() -> None:
    data = [event.data for _, event in [*EXPECTED.values(), *EXPECTED_VERDICTS.values(), *EXPECTED_ACKNOWLEDGEMENTS.values()]]
    for struct in (Statement, Withdrawal, Promise, Challenge, VerdictChange, Acknowledgement):
        said = [one for one in data if type(one) is struct]
        for field in msgspec.structs.fields(struct):
            values = {getattr(one, field.name) for one in said}
            assert len(values) > 1 or field.required, f"no golden file says anything in {field.name}; add one"


class _OlderData(msgspec.Struct, frozen=True, kw_only=True):
    """What a reader knew before origin, operator, vintage and everything about places were added."""

    commune: str
    indicator: str
    observed_at: str
    covered: int | None = None
    expected: int | None = None
    method: str = "declared"


class _OlderEvent(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    source: str
    type: str
    time: str
    data: _OlderData


@pytest.mark.parametrize("name", [name for name, (_, event) in EXPECTED.items() if isinstance(event, Fact)])
def test_an_older_reader_reads_what_todays_writer_writes(name: str) -> None:
    event = EXPECTED[name][1]
    older = msgspec.json.decode(encode(event), type=_OlderEvent)
    assert (older.id, older.source, older.data.commune, older.data.indicator) == (
        event.id,
        event.source,
        event.data.commune,
        event.data.indicator,
    )
    assert older.data.method == event.data.method
    if isinstance(event, Stated):
        assert (older.data.covered, older.data.expected) == (event.data.covered, event.data.expected)


def test_a_new_field_has_a_default() -> None:
    """Or else today's reader would reject what was written before."""
    structs = (Statement, Withdrawal, Promise, Challenge, Stated, VerdictChange)
    required = {struct: {f.name for f in msgspec.structs.fields(struct) if f.required} for struct in structs}
    assert required == {
        Statement: {"commune", "indicator", "observed_at", "covered", "expected"},
        Withdrawal: {"commune", "indicator", "observed_at"},
        Promise: {"commune", "indicator", "observed_at", "by"},
        Challenge: {"commune", "indicator", "observed_at", "challenge", "step"},
        Stated: {"specversion", "id", "source", "time", "data"},
        VerdictChange: {
            *("vintage", "province", "indicator", "from_", "to", "previous", "ratio", "low", "high", "target", "as_of"),
        },
    }
