"""A load test as written, in seamark.yaml or sent to the API, becomes a LoadTestPlan or the list of its mistakes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from seamark.core.errors import Invalid
from seamark.core.specs import Known, LoadTestPlan, ShapeSpec
from seamark.core.targets import TargetSpec, own_locustfile
from seamark.core.thresholds import OF_ANSWERS, OF_WHOLE_RUNS, Threshold
from seamark.wire.baseline import read_baseline
from seamark.wire.checks import Checker, join, origin_of, plain_data, url_fault
from seamark.wire.payload import check_rows, read_payload
from seamark.wire.targets import check_own_shape, check_rate, locustfile_fault, own_payload
from seamark.wire.values import shown

KEYS = (
    "name",
    "model",
    "target",
    "payload",
    "shape",
    "thresholds",
    "abort",
    "schedule",
    "timezone",
    "scenario",
    "timeout_s",
    "replicas",
    "workers",
    "remote_workers",
    "retries",
    "answer",
    "answer_tolerance",
    "baseline",
)
ERROR_LIMIT = Threshold("error_ratio", None, "<", 0.01)
OF_RUNS_ALONE = ("inter_token_ms", *OF_WHOLE_RUNS)  # not told of single steps
THRESHOLDS_MAX = 50
ANSWER_DEPTH_MAX = 20
TOLERANCE = 1e-6
REPLICAS_MAX = 10_000
WORKERS_MAX = 64
RETRIES_MAX = 5
_SOME_DAY = datetime(2026, 1, 1, tzinfo=UTC)  # any instant does: whether a cron line ever comes does not depend on it


@dataclass(frozen=True)
class Surroundings:
    """What a plan is checked against: registry names, allowed origins, models by name."""

    known: Known
    allow: frozenset[str]
    models: Collection[str]
    targets: tuple[TargetSpec, ...] = ()  # what is said of the allowed origins, where anything is


def parse_plan(
    document: Any,
    name: str,
    known: Known,
    allow: Collection[str],
    models: Collection[str],
    targets: tuple[TargetSpec, ...] = (),
) -> LoadTestPlan:
    """Return the plan that `document` writes for the load test `name`; Invalid lists every mistake.

    `allow` holds the origins of targets.allow, `targets` their limits, `models` the names of the configured
    models. A `name` in the document must be `name`.
    """
    checker = Checker()
    origins = frozenset(origin_of(url) for url in allow if url_fault(url) is None)
    written = document.get("name", name) if isinstance(document, Mapping) else name
    if written != name:
        checker.wrong("name", f"{shown(written)} is not {shown(name)}, by which it is put; leave it out")
    whole = {**document, "name": name} if isinstance(document, Mapping) else document
    plan = read_plan(checker, whole, "", Surroundings(known, origins, models, targets))
    problems = checker.problems
    if problems or plan is None:
        told = "; ".join(str(problem) for problem in problems[:5])
        raise Invalid(f"the load test {shown(name)} has {_mistakes(len(problems))}: {told}", problems)
    return plan


def _mistakes(count: int) -> str:
    return "a mistake" if count == 1 else f"{count} mistakes"


def read_plan(checker: Checker, value: Any, path: str, around: Surroundings) -> LoadTestPlan | None:
    """Return one plan; None where it has mistakes, all of which the checker then knows."""
    before = checker.count
    found = checker.mapping(value, path, KEYS, "a load test")
    if found is None:
        return None
    scenario = _scenario(checker, found.get("scenario"), join(path, "scenario"), around.known)
    own = scenario is not None and own_locustfile(scenario)
    checker.needed(found, path, "name", "model", "target", *(() if own else ("payload",)), "shape")
    name = checker.name(found.get("name"), join(path, "name"))
    model = checker.model_name(found.get("model"), join(path, "model"))
    if model is not None and model not in around.models:
        listed = ", ".join(sorted(around.models)[:20]) or "none"
        checker.wrong(join(path, "model"), f"{shown(model)} is not among the models ({listed})")
    target = _target(checker, found.get("target"), join(path, "target"), around)
    payload = (
        own_payload(checker, found, path) if own else read_payload(checker, found.get("payload"), join(path, "payload"))
    )
    shape = _shape(checker, found.get("shape"), join(path, "shape"), around.known)
    if shape and target:
        check_rate(checker, origin_of(target), shape, join(path, "shape"), around.targets)
    if shape and own:
        check_own_shape(checker, shape, join(path, "shape"))
    thresholds = _thresholds(checker, found.get("thresholds"), join(path, "thresholds"), with_hold=False)
    abort = _thresholds(checker, found.get("abort"), join(path, "abort"), with_hold=True)
    schedule = _schedule(checker, found.get("schedule"), join(path, "schedule"))
    timezone = _timezone(checker, found.get("timezone"), join(path, "timezone"))
    timeout_s = checker.number(found.get("timeout_s"), join(path, "timeout_s"), above=0.0, most=600.0)
    replicas = checker.whole(found.get("replicas"), join(path, "replicas"), least=1, most=REPLICAS_MAX)
    workers = checker.whole(found.get("workers"), join(path, "workers"), least=1, most=WORKERS_MAX)
    remote = checker.whole(found.get("remote_workers"), join(path, "remote_workers"), least=0, most=WORKERS_MAX)
    retries = checker.whole(found.get("retries"), join(path, "retries"), least=0, most=RETRIES_MAX)
    answer = _answer(checker, found.get("answer"), join(path, "answer"))
    tolerance = checker.number(found.get("answer_tolerance"), join(path, "answer_tolerance"), least=0.0, most=1.0)
    if payload and model:
        check_rows(checker, payload, scenario or "http_json", model, join(path, "payload"))
    if shape and shape.kind == "capacity":
        _check_measured(checker, thresholds, OF_RUNS_ALONE, join(path, "thresholds"), "a capacity search's steps")
    _check_measured(checker, abort, OF_ANSWERS, join(path, "abort"), "an abort condition's seconds")
    baseline = read_baseline(checker, found.get("baseline"), join(path, "baseline"))
    document = _document(checker, found, path)
    if checker.count > before or not (name and model and target and payload and shape):
        return None
    return LoadTestPlan(
        name=name,
        model=model,
        target=target,
        payload=payload,
        shape=shape,
        thresholds=_with_error_limit(thresholds),
        abort=abort,
        schedule=schedule,
        timezone=timezone or "UTC",
        scenario=scenario or "http_json",
        timeout_s=timeout_s or 30.0,
        replicas=replicas or 1,
        workers=workers or 1,
        remote_workers=remote or 0,
        retries=retries or 0,
        answer=answer,
        answer_tolerance=TOLERANCE if tolerance is None else tolerance,
        baseline=baseline,
        document=document,
    )


def _with_error_limit(thresholds: tuple[Threshold, ...]) -> tuple[Threshold, ...]:
    """Fast errors are no capacity and no success: where a plan does not limit errors itself, this does."""
    if any(threshold.metric == "error_ratio" for threshold in thresholds):
        return thresholds
    return (*thresholds, ERROR_LIMIT)


def _target(checker: Checker, value: Any, path: str, around: Surroundings) -> str | None:
    url = checker.url(value, path)
    if url is not None and origin_of(url) not in around.allow:
        listed = ", ".join(sorted(around.allow)[:10]) or "nothing"
        checker.wrong(path, f"{origin_of(url)} is not on targets.allow ({listed}); nothing else is ever sent a request")
        return None
    return url


def _shape(checker: Checker, value: Any, path: str, known: Known) -> ShapeSpec | None:
    if value is None:
        return None
    found = checker.mapping(value, path, sorted(known.shapes), "a shape")
    if not found:
        if found is not None and not value:
            checker.wrong(path, f"names no shape; known are {', '.join(sorted(known.shapes))}")
        return None
    if len(found) != 1:
        checker.wrong(path, f"names {len(found)} shapes ({', '.join(found)}); write one")
        return None
    kind, written = next(iter(found.items()))
    # `stages: [{...}, ...]` is short for `stages: {stages: [{...}, ...]}`.
    listed = isinstance(written, list | tuple)
    params = {kind: written} if listed else written
    if not isinstance(params, Mapping):
        checker.wrong(join(path, kind), f"{shown(written)} is not a mapping of parameters")
        return None
    problems = known.shapes[kind](params)
    for problem in problems:
        checker.wrong(join(path if listed else join(path, kind), problem.field), problem.message)
    return None if problems else ShapeSpec(kind, params)


def _thresholds(checker: Checker, value: Any, path: str, *, with_hold: bool) -> tuple[Threshold, ...]:
    if isinstance(value, list | tuple) and len(value) > THRESHOLDS_MAX:
        checker.wrong(path, f"has {len(value)} entries; at most {THRESHOLDS_MAX} are taken")
        return ()
    return checker.each(
        value, path, "thresholds", lambda item, place: _threshold(checker, item, place, with_hold=with_hold)
    )


def _threshold(checker: Checker, item: Any, path: str, *, with_hold: bool) -> Threshold | None:
    if item is None:
        checker.wrong(path, "is empty; write a threshold, like p95(latency_ms) < 250")
    return checker.threshold(item, path, with_hold=with_hold)


def _check_measured(
    checker: Checker, thresholds: Sequence[Threshold], unmeasured: Collection[str], path: str, what: str
) -> None:
    """Note thresholds on what is not known of a part of a run: they would never be true, nor false."""
    for index, threshold in enumerate(thresholds):
        if threshold.metric in unmeasured:
            checker.wrong(f"{path}[{index}]", f"{threshold.metric} is told of a whole run, not of {what}")


def _answer(checker: Checker, value: Any, path: str) -> str | None:
    text = checker.text(value, path, "where in an answer the prediction stands, like predictions.0")
    if text is not None and (not all(text.split(".")) or text.count(".") >= ANSWER_DEPTH_MAX):
        checker.wrong(path, f"{shown(text)} is no place in an answer; write names and places, like outputs.0.data.0")
        return None
    return text


def _schedule(checker: Checker, value: Any, path: str) -> str | None:
    text = checker.text(value, path, "a cron line")
    if text is None:
        return None
    if len(text.split()) != 5:
        checker.wrong(path, f"{shown(text)} is no cron line; write five fields, like 0 3 * * * (every day at 03:00)")
        return None
    try:
        next(CronSim(text, _SOME_DAY))
    except (CronSimError, ValueError, OverflowError) as error:
        checker.wrong(path, f"{shown(text)} is no cron line: {error}; write one like 0 3 * * * (every day at 03:00)")
        return None
    except StopIteration:
        checker.wrong(path, f"{shown(text)} names a day that never comes")
        return None
    return text


def _timezone(checker: Checker, value: Any, path: str) -> str | None:
    text = checker.text(value, path, "a time zone, like UTC or Europe/Berlin")
    if text is None:
        return None
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        checker.wrong(path, f"{shown(text)} is no time zone; write one like UTC or Europe/Berlin")
        return None
    return text


def _scenario(checker: Checker, value: Any, path: str, known: Known) -> str | None:
    text = checker.text(value, path, "a scenario")
    if text is None or text in known.scenarios:
        return text
    if own_locustfile(text) or "/" in text:
        fault = locustfile_fault(text)
        if fault:
            checker.wrong(path, f"{shown(text)} {fault}")
        return None if fault else text
    listed = ", ".join(sorted(known.scenarios))
    checker.wrong(path, f"{shown(text)} is no scenario; known are {listed}, or write FILE.py for a locustfile of yours")
    return None


def _document(checker: Checker, found: Mapping[str, Any], path: str) -> dict[str, Any]:
    try:
        return {key: plain_data(found[key]) for key in KEYS if found.get(key) is not None}
    except ValueError as error:
        checker.wrong(path, str(error))
        return {}
