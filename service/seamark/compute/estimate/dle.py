"""Features, predictions and errors of the reference -> the error to expect of a prediction, and of a window of them.

Direct loss estimation: a second model learns how far off the first one is, given its inputs and its answer. It holds
while the features decide about the label as they did in the reference (no concept drift).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt

from seamark.compute import intervals
from seamark.compute.estimate.basis import Columns, telling_most
from seamark.compute.estimate.trees import Binning, IntArray, Trees, binning_of, grow
from seamark.core.performance import PerformanceMetric

FloatArray = npt.NDArray[np.float64]

FEATURES_MAX = 40
CELLS_MAX = 250_000  # rows times features that are learned from: half a second
BATCHES = 5
_BATCH_TREES, _BATCH_RATE = 12, 0.5  # coarser: only how much their means differ is asked


@dataclass(frozen=True)
class RegressorFit:
    """What the reference taught of a regressor's absolute and squared errors, each over its mean: `units`.

    One pair of columns throughout. `batches` are trees of each BATCHES-th part of the rows, for the doubt.
    """

    binnings: tuple[tuple[str, Binning], ...]  # by feature; "" is the prediction
    trees: Trees
    batches: tuple[Trees, ...]
    units: FloatArray
    dispersions: FloatArray  # variance of a loss, in squares of its mean
    highest: FloatArray  # losses of the reference
    rows: int


def fit(columns: Columns, prediction: FloatArray, true: FloatArray) -> RegressorFit:
    """Learn the absolute and the squared error; `prediction` and `true` are finite throughout, and have rows.

    Of more than CELLS_MAX values an even share of the rows is learned from.
    """
    errors = np.abs(prediction - true)
    names = ["", *telling_most(columns, errors, FEATURES_MAX)]
    taken = slice(None, None, -(-len(errors) * len(names) // CELLS_MAX))
    part, said = {name: columns[name][taken] for name in names if name}, prediction[taken]
    largest = float(errors.max()) or 1.0  # squares are of shares of it: they cannot overflow
    losses = np.column_stack([errors[taken] / largest, (errors[taken] / largest) ** 2])
    means = np.where(losses.mean(axis=0) > 0, losses.mean(axis=0), 1.0)
    scaled = losses / means
    binnings = tuple((name, binning_of(part[name] if name else said, scaled[:, 0])) for name in names)
    coded = _coded(binnings, part, said)
    trees = grow(coded, scaled)
    batches = tuple(
        grow(coded[number::BATCHES], scaled[number::BATCHES], _BATCH_TREES, _BATCH_RATE) for number in range(BATCHES)
    )
    expected = trees.expect(coded)
    dispersions = ((scaled - expected) ** 2).sum(axis=0) / np.maximum((expected**2).sum(axis=0), 1e-12)
    units = means * [largest, largest**2]
    return RegressorFit(binnings, trees, batches, units, dispersions, scaled.max(axis=0), len(said))


def estimate(fitted: RegressorFit, columns: Columns, prediction: FloatArray) -> dict[str, PerformanceMetric]:
    """Return the MAE and RMSE to expect of rows, with intervals for what labels will show.

    Two variances make them: that of losses drawn around their means, and that of the batches' means over their number.
    """
    coded = _coded(fitted.binnings, columns, prediction)
    losses = np.clip(fitted.trees.expect(coded), 0.0, fitted.highest)
    drawn = fitted.dispersions * (losses**2).mean(axis=0) / len(losses)
    means = [np.clip(batch.expect(coded), 0.0, fitted.highest).mean(axis=0) for batch in fitted.batches]
    variances = (drawn + np.var(means, axis=0, ddof=1) / len(means)).tolist()
    mae, mse = (
        intervals.around(mean, variance, degrees=len(losses), positive=True)
        for mean, variance in zip(losses.mean(axis=0).tolist(), variances, strict=True)
    )
    units = float(fitted.units[0]), sqrt(fitted.units[1])
    return {
        "mae": PerformanceMetric(*(figure * units[0] for figure in (mae.value, mae.low, mae.high))),
        "rmse": PerformanceMetric(*(sqrt(figure) * units[1] for figure in (mse.value, mse.low, mse.high))),
    }


def _coded(binnings: tuple[tuple[str, Binning], ...], columns: Columns, prediction: FloatArray) -> IntArray:
    """Bins of each row; a feature that the rows do not have is missing in each."""
    missing = np.zeros(len(prediction), dtype=np.int64)
    bins = [
        one.bins(columns[name] if name else prediction) if name in columns or not name else missing
        for name, one in binnings
    ]
    return np.column_stack(bins)
