"""Recorded statuses of Flux from v2beta1 to v2, each with the finding it is: every condition and reason that Flux has.

The messages are those of the controllers: fluxcd/helm-controller 0.31 to 1.6, kustomize-controller 1.9,
source-controller 1.9.
"""

from __future__ import annotations

from typing import Any

import pytest
from tests.model.doctor.wards import (
    READY,
    Object,
    ago,
    condition,
    findings_of,
    kustomization,
    release,
    source,
)

from fluxtrail.model.doctor.findings import Code, Remedy

C = condition
FAILED = C("Ready", "False", "UpgradeFailed", "Helm upgrade failed for release apps/api with chart api@1.2.0: boom")
RELEASED = C(
    "Released", "False", "UpgradeFailed", "Helm upgrade failed for release apps/api with chart api@1.2.0: boom"
)
EXCEEDED = C("Stalled", "True", "RetriesExceeded", "Failed to upgrade after 1 attempt(s)")
COUNTED = {"failures": 1, "upgradeFailures": 1, "lastAttemptedReleaseAction": "upgrade"}
UPGRADED = C("Ready", "True", "UpgradeSucceeded", "Helm upgrade succeeded for release apps/api.v2 with chart api@1.2.0")


def hr(*conditions: Object, **more: Any) -> Object:
    return release("api", *conditions, **more)


def ks(*conditions: Object, **more: Any) -> Object:
    return kustomization("apps", *conditions, **more)


def git(*conditions: Object, **more: Any) -> Object:
    return source("GitRepository", "fleet", *conditions, **more)


def failing(reason: str, message: str = "it went wrong", **more: Any) -> Object:
    return C("Ready", "False", reason, message, **more)


