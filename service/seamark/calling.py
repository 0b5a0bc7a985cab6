"""What every command shares that talks to a running service: where it is, a key, and one sentence for each failure."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, NoReturn, TypeVar

import click

from seamark.client import Client
from seamark.core.errors import ExitCode, SeamarkError, StartRefused

Command = TypeVar("Command", bound=Callable[..., Any])


def refusals(command: Command) -> Command:
    """Turn refusals into one clear message and exit code 2, silence of the service into exit code 5."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except SeamarkError as error:
            _fail(error)

    return wrapped  # type: ignore[return-value]


def _fail(error: SeamarkError) -> NoReturn:
    click.echo(f"seamark: {error}", err=True)
    if not isinstance(error, StartRefused):
        for problem in error.problems:
            # One that is the whole error is not told twice.
            if problem.line is not None or problem.message not in str(error):
                click.echo(f"  {problem}", err=True)
    sys.exit(exit_code(error))


def exit_code(error: SeamarkError) -> ExitCode:
    """2 for what the caller must change, 5 for a service that is silent or failed."""
    return ExitCode.NO_ANSWER if error.kind in ("unreachable", "try-later", "internal") else ExitCode.BAD_INPUT


def talks(command: Command) -> Command:
    """Add --url and --api-key, and hand the command a client."""

    @click.option(
        "--url", envvar="SEAMARK_URL", default="http://127.0.0.1:8000", show_default=True, help="The service."
    )
    @click.option("--api-key", envvar="SEAMARK_API_KEY", default=None, help="A key of sufficient scope.")
    @wraps(command)
    def wrapped(url: str, api_key: str | None, **kwargs: Any) -> Any:
        with Client(url, api_key) as client:
            return command(client=client, **kwargs)

    return refusals(wrapped)  # type: ignore[return-value]
