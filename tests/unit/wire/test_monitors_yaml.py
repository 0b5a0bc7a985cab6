"""A rolling reference and segments in seamark.yaml: read, or refused with the line and what would be right."""

from __future__ import annotations

import pytest
from tests.unit.wire.test_config_yaml import KNOWN

from seamark.core.errors import ConfigInvalid
from seamark.core.specs import ReferenceSpec
from seamark.wire.config import parse_config


def drift(text: str):
    return parse_config(f"models:\n  - name: m\n    drift:\n      {text}\n", KNOWN).models[0].drift


def test_references_and_segments_are_read():
    assert drift("reference: {rolling: 7d}").reference == ReferenceSpec(rolling_s=7 * 86_400.0)
    assert drift("reference: {same_weekday: 4}").reference == ReferenceSpec(same_weekday_weeks=4)
    assert drift("window: 1h").reference is None
    segments = drift('segments: [{country: de}, {tier: 1, beta: true, "a:b": "x\'\\""}]').segments
    assert segments == ((("country", "de"),), (("a:b", "x'\""), ("beta", "true"), ("tier", "1")))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("reference: {rolling: 7d, same_weekday: 4}", "must name one of rolling"),
        ("reference: {}", "must name one of rolling"),
        ("reference: weekly", "'weekly' is not a reference (rolling, same_weekday)"),
        ("reference: {rolling: 1s}", "rolling"),
        ("reference: {rolling: 400d}", "rolling"),
        ("reference: {same_weekday: 13}", "same_weekday"),
        ("reference: {same_weekday: 1.5}", "same_weekday"),
        ("reference: {role: 7d}", "is not known in a reference"),
        ("segments: {country: de}", "is not a list of segments"),
        ("segments: [de]", "'de' is no segment"),
        ("segments: [{}]", "{} is no segment"),
        ("segments: [{country: [de]}]", "is no value of a label"),
        ('segments: [{"": de}]', "'' is no label"),
        ("segments: [{country: de}, {country: de}]", "names the segment 'country: de' twice"),
        (f"segments: [{', '.join(f'{{a: {n}}}' for n in range(21))}]", "has 21 segments; at most 20"),
    ],
)
def test_mistakes_are_told_with_their_line(text, told):
    with pytest.raises(ConfigInvalid) as refused:
        drift(text)
    (problem,) = refused.value.problems
    assert told in str(problem)
    assert problem.line == 4
