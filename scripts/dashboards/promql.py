"""The questions the panels share: rates, ratios and quantiles by some labels."""

from __future__ import annotations

from grafana import SEAMARK, Panel, Query

BAD_BELOW_QUARTER: list[tuple[str, float | None]] = [("red", None), ("orange", 0.1), ("green", 0.25)]
GOOD_AT_ZERO: list[tuple[str, float | None]] = [("green", None), ("red", 1.0)]
# 0 only while Seamark answers: if it is down, the number of firing alerts is unknown, not zero.
OR_ZERO = ' or 0 * max(up{job="seamark"} == 1)'
REPLICAS_EXPLAINED = (
    "No line: nothing is advised, because capacity or traffic is unknown. See the reason on the model's page."
)


# The model dashboard's variables.
HERE = '{model="$model"}'
VERSIONS = '{model="$model", version=~"$version"}'
MODEL_PAGE = f"{SEAMARK}/models/${{model}}"


def top(expr: str) -> str:
    """Return the findings of all nodes as one series per model."""
    return f"max by (model) ({expr})"


def requests(by: str, where: str = "") -> str:
    """Return the request rate by labels."""
    return f"sum by ({by}) (rate(seamark_requests_total{where}[$__rate_interval]))"


def quantile(q: float, by: str, where: str = "") -> str:
    """Return a latency quantile in seconds by labels."""
    rate = f"rate(seamark_request_duration_seconds_bucket{where}[$__rate_interval])"
    return f"histogram_quantile({q}, sum by ({by}{', ' if by else ''}le) ({rate}))"


def errors(by: str, where: str = "") -> str:
    """Return failed over all requests by labels; no requests, no ratio."""
    inside = where.strip("{}")
    failed = "{" + ", ".join(part for part in (inside, 'status="error"') if part) + "}"
    return f"{requests(by, failed)} / {requests(by, where)}"


def count(title: str, expr: str, description: str, link: str, **more: object) -> Panel:
    """Return a number in a quarter of a quarter of the width."""
    return Panel(
        title,
        "stat",
        description,
        [Query(expr, instant=True)],
        width=4,
        height=4,
        link=("Open in Seamark", link),
        **more,
    )  # type: ignore[arg-type]
