"""What README and docs tell people to type works as it stands there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from service_process import CLEAN, ROOT, ServiceProcess, run_cli

from seamark.app import known_names
from seamark.cli import main
from seamark.settings import Settings
from seamark.wire.config import parse_config

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "sdk" / "README.md"]
CLI = re.compile(r"^(?:\.venv/bin/)?seamark (.+)$")


def blocks(path: Path, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)


def lines_of_commands() -> list[Any]:
    found = []
    for path in DOCUMENTS:
        text = path.read_text().replace("\\\n", " ")  # a command may go on in the next line
        fenced = re.findall(r"^```(?:sh|console)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        indented = re.findall(r"^    .*$", text, re.MULTILINE)
        matches = [CLI.match(line.strip()) for line in "\n".join([*fenced, *indented]).splitlines()]
        told = [re.split(r"  #| [|>] ", match[1])[0].strip() for match in matches if match]
        found += [pytest.param(line, id=f"{path.name}: {line[:60]}") for line in told]
    return found


def test_there_are_commands_to_check() -> None:
    assert len(lines_of_commands()) >= 5


@pytest.mark.parametrize("arguments", lines_of_commands())
def test_every_command_line_is_one_the_cli_takes(arguments: str) -> None:
    words = shlex.split(arguments)
    command: click.Command = main
    context = click.Context(main)
    while isinstance(command, click.Group) and words:
        name = words.pop(0)
        found = command.get_command(context, name)
        assert found is not None, f"seamark has no command {name!r}"
        command = found
    words = [word for word in words if not word.startswith("$")]
    command.make_context("seamark", words, resilient_parsing=False)


def test_the_example_configuration_is_good() -> None:
    (example,) = blocks(ROOT / "docs" / "seamark-yaml.md", "yaml")
    config = parse_config(example, known_names())
    assert [model.name for model in config.models] == ["churn"]
    assert [plan.name for plan in config.loadtests] == ["churn-nightly"]
    assert {channel.kind for channel in config.channels} == {"alertmanager", "webhook"}


def test_every_key_of_the_configuration_is_documented() -> None:
    text = (ROOT / "docs" / "seamark-yaml.md").read_text()
    (example,) = blocks(ROOT / "docs" / "seamark-yaml.md", "yaml")
    for section, entries in yaml.safe_load(example).items():
        assert f"## {section}" in text
        for key in entries[0] if isinstance(entries, list) else entries:
            assert f"`{key}" in text, f"{section}.{key} is not explained"


def test_every_setting_can_be_found() -> None:
    told = "\n".join(path.read_text() for path in DOCUMENTS)
    missing = [f"SEAMARK_{name.upper()}" for name in Settings.__dataclass_fields__]
    assert [name for name in missing if name not in told] == []


QUICK_START = """
from fastapi import FastAPI

MODEL, VERSION, app, truth = "churn", "3", FastAPI(), 1
features, prediction, label, scores = {{"age": 41, "plan": "pro"}}, 1, 1, {{"0": 0.2, "1": 0.8}}
{block}
assert sea.flush(10.0), "not everything was sent"
sea.shutdown(10.0)
"""


@pytest.mark.slow
@pytest.mark.parametrize("document", ["README.md", "sdk/README.md"])
def test_the_quick_start_makes_a_model_appear(document: str, tmp_path: Path) -> None:
    block = next(b for b in blocks(ROOT / document, "python") if "seamark_sdk.init(" in b and "log_label" in b)
    with ServiceProcess(tmp_path / "data", makes_stores=True) as service:
        program = QUICK_START.format(block=re.sub(r"http://127\.0\.0\.1:\d+", service.url, block))
        command = [sys.executable, "-c", program]
        there = {**CLEAN, "OTEL_EXPORTER_OTLP_ENDPOINT": service.url}
        done = subprocess.run(command, env=there, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        (model,) = service.get("/api/v1/models")
        assert sum(version["predictions"] for version in model["versions"]) == 1
        performance = service.get(f"/api/v1/models/{model['name']}/performance")
        assert performance["labelled"] == 1


def test_the_demo_serves_its_model_by_the_same_lines() -> None:
    server = (ROOT / "demo" / "model_server.py").read_text()
    block = next(b for b in blocks(ROOT / "sdk" / "README.md", "python") if "seamark_sdk.init(" in b)
    calls = [line for line in block.splitlines() if line and not line.startswith("#") and "log_label" not in line]
    assert len(calls) == 4
    assert [line for line in calls if line not in [there.strip() for there in server.splitlines()]] == []


@pytest.mark.slow
def test_the_readme_commands_against_a_running_service(tmp_path: Path) -> None:
    (example,) = blocks(ROOT / "docs" / "seamark-yaml.md", "yaml")
    path = tmp_path / "seamark.yaml"
    path.write_text(example.replace("churn-nightly", "churn-smoke").replace("{replay: 1h}", "{rows: [{age: 41}]}"))
    with ServiceProcess(tmp_path / "data") as service:
        there = ("--url", service.url)
        assert run_cli("check", "-f", str(path)).returncode == 0
        dry = run_cli("apply", "-f", str(path), "--dry-run", *there)
        assert (dry.returncode, "would change" in dry.stdout) == (0, True)
        applied = run_cli("apply", "-f", str(path), *there)
        assert "+ model churn" in applied.stdout
        assert run_cli("apply", "-f", str(path), *there).stdout.strip() == "nothing to change"
        junit = tmp_path / "junit.xml"
        ran = run_cli("loadtest", "run", "churn-smoke", "--wait", "--junit", str(junit), *there)
        assert ran.returncode == 3, ran.stdout + ran.stderr  # nothing listens at the example's target
        assert "<testsuite" in junit.read_text()
        unknown = run_cli("loadtest", "run", "nowhere", "--wait", *there)
        assert (unknown.returncode, "nowhere" in unknown.stderr) == (2, True)

        def advised() -> Any:
            return run_cli("autoscale", "recommend", "churn", "--format", "keda", *there)

        service.until(lambda: advised().returncode == 0, "a recommendation", 30.0)
        assert yaml.safe_load(advised().stdout)["kind"] == "ScaledObject"
        held = run_cli("autoscale", "recommend", "churn", *there)
        assert (held.returncode, "hold" in held.stdout) == (3, True)
        silent = run_cli("apply", "-f", str(path), "--url", "http://127.0.0.1:9")
        assert (silent.returncode, "seamark serve" in silent.stderr) == (5, True)
