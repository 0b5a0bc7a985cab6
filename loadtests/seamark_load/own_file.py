"""A folder with an order -> the run of somebody's own locustfile, and that file's users and shapes, loaded."""

from __future__ import annotations

import importlib.util
import inspect
import json
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

from seamark.core.thresholds import Threshold, parse_threshold


@dataclass(frozen=True)
class OwnOrder:
    """A run of somebody's own locustfile as the service ordered it."""

    run_id: str
    seed: int
    target: str
    allow: tuple[str, ...]
    addresses: Mapping[str, list[str]]
    caps: Mapping[str, float]
    locustfile: Path
    closed: tuple[str, ...]
    users: int
    duration_s: float
    limit_s: float
    abort: tuple[Threshold, ...]
    parent_pid: int


def read_own_order(work_dir: Path) -> OwnOrder:
    """Return the order in `work_dir` and remove it: what it says is not for the locustfile to read."""
    path = work_dir / "order.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    path.unlink()
    return OwnOrder(
        run_id=document["run_id"],
        seed=document["seed"],
        target=document["target"],
        allow=tuple(document["allow"]),
        addresses=document["addresses"],
        caps=document["caps"],
        locustfile=Path(document["locustfile"]),
        closed=tuple(document["closed"]),
        users=document["users"],
        duration_s=document["duration_s"],
        limit_s=document["limit_s"],
        abort=tuple(parse_threshold(text, with_hold=True) for text in document["abort"]),
        parent_pid=document["parent_pid"],
    )


class NotLoaded(Exception):
    """The locustfile cannot be run; the message says why and where in it."""


def load(path: Path, user: type, shape: type) -> dict[str, type]:
    """Import the locustfile as Locust does, and return its users and shapes (by Locust's base classes) by name."""
    sys.path.insert(0, str(path.parent))
    name = "locustfile" if path.stem == "locust" else path.stem
    spec = importlib.util.spec_from_loader(name, SourceFileLoader(name, str(path)))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:  # noqa: BLE001 - sys.exit() in it, too, is a file that cannot be run
        raise NotLoaded(f"{path.name} could not be loaded: {told(error, path)}") from None
    finally:
        sys.path.remove(str(path.parent))
    found = {name: value for name, value in vars(module).items() if _is_runnable(value, (user, shape))}
    if not any(issubclass(value, user) for value in found.values()):
        raise NotLoaded(f"{path.name} defines no user; write a class derived from HttpUser or FastHttpUser in it")
    return found


def _is_runnable(value: Any, kinds: tuple[type, ...]) -> bool:
    return inspect.isclass(value) and issubclass(value, kinds) and not getattr(value, "abstract", True)


def told(error: BaseException, path: Path) -> str:
    """An exception in one line, with the last line of the locustfile it came through."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    if isinstance(error, SyntaxError) and error.filename == str(path):
        lines.append(error.lineno or 0)
    words = " ".join(str(error.msg if isinstance(error, SyntaxError) else error).split())[:300]
    kind = type(error).__name__
    return f"{kind}{': ' if words else ''}{words}" + (f" ({path.name}, line {lines[-1]})" if lines else "")
