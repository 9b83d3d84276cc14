"""Words and figures of pages and terminal in the language asked for: Vietnamese (decimal comma, thousands dot) or English.

Comes in: values and a language. Goes out: text. Owns no state.
"""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction
from typing import Literal

from phusong import assessment
from phusong.periods import VIETNAM

Lang = Literal["vi", "en"]


def say(lang: Lang, vi: str, en: str) -> str:
    """The one of two texts that the language asks for."""
    return vi if lang == "vi" else en


def number(value: float | Fraction, lang: Lang, decimals: int = 1) -> str:
    """1639490 -> "1.639.490" or "1,639,490"; 2843.5 -> "2.843,5" or "2,843.5"; no decimals where there is nothing after the point."""
    text = f"{float(value):,.{decimals}f}" if value % 1 else f"{int(value):,}"
    return text.translate(str.maketrans(",.", ".,")) if lang == "vi" else text


def percent(ratio: float | None, lang: Lang, target: float | None = None) -> str:
    """A ratio with one decimal, never rounded up to a target that it has not reached: "99,3 %" or "99.3 %"; None: "–"."""
    text = assessment.percent(ratio, target)
    return text if lang == "vi" else text.replace(",", ".")


def day(moment: datetime, lang: Lang) -> str:
    """The day in Vietnam: "30/06/2023" or "2023-06-30"."""
    return moment.astimezone(VIETNAM).strftime(say(lang, "%d/%m/%Y", "%Y-%m-%d"))
