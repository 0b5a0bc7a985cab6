"""`seamark autoscale backtest`: a trace file, or a model's own history -> all scaling policies side by side."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Any

import click

from seamark.calling import talks
from seamark.client import Client, Unreachable
from seamark.core.clock import SystemClock
from seamark.core.errors import ExitCode, InputRefused, StartRefused
from seamark.core.own_backtest import DAYS, contract

_HEADS = ("policy", "replica-hours", "over oracle", "violation min/day", "actions/day", "most replicas")
_OF_TRACES = ("slo_wait", "cost", "seed")
COLD_START_S, SLO_WAIT_S, SEED = 60.0, 2.0, 1  # of a trace
_POLL_S = 0.5


@click.command("backtest")
@click.argument("model", required=False)
@click.option("--trace", "path", type=click.Path(path_type=Path), help="CSV: t_s,rate_per_s[,dispersion].")
@click.option("--days", type=float, default=None, help="Of MODEL's own history.  [default: 14]")
@click.option("--cold-start", type=float, default=None, help="Seconds until a new replica serves.  [default: 60]")
@click.option(
    "--capacity",
    type=float,
    default=None,
    help="Requests per second one replica carries.  [default: the model's; of a trace, the mean load is 20 replicas]",
)
@click.option("--slo-wait", type=float, default=None, help="Seconds a request may wait; of a trace.  [default: 2]")
@click.option("--cost", type=float, default=None, help="Price of a replica-hour; of a trace.")
@click.option("--seed", type=click.IntRange(0, 2**31), default=None, help="Of the noise within a trace's steps.")
@click.option("--format", "kind", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--wait", "wait_s", type=click.FloatRange(1, 86_400), default=1800.0, help="Seconds for MODEL's answer.")
@talks
def backtest(
    client: Client, model: str | None, path: Path | None, days: float | None, kind: str, wait_s: float, **given: Any
) -> None:
    """Play scaling policies on a trace file, or on MODEL's own last two weeks: what each costs, and how long it breaks
    the SLO. With --trace no service is needed. Exit 3 where MODEL has too little to go by.
    """
    if (model is None) == (path is None):
        raise StartRefused("name a MODEL, whose own history is played, or a file with --trace; one of both")
    if path is not None:
        if days is not None:
            raise StartRefused("--days is of a model's own history; a trace is played whole")
        found = _of_trace(path, **given)
    else:
        wrong = [f"--{name.replace('_', '-')}" for name in _OF_TRACES if given[name] is not None]
        if wrong:
            raise StartRefused(f"{', '.join(wrong)}: of traces alone; a model's own come from its seamark.yaml")
        found = _of_model(client, str(model), days, given["cold_start"], given["capacity"], wait_s)
    if kind == "json":
        click.echo(json.dumps(found, indent=2))
    else:
        for line in _told(found):
            click.echo(line)
    sys.exit(ExitCode.OK if "policies" in found else ExitCode.INCONCLUSIVE)


def _of_trace(
    path: Path,
    *,
    cold_start: float | None,
    capacity: float | None,
    slo_wait: float | None,
    cost: float | None,
    seed: int | None,
) -> dict[str, Any]:
    from seamark.compute.backtest import judge
    from seamark.compute.backtest.sized import fleet
    from seamark.wire.trace_file import read_trace_file

    traffic = read_trace_file(_bytes(path))
    cold_start_s = COLD_START_S if cold_start is None else cold_start
    sized = fleet(traffic, capacity, cold_start_s, SLO_WAIT_S if slo_wait is None else slo_wait, cost)
    return contract(judge.backtest(traffic, sized, seed=SEED if seed is None else seed, cost_per_replica_hour=cost))


def _of_model(
    client: Client,
    model: str,
    days: float | None,
    cold_start_s: float | None,
    capacity_rps: float | None,
    wait_s: float,
) -> dict[str, Any]:
    """Ask for a backtest and return it; Unreachable where no worker has made it in time."""
    path = f"/api/v1/models/{client.quoted(model)}/backtest"
    given = {"days": DAYS if days is None else days, "cold_start_s": cold_start_s, "capacity_rps": capacity_rps}
    asked = client.post(path, {name: _number(name, value) for name, value in given.items() if value is not None})
    at, clock = datetime.fromisoformat(asked["asked"]["at"]), SystemClock()
    until_s = clock.monotonic_s() + wait_s
    while clock.monotonic_s() < until_s:
        try:
            found: dict[str, Any] = client.get(path)
        except InputRefused:  # 404: the first one is being played
            found = {"asked_at": None}
        if found["asked_at"] is not None and datetime.fromisoformat(found["asked_at"]) >= at:
            return found
        Event().wait(_POLL_S)
    raise Unreachable(
        f"the backtest of {model[:100]} was not played within {wait_s:g} s; it goes on: does a worker run?"
    )


def _number(name: str, value: float) -> float:
    """JSON has no nan and no inf: the service could not even say that they are wrong."""
    if value != value or abs(value) == float("inf"):
        raise StartRefused(f"--{name.removesuffix('_s').removesuffix('_rps').replace('_', '-')} {value:g} is no number")
    return value


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StartRefused(f"cannot read {path}: {error.strerror}") from None


def _told(found: Mapping[str, Any]) -> list[str]:
    """Return the lines of a table, its notes and the verdict; of a model also what it was played with."""
    if "policies" not in found:
        return [str(found["reason"])]
    lines = [*_table(found["policies"]), *found["notes"]]
    if "window" in found:
        lines.append(
            f"{found['days']:.1f} days of its own arrivals; capacity {found['capacity_rps']:.4g} requests/s "
            f"({found['capacity_source']}), cold start {found['cold_start_s']:g} s ({found['cold_start_source']}), "
            f"{found['min']} to {found['max']} replicas."
        )
        if found["what_if"]:
            lines.append("A what-if: the recommendation's own gate does not go by it.")
    return [*lines, str(found["verdict"])]


def _table(policies: Sequence[Mapping[str, Any]]) -> list[str]:
    priced = any(one.get("cost") is not None for one in policies)
    rows: list[tuple[str, ...]] = [(*_HEADS, "cost") if priced else _HEADS]
    for one in policies:
        row = (
            str(one["name"]),
            f"{one['replica_hours']:,.1f}",
            f"{one['replica_hours_over_oracle']:.3f}",
            f"{one['violation_minutes_per_day']:.2f}",
            f"{one['actions_per_day']:,.0f}",
            f"{one['replicas_max']}",
        )
        rows.append((*row, f"{one['cost']:,.2f}") if priced else row)
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
