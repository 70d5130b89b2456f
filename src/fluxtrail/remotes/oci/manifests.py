"""Manifests, indexes and image configurations, read leniently: pure, bounded by their bytes, WireError only.

Explicit `null`, missing fields and fields we do not know are fine; what has another type is not.
Source: OCI image specification 1.1, manifest.md, image-index.md, config.md, descriptor.md; Docker's schema 2.
"""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import TypeVar

import msgspec

from fluxtrail.model.errors import WireError
from fluxtrail.model.moment import parse_timestamp
from fluxtrail.model.redaction import redact

T = TypeVar("T")

MANIFEST_LIMIT_BYTES = 4 * 1024 * 1024
ELEMENT_LIMIT = 100_000
"""Commas in a document: an empty descriptor is three bytes long, and eighty times as large once it is read."""
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
_ATTESTATION = "vnd.docker.reference.type"
_NO_TEXTS: Mapping[str, str] = MappingProxyType({})
"""One for all, for most descriptors have none."""


class Platform(msgspec.Struct, frozen=True, kw_only=True):
    os: str = ""
    architecture: str = ""
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


class Descriptor(msgspec.Struct, frozen=True, kw_only=True):
    """What a manifest says about another piece of content. Its digest is text until it is asked for."""

    media_type: str
    digest: str
    size_bytes: int | None
    artifact_type: str
    annotations: Mapping[str, str]
    platform: Platform | None


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """An image manifest or an index: an index has `manifests` and no layers."""

    media_type: str
    artifact_type: str
    config: Descriptor | None
    layers: tuple[Descriptor, ...]
    manifests: tuple[Descriptor, ...]
    subject: Descriptor | None
    annotations: Mapping[str, str]

    @property
    def is_index(self) -> bool:
        return self.media_type in (OCI_INDEX, DOCKER_LIST) or bool(self.manifests)


class ImageConfig(msgspec.Struct, frozen=True, kw_only=True):
    platform: Platform
    created_at: datetime | None
    labels: Mapping[str, str]


class _Platform(msgspec.Struct):
    os: str | None = None
    architecture: str | None = None
    variant: str | None = None


class _Descriptor(msgspec.Struct, rename="camel"):
    media_type: str | None = None
    digest: str | None = None
    size: int | None = None
    artifact_type: str | None = None
    annotations: dict[str, str | None] | None = None
    platform: _Platform | None = None


class _Manifest(msgspec.Struct, rename="camel"):
    schema_version: int | None = None
    media_type: str | None = None
    artifact_type: str | None = None
    config: _Descriptor | None = None
    layers: list[_Descriptor | None] | None = None
    manifests: list[_Descriptor | None] | None = None
    subject: _Descriptor | None = None
    annotations: dict[str, str | None] | None = None


class _Execution(msgspec.Struct):
    labels: dict[str, str | None] | None = msgspec.field(name="Labels", default=None)


class _Config(_Platform):
    created: str | None = None
    config: _Execution | None = None


def parse_manifest(data: bytes, *, media_type: str = "") -> Manifest:
    """Read an image manifest or an index.

    Args:
        media_type: the answer's content type, for documents that do not say what they are.

    Raises:
        WireError: too large, not JSON, or of another shape.
    """
    wire = _decode(data, _Manifest, "manifest")
    if wire.schema_version == 1:
        raise WireError("schema 1 is too old to be read; push the image again with a tool of today", subject="manifest")
    if wire.layers and wire.manifests:
        # CVE-2021-41190: two readers of one digest must not see two different things.
        raise WireError("it has both layers and manifests, so it is neither an image nor an index", subject="manifest")
    return Manifest(
        media_type=wire.media_type or media_type.partition(";")[0].strip().lower(),
        artifact_type=wire.artifact_type or "",
        config=_descriptor(wire.config) if wire.config else None,
        layers=_descriptors(wire.layers),
        manifests=_descriptors(wire.manifests),
        subject=_descriptor(wire.subject) if wire.subject else None,
        annotations=_texts(wire.annotations),
    )


def parse_image_config(data: bytes) -> ImageConfig:
    """Read an image's configuration; one of another kind (an artifact's `{}`) has empty fields.

    Raises:
        WireError: too large, not JSON, or of another shape.
    """
    wire = _decode(data, _Config, "config")
    return ImageConfig(
        platform=_platform(wire),
        created_at=parse_timestamp(wire.created) if wire.created else None,
        labels=_texts(wire.config.labels if wire.config else None),
    )


def find_layer(manifest: Manifest, media_type: str) -> Descriptor | None:
    """Return the first layer of exactly this media type."""
    return next((layer for layer in manifest.layers if layer.media_type == media_type), None)


def find_image(index: Manifest, platform: str | None = None) -> Descriptor | None:
    """Return the index's image for `platform` (`linux/arm64`, `linux/arm/v7`), else its first image.

    Attestations that build tools store beside images are none.
    """
    images = find_images(index)
    if platform is not None:
        fitting = (item for item in images if item.platform is not None and _fits(str(item.platform), platform))
        found = next(fitting, None)
        if found is not None:
            return found
    return images[0] if images else None


def find_images(index: Manifest) -> list[Descriptor]:
    """Return the index's images, without the attestations that build tools store beside them."""
    return [item for item in index.manifests if not _is_attestation(item)]


def _fits(has: str, wanted: str) -> bool:
    return has == wanted or has.startswith(wanted + "/")


def _is_attestation(item: Descriptor) -> bool:
    return _ATTESTATION in item.annotations or (item.platform is not None and item.platform.os == "unknown")


def _descriptors(wires: list[_Descriptor | None] | None) -> tuple[Descriptor, ...]:
    return tuple(_descriptor(wire) for wire in wires or () if wire is not None)


def _descriptor(wire: _Descriptor) -> Descriptor:
    return Descriptor(
        media_type=wire.media_type or "",
        digest=wire.digest or "",
        size_bytes=wire.size if wire.size is not None and wire.size >= 0 else None,
        artifact_type=wire.artifact_type or "",
        annotations=_texts(wire.annotations),
        platform=_platform(wire.platform) if wire.platform else None,
    )


def _platform(wire: _Platform) -> Platform:
    return Platform(os=wire.os or "", architecture=wire.architecture or "", variant=wire.variant or "")


def _texts(values: dict[str, str | None] | None) -> Mapping[str, str]:
    if not values:
        return _NO_TEXTS
    return {name: text for name, text in values.items() if text is not None}


def _decode(data: bytes, kind: type[T], subject: str) -> T:
    if len(data) > MANIFEST_LIMIT_BYTES:
        raise WireError(f"{len(data)} bytes are more than the {MANIFEST_LIMIT_BYTES} that are read", subject=subject)
    if data.count(b",") > ELEMENT_LIMIT:
        raise WireError(f"more than {ELEMENT_LIMIT} elements are not read", subject=subject)
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise WireError(f"not what it should be: {redact(str(exc), limit_bytes=200)}", subject=subject) from exc
