"""One model: load, latency, objectives, drift."""

from __future__ import annotations

import judged
from grafana import GREY, SEAMARK, Json, Panel, Query, Row, dashboard, override, states, variable
from promql import BAD_BELOW_QUARTER, HERE, MODEL_PAGE, REPLICAS_EXPLAINED, VERSIONS, count, errors, quantile, requests


def stat(title: str, metric: str, description: str, unit: str, **more: object) -> Panel:
    """Return one of the model's own figures."""
    return count(title, f"max({metric}{HERE})", description, MODEL_PAGE, unit=unit, **more)


ALIVE = " or ".join(
    f'(max(seamark_model_liveness{{model="$model", state="{state}"}}) == 1) * {number}'
    for state, number in (("live", 2), ("stale", 1), ("unknown", 0))
)

NUMBERS = [
    count(
        "State",
        ALIVE,
        "live: heard of in the last two minutes. gone quiet: heard of before. never seen: configured only.",
        MODEL_PAGE,
        mappings=states({"2": ("live", "green"), "1": ("gone quiet", "orange"), "0": ("never seen", GREY)}),
    ),
    stat(
        "Live load",
        "seamark_live_requests_per_second",
        "Arrivals per second now, from spans; unknown unless the model is live.",
        "reqps",
    ),
    stat(
        "One replica carries",
        "seamark_capacity_requests_per_second",
        "The highest Poisson rate at which the objective held in the last capacity test, per replica.",
        "reqps",
        no_value="not tested",
    ),
    stat(
        "Headroom",
        "seamark_headroom_ratio",
        "Free share of what the running replicas can carry.",
        "percentunit",
        thresholds=BAD_BELOW_QUARTER,
        minimum=None,
    ),
    count(
        "Error budget left",
        f"min(seamark_slo_error_budget_remaining_ratio{HERE})",
        "Of the objective that has least left.",
        MODEL_PAGE,
        unit="percentunit",
        thresholds=BAD_BELOW_QUARTER,
        minimum=None,
        no_value="no objective",
    ),
    count(
        "Features drifted",
        f"max(seamark_drift_features_drifted{VERSIONS})",
        "In the last window that was judged.",
        MODEL_PAGE,
        thresholds=[("green", None), ("orange", 1.0)],
        no_value="none judged",
    ),
]

LOAD = [
    Panel(
        "Load line: live, expected, carried",
        "timeseries",
        "Live load against what the running replicas were shown to carry. The band is the forecast (median to 99 %) "
        "for when a replica started now would be ready. No capacity line: no load test, or no replica count.",
        [
            Query(f"max(seamark_live_requests_per_second{HERE})", "live"),
            Query('max(seamark_forecast_requests_per_second{model="$model", quantile="0.5"})', "expected, median"),
            Query('max(seamark_forecast_requests_per_second{model="$model", quantile="0.99"})', "expected, 99 %"),
            Query(
                'max(seamark_capacity_bound_requests_per_second{model="$model", bound="low"}) '
                f"* max(seamark_current_replicas{HERE})",
                "carried by the running replicas",
            ),
        ],
        unit="reqps",
        width=16,
        height=10,
        link=("The model's page", MODEL_PAGE),
        overrides=[
            override("carried.*", color={"mode": "fixed", "fixedColor": "red"}, custom__fillOpacity=0),
            override("expected, 99 %", custom__fillBelowTo="expected, median", custom__lineWidth=0),
            override("expected, median", custom__lineStyle={"fill": "dash", "dash": [8, 6]}, custom__fillOpacity=0),
        ],
    ),
    Panel(
        "Replicas",
        "timeseries",
        REPLICAS_EXPLAINED,
        [
            Query(f"max(seamark_recommended_replicas{HERE})", "advised"),
            Query(f"max(seamark_current_replicas{HERE})", "running"),
        ],
        custom={"lineInterpolation": "stepAfter", "fillOpacity": 0},
        decimals=0,
        width=8,
        height=7,
    ),
    Panel(
        "Advice",
        "state-timeline",
        "hold: something is unknown, keep what runs; the model's page says what.",
        [Query('max(seamark_recommendation_state{model="$model", state="hold"})', "advice")],
        mappings=states({"0": ("ok", "green"), "1": ("hold", "orange")}),
        width=8,
        height=3,
    ),
]

