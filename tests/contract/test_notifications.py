"""Who is told: the policy tree by the real amtool, the hour of the weekly digest, and the words of the messages."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from dashboards.alerts import ALERTS
from dashboards.notifications import NOT_MONDAY_MORNING, RETIRED_CONTACT_POINTS

ROOT = Path(__file__).resolve().parents[2]
PROVISIONED = ROOT / "dashboards" / "grafana" / "provisioning" / "alerting" / "notifications.yaml"


def _provisioned() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(PROVISIONED.read_text("utf-8"))
    return content


def _amtool(*arguments: str | Path) -> str:
    program = shutil.which("amtool")
    if program is None:
        pytest.skip("amtool is missing: install the Debian package `prometheus-alertmanager`")
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _route(policy: Mapping[str, Any]) -> dict[str, Any]:
    """Grafana's policy as Alertmanager's route: only the matchers are written differently."""
    route = {key: value for key, value in policy.items() if key not in ("orgId", "object_matchers", "routes")}
    if "object_matchers" in policy:
        route["matchers"] = [f'{name}{operator}"{value}"' for name, operator, value in policy["object_matchers"]]
    if "routes" in policy:
        route["routes"] = [_route(one) for one in policy["routes"]]
    return route


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree, the timings and the contact points as a configuration of Alertmanager, whose routing Grafana has built in."""
    found = _provisioned()
    (policy,) = found["policies"]
    stub = {"webhook_configs": [{"url": "http://127.0.0.1:9/"}]}
    config = {
        "route": _route(policy),
        "receivers": [{"name": one["name"], **stub} for one in found["contactPoints"]],
        "time_intervals": [{"name": one["name"], "time_intervals": one["time_intervals"]} for one in found["muteTimes"]],
    }
    path = tmp_path_factory.mktemp("alertmanager") / "alertmanager.yml"
    path.write_text(yaml.safe_dump(config), "utf-8")
    return path


@pytest.mark.amtool
def test_alertmanager_accepts_the_tree(alertmanager: Path) -> None:
    """Every receiver and timing that a policy names is there."""
    _amtool("check-config", alertmanager)


@pytest.mark.amtool
@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        ({"severity": "critical"}, "phusong-ioc,phusong-email"),
        ({"severity": "critical", "alertname": "DatasourceError"}, "phusong-ioc,phusong-email"),
        ({"severity": "warning", "origin": "real"}, "phusong-ioc,phusong-email"),
        ({"severity": "warning", "origin": "assumed"}, "phusong-ioc,phusong-email"),
        ({"severity": "digest", "origin": "real"}, "phusong-weekly"),
        ({"severity": "warning", "origin": "simulated"}, "phusong-test"),
        ({"severity": "critical", "origin": "simulated"}, "phusong-test"),
        ({"severity": "digest", "origin": "simulated"}, "phusong-test"),
        ({"alertname": "SomebodyElsesRule"}, "phusong-email"),
    ],
)
def test_an_alert_goes_to(labels: dict[str, str], receivers: str, alertmanager: Path) -> None:
    """Pages to the centre and by mail, digests to the weekly mail alone, what is simulated to the test receiver alone."""
    pairs = [f"{name}={value}" for name, value in labels.items()]
    assert _amtool("config", "routes", "test", "--config.file", alertmanager, *pairs).strip() == receivers


@pytest.mark.amtool
@pytest.mark.parametrize("origin", ["", "real", "assumed", "simulated"])
def test_no_alert_of_ours_is_left_to_the_root(origin: str, alertmanager: Path) -> None:
    """What is simulated pages nobody, whatever the rule; a digest never pages."""
    for alert in ALERTS:
        pairs = [f"{name}={value}" for name, value in (alert.labels | ({"origin": origin} if origin else {})).items()]
        told = _amtool("config", "routes", "test", "--config.file", alertmanager, *pairs).strip().split(",")
        if origin == "simulated":
            assert told == ["phusong-test"]
        elif alert.severity == "digest":
            assert told == ["phusong-weekly"]
        else:
            assert told == ["phusong-ioc", "phusong-email"]


def _muted(moment: datetime, timing: Mapping[str, Any]) -> bool:
    days = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
    for interval in timing["time_intervals"]:
        local = moment.astimezone(ZoneInfo(interval["location"]))
        named = set()
        for span in interval["weekdays"]:
            first, _, last = span.partition(":")
            named |= set(days[days.index(first) : days.index(last or first) + 1])
        times = interval.get("times", [{"start_time": "00:00", "end_time": "24:00"}])
        if days[local.weekday()] in named and any(t["start_time"] <= local.strftime("%H:%M") < t["end_time"] for t in times):
            return True
    return False


def test_the_digest_speaks_in_one_hour_of_the_week_and_is_looked_at_once_in_it() -> None:
    """Monday, 08:00 to 09:00 in Vietnam; the group is looked at once an hour, so once in that hour."""
    start = datetime(2026, 3, 2, tzinfo=ZoneInfo("Asia/Ho_Chi_Minh"))
    week = [start + timedelta(minutes=n) for n in range(7 * 24 * 60)]
    (timing,) = (one for one in _provisioned()["muteTimes"] if one["name"] == NOT_MONDAY_MORNING)
    open_minutes = [moment for moment in week if not _muted(moment, timing)]
    assert (open_minutes[0], len(open_minutes)) == (start.replace(hour=8), 60)
    assert all(b - a == timedelta(minutes=1) for a, b in pairwise(open_minutes))
    (policy,) = _provisioned()["policies"]
    (weekly,) = (route for route in policy["routes"] if route["receiver"] == "phusong-weekly")
    assert (weekly["group_interval"], weekly["group_by"]) == ("1h", ["grafana_folder"])
    assert "province" not in weekly["group_by"]


