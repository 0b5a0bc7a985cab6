"""The Open Inference Protocol (KServe's second, Triton's, MLServer's) becomes rows: input tensors, output tensors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from seamark.wire.inference_rows import Inputs, Outcome, Outcomes, list_names, outcome_of, take_features
from seamark.wire.inference_tensors import Tensor
from seamark.wire.prediction_record import FEATURES_MAX

# What model servers call the two things a classifier answers: MLServer, scikit-learn over ONNX, KServe's own.
VALUE_NAMES = ("prediction", "predictions", "predict", "label", "labels", "output_label", "class", "classes")
SCORE_NAMES = ("scores", "predict_proba", "probabilities", "probability", "output_probability", "proba")


def read_inputs(tensors: Sequence[Tensor], feature_names: Sequence[str]) -> Inputs:
    """Return the rows of tensors: one value per row is the feature of the tensor's name.

    Of the only tensor several values per row have the names of list_names(); among others they are `name.0`, `name.1`.
    A tensor of more dimensions, or of more than FEATURES_MAX values per row, is cut, once for each row.
    """
    found = Inputs()
    columns: dict[str, Sequence[object]] = {}
    for tensor in tensors:
        if not tensor.flat or tensor.width > FEATURES_MAX:
            found.cut += tensor.rows
            continue
        for place, name in enumerate(_names(tensor, len(tensors) == 1, feature_names)):
            columns[name] = tensor.column(place)
    rows: Iterable[tuple[object, ...]] = zip(*columns.values(), strict=True) if columns else [()] * tensors[0].rows
    for row in rows:
        take_features(dict(zip(columns, row, strict=True)), found)
    return found


def _names(tensor: Tensor, alone: bool, feature_names: Sequence[str]) -> list[str]:
    if alone and (tensor.width > 1 or feature_names):
        return list_names(feature_names, tensor.width)
    return [tensor.name] if tensor.width == 1 else [f"{tensor.name}.{place}" for place in range(tensor.width)]


def read_outputs(tensors: Sequence[Tensor]) -> Outcomes:
    """Return the outcome of each row, by outcome_of().

    Of several tensors one gives the value (by VALUE_NAMES, else the first of one value per row) and one the scores (by
    SCORE_NAMES); the others are cut, once for each row.
    """
    found = Outcomes()
    value, scores = _roles(tensors)
    found.cut += sum(tensor.rows for tensor in tensors if tensor is not value and tensor is not scores)
    for index in range(tensors[0].rows):
        told = outcome_of(value.row(index)) if value is not None else Outcome()
        by_class = outcome_of(scores.row(index)) if scores is not None else Outcome()
        found.cut += (told is None) + (by_class is None)
        told, by_class = told or Outcome(), by_class or Outcome()
        likeliest = by_class.value if value is None else told.value
        found.rows.append(Outcome(likeliest, by_class.scores if scores is not None else told.scores))
    return found


def _roles(tensors: Sequence[Tensor]) -> tuple[Tensor | None, Tensor | None]:
    """Return which tensor gives the value and which the scores."""
    taken = [tensor for tensor in tensors if tensor.flat]
    if len(tensors) == 1:
        return (taken[0] if taken else None), None
    scores = next((tensor for tensor in taken if tensor.width > 1 and tensor.name in SCORE_NAMES), None)
    single = [tensor for tensor in taken if tensor.width == 1]
    named = (tensor for tensor in single if tensor.name in VALUE_NAMES)
    return next(named, single[0] if single else None), scores
