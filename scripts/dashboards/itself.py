"""Panels about Seamark's own health."""

from __future__ import annotations

from grafana import Panel, Query, override, states

PANELS = [
    Panel(
        "Up",
        "state-timeline",
        "Whether Prometheus could scrape each Seamark node.",
        [Query('up{job="seamark"}', "{{instance}}")],
        mappings=states({"1": ("up", "green"), "0": ("down", "red")}),
        width=6,
    ),
    Panel(
        "Rows taken and refused",
        "timeseries",
        "Refused rows were answered with the reason; a sender loses them unless it is corrected.",
        [
            Query(
                "sum by (signal, outcome) (rate(seamark_ingest_rows_total[$__rate_interval])) > 0",
                "{{signal}} {{outcome}}",
            )
        ],
        unit="rowsps",
        no_value="no rows in this time",
        overrides=[override(".*refused", color={"mode": "fixed", "fixedColor": "red"})],
        width=6,
    ),
    Panel(
        "Commit time",
        "timeseries",
        "How long senders wait for their rows to be durable. No line: nothing was committed.",
        [
            Query(
                f"histogram_quantile({q}, sum by (le) (rate(seamark_ingest_commit_seconds_bucket[$__rate_interval])))",
                f"p{round(q * 100)}",
            )
            for q in (0.5, 0.99)
        ],
        unit="s",
        width=6,
    ),
    Panel(
        "Rows waiting",
        "timeseries",
        "Rows held in memory for the next commit. Near the limit (SEAMARK_BUFFER_ROWS) senders are answered 503.",
        [Query("seamark_buffer_waiting_rows", "{{instance}}")],
        width=6,
    ),
    Panel(
        "Lake",
        "timeseries",
        "Data files should stay few: maintenance merges them. Growth without end: look at the job `maintain`.",
        [Query("max(seamark_lake_files)", "files"), Query("max(seamark_lake_bytes)", "bytes")],
        overrides=[override("bytes", unit="bytes", custom__axisPlacement="right")],
        width=6,
    ),
    Panel(
        "Free disk",
        "timeseries",
        "Free bytes where the lake lies. No line: it lies in an object store.",
        [Query("min by (instance) (seamark_lake_free_bytes)", "{{instance}}")],
        unit="bytes",
        no_value="not on a disk of ours",
        width=6,
    ),
    Panel(
        "Messages to deliver",
        "timeseries",
        "Alert messages that no channel has accepted yet. Should return to 0 within a minute.",
        [Query("max(seamark_outbox_pending)", "pending")],
        decimals=0,
        width=6,
    ),
    Panel(
        "Since each job succeeded",
        "timeseries",
        "In multiples of the job's own interval: above 5 it is late. No line: it has not succeeded since the start.",
        [
            Query(
                "(time() - max by (job_name) (seamark_job_last_success_timestamp_seconds))"
                " / max by (job_name) (seamark_job_interval_seconds)",
                "{{job_name}}",
            )
        ],
        thresholds=[("green", None), ("red", 5.0)],
        width=6,
    ),
    Panel(
        "Failed job runs",
        "timeseries",
        "Runs that failed, per minute; each is tried again at its next slot.",
        [Query("sum by (job_name) (rate(seamark_job_failures_total[$__rate_interval])) * 60", "{{job_name}}")],
        width=8,
        height=6,
    ),
    Panel(
        "Counted under `other`",
        "timeseries",
        "Rows whose model, version or route was one too many and was folded. Above 0: a route holds ids.",
        [
            Query(
                "sum by (label) (rate(seamark_label_values_folded_total[$__rate_interval]))",
                "{{label}}",
            )
        ],
        width=8,
        height=6,
    ),
    Panel(
        "Memory",
        "timeseries",
        "Resident memory of each Seamark process.",
        [Query('process_resident_memory_bytes{job="seamark"}', "{{instance}}")],
        unit="bytes",
        width=8,
        height=6,
    ),
]
