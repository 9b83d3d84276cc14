"""«Đường truyền số liệu»: does it run, and keep up. Comes in: messages. Goes out: panels. Owns no state.

Counters are summed over the processes; a rate is taken over $__rate_interval, which spans at least four scrapes.
"""

from __future__ import annotations

from collections.abc import Iterator

from dashboards.boards.frame import Frame
from dashboards.names import Panel
from dashboards.panels import AnyPanel, Column, Label, Panels, colour, instant, named, over_time, prop
from dashboards.sdk import dashboard, table, timeseries

EACH = "max by (job, instance)"
"""Of what each process says of itself."""


def variables(_: Frame) -> Iterator[dashboard.QueryVariable]:
    """None: all of it is of the whole system."""
    yield from ()


def panels(make: Panels) -> Iterator[AnyPanel]:
    """First what must be well, then how fast, then each part."""
    published = "max by (province, indicator) (coverage_published_timestamp_seconds)"
    names = "max by (province, name) (coverage_province_info)"
    yield (
        make.stat("age", Panel.AGE, "s", width=8, height=6, steps=(("green", None), ("orange", 60), ("red", 120)))
        .decimals(0)
        .with_target(instant("A", f"(time() - min by (province) ({published})) * on (province) group_left (name) {names}", "{{name}}"))
    )
    yield make.strip("up", Panel.UP, make.say.values("answering"), width=16, height=6).with_target(
        over_time("A", f'{EACH} (up{{job=~"phusong-.+"}})', "{{job}} {{instance}}")
    )
    yield _line(make, "lag", Panel.LAG, "none", "sum by (topic) (phusong_lag_events)", "{{topic}}").decimals(0)
    yield _shares(make)
    yield _rebuilds(make)
    yield named(_rate(make, "rates", 54, "eps", "phusong_events_total", "outcome"), make.say.values("outcomes"))
    yield named(_rate(make, "domains", 55, "eps", "phusong_events_total", "domain"), make.say.values("domains"))
    yield named(_rate(make, "left_out", 67, "eps", "phusong_feed_left_out_total", "why"), make.say.values("left_out"))
    yield _quantiles(make, "latency", 59, "phusong_event_to_publish_seconds")
    yield _quantiles(make, "publish", 58, "phusong_publish_seconds")
    yield _quantiles(make, "gateway_latency", 63, "phusong_gateway_request_seconds")
    yield _rate(make, "gateway_requests", 61, "reqps", "phusong_gateway_requests_total", "status")
    yield named(_rate(make, "gateway_events", 62, "eps", "phusong_gateway_events_total", "outcome"), make.say.values("gateway_outcomes"))
    yield named(_rate(make, "webhook", 60, "eps", "phusong_webhook_deliveries_total", "outcome"), make.say.values("deliveries"))
    yield _gateway_health(make)
    yield _feed_health(make)
    yield named(
        _line(make, "feed_rows", 66, "locale", "max by (kind) (phusong_feed_rows)", "{{kind}}").decimals(0), make.say.values("kinds")
    )
    yield make.table(
        "builds",
        68,
        (
            Label(label="job", word="job", width=110),
            Label(label="instance", word="instance"),
            Label(label="version", word="version"),
            Label(label="rules", word="rules"),
        ),
        (Column(word="", expr="max by (job, instance, version, rules) (phusong_build_info)"),),
        width=16,
        height=8,
    )


def _line(make: Panels, key: str, number: int, unit: str, expr: str, legend: str) -> timeseries.Panel:
    return make.lines(key, number, unit, width=8).min(0).with_target(over_time("A", expr, legend))


def _rate(make: Panels, key: str, number: int, unit: str, counter: str, label: str) -> timeseries.Panel:
    return _line(make, key, number, unit, f"sum by ({label}) (rate({counter}[$__rate_interval]))", f"{{{{{label}}}}}")


def _quantiles(make: Panels, key: str, number: int, histogram: str) -> timeseries.Panel:
    panel = make.lines(key, number, "s", width=8).min(0)
    for ref, word, quantile in (("A", "half", 0.5), ("B", "most", 0.95)):
        # over no event at all it is not a number: no line
        expr = f"histogram_quantile({quantile}, sum by (le) (rate({histogram}_bucket[$__rate_interval]))) >= 0"
        panel = panel.with_target(over_time(ref, expr, make.say.word(word)))
    return panel


def _shares(make: Panels) -> timeseries.Panel:
    panel = _line(make, "shares", 56, "none", "sum by (state) (phusong_shares)", "{{state}}").decimals(0)
    return panel.override_by_name("ready", [prop("displayName", make.say.word("ready")), colour("green")]).override_by_name(
        "rebuilding", [prop("displayName", make.say.word("rebuilding")), colour("orange")]
    )


def _rebuilds(make: Panels) -> AnyPanel:
    count, seconds = (f"sum(increase(phusong_rebuild_seconds_{one}[$__range]))" for one in ("count", "sum"))
    return (
        make.stat("rebuilds", 57, "none", width=8, height=8)
        .decimals(0)
        .with_target(instant("A", count, make.say.word("rebuilds")))
        .with_target(instant("B", f"{seconds} / {count} >= 0", make.say.word("rebuild_time")))
        .with_target(instant("C", "sum(increase(phusong_progress_failures_total[$__range]))", make.say.word("failures")))
        .override_by_name(make.say.word("rebuild_time"), [prop("unit", "s"), prop("decimals", 1)])
    )


def _yes_no(make: Panels, word: str, expr: str) -> Column:
    yes, no = make.say.plain("yes"), make.say.plain("no")
    return Column(word=word, expr=expr, values={"1": type(yes)(yes.word, "green"), "0": type(no)(no.word, "red")}, width=150)


def _gateway_health(make: Panels) -> table.Panel:
    def each(metric: str) -> str:
        return f"{EACH} (phusong_gateway_{metric})"

    return make.table(
        "gateway_health",
        64,
        (Label(label="instance", word="instance"), Label(label="job", word="job", width=110)),
        (
            _yes_no(make, "kafka_up", each("kafka_up")),
            _yes_no(make, "keys_usable", each("keys_usable")),
            Column(word="keys", expr=each("keys"), width=150),
            Column(word="in_flight", expr=each("requests_in_flight"), width=150),
            Column(word="events_under_way", expr=each("events_under_way"), width=160),
        ),
        width=12,
        height=6,
    )


def _feed_health(make: Panels) -> table.Panel:
    def each(metric: str) -> str:
        return f"{EACH} (phusong_feed_{metric})"

    return make.table(
        "feed_health",
        65,
        (Label(label="instance", word="instance"), Label(label="job", word="job", width=110)),
        (
            _yes_no(make, "ready", each("ready")),
            Column(word="kafka_age", expr=f"time() - {each('kafka_seen_timestamp_seconds')}", unit="s", decimals=0, width=170),
            Column(word="streams", expr=each("streams"), width=150),
            Column(word="dropped", expr=f"{EACH} (increase(phusong_feed_streams_dropped_total[$__range]))", decimals=0, width=170),
        ),
        width=12,
        height=6,
    )
