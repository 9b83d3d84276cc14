"""Makes the awkward sheets of this folder that need no LibreOffice: `python -m tests.sheets.make` writes them again.

Comes in: nothing but this text. Goes out: `FILES`, the bytes by file name; the same bytes every time. Owns no state. What each file is for
is said in README.md, what must come of it in tests/unit/test_awkward_sheets.py.
"""

from __future__ import annotations

import io
import re
import unicodedata
import zipfile
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from pathlib import Path

from openpyxl import Workbook
from openpyxl.comments import Comment
from openpyxl.styles import Font
from openpyxl.utils.datetime import CALENDAR_MAC_1904
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.worksheet import Worksheet

HERE = Path(__file__).parent
SAVED = "2023-07-05T02:00:00Z"
"""When every workbook made here says that it was last saved."""

Row = Sequence[object]
HEADINGS = ("Mã xã", "Tên xã", "Đã phủ", "Tổng số")
SON_PHU = ("02275", "Xã Sơn Phú", 0, 1)
KHAU_TINH = ("02263", "Xã Khau Tinh", 1, 1)
NANG_KHA = ("02281", "Xã Năng Khả", 1, 1)
THREE = (SON_PHU, KHAU_TINH, NANG_KHA)

NBSP, NARROW_NBSP, ZERO_WIDTH, BYTE_ORDER_MARK, WORD_JOINER = "\u00a0", "\u202f", "\u200b", "\ufeff", "\u2060"


def lines(rows: Iterable[Row], delimiter: str = ",", end: str = "\r\n") -> str:
    """Rows as a spreadsheet program writes them into a text file; cells that need quotes bring them along."""
    return "".join(delimiter.join(map(str, row)) + end for row in rows)


