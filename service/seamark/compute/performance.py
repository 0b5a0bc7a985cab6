"""Predictions and the labels that have come -> accuracy or error, each with its interval and its coverage."""

from __future__ import annotations

from datetime import datetime
from math import sqrt
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from seamark.core.findings import Performance, PerformanceMetric
from seamark.core.windows import Window

CLASSES_MAX = 50  # more distinct whole numbers than this are a quantity, not classes
Z_95 = 1.959963984540054
RESAMPLES = 400
_ERROR_MAX = 1e300


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
    def lag_s(self) -> npt.NDArray[np.float64]: ...
    @property
    def predictions(self) -> int: ...
    @property
    def labelled(self) -> int: ...
    @property
    def unlabelled_since(self) -> datetime | None: ...


def measure(window: Window, rows: LabelledRows, *, seed: int = 0) -> Performance:
    """Return the measured performance of a window. Without a label there are no metrics and no task.

    Text on either side, or few distinct whole numbers, make it a classification: accuracy (Wilson's interval, 1927)
    and macro F1. Other numbers make it a regression: RMSE and MAE. Intervals without a closed form are percentile
    bootstraps (Efron and Tibshirani, 1993) with RESAMPLES seeded resamples.
    """
    task: str | None = None
    metrics: dict[str, PerformanceMetric] = {}
    if len(rows.lag_s):
        classes = _classes(rows)
        if classes is not None:
            task, metrics = "classification", _classification(*classes, seed)
        else:
            task, metrics = "regression", _regression(rows.prediction_number, rows.label_number, seed)
    return Performance(
        window=window,
        predictions=rows.predictions,
        labelled=rows.labelled,
        metrics=metrics,
        label_lag_p50_s=float(np.median(rows.lag_s)) if len(rows.lag_s) else None,
        known_up_to=_known_up_to(window, rows),
        task=task,
    )


def _known_up_to(window: Window, rows: LabelledRows) -> datetime | None:
    if rows.predictions == 0 or rows.labelled == 0:
        return None
    return rows.unlabelled_since if rows.unlabelled_since is not None else window.end


def _classes(rows: LabelledRows) -> tuple[npt.NDArray[Any], npt.NDArray[Any]] | None:
    """Both sides as class names, or None where they are quantities."""
    text = any(value is not None for value in rows.prediction_text) or any(v is not None for v in rows.label_text)
    if not text:
        numbers = np.concatenate([rows.prediction_number, rows.label_number])
        numbers = numbers[np.isfinite(numbers)]
        if (numbers != np.round(numbers)).any() or len(np.unique(numbers)) > CLASSES_MAX:
            return None
    predicted = _names(rows.prediction_number, rows.prediction_text)
    true = _names(rows.label_number, rows.label_text)
    known = np.array([a is not None and b is not None for a, b in zip(predicted, true, strict=True)], dtype=bool)
    return predicted[known], true[known]


def _names(numbers: npt.NDArray[np.float64], texts: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Class names that agree however a sender wrote them: 1, 1.0, "1" and true are one class."""
    return np.array([_name(n, t) for n, t in zip(numbers.tolist(), texts.tolist(), strict=True)], dtype=object)


def _name(number: float, text: str | None) -> str | None:
    if text is not None:
        lowered = {"true": "1", "false": "0"}.get(text.lower(), text)
        try:
            number = float(lowered)
        except ValueError:
            return text
    if not np.isfinite(number):
        return text
    return str(int(number)) if number == int(number) else repr(number)


def _classification(predicted: npt.NDArray[Any], true: npt.NDArray[Any], seed: int) -> dict[str, PerformanceMetric]:
    if not len(true):
        return {}
    # Python's texts, not NumPy's: those take the longest one's memory for each, and drop a NUL at the end.
    levels: dict[str, int] = {}
    a, b = (np.array([levels.setdefault(name, len(levels)) for name in side.tolist()]) for side in (predicted, true))
    metrics = {"accuracy": wilson(int((a == b).sum()), len(a))}
    if len(levels) <= CLASSES_MAX:
        metrics["macro_f1"] = _bootstrap(lambda rows: _macro_f1(a[rows], b[rows], len(levels)), len(a), seed)
    return metrics


def _regression(
    predicted: npt.NDArray[np.float64], true: npt.NDArray[np.float64], seed: int
) -> dict[str, PerformanceMetric]:
    known = np.isfinite(predicted) & np.isfinite(true)
    # Halves, and shares of the largest error: neither a difference nor a square of the largest floats overflows.
    halves = np.abs(predicted[known] / 2 - true[known] / 2)
    if not len(halves):
        return {}
    unit = min(float(halves.max()) or 1.0, _ERROR_MAX)
    errors = np.minimum(halves, _ERROR_MAX) / unit
    squares = errors**2
    return {
        "rmse": _scaled(_bootstrap(lambda rows: sqrt(float(squares[rows].mean())), len(errors), seed), 2 * unit),
        "mae": _scaled(_bootstrap(lambda rows: float(errors[rows].mean()), len(errors), seed), 2 * unit),
    }


def _scaled(metric: PerformanceMetric, unit: float) -> PerformanceMetric:
    return PerformanceMetric(metric.value * unit, metric.low * unit, metric.high * unit)


def wilson(successes: int, trials: int) -> PerformanceMetric:
    """Return a share with Wilson's 95 % interval.

    >>> wilson(9, 10).value, round(wilson(9, 10).low, 3), round(wilson(9, 10).high, 3)
    (0.9, 0.596, 0.982)
    """
    share, z2 = successes / trials, Z_95**2
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z_95 * sqrt(share * (1 - share) / trials + z2 / (4 * trials**2)) / (1 + z2 / trials)
    return PerformanceMetric(share, max(middle - half, 0.0), min(middle + half, 1.0))


def _macro_f1(predicted: npt.NDArray[Any], true: npt.NDArray[Any], levels: int) -> float:
    """The mean F1 over the classes that occur on either side."""
    confusion = np.bincount(true * levels + predicted, minlength=levels * levels).reshape(levels, levels)
    hits = np.diag(confusion)
    total = confusion.sum(axis=0) + confusion.sum(axis=1)
    present = total > 0
    return float((2 * hits[present] / total[present]).mean())


def _bootstrap(statistic: Any, rows: int, seed: int) -> PerformanceMetric:
    rng = np.random.default_rng(seed)
    everything = np.arange(rows)
    draws = [statistic(rng.integers(0, rows, min(rows, 5_000))) for _ in range(RESAMPLES if rows <= 20_000 else 100)]
    low, high = np.quantile(draws, (0.025, 0.975))
    value = statistic(everything)
    if rows > 5_000:  # a resample of fewer rows spreads wider by the root of the ratio
        shrink = sqrt(5_000 / rows)
        low, high = value - (value - low) * shrink, value + (high - value) * shrink
    return PerformanceMetric(float(value), float(min(low, value)), float(max(high, value)))
