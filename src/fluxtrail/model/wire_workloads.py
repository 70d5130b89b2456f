"""The shapes of pods and workloads on the wire: only the fields that are read, every one of them tolerant.

As in `wire.py`. There are many of these objects and most of each is never looked at: of a pod of 12 KB about 1 KB.
"""

import msgspec

from fluxtrail.model.wire import WireMeta


class WireOwner(msgspec.Struct, rename="camel", gc=False):
    api_version: str | None = None
    kind: str | None = None
    name: str | None = None
    uid: str | None = None
    controller: bool | None = None


class WireLabels(msgspec.Struct, gc=False):
    """The two labels by which a pod says which template it is of; others are not built."""

    revision: str | None = msgspec.field(default=None, name="controller-revision-hash")
    generation: str | None = msgspec.field(default=None, name="pod-template-generation")


class WireOwnedMeta(WireMeta, rename="camel", gc=False):
    owner_references: list[WireOwner | None] | None = None
    labels: WireLabels | None = None


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


class WireContainerState(msgspec.Struct, gc=False):
    running: WireRun | None = None
    terminated: WireRun | None = None


class WireContainerStatus(msgspec.Struct, rename="camel", gc=False):
    name: str | None = None
    image_id: str | None = msgspec.field(default=None, name="imageID")
    ready: bool | None = None
    state: WireContainerState | None = None
    last_state: WireContainerState | None = None


class WirePodCondition(msgspec.Struct, gc=False):
    type: str | None = None
    status: str | None = None


class WirePodStatus(msgspec.Struct, rename="camel", gc=False):
    phase: str | None = None
    conditions: list[WirePodCondition | None] | None = None
    container_statuses: list[WireContainerStatus | None] | None = None
    init_container_statuses: list[WireContainerStatus | None] | None = None


class WirePod(msgspec.Struct, gc=False):
    metadata: WireOwnedMeta
    spec: WireContainers | None = None
    status: WirePodStatus | None = None


class WireTemplate(msgspec.Struct, gc=False):
    spec: WireContainers | None = None


class WireTemplatedSpec(msgspec.Struct, gc=False):
    replicas: int | None = None
    template: WireTemplate | None = None


class WireTemplatedStatus(msgspec.Struct, rename="camel", gc=False):
    update_revision: str | None = None


class WireTemplated(msgspec.Struct, gc=False):
    """A ReplicaSet, Deployment, StatefulSet, DaemonSet or Job: whatever has `spec.template`."""

    metadata: WireOwnedMeta
    spec: WireTemplatedSpec | None = None
    status: WireTemplatedStatus | None = None


class WireJobTemplate(msgspec.Struct, gc=False):
    spec: WireTemplatedSpec | None = None


class WireCronJobSpec(msgspec.Struct, rename="camel", gc=False):
    job_template: WireJobTemplate | None = None


class WireCronJob(msgspec.Struct, gc=False):
    metadata: WireOwnedMeta
    spec: WireCronJobSpec | None = None


class WireOwned(msgspec.Struct, gc=False):
    """A PartialObjectMetadata, or of any object what that would have."""

    metadata: WireOwnedMeta
