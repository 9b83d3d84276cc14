"""What is published: ten times a second the rows that changed or fell due; every row again now and then; verdicts before their rows.

Comes in: the carrier's ready shares, and the clock. Goes out: rows to coverage.communes.v1 and coverage.provinces.v1, verdict changes to
coverage.verdicts.v1, progress. Owns no state of the domain: what is lost here is published again by whoever owns the share next.
Nothing is written for a share that is not ready, no longer owned, or while the fence is closed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from phusong import rows
from phusong.province import Province
from phusong.rows import CommuneRow, ProvinceRow, Row, VerdictEvent, Version
from phusong.settings import Settings
from phusong.topics import COMMUNES, PROVINCES
from streams.carrier import Carrier, Held
from streams.delivery import Delivery
from streams.fence import Fence, uptime_seconds
from streams.metrics import Metrics
from streams.ownership import Ownership
from streams.progress import Positions
from streams.verdicts import Elsewhere, Verdicts

log = logging.getLogger(__name__)

PASS_SECONDS = 0.1
SLICE = 250
"""Communes assessed, or rows sent, between two yields to the event loop: under 20 ms."""
SLICES_A_PASS = 40
COMMIT_SECONDS = 1.0
COMMIT_AGAIN_SECONDS = 60.0
FENCE_SESSIONS = 0.8
"""A standstill of this part of a session is too long: Faust's last heartbeat before it may be a tenth of a session old."""


def _wall() -> datetime:
    return datetime.now(UTC)


class _Gone(Exception):  # noqa: N818 - not an error: the share is no longer ours to write
    pass