RELEASES: list[Any] = [
    # flux.md 6.3, today
    pytest.param(
        hr(FAILED, RELEASED, EXCEEDED, status=COUNTED), "v2", Code.RETRIES_EXHAUSTED, Remedy.RESET, id="retries"
    ),
    pytest.param(
        hr(
            C("Ready", "False", "InstallFailed", "x"),
            C("Stalled", "True", "RetriesExceeded", "Failed to install after 1 attempt(s)"),
        ),
        "v2",
        Code.RETRIES_EXHAUSTED,
        Remedy.RESET,
        id="retries-install",
    ),
    pytest.param(
        hr(C("Ready", "False", "TestFailed", "x"), C("TestSuccess", "False", "TestFailed", "x"), EXCEEDED),
        "v2",
        Code.RETRIES_EXHAUSTED,
        Remedy.RESET,
        id="retries-test",
    ),
    pytest.param(
        hr(
            failing("RollbackSucceeded", "Helm rollback to previous release apps/api.v3 succeeded"),
            C("Remediated", "True", "RollbackSucceeded"),
            EXCEEDED,
        ),
        "v2",
        Code.RETRIES_EXHAUSTED,
        Remedy.RESET,
        id="retries-rolled-back",
    ),
    pytest.param(
        hr(failing("UninstallSucceeded"), C("Remediated", "True", "UninstallSucceeded"), EXCEEDED),
        "v2",
        Code.RETRIES_EXHAUSTED,
        Remedy.RESET,
        id="retries-uninstalled",
    ),
    pytest.param(
        hr(FAILED, C("Stalled", "True", "MissingRollbackTarget", "Failed to perform remediation: missing target")),
        "v2",
        Code.ROLLBACK_IMPOSSIBLE,
        Remedy.RESET,
        id="missing-rollback-target",
    ),
    # flux.md 6.3, then
    pytest.param(
        hr(failing("UpgradeFailed", "upgrade retries exhausted")),
        "v2beta1",
        Code.RETRIES_EXHAUSTED,
        Remedy.SUSPEND_RESUME,
        id="v2beta1-upgrade",
    ),
    pytest.param(
        hr(failing("InstallFailed", "install retries exhausted")),
        "v2beta1",
        Code.RETRIES_EXHAUSTED,
        Remedy.SUSPEND_RESUME,
        id="v2beta1-install",
    ),
    pytest.param(
        hr(failing("UpgradeFailed", "upgrade retries exhausted")),
        "v2beta2",
        Code.RETRIES_EXHAUSTED,
        Remedy.RESET,
        id="v2beta2",
    ),
    pytest.param(
        hr(
            failing("UpgradeFailed", "Helm upgrade failed: another operation (install/upgrade/rollback) is in progress")
        ),
        "v2beta1",
        Code.LOCKED,
        None,
        id="v2beta1-locked",
    ),
    # locked
    *(
        pytest.param(
            hr(
                C("Ready", "Unknown", "Progressing"),
                status={
                    "history": [{"version": 4, "status": state, "chartVersion": "1.2.0", "lastDeployed": ago(hours=1)}]
                },
            ),
            "v2",
            Code.LOCKED,
            Remedy.RESET,
            id=state,
        )
        for state in ("pending-install", "pending-upgrade", "pending-rollback")
    ),
    pytest.param(
        hr(
            failing(
                "PendingRelease",
                "Unlock of Helm release apps/api.v4 with chart api@1.2.0 in pending-upgrade state failed: x",
            )
        ),
        "v2",
        Code.LOCKED,
        Remedy.RESET,
        id="unlock-failed",
    ),
    pytest.param(
        hr(
            C("Ready", "Unknown", "Progressing", "Running 'upgrade' action with timeout of 5m0s", since=ago(minutes=2)),
            status={"history": [{"version": 4, "status": "pending-upgrade", "lastDeployed": ago(minutes=2)}]},
        ),
        "v2",
        None,
        None,
        id="an-upgrade-under-way",
    ),
    # stuck
    pytest.param(
        hr(
            C("Reconciling", "True", "Progressing", "Running 'upgrade' action with timeout of 5m0s"),
            C("Ready", "Unknown", "Progressing"),
        ),
        "v2",
        Code.STUCK,
        Remedy.RESET,
        id="stuck",
    ),
    pytest.param(
        hr(
            C("Reconciling", "True", "Progressing", "Running 'test' action", since=ago(minutes=14)),
            metadata={"managedFields": []},
        ),
        "v2",
        None,
        None,
        id="in-progress-within-timeout-and-interval",
    ),
    pytest.param(hr(C("Ready", "Unknown", "AwaitingTests")), "v2", Code.STUCK, Remedy.RESET, id="stuck-tests"),
    pytest.param(
        hr(C("Ready", "Unknown", "Progressing")), "v2beta1", Code.STUCK, Remedy.SUSPEND_RESUME, id="v2beta1-stuck"
    ),
    # it retries by itself
    pytest.param(
        hr(
            FAILED,
            C("Reconciling", "True", "ProgressingWithRetry", "retrying"),
            spec={"upgrade": {"strategy": {"name": "RetryOnFailure"}}},
            status=COUNTED,
        ),
        "v2",
        Code.FAILING,
        None,
        id="retry-on-failure",
    ),
    pytest.param(hr(FAILED, C("Reconciling", "True", "ProgressingWithRetry")), "v2", Code.FAILING, None, id="retrying"),
    # other reasons of 1.4, and those that come before an attempt
    *(
        pytest.param(hr(failing(reason)), "v2", Code.FAILING, None, id=reason)
        for reason in (
            "InstallFailed",
            "UpgradeFailed",
            "TestFailed",
            "RollbackFailed",
            "RollbackSucceeded",
            "UninstallFailed",
            "UninstallSucceeded",
            "StateError",
            "ReconcileError",
            "ValuesError",
            "HealthCheckCanceled",
            "ChartMutateError",
            "RESTClientError",
            "ResourceManagerError",
            "FactoryError",
            "InventoryBuildFailed",
            "Novel",
        )
    ),
    pytest.param(
        hr(failing("ArtifactFailed", "Could not load chart: bad tarball")),
        "v2",
        Code.FAILING,
        None,
        id="ArtifactFailed-source-well",
    ),
    pytest.param(hr(failing("UpgradeFailed", since=ago(minutes=1))), "v2", None, None, id="failed-a-minute-ago"),
    # terminal, but not for want of retries
    *(
        pytest.param(
            hr(failing(reason), C("Stalled", "True", reason, "no")), "v2", Code.STALLED, None, id=f"stalled-{reason}"
        )
        for reason in ("InvalidCELExpression", "AccessDenied", "FeatureGateDisabled")
    ),
    # drift
    pytest.param(
        hr(
            UPGRADED,
            C("Drifted", "True", "DriftDetected", "Deployment/apps/api changed"),
            spec={"driftDetection": {"mode": "warn"}},
        ),
        "v2",
        Code.DRIFTED,
        None,
        id="drift-left-alone",
    ),
    pytest.param(hr(UPGRADED, C("Drifted", "False", "NoDriftDetected")), "v2", None, None, id="NoDriftDetected"),
    # well
    *(
        pytest.param(hr(C("Ready", "True", reason)), "v2", None, None, id=reason)
        for reason in ("InstallSucceeded", "UpgradeSucceeded", "TestSucceeded", "ReconciliationSucceeded", "Succeeded")
    ),
    pytest.param(hr(), "v2", None, None, id="nothing-said"),
    # not looked at
    pytest.param(
        hr(
            UPGRADED,
            metadata={"generation": 2, "managedFields": [{"manager": "kubectl-edit", "time": ago(minutes=30)}]},
        ),
        "v2",
        Code.NOT_OBSERVED,
        None,
        id="generation-not-observed",
    ),
    pytest.param(
        hr(
            C("Reconciling", "True", "Progressing", generation=2, since=ago(minutes=3)),
            metadata={"generation": 2, "managedFields": [{"manager": "kubectl-edit", "time": ago(minutes=3)}]},
        ),
        "v2",
        None,
        None,
        id="generation-at-work",
    ),
    pytest.param(
        hr(UPGRADED, metadata={"deletionTimestamp": ago(hours=2), "finalizers": ["finalizers.fluxcd.io"]}),
        "v2",
        Code.DELETION_STUCK,
        None,
        id="deleting",
    ),
    pytest.param(hr(UPGRADED, metadata={"deletionTimestamp": ago(minutes=2)}), "v2", None, None, id="just-deleted"),
]

