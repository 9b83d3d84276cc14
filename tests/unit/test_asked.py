"""What a question names is found, or the nearest that there are."""

from __future__ import annotations

import pytest

from ops import asked
from phusong.settings import SEEDS, SettingsError, read_rules
from tests.worlds import instant

RULES = read_rules(SEEDS)
LIST = RULES.register.vintages["2020-01-01"]


def test_a_day_is_its_end_and_a_moment_without_an_offset_is_of_vietnam() -> None:
    assert asked.moment("2023-06-30") == instant("2023-06-30T23:59:59.999999+07:00")
    assert asked.moment("2023-06-30T18:00") == instant("2023-06-30T18:00:00+07:00")
    assert asked.moment("2023-06-30T11:00Z") == instant("2023-06-30T18:00:00+07:00")
    assert asked.moment("30/06/2023") == asked.moment("2023-06-30")
    for typed in ("31/06/2023", "6/2023", "hôm qua"):
        with pytest.raises(SettingsError, match="write 30/06/2023"):
            asked.moment(typed)


@pytest.mark.parametrize("typed", ["2275", "Sơn Phú", "son phu", "02276"])
def test_the_nearest_communes_are_named(typed: str) -> None:
    with pytest.raises(SettingsError, match="02275 Xã Sơn Phú"):
        asked.unit(RULES.register, LIST, typed)


def test_a_commune_of_another_list_is_named_with_that_list() -> None:
    gone = next(
        unit
        for unit in RULES.register.units.values()
        if unit.vintage == "2020-01-01" and ("2025-07-01", unit.code) not in RULES.register.units
    )
    with pytest.raises(SettingsError, match="add --vintage"):
        asked.unit(RULES.register, RULES.register.vintages["2025-07-01"], gone.code)


@pytest.mark.parametrize("typed", ["staffed_point", "postal.staffed", "postal.stafed_point", "POSTAL.STAFFED_POINT"])
def test_the_nearest_indicators_are_named(typed: str) -> None:
    with pytest.raises(SettingsError, match=r"postal\.staffed_point"):
        asked.indicator(RULES.catalogue, typed)


def test_what_exists_is_found() -> None:
    assert asked.unit(RULES.register, LIST, "02275").name == "Xã Sơn Phú"
    assert asked.indicator(RULES.catalogue, "postal.staffed_point").id == "postal.staffed_point"
    assert asked.vintage_at(RULES.register, instant("2024-09-01")).id == "2024-09-01"
    with pytest.raises(SettingsError, match="2020-01-01"):
        asked.vintage_at(RULES.register, instant("2019-12-31"))