def repacked(workbook: bytes, change: Callable[[str, bytes], bytes] = lambda _name, content: content) -> bytes:
    """The same zip with the clock taken out of it, each part passed through `change`."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = re.sub(rb"(<dcterms:(?:created|modified)[^>]*>)[^<]*", rb"\g<1>" + SAVED.encode(), old.read(name))
            part = zipfile.ZipInfo(name, (2023, 7, 5, 9, 0, 0))
            part.compress_type = zipfile.ZIP_DEFLATED
            new.writestr(part, change(name, content))
    return out.getvalue()


def saved(book: Workbook) -> bytes:
    """The bytes of a workbook."""
    out = io.BytesIO()
    book.save(out)
    return repacked(out.getvalue())


def book(rows: Iterable[Row], dress: Callable[[Worksheet], None] = lambda _sheet: None) -> bytes:
    """A workbook of one sheet, "Biểu 1", which `dress` may merge, hide or colour."""
    workbook = Workbook()
    sheet = workbook.worksheets[0]
    sheet.title = "Biểu 1"
    for row in rows:
        sheet.append(list(row))
    dress(sheet)
    return saved(workbook)


def sheets(named: dict[str, Iterable[Row]]) -> bytes:
    """A workbook of several sheets."""
    workbook = Workbook()
    workbook.remove(workbook.worksheets[0])
    for name, rows in named.items():
        sheet = workbook.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    return saved(workbook)


def ods(table: str) -> bytes:
    """The least that is an OpenDocument spreadsheet, around the rows given as XML."""
    name_spaces = " ".join(
        f'xmlns:{short}="urn:oasis:names:tc:opendocument:xmlns:{long}:1.0"'
        for short, long in {"office": "office", "table": "table", "text": "text", "meta": "meta"}.items()
    )
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    parts = {
        "mimetype": kind,
        "content.xml": f'<?xml version="1.0" encoding="UTF-8"?><office:document-content {name_spaces} office:version="1.2"><office:body>'
        f'<office:spreadsheet><table:table table:name="Biểu 1"><table:table-column table:number-columns-repeated="1024"/>{table}'
        "</table:table></office:spreadsheet></office:body></office:document-content>",
        "meta.xml": f'<?xml version="1.0" encoding="UTF-8"?><office:document-meta {name_spaces} '
        f'xmlns:dc="http://purl.org/dc/elements/1.1/" office:version="1.2"><office:meta><dc:date>2023-07-05T09:00:00.123456789</dc:date>'
        "</office:meta></office:document-meta>",
        "META-INF/manifest.xml": '<?xml version="1.0" encoding="UTF-8"?><manifest:manifest manifest:version="1.2" '
        'xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0">'
        f'<manifest:file-entry manifest:full-path="/" manifest:version="1.2" manifest:media-type="{kind}"/>'
        '<manifest:file-entry manifest:full-path="content.xml" manifest:media-type="text/xml"/>'
        '<manifest:file-entry manifest:full-path="meta.xml" manifest:media-type="text/xml"/></manifest:manifest>',
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for name, content in parts.items():
            part = zipfile.ZipInfo(name, (2023, 7, 5, 9, 0, 0))
            part.compress_type = zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED
            packed.writestr(part, content)
    return out.getvalue()


def ods_row(*cells: object, times: int = 1) -> str:
    """One row of OpenDocument XML, or that many equal ones."""
    written = "".join(
        f'<table:table-cell office:value-type="float" office:value="{cell}"><text:p>{cell}</text:p></table:table-cell>'
        if isinstance(cell, int)
        else f'<table:table-cell office:value-type="string"><text:p>{cell}</text:p></table:table-cell>'
        for cell in cells
    )
    return f'<table:table-row table:number-rows-repeated="{times}">{written}</table:table-row>'


# ---- text files -----------------------------------------------------------------------------------------------------------------------


def _utf_8() -> bytes:
    rows = [("Mã xã", "Tên xã", "Chỉ tiêu", "Đã phủ", "Tổng số", "Ngày số liệu", "Đơn vị báo cáo")]
    rows += [
        ("02275", "Xã Sơn Phú", "postal.staffed_point", "0", "1", "2023-06-30", "assumed-postal-reporter"),
        ("02263", "Xã Khau Tinh", "Xã có điểm phục vụ bưu chính có người phục vụ", "1", "1", "30/06/2023", "assumed-postal-reporter"),
        ("02281", "Xã Năng Khả", "Communes with a staffed postal point", "1", "1", "2023-06", "assumed-postal-reporter"),
    ]
    return lines(rows, end="\n").encode()


def _utf_8_bom() -> bytes:
    # the cell of several lines is one row of the spreadsheet and two lines of the file
    rows = [("Mã xã", "Tên xã", "Đã phủ", "Tổng số", "Thôn chưa phủ")]
    rows += [
        ("02275", '"Xã ""Sơn Phú"""', "9", "12", '"Bản Lãm\nNà Cọn\r\nPhia Chang"'),
        ("02263", "Xã Khau Tinh", "6", "7", '"Khau Tinh, Tát Kẻ"'),
        ("02281", "Xã Năng Khả", "13", "15", '"Nà Chao; Bản Nuầy, xóm trên"'),
    ]
    return b"\xef\xbb\xbf" + lines(rows).replace('"Xã ""Sơn Phú"""', '"Xã Sơn Phú"').encode()


def _semicolons() -> bytes:
    rows = [("Mã xã", "Tên xã", "Dân số được phủ sóng", "Dân số"), ("02275", "Xã Sơn Phú", "2105,0", "2.310,0")]
    rows += [("02263", "Xã Khau Tinh", "1980,5", "2010"), ("02281", "Xã Năng Khả", "5.012", "5012,00")]
    return b"\xef\xbb\xbf" + lines(rows, ";").encode()


def _thousands() -> bytes:
    rows = [("Mã xã", "Đã phủ", "Tổng số")]
    rows += [
        ("02275", "1.234", "1.234"),
        ("02263", '"1,234"', '"1,234,567"'),
        ("02281", "1 234", "1 234 567"),
        ("02284", f"1{NBSP}234", f"1{NARROW_NBSP}234{NARROW_NBSP}567"),
        ("02248", "1.234.567", '"1,234,567.00"'),
        ("02254", '"12,0"', '"1.234,0"'),
        ("02260", "12.34", "100"),
        ("02245", "1.23.456", "999999"),
        ("02239", '"1,234.567"', "9999"),
        ("02230", "1 23", "999"),
        ("02227", "1'234", "9999"),
        ("02221", "1e3", "9999"),
        ("02296", "khoảng 300", "400"),
        ("02299", "", "400"),
    ]
    return lines(rows).encode()


