"""The pages in a real browser: drawn, quiet, legible, reachable by keyboard, and honest when the service is gone."""

from __future__ import annotations

import re

import pytest
from sample_facts import HOSTILE, overview
from sample_traces import TRACE_ID

from seamark.web.page_views import model_url

pytestmark = [pytest.mark.browser, pytest.mark.slow]

RUNNING, PASSED, FAILED = "/runs/aa00000000000001", "/runs/bb00000000000001", "/runs/bb00000000000002"
WAITING, LOST = "/runs/aa00000000000002", "/runs/bb00000000000005"
LOOKS = {
    "dark": {"color_scheme": "dark"},
    "light": {"color_scheme": "light"},
    "narrow": {"color_scheme": "light", "viewport": {"width": 390, "height": 844}},
}
PICTURES = [
    ("overview", "full", "/", 0),
    ("overview-empty", "empty", "/", 0),
    ("overview-hostile", "hostile", "/", 0),
    ("model", "full", "/models/churn", 2),
    ("model-unknown", "full", "/models/upsell", 0),
    ("model-hostile", "hostile", model_url(HOSTILE), 2),
    ("headroom", "full", "/models/churn/headroom", 2),
    ("headroom-unknown", "full", "/models/upsell/headroom", 0),
    ("headroom-hostile", "hostile", model_url(HOSTILE) + "/headroom", 2),
    ("loadtests", "full", "/loadtests", 0),
    ("run-passed", "full", PASSED, 3),
    ("run-failed", "full", FAILED, 3),
    ("run-live", "full", RUNNING, 2),
    ("run-waiting", "full", WAITING, 0),
    ("run-made-again", "full", LOST, 0),
    ("alerts", "full", "/alerts", 0),
    ("traces", "full", "/traces", 0),
    ("traces-refused", "full", "/traces?q=%7B+.a+%3D+%7D", 0),
    ("trace", "full", f"/traces/{TRACE_ID}", 0),
    ("trace-hostile", "hostile", f"/traces/{TRACE_ID}", 0),
]

# Every text that is seen: its colour against the first opaque ground behind it, by WCAG 2.2's formula.
CONTRAST = """() => {
  const channel = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const parts = (css) => (css.match(/[\\d.]+/g) || []).map(Number);
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const found = parts(getComputedStyle(at).backgroundColor);
      if (found.length === 3 || found[3] === 1) return found;
    }
    return [255, 255, 255];
  };
  const weak = [];
  for (const node of document.body.querySelectorAll("*")) {
    const own = [...node.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || !node.checkVisibility() || node.closest(".vh, .skip, noscript, script, .canvas, [disabled]")) continue;
    const svg = node.namespaceURI.endsWith("svg");
    const ink = parts(getComputedStyle(node)[svg ? "fill" : "color"]);
    const [a, b] = [light(ink), light(ground(node))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const said = node.textContent.trim().slice(0, 40);
    if (ratio < 4.5) weak.push(`${node.nodeName}.${node.getAttribute("class")}: ${ratio.toFixed(2)} ${said}`);
  }
  return weak;
}"""


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize(("name", "scene", "path", "plots"), PICTURES, ids=[picture[0] for picture in PICTURES])
def test_each_page_is_drawn_legible_and_fits(visit, name, scene, path, plots, look):
    seen = visit(scene, path, **LOOKS[look])
    seen.plots(plots)
    seen.keep(f"{name}-{look}")
    assert seen.page.evaluate(CONTRAST) == []
    wider = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert seen.page.evaluate(wider) <= 0, "the page scrolls sideways"


def test_hostile_names_stay_text(visit):
    for path in ("/", model_url(HOSTILE), "/alerts", "/loadtests"):
        seen = visit("hostile", path)
        seen.page.on("dialog", lambda dialog: pytest.fail("a name was run as a script"))
        assert seen.page.get_by_text(HOSTILE).first.is_visible()
        assert seen.page.locator("main img, main b").count() == 0
        assert seen.page.locator("a[href^='javascript']").count() == 0
    seen.page.get_by_role("button", name=f"Run {HOSTILE} now").click()
    told = seen.page.get_by_role("alert").filter(has_text="is not allowed")
    told.wait_for()
    assert "<img src=x" in told.inner_text()
    seen.errors[:] = [error for error in seen.errors if "409" not in error]  # the browser notes the refusal itself


def test_everything_can_be_read_without_javascript(visit):
    for path, wanted in (
        ("/", ("churn", "82", "last heard of 14 min ago", "nothing heard yet")),
        ("/models/churn", ("monthly_income", "wasserstein normed", "63.3 %", "131 ms", "too few rows")),
        (PASSED, ("p99(latency_ms) < 300", "212 ms", "did not hold", "report.html")),
        ("/models/churn/headroom", ("Advice, followed", "2026-03-08 (in 4 d)", "OTLP metrics", "backtest: follow it")),
        ("/alerts", ("search-ranker burns its latency budget too fast", "22 min")),
    ):
        seen = visit("full", path, java_script_enabled=False)
        text = seen.page.locator("main").inner_text()
        assert [words for words in wanted if words not in text] == []
    figures = visit("full", "/models/churn", java_script_enabled=False).page
    figures.get_by_text("The figures of both plots").click()
    assert figures.get_by_role("table", name="Latency, traffic and errors over the last hour").is_visible()


