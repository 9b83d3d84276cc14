"""What the gateway counts, for Prometheus.

Comes in: what became of requests and events. Goes out: the families of /metrics. Owns the counters. Labels hold words of closed sets only,
never what a client sent.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from phusong.events import Reason
from phusong.topics import SOURCES

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
STATUSES = (200, 202, 207, 400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429, 431, 500, 503)
"""What may be answered; anything else is counted as 0."""

Outcome = tuple[str, str, str]
"""Domain ("" where it is not known), outcome, reason."""


class GatewayMetrics:
    """The gateway's counters, and the figures that are asked for at each scrape."""

    def __init__(
        self,
        rules: int,
        *,
        kafka_up: Callable[[], float],
        under_way: Callable[[], float],
        keys: Callable[[], float],
        usable: Callable[[], float],
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, which nobody reads
        self.registry = registry = CollectorRegistry()
        self._events = Counter(
            "phusong_gateway_events",
            "Events by what became of them: accepted, repeated (known already), rejected, forbidden, conflict, unavailable.",
            ["domain", "outcome", "reason"],
            registry=registry,
        )
        self._requests = Counter("phusong_gateway_requests", "Requests by the status of their answer.", ["status"], registry=registry)
        self._seconds = Histogram(
            "phusong_gateway_request_seconds",
            "From the head of a POST /v1/events to its answer.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.in_flight = 0
        for name, help_, read in (
            ("phusong_gateway_requests_in_flight", "Requests that are being answered.", lambda: self.in_flight),
            ("phusong_gateway_kafka_up", "1 while Kafka answers.", kafka_up),
            ("phusong_gateway_events_under_way", "Events that wait for Kafka's acknowledgement.", under_way),
            ("phusong_gateway_keys", "API keys that hold.", keys),
            ("phusong_gateway_keys_usable", "0 while the key file cannot be used, and nobody is let in.", usable),
        ):
            Gauge(name, help_, registry=registry).set_function(read)
        info = Gauge("phusong_build_info", "Software and rules that run here.", ["version", "rules"], registry=registry)
        info.labels(program_version(), str(rules)).set(1)
        self._by_status = {status: self._requests.labels(str(status)) for status in (0, *STATUSES)}
        self._by_outcome: dict[Outcome, Counter] = {}
        # there from the start, so that the first one is an increase, too
        self.count({(domain, outcome, ""): 0 for domain in SOURCES for outcome in ("accepted", "repeated", "forbidden", "conflict")})
        self.count({("", "unavailable", ""): 0})
        self.count({(domain, "rejected", reason.value): 0 for domain in ("", *SOURCES) for reason in Reason})

    def answered(self, status: int) -> None:
        """One answer."""
        self._by_status.get(status, self._by_status[0]).inc()

    def took(self, seconds: float) -> None:
        """How long a post took."""
        self._seconds.observe(seconds)

    def count(self, outcomes: Tally[Outcome] | dict[Outcome, int]) -> None:
        """What became of the events of a request."""
        for labels, number in outcomes.items():
            counter = self._by_outcome.get(labels)
            if counter is None:
                counter = self._by_outcome[labels] = self._events.labels(*labels)
            counter.inc(number)


def program_version() -> str:
    """The version that is installed."""
    try:
        return version("phusong")
    except PackageNotFoundError:
        return "0"
