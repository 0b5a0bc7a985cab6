"""Which files are merged, what comes out, and that each row is rewritten only a few times."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.lake_rows import AT, predictions, rows_of, spans

from seamark.core.records import SPANS, TABLES
from seamark.store import merging
from seamark.store.lake_schema import stored_form
from seamark.store.merging import (
    GROUP_ROWS_MAX,
    ROWS_DONE,
    SPAN_MAX,
    STEP,
    DataFile,
    merge_files,
    next_group,
)
from seamark.store.new_file import read_description
from seamark.store.repeats import trace_key
from seamark.store.trace_index import may_hold

NOW = AT + timedelta(days=400)


def file(number: int, rows: int, *, hours: float | None = None, covers_h: float = 0.0) -> DataFile:
    first = AT + timedelta(hours=number / 100 if hours is None else hours)
    return DataFile(f"f{number:05}", rows, rows * 40, first, first + timedelta(hours=covers_h))


def settle(files: list[DataFile]) -> tuple[list[DataFile], int]:
    """Merge until nothing is due; return the files, and the rows that were rewritten."""
    rewritten = 0
    for number in range(10_000):
        group = next_group(files, NOW)
        if not group:
            return files, rewritten
        rows = sum(one.rows for one in group)
        rewritten += rows
        first = min(one.first_at for one in group if one.first_at)
        last = max(one.last_at for one in group if one.last_at)
        files = [one for one in files if one not in group] + [DataFile(f"m{number:05}", rows, rows * 30, first, last)]
    raise AssertionError("merging does not come to an end")


@pytest.mark.parametrize(
    ("rows", "commits", "most"),
    [pytest.param(1, 3000, 5, marks=pytest.mark.slow), (512, 2000, 4), (20_000, 400, 2), (65_536, 200, 2)],
)
def test_files_become_few_and_a_row_is_rewritten_a_few_times(rows: int, commits: int, most: int) -> None:
    files, rewritten = settle([file(number, rows) for number in range(commits)])
    assert len(files) <= 8 * STEP
    assert sum(one.rows for one in files) == rows * commits
    assert max(one.rows for one in files) <= GROUP_ROWS_MAX
    assert rewritten <= most * rows * commits


def test_fewer_files_than_a_step_wait_until_a_day_later() -> None:
    few = [file(number, 100) for number in range(STEP - 1)]
    assert next_group(few, NOW) == []
    assert next_group([*few, file(99, 9, hours=30)], NOW) == few
    assert next_group([*few, file(99, 9, hours=30)], AT) == []  # a file from the future settles nothing


def test_large_files_are_left_alone() -> None:
    assert next_group([file(number, ROWS_DONE) for number in range(100)], NOW) == []


@pytest.mark.slow
def test_a_merged_file_covers_a_day_at_most_so_that_retention_drops_it_whole() -> None:
    rng = random.Random(1)
    files, _ = settle([file(number, rng.randrange(1, 3000), hours=number / 4) for number in range(2000)])
    assert max(one.last_at - one.first_at for one in files if one.first_at and one.last_at) <= SPAN_MAX
    assert len(files) < 2000 / 24 * 4


def test_files_of_senders_with_a_wrong_clock_are_merged_among_themselves() -> None:
    wide = [file(number, 50, hours=-9000, covers_h=9000) for number in range(STEP)]
    near = [file(number + 100, 50) for number in range(STEP - 1)]
    assert next_group([*wide, *near], NOW) == wide


def written(folder: Path, table: str, parts: list[pa.Table]) -> list[DataFile]:
    files = []
    for number, part in enumerate(parts):
        path = folder / f"{table}-{number}.parquet"
        pq.write_table(part, path)
        files.append(read_description(table, path).file)
    return files


@pytest.mark.slow
def test_merged_rows_are_the_same_rows_by_model_and_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "ROW_GROUP_ROWS", 500)
    rng = random.Random(2)
    rows = [
        {"model": rng.choice("ab"), "start_at": AT + timedelta(seconds=number + rng.uniform(-9, 9)), "links": None}
        for number in range(1200)
    ]
    table = rows_of("spans", rows)
    parts = [table.slice(number * 100, 100) for number in range(12)]
    parts[3] = parts[3].drop_columns(["scope", "links", "gen_ai_model", "input_tokens"])  # of an older lake
    files = written(tmp_path, "spans", parts)
    assert merge_files("spans", files, tmp_path / "merged.parquet") == 1200
    merged = pq.ParquetFile(tmp_path / "merged.parquet")
    read = merged.read()
    assert read["trace_key"].to_pylist() == [trace_key(one) for one in read["trace_id"].to_pylist()]
    read = read.select(SPANS.names).cast(SPANS)
    key = [("trace_id", "ascending")]
    assert read.sort_by(key).to_pylist() == table.sort_by(key).to_pylist()
    for number in range(merged.num_row_groups):
        group = merged.read_row_group(number, columns=["model", "start_at"])
        assert group.to_pylist() == group.sort_by([("model", "ascending"), ("start_at", "ascending")]).to_pylist()
    facts = read_description("spans", tmp_path / "merged.parquet").file
    assert facts.first_at == min(one.first_at for one in files if one.first_at)


@pytest.mark.parametrize("table", sorted(TABLES))
def test_every_table_can_be_merged(table: str, tmp_path: Path) -> None:
    rows = predictions(3) if table == "predictions" else spans(3) if table == "spans" else rows_of(table, [{}] * 3)
    files = written(tmp_path, table, [rows, rows])
    assert merge_files(table, files, tmp_path / "merged.parquet") == 6
    assert pq.read_table(tmp_path / "merged.parquet").select(rows.column_names).num_rows == 6


@pytest.mark.slow
def test_wide_rows_pass_in_small_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "_SORTED_BYTES", 1_000_000)
    monkeypatch.setattr(merging, "_BATCH_ROWS", 10)
    files = written(tmp_path, "spans", [spans(100, attributes="x" * 60_000) for _ in range(3)])
    merge_files("spans", files, tmp_path / "merged.parquet")
    footer = pq.read_metadata(tmp_path / "merged.parquet")
    assert footer.num_row_groups >= 10
    assert max(footer.row_group(number).total_byte_size for number in range(footer.num_row_groups)) < 2_000_000


def test_a_merge_that_fails_leaves_nothing(tmp_path: Path) -> None:
    [good, bad] = written(tmp_path, "spans", [spans(9), spans(9)])
    Path(bad.path).write_bytes(b"PAR1 no more PAR1")
    with pytest.raises((OSError, pa.ArrowException)):
        merge_files("spans", [good, bad], tmp_path / "merged.parquet")
    assert not (tmp_path / "merged.parquet").exists()


def test_rows_without_a_key_do_not_hide_the_others_traces(tmp_path: Path) -> None:
    rows = stored_form("spans", spans(50))
    keys = rows["trace_key"].to_pylist()
    place = rows.schema.names.index("trace_key")
    with_null = rows.set_column(place, "trace_key", pa.array([None, *keys[1:]], pa.int64()))
    target = tmp_path / "merged.parquet"
    merge_files("spans", written(tmp_path, "spans", [with_null]), target)
    assert all(may_hold(str(target), key) for key in keys[1:])
