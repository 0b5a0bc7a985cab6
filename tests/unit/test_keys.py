"""API keys: their form, their hashes, and what each scope includes."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamark.core.errors import Invalid
from seamark.core.keys import RANDOM_BYTES, SCOPES, allows, key_id, matches, new_key


@given(st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES))
def test_a_key_has_its_form_and_matches_its_own_hash(random_bytes: bytes) -> None:
    plain, made_id, stored = new_key("read", random_bytes)
    prefix, shown_id, secret = plain.split("_", 2)
    assert (prefix, shown_id, len(shown_id), len(secret)) == ("smk", made_id, 8, 43)
    assert key_id(plain) == made_id
    assert stored == hashlib.sha256(secret.encode()).hexdigest()
    assert secret not in stored and matches(plain, stored)


def test_another_secret_does_not_match() -> None:
    one, other = new_key("read", bytes(RANDOM_BYTES)), new_key("read", bytes([1]) * RANDOM_BYTES)
    assert not matches(one.plain, other.hash)
    assert not matches(one.plain[:-1] + "B", one.hash)
    assert not matches(one.plain, "") and not matches(one.plain, "é" * 64)


@pytest.mark.parametrize(
    "text", ["", "smk_", "smk__", "SMK_aaaaaaaa_" + "A" * 43, "smk_aaaaaaaa_" + "A" * 44, "smk_aaaaaaaa_" + "é" * 43]
)
def test_what_is_no_key_has_no_id_and_matches_nothing(text: str) -> None:
    assert key_id(text) is None
    assert not matches(text, hashlib.sha256(b"").hexdigest())


@given(st.text())
def test_any_text_is_judged_without_an_exception(text: str) -> None:
    assert key_id(text) is None or text.startswith("smk_")
    assert not matches(text, "0" * 64)


def test_scopes_include_each_other_as_documented() -> None:
    held = {scope: {needed for needed in SCOPES if allows(scope, needed)} for scope in SCOPES}
    assert held == {
        "ingest": {"ingest"},
        "read": {"read"},
        "run": {"run", "read"},
        "admin": {"ingest", "read", "run", "admin"},
    }
    assert not allows("root", "read") and not allows("admin", "root")


def test_a_scope_that_is_none_is_refused_with_those_there_are() -> None:
    with pytest.raises(Invalid, match="'write' is not a scope; known are ingest, read, run, admin") as caught:
        new_key("write", bytes(RANDOM_BYTES))
    assert caught.value.problems[0].field == "scope"


def test_too_little_randomness_is_refused() -> None:
    with pytest.raises(ValueError, match="37 random bytes"):
        new_key("read", bytes(16))
