"""`phusong ack`: take a verdict on, with a name and a reason, or give it back.

Comes in: the indicator, who takes its verdict on, and why. Goes out: one acknowledgement in coverage.acknowledgements.v1; whoever watches
sees it within a second. Owns no state: the feed says which verdict holds now. An indicator without a verdict, or a feed that does not
answer, is told with the remedy, and nothing is sent.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import uuid4

from cyclopts import Parameter

from feed.text import Lang, say
from ops.terminal import DIFFERENCE, DONE, say_aside
from phusong.events import Origin, Rejected
from phusong.settings import SettingsError, address, read_rules, read_settings

SOURCE = "operations-centre"
"""Who says so, where it is said on the command line."""


def ack(
    indicator: str,
    /,
    *,
    reason: str,
    owner: str = "",
    release: Annotated[bool, Parameter(negative="")] = False,
    province: str = "",
    origin: Origin = Origin.REAL,
    url: str = "",
    lang: Lang = "vi",
) -> int:
    """Nhận xử lý một kết luận. Take the verdict that holds on an indicator on: who sees to it, and what is being done.

    Examples: `phusong ack postal.staffed_point --province 08 --owner "Phòng BCVT" --reason "đã gửi văn bản, hẹn 31/07"`;
    `phusong ack postal.staffed_point --province 08 --release --reason "chuyển sang Sở KH&CN"`.

    Parameters
    ----------
    indicator
        Whose verdict, e.g. postal.staffed_point.
    reason
        What is being done, in a sentence.
    owner
        Who sees to it; needed, except with --release.
    release
        Give it back: nobody has it any more.
    province
        Code of the province (default: the only one that has the indicator).
    origin
        real, or simulated in an exercise.
    url
        Where the feed is (default: where the settings put it).
    lang
        Language of the text: vi or en.
    """
    from phusong.acknowledgements import Acknowledged, Acknowledgement
    from phusong.admission import Admission
    from producers.publisher import Publisher

    if bool(owner) == release:
        raise SettingsError("--owner NAME takes the verdict on, --release gives it back: give one of the two")
    settings = read_settings()
    rules = read_rules(settings.seeds)
    if indicator not in rules.catalogue.indicators:
        raise SettingsError(f"{indicator}: no such indicator; `phusong status` lists them")
    row = _row(url or address(settings.bind, settings.feed_port), indicator, province)
    event = Acknowledged(
        specversion="1.0",
        id=f"{SOURCE}/{uuid4()}",
        source=SOURCE,
        time=datetime.now(UTC),
        data=Acknowledgement(
            vintage=row["vintage"],
            province=row["province"],
            indicator=indicator,
            verdict=row["verdict_id"],
            owner=owner or None,
            reason=reason,
            origin=origin,
        ),
    )
    with Publisher(settings.kafka(), Admission(rules), lambda: datetime.now(UTC)) as publisher:
        try:
            publisher.send(event)
        except Rejected as error:
            say_aside(str(error))
            return DIFFERENCE
    name = f"{row['province_name']} · {row['indicator_name']} ({row['verdict']})"
    if release:
        done = say(lang, "không còn ai nhận xử lý", "nobody has it any more")
    else:
        done = say(lang, f"{owner} nhận xử lý", f"taken by {owner}")
    print(f"{name}: {done}", file=sys.stdout)
    return DONE


def _row(url: str, indicator: str, province: str) -> dict[str, Any]:
    """The province's row whose verdict is meant. Raises SettingsError with the remedy, and FeedUnreachableError."""
    from ops.table import fetch

    rows = [row for row in fetch(url, "/api/v1/provinces") if row["indicator"] == indicator and province in ("", row["province"])]
    if len(rows) > 1:
        codes = ", ".join(row["province"] for row in rows)
        raise SettingsError(f"{indicator}: có ở các tỉnh {codes}, chọn một bằng --province (is of {codes}: say which with --province)")
    if not rows or rows[0]["verdict_id"] is None:
        raise SettingsError(f"{indicator}: no verdict is published yet; look at `phusong status`")
    return rows[0]