def _written_dates() -> bytes:
    spelt = [
        "30/06/2023",
        "3/4/2023",
        "30-6-2023",
        "30.06.2023",
        "2023-06-30",
        "2023/06/30",
        "06/2023",
        "2023-06",
        "tháng 6/2023",
        "Tháng 06 năm 2023",
        "quý 2/2023",
        "Quý II/2023",
        "6 tháng đầu năm 2023",
        "6 tháng cuối năm 2022",
        "2022",
        "Năm 2022",
        "ngày 30 tháng 6 năm 2023",
        "2023-06-30T17:00:00+07:00",
        "31/06/2023",
        "06/30/2023",
        "30/06/23",
        "hôm qua",
        "30/06/2203",
    ]
    codes = "02200 02203 02206 02209 02212 02215 02216 02218 02221 02227 02230 02233 02239 02242 02245 02248 02251 02254 02260 02263 02266"
    rows = [("Mã xã", "Đã phủ", "Tổng số", "Thời điểm")]
    rows += [(code, "1", "1", when) for code, when in zip([*codes.split(), "02269", "02275"], spelt, strict=True)]
    return lines(rows).encode()


def _codes_as_text() -> bytes:
    codes = ["2275", "02263", "2281.0", "'02284", " 02248 ", "0002254", "2260,0", "2.245", "22.39", "xã 02230", "", "99999", "223"]
    return lines([("Mã xã", "Đã phủ", "Tổng số"), *((f'"{code}"', "1", "1") for code in codes)]).encode()


def _nul() -> bytes:
    return lines([HEADINGS, SON_PHU, KHAU_TINH, NANG_KHA]).replace("Khau Tinh", "Khau\0Tinh").encode()


def _unclosed_quote() -> bytes:
    # the quote opened in the second row never closes
    return lines([HEADINGS, SON_PHU, ("02263", '"Xã Khau Tinh', 1, 1), NANG_KHA, ("02284", "Xã Thanh Tương", 1, 1)]).encode()


def _ragged() -> bytes:
    rows = [(*HEADINGS, "", ""), (*SON_PHU, "", "", ""), ("02263", "Xã Khau Tinh", 1), ("",), ("02281", "Xã Năng Khả", 1, 1, "", "", "x")]
    # 1,234 of 1,500 without quotes
    return lines([*rows, ("02284", "Xã Thanh Tương", "1,234", "1,500"), ("", "", "", "", "", "")]).encode()


def _contradictions() -> bytes:
    rows = [
        HEADINGS,
        ("02275", "Xã Khau Tinh", 1, 1),
        ("02263", "xa khau tinh", 1, 1),
        ("02281", "Năng Khả", 1, 1),
        ("", "Xã Đà Vị", 1, 1),
        ("", "Xã Tân Tiến", 1, 1),
        ("", "Xã Không Có", 1, 1),
        ("02374", "Xã Tân Yên", 1, 1),
    ]
    return lines(rows).encode()


def _duplicates() -> bytes:
    rows = [HEADINGS, SON_PHU, KHAU_TINH, SON_PHU, ("2275", "xã Sơn Phú", "0,0", 1), ("02263", "Xã Khau Tinh", 0, 1), NANG_KHA]
    return lines([tuple(f'"{cell}"' for cell in row) for row in rows]).encode()


def _out_of_range() -> bytes:
    rows = [HEADINGS, ("02275", "", -1, 1), ("02263", "", 2, 1), ("02281", "", "(1)", 1), ("02284", "", 0, -1), ("02248", "", "−1", 1)]
    rows += [("02254", "", 0, 0), ("02260", "", 1, 1_000_000_001), ("02245", "", 1, "1" * 400), ("02239", "", "", "")]
    return lines(rows).encode()


def _mixed() -> bytes:
    rows = [HEADINGS, SON_PHU, ("2263", "Xã Khau Tinh", "một", "1"), ("02281", "=HYPERLINK(1)", "2", "1"), ("02284", "", "1", "1")]
    return b"\xef\xbb\xbf" + lines([("Biểu 02/BC", "", "", ""), *rows], ";").encode()


