"""The alertmanager channel against Debian's real Alertmanager: an alert fires, is told again, and resolves."""

from __future__ import annotations

import dataclasses
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from seamark.core.findings import AlertStatus
from seamark.delivery.channels import CHANNELS
from seamark.delivery.message import AlertMessage

pytestmark = pytest.mark.slow

BINARY = Path("/usr/bin/prometheus-alertmanager")
CONFIG = """\
route: {receiver: nobody, group_wait: 1s, group_interval: 1s, group_by: [alertname]}
receivers: [{name: nobody}]
"""


def wait_for(what: str, check: Callable[[], Any], within_s: float = 20.0) -> Any:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            found = check()
        except httpx.TransportError:
            found = None
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {within_s:g} s")


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False) as made:
        yield made


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory, client: httpx.Client) -> Iterator[str]:
    if not BINARY.exists():
        reason = f"{BINARY} is missing; install Debian's prometheus-alertmanager"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("alertmanager")
    (folder / "config.yml").write_text(CONFIG)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    arguments = [
        f"--config.file={folder / 'config.yml'}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([str(BINARY), *arguments], stdout=log, stderr=log)
    try:
        wait_for("Alertmanager ready", lambda: client.get(f"{url}/-/ready").is_success)
        yield url
    except AssertionError as error:
        raise AssertionError(f"{error}\n{(folder / 'log').read_text()[-2000:]}") from None
    finally:
        process.terminate()
        process.wait(10)


def message(labels: dict[str, str], status: AlertStatus = AlertStatus.FIRING) -> AlertMessage:
    now = datetime.now(UTC)  # Alertmanager compares with its own clock
    return AlertMessage(
        key="k1",
        fingerprint="f1",
        status=status,
        labels=labels,
        annotations={"summary": "features drifted", "value": "0.31"},
        starts_at=now - timedelta(minutes=2),
        ends_at=None if status == AlertStatus.FIRING else now - timedelta(seconds=1),
        sent_at=now,
        url="http://seamark.test/alerts",
    )


def shown(client: httpx.Client, url: str, name: str) -> list[dict[str, Any]]:
    answer = client.get(f"{url}/api/v2/alerts", params={"filter": f'alertname="{name}"'})
    return list(answer.raise_for_status().json())


def test_an_alert_fires_and_resolves(alertmanager: str, client: httpx.Client) -> None:
    channel = CHANNELS["alertmanager"]
    labels = {"alertname": "SeamarkDrift", "model": "churn", "severity": "ticket"}
    firing = message(labels)
    channel.deliver(client, alertmanager, firing)

    [alert] = wait_for("the alert", lambda: shown(client, alertmanager, "SeamarkDrift"))
    assert alert["labels"] == labels
    assert alert["annotations"]["summary"] == "features drifted"
    assert alert["generatorURL"] == "http://seamark.test/alerts"
    assert datetime.fromisoformat(alert["startsAt"]) - firing.starts_at < timedelta(milliseconds=1)
    wait_for("state active", lambda: shown(client, alertmanager, "SeamarkDrift")[0]["status"]["state"] == "active")

    # Said again with another value, it is the same alert, held for longer.
    again = dataclasses.replace(
        firing, annotations={"summary": "worse"}, sent_at=firing.sent_at + timedelta(seconds=60)
    )
    channel.deliver(client, alertmanager, again)
    [alert] = wait_for(
        "the new words",
        lambda: [a for a in shown(client, alertmanager, "SeamarkDrift") if a["annotations"]["summary"] == "worse"],
    )
    assert datetime.fromisoformat(alert["endsAt"]) - firing.sent_at > timedelta(seconds=299)

    channel.deliver(client, alertmanager, message(labels, AlertStatus.RESOLVED))
    wait_for("the alert gone", lambda: not shown(client, alertmanager, "SeamarkDrift"))


def test_hostile_text_is_taken_as_text(alertmanager: str, client: httpx.Client) -> None:
    text = 'a"}\r\n</script>\u2028\ud800\U0001f600'
    labels = {"alertname": "Hostile", "model": text, "da.ta-set": "x", "9": "y", "empty": "", "": "z"}
    sent = dataclasses.replace(message(labels), url=f"http://seamark.test/models/{text}")
    CHANNELS["alertmanager"].deliver(client, alertmanager, sent)
    [alert] = wait_for("the alert", lambda: shown(client, alertmanager, "Hostile"))
    expected = text.replace("\ud800", "\ufffd")
    assert alert["labels"] == {"alertname": "Hostile", "model": expected, "da_ta_set": "x", "_9": "y", "_": "z"}
