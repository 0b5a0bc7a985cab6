"""Metric points of the lake to figures: names, newest values, and series per step.

A series is what sends under one name with one set of attributes and one resource. A point that came twice counts once.
"""

# ruff: noqa: S608 - the SQL is put together from texts of this file; every value is a parameter

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, timedelta
from typing import Any

from seamark.compute.buckets import quantiles
from seamark.core.errors import Invalid, Problem
from seamark.core.measures import MetricName, MetricStep, MetricValue
from seamark.core.traffic import LevelReading
from seamark.core.windows import Window
from seamark.store.lake import Lake

GROUPINGS = {"instance": "coalesce(instance, '')", "version": "version"}
OTHER = "other"  # what groups beyond those with the most points fold into
GROUPS_MAX = 50
NAMES_MAX = 1_000
SERIES_MAX = 10_000
LEVELS_MAX = 100_000  # of all models together
LOOK_BACK_S = 300.0  # a rate needs the point before the window
_QUANTILES = (0.5, 0.95, 0.99)
_TEMPORALITIES = {1: "delta", 2: "cumulative"}

_SERIES_OF = "service, version, instance, attributes, resource"
_SERIES = f"hash({_SERIES_OF}) AS series"
# What stands for itself at an instant; a running total does not.
_LEVEL = "(kind = 'gauge' OR (kind = 'sum' AND NOT monotonic AND temporality = 2))"


def names(lake: Lake, model: str, window: Window, name: str | None = None) -> list[MetricName]:
    """Return the metrics (or the one of this name) of which points lie in the window, by name; at most NAMES_MAX."""
    rows = lake.query(
        'WITH points AS (SELECT name, struct_pack(unit, kind, temporality, monotonic) AS shape, "at",'
        f" {_SERIES} FROM lake.metric_points WHERE model = $model AND ($name::VARCHAR IS NULL OR name = $name)"
        ' AND "at" >= $start AND "at" < $end)'
        ' SELECT name, arg_max(shape, "at") AS shape, count(DISTINCT series) AS series, max("at") AS last_seen_at'
        f" FROM points GROUP BY name ORDER BY name LIMIT {NAMES_MAX}",
        _range(model, window) | {"name": name},
        within=window.bounds,
    ).to_pylist()
    return [
        MetricName(
            name=row["name"],
            unit=row["shape"]["unit"],
            kind=row["shape"]["kind"],
            temporality=_TEMPORALITIES.get(row["shape"]["temporality"]),
            monotonic=row["shape"]["monotonic"],
            series=row["series"],
            last_seen_at=row["last_seen_at"].astimezone(UTC),
        )
        for row in rows
    ]


def latest(
    lake: Lake, model: str, name: str, window: Window, where: Sequence[tuple[str, str]] = ()
) -> list[MetricValue]:
    """Return the newest point of each series of a gauge (or a sum that also falls) in the window; at most SERIES_MAX.

    Without `where` the series are those of the model. With it they are those whose attributes, or else resource, say
    so, whoever sent them: a Collector speaks of a deployment under a name of its own.
    """
    parameters: dict[str, Any] = {"start": window.start, "end": window.end, "name": name}
    conditions = ["name = $name", '"at" >= $start', '"at" < $end', _LEVEL]
    if not where:
        conditions.append("model = $model")
        parameters["model"] = model
    for index, (key, value) in enumerate(where):
        path = f"$path_{index}"
        said = f"coalesce(json_extract_string(attributes, {path}), json_extract_string(resource, {path}))"
        conditions.append(f"{said} = $value_{index}")
        parameters |= {f"path_{index}": f'$."{key}"', f"value_{index}": value}
    rows = lake.query(
        'SELECT arg_max(struct_pack(instance, "at", value), "at") AS newest FROM'
        f' (SELECT instance, "at", value, {_SERIES} FROM lake.metric_points WHERE {" AND ".join(conditions)})'
        f' GROUP BY series ORDER BY max("at") DESC LIMIT {SERIES_MAX}',
        parameters,
        within=window.bounds,
    ).to_pylist()
    found = [row["newest"] for row in rows]
    return [MetricValue(row["instance"], row["at"].astimezone(UTC), row["value"]) for row in found]


