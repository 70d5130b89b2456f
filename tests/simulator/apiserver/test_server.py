from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
import yaml
from tests.simulator.apiserver.kube_api import APPS, KUSTOMIZATIONS, Api, kustomization, until

from fluxtrail.model.errors import ConfigError
from fluxtrail.simulator.apiserver.kubeconfig import write_kubeconfig
from fluxtrail.simulator.apiserver.resources import FLUX_RESOURCES, ResourceDefinition
from fluxtrail.simulator.apiserver.server import ApiServer
from fluxtrail.simulator.apiserver.store import Store
from fluxtrail.simulator.apiserver.subscription import StoreEvent, Subscription

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
WIDGETS = ResourceDefinition(group="example.org", versions=("v1", "v1alpha1"), kind="Widget", plural="widgets")


async def test_health_and_version(api: Api) -> None:
    for path in ("/healthz", "/readyz"):
        async with api.session.get(api.server.url + path) as response:
            assert (response.status, await response.text()) == (200, "ok")
    assert (await api.get("/version"))["major"] == "1"


async def test_discovery_names_groups_versions_and_resources(api: Api) -> None:
    assert (await api.get("/api"))["versions"] == ["v1"]
    groups = {group["name"]: group for group in (await api.get("/apis"))["groups"]}
    assert groups["helm.toolkit.fluxcd.io"]["preferredVersion"]["groupVersion"] == "helm.toolkit.fluxcd.io/v2"
    assert {version["version"] for version in groups["notification.toolkit.fluxcd.io"]["versions"]} == {"v1beta3", "v1"}
    resources = {r["name"]: r for r in (await api.get("/apis/kustomize.toolkit.fluxcd.io/v1"))["resources"]}
    assert resources["kustomizations"]["shortNames"] == ["ks"]
    assert "watch" in resources["kustomizations"]["verbs"]
    assert resources["kustomizations/status"]["verbs"] == ["get", "patch", "update"]
    core = {resource["name"] for resource in (await api.get("/api/v1"))["resources"]}
    assert {"namespaces", "configmaps", "secrets", "pods", "events"} <= core


async def test_aggregated_discovery(api: Api) -> None:
    _, document = await api.call("GET", "/apis", headers={"Accept": AGGREGATED})
    assert document["kind"] == "APIGroupDiscoveryList"
    found = {
        resource["responseKind"]["kind"]
        for group in document["items"]
        for version in group["versions"]
        for resource in version["resources"]
    }
    assert {definition.kind for definition in FLUX_RESOURCES} <= found


async def test_flux_kinds_are_all_listed_at_their_versions(api: Api) -> None:
    for definition in FLUX_RESOURCES:
        listing = await api.get(f"/apis/{definition.group}/{definition.versions[0]}/{definition.plural}")
        assert listing["kind"] == f"{definition.kind}List"


@pytest.mark.parametrize("path", ["/nope", "/apis/foo", "/apis/foo/v1", "/apis/kustomize.toolkit.fluxcd.io/v1/foos"])
async def test_unknown_paths_are_plain_text(api: Api, path: str) -> None:
    async with api.session.get(api.server.url + path) as response:
        assert (response.status, await response.text()) == (404, "404 page not found\n")


@pytest.mark.parametrize("path", ["/api/v1/foos", "/apis/apps/v1/foos", "/api/v2", "/api/v1/configmaps/a/b/c/d"])
async def test_unknown_resources_of_builtin_groups_are_a_status(api: Api, path: str) -> None:
    expected = (404, "NotFound", "the server could not find the requested resource")
    assert await api.refused("GET", path) == expected


async def test_wrong_methods(api: Api) -> None:
    for method, path in (("POST", "/version"), ("PUT", APPS), ("DELETE", f"{APPS}/a/status")):
        assert (await api.refused(method, path, body={}))[:2] == (405, "MethodNotAllowed")


