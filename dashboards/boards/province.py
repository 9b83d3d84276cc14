"""«Tổng quan tỉnh»: one province at a glance, a row for each indicator. Comes in: messages. Goes out: panels. Owns no state."""

from __future__ import annotations

from collections.abc import Iterator

from dashboards.boards.frame import Frame, indicator_page
from dashboards.names import Board, Panel
from dashboards.panels import AnyPanel, Column, Label, Panels, board_address, instant, named, over_time, prop, share, verdict_values
from dashboards.promql import PROVINCE, cut, latest, milliseconds, verdict_code, with_indicator
from dashboards.sdk import DataTransformerConfig, dashboard, models, stat, table

MIDDLE = ',estimate="middle"'


def variables(frame: Frame) -> Iterator[dashboard.QueryVariable]:
    """Province."""
    yield frame.province()


def panels(make: Panels) -> Iterator[AnyPanel]:
    """Head figures, the table of indicators, and what lies ahead."""
    yield _verdict_counts(make)
    yield origins(make, 1, PROVINCE)
    yield make.stat("as_of", 2, make.say.word("moment", "units"), width=5).with_target(
        instant("A", milliseconds(f"min({latest('coverage_as_of_timestamp_seconds', PROVINCE, 'indicator')})"))
    )
    yield (
        make.stat("age", 5, "s", width=3, steps=(("green", None), ("orange", 60), ("red", 120)))
        .decimals(0)
        .with_target(instant("A", f"time() - min({latest('coverage_published_timestamp_seconds', PROVINCE, 'indicator')})"))
    )
    yield _verdicts(make)
    yield _trends(make)
    yield _targets(make)
    yield _projections(make)


def origins(make: Panels, number: int, where: str) -> stat.Panel:
    """How many indicators have real, assumed, simulated data."""
    panel = (
        make.stat("origins", number, "none", width=6)
        .text_mode(models.BigValueTextMode.VALUE_AND_NAME)
        .with_target(instant("A", f"sum by (origin) ({latest('coverage_origin', where, 'indicator', 'origin')})", "{{origin}}"))
    )
    return named(panel, make.say.values("origins"))


def indicator_labels(make: Panels) -> tuple[Label, Label]:
    """The columns that name an indicator: its name leads to its dashboard and to its gaps, its id to its page."""
    chosen = ("var-province=${province}", "var-indicator=${__data.fields.indicator}")
    links = (
        (make.say.word("to_indicator", "links"), board_address(Board.INDICATOR, make.lang, *chosen)),
        (make.say.word("to_gaps", "links"), board_address(Board.GAPS, make.lang, *chosen)),
    )
    page = indicator_page(make.lang, "${__data.fields.indicator}", "province=${province}")
    return (
        Label(label="indicator_name", word="indicator", links=links, width=330),
        Label(label="indicator", word="indicator_code", links=((make.say.word("to_indicator_evidence", "links"), page),), width=230),
    )


def _verdict_counts(make: Panels) -> stat.Panel:
    panel = (
        make.stat("verdicts_count", 4, "none", width=10)
        .text_mode(models.BigValueTextMode.VALUE_AND_NAME)
        .with_target(instant("A", f"sum by (verdict) ({latest('coverage_verdict', PROVINCE, 'indicator', 'verdict')})", "{{verdict}}"))
    )
    return named(panel, make.say.values("verdicts"))


def _rests_on(origin: str) -> str:
    # a weight may be assumed where every statement is real
    stated = _of("coverage_origin", where=f',origin="{origin}"')
    marked = _of("coverage_marks", where=f',mark="{origin}"')
    return f"{stated} + {marked} > bool 0"


def _of(metric: str, *more: str, where: str = "", after: str = "") -> str:
    return latest(metric, PROVINCE + where, "indicator", *more, after=after)


