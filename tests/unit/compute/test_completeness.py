"""Arrivals are made whole by how late spans come: without bias where lateness is known, and never wildly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamark.compute.completeness import LEFT_OUT_MOST_S, completeness, made_whole
from seamark.core.traffic import Lags


def seen(lags_s: np.ndarray, blocks: np.ndarray) -> Lags:
    return Lags(blocks.astype(np.int64), np.floor(lags_s).astype(np.int64), np.ones(len(lags_s), dtype=np.int64))


def steady(lags_s: np.ndarray, blocks: int = 30) -> Lags:
    return seen(lags_s, np.arange(len(lags_s)) % blocks)


@pytest.mark.parametrize("usual_s", [1.0, 8.0, 40.0])
def test_what_is_on_its_way_is_added(usual_s: float) -> None:
    rng = np.random.default_rng(1)
    rate, span_s, step_s = 50.0, 600.0, 10.0
    began = rng.uniform(-span_s, 0.0, int(rate * span_s))
    late = rng.exponential(usual_s, len(began)) + 2.0
    here = began + late <= 0
    observed = np.histogram(began[here], bins=60, range=(-span_s, 0.0))[0] / step_s
    known = completeness(steady(rng.exponential(usual_s, 20_000) + 2.0))
    assert known is not None
    rates, left_out = made_whole(observed, known.of_steps(60, step_s, 0.0), step_s)
    assert rates[-6:].mean() == pytest.approx(rate, rel=0.1)
    assert abs(rates[-6:].mean() - rate) <= abs(observed[-6:].mean() - rate)
    assert left_out == (0 if usual_s == 1.0 else pytest.approx((usual_s * np.log(2) + 2) / step_s, abs=1.01))


def test_too_few_spans_or_moments_say_nothing() -> None:
    assert completeness(steady(np.full(29, 5.0))) is None
    assert completeness(seen(np.full(1_000, 5.0), np.zeros(1_000))) is None
    assert completeness(seen(np.empty(0), np.empty(0))) is None


def test_what_was_kept_during_an_outage_does_not_make_all_spans_late() -> None:
    usual, kept = np.full(3_000, 3.0), np.linspace(3, 600, 50_000)
    lags = seen(np.concatenate([usual, kept]), np.concatenate([np.arange(3_000) % 30, np.full(50_000, 12)]))
    known = completeness(lags)
    assert known is not None
    shares = known.of_steps(6, 10.0, 0.0)
    assert shares[:-1].min() > 0.9 and made_whole(np.ones(6), shares, 10.0)[1] == 0


def test_lateness_that_has_ended_doubles_nothing() -> None:
    """Spans were 40 s late until a moment ago; all of the last minute is here, and none of it is added again."""
    ended = seen(np.full(3_000, 40.0), np.arange(3_000) % 30)
    known = completeness(ended)
    assert known is not None
    rates, _ = made_whole(np.full(720, 10.0), np.clip(known.of_steps(720, 10.0, 0.0), 0.5, 1.0), 10.0)
    assert rates.max() == pytest.approx(10.0, rel=0.06)  # steps that are 95 % here are made whole by themselves
    surge = np.full(720, 10.0)
    surge[-4:] = 30.0
    rates, _ = made_whole(surge, np.where(np.arange(720) < 716, 1.0, 0.6), 10.0)
    assert rates[-4:].tolist() == [30.0] * 4, "what was seen is told"


def test_spans_that_come_in_time_again_are_seen_within_a_minute() -> None:
    lags = np.concatenate([np.full(2_400, 40.0), np.full(600, 1.0)])
    known = completeness(seen(lags, np.concatenate([np.arange(2_400) % 24, 24 + np.arange(600) % 6])))
    assert known is not None and known.of_steps(6, 10.0, 0.0)[:-1].min() == 1.0


def test_no_more_than_five_minutes_are_left_out() -> None:
    known = completeness(steady(np.full(3_000, 800.0)))
    assert known is not None
    rates, left_out = made_whole(np.ones(720), known.of_steps(720, 10.0, 3.0), 10.0)
    assert left_out == LEFT_OUT_MOST_S / 10
    assert rates.max() == 1.0
    assert made_whole(np.ones(720), np.full(720, 0.1), 10.0)[0].max() == 2.0, "nothing is more than doubled"


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(-5, 10**6), st.integers(1, 10**6)), max_size=200))
def test_shares_are_shares_and_rise_with_age(rows: list[tuple[int, int, int]]) -> None:
    columns = np.array(rows, dtype=np.int64).reshape(-1, 3)
    known = completeness(Lags(columns[:, 0], columns[:, 1], columns[:, 2]))
    if known is not None:
        shares = known.of_steps(720, 10.0, 4.2)
        assert (np.diff(shares) <= 1e-9).all() and shares.min() >= 0 and shares.max() <= 1
        rates, left_out = made_whole(np.ones(720), shares, 10.0)
        assert len(rates) + left_out == 720 and rates.min() >= 1 - 1e-9 and rates.max() <= 2
