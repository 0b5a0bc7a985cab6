"""The `seamark` command: serve, check, apply, and what CI and people ask a running service for."""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import sys
from functools import wraps
from pathlib import Path
from typing import Any

import click

from seamark import __version__
from seamark.backtest import backtest
from seamark.calling import Command, refusals, talks
from seamark.client import Client
from seamark.core.errors import ExitCode, InputRefused, StartRefused
from seamark.loadtest import loadtest
from seamark.reference import reference
from seamark.release import release
from seamark.settings import SECRETS, Settings, read_settings

MANIFESTS = (
    "hpa",
    "keda",
    "keda-external",
    "keda-prometheus",
)  # those of delivery/scalers, not imported for their names


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="seamark")
def main() -> None:
    """Seamark watches deployed models and says how much load they can carry."""


def local_settings(command: Command) -> Command:
    """Add the flags that name the stores."""

    @click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of the embedded stores.")
    @click.option("--database-url", help="SQLAlchemy URL of the catalog; default SQLite in the data folder.")
    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return command(*args, **kwargs)

    return wrapped  # type: ignore[return-value]


@main.command()
@local_settings
@click.option("--host", help="Address to bind; not loopback: API keys are needed.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 takes a free one.  [default: 8000]")
@click.option("--otlp-port", type=click.IntRange(0, 65535), help="Also listened to when free; 0: not.  [default: 4318]")
@click.option(
    "--grpc-port",
    type=click.IntRange(0, 65535),
    help="gRPC: OTLP and KEDA's external scaler; 0: not.  [default: 4317 when free]",
)
@click.option("--config", type=click.Path(path_type=Path), help="A seamark.yaml to apply at start.")
@click.option(
    "--loadtests-dir", type=click.Path(path_type=Path), help="Folder of payload files and locustfiles that plans name."
)
@click.option("--role", type=click.Choice(["all", "web", "worker"]), help="What this node does.  [default: all]")
@click.option("--lake", help="Where the lake's files lie: a folder or s3://bucket/prefix.")
@click.option("--insecure", is_flag=True, default=None, help="Serve without keys on an address others can reach.")
@refusals
def serve(**flags: Any) -> None:
    """Run the service until Ctrl-C or SIGTERM; it then drains and exits 0."""
    # Read when NumPy is loaded. Small matrices on several threads, which wait for each other by spinning, take many
    # times as long as on one where the cores have other work; and each thread holds a buffer.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from seamark.serving import serve as run

    settings = read_settings(flags)
    _set_up_logs(settings)
    run(settings)


@main.command()
@click.option("-f", "--file", "path", type=click.Path(path_type=Path), default="seamark.yaml", show_default=True)
@refusals
def check(path: Path) -> None:
    """Refuse all that an apply would refuse, without a service."""
    from seamark.app import known_names
    from seamark.wire.config import parse_config

    config = parse_config(_read(path), known_names(), str(path))
    found = {"model": config.models, "load test": config.loadtests, "channel": config.channels}
    counts = (f"{len(some)} {noun if len(some) == 1 else noun + 's'}" for noun, some in found.items())
    click.echo(f"{path} is good: {', '.join(counts)}")


@main.command()
@click.option("-f", "--file", "path", type=click.Path(path_type=Path), default="seamark.yaml", show_default=True)
@click.option("--dry-run", is_flag=True, help="Say what would change and change nothing.")
@talks
def apply(client: Client, path: Path, dry_run: bool) -> None:
    """Put a seamark.yaml in force; prints what changes."""
    try:
        answer = client.put("/api/v1/config", text=_read(path), params={"dry_run": dry_run})
    except InputRefused as error:  # the service knows the text, and not what its file is called
        words = re.sub(r"^seamark\.yaml(?= has )", lambda _: str(path), str(error))
        raise InputRefused(words, error.problems) from None
    for line in answer["changes"]:
        click.echo(line)
    word = "would change" if dry_run else "changed"
    click.echo(f"{len(answer['changes'])} {word}" if answer["changes"] else "nothing to change")


