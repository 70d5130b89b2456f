"""One trace a commit, over all clusters: the commit, each attempt to deliver it, and the stages of its way.

    commit github.com/acme/shop          root: merged → the last delivery
    ├─ SYNC kustomization/shop/apps      an attempt on one target: a pipeline run, told when it has ended
    │  ├─ built                          by CI, where that is known by then
    │  ├─ exported                       the stages that this attempt reached, each from the stage before it
    │  ├─ fetched
    │  ├─ applied
    │  ├─ healthy
    │  └─ running                        told when it comes, which may be long after the attempt has ended
    └─ ROLLBACK kustomization/shop/apps  an attempt that took the commit back

Told, and when, so that each span goes out once and never has to be taken back:

* An attempt is told when its verdict is there, failed attempts too, with the reason.
* A stage is told once, under the attempt that reached it first. While the checks of an attempt run it may still turn
  out to have changed nothing, so `applied` and what came before it wait until it is over; `running` waits as long.
* The root comes last, as in every trace: when nothing more is expected of any delivery, or PATIENCE after the first
  verdict (a suspended cluster must not keep a commit's trace without its root for weeks); then it says
  `fluxtrail.is_settled=false`. What happens later is told under the root that is there already: its id is known.
  That it waits is kept in the outbox, so a restart neither forgets nor repeats it.

No stage is told whose moments are missing or inverted. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from fluxtrail.model.moment import Moment
from fluxtrail.model.stage import Stage, stage_intervals
from fluxtrail.model.telling import CommitTelling, DeliveryTelling, TrackedSync
from fluxtrail.model.verdict import Verdict
from fluxtrail.reports.plan import Content
from fluxtrail.reports.telemetry.attributes import (
    Values,
    commit_values,
    pipeline_name,
    pipeline_values,
    precision_values,
    run_id,
    target_path,
    target_values,
)
from fluxtrail.reports.telemetry.ids import root_span_id, span_id, trace_id
from fluxtrail.reports.telemetry.links import build_link, carrier_link, run_link
from fluxtrail.reports.telemetry.messages import attributes, nanoseconds

PATIENCE = timedelta(hours=24)
"""For which a commit's root waits for deliveries that are not settled; attribution gives up after as long."""

_OK, _ERROR, _UNSET = Status.STATUS_CODE_OK, Status.STATUS_CODE_ERROR, Status.STATUS_CODE_UNSET
_INTERNAL, _SERVER = Span.SPAN_KIND_INTERNAL, Span.SPAN_KIND_SERVER
_FLAGS = 0x101
"""Sampled; the parent is known not to be remote."""


def attempt_spans(content: Content, told: DeliveryTelling) -> list[Span]:
    """Return the spans of an attempt that ended with `content.verdict`: itself, and the stages it reached."""
    sync, verdict = told.sync, content.verdict
    if sync is None or verdict is None:
        return []
    if verdict is Verdict.ROLLED_BACK:
        return [_rollback_span(content, told, sync)]
    spans = [_attempt_span(content, told, sync, verdict)]
    if content.has_stages:
        spans += stage_spans(told)
    if verdict is Verdict.DEPLOYED and told.healthy_sync == sync.id:
        spans += _stages(told, (Stage.HEALTHY,), parent=attempt_span_id(told, sync, verdict), sync=sync)
    return spans


def stage_spans(told: DeliveryTelling) -> list[Span]:
    """Return the stages up to `applied`, if the sync asked for is the one that applied it first."""
    sync = told.sync
    if sync is None or told.applied_sync != sync.id:
        return []
    wanted = (Stage.BUILT, Stage.EXPORTED, Stage.FETCHED, Stage.APPLIED)
    return _stages(told, wanted, parent=_attempt_of(told, sync), sync=sync)


def running_spans(told: DeliveryTelling) -> list[Span]:
    """Return the stage `running`, if the sync asked for applied it first, or brought it anew."""
    sync = told.sync
    if sync is None or sync.id not in (told.applied_sync, told.healthy_sync) or told.running is None:
        return []
    moments = {**told.moments(), Stage.RUNNING: told.running}
    return _stages(told, (Stage.RUNNING,), parent=_attempt_of(told, sync), sync=sync, moments=moments)


