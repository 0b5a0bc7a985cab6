"""A scikit-learn model behind FastAPI, as anyone would serve one; the lines that speak of `sea` are all Seamark needs.

It trains at start on real data, and answers POST /predict. POST /fault breaks and mends it, from this machine only.
"""

# ruff: noqa: E402 - numpy reads the number of threads when it is loaded

from __future__ import annotations

import os

# Before numpy: one thread per request, so that concurrent requests share the cores instead of fighting for them.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

import argparse
import random
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import anyio.to_thread
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction import DictVectorizer
from sklearn.pipeline import Pipeline, make_pipeline

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from demo import data

import seamark_sdk

MODEL = "doctor-visits"
VERSION = os.environ.get("MODEL_VERSION", "1")
THREADS = 2  # requests worked on at once; the others wait their turn, which is what a load test finds
CONNECTIONS_MAX = 400  # above: 503


class Person(BaseModel):
    """What the model is asked about."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    lncoins: float
    lpi: float
    fmde: float
    physlm: float
    disea: float
    self_rated_health: Literal["excellent", "good", "fair", "poor"]
    individual_deductible: Literal["yes", "no"]


class Fault(BaseModel):
    """How to be broken: a share of requests fails, each takes longer."""

    model_config = ConfigDict(extra="forbid")

    error_ratio: float = Field(default=0.0, ge=0.0, le=1.0)
    delay_ms: float = Field(default=0.0, ge=0.0, le=10_000.0)


def train() -> Pipeline:
    """Return the model, trained on the training part: about a second."""
    training, _ = data.load()
    model = make_pipeline(
        DictVectorizer(sparse=False, sort=True),
        HistGradientBoostingClassifier(max_iter=200, learning_rate=0.05, max_leaf_nodes=15, random_state=0),
    )
    return model.fit(training.rows, training.labels)


@asynccontextmanager
async def bounded_threads(app: FastAPI) -> AsyncIterator[None]:
    """Let so many requests be worked on at once, while the application runs."""
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    yield


def create_app(model: Pipeline) -> FastAPI:
    """Return the application that serves the model."""
    app = FastAPI(title=MODEL, version=VERSION, lifespan=bounded_threads)
    app.state.fault = Fault()
    chance = random.Random(0)

    sea = seamark_sdk.init(model=MODEL, version=VERSION)
    sea.instrument(app)

    @app.post("/predict")
    def predict(person: Person) -> dict[str, Any]:
        _break(app.state.fault, chance)
        features = person.model_dump()
        often = float(model.predict_proba([features])[0, 1])
        prediction, scores = int(often >= 0.5), {"0": 1 - often, "1": often}
        prediction_id = sea.log_prediction(features=features, prediction=prediction, scores=scores)
        return {"prediction_id": prediction_id, "prediction": prediction, "scores": scores, "version": VERSION}

    @app.post("/fault")
    async def fault(wanted: Fault, request: Request) -> Fault:
        if request.client is None or request.client.host not in ("127.0.0.1", "::1"):
            raise HTTPException(403, "faults are taken from this machine only")
        app.state.fault = wanted
        return wanted

    @app.get("/healthz")
    async def healthz() -> dict[str, Any]:
        return {"status": "ok", "version": VERSION, "telemetry_dropped": sea.dropped}

    return app


def _break(fault: Fault, chance: random.Random) -> None:
    if fault.delay_ms:
        time.sleep(fault.delay_ms / 1000)
    if fault.error_ratio and chance.random() < fault.error_ratio:
        raise HTTPException(500, "broken on purpose; POST /fault {} mends it")


def main() -> None:
    """Train, then serve until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--host", default="127.0.0.1")
    where = parser.parse_args()
    host, port = where.host, where.port
    bound = socket.create_server((host, port), backlog=2048)  # before the training: a taken port shows at once
    began_s = time.monotonic()
    model = train()
    print(f"trained in {time.monotonic() - began_s:.1f} s; {MODEL} {VERSION} is at http://{host}:{port}", flush=True)
    config = uvicorn.Config(
        create_app(model),
        log_level="warning",
        ws="none",
        access_log=False,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_graceful_shutdown=3,
    )
    uvicorn.Server(config).run(sockets=[bound])


if __name__ == "__main__":
    main()
