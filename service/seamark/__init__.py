"""Seamark watches deployed models and says how much load they can carry."""

__version__ = "0.1.0"
