"""Every autoscaler a recommendation can be written for. A new one is one file here and one line below."""

from __future__ import annotations

from seamark.delivery.scalers.hpa import HPA
from seamark.delivery.scalers.keda import KEDA
from seamark.delivery.scalers.keda_external import KEDA_EXTERNAL
from seamark.delivery.scalers.keda_prometheus import KEDA_PROMETHEUS
from seamark.delivery.scalers.scaler import Reached, Scaler

__all__ = ["SCALERS", "Reached", "Scaler"]

SCALERS: dict[str, Scaler] = {
    "keda": KEDA,
    "keda-external": KEDA_EXTERNAL,
    "keda-prometheus": KEDA_PROMETHEUS,
    "hpa": HPA,
}
