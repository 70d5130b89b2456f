"""Server-side apply, on the simulator's API server and on a real one: who owns what, who is told, what is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from tests.contract.world import World

from fluxtrail.clusters.answers import FieldConflict, FieldConflictError
from fluxtrail.clusters.writing import UnfitObjectError, Writer
from fluxtrail.model.errors import ConflictError, NotFoundError, UpstreamError
from fluxtrail.model.observation import ObjectKey

GROUP = "apply.fluxtrail.dev"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
TEXT = {"type": "string"}
PORT = {
    "type": "object",
    "required": ["port"],
    "properties": {"port": {"type": "integer"}, "protocol": TEXT | {"default": "TCP"}, "note": TEXT},
}
SPEC: dict[str, Any] = {
    "size": {"type": "integer"},
    "colour": TEXT | {"default": "red"},
    "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": TEXT},
    "ports": {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["port", "protocol"],
        "items": PORT,
    },
    "plain": {"type": "array", "items": TEXT},
    "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"a": TEXT, "b": TEXT}},
    "labels": {"type": "object", "additionalProperties": TEXT},
    "groups": {"type": "object", "additionalProperties": {"type": "object", "properties": {"x": TEXT, "y": TEXT}}},
    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    "nested": {"type": "object", "properties": {"a": TEXT, "b": TEXT}},
}
SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {"type": "object", "properties": SPEC},
        "status": {"type": "object", "properties": {"phase": TEXT}},
    },
}
GADGETS: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"gadgets.{GROUP}"},
    "spec": {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"plural": "gadgets", "singular": "gadget", "kind": "Gadget", "listKind": "GadgetList"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": SCHEMA},
            }
        ],
    },
}


class Hand:
    """Applies the gadget `g` of one namespace under any name."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.key = ObjectKey(GROUP, "Gadget", world.namespace, "g")

    def writer(self, manager: str) -> Writer:
        return Writer(self.world.connection, field_manager=manager)

    async def apply(
        self, manager: str, spec: dict[str, Any] | None, *, force: bool = False, dry_run: bool = False, **metadata: Any
    ) -> dict[str, Any]:
        body = {
            "apiVersion": f"{GROUP}/v1",
            "kind": "Gadget",
            "metadata": {"name": "g", "namespace": self.world.namespace, **metadata},
        } | ({} if spec is None else {"spec": spec})
        return await self.writer(manager).apply(body, force=force, dry_run=dry_run)

    async def update(self, manager: str, patch: dict[str, Any]) -> dict[str, Any]:
        return await self.writer(manager).merge_patch(self.key, patch)

    async def conflicts(self, manager: str, spec: dict[str, Any], **metadata: Any) -> tuple[FieldConflict, ...]:
        with pytest.raises(FieldConflictError) as refused:
            await self.apply(manager, spec, **metadata)
        return tuple(sorted(refused.value.conflicts))


def owned(gadget: dict[str, Any]) -> dict[str, Any]:
    return {
        f"{entry['manager']} {entry['operation']}": entry["fieldsV1"].get("f:spec", {})
        for entry in gadget["metadata"].get("managedFields", [])
    }


@pytest.fixture
async def hand(world: World) -> AsyncIterator[Hand]:
    with suppress(ConflictError):  # a real server has it still
        await world.connection.create(DEFINITIONS, GADGETS, dict[str, Any])
    hand = Hand(world)
    async with asyncio.timeout(20):
        while True:
            try:
                await hand.apply("probe", {}, dry_run=True)
                await world.connection.get(world.artifacts, dict[str, Any])
                break
            except UpstreamError:  # a real server takes a moment to serve it, and all others again
                await asyncio.sleep(0.1)
    yield hand
    if (left := await hand.writer("end").read(hand.key)) is not None:
        await hand.writer("end").delete(hand.key, uid=left["metadata"]["uid"])


