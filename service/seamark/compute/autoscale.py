"""Measured load, a forecast and the tested capacity of one replica -> replicas, with the sentence that says why.

Capacity is the lower end of the test's interval: the estimate is too high as often as too low, and by what it is too
high the SLO breaks. The largest of these needs counts:

* ceil(q / capacity), q the quantile of the forecast for the moment a replica asked for now would serve, times the rise
  that the season has until shortly after. Which quantile, is the newsvendor's answer: cost of a replica too few /
  (that + cost of one too many). The forecast's own errors make the margin: steady traffic needs little of it, wild
  traffic much.
* ceil(arrivals / (capacity x utilisation)), the last minute's arrivals, whatever the forecast says. Without a forecast
  the utilisation leaves the room that the quantile would have.
* the arrivals with what waits in a queue, drained in a minute.
* ceil(current x utilisation / limit), as the HPA has it, where a utilisation is measured.

A forecast alone never scales in. Scaling in waits until less has been enough for as long as a replica takes to start
(one given up sooner and needed again costs its start for nothing), is not worth it for less than DEADBAND of the fleet,
and is checked by a what-if: the smaller count must carry the present load with room to spare. Step limits and the warm
floor of the spec come last; the bounds hold whatever they say. What is unknown makes the advice `hold`, keep what runs;
while the load is unknown, a queue or a utilisation may ask for more, never for less.

All of it is a function of what the recommendation itself tells: compute/replay makes it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import ceil, inf, isfinite
from statistics import NormalDist
from sys import float_info

from seamark.compute.advice_memory import Advised, telling
from seamark.compute.season import RATE_MOST
from seamark.core.advice import AdviceInput, AdviceRules, Forecast, Recommendation, ReplicaCapacity, WarmFloor
from seamark.core.specs import AutoscaleSpec, StepLimit

UTILISATION = 0.85  # of the tested capacity: arrivals between two looks are not even
SCALE_IN_UTILISATION = 0.7  # after scaling in, the present load may use so much of what is left
FORESEEN_UTILISATION = 0.95  # in place of both where a forecast's errors have made the margin
UNDER_TO_OVER = 300.0  # what a replica too few costs, in replicas too many
FORESEEN_QUANTILE = UNDER_TO_OVER / (UNDER_TO_OVER + 1)
DECISION_LAG_S = 30.0  # spans are a few seconds on their way, advice waits for the next look of KEDA or the HPA
SCALE_IN_HOLD_S = 300.0  # also the most, where the forecast's horizon tells how long a start takes
SCALE_IN_HOLD_LEAST_S = 90.0
SCALE_IN_WATCHED = 0.9  # of the hold: advice is not given at its very edge
DEADBAND = 0.05  # of the fleet: giving up less saves less than its next start costs
DRAIN_S = 60.0  # in which what waits now should be gone
LIMITED_S = 60.0  # step limits are for a minute
REPLICAS_MOST = 10**9  # a need is told as no more than this
_NAMED = ("replicas", "queue_length", "utilisation")  # inputs that seamark.yaml names
_BEYOND_P99 = NormalDist().inv_cdf(FORESEEN_QUANTILE) / NormalDist().inv_cdf(0.99)
_ROUNDING = 1e-9  # 4 x 0.8 / 0.8 is 4 and not a little more


@dataclass(frozen=True)
class _Standing:
    """What runs, and what was advised lately."""

    at: datetime
    current: int | None
    recent: Sequence[Advised]
    hold_s: float
    what_if: float  # the utilisation that the present load may come to by scaling in
    warm: int  # at least so many are kept, within the bounds
    before: int | None  # what was advised last, however long ago

    @property
    def watched(self) -> list[Advised]:
        """The advice of the hold: the largest need of it counts."""
        return [advice for advice in self.recent if (self.at - advice.at).total_seconds() <= self.hold_s]

    @property
    def replicas(self) -> int | None:
        """The count last advised, else the one that runs, else the one advised before a pause; None: none is known."""
        advised = [advice for advice in self.recent if advice.replicas is not None]
        last = max(advised, key=lambda advice: advice.at, default=None)
        if last is not None:
            return last.replicas
        return self.current if self.current is not None else self.before

    @property
    def watched_s(self) -> float:
        """For how long the need has been known, without a break: a need seen in half a minute's load is too small."""
        unknown = max((advice.at for advice in self.recent if advice.needed is None), default=None)
        known = [advice.at for advice in self.recent if advice.needed is not None]
        since = [at for at in known if unknown is None or at > unknown]
        return (self.at - min(since)).total_seconds() if since else 0.0

    @property
    def is_watched(self) -> bool:
        """Whether the need is known for so long that less than it was can be said to be enough."""
        return self.watched_s >= SCALE_IN_WATCHED * self.hold_s


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
    capacity: ReplicaCapacity | None,
    current: int | None,
    recent: Sequence[Advised],
    inputs: Sequence[AdviceInput] = (),
    warm_floor: WarmFloor | None = None,
) -> Recommendation:
    """Return the advice of this instant.

    `current` is the number of replicas seen in spans (None: unknown); a fresh input `replicas` knows better. `recent`
    is the advice of the last SCALE_IN_HOLD_S seconds, or the one before them where there is none: as in the HPA's
    stabilisation window, the largest need of it is what counts. `inputs` are the metrics that `spec` names, fresh or
    not. A number that is none (NaN, infinite, negative) is not known.
    """
    arrivals = _number(arrivals_rps_last_minute, RATE_MOST)
    capacity = capacity if capacity is not None and abs(capacity.safe_rps) <= RATE_MOST else None
    inputs = [one if one.value is None or isfinite(one.value) else _unread(one) for one in inputs]
    measured = {one.name: one for one in inputs if one.state == "fresh" and _number(one.value) is not None}
    if "replicas" in measured:
        current = round(min(measured["replicas"].value or 0.0, REPLICAS_MOST))
    headroom = _headroom(arrivals, capacity, current)
    needed: int | None = None
    unknown = _unknown(arrivals, capacity)
    standing = _standing(at, current, recent, forecast, _warm(spec, warm_floor))
    asked = _asked(arrivals, capacity, current, spec, measured)
    if unknown is not None or capacity is None or arrivals is None:
        replicas, state, reason = _hold_or_grow(unknown or "", asked, spec, standing)
    else:
        need = max([_need(arrivals, forecast, capacity), *asked], key=lambda one: one.replicas)
        state, needed = "ok", need.replicas
        replicas, reason = _settle(need, spec, arrivals, capacity, standing)
        if current is None:
            reason += " How many run is not known: spans with service.instance.id would tell."
    reason += _not_read(inputs, current)
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
        capacity_rps=capacity.safe_rps if capacity else None,
        arrivals_rps=arrivals,
        forecast=forecast,
        headroom_ratio=headroom,
        cost_per_hour=price * replicas if price is not None and replicas is not None else None,
        needed=needed,
        inputs=tuple(inputs),
        capacity=capacity,
        rules=_rules(spec),
        warm_floor=warm_floor,
        before=telling(recent, at, kept_s=SCALE_IN_HOLD_S, watched_s=standing.hold_s, limited_s=LIMITED_S),
    )


