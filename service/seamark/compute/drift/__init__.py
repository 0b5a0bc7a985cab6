"""The drift methods, by the name that seamark.yaml and the metrics use: one file each, one line here."""

from __future__ import annotations

from seamark.compute.drift import chisquare, jensenshannon, ks, psi, wasserstein
from seamark.compute.drift.method import DriftMethod

METHODS: dict[str, DriftMethod] = {
    "psi": psi.METHOD,
    "jensenshannon": jensenshannon.METHOD,
    "ks": ks.METHOD,
    "wasserstein": wasserstein.METHOD,
    "chisquare": chisquare.METHOD,
}
