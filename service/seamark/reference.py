"""`seamark reference`: what a model is held against, put, listed, promoted and rolled back from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from seamark.calling import talks
from seamark.client import Client
from seamark.core.errors import StartRefused

# As in wire/rows.py, which a command need not load.
MEDIA_TYPES = {
    ".parquet": "application/vnd.apache.parquet",
    ".csv": "text/csv",
    ".arrows": "application/vnd.apache.arrow.stream",
    ".arrow": "application/vnd.apache.arrow.stream",
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    ".ndjson": "application/x-ndjson",
}


@click.group()
def reference() -> None:
    """What models are held against."""


@reference.command("list")
@click.argument("model")
@click.option("--version", default=None, help="Of this version only; '' is what holds for all versions.")
@talks
def reference_list(client: Client, model: str, version: str | None) -> None:
    """List a model's references, newest first; * marks those in force."""
    asked = {} if version is None else {"version": version}
    for one in client.get(f"{_place(client, model)}/references", params=asked)["references"]:
        click.echo(_line(one))


@reference.command("put")
@click.argument("model")
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--version", default="", help="For this version only.")
@click.option("--from", "start", default=None, help="Of live traffic from this instant, instead of a file.")
@click.option("--to", "end", default=None, help="To this instant.")
@click.option("--keep", is_flag=True, help="Keep it for a later `promote`, instead of putting it in force.")
@talks
def reference_put(
    client: Client, model: str, path: Path | None, version: str, start: str | None, end: str | None, keep: bool
) -> None:
    """Make a file (Parquet, CSV, Arrow, JSON), or a stretch of live traffic, what a model is held against."""
    params = {"version": version, "promote": str(not keep).lower()}
    place = f"{_place(client, model)}/reference"
    if path is None:
        if start is None or end is None:
            raise StartRefused("name a file, or --from and --to of live traffic")
        made = client.upload(place, {"from": start, "to": end}, params=params)
    elif start or end:
        raise StartRefused("name a file, or --from and --to of live traffic, not both")
    else:
        made = client.upload(place, *_read(path), params=params)
    click.echo(_line(made))


@reference.command("promote")
@click.argument("model")
@click.argument("reference_id")
@talks
def reference_promote(client: Client, model: str, reference_id: str) -> None:
    """Put a reference in force; one that is stays so."""
    found = client.post(f"{_place(client, model)}/references/{client.quoted(reference_id)}/promote")
    click.echo(_line(found) if found["changed"] else f"{_line(found)}  (it was already)")


@reference.command("rollback")
@click.argument("model")
@click.option("--version", default="", help="Of this version's own references.")
@talks
def reference_rollback(client: Client, model: str, version: str) -> None:
    """Put the reference in force that was before the present one."""
    place = _place(client, model)
    present = client.get(f"{place}/reference", params={"version": version})
    found = client.post(f"{place}/reference/rollback", params={"version": version, "from": present["id"]})
    click.echo(_line(found))


def _place(client: Client, model: str) -> str:
    return f"/api/v1/models/{client.quoted(model)}"


def _read(path: Path) -> tuple[bytes, str]:
    kind = MEDIA_TYPES.get(path.suffix.lower())
    if kind is None:
        raise StartRefused(f"{path} is of no kind that is read; they end in {', '.join(MEDIA_TYPES)}")
    try:
        return path.read_bytes(), kind
    except OSError as error:
        raise StartRefused(f"cannot read {path}: {error.strerror or error}") from None


def _line(one: dict[str, Any]) -> str:
    mark = "*" if one["in_force"] else " "
    source = one["source"].get("upload") or f"{one['source'].get('from')} to {one['source'].get('to')}"
    version = one["version"] or "every version"
    return f"{mark} {one['id']}  {version:20} {one['rows']:>9,} rows  made {one['created_at']}  {source}"
