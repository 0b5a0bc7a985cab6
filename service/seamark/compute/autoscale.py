"""Measured load, a forecast and the tested capacity of one replica -> replicas, with the sentence that says why.

replicas = ceil(load / (capacity x utilisation)), where load is the larger of the last minute's arrivals (reactive) and
the forecast's 90 % quantile at the moment a replica asked for now would serve. A forecast alone never scales in.
Scaling in waits until less has been enough for a while, and is checked by a what-if: the smaller count must carry the
present load with room to spare. What is unknown makes the advice `hold`: keep what runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil

from seamark.core.findings import Capacity, Forecast, Recommendation
from seamark.core.specs import AutoscaleSpec

UTILISATION = 0.85  # of the tested capacity: arrivals between two looks are not even
SCALE_IN_UTILISATION = 0.7  # after scaling in, the present load may use so much of what is left
SCALE_IN_HOLD_S = 300.0
SCALE_IN_WATCHED = 0.9  # of the hold: advice is not given at its very edge


@dataclass(frozen=True)
class _Standing:
    """What runs, and what was advised lately."""

    at: datetime
    current: int | None
    recent: Sequence[Recommendation]

    @property
    def replicas(self) -> int | None:
        """The count last advised, else the one that runs; None where neither is known."""
        last = max(self.recent, key=lambda advice: advice.at, default=None)
        return last.replicas if last is not None and last.replicas is not None else self.current

    @property
    def watched_s(self) -> float:
        """For how long the need has been known."""
        return max(
            ((self.at - advice.at).total_seconds() for advice in self.recent if advice.needed is not None), default=0.0
        )


@dataclass(frozen=True)
class _Need:
    """Replicas before bounds and hysteresis, and what they are for."""

    replicas: int
    words: str


def recommend(
    model: str,
    at: datetime,
    spec: AutoscaleSpec,
    *,
    arrivals_rps_last_minute: float | None,
    forecast: Forecast | None,
    capacity: Capacity | None,
    current: int | None,
    recent: Sequence[Recommendation],
) -> Recommendation:
    """Return the advice of this instant.

    `current` is the number of replicas that serve now (None: unknown). `recent` is the advice of the last
    SCALE_IN_HOLD_S seconds: as in the HPA's stabilisation window, the largest need of it is what counts.
    """
    headroom = _headroom(arrivals_rps_last_minute, capacity, current)
    needed: int | None = None
    unknown = _unknown(arrivals_rps_last_minute, capacity)
    if unknown is not None or capacity is None or arrivals_rps_last_minute is None:
        replicas, state, reason = current, "hold", f"Hold: {unknown}."
    else:
        need = _need(arrivals_rps_last_minute, forecast, capacity)
        state, needed = "ok", need.replicas
        replicas, reason = _settle(need, spec, arrivals_rps_last_minute, capacity, _Standing(at, current, recent))
    price = spec.cost_per_replica_hour
    return Recommendation(
        model=model,
        at=at,
        state=state,
        replicas=replicas,
        current=current,
        min=spec.min,
        max=spec.max,
        reason=reason,
        capacity_rps=capacity.rps if capacity else None,
        arrivals_rps=arrivals_rps_last_minute,
        forecast=forecast,
        headroom_ratio=headroom,
        cost_per_hour=price * replicas if price is not None and replicas is not None else None,
        needed=needed,
    )


def _unknown(arrivals: float | None, capacity: Capacity | None) -> str | None:
    if arrivals is None:
        return "no requests were heard of in the last two minutes, and silence is not zero traffic"
    if capacity is None:
        return "what one replica can carry is not known; run a load test of shape `capacity`"
    if capacity.rps <= 0:
        return "the last capacity test found no rate that holds its thresholds"
    return None


def _need(arrivals: float, forecast: Forecast | None, capacity: Capacity) -> _Need:
    reactive = ceil(arrivals / (capacity.rps * UTILISATION))
    words = f"{arrivals:.1f} requests/s arrived in the last minute"
    if forecast is not None and forecast.state == "ok" and forecast.p90 is not None:
        ahead = ceil(forecast.p90 / (capacity.rps * UTILISATION))
        if ahead > reactive:
            words = f"up to {forecast.p90:.1f} requests/s (90 %) are expected in {forecast.horizon_s:.0f} s"
            return _Need(ahead, words)
    return _Need(reactive, words)


def _settle(
    need: _Need, spec: AutoscaleSpec, arrivals: float, capacity: Capacity, standing: _Standing
) -> tuple[int, str]:
    """Return (replicas, reason) after bounds, the wait before scaling in, and its what-if."""
    wanted = _within(need.replicas, spec)
    carried = f"one replica was tested to carry {capacity.rps:.1f} requests/s and is used to {UTILISATION:.0%}"
    because = f"{need.words}, and {carried}"
    needs = [_within(advice.needed, spec) for advice in standing.recent if advice.needed is not None]
    lately = max(needs, default=0)
    kept = _within(standing.replicas or 0, spec)
    if standing.watched_s < SCALE_IN_WATCHED * SCALE_IN_HOLD_S:  # too short a while to say that less was enough
        lately = max(lately, kept)
    if lately > wanted:
        return lately, f"{_plural(lately)}: {because}; {wanted} would do now, scaling in waits {SCALE_IN_HOLD_S:.0f} s."
    if wanted < kept:
        roomy = max(wanted, _within(ceil(arrivals / (capacity.rps * SCALE_IN_UTILISATION)), spec))
        if roomy >= kept:
            used = arrivals / (wanted * capacity.rps)
            told = f"with {wanted} they would run at {used:.0%}, too much to scale in"
            return kept, f"{_plural(kept)}: {because}; {told}."
        wanted = roomy
    if need.replicas > spec.max:
        return wanted, f"{_plural(wanted)}, the maximum: {because}; {need.replicas} would be needed."
    if need.replicas < spec.min:
        return wanted, f"{_plural(wanted)}, the minimum: {because}; {need.replicas} would do."
    return wanted, f"{_plural(wanted)}: {because}."


def _within(replicas: int, spec: AutoscaleSpec) -> int:
    return min(max(replicas, spec.min), spec.max)


def _headroom(arrivals: float | None, capacity: Capacity | None, current: int | None) -> float | None:
    if arrivals is None or capacity is None or current is None or capacity.rps * current <= 0:
        return None
    total = capacity.rps * current
    return (total - arrivals) / total


def _plural(replicas: int) -> str:
    return "1 replica" if replicas == 1 else f"{replicas} replicas"
