"""What is written into the catalog of a local lake is a DuckLake: DuckDB's extension reads it, and may change it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.lake_rows import AT, predictions, rows_of, spans

from seamark.core.errors import StoreUnavailable
from seamark.core.records import ANSWER_DETAILS, TABLES
from seamark.store.lake_connection import connect, place_of
from seamark.store.lakes import open_ducklake
from seamark.store.local_lake import LocalLake
from seamark.store.merging import STEP


def opened(folder: Path) -> LocalLake:
    lake = open_ducklake(data_dir=folder, catalog_url="sqlite://")
    assert isinstance(lake, LocalLake)
    return lake


def through_duckdb(folder: Path, *statements: str) -> list[Any]:
    """Return what the last statement finds with DuckLake attached; no lake may be open in this process."""
    root = connect(place_of(data_dir=folder, catalog_url="sqlite://", location=None, s3=None))
    try:
        for statement in statements:
            found = root.execute(statement).fetchall()
        return found
    finally:
        root.close()


QUESTIONS = (
    "SELECT count(*), count(DISTINCT span_id), sum(duration_ns)::BIGINT, count(version) FROM lake.spans",
    "SELECT count(*) FROM lake.spans WHERE model = 'churn'",
    "SELECT count(*) FROM lake.spans WHERE model = 'nobody'",
    "SELECT count(*) FROM lake.spans WHERE parent_span_id IS NULL",
    "SELECT count(*) FROM lake.spans WHERE parent_span_id IS NOT NULL",
    f"SELECT count(*) FROM lake.spans WHERE start_at >= '{(AT + timedelta(minutes=20)).isoformat()}'",
    f"SELECT count(*) FROM lake.spans WHERE start_at < '{AT.isoformat()}'",
    "SELECT epoch_us(min(start_at)), epoch_us(max(start_at)), epoch_us(max(received_at)) FROM lake.spans",
    "SELECT count(*), sum(len(numeric))::BIGINT, sum(list_sum(numeric)) FROM lake.predictions",
    "SELECT count(*), max(prediction_number) FROM lake.predictions WHERE NOT synthetic",
    "SELECT count(*) FROM lake.labels",
)


def fill(lake: LocalLake) -> None:
    for number in range(STEP + 3):
        lake.append(
            {
                "spans": spans(7, first=7 * number, start_at=AT + timedelta(minutes=number)),
                "predictions": predictions(5),
                "labels": rows_of("labels", [{}] * 2),
            }
        )


@pytest.mark.parametrize("merged", [False, True])
def test_duckdb_finds_the_same_rows(tmp_path: Path, merged: bool) -> None:
    lake = opened(tmp_path)
    fill(lake)
    if merged:
        while lake.maintain(datetime.now(UTC) + timedelta(hours=1), None):
            pass
        assert len(lake._catalog.live()["spans"]) < STEP
    expected = [[tuple(row.values()) for row in lake.query(question).to_pylist()] for question in QUESTIONS]
    assert expected[0][0][0] == 7 * (STEP + 3)
    lake.close()
    assert [through_duckdb(tmp_path, question) for question in QUESTIONS] == expected


def test_every_column_of_every_table_is_read_by_duckdb(tmp_path: Path) -> None:
    lake = opened(tmp_path)
    rows = {name: rows_of(name, [{}] * 2) for name in TABLES}
    lake.append(rows)
    told = {name: f"SELECT count(*) FROM lake.{name} t WHERE t::VARCHAR IS NOT NULL" for name in rows}
    counted = {name: lake.query(question).to_pylist() for name, question in told.items()}
    lake.close()
    for name, question in told.items():
        assert [dict(zip(counted[name][0], row, strict=True)) for row in through_duckdb(tmp_path, question)] == counted[
            name
        ]


@pytest.mark.parametrize(
    ("statement", "left"),
    [
        ("DELETE FROM lake.spans WHERE span_id IN (SELECT span_id FROM lake.spans LIMIT 3)", 17),
        ("INSERT INTO lake.spans SELECT * FROM lake.spans LIMIT 4", 24),
        ("UPDATE lake.spans SET name = 'other' WHERE span_id IN (SELECT span_id FROM lake.spans LIMIT 3)", 20),
    ],
)
def test_what_others_changed_is_there_at_the_next_start(tmp_path: Path, statement: str, left: int) -> None:
    lake = opened(tmp_path)
    lake.append({"spans": spans(10)})
    lake.append({"spans": spans(10, first=10)})
    lake.close()
    through_duckdb(tmp_path, statement)
    [(rows, others)] = through_duckdb(tmp_path, "SELECT count(*), count(*) FILTER (name = 'other') FROM lake.spans")
    assert rows == left
    lake = opened(tmp_path)
    question = "SELECT count(*) AS n, count(*) FILTER (name = 'other') AS others FROM lake.spans"
    assert lake.query(question).to_pylist() == [{"n": left, "others": others}]
    lake.append({"spans": spans(1, first=100)})
    while lake.maintain(datetime.now(UTC) + timedelta(hours=1), None):
        pass
    assert lake.query("SELECT count(*) AS n FROM lake.spans").to_pylist() == [{"n": left + 1}]
    lake.close()
    assert through_duckdb(tmp_path, "SELECT count(*) FROM lake.spans") == [(left + 1,)]


def test_rows_in_the_catalog_itself_become_files(tmp_path: Path) -> None:
    opened(tmp_path).close()
    script = (
        "import sys; from dataclasses import replace; from pathlib import Path\n"
        "from seamark.store import lake_connection as c\n"
        "attach = c._attach\n"
        "c._attach = lambda place: attach(place).replace('DATA_INLINING_ROW_LIMIT 0', 'DATA_INLINING_ROW_LIMIT 50')\n"
        "root = c.connect(c.place_of(data_dir=Path(sys.argv[1]), catalog_url='sqlite://', location=None, s3=None))\n"
        "root.execute(\"INSERT INTO lake.labels VALUES ('churn', 'p1', 1.0, NULL, now(), now())\")\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
    lake = opened(tmp_path)
    assert lake.query("SELECT prediction_id FROM lake.labels").to_pylist() == [{"prediction_id": "p1"}]
    lake.close()


def elsewhere(folder: Path, *statements: str) -> None:
    """Let another program do this to the lake, which may be open here."""
    script = (
        "import sys; from pathlib import Path; from seamark.store.lake_connection import connect, place_of\n"
        "root = connect(place_of(data_dir=Path(sys.argv[1]), catalog_url='sqlite://', location=None, s3=None))\n"
        "for statement in sys.argv[2:]: root.execute(statement)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(folder), *statements], check=True)


def test_whole_files_of_another_program_are_seen_at_once(tmp_path: Path) -> None:
    lake = opened(tmp_path)
    lake.append({"spans": spans(5)})
    elsewhere(tmp_path, "INSERT INTO lake.spans SELECT * FROM lake.spans LIMIT 2")
    assert lake.query("SELECT count(*) AS n FROM lake.spans").to_pylist() == [{"n": 7}]
    lake.append({"spans": spans(5, first=5)})
    assert lake.query("SELECT count(*) AS n FROM lake.spans").to_pylist() == [{"n": 12}]
    lake.close()


@pytest.mark.parametrize("healed_by", ["upkeep", "restart"])
def test_rows_that_another_program_deletes_meanwhile_are_gone_for_good(tmp_path: Path, healed_by: str) -> None:
    lake = opened(tmp_path)
    lake.append({"spans": spans(5)})
    elsewhere(tmp_path, "DELETE FROM lake.spans WHERE span_id IN (SELECT span_id FROM lake.spans LIMIT 2)")
    for call in (lambda: lake.query("SELECT count(*) AS n FROM lake.spans"), lambda: lake.append({"spans": spans(9)})):
        with pytest.raises(StoreUnavailable, match="deleted rows"):
            call()
    if healed_by == "restart":
        lake.close()
        lake = opened(tmp_path)
    for minutes in range(4):
        lake.maintain(datetime.now(UTC) + timedelta(minutes=minutes), None)
        assert lake.query("SELECT count(*) AS n FROM lake.spans").to_pylist() == [{"n": 3}]
    lake.append({"spans": spans(1, first=20)})
    assert lake.query("SELECT count(*) AS n FROM lake.spans").to_pylist() == [{"n": 4}]
    lake.close()
    assert through_duckdb(tmp_path, "SELECT count(*) FROM lake.spans") == [(4,)]


def test_a_catalog_of_another_kind_is_refused_with_duckdbs_own_words(tmp_path: Path) -> None:
    opened(tmp_path).close()
    with sqlite3.connect(tmp_path / "lake.sqlite") as catalog:
        catalog.execute("UPDATE ducklake_metadata SET value = '99.0' WHERE key = 'version'")
    catalog.close()
    with pytest.raises(StoreUnavailable, match=r"99\.0"):
        opened(tmp_path)


def test_a_narrowed_read_finds_what_the_whole_lake_has(tmp_path: Path) -> None:
    lake = opened(tmp_path)
    fill(lake)
    ask: Callable[..., Any] = lambda **how: lake.query(
        "SELECT count(*) AS n FROM lake.spans WHERE start_at >= ? AND start_at <= ?", list(window), **how
    ).to_pylist()
    for first, last in ((-5, 2), (3, 3), (5, 900), (400, 900)):
        window = (AT + timedelta(minutes=first), AT + timedelta(minutes=last))
        assert ask(within=window) == ask()
    lake.close()


OF_VERSION_4 = ("prediction_number", "prediction_text", "label_number", "label_text", "scores")
OF_VERSION_2 = ("scope", "links", "gen_ai_model", "input_tokens", "output_tokens", "first_token_ns", "trace_key")


def test_a_lake_of_the_first_version_is_led_up_when_it_is_opened(tmp_path: Path) -> None:
    lake = opened(tmp_path)
    lake.append({"spans": spans(5), "reference_rows": rows_of("reference_rows", [{"label_text": "yes"}])})
    lake.close()
    through_duckdb(
        tmp_path,
        *(f'ALTER TABLE lake.load_samples DROP COLUMN "{name}"' for name in ANSWER_DETAILS),
        *(f'ALTER TABLE lake.reference_rows DROP COLUMN "{name}"' for name in OF_VERSION_4),
        "CREATE OR REPLACE TABLE lake.reference_rows AS SELECT * FROM lake.reference_rows",  # its files too
        *(f'ALTER TABLE lake.spans DROP COLUMN "{name}"' for name in OF_VERSION_2),
        "DROP TABLE lake.metric_points",
        "DROP TABLE lake.inference_payloads",
        "UPDATE lake.seamark_lake_version SET version = 1",
    )
    lake = opened(tmp_path)
    question = "SELECT count(*) AS n, count(trace_key) AS keys, count(scope) AS scopes FROM lake.spans"
    assert lake.query(question).to_pylist() == [{"n": 5, "keys": 5, "scopes": 0}]
    lake.append({"spans": spans(5, first=5), "metric_points": rows_of("metric_points", [{}])})
    lake.append({"inference_payloads": rows_of("inference_payloads", [{}])})
    lake.append({"load_samples": rows_of("load_samples", [{"number": 7, "answer_matches": True}])})
    assert lake.query("SELECT number FROM lake.load_samples").to_pylist() == [{"number": 7}]
    assert lake.query(question).to_pylist()[0]["n"] == 10
    lake.append({"reference_rows": rows_of("reference_rows", [{"label_text": "no", "scores": "{}"}])})
    labels = "SELECT count(*) AS n, count(label_text) AS labels, count(scores) AS scores FROM lake.reference_rows"
    assert lake.query(labels).to_pylist() == [{"n": 2, "labels": 1, "scores": 1}]
    lake.close()


def test_files_from_before_a_column_was_added_have_nulls_in_it(tmp_path: Path) -> None:
    lake = opened(tmp_path)
    lake.append({"labels": rows_of("labels", [{"label_text": "yes"}])})
    lake.close()
    # As if label_text had come later: the files that are there have no column of its number and name.
    through_duckdb(
        tmp_path,
        "ALTER TABLE lake.labels DROP COLUMN label_text",
        "CREATE OR REPLACE TABLE lake.labels AS SELECT * FROM lake.labels",
        "ALTER TABLE lake.labels ADD COLUMN label_text VARCHAR",
    )
    lake = opened(tmp_path)
    question = "SELECT count(*) AS n, count(label_text) AS texts FROM lake.labels"
    assert lake.query(question).to_pylist() == [{"n": 1, "texts": 0}]
    lake.append({"labels": rows_of("labels", [{"label_text": "yes"}])})
    assert lake.query(question).to_pylist() == [{"n": 2, "texts": 1}]
    lake.close()


def test_few_rows_that_others_deleted_with_ducklakes_defaults_stay_deleted(tmp_path: Path) -> None:
    lake = opened(tmp_path)
    lake.append({"spans": spans(20)})
    lake.close()
    script = (
        "import sys; from pathlib import Path; from seamark.store import lake_connection as c\n"
        "attach = c._attach\n"
        "c._attach = lambda place: attach(place).replace('DATA_INLINING_ROW_LIMIT 0, ', '')\n"
        "root = c.connect(c.place_of(data_dir=Path(sys.argv[1]), catalog_url='sqlite://', location=None, s3=None))\n"
        "root.execute('DELETE FROM lake.spans WHERE span_id IN (SELECT span_id FROM lake.spans LIMIT 3)')\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
    lake = opened(tmp_path)
    assert lake.query("SELECT count(*) AS n FROM lake.spans").to_pylist() == [{"n": 17}]
    lake.close()
