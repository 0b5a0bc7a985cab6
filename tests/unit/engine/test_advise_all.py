"""All models are advised in one round, whatever becomes of one of them."""

from __future__ import annotations

import pytest
from tests.house import AT

from seamark.core.advice import Recommendation
from seamark.engine import advice
from seamark.engine.services import Services

CONFIG = "models: [{name: a, autoscale: {}}, {name: b, autoscale: {}}, {name: c}, {name: d, autoscale: {}}]"


def advised(services: Services) -> list[str]:
    newest = {name: services.catalog.findings.latest(name, "recommendation", Recommendation) for name in "abcd"}
    return [name for name, found in newest.items() if found is not None and found.at == AT]


def test_one_that_fails_does_not_keep_the_others_from_their_turn(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.configuration.apply(CONFIG, AT)
    gather = advice.gather

    def broken(services: Services, spec: advice.ModelSpec, at: object) -> object:
        if spec.name == "a":
            raise RuntimeError("a is broken")
        return gather(services, spec, AT)

    monkeypatch.setattr(advice, "gather", broken)
    with pytest.raises(RuntimeError, match="a is broken"):
        advice.advise_all(services, AT)
    assert advised(services) == ["b", "d"]


def test_a_round_ends_early_where_the_service_stops(services: Services) -> None:
    services.configuration.apply(CONFIG, AT)
    asked: list[bool] = []

    def stopping() -> bool:
        asked.append(True)
        return len(asked) > 1

    advice.advise_all(services, AT, stopping)
    assert advised(services) == ["a"]
