"""Paths that name a model, and one of its features or its headroom <-> the names, whatever characters they hold."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, unquote, urlencode

from fastapi import Request

from seamark.core.windows import Window, format_duration
from seamark.web.page_views import model_url

_NO_SEGMENT = (".", "..")  # every browser and proxy takes these out of a path, however they are written
HEADROOM = "headroom"  # the last part of the address of a model's headroom page
_OTHER_PAGE = "compare"  # a path that ends so is that of the page that compares versions


def feature_url(model: str, feature: str, window: Window, version: str | None = None) -> str:
    """Return the address of the page that shows a feature's distributions in a window."""
    return feature_start(model, feature) + window_query(window, version)


def feature_api_url(model: str, feature: str, window: Window, version: str | None = None) -> str:
    """Return the address of the same as JSON."""
    return _start(f"/api/v1{model_url(model)}", "/distribution", feature) + window_query(window, version)


def feature_start(model: str, feature: str) -> str:
    """Return what the addresses of all windows of a feature begin with; `window_query` is their end."""
    return _start(model_url(model), "", feature)


def window_query(window: Window, version: str | None = None) -> str:
    """Return a window, and a version, as a query asks for them."""
    asked = {"at": window.end.isoformat().replace("+00:00", "Z"), "window": format_duration(window.span_s)}
    return urlencode(asked if version is None else {**asked, "version": version})


def _start(before: str, last: str, feature: str) -> str:
    if feature in _NO_SEGMENT or feature.rpartition("/")[2] == _OTHER_PAGE:
        return f"{before}/drift{last}?{urlencode({'feature': feature})}&"
    return f"{before}/drift/{quote(feature, safe='')}{last}?"


def feature_asked(request: Request, after: str, last: str = "") -> tuple[str, str] | None:
    """Return (model, feature) of a path `{after}{model}/drift/{feature}{last}`, or None where it is no such path.

    Each name is one segment of the path as it was sent, so a slash in a name is `%2F`. Where a client or a proxy sent
    slashes plainly, the last `drift` with something behind it stands between the two. A feature that no path can carry
    comes as `?feature=`, with the path `{after}{model}/drift{last}`.
    """
    path = _sent(request)
    if not path.startswith(after) or not path.endswith(last):
        return None
    segments = path[len(after) : len(path) - len(last)].split("/")
    query: Mapping[str, str] = request.query_params
    if "feature" in query and len(segments) > 1 and segments[-1] == "drift":
        return unquote("/".join(segments[:-1])), query["feature"]
    for place in range(len(segments) - 2, 0, -1):
        if segments[place] == "drift" and any(segments[:place]) and any(segments[place + 1 :]):
            return unquote("/".join(segments[:place])), unquote("/".join(segments[place + 1 :]))
    return None


def headroom_asked(request: Request, after: str) -> str | None:
    """Return the model of a path `{after}{model}/headroom`, or None where it is no such path.

    A model whose own name ends so keeps its page: the slash in its name is sent as `%2F`.
    """
    path = _sent(request)
    model, slash, last = path.removeprefix(after).rpartition("/")
    return unquote(model) if path.startswith(after) and slash and model and last == HEADROOM else None


def _sent(request: Request) -> str:
    """The path before it was decoded; a server that does not keep it leaves slashes in names ambiguous."""
    raw = request.scope.get("raw_path")
    if raw:
        return bytes(raw).split(b"?", 1)[0].decode("ascii", "replace")
    return quote(request.url.path)