async def test_apply_makes_an_object_and_owns_what_it_names(hand: Hand) -> None:
    made = await hand.apply(
        "one",
        {
            "size": 1,
            "tags": ["a", "b"],
            "ports": [{"port": 80}, {"port": 53, "protocol": "UDP", "note": "dns"}],
            "plain": ["x"],
            "whole": {"a": "1"},
            "labels": {"k": "v"},
            "groups": {"g1": {"x": "1"}},
            "free": {"deep": {"er": 1}, "list": [1]},
            "nested": {"a": "1"},
        },
        labels={"l": "1"},
        finalizers=["example.dev/f"],
    )
    (entry,) = made["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"], entry["apiVersion"]) == ("one", "Apply", f"{GROUP}/v1")
    assert entry["time"] == made["metadata"]["creationTimestamp"]
    assert entry["fieldsV1"] == {
        "f:metadata": {"f:finalizers": {'v:"example.dev/f"': {}}, "f:labels": {"f:l": {}}},
        "f:spec": {
            "f:free": {"f:deep": {".": {}, "f:er": {}}, "f:list": {}},
            "f:groups": {"f:g1": {".": {}, "f:x": {}}},
            "f:labels": {"f:k": {}},
            "f:nested": {"f:a": {}},
            "f:plain": {},
            "f:ports": {
                'k:{"port":53,"protocol":"UDP"}': {".": {}, "f:note": {}, "f:port": {}, "f:protocol": {}},
                'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}},
            },
            "f:size": {},
            "f:tags": {'v:"a"': {}, 'v:"b"': {}},
            "f:whole": {},
        },
    }
    assert (made["spec"]["colour"], made["metadata"]["generation"]) == ("red", 1)
    await hand.update("end", {"metadata": {"finalizers": None}})


async def test_two_share_lists_with_keys_sets_and_maps(hand: Hand) -> None:
    await hand.apply(
        "one", {"tags": ["a", "b"], "ports": [{"port": 80}], "labels": {"k": "v"}, "groups": {"g": {"x": "1"}}}
    )
    both = await hand.apply(
        "two",
        {
            "tags": ["c", "a"],
            "ports": [{"port": 443}, {"port": 80, "note": "web"}],
            "labels": {"k2": "v"},
            "groups": {"g": {"y": "2"}},
        },
    )
    assert both["spec"]["tags"] == ["b", "c", "a"] or both["spec"]["tags"] == ["c", "a", "b"]
    assert [(port["port"], port.get("note")) for port in both["spec"]["ports"]] == [(443, None), (80, "web")]
    assert both["spec"]["labels"] == {"k": "v", "k2": "v"}
    left = await hand.apply("two", {"labels": {"k2": "v"}})
    assert left["spec"]["tags"] == ["a", "b"]
    assert [(port["port"], port.get("note")) for port in left["spec"]["ports"]] == [(80, None)]
    assert left["spec"]["groups"] == {"g": {"x": "1"}}


async def test_conflicts_name_each_field_and_its_owner(hand: Hand) -> None:
    await hand.apply(
        "one",
        {
            "size": 1,
            "plain": ["x"],
            "whole": {"a": "1"},
            "ports": [{"port": 53, "protocol": "UDP", "note": "dns"}],
            "groups": {"g": {"x": "1"}},
            "free": {"list": [1]},
        },
        labels={"l": "1"},
    )
    await hand.update("three", {"spec": {"colour": "blue"}})
    assert await hand.conflicts(
        "two",
        {
            "size": 2,
            "plain": ["y"],
            "whole": {"b": "1"},
            "ports": [{"port": 53, "protocol": "UDP", "note": "x"}],
            "groups": {"g": {"x": "2"}},
            "free": {"list": [2]},
            "colour": "green",
        },
        labels={"l": "2"},
    ) == (
        FieldConflict("one", ".metadata.labels.l"),
        FieldConflict("one", ".spec.free.list"),
        FieldConflict("one", ".spec.groups.g.x"),
        FieldConflict("one", ".spec.plain"),
        FieldConflict("one", '.spec.ports[port=53,protocol="UDP"].note'),
        FieldConflict("one", ".spec.size"),
        FieldConflict("one", ".spec.whole"),
        FieldConflict("three", ".spec.colour"),
    )
    with pytest.raises(FieldConflictError, match=r'Apply failed with 1 conflict: conflict with "one": \.spec\.size'):
        await hand.apply("two", {"size": 2})
    with pytest.raises(FieldConflictError, match=f'1 conflict: conflict with "three" using {GROUP}/v1: .spec.colour'):
        await hand.apply("two", {"colour": "x"})


