"""Sends spans, log records and metrics to a collector: one attempt a call, and its answer read to the end.

The SDK's own exporters take every 2xx for a success and retry by themselves. Here the outbox retries, so it must know
whether that helps, when, and what was refused for good.
"""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Protocol as Role
from typing import Self

import aiohttp
import structlog
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from fluxtrail.remotes.otlp.answers import Answer, TooLargeError
from fluxtrail.remotes.otlp.http_wire import HttpWire
from fluxtrail.remotes.otlp.options import OtlpOptions, Protocol, SignalOptions
from fluxtrail.remotes.otlp.variables import Signal

_log = structlog.get_logger(__name__)
CONNECTIONS = 8


class Wire(Role):
    """One signal's way out. Calls may run side by side; none retries."""

    async def send(self, payload: bytes) -> Answer: ...

    async def close(self) -> None: ...


class OtlpSender:
    """The three signals, each to its own endpoint; an async context manager. The first call connects.

    Every `send_…` takes the request as a message or already encoded, makes one attempt within the signal's timeout, and

    Raises:
        TooLargeError: over the limit of either side (`status` 413): send it in halves.
        AuthError: credentials refused; not retryable.
        NotFoundError: no such service or path; not retryable.
        RateLimitedError: told to wait; retryable, with `retry_after_seconds` where it was told.
        UpstreamError: anything else; `retryable` by OTLP's tables, and where there was no answer: the collector may
            have taken the request all the same.

    Entering it raises ConfigError where a certificate's file cannot be used.
    """

    def __init__(self, options: OtlpOptions) -> None:
        self._options = options
        self._stack = AsyncExitStack()
        self._wires: dict[Signal, Wire] = {}

    async def __aenter__(self) -> Self:
        for warning in self._options.warnings:
            _log.warning("otlp_setting_without_effect", reason=warning)
        async with AsyncExitStack() as stack:
            session: aiohttp.ClientSession | None = None
            for options in (self._options.traces, self._options.logs, self._options.metrics):
                if options.protocol is Protocol.HTTP and session is None:
                    session = await stack.enter_async_context(_session())
                wire = _wire(options, session)
                stack.push_async_callback(wire.close)
                self._wires[options.signal] = wire
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._wires.clear()
        await self._stack.aclose()

    async def send_traces(self, request: ExportTraceServiceRequest | bytes) -> Answer:
        return await self._send(self._options.traces, request)

    async def send_logs(self, request: ExportLogsServiceRequest | bytes) -> Answer:
        return await self._send(self._options.logs, request)

    async def send_metrics(self, request: ExportMetricsServiceRequest | bytes) -> Answer:
        return await self._send(self._options.metrics, request)

    async def _send(
        self,
        options: SignalOptions,
        request: ExportTraceServiceRequest | ExportLogsServiceRequest | ExportMetricsServiceRequest | bytes,
    ) -> Answer:
        payload = request if isinstance(request, bytes) else request.SerializeToString()
        if len(payload) > options.request_limit_bytes:
            message = f"the request has {len(payload)} bytes, more than {options.request_limit_bytes}"
            raise TooLargeError(message, subject=options.endpoint.shown)
        return await self._wires[options.signal].send(payload)


def _session() -> aiohttp.ClientSession:
    # Cookies are no part of OTLP; a load balancer's would pin us to one collector.
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=CONNECTIONS),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=True,
    )


def _wire(options: SignalOptions, session: aiohttp.ClientSession | None) -> Wire:
    if session is not None and options.protocol is Protocol.HTTP:
        return HttpWire(options, session)
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # else it writes lines of its own between our logs
    from fluxtrail.remotes.otlp.grpc_wire import GrpcWire  # noqa: PLC0415 - gRPC costs 10 MiB; only who uses it pays

    return GrpcWire(options)