# ---- workbooks ------------------------------------------------------------------------------------------------------------------------


def _serial_dates() -> bytes:
    # the column lost its date format on the way: 45107 is 30 June 2023 in Excel's count of days
    rows: list[Row] = [(*HEADINGS, "Ngày số liệu"), (*SON_PHU, 45107), (*KHAU_TINH, "45107"), (*NANG_KHA, datetime(2023, 6, 30))]  # noqa: DTZ001
    rows += [("02284", "Xã Thanh Tương", 1, 1, date(2023, 5, 31)), ("02248", "Xã Yên Hoa", 1, 1, 45107.7), ("02254", "", 1, 1, 2023)]
    return book([*rows, ("02260", "Xã Đà Vị", 1, 1, 202306), ("02245", "Xã Côn Lôn", 1, 1, 3)])


def calendar_1904(second: Row = KHAU_TINH) -> bytes:
    """The same day as a date, and in the second row as the bare number behind it, 1,462 less than in other workbooks."""
    workbook = Workbook()
    workbook.epoch = CALENDAR_MAC_1904
    sheet = workbook.worksheets[0]
    rows: list[Row] = [(*HEADINGS, "Ngày số liệu"), (*SON_PHU, datetime(2023, 6, 30)), (*second, 45107 - 1462)]  # noqa: DTZ001
    for row in rows:
        sheet.append(list(row))
    return saved(workbook)


def _codes_as_numbers() -> bytes:
    return book([HEADINGS, (2275, *SON_PHU[1:]), (2263.0, *KHAU_TINH[1:]), ("2281", *NANG_KHA[1:]), (2284.5, "Xã Thanh Tương", 1, 1)])


def _merged_headings() -> bytes:
    rows: list[Row] = [
        ("ỦY BAN NHÂN DÂN TỈNH TUYÊN QUANG",),
        ("BIỂU TỔNG HỢP SỐ THÔN CÓ SÓNG DI ĐỘNG",),
        ("Chỉ tiêu:", "telecom.mobile_signal_villages"),
        ("Đơn vị báo cáo: operator-a",),
        ("Kỳ: quý 2/2023",),
        (),
        ("STT", "Xã", None, "Số thôn (thôn)", None, "Ghi chú"),
        (None, "Mã\nxã (*)", "Tên  xã", "Đã phủ sóng", "Tổng số", None),
        ("A", "B", "C", 1, 2, 3),
        (1, "02275", "Xã Sơn Phú", 9, 12, "đang xây trạm"),
        (2, "02263", "Xã Khau Tinh", 7, 7, None),
    ]

    def dress(sheet: Worksheet) -> None:
        for merged in ("A1:F1", "A2:F2", "A7:A8", "B7:C7", "D7:E7", "F7:F8"):
            sheet.merge_cells(merged)
        sheet["A2"].font = Font(bold=True)

    return book(rows, dress)


def _merged_districts() -> bytes:
    rows: list[Row] = [
        ("Huyện", "Tên xã", "Mã xã", "Đã phủ", "Tổng số"),
        ("Huyện Yên Sơn", "Xã Tân Tiến", None, 1, 1),
        (None, "Xã Chân Sơn", "02491", 1, 1),
        ("Huyện Hàm Yên", "Xã Tân Thành", "02401", 0, 1),
        (None, "Xã Tân Thành", None, 1, 1),
    ]

    def dress(sheet: Worksheet) -> None:
        sheet.merge_cells("A2:A3")
        sheet.merge_cells("A4:A5")

    return book(rows, dress)


def _merged_counts() -> bytes:
    # one count for two communes: nobody knows how much of it belongs to which
    return book([HEADINGS, SON_PHU, ("02263", "Xã Khau Tinh", 1, 1), ("02281", "Xã Năng Khả", None, 1)], lambda s: s.merge_cells("C3:C4"))


def _merged_indicators() -> bytes:
    rows: list[Row] = [
        ("Chỉ tiêu", "Mã xã", "Đã phủ", "Tổng số"),
        ("postal.staffed_point", "02275", 0, 1),
        (None, "02263", 1, 1),
        ("Điểm phục vụ bưu chính có người phục vụ được kết nối mạng", "02263", 1, 1),
    ]
    return book(rows, lambda sheet: sheet.merge_cells("A2:A3"))


