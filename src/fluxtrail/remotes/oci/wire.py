"""One exchange with a registry: admitted hosts only, redirects without our credential, bounded bodies, our errors."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp
from yarl import URL

from fluxtrail.model.errors import UpstreamError, WireError
from fluxtrail.model.redaction import redact, redact_url
from fluxtrail.model.repository import RepositoryUrl
from fluxtrail.remotes.oci.endpoint import Origin, origin_of

REQUEST_TIMEOUT_SECONDS = 60.0
CONNECT_TIMEOUT_SECONDS = 10.0
REDIRECT_LIMIT = 5
CONCURRENT_REQUESTS = 8
ERROR_LIMIT_BYTES = 64 * 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PLAIN = re.compile(r"[\x21-\x7e]{1,8192}")

Guard = Callable[[RepositoryUrl], Awaitable[None]]
"""Raises ConfigError for a host whose addresses may not be contacted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    """Names in lower case; of several of one name the last."""
    challenges: tuple[str, ...]
    body: bytes
    origin: Origin
    """Who answered in the end, after redirects."""


class Wire:
    """Sends requests for one registry. Safe for concurrent callers; a few run at a time.

    Args:
        session: made by the caller, closed by the caller.
        home: scheme, host and port that the allow-list admitted; every other one is checked by `guard`.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        home: Origin,
        guard: Guard,
        secrets: Callable[[], tuple[str, ...]],
        timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
        requester: str = "fluxtrail",
    ) -> None:
        self._session, self._home, self._guard, self._secrets = session, home, guard, secrets
        self._timeout_seconds = timeout_seconds
        self._requester = requester
        self._slots = asyncio.Semaphore(CONCURRENT_REQUESTS)

    async def exchange(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        authorization: str | None = None,
        form: Mapping[str, str] | None = None,
        limit_bytes: int,
    ) -> Answer:
        """Get `url` (or post `form` to it) and return the last answer of its redirects, whatever its status.

        `authorization` goes to the scheme, host and port of `url` until a redirect leaves them. A form stays there.

        Raises:
            UpstreamError: no answer (retryable), or a redirect that leads nowhere (not). WireError: the body of a
            success is larger than `limit_bytes`. ConfigError: a redirect leads to a host that may not be contacted.
        """
        first = origin_of(url)
        async with self._slots:
            try:
                async with asyncio.timeout(self._timeout_seconds):
                    for _ in range(REDIRECT_LIMIT + 1):
                        await self._check(url)
                        if origin_of(url) != first:
                            authorization = None  # for good: who sent us away may send us back to where it likes
                        sent = dict(headers or {}) | ({"Authorization": authorization} if authorization else {})
                        answer, location = await self._send(url, sent, form, limit_bytes)
                        if location is None or form is not None:
                            return answer
                        url = self._redirected(url, location)
            except TimeoutError as exc:
                waited = f"{self._timeout_seconds:g} s"
                raise UpstreamError(f"the registry gave no whole answer in {waited}", subject=redact_url(url)) from exc
        raise UpstreamError("the registry redirects in a circle", retryable=False, subject=redact_url(url))

    async def _check(self, url: str) -> None:
        """Rule 5: an address that came in an answer must not lead inside. The registry itself was admitted before."""
        scheme, host, port = origin = origin_of(url)
        if origin == self._home:
            return
        if not host or scheme not in ("https", "http") or "@" in urlsplit(url).netloc:
            raise UpstreamError("the registry points to no URL that can be asked", retryable=False, subject="redirect")
        if scheme == "http" and self._home[0] != "http":
            raise UpstreamError("the registry points away from HTTPS", retryable=False, subject=redact_url(url))
        shown = f"[{host}]" if ":" in host else host
        place = RepositoryUrl(
            scheme=scheme,
            host=host,
            port=None if port in (443, 80) else port,
            path=urlsplit(url).path.strip("/"),
            canonical=f"{shown}{urlsplit(url).path}",
            fetch_url=redact_url(url),
        )
        await self._guard(place)

    def _redirected(self, url: str, location: str) -> str:
        try:
            target = urljoin(url, location)
        except ValueError:
            target = ""
        if not _PLAIN.fullmatch(target):
            raise UpstreamError(
                "the registry points to no URL that can be asked", retryable=False, subject=redact_url(url)
            )
        return target

    async def _send(
        self, url: str, headers: dict[str, str], form: Mapping[str, str] | None, limit_bytes: int
    ) -> tuple[Answer, str | None]:
        # Signed URLs are sent as they came; bytes are hashed as they come, so nothing may decode them on the way.
        headers |= {"User-Agent": self._requester, "Accept-Encoding": "identity"}
        options: dict[str, Any] = {"allow_redirects": False, "auto_decompress": False}
        options["timeout"] = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_SECONDS)
        method = "GET" if form is None else "POST"
        try:
            async with self._session.request(
                method, URL(url, encoded=True), headers=headers, data=form, **options
            ) as response:
                found = {name.lower(): text for name, text in response.headers.items()}
                location = found.get("location") if response.status in _REDIRECTS else None
                body = b"" if location is not None else await self._read(response, limit_bytes)
                answer = Answer(
                    status=response.status,
                    headers=found,
                    challenges=tuple(response.headers.getall("WWW-Authenticate", [])),
                    body=body,
                    origin=origin_of(url),
                )
                return answer, location
        except aiohttp.ClientConnectorCertificateError as exc:
            raise UpstreamError("its certificate is not trusted", retryable=False, subject=redact_url(url)) from exc
        except aiohttp.InvalidURL as exc:
            raise UpstreamError("not a URL that can be asked", retryable=False, subject=redact_url(url)) from exc
        except (aiohttp.ClientError, aiohttp.ServerTimeoutError, OSError) as exc:
            said = redact(str(exc), secrets=self._secrets(), limit_bytes=300) or type(exc).__name__
            raise UpstreamError(f"the registry does not answer: {said}", subject=redact_url(url)) from exc
        except ValueError as exc:
            raise UpstreamError("not a URL that can be asked", retryable=False, subject=redact_url(url)) from exc

    async def _read(self, response: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
        is_success = response.status < 300
        limit = limit_bytes if is_success else ERROR_LIMIT_BYTES
        if is_success and (response.content_length or 0) > limit:
            raise _too_large(response, limit)
        content = bytearray()
        async for chunk in response.content.iter_chunked(64 * 1024):
            content += chunk
            if len(content) > limit:
                if is_success:
                    raise _too_large(response, limit)
                return bytes(content[:limit])
        return bytes(content)


def _too_large(response: aiohttp.ClientResponse, limit: int) -> WireError:
    return WireError(f"the answer is larger than the limit of {limit} bytes", subject=str(response.url.path))
