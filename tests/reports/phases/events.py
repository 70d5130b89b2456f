"""Notices as Flux and Argo CD post them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fluxtrail.model.notices import ArgoNotice, ArgoResource, FluxNotice, Hook, NewNotice
from fluxtrail.reports.phases.records import PhaseRecord, phase_records

SHA = "40d6b21b888db0ca794876cf7bdd399e3da2137e"
PAGE = "https://gitops.example.com"
NOON = datetime(2026, 8, 7, 12, tzinfo=UTC)


def flux(reason: str, message: str = "", **given: Any) -> FluxNotice:
    fields: dict[str, Any] = {
        "kind": "Kustomization",
        "namespace": "flux-system",
        "name": "apps",
        "severity": "info",
        "reason": reason,
        "message": message,
        "metadata": {"revision": f"main@sha1:{SHA}"},
        "at": NOON,
    }
    return FluxNotice(**(fields | given))


def argo(phase: str, health: str, **given: Any) -> ArgoNotice:
    """Three resources: two with a health, two with a sync status."""
    fields: dict[str, Any] = {
        "commit": SHA,
        "phase": phase,
        "sync_status": "Synced",
        "health": health,
        "message": "ok",
        "resources": (
            ArgoResource(status="Synced", health="Healthy"),
            ArgoResource(status="OutOfSync", health="Healthy"),
            ArgoResource(),
        ),
    }
    return ArgoNotice(**(fields | given))


def signed(said: FluxNotice | ArgoNotice, **given: Any) -> NewNotice:
    fields: dict[str, Any] = {"hook": Hook.GITOPSPHASE, "sender": "flux", "received_at": NOON, "said": said}
    return NewNotice(**(fields | given))


def records(notice: FluxNotice | ArgoNotice) -> list[PhaseRecord]:
    return phase_records(notice, callback_url=PAGE)


def names(notice: FluxNotice | ArgoNotice) -> list[str]:
    return [record.status_name for record in records(notice)]


def lines(notice: FluxNotice | ArgoNotice) -> list[tuple[str, str]]:
    return [(record.status_name, record.message) for record in records(notice)]
