"""Run in a process of its own: fills a lake with predictions and references, or times their evaluation; JSON on stdout.

python -m bench.drift_lake fill FOLDER '{"rows": 1000000, ...}'
python -m bench.drift_lake window FOLDER '{}'      lake -> findings of the one large window: seconds and memory
python -m bench.drift_lake hours FOLDER '{}'       processor seconds of an hour of evaluations of all models
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa

from bench import drift_rows
from seamark.app import known_names
from seamark.core.clock import ManualClock
from seamark.core.records import FeatureSchema
from seamark.core.specs import DriftSpec, ModelSpec
from seamark.core.windows import Window
from seamark.engine import drift, monitors, references
from seamark.engine.configuration import Configuration
from seamark.engine.services import Services
from seamark.serving import spare_memory
from seamark.store.buffer import WriteBuffer
from seamark.store.catalog import Catalog
from seamark.store.catalog.database import Database
from seamark.store.heard import Heard
from seamark.store.lakes import open_ducklake
from seamark.telemetry import Telemetry

END = datetime(2026, 3, 1, 12, tzinfo=UTC)
LARGE = "large"
_BATCH_ROWS = 20_000


@contextmanager
def services_of(folder: Path) -> Iterator[Services]:
    """The engine's services over a lake and a catalog in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    url = f"sqlite:///{folder / 'seamark.db'}"
    database = Database(url)
    database.upgrade()
    catalog = Catalog(database)
    lake = open_ducklake(data_dir=folder, catalog_url=url)
    with httpx.Client(trust_env=False) as http:
        yield Services(
            clock=ManualClock(END),
            lake=lake,
            heard=Heard(lake),
            buffer=WriteBuffer(lake, rows_max=1000),
            catalog=catalog,
            telemetry=Telemetry(),
            configuration=Configuration(catalog, known_names()),
            http=http,
            url="http://127.0.0.1:8000",
            data_dir=folder,
            open_access=True,
            max_body_bytes=1 << 20,
            retention_days=30.0,
        )
    lake.close()
    database.close()


def fill(services: Services, asked: dict[str, Any]) -> dict[str, Any]:
    """Store the references of `models`, then their predictions in turn, `rows` an hour each over `hours`."""
    schema = FeatureSchema(
        tuple(f"n{column}" for column in range(asked["numeric"])),
        tuple(f"c{column}" for column in range(asked["categorical"])),
    )
    models = asked["models"]
    reference = _named(schema, *_drawn(schema, 1, asked["reference_rows"]))
    for model in models:
        services.catalog.schemas.remember([(model, schema)])
        references.put(services, model, "", schema, reference, {"rows": "drawn"}, END - timedelta(days=1))
    total = asked["rows"] * len(models) * asked["hours"]
    values, codes = _drawn(schema, 2, total)
    ids = np.random.default_rng(3)
    for first in range(0, total, _BATCH_ROWS):
        rows = np.arange(first, min(first + _BATCH_ROWS, total))
        ago_us = 3600e6 * asked["hours"] * (1 - (rows + 0.5) / total)
        at = pa.array((END.timestamp() * 1e6 - ago_us).astype(np.int64)).cast(pa.timestamp("us", tz="UTC"))
        predictions = {
            "model": pa.array(models).take(pa.array(rows % len(models))),
            "version": pa.repeat("1", len(rows)),
            "prediction_id": pa.array([ids.bytes(16).hex() for _ in rows]),
            "at": at,
            "schema_id": pa.repeat(pa.scalar(schema.schema_id, pa.int64()), len(rows)),
            "numeric": _lists(pa.array(values[rows].reshape(-1)), len(rows)),
            "categorical": _lists(pa.array(drift_rows.texts()).take(pa.array(codes[rows].reshape(-1))), len(rows)),
            "prediction_number": pa.array(values[rows, 0]),
            "synthetic": pa.repeat(False, len(rows)),
            "received_at": at,
        }
        services.lake.append({"predictions": pa.table(predictions)})
    while services.lake.maintain(END, None):
        pass
    health = services.lake.health()
    return {"rows": total, "files": health.files, "lake_mb": health.data_bytes / 1e6}


def window(services: Services, asked: dict[str, Any]) -> dict[str, Any]:
    """Judge the last hour of the one model: once with its reference unknown, then as it is evaluated ever after."""
    hour = Window.trailing(END, 3600.0)
    services.lake.query("SELECT count(*) FROM lake.labels")  # the lake's engine has started
    base_mb = _memory_mb("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    taken_s, cpu_s, finding = [], [], None
    for _ in range(1 + asked["repeats"]):
        started_s, cpu_started_s = time.perf_counter(), time.process_time()
        finding = drift.judge(services, LARGE, None, hour)
        taken_s.append(time.perf_counter() - started_s)
        cpu_s.append(time.process_time() - cpu_started_s)
    assert finding is not None
    return {
        "first_s": taken_s[0],
        "s": float(np.median(taken_s[1:])),
        "cpu_s": float(np.median(cpu_s[1:])),
        "first_cpu_s": cpu_s[0],
        "above_base_mb": _memory_mb("VmHWM") - base_mb,
        "base_mb": base_mb,
        "features": len(finding.features),
        "rows": min(feature.rows for feature in finding.features),
        "reference_rows": min(feature.reference_rows for feature in finding.features),
    }


def hours(services: Services, asked: dict[str, Any]) -> dict[str, Any]:
    """Evaluate every model's trailing hour at some instants, as the service's tick does."""
    specs = [ModelSpec(model, drift=DriftSpec()) for model in asked["models"]]
    every_s = monitors.drift_every_s(specs[0])
    cpu_s = []
    for tick in range(1 + asked["ticks"]):  # the first one meets references it does not know
        at = END - timedelta(seconds=every_s * (asked["ticks"] - tick))
        started_s = time.process_time()
        hour = Window.trailing(at, specs[0].drift.window_s) if specs[0].drift else None
        assert hour is not None
        together = {hour.span_s: drift.Together(services, asked["models"], hour)}
        for spec in specs:
            monitors.judge_drift(services, spec, at, together)
        cpu_s.append(time.process_time() - started_s)
    return {"every_s": every_s, "first_cpu_s": cpu_s[0], "tick_cpu_s": float(np.median(cpu_s[1:]))}


def _drawn(schema: FeatureSchema, seed: int, rows: int) -> tuple[Any, Any]:
    return drift_rows.numbers(seed, rows, len(schema.numeric)), drift_rows.codes(seed, rows, len(schema.categorical))


def _named(schema: FeatureSchema, values: Any, codes: Any) -> pa.Table:
    texts = pa.array(drift_rows.texts())
    columns = {name: pa.array(values[:, place]) for place, name in enumerate(schema.numeric)}
    return pa.table(columns | {n: texts.take(pa.array(codes[:, place])) for place, n in enumerate(schema.categorical)})


def _lists(values: pa.Array, rows: int) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(np.arange(rows + 1) * (len(values) // rows), pa.int32()), values)


def _memory_mb(name: str) -> float:
    """Return VmRSS (held now) or VmHWM (held at most) of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024 / 1e6


def main() -> None:
    """Do what the command line says."""
    spare_memory()  # as the service does
    what, folder, asked = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
    with services_of(folder) as services:
        print(json.dumps({"fill": fill, "window": window, "hours": hours}[what](services, asked)))


if __name__ == "__main__":
    main()
