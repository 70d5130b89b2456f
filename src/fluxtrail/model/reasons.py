"""The table: what a Ready condition's reason means for the commits of the attempt.

Source: fluxcd/pkg apis/meta/conditions.go, kustomize-controller's reconciler; flux.md 1.1 and 1.5.
"""

from enum import StrEnum

from fluxtrail.model.flux import Condition, Kustomization


class Outcome(StrEnum):
    """How an attempt stands."""

    RUNNING = "running"
    CHECKING = "checking"
    """Applied; health checks run."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    WAITING = "waiting"
    """For a dependency: not begun."""
    UNKNOWN = "unknown"
    """Flux has said nothing yet."""


REASONS: dict[str, Outcome] = {
    "ReconciliationSucceeded": Outcome.SUCCEEDED,
    "Succeeded": Outcome.SUCCEEDED,
    "Progressing": Outcome.RUNNING,
    "ProgressingWithRetry": Outcome.RUNNING,
    "HealthCheckCanceled": Outcome.RUNNING,
    "DependencyNotReady": Outcome.WAITING,
    "Suspended": Outcome.WAITING,
    "BuildFailed": Outcome.FAILED,
    "ReconciliationFailed": Outcome.FAILED,
    "PruneFailed": Outcome.FAILED,
    "HealthCheckFailed": Outcome.FAILED,
    "ArtifactFailed": Outcome.FAILED,
    "InvalidCELExpression": Outcome.FAILED,
    "InvalidPath": Outcome.FAILED,
    "InvalidURL": Outcome.FAILED,
    "AccessDenied": Outcome.FAILED,
    "FeatureGateDisabled": Outcome.FAILED,
    "InsecureConnectionsDisallowed": Outcome.FAILED,
    "UnsupportedConnectionType": Outcome.FAILED,
    "Failed": Outcome.FAILED,
}

HEALTH_CHECKS_PREFIX = "Running health checks for revision "


def outcome_of(ready: Condition | None) -> Outcome:
    """Return what a Ready condition says.

    An unknown reason is judged by its status alone: False failed, True succeeded.
    """
    if ready is None:
        return Outcome.UNKNOWN
    if ready.status == "True":
        return Outcome.SUCCEEDED
    known = REASONS.get(ready.reason)
    if ready.status == "False":
        return Outcome.FAILED if known in (None, Outcome.SUCCEEDED) else known
    return Outcome.RUNNING if known in (None, Outcome.SUCCEEDED, Outcome.FAILED) else known


def checked_revision(kustomization: Kustomization) -> tuple[str, Condition] | None:
    """Return the revision whose health checks run, with the condition that says so: the first sign that it is applied.

    Flux writes `Running health checks for revision R with a timeout of …` into Reconciling (and Ready) before
    `lastAppliedRevision`, which follows only when they pass.
    """
    for kind in ("Reconciling", "Ready"):
        condition = kustomization.find_condition(kind)
        if condition and condition.message.startswith(HEALTH_CHECKS_PREFIX):
            revision = condition.message.removeprefix(HEALTH_CHECKS_PREFIX).split(" ", 1)[0]
            return (revision, condition) if revision else None
    return None
