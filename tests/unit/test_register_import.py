"""ops/counts.py: a foreign register's counts take the place of the assumed ones, row by row, and say where they are from."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.cli import main
from ops.counts import Imported, import_counts
from phusong.register import Base, Count
from phusong.settings import SEEDS, SettingsError, read_rules
from tests.worlds import counts, recorded, seed_texts, vintage

MAPPING = """
[value]
vintage = "2020-01-01"
counted_on = 2019-04-01
status = "cited"
source = "Tổng điều tra"
[column]
code = "Mã"
population = "Dân số"
"""
LISTS = (vintage("2020-01-01", end="2024-09-01"), vintage("2024-09-01"))


class Desk:
    """A copy of seeds/, a mapping and a file beside it."""

    def __init__(self, directory: Path) -> None:
        self.seeds = directory / "seeds"
        self.seeds.mkdir()
        self.file, self.mapping = directory / "census.csv", directory / "census.toml"
        assumed = [
            counts(name, code, population="100", households="25", villages="5", status="assumed") | {"source": "giả định"}
            for name in ("2020-01-01", "2024-09-01")
            for code in ("02263", "02275")
        ]
        texts = seed_texts(communes={"08": ("02263", "02275", "02284")}, vintages=LISTS, bases=assumed, obligations=(), targets=())
        for name, text in recorded(texts).items():
            (self.seeds / name).write_text(text)

    def take(self, text: str, mapping: str = MAPPING, encoding: str = "utf-8") -> Imported:
        self.file.write_text(text, encoding)
        self.mapping.write_text(mapping)
        return import_counts(self.file, self.mapping, self.seeds, "en")

    @property
    def rows(self) -> list[str]:
        return (self.seeds / "bases.csv").read_text().splitlines()[1:]

    def bad(self, text: str, mapping: str = MAPPING) -> list[str]:
        """The problems, without the file's name."""
        return [problem.removeprefix(f"{self.file}:") for problem in self.take(text, mapping).bad]

    def refused(self, text: str, mapping: str = MAPPING) -> str:
        """Why nothing could be taken; nothing was written."""
        before = self.rows
        with pytest.raises(SettingsError) as caught:
            self.take(text, mapping)
        assert self.rows == before
        return str(caught.value)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_the_mapped_count_is_replaced_and_the_others_stay_with_their_source(desk: Desk) -> None:
    found = desk.take("Mã,Tên,Dân số\n02263,a,1636\n02284,c,2792\n")
    assert (found.units, found.totals, found.bad) == ((("2020-01-01", "02263"), ("2020-01-01", "02284")), {"population": 4428}, ())
    assert found.left == {"2020-01-01": 1}
    assert desk.rows == [
        "2020-01-01,02263,,25,5,2019-04-01,assumed,giả định",
        "2020-01-01,02263,1636,,,2019-04-01,cited,Tổng điều tra",
        "2020-01-01,02275,100,25,5,2019-04-01,assumed,giả định",
        "2020-01-01,02284,2792,,,2019-04-01,cited,Tổng điều tra",
        "2024-09-01,02263,100,25,5,2019-04-01,assumed,giả định",
        "2024-09-01,02275,100,25,5,2019-04-01,assumed,giả định",
    ]


def test_the_same_import_again_changes_nothing(desk: Desk) -> None:
    desk.take("Mã,Dân số\n02263,1636\n")
    before = desk.rows
    desk.take("Mã,Dân số\n02263,1636\n")
    assert desk.rows == before


def test_counts_of_one_source_become_one_row(desk: Desk) -> None:
    desk.take("Mã,Dân số\n02263,1636\n")
    desk.take("Mã,Hộ\n02263,400\n", MAPPING.replace('population = "Dân số"', 'households = "Hộ"'))
    assert desk.rows[:2] == [
        "2020-01-01,02263,,,5,2019-04-01,assumed,giả định",
        "2020-01-01,02263,1636,400,,2019-04-01,cited,Tổng điều tra",
    ]


def test_every_cell_may_come_from_a_column_and_every_count_be_replaced(desk: Desk) -> None:
    columns = ("code", "population", "households", "villages", "vintage", "counted_on", "status", "source")
    mapping = 'delimiter = ";"\nencoding = "utf-16"\n[column]\n' + "".join(f'{name} = "{name.upper()}"\n' for name in columns)
    text = ";".join(columns).upper() + '\n02263;0900;200;9;2024-09-01;2024-04-01;cited;"Sở; 2024"\n\n'
    found = desk.take(text, mapping, "utf-16")
    assert found.totals == {"population": 900, "households": 200, "villages": 9}
    assert desk.rows[2] == "2024-09-01,02263,900,200,9,2024-04-01,cited,Sở; 2024"
    assert len(desk.rows) == 4


