"""Why a commune counts as it does: which statement decided each operator's view, how the views were united, what would change it.

Comes in: a commune's line of evidence, the obligations that bind, and the views and the value that the core made of them. Goes out:
sentences in Vietnamese and English. Owns no state; decides nothing: every rule stands in phusong/views.py and phusong/unions.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from fractions import Fraction

from msgspec import Struct

from feed.text import day, number, percent
from phusong.events import Method, Stated
from phusong.evidence import order
from phusong.indicators import Indicator, Obligation, Union
from phusong.periods import one_after
from phusong.register import Extent
from phusong.rows import Mark
from phusong.unions import Value
from phusong.views import Line, Said, View


class Text(Struct, frozen=True):
    """A sentence in both languages."""

    vi: str
    en: str


Whys = dict[int, Text]
"""id() of an event that stands -> what it does. The caller keeps the events alive."""


def of_view(line: Line, operator: str, seen: View) -> Text:
    """How the operator's view came about, in one sentence."""
    said = line.said.get(operator)
    deciding = _deciding(said, seen)
    if said is None or (deciding is None and not said.emptied):
        return _inherited(line, seen) if seen.known or seen.sized else Text("chưa từng báo cáo", "never reported")
    if deciding is None:
        size = number(seen.expected, "vi"), number(seen.expected, "en")
        return Text(f"đã rút báo cáo: chưa rõ; quy mô báo lần cuối {size[0]}", f"withdrawn: unknown; the size last stated is {size[1]}")
    if _stood_against(said, deciding):
        return Text("kết quả đo toàn xã đứng vững trước khai báo cao hơn", "a whole measurement stands against a higher declaration")
    method = Text("kết quả đo", "a measurement") if deciding.data.method is Method.MEASURED else Text("khai báo", "a declaration")
    if len(said.declared) + len(said.measured) == 1:
        return Text(f"{method.vi}, báo cáo lâu dài duy nhất", f"{method.en}, the only lasting statement")
    return Text(f"{method.vi}, được quan sát sau cùng", f"{method.en}, the latest observed")


def of_statements(line: Line, operator: str, seen: View | None, as_of: datetime) -> Whys:
    """What each statement that stands does, in this unit and in those that it was made of; `seen` None: nobody is obliged."""
    whys: Whys = {}
    said = line.said.get(operator)
    if said is not None:
        _of_lasting(whys, line, operator, seen)
        _of_temporary(whys, said, seen, as_of)
        for place, event in said.partial:
            _join(whys, event, _of_place(line, place, event, seen, as_of))
        for event in said.petitions:
            settled = any(order(one) > order(event) for one in said.measured)
            _join(whys, event, _SETTLED if settled else _PETITION)
        for event in said.emptied:
            _join(whys, event, _TAKEN_BACK)
    decisive = set() if seen is None else {id(event) for event in seen.statements}
    for before, extent in line.before:
        inherited = of_statements(before, operator, seen, as_of)
        for event_id, why in inherited.items():
            whys[event_id] = why if event_id in decisive or seen is None else _of_predecessor(said, seen, extent, why)
    return whys


def of_union(indicator: Indicator, views: Mapping[str, View], value: Value, as_of: datetime) -> Iterator[Text]:
    """How the operators' views became one value, and what opens its interval."""
    known = {operator: seen for operator, seen in views.items() if seen.known}
    if not views:
        yield Text("không ai có nghĩa vụ báo cáo vào lúc này: chưa rõ", "nobody is obliged to report at this moment: unknown")
        return
    if not value.applicable:
        yield Text(
            "không có gì để phủ (0 trên 0): không áp dụng, trọng số 0", "there is nothing to cover (0 of 0): not applicable, weight 0"
        )
        return
    if known:
        yield _RULES[indicator.union]
        yield from _chosen(indicator.union, known, value)
        if indicator.union is Union.PLACES:
            yield from _of_names(value)
    silent = [operator for operator, seen in views.items() if not seen.known]
    if silent:
        names = ", ".join(silent)
        yield Text(f"{names} chưa báo cáo: cận trên để ngỏ 100 %", f"{names} not known: the upper bound stays at 100 %")
    stale = [operator for operator, seen in known.items() if not seen.fresh(as_of)]
    if stale:
        names = ", ".join(stale)
        yield Text(
            f"{names} quá hạn: vẫn tính vào tỷ lệ và cận trên, không tính vào cận dưới",
            f"{names} stale: counts in the ratio and the upper bound, not in the lower one",
        )
    if value.basis:
        yield Text(
            "quy mô báo cáo khác danh mục hoặc khác nhau: cận dưới chia cho số lớn hơn",
            "a size was stated unlike the register's or another's: the lower bound divides by the larger",
        )
    if not value.sized and known:
        yield Text(
            "một phần địa bàn chưa rõ: cận trên 100 %, cận dưới 0", "a part of the territory is unknown: upper bound 100 %, lower bound 0"
        )


