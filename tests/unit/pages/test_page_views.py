"""Tiles, alerts, drift rows, runs and figures as the templates get them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from sample_facts import AT, ago, alert, capacity, drift, overview, recommendation, slo, unknown
from sample_source import DOCUMENT, SampleSource, all_runs, progress_line, run, tokens, verdict

from seamark.core.advice import AdviceGate, AdviceInput
from seamark.core.findings import AlertStatus, DriftState, ErrorKind, LatencyPoint, RunStatus
from seamark.store.catalog.runs import RunRecord
from seamark.web import charts, documents
from seamark.web.page_model import ModelFacts, advice_view, drift_rows, model_page, objective_view
from seamark.web.page_runs import PlanFacts, plan_row, run_page, shape_words
from seamark.web.page_views import (
    alerts_page,
    budget_tile,
    drift_tile,
    headroom_tile,
    model_url,
    overview_page,
    replicas_tile,
    safe_links,
)


@pytest.mark.parametrize(
    ("advice", "before", "value", "state", "tone"),
    [
        (None, None, None, None, "quiet"),
        (recommendation("m"), "2 →", "3", None, "warn"),
        (recommendation("m", replicas=1), "2 →", "1", None, "good"),
        (recommendation("m", replicas=2), None, "2", None, "good"),
        (recommendation("m", current=None), None, "3", None, "quiet"),
        (recommendation("m", state="hold"), None, "3", "hold", "warn"),
        (recommendation("m", state="hold", replicas=None, current=None), None, None, "hold", "warn"),
    ],
)
def test_replicas(advice, before, value, state, tone):
    tile = replicas_tile(advice)
    assert (tile.before, tile.value, tile.state, tile.tone) == (before, value, state, tone)


def test_unknown_headroom_says_what_is_missing():
    assert headroom_tile(None).words == "capacity not tested"
    assert headroom_tile(recommendation("m", headroom_ratio=None, capacity_rps=None)).words == "capacity not tested"
    assert headroom_tile(recommendation("m", headroom_ratio=None)).words == "live load unknown"
    tested = capacity()
    assert headroom_tile(None, tested).words == "no replica advice yet"
    unknown_replicas = recommendation("m", headroom_ratio=None, current=None)
    assert headroom_tile(unknown_replicas, tested).words == "how many replicas run is unknown"
    assert headroom_tile(recommendation("m", headroom_ratio=-0.21)).state == "over"


def test_the_budget_shown_is_the_smallest_known_one():
    assert budget_tile(slo(0.5)).value == "50 %"
    assert budget_tile(slo(None)).words.startswith("availability")
    assert budget_tile(slo(-0.4)).state == "spent"
    assert budget_tile(slo(0.5, burning=True)).tone == "bad"
    assert budget_tile(()).value is None
    unmeasured = tuple(replace(status, budget_remaining_ratio=None) for status in slo())
    assert budget_tile(unmeasured).value is None


def test_too_few_rows_is_not_no_drift():
    finding = drift("m", moved=0)
    features = tuple(replace(f, state=DriftState.TOO_FEW_ROWS, score=None) for f in finding.features)
    tile = drift_tile(replace(finding, features=features))
    assert (tile.value, tile.words, tile.tone) == (None, "too few rows to judge", "quiet")
    features = tuple(replace(f, state=DriftState.NO_REFERENCE) for f in finding.features)
    assert drift_tile(replace(finding, features=features)).words == "no reference to compare with"
    assert drift_tile(finding).value == "0"
    assert drift_tile(None).value is None


def test_drifted_features_come_first_and_bars_stay_inside():
    rows = drift_rows(drift("m"))
    assert [row.chip.text for row in rows[:3]] == ["drifted", "drifted", "certain, small"]
    assert all(row.bar is None or 0 <= float(row.bar.removesuffix("%")) <= 100 for row in rows)
    assert next(row for row in rows if row.chip.text == "too few rows").score is None


def test_the_overview_counts_what_it_shows():
    page = overview_page([overview("a"), unknown("b")])
    assert page.summary == "2 models · 1 live · 1 never heard of"
    assert (page.alarm, page.firing) == ("1 alert firing", 1)
    assert overview_page([unknown("b")]).summary.endswith("no alert firing")


def test_alerts_stand_where_they_belong():
    old = replace(
        alert("old", AlertStatus.RESOLVED), state=replace(alert("x", AlertStatus.RESOLVED).state, since=ago(90_000))
    )
    ticket, page = alert("a", AlertStatus.FIRING), alert("b", AlertStatus.FIRING, "SeamarkSloBurnRate", "page", 5000)
    shown = alerts_page([ticket, page, alert("c", AlertStatus.PENDING), alert("d", AlertStatus.RESOLVED), old], AT)
    assert [row.severity for row in shown.firing] == ["page", "ticket"]
    assert [row.model for row in shown.pending] == ["c"]
    assert [row.model for row in shown.resolved] == ["d"]
    assert shown.resolved[0].lasted == "22 min"


def test_an_alert_that_never_fired_and_is_inactive_is_not_shown():
    idle = alert("a", AlertStatus.INACTIVE)
    idle = replace(idle, state=replace(idle.state, started_at=None))
    assert alerts_page([idle], AT).resolved == ()


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", "//evil.test/x", "/\\evil.test", "x", "", "http://[", "http://"]
)
def test_links_that_could_run_or_lead_away_unseen_are_left_out(url):
    assert safe_links({"evil": url}) == ()


def test_good_links_stay():
    assert safe_links({"a": "/models/x", "b": "https://grafana.test/d"}) == (
        ("a", "/models/x"),
        ("b", "https://grafana.test/d"),
    )


def test_any_name_is_one_segment_of_the_path():
    assert model_url("a/b?c#d<é") == "/models/a%2Fb%3Fc%23d%3C%C3%A9"


def test_an_objective_without_requests_is_unknown():
    view = objective_view(replace(slo()[0], budget_remaining_ratio=None))
    assert (view.left, view.chip.tone) == (None, "quiet")
    assert {row.chip.text for row in objective_view(slo()[0]).burns} == {"ok", "unknown"}
    assert objective_view(slo(burning=True)[0]).chip.text == "burning too fast"
    overspent = objective_view(slo(-14.0)[1])
    assert (overspent.left, overspent.chip.text) == ("0 %", "budget spent")
    assert overspent.counts.endswith("the budget is spent 15 times over")


def test_a_model_without_requests_has_no_figures():
    page = model_page(ModelFacts(unknown("m"), [], 60.0))
    assert (page.figures, page.points, page.performance, page.objectives) == ({}, (), None, ())


def test_tokens_stand_in_a_row_per_generative_model_and_what_is_unknown_is_none():
    page = model_page(ModelFacts(unknown("m"), [], 60.0, tokens=tokens()))
    named, bare = page.tokens
    assert (named.spans, named.taken, named.given_rate, named.p95) == ("1,200", "480,000", "27", "620 ms")
    assert (bare.model, bare.taken, bare.taken_rate, bare.given, bare.p50) == ("not named", None, None, "40", None)
    assert model_page(ModelFacts(unknown("m"), [], 60.0)).tokens == ()


def test_advice_shows_the_metrics_it_reads():
    inputs = (AdviceInput("queue_length", "queue", "fresh", 12.0), AdviceInput("replicas", "available", "stale"))
    facts = advice_view(recommendation("m", inputs=inputs), {}, AT).facts
    assert facts[-2:] == (("Queue length, queue", "12"), ("Replicas, available", "stale"))


def test_advice_shows_what_its_backtest_says_of_it():
    gate = AdviceGate("not_recommended", "No better than the HPA.", AT - timedelta(hours=5))
    shown = advice_view(recommendation("m", gate=gate), {}, AT).gate
    assert (shown.chip.tone, shown.chip.text) == ("bad", "backtest: not recommended")
    assert (shown.sentence, shown.at.ago) == ("No better than the HPA.", "5 h ago")
    never = advice_view(recommendation("m", gate=AdviceGate("unknown", "Not yet.")), {}, AT).gate
    assert (never.chip.tone, never.at) == ("quiet", None)
    assert advice_view(recommendation("m"), {}, AT).gate is None


# --- runs ------------------------------------------------------------------------------------------------------------


def test_a_plan_shows_its_newest_run_and_what_stops_it():
    row = plan_row(PlanFacts("p", DOCUMENT, "config", None, AT + timedelta(hours=1), all_runs()), AT)
    assert row.last.text == "Running"
    assert row.next is not None
    assert row.next.ago == "in 60 min"
    never = plan_row(PlanFacts("a/b", {}, "api", "no target", None, []), AT)
    assert (never.last.text, never.run_url, never.shape) == ("Never run", "/api/v1/loadtests/a%2Fb/runs", "no shape")


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ({"constant": {"rate_rps": 20, "duration_s": 90}}, "constant: rate 20/s · duration 1m30s"),
        (
            {"stages": [{"rate_rps": 1, "duration_s": 5}] * 5},
            "stages: " + "rate 1/s · duration 5s, then " * 3 + "2 more",
        ),
        ({"strange": "text"}, "strange: "),
        ("nonsense", "no shape"),
    ],
)
def test_shapes_in_words(shape, words):
    assert shape_words({"shape": shape}) == words


def test_a_running_run_has_room_for_plots_and_no_verdict():
    page = run_page(run("r", RunStatus.RUNNING, 30), [], AT)
    assert (page.row.ended, set(page.figures), page.thresholds) == (False, {"latency", "rate"}, ())
    assert page.row.lasted == "30 s"


def test_a_plan_tells_the_threshold_that_nobody_wrote_and_a_queued_run_leads_to_the_one_ahead(client):
    written = PlanFacts("p", {**DOCUMENT, "thresholds": ["p99(latency_ms) < 300"]}, "api", None, None, [])
    assert plan_row(written, AT).thresholds == ("p99(latency_ms) < 300", "error_ratio < 0.01")
    own = replace(written, document={**DOCUMENT, "thresholds": ["error_ratio < 0.2"]})
    assert plan_row(own, AT).thresholds == ("error_ratio < 0.2",)
    waiting = client("full").get("/runs/aa00000000000002").text
    assert '<p data-live="ahead"><a href="/runs/aa00000000000001">' in waiting
    running = client("full").get("/runs/aa00000000000001").text
    assert '<p data-live="ahead" hidden>' in running


def test_a_long_list_of_plans_begins_with_their_names(client, monkeypatch):
    few = client("full").get("/loadtests").text
    assert 'class="index"' not in few
    broken = PlanFacts("pricing-smoke", DOCUMENT, "api", None, None, [])
    many = [replace(broken, name=f"plan-{index}") for index in range(29)]
    monkeypatch.setattr(SampleSource, "plans", lambda *_: many)
    text = client("full").get("/loadtests").text
    assert all(f'<a href="#plan-{n}">plan-{n - 1}</a>' in text and f'id="plan-{n}"' in text for n in range(1, 30))


def test_a_run_tells_its_errors_by_kind_on_its_page_and_in_its_document(client):
    kinds = (ErrorKind("HTTP 500", 2222), ErrorKind("<b>timed out</b>", 1))
    found = run("r", RunStatus.FAILED, 300, replace(verdict(RunStatus.FAILED, "no"), error_kinds=kinds))
    assert run_page(found, [], AT).error_kinds == (("HTTP 500", "2,222"), ("<b>timed out</b>", "1"))
    assert run_page(run("r", RunStatus.RUNNING, 30), [], AT).error_kinds == ()
    shown = client("full").get("/runs/bb00000000000002").text
    assert 'id="errors"' in shown and "HTTP 500" in shown and "<img" not in shown
    assert 'id="errors"' not in client("full").get("/runs/bb00000000000001").text
    record = RunRecord(
        "r", "p", "m", "api", {}, "api", None, found.status, "", AT, AT, AT, None, False, found.verdict, []
    )
    assert list(documents.run(record)["error_kinds"]) == [
        {"error": "HTTP 500", "count": 2222},
        {"error": "<b>timed out</b>", "count": 1},
    ]
    assert documents.run(replace(record, verdict=None))["error_kinds"] == []


@pytest.mark.parametrize(
    "document",
    [{"shape": {"users": {"count": 5, "spawn_per_s": 5, "duration_s": 60}}}, {"scenario": "mine.py", "shape": {}}],
)
def test_where_no_rate_was_asked_for_none_is_drawn_or_told(document):
    line = documents.progress_line(document, progress_line(5) | {"asked_rps": 0.0})
    assert (line["asked_rps"], line["done"]) == (None, progress_line(5)["done"])
    page = run_page(run("r", RunStatus.RUNNING, 30, document=document), [line], AT)
    assert "asked_rps" not in dict(page.live)
    assert "asked" not in [trace["name"] for trace in page.figures["rate"]["traces"]]
    pause = {"shape": {"stages": [{"rate_rps": 0, "duration_s": 5}]}}
    assert documents.progress_line(pause, {"asked_rps": 0.0}) == {"asked_rps": 0.0}
    open_loop = run_page(run("r", RunStatus.RUNNING, 30), [progress_line(5)], AT)
    assert "asked_rps" in dict(open_loop.live)
    assert "asked" in [trace["name"] for trace in open_loop.figures["rate"]["traces"]]


def test_a_run_without_requests_claims_no_error_ratio():
    empty = replace(
        verdict(RunStatus.INCONCLUSIVE, "unreachable"), requests=0, errors=0, capacity=None, asked_rate=None
    )
    page = run_page(run("r", RunStatus.INCONCLUSIVE, 300, empty), [], AT)
    assert dict(page.counts) == {"Requests": "0", "Failed": "0", "Asked": "unknown", "Achieved": "48 requests/s"}
    assert page.figures == {}


def test_a_run_tells_its_notes_what_its_answers_held_and_one_more_replica():
    found = next(one for one in all_runs() if one.status == RunStatus.PASSED)
    page = run_page(found, [], AT)
    assert page.notes[0].startswith("12 requests were held back") and len(page.notes) == 2
    assert page.capacity.interval == "95 %: 48 to 52"
    assert page.capacity.one_more == "One more replica brings about +48 requests/s (44–52)."
    told = dict(page.answers.figures)
    assert told["Tokens"] == "90,210 in 14,000 answers" and told["Tokens per second"] == "646"
    assert told["Goodput"] == "47 requests/s, 97.8 % of those asked for, within p99(latency_ms) < 300"
    assert told["Answers other than recorded"] == "3 of 120 (2.5 %)"
    assert [row.p95 for row in page.answers.times] == ["70.0 ms", "70.0 ms", None]
    none = run_page(run("r", RunStatus.PASSED, 300, verdict(RunStatus.PASSED, "held")), [], AT)
    assert (none.notes, none.answers, none.capacity.one_more) == ((), None, None)


# --- figures ----------------------------------------------------------------------------------------------------------


def point(minutes_ago: float, version: str = "1", count: int = 60) -> LatencyPoint:
    return LatencyPoint(ago(60 * minutes_ago), count, 0.5, 1.0, 2.0, 3.0, {"version": version})


def test_a_silent_stretch_breaks_the_line():
    trace = charts.latency_figure([point(1), point(10), point(9)], 60.0)["traces"][0]
    assert trace["y"] == [1.0, 1.0, None, 1.0]
    assert trace["x"] == sorted(trace["x"])


def test_only_the_busiest_versions_are_drawn_and_the_rest_is_counted():
    points = [point(1, f"v{i}", count=i + 1) for i in range(9)]
    names = [trace["name"] for trace in charts.traffic_figure(points, 60.0)["traces"]]
    assert "v8, requests/s" in names
    assert "v2, requests/s" not in names
    assert charts.versions_left_out(points) == 3


def test_plotly_sees_no_markup_in_names():
    figure = charts.latency_figure([point(1, "<b>v</b>" + "x" * 100)], 60.0)
    assert figure["traces"][0]["name"].startswith("p50 &lt;b&gt;v&lt;/b&gt;x")
    assert len(figure["traces"][0]["name"]) < 90


def test_progress_turns_counts_into_rates_and_survives_strange_lines():
    lines = [
        {"t_s": 1.0, "done": 10, "asked_rps": 10.0},
        {"t_s": 2.0, "done": 30, "p99_ms": float("nan")},
        {"done": "x"},
        {"t_s": 2.0, "done": 40},
    ]
    figures = charts.progress_figures(lines)
    answered = next(trace for trace in figures["rate"]["traces"] if trace["key"] == "done")
    assert answered["y"] == [10.0, 20.0, None, None]
    json.dumps(figures, allow_nan=False)
