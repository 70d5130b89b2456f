"""Objects as links of a chain, in all the shapes that their statuses have and had."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fluxtrail.model.chained import Chained, WireChained, WireChainMade, is_flux, project_chained, project_made
from fluxtrail.model.flux import HELM_GROUP, KUSTOMIZE_GROUP, SOURCE_GROUP
from fluxtrail.model.observation import ObjectKey

GROUPS = {"Kustomization": KUSTOMIZE_GROUP, "HelmRelease": HELM_GROUP}
SHA = "5e8f2c6b9d3a41708c2e6f5b1a0d9e8c7b6a5f43"


def whole(kind: str, *, spec: Any = None, status: Any = None, **metadata: Any) -> Chained:
    meta = {"name": "web", "namespace": "shop"} | metadata
    wire = msgspec.convert({"metadata": meta, "spec": spec, "status": status}, WireChained)
    return project_chained(wire, group=GROUPS.get(kind, SOURCE_GROUP), kind=kind)


def ready(message: str = "", *, status: str = "True") -> dict[str, Any]:
    condition = {"type": "Ready", "status": status, "reason": "R", "message": message}
    return {"conditions": [None, condition | {"lastTransitionTime": "2026-03-01T12:00:00Z"}]}


@pytest.mark.parametrize(
    ("kind", "status", "expected"),
    [
        ("Kustomization", {"lastAppliedRevision": "main@sha1:a"}, "main@sha1:a"),
        ("Kustomization", ready("Applied revision: main@sha1:b"), "main@sha1:b"),
        ("Kustomization", ready("Applied revision: main@sha1:b", status="False"), None),
        ("Kustomization", ready("All is well"), None),
        ("Kustomization", ready() | {"lastAttemptedRevision": "main@sha1:c"}, "main@sha1:c"),
        ("HelmRelease", {"lastAttemptedRevision": "1.0.0", "history": [None, {"chartVersion": "0.9.0"}]}, "0.9.0"),
        ("GitRepository", ready("Fetched revision: main@sha1:d"), "main@sha1:d"),
        ("GitRepository", {"artifact": {"revision": "main@sha1:e"}}, "main@sha1:e"),
        ("GitRepository", None, None),
    ],
)
def test_a_revision_is_read_where_it_is(kind: str, status: Any, expected: str | None) -> None:
    assert whole(kind, status=status).revision == expected


@pytest.mark.parametrize(
    ("kind", "spec", "url", "follows"),
    [
        ("GitRepository", {"url": "https://u:p@git.dev/a?x=1", "ref": {"branch": "main"}}, "https://git.dev/a", "main"),
        ("GitRepository", {"url": "git@git.dev:a", "ref": {"branch": "b", "tag": "v1"}}, "git@git.dev:a", "v1"),
        (
            "OCIRepository",
            {"url": "oci://ghcr.io/a", "ref": {"tag": "v1", "digest": "sha256:1"}},
            "oci://ghcr.io/a",
            "sha256:1",
        ),
        ("OCIRepository", {"ref": {"tag": 7}}, "", ""),
        ("Bucket", {"endpoint": "s3.dev", "bucketName": "b"}, "bucket://s3.dev/b", ""),
        ("HelmChart", {"chart": "web", "version": "1.x"}, "", "web 1.x"),
        ("HelmRelease", {"chart": {"spec": {"chart": "web"}}}, "", "web"),
        ("HelmRelease", {"chart": {}}, "", ""),
        ("HelmRelease", None, "", ""),
    ],
)
def test_what_of_a_source_is_followed(kind: str, spec: Any, url: str, follows: str) -> None:
    found = whole(kind, spec=spec)
    assert (found.url, found.follows) == (url, follows)


@pytest.mark.parametrize(
    ("kind", "spec", "status", "chart", "source"),
    [
        ("Kustomization", {"sourceRef": {"name": "s"}}, None, None, ("GitRepository", "shop")),
        (
            "Kustomization",
            {"sourceRef": {"kind": "Bucket", "name": "s", "namespace": "x"}},
            None,
            None,
            ("Bucket", "x"),
        ),
        ("Kustomization", {"sourceRef": {"kind": "Bucket"}}, None, None, None),
        ("HelmChart", {"sourceRef": {"name": "s", "namespace": "x"}}, None, None, ("HelmRepository", "shop")),
        ("HelmRelease", {"chartRef": {"name": "s"}}, None, ("OCIRepository", "shop"), None),
        (
            "HelmRelease",
            {"chartRef": {"kind": "HelmChart", "name": "s", "namespace": "x"}},
            None,
            ("HelmChart", "x"),
            None,
        ),
        ("HelmRelease", None, {"helmChart": "x/s"}, ("HelmChart", "x"), None),
        ("HelmRelease", None, {"helmChart": "s"}, ("HelmChart", "shop"), None),
        ("HelmRelease", {"chart": {"spec": {"sourceRef": {"name": "s"}}}}, None, None, ("HelmRepository", "shop")),
    ],
)
def test_where_it_is_made_from(
    kind: str, spec: Any, status: Any, chart: tuple[str, str] | None, source: tuple[str, str] | None
) -> None:
    found = whole(kind, spec=spec, status=status)
    assert found.chart == (ObjectKey(SOURCE_GROUP, *chart, "s") if chart else None)
    assert found.source == (ObjectKey(SOURCE_GROUP, *source, "s") if source else None)


def test_an_artifact_says_what_it_was_made_from() -> None:
    notes = {
        "org.opencontainers.image.revision": f"main@sha1:{SHA}",
        "org.opencontainers.image.source": "https://u:p@g.dev/a",
    }
    found = whole("OCIRepository", status={"artifact": {"revision": "v1@sha256:1", "metadata": notes}})
    assert (found.origin, found.origin_url) == (f"main@sha1:{SHA}", "https://g.dev/a")


def test_when_it_was_reconciled() -> None:
    history = [{"lastReconciled": "2026-03-01T13:00:00Z"}]
    kustomization = whole("Kustomization", status=ready() | {"history": history})
    release = whole("HelmRelease", status=ready() | {"history": history})
    assert [item.reconciled_at.hour for item in (kustomization, release) if item.reconciled_at] == [13, 12]
    assert whole("HelmRelease").reconciled_at is None


def made(**metadata: Any) -> Chained:
    wire = msgspec.convert({"metadata": {"name": "web", "namespace": "shop"} | metadata}, WireChainMade)
    return project_made(wire, group="apps", kind="Deployment")


HELM = {"helm.toolkit.fluxcd.io/name": "r", "helm.toolkit.fluxcd.io/namespace": "x"}
KUSTOMIZE = {"kustomize.toolkit.fluxcd.io/name": "k"}


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (None, None),
        ({}, None),
        (HELM | KUSTOMIZE, ObjectKey(HELM_GROUP, "HelmRelease", "x", "r")),
        (KUSTOMIZE, ObjectKey(KUSTOMIZE_GROUP, "Kustomization", "shop", "k")),
    ],
)
def test_labels_say_who_applied_it(labels: dict[str, str] | None, expected: ObjectKey | None) -> None:
    assert made(labels=labels).applied_by == expected


def test_the_root_kustomization_is_applied_by_nobody() -> None:
    labels = {"kustomize.toolkit.fluxcd.io/name": "web", "kustomize.toolkit.fluxcd.io/namespace": "shop"}
    assert whole("Kustomization", labels=labels).applied_by is None


@pytest.mark.parametrize(
    ("owners", "expected"),
    [
        (None, None),
        ([None, {"kind": "X"}], None),
        ([{"apiVersion": "v1", "kind": "A", "name": "a"}], ObjectKey("", "A", "shop", "a")),
        (
            [
                {"apiVersion": "v1", "kind": "A", "name": "a"},
                {"apiVersion": "apps/v1", "kind": "B", "name": "b", "controller": True},
            ],
            ObjectKey("apps", "B", "shop", "b"),
        ),
    ],
)
def test_the_controller_owns_it(owners: Any, expected: ObjectKey | None) -> None:
    assert made(ownerReferences=owners).owner == expected


def test_only_flux_is_read_whole() -> None:
    assert [is_flux(group) for group in (KUSTOMIZE_GROUP, HELM_GROUP, SOURCE_GROUP, "", "apps")] == [True] * 3 + [
        False
    ] * 2