def _hidden() -> bytes:
    def dress(sheet: Worksheet) -> None:
        sheet.row_dimensions[3].hidden = True
        sheet.column_dimensions["B"].hidden = True
        sheet.column_dimensions["D"].hidden = True

    return book([HEADINGS, *THREE], dress)


def _dressed() -> bytes:
    def dress(sheet: Worksheet) -> None:
        sheet.freeze_panes = "C2"
        sheet.auto_filter.ref = "A1:D4"
        sheet.auto_filter.add_filter_column(2, ["1"])
        sheet.row_dimensions[2].hidden = True  # what the filter hides
        sheet["C2"].comment = Comment("Bưu điện tỉnh: chỉ có thùng thư", "Sở TT&TT")
        counts = DataValidation(type="whole", operator="between", formula1="0", formula2="1")
        counts.add("C2:D4")
        sheet.add_data_validation(counts)
        sheet["A2"].number_format = "@"
        sheet.print_title_rows = "1:1"

    return book([HEADINGS, *THREE], dress)


def _totals() -> bytes:
    rows: list[Row] = [
        ("STT", *HEADINGS),
        ("I", None, "Huyện Na Hang", 2, 3),
        (1, *SON_PHU),
        (2, *KHAU_TINH),
        (3, *NANG_KHA),
        ("Tổng cộng", None, None, 2, 3),
        (None, None, "Cộng:", 2, 3),
        (None, "TỔNG SỐ TOÀN TỈNH", None, 2, 3),
        (),
        (None, None, None, "Tuyên Quang, ngày 05 tháng 7 năm 2023"),
        (None, "Người lập biểu", None, "Thủ trưởng đơn vị"),
        (None, "(Ký, họ tên)", None, "(Ký, đóng dấu)"),
    ]
    return book(rows, lambda sheet: sheet.merge_cells("A6:C6"))


def _two_tables() -> bytes:
    rows: list[Row] = [
        ("Chỉ tiêu: postal.staffed_point",),
        HEADINGS,
        SON_PHU,
        KHAU_TINH,
        ("Cộng", None, 1, 2),
        (),
        ("Chỉ tiêu: postal.points_online",),
        ("Tên xã", "Mã xã", "Tổng số", "Đã phủ"),
        ("Xã Năng Khả", "02281", 3, 2),
    ]
    return book(rows)


def _cover_page() -> bytes:
    return sheets(
        {
            "Bìa": [("SỞ THÔNG TIN VÀ TRUYỀN THÔNG",), ("Báo cáo tháng 6 năm 2023",)],
            "Điểm bưu chính": [("Chỉ tiêu", "postal.staffed_point"), (), HEADINGS, SON_PHU],
            "Trực tuyến": [("Chỉ tiêu", "postal.points_online"), (), HEADINGS, KHAU_TINH],
            "Trống": [],
        }
    )


def _formulas_without_values() -> bytes:
    rows: list[Row] = [
        HEADINGS,
        SON_PHU,
        ("02263", "Xã Khau Tinh", "=1+0", 1),
        ("02281", "Xã Năng Khả", 1, "=D2"),
        ("", "Cộng", "=SUM(C2:C4)", 3),
    ]
    return book(rows)


def _errors() -> bytes:
    return book([HEADINGS, ("02275", "Xã Sơn Phú", "#N/A", 1), ("#REF!", "Xã Khau Tinh", 1, 1), ("02281", "#NAME?", 1, 1), KHAU_TINH])


def _percent() -> bytes:
    rows: list[Row] = [
        HEADINGS,
        ("02275", None, 0.993, 1),
        ("02263", None, "99,3 %", "100 %"),
        ("02281", None, "100%", 1),
        ("02284", None, 1, 1),
    ]

    def dress(sheet: Worksheet) -> None:
        for cell in ("C2", "D2", "C5", "D5"):
            sheet[cell].number_format = "0.0%"

    return book(rows, dress)


def _percent_only() -> bytes:
    return book([("Mã xã", "Tên xã", "Tỷ lệ phủ (%)"), ("02275", "Xã Sơn Phú", 99.3), ("02263", "Xã Khau Tinh", 100)])


