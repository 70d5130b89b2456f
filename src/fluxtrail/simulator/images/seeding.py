"""What the registry holds from the beginning, and the manifests that name it."""

from __future__ import annotations

from datetime import datetime

from fluxtrail.simulator.helm.layout import PUSHED_CHART, PUSHED_VERSION
from fluxtrail.simulator.images.building import build_chart, build_image
from fluxtrail.simulator.images.layout import (
    CLUSTERS,
    IMAGE,
    PRIVATE_IMAGE,
    image_manifest,
    image_path,
    vault_manifest,
)
from fluxtrail.simulator.images.registry import ImageRegistry

_SECRET_SOURCE = "https://git.example/secret/vault"  # noqa: S105 - a repository that nobody may see


def first_images(registry: ImageRegistry, tag: str, *, at: datetime) -> dict[str, str]:
    """Push the chart and the private image; return the manifests of what runs images of this registry.

    Args:
        registry: has the application's first image already.
        tag: of that image.
        at: when the others are built.
    """
    manifest, blobs = build_chart("mailer", PUSHED_VERSION, at=at)
    registry.push_chart(PUSHED_CHART, PUSHED_VERSION, manifest, blobs)
    private = build_image(source=_SECRET_SOURCE, revision="0" * 40, version=tag, at=at)
    registry.push(PRIVATE_IMAGE, tag, private)
    digest = registry.find_digest(f"{registry.host}/{IMAGE}:{tag}")
    assert digest is not None, "the pipeline has pushed it"
    manifests = {image_path(cluster): image_manifest(cluster, registry.host, tag, digest) for cluster in CLUSTERS}
    return manifests | {"clusters/staging/apps/vault.yaml": vault_manifest(registry.host)}