def _attempt_of(told: DeliveryTelling, sync: TrackedSync) -> bytes:
    """Return the span of an attempt that is over, as it is told or was."""
    if sync.succeeded is not None:
        return attempt_span_id(told, sync, Verdict.DEPLOYED)
    if sync.failed is not None:
        return attempt_span_id(told, sync, Verdict.FAILED)
    return root_span_id(_trace(told))  # overtaken by the next revision: nobody will tell of this attempt


def attempt_span_id(told: DeliveryTelling, sync: TrackedSync, verdict: Verdict) -> bytes:
    return span_id(_trace(told), target=target_path(told.target), sync=sync.id, stage=verdict.value)


def root_span(told: CommitTelling, *, now: datetime) -> Span:
    """Return the commit's own span, as its deliveries stand."""
    commit = told.commit
    trace = trace_id(commit.repository, commit.sha)
    merged = commit.merged
    end = told.last_at or now
    start = min(merged.at, end) if merged else end
    values: Values = commit_values(commit) | {
        "fluxtrail.commit.subject": commit.subject or None,
        "fluxtrail.is_settled": told.is_settled,
        "fluxtrail.moment.precision": merged.precision.value if merged else None,
        "fluxtrail.moment.evidence": merged.evidence.value if merged else None,
        "fluxtrail.export.build_link": told.build_links[0] if told.build_links else None,
    }
    values |= {f"fluxtrail.deliveries.{verdict.value}": count for verdict, count in told.verdicts.items() if count}
    failed = told.verdicts.get(Verdict.FAILED, 0)
    message = f"failed on {failed} of {sum(told.verdicts.values())} targets" if failed else ""
    return Span(
        trace_id=trace,
        span_id=root_span_id(trace),
        flags=_FLAGS,
        name=f"commit {commit.repository}",
        kind=_INTERNAL,
        start_time_unix_nano=nanoseconds(start),
        end_time_unix_nano=nanoseconds(end),
        attributes=attributes(values),
        links=[link for url in told.build_links for link in build_link(url)],
        status=Status(code=_ERROR if failed else _OK if told.is_settled else _UNSET, message=message),
    )


def delivery_values(content: Content, told: DeliveryTelling) -> Values:
    """What spans and records of an attempt say alike."""
    values = commit_values(told.commit) | target_values(told.target)
    sync = told.sync
    if sync is not None and content.verdict is not None:
        values |= pipeline_values(told.target, sync, content.verdict)
        if content.verdict is not Verdict.ROLLED_BACK and sync.sha not in (None, *_own_shas(told)):
            values["fluxtrail.via"] = sync.sha
    values["fluxtrail.carrier"] = told.carrier.sha if told.carrier else None
    values["fluxtrail.export.build_link"] = told.build_link
    values["fluxtrail.is_scope_unknown"] = True if told.is_scope_unknown else None
    return values


def _own_shas(told: DeliveryTelling) -> tuple[str, ...]:
    return (told.commit.sha, told.carrier.sha) if told.carrier else (told.commit.sha,)


def _attempt_span(content: Content, told: DeliveryTelling, sync: TrackedSync, verdict: Verdict) -> Span:
    """From the first thing known of the commit to how the attempt ended: all that is told of it lies within."""
    ended = _end_of(sync, verdict, content.at)
    known = [moment.at for moment in told.moments().values()]
    reason = content.reason or sync.reason
    message = f"{reason}: {sync.message}" if sync.message else reason
    is_failed = verdict is Verdict.FAILED
    end = max([ended, *known]) if not is_failed else ended
    return Span(
        trace_id=_trace(told),
        span_id=attempt_span_id(told, sync, verdict),
        parent_span_id=root_span_id(_trace(told)),
        flags=_FLAGS,
        name=f"SYNC {pipeline_name(told.target)}",
        kind=_SERVER,
        start_time_unix_nano=nanoseconds(min([ended, sync.started.at, *known])),
        end_time_unix_nano=nanoseconds(end),
        attributes=attributes(delivery_values(content, told)),
        links=[*build_link(told.build_link), *carrier_link(told.carrier)],
        status=Status(code=_ERROR if is_failed else _OK, message=message if is_failed else ""),
    )


