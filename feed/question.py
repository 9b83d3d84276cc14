"""What /api/v1/evidence is asked: why does a commune of a list count as it does for an indicator, now or at an earlier moment?

Comes in: the query of a request. Goes out: `Question`, and its answer as JSON: what `phusong explain --json` tells, about the row as it is
published or, with `as_of`, about what is now known to have been then. Owns no state. A commune that is none of the list, and a moment that
its list or the feed has not come to, are `Refused` with 400 and the remedy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

import msgspec
from msgspec import Struct

from feed.evidence import Explanation, explain, topics_of
from feed.on_demand import OnDemand
from feed.problems import Refused
from feed.query import Query, read_query
from feed.resources import Source
from phusong.indicators import Indicator
from phusong.register import Unit
from phusong.rows import Version
from phusong.rules import Rules

EVIDENCE_PATH = "/api/v1/evidence"
EVIDENCE_PARAMETERS = ("commune", "indicator", "vintage", "as_of")
EVIDENCE_REQUIRED = ("commune", "indicator")
EVIDENCE_FORMS = ("json",)

_encode = msgspec.json.Encoder().encode


class Question(Struct, frozen=True):
    """`as_of` None: about the row as it is published."""

    query: Query
    unit: Unit
    indicator: Indicator
    as_of: datetime | None


def read_question(text: str, rules: Rules, now: datetime) -> Question:
    """The question of a query string, asked at the moment `now`. Raises Refused."""
    query = read_query(text, EVIDENCE_PARAMETERS, (), rules, required=EVIDENCE_REQUIRED)
    # once each, as they are required
    (code,), (name,) = query.communes or frozenset(), query.indicators
    if query.as_of is not None and query.as_of > now:
        raise Refused(400, f"as_of lies ahead: it is {now.isoformat()}", parameter="as_of")
    at = query.as_of or now
    unit = _unit(rules, code, query, at)
    start = rules.register.vintages[unit.vintage].start
    if at < start:
        raise Refused(
            400, f"the list {unit.vintage} came or comes into force on {start.isoformat()}; ask for another vintage", parameter="vintage"
        )
    return Question(query, unit, rules.catalogue.indicators[name], query.as_of)


class Asking:
    """Answers questions from the log; `clock`: wall time -> the time that the feed goes by."""

    def __init__(self, source: Source, on_demand: OnDemand, clock: Callable[[datetime], datetime]) -> None:
        self._source = source
        self._on_demand = on_demand
        self._clock = clock

    async def answer(self, question: Question) -> bytes:
        """An `Explanation` as JSON. Raises Refused where the log cannot be read now."""
        version = self._version(question)
        heard = await self._on_demand.hear(question.unit, topics_of(self._source.rules, question.indicator), version)
        start = self._source.rules.register.vintages[question.unit.vintage].start
        # of the row that is shown, so that the answer stays the same as long as the row does
        at = question.as_of or max(start, self._source.as_of() if version is None else version.as_of)

        def explained() -> Explanation:
            rules = self._source.rules
            return explain(rules, question.unit, question.indicator, heard, at, self._clock, then=question.as_of is not None)

        return await asyncio.to_thread(lambda: _encode(explained()))

    def _version(self, question: Question) -> Version | None:
        """That of the row which is published now; None: there is none."""
        unit, indicator = question.unit, question.indicator
        (rows,) = self._source.snapshot.communes_of([(unit.vintage, indicator.id, unit.province)])
        return next((held.version for held in rows if held.row.commune == unit.code), None)


def _unit(rules: Rules, code: str, query: Query, at: datetime) -> Unit:
    """The commune of that code in the list asked for, or in the one in force then."""
    register = rules.register
    if query.vintages is None:
        listed = register.vintage_at(at)
        if listed is None:
            raise Refused(
                400, f"no list of communes was in force on {at.isoformat()}; one of: {', '.join(register.vintages)}", parameter="as_of"
            )
        vintage = listed.id
    else:
        (vintage,) = query.vintages
    found = register.units.get((vintage, code))
    if found is None:
        others = [name for name in register.vintages if (name, code) in register.units]
        raise Refused(
            400,
            f"commune {code} is none of the list {vintage}; it is one of {', '.join(others)}: add vintage={others[-1]}",
            parameter="commune",
            known=others,
        )
    return found
