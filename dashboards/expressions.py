"""What the alerts ask of Prometheus: one expression for each, of raw metrics alone, so that no recording rule has to be loaded for them.

Comes in: the metrics of feed, workers, gateway and webhook sender, by name. Goes out: PromQL, each expression with a value while there is
data (0: all is well), since Grafana takes «no series» for «no data». Owns no state.

A row's alert is known by (province, domain, indicator, origin), not by the list of communes: through a change of list one cause stays one
alert. Replicas of the feed are folded. What vanishes is remembered, what is there decides: see `remembered`.
"""

from __future__ import annotations

KEY = "province, domain, indicator"

REMEMBER = "1d"
"""How long a row that vanished keeps its last value: longer than a night's outage."""

JOBS = ("phusong-feed", "phusong-worker")
"""Scrape jobs that must be there; `phusong-gateway` and `phusong-notify` may be, and count for a day once they have been seen."""

STALLED_SECONDS = 120
"""Owners publish every 10 s: twelve missed heartbeats."""

UNDELIVERED_SECONDS = 900

UNRESOLVED_SECONDS = 86_400
"""A temporary state may be past its end for a day before anybody is asked."""


_SHOWN = "(max(phusong_feed_ready) == 1)"
"""There while a feed answers that has read its topics to their ends, and so shows every row in force."""


def row(metric: str, selector: str = "", fold: str = "max") -> str:
    """One series for each province and indicator, whatever the number of replicas."""
    return f"{fold} by ({KEY}) ({metric}{selector})"


def origin() -> str:
    """One series for each row, whose label `origin` is the least real of what the row rests on.

    A row that rests on nothing takes the least real of its province, so that an operator's silence in an exercise is the exercise's.
    """

    def of(rank: int, name: str) -> str:
        selector = f'{{origin="{name}"}}'
        of_row = f"max by ({KEY}, origin) (coverage_origin{selector})"
        return f"{rank} * (10 * {of_row} + on (province) group_left () max by (province) (coverage_origin{selector}))"

    real = f'1 + 10 * max by ({KEY}, origin) (coverage_origin{{origin="real"}})'
    return f"topk by ({KEY}) (1, {of(3, 'simulated')} or {of(2, 'assumed')} or {real})"


def with_origin(expr: str) -> str:
    """`expr`, of rows, with the label that decides who is told."""
    return f"{expr} * on ({KEY}) group_left (origin) ({origin()} > bool 0)"


def remembered(expr: str) -> str:
    """`expr`, and while no feed shows all of its rows, the last value: a feed that is away is no recovery.

    A row that leaves what a ready feed shows (a change of list, a province that was merged) leaves at once. Why not `keep_firing_for`: it
    delays every true recovery as long as it bridges an outage. The step is the shortest hold of a row's alert: what fired is never missed.
    """
    return f"{expr} or (last_over_time(({expr})[{REMEMBER}:15m]) unless on () {_SHOWN})"


_AS_OF = row("coverage_as_of_timestamp_seconds")
_DUE = row("coverage_target_due_timestamp_seconds")
_COMPLETENESS = row("coverage_completeness_ratio", fold="min")
_OWED = row("coverage_reporter_overdue_communes")
_NOT_YET, _UNCERTAIN = (row("coverage_verdict", f'{{verdict="{verdict}"}}') for verdict in ("not_yet", "uncertain"))
_MIDDLE = row("coverage_projected_timestamp_seconds", '{estimate="middle"}')
_LATEST = row("coverage_projected_timestamp_seconds", '{estimate="latest"}')

# `missed` is already the cautious verdict (even the high bound is below the target): `uncertain`, `not_yet` are silent by themselves.
BELOW_TARGET = remembered(with_origin(row("coverage_verdict", '{verdict="missed"}')))

# It begins when the middle estimate lies after the due date. An estimate that wobbles around it (a point comes with each period) does not
# end it: that takes the latest estimate before the due date, or 100 days (a quarter and its deadline) with the middle one before it.
BEHIND_PLAN = remembered(
    with_origin(
        f"{_NOT_YET} * (({_MIDDLE} > bool {_DUE}) > 0"
        f" or ({_LATEST} > bool {_DUE}) * max_over_time(({_MIDDLE} > bool {_DUE})[100d:12h]) or 0 * {_NOT_YET})"
    )
)

# Reports owed (communes, over all indicators): one operator that is silent everywhere is one alert.
_REPORTS_OWED = f"sum by (province, reporter, origin) ({with_origin(f'max by ({KEY}, reporter) (coverage_reporter_overdue_communes)')})"
REPORTER_OVERDUE = remembered(_REPORTS_OWED)

TARGET_EXPIRED = remembered(with_origin(f"(({_AS_OF} > bool {_DUE}) or 0 * {_AS_OF})"))

# By the age of the oldest: «it is over» comes some hours after the end that was announced, and over a province somebody is always late.
_UNRESOLVED_SINCE = row("coverage_unresolved_since_timestamp_seconds", fold="min")
INTERRUPTION_OVERDUE = remembered(with_origin(f"(({_AS_OF} - {_UNRESOLVED_SINCE} > bool {UNRESOLVED_SECONDS}) or 0 * {_AS_OF})"))

