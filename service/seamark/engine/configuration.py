"""The applied seamark.yaml -> the configuration in force, the plans that can run, and what an apply would change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Lock
from typing import Any

from seamark.core.errors import ConfigInvalid, Conflict, NotFound, SeamarkError
from seamark.core.findings import to_document
from seamark.core.specs import ChannelSpec, Config, Known, LoadTestPlan, ModelSpec
from seamark.store.catalog import Catalog
from seamark.store.catalog.conclusions import AppliedConfig
from seamark.wire.config import parse_config, parse_plan


@dataclass(frozen=True)
class PlanView:
    """A plan that is known: from the file or from the API; `problem` says why it cannot run now."""

    name: str
    origin: str  # "config" | "api"
    document: Mapping[str, Any]
    plan: LoadTestPlan | None
    problem: str | None = None


class Configuration:
    """What is in force. A stored text that no longer parses keeps the last good one in force and is told."""

    def __init__(self, catalog: Catalog, known: Known, channels: tuple[ChannelSpec, ...] = ()) -> None:
        self._catalog = catalog
        self._known = known
        self._channels = channels  # those of the settings, beside those of the file
        self._lock = Lock()
        self._id: int | None = None
        self._config = self._with_channels(Config())
        self.applied_at: datetime | None = None
        self.problem: str | None = None

    def current(self) -> Config:
        """The configuration in force; another node's apply is seen at once."""
        applied = self._catalog.configs.current()
        with self._lock:
            if applied is not None and applied.id != self._id:
                first, self._id = self._id is None, applied.id
                if not self._take(applied) and first:
                    # After an upgrade the newest text may be one this Seamark no longer reads.
                    next((older for older in self._catalog.configs.history()[1:] if self._take(older)), None)
            return self._config

    def _take(self, applied: AppliedConfig) -> bool:
        try:
            self._config = self._with_channels(parse_config(applied.text, self._known))
        except ConfigInvalid as error:
            self.problem = self.problem or str(error)
            return False
        self.applied_at = applied.applied_at
        self.problem = None if applied.id == self._id else self.problem
        return True

    def check(self, text: str) -> Config:
        """Parse a seamark.yaml; ConfigInvalid lists every problem."""
        return parse_config(text, self._known)

    def apply(self, text: str, at: datetime, *, dry_run: bool = False) -> list[str]:
        """Put a seamark.yaml in force and return what changes, a line each; nothing changes when it is wrong."""
        wanted = self._with_channels(self.check(text))
        changes = _changes(self.current(), wanted)
        if not dry_run:
            self._catalog.configs.put(text, at)
        return changes

    def model(self, name: str) -> ModelSpec | None:
        """One model's spec, or None."""
        return self.current().model(name)

    def plans(self) -> dict[str, PlanView]:
        """Every known plan by name; the file's own win over the API's."""
        config = self.current()
        views = {name: self._stored(name, document, config) for name, document in self._catalog.plans.all().items()}
        views.update({p.name: PlanView(p.name, "config", p.document, p) for p in config.loadtests})
        return dict(sorted(views.items()))

    def plan_view(self, name: str) -> PlanView:
        """A plan whether it can run or not; NotFound where there is none."""
        view = self.plans().get(name)
        if view is None:
            raise NotFound(f"there is no load test {name[:100]!r}; GET /api/v1/loadtests lists them")
        return view

    def plan(self, name: str) -> LoadTestPlan:
        """A plan that can run now; NotFound or Conflict say why not."""
        view = self.plan_view(name)
        if view.plan is None:
            raise Conflict(f"load test {name!r} cannot run: {view.problem}")
        return view.plan

    def put_plan(self, name: str, document: Mapping[str, Any], at: datetime) -> LoadTestPlan:
        """Check and keep a plan of the API."""
        config = self.current()
        if any(plan.name == name for plan in config.loadtests):
            raise Conflict(f"load test {name!r} is declared in seamark.yaml; change it there and apply")
        plan = self.parse(name, document, config)
        self._catalog.plans.put(name, plan.document, at)
        return plan

    def delete_plan(self, name: str) -> None:
        """Forget a plan of the API."""
        if any(plan.name == name for plan in self.current().loadtests):
            raise Conflict(f"load test {name!r} is declared in seamark.yaml; remove it there and apply")
        if not self._catalog.plans.delete(name):
            raise NotFound(f"there is no load test {name[:100]!r}")

    def parse(self, name: str, document: Mapping[str, Any], config: Config) -> LoadTestPlan:
        """Check a plan's document against a configuration: its models and its allowed targets."""
        models = frozenset(spec.name for spec in config.models)
        return parse_plan(document, name, self._known, config.targets_allow, models, config.targets)

    def _stored(self, name: str, document: Mapping[str, Any], config: Config) -> PlanView:
        try:
            return PlanView(name, "api", document, self.parse(name, document, config))
        except SeamarkError as error:
            told = "; ".join(str(problem) for problem in error.problems) or error.message
            return PlanView(name, "api", document, None, told)

    def _with_channels(self, config: Config) -> Config:
        named = {channel.name for channel in config.channels}
        extra = tuple(channel for channel in self._channels if channel.name not in named)
        return replace(config, channels=config.channels + extra)


def _changes(before: Config, after: Config) -> list[str]:
    """Return one line per thing that is added (+), changed (~) or removed (-)."""
    lines: list[str] = []
    for word, old, new in (
        ("model", {m.name: m for m in before.models}, {m.name: m for m in after.models}),
        ("load test", {p.name: p for p in before.loadtests}, {p.name: p for p in after.loadtests}),
        ("channel", {c.name: c for c in before.channels}, {c.name: c for c in after.channels}),
        ("allowed target", {t.url: t for t in before.targets}, {t.url: t for t in after.targets}),
    ):
        lines += [f"+ {word} {name}" for name in new if name not in old]
        lines += [f"~ {word} {name}" for name in new if name in old and _differ(old[name], new[name])]
        lines += [f"- {word} {name}" for name in old if name not in new]
    return lines


def _differ(one: object, other: object) -> bool:
    return bool(to_document(one) != to_document(other))
