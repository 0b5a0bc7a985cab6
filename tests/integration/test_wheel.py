"""The checkout becomes wheels that hold everything an empty folder needs: code, pages, migrations, dashboards."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ("migrations", "dashboards", "loadtests")
pytestmark = pytest.mark.slow


def build(project, folder):
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, project]
    run = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert run.returncode == 0, run.stdout + run.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def unpacked(wheel, tmp_path_factory):
    """The wheel as it lies in a site-packages."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def contents(folder):
    skipped = ("__pycache__",)
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and not any(part in skipped for part in path.parts)
    }


def test_the_package_is_whole(unpacked):
    assert contents(unpacked / "seamark") - {
        name for name in contents(unpacked / "seamark") if name.startswith("_shipped")
    } == contents(ROOT / "service" / "seamark")


@pytest.mark.parametrize("folder", SHIPPED)
def test_what_ships_beside_the_code_is_in_it(unpacked, folder):
    assert contents(unpacked / "seamark" / "_shipped" / folder) == contents(ROOT / folder)
    assert contents(ROOT / folder)


def test_nothing_else_is_in_it(unpacked):
    tops = {path.name for path in unpacked.iterdir()}
    assert {name for name in tops if not name.endswith(".dist-info")} == {"seamark"}


def test_it_finds_what_it_ships_from_an_empty_folder(unpacked, tmp_path):
    code = (
        "import seamark\n"
        "from seamark.shipped import shipped\n"
        f"print(seamark.__file__, *(shipped(name) for name in {SHIPPED!r}), sep='\\n')"
    )
    # -S and then the dependencies again: without the .pth file that puts the checkout on the path.
    import numpy as np

    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(unpacked), str(Path(np.__file__).parents[1])])}
    run = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    for line in run.stdout.splitlines():
        assert line.startswith(str(unpacked)), f"{line} is not in the wheel"


def test_the_command_is_declared(unpacked):
    entry_points = next(unpacked.glob("*.dist-info")) / "entry_points.txt"
    assert "seamark = seamark.cli:main" in entry_points.read_text()
    assert (next(unpacked.glob("*.dist-info")) / "licenses" / "LICENSE").exists()


def test_the_sdk_builds_by_itself_and_says_it_is_typed(tmp_path):
    with zipfile.ZipFile(build(ROOT / "sdk", tmp_path)) as archive:
        names = archive.namelist()
    assert "seamark_sdk/__init__.py" in names
    assert "seamark_sdk/py.typed" in names


def test_serve_works_from_it_in_an_empty_folder(unpacked, tmp_path):
    import numpy as np
    from tests.service_process import ServiceProcess

    places = [str(unpacked), str(Path(np.__file__).parents[1])]
    environment = {"PYTHONPATH": os.pathsep.join(places)}
    with ServiceProcess(tmp_path / "data", environment=environment, cwd=tmp_path, makes_stores=True) as service:
        assert service.get("/readyz")["ready"] is True
        assert service.http.get("/").status_code == 200
        assert service.http.get("/static/plotly.min.js").status_code == 200
