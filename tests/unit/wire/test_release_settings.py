"""The release part of seamark.yaml: what it says, and every mistake with its line."""

from __future__ import annotations

import pytest

from seamark.app import known_names
from seamark.core.errors import ConfigInvalid
from seamark.core.release import MEASURES, ReleaseSpec
from seamark.wire.config import parse_config


def release_of(text: str) -> ReleaseSpec | None:
    (model,) = parse_config(f"models:\n  - name: churn\n    release: {text}\n", known_names()).models
    return model.release


def test_tolerances_are_per_cent_and_the_rest_is_default() -> None:
    release = release_of("{latency_p99: 7.5%, error_ratio: 0.1 %, accuracy: off, warmup: 0s, require: [error_ratio]}")
    assert release is not None
    assert release.tolerance("latency_p99") == pytest.approx(0.075)
    assert release.tolerance("error_ratio") == pytest.approx(0.001)
    assert release.tolerance("accuracy") is None
    assert release.tolerance("latency_p50") == MEASURES["latency_p50"].tolerance
    assert (release.warmup_s, release.require) == (0.0, ("error_ratio",))
    assert release.is_critical("latency_p99") and not release.is_critical("null_ratio")


def test_named_critical_measures_are_all_that_are() -> None:
    release = release_of("{critical: [null_ratio, null_ratio]}")
    assert release is not None
    assert [name for name in MEASURES if release.is_critical(name)] == ["null_ratio"]
    none = release_of("{critical: []}")
    assert none is not None and not any(none.is_critical(name) for name in MEASURES)


@pytest.mark.parametrize("text", ["{}", "null", ""])
def test_nothing_written_is_the_defaults(text: str) -> None:
    assert release_of(text) == ReleaseSpec()


def test_a_model_without_it_has_none() -> None:
    (model,) = parse_config("models: [{name: churn}]", known_names()).models
    assert model.release is None


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("{latency_p99: 5}", "models[0].release.latency_p99: 5 is no tolerance; write per cent"),
        ("{latency_p99: 0.05}", "is no tolerance"),
        ("{latency_p99: 0%}", "is no tolerance"),
        ("{latency_p99: -5%}", "is no tolerance"),
        ("{latency_p99: 5000%}", "up to 1000"),
        ("{error_ratio: 101%}", "up to 100"),
        ("{accuracy: [1%]}", "is no tolerance"),
        ("{accuracy: true}", "is no tolerance"),
        ("{accuracy: '1e9%'}", "is no tolerance"),
        ("{acuracy: 1%}", "did you mean accuracy?"),
        ("{critical: accuracy}", "is not a list of measures"),
        ("{critical: [speed]}", "models[0].release.critical[0]: 'speed' is no measure of a release"),
        ("{require: [7]}", "7 is no measure"),
        ("{accuracy: off, require: [accuracy]}", "accuracy is required here and off above"),
        ("{warmup: 5}", "is not a duration"),
        ("{warmup: 2d}", "does not lie between"),
        ("5%", "is not release"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, sentence: str) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        release_of(text)
    (problem,) = refused.value.problems
    assert sentence in str(problem) and problem.line == 3
