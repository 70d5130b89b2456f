"""A collector for tests: takes OTLP over gRPC and HTTP on loopback, keeps what it took, and misbehaves when told to.

`Receiver` holds what arrived and what is answered next; `serving_grpc` and `serving_http` put it behind a port.
Stopping one and serving again on the same port is an outage; `receiver.usual = Refuse(…)` is one that still answers.
"""

from __future__ import annotations

import asyncio
import gzip
import math
import ssl
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import grpc
import grpc.aio
from aiohttp import web
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from fluxtrail.remotes.otlp.variables import Signal

Request = ExportTraceServiceRequest | ExportLogsServiceRequest | ExportMetricsServiceRequest
Response = ExportTraceServiceResponse | ExportLogsServiceResponse | ExportMetricsServiceResponse

_Request = TypeVar("_Request", bound=Request)

REQUESTS: dict[Signal, type[Request]] = {
    Signal.TRACES: ExportTraceServiceRequest,
    Signal.LOGS: ExportLogsServiceRequest,
    Signal.METRICS: ExportMetricsServiceRequest,
}
SERVICES = {
    Signal.TRACES: "opentelemetry.proto.collector.trace.v1.TraceService",
    Signal.LOGS: "opentelemetry.proto.collector.logs.v1.LogsService",
    Signal.METRICS: "opentelemetry.proto.collector.metrics.v1.MetricsService",
}


@dataclass(frozen=True)
class Refuse:
    """Nothing is kept. Over HTTP `status`, over gRPC `code`; `retry_seconds` as Retry-After or RetryInfo."""

    status: int = 503
    code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE
    message: str = "not now"
    retry_seconds: float | None = None


@dataclass(frozen=True)
class Partial:
    """The request is kept whole, and so many of its items are said to be refused."""

    rejected: int
    message: str = ""


@dataclass(frozen=True)
class Lose:
    """The request is kept, and its answer lost: the sender cannot know."""


@dataclass(frozen=True)
class Hang:
    """No answer at all until the sender goes away or the server stops."""


@dataclass(frozen=True)
class Raw:
    """Over HTTP: this very answer."""

    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


Reply = Refuse | Partial | Lose | Hang | Raw


@dataclass(frozen=True)
class Received:
    signal: Signal
    message: Request
    headers: Mapping[str, str]
    peer: str


