"""`phusong demo`: the whole pipeline on this machine, with the facts of mid-2023, in one command.

Comes in: the settings; the facts in seeds/facts. Goes out: a real Kafka (or the cluster of PHUSONG_BOOTSTRAP_SERVERS), its topics, the
facts, a worker and a feed as processes of their own, and the province table as the feed serves it. Owns those processes, and with
`--data-dir` a directory that keeps Kafka's data and the scenario clock; else everything is temporary. Whatever fails ends all of it.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from ops import table, topics
from ops.local_kafka import LocalKafka
from ops.table import Json
from phusong.admission import Admission
from phusong.events import Rejected
from phusong.province import Province
from phusong.rows import State
from phusong.rules import Rules
from phusong.settings import PREFIX, Settings, SettingsError, read_rules, read_settings
from producers.files import INTERRUPTED, read_events, send_file
from producers.publisher import Publisher

Report = Callable[[str], None]

START = "2023-06-30T18:00:00+07:00"
"""What the scenario clock shows when the demo starts: the evening of the day that the facts are about."""
_READY_SECONDS_MAX = 60.0
_STOP_SECONDS_MAX = 10.0
_PR_SET_PDEATHSIG = 1


class DemoError(RuntimeError):
    """A part of the demo did not start; the text names it and shows the end of its log."""


class Running:
    """The demo while it runs."""

    def __init__(self, url: str, bootstrap_servers: str, children: dict[str, subprocess.Popen[bytes]], log_dir: Path) -> None:
        self.url = url
        self.bootstrap_servers = bootstrap_servers
        self._children = children
        self._log_dir = log_dir

    def provinces(self) -> list[Json]:
        """The province rows that the feed serves."""
        return table.fetch(self.url, "/api/v1/provinces")

    def gaps(self, row: Json) -> list[Json]:
        """The communes behind the gap of a province row."""
        return table.fetch_gaps(self.url, row)

    def wait(self) -> None:
        """Until Ctrl-C; raises DemoError when a part ends by itself."""
        while True:
            self.check()
            time.sleep(0.5)

    def check(self) -> None:
        """Raises DemoError when a part has ended."""
        for name, child in self._children.items():
            if (code := child.poll()) is not None:
                log = (self._log_dir / f"{name}.log").read_text(errors="replace").splitlines()
                raise DemoError(f"the {name} ended with exit code {code}; the end of its log:\n" + "\n".join(log[-15:]))


@contextmanager
def demo(settings: Settings, data_dir: Path | None, report: Report) -> Iterator[Running]:
    """Start everything, wait until the feed shows every fact, and stop everything at the end. Raises DemoError and what its parts raise."""
    with ExitStack() as stack:
        if data_dir is None:
            data_dir = Path(tempfile.mkdtemp(prefix="phusong-demo-"))
            stack.callback(shutil.rmtree, data_dir, ignore_errors=True)
        data_dir.mkdir(parents=True, exist_ok=True)
        servers = os.environ.get(f"{PREFIX}BOOTSTRAP_SERVERS")
        if servers is None:
            report("Khởi động Kafka… (starting Kafka)")
            servers = stack.enter_context(LocalKafka(data_dir / "kafka", report=report)).bootstrap_servers
        environment = {**os.environ, f"{PREFIX}BOOTSTRAP_SERVERS": servers, **_clock(settings, data_dir)}
        settings = _with(environment)
        if topics.apply(settings, report):
            raise DemoError("the topics could not be created, see above")
        facts = sorted((settings.seeds / "facts").glob("*.jsonl"))
        report("Gửi số liệu mẫu… (sending the facts)")
        rules = read_rules(settings.seeds)
        _send(settings, rules, facts, report)
        report("Khởi động bộ xử lý và trang số liệu… (starting worker and feed)")
        children: dict[str, subprocess.Popen[bytes]] = {}
        address = stack.enter_context(_reading_end(data_dir / "address"))
        for name, command in (("worker", ["worker"]), ("feed", ["feed", "--address-file", str(data_dir / "address")])):
            children[name] = stack.enter_context(child(command, environment, data_dir / f"{name}.log"))
        running = Running("", servers, children, data_dir)
        running.url = _await(running, address, _known(settings, rules, facts))
        yield running


def _with(environment: dict[str, str]) -> Settings:
    given = {name: environment[PREFIX + name.upper()] for name in Settings.model_fields if PREFIX + name.upper() in environment}
    return read_settings(**given)


def _clock(settings: Settings, data_dir: Path) -> dict[str, str]:
    """The scenario clock: what the environment says, else what is kept with the data, else a new one that is then kept."""
    if settings.clock_start is not None:
        return {}
    file = data_dir / "clock.json"
    if not file.exists():
        file.write_text(json.dumps({"start": START, "rate": 1.0, "anchor": datetime.now(UTC).isoformat()}))
    try:
        kept = json.loads(file.read_text())
        return {f"{PREFIX}CLOCK_{name.upper()}": str(kept[name]) for name in ("start", "rate", "anchor")}
    except (ValueError, KeyError) as error:
        raise SettingsError(f"{file}: is not a clock that the demo wrote ({error}); delete it to start a new one") from error


def _send(settings: Settings, rules: Rules, facts: list[Path], report: Report) -> None:
    with Publisher(settings.kafka(), Admission(rules), lambda: datetime.now(UTC)) as publisher:
        for file in facts:
            sent = send_file(str(file), publisher, report, lambda _: None)
            if sent.stopped == INTERRUPTED:
                raise KeyboardInterrupt
            if sent.rejected or sent.failed:
                raise DemoError(f"{file}: {sent.rejected} lines rejected, {sent.failed} not acknowledged")


def _known(settings: Settings, rules: Rules, facts: list[Path]) -> dict[str, int]:
    """Key of each province row of the list in force -> of how many communes the facts let something be known, by the core itself."""
    route = Admission(rules).route
    homes = {home: Province(rules, home) for home in rules.register.homes}
    for file in facts:
        for _, event, _ in read_events(str(file)):
            if not isinstance(event, Rejected):
                where = route(event)
                homes[where.province].apply(where.cell, where.slot, event)
    as_of = settings.as_of(datetime.now(UTC))
    in_force = rules.register.vintage_at(as_of)
    for province in homes.values():
        province.rows(as_of)
    rows = [row for province in homes.values() for row in province.province_rows()]
    return {row.key: row.units[State.FRESH] + row.units[State.STALE] for row in rows if in_force and row.vintage == in_force.id}


@contextmanager
def _reading_end(path: Path) -> Iterator[Path]:
    path.unlink(missing_ok=True)
    yield path
    path.unlink(missing_ok=True)


@contextmanager
def child(command: list[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A `phusong` command as a process of its own: ends with the block, or with this process; its output goes to `log`."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "ops.cli", *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is ours to handle: the feed and the worker stop before Kafka does
            preexec_fn=_end_with_parent,  # noqa: PLW1509 - we have no other threads that hold locks when this forks
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _end_with_parent() -> None:
    # a demo that is killed must not leave a worker behind that waits for its Kafka for ever
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _await(running: Running, address: Path, known: dict[str, int]) -> str:
    """The feed's address, once it shows every province row, and in each of them at least as many communes as the facts are about."""
    deadline = time.monotonic() + _READY_SECONDS_MAX
    while time.monotonic() < deadline:
        running.check()
        time.sleep(0.1)
        try:
            running.url = address.read_text().strip()
            with urllib.request.urlopen(f"{running.url}/readyz", timeout=5):  # noqa: S310 - our own child
                rows = running.provinces()
        except (OSError, ValueError, urllib.error.URLError, table.FeedUnreachableError):
            continue
        shown = {f"{row['vintage']}/{row['province']}/{row['indicator']}": table.known(row) for row in rows}
        if all(shown.get(key, -1) >= communes for key, communes in known.items()):
            return running.url
    raise DemoError(f"after {_READY_SECONDS_MAX:.0f} s the feed does not show the facts yet; is this machine very busy?")
