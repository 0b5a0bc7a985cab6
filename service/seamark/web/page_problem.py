"""An error -> a page that says in words what happened and where to go on."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import HTMLResponse

from seamark.web.page_assets import render

# Paths that machines read: an error there is never a page.
_MACHINE = ("/api/", "/v1/", "/metrics", "/healthz", "/readyz", "/static/", "/openapi.json")


def wants_page(request: Request) -> bool:
    """Whether an error should be told to this client as a page: a browser, on a path that is not the API's."""
    path = request.url.path
    return "text/html" in request.headers.get("accept", "") and not path.startswith(_MACHINE)


_TITLES = {
    401: "A key is needed",
    403: "Not permitted",
    404: "Not found",
    503: "Not available right now",
}


def problem_page(request: Request, status: int, detail: str) -> HTMLResponse:
    """Return an error as a page, with a way onward."""
    title = _TITLES.get(status, "This did not work" if status < 500 else "Something failed here")
    values = {"status": status, "title": title, "detail": detail}
    return render(request, "problem.html.j2", values, status=status)
