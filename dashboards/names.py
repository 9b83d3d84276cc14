"""The names that must never change: Grafana finds dashboards, panels, datasource and rules by them.

A dashboard is there twice: its Vietnamese form under the uid itself, its English one under `<uid>-en`; both have the same panel ids.
Alerts link to a panel by dashboard uid and panel id, pages outside by dashboard uid.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

DATASOURCE_UID = "phusong-prometheus"
"""Never change it: Grafana keeps the datasource of the old uid and silently blocks every other one in the file."""

WALLBOARD = "http://127.0.0.1:8600"
"""Where the people who look at Grafana reach the feed: change it to its public address, and run `python -m dashboards.build`."""


class Board(StrEnum):
    """The uid of each dashboard."""

    PROVINCE = "phusong-province"
    INDICATOR = "phusong-indicator"
    GAPS = "phusong-gaps"
    REPORTING = "phusong-reporting"
    PIPELINE = "phusong-pipeline"


class Panel(IntEnum):
    """The panels that an alert links to, each id unique over all dashboards."""

    VERDICTS = 3
    """province: the table of indicators with verdicts."""
    PROJECTIONS = 12
    """province: when targets are reached."""
    TARGETS = 13
    """province: targets and their due dates."""
    INTERRUPTIONS = 31
    """gaps: temporary states past their end."""
    OVERDUE = 41
    """reporting: who is overdue."""
    DEAD_LETTERS = 42
    """reporting: rejected records by reason."""
    COMPLETENESS = 43
    """reporting: share of the obliged reporters with a fresh statement."""
    AGE = 51
    """pipeline: how old the rows are."""
    UP = 52
    """pipeline: which processes answer."""
    LAG = 53
    """pipeline: events not yet applied."""


def uid(board: Board, lang: str) -> str:
    """The uid of a dashboard in a language, "vi" or "en"."""
    return board.value if lang == "vi" else f"{board.value}-{lang}"
