"""What is chased: an operator's gaps, since when, promised for when, who asked, what is disputed, and who covers them instead."""

from __future__ import annotations

import io
from collections.abc import Iterable
from html.parser import HTMLParser
from typing import Any

import pytest
from python_calamine import CalamineWorkbook

from ops.chase import Chase, Gap, Heard, operator, provinces
from ops.chase_letter import letter
from ops.chase_sheet import sheet
from ops.chase_words import columns, counts, shown, summary, village
from phusong.admission import Admission
from phusong.events import Event, Method, Origin, Step
from phusong.rules import Rules
from phusong.settings import SettingsError
from tests import worlds
from tests.worlds import challenged, instant, obligation, promised, seed_texts, stated, succession, unit, vintage, withdrawn

MOBILE = worlds.MOBILE


def _rules(**changes: Any) -> Rules:
    indicators = (worlds.indicator(MOBILE, "quarter", base="villages", union="places"), worlds.indicator(worlds.POSTAL))
    obligations = (
        *(obligation(name, MOBILE, period="quarter") for name in ("operator-a", "operator-b")),
        obligation("post-office", worlds.POSTAL),
    )
    reporters = (
        *worlds.REPORTERS[:3],
        worlds.reporter("department", "operator-a operator-b post-office"),
        worlds.reporter("inspector", "operator-a operator-b"),
    )
    fields = {"indicators": indicators, "obligations": obligations, "targets": (), "communes": {"08": ("02263", "02275")}}
    return Rules.from_texts(seed_texts(**{**fields, "reporters": reporters, **changes}))


def _chased(
    events: Iterable[Event], *, rules: Rules | None = None, name: str = "operator-a", as_of: str = "2024-01-10", then: bool = False
) -> Chase:
    rules = rules or _rules()
    at = instant(as_of)
    listed = rules.register.vintage_at(at)
    assert listed is not None
    heard = Heard(rules, name, provinces(rules, listed, None), at, then=then)
    route = Admission(rules).route
    for event in events:
        heard.add(event, route(event))
    return heard.chase()


def _said(uncovered: Iterable[str] | None, observed_at: str, *, expected: int = 5, covered: int | None = None, **more: Any) -> Event:
    names = None if uncovered is None else tuple(uncovered)
    count = covered if covered is not None else expected - len(names or ())
    source = more.pop("source", "operator-a")
    return stated("02275", MOBILE, count, expected, observed_at, source=source, uncovered=names, time="2024-01-05T00:00Z", **more)


def _by_village(found: Chase) -> dict[str, Gap]:
    return {gap.village: gap for gap in found.gaps}


def test_each_named_village_is_a_row_and_what_has_no_name_is_one_with_its_count() -> None:
    found = _chased([_said(["Bản Lãm", "Nà Tạng"], "2023-09-30", covered=1)])
    assert [(gap.village, gap.unnamed, gap.covered, gap.expected) for gap in found.gaps] == [
        ("Bản Lãm", 0, 1, 5),
        ("Nà Tạng", 0, 1, 5),
        ("", 2, 1, 5),
    ]
    assert found.silent == 1, "the other commune was never reported on"
    assert counts(found.gaps, "en") == ("4", "0", "4", "0")


def test_whatever_is_covered_or_was_never_stated_is_no_gap() -> None:
    assert _chased([_said([], "2023-09-30")]).gaps == []
    assert _chased([]).gaps == []


def test_a_gap_stands_since_the_first_statement_after_which_none_said_covered() -> None:
    events = [
        _said(["Bản Lãm"], "2023-03-31"),
        _said([], "2023-06-30"),
        _said(["Bản Lãm"], "2023-09-30"),
        _said(["Bản Lãm", "Nà Tạng"], "2023-12-31"),
    ]
    for order in (events, list(reversed(events)), [*events, *events]):
        since = {name: gap.since for name, gap in _by_village(_chased(order)).items()}
        assert since == {"Bản Lãm": instant("2023-09-30"), "Nà Tạng": instant("2023-12-31")}


def test_neither_silence_nor_counts_alone_nor_a_withdrawal_ends_a_gap() -> None:
    events = [
        _said(["Bản Lãm"], "2023-03-31"),
        _said(None, "2023-06-30", covered=4),
        withdrawn("02275", MOBILE, "2023-09-30", source="operator-a", time="2023-10-01T00:00Z"),
        _said(["Bản Lãm"], "2023-12-31"),
    ]
    assert [gap.since for gap in _chased(events).gaps] == [instant("2023-03-31")]


