"""The `phusong` command: each subcommand does one thing that an operator would name.

Comes in: arguments and `PHUSONG_*`. Goes out: results on stdout, everything else on stderr. Owns no state.
Exit codes: 0 done, 1 found a difference or rejected input, 2 wrong use, 3 broker, set-up or I/O trouble.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter
from rich.console import Console

from phusong.settings import SettingsError, read_rules, read_settings

DONE, DIFFERENCE, WRONG_USE, TROUBLE = 0, 1, 2, 3

app = App(
    name="phusong",
    help=(
        "Phủ sóng: tỷ lệ phủ sóng viễn thông, phát thanh - truyền hình, bưu chính của tỉnh, và những xã còn thiếu.\n\n"
        "Coverage of telecom, broadcast and post in a province: how sure the ratio is, and which communes are missing."
    ),
    help_epilogue=(
        "Ví dụ (examples):\n\n"
        "  phusong demo                  everything on this machine, with the facts of mid-2023\n\n"
        "  phusong demo --once --json    the province rows as JSON, then stop\n\n"
        "  phusong topics apply          create the topics on PHUSONG_BOOTSTRAP_SERVERS\n\n"
        "  phusong send facts.jsonl      send a file of events\n\n"
        "Exit codes: 0 done, 1 found a difference or rejected input, 2 wrong use, 3 broker, set-up or I/O trouble."
    ),
    version_flags=["--version"],
    default_parameter=Parameter(negative=""),
)
topics_app = App(name="topics", help="The topics on the broker, beside the table in phusong/topics.py.")
config_app = App(name="config", help="What is set by PHUSONG_* and by the rows in seeds/.")
app.command(topics_app)
app.command(config_app)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _console(*, stderr: bool = False) -> Console:
    console = Console(stderr=stderr, highlight=False)
    # a pipe has no width: wide enough that no figure is cut
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, width=160)


@app.command
def demo(*, once: bool = False, as_json: Annotated[bool, Parameter("--json")] = False, data_dir: Path | None = None) -> int:
    """Chạy thử toàn bộ hệ thống với số liệu giữa năm 2023. The whole pipeline on this machine, with the facts of mid-2023.

    Starts a real Kafka (or uses PHUSONG_BOOTSTRAP_SERVERS), a worker and the feed; runs until Ctrl-C.

    Examples: `phusong demo`; `phusong demo --once --json | jq '.[].ratio'`; `phusong demo --data-dir ./data`.

    Parameters
    ----------
    once
        Print the table and stop.
    as_json
        Print the province rows as JSON on stdout.
    data_dir
        Keep Kafka's data and the scenario clock here (default: temporary).
    """
    from ops.demo import demo as run_demo

    settings = read_settings()
    _end_on_sigterm()
    try:
        with run_demo(settings, data_dir, _say) as running:
            _print_rows(running.provinces(), running.gaps, as_json=as_json)
            if not once:
                _say(f"\nMở trang (open): {running.url}/   chỉ số (metrics): {running.url}/metrics   dừng (stop): Ctrl-C")
                running.wait()
    except KeyboardInterrupt:
        _say("Đã dừng. (stopped)")
    return DONE


@app.command
def status(*, as_json: Annotated[bool, Parameter("--json")] = False, url: str | None = None) -> int:
    """Bảng tỷ lệ của tỉnh, từ hệ thống đang chạy. The province table of a running system.

    Examples: `phusong status`; `phusong status --json --url http://127.0.0.1:8600`.

    Parameters
    ----------
    as_json
        Print the province rows as JSON.
    url
        Where the feed is (default: PHUSONG_BIND and PHUSONG_FEED_PORT).
    """
    from ops.table import fetch

    settings = read_settings()
    where = url or f"http://{'127.0.0.1' if settings.bind in ('0.0.0.0', '::') else settings.bind}:{settings.feed_port}"  # noqa: S104
    _print_rows(fetch(where, "/api/v1/provinces"), lambda: fetch(where, "/api/v1/gaps"), as_json=as_json)
    return DONE


@app.command
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
        Progress(*columns, console=_console(stderr=True), disable=not sys.stderr.isatty()) as progress,
    ):
        task = progress.add_task(file, total=total)
        sent = send_file(file, publisher, _say, lambda count: progress.update(task, completed=count))
    print(f"{file}: {sent.acknowledged} acknowledged, {sent.rejected} rejected, {sent.failed} not acknowledged")
    for failure in publisher.failures:
        _say(failure)
    if sent.stopped or sent.failed:
        return TROUBLE
    return DIFFERENCE if sent.rejected else DONE


@app.command
def worker() -> int:
    """Chạy một bộ xử lý. Run a worker until SIGTERM; start as many as there are machines, they share the work."""
    from ops.topics import check
    from streams.app import run

    settings = read_settings()
    rules = read_rules(settings.seeds)
    if check(settings, _say):
        _say("the topics are not as they must be, see above; nothing was read")
        return TROUBLE
    run(settings, rules)
    return DONE


@app.command
def feed(*, address_file: Path | None = None) -> int:
    """Chạy phía đọc: số liệu cho Prometheus và IOC. Serve /metrics and /api/v1 until SIGTERM.

    Parameters
    ----------
    address_file
        Write the address here once requests are taken (with PHUSONG_FEED_PORT=0 the port is any free one).
    """
    from feed.api import run

    settings = read_settings()

    def ready(url: str) -> None:
        _say(f"feed: {url}")
        if address_file is not None:
            part = address_file.with_suffix(".part")
            part.write_text(url)
            part.replace(address_file)

    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    return run(settings, read_rules(settings.seeds), ready)


@topics_app.command(name="apply")
def topics_apply() -> int:
    """Create what is missing and set what differs; a changed number of partitions is refused."""
    from ops.topics import apply

    return apply(read_settings(), _say)


@topics_app.command(name="check")
def topics_check() -> int:
    """Tell what differs, change nothing; exit code 1 if anything does."""
    from ops.topics import check

    code = check(read_settings(), _say)
    if code == DONE:
        _say("every topic is as the table says")
    return code


@config_app.command(name="check")
def config_check() -> int:
    """Name every misspelt key, wrong value and broken seed row; exit code 1 if there is any."""
    from ops.config import check

    try:
        print(check(read_settings()))
    except SettingsError as error:
        _say(str(error))
        return DIFFERENCE
    return DONE


@config_app.command(name="record")
def config_record() -> int:
    """Give changed rows (or changed software) a new number in rules.toml, so that workers tell the rules apart."""
    from ops.config import record

    print(f"rules {record(read_settings().seeds)}")
    return DONE


def _print_rows(provinces: list[dict[str, object]], gaps: Callable[[], list[dict[str, object]]], *, as_json: bool) -> None:
    from ops.table import show

    if as_json:
        print(json.dumps(provinces, ensure_ascii=False, indent=1), flush=True)
    else:
        show(_console(), provinces, gaps())


def _end_on_sigterm() -> None:
    def end(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)


def _trouble_types() -> tuple[type[Exception], ...]:
    from confluent_kafka import KafkaException

    from ops.demo import DemoError
    from ops.local_kafka import LocalKafkaError
    from ops.table import FeedUnreachableError
    from producers.publisher import PublishError

    return (DemoError, LocalKafkaError, FeedUnreachableError, PublishError, KafkaException, OSError)


def main(arguments: list[str] | None = None) -> None:
    """The entry point; raises SystemExit with the exit code."""
    try:
        code = app(arguments, exit_on_error=False, result_action="return_value")
    except CycloptsError:
        code = WRONG_USE
    except SettingsError as error:
        _say(str(error))
        code = WRONG_USE
    except KeyboardInterrupt:
        code = 130
    except Exception as error:
        if not isinstance(error, _trouble_types()):
            raise
        _say(str(error))
        code = TROUBLE
    raise SystemExit(code)


if __name__ == "__main__":
    main()
