"""One row of each address, for the description of the API.

Comes in: nothing. Goes out: structs. Owns no state.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from feed.evidence import Explanation, Operator, Said
from feed.resources import (
    ListedAcknowledgement,
    ListedIndicator,
    ListedObligation,
    ListedReporter,
    ListedSuccession,
    ListedTarget,
    ListedVintage,
    PublishedCommune,
    PublishedProvince,
    PublishedVerdict,
    Taken,
)
from feed.why import Text
from phusong.events import Method, Origin
from phusong.indicators import Union
from phusong.periods import Period
from phusong.register import Base
from phusong.rows import Cause, CauseKind, CommuneRow, Mark, State, Verdict


def _at(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}T00:00:00+07:00")


_POSTAL = "postal.staffed_point"
_LIST = "2020-01-01"
_REPORTER = "assumed-postal-reporter"
_VERDICT_ID = "3a3f6e9f8d0c4b5e9a7d1c2b3e4f5a6b"

COMMUNE = PublishedCommune(
    vintage=_LIST,
    province="08",
    commune="02275",
    name="Xã Sơn Phú",
    district="Huyện Na Hang",
    indicator=_POSTAL,
    state=State.FRESH,
    covered=0,
    expected=1,
    weight=1,
    ratio=0.0,
    low=0.0,
    high=0.0,
    observed_at=_at("2023-06-30"),
    fresh_until=_at("2023-09-05"),
    uncovered=None,
    marks=(Mark.ASSUMED,),
    reporters={_REPORTER: _at("2023-09-05")},
    origin=Origin.ASSUMED,
    statements=(f"{_REPORTER} 2023-06/02275",),
    promised_for=_at("2023-12-31"),
    challenges_open=1,
    challenge_due=_at("2023-09-30"),
    as_of=_at("2023-07-20"),
    published=_at("2023-07-20"),
)
PROVINCE = PublishedProvince(
    vintage=_LIST,
    province="08",
    province_name="Tuyên Quang",
    domain="postal",
    indicator=_POSTAL,
    indicator_name="Xã có điểm bưu chính có người phục vụ",
    base=Base.UNITS,
    covered=137,
    expected=138,
    ratio=137 / 138,
    low=137 / 138,
    high=137 / 138,
    completeness=1.0,
    verdict=Verdict.MISSED,
    target=1.0,
    target_scope="national",
    target_source="NQ 01/NQ-CP 2021",
    target_status="cited",
    target_due=None,
    projection=None,
    units={State.FRESH: 138},
    marks={Mark.ASSUMED: 138},
    origin=Origin.ASSUMED,
    origins={Origin.ASSUMED: 138},
    oldest_observed_at=_at("2023-06-30"),
    reporters_due={_REPORTER: _at("2023-09-05")},
    reporters_overdue={},
    reliability={},
    as_of=_at("2023-07-20"),
    published=_at("2023-07-20"),
    verdict_id=_VERDICT_ID,
    verdict_since=_at("2023-07-20"),
    acknowledged=Taken(
        owner="Phòng Bưu chính - Viễn thông",
        reason="đã gửi văn bản đôn đốc, hẹn 31/07",
        source="assumed-province-office",
        origin=Origin.ASSUMED,
        time=_at("2023-07-21"),
    ),
)
VERDICT = PublishedVerdict(
    vintage=_LIST,
    province="08",
    indicator=_POSTAL,
    from_=Verdict.UNCERTAIN,
    to=Verdict.MISSED,
    previous="0c1d2e3f4a5b6c7d8e9f0a1b2c3d4e5f",
    ratio=137 / 138,
    low=137 / 138,
    high=137 / 138,
    target=1.0,
    as_of=_at("2023-07-20"),
    rules=12,
    cause=Cause(kind=CauseKind.STATEMENT, events=(f"{_REPORTER} 2023-06/02275",)),
    id=_VERDICT_ID,
    published=_at("2023-07-20"),
)

EVIDENCE = Explanation(
    as_of=_at("2023-07-20"),
    rules=12,
    kind="xã",
    row=CommuneRow(**{name: getattr(COMMUNE, name) for name in CommuneRow.__struct_fields__}),
    definition=Text("…", "…"),
    operators=[
        Operator(
            operator=_REPORTER,
            reporters=(_REPORTER,),
            state="fresh",
            covered=0.0,
            most=0.0,
            expected=1,
            fresh_until=_at("2023-09-05"),
            rule=Text("khai báo, báo cáo lâu dài duy nhất", "a declaration, the only lasting statement"),
        )
    ],
    union=[Text("lấy báo cáo được quan sát sau cùng", "the view observed last counts")],
    marks=[Text("số liệu hoặc trọng số giả định", "assumed: a statement or the weight is assumed")],
    changes=[
        Text(
            f"{_REPORTER}: quá hạn từ 05/09/2023 nếu không có báo cáo mới", f"{_REPORTER}: goes stale on 2023-09-05 without a newer report"
        )
    ],
    next_due=_at("2023-09-05"),
    statements=[
        Said(
            id="2023-06/02275",
            withdraws=False,
            reporter=_REPORTER,
            operator=_REPORTER,
            method=Method.DECLARED,
            origin=Origin.ASSUMED,
            vintage=_LIST,
            commune="02275",
            observed_at=_at("2023-06-30"),
            said_at=_at("2023-07-05"),
            arrived_at=_at("2023-07-05"),
            covered=0,
            expected=1,
            uncovered=None,
            measured=None,
            until=None,
            topic="coverage.postal.v1",
            partition=6,
            offset=74,
            decides=True,
            why=Text(f"quyết định số của {_REPORTER}", f"decides the figure of {_REPORTER}"),
        )
    ],
    lost=[],
    promises=[],
    challenges=[],
    left_out=0,
)

EXAMPLES: Mapping[str, Struct] = {
    "/api/v1/provinces": PROVINCE,
    "/api/v1/communes": COMMUNE,
    "/api/v1/gaps": COMMUNE,
    "/api/v1/verdicts": VERDICT,
    "/api/v1/acknowledgements": ListedAcknowledgement(
        vintage=_LIST,
        province="08",
        indicator=_POSTAL,
        verdict=_VERDICT_ID,
        owner="Phòng Bưu chính - Viễn thông",
        reason="đã gửi văn bản đôn đốc, hẹn 31/07",
        origin=Origin.ASSUMED,
        id="assumed-province-office/3a3f6e9f/1",
        source="assumed-province-office",
        time=_at("2023-07-21"),
    ),
    "/api/v1/indicators": ListedIndicator(
        indicator=_POSTAL,
        domain="postal",
        name_vi="Xã có điểm bưu chính có người phục vụ",
        name_en="Communes with a staffed postal point",
        base=Base.UNITS,
        union=Union.LATEST,
        period=Period.MONTH,
        deadline_days=15,
        tolerance=0.0,
        at_most="",
        definition_vi="…",
        definition_en="…",
        status="cited",
        source="QĐ 1127/QĐ-BTTTT 2022",
        targets=(
            ListedTarget(
                scope="national",
                province="",
                value=1.0,
                status="cited",
                source_vi="NQ 01/NQ-CP 2021",
                source_en="Resolution 01/NQ-CP of 2021",
                start=_at("2021-01-01"),
                due=None,
                end=None,
                in_force=True,
            ),
        ),
    ),
    "/api/v1/reporters": ListedReporter(
        reporter=_REPORTER,
        name_vi="Người báo cáo bưu chính (giả định)",
        name_en="Postal reporter (assumed)",
        operators=(_REPORTER,),
        overdue=True,
        obligations=(
            ListedObligation(
                province="08",
                indicator=_POSTAL,
                operator=_REPORTER,
                communes=(),
                period=Period.MONTH,
                deadline_days=15,
                grace_days=5,
                start=_at("2023-01-01"),
                end=None,
                in_force=True,
                due=_at("2023-09-05"),
                overdue=True,
                overdue_communes=138,
                measurements=4,
                measurements_agreeing=3,
            ),
        ),
    ),
    "/api/v1/vintages": ListedVintage(
        vintage=_LIST,
        start=_at(_LIST),
        end=_at("2024-09-01"),
        in_force=True,
        title="Đơn vị hành chính cấp xã từ 01/01/2020",
        source="…",
        communes=331,
        provinces={"02": 193, "08": 138},
    ),
    "/api/v1/successions": ListedSuccession(
        vintage="2024-09-01",
        commune="02275",
        name="Xã Sơn Phú",
        province="08",
        predecessor_vintage=_LIST,
        predecessor="02275",
        predecessor_name="Xã Sơn Phú",
        predecessor_province="08",
        extent="whole",
    ),
}
"""By the path of the address."""
