"""From what the API server sends to what is kept of pods and workloads.

Nothing here fails on a value: an unreadable timestamp is an absent one, a container without a name is left out.
What repeats over thousands of objects (a namespace, an image, an owner) is kept once: `sys.intern` forgets a string
when its last user goes, so that this needs no bound of its own.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from sys import intern

from fluxtrail.model.image import find_digest
from fluxtrail.model.moment import parse_timestamp
from fluxtrail.model.observation import ObjectKey, ObjectUid
from fluxtrail.model.wire_workloads import (
    WireContainer,
    WireContainers,
    WireContainerState,
    WireContainerStatus,
    WireCronJob,
    WireLabels,
    WireOwned,
    WireOwnedMeta,
    WireOwner,
    WirePod,
    WirePodStatus,
    WireTemplate,
    WireTemplated,
    WireTemplatedSpec,
    WireTemplatedStatus,
)
from fluxtrail.model.workloads import (
    APPS_GROUP,
    BATCH_GROUP,
    NOTE_PREFIX,
    ContainerKind,
    ContainerRun,
    ContainerSpec,
    Owner,
    Pod,
    Workload,
)

MAX_CONTAINERS = 64
MAX_OWNERS = 16
MAX_NOTES = 64
MAX_TEXT = 1024
"""Characters of an image, an image id, or a note's value. Names are kept as they are: the API bounds them."""

_MIRROR = "kubernetes.io/config.mirror"
_REVISIONS = ("deployment.kubernetes.io/revision", "rollout.argoproj.io/revision")
_LONGEST_NUMBER = 18

_LONGEST_TIMESTAMP = 64

# Objects are listed by name: those of one owner, and often of one second, come one after the other.
_parse_timestamp = lru_cache(maxsize=1024)(parse_timestamp)


def project_pod(wire: WirePod) -> Pod:
    meta, spec, status = wire.metadata, wire.spec or WireContainers(), wire.status or WirePodStatus()
    labels = meta.labels or WireLabels()
    return Pod(
        uid=ObjectUid(meta.uid or ""),
        namespace=intern(meta.namespace or ""),
        name=meta.name,
        owners=_owners(meta.owner_references),
        containers=_runs(spec, status),
        phase=intern(status.phase or "Unknown"),
        created_at=_find_moment(meta.creation_timestamp),
        is_deleting=meta.deletion_timestamp is not None,
        is_ready=_is_ready(status),
        is_static=_MIRROR in (meta.annotations or ()),
        node=intern(spec.node_name or ""),
        revision=intern(labels.revision or ""),
        generation=_number(labels.generation),
        notes=_notes(meta.annotations),
    )


def project_replica_set(wire: WireTemplated) -> Workload:
    """Return a ReplicaSet; its containers only where nothing controls it, since then nobody else has them.

    A Deployment keeps ten old ReplicaSets: they are the most numerous of all workloads.
    """
    owned = any(owner.is_controller for owner in _owners(wire.metadata.owner_references))
    return _templated(wire, APPS_GROUP, "ReplicaSet", has_containers=not owned)


def project_deployment(wire: WireTemplated) -> Workload:
    return _templated(wire, APPS_GROUP, "Deployment")


def project_stateful_set(wire: WireTemplated) -> Workload:
    return _templated(wire, APPS_GROUP, "StatefulSet")


def project_daemon_set(wire: WireTemplated) -> Workload:
    return _templated(wire, APPS_GROUP, "DaemonSet", is_scaled=False)


def project_job(wire: WireTemplated) -> Workload:
    return _templated(wire, BATCH_GROUP, "Job", is_scaled=False)


def project_cron_job(wire: WireCronJob) -> Workload:
    job = wire.spec.job_template.spec if wire.spec and wire.spec.job_template else None
    return _workload(wire.metadata, BATCH_GROUP, "CronJob", containers=_template(job.template if job else None))


def project_owner(wire: WireOwned, *, group: str, kind: str) -> Workload:
    """Return an object of any kind, of which only the metadata is known."""
    return _workload(wire.metadata, group, kind)


def _templated(
    wire: WireTemplated, group: str, kind: str, *, is_scaled: bool = True, has_containers: bool = True
) -> Workload:
    spec, status = wire.spec or WireTemplatedSpec(), wire.status or WireTemplatedStatus()
    replicas = None
    if is_scaled and wire.spec is not None:
        replicas = 1 if spec.replicas is None else spec.replicas  # the API's default
    return _workload(
        wire.metadata,
        group,
        kind,
        containers=_template(spec.template) if has_containers else None,
        replicas=replicas,
        update_revision=status.update_revision or "",
    )


