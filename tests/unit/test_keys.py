"""API keys: shown once, kept as a hash in a file that is its owner's alone, and read again by whoever runs."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from access import keys
from access.keys import FORM, KeyFileError, KeyRing, create_key, read_keys, revoke_key
from ops.cli import main

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where no file is yet, in a directory that is not yet either."""
    return tmp_path / "keys" / "keys.json"


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_key_has_256_random_bits_and_is_kept_as_its_sha256_alone(path: Path) -> None:
    key, presented = create_key(path, "post-office", ("postal.staffed_point",), "NOC", NOW)
    assert FORM.fullmatch(presented)
    assert presented.split("_")[1] == key.id
    assert len(presented.partition(f"{key.id}_")[2]) == 43
    assert key.sha256 == sha256(presented.encode()).hexdigest()
    assert presented.partition(f"{key.id}_")[2] not in path.read_text()
    assert read_keys(path) == (key,)


def test_the_file_and_its_directory_are_their_owners_alone_and_nothing_is_left_beside_it(path: Path) -> None:
    create_key(path, "post-office", (), "", NOW)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {one.name for one in path.parent.iterdir()} == {"keys.json", "keys.json.lock"}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_file_that_others_may_read_or_write_is_refused_with_the_remedy(path: Path, mode: int) -> None:
    create_key(path, "post-office", (), "", NOW)
    path.chmod(mode)
    for attempt in (lambda: read_keys(path), lambda: create_key(path, "x", (), "", NOW), lambda: revoke_key(path, "x", NOW)):
        with pytest.raises(KeyFileError, match=f"chmod 600 {path}"):
            attempt()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"keys":[{}]}', '{"keys":[],"more":1}', "\udcff"])
def test_a_file_that_is_no_key_file_is_refused(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="is no key file"):
        read_keys(path)


def test_a_failed_change_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create_key(path, "post-office", (), "", NOW)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keys.os, "fsync", full)
    with pytest.raises(KeyFileError, match="No space left"):
        create_key(path, "operator-a", (), "", NOW)
    assert path.read_bytes() == before
    assert not list(path.parent.glob("*.part"))


def test_writers_at_the_same_time_lose_nothing(path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda number: create_key(path, f"reporter-{number}", (), "", NOW)[0], range(40)))
    assert sorted(key.id for key in read_keys(path)) == sorted(key.id for key in made)
    assert len({key.id for key in made}) == 40


def test_a_key_is_revoked_behind_a_symbolic_link_too(path: Path, tmp_path: Path) -> None:
    key, presented = create_key(path, "post-office", (), "", NOW)
    link = tmp_path / "link.json"
    link.symlink_to(path)
    revoke_key(link, key.id, NOW)
    assert KeyRing(path, lambda: 0.0).find(presented) is None
    assert link.is_symlink()


