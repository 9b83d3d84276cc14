"""Histories for `promtool test rules`: what each alert does when it should fire, stay quiet, end, and when its data merely vanishes.

A case holds for both forms of the rules. Series are written in promtool's notation, one sample each `every`; what a row always shows beside
its verdict (as_of, origin, completeness) comes from `row`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["fires", "quiet", "resolves", "vanishes"]
Series = dict[str, str]
Labels = dict[str, str]

POSTAL: Labels = {"domain": "postal", "indicator": "postal.staffed_point", "province": "08"}
VINTAGE = "2020-01-01"


@dataclass(frozen=True, kw_only=True)
class Case:
    """`checks`: (when, the labels of the alerts that fire then, without severity and owner)."""

    name: str
    alert: str
    kinds: tuple[Kind, ...]
    series: Series
    checks: tuple[tuple[str, tuple[Labels, ...]], ...]
    every: str = "30s"


def name_of(metric: str, **labels: str) -> str:
    """A series as promtool reads it."""
    return f"{metric}{{{','.join(f'{k}={chr(34)}{v}{chr(34)}' for k, v in labels.items())}}}"


def row(
    values: str,
    metric: str = "coverage_verdict",
    *,
    as_of: str = "0+30x100",
    origin: str = "assumed",
    province: str = "08",
    indicator: str = "postal.staffed_point",
    vintage: str = VINTAGE,
    instance: str = "feed:8600",
    **labels: str,
) -> Series:
    """One metric of a row, and the moment and the origin that every row has. `origin`: "" for a row that rests on nothing."""
    at = {
        "province": province, "vintage": vintage, "domain": indicator.partition(".")[0], "indicator": indicator,
        "instance": instance, "job": "phusong-feed",
    }  # fmt: skip
    found = {name_of(metric, **at, **labels): values, name_of("coverage_as_of_timestamp_seconds", **at): as_of}
    found[name_of("phusong_feed_ready", instance=instance, job="phusong-feed")] = re.sub(r"\d+(\+\d+)?x", "1x", as_of)
    for one in ("real", "assumed", "simulated"):
        # as long as the row itself
        found[name_of("coverage_origin", **at, origin=one)] = re.sub(r"\d+(\+\d+)?x", f"{int(one == origin)}x", as_of)
    return found


def _gone(shown: int, away: int = 0, back: str = "") -> str:
    """as_of of a row that is there for so many samples, then vanishes, and perhaps comes back."""
    return f"0x{shown} stale" + (f" _x{away} {back}" if away else "")


def _verdict(values: str, verdict: str = "missed", **options: Any) -> Series:
    return row(values, verdict=verdict, **options)


def _origin(origin: str, values: str) -> Series:
    at = {"province": "08", "vintage": VINTAGE, "domain": POSTAL["domain"], "indicator": POSTAL["indicator"]}
    return {name_of("coverage_origin", **at, instance="feed:8600", job="phusong-feed", origin=origin): values}


def _alert(origin: str = "assumed", **labels: str) -> Labels:
    return {**POSTAL, "origin": origin, **labels}


_DUE = "coverage_target_due_timestamp_seconds"
_PROJECTED = "coverage_projected_timestamp_seconds"


def _plan(not_yet: str, middle: str, latest: str, due: str = "5000x9000", *, as_of: str = "0x9000") -> Series:
    found = row(not_yet, verdict="not_yet", as_of=as_of)
    for estimate, values in (("middle", middle), ("latest", latest)):
        if values:
            found |= row(values, _PROJECTED, as_of=as_of, estimate=estimate)
    return found | row(due, _DUE, as_of=as_of)


def _owed(values: str, reporter: str = "operator-a", **options: Any) -> Series:
    return row(values, "coverage_reporter_overdue_communes", reporter=reporter, **options)


def _up(job: str, values: str, instance: str = "") -> Series:
    return {name_of("up", job=f"phusong-{job}", instance=instance or f"{job}:1"): values}


def _all_up(n: int, *without: str) -> Series:
    published = {name_of("coverage_published_timestamp_seconds", province="08", vintage=VINTAGE, domain="a", indicator="a.b"): f"0+30x{n}"}
    jobs = ("feed", "worker", "gateway", "notify")
    up = {name: values for job in jobs if job not in without for name, values in _up(job, f"1x{n}").items()}
    return up if "rows" in without else up | published


def _published(values: str, indicator: str = "a.b", province: str = "08", vintage: str = VINTAGE) -> Series:
    return {name_of("coverage_published_timestamp_seconds", province=province, vintage=vintage, domain="a", indicator=indicator): values}


def _lag(values: str, instance: str = "worker:8602") -> Series:
    return {name_of("phusong_lag_events", topic="coverage.postal.v1", instance=instance, job="phusong-worker"): values}


def _dead(reason: str, values: str, instance: str = "a:8602") -> Series:
    return {name_of("phusong_dead_letters_total", reason=reason, instance=instance, job="phusong-worker"): values}


def _gateway(kafka: str, keys: str) -> Series:
    at = {"instance": "gateway:8601", "job": "phusong-gateway"}
    return {name_of("phusong_gateway_kafka_up", **at): kafka, name_of("phusong_gateway_keys_usable", **at): keys}


def _uncertain(values: str, *, owed: str, completeness: str, due: str = "", as_of: str = "0+300x45") -> Series:
    found = row(values, verdict="uncertain", as_of=as_of) | row(completeness, "coverage_completeness_ratio", as_of=as_of)
    found |= _owed(owed, as_of=as_of)
    return found | (row(due, _DUE, as_of=as_of) if due else {})


ME = _alert()
OPERATOR = {"province": "08", "reporter": "operator-a", "origin": "assumed"}
TOPIC = {"topic": "coverage.postal.v1"}

CASES = (
    # -- below target
    Case(
        name="a miss fires after a quarter of an hour, and under no other verdict",
        alert="CoverageBelowTarget", kinds=("fires", "quiet"),
        series=_verdict("1x100") | _verdict("0x100", "met")
        | {k: v for n, one in enumerate(("uncertain", "not_yet", "met", "no_target"))
           for k, v in (_verdict("1x100", one, indicator=f"postal.{n}") | _verdict("0x100", indicator=f"postal.{n}")).items()},
        checks=(("14m", ()), ("16m", (ME,))),
    ),
    Case(
        name="a miss that ends by data resolves at the very next evaluation",
        alert="CoverageBelowTarget", kinds=("fires", "resolves"),
        series=_verdict("1x49 0x50"),
        checks=(("24m30s", (ME,)), ("25m", ())),
    ),
    Case(
        name="a miss whose series vanished is no recovery, not overnight, until data says so",
        alert="CoverageBelowTarget", kinds=("fires", "vanishes", "resolves"), every="5m",
        series=_verdict("1x9 stale _x140 0x20", as_of=_gone(9, 140, "0x20")),
        checks=(("50m", (ME,)), ("2h", (ME,)), ("12h", (ME,)), ("12h40m", ())),
    ),
    Case(
        name="what a replica that is gone remembers does not outvote one that is there",
        alert="CoverageBelowTarget", kinds=("resolves",),
        series=_verdict("1x49 stale", as_of="0x49 stale", instance="old:1") | _verdict("_x50 0x50", as_of="_x50 0x50", instance="new:1"),
        checks=(("24m", (ME,)), ("26m", ())),
    ),
    Case(
        name="a change of list that leaves the miss is one alert without a gap",
        alert="CoverageBelowTarget", kinds=("fires",),
        series=_verdict("1x49 stale", as_of="0x49 stale") | _verdict("_x50 1x50", as_of="_x50 0x50", vintage="2024-09-01"),
        checks=(("24m", (ME,)), ("25m", (ME,)), ("26m", (ME,)), ("45m", (ME,))),
    ),
    Case(
        name="a change of list that ends the miss ends the alert at once",
        alert="CoverageBelowTarget", kinds=("resolves",),
        series=_verdict("1x49 stale", as_of="0x49 stale") | _verdict("_x50 0x50", as_of="_x50 0x50", vintage="2024-09-01"),
        checks=(("24m", (ME,)), ("25m30s", ())),
    ),
    Case(
        name="the least real origin is the one that is told, and a row that rests on nothing takes its province's",
        alert="CoverageBelowTarget", kinds=("fires",),
        series=_verdict("1x60", origin="simulated") | row("1x60", "coverage_origin", origin="simulated")
        | _verdict("1x60", origin="real", indicator="postal.1") | _verdict("1x60", origin="", indicator="postal.2")
        | _verdict("1x60", origin="", indicator="postal.3", province="02"),
        checks=(("20m", (
            _alert("simulated"), _alert("real", indicator="postal.1"), _alert("simulated", indicator="postal.2"),
            _alert("real", indicator="postal.3", province="02"),
        )),),
    ),
    Case(
        name="a row whose origin changes is one alert, under the new one",
        alert="CoverageBelowTarget", kinds=("fires", "resolves"),
        series=_verdict("1x100") | _origin("assumed", "1x49 0x50") | _origin("real", "0x49 1x50"),
        checks=(("24m", (ME,)), ("26m", ()), ("45m", (_alert("real"),))),
    ),
    # -- behind plan: estimates and due date in seconds; only their order counts
    Case(
        name="a projection past the due date fires, one before it does not",
        alert="CoverageBehindPlan", kinds=("fires", "quiet"), every="5m",
        series=_plan("1x400", "4000x100 6000x300", "4500x100 7000x300"),
        checks=(("8h", ()), ("9h", ()), ("9h30m", (ME,))),
    ),
    Case(
        name="not at this pace is past every due date",
        alert="CoverageBehindPlan", kinds=("fires",), every="5m",
        series=_plan("1x60", "Inf " * 60, "Inf " * 60),
        checks=(("2h", (ME,)),),
    ),
    Case(
        name="an estimate that wobbles around the due date does not end the alert, one that is well before it does",
        alert="CoverageBehindPlan", kinds=("fires", "resolves"), every="1h",
        series=_plan("1x200", "6000x40 4900x30 5100x30 4900x100", "7000x140 4950x60"),
        checks=(("39h", (ME,)), ("60h", (ME,)), ("100h", (ME,)), ("139h", (ME,)), ("142h", ())),
    ),
    Case(
        name="a target that is met ends the alert, though its projection vanishes with it",
        alert="CoverageBehindPlan", kinds=("resolves",), every="5m",
        series=_plan("1x50 0x50", "6000x50 stale", "7000x50 stale"),
        checks=(("4h", (ME,)), ("4h20m", ())),
    ),
    Case(
        name="a plan without a projection is quiet",
        alert="CoverageBehindPlan", kinds=("quiet",), every="5m",
        series=_plan("1x50", "", ""),
        checks=(("4h", ()),),
    ),
    Case(
        name="a plan whose row vanished stays behind",
        alert="CoverageBehindPlan", kinds=("vanishes",), every="5m",
        series=_plan("1x30 stale", "6000x30 stale", "7000x30 stale", "5000x30 stale", as_of=_gone(30)),
        checks=(("2h", (ME,)), ("12h", (ME,))),
    ),
    # -- reporters
    Case(
        name="an operator that is silent everywhere is one alert, and one that reports is none",
        alert="CoverageReporterOverdue", kinds=("fires", "quiet", "resolves"),
        series=_owed("0x9 138x60 0x40") | _owed("0x9 6x60 0x40", indicator="postal.points_online") | _owed("0x120", reporter="operator-b")
        | _owed("5x120", origin="simulated", indicator="postal.third"),
        checks=(
            ("10m", ()),
            ("25m", (OPERATOR, OPERATOR | {"origin": "simulated"})),
            ("36m", (OPERATOR | {"origin": "simulated"},)),
        ),
    ),
    Case(
        name="an operator whose figures vanished still owes them",
        alert="CoverageReporterOverdue", kinds=("vanishes",), every="5m",
        series=_owed("6x9 stale", as_of=_gone(9)),
        checks=(("1h", (OPERATOR,)), ("12h", (OPERATOR,))),
    ),
    # -- targets
    Case(
        name="a target whose date passes fires, and the next target ends it",
        alert="TargetExpired", kinds=("fires", "quiet", "resolves"), every="5m",
        series=row("9000x80 90000x40", _DUE, as_of="0+300x120")
        | row("1x120", indicator="postal.standing", verdict="met", as_of="0+300x120"),
        checks=(("2h30m", ()), ("3h40m", (ME,)), ("6h30m", (ME,)), ("6h50m", ())),
    ),
    Case(
        name="an expired target whose row vanished stays expired",
        alert="TargetExpired", kinds=("vanishes",), every="5m",
        series=row("10x30 stale", _DUE, as_of="0+300x30 stale"),
        checks=(("2h", (ME,)), ("12h", (ME,))),
    ),
    # -- interruptions
    Case(
        name="an interruption that is not known to be over fires after a day, and its report ends it",
        alert="InterruptionOverdue", kinds=("fires", "quiet", "resolves"), every="1h",
        series=row("_x4 14400x40 stale", "coverage_unresolved_since_timestamp_seconds", as_of="0+3600x60"),
        checks=(("28h", ()), ("30h", (ME,)), ("46h", ())),
    ),
    Case(
        name="communes that take turns, each over within a day, are quiet",
        alert="InterruptionOverdue", kinds=("quiet",), every="1h",
        series=row(" ".join(f"{n * 43200}x11" for n in range(6)), "coverage_unresolved_since_timestamp_seconds", as_of="0+3600x71"),
        checks=tuple((f"{hour}h", ()) for hour in (20, 40, 60, 70)),
    ),
    Case(
        name="an interruption whose row vanished is not over",
        alert="InterruptionOverdue", kinds=("vanishes",), every="1h",
        series=row("0x30 stale", "coverage_unresolved_since_timestamp_seconds", as_of="0+3600x30 stale"),
        checks=(("29h", (ME,)), ("40h", (ME,))),
    ),
    # -- processes
    Case(
        name="all processes that answer, and a sender that was never there, are quiet",
        alert="PipelineDown", kinds=("quiet",), series=_all_up(60, "notify", "gateway"), checks=(("20m", ()),),
    ),
    Case(
        name="one worker of two that does not answer fires, and ends when it does",
        alert="PipelineDown", kinds=("fires", "resolves"),
        series=_all_up(80, "worker") | _up("worker", "1x80", "a:1") | _up("worker", "1x9 0x30 1x40", "b:1"),
        checks=(("6m", ()), ("11m", ({"job": "phusong-worker"},)), ("21m", ())),
    ),
    Case(
        name="a job whose name no longer resolves fires, also one that need not be there",
        alert="PipelineDown", kinds=("vanishes",),
        series=_all_up(120, "gateway", "worker") | _up("gateway", "1x9 stale") | _up("worker", "1x9 stale"),
        checks=(("4m", ()), *((when, ({"job": "phusong-gateway"}, {"job": "phusong-worker"})) for when in ("11m", "50m"))),
    ),
    Case(
        name="when nothing was ever there, feed, worker and rows are down",
        alert="PipelineDown", kinds=("fires",), series={"nothing": "0x60"},
        checks=(("4m", ()), ("6m", ({"job": "phusong-feed"}, {"job": "phusong-worker"}, {"job": "rows"}))),
    ),
    Case(
        name="a feed that answers without a single row is down",
        alert="PipelineDown", kinds=("fires",), series=_all_up(60, "rows"), checks=(("6m", ({"job": "rows"},)),),
    ),
    # -- stalled
    Case(
        name="rows that are published are quiet, also over a pause of a minute",
        alert="PipelineStalled", kinds=("quiet",),
        series=_published("0+30x20 stale stale 690+30x40") | _published("0+30x20 stale stale 690+30x40", "a.c"),
        checks=(("11m30s", ()), ("25m", ())),
    ),
    Case(
        name="rows that stand still are stalled, and rows that move end it",
        alert="PipelineStalled", kinds=("fires", "resolves"),
        series=_published("0+30x10 300x18 900+30x20"),
        checks=(("8m", ()), ("10m", ({"province": "08"},)), ("15m", ())),
    ),
    Case(
        name="one row left behind is stalled though its neighbours move",
        alert="PipelineStalled", kinds=("fires",),
        series=_published("0+30x40") | _published("0+30x10 300x30", "a.c"),
        checks=(("10m", ({"province": "08"},)),),
    ),
    Case(
        name="one row that leaves on purpose is not stalled while the rest of its province moves",
        alert="PipelineStalled", kinds=("quiet",),
        series=_published("0+30x100") | _published("0+30x10 stale", vintage="2019-01-01"),
        checks=(("40m", ()),),
    ),
    Case(
        name="a province that leaves with its list is not stalled",
        alert="PipelineStalled", kinds=("quiet",),
        series=_published("0+30x100") | _published("0+30x10 stale", province="02") | {"phusong_feed_ready": "1x100"},
        checks=(("40m", ()),),
    ),
    Case(
        name="provinces that nobody shows any more are stalled, as long as no feed is ready",
        alert="PipelineStalled", kinds=("vanishes",),
        series=_published("0+30x10 stale _x80 2700+30x9") | _published("0+30x10 stale", province="02")
        | {"phusong_feed_ready": "1x10 0x20 stale _x60 1x9"},
        checks=(("10m", ({"province": "02"}, {"province": "08"})), ("45m", ({"province": "02"}, {"province": "08"})), ("48m", ())),
    ),
    # -- lag
    Case(
        name="events that nobody reads fire, few as they are, and end when they are read",
        alert="LagKeepsIncreasing", kinds=("fires", "resolves"),
        series=_lag("0x9 5x90 0x60"),
        checks=(("30m", ()), ("40m", (TOPIC,)), ("52m", ())),
    ),
    Case(
        name="lag that grows fires, a burst that is worked off does not",
        alert="LagKeepsIncreasing", kinds=("fires", "quiet"),
        series=_lag("10+10x100") | {k.replace("postal", "telecom"): v for k, v in _lag("100000-900x100 0x20").items()},
        checks=(("40m", (TOPIC,)),),
    ),
    Case(
        name="lag of workers that are all gone is not worked off",
        alert="LagKeepsIncreasing", kinds=("vanishes",), every="1m",
        series=_lag("5x60 stale"),
        checks=(("50m", (TOPIC,)), ("3h", (TOPIC,))),
    ),
    # -- dead letters
    Case(
        name="dead letters of one reason fire, and end an hour after the last, also when their worker vanishes",
        alert="DeadLettersGrowing", kinds=("fires", "resolves", "vanishes"),
        # two workers: each counts what it rejected itself; one is started anew, one is gone
        series=_dead("key_mismatch", "0x19 2x200") | _dead("key_mismatch", "0x19 1x10 0x30 stale", "b:1") | _dead("schema", "0x220"),
        checks=(("9m30s", ()), ("40m", ({"reason": "key_mismatch"},)), ("1h", ({"reason": "key_mismatch"},)), ("1h15m", ())),
    ),
    Case(
        name="dead letters that were there before are quiet",
        alert="DeadLettersGrowing", kinds=("quiet",), series=_dead("schema", "7x200"), checks=(("90m", ()),),
    ),
    # -- gateway
    Case(
        name="a gateway without Kafka or keys fires by what it lacks, and ends with it",
        alert="GatewayRefusing", kinds=("fires", "quiet", "resolves"),
        series=_gateway("1x9 0x30 1x40", "1x19 0x60"),
        checks=(("4m", ()), ("12m", ({"why": "kafka"},)), ("18m", ({"why": "kafka"}, {"why": "keys"})), ("21m", ({"why": "keys"},))),
    ),
    Case(
        name="a gateway that vanished has not recovered",
        alert="GatewayRefusing", kinds=("vanishes",), series=_gateway("0x20 stale", "1x20 stale"),
        checks=(("8m", ({"why": "kafka"},)), ("50m", ({"why": "kafka"},))),
    ),
    # -- webhook
    Case(
        name="a change that waits over a quarter of an hour fires, and its delivery ends it",
        alert="WebhookUndelivered", kinds=("fires", "quiet", "resolves"),
        series=_up("notify", "1x100") | {"phusong_webhook_undelivered_timestamp_seconds": "_x9 300x60 stale"},
        checks=(("15m", ()), ("25m", ({"outcome": "waiting"},)), ("36m", ())),
    ),
    Case(
        name="a change that was given up fires",
        alert="WebhookUndelivered", kinds=("fires",),
        series=_up("notify", "1x100") | {'phusong_webhook_deliveries_total{outcome="given_up"}': "0x9 1x90"},
        checks=(("4m", ()), ("10m", ({"outcome": "given_up"},))),
    ),
    Case(
        name="a sender that is gone has not delivered what waited",
        alert="WebhookUndelivered", kinds=("vanishes",),
        series=_up("notify", "1x40 stale") | {"phusong_webhook_undelivered_timestamp_seconds": "0x40 stale"},
        checks=(("19m", ({"outcome": "waiting"},)), ("50m", ({"outcome": "waiting"},))),
    ),
    # -- the weekly digest
    Case(
        name="what cannot be judged is told once reports are overdue, and no longer than that",
        alert="CoverageCannotTell", kinds=("fires", "quiet", "resolves"), every="5m",
        series=_uncertain("1x36 0x9", owed="0x9 3x36", completeness="0.5x45"),
        checks=(("1h30m", ()), ("2h30m", (ME,)), ("3h10m", ())),
    ),
    Case(
        name="all reports in, and still not decided: told",
        alert="CoverageCannotTell", kinds=("fires",), every="5m", series=_uncertain("1x30", owed="0x30", completeness="1x30"),
        checks=(("1h10m", (ME,)),),
    ),
    Case(
        name="a new list before its first deadline is not told",
        alert="CoverageCannotTell", kinds=("quiet",), every="5m", series=_uncertain("1x30", owed="0x30", completeness="0x30"),
        checks=(("2h", ()),),
    ),
    Case(
        name="a target that is not due yet is not told",
        alert="CoverageCannotTell", kinds=("quiet", "fires"), every="5m",
        series=_uncertain("1x45", owed="9x45", completeness="0.5x45", due="7200x45"),
        checks=(("2h50m", ()), ("3h10m", (ME,))),
    ),
    Case(
        name="what cannot be judged does not clear up because its row vanished",
        alert="CoverageCannotTell", kinds=("vanishes",), every="5m",
        series=_uncertain("1x30 stale", owed="9x30 stale", completeness="0.5x30 stale", as_of="0+300x30 stale"),
        checks=(("2h", (ME,)), ("12h", (ME,))),
    ),
    Case(
        name="reports that are missing after their deadline are told, before it they are not, and their arrival ends it",
        alert="CoverageDataIncomplete", kinds=("fires", "quiet", "resolves"), every="5m",
        series=_uncertain("1x45", owed="0x9 3x27 0x9", completeness="0.5x36 1x9"),
        checks=(("1h30m", ()), ("2h30m", (ME,)), ("3h10m", ())),
    ),
    Case(
        name="reports do not come in by vanishing",
        alert="CoverageDataIncomplete", kinds=("vanishes",), every="5m",
        series=_uncertain("1x30 stale", owed="9x30 stale", completeness="0.5x30 stale", as_of="0+300x30 stale"),
        checks=(("2h", (ME,)), ("12h", (ME,))),
    ),
)  # fmt: skip
