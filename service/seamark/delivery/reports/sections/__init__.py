"""The parts of a run's page, one file each, in the order they stand on it: the list is here and nowhere else."""

from __future__ import annotations

from seamark.delivery.reports.section import Build
from seamark.delivery.reports.sections import (
    answers,
    baseline,
    capacity,
    course,
    errors,
    generator,
    latency,
    percentiles,
    plan,
    scaling,
    server_time,
    thresholds,
)

SECTIONS: tuple[Build, ...] = (
    thresholds.section,
    capacity.section,
    scaling.section,
    baseline.section,
    latency.section,
    percentiles.section,
    answers.section,
    server_time.section,
    course.section,
    errors.section,
    generator.section,
    plan.section,
)