def _rollback_span(content: Content, told: DeliveryTelling, sync: TrackedSync) -> Span:
    end = _end_of(sync, Verdict.ROLLED_BACK, content.at)
    return Span(
        trace_id=_trace(told),
        span_id=attempt_span_id(told, sync, Verdict.ROLLED_BACK),
        parent_span_id=root_span_id(_trace(told)),
        flags=_FLAGS,
        name=f"ROLLBACK {pipeline_name(told.target)}",
        kind=_SERVER,
        start_time_unix_nano=nanoseconds(min(sync.started.at, end)),
        end_time_unix_nano=nanoseconds(end),
        attributes=attributes(delivery_values(content, told)),
        links=carrier_link(told.carrier),
        status=Status(code=_UNSET),
    )


def _end_of(sync: TrackedSync, verdict: Verdict, at: datetime) -> datetime:
    moment = sync.failed if verdict is Verdict.FAILED else sync.succeeded
    return moment.at if moment else at


def _stages(
    told: DeliveryTelling,
    wanted: Iterable[Stage],
    *,
    parent: bytes,
    sync: TrackedSync,
    moments: Mapping[Stage, Moment] | None = None,
) -> list[Span]:
    moments = told.moments() if moments is None else moments
    return [
        _stage_span(
            told, interval.since, moments[interval.since], interval.stage, moments[interval.stage], parent, sync
        )
        for interval in stage_intervals(moments)
        if interval.stage in wanted and not interval.is_inverted
    ]


def _stage_span(
    told: DeliveryTelling, since: Stage, start: Moment, stage: Stage, end: Moment, parent: bytes, sync: TrackedSync
) -> Span:
    """A task of the run. A pair within the tolerance of two clocks takes no time."""
    trace = _trace(told)
    values = commit_values(told.commit) | target_values(told.target) | precision_values(start, end)
    values |= {
        "cicd.pipeline.name": pipeline_name(told.target),
        "cicd.pipeline.run.id": run_id(sync.id),
        "cicd.pipeline.task.name": stage.value,
        "cicd.pipeline.task.run.id": f"{run_id(sync.id)}/{told.commit.sha}/{stage.value}",
        "cicd.pipeline.task.run.result": "success",
        "cicd.pipeline.task.run.url.full": _page_of(told, stage),
        "fluxtrail.stage": stage.value,
        "fluxtrail.stage.since": since.value,
    }
    if stage is Stage.BUILT and told.commit.built_by is not None:
        run = told.commit.built_by
        values |= {"fluxtrail.ci.pipeline": run.pipeline or None, "fluxtrail.ci.run.id": run.run_id}
        values |= {"fluxtrail.ci.run.attempt": run.attempt}
    return Span(
        trace_id=trace,
        span_id=span_id(trace, target=target_path(told.target), sync=sync.id, stage=stage.value),
        parent_span_id=parent,
        flags=_FLAGS,
        name=stage.value,
        kind=_INTERNAL,
        start_time_unix_nano=nanoseconds(min(start.at, end.at)),
        end_time_unix_nano=nanoseconds(end.at),
        attributes=attributes(values),
        links=_links_of(told, stage),
        status=Status(code=_OK),
    )


def _page_of(told: DeliveryTelling, stage: Stage) -> str | None:
    if stage is Stage.BUILT:
        return (told.commit.built_by.url or None) if told.commit.built_by else None
    return told.build_link if stage is Stage.EXPORTED else None


def _links_of(told: DeliveryTelling, stage: Stage) -> list[Span.Link]:
    if stage is Stage.BUILT:
        return run_link(told.commit.built_by)
    return build_link(told.build_link) if stage is Stage.EXPORTED else []


def _trace(told: DeliveryTelling) -> bytes:
    return trace_id(told.commit.repository, told.commit.sha)
