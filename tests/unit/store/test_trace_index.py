"""A trace that a file holds is never passed over; one that it does not hold nearly always is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamark.store.trace_index import _hashes, index_of, may_hold, remove_index, write_index


@pytest.fixture
def data_file(tmp_path: Path) -> Path:
    return tmp_path / "a.parquet"


@pytest.mark.slow
def test_what_is_there_is_found_and_the_rest_is_not(data_file: Path) -> None:
    rng = np.random.default_rng(3)
    keys = rng.integers(0, 2**63 - 1, 50_000)
    write_index(data_file, [keys[:30_000], keys[20_000:]])
    assert index_of(data_file).stat().st_size <= 16 + 4 * len(keys)
    assert all(may_hold(str(data_file), int(key)) for key in keys[::97])
    others = rng.integers(0, 2**63 - 1, 5_000)
    assert sum(may_hold(str(data_file), int(key)) for key in others) <= 3  # 50,000 of 2^32 are taken: 0.06 expected


@given(st.lists(st.integers(0, 2**63 - 1), min_size=1))
def test_hashes_of_one_key_and_of_many_are_the_same(keys: list[int]) -> None:
    together = _hashes(np.array(keys, dtype=np.int64)).tolist()
    assert together == [_hashes(np.array([key], dtype=np.int64))[0] for key in keys]


def test_ids_that_count_up_do_not_share_hashes() -> None:
    assert len(np.unique(_hashes(np.arange(100_000)))) > 99_990


def test_without_keys_nothing_is_held(data_file: Path) -> None:
    write_index(data_file, [])
    assert not may_hold(str(data_file), 1)


@pytest.mark.parametrize("change", ["missing", "short", "long", "other", "empty"])
def test_an_index_that_is_not_whole_passes_over_nothing(data_file: Path, change: str) -> None:
    write_index(data_file, [np.arange(10)])
    path = index_of(data_file)
    whole = path.read_bytes()
    changed = {"short": whole[:-4], "long": whole + b"abcd", "other": b"X" + whole[1:], "empty": b""}
    if change == "missing":
        path.unlink()
    else:
        path.write_bytes(changed[change])
    assert may_hold(str(data_file), 2**60)


def test_a_removed_index_is_not_remembered(data_file: Path) -> None:
    write_index(data_file, [np.arange(10)])
    assert not may_hold(str(data_file), 2**60)
    remove_index(data_file)
    assert may_hold(str(data_file), 2**60)
    remove_index(data_file)
