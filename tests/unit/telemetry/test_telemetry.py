"""The metrics page: counts equal a recount, unknown is absent, labels stay bounded, both formats parse."""

from __future__ import annotations

import math
import re
import threading
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import sample_page as sample
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Histogram
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_classic
from sample_page import samples, value

from seamark.telemetry import Telemetry
from seamark.telemetry.meter import SIGNALS
from seamark.telemetry.names import METRICS
from seamark.telemetry.traffic import MODELS_MAX, OTHER, ROUTES_MAX, SERIES_MAX, VERSIONS_MAX

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def telemetry():
    return Telemetry(version="0.1.0")


# --- counting --------------------------------------------------------------------------------------------------------


def test_counters_start_at_zero_and_nothing_else_does(telemetry):
    found = samples(telemetry)
    for signal in SIGNALS:
        for outcome in ("accepted", "refused"):
            assert found["seamark_ingest_rows_total", (("outcome", outcome), ("signal", signal))] == 0
    gauges = {name for name, _ in found if name in METRICS and METRICS[name].kind == "gauge"}
    assert gauges == {"seamark_build_info", "seamark_clock_timestamp_seconds", "seamark_metrics_left_out"}


def test_requests_are_those_that_are_requests_and_not_synthetic(telemetry):
    telemetry.observe_spans(
        sample.spans(
            [{}, {"failed": True}, {"is_request": False}, {"synthetic": True}, {"synthetic": True, "failed": True}]
        )
    )
    labels = {"model": "churn", "version": "1", "route": "/predict"}
    assert value(telemetry, "seamark_requests_total", status="ok", **labels) == 1
    assert value(telemetry, "seamark_requests_total", status="error", **labels) == 1
    assert value(telemetry, "seamark_request_duration_seconds_count", **labels) == 2
    assert value(telemetry, "seamark_request_duration_seconds_sum", **labels) == pytest.approx(0.04)


def test_tokens_and_times_to_the_first_token_are_counted_where_spans_tell_of_them(telemetry):
    chat = {"is_request": False, "input_tokens": 100, "output_tokens": 7, "first_token_ns": 300_000_000}
    embedding = {"model": "embed", "version": "", "input_tokens": 0}
    telemetry.observe_spans(sample.spans([chat, chat | {"first_token_ns": 5_000_000}, embedding, {}]))
    telemetry.observe_spans(sample.spans([chat | {"output_tokens": 2**40}, chat | {"synthetic": True}, {}]))
    telemetry.observe_spans(sample.spans([{"version": "plain"}]))
    found = {name: number for name, number in samples(telemetry).items() if "gen_ai" in name[0]}
    tokens = {
        (dict(labels)["model"], dict(labels)["type"]): n
        for (name, labels), n in found.items()
        if "type" in dict(labels)
    }
    assert tokens == {("churn", "input"): 300, ("churn", "output"): 14 + 2**40, ("embed", "input"): 0}
    first = "seamark_gen_ai_time_to_first_token_seconds"
    assert value(telemetry, f"{first}_count", model="churn", version="1") == 3
    assert value(telemetry, f"{first}_bucket", model="churn", version="1", le="0.005") == 1
    assert value(telemetry, f"{first}_sum", model="churn", version="1") == pytest.approx(0.605)
    assert value(telemetry, f"{first}_count", model="embed", version="") is None


def test_generative_series_are_bounded(telemetry, monkeypatch):
    monkeypatch.setattr("seamark.telemetry.generative.SERIES_MAX", 2)
    telemetry.observe_spans(sample.spans([{"version": str(n), "input_tokens": 1} for n in range(5)]))
    assert value(telemetry, "seamark_gen_ai_tokens_total", model=OTHER, version=OTHER, type="input") == 3
    assert value(telemetry, "seamark_label_values_folded_total", label="series") == 3


def test_an_empty_table_and_one_without_requests_change_nothing(telemetry):
    telemetry.observe_spans(sample.spans([]))
    telemetry.observe_spans(sample.spans([{"is_request": False}]))
    telemetry.observe_predictions(sample.predictions([]))
    telemetry.observe_predictions(sample.predictions([{"synthetic": True}]))
    assert not [name for name, _ in samples(telemetry) if name.startswith(("seamark_request", "seamark_predictions"))]


