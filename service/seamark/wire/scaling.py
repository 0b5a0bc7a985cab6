"""The keys of `autoscale` that say how fast advice may move and what is kept warm become parts of an AutoscaleSpec."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from seamark.core.specs import StepLimit
from seamark.wire.checks import Checker, join
from seamark.wire.values import shown

SCALING_KEYS = ("scale_out_most", "scale_in_most", "warm")
STEP_MAX = 100_000
PERCENT_MAX = 1_000
_PERCENT = re.compile(r"([0-9]{1,4})\s*%")


def read_scaling(checker: Checker, found: Mapping[str, Any], path: str, most: int) -> dict[str, Any]:
    """Return the fields of AutoscaleSpec that these keys are; `most` is the maximum of the bounds."""
    out: dict[str, Any] = {
        key: _step(checker, found[key], join(path, key))
        for key in ("scale_out_most", "scale_in_most")
        if found.get(key) is not None
    }
    warm = found.get("warm")
    if warm == "auto":
        out["warm_auto"] = True
    elif warm is not None:
        if isinstance(warm, bool) or not isinstance(warm, int) or not 0 <= warm <= most:
            checker.wrong(
                join(path, "warm"), f"{shown(warm)} is neither auto nor a whole number from 0 to max, {most:,}"
            )
        else:
            out["warm"] = warm
    return out


def _step(checker: Checker, value: Any, path: str) -> StepLimit | None:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= STEP_MAX:
        return StepLimit(replicas=value)
    percent = _PERCENT.fullmatch(value) if isinstance(value, str) and len(value) <= 10 else None
    if percent and 1 <= int(percent[1]) <= PERCENT_MAX:
        return StepLimit(share=int(percent[1]) / 100)
    checker.wrong(
        path,
        f"{shown(value)} is no step; write replicas within a minute, from 1 to {STEP_MAX:,}, or a share of the fleet, "
        f"like 50%, from 1% to {PERCENT_MAX:,}%",
    )
    return None
