"""Unseen words: the share of a window's words that the reference never uses."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from seamark.compute.columns import FloatArray
from seamark.compute.drift.method import DriftMethod, NullDistribution
from seamark.compute.mean_shift import null_of
from seamark.compute.text_pair import joined
from seamark.compute.text_profile import Texts

_WORDS_AT_ONCE = 4_000_000  # draws x words: 16 MB


def score(reference: Texts, current: Texts) -> float:
    """Return the share, 0 to 1, of the words in the window's sample; 0 where a sample has no words."""
    if not reference.counts.nnz or not current.counts.nnz:
        return 0.0
    counts = joined(reference, current)
    sides = np.zeros((1, counts.shape[0]), dtype=np.float32)
    sides[0, reference.counts.shape[0] :] = 1
    return float(_unseen(counts, sides)[0])


def null(reference: Texts, current: Texts, rng: np.random.Generator) -> NullDistribution:
    """Return the share's distribution over random splits of all texts.

    A small reference lacks many words of any window, by chance alone: of a Zipf law's tail there is always more.
    """
    counts = joined(reference, current)
    texts, window = counts.shape[0], current.counts.shape[0]
    step = max(1, _WORDS_AT_ONCE // max(counts.shape[1], texts, 1))

    def draw(draws: int) -> FloatArray:
        shares = []
        for start in range(0, draws, step):
            sides = np.zeros((min(step, draws - start), texts), dtype=np.float32)
            for side in sides:
                side[rng.choice(texts, window, replace=False, shuffle=False)] = 1
            shares.append(_unseen(counts, sides))
        return np.concatenate(shares)

    return null_of(draw, power=1.0)


def _unseen(counts: csr_array, sides: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> FloatArray:
    """Return the share for each line of `sides`, in which 1 marks the texts of the window."""
    there = csr_array((np.ones_like(counts.data), counts.indices, counts.indptr), counts.shape)
    texts = np.bincount(counts.indices, minlength=counts.shape[1])
    words = np.bincount(counts.indices, weights=counts.data, minlength=counts.shape[1])
    only_here = np.asarray(there.T @ sides.T) == texts[:, None]  # words x lines
    total = np.asarray(counts.sum(axis=1)) @ sides.T
    share: FloatArray = (words @ only_here) / np.maximum(total, 1)
    return share


METHOD = DriftMethod(
    name="unseen_words",
    kinds=frozenset({"text"}),
    score=score,
    null=null,
    small=0.02,  # one word in fifty
    source="Evidently 0.7.23 OOVWordsPercentage is the same idea, against a fixed English vocabulary",
)
