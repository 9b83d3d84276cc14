"""The measure of the alerts, on a real Prometheus: it fires as Prometheus does, and a year of a tuning seed comes out as it should."""

from __future__ import annotations

import random
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from bench.alert_quality import explain, measure_year
from bench.quality.evaluation import Rule, episodes, past, recorded
from bench.quality.year import TUNING_SEEDS

pytestmark = [
    pytest.mark.prometheus,
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs the Debian package prometheus"),
]

MINUTE = timedelta(minutes=1)
BEGIN = datetime(1970, 1, 1, tzinfo=UTC)


def test_the_alerts_of_a_history_fire_when_promtool_says(tmp_path: Path) -> None:
    """`for` and `keep_firing_for` over random courses: at each evaluation the same alerts fire."""
    lot = random.Random(6)
    moments = [BEGIN + number * MINUTE for number in range(60)]
    cases = []
    for number in range(12):
        hold, keep = lot.randrange(5), lot.randrange(5)
        values = [int(lot.random() < 0.7) for _ in moments]
        rule = Rule(f"Case{number}", f"x{number} > 0", hold * MINUTE, keep * MINUTE, {})
        active = {(): [moment for moment, value in zip(moments, values, strict=True) if value]}
        fired = episodes(rule, active, moments)
        firing = [any(one.start <= moment and (one.end is None or moment < one.end) for one in fired) for moment in moments]
        cases.append((rule, hold, keep, values, firing))
    written = [{"alert": r.name, "expr": r.expr, "for": f"{hold}m", "keep_firing_for": f"{keep}m"} for r, hold, keep, _, _ in cases]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "cases", "rules": written}]}))
    series = [{"series": f"x{number}", "values": " ".join(map(str, values))} for number, (_, _, _, values, _) in enumerate(cases)]
    expected = [
        {"eval_time": f"{minute}m", "alertname": rule.name, "exp_alerts": [{"exp_labels": {}}] if firing[minute] else []}
        for rule, _, _, _, firing in cases
        for minute in range(len(moments))
    ]
    test = {"interval": "1m", "input_series": series, "alert_rule_test": expected}
    content = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": [test]}
    (tmp_path / "test.yml").write_text(yaml.safe_dump(content))
    done = subprocess.run(["promtool", "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_a_recorded_value_holds_until_the_next_step_and_no_longer(tmp_path: Path) -> None:
    """What vanishes from a history is gone at the next step: nothing is made up."""
    step = timedelta(hours=2)
    start = datetime(2023, 1, 1, tzinfo=UTC)
    moments = [start + number * step for number in range(6)]
    lines = [f'coverage_verdict{{verdict="missed"}} 1 {moment.timestamp():.0f}\n' for moment in (*moments[:2], moments[4])]
    (tmp_path / "history.om").write_text("".join([*lines, "# EOF\n"]))
    recorded(tmp_path / "history.om", tmp_path / "data")
    with past(tmp_path, step) as server:
        found = server.range("coverage_verdict > 0", moments[0], moments[-1], step)
    assert list(found.values()) == [[moments[0], moments[1], moments[4]]]


def test_over_a_tuning_year_everything_is_noticed_and_no_page_is_false() -> None:
    """Each incident within its bound; nobody is called without a ground in the truth."""
    measured = measure_year(TUNING_SEEDS[0])
    assert not list(explain([measured]))
    assert {one.injection.kind for one in measured.noticed} == {
        "behind_plan",
        "fall_below_target",
        "late_reporter",
        "list_changes",
        "measurement_contradicts",
        "misspelt_village",
        "never_reports",
        "outage_overruns",
        "target_rolls_over",
    }
