"""What befalls an embedded lake: full disk, locked catalog, moved folder, other versions, a commit that fails."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.empty_stores import put_lake
from tests.lake_faults import failing_commits
from tests.lake_rows import rows_of, spans

from seamark.core.errors import CatalogNewer, StartRefused, StoreUnavailable
from seamark.store import lake_connection
from seamark.store.lake_connection import S3Options, connect, place_of
from seamark.store.lake_schema import LAKE_VERSION, bring_up_to_date, lake_version
from seamark.store.lakes import open_ducklake as open_lake
from seamark.store.local_lake import LocalLake
from seamark.store.merging import STEP


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[LocalLake]:
    made = put_lake(tmp_path / "data")
    yield made
    made.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("mounting a small disk needs Linux and root")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no small disk: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def count(lake: LocalLake) -> int:
    return lake.query("SELECT count(*) AS n FROM lake.spans")["n"][0].as_py()


def files(folder: Path) -> set[Path]:
    return set(folder.rglob("main/spans/*.parquet"))


@pytest.mark.root
def test_a_full_disk_refuses_and_recovers(small_disk: Path) -> None:
    lake = open_lake(data_dir=small_disk / "data", catalog_url="sqlite://")
    lake.append({"spans": spans(10)})
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(4096))
    kept = files(small_disk)
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            lake.append({"spans": spans(2000, first=10)})
    assert files(small_disk) == kept  # no refused rows take what is left of the disk
    os.truncate(ballast, ballast.stat().st_size - 16384)  # room for the file, hardly for the catalog
    with pytest.raises(StoreUnavailable):
        for number in range(1, 50):
            lake.append({"spans": spans(1, first=10 * number)})
    ballast.unlink()
    before = count(lake)
    assert before == lake.query("SELECT count(DISTINCT span_id) AS n FROM lake.spans")["n"][0].as_py() >= 10
    lake.append({"spans": spans(2000, first=10_000)})
    assert count(lake) == before + 2000
    lake.close()
    again = open_lake(data_dir=small_disk / "data", catalog_url="sqlite://")
    assert count(again) == before + 2000
    again.close()


LOCKING = """
import sqlite3, sys
catalog = sqlite3.connect(sys.argv[1], isolation_level=None)
catalog.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
catalog.execute("ROLLBACK")
"""


def test_a_locked_catalog_refuses_and_recovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lake_connection, "BUSY_TIMEOUT_MS", 50)
    lake = open_lake(data_dir=tmp_path, catalog_url="sqlite://")
    lake.append({"spans": spans(1)})
    kept = files(tmp_path)
    # In a process of its own: file locks do not hold between two copies of SQLite in one process.
    command = [sys.executable, "-c", LOCKING, str(tmp_path / "lake.sqlite")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(StoreUnavailable, match="locked"):
            lake.append({"spans": spans(1, first=1)})
        assert count(lake) == 1  # reading goes on
        assert files(tmp_path) == kept
        other.communicate("done\n", timeout=20)
    lake.append({"spans": spans(1, first=2)})
    assert count(lake) == 2
    lake.close()


@pytest.mark.parametrize("after", [True, False])
def test_a_commit_that_fails_leaves_either_all_or_nothing(lake: LocalLake, tmp_path: Path, after: bool) -> None:
    lake.append({"spans": spans(1)})
    with failing_commits(lake, after=after):
        if after:
            lake.append({"spans": spans(1, first=1)})  # it is there after all
        else:
            with pytest.raises(StoreUnavailable, match="broke"):
                lake.append({"spans": spans(1, first=1)})
    assert count(lake) == 1 + after
    lake.append({"spans": spans(1, first=2)})
    assert count(lake) == 2 + after
    assert len(files(tmp_path)) == 2 + after  # what was not committed is gone by now
    lake.append({"spans": spans(2, first=1)})
    assert count(lake) == 3


def test_files_stay_while_a_query_may_read_them(lake: LocalLake, tmp_path: Path) -> None:
    for number in range(STEP):
        lake.append({"spans": spans(1, first=number)})
    kept = files(tmp_path)
    now = datetime.now(UTC)
    with lake._session.cursor() as cursor:
        for hours in (2, 4, 6):
            lake.maintain(now + timedelta(hours=hours), None)
        assert kept < files(tmp_path)
        found = cursor.execute(f"SELECT count(*) FROM read_parquet({sorted(map(str, kept))})").fetchall()
        assert found == [(STEP,)]  # a query reads the files it was planned with
    for hours in (8, 10):
        lake.maintain(now + timedelta(hours=hours), None)
    assert not kept & files(tmp_path)
    assert count(lake) == STEP


def test_the_first_step_after_a_start_sweeps_every_orphan_of_our_own_folder(lake: LocalLake, tmp_path: Path) -> None:
    lake.append({"spans": spans(1)})
    [stored] = files(tmp_path)
    stored.with_name("crashed.parquet").write_bytes(b"left by a crash")
    lake.maintain(datetime.now(UTC), None)
    assert files(tmp_path) == {stored}
    being_written = stored.with_name("young.parquet")
    being_written.write_bytes(b"not committed yet")
    lake.maintain(datetime.now(UTC), None)
    assert files(tmp_path) == {stored, being_written}
    assert count(lake) == 1


def test_young_orphans_are_spared_where_others_may_write(tmp_path: Path) -> None:
    lake = open_lake(data_dir=tmp_path / "data", catalog_url="sqlite://", location=str(tmp_path / "elsewhere"))
    lake.append({"spans": spans(1)})
    [stored] = files(tmp_path)
    young, old = stored.with_name("young.parquet"), stored.with_name("old.parquet")
    now = datetime.now(UTC)
    for path, age in ((young, timedelta(hours=20)), (old, timedelta(hours=30))):
        path.write_bytes(b"left by a crash")
        os.utime(path, ((now - age).timestamp(),) * 2)
    lake.maintain(now, None)
    assert files(tmp_path) == {stored, young}
    lake.close()


def test_a_moved_data_folder_is_the_same_lake(tmp_path: Path) -> None:
    lake = open_lake(data_dir=tmp_path / "here", catalog_url="sqlite://")
    lake.append({"spans": spans(3)})
    lake.close()
    shutil.move(tmp_path / "here", tmp_path / "it's [there] *")
    moved = open_lake(data_dir=tmp_path / "it's [there] *", catalog_url="sqlite://")
    moved.append({"spans": spans(2, first=3)})
    assert count(moved) == 5
    moved.maintain(datetime.now(UTC) + timedelta(days=2), None)
    assert count(moved) == 5
    moved.close()


def test_an_older_lake_is_led_up_step_by_step_and_a_newer_one_refused(tmp_path: Path) -> None:
    place = place_of(data_dir=tmp_path, catalog_url="sqlite://", location=None, s3=None)
    open_lake(data_dir=tmp_path, catalog_url="sqlite://").close()
    root = connect(place)
    assert lake_version(root) == LAKE_VERSION
    steps = {
        LAKE_VERSION + 1: ['ALTER TABLE lake.labels ADD COLUMN "source" VARCHAR'],
        LAKE_VERSION + 2: ["CREATE TABLE lake.extra (a BIGINT)", "INSERT INTO lake.extra VALUES (1)"],
    }
    bring_up_to_date(root, version=LAKE_VERSION + 2, steps=steps)
    bring_up_to_date(root, version=LAKE_VERSION + 2, steps=steps)
    assert lake_version(root) == LAKE_VERSION + 2
    assert root.execute("SELECT count(*), count(a) FROM lake.extra").fetchall() == [(1, 1)]
    assert root.execute('SELECT "source" FROM lake.labels').fetchall() == []
    root.close()
    with pytest.raises(CatalogNewer, match="newer"):
        open_lake(data_dir=tmp_path, catalog_url="sqlite://")


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"location": "s3://bucket/prefix"}, "SEAMARK_S3_"),
        ({"location": "s3:///prefix", "s3": S3Options()}, "bucket/prefix"),
        ({"location": "gs://bucket/prefix"}, "s3://bucket"),
        ({"catalog_url": "mysql://root@localhost/db"}, "postgresql"),
        ({"catalog_url": "postgresql:nowhere"}, "not a URL"),
        ({"data_dir": Path("/dev/null/data")}, "cannot make"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, changes: dict[str, Any], word: str) -> None:
    options: dict[str, Any] = {"data_dir": tmp_path, "catalog_url": "sqlite://", "location": None, "s3": None}
    with pytest.raises(StartRefused, match=word):
        open_lake(**{**options, **changes})


def test_a_lake_that_lies_elsewhere_is_not_taken_for_this_one(tmp_path: Path) -> None:
    options: dict[str, Any] = {"data_dir": tmp_path / "data", "catalog_url": "sqlite://"}
    open_lake(**options, location=str(tmp_path / "one")).close()
    with pytest.raises(StartRefused, match="elsewhere"):
        open_lake(**options, location=str(tmp_path / "two"))


def test_nothing_is_written_outside_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    lake = open_lake(data_dir=tmp_path / "data", catalog_url="sqlite://")
    lake.append({"spans": spans(10)})
    lake.close()
    assert {path.name for path in tmp_path.iterdir()} == {"data"}
    assert not (tmp_path / "data" / "lake.spill").exists()


@pytest.mark.parametrize("call", ["append", "merge"])
def test_a_commit_in_doubt_that_happened_keeps_its_files(
    lake: LocalLake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    for number in range(STEP):
        lake.append({"spans": spans(2, first=2 * number)})
    catalog, plain = lake._catalog, lake._catalog._load

    def failing_once() -> None:
        monkeypatch.setattr(catalog, "_load", plain)
        raise sqlite3.OperationalError("the disk is away")

    monkeypatch.setattr(catalog, "_load", failing_once)
    with failing_commits(lake, after=True), pytest.raises(StoreUnavailable, match="away"):
        if call == "append":
            lake.append({"spans": spans(2, first=100)})
        else:
            lake.maintain(datetime.now(UTC), None)
    rows = 2 * STEP + (2 if call == "append" else 0)
    assert count(lake) == rows
    lake.append({"labels": rows_of("labels", [{}])})
    assert count(lake) == rows
    lake.append({"spans": spans(1, first=200)})
    lake.close()
    again = open_lake(data_dir=tmp_path / "data", catalog_url="sqlite://")
    assert count(again) == rows + 1
    again.close()


def test_what_cannot_be_cleaned_up_does_not_undo_a_commit(lake: LocalLake, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "lake" / "main" / "spans" / "a-folder.parquet"
    folder.mkdir(parents=True)
    lake._catalog._doubtful = [folder]
    lake.append({"spans": spans(3)})
    assert count(lake) == 3


def test_data_without_its_catalog_is_not_taken_for_a_new_lake(lake: LocalLake, tmp_path: Path) -> None:
    lake.append({"spans": spans(3)})
    lake.close()
    catalog = tmp_path / "data" / "lake.sqlite"
    catalog.rename(tmp_path / "away")
    with pytest.raises(StartRefused, match=r"lake\.sqlite is missing"):
        open_lake(data_dir=tmp_path / "data", catalog_url="sqlite://")
    (tmp_path / "away").rename(catalog)
    again = open_lake(data_dir=tmp_path / "data", catalog_url="sqlite://")
    assert count(again) == 3
    again.close()


def test_a_closed_lake_is_not_maintained(lake: LocalLake) -> None:
    lake.append({"spans": spans(3)})
    lake.close()
    assert not lake.maintain(datetime.now(UTC), 30)
