"""«Xã còn thiếu»: which communes and villages, since when, who said so. Comes in: messages. Goes out: panels. Owns no state."""

from __future__ import annotations

from collections.abc import Iterator

from dashboards.boards.frame import Frame, commune_page
from dashboards.boards.province import indicator_labels
from dashboards.names import Panel
from dashboards.panels import AnyPanel, Column, Label, Panels, instant, named
from dashboards.promql import ANY_INDICATOR, COMMUNE, NO_DISTRICT, districts, latest, milliseconds, with_indicator
from dashboards.sdk import dashboard, models, table

ONE = ("indicator", *COMMUNE)
OBSERVED = "coverage_gap_observed_timestamp_seconds"


def variables(frame: Frame) -> Iterator[dashboard.QueryVariable]:
    """Province, one indicator or every one."""
    yield frame.province()
    yield frame.indicator(every=True)


def panels(make: Panels) -> Iterator[AnyPanel]:
    """How many, where, and the list."""
    counted = latest(OBSERVED, ANY_INDICATOR, *ONE, "state")
    yield named(
        make.stat("by_state", 30, "none", width=8, height=5)
        .text_mode(models.BigValueTextMode.VALUE_AND_NAME)
        .with_target(instant("A", f"count by (state) ({counted})", "{{state}}")),
        make.say.values("states"),
    )
    yield _interruptions(make)
    yield _gaps(make)
    by_indicator = with_indicator(f"count by (indicator) ({latest(OBSERVED, ANY_INDICATOR, *ONE)})", make.lang)
    yield make.bars("by_indicator", 33, "none", width=12, height=11).with_target(instant("A", by_indicator, "{{indicator_name}}"))
    yield make.table(
        "by_district",
        34,
        (Label(label="district", word="district", values={NO_DISTRICT: make.say.plain("no_district")}),),
        (Column(word="gaps", expr=districts(f"count by (district) ({latest(OBSERVED, ANY_INDICATOR, *ONE, 'district')})")),),
        width=12,
        height=11,
        sort=("gaps", True),
    )


def _interruptions(make: Panels) -> table.Panel:
    def marked(mark: str) -> str:
        return latest("coverage_marks", f'{ANY_INDICATOR},mark="{mark}"', "indicator")

    shown = f"{marked('unresolved')} + {marked('interrupted')} > 0"
    return make.table(
        "interruptions",
        Panel.INTERRUPTIONS,
        indicator_labels(make),
        (
            Column(
                word="past_end",
                expr=with_indicator(f"{marked('unresolved')} and ({shown})", make.lang),
                steps=(("text", None), ("red", 1)),
                width=170,
            ),
            Column(
                word="past_end_since",
                expr=milliseconds(latest("coverage_unresolved_since_timestamp_seconds", ANY_INDICATOR, "indicator")),
                unit=make.say.word("day", "units"),
                null=make.say.word("none", "empty"),
                width=150,
            ),
            Column(word="under_way", expr=f"{marked('interrupted')} and ({shown})", width=150),
        ),
        width=16,
        height=5,
        sort=("past_end", True),
    )


def _gaps(make: Panels) -> table.Panel:
    labels = (*ONE, "name", "district", "state", "villages", "sources")
    observed = with_indicator(latest(OBSERVED, ANY_INDICATOR, *labels), make.lang)
    page = commune_page(make.lang, *(f"${{__data.fields.{field}}}" for field in ("vintage", "commune", "indicator")))
    name, code = indicator_labels(make)
    return make.table(
        "gaps",
        Panel.INTERRUPTIONS + 1,
        (
            Label(label="name", word="commune", links=((make.say.word("to_evidence", "links"), page),), width=190),
            Label(label="district", word="district", width=170),
            name,
            Label(label="state", word="state", values=make.say.values("states"), width=160),
            Label(label="villages", word="villages"),
            Label(label="sources", word="sources", width=220),
            Label(label="commune", word="commune_code", width=90),
            Label(label="vintage", word="vintage", width=120),
            code,
            Label(label="province", word="province", width=70),
        ),
        (
            Column(
                word="observed",
                expr=milliseconds(observed),
                unit=make.say.word("day", "units"),
                values={"0": make.say.plain("never")},
                width=130,
            ),
        ),
        height=14,
        order=("commune", "district", "indicator", "state", "villages", "observed", "sources"),
    )