main.add_command(loadtest)
main.add_command(reference)
main.add_command(release)


@main.group()
def autoscale() -> None:
    """Replica recommendations."""


autoscale.add_command(backtest)


@autoscale.command("recommend")
@click.argument("model")
@click.option("--format", "kind", type=click.Choice(["table", "json", *MANIFESTS]), default="table", show_default=True)
@talks
def autoscale_recommend(client: Client, model: str, kind: str) -> None:
    """Say how many replicas a model needs, and why. Exit 3 where it is not known."""
    path = f"/api/v1/models/{client.quoted(model)}/recommendation"
    if kind in MANIFESTS:
        click.echo(client.text(f"{path}/manifest", params={"kind": kind}), nl=False)
        return
    advice = client.get(path)
    if kind == "json":
        click.echo(json.dumps(advice, indent=2))
    else:
        for name in ("state", "replicas", "current", "min", "max", "capacity_rps", "arrivals_rps", "headroom_ratio"):
            value = advice[name]
            told = f"{value:.4g}" if isinstance(value, float) else value
            click.echo(f"{name:16}{'unknown' if value is None else told}")
        click.echo(advice["reason"])
        if advice.get("gate") is not None:
            made = f"backtest of {advice['gate']['at']}: " if advice["gate"].get("at") else ""
            click.echo(f"{made}{advice['gate']['sentence']}")
        for line in _input_lines(advice["inputs"]):
            click.echo(line)
    sys.exit(ExitCode.OK if advice["state"] == "ok" else ExitCode.INCONCLUSIVE)


@autoscale.command("replay")
@click.argument("model")
@click.option("--at", default=None, help="RFC 3339; the newest recommendation made by then.  [default: now]")
@talks
def autoscale_replay(client: Client, model: str, at: str | None) -> None:
    """Make a stored recommendation again from its own inputs. Exit 1 where it departs, 3 where too little is stored."""
    path = f"/api/v1/models/{client.quoted(model)}/recommendation/replay"
    found = client.get(path, params={"at": at} if at else None)
    stored, again, departures = found["stored"], found["again"], found["departures"]
    if departures is None:
        click.echo(f"{stored['at']}  not known: an older Seamark stored it without what it was made of")
        sys.exit(ExitCode.INCONCLUSIVE)
    count = "unknown" if stored["replicas"] is None else stored["replicas"]
    click.echo(f"{stored['at']}  {'departs' if departures else 'same'}  replicas {count}")
    for name in departures:
        click.echo(f"    {name}: stored {json.dumps(stored[name])}, made again {json.dumps(again[name])}")
    sys.exit(ExitCode.FAILED if departures else ExitCode.OK)


def _input_lines(inputs: list[dict[str, Any]]) -> list[str]:
    """Return the inputs of advice as lines: value, state, source, metric, age, and what a reader must know."""
    lines = [f"{'input':16}{'value':>12} {'unit':11}{'state':9}{'source':13}measured at"] if inputs else []
    for one in inputs:
        value = "unknown" if one["value"] is None else f"{one['value']:.4g}"
        lines.append(
            f"{one['name']:16}{value:>12} {one['unit']:11}{one['state']:9}{one['source']:13}{one['at'] or '-'}".rstrip()
        )
        lines += [f"    {text}" for text in (one["metric"], one["note"]) if text]
    return lines


@main.group()
def keys() -> None:
    """API keys."""


@keys.command("create")
@click.option("--scope", type=click.Choice(["ingest", "read", "run", "admin"]), required=True)
@click.option("--model", default=None, help="Bind the key to one model.")
@click.option("--local", is_flag=True, help="Write to the catalog itself: for the first key, before a service runs.")
@local_settings
@talks
def keys_create(client: Client, scope: str, model: str | None, local: bool, **stores: Any) -> None:
    """Make a key and print it, once."""
    if local:
        click.echo(_create_locally(read_settings(stores), scope, model))
        return
    made = client.post("/api/v1/keys", {"scope": scope, "model": model})
    click.echo(made["key"])


