from __future__ import annotations

from typing import Any

import pytest
from tests.simulator.apiserver.kube_api import APPS, MERGE, Api, kustomization

from fluxtrail.simulator.apiserver.patches import json_patch, merge_patch
from fluxtrail.simulator.apiserver.statuses import StatusError

CONFIGMAPS = "/api/v1/namespaces/apps/configmaps"
JSON_PATCH = {"Content-Type": "application/json-patch+json"}


async def created(api: Api, name: str = "a", **metadata: Any) -> dict[str, Any]:
    status, body = await api.call("POST", APPS, body=kustomization(name, **metadata))
    assert status == 201
    found: dict[str, Any] = body
    return found


async def test_create_fills_in_what_the_server_owns(api: Api) -> None:
    given = kustomization("a", uid="mine", generation=7, creationTimestamp="2001-01-01T00:00:00Z")
    given["status"] = {"observedGeneration": 7}
    status, body = await api.call("POST", APPS, body=given)
    assert status == 201
    metadata = body["metadata"]
    assert metadata["generation"] == 1
    assert metadata["uid"] not in ("", "mine")
    assert metadata["creationTimestamp"] > "2001-01-01T00:00:00Z"
    assert metadata["resourceVersion"] == str(api.server.store.resource_version)
    assert body["status"] == {"observedGeneration": -1}
    assert body["spec"] == {"path": "./a", "interval": "10m", "force": False}
    assert await api.get(f"{APPS}/a") == body


async def test_generated_name_has_the_prefix(api: Api) -> None:
    given = kustomization("x")
    given["metadata"] = {"generateName": "run-"}
    _, body = await api.call("POST", APPS, body=given)
    assert body["metadata"]["name"].startswith("run-")
    assert len(body["metadata"]["name"]) == len("run-") + 5


@pytest.mark.parametrize(
    ("change", "status", "reason"),
    [
        ({"metadata": {"name": "Bad_Name"}}, 422, "Invalid"),
        ({"metadata": {}}, 422, "Invalid"),
        ({"metadata": {"name": "z", "namespace": "other"}}, 400, "BadRequest"),
        ({"metadata": {"name": "z", "resourceVersion": "5"}}, 500, ""),
        ({"kind": "Bucket"}, 422, "Invalid"),
        ({"apiVersion": "v1"}, 400, "BadRequest"),
        ({"metadata": {"name": "a"}}, 409, "AlreadyExists"),
    ],
)
async def test_wrong_objects_are_refused(api: Api, change: dict[str, Any], status: int, reason: str) -> None:
    await created(api)
    refusal = await api.refused("POST", APPS, body=kustomization("z") | change)
    assert refusal[:2] == (status, reason)


async def test_create_in_a_missing_namespace_is_404(api: Api) -> None:
    path = APPS.replace("/apps/", "/missing/")
    refusal = await api.refused("POST", path, body=kustomization("a", namespace="missing"))
    assert refusal == (404, "NotFound", 'namespaces "missing" not found')


async def test_missing_object_is_404_in_the_words_of_the_real_server(api: Api) -> None:
    status, body = await api.call("GET", f"{APPS}/nope")
    assert status == 404
    assert body["message"] == 'kustomizations.kustomize.toolkit.fluxcd.io "nope" not found'
    assert body["details"] == {"name": "nope", "group": "kustomize.toolkit.fluxcd.io", "kind": "kustomizations"}


async def test_only_a_change_of_the_spec_is_a_new_generation(api: Api) -> None:
    await created(api)
    patches = [
        (f"{APPS}/a", {"metadata": {"labels": {"x": "1"}}}, 1),
        (f"{APPS}/a/status", {"status": {"observedGeneration": 1}}, 1),
        (f"{APPS}/a", {"spec": {"path": "./b"}}, 2),
        (f"{APPS}/a", {"spec": {"suspend": True}}, 3),
    ]
    for path, patch, generation in patches:
        status, body = await api.call("PATCH", path, body=patch, headers=MERGE)
        assert (status, body["metadata"]["generation"]) == (200, generation)


async def test_status_and_the_rest_do_not_touch_each_other(api: Api) -> None:
    await created(api)
    both = {"metadata": {"labels": {"x": "1"}}, "spec": {"path": "./new"}, "status": {"n": 1}}
    _, body = await api.call("PATCH", f"{APPS}/a/status", body=both, headers=MERGE)
    assert body["spec"]["path"] == "./a"
    assert "labels" not in body["metadata"]
    assert body["status"] == {"observedGeneration": -1, "n": 1}
    _, body = await api.call("PATCH", f"{APPS}/a", body={**both, "status": {"n": 2}}, headers=MERGE)
    assert body["spec"]["path"] == "./new"
    assert body["metadata"]["labels"] == {"x": "1"}
    assert body["status"]["n"] == 1


