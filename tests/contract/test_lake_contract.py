"""What every lake holds to, in every place it may lie."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.lake_places import PLACES, LakePlace, data_files
from tests.lake_rows import AT, predictions, rows_of, spans

from seamark.core.errors import Invalid, SeamarkError, StoreUnavailable
from seamark.core.inference import REQUEST, RESPONSE, Half
from seamark.core.records import TABLES
from seamark.core.windows import Window
from seamark.store import inference_payloads
from seamark.store.lake import Lake
from seamark.store.lakes import LAKES
from seamark.store.spans import latency_points

ROOT = Path(__file__).resolve().parents[2]
NASTY = [
    "",
    "plain",
    "Grüße, 世界 🌊",
    "'; DROP TABLE lake.spans; --",
    '{"a": "\\u0000"}',
    "nul\0inside",
    "\ud7ff\ue000",
    "x" * 9000,
]


def _case(name: str, kind: str) -> Any:
    """Servers take seconds to start: what needs one is not among the quick tests."""
    return pytest.param((name, kind), id=f"{name}+{kind}", marks=[] if "sqlite" in kind else [pytest.mark.slow])


@pytest.fixture(params=[_case(name, kind) for name in LAKES for kind in PLACES])
def place(request: pytest.FixtureRequest, place_in: Callable[[str], LakePlace]) -> LakePlace:
    name, kind = request.param
    made = place_in(kind)
    made.name = name
    return made


@pytest.fixture
def lake(place: LakePlace) -> Lake:
    return place.open()


def count(lake: Lake, table: str = "spans") -> int:
    return lake.query(f"SELECT count(*) AS n FROM lake.{table}")["n"][0].as_py()


def settle(lake: Lake, at: datetime, keep_days: float | None) -> None:
    """Take steps of upkeep until nothing more is due."""
    for _ in range(200):
        if not lake.maintain(at, keep_days):
            return
    raise AssertionError("upkeep does not come to an end")


def every_type() -> dict[str, pa.Table]:
    """Rows with every column null where it may be, and with values at the edges of their types."""
    far = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
    spans_ = [
        {
            "attributes": text,
            "name": text,
            "events": None,
            "trace_id": bytes([index]) * 16,
            "parent_span_id": b"\0\xff" * 4,
        }
        for index, text in enumerate(NASTY)
    ]
    spans_ += [
        {
            "parent_span_id": None,
            "instance": None,
            "http_status": None,
            "attributes": None,
            "resource": None,
            "events": None,
        },
        {"kind": 127, "status": -128, "http_status": 32767, "duration_ns": 2**63 - 1, "start_at": far, "trace_id": b""},
        {"duration_ns": 0, "start_at": datetime(1, 1, 1, tzinfo=UTC), "failed": True, "synthetic": True},
    ]
    lists: list[dict[str, Any]] = [
        {"numeric": None, "categorical": None},
        {"numeric": [], "categorical": []},
        {"numeric": [1.5, None, float("inf"), float("-inf"), 5e-324], "categorical": [None, *NASTY]},
        {"numeric": [None], "categorical": [None], "schema_id": 2**63 - 1},
    ]
    points: list[dict[str, Any]] = [
        {
            "value": None,
            "bounds": [],
            "counts": [2**63 - 1],
            "count": 2**63 - 1,
            "sum": -5e-324,
            "min": 0.0,
            "max": 1e308,
        },
        {"value": float("inf"), "bounds": [0.5, 1.0], "quantile_values": [None, 2.5], "start_at": AT, "temporality": 2},
        *({"name": text, "attributes": text, "instance": None, "monotonic": False} for text in NASTY),
    ]
    return {
        "spans": rows_of("spans", spans_),
        "metric_points": rows_of("metric_points", points),
        "predictions": rows_of("predictions", [{**row, "trace_id": None, "scores": None} for row in lists]),
        "labels": rows_of("labels", [{"label_number": None, "label_text": text} for text in NASTY]),
        "load_samples": rows_of("load_samples", [{"due_s": 0.5}, {"sent_s": 0.6, "http_status": 503, "error": "späť"}]),
        "reference_rows": rows_of("reference_rows", lists),
    }


def _stored(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value.replace("\0", "\ufffd") if isinstance(value, str) else value for name, value in row.items()}


def test_every_column_reads_back_as_it_was_written(lake: Lake) -> None:
    written = every_type()
    lake.append(written)
    for name, table in written.items():
        names = ", ".join(f'"{column}"' for column in table.column_names)
        read = lake.query(f"SELECT {names} FROM lake.{name}")
        assert {f.name: f.type for f in read.schema} == {f.name: f.type for f in TABLES[name]}
        assert sorted(map(repr, read.to_pylist())) == sorted(repr(_stored(row)) for row in table.to_pylist())


def test_rows_are_visible_to_others_and_after_reopening(place: LakePlace) -> None:
    lake = place.open()
    lake.append({"spans": spans(3)})
    with ThreadPoolExecutor(1) as other:
        assert other.submit(count, lake).result() == 3
    if not place.kind.startswith("sqlite"):
        assert count(place.open()) == 3  # another node
    lake.close()
    again = place.open()
    again.append({"spans": spans(2, first=3)})
    assert count(again) == 5


def test_columns_may_come_in_any_order_and_nullable_ones_not_at_all(lake: Lake) -> None:
    table = spans(2)
    lake.append({"spans": table.select(table.column_names[::-1]).drop_columns(["events", "instance"])})
    assert (
        lake.query("SELECT events, instance, name FROM lake.spans").to_pylist()
        == [{"events": None, "instance": None, "name": "POST /predict"}] * 2
    )


def test_nothing_is_appended_without_rows(lake: Lake) -> None:
    lake.append({})
    lake.append({"spans": spans(0)})
    assert lake.health().files == 0
    assert count(lake) == 0


def _null_model() -> pa.Table:
    table = spans(2)
    return table.set_column(
        table.schema.get_field_index("model"), pa.field("model", pa.string()), pa.array(["a", None])
    )


def _no_utf8() -> pa.Table:
    text = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")])
    table = spans(1)
    return table.set_column(table.schema.get_field_index("name"), pa.field("name", pa.string()), text)


def test_rows_that_do_not_fit_are_refused_with_their_neighbours(place: LakePlace) -> None:
    lake = place.open()
    files = data_files(place)
    for bad in (
        {"nonsense": pa.table({"a": [1]})},
        {"spans": spans(1).append_column("extra", pa.array([1]))},
        {"spans": spans(1).drop_columns(["model"])},
        {"spans": _null_model()},
        {"spans": _no_utf8()},
        {"labels": pa.table({"model": ["m"], "prediction_id": ["p"], "at": ["soon"], "received_at": [AT]})},
    ):
        with pytest.raises(Invalid) as refused:
            lake.append({"predictions": predictions(5), **bad})
        assert any(name in refused.value.message for name in bad)
    assert count(lake) == count(lake, "predictions") == 0
    assert data_files(place) == files


def test_two_tables_are_one_transaction(lake: Lake) -> None:
    both = "SELECT (SELECT count(*) FROM lake.spans) AS a, (SELECT count(*) FROM lake.predictions) AS b"
    seen: list[dict[str, int]] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            seen.extend(lake.query(both).to_pylist())

    with ThreadPoolExecutor(1) as other:
        watching = other.submit(watch)
        for number in range(8):
            lake.append({"spans": spans(10, first=10 * number), "predictions": predictions(10, first=10 * number)})
        done.set()
        watching.result()
    assert lake.query(both).to_pylist() == [{"a": 80, "b": 80}]
    assert [row for row in seen if row["a"] != row["b"]] == []


@pytest.mark.slow
def test_eight_threads_append_while_others_read_and_one_maintains(lake: Lake) -> None:
    threads, rounds, rows = 8, 4, 25
    done = threading.Event()
    counts: list[int] = []

    def append(thread: int) -> None:
        for number in range(rounds):
            lake.append({"spans": spans(rows, first=(thread * rounds + number) * rows)})

    def read() -> None:
        while not done.is_set():
            counts.append(count(lake))

    def maintain() -> None:
        while not done.wait(0.05):
            lake.maintain(AT, 30)

    with ThreadPoolExecutor(threads + 2) as pool:
        beside = [pool.submit(read), pool.submit(maintain)]
        for appending in [pool.submit(append, thread) for thread in range(threads)]:
            appending.result()
        done.set()
        for running in beside:
            running.result()
    expected = threads * rounds * rows
    found = lake.query("SELECT count(*) AS n, count(DISTINCT span_id) AS ids FROM lake.spans").to_pylist()
    assert found == [{"n": expected, "ids": expected}]
    assert counts == sorted(counts)


def test_a_span_that_arrived_twice_counts_once(lake: Lake) -> None:
    lake.append({"spans": spans(4)})
    lake.append({"spans": pa.concat_tables([spans(4), spans(1)])})
    [point] = latency_points(lake, "churn", Window.trailing(AT + timedelta(seconds=1), 60), 60)
    assert point.count == 4


@pytest.mark.slow
def test_maintaining_keeps_young_rows_drops_old_ones_and_gives_the_disk_back(place: LakePlace) -> None:
    lake = place.open()
    now = datetime.now(UTC)
    for number in range(9):
        at = now - timedelta(days=number, hours=2)
        for part in range(4):
            lake.append({"spans": spans(75, first=300 * number + 75 * part, start_at=at)})
            points = {"metric_points": rows_of("metric_points", [{"at": at}])}
            lake.append(points | {"labels": rows_of("labels", [{"at": at}])})
        lake.append({"load_samples": rows_of("load_samples", [{"due_s": float(number)}])})
    files, stored = lake.health().files, data_files(place)
    assert files == 9 * 4 * 3 + 9
    later = now + timedelta(seconds=5)
    settle(lake, later, 7)
    left = "SELECT count(*) AS n, min(start_at) AS oldest FROM lake.spans"
    [kept] = lake.query(left).to_pylist()
    assert kept["n"] == 300 * 7
    assert kept["oldest"] >= later - timedelta(days=7, hours=1)
    assert count(lake, "labels") == count(lake, "metric_points") == 28
    assert count(lake, "load_samples") == 9  # belong to their run, not to a day
    assert lake.health().files < files / 2
    assert set(stored) <= set(data_files(place))  # queries that run now may read them
    for hours in (3, 6):
        settle(lake, now + timedelta(hours=hours), None)
    assert sum(data_files(place).values()) < 0.9 * sum(stored.values())
    assert len(data_files(place)) < len(stored) / 2
    assert lake.query(left).to_pylist() == [kept]


def test_sweeping_orphans_spares_what_the_lake_holds(place: LakePlace) -> None:
    lake = place.open()
    lake.append({"spans": spans(10)})
    lake.append({"spans": spans(10, first=10), "predictions": predictions(3)})
    if not place.kind.endswith("s3"):
        orphan = next(Path(path) for path in data_files(place)).with_name("orphan.parquet")
        orphan.write_bytes(b"left by a crash")
    lake.maintain(datetime.now(UTC) + timedelta(days=2), None)
    assert count(lake) == 20
    assert count(lake, "predictions") == 3
    assert not any(path.endswith("orphan.parquet") for path in data_files(place))
    again = place.open() if not place.kind.startswith("sqlite") else lake
    assert count(again) == 20


def test_values_are_parameters_and_files_are_out_of_reach(lake: Lake) -> None:
    lake.append({"spans": rows_of("spans", [{"name": text} for text in NASTY])})
    for text in NASTY:
        stored = text.replace("\0", "\ufffd")  # no filter of any store can be trusted with a NUL
        assert lake.query("SELECT name FROM lake.spans WHERE name = ?", [text]).to_pylist() == [{"name": stored}]
        assert lake.query("SELECT $text AS t", {"text": text}).to_pylist() == [{"t": stored}]
    for sql in (
        "SELECT * FROM read_text('/etc/passwd')",
        "COPY (SELECT * FROM lake.spans) TO '/tmp/copied'",
        "ATTACH '/tmp/other.db'",
    ):
        with pytest.raises(SeamarkError):
            lake.query(sql)
    with pytest.raises(SeamarkError):
        lake.query("SET enable_external_access = true")
    assert count(lake) == len(NASTY)


def test_health_tells_files_and_bytes(place: LakePlace) -> None:
    lake = place.open()
    assert (lake.health().files, lake.health().data_bytes) == (0, 0)
    lake.append({"spans": spans(10), "labels": rows_of("labels", [{}])})
    health = lake.health()
    assert health.files == 2
    assert health.data_bytes > 0
    assert (health.free_bytes is None) == place.kind.endswith("s3")


def test_a_closed_lake_says_so(lake: Lake) -> None:
    lake.close()
    lake.close()
    with pytest.raises(StoreUnavailable):
        lake.query("SELECT 1")
    with pytest.raises(StoreUnavailable):
        lake.append({"spans": spans(1)})


KILLED = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[1:3]
from seamark.store.lake_connection import S3Options
from seamark.store.lakes import LAKES
from tests.lake_places import PLACES, LakePlace, data_files
from tests.lake_rows import spans
lake = LAKES[sys.argv[3]](**{**eval(sys.argv[4]), "data_dir": Path(sys.argv[5])})
for number in range(10_000):
    lake.append({"spans": spans(20, first=20 * number)})
    print(20 * (number + 1), flush=True)
"""


