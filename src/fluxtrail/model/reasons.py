"""The table: what a Ready condition's reason means for the commits of the attempt.

Source: fluxcd/pkg apis/meta/conditions.go, kustomize-controller's reconciler; flux.md 1.1 and 1.5.
"""

import re
from enum import StrEnum

import msgspec

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

_AT_WORK = re.compile(r"(?P<step>[A-Z][a-z]+ [a-z]+(?: [a-z]+)?) for revision (?P<revision>\S+)")
HEALTH_CHECKS = "Running health checks"
APPLIED_PREFIX = "Applied revision: "


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


class Work(msgspec.Struct, frozen=True):
    """What the Reconciling condition says is being done, and on which revision.

    Flux moves the condition's time with its message, so `condition.changed_at` is when this step began
    (seen on kustomize-controller 1.9; a retry begins the steps again).
    """

    step: str
    """`Fetching manifests`, `Building manifests`, `Detecting drift`, `Running health checks`."""
    revision: str
    condition: Condition

    @property
    def is_checking(self) -> bool:
        """Applied, and its health is being checked now: the first sign that the revision is live."""
        return self.step == HEALTH_CHECKS and self.condition.reason == "Progressing"


def work_of(kustomization: Kustomization) -> Work | None:
    """Return the step under way. After a failure the message stays, with reason ProgressingWithRetry."""
    condition = kustomization.find_condition("Reconciling")
    match = _AT_WORK.match(condition.message) if condition else None
    return Work(match["step"], match["revision"], condition) if match and condition else None


def revision_at_work(kustomization: Kustomization) -> str | None:
    """Return the revision of the newest attempt: a failure before the build is told by Reconciling alone."""
    work = work_of(kustomization)
    return work.revision if work else kustomization.last_attempted


def names_success_of(ready: Condition | None, revision: str | None) -> bool:
    """True if Ready=True speaks of this very revision. Flux writes it just before `lastAppliedRevision`."""
    return (
        ready is not None
        and revision is not None
        and ready.status == "True"
        and ready.message == f"{APPLIED_PREFIX}{revision}"
    )
