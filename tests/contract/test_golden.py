"""The wire contract as it was written down once: events in golden/ that every later reader must read as here.

A new field or type adds a file, with its digest and its meaning here; a file that is there is never edited.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import pytest

from phusong.events import Event, Method, Origin, Stated, Statement, Withdrawal, Withdrawn, decode, encode
from tests.worlds import MOBILE, POSTAL, instant

GOLDEN = Path(__file__).parent / "golden"


def _stated(event_id: str, source: str, data: Statement, time: str = "2023-07-05T09:00:00+07:00") -> Stated:
    return Stated(specversion="1.0", id=event_id, source=source, time=instant(time), data=data)


def _withdrawn(event_id: str, source: str, data: Withdrawal) -> Withdrawn:
    return Withdrawn(specversion="1.0", id=event_id, source=source, time=instant("2023-07-06T09:00:00+07:00"), data=data)


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
}
"""Golden file -> the beginning of its SHA-256, and the event that it holds."""


def test_every_golden_file_is_expected_here() -> None:
    assert {file.name for file in GOLDEN.iterdir()} == {f"{name}.json" for name in EXPECTED}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_golden_file_is_never_edited(name: str) -> None:
    digest = hashlib.sha256((GOLDEN / f"{name}.json").read_bytes()).hexdigest()
    assert digest.startswith(EXPECTED[name][0]), f"{name}.json was edited: put it back and add another file"


@pytest.mark.parametrize("name", EXPECTED)
def test_todays_reader_reads_every_golden_file(name: str) -> None:
    event = decode((GOLDEN / f"{name}.json").read_bytes())
    assert event == EXPECTED[name][1]
    assert decode(encode(event)) == event


def test_the_golden_files_use_every_field() -> None:
    for struct in (Statement, Withdrawal):
        said = [event.data for _, event in EXPECTED.values() if type(event.data) is struct]
        for field in msgspec.structs.fields(struct):
            values = {getattr(data, field.name) for data in said}
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


@pytest.mark.parametrize("name", EXPECTED)
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
    required = {struct: {f.name for f in msgspec.structs.fields(struct) if f.required} for struct in (Statement, Withdrawal, Stated)}
    assert required == {
        Statement: {"commune", "indicator", "observed_at", "covered", "expected"},
        Withdrawal: {"commune", "indicator", "observed_at"},
        Stated: {"specversion", "id", "source", "time", "data"},
    }
