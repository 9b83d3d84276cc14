"""How much one client may ask: token buckets, one for each name, within a bounded memory.

Comes in: a name (a key's id, an address), how many tokens it wants, and the clock. Goes out: 0.0, or how many seconds it must wait. Owns
the levels of the names that asked last; a name that is forgotten for others starts full again, as it would after a rest.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable


class Limits:
    """Buckets of `burst` tokens that fill at `rate` a second; a name's first one is full. At most `names_max` are remembered."""

    def __init__(self, rate: float, burst: float, names_max: int, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._names_max = names_max
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str, tokens: float) -> float:
        """Take the tokens and return 0.0, or take none and return the seconds until there are so many (at most `burst` can be)."""
        now = self._clock()
        level, since = self._levels.pop(name, (self._burst, now))
        level = min(self._burst, level + (now - since) * self._rate)
        wait = max(0.0, (min(tokens, self._burst) - level) / self._rate)
        self._levels[name] = (level if wait else level - tokens, now)
        if len(self._levels) > self._names_max:
            self._levels.popitem(last=False)
        return wait
