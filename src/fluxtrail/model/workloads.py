"""Pods and what makes them, as Fluxtrail keeps them: who owns whom, which image runs in which container.

The objects are many (tens of thousands of pods), so they are small: what is not asked for is not here. As in
`flux.py`, a projection never fails on a value that it does not understand.
"""

from datetime import datetime
from enum import StrEnum

import msgspec

from fluxtrail.model.observation import ObjectKey, ObjectUid

APPS_GROUP = "apps"
BATCH_GROUP = "batch"
CORE_GROUP = ""

NOTE_PREFIX = "metadata.github.com/"
"""Annotations that are told to GitHub with a record."""


class ContainerKind(StrEnum):
    MAIN = "main"
    INIT = "init"
    SIDECAR = "sidecar"
    """An init container that goes on: `restartPolicy: Always`."""


class Owner(msgspec.Struct, frozen=True, gc=False):
    """One `ownerReference`, always of the same namespace (or of the cluster)."""

    group: str
    kind: str
    name: str
    uid: ObjectUid
    is_controller: bool


class ContainerSpec(msgspec.Struct, frozen=True, gc=False):
    """A container as a template or a pod's spec wants it."""

    name: str
    image: str
    kind: ContainerKind


class ContainerRun(msgspec.Struct, frozen=True, gc=False):
    """A container of a pod: what is wanted, and what the node says about it."""

    name: str
    image: str
    """As the pod's spec has it now."""
    kind: ContainerKind
    image_id: str
    """As `model.image.find_digest` read it; empty before the container was made."""
    is_ready: bool
    started_at: datetime | None
    """When it, or its last run, started."""


class Pod(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    uid: ObjectUid
    namespace: str
    name: str
    owners: tuple[Owner, ...]
    containers: tuple[ContainerRun, ...]
    """The main ones, then init containers and sidecars; ephemeral ones are left out."""
    phase: str
    """Pending, Running, Succeeded, Failed or Unknown."""
    created_at: datetime | None
    is_deleting: bool
    is_ready: bool
    is_static: bool
    """A node's own, mirrored: `kubernetes.io/config.mirror`."""
    node: str
    revision: str
    """`controller-revision-hash`, with it a StatefulSet or DaemonSet says which template a pod is of."""
    generation: int
    """`pod-template-generation`: a DaemonSet's template, counted; 0 without."""
    notes: tuple[tuple[str, str], ...]
    """Annotations under NOTE_PREFIX, sorted, the prefix left out."""

    @property
    def is_over(self) -> bool:
        return self.phase in ("Succeeded", "Failed")


class Workload(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Whatever owns pods, directly or by another: a ReplicaSet, a Deployment, a CronJob, a kind we never heard of."""

    uid: ObjectUid
    key: ObjectKey
    owners: tuple[Owner, ...]
    notes: tuple[tuple[str, str], ...]
    """As a pod's."""
    containers: tuple[ContainerSpec, ...] | None
    """Of its template; None where that is not known: only the metadata of unknown kinds is read."""
    replicas: int | None
    """How many are wanted; None for kinds that are not scaled."""
    revision: int
    """Of a ReplicaSet: which roll-out made it the newest (`deployment.kubernetes.io/revision`); 0 without."""
    update_revision: str
    """Of a StatefulSet: the `controller-revision-hash` that pods should have."""
    created_at: datetime | None
    is_deleting: bool
