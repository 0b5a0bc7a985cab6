"""The drift methods, by the name that seamark.yaml and the metrics use: one file each, one line here."""

from __future__ import annotations

from seamark.compute.drift import (
    chi_square,
    hellinger,
    jensen_shannon,
    ks,
    levels,
    psi,
    ranks,
    total_variation,
    wasserstein,
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
}
