"""ops/register.py: what became of which commune between two lists."""

from __future__ import annotations

import json

import pytest

from ops.cli import main
from ops.register import Diff, describe, diff
from phusong.register import Extent, Register
from phusong.rules import Rules
from phusong.settings import SEEDS, SettingsError, read_rules
from tests.worlds import seed_texts, succession, unit, vintage

FIRST, SECOND, THIRD = "2020-01-01", "2024-09-01", "2025-07-01"


@pytest.fixture(scope="module")
def register() -> Register:
    return read_rules(SEEDS).register


def world() -> Register:
    """Of five communes one stays, one is renamed, one gets another code, and one is split; a year later four of them are one."""
    vintages = (vintage(FIRST, end=SECOND), vintage(SECOND, end=THIRD), vintage(THIRD))
    units = [unit(FIRST, f"0000{n}") | {"district": "Huyện A"} for n in range(1, 6)]
    units += [unit(SECOND, code) for code in ("00001", "00002", "00006", "00004", "00005")]
    units[6] |= {"name": "Xã Mới"}
    units[7] |= {"name": "Xã 00003"}
    units += [unit(THIRD, code) for code in ("00001", "00005")]
    successions = [
        succession(SECOND, "00001", "00001"),
        succession(SECOND, "00002", "00002"),
        succession(SECOND, "00006", "00003"),
        succession(SECOND, "00004", "00004", "part"),
        succession(SECOND, "00005", "00004", "part"),
        succession(SECOND, "00005", "00005"),
        *(succession(THIRD, "00001", code) for code in ("00001", "00002", "00006", "00004")),
        succession(THIRD, "00005", "00005"),
    ]
    texts = seed_texts(communes={"08": ()}, vintages=vintages, units=units, successions=successions, obligations=(), targets=())
    return Rules.from_texts(texts).register


def test_each_kind_of_change_is_told_once() -> None:
    found = diff(world(), FIRST, SECOND)
    assert (found.units_before, found.units_after, found.unchanged) == (5, 5, 1)
    assert [(one.code, one.name, one.predecessors) for one in found.renamed] == [
        ("00002", "Xã Mới", (("00002", "Xã 00002", Extent.WHOLE),))
    ]
    assert [(one.code, one.predecessors) for one in found.recoded] == [("00006", (("00003", "Xã 00003", Extent.WHOLE),))]
    assert [(one.code, one.predecessors) for one in found.parts] == [("00004", (("00004", "Xã 00004", Extent.PART),))]
    assert [(one.code, one.predecessors) for one in found.merged] == [
        ("00005", (("00004", "Xã 00004", Extent.PART), ("00005", "Xã 00005", Extent.WHOLE)))
    ]
    assert [(one.code, one.successors) for one in found.split] == [("00004", (("00004", "Xã 00004"), ("00005", "Xã 00005")))]
    assert [(one.code, one.same_name) for one in found.reused] == [("00004", True), ("00005", True)]
    assert [(one.name, one.before, one.code) for one in found.elsewhere] == [("Xã 00003", ("00003",), "00006")]
    assert found.districts_gone == ("Huyện A",)


def test_a_part_of_a_part_stays_a_part_between_lists_that_are_not_next_to_each_other() -> None:
    found = diff(world(), FIRST, THIRD)
    (wide, split) = found.merged
    assert [(code, extent) for code, _, extent in wide.predecessors] == [
        ("00001", Extent.WHOLE),
        ("00002", Extent.WHOLE),
        ("00003", Extent.WHOLE),
        ("00004", Extent.PART),
    ]
    assert [(code, extent) for code, _, extent in split.predecessors] == [("00004", Extent.PART), ("00005", Extent.WHOLE)]


