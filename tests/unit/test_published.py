"""What is published beside what it must be, without a broker: chains of verdicts and dead letters."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest

from ops.published import Chains, Headers, Letters
from phusong import rows
from phusong.events import Reason
from phusong.province import Province
from phusong.rows import Cause, CauseKind, ProvinceRow, Verdict, VerdictEvent, verdict_id
from tests import worlds
from tests.worlds import instant

AS_OF = instant("2023-07-20")
TOPIC = "coverage.postal.v1"
CONTENT: tuple[bytes, bytes, Headers] = (b"08", b"{}", [("own", b"1"), ("none", None)])
ENDS = {(TOPIC, 4): 100}
BEGINS = {TOPIC: 1_000}


def _row() -> ProvinceRow:
    rows_of = Province(worlds.world(), "08").rows(AS_OF)
    return next(row for row in rows_of if isinstance(row, ProvinceRow) and row.indicator == worlds.POSTAL)


def _history(*verdicts: Verdict) -> list[VerdictEvent]:
    found: list[VerdictEvent] = []
    for verdict in verdicts:
        row = msgspec.structs.replace(_row(), verdict=verdict)
        found.append(rows.verdict_event(row, found[-1] if found else None, Cause(kind=CauseKind.STATEMENT), 1, AS_OF))
    return found


def _chains(*history: VerdictEvent) -> Chains:
    chains = Chains()
    for number, entry in enumerate(history):
        chains.add(entry.data.key.encode(), rows.encode(entry), f"@{number}")
    return chains


def test_a_history_that_workers_wrote_is_a_chain_also_where_an_entry_was_repeated() -> None:
    first, second, third = _history(Verdict.UNCERTAIN, Verdict.MET, Verdict.UNCERTAIN)
    assert second.id == verdict_id(second.data.key, first.id, Verdict.MET)
    chains = _chains(first, second, second, third)
    assert chains.differences({first.data.key: Verdict.UNCERTAIN}) == []
    assert chains.entries == 4


def test_an_entry_that_is_left_out_breaks_the_chain_and_a_row_that_shows_another_verdict_is_told() -> None:
    first, _, third = _history(Verdict.UNCERTAIN, Verdict.MET, Verdict.MISSED)
    found = _chains(first, third).differences({first.data.key: Verdict.MET})
    assert [one.field for one in found] == ["previous", "from", "last entry"]
    assert (found[-1].published, found[-1].recomputed) == (Verdict.MISSED, Verdict.MET)
    assert [one.may_settle for one in found] == [False, False, True]


def test_a_verdict_of_nothing_and_one_under_another_key_are_told() -> None:
    (first,) = _history(Verdict.UNCERTAIN)
    chains = Chains()
    chains.add(b"another", rows.encode(first), "@0")
    chains.add(b"another", None, "@1")
    assert [one.field for one in chains.differences({})] == ["key", "value"]
    assert [one.field for one in chains.differences({first.data.key: Verdict.UNCERTAIN})][-1] == "last entry"


def _sent(
    letters: Letters, offset: int = 7, reason: str = Reason.NOT_JSON, rules: int = 2, timestamp_ms: int = 2_000, value: bytes = b"{}"
) -> None:
    own = {"reason": reason, "sentence": "…", "topic": TOPIC, "partition": 4, "offset": offset, "timestamp": timestamp_ms, "rules": rules}
    headers = [*CONTENT[2], *((f"phusong-{name}", str(text).encode()) for name, text in own.items())]
    letters.letter(CONTENT[0], value, headers, "dead-letters@0")


def _compared(letters: Letters) -> tuple[list[str], Counter[int], list[int]]:
    found, others, admitted = letters.compare(2, ENDS, ENDS, BEGINS, 0)
    return [one.field for one in found], others, [one.offset for one in admitted]


def test_a_rejected_record_and_its_dead_letter_are_one_also_when_it_was_sent_twice() -> None:
    letters = Letters()
    letters.reject((TOPIC, 4, 7), Reason.NOT_JSON, 2, 2_000, CONTENT)
    _sent(letters)
    _sent(letters)
    assert _compared(letters) == ([], Counter(), [])


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"reason": Reason.SCHEMA}, "reason"), ({"value": b"[]"}, "bytes"), ({"offset": 8}, "letter")],
)
def test_a_dead_letter_that_says_something_else_is_told(changes: dict[str, object], field: str) -> None:
    letters = Letters()
    letters.reject((TOPIC, 4, 7), Reason.NOT_JSON, 2, 2_000, CONTENT)
    _sent(letters)
    _sent(letters, **changes)  # type: ignore[arg-type]
    assert _compared(letters)[0] == [field]


def test_a_letter_of_earlier_rules_for_what_counts_by_now_is_no_difference() -> None:
    letters = Letters()
    _sent(letters, rules=1)
    assert _compared(letters) == ([], Counter(), [7])


def test_a_reject_that_only_earlier_rules_have_sent_is_counted_apart() -> None:
    letters = Letters()
    letters.reject((TOPIC, 4, 7), Reason.NOT_JSON, 2, 2_000, CONTENT)
    _sent(letters, rules=1)
    assert _compared(letters) == ([], Counter({1: 1}), [])


def test_letters_of_a_log_that_is_gone_do_not_count_and_those_beyond_the_end_are_too_many() -> None:
    letters = Letters()
    letters.reject((TOPIC, 4, 7), Reason.NOT_JSON, 2, 2_000, CONTENT)
    _sent(letters, timestamp_ms=500)
    assert _compared(letters)[0] == ["letter"], "it is missing"
    letters = Letters()
    _sent(letters, offset=100, rules=1)
    assert _compared(letters)[0] == ["letter"], "it is one too many"


def test_a_letter_may_be_gone_when_its_record_is_older_than_letters_are_kept() -> None:
    letters = Letters()
    letters.reject((TOPIC, 4, 7), Reason.NOT_JSON, 2, 2_000, CONTENT)
    assert letters.compare(2, ENDS, ENDS, BEGINS, 2_001)[0] == []


def test_a_letter_that_is_not_due_yet_may_be_missing() -> None:
    letters = Letters()
    letters.reject((TOPIC, 4, 7), Reason.NOT_JSON, 2, 2_000, CONTENT)
    assert letters.compare(2, {(TOPIC, 4): 7}, ENDS, BEGINS, 0)[0] == []
    assert letters.compare(2, {(TOPIC, 4): 8}, ENDS, BEGINS, 0)[0] != []


def test_a_row_may_show_what_its_chain_said_since_the_look_before_and_nothing_older() -> None:
    history = _history(Verdict.UNCERTAIN, Verdict.MET, Verdict.MISSED)
    key = history[0].data.key
    chains = _chains(*history[:2])
    assert chains.differences({key: Verdict.UNCERTAIN}) != []
    chains.look_again()
    chains.add(key.encode(), rows.encode(history[2]), "@2")
    assert chains.differences({key: Verdict.UNCERTAIN}) != []
    assert chains.differences({key: Verdict.MET}) == []
    assert chains.differences({key: Verdict.UNCERTAIN}) == [], "it was right at one look"
