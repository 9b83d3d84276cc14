"""How long it takes to assess a whole country from scratch, and what one event costs after that: `make -s bench NAME=assess`.

Comes in: the shipped indicators. Goes out: one JSON object on stdout. No Kafka: the core alone, with a register of 34 provinces and 3,321
communes (as many as the country has had since July 2025; made up), the 14 indicators with their bases and unions, and four operators that
state each of them on every commune, some with names, gaps and measurements.
"""

from __future__ import annotations

import csv
import gc
import io
import random
import resource
import sys
import time
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from bench.world import BenchError, tell
from phusong.admission import Admission
from phusong.events import Method, Stated, Statement
from phusong.periods import VIETNAM
from phusong.province import Province
from phusong.rules import Rules, core_digest, seeds_digest
from phusong.settings import SEEDS, core_sources, seed_texts

PROVINCES, COMMUNES = 34, 3321
OPERATORS = ("operator-a", "operator-b", "operator-c", "operator-d")
VINTAGE = "2025-07-01"
OBSERVED = datetime(2026, 6, 30, tzinfo=VIETNAM)
AS_OF = OBSERVED + timedelta(days=10)
_PLACES = tuple(f"Bản {name}" for name in ("Lãm", "Chợ", "Khá", "Bung", "Cuống", "Ngòi", "Thác", "Đồng"))


def texts(provinces_count: int = PROVINCES, communes_count: int = COMMUNES) -> dict[str, str]:
    """Seed files (name -> text): the shipped indicators over a made-up country."""
    shipped = seed_texts(SEEDS)
    provinces = [f"{number:02}" for number in range(1, provinces_count + 1)]
    units = [(f"{number:05}", provinces[number % provinces_count]) for number in range(1, communes_count + 1)]
    indicators = [row["indicator"] for row in csv.DictReader(io.StringIO(shipped["indicators.csv"]))]
    made = {
        **{name: text.split("\n", 1)[0] + "\n" for name, text in shipped.items() if name.endswith(".csv")},
        "indicators.csv": shipped["indicators.csv"],
    }
    tables: dict[str, Iterable[Mapping[str, object]]] = {
        "vintages.csv": [{"vintage": VINTAGE, "start": VINTAGE}],
        "provinces.csv": [{"code": code} for code in provinces],
        "units.csv": [{"vintage": VINTAGE, "code": code, "kind": "xã", "province": province} for code, province in units],
        "bases.csv": [
            {
                "vintage": VINTAGE,
                "code": code,
                "population": 4000 + int(code),
                "households": 1000 + int(code),
                "villages": 8 + int(code) % 9,
            }
            for code, _ in units
        ],
        "reporters.csv": [{"reporter": operator} for operator in OPERATORS],
        "obligations.csv": [
            {"reporter": operator, "indicator": indicator, "province": province, "grace_days": 5, "start": VINTAGE}
            for operator in OPERATORS
            for indicator in indicators
            for province in provinces
        ],
        "targets.csv": [
            {"indicator": indicator, "scope": "national", "value": "0.9", "start": VINTAGE, "status": "assumed"} for indicator in indicators
        ],
    }
    empty = {"end", "due", "operators", "operator", "communes", "district", "former", "latitude", "longitude", "period", "deadline_days"}
    for name, rows in tables.items():
        columns = made[name].strip().split(",")
        out = io.StringIO()
        writer = csv.DictWriter(out, columns, lineterminator="\n")
        writer.writeheader()
        blank = {column: "" if column in empty | {"province"} else column for column in columns}
        blank |= {"status": "assumed", "counted_on": VINTAGE} if "status" in columns else {}
        writer.writerows({column: value for column, value in {**blank, **row}.items() if column in columns} for row in rows)
        made[name] = out.getvalue()
    made["rules.toml"] = f'rules = 1\nseeds = "{seeds_digest(made)}"\ncore = "{core_digest(core_sources())}"\n'
    return made


def statements(country: Rules) -> Iterable[Stated]:
    """Each operator's statement on each commune and indicator; one in twenty is also measured."""
    chance = random.Random(1)
    for unit in country.register.units.values():
        counts = country.register.counts[unit.id]
        for indicator in country.catalogue.indicators.values():
            count = counts.get(indicator.base)
            expected = count.value if count else 1 + chance.randrange(4)
            for operator in OPERATORS:
                gap = chance.randrange(1 + min(expected, len(_PLACES)))
                for method in (Method.DECLARED, Method.MEASURED) if chance.random() < 0.05 else (Method.DECLARED,):
                    yield Stated(
                        specversion="1.0",
                        id=f"{operator}/{unit.code}/{indicator.id}/{method}",
                        source=operator,
                        time=OBSERVED,
                        data=Statement(
                            commune=unit.code,
                            indicator=indicator.id,
                            observed_at=OBSERVED,
                            method=method,
                            covered=expected - gap,
                            expected=expected,
                            uncovered=_PLACES[:gap] if indicator.counts_places else None,
                        ),
                    )


def measure() -> Mapping[str, Any]:
    """Fold everything, assess every province from nothing, then one more statement; seconds on the clock."""
    country = Rules.from_texts(texts())
    admission = Admission(country)
    states = {code: Province(country, code) for code in country.register.homes}
    several = list(statements(country))
    for event in several:
        route = admission.route(event)
        states[route.province].apply(route.cell, route.slot, event)
    gc.collect()
    gc.freeze()  # as the worker does after its rebuild: what stays is not looked through again and again
    began, cpu_began = time.perf_counter(), time.process_time()
    rows = sum(len(state.rows(AS_OF)) for state in states.values())
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    expected = COMMUNES * len(country.catalogue.indicators) + PROVINCES * len(country.catalogue.indicators)
    if rows != expected:
        raise BenchError(f"{rows} rows were assessed, not {expected}")
    once: list[float] = []
    for event in several[: 50 * len(OPERATORS) : len(OPERATORS)]:
        later = Stated(specversion="1.0", id=f"{event.id}/2", source=event.source, time=AS_OF, data=event.data)
        route = admission.route(later)
        began = time.perf_counter()
        states[route.province].apply(route.cell, route.slot, later)
        touched = len(states[route.province].rows(AS_OF))
        once.append(time.perf_counter() - began)
        if touched > 4:
            raise BenchError(f"one event changed {touched} rows; its commune's, what that bounds, and their provinces' are at most 4")
    return {
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu_seconds, 2),
        "rows": rows,
        "events": len(several),
        "one_event_ms": round(1000 * sorted(once)[len(once) // 2], 2),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


if __name__ == "__main__":
    sys.exit(tell(measure))
