"""Files of labelled predictions -> cases: a reference, a watched stretch cut into chunks, and what came true of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

PREDICTION, LABEL = "y_pred", "y_true"
CLASSIFICATION = ("accuracy", "precision", "recall", "f1", "roc_auc")
REGRESSION = ("mae", "rmse")


@dataclass(frozen=True)
class Case:
    """One model. `scores` maps a class to the column of its score; without them it is a regression."""

    name: str
    features: tuple[str, ...]
    chunk_rows: int
    reference: pd.DataFrame
    watched: pd.DataFrame  # with LABEL; both tools are handed it without
    scores: dict[str, str] = field(default_factory=dict)

    @property
    def metrics(self) -> tuple[str, ...]:
        """What is estimated; of more than two classes precision, recall and f1 are means over the classes."""
        return CLASSIFICATION if self.scores else REGRESSION

    @property
    def chunks(self) -> int:
        """Whole chunks of the watched rows; what is left over is not used."""
        return len(self.watched) // self.chunk_rows

    def document(self) -> dict[str, object]:
        """What the two workers are told, as JSON."""
        return {
            "features": list(self.features),
            "chunk_rows": self.chunk_rows,
            "chunks": self.chunks,
            "scores": self.scores,
            "metrics": list(self.metrics),
        }

    def write(self, folder: Path) -> None:
        """Write what both tools read: the reference with labels, the watched rows without."""
        wanted = [*self.features, PREDICTION, *self.scores.values()]
        self.reference[[*wanted, LABEL]].to_parquet(folder / "reference.parquet", index=False)
        self.watched[wanted].iloc[: self.chunks * self.chunk_rows].to_parquet(folder / "watched.parquet", index=False)


def bundled(data: Path, *, quick: bool) -> list[Case]:
    """Return the cases of the data sets that NannyML brings, from the folder it installs them in."""
    makers = (_car_loan,) if quick else (_car_loan, _employment, _credit_cards, _car_price)
    return [make(data) for make in makers]


def _car_loan(data: Path) -> Case:
    reference = pd.read_csv(data / "synthetic_car_loan_reference.csv")
    watched = pd.read_csv(data / "synthetic_car_loan_analysis.csv")
    watched = watched.merge(pd.read_csv(data / "synthetic_car_loan_analysis_target.csv"), on="id")
    features = ("car_value", "salary_range", "debt_to_income_ratio", "loan_length", "repaid_loan_on_prev_car")
    features += ("size_of_downpayment", "driver_tenure")
    return _of_two("car loan: two classes, synthetic", features, 1_000, reference, watched, "y_pred_proba", "repaid")


def _employment(data: Path) -> Case:
    reference, watched, target = (
        pd.read_parquet(data / f"employment_MA_{part}.pq") for part in ("reference", "analysis", "analysis_target")
    )
    renamed = {"prediction": PREDICTION}
    features = tuple(name for name in reference.columns if name.isupper() or name == "RAC1P")
    reference, watched = reference.rename(columns=renamed), watched.merge(target, on="id").rename(columns=renamed)
    name = "employment: two classes, census 2015 and after"
    return _of_two(name, features, 5_000, reference, watched, "predicted_probability", "employed")


def _of_two(
    name: str,
    features: tuple[str, ...],
    chunk_rows: int,
    reference: pd.DataFrame,
    watched: pd.DataFrame,
    score: str,
    label: str,
) -> Case:
    sides = [side.rename(columns={score: "score_1", label: LABEL}) for side in (reference, watched)]
    for side in sides:
        side[LABEL] = side[LABEL].astype(int)
        side[PREDICTION] = side[PREDICTION].astype(int)
    return Case(name, features, chunk_rows, sides[0], sides[1], {"1": "score_1"})


def _credit_cards(data: Path) -> Case:
    reference, watched = (pd.read_csv(data / f"mc_{part}.csv") for part in ("reference", "analysis"))
    watched = watched.merge(pd.read_csv(data / "mc_analysis_gt.csv"), on="id")
    classes = ("prepaid_card", "highstreet_card", "upmarket_card")
    features = ("acq_channel", "app_behavioral_score", "requested_credit_limit", "app_channel", "credit_bureau_score")
    features += ("stated_income", "is_customer")
    scores = {name: f"y_pred_proba_{name}" for name in classes}
    return Case("credit cards: three classes, synthetic", features, 1_000, reference, watched, scores)


def _car_price(data: Path) -> Case:
    reference, watched = (pd.read_csv(data / f"regression_synthetic_{part}.csv") for part in ("reference", "analysis"))
    watched = watched.merge(pd.read_csv(data / "regression_synthetic_analysis_targets.csv"), on="id")
    features = ("car_age", "km_driven", "price_new", "accident_count", "door_count", "fuel", "transmission")
    return Case("car price: a quantity, synthetic", features, 1_000, reference, watched)


def bicycles(file: Path) -> Case:
    """Return bicycles rented per hour (UCI, hour.csv): trained on 2011, held out each month's last days, 2012 watched.

    The reference is days the model was not trained on. Rents grew by two thirds in 2012, which no input tells.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor

    rows = pd.read_csv(file)
    features = ("season", "mnth", "hr", "holiday", "weekday", "workingday", "weathersit", "temp", "atemp", "hum")
    features += ("windspeed",)
    day = pd.to_datetime(rows["dteday"])
    first, held_out = day.dt.year == 2011, day.dt.day > 18
    model = HistGradientBoostingRegressor(random_state=0)
    model.fit(rows.loc[first & ~held_out, list(features)], rows.loc[first & ~held_out, "cnt"])
    rows[PREDICTION] = np.maximum(model.predict(rows[list(features)]), 0.0)
    rows[LABEL] = rows["cnt"].astype(float)
    return Case(
        "bicycles: a quantity, trained on 2011, watched 2012", features, 336, rows[first & held_out], rows[~first]
    )
