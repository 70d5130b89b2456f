"""OpenTelemetry's own protobuf messages, made directly.

The SDK's data classes are for telemetry that is recorded while it happens: a `ReadableSpan` is said not to be made by
anybody else, log records are a private module that was renamed twice, and their histogram points must have a minimum
and a maximum, which flux-commit-tracker's had not. What is told here happened before, under ids that follow from it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import ResourceMetrics, ScopeMetrics
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from fluxtrail import __version__

SCOPE = "fluxtrail"
SCHEMA_URL = "https://opentelemetry.io/schemas/1.43.0"
"""The conventions whose names are used: `cicd.*` and `vcs.*` as they became release candidates."""
TEXT_LIMIT = 1024
"""Characters of one value: a subject or a message of Flux is cut there."""

Value = str | bool | int | float | Sequence[str]
Attributes = Mapping[str, Value | None]
"""None is left out."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def nanoseconds(at: datetime) -> int:
    """Return nanoseconds since 1970, exactly."""
    return (at - _EPOCH) // _MICROSECOND * 1000


def attributes(values: Attributes) -> list[KeyValue]:
    return [KeyValue(key=key, value=any_value(value)) for key, value in values.items() if value is not None]


def any_value(value: Value) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case str():
            return AnyValue(string_value=value[:TEXT_LIMIT])
        case _:
            return AnyValue(array_value=ArrayValue(values=[any_value(item) for item in value]))


class Envelope:
    """Wraps what one process tells: its resource, and the scope that everything is of."""

    def __init__(self, resource: Attributes) -> None:
        self._resource = Resource(attributes=attributes(resource))
        self._scope = InstrumentationScope(name=SCOPE, version=__version__)

    def traces(self, spans: Iterable[Span]) -> ExportTraceServiceRequest:
        scoped = ScopeSpans(scope=self._scope, spans=spans, schema_url=SCHEMA_URL)
        return ExportTraceServiceRequest(
            resource_spans=[ResourceSpans(resource=self._resource, scope_spans=[scoped], schema_url=SCHEMA_URL)]
        )

    def logs(self, records: Iterable[LogRecord]) -> ExportLogsServiceRequest:
        scoped = ScopeLogs(scope=self._scope, log_records=records, schema_url=SCHEMA_URL)
        return ExportLogsServiceRequest(
            resource_logs=[ResourceLogs(resource=self._resource, scope_logs=[scoped], schema_url=SCHEMA_URL)]
        )

    def metrics(self, scopes: Iterable[ScopeMetrics]) -> ExportMetricsServiceRequest:
        return ExportMetricsServiceRequest(
            resource_metrics=[
                ResourceMetrics(resource=self._resource, scope_metrics=scopes, schema_url=SCHEMA_URL),
            ]
        )


_HEX = frozenset({"traceId", "spanId", "parentSpanId"})


def as_json(message: Message) -> dict[str, Any]:
    """Return a message as OTLP's JSON: the usual mapping, but ids in hex (opentelemetry-proto, "JSON Protobuf")."""
    return {name: _plain(name, value) for name, value in _fields(message)}


def _fields(message: Message) -> Iterable[tuple[str, Any]]:
    found: dict[str, Any] = MessageToDict(message, use_integers_for_enums=True)
    return found.items()


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(key, inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(name, inner) for inner in value]
    if name in _HEX and isinstance(value, str):
        return base64.b64decode(value).hex()
    return value
