"""Findings -> what the overview and the alert page show: words, tones and places, nothing left to work out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import quote, urlsplit

from seamark.core.advice import Recommendation
from seamark.core.findings import Alert, AlertStatus, Capacity, DriftFinding, DriftState, ModelOverview, SloStatus
from seamark.core.windows import format_duration
from seamark.web.load_line import LoadLine, load_line
from seamark.web.page_words import Moment, known, listed, moment, number, plural, rate, span, whole_percent

RESOLVED_SHOWN_S = 24 * 3600.0
LINKS_SHOWN = 8


@dataclass(frozen=True)
class Chip:
    """A state in a word. `tone` (good, warn, bad, quiet) picks colour and icon, so that neither stands alone."""

    tone: str
    text: str


@dataclass(frozen=True)
class Tile:
    """One figure with its label. `value` None shows as unknown, with `words` saying why."""

    label: str
    value: str | None
    words: str
    tone: str
    before: str | None = None  # drawn small before the value: `2 →`
    state: str | None = None  # a word that must be seen with the value: `hold`, `over`
    url: str | None = None  # of the page that says more


@dataclass(frozen=True)
class ModelCard:
    """One model on the overview."""

    name: str
    url: str
    chip: Chip
    heard: Moment | None
    versions: str
    line: LoadLine
    tiles: tuple[Tile, ...]
    alerts: Chip | None


@dataclass(frozen=True)
class OverviewPage:
    """The whole overview. `summary` is one line about all models, `alarm` the part of it that must be seen."""

    cards: tuple[ModelCard, ...]
    summary: str
    alarm: str | None
    firing: int


def overview_page(models: Sequence[ModelOverview]) -> OverviewPage:
    """Return the overview of all models, in the order given."""
    firing = sum(_count(model.alerts, AlertStatus.FIRING) for model in models)
    parts = [plural(len(models), "model")]
    for liveness, words in (("live", "live"), ("stale", "silent"), ("unknown", "never heard of")):
        count = sum(model.liveness == liveness for model in models)
        parts += [f"{count} {words}"] if count else []
    alarm = plural(firing, "alert") + " firing" if firing else None
    parts += [] if alarm else ["no alert firing"]
    return OverviewPage(tuple(model_card(model) for model in models), " · ".join(parts), alarm, firing)


def model_card(seen: ModelOverview) -> ModelCard:
    """Return one model's card."""
    return ModelCard(
        name=seen.model,
        url=model_url(seen.model),
        chip=_liveness(seen.liveness),
        heard=moment(seen.last_seen_at, seen.at),
        versions=listed([version.version or "no version" for version in seen.versions]),
        line=load_line(seen),
        tiles=(
            replicas_tile(seen.recommendation),
            replace(headroom_tile(seen.recommendation, seen.capacity), url=f"{model_url(seen.model)}/headroom"),
            budget_tile(seen.slo),
            drift_tile(seen.drift),
        ),
        alerts=_alerts_chip(seen.alerts),
    )


def model_url(model: str) -> str:
    """The path of a model's page; any name is one path segment."""
    return f"/models/{quote(model, safe='')}"


def _liveness(liveness: str) -> Chip:
    known_states = {"live": Chip("good", "Live"), "stale": Chip("warn", "Silent")}
    return known_states.get(liveness, Chip("quiet", "Never heard of"))


def _alerts_chip(alerts: Iterable[Alert]) -> Chip | None:
    held = list(alerts)
    firing, pending = _count(held, AlertStatus.FIRING), _count(held, AlertStatus.PENDING)
    if firing:
        return Chip("bad", plural(firing, "alert") + " firing")
    return Chip("warn", plural(pending, "alert") + " pending") if pending else None


def _count(alerts: Iterable[Alert], status: AlertStatus) -> int:
    return sum(alert.state.status == status for alert in alerts)


