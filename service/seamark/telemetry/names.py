"""Every metric Seamark exposes, by name: its type, its labels and what it means; docs/metrics.md says the same."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One family of the page: `kind` is Prometheus's type, `labels` are in the order values are given."""

    kind: str  # "counter" | "gauge" | "histogram"
    labels: tuple[str, ...]
    meaning: str


def _counter(labels: str, meaning: str) -> Metric:
    return Metric("counter", tuple(labels.split()), meaning)


def _gauge(labels: str, meaning: str) -> Metric:
    return Metric("gauge", tuple(labels.split()), meaning)


def _histogram(labels: str, meaning: str) -> Metric:
    return Metric("histogram", tuple(labels.split()), meaning)


TRAFFIC: dict[str, Metric] = {
    "seamark_requests_total": _counter(
        "model version route status", "Requests seen in spans; status is ok or error; synthetic traffic is left out."
    ),
    "seamark_request_duration_seconds": _histogram(
        "model version route", "How long those requests took; exemplars carry a trace_id."
    ),
    "seamark_predictions_total": _counter("model version", "Predictions logged; synthetic traffic is left out."),
    "seamark_label_values_folded_total": _counter(
        "label", "Requests and predictions counted under the label value `other`: too many values, or too long a one."
    ),
}

GENERATIVE: dict[str, Metric] = {
    "seamark_gen_ai_tokens_total": _counter(
        "model version type", "Tokens told of in spans; type is input or output; synthetic traffic is left out."
    ),
    "seamark_gen_ai_time_to_first_token_seconds": _histogram(
        "model version", "How long those spans took to their first token."
    ),
}

LIVE: dict[str, Metric] = {
    "seamark_model_liveness": _gauge("model state", "1 for the state the model is in: live, stale or unknown."),
    "seamark_model_last_seen_timestamp_seconds": _gauge("model", "When the model was last heard of."),
    "seamark_live_requests_per_second": _gauge("model", "Arrivals now; absent unless the model is live."),
    "seamark_forecast_requests_per_second": _gauge(
        "model quantile", "Arrivals expected once a replica started now would be ready."
    ),
}

DRIFT: dict[str, Metric] = {
    "seamark_feature_drift_score": _gauge(
        "model version feature method", "Distance of the feature from its reference, in the method's own unit."
    ),
    "seamark_feature_drift_threshold": _gauge(
        "model version feature method", "The score from which the feature would count as drifted."
    ),
    "seamark_feature_drifted": _gauge("model version feature", "1 drifted, 0 not; absent where it is unknown."),
    "seamark_drift_features_drifted": _gauge(
        "model version", "Features that drifted; absent where no feature could be judged."
    ),
    "seamark_drift_features_unknown": _gauge(
        "model version", "Features that could not be judged: too few rows, no reference, all null."
    ),
    "seamark_drift_window_end_timestamp_seconds": _gauge("model version", "The end of the window that was judged."),
}

QUALITY: dict[str, Metric] = {
    "seamark_quality_worse": _gauge(
        "model version check", "Features whose data are worse than the reference, by what is; absent where unknown."
    ),
    "seamark_quality_unknown": _gauge("model version check", "Features of which that could not be judged."),
    "seamark_quality_schema_changes": _gauge(
        "model version change", "Features that are new, have vanished, or were refused for their type (type_refused)."
    ),
    "seamark_quality_type_refused_rows": _gauge(
        "model version", "Rows of the window that were refused because a feature came with another type."
    ),
    "seamark_quality_window_end_timestamp_seconds": _gauge("model version", "The end of the window that was judged."),
}

PERFORMANCE: dict[str, Metric] = {
    "seamark_model_performance": _gauge(
        "model metric kind", "Accuracy, rmse and their like; kind is measured (with labels) or estimated (without)."
    ),
    "seamark_label_coverage_ratio": _gauge("model", "Share of the window's predictions that have their label."),
    "seamark_label_lag_seconds": _gauge("model", "Median time from a prediction to its label."),
}

SLO: dict[str, Metric] = {
    "seamark_slo_objective_ratio": _gauge("model slo", "The share of good requests asked for; slo is its kind."),
    "seamark_slo_error_budget_remaining_ratio": _gauge(
        "model slo", "Error budget left in the period: 1 untouched, 0 used up, negative overdrawn."
    ),
    "seamark_slo_burn_rate": _gauge(
        "model slo window", "Speed of burning the budget: 1 uses it up exactly at the period's end."
    ),
}