def _workload(
    meta: WireOwnedMeta,
    group: str,
    kind: str,
    *,
    containers: tuple[ContainerSpec, ...] | None = None,
    replicas: int | None = None,
    update_revision: str = "",
) -> Workload:
    return Workload(
        uid=ObjectUid(meta.uid or ""),
        key=ObjectKey(group, kind, intern(meta.namespace or ""), meta.name),
        owners=_owners(meta.owner_references),
        notes=_notes(meta.annotations),
        containers=containers,
        replicas=replicas,
        revision=_revision(meta.annotations) if kind == "ReplicaSet" else 0,
        update_revision=intern(update_revision),
        created_at=_find_moment(meta.creation_timestamp),
        is_deleting=meta.deletion_timestamp is not None,
    )


# -- metadata -----------------------------------------------------------------------------------------------------


def _owners(wire: list[WireOwner | None] | None) -> tuple[Owner, ...]:
    if not wire:
        return ()
    return _kept_owners(
        tuple(
            (each.api_version, each.kind, each.name, each.uid, bool(each.controller))
            for each in wire[:MAX_OWNERS]
            if each is not None
        )
    )


_OwnerFields = tuple[str | None, str | None, str | None, str | None, bool]


@lru_cache(maxsize=1024)
def _kept_owners(fields: tuple[_OwnerFields, ...]) -> tuple[Owner, ...]:
    """Return the same tuple for pods of the same owner."""
    return tuple(
        Owner(
            group=intern(version.rpartition("/")[0] if version else ""),
            kind=intern(kind or ""),
            name=intern(name or ""),
            uid=ObjectUid(intern(uid or "")),
            is_controller=is_controller,
        )
        for version, kind, name, uid, is_controller in fields
    )


def _notes(annotations: dict[str, str | None] | None) -> tuple[tuple[str, str], ...]:
    if not annotations:
        return ()
    found = sorted(name for name in annotations if name.startswith(NOTE_PREFIX))
    return tuple(
        (intern(name.removeprefix(NOTE_PREFIX)), intern((annotations[name] or "")[:MAX_TEXT]))
        for name in found[:MAX_NOTES]
    )


def _revision(annotations: dict[str, str | None] | None) -> int:
    found = (_number((annotations or {}).get(name)) for name in _REVISIONS)
    return next((number for number in found if number), 0)


def _find_moment(text: str | None) -> datetime | None:
    return _parse_timestamp(text[:_LONGEST_TIMESTAMP]) if text else None


def _number(text: str | None) -> int:
    """Return a count, or 0 for what is none."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER else 0


# -- containers ---------------------------------------------------------------------------------------------------


def _template(wire: WireTemplate | None) -> tuple[ContainerSpec, ...] | None:
    spec = wire.spec if wire else None
    if spec is None:
        return None
    return tuple(
        ContainerSpec(name=intern(name), image=_image(each), kind=kind) for name, each, kind in _containers(spec)
    )


def _runs(spec: WireContainers, status: WirePodStatus) -> tuple[ContainerRun, ...]:
    statuses = {each.name: each for each in status.container_statuses or () if each is not None}
    if status.init_container_statuses:
        statuses |= {each.name: each for each in status.init_container_statuses if each is not None}
    return tuple(_run(name, each, kind, statuses.get(name)) for name, each, kind in _containers(spec))


def _containers(spec: WireContainers) -> list[tuple[str, WireContainer, ContainerKind]]:
    """Return what has a name: the main ones, then those that start before them."""
    found = [(each.name, each, ContainerKind.MAIN) for each in spec.containers or () if each and each.name]
    if spec.init_containers:
        found += [(each.name, each, _early_kind(each)) for each in spec.init_containers if each and each.name]
    return found[:MAX_CONTAINERS]


def _early_kind(wire: WireContainer) -> ContainerKind:
    return ContainerKind.SIDECAR if wire.restart_policy == "Always" else ContainerKind.INIT


def _run(name: str, wire: WireContainer, kind: ContainerKind, status: WireContainerStatus | None) -> ContainerRun:
    if status is None:
        return ContainerRun(intern(name), _image(wire), kind, image_id="", is_ready=False, started_at=None)
    return ContainerRun(
        name=intern(name),
        image=_image(wire),
        kind=kind,
        image_id=intern(find_digest((status.image_id or "")[:MAX_TEXT])),
        is_ready=bool(status.ready),
        started_at=_find_start((status.state, status.last_state)),
    )


def _image(wire: WireContainer) -> str:
    return intern((wire.image or "")[:MAX_TEXT])


def _find_start(states: tuple[WireContainerState | None, ...]) -> datetime | None:
    """Return when it started that runs, or else ended last: a container that waits to be restarted has no other.

    Args:
        states: the present one and the one before.
    """
    for state in states:
        if state is None:
            continue
        for run in (state.running, state.terminated):
            if run is not None and (started_at := _find_moment(run.started_at)) is not None:
                return started_at
    return None


def _is_ready(status: WirePodStatus) -> bool:
    return any(each is not None and each.type == "Ready" and each.status == "True" for each in status.conditions or ())
