"""Who owns which share: Faust decides, through its public hooks alone.

Comes in: Faust's assignments of the empty topic coverage.shares.v1. Goes out: `Ownership.shares`, and `Ownership.generation`, which grows
with every assignment and revocation. Owns nothing else. While a rebalance is under way no share is owned.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import faust
from faust.types import TP

from phusong.topics import SHARES

log = logging.getLogger(__name__)


class Ownership:
    """The shares that this worker owns at this moment."""

    def __init__(self, app: faust.App) -> None:
        self.shares: frozenset[int] = frozenset()
        self.generation = 0
        self.revoked: Callable[[], Awaitable[None]] | None = None
        """Awaited inside the revocation: the next owner is assigned only after it returns."""
        app.topics.add(app.topic(SHARES.name, key_type=bytes, value_type=bytes, partitions=SHARES.partitions))

        @app.on_partitions_assigned.connect  # type: ignore[arg-type]  # Faust passes the app, its signature says Any
        async def _assigned(_: faust.App, assigned: set[TP], **__: Any) -> None:
            self.shares = frozenset(tp.partition for tp in assigned if tp.topic == SHARES.name)
            self.generation += 1
            log.info("assigned shares %s", sorted(self.shares))

        @app.on_partitions_revoked.connect  # type: ignore[arg-type]
        async def _taken(_: faust.App, _revoked: set[TP], **__: Any) -> None:
            log.info("revoked shares %s", sorted(self.shares))
            self.shares = frozenset()
            self.generation += 1
            if self.revoked is not None:
                await self.revoked()

        # the app keeps only weak references to its receivers
        self._receivers = (_assigned, _taken)