class Receiver:
    """What arrived, decoded, and what the next requests get: `script` first, then `usual` (None: they are taken)."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.asked = 0
        self.script: deque[Reply] = deque()
        self.usual: Reply | None = None
        self._arrived = asyncio.Condition()

    @property
    def spans(self) -> list[Span]:
        return [
            span
            for message in self._messages(ExportTraceServiceRequest)
            for resource in message.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def log_records(self) -> list[LogRecord]:
        return [
            record
            for message in self._messages(ExportLogsServiceRequest)
            for resource in message.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]

    @property
    def metrics(self) -> list[Metric]:
        """Every metric of every request, in order: a name stands once for each time it was sent."""
        return [
            metric
            for message in self._messages(ExportMetricsServiceRequest)
            for resource in message.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]

    async def wait_until_asked(self, times: int, *, within_seconds: float = 10.0) -> None:
        """Wait for the `times`-th request since the beginning, refused ones included."""
        async with asyncio.timeout(within_seconds), self._arrived:
            await self._arrived.wait_for(lambda: self.asked >= times)

    async def take(self, received: Received) -> Reply | None:
        """Return what to answer; keeps the request unless it is refused."""
        reply = self.script.popleft() if self.script else self.usual
        if reply is None or isinstance(reply, Partial | Lose):
            self.received.append(received)
        async with self._arrived:
            self.asked += 1
            self._arrived.notify_all()
        return reply

    def _messages(self, kind: type[_Request]) -> Iterable[_Request]:
        return (one.message for one in self.received if isinstance(one.message, kind))


def response(signal: Signal, reply: Partial | None) -> Response:
    match signal:
        case Signal.TRACES:
            traces = ExportTraceServiceResponse()
            if reply:
                traces.partial_success.rejected_spans = reply.rejected
                traces.partial_success.error_message = reply.message
            return traces
        case Signal.LOGS:
            logs = ExportLogsServiceResponse()
            if reply:
                logs.partial_success.rejected_log_records = reply.rejected
                logs.partial_success.error_message = reply.message
            return logs
        case Signal.METRICS:
            metrics = ExportMetricsServiceResponse()
            if reply:
                metrics.partial_success.rejected_data_points = reply.rejected
                metrics.partial_success.error_message = reply.message
            return metrics


@dataclass(frozen=True)
class ServerTls:
    certificate: Path
    key: Path
    client_authority: Path | None = None
    """Clients must present a certificate of this authority."""


@asynccontextmanager
async def serving_grpc(
    receiver: Receiver,
    *,
    port: int = 0,
    tls: ServerTls | None = None,
    limit_bytes: int = 4 * 1024 * 1024,
    signals: Iterable[Signal] = tuple(Signal),
) -> AsyncIterator[str]:
    """Serve OTLP over gRPC; yields `127.0.0.1:port`."""
    options = (("grpc.max_receive_message_length", limit_bytes), ("grpc.so_reuseport", 0))
    server = grpc.aio.server(options=options)
    server.add_generic_rpc_handlers(tuple(_service(receiver, signal) for signal in signals))
    address = f"127.0.0.1:{port}"
    bound = server.add_secure_port(address, _grpc_tls(tls)) if tls else server.add_insecure_port(address)
    await server.start()
    try:
        yield f"127.0.0.1:{bound}"
    finally:
        await server.stop(grace=None)


def _grpc_tls(tls: ServerTls) -> grpc.ServerCredentials:
    clients = tls.client_authority.read_bytes() if tls.client_authority else None
    pair = (tls.key.read_bytes(), tls.certificate.read_bytes())
    return grpc.ssl_server_credentials([pair], clients, require_client_auth=clients is not None)


def _service(receiver: Receiver, signal: Signal) -> grpc.GenericRpcHandler:
    async def export(message: Request, context: grpc.aio.ServicerContext[Any, Any]) -> Response:
        headers = {str(name): str(value) for name, value in context.invocation_metadata() or ()}
        reply = await receiver.take(Received(signal, message, headers, context.peer()))
        match reply:
            case Refuse():
                await context.abort(reply.code, reply.message, _details(reply))
            case Lose():
                await context.abort(grpc.StatusCode.UNAVAILABLE, "connection reset")
            case Hang():
                await asyncio.Event().wait()
            case Raw():
                raise TypeError("Raw is for HTTP")
        return response(signal, reply if isinstance(reply, Partial) else None)

    handler: grpc.RpcMethodHandler[Any, Any] = grpc.unary_unary_rpc_method_handler(
        export,
        request_deserializer=REQUESTS[signal].FromString,
        response_serializer=lambda message: message.SerializeToString(),
    )
    return grpc.method_handlers_generic_handler(SERVICES[signal], {"Export": handler})


def _details(refusal: Refuse) -> tuple[tuple[str, bytes], ...]:
    if refusal.retry_seconds is None:
        return ()
    info = RetryInfo()
    info.retry_delay.FromNanoseconds(round(refusal.retry_seconds * 1e9))
    status = Status(code=refusal.code.value[0], message=refusal.message)
    status.details.add().Pack(info)
    return (("grpc-status-details-bin", status.SerializeToString()),)


@asynccontextmanager
async def serving_http(
    receiver: Receiver, *, port: int = 0, tls: ServerTls | None = None, limit_bytes: int = 20 * 1024 * 1024
) -> AsyncIterator[str]:
    """Serve OTLP over HTTP; yields the base URL, to which `/v1/traces` is added."""
    app = web.Application(client_max_size=limit_bytes)
    for signal in Signal:
        app.router.add_post(f"/v1/{signal}", _handler(receiver, signal))
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=_http_tls(tls) if tls else None)
        await site.start()
        bound = runner.addresses[0][1]
        yield f"{'https' if tls else 'http'}://127.0.0.1:{bound}"
    finally:
        await runner.cleanup()


def _http_tls(tls: ServerTls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate, tls.key)
    if tls.client_authority:
        context.load_verify_locations(tls.client_authority)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _handler(receiver: Receiver, signal: Signal) -> Any:
    async def export(request: web.Request) -> web.StreamResponse:
        content = await request.read()
        if request.headers.get("Content-Encoding") == "gzip" and content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        headers = {name.lower(): value for name, value in request.headers.items()}
        message = REQUESTS[signal].FromString(content)
        reply = await receiver.take(Received(signal, message, headers, str(request.remote)))
        match reply:
            case Refuse():
                after = {} if reply.retry_seconds is None else {"Retry-After": str(math.ceil(reply.retry_seconds))}
                return _protobuf(reply.status, Status(message=reply.message).SerializeToString(), after)
            case Lose():
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
            case Hang():
                await asyncio.Event().wait()
            case Raw():
                headers = {"Content-Type": reply.content_type, **reply.headers}
                return web.Response(status=reply.status, body=reply.body, headers=headers)
        return _protobuf(200, response(signal, reply if isinstance(reply, Partial) else None).SerializeToString(), {})

    return export


def _protobuf(status: int, body: bytes, headers: Mapping[str, str]) -> web.Response:
    return web.Response(status=status, body=body, headers={"Content-Type": "application/x-protobuf", **headers})
