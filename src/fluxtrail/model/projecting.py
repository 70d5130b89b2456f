"""From what the API server sends to what is kept of pods and workloads.

Nothing here fails on a value: an unreadable timestamp is an absent one, a container without a name is left out.
What repeats over thousands of objects (a namespace, an image, an owner) is kept once: `sys.intern` forgets a string
when its last user goes, so that this needs no bound of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from sys import intern

from fluxtrail.model.flux import HELM_GROUP, KUSTOMIZE_GROUP
from fluxtrail.model.image import find_digest, without_userinfo
from fluxtrail.model.kept import count, find_moment, generation
from fluxtrail.model.observation import ObjectKey, ObjectUid
from fluxtrail.model.progressing import (
    cron_job_progress,
    custom_progress,
    daemon_set_progress,
    deployment_progress,
    job_progress,
    replica_set_progress,
    stateful_set_progress,
)
from fluxtrail.model.touching import read_touched_at
from fluxtrail.model.troubles import container_trouble, pod_trouble
from fluxtrail.model.wire_workloads import (
    WireContainer,
    WireContainers,
    WireContainerState,
    WireContainerStatus,
    WireCronJob,
    WireCronJobSpec,
    WireCustom,
    WireLabels,
    WireManagedMeta,
    WireOwned,
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
    Progress,
    Workload,
)

MAX_CONTAINERS = 64
MAX_OWNERS = 16
MAX_NOTES = 64
MAX_TEXT = 1024
"""Characters of an image, an image id, or a note's value. Names are kept as they are: the API bounds them."""

_HOOK = "helm.sh/hook"
_MIRROR = "kubernetes.io/config.mirror"
_REVISIONS = ("deployment.kubernetes.io/revision", "rollout.argoproj.io/revision")
_TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
"""Deprecated since apps/v1, and kept by its API server: nothing else says of which template a DaemonSet is."""
_LONGEST_NUMBER = 18


def project_pod(wire: WirePod) -> Pod:
    meta, spec, status = wire.metadata, wire.spec or WireContainers(), wire.status or WirePodStatus()
    labels = meta.labels or WireLabels()
    is_ready, ready_at = _readiness(status)
    return Pod(
        uid=ObjectUid(meta.uid or ""),
        namespace=intern(meta.namespace or ""),
        name=meta.name,
        owners=_owners(meta.owner_references),
        containers=_runs(spec, status),
        phase=intern(status.phase or "Unknown"),
        created_at=find_moment(meta.creation_timestamp),
        is_deleting=meta.deletion_timestamp is not None,
        is_ready=is_ready,
        is_static=_MIRROR in (meta.annotations or ()),
        node=intern(spec.node_name or ""),
        revision=intern(labels.revision or ""),
        generation=_number(labels.generation),
        notes=_notes(meta.annotations),
        ready_at=ready_at,
        trouble=None if is_ready else pod_trouble(status),
        applied_by=None if meta.owner_references else _applier(meta.labels, meta.annotations),
    )


def project_replica_set(wire: WireTemplated) -> Workload:
    """Return a ReplicaSet; its containers only where nothing controls it, since then nobody else has them.

    A Deployment keeps ten old ReplicaSets: they are the most numerous of all workloads.
    """
    owned = any(owner.is_controller for owner in _owners(wire.metadata.owner_references))
    return _templated(wire, APPS_GROUP, "ReplicaSet", replica_set_progress, has_containers=not owned)


def project_deployment(wire: WireTemplated) -> Workload:
    return _templated(wire, APPS_GROUP, "Deployment", deployment_progress)


def project_stateful_set(wire: WireTemplated) -> Workload:
    return _templated(wire, APPS_GROUP, "StatefulSet", stateful_set_progress)


def project_daemon_set(wire: WireTemplated) -> Workload:
    return _templated(wire, APPS_GROUP, "DaemonSet", daemon_set_progress, is_scaled=False)


def project_job(wire: WireTemplated) -> Workload:
    return _templated(wire, BATCH_GROUP, "Job", job_progress, is_scaled=False)


def project_cron_job(wire: WireCronJob) -> Workload:
    spec = wire.spec or WireCronJobSpec()
    job = spec.job_template.spec if spec.job_template else None
    return _workload(
        wire.metadata,
        BATCH_GROUP,
        "CronJob",
        containers=_template(job.template if job else None),
        progress=cron_job_progress(spec),
    )


