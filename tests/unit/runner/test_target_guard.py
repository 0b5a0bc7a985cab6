"""What the load generator may connect to."""

from __future__ import annotations

import pytest

from seamark_load.guard import Guard, Refused, check_address, origin_of

ALLOWED = Guard(["http://models.example:8080", "https://models.example", "http://[fd12::7]:9000/base"])


@pytest.mark.parametrize(
    "url",
    [
        "http://models.example:8080/predict",
        "HTTP://Models.Example:8080/a?b=c#d",
        "http://models.example.:8080",
        "https://models.example/v2",
        "https://models.example:443/v2",
        "http://[fd12::7]:9000/predict",
    ],
)
def test_an_allowed_origin_passes_whatever_its_path(url: str) -> None:
    ALLOWED.check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://models.example/predict",  # another port
        "https://models.example:8080/predict",  # another scheme
        "http://models.example:80801/",
        "http://other.example:8080/",
        "http://models.example.evil.test:8080/",
        "http://evil.test:8080/models.example",
        "http://models.example:8080@evil.test/",
        "http://user:secret@models.example:8080/",
        "http://evil.test\\@models.example:8080/",
        "http://models.example:8080 /",
        "http://models.example:8080/\r\nHost: evil",
        "//models.example:8080/",
        "file:///etc/passwd",
        "gopher://models.example:8080/",
        "http://",
        "http://:8080/",
        "http://[fd12::7/",
        "",
    ],
)
def test_anything_else_is_refused(url: str) -> None:
    with pytest.raises(Refused):
        ALLOWED.check_url(url)


def test_a_refusal_says_what_is_allowed_and_keeps_secrets() -> None:
    with pytest.raises(
        Refused, match=r"http://a.test is not on the allow-list \(targets.allow holds http://b.test:81\)"
    ):
        Guard(["http://b.test:81"]).check_url("http://a.test/x")
    with pytest.raises(Refused) as refused:
        origin_of("http://user:hunter2@models.example/")
    assert "hunter2" not in str(refused.value)
    with pytest.raises(Refused, match="holds nothing"):
        Guard([]).check_url("http://a.test")


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("models.example", "10.1.2.3"),
        ("models.example", "192.0.2.7"),
        ("models.example", "2001:db8::1"),
        ("fd12::7", "fd12::7"),
        ("localhost", "127.0.0.1"),
        ("localhost", "::1"),
        ("model.localhost", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.53", "127.0.0.53"),
        ("::1", "::1"),
    ],
)
def test_addresses_that_models_are_served_from_pass(host: str, address: str) -> None:
    check_address(host, address)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("models.example", "127.0.0.1"),
        ("models.example", "::1"),
        ("models.example", "::ffff:127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("localhost.evil.test", "127.0.0.1"),
        ("169.254.169.254", "169.254.169.254"),
        ("models.example", "169.254.169.254"),
        ("models.example", "::ffff:169.254.169.254"),
        ("models.example", "2002:a9fe:a9fe::1"),  # 6to4
        ("models.example", "64:ff9b::a9fe:a9fe"),  # NAT64
        ("models.example", "fe80::1%eth0"),
        ("models.example", "fd00:ec2::254"),
        ("models.example", "100.100.100.200"),
        ("models.example", "0.0.0.0"),
        ("models.example", "0.1.2.3"),
        ("localhost", "0.0.0.0"),
        ("models.example", "::"),
        ("models.example", "224.0.0.1"),
        ("models.example", "ff02::1"),
        ("models.example", "255.255.255.255"),
    ],
)
def test_addresses_that_no_model_is_served_from_are_refused(host: str, address: str) -> None:
    with pytest.raises(Refused, match="resolves to"):
        check_address(host, address)
