"""The page and the sheet of a report: the same words and figures, nothing executed or loaded, the SHA-256 at the foot of every page."""

from __future__ import annotations

import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from openpyxl import Workbook, load_workbook
from playwright.sync_api import sync_playwright

from feed.text import Lang
from ops.report_document import ROLES, Report, Signature, span
from ops.report_page import page
from ops.report_sheet import sheet
from ops.report_tables import tables
from ops.report_words import counted, period, points, standing
from phusong.events import Origin
from phusong.rules import Rules
from tests import worlds
from tests.reports import reported, signed
from tests.shipped import shipped_facts, shipped_rules
from tests.worlds import counts, instant, obligation, seed_texts, stated, withdrawn

DIGEST = "ab" * 32
MOBILE = worlds.MOBILE
HOSTILE = (
    '=HYPERLINK("http://example.org","x")',
    "+1+1",
    "-2",
    "@SUM(A1)",
    "=1+1",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "a\u202eb",
    "https://example.org/x",
)


@pytest.fixture(scope="module")
def shipped() -> Report:
    """The report on the shipped facts."""
    return reported(shipped_facts(), rules=shipped_rules())


@pytest.fixture(scope="module")
def hostile() -> Report:
    """A report in which reporter and signatory try what they can."""
    villages = worlds.indicator(MOBILE, "quarter", base="villages", union="places")
    rules = Rules.from_texts(
        seed_texts(indicators=(villages,), obligations=(obligation("operator-a", MOBILE, period="quarter"),), targets=())
    )
    said = [stated("02275", MOBILE, 0, len(HOSTILE), source="operator-a", uncovered=HOSTILE)]
    # alone in its cell, too: only what begins with = is a formula
    said += [
        stated(code, MOBILE, 1, 2, source="operator-a", uncovered=(name,)) for code, name in (("02263", "=1+1"), ("02284", HOSTILE[-1]))
    ]
    at = instant("2023-07-21")
    signatures = tuple(
        Signature(role=role, name=name, at=at, of=DIGEST) for role, name in zip(ROLES[:2], (HOSTILE[0], HOSTILE[5]), strict=True)
    )
    return replace(reported(said, rules=rules), signatures=signatures)


def _cells(book: Workbook) -> Iterator[Any]:
    return (cell for one in book for line in one.iter_rows() for cell in line if cell.value is not None)