def test_an_imported_census_is_no_longer_assumed_after_it_is_recorded(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.file.write_text("Mã,Dân số\n02263,1636\n")
    desk.mapping.write_text(MAPPING)
    with pytest.raises(SystemExit) as ended:
        main(["register", "import", str(desk.file), "--mapping", str(desk.mapping), "--into", str(desk.seeds)])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert "đã nhận 1 xã (population 1.636); 0 lỗi" in out
    assert f"PHUSONG_SEEDS={desk.seeds} phusong config record" in out
    with pytest.raises(SettingsError, match="record the new rules with `phusong config record`"):
        read_rules(desk.seeds)
    monkeypatch.setenv("PHUSONG_SEEDS", str(desk.seeds))
    with pytest.raises(SystemExit) as ended:
        main(["config", "record"])
    assert ended.value.code == 0
    held = read_rules(desk.seeds).register.counts["2020-01-01", "02263"]
    assert {base: (count.value, count.status) for base, count in held.items()} == {
        Base.POPULATION: (1636, "cited"),
        Base.HOUSEHOLDS: (25, "assumed"),
        Base.VILLAGES: (5, "assumed"),
    }
    assert isinstance(held[Base.POPULATION], Count)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("2263,1636", "2: Mã: '2263' is not among the units of 2020-01-01; did you mean 02263?"),
        ("99999,1636", "2: Mã: '99999' is not among the units of 2020-01-01"),
        (",1636", "2: Mã: '' is not among the units of 2020-01-01"),
        ("02263,1.636", "2: Dân số: '1.636' is no whole number; write digits alone: 1636"),
        ("02263,", "2: Dân số: '' is no whole number; write digits alone"),
        ("02263,-5", "2: Dân số: '-5' is no whole number; write digits alone"),
        ("02263,1636,5", "2: not as many cells as the heading; check the delimiter"),
    ],
)
def test_a_bad_row_is_told_with_line_column_value_and_remedy_and_good_rows_are_taken(desk: Desk, row: str, said: str) -> None:
    text = f"Mã,Dân số\n{row}\n02275,2932\n"
    assert desk.bad(text) == [said]
    assert "2020-01-01,02275,2932,,,2019-04-01,cited,Tổng điều tra" in desk.rows
    assert "2020-01-01,02263,100,25,5,2019-04-01,assumed,giả định" in desk.rows


def test_a_unit_that_stands_twice_is_taken_once_and_told(desk: Desk) -> None:
    assert desk.bad("Mã,Dân số\n02263,1\n02263,2\n") == ["3: Mã: '02263' stands already in line 2; remove one of them"]
    assert desk.rows[1].startswith("2020-01-01,02263,1,")


def test_all_problems_of_a_row_are_told_at_once(desk: Desk) -> None:
    mapping = '[column]\ncode = "c"\npopulation = "p"\nvintage = "v"\ncounted_on = "d"\nstatus = "s"\nsource = "o"\n'
    assert desk.bad("c,p,v,d,s,o\n02263,x,2019,01/04/2019,known,\n", mapping) == [
        "2: v: '2019' is not in vintages.csv; one of: 2020-01-01, 2024-09-01",
        "2: p: 'x' is no whole number; write digits alone",
        "2: d: '01/04/2019' is no date; write it as 2019-04-01",
        "2: s: 'known' is not known; one of: cited, assumed",
        "2: o: '' is empty; write where the counts are from",
    ]


def test_bad_rows_make_the_exit_code_1(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.file.write_text("Mã,Dân số\n2263,1\n")
    desk.mapping.write_text(MAPPING)
    before = desk.rows
    with pytest.raises(SystemExit) as ended:
        main(["register", "import", str(desk.file), "--mapping", str(desk.mapping), "--into", str(desk.seeds)])
    shown = capsys.readouterr()
    assert (ended.value.code, desk.rows) == (1, before)
    assert "census.csv:2: Mã: '2263' không có trong danh mục 2020-01-01; có phải 02263?" in shown.err
    assert "config record" not in shown.out, "nothing was taken"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("population", "populaton", "unknown field `populaton` - at `$.column`; docs/register.md shows a mapping"),
        ('population = "Dân số"', "", "[column] names no count; map at least one of: population, households, villages"),
        ('code = "Mã"', "", "missing required field `code` - at `$.column`"),
        ('status = "cited"', "", "status: is missing; write it in exactly one of the two"),
        ('code = "Mã"', 'code = "Mã"\nvintage = "Tên"', "vintage: stands in [value] and in [column]; write it in exactly one of the two"),
        ("[value]", 'delimiter = "tab"\n[value]', "delimiter: 'tab' is not one character"),
        ("[value]", "[value", "at line 2"),
        ("[value]", 'encoding = "viscii"\n[value]', "encoding: unknown encoding: viscii; write one that Python knows"),
        ("[value]", 'encoding = "ascii"\n[value]', "cannot be read: 'ascii' codec can't decode"),
        ("Dân số", "Dân sô", ":1: population: no column 'Dân sô'; did you mean 'Dân số'?"),
        ("Dân số", "Người", ":1: population: no column 'Người'; it has: Mã, Dân số"),
    ],
)
def test_a_mapping_that_does_not_fit_is_refused_with_the_remedy(desk: Desk, old: str, new: str, said: str) -> None:
    assert old in MAPPING
    text = desk.refused("Mã,Dân số\n02263,1636\n", MAPPING.replace(old, new, 1))
    assert said.lower() in text.lower()


def test_a_file_that_is_no_csv_is_refused(desk: Desk) -> None:
    assert "census.csv:2: unexpected end of data; mend the file, nothing was taken" in desk.refused('Mã,Dân số\n02263,"1636\n')


def test_broken_seeds_are_refused_before_anything_is_read(desk: Desk) -> None:
    (desk.seeds / "units.csv").unlink()
    assert f"{desk.seeds}/units.csv: missing" in desk.refused("Mã,Dân số\n02263,1636\n")


def test_the_softwares_own_seeds_are_never_written(desk: Desk) -> None:
    before = (SEEDS / "bases.csv").read_bytes()
    desk.mapping.write_text(MAPPING)
    desk.file.write_text("Mã,Dân số\n02263,1636\n")
    with pytest.raises(SettingsError, match="is the software's own seeds/; copy it"):
        import_counts(desk.file, desk.mapping, SEEDS, "en")
    assert (SEEDS / "bases.csv").read_bytes() == before