def _standing(
    at: datetime, current: int | None, recent: Sequence[Advised], forecast: Forecast | None, warm: int
) -> _Standing:
    hold_s, what_if = SCALE_IN_HOLD_S, SCALE_IN_UTILISATION
    if forecast is not None and _foreseen_rps(forecast) is not None:
        hold_s = min(max(forecast.horizon_s, SCALE_IN_HOLD_LEAST_S), SCALE_IN_HOLD_S)
        what_if = FORESEEN_UTILISATION
    # Not what a clock that was set back has left in the time to come.
    told = [advice for advice in recent if (at - advice.at).total_seconds() > 0]
    lately = [advice for advice in told if (at - advice.at).total_seconds() <= SCALE_IN_HOLD_S]
    before = max(told, key=lambda advice: advice.at, default=None)
    return _Standing(at, current, lately, hold_s, what_if, warm, before.replicas if before is not None else None)


def _number(value: float | None, most: float = float_info.max) -> float | None:
    """Return a value that a decision may go by: finite, not negative, possible. Anything else is not known."""
    return value if value is not None and 0 <= value <= most else None


def _unread(one: AdviceInput) -> AdviceInput:
    return replace(one, state="unknown", value=None, note="what was sent is no finite number")


def _warm(spec: AutoscaleSpec, floor: WarmFloor | None) -> int:
    found = floor.replicas if spec.warm_auto and floor is not None else spec.warm
    return min(max(found or 0, spec.min), spec.max)


def _rules(spec: AutoscaleSpec) -> AdviceRules:
    limit = spec.utilisation.limit if spec.utilisation else None
    return AdviceRules(
        spec.cost_per_replica_hour, limit, spec.scale_out_most, spec.scale_in_most, spec.warm, spec.warm_auto
    )