async def test_write_that_changes_nothing_makes_no_event(api: Api) -> None:
    body = await created(api)
    version = api.server.store.resource_version
    _, same = await api.call("PUT", f"{APPS}/a", body=body)
    assert same == body
    await api.call("PATCH", f"{APPS}/a", body={"spec": {"path": "./a"}}, headers=MERGE)
    assert api.server.store.resource_version == version


async def test_stale_resource_version_is_a_conflict(api: Api) -> None:
    body = await created(api)
    await api.call("PATCH", f"{APPS}/a", body={"spec": {"path": "./b"}}, headers=MERGE)
    refusal = await api.refused("PUT", f"{APPS}/a", body=body)
    assert refusal[:2] == (409, "Conflict")
    assert refusal[2].startswith('Operation cannot be fulfilled on kustomizations.kustomize.toolkit.fluxcd.io "a"')
    stale = {"metadata": {"resourceVersion": body["metadata"]["resourceVersion"]}, "spec": {"path": "./c"}}
    status, _ = await api.call("PATCH", f"{APPS}/a", body=stale, headers=MERGE)
    assert status == 409


async def test_update_needs_a_version_for_custom_resources_only(api: Api) -> None:
    body = await created(api)
    del body["metadata"]["resourceVersion"]
    assert (await api.refused("PUT", f"{APPS}/a", body=body))[:2] == (422, "Invalid")
    config = {"metadata": {"name": "c"}, "data": {"x": "1"}}
    assert (await api.call("POST", CONFIGMAPS, body=config))[0] == 201
    status, answer = await api.call("PUT", f"{CONFIGMAPS}/c", body={**config, "data": {"x": "2"}})
    assert (status, answer["data"]) == (200, {"x": "2"})


@pytest.mark.parametrize(
    ("patch", "status"),
    [({"metadata": {"name": "b"}}, 400), ({"metadata": {"uid": "b"}}, 422), ({"kind": "Bucket"}, 422), ([1], 400)],
)
async def test_patch_may_not_change_the_identity(api: Api, patch: Any, status: int) -> None:
    await created(api)
    answer = await api.call("PATCH", f"{APPS}/a", body=patch, headers=MERGE)
    assert answer[0] == status


async def test_json_patch_applies_or_refuses_as_a_whole(api: Api) -> None:
    await created(api)
    good = [{"op": "test", "path": "/spec/path", "value": "./a"}, {"op": "add", "path": "/spec/prune", "value": True}]
    status, body = await api.call("PATCH", f"{APPS}/a", body=good, headers=JSON_PATCH)
    assert (status, body["spec"]["prune"]) == (200, True)
    bad = [{"op": "add", "path": "/spec/x", "value": 1}, {"op": "test", "path": "/spec/path", "value": "?"}]
    assert (await api.call("PATCH", f"{APPS}/a", body=bad, headers=JSON_PATCH))[0] == 422
    assert "x" not in (await api.get(f"{APPS}/a"))["spec"]


@pytest.mark.parametrize("kind", ["application/cbor", "application/strategic-merge-patch+json"])
async def test_unsupported_patches_are_415(api: Api, kind: str) -> None:
    await created(api)
    status, body = await api.call("PATCH", f"{APPS}/a", body={}, headers={"Content-Type": kind})
    assert (status, body["reason"]) == (415, "UnsupportedMediaType")


async def test_delete_answers_with_a_status(api: Api) -> None:
    body = await created(api)
    status, answer = await api.call("DELETE", f"{APPS}/a")
    assert (status, answer["status"], answer["details"]["uid"]) == (200, "Success", body["metadata"]["uid"])
    assert (await api.call("GET", f"{APPS}/a"))[0] == 404


