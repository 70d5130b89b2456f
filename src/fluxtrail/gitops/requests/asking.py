"""Asks Flux's controllers for something: by the annotations they look for, and by `spec.suspend`. One patch each.

Source: fluxcd/pkg apis/meta/annotations.go; RFC "reconcile requests" of helm-controller (`forceAt`, `resetAt`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import structlog

from fluxtrail.clusters.writing import Writer
from fluxtrail.model.errors import ConfigError
from fluxtrail.model.observation import ObjectKey

REQUESTED = "reconcile.fluxcd.io/requestedAt"
FORCED = "reconcile.fluxcd.io/forceAt"
RESET = "reconcile.fluxcd.io/resetAt"
PAUSED = "source.extensions.fluxcd.io/reconcile"
NEVER_RECONCILED = frozenset({"Alert", "Provider", "ExternalArtifact"})
_UNSUSPENDABLE = frozenset({"ExternalArtifact"})

log = structlog.get_logger(__name__)


def token_of(now: datetime) -> str:
    """Return what a request is known by: the moment it was made, as Flux's own CLI writes it."""
    return now.isoformat(timespec="microseconds").replace("+00:00", "Z")


def check(key: ObjectKey, *, force: bool = False, reset: bool = False) -> None:
    """Pass where that can be asked of this kind.

    Raises:
        ConfigError: it cannot.
    """
    if key.kind in NEVER_RECONCILED:
        raise ConfigError(f"nothing reconciles {key.kind} objects", subject=str(key))
    if (force or reset) and key.kind != "HelmRelease":
        raise ConfigError("--force and --reset are for HelmReleases", subject=str(key))


async def request(
    writer: Writer, key: ObjectKey, *, now: datetime, force: bool = False, reset: bool = False
) -> dict[str, Any]:
    """Ask for a reconciliation; return the object as it was left. `token_of(now)` is what will be handled.

    Args:
        force: of a HelmRelease, an upgrade even where nothing changed or its retries are used up.
        reset: of a HelmRelease, its failures counted from nothing again.

    Raises:
        ConfigError: it cannot be asked of this kind.
        UpstreamError: and its subclasses.
    """
    check(key, force=force, reset=reset)
    token = token_of(now)
    annotations = {REQUESTED: token} | ({FORCED: token} if force else {}) | ({RESET: token} if reset else {})
    left = await writer.merge_patch(key, {"metadata": {"annotations": annotations}})
    log.info("reconcile_requested", object=str(key), token=token, force=force, reset=reset)
    return left


async def suspend(writer: Writer, key: ObjectKey, *, is_suspended: bool) -> dict[str, Any]:
    """Let Flux leave an object alone, or take it up again; return it as it was left.

    Raises: as `request`.
    """
    if key.kind in _UNSUSPENDABLE:
        raise ConfigError(f"{key.kind} objects cannot be suspended", subject=str(key))
    patch: dict[str, Any] = {"spec": {"suspend": is_suspended}}
    if key.kind == "ArtifactGenerator":  # it has no such field
        patch = {"metadata": {"annotations": {PAUSED: "disabled" if is_suspended else None}}}
    left = await writer.merge_patch(key, patch)
    log.info("suspended" if is_suspended else "resumed", object=str(key))
    return left
