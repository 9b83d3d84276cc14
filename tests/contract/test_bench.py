"""bench/world.py: what the benches measure is what the core is for: full events, admitted, most of them news."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bench.world import INDICATORS, PROVINCE, SHARE, Made, events, write_seeds
from phusong.admission import Admission
from phusong.evidence import Outcome
from phusong.province import Province
from phusong.rows import CommuneRow
from phusong.rules import Rules
from phusong.settings import read_rules
from tests.worlds import millis

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Rules:
    """The rules of the benches' own seeds."""
    seeds: Path = tmp_path_factory.mktemp("bench") / "seeds"
    write_seeds(seeds)
    return read_rules(seeds)


def fold(rules: Rules, made: list[Made]) -> tuple[Province, Counter[Outcome]]:
    record, province = Admission(rules).record, Province(rules, PROVINCE)
    outcomes: Counter[Outcome] = Counter()
    for one in made:
        event, route = record(one.value, None, PROVINCE.encode(), one.domain, SHARE, millis(NOW))
        outcomes[province.apply(route.cell, route.slot, event)] += 1
    return province, outcomes


def test_the_world_has_138_communes_and_12_indicators_of_three_domains(rules: Rules) -> None:
    assert len(rules.register.units) == 138
    assert {name: indicator.domain for name, indicator in rules.catalogue.indicators.items()} == {
        name: domain for domain, names in INDICATORS.items() for name in names
    }
    assert len(rules.catalogue.indicators) == 12


def test_every_event_is_admitted_and_most_are_news(rules: Rules) -> None:
    made = list(events(15_000))
    _, outcomes = fold(rules, made)
    assert outcomes.total() == len(made)
    assert outcomes[Outcome.ADMITTED] > 0.9 * len(made)
    assert outcomes[Outcome.DUPLICATE] > 0.01 * len(made)
    assert outcomes[Outcome.SUPERSEDED] > 0.01 * len(made)
    assert {one.domain for one in made} == set(INDICATORS)


def test_the_events_have_every_field_that_a_reporter_sends() -> None:
    plain = [json.loads(one.value) for one in events(1_000)]
    always = {"commune", "indicator", "method", "origin", "observed_at", "covered", "expected"}
    assert all(event.keys() == {"specversion", "id", "source", "type", "time", "datacontenttype", "data"} for event in plain)
    assert all(event["data"].keys() >= always for event in plain)
    used = Counter(name for event in plain for name in event["data"])
    assert used.keys() == always | {"operator", "vintage", "uncovered"}
    assert used["uncovered"] >= 150
    assert all(event["data"]["uncovered"] for event in plain if "uncovered" in event["data"])


def test_the_same_arguments_give_the_same_events() -> None:
    assert list(events(300)) == list(events(300))


def test_without_repeats_each_event_counts_in_its_row(rules: Rules) -> None:
    made = list(events(3_000, again=0))
    province, outcomes = fold(rules, made)
    assert outcomes == {Outcome.ADMITTED: len(made)}
    last = {one.row: one.statement for one in made}
    shown = {row.key: row.statements for row in province.rows(NOW) if isinstance(row, CommuneRow) and row.statements}
    assert shown.keys() == last.keys()
    assert all(statement in shown[row] for row, statement in last.items())
