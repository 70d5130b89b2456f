"""Describes an image by one of its digests: which index and platforms are the same image, and what it was built from.

A digest that a node reports is that of an index, of a platform's manifest, or of a configuration: each runtime has its
own idea. No registry says which index a manifest is in, so the tag that was wanted is asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple

import msgspec

from fluxtrail.model.errors import AuthError, NotFoundError, UpstreamError, WireError
from fluxtrail.model.image_facts import ImageFacts, PlatformImage, read_origin
from fluxtrail.remotes.oci.manifests import Descriptor, ImageConfig, Manifest, Platform, find_images
from fluxtrail.remotes.oci.references import Reference, parse_digest
from fluxtrail.remotes.oci.registry import child

PLATFORMS_LIMIT = 64
"""Platforms of one index that are kept."""
CONFIGS_LIMIT = 16
"""Platforms of one index whose manifests are read to find a configuration."""
_CONFIG_TYPES = frozenset(
    {"", "application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"}
)
_NO_MANIFEST = frozenset({400, 404, 500})
"""What registries answer of a blob that is asked for as a manifest: CNCF Distribution 2 says 500."""
_NO_CONFIG = ImageConfig(platform=Platform(), created_at=None, labels={})

ReadManifest = Callable[[Reference], Awaitable[tuple[str, Manifest]]]
"""Returns a manifest or an index with its digest."""
ReadConfig = Callable[[Reference, Manifest], Awaitable[ImageConfig]]


class _Found(NamedTuple):
    """A manifest, and where it is."""

    digest: str
    manifest: Manifest
    parent: Manifest | None = None
    """The index that it was found in."""
    parent_digest: str | None = None
    platform: str = ""


class ImageDescriber:
    """Describes images with what reads their documents; holds nothing itself."""

    def __init__(self, read_manifest: ReadManifest, read_config: ReadConfig) -> None:
        self._read_manifest, self._read_config = read_manifest, read_config

    async def describe(self, wanted: Reference, digest: str) -> ImageFacts:
        """Return what is known of the image `digest`.

        Args:
            wanted: as the pod wants it: with the tag, or the digest, that led the node to `digest`.

        Raises:
            NotFoundError: the registry has it neither as a manifest nor as a configuration. WireError: a document is
            not what it should be. AuthError, RateLimitedError, UpstreamError, ConfigError.
        """
        digest = parse_digest(digest)
        try:
            _, manifest = await self._read_manifest(_at(wanted, digest))
        except UpstreamError as exc:
            if exc.status not in _NO_MANIFEST:
                raise
            found = await self._find_config(wanted, digest)
            if found is None:
                raise
            return await self._describe_platform(wanted, digest, found, is_config=True)
        if manifest.is_index:
            return await self._describe_index(wanted, digest, manifest)
        return await self._describe_platform(wanted, digest, await self._find_index(wanted, digest, manifest))

    async def _describe_index(self, wanted: Reference, digest: str, index: Manifest) -> ImageFacts:
        origin = read_origin([index.annotations])
        if origin.revision is None or origin.source is None or origin.created_at is None:
            manifest, config = await self._read_any(wanted, digest, index)
            places = [index.annotations, manifest.annotations if manifest else {}, config.labels]
            origin = read_origin(places, created=config.created_at)
        return ImageFacts(digest=digest, is_index=True, platforms=_platforms(index), origin=origin)

    async def _read_any(self, wanted: Reference, digest: str, index: Manifest) -> tuple[Manifest | None, ImageConfig]:
        """Return the first platform's documents that are there: a registry may mirror some platforms only."""
        for image in find_images(index)[:CONFIGS_LIMIT]:
            try:
                _, manifest = await self._read_manifest(child(_at(wanted, digest), image))
                if not manifest.is_index:
                    return manifest, await self._config(wanted, manifest)
            except NotFoundError:
                continue
        return None, _NO_CONFIG

    async def _describe_platform(
        self, wanted: Reference, digest: str, found: _Found, *, is_config: bool = False
    ) -> ImageFacts:
        config = await self._config(wanted, found.manifest)
        places = [found.parent.annotations if found.parent else {}, found.manifest.annotations, config.labels]
        return ImageFacts(
            digest=digest,
            index_digest=found.parent_digest or (found.digest if is_config else None),
            platform=found.platform or str(config.platform),
            platforms=_platforms(found.parent) if found.parent else (),
            origin=read_origin(places, created=config.created_at),
        )

    async def _config(self, wanted: Reference, manifest: Manifest) -> ImageConfig:
        if manifest.config is None or manifest.config.media_type not in _CONFIG_TYPES:
            return _NO_CONFIG
        return await self._read_config(wanted, manifest)

    # -- what the pod wanted -----------------------------------------------------------------------------------

    async def _find_index(self, wanted: Reference, digest: str, manifest: Manifest) -> _Found:
        """Return the manifest with the index that has it: none where the tag has moved since, or never was one."""
        for reference in _ways(wanted, digest):
            there = await self._look(reference)
            if there is None or not there[1].is_index:
                continue
            for item in find_images(there[1]):
                if item.digest.lower() == digest:
                    return _Found(digest, manifest, there[1], there[0], _text(item))
        return _Found(digest, manifest)

    async def _find_config(self, wanted: Reference, digest: str) -> _Found | None:
        """Return the manifest whose configuration has this digest, among those that were wanted."""
        for reference in _ways(wanted, digest):
            there = await self._look(reference)
            if there is None:
                continue
            place, manifest = there
            if not manifest.is_index:
                if _is_config(manifest, digest):
                    return _Found(place, manifest)
                continue
            for item in find_images(manifest)[:CONFIGS_LIMIT]:
                inner = await self._look(child(_at(wanted, place), item))
                if inner is not None and _is_config(inner[1], digest):
                    return _Found(inner[0], inner[1], manifest, place, _text(item))
        return None

    async def _look(self, reference: Reference) -> tuple[str, Manifest] | None:
        """Return what a reference leads to; None where it leads nowhere any more, or to what cannot be read."""
        try:
            return await self._read_manifest(reference)
        except (NotFoundError, AuthError, WireError):
            return None


def _ways(wanted: Reference, digest: str) -> Iterator[Reference]:
    """Yield how the node may have come to `digest`: by a digest that is wanted, then by the tag."""
    if wanted.digest and wanted.digest != digest:
        yield _at(wanted, wanted.digest)
    if wanted.tag or not wanted.digest:
        yield msgspec.structs.replace(wanted, tag=wanted.tag or "latest", digest=None)


def _at(wanted: Reference, digest: str) -> Reference:
    return Reference(registry=wanted.registry, repository=wanted.repository, digest=digest)


def _platforms(index: Manifest) -> tuple[PlatformImage, ...]:
    return tuple(PlatformImage(item.digest.lower(), _text(item)) for item in find_images(index)[:PLATFORMS_LIMIT])


def _text(item: Descriptor) -> str:
    return str(item.platform) if item.platform else ""


def _is_config(manifest: Manifest, digest: str) -> bool:
    return manifest.config is not None and manifest.config.digest.lower() == digest
