"""`phusong chase`: the list of what an operator leaves uncovered, in the terminal, as a sheet and as a letter.

Comes in: an operator, a province, a moment, and where to write. Goes out: the list on stdout or in files. Owns no state.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from feed.text import Lang, number, say
from ops.terminal import DONE, console, reading_bar, say_aside
from phusong.settings import SettingsError, read_rules, read_settings

if TYPE_CHECKING:
    from ops.chase import Chase
    from phusong.rules import Rules


def chase(
    operator: str,
    /,
    *,
    province: str | None = None,
    as_of: str | None = None,
    out: Path | None = None,
    letter: Path | None = None,
    lang: Lang = "vi",
) -> int:
    """Những nơi một nhà cung cấp chưa phủ: từ khi nào, hứa đến khi nào, ai kiến nghị. What an operator leaves uncovered, to be sent to it.

    Since when, promised for when, days overdue, who asked; also what another operator covers, marked so. Reads the log, needs no worker.

    Examples: `phusong chase operator-a --province 08`; `phusong chase operator-a --out list.xlsx --letter letter.html`.

    Parameters
    ----------
    operator
        As in seeds/obligations.csv.
    province
        Code of the province (default: all).
    as_of
        A day (its end) or a moment: nothing that was observed later (default: now).
    out
        Write the list as a workbook, .xlsx.
    letter
        Write the letter with the list, .html: printable on A4.
    lang
        Language of the text: vi or en.
    """
    from ops import asked
    from ops.chase import chase as run_chase
    from ops.chase import operator as obliged
    from ops.chase import provinces
    from ops.chase_letter import letter as as_letter
    from ops.chase_sheet import sheet
    from ops.chase_words import summary

    for path, ending, flag in ((out, ".xlsx", "--out"), (letter, ".html", "--letter")):
        if path is not None and path.suffix.lower() != ending:
            raise SettingsError(f"{flag}: {path}: {say(lang, 'tên tệp phải kết thúc bằng', 'the name must end with')} {ending}")
    settings = read_settings()
    rules = read_rules(settings.seeds)
    at = settings.as_of(datetime.now(UTC)) if as_of is None else asked.moment(as_of)
    name = obliged(rules, operator)
    units = provinces(rules, asked.vintage_at(rules.register, at), province)
    with reading_bar(lang) as tell:
        found = run_chase(settings.kafka(), rules, name, units, at, tell, then=as_of is not None)
    if out is not None:
        _write(out, sheet(found, rules, lang), "--out", lang)
    if letter is not None:
        _write(letter, as_letter(found, rules, lang).encode(), "--letter", lang)
    if out is None and letter is None:
        _show(found, rules, lang)
    say_aside(summary(found, lang))
    if found.silent:
        say_aside(
            say(
                lang,
                f"{number(found.silent, lang)} cặp xã – nội dung chưa có báo cáo nào: không nằm trong danh sách (phusong status)",
                f"{number(found.silent, lang)} pairs of commune and indicator without any report are not in the list (phusong status)",
            )
        )
    return DONE


def _write(path: Path, content: bytes, flag: str, lang: Lang) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        why = error.strerror or error
        raise OSError(
            say(lang, f"{path}: không ghi được ({why}); chọn {flag} khác", f"{path}: cannot be written ({why}); choose another {flag}")
        ) from error
    print(path)


def _show(found: Chase, rules: Rules, lang: Lang) -> None:
    from rich.table import Table
    from rich.text import Text

    from ops.chase_words import printed, shown
    from ops.letters import printable

    listed, groups = printed(found, rules, lang)
    for name, gaps in groups:
        table = Table(title=Text(name, style="bold"), title_justify="left")
        for column in listed:
            table.add_column(column.heading, overflow="fold")
        for gap in gaps:
            # Text: what strangers wrote is no markup
            table.add_row(*(Text(printable(shown(column.cell(gap), lang))) for column in listed))
        console().print(table)
