"""Eight questions to the public API become a table: what happened, and the figure that shows it.

Every figure is asked for anew when the story is over. The story's notes say which run and which instant to ask about.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from xml.etree import ElementTree as ET

import httpx
import yaml
from demo import data
from demo.children import Failed
from demo.story import CAPACITY, MODEL, SMOKE, WINDOW_S, Story

TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Proof:
    """One step of the story: whether it happened, and what shows it."""

    step: str
    happened: bool
    shown: str


class NotSo(Exception):
    """The API does not show it; the message says what it shows instead."""


def prove(story: Story) -> list[Proof]:
    """Ask about every step."""
    return [_ask(step, question, story) for step, question in STEPS]


def _ask(step: str, question: Callable[[Story], str], story: Story) -> Proof:
    try:
        return Proof(step, True, question(story))
    except NotSo as error:
        return Proof(step, False, str(error))
    except (Failed, httpx.HTTPError, KeyError, TypeError, ValueError, IndexError, ET.ParseError) as error:
        return Proof(step, False, f"no answer to be read: {type(error).__name__}: {error}"[:300])


def service(story: Story) -> str:
    """1: the service runs on its embedded stores."""
    health = httpx.get(f"{story.urls['seamark']}/healthz", timeout=TIMEOUT_S, trust_env=False).json()
    ready = httpx.get(f"{story.urls['seamark']}/readyz", timeout=TIMEOUT_S, trust_env=False).json()
    _need(ready["ready"], f"/readyz says {ready}")
    metrics = story.api.text("/metrics")
    checks = ", ".join(f"{name} {word}" for name, word in ready["checks"].items())
    return f"version {health['version']}, {checks}, {_sample(metrics, 'seamark_lake_files'):.0f} files in the lake"


def model_server(story: Story) -> str:
    """2: the real model's telemetry made it known."""
    names = [model["name"] for model in story.api.get("/models")]
    _need(MODEL in names, f"/models knows {names}")
    model = story.api.get(f"/models/{MODEL}")
    _need(model["liveness"] == "live", f"{MODEL} is {model['liveness']}")
    versions = ", ".join(version["version"] for version in model["versions"])
    health = httpx.get(f"{story.urls['model']}/healthz", timeout=TIMEOUT_S, trust_env=False).json()
    dropped = health["telemetry_dropped"]
    return f"{MODEL} version {versions} is live, {model['live_rps']:.1f} requests/s; the SDK dropped {dropped}"


def rows(story: Story) -> str:
    """3: spans, predictions and late labels are in the lake."""
    metrics = story.api.text("/metrics")
    requests = _sample(metrics, "seamark_requests_total")
    predictions = _sample(metrics, "seamark_predictions_total")
    labelled = story.api.get(f"/models/{MODEL}/performance")["labelled"]
    _need(min(requests, predictions, labelled) > 100, f"{requests=:.0f} {predictions=:.0f} {labelled=}")
    return f"{requests:,.0f} live requests in spans, {predictions:,.0f} predictions, {labelled:,} labels joined"


def drift_and_quality(story: Story) -> str:
    """4: drift in the shifted features only, latency per version, accuracy with its coverage."""
    before = _drifted(story, story.notes.normal_at)
    after = _drifted(story, story.notes.drifted_at)
    _need(before == set(), f"normal traffic drifts in {sorted(before)}")
    _need(after == set(data.SHIFTED), f"drift is in {sorted(after)}, the shift was in {sorted(data.SHIFTED)}")
    points = story.api.get(f"/models/{MODEL}/latency", by="version", step="1h")
    point = max(points, key=lambda found: found["count"])
    _need(point["p95_ms"] is not None, f"latency is {points}")
    performance = story.api.get(f"/models/{MODEL}/performance")
    accuracy = performance["metrics"].get("accuracy")
    _need(accuracy is not None, f"there is no accuracy among {performance}")
    _need(0.5 < accuracy["value"] < 1 and performance["coverage"], f"performance is {performance}")
    return (
        f"drift 0 before, then {' + '.join(sorted(after))}; version {point['version']} p50 {point['p50_ms']:.0f} "
        f"p95 {point['p95_ms']:.0f} p99 {point['p99_ms']:.0f} ms; accuracy {accuracy['value']:.3f} "
        f"({accuracy['low']:.3f} to {accuracy['high']:.3f}) on {performance['coverage']:.0%} labelled"
    )


def load_tests(story: Story) -> str:
    """5: one run by the scheduler, one by the CI call, each with a verdict and its reports."""
    scheduled = next((r for r in story.api.get(f"/loadtests/{CAPACITY}/runs") if r["trigger"] == "schedule"), None)
    _need(scheduled is not None, "the scheduler started no run")
    assert scheduled is not None
    _need(
        scheduled["status"] == "passed" or story.notes.again_exit == 0,
        f"the scheduled run is {scheduled['status']}: {scheduled['reason']}",
    )
    smoke = story.api.get(f"/loadtests/{SMOKE}/runs")[0]
    _need(
        smoke["status"] == "passed" and story.notes.smoke_exit == 0,
        f"the CI run is {smoke['status']} (exit {story.notes.smoke_exit}): {smoke['reason']}",
    )
    told = []
    for name, run in (("cron", scheduled), ("CI", smoke)):
        cases = ET.fromstring(story.api.text(f"/api/v1/runs/{run['id']}/junit.xml")).iter("testcase")
        count = len(list(cases))
        markdown = story.api.text(f"/api/v1/runs/{run['id']}/report.md")
        page = story.api.text(f"/api/v1/runs/{run['id']}/report.html")
        _need(count > 0 and run["plan"] in markdown, f"the reports of run {run['id']} are empty")
        _need("<figure>" in page and "<svg" in page, f"report.html of run {run['id']} has no plots")
        told.append(f"{name} {run['status']}, {run['requests']:,} requests, {count} JUnit cases")
    return "; ".join(told)


