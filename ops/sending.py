"""`phusong send`: files of events and reporters' tables into Kafka.

Comes in: the names of files, and what is said beside them. Goes out: what became of each, on stdout (with --dry-run: its events); bad rows,
notes and trouble on stderr. Owns no state.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from feed.text import Lang, number, say
from ops.terminal import DIFFERENCE, DONE, TROUBLE, WRONG_USE, console, end_on_sigterm, say_aside
from phusong.settings import read_rules, read_settings

if TYPE_CHECKING:
    from producers.files import Sent
    from producers.publisher import Publisher
    from producers.sheets.forms import Forms

_SKIPPED = {
    "total": ("hàng tổng", "rows of sums"),
    "unfilled": ("không điền", "not filled in"),
    "blank": ("hàng trống", "blank rows"),
    "words": ("hàng chữ", "rows of words"),
}


def _is_file(_: object, name: str) -> None:
    if name.startswith("-") and name != "-":
        raise ValueError(f"unknown option; a file of that name is ./{name}")


def send(
    # a lone "-" is standard input; without this it would be an option
    *files: Annotated[str, Parameter(allow_leading_hyphen=True, validator=_is_file)],
    source: str = "",
    indicator: str = "",
    observed_at: str = "",
    method: str = "",
    operator: str = "",
    origin: str = "",
    mapping: Path | None = None,
    sheet: str = "",
    time: str = "",
    dry_run: Annotated[bool, Parameter("--dry-run")] = False,
    lang: Lang = "vi",
) -> int:
    """Gửi biểu mẫu (CSV, XLSX, ODS) hay tệp sự kiện (JSONL) vào Kafka. Send sheets or files of events; bad rows are told, good ones sent.

    What is rejected is written beside the input, as NAME.rejects.EXT, with the reasons in its last column: mend it and send it. Sending a
    file twice changes nothing. The columns: docs/sheets.md; a form to fill in: `phusong template`.

    Examples: `phusong send mang-a.xlsx`; `phusong send rieng.ods --mapping rieng.toml --dry-run`; `cat facts.jsonl | phusong send -`;
    `phusong send t6.csv --source operator-a --indicator telecom.fibre_villages --observed-at 06/2023`.

    Parameters
    ----------
    files
        CSV, XLSX, ODS or JSONL (one CloudEvent a line); `-`: standard input, CSV or JSONL.
    source
        Who reports, for rows that do not say (a row of reporters.csv).
    indicator
        What is counted: id or name, for rows that do not say.
    observed_at
        The day or period that the figures are about, for rows that do not say: 30/06/2023, 06/2023, "quý 2/2023".
    method
        declared, measured or petitioned.
    operator
        Whose service it is about, when that is not the source's own.
    origin
        real, assumed or simulated.
    mapping
        TOML that says which column of a form of your own is what.
    sheet
        Only this sheet of a workbook (default: every one that holds a table).
    time
        When it was said (default: when the file was saved); a correction must be later than what it corrects.
    dry_run
        Print the events on stdout and the rejects on stderr; send and write nothing. Needs no Kafka.
    lang
        Language of the text: vi or en.
    """
    from phusong.admission import Admission
    from producers.publisher import Publisher
    from producers.sheets.forms import FormOptions, Forms, read_mapping

    if not files:
        say_aside(say(lang, "nêu ít nhất một tệp: phusong send FILE…", "name at least one file: phusong send FILE…"))
        return WRONG_USE
    end_on_sigterm()
    settings = read_settings()
    options = FormOptions(
        source=source,
        indicator=indicator,
        observed_at=observed_at,
        method=method,
        operator=operator,
        origin=origin,
        time=time,
        sheet=sheet,
        mapping=read_mapping(str(mapping), lang) if mapping is not None else None,
        mapping_file="" if mapping is None else str(mapping),
    )
    forms = Forms(read_rules(settings.seeds), options, datetime.now(UTC), lang)
    admission = Admission(forms.rules)
    if dry_run:
        try:
            return _each(files, lang, lambda file: _show(file, admission.outgoing, forms))
        except BrokenPipeError:
            # `… | head` has seen enough; what Python still holds goes nowhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return DONE
    with Publisher(settings.kafka(), admission, lambda: datetime.now(UTC)) as publisher:
        code = _each(files, lang, lambda file: _send(file, publisher, forms))
    for failure in publisher.failures:
        say_aside(failure)
    return code


def _each(files: tuple[str, ...], lang: Lang, run: Callable[[str], int]) -> int:
    """The worst exit code; a file that cannot be read does not stop the others, trouble with Kafka does."""
    from producers.sheets.tables import FileError

    worst = DONE
    for file in files:
        try:
            worst = max(worst, run(file))
        except FileError as error:
            say_aside(error.text.of(lang))
            worst = TROUBLE
        except _Stopped:
            return TROUBLE
    return worst


class _Stopped(Exception):  # noqa: N818 - no error: what ends the files that follow
    """The sending was stopped; the other files would fare no better."""


def _send(file: str, publisher: Publisher, forms: Forms) -> int:
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from producers.files import send_file

    is_text = file == "-" or Path(file).suffix.lower() not in (".xlsx", ".xlsm", ".ods")
    rows = (MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    columns = (BarColumn(), *((DownloadColumn(), TransferSpeedColumn()) if is_text else rows), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}"), *columns, console=console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(file, total=None, rate="")

        def progress(count: int) -> None:
            rate = bar.tasks[task].speed
            bar.update(task, completed=count, rate=f"{number(int(rate), forms.lang)}/s" if rate else "")

        sent = send_file(file, publisher, say_aside, progress, forms, lambda total: bar.update(task, total=total or None))
    lang = forms.lang
    print(f"{file}: " + say(lang, *_counts(sent)) + _left_out(dict(sent.skipped), lang), flush=True)
    if sent.rejects:
        say_aside(say(lang, f"sửa rồi gửi lại: {sent.rejects}", f"mend and send again: {sent.rejects}"))
    if sent.trouble:
        say_aside(sent.trouble)
    if sent.stopped:
        raise _Stopped
    if sent.failed or sent.trouble:
        return TROUBLE
    return DIFFERENCE if sent.rejected else DONE


def _counts(sent: Sent) -> tuple[str, str]:
    return (
        f"{sent.acknowledged} đã nhận, {sent.rejected} bị từ chối, {sent.failed} chưa được xác nhận",
        f"{sent.acknowledged} acknowledged, {sent.rejected} rejected, {sent.failed} not acknowledged",
    )


def _left_out(skipped: dict[str, int], lang: Lang) -> str:
    parts = [f"{skipped[kind]} {say(lang, *words)}" for kind, words in _SKIPPED.items() if skipped.get(kind)]
    return f" ({say(lang, 'bỏ qua', 'left out')}: {', '.join(parts)})" if parts else ""


def _show(file: str, outgoing: Callable[..., object], forms: Forms) -> int:
    """A trial: the events on stdout, what would be rejected on stderr."""
    from phusong.events import encode
    from producers.files import Notes, describe, judged, read, remarked

    now_ms = int(forms.now.timestamp() * 1000)
    lang = forms.lang
    events = rejected = 0
    skipped: Counter[str] = Counter()
    notes = Notes()
    for item in remarked(judged(read(file, forms), lambda event: outgoing(event, now_ms)), forms.rules):
        if item.event is not None:
            events += 1
            sys.stdout.buffer.write(encode(item.event) + b"\n")
        elif item.problems:
            rejected += 1
            for line in describe(file, item, lang):
                say_aside(line)
        elif item.skipped is not None and item.number:
            skipped[item.skipped] += 1
        notes.add(file, item, lang)
    sys.stdout.buffer.flush()
    notes.tell(say_aside, lang)
    told = say(lang, f"{events} sự kiện, {rejected} bị từ chối, chưa gửi gì", f"{events} events, {rejected} rejected, nothing was sent")
    say_aside(f"{file}: {told}{_left_out(skipped, lang)}")
    return DIFFERENCE if rejected else DONE