def _names_as_codes() -> bytes:
    return book([HEADINGS, ("Xã Sơn Phú", None, 0, 1), ("Khau Tinh", "02263", 1, 1), ("Xã Tân Tiến", None, 1, 1), NANG_KHA])


def _booleans() -> bytes:
    rows: list[Row] = [
        HEADINGS,
        ("02275", None, False, True),
        ("02263", None, True, 1),
        ("02281", None, "Có", 1),
        ("02284", None, "x", 1),
        (True, None, 1, 1),
    ]
    return book([*rows, ("02248", None, 1, 1)])


def _invisible() -> bytes:
    codes = [f"02275{NBSP}", f"{ZERO_WIDTH}02263", f"02281 {BYTE_ORDER_MARK}", f"022{WORD_JOINER}84", "\t02248\n", "０２２５４"]
    names = [f"Xã{NBSP}Sơn Phú ", f"Xã Khau{ZERO_WIDTH} Tinh", "Xã  Năng  Khả", "XÃ THANH TƯƠNG", "Xã Yên\nHoa", "Xã Hồng Thái"]
    rows = [(f"Mã{NBSP}xã ", f"{ZERO_WIDTH}Tên xã", "Đã\nphủ", f"Tổng{NBSP}số")]
    return book([*rows, *((code, name, f"1{NBSP}", f"{ZERO_WIDTH}1") for code, name in zip(codes, names, strict=True))])


def _own_form() -> bytes:
    rows: list[Row] = [
        ("BÁO CÁO NỘI BỘ - Nhà mạng A",),
        ("Site cluster", "Commune ID", "Pop. 4G", "Pop. total", "As of", "Remark"),
        ("TQG-017", 2275, "2.105", 2310, "30/06/2023", "ok"),
        ("TQG-018", 2263, 1980, "2.010", "30/06/2023", None),
    ]
    return book(rows)


def _offset() -> bytes:
    return book([(), (), (), (), *((None, None, *row) for row in (HEADINGS, SON_PHU, (*KHAU_TINH[:2], "một", 1)))])


def _hidden_sheet() -> bytes:
    workbook = Workbook()
    shown, hidden = workbook.worksheets[0], workbook.create_sheet("Nháp")
    shown.title = "Biểu 1"
    hidden.sheet_state = "hidden"
    for row in (HEADINGS, SON_PHU):
        shown.append(list(row))
    # states otherwise what the first sheet has stated, and one thing more
    for row in (HEADINGS, (*SON_PHU[:2], 1, 1), KHAU_TINH):
        hidden.append(list(row))
    return saved(workbook)


def _labels() -> bytes:
    rows: list[Row] = [("Đơn vị báo cáo: assumed-postal-reporter",), ("Ngày số liệu: 31/05/2023",), HEADINGS, SON_PHU]
    return book(rows)


def _two_reporters() -> bytes:
    return book([("Đơn vị báo cáo: operator-a",), HEADINGS, SON_PHU])


def _entities() -> bytes:
    laughs = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))

    def change(name: str, content: bytes) -> bytes:
        if name != "docProps/core.xml":
            return content
        return f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a0 "ha">{laughs}]>'.encode() + content.partition(b"?>")[2].replace(
            SAVED.encode(), b"&a11;"
        )

    return repacked(book([HEADINGS, *THREE]), change)


def _repeated_rows() -> bytes:
    # as LibreOffice writes a sheet whose whole columns have a format: the empty rest of 1,048,576 rows
    return ods(
        ods_row(*HEADINGS)
        + ods_row("02275", "Xã Sơn Phú", 0, 1)
        + ods_row("02263", "Xã Khau Tinh", 1, 1, times=3)
        + ods_row("", times=1_048_571)
    )