CAPACITY: dict[str, Metric] = {
    "seamark_capacity_requests_per_second": _gauge("model", "What one replica carried within the SLO when tested."),
    "seamark_capacity_bound_requests_per_second": _gauge(
        "model bound",
        "The 95 % interval of that capacity; advice goes by low, and high is absent where no rate broke the SLO.",
    ),
    "seamark_capacity_measured_timestamp_seconds": _gauge("model", "When that capacity was measured."),
    "seamark_recommended_replicas": _gauge("model", "Replicas advised; absent where there is no advice."),
    "seamark_current_replicas": _gauge("model", "Replicas seen running."),
    "seamark_needed_replicas": _gauge(
        "model", "Replicas the load needs before bounds and waits; absent where the load or the capacity is unknown."
    ),
    "seamark_replicas_bound": _gauge("model bound", "The bounds of advice, as seamark.yaml has them: min and max."),
    "seamark_recommendation_state": _gauge("model state", "1 for the advice's state: ok, or hold (keep what runs)."),
    "seamark_advice_recommended": _gauge(
        "model",
        "0 where the backtest on the model's own history says that the advice loses to the HPA; absent: unknown.",
    ),
    "seamark_headroom_ratio": _gauge("model", "Free share of what the running replicas can carry."),
}

LOADTESTS: dict[str, Metric] = {
    "seamark_loadtest_latency_seconds": _gauge(
        "test quantile",
        "Latency of the last finished run, from the instant each request was due; quantile 1 is the max.",
    ),
    "seamark_loadtest_verdict": _gauge("test status", "1 for how the last finished run ended."),
    "seamark_loadtest_requests_per_second": _gauge(
        "test kind", "Rate of the last finished run: asked for, and achieved."
    ),
    "seamark_loadtest_error_ratio": _gauge("test", "Failed share of the last finished run's requests."),
    "seamark_loadtest_finished_timestamp_seconds": _gauge("test model", "When the last run ended, and of which model."),
    "seamark_loadtest_missed_total": _counter(
        "test", "Instants of the test's schedule that made no run: no worker in time, or its last run still waited."
    ),
}

ALERTS: dict[str, Metric] = {
    "seamark_alert_state": _gauge(
        "alertname model severity state", "1 for the state the alert is in: pending or firing."
    ),
    "seamark_alert_input_unknown": _gauge(
        "alertname model severity", "1 while the alert keeps its state because its input is unknown."
    ),
}

# `job` is Prometheus's own label for what it scraped, so ours is called job_name.
SELF: dict[str, Metric] = {
    "seamark_build_info": _gauge("version", "1, with the running version."),
    "seamark_clock_timestamp_seconds": _gauge("", "The service's clock at the scrape."),
    "seamark_ingest_spans_total": _counter(
        "outcome", "Spans received: accepted (durable; a repeat counts again) or refused."
    ),
    "seamark_ingest_rows_total": _counter("signal outcome", "Rows received, by signal: accepted (durable) or refused."),
    "seamark_ingest_cut_total": _counter(
        "what",
        "Things cut from accepted rows: attributes, events, links, depth (values nested too deep), names; of KServe's"
        " payloads features and outcomes.",
    ),
    "seamark_inferences_joined_total": _counter(
        "by", "Inferences of KServe whose request and response were joined: at the second's arrival, or by the job."
    ),
    "seamark_inference_halves_alone_total": _counter(
        "half", "Requests and responses of KServe whose other half did not come within 15 minutes."
    ),
    "seamark_advice_cut_total": _counter(
        "what",
        "What the memory of advice had no room for, at each look: models of the stored arrivals beyond the busiest"
        " 10,000 of a day; instances: looks at a model with over 500 of them, whose starts are not measured.",
    ),
    "seamark_ingest_commit_seconds": _histogram("", "How long a group commit to the lake took."),
    "seamark_ingest_committed_rows_total": _counter("", "Rows made durable by those commits."),
    "seamark_buffer_waiting_rows": _gauge("", "Rows waiting for the next commit."),
    "seamark_lake_files": _gauge("", "Data files in the lake."),
    "seamark_lake_bytes": _gauge("", "Bytes in those files."),
    "seamark_lake_free_bytes": _gauge("", "Free bytes of the lake's disk; absent where the disk is not ours."),
    "seamark_outbox_pending": _gauge("", "Messages waiting to be delivered."),
    "seamark_job_interval_seconds": _gauge("job_name", "How often the job is meant to run."),
    "seamark_job_last_success_timestamp_seconds": _gauge(
        "job_name", "When the job last succeeded; absent before that."
    ),
    "seamark_job_failures_total": _counter("job_name", "Runs of the job that failed."),
    "seamark_metrics_left_out": _gauge("label", "Label values this page leaves out because there are too many."),
}

# Every family by name, in the order they stand on the page and in docs/metrics.md.
METRICS: dict[str, Metric] = (
    TRAFFIC | GENERATIVE | LIVE | DRIFT | QUALITY | PERFORMANCE | SLO | CAPACITY | LOADTESTS | ALERTS | SELF
)
