"""`phusong template`: the form that a reporter fills in and sends back.

Comes in: indicators, a reporter, a day. Goes out: an XLSX file; its name on stdout, what is left empty on stderr. Owns no state.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from urllib.parse import urlencode

import msgspec

from feed.text import Lang, day, number, say
from ops.table import FeedUnreachableError, Json, fetch
from ops.terminal import DONE, TROUBLE, WRONG_USE, say_aside
from phusong.settings import SettingsError, address, read_rules, read_settings


def template(
    *indicators: str,
    observed_at: str,
    source: str,
    province: str = "",
    vintage: str = "",
    out: Path | None = None,
    url: str = "",
    lang: Lang = "vi",
) -> int:
    """Biểu mẫu XLSX cho đơn vị báo cáo: mỗi xã một hàng, điền rồi gửi bằng `phusong send`. The form that a reporter fills in.

    Examples: `phusong template postal.staffed_point --source operator-a --observed-at 06/2023`;
    `phusong template telecom.fibre_villages telecom.mobile_signal_villages --source operator-b --observed-at "quý 3/2025" --province 08`.

    Parameters
    ----------
    indicators
        One sheet each, for example postal.staffed_point.
    observed_at
        The day or period that the figures are to be about: 30/06/2023, 06/2023, "quý 2/2023".
    source
        Who fills it in (a row of reporters.csv).
    province
        Code of the province (default: those that the reporter owes a report on).
    vintage
        The list of communes (default: the one in force on that day).
    out
        The file to write (default: SOURCE-DAY.xlsx in this directory); one that is there already is not overwritten.
    url
        Where the feed is that knows the last values (default: PHUSONG_BIND and PHUSONG_FEED_PORT).
    lang
        Language of the messages: vi or en (the form is in Vietnamese).
    """
    from producers.sheets.cells import CellError, moment_of
    from producers.sheets.tables import FileError
    from producers.sheets.templates import form_of, write_form

    if not indicators:
        say_aside(say(lang, "nêu ít nhất một chỉ tiêu, ví dụ postal.staffed_point", "name at least one indicator, as postal.staffed_point"))
        return WRONG_USE
    settings = read_settings()
    rules = read_rules(settings.seeds)
    try:
        about, _ = moment_of(observed_at)
    except CellError as error:
        raise SettingsError(f"--observed-at {observed_at}: {error.text.of(lang)}") from error
    form = form_of(rules, indicators, source, about, province, vintage, lang)
    for remark in form.remarks:
        say_aside(remark.of(lang))
    path = out or Path(f"{source}-{about:%Y-%m-%d}.xlsx")
    if path.exists():
        say_aside(say(lang, f"{path}: đã có; chọn --out khác hoặc xóa đi", f"{path}: is there already; choose another --out, or remove it"))
        return TROUBLE
    listed = vintage or next(iter({unit.vintage for _, units in form.asked for unit in units}))
    try:
        last = _last(url or address(settings.bind, settings.feed_port), [indicator.id for indicator, _ in form.asked], listed)
        form = msgspec.structs.replace(form, last=last)
    except FeedUnreachableError as error:
        say_aside(say(lang, f'cột "Kỳ trước" để trống: {error}', f'the column "Kỳ trước" is left empty: {error}'))
    try:
        rows = write_form(form, rules, path)
    except FileError as error:
        # what was begun is no form, and would stand in the way of the next trial
        path.unlink(missing_ok=True)
        say_aside(error.text.of(lang))
        return TROUBLE
    print(f"{path}")
    say_aside(say(lang, f"{rows} hàng; điền rồi gửi: phusong send {path}", f"{rows} rows; fill them in, then: phusong send {path}"))
    return DONE


def _last(url: str, indicators: list[str], vintage: str) -> dict[tuple[str, str], str]:
    """(indicator, commune) -> what the feed shows of each commune. Raises FeedUnreachableError."""
    queries = [urlencode({"indicator": indicator, "vintage": vintage}) for indicator in indicators]
    return {(row["indicator"], row["commune"]): _words(row) for query in queries for row in fetch(url, f"/api/v1/communes?{query}")}


def _words(row: Json) -> str:
    if row["expected"] is None:
        return "chưa báo cáo"
    covered = "?" if row["covered"] is None else number(row["covered"], "vi")
    since = f" ({day(datetime.fromisoformat(row['observed_at']), 'vi')})" if row["observed_at"] else ""
    return f"{covered}/{number(row['expected'], 'vi')}{since}"
