"""docs/mergers.md: what becomes of the figures when communes merge and split, and every number of the page against the core."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from datetime import date
from fractions import Fraction
from functools import cache
from pathlib import Path

import pytest
from msgspec.structs import replace

from phusong import assessment
from phusong.admission import Admission
from phusong.assessment import percent
from phusong.events import Rejected, Stated
from phusong.register import Base, Extent, Unit
from phusong.rows import CauseKind, CommuneRow, Mark, ProvinceRow, State, Verdict
from tests import mergers, worlds
from tests.mergers import (
    HONG_LAC,
    HONG_SON,
    INDICATORS,
    KIM_PHU,
    MIDDLE,
    NEW,
    OLD,
    ONLINE,
    POINT,
    SIGNAL,
    SPLIT,
    THAI_BINH,
    VAN_SON,
    VIET_LAM,
    rules,
    told,
    units,
)
from tests.rules_page import tables

PAGE = Path(__file__).parents[2] / "docs" / "mergers.md"
TEXT = PAGE.read_text("utf-8")
SEEDS_PAGE = (PAGE.parents[1] / "seeds" / "README.md").read_text("utf-8")
Cells = dict[str, str]


# the rules


def test_a_commune_whose_territory_did_not_change_stays_exactly_as_it_was_and_is_marked_inherited() -> None:
    unchanged = [unit for unit in units(MIDDLE) if unit.code != HONG_SON]
    assert Counter(unit.province for unit in unchanged) == {"08": 136, "02": 193}
    for unit in unchanged:
        for indicator in rules().catalogue.indicators:
            before = told().commune("2024-08-31", OLD, unit.code, indicator)
            marks = before.marks if before.state is State.UNKNOWN else tuple(sorted({*before.marks, Mark.INHERITED}))
            assert told().commune("2024-09-01", MIDDLE, unit.code, indicator) == replace(before, vintage=MIDDLE, marks=marks)


def test_of_a_covered_and_an_uncovered_commune_the_merged_one_is_covered_counts_add_up_and_freshness_is_the_worst() -> None:
    for indicator in INDICATORS:
        two = [told().commune("2024-08-31", OLD, code, indicator) for code in (VAN_SON, HONG_LAC)]
        one = told().commune("2024-09-01", MIDDLE, HONG_SON, indicator)
        assert one.fresh_until == min(row.fresh_until for row in two if row.fresh_until)
        assert one.observed_at == min(row.observed_at for row in two if row.observed_at)
        assert sorted(one.statements) == sorted(two[0].statements + two[1].statements)
        assert Mark.INHERITED in one.marks
        if indicator == POINT:
            assert ([row.covered for row in two], one.covered, one.expected) == ([0, 1], 1, 1)
        else:
            assert one.covered == sum(row.covered or 0 for row in two)
            assert one.expected == sum(row.expected or 0 for row in two)


def test_a_miss_that_ends_by_succession_says_so_in_the_verdict_history() -> None:
    assert _changes(OLD, "08", POINT) == [("2024-08-31", Verdict.MISSED), ("2024-09-01", Verdict.NO_TARGET, CauseKind.SUCCESSION)]
    assert _changes(MIDDLE, "08", POINT)[0] == ("2024-09-01", Verdict.MET, CauseKind.SUCCESSION)


def test_of_a_split_commune_the_parts_are_unknown_whatever_was_said_of_the_whole() -> None:
    given = {unit.code: {part.code for part in mergers.parts_of(unit)} for unit in units(NEW) if mergers.parts_of(unit)}
    assert set().union(*given.values()) == set(SPLIT)
    for code in given:
        for indicator in INDICATORS:
            row = told().commune("2025-07-01", NEW, code, indicator)
            assert Mark.INHERITED in row.marks
            assert row.high == 1
            said_of = {statement.split("/")[2] for statement in row.statements}
            whole = {one.unit.code for one in rules().register.predecessors[NEW, code] if one.extent is Extent.WHOLE}
            assert said_of == whole
            assert (row.low or 0) < 1 or indicator == POINT
            assert (Mark.IMPUTED in row.marks) == (indicator == ONLINE)


def test_the_new_list_has_124_communes_made_of_330() -> None:
    assert len(units(NEW)) == 124
    predecessors = {one.unit.id for unit in units(NEW) for one in rules().register.predecessors[unit.id]}
    assert predecessors == {unit.id for unit in units(MIDDLE)}
    assert len(predecessors) == 330
    assert {unit.code for unit in units(MIDDLE) if len(rules().register.successors[unit.id]) > 1} == set(SPLIT)
    assert {THAI_BINH, KIM_PHU} < set(SPLIT)


@pytest.mark.parametrize(("vintage", "last", "later"), [(OLD, "2024-08-31", "2024-09-01"), (MIDDLE, "2025-06-30", "2025-07-01")])
def test_an_ended_list_keeps_every_row_and_only_its_targets_leave(vintage: str, last: str, later: str) -> None:
    none = {"target": None, "target_scope": None, "target_source": None, "target_status": None, "target_due": None}
    kept = 0
    for key, row in told().rows[last].items():
        if row.vintage == vintage:
            kept += 1
            frozen = replace(row, **none, verdict=Verdict.NO_TARGET) if isinstance(row, ProvinceRow) else row
            assert told().rows[later][key] == frozen
    assert kept == (len(units(vintage)) + 2) * len(rules().catalogue.indicators)


def test_nothing_but_late_statements_about_its_time_changes_an_ended_list() -> None:
    for vintage, ended in ((OLD, "2024-09-01"), (MIDDLE, "2025-07-01")):
        names = list(told().rows)
        for earlier, later in zip(names[names.index(ended) :], names[names.index(ended) + 1 :], strict=False):
            (step,) = (step for step in mergers.steps() if step.name == later)
            route = Admission(rules()).route
            cells = {route(event).cell for event in step.events}
            bounded = {one.id: one.at_most for one in rules().catalogue.indicators.values()}
            for key, row in told().rows[earlier].items():
                if isinstance(row, CommuneRow) and row.vintage == vintage and told().rows[later][key] != row:
                    assert cells & {(row.vintage, row.commune, one) for one in (row.indicator, bounded[row.indicator])}


def test_a_late_statement_about_a_predecessor_changes_the_row_of_its_successor() -> None:
    before, after = (told().commune(step, MIDDLE, HONG_SON, SIGNAL) for step in ("2024-09-01", "2024-09-03"))
    assert (before.covered, after.covered) == (19, 20)
    assert set(after.statements) - set(before.statements) == {f"operator-a {_only('2024-09-03').id}"}
    before, after = (told().commune(step, NEW, VIET_LAM, POINT) for step in ("2025-07-01", "2025-07-03"))
    assert (before.covered, before.high, after.covered, after.low) == (0, 1.0, 1, 1.0)


def test_an_own_statement_takes_the_place_of_what_was_inherited_from_that_operator_alone() -> None:
    before, after = (told().commune(step, MIDDLE, HONG_SON, SIGNAL) for step in ("2024-09-03", "2024-09-05"))
    new = f"operator-b {_only('2024-09-05').id}"
    assert [one for one in after.statements if one.startswith("operator-b ")] == [new]
    others = [[one for one in row.statements if not one.startswith("operator-b ")] for row in (before, after)]
    assert others[0] == others[1]
    assert len(others[0]) == 4
    assert Mark.INHERITED in after.marks


def test_an_own_statement_of_the_whole_makes_an_unknown_part_known() -> None:
    before, after = (told().commune(step, NEW, THAI_BINH, SIGNAL) for step in ("2025-07-01", "2025-07-05"))
    assert (before.low, before.high) == (22 / 27, 1.0)
    assert (after.low, after.high, after.uncovered) == (1.0, 1.0, ())


@pytest.mark.parametrize("step", mergers.steps(), ids=lambda step: str(step.name))
def test_the_story_told_event_by_event_is_the_one_told_from_scratch(step: mergers.Step) -> None:
    communes, provinces = assessment.assess(rules(), mergers.HOME, mergers.cells_until(step), step.as_of)
    assert told().rows[step.name] == {**communes, **provinces}


def test_two_lists_never_share_a_key_and_every_list_that_has_begun_has_all_its_rows() -> None:
    for step in mergers.steps():
        begun = [vintage for vintage in (OLD, MIDDLE, NEW) if worlds.instant(vintage) <= step.as_of]
        expected = {
            f"{vintage}/{what}/{indicator}"
            for vintage in begun
            for indicator in rules().catalogue.indicators
            for what in {*[unit.code for unit in units(vintage)], *[unit.province for unit in units(vintage)]}
        }
        assert set(told().rows[step.name]) == expected


# the page


@cache
def page() -> dict[str, list[Cells]]:
    """The rows of the page by what their table is about; a table that nothing reads is an error."""
    kinds = {
        "unchanged": "lists",
        "made on": "singles",
        "said": "said",
        "covered is": "made",
        "commune row": "communes",
        "line": "lines",
        "went in parts to": "split",
        "part of": "parts",
        "code": "codes",
        "cause": "verdicts",
        "what": "joined",
    }
    found: dict[str, list[Cells]] = {}
    for *_, rows in tables(TEXT):
        kind = next((kind for column, kind in kinds.items() if column in rows[0]), None)
        assert kind is not None, f"nothing reads the table of {', '.join(rows[0])}"
        found.setdefault(kind, []).extend(rows)
    assert set(found) == set(kinds.values())
    return found


@cache
def lines() -> dict[str, Cells]:
    """The lines of the page by name; no two share one."""
    assert len({row["line"] for row in page()["lines"]}) == len(page()["lines"])
    return {row["line"]: row for row in page()["lines"]}


def test_the_page_has_every_list_with_what_it_was_made_of() -> None:
    register = rules().register
    expected = []
    for vintage, province in ((OLD, "08"), (OLD, "02"), (MIDDLE, "08"), (MIDDLE, "02"), (NEW, "08")):
        listed = units(vintage, province)
        made = [[one.extent for one in register.predecessors.get(unit.id, ())] for unit in listed]
        counts = [
            sum(extents == [Extent.WHOLE] for extents in made),
            sum(len(extents) > 1 and Extent.PART not in extents for extents in made),
            sum(Extent.PART in extents for extents in made),
            len({one.unit.id for unit in listed for one in register.predecessors.get(unit.id, ())}),
        ]
        shown = ["–"] * 4 if vintage == OLD else [str(count) for count in counts]
        expected.append([vintage, province, str(len(listed)), *shown])
    assert [list(row.values()) for row in page()["lists"]] == expected


def test_the_page_says_what_was_said() -> None:
    reports = {event for step in mergers.steps() if len(step.events) > 1 for event in step.events}
    actual = {(_vintage(event), event.data.indicator, event.source, event.data.commune): _shown(event) for event in reports}
    assert len(actual) == len(reports)
    assert _said_on_the_page() == actual


def test_the_page_says_who_spoke_alone_and_when() -> None:
    actual = []
    for step in mergers.steps():
        if len(step.events) == 1:
            (event,) = step.events
            actual.append(
                (event.time.date().isoformat(), _vintage(event), event.data.indicator, event.source, event.data.commune, _shown(event))
            )
    shown = []
    for row in page()["singles"]:
        (unit,) = _named(row["list"], row["commune"])
        what = (_figure(row["said"]), _names(row["without"]), row["observed"])
        shown.append((row["made on"], row["list"], row["indicator"], *_sources(row["who"]), unit.code, what))
    assert shown == actual


@pytest.mark.parametrize("name", lines())
def test_each_line_of_the_page_is_the_cores(name: str) -> None:
    row = _line(name)
    shown = lines()[name]
    assert shown["result"] == f"{_number(row.covered)} of {_number(row.expected)}"
    assert shown["low · ratio · high"] == " · ".join(percent(figure, row.target) for figure in (row.low, row.ratio, row.high))
    assert shown["units"] == ", ".join(f"{row.units[state]} {state}" for state in State if row.units[state])
    assert shown["verdict"] == row.verdict


def test_each_line_of_the_page_is_explained_once() -> None:
    assert sorted(row["line"] for row in page()["made"]) == sorted(lines())


@pytest.mark.parametrize("made", page()["made"], ids=lambda made: str(made["line"]))
def test_each_line_is_made_of_what_the_page_says(made: Cells) -> None:
    row = _line(made["line"])
    assert _evaluated(made, "covered is") == row.covered
    assert _evaluated(made, "expected is") == row.expected


@pytest.mark.parametrize("made", page()["made"], ids=lambda made: str(made["line"]))
def test_behind_each_line_stand_the_communes_that_the_page_names(made: Cells) -> None:
    vintage = lines()[made["line"]]["list"]
    shown = {
        kind: {unit.code for unit in _named(vintage, names)}
        for kind, _, names in (part.partition(": ") for part in made["behind it"].split("; ") if part != "–")
    }
    found: dict[str, set[str]] = {}
    for row in _communes(made["line"]):
        for kind in _kinds(row):
            found.setdefault(kind, set()).add(row.commune)
    assert shown == found


@pytest.mark.parametrize("shown", page()["communes"], ids=lambda shown: str(shown["commune row"]))
def test_each_commune_row_of_the_page_is_the_cores(shown: Cells) -> None:
    (unit,) = _named(shown["list"], shown["commune"])
    row = told().commune(shown["asked"], unit.vintage, unit.code, shown["indicator"])
    assert row.fresh_until is not None
    assert shown["state"] == row.state
    assert shown["result"] == f"{_number(row.covered)} of {_number(row.expected)}"
    assert shown["low · ratio · high"] == " · ".join(percent(figure) for figure in (row.low, row.ratio, row.high))
    assert shown["fresh until"] == row.fresh_until.date().isoformat()
    assert _names(shown["not covered"]) == row.uncovered
    assert shown["marks"] == ", ".join(row.marks)


def test_the_page_lists_the_split_communes_and_their_successors() -> None:
    shown = {}
    for row in page()["split"]:
        (unit,) = _named(MIDDLE, row["split commune"])
        assert unit.province == row["of"]
        shown[unit.id] = {one.id for one in _named(NEW, row["went in parts to"])}
    successors = rules().register.successors
    assert shown == {unit.id: set(successors[unit.id]) for unit in units(MIDDLE) if len(successors[unit.id]) > 1}


def test_the_page_says_how_much_of_each_commune_with_a_part_is_unknown() -> None:
    shown = {}
    for row in page()["parts"]:
        (unit,) = _named(NEW, row["commune"])
        assert {one.code for one in mergers.parts_of(unit)} == {one.code for one in _named(MIDDLE, row["part of"])}
        wholes = {one.unit.code for one in rules().register.predecessors[unit.id] if one.extent is Extent.WHOLE}
        assert wholes == {one.code for one in _named(MIDDLE, row["whole ones in it"])}
        shown[unit.code] = (int(row["from the whole ones"]), int(row["unknown"]), int(row["all"]))
    found = {}
    for unit in units(NEW):
        if mergers.parts_of(unit):
            known = told().commune("2025-07-01", NEW, unit.code, SIGNAL)
            size = mergers.size(unit, Base.VILLAGES)
            assert (known.expected, known.weight) == (size, size)
            found[unit.code] = (known.covered, size - int(known.covered or 0), size)
    assert shown == found


def test_the_page_tells_which_code_of_trung_thinh_counts() -> None:
    for row in page()["codes"]:
        assert row["code"] in SEEDS_PAGE
        found = {vintage: rules().register.units.get((vintage, row["code"])) for vintage in (OLD, MIDDLE, NEW)}
        listed = [vintage for vintage, unit in found.items() if unit]
        assert {_short(unit) for unit in found.values() if unit} <= {"Trung Thịnh"}
        assert row["in the lists"] == (f"Trung Thịnh {row['code']} in {', '.join(listed)}" if listed else "–")
        event = worlds.stated(row["code"], POINT, observed_at="2024-06-30", source=mergers.POST)
        if row["an event with it"] == "counts":
            assert Admission(rules()).route(event).cell == (OLD, row["code"], POINT)
        else:
            with pytest.raises(Rejected, match=row["code"]) as refused:
                Admission(rules()).route(event)
            assert refused.value.reason == row["an event with it"]
    assert len(page()["codes"]) == 2


def test_the_page_has_every_verdict_that_a_merger_changed_where_points_are_judged() -> None:
    found = set()
    for vintage in (OLD, MIDDLE, NEW):
        for province in {unit.province for unit in units(vintage)}:
            before: object = "–"
            for change in told().verdicts[f"{vintage}/{province}/{POINT}"]:
                if change.cause is CauseKind.SUCCESSION:
                    found.add((vintage, province, POINT, change.step, f"{before} → {change.verdict}", str(change.cause)))
                before = change.verdict
    shown = {(row["list"], row["province"], row["indicator"], row["on"], row["verdict"], row["cause"]) for row in page()["verdicts"]}
    assert shown <= found
    # Hà Giang did not change in 2024: its line of that year ends and begins with the same verdict
    assert {(vintage, province, on) for vintage, province, _, on, *_ in found - shown} == {(OLD, "02", MIDDLE), (MIDDLE, "02", MIDDLE)}


def test_the_page_joins_two_lists_only_to_show_what_comes_of_it() -> None:
    for row in page()["joined"]:
        of = [_line(name) for name in _LINE.findall(row["what"])]
        covered, expected = sum(one.covered for one in of), sum(one.expected for one in of)
        assert row["covered"] == f"{covered} of {expected}"
        assert row["ratio"] == percent(covered / expected, 1.0)


def test_outside_its_tables_the_page_holds_no_number_but_dates_codes_and_names() -> None:
    prose = "\n".join(line for line in TEXT.splitlines() if not line.startswith("|"))
    prose += "".join(f"\n{row['why']}" for row in page()["made"])
    days = {date.fromisoformat(vintage) for vintage in rules().register.vintages}
    days |= {step.as_of.date() for step in mergers.steps()}
    shown = {day.isoformat() for day in days} | {f"{day:%d/%m/%Y}" for day in days}
    for name in re.findall(r"`([^`\n]*\d[^`\n]*)`", prose):
        assert name in told().rows["2025-07-05"] or name in lines()
    for name in re.findall(r"`([a-z]+(?:-[a-z]+)+)`", prose):
        assert name in {row["commune row"] for row in page()["communes"]}
    prose = re.sub(r"`[^`\n]*`|\]\([^)]*\)|tests/\S+", "", prose)
    for resolution in re.findall(r"NQ \d+/NQ-UBTVQH\d+", prose):
        assert resolution in SEEDS_PAGE
    prose = re.sub(r"NQ \d+/NQ-UBTVQH\d+", "", prose)
    for name, code in re.findall(r"(\w+ \w+) (\d{5})\b", prose):
        assert any(name.endswith(_short(unit)) for unit in rules().register.units.values() if unit.code == code), (name, code)
    prose = re.sub(r"\b\w+ \d{5}\b", "", prose)
    others = set(re.findall(r"\d[\d/.,-]*\d|\d", prose)) - shown
    assert others == {"2024", "2025", HONG_SON, *rules().register.provinces}


_LINE = re.compile(r"[a-z]+-\d{4}-(?:old-)?[a-z0-9]+-\d{2}")


def _line(name: str) -> ProvinceRow:
    shown = lines()[name]
    return told().province(shown["asked"], shown["list"], shown["province"], shown["indicator"])


def _communes(name: str) -> list[CommuneRow]:
    shown = lines()[name]
    return told().communes(shown["asked"], shown["list"], shown["province"], shown["indicator"])


def _changes(vintage: str, province: str, indicator: str) -> list[tuple[object, ...]]:
    changes = told().verdicts[f"{vintage}/{province}/{indicator}"]
    # what was there at the first step has no cause that a test may rely on
    return [(one.step, one.verdict) if one.step == mergers.steps()[0].name else (one.step, one.verdict, one.cause) for one in changes]


def _only(step: str) -> Stated:
    ((event,),) = (one.events for one in mergers.steps() if one.name == step)
    return event


def _kinds(row: CommuneRow) -> Iterable[str]:
    """What the page's column "behind it" says of a commune."""
    if row.state is State.UNKNOWN:
        yield "unknown"
    elif row.ratio is not None and row.high is not None:
        if row.high < 1 and row.indicator in (POINT, SIGNAL):
            yield "not covered"
        if row.ratio < row.high:
            yield "open"
        if row.state is State.STALE:
            yield "stale"


