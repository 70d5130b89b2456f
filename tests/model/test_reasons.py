from __future__ import annotations

from datetime import UTC, datetime

import pytest
from tests.trail.transcripts import Controller, rev

from fluxtrail.model.flux import Condition
from fluxtrail.model.reasons import REASONS, Outcome, names_success_of, outcome_of, revision_at_work, work_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FAILED = {
    "BuildFailed",
    "ReconciliationFailed",
    "PruneFailed",
    "HealthCheckFailed",
    "ArtifactFailed",
    "InvalidCELExpression",
    "InvalidPath",
    "InvalidURL",
    "AccessDenied",
    "FeatureGateDisabled",
    "InsecureConnectionsDisallowed",
    "UnsupportedConnectionType",
    "Failed",
}


def ready(status: str, reason: str, message: str = "") -> Condition:
    return Condition("Ready", status, reason, message, NOON)


def test_the_table_knows_the_terminal_reasons() -> None:
    assert {reason for reason, outcome in REASONS.items() if outcome is Outcome.FAILED} == FAILED


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (None, Outcome.UNKNOWN),
        *((ready("False", reason), Outcome.FAILED) for reason in sorted(FAILED)),
        (ready("True", "ReconciliationSucceeded"), Outcome.SUCCEEDED),
        (ready("True", "SomethingNew"), Outcome.SUCCEEDED),
        (ready("True", "BuildFailed"), Outcome.SUCCEEDED),
        (ready("Unknown", "Progressing"), Outcome.RUNNING),
        (ready("Unknown", "SomethingNew"), Outcome.RUNNING),
        (ready("Unknown", "BuildFailed"), Outcome.RUNNING),
        (ready("Unknown", "ReconciliationSucceeded"), Outcome.RUNNING),
        (ready("Unknown", "DependencyNotReady"), Outcome.WAITING),
        (ready("False", "Progressing"), Outcome.RUNNING),
        (ready("False", "HealthCheckCanceled"), Outcome.RUNNING),
        (ready("False", "DependencyNotReady"), Outcome.WAITING),
        (ready("False", "Suspended"), Outcome.WAITING),
        (ready("False", "SomethingNew"), Outcome.FAILED),
        (ready("False", "ReconciliationSucceeded"), Outcome.FAILED),
        (ready("", ""), Outcome.RUNNING),
    ],
    ids=lambda value: f"{value.status}-{value.reason}" if isinstance(value, Condition) else str(value),
)
def test_outcome_of_a_ready_condition(condition: Condition | None, expected: Outcome) -> None:
    assert outcome_of(condition) is expected


@pytest.mark.parametrize(
    ("message", "step", "revision"),
    [
        (f"Fetching manifests for revision {rev(1)} with a timeout of 1m0s", "Fetching manifests", rev(1)),
        (f"Building manifests for revision {rev(1)} with a timeout of 1m0s", "Building manifests", rev(1)),
        (f"Detecting drift for revision {rev(1)} with a timeout of 1m0s", "Detecting drift", rev(1)),
        (f"Running health checks for revision {rev(1)} with a timeout of 30s", "Running health checks", rev(1)),
        (f"Running health checks for revision {rev(1, 'feature/x')}", "Running health checks", rev(1, "feature/x")),
    ],
)
def test_work_names_its_step_and_revision(message: str, step: str, revision: str) -> None:
    flux = Controller()
    flux.write(conditions=(Condition("Reconciling", "True", "Progressing", message, NOON),))
    work = work_of(flux.object)
    assert work is not None
    assert (work.step, work.revision, work.is_checking) == (step, revision, step == "Running health checks")


def test_the_revision_at_work_is_the_one_that_is_named() -> None:
    flux = Controller()
    flux.fail_artifact(rev(2))
    assert revision_at_work(flux.object) == rev(2)  # though `lastAttemptedRevision` never got there
    flux.succeed(rev(3))
    assert revision_at_work(flux.object) == rev(3)


def test_checks_that_failed_are_not_under_way() -> None:
    flux = Controller(has_checks=True)
    flux.fail_health(rev(1))
    work = work_of(flux.object)
    assert work is not None
    assert (work.step, work.is_checking) == ("Running health checks", False)


@pytest.mark.parametrize(
    "conditions",
    [
        (),
        (Condition("Ready", "Unknown", "Progressing", f"Fetching manifests for revision {rev(1)}", NOON),),
        (Condition("Reconciling", "True", "Progressing", "reconciliation in progress", NOON),),
        (Condition("Reconciling", "True", "Progressing", "", None),),
    ],
    ids=["none", "only ready", "another message", "empty"],
)
def test_no_work_that_is_not_named(conditions: tuple[Condition, ...]) -> None:
    flux = Controller()
    flux.write(conditions=conditions)
    assert work_of(flux.object) is None


@pytest.mark.parametrize(
    ("condition", "revision", "expected"),
    [
        (ready("True", "ReconciliationSucceeded", f"Applied revision: {rev(1)}"), rev(1), True),
        (ready("True", "ReconciliationSucceeded", f"Applied revision: {rev(1)}"), rev(2), False),
        (ready("True", "ReconciliationSucceeded", "all well"), rev(1), False),
        (ready("Unknown", "Progressing", f"Applied revision: {rev(1)}"), rev(1), False),
        (ready("True", "ReconciliationSucceeded", "Applied revision: "), None, False),
        (None, rev(1), False),
    ],
    ids=["this", "another", "other words", "not true", "no revision", "no condition"],
)
def test_success_of_a_revision(condition: Condition | None, revision: str | None, expected: bool) -> None:
    assert names_success_of(condition, revision) is expected
