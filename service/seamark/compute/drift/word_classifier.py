"""Word classifier: how well a linear classifier by words tells a window's texts from the reference's."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from seamark.compute.drift.method import DriftMethod, NullDistribution
from seamark.compute.mean_shift import distances, drawn_apart, means_apart, telling, telling_null
from seamark.compute.text_pair import joined
from seamark.compute.text_profile import Texts

_WORDS_MAX = 4_096  # the words that most texts have
_TEXTS_MIN = 5  # a word of fewer texts is left to unseen_words


def score(reference: Texts, current: Texts) -> float:
    """Return 2 AUC - 1, 0 to 1, less what chance makes of it; 0 where a sample is empty or has no common word."""
    rows, window = reference.counts.shape[0], current.counts.shape[0]
    if not rows or not window:
        return 0.0
    apart = means_apart(_presence(reference, current), rows)
    return telling(float(distances(apart, rows, window)))


def null(reference: Texts, current: Texts, rng: np.random.Generator) -> NullDistribution:
    """Return the score's distribution over random splits of all texts."""
    rows, window = reference.counts.shape[0], current.counts.shape[0]
    presence = _presence(reference, current)
    return telling_null(lambda draws: distances(drawn_apart(presence, rows, rng, draws), rows, window))


def _presence(reference: Texts, current: Texts) -> csr_array:
    """Return whether each text has each word, over the word's standard deviation.

    Words count as independent (naive Bayes): with more words than texts that tells samples apart better than an
    estimate of all correlations does (P. Bickel and E. Levina, Bernoulli 10, 2004). The null knows the correlations.
    """
    counts = joined(reference, current)
    total = counts.shape[0]
    texts = np.bincount(counts.indices, minlength=counts.shape[1])
    wanted = np.flatnonzero((texts >= _TEXTS_MIN) & (texts < total))[:_WORDS_MAX]
    share = texts[wanted] / total
    chosen = counts[:, wanted]
    weights = (1 / np.sqrt(share * (1 - share))).astype(np.float32)
    return csr_array((weights[chosen.indices], chosen.indices, chosen.indptr), chosen.shape)


METHOD = DriftMethod(
    name="word_classifier",
    kinds=frozenset({"text"}),
    score=score,
    null=null,
    small=0.1,  # AUC 0.55, from which Evidently 0.7.23 calls texts drifted
    source="Evidently 0.7.23 text_content_drift (AUC of a linear classifier by TF-IDF); P. Bickel and E. Levina, 2004",
)
