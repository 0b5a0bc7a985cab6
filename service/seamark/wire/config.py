"""The text of seamark.yaml becomes a Config, or every mistake in it with its line."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite, nan
from typing import Any

from seamark.core.errors import ConfigInvalid
from seamark.core.performance import class_name
from seamark.core.specs import AutoscaleSpec, ChannelSpec, Config, DriftSpec, Known, ModelSpec, PerformanceSpec, SloSpec
from seamark.core.thresholds import Threshold
from seamark.wire.checks import Checker, join
from seamark.wire.drift_kinds import read_kinds, read_switch
from seamark.wire.inputs import check_prometheus, read_input, read_replicas
from seamark.wire.monitors import read_reference, read_segments
from seamark.wire.plan import Surroundings, parse_plan, read_plan
from seamark.wire.release import read_release
from seamark.wire.scaling import SCALING_KEYS, read_scaling
from seamark.wire.targets import each_once, read_origin, read_target
from seamark.wire.values import shown
from seamark.wire.yaml_tree import read_yaml

SECTIONS = ("models", "loadtests", "targets", "alerts")
MODEL_KEYS = ("name", "slo", "drift", "autoscale", "release", "performance")
SLO_KEYS = ("latency", "availability", "over")
DRIFT_KEYS = ("window", "false_alarms", "rows_min", "methods", "kinds", "multivariate", "reference", "segments")
PERFORMANCE_KEYS = ("window", "positive")
INPUT_KEYS = ("queue_length", "utilisation")
AUTOSCALE_KEYS = (
    "min",
    "max",
    "cost_per_replica_hour",
    "cold_start_s",
    "notify",
    "replicas",
    *INPUT_KEYS,
    *SCALING_KEYS,
)

SLO_OVER_S = 30 * 86_400.0
REPLICAS_MAX = 100_000
_A_YEAR_S = 366 * 86_400.0
_PERFORMANCE_MOST_S = 31 * 86_400.0
_CLASS_LENGTH_MAX = 1_000


def parse_config(text: str, known: Known, name: str = "seamark.yaml") -> Config:
    """Return what a seamark.yaml asks for; ConfigInvalid lists every mistake with its line. An empty file is one.

    `name` is the file's, for the sentence that says how many mistakes there are.
    """
    document = read_yaml(text)
    checker = Checker(document.lines, document.problems)
    config = Config()
    if document.data is not None:
        config = _config(checker, document.data, known)
    elif not checker.problems:
        checker.wrong("", "the file is empty; to watch nothing at all, write `models: []`")
    problems = checker.problems
    if problems:
        count = "a mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        raise ConfigInvalid(f"{name} has {count}", problems)
    return config


def _config(checker: Checker, data: Any, known: Known) -> Config:
    found = checker.mapping(data, "", SECTIONS, "seamark.yaml") or {}
    targets = _section(checker, found, "targets", ("allow", "prometheus"))
    alerts = _section(checker, found, "alerts", ("channels",))
    allow = checker.each(
        targets.get("allow"), "targets.allow", "origins", lambda v, path: read_target(checker, v, path)
    )
    each_once(checker, allow, "targets.allow")
    asked = checker.each(
        targets.get("prometheus"), "targets.prometheus", "origins", lambda v, path: read_origin(checker, v, path)
    )
    models = checker.each(
        found.get("models"), "models", "models", lambda v, path: _model(checker, v, path, known, asked)
    )
    # A model with a mistake in it is still there: its load test is not wrong for that.
    around = Surroundings(known, frozenset(target.url for target in allow), _names(found.get("models")), allow)
    plans = checker.each(
        found.get("loadtests"), "loadtests", "load tests", lambda v, path: read_plan(checker, v, path, around)
    )
    channels = checker.each(
        alerts.get("channels"), "alerts.channels", "channels", lambda v, path: _channel(checker, v, path, known)
    )
    for path, entries in (
        ("models", found.get("models")),
        ("loadtests", found.get("loadtests")),
        ("alerts.channels", alerts.get("channels")),
    ):
        checker.unique(entries if isinstance(entries, list) else (), path)
    _check_notified(checker, found.get("models"), _names(alerts.get("channels")))
    return Config(models=models, loadtests=plans, targets=allow, channels=channels, prometheus_allow=asked)


def _section(checker: Checker, found: Mapping[str, Any], name: str, keys: tuple[str, ...]) -> dict[str, Any]:
    value = found.get(name)
    return {} if value is None else checker.mapping(value, name, keys, name) or {}


def _names(entries: Any) -> frozenset[str]:
    named = [entry.get("name") for entry in entries if isinstance(entry, Mapping)] if isinstance(entries, list) else []
    return frozenset(name for name in named if isinstance(name, str))


def _check_notified(checker: Checker, models: Any, channels: frozenset[str]) -> None:
    """Tell of every `autoscale.notify` that names no channel of this file."""
    for index, model in enumerate(models if isinstance(models, list) else ()):
        autoscale = model.get("autoscale") if isinstance(model, Mapping) else None
        notify = autoscale.get("notify") if isinstance(autoscale, Mapping) else None
        if notify is not None and (not isinstance(notify, str) or notify not in channels):
            known = f"known are {', '.join(sorted(channels))}" if channels else "there is none"
            checker.wrong(
                f"models[{index}].autoscale.notify", f"{shown(notify)} is no channel of alerts.channels; {known}"
            )


def _model(checker: Checker, value: Any, path: str, known: Known, asked: tuple[str, ...]) -> ModelSpec | None:
    found = checker.mapping(value, path, MODEL_KEYS, "a model")
    if found is None or not checker.needed(found, path, "name"):
        return None
    name = checker.model_name(found["name"], join(path, "name"))
    slo = _slo(checker, found.get("slo"), join(path, "slo"))
    drift = _drift(checker, found.get("drift"), join(path, "drift"), known) if "drift" in found else None
    autoscale = _autoscale(checker, found.get("autoscale"), join(path, "autoscale")) if "autoscale" in found else None
    if autoscale is not None:
        check_prometheus(checker, autoscale.replicas, join(path, "autoscale.replicas"), asked)
    release = read_release(checker, found["release"], join(path, "release")) if "release" in found else None
    performance = _performance(checker, found.get("performance"), join(path, "performance"))
    return None if name is None else ModelSpec(name, slo, drift, autoscale, release, performance)


def _slo(checker: Checker, value: Any, path: str) -> SloSpec | None:
    if value is None:
        return None
    found = checker.mapping(value, path, SLO_KEYS, "an slo")
    if found is None:
        return None
    if found.get("latency") is None and found.get("availability") is None:
        checker.wrong(path, "sets no objective; write latency, availability or both")
        return None
    latency = _latency(checker, found.get("latency"), join(path, "latency"))
    availability = found.get("availability")
    share = checker.number(availability, join(path, "availability"), above=0.0, most=1.0)
    if share == 1.0:
        checker.wrong(join(path, "availability"), "1 leaves no error budget; write a share below it, like 0.999")
    over_s = checker.seconds(found.get("over"), join(path, "over"), least_s=60, most_s=_A_YEAR_S)
    return SloSpec(over_s or SLO_OVER_S, latency, share)


def _latency(checker: Checker, value: Any, path: str) -> Threshold | None:
    threshold = checker.threshold(value, path)
    if threshold is None:
        return None
    if threshold.metric != "latency_ms" or threshold.quantile is None or threshold.operator not in ("<", "<="):
        checker.wrong(path, f"{shown(value)} is no objective; write a percentile below a limit, p99(latency_ms) < 300")
        return None
    return threshold


def _drift(checker: Checker, value: Any, path: str, known: Known) -> DriftSpec | None:
    found = checker.mapping({} if value is None else value, path, DRIFT_KEYS, "a drift monitor")
    if found is None:
        return None
    default = DriftSpec()
    window_s = checker.seconds(found.get("window"), join(path, "window"), least_s=1, most_s=_A_YEAR_S)
    false_alarms = checker.number(found.get("false_alarms"), join(path, "false_alarms"), above=0.0, most=0.5)
    rows_min = checker.whole(found.get("rows_min"), join(path, "rows_min"), least=1, most=10_000_000)
    return DriftSpec(
        window_s=window_s or default.window_s,
        false_alarms=false_alarms or default.false_alarms,
        rows_min=rows_min or default.rows_min,
        methods=_methods(checker, found.get("methods"), join(path, "methods"), known),
        kinds=read_kinds(checker, found.get("kinds"), join(path, "kinds")),
        multivariate=read_switch(checker, found.get("multivariate"), join(path, "multivariate")),
        reference=read_reference(checker, found.get("reference"), join(path, "reference")),
        segments=read_segments(checker, found.get("segments"), join(path, "segments")),
    )


def _methods(checker: Checker, value: Any, path: str, known: Known) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        checker.wrong(path, f"{shown(value)} is not a mapping of features to methods")
        return {}
    for feature, method in value.items():
        if method not in known.drift_methods:
            listed = ", ".join(sorted(known.drift_methods))
            checker.wrong(join(path, str(feature)), f"{shown(method)} is no drift method; known are {listed}")
    return {str(feature): str(method) for feature, method in value.items()}


def _performance(checker: Checker, value: Any, path: str) -> PerformanceSpec:
    default = PerformanceSpec()
    found = checker.mapping({} if value is None else value, path, PERFORMANCE_KEYS, "performance")
    if found is None:
        return default
    window_s = checker.seconds(found.get("window"), join(path, "window"), least_s=60, most_s=_PERFORMANCE_MOST_S)
    return PerformanceSpec(
        window_s or default.window_s, _class_name(checker, found.get("positive"), join(path, "positive"))
    )


def _class_name(checker: Checker, value: Any, path: str) -> str | None:
    """Return a class as it is told apart: true is 1, and 1.0 is 1."""
    if value is None:
        return None
    if isinstance(value, float | int) and isfinite(value):
        return class_name(float(value), None)
    if isinstance(value, str) and 0 < len(value) <= _CLASS_LENGTH_MAX:
        return class_name(nan, value)
    checker.wrong(path, f"{shown(value)} is no class; write it as the model predicts it, like fraud or 1")
    return None


def _autoscale(checker: Checker, value: Any, path: str) -> AutoscaleSpec | None:
    found = checker.mapping({} if value is None else value, path, AUTOSCALE_KEYS, "autoscale")
    if found is None:
        return None
    default = AutoscaleSpec()
    least = checker.whole(found.get("min"), join(path, "min"), least=1, most=REPLICAS_MAX) or default.min
    most = checker.whole(found.get("max"), join(path, "max"), least=1, most=REPLICAS_MAX) or max(default.max, least)
    if most < least:
        checker.wrong(join(path, "max"), f"{most} is less than min, {least}")
    cost = checker.number(found.get("cost_per_replica_hour"), join(path, "cost_per_replica_hour"), least=0.0)
    cold_start = found.get("cold_start_s")
    cold_start_s = None
    if cold_start != "auto":
        cold_start_s = checker.number(cold_start, join(path, "cold_start_s"), least=0.0, most=86_400.0)
    inputs: dict[str, Any] = {
        key: read_input(checker, found[key], join(path, key), with_limit=key == "utilisation")
        for key in INPUT_KEYS
        if key in found
    }
    replicas = read_replicas(checker, found["replicas"], join(path, "replicas")) if "replicas" in found else None
    scaling = read_scaling(checker, found, path, most)
    return AutoscaleSpec(least, most, cost, cold_start_s, replicas, **inputs, **scaling, notify=found.get("notify"))


def _channel(checker: Checker, value: Any, path: str, known: Known) -> ChannelSpec | None:
    kinds = sorted(known.channels)
    found = checker.mapping(value, path, ("name", *kinds), "a channel")
    if found is None or not checker.needed(found, path, "name"):
        return None
    name = checker.name(found["name"], join(path, "name"))
    given = [kind for kind in found if kind != "name"]
    if len(given) != 1:
        if given or len(value) == len(found):  # an unknown kind has been told already
            checker.wrong(
                path, f"must name one kind and its URL, {' or '.join(f'{kind}: http://...' for kind in kinds)}"
            )
        return None
    place = join(path, given[0])
    if found[given[0]] is None:
        checker.wrong(place, "is empty; write the URL it posts to")
    url = checker.url(found[given[0]], place)
    return None if name is None or url is None else ChannelSpec(name, given[0], url)


__all__ = ["parse_config", "parse_plan"]
