"""`phusong report`: the report on a period that the department sends upward; signing it, and telling whether one was changed.

Comes in: a period, a province, a directory; who signs as what. Goes out: the files of ops/report_files.py, their names on stdout. Owns no
state. A report that is not as it was written ends a command with exit code 1 and the file's name; out of order is wrong use, 2.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from feed.text import Lang, say
from ops.report_document import Role, TamperedError
from ops.terminal import DIFFERENCE, DONE, console, reading_bar, say_aside
from phusong.settings import SettingsError, read_rules, read_settings

OUT = Path("reports")

report_app = App(
    name="report",
    help=(
        "Báo cáo của kỳ gửi cấp trên: bảng tính, trang in A4, JSON; ký, khóa và kiểm tra.\n\n"
        "The report on a period that is sent upward: a sheet, a page to print, JSON; signing and verifying it."
    ),
    help_epilogue=(
        "Ví dụ (examples):\n\n"
        "  phusong report --period 2023-06 --province 08\n\n"
        '  phusong report sign reports/08-2023-06-v1 --as maker --name "Nguyễn Văn A"\n\n'
        "  phusong report verify\n\n"
        "Exit codes: 0 done, 1 a report was changed, 2 wrong use, 3 broker or file trouble."
    ),
)


@report_app.default
def make(
    *,
    period: str,
    province: str | None = None,
    out: Path = OUT,
    lang: Lang = "vi",
    as_json: Annotated[bool, Parameter("--json")] = False,
) -> int:
    """Lập báo cáo của một kỳ đã hết. Make the report on a period that is over: figures about its end, as known now.

    Reads the log itself, so it needs Kafka and no worker. Writes PROVINCE-PERIOD-vN.json, .html, .xlsx and .sha256; a draft that nobody has
    signed is made again under its name, after a signed report comes the next version, and it says what has changed since.

    Examples: `phusong report --period 2023-06 --province 08`; `phusong report --period 2023-Q2 --out ./bao-cao --lang en`.

    Parameters
    ----------
    period
        A month 2023-06, a quarter 2023-Q2, a half-year 2023-H1 or a year 2023.
    province
        Code of the province (default: every one of which anything is known).
    out
        The directory of the reports.
    lang
        Language of the report: vi or en.
    as_json
        Print the reports as JSON.
    """
    from ops import report_figures as figures
    from ops.report_document import span
    from ops.report_files import last_signed, locked, next_version, write

    settings = read_settings()
    rules = read_rules(settings.seeds)
    asked = figures.asked(rules, span(period), settings.as_of(datetime.now(UTC)), lang)
    codes = figures.provinces(rules, asked.vintage, province)
    homes = figures.homes(rules, asked.vintage, codes)
    try:
        with locked(out, lang):
            bases = {code: last_signed(out, code, asked.span.as_of, lang) for code in codes}
            numbers = {code: next_version(out, code, asked.span.name, lang) for code in codes}
            found = figures.Figures(rules, asked, homes, [one.report.as_of for one in bases.values() if one is not None])
            with reading_bar(lang) as tell:
                figures.read(settings, found, homes, tell)
            silent = [code for code in codes if province is None and not found.known(code)]
            codes = [code for code in codes if code not in silent]
            with reading_bar(lang) as tell:
                told = figures.read_again(settings, found, {cell for code in codes for cell in found.concerns(code, bases[code])}, tell)
            made = [write(out, found.report(code, numbers[code], bases[code], told), lang) for code in codes]
    except TamperedError as error:
        return _changed(error)
    for code in silent:
        say_aside(
            say(
                lang,
                f"tỉnh {code}: chưa có báo cáo nào, không lập (thêm --province {code} nếu vẫn cần)",
                f"province {code}: no reports, nothing was written (add --province {code} to have it all the same)",
            )
        )
    if as_json:
        _print([{"report": one.report, "sha256": one.sha256, "files": _files(out, one.report.name)} for one in made])
    else:
        for one in made:
            print("\n".join(_files(out, one.report.name)))
    return DONE


@report_app.command
def sign(
    report: Path,
    /,
    *,
    role: Annotated[Role, Parameter("--as")],
    name: str,
    lang: Lang = "vi",
    as_json: Annotated[bool, Parameter("--json")] = False,
) -> int:
    """Ký báo cáo: người lập, người kiểm tra, rồi thủ trưởng, ba người khác nhau. Sign it: maker, checker, then head, three people.

    After the head's signature the report is frozen: its files are read-only and never written again.

    Examples: `phusong report sign reports/08-2023-06-v1 --as maker --name "Nguyễn Văn A"`.

    Parameters
    ----------
    report
        Any of its files, or their name without an ending.
    role
        maker, checker or head.
    name
        Who signs, in full.
    lang
        Language of what is told (the report keeps its own).
    as_json
        Print where the report stands as JSON.
    """
    from ops.report_files import sign as sign_report
    from ops.report_files import stem

    settings = read_settings()
    try:
        signed = sign_report(report, role, name, settings.as_of(datetime.now(UTC)), lang)
    except TamperedError as error:
        return _changed(error)
    one = signed.report
    if as_json:
        files = _files(stem(report).parent, one.name)
        _print({"report": one.name, "sha256": signed.sha256, "frozen": one.frozen, "signatures": one.signatures, "files": files})
    else:
        print(f"{one.name}: SHA-256 {signed.sha256}")
    if one.frozen:
        say_aside(say(lang, "Đủ ba chữ ký: báo cáo đã khóa.", "All three have signed: the report is frozen."))
    return DONE


@report_app.command
def verify(*reports: Path, out: Path = OUT, lang: Lang = "vi", as_json: Annotated[bool, Parameter("--json")] = False) -> int:
    """Kiểm tra báo cáo có bị sửa không. Whether reports are as they were written and signed; exit code 1 if any is not.

    Examples: `phusong report verify`; `phusong report verify reports/08-2023-06-v1.xlsx`.

    Parameters
    ----------
    reports
        Any file of each (default: every report of the directory).
    out
        The directory of the reports.
    lang
        Language of the text: vi or en.
    as_json
        Print what was found as JSON.
    """
    from rich.text import Text

    from ops.report_files import every
    from ops.report_files import verify as verify_report

    if not reports and not out.is_dir():
        raise SettingsError(f"--out {out}: {say(lang, 'không có thư mục này', 'there is no such directory')}")
    found = [verify_report(one, lang) for one in reports] if reports else every(out, lang)
    if as_json:
        _print(found)
    for one in found:
        if not as_json:
            kept = say(lang, "đã khóa", "frozen") if one.frozen else say(lang, "dự thảo", "draft")
            right = say(lang, "BỊ THAY ĐỔI", "CHANGED") if one.differences else say(lang, "nguyên vẹn", "as written")
            console().print(Text(f"{one.report}: {right} · {kept} · {len(one.signatures)}/3 · SHA-256 {one.sha256 or '–'}"), soft_wrap=True)
        for line in one.differences:
            say_aside(line)
    return DIFFERENCE if any(one.differences for one in found) else DONE


def _changed(error: TamperedError) -> int:
    say_aside(str(error))
    return DIFFERENCE


def _files(directory: Path, name: str) -> list[str]:
    return [str(directory / f"{name}{ending}") for ending in (".html", ".xlsx", ".json")]


def _print(found: Any) -> None:
    import msgspec

    print(json.dumps(msgspec.to_builtins(found, str_keys=True), ensure_ascii=False, indent=1))