# Only where the target holds already (standing, or due), and only once reports are overdue, or all are in and still do not tell.
CANNOT_TELL = remembered(
    with_origin(
        f"{_UNCERTAIN} * (({_AS_OF} >= bool {_DUE}) or 0 * {_AS_OF} + 1)"
        f" * (({_OWED} > bool 0) > 0 or ({_COMPLETENESS} >= bool 1) or 0 * {_AS_OF})"
    )
)

DATA_INCOMPLETE = remembered(with_origin(f"((1 - {_COMPLETENESS}) * ({_OWED} > bool 0) or 0 * {_AS_OF})"))

# Targets of a job that do not answer; a job without any target (a name that no longer resolves) counts as one. `rows`: none for a day;
# `count or vector(0)` and not `absent()`, which has no value when all is well.
_UP = 'up{job=~"phusong-(feed|worker|gateway|notify)"}'
_PUBLISHED_LAST = f"last_over_time(coverage_published_timestamp_seconds[{REMEMBER}])"
PIPELINE_DOWN = " or ".join(
    (
        f"sum by (job) (1 - {_UP})",
        f"(0 * max by (job) (last_over_time({_UP}[{REMEMBER}])) + 1)",
        *(f'absent(up{{job="{job}"}})' for job in JOBS),
        f'label_replace((count({_PUBLISHED_LAST}) or vector(0)) < bool 1, "job", "rows", "", "")',
    )
)

# Wall clock on both sides. The oldest row counts, so one row left behind is seen. Without a feed each province keeps its last time.
PIPELINE_STALLED = (
    "time() - (min by (province) (max without (instance, job) (coverage_published_timestamp_seconds))"
    f" or (max by (province) ({_PUBLISHED_LAST}) unless on () {_SHOWN}))"
)

# The least lag of a quarter of an hour, where it does not fall: a burst that is being worked off falls, a stuck reader stays.
_LAG = "sum by (topic) (phusong_lag_events)"
_KEPT_LAG = f"min_over_time({_LAG}[15m:1m]) * (deriv({_LAG}[15m:1m]) >= bool 0)"
LAG_KEEPS_INCREASING = f"{_KEPT_LAG} or last_over_time(({_KEPT_LAG})[{REMEMBER}:5m])"

# Each record is counted by the one worker that rejected it, and every reason begins at 0. It ends an hour after the last one: what was
# rejected stays in the topic until it is sent back, and does not alert again.
DEAD_LETTERS_GROWING = "sum by (reason) (increase(phusong_dead_letters_total[1h]))"

# Kafka does not answer it, or its key file cannot be used. One sick gateway of several is enough.
_REFUSING = " or ".join(
    f'label_replace(1 - min({metric}), "why", "{why}", "", "")'
    for metric, why in (("phusong_gateway_kafka_up", "kafka"), ("phusong_gateway_keys_usable", "keys"))
)
GATEWAY_REFUSING = f"{_REFUSING} or last_over_time(({_REFUSING})[{REMEMBER}:1m])"

# 1 where the first of the queue waits too long; and how many were given up in the last hour. A sender that is away keeps what it said last.
_WAITING = "phusong_webhook_undelivered_timestamp_seconds"
_AWAY = 'unless on () (up{job="phusong-notify"} == 1)'
WEBHOOK_UNDELIVERED = (
    f"label_replace((time() - (min({_WAITING}) or min(last_over_time({_WAITING}[{REMEMBER}]) {_AWAY}))) > bool {UNDELIVERED_SECONDS}"
    ' or vector(0), "outcome", "waiting", "", "")'
    ' or sum by (outcome) (increase(phusong_webhook_deliveries_total{outcome="given_up"}[1h]))'
)


# -- figures of the texts ------------------------------------------------------------------------------------------------------------------


def last(metric: str, selector: str = "") -> str:
    """A row's figure as it is, or as it was last."""
    return f"{row(metric, selector)} or {row(f'last_over_time({metric}{selector}[{REMEMBER}])')}"


def percent(metric: str) -> str:
    """Per cent with two decimals.

    Cut, never rounded: 99.996 % of a 100 % target must not print as 100. 1e-6 heals binary fractions such as 0.57 * 10000 = 5699.99….
    """
    return f"floor(10000 * ({last(metric)}) + 1e-6) / 100"


def names() -> str:
    """One series for each row, with the names of indicator and province as labels `name_vi`, `name_en`, `name`.

    `topk` keeps one where two replicas differ: a second one would be an error, and the rule would stop.
    """
    rows = with_origin(f"(0 * {_AS_OF})")
    indicators = "topk by (indicator) (1, coverage_indicator_info)"
    provinces = "topk by (province) (1, coverage_province_info)"
    return f"{rows} + on (indicator) group_left (name_vi, name_en) {indicators} + on (province) group_left (name) {provinces}"


def reporter_names() -> str:
    """One series for each overdue reporter, with its names as labels."""
    return f"0 * {_REPORTS_OWED} + on (reporter) group_left (name_vi, name_en) topk by (reporter) (1, coverage_reporter_info)"


def province_names() -> str:
    """One series for each province, with its name as label."""
    names = "topk by (province) (1, coverage_province_info)"
    return f"0 * max by (province) (coverage_as_of_timestamp_seconds) + on (province) group_left (name) {names}"


def worst() -> str:
    """One series for each row that lacks anything, with the names of the communes that lack most as label `communes`."""
    return with_origin(f"topk by ({KEY}) (1, max by ({KEY}, communes) (coverage_worst_communes_info))")
