"""What only the load generator knows of tokens: every gap between them, and by what they were counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from seamark.compute.histogram import Histogram


@dataclass
class TokenNotes:
    """Of one process, or merged of several. `by_usage` and `by_chunks` count answers, by who told their tokens."""

    gaps: Histogram = field(default_factory=Histogram)
    by_usage: int = 0
    by_chunks: int = 0

    def merge(self, other: TokenNotes) -> None:
        """Add another process's notes."""
        self.gaps.merge(other.gaps)
        self.by_usage += other.by_usage
        self.by_chunks += other.by_chunks

    @property
    def known(self) -> bool:
        """Whether any answer told of tokens."""
        return bool(self.gaps.count or self.by_usage or self.by_chunks)

    @property
    def counted_by(self) -> str | None:
        """`usage` (the endpoint's own word), `chunks` (one token each), both, or None where nothing was counted."""
        told = [name for name, count in (("usage", self.by_usage), ("chunks", self.by_chunks)) if count]
        return " and ".join(told) or None

    def to_document(self) -> dict[str, Any]:
        """Return them as JSON-able data; from_document() reads it."""
        return {"gaps": self.gaps.to_document(), "by_usage": self.by_usage, "by_chunks": self.by_chunks}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> TokenNotes:
        """Return what to_document() wrote; ValueError, KeyError or TypeError for anything else."""
        gaps = Histogram.from_document(document["gaps"])
        return cls(gaps, int(document["by_usage"]), int(document["by_chunks"]))
