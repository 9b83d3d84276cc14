"""«Báo cáo»: who is due, how complete and reliable, what was rejected. Comes in: messages. Goes out: panels. Owns no state."""

from __future__ import annotations

from collections.abc import Iterator

from dashboards.boards.frame import Frame
from dashboards.boards.province import indicator_labels
from dashboards.names import Panel
from dashboards.panels import AnyPanel, Column, Label, Panels, instant, named, over_time, share
from dashboards.promql import PROVINCE, cut, latest, milliseconds, with_indicator, with_reporter
from dashboards.sdk import dashboard, table, timeseries

OBLIGATION = ("reporter", "indicator")
DEAD_LETTERS = "sum by (reason) (increase(phusong_dead_letters_total[{}]))"
"""Each is counted by the one worker that rejected it."""


def variables(frame: Frame) -> Iterator[dashboard.QueryVariable]:
    """Province."""
    yield frame.province()


def panels(make: Panels) -> Iterator[AnyPanel]:
    """Who owes what, then how good what came is."""
    owes = latest("coverage_reporter_overdue_communes", PROVINCE, "reporter")
    yield make.stat("overdue_count", 40, "none", width=4, height=10, steps=(("green", None), ("red", 1))).with_target(
        instant("A", f"sum({owes} > bool 0)")
    )
    yield _overdue(make)
    yield _completeness(make)
    yield _states(make)
    yield _due(make)
    yield _reliability(make)
    yield named(
        make.bars("marks", 46, "none", width=12, height=9).with_target(
            instant("A", f"sum by (mark) ({latest('coverage_marks', PROVINCE, 'indicator', 'mark')})", "{{mark}}")
        ),
        make.say.values("marks"),
    )
    oldest = latest("coverage_oldest_observed_timestamp_seconds", PROVINCE, "indicator")
    yield make.table(
        "oldest",
        49,
        indicator_labels(make),
        (Column(word="oldest", expr=milliseconds(with_indicator(oldest, make.lang)), unit=make.say.word("day", "units"), width=130),),
        width=12,
        height=9,
        sort=("oldest", False),
    )
    yield _dead_letters(make)
    yield make.table(
        "dead_letters_total",
        48,
        (Label(label="reason", word="reason", values=make.say.values("reasons")),),
        (Column(word="records", expr=DEAD_LETTERS.format("$__range") + " > 0", decimals=0, width=130),),
        width=8,
        height=9,
        sort=("records", True),
    )


def _who(make: Panels) -> tuple[Label, ...]:
    return (
        Label(label="reporter_name", word="reporter"),
        *indicator_labels(make),
        Label(label="reporter", word="reporter_code", width=220),
    )


def _overdue(make: Panels) -> table.Panel:
    owed = f"{latest('coverage_reporter_overdue_communes', PROVINCE, *OBLIGATION)} > 0"
    due = latest("coverage_reporter_due_timestamp_seconds", PROVINCE, *OBLIGATION)
    as_of = latest("coverage_as_of_timestamp_seconds", PROVINCE, "indicator")
    return make.table(
        "overdue",
        Panel.OVERDUE,
        _who(make),
        (
            Column(word="overdue_communes", expr=with_reporter(with_indicator(owed, make.lang), make.lang), width=150),
            Column(
                word="deadline",
                expr=milliseconds(f"{due} and ({owed})"),
                unit=make.say.word("day", "units"),
                width=130,
            ),
            Column(
                word="days_overdue",
                expr=f"floor(({as_of} - on (indicator) group_right () ({due} and ({owed}))) / 86400)",
                unit=make.say.word("days", "units"),
                width=120,
                steps=(("orange", None), ("red", 30)),
            ),
        ),
        width=20,
        height=10,
        sort=("days_overdue", True),
        order=("reporter", "indicator", "overdue_communes", "deadline", "days_overdue"),
    )


def _due(make: Panels) -> table.Panel:
    due = latest("coverage_reporter_due_timestamp_seconds", PROVINCE, *OBLIGATION)
    owed = f"{latest('coverage_reporter_overdue_communes', PROVINCE, *OBLIGATION)} > 0"
    ahead = f"{due} unless ({owed})"
    return make.table(
        "due",
        44,
        _who(make),
        (
            Column(
                word="deadline",
                expr=milliseconds(with_reporter(with_indicator(ahead, make.lang), make.lang)),
                unit=make.say.word("day", "units"),
                width=130,
            ),
        ),
        width=12,
        height=9,
        sort=("deadline", False),
        order=("reporter", "indicator", "deadline"),
    )


def _reliability(make: Panels) -> table.Panel:
    ratio = latest("coverage_reliability_ratio", PROVINCE, *OBLIGATION)
    return make.table(
        "reliability",
        47,
        _who(make),
        (share("agreement", cut(with_reporter(with_indicator(ratio, make.lang), make.lang)), decimals=1, width=180),),
        width=12,
        height=9,
        sort=("agreement", False),
        order=("reporter", "indicator", "agreement"),
    )


def _completeness(make: Panels) -> AnyPanel:
    ratio = cut(with_indicator(latest("coverage_completeness_ratio", PROVINCE, "indicator"), make.lang))
    panel = make.bars(
        "completeness", Panel.COMPLETENESS, "percentunit", width=12, height=11, steps=(("red", None), ("orange", 0.8), ("green", 1))
    )
    return panel.decimals(1).max(1).with_target(instant("A", ratio, "{{indicator_name}}"))


def _states(make: Panels) -> table.Panel:
    def of(state: str) -> str:
        return latest("coverage_units", f'{PROVINCE},state="{state}"', "indicator")

    words = {"fresh": "fresh_communes", "stale": "stale_communes", "unknown": "unknown_communes"}
    colours = {key: value.colour for key, value in make.say.values("states").items()}
    return make.table(
        "states",
        45,
        indicator_labels(make),
        tuple(
            Column(
                word=word,
                expr=with_indicator(of(state), make.lang) if state == "fresh" else of(state),
                steps=(("text", None), (colours[state], 1)),
                width=140,
            )
            for state, word in words.items()
        ),
        width=12,
        height=11,
        order=("indicator", *words.values()),
    )


def _dead_letters(make: Panels) -> timeseries.Panel:
    panel = make.lines("dead_letters", Panel.DEAD_LETTERS, "none", width=16, height=9).decimals(0).min(0)
    return named(panel.with_target(over_time("A", DEAD_LETTERS.format("1h"), "{{reason}}")), make.say.values("reasons"))
