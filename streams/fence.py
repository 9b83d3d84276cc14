"""Whether this worker may still believe that it owns its shares.

Comes in: a beat at the start of every pass of the publishing loop, and assignments. Goes out: `closed`. Owns two moments.
A process that was stopped or starved for longer than its session has lost its shares without hearing of it. It stays silent until it is
assigned again, or until a further session has passed without a revocation: after a stop shorter than Faust's own patience neither comes.
"""

from __future__ import annotations

import time


def uptime_seconds() -> float:
    """A clock for fences: a suspended machine loses its session as a stopped process does, so it counts where the system can tell."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Fence:
    """Closed after a gap between two beats longer than the session. Times are seconds of a clock that goes on in a stopped process."""

    def __init__(self, session_seconds: float) -> None:
        self._session_seconds = session_seconds
        self._last: float | None = None
        self._closed_until: float | None = None
        self._generation = 0

    @property
    def closed(self) -> bool:
        """Whether the last beat forbade writing."""
        return self._closed_until is not None

    def beat(self, now: float, generation: int) -> bool:
        """Whether writing is allowed in this pass. `generation` is the ownership's: a new one is a revocation or an assignment."""
        gap_seconds = 0.0 if self._last is None else now - self._last
        self._last = now
        if gap_seconds > self._session_seconds:
            self._closed_until = now + self._session_seconds
            self._generation = generation
        elif self._closed_until is not None and (generation != self._generation or now >= self._closed_until):
            self._closed_until = None
        return self._closed_until is None
