"""A model server's predictions, late labels and server spans become OpenTelemetry that Seamark reads."""

from seamark_sdk.client import Seamark, init
from seamark_sdk.synthetic import SyntheticMiddleware

__version__ = "0.1.0"
__all__ = ["Seamark", "SyntheticMiddleware", "__version__", "init"]
