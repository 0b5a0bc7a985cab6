"""Alembic's entry: runs the catalog's migrations on the connection it is handed, or on SEAMARK_DATABASE_URL."""

from __future__ import annotations

from alembic import context

from seamark.settings import read_settings
from seamark.store.catalog.database import Database
from seamark.store.catalog.tables import metadata


def _run(connection: object) -> None:
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()


handed = context.config.attributes.get("connection")
if handed is not None:
    _run(handed)
else:
    with Database(read_settings({}).catalog_url).begin() as own:
        _run(own)
