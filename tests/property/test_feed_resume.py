"""feed/stream.py: whoever comes back, as often as the connection breaks and wherever it does, ends with the table that everybody has."""

from __future__ import annotations

from collections.abc import Sequence
from unittest.mock import patch

import msgspec
from hypothesis import given
from hypothesis import strategies as st

import feed.stream
from feed.query import read_query
from feed.resources import PLACE
from feed.snapshot import Change, Gone, Held, Reset
from feed.stream import Client, Stream
from phusong.rows import CommuneRow, Version
from tests.feeds import AS_OF, COMMUNE_ROWS, OLD, PUBLISHED, RULES

VERSION = Version(rules=7, log="log", offsets=1, as_of=AS_OF)
ROWS: Sequence[CommuneRow] = [row for row in COMMUNE_ROWS.values() if row.vintage == OLD][:4]
QUERIES = ["", "indicator=postal.staffed_point", "province=24"]


class Browser:
    """What a page does: keeps a table, its last id, and reads everything again when it is told to."""

    def __init__(self, of: Stream, truth: dict[str, int], query: str) -> None:
        self.of, self.truth, self.query = of, truth, read_query(query, PLACE, (), RULES)
        self.last_id = ""
        self.table: dict[str, int] = {}
        self.client = self.open()

    def open(self) -> Client:
        """A new connection; without an id the table is read beside it, as no event says what was before."""
        if not self.last_id:
            self.read_again()
        return self.of.join(self.query, self.last_id)

    def read_again(self) -> None:
        mine = {row.key for row in ROWS if self.query.asks_for(row, frozenset([OLD]))}
        self.table = {key: covered for key, covered in self.truth.items() if key in mine}

    def hear(self, blocks_max: int) -> None:
        """Take what is sent; the connection breaks after so many events, the last of which came in part."""
        text, more = self.client.first, True
        self.client.first = b""
        try:
            while more:
                part, more = self.of._after(self.client)
                text += part
        except feed.stream._BehindError:
            blocks_max = min(blocks_max, 50)
        blocks = text.decode().split("\n\n")
        whole, rest = blocks[:-1], len(blocks) - 1 > blocks_max
        for block in whole[:blocks_max]:
            self.take(dict(line.split(": ", 1) for line in block.split("\n")))
        if rest or blocks_max < 60:
            self.of.leave(self.client)
            self.client = self.open()

    def take(self, fields: dict[str, str]) -> None:
        self.last_id = fields.get("id", self.last_id)
        data = msgspec.json.decode(fields.get("data", "null"))
        match fields.get("event"):
            case "commune":
                self.table["/".join((data["vintage"], data["commune"], data["indicator"]))] = data["covered"]
            case "removed":
                self.table.pop(data["key"], None)
            case "reset":
                self.read_again()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 3), st.integers(0, 9)),
        st.tuples(st.just("remove"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("reset"), st.just(0), st.just(0)),
        st.tuples(st.just("hear"), st.integers(0, 2), st.integers(0, 5)),
    ),
    max_size=60,
)


@given(STEPS, st.sampled_from([2, 5, 10_000]), st.sampled_from([1, 900, 16 * 1024]))
def test_random_drops_lose_nothing(steps: list[tuple[str, int, int]], events_max: int, chunk: int) -> None:
    truth: dict[str, int] = {}
    of = Stream(RULES, lambda: AS_OF)

    def publish(change: Change) -> None:
        of.publish(change)

    with patch.object(feed.stream, "EVENTS_MAX", events_max), patch.object(feed.stream, "CHUNK_BYTES_MAX", chunk):
        browsers = [Browser(of, truth, query) for query in QUERIES]
        for step, which, number in steps:
            if step == "hear":
                browsers[which].hear(number)
            elif step == "reset":
                publish(Reset())
            else:
                row = ROWS[which]
                if step == "put":
                    truth[row.key] = number
                    publish(Held(msgspec.structs.replace(row, covered=number), VERSION, PUBLISHED))
                elif truth.pop(row.key, None) is not None:
                    publish(Gone(row))
        for one in browsers:
            # a connection that breaks once more, and one that lasts
            one.hear(0)
            one.hear(1000)
            told = one.table
            one.read_again()
            assert told == one.table
