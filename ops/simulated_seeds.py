"""A seeds directory for a simulated country: as many provinces and communes as are asked for, each plainly artificial.

Comes in: two numbers, the shipped seeds (indicators, reporters, what they owe, national targets), and an empty directory. Goes out: the
tables with "mô phỏng (simulated)" in every column for sources, and rules.toml. Owns that directory. Every village has its row in
places.csv, so that operators' gaps unite exactly.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ops.config import record
from phusong.settings import SEEDS
from producers.simulator.chance import Chance
from producers.simulator.world import village_names

PROVINCES_MAX, COMMUNES_MAX = 99, 20_000
"""Codes of two digits; no country has more communes."""

_VINTAGE = "2020-01-01"
_SOURCE = "mô phỏng (simulated)"
_COMMUNES_OF_A_DISTRICT = 12


class SeedsError(ValueError):
    """The seeds cannot be written; the text says why, and the remedy."""


def write(directory: Path, seed: int, provinces: int, communes: int) -> int:
    """Write the seeds, and return the number of their rules. Raises SeedsError."""
    if not 1 <= provinces <= PROVINCES_MAX or not provinces <= communes <= COMMUNES_MAX:
        raise SeedsError(
            f"{provinces} provinces and {communes} communes: give 1 to {PROVINCES_MAX} provinces, and from as many communes up to "
            f"{COMMUNES_MAX}"
        )
    if directory.exists() and any(directory.iterdir()):
        raise SeedsError(f"{directory}: is not empty; name a directory that does not exist yet")
    directory.mkdir(parents=True, exist_ok=True)
    for name, rows in _tables(Chance(seed), provinces, communes):
        columns = _shipped(name)[0]
        with (directory / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(columns), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    return record(directory)


def _tables(chance: Chance, provinces: int, communes: int) -> Iterator[tuple[str, Iterable[Mapping[str, str]]]]:
    codes = [f"{number:02}" for number in range(1, provinces + 1)]
    # equal provinces; what is left over goes, one each, to the first
    homes = [code for at, code in enumerate(codes) for _ in range(communes // provinces + (at < communes % provinces))]
    units = [(f"{number:05}", home) for number, home in enumerate(homes, 1)]
    villages = {code: chance.between(6, 18, "villages", code) for code, _ in units}
    people = {code: count * chance.between(250, 700, "people", code) for code, count in villages.items()}
    yield "vintages", [{"vintage": _VINTAGE, "start": _VINTAGE, "end": "", "title": f"Danh sách {_SOURCE}", "source": _SOURCE}]
    yield (
        "provinces",
        [{"code": code, "name_vi": f"Tỉnh mô phỏng {code}", "name_en": f"Simulated {code}", "source": _SOURCE} for code in codes],
    )
    yield "units", _units(units)
    yield "successions", []
    yield (
        "bases",
        [
            {
                "vintage": _VINTAGE,
                "code": code,
                "population": str(people[code]),
                "households": str(people[code] // 4),
                "villages": str(villages[code]),
                "counted_on": _VINTAGE,
                "status": "assumed",
                "source": _SOURCE,
            }
            for code, _ in units
        ],
    )
    yield (
        "places",
        (
            {"vintage": _VINTAGE, "commune": code, "name": name, "aliases": "", "source": _SOURCE}
            for code, _ in units
            for name in village_names(code, villages[code])
        ),
    )
    yield "indicators", _as_simulated(_shipped("indicators"), "source")
    yield "targets", _as_simulated([row for row in _shipped("targets") if row["scope"] == "national"], "source_vi", "source_en")
    yield "reporters", _as_simulated(_shipped("reporters"), "source")
    owed = [row for row in _shipped("obligations") if not row["end"]]
    yield "obligations", [{**row, "province": code, "communes": "", "source": _SOURCE} for code in codes for row in owed]


def _units(units: Iterable[tuple[str, str]]) -> Iterator[Mapping[str, str]]:
    counted: dict[str, int] = {}
    for code, home in units:
        number = counted[home] = counted.get(home, -1) + 1
        yield {
            "vintage": _VINTAGE,
            "code": code,
            "name": f"Xã mô phỏng {code}",
            "kind": "xã",
            "district": f"Huyện mô phỏng {home}-{1 + number // _COMMUNES_OF_A_DISTRICT}",
            "province": home,
            "former": "",
            "latitude": "",
            "longitude": "",
            "source": _SOURCE,
        }


def _as_simulated(rows: Iterable[Mapping[str, str]], *columns: str) -> list[dict[str, str]]:
    return [{**row, **{column: f"{_SOURCE}; {row[column]}" for column in columns}} for row in rows]


def _shipped(name: str) -> list[dict[str, str]]:
    with (SEEDS / f"{name}.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))
