"""The shipped rules over a recorded history: what Prometheus would have fired, and from when to when.

Comes in: dashboards.alerts' rules, an OpenMetrics file. Goes out: `Episode`s. Owns a Prometheus with its data in a directory that the
caller removes. Prometheus itself answers every expression, at every step of the year; what it does with the answers (`for`,
`keep_firing_for`) is `episodes`, tested against promtool.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from bench.world import BenchError, end_of
from dashboards.alerts import prometheus_rules

Labels = tuple[tuple[str, str], ...]
"""Name and value of each label, by name."""

PROMETHEUS, PROMTOOL = "prometheus", "promtool"
"""The Debian package puts both on the path."""

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}
_METRIC = re.compile(r"\b(?:coverage_\w+|phusong_\w+|up)\b(?=\s*[\[{)\s]|$)")
_READY_SECONDS_MAX = 60.0
_QUERY_SECONDS_MAX = 300.0
_BLOCK = "24000h"
"""One block for all: promtool reads the whole file again for each."""


class Rule(Struct, frozen=True):
    """An alerting rule as shipped."""

    name: str
    expr: str
    hold: timedelta
    """`for`"""
    keep: timedelta
    """`keep_firing_for`"""
    labels: dict[str, str]

    @property
    def metrics(self) -> set[str]:
        """The names of the series that it asks for."""
        return metrics_of(self.expr)


class Episode(Struct, frozen=True):
    """An alert that fired from `start` until `end` (exclusive); None: it was still firing when the history ended."""

    name: str
    labels: dict[str, str]
    start: datetime
    end: datetime | None


def metrics_of(expr: str) -> set[str]:
    """The names of our series in an expression; what stands in quotes is no name."""
    return set(_METRIC.findall(re.sub(r'"[^"]*"', '""', expr)))


def shipped() -> list[Rule]:
    """The alerting rules that Prometheus loads."""
    return [
        Rule(
            name=one["alert"],
            expr=one["expr"],
            hold=duration(one.get("for", "0s")),
            keep=duration(one.get("keep_firing_for", "0s")),
            labels=dict(one.get("labels", {})),
        )
        for group in prometheus_rules()["groups"]
        for one in group["rules"]
        if "alert" in one
    ]


def duration(text: str) -> timedelta:
    """What Prometheus understands by `1h30m`. Raises ValueError on anything else."""
    parts = re.findall(r"(\d+)(ms|[smhdwy])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is no duration")
    return timedelta(seconds=sum(int(number) * _UNITS[unit] for number, unit in parts))


def episodes(rule: Rule, active: Mapping[Labels, Collection[datetime]], moments: Sequence[datetime]) -> list[Episode]:
    """When a rule that is evaluated at `moments` fires, given at which of them its expression has a series with these labels.

    As Prometheus does it: pending from the first moment; firing at the first that is `hold` after that one; after its expression has
    nothing more, firing goes on until the first moment that is `keep` after the first one without.
    """
    found: list[Episode] = []
    for labels, times in active.items():
        there = set(times)
        since: datetime | None = None
        fired: datetime | None = None
        kept: datetime | None = None
        for moment in moments:
            if moment in there:
                kept = None
                since = since or moment
                if fired is None and moment - since >= rule.hold:
                    fired = moment
                continue
            if fired is not None and rule.keep:
                kept = kept or moment
                if moment - kept < rule.keep:
                    continue
            if fired is not None:
                found.append(Episode(rule.name, _labelled(rule, labels), fired, moment))
            since = fired = kept = None
        if fired is not None:
            found.append(Episode(rule.name, _labelled(rule, labels), fired, None))
    return sorted(found, key=lambda one: (one.start, sorted(one.labels.items())))


def _labelled(rule: Rule, labels: Labels) -> dict[str, str]:
    """The series' labels and the rule's; a template in these is only known by what it names."""
    templated = {name: _filled(value, dict(labels)) for name, value in rule.labels.items()}
    return {**dict(labels), **templated}


def _filled(value: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"\{\{\s*\$labels\.(\w+)\s*\}\}", lambda match: labels.get(match[1], ""), value)


class Prometheus:
    """A running Prometheus."""

    def __init__(self, url: str) -> None:
        self._url = url

    def range(self, expr: str, start: datetime, end: datetime, step: timedelta) -> dict[Labels, list[datetime]]:
        """At which steps an expression has a series, by its labels. Raises BenchError with Prometheus' own words."""
        asked = {"query": expr, "start": f"{start.timestamp():.0f}", "end": f"{end.timestamp():.0f}", "step": f"{step.total_seconds():.0f}"}
        found: dict[Labels, list[datetime]] = {}
        for one in self.get("query_range", asked)["result"]:
            labels = tuple(sorted((name, value) for name, value in one["metric"].items() if name != "__name__"))
            found.setdefault(labels, []).extend(datetime.fromtimestamp(float(at), UTC) for at, _ in one["values"])
        return found

    def ask(self, expr: str) -> list[dict[str, Any]]:
        """The samples of an instant query."""
        found: list[dict[str, Any]] = self.get("query", {"query": expr})["result"]
        return found

    def get(self, what: str, asked: Mapping[str, str]) -> Any:
        """The data of an answer of its API. Raises BenchError."""
        body = urllib.parse.urlencode(asked).encode()
        try:
            with urllib.request.urlopen(f"{self._url}/api/v1/{what}", body, timeout=_QUERY_SECONDS_MAX) as answer:  # noqa: S310 - our own
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise BenchError(f"Prometheus refuses {asked.get('query', what)}: {error.read().decode(errors='replace')[:500]}") from error


def recorded(history: Path, directory: Path) -> None:
    """Put an OpenMetrics file with timestamps into the data directory of a Prometheus."""
    done = subprocess.run(
        [PROMTOOL, "tsdb", "create-blocks-from", "openmetrics", f"--max-block-duration={_BLOCK}", "-q", str(history), str(directory)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BenchError(f"promtool does not take the history: {done.stderr[-500:]}")


@contextmanager
def prometheus(directory: Path, config: Mapping[str, Any], *flags: str) -> Iterator[Prometheus]:
    """A Prometheus on 127.0.0.1 whose data lies in `directory`/data."""
    (directory / "prometheus.yml").write_text(yaml.safe_dump(dict(config), allow_unicode=True), "utf-8")
    log = directory / "prometheus.log"
    port = free_port()
    with log.open("wb") as out:
        process = subprocess.Popen(
            [
                PROMETHEUS,
                f"--config.file={directory / 'prometheus.yml'}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                *flags,
            ],
            stdout=out,
            stderr=out,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + _READY_SECONDS_MAX
        while not _is_ready(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"Prometheus does not start; the end of its log:\n{end_of(log)}")
            time.sleep(0.1)
        yield Prometheus(url)
    finally:
        process.terminate()
        process.wait(30)


def past(directory: Path, step: timedelta) -> Any:
    """A Prometheus over a recorded history: a value holds until the next step, and nothing is too old."""
    return prometheus(
        directory,
        {},
        # what lies exactly that far back would still count
        f"--query.lookback-delta={step.total_seconds() - 1:.0f}s",
        "--query.max-samples=200000000",
        "--query.timeout=10m",
        "--storage.tsdb.retention.time=100y",
    )


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/-/ready", timeout=1):  # noqa: S310 - our own
            return True
    except OSError:
        return False


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