async def test_force_takes_fields_and_their_owners_lose_them(hand: Hand) -> None:
    await hand.apply("one", {"size": 1, "nested": {"a": "1"}})
    await hand.update("three", {"spec": {"colour": "blue"}})
    taken = await hand.apply("two", {"size": 7, "colour": "x"}, force=True)
    assert (taken["spec"]["size"], taken["spec"]["colour"]) == (7, "x")
    assert owned(taken) == {"one Apply": {"f:nested": {"f:a": {}}}, "two Apply": {"f:colour": {}, "f:size": {}}}


async def test_equal_values_are_owned_together(hand: Hand) -> None:
    first = await hand.apply("one", {"size": 1})
    second = await hand.apply("two", {"size": 1})
    assert owned(second) == {"one Apply": {"f:size": {}}, "two Apply": {"f:size": {}}}
    assert second["metadata"]["generation"] == first["metadata"]["generation"]
    third = await hand.apply("one", {})
    assert third["spec"]["size"] == 1
    assert owned(third) == {"one Apply": {}, "two Apply": {"f:size": {}}}
    assert "size" not in (await hand.apply("two", {}))["spec"]


async def test_what_is_no_longer_applied_goes_unless_another_owns_it(hand: Hand) -> None:
    await hand.apply("one", {"size": 1, "nested": {"a": "1"}, "labels": {"k": "v"}, "tags": ["a"], "plain": ["x"]})
    await hand.update("three", {"spec": {"labels": {"k3": "v"}, "plain": ["y"]}})
    left = await hand.apply("one", None)
    assert left["spec"] == {"colour": "red", "labels": {"k3": "v"}, "plain": ["y"]}
    assert owned(left) == {"three Update": {"f:labels": {"f:k3": {}}, "f:plain": {}}}


async def test_same_apply_again_writes_nothing(hand: Hand) -> None:
    first = await hand.apply("one", {"size": 1, "ports": [{"port": 1}]})
    again = await hand.apply("one", {"size": 1, "ports": [{"port": 1}]})
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert again["metadata"]["managedFields"] == first["metadata"]["managedFields"]


async def test_dry_run_answers_and_writes_nothing(hand: Hand) -> None:
    new = await hand.apply("one", {"size": 1}, dry_run=True)
    assert "resourceVersion" not in new["metadata"]
    assert (new["spec"]["size"], new["spec"]["colour"]) == (1, "red")
    assert await hand.writer("one").read(hand.key) is None
    kept = await hand.apply("one", {"size": 1})
    would = await hand.apply("one", {"size": 2}, dry_run=True)
    assert (would["spec"]["size"], would["metadata"]["generation"]) == (2, 2)
    assert would["metadata"]["resourceVersion"] == kept["metadata"]["resourceVersion"]
    assert await hand.writer("one").read(hand.key) == kept
    with pytest.raises(FieldConflictError):
        await hand.apply("two", {"size": 3}, dry_run=True)
    patched = await hand.writer("three").merge_patch(hand.key, {"spec": {"size": 9}}, dry_run=True)
    assert patched["spec"]["size"] == 9
    await hand.writer("three").delete(hand.key, uid=kept["metadata"]["uid"], dry_run=True)
    assert await hand.writer("one").read(hand.key) == kept


async def test_status_is_not_applied_beside_the_object(hand: Hand) -> None:
    made = await hand.writer("one").apply(
        {
            "apiVersion": f"{GROUP}/v1",
            "kind": "Gadget",
            "metadata": {"name": "g", "namespace": hand.world.namespace},
            "spec": {"size": 1},
            "status": {"phase": "Up"},
        }
    )
    assert "status" not in made
    assert set(made["metadata"]["managedFields"][0]["fieldsV1"]) == {"f:spec"}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"nope": 1}, r"\.spec\.nope: field not declared in schema"),
        ({"size": "x"}, r"\.spec\.size: expected numeric \(int or float\), got string"),
        ({"nested": [1]}, r"\.spec\.nested: expected map, got &{\[1\]}"),
        ({"tags": "a"}, r"\.spec\.tags: expected list, got &{a}"),
        ({"tags": ["a", "a"]}, r'\.spec\.tags: duplicate entries for key \[="a"\]'),
        (
            {"ports": [{"port": 1}, {"port": 1, "protocol": "TCP"}]},
            r'duplicate entries for key \[port=1,protocol="TCP"',
        ),
        ({"plain": [1], "labels": {"a": 1}}, r"errors:\s+\.spec\.labels\.a: .*\s+\.spec\.plain\[0\]: expected string"),
    ],
)
async def test_what_the_schema_does_not_know_is_refused(hand: Hand, spec: dict[str, Any], message: str) -> None:
    with pytest.raises(UnfitObjectError, match=message):
        await hand.apply("one", spec)
    assert await hand.writer("one").read(hand.key) is None