def _asked(
    arrivals: float | None,
    capacity: ReplicaCapacity | None,
    current: int | None,
    spec: AutoscaleSpec,
    measured: Mapping[str, AdviceInput],
) -> list[_Need]:
    """Return what a queue and a utilisation that were measured ask for."""
    needs = []
    queue, used = measured.get("queue_length"), measured.get("utilisation")
    if queue is not None and queue.value and capacity is not None and capacity.safe_rps > 0:
        load = (arrivals or 0.0) + queue.value / DRAIN_S
        words = f"{queue.value:.0f} requests wait ({queue.metric}) and should be gone in {DRAIN_S:.0f} s"
        needs.append(_Need(_replicas(load, capacity.safe_rps * UTILISATION), f"{words}, and {_carried(capacity)}"))
    limit = spec.utilisation.limit if spec.utilisation else None
    if used is not None and used.value is not None and limit and current:
        words = f"utilisation is {used.value:.3g} ({used.metric}) on {_plural(current)} and should be {limit:g} at most"
        needs.append(_Need(_replicas(current * used.value, limit), words))
    return needs


def _hold_or_grow(
    unknown: str, asked: Sequence[_Need], spec: AutoscaleSpec, standing: _Standing
) -> tuple[int | None, str, str]:
    """Return (replicas, state, reason) while the load is unknown: only what asks for more is heard.

    A hold keeps what was advised last where that is more than what is seen to run: a replica that starts, or whose
    clock is wrong, has no spans in the last minute, and would be scaled in for want of news. The bounds hold as ever.
    """
    need = max(asked, key=lambda one: one.replicas, default=None)
    known = [count for count in (standing.replicas, standing.current) if count is not None]
    if need is None or not known or _within(need.replicas, spec) <= max(known):
        return _within(max(known), spec) if standing.current is not None else None, "hold", f"Hold: {unknown}."
    wanted = _limited(_within(need.replicas, spec), spec, standing)
    return wanted, "ok", f"{_plural(wanted)}: {need.words}; no fewer, because {unknown}."


def _not_read(inputs: Sequence[AdviceInput], current: int | None) -> str:
    """Return the sentences about named inputs that should have been there, and about a capacity that is in doubt."""
    out = ""
    for one in inputs:
        if one.name == "capacity" and one.state == "stale" and one.note:
            out += f" The capacity was {one.note.partition(';')[0]}."
        elif one.state != "fresh" and one.metric is not None and one.name in _NAMED:
            told = "has not been heard of lately" if one.state == "stale" else "is not known"
            instead = "" if one.name != "replicas" or current is None else "; replicas are counted from spans instead"
            out += f" {one.metric} ({one.name}) {told}{instead}."
    return out


def _unknown(arrivals: float | None, capacity: ReplicaCapacity | None) -> str | None:
    if arrivals is None:
        return "no requests have been heard of for a minute or more, and silence is not zero traffic"
    if capacity is None:
        return "what one replica can carry is not known; run a load test of shape `capacity`"
    if capacity.safe_rps <= 0:
        return "the last capacity test found no rate that holds its thresholds"
    return None


def _foreseen_rps(forecast: Forecast | None) -> float | None:
    """Return the load that FORESEEN_QUANTILE of the outcomes stay below, at the season's height; None: no forecast.

    Beyond the 99 % quantile errors are too few to count; it is drawn out as far as a normal one's would be. But a miss
    that was seen at a low load says nothing of one on top of a peak: no more is foreseen than ever came, and a little.
    """
    if forecast is None or forecast.state != "ok" or forecast.p50 is None or forecast.p99 is None:
        return None
    found = (forecast.p50 + _BEYOND_P99 * (forecast.p99 - forecast.p50)) * max(forecast.season_rise, 1.0)
    if forecast.most_rps is not None:
        found = min(found, forecast.most_rps)
    return found if isfinite(found) else None


def _need(arrivals: float, forecast: Forecast | None, capacity: ReplicaCapacity) -> _Need:
    foreseen = _foreseen_rps(forecast)
    used = UTILISATION if foreseen is None else FORESEEN_UTILISATION
    reactive = _replicas(arrivals, capacity.safe_rps * used)
    if forecast is not None and foreseen is not None:
        ahead = _replicas(foreseen, capacity.safe_rps)
        if ahead > reactive:
            told = (
                f"up to {foreseen:.1f} requests/s ({FORESEEN_QUANTILE:.2%}) are expected in {forecast.horizon_s:.0f} s"
            )
            return _Need(ahead, f"{told}, and {_known_to_carry(capacity)}")
    return _Need(reactive, f"{arrivals:.1f} requests/s arrived in the last minute, and {_carried(capacity, used)}")


