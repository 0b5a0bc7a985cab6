"""What a fleet that follows the advice had ready and what came -> replicas to keep warm, what that is worth and costs.

A burst that rises faster than a replica starts finds the fleet of before it. With a floor of N replicas each moment is
served by N or by what was ready, whichever is more; the same fluid queue as in the backtest tells in which minutes a
request would still wait longer than the SLO allows, and the floor costs N less what ran anyway, at every other moment
too.

Of all floors that one is advised whose replicas and whose remaining shortfall together cost least, a replica too few at
the price of UNDER_TO_OVER too many (compute/autoscale): the newsvendor's choice, as everywhere in the advice. No floor
is a possible answer, and the usual one for traffic that is foreseen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from seamark.compute.autoscale import UNDER_TO_OVER
from seamark.core.advice import WarmFloor
from seamark.core.backtest import BoolArray, Fleet, FloatArray, IntArray

DAY_S = 86_400.0
HISTORY_LEAST_S = 6 * 3600.0
FLOORS_MOST = 48  # that are tried
GAP_TICKS = 4  # broken ticks that are no further apart are one burst


@dataclass(frozen=True)
class _Tried:
    """Floors, ascending, the first of them none; per floor the ticks broken (ticks, floors) and what it costs."""

    floors: IntArray
    broken: BoolArray
    more: FloatArray  # replicas beyond those that ran, summed over ticks
    missing: FloatArray  # replicas too few in broken ticks, summed


def warm_floor(
    rates: FloatArray,
    ready: IntArray,
    fleet: Fleet,
    *,
    counted: BoolArray | None = None,
    at: datetime | None = None,
    price: float | None = None,
) -> WarmFloor:
    """Return the floor that would have been worth most.

    `rates` are requests per second of each tick, `ready` the replicas that the advice had serving then (both (ticks,);
    the course of a backtest), `at` the end of the last. Ticks that are not `counted`, or whose rate is no number, are
    unknown: they are in no figure, days among them, and nothing waits beyond them. Fewer than six hours that are known
    are `too_little_history`.
    """
    known = np.isfinite(rates) if counted is None else np.isfinite(rates) & counted
    known_s = float(known.sum()) * fleet.tick_s
    days = known_s / DAY_S
    if not 0 < fleet.capacity_rps < np.inf:
        return WarmFloor("no_capacity", days, reason="What one replica carries is not known.", at=at)
    if known_s < HISTORY_LEAST_S:
        told = (
            f"{days * 24:.1f} hours of traffic are known; bursts are looked for from {HISTORY_LEAST_S / 3600:.0f} on."
        )
        return WarmFloor("too_little_history", days, reason=told, at=at)
    load = np.where(known & (rates > 0), rates, 0.0)
    needed = np.ceil(np.minimum(load / fleet.capacity_rps, fleet.max) - 1e-9).astype(np.int64)
    tried = _try(load, known, ready, needed, fleet, _floors(load, ready, needed, fleet))
    best = int(np.argmin(tried.more + UNDER_TO_OVER * tried.missing))
    bursts = _bursts(tried.broken[:, 0])
    minutes, minutes_with = (float(tried.broken[:, one].sum()) * fleet.tick_s / 60 / days for one in (0, best))
    carried = sum(not tried.broken[start:end, best].any() for start, end in bursts)
    hours = float(tried.more[best]) * fleet.tick_s / 3600 / days
    found = WarmFloor(
        state="ok" if best else "not_needed",
        days=days,
        replicas=int(tried.floors[best]) if best else None,
        bursts=len(bursts),
        carried=carried,
        minutes=minutes,
        minutes_with=minutes_with,
        replica_hours=hours,
        cost=None if price is None else hours * price,
        reason="",
        at=at,
    )
    return _told(found, fleet)


def _told(found: WarmFloor, fleet: Fleet) -> WarmFloor:
    """Return it with its sentence."""
    start = f"a start of {fleet.cold_start_s:g} s"
    if not found.bursts:
        words = f"In {found.days:.1f} days no burst outran {start}."
    elif found.replicas is None:
        words = f"{found.bursts} bursts in {found.days:.1f} days outran {start}, {found.minutes:.1f} minutes a day; "
        words += "no floor is worth its price."
    else:
        money = "" if found.cost is None else f", which cost {found.cost:,.2f}"
        words = f"{found.replicas} replicas kept warm carry {found.carried} of {found.bursts} bursts that in "
        words += f"{found.days:.1f} days outran {start}, and leave {found.minutes_with:.1f} of {found.minutes:.1f} "
        words += f"broken minutes a day, for {found.replica_hours:,.1f} replica-hours a day{money}."
    return replace(found, reason=words)


def _floors(load: FloatArray, ready: IntArray, needed: IntArray, fleet: Fleet) -> IntArray:
    """Return no floor and those that some tick beyond the capacity of its fleet needs, at most FLOORS_MOST."""
    short = needed[(load > ready * fleet.capacity_rps) & (needed > fleet.min)]
    found = np.unique(short)
    if len(found) > FLOORS_MOST:
        found = np.unique(np.quantile(short, np.linspace(0, 1, FLOORS_MOST), method="nearest"))
    return np.concatenate(([0], found)).astype(np.int64)


def _try(
    load: FloatArray, known: BoolArray, ready: IntArray, needed: IntArray, fleet: Fleet, floors: IntArray
) -> _Tried:
    """Play the queue with every floor at once. Ticks with room and nothing that waits are passed over."""
    broken = np.zeros((len(load), len(floors)), np.bool_)
    more, missing = np.zeros(len(floors)), np.zeros(len(floors))
    for place, floor in enumerate(floors):
        more[place] = np.maximum(floor - ready, 0)[known].sum()
    waiting = np.zeros(len(floors))
    anything = False
    beyond = load > ready * fleet.capacity_rps
    for tick in range(len(load)):
        if not known[tick]:
            waiting[:], anything = 0.0, False
            continue
        if not anything and not beyond[tick]:
            continue
        have = np.maximum(floors, ready[tick])
        carried = have * fleet.capacity_rps
        waiting = np.maximum(waiting + (load[tick] - carried) * fleet.tick_s, 0.0)
        over = waiting > fleet.slo_wait_s * carried
        broken[tick] = over
        missing += np.where(over, np.maximum(needed[tick] - have, 1), 0)
        anything = bool(waiting.any())
    return _Tried(floors, broken, more, missing)


def _bursts(broken: BoolArray) -> list[tuple[int, int]]:
    """Return [start, end) of each stretch of broken ticks, those hardly apart taken together."""
    places = np.flatnonzero(broken)
    if not len(places):
        return []
    cuts = np.flatnonzero(np.diff(places) > GAP_TICKS)
    starts = places[np.concatenate(([0], cuts + 1))]
    ends = places[np.concatenate((cuts, [len(places) - 1]))] + 1
    return list(zip(starts.tolist(), ends.tolist(), strict=True))
