"""Long answers on their way: all of them together are bounded in bytes, however slowly their clients take them.

Comes in: the pieces of an answer, and what closes its connection at once. Goes out: the same bytes, piece by piece. Owns the list of what
is on its way, while it is: where another answer would not fit, the oldest is dropped, as it has had the most time.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from litestar.types import Scope
from msgspec import Struct

from feed.stream import ABORT

LOG = logging.getLogger(__name__)

BYTES_MAX = 128 * 1024 * 1024
"""Some forty of a province's communes, four of a nation's metrics."""
PIECE_BYTES = 64 * 1024
"""What is handed over at once: so much a client that reads nothing can hold beyond that bound."""


class _OnItsWay(Struct, frozen=True, eq=False):
    size_bytes: int
    abort: Callable[[], object]


class LongAnswers:
    """What is on its way. Everything is for the event loop."""

    def __init__(self) -> None:
        self._answers: dict[_OnItsWay, None] = {}

    async def each(self, parts: Sequence[bytes], scope: Scope) -> AsyncIterator[bytes]:
        """The bytes of an answer, each piece when the one before is taken."""
        state: dict[str, Any] = scope.get("state") or {}
        mine = _OnItsWay(sum(map(len, parts)), state.get(ABORT, bool))
        self._make_room(mine.size_bytes)
        self._answers[mine] = None
        try:
            for part in parts:
                for start in range(0, len(part), PIECE_BYTES):
                    yield part[start : start + PIECE_BYTES]
        finally:
            self._answers.pop(mine, None)

    def _make_room(self, size_bytes: int) -> None:
        while self._answers and sum(one.size_bytes for one in self._answers) + size_bytes > BYTES_MAX:
            oldest = next(iter(self._answers))
            del self._answers[oldest]
            LOG.info("a client takes its answer so slowly that there is no room for another, and is dropped")
            oldest.abort()
