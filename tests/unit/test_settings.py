"""phusong/settings.py: what an administrator sets is checked at once and as a whole; the scenario clock."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from phusong.settings import PREFIX, SEEDS, Settings, SettingsError, read_rules, read_settings
from tests.worlds import instant, seed_texts


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment that the tests run in may point to a cluster."""
    for key in list(os.environ):
        if key.upper().startswith(PREFIX):
            monkeypatch.delenv(key)


def refusal(**overrides: object) -> str:
    with pytest.raises(SettingsError) as caught:
        read_settings(**overrides)
    return str(caught.value)


def test_everything_has_a_default() -> None:
    settings = read_settings()
    assert settings.bootstrap_servers == "127.0.0.1:9092"
    assert settings.seeds == SEEDS


def test_the_environment_sets_and_the_command_line_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHUSONG_FEED_PORT", "9999")
    monkeypatch.setenv("phusong_bind", "0.0.0.0")  # noqa: S104 - only read back; names compare without case
    assert read_settings().feed_port == 9999
    assert read_settings(feed_port=1).feed_port == 1
    assert read_settings().bind == "0.0.0.0"  # noqa: S104 - only read back


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("PHUSONG_BOOTSTRAP_SERVER", "PHUSONG_BOOTSTRAP_SERVERS"),
        ("PHUSONG_FEED_PROT", "PHUSONG_FEED_PORT"),
        ("PHUSONG_CLOCKRATE", "PHUSONG_CLOCK_RATE"),
        ("phusong_seed", "PHUSONG_SEEDS"),
    ],
)
def test_a_misspelt_key_is_an_error_that_names_the_nearest(monkeypatch: pytest.MonkeyPatch, misspelt: str, meant: str) -> None:
    monkeypatch.setenv(misspelt, "1")
    assert refusal() == f"{misspelt}: no such setting; did you mean {meant}?"


def test_a_key_like_no_other_is_an_error_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHUSONG_QQQQQQQQ", "1")
    assert refusal() == "PHUSONG_QQQQQQQQ: no such setting"


def test_keys_of_others_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHU_SONG_FEED_PORT", "1")
    assert read_settings().feed_port == 8600


def test_all_problems_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHUSONG_FEED_PORT", "70000")
    monkeypatch.setenv("PHUSONG_SESSION_SECONDS", "long")
    monkeypatch.setenv("PHUSONG_REPLICATION", "3")
    said = refusal(clock_rate=-1)
    lines = said.splitlines()
    assert len(lines) == 4
    assert "PHUSONG_REPLICATION: no such setting; did you mean PHUSONG_REPLICATION_FACTOR?" in lines
    assert any(line.startswith("PHUSONG_FEED_PORT: ") and "'70000'" in line for line in lines)
    assert any(line.startswith("PHUSONG_SESSION_SECONDS: ") and "'long'" in line for line in lines)
    assert any(line.startswith("PHUSONG_CLOCK_RATE: ") for line in lines)


def test_an_unknown_override_is_an_error() -> None:
    assert "PHUSONG_PORT" in refusal(port=1)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        read_settings().feed_port = 1


START, ANCHOR = instant("2023-06-30"), instant("2026-01-01")


@pytest.mark.parametrize(
    "clock",
    [
        pytest.param({"clock_start": START}, id="a start alone"),
        pytest.param({"clock_anchor": ANCHOR}, id="an anchor alone"),
        pytest.param({"clock_rate": 60}, id="a rate alone"),
        pytest.param({"clock_start": START, "clock_rate": 60}, id="no anchor"),
    ],
)
def test_half_a_clock_is_refused_with_the_names_of_both_halves(clock: dict[str, object]) -> None:
    said = refusal(**clock)
    assert "PHUSONG_CLOCK_START" in said
    assert "PHUSONG_CLOCK_ANCHOR" in said


