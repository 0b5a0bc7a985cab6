"""A real Chromium on the sample application; whatever goes to its console or leaves loopback is kept and judged."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from sample_app import Sample, serve

SCREENSHOTS = Path(__file__).resolve().parents[2] / "artifacts" / "screenshots"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest: where it came last, one of the two workers would have nothing to do beside it."""
    items.sort(key=lambda item: "test_walk_through_the_service" not in item.nodeid)


@dataclass
class Visit:
    """An open page on a running sample. `errors` and `outside` must be empty at the end of a test."""

    page: Any
    sample: Sample
    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def go(self, path: str) -> Visit:
        """Open a path of the sample and wait until its scripts ran."""
        self.page.goto(self.sample.url + path, wait_until="load")
        return self

    def plots(self, count: int) -> None:
        """Wait until this many plots are drawn: each has plotly's SVG with at least one line in it."""
        # A function, not an expression: the pages' policy forbids eval, and so it should.
        drawn = "(n) => document.querySelectorAll('.canvas .main-svg .scatterlayer path.js-line').length >= n"
        self.page.wait_for_function(drawn, arg=count, timeout=20_000)

    def keep(self, name: str) -> None:
        """Keep a picture of the whole page."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


@pytest.fixture(scope="session")
def chromium(tool) -> Iterator[Any]:
    """One browser for all tests."""
    playwright = pytest.importorskip("playwright.sync_api")
    path = tool("chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(path), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium) -> Iterator[Callable[..., Visit]]:
    """`visit("full", "/")` -> an open page; options are those of a browser context."""
    with ExitStack() as stack:
        visits: list[Visit] = []

        def open_page(scene: str = "full", path: str = "/", **options: Any) -> Visit:
            options.setdefault("viewport", {"width": 1440, "height": 900})
            sample = stack.enter_context(serve(scene))
            context = chromium.new_context(**options)
            stack.callback(context.close)
            made = Visit(context.new_page(), sample)
            made.page.set_default_timeout(15_000)
            made.page.on("console", lambda m: made.errors.append(m.text) if m.type in ("error", "warning") else None)
            made.page.on("pageerror", lambda e: made.errors.append(str(e)))
            made.page.on("request", lambda r: _watch(made, r.url))
            visits.append(made)
            return made.go(path)

        yield open_page
        told = [error for made in visits for error in made.errors]
        assert told == [], "the console must stay silent"
        assert [url for made in visits for url in made.outside] == [], "nothing may leave this machine"


def _watch(made: Visit, url: str) -> None:
    if urlsplit(url).scheme not in ("data", "blob") and urlsplit(url).hostname != "127.0.0.1":
        made.outside.append(url)
