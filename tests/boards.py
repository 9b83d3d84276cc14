"""The dashboards as they are committed, and how Grafana would fill in their queries. Comes in: the files. Goes out: their parts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from dashboards.build import HERE

Json = dict[str, Any]

PATHS = sorted((HERE / "grafana" / "dashboards").glob("*/*.json"))
IDS = [path.stem for path in PATHS]


@cache
def board(path: Path) -> Json:
    """A dashboard."""
    found: Json = json.loads(path.read_text("utf-8"))
    return found


def panels() -> Iterator[tuple[Path, Json]]:
    """Every panel of every dashboard in every language."""
    for path in PATHS:
        for panel in board(path)["panels"]:
            yield path, panel


def name(path: Path) -> str:
    """The uid of the dashboard in Vietnamese, whatever the language of this one."""
    return path.stem.removesuffix("-en")


def variables(path: Path) -> list[Json]:
    """Its variables."""
    found: list[Json] = board(path)["templating"].get("list", [])
    return found


def marks(path: Path) -> list[Json]:
    """Its annotations."""
    found: list[Json] = board(path)["annotations"].get("list", [])
    return found


def asked_by(variable: Json) -> str:
    """The PromQL of a variable."""
    (query,) = re.findall(r"^query_result\((.*)\)$", variable["definition"])
    return str(query)


def queries(path: Path) -> list[str]:
    """Every PromQL of a dashboard: of its panels, variables and annotations."""
    of_panels = [target["expr"] for panel in board(path)["panels"] for target in panel["targets"]]
    return [*of_panels, *map(asked_by, variables(path)), *(one["expr"] for one in marks(path))]


def substituted(query: str, **variables: str) -> str:
    """The query with the dashboards' variables filled in."""
    return re.sub(r"\$(province|indicator)\b", lambda match: variables[match[1]], query)


def organized(panel: Json) -> Json:
    """How a table's columns are named and placed."""
    (found,) = (one["options"] for one in panel["transformations"] if one["id"] == "organize")
    options: Json = found
    return options


def columns(panel: Json) -> set[str]:
    """The labels that a table has columns for."""
    return {name for name in organized(panel)["renameByName"] if not name.startswith(("Value", "Trend", "Time"))}


def overrides(panel: Json) -> Iterator[tuple[str, str, Any]]:
    """(matched name, property, value) of each override by name."""
    for override in panel["fieldConfig"].get("overrides", ()):
        if override["matcher"]["id"] == "byName":
            for one in override["properties"]:
                yield override["matcher"]["options"], one["id"], one["value"]
