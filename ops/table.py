"""The province table for people: what is covered, how sure it is, against which target, and which communes are missing.

Comes in: the JSON rows of the feed's /api/v1/provinces and /api/v1/gaps. Goes out: text. Owns no state.
Vietnamese first; a code that machines use stands beside its words.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from fractions import Fraction
from http import HTTPStatus
from math import floor
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from access.keys import FORM
from feed.text import day, number
from phusong.assessment import percent
from phusong.periods import VIETNAM
from phusong.settings import SettingsError, read_settings

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
METHODS = {"declared": "khai báo", "measured": "đo kiểm", "petitioned": "kiến nghị"}
STEPS = {
    "opened": "đã ghi nhận",
    "sent": "đã gửi đơn vị",
    "conceded": "đơn vị thừa nhận",
    "disputed": "đơn vị không đồng ý",
    "resolved": "đã giải quyết",
}
SCOPES = {"national": "quốc gia", "province": "cấp tỉnh"}
MARKS = {
    "conflict": "số đo trái số khai",
    "contested": "có kiến nghị",
    "interrupted": "đang gián đoạn",
    "unresolved": "hết hạn gián đoạn, chưa rõ",
    "basis": "lệch mẫu số",
    "imputed": "chưa biết trọng số",
    "inherited": "kế thừa xã cũ",
    "assumed": "giả định",
    "simulated": "mô phỏng",
    "not_applicable": "không áp dụng",
}
_COUNTED = {"units": "xã", "villages": "thôn", "households": "hộ", "population": "người", "reported": ""}
_STYLES = {"met": "green", "missed": "bold red", "not_yet": "yellow", "uncertain": "yellow", "no_target": "dim"}
_NAMED = 10
"""How many communes of a gap are named in the terminal; the API names all."""
_WIDE = 150
"""From this width on an indicator's id stays in one piece."""


class FeedUnreachableError(RuntimeError):
    """The feed does not answer; the text says where and what to do."""


def fetch(url: str, path: str) -> list[Json]:
    """The rows of one API path. Raises FeedUnreachableError."""
    request = urllib.request.Request(url.rstrip("/") + path, headers=_authorization())  # noqa: S310 - an address the operator gave
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - the same
            rows: list[Json] = json.load(answer)
            return rows
    except (urllib.error.URLError, OSError, ValueError) as error:
        if isinstance(error, urllib.error.HTTPError) and error.code == HTTPStatus.UNAUTHORIZED:
            raise FeedUnreachableError(
                f"{url}: the feed asks for an API key that holds; set PHUSONG_FEED_KEY_FILE to a file with one"
            ) from error
        raise FeedUnreachableError(f"{url}{path}: the feed does not answer ({error}); is `phusong feed` running?") from error


def _authorization() -> dict[str, str]:
    """What a feed that asks for a key is shown. Raises SettingsError."""
    file = read_settings().feed_key_file
    if file is None:
        return {}
    try:
        key = file.expanduser().read_text("ascii", "replace").strip()
    except OSError as error:
        raise SettingsError(f"PHUSONG_FEED_KEY_FILE: {file} cannot be read: {error.strerror or error}") from error
    if not FORM.fullmatch(key):
        raise SettingsError(f"PHUSONG_FEED_KEY_FILE: {file} must hold one key, phs_…, as `phusong keys create NAME --feed` printed it")
    return {"authorization": f"Bearer {key}"}


def fetch_gaps(url: str, row: Json) -> list[Json]:
    """The communes behind the gap of a province row. Raises FeedUnreachableError."""
    return fetch(url, f"/api/v1/gaps?province={row['province']}&indicator={row['indicator']}&vintage={row['vintage']}")


def target_text(row: Json) -> str:
    """A target with its scope and source: "100 % (quốc gia, NQ 01/NQ-CP 2021)"."""
    if row["target"] is None:
        return "–"
    assumed = ", giả định" if row["target_status"] == "assumed" else ""
    whole = percent(row["target"]).replace(",0 %", " %")
    return f"{whole} ({SCOPES[row['target_scope']]}, {row['target_source']}{assumed})"


def known(row: Json) -> int:
    """Of how many communes of a province row something is known."""
    found: int = row["units"]["fresh"] + row["units"]["stale"]
    return found


