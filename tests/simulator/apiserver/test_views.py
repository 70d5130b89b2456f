"""Objects as metadata alone, as clients ask for kinds they know nothing of."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.simulator.apiserver.kube_api import APPS, Api, kustomization

from fluxtrail.simulator.apiserver.resources import ARGO_ROLLOUTS

PODS = "/api/v1/namespaces/apps/pods"
ROLLOUTS = "/apis/argoproj.io/v1alpha1/rollouts"
META = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1"
ONE, LIST = META.format(""), META.format("List")
OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "u-1", "controller": True}


def pod(name: str, **metadata: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "apps", "ownerReferences": [OWNER]} | metadata
    return {"metadata": metadata, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}


async def accepting(api: Api, path: str, accept: str, **query: Any) -> tuple[int, Any]:
    return await api.call("GET", path, headers={"Accept": accept}, **query)


async def test_a_list_of_metadata_says_of_each_item_what_it_is(api: Api) -> None:
    api.server.store.create("pods", pod("a"))
    api.server.store.create("kustomizations", kustomization("b"))
    for path in (PODS, APPS):
        status, listing = await accepting(api, path, LIST)
        assert status == 200
        assert list(listing) == ["kind", "apiVersion", "metadata", "items"]
        assert (listing["kind"], listing["apiVersion"]) == ("PartialObjectMetadataList", "meta.k8s.io/v1")
        [item] = listing["items"]
        assert list(item) == ["kind", "apiVersion", "metadata"]
        assert (item["kind"], item["apiVersion"]) == ("PartialObjectMetadata", "meta.k8s.io/v1")
        assert item["metadata"]["uid"]


async def test_metadata_keeps_owners_and_everything_else(api: Api) -> None:
    stored = api.server.store.create("pods", pod("a", labels={"app": "web"}, annotations={"note": "x"}))
    status, found = await accepting(api, f"{PODS}/a", ONE)
    assert status == 200
    assert found == {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": stored["metadata"]}
    assert found["metadata"]["ownerReferences"] == [OWNER]


async def test_pages_of_metadata_go_on_where_they_ended(api: Api) -> None:
    for name in "abc":
        api.server.store.create("pods", pod(name))
    _, first = await accepting(api, PODS, LIST, limit=2)
    _, second = await accepting(api, PODS, LIST, limit=2, **{"continue": first["metadata"]["continue"]})
    assert [item["metadata"]["name"] for item in first["items"] + second["items"]] == ["a", "b", "c"]


async def test_a_watch_of_metadata_tells_changes_and_bookmarks_without_the_rest(api: Api) -> None:
    version = api.server.store.resource_version
    query = {"watch": "true", "resourceVersion": str(version), "allowWatchBookmarks": "true", "timeoutSeconds": "3"}
    url = api.server.url + PODS
    async with api.session.get(url, params=query, headers={"Accept": ONE}) as response:
        api.server.store.create("pods", pod("a"))
        api.server.store.patch_status("pods", "a", "apps", {"phase": "Running"})
        api.server.store.delete("pods", "a", "apps")
        events = [msgspec.json.decode(line) async for line in response.content]
    assert [event["type"] for event in events] == ["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    for event in events:
        assert list(event["object"]) == ["kind", "apiVersion", "metadata"]
        assert event["object"]["kind"] == "PartialObjectMetadata"


async def test_whole_and_partial_watches_of_one_change_do_not_mix(api: Api) -> None:
    version = str(api.server.store.resource_version)
    query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": "1"}
    api.server.store.create("pods", pod("a"))
    kinds = []
    for accept in (ONE, "application/json", ONE):
        async with api.session.get(api.server.url + PODS, params=query, headers={"Accept": accept}) as response:
            kinds += [msgspec.json.decode(line)["object"]["kind"] async for line in response.content]
    assert kinds == ["PartialObjectMetadata", "Pod", "PartialObjectMetadata"]


async def test_a_kind_that_comes_later_is_served_as_metadata_too(api: Api) -> None:
    api.server.store.install(ARGO_ROLLOUTS)
    api.server.store.create("rollouts", {"metadata": {"name": "web", "namespace": "apps"}, "spec": {"replicas": 1}})
    status, listing = await accepting(api, ROLLOUTS, LIST)
    assert (status, [item["metadata"]["name"] for item in listing["items"]]) == (200, ["web"])


@pytest.mark.parametrize(
    "accept",
    [
        "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1, application/json",
        "application/json;as=PartialObjectMetadataList;g=other.io;v=v1, application/json",
        "application/json;as=Table;g=meta.k8s.io;v=v1, application/json",
        "application/yaml, */*",
    ],
)
async def test_a_clause_that_is_not_served_is_passed_over(api: Api, accept: str) -> None:
    status, listing = await accepting(api, PODS, accept)
    assert (status, listing["kind"]) == (200, "PodList")


@pytest.mark.parametrize(
    ("path", "accept", "why"),
    [
        (PODS, ONE, "you requested PartialObjectMetadata, but the requested object is a list (*v1.PodList)"),
        (
            f"{PODS}/a",
            LIST,
            "you requested PartialObjectMetadataList, but the requested object is not a list (*v1.Pod)",
        ),
        (PODS, "application/yaml", "only the following media types are accepted"),
    ],
)
async def test_what_cannot_be_answered_is_406(api: Api, path: str, accept: str, why: str) -> None:
    api.server.store.create("pods", pod("a"))
    status, answer = await accepting(api, path, accept)
    assert (status, answer["reason"], answer["code"]) == (406, "NotAcceptable", 406)
    assert why in answer["message"]


async def test_namespaces_can_be_left_out_by_a_field_selector(api: Api) -> None:
    for namespace in ("apps", "kube-system", "other"):
        api.server.store.insert_namespace(namespace)
        api.server.store.create("pods", pod("a", namespace=namespace))
    selector = "metadata.namespace!=kube-system,metadata.namespace!=other"
    _, listing = await accepting(api, "/api/v1/pods", LIST, fieldSelector=selector)
    assert [item["metadata"]["namespace"] for item in listing["items"]] == ["apps"]


async def test_a_pod_that_ends_in_its_time_is_marked_before_it_goes(api: Api) -> None:
    store = api.server.store
    store.create("pods", pod("a"))
    store.begin_deletion("pods", "a", "apps", grace_seconds=30)
    store.patch_status("pods", "a", "apps", {"phase": "Failed"})
    found = await api.get(f"{PODS}/a")
    assert found["metadata"]["deletionGracePeriodSeconds"] == 30
    assert found["metadata"]["deletionTimestamp"] > found["metadata"]["creationTimestamp"]
    assert found["status"]["phase"] == "Failed"
    store.delete("pods", "a", "apps")
    assert (await api.refused("GET", f"{PODS}/a"))[0] == 404