def _figures(name: str, column: str) -> dict[str, Fraction]:
    """What each commune adds to a line's covered or expected."""
    communes = _communes(name)
    if column == "covered is":
        return {row.commune: Fraction(row.covered or 0) for row in communes}
    known = [row.weight for row in communes if row.weight is not None]
    mean = Fraction(sum(known), len(known))
    return {row.commune: mean if row.weight is None else Fraction(row.weight) for row in communes}


def _evaluated(made: Cells, column: str) -> Fraction:
    """What a sum on the page comes to; each of its terms is held against the communes that it speaks of."""
    text = made[column].replace("`", "")
    mine = _figures(made["line"], column)
    theirs = {code: figure for name in _LINE.findall(text) for code, figure in _figures(name, column).items()}
    total, times = Fraction(0), Counter[Fraction]()
    for sign, term in re.findall(r"(^|\+ |− )((?:[^+− ]| (?![+−]))+)", text):
        factor = -1 if sign == "− " else 1
        one = re.fullmatch(r"([\d ]+?)(?: \(.* (\d{5})\))?", term)
        if _LINE.fullmatch(term):
            line = _line(term)
            total += Fraction(line.covered if column == "covered is" else line.expected)
        elif one is not None:
            total += factor * _whole(one[1])
            if one[2]:
                # what is added is of this line's own commune, what is taken away of the lines before
                assert _whole(one[1]) == (mine if factor > 0 else theirs).pop(one[2]), term
        else:
            many, each = (_whole(part) for part in term.split(" × "))
            total += factor * many * each
            times[Fraction(each)] += many
    if not theirs:
        assert times == Counter(mine.values()), column
    return total


