"""Grafana's dashboard JSON, as far as our dashboards need it: panels are put side by side in the order they are made.

Every query is one of Prometheus, through the variable `DS_PROMETHEUS`, which an import asks for. A variable that stands
at *All* matches everything, also series without that label: a Prometheus beside one cluster often has no `cluster`.

Source: https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from fluxtrail.monitoring.documents import Json

SCHEMA_VERSION = 39
WIDTH = 24
"""Columns of Grafana's grid."""
SOURCE: Json = {"type": "prometheus", "uid": "${DS_PROMETHEUS}"}
RED_ABOVE_ZERO = ((None, "green"), (1, "red"))
NEUTRAL = ((None, "blue"),)
Steps: TypeAlias = Sequence[tuple[float | None, str]]


class Query(NamedTuple):
    """A PromQL expression with the legend of its series; `{{label}}` in it is replaced by Grafana."""

    expr: str
    legend: str = ""


class Variable(NamedTuple):
    """A variable whose values are those of a label of a metric."""

    name: str
    title: str
    metric: str
    label: str
    is_multiple: bool = True


def stat(
    title: str, expr: str, *, unit: str = "short", steps: Steps = NEUTRAL, no_value: str = "0", help_text: str = ""
) -> Json:
    """Return one big number, of now. Without a series it says `no_value`, as "No data" looks like a fault."""
    return {
        **_panel("stat", title, [Query(expr)], unit=unit, no_value=no_value, help_text=help_text, is_instant=True),
        "options": {
            "colorMode": "value",
            "graphMode": "none",
            "justifyMode": "auto",
            "orientation": "auto",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "textMode": "auto",
        },
    } | _coloured(steps, unit=unit, no_value=no_value)


def bars(title: str, query: Query, *, unit: str, help_text: str = "") -> Json:
    """Return one bar for each series, of now."""
    return {
        **_panel("bargauge", title, [query], unit=unit, no_value="0", help_text=help_text, is_instant=True),
        "options": {
            "displayMode": "gradient",
            "orientation": "horizontal",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "showUnfilled": True,
        },
    }


