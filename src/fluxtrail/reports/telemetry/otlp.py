"""Spans and records to a collector, through the sender."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from fluxtrail.model.report import ClaimedReport
from fluxtrail.reports.outputs import Rendering
from fluxtrail.reports.ports import Answer, OtlpSender
from fluxtrail.reports.telemetry.messages import Envelope
from fluxtrail.reports.telemetry.rendering import Renderer

TRACES_SINK = "otlp.traces"
LOGS_SINK = "otlp.logs"


class OtlpTraces:
    sink = TRACES_SINK

    def __init__(self, renderer: Renderer, sender: OtlpSender, envelope: Envelope) -> None:
        self._renderer = renderer
        self._sender = sender
        self._envelope = envelope

    async def render(self, reports: Sequence[ClaimedReport]) -> Rendering:
        return await self._renderer.render(reports)

    async def send(self, items: Sequence[bytes]) -> Answer:
        request = self._envelope.traces(Span.FromString(item) for item in items)
        return await self._sender.send_traces(request.SerializeToString())


class OtlpLogs:
    sink = LOGS_SINK

    def __init__(self, renderer: Renderer, sender: OtlpSender, envelope: Envelope) -> None:
        self._renderer = renderer
        self._sender = sender
        self._envelope = envelope

    async def render(self, reports: Sequence[ClaimedReport]) -> Rendering:
        return await self._renderer.render(reports)

    async def send(self, items: Sequence[bytes]) -> Answer:
        request = self._envelope.logs(LogRecord.FromString(item) for item in items)
        return await self._sender.send_logs(request.SerializeToString())
