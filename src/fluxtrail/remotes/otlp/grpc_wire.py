"""OTLP over gRPC: one unary call, without gRPC's own retries. Imported only where gRPC is the protocol: it is heavy."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from fluxtrail.model.errors import AuthError, NotFoundError, RateLimitedError, UpstreamError
from fluxtrail.remotes.otlp.answers import (
    ANSWER_LIMIT_BYTES,
    UNTRUSTED,
    Answer,
    TooLargeError,
    empty_response,
    find_retry_delay,
    parse_status,
    read_answer,
    redactor,
)
from fluxtrail.remotes.otlp.options import SignalOptions
from fluxtrail.remotes.otlp.tls import Pems, TlsFiles, system_roots
from fluxtrail.remotes.otlp.variables import Signal

_METHODS = {
    Signal.TRACES: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    Signal.LOGS: "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    Signal.METRICS: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
}
_CHANNEL_OPTIONS = (
    ("grpc.enable_retries", 0),
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.max_receive_message_length", ANSWER_LIMIT_BYTES),
    ("grpc.max_send_message_length", -1),
    # After an outage gRPC itself would wait up to two minutes before it tries to connect again.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    ("grpc.keepalive_time_ms", 60_000),
)
_RETRYABLE = frozenset(
    (
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    )
)
_SPARE_SECONDS = 2.0


class GrpcWire:
    """Sends one signal over a channel of its own, which is made anew when a certificate changes."""

    def __init__(self, options: SignalOptions) -> None:
        self._options = options
        self._redacted = redactor(options.headers)
        self._tls = TlsFiles(options.tls) if options.endpoint.is_secure else None
        if self._tls:
            self._tls.load()  # a wrong file is said at start
        self._pems: Pems | None = None
        self._channel: grpc.aio.Channel | None = None

    async def send(self, payload: bytes) -> Answer:
        """Call once with `payload`. See `sender.py` for the errors."""
        content = await self._call(payload)
        response = empty_response(self._options.signal)
        try:
            response.ParseFromString(content)
        except DecodeError as exc:
            raise self._failure("the answer is not OTLP's; check that the endpoint is a collector's") from exc
        return read_answer(response, self._redacted)

    async def close(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    async def _call(self, payload: bytes) -> bytes:
        options = self._options
        channel = await self._open()
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_METHODS[options.signal])
        try:
            # The second deadline is for whatever gRPC does outside its own.
            async with asyncio.timeout(options.timeout_seconds + _SPARE_SECONDS):
                return await method(
                    payload,
                    timeout=options.timeout_seconds,
                    metadata=options.headers,
                    compression=grpc.Compression.Gzip if options.is_compressed else grpc.Compression.NoCompression,
                )
        except grpc.aio.AioRpcError as exc:
            raise self._translate(exc) from exc
        except TimeoutError as exc:
            raise self._failure(f"no answer within {options.timeout_seconds:g} s") from exc
        except (grpc.RpcError, grpc.aio.BaseError, OSError, TypeError, ValueError) as exc:
            raise self._failure(f"the call failed: {self._redacted(str(exc))}") from exc

    async def _open(self) -> grpc.aio.Channel:
        pems = self._tls.load() if self._tls else None
        if self._channel is None or pems is not self._pems:
            await self.close()
            self._channel, self._pems = self._connect(pems), pems
        return self._channel

    def _connect(self, pems: Pems | None) -> grpc.aio.Channel:
        target = self._options.endpoint.address
        if pems is None:
            return grpc.aio.insecure_channel(target, options=_CHANNEL_OPTIONS)
        credentials = grpc.ssl_channel_credentials(
            root_certificates=pems.authority or system_roots(),
            private_key=pems.key,
            certificate_chain=pems.certificate,
        )
        return grpc.aio.secure_channel(target, credentials, options=_CHANNEL_OPTIONS)

    def _failure(self, message: str) -> UpstreamError:
        return UpstreamError(message, retryable=True, subject=self._options.endpoint.shown)

    def _translate(self, exc: grpc.aio.AioRpcError) -> UpstreamError:
        code, shown = exc.code(), self._options.endpoint.shown
        said = self._redacted(exc.details()) or "no message"
        delay = _find_delay(exc)
        match code:
            case grpc.StatusCode.RESOURCE_EXHAUSTED if delay is not None:
                message = f"it is overloaded and asks to wait {delay:g} s: {said}"
                return RateLimitedError(message, retry_after_seconds=delay, subject=shown)
            case grpc.StatusCode.RESOURCE_EXHAUSTED if "larger than max" in said:
                return TooLargeError(f"the request is too large for it: {said}", subject=shown)
            case grpc.StatusCode.UNAUTHENTICATED | grpc.StatusCode.PERMISSION_DENIED:
                remedy = "refused; check OTEL_EXPORTER_OTLP_HEADERS and the client certificate"
                return AuthError(f"{remedy}: {said}", subject=shown)
            case grpc.StatusCode.UNIMPLEMENTED:
                remedy = f"it takes no {self._options.signal}; check its receivers, or whether this is OTLP's gRPC port"
                return NotFoundError(f"{remedy}: {said}", subject=shown)
            case grpc.StatusCode.DEADLINE_EXCEEDED:
                message = f"no answer within {self._options.timeout_seconds:g} s: {said}"
            case grpc.StatusCode.UNAVAILABLE if "http1.x server" in said:
                message = (
                    "it speaks HTTP, not gRPC; use its gRPC port, or set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"
                )
            case grpc.StatusCode.UNAVAILABLE if "TSI_" in said or "handshake" in said.lower():
                message = f"{UNTRUSTED}: {said}"
            case _:
                message = f"answered {code.name}: {said}"
        is_retryable = code in _RETRYABLE
        return UpstreamError(
            message, retryable=is_retryable, retry_after_seconds=delay if is_retryable else None, subject=shown
        )


def _find_delay(exc: grpc.aio.AioRpcError) -> float | None:
    """Return the seconds of the RetryInfo that came with a refusal."""
    trailing: Any = exc.trailing_metadata() or ()
    for name, value in trailing:
        if name == "grpc-status-details-bin" and isinstance(value, bytes):
            status = parse_status(value)
            return find_retry_delay(status) if status else None
    return None
