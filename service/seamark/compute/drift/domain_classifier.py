"""Domain classifier: how well a linear classifier over all values of a row tells a window from its reference."""

from __future__ import annotations

import numpy as np

from seamark.compute.drift.method import DriftMethod, NullDistribution
from seamark.compute.joint_values import Singles, row_values, uncorrelated, vector_values
from seamark.compute.mean_shift import distances, drawn_apart, means_apart, standardised, telling, telling_null
from seamark.compute.row_profile import Rows
from seamark.compute.vector_profile import Vectors

Sample = Rows | Vectors


def score(reference: Sample, current: Sample) -> float:
    """Return 2 AUC - 1, 0 to 1, less what chance makes of it; 0 where a sample is empty.

    The AUC is that of Fisher's linear discriminant between two normal samples. The values are the uncorrelated
    components of a row and their squares, so that a change of spread or of correlation tells as well as one of means;
    of a vector its length, and that of what the components leave, too.
    """
    rows, window = _size(reference), _size(current)
    if not rows or not window:
        return 0.0
    return telling(float(distances(means_apart(_values(reference, current), rows), rows, window)))


def null(reference: Sample, current: Sample, rng: np.random.Generator) -> NullDistribution:
    """Return the score's distribution over random splits of all rows."""
    rows, window = _size(reference), _size(current)
    values = _values(reference, current)
    return telling_null(lambda draws: distances(drawn_apart(values, rows, rng, draws), rows, window))


def _size(sample: Sample) -> int:
    return len(sample.sample) if isinstance(sample, Vectors) else sample.sampled


def _values(reference: Sample, current: Sample) -> Singles:
    if isinstance(reference, Vectors) and isinstance(current, Vectors):
        found, lengths = vector_values(reference, current)
        return np.hstack([found, standardised(found**2), lengths])
    assert isinstance(reference, Rows) and isinstance(current, Rows), "profiles of one kind are compared"
    matrix = row_values(reference, current).matrix
    found = uncorrelated(matrix, matrix.shape[1])
    return np.hstack([found, standardised(found**2)])


METHOD = DriftMethod(
    name="domain_classifier",
    kinds=frozenset({"vector", "multivariate"}),
    score=score,
    null=null,
    small=0.1,  # AUC 0.55, from which Evidently 0.7.23 calls embeddings drifted
    source="R. Fisher, Ann. Eugenics 7, 1936; D. Lopez-Paz and M. Oquab, ICLR 2017; Evidently's EmbeddingsDrift model",
)
