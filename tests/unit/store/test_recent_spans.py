"""What advice reads of all models at once: how long requests take and how late spans come, each model's own."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from statistics import fmean, pstdev

import numpy as np
import pytest
from tests.lake_rows import AT, rows_of

from seamark.core.traffic import BLOCK_S
from seamark.store import traffic
from seamark.store.local_lake import LocalLake

MODELS = ("b", "a", "with spaces")
LATER = AT + timedelta(days=1)  # other tests' spans lie before


def test_each_model_is_told_by_its_own_spans_that_came_lately(lake: LocalLake) -> None:
    rng = np.random.default_rng(5)
    rows = [
        {
            "model": [*MODELS, "of nobody's interest"][int(rng.integers(4))],
            "trace_id": number.to_bytes(16, "big"),
            "start_at": LATER - timedelta(seconds=float(rng.uniform(-5, 1_000))),
            "received_at": LATER - timedelta(seconds=float(rng.uniform(-5, 400))),
            "duration_ns": int(rng.integers(1_000_000, 90_000_000)),
            "version": f"v{rng.integers(2)}",
            "synthetic": bool(rng.random() < 0.1),
            "is_request": bool(rng.random() < 0.9),
        }
        for number in range(3_000)
    ]
    lake.append({"spans": rows_of("spans", rows)})
    counted = [
        row
        for row in rows
        if row["is_request"]
        and not row["synthetic"]
        and timedelta(0) < LATER - row["start_at"] <= timedelta(seconds=traffic.BEGAN_S)
        and timedelta(0) <= LATER - row["received_at"] <= timedelta(seconds=traffic.CAME_S)
    ]
    recent, lags = traffic.recent(lake, MODELS, LATER), traffic.lags(lake, MODELS, LATER)
    assert set(recent) == set(lags) == set(MODELS)
    for model in MODELS:
        mine = [row for row in counted if row["model"] == model]
        took = [row["duration_ns"] / 1e9 for row in mine]
        assert recent[model].requests == len(mine) > 100
        assert recent[model].mean_s == pytest.approx(fmean(took))
        assert recent[model].cv == pytest.approx(pstdev(took) / fmean(took))
        wanted = Counter(
            (
                int(row["received_at"].timestamp() // BLOCK_S),
                max(int((row["received_at"] - row["start_at"]).total_seconds()), 0),
            )
            for row in mine
        )
        told = lags[model]
        found = zip(told.blocks.tolist(), told.lags_s.tolist(), told.counts.tolist(), strict=True)
        assert {(block, late): count for block, late, count in found} == dict(wanted)


def test_where_nothing_came_no_model_is_told(lake: LocalLake) -> None:
    empty = LATER + timedelta(days=10)
    assert traffic.recent(lake, MODELS, empty) == traffic.lags(lake, MODELS, empty) == {}
    assert set(traffic.recent(lake, ["a"], LATER)) == set(traffic.lags(lake, ["a"], LATER)) == {"a"}
