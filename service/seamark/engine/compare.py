"""Two versions of a model in one window -> which is worse in what, and whether the newer may be promoted."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

from seamark.compute.release.blocks import Evidence
from seamark.compute.release.judge import judge
from seamark.compute.release.latency import RequestCounts, compare_requests, without_warmup
from seamark.compute.release.outcomes import compare_outcomes
from seamark.compute.release.predictions import compare_predictions
from seamark.compute.release.quality import compare_features
from seamark.core.errors import Invalid, NotFound, Problem
from seamark.core.release import MEASURES, ReleaseFinding, ReleaseSpec
from seamark.core.windows import Window
from seamark.engine.services import Services
from seamark.store import comparisons

BLOCKS = 120
FEATURES_MAX = 200

_Found = dict[str, Mapping[str | None, Evidence]]


def compare(services: Services, model: str, baseline: str, candidate: str, window: Window) -> ReleaseFinding:
    """Return the candidate against the baseline, by the model's release settings or the defaults.

    Versions without rows are no error: there may be some the next time. Invalid where both are the same version,
    NotFound where nothing was ever heard of the model.
    """
    if baseline == candidate:
        message = f"baseline and candidate are both {baseline[:100]!r}; name two versions"
        raise Invalid(message, [Problem("candidate", message)])
    spec = services.configuration.model(model)
    if spec is None and not services.heard.versions(services.clock.now(), window.start, model):
        raise NotFound(f"nothing is known of {model[:100]!r}; GET /api/v1/models lists what is")
    release = (spec.release if spec else None) or ReleaseSpec()
    versions = (baseline, candidate)
    tolerances = {name: release.tolerance(name) for name in MEASURES}
    # Blocks count whole microseconds, and there are never more than BLOCKS.
    block_us = max(ceil(window.span_s * 1e6 / BLOCKS), 1)
    found: _Found = {}
    if _any(tolerances, "requests"):
        requests = _requests(services, model, versions, window, block_us, release)
        if any(requests.totals()):
            found |= _of_no_feature(compare_requests(requests, tolerances))
    left_out = 0
    if _any(tolerances, "predictions") or _any(tolerances, "labelled predictions"):
        told, left_out = _predictions(services, model, versions, window, block_us, tolerances)
        found |= told
    return judge(model, versions, window, found, release, features_left_out=left_out)


def _of_no_feature(found: Mapping[str, Evidence]) -> _Found:
    return {name: {None: evidence} for name, evidence in found.items()}


def _any(tolerances: Mapping[str, float | None], of: str) -> bool:
    """Whether anything is to be compared of such rows."""
    return any(tolerances[name] is not None for name, measure in MEASURES.items() if measure.of == of)


def _requests(
    services: Services, model: str, versions: tuple[str, str], window: Window, block_us: int, release: ReleaseSpec
) -> RequestCounts:
    bins = comparisons.request_bins(services.lake, model, versions, window, block_us, release.warmup_s)
    counts = RequestCounts(BLOCKS + 1, bins.side, bins.block, bins.bin, bins.count, bins.failed)
    return without_warmup(counts, 1, ceil(release.warmup_s * 1e6 / block_us))


def _predictions(
    services: Services,
    model: str,
    versions: tuple[str, str],
    window: Window,
    block_us: int,
    tolerances: dict[str, float | None],
) -> tuple[_Found, int]:
    """Return the evidence about predictions, their features and their labels, and how many features were left out."""
    schemas = services.catalog.schemas.of(model)
    rows = comparisons.prediction_rows(services.lake, schemas, model, versions, window, block_us)
    found: _Found = {}
    if not len(rows.side):
        return found, 0
    tolerance = tolerances["prediction_distribution"]
    if tolerance is not None:
        told = compare_predictions(rows.side, rows.block, BLOCKS, rows.number, rows.text, tolerance)
        if any(told.rows):
            found["prediction_distribution"] = {None: told}
    names = sorted(rows.columns)[:FEATURES_MAX]
    columns = {name: rows.columns[name] for name in names}
    features = compare_features(rows.side, rows.block, BLOCKS, columns, tolerances)
    found |= features
    if tolerances["accuracy"] is not None or tolerances["mae"] is not None:
        labelled = comparisons.labelled_rows(services.lake, model, versions, window, block_us, rows.total)
        outcomes = compare_outcomes(
            labelled.side,
            labelled.block,
            BLOCKS,
            (labelled.prediction_number, labelled.prediction_text),
            (labelled.label_number, labelled.label_text),
            tolerances,
        )
        found |= _of_no_feature(outcomes)
    return found, len(rows.columns) - len(names)
