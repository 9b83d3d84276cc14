"""The examples of docs/rules.md: read from the page, so that the page and the code cannot drift apart.

Comes in: the text of the page. Goes out: one `Example` for each row of a table that has a column `example`, with what the row and the
settings above its table say. Owns no state. A table that cannot be read raises ValueError with its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from msgspec import Struct

PAGE = Path(__file__).parents[1] / "docs" / "rules.md"
CASES = PAGE.with_name("cases.md")
_SETTING = re.compile(r"(Counted|Asked|Period|Tolerance|Target|Made of|Places|Commune): `([^`]*)`")


class Example(Struct, frozen=True):
    """One row: what is given (`said`, `counted`, `asked`, …) and what must come out, by the heading of its column, in small letters."""

    name: str
    settings: dict[str, str]
    columns: dict[str, str]

    def get(self, name: str, default: str = "") -> str:
        """What the row, or else a line above its table, says."""
        return self.columns.get(name, self.settings.get(name, default))


def tables(text: str) -> Iterator[tuple[dict[str, str], list[dict[str, str]]]]:
    """Every table: the settings between it and the heading above, and its rows by column."""
    settings: dict[str, str] = {}
    columns: list[str] | None = None
    rows: list[dict[str, str]] = []
    for number, line in enumerate([*text.splitlines(), ""], 1):
        if line.startswith("|"):
            cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
            if columns is None:
                columns = [cell.lower() for cell in cells]
            elif len(cells) != len(columns):
                raise ValueError(f"line {number}: {len(cells)} cells under {len(columns)} headings")
            elif not set(line) <= set("|- :"):
                rows.append(dict(zip(columns, [cell.strip("`") for cell in cells], strict=True)))
            continue
        if columns is not None:
            yield settings, rows
            columns, rows = None, []
        if line.startswith("#"):
            settings = {}
        settings = settings | {name.lower(): value for name, value in _SETTING.findall(line)}


@cache
def examples(page: Path = PAGE) -> dict[str, Example]:
    """Every example of the page by its name; `"` in a cell repeats the one above it."""
    found: dict[str, Example] = {}
    for settings, rows in tables(page.read_text("utf-8")):
        above: dict[str, str] = {}
        for row in rows:
            if "example" not in row:
                continue
            above = {column: above[column] if cell == '"' else cell for column, cell in row.items()}
            name = row["example"]
            if name in found:
                raise ValueError(f"{page.name}: two examples are called {name}")
            found[name] = Example(name, settings, above)
    return found
