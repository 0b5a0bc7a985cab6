"""Performance through the application's doors: measured as labels come, estimated before, and what is known of both."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import numpy as np
import pytest

from seamark.compute.performance import LABELS_MIN
from seamark.core.performance import EstimateState, PerformanceState
from seamark.core.windows import Window
from seamark.engine import estimates
from seamark.engine.evaluate import Evaluator
from seamark.engine.services import Services

PLACE = "/api/v1/models/churn"
CLASSES = ("no", "yes")


def rows(count: int, *, shift: float = 0.0, seed: int = 1, first: int = 0, **more: Any) -> list[dict[str, Any]]:
    """Predictions of a classifier with calibrated scores; `label` is what came true."""
    rng = np.random.default_rng(seed)
    x = rng.normal(shift, 1.5, count)
    share = 1 / (1 + np.exp(-x))
    came = rng.random(count) < share
    return [
        {
            "features": {"x": float(x[n])},
            "prediction": CLASSES[int(share[n] > 0.5)],
            "scores": {"no": float(1 - share[n]), "yes": float(share[n])},
            "label": CLASSES[int(came[n])],
            "id": f"p{first + n}",
            **more,
        }
        for n in range(count)
    ]


def send(client: httpx.Client, services: Services, made: list[dict[str, Any]], *, minutes_ago: float = 1) -> None:
    at = (services.clock.now() - timedelta(minutes=minutes_ago)).isoformat()
    sent = [
        {"model": "churn", "prediction_id": row["id"], "at": at}
        | {key: row[key] for key in ("features", "prediction", "scores", "version", "segment") if key in row}
        for row in made
    ]
    answer = client.post("/api/v1/predictions", json=sent)
    assert answer.status_code == 200 and answer.json()["accepted"] == len(sent), answer.text


def label(client: httpx.Client, made: list[dict[str, Any]], at: str | None = None) -> None:
    told = [{"model": "churn", "prediction_id": row["id"], "label": row["label"]} for row in made]
    answer = client.post("/api/v1/labels", json=[one | ({"at": at} if at else {}) for one in told])
    assert answer.status_code == 200, answer.text


def put_reference(client: httpx.Client, made: list[dict[str, Any]], *names: str) -> None:
    kept = [row["features"] | {name: row[name] for name in names} for row in made]
    answer = client.put(f"{PLACE}/reference", json=kept)
    assert answer.status_code == 201, answer.text


def ask(client: httpx.Client, **asked: Any) -> dict[str, Any]:
    answer = client.get(f"{PLACE}/performance", params=asked)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


ALL = ("prediction", "scores", "label")


@pytest.mark.slow
def test_from_nothing_to_measured(services: Services, client: httpx.Client) -> None:
    found = ask(client)
    assert (found["state"], found["coverage"], found["metrics"]) == ("no_predictions", None, {})
    assert (found["estimated"]["state"], found["estimates_so_far"]) == ("no_predictions", {})
    made = rows(200)
    send(client, services, made)
    found = ask(client)
    assert (found["state"], found["coverage"], found["known_up_to"]) == ("no_labels", 0.0, None)
    label(client, made[: LABELS_MIN - 1])
    found = ask(client)
    assert (found["state"], found["labelled"], found["metrics"]) == ("too_few_labels", LABELS_MIN - 1, {})
    label(client, made[:150])
    found = ask(client)
    assert (found["state"], found["coverage"], found["task"]) == ("measured", 0.75, "classification")
    right = float(np.mean([row["prediction"] == row["label"] for row in made[:150]]))
    accuracy = found["metrics"]["accuracy"]
    assert accuracy["value"] == pytest.approx(right) and accuracy["low"] < right < accuracy["high"]
    assert {"precision", "recall", "f1", "roc_auc", "log_loss", "brier", "ece"} <= set(found["metrics"])
    assert found["label_lag_p50_s"] == 60.0 and found["estimated"]["state"] == "no_reference"


@pytest.mark.slow
@pytest.mark.parametrize(
    "names, reference_rows, state",
    [
        (("prediction", "scores"), 400, EstimateState.NO_REFERENCE_LABELS),
        (("prediction", "label"), 400, EstimateState.NO_SCORES),
        (ALL, 299, EstimateState.TOO_FEW_REFERENCE_LABELS),
        (ALL, 400, EstimateState.ESTIMATED),
    ],
)
def test_estimates_and_why_there_are_none(
    services: Services, client: httpx.Client, names: tuple[str, ...], reference_rows: int, state: EstimateState
) -> None:
    put_reference(client, rows(reference_rows, seed=2), *names)
    send(client, services, rows(300))
    found = ask(client)["estimated"]
    assert (found["state"], bool(found["metrics"])) == (state, state == EstimateState.ESTIMATED)


@pytest.mark.slow
def test_too_few_rows_and_none_with_scores(services: Services, client: httpx.Client) -> None:
    put_reference(client, rows(400, seed=2), *ALL)
    send(client, services, rows(20, version="a"))
    assert ask(client, version="a")["estimated"]["state"] == EstimateState.TOO_FEW_ROWS
    bare = [{key: value for key, value in row.items() if key != "scores"} for row in rows(50, version="b", first=100)]
    send(client, services, bare)
    assert ask(client, version="b")["estimated"]["state"] == EstimateState.NO_SCORES
    assert ask(client, version="c")["estimated"]["state"] == EstimateState.NO_PREDICTIONS


@pytest.mark.slow
def test_estimated_and_measured_stand_side_by_side(services: Services, client: httpx.Client) -> None:
    put_reference(client, rows(2000, seed=2), *ALL)
    made = rows(1000, shift=1.5)
    send(client, services, made)
    before = ask(client)
    assert (before["state"], before["estimated"]["state"], before["estimate_error"]) == ("no_labels", "estimated", {})
    label(client, made)
    found = ask(client)
    truth, expected = found["metrics"]["accuracy"], found["estimated"]["metrics"]["accuracy"]
    assert expected == before["estimated"]["metrics"]["accuracy"]  # labels teach the estimate nothing
    assert expected["low"] <= truth["value"] <= expected["high"]
    assert found["estimate_error"]["accuracy"] == pytest.approx(expected["value"] - truth["value"])
    assert (found["estimated"]["method"], found["estimated"]["reference_rows"]) == ("cbpe", 2000)


@pytest.mark.slow
def test_a_series_by_version_and_segment(services: Services, client: httpx.Client) -> None:
    put_reference(client, rows(400, seed=2), *ALL)
    old = rows(100, version="1", segment={"country": "de"})
    new = rows(60, version="2", segment={"country": "fr"}, first=1000)
    send(client, services, old, minutes_ago=55)
    send(client, services, new, minutes_ago=5)
    label(client, old)
    whole = ask(client, step="10m")
    assert len(whole["series"]) == 6 and whole["state"] == PerformanceState.MEASURED
    assert [one["state"] for one in whole["series"]] == ["measured", *["no_predictions"] * 4, "no_labels"]
    assert [one["estimated"]["state"] for one in whole["series"]][::5] == ["estimated", "estimated"]
    first, last = whole["series"][0], whole["series"][-1]
    assert (first["coverage"], first["labelled"], first["known_up_to"]) == (1.0, 100, first["window"]["end"])
    assert (last["coverage"], last["known_up_to"], last["label_lag_p50_s"]) == (0.0, None, None)
    assert first["at"] == first["window"]["start"] == whole["window"]["start"]
    assert ask(client, version="2")["predictions"] == 60
    found = ask(client, segment="country:de", version="1", step="1h")
    assert (found["predictions"], found["segment"], found["series"][0]["labelled"]) == (100, {"country": "de"}, 100)
    assert ask(client, segment="country:x' OR 1=1 --")["state"] == PerformanceState.NO_PREDICTIONS


@pytest.mark.parametrize(
    "asked, sentence",
    [
        ({"step": "1s"}, "at most 500 are given"),
        ({"step": "soon"}, "is not a duration"),
        ({"segment": "country"}, "write label:value"),
        ({"start": "2026-03-02"}, "before end"),
    ],
)
def test_what_is_asked_wrongly_is_refused(client: httpx.Client, asked: dict[str, str], sentence: str) -> None:
    answer = client.get(f"{PLACE}/performance", params=asked)
    assert answer.status_code == 422 and sentence in answer.text


@pytest.mark.slow
def test_a_reference_of_live_traffic_learns_from_labels_that_come_later(
    services: Services, client: httpx.Client
) -> None:
    made = rows(600, seed=2)
    send(client, services, made, minutes_ago=90)
    now = services.clock.now()
    span = {"from": (now - timedelta(hours=2)).isoformat(), "to": (now - timedelta(hours=1)).isoformat()}
    assert client.put(f"{PLACE}/reference", json=span).status_code == 201
    send(client, services, rows(100, first=5000))
    assert ask(client)["estimated"]["state"] == EstimateState.NO_REFERENCE_LABELS
    label(client, made)
    services.clock.advance(700)  # type: ignore[attr-defined]
    found = ask(client)["estimated"]
    assert (found["state"], found["reference_rows"]) == (EstimateState.ESTIMATED, 600)


@pytest.mark.slow
def test_a_regression_is_estimated_by_its_features(services: Services, client: httpx.Client) -> None:
    rng = np.random.default_rng(3)

    def regression(count: int, first: int, group: str | None = None) -> list[dict[str, Any]]:
        made = []
        for n in range(count):
            there = group or str(rng.choice(["calm", "wild"]))
            prediction = float(rng.normal(10, 2))
            error = float(rng.normal(0, 4 if there == "wild" else 1))
            made.append({"features": {"group": there}, "prediction": prediction, "label": prediction + error})
            made[-1]["id"] = f"r{first + n}"
        return made

    put_reference(client, regression(800, 0), "prediction", "label")
    wild = regression(400, 1000, "wild")
    send(client, services, wild)
    found = ask(client)["estimated"]
    assert (found["state"], found["method"]) == ("estimated", "dle")
    label(client, wild)
    measured = ask(client)
    for name in ("mae", "rmse"):
        one = found["metrics"][name]
        assert one["low"] <= measured["metrics"][name]["value"] <= one["high"], (name, one, measured["metrics"][name])
    assert measured["metrics"]["rmse"]["value"] > 3


CONFIG = "models: [{name: churn, performance: {window: 10m}}]"


@pytest.mark.slow
def test_ticks_keep_estimates_and_score_them_when_labels_come(services: Services, client: httpx.Client) -> None:
    assert client.put("/api/v1/config", content=CONFIG).status_code == 200
    put_reference(client, rows(1000, seed=2), *ALL)
    evaluator, batches = Evaluator(), []
    for number in range(3):
        services.clock.advance(600)  # type: ignore[attr-defined]
        made = rows(200, seed=10 + number, first=10_000 * number)
        send(client, services, made, minutes_ago=5)
        batches.append(made)
        evaluator.tick(services, services.clock.now())
        evaluator.tick(services, services.clock.now())  # a second worker, a restart: kept once all the same
        Evaluator().tick(services, services.clock.now())
    assert ask(client)["estimates_so_far"] == {}
    metrics = client.get("/metrics").text
    assert 'seamark_model_performance{kind="estimated",metric="accuracy",model="churn"}' in metrics.replace(
        'model="churn",metric="accuracy",kind="estimated"', 'kind="estimated",metric="accuracy",model="churn"'
    )
    label(client, batches[0])
    label(client, batches[1][:150])  # three quarters: not enough yet
    services.clock.advance(600)  # type: ignore[attr-defined]
    evaluator.tick(services, services.clock.now())
    fared = ask(client)["estimates_so_far"]
    assert fared["accuracy"]["windows"] == 1 and fared["accuracy"]["mean_absolute_error"] < 0.1
    label(client, batches[1][150:] + batches[2])
    services.clock.advance(600)  # type: ignore[attr-defined]
    evaluator.tick(services, services.clock.now())
    evaluator.tick(services, services.clock.now())
    fared = ask(client)["estimates_so_far"]
    assert fared["accuracy"]["windows"] == 3 and 0 <= fared["accuracy"]["held_ratio"] <= 1
    (seen,) = client.get("/api/v1/models").json()
    assert seen["performance"]["kind"] == "measured"


@pytest.mark.slow
def test_a_window_that_never_gets_all_labels_is_scored_in_the_end(services: Services, client: httpx.Client) -> None:
    put_reference(client, rows(1000, seed=2), *ALL)
    made = rows(200)
    send(client, services, made, minutes_ago=5)
    window = Window.trailing(services.clock.now(), 600)
    estimates.keep(services, "churn", window, services.clock.now())
    label(client, made[:60])
    estimates.keep(services, "churn", window, services.clock.now())
    assert estimates.fared(services, "churn") == {}
    estimates.keep(services, "churn", window, services.clock.now() + timedelta(days=15))
    assert estimates.fared(services, "churn")["accuracy"].windows == 1
