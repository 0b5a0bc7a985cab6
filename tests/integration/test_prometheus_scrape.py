"""A real `seamark serve`, real spans and a real Prometheus: what was sent is what Prometheus then knows."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from real_prometheus import prometheus
from service_process import ServiceProcess
from tests.house import AT, opened_services

from seamark.engine.prometheus_inputs import Questions

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "dashboards" / "prometheus" / "rules.yml"
pytestmark = pytest.mark.slow


def trace_body(requests, failed):
    """Return an OTLP/JSON body of so many server spans of 20 ms that ended just now."""
    now_ns = time.time_ns()
    spans = [
        {
            "traceId": f"{index + 1:032x}",
            "spanId": f"{index + 1:016x}",
            "name": "POST /predict",
            "kind": 2,
            "startTimeUnixNano": str(now_ns - 20_000_000),
            "endTimeUnixNano": str(now_ns),
            "attributes": [{"key": "http.route", "value": {"stringValue": "/predict"}}],
            "status": {"code": 2} if index < failed else {},
        }
        for index in range(requests)
    ]
    names = {"service.name": "churn", "service.version": "3"}
    attributes = [{"key": key, "value": {"stringValue": value}} for key, value in names.items()]
    return {"resourceSpans": [{"resource": {"attributes": attributes}, "scopeSpans": [{"spans": spans}]}]}


@pytest.fixture(scope="module")
def scraped(tool, tmp_path_factory):
    folder = tmp_path_factory.mktemp("scrape")
    binary = tool("prometheus")
    with ServiceProcess(folder / "data") as service:
        answer = service.http.post("/v1/traces", json=trace_body(40, 4))
        assert answer.status_code == 200, answer.text
        with prometheus(binary, f"127.0.0.1:{service.port}", folder, (RULES,)) as server:
            yield server


def test_requests_arrive_as_they_were_sent(scraped):
    labels = 'model="churn", version="3", route="/predict"'
    assert scraped.wait(f"seamark_requests_total{{{labels}}}")
    found = {
        one["metric"]["status"]: float(one["value"][1]) for one in scraped.query(f"seamark_requests_total{{{labels}}}")
    }
    assert found == {"ok": 36, "error": 4}
    (count,) = scraped.query(f'seamark_request_duration_seconds_bucket{{{labels}, le="0.025"}}')
    assert float(count["value"][1]) == 40
    (accepted,) = scraped.query('seamark_ingest_spans_total{outcome="accepted"}')
    assert float(accepted["value"][1]) == 40
    (commits,) = scraped.query("seamark_ingest_commit_seconds_count")
    assert float(commits["value"][1]) >= 1


def test_the_model_is_live_and_what_is_unknown_of_it_is_absent(scraped):
    scraped.wait('seamark_model_liveness{model="churn", state="live"} == 1')
    for metric in ("seamark_capacity_requests_per_second", "seamark_headroom_ratio", "seamark_feature_drift_score"):
        assert scraped.query(f'{metric}{{model="churn"}}') == []


def test_replicas_are_asked_of_it(scraped, tmp_path):
    query = 'count(up{job=\\"seamark\\"})'
    told = "models: [{name: churn, autoscale: {replicas: {prometheus: '%s', query: \"%s\"}}}]"
    told += "\ntargets: {prometheus: ['%s']}"
    with opened_services(tmp_path) as services:
        for asked, value, note in (
            (query, 1.0, None),
            ("sum(((", 1.0, "left parenthesis"),
            ("absent_metric", 1.0, "no series"),
        ):
            services.configuration.apply(told % (scraped.url, asked, scraped.url), AT)
            Questions().tick(services, AT)
            (answer,) = services.remembered.prometheus.values()
            assert (answer.value == value) is (note is None)
            assert note is None or note in answer.problem


def test_an_exemplar_leads_to_the_trace(scraped):
    found = scraped.get(
        "query_exemplars",
        query='seamark_request_duration_seconds_bucket{model="churn"}',
        start=str(time.time() - 300),
        end=str(time.time() + 60),
    )
    traces = {one["labels"]["trace_id"] for series in found for one in series["exemplars"]}
    assert traces
    assert all(re.fullmatch(r"0{30}[0-9a-f]{2}", trace) for trace in traces)


def test_every_job_succeeds_and_none_fails(scraped):
    scraped.wait("seamark_job_last_success_timestamp_seconds")
    expected = {one["metric"]["job_name"] for one in scraped.query("seamark_job_interval_seconds")}
    assert expected
    scraped.wait(f"count(seamark_job_last_success_timestamp_seconds) == {len(expected)}")
    assert scraped.query("seamark_job_failures_total > 0") == []


def test_the_page_holds_no_line_twice(scraped):
    assert scraped.query('up{job="seamark"} == 1')
    (dropped,) = scraped.query('scrape_samples_scraped{job="seamark"} - scrape_samples_post_metric_relabeling')
    assert float(dropped["value"][1]) == 0


@pytest.mark.parametrize("name", ["fleet", "model", "loadtests"])
def test_every_panel_runs_against_the_real_service(scraped, name):
    variables = {"$__rate_interval": "10s", "$model": "churn", "$version": ".*", "$test": ".*"}
    for panel in json.loads((ROOT / "dashboards" / f"{name}.json").read_text())["panels"]:
        for target in panel.get("targets", []):
            expr = target["expr"]
            for variable, value in variables.items():
                expr = expr.replace(variable, value)
            scraped.query(expr)


def test_none_of_the_alerts_about_seamark_is_raised_on_a_healthy_one(scraped):
    scraped.wait("model:seamark_requests:rate5m")
    states = {
        rule["name"]: rule["state"]
        for group in scraped.get("rules")["groups"]
        for rule in group["rules"]
        if rule["type"] == "alerting"
    }
    assert states
    assert {name for name, state in states.items() if state == "firing"} == set()
