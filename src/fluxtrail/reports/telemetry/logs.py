"""One record for each commit that was seen, and for each that was delivered, or was not, on a target. Pure.

A delivered commit's record has the fields of flux-commit-tracker's log line too, so that queries over those go on
working. It carries the ids of the span that tells the same.
"""

from __future__ import annotations

from datetime import datetime

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, SeverityNumber

from fluxtrail.model.stage import INVERSION_TOLERANCE, lead_time, stage_intervals
from fluxtrail.model.telling import DeliveryTelling, TrackedCommit
from fluxtrail.model.verdict import Verdict
from fluxtrail.reports.plan import Content
from fluxtrail.reports.telemetry.attributes import Values, commit_values, pipeline_name
from fluxtrail.reports.telemetry.ids import root_span_id, trace_id
from fluxtrail.reports.telemetry.messages import any_value, attributes, nanoseconds
from fluxtrail.reports.telemetry.spans import attempt_span_id, delivery_values

SEEN_EVENT = "fluxtrail.commit.seen"
EVENTS = {
    Verdict.DEPLOYED: "fluxtrail.delivery.deployed",
    Verdict.FAILED: "fluxtrail.delivery.failed",
    Verdict.ROLLED_BACK: "fluxtrail.delivery.rolled_back",
    Verdict.LOST: "fluxtrail.delivery.lost",
    Verdict.ABANDONED: "fluxtrail.delivery.abandoned",
}
_SEVERITIES = {Verdict.DEPLOYED: "INFO", Verdict.FAILED: "ERROR"}
_NUMBERS = {
    "INFO": SeverityNumber.SEVERITY_NUMBER_INFO,
    "WARN": SeverityNumber.SEVERITY_NUMBER_WARN,
    "ERROR": SeverityNumber.SEVERITY_NUMBER_ERROR,
}
_SAMPLED = 1


def seen_record(content: Content, commit: TrackedCommit, *, now: datetime) -> LogRecord:
    """Return the record that a commit is on its branch."""
    values = commit_values(commit) | {"fluxtrail.commit.subject": commit.subject or None}
    trace = trace_id(commit.repository, commit.sha)
    body = f"{commit.sha[:12]} of {commit.repository} is on its way"
    return _record(SEEN_EVENT, body, values, at=content.at, now=now, trace=trace, span=root_span_id(trace))


def verdict_record(content: Content, told: DeliveryTelling, *, now: datetime) -> LogRecord:
    """Return the record of a verdict."""
    verdict = content.verdict or told.verdict
    values = delivery_values(content, told) | {
        "fluxtrail.verdict": verdict.value,
        "fluxtrail.reason": content.reason or None,
    }
    if told.sync is not None and verdict is Verdict.FAILED:
        values["fluxtrail.message"] = told.sync.message or None
    if verdict is Verdict.DEPLOYED and told.sync is not None and told.healthy_sync == told.sync.id:
        # Delivered again after a rollback, it has not come all this way again.
        values |= _durations(told) | drop_in_values(told)
    trace = trace_id(told.commit.repository, told.commit.sha)
    span = attempt_span_id(told, told.sync, verdict) if told.sync else root_span_id(trace)
    where = f"{pipeline_name(told.target)} on {told.target.cluster}"
    body = f"{told.commit.sha[:12]} of {told.commit.repository}: {verdict.value.replace('_', ' ')}, {where}"
    severity = _SEVERITIES.get(verdict, "WARN")
    return _record(
        EVENTS[verdict], body, values, at=content.at, now=now, trace=trace, span=span, severity_text=severity
    )


def drop_in_values(told: DeliveryTelling) -> Values:
    """Return the fields of the replaced tool's line. Intervals beyond two clocks' tolerance are left out."""
    carrier = told.carrier or (told.commit if told.commit.is_carrier else None)
    committed = carrier.committed_at if carrier else None
    succeeded = told.succeeded.at if told.succeeded else None
    values: Values = {
        "name": told.target.name,
        "namespace": told.target.namespace,
        "kustomization.revision": told.sync.revision if told.sync else None,
        "kustomization.sourceKind": told.target.source_kind,
        "flux.apply_time": _text(succeeded),
        "repo.kube_manifests.hash": carrier.sha if carrier else None,
        "repo.kube_manifests.commit_time": _text(committed),
        "duration.kube_manifests_commit_to_flux_apply_seconds": _seconds(committed, succeeded),
    }
    if told.stated_at is not None:
        values |= {
            "repo.deployment_tools.hash": told.commit.sha,
            "repo.deployment_tools.time": _text(told.stated_at),
            "duration.deployment_tools_commit_to_kube_manifests_commit_seconds": _seconds(told.stated_at, committed),
            "duration.e2e_deployment_tools_commit_to_flux_apply_seconds": _seconds(told.stated_at, succeeded),
        }
    return values


def _durations(told: DeliveryTelling) -> Values:
    """Return the seconds of each stage, and the lead time. Estimates are left out, as in the figures."""
    moments = told.moments()
    values: Values = {
        f"fluxtrail.duration.{interval.stage.value}": interval.seconds
        for interval in stage_intervals(moments)
        if not interval.is_inverted and not interval.is_estimated
    }
    lead = None if told.commit.is_carrier or told.is_scope_unknown else lead_time(moments)
    if lead is not None and not lead.is_inverted and not lead.is_estimated:
        values["fluxtrail.lead_time"] = lead.seconds
    return values


def _seconds(since: datetime | None, until: datetime | None) -> float | None:
    if since is None or until is None:
        return None
    lasted = until - since
    return None if lasted < -INVERSION_TOLERANCE else max(lasted.total_seconds(), 0.0)


def _text(at: datetime | None) -> str | None:
    return at.isoformat().replace("+00:00", "Z") if at else None


def _record(
    event: str,
    body: str,
    values: Values,
    *,
    at: datetime,
    now: datetime,
    trace: bytes,
    span: bytes,
    severity_text: str = "INFO",
) -> LogRecord:
    return LogRecord(
        time_unix_nano=nanoseconds(at),
        observed_time_unix_nano=nanoseconds(now),
        severity_number=_NUMBERS[severity_text],
        severity_text=severity_text,
        event_name=event,
        body=any_value(body),
        attributes=attributes(values),
        trace_id=trace,
        span_id=span,
        flags=_SAMPLED,
    )
