"""The figures of a report: what is known about the period's end, who is missing since when, who owes what, and what changed why."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from ops.report_document import Figure, Reason, Report, TamperedError, decode, encode, sha256, span
from ops.report_figures import Told, asked, provinces
from phusong.admission import Admission
from phusong.events import Event, Method, Origin, Step
from phusong.rows import State, Verdict
from phusong.rules import Rules
from phusong.settings import SettingsError, read_settings
from tests import worlds
from tests.reports import MADE_AT, reported, signed
from tests.shipped import shipped_facts, shipped_rows, shipped_rules
from tests.worlds import challenged, instant, obligation, promised, seed_texts, stated, vintage, withdrawn

POSTAL, MOBILE = worlds.POSTAL, worlds.MOBILE
ALL = worlds.COMMUNES["08"]


def _figure(report: Report, indicator: str = POSTAL) -> Figure:
    return next(one for one in report.figures if one.row.indicator == indicator)


def _june(*covered: int) -> list[Event]:
    return [stated(code, covered=count, observed_at="2023-06-30") for code, count in zip(ALL, covered, strict=True)]


def _rules(**changes: object) -> Rules:
    return Rules.from_texts(seed_texts(**changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "name", "start", "end"),
    [
        ("2023-06", "2023-06", "2023-06-01", "2023-07-01"),
        ("2023-12", "2023-12", "2023-12-01", "2024-01-01"),
        ("2023-q2", "2023-Q2", "2023-04-01", "2023-07-01"),
        ("2023-H2", "2023-H2", "2023-07-01", "2024-01-01"),
        ("2023", "2023", "2023-01-01", "2024-01-01"),
    ],
)
def test_a_period_is_a_month_a_quarter_a_half_year_or_a_year_of_viet_nam(text: str, name: str, start: str, end: str) -> None:
    one = span(text)
    assert (one.name, one.start, one.end) == (name, instant(start), instant(end))
    assert one.as_of == one.end - timedelta(microseconds=1)


@pytest.mark.parametrize("text", ["", "2023-6", "2023-13", "2023-Q5", "2023-H3", "0000", "9999", "2023-06-30", "../2023"])
def test_what_is_no_period_is_refused_with_what_is(text: str) -> None:
    with pytest.raises(SettingsError, match="2023-Q2"):
        span(text)


def test_a_period_that_is_not_over_is_refused() -> None:
    with pytest.raises(SettingsError, match="not over before 01/07/2023"):
        asked(worlds.world(), span("2023-06"), instant("2023-06-30T23:59:59"), "vi")
    assert asked(worlds.world(), span("2023-06"), instant("2023-07-01"), "vi").vintage == "2020-01-01"


def test_a_period_before_the_first_list_or_a_province_of_no_list_is_refused() -> None:
    with pytest.raises(SettingsError, match="no list of communes"):
        asked(worlds.world(), span("2019"), instant(MADE_AT), "vi")
    with pytest.raises(SettingsError, match=r"'99'.*02, 04, 08, 10"):
        provinces(worlds.world(), "2020-01-01", "99")


def test_the_shipped_facts_give_137_of_138_missed_with_son_phu_named() -> None:
    report = reported(shipped_facts(), rules=shipped_rules())
    rows = shipped_rows("2023-06-30T23:59:59.999999")[1]
    assert {one.row.indicator: one.row for one in report.figures} == {
        row.indicator: row for row in rows.values() if row.province == "08" and row.vintage == "2020-01-01"
    }
    postal = _figure(report, "postal.staffed_point")
    assert (postal.row.covered, postal.row.expected, postal.row.verdict) == (137, 138, Verdict.MISSED)
    assert (postal.row.target, postal.target_source.vi) == (1, "NQ 01/NQ-CP 2021")
    gap = next(gap for gap in report.gaps if gap.row.indicator == "postal.staffed_point")
    assert (gap.row.commune, gap.row.name, gap.since) == ("02275", "Xã Sơn Phú", instant("2023-06-30"))
    assert [(one.reporter, one.method, one.origin) for one in gap.said] == [("assumed-postal-reporter", Method.DECLARED, Origin.ASSUMED)]
    named = {name for gap in report.gaps for name in gap.row.uncovered or ()}
    assert {"Bản Lãm", "Nà Tạng", "Tát Kẻ", "Tát Nga", "Đồng Rôm"} <= named
    assert report.origins == [Origin.ASSUMED]
    assert [one.challenge for one in report.disputes] == ["kiến nghị 3777"]
    assert [(one.operator, one.place, one.days_overdue) for one in report.promises] == [
        ("operator-a", "Đồng Rôm", None),
        ("operator-b", "Đồng Rôm", 180),
    ]


def test_what_was_observed_after_the_period_does_not_count_and_late_statements_do() -> None:
    events = [*_june(1, 1, 0), stated("02284", observed_at="2023-07-02", time="2023-07-03T00:00Z", event_id="later")]
    report = reported(events)
    assert (_figure(report).row.covered, report.events) == (2, 3)
    corrected = reported([*events, stated("02284", observed_at="2023-06-30", time="2023-07-19T00:00Z", event_id="correction")])
    assert (_figure(corrected).row.covered, corrected.events) == (3, 4)


def test_events_of_another_province_with_the_same_home_do_not_count() -> None:
    assert reported([*_june(1, 1, 1), stated("00688")]).events == 3


def test_the_trend_is_against_the_period_before_in_the_same_list_of_communes() -> None:
    may = [stated(code, covered=0, observed_at="2023-05-31", event_id=f"may-{code}") for code in ALL]
    report = reported([*may, *_june(1, 1, 0)])
    assert _figure(report).previous.ratio == 0
    assert _figure(report).row.ratio == pytest.approx(2 / 3)
    assert _figure(reported(_june(1, 1, 0))).previous is None, "nothing was known of May"
    renewed = _rules(vintages=(vintage("2020-01-01", end="2023-06-01"), vintage("2023-06-01")))
    again = reported([*may, *_june(1, 1, 0)], rules=renewed)
    assert (again.vintage, _figure(again).previous) == ("2023-06-01", None), "ratios of two lists are never one line"


def test_missing_since_is_when_the_last_statement_that_all_is_covered_lost_its_force() -> None:
    def since(*events: Event) -> object:
        return next(gap.since for gap in reported(events).gaps if gap.row.commune == "02275")

    def said(month: str, covered: int, **more: object) -> Event:
        return stated("02275", covered=covered, observed_at=f"2023-{month}", event_id=month, **more)  # type: ignore[arg-type]

    assert since(said("03-31", 0), said("04-30", 1), said("05-31", 0), said("06-30", 0)) == instant("2023-05-31")
    assert since(said("06-30", 0), said("03-31", 0)) == instant("2023-03-31"), "in whatever order they came"
    taken_back = withdrawn("02275", observed_at="2023-04-30")
    assert since(said("03-31", 0), taken_back, said("06-30", 0)) == instant("2023-03-31"), "to take a statement back covers nothing"


def test_who_has_not_reported_is_told_for_the_last_of_its_periods_that_was_over() -> None:
    rules = _rules(
        indicators=(worlds.indicator(POSTAL), worlds.indicator(MOBILE, "quarter")),
        obligations=(obligation("post-office", POSTAL), obligation("operator-a", MOBILE, period="quarter")),
        targets=(),
    )
    events = [
        stated(ALL[0], observed_at="2023-05-31"),
        stated(ALL[1], observed_at="2023-04-30"),
        stated(ALL[2], MOBILE, source="operator-a", observed_at="2023-03-31"),
    ]
    may = {one.reporter: one for one in reported(events, rules=rules, period="2023-05").owed}
    assert (may["post-office"].period, may["post-office"].missing, may["post-office"].never) == ("2023-05", 2, 1)
    assert may["post-office"].deadline == instant("2023-06-21")
    assert (may["operator-a"].period, may["operator-a"].missing) == ("2023-Q1", 2), "the second quarter was not over"
    june = {one.reporter: one for one in reported(events, rules=rules).owed}
    assert (june["post-office"].missing, june["post-office"].overdue) == (3, 2), (
        "of what was observed in May the report of June is not due yet"
    )
    assert (june["operator-a"].period, june["operator-a"].missing, june["operator-a"].overdue) == ("2023-Q2", 3, 2)


def test_unknown_and_stale_communes_are_named_and_never_counted_as_zero() -> None:
    report = reported([stated(ALL[0], observed_at="2023-01-31"), stated(ALL[1], observed_at="2023-06-30")])
    silent = next(one for one in report.silent if one.indicator == POSTAL)
    assert ([one.commune for one in silent.unknown], [one.commune for one in silent.stale]) == ([ALL[2]], [ALL[0]])
    assert all(row.state is not State.UNKNOWN for row in report.communes)
    assert not report.gaps, "nobody says that a commune is not covered"


def test_promises_and_challenges_are_open_until_the_gap_is_closed_or_the_challenge_resolved() -> None:
    follow_ups = [promised("02275", by="2023-06-15", observed_at="2023-05-01"), challenged("opened", "2023-05-01", deadline="2023-06-20")]
    report = reported([*_june(1, 0, 1), *follow_ups])
    assert [(one.commune, one.days_overdue) for one in report.promises] == [("02275", 15)]
    assert [(one.challenge, one.step, one.overdue) for one in report.disputes] == [("3777", Step.OPENED, True)]
    resolved = challenged("resolved", "2023-06-30", event_id="end", time="2023-07-06T00:00Z")
    done = reported([*_june(1, 1, 1), *follow_ups, resolved])
    assert (done.promises, done.disputes) == ((), ())


def test_a_correction_of_signed_figures_is_told_with_before_after_and_the_statement_that_came(tmp_path: Path) -> None:
    events = _june(1, 1, 0)
    base = signed(tmp_path, reported(events))
    late = stated(ALL[0], covered=0, time="2023-07-21T00:00Z", event_id="correction")
    report = reported([*events, late], base=base, version=2)
    assert report.base is not None
    assert (report.base.report, report.base.sha256) == ("08-2023-06-v1", base.sha256)
    (change,) = report.restated
    told = {one.field: (one.before, one.after) for one in change.differences}
    assert (told["covered"], told["high"]) == ((2, 1), (pytest.approx(2 / 3), pytest.approx(1 / 3)))
    assert change.reasons == (Reason.STATEMENTS,)
    assert [(one.commune, one.covered_before, one.covered) for one in change.communes] == [(ALL[0], 1, 0)]
    assert [(one.id, one.covered, one.arrived_at) for one in change.statements] == [("correction", 0, instant(MADE_AT))]
    assert report.since == (), "the same moment"


def test_a_withdrawal_that_came_late_is_told_though_nothing_is_known_any_more(tmp_path: Path) -> None:
    events = _june(1, 1, 1)
    base = signed(tmp_path, reported(events))
    (change,) = reported([*events, withdrawn(ALL[0])], base=base, version=2).restated
    assert [(one.covered_before, one.covered) for one in change.communes] == [(1, None)]
    assert [one.withdraws for one in change.statements] == [True]


def test_what_comes_while_the_report_is_made_is_not_in_half_of_it() -> None:
    event = stated("02275")
    route = Admission(worlds.world()).route(event)
    told = Told(read_settings(), {("coverage.postal.v1", 0): ("one", 5)}, {route.cell})
    for offset in (4, 5):
        told.add(event, route, ("coverage.postal.v1", 0), offset, 0)
    assert [came.offset for came in told.cells[route.cell]] == [4], "the figures were read to 5"


def test_where_nothing_came_nothing_has_changed(tmp_path: Path) -> None:
    base = signed(tmp_path, reported(_june(1, 1, 0)))
    assert reported(_june(1, 1, 0), base=base, version=2).restated == ()


def test_other_rules_or_another_log_are_told_as_the_reason(tmp_path: Path) -> None:
    base = signed(tmp_path, reported(_june(1, 1, 0)))
    lower = _rules(targets=(worlds.target(POSTAL, "0.5"),), number=2)
    changes = {change.indicator: change for change in reported(_june(1, 1, 0), base=base, rules=lower).restated}
    assert changes[POSTAL].reasons == (Reason.RULES,)
    assert ("target", 1, 0.5) in [(one.field, one.before, one.after) for one in changes[POSTAL].differences]
    other = reported([*_june(1, 1, 0), stated(ALL[2], time="2023-07-19T00:00Z", event_id="new")], base=base, log="two")
    assert [(change.reasons, change.statements) for change in other.restated] == [((Reason.LOG,), ())]


def test_a_later_period_is_compared_with_the_last_signed_one_and_tells_what_of_that_changed(tmp_path: Path) -> None:
    events = _june(1, 1, 0)
    base = signed(tmp_path, reported(events))
    july = [stated(code, observed_at="2023-07-31", time="2023-08-02T00:00Z", event_id=f"july-{code}") for code in ALL]
    late = stated(ALL[0], covered=0, time="2023-08-01T00:00Z", event_id="correction")
    report = reported([*events, *july, late], period="2023-07", made_at="2023-08-20", base=base)
    since = {one.field: (one.before, one.after) for change in report.since if change.indicator == POSTAL for one in change.differences}
    assert (since["covered"], since["verdict"]) == ((2, 3), ("missed", "met"))
    assert [one.id for change in report.restated for one in change.statements] == ["correction"]
    assert report.base is not None
    assert report.base.as_of == instant("2023-07-01") - timedelta(microseconds=1)


def test_the_json_is_canonical_and_reads_back_as_it_was(tmp_path: Path) -> None:
    base = signed(tmp_path, reported(shipped_facts(), rules=shipped_rules()))
    late = stated("02200", covered=0, source="assumed-postal-reporter", time="2023-07-05T00:00Z", event_id="late")
    july = stated("02275", source="assumed-postal-reporter", observed_at="2023-07-31", time="2023-08-05T00:00Z", event_id="july")
    second = reported([*shipped_facts(), late], rules=shipped_rules(), base=base, version=2)
    third = reported([*shipped_facts(), july], rules=shipped_rules(), base=base, period="2023-07", made_at="2023-08-20")
    assert second.restated
    assert third.since
    for report in (base.report, second, third):
        content = encode(report)
        assert decode(content) == report
        assert encode(decode(content)) == content
        plain = msgspec.json.decode(content)
        assert list(plain) == sorted(plain)


def test_fields_that_this_version_does_not_know_do_not_spoil_what_was_signed_with_them() -> None:
    plain = msgspec.json.decode(encode(reported(_june(1, 1, 0)))) | {"added": 1}
    signature = {"role": "maker", "name": "A", "at": MADE_AT + "+07:00", "of": sha256(msgspec.json.encode(plain, order="sorted"))}
    content = msgspec.json.encode(plain | {"signatures": [signature]}, order="sorted")
    assert [one.name for one in decode(content).signatures] == ["A"]
    with pytest.raises(TamperedError, match="not what A has signed"):
        decode(content.replace(b'"added":1', b'"added":2'))
