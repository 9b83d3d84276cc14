"""`phusong send`: files of events into Kafka.

Comes in: the names of files. Goes out: what became of each, on stdout; bad lines and trouble on stderr. Owns no state.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from ops.terminal import DIFFERENCE, DONE, TROUBLE, console, say_aside
from phusong.settings import read_rules, read_settings


def send(file: str, /) -> int:
    """Gửi một tệp sự kiện vào Kafka. Send a file of events into Kafka; bad lines are told, good ones sent.

    Examples: `phusong send facts.jsonl`; `cat facts.jsonl | phusong send -`.

    Parameters
    ----------
    file
        JSONL: one CloudEvent a line; `-` for standard input.
    """
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from phusong.admission import Admission
    from producers.files import STANDARD_INPUT, send_file
    from producers.publisher import Publisher

    settings = read_settings()
    admission = Admission(read_rules(settings.seeds))
    total = Path(file).stat().st_size if file != STANDARD_INPUT and Path(file).is_file() else None
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with (
        Publisher(settings.bootstrap_servers, admission, lambda: datetime.now(UTC)) as publisher,
        Progress(*columns, console=console(stderr=True), disable=not sys.stderr.isatty()) as progress,
    ):
        task = progress.add_task(file, total=total)
        sent = send_file(file, publisher, say_aside, lambda count: progress.update(task, completed=count))
    print(f"{file}: {sent.acknowledged} acknowledged, {sent.rejected} rejected, {sent.failed} not acknowledged")
    for failure in publisher.failures:
        say_aside(failure)
    if sent.stopped or sent.failed:
        return TROUBLE
    return DIFFERENCE if sent.rejected else DONE
