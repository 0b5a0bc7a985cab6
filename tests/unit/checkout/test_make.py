"""The Makefile and its scripts: every target is told, and what cannot work says so in one sentence."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SCRIPTS = sorted(path for path in (ROOT / "scripts").iterdir() if path.is_file())
MAKEFILE = (ROOT / "Makefile").read_text()


def run(command, **more):
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **more)


def test_help_lists_the_targets_a_person_calls_from_any_folder(tmp_path):
    told = run(["make", "-C", ROOT, "help"], cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    for target in ("check", "test", "quick", "demo", "bench", "soak", "lock", "test-lowest", "wheel", "clean"):
        assert f"make {target} " in told.stdout


@pytest.mark.parametrize("target", re.findall(r"^\.PHONY: (\S+)", MAKEFILE, re.MULTILINE))
def test_every_target_can_be_planned(target):
    assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), f"{target} is declared and not there"
    planned = run(["make", "-C", ROOT, "-n", target])
    assert planned.returncode == 0, planned.stderr


def test_make_alone_is_the_check():
    assert run(["make", "-C", ROOT, "-n"]).stdout == run(["make", "-C", ROOT, "-n", "check"]).stdout


@pytest.mark.parametrize("script", [*SCRIPTS, ROOT / ".ci" / "run"], ids=lambda path: path.name)
def test_scripts_can_be_run_and_are_plain_sh(script):
    assert script.stat().st_mode & stat.S_IXUSR
    assert script.read_text().startswith("#!/bin/sh\n")
    assert run(["sh", "-n", script]).returncode == 0


def test_ci_runs_the_command_of_the_readme():
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("exec make test")


def path_with(folder, **programs):
    """Return a PATH of one folder holding these scripts and the plain commands they need."""
    for name in ("sh", "dirname", "sort", "tr", "id", "cat"):
        (folder / name).symlink_to(shutil.which(name))
    for name, body in programs.items():
        file = folder / name.replace("_", "-")
        file.write_text(f"#!/bin/sh\n{body}\n")
        file.chmod(0o755)
    return {**os.environ, "PATH": str(folder), "PYTHON": ""}


def test_without_a_python_that_fits_the_reason_and_the_way_out_are_told(tmp_path):
    old = 'if [ "$1" = --version ]; then echo "Python 3.9.2"; else exit 1; fi'
    told = run(["sh", ROOT / "scripts" / "find_python"], env=path_with(tmp_path, python3=old))
    assert told.returncode == 2
    assert told.stdout == ""
    assert "3.11 or newer" in told.stderr
    assert "python3: Python 3.9.2" in told.stderr
    assert "make PYTHON=" in told.stderr


def test_the_first_python_that_fits_is_taken(tmp_path):
    environment = path_with(tmp_path, python3="exit 1", **{"python3.12": "exit 0"})
    told = run(["sh", ROOT / "scripts" / "find_python"], env=environment)
    assert told.stdout.strip() == str(tmp_path / "python3.12")


def test_a_python_named_by_hand_comes_first(tmp_path):
    environment = path_with(tmp_path, python3="exit 0", mine="exit 0")
    told = run(["sh", ROOT / "scripts" / "find_python"], env={**environment, "PYTHON": "mine"})
    assert told.stdout.strip() == str(tmp_path / "mine")


def system_packages(folder, **programs):
    environment = path_with(folder, **programs)
    environment.pop("CI", None)
    return ["sh", ROOT / "scripts" / "system_packages"], environment


def test_where_nothing_can_be_installed_the_left_out_tests_are_named(tmp_path):
    command, environment = system_packages(tmp_path, prometheus="", promtool="")
    told = run(command, env=environment)
    assert told.returncode == 0
    assert "chromium prometheus-alertmanager" in told.stderr
    assert "left out" in told.stderr
    assert run(command, env={**environment, "CI": "true"}).returncode == 1


def test_what_is_there_is_not_installed_again(tmp_path):
    command, environment = system_packages(
        tmp_path, chromium="", prometheus="", promtool="", prometheus_alertmanager="", apt_get="echo called >&2; exit 1"
    )
    told = run(command, env=environment)
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")


def test_the_environment_script_knows_its_two_words():
    told = run(["sh", ROOT / "scripts" / "environment", "production"])
    assert told.returncode == 2
    assert "dev|demo" in told.stderr


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_locks_hold_hashes_and_no_addresses(lock):
    text = (ROOT / lock).read_text()
    pins = re.findall(r"^([A-Za-z0-9._-]+)==", text, re.MULTILINE)
    assert len(pins) > 50
    blocks = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)
    assert all("--hash=sha256:" in block for block in blocks if "==" in block)
    assert "://" not in text
    assert "make lock" in text


def test_the_demo_needs_nothing_that_the_tests_have_in_another_version():
    def pins(lock):
        return set(re.findall(r"^[A-Za-z0-9._-]+(?:\[[^\]]*\])?==[^ ;\\]+", (ROOT / lock).read_text(), re.MULTILINE))

    assert pins("requirements.lock") <= pins("requirements-dev.lock")
