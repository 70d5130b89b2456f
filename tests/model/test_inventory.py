"""Which entries of an inventory are kept, and what applied an object."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxtrail.model.flux import HELM_GROUP, KUSTOMIZE_GROUP, find_parent
from fluxtrail.model.inventory import MAX_INVENTORY, is_workload, may_run, parse_inventory_id, read_inventory
from fluxtrail.model.observation import ObjectKey
from fluxtrail.model.wire import WireAppliedMeta, WireInventory, WireInventoryEntry, WireParentLabels

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9.:-]{0,10}[a-z0-9])?", fullmatch=True)


def inventory(*ids: str | None) -> WireInventory:
    return WireInventory(entries=[WireInventoryEntry(id=item) for item in ids])


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("shop_cart_apps_Deployment", ObjectKey("apps", "Deployment", "shop", "cart")),
        ("default_podinfo__Service", ObjectKey("", "Service", "default", "podinfo")),
        ("_shop__Namespace", ObjectKey("", "Namespace", "", "shop")),
        (
            "_system__controller__cart_rbac.authorization.k8s.io_ClusterRole",
            ObjectKey("rbac.authorization.k8s.io", "ClusterRole", "", "system:controller:cart"),
        ),
        ("kube-system_a__b__ConfigMap", ObjectKey("", "ConfigMap", "kube-system", "a:b")),
        ("", None),
        ("shop", None),
        ("shop_cart", None),
        ("shop_cart_Deployment", None),
        ("shop__apps_Deployment", None),
        ("shop_cart_apps_", None),
    ],
)
def test_id_is_taken_apart(text: str, key: ObjectKey | None) -> None:
    assert parse_inventory_id(text) == key


@given(
    namespace=st.just("") | NAMES.filter(lambda name: ":" not in name),
    name=NAMES,
    group=st.sampled_from(["", "apps", "cert-manager.io"]),
    kind=st.sampled_from(["Pod", "Deployment"]),
)
def test_every_id_that_flux_writes_is_read_back(namespace: str, name: str, group: str, kind: str) -> None:
    text = f"{namespace}_{name.replace(':', '__')}_{group}_{kind}"
    assert parse_inventory_id(text) == ObjectKey(group, kind, namespace, name)


@given(st.text(alphabet="ab_"))
def test_no_text_stops_it(text: str) -> None:
    parse_inventory_id(text)


@pytest.mark.parametrize(
    ("group", "kind", "runs"),
    [
        ("apps", "Deployment", True),
        ("apps", "ReplicaSet", True),
        ("apps", "ControllerRevision", False),
        ("batch", "CronJob", True),
        ("", "Pod", True),
        ("", "ReplicationController", True),
        ("", "ConfigMap", False),
        ("", "Secret", False),
        ("policy", "PodDisruptionBudget", False),
        ("autoscaling", "HorizontalPodAutoscaler", False),
        ("networking.k8s.io", "Ingress", False),
        ("rbac.authorization.k8s.io", "Role", False),
        ("apiextensions.k8s.io", "CustomResourceDefinition", False),
        ("cluster.x-k8s.io", "MachineDeployment", True),
        ("argoproj.io", "Rollout", True),
        (HELM_GROUP, "HelmRelease", True),
        (KUSTOMIZE_GROUP, "Kustomization", False),
        ("source.toolkit.fluxcd.io", "GitRepository", False),
        ("source.extensions.fluxcd.io", "ArtifactGenerator", False),
    ],
)
def test_what_may_run_is_kept(group: str, kind: str, runs: bool) -> None:
    assert may_run(ObjectKey(group, kind, "shop", "cart")) is runs


def test_inventory_is_sorted_with_workloads_first_and_bounded() -> None:
    many = [f"shop_c{number:05}_argoproj.io_Rollout" for number in range(MAX_INVENTORY + 10)]
    kept = read_inventory(inventory(*many, None, "", "nonsense", "shop_web_apps_Deployment", "shop_c_batch_Job"))
    assert [str(key) for key in kept[:3]] == ["Deployment/shop/web", "Job/shop/c", "Rollout/shop/c00000"]
    assert [is_workload(key) for key in kept[:3]] == [True, True, False]
    assert len(kept) == MAX_INVENTORY


@pytest.mark.parametrize("wire", [None, WireInventory(), WireInventory(entries=[None])])
def test_no_inventory_is_an_empty_one(wire: WireInventory | None) -> None:
    assert read_inventory(wire) == ()


KUSTOMIZED = {"kustomization_name": "apps", "kustomization_namespace": "flux-system"}
RELEASED = {"release_name": "umbrella", "release_namespace": "shop"}


@pytest.mark.parametrize(
    ("labels", "parent"),
    [
        (None, None),
        ({}, None),
        ({"kustomization_name": "apps"}, None),
        (KUSTOMIZED, ObjectKey(KUSTOMIZE_GROUP, "Kustomization", "flux-system", "apps")),
        (RELEASED, ObjectKey(HELM_GROUP, "HelmRelease", "shop", "umbrella")),
        (KUSTOMIZED | RELEASED, ObjectKey(KUSTOMIZE_GROUP, "Kustomization", "flux-system", "apps")),
        ({"release_name": "cart", "release_namespace": "shop"}, None),
    ],
    ids=["no labels", "none", "half", "kustomization", "release", "both", "itself"],
)
def test_parent_is_read_from_labels(labels: dict[str, str] | None, parent: ObjectKey | None) -> None:
    meta = WireAppliedMeta(name="cart", namespace="shop", labels=None if labels is None else WireParentLabels(**labels))
    assert find_parent(meta, ObjectKey(HELM_GROUP, "HelmRelease", "shop", "cart")) == parent
