"""Empty stores in a new folder: copies of ones made once per test process, for making a lake takes most of a second."""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path

from seamark.store.catalog.database import Database
from seamark.store.lakes import open_ducklake
from seamark.store.local_lake import LocalLake


@cache
def _made() -> tempfile.TemporaryDirectory[str]:
    """The folder to be copied, removed when the process ends."""
    made = tempfile.TemporaryDirectory(prefix="seamark-empty-stores-")
    database = Database(f"sqlite:///{made.name}/seamark.db")
    database.upgrade()
    database.close()
    open_ducklake(data_dir=Path(made.name), catalog_url="sqlite://").close()
    return made


def put_stores(folder: Path) -> None:
    """Make the folder what a service leaves that was started in it and stopped before any row came."""
    shutil.copytree(_made().name, folder, dirs_exist_ok=True)


def put_catalog(folder: Path) -> Database:
    """An upgraded catalog without rows, `seamark.db` in the folder."""
    return Database(f"sqlite:///{shutil.copy(Path(_made().name) / 'seamark.db', folder / 'seamark.db')}")


def put_lake(folder: Path) -> LocalLake:
    """An open lake without rows, made in the folder as if it had been there always."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(_made().name) / "lake.sqlite", folder)
    shutil.copytree(Path(_made().name) / "lake", folder / "lake")
    lake = open_ducklake(data_dir=folder, catalog_url="sqlite://")
    assert isinstance(lake, LocalLake)
    return lake
