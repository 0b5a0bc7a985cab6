"""What gRPC services here have in common: a call's key, and the status by which a call ends."""

from __future__ import annotations

from typing import Any

import grpc

from seamark.core.errors import SeamarkError
from seamark.web.auth import presented_in
from seamark.wire.otlp_answers import retry_info, status_code, status_message

DETAILS_BYTES_MAX = 500  # percent-encoded, and again in the status, it must fit the 8 KiB of headers a client reads
_CODES = {code.value[0]: code for code in grpc.StatusCode}


def key_of(call: Any) -> str | None:
    """Return the key in a call's metadata, as presented_in() does. Of equal names the first counts."""
    # The last of equal names is kept, so the first is given last.
    return presented_in({name: value for name, value in reversed(call.invocation_metadata()) if isinstance(value, str)})


async def end(call: Any, error: SeamarkError, code: grpc.StatusCode | None = None) -> None:
    """End the call with `code`, else with the one of the error's status; it raises, always.

    Only where a retry can help is there a RetryInfo, which makes a sender try again.
    """
    code = code or _CODES[status_code(error.status)]
    text = error.message.encode("ascii", "backslashreplace")[:DETAILS_BYTES_MAX].decode("ascii")
    trailing: tuple[tuple[str, bytes], ...] = ()
    if error.retry_after_s is not None:
        trailing = (
            ("grpc-status-details-bin", status_message(code.value[0], text, error.retry_after_s)),
            ("google.rpc.retryinfo-bin", retry_info(error.retry_after_s)),  # where OpenTelemetry's Python looks
        )
    await call.abort(code, text, trailing)
