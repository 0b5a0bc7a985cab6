"""Settings -> what is in force and whether it works, line by line."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields
from importlib.metadata import version

from seamark import __version__
from seamark.core.errors import SeamarkError
from seamark.settings import Settings
from seamark.store.catalog.database import Database

Line = tuple[str, str, bool]

DISK_LOW_BYTES = 1 << 30


def examine(settings: Settings, secret: Sequence[str]) -> Iterator[Line]:
    """Yield (name, what was found, whether it is good)."""
    yield "seamark", __version__, True
    yield "python", f"{platform.python_version()} on {sys.platform}", sys.version_info >= (3, 11)
    for package in ("duckdb", "duckdb-extension-ducklake", "fastapi", "locust", "evidently", "pandas", "sqlalchemy"):
        yield package, version(package), True
    for field in fields(settings):
        value = getattr(settings, field.name)
        hidden = field.name in secret and value is not None
        yield f"SEAMARK_{field.name.upper()}", "(set)" if hidden else str(value), True
    yield from _disk(settings)
    yield from _catalog(settings)


def _disk(settings: Settings) -> Iterator[Line]:
    folder = settings.data_dir
    if not folder.exists():
        yield "data folder", f"{folder} is not there yet; serve makes it", True
        return
    free = shutil.disk_usage(folder).free
    yield "disk", f"{free / 1e9:.1f} GB free at {folder}", free > DISK_LOW_BYTES


def _catalog(settings: Settings) -> Iterator[Line]:
    if settings.embedded and not (settings.data_dir / "seamark.db").exists():
        yield "catalog", "not made yet; serve makes it", True
        return
    database = Database(settings.catalog_url)
    try:
        database.require_current()
        yield "catalog", f"at revision {database.current_revision()}", True
    except SeamarkError as error:
        yield "catalog", error.message, False
    finally:
        database.close()
