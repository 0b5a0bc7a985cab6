"""What the last load tests said, and what capacity they found."""

from __future__ import annotations

from grafana import SEAMARK, Json, Panel, Query, Row, dashboard, override, states, variable
from promql import top

HERE = '{test=~"$test"}'
VERDICTS = ("passed", "failed", "inconclusive", "aborted")
VERDICT = " or ".join(
    f'(max by (test) (seamark_loadtest_verdict{{test=~"$test", status="{status}"}}) == 1) * {number}'
    for number, status in enumerate(VERDICTS, 1)
)
WORDS = states(
    {
        "1": ("passed", "green"),
        "2": ("failed", "red"),
        "3": ("inconclusive", "orange"),
        "4": ("aborted", "purple"),
    }
)
PAGE = ("Runs", f"{SEAMARK}/loadtests")

ITEMS: list[Row | Panel] = [
    Panel(
        "Last verdict",
        "stat",
        "How the last finished run of each plan ended. inconclusive: the generator or the samples could not tell.",
        [Query(VERDICT, "{{test}}", instant=True)],
        mappings=WORDS,
        no_value="no run yet",
        width=12,
        height=6,
        link=PAGE,
    ),
    Panel(
        "Since the last run",
        "stat",
        "A plan with a schedule that has not run for long is not testing anything.",
        [
            Query(
                f"time() - max by (test) (seamark_loadtest_finished_timestamp_seconds{HERE})",
                "{{test}}",
                instant=True,
            )
        ],
        unit="s",
        thresholds=[("green", None), ("orange", 172_800.0), ("red", 604_800.0)],
        no_value="no run yet",
        width=12,
        height=6,
        link=PAGE,
    ),
    Panel(
        "Verdicts over time",
        "state-timeline",
        "Each colour lasts until the next run ends.",
        [Query(VERDICT, "{{test}}")],
        mappings=WORDS,
        no_value="no run yet",
        width=24,
        height=6,
        link=PAGE,
    ),
    Row("What was measured"),
    Panel(
        "Latency from the due instant",
        "timeseries",
        "Counts from when a request was due, so a stalled server cannot hide behind requests that were never sent.",
        [
            Query(
                f"max by (test, quantile) (seamark_loadtest_latency_seconds{HERE})",
                "{{test}} quantile {{quantile}}",
            )
        ],
        unit="s",
        custom={"lineInterpolation": "stepAfter"},
        link=PAGE,
    ),
    Panel(
        "Rate asked and achieved",
        "timeseries",
        "Achieved under 95 % of asked: the verdict is inconclusive.",
        [Query(f"max by (test, kind) (seamark_loadtest_requests_per_second{HERE})", "{{test}} {{kind}}")],
        unit="reqps",
        custom={"lineInterpolation": "stepAfter"},
        link=PAGE,
    ),
    Panel(
        "Failed requests",
        "timeseries",
        "Failed share of the run's requests. No line: the run sent none.",
        [Query(f"max by (test) (seamark_loadtest_error_ratio{HERE})", "{{test}}")],
        unit="percentunit",
        custom={"lineInterpolation": "stepAfter"},
        link=PAGE,
    ),
    Row("Capacity"),
    Panel(
        "One replica carries",
        "timeseries",
        "Tested, per replica; dotted its interval: the highest rate shown to hold, the lowest shown not to.",
        [
            Query(top("seamark_capacity_requests_per_second"), "{{model}}"),
            Query(
                "max by (model, bound) (seamark_capacity_bound_requests_per_second)",
                "{{model}} {{bound}}",
            ),
        ],
        unit="reqps",
        custom={"lineInterpolation": "stepAfter"},
        overrides=[override(".* (low|high)", custom__lineStyle={"fill": "dot"}, custom__fillOpacity=0)],
        width=12,
        no_value="not tested",
    ),
    Panel(
        "Age of the capacity",
        "bargauge",
        "Advice rests on it: test again after a release or a change of hardware.",
        [
            Query(
                f"time() - {top('seamark_capacity_measured_timestamp_seconds')}",
                "{{model}}",
                instant=True,
            )
        ],
        unit="s",
        thresholds=[("green", None), ("orange", 604_800.0), ("red", 2_592_000.0)],
        no_value="not tested",
        width=12,
    ),
]


def loadtests() -> Json:
    """Return the dashboard."""
    variables = [variable("test", "Load test", "seamark_loadtest_verdict", "test", many=True)]
    return dashboard(
        "seamark-loadtests", "Seamark / Load tests", "Verdicts, latency and capacity of load tests.", ITEMS, variables
    )