def _create_locally(settings: Settings, scope: str, model: str | None) -> str:
    from seamark.core.clock import SystemClock
    from seamark.core.keys import RANDOM_BYTES, first_key_problem, new_key
    from seamark.store.catalog import Catalog
    from seamark.store.catalog.database import Database
    from seamark.store.catalog.keys import KeyRecord

    settings.data_dir.mkdir(parents=True, exist_ok=True)
    catalog = Catalog(Database(settings.catalog_url))
    try:
        catalog.database.upgrade()
        made = new_key(scope, secrets.token_bytes(RANDOM_BYTES))
        # Who can write here can write an admin key after it as well: a word is enough.
        problem = None if catalog.keys.any() else first_key_problem(scope, model)
        if problem:
            click.echo(f"seamark: {problem} --local", err=True)
        catalog.keys.add(KeyRecord(made.key_id, made.hash, scope, model, SystemClock().now(), None))
    finally:
        catalog.close()
    return made.plain


@keys.command("list")
@talks
def keys_list(client: Client) -> None:
    """List every key, never the key itself."""
    for key in client.get("/api/v1/keys"):
        state = f"revoked {key['revoked_at']}" if key["revoked_at"] else "good"
        click.echo(
            f"{key['id']}  {key['scope']:7} {key['model'] or 'every model':20} made {key['created_at']}  {state}"
        )


@keys.command("revoke")
@click.argument("key_id")
@talks
def keys_revoke(client: Client, key_id: str) -> None:
    """Make a key worthless from now on."""
    client.delete(f"/api/v1/keys/{client.quoted(key_id)}")
    click.echo(f"{key_id} is revoked")


@main.group()
def db() -> None:
    """The catalog's schema."""


@db.command("upgrade")
@local_settings
@refusals
def db_upgrade(**stores: Any) -> None:
    """Bring the catalog to the newest revision this Seamark knows."""
    from seamark.store.catalog.database import Database

    settings = read_settings(stores)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    database = Database(settings.catalog_url)
    before, after = database.upgrade()
    click.echo(f"already at {after}" if before == after else f"upgraded from {before or 'nothing'} to {after}")
    database.close()


@db.command("current")
@local_settings
@refusals
def db_current(**stores: Any) -> None:
    """Print the catalog's revision."""
    from seamark.store.catalog.database import Database

    settings = read_settings(stores)
    if settings.embedded and not (settings.data_dir / "seamark.db").exists():
        raise StartRefused(
            f"there is no catalog in {settings.data_dir}; `seamark serve` or `seamark db upgrade` makes one"
        )
    database = Database(settings.catalog_url)
    click.echo(database.current_revision() or "empty")
    database.close()


@main.command()
@local_settings
@refusals
def doctor(**stores: Any) -> None:
    """Print the settings in force, versions, disk, and the health of lake and catalog."""
    from seamark.doctor import examine

    healthy = True
    for name, value, good in examine(read_settings(stores), SECRETS):
        click.echo(f"{'ok ' if good else 'BAD'} {name:28}{value}")
        healthy = healthy and good
    sys.exit(ExitCode.OK if healthy else ExitCode.FAILED)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise StartRefused(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None


def _set_up_logs(settings: Settings) -> None:
    level = logging.getLevelNamesMapping().get(settings.log_level.upper())
    if level is None:
        raise StartRefused(f"log level {settings.log_level!r} is not known; known are debug, info, warning, error")
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s", stream=sys.stderr)
    for chatty in ("httpx", "alembic"):
        logging.getLogger(chatty).setLevel(max(level, logging.WARNING))


if __name__ == "__main__":
    main()
