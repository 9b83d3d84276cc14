"""What the queries that count something say in cases made for them, by promtool: two replicas, communes that nobody has reported on."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards.names import Board
from tests import boards

pytestmark = [
    pytest.mark.prometheus,
    pytest.mark.skipif(shutil.which("promtool") is None, reason="needs the Debian package prometheus"),
]

UNIT = 'province="08",vintage="2020-01-01"'
ROW = UNIT + ',domain="postal",indicator="postal.staffed_point"'
RATIOS = {"1": "1", "2": "0", "3": "0.625", "4": "1"}
"""Of communes 1 to 6; 5 has none (nobody has reported), 6 is of weight 0 (not applicable) and has none."""
GAPS = {"2": "fresh", "3": "fresh", "4": "stale", "5": "unknown"}
"""Which of them are not known to be covered in full, as the feed tells."""
WEIGHTS = {"1": 10, "2": 10, "3": 8, "4": 4, "5": 20, "6": 0}


def series() -> list[dict[str, str]]:
    """The same rows from two feeds, and those of another indicator, which must not count."""
    found = []
    for replica, code in itertools.product("ab", WEIGHTS):
        at = f'commune="{code}",instance="{replica}"'
        district = "Na Hang" if code in "12" else "Sơn Dương"
        found.append((f'coverage_commune_info{{{UNIT},{at},name="Xã {code}",district="{district}",latitude="",longitude=""}}', "1"))
        if code in GAPS:
            named = f'name="Xã {code}",district="{district}",state="{GAPS[code]}",villages="",sources=""'
            found.append((f"coverage_gap_observed_timestamp_seconds{{{ROW},{at},{named}}}", "0" if code == "5" else "1700000000"))
        if code in RATIOS:
            found.append((f"coverage_commune_ratio{{{ROW},{at}}}", RATIOS[code]))
        found.append((f'coverage_commune_ratio{{{UNIT},domain="x",indicator="y",{at}}}', "1"))
    found += [(f'commune:coverage_expected:max{{{ROW},commune="{code}"}}', str(weight)) for code, weight in WEIGHTS.items()]
    return [{"series": one, "values": " ".join([value] * 4)} for one, value in found]


def query(panel: int, ref: str) -> str:
    """Of the dashboard of an indicator."""
    ((expr,),) = (
        [target["expr"] for target in one["targets"] if target["refId"] == ref]
        for path, one in boards.panels()
        if path.stem == Board.INDICATOR and one["id"] == panel
    )
    return boards.substituted(expr, province="08", indicator="postal.staffed_point")


def holds(tmp_path: Path, expr: str, *expected: tuple[str, float], given: list[dict[str, str]] | None = None) -> None:
    """The expression gives exactly these samples."""
    samples: list[dict[str, Any]] = [{"labels": labels, "value": value} for labels, value in expected]
    case = {
        "interval": "1m",
        "input_series": series() if given is None else given,
        "promql_expr_test": [{"expr": expr, "eval_time": "3m", "exp_samples": samples}],
    }
    (tmp_path / "case.yml").write_text(yaml.safe_dump({"tests": [case]}, allow_unicode=True), "utf-8")
    command = ["promtool", "test", "rules", str(tmp_path / "case.yml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_missing_communes_are_those_of_the_feed_by_what_they_weigh(tmp_path: Path) -> None:
    """Partly covered: the rest of the weight; stale: what its last report leaves; never reported: all of it; no gap: no row."""
    missing = {"2": 10.0, "3": 3.0, "4": 0.0, "5": 20.0}
    holds(tmp_path, query(113, "B"), *((f'{{{UNIT},commune="{code}"}}', value) for code, value in missing.items()))
    holds(tmp_path, query(113, "C"), *((f'{{{UNIT},commune="{code}"}}', float(RATIOS[code])) for code in "234"))


def test_where_there_are_no_districts_the_row_still_has_a_name(tmp_path: Path) -> None:
    """An empty label is no label: the column would vanish."""
    without = [{**one, "series": one["series"].replace("Na Hang", "").replace("Sơn Dương", "")} for one in series()]
    holds(tmp_path, query(112, "D"), ('{district="-"}', 6), given=without)


def test_a_district_counts_its_communes_once_and_those_that_never_reported(tmp_path: Path) -> None:
    """Two feeds show each twice. 6 is not applicable and has no share either."""
    holds(tmp_path, query(112, "D"), ('{district="Na Hang"}', 2), ('{district="Sơn Dương"}', 4))
    holds(tmp_path, query(112, "E"), ('{district="Na Hang"}', 0), ('{district="Sơn Dương"}', 2))
