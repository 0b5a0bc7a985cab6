"""Days of arrivals make one history: gaps are unknown, short silences are none, and clocks that jump harm nothing."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from tests.lake_rows import AT

from seamark.compute.arrival_history import DAYS, arrival_history, filled
from seamark.core.day_rates import STEPS, day_of, from_bytes, nothing, step_of, to_bytes

DAY = timedelta(days=1)
NAN = np.nan


def test_a_day_is_stored_in_a_few_bytes_and_what_is_no_day_is_unknown() -> None:
    rates = nothing()
    rates[3:5] = 0.0, 1234.5
    assert len(to_bytes(rates)) == 576
    assert np.array_equal(from_bytes(to_bytes(rates)), rates, equal_nan=True)
    assert np.isnan(from_bytes(b"")).all() and np.isnan(from_bytes(b"x" * 577)).all()
    wild = nothing()
    wild[:3] = -1.0, np.inf, 7.0
    assert np.isfinite(from_bytes(to_bytes(wild))).nonzero()[0].tolist() == [2]


def test_it_begins_with_what_is_known_first_and_ends_now() -> None:
    days = {day_of(AT) - back * DAY: np.full(STEPS, float(back)) for back in (0, 1, 3)}
    found = arrival_history(days, AT + timedelta(seconds=599))
    assert found is not None
    assert (found.end, found.step_s, len(found.rates)) == (AT, 600.0, 3 * STEPS + step_of(AT))
    assert found.rates[[0, 143, 288, 431, 432, -1]].tolist() == [3.0, 3.0, 1.0, 1.0, 0.0, 0.0]
    assert np.isnan(found.rates[STEPS : 2 * STEPS]).all(), "a day nobody heard is unknown"
    long = {day_of(AT) - back * DAY: np.ones(STEPS) for back in range(100)}
    most = arrival_history(long, AT)
    assert most is not None and len(most.rates) == DAYS * STEPS


def test_days_of_a_clock_that_was_ahead_are_not_looked_at() -> None:
    assert arrival_history({day_of(AT) + DAY: np.ones(STEPS)}, AT) is None
    assert arrival_history({day_of(AT) - 40 * DAY: np.ones(STEPS)}, AT) is None
    assert arrival_history({}, AT) is None


@pytest.mark.parametrize(
    "rates, wanted",
    [
        ([1, NAN, 2], [1, NAN, 2]),
        ([0.002, *[NAN] * 6, 1], [0.002, *[0] * 6, 1]),
        ([0, *[NAN] * 7, 0], [0, *[NAN] * 7, 0]),
        ([NAN, 1, NAN], [NAN, 1, NAN]),
        ([100, 100, *[NAN] * 5, 100], [100, 100, *[NAN] * 5, 100]),
        ([0.01, *[NAN] * 2, 0.01], [0.01, *[NAN] * 2, 0.01]),
        ([0.01, *[NAN], 0.01], [0.01, 0, 0.01]),
        ([0, 0, 0, 0, 0, 5, NAN, NAN, 0, 0, 0], [0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0]),
        ([0, NAN, 0], [0, 0, 0]),
        ([NAN], [NAN]),
    ],
    ids=[
        "one",
        "an hour",
        "more than an hour",
        "before and after",
        "an outage",
        "twelve to be expected",
        "six",
        "it ended",
        "between silences",
        "nothing",
    ],
)
def test_silence_is_no_traffic_only_where_hardly_any_was_to_be_expected(
    rates: list[float], wanted: list[float]
) -> None:
    assert np.array_equal(filled(np.array(rates, dtype=np.float64)), wanted, equal_nan=True)
