"""The alerts, described once and rendered for Grafana (what compose loads) and for Prometheus (tests, and those without Grafana).

Comes in: nothing but the metrics of feed and workers, by name. Goes out: `grafana_rules()` and `prometheus_rules()`, plain dictionaries
that build.py writes as YAML. Owns no state. Both forms evaluate the same `expr` against the same threshold;
tests/contract/test_alert_rules.py turns the Grafana form back into Prometheus rules and runs one set of promtool cases over both.

Why no `keep_firing_for`: it would delay a true recovery as long as it bridges an outage. `present_or_last` does better: a value that is
there decides at once, a series that vanished keeps its last value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

DATASOURCE_UID = "phusong-prometheus"
"""Never change it: Grafana keeps the datasource of the old uid and silently blocks every other one in the file."""

DASHBOARD_UID = "phusong-province"
VERDICT_PANEL_ID = 3
AGE_PANEL_ID = 1
DEAD_LETTERS_PANEL_ID = 9

EVALUATE_EVERY_SECONDS = 30

REMEMBER = "1d"
"""How long a vanished series keeps its last value: longer than a night's outage. A row that leaves on purpose (a vintage no longer in
force, an indicator struck from the catalogue) keeps an alert for as long."""

RETIRED_UIDS: tuple[str, ...] = ()
"""Grafana keeps a rule whose definition is gone: list the uid of every rule that is ever removed here. A uid is never renamed or reused."""

DEAD_LETTERS = "sum by (reason) (increase(phusong_dead_letters_total[1h]))"
"""Records rejected in the last hour, by reason. Each is counted by the one worker that rejected it, and every reason begins at 0."""

PER_ROW = "{province=%[1]q,vintage=%[2]q,indicator=%[3]q}"


def present_or_last(metric: str, selector: str = "", *, drop: str = "instance, job") -> str:
    """The series as the feed's replicas show them now; where no replica shows one any more, the last that was seen."""
    series = metric + selector
    return f"max without ({drop}) ({series}) or max without ({drop}) (last_over_time({series}[{REMEMBER}]))"


