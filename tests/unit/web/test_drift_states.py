"""Every state that GET /api/v1/models/{model}/drift knows, from rows that came by the doors of the real application."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.special import ndtri

from seamark.app import create_app, open_services
from seamark.core.findings import DriftState
from seamark.settings import Settings

ROWS = 20_000
END = datetime.now(UTC) - timedelta(minutes=5)
# An even grid of a normal distribution: two of these differ by nothing but what is added, whatever the seed.
NORMAL = np.random.default_rng(1).permutation(ndtri((np.arange(ROWS) + 0.5) / ROWS))


def reference() -> bytes:
    """Return a Parquet file with every feature but the one that the reference does not know."""
    columns = {f"{name}_number": NORMAL for name in ("drift", "certain_small", "no_drift", "too_few_rows", "all_null")}
    texts = np.where(np.arange(ROWS) % 2, "a", "b")
    columns |= {"drift_text": texts, "no_drift_text": texts, "all_null_text": texts, "not_in_window_number": NORMAL}
    columns["other_dimension_vector"] = [[0.5, 1.0]] * len(texts)
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def predictions(model: str) -> list[dict[str, Any]]:
    """Return the window's rows, each feature named for the state it is to be in."""
    number = np.random.default_rng(2).permutation(NORMAL).tolist()
    return [
        {
            "model": model,
            "prediction_id": f"{model}-{row}",
            "at": (END - timedelta(seconds=1 + row % 3000)).isoformat(),
            "features": {
                "drift_number": value + 0.5,
                "certain_small_number": value + 0.06,
                "no_drift_number": value,
                "too_few_rows_number": value if row < 50 else None,
                "all_null_number": None,
                "drift_text": "c" if row % 3 else "a",
                "no_drift_text": "a" if row % 2 else "b",
                "not_in_reference_number": value,
                "all_null_text": None,
                "other_dimension_vector": [0.5, 1.0, 1.5],
            },
            "prediction": 1,
        }
        for row, value in enumerate(number)
    ]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Any]]]:
    """What the application answers of two models, of which only `known` has a reference."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("states"))
    with open_services(settings) as services:
        app = create_app(services, host="127.0.0.1", role="web")

        async def talk() -> dict[str, dict[str, Any]]:
            transport = httpx.ASGITransport(app)
            async with (
                app.router.lifespan_context(app),
                httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000", trust_env=False) as http,
            ):
                kept = await http.put(
                    "/api/v1/models/known/reference",
                    content=reference(),
                    headers={"content-type": "application/vnd.apache.parquet"},
                )
                assert kept.status_code == 201, kept.text
                rows = predictions("known") + predictions("unknown")[:500]
                for first in range(0, len(rows), 5000):
                    taken = await http.post("/api/v1/predictions", json=rows[first : first + 5000])
                    assert (taken.status_code, taken.json().get("rejected")) == (200, []), taken.text[:500]
                asked = {"at": END.isoformat(), "window": "1h"}
                told = {}
                for model in ("known", "unknown", "nobody"):
                    found = await http.get(f"/api/v1/models/{model}/drift", params=asked)
                    assert found.status_code == 200, found.text
                    told[model] = found.json()
                return told

        yield asyncio.run(talk())


def feature(answer: dict[str, Any], name: str) -> dict[str, Any]:
    return next(found for found in answer["features"] if found["feature"] == name)


@pytest.mark.parametrize(
    "name, drifted",
    [
        ("drift_number", True),
        ("drift_text", True),
        ("certain_small_number", False),
        ("no_drift_number", False),
        ("no_drift_text", False),
        ("too_few_rows_number", None),
        ("all_null_number", None),
        ("all_null_text", None),
        ("not_in_reference_number", None),
        ("not_in_window_number", None),
        ("other_dimension_vector", None),
    ],
)
def test_each_feature_is_in_the_state_it_is_named_for(answers: dict[str, Any], name: str, drifted: bool | None) -> None:
    found = feature(answers["known"], name)
    assert found["state"] == name.rpartition("_")[0]
    assert found["drifted"] is drifted
    judged = [found[figure] is not None for figure in ("score", "threshold", "p_value")]
    assert judged == [drifted is not None] * 3
    if drifted is not None:
        assert (found["rows"], found["reference_rows"]) == (ROWS, ROWS)
        assert drifted == (found["score"] >= found["threshold"])
    assert answers["known"]["drifted"] is True


def test_what_is_certain_but_small_is_beyond_chance(answers: dict[str, Any]) -> None:
    found = feature(answers["known"], "certain_small_number")
    assert found["p_value"] < 1e-4


def test_rows_that_have_a_value_are_counted(answers: dict[str, Any]) -> None:
    rows = {name: feature(answers["known"], f"{name}_number")["rows"] for name in ("too_few_rows", "all_null")}
    assert rows == {"too_few_rows": 50, "all_null": 0}


def test_without_a_reference_nothing_is_claimed(answers: dict[str, Any]) -> None:
    answer = answers["unknown"]
    assert answer["drifted"] is None and answer["reference_id"] is None
    assert {found["state"] for found in answer["features"]} == {"no_reference"}
    assert feature(answer, "no_drift_number")["rows"] == 500


def test_a_model_nobody_knows_has_no_features_and_is_unknown(answers: dict[str, Any]) -> None:
    assert answers["nobody"]["features"] == [] and answers["nobody"]["drifted"] is None


def test_no_state_is_left_out(answers: dict[str, Any]) -> None:
    seen = {found["state"] for answer in answers.values() for found in answer["features"]}
    assert seen == {state.value for state in DriftState}
