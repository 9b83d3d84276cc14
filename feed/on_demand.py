"""Evidence on demand: what the log holds about one commune, read when somebody asks, and not again while nothing new can be there.

Comes in: a commune, the topics to read, and the version of the row that is to be explained. Goes out: `Heard`. Owns READINGS_MAX threads
and the last readings, at most KEPT_BYTES_MAX of records. A question that finds every thread at work, takes longer than SECONDS_MAX, or that
Kafka does not answer, is `Refused` with 503: come back. A reading serves everybody who asks meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from msgspec import Struct

from feed.evidence import Heard, TooMuchError, hear
from feed.problems import Refused
from feed.reading import ReadingError
from phusong.register import Unit, UnitId
from phusong.rows import Version
from phusong.rules import Rules
from phusong.settings import Kafka

LOG = logging.getLogger(__name__)

READINGS_MAX = 4
"""At a time: the three domains of a commune's page, and one more."""
SECONDS_MAX = 10.0
HEARD_BYTES_MAX = 4 * 1024 * 1024
"""Of one commune and domain: thousands of statements, where a year has a few hundred."""
KEPT_BYTES_MAX = 8 * 1024 * 1024
KEPT_MAX = 500
_COME_BACK = {"retry-after": "2"}

Asked = tuple[UnitId, tuple[str, ...]]
"""Of which commune, and in which topics."""


class _Kept(Struct, frozen=True):
    """What was heard, and the version of a row from before it was read: nothing of that version or an older one is missing."""

    version: Version
    heard: Heard


class _UnderWay(Struct, frozen=True, eq=False):
    """A reading that has begun when a row of `version` was known (None: no row)."""

    asked: Asked
    version: Version | None
    reading: asyncio.Future[Heard]


class OnDemand:
    """The readings. `hear` is for the event loop; `close` ends what is under way."""

    def __init__(self, kafka: Kafka, rules: Rules) -> None:
        self._kafka = kafka
        self._rules = rules
        self._pool = ThreadPoolExecutor(READINGS_MAX, "evidence")
        self._kept: OrderedDict[Asked, _Kept] = OrderedDict()
        self._kept_bytes = 0
        self._under_way: set[_UnderWay] = set()
        self._closing = False

    async def hear(self, unit: Unit, topics: Sequence[str], version: Version | None) -> Heard:
        """What was said of a commune, all at least that a row of that version rests on; `version` None: no row is known. Raises Refused."""
        asked: Asked = (unit.id, tuple(topics))
        kept = self._kept.get(asked)
        if kept is not None and _covers(kept.version, version):
            self._kept.move_to_end(asked)
            return kept.heard
        reading = next((one.reading for one in self._under_way if one.asked == asked and _covers(one.version, version)), None)
        if reading is None:
            if len(self._under_way) >= READINGS_MAX:
                raise Refused(503, f"{READINGS_MAX} readings of evidence are under way; come back in a moment", headers=_COME_BACK)
            reading = self._start(unit, asked, version)
        try:
            # it goes on for whoever else waits, and for whoever asks next
            return await asyncio.shield(reading)
        except TooMuchError as error:
            raise Refused(503, str(error)) from error
        except ReadingError as error:
            LOG.warning("the evidence of %s cannot be read: %s", unit.code, error)
            raise Refused(
                503, "the log cannot be read now, the feed's own log says why; come back in a moment", headers=_COME_BACK
            ) from error

    def close(self) -> None:
        """End every reading within a moment."""
        self._closing = True
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _start(self, unit: Unit, asked: Asked, version: Version | None) -> asyncio.Future[Heard]:
        reading = asyncio.get_running_loop().run_in_executor(self._pool, self._read, unit, asked[1])
        under_way = _UnderWay(asked, version, reading)
        self._under_way.add(under_way)

        def done(found: asyncio.Future[Heard]) -> None:
            self._under_way.discard(under_way)
            if not found.cancelled() and found.exception() is None and version is not None:
                self._keep(asked, _Kept(version, found.result()))

        reading.add_done_callback(done)
        return reading

    def _read(self, unit: Unit, topics: tuple[str, ...]) -> Heard:
        began = time.monotonic()

        def watch(_read: int, _of: int) -> None:
            if self._closing:
                raise ReadingError("the feed ends")
            if time.monotonic() - began > SECONDS_MAX:
                raise ReadingError(f"it takes longer than {SECONDS_MAX:g} s; ask `phusong explain`, which has no such limit")

        return hear(self._kafka, self._rules, unit, topics, watch, bytes_max=HEARD_BYTES_MAX)

    def _keep(self, asked: Asked, kept: _Kept) -> None:
        before = self._kept.pop(asked, None)
        if before is not None:
            self._kept_bytes -= before.heard.size_bytes
            if before.version.log == kept.version.log and before.version.offsets > kept.version.offsets:
                kept = before
        self._kept[asked] = kept
        self._kept_bytes += kept.heard.size_bytes
        while self._kept_bytes > KEPT_BYTES_MAX or len(self._kept) > KEPT_MAX:
            _, oldest = self._kept.popitem(last=False)
            self._kept_bytes -= oldest.heard.size_bytes


def _covers(read: Version | None, wanted: Version | None) -> bool:
    """Whether nothing that a row of the version `wanted` rests on came after a row of the version `read`."""
    return read is not None and wanted is not None and read.log == wanted.log and read.offsets >= wanted.offsets
