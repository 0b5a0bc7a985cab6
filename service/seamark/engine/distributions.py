"""A feature, a window and the reference it was judged against -> how the values of both lie, and the decision."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from seamark.compute import distribution
from seamark.core.distributions import Distribution, Side
from seamark.core.errors import NotFound
from seamark.core.findings import DriftFinding, FeatureDrift
from seamark.core.windows import Window
from seamark.engine import drift, drift_history
from seamark.engine import held as held_against
from seamark.engine.services import Services
from seamark.store import feature_values
from seamark.store.catalog.references import ReferenceSet
from seamark.store.feature_values import Stored, Traffic

NUMBERS = "numeric"
TEXTS = ("categorical", "text")


@dataclass(frozen=True)
class Explained:
    """What was decided of a feature in a window, and the two samples it was decided on.

    `judged_at` is None where nobody had judged the window and it was done for this question. `reference_created_at`
    None: there is no reference, or its rows are gone (`reference_lost`).
    """

    decision: FeatureDrift
    distribution: Distribution
    judged_at: datetime | None
    reference_created_at: datetime | None
    reference_lost: bool
    before: Window
    after: Window | None


def explain(
    services: Services, model: str, version: str | None, window: Window, feature: str, at: datetime
) -> Explained:
    """Return a feature's two distributions and its decision: the kept one, else one made now.

    NotFound where neither the window nor the reference knows the feature.
    """
    finding = drift_history.kept(services, model, version, window)
    judged_at = window.end if finding else None
    finding = finding or drift.judge(services, model, version, window)
    decision = next((one for one in finding.features if one.feature == feature), None)
    if decision is None:
        raise NotFound(
            f"{model[:100]} has no feature {feature[:100]!r} in the window that ends at {window.end.isoformat()}, "
            "nor in its reference"
        )
    reference = services.catalog.references.get(model, finding.reference_id) if finding.reference_id else None
    rolled = _rolled(services, finding) if reference is None else None
    before, after = drift_history.neighbours(services, model, window, at)
    return Explained(
        decision=decision,
        distribution=_distribution(services, finding, decision, _held(reference, decision.feature) or rolled),
        judged_at=judged_at,
        reference_created_at=reference.created_at if reference else None,
        reference_lost=finding.reference_id is not None and reference is None and rolled is None,
        before=before,
        after=after,
    )


def _distribution(
    services: Services, finding: DriftFinding, decision: FeatureDrift, held: Traffic | Stored | None
) -> Distribution:
    schemas = services.catalog.schemas.of(finding.model)
    about = (finding.model, finding.version, decision.feature, decision.kind, finding.window, finding.reference_id)
    current = Traffic(finding.model, finding.version, [finding.window], schemas)
    if decision.kind == NUMBERS:
        now = feature_values.numbers(services.lake, current, decision.feature)
        before = feature_values.numbers(services.lake, held, decision.feature) if held else None
        return Distribution(
            *about,
            current=Side(now.rows, len(now.values), distribution.quantiles(now.values)),
            reference=Side(before.rows, len(before.values), distribution.quantiles(before.values)) if before else None,
            bins=distribution.bins(before.values if before else now.values[:0], now.values),
            sampled=now.sampled,
        )
    if decision.kind not in TEXTS:  # a finding over several columns, which have no common bins
        reference_side = Side(decision.reference_rows, decision.reference_rows) if decision.reference_rows else None
        return Distribution(*about, current=Side(decision.rows, decision.rows), reference=reference_side)
    counted = feature_values.levels(services.lake, current, held, decision.feature)
    return Distribution(
        *about,
        current=Side(counted.rows, counted.present),
        reference=Side(counted.reference_rows, counted.reference_present) if held else None,
        levels=counted.shown,
        other_levels=counted.other,
    )


def _held(reference: ReferenceSet | None, feature: str) -> Stored | None:
    """A reference that was put, where it tells the feature."""
    if reference is None:
        return None
    named = feature in reference.schema.numeric or feature in reference.schema.categorical
    return Stored(reference.id, reference.schema) if named or feature_values.is_answer(feature) else None


def _rolled(services: Services, finding: DriftFinding) -> Traffic | None:
    """The traffic that a reference that rolls was at that time; None where the configuration names another one now."""
    spec = held_against.reference_spec(services, finding.model)
    windows = held_against.before(finding.window, spec) if spec else []
    if spec is None or held_against.named(windows, spec) != finding.reference_id:
        return None
    return Traffic(finding.model, finding.version, windows, services.catalog.schemas.of(finding.model))
