from __future__ import annotations

import pytest

from fluxtrail.gitops.apply.ordering import circle_of, in_order
from fluxtrail.gitops.apply.selecting import choice_of, select
from fluxtrail.gitops.objects.manifests import Manifest

KS, HR, SOURCE = "kustomize.toolkit.fluxcd.io/v1", "helm.toolkit.fluxcd.io/v2", "source.toolkit.fluxcd.io/v1"


def manifest(kind: str, name: str, *depends_on: str, api: str = KS, source: str = "all.yaml") -> Manifest:
    spec = {"dependsOn": [{"name": each} for each in depends_on]}
    data = {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": "flux-system"}, "spec": spec}
    return Manifest(source=source, line=1, data=data, api_version=api, kind=kind, namespace="flux-system", name=name)


def names(manifests: list[Manifest]) -> list[str]:
    return [each.name for each in manifests]


def test_what_others_need_comes_first() -> None:
    given = [
        manifest("Alert", "alert", api="notification.toolkit.fluxcd.io/v1beta3"),
        manifest("HelmRelease", "release", api=HR),
        manifest("HelmChart", "chart", api=SOURCE),
        manifest("GitRepository", "source", api=SOURCE),
        manifest("ConfigMap", "values", api="v1"),
        manifest("ClusterRoleBinding", "binding", api="rbac.authorization.k8s.io/v1"),
        manifest("ClusterRole", "role", api="rbac.authorization.k8s.io/v1"),
        manifest("ServiceAccount", "account", api="v1"),
        manifest("CustomResourceDefinition", "crd", api="apiextensions.k8s.io/v1"),
        manifest("Namespace", "namespace", api="v1"),
    ]
    assert names(in_order(given)) == names(given[::-1])


def test_dependencies_come_before_those_that_need_them() -> None:
    given = [
        manifest("Kustomization", "c", "b", "elsewhere"),
        manifest("Kustomization", "b", "a"),
        manifest("HelmRelease", "a", api=HR),
        manifest("Kustomization", "a"),
    ]
    assert names(in_order(given)) == ["a", "a", "b", "c"]
    assert circle_of(given) == ()


def test_circle_is_named_and_stops_nothing() -> None:
    given = [manifest("Kustomization", "a", "b"), manifest("Kustomization", "b", "a"), manifest("Kustomization", "c")]
    assert sorted(names(in_order(given))) == ["a", "b", "c"]
    assert circle_of(given) == tuple(f"Kustomization/flux-system/{name}" for name in "aba")


def test_long_chain_is_ordered() -> None:
    given = [manifest("Kustomization", str(n), str(n - 1)) for n in range(300, 0, -1)]
    assert names(in_order(given)) == [str(n) for n in range(1, 301)]
    assert circle_of(given) == ()


def test_object_that_stands_twice_is_kept_twice() -> None:
    given = [manifest("Kustomization", "a"), manifest("Kustomization", "a")]
    assert names(in_order(given)) == ["a", "a"]


@pytest.mark.parametrize("depends_on", [None, "text", [None, 1, {"name": 3}, {}]])
def test_malformed_dependencies_are_none(depends_on: object) -> None:
    one = manifest("Kustomization", "a")
    one.data["spec"]["dependsOn"] = depends_on
    assert names(in_order([one])) == ["a"]


@pytest.mark.parametrize(
    ("source", "kind", "api", "choice"),
    [
        ("flux-source-git-k8s.io.yaml", "GitRepository", SOURCE, "sources"),
        ("x/flux-ks-apps.yaml", "Namespace", "v1", "kustomizations"),
        ("x/flux-hr-web.yaml", "ConfigMap", "v1", "releases"),
        ("other.yaml", "OCIRepository", SOURCE, "sources"),
        ("other.yaml", "Kustomization", KS, "kustomizations"),
        ("other.yaml", "HelmRelease", HR, "releases"),
        ("other.yaml", "ConfigMap", "v1", ""),
    ],
)
def test_file_name_says_what_an_object_belongs_to_else_its_kind(source: str, kind: str, api: str, choice: str) -> None:
    one = manifest(kind, "a", api=api, source=source)
    assert choice_of(one) == choice
    assert select([one], ["all"]) == select([one], []) == [one]
    assert select([one], [choice or "sources"]) == ([one] if choice else [])
