"""`phusong simulate`: what it writes, what it refuses and with which remedy, and a simulated country's seeds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from ops import simulated_seeds
from ops.cli import main
from ops.seed_checks import check
from ops.simulation import Asked, prepare, whole_file
from phusong.events import Origin, decode
from phusong.settings import SettingsError, read_rules
from producers.simulator.truth import read_truth
from tests.kafka import wait_until
from tests.shipped import shipped_rules
from tests.simulated import country_texts
from tests.worlds import instant

ROOT = Path(__file__).resolve().parents[2]
NOW = instant("2023-07-20T12:00")


@pytest.fixture
def seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small country's seeds, which the command uses."""
    directory = tmp_path / "seeds"
    directory.mkdir()
    for name, text in country_texts().items():
        (directory / name).write_text(text, "utf-8")
    monkeypatch.setenv("PHUSONG_SEEDS", str(directory))
    return directory


def simulate(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["simulate", *arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_events_and_truth_are_written_and_the_summary_is_the_result(
    seeds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, truth = tmp_path / "events.jsonl", tmp_path / "truth.jsonl"
    assert simulate("--from", "2023-01-01", "--months", "4", "--seed", "7", "--out", str(out), "--truth", str(truth), "--lang", "en") == 0
    events = [decode(line) for line in out.read_bytes().splitlines()]
    with truth.open("rb") as file:
        told = read_truth(file)
    assert told.run is not None
    assert (told.run.seed, told.run.start, told.run.end) == (7, instant("2023-01-01"), instant("2023-05-01"))
    assert {event.data.origin for event in events} == {Origin.SIMULATED}
    said = capsys.readouterr()
    assert f"seed 7, 2023-01-01 – 2023-05-01: {len(events):,} events" in said.out
    assert said.err == ""
    assert sorted(file.name for file in tmp_path.iterdir()) == ["events.jsonl", "seeds", "truth.jsonl"]


def test_on_standard_output_there_are_events_alone(seeds: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert simulate("--from", "2023-01-01", "--months", "2", "--out", "-", "--province", "02") == 0
    said = capfdbinary.readouterr()
    assert {decode(line).data.commune for line in said.out.splitlines()} == {f"{number:05}" for number in range(6, 11)}
    assert "sự kiện".encode() in said.err


def test_the_named_incidents_are_told_with_what_they_did(seeds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenario = tmp_path / "scenario.toml"
    scenario.write_text(
        "[[incident]]\nname = 'bad sheet'\nkind = 'wrong_codes'\nreporter = 'operator-a'\nstart = 2023-04-01\nend = 2023-05-01\n"
    )
    arguments = (
        "--from",
        "2023-01-01",
        "--months",
        "5",
        "--scenario",
        str(scenario),
        "--out",
        str(tmp_path / "events.jsonl"),
        "--lang",
        "en",
    )
    assert simulate(*arguments) == 0
    said = capsys.readouterr().out
    assert "incident bad sheet: 2023-04-01 – 2023-05-01, operator-a: " in said
    assert "with wrong codes, by an incident: they go to coverage.dead-letters.v1" in said


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Asked(1, date(2023, 1, 1), 12, None, None, "en"), "ends on 2024-01-01, which lies ahead.* give --months 6, or an earlier --from"),
        (Asked(1, date(2023, 1, 1), 12, None, None, "vi"), "kết thúc ngày 01/01/2024, còn ở phía trước.* ghi --months 6 hoặc"),
        (Asked(1, date(2019, 1, 1), 12, None, None, "en"), "the first list of communes is of 2020-01-01"),
        (Asked(1, date(2023, 1, 1), 0, None, None, "en"), "--months: 1 to 600"),
        (Asked(-1, date(2023, 1, 1), 1, None, None, "en"), "--seed: a whole number from 0"),
        (Asked(1, date(2023, 1, 1), 6, None, "02", "en"), "--province 02: not in the newest list of communes; one of: 08"),
        (Asked(1, date(2023, 1, 1), 6, Path("/nowhere/scenario.toml"), None, "en"), "/nowhere/scenario.toml: cannot be read"),
    ],
)
def test_what_cannot_be_simulated_is_refused_with_the_remedy(asked: Asked, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        prepare(shipped_rules(), asked, NOW)


def test_a_run_that_ends_today_is_not_of_the_future() -> None:
    assert prepare(shipped_rules(), Asked(1, date(2023, 1, 20), 6, None, None, "en"), NOW).end == instant("2023-07-20")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--out", "events.jsonl", "--rate", "10"),
        ("--rate", "0"),
        ("--provinces", "3"),
        ("--communes", "3", "--seeds-out", "country"),
    ],
)
def test_contradicting_options_are_wrong_use(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate("--from", "2023-01-01", "--months", "1", *arguments) == 2
    assert "--" in capsys.readouterr().err


def test_a_file_that_was_only_begun_is_removed_and_the_old_one_stays(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text("old")

    def interrupted() -> None:
        with whole_file(file) as begun:
            begun.write(b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_no_file_behind(tmp_path: Path, end: signal.Signals) -> None:
    out = tmp_path / "events.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-m", "ops.cli", "simulate", "--from", "2020-01-01", "--months", "70", "--out", str(out), "--lang", "en"],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("PHUSONG_")},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    part = tmp_path / "events.jsonl.part"
    wait_until(lambda: part.exists() and part.stat().st_size, 60, "the run has begun to write")
    process.send_signal(end)
    written, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert b"stopped after" in said
    assert b"Traceback" not in said
    assert (written, list(tmp_path.iterdir())) == (b"", [])


def test_a_simulated_country_has_seeds_without_a_contradiction_plainly_artificial(tmp_path: Path) -> None:
    directory = tmp_path / "country"
    assert simulated_seeds.write(directory, 7, 3, 40) == 1
    assert check(directory) == []
    rules = read_rules(directory)
    assert [len(rules.register.of("2020-01-01", home)) for home in rules.register.homes] == [14, 13, 13]
    assert len({unit.name for unit in rules.register.units.values()}) == 40
    assert all("mô phỏng" in unit.name for unit in rules.register.units.values())
    for file in directory.glob("*.csv"):
        heading, *lines = file.read_text("utf-8").splitlines()
        assert "source" in heading
        assert all("mô phỏng (simulated)" in line for line in lines), file


def test_the_same_number_gives_the_same_country(tmp_path: Path) -> None:
    for name, seed in (("one", 7), ("other", 7), ("third", 8)):
        simulated_seeds.write(tmp_path / name, seed, 2, 9)
    texts = [{file.name: file.read_text() for file in (tmp_path / name).iterdir()} for name in ("one", "other", "third")]
    assert texts[0] == texts[1]
    assert texts[0]["bases.csv"] != texts[2]["bases.csv"]


@pytest.mark.parametrize(("provinces", "communes"), [(0, 10), (100, 1000), (5, 4), (34, 20_001)])
def test_a_country_has_as_many_provinces_and_communes_as_codes_allow(tmp_path: Path, provinces: int, communes: int) -> None:
    with pytest.raises(simulated_seeds.SeedsError, match="give 1 to 99 provinces"):
        simulated_seeds.write(tmp_path / "country", 1, provinces, communes)


def test_seeds_are_never_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.csv").write_text("mine")
    arguments = ("--provinces", "2", "--communes", "4", "--seeds-out", str(tmp_path))
    assert simulate("--from", "2023-01-01", "--months", "1", "--out", "-", *arguments) == 2
    assert "is not empty; name a directory that does not exist yet" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["mine.csv"]


def test_a_country_is_written_and_simulated_in_one_run(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    arguments = ("--provinces", "2", "--communes", "4", "--seeds-out", str(tmp_path / "country"))
    assert simulate("--from", "2023-01-01", "--months", "2", "--out", "-", *arguments) == 0
    assert {decode(line).data.commune for line in capfdbinary.readouterr().out.splitlines()} == {"00001", "00002", "00003", "00004"}
