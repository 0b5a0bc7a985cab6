"""From the heat map to the two distributions and on to the requests, by mouse, by keyboard and without JavaScript."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from sample_facts import HOSTILE
from test_pages_browser import CONTRAST, LOOKS, tab_to

from seamark.web.page_views import model_url

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PICTURES = {
    "drift-number": ("full", "/models/churn/drift/age?at=2026-03-04T13:00:00Z&window=1h"),
    "drift-text": ("full", "/models/churn/drift/region"),
    "drift-few": ("full", "/models/churn/drift/card_brand"),
    "drift-several": ("full", "/models/churn/drift/%28all%20features%29"),
    "drift-hostile": ("hostile", f"{model_url(HOSTILE)}/drift/%3Cscript%3Ealert%281%29%3C%2Fscript%3E"),
    "model-estimated": ("full", "/models/fraud-score"),
    "model-labels-only": ("full", "/models/pricing"),
}
# What a screen reader needs: names for links and images, headers for tables, no reference that leads nowhere.
UNNAMED = """() => {
  const wrong = [];
  const all = (selector) => document.querySelectorAll(selector);
  const note = (bad, n) => { if (bad) wrong.push(n.outerHTML.slice(0, 80)); };
  const named = (n) => (n.getAttribute("aria-label") || n.getAttribute("title") || n.textContent).trim();
  for (const n of all("main a, main button, main summary")) note(!named(n), n);
  const hidden = (n) => n.closest("[aria-hidden=true], [role=img]");
  for (const n of all("main svg")) note(!n.getAttribute("aria-label") && !hidden(n), n);
  for (const n of all("main table")) note(!n.caption || !n.querySelector("th[scope=col]"), n);
  for (const n of all("main tbody tr")) note(!n.querySelector("th[scope=row]"), n);
  const ids = [...all("[id]")].map((n) => n.id);
  if (new Set(ids).size !== ids.length) wrong.push("an id stands twice");
  return wrong;
}"""


@pytest.mark.parametrize("look", LOOKS)
def test_the_pages_of_quality_are_drawn_legible_and_fit(visit, look):
    for name, (scene, path) in PICTURES.items():
        seen = visit(scene, path, **LOOKS[look])
        seen.keep(f"{name}-{look}")
        assert seen.page.evaluate(CONTRAST) == [], name
        assert seen.page.evaluate(UNNAMED) == [], name
        wider = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert seen.page.evaluate(wider) <= 0, f"{name} scrolls sideways"


def test_one_click_leads_from_a_cell_to_its_two_distributions_and_on(visit):
    page = visit("full", "/models/churn").page
    page.get_by_role("link", name="age, until 2026-03-04 13:00: drifted, score").click()
    page.wait_for_url("**/models/churn/drift/age?at=2026-03-04T13%3A00%3A00Z&window=1h")
    assert page.get_by_text("Drifted: wasserstein normed scores 0.41").is_visible()
    assert page.locator(".dist rect.now").count() == 32
    page.get_by_role("link", name="Window before").click()
    page.wait_for_url("**/drift/age?at=2026-03-04T12%3A00%3A00Z&window=1h")
    page.get_by_role("link", name="Window after").click()
    page.wait_for_url("**/drift/age?at=2026-03-04T13%3A00%3A00Z&window=1h")
    page.get_by_role("link", name="Requests of this window").click()
    page.wait_for_url("**/traces?model=churn&start=2026-03-04T12%3A00%3A00Z&end=2026-03-04T13%3A00%3A00Z")
    assert "of the 1h asked for" in page.locator(".sum").inner_text()
    page.get_by_role("button", name="Search").click()
    assert "start=2026-03-04T12%3A00%3A00Z" in page.url, "a search within the window keeps it"


def test_the_keyboard_comes_to_the_map_once_and_moves_between_its_cells(visit):
    page = visit("full", "/models/churn").page
    focused = "document.activeElement.getAttribute('aria-label')"
    page.locator("#drift").evaluate("node => { node.tabIndex = -1; node.focus() }")
    tab_to(page, "monthly_income, latest, until 2026-03-04 14:29: drifted, score 0.35 of threshold 0.11", 3)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(focused).startswith("age, until 2026-03-04 14:00: drifted")
    page.keyboard.press("Home")
    assert page.evaluate(focused).startswith("age, until 2026-03-03 15:00: ")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    assert page.evaluate(focused).startswith("monthly_income, until 2026-03-03 15:00: ")
    page.keyboard.press("End")
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == "Drift per feature", "one tab leads past the map"
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/models/churn/drift/monthly_income?*")


def test_without_javascript_the_map_the_line_and_the_distributions_are_all_there(visit):
    seen = visit("full", "/models/churn", java_script_enabled=False)
    table = seen.page.get_by_role("table", name=re.compile("Drift by feature and window"))
    assert table.get_by_role("row").count() == 12
    assert seen.page.get_by_role("img", name=re.compile("accuracy: last measured 0.86")).is_visible()
    seen.page.locator("summary", has_text="The figures, a row per window").click()
    assert seen.page.get_by_role("table", name="Performance measured and estimated by window").is_visible()
    table.get_by_role("link", name="region, until 2026-03-04 14:00").click()
    assert seen.page.get_by_role("table", name="The levels with the largest shares").is_visible()


def test_on_a_narrow_screen_the_newest_windows_stay(visit):
    page = visit("full", "/models/churn", viewport={"width": 400, "height": 844}).page
    first = page.locator("[data-heat] tbody tr").first
    assert first.locator("td:visible").count() == 7
    assert first.locator("td .cell:visible").last.get_attribute("aria-label").startswith("monthly_income, latest")
    box = first.locator("td .cell:visible").last.bounding_box()
    assert min(box["width"], box["height"]) >= 24


def test_a_refresh_keeps_the_focus_on_the_cell(visit, monkeypatch):
    seen = visit("full", "/models/churn")
    page = seen.page
    cell = page.locator("[data-heat] tbody tr[data-key='age'] td .cell").nth(23)
    cell.focus()
    columns = seen.sample.source.model("churn", None).drift_history
    facts = seen.sample.source.model
    monkeypatch.setattr(
        seen.sample.source, "model", lambda name, at: replace(facts(name, at), drift_history=columns[1:])
    )
    page.evaluate("window.seamark.refresh()")
    page.wait_for_function("() => document.querySelectorAll('[data-heat] thead th[data-key]').length === 24")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("age, until 2026-03-04 14:00")


def test_errors_are_pages_with_a_way_on(visit):
    for scene, path, words in (
        ("full", "/models/churn/drift/nope", "has no feature 'nope'"),
        ("failing", "/models/churn/drift/age", "the disk is full"),
    ):
        seen = visit(scene, path)
        assert seen.page.get_by_text(words).is_visible()
        assert seen.page.locator("main a.button").is_visible()
        seen.keep(f"error-drift-{scene}")
        seen.errors[:] = [error for error in seen.errors if "status of" not in error]
