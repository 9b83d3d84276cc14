"""phusong/rules.py: every broken row of the seeds is reported with its file, line and remedy, all of them at once."""

from __future__ import annotations

from typing import Any

import pytest

from phusong.register import Base, Extent
from phusong.rules import Rules, SeedError, core_digest, seeds_digest
from tests.worlds import (
    MOBILE,
    POSTAL,
    Row,
    counts,
    obligation,
    place,
    recorded,
    reporter,
    seed_texts,
    succession,
    target,
    unit,
    vintage,
)


def problems(texts: dict[str, str]) -> list[str]:
    """What the reader says; rules.toml fits the broken tables, so that nothing else is wrong."""
    with pytest.raises(SeedError) as caught:
        Rules.from_texts(recorded(texts))
    return caught.value.problems


BARE: dict[str, Any] = {"obligations": (), "targets": ()}
"""Arguments of `seed_texts` for a world in which nobody owes anything."""


def edited(name: str, old: str, new: str) -> dict[str, str]:
    """The default seeds with one text replaced where it stands first."""
    texts = seed_texts()
    assert old in texts[name]
    return texts | {name: texts[name].replace(old, new, 1)}


def test_the_default_world_has_no_problem() -> None:
    rules = Rules.from_texts(seed_texts(number=7))
    assert rules.number == 7


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("units.csv", "name,", "", "units.csv:1: no column name"),
        ("units.csv", "vintage,code", "vintage,id", "units.csv:1: no column code"),
        ("units.csv", ",02275,", ",02263,", "units.csv:3: stands already in line 2; remove one of them"),
        ("units.csv", "02284,Xã 02284", "02284,", "units.csv:4: name is empty"),
        ("units.csv", "2020-01-01,02275", "2019,02275", "units.csv:3: vintage: '2019' is not in vintages.csv"),
        ("units.csv", ",08,", ",99,", "units.csv:2: province: '99' is not in provinces.csv"),
        ("units.csv", "Xã 02275", "Xã 02275,", "units.csv:3: has more cells than the heading"),
        ("units.csv", ",Xã 02275,xã", "", "units.csv:3: has fewer cells than the heading"),
        ("units.csv", "Xã 02263", '"Xã 02263', "units.csv:"),
        ("provinces.csv", "02,name_vi", "08,name_vi", "provinces.csv:3: stands already in line 2"),
        ("vintages.csv", "2020-01-01,2020-01-01", "2020-01-01,01/01/2020", "vintages.csv:2: start: Invalid isoformat string"),
        ("indicators.csv", "postal.staffed_point", "post.staffed_point", "one of: telecom, broadcast, postal"),
        ("indicators.csv", "postal.staffed_point", "postal", "must read domain.what"),
        ("units.csv", "2020-01-01,02263,Xã 02263,xã,,08,,", "2020-01-01,02263,Xã 02263,xã,,08,99,", "former: '99' is not in provinces.csv"),
        ("units.csv", "xã,,08,,,", "xã,,08,,northern,", "units.csv:2: latitude: 'northern' is no number; write degrees as 21.8252"),
        ("units.csv", "xã,,08,,,", "xã,,08,,105.1,", "units.csv:2: latitude: 105.1 lies outside -90 to 90 degrees"),
        ("indicators.csv", "units", "houses", "base: 'houses' is not known; one of: units, villages, households, population, reported"),
        ("indicators.csv", "latest", "best", "union: 'best' is not known; one of: latest, largest, any, places, sum, pool"),
        ("indicators.csv", "month,15", "month,", "indicators.csv:2: deadline_days is empty"),
        ("indicators.csv", "0.05", "5", "indicators.csv:2: tolerance: 5 lies outside 0 to 1"),
        ("indicators.csv", "0.05,", "0.05,postal.stamps", "postal.staffed_point: at_most: 'postal.stamps' must be another row"),
        ("indicators.csv", "0.05,", f"0.05,{POSTAL}", "must be another row of this file with the same base and no at_most"),
        ("indicators.csv", "assumed", "guessed", "indicators.csv:2: status: 'guessed' is not known; one of: cited, assumed"),
        ("indicators.csv", "month", "week", "period: 'week' is not known; one of: month, quarter, half_year, year"),
        ("reporters.csv", "operator-a", "post-office", "reporters.csv:3: stands already in line 2"),
        ("targets.csv", ",1,assumed", ",99,assumed", "targets.csv:2: value: 99 lies outside 0 to 1; write 100 % as 1"),
        ("targets.csv", ",0.6,", ',"99,5",', "targets.csv:3: value: '99,5' is no number; write 100 % as 1, 99,5 % as 0.995"),
        ("targets.csv", ",1,assumed", ",-0.1,assumed", "value: -1/10 lies outside 0 to 1"),
        ("targets.csv", ",1,assumed", ",1/0,assumed", "value: '1/0' is no number"),
        ("targets.csv", ",1,assumed", ",1,guessed", "status: 'guessed' is not known; one of: cited, assumed"),
        ("targets.csv", "national", "regional", "scope: 'regional' is not known; one of: national, province"),
        ("targets.csv", "national,", "national,08", "province: must be empty for a national target"),
        ("targets.csv", "province,08", "province,", "targets.csv:4: province is empty"),
        ("targets.csv", POSTAL, "postal.stamps", "indicator: 'postal.stamps' is not in indicators.csv"),
        ("targets.csv", "2021-01-01", "2021-02-30", "targets.csv:2: start: day is out of range for month; write a date as 2023-06-30"),
        ("obligations.csv", "post-office", "post-offices", "obligations.csv:2: reporter: 'post-offices' is not in reporters.csv"),
        ("obligations.csv", "post-office,,", "post-office,operator-b,", "operator: post-office may not speak for 'operator-b'"),
        ("obligations.csv", ",15,", ",15.5,", "obligations.csv:2: deadline_days: '15.5' is no whole number"),
        ("obligations.csv", ",5,", ",-5,", "obligations.csv:2: grace_days: '-5' is no whole number"),
        ("obligations.csv", "month", "monthly", "period: 'monthly' is not known"),
        ("obligations.csv", ",08,", ",,", "obligations.csv:2: province is empty"),
        ("obligations.csv", ",08,,", ",08,2275,", "obligations.csv:2: communes: 2275: in no list of units.csv"),
        ("obligations.csv", "2023-01-01,2024-01-01", "2023-01-01,2023-01-01", "end: must lie after start"),
        (
            "targets.csv",
            ",0.6,assumed",
            ",0.6,assumed,2021-01-01,,,x,y\ntelecom.mobile_signal_villages,national,,0.7,assumed",
            "stands already in line 3",
        ),
    ],
)
def test_a_broken_row_is_told_with_its_file_and_line_and_remedy(name: str, old: str, new: str, said: str) -> None:
    found = problems(edited(name, old, new))
    assert any(problem.startswith(f"{name}:") and said in problem for problem in found), found


