"""The table: every reason of a HelmRelease's conditions with its outcome."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from tests.model.test_releases import read

from fluxtrail.model.flux import Condition
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.release_reasons import (
    BEFORE_ATTEMPT,
    RELEASE_REASONS,
    failure_of,
    is_before_attempt,
    is_wait_failure,
    outcome_of_release,
    version_named,
)
from fluxtrail.model.releases import HelmRelease

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def condition(kind: str, status: str, reason: str, message: str = "") -> Condition:
    return Condition(kind, status, reason, message, NOON)


def release(*conditions: Condition) -> HelmRelease:
    return msgspec.structs.replace(read(), conditions=conditions)


@pytest.mark.parametrize(
    ("status", "reason", "outcome"),
    [
        ("True", "InstallSucceeded", Outcome.SUCCEEDED),
        ("True", "UpgradeSucceeded", Outcome.SUCCEEDED),
        ("True", "TestSucceeded", Outcome.SUCCEEDED),
        ("True", "ReconciliationSucceeded", Outcome.SUCCEEDED),
        ("True", "RollbackSucceeded", Outcome.SUCCEEDED),
        ("Unknown", "Progressing", Outcome.RUNNING),
        ("Unknown", "ProgressingWithRetry", Outcome.RUNNING),
        ("Unknown", "AwaitingTests", Outcome.CHECKING),
        ("Unknown", "UpgradeFailed", Outcome.RUNNING),
        ("Unknown", "Novel", Outcome.RUNNING),
        ("False", "InstallFailed", Outcome.FAILED),
        ("False", "UpgradeFailed", Outcome.FAILED),
        ("False", "TestFailed", Outcome.FAILED),
        ("False", "RollbackSucceeded", Outcome.FAILED),
        ("False", "RollbackFailed", Outcome.FAILED),
        ("False", "UninstallFailed", Outcome.FAILED),
        ("False", "UninstallSucceeded", Outcome.RUNNING),
        ("False", "ArtifactFailed", Outcome.FAILED),
        ("False", "SourceNotReady", Outcome.FAILED),
        ("False", "DependencyNotReady", Outcome.WAITING),
        ("False", "HealthCheckCanceled", Outcome.RUNNING),
        ("False", "PendingRelease", Outcome.RUNNING),
        ("False", "InvalidCELExpression", Outcome.FAILED),
        ("False", "AccessDenied", Outcome.FAILED),
        ("False", "ValuesError", Outcome.FAILED),
        ("False", "ChartMutateError", Outcome.FAILED),
        ("False", "RESTClientError", Outcome.FAILED),
        ("False", "ResourceManagerError", Outcome.FAILED),
        ("False", "FactoryError", Outcome.FAILED),
        ("False", "StateError", Outcome.FAILED),
        ("False", "ReconcileError", Outcome.FAILED),
        ("False", "RetriesExceeded", Outcome.FAILED),
        ("False", "MissingRollbackTarget", Outcome.FAILED),
        ("False", "InitFailed", Outcome.FAILED),
        ("False", "GetLastReleaseFailed", Outcome.FAILED),
        ("False", "ReconciliationFailed", Outcome.FAILED),
        ("False", "Suspended", Outcome.WAITING),
        ("False", "UpgradeSucceeded", Outcome.FAILED),
        ("False", "Novel", Outcome.FAILED),
    ],
)
def test_ready_says_how_it_stands(status: str, reason: str, outcome: Outcome) -> None:
    assert outcome_of_release(release(condition("Ready", status, reason))) is outcome


def test_nothing_said_is_unknown() -> None:
    assert outcome_of_release(release()) is Outcome.UNKNOWN


@pytest.mark.parametrize("reason", ["RetriesExceeded", "MissingRollbackTarget"])
@pytest.mark.parametrize(
    ("ready", "outcome"),
    [
        (condition("Ready", "False", "UpgradeFailed"), Outcome.FAILED),
        (condition("Ready", "Unknown", "Progressing"), Outcome.FAILED),
        (condition("Ready", "True", "UpgradeSucceeded"), Outcome.SUCCEEDED),
    ],
    ids=["failed", "progressing", "ready"],
)
def test_stalled_is_the_end_unless_all_is_well(reason: str, ready: Condition, outcome: Outcome) -> None:
    assert outcome_of_release(release(condition("Stalled", "True", reason), ready)) is outcome


@pytest.mark.parametrize(
    ("message", "outcome"),
    [
        ("HelmChart 'a/b' is not ready: latest generation of object has not been reconciled", Outcome.WAITING),
        ("OCIRepository 'a/b' is not ready: does not have an artifact", Outcome.WAITING),
        ("HelmChart 'a/b' is not ready: invalid chart reference: no 'x' chart with version 9", Outcome.FAILED),
    ],
)
def test_chart_on_its_way_is_waited_for_and_one_that_cannot_be_had_fails(message: str, outcome: Outcome) -> None:
    assert outcome_of_release(release(condition("Ready", "False", "SourceNotReady", message))) is outcome


def test_uninstallation_is_a_failure_only_where_it_was_a_remedy() -> None:
    ready = condition("Ready", "False", "UninstallSucceeded")
    assert outcome_of_release(release(ready, condition("Remediated", "True", "UninstallSucceeded"))) is Outcome.FAILED


RELEASED = condition("Released", "False", "UpgradeFailed", "why")
TESTED = condition("TestSuccess", "False", "TestFailed", "test")
STALLED = condition("Stalled", "True", "RetriesExceeded")
ROLLED_BACK = condition("Ready", "False", "RollbackSucceeded", "back")


@pytest.mark.parametrize(
    ("conditions", "reason"),
    [
        ((ROLLED_BACK, RELEASED, condition("Remediated", "True", "RollbackSucceeded")), "UpgradeFailed"),
        ((ROLLED_BACK, condition("Released", "True", "UpgradeSucceeded"), TESTED), "TestFailed"),
        ((condition("Ready", "False", "ArtifactFailed"), RELEASED, TESTED), "ArtifactFailed"),
        ((condition("Ready", "False", "StateError"), condition("Released", "True", "X")), "StateError"),
        (
            (condition("Ready", "Unknown", "Progressing"), condition("Stalled", "True", "RetriesExceeded")),
            "RetriesExceeded",
        ),
    ],
    ids=["rolled back", "test", "chart", "state", "stalled"],
)
def test_cause_of_a_failure_is_told_rather_than_its_remedy(conditions: tuple[Condition, ...], reason: str) -> None:
    cause = failure_of(release(*conditions))
    assert cause is not None
    assert cause.reason == reason


@pytest.mark.parametrize("reason", sorted(BEFORE_ATTEMPT))
def test_what_comes_before_an_attempt_is_in_the_table(reason: str) -> None:
    assert RELEASE_REASONS[reason] in (Outcome.FAILED, Outcome.WAITING)
    assert is_before_attempt(release(condition("Ready", "False", reason)))
    assert not is_before_attempt(release(condition("Ready", "Unknown", reason)))


@pytest.mark.parametrize(
    ("message", "version"),
    [
        ("Helm upgrade succeeded for release shop/cart.v12 with chart cart@6.3.5", 12),
        ("Helm release shop/cart.v1 with chart cart@6.3.5 is awaiting tests", 1),
        ("Helm upgrade failed for release shop/cart with chart cart@6.3.5: timeout", None),
        ("Release reconciliation succeeded", None),
        ("", None),
    ],
)
def test_release_that_is_named(message: str, version: int | None) -> None:
    assert version_named(condition("Released", "True", "X", message)) == version
    assert version_named(None) is None


@pytest.mark.parametrize(
    ("message", "waited"),
    [
        ("Helm upgrade failed for …: timeout waiting for: [Deployment/shop/cart status: 'InProgress']", True),
        ("Helm install failed: timed out waiting for the condition", True),
        ("Helm upgrade failed: context deadline exceeded", True),
        ("Helm upgrade failed: cannot patch: Deployment is invalid: spec.replicas", False),
    ],
)
def test_waiting_in_vain_is_told_from_other_failures(message: str, waited: bool) -> None:
    assert is_wait_failure(condition("Released", "False", "UpgradeFailed", message)) is waited
