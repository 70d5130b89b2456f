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


class ContainerTrouble(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Why a container is not ready, in the node's words; of one that is ready nothing is kept."""

    waiting: str = ""
    """Reason of `state.waiting`: ImagePullBackOff, CrashLoopBackOff, CreateContainerConfigError, …"""
    ended: str = ""
    """Reason of the newest termination: OOMKilled, Error, Completed, …"""
    exit_code: int | None = None
    """Of that termination."""
    message: str = ""
    """Of `state.waiting`, else of the newest termination. Redacted, at most 1 KiB."""
    is_running: bool = False
    """It runs, and is not ready: a probe has not passed (yet)."""
    has_started: bool = False
    """Its startup probe has passed, or it has none: `started`."""


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
    restarts: int = 0
    trouble: ContainerTrouble | None = None
    """None of a container that is ready, or of which the node has said nothing yet."""


class PodTrouble(msgspec.Struct, frozen=True, gc=False):
    """Why a pod is not where it should be: of `PodScheduled`, `Ready`, `DisruptionTarget`, or of the pod itself."""

    reason: str
    """Unschedulable, SchedulingGated, NodeLost, Evicted, DeletionByTaintManager, …"""
    message: str
    """Redacted, at most 1 KiB."""


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
    ready_at: datetime | None = None
    """When its `Ready` condition became True; None while it is not."""
    trouble: PodTrouble | None = None
    applied_by: ObjectKey | None = None
    """As a workload's: of a pod that is itself in a manifest."""

    @property
    def is_over(self) -> bool:
        return self.phase in ("Succeeded", "Failed")


class StatusCondition(msgspec.Struct, frozen=True, gc=False):
    """A condition of a workload or a custom resource."""

    type: str
    status: str
    reason: str
    message: str
    """Redacted, at most 1 KiB."""
    updated_at: datetime | None
    """`lastUpdateTime` where there is one, else `lastTransitionTime`."""


class Progress(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """How far a workload is, in its own words: what `spec` wants of a roll-out and what `status` says of it.

    Sources: the API types of apps/v1 and batch/v1. Counts are 0 where the status is silent.
    """

    observed_generation: int = 0
    wanted: int = 1
    """Pods: `spec.replicas`, a DaemonSet's `desiredNumberScheduled`, a Job's `completions` (or 1)."""
    total: int = 0
    """`status.replicas`, `currentNumberScheduled`, a Job's `active`."""
    updated: int = 0
    """`updatedReplicas`, `updatedNumberScheduled`, a Job's `succeeded`."""
    ready: int = 0
    """`readyReplicas`, `numberReady`."""
    available: int = 0
    """`availableReplicas`, `numberAvailable`; a StatefulSet's too."""
    failed: int = 0
    """A Job's failed pods."""
    max_unavailable: int = 0
    """In pods: percentages are of `wanted`, rounded down (a DaemonSet's: up), as the controllers do."""
    partition: int = 0
    """Of a StatefulSet: pods below it keep their template."""
    strategy: str = ""
    """`RollingUpdate`, `Recreate`, `OnDelete`; empty where the kind has none."""
    is_paused: bool = False
    is_suspended: bool = False
    is_expiring: bool = False
    """A Job with `ttlSecondsAfterFinished`: it goes when it is done."""
    min_ready_seconds: int = 0
    current_revision: str = ""
    """Of a StatefulSet: `currentRevision`; `Workload.update_revision` is where it goes."""
    completed_at: datetime | None = None
    """Of a Job: `completionTime`."""
    conditions: tuple[StatusCondition, ...] = ()
    """Those that a roll-out is judged by: Progressing, Available, ReplicaFailure, Complete, Failed, Suspended,
    FailureTarget, SuccessCriteriaMet, Ready, Reconciling, Stalled."""

    def find_condition(self, kind: str) -> StatusCondition | None:
        return next((condition for condition in self.conditions if condition.type == kind), None)


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
    """Of a ReplicaSet: which roll-out made it the newest (`deployment.kubernetes.io/revision`). Of a DaemonSet: its
    template, counted (`deprecated.daemonset.template.generation`), as its pods have it. 0 without."""
    update_revision: str
    """Of a StatefulSet: the `controller-revision-hash` that pods should have."""
    created_at: datetime | None
    is_deleting: bool
    generation: int = 0
    """`metadata.generation`: another with each change of the spec; 0 where the API server gives none."""
    touched_at: datetime | None = None
    """When Flux (kustomize-controller, helm-controller) last changed it: the newest `managedFields` entry of theirs
    that is of no subresource. None where Flux never did."""
    applied_by: ObjectKey | None = None
    """The HelmRelease, or else the Kustomization, that its labels name (`helm.toolkit.fluxcd.io/name`, …)."""
    progress: Progress | None = None
    """None of what is known by its metadata alone."""
