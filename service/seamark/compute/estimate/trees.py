"""Binned features and targets -> gradient-boosted regression trees, grown a level at a time.

Friedman (2001, Annals of Statistics 29, 1189) with histograms: a level is two weighted counts, which NumPy makes for
all nodes, features and bins at once. Own code: no tree library is a dependency, and what is needed is small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

BINS = 32
DEPTH = 6
TREES = 40
LEAF_ROWS_MIN = 20
RATE = 0.2
_RIDGE = 1.0  # in rows
_WIDTH = BINS + 2  # bins of a feature, that of missing values among them


@dataclass(frozen=True)
class Binning:
    """A feature as numbers of bins, 0 for a missing value: numbers by edges, texts in order of their mean target."""

    edges: FloatArray | None
    levels: dict[str, int]

    def bins(self, values: npt.NDArray[Any]) -> IntArray:
        """Return the bin of each value."""
        if self.edges is not None:
            return np.where(np.isfinite(values), np.searchsorted(self.edges, values, side="right") + 1, 0)
        encoded = pa.array(values, pa.string(), from_pandas=True).dictionary_encode()
        places = np.array([*(self.levels.get(text, 0) for text in encoded.dictionary.to_pylist()), 0])
        found: IntArray = places[encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)]
        return found


@dataclass(frozen=True)
class Trees:
    """Means, and trees that correct them: splits[tree][level] are feature and bin by node.

    A row goes right where its bin is above. values[tree] are (leaves, targets).
    """

    start: FloatArray
    splits: tuple[tuple[tuple[IntArray, IntArray], ...], ...]
    values: tuple[FloatArray, ...]

    def expect(self, coded: IntArray) -> FloatArray:
        """Return the expected targets (rows, targets) of rows of bins (rows, features)."""
        total = np.tile(self.start, (len(coded), 1))
        flat, base = coded.ravel(), np.arange(len(coded)) * coded.shape[1]
        for levels, values in zip(self.splits, self.values, strict=True):
            leaf = np.zeros(len(coded), dtype=np.int64)
            for features, bins in levels:
                leaf = 2 * leaf + (flat[base + features[leaf]] > bins[leaf])
            total += values[leaf]
        return total


def grow(coded: IntArray, targets: FloatArray, trees: int = TREES, rate: float = RATE) -> Trees:
    """Return trees for rows of bins (rows, features) and targets (rows, targets): least squares, of the first target.

    The others get values of their own on its splits. The number of trees is fixed: stopping where unseen rows like
    these get no better shrinks differences that matter where other rows become frequent.
    """
    cells = (np.arange(coded.shape[1]) * _WIDTH)[None, :] + coded
    start = targets.mean(axis=0)
    left = targets - start
    splits, values = [], []
    for _ in range(trees):
        levels, leaf = _levels(cells, coded, left[:, 0])
        weight = np.bincount(leaf, minlength=2**DEPTH) + _RIDGE
        sums = [np.bincount(leaf, column, 2**DEPTH) for column in left.T]
        value = rate * np.column_stack(sums) / weight[:, None]
        left -= value[leaf]
        splits.append(levels)
        values.append(value)
    return Trees(start, tuple(splits), tuple(values))


def _levels(
    cells: IntArray, coded: IntArray, target: FloatArray
) -> tuple[tuple[tuple[IntArray, IntArray], ...], IntArray]:
    """The split of each node of each level that lowers the squares most, and the leaf of each row."""
    rows, width = coded.shape
    each, repeated = np.arange(rows), np.repeat(target, width)
    leaf = np.zeros(rows, dtype=np.int64)
    levels = []
    for depth in range(DEPTH):
        nodes, size = 2**depth, width * _WIDTH
        keys = (leaf[:, None] * size + cells).ravel()
        shape = (nodes, width, _WIDTH)
        low = np.bincount(keys, repeated, size * nodes).reshape(shape).cumsum(axis=2)
        low_rows = np.bincount(keys, minlength=size * nodes).reshape(shape).cumsum(axis=2)
        high, high_rows = low[:, :, -1:] - low, low_rows[:, :, -1:] - low_rows
        gain = low**2 / (low_rows + _RIDGE) + high**2 / (high_rows + _RIDGE)
        gain = np.where((low_rows >= LEAF_ROWS_MIN) & (high_rows >= LEAF_ROWS_MIN), gain, -1.0).reshape(nodes, -1)
        best = gain.argmax(axis=1)
        # A node without a split sends its rows left: no bin is above the last.
        features = best // _WIDTH
        bins = np.where(gain[np.arange(nodes), best] < 0, _WIDTH, best % _WIDTH)
        levels.append((features, bins))
        leaf = 2 * leaf + (coded[each, features[leaf]] > bins[leaf])
    return tuple(levels), leaf


def binning_of(values: npt.NDArray[Any], target: FloatArray) -> Binning:
    """Return the binning of a feature: numbers by quantiles, texts in the order of their mean target."""
    if values.dtype.kind == "f":
        known = values[np.isfinite(values)]
        cuts = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1])) if len(known) else np.empty(0)
        return Binning(cuts, {})
    encoded = pa.array(values, pa.string(), from_pandas=True).dictionary_encode()
    codes = encoded.indices.fill_null(len(encoded.dictionary)).to_numpy(zero_copy_only=False)
    count = np.bincount(codes, minlength=len(encoded.dictionary) + 1)
    mean = (np.bincount(codes, target, len(count)) + 10 * target.mean()) / (count + 10)  # few rows say little
    order = np.argsort(mean[:-1], kind="stable")
    texts = encoded.dictionary.to_pylist()
    return Binning(None, {texts[place]: 1 + rank * BINS // len(order) for rank, place in enumerate(order.tolist())})