def _percent(metric: str) -> Callable[[str], str]:
    # Cut, never rounded: 99.996 % of a 100 % target must not print as 100. 1e-6 heals binary fractions such as 0.57 * 10000 = 5699.99….
    return lambda selector: f"floor(10000 * ({present_or_last(metric, selector)}) + 1e-6) / 100"


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One alert: `expr` always has a value while there is data, and `fires` says which values are bad.

    Texts name series labels as <province> and figures as <ratio>; see `_FIGURES`.
    """

    name: str
    uid: str
    expr: str
    fires: tuple[Literal["gt", "lt"], float]
    hold_seconds: int
    severity: Literal["warning", "critical"]
    panel_id: int
    no_data: Literal["KeepLast", "Alerting"] = "KeepLast"
    exec_error: Literal["KeepLast", "Error"] = "KeepLast"
    figures: Mapping[str, Callable[[str], str]] = field(default_factory=dict)
    summary_vi: str
    description_vi: str
    summary_en: str
    description_en: str

    @property
    def annotations(self) -> dict[str, str]:
        """What people read, Vietnamese first, with placeholders still in it."""
        return {
            "summary": self.summary_vi,
            "description": self.description_vi,
            "summary_en": self.summary_en,
            "description_en": self.description_en,
            "runbook": f"docs/runbooks/{self.name}.md",
        }


ALERTS = (
    Alert(
        name="CoverageBelowTarget",
        uid="phusong-below-target",
        # 0 or 1 per province and indicator. `missed` is already the cautious verdict (even the high bound is below the target), so
        # `uncertain`, `not_yet`, `met` and `no_target` are silent by themselves.
        expr=present_or_last("coverage_verdict", '{verdict="missed"}', drop="instance, job, verdict"),
        fires=("gt", 0),
        hold_seconds=120,
        severity="warning",
        panel_id=VERDICT_PANEL_ID,
        figures={"R": _percent("coverage_ratio"), "T": _percent("coverage_target_ratio")},
        summary_vi="Tỉnh <province>: <indicator> đạt <ratio_vi> %, dưới chỉ tiêu <target_vi> %",
        description_vi=(
            "Danh mục xã <vintage>: kể cả khi mọi xã chưa báo cáo đều đạt, tỷ lệ vẫn dưới chỉ tiêu. "
            "Việc cần làm: mở bảng «Xã còn thiếu», xác minh từng xã với đơn vị báo cáo, rồi xử lý hoặc đính chính số liệu."
        ),
        summary_en="Province <province>: <indicator> is at <ratio_en>%, below its target of <target_en>%",
        description_en=(
            "Units of <vintage>: even if every commune that has not reported were covered, the ratio would stay below the target. "
            "What to do: open the table of missing communes, verify each with its reporter, then fix the service or correct the data."
        ),
    ),
    Alert(
        name="CoverageDataStalled",
        uid="phusong-data-stalled",
        # Wall clock on both sides. The oldest row counts, so one row left behind is seen; a province that vanished keeps its last time.
        expr=(
            "time() - (min by (province) (max without (instance, job) (coverage_published_timestamp_seconds)) "
            f"or max by (province) (last_over_time(coverage_published_timestamp_seconds[{REMEMBER}])))"
        ),
        fires=("gt", 120),  # owners publish every 10 s: twelve missed heartbeats
        hold_seconds=60,
        severity="critical",
        panel_id=AGE_PANEL_ID,
        summary_vi="Tỉnh <province>: số liệu đứng yên đã <age>",
        description_vi=(
            "Các tỷ lệ trên màn hình là số liệu cũ; không có cảnh báo mới không có nghĩa là đã đạt. "
            "Việc cần làm: kiểm tra dịch vụ feed, worker và Kafka theo thứ tự trong hướng dẫn xử lý."
        ),
        summary_en="Province <province>: data has not moved for <age>",
        description_en=(
            "The ratios on screen are old; no new alert does not mean that targets are met. "
            "What to do: check feed, worker and Kafka in the order that the runbook gives."
        ),
    ),
    Alert(
        name="CoverageDataAbsent",
        uid="phusong-data-absent",
        # `count or vector(0)` and not `absent()`: absent() has no value when all is well, and Grafana would take that for «no data».
        expr=f"count(last_over_time(coverage_published_timestamp_seconds[{REMEMBER}])) or vector(0)",
        fires=("lt", 1),
        hold_seconds=300,  # a first start creates topics and reads the log before anything is published
        severity="critical",
        panel_id=AGE_PANEL_ID,
        no_data="Alerting",
        exec_error="Error",
        summary_vi="Không có số liệu phủ sóng của bất kỳ tỉnh nào",
        description_vi=(
            f"Trong {REMEMBER.replace('d', ' ngày')} qua Prometheus không nhận được số liệu nào từ feed: hệ thống đang không giám sát gì. "
            "Việc cần làm: kiểm tra feed có chạy và Prometheus có đọc được /metrics của nó không."
        ),
        summary_en="No coverage data of any province",
        description_en=(
            f"For {REMEMBER.replace('d', ' day')} Prometheus has received no row from the feed: nothing is being monitored. "
            "What to do: check that the feed runs and that Prometheus can read its /metrics."
        ),
    ),
    Alert(
        name="DeadLettersGrowing",
        uid="phusong-dead-letters",
        # It ends an hour after the last one: what was rejected stays in the topic until it is sent back, and does not alert again.
        expr=DEAD_LETTERS,
        fires=("gt", 0),
        hold_seconds=60,
        severity="warning",
        panel_id=DEAD_LETTERS_PANEL_ID,
        summary_vi="<count> bản ghi bị loại trong một giờ qua, lý do <reason>",
        description_vi=(
            "Số liệu trong các bản ghi này không được tính. "
            "Việc cần làm: chạy `phusong dead-letters list --reason <reason>`, báo cho đơn vị gửi, rồi gửi lại sau khi sửa."
        ),
        summary_en="<count> records rejected in the last hour, reason <reason>",
        description_en=(
            "What these records say is not counted. "
            "What to do: run `phusong dead-letters list --reason <reason>`, tell the reporter, and send them back once mended."
        ),
    ),
)

_LABELS = ("province", "vintage", "indicator")
"""What names a row, and so chooses the other figures of its alert."""
_PLAIN = 'printf "%.4g"'
_COMMA = _PLAIN + ' | reReplaceAll "[.]" ","'  # Vietnamese decimal comma
_FIGURES = {
    "ratio_vi": ("R", _COMMA),
    "target_vi": ("T", _COMMA),
    "ratio_en": ("R", _PLAIN),
    "target_en": ("T", _PLAIN),
    "age": ("A", "humanizeDuration"),
    "count": ("A", 'printf "%.0f"'),  # `increase` extrapolates: 1 record shows as 1.004
}
"""Placeholder -> the query it shows (A is the alert's own expression) and how it is written."""


def prometheus_rules(*, hold_seconds: int | None = None, every_seconds: int = EVALUATE_EVERY_SECONDS) -> dict[str, Any]:
    """A Prometheus rule file as a dictionary; a test against a real Prometheus shortens its two durations."""

    def rule(alert: Alert) -> dict[str, Any]:
        hold = alert.hold_seconds if hold_seconds is None else hold_seconds
        comparison = {"gt": ">", "lt": "<"}[alert.fires[0]]
        return {
            "alert": alert.name,
            "expr": f"({alert.expr}) {comparison} {alert.fires[1]}",
            "for": f"{hold}s",
            "labels": {"severity": alert.severity},
            "annotations": {k: _render(text, _prometheus_figure(alert)) for k, text in alert.annotations.items()},
        }

    return {"groups": [{"name": "phusong", "interval": f"{every_seconds}s", "rules": [rule(a) for a in ALERTS]}]}


def grafana_rules() -> dict[str, Any]:
    """The same alerts as a Grafana alerting provisioning file."""
    group = {
        "orgId": 1,
        "name": "phusong",
        # A folder of its own: a title shared with the dashboard provider would be created twice.
        "folder": "Phủ sóng – Cảnh báo",
        "interval": f"{EVALUATE_EVERY_SECONDS}s",
        "rules": [_grafana_rule(a) for a in ALERTS],
    }
    deleted = [{"orgId": 1, "uid": uid} for uid in RETIRED_UIDS]
    return {"apiVersion": 1, **({"deleteRules": deleted} if deleted else {}), "groups": [group]}


def _grafana_rule(alert: Alert) -> dict[str, Any]:
    queries = {"A": alert.expr} | {ref: of_selector("") for ref, of_selector in alert.figures.items()}
    return {
        "uid": alert.uid,
        "title": alert.name,
        "condition": "C",
        "data": [*(_query(ref, expr) for ref, expr in queries.items()), _threshold(alert)],
        "for": f"{alert.hold_seconds}s",
        "noDataState": alert.no_data,
        "execErrState": alert.exec_error,
        "dashboardUid": DASHBOARD_UID,
        "panelId": alert.panel_id,
        "labels": {"severity": alert.severity},
        # Grafana expands $ in labels (write $$ there) but not in annotations.
        "annotations": {k: _render(text, _grafana_figure) for k, text in alert.annotations.items()},
    }


def _query(ref: str, expr: str) -> dict[str, Any]:
    return {
        "refId": ref,
        "datasourceUid": DATASOURCE_UID,
        "relativeTimeRange": {"from": 600, "to": 0},
        "model": {
            "refId": ref,
            "datasource": {"type": "prometheus", "uid": DATASOURCE_UID},
            "expr": expr,
            "instant": True,
            "range": False,
        },
    }


def _threshold(alert: Alert) -> dict[str, Any]:
    kind, bound = alert.fires
    return {
        "refId": "C",
        "datasourceUid": "__expr__",
        "relativeTimeRange": {"from": 600, "to": 0},
        "model": {
            "refId": "C",
            "datasource": {"type": "__expr__", "uid": "__expr__"},
            "type": "threshold",
            "expression": "A",
            "conditions": [{"evaluator": {"type": kind, "params": [bound]}}],
        },
    }


def _render(text: str, figure: Callable[[str, str], str]) -> str:
    def one(match: re.Match[str]) -> str:
        name = match[1]
        if name in (*_LABELS, "reason"):
            return "{{ $labels." + name + " }}"
        return figure(*_FIGURES[name])

    return re.sub(r"<(\w+)>", one, text)


def _prometheus_figure(alert: Alert) -> Callable[[str, str], str]:
    def figure(ref: str, how: str) -> str:
        if ref == "A":
            return "{{ $value | " + how + " }}"
        labels = " ".join(f"$labels.{label}" for label in _LABELS)
        query = f"printf `{alert.figures[ref](PER_ROW)}` {labels} | query"
        return "{{ with " + query + " }}{{ . | first | value | " + how + " }}{{ else }}?{{ end }}"

    return figure


def _grafana_figure(ref: str, how: str) -> str:
    return "{{ $values." + ref + ".Value | " + how + " }}"
