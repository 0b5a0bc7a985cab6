"""A window's profiles and their reference's -> nulls, values out of range, new categories, constants, repeats.

Each share is held against what the reference leads one to expect of a window of this size, by a chance that holds the
reference's own sampling error (compute/shares.py). All checks of a model are decided together by Benjamini and
Hochberg, so that a window in which nothing changed raises a false alarm as seldom as drift does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seamark.compute import shares
from seamark.compute.calibrate import benjamini_hochberg
from seamark.compute.profiles import Levels, Numbers, Profile, count_levels
from seamark.compute.shares import IntArray
from seamark.core.quality import FeatureQuality, QualityCheck, QualityState

NEW_CATEGORIES_SHOWN = 10
SMALL = 0.01  # of all rows: certain, but no alarm


@dataclass(frozen=True)
class Repeats:
    """How often each different row of features occurs in both samples, aligned."""

    before: IntArray
    after: IntArray


@dataclass
class _Quality:
    """A feature and its checks before they are decided together."""

    feature: FeatureQuality
    checks: list[QualityCheck]


def assess(
    current: Mapping[str, Profile],
    reference: Mapping[str, Profile] | None,
    kinds: Mapping[str, str],
    repeats: Repeats | None,
    *,
    rows_min: int = 100,
    false_alarms: float = 0.001,
) -> tuple[list[FeatureQuality], QualityCheck]:
    """Return a finding per feature of the window, by name, and how many of its rows repeat another.

    Profiles are Numbers or Levels, as `kinds` says "numeric" or "categorical"; other kinds are left out. Ratios are of
    all rows of a column (nulls) or of the values that are there (range, categories); without rows or values they are
    None. Without a reference (None) nothing is decided. `repeats` None: rows could not be compared.
    """
    found = [_feature(name, current[name], reference, rows_min) for name in sorted(current) if name in kinds]
    duplicates = _duplicates(repeats, rows_min, known=reference is not None)
    checks = [check for one in found for check in one.checks] + [duplicates]
    decided = iter(_decided(checks, false_alarms))
    features = [replace(one.feature, checks=tuple(next(decided) for _ in one.checks)) for one in found]
    return features, next(decided)


def _decided(checks: list[QualityCheck], false_alarms: float) -> list[QualityCheck]:
    p_values = [check.p_value for check in checks if check.p_value is not None]
    rejected = iter(benjamini_hochberg(p_values, false_alarms)[0])
    return [check if check.p_value is None else replace(check, state=_state(check, next(rejected))) for check in checks]


def _state(check: QualityCheck, rejected: bool) -> QualityState:
    if not rejected:
        return QualityState.NO_CHANGE
    return QualityState.WORSE if (check.difference or 0.0) >= SMALL else QualityState.CERTAIN_SMALL


def _feature(name: str, now: Profile, reference: Mapping[str, Profile] | None, rows_min: int) -> _Quality:
    before = reference.get(name) if reference else None
    if before is not None and type(before) is not type(now):
        before = None
    rows = now.rows + now.nulls
    checks = [_nulls(now, before)]
    outside = new = None
    shown: tuple[str, ...] = ()
    if isinstance(now, Numbers):
        checks.append(_out_of_range(now, before if isinstance(before, Numbers) else None))
        outside = checks[-1].ratio
    elif isinstance(now, Levels):
        check, shown = _new_categories(now, before if isinstance(before, Levels) else None)
        checks.append(check)
        new = check.ratio
    checks.append(_constant(now, before))
    unknown = None
    if reference is None:
        unknown = QualityState.NO_REFERENCE
    elif before is None:
        unknown = QualityState.NOT_IN_REFERENCE
    elif min(rows, before.rows + before.nulls) < max(rows_min, 1):
        unknown = QualityState.TOO_FEW_ROWS
    if unknown is not None:
        checks = [replace(check, state=unknown, p_value=None) for check in checks]
    kind = "numeric" if isinstance(now, Numbers) else "categorical"
    feature = FeatureQuality(name, kind, rows, checks[0].ratio, outside, new, shown)
    return _Quality(feature, checks)


def _nulls(now: Profile, before: Profile | None) -> QualityCheck:
    rows = now.rows + now.nulls
    check = _counted("nulls", now.nulls, rows)
    if not rows or before is None or not before.rows + before.nulls:
        return check
    rows_before = before.rows + before.nulls
    low, high = shares.newcombe(now.nulls, rows, before.nulls, rows_before)
    return replace(
        check,
        reference_ratio=before.nulls / rows_before,
        difference=now.nulls / rows - before.nulls / rows_before,
        difference_low=low,
        difference_high=high,
        p_value=shares.chance_of_count(now.nulls, rows, before.nulls, rows_before),
    )


def _out_of_range(now: Numbers, before: Numbers | None) -> QualityCheck:
    if before is None or not before.rows or not now.rows:
        return QualityCheck("out_of_range", QualityState.TOO_FEW_ROWS)
    least, most = before.ordered[0], before.ordered[-1]
    count = int(np.searchsorted(now.ordered, least, side="left"))
    count += now.rows - int(np.searchsorted(now.ordered, most, side="right"))
    chance = shares.chance_outside(count, now.rows, before.rows)
    return _against(_counted("out_of_range", count, now.rows), shares.expected_outside(before.rows), chance)


def _new_categories(now: Levels, before: Levels | None) -> tuple[QualityCheck, tuple[str, ...]]:
    if before is None or not before.rows or not now.rows:
        return QualityCheck("new_categories", QualityState.TOO_FEW_ROWS), ()
    fresh = np.asarray(pc.invert(pc.is_in(now.names, value_set=before.names)))
    names = now.names.filter(pa.array(fresh)).to_pylist()
    ranked = sorted(zip((-now.counts[fresh]).tolist(), names, strict=True))
    count = int(now.counts[fresh].sum())
    chance, expected = shares.chance_of_new(count, now.rows, *count_levels(before, now))
    check = _against(_counted("new_categories", count, now.rows), expected, chance)
    return check, tuple(name for _, name in ranked[:NEW_CATEGORIES_SHOWN])


def _constant(now: Profile, before: Profile | None) -> QualityCheck:
    """Whether one value is all there is, where the reference has several."""
    check = QualityCheck("constant", QualityState.TOO_FEW_ROWS)
    if not now.rows:
        return check
    single = _single(now)
    check = replace(check, ratio=float(single))
    if before is None or not before.rows:
        return check
    chance = 1.0
    if single and isinstance(now, Numbers | Levels) and isinstance(before, Numbers | Levels):
        was, is_ = count_levels(before, now)
        chance = shares.chance_constant(now.rows, before.rows, was + is_)
    was_single = float(_single(before))
    return replace(check, reference_ratio=was_single, difference=float(single) - was_single, p_value=chance)


def _single(profile: Profile) -> bool:
    """Whether all values are one."""
    if isinstance(profile, Numbers):
        return bool(profile.ordered[0] == profile.ordered[-1])
    return isinstance(profile, Levels) and len(profile.counts) == 1


def _duplicates(repeats: Repeats | None, rows_min: int, *, known: bool) -> QualityCheck:
    """Rows that repeat another row of the window, beyond what a window of this size has by chance."""
    unknown = QualityState.TOO_FEW_ROWS if known else QualityState.NO_REFERENCE
    check = QualityCheck("duplicates", unknown)
    if repeats is None:
        return check
    rows, rows_before = int(repeats.after.sum()), int(repeats.before.sum())
    if not rows:
        return check
    count = rows - int((repeats.after > 0).sum())
    check = replace(check, ratio=count / rows)
    if not known or min(rows, rows_before) < max(rows_min, 1):
        return check
    chance, expected, error = shares.chance_of_repeats(count, rows, repeats.before, repeats.after)
    difference = count / rows - expected
    return replace(
        check,
        reference_ratio=expected,
        difference=difference,
        difference_low=difference - shares.Z_95 * error,
        difference_high=difference + shares.Z_95 * error,
        p_value=chance,
    )


def _counted(name: str, count: int, rows: int) -> QualityCheck:
    check = QualityCheck(name, QualityState.TOO_FEW_ROWS)
    if not rows:
        return check
    low, high = shares.wilson(count, rows)
    return replace(check, ratio=count / rows, low=low, high=high)


def _against(check: QualityCheck, expected: float, chance: float) -> QualityCheck:
    """Return a share with what was expected of it; the interval of the difference is that of the window's share."""
    assert check.ratio is not None and check.low is not None and check.high is not None
    return replace(
        check,
        reference_ratio=expected,
        difference=check.ratio - expected,
        difference_low=check.low - expected,
        difference_high=check.high - expected,
        p_value=chance,
    )
