"""References through the application's doors: what they keep, what is judged against them, and who changed them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from click.testing import CliRunner
from tests.house import House

from seamark.cli import main
from seamark.core.findings import DriftState
from seamark.engine.services import Services
from seamark.store import references


def states(house: House, **asked: str) -> dict[str, str]:
    answer = house.client.get(f"{house.place}/drift", params=asked)
    assert answer.status_code == 200, answer.text
    return {feature["feature"]: feature["state"] for feature in answer.json()["features"]}


def predictions(count: int, *, yes: float, seed: int = 1, **more: Any) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    scores = rng.uniform(size=count)
    return [
        {
            "features": {"x": float(rng.normal())},
            "prediction": "yes" if score < yes else "no",
            "scores": {"yes": float(score) * yes},
            **more,
        }
        for score in scores
    ]


@pytest.mark.slow
def test_what_a_model_answers_is_judged_beside_its_features(house: House) -> None:
    training = predictions(500, yes=0.5, seed=2)
    flat = [{"x": row["features"]["x"], **{k: row[k] for k in ("prediction", "scores")}} for row in training]
    assert house.client.put(f"{house.place}/reference", json=flat).status_code == 201
    house.send(predictions(300, yes=0.5))
    assert states(house) == dict.fromkeys(("x", "prediction", "scores.yes"), DriftState.NO_DRIFT)
    house.pass_s(7200)
    house.send(predictions(300, yes=0.8))
    moved = states(house)
    assert moved == {"x": "no_drift", "prediction": "drift", "scores.yes": "drift"}
    house.pass_s(7200)
    house.send([{"features": {"x": 0.0}} for _ in range(120)])
    assert {name: state for name, state in states(house).items() if name != "x"} == dict.fromkeys(
        ("prediction", "scores.yes"), "not_in_window"
    )


def test_a_reference_of_live_traffic_keeps_answers_and_the_labels_that_came(house: House) -> None:
    rows = predictions(40, yes=0.5)
    for number, row in enumerate(rows):
        row |= {"prediction_id": f"p{number}", "features": {"x": float(number)} if number % 4 else {"w": f"{number}"}}
    house.send(rows)
    truth = [{"model": house.model, "prediction_id": f"p{number}", "label": number % 2} for number in range(30)]
    assert house.client.post("/api/v1/labels", json=truth).json()["accepted"] == 30
    now = house.services.clock.now().timestamp()
    made = house.client.put(f"{house.place}/reference", json={"from": str(now - 60), "to": str(now)}).json()
    assert made["rows"] == 40
    reference = house.services.catalog.references.current(house.model)
    assert reference is not None
    found = references.rows(house.services.lake, reference.schema, reference.id)
    for x, w, text, label, scores in zip(
        found.features.numeric["x"],
        found.features.categorical["w"],
        found.prediction_text,
        found.label_number,
        found.scores,
        strict=True,
    ):
        number = int(w) if w is not None else int(x)
        assert text == rows[number]["prediction"]
        assert json.loads(scores) == rows[number]["scores"]
        assert (np.isnan(label) and number >= 30) or label == number % 2


def test_a_reference_of_answers_alone_will_do(house: House) -> None:
    body = "prediction,label\n" + "\n".join(f"{n % 7},{n % 2}" for n in range(200))
    headers = {"Content-Type": "text/csv"}
    assert house.client.put(f"{house.place}/reference", content=body, headers=headers).json()["rows"] == 200
    rows = [{"prediction": n % 7, "features": {"prediction": "p"}} for n in range(150)]
    house.send(rows)
    assert states(house) == {"prediction": "not_in_reference", "(prediction)": "no_drift"}


@pytest.mark.parametrize("column", ["prediction", "label", "scores"])
def test_outcomes_that_cannot_be_taken_keep_the_reference_in_force(house: House, column: str) -> None:
    assert house.client.put(f"{house.place}/reference", json=[{"x": 1.0}]).status_code == 201
    answer = house.client.put(f"{house.place}/reference", json=[{"x": 2.0, column: [1]}])
    assert answer.status_code == 400
    assert column in answer.json()["detail"]
    assert house.client.get(f"{house.place}/reference").json()["rows"] == 1


def put(house: House, x: float, **asked: Any) -> str:
    answer = house.client.put(f"{house.place}/reference", json=[{"x": x}] * 3, params=asked)
    assert answer.status_code == 201, answer.text
    found: str = answer.json()["id"]
    return found


def in_force(house: House, **asked: str) -> str:
    found: str = house.client.get(f"{house.place}/reference", params=asked).json()["id"]
    return found


def test_references_are_listed_promoted_and_rolled_back_and_all_of_it_is_noted(house: House) -> None:
    first, second = put(house, 1.0), put(house, 2.0)
    later = put(house, 3.0, promote="false")
    own = put(house, 4.0, version="2")
    assert in_force(house) == second
    assert in_force(house, version="2") == own
    house.pass_s(60)
    for changed in (True, False):
        answer = house.client.post(f"{house.place}/references/{later}/promote").json()
        assert (answer["id"], answer["in_force"], answer["changed"]) == (later, True, changed)
    for changed in (True, False):  # a retry does not go back further
        answer = house.client.post(f"{house.place}/reference/rollback", params={"from": later}).json()
        assert (answer["id"], answer["changed"]) == (second, changed)
    assert house.client.post(f"{house.place}/reference/rollback").json()["id"] == first
    refused = house.client.post(f"{house.place}/reference/rollback")
    assert (refused.status_code, "none to go back to" in refused.json()["detail"]) == (409, True)
    refused = house.client.post(f"{house.place}/reference/rollback", params={"from": second})
    assert (refused.status_code, in_force(house)) == (200, first)  # it was left a moment ago
    refused = house.client.post(f"{house.place}/reference/rollback", params={"from": later})
    assert (refused.status_code, in_force(house)) == (409, first)
    assert house.client.post(f"{house.place}/references/nothing/promote").status_code == 404
    assert house.client.post("/api/v1/models/other/references/" + first + "/promote").status_code == 404
    assert house.client.post(f"{house.place}/reference/rollback", params={"version": "3"}).status_code == 404
    listed = house.client.get(f"{house.place}/references", params={"version": ""}).json()
    assert {one["id"]: one["in_force"] for one in listed["references"]} == {first: True, second: False, later: False}
    done = [(one["action"], one["reference_id"], one["by"]) for one in listed["changes"]]
    assert done == [
        ("rollback", first, ""),
        ("rollback", second, ""),
        ("promote", later, ""),
        ("put", second, ""),
        ("put", first, ""),
    ]
    everything = house.client.get(f"{house.place}/references").json()["references"]
    assert {one["id"] for one in everything if one["in_force"]} == {first, own}


@pytest.mark.slow
def test_who_changed_a_reference_is_noted_by_key(services: Services, client: httpx.Client) -> None:
    house = House(services, client, "churn")

    def key(scope: str, model: str | None = None) -> dict[str, str]:
        made = client.post("/api/v1/keys", json={"scope": scope, "model": model}, headers=admin)
        return {"Authorization": f"Bearer {made.json()['key']}"}

    admin: dict[str, str] = {}
    admin = key("admin")
    house.pass_s(3)
    run, read, other = key("run", house.model), key("read"), key("run", "other")
    for headers in (read, other):
        assert client.put(f"{house.place}/reference", json=[{"x": 1}], headers=headers).status_code == 403
        assert client.post(f"{house.place}/reference/rollback", headers=headers).status_code == 403
        assert client.post(f"{house.place}/references/x/promote", headers=headers).status_code == 403
        assert client.delete(f"{house.place}/types", params={"feature": "x"}, headers=headers).status_code == 403
    assert client.put(f"{house.place}/reference", json=[{"x": 1}], headers=run).status_code == 201
    (change,) = client.get(f"{house.place}/references", headers=read).json()["changes"]
    assert change["by"] == run["Authorization"].split("_")[1]
    assert client.get(f"{house.place}/references", headers=other).status_code == 403


def test_types_are_told_and_a_wrong_first_row_can_be_taken_back(house: House) -> None:
    house.send([{"features": {"x": "1"}}])
    (found,) = house.client.get(f"{house.place}/types").json()["features"]
    assert (found["feature"], found["type"], found["reference_id"]) == ("x", "categorical", None)
    assert house.client.delete(f"{house.place}/types", params={"feature": "x"}).status_code == 204
    assert house.client.delete(f"{house.place}/types", params={"feature": "x"}).status_code == 404
    assert house.send([{"features": {"x": 1}}])["accepted"] == 1
    reference = put(house, 1.0)
    (found,) = house.client.get(f"{house.place}/types", params={"version": "7"}).json()["features"]
    assert (found["type"], found["reference_id"]) == ("numeric", reference)


@pytest.mark.slow
def test_the_command_line_puts_lists_promotes_and_rolls_back(house: House, tmp_path: Path) -> None:
    url = str(house.client.base_url).rstrip("/")

    def seamark(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(main, ["reference", words[0], house.model, *words[1:], "--url", url])
        return done.exit_code, done.output

    for name, body in (("a.csv", "x\n1\n2\n"), ("b.jsonl", '{"x": 1}\n'), ("c.txt", "")):
        (tmp_path / name).write_text(body)
    code, first = seamark("put", str(tmp_path / "a.csv"))
    assert (code, first[0], "2 rows" in first, "text/csv" in first) == (0, "*", True, True)
    code, second = seamark("put", str(tmp_path / "b.jsonl"), "--keep")
    assert (code, second[0]) == (0, " ")
    assert seamark("promote", second.split()[0])[1].startswith(f"* {second.split()[0]}")
    assert "it was already" in seamark("promote", second.split()[0])[1]
    assert sorted(line[0] for line in seamark("list")[1].splitlines()) == [" ", "*"]  # put at one instant
    assert seamark("rollback")[1].split()[1] == first.split()[1]
    for words, told in (
        (("rollback",), "none to go back to"),
        (("put", str(tmp_path / "c.txt")), "is of no kind that is read"),
        (("put", str(tmp_path / "nowhere.csv")), "cannot read"),
        (("put",), "name a file, or --from"),
        (("promote", "nothing"), "has no reference 'nothing'"),
        (("put", "--from", "2026-01-01", "--to", "2026-01-02"), "logged no prediction"),
    ):
        code, output = seamark(*words)
        assert (code, told in output) == (2, True), output
