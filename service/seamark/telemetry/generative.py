"""Generative spans on their way into the lake become token counts and a histogram of the time to the first token."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from prometheus_client import Metric as PrometheusFamily
from prometheus_client.samples import Sample

from seamark.telemetry.families import family
from seamark.telemetry.traffic import OTHER, BoundedLabels, DurationCounts, group_rows

SERIES_MAX = 500  # of (model, version); each is 19 lines of the page
_COLUMNS = ("input_tokens", "output_tokens", "first_token_ns")


@dataclass
class _Generated:
    """One (model, version)."""

    tokens: dict[str, int] = field(default_factory=dict)  # input, output: only what a span told of
    first_token: DurationCounts = field(default_factory=DurationCounts)


class Generative:
    """Tokens by model and version. Not thread-safe: its owner holds a lock."""

    def __init__(self, labels: BoundedLabels) -> None:
        self._labels = labels
        self._seen: dict[tuple[str, str], _Generated] = {}

    def observe(self, spans: pa.Table) -> None:
        """Count the tokens of a SPANS table; synthetic spans and those without tokens are passed over."""
        if all(spans[name].null_count == spans.num_rows for name in _COLUMNS):
            return
        tells = pc.or_(pc.or_(*(pc.is_valid(spans[name]) for name in _COLUMNS[:2])), pc.is_valid(spans[_COLUMNS[2]]))
        rows = spans.select(["model", "version", *_COLUMNS]).filter(pc.and_(tells, pc.invert(spans["synthetic"])))
        if rows.num_rows == 0:
            return
        groups, keys = group_rows(rows, ("model", "version"))
        sizes = np.bincount(groups, minlength=len(keys))
        series = [self._series(key, int(size)) for key, size in zip(keys, sizes, strict=True)]
        for kind in ("input", "output"):
            told, counts = _told(rows[f"{kind}_tokens"])
            added = np.bincount(groups[told], weights=counts[told], minlength=len(keys))
            for index in np.unique(groups[told]):
                tokens = series[index].tokens
                tokens[kind] = tokens.get(kind, 0) + int(added[index])
        timed, nanos = _told(rows["first_token_ns"])
        for index in np.unique(groups[timed]):
            series[index].first_token.add(nanos[timed & (groups == index)] / 1e9)

    def _series(self, key: tuple[str, ...], rows: int) -> _Generated:
        name, version = key
        model = self._labels.model(name, rows)
        labels = (model, self._labels.version(model, version, rows))
        if labels not in self._seen and len(self._seen) >= SERIES_MAX:
            self._labels.folded["series"] += rows
            labels = (OTHER, OTHER)
        return self._seen.setdefault(labels, _Generated())

    def families(self) -> Iterator[PrometheusFamily]:
        """Yield the two families; those of which nothing was seen are empty."""
        tokens, first = family("seamark_gen_ai_tokens_total"), family("seamark_gen_ai_time_to_first_token_seconds")
        for (model, version), seen in self._seen.items():
            labels = {"model": model, "version": version}
            for kind, count in seen.tokens.items():
                tokens.samples.append(Sample("seamark_gen_ai_tokens_total", labels | {"type": kind}, float(count)))
            if seen.first_token.counts.any():
                first.samples += seen.first_token.samples("seamark_gen_ai_time_to_first_token_seconds", labels)
        yield from (tokens, first)


def _told(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """Return where the column has a value, and its values (0 where it has none)."""
    return np.asarray(column.is_valid()), np.asarray(pc.fill_null(column, 0), dtype=np.float64)
