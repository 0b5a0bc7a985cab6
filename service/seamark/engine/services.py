"""What the engine's jobs and the web's doors work with: one object, made at the roof."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import httpx

from seamark.core.clock import Clock
from seamark.engine.configuration import Configuration
from seamark.engine.feature_types import TypeGate
from seamark.engine.input_memory import InputMemory
from seamark.store.buffer import WriteBuffer
from seamark.store.catalog import Catalog
from seamark.store.heard import Heard
from seamark.store.lake import Lake
from seamark.telemetry import Telemetry


@dataclass(frozen=True)
class Services:
    """Everything with a connection or a state. Jobs are handed this and an instant, `at`."""

    clock: Clock
    lake: Lake
    heard: Heard
    buffer: WriteBuffer
    catalog: Catalog
    telemetry: Telemetry
    configuration: Configuration
    http: httpx.Client  # for alert channels; follows no redirects
    url: str  # where people reach this service; links start with it
    data_dir: Path
    grpc_port: int  # on which clusters reach it over gRPC
    loadtests_dir: Path  # the only folder that plans may name payload files and locustfiles of
    loadtest_bind: tuple[str, int]  # where a run's master listens for workers of other machines
    open_access: bool  # loopback and no keys made yet, or --insecure
    max_body_bytes: int
    retention_days: float
    types: TypeGate = field(init=False)  # what every door asks before rows are stored
    remembered: InputMemory = field(init=False)  # inputs of advice that are read beside the ticks

    def __post_init__(self) -> None:
        object.__setattr__(self, "types", TypeGate(self.catalog, self.clock))
        object.__setattr__(self, "remembered", InputMemory())