def show(console: Console, provinces: Sequence[Json], gaps: Callable[[Json], Sequence[Json]]) -> None:
    """Print the table, and under it the communes that are missing where a target is missed; `gaps` tells those behind a row.

    A province of which nothing at all is known is one line.
    """
    for province, vintage in sorted({(row["province"], row["vintage"]) for row in provinces}):
        rows = [row for row in provinces if (row["province"], row["vintage"]) == (province, vintage)]
        if any(map(known, rows)):
            _show_province(console, f"{rows[0]['province_name']} ({province}) · danh mục {vintage}", rows)
        else:
            communes = number(sum(rows[0]["units"].values()), "vi")
            console.print(escape(f"{rows[0]['province_name']} ({province}): chưa có báo cáo nào ({communes} xã)"))
        for row in rows:
            if row["verdict"] == "missed":
                _show_missing(console, row, gaps(row))


def _show_province(console: Console, title: str, rows: Sequence[Json]) -> None:
    as_of = max(datetime.fromisoformat(row["as_of"]) for row in rows).astimezone(VIETNAM)
    table = Table(title=escape(f"{title} · tính đến {as_of:%d/%m/%Y %H:%M}"), title_justify="left")
    whole_id = max(len(row["indicator"]) for row in rows) if console.width >= _WIDE else None
    table.add_column("Nội dung", overflow="fold", width=whole_id)
    for heading in ("Đạt", "Tỷ lệ", "Khoảng", "Đủ\nbáo cáo"):
        table.add_column(heading, justify="right", overflow="fold")
    for heading in ("Chỉ tiêu", "Kết luận", "Nguồn gốc,\nlưu ý"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(
            f"{escape(row['indicator_name'])}\n[dim]{row['indicator']}[/dim]",
            f"{_count(row, 'covered')} / {_count(row, 'expected')} {_COUNTED[row['base']]}".rstrip(),
            percent(row["ratio"], row["target"]),
            f"{percent(row['low'], row['target']).removesuffix(' %')} – {percent(row['high'], row['target'])}",
            percent(row["completeness"]),
            escape(target_text(row)),
            f"[{_STYLES[row['verdict']]}]{VERDICTS[row['verdict']]}[/]\n({row['verdict']}){_projected(row)}",
            "\n".join(_remarks(row)) or "–",
            style=None if known(row) else "dim",
        )
    console.print(table)


def _projected(row: Json) -> str:
    projection = row["projection"]
    if projection is None:
        return ""
    if projection["reached_at"] is None:
        return "\n[dim]không đạt với nhịp này[/dim]"
    return f"\n[dim]dự kiến đạt {day(datetime.fromisoformat(projection['reached_at']), 'vi')}[/dim]"


def _remarks(row: Json) -> Iterator[str]:
    """Where the figures come from, and of how many communes a reader must know more; nothing where nothing is known."""
    if not known(row):
        return
    if row["origin"]:
        yield f"{ORIGINS[row['origin']]} ({row['origin']})"
    # that of the figures' own origin says nothing new
    yield from (f"{MARKS[mark]}: {count}" for mark, count in row["marks"].items() if count and mark != row["origin"])


def _show_missing(console: Console, row: Json, missing: Sequence[Json]) -> None:
    console.print(f"Còn thiếu, {escape(row['indicator_name'])}:")
    for gap in missing[:_NAMED]:
        said = f"{gap['covered']} / {gap['expected']}" if gap["expected"] is not None else "–"
        origin = f", {ORIGINS[gap['origin']]}" if gap["origin"] else ""
        console.print(f"  • {escape(gap['name'])} ({gap['commune']}), {escape(gap['district'])}: {said}, {STATES[gap['state']]}{origin}")
    if len(missing) > _NAMED:
        console.print(f"  … và {len(missing) - _NAMED} xã khác: /api/v1/gaps?indicator={row['indicator']}")


def _count(row: Json, name: str) -> str:
    """Cut, not rounded: a count below its whole is never printed as the whole. People and households in whole numbers."""
    parts = 1 if row["base"] in ("population", "households") else 10
    return number(Fraction(floor(Fraction(row[name]).limit_denominator(10**9) * parts), parts), "vi")
