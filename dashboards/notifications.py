"""Who is told of an alert, how often, and in which words: contact points, the policy tree, mute timings and message templates of Grafana.

Comes in: the labels that dashboards/alerts.py gives (`severity`, `origin`). Goes out: `notifications()`, a Grafana alerting provisioning
file. Owns no state. Addresses are environment variables of the Grafana container, the secret is a file in it; docker-compose.yml sets
them. Grafana refuses to start where an address is empty, so compose sets addresses that lead nowhere; a webhook without its secret
is not sent at all, so none leaves unsigned.

The tree is one resource: what is provisioned replaces all of it, and a policy of the same organisation in another file would win or lose by
chance. So this is the only file with policies.
"""

from __future__ import annotations

from typing import Any

EMAIL, WEEKLY, TEST, IOC = "phusong-email", "phusong-weekly", "phusong-test", "phusong-ioc"

VARIABLES = {
    EMAIL: "GRAFANA_ALERT_EMAIL",
    WEEKLY: "GRAFANA_WEEKLY_EMAIL",
    TEST: "GRAFANA_TEST_EMAIL",
}
"""Contact point -> the variable with its addresses, with ";" between."""
IOC_URL_VARIABLE = "GRAFANA_IOC_WEBHOOK_URL"
IOC_KEY_FILE = "/run/secrets/ioc-webhook-secret"
"""In the container; its text must not hold a `$`, which would be expanded."""

RETIRED_CONTACT_POINTS: tuple[str, ...] = ()
"""Uids of receivers that were removed here: Grafana keeps them otherwise. Never the one that the policy tree still names."""

NOT_MONDAY_MORNING = "phusong-not-monday-morning"
LOCATION = "Asia/Ho_Chi_Minh"

TEMPLATES = """\
{{ define "phusong.exercise" }}{{ if eq .CommonLabels.origin "simulated" }}[DIỄN TẬP] {{ end }}{{ end }}
{{ define "phusong.subject" -}}
{{ template "phusong.exercise" . }}
{{- if not .Alerts.Firing }}[Đã hết] {{ else if eq .CommonLabels.severity "critical" }}[KHẨN] {{ else }}[Cảnh báo] {{ end }}
{{- with index .Alerts 0 }}{{ .Annotations.summary }}{{ end }}
{{- if gt (len .Alerts) 1 }} (tất cả: {{ len .Alerts }}){{ end }}
{{- end }}
{{ define "phusong.one" -}}
{{ .Annotations.summary }}
{{ .Annotations.description }}
{{ .Annotations.summary_en }}
{{ .Annotations.description_en }}
Hướng dẫn / Runbook: {{ .Annotations.runbook_url }}
Nguồn / Source: {{ .GeneratorURL }}

{{ end }}
{{ define "phusong.message" -}}
{{ range .Alerts.Firing }}● {{ template "phusong.one" . }}{{ end }}
{{- range .Alerts.Resolved }}✓ Đã hết / Over: {{ template "phusong.one" . }}{{ end }}
{{- end }}
{{ define "phusong.weekly.subject" -}}
{{ template "phusong.exercise" . }}Bản tin tuần phủ sóng: {{ len .Alerts.Firing }} mục chưa đủ số liệu
{{- end }}
{{ define "phusong.weekly.message" -}}
Những chỉ tiêu chưa kết luận được hoặc còn thiếu báo cáo sau thời hạn. Không phải cảnh báo; mỗi tuần một lần.
What cannot be judged, or lacks reports after their deadline. No alarm; once a week.

{{ range .Alerts.Firing }}● {{ template "phusong.one" . }}{{ end }}
{{- end }}
"""
"""No `$` in them: provisioning expands it in some versions of Grafana and not in others."""


