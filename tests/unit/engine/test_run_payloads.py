"""A plan's rows come from its file in one folder, from its template, or from the log with what was answered."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.house import AT, opened_services
from tests.lake_rows import rows_of

from seamark.core.errors import Invalid
from seamark.core.records import FeatureSchema
from seamark.core.specs import LoadTestPlan, PayloadSpec, ShapeSpec
from seamark.engine import payloads
from seamark.engine.services import Services


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Services]:
    with opened_services(tmp_path) as services:
        services.loadtests_dir.mkdir()
        yield services


def plan(payload: PayloadSpec) -> LoadTestPlan:
    return LoadTestPlan("p", "m", "http://127.0.0.1:9/", payload, ShapeSpec("constant", {}))


def test_a_file_gives_rows_and_what_is_expected_of_them(house: Services) -> None:
    (house.loadtests_dir / "r.jsonl").write_text('{"x": 1, "expected": "yes"}\n{"x": 2}\n')
    found = payloads.rows_of(house, plan(PayloadSpec("file", file="r.jsonl")), AT)
    assert (found.bodies, found.answers) == ([{"x": 1}, {"x": 2}], ["yes", None])


def test_nothing_but_plain_files_of_the_folder_is_read(house: Services, tmp_path: Path) -> None:
    folder = house.loadtests_dir
    (tmp_path / "secret.csv").write_text("a\n1\n")
    (folder / "link.csv").symlink_to(tmp_path / "secret.csv")
    (folder / "folder.csv").mkdir()
    os.mkfifo(folder / "pipe.csv")
    with (folder / "large.csv").open("wb") as file:
        file.truncate(payloads.FILE_BYTES_MAX + 1)
    told = {
        "link.csv": "is a link", "folder.csv": "no plain file", "pipe.csv": "no plain file", "large.csv": "64 MiB",
        "missing.csv": "No such file", "../secret.csv": "is no file name",
    }  # fmt: skip
    for name, message in told.items():
        with pytest.raises(Invalid, match=message):
            payloads.rows_of(house, plan(PayloadSpec("file", file=name)), AT)


def test_a_template_is_filled(house: Services) -> None:
    spec = PayloadSpec("template", template={"x": {"$sequence": 5}}, count=3)
    assert payloads.rows_of(house, plan(spec), AT).bodies == [{"x": 5}, {"x": 6}, {"x": 7}]


def test_replayed_rows_bring_what_was_answered(house: Services) -> None:
    schema = FeatureSchema(("x",), ())
    rows: list[dict[str, Any]] = [
        {"prediction_number": 0.25, "prediction_text": None, "numeric": [1.0]},
        {"prediction_number": None, "prediction_text": "yes", "numeric": [2.0]},
        {"prediction_number": None, "prediction_text": None, "numeric": [3.0]},
    ]
    same = {"model": "m", "schema_id": schema.schema_id, "categorical": []}
    at = AT.replace(hour=11, minute=30)
    table = rows_of("predictions", [{**same, **row, "at": at.replace(second=i)} for i, row in enumerate(rows)])
    house.lake.append({"predictions": table})
    house.catalog.schemas.remember([("m", schema)])
    found = payloads.rows_of(house, plan(PayloadSpec("replay", replay_s=3600.0)), AT)
    assert found.bodies == [{"x": 1.0}, {"x": 2.0}, {"x": 3.0}]
    assert found.answers == [0.25, "yes", None]
