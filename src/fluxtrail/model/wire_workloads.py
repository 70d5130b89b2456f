"""The shapes of pods and workloads on the wire: only the fields that are read, every one of them tolerant.

As in `wire.py`. There are many of these objects and most of each is never looked at: of a pod of 12 KB about 1 KB.
"""

from typing import Any

import msgspec

from fluxtrail.model.wire import WireManager, WireMeta, WireParentLabels


class WireOwner(msgspec.Struct, rename="camel", gc=False):
    api_version: str | None = None
    kind: str | None = None
    name: str | None = None
    uid: str | None = None
    controller: bool | None = None


class WireLabels(WireParentLabels, gc=False):
    """The labels by which a pod says which template it is of, and those of who applied it; others are not built."""

    revision: str | None = msgspec.field(default=None, name="controller-revision-hash")
    generation: str | None = msgspec.field(default=None, name="pod-template-generation")


class WireOwnedMeta(WireMeta, rename="camel", gc=False):
    owner_references: list[WireOwner | None] | None = None
    labels: WireLabels | None = None


class WireManagedMeta(WireOwnedMeta, rename="camel", gc=False):
    """A workload's; a pod's `managedFields` are not built: there are many, and nobody asks."""

    managed_fields: list[WireManager | None] | None = None


class WireContainer(msgspec.Struct, rename="camel", gc=False):
    name: str | None = None
    image: str | None = None
    restart_policy: str | None = None


class WireContainers(msgspec.Struct, rename="camel", gc=False):
    """The `spec` of a pod, or of a template."""

    containers: list[WireContainer | None] | None = None
    init_containers: list[WireContainer | None] | None = None
    node_name: str | None = None


class WireRun(msgspec.Struct, rename="camel", gc=False):
    started_at: str | None = None


class WireEnd(msgspec.Struct, rename="camel", gc=False):
    started_at: str | None = None
    reason: str | None = None
    message: str | None = None
    exit_code: int | None = None


class WireReason(msgspec.Struct, gc=False):
    reason: str | None = None
    message: str | None = None


class WireContainerState(msgspec.Struct, gc=False):
    running: WireRun | None = None
    terminated: WireEnd | None = None
    waiting: WireReason | None = None


class WireContainerStatus(msgspec.Struct, rename="camel", gc=False):
    name: str | None = None
    image_id: str | None = msgspec.field(default=None, name="imageID")
    ready: bool | None = None
    started: bool | None = None
    restart_count: int | None = None
    state: WireContainerState | None = None
    last_state: WireContainerState | None = None


class WirePodCondition(msgspec.Struct, rename="camel", gc=False):
    type: str | None = None
    status: str | None = None
    reason: str | None = None
    message: str | None = None
    last_transition_time: str | None = None


class WirePodStatus(msgspec.Struct, rename="camel", gc=False):
    phase: str | None = None
    reason: str | None = None
    message: str | None = None
    conditions: list[WirePodCondition | None] | None = None
    container_statuses: list[WireContainerStatus | None] | None = None
    init_container_statuses: list[WireContainerStatus | None] | None = None


class WirePod(msgspec.Struct, gc=False):
    metadata: WireOwnedMeta
    spec: WireContainers | None = None
    status: WirePodStatus | None = None


class WireTemplate(msgspec.Struct, gc=False):
    spec: WireContainers | None = None


class WireRollingUpdate(msgspec.Struct, rename="camel", gc=False):
    max_unavailable: int | str | None = None
    max_surge: int | str | None = None
    partition: int | None = None


class WireStrategy(msgspec.Struct, rename="camel", gc=False):
    type: str | None = None
    rolling_update: WireRollingUpdate | None = None


class WireTemplatedSpec(msgspec.Struct, rename="camel", gc=False):
    """Of each kind its own fields; none has two of one name with different meanings."""

    replicas: int | None = None
    completions: int | None = None
    template: WireTemplate | None = None
    strategy: WireStrategy | None = None
    update_strategy: WireStrategy | None = None
    paused: bool | None = None
    suspend: bool | None = None
    min_ready_seconds: int | None = None
    ttl_seconds_after_finished: int | None = None


class WireStatusCondition(msgspec.Struct, rename="camel", gc=False):
    type: str | None = None
    status: str | None = None
    reason: str | None = None
    message: str | None = None
    last_update_time: str | None = None
    last_transition_time: str | None = None


class WireTemplatedStatus(msgspec.Struct, rename="camel", gc=False):
    observed_generation: int | None = None
    replicas: int | None = None
    updated_replicas: int | None = None
    ready_replicas: int | None = None
    available_replicas: int | None = None
    current_revision: str | None = None
    update_revision: str | None = None
    desired_number_scheduled: int | None = None
    current_number_scheduled: int | None = None
    updated_number_scheduled: int | None = None
    number_ready: int | None = None
    number_available: int | None = None
    active: int | None = None
    ready: int | None = None
    succeeded: int | None = None
    failed: int | None = None
    completion_time: str | None = None
    conditions: list[WireStatusCondition | None] | None = None


class WireTemplated(msgspec.Struct, gc=False):
    """A ReplicaSet, Deployment, StatefulSet, DaemonSet or Job: whatever has `spec.template`."""

    metadata: WireManagedMeta
    spec: WireTemplatedSpec | None = None
    status: WireTemplatedStatus | None = None


class WireJobTemplate(msgspec.Struct, gc=False):
    spec: WireTemplatedSpec | None = None


class WireCronJobSpec(msgspec.Struct, rename="camel", gc=False):
    job_template: WireJobTemplate | None = None
    suspend: bool | None = None


class WireCronJob(msgspec.Struct, gc=False):
    metadata: WireManagedMeta
    spec: WireCronJobSpec | None = None


class WireOwned(msgspec.Struct, gc=False):
    """A PartialObjectMetadata, or of any object what that would have."""

    metadata: WireManagedMeta


class WireCustom(msgspec.Struct, gc=False):
    """An object of an unknown kind, of which what most have in common is read; its status may have any shape."""

    metadata: WireManagedMeta
    status: Any = None
