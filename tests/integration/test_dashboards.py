"""Dashboards and rules against a real Prometheus that scraped a real page: every query runs and finds its series."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import sample_page as sample
import yaml
from real_prometheus import prometheus

from seamark.telemetry import Telemetry
from seamark.telemetry.names import METRICS

ROOT = Path(__file__).resolve().parents[2]
DASHBOARDS = ROOT / "dashboards"
RULES = DASHBOARDS / "prometheus" / "rules.yml"
NAMES = ("fleet", "model", "loadtests")
VARIABLES = {"$__rate_interval": "10s", "$model": "churn", "$version": ".*", "$test": ".*"}
METRIC = re.compile(r"(?<![\w:])(seamark_\w+)")


def load(name):
    return json.loads((DASHBOARDS / f"{name}.json").read_text())


def panels(name):
    return [panel for panel in load(name)["panels"] if panel["type"] != "row"]


def targets():
    """Return every query, under its dashboard, panel and letter."""
    return [
        pytest.param(target["expr"], id=f"{name}/{panel['title']}/{target['refId']}")
        for name in NAMES
        for panel in panels(name)
        for target in panel["targets"]
    ]


def filled_in(expr):
    for variable, value in VARIABLES.items():
        expr = expr.replace(variable, value)
    assert "$" not in expr, f"{expr} has a variable this test does not know"
    return expr


def known_metric(name):
    base = re.sub(r"_(bucket|count|sum)$", "", name)
    return name in METRICS or (base in METRICS and METRICS[base].kind == "histogram")


# --- the files themselves --------------------------------------------------------------------------------------------


def test_the_files_are_what_the_source_makes():
    run = subprocess.run(
        [sys.executable, ROOT / "scripts" / "dashboards", "--check"], capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("name", NAMES)
def test_a_dashboard_says_what_each_panel_means_and_lies_where_grafana_can_draw_it(name):
    document = load(name)
    assert document["uid"] == f"seamark-{name}"
    assert document["schemaVersion"] == 39
    ids = [panel["id"] for panel in document["panels"]]
    assert len(set(ids)) == len(ids)
    taken = set()
    for panel in document["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert max(x for x, _ in cells) < 24, panel["title"]
        assert not cells & taken, f"{panel['title']} lies on another panel"
        taken |= cells
    for panel in panels(name):
        defaults = panel["fieldConfig"]["defaults"]
        assert panel["description"].endswith("."), f"{panel['title']}: no description"
        assert defaults["unit"], panel["title"]
        assert defaults["noValue"] not in ("", "0"), f"{panel['title']}: no data must not look like zero"
        assert panel["datasource"]["uid"] == "prometheus"
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        if panel["type"] == "timeseries":
            assert defaults["custom"]["spanNulls"] is False, f"{panel['title']}: a gap must stay a gap"


@pytest.mark.parametrize("name", NAMES)
def test_links_into_seamark_lead_to_its_pages(name):
    text = (DASHBOARDS / f"{name}.json").read_text()
    links = set(re.findall(r'"\$\{seamark_url\}([^"]*)"', text))
    assert links
    for link in links:
        assert re.fullmatch(
            r"|/alerts|/loadtests|/models/\$\{[\w.]+\}(#drift|#performance|/headroom)?|/api/v1/models/\$\{model\}/drift/report"
            r"|/models/\$\{__field\.labels\.model:percentencode\}/headroom"
            r"|/models/\$\{model\}/drift/\$\{__field\.labels\.feature:percentencode\}",
            link,
        )


def test_queries_and_rules_use_only_metrics_that_are_documented():
    documented = set(METRIC.findall((ROOT / "docs" / "metrics.md").read_text()))
    used = [expr for param in targets() for expr in param.values]
    used += [rule["expr"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    used += [
        variable["definition"]
        for name in NAMES
        for variable in load(name)["templating"]["list"]
        if "definition" in variable
    ]
    for expr in used:
        for metric in METRIC.findall(expr):
            assert known_metric(metric), f"{metric} in {expr!r} is no metric of Seamark"
            assert re.sub(r"_(bucket|count|sum)$", "", metric) in documented or metric in documented


def test_what_is_recorded_is_documented():
    text = (ROOT / "docs" / "metrics.md").read_text()
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            name = rule.get("record") or rule["alert"]
            assert f"`{name}`" in text, f"docs/metrics.md does not name {name}"


def test_data_sources_have_the_uids_that_panels_use_and_exemplars_lead_to_their_spans():
    sources = yaml.safe_load((DASHBOARDS / "provisioning" / "datasources" / "seamark.yaml").read_text())["datasources"]
    assert {source["uid"]: source["type"] for source in sources} == {"prometheus": "prometheus", "tempo": "tempo"}
    by_uid = {source["uid"]: source for source in sources}
    (exemplars,) = by_uid["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert exemplars == {"name": "trace_id", "datasourceUid": "tempo"}
    assert by_uid["tempo"]["url"].endswith("/tempo")


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "rules.yml"),
        ("test", "rules", "rules_test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_agrees(tool, arguments):
    run = subprocess.run([tool("promtool"), *arguments], cwd=RULES.parent, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_alert_is_tested_firing_and_quiet():
    alerts = {
        rule["alert"]
        for group in yaml.safe_load(RULES.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    tests = yaml.safe_load((RULES.parent / "rules_test.yml").read_text())["tests"]
    checks = [check for test in tests for check in test.get("alert_rule_test", [])]
    assert {check["alertname"] for check in checks if check["exp_alerts"]} == alerts
    assert {check["alertname"] for check in checks if not check["exp_alerts"]} == alerts


# --- against Prometheus ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page_url():
    """A server of /metrics whose counters grow with every scrape; yields host:port."""
    telemetry = Telemetry(version="0.1.0")
    answered = []

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            at = datetime.now(UTC)
            sample.filled(telemetry, at, requests=100)
            body, content_type = sample.page(telemetry, self.headers.get("Accept"), at)
            answered.append(content_type)
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
    assert all(content_type.startswith("application/openmetrics-text") for content_type in answered)


@pytest.fixture(scope="module")
def scraped(tool, page_url, tmp_path_factory):
    with prometheus(tool("prometheus"), page_url, tmp_path_factory.mktemp("prometheus"), (RULES,)) as server:
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("expr", targets())
def test_every_panel_finds_its_series(scraped, expr):
    series = scraped.query(filled_in(expr))
    assert series, f"no series for {filled_in(expr)}"


@pytest.mark.slow
@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_arrives_with_its_type_and_meaning(scraped, metric):
    names = [f"{metric}_count"] if METRICS[metric].kind == "histogram" else [metric]
    assert scraped.query(names[0])
    family = metric.removesuffix("_total")  # OpenMetrics names a counter's family without its suffix
    told = scraped.get("targets/metadata", metric=family)
    assert {(one["type"], one["help"]) for one in told} == {(METRICS[metric].kind, METRICS[metric].meaning)}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_variables_offer_what_is_there(scraped, name):
    offered = {"model": {"churn", "silent"}, "version": {"1", "2"}, "test": {"churn-nightly"}}
    for variable in load(name)["templating"]["list"]:
        if variable["type"] == "query":
            selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"]).groups()
            values = scraped.get(f"label/{label}/values", **{"match[]": filled_in(selector)})
            assert set(values) == offered[variable["name"]]


@pytest.mark.slow
def test_exemplars_arrive_with_trace_ids(scraped):
    found = scraped.get(
        "query_exemplars",
        query="seamark_request_duration_seconds_bucket",
        start=str(datetime.now(UTC).timestamp() - 300),
        end=str(datetime.now(UTC).timestamp() + 60),
    )
    traces = {one["labels"]["trace_id"] for series in found for one in series["exemplars"]}
    assert traces
    assert all(re.fullmatch("[0-9a-f]{32}", trace) for trace in traces)


@pytest.mark.slow
def test_what_is_unknown_has_no_series(scraped):
    assert scraped.query('seamark_model_liveness{model="silent"}')
    found = {one["metric"]["__name__"] for one in scraped.query('{__name__=~"seamark_.+", model="silent"}')}
    assert found == {"seamark_model_liveness"}


@pytest.mark.slow
def test_the_rules_run_in_that_prometheus(scraped):
    scraped.wait("model:seamark_requests:rate5m")
    groups = scraped.get("rules")["groups"]
    assert groups
    for group in groups:
        for rule in group["rules"]:
            assert rule["health"] in ("ok", "unknown"), rule


@pytest.mark.slow
def test_a_wrong_query_is_found_out(scraped):
    with pytest.raises(AssertionError, match="parse error"):
        scraped.query("rate(seamark_requests_total[5m)")
