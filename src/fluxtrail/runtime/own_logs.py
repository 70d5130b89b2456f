"""The process's own log lines by OTLP, through OpenTelemetry's plain SDK: `telemetry.own_logs`, off by default.

Their loss never matters: the SDK's queue is bounded and in memory, an attempt is made once, and a failure says nothing,
so that nothing is ever said about failing to say something. What is told of deliveries goes through the outbox and is
not repeated here.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.resources import Resource

from fluxtrail.model.errors import FluxtrailError
from fluxtrail.runtime.logs import follow_logs

SCOPE = "fluxtrail.process"
VALUE_LIMIT = 1024
EXPORT_SECONDS = 10.0
DELIVERIES = "fluxtrail."
"""What the events begin with that go through the outbox."""
_TOLD_APART = ("event", "level", "timestamp")
_SEVERITIES = {
    "debug": SeverityNumber.DEBUG,
    "info": SeverityNumber.INFO,
    "warning": SeverityNumber.WARN,
    "error": SeverityNumber.ERROR,
    "critical": SeverityNumber.FATAL,
}


class LogSender(Protocol):
    async def send_logs(self, request: bytes) -> object: ...


@asynccontextmanager
async def sending_own_logs(sender: LogSender, resource: Mapping[str, str]) -> AsyncIterator[None]:
    """Send what is logged meanwhile; at the end what is left, once, for as long as an attempt takes."""
    provider = LoggerProvider(Resource(dict(resource)), shutdown_on_exit=False)
    processor = BatchLogRecordProcessor(_Exporter(sender, asyncio.get_running_loop()))
    provider.add_log_record_processor(processor)
    logger = provider.get_logger(SCOPE)

    def tell(line: Mapping[str, Any]) -> None:
        event = str(line.get("event", ""))
        if event.startswith(DELIVERIES):
            return
        level = str(line.get("level", "info"))
        logger.emit(
            timestamp=time.time_ns(),
            severity_number=_SEVERITIES.get(level, SeverityNumber.INFO),
            severity_text=level.upper(),
            body=event[:VALUE_LIMIT],
            attributes={
                key: _value(value) for key, value in line.items() if key not in ("event", "level", "timestamp")
            },
        )

    with follow_logs(tell):
        try:
            yield
        finally:
            # In a thread: the exporter needs this loop to send.
            await asyncio.to_thread(provider.shutdown)


class _Exporter(LogRecordExporter):
    """The SDK's thread hands its batches to the sender in the event loop."""

    def __init__(self, sender: LogSender, loop: asyncio.AbstractEventLoop) -> None:
        self._sender = sender
        self._loop = loop

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        try:
            sending = asyncio.run_coroutine_threadsafe(self._send(encode_logs(batch).SerializeToString()), self._loop)
            is_taken = sending.result(EXPORT_SECONDS)
        except (RuntimeError, TimeoutError, concurrent.futures.CancelledError):
            is_taken = False  # the loop has ended, or nobody answers: not worth a word
        return LogRecordExportResult.SUCCESS if is_taken else LogRecordExportResult.FAILURE

    async def _send(self, request: bytes) -> bool:
        try:
            await self._sender.send_logs(request)
        except FluxtrailError:
            return False
        return True

    def shutdown(self) -> None:
        """Nothing is held."""

    def force_flush(self, timeout_millis: int = 0) -> bool:
        return True


def _value(value: object) -> str | bool | int | float:
    if isinstance(value, bool | int | float):
        return value
    return str(value)[:VALUE_LIMIT]
