"""What the notifier tells about itself, for Prometheus.

Comes in: what became of each try and of each verdict change. Goes out: /metrics on its own port. Owns a registry of its own. While
nothing is under way phusong_webhook_undelivered_timestamp_seconds is absent.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from enum import StrEnum
from importlib.metadata import version
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from streams.delivery import Fatal
from streams.webhook import Outcome


class End(StrEnum):
    """What became of a verdict change."""

    DELIVERED = "delivered"
    GIVEN_UP = "given_up"
    """Refused, or nobody there, for as long as it is kept."""
    UNREADABLE = "unreadable"
    """The record is no verdict."""


class _UnderWay(Collector):
    def __init__(self) -> None:
        self.since: float | None = None

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(
            "phusong_webhook_undelivered_timestamp_seconds",
            "Kafka's timestamp of the verdict change under way; absent: none is.",
        )
        if self.since is not None:
            family.add_metric([], self.since)
        yield family


class NotifyMetrics:
    """The notifier's counters, and the server that shows them."""

    def __init__(self, rules: int) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, which nobody reads
        self._registry = registry = CollectorRegistry()
        self._deliveries = Counter("phusong_webhook_deliveries", "Verdict changes, by what became of them.", ["outcome"], registry=registry)
        self._attempts = Counter("phusong_webhook_attempts", "Posts to the webhook, by what came of them.", ["outcome"], registry=registry)
        info = Gauge("phusong_build_info", "Software and rules that run here.", ["version", "rules"], registry=registry)
        info.labels(version("phusong"), str(rules)).set(1)
        self._under_way = _UnderWay()
        registry.register(self._under_way)
        for outcome in Outcome:
            self._attempts.labels(outcome)
        for end in End:
            self._deliveries.labels(end)
        self._server: WSGIServer | None = None
        self._thread: threading.Thread | None = None

    def tried(self, outcome: Outcome) -> None:
        """One POST."""
        self._attempts.labels(outcome).inc()

    def ended(self, end: End) -> None:
        """A verdict change that is done with."""
        self._deliveries.labels(end).inc()

    def under_way(self, since: float | None) -> None:
        """The Kafka timestamp (seconds since 1970) of what is being delivered; None: nothing."""
        self._under_way.since = since

    def serve(self, bind: str, port: int) -> int:
        """Start /metrics; returns the port. Raises Fatal where it cannot be had."""
        try:
            self._server, self._thread = start_http_server(port, bind, self._registry)
        except OSError as error:
            raise Fatal(f"cannot listen on {bind}:{port} ({error.strerror or error}); set PHUSONG_NOTIFY_METRICS_PORT") from error
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop the server."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
