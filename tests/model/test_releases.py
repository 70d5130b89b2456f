"""HelmReleases on the wire become what is kept of them; their values never do."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxtrail.clusters.deep import decode_deep
from fluxtrail.clusters.wire import is_identified
from fluxtrail.model.flux import HELM_GROUP, KUSTOMIZE_GROUP, SOURCE_GROUP
from fluxtrail.model.observation import ObjectKey
from fluxtrail.model.releases import HelmRelease, Remediation, project_helm_release
from fluxtrail.model.wire_releases import MAX_SNAPSHOTS, WireHelmRelease

META = {"name": "cart", "namespace": "shop", "uid": "u1", "generation": 3}
CHART = {"spec": {"chart": "cart", "version": "6.x", "sourceRef": {"kind": "HelmRepository", "name": "acme"}}}


def read(spec: object = None, status: object = None, **meta: Any) -> HelmRelease:
    document = {"metadata": META | meta, "spec": spec, "status": status}
    return project_helm_release(msgspec.json.decode(msgspec.json.encode(document), type=WireHelmRelease))


def snapshot(version: int, **fields: Any) -> dict[str, Any]:
    return {
        "name": "cart",
        "namespace": "shop",
        "version": version,
        "status": "deployed",
        "chartName": "cart",
        "chartVersion": "6.3.5",
        "configDigest": "sha256:c1",
        "firstDeployed": "2026-03-01T12:00:00Z",
        "lastDeployed": f"2026-03-01T12:{version:02}:00Z",
    } | fields


def test_shape_says_who_it_is_in_one_decoding() -> None:
    assert is_identified(WireHelmRelease)


def test_release_of_today() -> None:
    labels = {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}
    release = read(
        {
            "chart": CHART,
            "suspend": True,
            "dependsOn": [{"name": "db"}, {"name": "dns", "namespace": "net"}, None, {"namespace": "x"}],
            "kubeConfig": {"secretRef": {"name": "far"}},
            "upgrade": {"disableWait": True, "remediation": {"retries": 3}},
            "install": {"strategy": {"name": "RetryOnFailure"}},
            "test": {"enable": True},
        },
        {
            "observedGeneration": 2,
            "helmChart": "charts/shop-cart",
            "lastAttemptedGeneration": 3,
            "lastAttemptedRevision": "6.3.5",
            "lastAttemptedConfigDigest": "sha256:c1",
            "lastAttemptedReleaseAction": "upgrade",
            "failures": 2,
            "upgradeFailures": 1,
            "history": [snapshot(1, status="superseded"), None, snapshot(4, action="upgrade", ociDigest="sha256:o")],
            "inventory": {"entries": [{"id": "shop_cart_apps_Deployment", "v": "v1"}, {"id": "shop_c__ConfigMap"}]},
            "conditions": [{"type": "Ready", "status": "True", "reason": "UpgradeSucceeded", "observedGeneration": 3}],
        },
        labels=labels,
    )
    assert release.key == ObjectKey(HELM_GROUP, "HelmRelease", "shop", "cart")
    assert release.source == ObjectKey(SOURCE_GROUP, "HelmChart", "charts", "shop-cart")
    assert release.chart_source == ObjectKey(SOURCE_GROUP, "HelmRepository", "shop", "acme")
    assert (release.chart, release.chart_version) == ("cart", "6.x")
    assert (release.is_suspended, release.has_checks, release.has_tests) == (True, False, True)
    assert release.depends_on == ("shop/db", "net/dns")
    assert release.kube_config == "shop/far"
    assert (release.generation, release.observed_generation, release.attempted_generation) == (3, 2, 3)
    assert (release.last_attempted, release.last_attempted_config) == ("6.3.5", "sha256:c1")
    assert (release.action, release.failures, release.upgrade_failures) == ("upgrade", 2, 1)
    assert (release.install_remediation, release.upgrade_remediation) == (
        Remediation(-1, "retry"),
        Remediation(3, "rollback"),
    )
    assert [item.version for item in release.history] == [4, 1]
    assert release.newest is not None
    assert (release.newest.name, release.newest.action, release.newest.oci_digest) == (
        "shop/cart",
        "upgrade",
        "sha256:o",
    )
    assert release.newest.last_deployed == datetime(2026, 3, 1, 12, 4, tzinfo=UTC)
    assert release.inventory == (ObjectKey("apps", "Deployment", "shop", "cart"),)
    assert release.parent == ObjectKey(KUSTOMIZE_GROUP, "Kustomization", "flux-system", "apps")
    ready = release.find_condition("Ready")
    assert ready is not None
    assert ready.observed_generation == 3


def test_release_of_old() -> None:
    release = read(
        {"chart": {"spec": CHART["spec"] | {"sourceRef": {"kind": "GitRepository", "name": "g", "namespace": "src"}}}},
        {
            "lastAppliedRevision": "0.1.0",
            "lastReleaseRevision": 7,
            "lastAttemptedValuesChecksum": "da39",
            "history": [],
        },
    )
    assert release.source == ObjectKey(SOURCE_GROUP, "HelmChart", "src", "shop-cart")
    assert (release.last_applied, release.last_release, release.last_attempted_config) == ("0.1.0", 7, "sha1:da39")
    assert (release.attempted_generation, release.newest, release.observed_generation) == (None, None, -1)


@pytest.mark.parametrize(
    ("reference", "key"),
    [
        ({"kind": "OCIRepository", "name": "cart"}, ("OCIRepository", "shop", "cart")),
        ({"kind": "HelmChart", "name": "cart", "namespace": "charts"}, ("HelmChart", "charts", "cart")),
        ({"kind": "ExternalArtifact", "name": "cart"}, ("ExternalArtifact", "shop", "cart")),
        ({"kind": "OCIRepository"}, ("HelmChart", "shop", "shop-cart")),
    ],
)
def test_chart_may_be_referred_to(reference: dict[str, str], key: tuple[str, str, str]) -> None:
    release = read({"chartRef": reference})
    assert release.source == ObjectKey(SOURCE_GROUP, *key)
    assert release.chart_source is None


@pytest.mark.parametrize(
    ("upgrade", "expected"),
    [
        (None, Remediation()),
        ({}, Remediation()),
        ({"remediation": {"retries": 2}}, Remediation(2, "rollback")),
        ({"remediation": {"retries": -1, "strategy": "uninstall"}}, Remediation(-1, "uninstall")),
        ({"remediation": {"remediateLastFailure": True}}, Remediation(0, "rollback")),
        ({"remediation": {}}, Remediation()),
        ({"strategy": {"name": "RemediateOnFailure"}, "remediation": None}, Remediation()),
    ],
)
def test_remediation_of_upgrades(upgrade: object, expected: Remediation) -> None:
    assert read({"upgrade": upgrade}).upgrade_remediation == expected


def test_install_is_uninstalled_only_when_told_to_or_retried() -> None:
    assert read({"install": {"remediation": {"retries": 1}}}).install_remediation == Remediation(1, "uninstall")
    assert read({"install": {"remediation": {"retries": 0}}}).install_remediation == Remediation()


def test_tests_of_a_snapshot() -> None:
    hooks = {
        "a": {"phase": "Succeeded", "lastCompleted": "2026-03-01T12:09:00Z"},
        "b": {"phase": "Failed", "lastCompleted": "2026-03-01T12:08:00Z"},
        "c": None,
    }
    newest = read(status={"history": [snapshot(1, testHooks=hooks)]}).newest
    assert newest is not None
    assert (newest.has_failed_test, newest.tested_at) == (True, datetime(2026, 3, 1, 12, 9, tzinfo=UTC))


def test_history_is_bounded_to_its_newest() -> None:
    release = read(status={"history": [snapshot(number) for number in range(50)]})
    assert [item.version for item in release.history] == list(range(49, 49 - MAX_SNAPSHOTS, -1))


def test_secrets_are_cleared_and_values_are_not_kept() -> None:
    spec = {"values": {"password": "hunter2-value"}, "valuesFrom": [{"kind": "Secret", "name": "x"}]}
    message = "could not reach https://user:hunter2@example.com/?token=hunter2"
    release = read(spec, {"conditions": [{"type": "Ready", "message": message}]})
    assert "hunter2" not in repr(release)


def test_values_nested_without_end_cost_nothing() -> None:
    deep = b"[" * 5_000 + b"]" * 5_000
    body = b'{"metadata":%s,"spec":{"values":%s,"suspend":true}}' % (json.dumps(META).encode(), deep)
    wire = decode_deep(msgspec.json.Decoder(WireHelmRelease), body)
    assert project_helm_release(wire).is_suspended


@given(
    spec=st.sampled_from(["chart", "chartRef", "install", "upgrade", "test", "dependsOn", "kubeConfig", "releaseName"]),
    status=st.sampled_from(["history", "conditions", "inventory", "helmChart", "failures", "lastAttemptedGeneration"]),
)
def test_null_is_as_good_as_absent(spec: str, status: str) -> None:
    assert read({spec: None}, {status: None}) == read({}, {}) == read(None, None)