@pytest.mark.slow
def test_a_killed_process_loses_nothing_it_acknowledged(place: LakePlace) -> None:
    options = {name: value for name, value in place.options.items() if name != "data_dir"}
    command = [sys.executable, "-c", KILLED, str(ROOT / "service"), str(ROOT), place.name]
    command += [
        f"dict({', '.join(f'{n}={v!r}' for n, v in options.items() if n != 's3')}, s3={_written(options['s3'])})"
    ]
    command += [str(place.options["data_dir"])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=place.options["data_dir"].parent) as process:
        assert process.stdout is not None
        told = [next(process.stdout) for _ in range(15)]
        os.kill(process.pid, signal.SIGKILL)
        told += process.stdout.readlines()
    acknowledged = int(told[-1])
    found = place.open().query(
        "SELECT count(*) AS n, count(DISTINCT span_id) AS ids, max(span_id) AS last FROM lake.spans"
    )
    [row] = found.to_pylist()
    assert row["n"] == row["ids"] == int.from_bytes(row["last"], "big")
    assert acknowledged <= row["n"] <= acknowledged + 20


def _written(s3: Any) -> str:
    if s3 is None:
        return "None"
    return f"S3Options({s3.endpoint!r}, {s3.region!r}, {s3.access_key_id!r}, {s3.secret_access_key!r})"


