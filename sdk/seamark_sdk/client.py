"""A handful of lines in a model server become spans, predictions and labels on their way to Seamark."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from opentelemetry._logs import SeverityNumber

from seamark_sdk import testing
from seamark_sdk.lifespan import FlushAtShutdown
from seamark_sdk.pipeline import Pipeline, Target, resolve_target
from seamark_sdk.records import LABEL_EVENT, PREDICTION_EVENT, Cuts, label_attributes, prediction_attributes
from seamark_sdk.synthetic import SyntheticMiddleware, current_kind
from seamark_sdk.vectors import clean_features

log = logging.getLogger(__name__)

CLOSE_S = 5.0
TOLD_EVERY_S = 60.0
HEALTH_URLS = r"/(healthz|readyz|livez|metrics)$"  # probes are no requests to the model


def init(
    *,
    model: str,
    version: str = "",
    endpoint: str | None = None,
    api_key: str | None = None,
    queue_max: int = 2_048,
) -> Seamark:
    """Return the client of one model; call it once per process and model, before `instrument()`.

    `endpoint` is the base URL of Seamark or of an OpenTelemetry Collector; by default OTEL_EXPORTER_OTLP_ENDPOINT,
    else http://127.0.0.1:4318. With "" or with OTEL_SDK_DISABLED=true nothing is ever sent. `api_key` is by default
    SEAMARK_API_KEY. `queue_max` bounds the predictions and labels that wait to be sent, and the spans likewise.
    ValueError names an argument that cannot be right.
    """
    if not model.strip():
        raise ValueError(f"model: {model!r} is no name; write the model's name, like model='churn'")
    if queue_max < 1:
        raise ValueError(f"queue_max: {queue_max!r} holds nothing; write 1 or more")
    return Seamark(model.strip(), str(version), resolve_target(endpoint, api_key, os.environ), queue_max)


class Seamark:
    """The client of one model. Its log methods never raise and never wait for the network."""

    def __init__(self, model: str, version: str, target: Target | None, queue_max: int) -> None:
        self.model = model
        self.version = version
        self._lock = threading.Lock()
        self._refused = 0
        self._cut = 0
        self._told_at_s: dict[str, float] = {}
        self._pipeline = Pipeline(model, version, target, queue_max) if target else None
        if self._pipeline:
            atexit.register(self.shutdown)
            self._renew_after_fork()

    def instrument(self, app: Any, *, excluded_urls: str | None = None) -> None:
        """Give a FastAPI application server spans, mark synthetic traffic, flush at its end; before its first request.

        `excluded_urls` are comma-separated regular expressions of URLs without spans; by default
        OTEL_PYTHON_FASTAPI_EXCLUDED_URLS, else health checks and /metrics.
        """
        instrumentor = _fastapi_instrumentor() if self._pipeline else None
        app.add_middleware(SyntheticMiddleware)  # raises where the application already serves
        app.add_middleware(FlushAtShutdown, flush=self.flush)
        if instrumentor is None or self._pipeline is None:
            return
        if excluded_urls is None and not os.environ.get("OTEL_PYTHON_FASTAPI_EXCLUDED_URLS"):
            excluded_urls = os.environ.get("OTEL_PYTHON_EXCLUDED_URLS") or HEALTH_URLS
        instrumentor.instrument_app(
            app,
            tracer_provider=self._pipeline.tracer_provider,
            excluded_urls=excluded_urls,
            exclude_spans=["receive", "send"],  # two more spans per request that say nothing of the model
        )

    def log_prediction(
        self,
        features: Mapping[str, Any],
        prediction: Any,
        *,
        scores: Mapping[Any, float] | None = None,
        segment: Mapping[str, Any] | None = None,
        latency_ms: float | None = None,
        prediction_id: str | None = None,
        at: datetime | None = None,
    ) -> str:
        """Queue one prediction and return its id (made where none is given), by which a label finds it later.

        `features` and `segment` map names to numbers, texts, truth values or None, `features` also to lists of numbers
        (embeddings); `scores` maps classes to probabilities. `at` is an aware instant, by default now. What is returned
        is an id even where nothing is sent.
        """
        made = prediction_id or uuid.uuid4().hex
        synthetic, cuts = current_kind(), Cuts()
        self._emit(
            PREDICTION_EVENT,
            lambda: prediction_attributes(
                made, clean_features(features, cuts), prediction, scores, segment, latency_ms, synthetic, cuts
            ),
            at,
            cuts,
        )
        return made

    def log_label(self, prediction_id: str, label: Any, *, at: datetime | None = None) -> None:
        """Queue the truth about an earlier prediction: a number, text or truth value, known since `at` (or now)."""
        cuts = Cuts()
        self._emit(LABEL_EVENT, lambda: label_attributes(prediction_id, label, cuts), at, cuts)

    @property
    def dropped(self) -> int:
        """How many predictions, labels and spans were not sent: queue full, request failed, unusable, or too late."""
        return self._refused + (self._pipeline.dropped if self._pipeline else 0)

    @property
    def waiting(self) -> int:
        """How many predictions, labels and spans wait to be sent."""
        return self._pipeline.waiting if self._pipeline else 0

    @property
    def cut(self) -> int:
        """How many values of sent records were left out or shortened, because they are too long or no single values."""
        return self._cut

    def flush(self, timeout: float = CLOSE_S) -> bool:
        """Send what waits; True when all of it left within `timeout` seconds."""
        return self._pipeline.flush(timeout) if self._pipeline else True

    def shutdown(self, timeout: float = CLOSE_S) -> bool:
        """Send what waits and end; True when all of it left within `timeout` seconds. Runs by itself at exit."""
        if self._pipeline is None:
            return True
        atexit.unregister(self.shutdown)
        return self._pipeline.close(timeout)

    def _emit(self, event: str, build: Callable[[], dict[str, Any]], at: datetime | None, cuts: Cuts) -> None:
        try:
            attributes = build()
            at_ns = time.time_ns() if at is None else int(at.timestamp() * 1e6) * 1_000
            if cuts.count:
                self._note_cuts(cuts)
            if testing.offer(testing.Sent(event, self.model, self.version, at_ns, attributes)) or not self._pipeline:
                return
            dropped_before = self.dropped
            self._pipeline.logger.emit(
                timestamp=at_ns,
                observed_timestamp=time.time_ns(),
                severity_number=SeverityNumber.INFO,
                event_name=event,
                attributes=attributes,
            )
            if self.dropped > dropped_before:
                self._tell("dropped", "%d records were not sent so far", self.dropped)
        except Exception as error:  # noqa: BLE001 - a model server answers its callers, whatever its telemetry does
            with self._lock:
                self._refused += 1
            self._tell(event, "an event %s was dropped: %s", event, error)

    def _note_cuts(self, cuts: Cuts) -> None:
        with self._lock:
            self._cut += cuts.count
        names = ", ".join(repr(name) for name in cuts.left_out[:5]) or "none"
        self._tell("cut", "values were left out (%s) or shortened (%d)", names, cuts.shortened)

    def _tell(self, kind: str, text: str, *values: object) -> None:
        now_s = time.monotonic()
        if now_s - self._told_at_s.get(kind, -TOLD_EVERY_S) >= TOLD_EVERY_S:
            self._told_at_s[kind] = now_s
            log.warning(text, *values)

    def _renew_after_fork(self) -> None:
        if not hasattr(os, "register_at_fork"):
            return
        weak = weakref.WeakMethod(self._begin_in_child)  # a hook cannot be taken back: it must not keep the client

        def begin() -> None:
            alive = weak()
            if alive is not None:
                alive()

        os.register_at_fork(after_in_child=begin)

    def _begin_in_child(self) -> None:
        self._lock = threading.Lock()
        self._refused = self._cut = 0
        if self._pipeline:
            self._pipeline.after_fork()


def _fastapi_instrumentor() -> Any:
    try:
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
    except ImportError as error:
        raise ImportError(
            f"instrument(app) needs the FastAPI extra: pip install 'seamark-sdk[fastapi]' ({error})"
        ) from error
    return FastAPIInstrumentor
