"""What is watched of a cluster: each kind with the shape it is read in."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from fluxtrail.clusters.subjects import Subject
from fluxtrail.model.flux import (
    HELM_GROUP,
    KUSTOMIZE_GROUP,
    KUSTOMIZE_VERSIONS,
    SOURCE_GROUP,
    SOURCE_VERSIONS,
    project_kustomization,
)
from fluxtrail.model.projecting import (
    project_cron_job,
    project_daemon_set,
    project_deployment,
    project_job,
    project_owner,
    project_pod,
    project_replica_set,
    project_stateful_set,
)
from fluxtrail.model.releases import HELM_VERSIONS, project_helm_release
from fluxtrail.model.scanning import (
    REFLECTOR_VERSIONS,
    WireImagePolicy,
    WireImageRepository,
    project_image_policy,
    project_image_repository,
)
from fluxtrail.model.sources import (
    GENERATOR_GROUP,
    GENERATOR_VERSIONS,
    IMAGE_GROUP,
    IMAGE_VERSIONS,
    project_artifact_generator,
    project_artifact_source,
    project_git_repository,
    project_image_update_automation,
)
from fluxtrail.model.wire import (
    WireArtifactGenerator,
    WireArtifactSource,
    WireGitRepository,
    WireImageUpdateAutomation,
    WireKustomization,
)
from fluxtrail.model.wire_releases import WireHelmRelease
from fluxtrail.model.wire_workloads import WireCronJob, WireOwned, WirePod, WireTemplated
from fluxtrail.model.workloads import APPS_GROUP, BATCH_GROUP, CORE_GROUP

TARGET_KIND = "Kustomization"
RELEASE_KIND = "HelmRelease"


class Kind(NamedTuple):
    group: str
    kind: str
    resource: str
    """As rights name it."""
    versions: tuple[str, ...]
    wire: type[Any]
    project: Any
    is_metadata_only: bool = False

    def subject(self, namespaces: tuple[str, ...], *, name: str = "", excluded: tuple[str, ...] = ()) -> Subject[Any]:
        """Return what to watch.

        Args:
            namespaces: only these; all where empty.
            name: only this object.
            excluded: all namespaces but these.
        """
        selectors = [f"metadata.name={name}"] if name else []
        selectors += [f"metadata.namespace!={namespace}" for namespace in excluded]
        return Subject(
            group=self.group,
            kind=self.kind,
            versions=self.versions,
            wire=self.wire,
            project=self.project,
            namespaces=namespaces,
            field_selector=",".join(selectors),
            is_metadata_only=self.is_metadata_only,
        )


def _artifact(kind: str, resource: str) -> Kind:
    project = partial(project_artifact_source, kind=kind)
    return Kind(SOURCE_GROUP, kind, resource, SOURCE_VERSIONS, WireArtifactSource, project)


def _reflected(kind: str, resource: str, wire: type[Any], project: Any) -> Kind:
    return Kind(IMAGE_GROUP, kind, resource, REFLECTOR_VERSIONS, wire, project)


KINDS = (
    Kind(SOURCE_GROUP, "GitRepository", "gitrepositories", SOURCE_VERSIONS, WireGitRepository, project_git_repository),
    _artifact("OCIRepository", "ocirepositories"),
    _artifact("Bucket", "buckets"),
    _artifact("ExternalArtifact", "externalartifacts"),
    _artifact("HelmChart", "helmcharts"),
    _artifact("HelmRepository", "helmrepositories"),
    Kind(
        GENERATOR_GROUP,
        "ArtifactGenerator",
        "artifactgenerators",
        GENERATOR_VERSIONS,
        WireArtifactGenerator,
        project_artifact_generator,
    ),
    Kind(
        IMAGE_GROUP,
        "ImageUpdateAutomation",
        "imageupdateautomations",
        IMAGE_VERSIONS,
        WireImageUpdateAutomation,
        project_image_update_automation,
    ),
    _reflected("ImageRepository", "imagerepositories", WireImageRepository, project_image_repository),
    _reflected("ImagePolicy", "imagepolicies", WireImagePolicy, project_image_policy),
    Kind(
        KUSTOMIZE_GROUP,
        TARGET_KIND,
        "kustomizations",
        KUSTOMIZE_VERSIONS,
        WireKustomization,
        project_kustomization,
    ),
    Kind(HELM_GROUP, RELEASE_KIND, "helmreleases", HELM_VERSIONS, WireHelmRelease, project_helm_release),
)
"""Every kind that is watched. One that is not installed, or that may not be read, costs what it would say."""


def _apps(kind: str, project: Any) -> Kind:
    return Kind(APPS_GROUP, kind, f"{kind.lower()}s", ("v1",), WireTemplated, project)


WORKLOAD_KINDS = (
    Kind(CORE_GROUP, "Pod", "pods", ("v1",), WirePod, project_pod),
    _apps("ReplicaSet", project_replica_set),
    _apps("Deployment", project_deployment),
    _apps("StatefulSet", project_stateful_set),
    _apps("DaemonSet", project_daemon_set),
    Kind(BATCH_GROUP, "Job", "jobs", ("v1",), WireTemplated, project_job),
    Kind(BATCH_GROUP, "CronJob", "cronjobs", ("v1",), WireCronJob, project_cron_job),
)
"""What is watched besides where deployment records are kept. Owners of other kinds are found as pods name them."""


def owner_kind(group: str, kind: str) -> Kind:
    """Return how an owner of any other kind is watched: by its metadata, at whatever version it is served."""
    return Kind(group, kind, "", (), WireOwned, partial(project_owner, group=group, kind=kind), is_metadata_only=True)


def find_kind(group: str, kind: str) -> Kind | None:
    """Return how a kind is watched; None for one that is found by who it owns."""
    return next((item for item in (*KINDS, *WORKLOAD_KINDS) if (item.group, item.kind) == (group, kind)), None)
