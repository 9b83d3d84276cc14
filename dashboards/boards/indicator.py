"""«Một chỉ tiêu»: its course, districts, communes and dots. Comes in: messages. Goes out: panels. Owns no state."""

from __future__ import annotations

from collections.abc import Iterator

from dashboards.boards.frame import Frame, commune_page, indicator_page
from dashboards.boards.province import MIDDLE, origins
from dashboards.panels import (
    SOURCE,
    AnyPanel,
    Column,
    Label,
    Panels,
    colour,
    instant,
    named,
    over_time,
    prop,
    share,
    thresholds,
    verdict_values,
)
from dashboards.promql import (
    COMMUNE,
    INDICATOR,
    NO_DISTRICT,
    PROVINCE,
    by_district,
    commune_weights,
    cut,
    districts,
    latest,
    milliseconds,
    verdict_code,
)
from dashboards.sdk import DataTransformerConfig, MapCenterID, TooltipMode, common, dashboard, geomap, models, stat, table, timeseries

COLOURS = (("red", None), ("orange", 0.5), ("yellow", 0.8), ("green", 1.0))
"""By share: the text always says the figure, too."""

_NO_TILES = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
"""One transparent pixel for every tile. Grafana has no "no base layer", and one left empty loads a foreign map."""


def variables(frame: Frame) -> Iterator[dashboard.QueryVariable]:
    """Province, indicator."""
    yield frame.province()
    yield frame.indicator()


def vintages(frame: Frame) -> dashboard.AnnotationQuery:
    """Marks where a list of communes came into force."""
    return (
        dashboard.AnnotationQuery()
        .name(frame.say.word("vintages", "annotations"))
        .datasource(SOURCE)
        .enable(True)
        .hide(False)
        .icon_color("blue")
        .expr(milliseconds(latest("coverage_vintage_start_timestamp_seconds", "", "vintage")))
        .use_value_for_time(True)
        .step("1h")
        .title_format(frame.say.word("vintages", "annotations"))
        .text_format(frame.say.word("vintage", "annotations"))
    )


def panels(make: Panels) -> Iterator[AnyPanel]:
    """Head figures, history, districts, communes, map."""
    day = make.say.word("day", "units")
    yield _interval(make)
    yield _verdict(make)
    yield make.stat("target", 103, "percentunit", width=3).decimals(2).with_target(instant("A", latest("coverage_target_ratio", INDICATOR)))
    yield make.stat("due", 104, day, width=3).with_target(
        instant("A", milliseconds(latest("coverage_target_due_timestamp_seconds", INDICATOR)))
    )
    yield (
        make.stat("completeness", 105, "percentunit", width=3, steps=(("red", None), ("orange", 0.8), ("green", 1)))
        .decimals(1)
        .with_target(instant("A", cut(latest("coverage_completeness_ratio", INDICATOR))))
    )
    yield make.stat("projection", 107, day, width=3).with_target(
        instant("A", milliseconds(latest("coverage_projected_timestamp_seconds", INDICATOR + MIDDLE, after=" < +Inf")))
    )
    yield _history(make)
    yield _definition(make)
    yield _verdict_history(make)
    yield origins(make, 106, INDICATOR)
    yield _states(make)
    yield _marks(make)
    yield _districts(make)
    yield _communes(make)
    yield _map(make)
    yield _located(make)


LOCATED = ',latitude!="",longitude!=""'


def _located(make: Panels) -> stat.Panel:
    panel = make.stat("located", 115, "none", width=4, height=14).text_mode(models.BigValueTextMode.VALUE_AND_NAME)
    for ref, word, where in (("A", "located", LOCATED), ("B", "expected", "")):
        count = f"count({latest('coverage_commune_info', PROVINCE + where, *COMMUNE)})"
        panel = panel.with_target(instant(ref, f"{count} or vector(0)", make.say.word(word)))
    return panel


def _interval(make: Panels) -> stat.Panel:
    lines = {"A": ("low", "coverage_low_ratio"), "B": ("ratio", "coverage_ratio"), "C": ("high", "coverage_high_ratio")}
    panel = make.stat("interval", 101, "percentunit", width=8).decimals(2).text_mode(models.BigValueTextMode.VALUE_AND_NAME)
    for ref, (word, metric) in lines.items():
        panel = panel.with_target(instant(ref, cut(latest(metric, INDICATOR)), make.say.word(word)))
    return panel


