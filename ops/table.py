"""The province table for people: what is covered, how sure it is, against which target, and which communes are missing.

Comes in: the JSON rows of the feed's /api/v1/provinces and /api/v1/gaps. Goes out: text. Owns no state.
Vietnamese first; a code that machines use stands beside its words.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from phusong.assessment import percent
from phusong.periods import VIETNAM

Json = dict[str, Any]

VERDICTS = {
    "met": "đạt",
    "missed": "chưa đạt",
    "not_yet": "chưa đến hạn",
    "uncertain": "chưa đủ căn cứ",
    "no_target": "chưa có chỉ tiêu",
}
STATES = {"fresh": "còn hạn", "stale": "quá hạn", "unknown": "chưa báo cáo"}
ORIGINS = {"real": "thực", "assumed": "giả định", "simulated": "mô phỏng"}
SCOPES = {"national": "quốc gia", "province": "cấp tỉnh"}
_STYLES = {"met": "green", "missed": "bold red", "not_yet": "yellow", "uncertain": "yellow", "no_target": "dim"}
_NAMED = 10
"""How many communes of a gap are named in the terminal; the API names all."""


class FeedUnreachableError(RuntimeError):
    """The feed does not answer; the text says where and what to do."""


def fetch(url: str, path: str) -> list[Json]:
    """The rows of one API path. Raises FeedUnreachableError."""
    try:
        with urllib.request.urlopen(url.rstrip("/") + path, timeout=10) as answer:  # noqa: S310 - an address the operator gave
            rows: list[Json] = json.load(answer)
            return rows
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise FeedUnreachableError(f"{url}{path}: the feed does not answer ({error}); is `phusong feed` running?") from error


def target_text(row: Json) -> str:
    """A target with its scope and source: "100 % (quốc gia, NQ 01/NQ-CP 2021)"."""
    if row["target"] is None:
        return "–"
    assumed = ", giả định" if row["target_status"] == "assumed" else ""
    whole = percent(row["target"]).replace(",0 %", " %")
    return f"{whole} ({SCOPES[row['target_scope']]}, {row['target_source']}{assumed})"


def show(console: Console, provinces: Sequence[Json], gaps: Sequence[Json]) -> None:
    """Print the table, and under it the communes that are missing where a target is missed."""
    for province, vintage in sorted({(row["province"], row["vintage"]) for row in provinces}):
        rows = [row for row in provinces if (row["province"], row["vintage"]) == (province, vintage)]
        as_of = max(datetime.fromisoformat(row["as_of"]) for row in rows).astimezone(VIETNAM)
        table = Table(
            title=f"{escape(rows[0]['province_name'])} ({province}) · danh mục {vintage} · tính đến {as_of:%d/%m/%Y %H:%M}",
            title_justify="left",
        )
        for heading in ("Nội dung", "Đạt", "Tỷ lệ", "Khoảng", "Đủ báo cáo", "Chỉ tiêu", "Kết luận", "Nguồn gốc"):
            table.add_column(heading, justify="right" if heading in ("Đạt", "Tỷ lệ", "Khoảng", "Đủ báo cáo") else "left", overflow="fold")
        for row in rows:
            table.add_row(
                f"{escape(row['indicator_name'])}\n[dim]{row['indicator']}[/dim]",
                f"{_count(row['covered'])} / {_count(row['expected'])}",
                percent(row["ratio"], row["target"]),
                f"{percent(row['low'], row['target'])} – {percent(row['high'], row['target'])}",
                percent(row["completeness"]),
                escape(target_text(row)),
                f"[{_STYLES[row['verdict']]}]{VERDICTS[row['verdict']]}[/] ({row['verdict']})",
                f"{ORIGINS[row['origin']]} ({row['origin']})" if row["origin"] else "–",
            )
        console.print(table)
        for row in rows:
            if row["verdict"] == "missed":
                _show_missing(console, row, [gap for gap in gaps if _same(gap, row)])


def _show_missing(console: Console, row: Json, missing: Sequence[Json]) -> None:
    console.print(f"Còn thiếu, {escape(row['indicator_name'])}:")
    for gap in missing[:_NAMED]:
        said = f"{gap['covered']} / {gap['expected']}" if gap["expected"] is not None else "–"
        origin = f", {ORIGINS[gap['origin']]}" if gap["origin"] else ""
        console.print(f"  • {escape(gap['name'])} ({gap['commune']}), {escape(gap['district'])}: {said}, {STATES[gap['state']]}{origin}")
    if len(missing) > _NAMED:
        console.print(f"  … và {len(missing) - _NAMED} xã khác: /api/v1/gaps?indicator={row['indicator']}")


def _same(gap: Json, row: Json) -> bool:
    return all(gap[name] == row[name] for name in ("province", "vintage", "indicator"))


def _count(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.1f}".replace(".", ",")
