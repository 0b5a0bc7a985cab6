"""Which predictions are asked for - model, version, windows, segments - becomes a condition whose values are bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from seamark.core.windows import Window
from seamark.store.lake import Lake, Within
from seamark.store.segments import Segments, segment_condition


@dataclass(frozen=True)
class Chosen:
    """SQL from FROM on, its parameters, and the time outside of which no row is meant."""

    where: str
    parameters: dict[str, Any]
    within: Within

    def bounded(self, lake: Lake, rows_max: int) -> Chosen:
        """Return the same; of more than `rows_max` rows about so many, by the hash of their prediction_id."""
        total = int(
            lake.query(f"SELECT count(*) AS n {self.where}", self.parameters, within=self.within)["n"][0].as_py()
        )
        if total <= rows_max:
            return self
        parameters = {**self.parameters, "hashes_end": 2**64 * rows_max // total}
        return Chosen(f"{self.where} AND hash(prediction_id) < $hashes_end", parameters, self.within)


def chosen(model: str, version: str | None, windows: Sequence[Window], segments: Segments = ()) -> Chosen:
    """Return the real (not synthetic) predictions of any of the windows, of one version or of all (None)."""
    condition, parameters = segment_condition(segments)
    spans = " OR ".join(f'("at" >= $start_{i} AND "at" < $end_{i})' for i in range(len(windows)))
    where = f"FROM lake.predictions WHERE model = $model AND ({spans}) AND NOT synthetic"
    for index, window in enumerate(windows):
        parameters |= {f"start_{index}": window.start, f"end_{index}": window.end}
    if version is not None:
        where += " AND version = $version"
        parameters["version"] = version
    if segments:
        where += f" AND {condition}"
    hull = Window(min(window.start for window in windows), max(window.end for window in windows))
    return Chosen(where, parameters | {"model": model}, hull.bounds)