def _settle(
    need: _Need, spec: AutoscaleSpec, arrivals: float, capacity: ReplicaCapacity, standing: _Standing
) -> tuple[int, str]:
    """Return (replicas, reason) after bounds, the wait before scaling in, its what-if, and the step limits."""
    wanted = _within(need.replicas, spec, standing.warm)
    because = need.words
    needs = [_within(advice.needed, spec, standing.warm) for advice in standing.watched if advice.needed is not None]
    lately = max(needs, default=0)
    kept = _within(standing.replicas or 0, spec)
    if not standing.is_watched:
        lately = max(lately, kept)
    found, more = wanted, ""
    if lately > wanted:
        found = lately
        more = f"; {wanted} would do now, scaling in waits {standing.hold_s:.0f} s"
    elif wanted < kept:
        found = min(max(wanted, _within(_replicas(arrivals, capacity.safe_rps * standing.what_if), spec)), kept)
        if found == kept:
            more = (
                f"; with {wanted} they would run at {arrivals / (wanted * capacity.safe_rps):.0%}, too much to scale in"
            )
    if 0 < kept - found < DEADBAND * kept - _ROUNDING:
        found, more = kept, f"; {found} would do, too small a saving to scale in for"
    limited = _limited(found, spec, standing)
    if limited != found:
        found, more = limited, f"{more}; {found} are on their way, no faster than the step limit allows"
    if need.replicas > spec.max and found == spec.max:
        return found, f"{_plural(found)}, the maximum: {because}{more}; {need.replicas} would be needed."
    if found == standing.warm and need.replicas < found and not more:
        kind = "the minimum" if found == spec.min else "kept warm"
        return found, f"{_plural(found)}, {kind}: {because}; {need.replicas} would do."
    return found, f"{_plural(found)}: {because}{more}."


def _limited(wanted: int, spec: AutoscaleSpec, standing: _Standing) -> int:
    """Return how far towards `wanted` the step limits let advice go, from where it was through the last minute.

    As the HPA's policies with a period of a minute: out from the lowest count of it, in from the highest. The bounds
    come first: a fleet outside them goes back at once.
    """
    last = standing.replicas
    if last is None:
        return wanted
    minute = [one for one in standing.recent if (standing.at - one.at).total_seconds() <= LIMITED_S]
    counts = [last, *(one.replicas for one in minute if one.replicas is not None)]
    if spec.scale_out_most is not None and wanted > last:
        return _within(max(min(wanted, min(counts) + _step(spec.scale_out_most, min(counts))), last), spec)
    if spec.scale_in_most is not None and wanted < last:
        return _within(min(max(wanted, max(counts) - _step(spec.scale_in_most, max(counts))), last), spec)
    return wanted


def _step(limit: StepLimit, base: int) -> int:
    """Return the replicas that a limit allows: one at least, or a small fleet would never move."""
    return limit.replicas if limit.replicas is not None else max(ceil((limit.share or 0.0) * base - _ROUNDING), 1)


def _carried(capacity: ReplicaCapacity, used: float = UTILISATION) -> str:
    return f"{_known_to_carry(capacity)} and is used to {used:.0%}"


def _known_to_carry(capacity: ReplicaCapacity) -> str:
    if capacity.source == "production":
        return f"one replica was seen to carry {capacity.safe_rps:.1f} requests/s in production (no load test has run)"
    return f"one replica was tested to carry {capacity.safe_rps:.1f} requests/s"


def _replicas(load: float, each: float) -> int:
    """Return how many of `each` carry the load: whole, from 0 to REPLICAS_MOST, whatever the numbers are."""
    if load <= 0:
        return 0
    needed = load / each if each > 0 else REPLICAS_MOST
    return ceil(needed - _ROUNDING) if needed < REPLICAS_MOST else REPLICAS_MOST


def _within(replicas: int, spec: AutoscaleSpec, warm: int = 0) -> int:
    return min(max(replicas, spec.min, warm), spec.max)


def _headroom(arrivals: float | None, capacity: ReplicaCapacity | None, current: int | None) -> float | None:
    total = capacity.safe_rps * current if capacity is not None and current is not None else 0.0
    if arrivals is None or not 0 < total < inf:
        return None
    ratio = (total - arrivals) / total
    return ratio if isfinite(ratio) else None  # by a capacity of next to nothing


def _plural(replicas: int) -> str:
    return "1 replica" if replicas == 1 else f"{replicas} replicas"
