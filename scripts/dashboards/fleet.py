"""Every model at a glance, and the health of Seamark itself."""

from __future__ import annotations

import itself
import replicas
from grafana import SEAMARK, Json, Panel, Query, Row, column, dashboard
from promql import BAD_BELOW_QUARTER, GOOD_AT_ZERO, OR_ZERO, count, errors, quantile, requests, top

GLANCE = [
    ("Live", top("seamark_live_requests_per_second"), "reqps"),
    ("One replica carries", top("seamark_capacity_requests_per_second"), "reqps"),
    ("Headroom", top("seamark_headroom_ratio"), "percentunit"),
    ("Running", top("seamark_current_replicas"), "short"),
    ("Recommended", top("seamark_recommended_replicas"), "short"),
    ("Advice", replicas.HOLD, "short"),
    ("Budget left", "min by (model) (seamark_slo_error_budget_remaining_ratio)", "percentunit"),
    ("Drifted features", top("seamark_drift_features_drifted"), "short"),
    ("Last seen", top("seamark_model_last_seen_timestamp_seconds") + " * 1000", "dateTimeFromNow"),
]

NUMBERS = [
    count(
        "Models live",
        'count(max by (model) (seamark_model_liveness{state="live"}) == 1)' + OR_ZERO,
        "Models heard of in the last two minutes.",
        SEAMARK,
    ),
    count(
        "Models gone quiet",
        'count(max by (model) (seamark_model_liveness{state="stale"}) == 1)' + OR_ZERO,
        "Models heard of before, and not in the last two minutes. Their load is unknown, not zero.",
        SEAMARK,
        thresholds=[("green", None), ("orange", 1.0)],
    ),
    count(
        "Alerts firing",
        'sum(max by (alertname, model, severity) (seamark_alert_state{state="firing"}))' + OR_ZERO,
        "Alerts of Seamark that fire now. Unknown when Seamark itself cannot be scraped.",
        f"{SEAMARK}/alerts",
        thresholds=GOOD_AT_ZERO,
    ),
    count(
        "Lowest error budget",
        "min(seamark_slo_error_budget_remaining_ratio)",
        "The model and objective with the least budget left in its period. Below 0: overdrawn.",
        SEAMARK,
        unit="percentunit",
        thresholds=BAD_BELOW_QUARTER,
        minimum=None,
        no_value="no objective",
    ),
    count(
        "Lowest headroom",
        "min(max by (model) (seamark_headroom_ratio))",
        "The model nearest to what its running replicas can carry. Unknown until a load test measured a capacity.",
        SEAMARK,
        unit="percentunit",
        thresholds=BAD_BELOW_QUARTER,
        minimum=None,
        no_value="no capacity tested",
    ),
    count(
        "Features drifted",
        "sum(max by (model, version) (seamark_drift_features_drifted))",
        "Features that left their reference's distribution, over all models. Unknown where none could be judged.",
        SEAMARK,
        thresholds=[("green", None), ("orange", 1.0)],
        no_value="none judged",
    ),
]

TRAFFIC = [
    Panel(
        "Requests per second",
        "timeseries",
        "From spans, synthetic traffic left out. A line that ends: that model sends no spans.",
        [Query(requests("model"), "{{model}}")],
        unit="reqps",
    ),
    Panel(
        "Failed requests",
        "timeseries",
        "Failed over all requests. No line without requests.",
        [Query(errors("model"), "{{model}}")],
        unit="percentunit",
    ),
    Panel(
        "p99 latency",
        "timeseries",
        "From histogram buckets, so coarse between them; the exact quantiles are on the model's page in Seamark.",
        [Query(quantile(0.99, "model"), "{{model}}", exemplars=True)],
        unit="s",
    ),
    Panel(
        "Error budget left",
        "timeseries",
        "1: untouched in this period. 0: used up. Negative: overdrawn. No line: no objective or no requests.",
        [Query("max by (model, slo) (seamark_slo_error_budget_remaining_ratio)", "{{model}} {{slo}}")],
        unit="percentunit",
        minimum=None,
        maximum=1.0,
    ),
]


def table() -> Panel:
    """Return one line per model."""
    page = f"{SEAMARK}/models/${{__value.raw}}"
    drill = "/d/seamark-model?var-model=${__value.raw}&${__url_time_range}"
    shades = {"mode": "absolute", "steps": [{"color": colour, "value": value} for colour, value in BAD_BELOW_QUARTER]}
    refs = "ABCDEFGHIJ"  # the last one only lists the models
    headroom = [
        {"title": "Headroom page", "url": f"{SEAMARK}/models/${{__data.fields.Model}}/headroom", "targetBlank": True}
    ]
    shaded = {"thresholds": shades, "custom__cellOptions": {"type": "color-text"}}
    return Panel(
        "Models at a glance",
        "table",
        "One line per model Seamark knows. An empty cell is unknown (no traffic, no test, no reference), never zero.",
        [Query(expr, table=True) for _, expr, _ in GLANCE]
        + [Query(top("seamark_model_liveness"), table=True)],  # so that a model of which nothing is known has its line
        width=24,
        height=9,
        no_value="-",
        transformations=[
            {"id": "merge", "options": {}},
            {
                "id": "organize",
                "options": {
                    "excludeByName": {"Time": True, f"Value #{refs[-1]}": True},
                    "renameByName": {"model": "Model"}
                    | {f"Value #{ref}": title for ref, (title, _, _) in zip(refs, GLANCE, strict=False)},
                },
            },
        ],
        overrides=[
            column(
                "Model",
                links=[
                    {"title": "Dashboard", "url": drill},
                    {"title": "Page in Seamark", "url": page, "targetBlank": True},
                ],
            ),
            *(
                column(
                    title,
                    unit=unit,
                    **(shaded if title in ("Headroom", "Budget left") else {}),
                    **(
                        {"mappings": replicas.ADVICE, "custom__cellOptions": {"type": "color-text"}}
                        if title == "Advice"
                        else {}
                    ),
                    **({"links": headroom} if title in ("Headroom", "Recommended") else {}),
                )
                for title, _, unit in GLANCE
            ),
        ],
    )


def fleet() -> Json:
    """Return the dashboard."""
    items = [
        *NUMBERS,
        table(),
        Row("Traffic and objectives"),
        *TRAFFIC,
        Row("Headroom and replicas"),
        *replicas.PANELS,
        Row("Seamark itself"),
        *itself.PANELS,
    ]
    return dashboard(
        "seamark-fleet", "Seamark / Fleet", "Every model at a glance, and the health of Seamark itself.", items, []
    )