@pytest.mark.parametrize("chunks", [1, 3])
def test_the_histogram_equals_a_recount_and_prometheus_client(telemetry, chunks):
    rng = np.random.default_rng(3)
    bounds = [b for b in Histogram.DEFAULT_BUCKETS if b != math.inf]
    seconds = np.concatenate([rng.lognormal(-3, 1.5, 500), bounds])  # the bounds themselves: `le` includes them
    versions = rng.integers(1, 4, len(seconds)).astype(str)
    rows = [{"version": version, "duration_ns": round(s * 1e9)} for version, s in zip(versions, seconds, strict=True)]
    table = pa.concat_tables([sample.spans(rows[start::chunks]) for start in range(chunks)])
    telemetry.observe_spans(table)
    theirs = Histogram("theirs", "", ["version"], registry=None)
    for row in rows:
        theirs.labels(row["version"]).observe(row["duration_ns"] / 1e9)
    found = samples(telemetry)
    expected = [one for family in theirs.collect() for one in family.samples if one.name == "theirs_bucket"]
    assert len(expected) == 3 * 15
    for one in expected:
        labels = one.labels | {"model": "churn", "route": "/predict"}
        assert found["seamark_request_duration_seconds_bucket", tuple(sorted(labels.items()))] == one.value


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", 'q"uote\\ and\nline']),
            st.sampled_from(["", "1", "2"]),
            st.text(max_size=5),
            st.booleans(),
            st.integers(-5, 20_000_000_000),
        ),
        max_size=30,
    )
)
def test_any_labels_and_durations_give_a_page_that_parses_back_to_the_recount(rows):
    telemetry = Telemetry()
    names = ("model", "version", "route", "failed", "duration_ns")
    telemetry.observe_spans(sample.spans([dict(zip(names, row, strict=True)) for row in rows]))
    text = telemetry.render(OPENMETRICS, at=sample.AT)[0].decode()
    found = Counter()
    for family in parse_openmetrics(text):
        for one in family.samples:
            if one.name == "seamark_requests_total":
                labels = one.labels
                found[labels["model"], labels["version"], labels["route"], labels["status"]] = one.value
    expected = Counter((model, version, route, "error" if bad else "ok") for model, version, route, bad, _ in rows)
    assert +found == expected


def test_exemplars_carry_the_latest_trace_of_each_bucket(telemetry):
    def late(seconds, duration_ms, trace):
        at = sample.AT + timedelta(seconds=seconds)
        return {"start_at": at, "duration_ns": duration_ms * 1_000_000, "trace_id": bytes([trace]) * 16}

    telemetry.observe_spans(sample.spans([late(5, 20, 0xAA), late(9, 21, 0xBB), late(1, 22, 0xCC), late(0, 700, 0xDD)]))
    telemetry.observe_spans(sample.spans([late(2, 20, 0xEE)]))  # older than what is known: does not replace it
    families = parse_openmetrics(telemetry.render(OPENMETRICS, at=sample.AT)[0].decode())
    exemplars = {
        one.labels["le"]: one.exemplar
        for family in families
        for one in family.samples
        if one.name == "seamark_request_duration_seconds_bucket" and one.exemplar
    }
    assert {le: one.labels["trace_id"] for le, one in exemplars.items()} == {"0.025": "bb" * 16, "0.75": "dd" * 16}
    assert exemplars["0.025"].value == pytest.approx(0.021)
    assert float(exemplars["0.025"].timestamp) == pytest.approx(sample.AT.timestamp() + 9.021)


def test_a_span_whose_trace_id_is_no_trace_id_is_counted_without_an_exemplar(telemetry):
    telemetry.observe_spans(sample.spans([{"trace_id": b"short"}, {"trace_id": b""}]))
    assert b'trace_id="' not in telemetry.render(OPENMETRICS, at=sample.AT)[0]
    assert value(telemetry, "seamark_requests_total", model="churn", version="1", route="/predict", status="ok") == 2


def test_eight_thousand_spans_take_milliseconds(telemetry):
    table = sample.spans([{"version": str(index % 5), "route": f"/{index % 9}"} for index in range(8_192)])
    took = []
    for _ in range(5):
        start = time.process_time()
        telemetry.observe_spans(table)
        took.append(time.process_time() - start)
    assert min(took) < 0.05  # measured: about 5 ms


# --- bounds ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("label", "limit", "rows"),
    [
        ("route", ROUTES_MAX, [{"route": f"/{index}"} for index in range(ROUTES_MAX + 7)]),
        ("version", VERSIONS_MAX, [{"version": f"v{index}"} for index in range(VERSIONS_MAX + 7)]),
        ("model", MODELS_MAX, [{"model": f"m{index}"} for index in range(MODELS_MAX + 7)]),
    ],
)
def test_beyond_the_limit_a_label_folds_into_other_and_is_counted(telemetry, label, limit, rows):
    telemetry.observe_spans(sample.spans(rows))
    telemetry.observe_spans(sample.spans(rows))
    counts = Counter()
    for (name, labels), count in samples(telemetry).items():
        if name == "seamark_requests_total":
            counts[dict(labels)[label]] += count
    assert len(counts) == limit + 1
    assert counts[OTHER] == 14
    assert sum(counts.values()) == 2 * len(rows)
    assert value(telemetry, "seamark_label_values_folded_total", label=label) == 14


