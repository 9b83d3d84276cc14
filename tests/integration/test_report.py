"""`phusong report` on a real Kafka, without a worker: made, signed, made again after a late correction, and verified."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook

from ops.report_document import Role, decode, encode, sha256
from ops.report_files import sign
from phusong.settings import SEEDS
from phusong.settings import seed_texts as read_seed_texts
from phusong.topics import SOURCES
from tests import worlds
from tests.asking import Answer, ask
from tests.shipped import shipped_facts
from tests.workers import Stage
from tests.worlds import COMMUNES, instant, stated

pytestmark = pytest.mark.kafka

_WALL: dict[str, object] = {"clock_start": None, "clock_rate": None, "clock_anchor": None}
SIGNATORIES = ((Role.MAKER, "Nguyễn Văn A"), (Role.CHECKER, "Trần Thị B"), (Role.HEAD, "Lê Văn C"))


def _made(stage: Stage, *arguments: str, **settings: object) -> Any:
    answer = ask(stage, "report", *arguments, "--json", **settings)
    assert answer.code == 0, answer.errors
    return answer.plain


def _sign(stage: Stage, report: str, role: str, name: str) -> Answer:
    return ask(stage, "report", "sign", report, "--as", role, "--name", name)


def _figure(report: Any, indicator: str = worlds.POSTAL) -> Any:
    return next(one["row"] for one in report["figures"] if one["row"]["indicator"] == indicator)


def test_page_sheet_json_and_replay_give_the_same_figures_137_of_138(stage: Stage) -> None:
    stage.use(read_seed_texts(SEEDS))
    stage.send(shipped_facts())
    (made,) = _made(stage, "--period", "2023-06", "--province", "08")
    replayed = ask(stage, "replay", "--as-of", "2023-06-30", "--json").plain["as_known_now"]["provinces"]
    rows = {row["indicator"]: row for row in replayed if row["province"] == "08"}
    assert {one["row"]["indicator"]: one["row"] for one in made["report"]["figures"]} == rows

    page, sheet, document = (Path(stage.directory / file) for file in made["files"])
    content = document.read_bytes()
    assert sha256(content) == made["sha256"]
    assert encode(decode(content)) == content
    assert _figure(json.loads(content), "postal.staffed_point") == rows["postal.staffed_point"]
    html = page.read_text("utf-8")
    assert made["sha256"] in html
    assert "137 / 138 xã\n(giả định)" in html
    assert "99,3 %\n(giả định)" in html
    book = load_workbook(BytesIO(sheet.read_bytes()))
    texts = {str(cell.value) for page_ in book for line in page_.iter_rows() for cell in line if cell.value is not None}
    assert {
        "137 / 138 xã\n(giả định)",
        "99,3 %\n(giả định)",
        "99,3 – 99,3 %\n(giả định)",
        "chưa đạt",
        "Xã Sơn Phú (02275), Huyện Na Hang",
    } <= texts
    numbers = {line[0]: line for line in book["Số liệu"].iter_rows(min_row=2, values_only=True)}
    row = rows["postal.staffed_point"]
    assert numbers["postal.staffed_point"][1:6] == (137, 138, row["ratio"], row["low"], row["high"])


def test_a_late_correction_makes_a_second_version_that_says_what_changed_and_why(stage: Stage) -> None:
    stage.send([stated(code, event_id=code) for code in COMMUNES["08"]])
    (first,) = _made(stage, "--period", "2023-06", "--out", "signed", **_WALL)
    assert _figure(first["report"])["covered"] == 3
    for role, name in SIGNATORIES[:2]:
        sign(stage.directory / "signed/08-2023-06-v1.html", role, name, instant("2023-07-08"), "vi")
    answer = _sign(stage, "signed/08-2023-06-v1.html", *SIGNATORIES[2])
    assert (answer.code, "đã khóa" in answer.errors) == (0, True), answer

    stage.send([stated("02275", covered=0, time="2023-07-09T00:00:00+07:00", event_id="correction")])
    july = [stated(code, observed_at="2023-07-31", time="2023-08-01T00:00Z", event_id=f"july-{code}") for code in COMMUNES["08"]]
    stage.send(july)
    kept = {file.name: file.read_bytes() for file in (stage.directory / "signed").glob("08-2023-06-v1.*")}
    (second,) = _made(stage, "--period", "2023-06", "--out", "signed", **_WALL)
    report = second["report"]
    assert (report["version"], report["base"]["report"]) == (2, "08-2023-06-v1")
    (change,) = report["restated"]
    assert ("covered", 3, 2) in [(one["field"], one["before"], one["after"]) for one in change["differences"]]
    assert [one["id"] for one in change["statements"]] == ["correction"], "not what was observed in July"
    html = (stage.directory / "signed/08-2023-06-v2.html").read_text("utf-8")
    assert "(correction) (thực)" in html
    (again,) = _made(stage, "--period", "2023-06", "--out", "signed", **_WALL)
    assert again["report"]["version"] == 2, "an unsigned draft is made again"

    (later,) = _made(stage, "--period", "2023-07", "--out", "signed", "--lang", "en", **_WALL)
    assert later["report"]["base"]["report"] == "08-2023-06-v1", "a draft is nothing to be compared with"
    assert _figure(later["report"])["covered"] == 3
    assert worlds.POSTAL not in [change["indicator"] for change in later["report"]["since"]], "three when signed, three now"
    assert [one["id"] for one in later["report"]["restated"][0]["statements"]] == ["correction"]
    assert {file.name: file.read_bytes() for file in (stage.directory / "signed").glob("08-2023-06-v1.*")} == kept

    assert ask(stage, "report", "verify", "--out", "signed").code == 0
    page = stage.directory / "signed/08-2023-06-v1.html"
    page.chmod(0o644)
    page.write_text(page.read_text("utf-8").replace("100,0 %", "100,1 %"), "utf-8")
    answer = ask(stage, "report", "verify", "--out", "signed", "--lang", "en")
    assert (answer.code, "08-2023-06-v1.html: was changed" in answer.errors) == (1, True)
    answer = ask(stage, "report", "--period", "2023-06", "--out", "signed", **_WALL)
    assert (answer.code, answer.text) == (1, ""), "nothing is compared with what was tampered with"


def test_without_a_province_each_of_which_anything_is_known_has_its_own(stage: Stage) -> None:
    stage.send([stated("02275"), stated("00688")])
    answer = ask(stage, "report", "--period", "2023-06")
    assert answer.code == 0, answer.errors
    assert answer.text.splitlines() == [
        f"reports/{province}-2023-06-v1{ending}" for province in ("02", "08") for ending in (".html", ".xlsx", ".json")
    ]
    assert "tỉnh 04: chưa có báo cáo nào" in answer.errors
    (empty,) = _made(stage, "--period", "2023-06", "--province", "10")
    assert not empty["report"]["communes"]
    assert "chưa có báo cáo nào" in (stage.directory / "reports/10-2023-06-v1.html").read_text("utf-8")


def test_wrong_use_is_2_and_a_folder_that_cannot_be_3(stage: Stage) -> None:
    stage.topics.ends(*(topic.name for topic in SOURCES.values()))  # tells them once they are led
    for arguments in (
        ["--period", "2023-13"],
        ["--period", "2023-07"],
        ["--period", "2019"],
        ["--period", "2023-06", "--province", "99"],
        [],
    ):
        answer = ask(stage, "report", *arguments)
        assert (answer.code, answer.text) == (2, ""), answer
    (stage.directory / "file").write_text("")
    answer = ask(stage, "report", "--period", "2023-06", "--out", "file/reports")
    assert (answer.code, "chọn --out khác" in answer.errors) == (3, True), answer
    _made(stage, "--period", "2023-06", "--province", "08")
    answer = _sign(stage, "reports/08-2023-06-v1", "head", "Lê Văn C")
    assert (answer.code, answer.text) == (2, ""), answer
    assert "lượt này là người lập biểu" in answer.errors