# --- keyboard and screen reader --------------------------------------------------------------------------------------


def tab_to(page, name: str, most: int = 40) -> None:
    """Press Tab until the focus is on the control of this name, and see that the focus is shown."""
    for _ in range(most):
        page.keyboard.press("Tab")
        at = page.evaluate(
            "(() => { const a = document.activeElement, s = getComputedStyle(a);"
            " return [a.getAttribute('aria-label') || a.textContent.trim(), s.outlineStyle, a.checkVisibility()] })()"
        )
        if at[0] == name:
            assert at[1:] == ["solid", True], "the focus is not shown"
            return
    pytest.fail(f"the keyboard does not reach {name!r}")


def test_the_keyboard_gets_everywhere(visit):
    seen = visit("full", "/")
    page = seen.page
    tab_to(page, "Skip to the content", 1)
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    tab_to(page, "churn")
    page.keyboard.press("Enter")
    page.wait_for_url("**/models/churn")
    tab_to(page, "KEDA manifest", 50)
    page.keyboard.press("Enter")
    assert page.get_by_text("kind: ScaledObject").first.is_visible()


def test_a_trace_is_searched_and_read_by_keyboard_without_javascript(visit):
    seen = visit("full", "/traces", java_script_enabled=False)
    page = seen.page
    page.get_by_label("TraceQL").fill("{ status = error }")
    page.get_by_label("Order").select_option("slowest")
    page.get_by_label("TraceQL").press("Enter")
    page.wait_for_url("**/traces?q=*sort=slowest*")
    page.get_by_role("link", name="POST /predict/batch").first.press("Enter")
    page.wait_for_url(f"**/traces/{TRACE_ID}?at=*")
    failed = page.locator("summary", has_text="POST /charge")
    failed.focus()
    page.keyboard.press("Enter")
    assert page.get_by_text("the issuer said no").is_visible()
    bars = {name: page.locator("summary", has_text=name).locator(".span-bar").bounding_box() for name in BARS}
    assert bars["SELECT features"]["x"] > bars["GET /features"]["x"] > bars["validate"]["x"]
    assert bars["GET /features"]["width"] > bars["validate"]["width"]


BARS = ("validate", "GET /features", "SELECT features")


def test_a_run_that_waited_shows_its_figures_once_it_begins(visit):
    seen = visit("full", WAITING)
    seen.page.get_by_text("Waiting for run aa00000000000001").wait_for()
    assert not seen.page.get_by_text("In flight", exact=True).is_visible()
    seen.sample.source.taken = True
    seen.page.get_by_text("In flight", exact=True).wait_for()
    seen.plots(2)
    fits = """() => [...document.querySelectorAll(".canvas")].every((canvas) => {
      const box = (node) => node.getBoundingClientRect();
      const [plot, panel] = [box(canvas.querySelector(".main-svg")), box(canvas.closest(".panel"))];
      return plot.width > 300 && plot.right <= panel.right;
    })"""
    seen.page.wait_for_function(fits)
    seen.keep("run-begun")


def test_a_run_is_started_and_stopped_by_keyboard(visit):
    seen = visit("full", "/loadtests")
    tab_to(seen.page, "Run churn-nightly now")
    seen.page.keyboard.press("Enter")
    seen.page.wait_for_url(f"**{RUNNING}")
    tab_to(seen.page, "Stop the run")
    seen.page.keyboard.press("Enter")
    seen.page.locator(".verdict .word", has_text="Aborted").wait_for()
    assert seen.page.get_by_role("button", name="Run again").is_enabled()
    assert seen.sample.source.posts == ["run churn-nightly", "stop aa00000000000001 application/json"]


def test_the_load_line_has_its_words(visit):
    page = visit("full", "/").page
    line = page.get_by_role(
        "img", name=re.compile("Load line of churn: live 82 requests per second over the last minute")
    )
    assert line.count() == 1
    for landmark in ("banner", "main"):
        assert page.get_by_role(landmark).count() == 1
    assert page.get_by_role("navigation", name="Main").count() == 1
    assert page.get_by_role("heading", level=2).count() == 6


def test_pointing_at_the_headroom_plot_tells_load_line_and_forecast(visit):
    page = visit("full", "/models/churn/headroom").page
    canvas = page.locator("[data-plot=load] .canvas")
    canvas.locator(".main-svg .scatterlayer path.js-line").first.wait_for(state="attached")
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.5)
    told = canvas.locator(".hoverlayer")
    told.get_by_text(re.compile(r"forecast, p50.*\d/s \(p10 \d+, p90 \d+\)")).wait_for()
    for name in ("load : ", "safe for the replicas that ran : 96/s", "safe for one replica : 48/s"):
        assert told.get_by_text(name).count() == 1
    page.get_by_role("link", name="24h").press("Enter")
    page.wait_for_url("**/headroom?range=24h")


# --- refresh ---------------------------------------------------------------------------------------------------------


