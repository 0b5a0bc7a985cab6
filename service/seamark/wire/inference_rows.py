"""Values that a model server was sent, or answered, become the features and the outcome of one row each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from seamark.wire.prediction_record import FEATURES_MAX, SCORES_MAX, name_fault

Scalar = float | int | str | bool | None

SUM_TOLERANCE = 0.01  # of a thousand probabilities in half precision


@dataclass
class Inputs:
    """Features by name, row by row; `cut` counts the features a prediction record does not take."""

    rows: list[dict[str, Scalar]] = field(default_factory=list)
    cut: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was predicted for one row: a value, scores by class, either or both unknown."""

    value: Scalar = None
    scores: dict[str, float] | None = None


UNKNOWN = Outcome()


@dataclass
class Outcomes:
    """An outcome for each row; `cut` counts those that a prediction record does not take, unknown here."""

    rows: list[Outcome] = field(default_factory=list)
    cut: int = 0


def list_names(given: Sequence[str], width: int) -> list[str]:
    """Return names for `width` features that come without: the given ones, then f and the place, from 0.

    >>> list_names(["age"], 3)
    ['age', 'f1', 'f2']
    """
    return [*given[:width], *(f"f{place}" for place in range(len(given), width))]


def take_features(named: Mapping[Any, Any], into: Inputs) -> None:
    """Add a row of these features: numbers, strings, booleans, nulls; NaN and the infinities are unknown."""
    row: dict[str, Scalar] = {}
    for name, value in named.items():
        if len(row) < FEATURES_MAX and isinstance(name, str) and not name_fault(name) and is_scalar(value):
            row[name] = None if isinstance(value, float) and not math.isfinite(value) else value
        else:
            into.cut += 1
    into.rows.append(row)


def is_scalar(value: object) -> bool:
    """Whether a value is one that a feature or an outcome can have."""
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) < 2**1023  # what a float can hold
    return value is None or isinstance(value, str | bool | float)


def take_outcome(value: Any, into: Outcomes) -> None:
    """Add a row's outcome: a number, string or boolean, a list of one, scores by class, or an object of both."""
    found = outcome_of(value)
    into.cut += found is None
    into.rows.append(found or UNKNOWN)


def outcome_of(value: Any) -> Outcome | None:
    """Return what one row's answer says; None where a prediction record cannot hold it.

    A list of two or more numbers is taken as scores of classes 0, 1, ...; where they are probabilities (none outside
    0 to 1, sum 1) the class of the highest is the prediction, the first of equals.
    """
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, float) and not math.isfinite(value):
        return UNKNOWN
    if is_scalar(value):
        return Outcome(value)
    if isinstance(value, list):
        scores = _scores(dict(enumerate(value)))
        return None if scores is None else Outcome(_likeliest(list(scores.values())), scores)
    if isinstance(value, dict) and value and value.keys() <= {"prediction", "scores"}:
        return _object(value)
    return None


def _object(value: dict[str, Any]) -> Outcome | None:
    given = value.get("scores")
    scores = _scores(dict(enumerate(given)) if isinstance(given, list) else given)
    if given is not None and scores is None:
        return None
    prediction = value.get("prediction")
    if not is_scalar(prediction):
        return None
    unknown = isinstance(prediction, float) and not math.isfinite(prediction)
    return Outcome(None if unknown else prediction, scores)


def _scores(given: Any) -> dict[str, float] | None:
    """Return finite scores by class; None where they are something else."""
    if not isinstance(given, dict) or not 0 < len(given) <= SCORES_MAX:
        return None
    numbers = (isinstance(score, int | float) and not isinstance(score, bool) for score in given.values())
    if not all(numbers) or not all(map(is_scalar, given.values())):
        return None
    scores = {str(name): float(score) for name, score in given.items()}
    return scores if all(map(math.isfinite, scores.values())) else None


def _likeliest(scores: list[float]) -> int | None:
    probabilities = min(scores) >= 0.0 and max(scores) <= 1.0 and abs(sum(scores) - 1.0) <= SUM_TOLERANCE
    return scores.index(max(scores)) if probabilities else None
