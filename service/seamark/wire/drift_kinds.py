"""What a model's features are, as seamark.yaml says it, becomes a kind per feature, or mistakes with their lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seamark.wire.checks import ENTRIES_MAX, Checker, join
from seamark.wire.values import shown

KINDS = ("text", "categorical")  # what the values of a text column do not always tell


def read_kinds(checker: Checker, value: Any, path: str) -> dict[str, str]:
    """Return `{feature: kind}`; only the kinds of a column of strings are a matter of choice."""
    if value is None:
        return {}
    if not isinstance(value, Mapping) or len(value) > ENTRIES_MAX:
        checker.wrong(
            path, f"{shown(value)} is not a mapping of at most {ENTRIES_MAX:,} features to text or categorical"
        )
        return {}
    for feature, kind in value.items():
        if kind not in KINDS:
            checker.wrong(join(path, str(feature)[:100]), f"{shown(kind)} is no kind; write {' or '.join(KINDS)}")
    return {str(feature): str(kind) for feature, kind in value.items()}


def read_switch(checker: Checker, value: Any, path: str) -> bool:
    """Return true or false; absent is false."""
    if value is not None and not isinstance(value, bool):
        checker.wrong(path, f"{shown(value)} is neither true nor false")
    return value is True
