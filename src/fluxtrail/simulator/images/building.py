"""Multi-arch images as a pipeline builds them: an index, a manifest and a config a platform, with OCI labels.

Source: https://github.com/opencontainers/image-spec (image-index.md, manifest.md, config.md, annotations.md).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fluxtrail.simulator.clock import wire_time

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
PLATFORMS = ("linux/amd64", "linux/arm64")


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes that a registry holds under their digest."""

    body: bytes
    media_type: str

    @property
    def digest(self) -> str:
        return f"sha256:{hashlib.sha256(self.body).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Image:
    index: Content
    manifests: Mapping[str, Content]
    """By platform."""
    blobs: tuple[Content, ...]


def build_image(*, source: str, revision: str, version: str, at: datetime) -> Image:
    """Build an image from a commit.

    Args:
        source: the repository's URL, as the label has it.
        revision: the commit.
        version: of the application.
        at: when it is built.
    """
    labels = {
        "org.opencontainers.image.source": source,
        "org.opencontainers.image.revision": revision,
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.created": wire_time(at),
    }
    manifests, blobs, listed = {}, [], []
    for platform in PLATFORMS:
        system, _, architecture = platform.partition("/")
        layer = Content(f"{revision} {platform}".encode(), LAYER_TYPE)
        config = _json(
            {
                "created": wire_time(at),
                "architecture": architecture,
                "os": system,
                "config": {"Labels": labels, "Entrypoint": ["/app"]},
                "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
            },
            CONFIG_TYPE,
        )
        manifest = _json(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST_TYPE,
                "config": _descriptor(config),
                "layers": [_descriptor(layer)],
            },
            MANIFEST_TYPE,
        )
        manifests[platform] = manifest
        blobs += [layer, config]
        listed.append(_descriptor(manifest) | {"platform": {"architecture": architecture, "os": system}})
    index = _json({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": listed}, INDEX_TYPE)
    return Image(index, manifests, tuple(blobs))


def build_chart(name: str, version: str, *, at: datetime) -> tuple[Content, tuple[Content, ...]]:
    """Return a Helm chart as `helm push` makes one: its manifest, and the blobs that it names."""
    layer = Content(f"{name} {version}".encode(), "application/vnd.cncf.helm.chart.content.v1.tar+gzip")
    config = _json({"name": name, "version": version}, "application/vnd.cncf.helm.config.v1+json")
    named = {"title": name, "version": version, "created": wire_time(at)}
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": _descriptor(config),
        "layers": [_descriptor(layer)],
        "annotations": {f"org.opencontainers.image.{key}": value for key, value in named.items()},
    }
    return _json(manifest, MANIFEST_TYPE), (config, layer)


def _json(value: Any, media_type: str) -> Content:
    return Content(json.dumps(value, separators=(",", ":")).encode(), media_type)


def _descriptor(content: Content) -> dict[str, Any]:
    return {"mediaType": content.media_type, "digest": content.digest, "size": len(content.body)}
