"""Recording and alert rules as values, and as the two documents that Prometheus and its operator read."""

from collections.abc import Sequence
from datetime import timedelta

import msgspec

from fluxtrail.monitoring.documents import Json

RUNBOOKS = "https://github.com/fluxtrail/fluxtrail/blob/main/docs/alerts.md"
"""Where the runbooks are read; an option puts another place in it, such as a copy on the intranet."""


class Record(msgspec.Struct, frozen=True):
    """A query whose result is kept under a name, as `level:metric:operation`."""

    name: str
    expr: str
    labels: dict[str, str] = msgspec.field(default_factory=dict)


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody shall be told of. Each has a section of its own name in docs/alerts.md."""

    name: str
    expr: str
    lasts: str
    """For how long it must hold: `15m`."""
    severity: str
    """`critical`: a person now. `warning`: a person today."""
    summary: str
    description: str


class Group(msgspec.Struct, frozen=True):
    name: str
    rules: Sequence[Record | Alert]


def prometheus_file(groups: Sequence[Group], *, runbooks: str = RUNBOOKS) -> Json:
    """Return what stands in a file of Prometheus' `rule_files`."""
    return {
        "groups": [{"name": group.name, "rules": [_rule(rule, runbooks) for rule in group.rules]} for group in groups]
    }


def prometheus_rule(groups: Sequence[Group], *, runbooks: str = RUNBOOKS, namespace: str | None = None) -> Json:
    """Return the object of the Prometheus operator."""
    metadata: Json = {"name": "fluxtrail", "labels": {"app.kubernetes.io/name": "fluxtrail"}}
    if namespace:
        metadata["namespace"] = namespace
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": metadata,
        "spec": prometheus_file(groups, runbooks=runbooks),
    }


def span_text(span: timedelta) -> str:
    """Return `28d`, `6h`, `5m`, as Prometheus writes it: the largest unit that needs no fraction."""
    seconds = int(span.total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _rule(rule: Record | Alert, runbooks: str) -> Json:
    if isinstance(rule, Record):
        return {"record": rule.name, "expr": rule.expr, **({"labels": rule.labels} if rule.labels else {})}
    return {
        "alert": rule.name,
        "expr": rule.expr,
        "for": rule.lasts,
        "labels": {"severity": rule.severity},
        "annotations": {
            "summary": rule.summary,
            "description": rule.description,
            "runbook_url": f"{runbooks}#{rule.name.lower()}",
        },
    }
