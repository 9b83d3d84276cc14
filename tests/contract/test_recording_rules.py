"""The recording rules by promtool: sums of numerators and denominators, replicas counted once, no ratio averaged."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.contract.promtool import check, run

RECORDING = Path(__file__).resolve().parents[2] / "dashboards" / "prometheus" / "recording.yml"
INDICATOR = 'vintage="v",domain="d",indicator="d.i"'
NATION = f"{{{INDICATOR}}}"


def _row(province: str) -> str:
    return f'{INDICATOR},province="{province}"'


def _series() -> dict[str, str]:
    found = {}
    for replica in ("a", "b"):
        at = f'instance="{replica}",job="phusong-feed"'
        for province, covered, expected in (("08", 1, 10), ("02", 90, 90)):
            found[f"coverage_covered{{{_row(province)},{at}}}"] = f"{covered}x9"
            found[f"coverage_expected{{{_row(province)},{at}}}"] = f"{expected}x9"
            found[f"coverage_ratio{{{_row(province)},{at}}}"] = f"{covered / expected}x9"
        # district X: 4 of weight 8, and one that is unknown (weight 2) · district Y: one whose weight nobody knows, so the mean: 5
        for commune, district, weight, ratio in (("1", "X", "8", "0.5"), ("2", "X", "2", ""), ("3", "Y", "", "")):
            of = f'{_row("08")},commune="{commune}",{at}'
            place = f'vintage="v",province="08",commune="{commune}",district="{district}",name="N",{at}'
            found[f"coverage_commune_info{{{place}}}"] = "1x9"
            found[f'coverage_gap_observed_timestamp_seconds{{{of},name="N",district="{district}",state="s"}}'] = "7x9"
            if weight:
                found[f"coverage_commune_weight{{{of}}}"] = f"{weight}x9"
            if ratio:
                found[f"coverage_commune_ratio{{{of}}}"] = f"{ratio}x9"
    return found


EXPECTED: dict[str, list[tuple[str, float]]] = {
    "nation:coverage_covered:sum": [(NATION, 91)],
    "nation:coverage_expected:sum": [(NATION, 100)],
    # the mean of the two ratios would be 0.55
    "nation:coverage_ratio:ratio": [(NATION, 0.91)],
    "province:coverage_ratio:max": [(f"{{{_row('08')}}}", 0.1), (f"{{{_row('02')}}}", 1)],
    "district:coverage_expected:sum": [(f'{{{_row("08")},district="X"}}', 10), (f'{{{_row("08")},district="Y"}}', 5)],
    "district:coverage_covered:sum": [(f'{{{_row("08")},district="X"}}', 4), (f'{{{_row("08")},district="Y"}}', 0)],
    "district:coverage_ratio:ratio": [(f'{{{_row("08")},district="X"}}', 0.4), (f'{{{_row("08")},district="Y"}}', 0)],
}


@pytest.mark.prometheus
def test_recorded_figures_are_sums_divided(tmp_path: Path) -> None:
    """An unknown commune counts with its weight and covers nothing; one of unknown weight weighs the mean."""
    groups = yaml.safe_load(RECORDING.read_text("utf-8"))["groups"]
    test = {
        "name": "figures",
        "interval": "30s",
        "input_series": [{"series": name, "values": values} for name, values in _series().items()],
        "promql_expr_test": [
            {
                "expr": record,
                "eval_time": "3m",
                "exp_samples": [{"labels": f"{record}{labels}", "value": value} for labels, value in samples],
            }
            for record, samples in EXPECTED.items()
        ],
    }
    assert check(tmp_path, [rule for group in groups for rule in group["rules"]], [test], "30s") == ""


@pytest.mark.prometheus
def test_promtool_accepts_them_and_their_names_tell_level_metric_and_operation() -> None:
    """As Prometheus recommends; no average of a ratio among them."""
    run("check", "rules", RECORDING)
    rules = [rule for group in yaml.safe_load(RECORDING.read_text("utf-8"))["groups"] for rule in group["rules"]]
    for rule in rules:
        assert re.fullmatch(r"[a-z]+:(coverage|phusong)_[a-z_]+:[a-z0-9]+", rule["record"]), rule["record"]
        assert not re.search(r"avg[^(]*\([^)]*ratio", rule["expr"]), rule["record"]
    assert len({rule["record"] for rule in rules}) == len(rules)
