"""The same OTLP bodies -> what Phoenix and MLflow acknowledge, and what their own stores then hold.

Each is installed by pip into an environment of its own under .build/bench-peers/, started on loopback on an empty
folder with its defaults, but for what would call home. Bodies are sent over four connections for a fixed time; then its
database is counted until everything acknowledged is in it, or until patience ends. stored/s is rows in the database by
the time from the first request to that count: a promise in memory does not count.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from bench.bodies import Bodies, make
from bench.load import Load, send
from bench.payloads import MAIN, PAYLOADS
from bench.running import ROOT, free_port, running

ENVIRONMENTS = ROOT / ".build" / "bench-peers"
INSTALL_TIMEOUT_S = 1_800
CONNECTIONS = 4
REACH = {"Phoenix": 250.0, "MLflow": 80.0}  # times what they store in a second
POLL_S = 0.5
READY_S = 240.0  # their first start makes a database of many migrations


@dataclass(frozen=True)
class Peer:
    """One neighbour: how it is installed and started, and where its database lies."""

    tool: str
    requirement: str
    command: Callable[[Path, int], list[str]]
    database: str  # below its folder; its spans are in a table of that name
    healthy: str  # a path that answers once it is up
    environment: Mapping[str, str]
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its folder's name."""
        return self.tool.lower()


PEERS = (
    Peer(
        "Phoenix",
        "arize-phoenix==20.26.1",
        lambda bin_folder, port: [str(bin_folder / "phoenix"), "serve"],
        "phoenix.db",
        "/healthz",
        {"PHOENIX_TELEMETRY_ENABLED": "false", "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false"},
    ),
    Peer(
        "MLflow",
        "mlflow==3.17.2",
        lambda bin_folder, port: [str(bin_folder / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(port)],
        "mlflow.db",
        "/health",
        {"MLFLOW_DISABLE_TELEMETRY": "true"},
        {"x-mlflow-experiment-id": "0"},
    ),
)


def measure(folder: Path, *, quick: bool) -> list[dict[str, Any]]:
    """Return a row for each peer that could be installed and started; say so of the others."""
    bodies = make(MAIN, 12 if quick else 400, folder / "peer-bodies")
    rows = []
    for peer in PEERS:
        try:
            rows.append(_measure(peer, bodies, folder / peer.name, quick=quick))
        except (RuntimeError, OSError, subprocess.SubprocessError, sqlite3.Error) as error:
            print(f"{peer.tool} is left out: {str(error)[-600:]}", flush=True)
    return rows


def _measure(peer: Peer, bodies: Bodies, folder: Path, *, quick: bool) -> dict[str, Any]:
    bin_folder = install(peer.name, [peer.requirement])
    port = free_port()
    own = {**os.environ, **peer.environment, "DO_NOT_TRACK": "1", "HOME": str(folder)}
    own |= {"PHOENIX_WORKING_DIR": str(folder), "PHOENIX_HOST": "127.0.0.1", "PHOENIX_PORT": str(port)}
    own |= {"PHOENIX_GRPC_PORT": str(free_port())}
    for name in ("PYTHONPATH", "VIRTUAL_ENV"):
        own.pop(name, None)
    own["PATH"] = os.pathsep.join([str(bin_folder), own.get("PATH", "")])

    def ready(url: str) -> bool:
        return httpx.get(url + peer.healthy, trust_env=False, timeout=5).is_success

    with running(peer.command(bin_folder, port), own, folder, port, ready, READY_S) as server:
        load = send(
            server,
            bodies,
            connections=CONNECTIONS,
            warm_s=0.0,
            window_s=8.0 if quick else 20.0,
            extra_headers=peer.headers,
            lossy=True,
        )
        acknowledged = load.acknowledged * PAYLOADS[MAIN].rows
        stored, took_s = _stored(folder / peer.database, acknowledged, load, 15.0 if quick else 60.0)
        _, held_mb = server.resident_mb(load.start_s, time.monotonic())
    late = "" if stored >= acknowledged else f", of {acknowledged:,} acknowledged"
    return {
        "tool": peer.tool,
        "version": peer.requirement.partition("==")[2],
        "acknowledged/s": round(acknowledged / load.took_s),
        "stored/s": stored / took_s,
        "acknowledged": acknowledged,
        "stored": stored,
        "503s": load.refused,
        "connections lost": load.lost,
        **load.latencies,
        "memory MB max": max(held_mb),
        "note": f"{peer.requirement}, its defaults; {stored:,} spans in its database after {took_s:.0f} s{late}",
    }


def _stored(database: Path, acknowledged: int, load: Load, patience_s: float) -> tuple[int, float]:
    """Return the spans in the database, and seconds from the first request until they were there."""
    deadline_s = time.monotonic() + patience_s
    while True:
        found, at_s = _count(database), time.monotonic()
        if found >= acknowledged or at_s >= deadline_s:
            return found, at_s - load.start_s
        time.sleep(POLL_S)


def _count(database: Path) -> int:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as connection:
        return int(connection.execute("SELECT count(*) FROM spans").fetchone()[0])


def install(name: str, requirements: Sequence[str]) -> Path:
    """Return the folder of a peer's commands, installed into an environment of its own where it is not there yet."""
    place, wanted = ENVIRONMENTS / name, "\n".join(requirements)
    python, mark = place / "bin" / "python", place / "installed"
    if not mark.exists() or mark.read_text() != wanted:
        print(f"installing {', '.join(requirements)} into {place.relative_to(ROOT)}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True, timeout=INSTALL_TIMEOUT_S)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements]
        subprocess.run(pip, check=True, timeout=INSTALL_TIMEOUT_S)
        mark.write_text(wanted)
    return place / "bin"
