"""A host and an address it resolved to -> the reason why no load test may connect there, or none."""

from __future__ import annotations

import ipaddress

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# Where cloud machines answer with credentials and which are no link-local addresses.
METADATA = frozenset({ipaddress.ip_address("fd00:ec2::254"), ipaddress.ip_address("100.100.100.200")})
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")
_BROADCAST = ipaddress.ip_address("255.255.255.255")


def refusal(host: str, address: str) -> str | None:
    """Return why `address` (numeric), which `host` resolved to, is none a model is served from; None where it may be.

    Loopback is refused unless the host says loopback itself (`localhost` or a loopback address): a public name that
    resolves to 127.0.0.1 is a way around the allow-list, not a model server.
    """
    try:
        ip = _innermost(ipaddress.ip_address(address.partition("%")[0]))
    except ValueError:
        return f"{address!r} is no address"
    reason = _refusal(ip)
    if ip.is_loopback and not _says_loopback(host):
        reason = "a loopback address behind a name that is not localhost"
    return f"{host} resolves to {ip}, {reason}" if reason else None


def refusal_as_written(host: str) -> str | None:
    """Return why a host that is a numeric address is none a model is served from; None also for a name.

    >>> refusal_as_written("169.254.169.254")
    'a link-local or metadata address'
    """
    try:
        return _refusal(_innermost(ipaddress.ip_address(host)))
    except ValueError:
        return None


def plain_host(host: str) -> str:
    """Return a host as hosts are compared: lower case, without brackets and without the root's dot.

    >>> plain_host("Models.Example."), plain_host("[::1]")
    ('models.example', '::1')
    """
    return host.strip("[]").rstrip(".").lower()


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