async def test_finalizers_hold_a_deleted_object_back(api: Api) -> None:
    await created(api, finalizers=["finalizers.fluxcd.io"])
    _, body = await api.call("DELETE", f"{APPS}/a")
    assert body["metadata"]["generation"] == 2
    assert body["metadata"]["deletionTimestamp"]
    version = api.server.store.resource_version
    more = {"metadata": {"finalizers": ["finalizers.fluxcd.io", "more/x"]}}
    assert (await api.call("PATCH", f"{APPS}/a", body=more, headers=MERGE))[0] == 422
    await api.call("PATCH", f"{APPS}/a", body={"metadata": {"finalizers": None}}, headers=MERGE)
    assert (await api.call("GET", f"{APPS}/a"))[0] == 404
    async with api.watch(APPS, resourceVersion=version) as watch:
        assert await watch.brief() == ("DELETED", "a")


async def test_delete_preconditions(api: Api) -> None:
    body = await created(api)
    for wrong in ({"uid": "other"}, {"resourceVersion": "1"}):
        status, _ = await api.call("DELETE", f"{APPS}/a", body={"preconditions": wrong})
        assert status == 409
    right = {"preconditions": {"uid": body["metadata"]["uid"]}}
    assert (await api.call("DELETE", f"{APPS}/a", body=right))[0] == 200


async def test_delete_of_a_collection_respects_selectors(api: Api) -> None:
    await created(api, "a", labels={"x": "1"})
    await created(api, "b")
    _, gone = await api.call("DELETE", APPS, labelSelector="x=1")
    assert [item["metadata"]["name"] for item in gone["items"]] == ["a"]
    assert [item["metadata"]["name"] for item in (await api.get(APPS))["items"]] == ["b"]


async def test_deployments_count_a_change_of_annotations_as_a_generation(api: Api) -> None:
    path = "/apis/apps/v1/namespaces/apps/deployments"
    await api.call("POST", path, body={"metadata": {"name": "d"}, "spec": {"replicas": 1}})
    patches = [({"labels": {"x": "1"}}, 1), ({"annotations": {"x": "1"}}, 2)]
    for metadata, generation in patches:
        _, body = await api.call("PATCH", f"{path}/d", body={"metadata": metadata}, headers=MERGE)
        assert body["metadata"]["generation"] == generation


async def test_deleted_namespace_takes_its_objects_along(api: Api) -> None:
    await created(api)
    assert (await api.call("DELETE", "/api/v1/namespaces/apps"))[0] == 200
    assert (await api.get(APPS))["items"] == []


@pytest.mark.parametrize(
    ("target", "patch", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ("x", {"a": {"b": None}}, {"a": {}}),
        ({"a": "b"}, ["c"], ["c"]),
    ],
)
def test_merge_patch_as_in_rfc_7396(target: Any, patch: Any, expected: Any) -> None:
    assert merge_patch(target, patch) == expected


@pytest.mark.parametrize(
    ("target", "operations", "expected"),
    [
        ({"a": [1, 3]}, [{"op": "add", "path": "/a/1", "value": 2}], {"a": [1, 2, 3]}),
        ({"a": [1]}, [{"op": "add", "path": "/a/-", "value": 2}], {"a": [1, 2]}),
        ({"a": 1}, [{"op": "remove", "path": "/a"}], {}),
        ({"a": [1, 2]}, [{"op": "replace", "path": "/a/0", "value": 9}], {"a": [9, 2]}),
        ({"a": 1}, [{"op": "move", "from": "/a", "path": "/b"}], {"b": 1}),
        ({"a": {"x": 1}}, [{"op": "copy", "from": "/a", "path": "/b"}], {"a": {"x": 1}, "b": {"x": 1}}),
        ({"a/b": {"~": 1}}, [{"op": "replace", "path": "/a~1b/~0", "value": 2}], {"a/b": {"~": 2}}),
        ({"a": 1}, [{"op": "replace", "path": "", "value": {"z": 1}}], {"z": 1}),
    ],
)
def test_json_patch_as_in_rfc_6902(target: Any, operations: Any, expected: Any) -> None:
    assert json_patch(target, operations) == expected


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/nope"},
        {"op": "replace", "path": "/nope", "value": 1},
        {"op": "add", "path": "/list/9", "value": 1},
        {"op": "add", "path": "no-slash", "value": 1},
        {"op": "test", "path": "/a", "value": 2},
        {"op": "explode", "path": "/a"},
        {"op": "remove", "path": ""},
        {"op": "add", "path": "/a"},
        {"op": "add", "path": 3, "value": 1},
        {"op": "add", "path": "/a/b", "value": 1},
    ],
)
def test_json_patch_that_does_not_fit_is_refused(operation: dict[str, Any]) -> None:
    with pytest.raises(StatusError) as refusal:
        json_patch({"a": 1, "list": []}, [operation])
    assert refusal.value.code == 422
