"""What drift was found to be, one whole window after the other."""

from __future__ import annotations

from dataclasses import dataclass

from seamark.core.findings import DriftFinding
from seamark.core.windows import Window


@dataclass(frozen=True)
class DriftColumn:
    """A window and the finding that judged it, None where nobody did: that is unknown, not "no drift".

    Whole windows begin at multiples of their length; a finding judged the window that ended when it was made, at most
    an evaluation away from this one. `newest`: the window that ended last, which lies over the whole one before it.
    """

    window: Window
    finding: DriftFinding | None
    newest: bool = False