@pytest.mark.slow
def test_the_number_of_series_is_bounded_over_all_models(telemetry):
    rows = [
        {"model": f"m{m}", "version": f"v{v}", "route": f"/{r}"} for m in range(60) for v in range(5) for r in range(10)
    ]
    telemetry.observe_spans(sample.spans(rows))
    text = telemetry.render(None, at=sample.AT)[0].decode()
    assert SERIES_MAX <= text.count("seamark_request_duration_seconds_count{") <= SERIES_MAX + MODELS_MAX + 1
    assert f'seamark_label_values_folded_total{{label="series"}} {len(rows) - SERIES_MAX}.0\n' in text


def test_a_label_of_a_megabyte_folds(telemetry):
    telemetry.observe_spans(sample.spans([{"route": "x" * 1_000_000}]))
    assert value(telemetry, "seamark_requests_total", model="churn", version="1", route=OTHER, status="ok") == 1
    assert len(telemetry.render(None, at=sample.AT)[0]) < 50_000


def test_predictions_share_the_bounds_of_requests(telemetry):
    telemetry.observe_spans(sample.spans([{"version": f"v{index}"} for index in range(VERSIONS_MAX)]))
    telemetry.observe_predictions(sample.predictions([{"version": "v3"}, {"version": "new"}, {"version": "v3"}]))
    assert value(telemetry, "seamark_predictions_total", model="churn", version="v3") == 2
    assert value(telemetry, "seamark_predictions_total", model="churn", version=OTHER) == 1


# --- jobs and commits ------------------------------------------------------------------------------------------------


def test_a_job_is_known_before_it_ran_and_its_success_is_absent_until_then(telemetry):
    telemetry.expect_job("maintain", 300.0)
    assert value(telemetry, "seamark_job_failures_total", job_name="maintain") == 0
    assert value(telemetry, "seamark_job_interval_seconds", job_name="maintain") == 300
    assert value(telemetry, "seamark_job_last_success_timestamp_seconds", job_name="maintain") is None
    telemetry.job_failed("maintain")
    telemetry.job_succeeded("maintain", sample.AT)
    assert value(telemetry, "seamark_job_failures_total", job_name="maintain") == 1
    assert value(telemetry, "seamark_job_last_success_timestamp_seconds", job_name="maintain") == sample.AT.timestamp()


def test_commits_are_a_histogram_and_a_row_count(telemetry):
    for seconds in (0.004, 0.03, 40.0):
        telemetry.observe_commit(
            seconds, {"spans": sample.spans([{}] * 60), "predictions": sample.predictions([{}] * 40)}
        )
    assert value(telemetry, "seamark_ingest_commit_seconds_bucket", le="0.005") == 1
    assert value(telemetry, "seamark_ingest_commit_seconds_bucket", le="10.0") == 2
    assert value(telemetry, "seamark_ingest_commit_seconds_bucket", le="+Inf") == 3
    assert value(telemetry, "seamark_ingest_committed_rows_total") == 300
    counted = [s.value for f in telemetry.kept_families() for s in f.samples if s.name == "seamark_predictions_total"]
    assert sum(counted) == 120


def test_an_unknown_signal_is_refused(telemetry):
    with pytest.raises(KeyError):
        telemetry.count_rows("smoke", 1, 0)


@pytest.mark.slow
def test_counts_from_many_threads_all_arrive(telemetry):
    table = sample.spans([{}] * 50)

    def work():
        for _ in range(20):
            telemetry.observe_spans(table)
            telemetry.count_rows("traces", 50, 1)
            telemetry.render(None, at=sample.AT)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (
        value(telemetry, "seamark_requests_total", model="churn", version="1", route="/predict", status="ok") == 4_000
    )
    assert value(telemetry, "seamark_ingest_spans_total", outcome="refused") == 80


# --- the page --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "is_openmetrics"),
    [
        (None, False),
        ("", False),
        ("*/*", False),
        ("text/plain;version=1.0.0", False),
        ("application/openmetrics-text; version=banana", True),
        (OPENMETRICS, True),
    ],
)
def test_the_format_is_the_one_asked_for(telemetry, accept, is_openmetrics):
    sample.filled(telemetry)
    text, content_type = sample.page(telemetry, accept)
    assert content_type.startswith("application/openmetrics-text" if is_openmetrics else "text/plain")
    assert text.endswith(b"# EOF\n") == is_openmetrics
    families = list(parse_openmetrics(text.decode()) if is_openmetrics else parse_classic(text.decode()))
    assert len({family.name for family in families}) == len(families)


def test_docs_and_code_name_the_same_metrics():
    text = (ROOT / "docs" / "metrics.md").read_text()
    rows = re.findall(r"^\| `(seamark_\w+)` \| (\w+) \| ([^|]*) \| (.*) \|$", text, re.MULTILINE)
    written = {name: (kind, labels, meaning) for name, kind, labels, meaning in rows}
    expected = {
        name: (metric.kind, ", ".join(f"`{label}`" for label in metric.labels), metric.meaning)
        for name, metric in METRICS.items()
    }
    assert written == expected
    assert len(rows) == len(written), "a metric stands twice"
