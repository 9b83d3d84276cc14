"""The shipped seeds: the lists of communes since 2020, the catalogue, and the facts of mid-2023, of which one gives 137 of 138."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from datetime import UTC, datetime
from fractions import Fraction

import pytest

from phusong.admission import Admission
from phusong.assessment import percent
from phusong.events import Event, Origin, Stated, decode
from phusong.evidence import Outcome
from phusong.province import Province
from phusong.register import Unit
from phusong.rows import CommuneRow, ProvinceRow, State, Verdict
from phusong.rules import Rules
from phusong.settings import SEEDS, read_rules
from phusong.topics import share_of
from tests.worlds import MOBILE, POSTAL, instant, millis

FACTS = SEEDS / "facts" / "2023-06.jsonl"
CASES = SEEDS / "facts" / "cases.jsonl"


@pytest.fixture(scope="module")
def rules() -> Rules:
    return read_rules(SEEDS)


@pytest.fixture(scope="module")
def facts() -> list[bytes]:
    return FACTS.read_bytes().splitlines()


@pytest.fixture(scope="module")
def cases() -> list[bytes]:
    return CASES.read_bytes().splitlines()


def listed(rules: Rules, vintage: str, province: str) -> list[Unit]:
    return [unit for unit in rules.register.of(vintage, "08") if unit.province == province]


def test_each_list_has_the_units_that_its_title_says(rules: Rules) -> None:
    register = rules.register
    counts = Counter((unit.vintage, unit.province) for unit in register.units.values())
    assert counts == {
        ("2020-01-01", "08"): 138,
        ("2020-01-01", "02"): 193,
        ("2024-09-01", "08"): 137,
        ("2024-09-01", "02"): 193,
        ("2025-07-01", "08"): 124,
    }
    assert register.homes == ("08",)
    for vintage in register.vintages.values():
        for province in {province for listed_in, province in counts if listed_in == vintage.id}:
            assert f": {counts[vintage.id, province]}" in vintage.title


def test_the_list_of_2020_has_138_units_of_tuyen_quang_in_seven_districts(rules: Rules) -> None:
    units = listed(rules, "2020-01-01", "08")
    districts = Counter(unit.district for unit in units)
    assert sorted(districts.values()) == sorted([15, 10, 12, 24, 18, 28, 31])
    assert districts["Thành phố Tuyên Quang"] == 15
    assert districts["Huyện Lâm Bình"] == 10
    assert Counter(unit.kind for unit in units) == {"xã": 122, "phường": 10, "thị trấn": 6}


def test_codes_are_five_digits_and_names_are_in_nfc(rules: Rules) -> None:
    for unit in rules.register.units.values():
        assert len(unit.code) == 5
        assert unit.code.isdecimal()
        assert unit.name.lower().startswith(unit.kind)
    for file in [*SEEDS.glob("*.csv"), FACTS, CASES]:
        assert unicodedata.is_normalized("NFC", file.read_text("utf-8")), file
    assert rules.register.units["2020-01-01", "02275"].name == "Xã Sơn Phú"
    assert rules.register.units["2020-01-01", "02593"].name == "Xã Vân Sơn"


def test_the_target_is_cited_with_its_source(rules: Rules) -> None:
    target = rules.catalogue.target_at(POSTAL, "08", instant("2023-06-30"))
    assert target is not None
    assert (target.value, target.scope, target.status, target.due) == (Fraction(1), "national", "cited", None)
    assert target.source_vi == "NQ 01/NQ-CP 2021"


def test_the_facts_are_138_assumed_statements_of_which_one_is_not_covered(rules: Rules, facts: list[bytes]) -> None:
    events = [decode(line) for line in facts]
    assert len(events) == 138
    assert {event.data.commune for event in events} == {unit.code for unit in listed(rules, "2020-01-01", "08")}
    assert {event.data.origin for event in events} == {Origin.ASSUMED}
    assert {event.data.indicator for event in events} == {POSTAL}
    assert {event.data.expected for event in events if isinstance(event, Stated)} == {1}
    assert [event.data.commune for event in events if isinstance(event, Stated) and event.data.covered == 0] == ["02275"]
    assert len({event.id for event in events}) == 138


def test_the_cases_are_assumed_statements_admitted_one_by_one_of_which_two_are_among_the_facts(
    rules: Rules, facts: list[bytes], cases: list[bytes]
) -> None:
    events = [decode(line) for line in cases]
    assert {event.data.origin for event in events} == {Origin.ASSUMED}
    assert len({event.id for event in events}) == len(events)
    assert [event for event in events if event in [decode(line) for line in facts]] == events[-2:]
    province, admission = Province(rules, "08"), Admission(rules)
    for event in events:
        route = admission.route(event)
        assert province.apply(route.cell, route.slot, event) is Outcome.ADMITTED


def test_the_cases_give_each_commune_its_villages_without_a_signal(rules: Rules, cases: list[bytes]) -> None:
    province = admitted(rules, cases)
    province.rows(instant("2023-07-01"))
    gaps = {
        row.commune: row.uncovered
        for row in province.all_rows()
        if isinstance(row, CommuneRow) and row.indicator == MOBILE and row.state is State.FRESH and row.ratio != 1
    }
    assert gaps == {
        "02233": ("Tát Nga",),
        "02239": ("Bản Giòng", "Thôm Luông"),
        "02263": ("Bản Lãm", "Nà Tạng", "Tát Kẻ"),
        "02284": ("Bản Bung",),
        "02434": ("Đồng Rôm",),
    }


def admitted(rules: Rules, facts: list[bytes]) -> Province:
    """The province after the facts came as records to the broker in the evening of 30 June 2023."""
    admission, province = Admission(rules), Province(rules, "08")
    appended = millis(datetime(2023, 6, 30, 13, tzinfo=UTC))
    for line in facts:
        domain = decode(line).data.indicator.partition(".")[0]
        event, route = admission.record(line, None, b"08", domain, share_of(b"08"), appended)
        province.apply(route.cell, route.slot, event)
    return province


def row_of(province: Province, as_of: str) -> ProvinceRow:
    province.rows(instant(as_of))
    (row,) = (row for row in province.province_rows() if row.key == f"2020-01-01/08/{POSTAL}")
    return row


def test_the_facts_give_137_of_138_and_a_missed_target(rules: Rules, facts: list[bytes]) -> None:
    row = row_of(admitted(rules, facts), "2023-07-01")
    assert (row.covered, row.expected) == (137, 138)
    assert row.ratio == row.low == row.high == 137 / 138
    assert percent(row.ratio, row.target) == "99,3 %"
    assert (row.target, row.verdict, row.completeness) == (1.0, Verdict.MISSED, 1.0)
    assert row.units == {State.FRESH: 138, State.STALE: 0, State.UNKNOWN: 0}
    assert (row.origin, row.origins) == (Origin.ASSUMED, {Origin.ASSUMED: 138})


def test_the_gap_is_son_phu(rules: Rules, facts: list[bytes]) -> None:
    province = admitted(rules, facts)
    province.rows(instant("2023-07-01"))
    gaps = [row for row in province.all_rows() if isinstance(row, CommuneRow) and row.indicator == POSTAL and row.high == 0]
    assert [(row.commune, row.name) for row in gaps] == [("02275", "Xã Sơn Phú")]


def test_the_missing_communes_event_makes_the_ratio_1_and_the_verdict_met(rules: Rules, facts: list[bytes]) -> None:
    province = admitted(rules, facts)
    admission = Admission(rules)
    plain = json.loads(next(line for line in facts if b'"02275"' in line))
    plain["time"] = "2023-06-30T18:00:00+07:00"
    plain["data"]["covered"] = 1
    repaired: Event = decode(json.dumps(plain).encode())
    route = admission.route(repaired)
    province.apply(route.cell, route.slot, repaired)
    row = row_of(province, "2023-07-01")
    assert (row.covered, row.ratio, row.verdict) == (138, 1.0, Verdict.MET)


def test_without_another_report_the_facts_go_stale_and_stay_missed(rules: Rules, facts: list[bytes]) -> None:
    province = admitted(rules, facts)
    assert row_of(province, "2023-08-20T23:59:59").units[State.FRESH] == 138
    row = row_of(province, "2023-08-21")
    assert (row.low, row.ratio, row.high, row.verdict) == (0, 137 / 138, 137 / 138, Verdict.MISSED)
    assert row.units[State.STALE] == 138
