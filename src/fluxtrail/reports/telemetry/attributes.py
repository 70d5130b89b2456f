"""What a span or a record says of a commit, a target and an attempt, under OpenTelemetry's names where it has any.

Source: opentelemetry semantic conventions, `vcs.*`, `cicd.*`, `k8s.*`, `deployment.*`. Names of ours (`fluxtrail.*`)
stand only where they have none; docs/telemetry.md lists all.
"""

from __future__ import annotations

from fluxtrail.model.moment import Moment, Precision
from fluxtrail.model.records import SyncId
from fluxtrail.model.telling import TrackedCommit, TrackedSync, TrackedTarget
from fluxtrail.model.verdict import Verdict
from fluxtrail.reports.telemetry.messages import Value

Values = dict[str, Value | None]

_RESULTS = {
    Verdict.DEPLOYED: "success",
    Verdict.FAILED: "failure",
    Verdict.ROLLED_BACK: "success",
}
"""Of the attempt: one that takes a commit back has done what it was to do."""
_STATUSES = {Verdict.DEPLOYED: "succeeded", Verdict.FAILED: "failed"}


def commit_values(commit: TrackedCommit) -> Values:
    owner, name = _owner_and_name(commit)
    return {
        "vcs.repository.url.full": commit.repository_url or None,
        "vcs.repository.name": name,
        "vcs.owner.name": owner or None,
        "vcs.ref.head.revision": commit.sha,
        "vcs.ref.head.name": commit.branch,
        "vcs.ref.head.type": "branch" if commit.branch else None,
        "vcs.change.id": str(commit.pull_request) if commit.pull_request is not None else None,
        "fluxtrail.repository": commit.repository,
        "fluxtrail.is_carrier": True if commit.is_carrier else None,
    }


def target_values(target: TrackedTarget) -> Values:
    """The names of the drop-in come with them: `k8s.resource.name`, `k8s.source.kind`."""
    return {
        "k8s.cluster.name": target.cluster,
        "k8s.cluster.uid": target.cluster_uid,
        "k8s.namespace.name": target.namespace,
        "k8s.resource.kind": target.kind,
        "k8s.resource.name": target.name,
        "k8s.source.kind": target.source_kind,
        "k8s.source.name": target.source_name,
        "deployment.environment.name": target.cluster,
    }


def pipeline_values(target: TrackedTarget, sync: TrackedSync, verdict: Verdict) -> Values:
    """The attempt as a run of the pipeline that the target is."""
    return {
        "cicd.pipeline.name": pipeline_name(target),
        "cicd.pipeline.run.id": run_id(sync.id),
        "cicd.pipeline.action.name": "SYNC",
        "cicd.pipeline.result": _RESULTS.get(verdict),
        "deployment.name": pipeline_name(target),
        "deployment.status": _STATUSES.get(verdict),
        "error.type": sync.reason or "failure" if verdict is Verdict.FAILED else None,
        "fluxtrail.revision": sync.revision,
        "fluxtrail.verdict": verdict.value,
    }


def pipeline_name(target: TrackedTarget) -> str:
    return f"{target.kind.lower()}/{target.namespace}/{target.name}"


def run_id(sync: SyncId) -> str:
    return str(sync)


def target_path(target: TrackedTarget) -> str:
    """The target as span ids know it: the same whatever its cluster is called."""
    return f"{target.cluster_uid}/{target.group}/{target.kind}/{target.namespace}/{target.name}"


def precision_values(since: Moment, until: Moment) -> Values:
    """How well an interval is known: as well as the worse of its ends."""
    worst = max((since.precision, until.precision), key=list(Precision).index)
    is_estimate = until.precision is Precision.ESTIMATED
    return {
        "fluxtrail.moment.precision": worst.value,
        "fluxtrail.moment.evidence": until.evidence.value,
        "fluxtrail.moment.not_before": until.earliest.isoformat() if is_estimate and until.not_before else None,
        "fluxtrail.moment.not_after": until.latest.isoformat() if is_estimate else None,
    }


def _owner_and_name(commit: TrackedCommit) -> tuple[str, str]:
    """Return what lies between host and name, and the name; a repository on disk belongs to nobody."""
    inner, _, name = commit.repository.rpartition("://")[2].partition("#")[0].rpartition("/")
    return "" if inner.startswith("file:") else inner.partition("/")[2], name
