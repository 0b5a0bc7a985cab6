"""What the backtest on a model's own history says of following its advice -> a chip and a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from seamark.core.advice import AdviceGate
from seamark.web.page_views import Chip
from seamark.web.page_words import Moment, moment

_CHIPS = {
    "recommended": Chip("good", "backtest: follow it"),
    "weigh": Chip("warn", "backtest: weigh it"),
    "not_recommended": Chip("bad", "backtest: not recommended"),
}
_UNKNOWN = Chip("quiet", "backtest: unknown")


@dataclass(frozen=True)
class GateView:
    """The gate of a recommendation; `at` is when the backtest was made."""

    chip: Chip
    sentence: str
    at: Moment | None


def gate_view(gate: AdviceGate | None, at: datetime) -> GateView | None:
    """Return the gate as a page shows it; None for a recommendation made before there were gates."""
    if gate is None:
        return None
    return GateView(_CHIPS.get(gate.state, _UNKNOWN), gate.sentence, moment(gate.at, at) if gate.at else None)
