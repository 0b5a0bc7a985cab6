"""Traffic, spans, advice, replicas and latency in one loop: no fault makes the fleet shrink for want of news.

Each rule is shown to bite: with the handling of a fault taken out, the same world breaks it.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from tests.sim.fleet import Burst, Traffic
from tests.sim.invariants import broken
from tests.sim.world import CARRIED_RPS, LAW, MAX, MIN, Fault, Run, World

from seamark.app import open_services
from seamark.compute import autoscale
from seamark.settings import Settings
from seamark.store import local_lake

pytestmark = pytest.mark.slow

STEADY = Traffic(mean_rps=12.0, wave_s=7200.0, depth=0.1, phase=0.0, bursts=())


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder that was opened once, to be copied: making one takes longer than a minute of simulation."""
    folder = tmp_path_factory.mktemp("sim") / "data"
    folder.mkdir()
    with open_services(Settings(data_dir=folder)):
        pass
    return folder


@pytest.fixture
def live(empty: Path, tmp_path: Path) -> Callable[..., Run]:
    """Live through a world of a seed and say what happened."""

    def run(seed: int, minutes: float, *faults: Fault, **more: Any) -> Run:
        world = World(shutil.copytree(empty, tmp_path / "data"), seed, minutes, faults, **more)
        return asyncio.run(world.run())

    return run


def test_the_loop_keeps_its_rules_and_its_slo_through_every_fault(live: Callable[..., Run]) -> None:
    faults = [
        Fault("outage", 500, 620),
        Fault("repeats", 640, 700),
        Fault("late", 720, 780),
        Fault("restart", 830, 830),
        Fault("clock", 850, 900),
        Fault("no_capacity", 930, 1010),
    ]
    burst = Burst(1060, 200, 1.6)
    run = live(3, 22, *faults, traffic=replace(STEADY, depth=0.4, bursts=(burst,)))
    assert broken(run) == []
    assert {fault.kind for fault in faults} <= set().union(*(step.faults for step in run.steps))
    holds = [step for step in run.steps if step.answer["state"] == "hold"]
    assert {bool(step.faults & {"outage"}) for step in holds} == {True, False}  # for two causes
    # A burst that nothing announces is served late by what a start takes: the minutes of its rise are let off.
    rise = range(int(burst.start_s // 60), int((burst.start_s + burst.ramp_s + LAW.cold_start_s) // 60) + 2)
    slow = {minute: took for minute, took in run.p99_by_minute().items() if took > LAW.slo_s}
    assert set(slow) <= set(rise), slow
    assert run.replica_s < 1.7 * run.need_s, run.replica_s / run.need_s


# --- the rules bite ------------------------------------------------------------------------------------------------


def told_otherwise(monkeypatch: pytest.MonkeyPatch, **changed: Callable[[Any], Any]) -> None:
    """Have `recommend` told something else than what is known."""
    real = autoscale.recommend

    def recommend(*args: Any, **known: Any) -> Any:
        return real(*args, **{**known, **{name: change(known[name]) for name, change in changed.items()}})

    monkeypatch.setattr(autoscale, "recommend", recommend)


def test_silence_taken_for_no_traffic_would_empty_the_fleet(
    live: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    told_otherwise(monkeypatch, arrivals_rps_last_minute=lambda rps: rps or 0.0)
    run = live(1, 8, Fault("outage", 60, 480), traffic=STEADY)
    assert any("while nothing was heard" in words for words in broken(run))
    assert min(step.after for step in run.steps) == MIN


def test_a_fallback_to_a_fixed_count_would_shrink_the_fleet_in_an_outage(live: Callable[..., Run]) -> None:
    def static(manifest: str) -> str:
        document = yaml.safe_load(manifest)
        document["spec"]["fallback"] |= {"behavior": "static", "replicas": MIN}
        return yaml.safe_dump(document)

    run = live(1, 5, Fault("outage", 60, 300), traffic=STEADY, manifest=static)
    assert any("while nothing was heard" in words for words in broken(run))


def test_repeats_that_are_stored_would_be_told_as_traffic(
    live: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    monkeypatch.setattr(local_lake, "hashes_of", lambda spans: rng.integers(1, 2**63, len(spans)).astype(np.uint64))
    run = live(1, 3, Fault("repeats", 60, 180), traffic=STEADY)
    assert any("requests/s are told" in words for words in broken(run))


def test_a_restart_that_forgets_what_it_stored_would_count_it_twice(
    live: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_lake.LocalLake, "_recall", lambda lake: None)
    run = live(1, 3, Fault("restart", 100, 100), traffic=STEADY)
    assert any("requests/s are told" in words for words in broken(run))


def test_scaling_in_at_once_would_follow_spans_that_are_late(
    live: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SCALE_IN_HOLD_S", "SCALE_IN_HOLD_LEAST_S"):
        monkeypatch.setattr(autoscale, name, 0.0)
    run = live(1, 4, Fault("late", 60, 240), traffic=STEADY)
    assert any("requests/s come" in words for words in broken(run))


@pytest.mark.parametrize("kind", ["no_capacity", "clock"])
def test_a_hold_keeps_what_was_asked_for_also_what_does_not_serve_yet(live: Callable[..., Run], kind: str) -> None:
    """Replicas that start, and one whose clock is wrong, are not in the last minute's spans: a hold keeps them."""
    faults = [Fault("half_capacity", 60, 1e9), Fault("no_capacity", 90, 300)]
    if kind == "clock":
        faults = [Fault("clock", 60, 300), Fault("no_capacity", 130, 300)]
    run = live(1, 5, *faults, traffic=STEADY)
    assert broken(run) == []
    assert any(step.answer["state"] == "hold" for step in run.steps)


# --- long forms ----------------------------------------------------------------------------------------------------


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(8))
def test_hours_of_drawn_traffic_and_faults_keep_the_rules(live: Callable[..., Run], seed: int) -> None:
    rng = np.random.default_rng(seed + 1000)
    kinds = ["outage", "repeats", "late", "clock", "no_capacity", "half_capacity", "restart"]
    starts = 600 + 600 * np.arange(17)
    faults = []
    for start_s, kind in zip(
        starts.tolist(), rng.permutation([*kinds, *kinds, "outage", "late", "restart"]), strict=True
    ):
        longest_s = 60 if kind == "late" else 300  # spans that are late for longer than scaling in waits mislead it
        lasts_s = 0 if kind == "restart" else int(rng.integers(3, longest_s // 10 + 1)) * 10
        faults.append(Fault(str(kind), start_s, start_s + lasts_s))
    run = live(seed, 180, *faults)
    assert broken(run) == []
    assert max(step.after for step in run.steps) <= MAX
    assert run.replica_s < 2.5 * run.need_s, (run.replica_s / run.need_s, CARRIED_RPS)