def notifications() -> dict[str, Any]:
    """The provisioning file as a dictionary."""
    return {
        "apiVersion": 1,
        "contactPoints": [
            _email(EMAIL, "phusong.subject", "phusong.message"),
            _email(WEEKLY, "phusong.weekly.subject", "phusong.weekly.message", resolved=False),
            _email(TEST, "phusong.subject", "phusong.message"),
            _contact_point(
                IOC,
                "webhook",
                {
                    "url": _variable(IOC_URL_VARIABLE),
                    "httpMethod": "POST",
                    "maxAlerts": 100,
                    # HMAC-SHA256 in hex of «timestamp:body», so that an old message cannot be sent again
                    "hmacConfig": {
                        "secret": f"$__file{{{IOC_KEY_FILE}}}",
                        "header": "X-Phusong-Signature",
                        "timestampHeader": "X-Phusong-Timestamp",
                    },
                    "title": '{{ template "phusong.subject" . }}',
                    "message": '{{ template "phusong.message" . }}',
                },
            ),
        ],
        "deleteContactPoints": [{"orgId": 1, "uid": uid} for uid in RETIRED_CONTACT_POINTS],
        "policies": [{"orgId": 1, **_policy()}],
        "muteTimes": [{"orgId": 1, "name": NOT_MONDAY_MORNING, "time_intervals": _not_monday_morning()}],
        "templates": [{"orgId": 1, "name": "phusong", "template": TEMPLATES}],
    }


def _policy() -> dict[str, Any]:
    return {
        "receiver": EMAIL,
        "group_by": ["grafana_folder", "alertname", "province"],
        "group_wait": "30s",
        "group_interval": "5m",
        "repeat_interval": "4h",
        "routes": [
            # First, and last: what rests on simulated figures goes no further.
            {"receiver": TEST, "object_matchers": [["origin", "=", "simulated"]]},
            # One message a week: all digests are one group, looked at once an hour, and one hour on Monday is the only one not muted.
            {
                "receiver": WEEKLY,
                "object_matchers": [["severity", "=", "digest"]],
                "group_by": ["grafana_folder"],
                "group_interval": "1h",
                "repeat_interval": "6d",
                "mute_time_intervals": [NOT_MONDAY_MORNING],
            },
            # The operations centre is a machine: it takes everything, each cause by itself.
            {
                "receiver": IOC,
                "object_matchers": [["severity", "=~", "critical|warning"]],
                "group_by": ["grafana_folder", "alertname", "province", "indicator", "reporter"],
                "repeat_interval": "12h",
                "continue": True,
            },
            {"receiver": EMAIL, "object_matchers": [["severity", "=", "critical"]]},
            # A deadline passes for many at once, at midnight: they are one message. It stays true for months, so it is repeated seldom;
            # Grafana forgets after five days what it has sent.
            {
                "receiver": EMAIL,
                "object_matchers": [["severity", "=", "warning"]],
                "group_wait": "10m",
                "group_interval": "1h",
                "repeat_interval": "4d",
            },
        ],
    }


def _not_monday_morning() -> list[dict[str, Any]]:
    return [
        {"weekdays": ["tuesday:saturday", "sunday"], "location": LOCATION},
        {
            "weekdays": ["monday"],
            "times": [{"start_time": "00:00", "end_time": "08:00"}, {"start_time": "09:00", "end_time": "24:00"}],
            "location": LOCATION,
        },
    ]


def _email(name: str, subject: str, message: str, *, resolved: bool = True) -> dict[str, Any]:
    settings = {
        "addresses": _variable(VARIABLES[name]),
        "singleEmail": True,
        "subject": f'{{{{ template "{subject}" . }}}}',
        "message": f'{{{{ template "{message}" . }}}}',
    }
    return _contact_point(name, "email", settings, resolved=resolved)


def _contact_point(name: str, kind: str, settings: dict[str, Any], *, resolved: bool = True) -> dict[str, Any]:
    receiver = {"uid": name, "type": kind, "settings": settings, "disableResolveMessage": not resolved}
    return {"orgId": 1, "name": name, "receivers": [receiver]}


def _variable(name: str) -> str:
    return f"${{{name}}}"
