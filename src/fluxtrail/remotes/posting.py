"""One POST to an address that the operator wrote: once, without redirects, with a bounded answer.

Such an address may be a secret (a chat's incoming webhook is one), so it is in no error and no log: the sender's `name`
stands for it. It goes where the settings say, to loopback too, and never on to where an answer points.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

import aiohttp
from yarl import URL

from fluxtrail.model.errors import AuthError, ConfigError, NotFoundError, RateLimitedError, UpstreamError
from fluxtrail.model.redaction import redact
from fluxtrail.remotes.waits import find_wait_seconds

TIMEOUT_SECONDS = 15.0
ANSWER_LIMIT_BYTES = 64 * 1024
"""Of an answer that much is read; the rest is left with the other side."""
SAID_LIMIT_BYTES = 300
SHORTEST_SECRET = 6
"""Characters; what is shorter is in many a word."""
_TRY_AGAIN = frozenset({408, 425})
_PLAIN = {"User-Agent": "fluxtrail", "Accept-Encoding": "identity"}
"""A packed answer may be a thousand times as large as it looks."""

SessionOf = Callable[[str], aiohttp.ClientSession]
"""An address → the session for it: without cookies, through the right proxy."""


@dataclass(frozen=True, slots=True)
class Posted:
    """An answer, whatever its status."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


class Sender:
    """Posts. Safe for concurrent callers.

    Args:
        name: stands for the address in errors: `route audit`.
        clock: POSIX seconds.
    """

    def __init__(
        self,
        session_of: SessionOf,
        *,
        name: str,
        timeout_seconds: float = TIMEOUT_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self._session_of = session_of
        self._timeout_seconds = timeout_seconds
        self._clock = clock

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Posted:
        """Post once and return the answer, a refusal too.

        Raises:
            UpstreamError: there was none; it may have been taken.
            ConfigError: the address or a header cannot be sent; nothing was.
        """
        timeout = aiohttp.ClientTimeout(total=self._timeout_seconds)
        try:
            async with self._session_of(url).post(
                _as_written(url), data=body, headers={**_PLAIN, **headers}, allow_redirects=False, timeout=timeout
            ) as response:
                content = await _beginning(response)
                return Posted(response.status, {k.lower(): text for k, text in response.headers.items()}, content)
        except aiohttp.InvalidURL as exc:
            raise ConfigError("its address is no URL; correct it", subject=self.name) from exc
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            raise UpstreamError(self._explain(exc), subject=self.name) from exc
        except ValueError as exc:
            raise ConfigError("its address or a header cannot be sent; correct it", subject=self.name) from exc

    def refusal(self, answer: Posted, url: str, *, secrets: tuple[str, ...] = ()) -> UpstreamError:
        """Return the error of an answer that is none of 2xx.

        Args:
            secrets: what the answer may quote of what was sent, besides the address.
        """
        status = answer.status
        said = self.said(answer.body, url, secrets=secrets) or "no message"
        wait = find_wait_seconds(status, answer.headers, now=self._clock()) if status in (429, 503) else None
        if status == 429:
            problem = f"asks to be left alone for {wait or 0:.0f} s: {said}"
            return RateLimitedError(problem, status=status, retry_after_seconds=wait, subject=self.name)
        if 300 <= status < 400:
            problem = f"redirects ({status}), which is not followed; write the address that it ends at"
            return UpstreamError(problem, status=status, retryable=False, subject=self.name)
        if status in (401, 403):
            problem = f"refused ({status}), check its address, token or secret: {said}"
            return AuthError(problem, status=status, subject=self.name)
        if status in (404, 410):
            return NotFoundError(
                f"nothing is there ({status}), check its address: {said}", status=status, subject=self.name
            )
        is_retryable = status >= 500 or status in _TRY_AGAIN
        return UpstreamError(
            f"answered {status}: {said}",
            status=status,
            retryable=is_retryable,
            retry_after_seconds=wait,
            subject=self.name,
        )

    def said(self, body: bytes, url: str, *, secrets: tuple[str, ...] = ()) -> str:
        """Return the beginning of what an answer says, without what is secret."""
        known = sorted({*secrets, *_parts(url)}, key=len, reverse=True)
        text = " ".join(body[: 4 * SAID_LIMIT_BYTES].decode("utf-8", "replace").split())
        return redact(text, secrets=tuple(known), limit_bytes=SAID_LIMIT_BYTES)

    def _explain(self, exc: BaseException) -> str:
        """Return what is wrong in words of ours: aiohttp's own name the address."""
        match exc:
            case aiohttp.ClientConnectorCertificateError():
                said = getattr(exc.certificate_error, "verify_message", "") or "it is not valid"
                return f"its certificate is not trusted ({said}); check it, or give us its authority (SSL_CERT_FILE)"
            case aiohttp.ClientSSLError():
                return "no secured connection; check that its address is https:// and not a plain port"
            case aiohttp.ClientConnectorDNSError():
                return "its host's name is not known; check its address and DNS"
            case TimeoutError():
                return f"no answer within {self._timeout_seconds:.0f} s"
            case aiohttp.ClientConnectorError():
                return f"cannot be reached: {_words_of(exc.os_error)}"
            case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
                return "cannot be reached through the proxy"
            case aiohttp.ServerDisconnectedError():
                return "closed the connection without an answer"
            case _:
                return f"no answer: {type(exc).__name__}"


def _as_written(url: str) -> URL:
    """Return the URL with each `%2F` where it was: some are signed as a whole. Raises ValueError."""
    return URL(url, encoded=True) if url.isascii() else URL(url)


def _words_of(error: OSError) -> str:
    """Return the system's words for an error; asyncio's have the address in them."""
    return os.strerror(error.errno).lower() if error.errno else type(error).__name__


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """Return what comes of a body: its status has told what counts already, so one that breaks off is no error."""
    content = bytearray()
    try:
        async for chunk in response.content.iter_chunked(ANSWER_LIMIT_BYTES):
            content += chunk
            if len(content) >= ANSWER_LIMIT_BYTES:
                break
    except (aiohttp.ClientError, TimeoutError, OSError):
        pass
    return bytes(content[:ANSWER_LIMIT_BYTES])


def _parts(url: str) -> Iterator[str]:
    """Yield what of an address may be secret: its login, its path and its query, as a whole and in parts."""
    yield url
    try:
        parts = urlsplit(url)
    except ValueError:
        return
    texts = [parts.password or "", parts.path, parts.query, *(value for _, value in parse_qsl(parts.query))]
    texts += [piece for piece in parts.path.split("/") if len(piece) >= 2 * SHORTEST_SECRET]
    for text in texts:
        if len(text) >= SHORTEST_SECRET:
            yield text
            yield unquote(text)
