"""A feature's distributions and drift over time through the whole application: any name, every state, kept or not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import pytest
import yaml
from tests.lake_rows import rows_of

from seamark.app import create_app
from seamark.core.findings import DriftFinding, DriftState, FeatureDrift
from seamark.core.records import FeatureSchema
from seamark.core.windows import Window
from seamark.engine import drift, drift_history
from seamark.engine.evaluate import Evaluator
from seamark.engine.services import Services

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
Ask = Callable[..., httpx.Response]
HOSTILE = [
    "a/b",
    "drift",
    "x/drift/y",
    "..",
    ".",
    "quo\"te'",
    "naïve ü",
    "\u200b",
    "%2F",
    "<b>",
    "a?b#c",
    "distribution",
]


@pytest.fixture
def ask(services: Services) -> Ask:
    app = create_app(services, role="web")

    def get(path: str, **params: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
                return await client.get(path, params=params or None)

        return asyncio.run(send())

    return get


def send(
    services: Services, model: str, features: dict[str, list[Any]], end: datetime = AT, version: str = "1"
) -> None:
    """Store a window of predictions that ends at `end`."""
    numbers = tuple(name for name, values in features.items() if not isinstance(values[0], str))
    texts = tuple(name for name in features if name not in numbers)
    schema = FeatureSchema(numbers, texts)
    count = len(next(iter(features.values())))
    rows = [
        {
            "model": model,
            "version": version,
            "prediction_id": f"{end.timestamp()}-{version}-{row}",
            "at": end - timedelta(seconds=1 + row * 3500 / count),
            "schema_id": schema.schema_id,
            "numeric": [features[name][row] for name in numbers],
            "categorical": [features[name][row] for name in texts],
        }
        for row in range(count)
    ]
    services.catalog.schemas.remember([(model, schema)])
    services.lake.append({"predictions": rows_of("predictions", rows)})


def hold(services: Services, model: str, features: dict[str, list[Any]]) -> str:
    """Make a reference of the model, now; return its id."""
    rows = [dict(zip(features, row, strict=True)) for row in zip(*features.values(), strict=True)]

    async def put() -> httpx.Response:
        transport = httpx.ASGITransport(create_app(services, role="web"))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            return await client.put(f"/api/v1/models/{quote(model, safe='')}/reference", json=rows)

    return str(asyncio.run(put()).json()["id"])


def configure(services: Services, model: str, **drift_spec: Any) -> None:
    services.configuration.apply(yaml.safe_dump({"models": [{"name": model, "drift": drift_spec}]}), AT)


RNG = np.random.default_rng(3)
AGES = RNG.normal(40, 10, 600).tolist()
OLDER = RNG.normal(55, 10, 400).tolist()
PLANS = RNG.choice(["a", "b", "c"], 600).tolist()


@pytest.mark.slow
def test_both_sides_of_a_feature_with_the_decision(services: Services, ask: Ask) -> None:
    reference_id = hold(services, "churn", {"age": AGES, "plan": PLANS})
    send(services, "churn", {"age": [*OLDER, None], "plan": [*["a"] * 200, *["new"] * 200, None]})
    found = ask("/api/v1/models/churn/drift/age/distribution", at=AT.isoformat(), window="1h").json()
    assert (found["kind"], found["reference_id"], found["judged_at"]) == ("numeric", reference_id, None)
    assert (found["current"]["rows"], found["current"]["present"]) == (401, 400)
    assert (found["reference"]["rows"], found["reference"]["present"]) == (600, 600)
    assert sum(one["rows"] for one in found["bins"]) == 400
    assert sum(one["reference_rows"] for one in found["bins"]) == 600
    assert found["current"]["quantiles"]["p50"] in OLDER
    assert found["current"]["quantiles"]["mean"] == pytest.approx(np.mean(OLDER))
    assert (found["decision"]["state"], found["decision"]["drifted"], found["levels"]) == ("drift", True, [])
    judged = ask("/api/v1/models/churn/drift", at=AT.isoformat(), window="1h").json()
    assert found["decision"] in judged["features"]
    texts = ask("/api/v1/models/churn/drift/plan/distribution", at=AT.isoformat(), window="1h").json()
    assert {one["level"]: (one["rows"], one["new"]) for one in texts["levels"]} == {
        "a": (200, False),
        "new": (200, True),
        "b": (0, False),
        "c": (0, False),
    }
    assert texts["decision"]["state"] == "drift"
    assert texts["bins"] == []


@pytest.mark.slow
def test_any_name_of_a_feature_can_be_asked_for(services: Services, ask: Ask) -> None:
    for model in ("churn", "org/drift/churn", "drift"):
        hold(services, model, dict.fromkeys(HOSTILE, AGES))
        send(services, model, dict.fromkeys(HOSTILE, OLDER))
        judged = drift.judge(services, model, None, Window.trailing(AT, 3600))
        services.catalog.findings.put(model, "drift", AT, judged)
        start = f"/models/{quote(model, safe='')}/drift"
        for feature in HOSTILE:
            segment, query = f"/{quote(feature, safe='')}", {"at": AT.isoformat()}
            if feature in (".", "..") or feature.endswith("compare"):
                segment, query = "", {"feature": feature, **query}
            found = ask(f"/api/v1{start}{segment}/distribution", **query)
            assert found.status_code == 200, found.text
            assert (found.json()["model"], found.json()["feature"]) == (model, feature)
            assert found.json()["decision"]["state"] == "drift"
            shown = ask(start + segment, **query)
            assert shown.status_code == 200, shown.text
            assert "Reference against window" in shown.text


@pytest.mark.slow
def test_paths_that_could_mean_two_things_and_what_cannot_be_shown(services: Services, ask: Ask) -> None:
    send(services, "org/churn", {"a/b": [1.0]})
    plainly = ask("/api/v1/models/org/churn/drift/a/b/distribution").json()
    assert (plainly["model"], plainly["feature"]) == ("org/churn", "a/b")
    send(services, "org/drift/churn", {"x": [1.0]})
    shown = ask("/models/org%2Fdrift%2Fchurn")
    assert shown.status_code == 200
    assert "At a glance" in shown.text
    send(services, "churn", {"age": OLDER})
    for path, status, words in (
        ("/api/v1/models/churn/drift/nope/distribution", 404, "no feature 'nope'"),
        ("/api/v1/models/churn/drift/distribution", 422, "name a feature"),
        ("/api/v1/models/churn/drift/age/distribution?at=soon", 422, "at='soon'"),
        ("/api/v1/models/churn/drift/age/distribution?window=0", 422, "window='0'"),
    ):
        answer = ask(path)
        assert (answer.status_code, words in answer.json()["detail"]) == (status, True), answer.text
    assert ask("/models/churn/drift/nope").status_code == 404
    assert ask("/models/churn/drift/age?at=soon").status_code == 422


STATES: dict[str, tuple[Any, Any]] = {
    "no_reference": (None, OLDER),
    "too_few_rows": ({"age": AGES}, OLDER[:20]),
    "all_null": ({"age": AGES}, [None] * 200),
    "not_in_reference": ({"other": AGES}, OLDER),
    "not_in_window": ({"age": AGES}, None),
    "no_drift": ({"age": AGES}, AGES[:400]),
}


@pytest.mark.slow
def test_each_state_has_its_page_and_its_answer(services: Services, ask: Ask) -> None:
    for state, (reference, window) in STATES.items():
        if reference:
            hold(services, state, reference)
        send(services, state, {"age": window} if window else {"other": OLDER})
        found = ask(f"/api/v1/models/{state}/drift/age/distribution").json()
        assert found["decision"]["state"] == state
        assert found["decision"]["drifted"] is (False if state == "no_drift" else None)
        assert (found["reference"] is None) == (state in ("no_reference", "not_in_reference"))
        shown = ask(f"/models/{state}/drift/age")
        assert shown.status_code == 200, shown.text
        assert ("nothing is claimed" in shown.text) == (state != "no_drift")


@pytest.mark.slow
def test_a_version_is_asked_for_alone(services: Services, ask: Ask) -> None:
    hold(services, "churn", {"age": AGES})
    send(services, "churn", {"age": OLDER}, version="1")
    send(services, "churn", {"age": AGES}, version="2")
    found = {
        version: ask("/api/v1/models/churn/drift/age/distribution", version=version).json() for version in ("1", "2")
    }
    assert [found[version]["decision"]["drifted"] for version in ("1", "2")] == [True, False]
    assert found["2"]["current"]["rows"] == 600


# --- drift over time -------------------------------------------------------------------------------------------------


def finding(model: str, end: datetime, state: DriftState = DriftState.NO_DRIFT, span_s: float = 3600) -> DriftFinding:
    return DriftFinding(model, None, Window.trailing(end, span_s), (FeatureDrift("age", "numeric", "ks", state, 9, 9),))


def test_kept_findings_are_thinned_to_whole_windows(services: Services) -> None:
    configure(services, "churn", window="1h")
    made = [AT - timedelta(minutes=5 * back) + timedelta(seconds=0.7) for back in range(60, 0, -1)]
    gone = (AT - timedelta(hours=3, minutes=20), AT - timedelta(hours=2, minutes=40))  # the worker was away
    for at in made:
        if not gone[0] < at < gone[1]:
            services.catalog.findings.put("churn", "drift", at, finding("churn", at))
    other = AT - timedelta(hours=4) + timedelta(seconds=0.1)
    services.catalog.findings.put("churn", "drift", other, finding("churn", other, span_s=600))
    newest = finding("churn", AT + timedelta(minutes=1))
    columns = drift_history.columns(services, "churn", AT + timedelta(minutes=1), newest, windows=6)
    assert [column.window.end for column in columns] == [
        *(AT - timedelta(hours=back) for back in range(5, -1, -1)),
        AT + timedelta(minutes=1),
    ]
    judged = [column.finding.window.end if column.finding else None for column in columns]
    assert judged == [
        AT - timedelta(hours=5) + timedelta(seconds=0.7),
        None,  # over another length
        None,  # nobody was there
        AT - timedelta(hours=2) + timedelta(seconds=0.7),
        AT - timedelta(hours=1) + timedelta(seconds=0.7),
        AT - timedelta(minutes=5) + timedelta(seconds=0.7),  # the one before: the one at the end is not there yet
        newest.window.end,
    ]
    assert [column.newest for column in columns] == [False] * 6 + [True]
    assert drift_history.columns(services, "unwatched", AT) == []
    services.catalog.findings.put("churn", "drift", AT, finding("churn", AT))
    again = drift_history.columns(services, "churn", AT, finding("churn", AT), windows=1)
    assert [(column.newest, column.finding is None) for column in again] == [(False, False)], "it is there once"


@pytest.mark.slow
def test_a_kept_decision_is_shown_as_it_was_and_its_neighbours_too(services: Services, ask: Ask) -> None:
    configure(services, "churn", window="1h")
    first = hold(services, "churn", {"age": AGES})
    send(services, "churn", {"age": OLDER})
    Evaluator().tick(services, AT)
    services.clock.advance(1)  # type: ignore[attr-defined]
    hold(services, "churn", {"age": OLDER})  # what it is held against changes afterwards
    services.clock.advance(7200)  # type: ignore[attr-defined]
    found = ask("/api/v1/models/churn/drift/age/distribution", at=AT.isoformat()).json()
    assert (found["judged_at"], found["reference_id"], found["decision"]["state"]) == (
        "2026-03-01T12:00:00Z",
        first,
        "drift",
    )
    now = ask("/api/v1/models/churn/drift/age/distribution", at=(AT + timedelta(microseconds=1)).isoformat()).json()
    assert (now["judged_at"], now["decision"]["state"]) == (None, "no_drift")
    window = Window.trailing(AT, 3600)
    made = AT - timedelta(minutes=59, seconds=58)
    services.catalog.findings.put("churn", "drift", made, finding("churn", made))
    before, after = drift_history.neighbours(services, "churn", window, services.clock.now())
    assert before == Window.trailing(made, 3600)
    assert after == Window.trailing(AT + timedelta(hours=1), 3600)
    assert drift_history.neighbours(services, "churn", window, AT)[1] is None


@pytest.mark.slow
def test_traffic_that_rolls_is_the_other_side(services: Services, ask: Ask) -> None:
    configure(services, "churn", window="1h", reference={"rolling": "2h"})
    for hours, ages in ((1, AGES), (2, AGES[:300]), (0, OLDER)):
        send(services, "churn", {"age": ages}, AT - timedelta(hours=hours))
    Evaluator().tick(services, AT)
    found = ask("/api/v1/models/churn/drift/age/distribution", at=AT.isoformat()).json()
    assert found["reference_id"].startswith("rolling 2h")
    assert (found["judged_at"] is not None, found["decision"]["state"]) == (True, "drift")
    assert found["reference"]["rows"] == found["decision"]["reference_rows"]
    assert sum(one["reference_rows"] for one in found["bins"]) == found["reference"]["present"]
    configure(services, "churn", window="1h")
    lost = ask("/models/churn/drift/age", at=AT.isoformat()).text
    assert "is not kept as a reference" in lost


@pytest.mark.slow
def test_a_finding_over_several_columns_is_told_without_bins(services: Services, ask: Ask) -> None:
    whole = FeatureDrift(
        "(all features)", "multivariate", "domain_classifier", DriftState.DRIFT, 400, 600, 0.8, 0.6, 1e-6
    )
    services.catalog.findings.put(
        "churn", "drift", AT, DriftFinding("churn", None, Window.trailing(AT, 3600), (whole,))
    )
    path = f"/models/churn/drift/{quote(whole.feature)}"
    found = ask(f"/api/v1{path}/distribution", at=AT.isoformat()).json()
    assert (found["kind"], found["bins"], found["levels"]) == ("multivariate", [], [])
    shown = ask(path, at=AT.isoformat()).text
    assert "domain classifier" in shown
    assert "no bins of its own" in shown
