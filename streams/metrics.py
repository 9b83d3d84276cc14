"""What a worker tells about itself, for Prometheus.

Comes in: counts and durations from the carrier and the publishing loop. Goes out: /metrics on its own port. Owns a registry of its own,
so that two workers in one test do not share counters. Lag is asked of the carrier at every scrape: what it no longer owns is gone from it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from importlib.metadata import version
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from phusong.events import Reason
from phusong.evidence import Outcome
from phusong.topics import SOURCES
from streams.delivery import Fatal

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class _Lag(Collector):
    def __init__(self) -> None:
        self.read: Callable[[], dict[str, int]] = dict

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily("phusong_lag_events", "Records of the owned partitions that are not applied yet.", labels=["topic"])
        for topic, lag in self.read().items():
            family.add_metric([topic], lag)
        yield family


class Metrics:
    """The worker's counters, and the server that shows them."""

    def __init__(self, rules: int) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, which nobody reads
        self.registry = registry = CollectorRegistry()
        self._events = Counter(
            "phusong_events", "Records applied, by what became of them.", ["domain", "outcome", "reason"], registry=registry
        )
        self._dead_letters = Counter("phusong_dead_letters", "Records sent to the dead letters.", ["reason"], registry=registry)
        self._event_to_publish = Histogram(
            "phusong_event_to_publish_seconds",
            "From a record's Kafka timestamp to the acknowledged rows it changed, the oldest of each pass.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._publish = Histogram("phusong_publish_seconds", "One pass of the publishing loop.", buckets=_SECONDS, registry=registry)
        self._rebuild = Histogram(
            "phusong_rebuild_seconds", "From assignment to readiness of a share.", buckets=_SECONDS, registry=registry
        )
        self._shares = Gauge("phusong_shares", "Shares owned, by whether they are ready.", ["state"], registry=registry)
        self._progress_failures = Counter("phusong_progress_failures", "Commits of progress that the broker refused.", registry=registry)
        info = Gauge("phusong_build_info", "Software and rules that run here.", ["version", "rules"], registry=registry)
        info.labels(version("phusong"), str(rules)).set(1)
        self._lag = _Lag()
        registry.register(self._lag)
        for domain in SOURCES:
            for outcome in Outcome:
                self._events.labels(domain, outcome.name.lower(), "")
            for reason in Reason:
                self._events.labels(domain, "rejected", reason)
        for reason in Reason:
            self._dead_letters.labels(reason)
        self._server: WSGIServer | None = None
        self._thread: threading.Thread | None = None

    def applied(self, domain: str, seen: list[int]) -> None:
        """How many records had each `Outcome`."""
        for outcome in Outcome:
            if seen[outcome]:
                self._events.labels(domain, outcome.name.lower(), "").inc(seen[outcome])

    def rejected(self, domain: str, reason: Reason) -> None:
        """A record that was not counted."""
        self._events.labels(domain, "rejected", reason).inc()

    def dead_lettered(self, reason: Reason) -> None:
        """A record that was sent to the dead letters."""
        self._dead_letters.labels(reason).inc()

    def published(self, seconds: float) -> None:
        """The duration of one pass."""
        self._publish.observe(seconds)

    def event_published(self, seconds: float) -> None:
        """The age of the oldest record whose rows were acknowledged in a pass."""
        self._event_to_publish.observe(max(0.0, seconds))

    def rebuilt(self, seconds: float) -> None:
        """How long a share took to become ready."""
        self._rebuild.observe(seconds)

    def shares(self, ready: int, rebuilding: int) -> None:
        """How many shares are owned now."""
        self._shares.labels("ready").set(ready)
        self._shares.labels("rebuilding").set(rebuilding)

    def progress_failed(self) -> None:
        """A commit that will be tried again."""
        self._progress_failures.inc()

    def serve(self, bind: str, port: int, lag: Callable[[], dict[str, int]]) -> int:
        """Start /metrics on `port`, or on the next free one of twenty; returns it. Raises Fatal where none is free."""
        self._lag.read = lag
        for candidate in [port] if port == 0 else range(port, port + 20):
            try:
                self._server, self._thread = start_http_server(candidate, bind, self.registry)
            except OSError:
                continue
            return int(self._server.server_address[1])
        raise Fatal(f"no free port for worker metrics from {bind}:{port} on; set PHUSONG_WORKER_METRICS_PORT")

    def close(self) -> None:
        """Stop the server."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