def _verdict(make: Panels) -> stat.Panel:
    panel = (
        make.stat("verdict", 102, "none")
        .text_mode(models.BigValueTextMode.NAME)
        .color_mode(models.BigValueColorMode.BACKGROUND)
        .with_target(instant("A", latest("coverage_verdict", INDICATOR, "verdict", after=" == 1"), "{{verdict}}"))
    )
    return named(panel, make.say.values("verdicts"))


def _definition(make: Panels) -> table.Panel:
    page = indicator_page(make.lang, "${__data.fields.indicator}", "province=${province}")
    return make.table(
        "definition",
        116,
        (
            Label(label="indicator", word="indicator_code", links=((make.say.word("to_indicator_evidence", "links"), page),)),
            Label(label="domain", word="domain", values=make.say.values("domains")),
            Label(label="base", word="base", values=make.say.values("bases")),
            Label(label="period", word="period", values=make.say.values("periods")),
        ),
        (Column(word="", expr='max by (indicator, domain, base, period) (coverage_indicator_info{indicator="$indicator"})'),),
        width=6,
        height=10,
    )


def _history(make: Panels) -> timeseries.Panel:
    high, ratio, low, target = (make.say.word(key) for key in ("high", "ratio", "low", "target"))
    panel = make.lines("history", 110, "percentunit", width=18, height=10).decimals(2).max(1)
    for ref, name, metric in (
        ("A", high, "coverage_high_ratio"),
        ("B", ratio, "coverage_ratio"),
        ("C", low, "coverage_low_ratio"),
        ("D", target, "coverage_target_ratio"),
    ):
        panel = panel.with_target(over_time(ref, latest(metric, INDICATOR), name))
    return (
        panel.override_by_name(high, [prop("custom.fillBelowTo", low), prop("custom.fillOpacity", 15), colour("blue")])
        .override_by_name(low, [colour("blue")])
        .override_by_name(ratio, [prop("custom.lineWidth", 3), colour("green")])
        .override_by_name(target, [prop("custom.lineStyle", {"fill": "dash", "dash": [10, 10]}), colour("red")])
    )


def _verdict_history(make: Panels) -> AnyPanel:
    panel = make.strip("verdict_history", 111, verdict_values(make.say), width=18, height=4)
    return panel.with_target(over_time("A", verdict_code(INDICATOR), make.say.word("verdict")))


def _marks(make: Panels) -> AnyPanel:
    panel = make.bars("marks", 118, "none", width=12, height=9).with_target(
        instant("A", latest("coverage_marks", INDICATOR, "mark"), "{{mark}}")
    )
    return named(panel, make.say.values("marks"))


def _states(make: Panels) -> AnyPanel:
    panel = make.bars("states", 117, "none", width=12, height=9).with_target(
        instant("A", latest("coverage_units", INDICATOR, "state"), "{{state}}")
    )
    return named(panel, make.say.values("states"))


def _districts(make: Panels) -> table.Panel:
    ratio, covered, total = (
        districts(latest(f"district:coverage_{one}", INDICATOR, "district")) for one in ("ratio:ratio", "covered:sum", "expected:sum")
    )
    reported = latest("coverage_commune_ratio", INDICATOR, *COMMUNE)
    every = latest("coverage_commune_info", PROVINCE, *COMMUNE)
    return make.table(
        "districts",
        112,
        (Label(label="district", word="district", values={NO_DISTRICT: make.say.plain("no_district")}),),
        (
            share("ratio", cut(ratio), steps=COLOURS),
            Column(word="covered", expr=covered, unit="locale", decimals=0, width=100),
            Column(word="expected", expr=total, unit="locale", decimals=0, width=100),
            Column(word="communes", expr=by_district(every), width=100),
            Column(word="unknown_communes", expr=by_district(f"({every} unless {reported}) or 0 * {every}"), width=140),
        ),
        width=10,
        height=14,
        sort=("ratio", False),
    )


