"""The queries of dashboards and rules as text: what Grafana would ask, and the names of metrics in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from fluxtrail.monitoring.dashboards import DASHBOARDS
from fluxtrail.monitoring.objective import objective_of
from fluxtrail.monitoring.ruleset import all_rules

VALUES = {"$__rate_interval": "5m", "$__range": "1h"}
_NOT_NAMES = re.compile(
    r'"(?:[^"\\]|\\.)*"|\{[^}]*\}|\[[^\]]*\]|\b(?:by|on|group_left|without|ignoring)\s*\([^)]*\)', re.DOTALL
)
_WORD = re.compile(r"[a-zA-Z_][\w:]*(?!\w|\s*\()")
_OPERATORS = {"and", "or", "unless", "sum", "max", "count", "by", "on", "bool", "offset"}
_SUFFIX = re.compile(r"_(?:bucket|sum|count)$")


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def panel_queries() -> Iterator[tuple[str, str]]:
    """(where it stands, the query as Grafana would send it with every variable at All)."""
    for one in DASHBOARDS:
        for panel in panels(one.make()):
            for target in panel["targets"]:
                expr = target["expr"]
                for variable, value in VALUES.items():
                    expr = expr.replace(variable, value)
                expr = re.sub(r'"\$(?!1")\w+"', '".*"', expr)
                yield f"{one.name}/{panel['title']}/{target['refId']}", expr


def rule_queries() -> Iterator[tuple[str, str]]:
    for group in all_rules(objective_of()):
        for rule in group.rules:
            yield rule.name, rule.expr


def metrics_in(expr: str) -> set[str]:
    """The metrics that a query reads, histograms by their family's name."""
    bare = _NOT_NAMES.sub(" ", expr)
    return {_SUFFIX.sub("", word) for word in _WORD.findall(bare) if word not in _OPERATORS}
