"""Made-up drift over time, distributions and performance over time, in every state that the pages must show."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
from sample_facts import AT, HOSTILE, ago

from seamark.compute import distribution
from seamark.core.distributions import Distribution, Level, OtherLevels, Side
from seamark.core.drift_history import DriftColumn
from seamark.core.errors import NotFound
from seamark.core.findings import DriftFinding, DriftState, FeatureDrift
from seamark.core.performance import Performance, PerformanceMetric
from seamark.core.windows import Window
from seamark.engine.distributions import Explained
from seamark.engine.performance_history import PerformanceStep

BLANK = "\u200b"
OUTAGE = (9, 10)  # windows back that nobody judged


def drift_history(model: str, newest: DriftFinding, scene: str) -> list[DriftColumn]:
    """Twenty-four whole hours and the newest: an outage, a night with too few rows, a drift that grows."""
    columns = []
    more = _more(1_000 if scene == "hostile" else 3)
    features = [*newest.features, *more]
    for back in range(24, 0, -1):
        window = Window.trailing(AT.replace(minute=0) - timedelta(hours=back - 1), 3600)
        judged = tuple(_then(one, back, place) for place, one in enumerate(features))
        found = None if back in OUTAGE else DriftFinding(model, None, window, judged, "r1")
        columns.append(DriftColumn(window, found))
    latest = replace(newest, features=(*newest.features, *more[:3]))
    return [*columns, DriftColumn(newest.window, latest, newest=True)]


def _more(count: int) -> list[FeatureDrift]:
    names = ["(all features)", "embedding", "comment", BLANK, "a/b", "..", "\u202eevil"]
    kinds = ["multivariate", "vector", "text"]
    return [
        FeatureDrift(
            names[n] if n < len(names) else f"feature_{n}",
            kinds[n] if n < len(kinds) else "numeric",
            "domain_classifier" if n < len(kinds) else "ks",
            DriftState.NO_DRIFT,
            3412,
            10_000,
            0.02 + n % 7 * 0.012,
            0.11,
            0.4,
        )
        for n in range(count)
    ]


def _then(one: FeatureDrift, back: int, place: int) -> FeatureDrift:
    """A feature some windows ago: what drifts now began to a while back, and at night there are too few rows."""
    if 15 <= back <= 17 or one.state == DriftState.TOO_FEW_ROWS:
        return replace(one, state=DriftState.TOO_FEW_ROWS, rows=41, score=None, threshold=None, p_value=None)
    if place == 5 and back > 20:
        return replace(one, state=DriftState.NOT_IN_WINDOW, rows=0, score=None, threshold=None, p_value=None)
    strength = max(0.0, 1 - back / (8 + place)) if one.state == DriftState.DRIFT else 0.0
    wave = 0.05 + 0.02 * math.sin(back * 1.7 + place) + (one.score or 0.0) * strength
    state = DriftState.DRIFT if wave > 0.11 else DriftState.NO_DRIFT
    if one.state == DriftState.CERTAIN_SMALL and back % 5 == 0:
        state = DriftState.CERTAIN_SMALL
    return replace(one, state=state, score=wave, threshold=0.11, p_value=1e-6 if wave > 0.11 else 0.2)


def explained(model: str, feature: str, version: str | None, window: Window) -> Explained:
    """A number that moved, a text with new levels, a state of too little, or a finding over several columns."""
    if feature == "nope":
        raise NotFound(f"{model} has no feature {feature!r} in the window that ends at {window.end.isoformat()}")
    texts = feature in ("region", HOSTILE)
    whole = feature in ("(all features)", "embedding")
    few = feature == "card_brand"
    kind = "categorical" if texts else "multivariate" if whole else "numeric"
    state = DriftState.TOO_FEW_ROWS if few else DriftState.DRIFT
    decision = FeatureDrift(
        feature,
        kind,
        "chi_square" if texts else "domain_classifier" if whole else "wasserstein_normed",
        state,
        41 if few else 3_412,
        10_000,
        *((None, None, None) if few else (0.41, 0.11, 1e-9)),
    )
    about = (model, version, feature, kind, window, "r1")
    shown = Distribution(*about, current=Side(decision.rows, decision.rows), reference=Side(10_000, 10_000))
    if texts:
        shown = _texts(shown)
    elif not whole:
        shown = _numbers(shown, 41 if few else 3_300)
    earlier, later = window.start, window.end + timedelta(seconds=window.span_s)
    return Explained(
        decision=decision,
        distribution=shown,
        judged_at=None if version else window.end,
        reference_created_at=ago(86_400 * 9),
        reference_lost=False,
        before=Window.trailing(earlier, window.span_s),
        after=Window.trailing(later, window.span_s) if later <= AT else None,
    )


def _numbers(shown: Distribution, rows: int) -> Distribution:
    rng = np.random.default_rng(7)
    before, now = rng.lognormal(3.4, 0.35, 10_000), np.append(rng.lognormal(3.7, 0.4, rows - 1), 40_000.0)
    return replace(
        shown,
        current=Side(rows + 112, rows, distribution.quantiles(now)),
        reference=Side(10_000, 10_000, distribution.quantiles(before)),
        bins=distribution.bins(before, now),
    )


def _texts(shown: Distribution) -> Distribution:
    levels = (
        Level("north", 1204, 4100, new=False),
        Level("south", 611, 3050, new=False),
        Level("<img src=x onerror=alert(2)>", 580, 0, new=True),
        Level("", 402, 1200, new=False),
        Level(BLANK, 201, 0, new=True),
        Level("x" * 200, 100, 640, new=False),
        Level("\u202egnihton", 44, 610, new=False),
        Level("gone", 0, 400, new=False),
    )
    return replace(
        shown,
        current=Side(3_412, 3_400),
        reference=Side(10_000, 10_000),
        levels=levels,
        other_levels=OtherLevels(214, 31, 258, 90, 0),
    )


def performance_history(model: str) -> list[PerformanceStep]:
    """Twenty-four hours: `fraud-score` has estimates alone, `pricing` labels alone, `night-batch` neither."""
    steps = []
    for back in range(24, 0, -1):
        end = AT.replace(minute=0) - timedelta(hours=back - 1)
        steps.append(_step(model, Window.trailing(end, 3600), back, end))
    return steps


def _step(model: str, window: Window, back: int, end: datetime) -> PerformanceStep:
    quiet, labelled = back in (17, 18), model not in ("fraud-score", "night-batch") and back > 4
    accuracy = 0.91 + 0.012 * math.sin(back / 2.5) - (0.06 if back < 9 else 0.0)
    wide = 0.012 if back > 6 else 0.03
    covered = 0 if quiet or not labelled else 1_000 if back > 7 else 400 * (back - 4) // 3
    metrics = {
        "accuracy": PerformanceMetric(accuracy, accuracy - wide, accuracy + wide),
        "macro_f1": PerformanceMetric(accuracy - 0.05, accuracy - 0.05 - wide * 1.4, accuracy - 0.05 + wide * 1.4),
    }
    measured = Performance(
        window,
        0 if quiet else 1_000,
        covered,
        metrics if covered else {},
        (1200.0 + 300 * math.sin(back)) if covered else None,
        ago(3600 * 7.5) if covered else None,
        "classification" if covered else None,
    )
    expected = {"accuracy": PerformanceMetric(accuracy + 0.006, accuracy - 0.014, accuracy + 0.026)}
    estimated = {} if quiet or model in ("pricing", "night-batch") else expected
    return PerformanceStep(window, measured, estimated)
