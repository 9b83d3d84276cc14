"""The `phusong` command: each subcommand does one thing that an operator would name.

Comes in: arguments and `PHUSONG_*`. Goes out: results on stdout, everything else on stderr. Owns no state.
Exit codes: 0 done, 1 found a difference or rejected input, 2 wrong use, 3 broker, set-up or I/O trouble.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter

from feed.text import Lang, say
from ops.acknowledging import ack
from ops.chasing import chase
from ops.dead_letters import app as dead_letters_app
from ops.gateway import gateway
from ops.keys import keys_app
from ops.notifying import notify
from ops.reporting import report_app
from ops.sending import send
from ops.simulation import simulate
from ops.template import template
from ops.terminal import (
    DIFFERENCE,
    DONE,
    INTERRUPTED,
    TROUBLE,
    WRONG_USE,
    console,
    end_on_sigterm,
    print_found,
    reading_bar,
    say_aside,
    serving,
)
from phusong.settings import PREFIX, SettingsError, address, read_rules, read_settings

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
        "  phusong send mang-a.xlsx      send a sheet or a file of events\n\n"
        "  phusong explain 02275 postal.staffed_point   why that commune counts as it does\n\n"
        "Exit codes: 0 done, 1 found a difference or rejected input, 2 wrong use, 3 broker, set-up or I/O trouble."
    ),
    version_flags=["--version"],
    default_parameter=Parameter(negative=""),
)
topics_app = App(name="topics", help="The topics on the broker, beside the table in phusong/topics.py.")
config_app = App(name="config", help="What is set by PHUSONG_* and by the rows in seeds/.")
app.command(topics_app)
app.command(config_app)
register_app = App(
    name="register", help="Danh mục xã và số dân, số hộ, số thôn. The rows in seeds/: which communes exist, and their counts."
)
app.command(register_app)
app.command(send)
app.command(simulate)
app.command(template)
app.command(gateway)
app.command(keys_app)
app.command(dead_letters_app)
app.command(chase)
app.command(ack)
app.command(notify)
app.command(report_app)


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
    end_on_sigterm()
    try:
        with run_demo(settings, data_dir, say_aside) as running:
            _print_rows(running.provinces(), running.gaps, as_json=as_json)
            if not once:
                say_aside(f"\nMở trang (open): {running.url}/   chỉ số (metrics): {running.url}/metrics   dừng (stop): Ctrl-C")
                say_aside(f"Gửi thử (try sending): {PREFIX}BOOTSTRAP_SERVERS={running.bootstrap_servers} phusong send …")
                running.wait()
    except KeyboardInterrupt:
        say_aside("Đã dừng. (stopped)")
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
    from ops.table import fetch, fetch_gaps

    where = url or _feed_url()
    _print_rows(fetch(where, "/api/v1/provinces"), lambda row: fetch_gaps(where, row), as_json=as_json)
    return DONE


@app.command
def plan(
    indicator: str,
    /,
    *,
    province: str | None = None,
    lang: Lang = "vi",
    as_json: Annotated[bool, Parameter("--json")] = False,
    url: str | None = None,
) -> int:
    """Ít xã, ít thôn nhất cần phủ để đạt chỉ tiêu. The fewest communes and villages that would close the gap to the target.

    Examples: `phusong plan telecom.mobile_signal_villages --province 08`; `phusong plan postal.staffed_point --json`.

    Parameters
    ----------
    indicator
        As in `phusong status`, for example postal.staffed_point.
    province
        Code of the province (default: every one that the feed shows).
    lang
        Language of the text: vi or en.
    as_json
        Print the plans as JSON.
    url
        Where the feed is (default: PHUSONG_BIND and PHUSONG_FEED_PORT).
    """
    from ops.plan import as_json as plain
    from ops.plan import describe, fetch_plans

    found = fetch_plans(url or _feed_url(), indicator, province)
    if as_json:
        print(json.dumps([plain(row, one) for row, one in found], ensure_ascii=False, indent=1))
    else:
        print("\n\n".join("\n".join(describe(row, one, lang)) for row, one in found))
    return DONE


@app.command
def explain(
    commune: str,
    indicator: str,
    /,
    *,
    vintage: str | None = None,
    as_of: str | None = None,
    lang: Lang = "vi",
    as_json: Annotated[bool, Parameter("--json")] = False,
) -> int:
    """Vì sao xã này được tính như vậy? Why does this commune count as it does: every statement, who decided, what would change it.

    Reads the log, so it needs Kafka and no worker.

    Examples: `phusong explain 02275 postal.staffed_point`; `phusong explain 02239 telecom.mobile_signal_villages --as-of 2023-06-30`.

    Parameters
    ----------
    commune
        Its code, five digits.
    indicator
        As in `phusong status`.
    vintage
        The list of communes (default: the one in force).
    as_of
        A day (its end) or a moment: what is now known to have been then, nothing that was observed later (default: now).
    lang
        Language of the text: vi or en.
    as_json
        Print all of it as JSON, with topic, partition and offset of each statement, those that lost too.
    """
    from ops import asked
    from ops.explain import describe
    from ops.explain import explain as run_explain
    from ops.letters import printable

    settings = read_settings()
    rules = read_rules(settings.seeds)
    at = settings.as_of(datetime.now(UTC)) if as_of is None else asked.moment(as_of)
    listed = asked.vintage(rules.register, vintage) if vintage else asked.vintage_at(rules.register, at)
    unit, about = asked.unit(rules.register, listed, commune), asked.indicator(rules.catalogue, indicator)
    with reading_bar(lang) as tell:
        found = run_explain(settings, rules, unit, about, at, tell, then=as_of is not None)
    print_found(found, lambda: map(printable, describe(found, lang)), as_json=as_json)
    return DONE


@app.command
def replay(*, as_of: str, lang: Lang = "vi", as_json: Annotated[bool, Parameter("--json")] = False) -> int:
    """Bảng của tỉnh tại một thời điểm: lúc đó đã biết gì, và nay biết lúc đó ra sao. The province table at a moment, two ways.

    As it was known then, and as it is now known to have been then: late reports and corrections make the difference.

    Examples: `phusong replay --as-of 2023-06-30`; `phusong replay --as-of 2023-07-05T09:00+07:00 --json`.

    Parameters
    ----------
    as_of
        A day (its end) or a moment, of Vietnam where no offset is given.
    lang
        Language of the text: vi or en.
    as_json
        Print both tables as JSON.
    """
    from ops import asked
    from ops.replay import replay as run_replay
    from ops.replay import show

    settings = read_settings()
    rules = read_rules(settings.seeds)
    at = asked.moment(as_of)
    with reading_bar(lang) as tell:
        found = run_replay(settings, rules, at, tell)
    if as_json:
        print_found(found, list, as_json=True)
    else:
        show(console(), found, lang)
    return DONE


@app.command
def audit(*, lang: Lang = "vi", as_json: Annotated[bool, Parameter("--json")] = False) -> int:
    """Tính lại mọi thứ từ nhật ký gốc và so với mọi điều đã công bố. Recompute everything from the log, compare with all that is published.

    Exit code 1 on any difference. Safe on a running system: it only reads, and waits for workers that are a little behind.

    Examples: `phusong audit`; `phusong audit --json | jq .differences`.

    Parameters
    ----------
    lang
        Language of the text: vi or en.
    as_json
        Print what was compared and every difference as JSON.
    """
    from ops.audit import audit as run_audit
    from ops.audit import describe

    settings = read_settings()
    rules = read_rules(settings.seeds)
    with reading_bar(lang) as tell:
        found = run_audit(settings, rules, tell, say_aside, lang)
    print_found(found, lambda: describe(found, lang), as_json=as_json)
    return DONE if found.clean else DIFFERENCE


@app.command
def worker() -> int:
    """Chạy một bộ xử lý. Run a worker until SIGTERM; start as many as there are machines, they share the work."""
    from ops.topics import check
    from streams.app import run

    settings = read_settings()
    rules = read_rules(settings.seeds)
    if check(settings, say_aside):
        say_aside("the topics are not as they must be, see above; nothing was read")
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
    from feed.server import run

    settings = read_settings()
    return run(settings, read_rules(settings.seeds), serving("feed", address_file))


@topics_app.command(name="apply")
def topics_apply() -> int:
    """Create what is missing and set what differs; a changed number of partitions is refused."""
    from ops.topics import apply

    return apply(read_settings(), say_aside)


@topics_app.command(name="check")
def topics_check() -> int:
    """Tell what differs, change nothing; exit code 1 if anything does."""
    from ops.topics import check

    code = check(read_settings(), say_aside)
    if code == DONE:
        say_aside("every topic is as the table says")
    return code


@config_app.command(name="check")
def config_check() -> int:
    """Name every misspelt key, wrong value and broken seed row; exit code 1 if there is any."""
    from ops.config import check

    try:
        print(check(read_settings()))
    except SettingsError as error:
        say_aside(str(error))
        return DIFFERENCE
    return DONE


@config_app.command(name="record")
def config_record() -> int:
    """Give changed rows (or changed software) a new number in rules.toml, so that workers tell the rules apart."""
    from ops.config import record

    print(f"rules {record(read_settings().seeds)}")
    return DONE


@register_app.command(name="check")
def register_check(directory: Path | None = None, /, *, lang: Lang = "vi", as_json: Annotated[bool, Parameter("--json")] = False) -> int:
    """Nêu từng dòng mâu thuẫn trong seeds/. Name every row that contradicts another; exit code 1 if any is an error (notes may be meant).

    Examples: `phusong register check`; `phusong register check ./my-seeds --lang en`.

    Parameters
    ----------
    directory
        Which seeds (default: PHUSONG_SEEDS).
    lang
        Language of the text: vi or en.
    as_json
        Print the findings as JSON.
    """
    import msgspec

    from ops.seed_checks import Level, check

    seeds = directory or read_settings().seeds
    found = check(seeds)
    errors = sum(one.level is Level.ERROR for one in found)
    if as_json:
        print(json.dumps(msgspec.to_builtins(found), ensure_ascii=False, indent=1))
    else:
        words = {Level.ERROR: say(lang, "lỗi", "error"), Level.NOTE: say(lang, "lưu ý", "note")}
        for one in found:
            say_aside(f"{words[one.level]}: {seeds}/{one.text(lang)}")
        print(say(lang, f"{seeds}: {errors} lỗi, {len(found) - errors} lưu ý", f"{seeds}: errors: {errors}, notes: {len(found) - errors}"))
    return DIFFERENCE if errors else DONE


@register_app.command(name="diff")
def register_diff(one: str, other: str, /, *, lang: Lang = "vi", as_json: Annotated[bool, Parameter("--json")] = False) -> int:
    """Xã nào hợp nhất, chia, đổi tên, đổi mã, mã nào dùng lại. What became of which commune between two lists.

    Examples: `phusong register diff 2024-09-01 2025-07-01`; `phusong register diff 2020-01-01 2025-07-01 --json`.

    Parameters
    ----------
    one
        A list of communes, as in vintages.csv.
    other
        Another list.
    lang
        Language of the text: vi or en.
    as_json
        Print the differences as JSON.
    """
    import msgspec

    from ops.register import describe, diff

    register = read_rules(read_settings().seeds).register
    found = diff(register, one, other)
    print(json.dumps(msgspec.to_builtins(found), ensure_ascii=False, indent=1) if as_json else "\n".join(describe(register, found, lang)))
    return DONE


@register_app.command(name="import")
def register_import(file: Path, /, *, mapping: Path, into: Path, lang: Lang = "vi") -> int:
    """Đưa số dân, số hộ, số thôn thật vào một bản sao của seeds/. Put real counts into an own copy of seeds/; see docs/register.md.

    Rows that cannot be taken are told, the others taken; exit code 1 if there is any.

    Example: `phusong register import census.csv --mapping census.toml --into ./my-seeds`.

    Parameters
    ----------
    file
        CSV with a row for each commune.
    mapping
        TOML that says which of its columns is what.
    into
        The copy of seeds/ whose bases.csv is written.
    lang
        Language of the text: vi or en.
    """
    from ops.counts import describe, import_counts

    found = import_counts(file, mapping, into, lang)
    for problem in found.bad:
        say_aside(problem)
    print("\n".join(describe(found, into, lang)))
    return DIFFERENCE if found.bad else DONE


def _feed_url() -> str:
    settings = read_settings()
    return address(settings.bind, settings.feed_port)


def _print_rows(provinces: list[dict[str, object]], gaps: Callable[[dict[str, object]], list[dict[str, object]]], *, as_json: bool) -> None:
    from ops.table import show

    if as_json:
        print(json.dumps(provinces, ensure_ascii=False, indent=1), flush=True)
    else:
        show(console(), provinces, gaps)


def _trouble_types() -> tuple[type[Exception], ...]:
    from confluent_kafka import KafkaException

    from feed.reading import ReadingError
    from ops.demo import DemoError
    from ops.local_kafka import LocalKafkaError
    from ops.table import FeedUnreachableError
    from producers.publisher import PublishError

    return (DemoError, LocalKafkaError, FeedUnreachableError, PublishError, ReadingError, KafkaException, OSError)


def main(arguments: list[str] | None = None) -> None:
    """The entry point; raises SystemExit with the exit code."""
    try:
        code = app(arguments, exit_on_error=False, result_action="return_value")
    except CycloptsError:
        code = WRONG_USE
    except SettingsError as error:
        say_aside(str(error))
        code = WRONG_USE
    except KeyboardInterrupt:
        code = INTERRUPTED
    except SystemError as error:
        # Ctrl-C inside a call into the Kafka client: it loses what is raised there
        if not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        code = INTERRUPTED
    except Exception as error:
        if not isinstance(error, _trouble_types()):
            raise
        say_aside(str(error))
        code = TROUBLE
    raise SystemExit(code)


if __name__ == "__main__":
    main()
