"""A target's address becomes OpenTelemetry providers whose spans and log records go there."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from seamark_sdk.lanes import LogLane, SpanLane
from seamark_sdk.process_start import process_started_at

DEFAULT_ENDPOINT = "http://127.0.0.1:4318"
EVERY_MS = 1_000.0  # of spans too: OpenTelemetry's own 5 s would show every page 5 s late

# Providers that a client of this process made: a second model's client must not send their spans once more.
_made_here: weakref.WeakSet[TracerProvider] = weakref.WeakSet()


@dataclass(frozen=True)
class Target:
    """Where to send: full URLs of both signals, and the headers of each request."""

    traces_url: str
    logs_url: str
    headers: Mapping[str, str]


def resolve_target(endpoint: str | None, api_key: str | None, environment: Mapping[str, str]) -> Target | None:
    """Return where to send; None where nothing is to be sent. ValueError names an address that is none.

    An `endpoint` that is given wins over the environment; OTEL_EXPORTER_OTLP_TRACES_ENDPOINT and ..._LOGS_ENDPOINT
    win over OTEL_EXPORTER_OTLP_ENDPOINT, as OpenTelemetry has it.
    """
    if endpoint == "" or environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    base = endpoint or environment.get("OTEL_EXPORTER_OTLP_ENDPOINT") or DEFAULT_ENDPOINT
    urls = {}
    for signal in ("traces", "logs"):
        own = None if endpoint else environment.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT")
        urls[signal] = own or f"{base.rstrip('/')}/v1/{signal}"
        parts = urlsplit(urls[signal])
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"endpoint: {own or base!r} is no address; write one like http://127.0.0.1:8000")
    key = api_key or environment.get("SEAMARK_API_KEY")
    return Target(urls["traces"], urls["logs"], {"authorization": f"Bearer {key}"} if key else {})


class Pipeline:
    """The providers of one model. `tracer_provider` is the application's own where it has one."""

    def __init__(self, model: str, version: str, target: Target, queue_max: int) -> None:
        names = {
            "seamark.model.name": model,
            "seamark.model.version": version,
            "process.creation.time": process_started_at(),
        }
        service = {"service.name": model, "service.version": version}
        # Resource.create adds service.instance.id, and the providers renew it in a forked child.
        resource = Resource.create({k: v for k, v in {**service, **names}.items() if v})
        self._logs = LogLane(lambda: _log_exporter(target), queue_max, _every_ms("OTEL_BLRP_SCHEDULE_DELAY"))
        # Private: an application's own log records are none of Seamark's business.
        self._log_provider = LoggerProvider(resource, shutdown_on_exit=False)
        self._log_provider.add_log_record_processor(self._logs)
        self.logger: Any = self._log_provider.get_logger("seamark_sdk")
        self._spans: SpanLane | None = None
        stamp = Resource({k: v for k, v in names.items() if v is not None})
        self.tracer_provider: Any = self._join_tracing(resource, stamp, target, queue_max)

    @property
    def dropped(self) -> int:
        """Records of both signals that were not sent."""
        return sum(lane.gate.dropped for lane in self._lanes())

    @property
    def waiting(self) -> int:
        """Records of both signals that wait."""
        return sum(lane.gate.waiting for lane in self._lanes())

    def flush(self, timeout_s: float) -> bool:
        """Send what waits, both signals within the one time."""
        return self._within(timeout_s, lambda lane, left_s: lane.flush(left_s))

    def close(self, timeout_s: float) -> bool:
        """Send what waits and end, both signals within the one time."""
        return self._within(timeout_s, lambda lane, left_s: lane.close(left_s))

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        for lane in self._lanes():
            lane.after_fork()

    def _within(self, timeout_s: float, work: Callable[[LogLane | SpanLane, float], bool]) -> bool:
        until_s = time.monotonic() + timeout_s
        for lane in self._lanes():
            lane.nudge()  # side by side: a signal that hangs must not eat the other's time
        done = [work(lane, max(until_s - time.monotonic(), 0.0)) for lane in self._lanes()]
        return all(done)

    def _lanes(self) -> list[LogLane | SpanLane]:
        return [self._logs, self._spans] if self._spans else [self._logs]

    def _join_tracing(self, resource: Resource, names: Resource, target: Target, queue_max: int) -> Any:
        current = trace.get_tracer_provider()
        if isinstance(current, TracerProvider) and current in _made_here:
            return current
        theirs = current if isinstance(current, TracerProvider) else None
        provider = theirs or TracerProvider(resource=resource, shutdown_on_exit=False)
        stamp = names if theirs else None
        every_ms = _every_ms("OTEL_BSP_SCHEDULE_DELAY")
        self._spans = SpanLane(lambda: _span_exporter(target), queue_max, every_ms, stamp)
        provider.add_span_processor(self._spans)
        if theirs is None:
            _made_here.add(provider)
            if isinstance(current, trace.ProxyTracerProvider):  # else: another vendor's, which stays
                trace.set_tracer_provider(provider)
        return provider


def _every_ms(variable: str) -> float | None:
    # None leaves the variable to OpenTelemetry, which also says what is wrong with it.
    return None if os.environ.get(variable) else EVERY_MS


def _log_exporter(target: Target) -> OTLPLogExporter:
    return OTLPLogExporter(endpoint=target.logs_url, headers=target.headers, compression=_compression("LOGS"))


def _span_exporter(target: Target) -> OTLPSpanExporter:
    return OTLPSpanExporter(endpoint=target.traces_url, headers=target.headers, compression=_compression("TRACES"))


def _compression(signal: str) -> Compression | None:
    chosen = ("OTEL_EXPORTER_OTLP_COMPRESSION", f"OTEL_EXPORTER_OTLP_{signal}_COMPRESSION")
    return None if any(os.environ.get(variable) for variable in chosen) else Compression.Gzip
