"""The words of the dashboards in Vietnamese and English, from the catalogue in catalogue/*.toml.

Comes in: a language. Goes out: titles, descriptions, column heads and the words of label values. Owns no state. A key that is missing, or
has one language only, is a KeyError: nothing is generated with a gap in it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

Lang = Literal["vi", "en"]
LANGS: tuple[Lang, ...] = ("vi", "en")
"""Vietnamese first: it is the default."""
CATALOGUE = Path(__file__).resolve().parent / "catalogue"


@dataclass(frozen=True)
class Text:
    """What stands on a panel: title, how the figure is made, and what is shown where there is none."""

    title: str
    description: str
    empty: str


@dataclass(frozen=True)
class Value:
    """How the value of a label is shown: the word, and Grafana's name of a colour."""

    word: str
    colour: str


@cache
def read(name: str) -> Mapping[str, Any]:
    """One file of the catalogue."""
    found: Mapping[str, Any] = tomllib.loads((CATALOGUE / f"{name}.toml").read_text("utf-8"))
    return found


class Messages:
    """The words of one dashboard in one language."""

    def __init__(self, board: str, lang: Lang) -> None:
        self.lang = lang
        self._board = read(board)
        self._common = read("common")

    def word(self, key: str, section: str = "words") -> str:
        """A word that the dashboards share."""
        found: str = self._common[section][key][self.lang]
        return found

    def values(self, section: str) -> Mapping[str, Value]:
        """The values of a label, in the order of the catalogue."""
        return {key: Value(one[self.lang], one["colour"]) for key, one in self._common[section].items()}

    def plain(self, key: str) -> Value:
        """A word of [empty] as a value without colour."""
        return Value(self.word(key, "empty"), "text")

    def panel(self, key: str) -> Text:
        """The texts of a panel."""
        found = self._board[key][self.lang]
        return Text(found["title"], found["description"], found.get("empty", self.word("nothing", "empty")))

    def about(self) -> str:
        """What the dashboard is for."""
        found: str = self._board["dashboard"][self.lang]
        return found
