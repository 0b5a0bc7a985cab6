"""A URL and the addresses behind it -> allowed or refused: nothing outside the allow-list is ever sent a request.

Two checks, both before a byte leaves: the origin (scheme, host, port) of every URL against the allow-list, and every
numeric address a socket is about to connect to. The second is made on the address itself, after DNS, so that a name
that changes its mind between two look-ups gains nothing.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

PORTS = {"http": 80, "https": 443}
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# Where cloud machines answer with credentials and which are no link-local addresses.
METADATA = frozenset({ipaddress.ip_address("fd00:ec2::254"), ipaddress.ip_address("100.100.100.200")})
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")
_BROADCAST = ipaddress.ip_address("255.255.255.255")
# What no URL of an honest plan holds and parsers disagree about.
_ODD = re.compile(r"[\x00-\x20\x7f\\]")


class Refused(Exception):
    """This URL or address must not be sent a request; the message says why."""


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
    return Origin(parts.scheme, host.rstrip(".").lower(), PORTS[parts.scheme] if port is None else port)


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
    """Raise Refused where `address`, which the allowed `host` resolved to, is none a model is served from.

    Loopback is refused unless the host says loopback itself (`localhost` or a loopback address): a public name that
    resolves to 127.0.0.1 is a way around the allow-list, not a model server.
    """
    ip = _innermost(ipaddress.ip_address(address.partition("%")[0]))
    reason = _refusal(ip)
    if ip.is_loopback and not _says_loopback(host):
        reason = "a loopback address behind a name that is not localhost"
    if reason:
        raise Refused(f"{host} resolves to {ip}, {reason}")


def _refusal(ip: IPAddress) -> str | None:
    if ip in METADATA or ip.is_link_local:
        return "a link-local or metadata address"
    if ip.is_multicast or ip == _BROADCAST:
        return "a multicast or broadcast address"
    if ip.is_unspecified or ip in _THIS_NETWORK:
        return "an unspecified address"
    return None


def _innermost(ip: IPAddress) -> IPAddress:
    """The IPv4 address that an IPv6 address only wraps (mapped, 6to4, NAT64), else the address itself."""
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return ip.ipv4_mapped
        if ip.sixtofour is not None:
            return ip.sixtofour
        if ip in _NAT64:
            return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip


def _says_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return _innermost(ipaddress.ip_address(host)).is_loopback
    except ValueError:
        return False
