"""What targets.allow says now -> whether a run may begin, may go on, and how fast it may send."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from seamark.core.errors import Conflict
from seamark.core.specs import Config, LoadTestPlan
from seamark.wire.checks import origin_of


def allowed(config: Config, at: datetime) -> tuple[str, ...]:
    """Return the origins that may be sent requests at `at`: those whose last day has not passed."""
    return tuple(target.url for target in config.targets if target.expired(at) is None)


def caps(config: Config) -> Mapping[str, float]:
    """Return requests/s by origin, of those that have a cap."""
    return {target.url: target.max_rps for target in config.targets if target.max_rps is not None}


def check(config: Config, plan: LoadTestPlan, at: datetime) -> None:
    """Raise Conflict where the plan's target must not be sent requests now: not allowed, no longer, or not as fast."""
    told = withdrawn(config, origin_of(plan.target), at)
    target = config.target(origin_of(plan.target))
    too_fast = target.too_fast(plan.shape.params) if target is not None else None
    if told is None and too_fast is not None:
        told = f"the plan {too_fast}"
    if told is not None:
        raise Conflict(f"load test {plan.name!r} cannot run: {told}")


def withdrawn(config: Config, origin: str, at: datetime) -> str | None:
    """Return why requests to `origin` are no longer allowed, None while they are."""
    target = config.target(origin)
    if target is None:
        return f"{origin} is not on targets.allow"
    return target.expired(at)
