"""The alerts, described once and rendered for Grafana (what compose loads) and for Prometheus (tests, and those without Grafana).

Comes in: the expressions of dashboards/expressions.py. Goes out: `grafana_rules()` and `prometheus_rules()`, plain dictionaries that
build.py writes as YAML. Owns no state. Both forms evaluate the same `expr` against the same threshold;
tests/contract/test_alert_rules.py turns the Grafana form back into Prometheus rules and runs one set of promtool cases over both.
Who is told stands in dashboards/notifications.py.

Labels: `severity` (critical: at once; warning: the same day; digest: on Monday), `owner` (department: who answers for the figures;
operations: who runs the system), and `origin` where it is about figures: what rests on simulated ones reaches nobody but the test receiver.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dashboards import expressions
from dashboards.expressions import STALLED_SECONDS, last, names, percent, province_names, reporter_names, worst
from dashboards.names import DATASOURCE_UID, WALLBOARD, Board, Panel

RUNBOOKS_URL = f"{WALLBOARD}/runbooks/"
"""Where the feed shows docs/runbooks/."""

RETIRED_UIDS: tuple[str, ...] = ("phusong-data-stalled", "phusong-data-absent")
"""Grafana keeps a rule whose definition is gone: list the uid of every rule that is ever removed here. A uid is never renamed or reused."""

FOLDER = "Phủ sóng – Cảnh báo"
"""Of its own: a title shared with the dashboard provider would be created twice."""

Severity = Literal["critical", "warning", "digest"]

_VIETNAM_SECONDS = 7 * 3600


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One alert: `expr` always has a value while there is data, and more than `above` is bad.

    `by`: the labels that tell one alert from another, and so choose its figures. Texts name labels and figures as <placeholder>; see
    `_FIGURES`.
    """

    name: str
    uid: str
    expr: str
    above: float = 0
    every_seconds: int = 300
    hold_seconds: int
    severity: Severity
    owner: Literal["department", "operations"]
    board: Board
    panel: Panel
    by: tuple[str, ...] = ("province", "indicator")
    no_data: Literal["KeepLast", "Alerting"] = "KeepLast"
    exec_error: Literal["KeepLast", "Error"] = "KeepLast"
    figures: Mapping[str, str] = field(default_factory=dict)
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
            "runbook_url": RUNBOOKS_URL + self.name,
        }

    @property
    def labels(self) -> dict[str, str]:
        """What routing goes by; `origin` comes with the series."""
        return {"severity": self.severity, "owner": self.owner}


def _date(expr: str) -> str:
    # printed in UTC: shifted, so that a due date is the day that people in Vietnam know
    return f"({expr}) + {_VIETNAM_SECONDS}"


_NAMES = {"N": names()}
_RATIO = {"R": percent("coverage_ratio"), "T": percent("coverage_target_ratio")}
_BOUNDS = {"L": percent("coverage_low_ratio"), "H": percent("coverage_high_ratio")}
_DUE = {"D": _date(last("coverage_target_due_timestamp_seconds"))}


_WORST = {"W": worst()}


