"""The delivered configuration against the one that Flux's example gives kube-state-metrics."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.reports.resource_metrics.objects import line_of, make, ready

from fluxtrail.reports.resource_metrics.flux import Extra, LabelSet, flux_resources

SOURCE = "source.toolkit.fluxcd.io"
NOTIFICATION = "notification.toolkit.fluxcd.io"
IMAGE = "image.toolkit.fluxcd.io"

EXAMPLE: dict[str, tuple[str, str, dict[str, str], dict[str, Any]]] = {
    "Kustomization": (
        "kustomize.toolkit.fluxcd.io",
        "v1",
        {"revision": "main@sha1:5394", "source_name": "fleet"},
        {
            "spec": {"sourceRef": {"kind": "GitRepository", "name": "fleet"}, "path": "./", "prune": True},
            "status": {"lastAppliedRevision": "main@sha1:5394", "inventory": {"entries": [{"id": "a", "v": "v1"}]}},
        },
    ),
    "HelmRelease": (
        "helm.toolkit.fluxcd.io",
        "v2",
        {
            "revision": "6.5.0",
            "chart_name": "podinfo",
            "chart_app_version": "6.5",
            "chart_ref_name": "ref",
            "chart_source_name": "repo",
        },
        {
            "spec": {
                "chartRef": {"kind": "OCIRepository", "name": "ref"},
                "chart": {"spec": {"chart": "podinfo", "sourceRef": {"name": "repo"}}},
                "values": {"deep": {"down": [1, 2]}},
            },
            "status": {
                "history": [
                    {"chartVersion": "6.5.0", "chartName": "podinfo", "appVersion": "6.5", "status": "deployed"},
                    {"chartVersion": "6.4.0", "chartName": "podinfo", "appVersion": "6.4"},
                ]
            },
        },
    ),
    "GitRepository": (
        SOURCE,
        "v1",
        {"revision": "main@sha1:1", "url": "https://github.com/acme/fleet"},
        {"spec": {"url": "https://github.com/acme/fleet"}, "status": {"artifact": {"revision": "main@sha1:1"}}},
    ),
    "Bucket": (
        SOURCE,
        "v1",
        {"revision": "sha256:1", "endpoint": "minio.example.com", "bucket_name": "manifests"},
        {
            "spec": {"endpoint": "minio.example.com", "bucketName": "manifests"},
            "status": {"artifact": {"revision": "sha256:1"}},
        },
    ),
    "HelmRepository": (
        SOURCE,
        "v1",
        {"revision": "sha256:2", "url": "https://charts.example.com"},
        {"spec": {"url": "https://charts.example.com"}, "status": {"artifact": {"revision": "sha256:2"}}},
    ),
    "HelmChart": (
        SOURCE,
        "v1",
        {"revision": "6.5.0", "chart_name": "podinfo", "chart_version": ">=6"},
        {"spec": {"chart": "podinfo", "version": ">=6"}, "status": {"artifact": {"revision": "6.5.0"}}},
    ),
    "OCIRepository": (
        SOURCE,
        "v1",
        {"revision": "latest@sha256:3", "url": "oci://ghcr.io/acme/manifests"},
        {
            "spec": {"url": "oci://ghcr.io/acme/manifests"},
            "status": {"artifact": {"revision": "latest@sha256:3", "metadata": {"a": "b"}}},
        },
    ),
    "Alert": (NOTIFICATION, "v1beta3", {}, {"spec": {"eventSeverity": "info"}}),
    "Provider": (NOTIFICATION, "v1beta3", {}, {"spec": {"type": "slack"}}),
    # Its webhook_path is a secret: the one label that is left out.
    "Receiver": (NOTIFICATION, "v1", {}, {"spec": {"type": "github"}, "status": {"webhookPath": "/hook/secret"}}),
    "ImageRepository": (IMAGE, "v1", {"image": "ghcr.io/acme/web"}, {"spec": {"image": "ghcr.io/acme/web"}}),
    "ImagePolicy": (IMAGE, "v1", {"source_name": "web"}, {"spec": {"imageRepositoryRef": {"name": "web"}}}),
    "ImageUpdateAutomation": (
        IMAGE,
        "v1",
        {"source_name": "fleet"},
        {"spec": {"sourceRef": {"kind": "GitRepository", "name": "fleet"}}},
    ),
}
STATIC = {"Alert", "Provider"}


def labels_in(line: str) -> tuple[str, dict[str, str], float]:
    (family,) = text_string_to_metric_families(line)
    (sample,) = family.samples
    return sample.name, sample.labels, sample.value


@pytest.mark.parametrize("suspend", [None, False, True])
@pytest.mark.parametrize("kind", EXAMPLE)
def test_labels_are_those_of_the_example(kind: str, suspend: bool | None) -> None:
    group, version, own, parts = EXAMPLE[kind]
    status = {**parts.get("status", {}), **({} if kind in STATIC else {"conditions": ready("False")})}
    spec = {**parts["spec"], **({} if suspend is None else {"suspend": suspend})}
    obj = make(kind, version, spec=spec, status=status)
    expected = {
        "customresource_group": group,
        "customresource_kind": kind,
        "customresource_version": version,
        "exported_namespace": "apps",
        "name": "web",
        **own,
        **({} if kind in STATIC else {"ready": "False"}),
        **({} if suspend is None else {"suspended": str(suspend).lower()}),
    }
    line = line_of(obj)
    assert labels_in(line) == ("gotk_resource_info", expected, 1.0)
    names = [part.partition("=")[0] for part in line.partition("{")[2].split('",')]
    assert names == sorted(names)


@pytest.mark.parametrize("kind", EXAMPLE)
def test_an_object_without_anything_has_its_identity(kind: str) -> None:
    group, version, *_ = EXAMPLE[kind]
    _, labels, _ = labels_in(line_of(make(kind, version)))
    assert labels == {
        "customresource_group": group,
        "customresource_kind": kind,
        "customresource_version": version,
        "exported_namespace": "apps",
        "name": "web",
    }


def test_a_line_is_byte_for_byte_the_one_of_the_example() -> None:
    *_, parts = EXAMPLE["Kustomization"]
    assert line_of(make("Kustomization", **parts)) == (
        'gotk_resource_info{customresource_group="kustomize.toolkit.fluxcd.io",customresource_kind="Kustomization",'
        'customresource_version="v1",exported_namespace="apps",name="web",revision="main@sha1:5394",'
        'source_name="fleet"} 1\n'
    )


def test_all_kinds_of_the_example_are_there_and_six_more() -> None:
    kinds = {item.kind for item in flux_resources()}
    assert kinds - set(EXAMPLE) == {
        "ExternalArtifact", "ArtifactGenerator", "FluxInstance", "FluxReport", "ResourceSet",
        "ResourceSetInputProvider",
    }  # fmt: skip
    assert set(EXAMPLE) <= kinds
    assert {item.kind for item in flux_resources(labels=LabelSet.BASIC)} == set(EXAMPLE)


def test_basic_labels_are_those_of_the_example_of_2023() -> None:
    parts: dict[str, Any] = {
        "spec": {"type": "oci", "suspend": True, "url": "oci://x"},
        "status": {"conditions": ready()},
    }
    _, labels, _ = labels_in(line_of(make("HelmRepository", "v1beta2", **parts), labels=LabelSet.BASIC))
    own = {name: value for name, value in labels.items() if not name.startswith("customresource_")}
    assert own == {"name": "web", "exported_namespace": "apps", "ready": "True", "type": "oci"}
    _, labels, _ = labels_in(line_of(make("GitRepository", **parts), labels=LabelSet.BASIC))
    assert "type" not in labels


def test_an_old_version_of_a_release_has_its_revision_elsewhere() -> None:
    _, labels, _ = labels_in(line_of(make("HelmRelease", "v2beta1", status={"lastAppliedRevision": "6.1.0"})))
    assert (labels["revision"], labels["customresource_version"]) == ("6.1.0", "v2beta1")


MANAGED = [
    {"manager": "flux", "time": "2026-03-01T10:00:00Z", "fieldsV1": {"f:spec": {"f:suspend": {}}}},
    {"manager": "kustomize-controller", "time": "2026-03-02T10:00:00Z", "fieldsV1": {"f:spec": {"f:path": {}}}},
    {"manager": "old", "time": "2026-02-01T10:00:00Z", "fieldsV1": {"f:spec": {"f:suspend": {}}}},
    {"manager": "odd", "time": None, "fieldsV1": None},
]


@pytest.mark.parametrize(
    ("kind", "extra", "parts", "value"),
    [
        ("Kustomization", "attempted_revision", {"status": {"lastAttemptedRevision": "main@sha1:2"}}, "main@sha1:2"),
        ("HelmRelease", "attempted_revision", {"status": {"lastAttemptedRevision": "6.6.0"}}, "6.6.0"),
        ("Kustomization", "origin_revision", {"status": {"lastAppliedOriginRevision": "main@sha1:9"}}, "main@sha1:9"),
        (
            "OCIRepository",
            "origin_revision",
            {"status": {"artifact": {"metadata": {"org.opencontainers.image.revision": "main@sha1:8"}}}},
            "main@sha1:8",
        ),
        ("Bucket", "reason", {"status": {"conditions": ready("False", "BuildFailed")}}, "BuildFailed"),
        ("Alert", "reason", {"status": {"conditions": ready("False", "BuildFailed")}}, None),
        ("Receiver", "webhook_path", {"status": {"webhookPath": "/hook/secret"}}, "/hook/secret"),
        (
            "Kustomization",
            "suspended_since",
            {"spec": {"suspend": True}, "metadata": {"managedFields": MANAGED}},
            "2026-03-01T10:00:00Z",
        ),
        (
            "Kustomization",
            "suspended_since",
            {"spec": {"suspend": False}, "metadata": {"managedFields": MANAGED}},
            None,
        ),
        ("Kustomization", "suspended_since", {"spec": {"suspend": True}}, None),
    ],
)
def test_labels_that_are_asked_for(kind: str, extra: str, parts: dict[str, Any], value: str | None) -> None:
    obj = make(kind, **parts)
    _, labels, _ = labels_in(line_of(obj, extras={Extra(extra)}))
    assert labels.get(extra) == value
    assert extra not in labels_in(line_of(obj))[1]


@pytest.mark.parametrize(
    ("kind", "annotation"),
    [
        ("ArtifactGenerator", "source.extensions.fluxcd.io/reconcile"),
        ("ResourceSet", "fluxcd.controlplane.io/reconcile"),
    ],
)
@pytest.mark.parametrize(
    ("said", "suspended"), [("disabled", "true"), ("Disabled", "true"), ("enabled", None), (None, None)]
)
def test_kinds_without_the_field_are_suspended_by_annotation(
    kind: str, annotation: str, said: str | None, suspended: str | None
) -> None:
    annotations = {annotation: said} if said else None
    _, labels, _ = labels_in(line_of(make(kind, metadata={"annotations": annotations})))
    assert labels.get("suspended") == suspended


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://bot:hunter2@github.com/acme/fleet", "https://github.com/acme/fleet"),
        ("https://github.com/acme/fleet?token=hunter2#x", "https://github.com/acme/fleet"),
        ("ssh://git@github.com/acme/fleet", "ssh://github.com/acme/fleet"),
        ("https://github.com/acme/fleet", "https://github.com/acme/fleet"),
    ],
)
def test_secrets_in_a_url_are_not_shown(url: str, shown: str) -> None:
    line = line_of(make("GitRepository", spec={"url": url}))
    assert labels_in(line)[1]["url"] == shown
    assert "hunter2" not in line


def test_the_path_of_a_webhook_is_not_shown_by_default() -> None:
    line = line_of(make("Receiver", status={"webhookPath": "/hook/secret"}))
    assert "secret" not in line


def test_labels_may_be_left_out_and_the_name_changed() -> None:
    *_, parts = EXAMPLE["Kustomization"]
    line = line_of(make("Kustomization", **parts), prefix="flux", without=("revision",))
    name, labels, _ = labels_in(line)
    assert name == "flux_resource_info"
    assert "revision" not in labels
    assert "source_name" in labels
    assert line_of(make("Alert"), prefix="").startswith("resource_info{")
