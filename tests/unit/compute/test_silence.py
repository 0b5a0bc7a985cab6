"""Outages of telemetry in arrivals: found, bridged, and told from silence."""

from __future__ import annotations

import numpy as np
import pytest

from seamark.compute.silence import bridged, silences


def with_silence(rps: float, steps: int, *, after: int = 30) -> np.ndarray:
    return np.concatenate([np.full(30, rps), np.zeros(steps), np.full(after, 2 * rps)])


@pytest.mark.parametrize(
    "rates, found",
    [
        (with_silence(5.0, 12), [(30, 42)]),
        (with_silence(5.0, 12, after=1), [(30, 42)]),  # it has just ended
        (with_silence(5.0, 5), []),  # a short one
        (with_silence(0.05, 12), []),  # six requests would have come: that may be chance
        (with_silence(5.0, 12, after=0), []),  # whether it ends is not known
        (with_silence(0.0, 12), []),
        (np.zeros(0), []),
    ],
    ids=["outage", "ended", "short", "rare", "open", "nothing", "empty"],
)
def test_a_silence_is_an_outage_where_requests_should_have_come(
    rates: np.ndarray, found: list[tuple[int, int]]
) -> None:
    assert silences(rates, 10.0) == found


def test_an_outage_is_bridged_and_its_edges_say_nothing() -> None:
    rates = with_silence(5.0, 12)
    rates[29], rates[42] = 1.0, 2.0  # heard in part
    whole, known = bridged(rates, [(30, 42)])
    assert not known[29:43].any() and known[:29].all() and known[43:].all()
    assert whole[29:43].min() > 5.0 and whole[29:43].max() < 10.0 and (np.diff(whole) >= 0).all()
    assert np.array_equal(whole[known], rates[known])


def test_what_is_all_known_or_all_unknown_stays_as_it_was() -> None:
    rates = with_silence(5.0, 12)
    assert np.array_equal(bridged(rates, [])[0], rates)
    assert np.array_equal(bridged(np.zeros(3), [(0, 3)])[0], np.zeros(3))
