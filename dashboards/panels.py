"""How panels look: the same kind of panel looks and behaves alike on every dashboard.

Comes in: a dashboard's messages and the queries of its panels. Goes out: panels of the foundation SDK, with title, description, unit and
what is shown where there is nothing. Owns no state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from dashboards.messages import Messages, Value
from dashboards.names import DATASOURCE_UID, Board, uid
from dashboards.promql import VERDICT_CODES
from dashboards.sdk import (
    DashboardSpecialValueMapOptions,
    DataTransformerConfig,
    DynamicConfigValue,
    PromQueryFormat,
    SpecialValueMap,
    SpecialValueMatch,
    Threshold,
    ValueMap,
    ValueMapping,
    ValueMappingResult,
    bargauge,
    common,
    dashboard,
    geomap,
    models,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)

SOURCE = models.DataSourceRef(type_val="prometheus", uid=DATASOURCE_UID)

P = TypeVar("P", bargauge.Panel, geomap.Panel, stat.Panel, statetimeline.Panel, table.Panel, timeseries.Panel)

AnyPanel = bargauge.Panel | geomap.Panel | stat.Panel | statetimeline.Panel | table.Panel | timeseries.Panel

Steps = Sequence[tuple[str, float | None]]
PLAIN: Steps = (("text", None),)


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table: the values of one query."""

    word: str
    """Key of its head; "": the query is there for its labels, its values are not shown."""
    expr: str
    unit: str = "none"
    decimals: int | None = None
    values: Mapping[str, Value] = field(default_factory=dict)
    """Words for numbers."""
    null: str = ""
    """What is shown where a row has no value."""
    width: int | None = None
    steps: Steps = ()
    """Colours of the text by value."""


@dataclass(frozen=True, kw_only=True)
class Label:
    """A column of a table: the values of one label."""

    label: str
    word: str
    values: Mapping[str, Value] = field(default_factory=dict)
    links: tuple[tuple[str, str], ...] = ()
    """Title and address of each."""
    width: int | None = None


class Panels:
    """The panels of one dashboard in one language."""

    def __init__(self, messages: Messages) -> None:
        self.say = messages
        self.lang = messages.lang

    def stat(self, key: str, number: int, unit: str, *, width: int = 4, height: int = 4, steps: Steps = PLAIN) -> stat.Panel:
        """One or a few large figures."""
        return (
            self._dressed(stat.Panel(), key, number, unit, width, height)
            .graph_mode(models.BigValueGraphMode.NONE)
            .color_mode(models.BigValueColorMode.VALUE)
            .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
            .thresholds(thresholds(steps))
        )

    def bars(self, key: str, number: int, unit: str, *, width: int, height: int, steps: Steps = PLAIN) -> bargauge.Panel:
        """A bar for each series."""
        return (
            self._dressed(bargauge.Panel(), key, number, unit, width, height)
            .orientation(models.VizOrientation.HORIZONTAL)
            .min(0)
            .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
            .thresholds(thresholds(steps))
        )

    def lines(self, key: str, number: int, unit: str, *, width: int, height: int = 8) -> timeseries.Panel:
        """Lines over time; a gap in the data stays a gap."""
        return (
            self._dressed(timeseries.Panel(), key, number, unit, width, height)
            .span_nulls(False)
            .fill_opacity(0)
            .legend(
                common.VizLegendOptions()
                .show_legend(True)
                .display_mode(models.LegendDisplayMode.LIST)
                .placement(models.LegendPlacement.BOTTOM)
            )
            .tooltip(common.VizTooltipOptions().mode(models.TooltipDisplayMode.MULTI).sort(models.SortOrder.DESCENDING))
        )

    def strip(self, key: str, number: int, values: Mapping[str, Value], *, width: int, height: int) -> statetimeline.Panel:
        """What held when, in words and colour."""
        return (
            self._dressed(statetimeline.Panel(), key, number, "none", width, height)
            .mappings(mapped(values))
            .span_nulls(False)
            .merge_values(True)
            .show_value(models.VisibilityMode.AUTO)
            .legend(common.VizLegendOptions().show_legend(False).display_mode(models.LegendDisplayMode.HIDDEN))
        )

    def map(self, key: str, number: int, unit: str, *, width: int, height: int) -> geomap.Panel:
        """Dots on a plain ground."""
        return self._dressed(geomap.Panel(), key, number, unit, width, height)

    def table(
        self,
        key: str,
        number: int,
        labels: Sequence[Label],
        columns: Sequence[Column],
        *,
        width: int = 24,
        height: int = 10,
        sort: tuple[str, bool] | None = None,
        order: Sequence[str] = (),
    ) -> table.Panel:
        """A row for each set of labels, a column for each label and query.

        `sort`: the key of the column to sort by, descending or not. `order`: keys of the first columns; the others follow, labels first.
        """
        panel = self._dressed(table.Panel(), key, number, "none", width, height).footer(
            common.TableFooterOptions().show(False).enable_pagination(True).reducer([])
        )
        refs = "ABCDEFGHIJKLMNOPQRS"[: len(columns)]
        names = ["Value"] if len(columns) == 1 else [f"Value #{ref}" for ref in refs]
        if len(columns) > 1:
            panel = panel.with_transformation(DataTransformerConfig(id_val="merge", options={}))
        shown = {name: column for name, column in zip(names, columns, strict=True) if column.word}
        heads = {one.label: self.say.word(one.word) for one in labels} | {
            name: self.say.word(column.word) for name, column in shown.items()
        }
        keys = {one.label: one.word for one in labels} | {name: column.word for name, column in shown.items()}
        placed = sorted(keys, key=lambda name: order.index(keys[name]) if keys[name] in order else len(order))
        hidden = ["Time", *(name for name in names if name not in shown)]
        panel = panel.with_transformation(
            DataTransformerConfig(
                id_val="organize",
                options={
                    "excludeByName": dict.fromkeys(hidden, True),
                    "indexByName": {name: at for at, name in enumerate(placed)},
                    "renameByName": heads,
                },
            )
        )
        for one in labels:
            if properties := _label_properties(one):
                panel = panel.override_by_name(heads[one.label], properties)
        for name, column in shown.items():
            panel = panel.override_by_name(heads[name], _column_properties(column))
        for ref, column in zip(refs, columns, strict=True):
            panel = panel.with_target(instant(ref, column.expr, rows=True))
        if sort is not None:
            panel = panel.sort_by([common.TableSortByFieldState().display_name(self.say.word(sort[0])).desc(sort[1])])
        return panel

    def _dressed(self, panel: P, key: str, number: int, unit: str, width: int, height: int) -> P:
        text = self.say.panel(key)
        return (
            panel.id(number)
            .title(text.title)
            .description(text.description)
            .no_value(text.empty)
            .datasource(SOURCE)
            .unit(unit)
            .span(width)
            .height(height)
        )


