"""`fluxtrail trace kind/name`: from an object in a cluster back to a commit, asked of the running service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
import yaml
from click.testing import CliRunner, Result
from tests.runtime.worlds import Cluster, Running, make_environ, make_settings, running, until

from fluxtrail.cli.main import cli

SHA = "5e8f2c6b9d3a41708c2e6f5b1a0d9e8c7b6a5f43"
AWAY = "ssh://git@git.invalid/acme/fleet"
"""Nobody can fetch it: the chain ends with a commit that is not followed."""
WHOLE = [
    ("HelmRelease", "shop", "cart"),
    ("HelmChart", "flux-system", "shop-cart"),
    ("HelmRepository", "flux-system", "acme"),
    ("Kustomization", "flux-system", "platform"),
    ("GitRepository", "flux-system", "fleet"),
]

OBJECTS = f"""
apiVersion: apps/v1
kind: Deployment
metadata:
  name: cart
  namespace: shop
  labels: {{helm.toolkit.fluxcd.io/name: cart, helm.toolkit.fluxcd.io/namespace: shop}}
spec:
  selector: {{matchLabels: {{app: cart}}}}
  template:
    metadata: {{labels: {{app: cart}}}}
    spec: {{containers: [{{name: cart, image: busybox}}]}}
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata:
  name: cart
  namespace: shop
  labels: {{kustomize.toolkit.fluxcd.io/name: platform, kustomize.toolkit.fluxcd.io/namespace: flux-system}}
spec:
  interval: 5m
  chart: {{spec: {{chart: cart, sourceRef: {{kind: HelmRepository, name: acme, namespace: flux-system}}}}}}
status:
  conditions:
  - {{type: Ready, status: "True", reason: ReconciliationSucceeded, message: Release reconciliation succeeded,
     lastTransitionTime: "2021-07-16T15:42:20Z"}}
  helmChart: flux-system/shop-cart
  lastAttemptedRevision: 6.3.5
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: HelmChart
metadata: {{name: shop-cart, namespace: flux-system}}
spec: {{chart: cart, version: 6.3.5, interval: 5m, sourceRef: {{kind: HelmRepository, name: acme}}}}
status:
  artifact: {{revision: 6.3.5, digest: "sha1:cf13ba96773d9a879cd052c86e73199b3f96c854", path: x, url: x,
    lastUpdateTime: "2021-08-01T04:42:55Z"}}
  conditions:
  - {{type: Ready, status: "True", reason: ChartPullSucceeded, message: "Fetched revision: 6.3.5",
     lastTransitionTime: "2021-07-16T15:32:09Z"}}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: HelmRepository
metadata:
  name: acme
  namespace: flux-system
  labels: {{kustomize.toolkit.fluxcd.io/name: platform, kustomize.toolkit.fluxcd.io/namespace: flux-system}}
spec: {{interval: 5m, url: "https://user:secret@charts.acme.dev/stable"}}
status:
  conditions:
  - {{type: Ready, status: "True", reason: IndexationSucceed, message: "Fetched revision: sha1:8411f23d",
     lastTransitionTime: "2021-07-11T00:25:46Z"}}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {{name: platform, namespace: flux-system}}
spec: {{interval: 5m, path: ./platform/, prune: true, sourceRef: {{kind: GitRepository, name: fleet}}}}
status:
  conditions:
  - {{type: Ready, status: "True", reason: ReconciliationSucceeded,
     message: "Applied revision: main@sha1:{SHA}", lastTransitionTime: "2021-08-01T04:52:56Z"}}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata:
  name: fleet
  namespace: flux-system
  labels: {{kustomize.toolkit.fluxcd.io/name: fleet, kustomize.toolkit.fluxcd.io/namespace: flux-system}}
