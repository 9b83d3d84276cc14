"""Chance without a state: every draw has a name, and the same seed and name give the same number on any machine.

Comes in: a seed number, and the name of what is decided. Goes out: numbers from 0 to 1. Owns no state. No draw depends on how many were
made before it, so that a new habit, a longer run or another order shifts no other decision. Only integers and IEEE multiplication are used:
no logarithm, no hash order, nothing that differs from one machine or Python to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import shake_128
from struct import unpack
from typing import TypeVar

T = TypeVar("T")

_UNIT = 2.0**-53
_BYTES = 8


class Chance:
    """Draws of one seed. A name is a few texts or numbers; a number and its digits are the same name."""

    def __init__(self, seed: int) -> None:
        self._stem = shake_128(f"phusong simulate {seed}\n".encode())

    def lots(self, count: int, *name: object) -> tuple[float, ...]:
        """That many numbers, each at least 0 and below 1; a larger count begins with the same ones."""
        digest = self._stem.copy()
        digest.update("\n".join(map(str, name)).encode())
        return tuple([(word >> 11) * _UNIT for word in unpack(f">{count}Q", digest.digest(_BYTES * count))])

    def lot(self, *name: object) -> float:
        """One number, at least 0 and below 1."""
        return self.lots(1, *name)[0]

    def below(self, count: int, *name: object) -> int:
        """A whole number from 0 to `count` - 1."""
        return int(self.lot(*name) * count)

    def between(self, least: int, most: int, *name: object) -> int:
        """A whole number from `least` to `most`."""
        return least + self.below(most - least + 1, *name)

    def one_of(self, several: Sequence[T], *name: object) -> T:
        """One of several."""
        return several[self.below(len(several), *name)]
