"""The census of 2019, which the project may use for checks and may not ship: imported through the documented mapping, and found nowhere.

The tables stand beside the project, in ../shared/data; where they do not, there is nothing to compare with.
"""

from __future__ import annotations

import csv
import re
import shutil
import tomllib
from pathlib import Path

import pytest

from ops.config import record
from ops.counts import import_counts
from ops.seed_checks import Level, check
from phusong.register import Base, Extent, Register
from phusong.settings import SEEDS, read_rules

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
FIRST, SECOND, THIRD = "2020-01-01", "2024-09-01", "2025-07-01"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the census tables are not beside the project (../shared/data), and never in it")

Row = dict[str, str]


def table(name: str) -> list[Row]:
    with (DATA / name).open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def tuyen_quang() -> list[Row]:
    return table("tuyen_quang_communes_2023.csv")


@pytest.fixture(scope="module")
def ha_giang() -> list[Row]:
    return table("ha_giang_communes_2023.csv")


@pytest.fixture(scope="module")
def register() -> Register:
    return read_rules(SEEDS).register


def documented_mapping(directory: Path) -> Path:
    """The example of docs/register.md, as a file."""
    (example,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs/register.md").read_text(), re.DOTALL)
    assert tomllib.loads(example)["column"]["code"] == "code_2023"
    file = directory / "census.toml"
    file.write_text(example)
    return file


def test_the_census_comes_in_through_the_documented_mapping(tmp_path: Path) -> None:
    """138 units, 784.811 people, as the province's row of the census says; the rest of the seeds stays as it is."""
    seeds = tmp_path / "seeds"
    shutil.copytree(SEEDS, seeds)
    found = import_counts(DATA / "tuyen_quang_communes_2023.csv", documented_mapping(tmp_path), seeds, "vi")
    assert (len(found.units), found.totals, found.bad) == (138, {"population": 784_811}, ())
    assert found.left == {FIRST: 193}

    record(seeds)
    rules = read_rules(seeds)
    units = rules.register.of(FIRST, "08")
    counts = {unit.code: rules.register.counts[unit.id] for unit in units if unit.province == "08"}
    assert len(counts) == 138
    assert sum(held[Base.POPULATION].value for held in counts.values()) == 784_811
    assert {held[Base.POPULATION].status for held in counts.values()} == {"cited"}
    assert {held[Base.VILLAGES].status for held in counts.values()} == {"assumed"}
    assert [one for one in check(seeds) if one.level is Level.ERROR] == []


def test_the_register_has_the_same_units_as_the_tables(register: Register, tuyen_quang: list[Row], ha_giang: list[Row]) -> None:
    assert (len(tuyen_quang), len(ha_giang)) == (138, 193)
    for province, rows in (("08", tuyen_quang), ("02", ha_giang)):
        listed = {unit.code: unit for (vintage, _), unit in register.units.items() if (vintage, unit.province) == (FIRST, province)}
        assert listed.keys() == {row["code_2023"] for row in rows}
        for row in rows:
            unit = listed[row["code_2023"]]
            assert (unit.name, unit.kind, unit.district) == (row["name_2023"], row["type_2023"], row["district"])


def test_every_commune_has_the_successors_of_2024_and_2025_that_the_tables_give_it(
    register: Register, tuyen_quang: list[Row], ha_giang: list[Row]
) -> None:
    splits = 0
    for row in (*tuyen_quang, *ha_giang):
        (later,) = register.successors[FIRST, row["code_2023"]]
        assert later == (SECOND, row["code_2024_09"])
        (extent,) = [one.extent for one in register.predecessors[later] if one.unit.code == row["code_2023"]]
        assert extent is Extent.WHOLE
        given = dict(part.split(":") for part in row["map_2025"].split("|"))
        assert {code for vintage, code in register.successors[later] if vintage == THIRD} == set(given)
        extents = {one.extent for each in register.successors[later] for one in register.predecessors[each] if one.unit.id == later}
        assert extents == ({Extent.WHOLE} if set(given.values()) == {"whole"} else {Extent.PART})
        splits += len(given) > 1
    assert splits == 5


def test_every_unit_of_2025_has_the_predecessors_that_its_table_gives_it(register: Register) -> None:
    rows = table("tuyen_quang_communes_2025.csv")
    assert {row["code_2025"] for row in rows} == {unit.code for unit in register.of(THIRD, "08")}
    assert len(rows) == 124
    for row in rows:
        unit = register.units[THIRD, row["code_2025"]]
        assert unit.name == row["name_2025"]
        wholes = {
            before.unit.code
            for one in register.predecessors[unit.id]
            if one.extent is Extent.WHOLE
            for before in register.predecessors[one.unit.id]
        }
        parts = {one.unit.code for one in register.predecessors[unit.id] if one.extent is Extent.PART}
        # the table gives a split unit to one of its two successors
        given = set(row["codes_2023"].split("+"))
        assert wholes <= given <= wholes | parts


def test_no_census_population_of_a_commune_is_shipped(tuyen_quang: list[Row], ha_giang: list[Row]) -> None:
    census = {row["pop_2019"] for row in (*tuyen_quang, *ha_giang)} | {
        row["pop_2019_default_alloc"] for row in table("tuyen_quang_communes_2025.csv")
    }
    assert len(census) > 400
    with (SEEDS / "bases.csv").open(newline="") as file:
        shipped = {row["population"] for row in csv.DictReader(file)}
    assert shipped & census == set()
    # nor anywhere else, each beside its commune
    known = {row["code_2023"]: row["pop_2019"] for row in (*tuyen_quang, *ha_giang)}
    for path in sorted(SEEDS.rglob("*")):
        for line in path.read_text().splitlines() if path.is_file() else ():
            numbers = set(re.findall(r"\d+", line)) | set(re.findall(r"\d+", re.sub(r"(?<=\d)[. ](?=\d{3}\b)", "", line)))
            assert not [code for code, people in known.items() if code in numbers and people in numbers], f"{path.name}: {line}"
