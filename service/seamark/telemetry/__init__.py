"""Seamark's own metrics: what was counted and what was found become one Prometheus page.

A floor of its own between the pure rooms and the edges: it may be imported from the store upward.
"""

from seamark.telemetry.meter import Telemetry
from seamark.telemetry.readings import LakeFigures, LastRun

__all__ = ["LakeFigures", "LastRun", "Telemetry"]
