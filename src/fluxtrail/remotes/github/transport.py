"""One request to GitHub's API: limits asked first, cache, bounded body, no strange host, our errors.

gidgethub builds the request and reads the answer (URLs, headers, JSON, next pages); what is between is here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp
import msgspec
from gidgethub import abc as gidgethub_abc

from fluxtrail.model.errors import AuthError, ConflictError, NotFoundError, RateLimitedError, UpstreamError, WireError
from fluxtrail.model.redaction import redact, redact_url
from fluxtrail.remotes.allowances import AllowanceBook
from fluxtrail.remotes.cache import AnswerCache, validators
from fluxtrail.remotes.github.limits import LimitBook, refusal

BODY_LIMIT_BYTES = 16 * 1024 * 1024
REQUEST_TIMEOUT_SECONDS = 30.0
CONCURRENT_REQUESTS = 8
REDIRECT_LIMIT = 3
ERROR_LIMIT_BYTES = 64 * 1024
_REDIRECTS = (301, 302, 307, 308)

Answer = tuple[int, Mapping[str, str], bytes]

WHOSE: ContextVar[str] = ContextVar("whose")
"""Whose allowance the call under way uses up: gidgethub's methods hand nothing through."""


class Transport(gidgethub_abc.GitHubAPI):
    """gidgethub's client over the given aiohttp session.

    Args:
        longest_wait_seconds: a rate limit that ends sooner is waited for; a longer one raises at once.
        secrets: what redaction must clear from answers.
        allowances: told what the answers say is left.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        requester: str,
        base_url: str,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        longest_wait_seconds: float,
        secrets: Callable[[], tuple[str, ...]],
        allowances: AllowanceBook | None = None,
    ) -> None:
        super().__init__(requester, base_url=base_url)
        self._session, self._pause, self._secrets = session, sleep, secrets
        self._origin = _origin(base_url)
        self._longest_wait_seconds = longest_wait_seconds
        self._limits = LimitBook(clock)
        self._allowances = allowances
        self.cache = AnswerCache(clock)
        self._slots = asyncio.Semaphore(CONCURRENT_REQUESTS)

    async def sleep(self, seconds: float) -> None:
        await self._pause(seconds)

    async def _request(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        return await self.exchange(method, url, headers, body)

    async def exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        limit_bytes: int = BODY_LIMIT_BYTES,
    ) -> Answer:
        """Return the answer of a success; every failure is one of our errors.

        Raises:
            RateLimitedError: see `limits.py`. AuthError: 401, 403. NotFoundError: 404, 410, and 422 for an unknown
            commit. ConflictError: 409, 422. UpstreamError: 5xx and the network (retryable), odd redirects (not).
            WireError: the body is larger than `limit_bytes`.
        """
        credential = headers.get("authorization", "")
        key = (url, headers.get("accept", ""), credential)
        known = self.cache.find(key) if method == "GET" else None
        if known is not None:
            if self.cache.is_fresh(known) and headers.get("cache-control") != "no-cache":
                return 200, known.headers, known.body
            headers = {**headers, **validators(known)}
        await self._await_limit(credential)
        async with self._slots:
            status, found, content = await self._follow(method, url, headers, body, limit_bytes)
        if status == 304 and known is not None:
            self._learn(credential, 200, found, "")
            self.cache.renew(known, found)
            return 200, known.headers, known.body
        message = _message(content) if status >= 400 else ""
        self._learn(credential, status, found, message)
        if status >= 300:
            raise self._translate(status, url, message)
        if method == "GET" and status == 200:
            self.cache.store(key, found, content)
        return status, found, content

    def _learn(self, credential: str, status: int, headers: Mapping[str, str], message: str) -> None:
        book, whose = self._allowances, WHOSE.get("")
        if book is not None and whose:
            book.learn(whose, headers)
        try:
            self._limits.learn(credential, status, headers, message)
        except RateLimitedError:
            if book is not None and whose:
                book.note_limited(whose)
            raise

    async def _await_limit(self, credential: str) -> None:
        wait = self._limits.wait_seconds(credential)
        if wait > self._longest_wait_seconds:
            raise refusal(wait)
        if wait > 0:
            await self._pause(wait)

    async def _follow(self, method: str, url: str, headers: Mapping[str, str], body: bytes, limit_bytes: int) -> Answer:
        """Follow redirects (a renamed repository) as long as they stay on the API's own host, with our token."""
        for _ in range(REDIRECT_LIMIT + 1):
            if _origin(url) != self._origin:
                raise UpstreamError("GitHub's answer points to another host", retryable=False, subject=redact_url(url))
            status, found, content = await self._send(method, url, headers, body, limit_bytes)
            if status not in _REDIRECTS or "location" not in found:
                return status, found, content
            url = urljoin(url, found["location"])
        raise UpstreamError("GitHub redirects in a circle", retryable=False, subject=redact_url(url))

    async def _send(self, method: str, url: str, headers: Mapping[str, str], body: bytes, limit_bytes: int) -> Answer:
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_SECONDS)
        try:
            async with self._session.request(
                method, url, headers=headers, data=body, allow_redirects=False, timeout=timeout
            ) as response:
                content = await self._read(response, limit_bytes)
                return response.status, {name.lower(): text for name, text in response.headers.items()}, content
        except aiohttp.ClientConnectorCertificateError as exc:
            raise UpstreamError("its certificate is not trusted", retryable=False, subject=redact_url(url)) from exc
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            said = redact(str(exc), secrets=self._secrets()) or type(exc).__name__
            raise UpstreamError(f"GitHub does not answer: {said}", subject=redact_url(url)) from exc
        except ValueError as exc:
            raise UpstreamError("not a URL that can be asked", retryable=False, subject=redact_url(url)) from exc

    async def _read(self, response: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
        content = bytearray()
        async for chunk in response.content.iter_chunked(64 * 1024):
            content += chunk
            if len(content) > limit_bytes:
                raise WireError(
                    f"the answer is larger than the limit of {limit_bytes} bytes", subject=str(response.url.path)
                )
        return bytes(content)

    def _translate(self, status: int, url: str, message: str) -> UpstreamError:
        said = redact(message, secrets=self._secrets(), limit_bytes=300) or "no message"
        subject = redact_url(url)
        if status in (401, 403):
            what = "refused, check `credentials` for github: the token is missing, wrong, expired or too weak"
            return AuthError(f"{what}: {said}", status=status, subject=subject)
        if status in (404, 410, 451) or (status == 422 and "no commit found" in message.lower()):
            what = "not found: it does not exist, or is private and hidden from these credentials"
            return NotFoundError(f"{what}: {said}", status=status, subject=subject)
        if status in (409, 422):
            return ConflictError(f"GitHub cannot do this now: {said}", status=status, subject=subject)
        is_retryable = status >= 500 or status == 408
        return UpstreamError(
            f"GitHub answered {status}: {said}", status=status, retryable=is_retryable, subject=subject
        )


class _ErrorBody(msgspec.Struct):
    message: Any = None
    errors: Any = None


def _message(content: bytes) -> str:
    """Return what the answer says: of a refused body ("Validation Failed") what is wrong with it, too."""
    try:
        said = msgspec.json.decode(content[:ERROR_LIMIT_BYTES], type=_ErrorBody)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return content[:300].decode("utf-8", "replace")
    errors = said.errors if isinstance(said.errors, list) else [said.errors]
    texts = [item.get("message") or item.get("code") if isinstance(item, dict) else item for item in errors[:5]]
    details = [text for text in texts if isinstance(text, str) and text]
    return ": ".join([text for text in (said.message,) if isinstance(text, str)] + details)


def _origin(url: str) -> tuple[str, str, int | None]:
    try:
        parts = urlsplit(url)
        return parts.scheme, (parts.hostname or "").lower(), parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return "", "", None