def _verdicts(make: Panels) -> table.Panel:
    name, code = indicator_labels(make)
    origin = make.say.values("origins")
    return make.table(
        "verdicts",
        Panel.VERDICTS,
        (name, Label(label="owner", word="owner", width=150), code),
        (
            Column(word="verdict", expr=verdict_code(PROVINCE, "indicator"), values=verdict_values(make.say), width=190),
            share("ratio", cut(with_indicator(_of("coverage_ratio"), make.lang))),
            share("low", cut(_of("coverage_low_ratio"))),
            share("high", cut(_of("coverage_high_ratio"))),
            share("target", _of("coverage_target_ratio")),
            share("completeness", cut(_of("coverage_completeness_ratio"))),
            share("change", f"{_of('coverage_ratio')} - {_of('coverage_ratio', after=' offset $__range')}"),
            Column(word="covered", expr=_of("coverage_covered"), unit="locale", width=95),
            Column(word="expected", expr=_of("coverage_expected"), unit="locale", width=95),
            Column(
                word="since",
                expr=milliseconds(_of("coverage_verdict_since_timestamp_seconds")),
                unit=make.say.word("day", "units"),
                width=115,
            ),
            Column(
                word="assumed",
                expr=_rests_on("assumed"),
                values={"1": origin["assumed"], "0": make.say.plain("none")},
                width=110,
            ),
            Column(
                word="simulated",
                expr=_rests_on("simulated"),
                values={"1": origin["simulated"], "0": make.say.plain("none")},
                width=110,
            ),
            Column(word="", expr=_of("coverage_acknowledged", "owner")),
        ),
        height=16,
        order=(
            *("indicator", "verdict", "ratio", "low", "high", "target", "completeness", "change", "covered", "expected", "since"),
            *("owner", "assumed", "simulated", "indicator_code"),
        ),
    )


def _trends(make: Panels) -> table.Panel:
    panel = make.table("trends", 14, indicator_labels(make), (), width=12, height=11)
    return (
        panel.with_target(over_time("A", with_indicator(_of("coverage_ratio"), make.lang), "{{indicator_name}}"))
        .transformations(
            [
                DataTransformerConfig(id_val="timeSeriesTable", options={}),
                DataTransformerConfig(
                    id_val="organize",
                    options={
                        "indexByName": {"indicator_name": 0, "Trend #A": 1, "indicator": 2},
                        "renameByName": {
                            "indicator_name": make.say.word("indicator"),
                            "Trend #A": make.say.word("trend"),
                            "Trend": make.say.word("trend"),
                            "indicator": make.say.word("indicator_code"),
                        },
                    },
                ),
            ]
        )
        .override_by_name(
            make.say.word("trend"),
            [
                prop("unit", "percentunit"),
                prop("decimals", 1),
                prop("min", 0),
                prop("max", 1),
                prop("custom.cellOptions", {"type": "sparkline"}),
            ],
        )
    )


def _projections(make: Panels) -> table.Panel:
    def moment(estimate: str) -> str:
        # "not at that pace" is infinity, which no calendar shows
        return milliseconds(_of("coverage_projected_timestamp_seconds", where=f',estimate="{estimate}"', after=" < +Inf"))

    day = make.say.word("day", "units")
    middle, due = _of("coverage_projected_timestamp_seconds", where=MIDDLE), _of("coverage_target_due_timestamp_seconds")
    dash = make.say.word("none", "empty")
    return make.table(
        "projections",
        Panel.PROJECTIONS,
        indicator_labels(make),
        (
            # 1: by the due date, 2: after it, 3: never
            Column(
                word="outlook",
                expr=with_indicator(f"1 + ({middle} > bool {due}) + ({middle} == bool +Inf)", make.lang),
                values=make.say.values("outlooks"),
            ),
            Column(word="due", expr=milliseconds(f"{due} and {middle}"), unit=day, width=115),
            Column(word="earliest", expr=moment("earliest"), unit=day, null=dash, width=115),
            Column(word="middle", expr=moment("middle"), unit=day, null=dash, width=115),
            Column(word="latest", expr=moment("latest"), unit=day, null=dash, width=115),
        ),
        width=24,
        height=7,
    )


def _targets(make: Panels) -> table.Panel:
    due = _of("coverage_target_due_timestamp_seconds")
    dash = make.say.word("none", "empty")
    return make.table(
        "targets",
        Panel.TARGETS,
        indicator_labels(make),
        (
            share("target", with_indicator(_of("coverage_target_ratio"), make.lang)),
            Column(word="due", expr=milliseconds(due), unit=make.say.word("day", "units"), null=dash, width=115),
            Column(
                word="days_left",
                expr=f"floor(({due} - {_of('coverage_as_of_timestamp_seconds')}) / 86400)",
                unit=make.say.word("days", "units"),
                null=dash,
                width=115,
                steps=(("red", None), ("orange", 0), ("text", 90)),
            ),
        ),
        width=12,
        height=11,
    )
