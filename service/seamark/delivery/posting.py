"""A JSON document and a URL -> accepted, or DeliveryFailed that says whether a retry can help and keeps secrets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx

from seamark.core.errors import DeliveryFailed

TIMEOUT_S = 10.0  # for each of connecting, sending and waiting for an answer
_RETRYABLE = (408, 429)


def post_json(client: httpx.Client, url: str, document: Any, headers: Mapping[str, str] | None = None) -> None:
    """POST `document`; return on 2xx.

    408, 429, 5xx and a broken or missing connection are worth a retry; every other answer and an unusable URL are
    permanent. Redirects are not followed: they could lead anywhere. The answer's body is not read: it may be endless,
    and what it echoes may hold the URL's secrets. Errors name only the URL's scheme, host and port.
    """
    # ASCII escapes carry any text, unpaired surrogates included.
    body = json.dumps(document, ensure_ascii=True, allow_nan=False).encode("ascii")
    sent = {"Content-Type": "application/json", "User-Agent": "seamark", **(headers or {})}
    where = origin(url)
    if not _usable(url):
        raise DeliveryFailed(f"{where} is no URL to post to; write http:// or https:// and a host", permanent=True)
    try:
        with client.stream(
            "POST", url, content=body, headers=sent, follow_redirects=False, timeout=TIMEOUT_S
        ) as answer:
            status = answer.status_code
    except UnicodeError:
        raise DeliveryFailed(f"{where}: no host can be called that", permanent=True) from None
    except httpx.ConnectTimeout:
        raise DeliveryFailed(f"{where} took no connection within {TIMEOUT_S:g} s", permanent=False) from None
    except httpx.TimeoutException:
        raise DeliveryFailed(f"{where} did not answer within {TIMEOUT_S:g} s", permanent=False) from None
    except httpx.ConnectError:
        raise DeliveryFailed(f"{where} cannot be reached", permanent=False) from None
    except httpx.HTTPError as error:
        raise DeliveryFailed(f"the connection to {where} broke ({type(error).__name__})", permanent=False) from None
    if not 200 <= status < 300:
        raise _refused(where, status)


def _usable(url: str) -> bool:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    # The system's resolver takes a port over 65535 modulo 65536: another server.
    return (
        parsed.scheme in ("http", "https")
        and bool(parsed.host)
        and "%20" not in parsed.host
        and (parsed.port or 0) < 65536
    )


def _refused(where: str, status: int) -> DeliveryFailed:
    if 300 <= status < 400:
        reason = f"{where} answered {status}; redirects are not followed, configure the URL they lead to"
        return DeliveryFailed(reason, permanent=True)
    return DeliveryFailed(f"{where} answered {status}", permanent=status < 500 and status not in _RETRYABLE)


def origin(url: str) -> str:
    """Return scheme, host and port: what of a URL may be shown, its user, path and query being secrets.

    >>> origin("https://user:pass@hooks.example:8443/T0K3N?key=s")
    'https://hooks.example:8443'
    """
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        return "the channel's URL"
    if not parsed.scheme or not parsed.host:
        return "the channel's URL"
    host = f"[{parsed.host}]" if ":" in parsed.host else parsed.host
    return f"{parsed.scheme}://{host}" + (f":{parsed.port}" if parsed.port is not None else "")
