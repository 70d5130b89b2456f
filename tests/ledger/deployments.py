"""Deployment records to put into a ledger, with everything filled in that a test does not care about."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace
from tests.ledger.world import at

from fluxtrail.model.deployment import Content, DeploymentStatus, KeptRecord, Place, RecordId, Told, ToldOutcome
from fluxtrail.model.observation import ClusterUid
from fluxtrail.model.records import UNSAVED


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def content(number: int = 1, **given: Any) -> Content:
    fields: dict[str, Any] = {
        "name": "ghcr.io/acme/shop",
        "digest": digest(number),
        "version": f"v{number}",
        "status": DeploymentStatus.DEPLOYED,
        "runtime_risks": ("internet-exposed",),
        "tags": (("team", "shop"), ("tier", "1")),
    }
    return Content(**(fields | given))


def record(name: str = "shop", what: Content | None = None, *, cluster: str = "c1", **given: Any) -> KeptRecord:
    fields: dict[str, Any] = {
        "id": RecordId(UNSAVED),
        "cluster": ClusterUid(cluster),
        "deployment_name": f"prod/{name}/app",
        "place": Place("prod", "Deployment", name, "app"),
        "content": what or content(),
        "since": at(0),
        "changed_at": at(0),
    }
    return KeptRecord(**(fields | given))


def told(of: KeptRecord, what: Content | None = None, **given: Any) -> ToldOutcome:
    """Return that GitHub took the present content, or `what`."""
    fields: dict[str, Any] = {
        "id": of.id,
        "content": what or of.content,
        "told": Told.TOLD,
        "told_to": "acme/prod//c1",
        "at": at(5),
    }
    return ToldOutcome(**(fields | given))


def unknown(of: KeptRecord, what: Content | None = None, **given: Any) -> ToldOutcome:
    """Return that GitHub does not know the artifact, for the first time."""
    fields: dict[str, Any] = {
        "told": Told.UNKNOWN,
        "retry_at": at(60),
        "answer": "artifact not found",
        "tries": 1,
        "unknown_since": at(0),
    }
    return told(of, what, **(fields | given))


def changed(before: KeptRecord, what: Content, *, seconds: float = 1) -> KeptRecord:
    """Return a record as the trail writes it when its content has changed."""
    return replace(before, content=what, since=at(seconds), changed_at=at(seconds))
