"""What is taken but will not count as it was typed is told, and nothing else is."""

from __future__ import annotations

from datetime import date, datetime

import msgspec
import pytest

from phusong.events import Stated, Statement
from phusong.periods import VIETNAM
from phusong.register import Base, Count
from producers.sheets.remarks import Remarks
from tests.shipped import shipped_rules

DAY = datetime(2023, 6, 30, tzinfo=VIETNAM)
SIGNAL = "telecom.mobile_signal_villages"
SON_PHU = ("2020-01-01", "02275")


def stated(
    covered: int, expected: int, uncovered: tuple[str, ...] | None = None, *, source: str = "operator-a", indicator: str = SIGNAL
) -> Stated:
    data = Statement(commune="02275", indicator=indicator, observed_at=DAY, covered=covered, expected=expected, uncovered=uncovered)
    return Stated(specversion="1.0", id="x", source=source, time=DAY, data=data)


def told(*events: Stated) -> list[str]:
    remarks = Remarks(shipped_rules())
    return [note.text.vi for event in events for note in remarks.on(event)]


def test_what_nobody_owes_is_told_once_for_each_source_and_indicator() -> None:
    point, online = (stated(1, 1, indicator=f"postal.{name}") for name in ("staffed_point", "points_online"))
    assert told(point, point, online, point, stated(5, 8)) == [
        "operator-a không có nghĩa vụ báo cáo postal.staffed_point ở tỉnh 08: số liệu được giữ nhưng không tính",
        "operator-a không có nghĩa vụ báo cáo postal.points_online ở tỉnh 08: số liệu được giữ nhưng không tính",
    ]


def test_a_duty_holds_for_the_operator_whoever_speaks_for_it_and_only_while_it_binds() -> None:
    office = stated(5, 8, source="assumed-province-office")
    for_operator = msgspec.structs.replace(office, data=msgspec.structs.replace(office.data, operator="operator-a"))
    assert told(for_operator) == []
    assert [text.partition(" ")[0] for text in told(office)] == ["assumed-province-office"]
    early = msgspec.structs.replace(
        for_operator, data=msgspec.structs.replace(office.data, operator="operator-a", observed_at=DAY.replace(2020))
    )
    assert len(told(early)) == 1


@pytest.mark.parametrize(
    ("covered", "names", "gap"),
    [(6, ("Bản Lãm", "Nà Tạng", "Tát Kẻ"), "nêu 3 nơi chưa phủ nhưng 8 − 6 = 2"), (7, (), "nêu 0 nơi chưa phủ nhưng 8 − 7 = 1")],
)
def test_names_that_contradict_the_gap_are_told(covered: int, names: tuple[str, ...], gap: str) -> None:
    assert told(stated(covered, 8, names)) == [f"02275: {gap}"]


@pytest.mark.parametrize(
    ("covered", "names"), [(6, ("Bản Lãm", "Nà Tạng")), (6, ("Bản Lãm",)), (6, ("Bản Lãm", "bản lãm", "Nà Tạng")), (8, ()), (6, None)]
)
def test_names_that_agree_with_the_gap_or_are_a_part_of_it_are_not_told(covered: int, names: tuple[str, ...] | None) -> None:
    assert told(stated(covered, 8, names)) == []


@pytest.fixture
def counted(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {**shipped_rules().register.counts, SON_PHU: {Base.VILLAGES: Count(11, date(2019, 4, 1), request.param)}}
    monkeypatch.setattr(shipped_rules().register, "counts", counts)


@pytest.mark.parametrize("counted", ["cited"], indirect=True)
@pytest.mark.usefixtures("counted")
def test_a_whole_that_the_register_counts_otherwise_is_told() -> None:
    assert told(stated(5, 1234), stated(5, 11)) == ["02275: tổng số 1234, danh mục có 11"]


@pytest.mark.parametrize("counted", ["assumed"], indirect=True)
@pytest.mark.usefixtures("counted")
def test_a_count_of_the_register_that_is_assumed_contradicts_nobody() -> None:
    assert told(stated(5, 1234)) == []
