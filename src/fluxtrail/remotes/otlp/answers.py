"""What a collector answered: how much it refused of what it took, or which of our errors a refusal is.

Source: opentelemetry-proto, docs/specification.md, "Failures", "Throttling" and the two tables of retryable codes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from fluxtrail.model.errors import UpstreamError
from fluxtrail.model.moment import parse_http_date
from fluxtrail.model.redaction import redact
from fluxtrail.remotes.otlp.variables import Signal

Response = ExportTraceServiceResponse | ExportLogsServiceResponse | ExportMetricsServiceResponse
LONGEST_WAIT_SECONDS = 3600.0
UNTRUSTED = "no secured connection; check the certificates of both sides, and that it is no plain port"
ANSWER_LIMIT_BYTES = 1024 * 1024
Redact = Callable[[str | None], str]


@dataclass(frozen=True)
class Answer:
    """A request that was taken. What is in it must not be sent again, refused parts included."""

    rejected: int
    """Spans, log records or data points that the collector refused for good."""
    message: str
    """Why, or a warning where nothing was refused; redacted, empty mostly."""


class TooLargeError(UpstreamError):
    """The request is larger than the other side, or our own limit, admits: send it in two halves.

    `status` is 413 whatever the transport. Not retryable as it is.
    """

    retryable_by_default = False

    def __init__(self, message: str, *, subject: str) -> None:
        super().__init__(message, status=413, subject=subject)


def redactor(headers: tuple[tuple[str, str], ...]) -> Redact:
    """Return `redact` that also knows the headers' values: a collector may quote them back."""
    secrets = {part for _, value in headers for part in (value, *value.split())}
    longest_first = tuple(sorted(secrets, key=len, reverse=True))
    return lambda text: redact(text, secrets=longest_first)


def empty_response(signal: Signal) -> Response:
    match signal:
        case Signal.TRACES:
            return ExportTraceServiceResponse()
        case Signal.LOGS:
            return ExportLogsServiceResponse()
        case Signal.METRICS:
            return ExportMetricsServiceResponse()


def read_answer(response: Response, redacted: Redact) -> Answer:
    match response:
        case ExportTraceServiceResponse():
            rejected = response.partial_success.rejected_spans
        case ExportLogsServiceResponse():
            rejected = response.partial_success.rejected_log_records
        case ExportMetricsServiceResponse():
            rejected = response.partial_success.rejected_data_points
    return Answer(max(0, rejected), redacted(response.partial_success.error_message))


def parse_status(content: bytes) -> Status | None:
    """Return the `google.rpc.Status` in `content`, or None: proxies answer with pages of their own."""
    try:
        return Status.FromString(content)
    except DecodeError:
        return None


def find_retry_delay(status: Status) -> float | None:
    """Return the seconds of the status' RetryInfo, bounded; None where it has none."""
    for detail in status.details:
        if detail.type_url.endswith("/google.rpc.RetryInfo"):
            try:
                info = RetryInfo.FromString(detail.value)
            except DecodeError:
                return None
            return bounded(info.retry_delay.seconds + info.retry_delay.nanos / 1e9)
    return None


def parse_retry_after(value: str | None, *, now: datetime) -> float | None:
    """Return the seconds of a `Retry-After` header, either form, bounded; None where it says nothing."""
    if not value:
        return None
    try:
        return bounded(float(value))
    except ValueError:
        pass
    moment = parse_http_date(value)
    return None if moment is None else bounded((moment - now).total_seconds())


def bounded(seconds: float) -> float | None:
    return None if math.isnan(seconds) else min(max(seconds, 0.0), LONGEST_WAIT_SECONDS)
