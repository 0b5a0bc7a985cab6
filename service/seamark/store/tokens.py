"""Generative spans of the lake to tokens per second and times to the first token."""

# ruff: noqa: S608 - the SQL is put together from texts of this file; every value is a parameter

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from seamark.core.errors import Invalid, Problem
from seamark.core.measures import TokenStep
from seamark.core.windows import Window
from seamark.store.lake import Lake

GROUPINGS = {"gen_ai_model": "coalesce(gen_ai_model, '')", "version": "version"}
OTHER = "other"  # what groups beyond those with the most spans fold into
GROUPS_MAX = 50


def token_steps(
    lake: Lake, model: str, window: Window, step_s: float, by: Sequence[str] = (), *, synthetic: bool | None = False
) -> list[TokenStep]:
    """Return tokens and times to the first token (linear between ranks) per step and group, oldest first.

    Counted are spans of any kind that tell of one of them, at their start; a step without any is not there. `by`
    names some of GROUPINGS; beyond the GROUPS_MAX groups with the most spans all fold into one of OTHER.
    `synthetic` as for latency. Invalid where `by` is wrong.
    """
    problems = [Problem("by", f"{word!r} is not one of {', '.join(GROUPINGS)}") for word in by if word not in GROUPINGS]
    if problems:
        raise Invalid("; ".join(map(str, problems)), problems)
    groups = list(dict.fromkeys(by))
    parameters = {"model": model, "start": window.start, "end": window.end, "step_us": round(step_s * 1e6)}
    if groups:
        parameters["groups_max"] = GROUPS_MAX
    key = ", ".join(("step", *groups))
    rows = lake.query(
        f"{_spans_sql(groups, synthetic=synthetic)} SELECT {key}, count(*) AS requests,"
        " sum(input_tokens)::BIGINT AS input_tokens, sum(output_tokens)::BIGINT AS output_tokens,"
        " quantile_cont(first_token_ns / 1e6, [0.5, 0.95, 0.99]) AS first_ms"
        f" FROM spans GROUP BY {key} ORDER BY {key}",
        parameters,
        within=window.bounds,
    ).to_pylist()
    return [_step(window, step_s, row, groups) for row in rows]


# Three disjoint reads: a comparison with one column is held against the statistics of files and row groups, so that
# those without tokens are not read. One condition joined by OR reads them all, at three times the cost.
_TELLING = (
    "output_tokens >= 0",
    "input_tokens >= 0 AND output_tokens IS NULL",
    "first_token_ns >= 0 AND output_tokens IS NULL AND input_tokens IS NULL",
)
_SYNTHETIC = {None: "", True: " AND synthetic", False: " AND NOT synthetic"}


def _spans_sql(groups: Sequence[str], *, synthetic: bool | None) -> str:
    """Return `spans`: each generative span once, with its step and its group."""
    columns = "".join(f", {GROUPINGS[name]} AS {name}" for name in groups)
    telling = " UNION ALL ".join(
        "SELECT trace_id, span_id, (epoch_us(start_at) - epoch_us($start::TIMESTAMPTZ)) // $step_us AS step,"
        f" input_tokens, output_tokens, first_token_ns{columns} FROM lake.spans WHERE model = $model"
        f" AND start_at >= $start AND start_at < $end{_SYNTHETIC[synthetic]} AND {condition}"
        for condition in _TELLING
    )
    sql = f"WITH once AS (SELECT DISTINCT ON (trace_id, span_id, step) * FROM ({telling}))"
    if not groups:
        return f"{sql}, spans AS (SELECT * FROM once)"
    listed = ", ".join(groups)
    folded = ", ".join(
        f"CASE WHEN place <= $groups_max THEN once.{name} ELSE '{OTHER}' END AS {name}" for name in groups
    )
    return (
        f"{sql}, ranked AS (SELECT {listed}, row_number() OVER (ORDER BY count(*) DESC, {listed}) AS place"
        f" FROM once GROUP BY {listed}),"
        f" spans AS (SELECT once.* REPLACE ({folded}) FROM once JOIN ranked USING ({listed}))"
    )


def _step(window: Window, step_s: float, row: dict[str, Any], groups: Sequence[str]) -> TokenStep:
    p50, p95, p99 = row["first_ms"] or (None, None, None)
    taken, given = row["input_tokens"], row["output_tokens"]
    return TokenStep(
        at=window.start + timedelta(seconds=step_s * row["step"]),
        by={name: row[name] for name in groups},
        requests=row["requests"],
        input_tokens=taken,
        output_tokens=given,
        input_tokens_per_s=None if taken is None else taken / step_s,
        output_tokens_per_s=None if given is None else given / step_s,
        first_token_p50_ms=p50,
        first_token_p95_ms=p95,
        first_token_p99_ms=p99,
    )
