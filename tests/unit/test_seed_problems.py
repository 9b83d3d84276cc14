"""phusong/rules.py: every broken row of the seeds is reported with its file, line and remedy, all of them at once."""

from __future__ import annotations

import pytest

from phusong.rules import Rules, SeedError, core_digest, seeds_digest
from tests.worlds import MOBILE, POSTAL, Row, obligation, recorded, reporter, seed_texts, target, vintage


def problems(texts: dict[str, str]) -> list[str]:
    """What the reader says; rules.toml fits the broken tables, so that nothing else is wrong."""
    with pytest.raises(SeedError) as caught:
        Rules.from_texts(recorded(texts))
    return caught.value.problems


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
        ("indicators.csv", "units", "villages", "base: 'villages' is not known; one of: units"),
        ("indicators.csv", "latest", "largest", "union: 'largest' is not known; one of: latest"),
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
