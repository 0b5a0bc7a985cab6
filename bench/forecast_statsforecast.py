"""Run by the peer's own interpreter: statsforecast's quantiles for each origin in a folder's file, as JSON on stdout.

It knows nothing of this project but the file's rows, and must be able to run without it.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from statsforecast.models import MSTL, AutoETS, SeasonalNaive
from statsforecast.utils import ConformalIntervals

LEVELS = [80, 98]


def main(folder: Path) -> None:
    """Fit each model at each origin; print p10, p50, p90, p99 by model, origin and horizon, and CPU seconds."""
    warnings.simplefilter("ignore")
    job = json.loads((folder / "job.json").read_text())
    day, ahead = job["day_steps"], max(job["horizons"])
    intervals = ConformalIntervals(h=ahead, n_windows=job["windows"])
    models = {
        "SeasonalNaive, conformal": lambda: SeasonalNaive(season_length=7 * day, prediction_intervals=intervals),
        "AutoETS": lambda: AutoETS(season_length=day),
        "MSTL": lambda: MSTL(season_length=[day, 7 * day], trend_forecaster=AutoETS(model="ZZN")),
    }
    found = {}
    for name in job["models"]:
        models[name]().forecast(y=np.array(job["origins"][0]), h=ahead, level=LEVELS)  # compiled before it is timed
        began_s, quantiles = time.process_time(), []
        for rows in job["origins"]:
            one = models[name]().forecast(y=np.array(rows), h=ahead, level=LEVELS)
            columns = (one["lo-80"], one["mean"], one["hi-80"], one["hi-98"])
            quantiles.append([[max(float(c[step - 1]), 0.0) for c in columns] for step in job["horizons"]])
        found[name] = {"quantiles": quantiles, "cpu_s": time.process_time() - began_s}
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