def project_custom(wire: WireCustom, *, group: str, kind: str) -> Workload:
    """Return an object of an unknown kind that was read in full: what its controller has seen, and its conditions."""
    return _workload(wire.metadata, group, kind, progress=custom_progress(wire.status))


def project_owner(wire: WireOwned, *, group: str, kind: str) -> Workload:
    """Return an object of any kind, of which only the metadata is known."""
    return _workload(wire.metadata, group, kind)


def _templated(
    wire: WireTemplated,
    group: str,
    kind: str,
    progress_of: Callable[[WireTemplatedSpec, WireTemplatedStatus], Progress],
    *,
    is_scaled: bool = True,
    has_containers: bool = True,
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
        progress=progress_of(spec, status),
    )


def _workload(
    meta: WireManagedMeta,
    group: str,
    kind: str,
    *,
    containers: tuple[ContainerSpec, ...] | None = None,
    replicas: int | None = None,
    update_revision: str = "",
    progress: Progress | None = None,
) -> Workload:
    return Workload(
        uid=ObjectUid(meta.uid or ""),
        key=ObjectKey(group, kind, intern(meta.namespace or ""), meta.name),
        owners=_owners(meta.owner_references),
        notes=_notes(meta.annotations),
        containers=containers,
        replicas=replicas,
        revision=_revision_of(meta.annotations, kind),
        update_revision=intern(update_revision),
        created_at=find_moment(meta.creation_timestamp),
        is_deleting=meta.deletion_timestamp is not None,
        generation=generation(meta.generation),
        touched_at=read_touched_at(meta.managed_fields),
        applied_by=_applier(meta.labels, meta.annotations),
        progress=progress,
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


def _applier(labels: WireLabels | None, annotations: dict[str, str | None] | None) -> ObjectKey | None:
    """Return the HelmRelease, or else the Kustomization, that an object's labels name.

    Helm's hooks, its tests among them, are no part of a release: Helm itself waits for them, and makes them anew.
    """
    if labels is None:
        return None
    if labels.release_name and labels.release_namespace:
        if _HOOK in (annotations or ()):
            return None
        return _kept_key(HELM_GROUP, "HelmRelease", labels.release_namespace, labels.release_name)
    if labels.kustomization_name and labels.kustomization_namespace:
        return _kept_key(KUSTOMIZE_GROUP, "Kustomization", labels.kustomization_namespace, labels.kustomization_name)
    return None


_kept_key = lru_cache(maxsize=1024)(ObjectKey)


def _notes(annotations: dict[str, str | None] | None) -> tuple[tuple[str, str], ...]:
    if not annotations:
        return ()
    found = sorted(name for name in annotations if name.startswith(NOTE_PREFIX))
    return tuple(
        (intern(name.removeprefix(NOTE_PREFIX)), intern((annotations[name] or "")[:MAX_TEXT]))
        for name in found[:MAX_NOTES]
    )


def _revision_of(annotations: dict[str, str | None] | None, kind: str) -> int:
    if kind not in ("ReplicaSet", "DaemonSet"):
        return 0
    names = _REVISIONS if kind == "ReplicaSet" else (_TEMPLATE_GENERATION,)
    found = (_number((annotations or {}).get(name)) for name in names)
    return next((number for number in found if number), 0)


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
        restarts=count(status.restart_count),
        trouble=None if status.ready else container_trouble(status),
    )


def _image(wire: WireContainer) -> str:
    image = (wire.image or "")[:MAX_TEXT]
    return intern(without_userinfo(image) if "@" in image else image)


def _find_start(states: tuple[WireContainerState | None, ...]) -> datetime | None:
    """Return when it started that runs, or else ended last: a container that waits to be restarted has no other.

    Args:
        states: the present one and the one before.
    """
    for state in states:
        if state is None:
            continue
        for run in (state.running, state.terminated):
            if run is not None and (started_at := find_moment(run.started_at)) is not None:
                return started_at
    return None


def _readiness(status: WirePodStatus) -> tuple[bool, datetime | None]:
    """Return whether a pod is ready, and since when."""
    for each in status.conditions or ():
        if each is not None and each.type == "Ready" and each.status == "True":
            return True, find_moment(each.last_transition_time)
    return False, None