@pytest.mark.parametrize("name", [name for name in seed_texts() if name.endswith(".csv")])
def test_a_missing_file_is_told_with_the_remedy(name: str) -> None:
    texts = {other: text for other, text in seed_texts().items() if other != name}
    assert f"{name}: missing; copy it from the project's seeds/ and edit the copy" in problems(texts)


def test_an_obligation_of_a_reporter_that_its_row_no_longer_allows_is_told() -> None:
    texts = seed_texts(reporters=(reporter("post-office"), reporter("operator-a"), reporter("operator-b"), reporter("department")))
    (first, second) = problems(texts)
    assert "department may not speak for 'post-office'; see its row in reporters.csv" in first
    assert "department may not speak for 'operator-b'" in second


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (counts("2020-01-01", "02276"), "code: '02276' is not among the units of '2020-01-01' in units.csv"),
        (counts("2019", "02275"), "code: '02275' is not among the units of '2019' in units.csv"),
        (counts("2020-01-01", "02263", population="5689"), "population: is counted already for this commune in a line above"),
        (counts("2020-01-01", "02275", population="5.688"), "population: '5.688' is no whole number"),
        (counts("2020-01-01", "02275", villages="-1"), "villages: '-1' is no whole number"),
        (counts("2020-01-01", "02275", villages="5", status="counted"), "status: 'counted' is not known; one of: cited, assumed"),
        (
            counts("2020-01-01", "02275", villages="5") | {"counted_on": "2019"},
            "counted_on: Invalid isoformat string: '2019'; write a date",
        ),
    ],
)
def test_a_broken_count_is_told(row: Row, said: str) -> None:
    (problem,) = problems(seed_texts(bases=(counts("2020-01-01", "02263", population="5688"), row)))
    assert problem.startswith(f"bases.csv:3: {said}")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (place("02276", "Bản Lãm"), "commune: '02276' is not among the units of '2020-01-01' in units.csv"),
        (place("02263", "thôn lãm"), "name, aliases: 'lãm' already names a place of this commune"),
        (place("02263", "Nà Tạng", "Na Tang; bản LAM"), "name, aliases: 'lam' already names a place of this commune"),
        (place("02263", ""), "name is empty"),
    ],
)
def test_a_broken_place_is_told(row: Row, said: str) -> None:
    (problem,) = problems(seed_texts(places=(place("02263", "Bản Lãm", "Lam; Ban Lam"), row)))
    assert problem.startswith(f"places.csv:3: {said}")