def test_a_correction_of_an_old_statement_ends_the_gap_then() -> None:
    events = [_said(["Bản Lãm"], "2023-03-31"), _said(["Bản Lãm"], "2023-09-30")]
    late = stated("02275", MOBILE, 5, 5, "2023-03-31", source="operator-a", time="2024-01-06T00:00Z", uncovered=())
    assert [gap.since for gap in _chased([*events, late]).gaps] == [instant("2023-09-30")]


def test_a_village_measured_dark_is_a_gap_since_the_measurement_and_the_inspector_asked() -> None:
    measured = _said(
        ["Bản Lãm"], "2023-10-05", source="inspector", operator="operator-a", method=Method.MEASURED, measured=("Bản Lãm",), expected=1
    )
    (gap,) = _chased([_said([], "2023-09-30"), measured]).gaps
    assert (gap.village, gap.since) == ("Bản Lãm", instant("2023-10-05"))
    assert [(one.source, one.method, one.observed_at) for one in gap.asked] == [("inspector", Method.MEASURED, instant("2023-10-05"))]


def test_who_asked_are_the_petitions_about_the_village_in_any_spelling_of_its_kind() -> None:
    def petition(uncovered: Iterable[str], observed_at: str, **more: Any) -> Event:
        return _said(uncovered, observed_at, source="department", operator="operator-a", method=Method.PETITIONED, **more)

    found = _chased([_said(["Bản Lãm", "Nà Tạng"], "2023-09-30"), petition(["thôn Lãm"], "2023-10-02")])
    assert {name: [one.source for one in gap.asked] for name, gap in _by_village(found).items()} == {
        "Bản Lãm": ["department"],
        "Nà Tạng": [],
    }
    over = petition(["Bản Lãm"], "2023-10-02", until=instant("2023-11-01"))
    assert _by_village(_chased([_said(["Bản Lãm"], "2023-09-30"), over]))["Bản Lãm"].asked == ()


def test_a_postponed_promise_shows_both_dates_and_its_overdue_days_are_whole_days_of_vietnam() -> None:
    events: list[Event] = [
        _said(["Bản Lãm", "Nà Tạng"], "2023-09-30"),
        promised("02275", MOBILE, "2023-11-01", "2023-10-01", source="operator-a", places=("Bản Lãm",)),
        promised("02275", MOBILE, "2024-01-01", "2023-10-20", source="operator-a", places=("Bản Lãm",)),
    ]
    rows = _by_village(_chased(events, as_of="2024-01-10T23:00"))
    gap = rows["Bản Lãm"]
    assert (gap.promised_first, gap.promised, gap.days_overdue) == (instant("2023-11-01"), instant("2024-01-01"), 9)
    assert (rows["Nà Tạng"].promised_first, rows["Nà Tạng"].promised, rows["Nà Tạng"].days_overdue) == (None, None, None)
    just_past_midnight = _by_village(_chased(events, as_of="2024-01-09T17:30:00+00:00"))["Bản Lãm"]
    assert just_past_midnight.days_overdue == 9
    early = _by_village(_chased(events, as_of="2023-12-31"))["Bản Lãm"]
    assert early.days_overdue is None


def test_a_promise_for_the_whole_commune_holds_where_the_village_has_none_and_one_taken_back_says_so() -> None:
    events: list[Event] = [
        _said(["Bản Lãm", "Nà Tạng"], "2023-09-30"),
        promised("02275", MOBILE, "2024-06-30", "2023-10-01", source="operator-a"),
        promised("02275", MOBILE, "2024-02-01", "2023-10-02", source="operator-a", places=("Bản Lãm",)),
    ]
    assert [gap.promised for gap in _chased(events).gaps] == [instant("2024-02-01"), instant("2024-06-30")]
    own_back = promised("02275", MOBILE, None, "2023-11-02", source="operator-a", places=("Bản Lãm",))
    assert [gap.promised for gap in _chased([*events, own_back]).gaps] == [instant("2024-06-30")] * 2
    taken_back = promised("02275", MOBILE, None, "2023-11-02", source="operator-a")
    gap = _by_village(_chased([*events, taken_back]))["Nà Tạng"]
    assert (gap.promised_first, gap.promised) == (instant("2024-06-30"), None)
    cell = next(one.cell(gap) for one in columns(_rules(), "vi") if one.heading == "Nay hứa")
    assert cell == "đã rút"


