"""The five dashboards, each built in both languages from one source.

Comes in: a language and the province that is shown first. Goes out: `built`, the dashboards as plain dictionaries of classic JSON (schema
42, the only form that every Grafana from 11 to 13 provisions from a file). Owns no state. They show what the feed says and compute no rule
of coverage.
"""

from __future__ import annotations

import json
from typing import Any

from dashboards.boards import gaps, indicator, pipeline, province, reporting
from dashboards.boards.frame import framed
from dashboards.messages import Lang, Messages
from dashboards.names import Board
from dashboards.panels import Panels
from dashboards.promql import metrics_of
from dashboards.sdk import JSONEncoder

MODULES = {
    Board.PROVINCE: province,
    Board.INDICATOR: indicator,
    Board.GAPS: gaps,
    Board.REPORTING: reporting,
    Board.PIPELINE: pipeline,
}
"""From general to specific: the order of the links at the top of each."""


def built(board: Board, lang: Lang, home: str, home_name: str) -> dict[str, Any]:
    """One dashboard; it opens on the province `home`."""
    say = Messages(board.name.lower(), lang)
    frame = framed(board, say, (home, home_name))
    for variable in MODULES[board].variables(frame):
        frame.board.with_variable(variable)
    if board is Board.INDICATOR:
        frame.board.annotation(indicator.vintages(frame))
    for panel in MODULES[board].panels(Panels(say)):
        frame.board.with_panel(panel)
    return _plain(json.loads(json.dumps(frame.board.build(), cls=JSONEncoder)))


def _plain(board: dict[str, Any]) -> dict[str, Any]:
    # the SDK always says "inControlsMenu", which hides links and annotations behind a button
    for one in (*board.get("links", ()), *board.get("annotations", {}).get("list", ())):
        one.pop("placement", None)
    for panel in board["panels"]:
        panel["description"] += "\n\n" + _metrics(panel)
    return board


def _metrics(panel: dict[str, Any]) -> str:
    """The names of the metrics behind a panel, for those who want to ask further."""
    names = sorted({name for target in panel["targets"] for name in metrics_of(target["expr"])})
    return "Prometheus: " + ", ".join(f"`{name}`" for name in names)
