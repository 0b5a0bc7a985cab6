"""Predictions and the labels that have come -> how right the model is, each figure with its interval and coverage."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from seamark.compute import confusion, probability, regression
from seamark.compute.classes import CLASSES_MAX, Classes, Outcomes, are_classes, encode
from seamark.compute.intervals import wilson
from seamark.core.performance import Performance, PerformanceMetric
from seamark.core.windows import Window

LABELS_MIN = 30  # below this the intervals are not what they say, and no figure is given


class LabelledRows(Protocol):
    """Labelled predictions of a window, arrays aligned: numbers with NaN, text with None; counts are of the whole."""

    @property
    def prediction_number(self) -> npt.NDArray[np.float64]: ...
    @property
    def prediction_text(self) -> npt.NDArray[Any]: ...
    @property
    def label_number(self) -> npt.NDArray[np.float64]: ...
    @property
    def label_text(self) -> npt.NDArray[Any]: ...
    @property
    def scores(self) -> npt.NDArray[Any]: ...
    @property
    def lag_s(self) -> npt.NDArray[np.float64]: ...
    @property
    def predictions(self) -> int: ...
    @property
    def labelled(self) -> int: ...
    @property
    def unlabelled_since(self) -> datetime | None: ...


def measure(window: Window, rows: LabelledRows, *, positive: str | None = None, seed: int = 0) -> Performance:
    """Return the measured performance of a window; without LABELS_MIN usable labels there are no metrics.

    Text on either side, or few distinct whole numbers, make it a classification: accuracy, macro precision, recall and
    F1; with a `positive` class (named, or told by names like 0 and 1) also precision, recall and F1 of it; with scores
    that are probabilities ROC AUC, log loss, Brier score and calibration error. Other numbers make it a regression.
    """
    task: str | None = None
    metrics: dict[str, PerformanceMetric] = {}
    if len(rows.lag_s):
        predicted = Outcomes(rows.prediction_number, rows.prediction_text)
        true = Outcomes(rows.label_number, rows.label_text)
        if are_classes(predicted, true):
            task = "classification"
            metrics = _classification(encode(predicted, true, rows.scores), positive, seed)
        else:
            task = "regression"
            metrics = _regression(predicted.number, true.number)
    return Performance(
        window=window,
        predictions=rows.predictions,
        labelled=rows.labelled,
        metrics=metrics,
        label_lag_p50_s=float(np.median(rows.lag_s)) if len(rows.lag_s) else None,
        known_up_to=_known_up_to(window, rows),
        task=task,
    )


def positive_of(classes: Classes, name: str | None) -> int | None:
    """Return the positive class's number: the named one where it is one of two, else what the names tell."""
    if name is not None and len(classes.levels) == 2:
        return classes.levels.index(name) if name in classes.levels else None
    return classes.positive


def _known_up_to(window: Window, rows: LabelledRows) -> datetime | None:
    if rows.predictions == 0 or rows.labelled == 0:
        return None
    return rows.unlabelled_since if rows.unlabelled_since is not None else window.end


def _classification(classes: Classes, positive: str | None, seed: int) -> dict[str, PerformanceMetric]:
    known = (classes.predicted >= 0) & (classes.true >= 0)
    predicted, true = classes.predicted[known], classes.true[known]
    if len(true) < LABELS_MIN:
        return {}
    if len(classes.levels) > CLASSES_MAX:
        return {"accuracy": wilson(int((predicted == true).sum()), len(true))}
    counted = confusion.count(predicted, true, len(classes.levels))
    metrics = dict(confusion.measured(counted, positive_of(classes, positive)))
    if classes.probabilities is not None and len(classes.levels) > 1:
        scored = (classes.true >= 0) & ~np.isnan(classes.probabilities[:, 0])
        if int(scored.sum()) >= LABELS_MIN:
            metrics |= probability.measured(classes.probabilities[scored], classes.true[scored], seed=seed)
    return metrics


def _regression(predicted: npt.NDArray[np.float64], true: npt.NDArray[np.float64]) -> dict[str, PerformanceMetric]:
    known = np.isfinite(predicted) & np.isfinite(true)
    return regression.measured(predicted, true) if int(known.sum()) >= LABELS_MIN else {}
