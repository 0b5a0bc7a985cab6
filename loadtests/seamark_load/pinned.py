"""The addresses a run began with -> whether a look-up of now, or a connection, still goes where the run was allowed to.

A name that was checked once and then points elsewhere is the oldest way around an allow-list (DNS rebinding). So the
service resolves every allowed host once, as the run starts, and nothing connects to any other address after that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from seamark.core.addresses import plain_host
from seamark_load.guard import Origin, Refused, check_address


class Pins:
    """Addresses by host, fixed for the run."""

    def __init__(self, addresses: Mapping[str, Iterable[str]]) -> None:
        self._addresses = {plain_host(host): frozenset(found) for host, found in addresses.items()}

    def check(self, host: str, address: str) -> None:
        """Raise Refused where `host` may not be reached at `address` (numeric)."""
        check_address(host, address)
        pinned = self._addresses.get(plain_host(host), frozenset())
        if address not in pinned:
            raise Refused(_elsewhere(host, pinned, [address]))

    def choose(self, host: str, addresses: Iterable[str]) -> frozenset[str]:
        """Return those of `addresses`, which `host` resolved to now, that the run began with; Refused for none."""
        found = list(dict.fromkeys(addresses))
        pinned = self._addresses.get(plain_host(host), frozenset())
        if pinned.isdisjoint(found):
            for address in found:
                check_address(host, address)  # where the address itself is the matter, say that
            raise Refused(_elsewhere(host, pinned, found))
        return pinned.intersection(found)

    def endpoints(self, origins: Iterable[Origin]) -> frozenset[tuple[str, int]]:
        """Every (address, port) that the allowed origins have."""
        return frozenset((ip, o.port) for o in origins for ip in self._addresses.get(plain_host(o.host), ()))


def _elsewhere(host: str, pinned: Iterable[str], now: Iterable[str]) -> str:
    """The sentence; of many addresses the first few."""
    before = ", ".join(sorted(pinned)[:4]) or "no address that may be used"
    return f"{host} resolved to {before} when the run began and to {', '.join(sorted(now)[:4])} now"
