"""Settings come from flags, then the environment, then defaults, and all mistakes are told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from seamark.core.errors import StartRefused
from seamark.settings import read_settings


def test_flags_win_over_the_environment_and_that_over_defaults() -> None:
    settings = read_settings({"port": 9000, "host": None}, {"SEAMARK_PORT": "7000", "SEAMARK_RETENTION_DAYS": "2.5"})
    assert (settings.port, settings.host, settings.retention_days) == (9000, "127.0.0.1", 2.5)


def test_every_mistake_is_told_with_its_name_and_value() -> None:
    wrong = {"SEAMARK_PORT": "many", "SEAMARK_INSECURE": "perhaps", "SEAMARK_ROLE": "boss"}
    with pytest.raises(StartRefused) as caught:
        read_settings({}, wrong)
    for word in ("SEAMARK_PORT", "'many'", "SEAMARK_INSECURE", "'perhaps'", "'boss'"):
        assert word in caught.value.message


def test_secrets_may_lie_in_files(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://u:p@h/d\n")
    settings = read_settings({}, {"SEAMARK_DATABASE_URL_FILE": str(tmp_path / "url")})
    assert settings.catalog_url == "postgresql://u:p@h/d"
    assert not settings.embedded
    with pytest.raises(StartRefused, match="nowhere"):
        read_settings({}, {"SEAMARK_DATABASE_URL_FILE": str(tmp_path / "nowhere")})


def test_lists_are_separated_by_commas() -> None:
    assert read_settings({}, {"SEAMARK_ALERTMANAGERS": "http://a:9093, http://b:9093"}).alertmanagers == (
        "http://a:9093",
        "http://b:9093",
    )


def test_the_url_is_one_that_can_be_opened() -> None:
    assert read_settings({"host": "0.0.0.0", "port": 1}, {}).url == "http://127.0.0.1:1"
    assert read_settings({"host": "::1", "port": 1}, {}).url == "http://[::1]:1"
    assert read_settings({}, {"SEAMARK_PUBLIC_URL": "https://sea.test/"}).url == "https://sea.test"
