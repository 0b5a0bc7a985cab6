"""Where a plan's request bodies come from, as written, becomes a PayloadSpec or a list of mistakes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from seamark.core.specs import PayloadSpec
from seamark.wire import payload_template
from seamark.wire.checks import Checker, join
from seamark.wire.load_bodies import BODIES
from seamark.wire.payload_file import name_fault
from seamark.wire.values import RowRefused, shown

KINDS = ("replay", "rows", "file", "template")
KEYS = (*KINDS, "seed")
ROWS_MAX = 10_000
SEED_MAX = 2**53
_A_DAY_S = 86_400.0


def read_payload(checker: Checker, value: Any, path: str) -> PayloadSpec | None:
    """Return what a plan's `payload` says; None where it is absent or has mistakes."""
    if value is None:
        return None
    found = checker.mapping(value, path, KEYS, "a payload")
    if not found:
        return None
    kinds = [kind for kind in KINDS if kind in found]
    if "template" in found and not {"replay", "file"} & found.keys():
        return _template(checker, found, path)
    if len(kinds) != 1 or len(found) != 1:
        written = " and ".join(kinds if len(kinds) > 1 else found)
        checker.wrong(path, f"gives {written}; write one of {', '.join(KINDS)} (`seed` belongs to a template)")
        return None
    return _READERS[kinds[0]](checker, found[kinds[0]], join(path, kinds[0]))


def check_rows(checker: Checker, payload: PayloadSpec, scenario: str, model: str, path: str) -> None:
    """Note the first row of a plan that no request of its scenario can be made of."""
    body = BODIES.get(scenario)
    rows = payload.rows if payload.template is None else payload_template.fill(payload.template, payload.seed, 1)
    for index, row in enumerate(rows if body else ()):
        try:
            assert body is not None
            body(row, model)
        except RowRefused as refused:
            place = f"{path}.rows[{index}]" if payload.template is None else f"{path}.template"
            checker.wrong(place, f"no {scenario} request can be made of it: {refused}")
            return


def _replay(checker: Checker, value: Any, path: str) -> PayloadSpec | None:
    replay_s = checker.seconds(value, path, least_s=1, most_s=366 * _A_DAY_S)
    return None if replay_s is None else PayloadSpec("replay", replay_s=replay_s)


def _rows(checker: Checker, rows: Any, path: str) -> PayloadSpec | None:
    if not isinstance(rows, list | tuple) or not 0 < len(rows) <= ROWS_MAX:
        checker.wrong(path, f"{shown(rows)} is not a list of 1 to {ROWS_MAX:,} objects, one per request")
        return None
    for index, row in enumerate(rows):
        if not isinstance(row, Mapping):
            checker.wrong(f"{path}[{index}]", f"{shown(row)} is not an object of names and values")
            return None
    return PayloadSpec("rows", rows=tuple(rows))


def _file(checker: Checker, value: Any, path: str) -> PayloadSpec | None:
    fault = name_fault(value)
    if fault:
        checker.wrong(path, f"{shown(value)} {fault}")
        return None
    return PayloadSpec("file", file=value)


def _template(checker: Checker, found: Mapping[str, Any], path: str) -> PayloadSpec | None:
    before = checker.count
    template = payload_template.check_template(checker, found["template"], join(path, "template"))
    seed = checker.whole(found.get("seed"), join(path, "seed"), least=0, most=SEED_MAX)
    count = checker.whole(found.get("rows"), join(path, "rows"), least=1, most=payload_template.ROWS_MAX)
    if checker.count > before or template is None:
        return None
    spec = PayloadSpec("template", template=template)
    return PayloadSpec(
        "template", template=template, seed=spec.seed if seed is None else seed, count=count or spec.count
    )


_READERS: dict[str, Callable[[Checker, Any, str], PayloadSpec | None]] = {
    "replay": _replay,
    "rows": _rows,
    "file": _file,
}
