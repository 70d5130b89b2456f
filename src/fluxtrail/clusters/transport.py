"""The HTTP session and byte streams: the one place where `clusters` touches aiohttp."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from fluxtrail.clusters.answers import OversizedError, SilenceError
from fluxtrail.model.errors import UpstreamError
from fluxtrail.model.redaction import redact

CONNECT_SECONDS = 10.0
_READ_BUFFER_BYTES = 256 * 1024
_CONNECTION_LIMIT = 512
_USER_AGENT = "fluxtrail"


def build_session() -> aiohttp.ClientSession:
    """Return a session without cookies, environment or total timeout: deadlines belong to each call.

    Bodies come uncompressed: unpacking a big list costs more CPU than decoding it.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=_CONNECTION_LIMIT, ttl_dns_cache=30),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": _USER_AGENT, "Accept": "application/json", "Accept-Encoding": "identity"},
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
        read_bufsize=_READ_BUFFER_BYTES,
        trust_env=False,
    )


@asynccontextmanager
async def translated(subject: str) -> AsyncIterator[None]:
    """Turn transport failures inside the block into UpstreamError."""
    try:
        yield
    except aiohttp.ClientConnectorCertificateError as error:
        message = (
            f"the server's certificate was not accepted: {redact(str(error.certificate_error))}; check "
            "certificate-authority(-data) and tls-server-name"
        )
        raise UpstreamError(message, subject=subject) from error
    except (aiohttp.ClientError, OSError) as error:
        raise UpstreamError(f"no answer: {redact(str(error)) or type(error).__name__}", subject=subject) from error


async def read_bounded(response: aiohttp.ClientResponse, limit_bytes: int, *, subject: str) -> bytes:
    """Return the whole body.

    Raises:
        OversizedError: it is longer than `limit_bytes`.
    """
    parts: list[bytes] = []
    size_bytes = 0
    while part := await response.content.readany():
        size_bytes += len(part)
        if size_bytes > limit_bytes:
            response.close()
            raise OversizedError(f"the body is longer than {limit_bytes} bytes", subject=subject)
        parts.append(part)
    return b"".join(parts)


class ByteStream:
    """The body of an answer that goes on: a watch."""

    def __init__(self, response: aiohttp.ClientResponse, *, subject: str) -> None:
        self._response = response
        self._subject = subject
        self._deadline: asyncio.Timeout | None = None
        self._is_given_up = False
        self.has_waited = False
        """Whether the last read found nothing and waited: what it then got is fresh, nothing older is queued."""

    async def read(self, *, idle_seconds: float) -> bytes:
        """Return what has arrived, waiting for the next byte; b"" at the end of the stream.

        Raises:
            SilenceError: nothing came within `idle_seconds`, or it was given up meanwhile.
            UpstreamError: the connection broke.
        """
        async with translated(self._subject):
            content = self._response.content
            chunk = content.read_nowait()
            self.has_waited = not chunk
            if chunk:
                # Taking what is there does not let others run; a busy stream must not starve them.
                await asyncio.sleep(0)
                return chunk
            try:
                async with asyncio.timeout(0 if self._is_given_up else idle_seconds) as self._deadline:
                    return await content.readany()
            except TimeoutError as error:
                message = f"nothing arrived for {idle_seconds:g} s, not even a bookmark"
                if self._is_given_up:
                    message = "it does not bring what the server has"
                raise SilenceError(message, subject=self._subject) from error
            finally:
                self._deadline = None

    def give_up(self) -> None:
        """Wait no longer: the next read that finds nothing, or the present one, ends in SilenceError."""
        self._is_given_up = True
        if self._deadline is not None and not self._deadline.expired():
            self._deadline.reschedule(asyncio.get_running_loop().time())