def _said_on_the_page() -> dict[tuple[str, str, str, str], object]:
    found: dict[tuple[str, str, str, str], object] = {}
    silent: set[tuple[str, str, str, str]] = set()
    for row in page()["said"]:
        vintage = row["list"]
        for source in _sources(row["who"]):
            head = (vintage, row["indicator"], source)
            if row["commune"].startswith("the others"):
                province = row["commune"].removeprefix("the others").removeprefix(" in ")
                concerned = [unit for unit in units(vintage, province) if (*head, unit.code) not in found.keys() | silent]
            else:
                concerned = _named(vintage, row["commune"])
            for unit in concerned:
                where = (*head, unit.code)
                before = found.get((OLD, row["indicator"], source, unit.code))
                if row["said"] == "–" or (row["said"] == "as before" and before is None):
                    silent.add(where)
                elif row["said"] == "as before":
                    assert isinstance(before, tuple)
                    found[where] = (before[0], before[1], row["observed"])
                else:
                    found[where] = (_figure(row["said"], unit, row["indicator"]), _names(row["without"]), row["observed"])
    return found


def _shown(event: Stated) -> object:
    return (event.data.covered, event.data.expected), event.data.uncovered, event.data.observed_at.date().isoformat()


def _figure(text: str, unit: Unit | None = None, indicator: str = "") -> tuple[int, ...]:
    if unit is not None and "all" in text:
        text = text.replace("all", str(mergers.size(unit, rules().catalogue.indicators[indicator].base)))
    return tuple(_whole(part) for part in text.split(" of "))