FILES: dict[str, bytes] = {
    "utf-8.csv": _utf_8(),
    "utf-8-bom.csv": _utf_8_bom(),
    "utf-16.csv": b"\xff\xfe" + lines([HEADINGS, *THREE], "\t").encode("utf-16-le"),
    "semicolons.csv": _semicolons(),
    "tabs.csv": lines([HEADINGS, *THREE], "\t").encode(),
    "sep-line.csv": ("sep=;\r\n" + lines([HEADINGS, *THREE], ";")).encode(),
    "thousands.csv": _thousands(),
    "written-dates.csv": _written_dates(),
    "codes-as-text.csv": _codes_as_text(),
    "nfd.csv": unicodedata.normalize("NFD", lines([(*HEADINGS, "Thôn chưa phủ"), (*SON_PHU, "Bản Lãm"), (*KHAU_TINH, "")])).encode(),
    "nul.csv": _nul(),
    "unclosed-quote.csv": _unclosed_quote(),
    "ragged.csv": _ragged(),
    "contradictions.csv": _contradictions(),
    "duplicates.csv": _duplicates(),
    "out-of-range.csv": _out_of_range(),
    "mixed.csv": _mixed(),
    "without-accents.csv": lines([("MA XA", "Ten xa", "DA PHU", "tong so"), *THREE]).encode(),
    "english.csv": lines([("Commune code", "Commune", "Covered", "Expected", "observed_at"), (*SON_PHU, "2023-05-31")]).encode(),
    "two-of-one.csv": lines([("Mã xã", "Đã phủ", "Đã phủ", "Tổng số"), ("02275", 0, 1, 1)]).encode(),
    "no-counts.csv": lines([("Mã xã", "Tên xã"), ("02275", "Xã Sơn Phú")]).encode(),
    "empty.csv": b"",
    "blank.csv": b"\xef\xbb\xbf\r\n \r\n;;;\r\n",
    "headings-only.csv": lines([HEADINGS]).encode(),
    "rubbish.csv": bytes(range(128, 256)) * 8,
    "old-mac.csv": lines([HEADINGS, *THREE], end="\r").encode(),
    "serial-dates.xlsx": _serial_dates(),
    "calendar-1904.xlsx": calendar_1904(),
    "codes-as-numbers.xlsx": _codes_as_numbers(),
    "merged-headings.xlsx": _merged_headings(),
    "merged-districts.xlsx": _merged_districts(),
    "merged-counts.xlsx": _merged_counts(),
    "merged-indicators.xlsx": _merged_indicators(),
    "hidden.xlsx": _hidden(),
    "dressed.xlsx": _dressed(),
    "totals.xlsx": _totals(),
    "two-tables.xlsx": _two_tables(),
    "cover-page.xlsx": _cover_page(),
    "quoted-name.xlsx": sheets({"Biểu \"02\" - 'xã' & thôn <6>": [HEADINGS, SON_PHU, (*KHAU_TINH[:2], "một", 1)]}),
    "formulas-without-values.xlsx": _formulas_without_values(),
    "errors.xlsx": _errors(),
    "percent.xlsx": _percent(),
    "percent-only.xlsx": _percent_only(),
    "names-as-codes.xlsx": _names_as_codes(),
    "booleans.xlsx": _booleans(),
    "invisible.xlsx": _invisible(),
    "typed-fractions.xlsx": book([HEADINGS, ("02275", None, 1.234, 1234), ("02263", None, "1.234", 1234), ("02281", None, 12.0, 1e3)]),
    "own-form.xlsx": _own_form(),
    "offset.xlsx": _offset(),
    "hidden-sheet.xlsx": _hidden_sheet(),
    "labels.xlsx": _labels(),
    "two-reporters.xlsx": _two_reporters(),
    "entities.xlsx": _entities(),
    "empty.xlsx": book([]),
    "headings-only.xlsx": book([HEADINGS]),
    "truncated.xlsx": book([HEADINGS, *THREE])[:3000],
    "text.xlsx": lines([HEADINGS, *THREE]).encode(),
    "web-page.xls": "<html><table><tr><td>Mã xã</td></tr></table></html>".encode(),
    "not-a-workbook.xlsx": saved(Workbook()).replace(b"xl/workbook.xml", b"xl/workbook.xmk"),
    "repeated-rows.ods": _repeated_rows(),
}
"""Every file that is made here, by name."""


def main() -> None:
    """Write every file into this folder."""
    for name, content in FILES.items():
        (HERE / name).write_bytes(content)


if __name__ == "__main__":
    main()