def _communes(make: Panels) -> table.Panel:
    gaps = latest("coverage_gap_observed_timestamp_seconds", INDICATOR, *COMMUNE, "name", "district", "state")
    of_gaps = f"and on ({', '.join(COMMUNE)}) {gaps}"
    ratio = latest("coverage_commune_ratio", INDICATOR, *COMMUNE)
    weights = commune_weights()
    page = commune_page(make.lang, "${__data.fields.vintage}", "${__data.fields.commune}", "${indicator}")
    return make.table(
        "communes",
        113,
        (
            Label(label="name", word="commune", links=((make.say.word("to_evidence", "links"), page),), width=200),
            Label(label="district", word="district"),
            Label(label="state", word="state", values=make.say.values("states"), width=150),
            Label(label="commune", word="commune_code", width=90),
            Label(label="vintage", word="vintage", width=120),
            Label(label="province", word="province", width=70),
        ),
        (
            Column(
                word="observed",
                expr=milliseconds(gaps),
                unit=make.say.word("day", "units"),
                values={"0": make.say.plain("never")},
                width=120,
            ),
            # all of its weight where there is no share
            Column(word="missing", expr=f"({weights} * (1 - {ratio}) or {weights}) {of_gaps}", unit="locale", decimals=1, width=100),
            share("ratio", f"{ratio} {of_gaps}", decimals=1, width=100, steps=COLOURS),
            Column(word="weight", expr=f"{weights} {of_gaps}", unit="locale", decimals=0, width=90),
        ),
        width=14,
        height=14,
        sort=("missing", True),
        order=("commune", "district", "missing", "ratio", "weight", "state", "observed", "commune_code", "vintage", "province"),
    )


def _map(make: Panels) -> geomap.Panel:
    place = ("name", "latitude", "longitude")
    info = latest("coverage_commune_info", PROVINCE + LOCATED, *COMMUNE, *place)
    ratio = latest("coverage_commune_ratio", INDICATOR, *COMMUNE)
    key = ", ".join(COMMUNE)
    heads = {"name": make.say.word("commune"), "Value": make.say.word("ratio")}
    markers = {
        "showLegend": True,
        "style": {
            "color": {"field": "Value", "fixed": "text"},
            "opacity": 0.9,
            "size": {"fixed": 7, "min": 4, "max": 12},
            "symbol": {"fixed": "img/icons/marker/circle.svg", "mode": "fixed"},
        },
    }
    location = common.FrameGeometrySource().mode(models.FrameGeometrySourceMode.COORDS).latitude("latitude").longitude("longitude")
    return (
        make.map("map", 114, "percentunit", width=20, height=14)
        .decimals(1)
        .min(0)
        .max(1)
        .thresholds(thresholds(COLOURS))
        .with_target(instant("A", f"{ratio} * on ({key}) group_left ({', '.join(place)}) {info}", rows=True))
        .transformations(
            [
                DataTransformerConfig(
                    id_val="convertFieldType",
                    options={
                        "conversions": [
                            {"targetField": "latitude", "destinationType": "number"},
                            {"targetField": "longitude", "destinationType": "number"},
                        ],
                        "fields": {},
                    },
                ),
                DataTransformerConfig(
                    id_val="organize",
                    options={"excludeByName": {"Time": True}, "indexByName": {"name": 0, "Value": 1}, "renameByName": heads},
                ),
            ]
        )
        .override_by_regexp("^(latitude|longitude)$", [prop("unit", "degree"), prop("decimals", 4)])
        .basemap(common.MapLayerOptions().type("xyz").name("–").config({"url": _NO_TILES, "attribution": ""}))
        .layers([common.MapLayerOptions().type("markers").name(make.say.word("commune")).config(markers).location(location).tooltip(True)])
        .view(geomap.MapViewConfig().id(MapCenterID.FIT).all_layers(True).padding(10).zoom(12))
        .controls(geomap.ControlsOptions().show_zoom(True).mouse_wheel_zoom(False).show_attribution(False).show_scale(True))
        .tooltip(geomap.TooltipOptions().mode(TooltipMode.DETAILS))
    )
