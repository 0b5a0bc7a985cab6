"""Headroom of every model, and recommended against current replicas: the fleet dashboard's row for who scales it."""

from __future__ import annotations

from grafana import SEAMARK, Panel, Query, override, states
from promql import REPLICAS_EXPLAINED, top

HOLD = top('seamark_recommendation_state{state="hold"}')
CARRIED = top('seamark_capacity_bound_requests_per_second{bound="low"}')
SAFE = f"{CARRIED} * {top('seamark_current_replicas')}"
MOST = top('seamark_replicas_bound{bound="max"}')
ADVICE = states({"0": ("advised", "green"), "1": ("hold", "orange")})
_DASHED = {"fill": "dash", "dash": [8, 6]}

PANELS = [
    Panel(
        "Headroom",
        "timeseries",
        "Free share of what the running replicas can carry. Negative: more load than was ever shown to hold.",
        [Query(top("seamark_headroom_ratio"), "{{model}}")],
        unit="percentunit",
        minimum=None,
        maximum=1.0,
        each_links=("Headroom page", f"{SEAMARK}/models/${{__field.labels.model:percentencode}}/headroom"),
    ),
    Panel(
        "Load, forecast and safe line",
        "timeseries",
        "Live load, what 99 % of outcomes stay below once a replica started now would serve, and what the running "
        "replicas were shown to carry. No safe line: no load test, or no replica count.",
        [
            Query(top("seamark_live_requests_per_second"), "{{model}} live"),
            Query(top('seamark_forecast_requests_per_second{quantile="0.99"}'), "{{model}} expected, 99 %"),
            Query(SAFE, "{{model}} safe"),
        ],
        unit="reqps",
        overrides=[
            override(".* safe$", custom__lineWidth=3, custom__fillOpacity=0, custom__lineInterpolation="stepAfter"),
            override(".* expected, 99 %$", custom__lineStyle=_DASHED, custom__lineWidth=1, custom__fillOpacity=0),
        ],
    ),
    Panel(
        "Replicas recommended and running",
        "timeseries",
        f"Solid: recommended. Dashed: running. {REPLICAS_EXPLAINED}",
        [
            Query(top("seamark_recommended_replicas"), "{{model}} recommended"),
            Query(top("seamark_current_replicas"), "{{model}} running"),
        ],
        custom={"lineInterpolation": "stepAfter", "fillOpacity": 0},
        decimals=0,
        overrides=[override(".* running$", custom__lineStyle=_DASHED)],
    ),
    Panel(
        "Recommended over running",
        "timeseries",
        f"Above 0: scale out. Below 0: could scale in. {REPLICAS_EXPLAINED}",
        [Query(f"{top('seamark_recommended_replicas')} - {top('seamark_current_replicas')}", "{{model}}")],
        minimum=None,
        decimals=0,
        custom={"lineInterpolation": "stepAfter"},
    ),
    Panel(
        "Needed of the most allowed",
        "timeseries",
        "Replicas the load needs, over `max` in seamark.yaml. Above 100 %: the bound, not the load, decides.",
        [Query(f"{top('seamark_needed_replicas')} / {MOST}", "{{model}}")],
        unit="percentunit",
        custom={"lineInterpolation": "stepAfter", "thresholdsStyle": {"mode": "line"}},
        thresholds=[("green", None), ("red", 1.0)],
    ),
    Panel(
        "Advice, and its backtest",
        "state-timeline",
        "hold: something is unknown, keep what runs; the model's page says what. not recommended: on the model's own "
        "last two weeks the HPA was better.",
        [
            Query(HOLD, "{{model}}"),
            Query(f"2 + {top('seamark_advice_recommended')}", "{{model}}, backtest"),
        ],
        mappings=states(
            {
                "0": ("advised", "green"),
                "1": ("hold", "orange"),
                "2": ("not recommended", "red"),
                "3": ("recommended", "green"),
            }
        ),
        minimum=None,
        no_value="nobody asked for advice",
    ),
]
