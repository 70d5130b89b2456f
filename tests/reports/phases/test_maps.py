"""gitops-connector's table of states, every reason of Flux, and words that nobody has heard of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxtrail.model.status import StatusState
from fluxtrail.reports.phases.maps import STATES, azure_word, github_word, state_of

CONNECTOR = [
    ("ReconciliationSucceeded Succeeded Synced Healthy", "success", "succeeded"),
    ("NotApplicable Unknown", "success", "notApplicable"),
    ("Progressing Running Inconclusive OutOfSync info", "pending", "pending"),
    # There `error` on Azure DevOps: what waits is not red.
    ("DependencyNotReady", "pending", "pending"),
    ("ReconciliationFailed PruneFailed ArtifactFailed BuildFailed HealthCheckFailed", "failure", "failed"),
    ("ValidationFailed Failed Missing error", "failure", "failed"),
    ("Error Degraded Suspended", "error", "error"),
    # There without an answer.
    ("NewArtifact", "pending", "pending"),
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
STATUS_WORDS_OF_GITHUB = {"error", "failure", "pending", "success"}
STATUS_WORDS_OF_AZURE = {"error", "failed", "notApplicable", "pending", "succeeded"}


@pytest.mark.parametrize(
    ("word", "github", "azure"),
    [(word, github, azure) for words, github, azure in CONNECTOR for word in words.split(" ")],
)
def test_connectors_table(word: str, github: str, azure: str) -> None:
    assert (github_word(word), azure_word(word)) == (github, azure)


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
    assert (github_word("error"), github_word("Error")) == ("failure", "error")


@given(st.text(), st.text())
def test_any_word_has_an_answer(word: str, severity: str) -> None:
    assert github_word(word, severity=severity) in STATUS_WORDS_OF_GITHUB
    assert azure_word(word, severity=severity) in STATUS_WORDS_OF_AZURE
