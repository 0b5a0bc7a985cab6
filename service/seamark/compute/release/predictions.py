"""Predictions of both versions, by block -> how far apart their distributions are, with what chance does."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from seamark.compute.columns import FloatArray, IntArray
from seamark.compute.release.blocks import ROWS_MIN, TAIL_SAME, Evidence, Pairing, pair
from seamark.compute.release.shares import per_block

CLASSES_MAX = 50  # more distinct whole numbers than this are a quantity
_LEVELS_MAX = 200  # texts beyond the most frequent ones are taken together
_CUTS = 100
_DRAWS = 400
_BATCHES_MIN = 10


def compare_predictions(
    side: IntArray, block: IntArray, blocks: int, numbers: FloatArray, texts: npt.NDArray[Any], tolerance: float
) -> Evidence:
    """Return the evidence of a distance between the predictions of both versions, arrays aligned by row.

    Numbers (NaN is none): the largest difference of the two distribution functions (Kolmogorov and Smirnov's D).
    Texts (None is none), or few distinct whole numbers: half the summed differences of the shares (total variation).
    Either is 0 to 1: at least so large a share of predictions is another. How far chance moves it is found by
    weighting blocks at random (Chernozhukov, Chetverikov and Kato, 2013), with a fixed seed.
    """
    there = np.array([text is not None for text in texts], dtype=bool)
    classes = bool(there.any()) or _few_whole(numbers)
    if classes:
        cells, known, width = _levels(numbers, texts, there)
    else:
        known = np.isfinite(numbers)
        cuts = (
            np.unique(np.quantile(numbers[known], np.linspace(0, 1, _CUTS + 1)[1:-1])) if known.any() else np.zeros(1)
        )
        cells, width = np.searchsorted(cuts, numbers[known], side="left"), len(cuts) + 1
    side, block = side[known], block[known]
    counts = per_block(side, block, blocks)
    pairing = pair(counts)
    rows = (int(counts[0].sum()), int(counts[1].sum()))
    if pairing is None or min(pairing.rows()) < ROWS_MIN:
        return Evidence(rows, enlarge=ROWS_MIN / min(rows) if 0 < min(rows) < ROWS_MIN else None)
    flat = (side * blocks + block) * width + cells
    table = np.bincount(flat, minlength=2 * blocks * width).reshape(2, blocks, width).astype(np.float64)
    shares = pairing.merged(table) / pairing.counts[:, :, None]
    return _distance(shares if classes else shares.cumsum(axis=2), pairing, tolerance, classes=classes)


def _distance(shares: FloatArray, pairing: Pairing, tolerance: float, *, classes: bool) -> Evidence:
    from scipy.stats import norm
    from scipy.stats import t as student

    def size(differences: FloatArray) -> FloatArray:
        found: FloatArray = np.abs(differences).sum(axis=-1) / 2 if classes else np.abs(differences).max(axis=-1)
        return found

    weights = pairing.weights[None, :, None]
    whole = (weights * shares).sum(axis=1)
    parts = (weights * (shares - whole[:, None, :]))[1] - (weights * (shares - whole[:, None, :]))[0]
    parts, freedom = _runs(parts)
    draws = np.random.default_rng(0).standard_normal((_DRAWS, len(parts)))
    chance = size(draws @ parts) * float(student.isf(TAIL_SAME, freedom) / norm.isf(TAIL_SAME))
    found = float(size(whole[1] - whole[0]))
    reach = float(np.quantile(chance, 1 - TAIL_SAME))
    beyond = (found - tolerance - float(chance.mean())) / max(float(chance.std()), 1e-12)
    return Evidence(
        pairing.rows(),
        effect=found,
        low=max(found - reach, 0.0),
        high=min(found + reach, 1.0),
        p_worse=float(norm.sf(beyond)),
        within=found + reach < tolerance,
        enlarge=((reach + float(chance.mean())) / tolerance) ** 2,
    )


def _runs(parts: FloatArray) -> tuple[FloatArray, float]:
    """Return the blocks' parts summed over runs of the length that makes them largest, and degrees of freedom.

    As in blocks.long_run_error, over all cells together. What independent runs of blocks make is kept as it is.
    """
    centred = parts - parts.mean(axis=0)
    best, freedom, largest, length = centred, len(parts) - 1.0, -1.0, 1
    while length == 1 or len(parts) // length >= _BATCHES_MIN:
        runs = np.add.reduceat(centred, np.arange(0, len(parts), length), axis=0)
        runs = runs - runs.mean(axis=0)
        spread = float((runs**2).sum()) / (1.0 - 1.0 / len(runs))
        if spread > largest:
            best, freedom, largest = runs / np.sqrt(1.0 - 1.0 / len(runs)), len(runs) - 1.0, spread
        length *= 2
    return best, freedom


def _few_whole(numbers: FloatArray) -> bool:
    known = numbers[np.isfinite(numbers)]
    return bool((known == np.round(known)).all()) and len(np.unique(known)) <= CLASSES_MAX


def _levels(
    numbers: FloatArray, texts: npt.NDArray[Any], there: npt.NDArray[np.bool_]
) -> tuple[IntArray, npt.NDArray[np.bool_], int]:
    """Return each known row's class as a number, which rows are known, and how many classes there are."""
    known = there | np.isfinite(numbers)
    names = np.array(
        [text if text is not None else repr(number) for text, number in zip(texts, numbers.tolist(), strict=True)],
        dtype=object,
    )[known]
    order: dict[str, int] = {}
    codes = np.array([order.setdefault(name, len(order)) for name in names.tolist()], dtype=np.int64)
    if len(order) > _LEVELS_MAX:
        # Of equally frequent ones by a hash: those that were seen first would all be the baseline's.
        hashes = np.array([zlib.crc32(name.encode("utf-8", "surrogatepass")) for name in order])
        often = np.lexsort((hashes, -np.bincount(codes)))[: _LEVELS_MAX - 1]
        place = np.full(len(order), _LEVELS_MAX - 1)
        place[often] = np.arange(len(often))
        return place[codes], known, _LEVELS_MAX
    return codes, known, max(len(order), 1)