KUSTOMIZATIONS: list[Any] = [
    *(
        pytest.param(
            ks(failing(reason), C("Reconciling", "True", "ProgressingWithRetry")), Code.FAILING, None, id=reason
        )
        for reason in (
            "BuildFailed",
            "ReconciliationFailed",
            "PruneFailed",
            "HealthCheckFailed",
            "HealthCheckCanceled",
            "DirectoryCreationFailed",
            "Failed",
        )
    ),
    pytest.param(
        ks(failing("ArtifactFailed", "kustomization path not found: stat ./apps")),
        Code.FAILING,
        None,
        id="path-not-found",
    ),
    *(
        pytest.param(ks(failing(reason), C("Stalled", "True", reason, "x")), Code.STALLED, None, id=f"stalled-{reason}")
        for reason in (
            "InvalidCELExpression",
            "AccessDenied",
            "FeatureGateDisabled",
            "InvalidPath",
            "InvalidURL",
            "UnsupportedConnectionType",
            "InsecureConnectionsDisallowed",
        )
    ),
    pytest.param(
        ks(
            C("Ready", "Unknown", "Progressing"),
            C(
                "Reconciling",
                "True",
                "Progressing",
                "Running health checks for revision main@sha1:1 with a timeout of 9m30s",
            ),
        ),
        Code.STUCK,
        Remedy.RECONCILE,
        id="stuck-in-health-checks",
    ),
    pytest.param(
        ks(C("Ready", "Unknown", "Progressing", since=ago(minutes=12)), metadata={"managedFields": []}),
        None,
        None,
        id="health-checks-under-way",
    ),
    pytest.param(ks(failing("HealthCheckFailed", since=ago(seconds=20))), None, None, id="failed-just-now"),
    pytest.param(
        ks(
            failing("HealthCheckFailed", since=ago(seconds=20)),
            status={
                "history": [
                    {"digest": "sha256:1", "lastReconciledStatus": "HealthCheckFailed", "firstReconciled": ago(hours=3)}
                ]
            },
        ),
        Code.FAILING,
        None,
        id="fails-again-and-again-each-time-just-now",
    ),
    pytest.param(
        ks(C("Ready", "True", "ReconciliationSucceeded"), C("Healthy", "True", "Succeeded")),
        None,
        None,
        id="ReconciliationSucceeded",
    ),
]

