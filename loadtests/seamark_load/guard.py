"""A URL and the addresses behind it -> allowed or refused: nothing outside the allow-list is ever sent a request.

Two checks, both before a byte leaves: the origin (scheme, host, port) of every URL against the allow-list, and every
numeric address a socket is about to connect to. The second is made on the address itself, after DNS, so that a name
that changes its mind between two look-ups gains nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from seamark.core.addresses import plain_host, refusal

PORTS = {"http": 80, "https": 443}
# What no URL of an honest plan holds and parsers disagree about.
_ODD = re.compile(r"[\x00-\x20\x7f\\]")


class Refused(OSError):
    """This URL or address must not be sent a request; the message says why.

    An OSError, as failures to connect are: so every HTTP client takes it for a request that failed, not for a bug.
    """


@dataclass(frozen=True)
class Origin:
    """Where a request goes: scheme, host in lower case without brackets, port."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + (f":{self.port}" if self.port != PORTS[self.scheme] else "")


def origin_of(url: str) -> Origin:
    """Return the origin of an http or https URL; Refused where it has none that is beyond doubt.

    >>> str(origin_of("HTTP://Models.Example:80/predict"))
    'http://models.example'
    """
    if _ODD.search(url):
        raise Refused(f"{url!r} holds a space, a backslash or a control character")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise Refused(f"{url!r} is not a URL: {error}") from None
    if parts.scheme not in PORTS:
        raise Refused(f"{url!r} is neither http nor https")
    if parts.username is not None or parts.password is not None:
        raise Refused("the URL carries a user name or a password; send credentials in a header")
    if not host:
        raise Refused(f"{url!r} names no host")
    return Origin(parts.scheme, plain_host(host), PORTS[parts.scheme] if port is None else port)


class Guard:
    """The allow-list of one run. An entry is an origin; a path behind it does not matter."""

    def __init__(self, allow: Iterable[str]) -> None:
        self._allow = frozenset(origin_of(entry) for entry in allow)

    def check_url(self, url: str) -> Origin:
        """Return the URL's origin, or raise Refused where the allow-list does not hold it."""
        origin = origin_of(url)
        if origin not in self._allow:
            known = ", ".join(sorted(map(str, self._allow))) or "nothing"
            raise Refused(f"{origin} is not on the allow-list (targets.allow holds {known})")
        return origin


def check_address(host: str, address: str) -> None:
    """Raise Refused where `address`, which the allowed `host` resolved to, is none a model is served from."""
    reason = refusal(plain_host(host), address)
    if reason:
        raise Refused(reason)
