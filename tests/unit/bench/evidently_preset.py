"""A script: which columns Evidently's preset calls drifted, and which the bench's way of asking it does, as JSON."""

from __future__ import annotations

import json

import pandas as pd
from bench import drift_data, drift_tools
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset


def main() -> None:
    kinds = {name: drift_data.kind(name) for name in drift_data.COLUMNS}
    definition = DataDefinition(
        numerical_columns=[name for name in kinds if kinds[name] == "numeric"],
        categorical_columns=[name for name in kinds if kinds[name] == "categorical"],
    )
    judge = drift_tools.evidently()
    answers = []
    for rows in (1_000, 5_000):
        reference = {name: drift_data.reference(name, rows, 1) for name in kinds}
        window = {name: drift_data.window(name, rows, 200, 1) for name in kinds}
        sides = [Dataset.from_pandas(pd.DataFrame(side), data_definition=definition) for side in (window, reference)]
        found = Report([DataDriftPreset()], include_tests=True).run(*sides).dict()
        failed = {test["metric_config"]["params"].get("column") for test in found["tests"] if test["status"] == "FAIL"}
        drifted = judge(reference, [window])[0].drifted
        answers.append(
            {"preset": sorted(failed - {None}), "registry": sorted(name for name, moved in drifted.items() if moved)}
        )
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
