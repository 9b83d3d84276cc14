"""Signing, freezing and verifying reports: three people in their order, nothing written over, every change noticed."""

from __future__ import annotations

import stat
from pathlib import Path
from unicodedata import normalize

import pytest
from msgspec.structs import replace

from ops.report_document import ROLES, Report, Role, TamperedError, encode, sha256
from ops.report_files import every, last_signed, load, next_version, sign, verify, write
from phusong.settings import SettingsError
from tests import worlds
from tests.reports import SIGNATORIES, reported, signed
from tests.worlds import instant, stated

AT = instant("2023-07-21T08:00:00")
NAME = "08-2023-06-v1"
ENDINGS = (".json", ".html", ".xlsx", ".sha256")


@pytest.fixture(scope="module")
def june() -> Report:
    """A report of the default world: two of three communes."""
    return reported([stated(code, covered=code != "02284") for code in worlds.COMMUNES["08"]])


def _contents(directory: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(directory.iterdir())}


def test_a_draft_is_four_files_named_after_province_period_and_version(tmp_path: Path, june: Report) -> None:
    found = write(tmp_path, june, "vi")
    assert sorted(_contents(tmp_path)) == sorted(NAME + ending for ending in ENDINGS)
    assert load(tmp_path / f"{NAME}.json", "vi") == found
    assert not verify(tmp_path / NAME, "vi").differences


def test_the_same_report_gives_the_same_bytes(tmp_path: Path, june: Report) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    write(tmp_path / "one", june, "vi")
    write(tmp_path / "two", june, "vi")
    assert _contents(tmp_path / "one") == _contents(tmp_path / "two")


def test_the_sums_are_what_sha256sum_reads(tmp_path: Path, june: Report) -> None:
    digest = write(tmp_path, june, "vi").sha256
    lines = (tmp_path / f"{NAME}.sha256").read_text().splitlines()
    assert f"{digest}  {NAME}.json" in lines
    for line in lines:
        one, name = line.split("  ")
        assert one == sha256((tmp_path / name).read_bytes())


def test_three_people_sign_in_their_order_and_the_report_is_frozen(tmp_path: Path, june: Report) -> None:
    found = signed(tmp_path, june)
    assert found.report.frozen
    assert [(one.role, one.name) for one in found.report.signatures] == list(zip(ROLES, SIGNATORIES, strict=True))
    assert found.report.signatures[0].of == sha256(encode(june))
    assert replace(found.report, signatures=()) == june, "signing changes no figure"
    modes = {stat.S_IMODE((tmp_path / f"{NAME}{ending}").stat().st_mode) for ending in ENDINGS}
    assert modes == {0o444}
    html = (tmp_path / f"{NAME}.html").read_text("utf-8")
    assert all(name in html for name in SIGNATORIES)
    assert found.sha256 in html


def test_signing_out_of_order_is_refused_and_says_whose_turn_it_is(tmp_path: Path, june: Report) -> None:
    write(tmp_path, june, "vi")
    before = _contents(tmp_path)
    for role in (Role.CHECKER, Role.HEAD):
        with pytest.raises(SettingsError, match=r"người lập biểu \(--as maker\)"):
            sign(tmp_path / NAME, role, "Nguyễn Văn A", AT, "vi")
    assert _contents(tmp_path) == before
    sign(tmp_path / NAME, Role.MAKER, "Nguyễn Văn A", AT, "vi")
    with pytest.raises(SettingsError, match="checker's turn"):
        sign(tmp_path / NAME, Role.MAKER, "Trần Thị B", AT, "en")


@pytest.mark.parametrize(
    "again", ["Nguyễn Văn A", "nguyễn  văn a ", "NGUYỄN VĂN A", normalize("NFD", "Nguyễn Văn A")], ids=["same", "blanks", "capitals", "NFD"]
)
def test_one_name_does_not_sign_twice_however_it_is_spelt(tmp_path: Path, june: Report, again: str) -> None:
    signed(tmp_path, june, ["Nguyễn Văn A"])
    with pytest.raises(SettingsError, match="three different people"):
        sign(tmp_path / NAME, Role.CHECKER, again, AT, "en")


@pytest.mark.parametrize("name", ["", "  ", "A\nB", "A\u202eB", "A" * 101])
def test_a_name_is_one_line_of_text(tmp_path: Path, june: Report, name: str) -> None:
    write(tmp_path, june, "vi")
    if name == "A\nB":
        assert sign(tmp_path / NAME, Role.MAKER, name, AT, "vi").report.signatures[0].name == "A B"
        return
    with pytest.raises(SettingsError, match="--name"):
        sign(tmp_path / NAME, Role.MAKER, name, AT, "vi")


def test_a_frozen_report_is_not_signed_again_and_never_written_over(tmp_path: Path, june: Report) -> None:
    signed(tmp_path, june)
    before = _contents(tmp_path)
    with pytest.raises(SettingsError, match="đã khóa, Lê Văn C ký ngày 21/07/2023"):  # the day in Viet Nam
        sign(tmp_path / NAME, Role.HEAD, "Phạm Thị D", AT, "vi")
    with pytest.raises(TamperedError, match="frozen and never overwritten"):
        write(tmp_path, june, "en")
    assert _contents(tmp_path) == before


