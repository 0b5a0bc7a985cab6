"""The buckets of a histogram point, explicit or exponential, become upper bounds and counts that lists can hold.

Of n bounds there are n+1 counts: the first bucket ends at the first bound (inside), the last one has no end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from seamark.wire.values import RowRefused, shown

BUCKETS_MAX = 1_000  # of one explicit histogram: beyond it the point is refused
EXPONENTIAL_BUCKETS_MAX = 160  # of each side; the SDKs' own bound. More are merged, which halves their resolution
SCALE_MIN, SCALE_MAX = -10, 20  # as the SDKs have it: coarser is one bucket, finer is below a double's precision
OFFSET_MAX = 2**31
COUNT_MAX = 2**63 - 1
_EXPONENT_MAX = 1024  # 2 to this is infinite in a double
_EXPONENT_MIN = -1074  # and below this it is 0

Buckets = tuple[list[float], list[int]]


def explicit(bounds: Sequence[float], counts: Sequence[int]) -> Buckets | None:
    """Return a histogram's buckets, checked; None where it has none (only count and sum)."""
    if not bounds and not counts:
        return None
    if len(counts) > BUCKETS_MAX:
        raise RowRefused(f"the point has {len(counts):,} buckets; at most {BUCKETS_MAX:,} are taken")
    if len(counts) != len(bounds) + 1:
        raise RowRefused(f"{len(bounds)} bounds make {len(bounds) + 1} buckets, but {len(counts)} counts came")
    if not all(map(math.isfinite, bounds)):
        raise RowRefused("a bound of the buckets is not a finite number")
    if any(low >= high for low, high in pairwise(bounds)):
        raise RowRefused("the bounds of the buckets do not rise")
    for count in counts:
        checked_count(count, "a bucket's count")
    return list(bounds), list(counts)


def exponential(
    scale: int,
    zero_count: int,
    zero_threshold: float,
    positive: tuple[int, Sequence[int]],
    negative: tuple[int, Sequence[int]],
) -> Buckets:
    """Return an exponential histogram's buckets with their bounds worked out; sides are (offset, counts).

    Bucket i of a side reaches from base^(offset+i) to base^(offset+i+1), where base is 2^(2^-scale). Empty buckets at
    the ends are left out, and those beyond what a double holds are counted in the last one.
    """
    if not SCALE_MIN <= scale <= SCALE_MAX:
        raise RowRefused(f"scale {shown(scale)} does not lie between {SCALE_MIN} and {SCALE_MAX}")
    if not (math.isfinite(zero_threshold) and zero_threshold >= 0):
        raise RowRefused(f"zero threshold {zero_threshold:g} is not a number from 0")
    edges = _Edges()
    edges.side(_edges_of(scale, *negative), negative=True)
    if zero_threshold > 0:
        edges.push(-zero_threshold, 0)
    edges.push(zero_threshold, checked_count(zero_count, "zero count"))
    edges.side(_edges_of(scale, *positive), negative=False)
    return edges.buckets()


def checked_count(count: int, what: str) -> int:
    """Return a count that a signed 64-bit number holds."""
    if not 0 <= count <= COUNT_MAX:
        raise RowRefused(f"{what}: {shown(count)} does not lie between 0 and {COUNT_MAX}")
    return count


class _Edges:
    """Buckets that are added from the lowest to the highest; one that ends no higher than the last joins it."""

    def __init__(self) -> None:
        self._bounds: list[float] = []
        self._counts: list[int] = []
        self._below = 0  # counts of what lies below the lowest double
        self._beyond = 0

    def push(self, bound: float, count: int) -> None:
        """Add the bucket that ends at `bound`."""
        if bound == math.inf:
            self._beyond += count
        elif bound == -math.inf:
            self._below += count
        elif self._bounds and bound <= self._bounds[-1]:
            self._counts[-1] += count
        else:
            self._bounds.append(bound)
            self._counts.append(count + self._below)
            self._below = 0

    def side(self, found: tuple[list[float], list[int]], *, negative: bool) -> None:
        """Add one side's buckets: n+1 edges of rising magnitude, n counts between them."""
        edges, counts = found
        if not counts:
            return
        if not negative:
            self.push(edges[0], 0)
            for edge, count in zip(edges[1:], counts, strict=True):
                self.push(edge, count)
            return
        self.push(-edges[-1], 0)
        for edge, count in zip(reversed(edges[:-1]), reversed(counts), strict=True):
            self.push(-edge, count)

    def buckets(self) -> Buckets:
        """Return bounds and counts."""
        counts = [*self._counts, self._beyond]
        for count in counts:
            checked_count(count, "the buckets' counts together")
        return self._bounds, counts


def _edges_of(scale: int, offset: int, counts: Sequence[int]) -> tuple[list[float], list[int]]:
    """Return edges of rising magnitude (n+1) and counts (n) of one side, merged until they are few enough."""
    if not -OFFSET_MAX <= offset < OFFSET_MAX:
        raise RowRefused(f"offset {shown(offset)} has more than 32 bits")
    filled = [index for index, count in enumerate(counts) if checked_count(count, "a bucket's count")]
    if not filled:
        return [], []
    lowest, highest = offset + filled[0], offset + filled[-1]
    shift = 0
    while (highest >> shift) - (lowest >> shift) >= EXPONENTIAL_BUCKETS_MAX:
        shift += 1
    first = lowest >> shift
    merged = [0] * ((highest >> shift) - first + 1)
    for index in filled:
        merged[(offset + index >> shift) - first] += counts[index]
    edges = [_bound(scale - shift, first + index) for index in range(len(merged) + 1)]
    return edges, merged


def _bound(scale: int, index: int) -> float:
    """Return base^index, infinite or 0 where a double cannot hold it.

    >>> _bound(0, 3), _bound(1, 1), _bound(-1, 2), _bound(0, 2000), _bound(0, -2000)
    (8.0, 1.4142135623730951, 16.0, inf, 0.0)
    """
    exponent = math.ldexp(index, -scale)
    if exponent >= _EXPONENT_MAX:
        return math.inf
    return 0.0 if exponent < _EXPONENT_MIN else math.pow(2.0, exponent)