async def test_cluster_uid_is_that_of_kube_system(session: aiohttp.ClientSession) -> None:
    async with ApiServer(cluster_uid="11111111-2222-4333-8444-555555555555") as server:
        namespace = await Api(server, session).get("/api/v1/namespaces/kube-system")
    assert namespace["metadata"]["uid"] == "11111111-2222-4333-8444-555555555555"


async def test_clock_dates_what_is_stored(session: aiohttp.ClientSession) -> None:
    async with ApiServer(clock=lambda: datetime(2030, 1, 2, 3, 4, 5, 678, tzinfo=UTC)) as server:
        namespace = await Api(server, session).get("/api/v1/namespaces/default")
    assert namespace["metadata"]["creationTimestamp"] == "2030-01-02T03:04:05Z"


async def test_tokens_and_their_rotation(session: aiohttp.ClientSession) -> None:
    async with ApiServer(tokens={"first": "admin"}) as server:
        api = Api(server, session)
        right = {"Authorization": "Bearer first"}
        assert await api.refused("GET", "/api/v1/pods") == (401, "Unauthorized", "Unauthorized")
        assert (await api.call("GET", "/api/v1/pods", headers={"Authorization": "Bearer wrong"}))[0] == 401
        assert (await api.call("GET", "/api/v1/pods", headers=right))[0] == 200
        await api.control("rotate_tokens", tokens={"second": "admin"})
        assert (await api.call("GET", "/api/v1/pods", headers=right))[0] == 401
        assert (await api.call("GET", "/api/v1/pods", headers={"Authorization": "Bearer second"}))[0] == 200


async def test_restricted_user_sees_its_namespaces_only(session: aiohttp.ClientSession) -> None:
    async with ApiServer(tokens={"t": "robot"}) as server:
        server.access.restrict("robot", namespaces=frozenset({"flux-system"}))
        api = Api(server, session)
        headers = {"Authorization": "Bearer t"}
        status, body = await api.call("GET", KUSTOMIZATIONS, headers=headers)
        assert status == 403
        assert body["message"] == (
            'kustomizations.kustomize.toolkit.fluxcd.io is forbidden: User "robot" cannot list resource '
            '"kustomizations" in API group "kustomize.toolkit.fluxcd.io" at the cluster scope'
        )
        own = APPS.replace("/apps/", "/flux-system/")
        assert (await api.call("GET", own, headers=headers))[0] == 200
        status, body = await api.call("GET", f"{APPS}/a", headers=headers)
        assert (status, body["details"]["name"]) == (403, "a")
        assert (await api.call("GET", "/api/v1/namespaces/kube-system", headers=headers))[0] == 200


async def test_crd_over_http_is_served_until_it_is_deleted(api: Api) -> None:
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": {"properties": {"spec": {"properties": {"size": {"default": 3}}}}}},
    }
    crd = {
        "metadata": {"name": "gears.example.org"},
        "spec": {
            "group": "example.org",
            "names": {"plural": "gears", "kind": "Gear"},
            "scope": "Cluster",
            "versions": [version],
        },
    }
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    status, body = await api.call("POST", crds, body=crd)
    assert status == 201
    assert {c["type"]: c["status"] for c in body["status"]["conditions"]}["Established"] == "True"
    gears = "/apis/example.org/v1/gears"
    status, gear = await api.call("POST", gears, body={"metadata": {"name": "g"}, "spec": {}})
    assert (status, gear["spec"], gear["kind"]) == (201, {"size": 3}, "Gear")
    assert (await api.call("DELETE", f"{crds}/gears.example.org"))[0] == 200
    async with api.session.get(api.server.url + gears) as response:
        assert response.status == 404
    wrong = {**crd, "metadata": {"name": "wrong.example.org"}}
    assert (await api.refused("POST", crds, body=wrong))[:2] == (422, "Invalid")


