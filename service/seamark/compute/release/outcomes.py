"""Labelled predictions of both versions -> whether the candidate is right less often, or further off."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from seamark.compute.columns import FloatArray, IntArray
from seamark.compute.release.blocks import Evidence
from seamark.compute.release.predictions import CLASSES_MAX
from seamark.compute.release.shares import compare_means, compare_shares

TextArray = npt.NDArray[Any]


def compare_outcomes(
    side: IntArray,
    block: IntArray,
    blocks: int,
    predicted: tuple[FloatArray, TextArray],
    true: tuple[FloatArray, TextArray],
    tolerances: dict[str, float | None],
) -> dict[str, Evidence]:
    """Return the evidence of `accuracy` where labels are classes, of `mae` where they are quantities; arrays by row.

    `predicted` and `true` are numbers with NaN beside texts with None. Text on either side, or few distinct whole
    numbers, make classes, as in compute/performance.py; 1, 1.0, "1" and true are one class.
    """
    if not len(side):
        return {}
    name = "accuracy" if _are_classes(predicted, true) else "mae"
    tolerance = tolerances.get(name)
    if tolerance is None:
        return {}
    if name == "accuracy":
        a, b = _classes(*predicted), _classes(*true)
        known = np.array([one is not None and other is not None for one, other in zip(a, b, strict=True)], dtype=bool)
        hits = (a[known] == b[known]).astype(np.float64)
        return {name: compare_shares(side[known], block[known], blocks, hits, tolerance, lower_is_worse=True)}
    known = np.isfinite(predicted[0]) & np.isfinite(true[0])
    # Halves: no difference of the largest floats overflows. As shares of the largest, so that no sum does.
    errors = np.abs(predicted[0][known] / 2 - true[0][known] / 2)
    unit = float(errors.max(initial=0.0)) or 1.0
    found = compare_means(side[known], block[known], blocks, errors / unit, tolerance)
    return {name: _scaled(found, 2 * unit)}


def _scaled(found: Evidence, unit: float) -> Evidence:
    if found.baseline is None or found.candidate is None:
        return found
    return Evidence(**{**vars(found), "baseline": found.baseline * unit, "candidate": found.candidate * unit})


def _are_classes(predicted: tuple[FloatArray, TextArray], true: tuple[FloatArray, TextArray]) -> bool:
    if any(text is not None for _, texts in (predicted, true) for text in texts.tolist()):
        return True
    numbers = np.concatenate([predicted[0], true[0]])
    numbers = numbers[np.isfinite(numbers)]
    return bool((numbers == np.round(numbers)).all()) and len(np.unique(numbers)) <= CLASSES_MAX


def _classes(numbers: FloatArray, texts: TextArray) -> TextArray:
    """Class names that agree however a sender wrote them; None where there is neither number nor text."""
    seen: dict[tuple[float, str | None], str | float | None] = {}
    found = np.empty(len(numbers), dtype=object)
    for place, (number, text) in enumerate(zip(numbers.tolist(), texts.tolist(), strict=True)):
        key = (number if number == number else 0.0, text) if text is None else (0.0, text)
        if text is None and number != number:
            continue
        if key not in seen:
            seen[key] = _class(number, text)
        found[place] = seen[key]
    return found


def _class(number: float, text: str | None) -> str | float | None:
    if text is None:
        return number if np.isfinite(number) else None
    try:
        written = float({"true": "1", "false": "0"}.get(text.lower(), text))
    except ValueError:
        return text
    return written if np.isfinite(written) else text