def of_bound(indicator: Indicator, high: float, *, exceeds: bool) -> Text:
    """What the indicator that this one cannot exceed does."""
    vi = f"không vượt quá {indicator.at_most} (cận trên {percent(high, 'vi')})"
    en = f"cannot exceed {indicator.at_most} (upper bound {percent(high, 'en')})"
    return Text(f"{vi}: bị giới hạn ở đó", f"{en}: capped there") if exceeds else Text(vi, en)


def changes(line: Line, operator: str, seen: View, as_of: datetime) -> Iterator[Text]:
    """What would change the operator's view."""
    said = line.said.get(operator)
    deciding = _deciding(said, seen)
    if not seen.known:
        yield Text(
            f"{operator}: báo cáo đầu tiên (hoặc báo cáo mới sau khi rút) khép lại khoảng",
            f"{operator}: its first report (or a new one after a withdrawal) narrows the interval",
        )
    elif seen.fresh_until is not None:
        vi, en = day(seen.fresh_until, "vi"), day(seen.fresh_until, "en")
        if seen.fresh(as_of):
            yield Text(f"{operator}: quá hạn từ {vi} nếu không có báo cáo mới", f"{operator}: goes stale on {en} without a newer report")
        else:
            yield Text(
                f"{operator}: quá hạn từ {vi}; báo cáo mới đưa số này trở lại cận dưới",
                f"{operator}: stale since {en}; a newer report brings it back into the lower bound",
            )
    if said is not None and deciding is not None and deciding.data.method is Method.MEASURED:
        free = one_after(line.indicator.period, deciding.data.observed_at)
        yield Text(
            f"{operator}: khai báo cao hơn kết quả đo chỉ được tính nếu quan sát từ {day(free, 'vi')}, hoặc có lần đo mới",
            f"{operator}: a declaration above the measurement counts only if observed from {day(free, 'en')} on, or after another one",
        )
    for turn in sorted(set(seen.turns)):
        if turn > as_of:
            yield Text(
                f"{operator}: trạng thái tạm thời hết ngày {day(turn, 'vi')}", f"{operator}: what is temporary ends on {day(turn, 'en')}"
            )
    if seen.gap:
        names = ", ".join(sorted(seen.gap.values()))
        yield Text(f"{operator}: cần chứng minh đã phủ: {names}", f"{operator}: to be proven covered: {names}")


def turning(obligations: Sequence[Obligation], as_of: datetime) -> Iterator[Text]:
    """The obligations that begin or end later: they change who counts."""
    for one in sorted(obligations, key=lambda one: one.start):
        if one.start > as_of:
            yield Text(
                f"{day(one.start, 'vi')}: {one.reporter} bắt đầu có nghĩa vụ báo cáo",
                f"{day(one.start, 'en')}: {one.reporter} becomes obliged to report",
            )
        elif one.end is not None and one.end > as_of:
            yield Text(
                f"{day(one.end, 'vi')}: {one.reporter} hết nghĩa vụ báo cáo", f"{day(one.end, 'en')}: the obligation of {one.reporter} ends"
            )


_PETITION = Text(
    "kiến nghị không đổi số liệu, chỉ có thể đánh dấu tranh chấp", "a petition moves nothing, it may only mark the figure as contested"
)
_SETTLED = Text("kiến nghị: đã có lần đo sau đó", "a petition: measured since")
_TAKEN_BACK = Text("đã rút: chỉ còn quy mô của nó được dùng làm trọng số", "taken back: only its size still weighs")
_NOT_OBLIGED = Text(
    "không có nghĩa vụ nào đang hiệu lực về nhà cung cấp này: không tính", "no obligation about this operator is in force: does not count"
)
_RULES = {
    Union.LATEST: Text("lấy báo cáo được quan sát sau cùng", "the view observed last counts"),
    Union.LARGEST: Text("lấy nhà cung cấp có tỷ lệ lớn nhất (ITU 9.c.1)", "the operator with the largest share counts (ITU 9.c.1)"),
    Union.ANY: Text(
        "được ít nhất một nhà cung cấp phủ: ít nhất bằng nhà lớn nhất, nhiều nhất bằng tổng",
        "covered by any operator: at least the largest one, at most all of them together",
    ),
    Union.PLACES: Text(
        "một thôn chỉ bị coi là chưa phủ khi mọi nhà cung cấp đều chưa phủ",
        "a village is uncovered when every operator leaves it uncovered",
    ),
    Union.SUM: Text(
        "cộng số đã phủ của các nhà cung cấp, tối đa bằng quy mô chung", "what the operators cover adds up, at most to the size they share"
    ),
    Union.POOL: Text("cộng cả số đã phủ lẫn quy mô của các nhà cung cấp", "covered and expected of the operators both add up"),
}


