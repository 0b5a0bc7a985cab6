"""A seed and a place -> numbers that look like chance and are the same everywhere: SplitMix64.

Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
"""

from __future__ import annotations

from functools import lru_cache

_MASK = 2**64 - 1
_GAMMA = 0x9E3779B97F4A7C15


def mixed(seed: int, place: int) -> int:
    """Return 64 bits for a place: of one seed no two places (below 2^64) have the same."""
    return _mix((_start(seed) + (place + 1) * _GAMMA) & _MASK)


@lru_cache(maxsize=64)  # one seed is asked for as often as there are requests
def _start(seed: int) -> int:
    return _mix(seed & _MASK)


def _mix(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


class Chance:
    """Draws one after the other; two of the same seed draw the same."""

    def __init__(self, seed: int) -> None:
        self._state = seed & _MASK

    def share(self) -> float:
        """Draw a number from 0 to below 1, evenly, of 53 bits."""
        self._state = (self._state + _GAMMA) & _MASK
        return (_mix(self._state) >> 11) / 2**53

    def below(self, count: int) -> int:
        """Draw a whole number from 0 to below `count`, as evenly as 53 bits can be shared out."""
        return min(int(self.share() * count), count - 1)