def levels(lake: Lake, names: Sequence[str], window: Window) -> list[LevelReading]:
    """Return the newest point of each series of these gauges (or sums that also fall), whoever sent them.

    One read for all models; at most LEVELS_MAX series, those heard of last.
    """
    workload = "coalesce(" + ", ".join(_said(f"k8s.{kind}.name") for kind in ("deployment", "statefulset")) + ")"
    parameters = {f"name_{index}": name for index, name in enumerate(names)}
    listed = ", ".join(f"${key}" for key in parameters)
    rows = lake.query(
        'SELECT arg_max(struct_pack(model, name, "at", value, workload, namespace, cluster), "at") AS newest FROM'
        f' (SELECT model, name, "at", value, {workload} AS workload, {_said("k8s.namespace.name")} AS namespace,'
        f" {_said('k8s.cluster.name')} AS cluster, hash(model, name, {_SERIES_OF}) AS series FROM lake.metric_points"
        f' WHERE name IN ({listed}) AND "at" >= $start AND "at" < $end AND {_LEVEL})'
        f' GROUP BY series ORDER BY max("at") DESC LIMIT {LEVELS_MAX}',
        {"start": window.start, "end": window.end, **parameters},
        within=window.bounds,
    ).to_pylist()
    found = [row["newest"] for row in rows]
    return [LevelReading(**{**row, "at": row["at"].astimezone(UTC)}) for row in found]


def _said(key: str) -> str:
    path = f"'$.\"{key}\"'"
    return f"coalesce(json_extract_string(resource, {path}), json_extract_string(attributes, {path}))"


def steps(
    lake: Lake, model: str, name: str, window: Window, step_s: float, by: Sequence[str] = ()
) -> tuple[MetricName | None, list[MetricStep]]:
    """Return what the metric is and its figures per step and group, oldest first; None and nothing where none came.

    Steps count from `window.start`; one without points is not there. `by` names some of GROUPINGS; beyond the
    GROUPS_MAX groups with the most points all fold into one of OTHER. Where the kind of the metric changed in the
    window, the points of its newest kind are read. Invalid where `by` is wrong.
    """
    problems = [Problem("by", f"{word!r} is not one of {', '.join(GROUPINGS)}") for word in by if word not in GROUPINGS]
    if problems:
        raise Invalid("; ".join(map(str, problems)), problems)
    known = next(iter(names(lake, model, window, name)), None)
    if known is None:
        return None, []
    groups = list(dict.fromkeys(by))
    level = _is_level(known)
    back_s = 0.0 if level else max(step_s, LOOK_BACK_S)
    parameters = _range(model, window) | {
        "name": name,
        "kind": known.kind,
        "from": window.start - timedelta(seconds=back_s),
        "step_us": round(step_s * 1e6),
    }
    if groups:
        parameters["groups_max"] = GROUPS_MAX
    sql = _points_sql(groups) + (_level_sql(groups) if level else _rate_sql(groups, known))
    rows = lake.query(sql, parameters, within=(parameters["from"], window.end)).to_pylist()
    return known, [_step(window, step_s, row, groups) for row in rows]


def _is_level(known: MetricName) -> bool:
    return known.kind == "gauge" or (known.kind == "sum" and not known.monotonic and known.temporality == "cumulative")


def _points_sql(groups: Sequence[str]) -> str:
    """Return `points`: each point once, with its series, its step and its group."""
    columns = "".join(f", {GROUPINGS[name]} AS {name}" for name in groups)
    sql = (
        f'WITH once AS (SELECT DISTINCT ON (series, start_at, "at") {_SERIES}, start_at, "at",'
        ' (epoch_us("at") - epoch_us($start::TIMESTAMPTZ)) // $step_us AS step,'
        f" value, count, sum, bounds, counts{columns} FROM lake.metric_points"
        ' WHERE model = $model AND name = $name AND kind = $kind AND "at" >= $from AND "at" < $end)'
    )
    if not groups:
        return f"{sql}, points AS (SELECT * FROM once)"
    listed = ", ".join(groups)
    folded = ", ".join(
        f"CASE WHEN place <= $groups_max THEN once.{name} ELSE '{OTHER}' END AS {name}" for name in groups
    )
    return (
        f"{sql}, ranked AS (SELECT {listed}, row_number() OVER (ORDER BY count(*) DESC, {listed}) AS place"
        f" FROM once GROUP BY {listed}),"
        f" points AS (SELECT once.* REPLACE ({folded}) FROM once JOIN ranked USING ({listed}))"
    )


def _level_sql(groups: Sequence[str]) -> str:
    """Return figures of what stands for itself at an instant: gauges, and sums that also fall."""
    key = ", ".join(("step", *groups))
    return (
        f', per AS (SELECT {key}, series, arg_max(value, "at") AS last, max("at") AS last_at, sum(value) AS total,'
        " count(*) AS n, min(value) AS least, max(value) AS most"
        f" FROM points WHERE value IS NOT NULL GROUP BY {key}, series)"
        f" SELECT {key}, arg_max(last, last_at) AS last, sum(last) AS sum, sum(total) / sum(n) AS avg,"
        f" min(least) AS min, max(most) AS max FROM per GROUP BY {key} ORDER BY {key}"
    )