def advice(story: Story) -> str:
    """6: replicas from the measured capacity and the live traffic, with the reason; a KEDA manifest."""
    found = story.api.get(f"/models/{MODEL}/recommendation")
    _need(found["state"] == "ok" and found["replicas"], f"the recommendation is {found['state']}: {found['reason']}")
    manifest = yaml.safe_load(story.api.text(f"/api/v1/models/{MODEL}/recommendation/manifest", kind="keda"))
    _need(manifest["kind"] == "ScaledObject", f"the manifest is a {manifest['kind']}")
    capacity = story.api.get(f"/models/{MODEL}")["capacity"]
    high = "?" if capacity["high"] is None else f"{capacity['high']:.0f}"
    return (
        f"{found['replicas']} replica(s): one carries {capacity['rps']:.0f}/s ({capacity['low']:.0f} to {high}); "
        f"{manifest['kind']} {manifest['metadata']['name']}"
    )


def alerts(story: Story) -> str:
    """7: drift fired, the objective fired and resolved; all of it was delivered."""
    known = {alert["fingerprint"]: alert for alert in story.api.get("/alerts")}
    drift = next((alert for alert in known.values() if alert["alertname"] == "SeamarkDrift"), None)
    _need(drift is not None and drift["started_at"], "no drift alert")
    slo = known.get(story.notes.slo_fingerprint or "")
    _need(slo is not None and slo["state"] in ("resolved", "inactive"), f"the SLO alert is {slo and slo['state']}")
    assert drift is not None
    assert slo is not None
    got = {
        "drift firing": story.received("SeamarkDrift", "firing"),
        "SLO firing": story.received("SeamarkSloBurnRate", "firing", story.notes.fault_at),
        "SLO resolved": story.received("SeamarkSloBurnRate", "resolved", story.notes.fault_at),
    }
    _need(all(got.values()), f"the receiver got { ({name: len(found) for name, found in got.items()}) }")
    where = "the webhook"
    if story.alertmanager:
        held = httpx.get(f"{story.alertmanager}/api/v2/alerts", timeout=TIMEOUT_S, trust_env=False).json()
        names = {alert["labels"]["alertname"] for alert in held}
        _need("SeamarkDrift" in names, f"Alertmanager holds {sorted(names)}")
        where = "the webhook and Alertmanager"
    return f"{', '.join(got)}: delivered to {where}; drift is {drift['state']}, the SLO alert {slo['state']}"


def pages(story: Story) -> str:
    """8: pages for people, metrics for Prometheus."""
    run_id = story.notes.capacity_run
    wanted = {"/": MODEL, f"/models/{MODEL}": MODEL, "/loadtests": CAPACITY, f"/runs/{run_id}": CAPACITY}
    wanted["/alerts"] = "Drift"
    for path, word in wanted.items():
        page = story.api.text(path)
        _need("<html" in page and word in page, f"the page {path} does not show {word}")
    metrics = story.api.text("/metrics")
    capacity = _sample(metrics, "seamark_capacity_requests_per_second")
    replicas = _sample(metrics, "seamark_recommended_replicas")
    families = sum(line.startswith("# TYPE seamark_") for line in metrics.splitlines())
    return (
        f"{len(wanted)} pages; {families} metrics, capacity {capacity:.0f}/s and {replicas:.0f} replica(s) among them"
    )


STEPS: tuple[tuple[str, Callable[[Story], str]], ...] = (
    ("1 service on embedded stores", service),
    ("2 real model, instrumented", model_server),
    ("3 traffic, predictions, labels", rows),
    ("4 drift, latency, accuracy", drift_and_quality),
    ("5 load tests: cron and CI", load_tests),
    ("6 recommendation, manifest", advice),
    ("7 alerts fired and resolved", alerts),
    ("8 pages and metrics", pages),
)


def _need(holds: object, otherwise: str) -> None:
    if not holds:
        raise NotSo(otherwise)


def _drifted(story: Story, at: datetime | None) -> set[str]:
    if at is None:
        raise NotSo("the story did not come that far")
    found = story.api.get(f"/models/{MODEL}/drift", at=at.isoformat(), window=f"{WINDOW_S}s")
    unknown = [f["feature"] for f in found["features"] if f["drifted"] is None]
    _need(found["features"] and not unknown, f"not judged at {at:%H:%M:%S}: {unknown or 'anything'}")
    return {f["feature"] for f in found["features"] if f["drifted"]}


def _sample(metrics: str, name: str) -> float:
    """The sum of a metric's samples; NotSo where it has none."""
    values = [
        float(line.rsplit(" ", 1)[1])
        for line in metrics.splitlines()
        if line.startswith((f"{name}{{", f"{name} ")) and (f'model="{MODEL}"' in line or "model=" not in line)
    ]
    if not values:
        raise NotSo(f"/metrics has no {name}")
    return sum(values)
