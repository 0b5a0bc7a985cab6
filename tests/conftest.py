"""What every test may ask for: the system's tools, or to be left out with the reason told at the end."""

from __future__ import annotations

import gc
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as `seamark serve` does; before NumPy is loaded

# How many examples a property is tried with: `make quick`, `make test` and `make soak`, by --hypothesis-profile.
for name, examples in {"quick": 20, "suite": 100, "soak": 2_000}.items():
    settings.register_profile(name, deadline=None, max_examples=examples)
settings.load_profile("suite")

# A program -> the Debian package that brings it. `make test` installs them where it may.
PACKAGES = {
    "alertmanager": ("prometheus-alertmanager", "prometheus-alertmanager"),
    "chromium": ("chromium", "chromium"),
    "prometheus": ("prometheus", "prometheus"),
    "promtool": ("promtool", "prometheus"),
}


def pytest_collection_finish() -> None:
    """Take what is imported by now from the collector's rounds, as `seamark serve` does: each test has many."""
    gc.collect()
    gc.freeze()


def in_ci() -> bool:
    """Whether a test that cannot run must fail instead of being left out."""
    return os.environ.get("CI", "").lower() in ("1", "true", "yes")


def require_tool(name: str) -> Path:
    """Return the program's path; without it the test is left out, in CI it fails."""
    program, package = PACKAGES[name]
    found = shutil.which(program)
    if found:
        return Path(found)
    reason = f"{program} is not installed (Debian: apt-get install {package})"
    if in_ci():
        pytest.fail(f"{reason}; in CI nothing is left out", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def tool():
    """`tool("prometheus")` -> the path of a real program."""
    return require_tool


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say once, at the very end, what was left out and why."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple)
    )
    if reasons:
        terminalreporter.section("left out")
        for reason, count in reasons.most_common():
            terminalreporter.line(f"{count} test{'s' if count > 1 else ''}: {reason}")
