"""docker-compose.yml and the Dockerfile hold together: what they name exists, and nothing is open to the world."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from seamark.settings import SECRETS, Settings

ROOT = Path(__file__).resolve().parents[3]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
OURS = {name for name, service in SERVICES.items() if service["image"].startswith("seamark:")}
DOCKERFILE = (ROOT / "Dockerfile").read_text()

# The keys of the Compose Specification that this file uses, and the types it gives them.
KEYS = {
    "build": str,
    "cap_drop": list,
    "command": list,
    "depends_on": dict,
    "entrypoint": list,
    "environment": dict,
    "healthcheck": dict,
    "image": str,
    "ports": list,
    "profiles": list,
    "read_only": bool,
    "restart": str,
    "secrets": list,
    "security_opt": list,
    "stop_grace_period": str,
    "tmpfs": list,
    "volumes": list,
}


def test_every_key_is_one_of_the_specification_and_has_its_type():
    assert {key for key in COMPOSE if not key.startswith("x-")} == {"name", "services", "volumes", "secrets"}
    for name, service in SERVICES.items():
        for key, value in service.items():
            assert key in KEYS, f"{name}: {key}"
            assert isinstance(value, KEYS[key]), f"{name}: {key}"
        for value in service.get("environment", {}).values():
            assert isinstance(value, str), f"{name}: write {value!r} in quotes, or YAML makes something else of it"
        for check in ("interval", "timeout"):
            if "test" in service.get("healthcheck", {}):
                assert re.fullmatch(r"\d+s", service["healthcheck"][check])


def test_every_port_is_bound_to_this_machine_only():
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    for port in published:
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port), port
    assert len({port.split(":")[1] for port in published}) == len(published)


def test_images_are_pinned():
    for name, service in SERVICES.items():
        image, _, tag = service["image"].partition(":")
        assert image, name
        assert re.search(r"\d+\.\d+", tag), f"{name}: {service['image']} needs a version as its tag"
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert {SERVICES[name]["image"] for name in OURS} == {f"seamark:{version[1]}"}


def test_what_a_service_waits_for_exists_and_can_happen():
    for name, service in SERVICES.items():
        for other, wish in service.get("depends_on", {}).items():
            assert other in SERVICES, f"{name} waits for {other}"
            if wish["condition"] == "service_healthy":
                assert "test" in SERVICES[other]["healthcheck"], f"{other} never becomes healthy"
            else:
                assert wish["condition"] == "service_completed_successfully"
                assert SERVICES[other]["restart"] == "on-failure", f"{other} must end"


def test_volumes_and_secrets_exist():
    used_volumes, used_secrets = set(), set()
    for name, service in SERVICES.items():
        used_secrets |= set(service.get("secrets", []))
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (ROOT / source).exists(), f"{name}: {source}"
                assert volume.endswith(":ro"), f"{name}: {source} should be read-only"
            else:
                used_volumes.add(source)
        for variable, value in service.get("environment", {}).items():
            if value.startswith("/run/secrets/"):
                assert value.removeprefix("/run/secrets/") in service["secrets"], f"{name}: {variable}"
        for argument in service.get("command", []):
            for secret in re.findall(r"/run/secrets/(\w+)", argument):
                assert secret in service["secrets"], f"{name}: {argument}"
    assert used_volumes == set(COMPOSE["volumes"])
    assert used_secrets == set(COMPOSE["secrets"])


def test_the_secrets_script_makes_every_secret_once(tmp_path):
    (tmp_path / "scripts").mkdir()
    script = tmp_path / "scripts" / "compose_secrets"
    script.write_bytes((ROOT / "scripts" / "compose_secrets").read_bytes())
    subprocess.run(["sh", script], check=True, capture_output=True, timeout=30)
    made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    assert set(made) == set(COMPOSE["secrets"]) | {".gitignore"}
    assert made[".gitignore"] == "*\n"
    assert made["postgres_password"] in made["database_url"]
    (identity,) = json.loads(made["s3_identities"])["identities"]
    assert identity["credentials"] == [
        {"accessKey": made["s3_access_key_id"], "secretKey": made["s3_secret_access_key"]}
    ]
    assert len(made["postgres_password"]) == 48
    subprocess.run(["sh", script], check=True, capture_output=True, timeout=30)
    assert {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()} == made


def test_settings_are_settings():
    known = {f"SEAMARK_{field.name.upper()}" for field in fields(Settings)}
    known |= {f"SEAMARK_{name.upper()}_FILE" for name in SECRETS}
    for name in OURS - {"model", "traffic"}:
        given = {variable for variable in SERVICES[name]["environment"] if variable.startswith("SEAMARK_")}
        assert given
        assert given <= known, given - known


@pytest.mark.parametrize("name", sorted(OURS - {"model", "traffic"}))
def test_commands_are_commands(name):
    from seamark.cli import main

    command = SERVICES[name]["command"]
    words = [word for word in command if not word.startswith("--")]
    answer = CliRunner().invoke(main, [*words[: 2 if words[0] == "db" else 1], "--help"])
    assert answer.exit_code == 0, answer.output
    for flag in command:
        if flag.startswith("--"):
            assert flag in answer.output


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model", "traffic"])
def test_demo_programs_take_their_flags(name):
    script = ROOT / SERVICES[name]["entrypoint"][1].removeprefix("/opt/")
    run = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    for flag in SERVICES[name]["command"]:
        if flag.startswith("--"):
            assert flag in run.stdout, f"{script.name} has no {flag}"


def test_prometheus_scrapes_the_services_by_their_names():
    config = yaml.safe_load((ROOT / "dashboards" / "prometheus" / "prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    targets = {target.split(":")[0] for target in job["static_configs"][0]["targets"]}
    assert job["job_name"] == "seamark"
    assert targets == {name for name in OURS if SERVICES[name]["command"][0] == "serve"}
    (alertmanagers,) = config["alerting"]["alertmanagers"][0]["static_configs"]
    assert alertmanagers["targets"][0].split(":")[0] in SERVICES


def test_grafana_is_told_what_its_provisioning_asks_for():
    text = (ROOT / "dashboards" / "provisioning" / "datasources" / "seamark.yaml").read_text()
    given = SERVICES["grafana"]["environment"]
    for variable in re.findall(r"\$([A-Z_]+)", text):
        host = re.fullmatch(r"http://([\w-]+):\d+", given[variable])
        assert host
        assert host[1] in SERVICES
    providers = yaml.safe_load((ROOT / "dashboards" / "provisioning" / "dashboards" / "seamark.yaml").read_text())
    folder = providers["providers"][0]["options"]["path"]
    assert f"./dashboards:{folder}:ro" in SERVICES["grafana"]["volumes"]


def test_the_dockerfile_copies_what_exists_and_the_context_holds():
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    sources = {source for line in copied for source in line.split()}
    assert sources == allowed
    for source in sources:
        assert (ROOT / source).exists(), source


def test_the_image_runs_as_nobody_special_and_carries_no_build_tools():
    final = DOCKERFILE.rsplit("FROM ", 1)[1]
    assert re.search(r"^USER \d+$", final, re.MULTILINE)
    assert "apt-get" not in DOCKERFILE
    assert "--require-hashes" in DOCKERFILE
    assert "pip" not in final