def replicas_tile(advice: Recommendation | None) -> Tile:
    """The recommended replicas, big, with what runs now before it."""
    if advice is None:
        return Tile("Replicas", None, "no recommendation yet", "quiet")
    now = None if advice.current is None else f"{advice.current}"
    if advice.state == "hold" or advice.replicas is None:
        kept = advice.replicas if advice.replicas is not None else advice.current  # within the bounds, and what starts
        now = None if kept is None else f"{kept}"
        held = "keep what runs" if kept is None else f"keep {plural(kept, 'replica')}"
        return Tile("Replicas", now, f"{held}: the advice is on hold", "warn", state="hold")
    if now is None:
        return Tile("Replicas", f"{advice.replicas}", "recommended; how many run is unknown", "quiet")
    if advice.replicas == advice.current:
        return Tile("Replicas", now, "enough: keep them", "good")
    more = advice.replicas > (advice.current or 0)
    words = "scale out" if more else "can scale in"
    return Tile("Replicas", f"{advice.replicas}", words, "warn" if more else "good", before=f"{now} →")


def headroom_tile(advice: Recommendation | None, capacity: Capacity | None = None) -> Tile:
    """How much of the tested capacity is free now."""
    ratio = known(advice.headroom_ratio) if advice else None
    if ratio is None:
        return Tile("Headroom", None, _no_headroom(advice, capacity), "quiet")
    if ratio < 0:
        return Tile("Headroom", whole_percent(ratio), "over the tested capacity", "bad", state="over")
    words = "free of the tested capacity"
    return Tile("Headroom", whole_percent(ratio), words, "warn" if ratio < 0.15 else "good")


def _no_headroom(advice: Recommendation | None, capacity: Capacity | None) -> str:
    """Why the headroom is unknown."""
    if capacity is None and (advice is None or advice.capacity_rps is None):
        return "capacity not tested"
    if advice is None:
        return "no replica advice yet"
    if advice.capacity_rps is None:
        return "no advice since the capacity was tested"
    if advice.current is None:
        return "how many replicas run is unknown"
    return "live load unknown"


def budget_tile(objectives: Sequence[SloStatus]) -> Tile:
    """The error budget that is left of the objective with least."""
    if not objectives:
        return Tile("Error budget", None, "no objective set", "quiet")
    measured = [status for status in objectives if known(status.budget_remaining_ratio) is not None]
    if not measured:
        return Tile("Error budget", None, "no requests counted yet", "quiet")
    worst = min(measured, key=lambda status: known(status.budget_remaining_ratio) or 0.0)
    left = known(worst.budget_remaining_ratio) or 0.0
    value = whole_percent(max(left, 0.0))
    over = format_duration(worst.over_s)
    if left <= 0:
        return Tile("Error budget", value, f"{worst.kind}, {over}: spent", "bad", state="spent")
    burning = [burn for status in objectives for burn in status.burn_rates if burn.exceeded]
    if burning:
        page = any(burn.severity == "page" for burn in burning)
        return Tile("Error budget", value, f"{worst.kind}, {over}: burning too fast", "bad" if page else "warn")
    return Tile("Error budget", value, f"{worst.kind}, left of {over}", "good" if left > 0.2 else "warn")


def drift_tile(finding: DriftFinding | None) -> Tile:
    """How many features drifted; too little to judge is not "none"."""
    if finding is None or not finding.features:
        return Tile("Drift", None, "not watched yet" if finding is None else "no features seen", "quiet")
    judged = sum(feature.drifted is not None for feature in finding.features)
    if not judged:
        return Tile("Drift", None, drift_unknown_words(finding), "quiet")
    moved = [feature.feature for feature in finding.features if feature.drifted]
    of = f"of {plural(judged, 'feature')}"
    if moved:
        return Tile("Drift", f"{len(moved)}", f"{of}: {listed([_short(name) for name in moved], 2)}", "bad")
    left_out = len(finding.features) - judged
    if left_out:
        return Tile("Drift", "0", f"{of}, {left_out} not judged", "warn")
    return Tile("Drift", "0", of, "good")


def drift_unknown_words(finding: DriftFinding) -> str:
    """Why no feature could be judged."""
    states = {feature.state for feature in finding.features}
    if states == {DriftState.NO_REFERENCE}:
        return "no reference to compare with"
    if DriftState.TOO_FEW_ROWS in states:
        return "too few rows to judge"
    return "no feature can be judged"


