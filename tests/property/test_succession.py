"""A unit made of others: as they were, or the sum of them, or unknown; derived at every moment, never copied."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from fractions import Fraction

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from phusong.admission import Admission
from phusong.events import Event, Method
from phusong.indicators import Obligation
from phusong.province import Province
from phusong.register import Base
from phusong.rows import CommuneRow, Mark, State
from phusong.views import Line, View, view
from tests.models import DESCENTS, UNCHANGED, V1, V2, V3, as_bytes, communes_of, model, narrowed, rows_of
from tests.strategies import DAYS, events, evidence, moments, several, spread
from tests.worlds import cells_of, instant, stated, withdrawn

_STARTS = {V2: instant(V2), V3: instant(V3)}
_MERGED = ((V2, "00002", (V1, "00002"), (V1, "00003")), (V3, "00102", (V2, "00102"), (V2, "00007")))
"""(list, code, and the two units of the list before that it was made of)."""
_FIGURES = ("state", "covered", "expected", "weight", "ratio", "low", "high", "observed_at", "fresh_until", "uncovered", "origin")


def until(vintage: str) -> tuple[datetime, ...]:
    """The days on which what was observed still belongs to an earlier list."""
    return tuple(day for day in DAYS if day < _STARTS[vintage])


def operators(indicator: str) -> dict[str, list[Obligation]]:
    found: dict[str, list[Obligation]] = {}
    for one in model().catalogue.obligations_of(indicator, "08"):
        found.setdefault(one.operator, []).append(one)
    return found


def views(many: Sequence[Event], unit: tuple[str, str], indicator: str, as_of: datetime) -> dict[str, View]:
    """The view of each operator that is ever obliged."""
    rules = model()
    line = Line(cells_of(rules, many), rules.register, rules.register.units[unit], rules.catalogue.indicators[indicator])
    return {operator: view(line, operator, binding, as_of) for operator, binding in operators(indicator).items()}


@st.composite
def evidence_before(draw: st.DrawFn, vintage: str, communes: Sequence[str]) -> tuple[str, list[Event]]:
    about = draw(st.sampled_from(list(model().catalogue.indicators)))
    return about, draw(several(events(model(), communes=tuple(communes), indicators=(about,), days=until(vintage)), 8))


@settings(max_examples=60)
@given(st.sampled_from(list(_STARTS)).flatmap(lambda v: st.tuples(st.just(v), evidence_before(v, UNCHANGED))))
def test_an_unchanged_unit_is_on_the_first_day_of_a_new_list_as_on_the_last_of_the_old(said: tuple[str, tuple[str, list[Event]]]) -> None:
    """Figures, names and freshness, and who said it; the province may be another. It is marked as inherited, and nothing else."""
    vintage, (_, many) = said
    old = V1 if vintage == V2 else V2
    rows = rows_of(narrowed(model(), many), many, _STARTS[vintage])
    for key, row in rows.items():
        if isinstance(row, CommuneRow) and row.vintage == vintage and row.commune in UNCHANGED:
            was = rows[f"{old}/{row.commune}/{row.indicator}"]
            assert isinstance(was, CommuneRow)
            assert {name: getattr(row, name) for name in _FIGURES} == {name: getattr(was, name) for name in _FIGURES}, key
            assert row.statements == was.statements
            assert set(row.marks) - {Mark.INHERITED} == set(was.marks) - {Mark.INHERITED}
            assert (Mark.INHERITED in row.marks) >= bool(row.statements)


@st.composite
def merged(draw: st.DrawFn) -> tuple[tuple[str, str], list[tuple[str, str]], str, list[Event]]:
    """A unit, the two that it was made of, an indicator, and evidence: mostly an operator has spoken of both."""
    vintage, code, *parts = draw(st.sampled_from(_MERGED))
    about, many = draw(evidence_before(vintage, [part for _, part in parts]))
    operator, binding = draw(st.sampled_from(sorted(operators(about).items())))
    for listed, part in parts:
        if draw(st.integers(0, 3)):
            size = draw(st.integers(0, 5))
            covered = draw(st.integers(0, size))
            day = draw(st.sampled_from([one for one in until(vintage) if one >= instant(listed)])).isoformat()
            many.append(stated(part, about, covered, size, day, source=binding[0].reporter, operator=operator))
    return (vintage, code), parts, about, many


@settings(max_examples=80)
@given(merged(), moments())
def test_a_unit_made_of_whole_units_adds_their_counts_up_and_presence_is_any_and_freshness_the_worst(
    said: tuple[tuple[str, str], list[tuple[str, str]], str, list[Event]], as_of: datetime
) -> None:
    """Each operator by itself. One part that nobody spoke of may be covered as a whole, or not at all."""
    (vintage, code), parts, about, many = said
    indicator = model().catalogue.indicators[about]
    count = model().register.counts.get((vintage, code), {}).get(indicator.base)
    before = [views(many, unit, about, as_of) for unit in parts]
    for operator, merged in views(many, (vintage, code), about, as_of).items():
        known = [seen[operator] for seen in before if seen[operator].known]
        # where one part has nothing to cover and of the other nothing is known, nothing is known of the whole
        if len(known) < len(parts) and not any(seen.expected for seen in known):
            known = []
        assert merged.known == bool(known)
        if not known:
            continue
        assert merged.observed_at == min(seen.observed_at for seen in known if seen.observed_at)
        assert merged.fresh_until == min(seen.fresh_until for seen in known if seen.fresh_until)
        assert merged.marks == frozenset({Mark.INHERITED}).union(*(seen.marks for seen in known))
        if indicator.base is Base.UNITS:
            shares = [Fraction(seen.covered) / seen.expected for seen in known if seen.expected]
            assert Fraction(merged.covered) / (merged.expected or 1) == max(shares, default=0)
            assert merged.most == merged.expected or len(known) == len(parts)
        else:
            assert merged.covered == sum(seen.covered for seen in known)
            total = sum(seen.expected for seen in known)
            if len(known) == len(parts) and all(seen.sized for seen in known):
                assert (merged.expected, merged.most, merged.sized) == (total, sum(seen.most for seen in known), True)
            elif count is not None:
                assert (merged.expected, merged.most, merged.sized) == (max(total, count.value), max(total, count.value), True)
            else:
                assert (merged.expected, merged.sized) == (total, False)


@settings(max_examples=60)
@given(evidence_before(V2, ("00004", "00005")), moments(first=V2))
def test_a_part_of_a_split_unit_is_unknown_and_a_unit_with_such_a_part_may_be_fully_covered(
    said: tuple[str, list[Event]], as_of: datetime
) -> None:
    """Nobody knows which part of what was said of the whole lies where, in this list and the next."""
    rules = narrowed(model(), said[1])
    found = communes_of(rules, said[1], as_of)
    for about in rules.catalogue.indicators:
        part, more = found[V2, "00004", about], found[V2, "00005", about]
        assert (part.row.state, part.row.statements) == (State.UNKNOWN, ())
        assert (part.row.low, part.row.ratio, part.row.high) == (0, 0, 1)
        assert more.high == 1


@settings(max_examples=40)
@given(evidence(model()), moments(first="2023-08-01"), st.data())
def test_a_late_statement_about_an_old_unit_counts_as_if_it_had_come_in_time(
    many: list[Event], as_of: datetime, data: st.DataObject
) -> None:
    """Whether a list of communes has begun, or ended, since then."""
    late = data.draw(st.sampled_from([many, many[::2], many[1::2]]))
    route = Admission(model()).route
    rules = narrowed(model(), many)
    province = Province(rules, "08")
    for event in (*(one for one in many if all(one is not other for other in late)), None, *late):
        if event is None:
            province.rows(as_of - data.draw(st.sampled_from([timedelta(0), timedelta(0), timedelta(days=200)])))
            continue
        where = route(event)
        province.apply(where.cell, where.slot, event)
    province.rows(as_of)
    assert as_bytes(province.all_rows()) == as_bytes(rows_of(rules, many, as_of).values())


@settings(max_examples=80)
@given(st.sampled_from(DESCENTS).flatmap(lambda ones: st.tuples(st.just(ones), evidence_before(V2, ones))), moments(), st.data())
def test_an_operators_own_word_in_the_new_list_takes_the_place_of_what_it_inherited_and_of_nobody_elses(
    said: tuple[tuple[str, ...], tuple[str, list[Event]]], as_of: datetime, data: st.DataObject
) -> None:
    """Taken back, it leaves the size that it stated, and what was inherited does not come back."""
    codes, (about, old) = said
    unit = data.draw(st.sampled_from([one for one in model().register.of(V2, "08") if one.code in codes]))
    operator, binding = data.draw(st.sampled_from(sorted(operators(about).items())))
    size = data.draw(st.integers(0, 5))
    method = data.draw(st.sampled_from([Method.DECLARED, Method.MEASURED]))
    source = binding[0].reporter if method is Method.DECLARED else "inspector"
    covered = data.draw(st.integers(0, size))
    own = stated(unit.code, about, covered, size, "2023-08-15", source=source, operator=operator, method=method)
    others = [one for one in old if (one.data.operator or one.source) != operator]
    before, after = views(old, unit.id, about, as_of), views([*old, own], unit.id, about, as_of)
    assert after[operator] == views([*others, own], unit.id, about, as_of)[operator]
    assert (after[operator].known, after[operator].covered, after[operator].expected) == (True, covered, size)
    assert after[operator].statements == (own,)
    back = withdrawn(unit.code, about, "2023-08-15", time="2023-09-01", source=source, operator=operator, method=method)
    taken_back = views([*old, own, back], unit.id, about, as_of)[operator]
    assert not taken_back.known
    assert taken_back.sized
    assert taken_back.expected == size
    assert {one: seen for one, seen in after.items() if one != operator} == {one: seen for one, seen in before.items() if one != operator}


@settings(max_examples=60)
@given(evidence(model()).map(spread), moments(first=V2))
def test_what_is_said_in_a_list_of_communes_never_moves_an_earlier_one(many: list[Event], as_of: datetime) -> None:
    newest = max(
        (model().register.vintage_at(one.data.observed_at) for one in many), key=lambda v: v.start if v else instant(V1), default=None
    )
    earlier = [one for one in many if newest is not None and not newest.holds(one.data.observed_at)]
    rules = narrowed(model(), many)
    before, after = rows_of(rules, earlier, as_of), rows_of(rules, many, as_of)
    for key, row in after.items():
        if newest is not None and row.vintage < newest.id:
            assert msgspec.structs.asdict(row) == msgspec.structs.asdict(before[key])
