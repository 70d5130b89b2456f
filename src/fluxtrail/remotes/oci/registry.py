"""One registry: manifests, indexes, configurations, blobs and referrers, each verified by its digest."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote, urljoin

import aiohttp
import msgspec
import stamina

from fluxtrail.credentials.registries import RegistryCredentials
from fluxtrail.model.errors import AuthError, NotFoundError, RateLimitedError, UpstreamError, WireError
from fluxtrail.model.repository import RepositoryUrl
from fluxtrail.remotes.allow import AllowList, is_internal_host
from fluxtrail.remotes.oci.endpoint import Endpoint, origin_of
from fluxtrail.remotes.oci.failures import translate
from fluxtrail.remotes.oci.manifests import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    MANIFEST_LIMIT_BYTES,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    ImageConfig,
    Manifest,
    find_image,
    parse_image_config,
    parse_manifest,
)
from fluxtrail.remotes.oci.references import Reference, parse_digest
from fluxtrail.remotes.oci.tokens import Authenticator
from fluxtrail.remotes.oci.wire import Answer, Wire

T = TypeVar("T")

ATTEMPTS = 5
LIMIT_ATTEMPTS = 3
INDEX_DEPTH = 3
REFERRER_PAGES = 10
REFERRERS_LIMIT = 1_000
_ACCEPT = {"Accept": ", ".join((OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST))}
_NO_REFERRERS = frozenset({400, 404, 405, 406})
_NEXT = re.compile(r'<([^<>\s]{1,4096})>\s*;[^,<]*\brel="?next"?')


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryWaits:
    """How long to wait between the five attempts: doubling from `initial_seconds`, with jitter."""

    initial_seconds: float = 0.5
    longest_seconds: float = 10.0
    jitter_seconds: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """Bytes that are what their digest says."""

    body: bytes
    digest: str
    media_type: str


class OciRegistry:
    """Reads from one registry. Safe for concurrent callers; they share login, limits and connections.

    `reference` is always of this registry: its repository, and its digest, else its tag, else `latest`.
    Every method raises ConfigError (not admitted), AuthError (401, 403), NotFoundError (404), RateLimitedError,
    UpstreamError (after five attempts at a 5xx or a broken connection) and WireError (a digest that does not fit its
    bytes, a body over its bound, a document of another shape).

    Args:
        session: made by the caller, closed by the caller.
        realms: registry → host of its token service, beside those that are known.
        longest_wait_seconds: a rate limit that ends within it is waited for, a longer one raises at once.
        clock: POSIX seconds.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        endpoint: Endpoint,
        *,
        allow: AllowList,
        credentials: RegistryCredentials,
        realms: Mapping[str, str] | None = None,
        longest_wait_seconds: float = 5.0,
        retry_waits: RetryWaits | None = None,
        timeout_seconds: float = 60.0,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        may_log_in: bool = True,
    ) -> None:
        self.endpoint = endpoint
        self._allow, self._credentials = allow, credentials
        self._clock, self._sleep = clock, sleep
        self._longest_wait_seconds = longest_wait_seconds
        self._waits = retry_waits or RetryWaits()
        self._limited_until = 0.0
        self._wire = Wire(
            session,
            home=endpoint.origin,
            guard=self._guard,
            secrets=self._secrets,
            timeout_seconds=timeout_seconds,
        )
        self._authenticator = Authenticator(
            endpoint, self._wire, credentials, realms=realms or {}, clock=clock, may_log_in=may_log_in
        )

    async def read_manifest(self, reference: Reference) -> Content:
        """Return a manifest's or an index's bytes. A tag's digest is computed, and compared with what is claimed."""
        place = reference.digest or reference.tag or "latest"
        url = self._url(reference, "manifests", place)
        answer = await self._get(reference, url, headers=_ACCEPT, limit_bytes=MANIFEST_LIMIT_BYTES)
        claimed = answer.headers.get("docker-content-digest", "").lower()
        expected = reference.digest or (claimed if claimed.startswith("sha256:") else None)
        digest = check_digest(answer.body, expected, subject=str(reference))
        media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        return Content(body=answer.body, digest=digest, media_type=media_type)

    async def get_manifest(self, reference: Reference) -> Manifest:
        content = await self.read_manifest(reference)
        return parse_manifest(content.body, media_type=content.media_type)

    async def get_image(self, reference: Reference, *, platform: str | None = None) -> Manifest:
        """Return the image manifest: the reference's own, or of an index the one for `platform`, else its first.

        Raises:
            NotFoundError: the index has no image (status None).
        """
        for _ in range(INDEX_DEPTH):
            manifest = await self.get_manifest(reference)
            if not manifest.is_index:
                return manifest
            reference = child(reference, find_image(manifest, platform))
        raise WireError(f"an index within {INDEX_DEPTH} others", subject=str(reference))

    async def get_config(self, reference: Reference, manifest: Manifest) -> ImageConfig:
        """Return the configuration of an image manifest; an empty one where it has none."""
        if manifest.config is None:
            return parse_image_config(b"{}")
        body = await self.read_blob(reference, manifest.config.digest, limit_bytes=MANIFEST_LIMIT_BYTES)
        return parse_image_config(body)

    async def read_blob(self, reference: Reference, digest: str, *, limit_bytes: int) -> bytes:
        """Return a blob of the reference's repository. `digest` comes from a manifest: it is checked first."""
        digest = parse_digest(digest)
        answer = await self._get(reference, self._url(reference, "blobs", digest), limit_bytes=limit_bytes)
        check_digest(answer.body, digest, subject=f"{reference}: blob")
        return answer.body

    async def referrers(self, reference: Reference, *, artifact_type: str | None = None) -> list[Descriptor]:
        """Return what refers to a manifest (signatures, attestations, SBOMs); none is a fine answer.

        Asks the referrers API, and a registry that does not have it for the tag that stands in for it.
        """
        digest = parse_digest(reference.digest or "")
        url = self._url(reference, "referrers", digest)
        if artifact_type is not None:
            url += f"?artifactType={quote(artifact_type, safe='')}"
        try:
            found = await self._list_referrers(reference, url)
        except UpstreamError as exc:
            if exc.status not in _NO_REFERRERS:
                raise
            found = await self._find_by_tag(reference, digest)
        return [item for item in found if artifact_type in (None, item.artifact_type)]

    # -- inside ----------------------------------------------------------------------------------------------

    async def _list_referrers(self, reference: Reference, url: str) -> list[Descriptor]:
        found: list[Descriptor] = []
        for _ in range(REFERRER_PAGES):
            answer = await self._get(reference, url, headers={"Accept": OCI_INDEX}, limit_bytes=MANIFEST_LIMIT_BYTES)
            found += parse_manifest(answer.body, media_type=OCI_INDEX).manifests
            following = _NEXT.search(answer.headers.get("link", ""))
            if following is None or len(found) >= REFERRERS_LIMIT:
                break
            url = urljoin(url, following[1])
            if origin_of(url) != self.endpoint.origin:
                raise UpstreamError("the next page is on another host", retryable=False, subject=str(reference))
        return found[:REFERRERS_LIMIT]

    async def _find_by_tag(self, reference: Reference, digest: str) -> list[Descriptor]:
        tag = digest.replace(":", "-", 1)[:128]
        try:
            index = await self.get_manifest(
                Reference(registry=reference.registry, repository=reference.repository, tag=tag)
            )
        except NotFoundError:
            return []
        return list(index.manifests[:REFERRERS_LIMIT])

    def _url(self, reference: Reference, kind: str, place: str) -> str:
        if reference.api_host != self.endpoint.api_host:
            raise WireError(f"{str(reference)[:200]!r} is not of this registry", subject=self.endpoint.name)
        return f"{self.endpoint.base_url}/v2/{reference.repository}/{kind}/{place}"

    async def _get(
        self, reference: Reference, url: str, *, headers: Mapping[str, str] | None = None, limit_bytes: int
    ) -> Answer:
        """Get with everything: admission, attempts, limits, login."""
        place = reference.repository_url(insecure=self.endpoint.is_insecure)
        self._allow.check(place)
        waits = self._waits
        async for attempt in stamina.retry_context(
            on=self._find_wait,
            attempts=ATTEMPTS,
            timeout=None,
            wait_initial=waits.initial_seconds,
            wait_max=waits.longest_seconds,
            wait_jitter=waits.jitter_seconds,
        ):
            with attempt:
                await self._allow.check_addresses(msgspec.structs.replace(place, host=self.endpoint.host))
                return await self._patiently(lambda: self._logged_in(reference, url, headers, limit_bytes))
        raise AssertionError("unreachable")

    async def _guard(self, place: RepositoryUrl) -> None:
        """Admit a host that an answer named: any that is not inside, and of those inside what a pattern names."""
        if is_internal_host(place.host):
            self._allow.check(place)
        await self._allow.check_addresses(place)

    def _find_wait(self, exc: Exception) -> bool | float:
        """Whether to try again: after our own wait, or after the registry's, if that ends soon."""
        if not isinstance(exc, UpstreamError) or not exc.retryable or isinstance(exc, RateLimitedError):
            return False
        wait = exc.retry_after_seconds
        if wait is None:
            return True
        return wait if wait <= self._longest_wait_seconds else False

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Run `call`, waiting for rate limits that end soon; a longer one keeps everybody from asking."""
        for attempt in range(1, LIMIT_ATTEMPTS + 1):
            try:
                self._check_limit()
                return await call()
            except RateLimitedError as exc:
                wait = exc.retry_after_seconds or 0.0
                self._limited_until = max(self._limited_until, self._clock() + wait)
                if wait > self._longest_wait_seconds or attempt == LIMIT_ATTEMPTS:
                    raise
                await self._sleep(wait)
        raise AssertionError("unreachable")

    def _check_limit(self) -> None:
        wait = self._limited_until - self._clock()
        if wait > 0:
            raise RateLimitedError(
                f"the registry asked to be left alone for another {wait:.0f} s",
                retry_after_seconds=wait,
                subject=self.endpoint.name,
            )

    async def _logged_in(
        self, reference: Reference, url: str, headers: Mapping[str, str] | None, limit_bytes: int
    ) -> Answer:
        """Ask with what is held; after a 401 of the registry itself log in and ask once more."""
        shown = self._authenticator.find(reference.repository)
        answer = await self._wire.exchange(url, headers=headers, authorization=shown, limit_bytes=limit_bytes)
        if answer.status == 401 and answer.origin == self.endpoint.origin:
            shown = await self._authenticator.meet(reference.repository, answer.challenges, refused=shown)
            answer = await self._wire.exchange(url, headers=headers, authorization=shown, limit_bytes=limit_bytes)
        if 200 <= answer.status < 300:
            return answer
        error = translate(
            answer.status,
            answer.headers,
            answer.body,
            subject=str(reference),
            secrets=self._secrets(),
            now=self._clock(),
        )
        if isinstance(error, AuthError) and answer.origin != self.endpoint.origin:
            # A signed URL that expired on the way: the registry signs another.
            raise UpstreamError(
                f"the registry's storage refuses: {error.message}", status=error.status, subject=error.subject
            )
        raise error

    def _secrets(self) -> tuple[str, ...]:
        return (*self._credentials.secrets, *self._authenticator.secrets)


def child(reference: Reference, descriptor: Descriptor | None) -> Reference:
    """Return the reference of an index's member.

    Raises:
        NotFoundError: there is none. WireError: its digest is none.
    """
    if descriptor is None:
        raise NotFoundError("the index holds no image", subject=str(reference))
    digest = parse_digest(descriptor.digest)
    return Reference(registry=reference.registry, repository=reference.repository, digest=digest)


def check_digest(body: bytes, expected: str | None, *, subject: str) -> str:
    """Return the digest of `body`, which is `expected` where that is given.

    Raises:
        WireError: it is another one; the message names both.
    """
    algorithm = (expected or "sha256:").partition(":")[0]
    digest = f"{algorithm}:{hashlib.new(algorithm, body).hexdigest()}"
    if expected is not None and digest != expected:
        raise WireError(f"its bytes have the digest {digest}, not {expected[:160]}", subject=subject)
    return digest
