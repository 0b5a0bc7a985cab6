"""Templates and static files of the package -> rendered pages and cacheable answers, under a strict content policy."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

_HERE = Path(__file__).resolve().parent
STATIC = _HERE / "static"
PLOTLY = "plotly.min.js"
# A file whose address carries its version never changes.
FOREVER = "public, max-age=31536000, immutable"
_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src {style}; img-src {images}; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
POLICY = _POLICY.format(style="'self'", images="'self'")
# plotly.js inserts its own <style> and style attributes, and probes for webp with a data: image. Scripts stay strict.
PLOT_POLICY = _POLICY.format(style="'self' 'unsafe-inline'", images="'self' data:")


def render(
    request: Request, template: str, values: dict[str, Any], *, status: int = 200, plots: bool = False
) -> HTMLResponse:
    """Return a page; with `?fragment=main` only its main part, for the refresh that replaces nothing unchanged."""
    page = environment().get_template(template)
    context = {**values, "path": request.url.path, "plots": plots, "asset": asset_url}
    if request.query_params.get("fragment") == "main" and "main" in page.blocks:
        body = "".join(page.blocks["main"](page.new_context(context)))
    else:
        body = page.render(context)
    headers = {
        "Content-Security-Policy": PLOT_POLICY if plots else POLICY,
        "Cache-Control": "no-store",
    }
    return HTMLResponse(body, status, headers)


@cache
def environment() -> Environment:
    """The templates; every value is escaped, and a name that is not there is an error rather than nothing."""
    loader = FileSystemLoader(_HERE / "templates")
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.globals["ui"] = made.get_template("_pieces.html.j2").module
    return made


@cache
def _assets() -> dict[str, Path]:
    """Every file that may be asked for, by name: nothing else is ever opened."""
    found = {path.name: path for path in STATIC.iterdir() if path.suffix in _MEDIA_TYPES}
    return {**found, PLOTLY: plotly_path()}


@cache
def plotly_path() -> Path:
    """Where the installed plotly package keeps plotly.js; finding it does not import the package."""
    spec = importlib.util.find_spec("plotly")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("the plotly package is not installed; reinstall seamark")
    return Path(spec.submodule_search_locations[0]) / "package_data" / PLOTLY


@cache
def asset_url(name: str) -> str:
    """The address of a static file, with the version of what it holds."""
    if name == PLOTLY:
        return f"/static/{name}?v={version('plotly')}"
    digest = hashlib.blake2b(_assets()[name].read_bytes(), digest_size=6).hexdigest()
    return f"/static/{name}?v={digest}"


@cache
def _plotly_gzip() -> bytes:
    """plotly.js at a third of its 4.5 MB, packed once per process."""
    return gzip.compress(plotly_path().read_bytes(), 6)


def static_files() -> Starlette:
    """The application to mount at /static."""
    return Starlette(routes=[Route("/{name}", _static)])


def _static(request: Request) -> Response:
    name = request.path_params["name"]
    path = _assets().get(name)
    if path is None:
        return PlainTextResponse("there is no such file\n", 404)
    asked = request.query_params.get("v")
    current = bool(asked) and asset_url(name).endswith(f"?v={asked}")
    headers = {
        "Cache-Control": FOREVER if current else "public, max-age=0, must-revalidate",
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    }
    media_type = _MEDIA_TYPES[path.suffix]
    if name == PLOTLY and "gzip" in request.headers.get("accept-encoding", ""):
        headers |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        return Response(_plotly_gzip(), media_type=media_type, headers=headers)
    return FileResponse(path, media_type=media_type, headers=headers)
