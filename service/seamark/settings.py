"""Every setting of the service: flag, then environment (SEAMARK_*, or *_FILE for secrets), then default."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from seamark.core.errors import Problem, StartRefused


@dataclass(frozen=True)
class Settings:
    """What the service was started with. Each field's environment variable is SEAMARK_ and the name in capitals."""

    data_dir: Path = Path("seamark-data")
    database_url: str | None = None  # None: SQLite in the data folder
    lake: str | None = None  # None: a folder in the data folder; a path; or s3://bucket/prefix
    host: str = "127.0.0.1"
    port: int = 8000
    otlp_port: int = 4318  # also listened to when free; 0: not
    grpc_port: int | None = None  # OTLP and KEDA's scaler over gRPC; None: GRPC_PORT when it is free; 0: not
    config: Path | None = None
    loadtests_dir: Path | None = None  # payload files and locustfiles of plans; None: loadtests/ in the data folder
    loadtest_bind: str = "127.0.0.1:5557"  # where a run's master listens for workers of other machines
    role: str = "all"  # all | web | worker
    insecure: bool = False  # serve on a public address without API keys
    public_url: str | None = None  # where people and Alertmanager links reach this service
    alertmanagers: tuple[str, ...] = ()  # comma-separated; beside those of seamark.yaml
    max_body_bytes: int = 64 * 1024 * 1024  # after inflation
    buffer_rows: int = 200_000  # rows that may wait for a commit; above: 503
    retention_days: float = 30.0
    s3_endpoint: str | None = None
    s3_region: str = "us-east-1"
    s3_access_key_id: str | None = None
    s3_secret_access_key: str | None = None
    shutdown_grace_s: float = 10.0
    log_level: str = "info"

    @property
    def catalog_url(self) -> str:
        """The SQLAlchemy URL of the catalog."""
        return self.database_url or f"sqlite:///{self.data_dir.resolve() / 'seamark.db'}"

    @property
    def embedded(self) -> bool:
        """Whether the catalog is this folder's own SQLite file, held by one process."""
        return self.catalog_url.startswith("sqlite")

    @property
    def url(self) -> str:
        """Where people reach this service."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104 - shown, not bound
        host = f"[{host}]" if ":" in host else host
        return (self.public_url or f"http://{host}:{self.port}").rstrip("/")

    @property
    def loadtest_address(self) -> tuple[str, int]:
        """Host and port of `loadtest_bind`."""
        address = _address(self.loadtest_bind)
        assert address is not None, "read_settings() refuses others"
        return address


SECRETS = ("database_url", "s3_access_key_id", "s3_secret_access_key")
GRPC_PORT = 4317
_INTEGERS = {"port", "otlp_port", "grpc_port", "max_body_bytes", "buffer_rows"}
_NUMBERS = {"retention_days", "shutdown_grace_s"}
_PATHS = {"data_dir", "config", "loadtests_dir"}


def read_settings(flags: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings in force; flags that are None were not given. All mistakes are told at once."""
    environment = os.environ if environment is None else environment
    problems: list[Problem] = []
    values: dict[str, Any] = {}
    for field in fields(Settings):
        text = _from_environment(field.name, environment, problems)
        if text is not None:
            try:
                values[field.name] = _convert(field.name, text)
            except ValueError as error:
                problems.append(Problem(f"SEAMARK_{field.name.upper()}", str(error)))
    values.update({name: value for name, value in flags.items() if value is not None})
    if values.get("role", "all") not in ("all", "web", "worker"):
        problems.append(Problem("role", f"{values['role']!r} is not a role; known are all, web, worker"))
    if "loadtest_bind" in values and _address(str(values["loadtest_bind"])) is None:
        problems.append(Problem("loadtest_bind", f"{values['loadtest_bind']!r} is not an address like 10.0.0.5:5557"))
    if problems:
        raise StartRefused("settings are wrong: " + "; ".join(str(problem) for problem in problems), problems)
    return Settings(**values)


def _address(text: str) -> tuple[str, int] | None:
    host, _, port = text.rpartition(":")
    return (host.strip("[]"), int(port)) if host and port.isdecimal() and 0 < int(port) < 65536 else None


def _from_environment(name: str, environment: Mapping[str, str], problems: list[Problem]) -> str | None:
    variable = f"SEAMARK_{name.upper()}"
    path = environment.get(f"{variable}_FILE") if name in SECRETS else None
    if path:
        try:
            return Path(path).read_text().strip()
        except OSError as error:
            problems.append(Problem(f"{variable}_FILE", f"cannot read {path}: {error.strerror}"))
    return environment.get(variable) or None


def _convert(name: str, text: str) -> Any:
    if name in _PATHS:
        return Path(text)
    if name == "insecure":
        if text.lower() not in ("true", "false", "1", "0", "yes", "no"):
            raise ValueError(f"{text!r} is neither true nor false")
        return text.lower() in ("true", "1", "yes")
    if name == "alertmanagers":
        return tuple(part.strip() for part in text.split(",") if part.strip())
    try:
        if name in _INTEGERS:
            return int(text)
        if name in _NUMBERS:
            return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None
    return text