async def test_version_and_uid_are_preconditions(hand: Hand) -> None:
    await hand.apply("one", {"size": 1})
    with pytest.raises(ConflictError, match="has been modified"):
        await hand.apply("one", {"size": 2}, resourceVersion="1")
    with pytest.raises(ConflictError):
        await hand.apply("one", {"size": 2}, uid="0")
    with pytest.raises(UpstreamError, match=r"metadata\.managedFields must be nil"):
        await hand.apply("one", {"size": 2}, managedFields=[])


async def test_emptied_map_that_is_still_owned_is_invalid(hand: Hand) -> None:
    await hand.apply("one", {"labels": {"k": "v"}})
    with pytest.raises(ConflictError, match=r"spec\.labels in body must be of type object"):
        await hand.apply("one", {"labels": {}})


async def test_update_owns_what_it_changed_and_an_apply_without_owners_meets_the_one_before(hand: Hand) -> None:
    body = {"metadata": {"name": "g", "labels": {"a": "b"}}, "spec": {"size": 1, "nested": {"a": "1"}, "tags": ["a"]}}
    path = f"/apis/{GROUP}/v1/namespaces/{hand.world.namespace}/gadgets"
    await hand.world.connection.create(path, {"apiVersion": f"{GROUP}/v1", "kind": "Gadget"} | body, dict[str, Any])
    made = await hand.update("poster", {"spec": {"size": 2}})
    manager = made["metadata"]["managedFields"]
    assert [(entry["manager"], entry["operation"]) for entry in manager] == [
        ("fluxtrail", "Update"),
        ("poster", "Update"),
    ]
    assert manager[0]["fieldsV1"] == {
        "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
        "f:spec": {
            ".": {},
            "f:colour": {},
            "f:nested": {".": {}, "f:a": {}},
            "f:tags": {".": {}, 'v:"a"': {}},
        },
    }
    await hand.update("poster", {"metadata": {"managedFields": [{}]}})
    assert await hand.conflicts("one", {"size": 3}) == (FieldConflict("before-first-apply", ".spec.size"),)


async def test_kinds_of_kubernetes_itself_are_applied_too(world: World) -> None:
    one, two = (Writer(world.connection, field_manager=name) for name in ("one", "two"))
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "namespace": world.namespace}}
    await one.apply(settings | {"data": {"a": "1", "b": "2"}})
    with pytest.raises(FieldConflictError) as refused:
        await two.apply(settings | {"data": {"a": "2"}})
    assert refused.value.conflicts == (FieldConflict("one", ".data.a"),)
    assert (await two.apply(settings | {"data": {"c": "3"}}))["data"] == {"a": "1", "b": "2", "c": "3"}
    assert (await one.apply(settings | {"data": {"b": "2"}}))["data"] == {"b": "2", "c": "3"}
    with pytest.raises(UnfitObjectError, match="field not declared in schema"):
        await one.apply(settings | {"dta": {}})
    with pytest.raises(NotFoundError, match=r'namespaces "nowhere" not found'):
        await one.apply(settings | {"metadata": {"name": "m", "namespace": "nowhere"}})


async def test_containers_are_told_apart_by_name(world: World) -> None:
    one, two = (Writer(world.connection, field_manager=name) for name in ("one", "two"))

    def deployment(*containers: dict[str, Any]) -> dict[str, Any]:
        template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": list(containers)}}
        spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
        metadata = {"name": "d", "namespace": world.namespace}
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}

    await one.apply(deployment({"name": "x", "image": "x:1"}))
    both = await two.apply(deployment({"name": "y", "image": "y:1"}))
    assert [c["name"] for c in both["spec"]["template"]["spec"]["containers"]] == ["x", "y"]
    with pytest.raises(FieldConflictError) as refused:
        await two.apply(deployment({"name": "y", "image": "y:1"}, {"name": "x", "image": "x:2"}))
    assert [each.field for each in refused.value.conflicts] == ['.spec.template.spec.containers[name="x"].image']
