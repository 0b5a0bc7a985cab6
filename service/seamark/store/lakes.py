"""The kinds of lake, by name: another one is a file and a line here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from seamark.core.errors import StartRefused
from seamark.store.ducklake import DuckLake
from seamark.store.lake import Lake
from seamark.store.lake_connection import S3Options, place_of
from seamark.store.local_lake import LocalLake


def open_ducklake(
    *, data_dir: Path, catalog_url: str, location: str | None = None, s3: S3Options | None = None
) -> LocalLake | DuckLake:
    """Return the open lake of these settings, made on first use.

    With a sqlite URL the lake's catalog is `<data_dir>/lake.sqlite`; with a postgresql URL it lies in that database, in
    its own schema. Data files lie in `location` (a folder or s3://bucket/prefix), by default `<data_dir>/lake/`.
    StartRefused where the settings make no sense, CatalogNewer where a newer Seamark made the lake, StoreUnavailable
    where it cannot be reached.
    """
    if not catalog_url.startswith(("sqlite", "postgres")):
        raise StartRefused("SEAMARK_DATABASE_URL: the lake's catalog lies in sqlite or postgresql, nothing else")
    place = place_of(data_dir=data_dir, catalog_url=catalog_url, location=location, s3=s3)
    lake = LocalLake(place) if place.local else DuckLake(place)
    lake.open()
    return lake


LAKES: dict[str, Callable[..., Lake]] = {
    "ducklake": open_ducklake,
}
