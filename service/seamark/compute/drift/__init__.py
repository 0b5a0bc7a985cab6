"""The drift methods, by the name that seamark.yaml and the metrics use: one file each, one line here."""

from __future__ import annotations

from seamark.compute.drift import (
    chi_square,
    correlation,
    domain_classifier,
    hellinger,
    jensen_shannon,
    ks,
    levels,
    mean_distance,
    psi,
    ranks,
    text_length,
    total_variation,
    unseen_words,
    wasserstein,
    word_classifier,
)
from seamark.compute.drift.method import DriftMethod

METHODS: dict[str, DriftMethod] = {
    "ranks": ranks.METHOD,
    "levels": levels.METHOD,
    "psi": psi.METHOD,
    "jensen_shannon": jensen_shannon.METHOD,
    "ks": ks.METHOD,
    "wasserstein": wasserstein.METHOD,
    "chi_square": chi_square.METHOD,
    "hellinger": hellinger.METHOD,
    "total_variation": total_variation.METHOD,
    "text_length": text_length.METHOD,
    "unseen_words": unseen_words.METHOD,
    "word_classifier": word_classifier.METHOD,
    "domain_classifier": domain_classifier.METHOD,
    "mean_distance": mean_distance.METHOD,
    "correlation": correlation.METHOD,
}
