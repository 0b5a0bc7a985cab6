"""Queries and words become Grafana panels in rows of 24 columns (dashboard schema 39: Grafana 11 and newer)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

PROMETHEUS: Json = {"type": "prometheus", "uid": "prometheus"}
SEAMARK = "${seamark_url}"
GREY = "#8e8e8e"
NOTHING = "unknown"


@dataclass(frozen=True)
class Query:
    """One PromQL query. `table`: the value now of each series, as rows; `exemplars`: with links to traces."""

    expr: str
    legend: str = ""
    table: bool = False
    instant: bool = False
    exemplars: bool = False
    heatmap: bool = False


@dataclass
class Panel:
    """One panel; `description` says what to read from it and what its absence means."""

    title: str
    kind: str
    description: str
    queries: list[Query]
    unit: str = "short"
    width: int = 8
    height: int = 8
    thresholds: list[tuple[str, float | None]] = field(default_factory=lambda: [("green", None)])
    no_value: str = NOTHING
    minimum: float | None = 0.0
    maximum: float | None = None
    decimals: int | None = None
    link: tuple[str, str] | None = None  # (title, URL)
    each_links: tuple[str, str] | None = None  # (title, URL) of every value; the URL may name the value's labels
    mappings: list[Json] = field(default_factory=list)
    custom: Json = field(default_factory=dict)
    options: Json = field(default_factory=dict)
    overrides: list[Json] = field(default_factory=list)
    transformations: list[Json] = field(default_factory=list)


@dataclass(frozen=True)
class Row:
    """A heading over the panels that follow."""

    title: str


def states(values: dict[str, tuple[str, str]]) -> list[Json]:
    """Return value mappings: what a number is called and its colour; a missing value is called unknown."""
    options = {
        value: {"text": text, "color": colour, "index": index}
        for index, (value, (text, colour)) in enumerate(values.items())
    }
    return [{"type": "value", "options": options}, *UNKNOWN]


UNKNOWN: list[Json] = [
    {"type": "special", "options": {"match": "null+nan", "result": {"text": NOTHING, "color": GREY}}}
]


def override(series: str, **properties: Any) -> Json:
    """Return an override of the series whose name matches the regular expression."""
    return {
        "matcher": {"id": "byRegexp", "options": series},
        "properties": [{"id": name.replace("__", "."), "value": value} for name, value in properties.items()],
    }


def column(name: str, **properties: Any) -> Json:
    """Return an override of one table column."""
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [{"id": key.replace("__", "."), "value": value} for key, value in properties.items()],
    }


_CUSTOM: dict[str, Json] = {
    # Gaps stay gaps: a line drawn across an outage would say that nothing happened.
    "timeseries": {"lineWidth": 2, "fillOpacity": 8, "showPoints": "never", "spanNulls": False},
    "state-timeline": {"fillOpacity": 80, "lineWidth": 0, "spanNulls": False},
    "table": {"align": "auto", "cellOptions": {"type": "auto"}},
}
_OPTIONS: dict[str, Json] = {
    "timeseries": {
        "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "none",
        "textMode": "auto",
    },
    "bargauge": {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "orientation": "horizontal",
        "displayMode": "basic",
        "showUnfilled": True,
    },
    "state-timeline": {
        "mergeValues": True,
        "showValue": "auto",
        "legend": {"displayMode": "list", "placement": "bottom"},
    },
    "table": {"showHeader": True, "cellHeight": "sm"},
    "heatmap": {
        "calculate": False,
        "yAxis": {"unit": "s"},
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64},
        "cellGap": 1,
        "tooltip": {"mode": "single", "yHistogram": True},
    },
}


def _target(query: Query, index: int) -> Json:
    target: Json = {
        "refId": chr(ord("A") + index),
        "datasource": PROMETHEUS,
        "editorMode": "code",
        "expr": query.expr,
        "legendFormat": query.legend or "__auto",
        "range": not (query.table or query.instant),
        "instant": query.table or query.instant,
    }
    if query.table:
        target["format"] = "table"
    if query.heatmap:
        target["format"] = "heatmap"
    if query.exemplars:
        target["exemplar"] = True
    return target


def _panel(panel: Panel, number: int, x: int, y: int) -> Json:
    defaults: Json = {
        "unit": panel.unit,
        "noValue": panel.no_value,
        "color": {"mode": "palette-classic" if panel.kind == "timeseries" else "thresholds"},
        "thresholds": {
            "mode": "absolute",
            "steps": [{"color": colour, "value": value} for colour, value in panel.thresholds],
        },
        "mappings": panel.mappings or UNKNOWN,
        "custom": _CUSTOM.get(panel.kind, {}) | panel.custom,
    }
    for name, value in (("min", panel.minimum), ("max", panel.maximum), ("decimals", panel.decimals)):
        if value is not None:
            defaults[name] = value
    if panel.each_links is not None:
        defaults["links"] = [{"title": panel.each_links[0], "url": panel.each_links[1], "targetBlank": True}]
    out: Json = {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": PROMETHEUS,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height},
        "targets": [_target(query, index) for index, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": defaults, "overrides": panel.overrides},
        "options": _OPTIONS.get(panel.kind, {}) | panel.options,
    }
    if panel.transformations:
        out["transformations"] = panel.transformations
    if panel.link is not None:
        out["links"] = [{"title": panel.link[0], "url": panel.link[1], "targetBlank": True}]
    return out


def _lay_out(items: list[Row | Panel]) -> list[Json]:
    out: list[Json] = []
    x = y = tallest = 0
    for number, item in enumerate(items, 1):
        width = 24 if isinstance(item, Row) else item.width
        if x + width > 24:
            x, y, tallest = 0, y + tallest, 0
        if isinstance(item, Row):
            y, x, tallest = y + tallest, 0, 0
            out.append(
                {
                    "id": number,
                    "type": "row",
                    "title": item.title,
                    "collapsed": False,
                    "gridPos": {"x": 0, "y": y, "w": 24, "h": 1},
                    "panels": [],
                }
            )
            y += 1
        else:
            out.append(_panel(item, number, x, y))
            x, tallest = x + width, max(tallest, item.height)
    return out


def variable(name: str, label: str, metric: str, source: str, *, many: bool) -> Json:
    """Return a variable filled from the values of a metric's label; `many`: several and all can be chosen."""
    expr = f"label_values({metric}, {source})"
    out: Json = {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": PROMETHEUS,
        "definition": expr,
        "query": {"query": expr, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": many,
        "includeAll": many,
    }
    if many:
        out |= {"allValue": ".*", "current": {"text": "All", "value": "$__all"}}
    return out


def dashboard(uid: str, title: str, description: str, items: list[Row | Panel], variables: list[Json]) -> Json:
    """Return one dashboard document."""
    address: Json = {
        "name": "seamark_url",
        "label": "Seamark",
        "description": "Where people's browsers reach Seamark; the links of panels go there.",
        "type": "textbox",
        "query": "http://127.0.0.1:8000",
        "current": {"text": "http://127.0.0.1:8000", "value": "http://127.0.0.1:8000"},
    }
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["seamark"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [*variables, address]},
        "links": [
            {
                "title": "Seamark dashboards",
                "type": "dashboards",
                "tags": ["seamark"],
                "asDropdown": True,
                "includeVars": True,
                "keepTime": True,
            },
            {"title": "Seamark", "type": "link", "url": SEAMARK, "icon": "external link", "targetBlank": True},
        ],
        "panels": _lay_out(items),
    }
