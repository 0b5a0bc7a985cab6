"""How one feature's values lie in a window and in its reference, counted over the same bins or levels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from seamark.core.windows import Window


@dataclass(frozen=True)
class Bin:
    """Counts of the values from `low` (inside) to `high` (outside, the last bin's inside); one value: `low` is `high`.

    `outer` marks a bin that gathers what lies far out, so that its width is not that of the others.
    """

    low: float
    high: float
    rows: int
    reference_rows: int
    outer: bool = False


@dataclass(frozen=True)
class Level:
    """Counts of one text. `new`: the reference, which has values, never saw it. A long text is cut."""

    level: str
    rows: int
    reference_rows: int
    new: bool


@dataclass(frozen=True)
class OtherLevels:
    """The levels that are not listed one by one: how many, how many of them are new, and their rows."""

    levels: int
    new_levels: int
    rows: int
    new_rows: int
    reference_rows: int


@dataclass(frozen=True)
class Side:
    """One of the two samples: its rows, those of them with a value, and for numbers its quantiles by name."""

    rows: int
    present: int
    quantiles: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Distribution:
    """A feature in a window beside its reference (None: there is none, or it lacks the feature).

    Numbers have `bins`, texts `levels`; a finding over several columns (a vector, all features) has neither.
    `sampled`: the window's counts are of a fixed part of its rows.
    """

    model: str
    version: str | None
    feature: str
    kind: str
    window: Window
    reference_id: str | None
    current: Side
    reference: Side | None
    bins: tuple[Bin, ...] = ()
    levels: tuple[Level, ...] = ()
    other_levels: OtherLevels | None = None
    sampled: bool = False
