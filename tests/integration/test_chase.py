"""`phusong chase` on a real Kafka, without a worker: the list in the terminal, as a sheet and as a letter."""

from __future__ import annotations

import pytest
from python_calamine import CalamineWorkbook

from phusong.events import Event, Method
from phusong.topics import POSTAL, TELECOM
from tests import worlds
from tests.asking import ask
from tests.workers import Stage
from tests.worlds import challenged, indicator, promised, seed_texts, stated

pytestmark = pytest.mark.kafka

MOBILE = worlds.MOBILE


def test_the_list_is_read_from_the_log_and_written_as_sheet_and_letter(stage: Stage) -> None:
    villages = indicator(MOBILE, "quarter", base="villages", union="places")
    stage.use(seed_texts(indicators=[one for one in worlds.INDICATORS if one["indicator"] != MOBILE] + [villages]))
    events: list[Event] = [
        stated("02275", MOBILE, 3, 4, "2023-03-31", source="operator-a", uncovered=("Bản Lãm",), event_id="first"),
        stated("02275", MOBILE, 2, 4, "2023-06-30", source="operator-a", uncovered=("Bản Lãm", "Nà Tạng"), event_id="second"),
        stated("02275", MOBILE, 3, 4, "2023-06-30", source="operator-b", uncovered=("Bản Lãm",)),
        stated("00688", MOBILE, 1, 2, "2023-06-30", source="operator-a", uncovered=("Nậm Dịch",)),
        stated(
            "02275",
            MOBILE,
            3,
            4,
            "2023-07-01",
            source="inspector",
            operator="operator-a",
            method=Method.PETITIONED,
            uncovered=("Bản Lãm",),
            event_id="asks",
        ),
        promised("02275", MOBILE, "2023-07-10", "2023-04-01", source="operator-a", places=("Bản Lãm",)),
        challenged(
            "sent", "2023-07-02", indicator=MOBILE, operator="operator-a", source="inspector", places=("Bản Lãm",), deadline="2023-07-15"
        ),
    ]
    stage.send(events)
    with stage.sending() as send:
        send(TELECOM, b"not an event", b"08")
        send(POSTAL, b"{}", b"08")

    answer = ask(stage, "chase", "operator-a", "--lang", "en")
    assert answer.code == 0, answer.errors
    assert "3 places uncovered, 1 past their promise, 2 not promised, 1 covered by others" in answer.errors
    assert "Nậm" in answer.text
    north = ask(stage, "chase", "operator-a", "--province", "08", "--out", "list.xlsx", "--letter", "letter.html")
    assert (north.code, north.text) == (0, "list.xlsx\nletter.html\n"), north.errors
    rows = CalamineWorkbook.from_path(stage.directory / "list.xlsx").get_sheet_by_index(0).to_python(skip_empty_area=False)
    heading = next(row for row in rows if "Mã xã" in row)
    first, second = (dict(zip(heading, row, strict=True)) for row in rows[rows.index(heading) + 1 :])
    assert [first["Thôn"], second["Thôn"]] == ["Bản Lãm", "Nà Tạng"]
    assert [str(first["Chưa phủ từ"]), str(second["Chưa phủ từ"])] == ["2023-03-31", "2023-06-30"]
    assert [first["Quá hạn (ngày)"], second["Quá hạn (ngày)"]] == [10, ""]
    assert (first["Vụ việc"], str(first["Hạn xử lý"])) == ("3777: đã gửi đơn vị 02/07/2023, quá hạn", "2023-07-15")
    assert "kiến nghị 01/07/2023" in first["Ai kiến nghị, đo kiểm"]
    assert (bool(first["Đơn vị khác đã phủ"]), bool(second["Đơn vị khác đã phủ"])) == (False, True)
    letter = (stage.directory / "letter.html").read_text("utf-8")
    assert letter.count("<tr>") == 3
    assert "<td>Nà Tạng</td>" in letter

    earlier = ask(stage, "chase", "operator-a", "--as-of", "2023-05-01", "--lang", "en")
    assert "1 places uncovered" in earlier.errors


def test_wrong_use_is_2_and_a_missing_broker_or_folder_3(stage: Stage) -> None:
    stage.topics.ends(TELECOM.name, POSTAL.name)  # tells them once they are led
    for arguments in (["nobody"], ["operator-a", "--province", "99"], ["operator-a", "--out", "list.csv"], ["operator-a", "--as-of", "x"]):
        answer = ask(stage, "chase", *arguments)
        assert (answer.code, answer.text) == (2, ""), answer
    assert ask(stage, "chase", "operator-a", "--out", "nowhere/list.xlsx").code == 3
    assert ask(stage, "chase", "operator-a", bootstrap_servers="127.0.0.1:1").code == 3
