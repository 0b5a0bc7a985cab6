"""A labelled reference -> what it teaches; that and a window without labels -> an estimate, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from seamark.compute.classes import CLASSES_MAX, Outcomes, are_classes, encode
from seamark.compute.estimate import cbpe, dle
from seamark.compute.performance import positive_of
from seamark.core.performance import Estimate, EstimateState, PerformanceMetric
from seamark.core.windows import Window

ROWS_MIN = 30  # in a window
REFERENCE_ROWS_MIN = 300  # with labels
FIT_ROWS_MAX = 100_000

Columns = Mapping[str, npt.NDArray[Any]]


class PredictedRows(Protocol):
    """Predictions, arrays aligned: numbers with NaN, text with None; scores are JSON objects or None."""

    @property
    def prediction_number(self) -> npt.NDArray[np.float64]: ...
    @property
    def prediction_text(self) -> npt.NDArray[Any]: ...
    @property
    def scores(self) -> npt.NDArray[Any]: ...


class ReferenceRows(PredictedRows, Protocol):
    """Predictions with what was true of them."""

    @property
    def label_number(self) -> npt.NDArray[np.float64]: ...
    @property
    def label_text(self) -> npt.NDArray[Any]: ...


@dataclass(frozen=True)
class Fitted:
    """What a reference taught: a fit, or the state that says why there is none."""

    state: EstimateState
    task: str | None = None
    classifier: cbpe.ClassifierFit | None = None
    regressor: dle.RegressorFit | None = None

    @property
    def method(self) -> str | None:
        """The name of the method."""
        return "cbpe" if self.classifier else "dle" if self.regressor else None

    @property
    def with_features(self) -> bool:
        """Whether an estimate needs the features of its rows."""
        return self.regressor is not None or (self.classifier is not None and self.classifier.with_features)

    @property
    def rows(self) -> int:
        """Labelled rows of the reference that it rests on."""
        fit = self.classifier or self.regressor
        return fit.rows if fit else 0


def fit(reference: ReferenceRows, features: Columns, *, seed: int = 0) -> Fitted:
    """Learn from a reference with labels; of more than FIT_ROWS_MAX labelled rows from an even share.

    `features` are columns aligned with the rows. Classes need scores; quantities need predictions.
    """
    labelled = np.isfinite(reference.label_number) | np.array(
        [text is not None for text in reference.label_text.tolist()], dtype=bool
    )
    if not labelled.any():
        return Fitted(EstimateState.NO_REFERENCE_LABELS)
    chosen = np.flatnonzero(labelled)
    chosen = chosen[:: -(-len(chosen) // FIT_ROWS_MAX)]
    predicted = Outcomes(reference.prediction_number[chosen], reference.prediction_text[chosen])
    true = Outcomes(reference.label_number[chosen], reference.label_text[chosen])
    if are_classes(predicted, true):
        columns = {name: values[chosen] for name, values in features.items()}
        return _fit_classifier(predicted, true, reference.scores[chosen], columns, seed)
    known = np.isfinite(predicted.number) & np.isfinite(true.number)
    task = "regression"
    if int(known.sum()) < REFERENCE_ROWS_MIN:
        return Fitted(EstimateState.TOO_FEW_REFERENCE_LABELS, task)
    columns = {name: values[chosen][known] for name, values in features.items()}
    return Fitted(
        EstimateState.ESTIMATED, task, regressor=dle.fit(columns, predicted.number[known], true.number[known])
    )


def _fit_classifier(
    predicted: Outcomes, true: Outcomes, scores: npt.NDArray[Any], columns: Columns, seed: int
) -> Fitted:
    task = "classification"
    classes = encode(predicted, true, scores)
    if classes.probabilities is None:
        return Fitted(EstimateState.NO_SCORES, task)
    scored = ~np.isnan(classes.probabilities[:, 0]) & (classes.true >= 0)
    came = classes.true[scored]
    if len(came) < REFERENCE_ROWS_MIN or len(np.unique(came)) < 2 or len(classes.levels) > CLASSES_MAX:
        return Fitted(EstimateState.TOO_FEW_REFERENCE_LABELS, task)
    told = {name: values[scored] for name, values in columns.items()}
    fitted = cbpe.fit(classes.levels, classes.probabilities[scored], came, told, seed=seed)
    return Fitted(EstimateState.ESTIMATED, task, classifier=fitted)


def estimate(
    window: Window,
    fitted: Fitted,
    rows: PredictedRows,
    features: Columns,
    *,
    predictions: int,
    reference_id: str | None,
    positive: str | None = None,
) -> Estimate:
    """Return the estimate of a window. `predictions` counts all of it, also where the rows are a sample."""

    def found(state: EstimateState, used: int = 0, metrics: Mapping[str, PerformanceMetric] | None = None) -> Estimate:
        return Estimate(
            window=window,
            state=state,
            predictions=predictions,
            rows=used,
            metrics=metrics or {},
            task=fitted.task,
            method=fitted.method,
            reference_id=reference_id,
            reference_rows=fitted.rows,
        )

    if not predictions:
        return found(EstimateState.NO_PREDICTIONS)
    if fitted.state != EstimateState.ESTIMATED:
        return found(fitted.state)
    if fitted.classifier is not None:
        return _of_classes(found, fitted.classifier, rows, features, positive)
    assert fitted.regressor is not None
    known = np.isfinite(rows.prediction_number)
    if int(known.sum()) < ROWS_MIN:
        return found(EstimateState.TOO_FEW_ROWS, int(known.sum()))
    columns = {name: values[known] for name, values in features.items()}
    metrics = dle.estimate(fitted.regressor, columns, rows.prediction_number[known])
    return found(EstimateState.ESTIMATED, int(known.sum()), metrics)


def _of_classes(
    found: Any, fitted: cbpe.ClassifierFit, rows: PredictedRows, features: Columns, positive: str | None
) -> Estimate:
    nothing = Outcomes(np.empty(0), np.empty(0, dtype=object))
    predicted = Outcomes(rows.prediction_number, rows.prediction_text)
    classes = encode(predicted, nothing, rows.scores, levels=fitted.levels)
    if classes.probabilities is None:
        few = len(rows.prediction_number) < ROWS_MIN
        return found(EstimateState.TOO_FEW_ROWS if few else EstimateState.NO_SCORES)  # type: ignore[no-any-return]
    usable = ~np.isnan(classes.probabilities[:, 0]) & (classes.predicted >= 0)
    used = int(usable.sum())
    if used < ROWS_MIN:
        return found(EstimateState.TOO_FEW_ROWS, used)  # type: ignore[no-any-return]
    columns = {name: values[usable] for name, values in features.items()}
    metrics = cbpe.estimate(
        fitted, classes.predicted[usable], classes.probabilities[usable], positive_of(classes, positive), columns
    )
    return found(EstimateState.ESTIMATED, used, metrics)  # type: ignore[no-any-return]
