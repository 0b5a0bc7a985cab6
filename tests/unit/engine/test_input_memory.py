"""What is kept for a while is read again when the while is over, or the clock went back."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from tests.lake_rows import AT

from seamark.engine.input_memory import NAMES_MAX, AskedLately, ForAWhile, OfAll


def after(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def test_one_read_of_all_models_serves_all_who_ask_for_a_while() -> None:
    reads: list[set[str]] = []

    def read(models: Collection[str]) -> dict[str, int]:
        reads.append(set(models))
        return {name: len(reads) for name in models if name != "silent"}

    kept: OfAll[int] = OfAll(20.0)

    def ask(age: float, model: str = "m") -> int | None:
        return kept.get(model, AT + after(age), lambda: ["m", "silent"], read)

    assert [ask(age) for age in (0, 0, 19.9, 20, 39, 10, 19)] == [1, 1, 1, 2, 2, 2, 2], "a page may be ahead of a round"
    assert ask(0) == 3, "the clock was set back"
    assert ask(1, "silent") is None and len(reads) == 3
    assert [ask(2, "new"), ask(3), ask(4, "new")] == [4, 3, 4] and reads[3] == {"new"}
    kept.forget()
    assert ask(12) == 5


def test_who_was_asked_for_lately_is_known_for_five_minutes() -> None:
    asked = AskedLately()
    asked.note(["a", "b"], AT)
    asked.note(["b", "c"], AT + after(200))
    assert sorted(asked.lately(AT + after(300))) == ["a", "b", "c"]
    assert sorted(asked.lately(AT + after(301))) == ["b", "c"]
    asked.note([f"m{number}" for number in range(NAMES_MAX)], AT + after(302))
    assert len(asked.lately(AT + after(302))) == NAMES_MAX


def test_each_key_is_kept_for_its_own_while() -> None:
    kept: ForAWhile[str, float] = ForAWhile(20.0)
    ages = {"a": (0.0, 19.9, 20.0, 10.0), "b": (15.0, 34.9, 35.1, 35.2)}
    found = {key: [kept.get(key, AT + after(age), lambda age=age: age) for age in of] for key, of in ages.items()}
    assert found == {"a": [0.0, 0.0, 20.0, 10.0], "b": [15.0, 15.0, 35.1, 35.1]}
