"""How findings are made: with the place of their object, their runbook, and values that are short enough."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from fluxtrail.model.doctor.findings import Code, Evidence, Finding, Remedy, Severity, runbook_of
from fluxtrail.model.doctor.patients import Patient
from fluxtrail.model.durations import duration
from fluxtrail.model.flux import Condition
from fluxtrail.model.observation import ObjectKey

VALUE_LIMIT = 300
_SHORT = {
    "HelmRelease": "hr",
    "Kustomization": "ks",
    "GitRepository": "gitrepo",
    "OCIRepository": "ocirepo",
    "HelmRepository": "helmrepo",
    "HelmChart": "chart",
}


def finding(
    patient: Patient,
    code: Code,
    severity: Severity,
    cause: str,
    evidence: Sequence[Evidence],
    *,
    since: datetime | None,
    commands: Sequence[str] = (),
    advice: Sequence[str] = (),
    remedy: Remedy | None = None,
    obstacle: str = "",
) -> Finding:
    key = patient.key
    return Finding(
        code=code,
        severity=severity,
        group=key.group,
        kind=key.kind,
        namespace=key.namespace,
        name=key.name,
        cause=cause,
        evidence=tuple(evidence),
        since=since,
        commands=tuple(commands),
        advice=tuple(advice),
        remedy=remedy,
        obstacle=obstacle,
        runbook=runbook_of(code),
    )


def clip(text: str, limit: int = VALUE_LIMIT) -> str:
    """Return text on one line, at most `limit` characters."""
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else f"{flat[: limit - 1]}…"


def value(field: str, what: object) -> Evidence:
    return Evidence(field, clip(str(what)))


def of_condition(condition: Condition | None, *, of: str = "") -> list[Evidence]:
    """Return status, reason and message of a condition, each under its path."""
    if condition is None:
        return []
    path = f"{of}status.conditions[{condition.type}]"
    found = [value(path, f"{condition.status} {condition.reason}".strip())]
    return [*found, value(f"{path}.message", condition.message)] if condition.message else found


def label(key: ObjectKey) -> str:
    """`hr payments/api`: as short as it can be said."""
    return f"{_SHORT.get(key.kind, key.kind.lower())} {key.namespace}/{key.name}"


def span(length: timedelta) -> str:
    return duration(length.total_seconds())


def seconds(length: float) -> str:
    return duration(length)