ALERTS = (
    Alert(
        name="CoverageBelowTarget",
        uid="phusong-below-target",
        expr=expressions.BELOW_TARGET,
        hold_seconds=900,
        severity="warning",
        owner="department",
        board=Board.PROVINCE,
        panel=Panel.VERDICTS,
        figures=_NAMES | _RATIO | _WORST,
        summary_vi="<province_name>: «<indicator_vi>» đạt <ratio_vi> %, dưới chỉ tiêu <target_vi> %",
        description_vi=(
            "Kể cả khi mọi xã chưa báo cáo đều đạt, tỷ lệ vẫn dưới chỉ tiêu. Thiếu nhiều nhất: <worst>. Số liệu: <origin_vi>. "
            "Việc cần làm: xác minh từng xã với đơn vị báo cáo, rồi xử lý hoặc đính chính số liệu; "
            "ai nhận việc thì ghi bằng `phusong ack`."
        ),
        summary_en="<province_name>: «<indicator_en>» is at <ratio_en>%, below its target of <target_en>%",
        description_en=(
            "Even if every commune that has not reported were covered, the ratio would stay below the target. Furthest behind: <worst>. "
            "Data: <origin_en>. What to do: verify each commune with its reporter, then fix the service or correct the data; "
            "whoever takes it says so with `phusong ack`."
        ),
    ),
    Alert(
        name="CoverageBehindPlan",
        uid="phusong-behind-plan",
        expr=expressions.BEHIND_PLAN,
        hold_seconds=3600,
        severity="warning",
        owner="department",
        board=Board.PROVINCE,
        panel=Panel.PROJECTIONS,
        figures=_NAMES | _RATIO | _DUE | {"P": _date(last("coverage_projected_timestamp_seconds", '{estimate="middle"}'))} | _WORST,
        summary_vi="<province_name>: «<indicator_vi>» với tốc độ hiện nay sẽ lỡ hạn <due_vi> (dự kiến: <projected_vi>)",
        description_vi=(
            "Hiện đạt <ratio_vi> %, chỉ tiêu <target_vi> %. Thiếu nhiều nhất: <worst>. Số liệu: <origin_vi>. "
            "Việc cần làm: làm việc với doanh nghiệp về các xã còn thiếu và ngày hẹn của từng xã, trước khi đến hạn."
        ),
        summary_en="<province_name>: «<indicator_en>» will miss its due date <due_en> at the present pace (projected: <projected_en>)",
        description_en=(
            "Now at <ratio_en>%, target <target_en>%. Furthest behind: <worst>. Data: <origin_en>. "
            "What to do: go through the missing communes and their promised dates with the operators before the date comes."
        ),
    ),
    Alert(
        name="CoverageReporterOverdue",
        uid="phusong-reporter-overdue",
        expr=expressions.REPORTER_OVERDUE,
        hold_seconds=900,
        severity="warning",
        owner="department",
        board=Board.REPORTING,
        panel=Panel.OVERDUE,
        by=("province", "reporter"),
        figures={"N": reporter_names()},
        summary_vi="Tỉnh <province>: <reporter_vi> còn nợ <count> báo cáo xã đã quá hạn",
        description_vi=(
            "Tính trên mọi chỉ tiêu mà đơn vị phải báo cáo; mỗi xã của mỗi chỉ tiêu là một. "
            "Cho đến khi có báo cáo, tỷ lệ chỉ dựa trên số cũ. Số liệu: <origin_vi>. Việc cần làm: nhắc đơn vị; "
            "nếu họ đã gửi, tìm trong các bản ghi bị loại (`phusong dead-letters list`)."
        ),
        summary_en="Province <province>: <reporter_en> owes <count> commune reports that are overdue",
        description_en=(
            "Over all indicators that it must report; each commune of each indicator is one. "
            "Until they come the ratio rests on old figures. Data: <origin_en>. What to do: remind the reporter; "
            "if it did send, look among the rejected records (`phusong dead-letters list`)."
        ),
    ),
    Alert(
        name="TargetExpired",
        uid="phusong-target-expired",
        expr=expressions.TARGET_EXPIRED,
        hold_seconds=3600,
        severity="warning",
        owner="department",
        board=Board.PROVINCE,
        panel=Panel.TARGETS,
        figures=_NAMES | _RATIO | _DUE,
        summary_vi="<province_name>: chỉ tiêu <target_vi> % của «<indicator_vi>» đã đến hạn <due_vi>, chưa có chỉ tiêu mới",
        description_vi=(
            "Tỷ lệ hiện nay <ratio_vi> % vẫn được so với chỉ tiêu cũ. Số liệu: <origin_vi>. "
            "Việc cần làm: tìm văn bản giao chỉ tiêu giai đoạn mới và thêm một dòng vào seeds/targets.csv, hoặc kết thúc chỉ tiêu cũ."
        ),
        summary_en="<province_name>: the target of <target_en>% for «<indicator_en>» fell due on <due_en>, and no new one has followed",
        description_en=(
            "The ratio, now <ratio_en>%, is still held against the old target. Data: <origin_en>. "
            "What to do: find the document that sets the next target and add its row to seeds/targets.csv, or end the old one."
        ),
    ),
    Alert(
        name="InterruptionOverdue",
        uid="phusong-interruption-overdue",
        expr=expressions.INTERRUPTION_OVERDUE,
        hold_seconds=900,
        severity="warning",
        owner="department",
        board=Board.GAPS,
        panel=Panel.INTERRUPTIONS,
        figures=_NAMES
        | {
            "U": last("coverage_marks", '{mark="unresolved"}'),
            "D": _date(last("coverage_unresolved_since_timestamp_seconds")),
        },
        summary_vi="<province_name>: gián đoạn «<indicator_vi>» đã quá ngày hẹn (<due_vi>), chưa ai báo đã khôi phục",
        description_vi=(
            "Số xã đang như vậy: <unresolved>. Từ ngày hẹn, xã được tính theo mức lúc gián đoạn. Số liệu: <origin_vi>. "
            "Việc cần làm: hỏi đơn vị đã báo gián đoạn; họ gửi số liệu mới, hoặc báo ngày hẹn mới."
        ),
        summary_en="<province_name>: an interruption of «<indicator_en>» is past its end (<due_en>), and not known to be over",
        description_en=(
            "Communes in that state: <unresolved>. Since that end the commune counts as during the interruption. Data: <origin_en>. "
            "What to do: ask whoever announced it; they report anew, or announce another end."
        ),
    ),
    Alert(
        name="PipelineDown",
        uid="phusong-pipeline-down",
        expr=expressions.PIPELINE_DOWN,
        every_seconds=30,
        hold_seconds=300,  # a first start creates topics and reads the log before anything is published
        severity="critical",
        owner="operations",
        board=Board.PIPELINE,
        panel=Panel.UP,
        by=("job",),
        no_data="Alerting",
        exec_error="Error",
        summary_vi="<job>: <count> tiến trình không trả lời (rows: không có số liệu của tỉnh nào)",
        description_vi=(
            "Phần này của hệ thống không làm việc; số liệu trên màn hình có thể đã cũ. "
            "Việc cần làm: `docker compose ps`, rồi đọc nhật ký của dịch vụ đó theo hướng dẫn xử lý."
        ),
        summary_en="<job>: <count> processes do not answer (rows: there is no data of any province)",
        description_en=(
            "This part of the system is not working; the figures on screen may be old. "
            "What to do: `docker compose ps`, then read that service's log as the runbook says."
        ),
    ),
    Alert(
        name="PipelineStalled",
        uid="phusong-pipeline-stalled",
        expr=expressions.PIPELINE_STALLED,
        above=STALLED_SECONDS,
        every_seconds=30,
        hold_seconds=60,
        severity="critical",
        owner="operations",
        board=Board.PIPELINE,
        panel=Panel.AGE,
        by=("province",),
        figures={"N": province_names()},
        summary_vi="<province_name>: số liệu đứng yên đã <age>",
        description_vi=(
            "Các tỷ lệ trên màn hình là số liệu cũ: cảnh báo đang có vẫn giữ nguyên, không có cảnh báo mới không có nghĩa là đã đạt. "
            "Việc cần làm: kiểm tra dịch vụ feed, worker và Kafka theo thứ tự trong hướng dẫn xử lý."
        ),
        summary_en="<province_name>: data has not moved for <age>",
        description_en=(
            "The ratios on screen are old: alerts that fire keep firing, and no new alert does not mean that targets are met. "
            "What to do: check feed, worker and Kafka in the order that the runbook gives."
        ),
    ),
    Alert(
        name="LagKeepsIncreasing",
        uid="phusong-lag-increasing",
        expr=expressions.LAG_KEEPS_INCREASING,
        every_seconds=30,
        hold_seconds=900,
        severity="warning",
        owner="operations",
        board=Board.PIPELINE,
        panel=Panel.LAG,
        by=("topic",),
        summary_vi="<topic>: ít nhất <count> sự kiện chờ xử lý suốt 15 phút và không giảm",
        description_vi=(
            "Báo cáo mới chưa được tính vào tỷ lệ. "
            "Việc cần làm: xem nhật ký worker, tải CPU; nếu worker khỏe mà không kịp, thêm worker: `docker compose up -d --scale worker=3`."
        ),
        summary_en="<topic>: at least <count> events have been waiting for 15 minutes, and do not become fewer",
        description_en=(
            "New reports are not yet counted. "
            "What to do: read the workers' log and CPU load; if they are sound but slow, add some: `docker compose up -d --scale worker=3`."
        ),
    ),
    Alert(
        name="DeadLettersGrowing",
        uid="phusong-dead-letters",
        expr=expressions.DEAD_LETTERS_GROWING,
        every_seconds=30,
        hold_seconds=60,
        severity="warning",
        owner="operations",
        board=Board.REPORTING,
        panel=Panel.DEAD_LETTERS,
        by=("reason",),
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
    Alert(
        name="GatewayRefusing",
        uid="phusong-gateway-refusing",
        expr=expressions.GATEWAY_REFUSING,
        every_seconds=30,
        hold_seconds=300,
        severity="warning",
        owner="operations",
        board=Board.PIPELINE,
        panel=Panel.UP,
        by=("why",),
        summary_vi="Cổng nhận báo cáo đang từ chối mọi báo cáo (<why>)",
        description_vi=(
            "kafka: không tới được Kafka; keys: tệp khóa API không dùng được. Đơn vị gửi nhận mã 503 và sẽ gửi lại, chưa mất gì. "
            "Việc cần làm: mở `http://127.0.0.1:8601/readyz`, rồi theo hướng dẫn xử lý."
        ),
        summary_en="The gateway refuses every report (<why>)",
        description_en=(
            "kafka: Kafka is out of reach; keys: the file of API keys cannot be used. Reporters get 503 and send again. "
            "What to do: open `http://127.0.0.1:8601/readyz`, then follow the runbook."
        ),
    ),
    Alert(
        name="WebhookUndelivered",
        uid="phusong-webhook-undelivered",
        expr=expressions.WEBHOOK_UNDELIVERED,
        every_seconds=30,
        hold_seconds=60,
        severity="warning",
        owner="operations",
        board=Board.PIPELINE,
        panel=Panel.UP,
        by=("outcome",),
        summary_vi="Thay đổi kết luận không chuyển được đến trung tâm điều hành (<outcome>)",
        description_vi=(
            "waiting: một thay đổi đã chờ quá 15 phút; given_up: đã bỏ sau khi hết số lần thử. Kết luận vẫn có trong `/api/v1/verdicts`. "
            "Việc cần làm: kiểm tra địa chỉ và dịch vụ nhận của trung tâm điều hành; xem nhật ký: `docker compose logs notify`."
        ),
        summary_en="Changes of verdict do not reach the operations centre (<outcome>)",
        description_en=(
            "waiting: a change has waited for over 15 minutes; given_up: the last attempt failed, too. `/api/v1/verdicts` has it. "
            "What to do: check the address and the receiving service of the centre; read `docker compose logs notify`."
        ),
    ),
    Alert(
        name="CoverageCannotTell",
        uid="phusong-cannot-tell",
        expr=expressions.CANNOT_TELL,
        hold_seconds=3600,
        severity="digest",
        owner="department",
        board=Board.PROVINCE,
        panel=Panel.VERDICTS,
        figures=_NAMES | _BOUNDS | _RATIO | _WORST,
        summary_vi="<province_name>: chưa kết luận được «<indicator_vi>»: từ <low_vi> % đến <high_vi> %, chỉ tiêu <target_vi> %",
        description_vi=(
            "Đã quá hạn báo cáo mà số liệu chưa đủ để kết luận. Chưa rõ hoặc thiếu nhiều nhất: <worst>. Số liệu: <origin_vi>. "
            "Việc cần làm: xem `phusong explain` của các xã này; nhắc báo cáo, xin đo kiểm, hoặc bổ sung quy mô còn thiếu."
        ),
        summary_en="<province_name>: «<indicator_en>» cannot be judged: from <low_en>% to <high_en>%, target <target_en>%",
        description_en=(
            "Reports are past their deadline, and what is known does not decide. Least known or covered: <worst>. Data: <origin_en>. "
            "What to do: read `phusong explain` of these communes; remind reporters, ask for a measurement, or complete missing sizes."
        ),
    ),
    Alert(
        name="CoverageDataIncomplete",
        uid="phusong-data-incomplete",
        expr=expressions.DATA_INCOMPLETE,
        hold_seconds=3600,
        severity="digest",
        owner="department",
        board=Board.REPORTING,
        panel=Panel.COMPLETENESS,
        figures=_NAMES | {"M": percent("coverage_completeness_ratio")},
        summary_vi="<province_name>: «<indicator_vi>» mới có <complete_vi> % báo cáo đúng hạn",
        description_vi=("Đã quá hạn báo cáo. Số liệu: <origin_vi>. Việc cần làm: xem ai còn nợ ở bảng «Báo cáo», nhắc từng đơn vị."),
        summary_en="<province_name>: of «<indicator_en>» only <complete_en>% of the reports are in",
        description_en=(
            "The deadline has passed. Data: <origin_en>. What to do: see on the dashboard «Reporting» who owes reports, and remind them."
        ),
    ),
)

_PLAIN = 'printf "%.4g"'
_COMMA = _PLAIN + ' | reReplaceAll "[.]" ","'  # Vietnamese decimal comma
_ISO = 'humanizeTimestamp | reReplaceAll " .*" ""'
_DAY = 'humanizeTimestamp | reReplaceAll "^(.*)-(.*)-(..) .*" "$3/$2/$1"'
_NEVER_VI, _NEVER_EN = ' | reReplaceAll ".*Inf" "không bao giờ"', ' | reReplaceAll ".*Inf" "never"'

_FIGURES = {
    "ratio_vi": ("R", _COMMA),
    "ratio_en": ("R", _PLAIN),
    "target_vi": ("T", _COMMA),
    "target_en": ("T", _PLAIN),
    "low_vi": ("L", _COMMA),
    "low_en": ("L", _PLAIN),
    "high_vi": ("H", _COMMA),
    "high_en": ("H", _PLAIN),
    "complete_vi": ("M", _COMMA),
    "complete_en": ("M", _PLAIN),
    "due_vi": ("D", _DAY),
    "due_en": ("D", _ISO),
    "projected_vi": ("P", _DAY + _NEVER_VI),
    "projected_en": ("P", _ISO + _NEVER_EN),
    "unresolved": ("U", 'printf "%.0f"'),
    "age": ("A", "humanizeDuration"),
    "count": ("A", 'printf "%.0f"'),  # `increase` extrapolates: 1 record shows as 1.004
}
"""Placeholder -> the query whose value it shows (A is the alert's own expression) and how it is written."""

_NAMED = {
    "province_name": ("N", "name", "province"),
    "indicator_vi": ("N", "name_vi", "indicator"),
    "indicator_en": ("N", "name_en", "indicator"),
    "reporter_vi": ("N", "name_vi", "reporter"),
    "reporter_en": ("N", "name_en", "reporter"),
}
"""Placeholder -> the query and its label that it shows, and the alert's own label where there is none."""

_ORIGINS = {"vi": ("thực", "giả định", "mô phỏng"), "en": ("real", "assumed", "simulated")}

Value = Callable[[str, str], str]
Name = Callable[[str, str, str], str]


def prometheus_rules(*, hold_seconds: int | None = None, every_seconds: int | None = None) -> dict[str, Any]:
    """A Prometheus rule file as a dictionary; a test against a real Prometheus shortens its two durations."""

    def rule(alert: Alert) -> dict[str, Any]:
        hold = alert.hold_seconds if hold_seconds is None else hold_seconds
        return {
            "alert": alert.name,
            "expr": f"({alert.expr}) > {alert.above}",
            "for": f"{hold}s",
            "labels": alert.labels,
            "annotations": {k: _render(text, *_of_prometheus(alert)) for k, text in alert.annotations.items()},
        }

    return {
        "groups": [
            {"name": name, "interval": f"{every_seconds or every}s", "rules": [rule(a) for a in alerts]}
            for name, every, alerts in _groups()
        ]
    }


def grafana_rules() -> dict[str, Any]:
    """The same alerts as a Grafana alerting provisioning file."""
    groups = [
        {"orgId": 1, "name": name, "folder": FOLDER, "interval": f"{every}s", "rules": [_grafana_rule(a) for a in alerts]}
        for name, every, alerts in _groups()
    ]
    return {"apiVersion": 1, "deleteRules": [{"orgId": 1, "uid": uid} for uid in RETIRED_UIDS], "groups": groups}


def _groups() -> list[tuple[str, int, list[Alert]]]:
    # what concerns rows moves with the months, processes move with the minute
    return [
        (name, every, [alert for alert in ALERTS if alert.every_seconds == every])
        for name, every in (("phusong-coverage", 300), ("phusong-pipeline", 30))
    ]


def _grafana_rule(alert: Alert) -> dict[str, Any]:
    queries = {"A": alert.expr, **alert.figures}
    return {
        "uid": alert.uid,
        "title": alert.name,
        "condition": "C",
        "data": [*(_query(ref, expr) for ref, expr in queries.items()), _threshold(alert)],
        "for": f"{alert.hold_seconds}s",
        "noDataState": alert.no_data,
        "execErrState": alert.exec_error,
        "dashboardUid": alert.board.value,
        "panelId": alert.panel.value,
        "labels": alert.labels,
        # Grafana expands $ in labels (write $$ there) but not in annotations.
        "annotations": {k: _render(text, _grafana_value, _grafana_name) for k, text in alert.annotations.items()},
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
    return {
        "refId": "C",
        "datasourceUid": "__expr__",
        "relativeTimeRange": {"from": 600, "to": 0},
        "model": {
            "refId": "C",
            "datasource": {"type": "__expr__", "uid": "__expr__"},
            "type": "threshold",
            "expression": "A",
            "conditions": [{"evaluator": {"type": "gt", "params": [alert.above]}}],
        },
    }


def _render(text: str, value: Value, name: Name) -> str:
    def one(match: re.Match[str]) -> str:
        placeholder = match[1]
        if placeholder in _FIGURES:
            return value(*_FIGURES[placeholder])
        if placeholder in _NAMED:
            ref, label, instead = _NAMED[placeholder]
            return name(ref, label, "{{ $labels." + instead + " }}")
        if placeholder == "worst":
            return name("W", "communes", "–")
        if placeholder.startswith("origin_"):
            real, assumed, simulated = _ORIGINS[placeholder.removeprefix("origin_")]
            is_ = '{{ if eq $labels.origin "%s" }}%s{{ else }}'
            return is_ % ("simulated", simulated) + is_ % ("assumed", assumed) + real + "{{ end }}{{ end }}"
        return "{{ $labels." + placeholder + " }}"

    return re.sub(r"<(\w+)>", one, text)


def _of_prometheus(alert: Alert) -> tuple[Value, Name]:
    def query(ref: str) -> str:
        # Grafana pairs the figures of a rule by their labels; a template of Prometheus has to choose the one it means
        chosen = "vector(1)"
        for place, label in enumerate(alert.by, 1):
            chosen = f'label_replace({chosen}, "{label}", %[{place}]q, "", "")'
        labels = " ".join(f"$labels.{label}" for label in alert.by)
        return f"printf `({alert.figures[ref]}) and on ({', '.join(alert.by)}) {chosen}` {labels} | query"

    def value(ref: str, how: str) -> str:
        if ref == "A":
            return "{{ $value | " + how + " }}"
        return "{{ with " + query(ref) + " }}{{ . | first | value | " + how + " }}{{ else }}?{{ end }}"

    def name(ref: str, label: str, instead: str) -> str:
        return "{{ with " + query(ref) + ' }}{{ . | first | label "' + label + '" }}{{ else }}' + instead + "{{ end }}"

    return value, name


def _grafana_value(ref: str, how: str) -> str:
    if ref == "A":
        return "{{ $values.A.Value | " + how + " }}"
    # a figure that is not there is a Value without labels, whose 0 must not be shown
    return "{{ if $values." + ref + ".Labels }}{{ $values." + ref + ".Value | " + how + " }}{{ else }}?{{ end }}"


def _grafana_name(ref: str, label: str, instead: str) -> str:
    return "{{ with $values." + ref + ".Labels." + label + " }}{{ . }}{{ else }}" + instead + "{{ end }}"