SOURCES: list[Any] = [
    pytest.param(
        git(
            failing("GitOperationFailed", "failed to checkout: unable to clone: dial tcp: i/o timeout"),
            C("FetchFailed", "True", "GitOperationFailed", "dial tcp: i/o timeout"),
        ),
        Code.FETCH_FAILING,
        id="git",
    ),
    pytest.param(
        git(
            C(
                "FetchFailed",
                "True",
                "GitOperationFailed",
                "unable to clone 'https://git.example.com/fleet': authentication required: Unauthorized",
            )
        ),
        Code.ACCESS_FAILING,
        id="git-credentials",
    ),
    pytest.param(
        git(
            C(
                "FetchFailed",
                "True",
                "AuthenticationFailed",
                "failed to get secret 'apps/key': secrets \"key\" not found",
            )
        ),
        Code.ACCESS_FAILING,
        id="AuthenticationFailed",
    ),
    pytest.param(
        git(C("FetchFailed", "True", "GitOperationFailed", "ssh: handshake failed: knownhosts: key mismatch")),
        Code.ACCESS_FAILING,
        id="host-key",
    ),
    pytest.param(
        git(C("FetchFailed", "True", "InvalidProviderConfiguration", "secretRef with provider azure")),
        Code.FETCH_FAILING,
        id="InvalidProviderConfiguration",
    ),
    pytest.param(
        git(C("IncludeUnavailable", "True", "NotFound", "could not get resource for include 'x'")),
        Code.FETCH_FAILING,
        id="IncludeUnavailable",
    ),
    pytest.param(
        git(
            C("SourceVerified", "False", "VerificationError", "signature verification of commit failed"),
            failing("VerificationError"),
        ),
        Code.UNVERIFIED,
        id="VerificationError",
    ),
    *(
        pytest.param(
            git(C("StorageOperationFailed", "True", reason, "no space left on device"), failing(reason)),
            Code.STORAGE_FAILING,
            id=reason,
        )
        for reason in (
            "DirectoryCreationFailed",
            "StatOperationFailed",
            "ReadOperationFailed",
            "AcquireLockFailed",
            "ArchiveOperationFailed",
            "SymlinkUpdateFailed",
            "CacheOperationFailed",
            "PatchOperationFailed",
        )
    ),
    *(
        pytest.param(git(C("Stalled", "True", reason, "x"), failing(reason)), Code.STALLED, id=f"stalled-{reason}")
        for reason in ("URLInvalid", "InvalidPath", "InvalidSTSConfiguration", "InvalidProviderConfiguration")
    ),
    pytest.param(
        source(
            "OCIRepository",
            "o",
            C("FetchFailed", "True", "OCIArtifactPullFailed", "GET https://ghcr.io/v2/: DENIED: denied"),
        ),
        Code.ACCESS_FAILING,
        id="oci-denied",
    ),
    pytest.param(
        source("OCIRepository", "o", C("FetchFailed", "True", "OCIArtifactPullFailed", "MANIFEST_UNKNOWN")),
        Code.FETCH_FAILING,
        id="oci",
    ),
    pytest.param(
        source("OCIRepository", "o", failing("OCIArtifactLayerOperationFailed")), Code.FETCH_FAILING, id="oci-layer"
    ),
    pytest.param(
        source("Bucket", "b", C("FetchFailed", "True", "BucketOperationFailed", "bucket 'x' not found")),
        Code.FETCH_FAILING,
        id="bucket",
    ),
    pytest.param(
        source("HelmRepository", "h", C("FetchFailed", "True", "IndexationFailed", "failed to fetch index")),
        Code.FETCH_FAILING,
        id="helm-index",
    ),
    pytest.param(
        source(
            "HelmChart",
            "c",
            C("FetchFailed", "True", "NoSourceArtifact", "no artifact available for HelmRepository source 'h'"),
        ),
        Code.SOURCE_NOT_READY,
        id="chart-without-source",
    ),
    pytest.param(
        source("HelmChart", "c", C("BuildFailed", "True", "InvalidChartReference", "chart 'x' version '9' not found")),
        Code.FAILING,
        id="chart-build",
    ),
    pytest.param(
        source(
            "HelmRepository",
            "h",
            spec={"type": "oci"},
            status={"artifact": None, "observedGeneration": -1},
            metadata={"managedFields": []},
        ),
        None,
        id="helm-oci-says-nothing",
    ),
    pytest.param(
        source("ExternalArtifact", "e", READY, status={"observedGeneration": None}, metadata={"generation": 4}),
        None,
        id="external-artifact-has-no-generation",
    ),
    pytest.param(
        source("HelmChart", "c", C("FetchFailed", "True", "SourceUnavailable", "failed to get source: not found")),
        Code.SOURCE_NOT_READY,
        id="chart-source-unavailable",
    ),
    pytest.param(
        source("HelmRepository", "h", spec={"type": "oci"}, status={"artifact": None}), None, id="helm-oci-is-static"
    ),
    pytest.param(
        git(C("ArtifactOutdated", "True", "NewRevision", "new upstream revision 'main@sha1:2'"), READY),
        Code.SOURCE_STALE,
        id="outdated",
    ),
    pytest.param(
        git(C("Reconciling", "True", "Progressing", "building artifact"), C("Ready", "Unknown", "Progressing")),
        Code.SOURCE_STALE,
        id="busy-for-an-hour",
    ),
    pytest.param(
        git(C("Reconciling", "True", "Progressing", since=ago(minutes=2)), metadata={"managedFields": []}),
        None,
        id="busy",
    ),
    pytest.param(
        git(C("FetchFailed", "True", "GitOperationFailed", "i/o timeout", since=ago(minutes=1))),
        None,
        id="failed-just-now",
    ),
    *(
        pytest.param(git(C("Ready", "True", reason), C("ArtifactInStorage", "True", reason)), None, id=reason)
        for reason in (
            "Succeeded",
            "GitOperationSucceeded",
            "ArtifactUpToDate",
            "BucketOperationSucceeded",
            "ChartPullSucceeded",
            "ChartPackageSucceeded",
        )
    ),
    pytest.param(
        git(metadata={"generation": 3, "managedFields": [{"manager": "kubectl", "time": ago(hours=1)}]}),
        Code.NOT_OBSERVED,
        id="not-observed",
    ),
]