class Publishing:
    """The publishing loop of one worker."""

    def __init__(
        self,
        settings: Settings,
        rules: int,
        carrier: Carrier,
        ownership: Ownership,
        delivery: Delivery,
        verdicts: Verdicts,
        metrics: Metrics,
        log_id: Callable[[], str],
        wall: Callable[[], datetime] = _wall,
        uptime_seconds: Callable[[], float] = uptime_seconds,
    ) -> None:
        self._settings = settings
        self._rules = rules
        self._carrier = carrier
        self._ownership = ownership
        self._delivery = delivery
        self._verdicts = verdicts
        self._metrics = metrics
        self._log_id = log_id
        self._wall = wall
        self._uptime_seconds = uptime_seconds
        self._fence = Fence(FENCE_SESSIONS * settings.session_seconds)
        self._done: Positions | None = None
        self._committed: Positions = {}
        self._committed_at = 0.0

    async def beat(self) -> None:
        """Until cancelled: notice soon when this process was stopped or starved."""
        while True:
            self._open()
            await asyncio.sleep(0.05)

    async def publish(self) -> None:
        """Until cancelled: a pass ten times a second; province rows and every row again at their intervals."""
        next_heartbeat = next_republish = 0.0
        while True:
            started = time.monotonic()
            heartbeat, republish = started >= next_heartbeat, started >= next_republish
            if heartbeat:
                next_heartbeat = started + self._settings.heartbeat_seconds
            if republish:
                next_republish = started + self._settings.republish_seconds
            done: Positions = {}
            since_ms: list[int] = []
            held = list(self._carrier.held.values())
            for one in held:
                if one.ready:
                    one.republish |= republish
                    await self._publish_share(one, heartbeat, done, since_ms)
            ready = sum(one.ready for one in held)
            self._metrics.shares(ready, len(held) - ready)
            await self._delivery.settle()
            for moment_ms in since_ms:
                self._metrics.event_published(self._wall().timestamp() - moment_ms / 1000)
            if done:
                self._done = done
            self._metrics.published(time.monotonic() - started)
            await asyncio.sleep(max(0.0, PASS_SECONDS - (time.monotonic() - started)))

    async def commit(self) -> None:
        """Until cancelled: commit how far rows and dead letters are acknowledged."""
        while True:
            await asyncio.sleep(COMMIT_SECONDS)
            await self.commit_now()

    async def commit_now(self) -> None:
        """Commit what the last whole pass settled, if it is news or a minute old."""
        positions, self._done = self._done, None
        if not positions or (positions == self._committed and time.monotonic() - self._committed_at < COMMIT_AGAIN_SECONDS):
            return
        if await self._carrier.progress.write(positions):
            self._committed, self._committed_at = positions, time.monotonic()
        else:
            self._metrics.progress_failed()

    def _open(self) -> bool:
        was = self._fence.closed
        is_open = self._fence.beat(self._uptime_seconds(), self._ownership.generation)
        if was == is_open:
            log.warning("the fence is %s", "open again" if is_open else "closed: this process stood still for about its session")
        return is_open

    def _check(self, one: Held) -> None:
        """Raise _Gone unless this share may be written right now: asked after every wait."""
        if self._carrier.held.get(one.share.number) is not one or not self._carrier.follows or not self._open():
            # whatever was not written now is written whole when the share is ready, or the fence open, again
            one.republish = True
            raise _Gone

    async def _publish_share(self, one: Held, heartbeat: bool, done: Positions, since_ms: list[int]) -> None:
        """One share's part of a pass; what it has published up to is added to `done` and `since_ms`."""
        try:
            self._check(one)
            oldest_ms, one.oldest_unpublished_ms = one.oldest_unpublished_ms, None
            as_of = self._settings.as_of(self._wall())
            republish, one.republish = one.republish, False
            settled = True
            for province in one.share.provinces.values():
                settled &= await self._settle(one, province, as_of, hold=republish)
                if settled and (republish or heartbeat):
                    await self._again(one, province, as_of, whole=republish)
            if not settled:
                # more than one pass can do: go on in the next
                one.republish |= republish
                return
            if republish:
                await self._strike_out(one, as_of)
            # an event that came while rows were sent waits for the next pass, and so do the offsets
            if not any(province.pending(as_of) for province in one.share.provinces.values()):
                done |= {(topic, one.share.number): offset for topic, offset in one.done.items()}
            if oldest_ms is not None:
                since_ms.append(oldest_ms)
        except _Gone:
            return

    async def _settle(self, one: Held, province: Province, as_of: datetime, *, hold: bool) -> bool:
        """Assess what changed and publish it (with `hold`: leave it to `_again`); False when it is more than one pass can do."""
        waiting: list[tuple[ProvinceRow, bytes]] = []
        for _ in range(SLICES_A_PASS):
            if not province.pending(as_of):
                break
            changed = province.rows(as_of, SLICE)
            version = self._version(one, province.as_of)
            if not hold:
                self._send(one, (row for row in changed if isinstance(row, CommuneRow)), version)
                waiting += [(row, version) for row in changed if isinstance(row, ProvinceRow)]
            await asyncio.sleep(0)
            await self._delivery.room()
            self._check(one)
        if waiting:
            await self._judge(one, province, [row for row, _ in waiting])
            for row, version in waiting:
                self._send(one, [row], version)
        return not province.pending(as_of)

    async def _again(self, one: Held, province: Province, as_of: datetime, *, whole: bool) -> None:
        """Publish these rows as they are: nothing is pending, so they are true at this moment's version, however long the sending takes."""
        version = self._version(one, max(as_of, province.as_of))
        every: Sequence[Row] = province.all_rows() if whole else province.province_rows()
        await self._judge(one, province, [row for row in every if isinstance(row, ProvinceRow)], ask=whole)
        for start in range(0, len(every), SLICE):
            self._send(one, every[start : start + SLICE], version)
            await asyncio.sleep(0)
            await self._delivery.room()
            self._check(one)

    async def _judge(self, one: Held, province: Province, changed: list[ProvinceRow], *, ask: bool = False) -> None:
        """Append the verdicts that changed, and wait until they are there: a row never shows a verdict that the history lacks.

        With `ask`, look whether the history is as we know it even when nothing changed.
        """
        assert one.outputs is not None  # noqa: S101 - a ready share has read its outputs
        self._check(one)
        news: dict[str, VerdictEvent] = {}
        entries = []
        for row in changed:
            before = news.get(row.key) or one.outputs.verdicts.get(row.key)
            if before is None or before.data.to is not row.verdict:
                event = news[row.key] = rows.verdict_event(row, before, province.cause(row), self._rules, province.as_of)
                entries.append((row.key.encode(), rows.encode(event)))
        if not entries and not ask:
            return
        try:
            one.outputs.verdicts_end = await self._verdicts.append(one.share.number, one.outputs.verdicts_end, entries)
        except Elsewhere as why:
            log.warning("%s; will read them again", why)
            self._carrier.look_again()
        else:
            one.outputs.verdicts.update(news)
        self._check(one)

    async def _strike_out(self, one: Held, as_of: datetime) -> None:
        """Tombstones for the keys that the register and the catalogue no longer know."""
        assert one.outputs is not None  # noqa: S101 - a ready share has read its outputs
        known = {key for province in one.share.provinces.values() for key in province.row_keys()}
        version = self._version(one, as_of)
        for topic, keys in one.outputs.keys.items():
            for key in sorted(keys - known):
                await self._delivery.room()
                self._check(one)
                self._delivery.send(topic, one.share.number, key.encode(), None, [(rows.VERSION_HEADER, version)])
                keys.discard(key)

    def _version(self, one: Held, as_of: datetime) -> bytes:
        return rows.encode(Version(self._rules, self._log_id(), one.share.offsets, as_of))

    def _send(self, one: Held, some: Iterable[Row], version: bytes) -> None:
        headers: list[tuple[str, bytes | None]] = [(rows.VERSION_HEADER, version)]
        for row in some:
            topic = COMMUNES.name if isinstance(row, CommuneRow) else PROVINCES.name
            self._delivery.send(topic, one.share.number, row.key.encode(), rows.encode(row), headers)