def test_a_refresh_changes_figures_and_keeps_the_focus(visit, monkeypatch):
    seen = visit("full", "/")
    page = seen.page
    page.get_by_role("link", name="churn", exact=True).focus()
    page.evaluate("window.kept = document.querySelector('#model-1 .figure')")
    monkeypatch.setattr(seen.sample.source, "overviews", lambda at: [overview("churn", live_rps=95.0)])
    page.evaluate("window.seamark.refresh()")
    page.locator("#model-1 .reading.live .figure", has_text="95").wait_for()
    assert page.locator(".card").count() == 1
    assert page.evaluate("document.activeElement.textContent") == "churn"
    assert page.evaluate("window.kept === document.querySelector('#model-1 .figure')"), "the element was replaced"
    assert page.get_by_role("status").inner_text() == "", "a refresh is no news"


def test_what_comes_before_the_focus_does_not_take_it(visit, monkeypatch):
    seen = visit("full", "/")
    seen.page.get_by_role("link", name="fraud-score", exact=True).focus()
    wanted = [overview("a-new-one"), overview("churn"), overview("fraud-score")]
    monkeypatch.setattr(seen.sample.source, "overviews", lambda at: wanted)
    seen.page.evaluate("window.seamark.refresh()")
    seen.page.get_by_role("link", name="a-new-one", exact=True).wait_for()
    assert seen.page.evaluate("document.activeElement.textContent") == "fraud-score"
    assert [name.strip() for name in seen.page.locator(".card h2").all_inner_texts()] == [m.model for m in wanted]


def test_open_details_and_plots_survive_a_refresh(visit):
    seen = visit("full", "/models/churn")
    seen.plots(2)
    seen.page.get_by_text("KEDA manifest").click()
    seen.page.evaluate("window.seamark.refresh()")
    assert seen.page.get_by_text("kind: ScaledObject").first.is_visible()
    seen.plots(2)
    assert seen.page.locator(".legend li").count() == 10


def test_a_hidden_page_asks_for_nothing(visit):
    seen = visit("full", "/")
    page, asked = seen.page, []
    page.clock.install()
    page.reload()
    page.on("request", lambda request: asked.append(request.url) if "fragment" in request.url else None)
    page.evaluate(
        "Object.defineProperty(document, 'hidden', {get: () => window.away, configurable: true}); window.away = true"
    )
    page.clock.run_for(30_000)
    assert asked == []
    with page.expect_request("**/*fragment=main*"):
        page.evaluate("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")


def test_a_page_that_is_no_longer_refreshed_says_so(visit):
    seen = visit("full", "/")
    seen.page.route("**/*fragment=main*", lambda route: route.abort())
    for _ in range(2):
        seen.page.evaluate("window.seamark.refresh()")
    seen.page.locator("#fresh", has_text="the service does not answer").wait_for()
    assert seen.page.locator("main.outdated").count() == 1
    assert "no longer refreshed" in seen.page.get_by_role("status").inner_text()
    seen.keep("overview-outdated")
    seen.page.unroute("**/*fragment=main*")
    seen.page.evaluate("window.seamark.refresh()")
    seen.page.locator("#fresh", has_text="refreshes every 5 s").wait_for()
    assert seen.page.locator("main.outdated").count() == 0
    seen.errors[:] = [error for error in seen.errors if "ERR_FAILED" not in error]


# --- a run while it runs ---------------------------------------------------------------------------------------------


def test_a_run_grows_and_ends_before_your_eyes(visit):
    seen = visit("full", RUNNING)
    page = seen.page
    seen.plots(5)
    page.wait_for_function("() => parseInt(document.querySelector('[data-live=t_s]').textContent) >= 61")
    seen.keep("run-live")
    points = page.evaluate("document.querySelector('[data-plot=latency] .canvas').data[0].x")
    assert points == sorted(set(points)), "a second was drawn twice"
    page.locator(".verdict .word", has_text="Passed").wait_for(timeout=20_000)
    assert page.get_by_role("table", name="Thresholds and what was measured").is_visible()
    assert page.get_by_role("link", name="junit.xml").is_visible()
    assert page.title().startswith("Passed")
    assert "ended: passed" in page.get_by_role("status").inner_text()
    seen.plots(6)


def test_colours_follow_the_system(visit):
    seen = visit("full", "/models/churn", color_scheme="light")
    seen.plots(2)
    line = "getComputedStyle(document.querySelector('.scatterlayer path.js-line')).stroke"
    before = seen.page.evaluate(line)
    seen.page.emulate_media(color_scheme="dark")
    seen.page.wait_for_function(f"() => {line} !== {before!r}")
    assert seen.page.evaluate(CONTRAST) == []


def test_errors_are_pages_with_a_way_on(visit):
    for scene, path, words in (("full", "/models/nope", "Not found"), ("failing", "/", "the disk is full")):
        seen = visit(scene, path)
        assert seen.page.get_by_text(words).is_visible()
        assert seen.page.locator("main a.button").is_visible()
        seen.keep(f"error-{scene}")
        seen.errors[:] = [error for error in seen.errors if "status of" not in error]
