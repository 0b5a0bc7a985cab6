"""The addresses a run begins with, what is refused afterwards, and the rate cap."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from ipaddress import ip_address

import pytest

from seamark.runner import addresses
from seamark.runner.addresses import Unresolved, look_up, pin
from seamark_load.allowance import Allowance
from seamark_load.guard import Refused, origin_of
from seamark_load.pinned import Pins


def names(known: Mapping[str, list[str]]) -> Callable[[str], list[str]]:
    def lookup(host: str) -> list[str]:
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return known[host]

    return lookup


def test_the_hosts_of_target_and_list_get_the_addresses_they_have_now() -> None:
    lookup = names({"models.example": ["10.0.0.7", "10.0.0.8", "10.0.0.7"], "fd12::7": ["fd12::7"]})
    found = pin("http://Models.Example.:8080/predict", ["http://[fd12::7]:9", "http://gone.example"], lookup)
    assert found == {"models.example": ("10.0.0.7", "10.0.0.8"), "fd12::7": ("fd12::7",), "gone.example": ()}


@pytest.mark.parametrize(
    ("resolved", "says"),
    [
        (["169.254.169.254"], "models.example resolves to 169.254.169.254, a link-local or metadata address"),
        (["::ffff:169.254.169.254"], "a link-local or metadata address"),
        (["127.0.0.1"], "a loopback address behind a name that is not localhost"),
        (["224.0.0.1"], "a multicast or broadcast address"),
        (["0.0.0.0"], "an unspecified address"),
        (["fe80::1%eth0"], "a link-local or metadata address"),
        ([], "models.example has no address"),
        (["no address"], "'no address' is no address"),
    ],
)
def test_a_target_without_an_address_that_may_be_used_is_not_run(resolved: list[str], says: str) -> None:
    with pytest.raises(Unresolved) as refused:
        pin("http://models.example/", (), names({"models.example": resolved}))
    assert says in str(refused.value)


def test_of_several_addresses_those_that_may_not_be_used_are_left_out() -> None:
    lookup = names({"models.example": ["169.254.169.254", "10.0.0.7"]})
    assert pin("http://models.example/", (), lookup) == {"models.example": ("10.0.0.7",)}


def test_a_name_that_does_not_resolve_or_not_in_time_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unresolved, match=r"gone.example could not be resolved \(Name or service not known\)"):
        pin("http://gone.example/", (), names({}))
    with pytest.raises(Unresolved, match="could not be resolved"):
        pin(f"http://{'a' * 70}.example/", (), look_up)  # longer than a label may be
    monkeypatch.setattr(addresses, "LOOKUP_S", 0.05)
    never = threading.Event()

    def hanging(host: str) -> list[str]:
        never.wait(5)
        return ["10.0.0.7"]

    with pytest.raises(Unresolved, match=r"slow.example could not be resolved within 0.05 s"):
        pin("http://slow.example/", (), hanging)
    never.set()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_system_resolves_an_address_to_itself(host: str) -> None:
    assert {ip_address(found) for found in look_up(host)} == {ip_address(host)}


PINS = Pins({"models.example": ["10.0.0.7", "10.0.0.8"], "gone.example": [], "localhost": ["127.0.0.1"]})


def test_a_name_that_resolves_elsewhere_later_is_refused_in_words() -> None:
    assert PINS.choose("Models.Example.", ["10.0.0.9", "10.0.0.8"]) == {"10.0.0.8"}
    with pytest.raises(Refused) as refused:
        PINS.choose("models.example", ["10.0.0.9"])
    assert str(refused.value) == "models.example resolved to 10.0.0.7, 10.0.0.8 when the run began and to 10.0.0.9 now"
    with pytest.raises(Refused, match=r"10.0.0.7, 10.0.0.8 when the run began and to 10.0.0.9 now"):
        PINS.check("models.example", "10.0.0.9")
    PINS.check("models.example", "10.0.0.7")


@pytest.mark.parametrize("address", ["169.254.169.254", "127.0.0.1", "::ffff:127.0.0.1", "100.100.100.200"])
def test_a_name_that_is_turned_to_metadata_or_loopback_is_told_what_it_is(address: str) -> None:
    with pytest.raises(Refused, match="resolves to"):
        PINS.choose("models.example", [address])
    with pytest.raises(Refused, match="resolves to"):
        Pins({"models.example": [address]}).check("models.example", address)


def test_a_host_that_had_no_address_or_is_on_no_list_is_never_connected_to() -> None:
    for host in ("gone.example", "other.example"):
        with pytest.raises(Refused, match=f"{host} resolved to no address that may be used when the run began"):
            PINS.check(host, "10.0.0.7")


def test_endpoints_are_the_addresses_with_the_ports_of_the_origins() -> None:
    origins = [
        origin_of(url) for url in ("http://models.example:8080", "https://models.example", "http://gone.example")
    ]
    assert PINS.endpoints(origins) == {(ip, port) for ip in ("10.0.0.7", "10.0.0.8") for port in (8080, 443)}


class Watch:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.slow
@pytest.mark.parametrize("max_rps", [0.5, 7.0, 200.0])
@pytest.mark.parametrize("burst_s", [0.1, 2.0])
def test_no_stretch_of_time_takes_more_than_the_cap_and_one_burst(max_rps: float, burst_s: float) -> None:
    watch = Watch()
    allowance = Allowance(max_rps, burst_s=burst_s, now=watch)
    passed_at = []
    while watch.now_s < 20.0:
        watch.now_s += 0.001
        if allowance.passes():
            passed_at.append(watch.now_s)
    assert allowance.held_back == 20_000 - len(passed_at)
    assert len(passed_at) == pytest.approx(max(1.0, max_rps * burst_s) + max_rps * 20, abs=2)
    for index, start in enumerate(passed_at):
        within = [at for at in passed_at[index : index + 2000] if at <= start + 1.0]
        assert len(within) <= max(1.0, max_rps * burst_s) + max_rps + 1


def test_who_waits_is_told_how_long_and_keeps_the_rate() -> None:
    watch = Watch()
    allowance = Allowance(10.0, burst_s=0.1, now=watch)
    assert [allowance.delay_s() for _ in range(4)] == pytest.approx([0.0, 0.1, 0.2, 0.3])
    assert allowance.held_back == 3
    watch.now_s = 60.0
    assert allowance.delay_s() == 0.0


def test_without_a_cap_nothing_waits() -> None:
    allowance = Allowance(None, burst_s=0.1)
    assert all(allowance.passes() and allowance.delay_s() == 0.0 for _ in range(1000))
    assert allowance.held_back == 0
