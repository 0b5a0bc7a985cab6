"""The kinds of lake, by name: another one is a file with an `open_lake` and a line here."""

from __future__ import annotations

from collections.abc import Callable

from seamark.store import ducklake
from seamark.store.lake import Lake

LAKES: dict[str, Callable[..., Lake]] = {
    "ducklake": ducklake.open_lake,
}
