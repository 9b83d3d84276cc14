"""Rules, contact points, policies, timings and templates through grafana-foundation-sdk and back: a key that it does not know is dropped.

The SDK speaks the form of Grafana's HTTP interface, provisioned files another one: what differs is mapped here, both ways.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import alerting

ALERTING = Path(__file__).resolve().parents[2] / "dashboards" / "grafana" / "provisioning" / "alerting"
Json = dict[str, Any]

DAYS = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"]


def _file(name: str) -> Json:
    content: Json = yaml.safe_load((ALERTING / name).read_text("utf-8"))
    return content


@pytest.fixture(scope="module", autouse=True)
def _plugins() -> None:
    register_default_plugins()  # queries of Prometheus and expressions are read as such, not as bags


def _through(kind: Any, api: Json) -> Json:
    back: Json = json.loads(json.dumps(kind.from_json(api), cls=JSONEncoder))
    return back


def _rule_to_api(rule: Json, group: Json) -> Json:
    api = {key: value for key, value in rule.items() if key not in ("dashboardUid", "panelId")}
    linked = {"__dashboardUid__": rule["dashboardUid"], "__panelId__": str(rule["panelId"])}
    return api | {
        "annotations": rule["annotations"] | linked,
        "folderUID": group["folder"],
        "ruleGroup": group["name"],
        "orgID": group["orgId"],
    }


def _rule_to_file(api: Json) -> Json:
    annotations = dict(api["annotations"])
    links = {"dashboardUid": annotations.pop("__dashboardUid__"), "panelId": int(annotations.pop("__panelId__"))}
    return (
        {key: value for key, value in api.items() if key not in ("folderUID", "ruleGroup", "orgID")} | links | {"annotations": annotations}
    )


def test_rules_come_back_whole() -> None:
    """Queries, threshold, states, texts and links of every rule; the groups' names, folder and interval."""
    file = _file("phusong.yaml")
    assert set(file) == {"apiVersion", "deleteRules", "groups"}
    for group in file["groups"]:
        assert set(group) == {"orgId", "name", "folder", "interval", "rules"}
        rules = [_through(alerting.Rule, _rule_to_api(rule, group)) for rule in group["rules"]]
        assert [_rule_to_file(api) for api in rules] == group["rules"]
        seconds = int(group["interval"].removesuffix("s"))
        whole = {"title": group["name"], "folderUid": group["folder"], "interval": seconds, "rules": rules}
        assert _through(alerting.RuleGroup, whole) == whole


@pytest.mark.parametrize("place", ["rule", "query", "threshold"])
def test_an_unknown_key_does_not_come_back(place: str) -> None:
    """Otherwise the test above would prove nothing."""
    group = _file("phusong.yaml")["groups"][0]
    rule = group["rules"][0]
    target = {"rule": rule, "query": rule["data"][0]["model"], "threshold": rule["data"][-1]["model"]}[place]
    target["instnat"] = True
    assert _rule_to_file(_through(alerting.Rule, _rule_to_api(rule, group))) != rule


def test_contact_points_come_back_whole() -> None:
    """One object of the interface for each receiver; points with the same name are one."""
    for point in _file("notifications.yaml")["contactPoints"]:
        assert set(point) == {"orgId", "name", "receivers"}
        apis = [receiver | {"name": point["name"]} for receiver in point["receivers"]]
        assert [_through(alerting.ContactPoint, api) for api in apis] == apis


def test_the_policy_tree_comes_back_whole() -> None:
    """One tree, in one file: a second one would win or lose by chance."""
    (policy,) = _file("notifications.yaml")["policies"]
    assert "policies" not in _file("phusong.yaml")
    api = {key: value for key, value in policy.items() if key != "orgId"}
    assert _through(alerting.NotificationPolicy, api) == api
    names = {point["name"] for point in _file("notifications.yaml")["contactPoints"]}
    assert {api["receiver"], *(route["receiver"] for route in api["routes"])} == names
    assert "matchers" not in str(api).replace("object_matchers", "")


def _interval_to_api(interval: Json) -> Json:
    def days(span: str) -> Json:
        first, _, last = span.partition(":")
        return {"begin": DAYS.index(first), "end": DAYS.index(last or first)}

    api = {"weekdays": [days(span) for span in interval["weekdays"]], "location": interval["location"]}
    times = [{"from": t["start_time"], "to": t["end_time"]} for t in interval.get("times", [])]
    return api | ({"times": times} if times else {})


def test_mute_timings_and_templates_come_back_whole() -> None:
    """Weekdays count from Sunday, as Alertmanager does: a span never runs over the week's end."""
    file = _file("notifications.yaml")
    for timing in file["muteTimes"]:
        assert set(timing) == {"orgId", "name", "time_intervals"}
        assert all(set(one) <= {"weekdays", "times", "location"} for one in timing["time_intervals"])
        api = {"name": timing["name"], "time_intervals": [_interval_to_api(one) for one in timing["time_intervals"]]}
        assert _through(alerting.MuteTiming, api) == api
        assert all(day["begin"] <= day["end"] for one in api["time_intervals"] for day in one["weekdays"])
    used = {name for route in file["policies"][0]["routes"] for name in route.get("mute_time_intervals", [])}
    assert used == {timing["name"] for timing in file["muteTimes"]}
    for template in file["templates"]:
        api = {key: value for key, value in template.items() if key != "orgId"}
        assert _through(alerting.NotificationTemplate, api) == api
