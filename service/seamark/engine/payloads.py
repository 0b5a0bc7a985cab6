"""A plan's payload -> the rows that a run sends, with the answers recorded of them."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from seamark.compute.shapes import replay
from seamark.core.errors import Invalid
from seamark.core.specs import LoadTestPlan
from seamark.core.windows import Window, format_duration
from seamark.engine.services import Services
from seamark.store import predictions
from seamark.wire import payload_template
from seamark.wire.payload_file import FILE_BYTES_MAX, name_fault, read_payload_file

REPLAY_ROWS_MAX = 5_000
TIMED_ROWS_MAX = 50_000
REPLAY_ARRIVALS_MAX = 500_000


@dataclass(frozen=True)
class PayloadRows:
    """Rows to be sent. `answers` (of each row what it was answered, None: not known) may be empty; `notes` go with the
    verdict.
    """

    bodies: Sequence[Mapping[str, Any]]
    answers: Sequence[Any] = ()
    notes: tuple[str, ...] = ()


def rows_of(services: Services, plan: LoadTestPlan, at: datetime) -> PayloadRows:
    """Return what a plan sends that starts at `at`; Invalid where there is nothing, or its file cannot be read."""
    payload = plan.payload
    if payload.kind == "rows":
        return PayloadRows([dict(row) for row in payload.rows])
    if payload.kind == "template" and payload.template is not None:
        return PayloadRows(payload_template.fill(payload.template, payload.seed, payload.count))
    if payload.kind == "file" and payload.file is not None:
        rows, answers = read_payload_file(read_bytes(services.loadtests_dir, payload.file), payload.file)
        return PayloadRows(rows, answers)
    return _replayed(services, plan, at)


def _replayed(services: Services, plan: LoadTestPlan, at: datetime) -> PayloadRows:
    window, told = window_of(plan, at)
    schemas = services.catalog.schemas.of(plan.model)
    # With their own timing rows are sent from the first on, else the newest are as good as any.
    timed = plan.shape.kind == "replay"
    rows_max = TIMED_ROWS_MAX if timed else REPLAY_ROWS_MAX
    logged = predictions.logged_requests(services.lake, schemas, plan.model, window, rows_max, newest=not timed)
    if not logged:
        raise Invalid(f"there is nothing to replay: {plan.model} logged no prediction {told}")
    arrivals = len(plan.shape.params.get("instants_s", ())) if timed else 0
    told = f"of {arrivals:,} recorded arrivals the first {len(logged):,} have their own inputs; these come again"
    return PayloadRows(
        [request.inputs for request in logged],
        [request.prediction for request in logged],
        (told,) if arrivals > len(logged) else (),
    )


def window_of(plan: LoadTestPlan, at: datetime) -> tuple[Window, str]:
    """Return the stretch of the prediction log that is replayed, and its words.

    Where the arrivals are replayed, too, it is theirs: the first TIMED_ROWS_MAX rows then come at their own instants.
    """
    recorded = replay.window(plan.shape.params) if plan.shape.kind == "replay" else None
    if isinstance(recorded, tuple):
        return Window(*recorded), f"from {recorded[0]} to {recorded[1]}"
    span_s = recorded or plan.payload.replay_s or 3600.0
    return Window.trailing(at, span_s), f"in the last {format_duration(span_s)}"


def arrivals_of(services: Services, plan: LoadTestPlan, at: datetime) -> LoadTestPlan:
    """Return a plan that replays recorded arrivals with their instants, in seconds from the first of its window."""
    if plan.shape.kind != "replay" or replay.window(plan.shape.params) is None:
        return plan
    window, told = window_of(plan, at)
    instants = predictions.arrivals(services.lake, plan.model, window, REPLAY_ARRIVALS_MAX + 1)
    if not len(instants):
        raise Invalid(f"there is nothing to replay: {plan.model} logged no prediction {told}")
    if len(instants) > REPLAY_ARRIVALS_MAX:
        raise Invalid(f"{plan.model} logged over {REPLAY_ARRIVALS_MAX:,} predictions {told}: replay a shorter stretch")
    params = {**plan.shape.params, "instants_s": instants.tolist()}
    return replace(plan, shape=replace(plan.shape, params=params))


def read_bytes(folder: Path, name: str) -> bytes:
    """Return what a file of the folder for load tests holds, of at most FILE_BYTES_MAX bytes.

    Invalid for a name with a path in it, a link, anything that is no plain file, and where there is none.
    """
    fault = name_fault(name)
    if fault:
        raise Invalid(f"payload file {name!r:.100} {fault}")
    where = f"payload file {name} in the folder for load tests ({folder})"
    try:
        # A link is not followed, and a pipe is not waited for: what is opened here is in the folder itself.
        descriptor = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        told = (
            "is a link; put the file itself there"
            if (folder / name).is_symlink()
            else f"cannot be read: {error.strerror}"
        )
        raise Invalid(f"{where} {told}") from None
    about = os.fstat(descriptor)
    fault = "" if stat.S_ISREG(about.st_mode) else "is no plain file"
    if about.st_size > FILE_BYTES_MAX:
        fault = fault or f"has more than {FILE_BYTES_MAX // 1024 // 1024} MiB; put a sample there"
    if fault:
        os.close(descriptor)
        raise Invalid(f"{where} {fault}")
    with os.fdopen(descriptor, "rb") as file:
        return file.read(FILE_BYTES_MAX + 1)
