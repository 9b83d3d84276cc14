"""ops/seed_checks.py: what the reader takes but cannot be meant is an error with file, line and remedy; what may be meant is a note."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest

from ops.cli import main
from ops.seed_checks import Finding, Level, check, findings
from phusong.settings import SEEDS
from tests.worlds import (
    COMMUNES,
    MOBILE,
    POSTAL,
    Row,
    counts,
    indicator,
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

ONE_LIST = (vintage("2020-01-01"),)
TWO_LISTS = (vintage("2020-01-01", end="2024-09-01"), vintage("2024-09-01"))


def of(texts: dict[str, str], facts: dict[str, bytes] | None = None) -> list[Finding]:
    """Every finding about these seeds, whose rules.toml fits."""
    return sorted(findings(recorded(texts), facts or {}))


def small(**tables: object) -> dict[str, str]:
    """One province with two communes, one indicator that somebody owes, and what a test wants different."""
    given: dict[str, object] = {
        "communes": {"08": ("02263", "02275")},
        "indicators": (indicator(POSTAL),),
        "reporters": (reporter("post-office"),),
        "obligations": (obligation("post-office", POSTAL),),
        "targets": (target(POSTAL),),
    }
    return seed_texts(**(given | tables))  # type: ignore[arg-type]


def one(found: list[Finding]) -> tuple[Level, str]:
    """The only finding, in English."""
    (finding,) = found
    return finding.level, finding.text("en")


def replaced(texts: dict[str, str], name: str, old: str, new: str) -> dict[str, str]:
    assert old in texts[name]
    return texts | {name: texts[name].replace(old, new, 1)}


def test_a_small_world_has_no_finding() -> None:
    assert of(small()) == []


def test_the_shipped_seeds_have_no_finding() -> None:
    assert check(SEEDS) == []


def test_what_the_reader_refuses_is_told_in_its_words_and_hides_no_spelling() -> None:
    texts = replaced(small(), "targets.csv", ",1,", ",99,")
    texts = replaced(texts, "units.csv", ",02275,", ",2275,")
    assert [(one.file, one.line) for one in of(texts)] == [("targets.csv", 2), ("units.csv", 3)]
    assert "99 lies outside 0 to 1; write 100 % as 1" in of(texts)[0].en


def test_changed_rows_without_a_number_hide_no_other_finding() -> None:
    found = sorted(findings(replaced(small(), "targets.csv", "2021-01-01,,", "2021-01-01,2020-01-01,"), {}))
    assert [(one.file, one.line) for one in found] == [("rules.toml", 0), ("targets.csv", 2)]
    assert "config record" in found[0].en


def test_a_name_that_is_not_in_nfc_is_an_error() -> None:
    texts = small(reporters=(reporter("post-office") | {"name_vi": unicodedata.normalize("NFD", "Bưu điện")},))
    level, text = one(of(texts))
    assert level is Level.ERROR
    assert text.startswith("reporters.csv:2: name_vi: ")
    assert "is not in NFC" in text


@pytest.mark.parametrize(
    ("old", "said"),
    [("02275", "units.csv:3: code: '2275' is not of 5 digits"), ("08", "provinces.csv:2: code: '8' is not of 2 digits")],
)
def test_a_code_that_lost_its_zero_is_an_error_with_the_code_that_it_was(old: str, said: str) -> None:
    texts = {name: text.replace(f",{old},", f",{old[1:]},").replace(f"\n{old},", f"\n{old[1:]},") for name, text in small().items()}
    found = [one.text("en") for one in of(texts)]
    assert any(text.startswith(said) and text.endswith(f"is it {old}?") for text in found), found


def test_two_units_of_a_district_with_one_name_are_an_error() -> None:
    texts = replaced(small(), "units.csv", "Xã 02275", "Xã 02263")
    assert one(of(texts)) == (
        Level.ERROR,
        "units.csv:3: Xã 02263 (02275) has the name of 02263 in name_vi, list 2020-01-01; mend the name in one row",
    )


def test_one_name_in_two_districts_is_none() -> None:
    rows = [unit("2020-01-01", "02263") | {"district": "A"}, unit("2020-01-01", "02275") | {"district": "B", "name": "Xã 02263"}]
    assert of(small(units=rows)) == []


def merged(**more: object) -> dict[str, str]:
    """02263 and 02275 are merged into 02263 on 2024-09-01."""
    units = [unit("2020-01-01", "02263"), unit("2020-01-01", "02275"), unit("2024-09-01", "02263")]
    successions = [succession("2024-09-01", "02263", "02263"), succession("2024-09-01", "02263", "02275")]
    return small(vintages=TWO_LISTS, units=units, successions=successions, **more)


def people(last: str, **more: str) -> tuple[Row, ...]:
    """Populations of the two communes, and of the one made of them."""
    return (
        counts("2020-01-01", "02263", population="400"),
        counts("2020-01-01", "02275", population="600"),
        counts("2024-09-01", "02263", population=last) | more,
    )


def test_a_merger_keeps_the_people() -> None:
    assert of(merged(bases=people("1000"))) == []
    level, text = one(of(merged(bases=people("1001"))))
    assert level is Level.ERROR
    assert text.startswith("bases.csv:4: population: Xã 02263 (02263, 2024-09-01): 1001, but made of Xã 02263 (02263, 2020-01-01) + ")
    assert text.endswith(": 1000 counted on the same day; mend the count in one of the rows")


@pytest.mark.parametrize("other", [{"counted_on": "2024-04-01"}, {"status": "assumed"}])
def test_a_count_of_another_day_or_status_may_differ_and_is_a_note(other: Row) -> None:
    level, text = one(of(merged(bases=people("1001", **other))))
    assert level is Level.NOTE
    assert text.startswith("bases.csv: population: 1 units of 2024-09-01 differ from the sum of their predecessors")


def test_a_split_keeps_the_people_of_the_whole_territory() -> None:
    units = [unit(name, code) for name in ("2020-01-01", "2024-09-01") for code in ("02263", "02275")]
    successions = [
        succession("2024-09-01", "02263", "02263", "part"),
        succession("2024-09-01", "02275", "02263", "part"),
        succession("2024-09-01", "02275", "02275"),
    ]

    def split(second: str) -> dict[str, str]:
        last = counts("2024-09-01", "02275", population=second)
        return small(vintages=TWO_LISTS, units=units, successions=successions, bases=(*people("150"), last))

    assert of(split("850")) == []
    assert "made of Xã 02263 (02263, 2020-01-01) + Xã 02275 (02275, 2020-01-01): 1000" in one(of(split("849")))[1]


def test_no_unit_has_more_households_or_villages_than_people() -> None:
    texts = small(bases=(counts("2020-01-01", "02263", population="5", households="6", villages="7"),))
    assert [found.en for found in of(texts)] == [
        "households: 6 exceeds the population 5 of Xã 02263 (02263, 2020-01-01); mend one of the two",
        "villages: 7 exceeds the population 5 of Xã 02263 (02263, 2020-01-01); mend one of the two",
    ]


def test_no_unit_has_more_named_villages_than_it_counts() -> None:
    texts = small(
        bases=(counts("2020-01-01", "02263", villages="1"),), places=(place("02263", "Bản Lãm", "Ban Lam"), place("02263", "Nà Tạng"))
    )
    assert one(of(texts)) == (
        Level.ERROR,
        "bases.csv:2: villages: 1, but places.csv names 2 of Xã 02263 (02263, 2020-01-01); mend one of the two",
    )


def test_a_count_that_an_indicator_weighs_by_and_that_is_missing_is_a_note() -> None:
    texts = small(
        indicators=(indicator(MOBILE, base="villages"),), obligations=(obligation("post-office", MOBILE),), targets=(target(MOBILE),)
    )
    level, text = one(of(texts))
    assert level is Level.NOTE
    assert text.startswith("bases.csv: villages: 2 of 2 units of 2020-01-01 have no count (02263, 02275); they weigh the mean")


def test_former_is_the_province_of_all_predecessors() -> None:
    units = [unit("2020-01-01", "02263"), unit("2020-01-01", "00688", "02")]
    successions = [succession("2024-09-01", code, code) for code in ("02263", "00688")]

    def formerly(*former: str) -> list[str]:
        later = [unit("2024-09-01", code) | {"former": one} for code, one in zip(("02263", "00688"), former, strict=True)]
        world = small(
            communes={"08": (), "02": ()},
            vintages=TWO_LISTS,
            units=units + later,
            successions=successions,
            obligations=(obligation("post-office", POSTAL), obligation("post-office", POSTAL, "02", end="2024-09-01")),
        )
        return [one.text("en") for one in of(world)]

    assert formerly("08", "02") == formerly("", "02") == []
    assert formerly("02", "") == [
        "units.csv:4: former: '02', but its predecessors belong to province 08; write '08'",
        "units.csv:5: former: '', but its predecessors belong to province 02; write '02'",
    ]


def test_a_target_falls_due_after_it_starts() -> None:
    level, text = one(of(small(targets=(target(POSTAL, start="2023-01-01", due="2023-01-01"),))))
    assert level is Level.ERROR
    assert text.startswith(
        "targets.csv:2: due: 2023-01-01 does not lie after start 2023-01-01; write the first day after the last one allowed"
    )


def test_a_target_that_ends_before_it_is_due_is_a_note() -> None:
    level, text = one(of(small(targets=(target(POSTAL, due="2025-01-01", end="2024-01-01"),))))
    assert (level, text[:35]) == (Level.NOTE, "targets.csv:2: due: 2025-01-01 lies")


def test_an_obligation_on_a_province_without_units_is_an_error() -> None:
    texts = small(
        communes={"08": ("02263",), "04": ()}, obligations=(obligation("post-office", POSTAL), obligation("post-office", POSTAL, "04"))
    )
    assert one(of(texts)) == (
        Level.ERROR,
        "obligations.csv:3: province: 04 has no unit while this row holds; mend the province, or start and end",
    )


def test_an_obligation_that_outlives_its_province_is_a_note() -> None:
    units = [unit("2020-01-01", "02263"), unit("2020-01-01", "00688", "02"), unit("2024-09-01", "02263")]
    successions = [succession("2024-09-01", "02263", code) for code in ("02263", "00688")]
    texts = small(
        communes={"08": (), "02": ()},
        vintages=TWO_LISTS,
        units=units,
        successions=successions,
        obligations=(obligation("post-office", POSTAL), obligation("post-office", POSTAL, "02")),
    )
    assert one(of(texts)) == (
        Level.NOTE,
        "obligations.csv:3: province: 02 has no unit in the list from 2024-09-01; write end, and a row for the province they went to",
    )


def test_an_obligation_on_communes_that_are_gone_is_an_error() -> None:
    row = obligation("post-office", POSTAL, communes="02263 02275", start="2024-10-01")
    assert one(of(merged(obligations=(row, obligation("post-office", POSTAL))))) == (
        Level.ERROR,
        "obligations.csv:2: communes: 02275 not in province 08 while this row holds; mend the codes",
    )


def test_an_indicator_that_nobody_owes_is_an_error() -> None:
    level, text = one(of(small(indicators=(indicator(POSTAL), indicator(MOBILE)))))
    assert level is Level.ERROR
    assert text.startswith(f"indicators.csv:3: {MOBILE}: nobody is obliged to report it, so every commune there stays unknown")


def test_an_indicator_that_nobody_owes_in_one_of_the_provinces_is_a_note() -> None:
    level, text = one(of(small(communes=COMMUNES, obligations=[obligation("post-office", POSTAL, code) for code in ("02", "08", "10")])))
    assert level is Level.NOTE
    assert text.startswith(f"indicators.csv:2: {POSTAL}: nobody in province 04 is obliged")


def test_a_reporter_that_speaks_for_nobody_is_a_note() -> None:
    level, text = one(of(small(reporters=(reporter("post-office"), reporter("inspector", "post-office"), reporter("nobody")))))
    assert level is Level.NOTE
    assert text.startswith("reporters.csv:4: nobody: owes no report")


def event(**data: object) -> bytes:
    about = {"commune": "02275", "indicator": POSTAL, "observed_at": "2023-06-30T00:00:00+07:00", "covered": 1, "expected": 1} | data
    attributes = {"specversion": "1.0", "type": "vn.phusong.coverage.stated.v1", "id": "1", "source": "post-office"}
    return json.dumps({**attributes, "time": "2023-07-05T09:00:00+07:00", "data": about}).encode()


def test_a_fact_that_the_rows_reject_is_an_error() -> None:
    facts = {"facts/a.jsonl": event() + b"\n\n" + event(commune="2275") + b"\n" + b"{\n"}
    found = of(small(), facts)
    assert [(one.level, one.file, one.line) for one in found] == [(Level.ERROR, "facts/a.jsonl", 3), (Level.ERROR, "facts/a.jsonl", 4)]
    assert found[0].en == "rejected (unknown_commune): commune '2275' is not in the register of 2020-01-01; did you mean '02275'?"


def test_a_fact_about_whom_nobody_obliges_is_a_note() -> None:
    texts = small(reporters=(reporter("post-office", "operator-a"),))
    level, text = one(of(texts, {"facts/a.jsonl": event(operator="operator-a")}))
    assert level is Level.NOTE
    assert text.startswith(f"facts/a.jsonl:1: operator-a is not obliged to {POSTAL} in 02275")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A seeds directory with one error and one note."""
    for name, text in recorded(
        small(targets=(target(POSTAL, due="2020-01-01"), target(POSTAL, start="2022-01-01", due="2025-01-01", end="2024-01-01")))
    ).items():
        (tmp_path / name).write_text(text)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    shown = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, shown.out, shown.err


def test_the_command_names_each_finding_and_fails_for_errors(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "register", "check", str(directory))
    assert code == 1
    assert f"lỗi: {directory}/targets.csv:2: due: 2020-01-01 không sau start 2021-01-01" in err
    assert f"lưu ý: {directory}/targets.csv:3: due" in err
    assert out == f"{directory}: 1 lỗi, 1 lưu ý\n"
    code, out, err = run(capsys, "register", "check", str(directory), "--lang", "en", "--json")
    assert [(one["file"], one["line"], one["level"]) for one in json.loads(out)] == [
        ("targets.csv", 2, "error"),
        ("targets.csv", 3, "note"),
    ]


def test_the_command_passes_for_the_shipped_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "register", "check", "--lang", "en") == (0, f"{SEEDS}: errors: 0, notes: 0\n", "")


def test_the_command_refuses_a_directory_without_seeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "register", "check", str(tmp_path))
    assert (code, "no seed files there" in err) == (2, True)
