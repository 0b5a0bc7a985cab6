"""A plan with a locustfile of the user's own -> the order, the command and the environment of its sandbox."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from seamark.core.errors import Invalid
from seamark.runner.order import LoadOrder
from seamark.shipped import shipped
from seamark.wire.targets import locustfile_fault

FILES = "files"  # the only folder that the locustfile may write into
FILE_BYTES_MAX = 4 * 1024 * 1024
OVERTIME_S = 60.0  # Locust's imports and the file's own, on top of what the plan says
USERS_MAX = 10_000  # of one process, whatever a plan says
# What a Python process needs to start; nothing that names the service, its stores or its keys.
KEPT_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "TZ")


def locustfile(name: str, folder: Path | None) -> Path:
    """Return where the locustfile lies; Invalid says what is wrong with it. It must lie in `folder` itself."""
    fault = locustfile_fault(name)
    if fault:
        raise Invalid(f"{name[:100]!r} {fault}")
    if folder is None or not folder.is_dir():
        raise Invalid(f"there is no folder {folder} for locustfiles; make it, or set SEAMARK_LOADTESTS_DIR")
    path = folder / name
    if not path.is_file():
        raise Invalid(f"there is no file {name} in {folder} (SEAMARK_LOADTESTS_DIR)")
    if path.resolve().parent != folder.resolve():
        raise Invalid(f"{name} in {folder} leads out of the folder; put the file itself there")
    if path.stat().st_size > FILE_BYTES_MAX:
        raise Invalid(f"{name} is larger than {FILE_BYTES_MAX // 1024 // 1024} MiB")
    return path.resolve()


def write_own_order(order: LoadOrder, work_dir: Path) -> None:
    """Write the order into `work_dir`, and make the folder the locustfile may write into; Invalid as locustfile()."""
    plan, params = order.plan, order.plan.shape.params
    path = locustfile(plan.scenario, order.loadtests_dir)
    (work_dir / FILES).mkdir()
    document = {
        "run_id": order.run_id,
        "seed": order.seed,
        "target": plan.target,
        "allow": list(order.allow),
        "addresses": {host: list(found) for host, found in (order.addresses or {}).items()},
        "caps": dict(order.caps),
        "locustfile": str(path),
        "closed": [str(folder.resolve()) for folder in order.closed],
        "users": min(int(params["count"]), USERS_MAX),
        "duration_s": float(params["duration_s"]),
        "limit_s": longest_s(order),
        "abort": [str(threshold) for threshold in plan.abort],
        "parent_pid": os.getpid(),
    }
    (work_dir / "order.json").write_text(json.dumps(document), encoding="utf-8")


def longest_s(order: LoadOrder) -> float:
    """The run's wall-clock limit: after it, the whole process group is ended."""
    return float(order.plan.shape.params["duration_s"]) + order.plan.timeout_s + OVERTIME_S


def command(order: LoadOrder) -> list[str]:
    """Locust as anybody would start it for this file, but for the file that shuts the sandbox first."""
    params = order.plan.shape.params
    users = min(int(params["count"]), USERS_MAX)
    options = ["--headless", "--users", str(users), "--spawn-rate", f"{float(params.get('spawn_per_s') or users):g}"]
    options += ["--host", order.plan.target, "--only-summary", "--exit-code-on-error", "0", "--loglevel", "ERROR"]
    # Who waits for an answer as the run ends may have it: answers that are late must not go missing.
    options += ["--stop-timeout", str(math.ceil(order.plan.timeout_s))]
    loadtests = shipped("loadtests")
    start, file = str(loadtests / "own_start.py"), str(loadtests / "own_locustfile.py")
    return [sys.executable, "-P", start, "-f", file, *options]


def environment(work_dir: Path, root: Path) -> Mapping[str, str]:
    """Return all that the process is told: no setting, secret or proxy of the service, and no home but the work folder.

    `root` is where Seamark's own package lies. Of PYTHONPATH only what Locust is loaded from is kept. A HOME that is
    missing would be looked up as that of the service's user, so there is one.
    """
    kept = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
    paths = [Path(path).resolve() for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    needed = [root, *(path for path in paths if (path / "locust").is_dir())]
    files = str(work_dir / FILES)
    return {
        **kept,
        "HOME": files,
        "TMPDIR": files,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(map(str, needed))),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
