"""How fast `phusong send` is, each against the bare library doing the same: `make -s bench NAME=send`.

Comes in: nothing but the sizes (`--rows`, `--runs`, `--large`). Goes out: one JSON object on stdout, progress on stderr. Owns a broker and
the files in a temporary directory. A row that is rejected, or an event that is not acknowledged, ends the bench: then there is no figure.

The lanes take turns; each figure is the median of its runs. `csv_rows_per_s` and `xlsx_rows_per_s`: `producers.files.send_file`, from the
opening of the file to the last acknowledgement. Their floors: `csv_read_rows_per_s` (Python's csv reading the same file and doing nothing
with it), `xlsx_read_rows_per_s` (calamine alone), `produce_events_per_s` (a bare producer with the same values, acknowledged).
`csv_peak_mib`: the largest resident size of a process that reads a file of a million rows through and sends it.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from python_calamine import load_workbook
from xlsxwriter import Workbook

from bench.world import INDICATORS, PROVINCE, START, BenchError, child_environment, cluster, producer, say, tell
from phusong.admission import Admission
from phusong.rules import Rules
from phusong.settings import Settings, read_rules, read_settings
from phusong.topics import SOURCES
from producers.files import judged, read, send_file
from producers.publisher import Publisher
from producers.sheets.forms import FormOptions, Forms

ROWS = 100_000
RUNS = 5
LARGE_ROWS = 1_000_000
_HEADINGS = ("Mã xã", "Tên xã", "Chỉ tiêu", "Ngày số liệu", "Tổng số", "Đã phủ", "Thôn chưa phủ")
_SOURCE = "operator-a"
_VILLAGES = ("Bản Lãm", "Nà Tạng", "Tát Kẻ")
Line = tuple[str, str, str, str, int, int, str]


def lines(rules: Rules, count: int) -> Any:
    """That many rows: every commune and indicator of telecom, month after month; every fifth row names villages."""
    units = list(rules.register.units.values())
    names = INDICATORS["telecom"]
    for number in range(count):
        unit = units[number % len(units)]
        name = names[number // len(units) % len(names)]
        day = START + timedelta(days=number // len(units) // len(names))
        gap = number % 3
        villages = "; ".join(_VILLAGES[:gap]) if number % 5 == 0 else ""
        yield (unit.code, unit.name, name, f"{day:%d/%m/%Y}", 6 + number % 9, 6 + number % 9 - gap, villages)


def write_csv(path: Path, rules: Rules, count: int) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_HEADINGS)
        writer.writerows(lines(rules, count))


def write_xlsx(path: Path, rules: Rules, count: int) -> None:
    with Workbook(str(path), {"constant_memory": True}) as book:
        page = book.add_worksheet()
        for number, row in enumerate([_HEADINGS, *lines(rules, count)]):
            page.write_row(number, 0, row)


def sent(settings: Settings, rules: Rules, path: Path, rows: int) -> float:
    """Rows a second through `send_file`."""
    forms = Forms(rules, FormOptions(source=_SOURCE), datetime.now(UTC))
    problems: list[str] = []
    with Publisher(settings.kafka(), Admission(rules), lambda: datetime.now(UTC)) as publisher:
        began = time.perf_counter()
        found = send_file(str(path), publisher, problems.append, lambda _: None, forms)
        took = time.perf_counter() - began
    if (found.acknowledged, found.rejected, found.stopped) != (rows, 0, ""):
        raise BenchError(f"{path.name}: {found}; {problems[:3]}")
    return rows / took


def csv_read(path: Path, rows: int) -> float:
    began = time.perf_counter()
    with path.open(encoding="utf-8", newline="") as file:
        read_rows = sum(1 for _ in csv.reader(file))
    if read_rows != rows + 1:
        raise BenchError(f"{path.name}: {read_rows} rows")
    return rows / (time.perf_counter() - began)


def xlsx_read(path: Path, rows: int) -> float:
    began = time.perf_counter()
    read_rows = sum(1 for _ in load_workbook(str(path)).get_sheet_by_index(0).iter_rows())
    if read_rows != rows + 1:
        raise BenchError(f"{path.name}: {read_rows} rows")
    return rows / (time.perf_counter() - began)


def produced(settings: Settings, values: list[bytes]) -> float:
    """Events a second through a bare producer, acknowledged."""
    sending = producer(settings)
    sending.list_topics(timeout=10)
    headers, topic, key = [("content-type", b"application/cloudevents+json")], SOURCES["telecom"].name, PROVINCE.encode()
    acknowledged = 0

    def report(error: object, _: object) -> None:
        nonlocal acknowledged
        acknowledged += error is None

    began = time.perf_counter()
    for value in values:
        while True:
            try:
                sending.produce(topic, value, key, headers=headers, on_delivery=report)
                break
            except BufferError:
                sending.poll(0.1)
        sending.poll(0)
    sending.flush(60)
    took = time.perf_counter() - began
    if acknowledged != len(values):
        raise BenchError(f"{len(values) - acknowledged} events were not acknowledged")
    return len(values) / took


def bench(rows: int, runs: int, large: int) -> dict[str, Any]:
    """Write the files, let the lanes take turns, then send the large file in a process of its own."""
    with cluster() as (directory, settings):
        rules = read_rules(settings.seeds)
        text, book, big = directory / "rows.csv", directory / "rows.xlsx", directory / "large.csv"
        say(f"writing {rows:,} rows as CSV and XLSX, {large:,} as CSV")
        write_csv(text, rules, rows)
        write_xlsx(book, rules, rows)
        write_csv(big, rules, large)
        admission, values = Admission(rules), []
        now_ms = int(time.time() * 1000)
        forms = Forms(rules, FormOptions(source=_SOURCE), datetime.now(UTC))
        for _ in judged(read(str(text), forms), lambda event: values.append(admission.outgoing(event, now_ms)[0])):
            pass
        lanes: dict[str, Callable[[], float]] = {
            "csv_rows_per_s": lambda: sent(settings, rules, text, rows),
            "xlsx_rows_per_s": lambda: sent(settings, rules, book, rows),
            "csv_read_rows_per_s": lambda: csv_read(text, rows),
            "xlsx_read_rows_per_s": lambda: xlsx_read(book, rows),
            "produce_events_per_s": lambda: produced(settings, values),
        }
        found: dict[str, list[float]] = {name: [] for name in lanes}
        for number in range(runs):
            for name, lane in lanes.items():
                found[name].append(lane())
                say(f"  {number + 1}/{runs} {name}: {found[name][-1]:,.0f}")
        say(f"sending {large:,} rows")
        command = [sys.executable, "-m", "bench.send", "--peak", str(big), "--rows", str(large)]
        peak = subprocess.run(command, env=child_environment(settings), capture_output=True, text=True, check=False)
        if peak.returncode:
            raise BenchError(f"the large file was not sent:\n{peak.stderr[-2000:]}")
    return {
        **{name: round(statistics.median(figures)) for name, figures in found.items()},
        "csv_peak_mib": int(peak.stdout),
        "rows": rows,
        "large_rows": large,
        "runs": {name: [round(figure) for figure in figures] for name, figures in found.items()},
    }


def peak_mib(path: Path, rows: int) -> int:
    """The largest resident size, in MiB, of this process after it has sent a file."""
    settings = read_settings()
    sent(settings, read_rules(settings.seeds), path, rows)
    # not getrusage: that begins with the peak of the process that started this one
    status = Path("/proc/self/status").read_text("ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) >> 10


def main() -> int:
    """Returns the exit code, see `world.tell`."""
    options = argparse.ArgumentParser(prog="python -m bench.send", description="How fast `phusong send` is.")
    options.add_argument("--rows", type=int, default=ROWS, help="rows of the CSV and XLSX files (default: %(default)s)")
    options.add_argument("--runs", type=int, default=RUNS, help="turns of each lane (default: %(default)s)")
    options.add_argument("--large", type=int, default=LARGE_ROWS, help="rows of the file whose memory is measured (default: %(default)s)")
    options.add_argument("--peak", type=Path, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.peak is not None:
        print(peak_mib(given.peak, given.rows))
        return 0
    return tell(lambda: bench(given.rows, given.runs, given.large))


if __name__ == "__main__":
    raise SystemExit(main())
