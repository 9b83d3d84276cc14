"""What the shipped seeds and facts amount to, for tests that compare pages with the program.

Comes in: a moment. Goes out: every row of Tuyên Quang from scratch. Owns no state but a cache.
"""

from __future__ import annotations

from functools import cache

from phusong.admission import Admission
from phusong.assessment import assess
from phusong.events import Event, decode
from phusong.rows import CommuneRow, ProvinceRow
from phusong.rules import Rules
from phusong.settings import SEEDS, read_rules
from phusong.topics import share_of
from tests.worlds import cells_of, follow_ups_of, instant, millis


@cache
def shipped_rules() -> Rules:
    """The rules of the shipped seeds."""
    return read_rules(SEEDS)


@cache
def shipped_facts() -> tuple[Event, ...]:
    """Every shipped fact, admitted as a worker admits it on the evening of 30 June 2023."""
    admission = Admission(shipped_rules())
    events = []
    for file in sorted((SEEDS / "facts").glob("*.jsonl")):
        for line in file.read_bytes().splitlines():
            event = decode(line)
            domain = event.data.indicator.partition(".")[0]
            admission.record(line, None, b"08", domain, share_of(b"08"), millis(instant("2023-06-30T18:00:00")))
            events.append(event)
    return tuple(events)


@cache
def shipped_rows(as_of: str) -> tuple[dict[str, CommuneRow], dict[str, ProvinceRow]]:
    """Every commune row and every province row at a moment, by record key."""
    rules = shipped_rules()
    said = shipped_facts()
    return assess(rules, "08", cells_of(rules, said), instant(as_of), follow_ups=follow_ups_of(rules, said))
