"""What the measure of the alerts rests on: when an alert fires, what a page may rest on, and what counts as noticed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bench.alert_quality import Measured, Noticed, is_page, measured_rules, summary
from bench.quality.evaluation import Episode, Labels, Rule, duration, episodes, metrics_of, shipped
from bench.quality.grounds import PIPELINE, Injection, expired
from bench.quality.live import Observed, Result
from bench.quality.year import EXPIRING, FOLLOWED, MEASURING_SEEDS, PROVINCE, ROLLOVER_DUE, TUNING_SEEDS, rules, year
from producers.simulator.scenario import problems_of

HOUR = timedelta(hours=1)
BEGIN = datetime(2023, 1, 1, tzinfo=UTC)
MOMENTS = [BEGIN + number * HOUR for number in range(24)]
ROW: Labels = (("indicator", "postal.staffed_point"),)


def rule(hold: int = 0, keep: int = 0, **labels: str) -> Rule:
    return Rule("Some", "x > 0", hold * HOUR, keep * HOUR, labels)


def fired(one: Rule, *hours: int) -> list[tuple[int, int | None]]:
    """From and until which hour the rule fires, given in which its expression has a series."""
    found = episodes(one, {ROW: [MOMENTS[hour] for hour in hours]}, MOMENTS)
    return [((o.start - BEGIN) // HOUR, None if o.end is None else (o.end - BEGIN) // HOUR) for o in found]


@pytest.mark.parametrize(
    ("hold", "keep", "hours", "expected"),
    [
        (0, 0, (3, 4, 5), [(3, 6)]),
        (2, 0, (3, 4), []),
        (2, 0, (3, 4, 5), [(5, 6)]),
        (2, 0, (3, 4, 6, 7), []),
        (2, 0, (3, 4, 6, 7, 8), [(8, 9)]),
        (0, 2, (3, 4, 6), [(3, 9)]),
        (0, 2, (3, 4, 8), [(3, 7), (8, 11)]),
        (1, 3, (20, 21, 22, 23), [(21, None)]),
    ],
)
def test_an_alert_fires_after_its_hold_and_is_kept_as_prometheus_does_it(
    hold: int, keep: int, hours: tuple[int, ...], expected: list[tuple[int, int | None]]
) -> None:
    """`for` begins anew after each gap; `keep_firing_for` counts from the first evaluation without a series."""
    assert fired(rule(hold, keep), *hours) == expected


def test_an_episode_has_the_labels_of_series_and_rule() -> None:
    """What stands in a template is filled in from the series."""
    (one,) = episodes(rule(severity="warning", about="{{ $labels.indicator }}"), {ROW: MOMENTS[:1]}, MOMENTS)
    assert one.labels == {"indicator": "postal.staffed_point", "severity": "warning", "about": "postal.staffed_point"}


def test_durations_are_those_of_prometheus() -> None:
    """A sum of numbers with units, and nothing else."""
    assert (duration("900s"), duration("1h30m"), duration("2d")) == (timedelta(minutes=15), timedelta(minutes=90), timedelta(days=2))
    with pytest.raises(ValueError, match="is no duration"):
        duration("1 hour")


def test_the_metrics_of_an_expression_are_its_names_outside_quotes() -> None:
    """A label's value is no metric, nor is a label."""
    expr = 'max by (job) (up{job="phusong-feed"}) or last_over_time(coverage_ratio[1d]) unless on (coverage) phusong_feed_ready == 1'
    assert metrics_of(expr) == {"up", "coverage_ratio", "phusong_feed_ready"}


def test_every_rule_that_calls_a_person_is_measured_or_belongs_to_the_pipeline() -> None:
    """A new alert is not let by unmeasured."""
    calling = {one.name for one in shipped() if is_page(one.labels)}
    assert calling - {one.name for one in measured_rules()} <= PIPELINE


def test_the_measuring_seeds_are_none_of_those_that_rules_are_tuned_on() -> None:
    """Five at least, and never the same."""
    assert len(set(MEASURING_SEEDS)) >= 5
    assert not set(MEASURING_SEEDS) & set(TUNING_SEEDS)


@pytest.mark.parametrize("seed", [*TUNING_SEEDS, *MEASURING_SEEDS])
def test_what_is_injected_names_only_what_the_seeds_have(seed: int) -> None:
    """No incident is about nobody or nowhere."""
    assert not list(problems_of(year(seed).scenario, rules()))


def test_a_target_without_a_follower_is_ground_for_a_page_and_one_with_a_follower_is_not() -> None:
    """From its due date on."""
    assert next(expired(PROVINCE, EXPIRING)).start == ROLLOVER_DUE
    assert not list(expired(PROVINCE, FOLLOWED))


def page(start: int, end: int | None = None, **labels: str) -> Episode:
    return Episode("Some", labels, BEGIN + start * HOUR, None if end is None else BEGIN + end * HOUR)


@pytest.mark.parametrize(
    ("pages", "expected"),
    [
        ([page(7, province="08")], 2 * HOUR),
        ([page(3, province="08")], 0 * HOUR),
        ([page(3, 5, province="08")], None),
        ([page(9, province="08")], None),
        ([page(7, province="02")], None),
    ],
)
def test_what_is_noticed_is_noticed_by_its_alert_after_it_began_and_within_its_bound(
    pages: list[Episode], expected: timedelta | None
) -> None:
    """One that fires already is no delay; one that ended before, that comes too late, or is about another, notices nothing."""
    assert Injection("kind", BEGIN + 5 * HOUR, 3 * HOUR, "Some", {"province": "08"}).delay(pages) == expected


def test_an_exercise_and_a_digest_call_nobody() -> None:
    """A page is what a person gets at once."""
    assert is_page({"severity": "warning", "origin": "real"})
    assert not is_page({"severity": "warning", "origin": "simulated"})
    assert not is_page({"severity": "digest", "origin": "real"})


def test_the_summary_counts_by_kind_and_tells_days_for_coverage_and_seconds_for_the_pipeline() -> None:
    """A miss lowers the recall and has no delay; a page without a ground is a false one."""
    injected = Injection("late_reporter", BEGIN, timedelta(days=6), "CoverageReporterOverdue")
    missed = Injection("vintage", BEGIN, HOUR)
    measured = Measured(1, [Noticed(injected, timedelta(days=5)), Noticed(missed, None)], [page(1)], [(page(1), BEGIN)])
    told = summary([measured], Result([Observed("stalled_worker", "PipelineStalled", 200.04, 270)], ["LagKeepsIncreasing {}"]), 12.3)
    assert told["kinds"]["late_reporter"] == {
        "injected": 1,
        "found": 1,
        "delay_days_median": 5.0,
        "delay_days_max": 5.0,
        "bound_days": 6.0,
        "noticed_by": "CoverageReporterOverdue",
    }
    assert told["kinds"]["vintage"] == {
        "injected": 1,
        "found": 0,
        "delay_days_median": None,
        "delay_days_max": None,
        "bound_days": 0.04,
        "noticed_by": "figures",
    }
    assert told["kinds"]["stalled_worker"]["delay_seconds_max"] == 200.0
    assert (told["recall"], told["false_pages"], told["pages_per_week"], told["seeds"], told["seconds"]) == (2 / 3, 2, 0.02, [1], 12)