@pytest.mark.parametrize("moment", ["2023-06-30", "2023-06-30T00:00:00", "soon"])
def test_a_clock_without_an_offset_is_refused(monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    monkeypatch.setenv("PHUSONG_CLOCK_START", moment)
    monkeypatch.setenv("PHUSONG_CLOCK_ANCHOR", "2026-01-01T00:00:00+07:00")
    assert refusal().startswith("PHUSONG_CLOCK_START: ")


def clock(rate: float, start: datetime = START, anchor: datetime = ANCHOR) -> Settings:
    return read_settings(clock_start=start, clock_rate=rate, clock_anchor=anchor)


def test_without_a_scenario_the_moment_is_the_wall_clocks() -> None:
    wall = instant("2026-01-01")
    assert read_settings().as_of(wall) == wall
    assert read_settings().as_of(wall).tzinfo is UTC


def test_the_scenario_shows_its_start_at_the_anchor_and_before_it() -> None:
    assert clock(60).as_of(ANCHOR) == START
    assert clock(60).as_of(ANCHOR - timedelta(days=100)) == START


@pytest.mark.parametrize("rate", [0, 0.5, 1, 60, 86_400])
def test_the_scenario_runs_at_its_rate_from_the_anchor(rate: float) -> None:
    assert clock(rate).as_of(ANCHOR + timedelta(seconds=10)) == START + timedelta(seconds=10 * rate)


@pytest.mark.parametrize("rate", [0, 0.5, 1, 60, 86_400, 1_000_000])
@pytest.mark.parametrize("start", [START, ANCHOR, ANCHOR + timedelta(days=1)], ids=["past", "now", "future"])
def test_the_scenario_never_runs_ahead_of_the_wall_and_never_back(rate: float, start: datetime) -> None:
    settings = clock(rate, start)
    shown = datetime.min.replace(tzinfo=UTC)
    for step in range(-5, 400):
        wall = ANCHOR + timedelta(hours=step)
        as_of = settings.as_of(wall)
        assert as_of <= wall
        assert as_of >= shown
        shown = as_of


def test_a_fast_scenario_left_running_for_years_meets_the_wall_and_stays_with_it() -> None:
    wall = ANCHOR + timedelta(days=365 * 7000)
    assert clock(1_000_000).as_of(wall) == wall


def test_seeds_are_read_from_a_directory_with_or_without_a_byte_order_mark(tmp_path: Path) -> None:
    for name, text in seed_texts(number=3).items():
        (tmp_path / name).write_text(text, "utf-8-sig" if name == "units.csv" else "utf-8")
    (tmp_path / "README.md").write_text("read me", "utf-8")
    assert read_rules(tmp_path).number == 3


def test_rules_recorded_for_a_core_that_meant_something_else_are_refused_with_the_remedy(tmp_path: Path) -> None:
    for name, text in seed_texts(number=3).items():
        (tmp_path / name).write_text(text.replace('core = "', 'core = "0'), "utf-8")
    with pytest.raises(SettingsError, match="changed since rules 3 were recorded; record the new rules with `phusong config record`"):
        read_rules(tmp_path)


def test_broken_seeds_are_told_with_their_paths(tmp_path: Path) -> None:
    shutil.copytree(SEEDS, tmp_path / "seeds")
    (tmp_path / "seeds" / "reporters.csv").unlink()
    with pytest.raises(SettingsError, match=f"{tmp_path}/seeds/reporters.csv: missing"):
        read_rules(tmp_path / "seeds")


@pytest.mark.parametrize("name", ["nothing", "empty"])
def test_a_directory_without_seeds_is_told_with_the_remedy(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SettingsError, match=r"no seed files there; set PHUSONG_SEEDS to the directory that holds units\.csv"):
        read_rules(tmp_path / name)


def test_a_seed_file_that_is_not_utf8_is_told_with_the_directory(tmp_path: Path) -> None:
    (tmp_path / "units.csv").write_bytes(b"t\xean")
    with pytest.raises(SettingsError, match=f"{tmp_path}: cannot be read"):
        read_rules(tmp_path)


def test_an_empty_address_is_no_way_to_listen_on_every_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that a compose file or a unit leaves empty."""
    monkeypatch.setenv("PHUSONG_BIND", "")
    assert "PHUSONG_BIND" in refusal()


SASL = {"kafka_security_protocol": "SASL_SSL", "kafka_username": "phusong"}


def test_kafka_is_spoken_to_in_the_open_unless_told_otherwise() -> None:
    assert read_settings().kafka().options() == {"bootstrap.servers": "127.0.0.1:9092", "security.protocol": "PLAINTEXT"}


def test_every_client_is_told_how_to_speak_to_kafka_and_the_password_is_shown_nowhere(tmp_path: Path) -> None:
    file, ca = tmp_path / "password", tmp_path / "ca.pem"
    file.write_text("mật khẩu\n")
    ca.touch()
    settings = read_settings(**SASL, kafka_password_file=file, kafka_ca=ca)
    kafka = settings.kafka()
    assert kafka.options() == {
        "bootstrap.servers": "127.0.0.1:9092",
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": str(ca),
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "phusong",
        "sasl.password": "mật khẩu",
    }
    assert str(kafka) == "127.0.0.1:9092"
    assert "mật khẩu" not in f"{kafka!r} {settings!r}"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"kafka_security_protocol": "SASL_SSL"}, "PHUSONG_KAFKA_SECURITY_PROTOCOL=SASL_SSL needs PHUSONG_KAFKA_USERNAME; "),
        ({**SASL}, "PHUSONG_KAFKA_SECURITY_PROTOCOL=SASL_SSL needs PHUSONG_KAFKA_PASSWORD_FILE"),
        (
            {"kafka_username": "phusong"},
            "USERNAME means nothing with PHUSONG_KAFKA_SECURITY_PROTOCOL=PLAINTEXT; set SASL_SSL",
        ),
        ({"kafka_ca": "ca.pem"}, "PHUSONG_KAFKA_CA means nothing with PHUSONG_KAFKA_SECURITY_PROTOCOL=PLAINTEXT; set SSL or SASL_SSL"),
        ({"kafka_security_protocol": "TLS"}, "PHUSONG_KAFKA_SECURITY_PROTOCOL: Input should be 'PLAINTEXT', 'SSL'"),
    ],
)
def test_half_a_way_to_speak_to_kafka_is_refused_with_the_other_half(given: dict[str, object], told: str) -> None:
    assert told in refusal(**given)


@pytest.mark.parametrize("content", [None, b"", b"\n", b"secret\nmore", b"\xffsecret", b"secret" * 300])
def test_a_password_that_cannot_be_read_is_named_by_its_file_alone(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match="PHUSONG_KAFKA_PASSWORD_FILE: ") as caught:
        read_settings(**SASL, kafka_password_file=file).kafka()
    assert str(file) in str(caught.value)
    assert "secret" not in str(caught.value)


def test_an_authority_that_is_not_there_is_told_before_kafka_is_asked(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"PHUSONG_KAFKA_CA: .*none\.pem is no file"):
        read_settings(kafka_security_protocol="SSL", kafka_ca=tmp_path / "none.pem").kafka()
