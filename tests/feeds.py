"""A feed for tests without Kafka: a small world, a snapshot filled by hand, and requests that need no socket.

Comes in: rows. Goes out: the application and its answers. Owns nothing.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import httpx
import msgspec
from litestar import Litestar

from feed.api import build_feed
from feed.snapshot import Reader
from phusong.acknowledgements import Acknowledged, Acknowledgement, encode_acknowledged
from phusong.assessment import assess
from phusong.events import Origin
from phusong.rows import (
    VERSION_HEADER,
    Cause,
    CauseKind,
    CommuneRow,
    Mark,
    ProvinceRow,
    State,
    Verdict,
    VerdictEvent,
    Version,
    encode,
    verdict_event,
)
from phusong.rules import Rules
from phusong.settings import read_settings
from phusong.topics import ACKNOWLEDGEMENTS, COMMUNES, PROVINCES, VERDICTS
from tests.worlds import indicator, obligation, reporter, seed_texts, succession, target, unit, vintage

AS_OF = datetime(2023, 6, 30, tzinfo=UTC)
PUBLISHED = datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)
# the scenario clock stands still, on a day of the first list
SETTINGS = read_settings(clock_start=AS_OF, clock_anchor=PUBLISHED, clock_rate=0)

OLD, NEW = "2020-01-01", "2025-07-01"
UNITS = (
    unit(OLD, "00001") | {"name": "Xã Một", "district": "Na Hang"},
    unit(OLD, "00002") | {"name": "Xã Hai", "district": "Na Hang", "latitude": "22.35", "longitude": "105.4"},
    unit(OLD, "00003") | {"name": "Xã Ba", "district": "Na Hang"},
    unit(OLD, "00009", "24") | {"name": "Xã Chín", "district": "Yên Phong"},
    unit(NEW, "00001") | {"name": "Xã Khác"},
    unit(NEW, "00009", "24") | {"name": "Xã Chín"},
)
RULES = Rules.from_texts(
    seed_texts(
        communes={"08": (), "24": ()},
        vintages=(vintage(OLD, end=NEW), vintage(NEW)),
        units=UNITS,
        successions=(*(succession(NEW, "00001", f"0000{n}") for n in (1, 2, 3)), succession(NEW, "00009", "00009")),
        indicators=(indicator("postal.staffed_point"), indicator("broadcast.loudspeaker", "quarter")),
        reporters=(reporter("post-office"),),
        obligations=(obligation("post-office", "postal.staffed_point"),),
        targets=(target("postal.staffed_point"),),
        number=7,
    )
)
COMMUNE_ROWS, PROVINCE_ROWS = assess(RULES, "08", {}, AS_OF)
# what another feed, whose clock is ahead, would show, too: rows of a list that is not in force yet
LATER_COMMUNE_ROWS, LATER_PROVINCE_ROWS = assess(RULES, "08", {}, datetime(2025, 7, 1, tzinfo=UTC))
# 1 of 2 applicable communes: one covered, one with a named gap, one not applicable
STATED = {
    "00001": {"state": State.FRESH, "covered": 1, "expected": 1, "ratio": 1.0, "low": 1.0, "origin": Origin.ASSUMED, "uncovered": ()},
    "00002": {"state": State.FRESH, "covered": 0, "expected": 1, "ratio": 0.0, "low": 0.0, "uncovered": ("Bản Lãm",)},
    "00003": {"state": State.FRESH, "covered": 0, "expected": 0, "ratio": None, "low": None, "high": None},
}


def put(app: Litestar, row: CommuneRow | ProvinceRow, offsets: int = 1) -> None:
    """Publish a row."""
    reader: Reader = app.state.reader
    version = Version(rules=7, log="log", offsets=offsets, as_of=AS_OF)
    topic = COMMUNES if isinstance(row, CommuneRow) else PROVINCES
    reader.snapshot.apply(topic.name, row.key.encode(), encode(row), [(VERSION_HEADER, encode(version))], PUBLISHED)


def filled() -> Litestar:
    """The application, its reading thread not started, over every row of both lists and one of an indicator that has been struck."""
    made = build_feed(SETTINGS, RULES)
    made.state.reader.snapshot.start_over("log")
    for row in (LATER_COMMUNE_ROWS | COMMUNE_ROWS).values():
        stated = STATED[row.commune] if row.indicator == "postal.staffed_point" and row.vintage == "2020-01-01" else {}
        put(made, msgspec.structs.replace(row, **stated))
    for total in (LATER_PROVINCE_ROWS | PROVINCE_ROWS).values():
        put(made, total)
    put(
        made,
        msgspec.structs.replace(
            PROVINCE_ROWS["2020-01-01/08/postal.staffed_point"],
            covered=1,
            expected=2,
            ratio=0.5,
            low=0.5,
            high=0.5,
            verdict=Verdict.MISSED,
            units={State.FRESH: 3},
            origins={Origin.REAL: 1, Origin.ASSUMED: 1},
            marks={**dict.fromkeys(Mark, 0), Mark.ASSUMED: 1, Mark.NOT_APPLICABLE: 1},
            reporters_overdue={"post-office": 2},
            reliability={"post-office": (3, 4)},
            oldest_observed_at=AS_OF,
        ),
    )
    put(made, msgspec.structs.replace(PROVINCE_ROWS["2020-01-01/08/postal.staffed_point"], indicator="postal.struck"))
    assert not made.state.reader.snapshot.left_out
    return made


def ask(app: Litestar, path: str, *, method: str = "GET", **headers: str) -> httpx.Response:
    """One request; `headers` with _ for -."""

    async def request() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app, raise_app_exceptions=False), base_url="http://feed") as client:
            return await client.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return asyncio.run(request())


def take(app: Litestar, verdict: VerdictEvent, owner: str | None, number: int = 1) -> Acknowledged:
    """Somebody takes that verdict on, so many minutes after the moment that is shown; None: gives it back."""
    about = verdict.data
    event = Acknowledged(
        specversion="1.0",
        id=str(number),
        source="ioc",
        time=AS_OF + timedelta(minutes=number),
        data=Acknowledgement(
            vintage=about.vintage,
            province=about.province,
            indicator=about.indicator,
            verdict=verdict.id,
            owner=owner,
            reason="đang đi đo",
        ),
    )
    reader: Reader = app.state.reader
    reader.snapshot.apply(ACKNOWLEDGEMENTS.name, event.data.key.encode(), encode_acknowledged(event), None, PUBLISHED)
    return event


def decide(app: Litestar, to: Verdict, day: int, vintage: str = OLD, *, repeated: int = 1) -> VerdictEvent:
    """Append the next entry of the postal history of province 08 on that day of June 2023, as often as it was written."""
    reader: Reader = app.state.reader
    row = msgspec.structs.replace(PROVINCE_ROWS[f"{OLD}/08/postal.staffed_point"], vintage=vintage, verdict=to)
    before = [one.event for one in reader.snapshot.verdicts() if one.event.data.key == row.key]
    event = verdict_event(
        row, before[-1] if before else None, Cause(kind=CauseKind.STATEMENT, events=("post-office 1",)), 7, AS_OF.replace(day=day)
    )
    for offset in range(repeated):
        reader.snapshot.apply(VERDICTS.name, row.key.encode(), encode(event), None, PUBLISHED, len(before) * 10 + offset)
    return event
