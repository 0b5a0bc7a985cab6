"""A metric that advice is to read, as seamark.yaml names it, becomes a MetricInput, or mistakes with their lines."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from typing import Any

from seamark.core.specs import MetricInput, PrometheusInput
from seamark.wire.checks import Checker, join, origin_of
from seamark.wire.values import NAME_LENGTH_MAX, clean_name, shown

WHERE_MAX = 20  # attributes of one selector
REPLICAS_MOST = 100_000
QUERY_LENGTH_MAX = 1_000
_KEY = re.compile(r'[^"\\\x00-\x1f]{1,256}')  # what a JSON path can hold between quotes as it is


def read_input(checker: Checker, value: Any, path: str, *, with_limit: bool) -> MetricInput | None:
    """Return `{metric, where}`, with `limit` where there must be one; None where it is wrong."""
    keys = ("metric", "where", "limit") if with_limit else ("metric", "where")
    found = checker.mapping(value, path, keys, "a metric to read")
    needed = ("metric", "limit") if with_limit else ("metric",)
    if found is None or not checker.needed(found, path, *needed):
        return None
    metric = _metric(checker, found["metric"], join(path, "metric"))
    where = _where(checker, found.get("where"), join(path, "where"))
    limit = checker.number(found.get("limit"), join(path, "limit"), above=0.0)
    return None if metric is None else MetricInput(metric, where, limit)


def read_replicas(checker: Checker, value: Any, path: str) -> MetricInput | PrometheusInput | int | None:
    """Return how many replicas run: a count, `{prometheus, query}`, or `{metric, where}`; None where it is wrong."""
    if isinstance(value, Mapping) and ("prometheus" in value or "query" in value):
        return _prometheus(checker, value, path)
    if isinstance(value, Mapping):
        return read_input(checker, value, path, with_limit=False)
    if isinstance(value, int) and not isinstance(value, bool):
        return checker.whole(value, path, least=1, most=REPLICAS_MOST)
    told = "write a count, {metric: NAME} or {prometheus: URL, query: PROMQL}"
    checker.wrong(path, f"{shown(value)} does not say how many replicas run; {told}")
    return None


def check_prometheus(checker: Checker, wanted: Any, path: str, allow: Collection[str]) -> None:
    """Note a Prometheus whose origin targets.prometheus does not name: nothing is asked that nobody allowed."""
    if isinstance(wanted, PrometheusInput) and origin_of(wanted.url) not in allow:
        told = f"{origin_of(wanted.url)} is not allowed; write `targets: {{prometheus: [{origin_of(wanted.url)}]}}`"
        checker.wrong(join(path, "prometheus"), told)


def _prometheus(checker: Checker, value: Any, path: str) -> PrometheusInput | None:
    found = checker.mapping(value, path, ("prometheus", "query"), "a query to ask")
    if found is None or not checker.needed(found, path, "prometheus", "query"):
        return None
    url = checker.url(found["prometheus"], join(path, "prometheus"))
    if url is not None and "?" in url:
        checker.wrong(join(path, "prometheus"), f"{shown(url)} has a query; write what stands before /api/v1/query")
        return None
    query = found["query"]
    if not isinstance(query, str) or not 0 < len(query.strip()) <= QUERY_LENGTH_MAX or "\x00" in query:
        checker.wrong(join(path, "query"), f"{shown(query)} is no query of 1 to {QUERY_LENGTH_MAX:,} characters")
        return None
    return None if url is None else PrometheusInput(url.rstrip("/"), query.strip())


def _metric(checker: Checker, value: Any, path: str) -> str | None:
    if not isinstance(value, str) or not 0 < len(value) <= NAME_LENGTH_MAX or clean_name(value) != value:
        checker.wrong(
            path, f"{shown(value)} is no metric's name; write it as it is sent, like k8s.deployment.available"
        )
        return None
    return value


def _where(checker: Checker, value: Any, path: str) -> tuple[tuple[str, str], ...]:
    if value is None:
        return ()
    if not isinstance(value, Mapping) or not 0 < len(value) <= WHERE_MAX:
        checker.wrong(path, f"{shown(value)} is no mapping of 1 to {WHERE_MAX} attributes to their values")
        return ()
    found = []
    for key, wanted in value.items():
        place = join(path, str(key)[:100])
        text = _text(wanted)
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            checker.wrong(place, "is no attribute's name; write 1 to 256 characters without quotes and backslashes")
        elif text is None:
            checker.wrong(place, f"{shown(wanted)} is no attribute's value; write a string, a number, true or false")
        else:
            found.append((key, text))
    return tuple(found)


def _text(value: Any) -> str | None:
    """Return a value as the text that JSON has for it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return repr(value)
    return value if isinstance(value, str) and len(value) <= 1_000 else None
