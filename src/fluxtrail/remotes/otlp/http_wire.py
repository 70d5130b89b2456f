"""OTLP over HTTP: one POST of a protobuf message, its answer read whether it is 200 or not."""

from __future__ import annotations

import asyncio
import gzip
import io
from collections.abc import Mapping
from datetime import UTC, datetime

import aiohttp
import msgspec
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError

from fluxtrail.model.errors import AuthError, NotFoundError, RateLimitedError, UpstreamError
from fluxtrail.remotes.otlp.answers import (
    ANSWER_LIMIT_BYTES,
    UNTRUSTED,
    Answer,
    TooLargeError,
    empty_response,
    parse_retry_after,
    parse_status,
    read_answer,
    redactor,
)
from fluxtrail.remotes.otlp.endpoints import GRPC_PORT, HTTP_PORT
from fluxtrail.remotes.otlp.options import SignalOptions
from fluxtrail.remotes.otlp.tls import TlsFiles

PROTOBUF = "application/x-protobuf"
_RETRYABLE = (429, 502, 503, 504)
_COLLECTORS_TOO_LARGE = "request body too large"
"""The OpenTelemetry collector answers 400 where OTLP asks for 413 (receiver/otlpreceiver, v0.159)."""
_COMPRESSED_ASIDE_BYTES = 64 * 1024


class HttpWire:
    """Sends one signal. The session is shared and not closed here."""

    def __init__(self, options: SignalOptions, session: aiohttp.ClientSession) -> None:
        self._options = options
        self._session = session
        self._redacted = redactor(options.headers)
        self._tls = TlsFiles(options.tls) if options.endpoint.is_secure else None
        if self._tls:
            self._tls.load()  # a wrong file is said at start

    async def send(self, payload: bytes) -> Answer:
        """Post `payload` once. See `sender.py` for the errors."""
        status, headers, content = await self._exchange(payload)
        if 200 <= status < 300:
            return self._read(headers.get("content-type", ""), content)
        raise self._translate(status, headers, content)

    async def close(self) -> None:
        return None

    async def _exchange(self, payload: bytes) -> tuple[int, Mapping[str, str], bytes]:
        options = self._options
        ours = {"content-type": PROTOBUF}
        if options.is_compressed:
            ours["content-encoding"] = "gzip"
            payload = await _compress(payload)
        try:
            async with self._session.post(
                options.endpoint.address,
                data=io.BytesIO(payload),  # as bytes, a large one would be written in one go
                headers=dict(options.headers) | ours,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=options.timeout_seconds),
                ssl=self._tls.context if self._tls else True,
                proxy=options.proxy,
            ) as response:
                content = await _read_bounded(response)
                return response.status, {name.lower(): text for name, text in response.headers.items()}, content
        except TimeoutError as exc:
            raise self._failure(f"no answer within {options.timeout_seconds:g} s") from exc
        except aiohttp.ClientResponseError as exc:
            what = f"it does not speak HTTP; gRPC's port is {GRPC_PORT} usually, HTTP's is {HTTP_PORT}"
            raise self._failure(what) from exc
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            said = self._said(exc)
            is_tls = isinstance(exc, aiohttp.ClientSSLError) or "[SSL" in said
            what = UNTRUSTED if is_tls else "no connection, or it broke"
            raise self._failure(f"{what}: {said}") from exc

    def _said(self, exc: Exception) -> str:
        """Return the cause in words; aiohttp's own text names Python objects."""
        cause: BaseException = exc
        if isinstance(exc, aiohttp.ClientConnectorCertificateError):
            cause = exc.certificate_error
        elif isinstance(exc, aiohttp.ClientConnectorError):
            cause = exc.os_error
        return self._redacted(str(cause)) or type(cause).__name__

    def _failure(self, message: str) -> UpstreamError:
        return UpstreamError(message, retryable=True, subject=self._options.endpoint.shown)

    def _read(self, content_type: str, content: bytes) -> Answer:
        """Read a 200; some receivers answer JSON whatever they were asked in.

        An answer that is none of OTLP's comes from something else than a collector, whose 200 means nothing.
        """
        response = empty_response(self._options.signal)
        kind = content_type.partition(";")[0].strip().lower()
        try:
            if kind == "application/json":
                ParseDict(msgspec.json.decode(content), response, ignore_unknown_fields=True, max_recursion_depth=20)
            elif content and kind in (PROTOBUF, ""):
                response.ParseFromString(content)
            elif content:
                raise DecodeError(kind)
        except (DecodeError, ParseError, msgspec.DecodeError, RecursionError, TypeError, ValueError) as exc:
            what = "the answer is not OTLP's; check that the endpoint is a collector's and its path is right"
            raise self._failure(what) from exc
        return read_answer(response, self._redacted)

    def _translate(self, status: int, headers: Mapping[str, str], content: bytes) -> UpstreamError:
        said = self._message(headers.get("content-type", ""), content)
        shown = self._options.endpoint.shown
        if status == 413 or (status == 400 and _COLLECTORS_TOO_LARGE in said):
            return TooLargeError(f"the request is too large for it: {said}", subject=shown)
        if status in (401, 403):
            remedy = "refused; check OTEL_EXPORTER_OTLP_HEADERS and the client certificate"
            return AuthError(f"{remedy}: {said}", status=status, subject=shown)
        if status == 404:
            remedy = f"no such path, or it takes no {self._options.signal}; the usual one is /v1/{self._options.signal}"
            return NotFoundError(f"{remedy}: {said}", status=status, subject=shown)
        if 300 <= status < 400:
            what = "it redirects, which is not followed; set the endpoint to where it points"
            return UpstreamError(what, status=status, retryable=False, subject=shown)
        kind = RateLimitedError if status == 429 else UpstreamError
        is_retryable = status in _RETRYABLE
        after = parse_retry_after(headers.get("retry-after"), now=datetime.now(UTC)) if is_retryable else None
        return kind(
            f"answered {status}: {said}",
            status=status,
            retryable=is_retryable,
            retry_after_seconds=after,
            subject=shown,
        )

    def _message(self, content_type: str, content: bytes) -> str:
        """Return what the body's google.rpc.Status says, or the body itself where it is text."""
        kind = content_type.partition(";")[0].strip().lower()
        status = parse_status(content) if kind == PROTOBUF else None
        text = status.message if status else content[:4096].decode("utf-8", "replace")
        return self._redacted(text) or "no message"


async def _compress(payload: bytes) -> bytes:
    if len(payload) < _COMPRESSED_ASIDE_BYTES:
        return gzip.compress(payload, mtime=0)
    return await asyncio.to_thread(gzip.compress, payload, mtime=0)


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes:
    """Return the body's beginning, at most the limit: what counts stands there, the connection is dropped beyond."""
    content = bytearray()
    async for chunk in response.content.iter_chunked(64 * 1024):
        content += chunk
        if len(content) > ANSWER_LIMIT_BYTES:
            response.close()
            break
    return bytes(content[:ANSWER_LIMIT_BYTES])
