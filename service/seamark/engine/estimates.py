"""References with labels, windows without -> estimated performance; kept estimates, later labels -> how they fared."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from seamark.compute import performance
from seamark.compute.estimate import record
from seamark.compute.estimate import window as estimating
from seamark.compute.estimate.window import Fitted
from seamark.core.performance import (
    Estimate,
    EstimateFared,
    EstimateState,
    PerformanceState,
    ScoredEstimate,
)
from seamark.core.windows import Window
from seamark.engine.services import Services
from seamark.store import labels, outcomes, references
from seamark.store.catalog.references import ReferenceSet
from seamark.store.features import FeatureColumns
from seamark.store.segments import Segments

KEPT, SCORED = "kept_estimate", "scored_estimate"  # kinds of findings
SCORED_MAX = 200  # estimates that are remembered to be scored, and that the record is made of
SCORED_AT_ONCE = 24
COMPLETE = 0.9  # share of labels from which a window counts as known
GIVEN_UP = timedelta(days=14)  # a window as old as that is scored by the labels it has
_FITS = 64
_AGAIN = timedelta(minutes=10)  # a stretch of traffic without labels may have got some


class Fits:
    """What the references last used taught; one that taught nothing is asked again after a while."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._fits: OrderedDict[str, tuple[datetime, Fitted]] = OrderedDict()

    def of(self, services: Services, reference: ReferenceSet, at: datetime) -> Fitted:
        """What a reference taught."""
        with self._lock:
            made_at, fitted = self._fits.get(reference.id, (at, None))
        if fitted is not None and (fitted.state == EstimateState.ESTIMATED or at - made_at < _AGAIN):
            return fitted
        fitted = _fit(services, reference)
        with self._lock:
            self._fits[reference.id] = (at, fitted)
            self._fits.move_to_end(reference.id)
            while len(self._fits) > _FITS:
                self._fits.popitem(last=False)
        return fitted


_fits = Fits()


@dataclass(frozen=True)
class _Rows:
    """Rows of predictions, as compute/estimate takes them."""

    prediction_number: npt.NDArray[np.float64]
    prediction_text: npt.NDArray[Any]
    scores: npt.NDArray[Any]
    label_number: npt.NDArray[np.float64]
    label_text: npt.NDArray[Any]

    @classmethod
    def of(cls, found: pa.Table) -> _Rows:
        """The columns of a table; labels it does not have are missing."""
        names, rows = set(found.column_names), found.num_rows
        number = found["label_number"].to_numpy() if "label_number" in names else np.full(rows, np.nan)
        text = found["label_text"].to_numpy() if "label_text" in names else np.full(rows, None)
        said = [found[name].to_numpy() for name in ("prediction_number", "prediction_text", "scores")]
        return cls(said[0], said[1], said[2], number, text)

    def take(self, chosen: npt.NDArray[np.bool_]) -> _Rows:
        """The chosen rows."""
        return _Rows(
            self.prediction_number[chosen],
            self.prediction_text[chosen],
            self.scores[chosen],
            self.label_number[chosen],
            self.label_text[chosen],
        )


def _fit(services: Services, reference: ReferenceSet) -> Fitted:
    found = references.rows(services.lake, reference.schema, reference.id)
    fitted = estimating.fit(found, _columns(found.features))
    if fitted.state != EstimateState.NO_REFERENCE_LABELS or not {"from", "to"} <= set(reference.source):
        return fitted
    # A stretch of live traffic: its labels may have come after it was made the reference.
    window = Window(*(datetime.fromisoformat(str(reference.source[name])) for name in ("from", "to")))
    schemas = services.catalog.schemas.of(reference.model)
    features, said = outcomes.as_reference(services.lake, schemas, reference.model, reference.version or None, window)
    return estimating.fit(_Rows.of(said), _columns(features))


def estimate(
    services: Services, model: str, version: str | None, windows: Sequence[Window], segments: Segments = ()
) -> list[Estimate]:
    """Return the estimate of each of the windows, which follow each other; one read of the lake for all of them."""
    reference = services.catalog.references.current(model, version)
    if reference is None:
        fitted = Fitted(EstimateState.NO_REFERENCE)
    else:
        fitted = _fits.of(services, reference, services.clock.now())
    whole = Window(windows[0].start, windows[-1].end)
    schemas = services.catalog.schemas.of(model)
    features, said = outcomes.unlabelled(
        services.lake, schemas, model, version, whole, segments, with_features=fitted.with_features
    )
    columns, rows = _columns(features), _Rows.of(said)
    at_us = said["at"].cast(pa.int64()).to_numpy()
    spec = services.configuration.model(model)
    positive = spec.performance.positive if spec else None
    found = []
    for window in windows:
        start_us, end_us = (round(instant.timestamp() * 1e6) for instant in window.bounds)
        inside = (at_us >= start_us) & (at_us < end_us)
        found.append(
            estimating.estimate(
                window,
                fitted,
                rows.take(inside),
                {name: values[inside] for name, values in columns.items()},
                predictions=int(inside.sum()),
                reference_id=reference.id if reference else None,
                positive=positive,
            )
        )
    return found


def _columns(features: FeatureColumns) -> Mapping[str, npt.NDArray[Any]]:
    return {**features.numeric, **features.categorical}


def keep(services: Services, model: str, window: Window, at: datetime) -> None:
    """Estimate a window that is over and keep that, once; score those kept whose labels have come since."""
    last = services.catalog.findings.latest(model, KEPT, Estimate)
    if last is None or last.finding.window.end < window.end:
        (found,) = estimate(services, model, None, [window])
        if found.state == EstimateState.ESTIMATED:
            services.catalog.findings.put(model, KEPT, at, found)
    _score(services, model, at)


def _score(services: Services, model: str, at: datetime) -> None:
    scored = services.catalog.findings.history(model, SCORED, ScoredEstimate, limit=SCORED_MAX)
    done = {one.finding.window.end for one in scored}
    kept = services.catalog.findings.history(model, KEPT, Estimate, limit=SCORED_MAX)
    open_ones = sorted(
        (one.finding for one in kept if one.finding.window.end not in done), key=lambda found: found.window.end
    )
    if not open_ones:
        return
    spec = services.configuration.model(model)
    positive = spec.performance.positive if spec else None
    coverages = labels.coverages(services.lake, model, [found.window for found in open_ones])
    ready = [
        found
        for found, coverage in zip(open_ones, coverages, strict=True)
        if coverage is not None and (coverage >= COMPLETE or (coverage > 0 and at - found.window.end >= GIVEN_UP))
    ]
    for found in ready[:SCORED_AT_ONCE]:
        truth = performance.measure(
            found.window, labels.labelled(services.lake, model, found.window), positive=positive
        )
        if truth.state == PerformanceState.MEASURED:
            services.catalog.findings.put(model, SCORED, at, record.score(found, truth))


def fared(services: Services, model: str) -> dict[str, EstimateFared]:
    """Return how the last estimates fared, by metric; empty where no label has told yet."""
    found = services.catalog.findings.history(model, SCORED, ScoredEstimate, limit=SCORED_MAX)
    return record.fared([one.finding for one in found])