def share(word: str, expr: str, *, decimals: int = 2, null: str = "–", width: int | None = 100, steps: Steps = ()) -> Column:
    """A column of ratios."""
    return Column(word=word, expr=expr, unit="percentunit", decimals=decimals, null=null, width=width, steps=steps)


def instant(ref: str, expr: str, legend: str = "", *, rows: bool = False) -> prometheus.Dataquery:
    """What holds at the end of the time that is shown; `rows` for a table."""
    query = prometheus.Dataquery().ref_id(ref).datasource(SOURCE).instant().expr(expr)
    query = query.format(PromQueryFormat.TABLE) if rows else query
    return query.legend_format(legend) if legend else query


def over_time(ref: str, expr: str, legend: str) -> prometheus.Dataquery:
    """The course of it over the time that is shown."""
    return prometheus.Dataquery().ref_id(ref).datasource(SOURCE).range().expr(expr).legend_format(legend)


def named(panel: P, values: Mapping[str, Value]) -> P:
    """Series whose name is the value of a label get its word and colour."""
    for key, value in values.items():
        # "text" is for words that need no colour of their own: series keep their palette
        shades: list[DynamicConfigValue] = [] if value.colour == "text" else [colour(value.colour)]
        panel = panel.override_by_name(key, [prop("displayName", value.word), *shades])
    return panel


def prop(name: str, value: object) -> DynamicConfigValue:
    """One property of an override."""
    return DynamicConfigValue(id_val=name, value=value)


def verdict_values(say: Messages) -> Mapping[str, Value]:
    """Words for the figures of `verdict_code`."""
    values = say.values("verdicts")
    return {str(code): values[verdict] for code, verdict in enumerate(VERDICT_CODES, 1)}


def colour(name: str) -> DynamicConfigValue:
    """A fixed colour."""
    return prop("color", {"mode": "fixed", "fixedColor": name})


def mapped(values: Mapping[str, Value]) -> list[ValueMapping]:
    """Words and colours for values."""
    return [
        ValueMap(
            options={key: ValueMappingResult(text=one.word, color=one.colour, index=at) for at, (key, one) in enumerate(values.items())}
        )
    ]


def missing_as(text: str) -> list[ValueMapping]:
    """What is shown where a row has no value, or one that is no number."""
    result = ValueMappingResult(text=text, index=0)
    return [SpecialValueMap(options=DashboardSpecialValueMapOptions(match=SpecialValueMatch.NULL_AND_NAN, result=result))]


def board_address(board: Board, lang: str, *fields: str) -> str:
    """A link to another dashboard, with the variables given as name=value."""
    return "/d/" + uid(board, lang) + "?" + "&".join((*fields, "${__url_time_range}"))


def thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    """Colours by value."""
    return dashboard.ThresholdsConfig().steps([Threshold(color=name, value=value) for name, value in steps])


def _label_properties(one: Label) -> list[DynamicConfigValue]:
    properties = []
    if one.values:
        properties.append(prop("mappings", mapped(one.values)))
        if any(value.colour != "text" for value in one.values.values()):
            properties.append(prop("custom.cellOptions", {"type": "color-text"}))
    if one.links:
        properties.append(prop("links", [{"title": title, "url": url, "targetBlank": False} for title, url in one.links]))
    if one.width is not None:
        properties.append(prop("custom.width", one.width))
    return properties


def _column_properties(column: Column) -> list[DynamicConfigValue]:
    properties = [prop("unit", column.unit)]
    if column.decimals is not None:
        properties.append(prop("decimals", column.decimals))
    mappings = [*(mapped(column.values) if column.values else []), *(missing_as(column.null) if column.null else [])]
    if mappings:
        properties.append(prop("mappings", mappings))
    if column.steps:
        properties.append(prop("thresholds", {"mode": "absolute", "steps": [{"color": name, "value": at} for name, at in column.steps]}))
    if column.steps or column.values:
        properties.append(prop("custom.cellOptions", {"type": "color-text"}))
    if column.width is not None:
        properties.append(prop("custom.width", column.width))
    return properties