def _deciding(said: Said | None, seen: View | None) -> Stated | None:
    """The lasting statement on the whole unit that the view rests on."""
    if said is None or seen is None:
        return None
    lasting = {id(event) for event in (*said.declared, *said.measured)}
    return next((event for event in seen.statements if id(event) in lasting), None)


def _stood_against(said: Said, deciding: Stated) -> list[Stated]:
    """The declarations after the deciding statement: only a measurement before them keeps them out."""
    return [event for event in said.declared if order(event) > order(deciding)]


def _of_lasting(whys: Whys, line: Line, operator: str, seen: View | None) -> None:
    said = line.said[operator]
    deciding = _deciding(said, seen)
    for event in (*said.declared, *said.measured):
        if seen is None:
            why = _NOT_OBLIGED
        elif event is deciding:
            why = Text(f"quyết định số của {operator}", f"decides the figure of {operator}")
        elif deciding is not None and order(event) > order(deciding):
            measured = max((one for one in said.measured if order(one) <= order(event)), key=order)
            free = one_after(line.indicator.period, measured.data.observed_at)
            why = Text(
                f"cao hơn kết quả đo ngày {day(measured.data.observed_at, 'vi')}: không được tính nếu quan sát trước {day(free, 'vi')}",
                f"above the measurement of {day(measured.data.observed_at, 'en')}: counts only if observed from {day(free, 'en')} on",
            )
        else:
            why = Text("được quan sát trước báo cáo quyết định", "observed before the one that decides")
        _join(whys, event, why)


def _of_temporary(whys: Whys, said: Said, seen: View | None, as_of: datetime) -> None:
    for event in said.temporary:
        until = event.data.until
        if seen is None or until is None:
            why = _NOT_OBLIGED
        elif any(event is one for one in seen.statements):
            vi, en = "tạm thời, đã hết hạn: số nhỏ hơn được tính", "temporary and over: the lesser value counts"
            why = Text(vi, en)
        elif as_of < until:
            vi = f"tạm thời đến {day(until, 'vi')}: số lâu dài vẫn được tính, đánh dấu gián đoạn"
            why = Text(vi, f"temporary until {day(until, 'en')}: the lasting value counts, marked interrupted")
        else:
            why = Text("tạm thời: đã có báo cáo lâu dài sau đó", "temporary: a lasting statement came after it")
        _join(whys, event, why)


def _of_place(line: Line, place: str, event: Stated, seen: View | None, as_of: datetime) -> Text:
    key = line.places.get(place, place)
    name = next((one for one in event.data.measured or () if line.key(one) == key), place)
    if seen is None:
        return _NOT_OBLIGED
    if not any(line.key(one) == key for one in event.data.uncovered or ()):
        return Text(f"đo thấy {name} có phủ: không bớt thôn nào đã khai là chưa phủ", f"{name} measured lit: removes nothing")
    if any(event is one for one in seen.statements):
        return Text(f"đo thấy {name} chưa phủ: thêm vào số chưa phủ", f"{name} measured dark: added to the uncovered")
    until = event.data.until
    if until is not None and as_of < until:
        vi, en = f"{name} mất sóng tạm thời đến {day(until, 'vi')}", f"{name} dark for a time, until {day(until, 'en')}"
        return Text(vi, en)
    if key in seen.gap:
        return Text(f"{name} đã nằm trong số chưa phủ", f"{name} is among the uncovered already")
    return Text(f"{name}: lần đo sau thấy có phủ", f"{name}: found lit by a later measurement")


