"""`seamark release`: a service's comparison of two versions becomes a table for people and an exit code for CI."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from seamark.calling import talks
from seamark.client import Client
from seamark.core.errors import ExitCode

VERDICT_EXIT = {"promote": ExitCode.OK, "hold": ExitCode.FAILED, "inconclusive": ExitCode.INCONCLUSIVE}
_COLUMNS = ("", "baseline", "candidate", "effect", "90 % interval", "tolerated", "state")
_UNKNOWN = "-"


@click.group()
def release() -> None:
    """Version against version."""


@release.command("check")
@click.argument("model")
@click.option("--baseline", required=True, help="The version that serves now.")
@click.option("--candidate", required=True, help="The version that may take its place.")
@click.option("--start", default=None, help="RFC 3339 or epoch seconds.  [default: one window before the end]")
@click.option("--end", default=None, help="RFC 3339 or epoch seconds.  [default: now]")
@click.option("--window", default=None, help="Length up to the end, like 30m.  [default: 1h]")
@click.option("--format", "kind", type=click.Choice(["table", "json"]), default="table", show_default=True)
@talks
def release_check(
    client: Client,
    model: str,
    baseline: str,
    candidate: str,
    start: str | None,
    end: str | None,
    window: str | None,
    kind: str,
) -> None:
    """Say whether a version may be promoted. Exit 0 promote, 1 hold, 3 inconclusive."""
    asked = {"baseline": baseline, "candidate": candidate, "start": start, "end": end, "window": window}
    params = {name: value for name, value in asked.items() if value is not None}
    answer = client.get(f"/api/v1/models/{client.quoted(model)}/compare", params=params)
    if kind == "json":
        click.echo(json.dumps(answer, indent=2))
    else:
        click.echo(f"{answer['verdict']}: {answer['reason']}")
        for line in _table([_row(metric) for metric in answer["metrics"]]):
            click.echo(line)
    sys.exit(VERDICT_EXIT[answer["verdict"]])


def _row(metric: dict[str, Any]) -> tuple[str, ...]:
    shares = metric["unit"] != "relative"
    name = metric["metric"] if metric["feature"] is None else f"{metric['metric']} of {metric['feature']}"
    state = metric["state"] + ("" if metric["critical"] else " (not critical)")
    if metric["rows_needed"] is not None:
        state += f", needs {metric['rows_needed']:,} rows"
    bounds = [_signed(metric[bound]) for bound in ("low", "high")]
    return (
        name,
        _value(metric["baseline"], shares=shares),
        _value(metric["candidate"], shares=shares),
        _signed(metric["effect"]),
        _UNKNOWN if _UNKNOWN in bounds else f"{bounds[0]} to {bounds[1]}",
        f"{metric['tolerance'] * 100:g} %",
        state,
    )


def _value(value: float | None, *, shares: bool) -> str:
    if value is None:
        return _UNKNOWN
    return f"{value * 100:.4g} %" if shares else f"{value:.4g}"


def _signed(effect: float | None) -> str:
    return _UNKNOWN if effect is None else f"{effect * 100:+.3g} %"


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    rows = [_COLUMNS, *rows]
    widths = [max(len(row[place]) for row in rows) for place in range(len(_COLUMNS))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
