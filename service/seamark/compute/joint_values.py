"""Two profiles of rows, or of vectors, become one matrix of standardised values that a linear classifier can weigh.

All of it is derived from both samples together, without knowing which row is whose: reference rows first, then the
window's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import ndtri

from seamark.compute.columns import FloatArray, IntArray
from seamark.compute.mean_shift import standardised
from seamark.compute.row_profile import Rows
from seamark.compute.vector_profile import Vectors

Singles = npt.NDArray[np.float32]

VALUES_MAX = 512  # of one row
_LEVELS_MAX = 8  # of one feature
_RARE = 0.01  # levels and nulls of a smaller share, or of nearly all rows, say too little
COMPONENTS_MAX = 50  # of a vector
_OVERSAMPLED = 10
_PASSES = 2


@dataclass(frozen=True)
class Values:
    """Standardised values, rows x values, and which feature each is of."""

    matrix: Singles
    owners: IntArray


def row_values(reference: Rows, current: Rows) -> Values:
    """Return the features both sides have: numbers as normal scores of their ranks, common levels and nulls as marks.

    Ranks make it blind to how a number is scaled and deaf to single huge ones (B. van der Waerden, Indag. Math. 14,
    1952). A null stands in the middle and is marked where nulls are common.
    """
    columns: list[FloatArray] = []
    owners: list[int] = []
    numbers = [name for name in reference.numeric if name in current.numeric]
    texts = [name for name in reference.categorical if name in current.categorical]
    room = (VALUES_MAX - len(numbers)) // max(len(texts), 1)
    for owner, name in enumerate([*numbers, *texts]):
        if name in reference.numeric:
            found = _number_values(np.concatenate([reference.numeric[name], current.numeric[name]]))
        else:
            found = _level_values(reference, current, name, min(max(room, 1), _LEVELS_MAX))
        columns += found
        owners += [owner] * len(found)
    if not columns:
        return Values(np.empty((reference.sampled + current.sampled, 0), np.float32), np.empty(0, np.int64))
    matrix = np.column_stack(columns[:VALUES_MAX])
    varies = matrix.std(axis=0) > 0
    return Values(standardised(matrix[:, varies]), np.array(owners[:VALUES_MAX], dtype=np.int64)[varies])


def uncorrelated(values: Singles, components: int = COMPONENTS_MAX) -> Singles:
    """Return the first principal components of both samples together, standardised, rows x components.

    Of wide rows they are found from a random sketch, always the same one (N. Halko, P. Martinsson and J. Tropp, SIAM
    Review 53, 2011).
    """
    middle = values - values.mean(axis=0)
    width = middle.shape[1]
    if width <= components + _OVERSAMPLED:
        spread, axes = np.linalg.eigh(middle.T @ middle / len(middle))
        order = np.argsort(spread)[::-1][:components]
        order = order[spread[order] > max(spread.max(initial=0.0), 0.0) * 1e-6]
        return standardised(middle @ axes[:, order])
    sketch = np.random.default_rng(0).normal(size=(width, components + _OVERSAMPLED)).astype(np.float32)
    found = middle @ sketch
    for _ in range(_PASSES):
        found = middle @ (middle.T @ np.linalg.qr(found)[0])
    basis = np.linalg.qr(found)[0]
    left, size, _ = np.linalg.svd(basis.T @ middle, full_matrices=False)
    order = np.flatnonzero(size > size.max(initial=0.0) * 1e-3)[:components]
    return standardised((basis @ left[:, order]).astype(np.float32))


def vector_values(reference: Vectors, current: Vectors) -> tuple[Singles, Singles]:
    """Return the vectors of both sides as their uncorrelated components, and how long each vector and its rest are.

    The rest is what the components do not explain, the reconstruction error of a principal component analysis; both
    lengths are logarithms of squares about the middle of all vectors.
    """
    both = np.concatenate([reference.sample, current.sample])
    middle = (both / (float(np.abs(both).max(initial=0.0)) or 1.0)).astype(np.float32)
    middle -= middle.mean(axis=0)
    components = uncorrelated(middle)
    explained = components @ (components.T @ middle) / np.float32(max(len(middle), 1))
    lengths = [(part.astype(np.float64) ** 2).sum(axis=1) for part in (middle, middle - explained)]
    floor = 1e-9 * float(lengths[0].mean()) or 1.0
    return components, standardised(np.log(np.column_stack(lengths) + floor))


def _number_values(column: FloatArray) -> list[FloatArray]:
    from scipy.stats import rankdata

    gone = np.isnan(column)
    known = ~gone
    values = np.zeros(len(column))
    if known.any():
        values[known] = ndtri((rankdata(column[known]) - 0.5) / known.sum())
    return [values, gone.astype(np.float64)] if _RARE <= gone.mean() <= 1 - _RARE else [values]


def _level_values(reference: Rows, current: Rows, name: str, most: int) -> list[FloatArray]:
    names = pa.concat_arrays([reference.levels[name], current.levels[name]]).unique().sort()
    sides = [
        np.append(np.asarray(pc.index_in(side.levels[name], value_set=names), dtype=np.int64), -1)[
            side.categorical[name]
        ]
        for side in (reference, current)
    ]
    codes = np.concatenate(sides)
    shares = np.bincount(codes[codes >= 0], minlength=len(names)) / max(len(codes), 1)
    gone = (codes == -1).astype(np.float64)
    common = [code for code in np.argsort(-shares, kind="stable")[:most] if _RARE <= shares[code] <= 1 - _RARE]
    marks = [(codes == code).astype(np.float64) for code in common]
    return [*marks, gone] if _RARE <= gone.mean() <= 1 - _RARE else marks
