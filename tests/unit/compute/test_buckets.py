"""Quantiles of bucket counts: linear between bounds, unknown where nothing is known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamark.compute.buckets import quantiles

INF = math.inf


@pytest.mark.parametrize(
    "bounds, counts, asked, expected",
    [
        ([1.0, 2.0, INF], [0, 4, 0], 0.5, 1.5),
        ([1.0, 2.0, INF], [4, 0, 0], 0.5, 0.5),  # the first bucket begins at 0
        ([-2.0, -1.0, INF], [4, 0, 0], 0.5, -2.0),  # or where it ends
        ([0.0, 1.0, INF], [4, 0, 0], 0.9, 0.0),
        ([1.0, 2.0, INF], [0, 0, 4], 0.5, 2.0),  # beyond the last bound no more is known
        ([1.0, 2.0, INF], [0, 4, 0], 0.0, 1.0),
        ([1.0, 2.0, INF], [0, 4, 0], 1.0, 2.0),
        ([1.0, 2.0, INF], [0, 0, 0], 0.5, None),
        ([INF], [4], 0.5, None),
        ([], [], 0.5, None),
        ([1.0, 2.0, INF], [-2, 6, 0], 0.5, 1.5),  # fine buckets that were merged to coarser ones
    ],
)
def test_a_quantile_lies_where_its_rank_does(bounds, counts, asked, expected):
    assert quantiles(bounds, counts, (asked,)) == (expected,)


@given(st.lists(st.floats(0.001, 0.999), min_size=1, max_size=200), st.floats(0, 1))
def test_a_quantile_lies_in_the_bucket_of_the_exact_one(values, asked):
    bounds = np.linspace(0.1, 1.0, 10)
    places = np.searchsorted(bounds, values, side="left")
    counts = np.bincount(places, minlength=11)
    exact = np.quantile(values, asked, method="inverted_cdf")
    (found,) = quantiles([*bounds, INF], counts, (asked,))
    assert math.ceil(round(found * 10, 9)) in (math.ceil(exact * 10), math.ceil(exact * 10) - 1)
