"""The dashboard «Tổng quan tỉnh»: one province at a glance, in Vietnamese.

Comes in: the Vietnamese names of the catalogue's indicators. Goes out: `province_overview()`, a classic dashboard (schema 42, the only
form that every Grafana from 11 to 13 provisions from a file). Owns no state. It shows what the feed says and computes no rule of coverage.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

from dashboards.alerts import AGE_PANEL_ID, DASHBOARD_UID, DATASOURCE_UID, DEAD_LETTERS, DEAD_LETTERS_PANEL_ID, VERDICT_PANEL_ID

with warnings.catch_warnings():
    # The SDK prefers dashboards v2, which Grafana 13.0 refuses to provision from a file (grafana/grafana#122663, #127928).
    warnings.filterwarnings("ignore", "Prefer using dashboardv2", DeprecationWarning)
    from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, table, timeseries
    from grafana_foundation_sdk.models import common as models
    from grafana_foundation_sdk.models.dashboard import Dashboard as Built
    from grafana_foundation_sdk.models.dashboard import (
        DashboardSpecialValueMapOptions,
        DataTransformerConfig,
        DynamicConfigValue,
        SpecialValueMap,
        SpecialValueMatch,
        Threshold,
        ValueMap,
        ValueMapping,
        ValueMappingResult,
        VariableRefresh,
        VariableSort,
    )
    from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = models.DataSourceRef(type_val="prometheus", uid=DATASOURCE_UID)
ROWS = 'province="$province",vintage="$vintage"'
ONE = ROWS + ',indicator="$indicator"'
NOTHING = "Chưa có số liệu"

VERDICTS = {
    "met": ("Đạt", "green"),
    "missed": ("Không đạt", "red"),
    "not_yet": ("Chưa đạt, chưa đến hạn", "yellow"),
    "uncertain": ("Chưa đủ căn cứ", "orange"),
    "no_target": ("Không có chỉ tiêu", "text"),
}
STATES = {
    "fresh": ("Báo cáo còn hạn", "green"),
    "stale": ("Báo cáo quá hạn", "orange"),
    "unknown": ("Chưa có báo cáo", "red"),
}


def province_overview(indicator_names: Mapping[str, str]) -> Built:
    """The dashboard, its indicators shown by the names given here and by their ids where none is given."""
    board = (
        dashboard.Dashboard("Tổng quan tỉnh")
        .uid(DASHBOARD_UID)
        .description("Tỷ lệ phủ sóng viễn thông, phát thanh truyền hình và bưu chính của một tỉnh, theo từng chỉ tiêu.")
        .tags(["phusong"])
        .timezone("Asia/Ho_Chi_Minh")
        .week_start("monday")
        .time("now-30d", "now")
        .refresh("30s")
        .readonly()
        .with_variable(_variable("province", "Tỉnh (mã)", "coverage_published_timestamp_seconds"))
        .with_variable(
            _variable("vintage", "Danh mục xã", 'coverage_published_timestamp_seconds{province="$province"}').sort(
                VariableSort.ALPHABETICAL_DESC  # the vintage in force last comes first
            )
        )
        .with_variable(_variable("indicator", "Chỉ tiêu", f"coverage_published_timestamp_seconds{{{ROWS}}}"))
    )
    for panel in (
        _age(),
        _as_of(),
        _verdict_counts(),
        _by_indicator(indicator_names),
        _over_time(),
        _completeness(indicator_names),
        _states(),
        _missing_communes(),
        _dead_letters(),
    ):
        board = board.with_panel(panel)
    return board.build()


def _age() -> stat.Panel:
    newest = f"max without (instance, job) (coverage_published_timestamp_seconds{{{ROWS}}})"
    return (
        _stat("Tuổi dữ liệu", "Đã bao lâu kể từ lần hệ thống công bố dòng số liệu cũ nhất của tỉnh. Bình thường dưới 15 giây.")
        .id(AGE_PANEL_ID)
        .unit("s")
        .decimals(0)
        .thresholds(_steps(("green", None), ("orange", 60), ("red", 120)))
        .with_target(_instant("A", f"time() - min({newest})"))
    )


def _as_of() -> stat.Panel:
    return (
        _stat("Số liệu tính đến", "Thời điểm mà các tỷ lệ được đánh giá; trong diễn tập là giờ của kịch bản, không phải giờ thật.")
        .id(2)
        .unit("dateTimeAsLocal")
        .thresholds(_steps(("text", None)))
        .with_target(_instant("A", f"1000 * min(max without (instance, job) (coverage_as_of_timestamp_seconds{{{ROWS}}}))"))
    )


def _verdict_counts() -> stat.Panel:
    panel = (
        _stat(
            "Số chỉ tiêu theo kết luận",
            "Đếm các chỉ tiêu của tỉnh theo kết luận. «Chưa đủ căn cứ»: số liệu thiếu hoặc cũ nên chưa thể kết luận.",
        )
        .id(4)
        .unit("none")
        .span(12)
        .text_mode(models.BigValueTextMode.VALUE_AND_NAME)
        .with_target(_instant("A", f"sum by (verdict) (max without (instance, job) (coverage_verdict{{{ROWS}}}))", "{{verdict}}"))
    )
    for verdict, (text, colour) in VERDICTS.items():
        panel = panel.override_by_name(verdict, [_property("displayName", text), _colour(colour)])
    return panel


def _by_indicator(indicator_names: Mapping[str, str]) -> table.Panel:
    def of(metric: str, *labels: str, selector: str = "", test: str = "") -> str:
        return f"max by ({', '.join(('indicator', *labels))}) ({metric}{{{ROWS}{selector}}}{test})"

    columns = {
        "A": ("Tỷ lệ", _cut(of("coverage_ratio"))),
        "B": ("Thấp nhất", _cut(of("coverage_low_ratio"))),
        "C": ("Cao nhất", _cut(of("coverage_high_ratio"))),
        "D": ("Chỉ tiêu phải đạt", of("coverage_target_ratio")),
        "E": ("Độ đầy đủ", _cut(of("coverage_completeness_ratio"))),
        "F": ("Đã phủ", of("coverage_covered")),
        "G": ("Tổng", of("coverage_expected")),
        "H": ("Giả định", of("coverage_origin", selector=',origin="assumed"')),
        "I": ("Mô phỏng", of("coverage_origin", selector=',origin="simulated"')),
        "V": ("", of("coverage_verdict", "verdict", test=" == 1")),
    }
    order = ["indicator", "verdict", *(f"Value #{ref}" for ref in columns)]
    panel = (
        _table(
            "Kết quả theo chỉ tiêu",
            "Mỗi dòng một chỉ tiêu. Tỷ lệ: xã chưa báo cáo tính là chưa phủ. Thấp nhất: chỉ tính báo cáo còn hạn. Cao nhất: coi mọi xã "
            "chưa báo cáo là đã phủ. Giả định, Mô phỏng: có số liệu không phải số thật. Số liệu được cắt, không làm tròn lên.",
        )
        .id(VERDICT_PANEL_ID)
        .unit("none")
        .span(24)
        .height(10)
        .with_transformation(DataTransformerConfig(id_val="merge", options={}))
        .with_transformation(
            DataTransformerConfig(
                id_val="organize",
                options={
                    "excludeByName": {"Time": True, "Value #V": True},
                    "indexByName": {name: i for i, name in enumerate(order)},
                    "renameByName": {
                        "indicator": "Tên chỉ tiêu",
                        "verdict": "Kết luận",
                        **{f"Value #{ref}": title for ref, (title, _) in columns.items() if title},
                    },
                },
            )
        )
        .override_by_name(
            "Kết luận",
            [_mapping(VERDICTS), _property("custom.cellOptions", {"type": "color-text"}), _property("custom.minWidth", 170)],
        )
        .override_by_name("Tên chỉ tiêu", [_mapping({k: (v, "") for k, v in indicator_names.items()}), _property("custom.minWidth", 260)])
    )
    for ref in "ABCDE":
        panel = panel.override_by_name(columns[ref][0], [_property("unit", "percentunit"), _property("decimals", 2)])
    for ref in "HI":
        panel = panel.override_by_name(
            columns[ref][0], [_mapping({"0": ("–", ""), "1": ("Có", "orange")}), _property("custom.cellOptions", {"type": "color-text"})]
        )
    for ref, (_, expr) in columns.items():
        panel = panel.with_target(_instant(ref, expr).format(PromQueryFormat.TABLE))
    return panel


def _over_time() -> timeseries.Panel:
    lines = {
        "A": ("Cao nhất", "coverage_high_ratio"),
        "B": ("Tỷ lệ", "coverage_ratio"),
        "C": ("Thấp nhất", "coverage_low_ratio"),
        "D": ("Chỉ tiêu phải đạt", "coverage_target_ratio"),
    }
    panel = (
        timeseries.Panel()
        .id(5)
        .title("Diễn biến của chỉ tiêu đang chọn")
        .description("Tỷ lệ, khoảng chắc chắn (thấp nhất đến cao nhất) và chỉ tiêu phải đạt. Chỗ đứt: không có số liệu.")
        .datasource(SOURCE)
        .span(14)
        .height(9)
        .unit("percentunit")
        .decimals(2)
        .max(1)
        .no_value(NOTHING)
        .span_nulls(False)
        .fill_opacity(0)
        .override_by_name("Cao nhất", [_property("custom.fillBelowTo", "Thấp nhất"), _property("custom.fillOpacity", 15), _colour("blue")])
        .override_by_name("Thấp nhất", [_colour("blue")])
        .override_by_name("Tỷ lệ", [_property("custom.lineWidth", 3), _colour("green")])
        .override_by_name("Chỉ tiêu phải đạt", [_property("custom.lineStyle", {"fill": "dash", "dash": [10, 10]}), _colour("red")])
    )
    for ref, (title, metric) in lines.items():
        panel = panel.with_target(
            prometheus.Dataquery().ref_id(ref).datasource(SOURCE).range().expr(f"max({metric}{{{ONE}}})").legend_format(title)
        )
    return panel


def _completeness(indicator_names: Mapping[str, str]) -> bargauge.Panel:
    panel = (
        _bars("Độ đầy đủ của báo cáo", "Phần của tỉnh mà mọi đơn vị có trách nhiệm đã báo cáo và báo cáo còn hạn, theo từng chỉ tiêu.")
        .id(6)
        .unit("percentunit")
        .decimals(1)
        .min(0)
        .max(1)
        .thresholds(_steps(("red", None), ("orange", 0.8), ("green", 1)))
        .with_target(_instant("A", _cut(f"max by (indicator) (coverage_completeness_ratio{{{ROWS}}})"), "{{indicator}}"))
    )
    for indicator, name in indicator_names.items():
        panel = panel.override_by_name(indicator, [_property("displayName", name)])
    return panel


def _states() -> bargauge.Panel:
    panel = (
        _bars(
            "Số xã theo tình trạng báo cáo",
            "Các xã của tỉnh theo tình trạng báo cáo của chỉ tiêu đang chọn. Quá hạn và chưa báo cáo không bao giờ bị coi là 0.",
        )
        .id(7)
        .unit("none")
        .min(0)
        .with_target(_instant("A", f"max by (state) (coverage_units{{{ONE}}})", "{{state}}"))
    )
    for state, (text, colour) in STATES.items():
        panel = panel.override_by_name(state, [_property("displayName", text), _colour(colour)])
    return panel


def _missing_communes() -> table.Panel:
    unit = "province, vintage, commune"
    ratio = f"max by ({unit}) (coverage_commune_ratio{{{ONE}}})"
    info = f"max by ({unit}, name, district) (coverage_commune_info{{{ROWS}}})"
    named_gaps = f"({ratio} < 1) * on ({unit}) group_left (name, district) {info}"
    # NaN >= 0 is false: a commune without a value and one whose value is not a number are both «unknown», never zero
    unknown = f"NaN * ({info} unless on ({unit}) ({ratio} >= 0))"
    return (
        _table(
            "Xã còn thiếu",
            "Các xã chưa phủ hết hoặc chưa có báo cáo đối với chỉ tiêu đang chọn.",
        )
        .id(8)
        .unit("percentunit")
        .decimals(1)
        .span(24)
        .height(10)
        .no_value("Không còn xã nào thiếu, hoặc chưa có số liệu: xem ô «Tuổi dữ liệu»")
        .mappings(_unknown_as("Chưa có báo cáo hoặc không áp dụng"))
        .with_transformation(
            DataTransformerConfig(
                id_val="organize",
                options={
                    "excludeByName": {"Time": True, "province": True, "vintage": True},
                    "indexByName": {"district": 0, "name": 1, "commune": 2, "Value": 3},
                    "renameByName": {"district": "Huyện", "name": "Xã", "commune": "Mã xã", "Value": "Mức phủ"},
                },
            )
        )
        .with_target(_instant("A", f"{named_gaps} or {unknown}").format(PromQueryFormat.TABLE))
    )


def _dead_letters() -> timeseries.Panel:
    return (
        timeseries.Panel()
        .id(DEAD_LETTERS_PANEL_ID)
        .title("Bản ghi bị loại")
        .description(
            "Số bản ghi bị loại trong một giờ, theo lý do, của cả hệ thống. Chúng không được tính cho đến khi được sửa và gửi lại: "
            "xem bằng lệnh phusong dead-letters list."
        )
        .datasource(SOURCE)
        .span(24)
        .height(7)
        .unit("none")
        .decimals(0)
        .min(0)
        .no_value("Không có bản ghi nào bị loại, hoặc chưa có số liệu của worker")
        .span_nulls(False)
        .legend(
            common.VizLegendOptions().show_legend(True).display_mode(models.LegendDisplayMode.LIST).placement(models.LegendPlacement.BOTTOM)
        )
        .with_target(prometheus.Dataquery().ref_id("A").datasource(SOURCE).range().expr(f"{DEAD_LETTERS} > 0").legend_format("{{reason}}"))
    )


def _variable(name: str, label: str, series: str) -> dashboard.QueryVariable:
    query = f"label_values({series}, {name})"
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query({"query": query, "refId": f"variable-{name}"})
        .definition(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )


def _stat(title: str, description: str) -> stat.Panel:
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .span(6)
        .height(5)
        .no_value(NOTHING)
        .graph_mode(models.BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def _table(title: str, description: str) -> table.Panel:
    return table.Panel().title(title).description(description).datasource(SOURCE).no_value(NOTHING)


def _bars(title: str, description: str) -> bargauge.Panel:
    return (
        bargauge.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .span(5)
        .height(9)
        .no_value(NOTHING)
        .orientation(models.VizOrientation.HORIZONTAL)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def _instant(ref: str, expr: str, legend: str = "") -> prometheus.Dataquery:
    query = prometheus.Dataquery().ref_id(ref).datasource(SOURCE).instant().expr(expr)
    return query.legend_format(legend) if legend else query


def _cut(expr: str) -> str:
    # Cut to 0.01 %, so that a share below its target is never shown as the target; 1e-6 heals binary fractions.
    return f"floor(10000 * {expr} + 1e-6) / 10000"


def _property(name: str, value: object) -> DynamicConfigValue:
    return DynamicConfigValue(id_val=name, value=value)


def _colour(name: str) -> DynamicConfigValue:
    return _property("color", {"mode": "fixed", "fixedColor": name})


def _mapping(texts: Mapping[str, tuple[str, str]]) -> DynamicConfigValue:
    results = {
        value: ValueMappingResult(text=text, color=colour or None, index=i) for i, (value, (text, colour)) in enumerate(texts.items())
    }
    return _property("mappings", [ValueMap(options=results)])


def _unknown_as(text: str) -> list[ValueMapping]:
    result = ValueMappingResult(text=text, color="red", index=0)
    return [SpecialValueMap(options=DashboardSpecialValueMapOptions(match=SpecialValueMatch.NULL_AND_NAN, result=result))]


def _steps(*steps: tuple[str, float | None]) -> dashboard.ThresholdsConfig:
    return dashboard.ThresholdsConfig().steps([Threshold(color=colour, value=value) for colour, value in steps])
