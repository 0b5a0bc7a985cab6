"""The catalog: one object with a small repository per thing it knows."""

from __future__ import annotations

from collections.abc import Iterable

from seamark.core.records import FeatureSchema
from seamark.store.catalog.alerts import Alerts, Outbox
from seamark.store.catalog.conclusions import Configs, DriftReports, Findings, Schemas
from seamark.store.catalog.database import Database
from seamark.store.catalog.day_rates import DayRates
from seamark.store.catalog.feature_types import FeatureTypes
from seamark.store.catalog.joins import Joins
from seamark.store.catalog.keys import Keys
from seamark.store.catalog.references import References
from seamark.store.catalog.runs import Plans, Runs
from seamark.store.catalog.schedule import ScheduleMarks
from seamark.store.catalog.tables import arrival_days, carried_days


class Catalog:
    """Everything small: plans, runs, findings, alerts, the outbox, keys. Every call may come from any thread.

    Writes return after the commit. A database that does not answer raises StoreUnavailable, never an empty answer.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.alerts = Alerts(database)
        self.arrivals = DayRates(database, arrival_days)
        self.carried = DayRates(database, carried_days)
        self.configs = Configs(database)
        self.drift_reports = DriftReports(database)
        self.feature_types = FeatureTypes(database)
        self.findings = Findings(database)
        self.joins = Joins(database)
        self.keys = Keys(database)
        self.outbox = Outbox(database)
        self.plans = Plans(database)
        self.references = References(database)
        self.runs = Runs(database)
        self.schedule = ScheduleMarks(database)
        self.schemas = Schemas(database)

    def remember_schemas(self, schemas: Iterable[tuple[str, FeatureSchema]]) -> None:
        """Write the feature schemas that are not known yet."""
        self.schemas.remember(schemas)

    def close(self) -> None:
        """Give every connection back."""
        self.database.close()