def test_the_counts_of_a_commune_may_come_from_several_rows() -> None:
    census = counts("2020-01-01", "02263", population="5688")
    assumed = counts("2020-01-01", "02263", villages="11", status="assumed")
    held = Rules.from_texts(seed_texts(bases=(census, assumed))).register.counts["2020-01-01", "02263"]
    assert {base: (count.value, count.status) for base, count in held.items()} == {
        Base.POPULATION: (5688, "cited"),
        Base.VILLAGES: (11, "assumed"),
    }


def test_two_communes_may_each_have_a_village_of_one_name() -> None:
    register = Rules.from_texts(seed_texts(places=(place("02263", "Bản Lãm"), place("02275", "Bản Lãm", "Lam")))).register
    assert register.places["2020-01-01", "02275"] == {"lãm": "lãm", "lam": "lãm"}


TWO_LISTS = (vintage("2020-01-01", end="2025-07-01"), vintage("2025-07-01"))
OLD, NEW = (unit("2020-01-01", "A"), unit("2020-01-01", "B")), (unit("2025-07-01", "A"), unit("2025-07-01", "B"))
KEPT = (succession("2025-07-01", "A", "A"), succession("2025-07-01", "B", "B"))


@pytest.mark.parametrize(
    ("successions", "said"),
    [
        (
            (succession("2020-01-01", "A", "A"), *KEPT),
            "successions.csv:2: vintage: 2020-01-01 is the first, so its units have no predecessor",
        ),
        (
            (*KEPT, succession("2025-07-01", "A", "C")),
            "successions.csv:4: predecessor: 'C' is not among the units of 2020-01-01 in units.csv",
        ),
        ((*KEPT, succession("2025-07-01", "C", "A")), "successions.csv:4: code: 'C' is not among the units of '2025-07-01' in units.csv"),
        ((*KEPT, KEPT[0]), "successions.csv:4: stands already in line 2; remove one of them"),
        ((KEPT[0], succession("2025-07-01", "B", "B", "half")), "successions.csv:3: extent: 'half' is not known; one of: whole, part"),
        ((KEPT[0],), "successions.csv: B of 2025-07-01: no row says what it was made of; add one for each predecessor"),
        ((KEPT[0],), "successions.csv: B of 2020-01-01: no row says what became of it; add one for each successor"),
        ((*KEPT, succession("2025-07-01", "A", "B")), "successions.csv: B of 2020-01-01: goes whole into one unit and again into another"),
        ((KEPT[0], succession("2025-07-01", "B", "B", "part")), "successions.csv: B of 2020-01-01: only a part of it goes on"),
    ],
)
def test_every_unit_says_what_it_was_made_of_and_what_became_of_it(successions: tuple[Row, ...], said: str) -> None:
    found = problems(seed_texts(communes={"08": ()}, vintages=TWO_LISTS, units=(*OLD, *NEW), successions=successions, **BARE))
    assert any(problem.startswith(said) for problem in found), found


def test_a_unit_divided_between_two_provinces_is_refused() -> None:
    """All evidence on it has one home, and so one owner."""
    new = (unit("2025-07-01", "A"), unit("2025-07-01", "B", "02"))
    parts = (KEPT[0], *(succession("2025-07-01", code, "B", "part") for code in "AB"))
    texts = seed_texts(communes={"08": (), "02": ()}, vintages=TWO_LISTS, units=(*OLD, *new), successions=parts, **BARE)
    assert problems(texts) == [
        "successions.csv: B of 2020-01-01: goes to two provinces, but all evidence on a unit has one home; not supported"
    ]


def test_seeds_without_any_list_of_communes_are_refused() -> None:
    texts = seed_texts(communes={"08": ()}, vintages=(), **BARE)
    assert problems(texts) == ["vintages.csv: holds no row; at least one list of communes must be in force"]


def test_a_unit_is_divided_by_a_row_with_a_part_for_each_successor() -> None:
    parts = (KEPT[0], *(succession("2025-07-01", code, "B", "part") for code in "AB"))
    texts = seed_texts(communes={"08": ()}, vintages=TWO_LISTS, units=(*OLD, *NEW), successions=parts, **BARE)
    register = Rules.from_texts(texts).register
    assert register.later(("2020-01-01", "B")) == (("2025-07-01", "A"), ("2025-07-01", "B"))
    assert [one.extent for one in register.predecessors["2025-07-01", "A"]] == [Extent.WHOLE, Extent.PART]


