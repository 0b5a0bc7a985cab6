"""The door of version comparisons: three verdicts over real rows, the promised document, and what is refused."""

from __future__ import annotations

import html
import json
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
from fastapi import FastAPI
from tests.empty_stores import put_lake
from tests.lake_rows import SCHEMA, rows_of

from seamark.app import known_names
from seamark.core.keys import RANDOM_BYTES, new_key
from seamark.core.records import AT, SPANS
from seamark.engine.configuration import Configuration
from seamark.store.catalog.keys import KeyRecord
from seamark.store.heard import Heard
from seamark.store.lake import Lake
from seamark.web import compare, models, page_compare

Ask = Callable[..., httpx.Response]

GOLDEN = Path(__file__).parents[2] / "golden" / "compare.json"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
MODEL = "org/churn"
REQUESTS = 6_000
PREDICTIONS = 1_500


def spans_of(version: str, *, slower: float, seed: int, last: int = REQUESTS) -> pa.Table:
    """Requests of the hour before NOW, of which the `last` ones are there."""
    rng = np.random.default_rng(seed)
    ago_us = np.sort(rng.integers(0, 3_590_000_000, REQUESTS))[::-1][-last:]
    one = rows_of("spans", [{"model": MODEL, "version": version}])
    table = one.take(pa.array(np.zeros(last, dtype=np.int64)))
    columns = {
        "trace_id": pa.array([rng.bytes(16) for _ in range(last)], pa.binary()),
        "start_at": pa.array(round(NOW.timestamp() * 1e6) - ago_us, pa.int64()).cast(AT),
        "duration_ns": pa.array((rng.lognormal(17, 0.15, REQUESTS)[-last:] * slower).astype(np.int64)),
    }
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), SPANS.field(name), values)
    return table


def predictions_of(version: str, *, wrong: float, nulls: float, seed: int) -> dict[str, pa.Table]:
    rng = np.random.default_rng(seed)
    predictions, labels = [], []
    for index, second in enumerate(np.sort(rng.uniform(0, 3590, PREDICTIONS)).tolist()):
        named = {"model": MODEL, "prediction_id": f"{version}-{index}", "at": NOW - timedelta(seconds=second)}
        truth = int(rng.random() < 0.4)
        answer = float(truth ^ int(rng.random() < wrong))
        age = None if rng.random() < nulls else float(rng.normal(40, 10))
        features = {"numeric": [age, 1.5], "categorical": [rng.choice(["basic", "pro"]), "true"]}
        predictions.append({**named, **features, "version": version, "prediction_number": answer})
        labels.append({**named, "label_number": float(truth)})
    return {"predictions": rows_of("predictions", predictions), "labels": rows_of("labels", labels)}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """v1 serves; v2 is like it, v3 is 20 % slower, v4 is wrong more often, v5 has nulls, v6 has only begun."""
    lake = put_lake(tmp_path_factory.mktemp("lake"))
    kinds = {"v1": (1, 0.1, 0), "v2": (1, 0.1, 0), "v3": (1.2, 0.1, 0), "v4": (1, 0.2, 0), "v5": (1, 0.1, 0.2)}
    for seed, (version, (slower, wrong, nulls)) in enumerate(kinds.items()):
        rows = predictions_of(version, wrong=wrong, nulls=nulls, seed=seed)
        lake.append({"spans": spans_of(version, slower=slower, seed=seed), **rows})
    lake.append({"spans": spans_of("v6", slower=1.0, seed=9, last=30)})
    yield lake
    lake.close()


@pytest.fixture
def ask_compare(app: FastAPI, ask: Ask, services: Any, lake: Lake) -> Ask:
    app.include_router(compare.router())
    app.include_router(page_compare.router())
    app.include_router(models.router())
    services.lake, services.heard = lake, Heard(lake)
    services.configuration = Configuration(services.catalog, known_names())
    services.catalog.remember_schemas([(MODEL, SCHEMA)])
    return ask


def compared(ask: Ask, candidate: str, **more: str) -> dict[str, Any]:
    asked = {"baseline": "v1", "candidate": candidate, **more}
    answer = ask("GET", f"/api/v1/models/{MODEL}/compare", params=asked)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


