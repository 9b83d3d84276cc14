"""One share: the provinces whose key falls on partition p, folded from partition p of the source topics.

Comes in: runs of records of one topic, in the order of the log. Goes out: counts, and the rejected. Owns the provinces' state and the
offset that each topic has been applied up to. Bad input: a record that is not admitted, and one that provokes an exception nobody foresaw
(`processor_error`), is handed back as a `Reject`, and the records around it are counted as if it were not there.
"""

from __future__ import annotations

import logging
from typing import cast

from confluent_kafka import Message
from msgspec import Struct

from phusong.admission import Admission
from phusong.events import Reason, Rejected
from phusong.evidence import Outcome
from phusong.province import Province
from phusong.rules import Rules
from phusong.topics import share_of

log = logging.getLogger(__name__)


class Reject(Struct, frozen=True):
    """A record that is not counted, and why."""

    message: Message
    reason: Reason
    sentence: str
    headers: list[tuple[str, bytes | None]]
    """The record's own; empty where they cannot be read (the client must not be asked for them twice then)."""


class Share:
    """The state of one share after the offsets in `applied`: a pure function of the log up to there and of the rules."""

    def __init__(self, number: int, rules: Rules, admission: Admission) -> None:
        self.number = number
        self.provinces = {code: Province(rules, code) for code in rules.register.homes if share_of(code.encode()) == number}
        self.applied: dict[str, int] = {}
        self._admission = admission

    @property
    def offsets(self) -> int:
        """The sum of the offsets applied: what makes a later state the greater version."""
        return sum(self.applied.values())

    def apply(self, domain: str, messages: list[Message]) -> tuple[list[int], list[Reject]]:
        """Fold a run of records of one domain's topic: how many had each `Outcome`, and the rejected ones."""
        record, provinces = self._admission.record, self.provinces
        number = self.number
        rejects: list[Reject] = []
        seen = [0] * len(Outcome)
        for message in messages:
            try:
                event, route = record(message.value(), None, message.key(), domain, number, message.timestamp()[1])
                seen[provinces[route.province].apply(route.cell, route.slot, event)] += 1
            except Exception as error:  # noqa: BLE001 - the one guard: whatever goes wrong costs this record alone
                reject = self._look_again(domain, message, error)
                if isinstance(reject, Reject):
                    rejects.append(reject)
                else:
                    seen[reject] += 1
        self.applied[messages[-1].topic()] = messages[-1].offset() + 1
        return seen, rejects

    def _look_again(self, domain: str, message: Message, error: Exception) -> Reject | Outcome:
        """What did not count at first sight: an event in binary mode, or a reject. Headers are read here only: most records need none."""
        headers: list[tuple[str, bytes | None]] = []
        try:
            # what the client reads is always a list of bytes; its type also describes what a producer may pass
            headers = cast("list[tuple[str, bytes | None]]", message.headers() or [])
            if isinstance(error, Rejected) and headers:
                timestamp_ms = message.timestamp()[1]
                event, route = self._admission.record(message.value(), headers, message.key(), domain, self.number, timestamp_ms)
                return self.provinces[route.province].apply(route.cell, route.slot, event)
        except Exception as second:  # noqa: BLE001 - the same guard
            error = second
        if isinstance(error, Rejected):
            return Reject(message, error.reason, error.sentence, headers)
        where = f"{message.topic()}[{message.partition()}]@{message.offset()}"
        log.error("%s provoked an exception that nobody foresaw; it goes to the dead letters", where, exc_info=error)
        return Reject(
            message,
            Reason.PROCESSOR_ERROR,
            f"the processor failed on this record ({type(error).__name__}: {str(error)[:500]}); report it, and replay it once mended",
            headers,
        )
