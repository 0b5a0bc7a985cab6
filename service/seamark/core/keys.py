"""Random bytes -> an API key, its public id and the hash to keep; and what a key's scope allows.

A key reads `smk_<id>_<secret>`: eight characters by which it is found (no secret), and 43 characters, 256 random
bits, of which only a SHA-256 is kept. A slow hash would add nothing: those protect passwords, which are few enough to
be tried one by one; 256 random bits are not, and every ingest request would pay for the slowness.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import NamedTuple

from seamark.core.errors import Invalid, Problem

RANDOM_BYTES = 37  # 5 for the id, 32 for the secret

# A scope -> every scope it includes.
SCOPES: dict[str, frozenset[str]] = {
    "ingest": frozenset({"ingest"}),
    "read": frozenset({"read"}),
    "run": frozenset({"run", "read"}),
    "admin": frozenset({"ingest", "read", "run", "admin"}),
}

_SHAPE = re.compile(r"smk_([a-z2-7]{8})_([A-Za-z0-9_-]{43})", re.ASCII)


class NewKey(NamedTuple):
    """A key just made. `plain` is shown once and never kept; `key_id` and `hash` (64 hex digits) go to the catalog."""

    plain: str
    key_id: str
    hash: str


def new_key(scope: str, random_bytes: bytes) -> NewKey:
    """Return a key made of RANDOM_BYTES bytes of `secrets.token_bytes`; Invalid for a scope that is none.

    >>> new_key("read", bytes(37)).key_id
    'aaaaaaaa'
    """
    if scope not in SCOPES:
        reason = f"{scope[:40]!r} is not a scope; known are {', '.join(SCOPES)}"
        raise Invalid(reason, [Problem("scope", reason)])
    if len(random_bytes) != RANDOM_BYTES:
        raise ValueError(f"a key is made of {RANDOM_BYTES} random bytes, not of {len(random_bytes)}")
    key_id = base64.b32encode(random_bytes[:5]).decode().lower()
    secret = base64.urlsafe_b64encode(random_bytes[5:]).decode().rstrip("=")
    return NewKey(f"smk_{key_id}_{secret}", key_id, _hash(secret))


def first_key_problem(scope: str, model: str | None) -> str | None:
    """What is wrong with a service's first key: from it on every call needs one, and only an admin can make more.

    >>> first_key_problem("admin", None) is None
    True
    """
    if scope == "admin" and model is None:
        return None
    held = f"{scope}, bound to a model," if model is not None else scope
    return (
        f"from the first key on every call needs one, and with a key of scope {held} nobody could make another; "
        "make an admin key first: seamark keys create --scope admin"
    )


def key_id(plain: str) -> str | None:
    """Return the id inside a key, or None where `plain` has not the shape of one.

    >>> key_id("smk_abcdefgh_" + 43 * "x"), key_id("hunter2")
    ('abcdefgh', None)
    """
    match = _SHAPE.fullmatch(plain)
    return match[1] if match else None


def matches(plain: str, stored_hash: str) -> bool:
    """Whether `plain` is the key whose hash was kept; takes the same time however many characters agree."""
    match = _SHAPE.fullmatch(plain)
    return match is not None and hmac.compare_digest(_hash(match[2]).encode(), stored_hash.encode())


def allows(held: str, needed: str) -> bool:
    """Whether a key of scope `held` may do what needs `needed`.

    >>> allows("run", "read"), allows("read", "run"), allows("admin", "ingest")
    (True, False, True)
    """
    return needed in SCOPES.get(held, frozenset())


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
