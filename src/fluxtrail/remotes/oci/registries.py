"""All registries that may be asked, and what a trail asks them: a layer, the annotations, what an image is.

Manifests and blobs are held by digest: many targets of one artifact cost one fetch.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Awaitable, Callable, Mapping

import aiohttp

from fluxtrail.credentials.registries import RegistryCredentials
from fluxtrail.model.errors import ConfigError, NotFoundError, WireError
from fluxtrail.model.image_facts import ImageFacts
from fluxtrail.model.redaction import redact
from fluxtrail.remotes.allow import AllowList
from fluxtrail.remotes.oci.endpoint import Endpoint
from fluxtrail.remotes.oci.held import HeldContent
from fluxtrail.remotes.oci.images import ImageDescriber
from fluxtrail.remotes.oci.manifests import (
    MANIFEST_LIMIT_BYTES,
    ImageConfig,
    Manifest,
    find_image,
    find_layer,
    parse_image_config,
    parse_manifest,
)
from fluxtrail.remotes.oci.references import Reference, parse_digest, parse_reference
from fluxtrail.remotes.oci.registry import INDEX_DEPTH, OciRegistry, RetryWaits, child

ANNOTATIONS_LIMIT = 128
_GZIP = b"\x1f\x8b"


class Registries:
    """Opens registries that the allow-list admits, and keeps what was read. Safe for concurrent callers.

    Args:
        session: made by the caller, closed by the caller; or what gives one for a URL.
        realms: registry → host of its token service, where that is another host and not a known one.
        clock: POSIX seconds.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession | Callable[[str], aiohttp.ClientSession],
        *,
        allow: AllowList,
        credentials: RegistryCredentials,
        realms: Mapping[str, str] | None = None,
        longest_wait_seconds: float = 5.0,
        retry_waits: RetryWaits | None = None,
        timeout_seconds: float = 60.0,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        held: HeldContent | None = None,
    ) -> None:
        self._session_to = session if callable(session) else lambda url: session
        self._allow, self._credentials = allow, credentials
        self._realms = dict(realms or {})
        self._longest_wait_seconds, self._timeout_seconds = longest_wait_seconds, timeout_seconds
        self._retry_waits = retry_waits
        self._clock, self._sleep = clock, sleep
        self._held = held or HeldContent()
        self._registries: dict[Endpoint, OciRegistry] = {}

    def admit(self, repository_url: str, *, insecure: bool = False) -> None:
        """Admit the registry of a watched source. Internal addresses stay refused unless a pattern names them.

        Raises:
            WireError: `repository_url` is no reference.
        """
        self._allow.admit(parse_reference(repository_url).repository_url(insecure=insecure))

    def open(self, reference: Reference, *, insecure: bool = False) -> OciRegistry:
        """Return the client of the reference's registry; one for each, shared.

        Raises:
            ConfigError: the allow-list does not admit the repository.
        """
        self._allow.check(reference.repository_url(insecure=insecure))
        endpoint = Endpoint.of(reference, insecure=insecure)
        if endpoint not in self._registries:
            self._registries[endpoint] = OciRegistry(
                self._session_to(reference.repository_url(insecure=insecure).fetch_url),
                endpoint,
                allow=self._allow,
                credentials=self._credentials,
                may_log_in=self._allow.may_log_in(reference.repository_url(insecure=insecure)),
                realms=self._realms,
                longest_wait_seconds=self._longest_wait_seconds,
                retry_waits=self._retry_waits,
                timeout_seconds=self._timeout_seconds,
                clock=self._clock,
                sleep=self._sleep,
            )
        return self._registries[endpoint]

    async def read_layer(
        self, repository_url: str, digest: str, media_type: str, *, limit_bytes: int, insecure: bool = False
    ) -> bytes | None:
        """Return the first layer of exactly `media_type`, or None if the manifest has no such layer.

        Of an index the first image is read. A layer that is JSON by its type and gzip by its bytes is unpacked.

        Args:
            repository_url: an OCIRepository's `spec.url`.
            digest: of the manifest, `sha256:…`: the part behind `@` of the revision.
            limit_bytes: bound of the layer, packed and unpacked.

        Raises:
            NotFoundError: the manifest or the layer is gone, or hidden. WireError: a digest or a document is not what
            it should be, or larger than its bound. ConfigError, AuthError, RateLimitedError, UpstreamError.
        """
        reference = _at_digest(repository_url, digest)
        for _ in range(INDEX_DEPTH):
            manifest = await self._manifest(reference, insecure=insecure)
            if not manifest.is_index:
                return await self._layer(reference, manifest, media_type, limit_bytes, insecure=insecure)
            image = find_image(manifest)
            if image is None:
                return None
            reference = child(reference, image)
        return None

    async def annotations(self, repository_url: str, digest: str, *, insecure: bool = False) -> dict[str, str]:
        """Return a manifest's annotations, redacted; an index's own win over those of its first image.

        Raises:
            As `read_layer`.
        """
        reference = _at_digest(repository_url, digest)
        manifest = await self._manifest(reference, insecure=insecure)
        found = dict(manifest.annotations)
        image = find_image(manifest) if manifest.is_index else None
        if image is not None:
            try:
                inner = await self._manifest(child(reference, image), insecure=insecure)
            except NotFoundError:
                inner = None  # what the index itself says is still good
            found = {**(inner.annotations if inner else {}), **found}
        return {redact(name): redact(found[name]) for name in sorted(found)[:ANNOTATIONS_LIMIT]}

    async def describe(self, image: str, digest: str, *, insecure: bool = False) -> ImageFacts:
        """Return which image a digest is, and what it was built from.

        Args:
            image: as the pod wants it: its tag (or digest) leads from a platform's image to its index.
            digest: as the node reports it: of an index, a platform's manifest, or a configuration.

        Raises:
            As `read_layer`; NotFoundError means that the registry does not have the image.
        """
        wanted = parse_reference(image)

        async def read_manifest(reference: Reference) -> tuple[str, Manifest]:
            if reference.digest is not None:
                return reference.digest, await self._manifest(reference, insecure=insecure)
            content = await self.open(reference, insecure=insecure).read_manifest(reference)  # a tag moves: not held
            return content.digest, parse_manifest(content.body, media_type=content.media_type)

        async def read_config(reference: Reference, manifest: Manifest) -> ImageConfig:
            return await self._config(reference, manifest, insecure=insecure)

        return await ImageDescriber(read_manifest, read_config).describe(wanted, digest)

    def may_ask(self, image: str, *, insecure: bool = False) -> bool:
        """Return whether the allow-list admits the registry of an image; False for what is no reference."""
        try:
            self._allow.check(parse_reference(image).repository_url(insecure=insecure))
        except (ConfigError, WireError):
            return False
        return True

    # -- inside ----------------------------------------------------------------------------------------------

    async def _config(self, reference: Reference, manifest: Manifest, *, insecure: bool) -> ImageConfig:
        assert manifest.config is not None
        digest = parse_digest(manifest.config.digest)
        registry = self.open(reference, insecure=insecure)
        key = (registry.endpoint, reference.repository, digest, MANIFEST_LIMIT_BYTES)
        limit = MANIFEST_LIMIT_BYTES
        body = await self._held.get(key, lambda: registry.read_blob(reference, digest, limit_bytes=limit))
        return parse_image_config(body)

    async def _manifest(self, reference: Reference, *, insecure: bool) -> Manifest:
        registry = self.open(reference, insecure=insecure)

        async def fetch() -> bytes:
            return (await registry.read_manifest(reference)).body

        return parse_manifest(await self._held.get((registry.endpoint, str(reference)), fetch))

    async def _layer(
        self, reference: Reference, manifest: Manifest, media_type: str, limit_bytes: int, *, insecure: bool
    ) -> bytes | None:
        layer = find_layer(manifest, media_type)
        if layer is None:
            return None
        digest = parse_digest(layer.digest)
        if layer.size_bytes is not None and layer.size_bytes > limit_bytes:
            raise WireError(f"{layer.size_bytes} bytes are more than the limit of {limit_bytes}", subject=media_type)
        registry = self.open(reference, insecure=insecure)
        key = (registry.endpoint, reference.repository, digest, limit_bytes)
        body = await self._held.get(key, lambda: registry.read_blob(reference, digest, limit_bytes=limit_bytes))
        is_packed = body.startswith(_GZIP) and media_type.endswith("json")
        return unpack(body, limit_bytes=limit_bytes, subject=media_type) if is_packed else body


def unpack(body: bytes, *, limit_bytes: int, subject: str) -> bytes:
    """Return what a gzip stream holds.

    Raises:
        WireError: it is damaged or cut short, or holds more than `limit_bytes`.
    """
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(body, limit_bytes + 1)
    except zlib.error as exc:
        raise WireError("it begins like gzip and is none", subject=subject) from exc
    if len(plain) > limit_bytes:
        raise WireError(f"unpacked it is larger than the limit of {limit_bytes} bytes", subject=subject)
    if not unpacker.eof:
        raise WireError("its gzip stream is cut short", subject=subject)
    return plain


def _at_digest(repository_url: str, digest: str) -> Reference:
    base = parse_reference(repository_url)
    return Reference(registry=base.registry, repository=base.repository, digest=parse_digest(digest))
