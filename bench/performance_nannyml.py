"""Run by the peer's own interpreter: NannyML's estimates of each chunk in a folder's files, as JSON on stdout.

It knows nothing of this project but the files' columns, and must be able to run without it.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from pathlib import Path

os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"  # before the import: it phones home otherwise

import nannyml as nml
import pandas as pd


def main(folder: Path) -> None:
    """Fit on the reference, estimate the watched rows; print estimates by metric, and seconds."""
    warnings.simplefilter("ignore")
    job = json.loads((folder / "job.json").read_text())
    reference, watched = (pd.read_parquet(folder / f"{side}.parquet") for side in ("reference", "watched"))
    common = {"y_pred": "y_pred", "y_true": "y_true", "metrics": job["metrics"], "chunk_size": job["chunk_rows"]}
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    if not job["scores"]:
        estimator = nml.DLE(feature_column_names=job["features"], **common)
    elif len(job["scores"]) == 1:
        (score,) = job["scores"].values()
        estimator = nml.CBPE(problem_type="classification_binary", y_pred_proba=score, **common)
    else:
        estimator = nml.CBPE(problem_type="classification_multiclass", y_pred_proba=job["scores"], **common)
    estimator.fit(reference)
    found = estimator.estimate(watched).filter(period="analysis").to_df()
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    estimates = {name: found[name]["value"].astype(float).tolist() for name in job["metrics"]}
    print(json.dumps({"estimates": estimates, "wall_s": wall_s, "cpu_s": cpu_s}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