def test_parts_that_come_together_again_are_the_whole() -> None:
    units = [unit(FIRST, "00001"), unit(SECOND, "00001"), unit(SECOND, "00002"), unit(THIRD, "00001")]
    successions = [
        succession(SECOND, "00001", "00001", "part"),
        succession(SECOND, "00002", "00001", "part"),
        succession(THIRD, "00001", "00001"),
        succession(THIRD, "00001", "00002"),
    ]
    vintages = (vintage(FIRST, end=SECOND), vintage(SECOND, end=THIRD), vintage(THIRD))
    texts = seed_texts(communes={"08": ()}, vintages=vintages, units=units, successions=successions, obligations=(), targets=())
    assert diff(Rules.from_texts(texts).register, FIRST, THIRD).unchanged == 1


def total(found: Diff) -> int:
    return found.unchanged + len(found.renamed) + len(found.recoded) + len(found.merged) + len(found.parts)


@pytest.mark.parametrize(("one", "other"), [(FIRST, SECOND), (SECOND, THIRD), (FIRST, THIRD), (FIRST, FIRST)])
def test_every_unit_of_the_later_list_is_told_exactly_once(register: Register, one: str, other: str) -> None:
    found = diff(register, one, other)
    assert total(found) == found.units_after
    assert found == diff(register, other, one), "whichever is named first"


def test_2024_merges_van_son_and_hong_lac_and_leaves_the_other_329(register: Register) -> None:
    found = diff(register, FIRST, SECOND)
    assert (found.units_before, found.units_after, found.unchanged) == (331, 330, 329)
    (merged,) = found.merged
    assert (merged.code, merged.name, [code for code, _, _ in merged.predecessors]) == ("02608", "Xã Hồng Sơn", ["02593", "02608"])
    assert [(one.code, one.before, one.same_name) for one in found.reused] == [("02608", "Xã Hồng Lạc", False)]


@pytest.mark.parametrize(("before", "units", "same_name", "another_territory"), [(FIRST, 331, 76, 64), (SECOND, 330, 77, 65)])
def test_2025_reuses_every_code_and_most_of_them_for_another_territory(
    register: Register, before: str, units: int, same_name: int, another_territory: int
) -> None:
    """The known figures of the reform: 124 units of 330, 76 (against 2024: 77) of one code and name, 64 (65) of them other territories."""
    found = diff(register, before, THIRD)
    assert (found.units_before, found.units_after) == (units, 124)
    assert found.same_code_and_name == same_name
    assert sum(one.same_name for one in found.reused) == another_territory
    assert found.one_predecessor == 13
    assert (found.unchanged, len(found.renamed), len(found.recoded), len(found.parts)) == (12, 1, 0, 0)
    assert {one.code for one in found.reused} | {one.code for one in found.renamed} <= {
        code for vintage, code in register.units if vintage == before
    }
    assert len(found.reused) + found.unchanged + len(found.renamed) == 124, "all codes of 2025 are reused"
    assert [one.code for one in found.split] == ["00688", "00967", "00988", "02494", "02497"]
    assert [(one.before, one.after, one.units) for one in found.moved] == [("02", "08", 73)]
    assert ("Phường Minh Xuân", ("02203",), "02215") in {(one.name, one.before, one.code) for one in found.elsewhere}
    assert len(found.districts_gone) == 18


def test_the_text_is_in_the_language_asked_for(register: Register) -> None:
    found = diff(register, SECOND, THIRD)
    vi, en = ("\n".join(describe(register, found, lang)) for lang in ("vi", "en"))
    assert "Chuyển tỉnh, Hà Giang → Tuyên Quang: 73" in vi
    assert "Districts that vanished: 18" in en
    assert "  Xã Thái Bình (02494) → Phường Nông Tiến (02212) + Xã Thái Bình (02494)" in vi.splitlines()


def test_a_list_that_does_not_exist_is_told_with_those_that_do(register: Register) -> None:
    with pytest.raises(
        SettingsError, match=r"^2024: no such list of communes in vintages\.csv; one of: 2020-01-01, 2024-09-01, 2025-07-01$"
    ):
        diff(register, "2024", THIRD)


def test_the_command_prints_json_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["register", "diff", FIRST, SECOND, "--json"])
    assert ended.value.code == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["unchanged"], shown["merged"][0]["name"]) == (329, "Xã Hồng Sơn")