def test_the_home_of_a_unit_is_where_its_territory_is_in_the_newest_list() -> None:
    """As with Hà Giang (02), which came to Tuyên Quang (08)."""
    units = (OLD[0], unit("2020-01-01", "B", "02"), *NEW)
    texts = seed_texts(communes={"02": (), "08": ()}, vintages=TWO_LISTS, units=units, successions=KEPT, **BARE)
    register = Rules.from_texts(texts).register
    assert register.homes == ("08",)
    assert register.of("2020-01-01", "08") == (register.units["2020-01-01", "A"], register.units["2020-01-01", "B"])
    assert register.of("2020-01-01", "02") == ()


@pytest.mark.parametrize(
    "vintages",
    [
        pytest.param((vintage("2020-01-01", end="2024-08-31"), vintage("2024-09-01")), id="a gap of a day"),
        pytest.param((vintage("2020-01-01", end="2024-09-02"), vintage("2024-09-01")), id="a day with two lists"),
        pytest.param((vintage("2020-01-01"), vintage("2024-09-01")), id="no end"),
    ],
)
def test_every_day_has_one_list_of_communes(vintages: tuple[Row, ...]) -> None:
    assert problems(seed_texts(vintages=vintages)) == [
        "vintages.csv: 2020-01-01 must end on the day 2024-09-01 starts, so that every day has one list"
    ]


def test_all_problems_are_told_at_once() -> None:
    texts = seed_texts(targets=(target(POSTAL, "99"), target(MOBILE, "0.5", start="soon")), obligations=(obligation("nobody", POSTAL),))
    texts["units.csv"] = texts["units.csv"].replace(",02275,", ",02263,")
    del texts["provinces.csv"]
    found = problems(texts)
    for said in ("targets.csv:2: value", "targets.csv:3: start", "obligations.csv:2: reporter", "provinces.csv: missing", "units.csv:2"):
        assert any(problem.startswith(said) for problem in found), said


def test_the_problems_are_the_text_of_the_error_one_a_line() -> None:
    with pytest.raises(SeedError, match=r"targets\.csv:2.*\ntargets\.csv:3"):
        Rules.from_texts(recorded(seed_texts(targets=(target(POSTAL, "99"), target(MOBILE, "98")))))


def test_changed_rows_without_a_new_number_are_refused_with_the_remedy() -> None:
    texts = edited("targets.csv", "0.6", "0.7")
    with pytest.raises(SeedError, match="changed since rules 1; record the new rules with `phusong config record`"):
        Rules.from_texts(texts)
    Rules.from_texts(recorded(texts, 2))


@pytest.mark.parametrize("text", ["", "rules = 0", "rules = 'one'", "seeds = 'abc'", "rules = 1.5"])
def test_rules_need_a_number(text: str) -> None:
    with pytest.raises(SeedError, match=r"rules\.toml: needs a line `rules = N`, N from 1"):
        Rules.from_texts(seed_texts() | {"rules.toml": text})


def test_a_rules_file_that_cannot_be_read_is_told() -> None:
    with pytest.raises(SeedError, match=r"rules\.toml: .*line 1"):
        Rules.from_texts(seed_texts() | {"rules.toml": "rules: 1"})


def test_the_digest_depends_on_every_table_and_not_on_the_file_that_records_it() -> None:
    texts = seed_texts()
    assert seeds_digest(texts) == seeds_digest(texts | {"rules.toml": "", "README.md": "read me"})
    assert seeds_digest(dict(reversed(texts.items()))) == seeds_digest(texts)
    for name in texts:
        if name.endswith(".csv"):
            assert seeds_digest(texts | {name: texts[name] + "\n"}) != seeds_digest(texts)


CORE = """
def rows(a, b):
    if a:
        b()
    return "b"
"""


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(CORE.replace("(a, b)", "( a,\n  b,)").replace(",)", ")"), id="layout"),
        pytest.param(CORE.replace("    if", "    # a word about it\n\n    if"), id="comment"),
        pytest.param('"""What it does."""' + CORE.replace("    if", '    """Of a and b."""\n    if'), id="docstring"),
    ],
)
def test_what_changes_nothing_in_the_core_leaves_its_digest(text: str) -> None:
    assert core_digest({"rows.py": text}) == core_digest({"rows.py": CORE})


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(CORE.replace("if a", "if b"), id="name"),
        pytest.param(CORE.replace('"b"', '"c"'), id="text"),
        pytest.param(CORE.replace("    return", "        return"), id="a line moved into a block"),
        pytest.param(CORE.replace("        b()", "        b()\n        b()"), id="line"),
    ],
)
def test_what_changes_the_core_changes_its_digest(text: str) -> None:
    assert core_digest({"rows.py": text}) != core_digest({"rows.py": CORE})
    assert core_digest({"other.py": CORE}) != core_digest({"rows.py": CORE})
