"""docs/cases.md: the cases that the provincial council answered, from the shipped facts to the table, the gaps and the marks."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from phusong.assessment import assess
from phusong.events import Challenged, Event, Method, Origin, Promised, Stated
from phusong.follow_ups import undertakings
from phusong.rows import Mark, State
from tests.rules_notation import gap, listed, of, shares, shown
from tests.rules_page import CASES, tables
from tests.shipped import shipped_facts, shipped_rows, shipped_rules
from tests.worlds import cells_of, follow_ups_of, instant, stated, withdrawn

NOW = "2023-06-30T18:00:00"
MOBILE, SPEAKER = "telecom.mobile_signal_villages", "broadcast.loudspeaker"
ROWS = [row for _, rows in tables(CASES.read_text("utf-8")) for row in rows]
COMMUNES = [row for row in ROWS if "commune" in row]
PROMISES = [row for row in ROWS if "promised in" in row]
LINES = [row for row in ROWS if "line" in row]


@pytest.mark.parametrize("line", COMMUNES, ids=lambda line: f"{line['commune']}-{line['indicator']}")
def test_a_commune_comes_out_as_the_page_says(line: dict[str, str]) -> None:
    row = shipped_rows(NOW)[0][f"2020-01-01/{line['commune']}/{line['indicator']}"]
    assert {
        "commune": row.commune,
        "name": row.name,
        "indicator": row.indicator,
        "covered": of(row.covered, row.expected),
        "low · ratio · high": shares(row),
        "not covered": gap(row),
        "marks": listed(row.marks),
    } == line


@pytest.mark.parametrize("line", PROMISES, ids=lambda line: f"{line['promised in']}-{line['operator']}")
def test_a_promise_comes_out_as_the_page_says(line: dict[str, str]) -> None:
    rules = shipped_rules()
    unit = rules.register.units["2020-01-01", line["promised in"]]
    given = {one.operator: one for one in undertakings(rules.register, unit, MOBILE, follow_ups_of(rules, shipped_facts()))}
    row = shipped_rows(NOW)[0][f"2020-01-01/{unit.code}/{MOBILE}"]
    one = given[f"operator-{line['operator'].casefold()}"]
    assert one.by is not None
    missing = one.name in (row.uncovered or ())
    assert {
        "promised in": unit.code,
        "village": one.name,
        "operator": line["operator"],
        "before": f"{one.by:%Y-%m-%d}",
        "on 2023-06-30": "kept" if not missing else "overdue" if one.by <= instant(NOW) else "not yet due",
    } == line


def test_the_page_lists_every_promise_and_the_open_challenge() -> None:
    said = [event for event in shipped_facts() if isinstance(event, Promised | Challenged)]
    assert len(PROMISES) == len([event for event in said if isinstance(event, Promised)])
    row = shipped_rows(NOW)[0][f"2020-01-01/02584/{SPEAKER}"]
    assert (row.challenges_open, row.challenge_due) == (1, None)


@pytest.mark.parametrize("line", LINES, ids=lambda line: line["line"])
def test_a_line_of_the_province_table_comes_out_as_the_page_says(line: dict[str, str]) -> None:
    row = shipped_rows(NOW)[1][f"2020-01-01/08/{line['line']}"]
    assert {
        "line": row.indicator,
        "covered": of(row.covered, row.expected),
        "low · ratio · high": shares(row),
        "fresh reports": shown(row.completeness),
        "verdict": row.verdict,
        "units": listed(f"{row.units[state]} {state}" for state in State if row.units[state]),
        "marks": listed(f"{mark} {row.marks[mark]}" for mark in sorted(Mark) if row.marks[mark]),
    } == line


def test_the_page_has_every_line_of_the_table_and_every_commune_that_a_case_is_about() -> None:
    assert [line["line"] for line in LINES] == list(shipped_rules().catalogue.indicators)
    about = {(event.data.commune, event.data.indicator) for event in shipped_facts() if "/case-" in event.id}
    postal = {("02275", "postal.staffed_point"), ("02284", "postal.staffed_point")}
    assert {(line["commune"], line["indicator"]) for line in COMMUNES} == about | postal


def test_ha_giang_is_unknown_in_every_line() -> None:
    rows = [row for key, row in shipped_rows(NOW)[1].items() if key.startswith("2020-01-01/02/")]
    assert len(rows) == len(LINES)
    assert {(row.low, row.ratio, row.high, row.units[State.UNKNOWN]) for row in rows} == {(0, 0, 1, 193)}


def test_every_page_that_is_cited_is_that_of_an_event_or_of_the_postal_facts() -> None:
    cited = {row["page"] for row in ROWS if row.get("page")}
    assert cited == {event.id.split("/")[1].removeprefix("case-") for event in shipped_facts() if "/case-" in event.id} | {"3376"}


def test_everything_that_is_shipped_is_assumed_and_no_real_organisation_speaks() -> None:
    assert {event.data.origin for event in shipped_facts()} == {Origin.ASSUMED}
    assert {event.source.partition("-")[0] for event in shipped_facts()} == {"assumed", "operator"}


def measured_station(covered: int) -> Stated:
    about = {"source": "assumed-measuring-team", "operator": "assumed-broadcast-reporter", "method": Method.MEASURED}
    return stated("02584", SPEAKER, covered, 1, "2023-07-05", **about)


def respelt(name: str) -> Event:
    """Operator A's statement on Thanh Tương, said again later with another spelling."""
    (first,) = (e for e in shipped_facts() if (e.source, e.data.commune, e.data.indicator) == ("operator-a", "02284", MOBILE))
    return msgspec.structs.replace(
        first, id="corrected", time=instant("2023-07-05"), data=msgspec.structs.replace(first.data, uncovered=(name,))
    )


CHANGES: dict[str, Callable[[], Event]] = {
    "Quyết Thắng: a measuring team finds the station working": lambda: measured_station(1),
    "Quyết Thắng: a measuring team finds it broken": lambda: measured_station(0),
    'Thanh Tương: A writes the alias "thôn Ban Bung"': lambda: respelt("thôn Ban Bung"),
    'Thanh Tương: A misspells it "Bản Bưng"': lambda: respelt("Bản Bưng"),
    "Thượng Nông: A takes its statement back": lambda: withdrawn("02239", MOBILE, source="operator-a"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_makes_of_a_commune_what_the_page_says(change: str) -> None:
    event = CHANGES[change]()
    cells = cells_of(shipped_rules(), [*shipped_facts(), event])
    row = assess(shipped_rules(), "08", cells, instant("2023-07-10"))[0][f"2020-01-01/{event.data.commune}/{event.data.indicator}"]
    assert {
        "change": change,
        "covered": of(row.covered, row.expected),
        "low · ratio · high": shares(row),
        "not covered": gap(row),
        "marks": listed(row.marks),
    } in ROWS


def test_the_page_lists_no_other_change() -> None:
    assert [row["change"] for row in ROWS if "change" in row] == list(CHANGES)


def test_without_the_petition_the_loudspeakers_figures_are_the_same() -> None:
    facts = [event for event in shipped_facts() if not (isinstance(event, Stated) and event.data.method is Method.PETITIONED)]
    calm, disputed = (
        assess(shipped_rules(), "08", cells_of(shipped_rules(), said), instant(NOW))[0][f"2020-01-01/02584/{SPEAKER}"]
        for said in (facts, shipped_facts())
    )
    assert disputed.marks == (Mark.ASSUMED, Mark.CONTESTED)
    assert msgspec.structs.replace(disputed, marks=(Mark.ASSUMED,)) == calm
