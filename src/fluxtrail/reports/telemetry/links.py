"""Links from a commit's trace to others: the CI run that exported it, and the export's own trace."""

from __future__ import annotations

import hashlib
import re

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from fluxtrail.model.telling import TrackedCommit, TrackedRun
from fluxtrail.reports.telemetry.ids import root_span_id, trace_id
from fluxtrail.reports.telemetry.messages import attributes

_TRACEPARENT = re.compile(r"(?<![0-9a-f])[0-9a-f]{2}-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-[0-9a-f]{2}")
_WORKFLOW_RUN = re.compile(r"/actions/runs/(?P<run>\d{1,20})(?:/attempts/(?P<attempt>\d{1,6}))?(?:[/?#]|$)")
_LINK_LIMIT = 2048


def find_build_context(link: str | None) -> tuple[bytes, bytes] | None:
    """Return the (trace id, span id) that the link to a CI run carries, or None.

    That is a W3C `traceparent` anywhere in it, or a run of a GitHub workflow, whose ids the collector's GitHub receiver
    derives from the run's number and attempt. A trace without a span cannot be linked to: OTLP wants both.

    Source: W3C Trace Context, 3.2; opentelemetry-collector-contrib receiver/githubreceiver, trace_event_handling.go
    """
    text = (link or "")[:_LINK_LIMIT]
    if match := _TRACEPARENT.search(text):
        return _usable(bytes.fromhex(match["trace"]), bytes.fromhex(match["span"]))
    if match := _WORKFLOW_RUN.search(text):
        run, attempt = match["run"], match["attempt"] or "1"
        trace = hashlib.sha256(f"{run}{attempt}t".encode()).hexdigest()[:32]
        span = hashlib.sha256(f"{run}{attempt}s".encode()).hexdigest()[16:32]
        return bytes.fromhex(trace), bytes.fromhex(span)
    return None


def build_link(link: str | None) -> list[Span.Link]:
    """Return the span link to the CI run, if its link carries a trace."""
    context = find_build_context(link)
    if context is None:
        return []
    told = attributes({"fluxtrail.link": "build", "url.full": link})
    return [Span.Link(trace_id=context[0], span_id=context[1], attributes=told)]


def run_link(run: TrackedRun | None) -> list[Span.Link]:
    """Return the link to the trace of the run that built a commit, where that can be known from its page."""
    if run is None:
        return []
    is_attempt = run.attempt > 1 and _WORKFLOW_RUN.search(run.url) is not None
    return build_link(f"{run.url}/attempts/{run.attempt}" if is_attempt else run.url)


def carrier_link(carrier: TrackedCommit | None) -> list[Span.Link]:
    """Return the link to the trace of the export that carried a source commit."""
    if carrier is None:
        return []
    trace = trace_id(carrier.repository, carrier.sha)
    told = attributes({"fluxtrail.link": "carrier", "vcs.ref.head.revision": carrier.sha})
    return [Span.Link(trace_id=trace, span_id=root_span_id(trace), attributes=told)]


def _usable(trace: bytes, span: bytes) -> tuple[bytes, bytes] | None:
    return (trace, span) if any(trace) and any(span) else None
