"""The names of the events that Seamark stores and of the attributes that carry their fields."""

from __future__ import annotations

PREDICTION = "seamark.prediction"
LABEL = "seamark.label"
ID = "seamark.prediction.id"
LABEL_VALUE = "seamark.label.value"

# Fields of a prediction record, by the attribute that carries each.
ATTRIBUTE_OF = {
    "prediction_id": ID,
    "prediction": "seamark.prediction.value",
    "latency_ms": "seamark.prediction.latency_ms",
    "features": "seamark.features",
    "scores": "seamark.scores",
    "segment": "seamark.segment",
}