def _of_predecessor(said: Said | None, seen: View, extent: Extent, why: Text) -> Text:
    if extent is Extent.PART:
        return Text(
            "chỉ một phần xã cũ nhập vào xã này: phần đó chưa rõ", "only a part of the former commune came here: nothing is known of it"
        )
    if said is not None and (_deciding(said, seen) is not None or said.emptied):
        return Text("xã mới đã có báo cáo riêng", "the new commune has statements of its own")
    return why


def _inherited(line: Line, seen: View) -> Text:
    whole = [before.unit for before, extent in line.before if extent is Extent.WHOLE]
    part = [before.unit for before, extent in line.before if extent is Extent.PART]
    names = ", ".join(f"{unit.name} ({unit.code}, {unit.vintage})" for unit in whole)
    missing = ", ".join(f"{unit.name} ({unit.code})" for unit in part)
    if not seen.known:
        return Text(f"kế thừa từ {names}: đã rút báo cáo", f"inherited from {names}: withdrawn")
    vi, en = f"kế thừa từ {names}", f"inherited from {names}"
    return Text(f"{vi}; chưa rõ một phần của {missing}", f"{en}; a part of {missing} is unknown") if part else Text(vi, en)


def _chosen(union: Union, known: Mapping[str, View], value: Value) -> Iterator[Text]:
    """Which of several operators the ratio is taken from, where it is one."""
    if len(known) < 2 or union not in (Union.LATEST, Union.LARGEST, Union.ANY):
        return
    for operator, seen in known.items():
        counts = any(part is seen for part in value.parts) and seen.expected > 0
        if counts and Fraction(seen.covered, seen.expected) == value.ratio:
            yield Text(f"đó là {operator}", f"that is {operator}")
            return


def _of_names(value: Value) -> Iterator[Text]:
    if len(value.parts) < 2:
        return
    unnamed = [part for part in value.parts if not part.named]
    names = sorted({name for part in value.parts for name in part.gap.values()})
    if unnamed:
        yield Text(
            "có nhà cung cấp không nêu đủ tên thôn: tỷ lệ lấy nhà có ít thôn chưa phủ nhất",
            "an operator does not name every village: the ratio takes the operator that leaves fewest uncovered",
        )
    elif names:
        listed = ", ".join(names)
        yield Text(
            f"tên thôn được nêu: {listed}; chỉ tên có trong danh mục thôn mới được đối chiếu từng thôn",
            f"villages named: {listed}; only names that are rows of the register are compared one by one",
        )


def _join(whys: Whys, event: Stated, why: Text) -> None:
    """A partial measurement stands once for each place that it visited."""
    held = whys.get(id(event))
    if held is not None and held != why:
        why = Text(f"{held.vi}; {why.vi}", f"{held.en}; {why.en}")
    whys[id(event)] = why


def of_marks(marks: Sequence[Mark]) -> list[Text]:
    """What each mark means."""
    return [_MARKS[mark] for mark in marks]


_MARKS = {
    Mark.CONFLICT: Text(
        "mâu thuẫn: đo và khai báo lệch quá dung sai, hoặc vượt chỉ tiêu giới hạn",
        "conflict: measured and declared differ, or it exceeds its bound",
    ),
    Mark.CONTESTED: Text(
        "tranh chấp: có kiến nghị thấp hơn chưa được đo kiểm", "contested: a petition claims less and nothing was measured since"
    ),
    Mark.INTERRUPTED: Text("gián đoạn: một trạng thái tạm thời đang diễn ra", "interrupted: a temporary state is under way"),
    Mark.UNRESOLVED: Text(
        "hết hạn gián đoạn: trạng thái tạm thời đã quá hạn mà chưa có báo cáo lâu dài",
        "unresolved: a temporary state is past its end, and no lasting statement has followed",
    ),
    Mark.BASIS: Text("quy mô báo cáo khác danh mục", "basis: a size was stated unlike the register's"),
    Mark.IMPUTED: Text("chưa biết trọng số: lấy trung bình các xã đã biết", "imputed: the weight is not known, the mean stands in"),
    Mark.INHERITED: Text("kế thừa từ xã trước khi sắp xếp", "inherited from the communes before the merger"),
    Mark.ASSUMED: Text("số liệu hoặc trọng số giả định", "assumed: a statement or the weight is assumed"),
    Mark.SIMULATED: Text("số liệu mô phỏng", "simulated: a statement is simulated"),
    Mark.NOT_APPLICABLE: Text("không áp dụng: không có gì để phủ", "not applicable: there is nothing to cover"),
}