def lines(
    title: str, *queries: Query, unit: str = "short", is_stacked: bool = False, no_value: str = "-", help_text: str = ""
) -> Json:
    """Return series over time."""
    panel = _panel("timeseries", title, queries, unit=unit, no_value=no_value, help_text=help_text)
    panel["fieldConfig"]["defaults"] |= {
        "min": 0,
        "custom": {
            "drawStyle": "line",
            "fillOpacity": 20 if is_stacked else 5,
            "lineWidth": 1,
            "showPoints": "auto",
            "stacking": {"group": "A", "mode": "normal" if is_stacked else "none"},
        },
    }
    panel["options"] = {
        "legend": {"calcs": ["lastNotNull", "max"], "displayMode": "table", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return panel


def table(
    title: str,
    expr: str,
    columns: Mapping[str, str],
    *,
    texts: Mapping[str, Mapping[str, tuple[str, str]]] | None = None,
    unit: str = "short",
    help_text: str = "",
) -> Json:
    """Return a row for each series of now.

    Args:
        columns: label → heading, in order; `Value` is the number. Labels not named are left out.
        texts: heading → value → (text, colour); the value "" stands for a label that is missing.
    """
    panel = _panel("table", title, [Query(expr)], unit=unit, no_value="-", help_text=help_text, is_instant=True)
    panel["targets"][0]["format"] = "table"
    panel["fieldConfig"]["defaults"]["custom"] = {"align": "auto", "filterable": True}
    panel["fieldConfig"]["overrides"] = [_coloured_column(name, values) for name, values in (texts or {}).items()]
    panel["options"] = {"cellHeight": "sm", "showHeader": True, "footer": {"show": False, "reducer": ["sum"]}}
    panel["transformations"] = [
        {"id": "filterFieldsByName", "options": {"include": {"names": list(columns)}}},
        {
            "id": "organize",
            "options": {
                "excludeByName": {},
                "indexByName": {name: position for position, name in enumerate(columns)},
                "renameByName": dict(columns),
            },
        },
    ]
    return panel


def dashboard(
    *,
    uid: str,
    title: str,
    help_text: str,
    tags: Sequence[str],
    variables: Iterable[Variable],
    rows: Sequence[tuple[str, Sequence[tuple[int, int, Json]]]],
    span: str = "now-1h",
) -> Json:
    """Return a whole dashboard.

    Args:
        rows: heading (none for "") and panels, each with its width in columns and its height; a panel that does not fit
            beside the one before it begins the next line.
    """
    return {
        "__inputs": [
            {
                "name": "DS_PROMETHEUS",
                "label": "Prometheus",
                "description": "",
                "type": "datasource",
                "pluginId": "prometheus",
                "pluginName": "Prometheus",
            }
        ],
        "uid": uid,
        "title": title,
        "description": help_text,
        "tags": list(tags),
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": span, "to": "now"},
        "annotations": {"list": []},
        "links": [],
        "templating": {"list": [_data_source(), *map(_variable, variables)]},
        "panels": _placed(rows),
    }


def _placed(rows: Sequence[tuple[str, Sequence[tuple[int, int, Json]]]]) -> list[Json]:
    ids, found, top = itertools.count(1), list[Json](), 0
    for heading, panels in rows:
        if heading:
            place = {"x": 0, "y": top, "w": WIDTH, "h": 1}
            found.append({"type": "row", "title": heading, "collapsed": False, "panels": [], "gridPos": place})
            found[-1]["id"] = next(ids)
            top += 1
        left = tallest = 0
        for width, height, panel in panels:
            if left + width > WIDTH:
                top, left, tallest = top + tallest, 0, 0
            found.append({**panel, "id": next(ids), "gridPos": {"x": left, "y": top, "w": width, "h": height}})
            left, tallest = left + width, max(tallest, height)
        top += tallest
    return found


def _panel(
    kind: str,
    title: str,
    queries: Sequence[Query],
    *,
    unit: str,
    no_value: str,
    help_text: str,
    is_instant: bool = False,
) -> Json:
    return {
        "type": kind,
        "title": title,
        "description": help_text,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": {"unit": unit, "noValue": no_value}, "overrides": []},
        "targets": [
            {
                "datasource": SOURCE,
                "editorMode": "code",
                "expr": query.expr,
                "legendFormat": query.legend,
                "instant": is_instant,
                "range": not is_instant,
                "refId": chr(ord("A") + number),
            }
            for number, query in enumerate(queries)
        ],
    }


def _coloured(steps: Steps, *, unit: str, no_value: str) -> Json:
    thresholds = {"mode": "absolute", "steps": [{"value": value, "color": colour} for value, colour in steps]}
    defaults = {"unit": unit, "noValue": no_value, "color": {"mode": "thresholds"}, "thresholds": thresholds}
    return {"fieldConfig": {"defaults": defaults, "overrides": []}}


def _coloured_column(heading: str, values: Mapping[str, tuple[str, str]]) -> Json:
    known = {value: {"text": text, "color": colour} for value, (text, colour) in values.items() if value}
    mappings: list[Json] = [{"type": "value", "options": known}]
    if "" in values:
        text, colour = values[""]
        mappings += [
            {"type": "special", "options": {"match": match, "result": {"text": text, "color": colour}}}
            for match in ("null", "empty")
        ]
    return {
        "matcher": {"id": "byName", "options": heading},
        "properties": [
            {"id": "mappings", "value": mappings},
            {"id": "custom.cellOptions", "value": {"type": "color-background", "mode": "basic"}},
        ],
    }


def _data_source() -> Json:
    return {
        "name": "DS_PROMETHEUS",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "hide": 0,
        "refresh": 1,
        "includeAll": False,
        "multi": False,
        "options": [],
    }


def _variable(variable: Variable) -> Json:
    query = f"label_values({variable.metric}, {variable.label})"
    found: Json = {
        "name": variable.name,
        "label": variable.title,
        "type": "query",
        "datasource": SOURCE,
        "definition": query,
        "query": {"query": query, "refId": variable.name},
        "hide": 0,
        "refresh": 2,
        "sort": 1,
        "includeAll": variable.is_multiple,
        "multi": variable.is_multiple,
        "options": [],
    }
    if variable.is_multiple:
        found |= {"allValue": ".*", "current": {"selected": True, "text": ["All"], "value": ["$__all"]}}
    return found
