"""What production carries counts where the objectives held, replicas are known, and often enough."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from tests.lake_rows import AT

from seamark.compute.carried import STEPS_MIN, carried_rps, production_capacity
from seamark.core.specs import SloSpec
from seamark.core.thresholds import parse_threshold
from seamark.core.traffic import Minute

SLO = SloSpec(3600.0, parse_threshold("p99(latency_ms) < 300"), 0.999)


def minute(requests: int, **fields: Any) -> Minute:
    return Minute(AT, requests, fields.get("failed", 0), fields.get("slow", 0), "v1")


def test_it_is_the_busiest_minute_that_held_by_replica_and_told_low() -> None:
    found = carried_rps([minute(6_000), minute(1_200), minute(9_000, slow=91)], 2, SLO)
    assert found == pytest.approx((6_000 - 1.645 * 6_000**0.5) / 60 / 2)


@pytest.mark.parametrize(
    "minutes, instances",
    [
        ([minute(6_000)], None),
        ([minute(6_000)], 0),
        ([minute(29)], 1),
        ([minute(6_000, failed=7)], 1),
        ([minute(6_000, slow=61)], 1),
        ([], 1),
    ],
    ids=["no count", "none", "too few", "failed", "slow", "silence"],
)
def test_what_says_nothing_is_none(minutes: list[Minute], instances: int | None) -> None:
    assert carried_rps(minutes, instances, SLO) is None


def test_one_objective_is_enough() -> None:
    assert carried_rps([minute(600, slow=600)], 1, SloSpec(3600.0, None, 0.99)) is not None
    assert carried_rps([minute(600)], 1, SloSpec(3600.0, SLO.latency)) is not None


def test_what_is_refused_is_not_carried() -> None:
    """A replica that answers 10/s and refuses as many in a millisecond keeps an objective of latency alone."""
    latency = SloSpec(3600.0, SLO.latency)
    found = carried_rps([minute(1_200, failed=600)], 1, latency)
    assert found == pytest.approx((600 - 1.645 * 600**0.5) / 60)
    assert carried_rps([minute(600, failed=600)], 1, latency) is None
    assert carried_rps([minute(6_000, failed=5_000, slow=11)], 1, latency) is None, "too slow for those it answered"
    assert carried_rps([minute(6_000, failed=5_971)], 1, latency) is None, "it answered too few to say"


def test_capacity_is_what_one_step_in_ten_exceeded() -> None:
    steps = np.full(144, np.nan)
    steps[:100] = np.arange(1.0, 101.0)
    found = production_capacity([steps], AT - timedelta(days=1))
    assert found is not None
    assert (found.source, found.high_rps, found.at) == ("production", 100.0, AT - timedelta(days=1))
    assert found.safe_rps == pytest.approx(90.1)
    steps[STEPS_MIN - 1 :] = np.nan
    assert production_capacity([steps], AT) is None
    assert production_capacity([], AT) is None


def test_a_floor_never_exceeds_what_a_replica_can_do() -> None:
    """Replicas of a known capacity, loads around and beyond it: what is learned stays below it."""
    rng = np.random.default_rng(7)
    capacity, replicas = 20.0, 3
    days = np.full(144, np.nan)
    for step in range(144):
        load = rng.uniform(0.2, 1.3) * capacity * replicas
        minutes = []
        for _ in range(10):
            requests = int(rng.poisson(load * 60))
            beyond = max(requests / 60 / replicas / capacity - 1, 0)
            minutes.append(minute(requests, slow=int(requests * min(10 * beyond, 1))))
        days[step] = carried_rps(minutes, replicas, SLO) or np.nan
    found = production_capacity([days], AT)
    assert found is not None and 0.8 * capacity < found.safe_rps <= capacity