def _rate_sql(groups: Sequence[str], known: MetricName) -> str:
    """Return figures of what grows. Each point grew since the one before it, or since its own start.

    The latter (`afresh`) is so for deltas, after a reset, and for the first point of a series that began within reach.
    A rate is what a series grew by over the time it took, so that points further apart than a step do not swell it.
    """
    key = ", ".join(("step", *groups))
    delta = known.temporality == "delta"
    afresh = "true" if delta else "before IS NULL OR amount < before OR coalesce(start_at >= before_at, false)"
    known_start = (
        "true" if delta else 'before IS NOT NULL OR (start_at < "at" AND start_at >= coalesce(before_at, $from))'
    )
    since = "coalesce(start_at, before_at)" if delta else "greatest(start_at, before_at)"
    sql = (
        ', ordered AS (SELECT *, coalesce(count::DOUBLE, value) AS amount, lag("at") OVER line AS before_at,'
        " lag(coalesce(count::DOUBLE, value)) OVER line AS before, lag(sum) OVER line AS before_sum,"
        " lag(bounds) OVER line AS before_bounds, lag(counts) OVER line AS before_counts"
        ' FROM points WINDOW line AS (PARTITION BY series ORDER BY "at", start_at)),'
        f' told AS (SELECT *, {afresh} AS afresh, epoch_us("at") - epoch_us({since}) AS took_us'
        f' FROM ordered WHERE "at" >= $start AND amount IS NOT NULL AND ({known_start})),'
        " grown AS (SELECT *, CASE WHEN afresh THEN amount ELSE amount - before END AS growth,"
        " CASE WHEN afresh THEN sum ELSE sum - before_sum END AS sum_growth FROM told),"
        f" per AS (SELECT {key}, series, sum(growth) AS growth, sum(sum_growth) AS sum_growth,"
        " sum(growth) FILTER (took_us > 0) / (sum(took_us) FILTER (took_us > 0) / 1e6) AS rate"
        f" FROM grown GROUP BY {key}, series),"
        f" figures AS (SELECT {key}, sum(rate) AS rate, sum(growth) AS count,"
        " sum(sum_growth) / nullif(sum(growth) FILTER (sum_growth IS NOT NULL), 0) AS avg"
        f" FROM per GROUP BY {key})"
    )
    if known.kind not in ("histogram", "exponential_histogram"):
        return f"{sql} SELECT * FROM figures ORDER BY {key}"
    return f"{sql}{_buckets_sql(key)} SELECT * FROM figures LEFT JOIN lists USING ({key}) ORDER BY {key}"


def _buckets_sql(key: str) -> str:
    """Return `lists`: how much each bucket grew. What was there before is taken off by its bound, wherever that is."""
    return (
        f", changes AS (SELECT {key}, bounds, counts, 1 AS sign FROM grown WHERE bounds IS NOT NULL"
        f" UNION ALL SELECT {key}, before_bounds, before_counts, -1 FROM grown"
        " WHERE NOT afresh AND bounds IS NOT NULL AND before_bounds IS NOT NULL),"
        f" buckets AS (SELECT {key}, unnest(list_append(bounds, 'Infinity'::DOUBLE)) AS bound,"
        " unnest(counts)::DOUBLE * sign AS n FROM changes),"
        f" lists AS (SELECT {key}, list(bound ORDER BY bound) AS bounds, list(n ORDER BY bound) AS counts"
        f" FROM (SELECT {key}, bound, sum(n) AS n FROM buckets GROUP BY {key}, bound) GROUP BY {key})"
    )


def _step(window: Window, step_s: float, row: Mapping[str, Any], groups: Sequence[str]) -> MetricStep:
    at = window.start + timedelta(seconds=step_s * row["step"])
    figures = {name: row[name] for name in ("last", "sum", "avg", "min", "max", "rate", "count") if name in row}
    p50, p95, p99 = quantiles(row.get("bounds") or (), row.get("counts") or (), _QUANTILES)
    return MetricStep(at, {name: row[name] for name in groups}, **figures, p50=p50, p95=p95, p99=p99)


def _range(model: str, window: Window) -> dict[str, Any]:
    return {"model": model, "start": window.start, "end": window.end}
