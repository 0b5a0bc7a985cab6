"""Panels about one model's features and labels."""

from __future__ import annotations

from grafana import SEAMARK, Panel, Query, override, states
from promql import HERE, MODEL_PAGE, VERSIONS

BY_FEATURE = "max by (version, feature, method)"
# A name may hold any character, so it is one encoded segment of the path.
DISTRIBUTIONS = ("Reference against window", f"{MODEL_PAGE}/drift/${{__field.labels.feature:percentencode}}")

PANELS = [
    Panel(
        "Drift score over its threshold",
        "bargauge",
        "Above 1 the feature counts as drifted. Thresholds are calibrated per feature, method and window size.",
        [
            Query(
                f"sort_desc({BY_FEATURE} (seamark_feature_drift_score{VERSIONS})"
                f" / {BY_FEATURE} (seamark_feature_drift_threshold{VERSIONS}))",
                "{{feature}} {{version}} ({{method}})",
                instant=True,
            )
        ],
        thresholds=[("green", None), ("red", 1.0)],
        no_value="no feature could be judged",
        link=("Drift over time", f"{MODEL_PAGE}#drift"),
        each_links=DISTRIBUTIONS,
        decimals=2,
        height=10,
    ),
    Panel(
        "Drifted features over time",
        "state-timeline",
        "A gap: too few rows or no reference in that window. That is not the same as no drift.",
        [Query(f"max by (version, feature) (seamark_feature_drifted{VERSIONS})", "{{feature}} {{version}}")],
        mappings=states({"0": ("no drift", "green"), "1": ("drift", "red")}),
        each_links=DISTRIBUTIONS,
        no_value="no feature could be judged",
        height=10,
    ),
    Panel(
        "Features judged",
        "timeseries",
        "Features that drifted and features that could not be judged: too few rows, no reference, all null.",
        [
            Query(f"max by (version) (seamark_drift_features_drifted{VERSIONS})", "drifted {{version}}"),
            Query(f"max by (version) (seamark_drift_features_unknown{VERSIONS})", "not judged {{version}}"),
        ],
        decimals=0,
        height=10,
        link=("Evidently report", f"{SEAMARK}/api/v1/models/${{model}}/drift/report"),
    ),
    Panel(
        "Performance",
        "timeseries",
        "Measured (solid) with the labels that have come so far; read it with the coverage beside it. Estimated "
        "(dashed) without labels. No line: neither is known, which is not the same as fine.",
        [Query(f"max by (metric, kind) (seamark_model_performance{HERE})", "{{metric}} ({{kind}})")],
        minimum=None,
        no_value="no labels and no estimate yet",
        overrides=[override(r".*\(estimated\)", custom__lineStyle={"fill": "dash", "dash": [8, 6]})],
        link=("With intervals", f"{MODEL_PAGE}#performance"),
    ),
    Panel(
        "Labels that have come",
        "timeseries",
        "Share of the window's predictions with a label. Low: the performance is that of early labels only.",
        [Query(f"max(seamark_label_coverage_ratio{HERE})", "coverage")],
        unit="percentunit",
        maximum=1.0,
        no_value="no predictions",
    ),
    Panel(
        "Label lag",
        "timeseries",
        "Median time from a prediction to its label.",
        [Query(f"max(seamark_label_lag_seconds{HERE})", "median")],
        unit="s",
        no_value="no labels yet",
    ),
]
