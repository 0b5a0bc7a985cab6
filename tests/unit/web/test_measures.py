"""The doors of metrics and tokens: what is asked wrongly is refused, what is not known is null."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from tests.empty_stores import put_lake
from tests.lake_rows import rows_of

from seamark.web import measures, models

Ask = Callable[..., httpx.Response]


@pytest.fixture
def ask_measures(app: FastAPI, ask: Ask, services: Any, tmp_path: Path) -> Iterator[Ask]:
    app.include_router(measures.router())
    app.include_router(models.router())
    services.lake = put_lake(tmp_path)
    now = services.clock.now()
    points = [
        {"model": "org/churn", "name": "http/queue.length", "at": now - timedelta(minutes=ago), "value": value}
        for ago, value in ((10, 4.0), (2, 6.0))
    ]
    services.lake.append({"metric_points": rows_of("metric_points", points)})
    span = {"model": "org/churn", "start_at": now - timedelta(minutes=10), "gen_ai_model": "large", "output_tokens": 30}
    services.lake.append({"spans": rows_of("spans", [span])})
    yield ask
    services.lake.close()


def test_names_and_series_of_a_model_with_slashes(ask_measures: Ask) -> None:
    (name,) = ask_measures("GET", "/api/v1/models/org/churn/metrics").json()
    assert (name["name"], name["unit"], name["kind"], name["series"]) == ("http/queue.length", "{request}", "gauge", 1)
    found = ask_measures("GET", "/api/v1/models/org/churn/metrics/http/queue.length?by=instance").json()
    assert found["metric"]["name"] == "http/queue.length"
    assert [(step["last"], step["rate"], step["instance"]) for step in found["steps"]] == [
        (4.0, None, "pod-1"),
        (6.0, None, "pod-1"),
    ]


def test_tokens_per_step_and_generative_model(ask_measures: Ask) -> None:
    (step,) = ask_measures("GET", "/api/v1/models/org/churn/tokens?step=1m&by=gen_ai_model").json()
    assert (step["gen_ai_model"], step["output_tokens"], step["output_tokens_per_s"]) == ("large", 30, 0.5)
    assert (step["input_tokens"], step["first_token_p50_ms"]) == (None, None)


def test_what_was_never_sent_is_null_and_empty(ask_measures: Ask) -> None:
    assert ask_measures("GET", "/api/v1/models/org/churn/metrics/none").json() == {"metric": None, "steps": []}
    assert ask_measures("GET", "/api/v1/models/nobody/metrics").json() == []
    assert ask_measures("GET", "/api/v1/models/nobody/tokens").json() == []


@pytest.mark.parametrize(
    "path, sentence",
    [
        ("metrics/a?by=route", "known are instance, version"),
        ("metrics/a?step=1s&start=2026-02-01", "at most 2000 are given"),
        ("tokens?by=route", "known are gen_ai_model, version"),
        ("metrics?start=tomorrow", "write RFC 3339"),
    ],
)
def test_what_is_asked_wrongly_is_refused(ask_measures: Ask, path: str, sentence: str) -> None:
    answer = ask_measures("GET", f"/api/v1/models/org/churn/{path}")
    assert answer.status_code == 422 and sentence in answer.text