def test_no_secret_and_no_address_stands_in_the_file() -> None:
    """Addresses are variables and the key a file of the container; every name is one that somebody sets."""
    points = {one["name"]: one["receivers"] for one in _provisioned()["contactPoints"]}
    (ioc,) = points.pop("phusong-ioc")
    assert ioc["settings"]["url"] == "${GRAFANA_IOC_WEBHOOK_URL}"
    signed = ioc["settings"]["hmacConfig"]
    assert signed.pop("secret").startswith("$__file{/run/secrets/")
    assert signed["timestampHeader"], "without it an old message could be sent again"
    for (receiver,) in points.values():
        assert receiver["type"] == "email"
        assert receiver["settings"]["addresses"].startswith("${GRAFANA_")


def test_uids_of_contact_points_are_the_first_ones_and_removed_ones_are_deleted() -> None:
    """Grafana keeps a contact point that is gone from the file."""
    uids = [receiver["uid"] for one in _provisioned()["contactPoints"] for receiver in one["receivers"]]
    assert {"phusong-email", "phusong-weekly", "phusong-test", "phusong-ioc"} - set(RETIRED_CONTACT_POINTS) <= set(uids)
    assert len(set(uids)) == len(uids)
    assert not set(RETIRED_CONTACT_POINTS) & set(uids)
    assert [one["uid"] for one in _provisioned()["deleteContactPoints"]] == list(RETIRED_CONTACT_POINTS)


def _templates() -> Iterator[str]:
    for one in _provisioned()["templates"]:
        assert "$" not in one["template"], "some versions of Grafana expand it"
        yield one["template"]


def _message(status: str, *alerts: tuple[str, str], **common: str) -> dict[str, Any]:
    told = [
        {
            "status": state, "labels": dict(common), "generatorURL": "http://grafana/x", "startsAt": "2026-03-02T01:00:00Z",
            "endsAt": "0001-01-01T00:00:00Z", "fingerprint": "1",
            "annotations": {
                "summary": f"tóm tắt {name}", "description": "mô tả", "summary_en": name, "description_en": "d", "runbook_url": "http://r/",
            },
        }
        for state, name in alerts
    ]  # fmt: skip
    return {
        "receiver": "r", "status": status, "alerts": told, "groupLabels": {}, "commonLabels": common, "commonAnnotations": {},
        "externalURL": "http://grafana",
    }  # fmt: skip


_ONE = "tóm tắt %s\nmô tả\n%s\nd\nHướng dẫn / Runbook: http://r/\nNguồn / Source: http://grafana/x"
_WEEKLY = """\
Những chỉ tiêu chưa kết luận được hoặc còn thiếu báo cáo sau thời hạn. Không phải cảnh báo; mỗi tuần một lần.
What cannot be judged, or lacks reports after their deadline. No alarm; once a week."""


@pytest.mark.amtool
@pytest.mark.parametrize(
    ("template", "message", "expected"),
    [
        ("phusong.subject", _message("firing", ("firing", "a"), severity="critical"), "[KHẨN] tóm tắt a"),
        ("phusong.subject", _message("firing", ("firing", "a"), ("firing", "b"), severity="warning"), "[Cảnh báo] tóm tắt a (tất cả: 2)"),
        ("phusong.subject", _message("resolved", ("resolved", "a"), severity="warning"), "[Đã hết] tóm tắt a"),
        ("phusong.subject", _message("firing", ("firing", "a"), severity="warning", origin="simulated"), "[DIỄN TẬP] [Cảnh báo] tóm tắt a"),
        ("phusong.weekly.subject", _message("firing", ("firing", "a"), ("firing", "b"), severity="digest"),
         "Bản tin tuần phủ sóng: 2 mục chưa đủ số liệu"),
        ("phusong.message", _message("firing", ("firing", "a"), ("resolved", "b"), severity="warning"),
         f"● {_ONE % ('a', 'a')}\n\n✓ Đã hết / Over: {_ONE % ('b', 'b')}"),
        ("phusong.weekly.message", _message("firing", ("firing", "a"), severity="digest"),
         f"{_WEEKLY}\n\n● {_ONE % ('a', 'a')}"),
    ],
)  # fmt: skip
def test_messages_say(template: str, message: dict[str, Any], expected: str, tmp_path: Path) -> None:
    """The real template engine of Alertmanager, which Grafana's messages use, over what an alert tells."""
    (tmp_path / "phusong.tmpl").write_text("".join(_templates()), "utf-8")
    (tmp_path / "data.json").write_text(json.dumps(message), "utf-8")
    used = [
        receiver["settings"][key]
        for one in _provisioned()["contactPoints"]
        for receiver in one["receivers"]
        for key in ("subject", "title", "message")
        if key in receiver["settings"]
    ]
    text = f'{{{{ template "{template}" . }}}}'
    assert text in used
    files = ("--template.glob", tmp_path / "phusong.tmpl", "--template.data", tmp_path / "data.json")
    assert _amtool("template", "render", *files, "--template.text", text).strip() == expected
