"""A model server instrumented with nothing but OpenTelemetry's own packages: SERVICE PORT OTLP_URL.

POST /predict waits in a span `load features`, then in one `infer` (longer for x > 2), and answers x.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

name, port, otlp_url = sys.argv[1:]
provider = TracerProvider(resource=Resource.create({"service.name": name}))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{otlp_url}/v1/traces"), schedule_delay_millis=100))
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("model")
app = FastAPI()


@app.post("/predict")
async def predict(row: dict[str, Any]) -> dict[str, Any]:
    with tracer.start_as_current_span("load features"):
        await asyncio.sleep(0.005)
    with tracer.start_as_current_span("infer"):
        await asyncio.sleep(0.1 if row["x"] > 2 else 0.02)
    return {"prediction": row["x"]}


FastAPIInstrumentor.instrument_app(app)
uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="error", access_log=False)
