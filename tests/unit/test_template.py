"""The form for a reporter: it asks for what is owed, and comes back through `send` unchanged, whoever saved it."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import openpyxl
import pytest

from phusong.events import Withdrawn
from phusong.periods import VIETNAM
from phusong.settings import SettingsError
from producers.files import read
from producers.sheets.forms import FormOptions, Forms
from producers.sheets.statements import Item, Skipped
from producers.sheets.tables import FileError
from producers.sheets.templates import form_of, write_form
from tests.shipped import shipped_rules

NOW = datetime(2026, 11, 22, 5, tzinfo=UTC)
DAY = datetime(2023, 6, 30, tzinfo=VIETNAM)
SIGNAL, FIBRE = "telecom.mobile_signal_villages", "telecom.fibre_villages"


def written(tmp_path: Path, *indicators: str, vintage: str = "") -> Path:
    path = tmp_path / "form.xlsx"
    rules = shipped_rules()
    form = form_of(rules, indicators, "operator-a", DAY, "08", vintage)
    assert write_form(form, rules, path) == 138 * len(indicators)
    return path


def items(path: Path) -> list[Item]:
    return list(read(str(path), Forms(shipped_rules(), FormOptions(), NOW)))


def fill_in(path: Path) -> None:
    book = openpyxl.load_workbook(path)
    for page in book:
        (top,) = [row for row in range(1, 20) if page.cell(row, 1).value == "Mã xã"]
        for row, filled in ((top + 1, (5, 8, "Bản Lãm; Nà Tạng; Tát Kẻ")), (top + 3, (0, 4, None))):
            for column, value in enumerate(filled, 5):
                page.cell(row, column).value = value
    book.save(path)


def test_a_form_has_a_row_for_each_commune_that_the_reporter_owes_and_a_sheet_for_each_indicator(tmp_path: Path) -> None:
    book = openpyxl.load_workbook(written(tmp_path, SIGNAL, FIBRE))
    assert book.sheetnames == ["mobile_signal_villages", "fibre_villages"]
    codes = {unit.code for unit in shipped_rules().register.units.values() if unit.vintage == "2020-01-01" and unit.province == "08"}
    for page in book:
        assert {cell.value for cell in page["A"]} >= codes
        assert page.protection.sheet
        assert page.protection.password is None
        assert page.freeze_panes is not None
        assert [cell.number_format for cell in page["A"] if cell.value in codes] == ["@"] * 138


def test_an_empty_form_is_no_report_and_nothing_in_it_is_rejected(tmp_path: Path) -> None:
    found = items(written(tmp_path, SIGNAL, FIBRE))
    assert not [item for item in found if item.event or item.problems]
    assert len([item for item in found if item.skipped is Skipped.UNFILLED]) == 2 * 138


def test_what_is_filled_in_comes_back_as_statements_and_the_rest_is_left_out(tmp_path: Path) -> None:
    path = written(tmp_path, SIGNAL, FIBRE, vintage="2020-01-01")
    fill_in(path)
    found = items(path)
    assert not [item.problems for item in found if item.problems]
    data = [item.event.data for item in found if item.event]
    assert [(one.indicator, one.covered, one.expected) for one in data] == [(SIGNAL, 5, 8), (SIGNAL, 0, 4), (FIBRE, 5, 8), (FIBRE, 0, 4)]
    assert {(one.observed_at, one.vintage) for one in data} == {(DAY, "2020-01-01")}
    assert data[0].uncovered == ("Bản Lãm", "Nà Tạng", "Tát Kẻ")
    assert {item.event.source for item in found if item.event} == {"operator-a"}


@pytest.mark.libreoffice
@pytest.mark.skipif(shutil.which("soffice") is None, reason="no LibreOffice on this machine")
# of CSV: a comma, a quote, UTF-8
@pytest.mark.parametrize("extension", ["xlsx", "ods", "csv:Text - txt - csv (StarCalc):44,34,76"], ids=["xlsx", "ods", "csv"])
def test_a_form_saved_by_libreoffice_in_another_format_says_the_same(tmp_path: Path, extension: str) -> None:
    path = written(tmp_path, SIGNAL)
    fill_in(path)
    out = tmp_path / "out"
    # a profile of its own: another LibreOffice may be running
    profile = f"-env:UserInstallation=file://{tmp_path}/profile"
    command = ["soffice", profile, "--headless", "--convert-to", extension, "--outdir", str(out), str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    before, after = ([item.event.data for item in items(one) if item.event] for one in (path, out / f"form.{extension.partition(':')[0]}"))
    assert after == before


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"source": "nobody"}, "--source nobody"),
        ({"province": "99"}, "--province 99"),
        ({"vintage": "2025-07-01"}, "not in force on 2023-06-30"),
        ({"indicators": ("postal.none",)}, "postal.none: there is no such indicator"),
    ],
)
def test_a_form_about_what_does_not_exist_is_refused_with_what_does(given: dict[str, str], told: str) -> None:
    asked = {"indicators": (SIGNAL,), "source": "operator-a", "observed_at": DAY, **given}
    with pytest.raises(SettingsError, match=told):
        form_of(shipped_rules(), **asked)  # type: ignore[arg-type]


def test_a_form_that_cannot_be_written_is_told_with_its_name(tmp_path: Path) -> None:
    rules = shipped_rules()
    form = form_of(rules, [SIGNAL], "operator-a", DAY)
    with pytest.raises(FileError, match=r"no such/form\.xlsx: cannot be written"):
        write_form(form, rules, tmp_path / "no such" / "form.xlsx")


def test_a_form_that_nobody_owes_says_that_its_figures_will_not_count() -> None:
    rules = shipped_rules()
    (remark,) = form_of(rules, ["postal.staffed_point"], "operator-a", DAY, "08").remarks
    assert remark.vi == "operator-a không có nghĩa vụ báo cáo postal.staffed_point ở tỉnh 08: số liệu được giữ nhưng không tính"
    assert form_of(rules, [SIGNAL], "operator-a", DAY, "08").remarks == ()


def test_a_form_takes_a_withdrawal_and_shows_its_labels_whole(tmp_path: Path) -> None:
    path = written(tmp_path, SIGNAL)
    book = openpyxl.load_workbook(path)
    page = book.active
    labels = [str(cell.value) for cell in page["A"] if str(cell.value).endswith(":")]
    assert page.column_dimensions["A"].width > max(map(len, labels))
    covered, expected = page.data_validations.dataValidation
    assert (covered.type, expected.type) == ("custom", "whole")
    assert '"rút"' in covered.formula1
    (top,) = [row for row in range(1, 20) if page.cell(row, 1).value == "Mã xã"]
    assert str(covered.sqref).startswith(f"E{top + 1}:E")
    page.cell(top + 1, 5).value = "rút"
    book.save(path)
    (event,) = [item.event for item in items(path) if item.event]
    assert isinstance(event, Withdrawn)


def test_what_a_form_cannot_be_about_is_told_in_the_language_asked_for() -> None:
    with pytest.raises(SettingsError) as refused:
        form_of(shipped_rules(), ["postal.none"], "nobody", DAY, "99", lang="vi")
    for told in (
        "--source nobody: không có trong reporters.csv",
        "--province 99: một trong: 02 (Hà Giang)",
        "postal.none: không có chỉ tiêu này",
    ):
        assert told in str(refused.value)
