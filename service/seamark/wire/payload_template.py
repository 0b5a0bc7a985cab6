"""A payload template and a seed -> rows, the same ones each time.

A template is a row in which an object with one key that begins with `$` stands for a value drawn anew for each row:
`{age: {$integer: [18, 90]}, plan: {$choice: [basic, pro]}}`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from seamark.core.splitmix import Chance, mixed
from seamark.wire.checks import Checker, join
from seamark.wire.values import shown

ROWS_MAX = 10_000
VALUES_MAX = 10_000  # of one row
DEPTH_MAX = 20
WORDS_MAX = 10_000
NUMBER_MAX = 1e15

# Of texts that mean nothing: how long they are is what costs a model, not what they say.
_WORDS = (  # noqa: SIM905 - as people read it
    "the of and to in a is that for it as was with be by on not he his but at are this have from or had an they which "
    "one you were her all she there would their we him been has when who will more no if out so said what up its about "
    "into than them can only other new some could time these two may then do first any my now such like our over me "
    "even most made after also did many before must through back years where much your way well down should because"
).split()

# Chance, place of the row, checked argument -> value.
Draw = Callable[[Chance, int, Any], Any]


def check_template(checker: Checker, value: Any, path: str) -> Mapping[str, Any] | None:
    """Return the template where it is sound; None where not, all its mistakes then being known to the checker."""
    before = checker.count
    if not isinstance(value, Mapping) or not value or _generator(value) is not None:
        checker.wrong(
            path, f"{shown(value)} is not a row: an object of names, and of values or generators like $uniform"
        )
        return None
    if _check(checker, value, path, DEPTH_MAX) > VALUES_MAX:
        checker.wrong(path, f"has more than {VALUES_MAX:,} values; a row is at most that large")
    return value if checker.count == before else None


def fill(template: Mapping[str, Any], seed: int, count: int) -> list[dict[str, Any]]:
    """Return `count` rows of a checked template. A row depends on the seed and its place alone, not on `count`."""
    return [_filled(template, Chance(mixed(seed, index)), index) for index in range(count)]


def _check(checker: Checker, value: Any, path: str, depth: int) -> int:
    """Note what is wrong, and return how many values stand in `value`."""
    if depth == 0:
        checker.wrong(path, f"is nested more than {DEPTH_MAX} levels deep")
        return 0
    if isinstance(value, list | tuple):
        return sum(_check(checker, item, f"{path}[{index}]", depth - 1) for index, item in enumerate(value))
    if not isinstance(value, Mapping):
        return 1
    name = _generator(value)
    if name is None:
        return sum(_check(checker, item, join(path, str(key)[:100]), depth - 1) for key, item in value.items())
    if name not in GENERATORS:
        checker.wrong(path, f"{shown(name)} is no generator; known are {', '.join(GENERATORS)}")
    elif len(value) != 1:
        checker.wrong(path, f"has {name} beside other keys; a generator stands alone")
    else:
        fault = GENERATORS[name][0](value[name])
        if fault:
            checker.wrong(join(path, name), f"{shown(value[name])} {fault}")
    return 1


def _generator(value: Mapping[Any, Any]) -> str | None:
    return next((key for key in value if isinstance(key, str) and key.startswith("$")), None)


def _filled(value: Any, chance: Chance, index: int) -> Any:
    if isinstance(value, list | tuple):
        return [_filled(item, chance, index) for item in value]
    if not isinstance(value, Mapping):
        return value
    name = _generator(value)
    if name is None:
        return {key: _filled(item, chance, index) for key, item in value.items()}
    return GENERATORS[name][1](chance, index, value[name])


# --- the generators: what is wrong with an argument ("" for nothing), and the value ----------------------------------


def _number(value: Any) -> bool:
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return known and math.isfinite(value) and abs(value) <= NUMBER_MAX


def _pair(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(map(_number, value))


def _whole(value: Any) -> bool:
    return _number(value) and isinstance(value, int)


def _check_uniform(value: Any) -> str:
    return "" if _pair(value) and value[0] <= value[1] else "is not [lowest, highest], two numbers in order"


def _check_normal(value: Any) -> str:
    return "" if _pair(value) and value[1] >= 0 else "is not [mean, standard deviation], the second at least 0"


def _check_integer(value: Any) -> str:
    fits = _pair(value) and all(map(_whole, value)) and value[0] <= value[1]
    return "" if fits else "is not [lowest, highest], two whole numbers in order"


def _check_choice(value: Any) -> str:
    fits = isinstance(value, list | tuple) and 0 < len(value) <= VALUES_MAX
    return "" if fits else f"is not a list of 1 to {VALUES_MAX:,} values"


def _check_text(value: Any) -> str:
    words = value.get("words") if isinstance(value, Mapping) and len(value) == 1 else None
    low, high = _few_and_many(words)
    fits = _whole(low) and _whole(high) and 1 <= low <= high <= WORDS_MAX
    return "" if fits else f"is not {{words: N}} or {{words: [fewest, most]}}, N from 1 to {WORDS_MAX:,}"


def _check_sequence(value: Any) -> str:
    return "" if _whole(value) else "is not the whole number to count on from"


def _normal(chance: Chance, _: int, value: Any) -> float:
    """By Box and Muller's transform."""
    radius = math.sqrt(-2.0 * math.log(1.0 - chance.share()))
    return float(value[0] + value[1] * radius * math.cos(2.0 * math.pi * chance.share()))


def _text(chance: Chance, _: int, value: Any) -> str:
    low, high = _few_and_many(value["words"])
    return " ".join(_WORDS[chance.below(len(_WORDS))] for _ in range(low + chance.below(high - low + 1)))


def _few_and_many(words: Any) -> tuple[Any, Any]:
    return tuple(words) if isinstance(words, list | tuple) and len(words) == 2 else (words, words)


GENERATORS: dict[str, tuple[Callable[[Any], str], Draw]] = {
    "$uniform": (_check_uniform, lambda chance, _, value: value[0] + (value[1] - value[0]) * chance.share()),
    "$normal": (_check_normal, _normal),
    "$integer": (_check_integer, lambda chance, _, value: value[0] + chance.below(value[1] - value[0] + 1)),
    "$choice": (_check_choice, lambda chance, _, value: value[chance.below(len(value))]),
    "$text": (_check_text, _text),
    "$sequence": (_check_sequence, lambda _, index, value: value + index),
}
