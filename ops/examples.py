"""One example of everything that travels in Kafka, for the contract: events that the shipped seeds admit, and what is published of them.

Comes in: nothing. Goes out: structs. Owns no state.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from phusong.acknowledgements import Acknowledged, Acknowledgement
from phusong.events import (
    Challenge,
    Challenged,
    Event,
    Origin,
    Promise,
    Promised,
    Stated,
    Statement,
    Step,
    Withdrawal,
    Withdrawn,
)
from phusong.register import Base
from phusong.rows import VERDICT_TYPE, Cause, CauseKind, CommuneRow, Mark, ProvinceRow, State, Verdict, VerdictChange, VerdictEvent, Version


def _at(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}T00:00:00+07:00")


_ENVELOPE: dict[str, Any] = {"specversion": "1.0", "source": "operator-a", "time": _at("2023-07-05")}
_OFFICE = {**_ENVELOPE, "source": "assumed-province-office"}
_SUBJECT: dict[str, Any] = {
    "commune": "02263",
    "indicator": "telecom.mobile_signal_villages",
    "observed_at": _at("2023-06-30"),
    "origin": Origin.SIMULATED,
}
_ABOUT_A = {**_SUBJECT, "operator": "operator-a"}
_DARK = ("Bản Lãm", "Nà Tạng", "Tát Kẻ")

STATED = Stated(**_ENVELOPE, id="operator-a/2023-06/02263", data=Statement(**_SUBJECT, covered=5, expected=8, uncovered=_DARK))
EVENTS: tuple[Event, ...] = (
    STATED,
    Withdrawn(**_ENVELOPE, id="operator-a/2023-06/02263/withdrawn", data=Withdrawal(**_SUBJECT)),
    Promised(
        **_ENVELOPE,
        id="operator-a/promise/02263/1",
        data=Promise(**_SUBJECT, by=_at("2023-12-31"), places=_DARK[:1], note="BTS Bản Lãm"),
    ),
    Challenged(
        **_OFFICE,
        id="petition-17/opened",
        data=Challenge(**_ABOUT_A, challenge="petition-17", step=Step.OPENED, deadline=_at("2023-09-30"), places=_DARK[:1]),
    ),
)
"""One of each type."""

VERSION = Version(rules=1, log="kFx2u5bRQ3qzq9Y0S0mJ3A", offsets=1204, as_of=_at("2023-07-20"))
COMMUNE = CommuneRow(
    vintage="2020-01-01",
    province="08",
    commune="02263",
    name="Xã Khau Tinh",
    district="Huyện Na Hang",
    indicator="telecom.mobile_signal_villages",
    state=State.FRESH,
    covered=5,
    expected=8,
    weight=8,
    ratio=0.625,
    low=0.625,
    high=0.625,
    observed_at=_at("2023-06-30"),
    fresh_until=_at("2023-10-21"),
    uncovered=_DARK,
    marks=(Mark.SIMULATED,),
    reporters={"operator-a": _at("2023-10-21")},
    origin=Origin.SIMULATED,
    statements=("operator-a operator-a/2023-06/02263",),
    promised_for=_at("2023-12-31"),
    challenges_open=1,
    challenge_due=_at("2023-09-30"),
)
PROVINCE = ProvinceRow(
    vintage="2020-01-01",
    province="08",
    province_name="Tuyên Quang",
    domain="telecom",
    indicator="telecom.mobile_signal_villages",
    indicator_name="Thôn có sóng di động (không trắng sóng)",
    base=Base.VILLAGES,
    covered=5,
    expected=1739,
    ratio=0.002875,
    low=0.002875,
    high=0.998275,
    completeness=0.0046,
    verdict=Verdict.UNCERTAIN,
    target=0.99,
    target_scope="province",
    target_source="giả định",
    target_status="assumed",
    target_due=None,
    projection=None,
    units={State.FRESH: 1, State.UNKNOWN: 137},
    marks={Mark.SIMULATED: 1},
    origin=Origin.SIMULATED,
    origins={Origin.SIMULATED: 1},
    oldest_observed_at=_at("2023-06-30"),
    reporters_due={"operator-a": _at("2023-10-21")},
    reporters_overdue={"operator-a": 137},
    reliability={"operator-a": (0, 0)},
)
VERDICT = VerdictEvent(
    specversion="1.0",
    id="3a3f6e9f8d0c4b5e9a7d1c2b3e4f5a6b",
    source="phusong",
    type=VERDICT_TYPE,
    time=_at("2023-07-20"),
    datacontenttype="application/json",
    data=VerdictChange(
        vintage="2020-01-01",
        province="08",
        indicator="telecom.mobile_signal_villages",
        from_=None,
        to=Verdict.UNCERTAIN,
        previous=None,
        ratio=0.002875,
        low=0.002875,
        high=0.998275,
        target=0.99,
        as_of=_at("2023-07-20"),
        rules=1,
        cause=Cause(kind=CauseKind.STATEMENT, events=("operator-a operator-a/2023-06/02263",)),
    ),
)
ACKNOWLEDGED = Acknowledged(
    specversion="1.0",
    id="assumed-province-office/3a3f6e9f/1",
    source="assumed-province-office",
    time=_at("2023-07-21"),
    data=Acknowledgement(
        vintage="2020-01-01",
        province="08",
        indicator="telecom.mobile_signal_villages",
        verdict="3a3f6e9f8d0c4b5e9a7d1c2b3e4f5a6b",
        owner="Phòng Bưu chính - Viễn thông",
        reason="đã gửi văn bản đôn đốc ba nhà mạng, hẹn 31/07",
        origin=Origin.ASSUMED,
    ),
)
