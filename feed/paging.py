"""One page of many rows: they stand in the order of their keys, and a cursor is the key of the last one that was given.

Comes in: rows in their order, what that is of each, a limit and the cursor of the page before. Goes out: the page, and the cursor of the
next. Owns no state: a row that appears or vanishes between two pages moves no other, so that none is given twice or left out. A cursor that
is none of ours is refused.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable
from itertools import dropwhile, islice
from typing import TypeVar

import msgspec

from feed.problems import Refused

S = TypeVar("S")

Order = tuple[str, ...]
"""What rows of a kind are sorted by: no two have the same."""

LIMIT_MAX = 10_000
CURSOR_CHARACTERS_MAX = 500

_decode = msgspec.json.Decoder(tuple[str, ...]).decode


def page(rows: Iterable[S], order: Callable[[S], Order], limit: int, after: Order | None) -> tuple[list[S], str]:
    """The first `limit` rows, which come in their order, beyond `after`; and the cursor of the page that follows, "" after the last."""
    left = iter(rows) if after is None else dropwhile(lambda one: order(one) <= after, rows)
    shown = list(islice(left, limit))
    more = next(left, None) is not None
    return shown, cursor_of(order(shown[-1])) if more else ""


def cursor_of(order: Order) -> str:
    """The cursor of the page after the row of that order."""
    return urlsafe_b64encode(msgspec.json.encode(order)).rstrip(b"=").decode()


def order_of(cursor: str, parts: int) -> Order:
    """What a cursor stands for: `parts` texts. Raises Refused."""
    try:
        if len(cursor) > CURSOR_CHARACTERS_MAX:
            raise ValueError
        found = _decode(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if len(found) != parts or cursor_of(found) != cursor:
            raise ValueError
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        raise Refused(400, "cursor is none of this address; follow the Link that came with the page before", parameter="cursor") from None
    return found
