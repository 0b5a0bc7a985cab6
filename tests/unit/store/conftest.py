"""A real lake in a temporary folder, one per test module: a module's tests use models of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.empty_stores import put_lake

from seamark.store.local_lake import LocalLake


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalLake]:
    made = put_lake(tmp_path_factory.mktemp("lake"))
    yield made
    made.close()