@pytest.mark.parametrize(("obj", "version", "code", "remedy"), RELEASES)
def test_a_release_is_found_for_what_it_is(obj: Object, version: str, code: Code | None, remedy: Remedy | None) -> None:
    found = [each for each in findings_of(obj, version=version) if each.kind == "HelmRelease"]
    assert [(each.code, each.remedy) for each in found] == ([(code, remedy)] if code else [])


@pytest.mark.parametrize(
    ("conditions", "stated", "action"),
    [
        ([FAILED, RELEASED, EXCEEDED], "install", "upgrade"),
        ([FAILED, EXCEEDED], "", "upgrade"),
        ([failing("UninstallSucceeded"), EXCEEDED], "", "upgrade"),
        ([failing("InstallFailed", "install retries exhausted")], "upgrade", "install"),
        ([failing("RollbackSucceeded", "retries exhausted"), RELEASED], "install", "upgrade"),
        ([failing("TestFailed", "retries exhausted")], "install", "install"),
        ([failing("TestFailed", "upgrade retries exhausted")], "", "upgrade"),
    ],
)
def test_the_action_that_failed_is_the_one_that_the_conditions_name(
    conditions: list[Object], stated: str, action: str
) -> None:
    retries = {"install": {"remediation": {"retries": 1}}, "upgrade": {"remediation": {"retries": 2}}}
    obj = hr(*conditions, spec=retries, status={"lastAttemptedReleaseAction": stated or None})
    (found,) = (each for each in findings_of(obj) if each.kind == "HelmRelease")
    assert found.cause.startswith(f"The {action} failed and its retries are used up")
    assert any(each.field == f"spec.{action}.remediation.retries" for each in found.evidence)


@pytest.mark.parametrize(("obj", "code", "remedy"), KUSTOMIZATIONS)
def test_a_kustomization_is_found_for_what_it_is(obj: Object, code: Code | None, remedy: Remedy | None) -> None:
    found = [each for each in findings_of(obj) if each.kind == "Kustomization"]
    assert [(each.code, each.remedy) for each in found] == ([(code, remedy)] if code else [])


@pytest.mark.parametrize(("obj", "code"), SOURCES)
def test_a_source_is_found_for_what_it_is(obj: Object, code: Code | None) -> None:
    found = [each for each in findings_of(obj) if each.name == obj["metadata"]["name"]]
    assert [each.code for each in found] == ([code] if code else [])
    assert not any(each.remedy for each in found)


@pytest.mark.parametrize(
    "obj", [*(p.values[0] for p in RELEASES), *(p.values[0] for p in KUSTOMIZATIONS), *(p.values[0] for p in SOURCES)]
)
def test_every_finding_says_cause_evidence_and_what_to_do(obj: Object) -> None:
    for found in findings_of(obj):
        assert found.cause.strip()
        assert found.evidence
        assert all(each.field and each.value and "\n" not in each.value for each in found.evidence)
        assert found.commands
        assert all(each.startswith(("fluxtrail ", "flux ", "kubectl ", "helm ")) for each in found.commands)
        assert found.runbook == f"docs/runbooks/{found.code.value}.md"
