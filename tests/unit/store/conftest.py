"""A real lake in a temporary folder, one per test module: a module's tests use models of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from seamark.store.lakes import open_ducklake as open_lake
from seamark.store.local_lake import LocalLake


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalLake]:
    made = open_lake(data_dir=tmp_path_factory.mktemp("lake"), catalog_url="sqlite://")
    yield made
    made.close()
