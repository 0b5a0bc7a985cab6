"""What seamark.yaml asks a Prometheus for -> its answers in memory, beside the ticks that go by them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from urllib.parse import urlsplit

from seamark.core.addresses import plain_host
from seamark.core.errors import DeliveryFailed
from seamark.core.specs import Config, PrometheusInput
from seamark.delivery.asking import ask
from seamark.engine.input_memory import Asked
from seamark.engine.services import Services
from seamark.runner.addresses import Unresolved, pin
from seamark.wire.checks import origin_of
from seamark.wire.prometheus import read_number

EVERY_S = 15.0
ORIGINS_AT_ONCE = 8
ROUND_S = 30.0  # of one origin's questions; what is left is asked in the next round, first


class Questions:
    """Asks each query once a round, an origin's in turn. A dead Prometheus costs a round one time-out, and no tick."""

    def __init__(self) -> None:
        self._begin: dict[str, int] = {}  # where an origin's next round begins

    def tick(self, services: Services, at: datetime, stopping: Callable[[], bool] = lambda: False) -> None:
        """Ask what the configuration in force asks; answers to what is asked no more are forgotten."""
        config = services.configuration.current()
        replicas = [spec.autoscale.replicas for spec in config.models if spec.autoscale is not None]
        wanted = [one for one in dict.fromkeys(replicas) if isinstance(one, PrometheusInput)]
        origins: dict[str, list[PrometheusInput]] = {}
        for one in wanted:
            origins.setdefault(origin_of(one.url), []).append(one)
        self._begin = {origin: self._begin.get(origin, 0) for origin in origins}
        answers: dict[PrometheusInput, Asked] = {}
        if origins:
            with ThreadPoolExecutor(ORIGINS_AT_ONCE, thread_name_prefix="prometheus") as pool:
                rounds = [
                    pool.submit(self._round, services, config, origin, asked, stopping)
                    for origin, asked in origins.items()
                ]
                for each in rounds:
                    answers.update(each.result())
        before = services.remembered.prometheus
        services.remembered.prometheus = {one: _after(before.get(one, Asked()), answers.get(one)) for one in wanted}

    def _round(
        self,
        services: Services,
        config: Config,
        origin: str,
        asked: list[PrometheusInput],
        stopping: Callable[[], bool],
    ) -> dict[PrometheusInput, Asked]:
        """Ask one origin what it is to be asked, until it fails to answer or ROUND_S are over."""
        if origin not in config.prometheus_allow:  # a stored text of before is checked as one of now
            return dict.fromkeys(asked, Asked(problem=f"{origin} is not on targets.prometheus"))
        try:
            addresses = pin(origin)[plain_host(urlsplit(origin).hostname or "")]
        except Unresolved as error:
            return dict.fromkeys(asked, Asked(problem=str(error)))
        answers: dict[PrometheusInput, Asked] = {}
        until_s = services.clock.monotonic_s() + ROUND_S
        first = self._begin[origin] % len(asked)
        for done, one in enumerate(asked[first:] + asked[:first]):
            if stopping() or services.clock.monotonic_s() >= until_s:
                self._begin[origin] = first + done
                break
            try:
                body = ask(services.http, services.clock, one.url, one.query, addresses)
            except DeliveryFailed as error:
                return {**dict.fromkeys(asked, Asked(problem=error.message)), **answers}
            value, problem = read_number(body)
            answers[one] = Asked(value, services.clock.now() if value is not None else None, problem)
        return answers


def _after(before: Asked, answer: Asked | None) -> Asked:
    """Return what is known after a round: an answer, or the last one beside what is wrong now."""
    if answer is None or answer.value is not None:
        return answer or before
    return Asked(before.value, before.at, answer.problem)
