"""Which files may be run as locustfiles, and what their process is told."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from seamark.core.errors import Invalid
from seamark.core.specs import LoadTestPlan, PayloadSpec, ShapeSpec
from seamark.runner import own
from seamark.runner.order import LoadOrder
from seamark_load.own_file import NotLoaded, load, read_own_order


def order(folder: Path | None, scenario: str = "shop.py", **params: Any) -> LoadOrder:
    shape = ShapeSpec("users", {"count": 3, "spawn_per_s": 2, "duration_s": 5, **params})
    plan = LoadTestPlan("n", "m", "http://m.test:8080/v1", PayloadSpec("rows"), shape, scenario=scenario)
    return LoadOrder(
        "r1",
        plan,
        (),
        ("http://m.test:8080",),
        seed=1,
        addresses={"m.test": ("10.0.0.7",)},
        caps={"http://m.test:8080": 9.0},
        loadtests_dir=folder,
        closed=(Path("/data"),),
    )


@pytest.mark.parametrize(
    "name",
    ["../shop.py", "/etc/shop.py", "a/shop.py", ".shop.py", "shop.py\x00", "shop.py\n", "", ".py", "shop.pyc", "-f.py"],
)
def test_only_a_plain_name_is_taken(name: str, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="is no plain file name"):
        own.locustfile(name, tmp_path)


def test_the_file_must_lie_in_the_folder_itself(tmp_path: Path) -> None:
    folder, outside = tmp_path / "loadtests", tmp_path / "outside.py"
    with pytest.raises(Invalid, match="there is no folder"):
        own.locustfile("shop.py", folder)
    with pytest.raises(Invalid, match="there is no folder None"):
        own.locustfile("shop.py", None)
    folder.mkdir()
    with pytest.raises(Invalid, match=r"there is no file shop.py in"):
        own.locustfile("shop.py", folder)
    outside.write_text("")
    (folder / "shop.py").symlink_to(outside)
    with pytest.raises(Invalid, match="leads out of the folder"):
        own.locustfile("shop.py", folder)
    (folder / "real.py").write_text("")
    (folder / "alias.py").symlink_to(folder / "real.py")
    assert own.locustfile("alias.py", folder) == own.locustfile("real.py", folder) == (folder / "real.py").resolve()
    (folder / "large.py").write_bytes(b" " * (own.FILE_BYTES_MAX + 1))
    with pytest.raises(Invalid, match="larger than 4 MiB"):
        own.locustfile("large.py", folder)


def test_the_generator_reads_what_the_service_wrote_and_removes_it(tmp_path: Path) -> None:
    (tmp_path / "lt").mkdir()
    (tmp_path / "work").mkdir()
    (tmp_path / "lt" / "shop.py").write_text("")
    own.write_own_order(order(tmp_path / "lt"), tmp_path / "work")
    read = read_own_order(tmp_path / "work")
    assert (read.run_id, read.seed) == ("r1", 1)
    assert (read.users, read.duration_s, read.limit_s) == (3, 5.0, 5.0 + 30.0 + own.OVERTIME_S)
    assert read.addresses == {"m.test": ["10.0.0.7"]} and read.caps == {"http://m.test:8080": 9.0}
    assert read.locustfile == (tmp_path / "lt" / "shop.py").resolve() and read.closed == ("/data",)
    assert [path.name for path in (tmp_path / "work").iterdir()] == [own.FILES]


def test_locust_is_started_as_anybody_would_with_the_plans_target_as_host() -> None:
    command = own.command(order(None))
    told = dict(pairwise(command))
    assert (told["--users"], told["--spawn-rate"], told["--host"]) == ("3", "2", "http://m.test:8080/v1")
    assert own.command(order(None, count=10**9))[command.index("--users") + 1] == str(own.USERS_MAX)
    at_once = own.command(order(None, spawn_per_s=None))
    assert at_once[at_once.index("--spawn-rate") + 1] == "3"


def test_the_process_is_told_nothing_of_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "packages" / "locust").mkdir(parents=True)
    (tmp_path / "secrets").mkdir()
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'secrets'}:{tmp_path / 'packages'}")
    for name in ("SEAMARK_DATABASE_URL", "AWS_SECRET_ACCESS_KEY", "http_proxy", "LOCUST_HOST", "PGPASSWORD"):
        monkeypatch.setenv(name, "hunter2")
    told = own.environment(tmp_path / "work", Path("/seamark"))
    assert "hunter2" not in str(told) and "secrets" not in str(told)
    assert told["PYTHONPATH"] == f"/seamark:{tmp_path / 'packages'}"
    assert told["HOME"] == told["TMPDIR"] == str(tmp_path / "work" / own.FILES)


class Base:
    """Stands for Locust's own classes: Locust itself would patch the process of these tests."""

    abstract = True


class OtherBase:
    abstract = True


BASES = f"from {__name__} import Base, OtherBase\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import json\n\nimport nothing_of_that_name\n", "ModuleNotFoundError: No module named .* line 3"),
        ("a = 1\nb = (\n", "SyntaxError: .* line 2"),
        ("def f():\n    return 1 / 0\nf()\n", "ZeroDivisionError: division by zero .* line 2"),
        ("import sys\nsys.exit('enough')\n", "SystemExit: enough .* line 2"),
        ("raise KeyboardInterrupt\n", "KeyboardInterrupt .* line 1"),
        ("raise ValueError('x' * 100_000)\n", "ValueError: x{300} "),
        ("x = 1\n", "defines no user"),
        (f"{BASES}class A(Base):\n    abstract = True\n", "defines no user"),
        (f"{BASES}class A(OtherBase):\n    abstract = False\n", "defines no user"),
    ],
)
def test_a_file_that_cannot_be_run_is_told_with_its_line(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "shop_that_fails.py"
    path.write_text(text)
    with pytest.raises(NotLoaded, match=says):
        load(path, Base, OtherBase)


def test_users_and_shapes_of_the_file_are_found_and_what_lies_beside_it_is_imported(tmp_path: Path) -> None:
    (tmp_path / "lies_beside_it.py").write_text("RATE = 3\n")
    path = tmp_path / "shop_that_loads.py"
    path.write_text(
        f"{BASES}from lies_beside_it import RATE\n"
        "class A(Base):\n    abstract = False\nclass B(A):\n    pass\nclass S(OtherBase):\n    abstract = False\n"
    )
    assert set(load(path, Base, OtherBase)) == {"A", "B", "S"}