def test_challenges_about_the_village_are_shown_where_they_stand_with_their_deadline() -> None:
    about: dict[str, Any] = {"indicator": MOBILE, "operator": "operator-a"}
    found = _chased(
        [
            _said(["Bản Lãm", "Nà Tạng"], "2023-09-30"),
            challenged("opened", "2023-10-01", **about, places=("Bản Lãm",), challenge="12/KN"),
            challenged("sent", "2023-10-02", **about, places=("Bản Lãm",), challenge="12/KN", deadline="2023-12-01"),
            challenged("opened", "2023-10-01", **{**about, "operator": "operator-b"}, challenge="13/KN"),
        ]
    )
    (one,) = _by_village(found)["Bản Lãm"].disputes
    assert (one.name, one.step, one.deadline, one.overdue) == ("12/KN", Step.SENT, instant("2023-12-01"), True)
    assert _by_village(found)["Nà Tạng"].disputes == ()


def test_what_another_operator_covers_stays_in_the_list_and_is_marked_so() -> None:
    mine = _said(["Bản Lãm", "Nà Tạng"], "2023-09-30", covered=2)
    named = _said(["Nà Tạng"], "2023-09-30", source="operator-b")
    counted = _said(None, "2023-09-30", source="operator-b", covered=4)
    everything = _said([], "2023-09-30", source="operator-b")
    assert [gap.covered_by for gap in _chased([mine, named]).gaps] == [("operator-b",), (), ()]
    assert [gap.covered_by for gap in _chased([mine, counted]).gaps] == [(), (), ()], "which one is missing is not known"
    assert [gap.covered_by for gap in _chased([mine, everything]).gaps] == [("operator-b",)] * 3


def test_a_gap_goes_through_a_merger_with_its_age_its_promise_and_its_petition() -> None:
    rules = _rules(
        vintages=(vintage(end="2024-01-01"), vintage("2024-01-01")),
        units=[unit("2020-01-01", "02263"), unit("2020-01-01", "02275"), unit("2024-01-01", "02263")],
        successions=[succession("2024-01-01", "02263", "02263"), succession("2024-01-01", "02263", "02275")],
    )
    events = [
        _said(["Bản Lãm"], "2023-03-31"),
        _said(["Bản Lãm"], "2023-09-30"),
        stated("02263", MOBILE, 4, 4, "2023-09-30", source="operator-a", uncovered=()),
        promised("02275", MOBILE, "2023-12-31", "2023-10-01", source="operator-a", places=("Bản Lãm",)),
        _said(["Bản Lãm"], "2023-10-02", source="department", operator="operator-a", method=Method.PETITIONED),
    ]
    (gap,) = _chased(events, rules=rules).gaps
    assert (gap.commune, gap.village, gap.covered, gap.expected) == ("02263", "Bản Lãm", 8, 9)
    assert (gap.since, gap.promised, gap.days_overdue) == (instant("2023-03-31"), instant("2023-12-31"), 10)
    assert [one.source for one in gap.asked] == ["department"]


def test_a_commune_without_its_point_is_one_row_for_the_whole_commune() -> None:
    (gap,) = _chased([stated("02275", covered=0)], name="post-office").gaps
    assert (gap.village, gap.unnamed, gap.since) == ("", 0, instant("2023-06-30"))
    assert next(one.cell(gap) for one in columns(_rules(), "en") if one.heading == "Village") == "the whole commune"


def test_asked_for_an_earlier_day_nothing_observed_later_is_known() -> None:
    events = [_said(["Bản Lãm"], "2023-06-30"), _said([], "2023-09-30")]
    assert _chased(events, as_of="2023-08-01").gaps == []
    assert [gap.village for gap in _chased(events, as_of="2023-08-01", then=True).gaps] == ["Bản Lãm"]