CONFIG = """
models:
  - name: org/churn
    release: {accuracy: 5%, out_of_range_ratio: 3%}
"""


@pytest.fixture
def configured(ask_compare: Ask, services: Any) -> Ask:
    """What 1,500 labels can tell, is what is tolerated."""
    services.configuration.apply(CONFIG, NOW)
    return ask_compare


def states(found: dict[str, Any]) -> dict[str, str]:
    return {metric["metric"]: metric["state"] for metric in found["metrics"]}


def test_an_equal_version_is_promoted(configured: Ask) -> None:
    found = compared(configured, "v2")
    assert (found["verdict"], found["ok"]) == ("promote", True)
    assert found["reason"].startswith("v2 is not worse than v1 by more than is tolerated")
    assert states(found).pop("mae") == "unknown" and "not known: mae" in found["reason"]
    assert {state for name, state in states(found).items() if name != "mae"} == {"same"}


def test_a_slower_version_is_held(configured: Ask) -> None:
    found = compared(configured, "v3")
    assert (found["verdict"], found["ok"]) == ("hold", False)
    by_name = {metric["metric"]: metric for metric in found["metrics"]}
    p99 = by_name["latency_p99"]
    assert p99["state"] == "worse" and p99["critical"] and p99["p_value"] < 0.01
    assert 0.05 < p99["low"] < p99["effect"] < p99["high"]
    assert p99["candidate"] / p99["baseline"] - 1 == pytest.approx(p99["effect"])
    assert p99["effect"] == pytest.approx(0.2, abs=0.05)
    assert by_name["accuracy"]["state"] == "same"


def test_a_version_that_is_wrong_more_often_is_held(configured: Ask) -> None:
    found = compared(configured, "v4")
    assert (found["verdict"], found["ok"]) == ("hold", False)
    assert found["reason"].startswith("accuracy of v4 is")
    assert states(found)["latency_p99"] == "same"


def test_other_inputs_alone_hold_nothing_and_promote_nothing(configured: Ask) -> None:
    found = compared(configured, "v5")
    assert (found["verdict"], found["ok"]) == ("inconclusive", None)
    (nulls,) = (metric for metric in found["metrics"] if metric["metric"] == "null_ratio")
    assert (nulls["state"], nulls["feature"], nulls["critical"]) == ("worse", "age", False)
    assert "somebody should look" in found["reason"] and "'age'" in found["reason"]


@pytest.mark.parametrize("candidate", ["v6", "v9", "", "v2' OR '1'='1", "\u202ev2\x00"])
def test_a_version_of_which_too_little_is_known_is_inconclusive(configured: Ask, candidate: str) -> None:
    found = compared(configured, candidate)
    assert (found["verdict"], found["ok"]) == ("inconclusive", None)
    assert "has no requests yet that count" in found["reason"]
    assert set(states(found).values()) == {"too_few_rows", "unknown"}


def test_without_settings_the_defaults_hold_and_say_what_is_needed(ask_compare: Ask) -> None:
    found = compared(ask_compare, "v2")
    assert found["verdict"] == "inconclusive"
    (accuracy,) = (metric for metric in found["metrics"] if metric["metric"] == "accuracy")
    assert (accuracy["state"], accuracy["tolerance"]) == ("too_few_rows", 0.01)
    assert accuracy["rows_needed"] > accuracy["candidate_rows"] == PREDICTIONS
    assert f"about {accuracy['rows_needed']:,} are needed" in found["reason"]


def test_an_empty_window_is_no_promotion(configured: Ask) -> None:
    found = compared(configured, "v2", start="2025-01-01", end="2025-01-02")
    assert (found["verdict"], found["reason"]) == ("inconclusive", "neither v1 nor v2 has rows in the window")
    assert set(states(found).values()) == {"unknown"}


@pytest.mark.parametrize("verdict, candidate", [("promote", "v2"), ("hold", "v3"), ("inconclusive", "v6")])
def test_the_document_is_the_promised_one(configured: Ask, verdict: str, candidate: str) -> None:
    """Names, their order and the kinds of values are the contract; figures are those of this file's rows."""
    promised = json.loads(GOLDEN.read_text())[verdict]
    assert differences(promised, compared(configured, candidate)) == []


