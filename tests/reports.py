"""Reports without a Kafka: events in the order in which they came, and what a report makes of them.

Comes in: events, rules, a period. Goes out: `Report`, and frozen ones on disk. Owns nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from feed.text import Lang
from ops.report_document import ROLES, Report, span
from ops.report_figures import Figures, Signed, Told, asked, homes
from ops.report_files import sign, write
from phusong.admission import Admission
from phusong.events import Event
from phusong.rules import Rules
from phusong.settings import read_settings
from phusong.topics import SOURCES
from tests import worlds
from tests.worlds import instant, millis

MADE_AT = "2023-07-20T09:00:00"
SIGNATORIES = ("Nguyễn Văn A", "Trần Thị B", "Lê Văn C")


def reported(
    events: Sequence[Event],
    *,
    rules: Rules | None = None,
    period: str = "2023-06",
    made_at: str = MADE_AT,
    province: str = "08",
    version: int = 1,
    base: Signed | None = None,
    log: str = "one",
    lang: Lang = "vi",
) -> Report:
    """The report on these events, each at the offset of its place in the sequence; `log`: the id of the topics."""
    rules = rules or worlds.world()
    what = asked(rules, span(period), instant(made_at), lang)
    found = Figures(rules, what, homes(rules, what.vintage, [province]), [] if base is None else [base.report.as_of])
    admission = Admission(rules)
    routed = [(event, admission.route(event)) for event in events]
    for event, route in routed:
        found.add(event, route)
    found.log = {(topic.name, 0): (log, len(events)) for topic in SOURCES.values()}
    told = Told(read_settings(), found.log, found.concerns(province, base))
    for offset, (event, route) in enumerate(routed):
        told.add(event, route, (SOURCES[route.domain].name, 0), offset, millis(instant(MADE_AT)))
    return found.report(province, version, base, told.cells)


def signed(directory: Path, report: Report, names: Iterable[str] = SIGNATORIES) -> Signed:
    """The report written there and signed by these, in their order."""
    found = write(directory, report, "vi")
    for role, name in zip(ROLES, names, strict=False):
        found = sign(directory / f"{report.name}.html", role, name, instant("2023-07-20T23:00:00+00:00"), "vi")
    return found
