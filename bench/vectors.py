"""Embeddings, with and without a change -> false alarms, power and time of ways to tell, all calibrated alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from bench.report import Result
from seamark.compute.calibrate import fit_null
from seamark.compute.drift import METHODS as DRIFT_METHODS
from seamark.compute.joint_methods import JOINT_METHODS
from seamark.compute.joint_values import uncorrelated
from seamark.compute.mean_shift import drawn_apart, means_apart, standardised
from seamark.compute.vector_profile import vectors

DIMENSION, REFERENCE_ROWS, ROWS = 96, 4_000, 500
WINDOWS = 30
ALARM_P = 0.01
_TOPICS = 24
_SPLITS = 200

Matrix = npt.NDArray[np.float32]
Judge = Callable[[Matrix, Matrix, np.random.Generator], float]  # -> the p-value


def run(*, quick: bool) -> Result:
    """Judge the same windows by every method."""
    windows = 1 if quick else WINDOWS
    found: dict[tuple[str, str], int] = {}
    taken_s = dict.fromkeys(METHODS, 0.0)
    for seed in range(windows):
        reference, changed = _draw(seed)
        for case, window in changed.items():
            for name, judge in METHODS.items():
                started_s = time.process_time()
                alarmed = judge(reference, window, np.random.default_rng(seed)) <= ALARM_P
                taken_s[name] += time.process_time() - started_s
                found[case, name] = found.get((case, name), 0) + alarmed
    cases = list(dict.fromkeys(case for case, _ in found))
    rows: list[dict[str, Any]] = [
        {
            "method": name,
            **{case: found[case, name] / windows for case in cases},
            "ms": 1_000 * taken_s[name] / windows / len(cases),
        }
        for name in METHODS
    ]
    return Result(
        "Embeddings: the share of windows called drifted",
        rows,
        [
            f"{windows} windows, {ROWS} vectors of {DIMENSION} numbers against {REFERENCE_ROWS}; alarm at {ALARM_P}.",
            "Each p-value is by random splits of the pooled vectors; only the last row has none: a fixed AUC of 0.55.",
            "ms: processor time for one window, splits included.",
        ],
        {"windows": windows, "rows": ROWS, "reference_rows": REFERENCE_ROWS, "dimension": DIMENSION, "p": ALARM_P},
    )


def _draw(seed: int) -> tuple[Matrix, dict[str, Matrix]]:
    """Return a reference and a window for each case: topics, in a space of which a few directions matter most."""
    rng = np.random.default_rng(seed)
    spread = (1.0 + np.arange(DIMENSION)) ** -0.5
    centres = rng.normal(size=(_TOPICS + 1, DIMENSION)) * spread * 1.2
    usual = np.append(np.full(_TOPICS, 1 / _TOPICS), 0.0)

    def embed(rows: int, shares: npt.NDArray[np.float64] = usual) -> npt.NDArray[np.float64]:
        return centres[rng.choice(_TOPICS + 1, rows, p=shares)] + rng.normal(size=(rows, DIMENSION)) * spread

    fresh, mixed = usual * 0.96, usual * np.where(np.arange(_TOPICS + 1) < 6, 2.0, 1.0)
    fresh[-1] = 0.04
    direction = rng.normal(size=DIMENSION)
    shift = 0.4 * direction * spread / np.sqrt((direction**2).sum())
    swapped = np.r_[0, 1, 3, 2, 4:DIMENSION]
    windows = {
        "none": embed(ROWS),
        "new topic, 4 %": embed(ROWS, fresh),
        "other topics": embed(ROWS, mixed / mixed.sum()),
        "shift": embed(ROWS) + shift,
        "length x 1.05": embed(ROWS) * 1.05,
        "noise": embed(ROWS) + rng.normal(size=(ROWS, DIMENSION)) * 0.04,
        "two numbers swapped": embed(ROWS)[:, swapped],
    }
    return embed(REFERENCE_ROWS).astype(np.float32), {case: rows.astype(np.float32) for case, rows in windows.items()}


def _ours(reference: Matrix, window: Matrix, rng: np.random.Generator) -> float:
    before, after = vectors(reference), vectors(window)
    p_values = []
    for name in JOINT_METHODS["vector"]:
        null, score = DRIFT_METHODS[name].null(before, after, rng), DRIFT_METHODS[name].score(before, after)
        if null.sharpen is not None and null.p_value(score) <= ALARM_P * 3:
            null = null.sharpen()
        p_values.append(null.p_value(score))
    return len(p_values) * min(p_values)


def _by_means(values: Matrix, rows: int, rng: np.random.Generator) -> float:
    drawn = np.sqrt((drawn_apart(values, rows, rng, _SPLITS) ** 2).sum(axis=1))
    return fit_null(drawn, power=2.0).p_value(float(np.sqrt((means_apart(values, rows) ** 2).sum())))


def _components(reference: Matrix, window: Matrix, rng: np.random.Generator) -> float:
    return _by_means(uncorrelated(np.concatenate([reference, window])), len(reference), rng)


def _mmd(reference: Matrix, window: Matrix, rng: np.random.Generator) -> float:
    """Maximum mean discrepancy, Gaussian kernel of the median distance, by 256 random Fourier features.

    A. Gretton et al., J. Mach. Learn. Res. 13, 2012; A. Rahimi and B. Recht, NeurIPS 2007.
    """
    both = np.concatenate([reference, window])
    pairs = rng.integers(0, len(both), (2, 2_000))
    distance = np.median(((both[pairs[0]] - both[pairs[1]]) ** 2).sum(axis=1))
    waves = both @ (rng.normal(size=(DIMENSION, 256)) / np.sqrt(distance)).astype(np.float32)
    values = np.hstack([np.cos(waves), np.sin(waves)])
    return _by_means((values - values.mean(axis=0)).astype(np.float32), len(reference), rng)


def _energy(reference: Matrix, window: Matrix, rng: np.random.Generator) -> float:
    """Energy distance over all pairs (G. Szekely and M. Rizzo, J. Stat. Plan. Inference 143, 2013)."""
    both, rows = np.concatenate([reference, window]), len(reference)
    squares = (both**2).sum(axis=1)
    apart = np.sqrt(np.maximum(squares[:, None] + squares - 2 * both @ both.T, 0))
    sides = np.zeros((_SPLITS + 1, len(both)), dtype=np.float32)
    sides[0, rows:] = 1
    for side in sides[1:]:
        side[rng.choice(len(both), len(window), replace=False)] = 1
    reached = sides @ apart
    inside, everything = (reached * sides).sum(axis=1), float(apart.sum(dtype=np.float64))
    across = reached.sum(axis=1) - inside
    outside = everything - inside - 2 * across
    energy = 2 * across / (rows * len(window)) - inside / len(window) ** 2 - outside / rows**2
    return fit_null(np.maximum(energy[1:], 0)).p_value(float(max(energy[0], 0)))


def _folded_auc(values: Matrix, window: npt.NDArray[np.bool_], fold: npt.NDArray[np.bool_]) -> float:
    found = 0.0
    for train in (fold, ~fold):
        direction = values[train & window].mean(axis=0) - values[train & ~window].mean(axis=0)
        theirs, ranks = window[~train], rankdata(values[~train] @ direction)
        count = int(theirs.sum())
        found += (ranks[theirs].sum() - count * (count + 1) / 2) / (count * (len(ranks) - count)) / 2
    return found


def _auc(reference: Matrix, window: Matrix, rng: np.random.Generator) -> float:
    values, rows = uncorrelated(np.concatenate([reference, window])), len(reference)
    fold = rng.permutation(len(values)) % 2 == 0
    seen = _folded_auc(values, np.arange(len(values)) >= rows, fold)
    drawn = []
    for _ in range(_SPLITS):
        sides = np.zeros(len(values), dtype=bool)
        sides[rng.choice(len(values), len(window), replace=False)] = True
        drawn.append(max(_folded_auc(values, sides, fold) - 0.5, 0.0))
    return fit_null(np.array(drawn), power=2.0).p_value(max(seen - 0.5, 0.0))


def _fixed_auc(reference: Matrix, window: Matrix, rng: np.random.Generator) -> float:
    """Evidently's rule for embeddings (EmbeddingsDrift, "model"): an AUC over 0.55 is drift, whatever the rows."""
    values, rows = standardised(np.concatenate([reference, window])), len(reference)
    fold = rng.permutation(len(values)) % 2 == 0
    return float(_folded_auc(values, np.arange(len(values)) >= rows, fold) <= 0.55)


METHODS: dict[str, Judge] = {
    "Seamark: components alone, and with squares and lengths": _ours,
    "components": _components,
    "MMD": _mmd,
    "energy distance": _energy,
    "AUC of a held-out half": _auc,
    "AUC over 0.55": _fixed_auc,
}
