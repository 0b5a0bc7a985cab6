"""`seamark autoscale backtest`: a trace file -> all scaling policies side by side, without a service."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from seamark.calling import refusals
from seamark.core.backtest import TYPICAL_REPLICAS, Backtest, Fleet, Instants, Played, Trace
from seamark.core.errors import Invalid, StartRefused

REPLICAS_MOST = 10_000  # a fleet that would be larger at the peak is a mistake in the capacity
_HEADS = ("policy", "replica-hours", "over oracle", "violation min/day", "actions/day", "most replicas")


@click.command("backtest")
@click.option(
    "--trace", "path", type=click.Path(path_type=Path), required=True, help="CSV: t_s,rate_per_s[,dispersion]."
)
@click.option(
    "--cold-start",
    "cold_start_s",
    type=click.FloatRange(0, 3600),
    default=60.0,
    show_default=True,
    help="Seconds until a new replica serves.",
)
@click.option(
    "--capacity",
    "capacity_rps",
    type=float,
    default=None,
    help=f"Requests per second one replica carries.  [default: the mean load is {TYPICAL_REPLICAS} replicas]",
)
@click.option(
    "--slo-wait",
    "slo_wait_s",
    type=click.FloatRange(0, 3600),
    default=2.0,
    show_default=True,
    help="Seconds a request may wait in the queue.",
)
@click.option("--cost", type=click.FloatRange(0, 1e6), default=None, help="Price of a replica-hour.")
@click.option("--seed", type=click.IntRange(0, 2**31), default=1, show_default=True, help="Of the noise within steps.")
@click.option("--format", "kind", type=click.Choice(["table", "json"]), default="table", show_default=True)
@refusals
def backtest(
    path: Path,
    cold_start_s: float,
    capacity_rps: float | None,
    slo_wait_s: float,
    cost: float | None,
    seed: int,
    kind: str,
) -> None:
    """Play scaling policies on a trace file: what each costs, and how long it breaks the SLO. Needs no service."""
    from seamark.compute.backtest import judge
    from seamark.wire.trace_file import read_trace_file

    traffic = read_trace_file(_bytes(path))
    fleet = Fleet(_capacity(traffic, capacity_rps), cold_start_s, slo_wait_s)
    found = judge.backtest(traffic, fleet, seed=seed, cost_per_replica_hour=cost)
    if kind == "json":
        click.echo(json.dumps(_document(found), indent=2))
        return
    for line in _table(found):
        click.echo(line)
    for note in found.notes:
        click.echo(note)
    click.echo(found.verdict)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StartRefused(f"cannot read {path}: {error.strerror}") from None


def _capacity(traffic: Trace | Instants, given_rps: float | None) -> float:
    """Return requests per second of one replica, refusing what would be a fleet of nobody's size."""
    if isinstance(traffic, Instants):
        mean = peak = len(traffic.at_s) / traffic.duration_s
    else:
        mean, peak = float(traffic.rates.mean()), float(traffic.rates.max())
    if given_rps is None:
        return mean / TYPICAL_REPLICAS
    if not 0 < given_rps <= 1e9 or not peak / given_rps <= REPLICAS_MOST:
        least = peak / REPLICAS_MOST
        raise Invalid(
            f"--capacity {given_rps:g} is impossible here; {least:.3g} requests/s at least: the peak is {peak:.4g}"
        )
    return given_rps


def _document(found: Backtest) -> dict[str, Any]:
    return {
        "policies": [_policy(one) for one in found.policies],
        "verdict": found.verdict,
        "beats_hpa": found.beats_hpa,
        "simulator": found.simulator,
        "days": found.days,
        "capacity_rps": found.fleet.capacity_rps,
        "cold_start_s": found.fleet.cold_start_s,
        "slo_wait_s": found.fleet.slo_wait_s,
        "notes": list(found.notes),
    }


def _policy(one: Played) -> dict[str, Any]:
    told = asdict(one)
    if one.cost is None:
        del told["cost"]
    return told


def _table(found: Backtest) -> list[str]:
    priced = any(one.cost is not None for one in found.policies)
    rows = [(*_HEADS, "cost") if priced else _HEADS]
    for one in found.policies:
        row = (
            one.name,
            f"{one.replica_hours:,.1f}",
            f"{one.replica_hours_over_oracle:.3f}",
            f"{one.violation_minutes_per_day:.2f}",
            f"{one.actions_per_day:,.0f}",
            f"{one.replicas_max}",
        )
        rows.append((*row, f"{one.cost:,.2f}") if priced else row)
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
