"""Equal runs are no regression, a slower one is, and what cannot be known is said to be unknown."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from bench.baseline_data import Noise, draw

from seamark.compute.baseline.comparable import changed, parts_of
from seamark.compute.baseline.difference import Group, difference, runs_needed, shift_found
from seamark.compute.baseline.judge import RunFigures, judge
from seamark.compute.baseline.sampling import errors_of, sampling_errors
from seamark.core.baseline import BaselineFinding, BaselineMetric, BaselineSpec, BaselineState
from seamark.core.findings import Capacity, to_document
from seamark.core.records import ANSWER_DETAILS, LOAD_SAMPLES

AT = datetime(2026, 3, 1, tzinfo=UTC)
SHAPED = {"shape": {"constant": {"rate_rps": 50, "duration_s": 60}}, "target": "http://m/p", "payload": {"rows": [{}]}}


def run(
    age: int = 0, *, passed: bool = True, requests: int = 2000, errors: int = 2, **values: float | None
) -> RunFigures:
    """A run `age` days before now; quantiles by p50, p95, p99 in ms."""
    quantiles = {f"{name}(latency_ms)": values.get(name) for name in ("p50", "p95", "p99")}
    at = AT - timedelta(days=age)
    return RunFigures(f"r{age}", at, passed, requests, errors, quantiles, {}, None, parts_of(SHAPED))


def level(age: int, factor: float = 1.0, **more: object) -> RunFigures:
    """A run whose latencies differ from the usual ones by a factor."""
    return run(age, **{"p50": 20 * factor, "p95": 40 * factor, "p99": 60 * factor, **more})  # type: ignore[arg-type]


FACTORS = (1.01, 0.98, 1.0, 1.02, 0.99, 1.0, 1.015, 0.985, 1.01, 0.99, 1.0, 0.995)
EARLIER = [level(age + 1, factor) for age, factor in enumerate(FACTORS)]


def held(
    now: RunFigures, earlier: list[RunFigures] = EARLIER, *, search: bool = False, **spec: object
) -> BaselineFinding:
    return judge(now, earlier, BaselineSpec(**spec), search=search)  # type: ignore[arg-type]


def of(finding: BaselineFinding, name: str = "p95(latency_ms)") -> BaselineMetric:
    return next(metric for metric in finding.metrics if metric.metric == name)


def state_of(noise: Noise, seed: int, *, runs: int = 20, newest: int = 1, requests: int = 1000, **worse: float) -> str:
    drawn = [one.figures for one in draw(noise, runs + newest, requests, seed, newest=newest, **worse)]  # type: ignore[arg-type]
    return judge(drawn[0], drawn[1:], BaselineSpec(runs=runs, repeat=newest), search=False).state.value


@pytest.mark.slow
@pytest.mark.parametrize(
    "noise",
    [
        Noise("within", sigma=0.05),
        Noise("runs", between=0.05, shape="normal"),
        Noise("skewed", between=0.05, shape="skewed"),
    ],
    ids=lambda noise: noise.name,
)
def test_equal_runs_are_hardly_ever_told_to_be_worse(noise: Noise) -> None:
    states = [state_of(noise, seed) for seed in range(100)]
    assert states.count("regression") <= 2 and states.count("improvement") <= 2


@pytest.mark.slow
def test_five_percent_is_found_where_the_noise_lets_it_be_found() -> None:
    requests_only, runs_too = Noise("within", sigma=0.05), Noise("runs", sigma=0.05, between=0.05, shape="normal")
    assert [state_of(requests_only, seed, slower=1.05) for seed in range(20)].count("regression") >= 19
    assert [state_of(runs_too, seed, slower=1.05) for seed in range(20)].count("regression") == 0
    many = [state_of(runs_too, seed, runs=100, newest=40, requests=200, slower=1.05) for seed in range(20)]
    assert many.count("regression") >= 18


def test_a_slower_run_on_a_noisy_machine_is_no_regression_and_the_finding_says_what_would_be() -> None:
    finding = held(level(0, 1.04))
    assert finding.state == BaselineState.NO_CHANGE and finding.runs == 12 and finding.repeat == 1
    metric = of(finding)
    assert metric.change == pytest.approx(0.04, abs=0.005) and metric.low < metric.change < metric.high  # type: ignore[operator]
    assert metric.detectable is not None and metric.noise is not None and metric.runs_for_5_percent is not None
    assert 0.04 < metric.detectable < 0.15 and 0.005 < metric.noise < 0.03 and 2 < metric.runs_for_5_percent < 30
    assert f"p95(latency_ms) {metric.detectable * 100:.2g} % higher would be found in 9 of 10" in finding.reason

    slow = held(level(0, 1.15))
    assert slow.state == BaselineState.REGRESSION and not slow.fails
    assert (
        "worse than the last 12 passed runs" in slow.reason and "p95(latency_ms) 46 against 39.98, +15" in slow.reason
    )
    assert held(level(0, 0.85)).state == BaselineState.IMPROVEMENT


@pytest.mark.slow
def test_what_is_said_to_be_found_in_nine_of_ten_cases_is() -> None:
    rng = np.random.default_rng(3)
    found, freedom = 0, 9.0
    shift = shift_found(0.005, freedom)
    for _ in range(2000):
        values, new = rng.standard_normal(10), rng.standard_normal() + shift * np.sqrt(1.1)
        told = difference(Group(values, np.zeros(10)), Group(np.array([new]), np.zeros(1)), 0.0)
        found += (new - values.mean()) / (values.std(ddof=1) * np.sqrt(1.1)) > 3.25
        assert told.value == pytest.approx(new - values.mean())
    assert 0.87 < found / 2000 < 0.93
    assert runs_needed(0.05, np.log(1.05), 0.00125) == 42 and runs_needed(5.0, 0.05, 0.00125) is None


def test_one_run_of_the_past_that_was_far_off_makes_the_next_one_of_its_kind_no_news() -> None:
    assert held(level(0, 1.3)).state == BaselineState.REGRESSION
    assert held(level(0, 1.3), [*EARLIER[:11], level(12, 1.3)]).state == BaselineState.NO_CHANGE


def test_fewer_requests_or_a_restless_run_widen_what_chance_explains() -> None:
    sure = [replace(one, sampling_errors={"p95(latency_ms)": 0.004}) for one in EARLIER]
    calm, small = level(0, 1.1), level(0, 1.1, requests=250)
    restless = replace(calm, sampling_errors={"p95(latency_ms)": 0.05})
    by_size = [of(held(now, sure)) for now in (calm, small, restless)]
    assert by_size[0].state == BaselineState.REGRESSION and by_size[2].state == BaselineState.NO_CHANGE
    assert by_size[0].detectable < by_size[1].detectable < by_size[2].detectable  # type: ignore[operator]


def test_the_newest_runs_together_are_held_against_those_before_them() -> None:
    slower = [level(age, 1.06 * factor) for age, factor in enumerate((1.0, 0.99, 1.01, 1.0))]
    before = [level(age + 4, factor) for age, factor in enumerate(FACTORS)]
    assert held(slower[0], [*slower[1:], *before]).state == BaselineState.NO_CHANGE
    together = held(slower[0], [*slower[1:], *before], repeat=4)
    assert together.state == BaselineState.REGRESSION and (together.runs, together.repeat) == (12, 4)
    assert [one.role for one in together.history] == ["baseline"] * 12 + ["candidate"] * 4
    failed = [replace(one, passed=False) for one in slower[1:]]
    assert held(slower[0], [*failed, *before], repeat=4).state == BaselineState.REGRESSION


def test_failed_runs_are_no_baseline_and_too_few_is_not_no_change() -> None:
    failed = [replace(one, passed=False) for one in EARLIER]
    finding = held(level(0), failed)
    assert finding.state == BaselineState.TOO_FEW_RUNS and finding.reason.startswith("0 earlier runs")
    assert {metric.state for metric in finding.metrics} == {BaselineState.TOO_FEW_RUNS}
    assert held(level(0), EARLIER[:4]).state == BaselineState.TOO_FEW_RUNS
    assert held(level(0), EARLIER[:5]).state == BaselineState.NO_CHANGE
    assert held(level(0), EARLIER, repeat=9).reason.startswith("4 earlier runs of the same plan passed, beside the 9")
    assert held(level(0), [], repeat=3).repeat == 1


def test_another_plan_is_not_compared_and_the_finding_says_what_changed() -> None:
    other = parts_of({**SHAPED, "shape": {"constant": {"rate_rps": 60, "duration_s": 60}}, "replicas": 2})
    finding = held(replace(level(0), parts=other))
    assert finding.state == BaselineState.NOT_COMPARABLE and finding.changed == ("shape", "replicas")
    assert "shape and replicas changed" in finding.reason and not finding.compared
    mixed = [replace(EARLIER[0], parts=other), *EARLIER[1:]]
    assert held(level(0), mixed).runs == 11

    search = {**SHAPED, "shape": {"capacity": {"start_rps": 1}}, "thresholds": ["error_ratio < 0.1"]}
    tighter = {**search, "thresholds": ["error_ratio < 0.01"]}
    assert changed(parts_of(search), parts_of(tighter)) == ("thresholds",)
    assert changed(parts_of(SHAPED), parts_of({**SHAPED, "thresholds": ["error_ratio < 0.1"], "retries": 3})) == ()
    assert changed(parts_of(SHAPED), parts_of(search)) == ("shape",)
    assert changed({}, parts_of(SHAPED)) == tuple(parts_of(SHAPED))


def test_errors_are_judged_by_chance_and_by_how_runs_differ() -> None:
    assert of(held(level(0, errors=3)), "error_ratio").state == BaselineState.NO_CHANGE
    many = held(level(0, errors=40))
    assert many.state == BaselineState.REGRESSION and of(many, "error_ratio").change == pytest.approx(0.019)
    none = [replace(one, errors=0) for one in EARLIER]
    assert of(held(level(0, errors=1), none), "error_ratio").state == BaselineState.NO_CHANGE
    assert of(held(level(0, errors=30), none), "error_ratio").state == BaselineState.REGRESSION
    bursts = [replace(one, errors=60 if age % 4 == 0 else 0) for age, one in enumerate(EARLIER)]
    assert of(held(level(0, errors=60), bursts), "error_ratio").state == BaselineState.NO_CHANGE
    huge = [replace(one, requests=10_000_000, errors=1000) for one in EARLIER]
    tiny = of(held(level(0, requests=10_000_000, errors=2000), huge), "error_ratio")
    assert tiny.state == BaselineState.NO_CHANGE  # certain, and a hundredth of a percentage point
    all_failed = of(held(level(0, errors=2000)), "error_ratio")
    assert all_failed.state == BaselineState.REGRESSION and all_failed.value == 1.0


def test_a_lower_capacity_is_a_regression() -> None:
    def search(age: int, rps: float) -> RunFigures:
        found = Capacity(rps, rps, rps * 1.08, "slo", (), supported=True)
        return replace(run(age), capacity=found)

    earlier = [search(age + 1, 200 * factor) for age, factor in enumerate(FACTORS)]
    assert held(search(0, 202), earlier, search=True).state == BaselineState.NO_CHANGE
    lower = held(search(0, 150), earlier, search=True)
    assert lower.state == BaselineState.REGRESSION and [m.metric for m in lower.metrics] == ["capacity_rps"]
    assert held(search(0, 300), earlier, search=True).state == BaselineState.IMPROVEMENT
    unknown = held(run(0), earlier, search=True)
    assert unknown.state == BaselineState.NOT_MEASURED and "not measured" in unknown.reason


@pytest.mark.parametrize("name", ["p50", "p95", "p99"])
@pytest.mark.parametrize("value", [0.0, None, 1e-300, 1e300])
def test_odd_latencies_give_findings_that_can_be_stored(name: str, value: float | None) -> None:
    odd = level(0, **{name: value})
    for now, earlier in (
        (odd, EARLIER),
        (level(0), [replace(odd, run_id=f"o{i}") for i in range(9)]),
        (odd, [odd] * 9),
    ):
        stored = msgspec.json.decode(msgspec.json.encode(to_document(held(now, earlier))))
        again = msgspec.convert(stored, BaselineFinding)
        assert again.state in BaselineState and len(again.metrics) == 4
        figures = [v for metric in stored["metrics"] for v in metric.values() if isinstance(v, float)]
        assert np.isfinite(figures).all()


def test_equal_runs_one_request_runs_and_runs_without_any_are_no_trouble() -> None:
    same = [level(age + 1, 1.0) for age in range(10)]
    assert held(level(0), same).state == BaselineState.NO_CHANGE
    assert held(level(0, 1.01), same).state == BaselineState.NO_CHANGE
    assert held(level(0, 1.10), same).state == BaselineState.REGRESSION
    lone = held(level(0, requests=1, errors=0), same)
    assert {m.metric: m.state.value for m in lone.metrics} == {
        "p50(latency_ms)": "too_few_requests",
        "p95(latency_ms)": "too_few_requests",
        "p99(latency_ms)": "too_few_requests",
        "error_ratio": "no_change",
    }
    assert of(held(level(0), [level(a + 1, requests=1) for a in range(9)])).state == BaselineState.TOO_FEW_RUNS
    empty = held(level(0, requests=0, errors=0), [level(a + 1, requests=0, errors=0) for a in range(9)])
    assert empty.state != BaselineState.REGRESSION
    nothing = held(run(0, p50=None, p95=None, p99=None), same)
    assert of(nothing).state == BaselineState.NOT_MEASURED


@pytest.mark.slow
def test_sampling_errors_are_those_of_repeated_runs() -> None:
    rng = np.random.default_rng(5)
    runs = [np.exp(0.4 * rng.standard_normal(2000)) for _ in range(200)]
    told = np.mean([errors_of(one, np.zeros(2000, np.int64))["p95(latency_ms)"] for one in runs])
    seen = np.std([np.log(np.quantile(one, 0.95)) for one in runs])
    assert 0.9 < told / seen < 1.4

    def paused() -> np.ndarray:
        return np.exp(0.4 * rng.standard_normal(2000) + np.repeat(rng.random(40) < 0.05, 50))

    runs = [paused() for _ in range(200)]
    told = np.mean([errors_of(one, np.zeros(2000, np.int64))["p95(latency_ms)"] for one in runs])
    assert 0.8 < told / np.std([np.log(np.quantile(one, 0.95)) for one in runs]) < 1.6

    steps = np.repeat(np.arange(4), 500)
    stages = np.exp(0.1 * rng.standard_normal(2000)) * (1 + steps)
    assert errors_of(stages, steps)["p50(latency_ms)"] < errors_of(stages, np.zeros(2000, np.int64))["p50(latency_ms)"]


def test_samples_with_nothing_in_them_have_no_errors_to_tell() -> None:
    def table(latency_ms: list[float | None]) -> pa.Table:
        rows = len(latency_ms)
        columns = {
            "run_id": ["r"] * rows,
            "segment": np.zeros(rows, np.int32),
            "due_s": np.arange(rows, dtype=float)[::-1],
            "sent_s": np.arange(rows, dtype=float)[::-1],
            "latency_ms": pa.array(latency_ms, pa.float64()),
            "service_latency_ms": pa.array(latency_ms, pa.float64()),
            "ok": [True] * rows,
            "http_status": pa.nulls(rows, pa.int32()),
            "error": pa.nulls(rows, pa.string()),
            "trace_id": pa.nulls(rows, pa.string()),
            **{name: pa.nulls(rows, LOAD_SAMPLES.field(name).type) for name in ANSWER_DETAILS},
        }
        return pa.table({name: columns[name] for name in LOAD_SAMPLES.names}, schema=LOAD_SAMPLES)

    assert sampling_errors(table([])) == {} == sampling_errors(table([1.0])) == sampling_errors(table([None] * 50))
    assert sampling_errors(table([5.0] * 300)) == {"p50(latency_ms)": 0.0, "p95(latency_ms)": 0.0}
    assert set(sampling_errors(table([0.0, float("nan"), float("inf"), None] * 300))) == {
        "p50(latency_ms)",
        "p95(latency_ms)",
    }
