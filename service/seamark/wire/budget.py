"""A request may be small in bytes and large in values; what it holds is counted, and too much refuses it."""

from __future__ import annotations

from seamark.core.errors import BodyTooLarge
from seamark.wire.attributes import VALUES_MAX
from seamark.wire.values import ROWS_MAX


class ValueBudget:
    """How many attribute values one request may still hold."""

    def __init__(self, values: int = VALUES_MAX) -> None:
        self._most = self._left = values

    def spend(self, values: int) -> None:
        """Count `values` more; BodyTooLarge when there were too many."""
        self._left -= values
        if self._left < 0:
            raise BodyTooLarge(f"the request holds more than {self._most:,} attribute values; send smaller batches")


def check_rows(rows: int, what: str) -> None:
    """Refuse a request of more than ROWS_MAX rows."""
    if rows > ROWS_MAX:
        raise BodyTooLarge(f"the request holds {rows:,} {what}; at most {ROWS_MAX:,} are taken at once")