def test_halves_of_inferences_wait_until_they_are_joined_and_a_day_at_most(lake: Lake) -> None:
    def half(name: str, kind: str, seconds: int) -> Half:
        at_us = round((AT + timedelta(seconds=seconds)).timestamp() * 1_000_000)
        return Half("churn", "1", name, kind, at_us, at_us, f"{name} {kind}".encode(), feature_names=("age", "plan"))

    halves = [half("a", RESPONSE, 0), half("a", REQUEST, 1), half("b", REQUEST, 2), half("c", REQUEST, 3)]
    again = [half("c", RESPONSE, 4), half("a", RESPONSE, 50)]
    lake.append({"inference_payloads": inference_payloads.rows_of(halves)})
    lake.append({"inference_payloads": inference_payloads.rows_of(again)})
    window, late = Window.trailing(AT + timedelta(seconds=60), 60.0), Window.trailing(AT + timedelta(seconds=60), 20.0)

    def waiting(asked: Window) -> list[str]:
        return [pair.key[2] for pair in inference_payloads.waiting_pairs(lake, window, asked, 10)]

    assert waiting(window) == ["a", "c"]
    assert waiting(late) == ["a"]  # of c nothing was received lately
    assert inference_payloads.read_pairs(lake, window, [halves[0].key]) == [(halves[1], halves[0])]
    lake.append({"inference_payloads": inference_payloads.joined_rows([halves[1]])})
    assert waiting(window) == ["c"]
    assert inference_payloads.count_alone(lake, window, window) == {REQUEST: 1}
    settle(lake, AT + timedelta(hours=26), 30.0)
    assert count(lake, "inference_payloads") == 0