def test_a_row_is_of_the_worst_origin_of_anything_that_it_shows() -> None:
    real = _said(["Bản Lãm"], "2023-09-30")
    about: dict[str, Any] = {"source": "department", "operator": "operator-a", "method": Method.PETITIONED, "origin": Origin.SIMULATED}
    for more in (
        promised("02275", MOBILE, "2023-11-01", "2023-10-01", source="operator-a", origin=Origin.SIMULATED),
        challenged("opened", "2023-10-01", indicator=MOBILE, operator="operator-a", origin=Origin.SIMULATED),
        _said(["Bản Lãm"], "2023-10-02", **about),
        _said([], "2023-09-30", source="operator-b", origin=Origin.SIMULATED),
    ):
        assert [gap.origin for gap in _chased([real, more]).gaps] == [Origin.SIMULATED]
    assert _chased([real]).origin is Origin.REAL


def test_an_operator_or_a_province_that_is_none_is_told_with_those_that_are() -> None:
    rules = _rules()
    with pytest.raises(SettingsError, match="operator-a"):
        operator(rules, "operater-a")
    with pytest.raises(SettingsError, match="--province: '99' has no commune in the list 2020-01-01; one of: 08"):
        provinces(rules, next(iter(rules.register.vintages.values())), "99")


EVIL = '=HYPERLINK("http://x","<script>alert(1)</script>")'


def _evil() -> Chase:
    return _chased(
        [
            _said([EVIL], "2023-09-30", origin=Origin.SIMULATED),
            promised("02275", MOBILE, "2023-11-01", "2023-10-01", source="operator-a", places=(EVIL,)),
            challenged("opened", "2023-10-01", indicator=MOBILE, operator="operator-a", places=(EVIL,), challenge="<b>12</b>"),
        ]
    )


def test_in_the_sheet_codes_keep_their_zeros_dates_are_dates_and_nothing_is_a_formula() -> None:
    found = _evil()
    rows = CalamineWorkbook.from_filelike(io.BytesIO(sheet(found, _rules(), "vi"))).get_sheet_by_index(0).to_python(skip_empty_area=False)
    texts = [str(cell) for row in rows[:4] for cell in row if cell]
    assert summary(found, "vi") in texts
    assert "Có số liệu mô phỏng: xem cột «Nguồn số liệu»" in texts
    heading = next(row for row in rows if "Mã xã" in row)
    row = dict(zip(heading, rows[rows.index(heading) + 1], strict=True))
    assert row["Mã xã"] == "02275"
    assert row["Thôn"] == EVIL
    assert (row["Chưa phủ từ"].isoformat(), row["Nay hứa"].isoformat(), row["Quá hạn (ngày)"]) == ("2023-09-30", "2023-11-01", 70)
    assert row["Nguồn số liệu"] == "mô phỏng"
    assert len(rows) == rows.index(heading) + 2


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not any(name.startswith("on") or name in ("src", "href") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())


@pytest.mark.parametrize("lang", ["vi", "en"])
def test_the_letter_escapes_everything_loads_nothing_names_no_office_and_shows_the_origin(lang: Any) -> None:
    page = _Page(letter(_evil(), _rules(), lang))
    assert not {"script", "img", "link", "iframe", "a"} & set(page.tags)
    assert EVIL in page.words
    assert any("<b>12</b>" in words for words in page.words)
    assert page.tags.count("tr") == 3  # the headings, the indicator, the gap
    text = " ".join(page.words)
    assert ("CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM" if lang == "vi" else "SOCIALIST REPUBLIC OF VIET NAM") in text
    assert ("[TÊN CƠ QUAN GỬI]" if lang == "vi" else "[SENDER]") in text
    assert ("mô phỏng" if lang == "vi" else "simulated") in text


def test_real_figures_carry_no_warning() -> None:
    page = letter(_chased([_said(["Bản Lãm"], "2023-09-30")]), _rules(), "vi")
    assert 'class="origin"' not in page
    assert "<td>Bản Lãm</td>" in page


def test_people_are_not_counted_as_places() -> None:
    people = "telecom.people"
    rules = _rules(
        indicators=(worlds.indicator(people, base="reported", union="largest"),), obligations=(obligation("operator-a", people),)
    )
    found = _chased([stated("02275", people, 4000, 5000, source="operator-a")], rules=rules)
    assert [village(gap, "vi") for gap in found.gaps] == ["chưa nêu tên"]
    assert summary(found, "en").startswith("1 places uncovered")


def test_what_strangers_wrote_is_named_by_its_code_where_it_cannot_be_printed() -> None:
    assert shown("Bản\x1b[31m\u202e Lãm", "vi") == "Bản\\x1b[31m\\u202e Lãm"