spec: {{interval: 5m, ref: {{branch: main}}, secretRef: {{name: fleet}}, url: "{AWAY}"}}
"""
"""As `kubectl apply` would make them: without uids; the one revision of the Kustomization is in its message."""


def load(cluster: Cluster, text: str) -> None:
    for item in yaml.safe_load_all(text):
        namespace = item["metadata"]["namespace"]
        if cluster.store.find("namespaces", namespace) is None:
            cluster.store.insert_namespace(namespace)
        plural = {"GitRepository": "gitrepositories", "HelmRepository": "helmrepositories"}.get(
            item["kind"], f"{item['kind'].lower()}s"
        )
        status = item.pop("status", None)
        cluster.store.create(plural, item)
        if status is not None:
            cluster.store.patch_status(plural, item["metadata"]["name"], namespace, status)


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    cluster = Cluster("prod")
    load(cluster, OBJECTS)
    async with cluster.server:
        yield cluster


@pytest.fixture
async def service(tmp_path: Path, cluster: Cluster) -> AsyncIterator[Running]:
    async with running(make_settings(tmp_path, cluster), make_environ(tmp_path)) as service:
        await service.until_ready()
        yield service


async def chain(service: Running, path: str) -> dict[str, Any]:
    found = await service.ask(f"/chains/{path}")
    assert found is not None, path
    (one,) = found["items"]
    return dict(one)


def objects(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(link["kind"], link["namespace"], link["name"]) for link in found["links"]]


async def trace(service: Running, *arguments: str) -> Result:
    environ = {"FLUXTRAIL_SERVER": service.addresses["api"], "NO_COLOR": "1", "COLUMNS": "120", "FLUXTRAIL_TOKEN": None}
    return await anyio.to_thread.run_sync(lambda: CliRunner().invoke(cli, ["trace", *arguments], env=environ))


@pytest.mark.parametrize(
    ("path", "first"),
    [("deployment/shop/cart", [("Deployment", "shop", "cart")]), ("helmrelease/shop/cart", []), ("hr/-/cart", [])],
)
async def test_the_whole_chain_is_found(service: Running, path: str, first: list[tuple[str, str, str]]) -> None:
    found = await chain(service, path)
    assert objects(found) == [*first, *WHOLE, ("Commit", "", SHA)]
    assert found["problem"] == ""
    links = {(link["kind"], link["relation"]): link for link in found["links"]}
    assert links["HelmRepository", "source"]["url"] == "https://charts.acme.dev/stable"
    release = links["HelmRelease", "asked" if not first else "applied_by"]
    assert (release["revision"], release["ready"]) == ("6.3.5", "True")
    assert links["HelmChart", "chart"]["branch"] == "cart 6.3.5"
    platform = links["Kustomization", "applied_by"]
    assert (platform["revision"], platform["path"]) == (f"main@sha1:{SHA}", "./platform/")
    assert platform["last_reconciled"] == "2021-08-01T04:52:56Z"
    end = links["Commit", "revision"]
    assert (end["sha"], end["repository"]) == (SHA, "git.invalid/acme/fleet")


@pytest.mark.parametrize("arguments", [["deployment/cart", "-n", "shop"], ["helmrelease/cart", "-n", "shop"]])
async def test_trace_prints_the_chain(service: Running, arguments: list[str]) -> None:
    result = await trace(service, *arguments)
    assert result.exit_code == 0, result.output
    for kind, namespace, name in WHOLE:
        assert f"{kind}/{namespace}/{name}" in result.stdout
    assert f"commit        {SHA[:8]}  git.invalid/acme/fleet" in result.stdout


async def test_pods_lead_to_what_was_applied(service: Running, cluster: Cluster) -> None:
    uid = cluster.store.get("deployments", "cart", "shop")["metadata"]["uid"]
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "cart", "uid": uid, "controller": True}
    made = cluster.store.create(
        "replicasets",
        _owned("ReplicaSet", "apps/v1", "cart-7d9c5b9f4", owner, {"selector": {"matchLabels": {"a": "b"}}}),
    )
    owner = {**owner, "kind": "ReplicaSet", "name": "cart-7d9c5b9f4", "uid": made["metadata"]["uid"]}
    cluster.store.create("pods", _owned("Pod", "v1", "cart-7d9c5b9f4-x2x9p", owner, {}))
    found = await chain(service, "po/shop/cart-7d9c5b9f4-x2x9p")
    assert objects(found)[:3] == [
        ("Pod", "shop", "cart-7d9c5b9f4-x2x9p"),
        ("ReplicaSet", "shop", "cart-7d9c5b9f4"),
        ("Deployment", "shop", "cart"),
    ]
    assert objects(found)[3:] == [*WHOLE, ("Commit", "", SHA)]
    assert [link["relation"] for link in found["links"]][:4] == ["asked", "owned_by", "owned_by", "applied_by"]


@pytest.mark.parametrize(
    ("plural", "name", "namespace", "problem", "last"),
    [
        ("helmcharts", "shop-cart", "flux-system", "HelmChart/flux-system/shop-cart is named", "Commit"),
        ("gitrepositories", "fleet", "flux-system", "GitRepository/flux-system/fleet is named", "Commit"),
        ("kustomizations", "platform", "flux-system", "Kustomization/flux-system/platform is named", "Kustomization"),
        ("helmreleases", "cart", "shop", "HelmRelease/shop/cart is named", "HelmRelease"),
    ],
)
async def test_what_is_named_and_not_there_is_said(
    service: Running, cluster: Cluster, plural: str, name: str, namespace: str, problem: str, last: str
) -> None:
    cluster.store.delete(plural, name, namespace)
    found = await chain(service, "deploy/shop/cart")
    assert found["problem"].startswith(problem)
    assert [link["name"] for link in found["links"] if not link["found"]] == [name]
    assert found["links"][-1]["kind"] == last


async def test_what_flux_did_not_apply_says_so(service: Running, cluster: Cluster) -> None:
    cluster.store.create("configmaps", _owned("ConfigMap", "v1", "notes", None, {}))
    found = await chain(service, "cm/shop/notes")
    assert (objects(found), "not applied by Flux" in found["problem"]) == ([("ConfigMap", "shop", "notes")], True)


async def test_sources_lead_to_their_commit(service: Running, cluster: Cluster) -> None:
    artifact = {"revision": f"main@sha1:{SHA}", "digest": "sha256:0", "path": "x", "url": "x"}
    status = {"artifact": artifact | {"lastUpdateTime": "2021-08-01T04:42:55Z"}}
    cluster.store.patch_status("gitrepositories", "fleet", "flux-system", status)
    cluster.store.patch("gitrepositories", "fleet", "flux-system", {"metadata": {"labels": None}})
    found = await chain(service, "gitrepo/flux-system/fleet")
    assert objects(found) == [("GitRepository", "flux-system", "fleet"), ("Commit", "", SHA)]


@pytest.mark.parametrize(
    "path", ["deploy/shop/basket", "deploy/nowhere/cart", "rollouts.argoproj.io/shop/cart", "x/y/z"]
)
async def test_what_is_not_there_is_not_found(service: Running, path: str) -> None:
    assert await service.ask(f"/chains/{path}") is None


@pytest.mark.parametrize(
    ("path", "said"), [("deploy/-/cart", "in all namespaces: state one"), ("deploy/shop/cart", "may not be read (")]
)
async def test_what_may_not_be_read_is_said(service: Running, cluster: Cluster, path: str, said: str) -> None:
    cluster.server.faults.fail_requests(403, "deployments", verbs=("get", "list"), count=2)
    found = await chain(service, path)
    assert (len(found["links"]), found["links"][0]["found"]) == (1, False)
    assert said in found["problem"]


async def test_a_link_that_may_not_be_read_ends_the_chain(service: Running, cluster: Cluster) -> None:
    cluster.server.faults.fail_requests(403, "helmreleases", verbs=("get",), count=1)
    found = await chain(service, "deploy/shop/cart")
    assert [link["kind"] for link in found["links"]] == ["Deployment", "HelmRelease"]
    assert "HelmRelease/shop/cart may not be read" in found["problem"]


async def test_references_of_ill_will_lead_nowhere(service: Running, cluster: Cluster) -> None:
    """Whoever may write a release must not have us read what he may not."""
    chart = {"status": {"helmChart": "../../../../api/v1/namespaces/shop/secrets/.."}}
    cluster.store.patch_status("helmreleases", "cart", "shop", chart["status"])
    found = await chain(service, "hr/shop/cart")
    assert [link["kind"] for link in found["links"] if not link["found"]] == ["HelmChart"]


async def test_owners_in_a_circle_end(service: Running, cluster: Cluster) -> None:
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "b", "uid": "2", "controller": True}
    cluster.store.create("configmaps", _owned("ConfigMap", "v1", "a", owner, {}))
    cluster.store.create("configmaps", _owned("ConfigMap", "v1", "b", {**owner, "name": "a", "uid": "1"}, {}))
    found = await chain(service, "cm/shop/a")
    assert (len(found["links"]), "leads back to itself" in found["problem"]) == (2, True)


async def test_a_cluster_that_is_away_is_said(service: Running, cluster: Cluster) -> None:
    await cluster.server.stop()

    async def is_away() -> bool:
        return (await service.get("api", "/api/v1/chains/deploy/shop/cart"))[0] == 503

    await until(is_away, "a problem of the cluster")


def _owned(kind: str, version: str, name: str, owner: dict[str, Any] | None, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "shop"} | ({"ownerReferences": [owner]} if owner else {})
    return {"apiVersion": version, "kind": kind, "metadata": metadata} | ({"spec": spec} if kind != "ConfigMap" else {})
