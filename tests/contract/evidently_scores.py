"""Pairs of columns on stdin become Evidently's own scores on stdout: a process of its own for test_drift_evidently."""

from __future__ import annotations

import json
import sys
import warnings


def main() -> None:
    warnings.simplefilter("ignore")
    import pandas as pd
    from evidently.legacy.calculations import stattests
    from evidently.legacy.calculations.stattests import tvd_stattest
    from evidently.legacy.core import ColumnType

    tests = {
        "psi": stattests.psi_stat_test,
        "jensen_shannon": stattests.jensenshannon_stat_test,
        "ks": stattests.ks_stat_test,
        "wasserstein": stattests.wasserstein_stat_test,
        "hellinger": stattests.hellinger_stat_test,
    }
    kinds = {"numeric": ColumnType.Numerical, "categorical": ColumnType.Categorical}
    scores = []
    for case in json.load(sys.stdin):
        scores.append({})
        for method in case["methods"]:
            reference, current = pd.Series(case["reference"]), pd.Series(case["current"])
            if method == "total_variation":  # its test tells a p-value of permutations of this
                scores[-1][method] = float(tvd_stattest._total_variation_distance(reference, current))
            else:
                scores[-1][method] = float(tests[method].func(reference, current, kinds[case["kind"]], 0.1)[0])
    print(json.dumps(scores))


if __name__ == "__main__":
    main()
