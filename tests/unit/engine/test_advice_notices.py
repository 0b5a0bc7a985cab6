"""Changed advice is told to the channel seamark.yaml names: once a minute at most, against what was told last."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.lake_rows import AT, rows_of

from seamark.core.advice import Recommendation
from seamark.core.findings import Capacity
from seamark.core.specs import AutoscaleSpec, ModelSpec
from seamark.delivery.channels import CHANNELS
from seamark.delivery.message import AlertMessage, Channel
from seamark.engine import dispatch
from seamark.engine.advice import advise
from seamark.engine.advice_notices import tell_change
from seamark.engine.services import Services

SPEC = ModelSpec("org/m", autoscale=AutoscaleSpec(notify="chat"))
ADVICE = Recommendation("org/m", AT, "ok", 5, 5, 1, 20, "because", 60.0, 390.0, None, None)


@pytest.fixture
def sent(services: Services, monkeypatch: pytest.MonkeyPatch) -> list[AlertMessage]:
    """What the channel was given."""
    got: list[AlertMessage] = []
    services.configuration.apply("alerts: {channels: [{name: chat, webhook: 'http://x.test'}]}", AT)
    monkeypatch.setitem(CHANNELS, "webhook", Channel("webhook", lambda client, url, message: got.append(message)))
    return got


def run(services: Services, counts: dict[float, int | None], *, deliver: bool = True, **fields: Any) -> None:
    """Give advice at seconds after AT, each after the one before."""
    before: Recommendation | None = None
    for second, count in counts.items():
        at = AT + timedelta(seconds=second)
        advice = replace(ADVICE, at=at, replicas=count, state="hold" if count is None else "ok", **fields)
        tell_change(services, SPEC, before, advice)
        before = advice
        if deliver:
            dispatch.dispatch(services, at)


def summaries(sent: list[AlertMessage]) -> list[str]:
    start = "org/m: replicas recommended changed "
    assert all(message.annotations["summary"].startswith(start) for message in sent)
    return [message.annotations["summary"].removeprefix(start) for message in sent]


def test_a_change_is_told_with_why(services: Services, sent: list[AlertMessage]) -> None:
    run(services, {0: 5, 10: 7, 20: 7})
    [message] = sent
    assert message.labels == {"alertname": "SeamarkReplicasChanged", "model": "org/m", "severity": "info"}
    assert message.annotations["summary"] == "org/m: replicas recommended changed from 5 to 7"
    assert (message.annotations["description"], message.annotations["replicas"]) == ("because", "7")
    assert message.url == "http://127.0.0.1:8000/models/org%2Fm"


@pytest.mark.parametrize(
    "counts, told",
    [
        ({0: 5}, []),
        ({0: 5, 10: 5}, []),
        ({0: 5, 10: 7, 20: 8, 30: 9, 69: 9, 70: 9, 80: 9}, ["from 5 to 7", "from 7 to 9"]),
        ({0: 5, 10: 7, 20: 8, 60: 7, 80: 7}, ["from 5 to 7"]),
        ({0: 5, 10: None, 20: 7, 100: None, 110: 7}, []),
        ({0: 5, 10: 6, 100: None, 110: 7}, ["from 5 to 6", "from 6 to 7"]),
    ],
    ids=["first", "same", "once a minute", "back again", "a hold is no advice", "over a hold"],
)
def test_it_is_told_against_what_was_told_last(
    services: Services, sent: list[AlertMessage], counts: dict[float, int | None], told: list[str]
) -> None:
    run(services, counts)
    assert summaries(sent) == told
    assert len({message.key for message in sent}) == len(sent)


def test_one_message_waits_at_most(services: Services, sent: list[AlertMessage]) -> None:
    run(services, {60.0 * minute: minute + 1 for minute in range(30)}, deliver=False)
    assert services.catalog.outbox.pending() == 1
    dispatch.dispatch(services, AT + timedelta(hours=1))
    run(services, {3_600: 30})
    assert summaries(sent) == ["from 1 to 2", "from 2 to 30"]


def test_nobody_is_told_who_did_not_ask(services: Services, sent: list[AlertMessage]) -> None:
    quiet = replace(SPEC, autoscale=AutoscaleSpec())
    tell_change(services, quiet, ADVICE, replace(ADVICE, replicas=9))
    assert services.catalog.outbox.pending() == 0 and not sent


def test_the_worker_tells_it(services: Services, sent: list[AlertMessage]) -> None:
    services.catalog.findings.put(SPEC.name, "capacity", AT, Capacity(1.0, 1.0, 1.1, "slo", (), supported=True))
    span = {"model": SPEC.name, "received_at": AT}
    rows = [{**span, "start_at": AT - timedelta(seconds=s)} for s in range(1, 60)]
    services.lake.append({"spans": rows_of("spans", rows)})
    advise(services, SPEC, AT)
    services.lake.append({"spans": rows_of("spans", [{**span, "start_at": AT - timedelta(seconds=5)}] * 100)})
    advise(services, SPEC, AT + timedelta(seconds=10))
    dispatch.dispatch(services, AT + timedelta(seconds=10))
    kept = services.catalog.findings.history(SPEC.name, "recommendation", Recommendation)
    after, before = (found.finding.replicas for found in kept)
    assert before != after
    assert summaries(sent) == [f"from {before} to {after}"]
