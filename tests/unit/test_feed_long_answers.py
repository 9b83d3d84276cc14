"""feed/long_answers.py: what slow clients hold together is bounded; who is dropped, and that nothing else is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar.types import Scope

from feed import long_answers
from feed.long_answers import PIECE_BYTES, LongAnswers
from feed.stream import ABORT


def scope(dropped: list[str], name: str) -> Scope:
    return cast("Scope", {"state": {ABORT: lambda: dropped.append(name)}})


@given(st.lists(st.sampled_from([0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES]), max_size=5))
def test_every_byte_is_handed_over_in_order_and_never_many_at_once(sizes: list[int]) -> None:
    parts = [bytes([number]) * size for number, size in enumerate(sizes)]

    async def taken() -> list[bytes]:
        return [one async for one in LongAnswers().each(parts, cast("Scope", {}))]

    found = asyncio.run(taken())
    assert b"".join(found) == b"".join(parts)
    assert all(0 < len(one) <= PIECE_BYTES for one in found)


def test_where_there_is_no_room_the_oldest_is_dropped_and_who_is_done_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_answers, "BYTES_MAX", 100)
    dropped: list[str] = []

    async def run() -> None:
        made = LongAnswers()

        async def begin(name: str, size: int) -> AsyncIterator[bytes]:
            answer = made.each([b"x" * size], scope(dropped, name))
            await anext(answer)
            return answer

        slow = await begin("slow", 40)
        done: Any = await begin("done", 40)
        await done.aclose()
        other = await begin("other", 60)
        assert dropped == []
        third = await begin("third", 30)
        assert dropped == ["slow"]
        # one that is larger than all the room is sent when it is alone
        alone = await begin("alone", 1000)
        assert dropped == ["slow", "other", "third"]
        del slow, other, third, alone

    asyncio.run(run())
