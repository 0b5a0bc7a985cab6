"""Locust as its documentation shows it: so many users, each of them one request a tenth of a second."""

from __future__ import annotations

from locust import FastHttpUser, constant_throughput, task


class Visitor(FastHttpUser):
    """Waits for each answer before it sends the next request."""

    wait_time = constant_throughput(10)

    @task
    def predict(self) -> None:
        """One prediction."""
        self.client.post("/predict", json={"x": 1.0})
