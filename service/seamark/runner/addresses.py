"""Allowed origins -> the addresses their hosts have as a run starts: the only ones it may connect to."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from urllib.parse import urlsplit

from seamark.core.addresses import plain_host, refusal

# A host -> its numeric addresses; OSError where it has none.
Lookup = Callable[[str], Iterable[str]]

LOOKUP_S = 10.0  # for all names together
LOOKUPS_AT_ONCE = 8


class Unresolved(Exception):
    """The target's host has no address that may be sent requests; the message says why."""


def look_up(host: str) -> list[str]:
    """Return the numeric addresses of a host, as the system resolves it; OSError where there are none."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(info[4][0]) for info in found]


def pin(target: str, allow: Iterable[str] = (), lookup: Lookup = look_up) -> dict[str, tuple[str, ...]]:
    """Return the addresses of the hosts of `target` and `allow` (URLs), by host in lower case; blocks for LOOKUP_S.

    An address that no model is served from (link-local, metadata, multicast, loopback behind a name) is left out. A
    host of `allow` that has no other, or none in time, has none: nothing is ever sent to it. Raises Unresolved where
    that is so for the target itself.
    """
    wanted = _host(target)
    hosts = dict.fromkeys([wanted, *map(_host, allow)])
    pool = ThreadPoolExecutor(LOOKUPS_AT_ONCE, thread_name_prefix="pin")
    asked = {host: pool.submit(lookup, host) for host in hosts}
    wait(asked.values(), timeout=LOOKUP_S)
    pool.shutdown(wait=False, cancel_futures=True)
    found = {host: _usable(host, asked[host]) for host in hosts}
    reason = found[wanted][1]
    if reason is not None:
        raise Unresolved(reason)
    return {host: addresses for host, (addresses, _) in found.items()}


def _usable(host: str, asked: Future[Iterable[str]]) -> tuple[tuple[str, ...], str | None]:
    """The addresses that may be connected to, and why there are none."""
    if not asked.done() or asked.cancelled():
        return (), f"{host} could not be resolved within {LOOKUP_S:g} s"
    try:
        found = sorted(set(asked.result()))
    except (OSError, UnicodeError) as error:
        return (), f"{host} could not be resolved ({getattr(error, 'strerror', None) or 'it is no name of a host'})"
    refusals = {address: refusal(host, address) for address in found}
    usable = tuple(address for address in found if refusals[address] is None)
    told = next((reason for reason in refusals.values() if reason), f"{host} has no address")
    return usable, None if usable else told


def _host(url: str) -> str:
    return plain_host(urlsplit(url).hostname or "")