def test_a_symbolic_link_in_the_place_of_the_lock_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    (path.parent / "keys.json.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyFileError):
        create_key(path, "post-office", (), "", NOW)
    assert not (tmp_path / "elsewhere").exists()


def test_a_ring_finds_the_key_behind_what_is_presented_and_nothing_else(path: Path) -> None:
    first, presented = create_key(path, "post-office", (), "", NOW)
    _, other = create_key(path, "operator-a", (), "", NOW)
    ring = KeyRing(path, Clock())
    assert ring.find(presented) == first
    swapped = presented[:13] + other[13:]
    for wrong in ("", "phs_", presented[:-1], presented + "A", presented.swapcase(), swapped, "phs_00000000_" + "A" * 43, "\udce9", "é"):
        assert ring.find(wrong) is None, wrong


def test_a_revoked_key_keeps_its_row_and_the_moment_of_its_first_revocation(path: Path) -> None:
    key, presented = create_key(path, "post-office", (), "", NOW)
    assert revoke_key(path, "00000000", NOW) is None
    later = NOW.replace(year=2027)
    assert revoke_key(path, key.id, NOW) == revoke_key(path, key.id, later) == msgspec.structs.replace(key, revoked=NOW)
    assert KeyRing(path, Clock()).find(presented) is None


def test_a_running_ring_notices_changes_but_looks_once_a_second_at_most(path: Path) -> None:
    clock = Clock()
    ring = KeyRing(path, clock)
    key, presented = create_key(path, "post-office", (), "", NOW)
    assert ring.find(presented) is None
    clock.now += 1
    assert ring.find(presented) == key
    assert len(ring) == 1
    revoke_key(path, key.id, NOW)
    assert ring.find(presented) == key
    clock.now += 1
    assert ring.find(presented) is None


def test_a_ring_whose_file_cannot_be_used_lets_nobody_in_until_it_can(path: Path) -> None:
    clock = Clock()
    key, presented = create_key(path, "post-office", (), "", NOW)
    ring = KeyRing(path, clock)
    path.chmod(0o644)
    clock.now += 1
    assert ring.find(presented) is None
    assert "chmod 600" in ring.trouble
    path.chmod(0o600)
    clock.now += 1
    assert ring.find(presented) == key
    assert ring.trouble == ""
    path.unlink()
    clock.now += 1
    assert ring.find(presented) is None
    assert ring.trouble == ""


def test_a_key_speaks_for_its_reporter_and_about_its_indicators(path: Path) -> None:
    everything, _ = create_key(path, "post-office", (), "", NOW)
    one, _ = create_key(path, "post-office", ("postal.staffed_point",), "", NOW)
    assert everything.may_speak_for("post-office")
    assert not everything.may_speak_for("post-office ")
    assert everything.may_speak_about("telecom.fibre_villages")
    assert one.may_speak_about("postal.staffed_point")
    assert not one.may_speak_about("postal.points_online")


# the command


def phusong(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["keys", *arguments])
    return int(ended.value.code or 0)


@pytest.fixture
def settled(path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """PHUSONG_KEYS is this file, the seeds are the shipped ones."""
    monkeypatch.setenv("PHUSONG_KEYS", str(path))
    return path


def test_create_prints_the_key_once_on_stdout_and_list_never_shows_it(settled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert phusong("create", "operator-a", "--indicator", "telecom.fibre_villages", "--note", "phòng kỹ thuật") == 0
    out, aside = capsys.readouterr()
    presented = out.strip()
    assert FORM.fullmatch(presented)
    assert presented not in aside
    assert phusong("list") == phusong("list", "--json") == 0
    out, aside = capsys.readouterr()
    secret = presented.partition("_")[2].partition("_")[2]
    assert secret not in out + aside
    assert sha256(presented.encode()).hexdigest() not in out
    for shown in (presented.split("_")[1], "operator-a", "telecom.fibre_villages", "phòng kỹ thuật"):
        assert out.count(shown) == 2


def test_a_note_is_shown_as_it_was_written(settled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    create_key(settled, "operator-a", (), "[/tầng 3] [red]NOC[/red]", NOW)
    assert phusong("list") == 0
    assert "[/tầng 3] [red]NOC[/red]" in capsys.readouterr().out


def test_revoke_says_whose_key_it_was_and_knows_when_there_is_none(settled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key, _ = create_key(settled, "operator-a", (), "", NOW)
    assert phusong("revoke", key.id, "--lang", "en") == 0
    assert f"Key {key.id} of operator-a is revoked." in capsys.readouterr().out
    assert phusong("revoke", "00000000") == 1
    assert "00000000" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("create", "operater-a"), "operator-a"),
        (("create", "operator-a", "--indicator", "telecom.fibre_vilages"), "telecom.fibre_villages"),
        (("create", "operator-a", "--note", "two\nlines"), "--note"),
    ],
)
def test_what_has_no_row_is_wrong_use_and_the_nearest_is_named(
    settled: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], named: str
) -> None:
    assert phusong(*arguments) == 2
    assert named in capsys.readouterr().err
    assert not settled.exists()


def test_a_file_that_others_may_read_is_trouble(settled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    create_key(settled, "operator-a", (), "", NOW)
    settled.chmod(0o644)
    assert phusong("list") == 3
    assert "chmod 600" in capsys.readouterr().err
