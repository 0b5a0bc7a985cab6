"""An error on one of OTLP's paths becomes a google.rpc.Status, in the encoding of the request it answers."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.responses import Response

from seamark.core.errors import NotAuthenticated, SeamarkError
from seamark.web.bodies import media_type
from seamark.wire.otlp import Encoding
from seamark.wire.otlp_answers import status_answer

_PATHS = ("/v1/", "/v1development/")
_TELLING = (401, 403, 413, 503)  # statuses OTLP senders know; every other refusal of a body is 400


def is_otlp(path: str) -> bool:
    """Whether OTLP's senders ask there: whatever is wrong, they read a Status and nothing else."""
    return path.startswith(_PATHS)


def status_response(asked: Headers, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return a Status to a request with the headers `asked`. Where its encoding is none, JSON can be read by people."""
    kind = media_type(asked)
    encoding = Encoding(kind) if kind in tuple(Encoding) else Encoding.JSON
    return Response(status_answer(status, message, encoding), status, dict(headers or {}), encoding)


def error_response(asked: Headers, error: SeamarkError) -> Response:
    """Return what an export is answered that failed with `error`."""
    status = error.status if error.status in _TELLING or error.status >= 500 else 400
    headers: dict[str, str] = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, NotAuthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="seamark"'
    return status_response(asked, status, error.message, headers)
