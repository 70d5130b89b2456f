"""gitops-connector's table of states, every reason of Flux, and words that nobody has heard of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxtrail.model.status import StatusState
from fluxtrail.reports.phases.maps import STATES, state_of

CONNECTOR = [
    ("ReconciliationSucceeded Succeeded Synced Healthy", StatusState.SUCCESS),
    ("NotApplicable Unknown", StatusState.NEUTRAL),
    ("Progressing Running", StatusState.RUNNING),
    ("Inconclusive OutOfSync info", StatusState.PENDING),
    # There `error` on Azure DevOps: what waits is not red.
    ("DependencyNotReady", StatusState.PENDING),
    ("ReconciliationFailed PruneFailed ArtifactFailed BuildFailed HealthCheckFailed", StatusState.FAILURE),
    ("ValidationFailed Failed Missing error", StatusState.FAILURE),
    ("Error Degraded Suspended", StatusState.ERROR),
    # There without an answer.
    ("NewArtifact", StatusState.PENDING),
]
KUSTOMIZE = (
    "Progressing ReconciliationSucceeded ArtifactFailed BuildFailed ReconciliationFailed PruneFailed HealthCheckFailed "
    "InvalidCELExpression FeatureGateDisabled AccessDenied DependencyNotReady HealthCheckCanceled info error trace"
)
SOURCES = (
    "NewArtifact Succeeded ChartPullSucceeded ChartPackageSucceeded ArtifactUpToDate GarbageCollectionSucceeded "
    "GitOperationSucceeded GitOperationFailed AuthenticationFailed OCIArtifactPullFailed VerificationError "
    "IndexationFailed BucketOperationFailed ArtifactVerificationFailed Ready SourceFetchFailed ValidationFailed"
)
HELM = (
    "InstallSucceeded UpgradeSucceeded TestSucceeded RollbackSucceeded UninstallSucceeded InstallFailed UpgradeFailed "
    "TestFailed RollbackFailed UninstallFailed DriftDetected ValuesError HelmChartCreated HelmChartInSync "
    "HelmChartDeleted"
)


@pytest.mark.parametrize(("word", "state"), [(word, state) for words, state in CONNECTOR for word in words.split(" ")])
def test_connectors_table(word: str, state: StatusState) -> None:
    assert state_of(word) is state


@pytest.mark.parametrize("reason", f"{KUSTOMIZE} {SOURCES} {HELM}".split(" "))
def test_every_reason_of_flux_has_a_state(reason: str) -> None:
    assert reason in STATES


@pytest.mark.parametrize(
    "reason",
    ["DependencyNotReady", "HealthCheckCanceled", "Progressing", "NewArtifact", "info", "GitOperationSucceeded"],
)
def test_what_passes_by_itself_is_neither_red_nor_green(reason: str) -> None:
    assert not state_of(reason, severity="error").is_final


def test_unknown_reason_is_judged_by_its_severity() -> None:
    assert state_of("BrandNewReason", severity="error") is StatusState.FAILURE
    assert state_of("BrandNewReason", severity="info") is StatusState.PENDING
    assert state_of("BrandNewReason") is StatusState.PENDING


def test_flux_severity_and_argo_phase_are_two_words() -> None:
    assert (state_of("error"), state_of("Error")) == (StatusState.FAILURE, StatusState.ERROR)


@given(st.text(), st.text())
def test_any_word_has_an_answer(word: str, severity: str) -> None:
    assert state_of(word, severity=severity) in StatusState
