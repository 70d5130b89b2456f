"""Reads what a doctor looks at: each kind at the version that is served, page by page; where allowed, Helm's locks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog

from fluxtrail.clusters.answers import UNREADABLE, GoneError
from fluxtrail.clusters.connection import Connection
from fluxtrail.clusters.discovery import Resource, find_resource
from fluxtrail.clusters.listing import list_pages, metadata_only
from fluxtrail.model.doctor.patients import (
    GROUP_OF,
    RELEASE,
    SOURCE_KINDS,
    Patient,
    project_source,
    project_target,
)
from fluxtrail.model.doctor.ward import EVERYWHERE, Locked
from fluxtrail.model.doctor.wire import WireSource, WireTarget
from fluxtrail.model.errors import AuthError, NotFoundError
from fluxtrail.model.flux import SOURCE_GROUP
from fluxtrail.model.observation import ObjectKey

PAGE_LIMIT = 200
PAGE_LIMIT_BYTES = 64 * 1024 * 1024
MAX_OBJECTS = 50_000
MAX_TRIES = 3
LOCKED_RELEASES = "owner=helm,status in (pending-install,pending-upgrade,pending-rollback)"
_STORED = re.compile(r"sh\.helm\.release\.v1\.(?P<name>.{1,253})\.v(?P<version>[0-9]{1,9})")

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Look:
    """What one look at a cluster brought."""

    patients: dict[ObjectKey, Patient] = field(default_factory=dict)
    listed: set[tuple[str, str]] = field(default_factory=set)
    locks: dict[tuple[str, str], Locked] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    """What could not be read, for people; the rest was."""
    helm_version: str = ""
    """At which HelmReleases are served; empty where they are not."""


async def look_at(
    connection: Connection,
    *,
    namespaces: Sequence[str] = (),
    fallback: Sequence[str] = (),
    reads_locks: bool = False,
) -> Look:
    """List everything, in these namespaces or in all.

    Args:
        fallback: the namespaces to list where all of them are asked for, and not allowed.

    Raises:
        UpstreamError: the server could not be asked. What is merely forbidden is told as a problem.
    """
    look = Look()
    for kind, group in GROUP_OF.items():
        await _read_kind(connection, look, group, kind, namespaces, fallback)
    for kind in SOURCE_KINDS:
        await _read_kind(connection, look, SOURCE_GROUP, kind, namespaces, fallback)
    if reads_locks:
        for namespace in namespaces or (EVERYWHERE,):
            await _read_locks(connection, look, namespace)
    return look


async def _read_kind(
    connection: Connection,
    look: Look,
    group: str,
    kind: str,
    namespaces: Sequence[str],
    fallback: Sequence[str],
) -> None:
    resource = await find_resource(connection, group, kind)
    if resource is None:
        # What has no kind has no objects: whoever names one waits for ever.
        look.listed.add((kind, EVERYWHERE))
        return
    if kind == RELEASE:
        look.helm_version = resource.version
    for namespace in namespaces or (EVERYWHERE,):
        try:
            await _list(connection, look, resource, namespace)
        except AuthError as exc:
            if exc.status == 401:
                raise
            if namespace == EVERYWHERE and fallback:
                await _read_kind(connection, look, group, kind, fallback, ())
            else:
                look.problems.append(f"{kind}: not allowed to list it in {namespace or 'all namespaces'}")
        except NotFoundError as exc:
            look.problems.append(f"{kind}: {exc.message}")


async def _list(connection: Connection, look: Look, resource: Resource, namespace: str) -> None:
    """List one kind in one place; a list that expired amid its pages is begun again."""
    for attempt in range(1, MAX_TRIES + 1):
        try:
            found, is_complete = await _pages(connection, resource, namespace)
        except GoneError:
            if attempt == MAX_TRIES:
                raise
            continue
        look.patients.update(found)
        if is_complete:
            look.listed.add((resource.kind, namespace))
        else:
            look.problems.append(f"{resource.kind}: more than {MAX_OBJECTS}; name namespaces")
        return


async def _pages(connection: Connection, resource: Resource, namespace: str) -> tuple[dict[ObjectKey, Patient], bool]:
    found: dict[ObjectKey, Patient] = {}
    path = resource.path(namespace or None)
    async for page in list_pages(connection, path, {}, limit=PAGE_LIMIT, limit_bytes=PAGE_LIMIT_BYTES):
        for raw in page.items or ():
            patient = _read(raw, resource)
            if patient is not None:
                found[patient.key] = patient
        if len(found) > MAX_OBJECTS:
            return found, False
    return found, True


def _read(raw: msgspec.Raw, resource: Resource) -> Patient | None:
    named: dict[str, Any] = {"group": resource.group, "kind": resource.kind, "version": resource.version}
    try:
        if resource.kind in GROUP_OF:
            return project_target(msgspec.json.decode(raw, type=WireTarget), **named)
        return project_source(msgspec.json.decode(raw, type=WireSource), **named)
    except UNREADABLE as exc:
        log.warning("object unreadable", kind=resource.kind, error=str(exc)[:300])
        return None


class _SecretMeta(msgspec.Struct, rename="camel"):
    name: str
    namespace: str | None = None
    labels: dict[str, str | None] | None = None
    creation_timestamp: str | None = None


class _Secret(msgspec.Struct):
    metadata: _SecretMeta


async def _read_locks(connection: Connection, look: Look, namespace: str) -> None:
    """Read which releases Helm holds, by the labels of its Secrets: what is in them is not asked for."""
    path = f"/api/v1/namespaces/{namespace}/secrets" if namespace else "/api/v1/secrets"
    selectors = {"labelSelector": LOCKED_RELEASES}
    try:
        async for page in list_pages(
            connection,
            path,
            selectors,
            limit=PAGE_LIMIT,
            limit_bytes=PAGE_LIMIT_BYTES,
            accept=metadata_only(is_list=True),
        ):
            for raw in page.items or ():
                _note_lock(look, msgspec.json.decode(raw, type=_Secret).metadata)
    except (AuthError, NotFoundError) as exc:
        look.problems.append(f"Helm's Secrets: {exc.message}")
    except UNREADABLE as exc:
        look.problems.append(f"Helm's Secrets: {str(exc)[:200]}")


def _note_lock(look: Look, meta: _SecretMeta) -> None:
    match, labels = _STORED.fullmatch(meta.name), meta.labels or {}
    if match is None:
        return
    modified = labels.get("modifiedAt") or labels.get("createdAt") or ""
    since = datetime.fromtimestamp(int(modified), UTC) if modified.isdecimal() and len(modified) < 12 else None
    place = (meta.namespace or "", match["name"])
    held = look.locks.get(place)
    if held is None or int(held.version) < int(match["version"]):
        look.locks[place] = Locked(
            status=(labels.get("status") or "")[:64],
            version=match["version"],
            since=since,
            secret=f"{meta.namespace}/{meta.name}"[:400],
        )