def differences(promised: Any, found: Any, path: str = "$") -> list[str]:
    if isinstance(promised, dict) and isinstance(found, dict):
        if list(promised) != list(found):
            return [f"{path}: {list(promised)} is now {list(found)}"]
        return [one for name in promised for one in differences(promised[name], found[name], f"{path}.{name}")]
    if isinstance(promised, list) and isinstance(found, list) and len(promised) == len(found):
        pairs = enumerate(zip(promised, found, strict=True))
        return [one for place, (was, now) in pairs for one in differences(was, now, f"{path}[{place}]")]
    if isinstance(promised, float) and isinstance(found, float):
        return [] if found == pytest.approx(promised, rel=1e-3, abs=1e-5) else [f"{path}: {promised} is now {found}"]
    return [] if promised == found and type(promised) is type(found) else [f"{path}: {promised!r} is now {found!r}"]


@pytest.mark.parametrize(
    "query, sentence",
    [
        ("baseline=v1", "candidate"),
        ("baseline=v1&candidate=v1", "name two versions"),
        ("baseline=v1&candidate=v2&start=tomorrow", "write RFC 3339"),
        ("baseline=v1&candidate=v2&window=soon", "is not a duration"),
        ("baseline=v1&candidate=v2&window=1h&start=2026-02-28", "write start or window, not both"),
        ("baseline=v1&candidate=v2&start=2026-03-01&end=2026-02-01", "before end"),
        (f"baseline=v1&candidate={'v' * 257}", "256"),
    ],
)
def test_what_is_asked_wrongly_is_refused(configured: Ask, query: str, sentence: str) -> None:
    answer = configured("GET", f"/api/v1/models/{MODEL}/compare?{query}")
    assert answer.status_code == 422 and sentence in answer.text, answer.text


def test_a_model_nobody_heard_of_is_not_found(ask_compare: Ask) -> None:
    answer = ask_compare("GET", "/api/v1/models/chrun/compare?baseline=1&candidate=2")
    assert answer.status_code == 404 and "chrun" in answer.text


def test_a_key_bound_to_another_model_learns_nothing(configured: Ask, services: Any) -> None:
    def bound_to(model: str | None, scope: str = "read") -> dict[str, str]:
        made = new_key(scope, secrets.token_bytes(RANDOM_BYTES))
        services.catalog.keys.add(KeyRecord(made.key_id, made.hash, scope, model, NOW, None))
        return {"Authorization": f"Bearer {made.plain}"}

    def status(**options: Any) -> int:
        path = f"/api/v1/models/{MODEL}/compare?baseline=v1&candidate=v9&window=1m"
        return configured("GET", path, **options).status_code

    own, other, ingest = bound_to(MODEL), bound_to("other"), bound_to(None, "ingest")
    services.clock.advance(10)
    assert [status(headers=key) for key in (own, other, ingest)] == [200, 403, 403]
    assert status() == 401


# --- the page ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "candidate, words",
    [
        ("v2", ["promote", "not worse", "unknown"]),
        ("v3", ["hold", "latency p99", "+20.", "&lt;0.001"]),
        ("v5", ["inconclusive", "null ratio", ">age<", "not critical"]),
        ("<script>alert(1)</script>", ["inconclusive", "&lt;script&gt;alert(1)"]),
    ],
)
def test_the_page_says_the_same(configured: Ask, candidate: str, words: list[str]) -> None:
    answer = configured("GET", f"/models/{MODEL}/compare", params={"baseline": "v1", "candidate": candidate})
    assert answer.status_code == 200 and "<script>alert" not in answer.text
    assert [word for word in words if word not in answer.text] == []
    told = compared(configured, candidate)
    assert html.escape(told["reason"], quote=False).replace("'", "&#39;") in answer.text
    assert answer.text.count("<tr>") == 1 + len(told["metrics"])


def test_the_page_of_a_wrong_question_is_a_page(configured: Ask) -> None:
    answer = configured("GET", f"/models/{MODEL}/compare?baseline=v1&candidate=v1")
    assert answer.status_code == 422 and "name two versions" in answer.text and "<html" in answer.text
