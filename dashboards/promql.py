"""The PromQL that several panels share.

Comes in: names of metrics and labels. Goes out: expressions with the dashboards' variables ($province, $indicator) in them. Owns no state.
Every series is first aggregated over `instance` and `job`: each replica of the feed shows the same rows, and a panel shows them once.
"""

from __future__ import annotations

import re

from dashboards.messages import Lang

PROVINCE = 'province="$province"'
INDICATOR = PROVINCE + ',indicator="$indicator"'
ANY_INDICATOR = PROVINCE + ',indicator=~"$indicator"'
"""Where the variable may stand for every indicator."""

COMMUNE = ("province", "vintage", "commune")
"""What names a commune: a code alone is used again by later lists, for other territory."""


_METRIC = re.compile(r"\b(?:[a-z]+:)?(?:coverage|phusong)_\w+(?::\w+)?|\bup\b(?=[{)\s])")


def metrics_of(expr: str) -> set[str]:
    """The names of the metrics that an expression reads."""
    return set(_METRIC.findall(expr))


def latest(metric: str, where: str, *by: str, after: str = "") -> str:
    """The series of a metric once, whatever the number of replicas, by these labels; `after`: an offset or a comparison."""
    series = metric + (f"{{{where}}}" if where else "") + after
    return f"max by ({', '.join(by)}) ({series})" if by else f"max({series})"


def indicator_names(lang: Lang) -> str:
    """1 for each indicator, with its name in the label `indicator_name`."""
    return f"max by (indicator, indicator_name) ({_renamed('coverage_indicator_info', 'indicator_name', lang)})"


def reporter_names(lang: Lang) -> str:
    """1 for each reporter, with its name in the label `reporter_name`."""
    return f"max by (reporter, reporter_name) ({_renamed('coverage_reporter_info', 'reporter_name', lang)})"


def with_indicator(expr: str, lang: Lang) -> str:
    """The same values with the label `indicator_name` beside `indicator`."""
    return f"({expr}) * on (indicator) group_left (indicator_name) {indicator_names(lang)}"


def with_reporter(expr: str, lang: Lang) -> str:
    """The same values with the label `reporter_name` beside `reporter`."""
    return f"({expr}) * on (reporter) group_left (reporter_name) {reporter_names(lang)}"


def cut(expr: str) -> str:
    """Cut to 0.01 %, so that a share below its target is never shown as the target; 1e-6 heals binary fractions."""
    return f"floor(10000 * ({expr}) + 1e-6) / 10000"


def milliseconds(expr: str) -> str:
    """A moment in Grafana's unit."""
    return f"1000 * ({expr})"


VERDICT_CODES = ("met", "missed", "not_yet", "uncertain", "no_target")
"""Which verdict the figures 1, 2, … of `verdict_code` stand for."""


def verdict_code(where: str, *by: str) -> str:
    """The verdict that holds as a figure: what a strip over time, or a column of a table, can be made of."""
    return " + ".join(
        f"{code} * {latest('coverage_verdict', f'{where},verdict={chr(34)}{verdict}{chr(34)}', *by)}"
        for code, verdict in enumerate(VERDICT_CODES, 1)
    )


def commune_weights() -> str:
    """The weight of each commune of the indicator, as recording.py keeps it: one that is not known is the mean of those that are."""
    return latest("commune:coverage_expected:max", INDICATOR, *COMMUNE)


NO_DISTRICT = "-"
"""What stands for the district where there are none: a label that is empty is no label, and its column would vanish."""


def districts(expr: str) -> str:
    """Series by district, with NO_DISTRICT where there is none."""
    return f'label_replace({expr}, "district", "{NO_DISTRICT}", "district", "")'


def by_district(expr: str) -> str:
    """The sum over the communes of each district."""
    info = latest("coverage_commune_info", PROVINCE, *COMMUNE, "district")
    return districts(f"sum by (district) (({expr}) * on ({', '.join(COMMUNE)}) group_left (district) {info})")


def _renamed(metric: str, label: str, lang: Lang) -> str:
    return f'label_replace({metric}, "{label}", "$1", "name_{lang}", "(.+)")'
