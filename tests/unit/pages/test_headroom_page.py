"""The headroom page in its states: what it says, what it draws, and that unknown is never a number."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta

import pytest
from sample_facts import AT, recommendation
from sample_headroom import CROSSED, GROWING, STEADY, YOUNG, sample_headroom

from seamark.core.advice import AdviceInput, Forecast
from seamark.core.headroom import Growth
from seamark.core.windows import Window
from seamark.web.charts_headroom import load_figure, replicas_figure
from seamark.web.page_growth import growth_view
from seamark.web.page_headroom import headroom_page

SIX = Window.trailing(AT, 6 * 3600.0)


def sample(model="churn", window=SIX):
    return sample_headroom("full", model, window, AT)


def names(figure):
    return [trace["name"] for trace in figure["traces"]]


def trace(figure, name):
    return next(one for one in figure["traces"] if one["name"] == name)


def text(client, path, scene="full"):
    answer = client(scene).get(path)
    assert answer.status_code == 200, answer.text
    return re.sub(
        r"\s+", " ", re.sub(r"<[^>]+>", " ", re.sub(r"<script.*?</script>", "", answer.text, flags=re.DOTALL))
    )


def test_it_says_the_advice_what_it_costs_and_what_a_backtest_says(client):
    told = text(client, "/models/churn/headroom")
    for words in (
        "scale out",
        "3 replicas: the forecast",
        "2 → 3",
        "0.90 → 1.35",
        "1–20",
        "backtest: follow it",
        "17.3% fewer replica-hours",
        "Advice, followed 15.6 7.02 0.25",
        "HPA, simulated 19.8 8.91 1.75",
        "2026-03-08 (in 4 d)",
        "at the fastest growth only",
        "OTLP metrics, k8s.deployment.available",
        "61 to 96",
    ):
        assert words in told


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        ("upsell", ("no advice", "Nobody asked for advice", "This is not zero load", "0 days of load are known")),
        ("pricing", ("hold", "there is no safe line", "keep 2 replicas", "3 days of load are known")),
        ("night-batch", ("keep", "fixed: min is max", "31 or more", "1 replica")),
        ("search-ranker", ("over", "not recommended", "23 replicas would be needed", "it is over it already")),
    ],
)
def test_each_state_has_its_words(client, model, wanted):
    told = text(client, f"/models/{model}/headroom")
    assert [words for words in wanted if words not in told] == []


def test_ways_lead_to_it(client):
    for path in ("/", "/models/churn"):
        assert 'href="/models/churn/headroom"' in client("full").get(path).text


@pytest.mark.parametrize("query", ["?range=1h", "?range=6h", "?range=24h", "?range=14d"])
def test_the_chosen_range_is_marked(client, query):
    page = client("full").get(f"/models/churn/headroom{query}").text
    assert re.findall(r'<a href="([^"]+)" aria-current="true">', page) == [query]


def test_a_window_of_ones_own_marks_none_and_a_wrong_one_is_refused(client):
    own = client("full").get("/models/churn/headroom?start=2026-03-04T00:00:00Z&end=2026-03-04T06:00:00Z")
    assert own.status_code == 200 and "aria-current=" not in own.text
    for query in ("?range=1y", "?start=soon"):
        refused = client("full").get(f"/models/churn/headroom{query}", headers={"Accept": "text/html"})
        assert refused.status_code == 422 and "is not usable" in refused.text


def test_it_fails_in_words_and_knows_no_model_that_is_not_there(client):
    assert "the disk is full" in client("failing").get("/models/churn/headroom").text
    assert client("full").get("/models/nobody/headroom").status_code == 404


def test_a_feature_or_a_model_of_that_name_keeps_its_page(client):
    feature = client("full").get("/models/churn/drift/headroom")
    assert feature.status_code == 200 and "Reference against window" in feature.text
    named = client("full").get("/models/churn%2Fheadroom")
    assert named.status_code == 404 and "there is no model &#39;churn/headroom&#39;" in named.text


def test_the_load_is_drawn_beside_its_line_with_gaps_where_nothing_is_known():
    figure = load_figure(sample())
    assert names(figure)[:3] == ["forecast, p10 to p90", "forecast, p50", "forecast, p99"]
    assert {"load", "safe for the replicas that ran", "safe for one replica", "over the safe line"} < set(names(figure))
    load, over, safe = (
        trace(figure, name)["y"] for name in ("load", "over the safe line", "safe for the replicas that ran")
    )
    assert None in load
    for value, red, line in zip(load, over, safe, strict=True):
        assert red == (value if value is not None and line is not None and value > line else None)
    assert figure["x"]["now"] == "2026-03-04 14:30:00"
    assert (
        figure["x"]["range"]
        == replicas_figure(sample())["x"]["range"]
        == [
            "2026-03-04 08:25:30",
            "2026-03-04 16:00:00",
        ]
    )


def test_a_band_goes_up_and_back_and_breaks_at_holes():
    band = trace(load_figure(sample()), "forecast, p10 to p90")
    assert band["band"] is True
    parts, part = [], []
    for x, y in zip(band["x"], band["y"], strict=True):
        if x is None:
            parts.append(part)
            part = []
        else:
            part.append((x, y))
    assert len(parts) == 3  # before and after the outage, and what is to come
    for part in parts:
        half = len(part) // 2
        assert [x for x, _ in part[:half]] == [x for x, _ in reversed(part[half:])]
        assert all(up[1] >= low[1] for up, low in zip(part[:half], reversed(part[half:]), strict=True))


def test_forecasts_stand_at_the_steps_they_were_made_for():
    made = Forecast(SIX.start + timedelta(seconds=605), 90.0, "ok", "trend", 1.0, 2.0, 3.0, 4.0)
    median = trace(load_figure(replace(sample(), forecasts=(made,), ahead=())), "forecast, p50")
    assert (median["x"], median["y"]) == (["2026-03-04 08:40:00", None], [2.0, None])
    assert median["told"] == ["2.0/s (p10 1.0, p90 3.0)", ""]


def test_a_page_of_a_long_window_has_a_short_table():
    for window, step in ((SIX, "5m"), (Window.trailing(AT, 86_400), "30m"), (Window.trailing(AT, 14 * 86_400), "6h")):
        page = headroom_page(sample(window=window), None)
        assert page.table_step == step and len(page.table) <= 75
        known = [row for row in page.table if row.load is not None]
        assert known and all(row.highest is not None for row in known)


def test_inputs_that_advice_does_not_name_are_shown_all_the_same():
    seen = replace(sample(), advice=recommendation("churn"))
    assert [row.name for row in headroom_page(seen, None).inputs] == ["arrivals", "capacity", "replicas"]
    one = AdviceInput("replicas", "k8s.deployment.available", "stale", note="heard an hour ago")
    seen = replace(seen, advice=recommendation("churn", inputs=(one,)))
    row = headroom_page(seen, None).inputs[-1]
    assert (row.name, row.value, row.chip.text, row.note) == ("replicas", None, "stale", "heard an hour ago")


@pytest.mark.parametrize(("source", "told"), [("spans", "fresh"), ("seamark.yaml", "given"), ("default", "assumed")])
def test_what_is_assumed_is_not_called_fresh(source, told):
    one = AdviceInput("cold_start", None, "fresh", 60.0, None, source, "s")
    row = headroom_page(replace(sample(), advice=recommendation("churn", inputs=(one,))), None).inputs[-1]
    assert (row.chip.text, row.value) == (told, "60 s")


@pytest.mark.parametrize(
    ("growth", "tone", "words"),
    [
        (YOUNG, "quiet", "3 days of load are known; a trend needs 7"),
        (STEADY, "good", "does not clearly grow or shrink"),
        (GROWING, "warn", "grows by 0.83 requests/s a day (95 %: 0.41 to 1.22)"),
        (CROSSED, "bad", "too few days for an interval"),
        (Growth("ok", 30, 7, 7, 50.0, -2.0, -3.0, -1.0), "quiet", "shrinks by 2 requests/s a day"),
        (Growth("ok", 30, 7, 7, None, None, None, None), "quiet", "is not known"),
    ],
)
def test_growth_in_words(growth, tone, words):
    view = growth_view(growth, AT)
    assert view.chip.tone == tone and words in view.sentence


def test_figures_are_json_whatever_the_numbers_are(client):
    page = client("hostile").get("/models/%3Cscript%3Ealert%281%29%3C%2Fscript%3E/headroom").text
    figures = re.findall(r'<script type="application/json">(.*?)</script>', page, flags=re.DOTALL)
    assert len(figures) == 2
    for figure in figures:
        assert "NaN" not in figure and "Infinity" not in figure
        json.loads(figure)
