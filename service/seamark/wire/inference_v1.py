"""KServe's first inference protocol becomes rows: {"instances": [...]} features, {"predictions": [...]} outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from seamark.core.errors import InputRefused
from seamark.wire.budget import check_rows
from seamark.wire.inference_rows import Inputs, Outcomes, list_names, take_features, take_outcome
from seamark.wire.prediction_record import FEATURES_MAX
from seamark.wire.values import shown


def read_instances(instances: Any, feature_names: Sequence[str]) -> Inputs:
    """Return a row for each instance: an object's features have its names, a list's those of list_names().

    A list of more than FEATURES_MAX values is one thing that is cut: a picture, not features. InputRefused,
    BodyTooLarge.
    """
    found = Inputs()
    for instance in _rows(instances, "instances"):
        if isinstance(instance, dict):
            take_features(instance, found)
        elif isinstance(instance, list):
            fits = len(instance) <= FEATURES_MAX
            found.cut += not fits
            values = instance if fits else []
            take_features(dict(zip(list_names(feature_names, len(values)), values, strict=True)), found)
        else:
            take_features({list_names(feature_names, 1)[0]: instance}, found)
    return found


def read_predictions(predictions: Any) -> Outcomes:
    """Return the outcome of each row. InputRefused, BodyTooLarge."""
    found = Outcomes()
    for prediction in _rows(predictions, "predictions"):
        take_outcome(prediction, found)
    return found


def _rows(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise InputRefused(f"{name}: {shown(value)} is no list; write one entry for each row")
    check_rows(len(value), name)
    return value
