"""Recording rules: figures of a commune, a district, a province and the nation, and rates, for long looks back and for other systems.

Comes in: the metrics of feed and workers, by name. Goes out: `recording_rules()`, a Prometheus rule file as a dictionary. Owns no state.
Names are `level:metric:operations`. Numerators and denominators are summed apart; a ratio is never averaged. Replicas of the feed show the
same rows: they are folded with `max`, never added up. No alert depends on these rules.
"""

from __future__ import annotations

from typing import Any

from dashboards.expressions import DEAD_LETTERS_GROWING

ROW = "province, vintage, domain, indicator"
COMMUNE = f"{ROW}, commune"
NATION = "vintage, domain, indicator"

FOLDED = ("ratio", "low_ratio", "high_ratio", "target_ratio", "completeness_ratio", "covered", "expected")
"""Figures of a row that are kept once instead of once for each replica."""


def recording_rules() -> dict[str, Any]:
    """Two groups: rules of a group are evaluated in their order, and later ones use earlier ones."""
    return {
        "groups": [
            {"name": "phusong-figures", "interval": "60s", "rules": [_rule(*one) for one in (*_provinces(), *_districts())]},
            {"name": "phusong-rates", "interval": "30s", "rules": [_rule(*one) for one in _RATES]},
        ]
    }


_RATES = (
    ("topic:phusong_lag_events:sum", "sum by (topic) (phusong_lag_events)"),
    ("domain:phusong_events:rate5m", "sum by (domain, outcome, reason) (rate(phusong_events_total[5m]))"),
    ("reason:phusong_dead_letters:increase1h", DEAD_LETTERS_GROWING),
)


def _rule(record: str, expr: str) -> dict[str, str]:
    return {"record": record, "expr": expr}


def _provinces() -> list[tuple[str, str]]:
    folded = [(f"province:coverage_{name}:max", f"max by ({ROW}) (coverage_{name})") for name in FOLDED]
    sums = [(f"nation:coverage_{name}:sum", f"sum by ({NATION}) (province:coverage_{name}:max)") for name in ("covered", "expected")]
    return [*folded, *sums, ("nation:coverage_ratio:ratio", "nation:coverage_covered:sum / (nation:coverage_expected:sum > 0)")]


def _districts() -> list[tuple[str, str]]:
    known = f"max by ({COMMUNE}) (coverage_commune_weight)"
    # one whose weight nobody knows weighs the mean of the others, as in the province's own ratio; it has never stated, so it is a gap
    gaps = f"max by ({COMMUNE}) (0 * coverage_gap_observed_timestamp_seconds)"
    info = "max by (province, vintage, commune, district) (coverage_commune_info)"

    def by_district(name: str) -> str:
        return f"sum by ({ROW}, district) (commune:coverage_{name}:max * on (province, vintage, commune) group_left (district) {info})"

    return [
        ("commune:coverage_expected:max", f"{known} or {gaps} + on ({ROW}) group_left () avg by ({ROW}) ({known})"),
        # one that is unknown counts as not covered
        (
            "commune:coverage_covered:max",
            f"max by ({COMMUNE}) (coverage_commune_ratio) * commune:coverage_expected:max or 0 * commune:coverage_expected:max",
        ),
        ("district:coverage_covered:sum", by_district("covered")),
        ("district:coverage_expected:sum", by_district("expected")),
        ("district:coverage_ratio:ratio", "district:coverage_covered:sum / (district:coverage_expected:sum > 0)"),
    ]