class _Page(HTMLParser):
    """The cells of the page's tables, and every attribute by which it might load something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self._in = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag in ("td", "th"):
            self._in = True
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in = self._in and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._in:
            self.cells[-1] += data


@pytest.mark.parametrize(
    ("name", "vi", "en"),
    [
        ("2023-06", "Tháng 6 năm 2023", "2023-06"),
        ("2023-Q2", "Quý II năm 2023", "Quarter 2 of 2023"),
        ("2023-H1", "6 tháng đầu năm 2023", "First half of 2023"),
        ("2023-H2", "6 tháng cuối năm 2023", "Second half of 2023"),
        ("2023", "Năm 2023", "Year 2023"),
    ],
)
def test_a_period_is_named_as_offices_name_it(name: str, vi: str, en: str) -> None:
    assert (period(span(name), "vi"), period(span(name), "en")) == (vi, en)


@pytest.mark.parametrize(
    ("difference", "vi"),
    [(0.0072, "+0,7 điểm %"), (-0.0125, "−1,2 điểm %"), (0.0001, "0 điểm %"), (0.5, "+50 điểm %")],
)
def test_a_difference_of_ratios_is_in_percentage_points(difference: float, vi: str) -> None:
    assert points(difference, "vi") == vi


def test_a_count_is_cut_not_rounded(shipped: Report) -> None:
    row = next(one.row for one in shipped.figures if one.row.indicator == "postal.staffed_point")
    assert counted(137.99, row, "vi") == "137,9"


@pytest.mark.parametrize("lang", ["vi", "en"])
def test_page_and_sheet_show_every_cell_of_the_same_tables(shipped: Report, lang: Lang) -> None:
    report = replace(shipped, lang=lang)
    expected = [cell for table in tables(report) if table.rows for cells in table.rows for cell in cells]
    shown = _Page(page(report, DIGEST)).cells
    assert [cell for cell in shown if cell in set(expected)] == expected
    sheet_texts = [cell.value for cell in _cells(load_workbook(BytesIO(sheet(report, DIGEST))))]
    assert set(expected) <= set(sheet_texts)


def test_figures_have_decimal_commas_their_origin_and_their_source(shipped: Report) -> None:
    summary = tables(shipped)[0]
    row = next(row for row in summary.rows if row[1] == "Xã có điểm phục vụ bưu chính có người phục vụ")
    origin = "\n(giả định)"
    assert row[2:8] == (
        f"137 / 138 xã{origin}",
        f"99,3 %{origin}",
        f"99,3 – 99,3 %{origin}",
        "100 % (quốc gia, NQ 01/NQ-CP 2021)",
        "chưa đạt",
        "100,0 %",
    )
    for known, shown in zip(shipped.figures, summary.rows, strict=True):
        assert ("giả định" in shown[3]) == bool(known.known)
        assert bool(known.known) == (shown[3] != "–"), "of what is not known there is no figure, never a zero"
    assert "Báo cáo có số liệu giả định" in page(shipped, DIGEST)


def test_a_real_statement_over_an_assumed_size_is_an_assumed_figure() -> None:
    villages = worlds.indicator(MOBILE, "quarter", base="villages", union="places")
    bases = [counts("2020-01-01", code, villages="4", status="assumed") for code in worlds.COMMUNES["08"]]
    rules = Rules.from_texts(
        seed_texts(indicators=(villages,), bases=bases, obligations=(obligation("operator-a", MOBILE, period="quarter"),), targets=())
    )
    report = reported([stated(code, MOBILE, 3, 4, source="operator-a") for code in worlds.COMMUNES["08"]], rules=rules)
    summary, missing = tables(report)[:2]
    assert summary.rows[0][3] == "75,0 %\n(giả định)"
    assert summary.rows[0][-1].splitlines() == ["thực: 3 xã", "mẫu số giả định: 3"]
    assert missing.rows[0][-1] == "thực, mẫu số giả định"
    assert "Báo cáo có số liệu giả định" in page(report, DIGEST)


def test_a_real_figure_has_no_warning() -> None:
    report = reported([stated(code) for code in worlds.COMMUNES["08"]], rules=Rules.from_texts(seed_texts(targets=())))
    assert "Báo cáo có số liệu" not in page(report, DIGEST)


def test_most_of_a_province_is_told_by_who_is_not_among_it(shipped: Report) -> None:
    row = next(row for row in tables(shipped)[2].rows if row[0].startswith("Xã có đài truyền thanh") and row[1] == "137 / 138")
    assert row[3] == "chưa báo cáo: cả tỉnh, trừ Xã Quyết Thắng (02584)"


def test_who_said_the_same_on_the_same_day_is_told_once(shipped: Report) -> None:
    row = next(row for row in tables(shipped)[1].rows if row[4] == "Tát Nga")
    assert row[6] == "Nhà mạng A (giả định), Nhà mạng B (giả định), Nhà mạng C (giả định): khai báo 30/06/2023"


def test_the_form_has_blanks_for_what_only_the_sender_knows_and_the_three_who_sign(shipped: Report, tmp_path: Path) -> None:
    text = page(shipped, DIGEST)
    for words in ("Biểu số: …", "Nơi gửi (đơn vị báo cáo): …", "Nơi nhận (đơn vị nhận báo cáo): …", "Kỳ báo cáo: Tháng 6 năm 2023"):
        assert words in text
    assert re.findall(r'class="role">([^<]+)', text) == ["người lập biểu", "người kiểm tra biểu", "thủ trưởng đơn vị"]
    assert standing(shipped) == "Phiên bản 1 · DỰ THẢO, chưa ký"
    assert standing(signed(tmp_path, shipped, ["A"]).report) == "Phiên bản 1 · DỰ THẢO, 1/3 chữ ký"


def test_what_was_restated_is_told_with_before_after_and_why(tmp_path: Path) -> None:
    events = [stated(code) for code in worlds.COMMUNES["08"]]
    (tmp_path / "assumed").mkdir()
    base = signed(tmp_path, reported(events))
    correction = stated("02275", covered=0, time="2023-07-09T00:00Z", event_id="sửa")
    restated = tables(reported([*events, correction], base=base, version=2))[-1]
    covered = next(row for row in restated.rows if row[1] == "đã phủ")
    assert covered[2:5] == ("3", "2", "−1")
    assert covered[5].splitlines() == [
        "1 bản tin đến sau khi lập bản đã ký:",
        "• post-office, khai báo, xã 02275: 0 / 1, quan sát 30/06/2023, đến 20/07/2023 09:00 (sửa) (thực)".replace(
            "post-office", "name_vi"
        ),
        "Xã:",
        "• Xã 02275 (02275): 1 / 1 → 0 / 1",
    ]
    assert base.sha256 in restated.note
    assumed = [stated(code, origin=Origin.ASSUMED) for code in worlds.COMMUNES["08"]]
    marked = tables(reported([*assumed, correction], base=signed(tmp_path / "assumed", reported(assumed)), version=2))[-1]
    row = next(row for row in marked.rows if row[1] == "đã phủ")
    assert row[2:4] == ("3 (giả định)", "2 (giả định)")
    assert "• Xã 02275 (02275): 1 / 1 (giả định) → 0 / 1" in row[5].splitlines()
    taken_back = tables(reported([*events, withdrawn("02275")], base=base, version=2))[-1]
    assert "rút lại" in taken_back.rows[0][5]


def test_nothing_that_somebody_wrote_is_markup_a_formula_or_a_link(hostile: Report) -> None:
    text = page(hostile, DIGEST)
    found = _Page(text)
    assert not found.tags & {"script", "img", "a", "iframe", "link", "object", "form"}
    assert not found.attributes & {"src", "href", "onerror", "onclick", "action"}
    assert "\u202e" not in text
    names = next(cell for cell in found.cells if "SUM" in cell)
    assert "<script>alert(1)</script>" in names

    content = sheet(hostile, DIGEST)
    book = load_workbook(BytesIO(content))
    kinds = {cell.data_type for cell in _cells(book)}
    assert kinds <= {"s", "n"}, "text and numbers, no formula"
    assert not [cell for cell in _cells(book) if cell.hyperlink]
    assert {"=1+1", HOSTILE[-1]} <= {cell.value for cell in _cells(book)}
    assert HOSTILE[0] in [cell.value for cell in _cells(book)], "the signatory's name stays what it is"
    with zipfile.ZipFile(BytesIO(content)) as parts:
        assert not [name for name in parts.namelist() if "externalLink" in name or "vba" in name.lower()]
        assert b"<f>" not in b"".join(parts.read(name) for name in parts.namelist())


def test_the_sheet_has_the_figures_as_numbers_and_nothing_where_nothing_is_known(shipped: Report) -> None:
    lines = load_workbook(BytesIO(sheet(shipped, DIGEST)))["Số liệu"].iter_rows(values_only=True)
    heading = next(lines)
    rows = {line[0]: dict(zip(heading, line, strict=True)) for line in lines}
    for one in shipped.figures:
        found = rows[one.row.indicator]
        assert found["ratio"] == (one.row.ratio if one.known else None)
        assert found["covered"] == (one.row.covered if one.known else None)
        assert (found["target"], found["expected"]) == (one.row.target, one.row.expected)


def test_every_sheet_is_a4_and_has_the_digest_at_its_foot(shipped: Report) -> None:
    for one in load_workbook(BytesIO(sheet(shipped, DIGEST))):
        assert one.page_setup.paperSize == 9
        assert DIGEST in str(one.oddFooter.left.text)


def test_a_cell_that_excel_could_not_hold_is_cut_and_the_rest_stays(hostile: Report) -> None:
    gap = next(gap for gap in hostile.gaps if gap.row.commune == "02275")
    many = tuple(f"{'x' * 190} {number}" for number in range(500))
    report = replace(hostile, gaps=(replace(gap, row=replace(gap.row, uncovered=many)),))
    texts = [str(cell.value) for cell in _cells(load_workbook(BytesIO(sheet(report, DIGEST))))]
    (cut,) = [text for text in texts if text.endswith("…") and text.startswith("xxx")]
    assert 30_000 < len(cut) < 32_767


@pytest.mark.libreoffice
@pytest.mark.skipif(shutil.which("soffice") is None, reason="no LibreOffice on this machine")
def test_libreoffice_shows_the_same_text_and_no_errors(tmp_path: Path, hostile: Report, shipped: Report) -> None:
    for name, report in (("hostile", hostile), ("shipped", shipped)):
        (tmp_path / f"{name}.xlsx").write_bytes(sheet(report, DIGEST))
    profile = f"-env:UserInstallation=file://{tmp_path}/profile"
    out = tmp_path / "out"
    files = [str(tmp_path / f"{name}.xlsx") for name in ("hostile", "shipped")]
    command = ["soffice", profile, "--headless", "--convert-to", "xlsx", "--outdir", str(out), *files]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    for name in ("hostile", "shipped"):
        before, after = (load_workbook(path) for path in (tmp_path / f"{name}.xlsx", out / f"{name}.xlsx"))
        texts = [{cell.value for cell in _cells(book) if isinstance(cell.value, str)} for book in (before, after)]
        assert texts[0] == texts[1]
        assert {cell.data_type for cell in _cells(after)} <= {"s", "n"}
        assert not [text for text in texts[1] if text.startswith(("#", "Err:"))]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One Chromium for the pages of this module."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-background-networking"]
        )
        yield opened
        opened.close()


@pytest.mark.chromium
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no Chromium on this machine")
def test_chromium_prints_a4_pages_with_the_digest_at_the_foot_and_loads_nothing(
    browser: Any, tmp_path: Path, shipped: Report, hostile: Report
) -> None:
    for name, report in (("shipped", shipped), ("hostile", hostile)):
        (tmp_path / f"{name}.html").write_text(page(report, DIGEST), "utf-8")
        opened = browser.new_page()
        said: list[str] = []
        opened.on("console", lambda message, said=said: said.append(message.text))
        opened.on("pageerror", lambda error, said=said: said.append(str(error)))
        asked: list[str] = []
        opened.on("request", lambda request, asked=asked: asked.append(request.url))
        opened.on("dialog", lambda dialog, said=said: (said.append(dialog.message), dialog.dismiss()))
        opened.goto(f"file://{tmp_path}/{name}.html")
        assert asked == [f"file://{tmp_path}/{name}.html"]
        assert said == []
        opened.emulate_media(media="print")
        # the width of the paper between its margins: nothing is cut at the right
        opened.set_viewport_size({"width": round((297 - 24) / 25.4 * 96), "height": 700})
        assert opened.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        rules = opened.evaluate("[...document.styleSheets[0].cssRules].map(rule => rule.cssText)")
        assert any(rule.startswith("@page") and "@bottom-left" in rule and DIGEST in rule for rule in rules), rules
        printed = opened.pdf(prefer_css_page_size=True)
        sizes = set(re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", printed))
        assert {(round(float(width)), round(float(height))) for width, height in sizes} == {(842, 595)}
        opened.close()
