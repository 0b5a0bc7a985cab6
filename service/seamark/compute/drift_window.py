"""One window of features and its reference become a drift finding: a score, a p-value and a decision for each."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from seamark.compute.calibrate import benjamini_hochberg
from seamark.compute.drift import METHODS
from seamark.compute.drift.method import DriftMethod, NullDistribution
from seamark.compute.joint_methods import JOINT_METHODS
from seamark.compute.profiles import Profile
from seamark.core.drift_parts import DriftPart
from seamark.core.findings import DriftFinding, DriftState, FeatureDrift
from seamark.core.specs import DriftSpec
from seamark.core.windows import Window

Profiles = Mapping[str, Profile]

# Both raise as many false alarms as they are asked to (tests/unit/compute/test_drift_calibration.py) and are measured
# beside single tests, and beside the neighbours at equal false alarms, in bench/drift.py. Any one test is blind
# somewhere: ks to a wider spread, wasserstein to heavy tails, a chi-square to one rare level among a thousand.
DEFAULT_METHODS = {"numeric": "ranks", "categorical": "levels"}


# Few draws tell a score of this p-value from one that could count at a rate of false alarms near 0.
_RARE = 0.03


@dataclass(frozen=True)
class _Judged:
    """A feature with its scores and the nulls they are held against, before the features are judged together."""

    drift: FeatureDrift
    tried: tuple[_Tried, ...]

    @property
    def best(self) -> _Tried:
        """The method that tells most."""
        return min(self.tried, key=lambda tried: tried.p_value)

    @property
    def p_value(self) -> float:
        return min(1.0, len(self.tried) * self.best.p_value)


@dataclass(frozen=True)
class _Tried:
    """One method's score of a feature."""

    method: DriftMethod
    score: float
    null: NullDistribution
    p_value: float

    def threshold(self, cut: float) -> float:
        return max(self.null.score_at(cut), self.method.small)


def judge(
    model: str,
    version: str | None,
    window: Window,
    current: Profiles,
    reference: Profiles | None,
    kinds: Mapping[str, str],
    spec: DriftSpec,
    reference_id: str | None = None,
    seed: int = 0,
    segment: Mapping[str, str] | None = None,
) -> DriftFinding:
    """Return what is known of each feature of `kinds`, in its order.

    `current` and `reference` map a feature to the profile of its column (compute/profiles.py), made by the profiler of
    its kind; `kinds` names the kind of each. Without a reference (None or empty) every feature is
    `no_reference`. `spec.methods` names a method per feature; a method that does not take the feature's kind gives way
    to the default of the kind, and the finding names the one that was used.

    Features are decided together by Benjamini and Hochberg at q = `spec.false_alarms`, which with no drift at all
    bounds the chance that any feature of the window raises a false alarm. `threshold` is the score at which this
    feature would drift in this window: the score at the cut, or the method's `small` where that is larger. Beyond
    chance but under `small` is `certain_small`. The same seed and input give the same finding.
    `segment` names the part of the window that `current` is.
    """
    features: dict[str, FeatureDrift | _Judged] = {
        feature: _measure(feature, kind, current, reference, spec, seed) for feature, kind in kinds.items()
    }
    judged = [feature for feature in features.values() if isinstance(feature, _Judged)]
    rejected, cut = benjamini_hochberg([feature.p_value for feature in judged], spec.false_alarms)
    decisions = iter(rejected)
    decided = tuple(
        _decide(feature, next(decisions), cut) if isinstance(feature, _Judged) else feature
        for feature in features.values()
    )
    return DriftFinding(model, version, window, decided, reference_id, segment or {})


def method_for(feature: str, kind: str, spec: DriftSpec) -> DriftMethod:
    """Return the method a feature is judged by, or the first of several."""
    return methods_for(feature, kind, spec)[0]


def methods_for(feature: str, kind: str, spec: DriftSpec) -> tuple[DriftMethod, ...]:
    """Return the methods a feature is judged by: the one the spec names if it takes the kind, else the defaults."""
    named = METHODS.get(spec.methods.get(feature, ""))
    if named is not None and kind in named.kinds:
        return (named,)
    return tuple(METHODS[name] for name in JOINT_METHODS.get(kind) or (DEFAULT_METHODS[kind],))


def _measure(
    feature: str, kind: str, current: Profiles, reference: Profiles | None, spec: DriftSpec, seed: int
) -> FeatureDrift | _Judged:
    methods = methods_for(feature, kind, spec)
    before, after = reference.get(feature) if reference else None, current.get(feature)
    rows, reference_rows = (0 if after is None else after.rows), (0 if before is None else before.rows)
    drift = FeatureDrift(feature, kind, methods[0].name, DriftState.NO_DRIFT, rows, reference_rows)
    if not reference:
        return replace(drift, state=DriftState.NO_REFERENCE)
    if after is None:
        return replace(drift, state=DriftState.NOT_IN_WINDOW)
    if before is None:
        return replace(drift, state=DriftState.NOT_IN_REFERENCE)
    if getattr(before, "dimension", None) != getattr(after, "dimension", None):
        return replace(drift, state=DriftState.OTHER_DIMENSION)
    if not rows and after.nulls:
        return replace(drift, state=DriftState.ALL_NULL)
    if min(rows, reference_rows) < max(spec.rows_min, 1):
        return replace(drift, state=DriftState.TOO_FEW_ROWS)
    rare = _RARE + 2 * spec.false_alarms
    return _Judged(drift, tuple(_try(method, before, after, _generator(seed, feature), rare) for method in methods))


def _try(method: DriftMethod, before: Profile, after: Profile, rng: np.random.Generator, rare: float) -> _Tried:
    null = method.null(before, after, rng)
    score = method.score(before, after)
    if null.sharpen is not None and null.p_value(score) < rare:
        null = null.sharpen()
    return _Tried(method, score, null, null.p_value(score))


def _decide(feature: _Judged, rejected: bool, cut: float) -> FeatureDrift:
    own_cut = cut / len(feature.tried)
    state, best = DriftState.NO_DRIFT, feature.best
    if rejected:
        # A method that is certain of something small must not hide another one's alarm.
        certain = [tried for tried in feature.tried if tried.p_value <= own_cut]
        large = [tried for tried in certain if tried.score >= tried.method.small]
        state = DriftState.DRIFT if large else DriftState.CERTAIN_SMALL
        best = min(large or certain or [best], key=lambda tried: tried.p_value)
    parts = tuple(DriftPart(t.method.name, t.score, t.p_value, t.threshold(own_cut)) for t in feature.tried)
    return replace(
        feature.drift,
        method=best.method.name,
        state=state,
        score=best.score,
        threshold=best.threshold(own_cut),
        p_value=feature.p_value,
        parts=parts if len(parts) > 1 else (),
    )


def _generator(seed: int, feature: str) -> np.random.Generator:
    """A generator of the feature's own, so that one feature's draws do not depend on which others are there."""
    name = int.from_bytes(hashlib.blake2b(feature.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
    return np.random.default_rng([abs(seed), name])
