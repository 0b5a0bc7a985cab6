"""Traffic and what was said of a replica -> a fleet that can be played, or the words that say why it cannot."""

from __future__ import annotations

from math import isfinite

from seamark.core.backtest import TYPICAL_REPLICAS, Fleet, FloatArray, Instants, Trace
from seamark.core.errors import Invalid, Problem

REPLICAS_MOST = 10_000  # a fleet that would be larger at the peak is a mistake in the capacity
CAPACITY_RPS_MOST = 1e9
SECONDS_MOST = 3600.0
COLD_START_S_MOST = 86_400.0  # as in seamark.yaml
PRICE_MOST = 1e6


def capacity(traffic: Trace | Instants, given_rps: float | None, name: str = "--capacity") -> float:
    """Return requests per second of one replica; without a given one such that the mean load is 20 replicas.

    Invalid, with `name` as the place, where the fleet would be of nobody's size: not a number, 0, or too small a
    capacity for the busiest step.
    """
    mean, peak = _load(traffic)
    if given_rps is None:
        if not mean > 0:
            raise Invalid("the trace has no traffic: every rate is 0; there is nothing to scale")
        return mean / TYPICAL_REPLICAS
    if not 0 < given_rps <= CAPACITY_RPS_MOST or not peak / given_rps <= REPLICAS_MOST:
        least = peak / REPLICAS_MOST
        told = f"{least:.3g} to {CAPACITY_RPS_MOST:g} requests/s can be played: the peak is {peak:.4g}"
        raise Invalid(f"{name} {given_rps:g} is impossible here; {told}", [Problem(name, told)])
    return given_rps


def fleet(
    traffic: Trace | Instants, capacity_rps: float | None, cold_start_s: float, slo_wait_s: float, price: float | None
) -> Fleet:
    """Return the fleet of a trace file's options; Invalid names the one that is no usable number."""
    in_bounds("--cold-start", cold_start_s, COLD_START_S_MOST)
    in_bounds("--slo-wait", slo_wait_s, SECONDS_MOST)
    if price is not None:
        in_bounds("--cost", price, PRICE_MOST)
    return Fleet(capacity(traffic, capacity_rps), cold_start_s, slo_wait_s)


def in_bounds(name: str, value: float, most: float) -> None:
    """Refuse what is no number from 0 to `most`: a comparison with `nan` is never true, so it slips through others."""
    if not (isfinite(value) and 0 <= value <= most):
        raise Invalid(f"{name} {value:g} is not usable; give 0 to {most:g}", [Problem(name, f"0 to {most:g}")])


def _load(traffic: Trace | Instants) -> tuple[float, float]:
    if isinstance(traffic, Instants):
        mean = len(traffic.at_s) / traffic.duration_s
        return mean, mean
    rates: FloatArray = traffic.rates
    return float(rates.mean()), float(rates.max())
