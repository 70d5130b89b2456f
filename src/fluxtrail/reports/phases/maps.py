"""What the words of Flux's events and of Argo CD's applications mean for a commit. Pure, and total.

gitops-connector's table, every reason that Flux's controllers give, and an answer for any other. Two words differ from
that table: `DependencyNotReady` is an error there on Azure DevOps, and waits here; `NewArtifact` had no answer.
Source: the reasons of kustomize-, helm-, source-, image-automation-controller and source-watcher (Flux 2.9).
"""

from __future__ import annotations

from fluxtrail.model.status import StatusState

_SUCCESS = (
    "ReconciliationSucceeded",
    "Succeeded",
    "Synced",
    "Healthy",
    "InstallSucceeded",
    "UpgradeSucceeded",
    "TestSucceeded",
    "DriftCorrected",
)
_NEUTRAL = (
    "NotApplicable",
    "Unknown",
    "GarbageCollectionSucceeded",
    "HelmChartDeleted",
)
_PENDING = (
    "Inconclusive",
    "OutOfSync",
    "info",
    "trace",
    "NewArtifact",
    "DependencyNotReady",
    # Flux goes on by itself: with a newer revision, or by correcting what drifted.
    "HealthCheckCanceled",
    "DriftDetected",
)
_RUNNING = (
    "Progressing",
    "ProgressingWithRetry",
    "Running",
    # Sources, charts and artifacts: fetched is not applied.
    "ArtifactUpToDate",
    "GitOperationSucceeded",
    "ChartPullSucceeded",
    "ChartPackageSucceeded",
    "HelmChartCreated",
    "HelmChartInSync",
    "Ready",
    "UninstallSucceeded",
)
_FAILURE = (
    "ReconciliationFailed",
    "PruneFailed",
    "ArtifactFailed",
    "BuildFailed",
    "HealthCheckFailed",
    "ValidationFailed",
    "Failed",
    "Missing",
    "error",
    "InvalidCELExpression",
    "FeatureGateDisabled",
    "AccessDenied",
    "InstallFailed",
    "UpgradeFailed",
    "TestFailed",
    "RollbackFailed",
    "UninstallFailed",
    "ValuesError",
    # A remediation that went well is the end of a change that did not.
    "RollbackSucceeded",
    "GitOperationFailed",
    "AuthenticationFailed",
    "OCIArtifactPullFailed",
    "VerificationError",
    "IndexationFailed",
    "BucketOperationFailed",
    "ArtifactVerificationFailed",
    "SourceFetchFailed",
)
_ERROR = ("Error", "Degraded", "Suspended")

STATES: dict[str, StatusState] = {
    **dict.fromkeys(_SUCCESS, StatusState.SUCCESS),
    **dict.fromkeys(_NEUTRAL, StatusState.NEUTRAL),
    **dict.fromkeys(_PENDING, StatusState.PENDING),
    **dict.fromkeys(_RUNNING, StatusState.RUNNING),
    **dict.fromkeys(_FAILURE, StatusState.FAILURE),
    **dict.fromkeys(_ERROR, StatusState.ERROR),
}
"""The words count as they are written: `error` is Flux's severity, `Error` a phase of Argo CD."""


def state_of(word: str, *, severity: str = "") -> StatusState:
    """Return what a reason, a phase, a sync status or a health status means.

    One that nobody has heard of is judged by the event's severity, and without one is under way: it turns nothing red
    or green by itself.
    """
    known = STATES.get(word)
    if known is not None:
        return known
    return StatusState.FAILURE if severity == "error" else StatusState.PENDING