def _names(text: str) -> tuple[str, ...] | None:
    if text in ("–", "not named"):
        return None
    return () if text == "none" else tuple(text.split(", "))


def _sources(text: str) -> list[str]:
    names = {"P": mergers.POST, **dict(zip("ABC", mergers.OPERATORS, strict=True))}
    return [names[letter] for letter in text.split(", ")]


def _vintage(event: Stated) -> str:
    vintage = rules().register.vintage_at(event.data.observed_at)
    assert vintage is not None
    return vintage.id


def _named(vintage: str, text: str) -> list[Unit]:
    """The communes of a list that a cell names, each with its code."""
    found = []
    for part in text.split(", "):
        name, code = part.rsplit(" ", 1)
        unit = rules().register.units[vintage, code]
        assert _short(unit) == name, f"{code} is {unit.name} in the list of {vintage}, the page says {name}"
        found.append(unit)
    return found


def _short(unit: Unit) -> str:
    """A commune's name without its kind."""
    return unit.name[len(unit.kind) + 1 :]


def _number(value: float | None) -> str:
    # every figure of this story is a whole number
    assert value is not None
    assert value == int(value)
    value = int(value)
    return f"{value:,}".replace(",", " ")


def _whole(text: str) -> int:
    return int(text.replace(" ", ""))
