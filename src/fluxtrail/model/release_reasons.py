"""The table: what the reasons of a HelmRelease's conditions mean for the change that is being released.

Source: fluxcd/helm-controller api/v2 and api/v2beta1 condition_types.go, internal/controller, internal/reconcile.
"""

from __future__ import annotations

import re

from fluxtrail.model.flux import Condition
from fluxtrail.model.reasons import REASONS, Outcome
from fluxtrail.model.releases import HelmRelease

RELEASE_REASONS: dict[str, Outcome] = REASONS | {
    "InstallSucceeded": Outcome.SUCCEEDED,
    "UpgradeSucceeded": Outcome.SUCCEEDED,
    "TestSucceeded": Outcome.SUCCEEDED,
    "InstallFailed": Outcome.FAILED,
    "UpgradeFailed": Outcome.FAILED,
    "TestFailed": Outcome.FAILED,
    # A remediation that went well is the end of a change that did not.
    "RollbackSucceeded": Outcome.FAILED,
    "RollbackFailed": Outcome.FAILED,
    "UninstallFailed": Outcome.FAILED,
    "RetriesExceeded": Outcome.FAILED,
    "MissingRollbackTarget": Outcome.FAILED,
    "ReconcileError": Outcome.FAILED,
    "StateError": Outcome.FAILED,
    "ValuesError": Outcome.FAILED,
    "ChartMutateError": Outcome.FAILED,
    "RESTClientError": Outcome.FAILED,
    "ResourceManagerError": Outcome.FAILED,
    "FactoryError": Outcome.FAILED,
    "InitFailed": Outcome.FAILED,
    "GetLastReleaseFailed": Outcome.FAILED,
    "SourceNotReady": Outcome.FAILED,
    # Not the end: another action follows at once.
    "UninstallSucceeded": Outcome.RUNNING,
    "PendingRelease": Outcome.RUNNING,
    "AwaitingTests": Outcome.CHECKING,
}
"""By the reason of Ready=False, and of Ready=Unknown where it says that something is under way."""

BEFORE_ATTEMPT = frozenset(
    {
        "ArtifactFailed",
        "SourceNotReady",
        "DependencyNotReady",
        "AccessDenied",
        "InvalidCELExpression",
        "ValuesError",
        "ChartMutateError",
        "RESTClientError",
        "ResourceManagerError",
        "InitFailed",
    }
)
"""Reasons that come before Flux notes what it attempts: `lastAttempted…` still speaks of the attempt before."""

_IS_BEING_MADE = ("latest generation of object has not been reconciled", "does not have an artifact")
"""How SourceNotReady ends while the chart is on its way; else it ends with what is wrong with the chart."""
_RELEASE_NAMED = re.compile(r"[Rr]elease (?P<name>\S{1,520})\.v(?P<version>\d{1,9}) with chart ")
_WAIT_FAILED = re.compile(
    r"timeout waiting for: |timed out waiting for the condition|context deadline exceeded|resource not ready"
    r"|failed early due to stalled resources"
)


def outcome_of_release(release: HelmRelease) -> Outcome:
    """Return what a HelmRelease's conditions say of what it is at.

    An unknown reason is judged by its status alone: False failed, True succeeded. Stalled is the end of the road, even
    where Ready says that something is under way.
    """
    ready, stalled = release.find_condition("Ready"), release.find_condition("Stalled")
    if ready is not None and ready.status == "True":
        return Outcome.SUCCEEDED
    if stalled is not None and stalled.status == "True":
        return Outcome.FAILED
    if ready is None:
        return Outcome.UNKNOWN
    known = RELEASE_REASONS.get(ready.reason)
    if ready.status == "False":
        return _outcome_of_no(release, ready, known)
    return Outcome.RUNNING if known in (None, Outcome.SUCCEEDED, Outcome.FAILED) else known


def _outcome_of_no(release: HelmRelease, ready: Condition, known: Outcome | None) -> Outcome:
    if ready.reason == "SourceNotReady" and ready.message.endswith(_IS_BEING_MADE):
        return Outcome.WAITING
    if ready.reason == "UninstallSucceeded" and is_remediated(release):
        return Outcome.FAILED
    return Outcome.FAILED if known in (None, Outcome.SUCCEEDED) else known


def is_remediated(release: HelmRelease) -> bool:
    """True if the last change that failed was rolled back or uninstalled."""
    remediated = release.find_condition("Remediated")
    return remediated is not None and remediated.status == "True"


def is_before_attempt(release: HelmRelease) -> bool:
    """True if Flux did not get as far as attempting what it would."""
    ready = release.find_condition("Ready")
    return ready is not None and ready.status == "False" and ready.reason in BEFORE_ATTEMPT


def failure_of(release: HelmRelease) -> Condition | None:
    """Return the condition that tells why the change failed, rather than what was done about it."""
    ready = release.find_condition("Ready")
    if is_before_attempt(release):
        return ready
    released, tested = release.find_condition("Released"), release.find_condition("TestSuccess")
    if released is not None and released.status == "False" and released.reason != "UninstallSucceeded":
        return released
    if tested is not None and tested.status == "False":
        return tested
    return ready if ready is not None and ready.status == "False" else release.find_condition("Stalled")


def version_named(condition: Condition | None) -> int | None:
    """Return Helm's number of the release that a condition speaks of; None where it names none."""
    match = _RELEASE_NAMED.search(condition.message) if condition else None
    return int(match["version"]) if match else None


def is_wait_failure(condition: Condition) -> bool:
    """True if everything was applied, and Helm waited in vain for it to run."""
    return _WAIT_FAILED.search(condition.message) is not None
