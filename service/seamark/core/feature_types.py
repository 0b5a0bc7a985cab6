"""What a feature of a model version is (number, word, list of numbers), since when and why; and rows that differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

NUMERIC, CATEGORICAL, VECTOR = "numeric", "categorical", "vector"
WORDS = {NUMERIC: "a number", CATEGORICAL: "a string or boolean", VECTOR: "a list of numbers"}


@dataclass(frozen=True)
class FixedType:
    """The kind a feature has from `since` on: by the reference of this id, or (None) by the first rows that told it."""

    kind: str  # "numeric" | "categorical" | "vector", of whatever dimension
    since: datetime
    reference_id: str | None = None


@dataclass(frozen=True)
class TypeClash:
    """A row that was refused because a feature came as `sent` and is of another kind."""

    model: str
    version: str
    feature: str
    sent: str  # "numeric" | "categorical" | "vector", of whatever dimension


# (model, version) -> the types that are fixed, by feature.
Types = Mapping[str, FixedType]
TypesOf = Callable[[str, str], Types]


def clash_reason(clash: TypeClash, value: str, fixed: FixedType) -> str:
    """Return why a row is refused: feature, what was sent (`value`, as shown), its type, since when and by what.

    >>> from datetime import UTC
    >>> at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    >>> clash_reason(TypeClash("m", "2", "age", "categorical"), "'41'", FixedType("numeric", at))
    "features.age: '41' is a string or boolean; of version '2' it is a number since 2026-03-01T12:00:00Z, by the first \
rows that had it; send a number, or rows of a new version"
    """
    why = f"by reference {fixed.reference_id}" if fixed.reference_id else "by the first rows that had it"
    since = fixed.since.isoformat(timespec="seconds").replace("+00:00", "Z")
    of = f"of version {clash.version[:100]!r}" if clash.version else "of this model"
    right = WORDS[fixed.kind]
    told = f"{value} is {WORDS[clash.sent]}; {of} it is {right} since {since}, {why}"
    return f"features.{clash.feature}: {told}; send {right}, or rows of a new version"