def test_an_unsigned_draft_is_made_again_and_after_a_frozen_one_comes_the_next_version(tmp_path: Path, june: Report) -> None:
    assert next_version(tmp_path, "08", "2023-06", "vi") == 1
    write(tmp_path, june, "vi")
    assert next_version(tmp_path, "08", "2023-06", "vi") == 1
    signed(tmp_path, june)
    assert next_version(tmp_path, "08", "2023-06", "vi") == 2
    assert next_version(tmp_path, "08", "2023-07", "vi") == 1
    assert next_version(tmp_path, "02", "2023-06", "vi") == 1
    write(tmp_path, replace(june, version=2), "vi")
    assert next_version(tmp_path, "08", "2023-06", "vi") == 2


def test_a_draft_that_somebody_has_signed_is_not_made_again(tmp_path: Path, june: Report) -> None:
    signed(tmp_path, june, ["Nguyễn Văn A"])
    with pytest.raises(SettingsError, match="signed by Nguyễn Văn A"):
        next_version(tmp_path, "08", "2023-06", "en")


def test_a_report_is_compared_with_the_last_signed_one_of_its_province_up_to_its_own_moment(tmp_path: Path, june: Report) -> None:
    assert last_signed(tmp_path, "08", june.as_of, "vi") is None
    signed(tmp_path, june)
    second = signed(tmp_path, replace(june, version=2))
    write(tmp_path, replace(june, version=3), "vi")
    assert last_signed(tmp_path, "08", june.as_of, "vi") == second
    assert last_signed(tmp_path, "08", instant("2023-06-15"), "vi") is None, "it is of a later moment"
    assert last_signed(tmp_path, "02", june.as_of, "vi") is None


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("frozen", [True, False], ids=["frozen", "draft"])
def test_any_byte_that_is_changed_is_noticed(tmp_path: Path, june: Report, ending: str, frozen: bool) -> None:
    if frozen:
        signed(tmp_path, june)
    else:
        write(tmp_path, june, "vi")
    file = tmp_path / f"{NAME}{ending}"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.chmod(0o644)
    file.write_bytes(content)
    found = verify(file, "en")
    assert found.differences
    assert any(NAME in line for line in found.differences)
    with pytest.raises((TamperedError, SettingsError)):
        sign(file, Role.MAKER, "Phạm Thị D", AT, "en")


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_that_is_gone_is_noticed(tmp_path: Path, june: Report, ending: str) -> None:
    signed(tmp_path, june)
    (tmp_path / f"{NAME}{ending}").unlink()
    found = verify(tmp_path / f"{NAME}.html", "en")
    assert any(f"{NAME}{ending}: cannot be read" in line for line in found.differences)


def test_figures_changed_under_a_signature_are_noticed_though_all_sums_are_made_anew(tmp_path: Path, june: Report) -> None:
    found = signed(tmp_path, june)
    file = tmp_path / f"{NAME}.json"
    changed = encode(replace(found.report, events=99))
    sums = (tmp_path / f"{NAME}.sha256").read_text().replace(found.sha256, sha256(changed))
    for path, content in ((file, changed), (tmp_path / f"{NAME}.sha256", sums.encode())):
        path.chmod(0o644)
        path.write_bytes(content)
    told = verify(file, "vi").differences
    assert any("not what Nguyễn Văn A has signed" in line for line in told)
    assert any(".html: không mang mã SHA-256" in line for line in told)
    assert any(".xlsx: không mang mã SHA-256" in line for line in told)


def test_a_report_under_another_name_is_noticed(tmp_path: Path, june: Report) -> None:
    signed(tmp_path, june)
    for ending in ENDINGS:
        (tmp_path / f"{NAME}{ending}").rename(tmp_path / f"08-2023-05-v1{ending}")
    assert any(f"it holds the report {NAME}" in line for line in verify(tmp_path / "08-2023-05-v1", "en").differences)


def test_a_signed_report_that_was_replaced_is_noticed_by_the_one_that_names_it(tmp_path: Path, june: Report) -> None:
    base = signed(tmp_path, june)
    events = [stated(code, covered=code != "02284") for code in worlds.COMMUNES["08"]]
    write(tmp_path, reported(events, base=base, version=2), "vi")
    assert [one.differences for one in every(tmp_path, "vi")] == [(), ()]
    for ending in ENDINGS:
        (tmp_path / f"{NAME}{ending}").unlink()
    signed(tmp_path, replace(june, events=99))
    first, second = every(tmp_path, "en")
    assert first.differences == ()
    assert any("is not the one that this was compared with" in line for line in second.differences)


def test_a_base_that_was_tampered_with_ends_the_next_report(tmp_path: Path, june: Report) -> None:
    signed(tmp_path, june)
    page = tmp_path / f"{NAME}.html"
    page.chmod(0o644)
    page.write_text(page.read_text("utf-8").replace("66,7 %", "99,7 %"), "utf-8")
    with pytest.raises(TamperedError, match="was changed after phusong wrote it"):
        last_signed(tmp_path, "08", june.as_of, "en")


def test_what_is_not_there_or_no_report_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such report"):
        verify(tmp_path / "nothing", "en")
    with pytest.raises(SettingsError, match="no such report"):
        sign(tmp_path / "nowhere" / NAME, Role.MAKER, "A", AT, "en")
    for content in (b"", b"{}", b"[" * 100_000, b'{"signatures":1}', b"\xff"):
        (tmp_path / f"{NAME}.json").write_bytes(content)
        assert any("no report of phusong" in line for line in verify(tmp_path / NAME, "en").differences)
        with pytest.raises(TamperedError):
            next_version(tmp_path, "08", "2023-06", "en")
