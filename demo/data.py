"""The RAND Health Insurance Experiment, from the statsmodels wheel, becomes rows to train on and to ask about.

20,190 person-years of 1974 to 1982, in the public domain (statsmodels.datasets.randhie; Cameron and Trivedi,
Microeconometrics, 2005). The question: does this person see a doctor three times or more in the year? The names of
the numbers are the data set's own: `lncoins` ln(coinsurance + 1), `lpi` ln of the yearly participation incentive,
`fmde` ln of the maximum expenditure by coinsurance, `physlm` a physical limitation, `disea` an index of chronic
diseases. Rows are split at random, so the same person may be in both halves: the accuracy flatters a little.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

Row = dict[str, float | str]

NUMERIC = ("lncoins", "lpi", "fmde", "physlm", "disea")
CATEGORICAL = ("self_rated_health", "individual_deductible")
HEALTH = ("excellent", "good", "fair", "poor")
SHIFTED = ("disea", "self_rated_health")  # what shifted() changes, and nothing else
VISITS_OFTEN = 3
TRAIN_ROWS = 14_000

_HEALTH_COLUMNS = (("hlthp", "poor"), ("hlthf", "fair"), ("hlthg", "good"))
_SEED = 20190


@dataclass(frozen=True)
class Part:
    """Rows of features, and for each whether the person visited a doctor often (1) or not (0)."""

    rows: list[Row]
    labels: list[int]


def load() -> tuple[Part, Part]:
    """Return (training part, hold-out part): the same split, in the same order, every time."""
    with _source().open(newline="") as source:
        people = [{name: float(value) for name, value in person.items()} for person in csv.DictReader(source)]
    order = np.random.default_rng(_SEED).permutation(len(people))
    chosen = [people[i] for i in order]
    return _part(chosen[:TRAIN_ROWS]), _part(chosen[TRAIN_ROWS:])


def shifted(row: Row, generator: np.random.Generator) -> Row:
    """Return the row of a sicker population: more chronic diseases, and half of the people feel one level worse."""
    moved = dict(row)
    moved["disea"] = round(max(float(row["disea"]) * 1.6 + generator.normal(0.0, 1.0), 0.0), 5)
    if generator.random() < 0.5:
        level = HEALTH.index(str(row["self_rated_health"]))
        moved["self_rated_health"] = HEALTH[min(level + 1, len(HEALTH) - 1)]
    return moved


def _part(people: list[dict[str, float]]) -> Part:
    return Part([_row(person) for person in people], [int(person["mdvis"] >= VISITS_OFTEN) for person in people])


def _row(person: dict[str, float]) -> Row:
    row: Row = {name: person[name] for name in NUMERIC}
    row["self_rated_health"] = next((word for column, word in _HEALTH_COLUMNS if person[column]), "excellent")
    row["individual_deductible"] = "yes" if person["idp"] else "no"
    return row


def _source() -> Path:
    # Found without importing statsmodels, which takes a second and says nothing that the file does not.
    found = find_spec("statsmodels")
    if found is None or not found.submodule_search_locations:
        raise SystemExit(
            "the demo's data come in the statsmodels wheel, which is not installed; `make demo` installs it"
        )
    return Path(found.submodule_search_locations[0]) / "datasets" / "randhie" / "randhie.csv"
