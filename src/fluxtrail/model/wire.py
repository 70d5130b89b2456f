"""The shapes of Flux objects on the wire: only the fields that are read, every one of them tolerant.

Kubernetes sends explicit `null` for what is optional, and newer Flux sends fields we do not know; neither may
stop an object. What is not declared here is skipped by the decoder and never becomes a Python object.
"""

from typing import Any

import msgspec

MAX_CONDITIONS = 32
MAX_HISTORY = 16


class WireParentLabels(msgspec.Struct):
    """The labels by which kustomize-controller and helm-controller mark what they apply."""

    kustomization_name: str | None = msgspec.field(default=None, name="kustomize.toolkit.fluxcd.io/name")
    kustomization_namespace: str | None = msgspec.field(default=None, name="kustomize.toolkit.fluxcd.io/namespace")
    release_name: str | None = msgspec.field(default=None, name="helm.toolkit.fluxcd.io/name")
    release_namespace: str | None = msgspec.field(default=None, name="helm.toolkit.fluxcd.io/namespace")


class WireManager(msgspec.Struct, gc=False):
    """An entry of `managedFields`, without the fields."""

    manager: str | None = None
    time: str | None = None
    subresource: str | None = None


class WireMeta(msgspec.Struct, rename="camel"):
    name: str
    uid: str | None = None
    namespace: str | None = None
    resource_version: str | None = None
    generation: int | None = None
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    annotations: dict[str, str | None] | None = None


class WireAppliedMeta(WireMeta, rename="camel"):
    """Of what may itself have been applied by Flux."""

    labels: WireParentLabels | None = None
    managed_fields: list[WireManager | None] | None = None


class WireCondition(msgspec.Struct, rename="camel"):
    type: str | None = None
    status: str | None = None
    reason: str | None = None
    message: str | None = None
    last_transition_time: str | None = None
    observed_generation: int | None = None


class WireReference(msgspec.Struct, rename="camel"):
    kind: str | None = None
    name: str | None = None
    namespace: str | None = None
    key: str | None = None


class WireKubeConfig(msgspec.Struct, rename="camel"):
    secret_ref: WireReference | None = None
    config_map_ref: WireReference | None = None


class WireSnapshot(msgspec.Struct, rename="camel"):
    digest: str | None = None
    first_reconciled: str | None = None
    last_reconciled: str | None = None
    last_reconciled_duration: str | None = None
    last_reconciled_status: str | None = None
    total_reconciliations: int | None = None
    metadata: dict[str, str | None] | None = None


class WireInventoryEntry(msgspec.Struct):
    id: str | None = None


class WireInventory(msgspec.Struct):
    entries: list[WireInventoryEntry | None] | None = None


class WireKustomizationSpec(msgspec.Struct, rename="camel"):
    path: str | None = None
    source_ref: WireReference | None = None
    suspend: bool | None = None
    wait: bool | None = None
    health_checks: list[Any] | None = None
    depends_on: list[WireReference | None] | None = None
    components: list[str | None] | None = None
    kube_config: WireKubeConfig | None = None
    target_namespace: str | None = None


class WireKustomizationStatus(msgspec.Struct, rename="camel"):
    observed_generation: int | None = None
    conditions: list[WireCondition | None] | None = None
    last_applied_revision: str | None = None
    last_applied_origin_revision: str | None = None
    last_attempted_revision: str | None = None
    history: list[WireSnapshot | None] | None = None
    inventory: WireInventory | None = None


class WireKustomization(msgspec.Struct, rename="camel"):
    metadata: WireAppliedMeta
    spec: WireKustomizationSpec | None = None
    status: WireKustomizationStatus | None = None


class WireGitRef(msgspec.Struct, rename="camel"):
    branch: str | None = None
    tag: str | None = None
    semver: str | None = None
    name: str | None = None
    commit: str | None = None


class WireArtifact(msgspec.Struct, rename="camel"):
    revision: str | None = None
    digest: str | None = None
    last_update_time: str | None = None
    metadata: dict[str, str | None] | None = None


class WireInclude(msgspec.Struct, rename="camel"):
    repository: WireReference | None = None
    from_path: str | None = None
    to_path: str | None = None


class WireSecretRef(msgspec.Struct, rename="camel"):
    name: str | None = None


class WireGitRepositorySpec(msgspec.Struct, rename="camel"):
    url: str | None = None
    provider: str | None = None
    secret_ref: WireSecretRef | None = None
    ref: WireGitRef | None = None
    suspend: bool | None = None
    ignore: str | None = None
    include: list[WireInclude | None] | None = None
    sparse_checkout: list[str | None] | None = None


class WireSourceStatus(msgspec.Struct, rename="camel"):
    observed_generation: int | None = None
    conditions: list[WireCondition | None] | None = None
    artifact: WireArtifact | None = None
    included_artifacts: list[WireArtifact | None] | None = None
    observed_source_artifact_revision: str | None = None


class WireGitRepository(msgspec.Struct, rename="camel"):
    metadata: WireMeta
    spec: WireGitRepositorySpec | None = None
    status: WireSourceStatus | None = None


class WireOciRef(msgspec.Struct, rename="camel"):
    tag: str | None = None
    semver: str | None = None
    digest: str | None = None


class WireArtifactSourceSpec(msgspec.Struct, rename="camel"):
    """What OCIRepository, Bucket, ExternalArtifact, HelmChart and HelmRepository say, each some of it."""

    url: str | None = None
    endpoint: str | None = None
    bucket_name: str | None = None
    chart: str | None = None
    version: str | None = None
    type: str | None = None
    ref: WireOciRef | None = None
    source_ref: WireReference | None = None
    insecure: bool | None = None
    suspend: bool | None = None


class WireArtifactSource(msgspec.Struct, rename="camel"):
    metadata: WireMeta
    spec: WireArtifactSourceSpec | None = None
    status: WireSourceStatus | None = None


class WireGeneratorSource(msgspec.Struct, rename="camel"):
    alias: str | None = None
    kind: str | None = None
    name: str | None = None
    namespace: str | None = None


class WireGeneratorCopy(msgspec.Struct, rename="camel"):
    source: str | None = msgspec.field(default=None, name="from")


class WireGeneratorArtifact(msgspec.Struct, rename="camel"):
    name: str | None = None
    copy: list[WireGeneratorCopy | None] | None = None


class WireGeneratorSpec(msgspec.Struct, rename="camel"):
    sources: list[WireGeneratorSource | None] | None = None
    artifacts: list[WireGeneratorArtifact | None] | None = None


class WireArtifactGenerator(msgspec.Struct, rename="camel"):
    metadata: WireMeta
    spec: WireGeneratorSpec | None = None


class WireAutomationStatus(msgspec.Struct, rename="camel"):
    last_push_commit: str | None = None
    last_push_time: str | None = None


class WireGitAuthor(msgspec.Struct):
    email: str | None = None


class WireGitCommit(msgspec.Struct):
    author: WireGitAuthor | None = None


class WireAutomationGit(msgspec.Struct):
    commit: WireGitCommit | None = None


class WireAutomationSpec(msgspec.Struct, rename="camel"):
    source_ref: WireReference | None = None
    git: WireAutomationGit | None = None
    suspend: bool | None = None


class WireImageUpdateAutomation(msgspec.Struct, rename="camel"):
    metadata: WireMeta
    spec: WireAutomationSpec | None = None
    status: WireAutomationStatus | None = None
