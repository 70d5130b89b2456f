"""The same on standard output: records as log lines among the process's own, spans and metrics as JSON lines.

A line is one OTLP message in its JSON mapping under the name of its signal: `{"span": {…}}`, `{"metric": {…}}`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from google.protobuf.message import Message
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, SeverityNumber
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from fluxtrail.model.report import ClaimedReport
from fluxtrail.reports.outputs import Rendering, Taken
from fluxtrail.reports.telemetry.messages import as_json
from fluxtrail.reports.telemetry.rendering import Renderer

TRACES_SINK = "stdout.traces"
LOGS_SINK = "stdout.logs"

Write = Callable[[str], Any]
_log = structlog.get_logger(__name__)


class StdoutTraces:
    sink = TRACES_SINK

    def __init__(self, renderer: Renderer, write: Write) -> None:
        self._renderer = renderer
        self._write = write

    async def render(self, reports: Sequence[ClaimedReport]) -> Rendering:
        return await self._renderer.render(reports)

    async def send(self, items: Sequence[bytes]) -> Taken:
        self._write("".join(_line("span", Span.FromString(item)) for item in items))
        return Taken()


class StdoutLogs:
    """Through the process's own logger, so that they look and are filtered like all others."""

    sink = LOGS_SINK

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer

    async def render(self, reports: Sequence[ClaimedReport]) -> Rendering:
        return await self._renderer.render(reports)

    async def send(self, items: Sequence[bytes]) -> Taken:
        for item in items:
            _say(LogRecord.FromString(item))
        return Taken()


def write_metrics(request: ExportMetricsServiceRequest, write: Write) -> None:
    lines = [
        _line("metric", metric)
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    ]
    write("".join(lines))


def _line(signal: str, message: Message) -> str:
    return json.dumps({signal: as_json(message)}, ensure_ascii=False, separators=(",", ":")) + "\n"


def _say(record: LogRecord) -> None:
    fields = {pair.key: _python(pair) for pair in record.attributes}
    ids = {"trace_id": record.trace_id.hex(), "span_id": record.span_id.hex()}
    if record.severity_number >= SeverityNumber.SEVERITY_NUMBER_ERROR:
        say = _log.error
    else:
        say = _log.warning if record.severity_number >= SeverityNumber.SEVERITY_NUMBER_WARN else _log.info
    say(record.event_name, message=record.body.string_value, **fields, **ids)


def _python(pair: KeyValue) -> Any:
    return _value(pair.value)


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    return getattr(value, kind)
