"""Which words over a column, or before a colon, name which field of a statement.

Comes in: the text of headings, or a reporter's own mapping. Goes out: the field of each column. Owns no state beyond the table of words.
A heading that could be two fields is a `CellError`; one that names none is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from producers.sheets.cells import Text, Value, folded

_WORDS: dict[str, str] = {
    "commune": "commune, mã xã, mã, mã số, mã số xã, mã phường, mã xã phường, mã phường xã, mã xã/phường/thị trấn, mã xã phường tt, "
    "maxa, mã đơn vị, mã đơn vị hành chính, mã đvhc, mã đvhc cấp xã, mã gso, mã tctk, mã địa bàn, mã xp, commune code, "
    "code, ward code, unit code, mã hành chính, mã xã theo tctk",
    "commune_name": "commune name, tên xã, xã, phường, xã/phường, phường/xã, xã/phường/thị trấn, tên xã/phường, tên xã/phường/thị trấn, xã "
    "phường tt, tên phường xã, tên đơn vị, tên đơn vị hành chính, đơn vị hành chính, đơn vị hành chính cấp xã, tên đvhc, "
    "địa bàn, tên, địa phương, name, ward, commune ward, đơn vị, tên địa bàn, tên commune",
    "district": "district, huyện, tên huyện, huyện/thành phố, huyện/thị xã/thành phố, quận/huyện, tên huyện/thành phố, huyện tp, county",
    "indicator": "indicator, indicator id, chỉ tiêu, mã chỉ tiêu, tên chỉ tiêu, nội dung báo cáo, chỉ số",
    "covered": "covered, đã phủ, đã phủ sóng, được phủ, được phủ sóng, có phủ sóng, phủ sóng, có sóng, đã có sóng, đạt, đã đạt, có, đã "
    "có, thực hiện, số lượng đã phủ, covered count, number covered, đã kết nối, được kết nối, đã phục vụ",
    "expected": "expected, tổng, tổng số, tổng cộng, phải phủ, cần phủ, số phải phủ, mẫu số, số thôn, số hộ, số dân, dân số, số điểm, "
    "expected count, total, tổng dân số, tổng số thôn bản, tổng số nhân khẩu, nhân khẩu",
    "uncovered": "uncovered, uncovered places, uncovered villages, chưa phủ, chưa phủ sóng, chưa có sóng, thôn chưa phủ, thôn chưa phủ "
    "sóng, thôn chưa có sóng, các thôn chưa phủ, các thôn chưa có sóng, tên thôn chưa phủ, tên thôn chưa có sóng, tên các "
    "thôn chưa phủ, tên các thôn chưa có sóng, tên thôn chưa phủ sóng, tên các thôn chưa phủ sóng, danh sách thôn chưa phủ, "
    "danh sách thôn chưa có sóng, nơi chưa phủ, nơi chưa phủ sóng, tên nơi chưa phủ, thôn trắng sóng, trắng sóng, tên thôn "
    "trắng sóng, điểm chưa phủ, vùng lõm, thôn lõm sóng, nơi còn thiếu, còn thiếu, thôn bản chưa phủ, thôn bản chưa có "
    "sóng, villages without a signal, not covered",
    "measured": "measured, measured places, places measured, nơi đã đo, nơi đo, thôn đã đo, thôn đo, điểm đo, các thôn đã đo, địa điểm đo",
    "observed_at": "observed at, ngày số liệu, kỳ, kỳ báo cáo, kỳ số liệu, ngày, thời điểm, thời điểm số liệu, ngày chốt số liệu, số liệu "
    "đến ngày, số liệu tính đến ngày, số liệu tính đến, tính đến, tính đến ngày, as of, date, period, observation date, "
    "tháng, quý, năm, ngày quan sát, ngày đo",
    "until": "until, đến ngày, đến hết ngày, tạm thời đến, tạm thời đến ngày, dự kiến khôi phục, ngày khôi phục, hết ngày",
    "time": "time, ngày báo cáo, thời gian báo cáo, thời điểm báo cáo, ngày lập, ngày lập biểu, ngày gửi, report date, reported at, ngày",
    "method": "method, cách biết, phương pháp, phương thức, hình thức, cách thu thập",
    "operator": "operator, nhà mạng, doanh nghiệp, doanh nghiệp viễn thông, nhà cung cấp, đơn vị cung cấp, provider",
    "source": "source, đơn vị báo cáo, người báo cáo, cơ quan báo cáo, nguồn báo cáo, nguồn, reporter, reported by, mã đơn vị báo "
    "cáo, đơn vị",
    "origin": "origin, nguồn gốc, nguồn gốc số liệu, loại số liệu, tính chất số liệu, nguồn",
    "vintage": "vintage, danh mục, danh mục xã, danh mục đvhc, danh mục hành chính, list of communes, register",
}
_IGNORED = (
    "note, notes, ghi chú, remark, remarks, diễn giải, stt, tt, số tt, số thứ tự, no, lý do từ chối, tỷ lệ, tỉ lệ, tỷ lệ "
    "phần trăm, percent, ratio, percentage, kỳ trước, số kỳ trước, giá trị kỳ trước, last value, định nghĩa"
)
REASON_HEADING = "Lý do từ chối (reject reason)"
"""Over the last column of a rejects file; ignored when the file comes back."""

LABELS = ("source", "indicator", "observed_at", "time", "method", "operator", "origin", "vintage")
"""What may stand above a table as "label: value"."""
COUNTS = ("covered", "expected")
# what counts are of: left out where the rest of a heading says enough ("Số thôn đã phủ" as "Đã phủ")
_COUNTED = frozenset(["so", "thon", "ban", "xom", "to", "ho", "nguoi", "dan", "diem", "luong", "gia", "dinh", "khu"])

_FIELDS: dict[str, tuple[str, ...]] = {}
for _field, _spellings in _WORDS.items():
    for _spelling in dict.fromkeys(map(folded, _spellings.split(", "))):
        _FIELDS[_spelling] = (*_FIELDS.get(_spelling, ()), _field)
IGNORED = frozenset(folded(text) for text in _IGNORED.split(", ")) | {""}
"""Headings that are known to say nothing that is read."""

Headings = dict[str, int]
"""Field -> number of its column, from 0."""


@lru_cache(4096)
def fields_of(text: str) -> tuple[str, ...]:
    """The fields that a heading may mean; more than one: it is ambiguous."""
    key = folded(text)
    if key in _FIELDS:
        return _FIELDS[key]
    if key in IGNORED:
        return ()
    core = [word for word in key.split() if word not in _COUNTED]
    found = _FIELDS.get(" ".join(core), ()) if core and len(core) < len(key.split()) else ()
    if len(found) == 1 and found[0] in COUNTS:
        return found
    halves = [_FIELDS.get(folded(half), ()) for half in text.split("/")]
    # "Đã phủ/Tổng số" holds two figures; which one is meant nobody can tell
    several = {half[0] for half in halves if len(half) == 1}
    return tuple(sorted(several)) if len(several) > 1 and all(halves) else ()


class Heading:
    """The heading of one table, out of one row or two: which column is which field.

    `columns`: field -> number of the column; `texts`: what stands over each column; `unknown`: the texts of columns that are left out.
    `problems`: (heading, sentence) of what is wrong with it.
    """

    def __init__(self, rows: Sequence[Sequence[Value]], mapping: Mapping[str, str] | None) -> None:
        self.texts = _texts(rows)
        self.columns: Headings = {}
        self.unknown: list[str] = []
        self.problems: list[tuple[str, Text]] = []
        wanted = None if mapping is None else {folded(heading): field for field, heading in mapping.items()}
        read = [_recognised(*texts) if wanted is None else _mapped(wanted, *texts) for texts in self.texts]
        codes = [number for number, fields in enumerate(read) if fields == ("commune",)]
        for number in codes if len(codes) > 1 else ():
            # alone "Commune" is the code, beside another code the name
            if folded(self.texts[number][0]) == "commune":
                read[number] = ("commune_name",)
        for number, ((whole, child, _), fields) in enumerate(zip(self.texts, read, strict=True)):
            if len(fields) > 1:
                both = ", ".join(fields)
                self.problems.append(
                    (
                        whole,
                        Text(
                            f"tiêu đề này có thể là nhiều cột ({both}); viết rõ hơn, xem docs/sheets.md",
                            f"this heading may mean several columns ({both}); make it plainer, see docs/sheets.md",
                        ),
                    )
                )
            elif not fields:
                if whole and folded(whole) not in IGNORED and folded(child) not in IGNORED - {""}:
                    self.unknown.append(whole)
            elif fields[0] in self.columns:
                other = self.texts[self.columns[fields[0]]][0]
                self.problems.append(
                    (
                        whole,
                        Text(
                            f'cùng là cột {fields[0]} như "{other}"; bỏ một cột hoặc đổi tiêu đề',
                            f'is a column of {fields[0]}, and so is "{other}"; remove one of them or rename it',
                        ),
                    )
                )
            else:
                self.columns[fields[0]] = number

    @property
    def found(self) -> int:
        """How many columns are recognised."""
        return len(self.columns)

    @property
    def is_table(self) -> bool:
        """Whether this is the heading of a table at all: it names communes, and something that is counted."""
        named = {*self.columns, *(field for text, *_ in self.texts for field in fields_of(text))} if self.problems else set(self.columns)
        return bool(named & {"commune", "commune_name"}) and bool(named & {"covered", "expected"})


def _texts(rows: Sequence[Sequence[Value]]) -> list[tuple[str, str, str]]:
    """(whole, child, parent) of each column; a parent stands over its column and the empty ones to its right."""
    plain = [[" ".join(cell.split()) if isinstance(cell, str) else "" for cell in row] for row in rows]
    width = max(map(len, plain), default=0)
    padded = [row + [""] * (width - len(row)) for row in plain]
    if len(padded) == 1:
        return [(text, text, "") for text in padded[0]]
    parents, children = padded
    texts = []
    over = ""
    for parent, child in zip(parents, children, strict=True):
        over = parent or (over if child else "")
        whole = f"{over} {child}".strip() if child != over else child
        texts.append((whole, child, over))
    return texts


def _recognised(whole: str, child: str, parent: str) -> tuple[str, ...]:
    found = fields_of(whole) or fields_of(child)
    # the parent's text alone only where nothing, or only a unit, stands under it
    return found or (fields_of(parent) if not folded(child) else ())


def _mapped(wanted: Mapping[str, str], whole: str, child: str, parent: str) -> tuple[str, ...]:
    for text in (whole, child, parent if not folded(child) else ""):
        if (key := folded(text)) and key in wanted:
            return (wanted[key],)
    return ()


def label_of(text: str) -> str:
    """The field that a label above a table names, or ""."""
    found = fields_of(text)
    # "Đơn vị: thôn" says what is counted, "Nguồn: …" stands under every table: what is not plain is no label
    return found[0] if len(found) == 1 and found[0] in LABELS else ""


FIELDS = tuple(_WORDS)
"""Every field that a column may hold."""