def _short(name: str, longest: int = 24) -> str:
    return name if len(name) <= longest else name[: longest - 1] + "…"


# --- alerts --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AlertRow:
    """One alert: what it is about, since when, its value and where the evidence lies."""

    name: str
    summary: str
    description: str
    severity: str
    chip: Chip
    labels: tuple[tuple[str, str], ...]
    model: str | None
    model_url: str | None
    since: Moment | None
    lasted: str | None
    value: str | None
    note: str | None
    links: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class AlertsPage:
    """Alerts by where they stand."""

    firing: tuple[AlertRow, ...]
    pending: tuple[AlertRow, ...]
    resolved: tuple[AlertRow, ...]


def alerts_page(alerts: Iterable[Alert], at: datetime) -> AlertsPage:
    """Return firing and pending alerts, and those resolved within a day; pages before tickets, the newest first."""
    by_status: dict[AlertStatus, list[Alert]] = {status: [] for status in AlertStatus}
    for alert in alerts:
        by_status[alert.state.status].append(alert)
    ended = by_status[AlertStatus.RESOLVED] + by_status[AlertStatus.INACTIVE]
    lately = [a for a in ended if a.state.started_at and _age_s(a, at) <= RESOLVED_SHOWN_S]
    return AlertsPage(
        firing=_rows(by_status[AlertStatus.FIRING], at),
        pending=_rows(by_status[AlertStatus.PENDING], at),
        resolved=_rows(lately, at),
    )


def _age_s(alert: Alert, at: datetime) -> float:
    return (at - alert.state.since).total_seconds() if alert.state.since else 0.0


def _rows(alerts: Iterable[Alert], at: datetime) -> tuple[AlertRow, ...]:
    ordered = sorted(alerts, key=lambda alert: (alert.rule.severity != "page", _age_s(alert, at), alert.fingerprint))
    return tuple(alert_row(alert, at) for alert in ordered)


def alert_row(alert: Alert, at: datetime) -> AlertRow:
    """Return one alert's row."""
    state, labels = alert.state, alert.rule.labels
    chips = {
        AlertStatus.FIRING: Chip("bad", "Firing"),
        AlertStatus.PENDING: Chip("warn", "Pending"),
    }
    since = state.since
    if state.status == AlertStatus.FIRING:
        since = state.started_at or state.since
    lasted = None
    if state.status not in chips and state.started_at and state.since:
        lasted = span((state.since - state.started_at).total_seconds())
    unknown = moment(state.unknown_since, at)
    model = labels.get("model")
    return AlertRow(
        name=alert.rule.name,
        summary=alert.annotations.get("summary") or alert.rule.summary,
        description=alert.annotations.get("description", ""),
        severity=alert.rule.severity,
        chip=chips.get(state.status, Chip("good", "Resolved")),
        labels=tuple((k, v) for k, v in labels.items() if k not in ("alertname", "model", "severity")),
        model=model,
        model_url=model_url(model) if model else None,
        since=moment(since, at),
        lasted=lasted,
        value=number(state.value),
        note=f"its input is unknown since {unknown.ago}" if unknown else None,
        links=safe_links(alert.links),
    )


def safe_links(links: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the links that a browser may follow: http, https and paths of this site."""
    return tuple((name, url) for name, url in links.items() if _followable(url))[:LINKS_SHOWN]


def _followable(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if not parts.scheme and not parts.netloc:
        return url.startswith("/") and "\\" not in url
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def capacity_words(seen: ModelOverview) -> str | None:
    """One replica's capacity with its interval: `48 requests/s per replica (95 %: 45 to 52)`."""
    capacity = seen.capacity
    if capacity is None or known(capacity.rps) is None:
        return None
    high = rate(capacity.high)
    interval = f"95 %: {rate(capacity.low)} to {high}" if high else "no failing rate was reached"
    return f"{rate(capacity.rps)} requests/s per replica ({interval})"
