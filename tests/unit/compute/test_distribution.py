"""Bins over two samples: nothing lost, nothing counted twice, and one huge value hides no other."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from seamark.compute.distribution import BINS, VALUES_MAX, bins, quantiles

rng = np.random.default_rng(5)
NONE = np.array([])
SAMPLES = {
    "normal": (rng.normal(0, 1, 10_000), rng.normal(0.5, 2, 700)),
    "lognormal": (rng.lognormal(0, 2, 5_000), rng.lognormal(0.2, 2, 300)),
    "one huge value": (rng.normal(0, 1, 1_000), np.append(rng.normal(0, 1, 500), 1e308)),
    "one far value of few": (rng.normal(0, 1, 1_000), np.append(rng.normal(0, 1, 40), 40_000.0)),
    "the whole range": (np.array([-1.7e308, 0.0, 1.0]), rng.uniform(-1.0, 1.0, 200) * 1.7e308),
    "nearly all one value": (np.append(np.zeros(10_000), np.arange(25.0)), np.zeros(100)),
    "apart": (rng.normal(0, 1, 500), rng.normal(1_000, 1, 500)),
    "neighbouring floats": (np.nextafter(1.0, 2.0) + np.arange(50) * np.finfo(float).eps, np.ones(40)),
    "tiny": (rng.uniform(0, 5e-323, 200), rng.uniform(0, 5e-323, 200)),
    "no window": (rng.normal(0, 1, 500), NONE),
    "no reference": (NONE, rng.normal(0, 1, 500)),
    "few values": (np.repeat([0.0, 1.0, 5.0], 50), np.repeat([1.0, 7.0], 9)),
    "one value": (np.ones(50), np.ones(3)),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_every_value_is_in_one_bin(name):
    reference, current = SAMPLES[name]
    found = bins(reference, current)
    assert (sum(b.rows for b in found), sum(b.reference_rows for b in found)) == (len(current), len(reference))
    assert 1 <= len(found) <= BINS + 2
    assert all(b.low <= b.high for b in found)
    assert all(before.high <= after.low for before, after in pairwise(found))
    for b in found[:-1]:
        inside = (current == b.low) if b.low == b.high else (current >= b.low) & (current < b.high)
        assert b.rows == int(inside.sum())


def test_nothing_makes_no_bins():
    assert bins(NONE, NONE) == ()
    assert quantiles(NONE) is None


def test_few_values_are_counted_one_by_one():
    found = bins(*SAMPLES["few values"])
    assert [(b.low, b.high, b.rows, b.reference_rows) for b in found] == [
        (0.0, 0.0, 0, 50),
        (1.0, 1.0, 9, 50),
        (5.0, 5.0, 0, 50),
        (7.0, 7.0, 9, 0),
    ]
    assert len(bins(np.arange(VALUES_MAX + 1.0), NONE)) == BINS + 2


@pytest.mark.parametrize("name", ["one huge value", "one far value of few"])
def test_one_huge_value_does_not_press_the_others_into_one_bin(name):
    found = bins(*SAMPLES[name])
    assert [b.outer for b in found] == [True, *[False] * BINS, True]
    assert found[-1].high == SAMPLES[name][1].max()
    assert sum(b.reference_rows > 20 for b in found) > 10


def test_a_window_that_left_the_reference_has_its_bins():
    found = bins(*SAMPLES["apart"])
    assert sum(b.rows for b in found if b.low > 500 or b.high > 990) == 500


@pytest.mark.parametrize("name", [name for name in SAMPLES if name != "no reference"])
def test_quantiles_are_values_that_occur(name):
    values = SAMPLES[name][0]
    found = quantiles(values)
    assert found is not None
    assert set(found.values()) - {found["mean"]} <= set(values.tolist())
    assert found["min"] == values.min()
    assert found["max"] == values.max()
    assert np.isfinite(found["mean"])
    assert found["min"] <= found["p50"] <= found["max"]
