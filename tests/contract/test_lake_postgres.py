"""A lake over PostgreSQL: the server goes and comes back, several nodes share it, its password stays ours."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from tests.lake_places import LakePlace, PostgresServer, data_files
from tests.lake_rows import spans

from seamark.core.errors import StoreUnavailable
from seamark.store.lake import Lake
from seamark.store.lake_connection import METADATA_SCHEMA

pytestmark = pytest.mark.slow  # a server has to start first


@pytest.fixture
def place(place_in: Callable[[str], LakePlace]) -> LakePlace:
    return place_in("postgres+folder")


def count(lake: Lake) -> int:
    return lake.query("SELECT count(*) AS n FROM lake.spans")["n"][0].as_py()


def test_a_lost_server_refuses_and_comes_back(
    place: LakePlace, postgres: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    lake = place.open()
    lake.append({"spans": spans(1)})
    kept = data_files(place)
    postgres.stop()
    try:
        told = []
        for attempt in (
            lambda: lake.append({"spans": spans(1, first=1)}),
            lambda: count(lake),
            lambda: lake.maintain(datetime.now(UTC), 30),
            lake.health,
            place.open,
        ):
            with pytest.raises(StoreUnavailable) as refused:
                attempt()
            told.append(str(refused.value))
            assert refused.value.__suppress_context__  # what a log would show
        assert "secret-word" not in "".join(told) + caplog.text
        assert data_files(place) == kept
    finally:
        postgres.start()
    lake.append({"spans": spans(1, first=2)})
    lake.maintain(datetime.now(UTC), None)
    assert count(lake) == 2


def test_a_connection_cut_in_the_middle_is_opened_anew(place: LakePlace, postgres: PostgresServer) -> None:
    lake = place.open()
    lake.append({"spans": spans(1)})
    database = place.options["catalog_url"].rpartition("/")[2]
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
    done = 1
    for number in range(1, 9):
        with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
            connection.execute(cut, [database])
        try:
            lake.append({"spans": spans(1, first=number)})
            done += 1
        except StoreUnavailable:
            continue
    lake.append({"spans": spans(1, first=100)})
    assert count(lake) == done + 1


def test_nodes_open_append_and_maintain_at_once(place: LakePlace) -> None:
    nodes, rounds = 3, 6
    with ThreadPoolExecutor(2 * nodes) as pool:
        lakes = list(pool.map(lambda _: place.open(), range(nodes)))

        def append(node: int) -> None:
            for number in range(rounds):
                lakes[node].append({"spans": spans(5, first=(node * rounds + number) * 5)})

        def maintain(node: int) -> None:
            for _ in range(4):
                lakes[node].maintain(datetime.now(UTC) + timedelta(hours=1), None)

        running = [pool.submit(work, node) for node in range(nodes) for work in (append, maintain)]
        for one in running:
            one.result()
    for lake in lakes:
        found = lake.query("SELECT count(*) AS n, count(DISTINCT span_id) AS ids FROM lake.spans").to_pylist()
        assert found == [{"n": nodes * rounds * 5, "ids": nodes * rounds * 5}]


def test_the_lake_keeps_to_its_own_schema(place: LakePlace) -> None:
    place.open()
    with psycopg.connect(place.options["catalog_url"]) as connection:
        found = connection.execute(
            "SELECT DISTINCT table_schema FROM information_schema.tables"
            " WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
    assert found == [(METADATA_SCHEMA,)]
