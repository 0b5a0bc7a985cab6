"""Everything that can go wrong, as one tree: each kind knows its HTTP status and whether a retry can help.

SeamarkError
├── InputRefused 400            permanent: the sender must change something
│   ├── BodyTooLarge 413 · WrongMediaType 415 · NotFound 404 · Conflict 409 · Invalid 422
│   └── NotAuthenticated 401 · NotPermitted 403
├── TryLater 503                retryable, with Retry-After
│   ├── BufferFull · StoreUnavailable
├── DeliveryFailed              an alert channel did not take a message; permanent or not
└── StartRefused                the service will not start; exit 2
    ├── ConfigInvalid · DataFolderBusy · CatalogNewer
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """What the `seamark` command answers to the shell."""

    OK = 0  # done; passed; promote
    FAILED = 1  # a threshold was not met; hold
    BAD_INPUT = 2  # bad plan, bad file, bad flag, refused start
    INCONCLUSIVE = 3  # too little was measured to say
    ABORTED = 4  # stopped before its end
    NO_ANSWER = 5  # the service could not be reached, failed, or did not answer in time


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with what somebody wrote.

    `field` is a dotted path (`models[0].slo.over`), `line` counts from 1 and is None where there is no file.
    """

    field: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line is not None else ""
        return f"{where}{self.field}: {self.message}" if self.field else f"{where}{self.message}"


class SeamarkError(Exception):
    """The root: a sentence that says what is wrong, where, and what would be right."""

    status = 500
    kind = "internal"
    retry_after_s: int | None = None

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.problems = tuple(problems)


class InputRefused(SeamarkError):
    """The request is malformed; sending it again will not help."""

    status = 400
    kind = "malformed"


class BodyTooLarge(InputRefused):
    """The body, after inflation, is over the limit."""

    status = 413
    kind = "too-large"


class WrongMediaType(InputRefused):
    """The content type is not one this endpoint reads."""

    status = 415
    kind = "media-type"


class NotFound(InputRefused):
    """There is nothing of that name."""

    status = 404
    kind = "not-found"


class Conflict(InputRefused):
    """It cannot be done in the present state."""

    status = 409
    kind = "conflict"


class Invalid(InputRefused):
    """It was understood and is wrong; `problems` lists every mistake found."""

    status = 422
    kind = "invalid"


class NotAuthenticated(InputRefused):
    """No key, an unknown key or a revoked key."""

    status = 401
    kind = "not-authenticated"


class NotPermitted(InputRefused):
    """The key has not the scope, or the target is not on the allow-list."""

    status = 403
    kind = "not-permitted"


class TryLater(SeamarkError):
    """Nothing is wrong with the request; the service cannot take it now."""

    status = 503
    kind = "try-later"
    retry_after_s = 1


class BufferFull(TryLater):
    """More is waiting to be committed than the buffer may hold."""

    kind = "buffer-full"


class StoreUnavailable(TryLater):
    """The lake or the catalog did not take the rows: full disk, lost connection, locked catalog."""

    kind = "store-unavailable"
    retry_after_s = 5


class DeliveryFailed(SeamarkError):
    """A channel did not accept a message; `permanent` means no retry will help."""

    kind = "delivery-failed"

    def __init__(self, message: str, *, permanent: bool) -> None:
        super().__init__(message)
        self.permanent = permanent


class StartRefused(SeamarkError):
    """The service will not start like this; the message says what to change."""

    kind = "start-refused"
    exit_code = ExitCode.BAD_INPUT


class ConfigInvalid(StartRefused, Invalid):
    """seamark.yaml has mistakes; all of them are in `problems`, with their lines."""

    status = 422
    kind = "invalid"

    def __str__(self) -> str:
        return "\n".join([self.message, *(f"  {problem}" for problem in self.problems)])


class DataFolderBusy(StartRefused):
    """Another `seamark serve` holds this data folder."""


class CatalogNewer(StartRefused):
    """The catalog was written by a newer Seamark."""