async def test_resource_installed_at_run_time(api: Api) -> None:
    store = api.server.store
    with pytest.raises(ConfigError):
        store.list("widgets")
    store.install(WIDGETS)
    store.create(WIDGETS, {"metadata": {"name": "w", "namespace": "apps"}})
    for version in WIDGETS.versions:
        (item,) = (await api.get(f"/apis/example.org/{version}/widgets"))["items"]
        assert item["apiVersion"] == f"example.org/{version}"
    names = [crd["metadata"]["name"] for crd in store.list("customresourcedefinitions")]
    assert "widgets.example.org" in names


async def test_kubeconfig_has_a_context_for_each_server(tmp_path: Path) -> None:
    async with ApiServer(name="one", tokens={"secret": "admin"}) as one, ApiServer(name="two") as two:
        path = tmp_path / "config"
        write_kubeconfig(path, [one, two])
        document = yaml.safe_load(path.read_text())
        assert path.stat().st_mode & 0o077 == 0
        assert document["current-context"] == "one"
        assert [context["name"] for context in document["contexts"]] == ["one", "two"]
        assert [cluster["cluster"]["server"] for cluster in document["clusters"]] == [one.url, two.url]
        assert [user["user"] for user in document["users"]] == [{"token": "secret"}, {}]


async def test_restarted_server_keeps_its_port_and_objects(session: aiohttp.ClientSession) -> None:
    server = ApiServer()
    async with server:
        url = server.url
        server.store.create("kustomizations", kustomization("a", namespace="default"))
    with pytest.raises(aiohttp.ClientError):
        await Api(server, session).get(KUSTOMIZATIONS)
    async with server:
        assert server.url == url
        assert len((await Api(server, session).get(KUSTOMIZATIONS))["items"]) == 1


async def take(subscription: Subscription, count: int) -> list[StoreEvent]:
    async with asyncio.timeout(5):
        return [await anext(subscription) for _ in range(count)]


async def test_subscription_hears_changes_from_now_on(api: Api) -> None:
    store = api.server.store
    store.create("kustomizations", kustomization("before"))
    subscription = store.subscribe("kustomizations", "apps")
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(take(subscription, 2))
        store.create("kustomizations", kustomization("elsewhere", namespace="other"))
        store.create("kustomizations", kustomization("a"))
        store.delete("kustomizations", "a", "apps")
    assert [(event.type, event.name) for event in reading.result()] == [("ADDED", "a"), ("DELETED", "a")]
    assert reading.result()[0].object["kind"] == "Kustomization"


async def test_subscription_resyncs_after_a_gap_and_ends_with_its_resource(api: Api) -> None:
    store: Store = api.server.store
    subscription = store.subscribe("kustomizations")
    store.create("kustomizations", kustomization("a"))
    store.compact()
    assert [event.type for event in await take(subscription, 1)] == ["RESYNC"]
    store.create("kustomizations", kustomization("b"))
    assert [event.name for event in subscription.pending()] == ["b"]
    store.uninstall("kustomizations")
    async with asyncio.timeout(5):
        last = [event.type async for event in subscription]
    assert last == ["DELETED", "DELETED", "CLOSED"]


def test_seed_makes_identities_repeatable() -> None:
    def uids() -> list[str]:
        store = ApiServer(seed=7, cluster_uid="x").store
        first = store.create("kustomizations", kustomization("a"))
        second = store.create("pods", {"metadata": {"generateName": "p-", "namespace": "apps"}})
        return [first["metadata"]["uid"], second["metadata"]["uid"], second["metadata"]["name"]]

    assert uids() == uids()


async def test_in_process_copies_are_the_callers_own(api: Api) -> None:
    store = api.server.store
    store.create("kustomizations", kustomization("a"))
    store.get("kustomizations", "a", "apps")["spec"]["path"] = "changed"
    assert store.get("kustomizations", "a", "apps")["spec"]["path"] == "./a"
    assert store.find("kustomizations", "nope", "apps") is None
    await until(lambda: True)
