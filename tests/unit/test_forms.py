"""A reporter's form: which heading is which field, what is said once for all rows, and what becomes of each row.

The awkward files of tests/sheets show whole forms; here each rule stands alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from phusong.events import Method, Origin, Reason, Withdrawal, Withdrawn
from phusong.periods import VIETNAM
from phusong.settings import SettingsError
from producers.sheets.cells import CellError, Percent, Text, Unread, Value, code_of, count_of, moment_of, names_of
from producers.sheets.forms import FormOptions, Forms, read_mapping
from producers.sheets.headings import Heading, fields_of
from producers.sheets.statements import FileForm, Item, Skipped
from producers.sheets.tables import Merged, Row, Sheet
from tests.shipped import shipped_rules

NOW = datetime(2026, 11, 22, 5, tzinfo=UTC)
SAVED = datetime(2023, 7, 5, 9, tzinfo=VIETNAM)
SAID = FormOptions(source="operator-a", indicator="telecom.mobile_signal_villages", observed_at="2023-06-30")
HEADINGS = ("Mã xã", "Tên xã", "Tổng số", "Đã phủ")
ROW = ("02275", "Xã Sơn Phú", 8, 5)
Rows = Sequence[Sequence[Value]]


def items(rows: Rows, options: FormOptions = SAID, *, merged: tuple[Merged, ...] = (), kind: str = "xlsx") -> list[Item]:
    form = FileForm(Forms(shipped_rules(), options, NOW), SAVED, kind=kind)
    return list(form.items(Sheet("Biểu", lambda: iter([Row(n, cells, n) for n, cells in enumerate(rows, 1)]), merged)))


def only(rows: Rows, options: FormOptions = SAID) -> Item:
    return items(rows, options)[-1]


def data(rows: Rows, options: FormOptions = SAID) -> object:
    event = only(rows, options).event
    assert event is not None, only(rows, options)
    return event.data


def problem(rows: Rows, options: FormOptions = SAID) -> tuple[str, str, Reason]:
    (found,) = only(rows, options).problems
    assert found.text.vi
    assert found.text.en
    return found[:3]


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (5, 5),
        (5.0, 5),
        ("5", 5),
        (" 5 ", 5),
        ("1.234", 1234),
        ("1,234", 1234),
        ("1 234", 1234),
        ("1\u00a0234\u202f567".replace("\u202f", "\u00a0"), 1234567),
        ("12,0", 12),
        ("12.00", 12),
        ("1.234,0", 1234),
        ("-5", -5),
    ],
    ids=repr,
)
def test_a_count_is_a_whole_number_however_it_is_grouped(value: Value, count: int) -> None:
    assert count_of(value)[0] == count


@pytest.mark.parametrize(
    "value",
    [
        "0,993",
        "0.125",
        "0.5",
        "12,5",
        "1.23",
        "1.234,5",
        "12.34.567",
        0.993,
        1.234,
        Percent(1.0),
        "99%",
        "99,3 %",
        "5 thôn",
        "5/8",
        "–",
        True,
    ],
)
def test_what_is_no_whole_number_is_refused_with_the_remedy(value: Value) -> None:
    with pytest.raises(CellError) as refused:
        count_of(value)
    assert refused.value.text.vi


@pytest.mark.parametrize("value", ["2275", 2275.0, 2275, "2275.0", "2.275", "'02275", "\u200b02275", "０２２７５"], ids=repr)
def test_a_code_that_lost_its_zero_is_known(value: Value) -> None:
    assert code_of(value)[0] == "02275"


@pytest.mark.parametrize(
    ("value", "day"),
    [
        ("2023-06-30", "2023-06-30"),
        ("30/06/2023", "2023-06-30"),
        ("3/4/2023", "2023-04-03"),
        ("30.6.2023", "2023-06-30"),
        ("2023/06/30", "2023-06-30"),
        ("ngày 30 tháng 6 năm 2023", "2023-06-30"),
        ("06/2023", "2023-06-30"),
        ("2023-02", "2023-02-28"),
        ("tháng 2/2024", "2024-02-29"),
        ("Tháng 6 năm 2023", "2023-06-30"),
        ("Quý II/2023", "2023-06-30"),
        ("quý 4 năm 2023", "2023-12-31"),
        ("Q1/2023", "2023-03-31"),
        ("6 tháng đầu năm 2023", "2023-06-30"),
        ("6 tháng cuối năm 2023", "2023-12-31"),
        ("năm 2023", "2023-12-31"),
        (2023.0, "2023-12-31"),
        (45107.0, "2023-06-30"),
        ("45107", "2023-06-30"),
        (datetime(2023, 6, 30), "2023-06-30"),  # noqa: DTZ001 - as a workbook gives it
    ],
    ids=repr,
)
def test_a_day_is_its_midnight_in_viet_nam_and_a_period_its_last_day(value: Value, day: str) -> None:
    assert moment_of(value)[0] == datetime.fromisoformat(day).replace(tzinfo=VIETNAM)


@pytest.mark.parametrize(
    "value", ["30/06/23", "31/02/2023", "13/2023", "quý 5/2023", "tháng sáu", 5.0, 90_000.0, True, "2023-06-30T99"], ids=repr
)
def test_what_is_no_day_is_refused(value: Value) -> None:
    with pytest.raises(CellError):
        moment_of(value)


def test_a_serial_number_is_counted_from_where_its_workbook_counts() -> None:
    assert moment_of(43645.0, base_1904=True)[0] == datetime(2023, 6, 30, tzinfo=VIETNAM)


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("Bản Lãm; Nà Tạng", ("Bản Lãm", "Nà Tạng")),
        ("Bản Lãm\nNà, Tạng", ("Bản Lãm", "Nà, Tạng")),
        ("Bản Lãm, Nà Tạng,", ("Bản Lãm", "Nà Tạng")),
        ("Không", ()),
    ],
)
def test_names_stand_on_lines_or_between_semicolons_or_else_commas(value: Value, names: tuple[str, ...]) -> None:
    assert names_of(value) == names


@pytest.mark.parametrize("value", [3.0, "3", "1; 2", Unread("=A1", Text("vi", "en"))], ids=repr)
def test_a_count_in_the_place_of_names_is_refused(value: Value) -> None:
    with pytest.raises(CellError):
        names_of(value)


@pytest.mark.parametrize(
    ("heading", "field"),
    [
        ("MÃ XÃ (*)", "commune"),
        ("ma xa", "commune"),
        ("Xã/phường/thị trấn", "commune_name"),
        ("Số thôn đã phủ sóng", "covered"),
        ("Dân số được phủ sóng (người)", "covered"),
        ("Tổng số hộ", "expected"),
        ("Dân số", "expected"),
        ("Tên các thôn chưa có sóng", "uncovered"),
        ("Kỳ báo cáo", "observed_at"),
        ("covered", "covered"),
    ],
)
def test_headings_are_known_without_case_marks_punctuation_and_units(heading: str, field: str) -> None:
    assert fields_of(heading) == (field,)


@pytest.mark.parametrize("heading", ["Số thôn chưa phủ", "Ghi chú", "Tỷ lệ (%)", "Lý do từ chối (reject reason)", "gì đó", ""])
def test_a_heading_that_names_no_field_names_none(heading: str) -> None:
    assert fields_of(heading) == ()


def test_a_heading_of_two_rows_joins_what_stands_above_with_what_stands_below() -> None:
    rows = [("STT", "Mã xã", "Số thôn", "", "Ghi chú"), ("", "", "Tổng số", "Đã phủ", "")]
    assert Heading(rows, None).columns == {"commune": 1, "expected": 2, "covered": 3}
    # each of the two could be a heading by itself
    official = [("Xã", "", "Số thôn", ""), ("Mã xã", "Tên xã", "Đã phủ sóng", "Tổng số")]
    both = items([*official, ("02275", "Xã Sơn Phú", 5, 8)])
    assert [(item.skipped, item.problems) for item in both] == [(Skipped.HEADING, ()), (Skipped.HEADING, ()), (None, ())]
    found = items([*rows, (1, "02275", 8, 5, "")])
    assert [item.skipped for item in found] == [Skipped.HEADING, Skipped.HEADING, None]
    assert (found[-1].event.data.covered, found[-1].event.data.expected) == (5, 8)


def test_a_row_becomes_a_statement_with_what_is_said_beside_the_file() -> None:
    options = FormOptions(
        source="Nhà mạng A (giả định)",
        indicator="Thôn có sóng di động (không trắng sóng)",
        observed_at="quý 2/2023",
        method="đo kiểm",
        origin="mô phỏng",
        time="05/07/2023",
    )
    event = only([(*HEADINGS, "Thôn chưa phủ"), (*ROW, "Bản Lãm; Nà Tạng; Tát Kẻ")], options).event
    assert (event.source, event.time) == ("operator-a", datetime(2023, 7, 5, tzinfo=VIETNAM))
    assert event.data.indicator == "telecom.mobile_signal_villages"
    assert (event.data.method, event.data.origin) == (Method.MEASURED, Origin.SIMULATED)
    assert (event.data.commune, event.data.covered, event.data.expected) == ("02275", 5, 8)
    assert event.data.uncovered == ("Bản Lãm", "Nà Tạng", "Tát Kẻ")


def test_a_label_above_the_table_says_what_no_column_says() -> None:
    titles = [("BÁO CÁO",), ("Đơn vị báo cáo: operator-b",), ("Chỉ tiêu:", "", "telecom.fibre_villages"), ("Kỳ", "tháng 6/2023")]
    event = only([*titles, HEADINGS, ROW], FormOptions()).event
    assert (event.source, event.data.indicator) == ("operator-b", "telecom.fibre_villages")
    assert event.data.observed_at == datetime(2023, 6, 30, tzinfo=VIETNAM)


def test_what_contradicts_is_never_chosen_from_silently() -> None:
    label = [("Đơn vị báo cáo: operator-b",), HEADINGS, ROW]
    (found,) = items(label)[1].problems
    assert (found.column, found.value) == ("Đơn vị báo cáo", "operator-b")
    assert "--source operator-a" in found.text.vi
    assert items(label)[2].skipped is Skipped.WORDS
    assert problem([(*HEADINGS, "Đơn vị báo cáo"), (*ROW, "operator-b")])[:2] == ("Đơn vị báo cáo", "operator-b")
    said = [("Kỳ: 06/2023",), (*HEADINGS, "Ngày số liệu"), (*ROW, "30/06/2023")]
    assert only(said).event is not None


@pytest.mark.parametrize(
    ("headings", "told"),
    [
        (("Mã xã", "Mã xã", "Tổng số", "Đã phủ"), "commune"),
        (("Mã xã", "Đơn vị", "Tổng số", "Đã phủ"), "commune_name, source"),
        (("Mã xã", "Tên xã", "Tổng số", "Phường"), "Đã phủ"),
        (("Mã xã", "Tên xã", "Đã phủ", "x"), "Tổng số"),
    ],
    ids=["two of one field", "one of two fields", "no covered", "no expected"],
)
def test_a_heading_that_cannot_be_used_is_told_once_and_its_rows_are_not_read(headings: tuple[str, ...], told: str) -> None:
    heading, row = items([headings, ROW])
    assert heading.skipped is Skipped.HEADING
    assert any(told in one.text.vi + one.text.en for one in heading.problems)
    assert (row.event, row.skipped) == (None, Skipped.WORDS)


@pytest.mark.parametrize("missing", ["source", "indicator", "observed_at"])
def test_who_what_and_when_are_never_made_up(missing: str) -> None:
    said = {"source": "operator-a", "indicator": "telecom.fibre_villages", "observed_at": "2023-06-30"}
    heading, _ = items([HEADINGS, ROW], FormOptions(**{**said, missing: ""}))
    assert f"--{missing.replace('_', '-')}" in heading.problems[0].text.vi


def test_a_name_that_contradicts_its_code_rejects_the_row_and_names_both() -> None:
    (found,) = only([HEADINGS, ("02275", "Xã Hồng Thái", 8, 5)]).problems
    assert found[:3] == ("Mã xã", "02275", Reason.UNKNOWN_COMMUNE)
    for name in ("Xã Sơn Phú", "Xã Hồng Thái", "02254"):
        assert name in found.text.vi
    for spelling in ("Sơn Phú", "xã son phu", "X. Sơn Phú", "XÃ SƠN PHÚ"):
        assert only([HEADINGS, ("02275", spelling, 8, 5)]).event is not None


def test_a_row_with_a_name_and_no_code_is_rejected_with_the_code_in_the_remedy() -> None:
    (found,) = only([HEADINGS, ("", "Xã Sơn Phú", 8, 5)]).problems
    assert found[:3] == ("Tên xã", "Xã Sơn Phú", Reason.UNKNOWN_COMMUNE)
    assert "02275" in found.text.vi


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (("", "Tổng cộng", 8, 5), Skipped.TOTAL),
        (("Cộng", "", 8, 5), Skipped.TOTAL),
        (("", "Huyện Na Hang", 8, 5), Skipped.TOTAL),
        (("02275", "Xã Sơn Phú", "", ""), Skipped.UNFILLED),
        (("Người lập biểu", "", "", "Thủ trưởng"), Skipped.WORDS),
        (("", "", "Tuyên Quang, ngày 05 tháng 7 năm 2023", ""), Skipped.WORDS),
    ],
)
def test_rows_that_state_nothing_are_left_out_and_said_so(row: tuple[Value, ...], why: Skipped) -> None:
    found = items([HEADINGS, row, ROW])
    assert (found[1].skipped, found[1].event, found[1].problems) == (why, None, ())
    assert found[2].event is not None


def test_a_commune_whose_name_begins_like_a_total_is_no_total() -> None:
    assert only([HEADINGS, ("", "Cộng Hòa", 8, 5)]).problems


def test_a_row_that_is_half_filled_is_rejected_and_not_taken_for_zero() -> None:
    assert problem([HEADINGS, ("02275", "Xã Sơn Phú", 8, "")]) == ("Đã phủ", "", Reason.SCHEMA)
    assert problem([HEADINGS, ("02275", "Xã Sơn Phú", "", 5)]) == ("Tổng số", "", Reason.SCHEMA)


def test_blank_rows_are_left_out_and_those_at_the_end_not_even_counted() -> None:
    assert [item.number for item in items([(), HEADINGS, (), ROW, ("", ""), ()])] == [1, 2, 3, 4]


def test_two_rows_that_state_different_figures_for_the_same_thing_are_told_and_a_repeated_row_is_not() -> None:
    found = items([HEADINGS, ROW, ROW, ("02275", "", 8, 6)])
    assert [item.event is not None for item in found] == [False, True, True, False]
    assert "2" in found[3].problems[0].text.vi
    # sent unmended, later than the first, it would replace it
    assert list(found[3].cells) == ["02275", "", "", ""]
    assert found[1].event == found[2].event


def test_a_second_table_starts_anew_and_keeps_of_the_labels_all_but_the_indicator() -> None:
    titles = [("Đơn vị báo cáo: operator-a",), ("Ngày số liệu: 30/06/2023",)]
    first = [("Chỉ tiêu: telecom.fibre_villages",), HEADINGS, ROW]
    second = [("Đã phủ", "Tổng số", "Mã xã"), (1, 2, "02263")]
    found = items([*titles, *first, (), ("Chỉ tiêu: telecom.mobile_signal_villages",), *second], FormOptions())
    assert [(item.event.data.commune, item.event.data.indicator) for item in found if item.event] == [
        ("02275", "telecom.fibre_villages"),
        ("02263", "telecom.mobile_signal_villages"),
    ]
    without = items([*titles, *first, (), *second], FormOptions())
    assert [one.reason for item in without for one in item.problems] == [Reason.UNKNOWN_INDICATOR]
    repeated = items([*titles, *first, HEADINGS, ("02263", "", 1, 1)], FormOptions())
    assert repeated[-1].event.data.indicator == "telecom.fibre_villages"


def test_only_a_merged_district_or_indicator_is_filled_down() -> None:
    headings = ("Chỉ tiêu", *HEADINGS)
    rows = [headings, ("telecom.fibre_villages", *ROW), ("", "02263", "", 1, 1)]
    options = FormOptions(source="operator-a", observed_at="2023-06-30")
    assert items(rows, options)[-1].problems
    assert items(rows, options, merged=(((1, 0), (2, 0)),))[-1].event.data.indicator == "telecom.fibre_villages"
    counts = items(rows, SAID, merged=(((1, 4), (2, 4)),))
    assert [bool(item.problems) for item in counts] == [False, True, True]


def test_in_csv_a_cell_beyond_the_headings_rejects_its_row() -> None:
    shifted = [HEADINGS, ("02275", "Xã Sơn Phú", "1", "234", "1", "200")]
    assert items(shifted, kind="csv")[-1].problems[0].value == "1"
    remark = [HEADINGS, (*ROW, "", "xem công văn")]
    assert items(remark, kind="xlsx")[-1].event is not None


def test_a_date_ahead_is_told_before_the_commune_is_looked_up_in_a_list_of_that_day() -> None:
    assert problem([(*HEADINGS, "Ngày số liệu"), (*ROW, "30/06/2203")], FormOptions(source="operator-a", indicator=SAID.indicator)) == (
        "Ngày số liệu",
        "30/06/2203",
        Reason.OBSERVED_IN_FUTURE,
    )


def test_a_mapping_says_which_column_is_what_and_nothing_else_is_read(tmp_path: Path) -> None:
    file = tmp_path / "form.toml"
    file.write_text(
        '[column]\ncommune = "ĐVHC"\ncovered = "Có 4G"\nexpected = "Thôn"\n[value]\nsource = "operator-a"\n'
        'indicator = "telecom.fibre_villages"\nobserved_at = 2023-06-30\n'
    )
    options = FormOptions(mapping=read_mapping(str(file)))
    event = only([("ĐVHC", "Có 4G", "Đã phủ", "Thôn"), ("02275", 5, 99, 8)], options).event
    assert (event.source, event.data.covered, event.data.expected) == ("operator-a", 5, 8)
    with pytest.raises(SettingsError, match="--source operator-b"):
        Forms(shipped_rules(), FormOptions(mapping=options.mapping, source="operator-b"), NOW)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[column]\ncomune = "x"', "did you mean commune"),
        ("[column]\ncommune = 5", "Expected `str`"),
        ('[column]\ncommune = "a"\ncovered = "A"', "one heading for two fields"),
        ('[column]\nsource = "a"\n[value]\nsource = "b"', "stands in \\[column\\] and in \\[value\\]"),
        ('[colum]\ncommune = "a"', "unknown field|missing required"),
        ("[value]\nsource = []\n[column]", "write it as text"),
        ("no toml", "shows a mapping"),
    ],
)
def test_a_mapping_that_cannot_be_used_is_refused_with_the_remedy(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "form.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=told):
        read_mapping(str(file))


@pytest.mark.parametrize("field", ["source", "indicator", "observed_at", "method", "operator", "origin", "time"])
def test_an_option_that_cannot_be_read_is_refused_at_once(field: str) -> None:
    with pytest.raises(SettingsError, match=f"--{field.replace('_', '-')} xyz"):
        Forms(shipped_rules(), FormOptions(**{field: "xyz"}), NOW)


@pytest.mark.parametrize("word", ["rút", "Rút", "RUT", " withdraw ", "withdrawn"])
def test_a_row_whose_covered_count_says_so_is_a_withdrawal_whatever_else_it_counts(word: str) -> None:
    (_, item) = items([(*HEADINGS, "Thôn chưa phủ"), ("02275", "Xã Sơn Phú", "tám", word, "3")])
    assert isinstance(item.event, Withdrawn), item.problems
    assert (item.event.source, item.event.time, item.event.data) == (
        "operator-a",
        SAVED,
        Withdrawal(commune="02275", indicator=SAID.indicator, observed_at=datetime(2023, 6, 30, tzinfo=VIETNAM)),
    )
    assert [note.kind for note in item.notes] == ["withdrawn"]


def test_a_withdrawal_is_named_by_its_content_and_contradicts_a_statement_of_the_same_file() -> None:
    first = only([HEADINGS, ("02275", "", "", "rút")]).event
    assert first.id == only([HEADINGS, ("02275", "Xã Sơn Phú", 9, "withdraw")]).event.id
    assert first.id not in {only([HEADINGS, ("02263", "", "", "rút")]).event.id, only([HEADINGS, ROW]).event.id}
    both = items([HEADINGS, ROW, ("02275", "", "", "rút")])
    assert [bool(item.problems) for item in both] == [False, False, True]


def test_who_writes_words_for_a_count_is_told_how_to_withdraw() -> None:
    (found,) = only([HEADINGS, ("02275", "", 8, "bỏ")]).problems
    assert '"rút"' in found.text.vi
    assert '"withdraw"' in found.text.en


def test_a_value_of_a_mapping_that_is_not_known_is_told_with_the_name_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "m3.toml"
    file.write_text('[column]\ncommune = "a"\n[value]\nsource = "viettel"\n')
    options = FormOptions(mapping=read_mapping(str(file)), mapping_file=str(file))
    with pytest.raises(SettingsError) as refused:
        Forms(shipped_rules(), options, NOW, "vi")
    told = str(refused.value)
    assert told.startswith(f"{file}: [value] source = viettel: không có đơn vị báo cáo này")
    assert "gần giống" not in told
    assert all(f"{one}" in told for one in shipped_rules().catalogue.reporters)


def test_what_resembles_an_unknown_word_is_called_near_and_nothing_else_is() -> None:
    with pytest.raises(SettingsError, match="gần giống: operator-"):
        Forms(shipped_rules(), FormOptions(source="operator-z"), NOW, "vi")


def test_a_mapping_is_refused_in_the_language_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "form.toml"
    with pytest.raises(SettingsError, match=r"form\.toml: không có tệp này"):
        read_mapping(str(file), "vi")
    file.write_text('[column]\ncoverd = "x"')
    with pytest.raises(SettingsError, match="không có trường này; có phải là covered"):
        read_mapping(str(file), "vi")
