"""What a model server was asked and what it answered, logged apart: the two halves of one inference."""

from __future__ import annotations

from dataclasses import dataclass

REQUEST, RESPONSE = HALVES = ("request", "response")
JOINED = "joined"  # stands where a half would: both were there, and their predictions are stored

Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Half:
    """One half as it came. `body` is not yet read; instants are microseconds since 1970."""

    model: str
    version: str
    inference_id: str
    half: str  # REQUEST | RESPONSE
    at_us: int
    received_us: int
    body: bytes
    trace_id: bytes | None = None
    segment: str | None = None  # JSON object
    synthetic: bool = False
    feature_names: tuple[str, ...] = ()  # of features that come without names

    @property
    def key(self) -> Key:
        """What both halves of one inference have in common: model, version and id."""
        return self.model, self.version, self.inference_id
