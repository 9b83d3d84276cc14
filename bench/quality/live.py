"""The pipeline itself: a worker that stands still, and a record that nobody can read, on the real thing with the shipped rules.

Comes in: nothing. Goes out: `Observed`, how long each took to be noticed. Owns a Kafka, a worker, a feed, a gateway and a Prometheus in a
temporary directory. Rules, their durations, scrape and evaluation intervals are those that are shipped, by the wall clock; only the
addresses differ. A part that does not start raises BenchError.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from bench.quality.evaluation import Prometheus, free_port, prometheus
from bench.world import PROVINCE, BenchError, child_environment, cluster, end_of, events, producer
from dashboards.alerts import prometheus_rules
from dashboards.scraping import PROMETHEUS
from ops.demo import child
from phusong.topics import SOURCES

SCRAPED_SECONDS, EVALUATED_SECONDS = 15, 60
"""At most from one scrape, and from one evaluation of the slower group, to the next."""
SLACK_SECONDS = 15
"""For a machine that is busy with the other half."""

_STARTED_SECONDS_MAX = 120.0
_RECOVERED_SECONDS_MAX = 240.0
_EVENTS = 2_000
_PARTS = ("worker", "feed", "gateway")


class Observed(Struct, frozen=True):
    """What was done to the pipeline, the alert that must notice it, after how many seconds it fired (None: not within `bound`)."""

    kind: str
    alert: str
    seconds: float | None
    bound: float


class Result(Struct, frozen=True):
    """What was observed; `false_pages`: the alerts that fired without any reason, with what they fired for."""

    observed: list[Observed]
    false_pages: list[str]


def measure(say: Callable[[str], None]) -> Result:
    """Start everything, make it fail, and watch; about eight minutes, most of them the rules' own patience."""
    with ExitStack() as stack:
        directory, settings = stack.enter_context(cluster())
        sending = producer(settings)
        for made in events(_EVENTS):
            sending.produce(SOURCES[made.domain].name, made.value, PROVINCE)
        if sending.flush(30):
            raise BenchError("the broker did not take every event")
        ports = {part: free_port() for part in _PARTS}
        environment = {
            **child_environment(settings),
            "PHUSONG_WORKER_METRICS_PORT": str(ports["worker"]),
            "PHUSONG_FEED_PORT": str(ports["feed"]),
            "PHUSONG_GATEWAY_PORT": str(ports["gateway"]),
            "PHUSONG_KEYS": str(directory / "keys.json"),
            "TMPDIR": str(directory),  # Faust's scratch goes with the rest
        }
        parts = {part: stack.enter_context(child([part], environment, directory / f"{part}.log")) for part in _PARTS}
        server = stack.enter_context(_watching(directory, ports))
        say("waiting for worker, feed and gateway")
        deadline = time.monotonic() + _STARTED_SECONDS_MAX
        while not (_all_up(server) and server.ask("coverage_ratio")):
            for part, process in parts.items():
                if process.poll() is not None:
                    raise BenchError(f"the {part} ended; the end of its log:\n{end_of(directory / f'{part}.log')}")
            if time.monotonic() > deadline:
                raise BenchError(f"after {_STARTED_SECONDS_MAX:.0f} s Prometheus does not see everything; is this machine very busy?")
            time.sleep(0.5)
        watch = _Watch(server)

        say("a record that nobody can read")
        watch.begin("rejected_record", "DeadLettersGrowing")
        sending.produce(SOURCES["postal"].name, b"no json", PROVINCE)
        sending.flush(30)
        # the worker tells of it while it still can
        watch.until(lambda: bool(server.ask("sum(phusong_dead_letters_total) > 0")), 2 * SCRAPED_SECONDS)

        say("the worker stands still")
        os.kill(parts["worker"].pid, signal.SIGSTOP)
        watch.begin("stalled_worker", "PipelineStalled")
        watch.begin("process_gone", "PipelineDown")
        watch.until(lambda: not watch.open, max(watch.bounds.values()))
        os.kill(parts["worker"].pid, signal.SIGCONT)

        say("the worker goes on")
        # a worker that was away for so long may end itself; whoever runs it starts it again
        if not watch.until(lambda: not server.ask('ALERTS{alertname="PipelineStalled"}') or parts["worker"].poll() is not None, 60.0):
            raise BenchError("the data moves again, and PipelineStalled does not end")
        if parts["worker"].poll() is not None:
            stack.enter_context(child(["worker"], environment, directory / "worker-again.log"))
        if not watch.until(lambda: not server.ask('ALERTS{alertname="PipelineStalled"}'), _RECOVERED_SECONDS_MAX):
            raise BenchError("the data moves again, and PipelineStalled does not end")
        return Result(watch.observed, sorted(watch.unexpected))


class _Watch:
    """What fires, asked each second, against what was done."""

    def __init__(self, server: Prometheus) -> None:
        self._server = server
        self.open: dict[str, tuple[str, float]] = {}
        """Alert -> what it must notice, and when that was done."""
        self.bounds: dict[str, float] = {}
        self.observed: list[Observed] = []
        self.unexpected: set[str] = set()
        self._expected: set[str] = set()

    def begin(self, kind: str, alert: str) -> None:
        """From now on this alert is waited for."""
        self.open[alert] = (kind, time.monotonic())
        self.bounds[alert] = _bound(alert)
        self._expected.add(alert)

    def until(self, done: Callable[[], bool], seconds: float) -> bool:
        """Watch until something is so, or for that long; what then is overdue was not noticed."""
        deadline = time.monotonic() + seconds
        while True:
            now = time.monotonic()
            firing = {one["metric"]["alertname"]: one["metric"] for one in self._server.ask('ALERTS{alertstate="firing"}')}
            for alert, (kind, since) in list(self.open.items()):
                if alert in firing or now - since > self.bounds[alert]:
                    del self.open[alert]
                    self.observed.append(Observed(kind, alert, now - since if alert in firing else None, self.bounds[alert]))
            # the figures of this run are old and incomplete, and rightly called so: only what is told of the pipeline can be false
            self.unexpected |= {
                f"{alert} {labels}"
                for alert, labels in firing.items()
                if labels.get("owner") == "operations" and alert not in self._expected
            }
            if done():
                return True
            if now > deadline:
                return False
            time.sleep(1)


def _bound(alert: str) -> float:
    """The longest that it may take: what the expression itself waits, one scrape, one evaluation, and `for`."""
    (rule,) = [one for group in prometheus_rules()["groups"] for one in group["rules"] if one.get("alert") == alert]
    waits = {"PipelineStalled": float(rule["expr"].rpartition(">")[2])}.get(alert, 0.0)
    return waits + SCRAPED_SECONDS + EVALUATED_SECONDS + float(rule["for"].removesuffix("s")) + SLACK_SECONDS


def _all_up(server: Prometheus) -> bool:
    return len(server.ask("up == 1")) == len(_PARTS)


@contextmanager
def _watching(directory: Path, ports: dict[str, int]) -> Iterator[Prometheus]:
    """A Prometheus with the shipped configuration and rules, at other addresses."""
    (directory / "rules.yml").write_text(yaml.safe_dump(prometheus_rules(), allow_unicode=True), "utf-8")
    config: dict[str, Any] = {
        **PROMETHEUS,
        "rule_files": ["rules.yml"],
        "scrape_configs": [
            {"job_name": f"phusong-{part}", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]} for part, port in ports.items()
        ],
    }
    with prometheus(directory, config) as server:
        yield server
