"""Mean distance: how far apart the means of two samples of vectors lie, as a linear classifier would see it."""

from __future__ import annotations

import numpy as np

from seamark.compute.drift.method import DriftMethod, NullDistribution
from seamark.compute.joint_values import Singles, vector_values
from seamark.compute.mean_shift import distances, drawn_apart, means_apart, telling, telling_null
from seamark.compute.vector_profile import Vectors


def score(reference: Vectors, current: Vectors) -> float:
    """Return 2 AUC - 1 of Fisher's discriminant by the components alone, less what chance makes of it, 0 to 1."""
    rows, window = len(reference.sample), len(current.sample)
    if not rows or not window:
        return 0.0
    return telling(float(distances(means_apart(_components(reference, current), rows), rows, window)))


def null(reference: Vectors, current: Vectors, rng: np.random.Generator) -> NullDistribution:
    """Return the score's distribution over random splits of all rows."""
    rows, window = len(reference.sample), len(current.sample)
    components = _components(reference, current)
    return telling_null(lambda draws: distances(drawn_apart(components, rows, rng, draws), rows, window))


def _components(reference: Vectors, current: Vectors) -> Singles:
    return vector_values(reference, current)[0]


METHOD = DriftMethod(
    name="mean_distance",
    kinds=frozenset({"vector"}),
    score=score,
    null=null,
    small=0.1,  # AUC 0.55, from which Evidently 0.7.23 calls embeddings drifted
    source="H. Hotelling, Ann. Math. Statist. 2, 1931; Evidently's EmbeddingsDrift model is the classifier counted out",
)
