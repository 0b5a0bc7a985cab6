"""Real Locust runs against a real server that streams tokens, speaks the inference protocol, or errs now and then."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seamark.compute.verdict import judge
from seamark.core.findings import RunStatus, Verdict
from seamark.core.load_traces import trace_id
from seamark.core.specs import LoadTestPlan, PayloadSpec, ShapeSpec
from seamark.core.thresholds import parse_threshold
from seamark.runner import locust
from seamark.runner.order import LoadOrder, RunnerOutcome

pytestmark = [pytest.mark.slow, pytest.mark.paced]
HERE = Path(__file__).parent
RUN = "00f067aa0ba902b7"


@dataclass
class Answering:
    """A running answer_server.py."""

    origin: str
    process: subprocess.Popen[bytes]

    def seen(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.origin}/seen", timeout=10) as response:
            return dict(json.loads(response.read()))


@pytest.fixture
def answering() -> Iterator[Callable[..., Answering]]:
    servers: list[Answering] = []

    def start(**dials: Any) -> Answering:
        command = [sys.executable, str(HERE / "answer_server.py"), json.dumps(dials)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        servers.append(Answering(f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}", process))
        return servers[-1]

    yield start
    for server in servers:
        server.process.terminate()
        server.process.wait()
        assert server.process.stdout is not None
        server.process.stdout.close()


def run(
    target: str,
    work_dir: Path,
    scenario: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    answers: Sequence[Any] = (),
    thresholds: Sequence[str] = (),
    rate_rps: float = 20,
    duration_s: float = 2,
    search: bool = False,
    **more: Any,
) -> tuple[RunnerOutcome, Verdict]:
    shape = ShapeSpec("constant", {"rate_rps": rate_rps, "duration_s": duration_s, "arrivals": "uniform"})
    if search:
        shape = ShapeSpec("capacity", {"start_rps": rate_rps, "stop_rps": rate_rps * 2, "step_s": duration_s})
    limits = tuple(parse_threshold(text) for text in thresholds)
    plan = LoadTestPlan(
        "p", "churn", target, PayloadSpec("rows"), shape, limits, scenario=scenario, timeout_s=5.0, **more
    )
    origin = "/".join(target.split("/")[:3])
    order = LoadOrder(RUN, plan, rows, (origin,), seed=7, answers=answers)
    outcome = locust.run(order, work_dir=work_dir, on_progress=lambda _: None, should_stop=lambda: False)
    assert outcome.error is None
    told: Any = {"aborted": outcome.aborted, "unreachable": outcome.unreachable, "tokens": outcome.tokens}
    return outcome, judge(plan, outcome.samples, outcome.segments, generator_saturated=False, **told)


@pytest.mark.parametrize("piece", [0, 7])
def test_streamed_tokens_are_timed_where_they_come(
    answering: Callable[..., Answering], tmp_path: Path, piece: int
) -> None:
    server = answering(first_ms=60, gap_ms=20, tokens=6, piece=piece)
    thresholds = [
        "p50(first_token_ms) < 2500",
        "p50(time_per_token_ms) < 2500",
        "p99(inter_token_ms) < 2500",
        "tokens_per_s > 50",
        "max(first_token_ms) < 3000",
        "goodput_ratio > 0.9",
    ]
    rows = [{"prompt": "Say six words.", "max_tokens": 6}, {"messages": [{"role": "user", "content": "hi"}]}]
    outcome, verdict = run(f"{server.origin}/v1/chat/completions", tmp_path, "openai_chat", rows, thresholds=thresholds)
    table = outcome.samples.to_pydict()
    assert table["error"] == [None] * 40 and table["tokens"] == [6] * 40
    assert table["number"] is not None and sorted(table["number"]) == list(range(40))
    first_ms, latency_ms = np.array(table["first_token_ms"]), np.array(table["service_latency_ms"])
    assert (first_ms >= 59).all() and (first_ms < latency_ms - 5 * 19).all()
    assert (np.array(table["time_per_token_ms"]) >= 19).all()
    assert verdict.tokens is not None and verdict.tokens.tokens == 240 and verdict.tokens.gaps == 40 * 5
    assert verdict.tokens.counted_by == "usage"
    assert [limit.actual for limit in verdict.thresholds if limit.actual is None] == []
    assert all((limit.actual or 0) > 19 for limit in verdict.thresholds[:3])
    assert verdict.goodput is not None and verdict.goodput.limits == (
        "max(first_token_ms) < 3000",
        "p50(time_per_token_ms) < 2500",
    )
    assert verdict.status == RunStatus.PASSED, verdict.reason
    bodies = server.seen()["bodies"]
    assert all(body["stream"] and body["stream_options"] == {"include_usage": True} for body in bodies)
    assert {body["model"] for body in bodies} == {"churn"} and {body.get("max_tokens") for body in bodies} == {6, None}


def test_tokens_of_several_workers_are_told_as_one(answering: Callable[..., Answering], tmp_path: Path) -> None:
    server = answering(first_ms=20, gap_ms=5)
    target = f"{server.origin}/v1/chat/completions"
    outcome, verdict = run(target, tmp_path, "openai_chat", [{"prompt": "hi"}], workers=2)
    assert outcome.samples["tokens"].to_pylist() == [6] * 40
    assert verdict.tokens is not None
    assert (verdict.tokens.tokens, verdict.tokens.gaps, verdict.tokens.counted_by) == (240, 200, "usage")
    traces = {headers["traceparent"].split("-")[1] for headers in server.seen()["headers"]}
    assert traces == {trace_id(RUN, 7, number) for number in range(40)}


@pytest.mark.serial
@pytest.mark.parametrize("workers", [1, 2])
def test_a_search_goes_by_first_tokens(answering: Callable[..., Answering], tmp_path: Path, workers: int) -> None:
    server = answering(first_ms=50, gap_ms=2)
    target, rows = f"{server.origin}/v1/chat/completions", [{"prompt": "hi"}]
    limits = ["p50(first_token_ms) < 30"]
    _, verdict = run(
        target, tmp_path, "openai_chat", rows, thresholds=limits, search=True, duration_s=1, workers=workers
    )
    assert verdict.status == RunStatus.FAILED, verdict
    assert "p50(first_token_ms) was 5" in verdict.reason
    assert verdict.thresholds[0].passed is False and (verdict.thresholds[0].actual or 0) >= 49


def test_a_stream_that_breaks_is_a_failed_request(answering: Callable[..., Answering], tmp_path: Path) -> None:
    server = answering(first_ms=5, gap_ms=2, break_every=4, usage=False)
    outcome, verdict = run(f"{server.origin}/v1/chat/completions", tmp_path, "openai_chat", [{"prompt": "hi"}])
    errors = outcome.samples["error"].to_pylist()
    assert errors.count("the stream ended with an error of the server") == 10 and errors.count(None) == 30
    assert verdict.errors == 10
    assert verdict.tokens is not None and (verdict.tokens.requests, verdict.tokens.tokens) == (30, 180)
    assert verdict.tokens.gaps == 30 * 5 + 10 and verdict.tokens.counted_by == "chunks"


def test_an_endpoint_that_answers_whole_is_read_too(answering: Callable[..., Answering], tmp_path: Path) -> None:
    server = answering(stream=False)
    outcome, verdict = run(
        f"{server.origin}/v1/chat/completions", tmp_path, "openai_chat", [{"prompt": "hi"}],
        thresholds=["p95(first_token_ms) < 100"],
    )  # fmt: skip
    assert set(outcome.samples["tokens"].to_pylist()) == {6}
    assert outcome.samples["first_token_ms"].null_count == 40
    assert verdict.status == RunStatus.INCONCLUSIVE and "p95(first_token_ms)" in verdict.reason


@pytest.mark.parametrize(("path", "scenario"), [("/v2/models/m/infer", "open_inference_v2"), ("/predict", "http_json")])
def test_answers_are_held_against_recorded_ones(
    answering: Callable[..., Answering], tmp_path: Path, path: str, scenario: str
) -> None:
    server = answering(wrong_every=8)
    rows = [{"a": 1, "b": 0.5}, {"a": 2, "b": 0.25}, {"a": 3, "b": 1.5}, {"a": 4, "b": 0.0}]
    answers = [1.5, 2.25, None, 4.0]
    outcome, verdict = run(
        f"{server.origin}{path}", tmp_path, scenario, rows, answers=answers,
        thresholds=["answer_mismatch_ratio < 0.01"],
    )  # fmt: skip
    assert set(outcome.samples["error"].to_pylist()) == {None}
    matches = outcome.samples["answer_matches"].to_pylist()
    assert matches.count(None) == 10 and 2 <= matches.count(False) <= 5
    assert verdict.answers is not None and verdict.answers.compared == 30
    assert verdict.answers.mismatched == matches.count(False)
    assert verdict.status == RunStatus.FAILED and "answer_mismatch_ratio" in verdict.reason

    seen = server.seen()
    traces = {headers["traceparent"].split("-")[1] for headers in seen["headers"]}
    assert traces == {trace_id(RUN, 7, number) for number in range(40)}
    assert {h["baggage"] for h in seen["headers"]} == {f"user_agent.synthetic.type=test,seamark.loadtest.run={RUN}"}
