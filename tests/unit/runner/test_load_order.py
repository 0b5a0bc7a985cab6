"""The order on its way into the generator's process, and the samples on their way back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from seamark.core.errors import Invalid
from seamark.core.records import ANSWER_DETAILS, LOAD_SAMPLES
from seamark.core.specs import LoadTestPlan, PayloadSpec, ShapeSpec
from seamark.core.thresholds import parse_threshold
from seamark.runner import order as orders
from seamark.runner.locust import read_samples
from seamark.runner.order import LoadOrder, write_order
from seamark.wire.load_rows import encode
from seamark_load.order import read_order
from seamark_load.recorder import Recorder, Row
from seamark_load.scenarios import SCENARIOS


def order_of(payloads: Sequence[Mapping[Any, Any]], **more: Any) -> LoadOrder:
    thresholds = (parse_threshold("p99.9(latency_ms) <= 250"),)
    abort = (parse_threshold("error_ratio > 0.5 for 1m30s", with_hold=True),)
    shape = ShapeSpec("constant", {"rate_rps": 5, "duration_s": 1})
    values = {"thresholds": thresholds, "abort": abort, **more}
    plan = LoadTestPlan("night\u2028ly", "churn", "http://m.test/predict", PayloadSpec("rows"), shape, **values)
    return LoadOrder("r1", plan, payloads, ("http://m.test",), seed=2**40)


def test_the_generator_reads_what_the_service_wrote(tmp_path: Path) -> None:
    rows = [{"x": 1.5, "text": "a\nb\r\n\u2028\u0085"}, {"at": datetime(2026, 1, 2, tzinfo=UTC), "none": None}]
    assert write_order(order_of(rows), tmp_path) == 0
    order = read_order(tmp_path)
    assert [json.loads(row) for row in order.payloads] == [rows[0], {"at": "2026-01-02T00:00:00Z", "none": None}]
    assert order.plan == "night\u2028ly" and order.seed == 2**40 and order.allow == ("http://m.test",)
    assert order.thresholds == (parse_threshold("p99.9(latency_ms) <= 250"),)
    assert order.abort == (parse_threshold("error_ratio > 0.5 for 1m30s", with_hold=True),)
    assert order.timeout_s == 30.0 and order.shape_params == {"rate_rps": 5, "duration_s": 1}


def nested(depth: int) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for _ in range(depth):
        row = {"a": row}
    return row


@pytest.mark.parametrize(
    "row", [{"x": object()}, {"x": "\ud800"}, {("a", "b"): 1}, {"x": "y" * orders.PAYLOAD_BYTES_MAX}, nested(100_000)]
)
def test_rows_that_are_no_json_are_left_out_and_counted(row: Mapping[Any, Any], tmp_path: Path) -> None:
    assert write_order(order_of([row, {"x": 1}, row]), tmp_path) == 2
    assert read_order(tmp_path).payloads == [b'{"x":1}']
    with pytest.raises(Invalid, match="no payload row that can be sent as http_json"):
        write_order(order_of([row]), tmp_path)


def test_all_rows_together_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "PAYLOADS_BYTES_MAX", 100)
    assert write_order(order_of([{"x": n} for n in range(100)]), tmp_path) > 80


def test_an_order_without_rows_or_with_an_unknown_scenario_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="no payload row"):
        write_order(order_of([]), tmp_path)
    with pytest.raises(Invalid, match="'soap' is not a scenario; known are http_json, open_inference_v2"):
        write_order(order_of([{"x": 1}], scenario="soap"), tmp_path)


# --- scenarios -----------------------------------------------------------------------------------------------------


def test_the_service_knows_the_scenarios_of_the_generator() -> None:
    assert frozenset(SCENARIOS) == orders.SCENARIOS


def test_every_scenario_file_has_its_line() -> None:
    import seamark_load.scenarios as folder

    assert folder.__file__ is not None
    files = {path.stem for path in Path(folder.__file__).parent.glob("*.py")} - {"__init__", "scenario"}
    assert files == set(SCENARIOS)


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_scenarios_judge_every_status(name: str) -> None:
    scenario = SCENARIOS[name]
    assert scenario.name == name and scenario.method.isupper()
    assert scenario.judge(200) is None
    for status in (*range(100, 200), *range(400, 600)):
        error = scenario.judge(status)
        assert error and len(error) < 100


# --- samples -------------------------------------------------------------------------------------------------------


def recorded(chunks: list[bytes]) -> Recorder:
    recorder = Recorder(chunks.append)
    recorder.add(Row(0, 0.5, 0.500123, 12.3456, 12.2, 200, True, None))
    recorder.add(Row(0, 0.6, 0.61, 20.0, 10.0, 503, False, 'HTTP "503", or\r\nso,\x00\ud800'))
    recorder.add(Row(3, 0.7, None, None, None, None, False, "not sent"))
    return recorder


def test_samples_come_back_as_they_were_recorded(tmp_path: Path) -> None:
    chunks: list[bytes] = []
    recorder = recorded(chunks)
    second = recorder.take_second()
    assert (second.done, second.failed, second.latency_ms) == (3, 2, [12.3456, 20.0])
    assert (recorder.done, recorder.failed, recorder.not_sent) == (2, 2, 1)
    assert recorder.take_second().quantiles()["p99_ms"] is None
    recorder.flush()
    recorder.flush()
    (tmp_path / "s.bin").write_bytes(b"".join(chunks))
    table = read_samples(tmp_path / "s.bin", "r1")
    assert table.schema == LOAD_SAMPLES and ("run_id", *Row._fields) == tuple(LOAD_SAMPLES.names)
    first, second_row, third = table.to_pylist()
    assert first == {
        "run_id": "r1", "segment": 0, "due_s": 0.5, "sent_s": 0.500123, "latency_ms": 12.346,
        "service_latency_ms": 12.2, "http_status": 200, "ok": True, "error": None,
        **dict.fromkeys(ANSWER_DETAILS),
    }  # fmt: skip
    assert second_row["error"].startswith('HTTP "503", or so,') and second_row["http_status"] == 503
    assert (third["sent_s"], third["latency_ms"], third["http_status"], third["ok"]) == (None, None, None, False)


@pytest.mark.slow
def test_a_torn_or_missing_file_gives_its_whole_chunks(tmp_path: Path) -> None:
    path = tmp_path / "s.bin"
    assert read_samples(path, "r1").equals(LOAD_SAMPLES.empty_table())
    chunks = [encode([Row(0, 0.5, 0.5, 1.0, 1.0, 200, True, None)] * rows) for rows in (1, 3)]
    whole, ends = b"".join(chunks), [(len(chunks[0]), 1), (sum(map(len, chunks)), 3)]
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        table = read_samples(path, "r1")
        assert table.num_rows == sum(rows for end, rows in ends if end <= length)
        assert isinstance(table, pa.Table)
