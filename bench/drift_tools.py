"""One model's reference and its windows -> what a tool decides of each column, with its default settings.

A tool is imported only in the worker process that runs it. `statistic` is larger the surer the tool is: a distance, or
-log10 of a p-value. `alarm` is what the tool says of the window; the rows are the same for every tool.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from bench.drift_data import LEVELS, Column, kind

Model = Mapping[str, Column]

ASKED = 0.001  # false alarms per window of a model


@dataclass(frozen=True)
class Decision:
    """What a tool says of one window: of the model, and of each column its statistic and whether it drifted.

    `beyond_chance` is given where the tool tells a certain shift from one that matters.
    """

    alarm: bool
    statistic: Mapping[str, float]
    drifted: Mapping[str, bool]
    beyond_chance: bool | None = None


Judge = Callable[[Model, Sequence[Model]], list[Decision]]


def seamark() -> Judge:
    """Seamark: its defaults, but for windows of 30 rows, which it would call too few.

    Columns with nulls are judged by the share that is null: data quality, as NannyML's are.
    """
    import pyarrow as pa

    from seamark.compute import drift_window, quality
    from seamark.compute.profiles import Profile, levels, numbers
    from seamark.core.findings import DriftState
    from seamark.core.specs import DriftSpec
    from seamark.core.windows import Window

    hour = Window.trailing(datetime(2026, 3, 1, tzinfo=UTC), 3600)
    spec = DriftSpec(false_alarms=ASKED, rows_min=30)
    calls = iter(range(1, 1 << 62))

    def profiles(model: Model) -> dict[str, Profile]:
        return {
            name: numbers(column)
            if kind(name) == "numeric"
            else levels(pa.DictionaryArray.from_arrays(column, LEVELS).cast(pa.string()))
            for name, column in model.items()
        }

    def nulls(before: dict[str, Profile], now: dict[str, Profile], kinds: dict[str, str]) -> Decision:
        features, _ = quality.assess(now, before, kinds, None, rows_min=30, false_alarms=ASKED)
        checks = {one.feature: next(check for check in one.checks if check.check == "nulls") for one in features}
        statistic = {name: -float(np.log10(max(check.p_value or 1.0, 1e-300))) for name, check in checks.items()}
        worse = {name: bool(check.worse) for name, check in checks.items()}
        return Decision(any(worse.values()), statistic, worse)

    def judge(reference: Model, windows: Sequence[Model]) -> list[Decision]:
        before, kinds = profiles(reference), {name: kind(name) for name in reference}
        if any(column.nulls for column in before.values()):
            return [nulls(before, profiles(window), kinds) for window in windows]
        decisions = []
        for window in windows:
            finding = drift_window.judge("bench", None, hour, profiles(window), before, kinds, spec, seed=next(calls))
            beyond = [f.state in (DriftState.DRIFT, DriftState.CERTAIN_SMALL) for f in finding.features]
            decisions.append(
                Decision(
                    bool(finding.drifted),
                    {f.feature: -float(np.log10(max(f.p_value or 1.0, 1e-300))) for f in finding.features},
                    {f.feature: bool(f.drifted) for f in finding.features},
                    any(beyond),
                )
            )
        return decisions

    return judge


def ks_chi2() -> Judge:
    """Alibi Detect's documented rule for tables (TabularDrift, correction "fdr"), written with SciPy.

    Two-sample KS with its asymptotic p-value for numbers, chi2_contingency over the levels of either sample for texts,
    Benjamini and Hochberg over the columns at the rate that Seamark is asked for. (Its own default is Bonferroni at
    0.05.) Nulls are left out: a KS over NaN has no p-value.
    """
    from scipy.stats import chi2_contingency, ks_2samp

    def p_value(name: str, before: Column, after: Column) -> float:
        if kind(name) == "numeric":
            sides = (side[np.isfinite(side)] for side in (before, after))
            return float(ks_2samp(*sides, method="asymp").pvalue)
        table = np.array([np.bincount(side, minlength=len(LEVELS)) for side in (before, after)])
        seen = table[:, table.sum(axis=0) > 0]
        return float(chi2_contingency(seen).pvalue) if seen.shape[1] > 1 else 1.0

    def judge(reference: Model, windows: Sequence[Model]) -> list[Decision]:
        decisions = []
        for window in windows:
            p = {name: p_value(name, before, window[name]) for name, before in reference.items()}
            ordered = sorted(p.values())
            last = max((n for n, one in enumerate(ordered, 1) if one < ASKED * n / len(p)), default=0)
            drifted = {name: bool(last) and one <= ordered[last - 1] for name, one in p.items()}
            statistic = {name: -float(np.log10(max(one, 1e-300))) for name, one in p.items()}
            decisions.append(Decision(bool(last), statistic, drifted))
        return decisions

    return judge


def evidently() -> Judge:
    """Evidently: the test its preset chooses for each column, with that test's threshold; an alarm where any drifts.

    Asked of its registry, which spares what the report adds in time. (Its preset calls the whole set of columns drifted
    only where half of them are.)
    """
    os.environ["DO_NOT_TRACK"] = "1"  # before the import: it phones home otherwise
    import pandas as pd
    from evidently.legacy.calculations.stattests.registry import get_stattest
    from evidently.legacy.core import ColumnType

    types = {"numeric": ColumnType.Numerical, "categorical": ColumnType.Categorical}

    def series(column: Column) -> Any:
        return pd.Series(column).replace([np.inf, -np.inf], np.nan).dropna()

    def judge(reference: Model, windows: Sequence[Model]) -> list[Decision]:
        before = {name: series(column) for name, column in reference.items()}
        decisions = []
        for window in windows:
            statistic, drifted = {}, {}
            for name, rows in before.items():
                after = series(window[name])
                test = get_stattest(rows, after, types[kind(name)], None)
                found = test(rows, after, types[kind(name)], None)
                is_p = test.default_threshold == 0.05  # its distances have 0.1
                statistic[name] = -float(np.log10(max(found.drift_score, 1e-300))) if is_p else float(found.drift_score)
                drifted[name] = bool(found.drifted)
            decisions.append(Decision(any(drifted.values()), statistic, drifted))
        return decisions

    return judge


def nannyml() -> Judge:
    """NannyML: UnivariateDriftCalculator, for columns with nulls MissingValuesCalculator; chunks of a window's rows."""
    os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"
    warnings.simplefilter("ignore")
    import nannyml as nml  # type: ignore[import-not-found]
    import pandas as pd

    def frame(columns: Mapping[str, Column]) -> Any:
        return pd.DataFrame({of: LEVELS[rows] if rows.dtype.kind == "i" else rows for of, rows in columns.items()})

    def judge(reference: Model, windows: Sequence[Model]) -> list[Decision]:
        columns = {name.replace(",", ""): name for name in reference}
        names = list(columns)
        before = frame({of: reference[name] for of, name in columns.items()})
        after = frame({of: np.concatenate([one[name] for one in windows]) for of, name in columns.items()})
        rows = len(next(iter(windows[0].values())))
        missing = [of for of in names if before[of].isna().any()]
        tables = []
        if missing:
            quality = nml.MissingValuesCalculator(missing, chunk_size=rows).fit(before)
            counted = quality.calculate(after).filter(period="analysis").to_df()
            tables += [(of, counted[of], float(before[of].isna().mean())) for of in missing]
        rest = [of for of in names if of not in missing]
        if rest:
            drift = nml.UnivariateDriftCalculator(rest, chunk_size=rows).fit(before)
            found = drift.calculate(after).filter(period="analysis").to_df()
            tables += [(of, found[of]["jensen_shannon"], 0.0) for of in rest]
        decisions = []
        for place in range(len(windows)):
            statistic = {columns[of]: abs(float(table["value"].iloc[place]) - usual) for of, table, usual in tables}
            drifted = {columns[of]: bool(table["alert"].iloc[place]) for of, table, _ in tables}
            decisions.append(Decision(any(drifted.values()), statistic, drifted))
        return decisions

    return judge


TOOLS: dict[str, Callable[[], Judge]] = {
    "Seamark": seamark,
    "Evidently": evidently,
    "NannyML": nannyml,
    "KS + chi-square, FDR": ks_chi2,
}
# What a statistic is raised to, to fall off like an exponential where nothing moved.
POWERS = {"Seamark": 1.0, "Evidently": 2.0, "NannyML": 2.0, "KS + chi-square, FDR": 1.0}
