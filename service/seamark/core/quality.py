"""What was concluded of the data of a window: nulls, ranges, categories, repeats and schema, against its reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from seamark.core.windows import Window

CHECKS = ("nulls", "out_of_range", "new_categories", "constant", "duplicates")
CHANGES = ("new", "vanished", "type_refused")


class QualityState(StrEnum):
    """What is known of one check in one window."""

    WORSE = "worse"
    CERTAIN_SMALL = "certain_small"  # worse beyond chance, by too little to matter
    NO_CHANGE = "no_change"
    TOO_FEW_ROWS = "too_few_rows"
    NO_REFERENCE = "no_reference"
    NOT_IN_REFERENCE = "not_in_reference"


@dataclass(frozen=True)
class QualityCheck:
    """One share of a window against its reference; what is not known is None.

    `ratio` with its 95 % interval (`low`, `high`) is of the window, `reference_ratio` is what the reference leads one
    to expect of a window of this size; `difference` is one less the other, with its 95 % interval. `p_value` is the
    chance of at least so much where nothing changed.
    """

    check: str  # one of CHECKS
    state: QualityState
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    reference_ratio: float | None = None
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    p_value: float | None = None

    @property
    def worse(self) -> bool | None:
        """True or False where it was decided, None where it is unknown."""
        if self.state == QualityState.WORSE:
            return True
        return False if self.state in (QualityState.NO_CHANGE, QualityState.CERTAIN_SMALL) else None


@dataclass(frozen=True)
class FeatureQuality:
    """Nulls, values outside the reference's range and categories it never saw, in one window; and what is decided."""

    feature: str
    kind: str
    rows: int  # with a value or without
    null_ratio: float | None
    out_of_range_ratio: float | None  # numeric; None without a reference
    new_category_ratio: float | None  # categorical; None without a reference
    new_categories: tuple[str, ...] = ()
    checks: tuple[QualityCheck, ...] = ()


@dataclass(frozen=True)
class SchemaChange:
    """A feature that is new, has vanished, or came with another type, so that `rows` rows were refused."""

    feature: str
    change: str  # one of CHANGES
    since: datetime | None = None  # new: first told; type_refused: last refused; None where it is not known
    rows: int | None = None
    version: str | None = None
    sent: str | None = None  # "numeric" | "categorical"


@dataclass(frozen=True)
class QualityFinding:
    """All features of one model in one window; `worse` is None where nothing could be judged."""

    model: str
    version: str | None
    window: Window
    rows: int
    features: tuple[FeatureQuality, ...]
    duplicates: QualityCheck
    schema: tuple[SchemaChange, ...] = ()
    reference_id: str | None = None
    segment: Mapping[str, str] = field(default_factory=dict)

    @property
    def worse(self) -> bool | None:
        """Whether any check is worse; None where none is and one of a feature of the reference is unknown."""
        checks = [self.duplicates, *(check for feature in self.features for check in feature.checks)]
        judged = [check.worse for check in checks if check.state != QualityState.NOT_IN_REFERENCE]
        if any(judged):
            return True
        return None if not judged or None in judged else False
