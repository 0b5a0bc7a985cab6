"""The pages as answered: status, policy, escaping, structure; and the static files."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import quote

import pytest
from fastapi import Request
from sample_facts import HOSTILE, LONG
from sample_traces import CIRCLE_ID, MANY_ID, TRACE_ID

from seamark.web.page_assets import STATIC, asset_url, plotly_path
from seamark.web.page_problem import wants_page
from seamark.web.page_views import model_url

PAGES = [
    ("full", "/"),
    ("empty", "/"),
    ("hostile", "/"),
    ("full", "/models/churn"),
    ("full", "/models/upsell"),
    ("full", "/models/search-ranker"),
    ("hostile", model_url(HOSTILE)),
    ("hostile", model_url(LONG)),
    ("full", "/models/pricing"),
    ("full", "/models/fraud-score"),
    ("full", "/models/churn/drift/age"),
    ("full", "/models/churn/drift/age?at=2026-03-04T14:00:00Z&window=1h&version="),
    ("full", "/models/churn/drift/region"),
    ("full", "/models/churn/drift/card_brand"),
    ("full", "/models/churn/drift/%28all%20features%29"),
    ("full", "/models/churn/drift?feature=.."),
    ("hostile", f"/models/{quote(HOSTILE, safe='')}/drift/{quote(HOSTILE, safe='')}?version=%3Cb%3E"),
    ("full", "/models/churn/headroom"),
    ("full", "/models/churn/headroom?range=24h"),
    ("full", "/models/churn/headroom?range=14d"),
    ("full", "/models/churn/headroom?start=2026-03-03T00:00:00Z&end=2026-03-04T00:00:00Z"),
    ("full", "/models/search-ranker/headroom"),
    ("full", "/models/pricing/headroom"),
    ("full", "/models/night-batch/headroom"),
    ("full", "/models/upsell/headroom"),
    ("hostile", f"/models/{quote(HOSTILE, safe='')}/headroom"),
    ("full", "/loadtests"),
    ("empty", "/loadtests"),
    ("hostile", "/loadtests"),
    ("full", "/runs/aa00000000000001"),
    ("full", "/runs/aa00000000000002"),
    ("full", "/runs/bb00000000000001"),
    ("full", "/runs/bb00000000000004"),
    ("full", "/alerts"),
    ("empty", "/alerts"),
    ("hostile", "/alerts"),
    ("full", "/traces"),
    ("empty", "/traces"),
    ("hostile", "/traces"),
    ("full", "/traces?q=%7B+.a+%3D+%7D"),
    ("full", "/traces?model=churn&start=2026-03-04T13:00:00Z&end=2026-03-04T14:00:00Z"),
    ("full", f"/traces/{TRACE_ID}"),
    ("full", f"/traces/{TRACE_ID}?at=2026-03-01T12:00:00Z"),
    ("full", f"/traces/{MANY_ID}"),
    ("full", f"/traces/{CIRCLE_ID}"),
    ("hostile", f"/traces/{TRACE_ID}"),
]


class Outline(HTMLParser):
    """What a page is made of: tags, ids, captions, references, and every attribute a browser would run."""

    VOID = ("meta", "link", "br", "img", "input", "hr")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.wanted_ids: list[str] = []
        self.inline: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == [], "a tag is not closed"

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        given = dict(attrs)
        if "id" in given:
            self.ids.append(given["id"])
        for name in ("aria-labelledby", "aria-describedby", "for"):
            self.wanted_ids += (given.get(name) or "").split()
        self.inline += [name for name in given if name.startswith("on") or name == "style"]
        if tag == "script" and "src" not in given and given.get("type") != "application/json":
            self.inline.append("script")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.slow
@pytest.mark.parametrize(("scene", "path"), PAGES)
def test_each_page_is_whole_and_runs_nothing_inline(client, scene, path):
    answer = client(scene).get(path)
    assert answer.status_code == 200, answer.text
    outline = Outline(answer.text)
    assert outline.inline == []
    assert [outline.tags.count(tag) for tag in ("html", "main", "h1")] == [1, 1, 1]
    assert outline.tags.count("table") == outline.tags.count("caption")
    assert len(outline.ids) == len(set(outline.ids))
    assert set(outline.wanted_ids) <= set(outline.ids)
    assert "None" not in re.sub(r"<script.*?</script>", "", answer.text, flags=re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize(("scene", "path"), PAGES)
def test_scripts_come_from_here_alone(client, scene, path):
    policy = client(scene).get(path).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    # Only pages with plots may style inline: plotly inserts its own rules.
    assert ("'unsafe-inline'" in policy) == (path.startswith(("/models", "/runs")) and "/drift" not in path)


@pytest.mark.slow
@pytest.mark.parametrize(("scene", "path"), [page for page in PAGES if page[0] == "hostile"])
def test_hostile_names_are_text(client, scene, path):
    page = client(scene).get(path).text
    assert HOSTILE not in page
    assert "<img" not in page
    assert "javascript:" not in page
    assert "</script><b>" not in page


@pytest.mark.parametrize("path", ["/", "/alerts", "/loadtests", "/models/churn", "/runs/bb00000000000001"])
def test_a_fragment_is_the_main_part_alone(client, path):
    asked = client()
    whole, fragment = asked.get(path).text, asked.get(path, params={"fragment": "main"}).text
    assert "<html" not in fragment
    assert fragment.strip() in whole


def test_an_empty_service_shows_the_lines_that_connect_a_model(client):
    page = client("empty").get("/").text
    lines = re.search(r"<pre[^>]*><code>(.*?)</code>", page, re.DOTALL)
    assert lines is not None
    assert len([line for line in lines[1].splitlines() if line.strip()]) == 5
    assert "http://127.0.0.1:8000" in lines[1]


@pytest.mark.slow
def test_the_connecting_lines_name_what_the_sdk_has():
    page = (STATIC.parent / "templates" / "_connect.html.j2").read_text()
    code = "import seamark_sdk as s; print(*dir(s), *dir(s.Seamark))"
    known = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_path()
    ).stdout.split()
    assert {"init", *re.findall(r"seamark\.(\w+)\(", page)} <= set(known)


def test_a_missing_model_and_a_missing_run_are_pages(client):
    asked = client()
    for path in ("/models/nope", "/runs/nope", "/models/churn/drift/nope"):
        answer = asked.get(path)
        assert answer.status_code == 404
        assert "Not found" in answer.text
        assert "nope" in answer.text
        Outline(answer.text)


def test_an_unreadable_lake_is_a_page_that_says_so(client):
    answer = client("failing").get("/")
    assert answer.status_code == 503
    assert "the disk is full" in answer.text
    assert client("failing").get("/?fragment=main").status_code == 503


def test_without_a_key_a_browser_is_led_to_the_login(client):
    answer = client(open_access=False).get("/models/churn", headers={"accept": "text/html"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/models/churn")
    assert client(open_access=False).get("/").status_code == 401


def test_the_page_of_each_state_says_it_in_words(client):
    page = client().get("/").text
    for words in ("last heard of 14 min ago", "nothing heard yet", "no requests in the last minute", "not yet tested"):
        assert words in page
    for state in ("is-live", "is-zero", "is-stale", "is-unknown"):
        assert state in page


def test_alerts_are_grouped_by_where_they_stand(client):
    page = client().get("/alerts").text
    assert [page.count(f"{word}</span>") for word in ("Firing", "Pending", "Resolved")] == [2, 1, 1]


# --- static files -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_file_asked_for_by_its_version_never_changes(client):
    asked = client()
    for name in ("seamark.css", "refresh.js", "favicon.svg", "plotly.min.js"):
        assert "immutable" in asked.get(asset_url(name)).headers["cache-control"]
        assert "must-revalidate" in asked.get(f"/static/{name}?v=old").headers["cache-control"]
        assert asked.get(f"/static/{name}").status_code == 200


@pytest.mark.parametrize("name", ["nope.js", "../pages.py", "..%2Fpages.py", "%2e%2e%2fpages.py", "", "seamark.css/x"])
def test_nothing_else_is_served(client, name):
    assert client().get(f"/static/{name}").status_code == 404


def test_plotly_is_the_installed_one_and_packed(client):
    asked = client()
    headers, packed = asked.raw("/static/plotly.min.js", headers={"accept-encoding": "gzip"})
    assert headers["content-encoding"] == "gzip"
    assert len(packed) < 2_000_000
    assert gzip.decompress(packed) == plotly_path().read_bytes()
    plain = asked.get("/static/plotly.min.js", headers={"accept-encoding": "identity"})
    assert plain.content == plotly_path().read_bytes()


@pytest.mark.slow
def test_the_web_process_imports_no_plotly():
    code = (
        "import sys, seamark.app, seamark.web.page_assets as a; a.asset_url('plotly.min.js'); a.plotly_path();"
        "print([m for m in ('plotly', 'pandas', 'evidently', 'locust') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_path())
    assert found.stdout.strip() == "[]"


def _path() -> dict[str, str]:
    service = STATIC.parents[2]
    return {"PYTHONPATH": f"{service}:{service.parent / 'sdk'}"}


def test_no_static_file_reaches_out():
    for path in [*STATIC.iterdir(), *(STATIC.parent / "templates").iterdir()]:
        outside = set(re.findall(r"https?://[\w.]+", path.read_text())) - {"http://www.w3.org"}
        assert not outside, path.name


def test_only_browsers_on_human_paths_get_error_pages():
    def asks(path: str, accept: str) -> bool:
        scope = {"type": "http", "method": "GET", "path": path, "headers": [(b"accept", accept.encode())]}
        return wants_page(Request(scope))

    assert asks("/nope", "text/html,*/*")
    assert not asks("/nope", "*/*")
    assert not asks("/api/v1/models/x", "text/html")
