"""What is kept for a while is read again when the while is over, or the clock went back."""

from __future__ import annotations

from datetime import timedelta

from tests.lake_rows import AT

from seamark.engine.input_memory import ForAWhile, OfAll


def after(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def test_one_read_of_all_models_serves_all_who_ask_for_a_while() -> None:
    reads: list[int] = []

    def read() -> dict[str, int]:
        reads.append(len(reads))
        return {"m": len(reads)}

    kept: OfAll[int] = OfAll(20.0)
    assert [kept.get(AT + after(age), read)["m"] for age in (0, 0, 19.9, 20, 39, 10)] == [1, 1, 1, 2, 2, 3]
    kept.forget()
    assert kept.get(AT + after(10), read)["m"] == 4


def test_each_key_is_kept_for_its_own_while() -> None:
    kept: ForAWhile[str, float] = ForAWhile(20.0)
    ages = {"a": (0.0, 19.9, 20.0, 10.0), "b": (15.0, 34.9, 35.1, 35.2)}
    found = {key: [kept.get(key, AT + after(age), lambda age=age: age) for age in of] for key, of in ages.items()}
    assert found == {"a": [0.0, 0.0, 20.0, 10.0], "b": [15.0, 15.0, 35.1, 35.1]}