REQUESTS = [
    Panel(
        "Requests per second",
        "timeseries",
        "By version and route; the route `other` holds what was one too many.",
        [Query(requests("version, route", VERSIONS), "{{version}} {{route}}")],
        unit="reqps",
    ),
    Panel(
        "Failed requests",
        "timeseries",
        "Failed over all requests, by version. No line without requests.",
        [Query(errors("version", VERSIONS), "{{version}}")],
        unit="percentunit",
    ),
    Panel(
        "Latency",
        "timeseries",
        "Points are single requests: click one to open its trace. Quantiles are coarse: they come from buckets.",
        [Query(quantile(q, "", VERSIONS), f"p{round(q * 100)}", exemplars=q == 0.99) for q in (0.5, 0.95, 0.99)],
        unit="s",
        link=("Exact quantiles", MODEL_PAGE),
    ),
    Panel(
        "p99 by version",
        "timeseries",
        "Candidate against baseline.",
        [Query(quantile(0.99, "version", VERSIONS), "{{version}}")],
        unit="s",
    ),
    Panel(
        "Where the time goes",
        "heatmap",
        "Requests per bucket of duration: two bands are two kinds of request.",
        [
            Query(
                f"sum by (le) (increase(seamark_request_duration_seconds_bucket{VERSIONS}[$__rate_interval]))",
                "{{le}}",
                heatmap=True,
            )
        ],
        unit="short",
    ),
    Panel(
        "Predictions per second",
        "timeseries",
        "Logged predictions, by version. Far below the requests: not every prediction is logged.",
        [Query(f"sum by (version) (rate(seamark_predictions_total{VERSIONS}[$__rate_interval]))", "{{version}}")],
        unit="ops",
    ),
]

GENERATIVE = [
    Panel(
        "Tokens per second",
        "timeseries",
        "Read and written by the model, from gen_ai spans. Empty for models that have none.",
        [Query(f"sum by (type) (rate(seamark_gen_ai_tokens_total{VERSIONS}[$__rate_interval]))", "{{type}}")],
        unit="ops",
    ),
    Panel(
        "Time to the first token",
        "timeseries",
        "Quantiles are coarse: they come from buckets. Exact ones: /api/v1/models/$model/tokens.",
        [
            Query(
                f"histogram_quantile({q}, sum by (le) "
                f"(rate(seamark_gen_ai_time_to_first_token_seconds_bucket{VERSIONS}[$__rate_interval])))",
                f"p{round(q * 100)}",
            )
            for q in (0.5, 0.95, 0.99)
        ],
        unit="s",
    ),
]

OBJECTIVES = [
    Panel(
        "Burn rate",
        "timeseries",
        "1 uses the budget up exactly at the period's end; 14.4 in 1h and 5m pages.",
        [Query(f"max by (slo, window) (seamark_slo_burn_rate{HERE})", "{{slo}} {{window}}")],
        thresholds=[("green", None), ("orange", 1.0), ("red", 14.4)],
        custom={"thresholdsStyle": {"mode": "line"}},
    ),
    Panel(
        "Error budget left",
        "timeseries",
        "Negative: overdrawn.",
        [Query(f"max by (slo) (seamark_slo_error_budget_remaining_ratio{HERE})", "{{slo}}")],
        unit="percentunit",
        minimum=None,
        maximum=1.0,
    ),
    Panel(
        "Alerts",
        "state-timeline",
        "Seamark's alerts of this model.",
        [
            Query(
                'max by (alertname, severity) (seamark_alert_state{model="$model", state="pending"})'
                ' + 2 * max by (alertname, severity) (seamark_alert_state{model="$model", state="firing"})',
                "{{alertname}} ({{severity}})",
            )
        ],
        mappings=states({"0": ("quiet", "green"), "1": ("pending", "orange"), "2": ("firing", "red")}),
        no_value="no alert has been raised",
        link=("Alerts", f"{SEAMARK}/alerts"),
    ),
]


def model() -> Json:
    """Return the dashboard."""
    items = [
        *NUMBERS,
        Row("Load"),
        *LOAD,
        Row("Requests"),
        *REQUESTS,
        Row("Generative traffic"),
        *GENERATIVE,
        Row("Objectives and alerts"),
        *OBJECTIVES,
        Row("Drift and quality of predictions"),
        *judged.PANELS,
    ]
    variables = [
        variable("model", "Model", "seamark_model_liveness", "model", many=False),
        variable("version", "Version", 'seamark_requests_total{model="$model"}', "version", many=True),
    ]
    return dashboard(
        "seamark-model", "Seamark / Model", "One model: load, latency, objectives, drift.", items, variables
    )
