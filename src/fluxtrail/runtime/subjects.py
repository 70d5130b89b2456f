"""What is watched of a cluster: each kind with the shape it is read in."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from fluxtrail.clusters.subjects import Subject
from fluxtrail.model.flux import (
    KUSTOMIZE_GROUP,
    KUSTOMIZE_VERSIONS,
    SOURCE_GROUP,
    SOURCE_VERSIONS,
    project_kustomization,
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

TARGET_KIND = "Kustomization"


class Kind(NamedTuple):
    group: str
    kind: str
    resource: str
    """As rights name it."""
    versions: tuple[str, ...]
    wire: type[Any]
    project: Any

    def subject(self, namespaces: tuple[str, ...], *, name: str = "") -> Subject[Any]:
        return Subject(
            group=self.group,
            kind=self.kind,
            versions=self.versions,
            wire=self.wire,
            project=self.project,
            namespaces=namespaces,
            field_selector=f"metadata.name={name}" if name else "",
        )


def _artifact(kind: str, resource: str) -> Kind:
    project = partial(project_artifact_source, kind=kind)
    return Kind(SOURCE_GROUP, kind, resource, SOURCE_VERSIONS, WireArtifactSource, project)


KINDS = (
    Kind(SOURCE_GROUP, "GitRepository", "gitrepositories", SOURCE_VERSIONS, WireGitRepository, project_git_repository),
    _artifact("OCIRepository", "ocirepositories"),
    _artifact("Bucket", "buckets"),
    _artifact("ExternalArtifact", "externalartifacts"),
    _artifact("HelmChart", "helmcharts"),
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
    Kind(
        KUSTOMIZE_GROUP,
        TARGET_KIND,
        "kustomizations",
        KUSTOMIZE_VERSIONS,
        WireKustomization,
        project_kustomization,
    ),
)
"""Every kind that is watched. One that is not installed, or that may not be read, costs what it would say."""
